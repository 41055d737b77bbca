"""Hedge mode over a crash: two positions in one market, liquidated apart, and every coin of it accounted for."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from matching.codes import BUY, CAUSE_LIQUIDATION, GTC, SELL
from sim.backtest import Result, backtest
from sim.config import anchored
from sim.strategy import Liquidation, Strategy
from tests.sim.markets import MS, T0, S, Tape

E8 = 10**8
ROOT = Path(__file__).resolve().parents[2]
BRACKETS = "floor,cap,max_leverage,rate\n0,100000,20,0.01\n100000,100000000,5,0.05\n"


class Both(Strategy):
    """Trades both legs at random, with resting and taking orders."""

    def __init__(self, seed: int = 3) -> None:
        self.draw = random.Random(seed)
        self.taken: list[Liquidation] = []

    def on_start(self) -> None:
        self.ctx.every("100ms")

    def on_timer(self) -> None:
        draw, book = self.draw, self.ctx.book(0)
        if not book.is_valid:
            return
        side, leg = draw.randrange(2), draw.choice(["long", "short"])
        ticks = book.best_ticks(side) + draw.randrange(-5, 5)
        self.ctx.submit(0, side, ticks, draw.randrange(1, 300), GTC, position_side=leg)

    def on_liquidation(self, i: int, event: Liquidation) -> None:
        self.taken.append(event)


def crash(seconds: int = 30) -> Tape:
    """Quotes and marks that fall by a tenth between the 10th and the 20th second, and come back by half."""
    draw, tape, bid, old = random.Random(5), Tape().snapshot(0, 50_000, 50_001, 900, 30), 50_000, 50_000
    for at in range(200, seconds * 1000, 200):
        bid += draw.randrange(-2, 3) - 100 * (10_000 < at <= 20_000) + 50 * (at > 20_000)
        gone = [(BUY, old - k, 0) for k in range(30)] + [(SELL, old + 1 + k, 0) for k in range(30)]
        new = [(BUY, bid - k, 900) for k in range(30)] + [(SELL, bid + 1 + k, 900) for k in range(30)]
        tape.depth(at * MS, *gone, *new).trade(at * MS + 1, at // 200 % 2, bid, 40).mark(at * MS + 2, bid * E8)
        old = bid
    return tape.mark(seconds * S, bid * E8)


def hedged(name: str, out: Path, of_venue: dict[str, Any] | None = None, **instrument: Any) -> tuple[Result, Both]:
    (out / "brackets.csv").write_text(BRACKETS)
    one = {
        "symbol": "COIN", "base": "BTC", "quote": "USDT", "settle": "USDT", "tick_size": "1", "lot_size": "0.001",
        "mark": "recorded", "funding": "none", "margin": str(out / "brackets.csv"), "leverage": 15, **instrument,
    }  # fmt: skip
    venue = {"name": name, "latency": "5ms", "hedge": True, "deposit": {"USDT": 4000}, "rate_limits": "none"}
    venue |= of_venue or {}
    strategy = Both()
    document = {"venue": [venue], "instrument": [one]}
    result = backtest(
        document, strategy, feeds={0: crash().source()}, out=out / "runs", html=False, show_progress=False
    )
    return result, strategy


def recomputed(result: Result) -> dict[str, Any]:
    script = [sys.executable, str(ROOT / "tests/tools/recompute_wallets.py"), str(result.path)]
    found: dict[str, Any] = json.loads(subprocess.run(script, capture_output=True, text=True, check=False).stdout)
    return found


@pytest.mark.parametrize("mode", ["cross", "isolated"])
@pytest.mark.parametrize("name", ["binance_usdm", "bybit_linear", "okx"])
def test_the_legs_wallets_are_recomputed_and_known_to_the_strategy(name: str, mode: str, tmp_path: Path) -> None:
    result, strategy = hedged(name, tmp_path, margin_mode=mode)
    found = recomputed(result)
    assert found["different"] == 0, found["differences"]
    assert found["fees_recomputed"] > 20
    assert mode == "cross" or len(pl.read_parquet(result.path / "transfers.parquet"))  # the crash took a leg
    (account,) = result.summary["accounts"]
    (held,) = account["positions"]
    assert held["position_lots"] == held["long_lots"] + held["short_lots"] == strategy.ctx.position(0)
    assert (held["long_lots"], held["short_lots"]) == (
        strategy.ctx.position(0, "long"), strategy.ctx.position(0, "short"),
    )  # fmt: skip
    assert result.summary["position"] == held["position_lots"] == result.positions["position_lots"][-1]
    assert strategy.ctx.balance_e8(0) == account["wallet_e8"]


def test_the_fee_of_a_takeover_is_told(tmp_path: Path) -> None:
    """Bybit counts the taker fee at the bankruptcy price into an isolated position's margin, and takes it."""
    result, strategy = hedged("bybit_linear", tmp_path, margin_mode="isolated")
    event = next(event for event in strategy.taken if event.cause == CAUSE_LIQUIDATION)
    fee_e8 = event.ticks * event.lots * 55  # 5.5 bps of ticks * 1 USDT * lots * 0.001 BTC, at 1e-8
    assert event.fee_e8 == fee_e8 and event.amount_e8 == event.realized_e8 - fee_e8
    row = result.fills.filter(pl.col("order_no") == 0).row(0, named=True)
    assert row["fee_e8"] == fee_e8


def test_the_report_measures_the_net_position_and_holds_each_leg(tmp_path: Path) -> None:
    """Against positions followed lot by lot: first in, first out in each leg, the inventory over both."""
    result, _ = hedged("binance_usdm", tmp_path, margin_mode="isolated")
    (figures,) = result.summary["statistics"]["instruments"]
    open_lots: dict[int, list[int]] = {0: [], 1: []}  # by leg, the instants at which its open lots were bought or sold
    net, low, high, held = 0, 0, 0, []
    for row in result.fills.rows(named=True):
        leg = int(row["position_lots"] < 0 or (row["position_lots"] == 0 and row["side"] == BUY))
        opens = row["side"] == (SELL if leg else BUY)
        if opens:
            open_lots[leg] += [row["ts_event_ns"]] * row["lots"]
        else:
            held += [row["ts_event_ns"] - since for since in open_lots[leg][: row["lots"]]]
            del open_lots[leg][: row["lots"]]
        net += row["lots"] if row["side"] == BUY else -row["lots"]
        low, high = min(low, net), max(high, net)
    assert held and open_lots
    assert figures["holding"]["closed_lots"] == len(held)
    assert figures["holding"]["mean_ns"] == pytest.approx(sum(held) / len(held))
    inventory = figures["inventory"]
    assert (inventory["max_long_lots"], inventory["max_short_lots"]) == (high, -low)
    assert inventory["end_lots"] == net == result.summary["position"]


def test_the_banner_says_what_the_run_file_changes(tmp_path: Path) -> None:
    result, _ = hedged("binance_usdm", tmp_path)
    notes = [line.text for line in result.banner if line.topic == "Note"]
    assert "binance_usdm: hedge mode, a long and a short position beside each other" in notes
    assert "binance_usdm: request limits are switched off" in notes
    changes = {"insurance": {"USDT": "5.5"}, "stp": "cancel_maker", "liquidation": {"stale_mark": "5s"}}
    (tmp_path / "again").mkdir()
    result, _ = hedged("binance_usdm", tmp_path / "again", of_venue=changes)
    notes = [line.text for line in result.banner if line.topic == "Note"]
    assert "binance_usdm: the insurance fund begins with 5.5 USDT; what it lacks deleverages others" in notes
    assert "binance_usdm: self-trade prevention is cancel_maker, as the run file says" in notes
    assert "binance_usdm: nobody is liquidated on a mark older than 5s" in notes


def test_a_table_of_index_prices_is_found_from_anywhere(tmp_path: Path) -> None:
    (tmp_path / "index.csv").touch()
    assert anchored({"index": "index.csv"}, tmp_path) == {"index": str(tmp_path / "index.csv")}


class Long(Strategy):
    """Buys 4 BTC in the first second and holds them."""

    def on_start(self) -> None:
        self.ctx.every("1s", self.buy)

    def buy(self) -> None:
        if not self.ctx.orders() and self.ctx.position(0) == 0 and self.ctx.now_ns < T0 + 2 * S:
            self.ctx.market(0, BUY, 4000)


@pytest.mark.parametrize(("mode", "deposit", "left"), [("isolated", 20_000, 10_000), ("cross", 10_200, 0)])
def test_the_fund_pays_once_for_what_is_worse_than_the_bankruptcy_price(
    mode: str, deposit: int, left: int, tmp_path: Path
) -> None:
    """dYdX: a gap of a fifth through a margin of a twentieth takes that margin and no more, and gives nothing."""
    (tmp_path / "brackets.csv").write_text("floor,cap,max_leverage,rate\n0,100000000,20,0.01\n")
    one = {
        "symbol": "COIN", "base": "BTC", "quote": "USDT", "settle": "USDT", "tick_size": "1", "lot_size": "0.001",
        "mark": "recorded", "funding": "none", "margin": str(tmp_path / "brackets.csv"), "leverage": 20,
        "margin_mode": mode,
    }  # fmt: skip
    venue = {"name": "dydx", "latency": "5ms", "deposit": {"USDT": deposit}, "fees": {"maker": 0, "taker": 0}}
    tape = Tape().snapshot(0, 50_000, 50_001, 9_000, 30).mark(1 * MS, 50_000 * E8)
    gone = [(BUY, 50_000 - k, 0) for k in range(30)]
    tape.depth(10 * S, *gone, *[(BUY, 40_000 - k, 9_000) for k in range(30)]).trade(10 * S + 1, SELL, 40_000, 1)
    for at in range(11, 60):
        tape.mark(at * S, 40_000 * E8)
    strategy = Long()
    document = {"venue": [venue], "instrument": [one]}
    result = backtest(
        document, strategy, feeds={0: tape.source()}, out=tmp_path / "runs", html=False, show_progress=False
    )
    assert strategy.ctx.position(0) == 0 and len(result.fills) > 2
    wallet = result.summary["accounts"][0]["wallet_e8"]
    assert strategy.ctx.balance_e8(0) == wallet
    assert (left - 1) * E8 < wallet <= left * E8 + 100  # the margin is that of the price paid, a tick above 50,000
    assert recomputed(result)["different"] == 0
