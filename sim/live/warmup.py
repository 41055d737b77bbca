"""The warm-up: the first seconds of a recording, kept until they have said how far behind the venue we are.

What is measured, and how, is ``recorders/live/warmup.py``'s; a delay of the run file goes before it. The records
themselves are then given to the feed of the run, as the backtest of the recording will give them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from recorders.live.feed import LiveFeed
from recorders.live.warmup import MARGIN_NS, FeedLags, base_of
from recorders.raw import RawRecord, RunBegan
from sim.assembly import instrument_of
from sim.live.setup import Setup
from venues import card
from venues.errors import InputError
from venues.ports import Clock

KEPT_BYTES: Final = 512 << 20
SAMPLE: Final = 4_096


@dataclass(frozen=True, slots=True)
class Measured:
    """What the warm-up has found, or was told."""

    delay_ns: int
    offset_ns: int
    base_ns: int
    samples: int
    margin_ns: int

    def note(self, begin_ns: int, run: str) -> RunBegan:
        """The note that begins the run in the recording."""
        return RunBegan(
            delay_ns=self.delay_ns,
            base_ns=self.base_ns,
            begin_ns=begin_ns,
            offset_ns=self.offset_ns,
            samples=self.samples,
            margin_ns=self.margin_ns,
            run=run,
        )


class WarmUp:
    """Takes the records before the run begins."""

    def __init__(self, setup: Setup, clock: Clock) -> None:
        config = setup.config
        self._given_ns = config.feed.delay if setup.paper.delay is None else setup.paper.delay
        self.instruments = [
            instrument_of(
                one,
                card(config.venue[config.venue_of(one)].card or config.venue[config.venue_of(one)].name),
                None,
            )
            for one in config.instrument
        ]
        self._offset_ns = setup.paper.offset
        self._records: list[RawRecord] = []
        self._kept = 0
        self._lags = FeedLags()
        self._tie_ns = clock.wall_ns() - clock.monotonic_ns()
        self._measuring: LiveFeed | None = None

    def take(self, record: RawRecord) -> None:
        """The next record. Raises ``InputError`` when the warm-up holds more than fits."""
        if self._measuring is None:
            self._tie_ns = base_of(record)
            self._measuring = LiveFeed(self.instruments, 0, self._tie_ns, has_clients=False, measure=self._lags.add)
        self._records.append(record)
        self._kept += len(record.payload)
        if self._kept > KEPT_BYTES:
            raise InputError(f"holds more than {KEPT_BYTES >> 20} MiB of records: make it shorter", source="warm_up")
        self._measuring.take(record)

    def measured(self) -> Measured:
        """Delay and offset. Raises ``InputError`` when nothing came that says its time and no delay is given."""
        lags = self._lags
        offset_ns = lags.offset_ns if self._offset_ns is None else self._offset_ns
        base_ns = self._tie_ns + offset_ns
        if self._given_ns is not None:
            return Measured(self._given_ns, offset_ns, base_ns, lags.samples, 0)
        delay_ns = max(0, lags.delay_ns() + offset_ns - lags.offset_ns)
        return Measured(delay_ns, offset_ns, base_ns, lags.samples, MARGIN_NS)

    def sample(self) -> list[RawRecord]:
        """The first records that came, for rehearsals."""
        return self._records[:SAMPLE]

    def feed(self, found: Measured, mono_ns: int) -> tuple[LiveFeed, int]:
        """The run's feed, with everything that came so far in it, and the instant at which the run can begin."""
        feed = LiveFeed(self.instruments, found.delay_ns, found.base_ns)
        for record in self._records:
            feed.take(record)
        self._records.clear()
        self._measuring = None
        return feed, max(feed.stamp_of(mono_ns), feed.stamp_ns + 1)
