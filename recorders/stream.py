"""One instrument's captured records, cut into recordings and written to the lake.

Theory of operation. A recording is a contiguous session of the recorder, across day files. It ends where the recorder
was away: nothing of the instrument was received for ``SESSION_SILENCE_NS`` (or, from one file to the next, for
``FILE_SILENCE_NS``) and the next depth diff does not follow the last one. Records received between such a silence and
the diff that decides are held back (at most ``UNDECIDED_MAX``). The snapshot with which the next recording starts is
its join, not the repair of a gap. A chain that breaks otherwise is a gap within the recording. Files of one session
that are imported one by one are recordings of their own; the first diff of the later one then follows the last one in
the lake, whose book is carried on (``continues``), and no end of a session lies between them.

While a recording lasts, its messages go to a spool in receive order. When it ends, ``Ending`` writes it.

A raw recording says itself when it was away, so silence cuts nothing there (``by_silence``). It may still be growing,
so each of its days is counted and written down apart (``daily``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from matching.codes import BBO, BUY, FORCE, MARK, OFFBOOK, SELL, TRADE
from recorders.ending import Day, Days, Ending, Rules
from recorders.files import SourceFile
from recorders.joining import BookJoin, Received, Seen
from recorders.lines import Line
from recorders.report import ImportReport, Problems, RecordingReport, Tally
from recorders.spool import AGGREGATE, OWN_CLOCK, Spool
from recorders.writer import FeedWriter, OverlapError
from venues.instruments import Instrument
from venues.market_data import AggTrade, BookTicker, DepthDiff, DepthSnapshot, ForceOrder, MarkPrice, Trade
from venues.market_feeds import market_feed
from venues.rules import DAY_NS

SESSION_SILENCE_NS: Final = 60_000_000_000
FILE_SILENCE_NS: Final = 5_000_000_000
LATE_NS: Final = 60_000_000_000  # engine time this far off the messages before it is no engine time
UNDECIDED_MAX: Final = 4096
_SIDES: Final = (b"\0", b"\1")


class InputFile(Protocol):
    """A file that frames come from: what problems are charged to."""

    malformed: int

    @property
    def name(self) -> str: ...


@dataclass(slots=True)
class Shared:
    """What all streams of one import share."""

    files: Sequence[InputFile]
    sources: list[SourceFile]
    problems: Problems
    report: ImportReport
    spool_folder: Path
    floor_ns: int
    by_silence: bool = True
    daily: bool = False
    notices: Problems | None = None  # for problems of frames that concern no instrument, if not among the others
    since_ns: int | None = None  # when the recorder began: what was made before is history that a venue sent again
    shifts_ns: Sequence[int] = (0,)  # how far the wall clock was from the receive times, stretch by stretch


class InstrumentStream:
    """One instrument's records, cut into recordings."""

    def __init__(self, shared: Shared, instrument: Instrument, writer: FeedWriter) -> None:
        self._shared = shared
        self.instrument = instrument
        self.writer = writer
        self._feed = market_feed(instrument.venue)
        self._undecided: list[tuple[Any, Line]] | None = None
        self._recv_last = 0
        self._file_last = -1
        self._silence_ns = 0
        self._count = 0
        self._start()

    def _start(self) -> None:
        """A new recording."""
        self._days = Days(self.instrument, daily=self._shared.daily)
        self._day = Day(RecordingReport("", self.instrument.venue, self.instrument.symbol))
        if not self._shared.daily:
            self._day = self._days.of(0)
        self._tally = Tally(self._day.report)
        self._day_number = 0
        self._spool = Spool(self._shared.spool_folder, f"{self.instrument.symbol}-{self._count}")
        self._count += 1
        self._join = BookJoin(self._spool, self._tally, self._shared.problems, self._feed)
        self._seq = 0
        self._quiet_ns = 0  # longest silence since the last diff
        self._made_last = self._event_last = self._recv_of_made = 0
        self._trades = Seen()
        self._aggregates = Seen()
        self._quotes = Seen()
        self._marks = Seen()
        self._forced = Seen()

    @property
    def report(self) -> RecordingReport:
        """Where what happens now is counted."""
        return self._tally.report

    def _turn(self, ts_ns: int) -> None:
        """Count what happens at an instant of venue time where it belongs."""
        if not self._shared.daily or ts_ns // DAY_NS == self._day_number:
            return
        self._day_number = ts_ns // DAY_NS
        self._day = self._days.of(ts_ns)
        self._tally.report = self._day.report

    # -- recordings

    def take(self, record: Any, line: Line) -> None:
        """Take in a record of this instrument."""
        silence_ns = line.recv_ns - self._recv_last if self._recv_last else 0
        moved_on = self._file_last >= 0 and line.file != self._file_last
        self._recv_last, self._file_last = line.recv_ns, line.file
        if (
            self._shared.by_silence
            and self._undecided is None
            and (silence_ns >= SESSION_SILENCE_NS or (moved_on and silence_ns >= FILE_SILENCE_NS))
        ):
            self._undecided = []
            self._silence_ns = silence_ns
        if self._undecided is None:
            self._put(record, line, silence_ns)
            return
        self._undecided.append((record, line))
        if isinstance(record, DepthDiff):
            self._decide(not self._join.continues(record) or self._join.last_id is None)
        elif (isinstance(record, DepthSnapshot) and record.in_stream) or len(self._undecided) >= UNDECIDED_MAX:
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

    def interrupted(self, kind: int, line: Line, why: str) -> None:
        """The recorder says that from here on something of the book is missing."""
        if self._undecided is not None:
            self._decide(False)
        self._turn(line.recv_ns)
        self._join.interrupted(kind, Received(None, line.recv_ns, self._name(line), line.number, 0, line.wall_ns), why)

    def finish(self) -> None:
        """End the recording and write it."""
        shared, spool = self._shared, self._spool
        self._join.finish()
        spool.flush()
        if spool.messages:
            for day in self._days:
                day.report.sources = [shared.sources[k].as_dict() for k in sorted(day.files)]
            rules = Rules(shared.floor_ns, self._feed.trades_counted, shared.shifts_ns, shared.since_ns)
            try:
                Ending(spool, self.writer, self._days, rules).write(shared.problems)
                shared.report.recordings += [day.report for day in self._days if day.report.lines]
            except OverlapError as error:
                if not shared.daily:
                    raise
                self._overlaps(error)
        spool.discard()
        self._start()

    def _overlaps(self, error: OverlapError) -> None:
        """Two recorders ran at once: the lake has one of them, and everything else is built all the same. The days
        before the overlap are written; that day and what follows it are left out."""
        self.writer.abandon()
        written = {name for names in self.writer.days.values() for name in names}
        self._shared.problems.add(self._shared.sources[0].name, 0, "overlap", f"{error}; it was left out")
        self._shared.report.recordings += [day.report for day in self._days if day.report.recording in written]

    # -- records

    def _put(self, record: Any, line: Line, silence_ns: int) -> None:
        self._turn(record.ts_event_ns or record.ts_push_ns or line.recv_ns)
        report = self.report
        self._quiet_ns = max(self._quiet_ns, silence_ns)
        wall_ns = line.recv_ns if line.wall_ns is None else line.wall_ns
        report.first_recv_ns = report.first_recv_ns or wall_ns
        report.last_recv_ns = wall_ns
        report.lines += 1
        report.reordered += line.moved
        self._day.files.add(line.file)
        if not self._sane_time(record, line):
            return
        handler = _HANDLERS[type(record)]
        if handler is not None:
            handler(self, record, line)
        elif isinstance(record, DepthDiff):
            self._depth(record, line)
        else:
            self._join.snapshot(self._received(record, line))

    def _received(self, record: Any, line: Line) -> Received:
        return Received(record, line.recv_ns, self._name(line), line.number, self._quiet_ns, line.wall_ns)

    def _name(self, line: Line) -> str:
        return self._shared.files[line.file].name

    def _sane_time(self, record: Any, line: Line) -> bool:
        """Refuse engine times that cannot be: they would bend the clock estimate and the order of everything else."""
        event, made, recv = record.ts_event_ns, max(record.ts_event_ns, record.ts_push_ns), line.recv_ns
        if not made:
            return True
        event = event or made
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
        self._spool_one(kind, record, line, ref, sides, ticks, lots, None)

    def _spool_one(
        self,
        kind: int,
        record: Any,
        line: Line,
        ref: int,
        sides: bytes,
        ticks: list[int],
        lots: list[int],
        aux: tuple[int, int, int, int] | None,
    ) -> None:
        self._seq += 1
        event = record.ts_event_ns or record.ts_push_ns or line.recv_ns
        made = max(record.ts_event_ns, record.ts_push_ns) or OWN_CLOCK
        self._spool.add(kind, event, made, line.recv_ns, ref, self._seq, sides, ticks, lots, aux, line.wall_ns)

    def _depth(self, record: DepthDiff, line: Line) -> None:
        if self._shared.by_silence and self._count == 1 and not self.report.diffs and self._join.last_id is None:
            found = self.writer.book_before(record.ts_event_ns)
            if found is not None and found[1].update_id == record.previous_id:
                self.report.continues = found[0]
                self._join.carry_on(record, line.recv_ns, found[1].book)
        self._join.diff(self._received(record, line))
        self._quiet_ns = 0

    def _trade(self, record: Trade, line: Line) -> None:
        if self._trades.repeats(record.trade_id):
            self._repeated(line, f"trade {record.trade_id}")
            return
        low, high = self._day.ids or (record.trade_id, record.trade_id)
        self._day.ids = (min(low, record.trade_id), max(high, record.trade_id))
        if record.on_book:
            self.report.trades += 1
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
        key = (
            record.update_id or -record.ts_event_ns,
            record.bid_ticks,
            record.bid_lots,
            record.ask_ticks,
            record.ask_lots,
        )
        if self._quotes.repeats(key):
            self._repeated(line, f"best quote {record.update_id}")
            return
        self.report.quotes += 1
        sides, ticks, lots = b"", [], []
        if record.bid_lots:
            sides, ticks, lots = _SIDES[BUY], [record.bid_ticks], [record.bid_lots]
        if record.ask_lots:
            sides, ticks, lots = sides + _SIDES[SELL], [*ticks, record.ask_ticks], [*lots, record.ask_lots]
        self._add(BBO, record, line, record.update_id, sides, ticks, lots)

    def _mark(self, record: MarkPrice, line: Line) -> None:
        key = (
            record.ts_event_ns or line.recv_ns,
            record.mark_e8,
            record.index_e8,
            record.rate_e12,
            record.next_funding_ns,
        )
        if self._marks.repeats(key):
            self._repeated(line, f"mark price of {record.ts_event_ns}")
            return
        self.report.marks += 1
        aux = (record.mark_e8, record.index_e8, record.rate_e12 or 0, record.next_funding_ns)
        self._spool_one(MARK, record, line, 0, b"", [], [], aux)

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
