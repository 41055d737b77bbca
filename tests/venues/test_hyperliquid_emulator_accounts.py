"""Hyperliquid's emulator: what accounts are told and asked, and the names of what the venue sends."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching import codes
from tests.venues.hyperliquid_client import (
    ADDRESS,
    HOUR_NS,
    MARK,
    MS,
    OTHER,
    TRADE,
    Venue,
    channel,
    fed,
    limit,
    orders,
    placed,
    statuses,
    stop,
    taken,
)
from tests.venues.test_hyperliquid_codec import ADAPTERS, cassette_bodies
from venues.emulation import PositionState, WalletState
from venues.hyperliquid.emulator_info import together
from venues.hyperliquid.emulator_limits import Limits
from venues.hyperliquid.emulator_numbers import money, plain
from venues.instruments import signed_from_str
from venues.market_data import MarkPrice
from venues.orders import (
    AutoDeleveraged,
    BalanceChanged,
    Expired,
    FundingPaid,
    Held,
    Liquidated,
    OrderRequest,
    PositionChanged,
)

# -- accounts


def test_what_happens_at_one_instant_is_told_in_the_order_in_which_it_happened() -> None:
    venue = Venue()
    client = venue.connect()
    for kind in ("orderUpdates", "userFills"):
        venue.subscribe(client, kind, user=ADDRESS)
    venue.subscribe(client, "trades", coin="BTC")
    (first,) = placed(venue, limit("29000", "0.001"))[1]
    venue.emulator.on_order(venue.engine.accepted(first))
    (second,) = placed(venue, limit("28000", "0.001"))[1]
    venue.heard(client)
    venue.emulator.on_order(venue.engine.filled(first, 60, first.lots - 60, 290000))
    venue.emulator.on_order(venue.engine.filled(first, first.lots - 60, 0, 290000))
    venue.emulator.on_order(venue.engine.accepted(second))
    fed(venue, TRADE)
    frames = venue.heard(client)
    assert [frame["channel"] for frame in frames] == ["orderUpdates", "userFills", "orderUpdates", "trades"]
    assert [[row["status"] for row in frames[place]["data"]] for place in (0, 2)] == [["filled"], ["open"]]
    assert len(frames[1]["data"]["fills"]) == 2  # of one order: together


def test_a_fill_on_all_streams_of_the_account() -> None:
    venue = Venue()
    client, stranger = venue.connect(), venue.connect()
    for kind in ("orderUpdates", "userEvents", "userFills", "notification", "clearinghouseState"):
        venue.subscribe(client, kind, user=ADDRESS)
        venue.subscribe(stranger, kind, user=OTHER)
    taken(venue)
    frames = venue.heard(client)
    assert [frame["channel"] for frame in frames] == ["orderUpdates", "user", "userFills", "notification"]
    updates, events, fills, notes = (frame["data"] for frame in frames)
    assert [row["status"] for row in updates] == ["open", "filled"]
    assert updates[0]["order"]["sz"] == "0.001" and updates[1]["order"]["sz"] == "0.0"
    assert events == {"fills": fills["fills"]}
    assert set(fills) == {"user", "fills"} and fills["user"] == ADDRESS
    assert notes == {"notification": "Bought 0.001 BTC at $30001"}
    venue.wait(1)
    assert channel(venue.heard(client), "clearinghouseState")
    assert venue.heard(stranger) == []
    again = venue.connect()
    (_, picture) = venue.subscribe(again, "userFills", user=ADDRESS)
    assert picture["data"]["isSnapshot"] is True and picture["data"]["fills"] == fills["fills"]


def test_an_order_over_the_websocket() -> None:
    venue = Venue()
    client = venue.connect()
    payload = venue.signed(orders(limit("29999", "0.001")))
    post = {"method": "post", "id": 7, "request": {"type": "action", "payload": payload}}
    assert venue.say(client, post) == []
    venue.emulator.on_order(venue.engine.accepted(venue.engine.asked[0]))
    (frame,) = venue.heard(client)
    assert frame["channel"] == "post" and frame["data"]["id"] == 7
    assert frame["data"]["response"]["type"] == "action"
    assert "resting" in statuses(frame["data"]["response"]["payload"])[0]
    (frame,) = venue.say(client, {"method": "post", "id": 8, "request": {"type": "info", "payload": {"type": "meta"}}})
    assert frame["data"]["response"]["payload"] == {"type": "meta", "data": venue.info("meta")}
    (frame,) = venue.say(client, post)
    assert frame["data"]["response"]["payload"]["response"].startswith("Invalid nonce: duplicate nonce")


def test_posts_under_way_are_limited_and_outlive_their_client() -> None:
    venue = Venue(Limits(posts=1))
    client = venue.connect()
    for identity in (1, 2):
        payload = venue.signed(orders(limit("29999", "0.001")))
        said = venue.say(client, {"method": "post", "id": identity, "request": {"type": "action", "payload": payload}})
    assert said == [{"channel": "error", "data": "too many pending post requests id=2"}]
    venue.emulator.on_disconnect(client, venue.wall_ns)
    venue.emulator.on_order(venue.engine.accepted(venue.engine.asked[0]))
    assert venue.drain() == {}


def test_funding_and_what_it_adds_up_to() -> None:
    venue = Venue()
    client = venue.connect()
    venue.subscribe(client, "userFundings", user=ADDRESS)
    venue.subscribe(client, "userEvents", user=ADDRESS)
    venue.engine.positions[0, 0, 0] = PositionState(
        100, 3_000_000_000_000, 3_000_000_000_000, 0, 0, 20, False, 0, 1, 1, 3_000_000_000
    )
    event = FundingPaid(
        account=0, instrument=0, boundary_ns=HOUR_NS, position_lots=100, rate_e12=12_500_000, mark_e8=1,
        payment_e8=-37_500, ts_event_ns=HOUR_NS, ts_recv_ns=HOUR_NS,
    )  # fmt: skip
    venue.emulator.on_account(event)
    row = {
        "time": HOUR_NS // MS, "coin": "BTC", "usdc": "-0.000375", "szi": "0.001", "fundingRate": "0.0000125",
        "nSamples": None,
    }  # fmt: skip
    frames = venue.heard(client)
    assert channel(frames, "user") == [{"funding": row}]
    assert channel(frames, "userFundings") == [{"user": ADDRESS, "fundings": [row]}]
    (told,) = venue.info("userFunding", user=ADDRESS, startTime=0)
    assert told["delta"] == {"type": "funding", **{name: row[name] for name in row if name != "time"}}
    position = venue.info("clearinghouseState", user=ADDRESS)["assetPositions"][0]["position"]
    assert position["cumFunding"] == {"allTime": "0.000375", "sinceOpen": "0.000375", "sinceChange": "0.000375"}
    assert venue.info("userFunding", user=ADDRESS, startTime=0, endTime=1) == []


def test_a_liquidation() -> None:
    venue = Venue()
    client = venue.connect()
    for kind in ("userEvents", "userFills", "orderUpdates"):
        venue.subscribe(client, kind, user=ADDRESS)
    _, (request,) = placed(venue, limit("29000", "0.001"))
    venue.emulator.on_order(venue.engine.accepted(request))
    venue.heard(client)
    venue.emulator.on_order(venue.engine.event(Expired, request, reason=codes.R_LIQUIDATION))
    frames = venue.heard(client)
    assert channel(frames, "orderUpdates")[0][0]["status"] == "liquidatedCanceled"
    assert channel(frames, "user")[0]["nonUserCancel"][0]["coin"] == "BTC"
    forced = OrderRequest(account=0, instrument=0, order_no=-1, side=codes.SELL, lots=50, ticks=299990)
    venue.engine.forced_orders[0, -1] = forced
    venue.emulator.on_order(venue.engine.accepted(forced))
    venue.emulator.on_order(venue.engine.filled(forced, 50, 0))
    (events,) = channel(venue.heard(client), "user")
    liquidation = events["fills"][0]["liquidation"]
    assert liquidation == {"liquidatedUser": ADDRESS, "markPx": "30000.0", "method": "market"}
    at = {"account": 0, "instrument": 0, "ts_event_ns": 1, "ts_recv_ns": 1}
    terms: dict[str, Any] = {"side": codes.BUY, "ticks": 299990, "lots": 50, "realized_e8": -5_000_000}
    venue.emulator.on_account(Liquidated(**at, **terms))
    frames = venue.heard(client)
    assert channel(frames, "user")[0]["fills"][0]["liquidation"]["method"] == "backstop"
    assert set(channel(frames, "user")[1]["liquidation"]) == {
        "lid", "liquidator", "liquidated_user", "liquidated_ntl_pos", "liquidated_account_value",
    }  # fmt: skip
    venue.emulator.on_account(AutoDeleveraged(**at, **terms))
    assert channel(venue.heard(client), "userFills")[0]["fills"][0]["dir"] == "Auto-Deleveraging"


def test_positions_count_along_and_are_set_right() -> None:
    venue = Venue()
    client = venue.connect()
    taken(venue)
    venue.emulator.on_account(PositionChanged(account=0, instrument=0, position_lots=-30, ts_event_ns=1, ts_recv_ns=1))
    venue.emulator.on_account(BalanceChanged(account=0, asset="USDC", wallet_e8=1, ts_event_ns=1, ts_recv_ns=1))
    taken(venue)
    last = venue.info("userFills", user=ADDRESS)[0]
    assert last["startPosition"] == "-0.0003" and last["dir"] == "Short > Long"
    (_, picture) = venue.subscribe(client, "webData2", user=ADDRESS)
    assert picture["data"]["user"] == ADDRESS


def test_the_state_of_an_account_adds_up() -> None:
    venue = Venue()
    venue.engine.wallets[0, "USDC"] = WalletState(100 * 10**8, 10**8, 101 * 10**8, 5 * 10**8, 0, 0, 0, 90 * 10**8)
    venue.engine.positions[0, 0, 0] = PositionState(
        -100, 3_000_000_000_000, 3_000_000_000_000, -12_345_678, 3_500_000_000_000, 10, False, 0, 3 * 10**8,
        3 * 10**7, 30 * 10**8,
    )  # fmt: skip
    venue.engine.positions[0, 1, 0] = PositionState(
        100, 200_000_000_000, 200_000_000_000, 10**7, 0, 5, True, 4 * 10**8, 4 * 10**8, 10**7, 20 * 10**8
    )
    state = venue.info("clearinghouseState", user=ADDRESS)
    whole, cross = state["marginSummary"], state["crossMarginSummary"]
    assert whole == {
        "accountValue": "101.0", "totalNtlPos": "50.0", "totalRawUsd": "111.0", "totalMarginUsed": "7.1",
    }  # fmt: skip
    assert cross["accountValue"] == "96.9" and cross["totalRawUsd"] == "126.9" and cross["totalNtlPos"] == "30.0"
    assert state["withdrawable"] == "90.0" and state["crossMaintenanceMarginUsed"] == "0.3"
    btc, eth = (row["position"] for row in state["assetPositions"])
    assert btc["leverage"] == {"type": "cross", "value": 10} and btc["szi"] == "-0.001" and btc["entryPx"] == "30000.0"
    assert btc["unrealizedPnl"] == "-0.123456" and btc["liquidationPx"] == "35000.0"
    assert btc["returnOnEquity"] == "-0.04115226" and btc["maxLeverage"] == 40
    assert eth["leverage"] == {"type": "isolated", "value": 5, "rawUsd": "-16.0"} and eth["marginUsed"] == "4.1"
    assert eth["liquidationPx"] is None
    data = venue.info("activeAssetData", user=ADDRESS, coin="BTC")
    assert data["availableToTrade"] == ["96.0", "90.0"] and data["leverage"] == {"type": "cross", "value": 10}


def test_an_address_that_nobody_has() -> None:
    venue = Venue()
    nobody = "0x" + "ab" * 20
    state = venue.info("clearinghouseState", user=nobody)
    assert state["marginSummary"]["accountValue"] == "0.0" and state["assetPositions"] == []
    for kind in ("openOrders", "historicalOrders", "userFills", "extraAgents", "delegations"):
        assert venue.info(kind, user=nobody) == []
    assert venue.info("userRole", user=nobody) == {"role": "missing"}
    assert venue.info("userAbstraction", user=nobody) == "default"
    assert venue.info("subAccounts", user=nobody) is None


@pytest.mark.parametrize("kind", ["clearinghouseState", "openOrders", "spotState", "webData3", "twapStates"])
def test_states_repeat_themselves(kind: str) -> None:
    venue = Venue()
    client = venue.connect()
    acknowledged, picture = venue.subscribe(client, kind, user=ADDRESS)
    assert acknowledged["channel"] == "subscriptionResponse" and picture["channel"] == kind
    venue.wait(1)
    assert venue.heard(client) == []
    taken(venue)
    venue.wait(1)
    assert len(channel(venue.heard(client), kind)) == 1
    venue.wait(5)
    assert len(channel(venue.heard(client), kind)) == 1


# -- what has been recorded


def keys(value: Any) -> Any:
    """The names in a payload, with those of what it holds."""
    if isinstance(value, dict):
        return {name: keys(inner) for name, inner in value.items()}
    return keys(value[0]) if isinstance(value, list) and value else None


def missing(told: Any, own: Any, where: str = "") -> list[str]:
    """Names that the venue has and we have not."""
    if not isinstance(told, dict):
        return []
    if not isinstance(own, dict):
        return [where]
    found = [f"{where}.{name}" for name in told if name not in own]
    return found + [one for name in told if name in own for one in missing(told[name], own[name], f"{where}.{name}")]


LEFT_OUT = {".position.maxTradeSzs", ".assetPositions.position.maxTradeSzs"}  # gone since; now in activeAssetData


def test_names_of_recorded_answers() -> None:
    venue = Venue()
    venue.engine.positions[0, 0, 0] = PositionState(250, 1, 1, 0, 0, 20, False, 0, 0, 0, 0)
    for record in (TRADE, MARK, MarkPrice("BTC", 0, 0, 1, 1, 5, 2 * HOUR_NS)):
        fed(venue, record)
    taken(venue)
    _, (one, two) = placed(venue, limit("29000", "0.001"), stop("27000", "0.001", "29000"))
    venue.emulator.on_order(venue.engine.accepted(one))
    venue.emulator.on_order(venue.engine.event(Held, two))
    funding = FundingPaid(
        account=0, instrument=0, boundary_ns=1, position_lots=1, rate_e12=1, mark_e8=1, payment_e8=1, ts_event_ns=1,
        ts_recv_ns=1,
    )  # fmt: skip
    venue.emulator.on_account(funding)
    venue.drain()
    more: dict[str, Any] = {
        "candleSnapshot": {"req": {"coin": "BTC", "interval": "1h", "startTime": 0}},
        "fundingHistory": {"coin": "BTC", "startTime": 0},
        "l2Book": {"coin": "BTC"},
        "userFunding": {"startTime": 0},
        "userFillsByTime": {"startTime": 0},
    }
    checked = set()
    for kind, reply in cassette_bodies():
        own = venue.info(kind, user=ADDRESS, **more.get(kind, {}))
        told = json.loads(reply)
        assert type(told) is type(own), kind
        if told and own and kind not in ("allMids", "portfolio"):
            assert set(missing(keys(told), keys(own))) <= LEFT_OUT, kind
            checked.add(kind)
    assert {"meta", "l2Book", "openOrders", "historicalOrders", "userFills"} <= checked
    assert {"clearinghouseState", "candleSnapshot", "fundingHistory", "userFunding", "userRateLimit"} <= checked


def test_names_of_an_order_in_full() -> None:
    venue = Venue()
    _, (one,) = placed(venue, stop("27000", "0.001", "29000"))
    venue.emulator.on_order(venue.engine.event(Held, one))
    venue.drain()
    (row,) = venue.info("frontendOpenOrders", user=ADDRESS)
    recorded_names = {
        "children", "coin", "isPositionTpsl", "isTrigger", "limitPx", "oid", "orderType", "origSz", "reduceOnly",
        "side", "sz", "tif", "timestamp", "triggerCondition", "triggerPx",
    }  # fmt: skip
    assert set(row) == recorded_names | {"cloid"}


def test_names_of_a_recorded_fill() -> None:
    path = ADAPTERS / "hyperliquid" / "test_data" / "ws_user_fill_liquidation.json"
    if not path.exists():
        pytest.skip(f"no recorded fill: {path} is absent")
    told = json.loads(path.read_bytes())["data"]["fills"][0]
    venue = Venue()
    client = venue.connect()
    venue.subscribe(client, "userEvents", user=ADDRESS)
    taken(venue)
    own = channel(venue.heard(client), "user")[0]["fills"][0]
    assert set(own) == set(told) - {"cloid", "liquidation"}
    assert {name: type(value) for name, value in own.items()} == {name: type(told[name]) for name in own}


# -- numbers


@given(st.integers(-(10**18), 10**18), st.integers(0, 12))
def test_numbers_are_exact_and_without_trailing_zeros(value: int, decimals: int) -> None:
    text = plain(value, decimals)
    assert signed_from_str(text, max(decimals, 1)) == value * (10 if decimals == 0 else 1)
    assert text.endswith(".0") or not text.endswith("0")
    assert money(-199) == "-0.000001" and money(99) == "0.0"


def test_fills_of_one_order_at_one_time_can_be_one() -> None:
    venue = Venue()
    _, (request,) = placed(venue, limit("31500", "0.002", "Ioc"))
    venue.emulator.on_order(venue.engine.accepted(request))
    venue.emulator.on_order(venue.engine.filled(request, 150, 50, 300010))
    venue.emulator.on_order(venue.engine.filled(request, 50, 0, 300010))
    venue.drain()
    (row,) = venue.info("userFills", user=ADDRESS, aggregateByTime=True)
    assert row["sz"] == "0.002" and row["fee"] == "0.000001"
    assert together([]) == []
