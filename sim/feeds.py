"""Feeds on their way into a run: watched for gaps and feed latency, and with marks replaced where a table gives them.

``WatchedSource`` is a ``FeedSource`` around another one. It writes what passes through it into the run folder's
``feed_latency`` and ``gaps`` tables: a sample of receive minus venue time, and every stretch in which the book was not
known (from a GAP message to the next whole book, or to the end of the run).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from matching.codes import FUNDING, GAP, GAP_SESSION_END, MARK, ORDER_BOOK, PLAN_INDEX, SNAPSHOT
from matching.feed import FeedSource, FeedWindow, slice_window
from recorders.live.windows import Message
from venues.errors import InputError

if TYPE_CHECKING:
    from sim.runfolder import TableWriter

I64 = npt.NDArray[np.int64]
LATENCY_SAMPLES: Final = 20_000
MIN_SAMPLE_NS: Final = 100_000_000
FEW: Final = 16  # messages of a window that are looked at one by one


class WatchedSource:
    """A feed of one market, watched. ``marks``: (times, mark_e8) of a table that replaces recorded mark prices."""

    def __init__(
        self, source: FeedSource, market: int, tables: dict[str, TableWriter], marks: tuple[I64, I64] | None = None
    ) -> None:
        self.rows, self.first_ns, self.last_ns = source.rows, source.first_ns, source.last_ns
        self.gaps = 0
        self.gap_ns = 0
        self.gap_spans: list[tuple[int, int]] = []
        self.boundaries: set[int] = set()  # funding boundaries that mark or funding messages name
        self._source = source
        self._market = market
        self._tables = tables
        self._marks = marks
        span_ns = 0 if isinstance(source, LiveSource) else self.last_ns - self.first_ns  # its end is not known
        self._every = max(MIN_SAMPLE_NS, span_ns // LATENCY_SAMPLES)
        self._next_sample = 0
        self._open_gap: tuple[int, int, int, int] | None = None  # kind, start, first and last lost id

    def next_window(self) -> FeedWindow | None:
        window = self._source.next_window()
        return None if window is None else self.watch(window)

    def watch(self, window: FeedWindow) -> FeedWindow:
        """See a window on its way into the run; of a live feed, the client's, in the order of receipt."""
        if len(window) <= FEW:
            self._watch_few(window)
        else:
            self._sample(window)
            self._watch_gaps(window)
            if len(window.aux):
                marks = window.ref[window.kind == MARK] - window.aux_base
                charges = window.ref[window.kind == FUNDING] - window.aux_base
                named = np.concatenate((window.aux[marks, 3], window.aux[charges, 2]))
                self.boundaries.update(np.unique(named).tolist())
        return window if self._marks is None else self._replace_marks(window, *self._marks)

    def _watch_few(self, window: FeedWindow) -> None:
        """The same for a window of a live feed, in whose path every microsecond counts."""
        events = window.ts_event.tolist()
        for j, kind in enumerate(window.kind.tolist()):
            if kind in (SNAPSHOT, ORDER_BOOK):
                if self._open_gap is not None:
                    self._close_gap(events[j])
            elif kind == GAP:
                self._open(window, j)
            elif kind in (MARK, FUNDING):
                row = window.aux[int(window.ref[j]) - window.aux_base]
                self.boundaries.add(int(row[3 if kind == MARK else 2]))
            if events[j] // self._every >= self._next_sample and kind != SNAPSHOT:
                self._sample(window)

    def watch_messages(self, messages: list[Message]) -> None:
        """See messages of a live feed that come in no window, in the order of receipt."""
        for message in messages:
            ts, kind, aux = message[0], message[4], message[9]
            if kind == SNAPSHOT:
                self._close_gap(ts)
                continue
            if kind == GAP and self._open_gap is None and aux is not None:
                self._open_gap = (aux[0], ts, aux[1], aux[2])
            elif kind in (MARK, FUNDING) and aux is not None:
                self.boundaries.add(aux[3 if kind == MARK else 2])
            bucket = ts // self._every
            if bucket >= self._next_sample:
                self._next_sample = bucket + 1
                row = {"instrument": self._market, "ts_ns": ts, "latency_ns": message[3] - ts}
                self._tables["feed_latency"].add({name: np.array([value], np.int64) for name, value in row.items()})

    def close(self, end_ns: int) -> None:
        """The run is over: a gap that is still open ends here."""
        self._close_gap(end_ns)

    def _sample(self, window: FeedWindow) -> None:
        bucket = window.ts_event // self._every
        fresh = np.flatnonzero(np.concatenate(([True], bucket[1:] != bucket[:-1])) & (bucket >= self._next_sample))
        # What a lake hands out to start from carries the instant of the start, not a latency.
        fresh = fresh[window.kind[fresh] != SNAPSHOT]
        if len(fresh):
            self._next_sample = int(bucket[fresh[-1]]) + 1
            ts = window.ts_event[fresh]
            self._tables["feed_latency"].add(
                {
                    "instrument": np.full(len(fresh), self._market, np.int64), "ts_ns": ts,
                    "latency_ns": window.ts_recv[fresh] - ts,
                }
            )  # fmt: skip

    def _watch_gaps(self, window: FeedWindow) -> None:
        for j in np.flatnonzero(np.isin(window.kind, (GAP, SNAPSHOT, ORDER_BOOK))):
            ts = int(window.ts_event[j])
            if window.kind[j] != GAP:
                self._close_gap(ts)
            else:
                self._open(window, int(j))

    def _open(self, window: FeedWindow, j: int) -> None:
        """Message ``j`` is a GAP: one begins, unless it is part of another."""
        if self._open_gap is None:
            kind, first, last, _ = (int(value) for value in window.aux[window.ref[j] - window.aux_base])
            self._open_gap = (kind, int(window.ts_event[j]), first, last)

    def _close_gap(self, end_ns: int) -> None:
        if self._open_gap is None:
            return
        kind, start, first, last = self._open_gap
        self._open_gap = None
        end_ns = max(start, end_ns)
        if kind == GAP_SESSION_END and end_ns == start:
            return  # the recording ends with the run: nothing is missing
        self.gaps += 1
        self.gap_ns += end_ns - start
        self.gap_spans.append((start, end_ns))
        row = {
            "instrument": self._market, "kind": kind, "start_ns": start, "end_ns": end_ns, "first_lost_id": first,
            "last_lost_id": last,
        }  # fmt: skip
        self._tables["gaps"].add({name: np.array([value], np.int64) for name, value in row.items()})

    def _replace_marks(self, window: FeedWindow, times: I64, marks: I64) -> FeedWindow:
        found = np.flatnonzero(window.kind == MARK)
        if not len(found):
            return window
        aux = window.aux.copy()
        place = np.searchsorted(times, window.ts_event[found], side="right") - 1
        aux[window.ref[found] - window.aux_base, 0] = marks[np.maximum(place, 0)]
        return replace(window, aux=aux)


class Announced:
    """What a live feed will bring, known before it has brought anything: whether its stream has marks, and an index.

    It stands where a recording's ``RecordedMarks`` do. What does not come after all is found as the run goes
    (``sim/live/inputs.py``)."""

    def __init__(self, *, marks: bool, index: bool, first_ns: int) -> None:
        self.count = int(marks)
        self.indexed = int(marks and index)
        self.first_ns = first_ns


class LiveSource:
    """A feed that is given to the core as it comes: it has no windows of its own."""

    def __init__(self, first_ns: int, last_ns: int, announced: Announced) -> None:
        self.rows, self.first_ns, self.last_ns = -1, first_ns, last_ns
        self.announced = announced

    def next_window(self) -> FeedWindow | None:
        """None: ``Core.feed`` is where messages go."""
        return None


class BoundedSource:
    """The part of a feed in [from_ns, to_ns) of venue time, for feeds that are not in a lake.

    Earlier messages are dropped, so a run that starts inside waits for the feed's next snapshot.
    """

    def __init__(self, source: FeedSource, from_ns: int | None, to_ns: int | None) -> None:
        self._source = source
        self._from = source.first_ns if from_ns is None else from_ns
        self._to = (1 << 63) - 1 if to_ns is None else to_ns
        self.rows = -1
        self.first_ns = max(source.first_ns, self._from)
        self.last_ns = min(source.last_ns, self._to)

    def next_window(self) -> FeedWindow | None:
        while (window := self._source.next_window()) is not None:
            start, stop = np.searchsorted(window.ts_event, (self._from, self._to))
            if stop > start:
                return slice_window(window, int(start), int(stop))
        return None


class RecordedMarks:
    """The mark and funding messages of a lake's feed, read on their own: what a run can count on before it starts."""

    def __init__(self, paths: Sequence[Path], from_ns: int, to_ns: int) -> None:
        import polars as pl

        columns = ["ts_event", "kind", "aux_0", "aux_1", "aux_2", "aux_3"]
        frames = [
            pl.scan_parquet(path)
            .select(columns)
            .filter(pl.col("kind").is_in([MARK, FUNDING]) & pl.col("ts_event").is_between(from_ns, to_ns))
            for path in paths
        ]
        try:
            found = pl.concat(frames).collect()
        except (OSError, pl.exceptions.PolarsError) as error:
            raise InputError(f"cannot be read: {error}", source=str(paths[0].parent)) from None
        marks = found.filter(pl.col("kind") == MARK)
        self.indexed = len(marks.filter(pl.col("aux_1") > 0))  # those with an index
        marks = marks.filter(pl.col("aux_0") > 0)  # a feed of the index alone says 0
        self.count = len(marks)
        self.first_ns = int(marks["ts_event"][0]) if self.count else 0
        named = marks.filter(pl.col("aux_3") > 0)["aux_3"].unique()
        charged = found.filter(pl.col("kind") == FUNDING)["aux_2"].unique()
        self.boundaries = {int(value) for value in named} | {int(value) for value in charged}


def feed_latency_series(paths: Sequence[Path], from_ns: int, to_ns: int) -> tuple[I64, I64]:
    """Times and feed latencies (ns) of a lake's feed, the least of every 100 ms, sorted by time."""
    import polars as pl

    frames = [
        pl.scan_parquet(path)
        .select("ts_event", "ts_recv")
        .filter(pl.col("ts_event").is_not_null() & pl.col("ts_event").is_between(from_ns, to_ns))
        for path in paths
    ]
    latency = (pl.col("ts_recv") - pl.col("ts_event")).min().alias("latency")
    bucket = (pl.col("ts_event") // MIN_SAMPLE_NS).alias("bucket")
    found = pl.concat(frames).group_by(bucket).agg(latency, pl.col("ts_event").min().alias("ts")).sort("ts").collect()
    if found.is_empty():
        raise InputError("holds no message to take feed latencies from", source=str(paths[0].parent))
    return np.array(found["ts"], np.int64), np.array(found["latency"], np.int64)


def table_marks_cover(times: I64, first_ns: int) -> bool:
    """Whether a mark table has begun when the run does."""
    return bool(len(times)) and int(times[0]) <= first_ns


def plan_rows(
    marks: tuple[I64, I64] | None, fundings: Sequence[tuple[int, int, int]], index: tuple[I64, I64] | None = None
) -> tuple[I64, I64, I64, I64]:
    """Rows for ``Core.set_plan``, by time: marks and index prices (times, price_e8), fundings (instant, rate_e12,
    price_e8 or 0).

    At one instant prices come first: the venue charges at those as of the boundary.
    """
    tables = [(rows, row_kind) for rows, row_kind in ((marks, MARK), (index, PLAN_INDEX)) if rows is not None]
    ts = [rows[0] for rows, _ in tables]
    value = [rows[1] for rows, _ in tables]
    kind = [np.full(len(rows[0]), row_kind, np.int64) for rows, row_kind in tables]
    other = [np.zeros(len(rows[0]), np.int64) for rows, _ in tables]
    if fundings:
        rows: npt.NDArray[Any] = np.array(sorted(fundings), np.int64)
        ts.append(rows[:, 0])
        value.append(rows[:, 1])
        kind.append(np.full(len(rows), FUNDING, np.int64))
        other.append(rows[:, 2])
    if not ts:
        empty = np.zeros(0, np.int64)
        return empty, empty, empty, empty
    times, kinds = np.concatenate(ts), np.concatenate(kind)
    order = np.lexsort((kinds == FUNDING, times))
    return times[order], kinds[order], np.concatenate(value)[order], np.concatenate(other)[order]
