"""What is watched of a feed does not depend on how it is cut into windows."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from matching.codes import GAP, MARK, SNAPSHOT, TRADE
from matching.feed import FeedWindow, MemorySource, stable_local_order
from sim.feeds import FEW, WatchedSource


class Table:
    """Keeps rows."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(self, columns: dict[str, Any]) -> None:
        values = {name: column.tolist() for name, column in columns.items()}
        self.rows += [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]


def feed_of(kinds: list[int], steps: list[int]) -> FeedWindow:
    ts = 10**9 + np.cumsum(np.array(steps, np.int64)) * 10**7
    kind = np.array(kinds, np.uint8)
    carries = (kind == MARK) | (kind == GAP)
    aux = np.arange(4 * int(carries.sum()), dtype=np.int64).reshape(-1, 4)
    none = np.zeros(0, np.int32)
    return FeedWindow(
        ts_event=ts, ts_recv=ts + 7, kind=kind, row_start=np.zeros(len(ts) + 1, np.int64),
        ref=np.where(carries, np.cumsum(carries) - 1, 0), local_order=stable_local_order(ts + 7),
        side=np.zeros(0, np.uint8), px_ticks=none, qty_lots=none, aux=aux,
    )  # fmt: skip


def watched(window: FeedWindow, size: int) -> tuple[Any, ...]:
    tables: Any = {"feed_latency": Table(), "gaps": Table()}
    source = WatchedSource(MemorySource(window, size), 0, tables)
    while source.next_window() is not None:
        pass
    source.close(int(window.ts_event[-1]))
    return source.boundaries, source.gap_spans, source.gap_ns, tables["feed_latency"].rows, tables["gaps"].rows


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from((TRADE, MARK, SNAPSHOT, GAP)), st.integers(0, 25)), min_size=1, max_size=60))
def test_few_or_many_at_once(drawn: list[tuple[int, int]]) -> None:
    window = feed_of([kind for kind, _ in drawn], [step for _, step in drawn])
    whole = watched(window, FEW * 10)
    for size in (1, 3, FEW):
        found = watched(window, size)
        assert found[:3] == whole[:3] and found[4] == whole[4]
        assert {row["ts_ns"] // 10**8 for row in found[3]} >= {row["ts_ns"] // 10**8 for row in whole[3]}
