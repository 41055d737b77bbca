"""Every table and archive among the recordings that nobody here made: imported and verified, or refused with reason.

Captured frames (hftbacktest's, cryptofeed's) have their own tests; here they are only recognised for what they are.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from recorders.formats.registry import recognised, sample_of
from recorders.tables import load_funding_table
from tests.recorders.captures import SHARED
from tests.recorders.formats.samples import described, load
from venues.errors import InputError

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason=f"the recordings are not here: {SHARED}")

GRIDS = (
    {"venue": "binance_usdm", "symbol": "BTCUSDT", "tick_size": "0.01", "lot_size": "0.001"},  # as it was in 2020
    {"venue": "bitmex", "symbol": "XBTUSD", "base": "XBT", "quote": "USD", "inverse": True, "tick_size": "0.5",
     "lot_size": "1"},
    {"venue": "huobi-dm-swap", "symbol": "BTC-USD", "inverse": True, "tick_size": "0.1", "lot_size": "1",
     "contract_size": "100"},
)  # fmt: skip


def imports(messages: int, venue: str = "binance_usdm", **counts: int) -> Callable[[Path, Path], None]:
    """The file becomes one recording of so many messages, in a lake that verifies."""

    def check(path: Path, folder: Path) -> None:
        (recording,) = load(folder, path, instrument=described(folder, *GRIDS)).recordings
        assert (recording.venue, recording.messages, recording.crossed) == (venue, messages, 0)
        assert {name: getattr(recording, name) for name in counts} == counts

    return check


def refused(why: str) -> Callable[[Path, Path], None]:
    """The importer says why not."""

    def check(path: Path, folder: Path) -> None:
        with pytest.raises(InputError, match=why):
            load(folder, path, instrument=described(folder, *GRIDS))

    return check


def nothing(why: str, count: int) -> Callable[[Path, Path], None]:
    """All of the file is left out, and counted."""

    def check(path: Path, folder: Path) -> None:
        report = load(folder, path, instrument=described(folder, *GRIDS))
        assert report.recordings == [] and report.unused == {why: count}

    return check


def funding(rows: int, first_e12: int) -> Callable[[Path, Path], None]:
    """``funding = FILE`` takes it."""

    def check(path: Path, folder: Path) -> None:
        if path.suffix == ".yaml":  # a recorded answer, verbatim
            body = re.findall(r"string: '(\[.*?\])'", path.read_text().replace("\n", " "), re.S)[-1]
            path = folder / "body.json"
            path.write_bytes(re.sub(r"\s+", " ", body).encode())
        table = load_funding_table(path)
        assert (len(table.rate_e12), int(table.rate_e12[0])) == (rows, first_e12)

    return check


def no_funding(why: str) -> Callable[[Path, Path], None]:
    def check(path: Path, folder: Path) -> None:
        with pytest.raises(InputError, match=why):
            load_funding_table(path)

    return check


def captured(path: Path, folder: Path) -> None:
    assert recognised([sample_of(path)]).name in ("binance", "captures")


def elsewhere(path: Path, folder: Path) -> None:
    """Read as part of its folder, in tests/recorders/test_order_flow.py."""
    assert recognised([sample_of(path.parent)]).name == "bitstamp"


TARDIS = "nautilus/tests/test_data/tardis/"
OUTCOMES: dict[str, Callable[[Path, Path], None]] = {
    r"nautilus/history/tardis_.*_quotes\.csv": imports(9999, quotes=9999, rows=19998, clock_offset_ns=114_542_000),
    r"nautilus/history/tardis_.*_trades\.csv": imports(9999, trades=9999, duplicates=0, clock_offset_ns=115_088_000),
    TARDIS + r"binance-futures_book_snapshot_25_BTCUSDT\.csv": imports(10, snapshots=10, rows=500),
    TARDIS + r"binance-futures_book_snapshot_5_BTCUSDT\.csv": imports(10, snapshots=10, rows=100),
    TARDIS + r"bitmex_trades_XBTUSD\.csv": imports(10, "bitmex", trades=10),
    TARDIS + r"deribit_incremental_book_L2_BTC-PERPETUAL\.csv": imports(1, "deribit", snapshots=1, rows=15),
    TARDIS + r"huobi-dm-swap_quotes_BTC-USD\.csv": imports(10, "huobi-dm-swap", quotes=10),
    r"nautilus/tests/test_data/binance/btcusdt-depth-snap\.csv": imports(1, snapshots=1, rows=100),
    r"nautilus/tests/test_data/binance/btcusdt-depth-update\.csv": nothing(
        "depth updates that no snapshot precedes, or that it contains", 1
    ),
    r"quantconnect_lean/.*/\w+_(quote|trade)\.zip": refused("bars"),
    r"quantconnect_lean/.*/binance/margin_interest/adausdt\.csv": funding(1, 100_000_000),
    r"quantconnect_lean/.*/binance/margin_interest/btcusd\.csv": funding(12, 200_300_000),
    r"quantconnect_lean/.*/bybit/margin_interest/btcusd\.csv": funding(3, -46_670_000),
    r"quantconnect_lean/.*/bybit/margin_interest/btcusdt\.csv": funding(3, -201_600_000),
    r"freqtrade/.*-8h-funding_rate\.(feather|json)": funding(91, 100_000_000),
    r"freqtrade/.*-(mark|futures)\.(feather|json)": no_funding("candles of prices"),
    r"nautilus/crates/adapters/hyperliquid/.*funding_history\.json": funding(3, 12_500_000),
    r"nautilus/crates/adapters/okx/.*/http_get_funding_rate_history\.json": funding(2, -20_000_000),
    r"nautilus/crates/adapters/okx/.*/ws_funding_rate\.json": funding(1, 100_000_000),
    r"nautilus/crates/adapters/bybit/.*funding_history\.json": funding(2, 150_000_000),
    r"nautilus/crates/adapters/dydx/.*historical_funding\.json": funding(3, 625_000),
    r"hyperliquid_python_sdk/.*/test_get_funding_history\[1684811870000\]\.yaml": funding(34, -613_340_000),
    r"hyperliquid_python_sdk/.*/test_get_funding_history\[None\]\.yaml": funding(1038, -613_340_000),
    r"deribit_testnet_latency/.*\.csv": refused("of no format known here"),  # latencies of orders, no market data
    r"supervik_latencies/.*\.csv": refused("of no format known here"),
    r"pypi_ob_analytics/(orders\.csv\.gz|trades\.csv)": elsewhere,
    r"hftbacktest/examples/.*\.gz": captured,
}  # fmt: skip
WANTED = re.compile(
    r"\.(csv|gz|zip|feather)$|funding(_rate)?_history|historical_funding|funding_rate|-mark\.|-futures\."
)
NOT_MARKET = re.compile(r"user_(non_)?funding")  # an account's own history


def files() -> list[str]:
    if not SHARED.is_dir():
        return []
    with (SHARED / "MANIFEST.tsv").open(newline="") as manifest:
        names = [row["file"] for row in csv.DictReader(manifest, delimiter="\t")]
    return [name for name in names if WANTED.search(name) and not NOT_MARKET.search(name)]


@pytest.mark.parametrize("name", files())
def test_each_file_is_imported_or_refused_with_the_reason(tmp_path: Path, name: str) -> None:
    (outcome,) = [check for pattern, check in OUTCOMES.items() if re.fullmatch(pattern, name)]
    outcome(SHARED / name, tmp_path)


def test_depth_history_of_the_archive_joins_or_says_what_is_missing(tmp_path: Path) -> None:
    folder = SHARED / "nautilus/tests/test_data/binance"
    both = [folder / "btcusdt-depth-snap.csv", folder / "btcusdt-depth-update.csv"]
    (recording,) = load(tmp_path, *both).recordings
    assert (recording.snapshots, recording.gaps, recording.stale_at_end) == (1, 1, True)
    assert recording.gap_list[0]["last_lost_id"] == 2_098_041_693_400


def test_quotes_and_trades_of_a_day_are_one_recording(tmp_path: Path) -> None:
    both = sorted((SHARED / "nautilus/history").glob("tardis_*.csv"))
    (recording,) = load(tmp_path, *both, instrument=described(tmp_path, *GRIDS)).recordings
    assert (recording.messages, recording.trades, recording.quotes) == (19_998, 9_999, 9_999)
    assert msgspec.json.encode(recording.as_dict())
