"""What a warm-up measures: how far our clock ran behind the venue's, and how far behind the venue a run must be.

The *offset* is added to receive times. A frame cannot arrive before it was sent: where the least of receive time minus
the later of engine and push time is below the latency floor, our clock ran behind, and the offset brings the least to
the floor. A clock that is ahead and a long way cannot be told apart, so it stays as it is (``recorders/clock.py`` does
the same with a whole recording; here only the past counts, and one offset holds for the session).

The *delay* D is the 99.9th percentile (nearest rank) of corrected receive time minus engine time, rounded up to a whole
millisecond, plus a margin: by so much the simulated venue stays behind, so that next to no message comes too late."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from recorders.clock import LATENCY_FLOOR_NS
from recorders.live.feed import LiveFeed
from recorders.raw import RawRecord
from venues.errors import InputError
from venues.instruments import Instrument

MARGIN_NS: Final = 50_000_000
SAMPLES_MAX: Final = 1 << 22  # lags that are kept; the ones after them still count for the offset
MS_NS: Final = 1_000_000


class FeedLags:
    """Collects feed latencies; ``add`` is what ``LiveFeed`` takes as ``measure``."""

    def __init__(self, floor_ns: int = LATENCY_FLOOR_NS) -> None:
        self._floor_ns = floor_ns
        self._lags = array("q")
        self._least: int | None = None

    def add(self, event_lag_ns: int, made_lag_ns: int) -> None:
        """A message: receive time minus engine time, and minus the later of engine and push time."""
        if len(self._lags) < SAMPLES_MAX:
            self._lags.append(event_lag_ns)
        if self._least is None or made_lag_ns < self._least:
            self._least = made_lag_ns

    @property
    def samples(self) -> int:
        return len(self._lags)

    @property
    def offset_ns(self) -> int:
        """What to add to receive times; 0 where our clock did not run behind, or nothing was measured."""
        return 0 if self._least is None else max(0, self._floor_ns - self._least)

    def delay_ns(self, margin_ns: int = MARGIN_NS) -> int:
        """D. Raises ``InputError`` when no message said its time."""
        if not self._lags:
            raise InputError(
                "no message with a time came, so there is nothing to measure the delay from: is the venue reached? "
                "Give the delay, or a longer warm-up", source="warm-up", field="delay",
            )  # fmt: skip
        lags = np.sort(np.frombuffer(self._lags, np.int64))
        rank = -(-len(lags) * 999 // 1000) - 1
        lag_ns = max(0, int(lags[rank]) + self.offset_ns)
        return -(-lag_ns // MS_NS) * MS_NS + margin_ns


def base_of(first: RawRecord) -> int:
    """What ties a session's monotonic clock to UTC: its first record."""
    return first.wall_ns - first.mono_ns


def measured(records: Iterable[RawRecord], instruments: Sequence[Instrument]) -> FeedLags:
    """The feed latencies of some records."""
    lags = FeedLags()
    feed: LiveFeed | None = None
    for record in records:
        if feed is None:
            feed = LiveFeed(instruments, 0, base_of(record), has_clients=False, measure=lags.add)
        feed.take(record)
    return lags
