"""The mid of each instrument as sampled in a run, read as of an instant.

The mid is (best bid + best ask) / 2 of the venue's book; as of an instant it is that of the last sample at or
before it. It is not known before the first sample, after the last, inside a gap, or where a side was missing. The
file of samples grows with the run, so an index of it is kept (which row group covers which time), and row groups
are read when asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from matching import codes
from sim.report.load import RunData, Table
from sim.report.streams import Line, split

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_ABSENT = codes.NO_PRICE // 2
_COLUMNS = "instrument ts_ns bid_ticks ask_ticks"


@dataclass(slots=True)
class _Index:
    """Where an instrument's samples lie: row groups that hold any, the first time in each; and what was seen of
    them."""

    line: Line
    groups: list[int] = field(default_factory=list)
    starts_ns: list[int] = field(default_factory=list)
    last_ns: int = 0
    step_ns: int = 0
    samples: int = 0


class Mids:
    """Mids of all instruments of a run. ``points`` bounds the samples kept for drawing the course of each."""

    def __init__(self, run: RunData, points: int = 2_000) -> None:
        self._table: Table = run.tables["bbo"]
        self._gaps = {i.index: _spans(run.gaps, i.index) for i in run.instruments}
        self._index = {i.index: _Index(Line(run.first_ns, run.last_ns, points)) for i in run.instruments}
        self._read: tuple[int, dict[int, tuple[I64, F64]]] = (-1, {})
        for group in range(self._table.groups):
            for instrument, (ts, mid) in self._group(group).items():
                self._note(self._index[instrument], group, ts, mid)

    def _note(self, index: _Index, group: int, ts: I64, mid: F64) -> None:
        index.line.add(ts, mid)
        steps = np.diff(ts, prepend=index.last_ns if index.samples else ts[0])
        steps = steps[steps > 0]
        if len(steps):
            least = int(steps.min())
            index.step_ns = min(index.step_ns, least) if index.step_ns else least
        index.groups.append(group)
        index.starts_ns.append(int(ts[0]))
        index.last_ns = int(ts[-1])
        index.samples += len(ts)

    def _group(self, group: int) -> Mapping[int, tuple[I64, F64]]:
        """Times and mids (ticks) by instrument of one row group; the last one read is kept."""
        if self._read[0] != group:
            parts = list(self._table.batches(_COLUMNS, [group]))
            rows = {name: np.concatenate([part[name] for part in parts]) for name in _COLUMNS.split()} if parts else {}
            found: dict[int, tuple[I64, F64]] = {}
            for (instrument,), place in split([rows["instrument"]]) if rows else ():
                bid, ask = rows["bid_ticks"][place], rows["ask_ticks"][place]
                mid = np.where((bid > _ABSENT) & (ask > _ABSENT), (bid.astype(np.float64) + ask) / 2, np.nan)
                found[instrument] = rows["ts_ns"][place], mid
            self._read = group, found
        return self._read[1]

    def step_ns(self, instrument: int) -> int:
        """The least distance between neighbouring samples; 0 without two of them."""
        return self._index[instrument].step_ns

    def samples(self, instrument: int) -> int:
        """How many samples there are."""
        return self._index[instrument].samples

    def course(self, instrument: int) -> tuple[I64, F64]:
        """Times and mids (ticks) thinned for drawing."""
        times, values = self._index[instrument].line.rows()
        return times, values[:, 0]

    def gaps(self, instrument: int) -> tuple[I64, I64]:
        """Starts and ends of the instrument's gaps, ascending, overlaps merged into the later ends."""
        return self._gaps[instrument]

    def at(self, instrument: int, times_ns: I64) -> F64:
        """The mid in ticks as of each instant (any order); NaN where it is not known."""
        index = self._index[instrument]
        found = np.full(len(times_ns), np.nan)
        if not index.samples:
            return found
        which = np.searchsorted(np.array(index.starts_ns), times_ns, side="right") - 1
        for place in np.unique(which[which >= 0]).tolist():
            ts, mid = self._group(index.groups[place])[instrument]
            mine = which == place
            found[mine] = mid[np.searchsorted(ts, times_ns[mine], side="right") - 1]
        after = times_ns >= index.last_ns + max(index.step_ns, 1)
        found[after | self.in_gap(instrument, times_ns)] = np.nan
        return found

    def in_gap(self, instrument: int, times_ns: I64) -> Mask:
        """Which instants lie in a gap, its start included and its end not."""
        starts, ends = self._gaps[instrument]
        if not len(starts):
            return np.zeros(len(times_ns), dtype=np.bool_)
        place = np.searchsorted(starts, times_ns, side="right") - 1
        return np.asarray((place >= 0) & (times_ns < ends[np.maximum(place, 0)]))


def _spans(gaps: Mapping[str, npt.NDArray[np.int64]], instrument: int) -> tuple[I64, I64]:
    mine = gaps["instrument"] == instrument
    starts, ends = gaps["start_ns"][mine], gaps["end_ns"][mine]
    order = np.argsort(starts, kind="stable")
    return starts[order], np.maximum.accumulate(ends[order]) if len(order) else ends
