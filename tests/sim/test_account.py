"""Margin, liquidation and funding as a strategy lives through them: what it believes is what the ledger says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from matching.codes import BUY, CAUSE_LIQUIDATION, EV_LIQUIDATED, R_LIQUIDATION, SELL
from sim.strategy import Fill, Liquidation, Order, Strategy
from tests.sim.markets import MS, T0, S, Tape, run
from venues.errors import InputError

BRACKETS = "floor,cap,max_leverage,rate\n0,1000000,20,0.01\n"
E8 = 10**8


class Holder(Strategy):
    """Buys at 100 ms, rests an order, and writes down what happens to it."""

    def __init__(self, lots: int = 1000) -> None:
        self.lots = lots
        self.events: list[tuple[int, str, int, int]] = []

    def on_start(self) -> None:
        self.ctx.at(T0 + 100 * MS, self.enter)

    def enter(self) -> None:
        self.ctx.market(0, BUY, self.lots)
        self.resting = self.ctx.sell(0, 1500, 1)

    def on_fill(self, order: Order, fill: Fill) -> None:
        kind = "forced" if order.external else "fill"
        self.events.append((self.ctx.now_ns - T0, kind, fill.ticks, fill.lots))

    def on_liquidation(self, i: int, event: Liquidation) -> None:
        assert event.kind == EV_LIQUIDATED
        self.events.append((self.ctx.now_ns - T0, "taken over", event.ticks, event.lots))


def market(bracket_file: Path, deposit: str) -> dict[str, Any]:
    bracket_file.write_text(BRACKETS)
    return {
        "venue": [
            {
                "name": "binance_usdm", "latency": "10ms", "fees": {"maker": 0, "taker": 0},
                "deposit": {"USDT": deposit},
            }
        ],
        "instrument": [
            {
                "symbol": "BTCUSDT", "mark": "recorded", "funding": "none", "margin": str(bracket_file), "leverage": 20,
                "tick_size": "0.1", "lot_size": "0.001",  # grids of its own, without the filters of the real contract
            }
        ],
    }  # fmt: skip


def falling(deep: bool) -> Tape:
    """100.0 to 100.1, then the mark falls to 95; ``deep``: there are bids to sell the whole position into."""
    tape = Tape().snapshot(0, 1000, 1001, lots=1000).mark(10 * MS, 100 * E8)
    tape.depth(900 * MS, *[(BUY, 1000 - k, 0) for k in range(10)])
    if deep:
        tape.depth(901 * MS, (BUY, 970, 600), (BUY, 960, 5000))
    else:
        tape.depth(901 * MS, (BUY, 900, 600))
    for k in range(5):
        tape.mark(S + k * 100 * MS, (99 - k) * E8)
    return tape.depth(3 * S, (SELL, 1100, 3))


@pytest.mark.parametrize("deep", [True, False])
def test_a_liquidation(tmp_path: Path, deep: bool) -> None:
    """1 BTC bought at 100.1 with 6 USDT: below maintenance when the mark falls to 95."""
    strategy = Holder()
    result = run(strategy, falling(deep), tmp_path / "runs", **market(tmp_path / "brackets.csv", "6"))
    account = result.summary["accounts"][0]
    forced = result.fills.filter(pl.col("cause") == CAUSE_LIQUIDATION)
    assert forced["lots"].sum() == 1000 and account["positions"][0]["position_lots"] == 0
    kinds = [event[1] for event in strategy.events]
    assert kinds == (["fill", "forced", "forced"] if deep else ["fill", "taken over"])
    assert strategy.events[1][2:] == ((970, 600) if deep else (941, 1000)), "taken over at the bankruptcy price"
    assert strategy.resting.is_closed and strategy.resting.reason == R_LIQUIDATION
    assert strategy.ctx.position(0) == 0
    assert strategy.ctx.balance_e8(0) == account["wallet_e8"] >= 0
    parts = account["realized_e8"] - account["fees_e8"] - account["liquidation_fees_e8"] + account["covered_e8"]
    assert 6 * E8 + parts == account["wallet_e8"]


def test_an_account_in_good_standing_is_left_alone(tmp_path: Path) -> None:
    strategy = Holder()
    result = run(strategy, falling(True), tmp_path / "runs", **market(tmp_path / "brackets.csv", "60"))
    assert [event[1] for event in strategy.events] == ["fill"] and not strategy.resting.is_closed
    assert result.equity["maintenance_e8"].max() == 100 * E8 // 100


def test_margin_and_leverage_refuse_on_arrival(tmp_path: Path) -> None:
    strategy = Holder(lots=5000)
    result = run(strategy, falling(True), tmp_path / "runs", **market(tmp_path / "brackets.csv", "6"))
    assert result.summary["rejects"] == 1 and result.summary["fills"] == 0


def test_funding_without_a_mark_is_refused_by_name(tmp_path: Path) -> None:
    """A funding table without marks of its own needs the run's mark; here none has come when the boundary does."""
    table = tmp_path / "funding.csv"
    table.write_text(f"time,rate\n{T0 + S},0.0001\n")
    tape = Tape().snapshot(0).depth(3 * S, (BUY, 990, 4))
    instrument = [{"symbol": "BTCUSDT", "mark": "recorded", "funding": str(table)}]
    with pytest.raises(InputError, match=r"BTCUSDT: funding is due at 1750000001000000000 ns"):
        run(Holder(lots=1), tape, tmp_path / "runs", instrument=instrument)


def test_an_unsettled_boundary_is_said_so(tmp_path: Path) -> None:
    boundary = T0 + 500 * MS
    tape = Tape().snapshot(0).mark(10 * MS, 100 * E8, 10**8, boundary).depth(3 * S, (BUY, 990, 4))
    instrument = [{"symbol": "BTCUSDT", "mark": "recorded", "funding": "recorded"}]
    result = run(Holder(lots=1), tape, tmp_path, instrument=instrument)
    assert len(result.funding) == 0
    assert any("funding of 2025-06-15T15:06:40.500Z is not booked" in line.text for line in result.banner)
