"""A raw recording told again: its records to an importer of market data, on one time axis, with what the recorder
noted.

Theory of operation. Everything that happened on one venue's connections goes to a ``MarketImport`` in the order of the
records: frames and REST replies as lines, notes as what they mean for the books.

    Opened                a codec of its own for the connection, from a fresh start
    Closed                every book that came over the connection is unknown from here on: GAP, disconnect
    Gap (depth)           the same for the symbol it names, with the reason it gives
    Dropped (depth)       GAP, recorder
    damage                GAP, recorder, for every book; codecs start afresh, since frames are missing
    Gap, Dropped of others   no book is touched: named as a problem, so that missing prints are known

Connections that close because the recording ends leave no gap: nothing follows that could be believed wrongly, and what
lies between two recordings is the end of a session.

Receive times are taken from the monotonic clock and tied to UTC by the first record's wall time; so a step of the wall
clock bends nothing. Which of the wall clock's stretches was right is seen at the end: the one whose least receive time
minus venue time is closest to none (``InstrumentStream``). What the wall clock wrote is kept as the raw receive time.

A connection whose ``Opened`` is not there (in a damaged block, in a segment that was removed) is taken for that of the
only venue recorded, or of the one whose form its frames have (``Owners``); that is named as a problem. Of its books
nobody knows what came before, so they wait for a snapshot like any other.

A reply belongs to the last request on its connection: a recorder asks for nothing on a connection that still waits for
an answer, and a request that brought none is followed by another or by nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import msgspec

from matching.codes import GAP_CHECKSUM, GAP_DISCONNECT, GAP_RECORDER, GAP_SEQUENCE
from recorders.captures import BINANCE, book_asked_for, venue_of_frame
from recorders.lines import Line
from recorders.raw import (
    FRAME_IN,
    NOTE,
    REPLY,
    REQUEST,
    ClockStep,
    Closed,
    Damage,
    Dropped,
    Gap,
    Opened,
    RawRecord,
    Started,
    Stopped,
    decode_note,
)
from recorders.raw.segment import RESERVE_SEGMENT
from recorders.raw.writer import RESERVE_NAME
from recorders.report import Problems
from venues.errors import InputError

KINDS: Final = {
    "sequence": GAP_SEQUENCE,
    "disconnect": GAP_DISCONNECT,
    "checksum": GAP_CHECKSUM,
}


@dataclass(slots=True)
class Segment:
    """A segment as it was when the build began: what records and problems are charged to."""

    name: str
    last_seq: int
    malformed: int = 0


class _Request(msgspec.Struct):
    symbol: str = ""
    stream: str = ""
    url: str = ""


def of_book(stream: str) -> bool:
    """Whether a stream, as a recorder or a venue calls it, is one of the book; without a name it is all of them."""
    name = stream.lower()
    return not name or "depth" in name or ("book" in name and "bookticker" not in name)


@dataclass(slots=True)
class Axis:
    """The time axis of a recording: monotonic, tied to UTC by its first record. ``shifts_ns``: how far the wall clock
    was from it, after each of its steps; the first is 0."""

    origin_ns: int | None = None
    shifts_ns: list[int] = field(default_factory=lambda: [0])

    def recv_ns(self, record: RawRecord) -> int:
        if self.origin_ns is None:
            self.origin_ns = record.wall_ns - record.mono_ns
        return self.origin_ns + record.mono_ns

    def step(self, step_ns: int) -> None:
        self.shifts_ns.append(self.shifts_ns[-1] + step_ns)


class Owners:
    """Whose a connection is whose opening cannot be read. ``recorded``: venues with the symbols recorded there, as far
    as anybody said."""

    def __init__(self, recorded: Mapping[str, frozenset[str]]) -> None:
        self._recorded = recorded

    def owner(self, record: RawRecord) -> str:
        """The venue that a record's connection goes to; "" when this record does not tell."""
        if len(self._recorded) == 1:
            return next(iter(self._recorded))
        if record.kind == REQUEST:
            request = _request(record.payload)
            asked = "" if request is None else request.symbol or book_asked_for(request.url)
            found = [venue for venue, symbols in self._recorded.items() if asked in symbols]
        elif record.kind == FRAME_IN and record.payload.startswith(b'{"stream":'):
            found = [venue for venue in BINANCE if venue in self._recorded]
        else:
            found = [venue for venue in (venue_of_frame(record.payload),) if venue in self._recorded]
        return found[0] if len(found) == 1 else ""

    def speaks(self, venue: str) -> bool:
        """Whether it is for this venue to say what concerns none."""
        return venue == min(self._recorded, default=venue)


def _request(payload: bytes) -> _Request | None:
    try:
        return msgspec.json.decode(payload, type=_Request)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class Target(Protocol):
    """What takes in market data of one venue (``MarketImport``, the live feed)."""

    @property
    def symbols(self) -> list[str]:
        """Whose market data have come so far."""
        ...

    def line(self, line: Line) -> None: ...

    def restart(self, connection: int) -> None: ...

    def forget(self, connection: int) -> None: ...

    def interrupted(self, kind: int, line: Line, why: str, symbols: Iterable[str] | None = None) -> None: ...

    def finish(self) -> None: ...


class Replay:
    """One venue's part of one recording, on its way to an importer. ``problems`` is for what concerns no instrument."""

    def __init__(
        self, venue: str, target: Target, segments: Sequence[Segment], problems: Problems, axis: Axis,
        owners: Owners,
    ) -> None:  # fmt: skip
        self._venue = venue
        self._target = target
        self._segments = segments
        self._ends = [segment.last_seq for segment in segments]
        self._problems = problems
        self._axis = axis
        self._owners = owners
        self._mine: set[int] = set()  # connections to this venue
        self._opened: set[int] = {0}  # all whose opening was read
        self._left_out: dict[int, int] = {}  # connections that are nobody's: how many messages
        self._asked: dict[int, str] = {}  # whose book was asked for last on a connection; "" for something else
        self._closing: list[tuple[Line, str]] = []  # closed since the last record that was no end
        self._segment = 0
        self._recv_ns = 0
        self._line = Line(0, 0, 0, b"")
        self.messages = 0

    def run(self, records: Iterable[RawRecord | Damage], last_seq: int) -> None:
        """Everything up to record ``last_seq``."""
        for record in records:
            if not isinstance(record, Damage) and record.seq > last_seq:
                break
            self.take(record)
        for connection, count in self._left_out.items():
            if self._owners.speaks(self._venue):
                why = f"connection {connection} was opened in a part that cannot be read, and nothing tells whose it is"
                self._problem(self._line, "unopened", f"{why}: {count} messages were left out")
        self._target.finish()

    def take(self, record: RawRecord | Damage) -> None:
        """One record, or a place where some are missing."""
        if isinstance(record, Damage):
            self._damage(record)
            return
        self._recv_ns = max(self._recv_ns, self._axis.recv_ns(record))
        if self._closing and record.kind != NOTE:
            self._lose_closed()
        if record.kind == NOTE:
            self._note(self._line_of(record), record.payload)
        elif record.connection not in self._mine and not self._takes_over(record):
            return
        elif record.kind == FRAME_IN:
            self.messages += 1
            self._target.line(self._line_of(record))
        elif record.kind == REQUEST:
            self._request(record)
        elif record.kind == REPLY:
            self._reply(self._line_of(record))

    def _takes_over(self, record: RawRecord) -> bool:
        """Whether a connection that was never opened, as far as can be read, is found to be this venue's."""
        connection = record.connection
        if connection in self._opened:
            return False
        owner = self._owners.owner(record)
        if owner:
            self._opened.add(connection)
            self._left_out.pop(connection, None)
        elif record.kind in (FRAME_IN, REPLY):
            self._left_out[connection] = self._left_out.get(connection, 0) + 1
        if owner != self._venue:
            return False
        self._mine.add(connection)
        if record.kind != REQUEST:
            why = f"connection {connection} was opened in a part that cannot be read; it is taken for one to {owner}"
            self._problem(self._line_of(record), "unopened", why)
        return True

    def _line_of(self, record: RawRecord) -> Line:
        while self._segment < len(self._ends) - 1 and record.seq > self._ends[self._segment]:
            self._segment += 1
        self._line = Line(
            self._recv_ns, self._segment, record.seq, record.payload, False, record.wall_ns, record.connection
        )
        return self._line

    # -- requests and replies

    def _request(self, record: RawRecord) -> None:
        request = _request(record.payload)
        if request is None:
            self._problem(self._line_of(record), "malformed", "a request that is no JSON object with symbol or URL")
            return
        symbol = request.symbol if of_book(request.stream) else ""
        self._asked[record.connection] = symbol or ("" if request.symbol else book_asked_for(request.url))

    def _reply(self, line: Line) -> None:
        symbol = self._asked.pop(line.connection, None)
        if symbol is None:
            self._problem(line, "reply_unasked", "a reply without a request before it on its connection")
        elif symbol:
            self.messages += 1
            self._target.line(line._replace(symbol=symbol))

    # -- notes

    def _note(self, line: Line, payload: bytes) -> None:
        try:
            note = decode_note(payload)
        except InputError as error:
            self._problem(line, "malformed", error.why)
            return
        if isinstance(note, Closed):
            self._closed(note, line)
            return
        if isinstance(note, Stopped):
            return
        self._lose_closed()
        if isinstance(note, ClockStep):
            self._axis.step(note.step_ns)
            self._problem(line, "clock_step", f"the recorder's wall clock stepped by {note.step_ns / 1e9:+.3f} s")
        elif isinstance(note, Opened):
            self._opened.add(note.connection)
            if note.venue == self._venue:
                self._mine.add(note.connection)
                self._target.restart(note.connection)
        elif isinstance(note, Gap | Dropped):
            self._missing(note, line)

    def _closed(self, note: Closed, line: Line) -> None:
        if note.connection in self._mine:
            self._closing.append((line._replace(connection=note.connection), note.why))
            self._asked.pop(note.connection, None)

    def _lose_closed(self) -> None:
        """The recording goes on after connections were closed: their books are unknown since."""
        closing, self._closing = self._closing, []
        for line, why in closing:
            self._target.interrupted(GAP_DISCONNECT, line, f"connection {line.connection} closed: {why}")
            self._target.forget(line.connection)
            self._mine.discard(line.connection)

    def _missing(self, note: Gap | Dropped, line: Line) -> None:
        if note.venue not in ("", self._venue):
            return
        kind, why = GAP_RECORDER, ""
        if isinstance(note, Gap):
            detail = f": {note.detail}" if note.detail else ""
            kind, why = KINDS.get(note.why, GAP_RECORDER), f"the recorder noted a gap ({note.why}){detail}"
        else:
            why = f"the recorder dropped {note.count} messages ({note.policy})"
        if of_book(note.stream):
            symbols = [note.symbol] if note.symbol else self._target.symbols
            self._target.interrupted(kind, line, why, symbols)
        else:
            self._problem(line, "missing", f"{note.symbol} {note.stream}: {why}".strip())

    def _damage(self, damage: Damage) -> None:
        self._lose_closed()
        file = RESERVE_NAME if damage.segment == RESERVE_SEGMENT else f"{damage.segment:08d}.seg"
        name = f"{self._segments[0].name.rpartition('/')[0]}/{file}"
        lost = (
            "" if damage.first_lost is None else f"; records {damage.first_lost} to {damage.last_lost or '?'} are lost"
        )
        at = damage.first_lost or self._line.number
        place = min(bisect_left(self._ends, at), len(self._segments) - 1)
        line = Line(self._recv_ns, place, at, b"", wall_ns=self._line.wall_ns or self._recv_ns)
        where = f"bytes {damage.start} to {damage.end}: " if damage.end > damage.start else ""
        self._problems.add(name, damage.first_lost or 0, "damaged", f"{where}{damage.why}{lost}")
        self._target.interrupted(GAP_RECORDER, line, f"the recording is damaged: {damage.why}", self._target.symbols)
        for connection in self._mine:
            self._target.restart(connection)

    def _problem(self, line: Line, kind: str, why: str) -> None:
        self._problems.add(self._segments[line.file].name, line.number, kind, why)


def config_of(records: Iterable[RawRecord | Damage]) -> tuple[set[str], dict[str, Any]]:
    """The venues that a recording has connections to, and what its recorder was told to record."""
    venues: set[str] = set()
    config: dict[str, Any] = {}
    for record in records:
        if isinstance(record, Damage):
            continue
        try:
            note = decode_note(record.payload)
        except InputError:
            continue
        if isinstance(note, Opened):
            venues.add(note.venue)
        elif isinstance(note, Started):
            config = note.config
    return venues, config
