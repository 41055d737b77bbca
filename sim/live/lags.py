"""Quantiles of many durations in little memory: counts in buckets whose bounds grow by a sixteenth of an octave."""

from __future__ import annotations

from typing import Final

STEPS: Final = 16  # buckets an octave
BUCKETS: Final = 64 * STEPS


class Lags:
    """Durations in nanoseconds; those below 0 count as 0. Quantiles are upper bounds, at most 6.25 % too high."""

    def __init__(self) -> None:
        self.count = 0
        self.most_ns = 0
        self._latest_ns = 0  # the greatest since it was last asked for
        self._counts = [0] * BUCKETS

    def add(self, lag_ns: int) -> None:
        """Count one."""
        lag_ns = max(lag_ns, 0)
        self.count += 1
        if lag_ns > self._latest_ns:
            self._latest_ns = lag_ns
            self.most_ns = max(self.most_ns, lag_ns)
        self._counts[_bucket(lag_ns)] += 1

    def quantile_ns(self, per_mille: int) -> int:
        """The least bound that ``per_mille`` of 1,000 are not above; 0 before the first."""
        wanted = -(-self.count * per_mille // 1000)
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if count and seen >= wanted:
                return min(_bound(bucket), self.most_ns)
        return 0

    def take_latest_ms(self) -> float:
        """The greatest since the last call, in milliseconds."""
        latest_ns, self._latest_ns = self._latest_ns, 0
        return round(latest_ns / 1e6, 3)

    def figures_ms(self) -> dict[str, float]:
        """p50, p99.9 and the greatest, in milliseconds."""
        found = (("p50", self.quantile_ns(500)), ("p999", self.quantile_ns(999)), ("max", self.most_ns))
        return {name: round(ns / 1e6, 3) for name, ns in found}


def _bucket(value: int) -> int:
    if value < STEPS:
        return value
    octave = value.bit_length() - 5
    return (octave + 1) * STEPS + ((value >> octave) - STEPS)


def _bound(bucket: int) -> int:
    if bucket < STEPS:
        return bucket
    octave, step = bucket // STEPS - 1, bucket % STEPS
    return ((STEPS + step + 1) << octave) - 1
