"""From blocks of messages in receive order to recordings in the lake: the one path of all importers of archives.

Theory of operation. A format module turns its files into *streams*: iterators of ``MessageBlock`` in the order of the
file, whose ``ts_recv`` is what the file says of the receipt (or the venue's time plus a stated latency). ``merged``
joins the streams of one instrument by receive time with one block a stream in memory. An ``Assembly`` takes the result,
drops repeated trades and impossible times, counts everything, and spools it; when a recording ends it goes the way of
every capture (``Ending``).

A recording ends where the files say nothing of the instrument for ``ABSENT_NS``: days are missing there. The venue time
of book messages never goes back, because nobody can have used a change before the ones that precede it. ``ref`` of book
messages without the venue's update ids is their venue time, and that of best quotes one less: a book of the same
instant is the newer one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from matching.codes import (
    BBO,
    DEPTH,
    FORCE,
    FUNDING,
    GAP,
    MARK,
    OFFBOOK,
    SNAPSHOT,
    TRADE,
)  # fmt: skip
from matching.feed import I32, I64, U8
from recorders.blocks import AUX_WIDTH, MessageBlock, join
from recorders.ending import Days, Ending, Rules
from recorders.files import SourceFile
from recorders.report import ImportReport
from recorders.spool import AGGREGATE, OWN_CLOCK, Spool
from recorders.writer import FeedWriter
from venues.instruments import Instrument
from venues.rules import DAY_NS

ABSENT_NS: Final = 12 * 3_600_000_000_000
IDS_REMEMBERED: Final = 8192
_LEVELS: Final = (DEPTH, SNAPSHOT)
_BOOK: Final = (*_LEVELS, GAP)


def messages(
    kind: int | U8,
    ts_event: I64,
    ts_recv: I64,
    ref: I64,
    rows: tuple[U8, I32, I32] | None = None,
    counts: I64 | None = None,
    aux: I64 | None = None,
) -> MessageBlock:
    """A block. ``rows`` are (side, ticks, lots), ``counts`` how many of them each message has (None: one each)."""
    n = len(ts_event)
    if rows is None:
        rows = np.zeros(0, np.uint8), np.zeros(0, np.int32), np.zeros(0, np.int32)
        counts = np.zeros(n, np.int64)
    steps = np.ones(n, np.int64) if counts is None else counts
    return MessageBlock(
        ts_event=np.ascontiguousarray(ts_event, np.int64),
        ts_recv=np.ascontiguousarray(ts_recv, np.int64),
        ts_recv_raw=np.ascontiguousarray(ts_recv, np.int64),
        kind=np.full(n, kind, np.uint8) if isinstance(kind, int) else kind,
        ref=np.ascontiguousarray(ref, np.int64),
        row_start=np.concatenate((np.zeros(1, np.int64), np.cumsum(steps))),
        side=rows[0].astype(np.uint8),
        px_ticks=rows[1].astype(np.int32),
        qty_lots=rows[2].astype(np.int32),
        aux=np.zeros((0, AUX_WIDTH), np.int64) if aux is None else aux,
    )


def ladder(
    kind: int, event: I64, recv: I64, ref: I64, ticks: list[I64], lots: list[I64], sides: list[int]
) -> MessageBlock:
    """Messages of a fixed number of levels, one column each; a level without a size has no row."""
    sizes = np.stack(lots, 1)
    there = sizes > 0
    side = np.broadcast_to(np.array(sides, np.uint8), sizes.shape)[there]
    prices = np.stack(ticks, 1)[there].astype(np.int32)
    return messages(kind, event, recv, ref, (side, prices, sizes[there].astype(np.int32)), there.sum(1))


def gap_message(kind: int, ts_event: int, ts_recv: int, first_lost: int, last_lost: int, span_ns: int) -> MessageBlock:
    """A GAP: from ``ts_event`` on nobody knows the book."""
    one = np.zeros(1, np.int64)
    aux = np.array([[kind, first_lost, last_lost, span_ns]], np.int64)
    return messages(GAP, one + ts_event, one + ts_recv, one, aux=aux)


def with_gaps(block: MessageBlock, gaps: Sequence[tuple[int, MessageBlock]]) -> MessageBlock:
    """A block with GAP messages put in front of the messages at the given places, which rise."""
    parts: list[MessageBlock] = []
    at = 0
    for place, gap in gaps:
        parts += [block.cut(at, place), gap]
        at = place
    return join([*parts, block.cut(at, len(block))])


def merged(streams: Sequence[Iterator[MessageBlock]]) -> Iterator[MessageBlock]:
    """The messages of several streams by receive time; what a stream says out of order stays where it stands."""
    heads = [_Head(stream) for stream in streams]
    while heads := [head for head in heads if head.more()]:
        horizon = min(int(head.times[-1]) for head in heads)
        parts, times = [], []
        for head in heads:
            part, when = head.until(horizon)
            if len(part):
                parts.append(part)
                times.append(when)
        block = join(parts)
        if len(parts) > 1:
            block = block.take(np.argsort(np.concatenate(times), kind="stable"))
        yield block


class _Head:
    """A stream, of which one block is in memory; ``times`` are its receive times, made to rise."""

    def __init__(self, stream: Iterator[MessageBlock]) -> None:
        self._stream = stream
        self._block: MessageBlock | None = None
        self._last = 0
        self.times: I64 = np.zeros(0, np.int64)

    def more(self) -> bool:
        while self._block is None or not len(self._block):
            self._block = next(self._stream, None)
            if self._block is None:
                return False
            if len(self._block):
                self.times = np.maximum.accumulate(np.maximum(self._block.ts_recv, self._last))
                self._last = int(self.times[-1])
        return True

    def until(self, horizon: int) -> tuple[MessageBlock, I64]:
        assert self._block is not None
        stop = int(self.times.searchsorted(horizon, side="right"))
        part, when = self._block.cut(0, stop), self.times[:stop]
        self._block, self.times = self._block.cut(stop, len(self._block)), self.times[stop:]
        return part, when


@dataclass(slots=True)
class Traits:
    """What a format says of its times and ids. ``clocked``: receive times are a recorder's own. ``counted``: trade ids
    are consecutive numbers. ``asked``: snapshots were asked for, and their times say nothing of the clock.
    ``assumptions`` go into every recording's report."""

    clocked: bool
    counted: bool = False
    asked: bool = True
    assumptions: list[str] = field(default_factory=list)


class Assembly:
    """One instrument's messages on their way into the lake; ``add`` blocks in receive order, then ``close``."""

    def __init__(
        self, instrument: Instrument, sources: list[SourceFile], writer: FeedWriter, report: ImportReport,
        folder: Path, traits: Traits, floor_ns: int,
    ) -> None:  # fmt: skip
        self.instrument = instrument
        self.writer = writer
        self.import_report = report
        self._sources = sources
        self._folder = folder
        self._traits = traits
        self._floor_ns = floor_ns
        self._count = 0
        self._start()

    def _start(self) -> None:
        self._days = Days(self.instrument)
        self._day = self._days.of(0)
        self.report = self._day.report
        self._spool = Spool(self._folder, f"{self.instrument.venue}-{self.instrument.symbol}-{self._count}")
        self._count += 1
        self._seq = 0
        self._book_ns = 0
        self._last_recv = 0
        self._ids = {kind: np.zeros(0, np.int64) for kind in (TRADE, AGGREGATE)}  # seen last
        self._has_book = False

    # -- blocks in

    def add(self, block: MessageBlock) -> None:
        """Take in messages that were received after the earlier ones."""
        silence = np.diff(block.ts_recv, prepend=self._last_recv or block.ts_recv[:1])
        starts = np.flatnonzero(silence >= ABSENT_NS).tolist()
        for start, stop in zip([0, *starts], [*starts, len(block)], strict=True):
            if start in starts:
                self.finish()
            if stop > start:
                self._take(block.cut(start, stop))

    def _take(self, block: MessageBlock) -> None:
        block = self._possible(self._begun(block))
        block = self._fresh(block)
        if not len(block):
            return
        recv = block.ts_recv_raw
        self._last_recv = int(recv[-1])
        self.report.first_recv_ns = self.report.first_recv_ns or int(recv[0])
        self.report.last_recv_ns = max(self.report.last_recv_ns, int(recv.max()))
        book = np.flatnonzero(np.isin(block.kind, _BOOK))
        if len(book):
            self._has_book = True
            event, ref = block.ts_event.copy(), block.ref.copy()
            timed = book[(ref[book] == event[book]) & (block.kind[book] != GAP)]
            event[book] = np.maximum.accumulate(np.maximum(event[book], self._book_ns))
            self._book_ns = int(event[book[-1]])
            ref[timed] = event[timed]
            block.ts_event, block.ref = event, ref
        untimed = (block.kind == GAP) | (self._traits.asked & (block.kind == SNAPSHOT))
        made = np.where(untimed, 0, block.ts_event) if self._traits.clocked else None
        if made is not None:  # the venue told no time, and the recorder's stands in for it
            made[(block.ts_event == block.ts_recv) & ~untimed] = OWN_CLOCK
        self._spool.add_block(block, made, np.arange(self._seq, self._seq + len(block)))
        self._seq += len(block)
        self._tally(block)

    def _begun(self, block: MessageBlock) -> MessageBlock:
        """Without gaps before the recording's first book: what they end is the recording before, hours ago."""
        if self._has_book:
            return block
        known = np.isin(block.kind, _LEVELS)
        before = int(np.argmax(known)) if known.any() else len(block)
        early = (block.kind == GAP) & (np.arange(len(block)) < before)
        return block.take(np.flatnonzero(~early)) if early.any() else block

    def _possible(self, block: MessageBlock) -> MessageBlock:
        """Without messages whose venue time is more than a day from their receipt: that is no venue time."""
        good = np.abs(block.ts_recv - block.ts_event) <= DAY_NS
        if good.all():
            return block
        bad = int((~good).sum())
        self.report.malformed += bad
        self.import_report.problems.add(
            self._sources[0].name, 0, "malformed",
            f"{bad} messages of {self.instrument.symbol} whose venue time is more than a day from their receive time",
        )  # fmt: skip
        return block.take(np.flatnonzero(good))

    def _fresh(self, block: MessageBlock) -> MessageBlock:
        """Without prints whose id was seen among the last ``IDS_REMEMBERED``."""
        keep = np.ones(len(block), np.bool_)
        for kind in (TRADE, AGGREGATE):
            same = (block.kind == kind) | ((block.kind == OFFBOOK) & (kind == TRADE))
            at = np.flatnonzero(same & (block.ref != 0))
            if not len(at):
                continue
            ids = block.ref[at]
            first = np.zeros(len(at), np.bool_)
            first[np.unique(ids, return_index=True)[1]] = True
            first &= ~np.isin(ids, self._ids[kind])
            self._ids[kind] = np.concatenate((self._ids[kind], ids))[-IDS_REMEMBERED:]
            if kind == TRADE:
                low, high = self._day.ids or (int(ids[0]), int(ids[0]))
                self._day.ids = min(low, int(ids.min())), max(high, int(ids.max()))
            if not first.all():
                keep[at[~first]] = False
                self._repeated(int((~first).sum()), int(ids[np.argmin(first)]))
        return block if keep.all() else block.take(np.flatnonzero(keep))

    def _repeated(self, again: int, name: int) -> None:
        self.report.duplicates += again
        self.import_report.problems.add(
            self._sources[0].name, 0, "duplicate", f"{again} trades were seen before, the first with id {name}; dropped"
        )

    def _tally(self, block: MessageBlock) -> None:
        report = self.report
        counts = np.bincount(block.kind, minlength=AGGREGATE + 1)
        report.aggregates_unused += int(counts[AGGREGATE])
        report.trades += int(counts[TRADE])
        report.offbook += int(counts[OFFBOOK])
        report.quotes += int(counts[BBO])
        report.marks += int(counts[MARK] + counts[FUNDING])
        report.forced += int(counts[FORCE])
        report.diffs += int(counts[DEPTH])
        report.count_gaps(block)
        report.snapshots += int(counts[SNAPSHOT])

    # -- recordings out

    def finish(self) -> None:
        """End the recording and write it."""
        report, spool = self.report, self._spool
        spool.flush()
        if spool.messages:
            report.sources = [source.as_dict() for source in self._sources]
            report.assumptions = list(self._traits.assumptions)
            report.lines = spool.messages
            rules = Rules(self._floor_ns if self._traits.clocked else 0, self._traits.counted)
            problems = self.import_report.problems
            Ending(spool, self.writer, self._days, rules, has_book=self._has_book).write(problems)
            self.import_report.recordings.append(report)
        spool.discard()
        self._start()


def assemble(assembly: Assembly, streams: Iterable[Iterator[MessageBlock]]) -> None:
    """Run the streams of one instrument through an assembly."""
    for block in merged(list(streams)):
        assembly.add(block)
    assembly.finish()
