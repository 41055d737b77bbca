"""Progress of a long run on one line of a terminal: simulated date, events a second, time left, memory. Else silent."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, TextIO

from sim.units import instant_text
from venues.ports import Clock, SystemClock

INTERVAL_NS: Final = 500_000_000


def resident_bytes() -> int:
    """This process's resident memory, mapped pages included; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


class Progress:
    """Shows how far a run is. ``update`` may be called as often as one likes."""

    def __init__(
        self,
        first_ns: int,
        last_ns: int,
        rows: Callable[[], int],
        stream: TextIO | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._first, self._span = first_ns, max(1, last_ns - first_ns)
        self._rows = rows
        self._stream = sys.stderr if stream is None else stream
        self._shown = self._stream.isatty()
        self._clock = SystemClock() if clock is None else clock
        self._start = self._last = self._clock.monotonic_ns()
        self._width = 0

    def update(self, now_ns: int) -> None:
        if not self._shown:
            return
        wall = self._clock.monotonic_ns()
        if wall - self._last < INTERVAL_NS:
            return
        self._last = wall
        self._write(self.line(now_ns, wall - self._start))

    def line(self, now_ns: int, wall_ns: int) -> str:
        """The line for a simulated instant after so much wall time."""
        share = min(1.0, max(0.0, (now_ns - self._first) / self._span))
        rate = self._rows() * 1e9 / max(1, wall_ns)
        left = wall_ns / 1e9 * (1 - share) / share if share > 0 else 0.0
        return (
            f"{instant_text(now_ns // 10**9 * 10**9)}  {share:6.1%}  {rate / 1e6:.2f} M events/s  "
            f"{_clock_text(left)} left  {resident_bytes() / 2**20:.0f} MiB"
        )

    def close(self) -> None:
        """Leave the terminal's line clean."""
        if self._shown and self._width:
            self._write("")
            self._stream.write("\r")
            self._stream.flush()

    def _write(self, text: str) -> None:
        self._stream.write("\r" + text.ljust(self._width))
        self._stream.flush()
        self._width = len(text)


def _clock_text(seconds: float) -> str:
    whole = int(seconds + 0.5)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
