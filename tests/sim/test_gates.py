"""What each venue's card makes of requests: its gate and limits, and a run in which a strategy meets them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matching import codes
from matching.codes import (
    BUY,
    EV_ACCEPTED,
    EV_CANCELED,
    EV_FILLED,
    EV_TRIGGERED,
    FOK,
    GTC,
    GTD,
    GTX,
    IOC,
    LIMIT,
    MARKET,
    R_CLIENT_ID,
    R_DEAD_MAN,
    R_DUPLICATE_ID,
    R_EXPIRY,
    R_LOT_SIZE,
    R_MARKET_BAND,
    R_MIN_NOTIONAL,
    R_NONE,
    R_PRICE_BAND,
    R_PRICE_RANGE,
    R_RATE_LIMIT,
    R_TICK_SIZE,
    R_UNSUPPORTED,
    SELL,
)
from matching.gate import COUNT_AMEND, COUNT_CANCEL, COUNT_SUBMIT, COUNT_SUBMITS, Gate, Limit
from sim.gates import account_limits, checks_nothing, dead_man_of, gate_of, instrument_limits
from sim.strategy import Order, OrderEvent, Setting, Strategy
from sim.venue_face import VenueFace
from tests.sim.markets import MS, T0, Tape, run
from venues import card, card_names, known_instrument

E8, S = 10**8, 10**9
NOW = 1_780_000_000 * S  # May 2026
MARK = 60_000 * E8


def known_gate(venue: str, symbol: str, highest: int = 100) -> Gate:
    found = gate_of(card(venue), known_instrument(venue, symbol), highest, NOW)
    assert found is not None
    return found


def check(
    gate: Gate, side: int, ticks: int, lots: int, type: int = LIMIT, tif: int = GTC, *, flags: int = 0,
    reducible: int = 0, mark: int = MARK, index: int = MARK, best: int = 600_000,
) -> int:  # fmt: skip
    return gate.check(side, type, tif, flags, ticks, lots, reducible, mark, index, best)


# -- checks


def test_the_neutral_card_checks_nothing_and_every_other_something() -> None:
    assert [name for name in card_names() if checks_nothing(card(name))] == ["neutral"]
    for name in card_names():
        found = gate_of(card(name), known_instrument("binance_usdm", "BTCUSDT"), 20, NOW)
        assert (found is None) == (name == "neutral")


def test_binance_filters_of_btcusdt() -> None:
    """tick 0.1, lots 0.001, notional 50, band 5 %, prices from 556.80 to 4529764, market orders to 120."""
    gate = known_gate("binance_usdm", "BTCUSDT")
    assert check(gate, BUY, 630_000, 1) == R_NONE and check(gate, BUY, 630_001, 1) == R_PRICE_BAND
    assert check(gate, SELL, 570_000, 1) == R_NONE and check(gate, SELL, 569_999, 1) == R_PRICE_BAND
    assert check(gate, BUY, 499_999, 1) == R_MIN_NOTIONAL
    assert check(gate, BUY, 499_999, 1, flags=1) == R_NONE, "reduce-only orders are exempt"
    assert check(gate, BUY, 5_567, 1000) == R_PRICE_RANGE and check(gate, SELL, 45_297_641, 1) == R_PRICE_RANGE
    assert check(gate, BUY, 0, 120_001, MARKET) == R_LOT_SIZE and check(gate, BUY, 600_000, 120_001) == R_NONE
    assert check(gate, BUY, 0, 10, MARKET, best=630_001) == R_MARKET_BAND
    assert gate.bound_ticks(BUY, MARK, 0, 0) == 630_000 and gate.bound_ticks(SELL, MARK, 0, 0) == 570_000


def test_times_in_force_that_a_venue_does_not_have_are_unsupported() -> None:
    lacks = {name: [] for name in card_names() if name != "neutral"}  # type: dict[str, list[int]]
    for name in lacks:
        gate = gate_of(card(name), known_instrument("binance_usdm", "BTCUSDT"), 20, NOW)
        assert gate is not None
        lacks[name] = [tif for tif in (GTC, IOC, FOK, GTX, GTD) if gate.check_form(BUY, LIMIT, tif, 0, 600_000, 10)]
    assert lacks == {
        "binance_usdm": [], "binance_coinm": [GTD], "bybit_linear": [GTD], "bybit_inverse": [GTD], "okx": [GTD],
        "hyperliquid": [FOK, GTD], "dydx": [FOK], "deribit": [],
    }  # fmt: skip
    assert check(known_gate("hyperliquid", "BTC"), BUY, 600_000, 100, tif=FOK) == R_UNSUPPORTED


def test_hyperliquid_takes_five_figures_ten_dollars_and_bounded_values() -> None:
    gate = known_gate("hyperliquid", "ETH", 25)  # sizes to 0.0001, prices to 0.01
    args = {"mark": 2_000 * E8, "index": 2_000 * E8, "best": 200_000}
    assert check(gate, BUY, 200_010, 100, **args) == R_NONE and check(gate, BUY, 200_011, 100, **args) == R_TICK_SIZE
    assert check(gate, BUY, 200_000, 49, **args) == R_MIN_NOTIONAL  # 9.80
    assert check(gate, BUY, 200_000, 49, reducible=49, **args) == R_NONE, "the whole position"
    assert check(gate, BUY, 200_000, 49, reducible=60, flags=1, **args) == R_MIN_NOTIONAL, "a part of it"
    assert check(gate, BUY, 0, 150_000_001, MARKET, IOC, **args) != R_NONE  # 30 M
    assert check(gate, BUY, 0, 150_000_000, MARKET, IOC, **args) == R_NONE
    assert check(gate, BUY, 9_999, 10_000, **args) == R_PRICE_BAND, "95 % below the oracle"
    assert gate.bound_ticks(BUY, 0, 0, 2_000 * E8) == 210_000, "the client's own IOC at mid + 5 %"


def test_bybit_clamps_to_its_band_and_okx_refuses() -> None:
    linear = gate_of(card("bybit_linear"), known_instrument("bybit_linear", "BTCUSDT"), 100, NOW)
    assert linear is not None
    assert check(linear, BUY, 700_000, 1) == R_NONE and linear.ticks == 606_000
    assert check(linear, SELL, 100_000, 1) == R_NONE and linear.ticks == 594_000
    swap = known_gate("okx", "BTC-USDT-SWAP")
    assert check(swap, BUY, 612_001, 100) == R_PRICE_BAND and check(swap, BUY, 612_000, 100) == R_NONE
    swap.add_premium(600 * E8)  # the average premium lifts it, as far as 5 % above the index
    assert check(swap, BUY, 618_000, 100) == R_NONE and check(swap, BUY, 618_001, 100) == R_PRICE_BAND
    assert swap.bound_ticks(BUY, MARK, MARK, MARK) == 618_000, "a market order goes to the edge of the price limit"


# -- limits


def taken(limits: list[Limit], kind: int, times: int, now: int = NOW, tif: int = GTC) -> int:
    """How many of so many requests at one instant pass."""
    passed = 0
    for _ in range(times):
        units = [limit.units(kind, tif, True) for limit in limits]
        if all(limit.fits(now, n, kind) for limit, n in zip(limits, units, strict=True)):
            passed += 1
            for limit, n in zip(limits, units, strict=True):
                limit.charge(now, n, kind)
    return passed


@pytest.mark.parametrize(
    ("venue", "kind", "passed"),
    [
        ("binance_usdm", COUNT_SUBMIT, 300), ("binance_usdm", COUNT_AMEND, 300), ("binance_usdm", COUNT_CANCEL, 5000),
        ("binance_usdm", COUNT_SUBMITS, 60), ("bybit_linear", COUNT_SUBMIT, 10), ("bybit_linear", COUNT_CANCEL, 10),
        ("bybit_linear", COUNT_SUBMITS, 10), ("okx", COUNT_SUBMIT, 60), ("okx", COUNT_CANCEL, 60),
        ("okx", COUNT_SUBMITS, 300), ("deribit", COUNT_SUBMIT, 20), ("deribit", COUNT_CANCEL, 20),
        ("dydx", COUNT_SUBMIT, 2), ("neutral", COUNT_SUBMIT, 5000),
    ],
)  # fmt: skip
def test_how_many_requests_pass_at_once(venue: str, kind: int, passed: int) -> None:
    limits = account_limits(card(venue), NOW) + instrument_limits(card(venue), NOW)
    assert taken(limits, kind, 5000) == passed


def test_windows_of_each_kind() -> None:
    binance = account_limits(card("binance_usdm"), NOW)
    start = NOW - NOW % (60 * S)
    assert [taken(binance, COUNT_SUBMIT, 400, start + at * S) for at in (0, 9, 10, 20, 30, 40, 60)] == [
        300, 0, 300, 300, 300, 0, 300,
    ]  # fmt: skip
    bybit = account_limits(card("bybit_linear"), NOW)
    assert [taken(bybit, COUNT_SUBMIT, 20, NOW + at * MS) for at in (0, 999, 1000)] == [10, 0, 10]
    deribit = account_limits(card("deribit"), NOW)
    assert [taken(deribit, COUNT_SUBMIT, 30, NOW + at * MS) for at in (0, 199, 200, 1200)] == [20, 0, 1, 5]
    dydx = account_limits(card("dydx"), NOW)
    assert taken(dydx, COUNT_SUBMIT, 5000, tif=GTD) == 4000, "short-term orders"


def test_hyperliquid_requests_are_earned_by_volume() -> None:
    limits = account_limits(card("hyperliquid"), NOW, 500 * E8)
    assert taken(limits, COUNT_SUBMIT, 20_000) == 10_501  # the last trickles
    assert taken(limits, COUNT_SUBMIT, 5, NOW + 10 * S) == 1
    assert taken(limits, COUNT_CANCEL, 20_000, NOW + 11 * S) == 2 * 10_500 - 10_502


def test_which_venues_have_a_switch() -> None:
    assert {name for name in card_names() if dead_man_of(card(name), 0) is None} == {"neutral", "dydx"}


# -- in a run


class Client(Strategy):
    """Calls ``act`` at 100 ms and writes down every event of its orders."""

    def __init__(self, *acts: Callable[[Client], Any]) -> None:
        self.acts = acts
        self.events: list[tuple[int, int, int, int | None, str]] = []
        self.settings: list[tuple[bool, int]] = []
        self.made: list[Order] = []

    def on_start(self) -> None:
        for k, act in enumerate(self.acts):
            self.ctx.at(T0 + (k + 1) * 100 * MS, partial(act, self))

    def on_order(self, order: Order, event: OrderEvent) -> None:
        self.events.append((event.order_number, event.kind, event.reason, event.code, event.text))

    def on_setting(self, i: int, setting: Setting) -> None:
        self.settings.append((setting.is_accepted, setting.reason))

    def refused(self) -> list[tuple[int, int, int | None]]:
        return [(number, reason, code) for number, _, reason, code, _ in self.events if reason]


def play(
    tmp_path: Path, *acts: Callable[[Client], Any], venue: str = "binance_usdm", **more: Any
) -> tuple[Client, Any]:
    """A book from 59999.9 to 60000.0, mark 60000."""
    client = Client(*acts)
    grids = {} if venue == "binance_usdm" else {"tick_size": "0.1", "lot_size": "0.001"}
    tape = Tape().snapshot(0, 599_999, 600_000, lots=1000).mark(MS, MARK).depth(5 * S, (BUY, 599_000, 1))
    result = run(
        client, tape, tmp_path,
        venue=[{"name": venue, "latency": "1ms", "fees": {"maker": 0, "taker": 0}, **more}],
        instrument=[{"symbol": "BTCUSDT", "mark": "recorded", "funding": "none", "margin": "none", **grids}],
    )  # fmt: skip
    return client, result


def test_refusals_carry_the_venues_code_and_text_everywhere(tmp_path: Path) -> None:
    def act(me: Client) -> None:
        me.ctx.buy(0, 400_000, 1)  # 40 USDT
        me.ctx.buy(0, 630_001, 1)
        me.ctx.sell(0, 569_999, 1)
        me.ctx.market(0, BUY, 1_000_000)

    me, result = play(tmp_path, act)
    assert me.refused() == [
        (1, R_MIN_NOTIONAL, -4164), (2, R_PRICE_BAND, -4016), (3, R_PRICE_BAND, -4024), (4, R_LOT_SIZE, -4005),
    ]  # fmt: skip
    assert me.events[0][4] == "notional below the minimum, and not reduce-only"
    rows = result.orders.select("order_no", "venue_code", "venue_text").rows()
    assert rows[0] == (1, -4164, me.events[0][4]) and [row[1] for row in rows] == [-4164, -4016, -4024, -4005]
    refusals = result.summary["refusals"]
    assert {(one["reason"], one["code"], one["count"]) for one in refusals} == {
        ("min_notional", -4164, 1), ("price_band", -4016, 1), ("price_band", -4024, 1), ("lot_size", -4005, 1),
    }  # fmt: skip
    assert refusals[0]["instrument"] == "BTCUSDT" and refusals[0]["of"] == "order"


@pytest.mark.parametrize(("limits", "passed"), [("card", 300), ("none", 350)])
def test_rate_limits_hold_unless_the_run_lifts_them(tmp_path: Path, limits: str, passed: int) -> None:
    def act(me: Client) -> None:
        for _ in range(70):
            me.ctx.submit(0, BUY, 590_000, 1, IOC)

    me, result = play(tmp_path, *[act] * 5, rate_limits=limits)
    assert len([one for one in me.events if one[2] == R_RATE_LIMIT]) == 350 - passed
    assert result.summary["rejects"] == 350 - passed


def test_client_ids_have_a_form_and_are_unique_among_open_orders(tmp_path: Path) -> None:
    def act(me: Client) -> None:
        for client_id in ("mine", "mine", "not mine", None):
            me.ctx.submit(0, BUY, 590_000, 1, client_id=client_id)

    def again(me: Client) -> None:
        me.ctx.cancel_all()

    def once_more(me: Client) -> None:
        me.ctx.submit(0, BUY, 590_000, 1, client_id="mine")

    me, _ = play(tmp_path, act, again, once_more)
    assert [one[:2] for one in me.refused() if one[1] in (R_DUPLICATE_ID, R_CLIENT_ID)] == [
        (2, R_DUPLICATE_ID), (3, R_CLIENT_ID),
    ]  # fmt: skip


@pytest.mark.parametrize("compute", [None, "1ms"])
def test_a_batch_is_one_request_of_limited_size(tmp_path: Path, compute: str | None) -> None:
    def act(me: Client) -> None:
        orders = [(0, BUY, 590_000 - k, 1) for k in range(4)]
        small = {"i": 0, "side": BUY, "ticks": 400_000, "lots": 1}
        me.made = me.ctx.submit_batch([*orders, small])
        with pytest.raises(ValueError, match="takes at most 5 orders in one request"):
            me.ctx.submit_batch(orders * 2)

    def cancel(me: Client) -> None:
        assert me.ctx.cancel_batch(me.made) == 4

    client = Client(act, cancel)
    tape = Tape().snapshot(0, 599_999, 600_000, lots=1000).mark(MS, MARK).depth(5 * S, (BUY, 599_000, 1))
    more: dict[str, Any] = {} if compute is None else {"compute": compute}
    result = run(
        client, tape, tmp_path,
        venue=[
            {
                "name": "binance_usdm", "fees": {"maker": 0, "taker": 0},
                "latency": {"entry": {"quantiles": ["1ms", "50ms"]}, "response": "1ms"},
            }
        ],
        instrument=[{"symbol": "BTCUSDT", "mark": "recorded", "funding": "none", "margin": "none"}], **more,
    )  # fmt: skip
    assert client.refused()[0][:2] == (5, R_MIN_NOTIONAL)
    orders = result.orders.filter(result.orders["seq"] == 0)
    assert len(orders) == 5 and orders["ts_event_ns"].n_unique() == 1
    canceled = result.orders.filter(result.orders["event"] == EV_CANCELED)
    assert len(canceled) == 4 and canceled["ts_event_ns"].n_unique() == 1


def test_a_strategy_arms_the_venues_switch(tmp_path: Path) -> None:
    def act(me: Client) -> None:
        me.ctx.buy(0, 590_000, 1)
        me.ctx.dead_man(0, "1s")

    me, result = play(tmp_path, act)
    assert me.settings == [(True, R_NONE)]
    (row,) = result.orders.filter(result.orders["reason"] == R_DEAD_MAN).rows(named=True)
    assert row["event"] == EV_CANCELED and row["ts_event_ns"] == T0 + 1101 * MS + 9 * MS, "looked at every 10 ms"
    assert row["venue_text"] == "CANCELED by the countdown"


def test_okx_refuses_a_switch_outside_its_bounds(tmp_path: Path) -> None:
    me, result = play(tmp_path, lambda me: me.ctx.dead_man(0, "5s"), venue="okx")
    assert me.settings == [(False, R_EXPIRY)] and result.summary["refusals"][0]["of"] == "setting"


def test_a_chain_stamps_requests_with_its_blocks(tmp_path: Path) -> None:
    def act(me: Client) -> None:
        me.ctx.submit(0, BUY, 600_000, 1)
        me.ctx.submit(0, BUY, 590_000, 1, GTX)

    _, result = play(tmp_path, act, venue="hyperliquid")
    block = card("hyperliquid").batching.block_interval_ns.value
    first = result.orders.filter(result.orders["seq"] == 0)
    due = ((T0 + 101 * MS) // block + 1) * block
    assert first["ts_event_ns"].to_list() == [due - due % MS] * 2 and first["order_no"].to_list() == [2, 1]


def test_words_of_low_and_high_differ_where_the_venue_tells_them_apart() -> None:
    face = VenueFace([card("binance_usdm")], [known_instrument("binance_usdm", "BTCUSDT")])
    refused = codes.EV_REJECTED
    assert [face.code(0, refused, R_LOT_SIZE, BUY, 600_000, lots) for lots in (0, 9)] == [-4004, -4005]
    assert face.code(0, refused, R_NONE, BUY, 600_000, 1) is None and face.text(0, refused, R_NONE) == ""
    assert face.client_number(0, "a b") == -1 and face.client_number(0, "a") == face.client_number(0, "a") > 0


ANSWERS = (  # venue, symbol, event, its ticks (a setting's kind), reason, the venue's code
    ("binance_usdm", "BTCUSDT", codes.EV_SETTING_REJECTED, codes.SETTING_LEVERAGE, codes.R_OPEN_POSITION, -4161),
    ("binance_usdm", "BTCUSDT", codes.EV_SETTING_REJECTED, codes.SETTING_MODE, codes.R_OPEN_POSITION, -4048),
    ("binance_usdm", "BTCUSDT", codes.EV_SETTING_REJECTED, codes.SETTING_LEVERAGE, codes.R_UNSUPPORTED, -4028),
    ("binance_usdm", "BTCUSDT", codes.EV_REJECTED, codes.SETTING_LEVERAGE, codes.R_UNSUPPORTED, -1116),
    ("binance_usdm", "BTCUSDT", codes.EV_AMEND_REJECTED, 600_000, codes.R_MIN_NOTIONAL, -5029),
    ("bybit_linear", "BTCUSDT", codes.EV_SETTING_REJECTED, codes.SETTING_MODE, codes.R_OPEN_POSITION, 110024),
    ("bybit_linear", "BTCUSDT", codes.EV_SETTING_REJECTED, codes.SETTING_MODE, codes.R_OPEN_ORDERS, 110028),
    ("bybit_linear", "BTCUSDT", codes.EV_SETTING_REJECTED, codes.SETTING_MODE, codes.R_SAME_SETTING, 110026),
    ("bybit_linear", "BTCUSDT", codes.EV_SETTING_REJECTED, codes.SETTING_LEVERAGE, codes.R_SAME_SETTING, 110043),
)


@pytest.mark.parametrize(("venue", "symbol", "event", "ticks", "reason", "code"), ANSWERS)
def test_a_refusal_has_the_code_of_what_was_asked(
    venue: str, symbol: str, event: int, ticks: int, reason: int, code: int
) -> None:
    face = VenueFace([card(venue)], [known_instrument(venue, symbol)])
    assert face.code(0, event, reason, BUY, ticks, 5) == code
    row = face.columns({name: np.array([value]) for name, value in {
        "market": 0, "event": event, "reason": reason, "side": BUY, "ticks": ticks, "lots": 5,
    }.items()})  # fmt: skip
    assert row["venue_code"].tolist() == [code] and row["venue_text"].tolist() == [face.text(0, event, reason, ticks)]
    assert [one["code"] for one in face.refusals([symbol])] == [code]


def test_a_short_term_post_only_order_is_not_kept_a_block_on_dydx(tmp_path: Path) -> None:
    block = card("dydx").batching.block_interval_ns.value

    def act(me: Client) -> None:
        me.ctx.submit(0, BUY, 590_000, 1, GTX)
        me.ctx.submit(0, BUY, 590_000, 1, GTX, expires_ns=me.ctx.now_ns + 10 * block)

    me, result = play(tmp_path, act, venue="dydx")
    first = result.orders.filter(result.orders["seq"] == 0)
    due = ((T0 + 101 * MS) // block + 1) * block
    assert first["order_no"].to_list() == [2, 1], me.events
    assert first["ts_event_ns"].to_list() == [at - at % MS for at in (due, due + block)]


def test_short_term_post_only_orders_do_not_count_as_stateful_on_dydx(tmp_path: Path) -> None:
    block = card("dydx").batching.block_interval_ns.value

    def act(expires: bool, me: Client) -> None:
        for _ in range(5):
            if expires:
                me.ctx.submit(0, BUY, 590_000, 1, GTX, expires_ns=me.ctx.now_ns + 10 * block)
            else:
                me.ctx.submit(0, BUY, 590_000, 1, GTX)

    for expires, refused in ((True, 0), (False, 3)):  # two stateful ones a block
        me, _ = play(tmp_path / str(expires), partial(act, expires), venue="dydx", deposit={"USDT": "1000000"})
        assert [event[2] for event in me.events].count(R_RATE_LIMIT) == refused


def test_a_triggered_order_meets_the_book_in_the_next_block_on_dydx(tmp_path: Path) -> None:
    block = card("dydx").batching.block_interval_ns.value

    def act(me: Client) -> None:
        me.ctx.submit(0, BUY, 600_000, 1, trigger="take_profit", trigger_ticks=599_500)

    client = Client(act)
    tape = Tape().snapshot(0, 599_999, 600_000, lots=1000).mark(MS, MARK + 100 * E8)
    tape = tape.mark(3990 * MS, MARK - 100 * E8).mark(3991 * MS, MARK + 100 * E8).depth(6 * S, (BUY, 599_000, 1))
    result = run(
        client, tape, tmp_path,
        venue=[{"name": "dydx", "latency": "1ms", "fees": {"maker": 0, "taker": 0}, "deposit": {"USDT": "1000000"}}],
        instrument=[{
            "symbol": "BTCUSDT", "mark": "recorded", "funding": "none", "margin": "none", "tick_size": "0.1",
            "lot_size": "0.001",
        }],
    )  # fmt: skip
    rows = result.orders.filter(result.orders["order_no"] == 1)
    due = ((T0 + 3990 * MS) // block + 1) * block
    assert [(row["event"], row["ts_event_ns"]) for row in rows.sort("seq").to_dicts()][1:] == [
        (kind, due - due % MS) for kind in (EV_TRIGGERED, EV_ACCEPTED, EV_FILLED)
    ], client.events  # fmt: skip
