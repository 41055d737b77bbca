"""Binance's trading session against a scripted venue: orders, their events once, faults, keys, limits, settings."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from matching import codes
from matching.triggers import Trigger
from tests.venues.binance_venue import BTC_COIN, START_NS, Drive, Venue
from venues.errors import InputError
from venues.orders import (
    Accepted,
    AmendRejected,
    AmendRequest,
    CancelAllRequest,
    Canceled,
    CancelRejected,
    CancelRequest,
    Expired,
    Filled,
    FundingPaid,
    Held,
    Liquidated,
    MarginWarning,
    NotFound,
    OrderRequest,
    Rejected,
    SettingChanged,
    SettingRejected,
    SettingRequest,
)
from venues.ports import CountingEntropy
from venues.session_parts import SECOND, Ping, Reconnect, Reply, Send
from venues.trading import AccountState, Call, Event, NotReady, Open, OutcomeLost
from venues.trading_sessions import Keys, TradingWanted, trading_session


def order(number: int, **more: Any) -> OrderRequest:
    values: dict[str, Any] = {"account": 0, "instrument": 3, "order_no": number, "side": codes.BUY, "lots": 10}
    return OrderRequest(**(values | {"ticks": 500_000} | more))


def cancel(number: int) -> CancelRequest:
    return CancelRequest(account=0, instrument=3, order_no=number)


def amend(number: int, ticks: int, lots: int) -> AmendRequest:
    return AmendRequest(account=0, instrument=3, order_no=number, ticks=ticks, lots=lots)


def names(events: Iterable[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


def placed(count: int = 1, **more: Any) -> Drive:
    """A ready session with open orders 1, 2 ..., their events taken."""
    drive = Drive(**more).start()
    for number in range(1, count + 1):
        drive.session.submit([order(number)], drive.now)
        drive.run()
    drive.taken()
    return drive


def lost(what: str, number: int = 1) -> Any:
    return lambda event: isinstance(event, OutcomeLost) and (event.what, event.order_no) == (what, number)


# -- start


def test_start_measures_the_clock_and_reports_the_account() -> None:
    venue = Venue()
    venue.skew_ms = -7_000  # the venue's clock is 7 s behind ours
    venue.position = -25
    drive = Drive(venue).start()
    assert drive.session.is_ready and not drive.remarks
    (state,) = drive.taken()
    assert isinstance(state, AccountState) and state.is_first and state.wallets_e8 == {"USDT": 1000 * 10**8}
    (position,) = state.positions
    assert (position.instrument, position.lots, position.entry_price_e8) == (3, -25, 5_000_012_345_679)
    assert (position.leverage, position.isolated) == (20, False)
    assert state.ts_event_ns == START_NS - 7 * SECOND
    assert drive.urls[drive.user] == "ws://127.0.0.1:2/private/ws?listenKey=listen1"
    assert drive.urls[drive.api] == "ws://127.0.0.1:2/ws-fapi/v1"


def test_coin_margined() -> None:
    drive = Drive(Venue(BTC_COIN)).start()
    assert drive.session.is_ready and drive.urls[drive.user] == "ws://127.0.0.1:2/ws/listen1"
    drive.session.submit([order(1, lots=7)], drive.now)
    drive.run()
    assert drive.venue.orders["run1-1"]["origQty"] == "7" and drive.urls[drive.api].endswith("/ws-dapi/v1")
    assert all(path.startswith("/dapi/") for method, path, _ in drive.venue.asked if method != "WS")
    drive.venue.fill("run1-1", 7)
    drive.run()
    assert names(drive.taken()) == ["AccountState", "Accepted", "Filled"]


def test_orders_of_an_earlier_life_of_the_run_are_taken_over() -> None:
    first = placed(2)
    drive = Drive(first.venue)
    drive.start()
    (state,) = drive.taken()
    assert isinstance(state, AccountState)
    assert [(at.order_no, at.client_id, at.ticks, at.lots) for at in state.orders] == [
        (1, "run1-1", 500_000, 10), (2, "run1-2", 500_000, 10),
    ]  # fmt: skip
    drive.session.cancel([cancel(2)], drive.now)
    drive.venue.fill("run1-1", 10)
    drive.run()
    assert sorted(names(drive.taken())) == ["Canceled", "Filled"]


@pytest.mark.parametrize(
    ("code", "text", "cure"),
    [(-2014, "API-key format invalid.", "copied whole"), (-2015, "Invalid API-key", "trade futures")],
)
def test_a_wrong_key_is_said_with_its_cure_and_nothing_more_is_sent(code: int, text: str, cure: str) -> None:
    drive = Drive()
    drive.venue.refusals["POST listenKey"] = deque([(401, {"code": code, "msg": text})], maxlen=9)
    drive.start()
    (event,) = drive.taken()
    assert isinstance(event, NotReady) and (event.code, event.text) == (code, text) and cure in event.cure
    before = len(drive.venue.asked)
    drive.session.submit([order(1), order(2)], drive.now)
    drive.session.cancel([cancel(1)], drive.now)
    drive.pass_time(3600 * SECOND, 10 * SECOND)
    assert len(drive.venue.asked) == before and not drive.session.is_ready
    events = drive.taken()
    assert names(events) == ["Rejected", "Rejected", "CancelRejected"]
    assert isinstance(events[0], Rejected) and (events[0].code, events[0].text) == (code, text)


def test_a_wrong_secret_is_said_with_its_cure() -> None:
    drive = Drive(secret="another").start()
    (event,) = drive.taken()
    assert isinstance(event, NotReady) and event.code == -1022 and "secret" in event.cure
    assert "another" not in repr(drive.actions) + repr(drive.session.desk.wanted) + repr(drive.session.desk.signer)


def test_no_keys_no_session() -> None:
    wanted = TradingWanted("binance_usdm", 0, {3: Venue().instrument}, "run1", Keys("", ""))
    with pytest.raises(InputError, match="API key"):
        trading_session(wanted, CountingEntropy())


# -- orders


def test_one_order_goes_by_websocket_and_by_rest_when_that_is_away() -> None:
    for ws in (True, False):
        drive = placed(ws=ws)
        sent = [(method, path) for method, path, parameters in drive.venue.asked if "newClientOrderId" in parameters]
        assert sent == [("WS", "order.place") if ws else ("POST", "/fapi/v1/order")]


@pytest.mark.parametrize(
    ("request_", "wanted"),
    [
        (order(1), {"type": "LIMIT", "timeInForce": "GTC", "price": "50000.0", "quantity": "0.010", "side": "BUY"}),
        (order(1, tif=codes.GTX, reduce_only=True), {"timeInForce": "GTX", "reduceOnly": "true"}),
        (order(1, type=codes.MARKET, side=codes.SELL), {"type": "MARKET", "quantity": "0.010", "side": "SELL"}),
        (order(1, tif=codes.GTD, expires_ns=START_NS + 900 * SECOND), {"goodTillDate": "1790000900000"}),
        (order(1, leg=codes.FLAG_SHORT_LEG, stp=codes.STP_CANCEL_BOTH),
         {"positionSide": "SHORT", "selfTradePreventionMode": "EXPIRE_BOTH"}),
        (order(1, client_id="mine"), {"newClientOrderId": "mine"}),
        (order(1, trigger=Trigger(codes.TRIGGER_STOP, 510_000, codes.WATCH_MARK, protect=True), type=codes.MARKET),
         {"algoType": "CONDITIONAL", "type": "STOP_MARKET", "triggerPrice": "51000.0", "workingType": "MARK_PRICE",
          "priceProtect": "TRUE", "clientAlgoId": "run1-1", "quantity": "0.010"}),
        (order(1, trigger=Trigger(codes.TRIGGER_TAKE_PROFIT, 510_000)), {"type": "TAKE_PROFIT", "price": "50000.0"}),
        (order(1, trigger=Trigger(codes.TRIGGER_TRAILING, 520_000, callback_e12=15 * 10**9), type=codes.MARKET),
         {"type": "TRAILING_STOP_MARKET", "callbackRate": "1.5", "activatePrice": "52000.0"}),
        (order(1, trigger=Trigger(codes.TRIGGER_STOP, 490_000), type=codes.MARKET, lots=0, close_position=True),
         {"closePosition": "true"}),
    ],
)  # fmt: skip
def test_what_an_order_is_on_the_wire(request_: OrderRequest, wanted: dict[str, str]) -> None:
    drive = Drive(ws=False).start()
    drive.session.submit([request_], drive.now)
    call = next(action for action in drive.session.take_actions() if isinstance(action, Call))
    sent = dict(part.split("=") for part in call.body.decode().split("&"))
    assert sent.items() >= wanted.items(), sent
    if "type" in wanted and wanted["type"] == "MARKET":
        assert not {"price", "timeInForce"} & set(sent)
    if "closePosition" in wanted:
        assert not {"quantity", "reduceOnly"} & set(sent)
    assert call.headers["Content-Type"] == "application/x-www-form-urlencoded" and "?" not in call.url


def test_what_the_venue_has_no_word_for_is_refused_here() -> None:
    drive = Drive().start()
    drive.taken()
    trailing = Trigger(codes.TRIGGER_TRAILING, 0, offset_ticks=5)
    index = Trigger(codes.TRIGGER_STOP, 510_000, codes.WATCH_INDEX)
    drive.session.submit(
        [order(1, trigger=trailing, type=codes.MARKET), order(2, trigger=index), order(3, stp=codes.STP_REJECT_TAKER)],
        drive.now,
    )
    drive.run()
    events = drive.taken()
    assert [getattr(event, "reason", None) for event in events] == [codes.R_UNSUPPORTED] * 3


def test_batches_are_five_a_request_and_each_has_its_own_fate() -> None:
    drive = Drive().start()
    drive.taken()
    refused = {"code": -2019, "msg": "Margin is insufficient."}
    drive.venue.refusals["element POST order"] = deque([(200, refused)], maxlen=9)
    drive.session.submit([order(number) for number in range(1, 13)], drive.now)
    drive.run()
    sent = [parameters for method, path, parameters in drive.venue.asked if path.endswith("batchOrders")]
    assert [len(msgspec.json.decode(one["batchOrders"])) for one in sent] == [5, 5, 2]
    events = drive.taken()
    assert names(events) == ["Rejected", *["Accepted"] * 11]
    assert isinstance(events[0], Rejected) and (events[0].reason, events[0].code) == (codes.R_MARGIN, -2019)
    drive.session.amend([amend(number, 499_000, 20) for number in range(2, 9)], drive.now)
    drive.session.cancel([cancel(number) for number in range(2, 13)], drive.now)
    drive.run()
    assert names(drive.taken()) == ["Amended"] * 7 + ["Canceled"] * 11 or sorted(names(drive.taken())) == []


def test_a_short_answer_to_a_batch_leaves_the_rest_unknown() -> None:
    drive = Drive().start()
    drive.taken()
    drive.hold = True
    drive.session.submit([order(1), order(2)], drive.now)
    drive.run()
    ((number, reply),) = drive.answers
    drive.answers.clear()
    rows = msgspec.json.decode(reply.body)
    drive.session.on_reply(int(number), Reply(200, {}, msgspec.json.encode(rows[:1])), drive.now)
    assert names(drive.taken()) == ["Accepted", "OutcomeLost"]
    drive.venue.stream.clear()
    drive.hold = False
    drive.pass_time(3 * SECOND)
    assert names(drive.taken()) == ["Accepted"]


@pytest.mark.parametrize(
    ("code", "reason", "cure"),
    [
        (-1121, codes.R_UNSUPPORTED, "symbol"), (-4014, codes.R_TICK_SIZE, "grid"),
        (-4164, codes.R_MIN_NOTIONAL, "min_n"),
        (-1111, codes.R_TICK_SIZE, "decimals"), (-2019, codes.R_MARGIN, "deposit"), (-5022, codes.R_POST_ONLY, ""),
        (-4024, codes.R_PRICE_BAND, "mark"), (-1015, codes.R_RATE_LIMIT, "fewer"), (-4400, codes.R_HALTED, ""),
        (-9999, codes.R_VENUE, ""), (-1022, codes.R_VENUE, "secret"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("ws", [True, False])
def test_the_venues_code_reaches_the_strategy_typed(code: int, reason: int, cure: str, ws: bool) -> None:
    drive = Drive(ws=ws).start()
    drive.taken()
    drive.venue.refusals["POST order"] = deque([(400, {"code": code, "msg": "its words"})], maxlen=9)
    drive.session.submit([order(1)], drive.now)
    drive.run()
    (event,) = drive.taken()
    assert isinstance(event, Rejected) and (event.reason, event.code, event.text) == (reason, code, "its words")
    assert any(str(code) in remark and cure in remark for remark in drive.remarks), drive.remarks
    assert drive.session.is_ready


def test_cancels_and_amendments_that_are_refused() -> None:
    drive = placed(1)
    drive.venue.end(drive.venue.orders["run1-1"], "CANCELED")
    drive.session.amend([amend(1, 499_000, 10)], drive.now)
    drive.session.cancel([cancel(1)], drive.now)
    drive.hold = True
    drive.run()
    drive.hold = False
    for answer in drive.answers[:]:
        drive.answers.remove(answer)
        drive.deliver(answer)
    events = drive.taken()
    assert names(events) == ["AmendRejected", "CancelRejected"]
    assert isinstance(events[0], AmendRejected) and events[0].code == -2013
    assert isinstance(events[1], CancelRejected) and (events[1].reason, events[1].code) == (16, -2011)
    drive.run()
    assert names(drive.taken()) == ["Canceled"]
    drive.session.cancel([cancel(1), cancel(99)], drive.now)
    drive.session.amend([amend(1, 1, 1)], drive.now)
    assert names(drive.taken()) == ["CancelRejected", "CancelRejected", "AmendRejected"]


@pytest.mark.parametrize(
    ("status", "expiry", "reason"),
    [("EXPIRED", 2, codes.R_IOC_REMAINDER), ("EXPIRED_IN_MATCH", 1, codes.R_STP), ("EXPIRED", 5, codes.R_LIQUIDATION),
     ("EXPIRED", 4, codes.R_REDUCE_ONLY), ("EXPIRED", 9, codes.R_MARKET_REMAINDER), ("EXPIRED", 0, codes.R_EXPIRED),
     ("EXPIRED_IN_MATCH", 0, codes.R_STP)],
)  # fmt: skip
def test_why_an_order_expired(status: str, expiry: int, reason: int) -> None:
    drive = placed(1)
    drive.venue.end(drive.venue.orders["run1-1"], status, expiry)
    drive.run()
    (event,) = drive.taken()
    assert isinstance(event, Expired) and event.reason == reason


def test_cancel_all_takes_held_orders_and_those_still_waiting_too() -> None:
    drive = placed(2)
    held = Trigger(codes.TRIGGER_STOP, 510_000)
    drive.session.submit([order(3, trigger=held)], drive.now)
    drive.run()
    drive.session.desk.throttle.hold(drive.mono_ns + 5 * SECOND, cancels=False)
    drive.session.submit([order(4), order(5)], drive.now)
    drive.session.submit([order(6)], drive.now)
    drive.session.cancel_all(CancelAllRequest(account=0, instrument=3), drive.now)
    drive.pass_time(8 * SECOND)
    assert sorted(names(drive.taken())) == ["Canceled"] * 6 + ["Held"]
    assert set(drive.venue.orders) == {"run1-1", "run1-2"}


# -- conditional orders


def test_a_conditional_order_from_held_to_filled() -> None:
    drive = Drive().start()
    drive.taken()
    drive.session.submit([order(1, trigger=Trigger(codes.TRIGGER_STOP, 510_000), type=codes.MARKET)], drive.now)
    drive.run()
    assert names(drive.taken()) == ["Held"]
    drive.session.amend([amend(1, 1, 1)], drive.now)
    assert names(drive.taken()) == ["AmendRejected"]
    name = drive.venue.trigger("run1-1")  # the order that comes of it is heard of before ALGO_UPDATE names it
    drive.venue.fill(name, 4)
    drive.venue.end(drive.venue.orders[name], "EXPIRED", 9)
    drive.venue.algo(drive.venue.algos["run1-1"], "FINISHED")
    drive.run()
    events = drive.taken()
    assert names(events) == ["Triggered", "Filled", "Expired"]
    assert isinstance(events[2], Expired) and events[2].reason == codes.R_MARKET_REMAINDER


def test_held_orders_that_end_without_triggering() -> None:
    drive = Drive().start()
    drive.taken()
    trigger = Trigger(codes.TRIGGER_STOP, 510_000)
    drive.session.submit([order(number, trigger=trigger) for number in (1, 2, 3)], drive.now)
    drive.run()
    drive.session.cancel([cancel(1)], drive.now)
    drive.venue.algo(drive.venue.algos["run1-2"], "REJECTED", "Margin is insufficient.")
    drive.venue.algo(drive.venue.algos["run1-3"], "EXPIRED")
    drive.run()
    events = drive.taken()
    assert sorted(names(events)) == ["Canceled", "Expired", "Held", "Held", "Held", "Rejected"]
    (refusal,) = [event for event in events if isinstance(event, Rejected)]
    assert (refusal.reason, refusal.text) == (codes.R_MARGIN, "Margin is insufficient.")


def test_a_trigger_that_the_stream_lost_is_found_by_asking() -> None:
    drive = Drive().start()
    drive.session.submit([order(1, trigger=Trigger(codes.TRIGGER_STOP, 510_000), type=codes.MARKET)], drive.now)
    drive.run()
    drive.taken()
    drive.close(drive.user)
    name = drive.venue.trigger("run1-1")
    drive.venue.fill(name, 10)
    drive.venue.stream.clear()
    drive.open(drive.user)
    drive.pass_time(10 * SECOND)
    assert names(drive.taken()) == ["AccountState", "Triggered", "Filled"]


# -- lost answers


@pytest.mark.parametrize(
    "answer",
    [
        Reply(0, {}, b"", "connection reset"),
        Reply(503, {}, b'{"code":-1000,"msg":"Unknown error, please check your request or try again later."}'),
        Reply(503, {}, b"Unknown error, please check your request or try again later."),
        Reply(400, {}, b'{"code":-1007,"msg":"Timeout waiting for response from backend server."}'),
        Reply(400, {}, b'{"code":-1006,"msg":"An unexpected response was received."}'),
        Reply(502, {}, b"<html>Bad Gateway</html>"),
        Reply(200, {}, b'{"orderId": 5}'),
    ],
)  # fmt: skip
@pytest.mark.parametrize("arrived", [True, False])
def test_an_unknown_outcome_is_never_a_refusal_and_is_asked(answer: Reply, arrived: bool) -> None:
    drive = Drive(ws=False).start()
    drive.taken()
    drive.hold = True
    drive.session.submit([order(1)], drive.now)
    drive.run()
    ((number, _),) = drive.answers
    drive.answers.clear()
    drive.venue.stream.clear()
    if not arrived:
        drive.venue.orders.clear()
    drive.session.on_reply(int(number), answer, drive.now)
    drive.hold = False
    events = drive.taken()
    assert names(events) == ["OutcomeLost"] and lost("submit")(events[0])
    drive.pass_time(60 * SECOND)
    told = [name for name in names(drive.taken()) if name != "AccountState"]  # the stream is deaf: opened anew
    assert told == (["Accepted"] if arrived else [])  # -2013 for a minute is no end
    drive.pass_time(90 * SECOND)
    events = drive.taken()
    assert names(events) == ([] if arrived else ["NotFound"])
    assert arrived or isinstance(events[0], NotFound)
    places = [parameters for method, _, parameters in drive.venue.asked if "newClientOrderId" in parameters]
    assert len(places) == 1  # never sent again


@pytest.mark.parametrize(
    "answer",
    [Reply(503, {}, b"Service Unavailable."), Reply(503, {}, b'{"code":-1008,"msg":"Server is overloaded"}'),
     Reply(403, {}, b"<html>WAF</html>")],
)  # fmt: skip
def test_what_was_certainly_not_executed_is_a_refusal(answer: Reply) -> None:
    drive = Drive(ws=False).start()
    drive.taken()
    drive.hold = True
    drive.session.submit([order(1)], drive.now)
    drive.run()
    ((number, _),) = drive.answers
    drive.session.on_reply(int(number), answer, drive.now)
    assert names(drive.taken()) == ["Rejected"]


def test_a_lost_connection_between_sending_and_the_answer() -> None:
    drive = Drive().start()
    drive.taken()
    drive.hold = True
    drive.session.submit([order(1)], drive.now)
    drive.run()
    drive.close(drive.api)
    assert names(drive.taken()) == ["OutcomeLost"]
    drive.hold = False
    drive.run()
    assert names(drive.taken()) == ["Accepted"]  # the stream knew
    drive.session.submit([order(2)], drive.now)
    drive.run()
    assert ("POST", "/fapi/v1/order") in [(method, path) for method, path, _ in drive.venue.asked]


def test_silence_is_a_lost_answer_and_a_late_one_still_counts() -> None:
    drive = placed(1)
    drive.hold = True
    drive.session.submit([order(2)], drive.now)
    drive.run()
    drive.venue.refusals["GET order"] = deque([(400, {"code": -2013, "msg": "Order does not exist."})] * 20, maxlen=20)
    (late,) = drive.answers
    drive.answers.clear()
    drive.mono_ns += 7 * SECOND
    drive.session.on_tick(drive.now)
    actions = drive.session.take_actions()
    assert [action.connection for action in actions if isinstance(action, Reconnect)] == [drive.api]
    assert names(drive.taken()) == ["OutcomeLost"]
    drive.deliver(late)
    assert names(drive.taken()) == ["Accepted"]


def test_a_lost_cancel_is_sent_again_and_a_lost_amendment_is_looked_up() -> None:
    drive = placed(2, ws=False)
    drive.hold = True
    drive.session.cancel([cancel(1)], drive.now)
    drive.session.amend([amend(2, 499_000, 30)], drive.now)
    actions = drive.session.take_actions()
    drive.hold = False
    for action in actions:  # neither reaches the venue
        assert isinstance(action, Call)
        drive.session.on_reply(action.number, Reply(0, {}, b"", "reset"), drive.now)
    assert names(drive.taken()) == ["OutcomeLost", "OutcomeLost"]
    drive.pass_time(5 * SECOND)
    assert names(drive.taken()) == ["Canceled"]
    drive.pass_time(40 * SECOND)
    (event,) = drive.taken()
    assert isinstance(event, AmendRejected) and event.code == 0
    drive.hold = True
    drive.session.amend([amend(2, 499_000, 30)], drive.now)
    drive.run()
    ((number, _),) = drive.answers
    drive.answers.clear()
    drive.venue.stream.clear()  # executed, and nobody says so
    drive.hold = False
    drive.session.on_reply(int(number), Reply(504, {}, b""), drive.now)
    drive.pass_time(3 * SECOND)
    assert names(drive.taken()) == ["OutcomeLost", "Amended"]


def test_a_cancel_that_was_not_executed_for_overload_is_repeated() -> None:
    drive = placed(1)
    busy = (503, {"code": -1008, "msg": "Server is currently overloaded"})
    drive.venue.refusals["DELETE order"] = deque([busy, busy], maxlen=9)
    drive.session.cancel([cancel(1)], drive.now)
    drive.pass_time(5 * SECOND)
    assert names(drive.taken()) == ["Canceled"]


def test_fills_that_only_rest_knows() -> None:
    drive = placed(1)
    drive.venue.fill("run1-1", 3)
    drive.venue.fill("run1-1", 2)
    drive.venue.stream.popleft()  # the first is lost on the way
    drive.run()
    assert names(drive.taken()) == []  # it waits for the one before
    drive.pass_time(3 * SECOND)
    events = drive.taken()
    assert [(event.lots, event.leaves_lots) for event in events if isinstance(event, Filled)] == [(3, 7), (2, 5)]
    drive.venue.fill("run1-1", 1)
    drive.venue.stream.clear()
    drive.session.cancel([cancel(1)], drive.now)
    drive.pass_time(3 * SECOND)
    assert names(drive.taken()) == ["Filled", "Canceled"]


# -- the user stream


def test_after_a_reconnection_missed_fills_and_ends_are_told_before_the_state() -> None:
    drive = placed(3)
    drive.close(drive.user)
    assert not drive.session.is_ready
    drive.venue.fill("run1-1", 4)
    drive.venue.fill("run1-2", 10)
    drive.venue.end(drive.venue.orders["run1-3"], "CANCELED")
    drive.venue.stream.clear()
    drive.open(drive.user)
    drive.pass_time(3 * SECOND)
    events = drive.taken()
    assert names(events) == ["Filled", "Filled", "AccountState", "Canceled"]
    state = events[2]
    assert isinstance(state, AccountState) and not state.is_first and drive.session.is_ready
    assert [(at.order_no, at.filled_lots) for at in state.orders] == [(1, 4)]
    assert [at.lots for at in state.positions] == [14]


def test_events_twice_are_told_once() -> None:
    drive = placed(1)
    drive.venue.fill("run1-1", 4)
    frame = drive.venue.stream[0]
    drive.venue.stream.extend([frame, frame])
    drive.run()
    assert names(drive.taken()) == ["Filled"]


def test_the_listen_key_is_kept_alive_and_replaced() -> None:
    drive = placed(1)
    drive.pass_time(1900 * SECOND, 10 * SECOND)
    keys = [method for method, path, _ in drive.venue.asked if path.endswith("listenKey")]
    assert keys == ["POST", "PUT"]
    drive.venue.refusals["PUT listenKey"] = deque([(400, {"code": -1125, "msg": "no such key"})], maxlen=9)
    drive.venue.key = "listen2"
    drive.pass_time(1900 * SECOND, 10 * SECOND)
    assert drive.urls[drive.user].endswith("listenKey=listen2") and drive.session.is_ready
    drive.venue.key = "listen3"
    drive.venue.say({"e": "listenKeyExpired", "E": 1, "listenKey": "listen2"})
    drive.run()
    assert drive.urls[drive.user].endswith("listenKey=listen3") and drive.session.is_ready
    reconnects = [action for action in drive.actions if isinstance(action, Reconnect)]
    assert [action.connection for action in reconnects] == [drive.user] * 2
    assert [event for event in drive.taken() if isinstance(event, AccountState)]


def test_a_deaf_stream_is_found_by_what_it_does_not_say() -> None:
    drive = placed(1)
    drive.session.submit([order(2)], drive.now)
    drive.hold = True
    drive.run()
    drive.deliver(drive.answers.pop())
    drive.venue.stream.clear()
    drive.hold = False
    assert names(drive.taken()) == ["Accepted"]
    drive.pass_time(12 * SECOND)
    assert [a.why for a in drive.actions if isinstance(a, Reconnect)] == ["an acknowledged order was not heard of"]
    assert drive.session.is_ready and names(drive.taken()) == ["AccountState"]


def test_connections_are_pinged() -> None:
    drive = placed(1)
    drive.pass_time(60 * SECOND)
    pings = [action.connection for action in drive.actions if isinstance(action, Ping)]
    assert pings == [drive.api, drive.user] * 3


def test_a_frame_that_cannot_be_read_is_remarked_and_the_state_asked_for() -> None:
    drive = placed(1)
    for bad in (b"{", b'{"e":"ORDER_TRADE_UPDATE","E":1,"T":1,"o":{"s":"BTCUSDT"}}', b'"x"'):
        drive.session.on_frame(drive.user, bad, drive.now)
    drive.session.on_frame(drive.user, b'{"e":"SOMETHING_NEW","x":1}', drive.now)
    drive.session.on_frame(drive.api, b"[]", drive.now)
    drive.pass_time(3 * SECOND)
    assert any("field o.c" in remark for remark in drive.remarks), drive.remarks
    assert drive.session.is_ready and names(drive.taken()) == ["AccountState"]


# -- time and limits


@pytest.mark.parametrize("ws", [True, False])
def test_a_wrong_timestamp_is_measured_again_and_sent_once_more(ws: bool) -> None:
    drive = placed(1, ws=ws)
    drive.venue.skew_ms = -10_000
    drive.session.submit([order(2)], drive.now)
    drive.run()
    assert names(drive.taken()) == ["Accepted"]
    times = [path for _, path, _ in drive.venue.asked if path.endswith("/time")]
    assert len(times) == 6
    stale = (400, {"code": -1021, "msg": "Timestamp for this request was 1000ms ahead."})
    drive.venue.refusals["POST order"] = deque([stale] * 9, maxlen=9)
    drive.session.submit([order(3)], drive.now)
    drive.run()
    (event,) = drive.taken()
    assert isinstance(event, Rejected) and event.code == -1021
    assert len(drive.venue.refusals["POST order"]) == 7  # not looped


def test_too_many_requests_waits_as_long_as_the_venue_says_and_cancels_go_first() -> None:
    drive = placed(3, ws=False)
    drive.hold = True
    drive.session.submit([order(4)], drive.now)
    actions = drive.session.take_actions()
    assert isinstance(actions[0], Call)
    limited = Reply(429, {"retry-after": "17"}, b'{"code":-1003,"msg":"Too many requests"}')
    drive.session.on_reply(actions[0].number, limited, drive.now)
    events = drive.taken()
    assert isinstance(events[0], Rejected) and (events[0].reason, events[0].code) == (codes.R_RATE_LIMIT, -1003)
    drive.hold = False
    before = len(drive.venue.asked)
    drive.session.submit([order(5)], drive.now)
    drive.session.cancel([cancel(1)], drive.now)
    drive.pass_time(16 * SECOND)
    assert len(drive.venue.asked) == before
    drive.pass_time(2 * SECOND)
    sent = [method for method, path, _ in drive.venue.asked[before:] if path.endswith("/order")]
    assert sent == ["DELETE", "POST"]
    assert names(drive.taken()) == ["Canceled", "Accepted"]


def test_a_ban_silences_everything() -> None:
    drive = placed(1, ws=False)
    drive.venue.refusals["DELETE order"] = deque([(418, {"code": -1003, "msg": "banned"})], maxlen=9)
    drive.session.cancel([cancel(1)], drive.now)
    drive.run()
    before = len(drive.venue.asked)
    drive.pass_time(170 * SECOND)
    assert len(drive.venue.asked) == before
    drive.pass_time(15 * SECOND)
    assert names(drive.taken()) == ["Canceled"]


def test_orders_stay_inside_the_budgets_and_cancels_have_room() -> None:
    drive = Drive().start()
    drive.taken()
    for number in range(1, 400):
        drive.session.submit([order(number)], drive.now)
    drive.session.cancel([cancel(number) for number in range(1, 4)], drive.now)
    sent = [a for a in drive.session.take_actions() if isinstance(a, Send)]
    assert len(sent) == 300
    drive.session.cancel([cancel(399)], drive.now)  # still waits here
    assert [type(event) for event in drive.taken()] == [Canceled]


# -- the account


def account_update(venue: Venue, reason: str, **more: Any) -> None:
    venue.say({"e": "ACCOUNT_UPDATE", "E": venue.now_ms, "T": venue.now_ms, "a": {"m": reason, **more}})


def test_positions_and_wallets_as_the_venue_states_them() -> None:
    drive = placed(1)
    balances = [{"a": "USDT", "wb": "122624.12345678", "cw": "100.12345678", "bc": "50.12345678"}]
    positions = [
        {"s": "BTCUSDT", "pa": "-0.025", "ep": "50000.1", "cr": "200", "up": "0", "mt": "isolated", "iw": "0",
         "ps": "SHORT"},
        {"s": "ETHUSDT", "pa": "1", "ep": "1", "cr": "0", "up": "0", "mt": "cross", "iw": "0", "ps": "BOTH"},
    ]  # fmt: skip
    account_update(drive.venue, "ORDER", B=balances, P=positions)
    drive.venue.stream.append(drive.venue.stream[0])
    drive.run()
    assert [(type(event).__name__, *_shown(event)) for event in drive.taken()] == [
        ("PositionChanged", 3, -25, codes.FLAG_SHORT_LEG),
        ("BalanceChanged", "USDT", 12_262_412_345_678),
    ]


def _shown(event: Any) -> tuple[Any, ...]:
    names_ = ("instrument", "position_lots", "leg", "asset", "wallet_e8")
    return tuple(getattr(event, name) for name in names_ if hasattr(event, name))


def test_funding_counts_once_with_its_rate_and_mark() -> None:
    drive = placed(1)
    drive.venue.position = 20
    drive.close(drive.user)
    drive.open(drive.user)
    drive.run()
    drive.taken()
    hour_ms = 3_600_000
    boundary_ms = (drive.venue.now_ms // hour_ms + 1) * hour_ms
    drive.venue.now_ms = boundary_ms + 4_000
    row = {"symbol": "BTCUSDT", "incomeType": "FUNDING_FEE", "income": "-0.37500000", "asset": "USDT", "info": "",
           "time": boundary_ms + 3, "tranId": 9689322392, "tradeId": ""}  # fmt: skip
    drive.venue.rates = [{"symbol": "BTCUSDT", "fundingRate": "0.00010000", "fundingTime": boundary_ms + 1,
                          "markPrice": "50000.00000000"}]  # fmt: skip
    for _ in range(2):
        account_update(drive.venue, "FUNDING_FEE", B=[{"a": "USDT", "wb": "9", "cw": "9", "bc": "-0.375"}])
    drive.run()
    drive.pass_time(3 * SECOND)
    drive.venue.income.append(row)  # the endpoint is late
    drive.pass_time(30 * SECOND)
    found = [event for event in drive.taken() if isinstance(event, FundingPaid)]
    assert [(e.instrument, e.boundary_ns // 1_000_000, e.position_lots, e.rate_e12, e.mark_e8, e.payment_e8)
            for e in found] == [(3, boundary_ms, 20, 10**8, 50_000 * 10**8, -37_500_000)]  # fmt: skip
    account_update(drive.venue, "FUNDING_FEE", B=[])
    drive.pass_time(5 * SECOND)
    assert not [event for event in drive.taken() if isinstance(event, FundingPaid)]


def test_margin_calls_liquidations_and_foreign_orders() -> None:
    drive = placed(1)
    drive.venue.say(
        {"e": "MARGIN_CALL", "E": 1587727187525, "cw": "3.16812045",
         "p": [{"s": "BTCUSDT", "ps": "LONG", "pa": "1.327", "mt": "CROSSED", "iw": "0", "mp": "187.17127",
                "up": "-1.166074", "mm": "1.614445"}]}
    )  # fmt: skip
    taken_over = {
        "orderId": 5, "symbol": "BTCUSDT", "status": "NEW", "clientOrderId": "autoclose-1", "price": "49000",
        "origQty": "0.002", "executedQty": "0", "side": "SELL", "type": "LIQUIDATION", "timeInForce": "IOC",
    }  # fmt: skip
    drive.venue.push(taken_over, "NEW")
    taken_over |= {"status": "FILLED", "executedQty": "0.002"}
    drive.venue.push(taken_over, "CALCULATED", l="0.002", L="49000.0", t=77, n="0.5", N="USDT", rp="-3")
    by_hand = taken_over | {"clientOrderId": "web_1", "orderId": 6}
    drive.venue.push(by_hand, "TRADE", l="0.002", L="49000.0", t=78)
    drive.run()
    call, forced = drive.taken()
    assert isinstance(call, MarginWarning) and (call.margin_e8, call.maintenance_e8) == (200_204_645, 161_444_500)
    assert isinstance(forced, Liquidated)
    assert (forced.side, forced.ticks, forced.lots, forced.realized_e8, forced.fee_e8) == (
        codes.SELL, 490_000, 2, -3 * 10**8, 5 * 10**7,
    )  # fmt: skip
    assert any("not this run's" in remark for remark in drive.remarks)


# -- settings


def setting(kind: int, value: int, number: int = 1) -> SettingRequest:
    return SettingRequest(account=0, instrument=3, number=number, setting=kind, value=value)


@pytest.mark.parametrize(
    ("request_", "path", "wanted"),
    [
        (setting(codes.SETTING_LEVERAGE, 7), "leverage", {"leverage": "7"}),
        (setting(codes.SETTING_MODE, codes.MODE_ISOLATED), "marginType", {"marginType": "ISOLATED"}),
        (setting(codes.SETTING_MARGIN, 125 * 10**7), "positionMargin", {"amount": "12.50000000"[:-1], "type": "1"}),
        (setting(codes.SETTING_SHORT_MARGIN, -5), "positionMargin",
         {"amount": "0.00000005", "type": "2", "positionSide": "SHORT"}),
        (setting(codes.SETTING_DEAD_MAN, 60 * SECOND), "countdownCancelAll", {"countdownTime": "60000"}),
    ],
)  # fmt: skip
def test_settings(request_: SettingRequest, path: str, wanted: dict[str, str]) -> None:
    drive = placed(1)
    drive.session.change(request_, drive.now)
    drive.run()
    sent = [parameters for _, asked, parameters in drive.venue.asked if asked.endswith(path)]
    if path == "positionMargin" and request_.value > 0:
        wanted = wanted | {"amount": "12.50000000"}
    assert sent[0].items() >= wanted.items()
    (event,) = drive.taken()
    assert isinstance(event, SettingChanged) and (event.number, event.value) == (1, request_.value)


def test_settings_refused_and_lost() -> None:
    drive = placed(1)
    drive.session.change(setting(codes.SETTING_MODE, codes.MODE_CROSS), drive.now)
    drive.run()
    (event,) = drive.taken()
    assert isinstance(event, SettingRejected) and (event.reason, event.code) == (codes.R_SAME_SETTING, -4046)
    drive.hold = True
    drive.session.change(setting(codes.SETTING_MODE, codes.MODE_ISOLATED, 2), drive.now)
    drive.run()
    ((number, _),) = drive.answers  # executed, its answer lost
    drive.answers.clear()
    drive.hold = False
    drive.session.on_reply(int(number), Reply(0, {}, b"", "reset"), drive.now)
    drive.pass_time(5 * SECOND)
    (event,) = drive.taken()
    assert isinstance(event, SettingChanged) and event.number == 2
    drive.hold = True
    drive.session.change(setting(codes.SETTING_MARGIN, 10**8, 3), drive.now)
    drive.run()
    ((number, _),) = drive.answers
    drive.answers.clear()
    drive.hold = False
    drive.session.on_reply(int(number), Reply(0, {}, b"", "reset"), drive.now)
    drive.run()
    assert names(drive.taken()) == ["OutcomeLost", "AccountState"]
    account_update(
        drive.venue, "MARGIN_TRANSFER",
        P=[{"s": "BTCUSDT", "pa": "0", "ep": "0", "cr": "0", "up": "0", "mt": "isolated", "iw": "1", "ps": "BOTH"}],
    )  # fmt: skip
    drive.run()
    assert names(drive.taken()) == ["PositionChanged", "SettingChanged"]


def test_the_countdown_that_runs_out_is_told_apart() -> None:
    drive = placed(1)
    drive.session.change(setting(codes.SETTING_DEAD_MAN, 10 * SECOND), drive.now)
    drive.pass_time(11 * SECOND)
    drive.venue.end(drive.venue.orders["run1-1"], "CANCELED")
    drive.run()
    (event,) = [event for event in drive.taken() if isinstance(event, Canceled)]
    assert event.reason == codes.R_DEAD_MAN


def test_stop_gives_the_key_back_and_sends_nothing_more() -> None:
    drive = placed(1)
    drive.session.stop(drive.now)
    drive.run()
    assert drive.venue.asked[-1][:2] == ("DELETE", "/fapi/v1/listenKey") and not drive.session.is_ready
    before = len(drive.venue.asked)
    drive.pass_time(7200 * SECOND, 60 * SECOND)
    assert len(drive.venue.asked) == before


def test_opens_and_held_names() -> None:
    drive = Drive().start()
    assert [action.connection for action in drive.actions if isinstance(action, Open)] == [drive.api, drive.user]
    assert Held.kind == codes.EV_HELD and Accepted.kind == codes.EV_ACCEPTED
