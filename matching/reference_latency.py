"""The reference's latencies: how long one message between us and the venue takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from matching import arith


class Leg(NamedTuple):
    """One message between us and the venue; what a drawn latency is keyed with, beside the run's seed."""

    market: int
    order_no: int
    number: int  # 0 the order, 2k its k-th cancel or amend, 2 * (sequence of the event + 1) + 1 an event's way back


class Latency(Protocol):
    """Nanoseconds of one leg at an instant; negative: refused by the venue after that long."""

    def latency_ns(self, ts_ns: int, leg: Leg) -> int: ...


@dataclass(slots=True)
class ConstantLatency:
    ns: int

    def latency_ns(self, ts_ns: int, leg: Leg) -> int:
        return self.ns


@dataclass(slots=True)
class QuantileLatency:
    """Drawn from a quantile table: the first 32 of the key's 64 bits choose a point between its ends."""

    values_ns: Sequence[int]
    seed: int

    def latency_ns(self, ts_ns: int, leg: Leg) -> int:
        bits = arith.draw(self.seed, leg.market, leg.order_no, leg.number)
        at = (bits >> 32) * (len(self.values_ns) - 1)
        i, fraction = at >> 32, (at >> 8) & 0xFFFFFF
        return self.values_ns[i] + ((self.values_ns[i + 1] - self.values_ns[i]) * fraction >> 24)


@dataclass(slots=True)
class SeriesLatency:
    """Interpolated between records, floor-rounded, held at both ends; a refusal (negative) holds until the next."""

    ts_ns: Sequence[int]
    values_ns: Sequence[int]

    def latency_ns(self, ts_ns: int, leg: Leg) -> int:
        before = [i for i, t in enumerate(self.ts_ns) if t <= ts_ns]
        if not before:
            return self.values_ns[0]
        i = before[-1]
        if i + 1 == len(self.ts_ns) or self.values_ns[i] < 0 or self.values_ns[i + 1] < 0:
            return self.values_ns[i]
        rise = self.values_ns[i + 1] - self.values_ns[i]
        return self.values_ns[i] + rise * (ts_ns - self.ts_ns[i]) // (self.ts_ns[i + 1] - self.ts_ns[i])
