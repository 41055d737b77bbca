# cython: annotation_typing=False, boundscheck=True, wraparound=True, cdivision=False
"""A live feed: raw records in, in the order in which they are recorded; messages for the kernel out, window by window.

Theory of operation. A paper session and the backtest of its recording run on the same messages because both get them
from here: the session hands over every record that its recorder writes, the backtest those that are in the recording.
Nothing else counts, neither clocks nor what was asked when. Records are read as the lake's builder reads them
(``recorders/replaying.py``): frames and replies through a codec a connection, notes as what they mean for the books.

*Stamps.* A record is received at its monotonic time plus ``base_ns`` (which ties the monotonic clock to UTC and
corrects a clock that ran behind the venue), and at least 1 ns after the record before: a wall clock that steps moves
nothing, and every record has a stamp of its own.

*Two orders.* ``client_window`` has what came since the last call in the order of receipt. ``venue_window`` has what the
simulated venue may know: messages by venue time v up to an instant that no later record can precede. All that comes
after a record stamped ``s`` has v > s - D, so at ``s`` the venue is complete up to s - D (``complete_ns``).

*Beginning and end.* Records before the ``RunBegan`` note are the warm-up: they make the codecs and books what they are
when the run begins (``market.py``). ``RunEnded`` puts a GAP of kind session end at its stamp; what follows is ignored.
Both may be called by hand for a recording without them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from matching.feed import FeedWindow
from recorders.lines import Line
from recorders.live.market import LiveMarket
from recorders.live.windows import Message
from recorders.raw import FRAME_IN, NOTE, STOPPING, Closed, Damage, RawRecord, RunBegan, RunEnded, decode_note
from recorders.replaying import Axis, Owners, Replay, Segment
from recorders.report import Problems
from venues.codecs import MarketCodec, market_codec
from venues.errors import InputError, PayloadError, VenueError
from venues.instruments import Instrument
from venues.market_data import Batch, DepthDiff, DepthSnapshot, Other

FOREVER: Final = (1 << 63) - 1
_RUN_NOTES: Final = (b'{"note":"run_began"', b'{"note":"run_ended"')


class _StampAxis(Axis):
    """The feed's own stamps as the time axis of a replay."""

    def __init__(self) -> None:
        super().__init__()
        self.stamp_ns = 0

    def recv_ns(self, record: RawRecord) -> int:
        return self.stamp_ns


class _Records(Replay):
    """A replay that does not wait: a connection that closes is lost at once."""

    def take(self, record: RawRecord | Damage) -> None:
        if (
            type(record) is not RawRecord
            or record.kind != FRAME_IN
            or record.connection not in self._mine
            or self._closing
        ):
            super().take(record)
            return
        stamp = self._axis.recv_ns(record)  # as in ``Replay.take`` where there is one segment: stamps rise
        self._recv_ns = stamp
        self.messages += 1
        self._line = Line(stamp, 0, record.seq, record.payload, False, record.wall_ns, record.connection)
        self._target.line(self._line)

    def _closed(self, note: Closed, line: Line) -> None:
        if note.why != STOPPING:
            super()._closed(note, line)
            self._lose_closed()


class _Venue:
    """The instruments of one venue: the ``Target`` of its replay."""

    def __init__(self, venue: str, markets: dict[str, LiveMarket], touched: list[LiveMarket]) -> None:
        self._venue = venue
        self._markets = markets
        self._touched = touched
        self._instruments = [market.instrument for market in markets.values()]
        self._codecs: dict[int, MarketCodec] = {}
        self._carries: dict[int, set[str]] = {}  # whose book comes over a connection
        self.malformed = 0
        self.problems = Problems()

    @property
    def symbols(self) -> list[str]:
        return list(self._markets)

    def restart(self, connection: int) -> None:
        if connection in self._codecs:
            self._codecs[connection].restart()
        self._carries.pop(connection, None)

    def forget(self, connection: int) -> None:
        self._codecs.pop(connection, None)
        self._carries.pop(connection, None)

    def interrupted(self, kind: int, line: Line, why: str, symbols: Iterable[str] | None = None) -> None:
        for symbol in sorted(self._carries.get(line.connection, set()) if symbols is None else symbols):
            market = self._markets.get(symbol)
            if market is not None:
                self._touch(market, line)
                market.interrupted(kind, line, why)

    def finish(self) -> None:
        """Nothing waits for an end."""

    def line(self, line: Line) -> None:
        codec = self._codecs.get(line.connection)
        if codec is None:
            codec = self._codecs[line.connection] = market_codec(self._venue, self._instruments)
        try:
            record = codec.decode(line.raw, line.symbol)
        except PayloadError as error:
            self._refuse(line, f"field {error.field}: {error.why}")
        except VenueError as error:
            self._refuse(line, str(error))
        else:
            if type(record) is Batch:
                for part in record.records:
                    self._dispatch(part, line)
            else:
                self._dispatch(record, line)

    def _refuse(self, line: Line, why: str) -> None:
        self.malformed += 1
        self.problems.add("record", line.number, "malformed", why)

    def _dispatch(self, record: Any, line: Line) -> None:
        kind = type(record)
        if kind is Other:
            return
        market = self._markets[record.symbol]
        if kind is DepthDiff or (kind is DepthSnapshot and record.in_stream):
            carried = self._carries.get(line.connection)
            if carried is None:
                carried = self._carries[line.connection] = set()
            carried.add(record.symbol)
        self._touch(market, line)
        market.take(record, line)

    def _touch(self, market: LiveMarket, line: Line) -> None:
        market.outlet.recv_ns = line.recv_ns
        self._touched.append(market)


class LiveFeed:
    """The market data of a run's instruments, from records as they come. Markets are numbered as ``instruments``.

    ``delay_ns`` is D. ``has_clients`` False: nobody asks for client windows. ``measure(event_lag_ns, made_lag_ns)``
    hears of every message that says its time: receive minus engine time, and minus the later of engine and push time.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        delay_ns: int,
        base_ns: int,
        *,
        has_clients: bool = True,
        measure: Callable[[int, int], None] | None = None,
    ) -> None:
        if delay_ns < 0:
            raise InputError(f"{delay_ns} ns is no delay", source="feed", field="delay")
        self.delay_ns, self.base_ns = delay_ns, base_ns
        self.stamp_ns = 0  # of the last record
        self.begin_ns: int | None = None
        self.end_ns: int | None = None
        self._has_records = False
        self._axis = _StampAxis()
        self._touched: list[LiveMarket] = []
        segments = [Segment("recording", FOREVER)]
        self.markets = [
            LiveMarket(instrument, segments, delay_ns, has_client=has_clients, measure=measure)
            for instrument in instruments
        ]
        by_venue: dict[str, dict[str, LiveMarket]] = {}
        for market in self.markets:
            mine = by_venue.setdefault(market.instrument.venue, {})
            if mine.setdefault(market.instrument.symbol, market) is not market:
                raise InputError("is given twice", source=f"instrument {market.instrument.symbol}")
        owners = Owners({venue: frozenset(markets) for venue, markets in by_venue.items()})
        self.venues = {venue: _Venue(venue, markets, self._touched) for venue, markets in by_venue.items()}
        self._replays = [
            _Records(venue, target, segments, target.problems, self._axis, owners)
            for venue, target in self.venues.items()
        ]

    # -- records

    def stamp_of(self, mono_ns: int) -> int:
        """When an instant of the monotonic clock is, in the run's time."""
        return mono_ns + self.base_ns

    def take(self, record: RawRecord | Damage) -> None:
        """The next record, or a place in a recording where some are missing."""
        if self.end_ns is not None:
            return
        if isinstance(record, RawRecord):
            if record.kind == NOTE and record.payload.startswith(_RUN_NOTES):
                self._run_note(record.payload)
                return
            stamp = record.mono_ns + self.base_ns
            if stamp <= self.stamp_ns:
                stamp = self.stamp_ns + 1
            if not self._has_records:
                self._has_records = True
                for market in self.markets:
                    market.since_ns = stamp
            self.stamp_ns = self._axis.stamp_ns = stamp
        for replay in self._replays:
            replay.take(record)
        if self._touched:
            for market in self._touched:
                market.outlet.settle()
            self._touched.clear()

    def _run_note(self, payload: bytes) -> None:
        note = decode_note(payload)
        if isinstance(note, RunBegan) and self.begin_ns is None:
            self.begin(note.begin_ns)
        elif isinstance(note, RunEnded) and self.begin_ns is not None:
            self.end(note.stamp_ns)

    def begin(self, begin_ns: int) -> None:
        """The run begins at ``begin_ns``, or right after the last record if that is later."""
        self.begin_ns = self.stamp_ns = max(begin_ns, self.stamp_ns + 1)
        for market in self.markets:
            market.outlet.open(self.begin_ns)

    def end(self, stamp_ns: int) -> None:
        """The run ends at ``stamp_ns``, or right after the last record if that is later."""
        self.end_ns = self.stamp_ns = max(stamp_ns, self.stamp_ns + 1)
        for market in self.markets:
            market.end(self.end_ns)

    # -- windows

    def client_window(self, m: int) -> FeedWindow | None:
        """What has come of market ``m`` since the last call, in the order of receipt."""
        return self.markets[m].outlet.client_window()

    def venue_window(self, m: int, complete_ns: int, most: int = FOREVER) -> FeedWindow | None:
        """Messages of market ``m`` with v <= ``complete_ns`` that were not given yet, in venue order, at most ``most``.
        ``complete_ns`` is at most the stamp of the last record minus D, or the end's stamp after the end."""
        return self.markets[m].outlet.venue_window(complete_ns, most)

    def client_messages(self, m: int) -> list[Message]:
        """The same as ``client_window`` in no window (``Core.feed``)."""
        return self.markets[m].outlet.client_messages()

    def venue_messages(self, m: int, complete_ns: int) -> list[Message]:
        """The same as ``venue_window`` in no window (``Core.feed``)."""
        return self.markets[m].outlet.venue_messages(complete_ns)

    def ready(self, m: int, complete_ns: int) -> int:
        """How many messages ``venue_window`` would give."""
        return self.markets[m].outlet.ready(complete_ns)

    def counts(self, m: int) -> dict[str, int]:
        """Figures of market ``m``; frames that its venue sent and nobody could read are counted with it."""
        market = self.markets[m]
        found = market.counts()
        found["malformed"] += self.venues[market.instrument.venue].malformed
        return found
