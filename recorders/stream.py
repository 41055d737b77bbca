"""One instrument's captured records, cut into recordings and written to the lake.

Theory of operation. A recording is a contiguous session of the recorder, across day files. It ends where the recorder
was away: nothing of the instrument was received for ``SESSION_SILENCE_NS`` (or, from one file to the next, for
``FILE_SILENCE_NS``) and the next depth diff does not follow the last one. Records received between such a silence and
the diff that decides are held back (at most ``UNDECIDED_MAX``). The snapshot with which the next recording starts is
its join, not the repair of a gap. A chain that breaks otherwise is a gap within the recording. Files of one session
that are imported one by one are recordings of their own; the first diff of the later one then follows the last one in
the lake, whose book is carried on (``continues``), and no end of a session lies between them.

While a recording lasts, its messages go to a spool in receive order. When it ends, its clock is estimated, the messages
are put in venue order, and the lake's writer lays them down while the audit book checks them.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from matching.codes import BBO, BUY, FORCE, MARK, OFFBOOK, SELL, TRADE
from recorders.files import SourceFile
from recorders.joining import BookJoin
from recorders.lines import Line, RawFile
from recorders.report import ImportReport, Problems, RecordingReport
from recorders.spool import AGGREGATE, Spool
from recorders.writer import FeedWriter
from venues.instruments import Instrument
from venues.market_data import AggTrade, BookTicker, DepthDiff, DepthSnapshot, ForceOrder, MarkPrice, Trade
from venues.rules import DAY_NS

SESSION_SILENCE_NS: Final = 60_000_000_000
FILE_SILENCE_NS: Final = 5_000_000_000
LATE_NS: Final = 60_000_000_000  # engine time this far off the messages before it is no engine time
UNDECIDED_MAX: Final = 4096
IDS_REMEMBERED: Final = 8192
_SIDES: Final = (b"\0", b"\1")


class _Seen:
    """What the last ``IDS_REMEMBERED`` messages of a stream were, to drop those that a recorder received twice."""

    def __init__(self) -> None:
        self._ids: OrderedDict[int | tuple[int, ...], None] = OrderedDict()

    def repeats(self, key: int | tuple[int, ...]) -> bool:
        if key in self._ids:
            return True
        self._ids[key] = None
        if len(self._ids) > IDS_REMEMBERED:
            self._ids.popitem(last=False)
        return False


@dataclass(slots=True)
class Shared:
    """What all streams of one import share."""

    files: list[RawFile]
    sources: list[SourceFile]
    problems: Problems
    report: ImportReport
    spool_folder: Path
    floor_ns: int


class InstrumentStream:
    """One instrument's records, cut into recordings."""

    def __init__(self, shared: Shared, instrument: Instrument, writer: FeedWriter) -> None:
        self._shared = shared
        self.instrument = instrument
        self.writer = writer
        self.price_ticks = 0  # about where the market is
        self._undecided: list[tuple[Any, Line]] | None = None
        self._recv_last = 0
        self._file_last = -1
        self._silence_ns = 0
        self._count = 0
        self._start()

    def _start(self) -> None:
        """A new recording."""
        self.report = RecordingReport("", self.instrument.venue, self.instrument.symbol)
        self._spool = Spool(self._shared.spool_folder, f"{self.instrument.symbol}-{self._count}")
        self._count += 1
        self._join = BookJoin(self._spool, self.report, self._shared.problems)
        self._seq = 0
        self._quiet_ns = 0  # longest silence since the last diff
        self._made_last = self._event_last = self._recv_of_made = 0
        self._trades = _Seen()
        self._aggregates = _Seen()
        self._quotes = _Seen()
        self._marks = _Seen()
        self._forced = _Seen()
        self._ids: tuple[int, int] | None = None
        self._files: set[int] = set()

    # -- recordings

    def take(self, record: Any, line: Line) -> None:
        """Take in a record of this instrument."""
        silence_ns = line.recv_ns - self._recv_last if self._recv_last else 0
        moved_on = self._file_last >= 0 and line.file != self._file_last
        self._recv_last, self._file_last = line.recv_ns, line.file
        if self._undecided is None and (
            silence_ns >= SESSION_SILENCE_NS or (moved_on and silence_ns >= FILE_SILENCE_NS)
        ):
            self._undecided = []
            self._silence_ns = silence_ns
        if self._undecided is None:
            self._put(record, line, silence_ns)
            return
        self._undecided.append((record, line))
        if isinstance(record, DepthDiff):
            self._decide(not self._join.continues(record) or self._join.last_id is None)
        elif len(self._undecided) >= UNDECIDED_MAX:
            self._decide(self._silence_ns >= SESSION_SILENCE_NS)

    def _decide(self, another: bool) -> None:
        """After a silence: whether what came since belongs to another recording."""
        held, self._undecided = self._undecided or [], None
        if another:
            self.finish()
        for record, line in held:
            self._put(record, line, self._silence_ns)

    def close(self) -> None:
        """The input has ended."""
        if self._undecided is not None:
            self._decide(self._silence_ns >= SESSION_SILENCE_NS)
        self.finish()

    def finish(self) -> None:
        """End the recording: estimate its clock, put it in order, write it."""
        report, spool, writer = self.report, self._spool, self.writer
        self._join.finish()
        spool.flush()
        if spool.messages:
            report.recording = f"{report.venue}/{report.instrument}/{report.first_recv_ns}"
            report.sources = [self._shared.sources[k].as_dict() for k in sorted(self._files)]
            series = spool.clock.series(self._shared.floor_ns)
            report.clock_offset_ns = spool.clock.offset_ns
            report.clock_corrected = series is not None
            report.latency_floor_ns = self._shared.floor_ns
            report.latency_least_ns = self._shared.floor_ns if series is not None else report.clock_offset_ns
            writer.begin(report.recording, spool.first_ns, spool.last_ns)
            first_ns = last_ns = 0
            for block in spool.venue_order(series, aggregates=not report.trades):
                first_ns = first_ns or int(block.ts_event[0])
                last_ns = int(block.ts_event[-1])
                writer.append(block)
            counts = writer.flush()
            report.first_ns, report.last_ns = first_ns, last_ns
            report.messages, report.rows = writer.messages, writer.rows
            report.crossed, report.bbo_equal, report.bbo_different = (
                counts.crossed,
                counts.bbo_equal,
                counts.bbo_different,
            )
            report.bbo_examples = counts.examples
            self._close_gaps(report, last_ns)
            writer.end(report.as_dict(), None if series is None else series.as_dict())
            self._shared.report.recordings.append(report)
        spool.discard()
        self._start()

    def _close_gaps(self, report: RecordingReport, last_ns: int) -> None:
        if report.trades:
            if self._ids is not None:
                low, high = self._ids
                report.trades_missing = max(0, high - low + 1 - report.trades - report.offbook)
        else:
            report.trades, report.aggregates_unused = report.aggregates_unused, 0
        report.stale_at_end = not self._join.valid
        if report.diffs and report.stale_at_end and not report.gap_list:
            self._shared.problems.add(
                report.sources[0]["name"], 0, "no_snapshot",
                f"{report.venue} {report.instrument}: no snapshot that the depth updates join: "
                "the book is unknown from the first message to the last",
            )  # fmt: skip
        stale_from = None
        for gap in report.gap_list:
            end_ns = last_ns if gap["end_ns"] is None else gap["end_ns"]
            gap["stale_ns"] = end_ns - gap["start_ns"]
            if stale_from is None or gap["start_ns"] >= stale_from:
                report.stale_ns += gap["stale_ns"]
            stale_from = end_ns

    # -- records

    def _put(self, record: Any, line: Line, silence_ns: int) -> None:
        report = self.report
        self._quiet_ns = max(self._quiet_ns, silence_ns)
        report.first_recv_ns = report.first_recv_ns or line.recv_ns
        report.last_recv_ns = line.recv_ns
        report.lines += 1
        report.reordered += line.moved
        self._files.add(line.file)
        if not self._sane_time(record, line):
            return
        handler = _HANDLERS[type(record)]
        if handler is not None:
            handler(self, record, line)
        elif isinstance(record, DepthDiff):
            self._depth(record, line)
        else:
            self._join.snapshot(record, line.recv_ns, self._name(line), line.number)

    def _name(self, line: Line) -> str:
        return self._shared.files[line.file].name

    def _sane_time(self, record: Any, line: Line) -> bool:
        """Refuse engine times that cannot be: they would bend the clock estimate and the order of everything else."""
        event, made, recv = record.ts_event_ns, max(record.ts_event_ns, record.ts_push_ns), line.recv_ns
        snapshot = isinstance(record, DepthSnapshot)  # its engine time is the book's last change, however long ago
        why = ""
        if abs(recv - made) > DAY_NS:
            why = "more than a day from its receive time"
        elif self._made_last and made > self._made_last + max(0, recv - self._recv_of_made) + LATE_NS:
            why = f"{(made - self._made_last) / 1e9:.3f} s ahead of the message before"
        elif not snapshot and event < self._event_last - LATE_NS:
            why = f"{(self._event_last - event) / 1e9:.3f} s behind the message before"
        if why:
            self.refuse(line, f"venue time {made} is {why}")
            return False
        if made > self._made_last:
            self._made_last, self._recv_of_made = made, recv
        self._event_last = max(self._event_last, 0 if snapshot else event)
        return True

    def refuse(self, line: Line, why: str) -> None:
        """Count and name a line that cannot be used."""
        self.report.malformed += 1
        self._shared.files[line.file].malformed += 1
        self._shared.problems.add(self._name(line), line.number, "malformed", why)

    def _repeated(self, line: Line, what: str) -> None:
        self.report.duplicates += 1
        self._shared.problems.add(self._name(line), line.number, "duplicate", f"{what} was seen before; dropped")

    def _add(
        self, kind: int, record: Any, line: Line, ref: int, sides: bytes, ticks: list[int], lots: list[int]
    ) -> None:
        self._seq += 1
        event = record.ts_event_ns
        made = max(event, record.ts_push_ns)
        self._spool.add(kind, event, made, line.recv_ns, ref, self._seq, sides, ticks, lots)

    def _depth(self, record: DepthDiff, line: Line) -> None:
        if record.bid_ticks:
            self.price_ticks = max(record.bid_ticks)
        if self._count == 1 and not self.report.diffs and self._join.last_id is None:
            found = self.writer.book_before(record.ts_event_ns)
            if found is not None and found[1].update_id == record.previous_id:
                self.report.continues = found[0]
                self._join.carry_on(record, line.recv_ns, found[1].book)
        self._join.diff(record, line.recv_ns, self._name(line), line.number, self._quiet_ns)
        self._quiet_ns = 0

    def _trade(self, record: Trade, line: Line) -> None:
        if self._trades.repeats(record.trade_id):
            self._repeated(line, f"trade {record.trade_id}")
            return
        low, high = self._ids or (record.trade_id, record.trade_id)
        self._ids = (min(low, record.trade_id), max(high, record.trade_id))
        if record.on_book:
            self.report.trades += 1
            self.price_ticks = record.ticks
        else:
            self.report.offbook += 1
        kind = TRADE if record.on_book else OFFBOOK
        self._add(kind, record, line, record.trade_id, _SIDES[record.side], [record.ticks], [record.lots])

    def _aggregate(self, record: AggTrade, line: Line) -> None:
        if self._aggregates.repeats(record.agg_id):
            self._repeated(line, f"aggregate trade {record.agg_id}")
            return
        self.report.aggregates_unused += 1
        self._add(AGGREGATE, record, line, record.last_trade_id, _SIDES[record.side], [record.ticks], [record.lots])

    def _quote(self, record: BookTicker, line: Line) -> None:
        key = (record.update_id, record.bid_ticks, record.bid_lots, record.ask_ticks, record.ask_lots)
        if self._quotes.repeats(key):
            self._repeated(line, f"best quote {record.update_id}")
            return
        self.report.quotes += 1
        sides, ticks, lots = b"", [], []
        if record.bid_lots:
            sides, ticks, lots = _SIDES[BUY], [record.bid_ticks], [record.bid_lots]
            self.price_ticks = record.bid_ticks
        if record.ask_lots:
            sides, ticks, lots = sides + _SIDES[SELL], [*ticks, record.ask_ticks], [*lots, record.ask_lots]
        self._add(BBO, record, line, record.update_id, sides, ticks, lots)

    def _mark(self, record: MarkPrice, line: Line) -> None:
        if self._marks.repeats(record.ts_event_ns):
            self._repeated(line, f"mark price of {record.ts_event_ns}")
            return
        self.report.marks += 1
        self._seq += 1
        event = record.ts_event_ns
        self._spool.add(
            MARK,
            event,
            max(event, record.ts_push_ns),
            line.recv_ns,
            0,
            self._seq,
            b"",
            [],
            [],
            (record.mark_e8, record.index_e8, record.rate_e12 or 0, record.next_funding_ns),
        )

    def _force(self, record: ForceOrder, line: Line) -> None:
        if self._forced.repeats((record.ts_event_ns, record.side, record.ticks, record.lots)):
            self._repeated(line, f"liquidation order of {record.ts_event_ns}")
            return
        self.report.forced += 1
        self._add(FORCE, record, line, 0, _SIDES[record.side], [record.ticks], [record.lots])


_HANDLERS: Final[dict[type, Any]] = {
    DepthDiff: None,
    DepthSnapshot: None,
    Trade: InstrumentStream._trade,
    AggTrade: InstrumentStream._aggregate,
    BookTicker: InstrumentStream._quote,
    MarkPrice: InstrumentStream._mark,
    ForceOrder: InstrumentStream._force,
}
