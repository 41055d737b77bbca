"""Figures of an equity curve: returns on a regular grid, Sharpe and Sortino ratios, drawdown.

Annualisation. Perpetual futures trade around the clock, so a year has 365 days of 24 h. Returns are taken on a grid
of whole multiples of one interval since the epoch; a ratio of mean to deviation of those returns is multiplied by
``sqrt(365 d / interval)``. The risk-free rate is zero. A ratio from a run of hours says how smooth the run was; it
is no forecast of a year, and the table says over how many returns it was taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

NS_PER_S = 1_000_000_000
YEAR_NS = 365 * 86_400 * NS_PER_S
RETURN_INTERVALS_NS = tuple(s * NS_PER_S for s in (86_400, 3_600, 300, 60, 10, 1))
RETURNS_WANTED = 100
RETURNS_NEEDED = 10


def return_interval_ns(first_ns: int, last_ns: int, sample_ns: int) -> int:
    """The longest of 1 d, 1 h, 5 min, 1 min, 10 s, 1 s that gives at least 100 returns between the two instants and
    is no shorter than the sampling interval ``sample_ns``; where none does, the shortest that is not below
    ``sample_ns``."""
    usable = [interval for interval in RETURN_INTERVALS_NS if interval >= sample_ns] or [RETURN_INTERVALS_NS[0]]
    for interval in usable:
        if (last_ns - first_ns) // interval >= RETURNS_WANTED:
            return interval
    return usable[-1]


def sample_interval_ns(ts_ns: I64) -> int:
    """The least positive distance between neighbouring sample times, in ns; 0 with fewer than two distinct times."""
    steps = np.diff(ts_ns)
    steps = steps[steps > 0]
    return int(steps.min()) if len(steps) else 0


def grid_returns(
    ts_ns: I64, equity_e8: I64, start_e8: int, first_ns: int, last_ns: int, interval_ns: int
) -> F64 | None:
    """Simple returns E(t) / E(t - interval) - 1 between neighbouring grid instants.

    ``ts_ns`` and ``equity_e8`` (same length, ascending times) are the samples; the equity at a grid instant is that
    of the last sample at or before it, and ``start_e8`` before the first. Returns None when fewer than
    ``RETURNS_NEEDED`` returns fit or equity is not positive somewhere, because a return on nothing has no meaning.
    """
    grid = np.arange(-(-first_ns // interval_ns) * interval_ns, last_ns + 1, interval_ns, dtype=np.int64)
    if len(grid) < RETURNS_NEEDED + 1:
        return None
    place = np.searchsorted(ts_ns, grid, side="right") - 1
    levels = np.where(place >= 0, equity_e8[np.maximum(place, 0)] if len(equity_e8) else start_e8, start_e8).astype(
        np.float64
    )
    if (levels <= 0).any():
        return None
    return np.asarray(levels[1:] / levels[:-1] - 1.0)


def sharpe_ratio(returns: F64, interval_ns: int) -> float | None:
    """mean(r) / std(r) * sqrt(365 d / interval), std with n - 1; None when all returns are equal."""
    deviation = float(np.std(returns, ddof=1)) if len(returns) > 1 else 0.0
    if deviation <= 1e-15 * float(np.max(np.abs(returns), initial=0.0)):
        return None
    return float(np.mean(returns)) / deviation * math.sqrt(YEAR_NS / interval_ns)


def sortino_ratio(returns: F64, interval_ns: int) -> float | None:
    """mean(r) / sqrt(mean(min(r, 0)^2)) * sqrt(365 d / interval); None when no return is negative."""
    downside = math.sqrt(float(np.mean(np.minimum(returns, 0.0) ** 2))) if len(returns) else 0.0
    return float(np.mean(returns)) / downside * math.sqrt(YEAR_NS / interval_ns) if downside > 0.0 else None


@dataclass(frozen=True, slots=True)
class Drawdown:
    """Falls of an equity curve below its running peak (the starting equity counts as the first peak).

    ``largest_e8``: largest fall from the running peak, in units of 1e-8, >= 0. ``largest_share``: largest fall over
    the peak it fell from (None where a peak is not positive); it need not be the same fall. ``longest_ns``: longest
    time from leaving a peak until equity is back at it, or until the end; ``recovered`` tells whether that longest
    one ended.
    """

    largest_e8: int
    largest_share: float | None
    longest_ns: int
    recovered: bool


def running_peak(equity_e8: I64, start_e8: int) -> I64:
    """The highest equity so far, the starting equity included."""
    return np.maximum(np.maximum.accumulate(equity_e8), start_e8) if len(equity_e8) else equity_e8


def drawdown(ts_ns: I64, equity_e8: I64, start_e8: int, first_ns: int) -> Drawdown:
    """Measure the falls of a sampled curve; the curve is at ``start_e8`` from ``first_ns`` to the first sample."""
    if not len(equity_e8):
        return Drawdown(0, 0.0, 0, True)
    peak = running_peak(equity_e8, start_e8)
    fall = peak - equity_e8
    share = float(np.max(fall / peak)) if (peak > 0).all() else None
    times = np.concatenate(([first_ns], ts_ns))
    at_peak = np.concatenate(([True], fall == 0))
    last_peak = np.maximum.accumulate(np.where(at_peak, np.arange(len(times)), 0))
    ends_span = (
        np.concatenate((at_peak[1:], [True])) & ~at_peak
    )  # last sample below the peak before a recovery or the end
    if not ends_span.any():
        return Drawdown(0, share, 0, True)
    ends = np.flatnonzero(ends_span)
    back = np.minimum(ends + 1, len(times) - 1)
    spans = times[back] - times[last_peak[ends]]
    longest = int(np.argmax(spans))
    return Drawdown(int(fall.max()), share, int(spans[longest]), bool(at_peak[back[longest]]))
