"""Reading a feed from the lake, in windows.

Theory of operation. A ``LakeSource`` gives out the blocks of consecutive day files as feed windows (a block is never
larger than 65,536 messages; ``window_messages`` below that cuts it further), so memory does not grow with the feed.
Blocks come from the hot cache where it has them, and go there when they had to be decoded (``recorders/hot.py``).

With ``from_ns`` it starts at the checkpoint of the block that contains that instant, rolls the book forward over the
block's earlier messages, and hands out what a run that starts here must know, all stamped ``from_ns``: a SNAPSHOT of
the depth-only book, the best quotes that are newer than it, the last mark. Their receive time is the latest of the
messages they sum up (at least ``from_ns``), so that a strategy does not see the book before it could have. Where the
book was not valid, a GAP says so instead.

Between two recordings there is nothing, and the venue's book went on without us: a GAP of kind GAP_SESSION_END is
handed out right after the last message of the earlier one. It stands in no file, since a lake learns of the later
recording only when that is imported.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from matching.codes import BBO, GAP, GAP_SEQUENCE, GAP_SESSION_END, MARK, SNAPSHOT
from matching.feed import FeedWindow, slice_window, stable_local_order
from recorders.blocks import AUX_WIDTH, MessageBlock
from recorders.book import BookTrack
from recorders.dayfile import BlockInfo, DayFile
from recorders.hot import HotCache, Shape
from venues.errors import InputError
from venues.units import instant_text

WINDOW_MESSAGES: Final = 1 << 18
FOREVER: Final = (1 << 63) - 1

_Small = tuple[int, int, int | list[int], list[int], list[int], list[int]]  # kind, ts_recv, ref or aux, rows


@dataclass(frozen=True, slots=True)
class _Place:
    """A block in its file, which has an ``identity``."""

    file: int
    identity: str
    number: int
    block: BlockInfo
    recording: str
    continues: str


class LakeSource:
    """One instrument's feed between two instants of venue time, [from_ns, to_ns), read forward. A ``FeedSource``.

    ``cache``: where decoded blocks are found and kept, if anywhere.
    """

    def __init__(
        self,
        paths: list[Path],
        name: str,
        from_ns: int | None,
        to_ns: int | None,
        window_messages: int,
        cache: HotCache | None = None,
    ) -> None:
        if window_messages < 1:
            raise InputError(f"a window needs at least 1 message, not {window_messages}", source=name)
        self._paths = paths
        self._from = -FOREVER if from_ns is None else from_ns
        self._to = FOREVER if to_ns is None else to_ns
        self._size = window_messages
        self._cache = cache
        self._file: DayFile | None = None
        self._file_at = -1
        self._aux = 0
        places, outside = self._places()
        messages, self.rows = self._count(places)
        if not messages:
            raise InputError(f"holds no message {self._range_text(outside)}", source=name)
        self._ready = self._windows(places)
        self.first_ns = max(places[0].block.first_event, self._from)
        self.last_ns = max(place.block.recv_max for place in places)

    def next_window(self) -> FeedWindow | None:
        """The next stretch in venue order, or None at the end."""
        return next(self._ready, None)

    @property
    def note(self) -> str:
        """Why the hot cache is not written, for people; empty if all is well with it."""
        return self._cache.note if self._cache is not None else ""

    # -- which blocks

    def _places(self) -> tuple[list[_Place], tuple[int, int]]:
        places = []
        first, last = FOREVER, -FOREVER
        for at in range(len(self._paths)):
            file = self._open(at)
            reports = file.about["recordings"]
            for number, block in enumerate(file.blocks):
                first, last = min(first, block.first_event), max(last, block.last_event)
                if block.last_event >= self._from and block.first_event < self._to:
                    report = reports[block.recording]
                    names = report["recording"], report.get("continues", "")
                    places.append(_Place(at, file.digest, number, block, *names))
        return places, (first, last)

    def _range_text(self, held: tuple[int, int]) -> str:
        asked = []
        if self._from > -FOREVER:
            asked.append(f"from {instant_text(self._from)}")
        if self._to < FOREVER:
            asked.append(f"to {instant_text(self._to)}")
        return f"{' '.join(asked)} (it spans {instant_text(held[0])} to {instant_text(held[1])})" if asked else "at all"

    def _open(self, at: int) -> DayFile:
        if self._file_at != at or self._file is None:
            self._file = DayFile(self._paths[at])
            self._file_at = at
        return self._file

    def _count(self, places: list[_Place]) -> tuple[int, int]:
        """Messages and rows between the limits, exactly; the blocks at either end are looked into."""
        messages = rows = 0
        for place in places:
            block = place.block
            if block.first_event >= self._from and block.last_event < self._to:
                messages, rows = messages + block.count, rows + block.rows
            else:
                window = self._block(place, 0)
                start, stop = self._limits(window)
                messages, rows = messages + stop - start, rows + int(window.row_start[stop] - window.row_start[start])
        return messages, rows

    def _limits(self, window: FeedWindow) -> tuple[int, int]:
        return int(window.ts_event.searchsorted(self._from)), int(window.ts_event.searchsorted(self._to))

    # -- windows

    def _block(self, place: _Place, aux_base: int) -> FeedWindow:
        """A block, mapped or decoded; aux rows count from ``aux_base``."""
        cache, block = self._cache, place.block
        shape = Shape(place.number, block.count, block.rows, block.aux)
        window = cache.read(place.identity, shape, aux_base) if cache is not None else None
        if window is None:
            window = self._open(place.file).window(block, aux_base)
            if cache is not None:
                cache.write(place.identity, shape, window, aux_base)
        return window

    def _windows(self, places: list[_Place]) -> Iterator[FeedWindow]:
        before: _Place | None = None
        last_event = last_recv = 0
        for place in places:
            if before is not None and before.recording not in (place.recording, place.continues):
                yield self._session_end(last_event, last_recv, place.block.first_event)
            window = self._block(place, self._aux)
            start, stop = self._limits(window)
            if before is None and self._starts_inside(place, start):
                yield from self._opening(place, start)
                window = self._block(place, self._aux)
            self._aux += len(window.aux)
            if stop > start:
                last_event = int(window.ts_event[stop - 1])
                last_recv = max(last_recv, place.block.recv_max)
            yield from self._cut(window, start, stop)
            before = place

    def _starts_inside(self, place: _Place, start: int) -> bool:
        block = place.block
        return start > 0 or block.valid or bool(block.quotes) or block.mark is not None

    def _cut(self, window: FeedWindow, start: int, stop: int) -> Iterator[FeedWindow]:
        if start == 0 and stop == len(window) and stop <= self._size:
            yield window
            return
        for first in range(start, stop, self._size):
            yield slice_window(window, first, min(first + self._size, stop))

    def _session_end(self, ts_event: int, ts_recv: int, next_ns: int) -> FeedWindow:
        return self._small([(GAP, ts_recv, [GAP_SESSION_END, 0, 0, next_ns - ts_event], [], [], [])], ts_event)

    def _opening(self, place: _Place, start: int) -> Iterator[FeedWindow]:
        """What is known just before message ``start`` of the first block."""
        block, file = place.block, self._open(place.file)
        track = BookTrack()
        track.resume(file.checkpoint(block), block)
        if start:
            track.run(_message_block(self._block(place, 0)).cut(0, start))
        at = self._from if self._from > -FOREVER else block.first_event
        messages: list[_Small] = []
        if track.valid:
            side, ticks, lots = (column.tolist() for column in track.book.columns())
            messages.append((SNAPSHOT, max(at, track.ts_recv_max), track.update_id, side, ticks, lots))
        elif start or block.update_id:
            messages.append((GAP, at, [GAP_SEQUENCE, 0, 0, 0], [], [], []))
        for update_id, recv, side, ticks, lots in track.quotes:
            messages.append((BBO, max(at, recv), update_id, side, ticks, lots))
        if track.mark is not None:
            messages.append((MARK, max(at, track.mark[AUX_WIDTH]), track.mark[:AUX_WIDTH], [], [], []))
        if messages:
            yield self._small(messages, at)

    def _small(self, messages: list[_Small], ts_event: int) -> FeedWindow:
        """A window of a few messages, all at one venue time."""
        recv = np.array([m[1] for m in messages], np.int64)
        aux_rows: list[list[int]] = []
        refs = []
        for _, _, payload, *_ in messages:
            if isinstance(payload, int):
                refs.append(payload)
            else:
                refs.append(self._aux + len(aux_rows))
                aux_rows.append(payload)
        starts = np.cumsum([0] + [len(m[3]) for m in messages]).astype(np.int64)
        window = FeedWindow(
            ts_event=np.full(len(messages), ts_event, np.int64),
            ts_recv=recv,
            kind=np.array([m[0] for m in messages], np.uint8),
            row_start=starts,
            ref=np.array(refs, np.int64),
            local_order=stable_local_order(recv),
            side=np.array([x for m in messages for x in m[3]], np.uint8),
            px_ticks=np.array([x for m in messages for x in m[4]], np.int32),
            qty_lots=np.array([x for m in messages for x in m[5]], np.int32),
            aux=np.array(aux_rows, np.int64).reshape(-1, AUX_WIDTH),
            aux_base=self._aux,
        )
        self._aux += len(aux_rows)
        return window


def _message_block(window: FeedWindow) -> MessageBlock:
    """A window whose aux rows count from 0 as a block; raw receive times are not known of it."""
    return MessageBlock(
        ts_event=window.ts_event,
        ts_recv=window.ts_recv,
        ts_recv_raw=window.ts_recv,
        kind=window.kind,
        ref=window.ref,
        row_start=window.row_start,
        side=window.side,
        px_ticks=window.px_ticks,
        qty_lots=window.qty_lots,
        aux=window.aux,
    )
