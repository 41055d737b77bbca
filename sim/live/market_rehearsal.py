"""Rehearsals of market data: the way of a frame to the kernel's door, walked with frames that have come before.

What ``sim/live/rehearsal.py`` is for orders. The first records of the session's own recording go, one a step, through
sessions, a recorder and a feed that are like those of the run and lead nowhere: nothing connects, nothing is written.
With the run's they share the code, and nothing else. Time is the records' own.
What a pass leaves refers to itself, so it is collected at once: many passes together would take the collector tens of
milliseconds, whenever it happened to begin.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from recorders.live.feed import LiveFeed
from recorders.live.recorder import Live, Recorder, Settings
from recorders.live.sink import TappedSink
from recorders.live.warmup import base_of
from recorders.raw import FRAME_IN, NOTE, Opened, RawRecord, decode_note
from venues.instruments import Instrument
from venues.ports import Clock, Entropy
from venues.session_parts import Action, Channel
from venues.sessions import MarketSession

FRAMES: Final = 64
BYTES: Final = 2 << 20
MARKETS: Final = 8  # so many are enough, and quickly made anew


class UnkeptSink(TappedSink):
    """Tells its listener as the recorder's does, and keeps nothing."""

    def __init__(self, listener: Callable[[RawRecord], None]) -> None:
        self._listener = listener
        self._limit_bytes = BYTES
        self._batch, self._batch_bytes, self._taken_bytes, self._done_bytes, self._seq = [], 0, 0, 0, 0

    def flush(self) -> None:
        """Forget."""
        self._batch.clear()
        self._batch_bytes = 0


class IdleRecorder(Recorder):
    """Hears frames, and does nothing of what sessions want done. What goes wrong is raised."""

    def write_losses(self, session: MarketSession, actions: Sequence[Action], wall_ns: int, mono_ns: int) -> None:
        """Nothing."""

    def act(self, session: MarketSession, actions: Sequence[Action], wall_ns: int, mono_ns: int) -> None:
        """Nothing."""

    def stop(self, why: str) -> None:
        """Not to be."""
        raise RuntimeError(why)


class RecordedTime:
    """A clock that says what the record at hand says."""

    def __init__(self) -> None:
        self.record = RawRecord(0, 0, 0, 0, 0, b"")

    def wall_ns(self) -> int:
        return self.record.wall_ns

    def monotonic_ns(self) -> int:
        return self.record.mono_ns


class MarketRehearsal:
    """``step`` walks one record's way; after the last, the first follows with everything new."""

    def __init__(
        self, instruments: Sequence[Instrument], sessions: Sequence[MarketSession], records: Sequence[RawRecord],
        entropy: Entropy,
    ) -> None:  # fmt: skip
        self._instruments = list(instruments)
        self._models: list[Any] = list(sessions)
        self._base_ns = base_of(records[0]) if records else 0
        self._entropy = entropy
        self._time = RecordedTime()
        self.passes = 0
        self.messages = 0
        self._records: list[RawRecord] = []
        self._begin()
        self._records = self._chosen(records)
        self._begin()

    def _chosen(self, records: Sequence[RawRecord]) -> list[RawRecord]:
        """The first frames of books, in which there is most to do, and between two of them one of each other stream."""
        found: list[RawRecord] = []
        frames, left, between, markets = FRAMES, BYTES, set[str](), set[tuple[str, str]]()
        for record in records:
            if record.kind == FRAME_IN:
                channel = self._channel(record)
                if channel is None or channel.stream in between:
                    continue
                market = self._connections[record.connection].session.venue, channel.symbol
                if market not in markets and len(markets) >= MARKETS:
                    continue
                markets.add(market)
                if channel.stream == "depth":
                    between.clear()
                else:
                    between.add(channel.stream)
                frames -= 1
            elif record.kind == NOTE:
                self._open(record)
            left -= len(record.payload)
            if frames < 0 or left < 0:
                break
            found.append(record)
        self._instruments = [one for one in self._instruments if (one.venue, one.symbol) in markets]
        return found

    def _channel(self, record: RawRecord) -> Channel | None:
        live = self._connections.get(record.connection)
        return None if live is None else live.session.on_frame(live.link.name, record.payload, record.mono_ns)

    def _begin(self) -> None:
        sessions = [type(model)(model.wanted, self._entropy) for model in self._models]
        self._recorder = IdleRecorder(
            sessions, cast(Any, None), cast(Any, None), cast(Clock, self._time), self._entropy, Settings(),
            listener=self._hear,
        )  # fmt: skip
        self._recorder.sink = UnkeptSink(self._recorder.tell)
        self._connections: dict[int, Live] = {}
        self._feed = LiveFeed(self._instruments, 0, self._base_ns)
        self._feed.begin(1)
        self._at = 0

    def _forget(self) -> None:
        """Before there is anything new, which the collector would take for older than it is."""
        self._recorder.sessions.clear()
        self._connections.clear()
        del self._feed, self._recorder
        gc.collect(0)

    def step(self) -> None:
        """The next record, as the run's recorder takes it."""
        if self._at >= len(self._records):
            self.passes += 1
            self._forget()
            self._begin()
            return
        record = self._time.record = self._records[self._at]
        self._at += 1
        live = self._connections.get(record.connection)
        if record.kind == FRAME_IN and live is not None:
            live.frame(record.payload)
            return
        if record.kind == NOTE:
            self._open(record)
        self._hear(record)

    def _hear(self, record: RawRecord) -> None:
        feed = self._feed
        feed.take(record)
        complete_ns = feed.stamp_ns - feed.delay_ns
        for market in feed.markets:
            outlet = market.outlet
            self.messages += len(outlet.client_messages())
            outlet.venue_messages(complete_ns)

    def _open(self, record: RawRecord) -> None:
        note = decode_note(record.payload)
        if not isinstance(note, Opened):
            return
        for session in self._recorder.sessions:
            for link in session.links:
                if session.venue == note.venue and link.url == note.url:
                    session.on_open(link.name, record.mono_ns)
                    session.take_actions()
                    number = note.connection
                    self._connections[number] = Live(self._recorder, session, link, number, cast(Any, None))
