"""A raw recording as the feed of a run: what a paper session saw, once more.

Theory of operation. The recording's records go through a ``LiveFeed`` like those of the session that made it, with the
session's own delay, clock tie and beginning as its notes say them; so a backtest gets the same messages with the same
stamps. Records are read once for all instruments, a stretch at a time. After each stretch the venue is complete up to
the last stamp minus D: the messages up to there are cut into windows, which wait for whoever asks. Memory is bounded by
a stretch and the messages of the last D, unless an instrument is silent while others are not.

A recording without a run in it (``perpsim record``) begins with its first record and needs a delay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from matching.feed import FeedWindow
from recorders.live.feed import FOREVER, LiveFeed
from recorders.raw import (
    NOTE,
    Damage,
    Opened,
    RawRecord,
    RawRecording,
    RunBegan,
    RunEnded,
    Started,
    decode_note,
    open_recordings,
)
from recorders.writer import instrument_from
from venues.errors import InputError, LocalError
from venues.instruments import Instrument

WINDOW_MESSAGES: Final = 1 << 16
STRETCH_RECORDS: Final = 1 << 13


class RecordedFeed:
    """A recording for a run: ``folder`` is a recording, or holds exactly one. ``delay_ns`` goes before the notes'."""

    delay_ns: int
    base_ns: int
    first_ns: int
    last_ns: int

    def __init__(self, folder: str | Path, delay_ns: int | None = None, stretch_records: int = STRETCH_RECORDS) -> None:
        self._stretch = stretch_records
        found = open_recordings(folder)
        if len(found) != 1:
            raise InputError(f"holds {len(found)} recordings: name one of them", source=str(folder))
        self.recording: RawRecording = found[0]
        self.path = self.recording.path
        self.config: dict[str, Any] = {}
        self.began: RunBegan | None = None
        self.ended: RunEnded | None = None
        self.venues: set[str] = set()
        self._last_mono_ns = 0
        first = self._read_notes()
        if first is None:
            raise InputError("holds no record", source=str(self.path))
        given = delay_ns if delay_ns is not None or self.began is None else self.began.delay_ns
        if given is None:
            raise InputError(
                'no run was made over it, so nothing says how far behind its venue to be: give delay = "200ms" or so',
                source=str(self.path), field="delay",
            )  # fmt: skip
        self.delay_ns = given
        tie_ns = first.wall_ns - first.mono_ns
        self.base_ns = tie_ns if self.began is None else self.began.base_ns
        self.first_ns = first.mono_ns + self.base_ns if self.began is None else self.began.begin_ns
        self.last_ns = self._last_mono_ns + self.base_ns if self.ended is None else self.ended.stamp_ns
        self._feed: LiveFeed | None = None
        self._records: Iterator[RawRecord | Damage] = iter(())
        self._wanted: dict[int, list[FeedWindow]] = {}  # by market: windows that wait to be asked for
        self._instruments: list[Instrument] = []

    def _read_notes(self) -> RawRecord | None:
        """What the notes say of the run; returns the first record."""
        first = None
        for record in self.recording.records():
            if isinstance(record, Damage):
                continue
            first = first or record
            if self.ended is None:
                self._last_mono_ns = max(self._last_mono_ns, record.mono_ns)
            if record.kind == NOTE:
                self._read_note(record.payload)
        return first

    def _read_note(self, payload: bytes) -> None:
        try:
            note = decode_note(payload)
        except InputError:
            return
        if isinstance(note, Started):
            self.config = note.config
        elif isinstance(note, Opened):
            self.venues.add(note.venue)
        elif isinstance(note, RunBegan) and self.began is None:
            self.began = note
        elif isinstance(note, RunEnded) and self.began is not None and self.ended is None:
            self.ended = note

    # -- what is in it

    @property
    def paths(self) -> list[Path]:
        """Its segments."""
        return sorted(self.path.glob("*.seg"))

    @property
    def instruments(self) -> list[Instrument]:
        """The contracts that the recorder was told to record, as it described them."""
        rows = (self.config or self.recording.about).get("instruments")
        found = []
        for row in rows if isinstance(rows, list) else []:
            try:
                found.append(instrument_from(row))
            except (LocalError, TypeError, KeyError) as error:
                raise InputError(f"describes an instrument that is none: {error}", source=str(self.path)) from None
        return found

    def instrument(self, venue: str, symbol: str) -> Instrument | None:
        """What the recorder said of a contract; None if it said nothing of any. Raises ``InputError`` if it has others
        only."""
        known = self.instruments
        mine = next((one for one in known if (one.venue, one.symbol) == (venue, symbol)), None)
        if known and mine is None:
            others = ", ".join(f"{one.venue}:{one.symbol}" for one in known)
            raise InputError(f"{venue}:{symbol} was not recorded, but {others}", source=str(self.path))
        return mine

    def has_stream(self, name: str) -> bool:
        """Whether a stream (``marks`` ...) was to be recorded, as far as anybody said."""
        record = (self.config or self.recording.about).get("record")
        streams = record.get("streams") if isinstance(record, dict) else None
        return not isinstance(streams, list) or name in streams

    # -- as feeds

    def source(self, instrument: Instrument) -> RecordingSource:
        """The feed of one instrument. All sources must be made before the first window is asked for."""
        if self._feed is not None:
            raise ValueError("a source of a recording that is being read already")
        self._instruments.append(instrument)
        self._wanted[len(self._instruments) - 1] = []
        return RecordingSource(self, len(self._instruments) - 1)

    def counts(self, m: int) -> dict[str, int]:
        """Figures of a source's messages so far (``LiveFeed.counts``)."""
        return self._begun().counts(m)

    def _begun(self) -> LiveFeed:
        if self._feed is None:
            # Codecs see all that the session's saw: what one instrument's frames say can concern another's.
            mine = {(one.venue, one.symbol) for one in self._instruments}
            others = [one for one in self.instruments if (one.venue, one.symbol) not in mine]
            self._feed = LiveFeed([*self._instruments, *others], self.delay_ns, self.base_ns, has_clients=False)
            if self.began is None:
                self._feed.begin(self.first_ns - 1)
            self._records = self.recording.records()
        return self._feed

    def next_window(self, m: int) -> FeedWindow | None:
        """The next stretch of market ``m``."""
        feed = self._begun()
        waiting = self._wanted[m]
        while not waiting:
            if not self._read(feed):
                break
        return waiting.pop(0) if waiting else None

    def _read(self, feed: LiveFeed) -> bool:
        """Read on until there is enough for a window; False at the end of the recording."""
        ended = feed.end_ns is not None
        count = 0
        while not ended:
            record = next(self._records, None)
            if record is None:
                feed.end_ns = feed.stamp_ns
            else:
                feed.take(record)
            ended = feed.end_ns is not None
            count += 1
            if count >= self._stretch and feed.begin_ns is not None:
                break
        complete_ns = FOREVER - 1 if ended else feed.stamp_ns - self.delay_ns
        any_left = False
        for m in range(len(feed.markets)):
            while (window := feed.venue_window(m, complete_ns, WINDOW_MESSAGES)) is not None:
                any_left = True
                if m in self._wanted:
                    self._wanted[m].append(window)
        return any_left or not ended


class RecordingSource:
    """One instrument of a recording, in windows. A ``FeedSource``."""

    def __init__(self, feed: RecordedFeed, market: int) -> None:
        self.feed = feed
        self.rows = -1
        self.first_ns, self.last_ns = feed.first_ns, feed.last_ns
        self._market = market

    def next_window(self) -> FeedWindow | None:
        """The next stretch in venue order, or None at the end."""
        return self.feed.next_window(self._market)

    @property
    def late(self) -> int:
        """Frames that were received more than the delay after their venue time, so far."""
        return self.feed.counts(self._market)["late_frames"]
