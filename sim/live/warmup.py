"""The warm-up: the first seconds of a recording, kept until they have said how far behind the venue we are.

The delay D is the 99.9th percentile of receive minus engine time; the offset is what our clock ran behind the venue's
(a frame cannot arrive before it was sent, so the least of receive minus the venue's own time is at least the network's
least latency). A delay of the run file goes before the measured one. The records themselves are then given to the feed
of the run, as the backtest of the recording will give them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from recorders.live.feed import LiveFeed
from recorders.raw import RawRecord, RunBegan
from sim.assembly import instrument_of
from sim.live.setup import Setup
from venues import card
from venues.errors import InputError
from venues.ports import Clock

KEPT_BYTES: Final = 512 << 20
SAMPLES: Final = 1_000_000
LEAST_DELAY_NS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Measured:
    """What the warm-up has found, or was told."""

    delay_ns: int
    offset_ns: int
    base_ns: int
    samples: int

    def note(self, begin_ns: int, run: str) -> RunBegan:
        """The note that begins the run in the recording."""
        return RunBegan(self.delay_ns, self.base_ns, begin_ns, self.offset_ns, self.samples, 0, run)


class WarmUp:
    """Takes the records before the run begins."""

    def __init__(self, setup: Setup, clock: Clock) -> None:
        config = setup.config
        self._given_ns = setup.paper.delay
        self._instruments = [
            instrument_of(
                one,
                card(config.venue[config.venue_of(one)].card or config.venue[config.venue_of(one)].name),
                None,
            )
            for one in config.instrument
        ]
        self._records: list[RawRecord] = []
        self._kept = 0
        self._lags: list[int] = []
        self._least_ns = 0
        self._samples = 0
        self._tie_ns = clock.wall_ns() - clock.monotonic_ns()
        self._measuring: LiveFeed | None = None

    def take(self, record: RawRecord) -> None:
        """The next record. Raises ``InputError`` when the warm-up holds more than fits."""
        if self._measuring is None:
            self._tie_ns = record.wall_ns - record.mono_ns
            self._measuring = LiveFeed(self._instruments, 0, self._tie_ns, has_clients=False, measure=self._measure)
        self._records.append(record)
        self._kept += len(record.payload)
        if self._kept > KEPT_BYTES:
            raise InputError(f"holds more than {KEPT_BYTES >> 20} MiB of records: make it shorter", source="warm_up")
        self._measuring.take(record)

    def _measure(self, event_lag_ns: int, made_lag_ns: int) -> None:
        if self._samples < SAMPLES:
            self._lags.append(event_lag_ns)
        self._least_ns = made_lag_ns if not self._samples else min(self._least_ns, made_lag_ns)
        self._samples += 1

    def measured(self) -> Measured:
        """Delay and offset. Raises ``InputError`` when nothing came that says its time and no delay is given."""
        offset_ns = max(0, -self._least_ns)
        base_ns = self._tie_ns + offset_ns
        if self._given_ns is not None:
            return Measured(self._given_ns, offset_ns, base_ns, self._samples)
        if not self._lags:
            raise InputError(
                "no message with a time came, so there is nothing to measure the delay from: is the venue reached? "
                "Give [paper] delay, or a longer warm_up", source="warm_up",
            )  # fmt: skip
        found = sorted(self._lags)
        lag_ns = found[min(len(found) - 1, len(found) * 999 // 1000)] + offset_ns
        return Measured(max(lag_ns, LEAST_DELAY_NS), offset_ns, base_ns, self._samples)

    def feed(self, found: Measured, mono_ns: int) -> tuple[LiveFeed, int]:
        """The run's feed, with everything that came so far in it, and the instant at which the run can begin."""
        feed = LiveFeed(self._instruments, found.delay_ns, found.base_ns)
        for record in self._records:
            feed.take(record)
        self._records.clear()
        self._lags.clear()
        self._measuring = None
        return feed, max(feed.stamp_of(mono_ns), feed.stamp_ns + 1)
