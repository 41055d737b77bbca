"""Keys, limits, balances, settings, user streams, public REST and the WS API of the emulated Binance."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest

from matching import codes
from tests.venues.binance_client import KEYS, LIMIT, ORDER_FIELDS, START_NS, STOP, Client, Desk
from venues.binance.metadata import listings
from venues.binance.rules import BTCUSD_PERP, BTCUSDT, BTCUSDT_BRACKETS, ETHUSDT
from venues.emulation import Answer, Credentials, MarketState, PositionState
from venues.market_data import DepthSnapshot, MarkPrice, Trade
from venues.metadata import parsed_json
from venues.orders import (
    Accepted,
    Canceled,
    FundingPaid,
    Held,
    MarginWarning,
    Rejected,
    SettingChanged,
    SettingRejected,
    SettingRequest,
)

MS = 10**6

# -- keys and signatures

SECRET = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"
STAMP = "recvWindow=5000&timestamp=1591702613943"
PAYLOAD = f"symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&{STAMP}"
HEAD = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC"
TAIL = f"quantity=1&price=9000&{STAMP}"
WHOLE_SIGN = "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9"
SPLIT_SIGN = "30baaf0fab549bbeda7f5ef201898b34122da25fd23c646cac2c529aebe670a4"


@pytest.mark.parametrize(
    ("query", "body"),
    [
        (f"{PAYLOAD}&signature={WHOLE_SIGN}", ""),
        ("", f"{PAYLOAD}&signature={WHOLE_SIGN}"),
        (PAYLOAD, f"signature={WHOLE_SIGN.upper()}"),
        (HEAD, f"{TAIL}&signature={SPLIT_SIGN}"),
    ],
)
def test_documented_signatures_are_accepted(query: str, body: str) -> None:
    client = Client(keys=[Credentials(account=1, name="doc", key="dockey", secret=SECRET)])
    client.wall_ns = 1591702613943 * MS
    client.send("POST", "v1/order", query, body, key="dockey")
    assert (client.engine.asked[-1].account, client.engine.asked[-1].lots) == (1, 1000)
    number = client.send("POST", "v1/order", query.replace("9000", "9001"), body.replace("9000", "9001"), key="dockey")
    assert client.body(number)["code"] == -1022


def test_keys_time_stamps_and_missing_signatures() -> None:
    desk = Desk()
    key = KEYS[0].key

    def code(query: str, with_key: str) -> tuple[int, int]:
        number = desk.send("GET", "v1/openOrders", query, key=with_key)
        return desk.answers[number].status, desk.body(number)["code"]

    good = desk.sign({})
    assert code(good, "") == (401, -2014)
    assert code(good, "no such key") == (401, -2014)
    assert code(good, "nosuchkey") == (401, -2015)
    assert code("timestamp=1", key) == (400, -1021)
    assert code("signature=x", key) == (400, -1102)
    assert code(f"timestamp={desk.wall_ns // MS}", key) == (400, -1102)
    assert code(good.replace("signature=", "signature=0"), key) == (400, -1022)
    assert code(desk.sign({}, account=1), key) == (400, -1022)
    for late_ms, wanted in ((5000, None), (5001, -1021), (-999, None), (-1000, -1021)):
        desk.wall_ns = START_NS + late_ms * MS
        text = f"timestamp={START_NS // MS}"
        signature = hmac.new(KEYS[0].secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        number = desk.send("GET", "v1/openOrders", f"{text}&signature={signature}", key=key)
        found = desk.body(number)
        assert (found["code"] if isinstance(found, dict) else None) == wanted


def test_secrets_show_nowhere() -> None:
    desk = Desk()
    desk.ask("POST", "v1/order", **LIMIT)
    assert all(KEYS[0].secret.encode() not in answer.body for answer in desk.answers.values())


# -- limits


def test_weights_429_418_and_the_way_back() -> None:
    client = Client()
    seen: list[Answer] = []
    for _ in range(100):
        number = client.send("GET", "v1/ticker/24hr")
        seen.append(client.answers[number])
    assert [answer.status for answer in seen[:61]] == [200] * 60 + [429]
    assert [seen[0].headers["X-MBX-USED-WEIGHT-1M"], seen[59].headers["X-MBX-USED-WEIGHT-1M"]] == ["40", "2400"]
    assert json.loads(seen[60].body)["code"] == -1003
    assert int(seen[60].headers["Retry-After"]) <= 60
    assert [seen[79].status, seen[80].status, seen[99].status] == [429, 418, 418]
    assert "banned until" in json.loads(seen[80].body)["msg"]
    other = client.send("GET", "v1/ping", peer="5.6.7.8")
    assert client.answers[other].status == 200
    client.wait(119 * 10**9)
    assert client.answers[client.send("GET", "v1/ping")].status == 418
    client.wait(2 * 10**9)
    assert client.answers[client.send("GET", "v1/ping")].status == 200


def test_a_venue_without_limits_refuses_and_counts_nothing() -> None:
    client = Client(limited=False)
    numbers = [client.send("GET", "v1/ticker/24hr") for _ in range(200)]
    assert {client.answers[number].status for number in numbers} == {200}
    assert client.body(client.send("GET", "v1/exchangeInfo"))["rateLimits"] == []


def test_order_counters_are_the_account_s() -> None:
    desk = Desk()
    for account in (0, 0, 1):
        number = desk.ask("POST", "v1/order", account=account, **LIMIT)
        desk.say(Accepted, desk.engine.asked[-1])
    assert desk.answers[number].headers["X-MBX-ORDER-COUNT-10S"] == "1"
    assert {row["interval"]: row["limit"] for row in desk.done("GET", "v1/rateLimit/order")} == {
        "MINUTE": 1200,
        "SECOND": 300,
    }


def test_unknown_paths_and_methods() -> None:
    client = Client()
    for method, path in (("GET", "v1/nothing"), ("PATCH", "v1/order"), ("GET", "/")):
        number = client.send(method, path)
        assert (client.answers[number].status, client.body(number)["code"]) == (404, -5000)


# -- accounts


def holding(desk: Desk, **changes: Any) -> None:
    state = PositionState(-10, 60_000 * 10**8, 61_000 * 10**8, -10 * 10**8, 70_000 * 10**8, 20, False, 0, 3050000000,
                          244000000, 61_000_000_000)  # fmt: skip
    desk.engine.positions[0, 0, 0] = state._replace(**changes)


def test_positions_and_accounts_in_every_version() -> None:
    desk = Desk()
    holding(desk)
    (risk,) = desk.done("GET", "v3/positionRisk")
    assert set(risk) == {
        "symbol",
        "positionSide",
        "positionAmt",
        "entryPrice",
        "breakEvenPrice",
        "markPrice",
        "unRealizedProfit",
        "liquidationPrice",
        "isolatedMargin",
        "notional",
        "marginAsset",
        "isolatedWallet",
        "initialMargin",
        "maintMargin",
        "positionInitialMargin",
        "openOrderInitialMargin",
        "adl",
        "bidNotional",
        "askNotional",
        "updateTime",
    }
    assert (risk["positionAmt"], risk["entryPrice"], risk["notional"]) == ("-0.010", "60000.0", "-610.00000000")
    older = desk.done("GET", "v2/positionRisk")
    assert [row["symbol"] for row in older] == ["BTCUSDT", "ETHUSDT"]
    assert (older[0]["leverage"], older[0]["marginType"], older[0]["maxNotionalValue"]) == ("20", "cross", "100000000")
    account = desk.done("GET", "v3/account")
    assert [row["symbol"] for row in account["positions"]] == ["BTCUSDT"]
    assert account["totalWalletBalance"] == account["assets"][0]["walletBalance"] == "10000.00000000"
    assert len(desk.done("GET", "v2/account")["positions"]) == 2
    assert desk.done("GET", "v2/account")["canTrade"] is True
    assert desk.done("GET", "v3/balance")[0]["marginAvailable"] is True
    (first, _) = desk.done("GET", "v1/symbolConfig")
    assert first == {"symbol": "BTCUSDT", "marginType": "CROSSED", "isAutoAddMargin": False, "leverage": 20,
                     "maxNotionalValue": "100000000"}  # fmt: skip
    assert desk.done("GET", "v1/accountConfig")["dualSidePosition"] is False
    assert desk.done("GET", "v1/commissionRate", symbol="BTCUSDT")["takerCommissionRate"] == "0.000450"
    assert desk.done("GET", "v1/adlQuantile")[0]["adlQuantile"] == {"BOTH": 0}
    desk.engine.hedged.add(0)
    assert [row["positionSide"] for row in desk.done("GET", "v2/positionRisk", symbol="BTCUSDT")] == ["LONG", "SHORT"]


def test_coin_m_accounts() -> None:
    desk = Desk(coin=True)
    assert set(desk.done("GET", "v1/balance")[0]) == {
        "accountAlias",
        "asset",
        "balance",
        "withdrawAvailable",
        "crossWalletBalance",
        "crossUnPnl",
        "availableBalance",
        "updateTime",
    }
    assert "maxQty" in desk.done("GET", "v1/positionRisk")[0]
    assert desk.done("GET", "v1/account")["positions"][0]["symbol"] == "BTCUSD_PERP"
    assert "pair" in desk.done("GET", "v1/leverageBracket")[0]
    assert "symbol" in desk.done("GET", "v2/leverageBracket")[0]


def test_brackets_and_symbols_load_as_the_venue_s_own_metadata() -> None:
    for coin, known in ((False, (BTCUSDT, ETHUSDT)), (True, (BTCUSD_PERP,))):
        desk = Desk(coin=coin)
        info = desk.send("GET", "v1/exchangeInfo")
        table = desk.ask("GET", "v2/leverageBracket" if coin else "v1/leverageBracket")
        terms = desk.send("GET", "v1/fundingInfo")
        venue = desk.engine.venue
        found = listings(*(parsed_json(desk.answers[n].body) for n in (info, table, terms)), venue=venue)
        for instrument in known:
            listed = found[instrument.symbol]
            assert listed.margin == BTCUSDT_BRACKETS
            for name in ("tick_size", "lot_size", "contract_size", "settle", "min_notional_e8", "band_up_e12"):
                assert getattr(listed.instrument, name) == getattr(instrument, name), name


# -- settings


def answer_setting(desk: Desk, kind: type[Any] = SettingChanged, **fields: Any) -> None:
    request = desk.engine.asked[-1]
    assert isinstance(request, SettingRequest)
    desk.emulator.on_account(
        kind(account=request.account, instrument=request.instrument, number=request.number, setting=request.setting,
             value=request.value, ts_event_ns=desk.engine.now_ns, ts_recv_ns=desk.engine.now_ns, **fields)
    )  # fmt: skip
    desk.read()


def test_leverage_margin_mode_and_isolated_margin() -> None:
    desk = Desk()
    number = desk.ask("POST", "v1/leverage", symbol="BTCUSDT", leverage=50)
    answer_setting(desk)
    assert desk.body(number) == {"leverage": 50, "maxNotionalValue": "12000000", "symbol": "BTCUSDT"}
    assert desk.told()[-1]["ac"] == {"s": "BTCUSDT", "l": 50}
    assert desk.done("POST", "v1/leverage", symbol="BTCUSDT", leverage=200)["code"] == -4028
    number = desk.ask("POST", "v1/marginType", symbol="BTCUSDT", marginType="ISOLATED")
    assert desk.engine.asked[-1].value == codes.MODE_ISOLATED
    answer_setting(desk)
    assert desk.body(number) == {"code": 200, "msg": "success"}
    for reason, code in ((codes.R_SAME_SETTING, -4046), (codes.R_OPEN_ORDERS, -4047), (codes.R_OPEN_POSITION, -4048)):
        number = desk.ask("POST", "v1/marginType", symbol="BTCUSDT", marginType="ISOLATED")
        answer_setting(desk, SettingRejected, reason=reason)
        assert desk.body(number)["code"] == code
    margin = {"symbol": "BTCUSDT", "amount": "100.5", "type": 1}
    assert desk.done("POST", "v1/positionMargin", **margin)["code"] == -4049
    holding(desk, isolated=True, isolated_margin_e8=10**9)
    number = desk.ask("POST", "v1/positionMargin", **margin)
    assert desk.engine.asked[-1].value == 100_50000000
    answer_setting(desk)
    assert desk.body(number)["amount"] == 100.5
    (row,) = desk.done("GET", "v1/positionMargin/history", symbol="BTCUSDT")
    assert (row["amount"], row["type"]) == ("100.50000000", 1)
    assert desk.told()[-1]["a"]["m"] == "MARGIN_TRANSFER"


def test_modes_that_the_run_decides() -> None:
    desk = Desk()
    assert desk.done("GET", "v1/positionSide/dual") == {"dualSidePosition": False}
    assert desk.done("POST", "v1/positionSide/dual", dualSidePosition="false")["code"] == -4059
    assert desk.done("POST", "v1/positionSide/dual", dualSidePosition="true")["code"] == -1020
    desk.resting()
    assert desk.done("POST", "v1/positionSide/dual", dualSidePosition="true")["code"] == -4067
    assert desk.done("GET", "v1/multiAssetsMargin") == {"multiAssetsMargin": False}
    assert desk.done("POST", "v1/multiAssetsMargin", multiAssetsMargin="false")["code"] == -4171
    assert desk.done("POST", "v1/multiAssetsMargin", multiAssetsMargin="true")["code"] == -1020


def test_the_countdown_is_the_engine_s() -> None:
    desk = Desk()
    number = desk.ask("POST", "v1/countdownCancelAll", symbol="BTCUSDT", countdownTime=5000)
    assert (desk.engine.asked[-1].setting, desk.engine.asked[-1].value) == (codes.SETTING_DEAD_MAN, 5 * 10**9)
    answer_setting(desk)
    assert desk.body(number) == {"symbol": "BTCUSDT", "countdownTime": "5000"}


def test_funding_and_margin_calls_are_told() -> None:
    desk = Desk()
    request, _ = desk.resting()
    desk.fill(request, 10, 0)
    stamp = {"account": 0, "ts_event_ns": desk.engine.now_ns, "ts_recv_ns": desk.engine.now_ns}
    desk.emulator.on_account(FundingPaid(instrument=0, boundary_ns=START_NS, position_lots=10, rate_e12=10**8,
                                         mark_e8=60_000 * 10**8, payment_e8=-6_000_000, **stamp))  # fmt: skip
    desk.emulator.on_account(MarginWarning(margin_e8=10**9, maintenance_e8=9 * 10**8, **stamp))
    desk.read()
    call, change = desk.told()[-2], desk.told()[-1]
    if call["e"] != "MARGIN_CALL":
        call, change = change, call
    assert (call["cw"], call["p"][0]["pa"]) == ("10.00000000", "0.010")
    assert (change["a"]["m"], change["a"]["P"], change["a"]["B"][0]["bc"]) == ("FUNDING_FEE", [], "-0.06000000")
    assert change["a"]["S"] == "BTCUSDT"
    (row,) = desk.done("GET", "v1/income", incomeType="FUNDING_FEE")
    assert (row["income"], row["asset"]) == ("-0.06000000", "USDT")
    assert desk.get("v1/fundingRate", symbol="BTCUSDT")[0]["fundingRate"] == "0.00010000"


# -- user streams


def test_a_user_stream_can_be_attached_in_four_ways() -> None:
    desk = Desk()
    key = desk.body(desk.send("POST", "v1/listenKey", key=KEYS[0].key))["listenKey"]
    assert len(key) == 64
    desk.connect(1, "/private/ws", f"listenKey={key}&events=ORDER_TRADE_UPDATE")
    desk.connect(2, "/stream", f"streams={key}")
    desk.connect(3, f"/ws/{key}")
    desk.connect(4, "/private/stream")
    desk.frame(4, {"method": "SUBSCRIBE", "params": [key], "id": 1})
    request, _ = desk.resting()
    desk.fill(request, 10, 0)
    assert [frame["e"] for frame in desk.frames[1]] == ["ORDER_TRADE_UPDATE"] * 2
    assert [frame["stream"] for frame in desk.frames[2]] == [key] * 4
    assert [frame["e"] for frame in desk.frames[3]][-1] == "ACCOUNT_UPDATE"
    assert desk.frames[4][-1]["data"]["e"] == "ACCOUNT_UPDATE"


def test_listen_keys_live_an_hour() -> None:
    desk = Desk()
    key = KEYS[0].key
    first = desk.body(desk.send("POST", "v1/listenKey", key=key))
    desk.wait(50 * 60 * 10**9)
    assert desk.body(desk.send("PUT", "v1/listenKey", key=key)) == first
    desk.wait(50 * 60 * 10**9)
    assert desk.body(desk.send("POST", "v1/listenKey", key=key)) == first
    desk.wait(61 * 60 * 10**9)
    assert desk.told()[-1]["e"] == "listenKeyExpired"
    assert desk.body(desk.send("PUT", "v1/listenKey", key=key))["code"] == -1125
    assert desk.body(desk.send("POST", "v1/listenKey", key=key)) != first
    assert desk.body(desk.send("DELETE", "v1/listenKey", key=key)) == {}


# -- the WS API


def ws_call(desk: Desk, method: str, account: int = 0, number: Any = 1, **values: Any) -> Any:
    """A signed request; numbers stay numbers, as some clients send them."""
    params = {**values, "apiKey": KEYS[account].key, "timestamp": desk.wall_ns // MS}
    text = "&".join(f"{name}={value}" for name, value in sorted(params.items()))
    params["signature"] = hmac.new(KEYS[account].secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    return desk.frame(9, {"id": number, "method": method, "params": params})


def test_orders_by_websocket() -> None:
    desk = Desk()
    desk.connect(9, "/ws-fapi/v1")
    ws_call(desk, "order.place", number="a", **{**LIMIT, "quantity": 0.01, "price": 60000})
    assert 9 not in desk.frames
    request = desk.engine.asked[-1]
    desk.say(Accepted, request)
    reply = desk.frames[9][-1]
    assert (reply["id"], reply["status"], set(reply["result"])) == ("a", 200, ORDER_FIELDS)
    assert (reply["result"]["price"], reply["result"]["origQty"]) == ("60000.00", "0.010")
    assert [row["count"] for row in reply["rateLimits"]] == [7, 1, 1]  # of weight: two listen keys and the handshake
    order_id = reply["result"]["orderId"]
    assert ws_call(desk, "order.status", symbol="BTCUSDT", orderId=order_id)["result"]["status"] == "NEW"
    ws_call(desk, "order.cancel", symbol="BTCUSDT", orderId=order_id)
    desk.say(Canceled, request)
    assert desk.frames[9][-1]["result"]["status"] == "CANCELED"
    refused = ws_call(desk, "order.cancel", symbol="BTCUSDT", orderId=order_id, number=None)
    assert (refused["status"], refused["error"]["code"], refused["id"]) == (400, -2011, None)
    ws_call(desk, "order.place", **LIMIT)
    desk.say(Rejected, desk.engine.asked[-1], reason=codes.R_MARGIN)
    assert desk.frames[9][-1]["error"] == {"code": -2019, "msg": "Margin is insufficient."}
    ws_call(desk, "algoOrder.place", **STOP)
    desk.say(Held, desk.engine.asked[-1])
    assert desk.frames[9][-1]["result"]["algoStatus"] == "NEW"


def test_questions_by_websocket() -> None:
    desk = Desk()
    desk.market(DepthSnapshot("BTCUSDT", START_NS, START_NS, 1, [599_990], [5], [600_010], [4], True))
    desk.connect(9, "/ws-fapi/v1", "returnRateLimits=false")
    assert ws_call(desk, "v2/account.balance")["result"][0]["asset"] == "USDT"
    assert ws_call(desk, "account.status")["result"]["canTrade"] is True
    assert ws_call(desk, "v2/account.status")["result"]["positions"] == []
    assert ws_call(desk, "v2/account.position")["result"] == []
    ask = {"id": 3, "method": "depth", "params": {"symbol": "BTCUSDT", "limit": 5}}
    assert desk.frame(9, ask)["result"]["bids"] == [["59999.00", "0.005"]]
    assert "rateLimits" not in desk.frames[9][-1]
    assert (
        desk.frame(9, {"id": 4, "method": "ticker.book", "params": {"symbol": "BTCUSDT"}})["result"]["askQty"]
        == "0.004"
    )
    key = desk.frame(9, {"id": 5, "method": "userDataStream.start", "params": {"apiKey": KEYS[0].key}})
    assert len(key["result"]["listenKey"]) == 64
    assert desk.frame(9, {"id": 6, "method": "session.status"})["result"]["apiKey"] is None
    assert (
        desk.frame(9, {"id": 7, "method": "session.logon", "params": {"apiKey": KEYS[0].key}})["error"]["code"] == -4056
    )
    assert desk.frame(9, {"id": 8, "method": "no.such"})["error"]["code"] == -1020
    assert desk.frame(9, b"{")["error"]["code"] == -1135
    assert ws_call(desk, "account.balance", timestamp2=1)["status"] == 200
    bad = desk.frame(9, {"id": 9, "method": "account.balance", "params": {"apiKey": KEYS[0].key, "timestamp": 1}})
    assert bad["error"]["code"] == -1021


# -- public REST


def test_public_figures() -> None:
    client = Client()
    client.market(DepthSnapshot("BTCUSDT", START_NS, START_NS, 1, [599_990], [5], [600_010], [4], True))
    for n in range(120):
        client.market(
            Trade("BTCUSDT", client.engine.now_ns, 0, n, n % 2, 600_000 + n, 1, "MARKET", True), after_ns=10**9
        )
    client.market(MarkPrice("BTCUSDT", START_NS, START_NS, 60_000 * 10**8, 59_990 * 10**8, 10**8, START_NS + 10**12))
    client.engine.markets[0] = MarketState(60_000 * 10**8, 59_990 * 10**8, 10**8, START_NS, 600_119, 1)
    assert client.get("v1/ping") == {}
    assert client.get("v1/time") == {"serverTime": client.wall_ns // MS}
    assert client.get("/api/v3/time") == client.get("v1/time")
    assert client.get("/sapi/v1/capital/config/getall") == client.get("/sapi/v1/margin/allPairs") == []
    bars = client.get("v1/klines", symbol="BTCUSDT", interval="1m")
    assert sum(row[8] for row in bars) == 120
    (whole,) = client.get("v1/klines", symbol="BTCUSDT", interval="1w")
    assert (whole[1], whole[2], whole[3], whole[4], whole[5]) == (
        "60000.00", "60011.90", "60000.00", "60011.90", "0.120",
    )  # fmt: skip
    assert client.get("v1/continuousKlines", pair="BTCUSDT", contractType="PERPETUAL", interval="1m") == bars
    assert len(client.get("v1/markPriceKlines", symbol="BTCUSDT", interval="1m")) == 1
    assert client.get("v1/klines", symbol="BTCUSDT", interval="1s")["code"] == -1120
    day = client.get("v1/ticker/24hr", symbol="BTCUSDT")
    assert (day["priceChange"], day["count"], day["volume"]) == ("11.90", 120, "0.120")
    assert [row["symbol"] for row in client.get("v1/ticker/24hr")] == ["BTCUSDT"]
    assert client.get("v1/ticker/price", symbol="BTCUSDT")["price"] == "60011.90"
    assert client.get("v1/ticker/bookTicker", symbol="BTCUSDT")["bidPrice"] == "59999.00"
    assert len(client.get("v1/trades", symbol="BTCUSDT", limit=7)) == 7
    premium = client.get("v1/premiumIndex", symbol="BTCUSDT")
    assert (premium["markPrice"], premium["lastFundingRate"]) == ("60000.00000000", "0.00010000")
    assert client.get("v1/openInterest", symbol="BTCUSDT")["openInterest"] == "0.000"
    assert client.get("v1/depth", symbol="BTCUSDT", limit=7)["code"] == -4021
    assert client.get("v1/constituents", symbol="BTCUSDT")["constituents"] == []


def test_a_request_of_any_form_is_read() -> None:
    """Parameters in query, form body or JSON body, whatever the content type says."""
    desk = Desk()
    signed = desk.sign({**LIMIT, "newClientOrderId": "x:1/y"})
    desk.send("POST", "v1/order", "", signed, key=KEYS[0].key)
    assert desk.engine.asked[-1].client_id == "x:1/y"
    body = json.dumps({**LIMIT, "quantity": 0.02})
    text = f"timestamp={desk.wall_ns // MS}"
    made = hmac.new(KEYS[0].secret.encode(), (text + body).encode(), hashlib.sha256).hexdigest()
    desk.send("POST", "v1/order", f"{text}&signature={made}", body, key=KEYS[0].key)
    assert desk.engine.asked[-1].lots == 20
