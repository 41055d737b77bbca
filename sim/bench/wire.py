"""``perpsim bench wire``: our live client beside ccxt.pro and cryptofeed, orders and market data, in one run.

Theory of operation. For each market (``MARKETS``) an emulator is started (synthetic BTCUSDT at real pace), and each
client in turn, in a process of its own, runs the same course: it receives depth, best quotes and aggregate trades at
once, and upon a book, every so often, places an order far from the market by websocket and cancels it when it is
acknowledged, while the rest flows (cryptofeed: market data alone). All are timed at the same points of asyncio's
transports (``peers/wire_timing.py``), so what is counted is the client's own share: what its code does between the
strategy and the socket. Where the machine has several cores the emulator has one of its own: else the kernel wakes it
on the client's core as soon as a client sends to it, and the time of a send (0.5 ms instead of 0.03) is the emulator's,
for whichever client was the less idle before. A round counts each client twice, on an event loop that sleeps and on one
that does not (``[live] busy_poll``; the others get the same); the clients take turns for ``rounds`` rounds, and each
figure's best median counts, since a busy machine only ever adds.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sim.bench.runner import BenchError, default_cache

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parent.parent
CLIENT_SECONDS_MAX: Final = 120
EMULATOR_SECONDS_MAX: Final = 60  # to begin, and to end
WARM: Final = 20  # frames of each kind, and orders, that do not count at first
IN_MEMORY: Final = Path("/dev/shm")

# name -> preset and rate of the synthetic market; 9 is the highest rate that all presets take
MARKETS: Final[Mapping[str, tuple[str, str]]] = {"calm": ("calm", "1"), "busy": ("volatile", "9")}
LOOPS: Final = {"sleeping": False, "busy_poll": True}
OURS: Final = "perpsim"
PEERS: Final = {"ccxt": "run_ccxt.py", "cryptofeed": "run_cryptofeed.py"}

# figure -> path into what a client prints
FIGURES: Final[Mapping[str, tuple[str, ...]]] = {
    "order_out": ("order_ws", "out"),
    "order_out_sent": ("order_ws", "out_sent"),
    "order_back": ("order_ws", "back"),
    "data_depth": ("depth",),
    "data_top": ("top",),
    "tick_to_order": ("order_ws", "tick_to_order"),
    "order_and_answer": ("order_ws", "whole"),
}
FEW: Final = 30  # durations; a median of fewer counts only where no round has more
FLOOR: Final = 5.0  # against ccxt
FLOORS: Final = ("order_out", "order_back", "data_depth", "data_top")


def run_wire(
    clients: str | Path,
    *,
    orders: int = 100,
    seconds: float = 10.0,
    rounds: int = 2,
    markets: Sequence[str] = (),
    loops: Sequence[str] = (),
    journal: str | Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Measure and return one JSON-ready dict. ``clients``: the folder of client environments (``make clients``), whose
    ``ccxt`` and ``cryptofeed`` are run. ``markets``, ``loops``: which, by default all. ``journal``: where our client
    keeps journal and recording; by default in memory, since the others keep none, with one more run on the disk. Raises
    ``BenchError`` when something does not run."""
    pythons = {name: Path(clients) / name / "bin" / "python" for name in PEERS}
    for python in pythons.values():
        if not python.exists():
            raise BenchError(f"{python} is not there: make clients makes it")
    for chosen, known in ((markets, MARKETS), (loops, LOOPS)):
        for name in chosen:
            if name not in known:
                raise BenchError(f"{name!r} is not one of {', '.join(known)}")
    disk = default_cache()
    disk.mkdir(parents=True, exist_ok=True)
    place = Path(journal) if journal else (IN_MEMORY if IN_MEMORY.is_dir() else disk)
    found: dict[str, Any] = {}
    raw: dict[str, Any] = {}
    on_disk = None
    for market in markets or MARKETS:
        kept = {loop: _Rounds() for loop in loops or LOOPS}
        with emulator(*MARKETS[market]) as given:
            given |= {"orders": orders, "seconds": seconds, "warm": WARM}
            for number in range(1, rounds + 1):
                for loop, rows in kept.items():
                    say(f"{market} market, event loop {loop}, round {number} of {rounds}")
                    rows.one(given | {"busy": LOOPS[loop]}, place, pythons)
            if on_disk is None and journal is None:
                say(f"{market} market, journal on the disk")
                on_disk = _ours(given | {"busy": False}, disk)
        found[market] = {loop: summary(rows.of) for loop, rows in kept.items()}
        raw[market] = {loop: rows.of for loop, rows in kept.items()}
        for loop, row in found[market].items():
            for line in table(f"{market}, {loop}", row):
                say(line)
    return {
        "markets": found,
        "journal": str(place),
        "on_disk": on_disk,
        "machine": {
            "cores": os.cpu_count(),
            "load_1min": os.getloadavg()[0],
            "python": platform.python_version(),
            "platform": platform.platform(),
        },
        "rounds": raw,
    }


class _Rounds:
    """What every client has printed, round by round, on one event loop in one market."""

    def __init__(self) -> None:
        self.of: dict[str, list[dict[str, Any]]] = {name: [] for name in (OURS, *PEERS)}

    def one(self, given: dict[str, Any], place: Path, pythons: Mapping[str, Path]) -> None:
        self.of[OURS].append(_ours(given, place))
        for name, script in PEERS.items():
            command = [str(pythons[name]), str(HERE / "peers" / script), _given(given, 1)]
            self.of[name].append(client(command, name))


def summary(rows: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Ratios of medians to each peer (above 1: we are quicker), the least of each client's rounds, which floors are
    met. Raises ``BenchError`` where a client has not one figure of a kind."""
    figures = {}
    for figure, path in FIGURES.items():
        orders = path[0] == "order_ws"
        figures[figure] = {
            name: _best(name, row, path) for name, row in rows.items() if not orders or path[0] in row[0]
        }
    ratios = {
        peer: {
            figure: round(row[peer]["p50_us"] / row[OURS]["p50_us"], 2)
            for figure, row in figures.items()
            if peer in row
        }
        for peer in PEERS
    }
    return {
        "frames_s": rows[OURS][-1]["frames_s"],
        "ratios": ratios,
        "floor": FLOOR,
        "met": {name: ratios["ccxt"][name] >= FLOOR for name in FLOORS},
        "figures": figures,
        "ccxt_rest": _best("ccxt", rows["ccxt"], ("order_rest", "whole")),
    }


def table(title: str, row: dict[str, Any]) -> list[str]:
    """One summary as lines to read: p50 / p99 in microseconds, ratios at p50, and which floors are met."""
    names = (OURS, *PEERS)
    lines = [f"{title}: {row['frames_s']} frames/s; p50 / p99 in us; floor {row['floor']:g} times ccxt's speed"]
    for figure, cells in row["figures"].items():
        line = f"  {figure:17}"
        for name in names:
            cell = cells.get(name)
            text = f"{cell['p50_us']:.0f} / {cell['p99_us']:.0f}" if cell else "-"
            text += f" of {cell['count']} alone" if cell and cell["count"] < FEW else ""
            ratio = row["ratios"].get(name, {}).get(figure)
            line += f"{name} {text}" + (f" ({ratio:g}x)" if ratio is not None else "") + "   "
        if figure in row["met"]:
            line += "floor met" if row["met"][figure] else "below the floor"
        lines.append(line.rstrip())
    return lines


def _best(name: str, rounds: list[dict[str, Any]], path: tuple[str, ...]) -> dict[str, Any]:
    found = []
    for row in rounds:
        for step in path:
            row = row[step]
        if not row["count"]:
            raise BenchError(f"{name} has measured no {' '.join(path)}")
        found.append(row)
    best: dict[str, Any] = min(found, key=lambda row: (row["count"] < FEW, row["p50_us"]))
    return best


@contextmanager
def emulator(preset: str, rate: str) -> Iterator[dict[str, Any]]:
    """A served synthetic market; what a client needs to reach it."""
    command = [sys.executable, "-m", "sim.cli", "serve", "binance", "--feed", f"synth:{preset}", "--rate", rate]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [*command, "--port", "0"], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=said,
            preexec_fn=lambda: _stay(0),
        )  # fmt: skip
        try:
            assert process.stdout is not None
            too_late = threading.Timer(EMULATOR_SECONDS_MAX, process.kill)
            too_late.start()
            line = process.stdout.readline()
            too_late.cancel()
            if not line:
                said.seek(0)
                raise BenchError(f"the emulator did not start: {said.read().strip()[-800:]}")
            first = json.loads(line)
            yield {"http": first["rest"], "ws": first["ws"], "accounts": first["accounts"]}
        finally:
            process.terminate()
            try:
                process.communicate(timeout=EMULATOR_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


def _ours(given: dict[str, Any], place: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=place, prefix="wire-") as folder:
        own = _given(given, 0, folder=folder)
        return client([sys.executable, "-m", "sim.bench.wire_client", own], "our client")


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


def client(command: list[str], name: str) -> dict[str, Any]:
    """Run a client's course; what it printed. Raises ``BenchError`` when it fails."""
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=CLIENT_SECONDS_MAX, check=False,
            preexec_fn=lambda: _stay(1),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise BenchError(f"{name} took more than {CLIENT_SECONDS_MAX} s") from None
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        raise BenchError(f"{name} failed: {(done.stderr or done.stdout).strip()[-800:]}")
    found: dict[str, Any] = json.loads(lines[-1])
    return found
