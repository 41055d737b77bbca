"""The parameter sets of the lanes benchmarks; ``peers/run_hftbacktest.py`` states the same (a test compares them)."""

from __future__ import annotations

import math

HALVES = (0.5, 1.0, 2.0, 4.0, 0.75, 1.5, 2.5, 3.0)
SKEWS = (0.0, 0.5, 0.25, 0.125, 0.375, 0.0625, 0.1875, 0.75)


def parameter_sets(count: int) -> list[tuple[float, float]]:
    """``count`` pairs (half_ticks, skew_ticks); 8 and 64 are meant."""
    side = math.isqrt(count)
    return [(half, skew) for half in HALVES[: count // side] for skew in SKEWS[:side]]
