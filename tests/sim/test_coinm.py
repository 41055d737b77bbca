"""An inverse contract settled in coin, on a recording without marks and funding: what is missing must be named.

The recording (see docs/examples/coinm.toml) is read from ../shared/data beside the repository.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from matching.codes import BUY, GTX, R_LEVERAGE, R_NONE
from recorders.commands import import_
from sim.backtest import Result, backtest
from sim.strategy import Order, Strategy
from venues.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs/examples"
FILES = [
    ROOT.parent / "shared/data/hftbacktest/examples/cm" / name
    for name in ("btcusd_perp_20240808.gz", "btcusd_perp_20240809.gz")
]
BOUNDARY_NS = 1_723_161_600_000_000_000  # 2024-08-09 00:00 UTC

pytestmark = pytest.mark.skipif(
    not all(file.exists() for file in FILES), reason=f"the recording is not there: {FILES[0].parent}"
)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("coinm") / "lake"
    assert import_("binance", FILES, folder)["totals"]["gaps"] == 0
    return folder


def config(lake: Path, **instrument: str | None) -> dict[str, Any]:
    """The example with an ordinary account's fees; keys of its instrument replaced, or left out (None)."""
    found: dict[str, Any] = tomllib.loads((EXAMPLES / "coinm.toml").read_text(), parse_float=Decimal)
    found["feed"]["lake"] = str(lake)
    found["venue"][0]["fees"] = {"maker": "2 bps", "taker": "5 bps"}
    found["instrument"][0]["funding"] = str(EXAMPLES / "coinm_funding.csv")
    found["instrument"][0] |= instrument
    found["instrument"][0] = {key: value for key, value in found["instrument"][0].items() if value is not None}
    return found


def run(content: dict[str, Any], out: Path, strategy: Strategy | None = None) -> Result:
    return backtest(content, strategy, out=out, html=False, show_progress=False)


@pytest.fixture(scope="module")
def result(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return run(config(lake), tmp_path_factory.mktemp("runs"))


def test_funding_is_charged_once_at_the_table_rate(result: Result) -> None:
    """Payment = contracts * 100 USD / mark * rate, in coin (Binance support FAQ 360033525031); longs pay."""
    assert len(result.funding) == 1
    row = result.funding.row(0, named=True)
    assert (row["boundary_ns"], row["rate_e12"]) == (BOUNDARY_NS, 100_000_000)
    assert row["position_lots"] != 0
    mark = Fraction(row["mark_e8"], 10**8)
    assert row["payment_e8"] == round(-row["position_lots"] * 100 / mark * Fraction("0.0001") * 10**8)


def test_the_inverse_ledger_closes_to_the_last_digit(result: Result) -> None:
    """Deposit, fills and funding give the wallet; an independent script with exact fractions says the same."""
    fills, summary = result.fills, result.summary
    assert len(fills) > 100
    moves = fills["realized_e8"].sum() - fills["fee_e8"].sum() + result.funding["payment_e8"].sum()
    assert summary["wallet_e8"] == 10 * 10**8 + moves
    assert summary["realized_e8"] == fills["realized_e8"].sum() and summary["fees_e8"] == fills["fee_e8"].sum() > 0
    script = [sys.executable, str(ROOT / "tests/tools/recompute_wallets.py"), str(result.path)]
    options = ["--maker", "0.0002", "--taker", "0.0005", "--fee-rounding", "truncate"]
    done = subprocess.run(script + options, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_assumption_stands_in_the_banner(result: Result) -> None:
    lines = {line.topic: line for line in result.banner}
    assert "mid" in lines["Mark price"].text and lines["Mark price"].level == "warn"
    assert "coinm_funding.csv" in lines["Funding"].text
    assert "first bracket" in lines["Margin"].text and "UNVERIFIED" in lines["Margin"].text


@pytest.mark.parametrize("funding", [None, "recorded"])
def test_without_a_funding_table_the_run_is_refused(lake: Path, tmp_path: Path, funding: str | None) -> None:
    """Before the first event, with the instrument and the boundary, and without leaving a run folder."""
    with pytest.raises(InputError) as refused:
        run(config(lake, funding=funding), tmp_path)
    assert "BTCUSD_PERP" in str(refused.value)
    assert "2024-08-09T00:00:00" in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_without_a_mark_the_run_is_refused(lake: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"BTCUSD_PERP.*mark"):
        run(config(lake, mark=None), tmp_path)


class Large(Strategy):
    """Bids of given sizes far below the market, once, five minutes before the boundary."""

    def __init__(self, sizes: list[int]) -> None:
        self.sizes = sizes
        self.sent: list[Order] = []

    def on_start(self) -> None:
        self.ctx.at(BOUNDARY_NS - 300_000_000_000, self.send)

    def send(self) -> None:
        ticks = self.ctx.book(0).best_ticks(BUY) - 5000
        self.sent = [self.ctx.submit(0, BUY, ticks, lots, GTX) for lots in self.sizes]


@pytest.mark.parametrize("margin", ["card", str(EXAMPLES / "coinm_brackets.csv")])
def test_a_position_above_the_only_bracket_is_refused(lake: Path, tmp_path: Path, margin: str) -> None:
    """50 BTC are some 30,860 contracts of 100 USD at 61,730: one order above, one below, one that would go above."""
    content = config(lake, margin=margin)
    content["venue"][0]["deposit"] = {"BTC": 100}
    strategy = Large([32_000, 30_000, 1_500])
    result = run(content, tmp_path, strategy)
    assert [order.reason for order in strategy.sent] == [R_LEVERAGE, R_NONE, R_LEVERAGE]
    assert result.summary["fills"] == 0 and result.summary["rejects"] == 2
