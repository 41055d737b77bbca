"""Bars of a slice as polars frames: the bars of ``recorders.resample`` with the holes of the feed and the best quotes.

A *hole* (start, end] is a stretch that the feed lost: the span that a GAP message names (by the client's clock: the
instant at which it was received), or the time between two recordings. A bar is flagged when a hole overlaps it. The
quotes are those of the book at the bar's end, by the same clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from matching.codes import GAP, TRADE
from matching.feed import I64
from recorders.blocks import MessageBlock
from recorders.frames import best_columns, rows_of
from recorders.resample import COLUMNS, TIME, BarMaker, BarSpec, Prints
from recorders.snapshots import OK, BookWalk
from recorders.spans import FOREVER, NEVER

if TYPE_CHECKING:
    from recorders.access import Market

LAST_NS = 1 << 62


class BarFrames:
    """Makes the bars of a slice, a frame for each block that completes some."""

    def __init__(self, market: Market, spec: BarSpec, clock: str, *, quotes: bool) -> None:
        self._market = market
        self._spec = spec
        self._by_event = clock == "event"
        self._clock = clock
        self._quotes = quotes
        self._maker: BarMaker | None = None
        self._walk: BookWalk | None = None
        self._holes: list[tuple[int, int]] = []  # not yet behind every open bar
        self._waiting: list[Prints] = []
        self._until = -LAST_NS

    def frames(self) -> Iterator[pl.DataFrame]:
        """The bars in order; at most the last is not complete."""
        market = self._market
        span = market.span(market.from_ns, market.to_ns)
        chain, end_ns = -1, 0
        for place in span.within(market.from_ns, market.to_ns):
            block = market.part(span.message_block(place))
            if not len(block):
                continue
            time = block.ts_event if self._by_event else block.ts_recv
            if self._maker is None:
                start_ns = int(block.ts_event[0]) if market.from_ns == NEVER else market.from_ns
                self._maker = BarMaker(self._spec, start_ns)
            if chain not in (-1, place.chain):
                self._holes.append((end_ns, int(time[0])))
            chain = place.chain
            self._note_gaps(block)
            end_ns = max(end_ns, int(time.max()))
            yield from self._close(self._ready(block), complete=True)
        self._until = min(market.to_ns, end_ns) if market.to_ns != FOREVER else end_ns
        if self._maker is not None:
            yield from self._finish()

    def _note_gaps(self, block: MessageBlock) -> None:
        for j in np.flatnonzero(block.kind == GAP).tolist():
            if self._by_event:  # stamped where the feed broke off, received where that was noticed
                start = int(block.ts_event[j])
                self._holes.append((start, start + max(1, int(block.aux[block.ref[j], 3]))))
            else:
                end = int(block.ts_recv[j])
                self._holes.append((end - 1, end))

    # -- prints

    def _ready(self, block: MessageBlock) -> I64:
        """Bars of the prints that no message of a later block can precede."""
        message, rows = rows_of(block, np.flatnonzero(block.kind == TRADE))
        time = (block.ts_event if self._by_event else block.ts_recv)[message]
        found = Prints(
            time, block.side[rows].astype(np.int64), block.px_ticks[rows].astype(np.int64),
            block.qty_lots[rows].astype(np.int64),
        )  # fmt: skip
        assert self._maker is not None
        if self._by_event:
            return self._maker.add(found)
        known = _ordered([*self._waiting, found])
        ready = int(known.time_ns.searchsorted(block.ts_event[-1], side="left"))
        self._waiting = [_part(known, ready, len(known))]
        return self._maker.add(_part(known, 0, ready))

    def _finish(self) -> Iterator[pl.DataFrame]:
        assert self._maker is not None
        if self._waiting:
            yield from self._close(self._maker.add(self._waiting[0]), complete=True)
        rows = self._maker.finish()
        by_time = self._spec.form == TIME
        yield from self._close(rows, complete=by_time and bool(len(rows)) and int(rows[0, 1]) <= self._until)

    # -- frames

    def _close(self, rows: I64, *, complete: bool) -> Iterator[pl.DataFrame]:
        if not len(rows):
            return
        columns: dict[str, Any] = {name: np.ascontiguousarray(rows[:, k]) for k, name in enumerate(COLUMNS)}
        columns["gap"] = self._touched(rows)
        if self._quotes:
            columns |= self._best(columns["end_ns"])
        columns["complete"] = np.full(len(rows), complete)
        yield pl.DataFrame(columns)

    def _touched(self, rows: I64) -> Any:
        found = np.zeros(len(rows), np.bool_)
        for start, end in self._holes:
            found |= (start < rows[:, 1]) & (end > rows[:, 0])
        last = int(rows[-1, 1])
        self._holes = [hole for hole in self._holes if hole[1] > last]
        return found

    def _best(self, ends: I64) -> dict[str, Any]:
        if self._walk is None:
            self._walk = self._market.walk(int(ends[0]), min(self._market.to_ns, LAST_NS), self._clock)
        best = np.zeros((len(ends), 4), np.int64)
        for k, ts_ns in enumerate(ends.tolist()):
            if self._walk.seek(ts_ns) == OK:
                best[k] = self._walk.best()
        return best_columns(best)


def _part(prints: Prints, start: int, stop: int) -> Prints:
    return Prints(*(column[start:stop] for column in (prints.time_ns, prints.side, prints.ticks, prints.lots)))


def _ordered(parts: list[Prints]) -> Prints:
    """Prints in order of their times, at equal times in the order given."""
    joined = [np.concatenate([getattr(p, name) for p in parts]) for name in ("time_ns", "side", "ticks", "lots")]
    order = np.argsort(joined[0], kind="stable")
    return Prints(*(column[order] for column in joined))


def empty_bars(*, quotes: bool) -> pl.DataFrame:
    """A frame of bars without a row."""
    columns: dict[str, Any] = dict.fromkeys(COLUMNS, np.zeros(0, np.int64))
    columns["gap"] = np.zeros(0, np.bool_)
    if quotes:
        columns |= best_columns(np.zeros((0, 4), np.int64))
    return pl.DataFrame(columns | {"complete": np.zeros(0, np.bool_)})
