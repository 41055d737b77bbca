"""Times our own client against an emulator: ``python -m sim.bench.wire_client JSON`` for ``perpsim bench wire``.

A live session as ``perpsim live`` runs it, recorder, journal and all, on the event loop of ``peers/wire_timing.py``.
Its strategy is the probe. Market data: from ``data_received`` to ``on_book``. An order's way out: from the strategy's
``submit`` to the call of the transport's write (``out_sent``: to its return, which is the kernel's send); its way
back: from the ``data_received`` that brings the reply or the account's event, whichever is first, to ``on_order``.
``tick_to_order`` is all of the client's share, from the frame that brought the book to the order's last byte. JSON in:
``http ws key secret orders seconds warm folder busy``; ``warm``: how many do not count at first, ``folder``: where
journal and recording are written, ``busy``: whether the event loop never sleeps (``[live] busy_poll``).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from matching.codes import EV_ACCEPTED
from sim.bench.peers.wire_timing import DEPTH, TOP, DataTimes, Marks, OrderTimes, TimedLoop, TimedPolicy, now_ns
from sim.live.busy_poll import BusyPoll
from sim.live.shell import live
from sim.strategy import Order, OrderEvent, Strategy


class Probe(Strategy):
    """Times every book; upon one, every so often, places an order far from the market; cancels it when it is there."""

    def __init__(self, orders: int, seconds: float, warm: int) -> None:
        self.warm = warm
        self.left = self.left_at_first = warm + orders
        self.length_ns = int(seconds * 1e9)
        self.begun_ns = self.next_ns = self.frames = 0
        self.frames_s = 0.0
        self.order: Order | None = None

    def on_start(self) -> None:
        """Take the marks of the event loop that runs us."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, TimedLoop)
        self.marks: Marks = loop.marks
        self.data = DataTimes(self.marks, self.warm)
        self.orders = OrderTimes(self.marks, self.warm)

    def on_book(self, i: int) -> None:
        """Time it; then perhaps an order."""
        now, marks = now_ns(), self.marks
        read_ns = self.data.told(marks.kind, marks.update, now) if marks.kind in (DEPTH, TOP) else None
        if not self.begun_ns:
            self.begun_ns, self.frames = now, marks.frames
        if self.order is not None:
            return
        if self.left and now >= self.next_ns:
            self.next_ns = now + self.length_ns // self.left_at_first
            self.left -= 1
            ticks = self.ctx.book(i).best_bid_ticks * 97 // 100
            self.orders.decided(read_ns)
            self.order = self.ctx.buy(i, ticks, 10)
        elif not self.left and now - self.begun_ns >= self.length_ns:
            self.frames_s = round((marks.frames - self.frames) * 1e9 / (now - self.begun_ns), 1)
            self.ctx.stop("measured")

    def on_order(self, order: Order, event: OrderEvent) -> None:
        """The venue has the order: take the times, cancel it."""
        now = now_ns()
        if event.kind == EV_ACCEPTED:
            self.orders.answered(now)
            self.ctx.cancel(order)
        elif order.is_closed:
            self.order = None


def run(given: dict[str, Any]) -> dict[str, Any]:
    """One session; the figures in microseconds."""
    os.environ["PERPSIM_BENCH_KEY"], os.environ["PERPSIM_BENCH_SECRET"] = given["key"], given["secret"]
    probe = Probe(given["orders"], given["seconds"], given["warm"])
    folder = given["folder"]
    document = {
        "name": "wire",
        "out": f"{folder}/runs",
        "venue": [{"name": "binance_usdm", "latency": "none", "deposit": {"USDT": 100_000}}],
        "instrument": [{"symbol": "BTCUSDT"}],
        "connect": {
            "binance_usdm": {
                "rest": given["http"], "ws": given["ws"], "key_env": "PERPSIM_BENCH_KEY",
                "secret_env": "PERPSIM_BENCH_SECRET", "book": "100ms",
            },
        },
        "record": {"folder": f"{folder}/raw", "limit": "120s"},
        "paper": {"warm_up": "5s"},
        "live": {"enabled": True},
        "report": {"html": False},
    }  # fmt: skip
    asyncio.set_event_loop_policy(TimedPolicy(BusyPoll if given["busy"] else None))
    live(document, probe, yes_real_orders=True)
    return {"order_ws": probe.orders.summary(), "frames_s": probe.frames_s, **probe.data.summary()}


if __name__ == "__main__":
    print(json.dumps(run(json.loads(sys.argv[1]))), flush=True)
