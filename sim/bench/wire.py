"""``perpsim bench wire``: our live client beside ccxt.pro, order path and market data, against one emulator in one run.

Theory of operation. An emulator is started (synthetic BTCUSDT at real pace), and each client in turn, in a process of
its own, runs the same course: orders far from the market, placed by websocket and canceled, and market data as they
come. All are timed at the same points of asyncio's transports (``peers/wire_timing.py``), so what is counted is the
client's own share: what its code does between the strategy and the socket. Where the machine has several cores the
emulator has one of its own: else the kernel wakes it on the client's core as soon as a client sends to it, and the time
of a send (0.5 ms instead of 0.03) is the emulator's, for whichever client was the less idle before. A round counts each
client twice, on an event loop that sleeps and on one that does not (``[live] busy_poll``; ccxt.pro gets the same); the
clients take turns for ``rounds`` rounds, and each figure's best median counts, since a busy machine only ever adds.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sim.bench.runner import BenchError

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parent.parent
CLIENT_SECONDS_MAX: Final = 300
IN_MEMORY: Final = Path("/dev/shm")

# ratio -> (ours, ccxt's): path into the figures of each
PAIRS: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "order_out": (("order_ws", "out"), ("order_ws", "out")),
    "order_out_sent": (("order_ws", "out_sent"), ("order_ws", "out_sent")),
    "order_back": (("order_ws", "back"), ("order_ws", "back")),
    "data_depth": (("depth",), ("depth",)),
    "data_top": (("top",), ("top",)),
}
FLOOR: Final = 5.0
FLOORS: Final = ("order_out", "order_back", "data_depth", "data_top")
LOOPS: Final = {"sleeping": False, "busy_poll": True}


def run_wire(
    clients: str | Path,
    *,
    orders: int = 100,
    books: int = 1000,
    seconds: float = 10.0,
    rounds: int = 2,
    journal: str | Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Measure and return one JSON-ready dict. ``clients``: the folder of client environments (``make clients``), whose
    ``ccxt`` is run. ``journal``: where our client keeps journal and recording; by default in memory, since ccxt keeps
    none, with one more run on the disk. Raises ``BenchError`` when something does not run."""
    python = Path(clients) / "ccxt" / "bin" / "python"
    if not python.exists():
        raise BenchError(f"{python} is not there: make clients makes it")
    ours: dict[str, list[dict[str, Any]]] = {name: [] for name in LOOPS}
    theirs: dict[str, list[dict[str, Any]]] = {name: [] for name in LOOPS}
    with emulator() as given:
        given |= {"orders": orders, "books": books, "seconds": seconds}
        place = Path(journal) if journal else (IN_MEMORY if IN_MEMORY.is_dir() else None)
        for number in range(1, rounds + 1):
            for name, is_busy in LOOPS.items():
                say(f"round {number} of {rounds}, event loop {name}")
                given["busy"] = is_busy
                ours[name].append(_ours(given, place))
                theirs[name].append(_run([str(python), str(HERE / "peers" / "run_ccxt.py"), _given(given, 1)], "ccxt"))
        on_disk = _ours(given | {"busy": False}, None)
    return {name: summary(ours[name], theirs[name]) for name in LOOPS} | {
        "on_disk": on_disk,
        "machine": {
            "cores": os.cpu_count(),
            "load_1min": os.getloadavg()[0],
            "python": platform.python_version(),
            "platform": platform.platform(),
        },
        "perpsim": ours,
        "ccxt": theirs,
    }


def summary(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> dict[str, Any]:
    """Ratios of medians (above 1: we are quicker), the least of each client's rounds, and which floors are met."""
    figures = {name: {"perpsim": _best(ours, own), "ccxt": _best(theirs, peer)} for name, (own, peer) in PAIRS.items()}
    ratios = {name: round(row["ccxt"]["p50_us"] / row["perpsim"]["p50_us"], 2) for name, row in figures.items()}
    return {
        "ratios": ratios,
        "floor": FLOOR,
        "met": {name: ratios[name] >= FLOOR for name in FLOORS},
        "figures": figures,
        "tick_to_order": _best(ours, ("order_ws", "tick_to_order")),
        "order_and_answer": {
            "perpsim": _best(ours, ("order_ws", "whole")),
            "ccxt": _best(theirs, ("order_ws", "whole")),
            "ccxt_rest": _best(theirs, ("order_rest", "whole")),
        },
    }


def _best(rounds: list[dict[str, Any]], path: tuple[str, ...]) -> dict[str, Any]:
    found = []
    for row in rounds:
        for name in path:
            row = row[name]
        found.append(row)
    best: dict[str, Any] = min(found, key=lambda row: row["p50_us"])
    return best


@contextmanager
def emulator() -> Iterator[dict[str, Any]]:
    """A served synthetic market; what a client needs to reach it."""
    command = [sys.executable, "-m", "sim.cli", "serve", "binance", "--feed", "synth:calm", "--port", "0"]
    process = subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=lambda: _stay(0)
    )
    try:
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        if not line:
            raise BenchError(f"the emulator did not start: {process.stderr.read()}")
        first = json.loads(line)
        yield {"http": first["rest"], "ws": first["ws"], "accounts": first["accounts"]}
    finally:
        process.terminate()
        process.communicate()


def _ours(given: dict[str, Any], place: Path | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=place, prefix="wire-") as folder:
        own = _given(given, 0, folder=folder)
        return _run([sys.executable, "-m", "sim.bench.wire_client", own], "our client")


def _given(given: dict[str, Any], account: int, **more: str) -> str:
    """What a client is told: each has an account of its own, and so its own order rate limits."""
    told = {name: value for name, value in given.items() if name != "accounts"} | more
    keys = given["accounts"][account]
    return json.dumps(told | {"key": keys["key"], "secret": keys["secret"]})


def _stay(role: int) -> None:
    """In a new process: the emulator (0) stays on the first core, a client (1) on the others."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) > 1:
        os.sched_setaffinity(0, cores[1:] if role else cores[:1])


def _run(command: list[str], name: str) -> dict[str, Any]:
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=CLIENT_SECONDS_MAX, check=False,
            preexec_fn=lambda: _stay(1),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise BenchError(f"{name} took more than {CLIENT_SECONDS_MAX} s") from None
    if done.returncode:
        raise BenchError(f"{name} failed: {done.stderr.strip()[-800:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
