"""Times our own client against an emulator: ``python -m sim.bench.wire_client JSON`` for ``perpsim bench wire``.

A live session as ``perpsim live`` runs it, recorder, journal and all, on the event loop of ``peers/wire_timing.py``.
Its strategy is the probe. Market data: from ``data_received`` to ``on_book``. An order's way out: from the strategy's
``submit`` to the call of the transport's last write (``out_sent``: to its return, which is the kernel's send); its way
back: from the reply's ``data_received`` to ``on_order``. ``tick_to_order`` is all of the client's share, from the frame
that brought the book to the order's last byte. JSON in: ``http ws key secret orders books folder busy``; ``folder``
is where journal and recording are written, ``busy`` whether the event loop never sleeps (``[live] busy_poll``).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from matching.codes import EV_ACCEPTED
from sim.bench.peers.wire_timing import Marks, TimedLoop, TimedPolicy, Times, now_ns
from sim.live.shell import live
from sim.strategy import Order, OrderEvent, Strategy

WARM = 20
REST = 5  # books between two orders


class Probe(Strategy):
    """Times every book; every few books places an order far from the market, and cancels it when it is there."""

    def __init__(self, orders: int, books: int) -> None:
        self.wanted, self.books_wanted = WARM + orders, WARM + books
        self.depth, self.top, self.out, self.sent, self.back = Times(), Times(), Times(), Times(), Times()
        self.whole, self.through = Times(), Times()
        self.books = self.placed = self.rest = 0
        self.last = self.begun = self.read = 0
        self.order: Order | None = None

    def on_start(self) -> None:
        """Take the marks of the event loop that runs us."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, TimedLoop)
        self.marks: Marks = loop.marks

    def on_book(self, i: int) -> None:
        """Time it; then perhaps an order."""
        now, marks = now_ns(), self.marks
        if marks.read_ns != self.last:
            self.last = marks.read_ns
            self.books += 1
            if self.books > WARM:
                times = self.top if b"bookTicker" in marks.head else self.depth
                times.ns.append(now - marks.read_ns)
        if self.order is None and self.placed < self.wanted:
            self.rest += 1
            if self.rest > REST:
                self.rest = 0
                self.placed += 1
                book = self.ctx.book(i)
                self.read, self.begun = marks.read_ns, now_ns()
                self.order = self.ctx.buy(i, book.best_bid_ticks * 97 // 100, 10)
        elif self.placed >= self.wanted and self.order is None and self.books >= self.books_wanted:
            self.ctx.stop("measured")

    def on_order(self, order: Order, event: OrderEvent) -> None:
        """The venue has the order: take the times, cancel it."""
        now, marks = now_ns(), self.marks
        if event.kind == EV_ACCEPTED:
            if self.placed > WARM:
                self.out.ns.append(marks.handed_ns - self.begun)
                self.sent.ns.append(marks.written_ns - self.begun)
                self.through.ns.append(marks.written_ns - self.read)
                self.back.ns.append(now - marks.read_ns)
                self.whole.ns.append(now - self.begun)
            self.ctx.cancel(order)
        elif order.is_closed:
            self.order = None


def run(given: dict[str, Any]) -> dict[str, Any]:
    """One session; the figures in microseconds."""
    os.environ["PERPSIM_BENCH_KEY"], os.environ["PERPSIM_BENCH_SECRET"] = given["key"], given["secret"]
    probe = Probe(given["orders"], given["books"])
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
    asyncio.set_event_loop_policy(TimedPolicy(is_busy=given["busy"]))
    live(document, probe, yes_real_orders=True)
    order = {
        "out": probe.out,
        "out_sent": probe.sent,
        "back": probe.back,
        "whole": probe.whole,
        "tick_to_order": probe.through,
    }
    return {
        "order_ws": {name: times.summary() for name, times in order.items()},
        "depth": probe.depth.summary(),
        "top": probe.top.summary(),
    }


if __name__ == "__main__":
    print(json.dumps(run(json.loads(sys.argv[1]))), flush=True)
