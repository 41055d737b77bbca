"""A client of the Hyperliquid emulator for tests: signs as the venue's SDK does and speaks HTTP and websocket bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from matching import codes
from tests.venues.fake_engine import FakeEngine
from venues.emulation import Admit, Answer, Beat, BookState, Credentials, Hangup, HttpRequest, MarketState, Push
from venues.hyperliquid.auth import TESTNET, Wallet
from venues.hyperliquid.emulator import HyperliquidEmulator
from venues.hyperliquid.emulator_limits import Limits
from venues.hyperliquid.metadata import leverage_brackets
from venues.hyperliquid.rules import HYPERLIQUID, KNOWN
from venues.market_data import MarkPrice, Record, Trade
from venues.orders import OrderRequest

KEY = "0x0123456789012345678901234567890123456789012345678901234567890123"
OTHER_KEY = "0x" + "11" * 32
AGENT_KEY = "0x" + "22" * 32
STRANGER_KEY = "0x" + "33" * 32
ADDRESS = Wallet(KEY).address
OTHER = Wallet(OTHER_KEY).address
INSTRUMENTS = KNOWN[:2]  # BTC 5 decimals, ETH 4
BRACKETS = (leverage_brackets(((0, 40), (150_000_000, 20))), leverage_brackets(((0, 25),)))
MS = 1_000_000
TRADE = Trade("BTC", 1_700_000_000_200 * MS, 0, 77, codes.SELL, 300000, 20, "MARKET", True)
HOUR_NS = 3_600_000_000_000
MARK = MarkPrice("BTC", 0, 0, 3_000_050_000_000, 3_000_100_000_000, -1_234_567, HOUR_NS)


class FixedEntropy:
    """Always the same bytes."""

    def token(self, length: int) -> bytes:
        return bytes(length)


class Venue:
    """An emulator over a fake engine, with a clock, and clients in one place."""

    def __init__(
        self, limits: Limits | None = None, credentials: Sequence[Credentials] | None = None, limited: bool = True
    ) -> None:
        self.engine = FakeEngine(HYPERLIQUID, INSTRUMENTS, BRACKETS, accounts=2)
        self.engine.limited = limited
        self.engine.books[0] = BookState(True, 1, self.engine.now_ns, [(300000, 100), (299990, 50)], [(300010, 70)])
        self.engine.markets[0] = MarketState(30_000 * 10**8, 30_001 * 10**8, 12_500_000, 0, 300000, 1)
        given = credentials or (
            Credentials(account=0, name="one", key="", secret=KEY),
            Credentials(account=0, name="agent", key="", secret=AGENT_KEY, address=ADDRESS),
            Credentials(account=1, name="two", key="", secret=OTHER_KEY),
        )
        self.emulator = HyperliquidEmulator(self.engine, given, FixedEntropy(), limits)
        self.wall_ns = self.engine.now_ns
        self.nonce = self.wall_ns // MS
        self._number = 0
        self._client = 0
        self.frames: dict[int, list[Any]] = {}
        self.hung_up: dict[int, Hangup] = {}

    # -- HTTP

    def http(self, path: str, body: bytes, method: str = "POST", peer: str = "127.0.0.1:5000") -> int:
        """Send a request; its number."""
        self._number += 1
        request = HttpRequest(method, path, "", {}, body, peer)
        self.emulator.on_request(self._number, request, self.wall_ns)
        return self._number

    def drain(self) -> dict[int, Answer]:
        """Take all actions: answers by number; frames go to their clients."""
        answers = {}
        for action in self.emulator.take_actions():
            if isinstance(action, Answer):
                assert action.number not in answers
                answers[action.number] = action
            elif isinstance(action, Push):
                for client in action.clients:
                    self.frames[client].append(json.loads(action.payload))
            elif isinstance(action, Hangup):
                self.hung_up[action.client] = action
            else:
                assert isinstance(action, Admit | Beat)
        return answers

    def raw(self, path: str, body: bytes, method: str = "POST", peer: str = "127.0.0.1:5000") -> Answer:
        """Send a request that is answered at once."""
        number = self.http(path, body, method, peer)
        return self.drain()[number]

    def info(self, kind: str, **fields: Any) -> Any:
        """Ask; the decoded answer."""
        answer = self.raw("/info", json.dumps({"type": kind, **fields}).encode())
        assert answer.status == 200, answer
        return json.loads(answer.body)

    # -- signed

    def signed(
        self,
        action: dict[str, Any],
        key: str = KEY,
        chain: str = TESTNET,
        vault: str | None = None,
        expires: int | None = None,
        nonce: int | None = None,
    ) -> dict[str, Any]:
        """A request with a nonce of its own."""
        if nonce is None:
            self.nonce += 1
            nonce = self.nonce
        signature = Wallet(key).sign_action(action, nonce, chain, vault, expires).wire()
        body: dict[str, Any] = {"action": action, "nonce": nonce, "signature": signature, "vaultAddress": vault}
        return body | {"expiresAfter": expires}

    def user_signed(self, action: dict[str, Any], key: str = KEY, time: str = "nonce") -> dict[str, Any]:
        """A user-signed request."""
        self.nonce += 1
        whole = {"signatureChainId": "0x66eee", "hyperliquidChain": TESTNET, **action, time: self.nonce}
        return {"action": whole, "nonce": self.nonce, "signature": Wallet(key).sign_user_action(whole).wire()}

    def send(self, action: dict[str, Any], **how: Any) -> int:
        """Send an action; the request's number."""
        return self.http("/exchange", json.dumps(self.signed(action, **how)).encode())

    def post(self, action: dict[str, Any], **how: Any) -> Any:
        """Send an action that is answered at once; the decoded answer."""
        number = self.send(action, **how)
        answer = self.drain()[number]
        assert answer.status == 200, answer
        return json.loads(answer.body)

    def reply(self, number: int) -> Any:
        """The decoded answer that is there now."""
        return json.loads(self.drain()[number].body)

    # -- websocket

    def connect(self, peer: str = "127.0.0.1:6000") -> int:
        """A new websocket client."""
        self._client += 1
        self.frames[self._client] = []
        self.emulator.on_connect(self._client, HttpRequest("GET", "/ws", "", {}, b"", peer), self.wall_ns)
        return self._client

    def say(self, client: int, message: object) -> list[Any]:
        """Send a frame; what the client is sent then."""
        raw = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.emulator.on_frame(client, raw, self.wall_ns)
        return self.heard(client)

    def heard(self, client: int) -> list[Any]:
        """The frames since the last time."""
        self.drain()
        frames, self.frames[client] = self.frames[client], []
        return frames

    def subscribe(self, client: int, kind: str, **fields: Any) -> list[Any]:
        """Subscribe; what follows."""
        return self.say(client, {"method": "subscribe", "subscription": {"type": kind, **fields}})

    def wait(self, seconds: float) -> None:
        """Let time go by."""
        step = int(seconds * 1_000_000_000)
        self.wall_ns += step
        self.engine.now_ns += step
        self.emulator.on_tick(self.wall_ns)


def limit(
    price: str,
    size: str,
    tif: str = "Gtc",
    buy: bool = True,
    reduce: bool = False,
    cloid: str | None = None,
    asset: int = 0,
) -> dict[str, Any]:
    """A limit order on the wire."""
    wire = {"a": asset, "b": buy, "p": price, "s": size, "r": reduce, "t": {"limit": {"tif": tif}}}
    return wire | ({"c": cloid} if cloid is not None else {})


def stop(
    price: str, size: str, trigger: str, kind: str = "sl", market: bool = True, buy: bool = False, reduce: bool = True
) -> dict[str, Any]:
    """A trigger order on the wire."""
    terms = {"isMarket": market, "triggerPx": trigger, "tpsl": kind}
    return {"a": 0, "b": buy, "p": price, "s": size, "r": reduce, "t": {"trigger": terms}}


def orders(*wires: dict[str, Any], grouping: str = "na") -> dict[str, Any]:
    """An order action."""
    return {"type": "order", "orders": list(wires), "grouping": grouping}


CLOID = "0x" + "00" * 15 + "2a"


def statuses(answer: Any) -> Any:
    assert answer["status"] == "ok", answer
    return answer["response"]["data"]["statuses"]


def placed(venue: Venue, *wires: dict[str, Any], grouping: str = "na") -> tuple[int, list[OrderRequest]]:
    """Send orders; the request's number and what the engine was asked."""
    before = len(venue.engine.asked)
    number = venue.send(orders(*wires, grouping=grouping))
    return number, venue.engine.asked[before:]


def resting(venue: Venue, *wires: dict[str, Any]) -> list[int]:
    """Place orders that rest; their oids."""
    number, asked = placed(venue, *wires)
    for request in asked:
        venue.emulator.on_order(venue.engine.accepted(request))
    return [status["resting"]["oid"] for status in statuses(venue.reply(number))]


def taken(venue: Venue, size: str = "0.001") -> OrderRequest:
    """An order that is filled at once."""
    _, (request,) = placed(venue, limit("31500", size, "Ioc"))
    venue.emulator.on_order(venue.engine.accepted(request))
    venue.emulator.on_order(venue.engine.filled(request, request.lots, 0, 300010))
    return request


def fed(venue: Venue, record: Record, instrument: int = 0) -> None:
    venue.emulator.on_market(instrument, record, venue.engine.now_ns)


def channel(frames: list[Any], name: str) -> list[Any]:
    return [frame["data"] for frame in frames if frame["channel"] == name]
