"""Dead-man switches: the venue closes a client's orders when it has not heard from it in time.

One object serves all lanes at one venue. Rare, so plain Python: the kernel asks it when a request arrives, and it comes
back through the venue's agenda (``Core.schedule``). Three kinds:

* ``countdown``: armed for a stretch, each request replaces the last, 0 disarms (Binance by symbol, OKX by account);
* ``schedule``: the same with a quota of firings a UTC day (Hyperliquid);
* ``disconnect``: a setting; the stretch begins when the connection is lost and ends when there is one again (Bybit,
  Deribit).
"""

from __future__ import annotations

from typing import Any, Final

from matching.codes import R_DEAD_MAN, R_EXPIRY, R_NONE, R_RATE_LIMIT

DAY_NS: Final = 86_400 * 10**9


class DeadMan:
    """``min_ns`` and ``max_ns`` bound a stretch, 0 is no bound; ``quota``: firings of a lane in a UTC day, 0 any."""

    def __init__(
        self, venue: int, *, min_ns: int = 0, max_ns: int = 0, by_market: bool = False, quota: int = 0,
        on_disconnect: bool = False, default_ns: int | None = None, check_ns: int = 0,
    ) -> None:  # fmt: skip
        """``default_ns``: the stretch after a disconnect of a lane that set none; None: its orders stay.

        ``check_ns``: the venue looks at whole multiples of it (a chain: at its blocks); 0: at once.
        """
        self._venue = venue
        self._bounds = (min_ns, max_ns)
        self._by_market = by_market
        self._quota = quota
        self._on_disconnect = on_disconnect
        self._default_ns = default_ns
        self._check_ns = check_ns
        self._armed: dict[tuple[int, int], int] = {}  # (lane, market or -1) -> number of the arming
        self._stretch: dict[int, int] = {}  # lane -> ns, of venues that watch the connection
        self._fired: dict[tuple[int, int], int] = {}  # (lane, UTC day) -> firings
        self._number = 0

    def arm(self, core: Any, lane: int, market: int, after_ns: int, ts: int) -> int:
        """A request has reached the venue; returns R_NONE, R_EXPIRY (out of bounds) or R_RATE_LIMIT (quota)."""
        low, high = self._bounds
        if after_ns < 0 or (after_ns and (after_ns < low or (high and after_ns > high))):
            return R_EXPIRY
        if self._on_disconnect:
            self._stretch[lane] = after_ns
            return R_NONE
        if after_ns and self._quota and self._fired.get((lane, ts // DAY_NS), 0) >= self._quota:
            return R_RATE_LIMIT
        self._start(core, (lane, market if self._by_market else -1), after_ns, ts)
        return R_NONE

    def disconnected(self, core: Any, lane: int, ts: int) -> None:
        """The venue has noticed that a lane's connection is gone."""
        after_ns = self._stretch.get(lane, self._default_ns)
        if self._on_disconnect and after_ns is not None:
            self._start(core, (lane, -1), max(after_ns, 1), ts)

    def reconnected(self, lane: int) -> None:
        """The lane is there again before its time was over."""
        if self._on_disconnect:
            self._armed.pop((lane, -1), None)

    def _start(self, core: Any, key: tuple[int, int], after_ns: int, ts: int) -> None:
        self._number += 1
        number = self._number
        if not after_ns:
            self._armed.pop(key, None)
            return
        self._armed[key] = number
        due = ts + after_ns
        if self._check_ns:
            due = -(-due // self._check_ns) * self._check_ns
        core.schedule(due, lambda now: self._fire(core, key, number, now))

    def _fire(self, core: Any, key: tuple[int, int], number: int, now: int) -> None:
        if self._armed.get(key) != number:
            return  # disarmed, or armed anew
        del self._armed[key]
        lane, market = key
        day = (lane, now // DAY_NS)
        self._fired[day] = self._fired.get(day, 0) + 1
        for m in core.markets_of(self._venue) if market < 0 else [market]:
            core.cancel_resting(lane, m, R_DEAD_MAN, now)
