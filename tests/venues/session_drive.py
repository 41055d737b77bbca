"""A market data session on virtual time, for tests."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, TypeVar

from venues.instruments import Instrument
from venues.ports import CountingEntropy
from venues.session_parts import (
    SECOND,
    Action,
    Channel,
    Fetch,
    Ping,
    Reply,
    Wanted,
)
from venues.sessions import market_session

A = TypeVar("A", bound=Action)


def instrument(venue: str, symbol: str, base: str = "BTC", quote: str = "USDT") -> Instrument:
    return Instrument(venue, symbol, base, quote, quote, False, Decimal("0.1"), Decimal("0.001"))


class Drive:
    """One session on virtual time, its first connection open."""

    def __init__(self, venue: str, *symbols: str, **options: Any) -> None:
        options["streams"] = frozenset(options.get("streams", ("depth", "trades", "quotes", "marks", "liquidations")))
        wanted = Wanted(venue, tuple(instrument(venue, symbol) for symbol in symbols), **options)
        self.session = market_session(wanted, CountingEntropy())
        self.now_ns = 1_000 * SECOND
        self.done: list[Action] = []
        self.name = self.session.links[0].name
        self.open()

    def open(self) -> None:
        self.session.on_open(self.name, self.now_ns)
        self._collect()

    def close(self) -> None:
        self.session.on_close(self.name, self.now_ns)
        self._collect()

    def frame(self, content: object) -> Channel | None:
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        found = self.session.on_frame(self.name, raw, self.now_ns)
        self._collect()
        return found

    def reply(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        number = self.got(Fetch)[-1].number
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.session.on_reply(number, Reply(status, headers or {}, raw), self.now_ns)
        self._collect()

    def wait(self, seconds: float, *, pongs: bool = True, data: object = None, every: float = 1) -> None:
        """Let time pass in ticks of 100 ms; the peer answers pings, and may send data."""
        for tick in range(1, round(seconds * 10) + 1):
            self.now_ns += SECOND // 10
            if data is not None and tick % round(every * 10) == 0:
                self.frame(data)
            self.session.on_tick(self.now_ns)
            sent = self._collect()
            if pongs and any(isinstance(action, Ping) for action in sent):
                self.session.on_control(self.name, self.now_ns)

    def got(self, kind: type[A]) -> list[A]:
        return [action for action in self.done if isinstance(action, kind)]

    def take(self, kind: type[A]) -> list[A]:
        found = self.got(kind)
        self.done = []
        return found

    def channel(self, stream: str, symbol: str | None = None) -> Channel:
        channels = self.session.links[0].channels
        return next(c for c in channels if c.stream == stream and symbol in (None, c.symbol))

    def _collect(self) -> list[Action]:
        taken = self.session.take_actions()
        self.done += taken
        return taken


SYMBOLS = {
    "binance_usdm": "BTCUSDT", "binance_coinm": "BTCUSD_PERP", "bybit_linear": "BTCUSDT", "bybit_inverse": "BTCUSD",
    "okx": "BTC-USDT-SWAP", "hyperliquid": "BTC", "dydx": "BTC-USD", "deribit": "BTC-PERPETUAL",
}  # fmt: skip
