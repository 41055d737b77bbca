"""The price that nobody sees: a jump diffusion with clustered volatility, shared by the markets of an asset.

The value's relative change since the session's start is a sum of steps of 50 ms. A step is normal, of a deviation that
wanders slowly (log-volatility is an autoregression over windows of four seconds); jumps come by chance and are kept
with their times, so that a study of jumps knows the truth; drifts over stated stretches make trends and crashes. Part
of every step belongs to all assets (``COMMON_Q16``), the rest to the asset. Every market walks its own copy of the same
streams, so all see one path; a market that ``lags`` sees it later.

Merton (1976) for jumps in a diffusion, Taylor (1986) for log-volatility as an autoregression. Relative changes are at
1e-12, times in ns from the start.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

from sim.synth.draws import I64, Draws, gauss_array_q16, scaled_power, stream_key
from sim.synth.hawkes import WINDOW_US

STEP_NS: Final = 50_000_000
STEPS: Final = WINDOW_US * 1000 // STEP_NS  # in a window
ROOT_STEP_E6: Final = 223_607  # the square root of a step in seconds
COMMON_Q16: Final = 52_429  # 0.8, so that two assets correlate with 0.64
OWN_Q16: Final = 39_322  # 0.6
CALM_WINDOWS: Final = 75  # how many windows log-volatility remembers
RESTLESS_Q16: Final = 5_000  # its deviation from window to window, octaves at 2^-16
OCTAVES_MOST_Q16: Final = 2 << 16
JUMPS_KEPT: Final = 100_000


@dataclass(frozen=True, slots=True)
class Drift:
    """The value moves by ``change_e6`` parts per million between two instants, evenly; ns from the session's start."""

    from_ns: int
    to_ns: int
    change_e6: int

    def __post_init__(self) -> None:
        if not 0 <= self.from_ns < self.to_ns or abs(self.change_e6) > 500_000:
            raise ValueError(f"drift: wanted 0 <= from_ns < to_ns and at most half the price, not {self}")


@dataclass(frozen=True, slots=True)
class ValuePath:
    """How the value moves. ``volatility_e9``: deviation of its relative change over a second in usual times;
    ``jumps_per_hour`` of normal sizes with deviation ``jump_e6`` (parts per million)."""

    volatility_e9: int = 22_000
    jumps_per_hour: int = 4
    jump_e6: int = 300
    drifts: tuple[Drift, ...] = ()

    def __post_init__(self) -> None:
        for name, most in (("volatility_e9", 5_000_000), ("jumps_per_hour", 100_000), ("jump_e6", 100_000)):
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"path: {name} must lie in 0..{most}, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class Jump:
    """A jump of an asset's value: when (ns from the session's start) and how far, at 1e-12."""

    at_ns: int
    change_e12: int


class Fundamental:
    """One asset's value, window by window. ``jumps`` holds the latest ones."""

    def __init__(self, path: ValuePath, seed: int, base: str) -> None:
        self.path = path
        self.jumps: deque[Jump] = deque(maxlen=JUMPS_KEPT)
        self.windows = 0
        self._keys = stream_key(seed, "value/all"), stream_key(seed, f"value/{base}")
        self._restless = Draws(seed, "value/volatility")
        self._jumping = Draws(seed, f"value/{base}/jumps")
        self._octaves_q16 = 0
        self._change_e12 = 0
        self._next_jump_us = self._jump_gap_us()

    def _jump_gap_us(self) -> int:
        rate = self.path.jumps_per_hour
        return self._jumping.exponential(3_600_000_000 // rate) if rate else 1 << 62

    def window(self) -> tuple[list[int], int]:
        """The change at 1e-12 at the beginning of each step of the next window; how restless it is (1000: usual)."""
        first = self.windows * STEPS
        self.windows += 1
        self._octaves_q16 -= self._octaves_q16 // CALM_WINDOWS
        self._octaves_q16 += self._restless.gauss_q16() * RESTLESS_Q16 >> 16
        octaves = max(-OCTAVES_MOST_Q16, min(self._octaves_q16, OCTAVES_MOST_Q16))
        deviation_e12 = scaled_power(self.path.volatility_e9 * ROOT_STEP_E6 // 1000, octaves)
        shared, own = (gauss_array_q16(key, first, STEPS) for key in self._keys)
        steps = ((shared * COMMON_Q16 + own * OWN_Q16) >> 16) * deviation_e12 >> 16
        for drift in self.path.drifts:
            self._drive(drift, first, steps)
        self._jump(first, steps)
        changes = (self._change_e12 + np.concatenate((np.zeros(1, np.int64), np.cumsum(steps)))).tolist()
        self._change_e12 = changes.pop()
        return changes, scaled_power(1000, octaves)

    def _drive(self, drift: Drift, first: int, steps: I64) -> None:
        begin, end = drift.from_ns // STEP_NS, -(-drift.to_ns // STEP_NS)
        low, high = max(begin - first, 0), min(end - first, STEPS)
        if low < high:
            steps[low:high] += drift.change_e6 * 1_000_000 // (end - begin)

    def _jump(self, first: int, steps: I64) -> None:
        end_us = (first + STEPS) * STEP_NS // 1000
        while self._next_jump_us < end_us:
            at = self._next_jump_us * 1000 // STEP_NS
            change = self._jumping.gauss_q16() * self.path.jump_e6 * 1_000_000 >> 16
            steps[at - first] += change
            self.jumps.append(Jump((at + 1) * STEP_NS, change))
            self._next_jump_us += self._jump_gap_us()
