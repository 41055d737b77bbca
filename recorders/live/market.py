# cython: annotation_typing=False, boundscheck=True, wraparound=True, cdivision=False
"""One instrument of a live feed: what has come of it, in the order of receipt for the client and in the order of the
venue for the simulated venue.

Theory of operation. Records become messages by the same code as in the lake (``RecordStream``, ``BookJoin``), but at
once: ``_Outlet`` is the sink. Diffs wait there while the book is unknown; the snapshot that joins is handed out with
those that follow it, all received now, since nobody could use them earlier. A GAP is received with what shows it.

A message received at ``recv`` happened, for the simulated venue, at

    v = max(ts_event, recv - D)      not before the run began; in the book, not before the message before it

where ``ts_event`` is ``recv`` if the venue's clock is ahead or says nothing. Both orders carry v as their ``ts_event``,
since that is what a backtest of the recording knows as venue time. At equal v: trades, best quotes, the book, marks,
then order of receipt; messages of one record are received in that order too.

What was made before the records began, book aside, is history that a venue sends again: left out, as in the lake.
Before the run begins nothing is handed out; ``open`` then says what the warm-up has found: the book, the best quotes
newer than it, the last mark. They are as of the beginning.

Aggregated trades are trades until a single print comes, and never again; prints that they have covered are repeats."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from matching.codes import BBO, DEPTH, GAP, GAP_SESSION_END, MARK, SNAPSHOT, TRADE
from matching.feed import FeedWindow
from recorders.book import QUOTES_MAX, DepthBook
from recorders.joining import STALE_DIFFS_MAX, BookJoin
from recorders.lines import Line
from recorders.live.windows import Columns, Message
from recorders.messages import InputFile, RecordStream
from recorders.report import Problems, RecordingReport, Tally
from recorders.spool import AGGREGATE, VENUE_RANK
from venues.instruments import Instrument
from venues.market_data import AggTrade, DepthDiff, DepthSnapshot, Trade

GAPS_NAMED: Final = 1024  # gaps that a session remembers one by one

_BOOK: Final = (DepthDiff, DepthSnapshot)
_Waiting = tuple[int, int, int, int, bytes, list[int], list[int]]  # seq, ts_event, kind, ref, rows
_RANK: Final[tuple[int, ...]] = tuple(VENUE_RANK.tolist())


class _Opening:
    """What the warm-up has found: the book, newer best quotes, the last mark."""

    def __init__(self) -> None:
        self._book = DepthBook()
        self._valid = False
        self._update_id = 0
        self._quotes: deque[tuple[int, bytes, list[int], list[int]]] = deque(maxlen=QUOTES_MAX)
        self._mark: tuple[int, int, int, int] | None = None

    def take(
        self,
        kind: int,
        ref: int,
        sides: bytes,
        ticks: list[int],
        lots: list[int],
        aux: tuple[int, int, int, int] | None,
    ) -> None:
        if kind == MARK:
            self._mark = aux
        elif kind == GAP:
            self._valid = False
            self._quotes.clear()
        elif kind == BBO:
            if not self._valid:
                self._quotes.clear()
            if ref > self._update_id or not self._valid:
                self._quotes.append((ref, sides, ticks, lots))
        elif kind == SNAPSHOT or (kind == DEPTH and self._valid):
            if kind == SNAPSHOT:
                self._book.clear()
                self._valid = True
            self._book.apply(list(sides), ticks, lots)
            self._update_id = ref
            while self._quotes and self._quotes[0][0] <= ref:
                self._quotes.popleft()

    def hand_out(self, put: Callable[..., None]) -> None:
        if self._valid:
            side, ticks, lots = self._book.columns()
            put(SNAPSHOT, self._update_id, side.tobytes(), ticks.tolist(), lots.tolist(), None)
        for ref, sides, quoted, sizes in self._quotes:
            put(BBO, ref, sides, quoted, sizes, None)
        if self._mark is not None:
            put(MARK, 0, b"", [], [], self._mark)


class _Outlet:
    """The sink of one instrument: messages leave for both sides as they come."""

    def __init__(self, delay_ns: int, *, has_client: bool) -> None:
        self.delay_ns = delay_ns
        self.recv_ns = 0  # of the record at hand
        self.book: BookJoin | None = None  # whose diffs wait until it is valid
        self.client: list[Message] | None = [] if has_client else None  # what the client has not been given
        self._columns = Columns(), Columns()  # the client's and the venue's windows in the making
        self.pending: list[Message] = []  # sorted: what the venue has not been given
        self.messages = 0
        self.ahead = 0  # messages that the venue's clock stamped later than they were received
        self.disordered = 0  # messages that came when the venue was said to be complete past them
        self._opening: _Opening | None = _Opening()
        self._begin_ns = 0
        self._given_ns = -1
        self._book_ns = 0
        self._waiting: deque[_Waiting] = deque(maxlen=STALE_DIFFS_MAX)
        self._record: list[tuple[int, int, int, int, bytes, list[int], list[int], Any]] = []

    # -- MessageSink

    def add(
        self,
        kind: int,
        ts_event: int,
        made: int,
        recv: int,
        ref: int,
        seq: int,
        sides: bytes,
        ticks: list[int],
        lots: list[int],
        aux: tuple[int, int, int, int] | None = None,
        raw: int | None = None,
    ) -> None:
        if kind == DEPTH:
            if self.book is None or not self.book.valid:
                self._waiting.append((seq, ts_event, kind, ref, sides, ticks, lots))
                return
        elif kind == SNAPSHOT:
            self._put(kind, ts_event, ref, sides, ticks, lots, None)
            while self._waiting:
                number, event, waiting, of, sides, ticks, lots = self._waiting.popleft()
                if number > seq:
                    self._put(waiting, event, of, sides, ticks, lots, None)
            return
        elif kind == GAP:
            self._waiting.clear()
        elif kind == AGGREGATE:
            kind = TRADE
        self._put(kind, ts_event, ref, sides, ticks, lots, aux)

    def drop(self, start: int, stop: int) -> None:
        """Diffs that no snapshot joins have not been handed out."""

    def _put(
        self, kind: int, ts_event: int, ref: int, sides: bytes, ticks: list[int], lots: list[int],
        aux: tuple[int, int, int, int] | None,
    ) -> None:  # fmt: skip
        if self._opening is not None:
            self._opening.take(kind, ref, sides, ticks, lots, aux)
            return
        recv = self.recv_ns
        if ts_event > recv:
            self.ahead += 1
            ts_event = recv
        v = max(ts_event, recv - self.delay_ns, self._begin_ns)
        if v <= self._given_ns:
            self.disordered += 1
            v = self._given_ns + 1
        rank = _RANK[kind]
        if rank == 2:
            v = self._book_ns = max(v, self._book_ns)
        self._record.append((v, rank, kind, ref, sides, ticks, lots, aux))

    # -- what leaves

    def settle(self) -> None:
        """The record at hand is done with: number its messages."""
        found = self._record
        if not found:
            return
        if len(found) > 1:
            found.sort(key=_place)
        pending, client = self.pending, self.client
        for v, rank, kind, ref, sides, ticks, lots, aux in found:
            self.messages += 1
            message = (v, rank, self.messages, self.recv_ns, kind, ref, sides, ticks, lots, aux)
            if client is not None:
                client.append(message)
            if pending and message < pending[-1]:
                insort(pending, message)
            else:
                pending.append(message)
        found.clear()

    def open(self, begin_ns: int) -> None:
        """The run begins."""
        opening, self._opening = self._opening, None
        self._begin_ns = self.recv_ns = begin_ns
        assert opening is not None
        opening.hand_out(self._say)
        self.settle()

    def _say(self, kind: int, ref: int, *content: Any) -> None:
        """A message of the opening. A best quote there is newer than the book, so it stands behind it."""
        begin_ns = self._begin_ns
        self._record.append((begin_ns, max(_RANK[kind], _RANK[SNAPSHOT]), kind, ref, *content))

    def ready(self, complete_ns: int) -> int:
        """How many messages the venue can be given."""
        return bisect_left(self.pending, (complete_ns + 1,))

    def client_messages(self) -> list[Message]:
        """What has come since the last call, in the order of receipt."""
        found = self.client
        if not found:
            return []
        self.client = []
        return found

    def client_window(self) -> FeedWindow | None:
        columns = self._columns[0]
        for message in self.client_messages():
            columns.add(message)
        return columns.take(in_order=True)

    def venue_messages(self, complete_ns: int) -> list[Message]:
        """What was not given yet of the messages up to ``complete_ns``, in venue order."""
        if complete_ns > self._given_ns:
            self._given_ns = complete_ns
        pending = self.pending
        if not pending or pending[0][0] > complete_ns:
            return []
        count = self.ready(complete_ns)
        found = pending[:count]
        del pending[:count]
        return found

    def venue_window(self, complete_ns: int, most: int) -> FeedWindow | None:
        count = self.ready(complete_ns)
        pending = self.pending
        if count > most:
            count = most
            self._given_ns = max(self._given_ns, pending[count][0] - 1)
        else:
            self._given_ns = max(self._given_ns, complete_ns)
        if not count:
            return None
        columns = self._columns[1]
        for message in pending[:count]:
            columns.add(message)
        del pending[:count]
        return columns.take(in_order=False)


def _place(found: tuple[int, int, int, int, bytes, list[int], list[int], Any]) -> tuple[int, int]:
    return found[0], found[1]


class LiveMarket(RecordStream):
    """One instrument's records as they come."""

    def __init__(
        self, instrument: Instrument, files: Sequence[InputFile], delay_ns: int, *, has_client: bool,
        measure: Callable[[int, int], None] | None,
    ) -> None:  # fmt: skip
        super().__init__(instrument, files, Problems())
        self.outlet = _Outlet(delay_ns, has_client=has_client)
        self.late_frames = 0  # received more than the delay after their venue time
        self.since_ns = 0  # when the records began: what was made before is history that a venue sends again
        self.history = 0
        self._late_at = 0
        self._delay_ns = delay_ns
        self._measure = measure
        self._recv_last = 0
        self._covered = -1  # the last print that an aggregated trade has brought
        self._has_prints = False
        self._unused = 0
        self.begin(self.outlet, Tally(RecordingReport("", instrument.venue, instrument.symbol)))
        self.outlet.book = self._join

    @property
    def problems(self) -> Problems:
        """What was wrong: the first of each kind, and how many."""
        return self._problems

    def take(self, record: Any, line: Line) -> None:
        """Take in a record of this instrument."""
        recv = line.recv_ns
        silence_ns = recv - self._recv_last if self._recv_last else 0
        self._recv_last = recv
        event, push = record.ts_event_ns, record.ts_push_ns
        event = event or push
        if 0 < event < self.since_ns and type(record) not in _BOOK:
            self.history += 1
            return
        if event and (type(record) is not DepthSnapshot or record.in_stream):
            if recv - event > self._delay_ns and self._late_at != recv:
                self.late_frames += 1
                self._late_at = recv
            if self._measure is not None:
                self._measure(recv - event, recv - max(event, push))
        self.put(record, line, silence_ns)

    def interrupted(self, kind: int, line: Line, why: str) -> None:
        """From here on something of the book is missing."""
        RecordStream.interrupted(self, kind, line, why)
        if len(self.report.gap_list) > 2 * GAPS_NAMED:
            del self.report.gap_list[:GAPS_NAMED]

    def end(self, stamp_ns: int) -> None:
        """The run ends: nobody knows what the book does from here on."""
        self.outlet.recv_ns = stamp_ns
        self.outlet.add(GAP, stamp_ns, 0, stamp_ns, 0, 0, b"", [], [], (GAP_SESSION_END, 0, 0, 0))
        self.outlet.settle()

    def _trade(self, record: Trade, line: Line) -> None:
        if record.trade_id <= self._covered:
            self._repeated(line, f"trade {record.trade_id}")
            return
        self._has_prints = True
        RecordStream._trade(self, record, line)

    def _aggregate(self, record: AggTrade, line: Line) -> None:
        if self._has_prints:
            self._unused += 1
            self.report.aggregates_unused = self._unused
            return
        self._covered = max(self._covered, record.last_trade_id)
        RecordStream._aggregate(self, record, line)
        self.report.aggregates_unused = self._unused

    def counts(self) -> dict[str, int]:
        """What has happened to this instrument's messages so far."""
        report, outlet = self.report, self.outlet
        return {
            "messages": outlet.messages,
            "history": self.history,
            "late_frames": self.late_frames,
            "ahead": outlet.ahead,
            "disordered": outlet.disordered,
            "gaps": report.gaps,
            "resyncs": report.resyncs,
            "duplicates": report.duplicates,
            "malformed": report.malformed,
            "aggregates_unused": report.aggregates_unused,
        }
