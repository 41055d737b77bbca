"""Post-only, reduce-only and amend forms: what one venue does and another not (docs/fills.md, sections 4 and 9)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.codes import (
    AMEND_ALWAYS_KEEPS,
    AMEND_NEVER_KEEPS,
    AMEND_SIZE_DOWN_KEEPS,
    BUY,
    FLAG_REDUCE_ONLY,
    GTC,
    GTX,
    IOC,
    POST_ONLY_CANCEL,
    POST_ONLY_EXPIRE,
    POST_ONLY_REJECT,
    POST_ONLY_SLIDE,
    REDUCE_REJECT,
    REDUCE_RESIZE,
    REDUCE_SHRINK,
    SELL,
    STP_CANCEL_MAKER,
)
from matching.forms import OrderForms
from tests.matching.desk import Desk, book, bought, depth, sold


def desk_of(*more: Any, **forms: Any) -> Desk:
    desk = Desk([book(), *more, depth(500, {97: 1})], forms=OrderForms(**forms))
    desk.at(1)
    return desk


@pytest.mark.parametrize(
    ("form", "said"),
    [
        (POST_ONLY_REJECT, ["REJECTED 3@102 POST_ONLY"]),
        (POST_ONLY_EXPIRE, ["EXPIRED 3@102 POST_ONLY"]),
        (POST_ONLY_CANCEL, ["ACCEPTED 3@102", "EXPIRED 3@102 POST_ONLY"]),
        (POST_ONLY_SLIDE, ["ACCEPTED 3@100"]),
    ],
)
def test_post_only_that_would_take(form: int, said: list[str]) -> None:
    desk = desk_of(post_only=form)
    number = desk.buy(102, 3, tif=GTX)
    assert desk.said(number) == said
    assert desk.resting() == ({number: 3} if form == POST_ONLY_SLIDE else {})


def test_post_only_slides_down_to_one_tick_above_the_best_bid_of_a_sell() -> None:
    desk = desk_of(post_only=POST_ONLY_SLIDE)
    assert desk.said(desk.sell(97, 3, tif=GTX)) == ["ACCEPTED 3@100"]
    assert desk.said(desk.sell(101, 3, tif=GTX)) == ["ACCEPTED 3@101"]  # would not take: as it is


def test_post_only_slides_in_front_of_an_own_order() -> None:
    desk = desk_of(post_only=POST_ONLY_SLIDE, stp=STP_CANCEL_MAKER)
    desk.sell(100, 1)
    assert desk.said(desk.buy(100, 3, tif=GTX)) == ["ACCEPTED 3@99"]


def test_a_slide_to_no_price_is_refused() -> None:
    desk = Desk([((0, 4, [(SELL, 1, 5)], None)), depth(50, {1: 0})], forms=OrderForms(post_only=POST_ONLY_SLIDE))
    desk.at(1)
    assert desk.said(desk.buy(1, 3, tif=GTX)) == ["REJECTED 3@1 POST_ONLY"]


def long_of(lots: int, *more: Any, **forms: Any) -> Desk:
    """A desk that is long by ``lots`` (at most 10)."""
    desk = desk_of(*more, **forms)
    desk.market(BUY, lots)
    assert desk.position() == lots
    return desk


def test_reduce_only_too_large_is_cut_or_refused() -> None:
    for form in (REDUCE_SHRINK, REDUCE_RESIZE):
        desk = long_of(4, reduce_only=form)
        assert desk.said(desk.sell(103, 6, flags=FLAG_REDUCE_ONLY)) == ["ACCEPTED 4@103"]
    desk = long_of(4, reduce_only=REDUCE_REJECT)
    assert desk.said(desk.sell(103, 6, flags=FLAG_REDUCE_ONLY)) == ["REJECTED 6@103 REDUCE_ONLY"]
    assert desk.said(desk.sell(103, 4, flags=FLAG_REDUCE_ONLY)) == ["ACCEPTED 4@103"]


def test_resting_reduce_only_orders_follow_the_position_down() -> None:
    desk = long_of(5, reduce_only=REDUCE_RESIZE)
    first = desk.sell(103, 5, flags=FLAG_REDUCE_ONLY)
    second = desk.sell(104, 2, flags=FLAG_REDUCE_ONLY)
    desk.sell(99, 2, tif=IOC)
    assert desk.said(first) == ["ACCEPTED 5@103", "ACCEPTED 3@103 REDUCE_ONLY"]
    assert desk.said(second) == ["ACCEPTED 2@104"]
    desk.sell(99, 3, tif=IOC)
    assert desk.position() == 0 and desk.resting() == {}
    assert desk.said(first)[-1] == "EXPIRED 3@103 REDUCE_ONLY" and desk.said(second)[-1] == "EXPIRED 2@104 REDUCE_ONLY"


def test_resting_reduce_only_orders_follow_a_makers_fill() -> None:
    desk = long_of(5, bought(20, 103, 2), reduce_only=REDUCE_RESIZE)
    plain, reducing = desk.sell(103, 2), desk.sell(105, 5, flags=FLAG_REDUCE_ONLY)
    desk.at(30)
    assert desk.said(plain)[-1] == "FILLED 2@103" and desk.resting() == {reducing: 3}


def test_resting_reduce_only_orders_follow_when_another_order_of_the_level_is_filled() -> None:
    desk = long_of(5, bought(20, 104, 3), reduce_only=REDUCE_RESIZE)
    first = desk.sell(103, 4, flags=FLAG_REDUCE_ONLY)
    second = desk.sell(103, 5, flags=FLAG_REDUCE_ONLY)
    desk.at(30)
    assert desk.said(first) == ["ACCEPTED 4@103", "FILLED 4@103"]
    assert desk.said(second) == ["ACCEPTED 5@103", "FILLED 1@103", "EXPIRED 4@103 REDUCE_ONLY"]
    assert desk.position() == 0


@pytest.mark.parametrize("form", [REDUCE_SHRINK, REDUCE_REJECT, REDUCE_RESIZE])
@given(
    st.lists(
        st.tuples(st.sampled_from([BUY, SELL]), st.integers(96, 104), st.integers(1, 6), st.booleans(), st.booleans()),
        min_size=2, max_size=12,
    ),
    st.lists(st.tuples(st.booleans(), st.integers(96, 104), st.integers(1, 6)), max_size=6),
)  # fmt: skip
def test_reduce_only_never_increases_a_position(
    form: int, flow: list[tuple[int, int, int, bool, bool]], prints: list[tuple[bool, int, int]]
) -> None:
    messages = [
        sold(10 * k + 5, ticks, lots) if down else bought(10 * k + 5, ticks, lots)
        for k, (down, ticks, lots) in enumerate(prints)
    ]
    desk = desk_of(*messages, reduce_only=form)
    reducing = set()
    for k, (side, ticks, lots, now, reduces) in enumerate(flow):
        desk.at(10 * k + 2)
        number = desk.send(side, ticks, lots, IOC if now else GTC, flags=FLAG_REDUCE_ONLY if reduces else 0)
        if reduces:
            reducing.add(number)
    desk.end()
    log = desk.core.drain_log(True)
    position = 0
    for number, side, event, lots, after in zip(
        *(log[name].tolist() for name in ("order_no", "side", "event", "lots", "position_lots")), strict=True
    ):
        if event != 3:
            continue
        before, position = position, position + (lots if side == BUY else -lots)
        assert position == after
        if number in reducing:
            assert abs(position) < abs(before) and position * before >= 0


@pytest.mark.parametrize(
    ("form", "down", "up"),
    [
        (AMEND_NEVER_KEEPS, False, False),
        (AMEND_SIZE_DOWN_KEEPS, True, False),
        (AMEND_ALWAYS_KEEPS, True, True),
    ],
)
def test_priority_after_an_amend_at_the_same_price(form: int, down: bool, up: bool) -> None:
    for lots, kept in ((2, down), (6, up)):
        desk = desk_of(depth(10, {99: 8}), amend_priority=form)
        number = desk.buy(99, 4)
        desk.at(15)
        desk.amend(number, 99, lots)
        assert desk.said(number)[-1] == f"AMENDED {lots}@99"
        assert desk.core.resting_orders()[0][6] == (5 if kept else 8) * 10**6


def test_another_price_always_queues_anew() -> None:
    desk = desk_of(amend_priority=AMEND_ALWAYS_KEEPS)
    number = desk.buy(99, 4)
    desk.amend(number, 98, 4)
    desk.amend(number, 99, 4)
    assert desk.core.resting_orders()[0][6] == 5 * 10**6 and desk.said(number)[-1] == "AMENDED 4@99"


def test_amend_to_what_is_filled_cancels_or_is_refused() -> None:
    for form, said in (
        ("none", "CANCELED 2@101 USER"),
        ("amend_to_filled_rejects", "AMEND_REJECTED LOT_SIZE"),
        ("amend_to_filled_fills", "CANCELED 2@101 FILLED"),
    ):
        rejects = form == "amend_to_filled_rejects"
        desk = desk_of(**({} if form == "none" else {form: True}))
        number = desk.buy(101, 7)  # takes 5
        desk.amend(number, 101, 5)
        assert desk.said(number)[-1] == said and (number in desk.resting()) == rejects


def test_post_only_amend_that_would_take_closes_or_is_refused() -> None:
    for rejects, said in ((False, "EXPIRED 2@101 POST_ONLY"), (True, "AMEND_REJECTED POST_ONLY")):
        desk = desk_of(amend_crossing_rejects=rejects)
        number = desk.buy(99, 2, tif=GTX)
        desk.amend(number, 101, 2)
        assert desk.said(number)[-1] == said and (number in desk.resting()) == rejects


def test_amended_orders_that_must_rest_are_refused_when_they_would_take() -> None:
    desk = desk_of(amend_must_rest=True)
    number = desk.buy(99, 2)
    desk.amend(number, 101, 2)
    assert desk.said(number)[-1] == "AMEND_REJECTED POST_ONLY"
    desk.amend(number, 100, 2)
    assert "AMENDED 2@100" in desk.said(number)


def test_an_order_is_amended_only_so_often() -> None:
    desk = desk_of(amends_per_order=2)
    number = desk.buy(99, 2)
    for lots in (3, 4, 5):
        desk.amend(number, 99, lots)
    assert desk.said(number) == ["ACCEPTED 2@99", "AMENDED 3@99", "AMENDED 4@99", "AMEND_REJECTED MAX_AMENDS"]
    other = desk.buy(98, 2)  # a new order counts from none
    desk.amend(other, 98, 1)
    assert desk.said(other)[-1] == "AMENDED 1@98"


def test_margin_follows_an_amend_that_keeps_its_place() -> None:
    desk = Desk([book(), depth(50, {97: 1})], deposit=10_000, forms=OrderForms(amend_priority=AMEND_ALWAYS_KEEPS))
    desk.at(1)
    number = desk.buy(99, 4)
    for lots in (9, 2):
        desk.amend(number, 99, lots)
        assert desk.ledger.open_lots(0, 0, BUY) == lots
    desk.cancel(number)
    assert desk.ledger.open_lots(0, 0, BUY) == 0 and desk.ledger.initial_e8(0, 0) == 0


@pytest.mark.parametrize("form", ["post_only", "reduce_only", "amend_priority", "amends_per_order"])
def test_a_form_that_is_none_is_refused(form: str) -> None:
    with pytest.raises(ValueError, match="order forms"):
        OrderForms(**{form: -1})
