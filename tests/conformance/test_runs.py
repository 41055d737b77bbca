"""Conformance, runs: what a run refuses, when it stops, and what its result does not depend on."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from matching.codes import BUY, SELL
from sim.backtest import backtest
from sim.strategy import Strategy, Trade
from tests.matching.scenes import book
from tests.sim.markets import MS, T0, S, Tape, config, random_tape, run
from venues.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
E8 = 10**8
WRONG = """\
from perpsim import Strategy


class Wrong(Strategy):
    def on_start(self):
        self.no_such_thing()
"""


class Buyer(Strategy):
    def on_start(self) -> None:
        self.ctx.at(T0 + 100 * MS, lambda: self.ctx.market(0, BUY, 1))


class Mistaken(Strategy):
    def on_trade(self, i: int, trade: Trade) -> None:
        raise RuntimeError("a mistake in a callback")


def test_missing_funding_is_refused_and_never_zero(tmp_path: Path) -> None:
    """A boundary inside the run without a rate: named, before the first event. Switching funding off must be said."""
    boundary = (T0 // (8 * 3600 * S) + 1) * 8 * 3600 * S
    tape = Tape().snapshot(0).mark(10 * MS, 100 * E8).depth(boundary - T0 + S, (BUY, 990, 4))
    venue = [{"name": "binance_usdm", "latency": "none", "fees": {"maker": 0, "taker": 0}, "deposit": {"USDT": 100}}]
    instrument: dict[str, Any] = {"symbol": "BTCUSDT", "mark": "recorded", "margin": "none"}
    table = tmp_path / "funding.csv"
    table.write_text(f"time,rate\n{T0 - S},0.0001\n")
    with pytest.raises(InputError, match="has no rate for BTCUSDT at the boundary"):
        run(Buyer(), tape, tmp_path, venue=venue, instrument=[instrument | {"funding": str(table)}])
    result = run(Buyer(), tape, tmp_path, venue=venue, instrument=[instrument | {"funding": "none"}])
    assert any("switched off" in line.text for line in result.banner)


def test_every_boundary_has_its_own_mark() -> None:
    """Two boundaries, the mark 100 at the first and 200 at the second: 5 lots pay on each."""
    scene = book(funding_from_marks=True)
    scene.buy(1, 5, 101)
    scene.mark(2, 10**10, 10**8, boundary_ms=10)
    scene.mark(11, 2 * 10**10, 10**8, boundary_ms=20)
    scene.mark(21, 3 * 10**10, 10**8, boundary_ms=30)
    assert scene.play().account() == [f"FUNDING 5@{10**10}", f"FUNDING 5@{2 * 10**10}"]


def test_a_strategys_exception_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="a mistake in a callback"):
        run(Mistaken(), Tape().snapshot(0).trade(S, SELL, 1000, 1), tmp_path)


def test_a_strategys_exception_is_exit_code_1(tmp_path: Path) -> None:
    """From the command line, with the traceback; a clean exit would pass for a result."""
    (tmp_path / "wrong.py").write_text(WRONG)
    shell = [sys.executable, "-c", "import perpsim; perpsim.main()"]
    made = subprocess.run(
        [*shell, "demo", "--out", str(tmp_path / "demo")], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    file = next((tmp_path / "demo").glob("*.toml"))
    done = subprocess.run(
        [*shell, "backtest", str(file), "--set", f'strategy.class="{tmp_path / "wrong.py"}:Wrong"',
         "--set", "strategy.params={}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and "no_such_thing" in done.stderr


@pytest.mark.parametrize(
    ("place", "key"), [("venue", "liquidation_enabled"), ("instrument", "funding_rate"), ("", "liquidations")]
)
def test_an_unknown_key_is_an_error(tmp_path: Path, place: str, key: str) -> None:
    """Nothing is configured that nothing reads."""
    content = config()
    (content[place][0] if place else content)[key] = True
    with pytest.raises(InputError, match=key):
        backtest(content, Buyer(), feeds={0: Tape().snapshot(0).source()}, out=tmp_path, html=False)


SCRIPT = """\
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.conformance.test_runs import noisy
print(noisy(Path({out!r})))
"""


def noisy(out: Path) -> str:
    """The order log's hash of a run with two instruments and many orders."""
    return run(Quoter(), [random_tape(1, 300), random_tape(2, 300)], out).hash


class Quoter(Strategy):
    """Quotes the first instrument around its mid, whatever else there is."""

    def __init__(self, target: int = 0) -> None:
        self.target = target
        self.fills: list[tuple[int, int, int]] = []

    def on_start(self) -> None:
        self.ctx.every("50ms", self.quote)

    def quote(self) -> None:
        ctx, view = self.ctx, self.ctx.book(self.target)
        if not view.is_valid:
            return
        for order in ctx.orders():
            ctx.cancel(order)
        ctx.buy(self.target, view.best_bid_ticks, 2)
        ctx.sell(self.target, view.best_ask_ticks, 2)

    def on_fill(self, order: Any, fill: Any) -> None:
        self.fills.append((fill.ts_event_ns, fill.ticks, fill.lots))


def test_another_process_gives_the_same_bytes(tmp_path: Path) -> None:
    """Whatever the seed of Python's hashes."""
    found = set()
    for seed in ("0", "1", "4242"):
        script = SCRIPT.format(root=str(ROOT), out=str(tmp_path / seed))
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )  # fmt: skip
        found.add(done.stdout.split()[-1])
    assert found == {noisy(tmp_path / "here")}


def test_other_instruments_change_nothing(tmp_path: Path) -> None:
    """The same instrument traded alone, beside a second one, and listed after it: the same fills."""
    mine, other = random_tape(1, 2000), random_tape(2, 2000)
    alone, beside, behind = Quoter(), Quoter(), Quoter(target=1)
    run(alone, mine, tmp_path)
    run(beside, [mine, other], tmp_path)
    run(behind, [other, mine], tmp_path)
    assert len(alone.fills) >= 10 and alone.fills == beside.fills == behind.fills


def test_what_a_result_names_is_what_was_run(tmp_path: Path) -> None:
    """Two runs of one file have one order log, byte for byte."""
    first, second = (run(Quoter(), random_tape(3, 200), tmp_path / name) for name in ("a", "b"))
    digests = {hashlib.sha256((one.path / "orders.parquet").read_bytes()).hexdigest() for one in (first, second)}
    assert first.hash == second.hash and len(digests) == 1
