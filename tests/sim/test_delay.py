"""A delayed feed: the same messages by v, whatever the windows; a naive twin says what v and the order are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matching.codes import BBO, DEPTH, GAP, MARK, ORDER_ADD, SNAPSHOT, TRADE
from matching.feed import FeedSource, FeedWindow, MemorySource, join_windows, stable_local_order
from sim.delay import DelayedSource

RANK = {TRADE: 0, BBO: 1, DEPTH: 2, SNAPSHOT: 2, GAP: 2, ORDER_ADD: 2, MARK: 3}
AUX = (MARK, GAP)
Told = tuple[int, int, int, tuple[Any, ...]]  # ts_event, ts_recv, kind, number and rows or aux


def window_of(messages: list[tuple[int, int, int]]) -> FeedWindow:
    """Messages (ts_event, ts_recv, kind) in venue order; each has its number as ref or aux, and a few rows."""
    ts_event, ts_recv, kind = (np.array(column, np.int64) for column in zip(*messages, strict=True))
    number = np.arange(len(messages))
    has_aux = np.isin(kind, AUX)
    counts = np.where(has_aux, 0, number % 3 + (kind == ORDER_ADD))
    counts[kind == ORDER_ADD] = 1
    rows = np.repeat(number, counts)
    return FeedWindow(
        ts_event=ts_event, ts_recv=ts_recv, kind=kind.astype(np.uint8),
        row_start=np.concatenate(([0], np.cumsum(counts))), ref=np.where(has_aux, np.cumsum(has_aux) - 1, number),
        local_order=stable_local_order(ts_recv), side=(rows % 2).astype(np.uint8), px_ticks=rows.astype(np.int32),
        qty_lots=(rows + 1).astype(np.int32),
        aux=np.column_stack([number[has_aux]] * 4).astype(np.int64).reshape(-1, 4),
    )  # fmt: skip


def told(window: FeedWindow) -> list[Told]:
    window.check()
    found = []
    for j in range(len(window)):
        rows = slice(int(window.row_start[j]), int(window.row_start[j + 1]))
        content: tuple[Any, ...] = (
            int(window.ref[j]),
            *window.px_ticks[rows].tolist(),
            *window.qty_lots[rows].tolist(),
        )
        if int(window.kind[j]) in AUX:
            content = tuple(window.aux[int(window.ref[j]) - window.aux_base].tolist())
        found.append((int(window.ts_event[j]), int(window.ts_recv[j]), int(window.kind[j]), content))
    return found


def without_ref(message: Told) -> Told:
    return (0, *message[1:])


def all_of(source: FeedSource) -> list[Told]:
    found: list[Told] = []
    while (window := source.next_window()) is not None:
        found += told(window)
    return found


def naive(messages: list[Told], delay_ns: int) -> list[Told]:
    """v by its definition, sorted by hand. Within one venue time a source's own order of ranks counts."""
    last_ns = -1
    rank = 0
    keyed = []
    for number, (event, recv, kind, content) in enumerate(messages):
        v = max(event, recv - delay_ns)
        rank = max(rank, RANK[kind]) if event == last_ns else RANK[kind]
        last_ns = event
        keyed.append((v, rank, recv, number, (v, recv, kind, content)))
    return [one[-1] for one in sorted(keyed)]


MESSAGES = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 40), st.sampled_from(sorted(RANK))), min_size=1, max_size=60
)


@settings(max_examples=150, deadline=None)
@given(MESSAGES, st.integers(0, 45), st.integers(1, 60))
def test_any_feed_in_any_windows_is_sorted_by_v(
    drawn: list[tuple[int, int, int]], delay_ns: int, window_messages: int
) -> None:
    event = 100
    messages = []
    for step, lag, kind in drawn:
        event += step // 3
        messages.append((event, event + lag, kind))
    whole = window_of(messages)
    source = DelayedSource(MemorySource(whole, window_messages), delay_ns)
    found = all_of(source)
    assert found == naive(told(whole), delay_ns)
    assert source.late == sum(recv - event > delay_ns for event, recv, kind in messages if kind != GAP)


@settings(max_examples=50, deadline=None)
@given(MESSAGES, st.integers(0, 45))
def test_the_client_hears_the_same_in_the_same_order(drawn: list[tuple[int, int, int]], delay_ns: int) -> None:
    event = 100
    messages = []
    for step, lag, kind in drawn:
        event += step // 3
        messages.append((event, event + lag, kind))
    whole = window_of(messages)
    source = DelayedSource(MemorySource(whole), delay_ns)
    window = source.next_window()
    assert window is not None
    while (more := source.next_window()) is not None:
        window = join_windows(window, more)
    before = [without_ref(told(whole)[j]) for j in whole.local_order.tolist()]
    assert [without_ref(told(window)[j]) for j in window.local_order.tolist()] == before


def test_a_feed_that_is_never_late_is_as_it_was_and_twice_delayed_is_once_delayed() -> None:
    messages = [(k, k + k % 5, (TRADE, DEPTH)[k % 2]) for k in range(500)]
    whole = window_of(messages)
    assert all_of(DelayedSource(MemorySource(whole, 7), 4)) == told(whole)
    once = DelayedSource(MemorySource(whole, 7), 1)
    assert all_of(DelayedSource(DelayedSource(MemorySource(whole, 7), 1), 1)) == all_of(once)


def test_little_is_held_back() -> None:
    messages = [(k, k + k % 10, DEPTH) for k in range(10_000)]
    source = DelayedSource(MemorySource(window_of(messages), 100), 5)
    while (window := source.next_window()) is not None:
        assert len(window) <= 110 and len(source._rest) <= 12


@pytest.mark.parametrize("delay_ns", [0, 3])
def test_an_opening_book_stays_before_the_quotes_that_are_newer(delay_ns: int) -> None:
    messages = [(5, 5, SNAPSHOT), (5, 5, BBO), (5, 6, MARK), (6, 6, TRADE)]
    assert [m[2] for m in all_of(DelayedSource(MemorySource(window_of(messages), 2), delay_ns))][:2] == [SNAPSHOT, BBO]
