"""A bare client of the emulated Binance for tests: signs and asks as documented, reads what comes back."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any
from urllib.parse import urlencode

from tests.venues.fake_engine import FakeEngine
from venues.binance.emulator import BinanceEmulator
from venues.binance.rules import BTCUSD_PERP, BTCUSDT, BTCUSDT_BRACKETS, COINM, ETHUSDT, USDM
from venues.emulation import Answer, Credentials, HttpRequest, Push, WalletState
from venues.ports import CountingEntropy

START_NS = 1_790_000_000_000_000_000
KEYS = [Credentials(account=n, name=f"a{n}", key=f"key{n}" * 12, secret=f"secret{n}") for n in range(2)]


class Client:
    """An emulator over a fake engine, with REST and websockets at hand."""

    def __init__(self, *, coin: bool = False, **options: Any) -> None:
        card, instruments = (COINM, [BTCUSD_PERP]) if coin else (USDM, [BTCUSDT, ETHUSDT])
        self.engine = FakeEngine(card, instruments, [BTCUSDT_BRACKETS] * len(instruments), accounts=2)
        self.engine.now_ns = START_NS
        for account in range(2):
            for asset in self.engine.assets():
                self.engine.wallets[account, asset] = WalletState(10**12, 0, 10**12, 0, 0, 0, 0, 10**12)
        self.emulator = BinanceEmulator(self.engine, KEYS, CountingEntropy(), **options)
        self.api = "/dapi" if coin else "/fapi"
        self.wall_ns = START_NS
        self.number = 0
        self.frames: dict[int, list[Any]] = {}
        self.answers: dict[int, Answer] = {}
        self.other: list[Any] = []

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
