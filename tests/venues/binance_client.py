"""A bare client of the emulated Binance for tests: signs and asks as documented, reads what comes back."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from matching import codes
from tests.venues.fake_engine import FakeEngine
from venues.binance.emulator import BinanceEmulator
from venues.binance.rules import BTCUSD_PERP, BTCUSDT, BTCUSDT_BRACKETS, COINM, ETHUSDT, USDM
from venues.emulation import Answer, Beat, Credentials, HttpRequest, Push, WalletState
from venues.orders import Accepted, Filled, OrderRequest
from venues.ports import CountingEntropy

START_NS = 1_790_000_000_000_000_000
KEYS = [Credentials(account=n, name=f"a{n}", key=f"key{n}" * 12, secret=f"secret{n}") for n in range(2)]

LIMIT = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.010",
    "price": "60000.0",
}
STOP = {"symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "algoType": "CONDITIONAL", "quantity": "0.010",
        "triggerPrice": "59000"}  # fmt: skip
ORDER_FIELDS = {
    "orderId",
    "symbol",
    "status",
    "clientOrderId",
    "price",
    "origQty",
    "executedQty",
    "cumQty",
    "timeInForce",
    "type",
    "reduceOnly",
    "closePosition",
    "side",
    "positionSide",
    "stopPrice",
    "workingType",
    "priceProtect",
    "origType",
    "priceMatch",
    "selfTradePreventionMode",
    "goodTillDate",
    "updateTime",
}
UPDATE_FIELDS = {
    "s",
    "c",
    "S",
    "o",
    "f",
    "q",
    "p",
    "ap",
    "sp",
    "x",
    "X",
    "i",
    "l",
    "z",
    "L",
    "n",
    "N",
    "T",
    "t",
    "b",
    "a",
    "m",
    "R",
    "wt",
    "ot",
    "ps",
    "cp",
    "rp",
    "pP",
    "si",
    "ss",
    "V",
    "pm",
    "gtd",
    "er",
}


class Client:
    """An emulator over a fake engine, with REST and websockets at hand."""

    def __init__(
        self, *, coin: bool = False, keys: Sequence[Credentials] = KEYS, limited: bool = True, **options: Any
    ) -> None:
        card, instruments = (COINM, [BTCUSD_PERP]) if coin else (USDM, [BTCUSDT, ETHUSDT])
        self.engine = FakeEngine(card, instruments, [BTCUSDT_BRACKETS] * len(instruments), accounts=2)
        self.engine.now_ns, self.engine.limited = START_NS, limited
        for account in range(2):
            for asset in self.engine.assets():
                self.engine.wallets[account, asset] = WalletState(10**12, 0, 10**12, 0, 0, 0, 0, 10**12)
        self.emulator = BinanceEmulator(self.engine, keys, CountingEntropy(), **options)
        self.api = "/dapi" if coin else "/fapi"
        self.wall_ns = START_NS
        self.number = 0
        self.frames: dict[int, list[Any]] = {}
        self.answers: dict[int, Answer] = {}
        self.other: list[Any] = []
        self.is_silent = False  # whether pings stay unanswered

    # -- time

    def wait(self, span_ns: int) -> None:
        self.wall_ns += span_ns
        self.engine.now_ns += span_ns
        self.emulator.on_tick(self.wall_ns)
        self.read()

    def read(self) -> None:
        for action in self.emulator.take_actions():
            if isinstance(action, Answer):
                self.answers[action.number] = action
            elif isinstance(action, Push):
                for client in action.clients:
                    self.frames.setdefault(client, []).append(json.loads(action.payload))
            else:
                self.other.append(action)
                if isinstance(action, Beat) and not self.is_silent:
                    for client in action.clients:
                        self.emulator.on_pong(client, action.payload, self.wall_ns)

    # -- REST

    def send(
        self, method: str, path: str, query: str = "", body: str = "", key: str = "", peer: str = "1.2.3.4"
    ) -> int:
        self.number += 1
        headers = {"x-mbx-apikey": key} if key else {}
        path = path if path.startswith("/") else f"{self.api}/{path}"
        self.emulator.on_request(
            self.number, HttpRequest(method, path, query, headers, body.encode(), peer), self.wall_ns
        )
        self.read()
        return self.number

    def get(self, path: str, **values: Any) -> Any:
        """A public request's JSON."""
        return self.body(self.send("GET", path, urlencode(values)))

    def sign(self, values: dict[str, Any], account: int = 0) -> str:
        text = urlencode({**values, "timestamp": self.wall_ns // 10**6})
        made = hmac.new(KEYS[account].secret.encode(), text.encode(), hashlib.sha256).hexdigest()
        return f"{text}&signature={made}"

    def ask(self, method: str, path: str, account: int = 0, **values: Any) -> int:
        """A signed request, its parameters in the query; the number of its answer."""
        return self.send(method, path, self.sign(values, account), key=KEYS[account].key)

    def body(self, number: int) -> Any:
        return json.loads(self.answers[number].body)

    def done(self, method: str, path: str, account: int = 0, **values: Any) -> Any:
        """A signed request that is answered at once."""
        return self.body(self.ask(method, path, account, **values))

    # -- websockets

    def connect(self, client: int, path: str, query: str = "") -> None:
        self.emulator.on_connect(client, HttpRequest("GET", path, query, {}, b"", "1.2.3.4"), self.wall_ns)
        self.read()

    def frame(self, client: int, message: Any) -> Any:
        """A frame out, the last frame in."""
        payload = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.emulator.on_frame(client, payload, self.wall_ns)
        self.read()
        return self.frames.get(client, [None])[-1]

    def market(self, record: Any, instrument: int = 0, after_ns: int = 0) -> None:
        self.engine.now_ns += after_ns
        self.wall_ns += after_ns
        self.emulator.on_market(instrument, record, self.engine.now_ns)
        self.read()

    def events(self, client: int, kind: str) -> list[Any]:
        """Frames of one kind, unwrapped."""
        found = [frame.get("data", frame) for frame in self.frames.get(client, []) if isinstance(frame, dict)]
        return [frame for frame in found if frame.get("e") == kind]


class Desk(Client):
    """A client with a user stream, and the engine's events at hand."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for account in range(2):
            number = self.send("POST", "v1/listenKey", key=KEYS[account].key)
            self.connect(100 + account, "/private/ws", f"listenKey={self.body(number)['listenKey']}")

    def say(self, kind: type[Any], command: Any, **fields: Any) -> Any:
        event = kind(
            account=command.account, instrument=command.instrument, order_no=command.order_no,
            ts_event_ns=self.engine.now_ns, ts_recv_ns=self.engine.now_ns, **fields,
        )  # fmt: skip
        self.emulator.on_order(event)
        self.read()
        return event

    def told(self, account: int = 0) -> list[dict[str, Any]]:
        return self.frames.get(100 + account, [])

    def kinds(self) -> list[str]:
        return [frame["e"] + ":" + frame["o"]["x"] if "o" in frame and "x" in frame["o"] else frame["e"]
                for frame in self.told()]  # fmt: skip

    def resting(self, **changes: Any) -> tuple[OrderRequest, dict[str, Any]]:
        """An accepted limit order and the reply to it."""
        number = self.ask("POST", "v1/order", **{**LIMIT, **changes})
        request = self.engine.asked[-1]
        self.say(Accepted, request)
        return request, self.body(number)

    def fill(self, request: OrderRequest, lots: int, leaves: int, ticks: int = 600_000, **fields: Any) -> None:
        known = {"liquidity": codes.LIQ_TAKER, "fee_e8": 30_000, **fields}
        self.say(Filled, request, ticks=ticks, lots=lots, leaves_lots=leaves, **known)
