"""``perpsim data``: plain dictionaries that JSON can carry."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recorders import commands
from tests.recorders.captures import Market, write
from tests.recorders.test_columns import ROWS, plain, save
from venues.errors import InputError, LocalError


def test_import_then_ask(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    market = Market().run(100)
    market.lines.pop(market.diffs()[60])
    result = commands.import_("binance", [write(tmp_path / "day.gz", market.lines)], lake)
    assert result["ok"] and result["totals"]["gaps"] == 1 and result["recordings"][0]["gaps"] == 1
    assert {"gaps", "crossed", "bbo_equal", "bbo_different", "clock_offset_ns"} <= set(result["recordings"][0])
    listed = commands.ls(lake)
    assert listed["feeds"][0]["symbol"] == "BTCUSDT" and listed["feeds"][0]["gaps"] == 1
    assert commands.info(lake)["feeds"][0]["recordings"][0]["gaps"] == 1
    assert commands.verify(lake)["ok"]
    assert commands.gaps(lake)["gaps"][0]["kind"] == "sequence"
    for found in (result, listed, commands.info(lake), commands.verify(lake), commands.gaps(lake)):
        assert json.loads(json.dumps(found)) == found


def test_nothing_imported_is_not_ok(tmp_path: Path) -> None:
    result = commands.import_("binance", [write(tmp_path / "empty", [])], tmp_path / "lake")
    assert not result["ok"] and result["problems"][0]["text"] == "empty: the file is empty: nothing to import"


def test_damage_is_not_ok(tmp_path: Path) -> None:
    commands.import_("binance", [write(tmp_path / "x", Market().run(20).lines)], tmp_path / "lake")
    (path,) = (tmp_path / "lake").rglob("*.parquet")
    path.write_bytes(path.read_bytes()[:-10])
    result = commands.verify(tmp_path / "lake")
    assert not result["ok"] and "truncated" in result["files"][0]["problems"][0]


def test_columns(tmp_path: Path) -> None:
    folder = save(tmp_path / "feed", plain(ROWS))
    assert commands.import_("columns", [folder], tmp_path / "lake", symbol="BTCUSDT")["ok"]
    assert commands.ls(tmp_path / "lake")["feeds"][0]["venue"] == "neutral"
    with pytest.raises(InputError, match="--symbol"):
        commands.import_("columns", [folder], tmp_path / "lake")
    with pytest.raises(LocalError, match="NOSUCH"):
        commands.import_("columns", [folder], tmp_path / "lake", symbol="NOSUCH")


def test_an_instrument_that_a_file_describes(tmp_path: Path) -> None:
    market = Market(symbol="FOOUSDT").run(40)
    path = write(tmp_path / "x", market.lines)
    result = commands.import_("binance", [path], tmp_path / "lake")
    assert not result["ok"] and result["problems"][0]["kind"] == "unknown_instrument"
    described = tmp_path / "i.json"
    described.write_text(
        json.dumps({"venue": "binance_usdm", "symbol": "FOOUSDT", "tick_size": "0.1", "lot_size": "0.001"})
    )
    assert commands.import_("binance", [path], tmp_path / "lake", instrument=described)["ok"]
    info = {
        "symbols": [
            {
                "symbol": "FOOUSDT",
                "baseAsset": "FOO",
                "quoteAsset": "USDT",
                "marginAsset": "USDT",
                "filters": [
                    {"filterType": "PRICE_FILTER", "tickSize": "0.10", "minPrice": "0.1", "maxPrice": "1000000"},
                    {"filterType": "LOT_SIZE", "stepSize": "0.001", "minQty": "0.001", "maxQty": "1000"},
                ],
            }
        ]
    }
    described.write_text(json.dumps(info))
    found = commands.import_(
        "binance", [path], tmp_path / "other", venue="binance_usdm", symbol="FOOUSDT", instrument=described
    )
    assert found["ok"]
    with pytest.raises(InputError, match="say whose"):
        commands.instruments_from_file(described)
    described.write_text('[{"symbol": "X"}]')
    with pytest.raises(InputError, match="entry 1"):
        commands.instruments_from_file(described)
    described.write_text("{")
    with pytest.raises(InputError, match="no JSON"):
        commands.instruments_from_file(described)


def test_wrong_questions(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown kind of source"):
        commands.import_("csv", [], tmp_path)
    with pytest.raises(InputError, match="NOSUCH"):
        commands.import_("binance", ["x"], tmp_path, symbol="NOSUCH")
