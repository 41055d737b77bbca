"""Orders at the emulated Binance: requests, replies, user streams in their order, and every refusal's code."""

from __future__ import annotations

import json
from typing import Any

import pytest

from matching import codes
from tests.venues.binance_client import LIMIT, ORDER_FIELDS, START_NS, STOP, UPDATE_FIELDS, Desk
from venues.emulation import PositionState
from venues.market_data import DepthSnapshot
from venues.orders import (
    Accepted,
    Amended,
    AmendRejected,
    AmendRequest,
    AutoDeleveraged,
    BalanceChanged,
    CancelAllRequest,
    Canceled,
    CancelRejected,
    CancelRequest,
    Expired,
    Held,
    Liquidated,
    OrderRequest,
    PositionChanged,
    Rejected,
    Triggered,
)

MS = 10**6


def test_a_limit_order_from_request_to_fill() -> None:
    desk = Desk()
    number = desk.ask("POST", "v1/order", newClientOrderId="mine-1", **LIMIT)
    assert number not in desk.answers
    (request,) = desk.engine.asked
    assert request == OrderRequest(account=0, instrument=0, order_no=1, side=codes.BUY, lots=10, ticks=600_000,
                                   stp=codes.STP_CANCEL_MAKER, client_id="mine-1")  # fmt: skip
    desk.say(Accepted, request)
    reply = desk.body(number)
    assert set(reply) == ORDER_FIELDS
    assert (reply["status"], reply["price"], reply["origQty"], reply["reduceOnly"]) == (
        "NEW",
        "60000.00",
        "0.010",
        False,
    )
    desk.fill(request, 4, 6, fee_e8=12_000)
    desk.fill(request, 6, 0, fee_e8=18_000, liquidity=codes.LIQ_MAKER)
    assert desk.kinds() == [
        "ORDER_TRADE_UPDATE:NEW",
        "TRADE_LITE", "ORDER_TRADE_UPDATE:TRADE", "ACCOUNT_UPDATE",
        "TRADE_LITE", "ORDER_TRADE_UPDATE:TRADE", "ACCOUNT_UPDATE",
    ]  # fmt: skip
    last = desk.told()[-2]["o"]
    assert set(last) == UPDATE_FIELDS
    assert (last["X"], last["l"], last["L"], last["n"], last["z"], last["m"], last["ap"]) == (
        "FILLED", "0.006", "60000.00", "0.00018000", "0.010", True, "60000.00000",
    )  # fmt: skip
    change = desk.told()[-1]["a"]
    assert change["B"] == [{"a": "USDT", "wb": "9999.99970000", "cw": "9999.99970000", "bc": "0"}]
    (position,) = change["P"]
    assert (position["pa"], position["ep"], position["ps"], position["mt"]) == ("0.010", "60000.0", "BOTH", "cross")
    shown = desk.done("GET", "v1/order", symbol="BTCUSDT", origClientOrderId="mine-1")
    assert (shown["status"], shown["avgPrice"], shown["cumQuote"]) == ("FILLED", "60000.00000", "600.00000")
    fills = desk.done("GET", "v1/userTrades", symbol="BTCUSDT")
    assert [(fill["qty"], fill["maker"], fill["commission"]) for fill in fills] == [
        ("0.004", False, "0.00012000"),
        ("0.006", True, "0.00018000"),
    ]
    assert [row["incomeType"] for row in desk.done("GET", "v1/income")] == ["COMMISSION"] * 2
    assert desk.done("GET", "v1/openOrders") == []
    assert desk.told(1) == []


def test_result_waits_for_the_end_and_ack_does_not() -> None:
    desk = Desk()
    terms = {"symbol": "BTCUSDT", "side": "SELL", "type": "MARKET", "quantity": "0.002"}
    slow = desk.ask("POST", "v1/order", newOrderRespType="RESULT", **terms)
    request = desk.engine.asked[-1]
    assert (request.type, request.tif, request.ticks) == (codes.MARKET, codes.GTC, 0)
    desk.say(Accepted, request)
    assert slow not in desk.answers
    desk.fill(request, 1, 1)
    desk.say(Expired, request, reason=codes.R_MARKET_REMAINDER)
    assert (desk.body(slow)["status"], desk.body(slow)["executedQty"]) == ("EXPIRED", "0.001")
    assert [frame["o"]["er"] for frame in desk.told() if frame["e"] == "ORDER_TRADE_UPDATE"][-1] == "9"
    fast = desk.ask("POST", "v1/order", **terms)
    desk.say(Accepted, desk.engine.asked[-1])
    assert desk.body(fast)["status"] == "NEW"


def test_a_cancel_is_answered_by_the_engine() -> None:
    desk = Desk()
    request, reply = desk.resting()
    number = desk.ask("DELETE", "v1/order", symbol="BTCUSDT", orderId=reply["orderId"])
    assert desk.engine.asked[-1] == CancelRequest(account=0, instrument=0, order_no=1)
    assert number not in desk.answers
    desk.say(Canceled, request)
    assert (desk.body(number)["status"], desk.kinds()[-1]) == ("CANCELED", "ORDER_TRADE_UPDATE:CANCELED")
    assert desk.done("DELETE", "v1/order", symbol="BTCUSDT", orderId=reply["orderId"])["code"] == -2011
    request, reply = desk.resting()
    number = desk.ask("DELETE", "v1/order", symbol="BTCUSDT", orderId=reply["orderId"])
    desk.fill(request, 10, 0)
    desk.say(CancelRejected, request, reason=codes.R_UNKNOWN_ORDER)
    assert (desk.answers[number].status, desk.body(number)) == (400, {"code": -2011, "msg": "Unknown order sent."})


def test_all_orders_of_a_symbol_are_canceled_but_conditional_ones() -> None:
    desk = Desk()
    one, _ = desk.resting()
    two, _ = desk.resting(price="59999.9")
    number = desk.ask("DELETE", "v1/allOpenOrders", symbol="BTCUSDT")
    assert desk.engine.asked[-1] == CancelAllRequest(account=0, instrument=0)
    desk.say(Canceled, one)
    assert number not in desk.answers
    desk.fill(two, 10, 0)
    assert desk.body(number)["code"] == 200
    desk.ask("POST", "v1/algoOrder", **STOP)
    held = desk.engine.asked[-1]
    desk.say(Held, held)
    three, _ = desk.resting()
    number = desk.ask("DELETE", "v1/allOpenOrders", symbol="BTCUSDT")
    assert desk.engine.asked[-1] == CancelRequest(account=0, instrument=0, order_no=three.order_no)
    desk.say(Canceled, three)
    assert desk.body(number)["code"] == 200
    number = desk.ask("DELETE", "v1/algoOpenOrders", symbol="BTCUSDT")
    desk.say(Canceled, held)
    assert desk.body(number)["code"] == 200
    assert desk.done("DELETE", "v1/allOpenOrders", symbol="BTCUSDT")["code"] == 200


def test_amendments() -> None:
    desk = Desk()
    request, reply = desk.resting()
    terms = {"symbol": "BTCUSDT", "orderId": reply["orderId"], "side": "BUY", "quantity": "0.020", "price": "59000"}
    number = desk.ask("PUT", "v1/order", **terms)
    assert desk.engine.asked[-1] == AmendRequest(account=0, instrument=0, order_no=1, ticks=590_000, lots=20)
    desk.say(Amended, request, ticks=590_000, lots=20)
    assert (desk.body(number)["price"], desk.body(number)["origQty"]) == ("59000.00", "0.020")
    assert desk.body(number)["selfTradePreventionMode"] == "NONE"
    event = desk.told()[-1]["o"]
    assert (event["x"], event["X"], event["M"]) == ("AMENDMENT", "NEW", "1")
    number = desk.ask("PUT", "v1/order", **terms)
    desk.say(AmendRejected, request, reason=codes.R_NO_CHANGE)
    assert desk.body(number)["code"] == -5027
    (row,) = desk.done("GET", "v1/orderAmendment", symbol="BTCUSDT", orderId=reply["orderId"])
    assert row["amendment"] == {
        "price": {"before": "60000.00", "after": "59000.00"},
        "origQty": {"before": "0.010", "after": "0.020"},
        "count": 1,
    }
    number = desk.ask("PUT", "v1/order", **{**terms, "quantity": "0.001"})
    desk.say(Canceled, request)
    assert desk.body(number)["status"] == "CANCELED"
    assert desk.done("PUT", "v1/order", **terms)["code"] == -2013


def test_batches_answer_in_order_with_errors_in_place() -> None:
    desk = Desk()
    rows = [dict(LIMIT), {**LIMIT, "price": "60000.05"}, {**LIMIT, "side": "SELL", "quantity": 0.003}]
    number = desk.ask("POST", "v1/batchOrders", batchOrders=json.dumps(rows))
    first, third = desk.engine.asked
    assert (third.side, third.lots) == (codes.SELL, 3)
    desk.say(Rejected, third, reason=codes.R_MARGIN)
    assert number not in desk.answers
    desk.say(Accepted, first)
    found = desk.body(number)
    assert [row.get("code", row.get("status")) for row in found] == ["NEW", -4014, -2019]
    assert desk.answers[number].status == 200
    assert desk.answers[number].headers["X-MBX-ORDER-COUNT-10S"] == "5"
    assert desk.answers[number].headers["X-MBX-ORDER-COUNT-1M"] == "1"
    ids = [found[0]["orderId"], 77]
    number = desk.ask("DELETE", "v1/batchOrders", symbol="BTCUSDT", orderIdList=json.dumps(ids))
    desk.say(Canceled, first)
    assert [row.get("code", row.get("status")) for row in desk.body(number)] == ["CANCELED", -2011]
    assert desk.done("POST", "v1/batchOrders", batchOrders="[]")["code"] == -4082
    assert desk.done("POST", "v1/batchOrders", batchOrders="{}")["code"] == -1102


# -- conditional orders


def test_a_conditional_order_from_the_algo_service_into_the_book() -> None:
    desk = Desk()
    number = desk.ask("POST", "v1/algoOrder", clientAlgoId="stop-1", **STOP)
    request = desk.engine.asked[-1]
    assert request.trigger is not None
    assert (request.trigger.kind, request.trigger.ticks, request.type) == (codes.TRIGGER_STOP, 590_000, codes.MARKET)
    desk.say(Held, request)
    reply = desk.body(number)
    assert (reply["algoStatus"], reply["orderType"], reply["triggerPrice"]) == ("NEW", "STOP_MARKET", "59000.00")
    (open_one,) = desk.done("GET", "v1/openAlgoOrders")
    assert open_one["clientAlgoId"] == "stop-1"
    assert desk.done("GET", "v1/openOrders") == []
    desk.say(Triggered, request)
    desk.say(Accepted, request)
    desk.fill(request, 10, 0, ticks=589_990)
    statuses = [frame["o"]["X"] for frame in desk.told() if frame["e"] == "ALGO_UPDATE"]
    assert statuses == ["NEW", "TRIGGERING", "TRIGGERED", "FINISHED"]
    assert [kind for kind in desk.kinds() if kind.startswith("ORDER")] == [
        "ORDER_TRADE_UPDATE:NEW", "ORDER_TRADE_UPDATE:TRADE",
    ]  # fmt: skip
    shown = desk.done("GET", "v1/algoOrder", algoId=reply["algoId"])
    assert (shown["algoStatus"], shown["actualQty"]) == ("FINISHED", "0.010")
    assert desk.done("GET", "v1/order", symbol="BTCUSDT", orderId=int(shown["actualOrderId"]))["status"] == "FILLED"
    assert desk.done("DELETE", "v1/algoOrder", algoId=reply["algoId"])["code"] == -2011


def test_conditional_orders_canceled_refused_and_trailing() -> None:
    desk = Desk()
    number = desk.ask("POST", "v1/algoOrder", **STOP)
    request = desk.engine.asked[-1]
    desk.say(Rejected, request, reason=codes.R_TRIGGER)
    assert desk.body(number)["code"] == -2021
    number = desk.ask("POST", "v1/algoOrder", **STOP)
    desk.say(Held, desk.engine.asked[-1])
    algo_id, request = desk.body(number)["algoId"], desk.engine.asked[-1]
    number = desk.ask("DELETE", "v1/algoOrder", algoId=algo_id)
    desk.say(Canceled, request)
    assert desk.body(number) == {"algoId": algo_id, "clientAlgoId": desk.body(number)["clientAlgoId"], "code": "200",
                                 "msg": "success"}  # fmt: skip
    terms = {**STOP, "type": "TRAILING_STOP_MARKET", "callbackRate": "1.5", "activatePrice": "61000"}
    terms.pop("triggerPrice")
    number = desk.ask("POST", "v1/algoOrder", **terms)
    request = desk.engine.asked[-1]
    assert (request.trigger.callback_e12, request.trigger.ticks) == (15 * 10**9, 610_000)
    desk.say(Held, request)
    assert (desk.body(number)["callbackRate"], desk.body(number)["activatePrice"]) == ("1.5", "61000.00")
    desk.say(Rejected, request, reason=codes.R_MARGIN)
    assert desk.told()[-1]["o"]["X"] == "REJECTED"
    assert desk.told()[-1]["o"]["rm"] == "Margin is insufficient."
    closing = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "algoType": "CONDITIONAL",
               "triggerPrice": "59000", "closePosition": "true", "workingType": "MARK_PRICE"}  # fmt: skip
    desk.ask("POST", "v1/algoOrder", **closing)
    request = desk.engine.asked[-1]
    assert (request.close_position, request.lots, request.trigger.watch) == (True, 0, codes.WATCH_MARK)
    assert desk.done("POST", "v1/order", **{**STOP, "stopPrice": "59000"})["code"] == -4120


def test_coin_m_takes_conditional_orders_on_the_order_endpoint() -> None:
    desk = Desk(coin=True)
    terms = {"symbol": "BTCUSD_PERP", "side": "SELL", "type": "STOP_MARKET", "quantity": "10", "stopPrice": "59000"}
    number = desk.ask("POST", "v1/order", **terms)
    request = desk.engine.asked[-1]
    desk.say(Held, request)
    reply = desk.body(number)
    assert set(reply) == ORDER_FIELDS - {"goodTillDate"} | {"pair"}
    assert [row["orderId"] for row in desk.done("GET", "v1/openOrders")] == [reply["orderId"]]
    desk.say(Triggered, request)
    desk.fill(request, 10, 0, ticks=590_000, fee_e8=847)
    events = [(f["o"]["x"], f["o"]["o"], f["o"]["ot"]) for f in desk.told() if f["e"] == "ORDER_TRADE_UPDATE"]
    assert events == [("NEW", "STOP_MARKET", "STOP_MARKET"), ("EXPIRED", "STOP_MARKET", "STOP_MARKET"),
                      ("NEW", "MARKET", "STOP_MARKET"), ("TRADE", "MARKET", "STOP_MARKET")]  # fmt: skip
    (fill,) = desk.done("GET", "v1/userTrades", symbol="BTCUSD_PERP")
    assert (fill["baseQty"], fill["marginAsset"], fill["commission"]) == ("0.01694915", "BTC", "0.00000847")
    assert desk.told()[-1]["a"]["P"][0]["ep"] == "59000.0"


# -- refusals


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"symbol": None}, -1102), ({"symbol": "NOPE"}, -1121), ({"side": "UP"}, -1117), ({"side": None}, -1102),
        ({"type": "ODD"}, -1116), ({"type": None}, -1102), ({"timeInForce": "ODD"}, -1115),
        ({"timeInForce": None}, -1102), ({"quantity": None}, -1102), ({"price": None}, -1102),
        ({"quantity": "0"}, -4003), ({"quantity": "-1"}, -4003), ({"quantity": "0.0001"}, -1111),
        ({"quantity": "x"}, -1100), ({"price": "60000.05"}, -4014), ({"price": "60000.001"}, -1111),
        ({"price": "0"}, -4001), ({"newClientOrderId": "a b"}, -4015), ({"newClientOrderId": "a" * 37}, -4015),
        ({"positionSide": "LONG"}, -4061), ({"positionSide": "ODD"}, -4060), ({"reduceOnly": "maybe"}, -1130),
        ({"selfTradePreventionMode": "ODD"}, -5039), ({"priceMatch": "ODD", "price": None}, -5037),
        ({"priceMatch": "QUEUE"}, -1106), ({"priceMatch": "QUEUE_5", "price": None}, -5041),
        ({"timeInForce": "GTD"}, -1102), ({"timeInForce": "GTD", "goodTillDate": "1"}, -5040),
        ({"newOrderRespType": "ODD"}, -1136), ({"type": "MARKET"}, -1106),
        ({"type": "MARKET", "timeInForce": None}, -1106), ({"recvWindow": "60001"}, -1131),
    ],
)  # fmt: skip
def test_what_the_front_door_refuses(changes: dict[str, Any], code: int) -> None:
    desk = Desk()
    desk.market(DepthSnapshot("BTCUSDT", START_NS, START_NS, 1, [599_990], [5], [600_010], [4], True))
    terms = {name: value for name, value in {**LIMIT, **changes}.items() if value is not None}
    number = desk.ask("POST", "v1/order", **terms)
    assert desk.answers[number].status == 400
    assert desk.body(number)["code"] == code
    assert desk.body(number)["msg"]
    assert desk.engine.asked == []
    assert "application/json" in desk.answers[number].headers["Content-Type"]


@pytest.mark.parametrize(
    ("reason", "code", "status"),
    [
        (codes.R_MARGIN, -2019, 400), (codes.R_POST_ONLY, -5022, 400), (codes.R_FOK, -5021, 400),
        (codes.R_REDUCE_ONLY, -2022, 400), (codes.R_MIN_NOTIONAL, -4164, 400), (codes.R_PRICE_BAND, -4016, 400),
        (codes.R_MARKET_BAND, -4131, 400), (codes.R_MAX_ORDERS, -2025, 400), (codes.R_LEVERAGE, -2027, 400),
        (codes.R_RATE_LIMIT, -1015, 429), (codes.R_NO_BOOK, -1008, 503), (codes.R_IN_LIQUIDATION, -2023, 400),
        (codes.R_LOT_SIZE, -4005, 400), (codes.R_PRICE_RANGE, -4002, 400), (codes.R_EXPIRY, -5040, 400),
        (codes.R_TICK_SIZE, -4014, 400), (codes.R_UNSUPPORTED, -1116, 400), (codes.R_HALTED, -4140, 400),
        (codes.R_DUPLICATE_ID, -4116, 400), (codes.R_VENUE, -2010, 400), (codes.R_MAX_STOPS, -4045, 400),
    ],
)  # fmt: skip
def test_what_the_simulated_venue_refuses(reason: int, code: int, status: int) -> None:
    desk = Desk()
    number = desk.ask("POST", "v1/order", **LIMIT)
    desk.say(Rejected, desk.engine.asked[-1], reason=reason)
    assert (desk.body(number)["code"], desk.answers[number].status) == (code, status)
    assert desk.told() == []
    assert desk.done("GET", "v1/order", symbol="BTCUSDT", origClientOrderId="none")["code"] == -2013


def test_a_code_of_the_engine_s_own_stands() -> None:
    desk = Desk()
    number = desk.ask("POST", "v1/order", **LIMIT)
    desk.say(Rejected, desk.engine.asked[-1], reason=codes.R_PRICE_BAND, code=-4024, text="ours")
    assert desk.body(number) == {"code": -4024, "msg": "Price is lower than mark price multiplier floor."}


def test_client_ids_are_unique_among_open_orders() -> None:
    desk = Desk()
    request, _ = desk.resting(newClientOrderId="one")
    assert desk.done("POST", "v1/order", newClientOrderId="one", **LIMIT)["code"] == -4116
    desk.say(Canceled, request)
    desk.resting(newClientOrderId="one")


def test_an_order_that_is_never_answered_is_of_unknown_outcome() -> None:
    desk = Desk()
    number = desk.ask("POST", "v1/order", **LIMIT)
    desk.wait(9 * 10**9)
    assert number not in desk.answers
    desk.wait(2 * 10**9)
    assert (desk.answers[number].status, desk.body(number)["code"]) == (408, -1007)


def test_hedge_mode_and_price_match() -> None:
    desk = Desk()
    desk.engine.hedged.add(0)
    desk.market(DepthSnapshot("BTCUSDT", START_NS, START_NS, 1, [599_990], [5], [600_010], [4], True))
    terms = {**LIMIT, "positionSide": "SHORT", "priceMatch": "OPPONENT"}
    terms.pop("price")
    desk.ask("POST", "v1/order", **terms)
    assert (desk.engine.asked[-1].leg, desk.engine.asked[-1].ticks) == (codes.FLAG_SHORT_LEG, 600_010)
    assert desk.done("POST", "v1/order", **LIMIT)["code"] == -4061
    assert desk.done("POST", "v1/order", **{**terms, "reduceOnly": "true"})["code"] == -1106


# -- the venue's own orders


def test_a_forced_order_and_a_takeover() -> None:
    desk = Desk()
    request, _ = desk.resting()
    desk.fill(request, 10, 0)
    forced = OrderRequest(account=0, instrument=0, order_no=-1, side=codes.SELL, lots=10, ticks=550_000, tif=codes.IOC)
    desk.engine.forced_orders[0, -1] = forced
    desk.fill(forced, 6, 4, ticks=560_000, realized_e8=-24 * 10**9, fee_e8=10**6)
    desk.say(Expired, forced, reason=codes.R_LIQUIDATION)
    orders = [frame["o"] for frame in desk.told() if frame["e"] == "ORDER_TRADE_UPDATE"][2:]
    assert [(one["x"], one["X"], one["o"]) for one in orders] == [
        ("NEW", "NEW", "LIQUIDATION"),
        ("TRADE", "PARTIALLY_FILLED", "LIQUIDATION"),
        ("EXPIRED", "EXPIRED", "LIQUIDATION"),
    ]
    assert orders[0]["c"].startswith("autoclose-")
    stamp = {"account": 0, "ts_event_ns": desk.engine.now_ns, "ts_recv_ns": desk.engine.now_ns, "instrument": 0}
    desk.emulator.on_account(Liquidated(side=codes.SELL, ticks=550_000, lots=3, realized_e8=-15 * 10**9, **stamp))
    desk.emulator.on_account(AutoDeleveraged(side=codes.SELL, ticks=550_000, lots=1, realized_e8=-5 * 10**9, **stamp))
    desk.read()
    orders = [frame["o"] for frame in desk.told() if frame["e"] == "ORDER_TRADE_UPDATE"][-3:]
    assert [(one["x"], one["c"][:10]) for one in orders][1:] == [("NEW", "adl_autocl"), ("CALCULATED", "adl_autocl")]
    assert desk.told()[-1]["a"]["P"][0]["pa"] == "0.000"
    assert len(desk.done("GET", "v1/forceOrders")) == 3
    assert [row["clientOrderId"] for row in desk.done("GET", "v1/forceOrders", autoCloseType="ADL")] == [
        "adl_autoclose"
    ]


def test_the_engine_s_word_on_positions_and_wallets_stands() -> None:
    desk = Desk()
    request, _ = desk.resting()
    event = desk.fill(request, 10, 0)
    assert event is None
    stamp = {"account": 0, "ts_event_ns": desk.engine.now_ns, "ts_recv_ns": desk.engine.now_ns}
    desk.engine.positions[0, 0, 0] = PositionState(12, 61_000 * 10**8, 0, 0, 0, 20, False, 0, 0, 0, 0)
    desk.emulator.on_account(PositionChanged(instrument=0, position_lots=12, **stamp))
    desk.emulator.on_account(BalanceChanged(asset="USDT", wallet_e8=5, **stamp))
    desk.read()
    change = desk.told()[-1]["a"]
    assert (change["P"][0]["pa"], change["P"][0]["ep"], change["B"][0]["wb"]) == ("0.012", "61000.0", "0.00000005")
