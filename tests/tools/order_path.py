"""Times the order path without sockets: ``python -m tests.tools.order_path``. Figures in microseconds.

``out``: from the gateway's ``drain`` to the frame's bytes at the socket (journal on the disk or in ``--folder``);
``back``: from the reply's bytes to the core. ``hot``: one right after the other, as a loop would have it; ``cold``:
with the processor's caches filled with other things in between, as a live process meets it. The core is a stand-in.
"""

from __future__ import annotations

import argparse
import ast
import gc
import json
import tempfile
from pathlib import Path
from time import perf_counter_ns
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import numpy as np

from matching import codes
from sim.live.gateway import SUBMIT, Gateway
from sim.live.journal import Journal
from venues import known_instrument
from venues.binance.trading import BinanceTrading
from venues.connector import Connection, Connector
from venues.ports import SystemClock, SystemEntropy, SystemFiles
from venues.trading_sessions import Keys, TradingWanted

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


class OrderPath:
    """A gateway, a connector and a Binance session; the instants at which bytes and events come out."""

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
        self.connection = connector.connections[desk.api_name] = Connection(connector, desk.api_name, desk.api_url)
        self.connection.restart(cast(Any, self))
        self.core = Core()
        context = SimpleNamespace(order_in=lambda slot: None, words={})
        self.gateway = Gateway(
            cast(Any, self.core), cast(Any, context), [instrument], [0], {0: connector},
            Journal(SystemFiles(), folder / "journal.bin"), clock, cast(Any, None), lambda level, text: None,
        )  # fmt: skip
        self.sent = b""
        self.at_ns = 0

    def send_now(self, payload: bytes) -> None:
        self.at_ns, self.sent = perf_counter_ns(), payload

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
            out.append(self.at_ns - begun)
            reply = self.reply(number)
            stir(is_cold)
            begun = perf_counter_ns()
            self.connection.frame(reply)
            back.append(self.at_ns - begun)
        return {"out": shares(out), "back": shares(back)}

    def reply(self, number: int) -> bytes:
        asked = msgspec.json.decode(self.sent)
        given = asked["params"]
        order = {
            "orderId": 10**9 + number, "symbol": "BTCUSDT", "status": "NEW", "price": given["price"], "side": "BUY",
            "clientOrderId": given["newClientOrderId"], "origQty": given["quantity"], "executedQty": "0.000",
            "timeInForce": "GTC", "type": "LIMIT", "updateTime": given["timestamp"],
        }  # fmt: skip
        return msgspec.json.encode({"id": asked["id"], "status": 200, "result": order, "rateLimits": LIMITS})


def stir(is_cold: bool) -> None:
    """Fill the caches with other things."""
    if is_cold:
        np.add(JUNK, 1, out=JUNK)
        ast.parse("a = 1\nb = [x for x in y]\n" * 20)


def shares(ns: list[int]) -> dict[str, float]:
    ordered = sorted(ns)
    return {"p50": ordered[len(ordered) // 2] / 1000, "p99": ordered[int(0.99 * len(ordered))] / 1000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", help="where the journal is written (/dev/shm: in memory)")
    parser.add_argument("--orders", type=int, default=400)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        path = OrderPath(Path(folder))
        gc.freeze()
        path.measure(200, 1, False)
        found = {"hot": path.measure(given.orders, 10_000, False), "cold": path.measure(given.orders, 50_000, True)}
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
