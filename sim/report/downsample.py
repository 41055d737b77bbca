"""Fewer points with the same picture: lines keep every extreme of what they skip, markers are thinned evenly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def extremes(values: F64, points: int) -> I64:
    """Ascending places of at most ``points`` values: the lowest and highest of each of equal stretches, and both
    ends.

    NaN is ignored within a stretch; a stretch of NaN alone keeps one. All places are returned when there are no
    more than ``points``. ``points`` must be at least 4.
    """
    count = len(values)
    if count <= points:
        return np.arange(count, dtype=np.int64)
    edges = np.linspace(0, count, (points - 2) // 2 + 1).astype(np.int64)
    low, high = np.where(np.isnan(values), np.inf, values), np.where(np.isnan(values), -np.inf, values)
    chosen = [0, count - 1]
    for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        chosen += [start + int(np.argmin(low[start:stop])), start + int(np.argmax(high[start:stop]))]
    return np.unique(np.array(chosen, dtype=np.int64))


def evenly(count: int, points: int, keep: Mask | None = None) -> I64:
    """Ascending places of about ``points`` of ``count`` things, evenly spread, and all of those marked in
    ``keep``."""
    if count <= points:
        return np.arange(count, dtype=np.int64)
    chosen = np.linspace(0, count - 1, points).round().astype(np.int64)
    return np.unique(np.concatenate([chosen, np.flatnonzero(keep)]) if keep is not None else chosen)


def break_line(times: F64, values: F64, starts: F64) -> tuple[F64, F64]:
    """The line with a NaN put in at each of ``starts``, so that it is not drawn across a gap."""
    if not len(starts):
        return times, values
    place = np.searchsorted(times, starts, side="left")
    return np.insert(times, place, starts), np.insert(values, place, np.nan)
