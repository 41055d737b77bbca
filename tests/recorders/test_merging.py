"""A feed with a table's messages put in."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from matching.codes import DEPTH, MARK
from matching.feed import FeedWindow, MemorySource, stable_local_order
from recorders.blocks import has_aux
from recorders.merging import MergedSource


def _feed(times: list[int], kinds: list[int]) -> FeedWindow:
    ts = np.array(sorted(times), np.int64)
    kind = np.array(kinds, np.uint8)
    aux = np.array([[100 + k, 0, 0, 0] for k in range(int((kind == MARK).sum()))], np.int64).reshape(-1, 4)
    ref = np.where(kind == MARK, np.cumsum(kind == MARK) - 1, 7)
    rows = int((kind == DEPTH).sum())
    starts = np.concatenate((np.zeros(1, np.int64), np.cumsum(kind == DEPTH)))
    return FeedWindow(
        ts_event=ts,
        ts_recv=ts + 5,
        kind=kind,
        row_start=starts,
        ref=ref,
        local_order=stable_local_order(ts + 5),
        side=np.zeros(rows, np.uint8),
        px_ticks=np.arange(rows, dtype=np.int32),
        qty_lots=np.ones(rows, np.int32),
        aux=aux,
    )


def _table(times: list[int]) -> FeedWindow:
    ts = np.array(sorted(times), np.int64)
    n = len(ts)
    aux = np.array([[k, 1, 2, 3] for k in range(n)], np.int64).reshape(-1, 4)
    return FeedWindow(
        ts_event=ts,
        ts_recv=ts,
        kind=np.full(n, MARK, np.uint8),
        row_start=np.zeros(n + 1, np.int64),
        ref=np.arange(n),
        local_order=stable_local_order(ts),
        side=np.zeros(0, np.uint8),
        px_ticks=np.zeros(0, np.int32),
        qty_lots=np.zeros(0, np.int32),
        aux=aux,
    )


@given(
    feed=st.lists(st.tuples(st.integers(10, 60), st.sampled_from((DEPTH, MARK))), min_size=1, max_size=40),
    table=st.lists(st.integers(0, 80), max_size=20, unique=True),
    size=st.integers(1, 20),
)
def test_messages_of_the_table_stand_after_the_feeds(feed: list[tuple[int, int]], table: list[int], size: int) -> None:
    window = _feed([t for t, _ in feed], [k for _, k in feed])
    first, last = int(window.ts_event[0]), int(window.ts_event[-1])
    source = MergedSource(MemorySource(window, size), _table(table))
    got = []
    while (part := source.next_window()) is not None:
        part.check()
        for j in range(len(part)):
            payload = part.aux[part.ref[j] - part.aux_base][0] if has_aux(part.kind)[j] else -1
            row = part.px_ticks[part.row_start[j]] if part.row_start[j + 1] > part.row_start[j] else -1
            got.append((int(part.ts_event[j]), int(part.kind[j]), int(payload), int(row)))
    expected = []
    marks = rows = 0
    for t, kind in zip(window.ts_event.tolist(), window.kind.tolist(), strict=True):
        expected.append((t, 0, len(expected), kind, 100 + marks if kind == MARK else -1, rows if kind == DEPTH else -1))
        marks, rows = marks + (kind == MARK), rows + (kind == DEPTH)
    times = sorted(table)
    early = [k for k, t in enumerate(times) if t < first][-1:]
    for k in early + [k for k, t in enumerate(times) if first <= t < last]:
        expected.append((max(times[k], first), 1, k, MARK, k, -1))
    if early and first == last:  # a feed of one instant ends before anything can follow it
        expected = [e for e in expected if e[1] == 0]
    assert got == [(t, kind, payload, row) for t, _, _, kind, payload, row in sorted(expected)]
