"""Binance's trading session against a scripted venue: its start, orders and conditional orders."""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec
import pytest

from matching import codes
from matching.triggers import Trigger
from sim.live.words import cure as live_cure
from tests.venues.binance_venue import BTC_COIN, START_NS, Drive, Venue, amend, cancel, names, order, placed
from venues.binance import trading_encode as encode
from venues.binance.reasons import ERROR_CODES, cure_of, expiry_reason, reason_of
from venues.errors import InputError
from venues.orders import (
    AmendRejected,
    CancelAllRequest,
    CancelRejected,
    Expired,
    Filled,
    OrderRequest,
    Rejected,
)
from venues.ports import CountingEntropy
from venues.session_parts import SECOND, Reply, Send
from venues.trading import AccountState, Call, NotReady
from venues.trading_sessions import Keys, TradingWanted, trading_session

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


@pytest.mark.parametrize("more", [{}, {"side": codes.SELL, "tif": codes.GTX}, {"tif": codes.IOC, "client_id": "a/b:c"},
                                  {"client_id": 'quoted "&="'}, {"reduce_only": True}, {"lots": 1234567}])  # fmt: skip
def test_an_order_that_leaves_before_the_books_are_kept_is_the_same_order(more: dict[str, Any]) -> None:
    frames = []
    for direct in (True, False):
        drive = Drive(direct=direct).start()
        drive.actions.clear()
        drive.session.submit([order(1, **more)], drive.now)
        has_left = len(drive.actions)
        drive.run()
        found = [action.payload for action in drive.actions if isinstance(action, Send)]
        assert len(found) == 1 and has_left == (direct and encode.is_plain(order(1, **more)))
        frames.append(msgspec.json.decode(found[0]))
        assert names(drive.events)[-1:] == ["Accepted"]
    assert frames[0] == frames[1]


def test_an_order_without_room_in_the_budgets_waits_also_when_it_could_be_written_at_once() -> None:
    drive = Drive().start()
    drive.hold = True
    drive.actions.clear()
    for number in range(1, 301):  # 300 orders in 10 s
        drive.session.submit([order(number)], drive.now)
    drive.mono_ns += 9 * SECOND
    drive.session.submit([order(301)], drive.now)
    assert len(drive.actions) == 300 and not drive.session.take_actions()
    drive.mono_ns += SECOND
    drive.session.submit([order(302)], drive.now)
    sent = [msgspec.json.decode(action.payload) for action in drive.session.take_actions() if isinstance(action, Send)]
    assert [one["params"]["newClientOrderId"] for one in sent] == ["run1-301", "run1-302"]


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
    assert cure in drive.session.cure(code) and bool(cure) == bool(drive.session.cure(code))
    assert not any("its words" in remark for remark in drive.remarks)  # who hears the event says it, once
    assert drive.session.is_ready


def test_every_refusal_can_be_cured_by_its_code_or_its_reason() -> None:
    undone = {-1000, -1006, -1007, -1120, -1125, -5037, -5038, -5041}  # no refusals, or of what is never asked for
    lacking = [row.code for row in ERROR_CODES if not (cure_of(row.code) or live_cure(reason_of(row.code)))]
    assert set(lacking) == undone


def test_fees_in_another_asset_are_told_apart_by_the_stream_and_by_user_trades() -> None:
    drive = placed(2)
    drive.venue.fee_asset = "BNB"
    drive.venue.fill("run1-1", 4)
    drive.run()
    drive.venue.fill("run1-2", 4)
    drive.venue.stream.clear()
    drive.close(drive.user)
    drive.open(drive.user)
    drive.pass_time(5 * SECOND)
    fills = [event for event in drive.taken() if isinstance(event, Filled)]
    assert [(event.order_no, event.fee_e8, event.other_fee_e8, event.other_asset) for event in fills] == [
        (1, 0, 1_000_000, "BNB"), (2, 0, 1_000_000, "BNB"),
    ]  # fmt: skip


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


@pytest.mark.parametrize(
    ("expiry", "order_type", "tif", "reason"),
    [
        (0, "LIMIT", "GTX", codes.R_POST_ONLY),  # an amendment would have taken
        (5, "LIMIT", "GTX", codes.R_LIQUIDATION),
        (2, "LIMIT", "IOC", codes.R_IOC_REMAINDER),
        (2, "LIMIT", "FOK", codes.R_FOK),
        (9, "MARKET", "GTC", codes.R_MARKET_REMAINDER),
        (0, "LIMIT", "GTC", codes.R_EXPIRED),
    ],
)
def test_the_reason_of_an_expiry(expiry: int, order_type: str, tif: str, reason: int) -> None:
    assert expiry_reason("EXPIRED", expiry, order_type, tif) == reason
