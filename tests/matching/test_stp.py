"""Self-trade prevention: what becomes of two orders of one account that would meet (docs/fills.md, section 8)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.codes import (
    BUY,
    FOK,
    GTC,
    GTX,
    IOC,
    SELL,
    STP_CANCEL_BOTH,
    STP_CANCEL_MAKER,
    STP_CANCEL_TAKER,
    STP_NONE,
    STP_REJECT_TAKER,
)
from matching.forms import OrderForms
from tests.matching.desk import Desk, book, depth, sold

TAKER, MAKER, BOTH = (OrderForms(stp=mode) for mode in (STP_CANCEL_TAKER, STP_CANCEL_MAKER, STP_CANCEL_BOTH))
REJECT = OrderForms(stp=STP_REJECT_TAKER)
BINANCE = OrderForms(
    stp=STP_CANCEL_MAKER, stp_modes=(STP_NONE, STP_CANCEL_TAKER, STP_CANCEL_MAKER, STP_CANCEL_BOTH),
    stp_exempt=(FOK, GTX), stp_lost_by_amend=True,
)  # fmt: skip


def desk_with_own_ask(forms: OrderForms, ticks: int = 101, **more: int) -> tuple[Desk, int]:
    """Asks of others 101 x 5 and 102 x 5, and one of ours of 4 lots behind them."""
    desk = Desk([book(), depth(50, {97: 1})], forms=forms)
    desk.at(1)
    return desk, desk.sell(ticks, 4, **more)


def test_without_prevention_own_orders_pass_each_other() -> None:
    desk, own = desk_with_own_ask(OrderForms())
    taker = desk.buy(101, 7)
    assert desk.said(taker) == ["ACCEPTED 7@101", "FILLED 5@101"]
    assert desk.resting() == {own: 4, taker: 2}


def test_cancel_maker_takes_who_stands_before_then_the_rest_of_the_book() -> None:
    desk, own = desk_with_own_ask(MAKER)
    taker = desk.buy(102, 8)
    assert desk.said(taker) == ["ACCEPTED 8@102", "FILLED 5@101", "FILLED 3@102"]
    assert desk.said(own) == ["ACCEPTED 4@101", "EXPIRED 4@101 STP"]


def test_an_order_that_is_filled_before_it_comes_to_its_own_leaves_it_alone() -> None:
    desk, own = desk_with_own_ask(MAKER)
    assert desk.said(desk.buy(102, 5)) == ["ACCEPTED 5@102", "FILLED 5@101"]
    assert desk.resting() == {own: 4}


def test_cancel_taker_expires_what_is_left_when_it_comes_to_its_own() -> None:
    desk, own = desk_with_own_ask(TAKER)
    assert desk.said(desk.buy(102, 8)) == ["ACCEPTED 8@102", "FILLED 5@101", "EXPIRED 3@102 STP"]
    assert desk.resting() == {own: 4}


def test_cancel_both() -> None:
    desk, own = desk_with_own_ask(BOTH)
    assert desk.said(desk.buy(102, 8)) == ["ACCEPTED 8@102", "FILLED 5@101", "EXPIRED 3@102 STP"]
    assert desk.said(own)[-1] == "EXPIRED 4@101 STP" and desk.resting() == {}


def test_reject_taker_refuses_before_anything_is_taken() -> None:
    desk, own = desk_with_own_ask(REJECT)
    assert desk.said(desk.buy(102, 8)) == ["REJECTED 8@102 STP"]
    assert desk.said(desk.buy(102, 5)) == ["ACCEPTED 5@102", "FILLED 5@101"]  # would not come to it
    assert desk.resting() == {own: 4}


def test_an_own_order_inside_the_spread_comes_first() -> None:
    desk, own = desk_with_own_ask(TAKER, ticks=100)
    assert desk.said(desk.buy(101, 2)) == ["ACCEPTED 2@101", "EXPIRED 2@101 STP"]
    desk, own = desk_with_own_ask(MAKER, ticks=100)
    assert desk.said(desk.buy(100, 2)) == ["ACCEPTED 2@100"]  # nobody else is there: it rests
    assert desk.said(own)[-1] == "EXPIRED 4@100 STP"


def test_what_was_taken_of_a_level_no_longer_stands_before_an_own_order() -> None:
    desk, _own = desk_with_own_ask(TAKER)
    assert desk.said(desk.buy(101, 3)) == ["ACCEPTED 3@101", "FILLED 3@101"]
    assert desk.said(desk.buy(101, 3)) == ["ACCEPTED 3@101", "FILLED 2@101", "EXPIRED 1@101 STP"]
    assert desk.said(desk.buy(101, 3)) == ["ACCEPTED 3@101", "EXPIRED 3@101 STP"]


def test_an_own_order_stands_before_those_who_came_after_it() -> None:
    desk = Desk([book(), depth(10, asks={101: 9}), depth(50, {97: 1})], forms=TAKER)
    desk.at(1)
    desk.sell(101, 4)
    desk.at(15)
    assert desk.said(desk.buy(102, 8)) == ["ACCEPTED 8@102", "FILLED 5@101", "EXPIRED 3@102 STP"]


def test_several_own_orders_go_by_price_and_time() -> None:
    desk, first = desk_with_own_ask(MAKER)
    second, third = desk.sell(101, 1), desk.sell(102, 1)
    assert desk.said(desk.buy(102, 20)) == ["ACCEPTED 20@102", "FILLED 5@101", "FILLED 5@102"]
    assert [desk.said(own)[-1].split()[0] for own in (first, second, third)] == ["EXPIRED"] * 3


def test_post_only_counts_own_orders_as_taking() -> None:
    for forms in (MAKER, BINANCE):
        desk, own = desk_with_own_ask(forms, ticks=100)
        assert desk.said(desk.buy(100, 1, tif=GTX)) == ["EXPIRED 1@100 POST_ONLY"]
        assert desk.resting() == {own: 4}


def test_fill_or_kill_is_killed_by_an_own_order_unless_that_one_goes() -> None:
    for forms, answer in ((TAKER, "REJECTED 8@102 STP"), (BOTH, "REJECTED 8@102 STP")):
        desk, own = desk_with_own_ask(forms)
        assert desk.said(desk.buy(102, 8, tif=FOK)) == [answer] and desk.resting() == {own: 4}
    desk, own = desk_with_own_ask(MAKER)
    assert desk.said(desk.buy(102, 8, tif=FOK))[1:] == ["FILLED 5@101", "FILLED 3@102"] and desk.resting() == {}
    desk, own = desk_with_own_ask(BINANCE)
    assert desk.said(desk.buy(102, 8, tif=FOK))[1:] == ["FILLED 5@101", "FILLED 3@102"] and desk.resting() == {own: 4}


def test_an_order_names_its_own_mode_where_the_takers_decides() -> None:
    desk, own = desk_with_own_ask(BINANCE, stp=STP_CANCEL_TAKER)  # what a resting order said is void
    assert desk.said(desk.buy(101, 6, tif=IOC, stp=STP_CANCEL_TAKER))[-1] == "EXPIRED 1@101 STP"
    assert desk.said(desk.buy(101, 1, tif=IOC, stp=STP_NONE))[-1] == "EXPIRED 1@101 IOC_REMAINDER"
    assert desk.resting() == {own: 4}
    assert desk.said(desk.buy(101, 1))[0] == "ACCEPTED 1@101" and own not in desk.resting()


def test_an_order_cannot_name_a_mode_where_the_account_decides() -> None:
    desk, _ = desk_with_own_ask(REJECT)
    assert desk.said(desk.buy(99, 1, stp=STP_CANCEL_MAKER)) == ["REJECTED 1@99 UNSUPPORTED"]


def test_an_amended_order_takes_with_its_prevention_unless_the_venue_drops_it() -> None:
    for forms, rests in ((MAKER, False), (BINANCE, True)):
        desk, own = desk_with_own_ask(forms, ticks=100)
        bid = desk.buy(99, 1)
        desk.amend(bid, 100, 1)
        assert (own in desk.resting()) == rests
    desk, own = desk_with_own_ask(REJECT, ticks=100)
    bid = desk.buy(99, 1)
    desk.amend(bid, 100, 1)
    assert desk.said(bid)[-1] == "AMEND_REJECTED STP" and desk.resting() == {own: 4, bid: 1}


def test_lanes_do_not_prevent_each_other() -> None:
    desk = Desk([book(), depth(50, {97: 1})], lanes=2, forms=BOTH)
    desk.at(1)
    desk.sell(100, 4)
    assert desk.said(desk.buy(100, 2, lane=1), 1) == ["ACCEPTED 2@100"]
    assert desk.resting() == {1: 4} and desk.resting(1) == {1: 2}


def test_margin_of_a_prevented_order_is_given_back() -> None:
    desk = Desk([book(), depth(50, {97: 1})], deposit=10_000, forms=MAKER)
    desk.at(1)
    desk.sell(101, 4)
    assert desk.ledger.open_lots(0, 0, SELL) == 4 and desk.ledger.initial_e8(0, 0) > 0
    desk.buy(101, 9, tif=IOC)
    desk.market(SELL, 5)
    assert desk.position() == 0 and desk.resting() == {}
    assert desk.ledger.open_lots(0, 0, SELL) == 0 and desk.ledger.initial_e8(0, 0) == 0


@pytest.mark.parametrize("stp", [-1, 5])
def test_a_mode_that_is_none_is_refused(stp: int) -> None:
    with pytest.raises(ValueError, match="no such self-trade prevention"):
        OrderForms(stp=stp)
    desk = Desk([book()], forms=BINANCE)
    with pytest.raises(ValueError, match="no such self-trade prevention"):
        desk.buy(99, 1, stp=stp)


orders = st.tuples(
    st.sampled_from([BUY, SELL]), st.integers(96, 104), st.integers(1, 8), st.sampled_from([GTC, IOC, FOK, GTX])
)


@given(
    st.sampled_from([TAKER, MAKER, BOTH, REJECT]),
    st.lists(orders, min_size=2, max_size=12),
    st.lists(st.tuples(st.integers(96, 104), st.integers(1, 6)), max_size=4),
)
def test_an_account_never_stands_on_both_sides_of_a_price(
    forms: OrderForms, flow: list[tuple[int, int, int, int]], prints: list[tuple[int, int]]
) -> None:
    """No own orders cross, none executes beyond its size or price, and a taker stops at its own orders' prices."""
    messages = [book(), *(sold(10 * k + 5, ticks, lots) for k, (ticks, lots) in enumerate(prints)), depth(500, {97: 1})]
    desk = Desk(messages, forms=forms)
    sent = {}
    for k, (side, ticks, lots, tif) in enumerate(flow):
        desk.at(10 * k + 1)
        against = [row[4] for row in desk.core.resting_orders() if row[3] != side]
        number = desk.send(side, ticks, lots, tif=tif)
        sent[number] = (side, ticks, lots)
        fills = [row for row in desk.core.canonical_log() if row[2] == number and row[4] == 3]
        kept = [row[4] for row in desk.core.resting_orders() if row[3] != side and row[4] in against]
        for fill in fills:  # nothing was taken behind an own order that stayed
            assert all(fill[7] <= own if side == BUY else fill[7] >= own for own in kept)
        resting = desk.core.resting_orders()
        bids, asks = [row[4] for row in resting if row[3] == BUY], [row[4] for row in resting if row[3] == SELL]
        assert not bids or not asks or max(bids) < min(asks)
    desk.end()
    for number, (side, ticks, lots) in sent.items():
        fills = [row for row in desk.core.canonical_log() if row[2] == number and row[4] == 3]
        assert sum(fill[8] for fill in fills) <= lots
        assert all(fill[7] <= ticks if side == BUY else fill[7] >= ticks for fill in fills)
