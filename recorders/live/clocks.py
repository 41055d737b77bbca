"""How far clocks are off: ours against the venues' (from the frames' own times), and steps of our wall clock.

A frame cannot arrive before it was sent, so the least of *receive time minus venue time* is the network's least
latency plus the difference of the clocks. ``Offset`` keeps that least per window of ten seconds and takes the least of
the last 30 windows: an estimate from the past only, which follows a drifting clock within five minutes. The venue's
clock minus ours is at least the negative of it, and at most that plus the least latency, which nobody can see from
here.

Our own wall clock steps when it moves against the monotonic clock by more than can be an adjustment (``STEP_NS``).
"""

from __future__ import annotations

from collections import deque
from typing import Final

from venues.ports import Clock

WINDOW_NS: Final = 10 * 10**9
WINDOWS: Final = 30
STEP_NS: Final = 20_000_000  # clock discipline slews by at most 0.5 ms in a second
READ_NS: Final = 1_000_000  # a reading that took longer says nothing
_NONE: Final = 1 << 62


class Offset:
    """The least receive-minus-venue time of the past five minutes."""

    def __init__(self) -> None:
        self._least: deque[int] = deque(maxlen=WINDOWS)
        self._present_ns = _NONE
        self._until_ns = 0
        self.samples = 0

    def add(self, least_ns: int, samples: int, now_ns: int) -> None:
        """The least difference among ``samples`` frames received since the last call. ``now_ns`` is monotonic."""
        if now_ns >= self._until_ns:
            if self._present_ns != _NONE:
                self._least.append(self._present_ns)
            self._present_ns = _NONE
            self._until_ns = now_ns + WINDOW_NS
        self.samples += samples
        self._present_ns = min(self._present_ns, least_ns)

    def restart(self) -> None:
        """Forget everything: our clock stepped."""
        self._least.clear()
        self._present_ns = _NONE
        self.samples = 0

    @property
    def least_ns(self) -> int | None:
        """Least latency plus clock difference; None before the first frame that says its time."""
        least = min((*self._least, self._present_ns))
        return None if least == _NONE else least


class StepWatch:
    """Finds steps of the wall clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._difference_ns: int | None = None

    def step_ns(self) -> int:
        """How far the wall clock stepped since the last call; 0: it did not (or nobody can tell)."""
        before = self._clock.monotonic_ns()
        wall = self._clock.wall_ns()
        after = self._clock.monotonic_ns()
        if after - before > READ_NS:
            return 0
        difference = wall - (before + after) // 2
        last, self._difference_ns = self._difference_ns, difference
        moved = 0 if last is None else difference - last
        return moved if abs(moved) >= STEP_NS else 0
