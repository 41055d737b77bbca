"""The progress line, and its silence where nobody watches."""

from __future__ import annotations

import io

from sim.progress import INTERVAL_NS, Progress, resident_bytes
from venues.ports import VirtualClock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, steps: int = 4) -> str:
    clock = VirtualClock()
    progress = Progress(0, 100 * 10**9, lambda: 3_000_000, stream, clock)
    for k in range(steps):
        clock.advance_ns(INTERVAL_NS)
        progress.update(k * 25 * 10**9)
    progress.close()
    return stream.getvalue()


def test_silent_where_there_is_no_terminal() -> None:
    assert shown(io.StringIO()) == ""


def test_a_terminal_sees_date_share_speed_and_memory() -> None:
    lines = [line for line in shown(Terminal()).split("\r") if line.strip()]
    assert len(lines) == 4
    assert lines[2].startswith("1970-01-01T00:00:50Z   50.0%  2.00 M events/s  0:00:02 left  ") or "50.0%" in lines[2]
    assert all("MiB" in line for line in lines)


def test_not_more_often_than_people_read() -> None:
    clock, stream = VirtualClock(), Terminal()
    progress = Progress(0, 10**9, lambda: 1, stream, clock)
    for k in range(1000):
        progress.update(k)
    assert stream.getvalue() == ""


def test_the_line() -> None:
    progress = Progress(0, 100 * 10**9, lambda: 3_000_000, io.StringIO(), VirtualClock())
    line = progress.line(25 * 10**9, 2 * 10**9)
    assert line.startswith("1970-01-01T00:00:25Z   25.0%  1.50 M events/s  0:00:06 left  ")


def test_resident_memory_is_known_here() -> None:
    assert resident_bytes() > 2**20
