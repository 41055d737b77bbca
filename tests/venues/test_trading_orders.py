"""Whatever the order of arrival, and however often: the gateway hears the same of an order, once, and legally."""

from __future__ import annotations

from itertools import permutations
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from matching import codes
from venues.lifecycle import L_AMEND_SENT, L_CANCEL_SENT, L_INTENDED, L_SENT, OrderState
from venues.orders import AmendRequest, Filled, OrderRequest, fold
from venues.trading import Event
from venues.trading_orders import REPLY, STREAM, End, Fill, Orders, Track
from venues.trading_parts import ClientIds


def fresh(lots: int = 10) -> tuple[Orders, Track, list[Event]]:
    events: list[Event] = []
    orders = Orders(0, ClientIds("run1"), events)
    request = OrderRequest(account=0, instrument=0, order_no=1, side=codes.BUY, lots=lots, ticks=100)
    return orders, orders.add(request, "run1-1"), events


def legal(events: list[Event], *sent: tuple[int, int], lots: int = 10) -> OrderState:
    """The order's state after the events, which the table of the lifecycle must allow."""
    state = OrderState(1, lots)
    state.apply(L_INTENDED)
    state.apply(L_SENT)
    for trigger, size in sent:
        state.apply(trigger, lots=size)
    for event in events:
        fold(state, event)  # type: ignore[arg-type]
    return state


def part(number: int, lots: int, filled: int, total: int = 10) -> Fill:
    return Fill(f"t{number}", 100, lots, codes.LIQ_MAKER, 5, 0, number, filled, total)


FILLS = (part(1, 3, 3), part(2, 2, 5), part(3, 5, 10))


def test_fills_in_any_order_are_the_same_events() -> None:
    seen = set()
    for order in permutations(range(4)):
        orders, track, events = fresh()
        for step in order:
            if step == 3:
                orders.accept(track, "77", 0, 9)
            else:
                orders.fill(track, FILLS[step], 9)
        for fill in FILLS:
            orders.fill(track, fill, 10)
        orders.accept(track, "77", 0, 10)
        state = legal(events)
        assert state.is_closed and state.filled_lots == 10 and not orders.gaps
        seen.add(tuple((event.kind, getattr(event, "trade_id", None)) for event in events))  # type: ignore[union-attr]
    assert seen == {((codes.EV_ACCEPTED, None), *((codes.EV_FILLED, f"t{n}") for n in (1, 2, 3)))}


def test_the_end_waits_for_the_fills_that_the_venue_counts() -> None:
    orders, track, events = fresh()
    orders.accept(track, "77", 1, 1)
    orders.finish(track, End(True, codes.R_USER, 5, 9), 2)
    assert [event.kind for event in events] == [codes.EV_ACCEPTED] and 1 in orders.gaps  # type: ignore[union-attr]
    orders.fill(track, FILLS[1], 3)
    orders.fill(track, FILLS[0]._replace(filled_lots=-1), 4)  # as a list of trades gives it
    assert [type(event).__name__ for event in events] == ["Accepted", "Filled", "Filled", "Canceled"]
    assert not orders.gaps and legal(events).filled_lots == 5
    orders.fill(track, part(9, 1, -1), 5)  # money moved, whatever we believed
    assert isinstance(events[-1], Filled) and legal(events).filled_lots == 6


def test_a_held_order_that_fills_has_been_triggered() -> None:
    orders, track, events = fresh()
    orders.hold(track, 1, 1)
    orders.hold(track, 1, 1)
    orders.fill(track, FILLS[0], 2)
    orders.trigger(track, "8", 1, 3)
    orders.accept(track, "8", 1, 3)
    assert [type(event).__name__ for event in events] == ["Held", "Triggered", "Filled"]
    legal(events)


def test_a_refusal_counts_only_before_any_evidence() -> None:
    orders, track, events = fresh()
    assert orders.reject(track, (codes.R_MARGIN, -2019, "Margin is insufficient."), 0, 1)
    assert not orders.reject(track, (codes.R_MARGIN, -2019, ""), 0, 2) and not orders.not_found(track, 2)
    assert len(events) == 1 and legal(events).reason == codes.R_MARGIN
    orders, track, events = fresh()
    orders.accept(track, "1", 1, 1)
    assert not orders.reject(track, (codes.R_DUPLICATE_ID, -4116, ""), 0, 2) and not orders.not_found(track, 2)
    assert len(events) == 1


def test_numbers_asked_for_are_answered_once() -> None:
    orders, track, events = fresh()
    track.cancels.add(5)
    orders.accept(track, "1", 1, 1)
    for _ in range(2):
        orders.cancel_refused(track, 5, (codes.R_UNKNOWN_ORDER, -2011, "Unknown order sent."), 2)
        orders.amend_refused(track, 6, (codes.R_NO_CHANGE, -5027, ""), 2)
    assert [type(event).__name__ for event in events] == ["Accepted", "CancelRejected"]
    legal(events, (L_CANCEL_SENT, 0))


Step = tuple[str, Any]
STORY: tuple[Step, ...] = (
    ("reply", 0), ("new", 0), ("fill", 0), ("amend reply", 0), ("amend", 0), ("fill", 1), ("end reply", 0), ("end", 0),
)  # fmt: skip


@given(st.permutations(STORY), st.lists(st.sampled_from(STORY), max_size=6), st.data())
def test_one_story_told_in_any_order(told: list[Step], again: list[Step], data: st.DataObject) -> None:
    """Accepted, filled 3, amended to 20 at 101, filled 4 more, canceled: by replies and stream, shuffled, repeated."""
    steps = list(told)
    for step in again:
        steps.insert(data.draw(st.integers(0, len(steps))), step)
    orders, track, events = fresh()
    orders.amending(track, 2, AmendRequest(account=0, instrument=0, order_no=1, ticks=101, lots=20))
    fills = (part(1, 3, 3, 10), part(2, 4, 7, 20))
    repeated: set[str] = set()
    for what, which in steps:
        if what in ("reply", "new"):
            orders.accept(track, "77", 0, 9)
        elif what == "fill":
            orders.fill(track, fills[which], 9)
        elif what in ("amend reply", "amend") and what not in repeated:  # a session knows a message that it had
            repeated.add(what)
            orders.amended(track, 101, 20, 0, 9, REPLY if what == "amend reply" else STREAM)
        elif what.startswith("end"):
            orders.finish(track, End(True, codes.R_USER, 7, 0), 9)
    state = legal(events, (L_AMEND_SENT, 20))
    assert sorted(type(event).__name__ for event in events) == ["Accepted", "Amended", "Canceled", "Filled", "Filled"]
    assert state.is_closed and (state.filled_lots, state.reason) == (7, codes.R_USER)
    assert not orders.gaps and not track.amends
