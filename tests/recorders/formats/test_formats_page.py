"""docs/formats.md: its table, its sections, and its commands, run on made-up files of the names that they say."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from recorders import commands
from recorders.formats.registry import names, table
from sim.cli import app
from sim.data_commands import FORMAT_NAMES
from tests.recorders.captures import Market, write
from tests.recorders.formats import test_binance_archive as binance
from tests.recorders.formats import test_bybit_archive as bybit
from tests.recorders.formats import test_cryptofeed as cryptofeed
from tests.recorders.formats import test_hftbacktest as hft
from tests.recorders.formats import test_hyperliquid_archive as hyperliquid
from tests.recorders.formats import test_tardis as tardis
from tests.recorders.formats.samples import put
from tests.recorders.test_columns import ROWS, plain, save

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "formats.md").read_text()
COMMANDS = [
    re.sub(r"\s*\\\n\s*", " ", text)
    for text in re.findall(r"^    perpsim (data import (?:[^\n\\]|\\\n)+)", PAGE, re.M)
    if "FILES" not in text
]


def bitstamp(path: Path) -> None:
    head = "id,timestamp,exchange_timestamp,price,volume,action,direction\n"
    put(path / "orders.csv", head + "1,1700006400010,1700006400000,30000,1,created,bid\n")
    put(path / "trades.csv", "trade_id,timestamp,exchange_timestamp,price,amount,buy_order_id,sell_order_id,side\n")
    put(path / "meta.json", '{"synthetic_created": 1, "synthetic_deleted": 0}')


def captured_book() -> bytes:
    levels = [[{"px": "30000", "sz": "1", "n": 1}], [{"px": "30001", "sz": "2", "n": 1}]]
    frames = [
        {"channel": "l2Book", "data": {"coin": "BTC", "time": 1_700_006_400_000 + 500 * k, "levels": levels}}
        for k in range(3)
    ]
    return b"".join(
        b"%d %s\n" % ((1_700_006_400_020 + 500 * k) * 10**6, json.dumps(frame).encode())
        for k, frame in enumerate(frames)
    )


def cryptofeed_file(path: Path) -> None:
    """The file of a session that has the ending of ``path``."""
    for made in cryptofeed.session(path.parent, Market().run(20)):
        if path.name == f"BINANCE_FUTURES{made.name[1:]}":
            made.rename(path)
        else:
            made.unlink()


def exported(path: Path) -> None:
    market = write(path.parent / "exported-from", Market().run(20).lines)
    commands.import_("binance", [market], path.parent / "other-lake")
    commands.export(path.parent / "other-lake", path)


MAKERS: dict[str, Callable[[Path], object]] = {
    "day1.gz": lambda path: write(path, Market().run(20).lines),
    "day2.gz": lambda path: write(path, Market(now_ms=1_700_100_000_000).run(20).lines),
    "BINANCE_FUTURES.0": cryptofeed_file,
    "BINANCE_FUTURES.http.0.0": cryptofeed_file,
    "BINANCE_FUTURES.ws.1.0": cryptofeed_file,
    "day.parquet": exported,
    "btc.gz": lambda path: put(path, gzip.compress(captured_book())),
    "binance-futures_incremental_book_L2_2023-11-15_BTCUSDT.csv.gz": lambda path: put(
        path, gzip.compress(tardis.BOOK.encode())
    ),
    "binance-futures_trades_2023-11-15_BTCUSDT.csv.gz": lambda path: put(path, gzip.compress(tardis.TRADES.encode())),
    "BTCUSDT-aggTrades-2023-11-15.zip": lambda path: binance.zipped(path, binance.AGG),
    "BTCUSDT-bookTicker-2023-11-15.zip": lambda path: binance.zipped(path, binance.QUOTES),
    "markPriceKlines/BTCUSDT-1m-2023-11-15.zip": lambda path: binance.zipped(path, binance.MARKS),
    "2023-11-15_BTCUSDT_ob500.data.zip": bybit.ob500,
    "BTCUSDT2023-11-15.csv.gz": lambda path: put(path, gzip.compress(bybit.TRADES.encode())),
    "9/l2Book/BTC.lz4": lambda path: put(path, hyperliquid.lz4(hyperliquid.BOOKS)),
    "node_fills_by_block/9": lambda path: put(path, hyperliquid.MAKERS),
    "node_raw_book_diffs_by_block/9": lambda path: put(path, hyperliquid.DIFFS),
    "l4.json": lambda path: put(path, hyperliquid.SNAPSHOT_L4),
    "btcusdt_20231115.npz": lambda path: hft.save(path, hft.DATA),
    "feed": lambda path: save(path, plain(ROWS)),
    "folder": bitstamp,
    "btcusd.json": lambda path: put(
        path, json.dumps({"venue": "bitstamp", "symbol": "BTCUSD", "tick_size": "1", "lot_size": "0.00000001"})
    ),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_page_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.chdir(tmp_path)
    words = command.split()
    for word in words:
        if word in MAKERS:
            MAKERS[word](tmp_path / word)
        assert word in MAKERS or "." not in word, f"no sample of {word} is made here: add one to MAKERS"
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert CliRunner().invoke(app, ["data", "verify", "--lake", "lake"]).exit_code == 0


def test_the_page_has_the_table_and_a_section_for_each() -> None:
    for row in table():
        assert f"| `{row['format']}` | {row['what']} | {row['recognised by']} |" in PAGE
        section = PAGE.partition(f"\n## {row['format']}\n")[2].partition("\n## ")[0]
        assert section, f"docs/formats.md has no section on {row['format']}"
        assert row["format"] == "lean" or "perpsim data import" in section
    assert len(COMMANDS) >= len(table())


def test_the_help_names_every_format() -> None:
    assert tuple(FORMAT_NAMES.split()) == names()
    shown = CliRunner().invoke(app, ["data", "import", "--help"]).output
    assert all(name in shown for name in names()) and "[FORMAT] FILES" in shown
