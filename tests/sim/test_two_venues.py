"""One strategy quotes three instruments on two venues, an account each, in one run."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from matching.codes import BUY
from recorders.commands import import_
from sim.backtest import Result, backtest
from sim.synth import BTCUSD_PERP, BTCUSDT, ETHUSDT, SyntheticSession, write_session
from sim.synth.session import DEFAULT_FUNDING_NS, SECOND_NS

ROOT = Path(__file__).resolve().parents[2]
RUN_FILE = ROOT / "docs/examples/two_venues.toml"
MARKETS = tuple(replace(market, levels=300) for market in (BTCUSDT, ETHUSDT, BTCUSD_PERP))
SESSION = SyntheticSession(
    start_ns=DEFAULT_FUNDING_NS - 60 * SECOND_NS,
    duration_ns=100 * SECOND_NS,
    gap_after_ns=70 * SECOND_NS,
    liquidation_after_ns=80 * SECOND_NS,
)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two-venues")
    recordings = write_session(folder / "recording", 7, MARKETS, SESSION)
    import_("binance", [recording.path for recording in recordings], folder / "lake")
    return folder / "lake"


def run(lake: Path, out: Path) -> Result:
    overrides = [f'feed.lake="{lake}"']
    return backtest(RUN_FILE, overrides=overrides, out=out, html=False, show_progress=False)


@pytest.fixture(scope="module")
def result(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return run(lake, tmp_path_factory.mktemp("runs"))


def test_it_trades_on_all_of_them(result: Result) -> None:
    fills = result.fills.group_by("instrument").agg(pl.len(), pl.col("side").n_unique()).sort("instrument")
    assert fills["instrument"].to_list() == [0, 1, 2]
    assert min(fills["len"]) > 20 and fills["side"].to_list() == [2, 2, 2]


def test_each_venue_has_its_own_account_and_asset(result: Result) -> None:
    accounts = {(row["venue"], row["asset"]): row for row in result.summary["accounts"]}
    assert set(accounts) == {("binance_usdm", "USDT"), ("binance_coinm", "BTC")}
    names = [[place["instrument"] for place in row["positions"]] for row in accounts.values()]
    assert [len(found) for found in names] == [2, 1]
    for row in accounts.values():
        fills = result.fills.filter(pl.col("account") == row["account"])
        paid = result.funding.filter(pl.col("account") == row["account"])["payment_e8"].sum()
        deposit = 100_000 * 10**8 if row["asset"] == "USDT" else 4 * 10**8
        moves = fills["realized_e8"].sum() - fills["fee_e8"].sum() + paid
        assert row["wallet_e8"] == deposit + moves


def test_funding_once_for_every_position_held(result: Result) -> None:
    signed = pl.when(pl.col("side") == BUY).then(pl.col("lots")).otherwise(-pl.col("lots"))
    before = result.fills.filter(pl.col("ts_event_ns") < DEFAULT_FUNDING_NS)
    held = {row[0]: row[1] for row in before.group_by("instrument").agg(signed.sum()).rows()}
    charged = {row["instrument"]: row["position_lots"] for row in result.funding.iter_rows(named=True)}
    assert len(result.funding) == len(charged) > 0
    assert charged == {instrument: lots for instrument, lots in held.items() if lots}
    assert set(result.funding["boundary_ns"]) == {DEFAULT_FUNDING_NS}


def test_every_feed_has_its_gap_and_no_fill_in_it(result: Result) -> None:
    assert sorted(result.gaps["instrument"]) == [0, 1, 2]
    for gap in result.gaps.iter_rows(named=True):
        inside = (pl.col("instrument") == gap["instrument"]) & pl.col("ts_event_ns").is_between(
            gap["start_ns"], gap["end_ns"], closed="none"
        )
        accepted = result.orders.filter(inside & (pl.col("event") == 1))
        assert accepted.is_empty(), "no order can be accepted while the simulator does not know the book"


def test_the_same_run_again_and_its_wallets_recomputed(result: Result, lake: Path, tmp_path: Path) -> None:
    assert run(lake, tmp_path).hash == result.hash
    script = [sys.executable, str(ROOT / "tests/tools/recompute_wallets.py"), str(result.path)]
    done = subprocess.run(script, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
