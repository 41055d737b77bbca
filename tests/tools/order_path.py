"""Times the order path without sockets: ``python -m tests.tools.order_path``. Figures in microseconds.

``out``: from the gateway's ``drain`` to the transport's ``write`` (journal on the disk or in ``--folder``); ``back``:
from the transport's ``data_received`` to the core. ``hot``: one right after the other, as a loop would have it;
``cold``: with the processor's caches filled with other things in between, as a live process meets it. The core is a
stand-in.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import base64
import gc
import hashlib
import json
import tempfile
from pathlib import Path
from time import perf_counter_ns
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec
import numpy as np

from matching import codes
from sim.live.gateway import SUBMIT, Gateway
from sim.live.journal import Journal
from venues import known_instrument
from venues.binance.trading import BinanceTrading
from venues.connector import Connector
from venues.ports import SystemClock, SystemEntropy, SystemFiles
from venues.trading_sessions import Keys, TradingWanted
from venues.websocket import WebSocket, masked

JUNK = np.zeros(8 << 20, dtype=np.uint8)
LIMITS = [{"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300, "count": 1}]


class Core:
    """What the gateway asks of the kernel."""

    now = 0

    def __init__(self) -> None:
        self.outbox: list[tuple[int, ...]] = []

    def take_outbox(self) -> list[tuple[int, ...]]:
        found, self.outbox = self.outbox, []
        return found

    def terms(self, slot: int) -> dict[str, Any]:
        return {
            "side": codes.BUY, "ticks": 650_000 + slot % 7, "lots": 10, "tif": codes.GTC, "type": codes.LIMIT,
            "flags": 0, "stp": -1, "trigger": None, "expires_ns": 0,
        }  # fmt: skip

    def bring(self, *arguments: Any, **more: Any) -> None: ...


class Line:
    """The transport of the socket: takes what is written, and when."""

    def __init__(self) -> None:
        self.sent = b""
        self.at_ns = 0

    def write(self, payload: bytes) -> None:
        self.at_ns, self.sent = perf_counter_ns(), payload

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def shake_hands(socket: WebSocket, line: Line) -> None:
    """What a server answers to the socket's first bytes."""
    socket.connection_made(line)
    key = next(row for row in line.sent.split(b"\r\n") if row.startswith(b"Sec-WebSocket-Key: "))[19:]
    digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest()
    upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "
    socket.data_received(upgrade + base64.b64encode(digest) + b"\r\n\r\n")


class OrderPath:
    """A gateway, a connector, a Binance session and a socket; the instants at which bytes and events come out. Made in
    a running event loop."""

    def __init__(self, folder: Path) -> None:
        clock, entropy = SystemClock(), SystemEntropy()
        instrument = known_instrument("binance_usdm", "BTCUSDT")
        local = "http://127.0.0.1:1"
        wanted = TradingWanted("binance_usdm", 0, {0: instrument}, "run1", Keys("k" * 64, "s" * 64), local, local)
        self.session = BinanceTrading(wanted, entropy)
        desk = self.session.desk
        for _ in range(3):
            desk.clock.trip(clock.monotonic_ns(), clock.monotonic_ns(), clock.wall_ns())
        desk.api_open = True
        connector = Connector(self.session, cast(Any, None), clock, entropy, cast(Any, self))
        connection = connector.connect(desk.api_name, desk.api_url)
        self.line = Line()
        self.socket = WebSocket(urlsplit(desk.api_url), entropy, 1 << 20)
        shake_hands(self.socket, self.line)
        connection.restart(self.socket)
        self.reading = asyncio.ensure_future(self.socket.run(connection))
        self.core = Core()
        context = SimpleNamespace(order_in=lambda slot: None, words={})
        self.gateway = Gateway(
            cast(Any, self.core), cast(Any, context), [instrument], [0], {0: connector},
            Journal(SystemFiles(), folder / "journal.bin"), clock, cast(Any, None), lambda level, text: None,
        )  # fmt: skip
        self.at_ns = 0

    def on_events(self, events: list[Any], now: Any) -> None:
        self.gateway.on_events(0, events)
        self.gateway.bring_in()
        self.at_ns = perf_counter_ns()
        self.gateway.put()

    def measure(self, count: int, first: int, is_cold: bool) -> dict[str, dict[str, float]]:
        out, back = [], []
        for number in range(first, first + count):
            for budget in self.session.desk.throttle.budgets.values():
                budget.observe(0, 0)
                budget.limit = 1 << 30
            self.core.outbox = [(SUBMIT, 0, 0, number, number, 0, 0, 0, 0)]
            stir(is_cold)
            begun = perf_counter_ns()
            self.gateway.drain()
            out.append(self.line.at_ns - begun)
            reply = self.reply(number)
            stir(is_cold)
            begun = perf_counter_ns()
            self.socket.data_received(reply)
            back.append(self.at_ns - begun)
        return {"out": shares(out), "back": shares(back)}

    def reply(self, number: int) -> bytes:
        """A frame that says that the order sent last is open."""
        mask, sent = self.line.sent[4:8], self.line.sent[8:]  # a frame of 126 to 65535 bytes
        asked = msgspec.json.decode(masked(sent, mask))
        given = asked["params"]
        order = {
            "orderId": 10**9 + number, "symbol": "BTCUSDT", "status": "NEW", "price": given["price"], "side": "BUY",
            "clientOrderId": given["newClientOrderId"], "origQty": given["quantity"], "executedQty": "0.000",
            "timeInForce": "GTC", "type": "LIMIT", "updateTime": given["timestamp"],
        }  # fmt: skip
        payload = msgspec.json.encode({"id": asked["id"], "status": 200, "result": order, "rateLimits": LIMITS})
        return b"\x81\x7e" + len(payload).to_bytes(2, "big") + payload


def stir(is_cold: bool) -> None:
    """Fill the caches with other things."""
    if is_cold:
        np.add(JUNK, 1, out=JUNK)
        ast.parse("a = 1\nb = [x for x in y]\n" * 20)


def shares(ns: list[int]) -> dict[str, float]:
    ordered = sorted(ns)
    return {"p50": ordered[len(ordered) // 2] / 1000, "p99": ordered[int(0.99 * len(ordered))] / 1000}


async def measured(folder: Path, orders: int) -> dict[str, dict[str, dict[str, float]]]:
    """Both kinds, after some orders for warmth."""
    path = OrderPath(folder)
    await asyncio.sleep(0)
    gc.freeze()
    path.measure(200, 1, False)
    return {"hot": path.measure(orders, 10_000, False), "cold": path.measure(orders, 50_000, True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", help="where the journal is written (/dev/shm: in memory)")
    parser.add_argument("--orders", type=int, default=400)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        found = asyncio.run(measured(Path(folder), given.orders))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
