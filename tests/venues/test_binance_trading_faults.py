"""Binance's trading session when answers are lost, events late or twice, keys expired, clocks wrong, limits hit."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from matching import codes
from tests.venues.binance_venue import Drive, amend, cancel, names, order, placed
from venues.orders import (
    AmendRejected,
    Canceled,
    Expired,
    Filled,
    NotFound,
    Rejected,
)
from venues.session_parts import SECOND, Ping, Reconnect, Reply, Send
from venues.trading import AccountState, Call, OutcomeLost


def lost(what: str, number: int = 1) -> Any:
    return lambda event: isinstance(event, OutcomeLost) and (event.what, event.order_no) == (what, number)


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
     Reply(403, {}, b"<html>WAF</html>"), Reply(429, {"retry-after": "5"}, b""), Reply(418, {"retry-after": "5"}, b"")],
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


def test_at_the_end_a_lost_outcome_is_asked_for_at_once() -> None:
    drive = Drive(ws=False).start()
    drive.hold = True
    drive.session.submit([order(1)], drive.now)
    drive.run()
    drive.venue.orders.clear()
    drive.venue.stream.clear()
    ((number, _),) = drive.answers
    drive.answers.clear()
    drive.session.on_reply(int(number), Reply(0, {}, b"", "connection reset"), drive.now)
    drive.hold = False
    drive.pass_time(40 * SECOND)
    before = len(drive.venue.asked)
    drive.pass_time(5 * SECOND)
    assert len(drive.venue.asked) == before  # asked ever more rarely
    assert drive.session.client_id(1) == "run1-1"
    drive.session.ask_again(drive.now)
    drive.run()
    assert [path for _, path, _ in drive.venue.asked[before:]] == ["/fapi/v1/order"]


def test_an_accepted_order_that_the_venue_forgets_is_over_with_what_it_filled_in_silence() -> None:
    drive = placed(2)
    for number in (1, 2):
        forgotten = drive.venue.orders.pop(f"run1-{number}")
        if number == 2:
            drive.venue.orders["run1-2"] = forgotten
            drive.venue.fill("run1-2", 4)
            del drive.venue.orders["run1-2"]
    drive.venue.stream.clear()
    drive.session.cancel([cancel(1), cancel(2)], drive.now)
    drive.pass_time(60 * SECOND)
    assert set(names(drive.taken())) == {"CancelRejected"}  # -2013 for a minute is no end
    drive.pass_time(90 * SECOND)
    events = drive.taken()
    ends = {event.order_no: event for event in events if isinstance(event, Expired)}
    assert set(ends) == {1, 2} and all(event.reason == codes.R_UNKNOWN_ORDER for event in ends.values())
    assert [(event.order_no, event.lots) for event in events if isinstance(event, Filled)] == [(2, 4)]
    asked = [path for method, path, _ in drive.venue.asked if method == "GET"]
    assert asked.count("/fapi/v1/allOrders") == 2
    drive.pass_time(120 * SECOND)
    assert drive.taken() == [] and not len(drive.session.commands.inquiries)


def test_an_accepted_order_that_only_its_history_knows_ends_as_that_says() -> None:
    drive = placed(1)
    drive.venue.end(drive.venue.orders["run1-1"], "CANCELED")
    drive.venue.stream.clear()
    drive.venue.refusals["GET order"] = deque([(400, {"code": -2013, "msg": "Order does not exist."})] * 40, maxlen=40)
    drive.session.cancel([cancel(1)], drive.now)
    drive.pass_time(150 * SECOND)
    assert names(drive.taken())[-1] == "Canceled"


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


def test_a_question_does_not_hang_on_the_websocket_that_lost_the_order() -> None:
    drive = placed(1)
    drive.hold = True
    drive.session.submit([order(2)], drive.now)
    for _ in range(6):  # whatever leaves by the websocket is not answered
        drive.run()
        drive.answers.clear()
        drive.mono_ns += 7 * SECOND
        drive.session.on_tick(drive.now)
    asked = [one[2]["origClientOrderId"] for one in drive.venue.asked if one[:2] == ("GET", "/fapi/v1/order")]
    assert asked and set(asked) == {"run1-2"}


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


def test_an_order_that_waits_for_the_venues_time_is_refused_when_its_moment_is_over() -> None:
    drive = placed(1)
    drive.venue.refusals["POST order"] = deque([(400, {"code": -1021, "msg": "Timestamp"})], maxlen=1)
    drive.venue.refusals["GET time"] = deque([(500, {"code": -1, "msg": "gone"})] * 9, maxlen=9)
    drive.session.submit([order(2)], drive.now)
    drive.pass_time(SECOND)
    assert drive.taken() == []
    drive.pass_time(2 * SECOND)
    (event,) = drive.taken()
    assert isinstance(event, Rejected) and event.text.startswith("not sent")
    drive.pass_time(60 * SECOND)
    assert set(drive.venue.orders) == {"run1-1"}


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
    (event,) = drive.taken()
    assert isinstance(event, Rejected) and event.order_no == 5  # at the price of a moment that is over: not sent
    assert event.reason == codes.R_RATE_LIMIT and event.text.startswith("not sent: it could not leave for 2s")
    drive.session.submit([order(6)], drive.now)  # this one need not wait for long
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
    drive = Drive(direct=False).start()
    drive.taken()
    for number in range(1, 400):
        drive.session.submit([order(number)], drive.now)
    drive.session.cancel([cancel(number) for number in range(1, 4)], drive.now)
    sent = [a for a in drive.session.take_actions() if isinstance(a, Send)]
    assert len(sent) == 300
    drive.session.cancel([cancel(399)], drive.now)  # still waits here
    assert [type(event) for event in drive.taken()] == [Canceled]
