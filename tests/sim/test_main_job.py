"""The main job on a recording that nobody here made: BTCUSDT across 2023-04-05 00:00 UTC, a funding boundary.

The recording (see docs/examples/binance_2023.toml) is read from ../shared/data beside the repository.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import polars as pl
import pytest

from matching.codes import BUY
from recorders.commands import import_
from sim.backtest import Result, backtest

ROOT = Path(__file__).resolve().parents[2]
RUN_FILE = ROOT / "docs/examples/binance_2023.toml"
FILES = [
    ROOT.parent / "shared/data/hftbacktest/examples/usdm" / name
    for name in ("btcusdt_20230404.dat.gz", "btcusdt_20230405.dat.gz")
]
BOUNDARY_NS = 1_680_652_800_000_000_000  # 2023-04-05 00:00 UTC
INSURANCE_NS = 1_680_652_874_400_000_000

pytestmark = pytest.mark.skipif(
    not all(file.exists() for file in FILES), reason=f"the recording is not there: {FILES[0].parent}"
)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("main-job") / "lake"
    report = import_("binance", FILES, folder)
    assert (report["totals"]["gaps"], report["totals"]["crossed"], report["totals"]["bbo_different"]) == (0, 0, 0)
    return folder


@pytest.fixture(scope="module")
def result(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return run(lake, tmp_path_factory.mktemp("runs"))


def run(lake: Path, out: Path, html: bool = False) -> Result:
    """The market maker with the fees of an ordinary account, so that every fill has one."""
    overrides = [f'feed.lake="{lake}"', 'venue.0.fees.maker="2 bps"', 'venue.0.fees.taker="5 bps"']
    return backtest(RUN_FILE, overrides=overrides, out=out, html=html, show_progress=False)


def position_before(fills: pl.DataFrame, ts_ns: int) -> int:
    earlier = fills.filter(pl.col("ts_event_ns") < ts_ns)
    signed = pl.when(pl.col("side") == BUY).then(pl.col("lots")).otherwise(-pl.col("lots"))
    return int(earlier.select(signed.sum()).item())


def test_funding_is_charged_once_as_of_the_boundary(result: Result) -> None:
    """Rate and mark are those of the last message that names the boundary; it arrives just after midnight."""
    assert len(result.funding) == 1
    row = result.funding.row(0, named=True)
    held = position_before(result.fills, BOUNDARY_NS)
    assert held != 0
    assert row["boundary_ns"] == BOUNDARY_NS
    assert row["rate_e12"] == 27_600_000  # 0.00002760
    assert row["mark_e8"] == 28_155_10000000  # 28155.1
    assert row["position_lots"] == held
    payment = -Fraction(held, 1000) * Fraction("28155.1") * Fraction("0.00002760")
    assert row["payment_e8"] == round(payment * 10**8)
    assert result.summary["funding_e8"] == row["payment_e8"]


def test_funding_is_booked_when_its_message_is_superseded(result: Result) -> None:
    """The first message that names the next boundary is of 00:00:01.000; the wallet moves then, not before."""
    row = result.funding.row(0, named=True)
    assert row["booked_ns"] == 1_680_652_801_000_000_000
    assert row["booked_ns"] > row["boundary_ns"]
    wallets = result.fills.filter(pl.col("ts_event_ns").is_between(BOUNDARY_NS, row["booked_ns"] - 1))
    before = result.fills.filter(pl.col("ts_event_ns") < BOUNDARY_NS)["wallet_e8"][-1]
    moves = wallets["realized_e8"].sum() - wallets["fee_e8"].sum()
    assert (wallets["wallet_e8"][-1] if len(wallets) else before) == before + moves


def test_the_market_maker_traded_both_sides(result: Result) -> None:
    assert set(result.fills["side"]) == {0, 1}
    assert result.summary["fills"] == len(result.fills) > 100
    assert result.summary["position"] == position_before(result.fills, 1 << 62)
    assert len(result.gaps) == 0


def test_insurance_fund_print_is_harmless(result: Result, tmp_path: Path) -> None:
    """At 00:01:14.4 the insurance fund prints at 28722.5, 2 % off: a run without that line is the same run."""
    lines = gzip.decompress(FILES[1].read_bytes()).split(b"\n")
    kept = [line for line in lines if b'"INSURANCE_FUND"' not in line]
    assert len(lines) - len(kept) == 1
    (tmp_path / FILES[1].name).write_bytes(gzip.compress(b"\n".join(kept), 1))
    import_("binance", [FILES[0], tmp_path / FILES[1].name], tmp_path / "lake")
    without = run(tmp_path / "lake", tmp_path / "runs")
    assert without.hash == result.hash
    assert without.summary["events"] == result.summary["events"] - 1
    off_market = result.fills.filter(pl.col("ts_event_ns") == INSURANCE_NS)
    assert off_market.filter(pl.col("ticks") > 283_000).is_empty()


def test_the_same_run_again_is_the_same_to_the_byte_and_reports(result: Result, lake: Path, tmp_path: Path) -> None:
    again = run(lake, tmp_path, html=True)
    assert again.hash == result.hash
    assert again.fills.equals(result.fills) and again.funding.equals(result.funding)
    page = (again.path / "report.html").read_text(encoding="utf-8")
    assert "BTCUSDT" in page and "Funding" in page


def test_wallets_recomputed_from_the_files_agree(result: Result) -> None:
    script = [sys.executable, str(ROOT / "tests/tools/recompute_wallets.py"), str(result.path)]
    options = ["--maker", "0.0002", "--taker", "0.0005"]
    done = subprocess.run(script + options, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
