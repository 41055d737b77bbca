"""An event loop that asks the sockets again and again instead of sleeping until one is ready.

A process that sleeps is woken late, on a core that has slowed down and whose caches hold other things by then. One that
never sleeps answers sooner and needs a core for itself: ``[live] busy_poll``. What it has nothing to do for it gives to
``idle``, which is where rehearsals keep the caches as they should be: other things on the same machine take them over
within a millisecond, whether the process sleeps or not.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any, Final

from venues.ports import SystemClock

SECOND: Final = 10**9


class BusyPoll(selectors.DefaultSelector):
    """The system's selector; ``select`` returns when something is ready or the time is over, and never sleeps. ``idle``
    is called every ``idle_ns`` while nothing is ready; it must be short, and raise nothing. ``select`` returns after it
    as well, since the loop may have been given something to do."""

    def __init__(self) -> None:
        super().__init__()
        self.idle: Callable[[], None] | None = None
        self.idle_ns = 0
        self._idle_next_ns = 0
        self._now_ns = SystemClock().monotonic_ns

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As ``selectors.BaseSelector.select``."""
        poll: Any = super().select
        found: list[tuple[selectors.SelectorKey, int]] = poll(0)
        if found or (timeout is not None and timeout <= 0):
            return found
        now_ns = self._now_ns()
        end_ns = None if timeout is None else now_ns + int(timeout * SECOND)
        while not found and (end_ns is None or now_ns < end_ns):
            if self.idle is not None and now_ns >= self._idle_next_ns:
                self.idle()
                self._idle_next_ns = self._now_ns() + self.idle_ns
                return poll(0)  # type: ignore[no-any-return]
            found = poll(0)
            now_ns = self._now_ns()
        return found


class BusyLoop(asyncio.SelectorEventLoop):
    """asyncio's own event loop on such a selector, ``poll``."""

    def __init__(self) -> None:
        self.poll = BusyPoll()
        super().__init__(self.poll)
