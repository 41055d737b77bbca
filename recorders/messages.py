# cython: annotation_typing=False, boundscheck=True, wraparound=True, cdivision=False
"""One instrument's decoded records as messages: repeated ones dropped, impossible times refused, the book joined.

Theory of operation. What a record becomes does not depend on whether it is read from a file or arrives now, so both
paths share this: the lake's builder (``recorders/stream.py``), which spools the messages and puts them in order when it
has read everything, and the live feed (``recorders/live/feed.py``), which hands them on at once. Where the messages go
is a ``MessageSink``; what is counted is in a ``RecordingReport``, what is wrong in ``Problems``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from matching.codes import BBO, BUY, FORCE, MARK, OFFBOOK, SELL, TRADE
from recorders.joining import BookJoin, Received, Seen
from recorders.lines import Line
from recorders.report import Problems, RecordingReport, Tally
from recorders.spool import AGGREGATE, OWN_CLOCK, MessageSink
from venues.instruments import Instrument
from venues.market_data import AggTrade, BookTicker, DepthDiff, DepthSnapshot, ForceOrder, MarkPrice, Trade
from venues.market_feeds import market_feed
from venues.rules import DAY_NS

LATE_NS: Final = 60_000_000_000  # engine time this far off the messages before it is no engine time
_SIDES: Final = (b"\0", b"\1")


class InputFile(Protocol):
    """A file that frames come from: what problems are charged to."""

    malformed: int

    @property
    def name(self) -> str: ...


class RecordStream:
    """One instrument's records on their way to a sink, from ``begin`` on."""

    def __init__(self, instrument: Instrument, files: Sequence[InputFile], problems: Problems) -> None:
        self.instrument = instrument
        self._files = files
        self._problems = problems
        self._feed = market_feed(instrument.venue)

    def begin(self, sink: MessageSink, tally: Tally) -> None:
        """Start afresh: messages go to ``sink`` and are counted in ``tally`` from now on."""
        self._sink = sink
        self._tally = tally
        self._join = BookJoin(sink, tally, self._problems, self._feed)
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

    # -- records

    def put(self, record: Any, line: Line, silence_ns: int) -> None:
        """Take in a record; ``silence_ns``: for how long nothing of the instrument had been received."""
        if silence_ns > self._quiet_ns:
            self._quiet_ns = silence_ns
        if not self._sane_time(record, line):
            return
        kind = type(record)
        if kind is BookTicker:
            self._quote(record, line)
        elif kind is Trade:
            self._trade(record, line)
        elif kind is DepthDiff:
            self._depth(record, line)
        elif kind is AggTrade:
            self._aggregate(record, line)
        elif kind is DepthSnapshot:
            self._snapshot(record, line)
        elif kind is MarkPrice:
            self._mark(record, line)
        elif kind is ForceOrder:
            self._force(record, line)
        else:
            raise TypeError(f"no market data: {record!r}")

    def interrupted(self, kind: int, line: Line, why: str) -> None:
        """Whoever received the records says that from here on something of the book is missing."""
        self._join.interrupted(kind, Received(None, line.recv_ns, self._name(line), line.number, 0, line.wall_ns), why)

    def _received(self, record: Any, line: Line) -> Received:
        return Received(record, line.recv_ns, self._name(line), line.number, self._quiet_ns, line.wall_ns)

    def _name(self, line: Line) -> str:
        return self._files[line.file].name

    def _sane_time(self, record: Any, line: Line) -> bool:
        """Refuse engine times that cannot be: they would bend the clock estimate and the order of everything else."""
        event, push, recv = record.ts_event_ns, record.ts_push_ns, line.recv_ns
        made = max(event, push)
        if not made:
            return True
        event = event or made
        snapshot = type(record) is DepthSnapshot  # its engine time is the book's last change, however long ago
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
        if not snapshot and event > self._event_last:
            self._event_last = event
        return True

    def refuse(self, line: Line, why: str) -> None:
        """Count and name a line that cannot be used."""
        self.report.malformed += 1
        self._files[line.file].malformed += 1
        self._problems.add(self._name(line), line.number, "malformed", why)

    def _repeated(self, line: Line, what: str) -> None:
        self.report.duplicates += 1
        self._problems.add(self._name(line), line.number, "duplicate", f"{what} was seen before; dropped")

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
        event, push, recv = record.ts_event_ns, record.ts_push_ns, line.recv_ns
        made = max(event, push)
        self._sink.add(
            kind, event or push or recv, made or OWN_CLOCK, recv, ref, self._seq, sides, ticks, lots, aux, line.wall_ns
        )

    def _depth(self, record: DepthDiff, line: Line) -> None:
        self._join.diff(self._received(record, line))
        self._quiet_ns = 0

    def _snapshot(self, record: DepthSnapshot, line: Line) -> None:
        self._join.snapshot(self._received(record, line))

    def _trade(self, record: Trade, line: Line) -> None:
        if self._trades.repeats(record.trade_id):
            self._repeated(line, f"trade {record.trade_id}")
            return
        self._numbered(record.trade_id)
        if record.on_book:
            self.report.trades += 1
        else:
            self.report.offbook += 1
        kind = TRADE if record.on_book else OFFBOOK
        self._add(kind, record, line, record.trade_id, _SIDES[record.side], [record.ticks], [record.lots])

    def _numbered(self, trade_id: int) -> None:
        """A print of this number has come."""

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
