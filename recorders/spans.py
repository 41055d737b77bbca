"""The blocks of one instrument in the lake, in venue order, for readers that pick their own.

A *chain* is a stretch of blocks without a hole between them: one recording, or several of which each continues the
one before. Between chains nothing is known.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from matching.feed import FeedWindow
from recorders.blocks import MessageBlock
from recorders.dayfile import BlockInfo, DayFile, Levels

FOREVER: Final = (1 << 63) - 1
NEVER: Final = -FOREVER


@dataclass(frozen=True, slots=True)
class Place:
    """A block in its file; ``chain`` numbers the chains of its span."""

    file: int
    block: BlockInfo
    recording: str
    chain: int


class Span:
    """The blocks of consecutive day files. Footers are read when it is made, blocks one at a time when asked for."""

    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths
        self._open: tuple[int, DayFile] | None = None
        self.places: list[Place] = []
        before = ""
        chain = -1
        for at in range(len(paths)):
            file = self._file(at)
            reports = file.about["recordings"]
            for block in file.blocks:
                report = reports[block.recording]
                name = report["recording"]
                if not self.places or before not in (name, report.get("continues", "")):
                    chain += 1
                before = name
                self.places.append(Place(at, block, name, chain))
        self._firsts = [place.block.first_event for place in self.places]
        self._known: tuple[Place, MessageBlock] | None = None
        self._window: tuple[Place, FeedWindow] | None = None

    def _file(self, at: int) -> DayFile:
        if self._open is None or self._open[0] != at:
            self._open = at, DayFile(self._paths[at])
        return self._open[1]

    def at_or_before(self, ts_ns: int) -> int:
        """Index of the last block that begins at or before an instant of venue time; -1 if none does."""
        return bisect_right(self._firsts, ts_ns) - 1

    def within(self, from_ns: int, to_ns: int) -> Iterator[Place]:
        """The blocks that hold messages of venue time in [from_ns, to_ns), perhaps beside others."""
        for place in self.places:
            if place.block.last_event >= from_ns and place.block.first_event < to_ns:
                yield place

    def message_block(self, place: Place) -> MessageBlock:
        """A block with everything that is kept of it. The last one is remembered."""
        if self._known is None or self._known[0] is not place:
            self._known = place, self._file(place.file).message_block(place.block)
        return self._known[1]

    def window(self, place: Place) -> FeedWindow:
        """A block as the kernel reads it; its payloads count from 0. The last one is remembered."""
        if self._window is None or self._window[0] is not place:
            self._window = place, self._file(place.file).window(place.block, 0)
        return self._window[1]

    def checkpoint(self, place: Place) -> Levels:
        """The depth-only book before a block."""
        return self._file(place.file).checkpoint(place.block)
