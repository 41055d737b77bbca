"""Mutually exciting arrivals (a multivariate Hawkes process), exactly and in integers.

Theory of operation. Events of several kinds come by chance at base rates, and every event raises the rates of others
for a while: kind ``i`` brings about ``n_ij`` events of kind ``j`` on average, after an exponential time (several
kernels for a pair make a sum of time scales). Such a process is the same thing as a branching process (Hawkes and Oakes
1974): base events are immigrants of a Poisson process, each event has a Poisson number of children, each child chooses
its kind and delay by itself, and children have children. That is how it is drawn here, generation by generation and
whole arrays at a time, in windows of fixed length; children that fall beyond a window wait for theirs. Nothing is
approximated and no intensity is ever evaluated, so there is no decaying exponential to round.

All draws are counter-based, all distributions integer tables (``sim.synth.draws``): the same events on every machine,
in whatever portions they are asked for. Times are microseconds from the start; delays end at some 40 means.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from typing import Final

import numpy as np
import numpy.typing as npt

from sim.synth.draws import I64, U64, draw_array, exponential_array, stream_key

WINDOW_US: Final = 4_000_000
GENERATIONS_MAX: Final = 400
PROBABILITY_BITS: Final = 32
POISSON_END: Final = Decimal("1e-10")


@dataclass(frozen=True, slots=True)
class Kernel:
    """An event of kind ``parent`` brings about ``children_e4`` / 10,000 events of kind ``child``, ``mean_us`` later."""

    parent: int
    child: int
    children_e4: int
    mean_us: int


@dataclass(frozen=True, slots=True)
class Hawkes:
    """A process: base events of each kind per 1,000 seconds, and the kernels."""

    base_e3: tuple[int, ...]
    kernels: tuple[Kernel, ...] = ()

    def __post_init__(self) -> None:
        kinds = len(self.base_e3)
        for kernel in self.kernels:
            if not (0 <= kernel.parent < kinds and 0 <= kernel.child < kinds):
                raise ValueError(f"hawkes: {kernel} names a kind beyond the {kinds} there are")
            if kernel.children_e4 < 0 or not 1 <= kernel.mean_us < 1 << 26:
                raise ValueError(f"hawkes: {kernel}: children_e4 must be at least 0 and mean_us in 1..2^26")
        if min(self.base_e3, default=0) < 0:
            raise ValueError(f"hawkes: base rates must not be negative: {self.base_e3}")
        if self.branching() >= 1:
            raise ValueError(f"hawkes: the branching ratio {self.branching():.3f} must be below 1, or events explode")

    def matrix(self) -> npt.NDArray[np.float64]:
        """Mean number of children, [parent, child]."""
        found = np.zeros((len(self.base_e3), len(self.base_e3)))
        for kernel in self.kernels:
            found[kernel.parent, kernel.child] += kernel.children_e4 / 1e4
        return found

    def branching(self) -> float:
        """The branching ratio: the largest eigenvalue of ``matrix``."""
        return float(np.abs(np.linalg.eigvals(self.matrix())).max())

    def rates(self) -> npt.NDArray[np.float64]:
        """Events of each kind per second in the long run."""
        kinds = len(self.base_e3)
        found: npt.NDArray[np.float64] = np.linalg.solve(
            np.eye(kinds) - self.matrix().T, np.array(self.base_e3, np.float64) / 1e3
        ).astype(np.float64)
        return found


def _poisson_table(mean_e4: int) -> list[int]:
    """P(N <= k) for k = 0, 1, ... times 2^32, until it is all but 1."""
    with localcontext(Context(prec=40)):
        mean = Decimal(mean_e4) / 10_000
        term = total = (-mean).exp()
        found = [total]
        while 1 - total > POISSON_END:
            term = term * mean / len(found)
            total += term
            found.append(total)
        return [int(value * (1 << PROBABILITY_BITS)) for value in found]


class _Tables:
    """Tables of all kinds in one ascending array each, so that one search serves events of any kind: the entries of
    kind ``i`` lie between ``i * 2^33`` and ``(i + 1) * 2^33``."""

    def __init__(self, rows: list[list[int]]) -> None:
        self.first = np.cumsum([0, *(len(row) for row in rows)])[:-1].astype(np.int64)
        flat = [(kind << (PROBABILITY_BITS + 1)) + value for kind, row in enumerate(rows) for value in row]
        self._flat = np.array(flat, np.int64)

    def place(self, kind: I64, bits: U64) -> I64:
        """Which entry of the kind's row the upper 32 bits reach: 0 is its first."""
        low = (bits >> np.uint64(PROBABILITY_BITS)).astype(np.int64)
        found = np.searchsorted(self._flat, (kind << (PROBABILITY_BITS + 1)) + low, side="right")
        return found.astype(np.int64) - self.first[kind]


class Arrivals:
    """The events of one process, window by window."""

    def __init__(self, model: Hawkes, seed: int, label: str) -> None:
        self.model = model
        self.windows = 0
        self._key = stream_key(seed, f"hawkes/{label}")
        self._drawn = 0
        kinds = range(len(model.base_e3))
        rows = [[kernel for kernel in model.kernels if kernel.parent == kind] for kind in kinds]
        self._counts = _Tables([_poisson_table(sum(kernel.children_e4 for kernel in row)) for row in rows])
        shares = []
        for row in rows:
            total = max(1, sum(kernel.children_e4 for kernel in row))
            sums = np.cumsum([kernel.children_e4 for kernel in row]).tolist() if row else [total]
            shares.append([(value << PROBABILITY_BITS) // total for value in sums])
        self._shares = _Tables(shares)
        flat = [kernel for row in rows for kernel in (row or [Kernel(0, 0, 0, 1)])]
        self._child = np.array([kernel.child for kernel in flat], np.int64)
        self._mean_us = np.array([kernel.mean_us for kernel in flat], np.int64)
        self._waiting_us = np.zeros(0, np.int64)
        self._waiting_kind = np.zeros(0, np.int64)

    def _bits(self, count: int) -> U64:
        self._drawn += count
        return draw_array(self._key, self._drawn - count, count)

    def add(self, times_us: I64, kinds: I64) -> None:
        """Events from outside, in the coming window or later; they excite like any other."""
        self._waiting_us = np.concatenate((self._waiting_us, times_us))
        self._waiting_kind = np.concatenate((self._waiting_kind, kinds))

    def window(self, scale_e3: int = 1000) -> tuple[I64, I64]:
        """Times and kinds of the next window, in order; base rates times ``scale_e3`` / 1,000 in it."""
        start = self.windows * WINDOW_US
        end = start + WINDOW_US
        self.windows += 1
        times, kinds = [], []
        for kind, base_e3 in enumerate(self.model.base_e3):
            arrived = self._immigrants(start, end, base_e3 * scale_e3)
            times.append(arrived)
            kinds.append(np.full(len(arrived), kind, np.int64))
        time = np.concatenate((*times, self._waiting_us))
        kind_of = np.concatenate((*kinds, self._waiting_kind))
        later_us, later_kind, now_us, now_kind = [], [], [], []
        for _ in range(GENERATIONS_MAX):
            inside = time < end
            later_us.append(time[~inside])
            later_kind.append(kind_of[~inside])
            time, kind_of = time[inside], kind_of[inside]
            if not len(time):
                break
            now_us.append(time)
            now_kind.append(kind_of)
            time, kind_of = self._children(time, kind_of)
        self._waiting_us, self._waiting_kind = np.concatenate(later_us), np.concatenate(later_kind)
        if not now_us:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        found_us, found_kind = np.concatenate(now_us), np.concatenate(now_kind)
        order = np.argsort(found_us, kind="stable")
        return found_us[order], found_kind[order]

    def _immigrants(self, start: int, end: int, rate_e6: int) -> I64:
        """A Poisson process within the window; ``rate_e6`` per million seconds."""
        found: list[I64] = []
        at = start
        expected = rate_e6 * WINDOW_US // 1_000_000_000_000
        while rate_e6 > 0 and at < end:
            gaps = self._gaps(expected + 8 + expected // 4, rate_e6)
            times = at + np.cumsum(gaps)
            found.append(times[times < end])
            at = int(times[-1])
        return np.concatenate(found) if found else np.zeros(0, np.int64)

    def _gaps(self, count: int, rate_e6: int) -> I64:
        """Exponential gaps; in units of 1/64 or 64 us inside, so that the mean stays within the tables' bound."""
        mean_us = min(1_000_000_000_000 // rate_e6, (1 << 32) - 1)
        if mean_us < 1 << 20:
            return exponential_array(self._bits(count), mean_us * 64) >> 6
        return exponential_array(self._bits(count), mean_us >> 6) << 6

    def _children(self, time: I64, kind: I64) -> tuple[I64, I64]:
        count = self._counts.place(kind, self._bits(len(kind)))
        parent = np.repeat(np.arange(len(kind)), count)
        if not len(parent):
            return time[:0], kind[:0]
        which = self._shares.first[kind[parent]] + self._shares.place(kind[parent], self._bits(len(parent)))
        bits = self._bits(len(parent))
        mean = self._mean_us[which]
        delay = (exponential_array(bits, 1 << 20) * mean) >> 20
        return time[parent] + delay, self._child[which]
