"""Every capture among the recordings that nobody here made: imported and verified, or refused with the right reason.

Tables and archives: tests/recorders/formats/test_shared_data.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from recorders import commands
from tests.recorders.captures import SHARED
from venues.errors import InputError

HFT, FEED = "hftbacktest/examples", "cryptofeed/sample_data"
# Files that belong together: (venue and instruments, messages, gaps), or why they are refused.
OUTCOMES: dict[tuple[str, ...], tuple[str, int, int] | str] = {
    (f"{HFT}/usdm/btcusdt_20230404.dat.gz", f"{HFT}/usdm/btcusdt_20230405.dat.gz"): ("binance_usdm 1", 73_765, 0),
    (f"{HFT}/usdm/btcusdt_20240718.gz", f"{HFT}/usdm/btcusdt_20240719.gz"): ("binance_usdm 1", 71_979, 0),
    (f"{HFT}/cm/btcusd_perp_20240808.gz", f"{HFT}/cm/btcusd_perp_20240809.gz"): ("binance_coinm 1", 98_363, 0),
    (f"{HFT}/hyperliquid/btcusd_20250126.gz",): ("hyperliquid 1", 109, 0),
    tuple(f"{FEED}/BINANCE_FUTURES.{k}" for k in ("0", "http.0.0", "ws.1.0")): ("binance_usdm 4", 1_464, 0),
    tuple(f"{FEED}/BYBIT.{k}" for k in ("0", "ws.25.0", "ws.26.0")): ("bybit_inverse bybit_linear 10", 4_529, 0),
    tuple(f"{FEED}/DERIBIT.{k}" for k in ("0", "ws.1.0")): ("deribit 10", 135, 0),
    tuple(f"{FEED}/OKX.{k}" for k in ("0", "ws.1.0")): ("okx 3", 364, 0),
    tuple(f"{FEED}/GATEIO_FUTURES.{k}" for k in ("0", "http.0.0", "ws.1.0")): (
        r"a capture of api\.gateio\.ws, a venue whose market data perpsim does not decode"
    ),
}

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason=f"the recordings are not here: {SHARED}")


def test_the_table_names_every_capture() -> None:
    named = {name for files in OUTCOMES for name in files}
    there = {str(path.relative_to(SHARED)) for folder in (HFT, FEED) for path in (SHARED / folder).rglob("*.*")}
    assert {name for name in there if (SHARED / name).is_file()} == named


@pytest.mark.parametrize(("files", "outcome"), OUTCOMES.items(), ids=lambda item: Path(item[0]).name)
def test_a_capture_is_imported_and_verifies_or_is_refused(
    tmp_path: Path, files: tuple[str, ...], outcome: tuple[str, int, int] | str
) -> None:
    paths = [SHARED / name for name in files]
    if isinstance(outcome, str):
        with pytest.raises(InputError, match=outcome):
            commands.import_(None, paths, tmp_path / "lake")
        return
    result = commands.import_(None, paths, tmp_path / "lake")
    reports = result["recordings"]
    venues = " ".join(sorted({report["venue"] for report in reports}))
    names = f"{venues} {len({report['instrument'] for report in reports})}"
    assert (names, result["totals"]["messages"], result["totals"]["gaps"]) == outcome
    assert result["totals"]["crossed"] == result["totals"]["bbo_different"] == 0
    verified = commands.verify(tmp_path / "lake")
    assert verified["ok"] and not any(file["problems"] for file in verified["files"])
