"""Hyperliquid's emulator: signed actions, orders and their answers, agents, nonces, refusals in the venue's words."""

from __future__ import annotations

from typing import Any

import pytest

from matching import codes
from tests.venues.hyperliquid_client import (
    ADDRESS,
    CLOID,
    OTHER,
    Venue,
    limit,
    orders,
    placed,
    resting,
    statuses,
    stop,
)
from venues.emulation import PositionState
from venues.orders import (
    Amended,
    AmendRejected,
    AmendRequest,
    Canceled,
    CancelRejected,
    CancelRequest,
    Expired,
    Held,
    OrderRequest,
    Rejected,
    SettingChanged,
    SettingRejected,
    SettingRequest,
    Triggered,
)

# -- what an order becomes


def test_an_order_that_rests_is_answered_when_the_engine_has_accepted_it() -> None:
    venue = Venue()
    number, asked = placed(venue, limit("29999", "0.001", cloid=CLOID))
    assert asked == [
        OrderRequest(
            account=0, instrument=0, order_no=1, side=codes.BUY, lots=100, ticks=299990, tif=codes.GTC, client_id=CLOID
        )
    ]
    assert venue.drain() == {}
    venue.emulator.on_order(venue.engine.accepted(asked[0]))
    answer = venue.reply(number)
    assert answer["response"]["type"] == "order"
    (status,) = statuses(answer)
    assert set(status["resting"]) == {"oid", "cloid"} and status["resting"]["cloid"] == CLOID
    (row,) = venue.info("openOrders", user=ADDRESS)
    assert row["oid"] == status["resting"]["oid"] and row["limitPx"] == "29999.0" and row["sz"] == "0.001"
    found = venue.info("orderStatus", user=ADDRESS, oid=CLOID)
    assert found["status"] == "order" and found["order"]["status"] == "open"
    assert found["order"]["order"]["oid"] == status["resting"]["oid"]
    assert venue.info("orderStatus", user=OTHER, oid=row["oid"]) == {"status": "unknownOid"}


def test_an_order_that_takes_is_answered_with_its_mean_price() -> None:
    venue = Venue()
    number, asked = placed(venue, limit("31500", "0.002", "Ioc"))
    assert asked[0].tif == codes.IOC
    venue.emulator.on_order(venue.engine.accepted(asked[0]))
    venue.emulator.on_order(venue.engine.filled(asked[0], 150, 50, 300010))
    venue.emulator.on_order(venue.engine.filled(asked[0], 50, 0, 300050))
    (status,) = statuses(venue.reply(number))
    assert status["filled"]["totalSz"] == "0.002" and status["filled"]["avgPx"] == "30002.0"
    fills = venue.info("userFills", user=ADDRESS)
    assert [(row["px"], row["sz"], row["dir"], row["startPosition"]) for row in fills] == [
        ("30005.0", "0.0005", "Open Long", "0.0015"),
        ("30001.0", "0.0015", "Open Long", "0.0"),
    ]
    assert venue.info("orderStatus", user=ADDRESS, oid=status["filled"]["oid"])["order"]["status"] == "filled"


def test_what_is_left_of_an_ioc_is_canceled_and_the_answer_has_what_was_filled() -> None:
    venue = Venue()
    number, asked = placed(venue, limit("31500", "0.002", "Ioc"))
    venue.emulator.on_order(venue.engine.accepted(asked[0]))
    venue.emulator.on_order(venue.engine.filled(asked[0], 150, 50, 300010))
    venue.emulator.on_order(venue.engine.event(Expired, asked[0], reason=codes.R_IOC_REMAINDER))
    (status,) = statuses(venue.reply(number))
    assert status["filled"]["totalSz"] == "0.0015"
    assert venue.info("orderStatus", user=ADDRESS, oid=status["filled"]["oid"])["order"]["status"] == "canceled"


@pytest.mark.parametrize(
    ("tif", "events", "text", "word"),
    [
        ("Ioc", (None, (Expired, codes.R_IOC_REMAINDER)),
         "Order could not immediately match against any resting orders. asset=0", "iocCancelRejected"),
        ("Alo", ((Rejected, codes.R_POST_ONLY),),
         "Post only order would have immediately matched, bbo was 30000@30001. asset=0", "badAloPxRejected"),
        ("Gtc", ((Rejected, codes.R_MARGIN),), "Insufficient margin to place order. asset=0", "perpMarginRejected"),
        ("Gtc", ((Rejected, codes.R_TICK_SIZE),), "Price must be divisible by tick size. asset=0", "tickRejected"),
        ("Gtc", ((Rejected, codes.R_MIN_NOTIONAL),),
         "Order must have minimum value of $10. asset=0", "minTradeNtlRejected"),
        ("Gtc", ((Rejected, codes.R_REDUCE_ONLY),),
         "Reduce only order would increase position. asset=0", "reduceOnlyRejected"),
        ("Gtc", ((Rejected, codes.R_PRICE_BAND),), "Order price too far from oracle asset=0", "oracleRejected"),
        ("Gtc", ((Rejected, codes.R_LEVERAGE),),
         "Order would cause position to exceed margin tier limit at current leverage asset=0",
         "perpMaxPositionRejected"),
        ("Gtc", ((Rejected, codes.R_TRIGGER),), "Invalid TP/SL price. asset=0", "badTriggerPxRejected"),
        ("Gtc", ((Rejected, codes.R_NO_LIQUIDITY),),
         "No liquidity available for market order. asset=0", "marketOrderNoLiquidityRejected"),
    ],
)  # fmt: skip
def test_refusals_have_the_venues_words(tif: str, events: Any, text: str, word: str) -> None:
    venue = Venue()
    number, asked = placed(venue, limit("30500", "0.002", tif))
    for one in events:
        event = venue.engine.accepted(asked[0]) if one is None else venue.engine.event(one[0], asked[0], reason=one[1])
        venue.emulator.on_order(event)
    assert statuses(venue.reply(number)) == [{"error": text}]
    (row,) = venue.info("historicalOrders", user=ADDRESS)
    assert row["status"] == word
    assert venue.info("openOrders", user=ADDRESS) == []


@pytest.mark.parametrize(
    ("wire", "text"),
    [
        (limit("29999.123", "0.001"), "Price must be divisible by tick size. asset=0"),
        (limit("0", "0.001"), "Order has invalid price. asset=0"),
        (limit("-5", "0.001"), "Order has invalid price. asset=0"),
        (limit("29999", "0.0000001"), "Order has invalid size. asset=0"),
        (limit("29999", "0"), "Order has zero size. asset=0"),
        (limit("29999", "1", asset=7), "Invalid asset: asset=7"),
    ],
)
def test_what_cannot_be_represented_is_refused_alone(wire: dict[str, Any], text: str) -> None:
    venue = Venue()
    number, asked = placed(venue, limit("29999", "0.001"), wire)
    assert len(asked) == 1 and venue.drain() == {}
    venue.emulator.on_order(venue.engine.accepted(asked[0]))
    good, bad = statuses(venue.reply(number))
    assert "resting" in good and bad == {"error": text}


def test_a_used_up_budget_refuses_the_whole_request() -> None:
    venue = Venue()
    number, asked = placed(venue, limit("29999", "0.001"))
    venue.emulator.on_order(venue.engine.event(Rejected, asked[0], reason=codes.R_RATE_LIMIT))
    answer = venue.reply(number)
    assert answer["status"] == "err"
    assert answer["response"].startswith("Too many cumulative requests sent (10001 > 10000) for cumulative volume")


# -- cancels and changes


def test_a_cancel_is_answered_when_it_has_happened() -> None:
    venue = Venue()
    one, two = resting(venue, limit("29999", "0.001"), limit("29998", "0.001", cloid=CLOID))
    number = venue.send({"type": "cancel", "cancels": [{"a": 0, "o": one}, {"a": 0, "o": 5}, {"a": 1, "o": two}]})
    request = venue.engine.asked[-1]
    assert request == CancelRequest(account=0, instrument=0, order_no=1)
    assert venue.drain() == {}
    venue.emulator.on_order(venue.engine.event(Canceled, request))
    gone = {"error": "Order was never placed, already canceled, or filled. asset=0"}
    other = {"error": "Order was never placed, already canceled, or filled. asset=1"}
    assert statuses(venue.reply(number)) == ["success", gone, other]
    assert statuses(venue.post({"type": "cancel", "cancels": [{"a": 0, "o": one}]})) == [gone]
    number = venue.send({"type": "cancelByCloid", "cancels": [{"asset": 0, "cloid": CLOID}]})
    venue.emulator.on_order(
        venue.engine.event(CancelRejected, venue.engine.asked[-1], reason=codes.R_UNKNOWN_ORDER, text="x")
    )
    assert statuses(venue.reply(number)) == [gone]


def test_a_modified_order_has_a_new_oid_and_keeps_its_place_in_the_engine() -> None:
    venue = Venue()
    client = venue.connect()
    venue.subscribe(client, "orderUpdates", user=ADDRESS)
    (old,) = resting(venue, limit("29999", "0.001"))
    venue.heard(client)
    number = venue.send({"type": "batchModify", "modifies": [{"oid": old, "order": limit("29998", "0.003")}]})
    request = venue.engine.asked[-1]
    assert request == AmendRequest(account=0, instrument=0, order_no=1, ticks=299980, lots=300)
    venue.emulator.on_order(venue.engine.event(Amended, request, ticks=299980, lots=300))
    (status,) = statuses(venue.reply(number))
    new = status["resting"]["oid"]
    assert new != old
    (frame,) = venue.heard(client)
    assert [(row["order"]["oid"], row["status"]) for row in frame["data"]] == [(old, "canceled"), (new, "open")]
    assert [row["oid"] for row in venue.info("openOrders", user=ADDRESS)] == [new]
    number = venue.send({"type": "modify", "oid": new, "order": limit("29997", "0.001")})
    venue.emulator.on_order(venue.engine.event(AmendRejected, venue.engine.asked[-1], reason=codes.R_UNKNOWN_ORDER))
    assert venue.reply(number) == {"status": "err", "response": "Cannot modify canceled or filled order"}
    number = venue.send({"type": "modify", "oid": new, "order": limit("29997", "0.001")})
    venue.emulator.on_order(venue.engine.event(Amended, venue.engine.asked[-1], ticks=299970, lots=100))
    assert venue.reply(number) == {"status": "ok", "response": {"type": "default"}}


def test_a_modified_order_that_would_take_is_gone() -> None:
    venue = Venue()
    (old,) = resting(venue, limit("29999", "0.001", "Alo"))
    number = venue.send({"type": "modify", "oid": old, "order": limit("30001", "0.001", "Alo")})
    venue.emulator.on_order(venue.engine.event(Expired, venue.engine.asked[-1], reason=codes.R_POST_ONLY))
    answer = venue.reply(number)
    assert answer["status"] == "err"
    assert answer["response"].startswith("Error placing new order during modify: Post only order would have")
    assert venue.info("openOrders", user=ADDRESS) == []


def test_changing_the_side_of_an_order_is_a_cancel_and_a_new_order() -> None:
    venue = Venue()
    (old,) = resting(venue, limit("29999", "0.001"))
    change = {"oid": old, "order": limit("30500", "0.001", buy=False)}
    number = venue.send({"type": "batchModify", "modifies": [change]})
    cancel = venue.engine.asked[-1]
    assert isinstance(cancel, CancelRequest)
    venue.emulator.on_order(venue.engine.event(Canceled, cancel))
    request = venue.engine.asked[-1]
    assert isinstance(request, OrderRequest) and request.side == codes.SELL and request.order_no == 2
    assert venue.drain() == {}
    venue.emulator.on_order(venue.engine.accepted(request))
    assert "resting" in statuses(venue.reply(number))[0]


# -- trigger orders


def test_a_stop_is_held_then_triggered_then_filled() -> None:
    venue = Venue()
    client = venue.connect()
    venue.subscribe(client, "orderUpdates", user=ADDRESS)
    number, (request,) = placed(venue, stop("27000", "0.001", "29000"))
    assert request.trigger is not None and request.trigger.kind == codes.TRIGGER_STOP
    assert request.trigger.ticks == 290000 and request.trigger.watch == codes.WATCH_MARK
    assert request.type == codes.MARKET and request.reduce_only
    venue.emulator.on_order(venue.engine.event(Held, request))
    assert "resting" in statuses(venue.reply(number))[0]
    (row,) = venue.info("frontendOpenOrders", user=ADDRESS)
    assert row["orderType"] == "Stop Market" and row["triggerCondition"] == "Price below 29000"
    assert row["triggerPx"] == "29000.0" and row["limitPx"] == "27000.0" and row["tif"] is None and row["isTrigger"]
    venue.emulator.on_order(venue.engine.event(Triggered, request))
    venue.emulator.on_order(venue.engine.accepted(request))
    venue.emulator.on_order(venue.engine.filled(request, 100, 0, 289990))
    seen = [
        row["status"] for frame in venue.heard(client) if frame["channel"] == "orderUpdates" for row in frame["data"]
    ]
    assert seen == ["open", "triggered", "open", "filled"]


def test_children_wait_for_their_parent_and_one_of_a_pair_cancels_the_other() -> None:
    venue = Venue()
    wires = (limit("29999", "0.001"), stop("33000", "0.001", "31000", "tp"), stop("27000", "0.001", "29000"))
    number, asked = placed(venue, *wires, grouping="normalTpsl")
    assert len(asked) == 1
    venue.emulator.on_order(venue.engine.accepted(asked[0]))
    first, *rest = statuses(venue.reply(number))
    assert "resting" in first and rest == ["waitingForFill", "waitingForFill"]
    parent = next(row for row in venue.info("frontendOpenOrders", user=ADDRESS) if not row["isTrigger"])
    assert [child["orderType"] for child in parent["children"]] == ["Take Profit Market", "Stop Market"]
    venue.emulator.on_order(venue.engine.filled(asked[0], 100, 0))
    take, protect = venue.engine.asked[-2:]
    assert (take.order_no, protect.order_no) == (2, 3)
    for request in (take, protect):
        venue.emulator.on_order(venue.engine.event(Held, request))
    venue.emulator.on_order(venue.engine.event(Triggered, take))
    venue.emulator.on_order(venue.engine.filled(take, 100, 0, 310000))
    assert venue.engine.asked[-1] == CancelRequest(account=0, instrument=0, order_no=3)
    venue.emulator.on_order(venue.engine.event(Canceled, protect))
    venue.drain()
    found = {row["order"]["orderType"]: row["status"] for row in venue.info("historicalOrders", user=ADDRESS)}
    assert found == {"Limit": "filled", "Take Profit Market": "filled", "Stop Market": "siblingFilledCanceled"}


def test_children_go_with_a_parent_that_never_filled() -> None:
    venue = Venue()
    wires = (limit("29999", "0.001"), stop("27000", "0.001", "29000"))
    number, asked = placed(venue, *wires, grouping="normalTpsl")
    venue.emulator.on_order(venue.engine.event(Rejected, asked[0], reason=codes.R_MARGIN))
    first, second = statuses(venue.reply(number))
    assert first == {"error": "Insufficient margin to place order. asset=0"}
    assert "error" in second
    assert len(venue.engine.asked) == 1


def test_orders_of_a_position_have_its_size() -> None:
    venue = Venue()
    action = orders(stop("27000", "0", "29000"), grouping="positionTpsl")
    assert statuses(venue.post(action)) == [{"error": "Order has zero size. asset=0"}]
    venue.engine.positions[0, 0, 0] = PositionState(250, 0, 0, 0, 0, 20, False, 0, 0, 0, 0)
    number = venue.send(action)
    (request,) = venue.engine.asked
    assert request.lots == 250
    venue.emulator.on_order(venue.engine.event(Held, request))
    assert statuses(venue.reply(number)) == ["waitingForTrigger"]
    assert venue.post(orders(limit("1", "1"), grouping="positionTpsl"))["status"] == "err"
    assert venue.post(orders(stop("27000", "1", "29000", reduce=False), grouping="positionTpsl"))["status"] == "err"


# -- settings


def setting(venue: Venue, kind: type, **fields: Any) -> None:
    request = venue.engine.asked[-1]
    assert isinstance(request, SettingRequest)
    venue.emulator.on_account(
        kind(
            account=request.account, instrument=request.instrument, number=request.number, setting=request.setting,
            value=request.value, ts_event_ns=1, ts_recv_ns=1, **fields,
        )
    )  # fmt: skip


def test_leverage_and_margin_mode() -> None:
    venue = Venue()
    number = venue.send({"type": "updateLeverage", "asset": 0, "isCross": True, "leverage": 5})
    assert venue.engine.asked[-1].setting == codes.SETTING_LEVERAGE and venue.engine.asked[-1].value == 5
    assert venue.drain() == {}
    setting(venue, SettingChanged)
    assert venue.reply(number) == {"status": "ok", "response": {"type": "default"}}
    number = venue.send({"type": "updateLeverage", "asset": 0, "isCross": False, "leverage": 5})
    assert venue.engine.asked[-1].setting == codes.SETTING_MODE
    setting(venue, SettingRejected, reason=codes.R_OPEN_POSITION)
    assert venue.reply(number) == {"status": "err", "response": "Cannot switch leverage type with open position."}
    number = venue.send({"type": "updateLeverage", "asset": 0, "isCross": False, "leverage": 50})
    setting(venue, SettingChanged)
    assert venue.engine.asked[-1].setting == codes.SETTING_LEVERAGE and venue.drain() == {}
    setting(venue, SettingRejected, reason=codes.R_LEVERAGE)
    assert venue.reply(number)["status"] == "err"
    answer = venue.post({"type": "updateIsolatedMargin", "asset": 0, "isBuy": True, "ntli": 1_000_000})
    assert answer == {"status": "err", "response": "Position does not use isolated margin."}
    venue.engine.positions[0, 0, 0] = PositionState(250, 0, 0, 0, 0, 20, True, 0, 0, 0, 0)
    number = venue.send({"type": "updateIsolatedMargin", "asset": 0, "isBuy": True, "ntli": 1_000_000})
    assert venue.engine.asked[-1].value == 10**8
    setting(venue, SettingChanged)
    assert venue.reply(number)["status"] == "ok"


def test_the_dead_mans_switch() -> None:
    venue = Venue()
    at = venue.wall_ns // 1_000_000 + 10_000
    number = venue.send({"type": "scheduleCancel", "time": at})
    assert venue.engine.asked[-1].setting == codes.SETTING_DEAD_MAN
    assert venue.engine.asked[-1].value == 10_000_000_000
    setting(venue, SettingChanged)
    assert venue.reply(number)["status"] == "ok"
    number = venue.send({"type": "scheduleCancel", "time": at})
    setting(venue, SettingRejected, reason=codes.R_EXPIRY)
    assert "at least 5 seconds" in venue.reply(number)["response"]
    number = venue.send({"type": "scheduleCancel"})
    assert venue.engine.asked[-1].value == 0
    (oid,) = resting(venue, limit("29999", "0.001"))
    order = venue.engine.asked[-1]
    venue.emulator.on_order(venue.engine.event(Canceled, order, reason=codes.R_DEAD_MAN))
    venue.drain()
    assert venue.info("orderStatus", user=ADDRESS, oid=oid)["order"]["status"] == "scheduledCancel"
