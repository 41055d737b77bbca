"""The receive clock's offset to the venue's clock, over a recording.

Theory of operation. For a message, receive time minus max(engine time, push time) is its latency plus the offset of
the recorder's clock. Latency is never negative, so the least of it over a stretch bounds the offset from above; where
the clock ran behind, it is negative, and taken at face value the message would reach a strategy before it was made.
The offset is estimated as the highest line that lies below all these values and nowhere changes faster than a clock
that is being corrected: quartz drifts a few ppm, but NTP slews a clock by up to 500 ppm, and recordings show it (the
Binance capture of April 2023: 30 ms within two minutes). It is the classical lower envelope of one-way delays (S. Moon,
P. Skelly, D. Towsley, "Estimation and removal of clock skew from network delay measurements", INFOCOM 1999), here with
a bounded slope instead of one straight line.

Only a clock that ran behind is corrected: if the least value is at or above the latency floor, receive times stay as
they are, since a constant latency and a clock that runs ahead cannot be told apart. After a correction the least
remaining latency is exactly the floor. Series are integers at fixed steps, interpolated with integer arithmetic, so
that a correction can be repeated to the nanosecond.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from matching.feed import I64

STEP_NS: Final = 10_000_000_000
LATENCY_FLOOR_NS: Final = 1_000_000
MAX_DRIFT_PPM: Final = 500  # the most by which ntpd slews a clock (RFC 5905 and its reference implementation)
_UNKNOWN: Final = (1 << 62) - 1


@dataclass(frozen=True, slots=True)
class ClockSeries:
    """Offsets (ns, at most 0) of the receive clock at ``start_ns + k * step_ns`` of its own time, linear in between."""

    start_ns: int
    step_ns: int
    offsets_ns: tuple[int, ...]
    floor_ns: int

    def offset(self, ts_recv_raw: I64) -> I64:
        """The offset to subtract at each raw receive time; outside the series its ends hold."""
        values = np.array(self.offsets_ns, np.int64)
        at = np.clip(ts_recv_raw - self.start_ns, 0, (len(values) - 1) * self.step_ns)
        knot = np.minimum(at // self.step_ns, len(values) - 2)
        rest = at - knot * self.step_ns
        low = values[knot]
        found: I64 = low + (values[knot + 1] - low) * rest // self.step_ns
        return found

    def between(self, start_ns: int, end_ns: int) -> ClockSeries | None:
        """The part of the series that says what holds between two receive times; None if nothing is corrected there."""
        last = len(self.offsets_ns) - 1
        low = min(max(0, (start_ns - self.start_ns) // self.step_ns), last - 1)
        high = min(max(low + 1, -((self.start_ns - end_ns) // self.step_ns)), last)
        offsets = self.offsets_ns[low : high + 1]
        if not any(offsets):
            return None
        return ClockSeries(self.start_ns + low * self.step_ns, self.step_ns, offsets, self.floor_ns)

    def as_dict(self) -> dict[str, Any]:
        return {
            "start_ns": self.start_ns,
            "step_ns": self.step_ns,
            "floor_ns": self.floor_ns,
            "offsets_ns": list(self.offsets_ns),
        }


class ClockEstimate:
    """Collects the least receive-minus-made time in steps of the receive clock, in any order."""

    def __init__(self) -> None:
        self.least: dict[int, int] = {}

    def add(self, ts_recv_raw: I64, ts_made: I64) -> None:
        """Take in messages: raw receive times and max(engine, push) times, ns."""
        if not len(ts_recv_raw):
            return
        steps = ts_recv_raw // STEP_NS
        order = np.argsort(steps, kind="stable")
        steps, delays = steps[order], (ts_recv_raw - ts_made)[order]
        first = np.flatnonzero(np.concatenate((np.ones(1, np.bool_), steps[1:] != steps[:-1])))
        for step, delay in zip(steps[first].tolist(), np.minimum.reduceat(delays, first).tolist(), strict=True):
            self.least[step] = min(delay, self.least.get(step, _UNKNOWN))

    @property
    def offset_ns(self) -> int:
        """The least receive-minus-made time of all; 0 without messages."""
        return min(self.least.values(), default=0)

    def least_between(self, start_ns: int, end_ns: int) -> int:
        """The least receive-minus-made time between two receive times; 0 without messages."""
        low, high = start_ns // STEP_NS, end_ns // STEP_NS
        return min((least for step, least in self.least.items() if low <= step <= high), default=0)

    def first_least(self, span_ns: int) -> int:
        """The least receive-minus-made time of the first stretch of messages, ``span_ns`` long; 0 without messages."""
        first_ns = min(self.least, default=0) * STEP_NS
        return self.least_between(first_ns, first_ns + span_ns)

    def moved(self, shift_ns: int) -> ClockEstimate:
        """The same as if all receive times had been later by ``shift_ns``; exact to a step of the series."""
        found = ClockEstimate()
        for step, least in self.least.items():
            at = (step * STEP_NS + shift_ns) // STEP_NS
            found.least[at] = min(least + shift_ns, found.least.get(at, _UNKNOWN))
        return found

    def series(self, floor_ns: int = LATENCY_FLOOR_NS, max_drift_ppm: int = MAX_DRIFT_PPM) -> ClockSeries | None:
        """The correction, or None where none is due."""
        if not self.least or self.offset_ns >= floor_ns:
            return None
        first, last = min(self.least), max(self.least)
        steps = last - first + 1
        least = [self.least.get(first + k, _UNKNOWN) for k in range(steps)]
        # A knot lies at or below both steps beside it, so that the line between two knots is below the step's values.
        knots = [min(least[max(0, k - 1)], least[min(k, steps - 1)]) for k in range(steps + 1)]
        rise = max_drift_ppm * STEP_NS // 1_000_000
        for k in range(1, steps + 1):
            knots[k] = min(knots[k], knots[k - 1] + rise)
        for k in range(steps - 1, -1, -1):
            knots[k] = min(knots[k], knots[k + 1] + rise)
        return ClockSeries(first * STEP_NS, STEP_NS, tuple(min(0, knot - floor_ns) for knot in knots), floor_ns)
