"""Raw captured lines: ``receive_time raw_json``, from plain or gzip files, in the order of their receive times.

Theory of operation. A recorder appends a line a frame: its own clock as a whole number, a blank, the frame as it
came. The unit of the clock is told by the number of digits (10 s, 13 ms, 16 us, 19 ns), once a file. Lines are sorted
by receive time within a horizon of 65,536 lines; a line that stood elsewhere is restored, counted and named. Files
are taken in the order of their first line, and merged line by line where their times overlap.

Nothing in a file stops the reading: an empty file, a line without a receive time or too long to be a frame, a gzip
stream that ends early, each becomes a ``Problem`` with file and line. Memory is bounded by the horizon, whatever the
input.
"""

from __future__ import annotations

import gzip
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush, heapreplace
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import numpy as np

from matching.feed import I64
from recorders.report import Problems
from venues.errors import InputError

LINE_BYTES_MAX: Final = 8 << 20
HORIZON_LINES: Final = 1 << 16
UNITS: Final = {10: 1_000_000_000, 13: 1_000_000, 16: 1_000, 19: 1}  # digits of a receive time -> ns
UNIT_NAMES: Final = {1_000_000_000: "s", 1_000_000: "ms", 1_000: "us", 1: "ns"}
GZIP_MAGIC: Final = b"\x1f\x8b"
LAST_NS: Final = 4_102_444_800_000_000_000
NEVER_NS: Final = (1 << 63) - 1


class Line(NamedTuple):
    """One captured frame: receive time in ns, the file's place in the import, line number, the frame, and whether the
    line stood out of order. Where it came from a raw recording: what the wall clock said (None: the receive time) and
    the connection; a reply carries the symbol that its request asked for."""

    recv_ns: int
    file: int
    number: int
    raw: bytes
    moved: bool = False
    wall_ns: int | None = None
    connection: int = 0
    symbol: str = ""


@dataclass(slots=True)
class RawFile:
    """A file of captured lines and what has been read of it so far. ``unit_ns`` is 0 until the first good line."""

    path: Path
    index: int
    start_ns: int = 0  # receive time of its first good line
    lines: int = 0
    malformed: int = 0
    reordered: int = 0
    unit_ns: int = 0
    first_recv_ns: int = 0
    last_recv_ns: int = 0
    problems: Problems = field(default_factory=Problems)

    @property
    def name(self) -> str:
        return self.path.name

    def refuse(self, number: int, why: str, kind: str = "malformed") -> None:
        self.malformed += 1
        self.problems.add(self.name, number, kind, why)

    def _open(self) -> IO[bytes]:
        try:
            with self.path.open("rb") as stream:
                zipped = stream.read(2) == GZIP_MAGIC
            opened: Any = gzip.open(self.path, "rb") if zipped else self.path.open("rb")  # noqa: SIM115  # _raw_lines
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror or error}", source=str(self.path)) from None
        found: IO[bytes] = opened
        return found

    def _raw_lines(self) -> Iterator[bytes]:
        """Lines with their line ends. What cannot be unpacked is reported and ends the file."""
        with self._open() as stream:
            while True:
                try:
                    line = stream.readline(LINE_BYTES_MAX)
                    skipped = not line.endswith(b"\n") and len(line) >= LINE_BYTES_MAX
                    while skipped and (rest := stream.readline(LINE_BYTES_MAX)) and not rest.endswith(b"\n"):
                        pass
                except (EOFError, zlib.error, OSError) as error:
                    self.refuse(self.lines + 1, f"the file is damaged from here on: {error}", "damaged")
                    return
                if not line:
                    return
                yield line

    def parsed(self) -> Iterator[tuple[int, int, bytes]]:
        """(receive time in ns, line number, frame) of every line that has a receive time."""
        for line in self._raw_lines():
            self.lines += 1
            if len(line) >= LINE_BYTES_MAX:
                self.refuse(self.lines, f"longer than {LINE_BYTES_MAX} bytes: no frame")
                continue
            stamp, blank, raw = line.partition(b" ")
            unit = UNITS.get(len(stamp), 0) if stamp.isdigit() else 0
            if not unit or not blank:
                self.refuse(
                    self.lines, "no receive time (10, 13, 16 or 19 digits and a blank) at the start of the line"
                )
                continue
            self.unit_ns = self.unit_ns or unit
            if unit != self.unit_ns:
                self.refuse(
                    self.lines, f"receive time in {UNIT_NAMES[unit]}, the file's is in {UNIT_NAMES[self.unit_ns]}"
                )
                continue
            recv_ns = int(stamp) * unit
            if recv_ns > LAST_NS:
                self.refuse(self.lines, "receive time after the year 2100")
                continue
            yield recv_ns, self.lines, raw.strip()
        if not self.lines:
            self.problems.add(self.name, 0, "empty", "the file is empty: nothing to import")

    def sorted_lines(self) -> Iterator[Line]:
        """The file's lines by receive time."""
        held: list[tuple[int, int, bytes]] = []
        for item in self.parsed():
            held.append(item)
            if len(held) >= 2 * HORIZON_LINES:
                ordered = self._ordered(held)
                yield from ordered[:HORIZON_LINES]
                held = [(line.recv_ns, line.number, line.raw) for line in ordered[HORIZON_LINES:]]
        yield from self._ordered(held)

    def _ordered(self, held: list[tuple[int, int, bytes]]) -> list[Line]:
        times = np.array([item[0] for item in held], np.int64)
        if len(times):
            self.first_recv_ns = min(self.first_recv_ns or int(times.min()), int(times.min()))
            self.last_recv_ns = max(self.last_recv_ns, int(times.max()))
        if not (times[1:] < times[:-1]).any():
            return [Line(recv, self.index, number, raw, False) for recv, number, raw in held]
        order = np.argsort(times, kind="stable").tolist()
        moved = displaced(times)
        found = [Line(held[k][0], self.index, held[k][1], held[k][2], k in moved) for k in order]
        for at, line in enumerate(found):
            if line.moved:
                follower = f"before line {found[at + 1].number}" if at + 1 < len(found) else "last"
                self.reordered += 1
                self.problems.add(
                    self.name,
                    line.number,
                    "reordered",
                    f"out of order by receive time, restored: it belongs {follower}",
                )
        return found


def displaced(times: I64) -> set[int]:
    """Positions of lines that stand out of order: as few as possible, but both of two that were swapped."""
    order = np.argsort(times, kind="stable")
    wrong = np.flatnonzero(order != np.arange(len(times)))
    if not len(wrong):
        return set()
    low, high = int(wrong[0]), int(wrong[-1]) + 1
    kept = _longest_rising(times[low:high].tolist())
    few = set(range(low, high)) - {low + k for k in kept}
    return set(wrong.tolist()) if len(wrong) <= 2 * len(few) else few


def _longest_rising(values: list[int]) -> list[int]:
    """Positions of a longest non-decreasing subsequence."""
    tails: list[int] = []  # least last value of a subsequence of each length
    tail_at: list[int] = []
    before: list[int] = []
    for at, value in enumerate(values):
        place = bisect_right(tails, value)
        before.append(tail_at[place - 1] if place else -1)
        if place == len(tails):
            tails.append(value)
            tail_at.append(at)
        else:
            tails[place] = value
            tail_at[place] = at
    found = []
    at = tail_at[-1] if tail_at else -1
    while at >= 0:
        found.append(at)
        at = before[at]
    return found


def open_files(paths: list[Path]) -> list[RawFile]:
    """The files to read, in the order of their first receive time; files without any come last."""
    seen: set[Path] = set()
    starts = []
    for path in paths:
        if path.resolve() in seen:
            raise InputError("is named twice", source=str(path))
        seen.add(path.resolve())
        first = next(RawFile(path, 0).parsed(), None)
        starts.append((NEVER_NS if first is None else first[0], str(path), path))
    return [RawFile(path, index, start_ns=start) for index, (start, _, path) in enumerate(sorted(starts))]


def merged_lines(files: list[RawFile]) -> Iterator[Line]:
    """All lines of the files, as ``open_files`` orders them, by receive time. A file is opened when its turn comes."""
    waiting = list(reversed(files))
    heads: list[tuple[int, int, Line, Iterator[Line]]] = []  # a heap; one entry a file, so lines are never compared
    while waiting or heads:
        while waiting and (not heads or waiting[-1].start_ns <= heads[0][0]):
            lines = waiting.pop().sorted_lines()
            line = next(lines, None)
            if line is not None:
                heappush(heads, (line.recv_ns, line.file, line, lines))
        if heads:
            _, index, line, lines = heads[0]
            yield line
            follower = next(lines, None)
            if follower is None:
                heappop(heads)
            else:
                heapreplace(heads, (follower.recv_ns, index, follower, lines))
