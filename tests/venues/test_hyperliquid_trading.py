"""The Hyperliquid trading session against a scripted venue: commands, events once in any order, faults, bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from matching import codes
from matching.triggers import Trigger
from tests.venues.hyperliquid_scripted import Venue, Wired, wanted
from venues.errors import InputError
from venues.hyperliquid.trading import HyperliquidTrading
from venues.hyperliquid.trading_account import SETTLE_NS
from venues.orders import CancelAllRequest
from venues.ports import CountingEntropy
from venues.session_parts import Reply
from venues.trading_sessions import Keys, trading_session


@pytest.fixture
def w() -> Wired:
    return Wired().start()


# -- the beginning


def test_it_begins_with_the_state_and_a_proof_of_the_key(w: Wired) -> None:
    [state] = w.account_states()
    assert state.is_first and state.wallets_e8 == {"USDC": 100_050_000_000}
    assert state.positions == () and state.orders == ()
    assert [action["type"] for action in w.venue.actions] == ["noop"]
    asked = {body["type"] for what, body in w.calls}
    assert asked == {
        "meta", "userAbstraction", "userRateLimit", "frontendOpenOrders", "clearinghouseState",
        "spotClearinghouseState",
    }  # fmt: skip
    kinds = [one["subscription"]["type"] for one in w.sent if one["method"] == "subscribe"]
    assert kinds == ["orderUpdates", "userFills", "userEvents", "userFundings"]


def test_a_position_and_foreign_orders_are_stated() -> None:
    venue = Venue()
    venue._place(_wire("0x" + "ab" * 16))
    venue.position = -500
    w = Wired(venue).start()
    [state] = w.account_states()
    assert state.positions[0].lots == -500 and state.positions[0].entry_price_e8 == 6_000_010_000_000
    assert state.wallets_e8 == {"USDC": 100_000_000_000}  # account value less the unrealized half dollar
    assert [(at.order_no, at.ticks, at.lots) for at in state.orders] == [(0, 600_000, 1000)]
    w.session.cancel_all(CancelAllRequest(account=0, instrument=0), w.now)
    w.run()
    assert venue.open() == [] and venue.actions[-1] == {"type": "cancel", "cancels": [{"a": 1, "o": 101}]}


def _wire(cloid: str) -> dict[str, Any]:
    return {"a": 1, "b": True, "p": "60000", "s": "0.01", "r": False, "t": {"limit": {"tif": "Gtc"}}, "c": cloid}


def test_an_account_in_unified_mode_has_its_money_among_spot_balances() -> None:
    w = Wired(Venue(infos={"userAbstraction": "unifiedAccount"})).start()
    assert w.account_states()[0].wallets_e8 == {"USDC": 1_250_000_000}


def test_a_wrong_key_is_not_ready_before_any_order() -> None:
    w = Wired(Venue(signers=set()))
    w.session.start(w.now)
    w.run()
    [report] = w.not_ready()
    assert not w.session.is_ready and "does not exist" in report.text and "approved" in report.cure
    w.submit(w.order(1))
    w.run()
    assert w.kinds(1) == ["Rejected"] and len(w.venue.orders) == 0


def test_the_registry_makes_the_session() -> None:
    assert isinstance(trading_session(wanted(), CountingEntropy()), HyperliquidTrading)
    assert "0123456789" not in repr(wanted()) + repr(trading_session(wanted(), CountingEntropy()))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"keys": Keys("", "nonsense")}, "private key"), ({"address": "0x12"}, "address"), ({"vault": "me"}, "vault"),
        ({"rest": "http://192.0.2.1"}, "TLS"), ({"run": "!"}, "run"),
    ],
)  # fmt: skip
def test_wrong_settings_are_named(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError, match=field):
        HyperliquidTrading(wanted(**changes), CountingEntropy())


def test_a_vault_and_an_agent_are_signed_for() -> None:
    vault = "0x1719884eb866cb12b2287399b15f7db5e7d775ea"
    w = Wired(vault=vault, address="0x" + "22" * 20).start()
    assert {body["user"] for _, body in w.calls if "user" in body} == {vault}
    assert w.sent[0]["subscription"]["user"] == vault
    w.submit(w.order(1))
    assert w.sent[-1]["request"]["payload"]["vaultAddress"] == vault
    w.run()
    assert w.kinds(1) == ["Accepted"]


# -- orders


def test_the_wire_of_orders(w: Wired) -> None:
    stop = Trigger(codes.TRIGGER_STOP, 590_000)
    take = Trigger(codes.TRIGGER_TAKE_PROFIT, 650_005)
    w.submit(
        w.order(1, ticks=1_000_000, lots=100_000),
        w.order(2, side=codes.SELL, tif=codes.GTX, ticks=600_001, lots=1),
        w.order(3, tif=codes.IOC, reduce_only=True),
        w.order(4, side=codes.SELL, trigger=stop, type=codes.MARKET, ticks=0, reduce_only=True),
        w.order(5, side=codes.SELL, trigger=take, ticks=650_000),
        w.order(6, client_id="0x" + "AB" * 16),
    )
    payload = w.sent[-1]["request"]["payload"]
    wires = payload["action"]["orders"]
    assert [list(wire) for wire in wires] == [["a", "b", "p", "s", "r", "t", "c"]] * 6
    assert [(wire["b"], wire["p"], wire["s"], wire["r"]) for wire in wires] == [
        (True, "100000", "1", False),
        (False, "60000.1", "0.00001", False),  # six digits: the refusal is the venue's
        (True, "60000", "0.01", True),
        (False, "53100", "0.01", True),
        (False, "65000", "0.01", False),
        (True, "60000", "0.01", False),
    ]
    assert [wire["t"] for wire in wires] == [
        {"limit": {"tif": "Gtc"}},
        {"limit": {"tif": "Alo"}},
        {"limit": {"tif": "Ioc"}},
        {"trigger": {"isMarket": True, "triggerPx": "59000", "tpsl": "sl"}},
        {"trigger": {"isMarket": False, "triggerPx": "65000.5", "tpsl": "tp"}},
        {"limit": {"tif": "Gtc"}},
    ]
    assert wires[5]["c"] == "0x" + "ab" * 16 and len({wire["c"] for wire in wires}) == 6
    assert payload["expiresAfter"] - payload["nonce"] <= 30_000


def test_a_market_order_waits_for_a_price_and_is_bounded_by_it(w: Wired) -> None:
    w.venue.match = lambda order: order.left
    w.submit(w.order(1, type=codes.MARKET, ticks=0), w.order(2, type=codes.MARKET, ticks=0, side=codes.SELL))
    assert w.sent[-1] == {"method": "subscribe", "subscription": {"type": "bbo", "coin": "BTC"}}
    w.run()
    assert w.kinds(1) == w.kinds(2) == ["Accepted", "Filled"]
    assert [wire["p"] for wire in w.venue.actions[-1]["orders"]] == ["63000", "57001"]
    before = len(w.sent)
    w.submit(w.order(3, type=codes.MARKET, ticks=0))
    assert len(w.sent) == before + 1  # the price is known by now


def test_a_market_order_that_waited_is_not_priced_by_a_book_of_the_connection_before(w: Wired) -> None:
    w.venue.match = lambda order: order.left
    w.submit(w.order(1, type=codes.MARKET, ticks=0))
    w.run()
    for number, downtime_ms in ((2, 500), (3, 2500)):
        w.session.account.throttle.hold(w.mono_ns + 200_000_000, cancels=False)
        w.submit(w.order(number, type=codes.MARKET, ticks=0))
        w.disconnect()
        for _ in range(downtime_ms // 100):
            w.tick(100)
        w.connect()
        w.settle(3)
    assert w.kinds(2) == ["Accepted", "Filled"]
    assert w.kinds(3) == ["Rejected"] and w.of(3)[0].reason == codes.R_NO_BOOK


def test_an_order_that_waits_for_room_is_canceled_without_leaving(w: Wired) -> None:
    w.session.account.throttle.hold(w.mono_ns + 1_000_000_000, cancels=False)
    w.submit(w.order(1), w.order(2))
    w.cancel(1)
    w.settle(3)
    assert w.kinds(1) == ["Canceled"] and w.kinds(2) == ["Accepted"] and len(w.venue.orders) == 1


def test_a_market_order_without_a_price_is_given_up(w: Wired) -> None:
    w.submit(w.order(1, type=codes.MARKET, ticks=0))
    w.pending.clear()
    for _ in range(60):
        w.tick(100)
    assert w.kinds(1) == ["Rejected"] and w.of(1)[0].reason == codes.R_NO_BOOK


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tif": codes.FOK}, codes.R_UNSUPPORTED), ({"tif": codes.GTD, "expires_ns": 5}, codes.R_UNSUPPORTED),
        ({"leg": codes.FLAG_LONG_LEG}, codes.R_POSITION_SIDE), ({"client_id": "mine"}, codes.R_CLIENT_ID),
        ({"stp": codes.STP_CANCEL_BOTH}, codes.R_UNSUPPORTED),
        ({"trigger": Trigger(codes.TRIGGER_STOP, 5, codes.WATCH_LAST)}, codes.R_UNSUPPORTED),
        ({"trigger": Trigger(codes.TRIGGER_TRAILING, 0, callback_e12=5)}, codes.R_UNSUPPORTED),
    ],
)  # fmt: skip
def test_what_the_venue_does_not_have_is_not_sent(w: Wired, changes: dict[str, Any], reason: int) -> None:
    before = len(w.sent)
    w.submit(w.order(1, **changes))
    assert len(w.sent) == before and w.of(1)[0].reason == reason and w.of(1)[0].text.startswith("not sent")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("Price must be divisible by tick size. asset=1", codes.R_TICK_SIZE),
        ("Order must have minimum value of $10. asset=1", codes.R_MIN_NOTIONAL),
        ("Insufficient margin to place order. asset=1", codes.R_MARGIN),
        ("Reduce only order would increase position. asset=1", codes.R_REDUCE_ONLY),
        ("Post only order would have immediately matched, bbo was 60000@60001. asset=1", codes.R_POST_ONLY),
        ("Invalid TP/SL price. asset=1", codes.R_TRIGGER),
        ("Order price cannot be more than 95% away from the reference price", codes.R_PRICE_BAND),
        ("Order has zero size.", codes.R_LOT_SIZE),
        ("something new", codes.R_VENUE),
    ],
)
def test_refusals_keep_the_venues_words(w: Wired, words: str, reason: int) -> None:
    w.venue.refuse_order = lambda order: words
    w.submit(w.order(1), w.order(2))
    w.run()
    [event] = w.of(1)
    assert (type(event).__name__, event.reason, event.text) == ("Rejected", reason, words)
    w.venue.refuse_order, w.venue.refuse = (lambda order: None), (lambda action: words)
    w.submit(w.order(3), w.order(4))  # one error for the whole batch
    w.run()
    assert [w.of(number)[0].text for number in (3, 4)] == [words, words]


def test_an_ioc_order_that_finds_nothing_was_accepted_and_expired(w: Wired) -> None:
    w.submit(w.order(1, tif=codes.IOC))
    sent_ns = w.venue.now_ms * 1_000_000
    w.run()
    assert w.kinds(1) == ["Accepted", "Expired"] and w.of(1)[1].reason == codes.R_IOC_REMAINDER
    assert [event.ts_event_ns for event in w.of(1)] == [sent_ns, sent_ns]


def test_the_rest_of_an_ioc_order_expires_after_its_fills(w: Wired) -> None:
    w.venue.match = lambda order: 300
    w.submit(w.order(1, tif=codes.IOC), w.order(2, type=codes.MARKET, ticks=630_000))
    w.run()
    assert w.kinds(1) == w.kinds(2) == ["Accepted", "Filled", "Expired"]
    assert (w.of(1)[2].reason, w.of(2)[2].reason) == (codes.R_IOC_REMAINDER, codes.R_MARKET_REMAINDER)
    fill = w.of(1)[1]
    assert (fill.liquidity, fill.fee_e8, fill.leaves_lots) == (codes.LIQ_TAKER, 100_000, 700)


def test_an_answer_leaves_it_to_the_stream_to_say_when(w: Wired) -> None:
    w.submit(w.order(1), w.order(2))
    w.arrive(0)
    answer = w.pending.pop()
    later, w.pending = w.pending, [answer]
    w.deliver()
    assert w.kinds(1) == []
    w.pending = later[:1]
    w.deliver()
    assert w.kinds(1) == ["Accepted"] and w.of(1)[0].ts_event_ns == w.venue.now_ms * 1_000_000
    w.tick(100)  # of the other one the stream says nothing
    assert w.kinds(2) == ["Accepted"] and w.of(2)[0].ts_event_ns == 0


ORDERS_OF_ARRIVAL: list[Callable[[str], int]] = [
    lambda channel: ("post", "userFills", "user", "orderUpdates").index(channel),
    lambda channel: ("orderUpdates", "post", "user", "userFills").index(channel),
    lambda channel: ("userFills", "orderUpdates", "user", "post").index(channel),
    lambda channel: ("user", "post", "userFills", "orderUpdates").index(channel),
]


@pytest.mark.parametrize("rank", ORDERS_OF_ARRIVAL)
def test_every_event_once_in_whatever_order_the_messages_come(w: Wired, rank: Callable[[str], int]) -> None:
    w.venue.match = lambda order: 300
    w.submit(w.order(1, tif=codes.IOC), w.order(2))
    w.arrive(0)  # at the venue
    w.venue.fill(w.venue.open()[0], 1000)
    w.pushed()
    frames = sorted(w.pending, key=lambda one: rank(one[1]["channel"]))
    w.pending = frames + frames  # and everything twice
    w.run()
    assert w.kinds(1) == ["Accepted", "Filled", "Expired"]
    assert w.kinds(2) == ["Accepted", "Filled"]
    assert all(state.is_closed for state in w.states.values())
    assert not [event for event in w.events if type(event).__name__ == "PositionChanged"]


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        ("marginCanceled", "Expired", codes.R_MARGIN), ("selfTradeCanceled", "Expired", codes.R_STP),
        ("reduceOnlyCanceled", "Expired", codes.R_REDUCE_ONLY), ("scheduledCancel", "Canceled", codes.R_DEAD_MAN),
        ("liquidatedCanceled", "Expired", codes.R_LIQUIDATION), ("canceled", "Canceled", codes.R_USER),
        ("delistedCanceled", "Expired", codes.R_HALTED), ("somethingNewCanceled", "Expired", codes.R_VENUE),
    ],
)  # fmt: skip
def test_ends_by_the_venue_keep_their_reason(w: Wired, status: str, kind: str, reason: int) -> None:
    w.submit(w.order(1))
    w.run()
    w.venue.close(w.venue.open()[0], status)
    w.run()
    assert w.kinds(1) == ["Accepted", kind] and w.of(1)[1].reason == reason


def test_a_refusal_told_by_the_stream_first_has_its_time(w: Wired) -> None:
    order = w.order(1, tif=codes.GTX)
    w.submit(order)
    cloid = w.session.account.ledger[1].client_id
    row = {"coin": "BTC", "side": "B", "limitPx": "60000.0", "sz": "0.01", "oid": 9, "timestamp": 5, "origSz": "0.01",
           "cloid": cloid, "new": {"fields": []}}  # fmt: skip
    data = [{"order": row, "status": "badAloPxRejected", "statusTimestamp": 7}]
    w.session.on_frame("trade", json.dumps({"channel": "orderUpdates", "data": data}).encode(), w.now)
    w.venue.refuse_order = lambda order: "Post only order would have immediately matched, bbo was 1@2."
    w.run()
    assert w.kinds(1) == ["Rejected"] and (w.of(1)[0].reason, w.of(1)[0].ts_event_ns) == (codes.R_POST_ONLY, 7_000_000)


def test_held_orders_are_triggered_and_executed(w: Wired) -> None:
    w.submit(w.order(1, trigger=Trigger(codes.TRIGGER_STOP, 610_000), type=codes.MARKET, ticks=0))
    w.run()
    assert w.kinds(1) == ["Held"]
    order = w.venue.open()[0]
    w.venue._say(order, "triggered")
    w.venue.fill(order, 1000, crossed=True)
    w.run()
    assert w.kinds(1) == ["Held", "Triggered", "Filled"] and w.states[1].is_closed
    w.submit(w.order(2, trigger=Trigger(codes.TRIGGER_STOP, 610_000), type=codes.MARKET, ticks=0))
    w.run()
    w.cancel(2)
    assert "f" not in w.sent[-1]["request"]["payload"]["action"]  # fast cancels are refused for such orders
    w.run()
    assert w.kinds(2) == ["Held", "Canceled"]


# -- cancels and amendments


def test_cancels_by_cloid_in_one_action(w: Wired) -> None:
    w.submit(w.order(1), w.order(2))
    w.run()
    w.cancel(1, 2)
    action = w.sent[-1]["request"]["payload"]["action"]
    assert list(action) == ["type", "cancels", "f"] and [one["asset"] for one in action["cancels"]] == [1, 1]
    w.run()
    assert w.kinds(1) == w.kinds(2) == ["Accepted", "Canceled"]


def test_a_cancel_of_a_filled_order_is_refused_and_the_fill_counts(w: Wired) -> None:
    w.submit(w.order(1))
    w.run()
    w.cancel(1)
    w.venue.fill(w.venue.open()[0], 1000)
    w.venue.pushes, kept = [], w.venue.pushes
    w.run()
    assert w.kinds(1) == ["Accepted", "CancelRejected"] and w.of(1)[1].reason == codes.R_UNKNOWN_ORDER
    w.venue.pushes = kept
    w.run()
    assert w.kinds(1) == ["Accepted", "CancelRejected", "Filled"] and w.states[1].is_closed


def test_a_fill_that_no_stream_tells_is_asked_for(w: Wired) -> None:
    w.submit(w.order(1))
    w.run()
    w.venue.fill(w.venue.open()[0], 1000)
    w.venue.pushes = [one for one in w.venue.pushes if one["channel"] == "orderUpdates"]
    w.settle(20)
    assert w.kinds(1) == ["Accepted", "Filled"] and w.states[1].is_closed


@pytest.mark.parametrize("answer_first", [True, False])
def test_an_amendment_is_a_new_order_under_the_same_cloid(w: Wired, answer_first: bool) -> None:
    w.submit(w.order(1))
    w.run()
    w.venue.fill(w.venue.open()[0], 400)
    w.run()
    w.amend(1, 599_000, 900)
    w.arrive(0)
    w.pushed()
    if answer_first:
        w.pending.reverse()
    w.run()
    assert w.kinds(1) == ["Accepted", "Filled", "Amended"]
    amended = w.of(1)[2]
    assert (amended.ticks, amended.lots, amended.venue_id) == (599_000, 900, "102")
    assert w.venue.open()[0].lots == 500
    w.venue.fill(w.venue.open()[0], 500)
    w.run()
    assert w.of(1)[-1].leaves_lots == 0 and w.states[1].is_closed and w.states[1].filled_lots == 900


def test_a_fill_between_an_amendments_sending_and_its_arrival(w: Wired) -> None:
    w.submit(w.order(1))
    w.run()
    w.amend(1, 599_000, 900)
    w.venue.fill(w.venue.open()[0], 400)  # the new order is of 900 nevertheless
    w.pending += [("frame", push) for push in w.venue.pushes]
    w.venue.pushes = []
    w.run()
    assert w.of(1)[-1].lots == 1300
    w.venue.fill(w.venue.open()[0], 900)
    w.run()
    assert w.states[1].is_closed and w.states[1].filled_lots == 1300


def test_refused_amendments_leave_the_order(w: Wired) -> None:
    w.submit(w.order(1))
    w.run()
    w.venue.refuse_order = lambda order: "Price must be divisible by tick size. asset=1"
    w.amend(1, 599_001, 900)
    w.run()
    assert w.kinds(1) == ["Accepted", "AmendRejected"] and w.of(1)[1].reason == codes.R_TICK_SIZE
    assert w.states[1].lots == 1000 and len(w.venue.open()) == 1


def test_an_amendment_to_what_is_filled_cancels(w: Wired) -> None:
    w.submit(w.order(1))
    w.run()
    w.venue.fill(w.venue.open()[0], 400)
    w.run()
    w.amend(1, 600_000, 400)
    w.run()
    assert w.kinds(1) == ["Accepted", "Filled", "Canceled"]


# -- lost answers


def test_a_lost_answer_of_an_order_that_arrived(w: Wired) -> None:
    w.submit(w.order(1))
    w.arrive(0, lose_answer=True)
    w.pending.clear()  # nor does the stream say anything
    w.settle(30)
    assert w.kinds(1) == ["OutcomeLost", "Accepted"]
    assert w.of(1)[0].what == "submit" and len(w.venue.orders) == 1


def test_an_order_that_never_arrived_is_not_found_after_the_settle_window(w: Wired) -> None:
    w.submit(w.order(1))
    w.pending.clear()
    w.settle(15)
    assert w.kinds(1) == ["OutcomeLost"]
    w.settle(SETTLE_NS // 1_000_000_000 + 35)
    assert w.kinds(1) == ["OutcomeLost", "NotFound"] and not w.venue.orders


def test_at_the_end_a_lost_outcome_is_asked_for_at_once(w: Wired) -> None:
    w.submit(w.order(1))
    w.pending.clear()
    w.settle(30)
    asked = [what for what, _ in w.calls].count("order")
    w.session.ask_again(w.now)
    w.run()
    assert [what for what, _ in w.calls].count("order") == asked + 1
    assert w.session.client_id(1) == w.calls[-1][1]["oid"]


def test_an_accepted_order_that_the_venue_forgets_is_over(w: Wired) -> None:
    w.submit(w.order(1))
    w.run()
    w.venue.fill(next(iter(w.venue.orders.values())), 40)
    w.venue.orders.clear()
    w.venue.pushes.clear()
    w.disconnect()
    w.connect()
    w.settle(20)
    assert "Expired" not in w.kinds(1)
    w.settle(SETTLE_NS // 1_000_000_000 + 35)
    assert w.kinds(1) == ["Accepted", "Filled", "Expired"] and w.of(1)[-1].reason == codes.R_UNKNOWN_ORDER
    assert not len(w.session.account.inquiries)


def test_an_order_that_arrives_after_its_expiry_is_refused_by_the_venue(w: Wired) -> None:
    w.submit(w.order(1))
    late, w.pending = w.pending, []
    w.settle(40)
    assert "NotFound" not in w.kinds(1)
    w.pending = late
    w.run()
    w.settle(60)
    assert w.kinds(1)[0] == "OutcomeLost" and w.states[1].is_closed and not w.venue.orders


def test_a_lost_cancel_is_sent_again_when_the_order_is_still_open(w: Wired) -> None:
    w.submit(w.order(1))
    w.run()
    w.cancel(1)
    w.pending.clear()
    w.settle(120)
    assert w.kinds(1) == ["Accepted", "OutcomeLost", "Canceled"] and not w.venue.open()


def test_lost_amendments(w: Wired) -> None:
    w.submit(w.order(1), w.order(2))
    w.run()
    w.amend(1, 599_000, 900)
    w.pending.clear()
    w.amend(2, 599_000, 900)
    w.arrive(0, lose_answer=True)
    w.pending.clear()
    w.settle(120)
    assert w.kinds(1) == ["Accepted", "OutcomeLost", "AmendRejected"]
    assert w.kinds(2) == ["Accepted", "OutcomeLost", "Amended"]


def test_disconnected_with_orders_under_way(w: Wired) -> None:
    w.submit(w.order(1), w.order(2))
    w.run()
    w.submit(w.order(3), w.order(4))
    w.arrive(0, lose_answer=True)
    w.disconnect()
    w.collect()
    assert not w.session.is_ready
    assert w.kinds(3) == ["OutcomeLost"]
    w.venue.fill(w.venue.open()[0], 1000)
    w.venue.fill(w.venue.open()[1], 200)
    w.venue.close(w.venue.open()[0], "marginCanceled")
    w.venue.pushes.clear()
    w.connect()
    w.settle(30)
    assert w.session.is_ready
    assert w.kinds(1) == ["Accepted", "Filled"]
    assert w.kinds(2) == ["Accepted", "Expired"]
    assert w.kinds(3) == ["OutcomeLost", "Accepted", "Filled"]
    assert w.kinds(4) == ["OutcomeLost", "Accepted"]
    assert [state.is_first for state in w.account_states()] == [True, False]
    assert w.account_states()[1].positions[0].lots == 1200


def test_commands_go_by_rest_while_the_websocket_is_away(w: Wired) -> None:
    w.submit(w.order(1))
    w.run()
    w.disconnect()
    w.cancel(1)
    w.submit(w.order(2))
    assert [what for what, _ in w.calls[-2:]] == ["cancel", "submit"]
    w.run()
    assert w.kinds(1) == ["Accepted", "Canceled"] and w.kinds(2) == ["Accepted"]


def test_http_errors_are_no_rejections(w: Wired) -> None:
    w.disconnect()
    for number, status in ((1, 502), (2, 0)):
        w.submit(w.order(number))
        call = w.pending.pop()[1][0]
        w.session.on_reply(call, Reply(status, {}, b"bad gateway", "timeout" if status == 0 else ""), w.now)
        w.collect()
        assert w.kinds(number) == ["OutcomeLost"]
    w.submit(w.order(3))
    w.session.on_reply(w.pending.pop()[1][0], Reply(422, {}, b"Failed to deserialize"), w.now)
    w.collect()
    assert w.kinds(3) == ["Rejected"] and (w.of(3)[0].code, w.of(3)[0].text) == (422, "Failed to deserialize")
