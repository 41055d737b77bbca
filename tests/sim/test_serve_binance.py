"""The emulated Binance over the simulated venue itself: what a client trades is what the engine books."""

from __future__ import annotations

import hashlib
import hmac
import json
from fractions import Fraction
from typing import Any
from urllib.parse import urlencode

import pytest

from sim.serve.serving import Options, make_host
from sim.serve.setup import Choice
from venues.emulation import Answer, HttpRequest, Push
from venues.ports import CountingEntropy, VirtualClock

START_NS = 1_790_000_000_000_000_000
MS = 10**6


class Trader:
    """A client of a host in simulated time."""

    def __init__(self, venue: str = "binance", symbol: str = "BTCUSDT") -> None:
        self.clock = VirtualClock(START_NS)
        choice = Choice(venue, "synth:calm", (symbol,), latency="5ms", seed=7, duration_ns=300 * 10**9)
        self.host, served = make_host(choice, Options(), self.clock, CountingEntropy())
        self.keys = served.accounts[0].credentials[0]
        self.api = "/dapi/v1" if venue == "binance_coinm" else "/fapi/v1"
        self.symbol = symbol
        self.number = 0
        self.answers: dict[int, Answer] = {}
        self.frames: dict[int, list[Any]] = {}

    def wait(self, span_ms: int) -> None:
        for _ in range(span_ms):
            self.clock.advance_ns(MS)
            self.host.pump(self.clock.wall_ns())
            for deed in self.host.take_actions():
                if isinstance(deed, Answer):
                    self.answers[deed.number] = deed
                elif isinstance(deed, Push):
                    for client in deed.clients:
                        self.frames.setdefault(client, []).append(json.loads(deed.payload))

    def connect(self, client: int, path: str, query: str = "") -> None:
        self.host.connect(client, HttpRequest("GET", path, query, {}, b"", "client"), self.clock.wall_ns())

    def ask(self, method: str, path: str, signed: bool = True, **values: Any) -> Any:
        """One request and its answer's JSON."""
        self.number += 1
        query, headers = urlencode(values), {"x-mbx-apikey": self.keys.key}
        if signed:
            query = urlencode({**values, "timestamp": self.clock.wall_ns() // MS})
            made = hmac.new(self.keys.secret.encode(), query.encode(), hashlib.sha256).hexdigest()
            query += f"&signature={made}"
        path = path if path.startswith("/") else f"{self.api}/{path}"
        self.host.request(self.number, HttpRequest(method, path, query, headers, b"", "client"), self.clock.wall_ns())
        for _ in range(50):
            self.wait(1)
            if self.number in self.answers:
                return json.loads(self.answers[self.number].body)
        raise AssertionError(f"no answer to {method} {path}")

    def told(self, kind: str) -> list[Any]:
        return [frame for frame in self.frames.get(1, []) if frame["e"] == kind]


@pytest.mark.parametrize(("venue", "symbol", "size"), [("binance", "BTCUSDT", "0.050"),
                                                        ("binance_coinm", "BTCUSD_PERP", "20")])  # fmt: skip
def test_a_position_is_opened_and_closed(venue: str, symbol: str, size: str) -> None:
    trader = Trader(venue, symbol)
    key = trader.ask("POST", "listenKey", signed=False)["listenKey"]
    trader.connect(1, "/private/ws", f"listenKey={key}")
    trader.connect(2, f"/public/ws/{symbol.lower()}@depth@0ms")
    trader.wait(1500)
    depth = trader.ask("GET", "depth", signed=False, symbol=symbol, limit=5)
    bid, ask = float(depth["bids"][0][0]), float(depth["asks"][0][0])
    assert bid < ask
    assert trader.frames[2]
    terms = {"symbol": symbol, "quantity": size, "newOrderRespType": "RESULT"}
    bought = trader.ask("POST", "order", side="BUY", type="MARKET", **terms)
    assert (bought["status"], bought["executedQty"]) == ("FILLED", size)
    risk = trader.ask("GET", "positionRisk" if venue.endswith("coinm") else "/fapi/v3/positionRisk", symbol=symbol)[0]
    told = trader.told("ACCOUNT_UPDATE")[-1]["a"]
    assert risk["positionAmt"] == told["P"][0]["pa"] == size
    assert float(risk["entryPrice"]) == pytest.approx(float(told["P"][0]["ep"]), rel=1e-7)
    resting = {"symbol": symbol, "quantity": size, "type": "LIMIT", "side": "SELL", "price": depth["bids"][0][0]}
    refused = trader.ask("POST", "order", timeInForce="GTX", **resting)
    assert refused["code"] == -5022
    high = f"{ask * 1.01:.1f}"
    order = trader.ask("POST", "order", timeInForce="GTC", **{**resting, "price": high})
    moved = trader.ask("PUT", "order", **{**resting, "price": f"{ask * 1.02:.1f}"}, orderId=order["orderId"])
    assert moved["orderId"] == order["orderId"]
    assert len(trader.ask("GET", "openOrders", symbol=symbol)) == 1
    gone = trader.ask("DELETE", "order", symbol=symbol, orderId=order["orderId"])
    assert gone["status"] == "CANCELED"
    sold = trader.ask("POST", "order", side="SELL", type="MARKET", reduceOnly="true", **terms)
    assert sold["status"] == "FILLED"
    asset = told["B"][0]["a"]
    trader.wait(5)
    wallet = next(row for row in trader.ask("GET", "/fapi/v3/balance" if venue == "binance" else "balance")
                  if row["asset"] == asset)  # fmt: skip
    last = trader.told("ACCOUNT_UPDATE")[-1]["a"]
    assert (last["B"][0]["wb"], float(last["P"][0]["pa"])) == (wallet["balance"], 0)
    kinds = [frame["o"]["x"] for frame in trader.told("ORDER_TRADE_UPDATE")]
    assert kinds[0] == "NEW" and kinds.count("AMENDMENT") == 1 and kinds.count("CANCELED") == 1
    fills = trader.ask("GET", "userTrades", symbol=symbol)
    assert len(fills) == kinds.count("TRADE")


def test_refusals_of_the_simulated_venue_in_the_venue_s_words() -> None:
    trader = Trader()
    trader.wait(1200)
    depth = trader.ask("GET", "depth", signed=False, symbol="BTCUSDT", limit=5)
    bid = float(depth["bids"][0][0])
    terms = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": depth["bids"][0][0]}
    assert trader.ask("POST", "order", quantity="900", **terms)["code"] == -2019
    assert trader.ask("POST", "order", quantity="0.0001", **terms)["code"] == -1111
    assert trader.ask("POST", "order", quantity="2000", **terms)["code"] == -4005
    small = trader.ask("POST", "order", **{**terms, "quantity": "0.001", "price": "600.0"})
    assert small["code"] in (-4164, -4016, -4024)
    assert trader.ask("POST", "order", **{**terms, "quantity": "0.1", "price": f"{bid * 1.2:.1f}"})["code"] == -4016
    assert trader.ask("POST", "order", quantity="0.1", reduceOnly="true", **terms)["code"] == -2022
    stop = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "algoType": "CONDITIONAL", "quantity": "0.1"}
    assert trader.ask("POST", "algoOrder", triggerPrice=f"{bid * 1.2:.1f}", **stop)["code"] == -2021
    held = trader.ask("POST", "algoOrder", triggerPrice=f"{bid * 0.9:.1f}", **stop)
    assert held["algoStatus"] == "NEW"
    assert trader.ask("DELETE", "algoOrder", algoId=held["algoId"])["code"] == "200"
    assert trader.ask("POST", "leverage", symbol="BTCUSDT", leverage=10)["leverage"] == 10
    assert trader.ask("POST", "marginType", symbol="BTCUSDT", marginType="ISOLATED") == {"code": 200, "msg": "success"}
    assert trader.ask("POST", "marginType", symbol="BTCUSDT", marginType="ISOLATED")["code"] == -4046
    rows = trader.ask("GET", "/fapi/v1/symbolConfig", symbol="BTCUSDT")
    assert (rows[0]["leverage"], rows[0]["marginType"]) == (10, "ISOLATED")


def test_the_countdown_cancels_through_the_engine() -> None:
    trader = Trader()
    key = trader.ask("POST", "listenKey", signed=False)["listenKey"]
    trader.connect(1, "/private/ws", f"listenKey={key}")
    trader.wait(1200)
    bid = float(trader.ask("GET", "depth", signed=False, symbol="BTCUSDT", limit=5)["bids"][0][0])
    terms = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.010"}
    trader.ask("POST", "order", price=f"{bid * 0.98:.1f}", **terms)
    assert trader.ask("POST", "countdownCancelAll", symbol="BTCUSDT", countdownTime=500)["countdownTime"] == "500"
    trader.wait(700)
    assert trader.told("ORDER_TRADE_UPDATE")[-1]["o"]["X"] == "CANCELED"
    assert trader.ask("GET", "openOrders", symbol="BTCUSDT") == []


@pytest.mark.parametrize("speed", [Fraction(1), None])
def test_a_session_is_over_when_its_feed_is(speed: Fraction | None) -> None:
    clock = VirtualClock(START_NS)
    choice = Choice("binance", "synth:calm", duration_ns=2_500_000_000)
    host, _ = make_host(choice, Options(speed=speed), clock, CountingEntropy())
    slices = 0
    while not host.is_over:
        slices += 1
        assert slices < 400, "the feed has ended, and the host does not know"
        if speed is None:
            host.run_slice(clock.wall_ns())
            continue
        clock.advance_ns(10 * MS)
        host.pump(clock.wall_ns())
    assert speed is None or 2.4e9 < clock.wall_ns() - START_NS < 2.6e9
