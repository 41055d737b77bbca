"""Rehearsals of market data: the way of a frame to the kernel's door, walked with frames that have come before.

What ``sim/live/rehearsal.py`` is for orders. The first records of the session's own recording go, one a step, through
sessions and a feed that are like those of the run and lead nowhere; with these they share the code, and nothing else.
What a pass leaves refers to itself, so it is collected at once: many passes together would take the collector tens of
milliseconds, whenever it happened to begin.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any, Final

from recorders.live.feed import LiveFeed
from recorders.live.warmup import base_of
from recorders.raw import FRAME_IN, NOTE, Opened, RawRecord, decode_note
from venues.instruments import Instrument
from venues.ports import Entropy
from venues.session_parts import Channel
from venues.sessions import MarketSession

FRAMES: Final = 64
BYTES: Final = 2 << 20


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
        self.passes = 0
        self.messages = 0
        self._records: list[RawRecord] = []
        self._begin()
        self._records = self._chosen(records)
        self._begin()

    def _chosen(self, records: Sequence[RawRecord]) -> list[RawRecord]:
        """The first frames of books, in which there is most to do, and between two of them one of each other stream."""
        found: list[RawRecord] = []
        frames, left, between = FRAMES, BYTES, set[str]()
        for record in records:
            if record.kind == FRAME_IN:
                channel = self._watch(record)
                if channel is None or channel.stream in between:
                    continue
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
        return found

    def _begin(self) -> None:
        self._sessions = [type(model)(model.wanted, self._entropy) for model in self._models]
        self._of: dict[int, tuple[MarketSession, str]] = {}  # by connection: its session, its name there
        self._feed = LiveFeed(self._instruments, 0, self._base_ns)
        self._feed.begin(1)
        self._at = 0

    def _forget(self) -> None:
        """Before there is anything new, which the collector would take for older than it is."""
        self._sessions.clear()
        self._of.clear()
        del self._feed
        gc.collect(0)

    def step(self) -> None:
        """The next record, as a session of the run takes it."""
        if self._at >= len(self._records):
            self.passes += 1
            self._forget()
            self._begin()
            return
        record = self._records[self._at]
        self._at += 1
        if record.kind == FRAME_IN:
            self._watch(record)
        elif record.kind == NOTE:
            self._open(record)
        feed = self._feed
        feed.take(record)
        complete_ns = feed.stamp_ns - feed.delay_ns
        for market in feed.markets:
            outlet = market.outlet
            self.messages += len(outlet.client_messages())
            outlet.venue_messages(complete_ns)

    def _watch(self, record: RawRecord) -> Channel | None:
        if record.connection not in self._of:
            return None
        session, name = self._of[record.connection]
        channel = session.on_frame(name, record.payload, record.mono_ns)
        if session.actions:
            session.take_actions()
        return channel

    def _open(self, record: RawRecord) -> None:
        note = decode_note(record.payload)
        if isinstance(note, Opened):
            for session in self._sessions:
                for link in session.links:
                    if session.venue == note.venue and link.url == note.url:
                        session.on_open(link.name, record.mono_ns)
                        session.take_actions()
                        self._of[note.connection] = (session, link.name)
