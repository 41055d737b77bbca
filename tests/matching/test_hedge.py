"""Hedge mode: a long and a short position in one market, each with its own orders (docs/fills.md, section 13)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.codes import (
    BUY,
    FLAG_CLOSE_POSITION,
    FLAG_LONG_LEG,
    FLAG_REDUCE_ONLY,
    FLAG_SHORT_LEG,
    GTC,
    IOC,
    REDUCE_REJECT,
    REDUCE_RESIZE,
    REDUCE_SHRINK,
    SELL,
    TRIGGER_STOP,
)
from matching.forms import OrderForms
from matching.triggers import Trigger
from tests.matching.desk import E8, MS, Desk, Message, book, bought, depth, mark, sold

LONG, SHORT = FLAG_LONG_LEG, FLAG_SHORT_LEG


def desk_of(*messages: Message, deposit: int = 0, reduce_only: int = REDUCE_SHRINK) -> Desk:
    forms = OrderForms(hedge=True, reduce_only=reduce_only, watches=(1, 2))
    desk = Desk([book(), *messages, depth(500, {97: 1})], deposit=deposit, hedge=True, forms=forms)
    desk.at(1)
    return desk


def legs(desk: Desk) -> tuple[int, int]:
    return desk.position(market=0), desk.position(market=1)


def test_each_leg_has_a_position_of_its_own() -> None:
    desk = desk_of()
    desk.market(BUY, 3, flags=LONG)
    desk.market(SELL, 2, flags=SHORT)
    assert legs(desk) == (3, -2)
    desk.market(BUY, 1, flags=SHORT)
    desk.market(SELL, 1, flags=LONG)
    assert legs(desk) == (2, -1)


def test_an_order_that_closes_a_leg_only_reduces_it() -> None:
    desk = desk_of()
    desk.market(BUY, 3, flags=LONG)
    assert desk.said(desk.market(SELL, 5, flags=LONG)) == ["ACCEPTED 3@0", "FILLED 3@99"]
    assert desk.said(desk.market(SELL, 1, flags=LONG)) == ["REJECTED 1@0 REDUCE_ONLY"]
    assert desk.said(desk.market(BUY, 1, flags=SHORT)) == ["REJECTED 1@0 REDUCE_ONLY"]
    desk = desk_of(reduce_only=REDUCE_REJECT)
    desk.market(BUY, 3, flags=LONG)
    assert desk.said(desk.market(SELL, 5, flags=LONG)) == ["REJECTED 5@0 REDUCE_ONLY"]


def test_resting_orders_follow_their_own_leg() -> None:
    desk = desk_of(sold(20, 95, 20), bought(30, 105, 20), reduce_only=REDUCE_RESIZE)
    desk.market(BUY, 3, flags=LONG)
    desk.market(SELL, 3, flags=SHORT)
    closing, covering = desk.sell(104, 3, flags=LONG), desk.buy(96, 3, flags=SHORT)
    desk.market(SELL, 2, flags=LONG)
    assert desk.resting() == {closing: 1, covering: 3}
    desk.end()
    assert legs(desk) == (0, 0) and desk.resting() == {}
    assert desk.said(closing)[-1] == "FILLED 1@104" and desk.said(covering)[-1] == "FILLED 3@96"


@pytest.mark.parametrize("flags", [0, LONG | SHORT, LONG | FLAG_REDUCE_ONLY, LONG | FLAG_CLOSE_POSITION])
def test_flags_that_contradict_the_mode_are_refused(flags: int) -> None:
    desk = desk_of()
    assert desk.said(desk.buy(99, 1, flags=flags))[-1] == "REJECTED 1@99 POSITION_SIDE"
    one_way = Desk([book(), depth(500, {97: 1})])
    one_way.at(1)
    assert one_way.said(one_way.buy(99, 1, flags=LONG)) == ["REJECTED 1@99 POSITION_SIDE"]


def test_a_stop_closes_its_leg_whole() -> None:
    desk = desk_of(bought(20, 103, 1))
    desk.market(SELL, 3, flags=SHORT)
    desk.market(BUY, 1, flags=LONG)
    stop = desk.market(BUY, 0, flags=SHORT | FLAG_CLOSE_POSITION, trigger=Trigger(TRIGGER_STOP, 103))
    desk.at(30)
    assert desk.said(stop)[-1] == "FILLED 3@101" and legs(desk) == (1, 0)


def test_margin_is_reserved_for_each_leg() -> None:
    desk = desk_of(deposit=10_000)
    bid, ask = desk.buy(99, 4, flags=LONG), desk.sell(102, 4, flags=SHORT)
    ledger = desk.ledger
    assert (ledger.open_lots(0, 0, BUY), ledger.open_lots(0, 1, SELL)) == (4, 4)
    desk.cancel(bid)
    desk.cancel(ask)
    assert ledger.initial_e8(0, 0) == 0


def test_both_legs_are_marked_and_pay_funding() -> None:
    desk = Desk(
        [book(), mark(10, 110), depth(500, {97: 1})], hedge=True, deposit=10_000, forms=OrderForms(hedge=True),
    )  # fmt: skip
    desk.at(1)
    desk.market(BUY, 3, flags=LONG)
    desk.market(SELL, 2, flags=SHORT)
    desk.at(15)
    assert desk.ledger.unrealized_e8(0, 0) == 3 * 9 * E8 and desk.ledger.unrealized_e8(0, 1) == -2 * 11 * E8
    desk.core.charge(0, 10**10, 110 * E8, 15 * MS, 15 * MS)  # 1 %
    log = desk.core.drain_log(True)
    paid = [
        (market, lots, fee, after)
        for event, market, lots, fee, after in zip(
            *(log[name].tolist() for name in ("event", "market", "lots", "fee_e8", "position_lots")), strict=True
        )
        if event == 20
    ]
    assert paid == [(0, 3, -330_000_000, 3), (0, -2, 220_000_000, -2)]


def test_funding_is_charged_on_the_legs_held_at_the_boundary() -> None:
    boundary: Message = (10 * MS, 5, [], (100 * E8, 100 * E8, 10**10, 20 * MS))
    after: Message = (30 * MS, 5, [], (100 * E8, 100 * E8, 0, 90 * MS))
    desk = Desk(
        [book(), boundary, after, depth(50, {97: 1})], hedge=True, forms=OrderForms(hedge=True),
        funding_from_marks=True,
    )  # fmt: skip
    desk.at(11)
    desk.market(BUY, 3, flags=LONG)
    desk.market(SELL, 2, flags=SHORT)
    desk.at(25)
    desk.market(SELL, 3, flags=LONG)
    desk.at(35)
    assert desk.ledger.funding_e8(0, 0) == -3 * E8 + 2 * E8


def test_liquidation_closes_both_legs() -> None:
    desk = desk_of(depth(15, {99: 0, 98: 0}, {101: 0, 102: 0}), mark(20, 60), deposit=100)
    for leg in (0, 1):
        desk.ledger.set_leverage(0, leg, 20)
    desk.market(BUY, 4, flags=LONG)
    desk.market(SELL, 1, flags=SHORT)
    desk.at(30)
    assert legs(desk) == (0, 0)
    log = desk.core.drain_log(True)
    assert set(log["market"].tolist()) == {0}
    forced = [
        (side, lots, after)
        for number, side, lots, after in zip(
            *(log[name].tolist() for name in ("order_no", "side", "lots", "position_lots")), strict=True
        )
        if number <= 0
    ]
    assert (SELL, 4, 0) in forced and (BUY, 1, 0) in forced


def test_a_ledger_without_room_for_the_short_legs_is_refused() -> None:
    with pytest.raises(ValueError, match="hedge mode"):
        Desk([book()], forms=OrderForms(hedge=True))


@pytest.mark.parametrize("form", [REDUCE_SHRINK, REDUCE_REJECT, REDUCE_RESIZE])
@given(
    st.lists(
        st.tuples(st.sampled_from([BUY, SELL]), st.integers(96, 104), st.integers(1, 6), st.booleans(),
                  st.sampled_from([LONG, SHORT])),
        min_size=2, max_size=12,
    ),
    st.lists(st.tuples(st.booleans(), st.integers(96, 104), st.integers(1, 6)), max_size=6),
)  # fmt: skip
def test_a_leg_never_changes_its_direction(
    form: int, flow: list[tuple[int, int, int, bool, int]], prints: list[tuple[bool, int, int]]
) -> None:
    messages = [
        sold(10 * k + 5, ticks, lots) if down else bought(10 * k + 5, ticks, lots)
        for k, (down, ticks, lots) in enumerate(prints)
    ]
    desk = desk_of(*messages, reduce_only=form)
    for k, (side, ticks, lots, now, leg) in enumerate(flow):
        desk.at(10 * k + 2)
        desk.send(side, ticks, lots, IOC if now else GTC, flags=leg)
        assert desk.position(market=0) >= 0 >= desk.position(market=1)
    desk.end()
    assert desk.position(market=0) >= 0 >= desk.position(market=1)
