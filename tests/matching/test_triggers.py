"""Conditional orders: held until a price is met, then ordinary (docs/fills.md, section 10)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.codes import (
    BUY,
    E12,
    EXPIRY_TIME,
    FLAG_CLOSE_POSITION,
    FLAG_REDUCE_ONLY,
    FOK,
    GAP,
    GTX,
    IOC,
    LIMIT,
    MARKET,
    POST_ONLY_CANCEL,
    SELL,
    TRIGGER_STOP,
    TRIGGER_TAKE_PROFIT,
    TRIGGER_TRAILING,
    WATCH_INDEX,
    WATCH_LAST,
    WATCH_MARK,
)
from matching.forms import OrderForms
from matching.triggers import Trigger, Triggers
from tests.matching.desk import Desk, Message, book, bought, depth, mark, snapshot, sold

ALL = (WATCH_LAST, WATCH_MARK, WATCH_INDEX)


def stop(ticks: int, watch: int = 0, **more: Any) -> Trigger:
    return Trigger(TRIGGER_STOP, ticks, watch, **more)


def profit(ticks: int, watch: int = 0) -> Trigger:
    return Trigger(TRIGGER_TAKE_PROFIT, ticks, watch)


def trailing(start: int, percent: int = 10, watch: int = 0) -> Trigger:
    return Trigger(TRIGGER_TRAILING, start, watch, callback_e12=percent * E12 // 100)


def desk_of(*messages: Message, deposit: int = 0, watches: tuple[int, ...] = ALL, **forms: Any) -> Desk:
    desk = Desk([book(), *messages, depth(500, {97: 1})], deposit=deposit, forms=OrderForms(watches=watches, **forms))
    desk.at(1)
    return desk


def held(desk: Desk, side: int, trigger: Trigger, lots: int = 3, **more: Any) -> int:
    """A market order held until its trigger."""
    return desk.market(side, lots, trigger=trigger, **more)


@pytest.mark.parametrize(
    ("side", "trigger", "short_of", "met"),
    [
        (BUY, stop(103), 102, 103),
        (SELL, stop(97), 98, 97),
        (BUY, profit(97), 98, 97),
        (SELL, profit(103), 102, 103),
        (BUY, stop(103), 102, 110),  # beyond it as well
    ],
)
def test_a_trigger_is_met_at_its_price_and_beyond(side: int, trigger: Trigger, short_of: int, met: int) -> None:
    desk = desk_of(bought(10, short_of, 1), bought(20, met, 1))
    number = held(desk, side, trigger)
    desk.at(15)
    assert desk.said(number) == ["HELD 3@0"] and desk.core.resting_orders() == []
    desk.at(25)
    price = 101 if side == BUY else 99
    assert desk.said(number) == ["HELD 3@0", "TRIGGERED 3@0", "ACCEPTED 3@0", f"FILLED 3@{price}"]


def test_stop_limit_enters_the_book_with_its_own_price() -> None:
    desk = desk_of(bought(10, 103, 1))
    number = desk.buy(100, 3, trigger=stop(103))
    desk.at(15)
    assert desk.said(number) == ["HELD 3@100", "TRIGGERED 3@100", "ACCEPTED 3@100"]
    assert desk.resting() == {number: 3}


@pytest.mark.parametrize("watch", ALL)
def test_only_the_watched_price_counts(watch: int) -> None:
    prices = {WATCH_LAST: bought(30, 103, 1), WATCH_MARK: mark(30, 103, 100), WATCH_INDEX: mark(30, 100, 103)}
    others = [message for other, message in prices.items() if other != watch]
    early = [(10 + k, *message[1:]) for k, message in enumerate(others)]
    desk = desk_of(*((ts * 10**6, *rest) for ts, *rest in early), prices[watch])  # type: ignore[misc]
    number = held(desk, BUY, stop(103, watch))
    desk.at(25)
    assert desk.said(number) == ["HELD 3@0"]
    desk.at(35)
    assert desk.said(number)[1] == "TRIGGERED 3@0"


def test_the_venues_default_is_watched_where_the_order_does_not_say() -> None:
    desk = desk_of(bought(10, 103, 1), mark(20, 103), watches=(WATCH_MARK, WATCH_LAST))
    number = held(desk, BUY, stop(103))
    desk.at(15)
    assert desk.said(number) == ["HELD 3@0"]
    desk.at(25)
    assert desk.said(number)[1] == "TRIGGERED 3@0"


def test_a_mark_between_two_ticks_is_met_exactly() -> None:
    half: Message = (10 * 10**6, 5, [], (102_50000000, 102_50000000, 0, 0))
    desk = desk_of(half, mark(20, 103))
    up, down = held(desk, BUY, stop(103, WATCH_MARK)), held(desk, BUY, profit(102, WATCH_MARK))
    desk.at(15)
    assert desk.said(up) == ["HELD 3@0"] and desk.said(down) == ["HELD 3@0"]
    desk.at(25)
    assert desk.said(up)[1] == "TRIGGERED 3@0" and desk.said(down) == ["HELD 3@0"]


def test_trailing_stop_waits_for_its_activation_then_follows_the_extreme() -> None:
    prices = [(10, 120), (20, 99), (30, 80), (40, 85), (50, 70), (60, 76), (70, 77)]
    desk = desk_of(*(sold(ms, ticks, 1) for ms, ticks in prices))
    number = held(desk, BUY, trailing(90))  # active at 80, then 70: fires at 77
    desk.at(65)
    assert desk.said(number) == ["HELD 3@0"]
    desk.at(75)
    assert desk.said(number)[1] == "TRIGGERED 3@0"


def test_trailing_stop_of_a_sell_without_activation_follows_from_the_first_price() -> None:
    prices = [(10, 100), (20, 110), (30, 100), (40, 99)]
    desk = desk_of(*(sold(ms, ticks, 1) for ms, ticks in prices))
    number = held(desk, SELL, trailing(0))
    desk.at(35)
    assert desk.said(number) == ["HELD 3@0"]
    desk.at(45)
    assert desk.said(number)[1] == "TRIGGERED 3@0"


def test_trailing_stop_by_an_absolute_offset() -> None:
    desk = desk_of(*(sold(ms, ticks, 1) for ms, ticks in [(10, 100), (20, 110), (30, 106), (40, 105)]))
    number = held(desk, SELL, Trigger(TRIGGER_TRAILING, 0, offset_ticks=5))
    desk.at(35)
    assert desk.said(number) == ["HELD 3@0"]
    desk.at(45)
    assert desk.said(number)[1] == "TRIGGERED 3@0"


def test_a_trigger_that_is_met_on_arrival_fires_or_is_refused() -> None:
    fired = ["HELD 3@0", "TRIGGERED 3@0", "ACCEPTED 3@0", "FILLED 3@101"]
    for rejects, said in ((False, fired), (True, ["REJECTED 3@0 TRIGGER"])):
        desk = desk_of(bought(5, 104, 1), trigger_at_once_rejects=rejects)
        desk.at(10)
        assert desk.said(held(desk, BUY, stop(103))) == said
    desk = desk_of(bought(5, 104, 1), trigger_at_once_rejects=True)
    desk.at(10)
    assert desk.said(held(desk, BUY, trailing(110))) == ["REJECTED 3@0 TRIGGER"]
    assert desk.said(held(desk, BUY, trailing(103))) == ["HELD 3@0"]


def test_triggers_of_one_price_fire_in_the_order_in_which_they_came() -> None:
    desk = desk_of(bought(10, 104, 1))
    second, first = held(desk, BUY, stop(103), lots=3), held(desk, BUY, stop(102), lots=5)
    desk.at(15)
    assert desk.said(second)[-1] == "FILLED 3@101"
    assert desk.said(first)[-2:] == ["FILLED 2@101", "FILLED 3@102"]


def test_held_orders_are_canceled_and_amended() -> None:
    desk = desk_of(bought(10, 103, 1), bought(20, 104, 1))
    canceled, moved, kept = (held(desk, BUY, stop(103)) for _ in range(3))
    desk.cancel(canceled)
    desk.amend(moved, 0, 2, trigger_ticks=104)
    desk.amend(kept, 0, 1)
    assert desk.said(canceled) == ["HELD 3@0", "CANCELED 3@0 USER"]
    desk.at(15)
    assert desk.said(moved) == ["HELD 3@0", "AMENDED 2@0"]
    assert desk.said(kept)[1:] == ["AMENDED 1@0", "TRIGGERED 1@0", "ACCEPTED 1@0", "FILLED 1@101"]
    desk.at(25)
    assert desk.said(moved)[-1] == "FILLED 2@101"


def test_held_orders_cannot_be_amended_where_the_venue_does_not() -> None:
    desk = desk_of(bought(10, 103, 1), amend_held=False)
    number = held(desk, BUY, stop(103))
    desk.amend(number, 0, 2)
    assert "AMEND_REJECTED UNSUPPORTED" in desk.said(number)
    desk.at(15)
    assert "FILLED 3@101" in desk.said(number)


def test_no_margin_is_held_before_the_trigger_and_it_is_checked_then() -> None:
    for rejects, said in ((True, "REJECTED"), (False, "EXPIRED")):
        desk = desk_of(bought(10, 103, 1), deposit=400, triggered_refusal_rejects=rejects)
        number = desk.buy(99, 5, trigger=stop(103))
        assert desk.said(number) == ["HELD 5@99"] and desk.ledger.initial_e8(0, 0) == 0
        desk.at(15)
        assert desk.said(number) == ["HELD 5@99", f"{said} 5@99 MARGIN"]


def test_what_refuses_a_triggered_order_in_the_book_closes_it() -> None:
    desk = desk_of(bought(10, 103, 1), post_only=POST_ONLY_CANCEL)
    number = desk.buy(102, 3, tif=GTX, trigger=stop(103))
    desk.at(15)
    assert desk.said(number)[1:] == ["TRIGGERED 3@102", "ACCEPTED 3@102", "EXPIRED 3@102 POST_ONLY"]
    desk = Desk(
        [book(), bought(10, 103, 1), depth(500, {97: 1})], forms=OrderForms(watches=ALL), fok_reject=True,
        post_only_reject=True,
    )  # fmt: skip
    desk.at(1)
    killed, taking = desk.buy(101, 9, tif=FOK, trigger=stop(103)), desk.buy(101, 1, tif=GTX, trigger=stop(103))
    desk.at(15)
    assert desk.said(killed)[1:] == ["TRIGGERED 9@101", "EXPIRED 9@101 FOK"]
    assert desk.said(taking)[1:] == ["TRIGGERED 1@101", "EXPIRED 1@101 POST_ONLY"]


def test_an_order_to_close_the_position_is_as_large_as_that_is_when_it_fires() -> None:
    desk = desk_of(sold(20, 95, 1), bought(30, 101, 1))
    number = held(desk, SELL, stop(95), lots=0, flags=FLAG_CLOSE_POSITION)
    again = held(desk, SELL, stop(95), lots=0, flags=FLAG_CLOSE_POSITION)
    desk.market(BUY, 4)
    desk.at(25)
    assert desk.said(number) == ["HELD", "TRIGGERED 4@0", "ACCEPTED 4@0", "FILLED 4@99"]
    assert desk.position() == 0 and desk.said(again) == ["HELD", "EXPIRED 1@0 REDUCE_ONLY"]
    assert desk.said(desk.market(SELL, 0, flags=FLAG_CLOSE_POSITION))[-1] == "REJECTED 1@0 REDUCE_ONLY"
    desk.market(BUY, 1)
    assert desk.said(desk.market(SELL, 0, flags=FLAG_CLOSE_POSITION))[-1] == "FILLED 1@99"


def test_price_protection_waits_until_trade_and_mark_are_near() -> None:
    desk = desk_of(mark(5, 100), bought(10, 120, 1), mark(20, 118), bought(30, 120, 1), trigger_protect_e12=E12 // 20)
    guarded, plain = held(desk, BUY, stop(103, protect=True), lots=1), held(desk, BUY, stop(103), lots=1)
    desk.at(25)
    assert desk.said(guarded) == ["HELD 1@0"] and desk.said(plain)[1] == "TRIGGERED 1@0"
    desk.at(35)
    assert desk.said(guarded)[1] == "TRIGGERED 1@0"
    desk = desk_of()
    assert desk.said(held(desk, BUY, stop(103, protect=True))) == ["REJECTED 3@0 UNSUPPORTED"]


def test_a_trigger_met_while_the_book_is_stale_fires_when_it_is_known_again() -> None:
    gap: Message = (5 * 10**6, GAP, [], (1, 0, 0, 0))
    desk = desk_of(gap, bought(10, 103, 1), snapshot(20, {99: 5}, {104: 5}), bought(30, 100, 1))
    number = held(desk, BUY, stop(103))
    desk.at(25)
    assert desk.said(number) == ["HELD 3@0"]
    desk.at(35)
    assert desk.said(number)[-1] == "FILLED 3@104"


def test_held_orders_go_with_a_liquidation_and_with_their_time() -> None:
    desk = desk_of(mark(10, 1), deposit=100)
    desk.ledger.set_leverage(0, 0, 10)
    desk.market(BUY, 2)
    number = held(desk, SELL, stop(50, WATCH_MARK), flags=FLAG_REDUCE_ONLY)
    desk.at(15)
    assert desk.said(number) == ["HELD 3@0", "EXPIRED 3@0 LIQUIDATION"]
    desk = desk_of(expiry=EXPIRY_TIME)
    number = held(desk, SELL, stop(50), until_ms=20)
    desk.at(30)
    assert desk.said(number) == ["HELD 3@0", "EXPIRED 3@0 EXPIRED"]


@pytest.mark.parametrize(
    ("trigger", "forms", "reason"),
    [
        (stop(103), {"watches": ()}, "UNSUPPORTED"),
        (stop(103, WATCH_INDEX), {"watches": (WATCH_LAST,)}, "UNSUPPORTED"),
        (profit(90), {"trigger_kinds": (TRIGGER_STOP,)}, "UNSUPPORTED"),
        (trailing(0, 10), {"callback_max_e12": E12 // 20}, "TRIGGER"),
        (trailing(0, 1), {"callback_min_e12": E12 // 20}, "TRIGGER"),
    ],
)
def test_what_a_venue_does_not_have_is_refused(trigger: Trigger, forms: dict[str, Any], reason: str) -> None:
    desk = desk_of(**forms)
    assert desk.said(held(desk, BUY, trigger)) == [f"REJECTED 3@0 {reason}"]


def test_form_of_held_orders_is_checked_on_arrival() -> None:
    desk = desk_of()
    assert desk.said(desk.buy(0, 3, trigger=stop(103))) == ["REJECTED 3@0 PRICE_BAND"]
    assert desk.said(held(desk, BUY, stop(103), lots=1 << 33)) == [f"REJECTED {1 << 33}@0 LOT_SIZE"]


@pytest.mark.parametrize(
    "arguments",
    [
        (9, 100), (TRIGGER_STOP, 0), (TRIGGER_STOP, -1), (TRIGGER_STOP, 100, 7), (TRIGGER_STOP, 100, 0, 5),
        (TRIGGER_TRAILING, 0), (TRIGGER_TRAILING, 0, 0, 5, 5), (TRIGGER_TRAILING, 0, 0, E12),
        (TRIGGER_TRAILING, -5, 0, 1),
    ],
)  # fmt: skip
def test_triggers_that_are_none(arguments: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="trigger"):
        Trigger(*arguments)
    with pytest.raises(TypeError, match="Trigger"):
        Desk([book()]).buy(99, 1, trigger="stop")  # type: ignore[arg-type]


triggers = st.builds(
    lambda kind, ticks, percent: (
        Trigger(kind, ticks, WATCH_LAST, callback_e12=percent * E12 // 100 if kind == TRIGGER_TRAILING else 0)
    ),
    st.sampled_from([TRIGGER_STOP, TRIGGER_TAKE_PROFIT, TRIGGER_TRAILING]), st.integers(90, 110), st.integers(1, 8),
)  # fmt: skip


@given(
    st.lists(st.tuples(st.sampled_from([BUY, SELL]), triggers), min_size=1, max_size=6),
    st.lists(st.integers(85, 115), max_size=30),
)
def test_the_window_hides_no_price_at_which_an_order_fires(
    orders: list[tuple[int, Trigger]], prices: list[int]
) -> None:
    """Asking only outside the window gives what asking at every price gives."""
    asked, always = Triggers((1, 1)), Triggers((1, 1))
    for slot, (side, trigger) in enumerate(orders):
        assert asked.add(slot, 0, side, trigger, 0) == always.add(slot, 0, side, trigger, 0)
    for price in prices:
        outside = price <= asked.low[WATCH_LAST] or price >= asked.high[WATCH_LAST]
        found = asked.met(WATCH_LAST, price, True, True) if outside else []
        assert found == always.met(WATCH_LAST, price, True, True)
        for slot in found:
            asked.remove(slot)
            always.remove(slot)


@given(
    st.lists(
        st.tuples(st.sampled_from([BUY, SELL]), triggers, st.sampled_from([LIMIT, MARKET]), st.integers(95, 105),
                  st.integers(1, 6), st.booleans()),
        max_size=8,
    ),
    st.lists(st.tuples(st.booleans(), st.integers(88, 112), st.integers(1, 5)), max_size=20),
)  # fmt: skip
def test_conditional_orders_keep_to_their_price_size_and_trigger(
    orders: list[tuple[int, Trigger, int, int, int, bool]], prints: list[tuple[bool, int, int]]
) -> None:
    messages = [
        sold(5 * k + 5, ticks, lots) if down else bought(5 * k + 5, ticks, lots)
        for k, (down, ticks, lots) in enumerate(prints)
    ]
    desk = desk_of(*messages)
    numbers = {}
    for k, (side, trigger, kind, ticks, lots, reduces) in enumerate(orders):
        desk.at(7 * k + 1)
        price = ticks if kind == LIMIT else 0
        flags = FLAG_REDUCE_ONLY if reduces else 0
        number = desk.send(side, price, lots, IOC if kind == MARKET else 0, kind, flags, trigger=trigger)
        numbers[number] = (side, price, lots)
    desk.end()
    for number, (side, price, lots) in numbers.items():
        rows = [row for row in desk.core.canonical_log() if row[2] == number]
        fills = [row for row in rows if row[4] == 3]
        assert rows[0][4] == 10  # held first
        assert sum(row[8] for row in fills) <= lots
        assert not fills or any(row[4] == 9 for row in rows)
        assert all(price == 0 or (row[7] <= price if side == BUY else row[7] >= price) for row in fills)
