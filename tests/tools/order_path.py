"""Times the order path without sockets: ``python -m tests.tools.order_path``. Figures in microseconds.

``out``: from the gateway's ``drain`` to the transport's ``write`` (journal on the disk or in ``--folder``); ``back``:
from the transport's ``data_received`` to the core. ``hot``: one right after the other, as a loop would have it;
``cold``: with the processor's caches filled with other things in between; ``rehearsed``: as cold, but with a rehearsal
behind (``[live] rehearse``), as a live session meets it. The core is a stand-in.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import gc
import json
import tempfile
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np

from sim.live.gateway import CANCEL, SUBMIT
from sim.live.rehearsal import Empty, Line, Rehearsal
from venues import known_instrument
from venues.ports import SystemClock, SystemEntropy, SystemFiles

JUNK = np.zeros(8 << 20, dtype=np.uint8)
KINDS = ("hot", "cold", "rehearsed")


class TimedLine(Line):
    """Takes the time, too."""

    at_ns = 0

    def write(self, payload: bytes) -> None:
        self.at_ns = perf_counter_ns()
        self.sent = payload


class TimedCore(Empty):
    """Takes the time, too."""

    at_ns = 0

    def bring(self, *arguments: Any, **more: Any) -> None:
        super().bring()
        self.at_ns = perf_counter_ns()


class OrderPath:
    """The way of orders, as a rehearsal has it, with a journal on the disk; beside it a rehearsal."""

    def __init__(self, folder: Path) -> None:
        instrument = known_instrument("binance_usdm", "BTCUSDT")
        clock, entropy = SystemClock(), SystemEntropy()
        self.line, self.core = TimedLine(), TimedCore()
        self.way = Rehearsal(
            "binance_usdm", instrument, clock, entropy, SystemFiles(), folder, core=self.core, line=self.line
        )
        self.rehearsal = Rehearsal("binance_usdm", instrument, clock, entropy)

    def measure(self, count: int, kind: str, is_stream: bool = False) -> dict[str, dict[str, float]]:
        out, back = [], []
        for _ in range(count):
            self.between(kind)
            begun = perf_counter_ns()
            self.way.command(SUBMIT)
            out.append(self.line.at_ns - begun)
            answers = self.way.answers()[::-1] if is_stream else self.way.answers()
            self.between(kind)
            back.append(self.hear(answers))
            self.way.command(CANCEL)
            self.hear(self.way.answers())
        return {"out": shares(out), "back": shares(back)}

    def hear(self, answers: list[tuple[str, bytes]]) -> int:
        """How long the first answer took."""
        begun = perf_counter_ns()
        self.way.hear(*answers[0])
        took = self.core.at_ns - begun
        for answer in answers[1:]:
            self.way.hear(*answer)
        return took

    def between(self, kind: str) -> None:
        """What happens before an order, and before its answer."""
        if kind != "hot":
            np.add(JUNK, 1, out=JUNK)
            ast.parse("a = 1\nb = [x for x in y]\n" * 20)
        if kind == "rehearsed":
            self.rehearsal.walk()


def shares(ns: list[int]) -> dict[str, float]:
    ordered = sorted(ns)
    return {"p50": ordered[len(ordered) // 2] / 1000, "p99": ordered[int(0.99 * len(ordered))] / 1000}


async def measured(folder: Path, orders: int) -> dict[str, dict[str, dict[str, float]]]:
    """All kinds, after some orders for warmth."""
    path = OrderPath(folder)
    await asyncio.sleep(0)
    gc.freeze()
    path.measure(200, "hot")
    found = {kind: path.measure(orders, kind) for kind in KINDS}
    for kind in KINDS:
        found[kind]["back_by_stream"] = path.measure(orders, kind, is_stream=True)["back"]
    return found


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
