"""Accumulators for runs of any length: columns come in batches, memory stays the same.

``Sample`` keeps an even selection of values for quantiles and histograms, ``Line`` what a chart needs of a series,
``Marks`` an even selection of rows. Each gives the same result however a series is cut into batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

SAMPLE_VALUES = 1 << 16


@dataclass(slots=True)
class Sample:
    """Up to ``capacity`` of the values added, evenly spread over all of them, in order.

    All are kept until there are more; then every second is dropped and only every second (fourth ...) is taken.
    ``count`` ``least`` and ``greatest`` are those of all values.
    """

    capacity: int = SAMPLE_VALUES
    count: int = 0
    least: float = float("inf")
    greatest: float = float("-inf")
    _stride: int = 1
    _kept: list[F64] = field(default_factory=list)
    _size: int = 0

    def add(self, values: F64 | I64) -> None:
        """Add values in order; NaN is not allowed."""
        if not len(values):
            return
        self.least, self.greatest = min(self.least, float(values.min())), max(self.greatest, float(values.max()))
        taken = values[-self.count % self._stride :: self._stride].astype(np.float64)
        self.count += len(values)
        self._kept.append(taken)
        self._size += len(taken)
        while self._size > self.capacity:
            whole = np.concatenate(self._kept)[::2]
            self._kept, self._size, self._stride = [whole], len(whole), 2 * self._stride

    def values(self) -> F64:
        """The kept values, in the order in which they came."""
        return np.concatenate(self._kept) if self._kept else np.empty(0)

    def quantiles(self, shares: Sequence[float]) -> list[float]:
        """Observed values below which the given shares lie (0: least, 1: greatest of all); empty without values."""
        kept = self.values()
        if not len(kept):
            return []
        found = np.quantile(kept, shares, method="inverted_cdf").tolist()
        exact = {0.0: self.least, 1.0: self.greatest}
        return [exact.get(share, value) for share, value in zip(shares, found, strict=True)]


class Line:
    """A series thinned to about ``points`` rows that draw the same picture.

    The span is cut into equal stretches; of each, the rows with the least and the greatest value of every column in
    ``extremes`` are kept, and the last row where ``steps`` is set (a step line goes on from it); and the first and
    last row of all. Rows are a time (ns, ascending) and ``columns`` values; NaN is neither least nor greatest.
    """

    def __init__(
        self,
        first_ns: int,
        last_ns: int,
        points: int,
        columns: int = 1,
        extremes: Sequence[int] = (0,),
        steps: bool = False,
    ) -> None:
        per_stretch = 2 * len(extremes) + steps
        self._first_ns = first_ns
        self._width_ns = max((last_ns - first_ns) * per_stretch // points + 1, 1)
        self._extremes = tuple(extremes)
        self._steps = steps
        self._kept: list[tuple[I64, F64]] = []
        self._open: tuple[I64, F64] = (np.empty(0, np.int64), np.empty((0, columns)))
        self._any = False

    def add(self, times_ns: I64, values: F64) -> None:
        """Add rows; ``values`` has shape (rows, columns), or (rows,) for one column."""
        if not len(times_ns):
            return
        rows = values.reshape(len(times_ns), -1).astype(np.float64)
        if not self._any:
            self._kept.append((times_ns[:1].copy(), rows[:1].copy()))
            self._any = True
        times = np.concatenate((self._open[0], times_ns))
        rows = np.concatenate((self._open[1], rows))
        stretch = (times - self._first_ns) // self._width_ns
        chosen = self._chosen(stretch, rows)
        going_on = stretch[chosen] == stretch[-1]
        closed, still = chosen[~going_on], chosen[going_on]
        still = np.union1d(still, [len(times) - 1])  # the last row stays known, for the end and for step lines
        if len(closed):
            self._kept.append((times[closed], rows[closed]))
        self._open = times[still], rows[still]

    def _chosen(self, stretch: I64, rows: F64) -> npt.NDArray[np.intp]:
        starts = np.flatnonzero(np.concatenate(([True], stretch[1:] != stretch[:-1])))
        places = [np.append(starts[1:], len(stretch)) - 1] if self._steps else []
        for column in self._extremes:
            values = rows[:, column]
            for filled in (np.where(np.isnan(values), np.inf, values), -np.where(np.isnan(values), -np.inf, values)):
                least = np.minimum.reduceat(filled, starts)
                hits = np.flatnonzero(filled == np.repeat(least, np.diff(np.append(starts, len(stretch)))))
                places.append(hits[np.concatenate(([True], stretch[hits][1:] != stretch[hits][:-1]))])
        return np.unique(np.concatenate(places))

    def rows(self) -> tuple[I64, F64]:
        """The kept rows: times (n,) and values (n, columns)."""
        times = np.concatenate([t for t, _ in self._kept] + [self._open[0]])
        rows = np.concatenate([v for _, v in self._kept] + [self._open[1]]) if self._kept else self._open[1]
        if len(times) > 1 and times[0] == times[1] and np.array_equal(rows[0], rows[1], equal_nan=True):
            return times[1:], rows[1:]  # the first row of all was chosen in its stretch, too
        return times, rows


class Marks:
    """Up to about ``capacity`` rows, evenly spread over all that were added, and the first ``special`` of the
    marked ones."""

    def __init__(self, columns: int, capacity: int, special: int = 1_000) -> None:
        self.count = 0
        self._columns, self._capacity, self._special = columns, capacity, special
        self._stride = 1
        self._rows = np.empty((0, columns))
        self._place = np.empty(0, np.int64)
        self._marked = np.empty(0, np.bool_)

    def add(self, rows: F64, marked: Mask) -> None:
        """Add rows of shape (n, columns); ``marked`` ones are kept as long as there is room for special ones."""
        place = np.arange(self.count, self.count + len(rows))
        self.count += len(rows)
        room = self._special - int(self._marked.sum())
        special = marked & (np.cumsum(marked) <= room)
        self._keep((place % self._stride == 0) | special, rows, place, special)
        while len(self._place) - int(self._marked.sum()) > self._capacity:
            self._stride *= 2
            again = (self._place % self._stride == 0) | self._marked
            self._rows, self._place, self._marked = self._rows[again], self._place[again], self._marked[again]

    def _keep(self, chosen: Mask, rows: F64, place: I64, marked: Mask) -> None:
        self._rows = np.concatenate((self._rows, rows[chosen]))
        self._place = np.concatenate((self._place, place[chosen]))
        self._marked = np.concatenate((self._marked, marked[chosen]))

    def rows(self) -> F64:
        """The kept rows in the order in which they came."""
        return self._rows


def split(keys: Sequence[I64]) -> Iterator[tuple[tuple[int, ...], npt.NDArray[np.intp]]]:
    """Each distinct combination of key columns with the ascending places of its rows."""
    if not len(keys[0]):
        return
    order = np.lexsort(tuple(reversed(keys)))
    sorted_keys = np.stack([key[order] for key in keys])
    starts = np.flatnonzero(np.concatenate(([True], (sorted_keys[:, 1:] != sorted_keys[:, :-1]).any(axis=0))))
    for start, stop in zip(starts, np.append(starts[1:], len(order)), strict=True):
        yield tuple(int(key) for key in sorted_keys[:, start]), order[start:stop]


def break_line(times: F64, values: F64, starts: F64) -> tuple[F64, F64]:
    """The line with a NaN put in at each of ``starts``, so that it is not drawn across a gap."""
    if not len(starts):
        return times, values
    place = np.searchsorted(times, starts, side="left")
    return np.insert(times, place, starts), np.insert(values, place, np.nan)
