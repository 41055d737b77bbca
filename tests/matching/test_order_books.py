"""Order-by-order books: exact queues, own orders in them, and what an order-by-order feed has in common with levels.

The rules are section 12 of docs/fills.md; ``order_twin.py`` is the naive book that the kernel must repeat.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matching.codes import (
    AMEND_SIZE_DOWN_KEEPS,
    BUY,
    GAP,
    GTC,
    GTX,
    LIMIT,
    ORDER_ADD,
    ORDER_BOOK,
    ORDER_CHANGE,
    ORDER_FILL,
    ORDER_GONE,
    SELL,
    TRADE,
)
from matching.feed import FeedWindow, join_windows
from matching.forms import OrderForms
from matching.kernel import Core
from matching.order_book import OrderBook
from tests.matching.order_feeds import (
    STEP_NS,
    Order,
    fills,
    level_window,
    order_core,
    order_window,
    stated,
)
from tests.matching.order_twin import Twin

BOOK = [(1, BUY, 99, 5), (2, BUY, 99, 3), (3, BUY, 98, 4), (4, SELL, 101, 4), (5, SELL, 102, 6)]


class Scene:
    """A market read order by order, one event each ``STEP_NS``; own orders are sent between two of them."""

    def __init__(self, *events: tuple[int, int, int, int, int], **more: Any) -> None:
        self.messages = stated(BOOK)
        self.messages += [((k + 1) * STEP_NS, *event) for k, event in enumerate(events)]
        self.core = order_core(order_window(self.messages), **more)
        self.slots: dict[int, int] = {}
        self.advance(0)

    def advance(self, events: int) -> None:
        """Let ``events`` events in all have happened."""
        self.core.advance(events * STEP_NS + 1)

    def send(self, number: int, side: int, ticks: int, lots: int, lane: int = 0, tif: int = GTC) -> None:
        self.slots[number] = self.core.submit(lane, 0, number, side, ticks, lots, tif, LIMIT, 0)
        self.core.advance(self.core.now + 1)

    def ahead(self, number: int) -> float | None:
        found = {row[1]: row[6] / 10**6 for row in self.core.resting_orders()}
        return found.get(number)

    def left(self, number: int) -> int:
        return {row[1]: row[5] for row in self.core.resting_orders()}.get(number, 0)


# -- the book itself


def test_places_follow_price_time_priority() -> None:
    book = OrderBook()
    for order_id, lots in ((1, 5), (2, 3), (3, 7)):
        book.apply(ORDER_ADD, order_id, BUY, 99, lots)
    book.apply(ORDER_CHANGE, 1, BUY, 99, 4)  # smaller: keeps its place
    assert book.queue(BUY, 99) == [(1, 4), (2, 3), (3, 7)]
    book.apply(ORDER_CHANGE, 2, BUY, 99, 6)  # larger: to the tail
    assert book.queue(BUY, 99) == [(1, 4), (3, 7), (2, 6)]
    book.apply(ORDER_CHANGE, 1, BUY, 98, 4)  # another price
    assert book.queue(BUY, 99) == [(3, 7), (2, 6)]
    assert book.levels() == [(BUY, 98, 4), (BUY, 99, 13)]
    assert (book.lots_ahead(2), book.first(BUY, 99), book.first(SELL, 99)) == (7, 3, -1)
    book.apply(ORDER_FILL, 3, BUY, 99, 7)
    book.apply(ORDER_GONE, 2, BUY, 99, 6)
    book.apply(ORDER_GONE, 77, BUY, 99, 6)  # never seen: nothing
    assert (book.levels(), book.orders) == ([(BUY, 98, 4)], 1)
    with pytest.raises(KeyError):
        book.lots_ahead(2)


Change = tuple[int, int, int, int, int]
changes = st.tuples(
    st.sampled_from((ORDER_ADD, ORDER_ADD, ORDER_CHANGE, ORDER_GONE, ORDER_FILL)), st.integers(0, 60),
    st.integers(0, 1), st.integers(1, 6), st.integers(1, 9),
)  # fmt: skip


@given(st.lists(changes, max_size=300), st.integers(1, 1 << 55))
@settings(max_examples=60, deadline=None)
def test_book_is_that_of_plain_lists(events: list[Change], spread: int) -> None:
    """Ids far apart or close together: what the hash makes of them must not show."""
    book, twin = OrderBook(), Twin()
    for kind, number, side, ticks, lots in events:
        book.apply(kind, number * spread, side, ticks, lots)
        twin.message(kind, number * spread, side, ticks, lots)
    queues = {level: [(e.order_id, e.lots) for e in queue] for level, queue in twin.queues.items() if queue}
    assert book.levels() == twin.levels()
    assert {level: book.queue(*level) for level in queues} == queues
    assert book.orders == sum(map(len, queues.values()))


# -- own orders among the others


def test_own_order_fills_exactly_when_the_orders_ahead_are_gone() -> None:
    scene = Scene(
        (ORDER_FILL, 1, BUY, 99, 2), (ORDER_ADD, 6, BUY, 99, 9), (ORDER_GONE, 2, BUY, 99, 3),
        (ORDER_FILL, 1, BUY, 99, 3), (ORDER_FILL, 6, BUY, 99, 4), (ORDER_FILL, 6, BUY, 99, 5),
    )  # fmt: skip
    scene.send(1, BUY, 99, 6)
    seen = []
    for events in range(7):
        scene.advance(events)
        seen.append((scene.ahead(1), scene.left(1)))
    assert seen == [(8, 6), (6, 6), (6, 6), (3, 6), (0, 6), (0, 2), (None, 0)]
    assert fills(scene.core) == [(1, 99, 4, 0), (1, 99, 2, 0)]


def test_orders_behind_never_move_the_queue() -> None:
    scene = Scene(
        (ORDER_ADD, 6, BUY, 99, 9),
        (ORDER_CHANGE, 6, BUY, 99, 2),
        (ORDER_GONE, 6, BUY, 99, 2),
        (ORDER_GONE, 3, BUY, 98, 4),
    )
    scene.send(1, BUY, 99, 6)
    for events in range(5):
        scene.advance(events)
        assert (scene.ahead(1), scene.left(1)) == (8, 6)


def test_an_order_ahead_that_grows_goes_behind() -> None:
    scene = Scene((ORDER_CHANGE, 1, BUY, 99, 4), (ORDER_CHANGE, 1, BUY, 99, 6), (ORDER_CHANGE, 2, BUY, 98, 3))
    scene.send(1, BUY, 99, 6)
    seen = []
    for events in range(4):
        scene.advance(events)
        seen.append(scene.ahead(1))
    assert seen == [8, 7, 3, 0]


def test_an_execution_through_the_price_is_shared_by_price_and_time() -> None:
    scene = Scene((ORDER_FILL, 3, BUY, 98, 4))
    scene.send(1, BUY, 99, 2)
    scene.send(2, BUY, 100, 1)
    scene.send(3, BUY, 99, 5)
    scene.advance(1)
    assert fills(scene.core) == [(2, 100, 1, 0), (1, 99, 2, 8), (3, 99, 1, 8)]


def test_own_orders_at_one_price_share_an_execution_in_queue_order() -> None:
    scene = Scene(
        (ORDER_GONE, 1, BUY, 99, 5),
        (ORDER_GONE, 2, BUY, 99, 3),
        (ORDER_ADD, 6, BUY, 99, 9),
        (ORDER_FILL, 6, BUY, 99, 5),
    )
    scene.send(1, BUY, 99, 4)
    scene.send(2, BUY, 99, 4)
    scene.advance(3)
    scene.send(3, BUY, 99, 4)  # behind order 6
    scene.advance(4)
    assert fills(scene.core) == [(1, 99, 4, 0), (2, 99, 1, 0)]
    assert scene.ahead(3) == 4


def test_the_named_maker_decides_who_was_reached() -> None:
    """An execution of an order behind ours proves that ours was reached, whatever the feed still shows ahead."""
    scene = Scene(
        (ORDER_ADD, 6, BUY, 99, 9), (ORDER_FILL, 6, BUY, 99, 2), (ORDER_FILL, 777, BUY, 99, 1),
        (ORDER_FILL, 3, BUY, 99, 1),
    )  # fmt: skip
    scene.send(1, BUY, 99, 6)
    scene.advance(2)
    assert (scene.ahead(1), scene.left(1)) == (8, 4)
    scene.advance(3)  # an order that nobody has seen was not ahead of us
    scene.advance(4)  # nor was one that rests at another price
    assert fills(scene.core) == [(1, 99, 2, 8), (1, 99, 1, 8), (1, 99, 1, 8)]


def test_lanes_do_not_share_executions() -> None:
    scene = Scene((ORDER_FILL, 3, BUY, 98, 4), lanes=2)
    scene.send(1, BUY, 100, 9, lane=0)
    scene.send(1, BUY, 100, 9, lane=1)
    scene.advance(1)
    assert fills(scene.core) == [(1, 100, 4, 0), (1, 100, 4, 0)]


def test_a_newcomer_that_reaches_an_own_order_executes_with_it_once() -> None:
    scene = Scene(
        (ORDER_ADD, 6, SELL, 100, 3), (ORDER_CHANGE, 6, SELL, 100, 2), (ORDER_CHANGE, 6, SELL, 100, 3),
        (ORDER_ADD, 7, SELL, 100, 9),
    )  # fmt: skip
    scene.send(1, BUY, 100, 5)
    scene.advance(1)
    assert scene.left(1) == 2
    scene.advance(2)
    assert scene.left(1) == 2
    scene.advance(3)
    assert scene.left(1) == 1  # what order 6 grew by has not been there before
    scene.advance(4)
    assert fills(scene.core) == [(1, 100, 3, 0), (1, 100, 1, 0), (1, 100, 1, 0)]


def test_a_newcomer_still_being_matched_waits_for_its_executions() -> None:
    """The feed shows a seller of 6 at 99 before it says whom it met: the executions decide, nothing counts twice."""
    scene = Scene((ORDER_ADD, 6, SELL, 99, 6), (ORDER_FILL, 1, BUY, 99, 5), (ORDER_FILL, 2, BUY, 99, 1))
    scene.send(1, BUY, 100, 4)
    scene.advance(1)
    assert scene.left(1) == 4
    scene.advance(3)
    assert fills(scene.core) == [(1, 100, 4, 0)]


def test_post_only_and_takers_see_the_levels() -> None:
    scene = Scene()
    scene.send(1, BUY, 101, 1, tif=GTX)
    scene.send(2, BUY, 102, 7)
    assert fills(scene.core) == [(2, 101, 4, 0), (2, 102, 3, 0)]
    assert scene.core.resting_orders() == []


def test_an_amended_order_keeps_or_loses_its_place_by_the_markets_rule() -> None:
    for forms, ahead in ((OrderForms(amend_priority=AMEND_SIZE_DOWN_KEEPS), 8.0), (OrderForms(), 17.0)):
        scene = Scene((ORDER_ADD, 6, BUY, 99, 9), forms=forms)
        scene.send(1, BUY, 99, 6)
        scene.advance(1)
        scene.core.amend(0, scene.slots[1], 1, 99, 4)
        scene.core.advance(scene.core.now + 1)
        assert (scene.ahead(1), scene.left(1)) == (ahead, 4)
        scene.core.amend(0, scene.slots[1], 1, 99, 5)
        scene.core.advance(scene.core.now + 1)
        assert (scene.ahead(1), scene.left(1)) == (17, 5)


# -- a book that is stated again


def test_a_restated_book_keeps_who_was_ahead() -> None:
    again = [(2, BUY, 99, 2), (1, BUY, 99, 9), (8, BUY, 99, 4), (4, SELL, 101, 4), (9, SELL, 99, 1)]
    messages = stated(BOOK) + [(20, ORDER_BOOK, 4, 0, 0, 0)] + [(20, ORDER_ADD, *order) for order in again[:4]]
    core = order_core(order_window([*messages, (30, ORDER_FILL, 8, BUY, 99, 2)]))
    core.advance(5)
    core.submit(0, 0, 1, BUY, 99, 6, GTC, LIMIT, 0)
    core.advance(25)
    assert core.resting_orders()[0][6] == 2 * 10**6  # order 2 stays ahead; 1 grew and 8 came meanwhile
    assert core.venue_levels(0) == [(BUY, 99, 15), (SELL, 101, 4)] == core.client_levels(0)
    core.advance(40)
    assert fills(core) == [(1, 99, 2, 2)]
    messages = stated(BOOK) + stated([(8, BUY, 99, 4), (2, BUY, 99, 3)], 20)
    core = order_core(order_window(messages))
    core.advance(5)
    core.submit(0, 0, 1, BUY, 99, 6, GTC, LIMIT, 0)
    core.advance(25)
    assert core.resting_orders()[0][6] == 0  # who stands behind a newcomer has lost the old place
    messages = stated(BOOK) + [(20, ORDER_BOOK, 2, 0, 0, 0)] + [(20, ORDER_ADD, *order) for order in again[3:]]
    core = order_core(order_window(messages))
    core.advance(5)
    core.submit(0, 0, 1, BUY, 99, 6, GTC, LIMIT, 0)
    core.advance(25)
    assert fills(core) == [(1, 99, 1, 0)]  # the seller came while nobody told


def test_a_book_half_stated_is_stale() -> None:
    core = order_core(order_window([(0, ORDER_BOOK, 2, 0, 0, 0), (0, ORDER_ADD, 1, BUY, 99, 5)]))
    core.advance(5)
    assert not core.is_valid(0)
    core.submit(0, 0, 1, BUY, 99, 6, GTC, LIMIT, 0)
    core.advance(6)
    assert core.counters()["rejects"] == 1


def test_a_book_that_is_stated_cannot_be_interrupted_by_other_orders() -> None:
    core = order_core(order_window([(0, ORDER_BOOK, 2, 0, 0, 0), (0, ORDER_GONE, 1, BUY, 99, 5)]))
    with pytest.raises(ValueError, match="among the orders of a book that is being stated"):
        core.advance(5)


def test_feeds_of_the_other_kind_are_refused() -> None:
    messages = stated(BOOK)
    with pytest.raises(ValueError, match="read order by order"):
        order_core(level_window(messages))
    with pytest.raises(ValueError, match="need the l3 book"):
        order_core(order_window(messages), by_order=False)


def test_a_message_about_an_order_has_one_row() -> None:
    window = order_window(stated(BOOK))
    with pytest.raises(ValueError, match="has one row, ORDER_BOOK has none"):
        order_core(replace(window, kind=np.where(window.kind == ORDER_BOOK, ORDER_GONE, window.kind).astype(np.uint8)))
    with pytest.raises(ValueError, match="in the venue's order"):
        order_core(replace(window, ts_recv=window.ts_recv[::-1] + np.arange(len(window))[::-1]))


# -- against the naive twin, and against levels


def ask_for(core: Core, twin: Twin, command: tuple[int, int, int, int], sent: dict[int, int]) -> None:
    """One own request, to the kernel and to the twin."""
    what, side, ticks, lots = command
    open_now = {row[1]: row for row in core.resting_orders()}
    if what == 0 or not open_now:
        number = len(sent) + 1
        sent[number] = core.submit(0, 0, number, side, ticks, lots, GTC, LIMIT, 0)
        core.advance(core.now)
        twin.submit(number, side, ticks, lots)
        return
    number = sorted(open_now)[lots % len(open_now)]
    if what == 1:
        core.cancel(0, sent[number], number)
        core.advance(core.now)
        twin.cancel(number)
    else:
        left = open_now[number][5]
        filled = sum(size for n, _, size, _ in twin.fills if n == number)
        new_left, price = (max(1, left - 1), open_now[number][4]) if lots % 2 else (lots, ticks)
        core.amend(0, sent[number], number, price, filled + new_left)
        core.advance(core.now)
        twin.amend(number, price, new_left, True)


prices = st.one_of(st.integers(95, 105), st.integers(95, 105), st.integers(95, 105), st.sampled_from((3, 40, 170, 900)))
others = st.tuples(
    st.sampled_from((ORDER_ADD, ORDER_ADD, ORDER_CHANGE, ORDER_GONE, ORDER_FILL, ORDER_FILL)), st.integers(1, 30),
    st.integers(0, 1), prices, st.integers(1, 9),
)  # fmt: skip
own = st.tuples(st.sampled_from((0, 0, 1, 2)), st.integers(0, 1), st.integers(95, 105), st.integers(1, 9))


@given(st.lists(st.tuples(others, st.none() | own), max_size=60), st.booleans())
@settings(max_examples=150, deadline=None)
def test_own_orders_do_as_in_the_naive_book(steps: list[Any], by_window: bool) -> None:
    """Any feed, also one that no venue would send: crossed, executing out of order, naming orders never seen."""
    messages = stated(BOOK) + [((k + 1) * STEP_NS, *event) for k, (event, _) in enumerate(steps)]
    cuts = [messages[k : k + 1] for k in range(len(messages))] if by_window else [messages]
    windows = [order_window(cut) for cut in cuts]
    core = order_core(*windows, forms=OrderForms(amend_priority=AMEND_SIZE_DOWN_KEEPS))
    twin, sent = Twin(), dict[int, int]()
    for order_id, side, ticks, lots in BOOK:
        twin.message(ORDER_ADD, order_id, side, ticks, lots)
    pending = windows[1:]

    def run_to(ts: int) -> None:
        while core.advance(ts) == 3:
            core.set_window(0, pending.pop(0), not pending)

    run_to(1)
    for k, (event, command) in enumerate(steps):
        run_to((k + 1) * STEP_NS + 1)
        twin.message(*event)
        if command is not None:
            ask_for(core, twin, command, sent)
        rows = [(row[1], row[3], row[4], row[5], row[6] / 10**6) for row in core.resting_orders()]
        assert rows == twin.own()
        assert core.venue_levels(0) == twin.levels()
    assert fills(core) == twin.fills


def orderly(draws: list[tuple[int, int, int, int]]) -> list[Order]:
    """A feed of a venue that matches by price and time: each newcomer executes with the first in the queues."""
    book, messages, next_id = OrderBook(), stated(BOOK), 10
    for order_id, side, ticks, lots in BOOK:
        book.apply(ORDER_ADD, order_id, side, ticks, lots)
    ts = 0
    for what, side, ticks, lots in draws:
        ts += STEP_NS
        events: list[tuple[int, int, int, int, int]] = []
        if what < 6:  # somebody takes what there is and rests with what remains
            while lots:
                facing = [level[1] for level in book.levels() if level[0] != side]
                best = (min(facing) if side == BUY else max(facing)) if facing else None
                if best is None or not Twin.reaches(side, ticks, best):
                    break
                maker = book.first(1 - side, best)
                size = min(lots, book.queue(1 - side, best)[0][1])
                events.append((ORDER_FILL, maker, 1 - side, best, size))
                book.apply(*events[-1])
                lots -= size
            if lots:
                next_id += 1
                events.append((ORDER_ADD, next_id, side, ticks, lots))
                book.apply(*events[-1])
        else:
            known = sorted(book.places().items())
            if known:
                order_id, (order_side, price, left, _) = known[lots % len(known)]
                kind = ORDER_GONE if what == 6 else ORDER_CHANGE
                events.append((kind, order_id, order_side, price, left if kind == ORDER_GONE else max(1, left - lots)))
                book.apply(*events[-1])
        messages += [(ts, *event) for event in events]
    return messages


flow = st.lists(
    st.tuples(st.integers(0, 7), st.integers(0, 1), st.integers(96, 104), st.integers(1, 9)), max_size=60
)  # fmt: skip


@given(flow)
@settings(max_examples=100, deadline=None)
def test_levels_are_those_of_a_feed_of_levels(draws: list[tuple[int, int, int, int]]) -> None:
    """The same market told order by order and told by levels: both views are equal after every message."""
    messages = orderly(draws)
    late = 7 * STEP_NS  # the client is behind
    single = order_core(order_window(messages, late), listens=True)
    level = order_core(level_window(messages, late), by_order=False, listens=True)
    for ts in sorted({message[0] for message in messages} | {message[0] + late for message in messages}):
        for core in (single, level):
            while core.advance(ts) == 1:
                pass
        assert single.venue_levels(0) == level.venue_levels(0)
        assert single.client_levels(0) == level.client_levels(0)
        for side in (BUY, SELL):
            assert single.best_ticks(0, side) == level.best_ticks(0, side)
            assert single.best_lots(0, side) == level.best_lots(0, side)
            assert single.venue_best_ticks(0, side) == level.venue_best_ticks(0, side)


@given(flow, st.integers(0, 1), st.integers(96, 104), st.integers(1, 40), st.integers(0, 20))
@settings(max_examples=100, deadline=None)
def test_an_order_never_executes_more_than_the_market_did(
    draws: list[tuple[int, int, int, int]], side: int, ticks: int, lots: int, sent_after: int
) -> None:
    """In an orderly market an own order fills with nobody ahead, and never more than came to or through its price."""
    messages = orderly(draws)
    core = order_core(order_window(messages))
    sent = sent_after * STEP_NS + 1
    core.advance(sent)
    core.submit(0, 0, 1, side, ticks, lots, GTC, LIMIT, 0)
    core.advance(sent)
    resting = core.resting_orders()
    core.drain_log(True)
    core.advance(messages[-1][0] + 1)
    if not resting:
        return
    reachable = 0
    for ts, kind, _, s, price, size in messages:
        traded = kind == ORDER_FILL and s == side and Twin.reaches(side, ticks, price)
        came = kind == ORDER_ADD and s != side and Twin.reaches(side, ticks, price)
        reachable += size if ts > sent and (traded or came) else 0
    found = fills(core)
    assert sum(size for _, _, size, _ in found) <= min(reachable, lots)
    assert all(front == 0 for _, _, _, front in found)


def test_far_newcomers_move_the_ladder_and_leave_the_queues() -> None:
    scene = Scene((ORDER_ADD, 6, SELL, 5000, 3), (ORDER_ADD, 7, SELL, 40, 2), (ORDER_ADD, 8, BUY, 1, 2))
    scene.send(1, BUY, 99, 6)
    scene.advance(3)  # the newcomer at 40 crosses other people's bids: still being matched
    assert (scene.ahead(1), scene.left(1)) == (8, 6)
    assert scene.core.venue_levels(0)[0] == (BUY, 1, 2)
    assert scene.core.venue_levels(0)[-3:] == [(SELL, 101, 4), (SELL, 102, 6), (SELL, 5000, 3)]


def with_others(messages: list[Order], at: int, kind: int, row: list[tuple[int, int, int]]) -> FeedWindow:
    """A feed of orders with a message of another kind at ``at``."""
    before = [message for message in messages if message[0] < at]
    between = order_window([(at, kind, 0, *(row[0] if row else (0, 0, 0)))])
    if not row:
        between = replace(
            between, row_start=np.zeros(2, np.int64), side=between.side[:0], px_ticks=between.px_ticks[:0],
            qty_lots=between.qty_lots[:0], aux=np.zeros((1, 4), np.int64),
        )  # fmt: skip
    whole = join_windows(order_window(before), between)
    return join_windows(whole, order_window(messages[len(before) :]))


def test_trades_are_information() -> None:
    messages = [*stated(BOOK), (30, ORDER_FILL, 1, BUY, 99, 1)]
    core = order_core(with_others(messages, 20, TRADE, [(SELL, 90, 50)]))
    core.advance(5)
    core.submit(0, 0, 1, BUY, 99, 6, GTC, LIMIT, 0)
    core.advance(25)
    assert core.resting_orders()[0][5:7] == (6, 8 * 10**6)


def test_executions_count_while_the_book_is_stale() -> None:
    messages = [
        *stated(BOOK), (30, ORDER_FILL, 1, BUY, 99, 5), (40, ORDER_GONE, 2, BUY, 99, 3),
        (50, ORDER_FILL, 3, BUY, 98, 2), *stated([(2, BUY, 99, 3)], 60),
    ]  # fmt: skip
    core = order_core(with_others(messages, 20, GAP, []))
    core.advance(5)
    core.submit(0, 0, 1, BUY, 99, 6, GTC, LIMIT, 0)
    seen = []
    for ts in (35, 45, 55, 65):
        core.advance(ts)
        seen.append((core.is_valid(0), *core.resting_orders()[0][5:7]))
    assert seen == [(False, 6, 3 * 10**6), (False, 6, 3 * 10**6), (False, 4, 3 * 10**6), (True, 4, 3 * 10**6)]
