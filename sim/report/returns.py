"""Figures of an equity curve: returns on a regular grid, Sharpe and Sortino ratios, drawdown.

Annualisation. Perpetual futures trade around the clock, so a year has 365 days of 24 h. Returns are taken on a grid
of whole multiples of one interval since the epoch; a ratio of mean to deviation of those returns is multiplied by
``sqrt(365 d / interval)``. The risk-free rate is zero. A ratio from a run of hours says how smooth the run was; it
is no forecast of a year, and the table says over how many returns it was taken.

Samples come in batches, in order of time; nothing here grows with their number.
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
    ``sample_ns``.
    """
    usable = [interval for interval in RETURN_INTERVALS_NS if interval >= sample_ns] or [RETURN_INTERVALS_NS[0]]
    for interval in usable:
        if (last_ns - first_ns) // interval >= RETURNS_WANTED:
            return interval
    return usable[-1]


def typical_step_ns(ts_ns: I64) -> int:
    """The median of the positive distances between neighbouring sample times; 0 with fewer than two distinct
    times."""
    steps = np.diff(ts_ns)
    steps = steps[steps > 0]
    return int(np.median(steps)) if len(steps) else 0


class GridReturns:
    """Simple returns E(t) / E(t - interval) - 1 between neighbouring grid instants from ``first_ns`` to ``last_ns``.

    The equity at a grid instant is that of the last sample at or before it, and ``start_e8`` before the first.
    """

    def __init__(self, first_ns: int, last_ns: int, interval_ns: int, start_e8: int) -> None:
        self.interval_ns = interval_ns
        self._next_ns = -(-first_ns // interval_ns) * interval_ns
        self._last_ns = last_ns
        self._level = float(start_e8)  # of the last sample
        self._before: float | None = None  # at the last grid instant
        self._positive = True
        self.count = 0
        self._mean = self._squares = self._downside = 0.0

    def add(self, ts_ns: I64, equity_e8: I64) -> None:
        """Add samples; grid instants before the last of them are settled."""
        if not len(ts_ns):
            return
        grid = np.arange(self._next_ns, min(int(ts_ns[-1]), self._last_ns + 1), self.interval_ns, dtype=np.int64)
        if len(grid):
            place = np.searchsorted(ts_ns, grid, side="right") - 1
            self._settle(np.where(place >= 0, equity_e8[np.maximum(place, 0)].astype(np.float64), self._level))
            self._next_ns = int(grid[-1]) + self.interval_ns
        self._level = float(equity_e8[-1])

    def _settle(self, levels: F64) -> None:
        if (levels <= 0).any():
            self._positive = False
        if not self._positive:
            return
        whole = levels if self._before is None else np.concatenate(([self._before], levels))
        self._before = float(levels[-1])
        returns = whole[1:] / whole[:-1] - 1.0
        if not len(returns):
            return
        mean, count = float(returns.mean()), self.count + len(returns)
        away = mean - self._mean
        self._squares += float(((returns - mean) ** 2).sum()) + away * away * self.count * len(returns) / count
        self._mean += away * len(returns) / count
        self._downside += float((np.minimum(returns, 0.0) ** 2).sum())
        self.count = count

    def finish(self) -> None:
        """Settle the grid instants from the last sample to the end. Without ten returns, or where equity was not
        positive (a return on nothing has no meaning), ``count`` becomes 0 and there are no ratios."""
        rest = np.arange(self._next_ns, self._last_ns + 1, self.interval_ns, dtype=np.int64)
        if len(rest):
            self._settle(np.full(len(rest), self._level))
        if self.count < RETURNS_NEEDED or not self._positive:
            self.count = 0

    @property
    def sharpe(self) -> float | None:
        """mean(r) / std(r) * sqrt(365 d / interval), std with n - 1; None when all returns are equal."""
        if self.count < 2:
            return None
        deviation = math.sqrt(self._squares / (self.count - 1))
        return self._mean / deviation * self._per_year if deviation > 1e-15 * abs(self._mean) else None

    @property
    def sortino(self) -> float | None:
        """mean(r) / sqrt(mean(min(r, 0)^2)) * sqrt(365 d / interval); None when no return is negative."""
        if not self.count or not self._downside > 0.0:
            return None
        return self._mean / math.sqrt(self._downside / self.count) * self._per_year

    @property
    def _per_year(self) -> float:
        return math.sqrt(YEAR_NS / self.interval_ns)


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


class Falls:
    """Measures ``Drawdown`` of a curve that is at ``start_e8`` from ``first_ns`` to its first sample."""

    def __init__(self, first_ns: int, start_e8: int) -> None:
        self._peak, self._peak_ns, self._end_ns = start_e8, first_ns, first_ns
        self._largest, self._longest_ns = 0, 0
        self._share: float | None = 0.0
        self._below = False

    def add(self, ts_ns: I64, equity_e8: I64) -> I64:
        """Add samples; returns how far each is below the peak so far (>= 0)."""
        if not len(ts_ns):
            return equity_e8
        peaks = np.maximum(np.maximum.accumulate(equity_e8), self._peak)
        fall = peaks - equity_e8
        back = fall == 0
        last_peak = np.maximum(np.maximum.accumulate(np.where(back, ts_ns, self._peak_ns)), self._peak_ns)
        was_below = np.concatenate(([self._below], ~back[:-1]))
        left = np.concatenate(([self._peak_ns], last_peak[:-1]))
        spans = (ts_ns - left)[back & was_below]
        self._longest_ns = max(self._longest_ns, int(spans.max(initial=0)))
        self._largest = max(self._largest, int(fall.max()))
        if self._share is not None:
            self._share = max(self._share, float((fall / peaks).max())) if (peaks > 0).all() else None
        self._peak, self._peak_ns = int(peaks[-1]), int(last_peak[-1])
        self._below, self._end_ns = not bool(back[-1]), int(ts_ns[-1])
        return fall

    def result(self) -> Drawdown:
        """The measure of all samples so far."""
        going_on = self._end_ns - self._peak_ns if self._below else 0
        recovered = going_on <= self._longest_ns
        return Drawdown(self._largest, self._share, max(self._longest_ns, going_on), recovered)
