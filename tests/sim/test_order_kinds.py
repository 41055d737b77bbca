"""Stops, good-till orders, self-trade prevention, legs and the like as a strategy asks for them."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from matching.codes import (
    BUY,
    E12,
    FLAG_LONG_LEG,
    GTD,
    GTX,
    IOC,
    MARKET,
    R_EXPIRED,
    R_POSITION_SIDE,
    R_STP,
    R_TRIGGER,
    R_UNSUPPORTED,
    R_USER,
    SELL,
    TRIGGER_STOP,
    TRIGGER_TRAILING,
    WATCH_MARK,
)
from matching.triggers import Trigger
from sim.requests import trigger_of
from sim.rules import order_forms, stp_mode
from sim.strategy import Order
from tests.sim.markets import MS, T0, S, Tape, run
from tests.sim.test_strategy import Listener, Script, quiet
from venues import card, card_names
from venues.errors import InputError

NEUTRAL = {"name": "neutral", "latency": "10ms", "fees": {"maker": "0", "taker": "0"}}


def venue(name: str, **more: Any) -> dict[str, Any]:
    """A venue of the run without fees, funding and margin."""
    one = {"symbol": "BTCUSDT", "mark": "mid", "funding": "none", "margin": "none"}
    one |= {"base": "BTC", "quote": "USDT", "settle": "USDT", "tick_size": "0.1", "lot_size": "0.001"}  # no filters
    return {"venue": [NEUTRAL | {"name": name} | more], "instrument": [one]}


Steps = Callable[[Script], None]


def play(tmp_path: Path, tape: Tape, setup: dict[str, Any] | None = None, **steps: Steps) -> Listener:
    strategy = Listener(**steps)
    run(strategy, tape, tmp_path, **(setup or {}))
    return strategy


def kinds(me: Listener, order: Order) -> list[str]:
    from venues import lifecycle

    return [lifecycle.event_name(kind) for _, number, kind, _ in me.seen if number == order.number]


def test_a_stop_as_polled_and_as_told(tmp_path: Path) -> None:
    def send(me: Script) -> None:
        me.orders["stop"] = me.ctx.market(0, SELL, 5, trigger="stop", trigger_ticks=995)
        me.orders["later"] = me.ctx.market(0, SELL, 5, trigger="stop", trigger_ticks=900)
        assert me.orders["stop"].trigger == Trigger(TRIGGER_STOP, 995) and me.orders["stop"].type == MARKET

    def held(me: Script) -> None:
        stop = me.orders["stop"]
        assert (stop.status_name, stop.is_open, stop.is_cancelable) == ("HELD", False, True)
        assert stop.acked_venue_ns == T0 + 110 * MS and len(me.ctx.orders()) == 2

    def cancel(me: Script) -> None:
        assert me.ctx.cancel(me.orders["later"])

    strategy = play(tmp_path, quiet().trade(S, SELL, 995, 1), m100=send, m150=held, m1500=cancel)
    stop, later = strategy.orders["stop"], strategy.orders["later"]
    assert kinds(strategy, stop) == ["Held", "Triggered", "Accepted", "Filled"]
    assert stop.filled_lots == 5 and strategy.ctx.position(0) == -5
    assert kinds(strategy, later) == ["Held", "Canceled"] and later.reason == R_USER


def test_a_held_order_is_moved(tmp_path: Path) -> None:
    def send(me: Script) -> None:
        me.orders["stop"] = me.ctx.market(0, SELL, 5, trigger="stop", trigger_ticks=995)

    def move(me: Script) -> None:
        assert me.ctx.amend(me.orders["stop"], 0, 4, trigger_ticks=990)
        with pytest.raises(ValueError, match="trigger_ticks"):
            me.ctx.amend(me.ctx.submit(0, BUY, 990, 1), 990, 2, trigger_ticks=5)

    def check(me: Script) -> None:
        stop = me.orders["stop"]
        assert stop.trigger is not None and stop.trigger.ticks == 990 and stop.lots == 4

    tape = quiet().trade(S, SELL, 995, 1).trade(1500 * MS, SELL, 990, 1)
    strategy = play(tmp_path, tape, m100=send, m200=move, m300=check)
    assert kinds(strategy, strategy.orders["stop"]) == ["Held", "Amended", "Triggered", "Accepted", "Filled"]
    assert strategy.ctx.position(0) == -4


def test_a_move_that_the_venue_refuses_leaves_the_trigger(tmp_path: Path) -> None:
    def send(me: Script) -> None:
        me.orders["stop"] = me.ctx.market(0, SELL, 5, trigger="stop", trigger_ticks=995)

    def move(me: Script) -> None:
        me.ctx.amend(me.orders["stop"], 0, 4, trigger_ticks=990)

    strategy = play(tmp_path, quiet(), venue("binance_usdm"), m100=send, m200=move)
    stop = strategy.orders["stop"]
    assert stop.trigger == Trigger(TRIGGER_STOP, 995) and stop.lots == 5 and stop.pending == 0
    assert strategy.seen[-1][3] == R_UNSUPPORTED


def test_good_till_a_time(tmp_path: Path) -> None:
    def send(me: Script) -> None:
        me.orders["bid"] = me.ctx.submit(0, BUY, 990, 1, GTD, expires_ns=T0 + S)
        me.orders["maker"] = me.ctx.submit(0, BUY, 990, 1, GTX, expires_ns=T0 + S)

    strategy = play(tmp_path, quiet(), m100=send)
    for order in strategy.orders.values():
        assert order.reason == R_EXPIRED and order.expires_ns == T0 + S and order.closed_ns == T0 + S + 10 * MS


def test_self_trade_prevention_by_order_by_account_and_by_card(tmp_path: Path) -> None:
    def send(me: Script) -> None:
        me.orders["ask"] = me.ctx.submit(0, SELL, 1001, 3)

    def take(me: Script) -> None:
        me.orders["bid"] = me.ctx.submit(0, BUY, 1002, 70, IOC, stp=me.mode)

    def outcome(mode: str | None, setup: dict[str, Any]) -> tuple[int, int]:
        strategy = Listener(m100=send, m200=take)
        strategy.mode = mode
        run(strategy, quiet(), tmp_path / f"{mode}{len(list(tmp_path.iterdir()))}", **setup)
        return strategy.orders["ask"].reason, strategy.orders["bid"].reason

    assert outcome(None, venue("binance_usdm"))[0] == R_STP  # its default: the resting order goes
    assert outcome("cancel_taker", venue("binance_usdm"))[1] == R_STP
    assert outcome(None, venue("binance_usdm", stp="EXPIRE_TAKER"))[1] == R_STP
    assert outcome(None, venue("binance_usdm", stp="cancel_both")) == (R_STP, R_STP)
    assert R_STP not in outcome(None, {})
    assert outcome("cancel_maker", {})[1] == R_UNSUPPORTED
    with pytest.raises(InputError, match="has EXPIRE_TAKER"):
        outcome(None, venue("binance_usdm", stp="sometimes"))
    with pytest.raises(InputError, match="no self-trade prevention"):
        outcome(None, {"venue": [NEUTRAL | {"stp": "cancel_maker"}]})


def test_hedge_mode_has_two_positions(tmp_path: Path) -> None:
    def send(me: Script) -> None:
        me.orders["long"] = me.ctx.market(0, BUY, 5, position_side="long")
        me.orders["short"] = me.ctx.market(0, SELL, 3, position_side="short")
        me.orders["none"] = me.ctx.market(0, SELL, 3)

    def close(me: Script) -> None:
        assert (me.ctx.position(0), me.ctx.position(0, "long"), me.ctx.position(0, leg="short")) == (2, 5, -3)
        me.orders["cover"] = me.ctx.market(0, BUY, 0, position_side="short", close_position=True)
        me.orders["stop"] = me.ctx.market(
            0, SELL, 0, position_side="long", close_position=True, trigger="stop", trigger_ticks=995
        )

    strategy = play(tmp_path, quiet().trade(S, SELL, 995, 1), venue("binance_usdm", hedge=True), m100=send, m200=close)
    assert strategy.orders["none"].reason == R_POSITION_SIDE
    assert strategy.orders["long"].position_side == "long" and strategy.orders["long"].leg == FLAG_LONG_LEG
    assert strategy.orders["cover"].lots == 3 and strategy.orders["stop"].lots == 5
    assert (strategy.ctx.position(0, "long"), strategy.ctx.position(0, "short")) == (0, 0)
    with pytest.raises(ValueError, match="position_side 'both'"):
        strategy.ctx.position(0, "both")


def test_hedge_mode_is_refused_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no hedge mode"):
        play(tmp_path, quiet(), venue("hyperliquid", hedge=True))


def test_two_instruments_of_a_hedged_account_keep_their_legs_apart(tmp_path: Path) -> None:
    def send(me: Script) -> None:
        for i in (0, 1):
            me.ctx.market(i, SELL, 2 + i, position_side="short")
            me.ctx.market(i, BUY, 4 + i, position_side="long")

    strategy = Script(m100=send)
    grids = {"tick_size": "0.1", "lot_size": "0.001", "mark": "mid", "funding": "none", "margin": "none"}
    ones = [{"symbol": name, **grids} for name in ("BTCUSDT", "ETHUSDT")]
    setup = venue("binance_usdm", hedge=True) | {"instrument": ones}
    result = run(strategy, [quiet(), quiet()], tmp_path, **setup)
    legs = [strategy.ctx.position(i, leg) for i in (0, 1) for leg in ("long", "short")]
    assert legs == [4, -2, 5, -3] and result.summary["orders"] == 4


def test_an_amend_that_crosses_the_close_of_its_order_is_answered(tmp_path: Path) -> None:
    """A venue that accepts post-only orders and closes them then refuses what was asked of them meanwhile."""

    def send(me: Script) -> None:
        me.orders["bid"] = me.ctx.submit(0, BUY, 1005, 100, GTX)
        assert me.ctx.amend(me.orders["bid"], 999, 100)

    strategy = play(tmp_path, quiet(), venue("bybit_linear"), m100=send)
    bid = strategy.orders["bid"]
    assert kinds(strategy, bid) == ["Accepted", "Expired", "AmendRejected"]
    assert bid.is_closed and bid.pending == 0 and strategy.ctx.orders() == []


def test_a_post_only_order_that_slides_tells_its_price(tmp_path: Path) -> None:
    def send(me: Script) -> None:
        me.orders["bid"] = me.ctx.submit(0, BUY, 1005, 1, GTX)

    assert play(tmp_path, quiet(), venue("deribit"), m100=send).orders["bid"].ticks == 1000


def test_commands_held_back_by_computing_keep_what_they_say(tmp_path: Path) -> None:
    def send(me: Script) -> None:
        me.orders["stop"] = me.ctx.market(0, SELL, 5, trigger="stop", trigger_ticks=995)

    def move(me: Script) -> None:
        me.ctx.amend(me.orders["stop"], 0, 5, trigger_ticks=990)

    setup = {"compute": "1ms"}
    strategy = play(tmp_path, quiet().trade(S, SELL, 990, 1), setup, m100=send, m200=move)
    assert kinds(strategy, strategy.orders["stop"]) == ["Held", "Amended", "Triggered", "Accepted", "Filled"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"trigger": "sometimes", "trigger_ticks": 5}, "trigger 'sometimes': must be one of stop"),
        ({"trigger": "stop"}, "must be positive"),
        ({"trigger_ticks": 5}, "belong to a trigger"),
        ({"watch": "mark"}, "belong to a trigger"),
        ({"callback": 0.01}, "belong to a trigger"),
        ({"trigger": "stop", "trigger_ticks": 5, "watch": "mid"}, "watch 'mid'"),
        ({"trigger": "stop", "trigger_ticks": 5, "callback": 0.01}, "only a trailing stop"),
        ({"trigger": "trailing"}, "needs a callback rate or an offset"),
        ({"trigger": "trailing", "callback": "much"}, "callback 'much'"),
        ({"trigger": "trailing", "callback": "0.0000000000001"}, "12 decimals"),
        ({"trigger": Trigger(TRIGGER_STOP, 5), "trigger_ticks": 5}, "says everything"),
        ({"stp": "always"}, "stp 'always'"),
        ({"position_side": "both"}, "position_side 'both'"),
        ({"expires_ns": -1}, "expires_ns -1"),
        ({"close_position": True}, "give 0 lots"),
    ],
)
def test_what_is_no_order_is_refused_at_once(tmp_path: Path, more: dict[str, Any], message: str) -> None:
    def send(me: Script) -> None:
        with pytest.raises(ValueError, match=message):
            me.ctx.submit(0, BUY, 990, 1, **more)
        me.orders["next"] = me.ctx.submit(0, BUY, 990, 1)

    strategy = play(tmp_path, quiet(), m100=send)
    assert strategy.orders["next"].number == 1  # nothing was sent, and no number used


def test_an_order_of_no_size_is_refused(tmp_path: Path) -> None:
    def send(me: Script) -> None:
        for lots, more in ((0, {}), (-1, {}), (-1, {"close_position": True})):
            with pytest.raises(ValueError, match="lots"):
                me.ctx.submit(0, BUY, 990, lots, **more)
        with pytest.raises(IndexError):
            me.ctx.submit(7, BUY, 990, 0)

    play(tmp_path, quiet(), m100=send)


def test_triggers_in_words() -> None:
    assert trigger_of("trailing", 0, "mark", "0.015", 0, False) == Trigger(
        TRIGGER_TRAILING, 0, WATCH_MARK, callback_e12=15 * E12 // 1000
    )
    assert trigger_of("trailing", 0, None, 0.01, 0, True) == Trigger(
        TRIGGER_TRAILING, 0, callback_e12=E12 // 100, protect=True
    )
    assert trigger_of("trailing", 0, None, Decimal("0.01"), 0, False).callback_e12 == E12 // 100


def test_an_immediate_trigger_is_refused_where_the_venue_does(tmp_path: Path) -> None:
    def send(me: Script) -> None:
        me.orders["stop"] = me.ctx.market(0, SELL, 5, trigger="stop", trigger_ticks=1001, watch="mark")

    assert play(tmp_path, quiet(), venue("binance_usdm"), m1500=send).orders["stop"].reason == R_TRIGGER


@pytest.mark.parametrize("name", card_names())
def test_every_card_has_forms(name: str) -> None:
    forms = order_forms(card(name), T0)
    assert forms.stp in {stp_mode(card(name), None, name)} and (forms.watches or name == "none")
