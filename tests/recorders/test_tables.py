"""Tables of funding, marks and brackets: exact integers, or an error that names file, row and field."""

from __future__ import annotations

import json
import zipfile
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recorders.tables import load_brackets, load_funding_table, load_mark_table
from tests.recorders.captures import SHARED
from venues.errors import InputError

B0, B1 = 1_680_652_800_000_000_000, 1_680_681_600_000_000_000


def _text(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "times",
    [
        ("1680652800000000000", "1680681600000000000"),
        ("1680652800000", "1680681600000"),
        ("1680652800", "1680681600"),
        ("2023-04-05T00:00:00Z", "2023-04-05T08:00:00"),
        ("2023-04-05", "2023-04-05 10:00:00+02:00"),
    ],
)
def test_funding_from_csv(tmp_path: Path, times: tuple[str, str]) -> None:
    table = load_funding_table(
        _text(tmp_path / "f.csv", f"time,rate,mark\n{times[0]},0.00002760,28155.1\n{times[1]},-0.0001,\n")
    )
    assert table.dated and table.boundary_ns.tolist() == [B0, B1]
    assert table.rate_e12.tolist() == [27_600_000, -100_000_000] and table.mark_e8.tolist() == [2_815_510_000_000, 0]
    assert table.at(B0) == (27_600_000, 2_815_510_000_000) and table.at(B0 + 1) is None and table.at(B1 + 10**9) is None
    assert len(table.file.sha256) == 64 and table.file.as_of is None


def test_funding_from_json_as_the_venue_writes_it(tmp_path: Path) -> None:
    rows = [
        {"symbol": "BTCUSDT", "fundingTime": 1680652800012, "fundingRate": "0.00002760", "markPrice": "28155.10000000"},
        {"symbol": "BTCUSDT", "fundingTime": 1680681600000, "fundingRate": "0.00010000", "markPrice": ""},
    ]
    table = load_funding_table(_text(tmp_path / "f.json", json.dumps(rows)))
    assert table.at(B0) == (27_600_000, 2_815_510_000_000)  # stamped 12 ms late, as the venue does
    assert table.at(B1) == (100_000_000, 0) and table.at(2 * B1 - B0) is None


def test_funding_without_a_date_holds_for_every_boundary(tmp_path: Path) -> None:
    table = load_funding_table(_text(tmp_path / "f.json", '{"as_of": "2024-08-01", "rows": [{"rate": 0.0001}]}'))
    assert not table.dated and table.file.as_of == "2024-08-01"
    assert table.at(B0) == table.at(B1) == (100_000_000, 0)


def test_funding_from_parquet(tmp_path: Path) -> None:
    columns = {
        "time": pa.array([B0, B1], pa.timestamp("ns", tz="UTC")),
        "rate": pa.array([Decimal("0.0000276"), Decimal("-0.0001")], pa.decimal128(12, 8)),
        "mark": pa.array(["28155.1", None]),
    }
    pq.write_table(pa.table(columns), tmp_path / "f.parquet")
    table = load_funding_table(tmp_path / "f.parquet")
    assert table.boundary_ns.tolist() == [B0, B1] and table.rate_e12.tolist() == [27_600_000, -100_000_000]
    pq.write_table(pa.table({"time": [B0 // 10**6], "rate": [0.0000276]}), tmp_path / "g.parquet")
    assert load_funding_table(tmp_path / "g.parquet").at(B0) == (27_600_000, 0)


def test_marks(tmp_path: Path) -> None:
    table = load_mark_table(
        _text(
            tmp_path / "m.csv",
            f"time,mark,index,rate,next_funding\n{B0},28155.12345678,28150,0.0001,{B1}\n{B0 + 10**9},28156,,,\n",
        )
    )
    assert table.time_ns.tolist() == [B0, B0 + 10**9]
    assert table.mark_e8.tolist() == [2_815_512_345_678, 2_815_600_000_000]
    assert table.index_e8.tolist() == [2_815_000_000_000, 0] and table.rate_e12.tolist() == [100_000_000, 0]
    assert table.next_funding_ns.tolist() == [B1, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time,rate\n1,0.1\n", r"f\.csv: row 1: field 'time': '1' is no time"),
        ("time,rate\n1680652800,\n1680652801,0.1\n", r"row 1: field 'rate': is missing"),
        (
            "time,rate\n1680652800,0.0000000000001\n",
            r"row 1: field 'rate': '0.0000000000001' is no decimal number of at most 12",
        ),
        ("time,rate\n1680652800,nan\n", "row 1: field 'rate'"),
        ("time,rate\n1680652800,1e400\n", "row 1: field 'rate'"),
        ("time,rate\n1680652800,1e999999999\n", "row 1: field 'rate'"),
        ("time,rate\n1680652800,99999999\n", "does not fit 64 bits"),
        (
            "time,rate\n1680652800,0.1\n1680652800,0.2\n",
            "row 2: field 'time': 2023-04-05T00:00:00Z is not after the row before",
        ),
        ("time,rate,mark\n1680652800,0.1,0\n", "row 1: field 'mark': 0 must be above 0"),
        ("time,rate\n1680652800,0.1,7\n", "row 1: has not the 2 fields of the header"),
        ("time,rate\n1680652800\n", "row 1: has not the 2 fields of the header"),
        ("time,rate\n", "has no rows"),
        ("", "is empty"),
        ("[1, 2]", "row 1: must be an object"),
        ('[{"time": 1', "is no JSON"),
        ("[" * 100_000, "is no JSON"),
    ],
)
def test_what_is_wrong_with_a_table_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_funding_table(_text(tmp_path / "f.csv", text))


def test_a_table_that_is_absent_or_no_parquet(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_mark_table(tmp_path / "none.csv")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and nothing more")
    with pytest.raises(InputError, match="no readable Parquet"):
        load_mark_table(tmp_path / "bad.parquet")
    (tmp_path / "latin.csv").write_bytes(b"time,rate\n\xff,1\n")
    with pytest.raises(InputError, match="UTF-8"):
        load_funding_table(tmp_path / "latin.csv")


# -- brackets

CSV = "floor,cap,max_leverage,rate,cum\n0,50000,125,0.004,0\n50000,600000,100,0.005,50\n"


def test_brackets_in_every_form(tmp_path: Path) -> None:
    own = load_brackets(_text(tmp_path / "b.csv", CSV), "BTCUSDT").table
    assert own.cap_e8 == (5_000_000_000_000, 60_000_000_000_000) and own.rate_e12 == (4_000_000_000, 5_000_000_000)
    assert own.cum_e8 == (0, 5_000_000_000) and own.max_leverage == (125, 100)
    without = load_brackets(
        _text(tmp_path / "c.csv", "\n".join(line.rpartition(",")[0] for line in CSV.split("\n"))), "X"
    )
    assert without.table == own
    venue = [
        {
            "symbol": "BTCUSDT",
            "brackets": [
                {
                    "bracket": 1,
                    "initialLeverage": 125,
                    "notionalCap": 50000,
                    "notionalFloor": 0,
                    "maintMarginRatio": 0.004,
                    "cum": 0.0,
                },
                {
                    "bracket": 2,
                    "initialLeverage": 100,
                    "notionalCap": 600000,
                    "notionalFloor": 50000,
                    "maintMarginRatio": 0.005,
                    "cum": 50.0,
                },
            ],
        }
    ]
    assert load_brackets(_text(tmp_path / "b.json", json.dumps(venue)), "BTCUSDT").table == own
    inverse = [
        {
            "symbol": "BTCUSD_PERP",
            "brackets": [
                {
                    "bracket": 1,
                    "initialLeverage": 125,
                    "qtyCap": 50,
                    "qtylFloor": 0,
                    "maintMarginRatio": 0.004,
                    "cum": 0.0,
                },
            ],
        }
    ]
    coin = load_brackets(_text(tmp_path / "i.json", json.dumps(inverse)), "BTCUSD_PERP").table
    assert coin.cap_e8 == (5_000_000_000,) and coin.max_leverage == (125,)


def test_brackets_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no symbol ETHUSDT; it has BTCUSDT"):
        load_brackets(
            _text(tmp_path / "s.csv", "symbol,floor,cap,max_leverage,rate,cum\nBTCUSDT,0,1,1,0.1,0\n"), "ETHUSDT"
        )
    with pytest.raises(InputError, match="row 2: cum_e8"):
        load_brackets(_text(tmp_path / "b.csv", CSV.replace(",50\n", ",51\n")), "BTCUSDT")
    with pytest.raises(InputError, match="row 2: field 'rate'"):
        load_brackets(_text(tmp_path / "b.csv", CSV.replace("0.005", "half")), "BTCUSDT")


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"the bracket tables are not here: {SHARED}")
def test_all_recorded_brackets_of_binance(tmp_path: Path) -> None:
    path = SHARED / "freqtrade" / "freqtrade" / "exchange" / "binance_leverage_tiers.json"
    btc = load_brackets(path, "BTCUSDT").table
    assert btc.cap_e8[0] == 5_000_000_000_000 and btc.max_leverage[0] == 125
    raw = json.loads(path.read_text())
    assert sum(len(load_brackets(path, key).table.cap_e8) for key in raw) == 2805
    assert load_brackets(path, "BTCUSDT_241227").table == load_brackets(path, "BTC/USDT:USDT-241227").table
    with pytest.raises(InputError, match="has no symbol NOSUCH"):
        load_brackets(path, "NOSUCH")


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"the funding candles are not here: {SHARED}")
def test_recorded_funding_rates_with_jitter() -> None:
    table = load_funding_table(SHARED / "freqtrade/tests/testdata/futures/XRP_USDT_USDT-8h-funding_rate.json")
    assert len(table.boundary_ns) == 91
    eight_hours = 28_800_000_000_000
    first = int(table.boundary_ns[0]) // eight_hours * eight_hours
    assert all(table.at(first + k * eight_hours) is not None for k in range(91))


H0 = 1_700_006_400_000  # ms, 2023-11-15 00:00 UTC
HOUR = 3_600_000
HISTORIES = {
    "binance": [
        {"symbol": "BTCUSDT", "fundingTime": H0 + 4, "fundingRate": "-0.00012345", "markPrice": "30000.1"},
        {"symbol": "BTCUSDT", "fundingTime": H0 + HOUR, "fundingRate": "0.0001", "markPrice": ""},
    ],
    "bybit": {
        "retCode": 0,
        "result": {
            "category": "linear",
            "list": [
                {"symbol": "BTCUSDT", "fundingRate": "0.0001", "fundingRateTimestamp": str(H0 + HOUR)},
                {"symbol": "BTCUSDT", "fundingRate": "-0.00012345", "fundingRateTimestamp": str(H0 + 4)},
            ],
        },
    },
    "okx": {
        "code": "0",
        "data": [
            {"instId": "X", "fundingRate": "0.9", "realizedRate": "0.0001", "fundingTime": str(H0 + HOUR)},
            {"instId": "X", "fundingRate": "0.9", "realizedRate": "-0.00012345", "fundingTime": str(H0 + 4)},
        ],
    },
    "hyperliquid": [
        {"coin": "BTC", "fundingRate": "-0.00012345", "premium": "0.1", "time": H0 + 4},
        {"coin": "BTC", "fundingRate": "0.0001", "premium": "0.1", "time": H0 + HOUR},
    ],
    "dydx": {
        "historicalFunding": [
            {"ticker": "BTC-USD", "rate": "0.0001", "price": "30001", "effectiveAt": "2023-11-15T01:00:00.000Z"},
            {"ticker": "BTC-USD", "rate": "-0.00012345", "price": "30000.1", "effectiveAt": "2023-11-15T00:00:00.004Z"},
        ]
    },
    "deribit": {
        "jsonrpc": "2.0",
        "result": [
            {"timestamp": H0 + 4, "interest_1h": -1.2345000000049e-4, "interest_8h": 0.9, "index_price": 30000.5},
            {"timestamp": H0 + HOUR, "interest_1h": 0.0001, "interest_8h": 0.9, "index_price": 30000.5},
        ],
    },
}


@pytest.mark.parametrize("venue", sorted(HISTORIES))
def test_the_funding_history_of_each_venue(tmp_path: Path, venue: str) -> None:
    table = load_funding_table(_text(tmp_path / "f.json", json.dumps(HISTORIES[venue])))
    assert table.boundary_ns.tolist() == [(H0 + 4) * 10**6, (H0 + HOUR) * 10**6]
    assert table.rate_e12.tolist() == [-123_450_000, 100_000_000]
    marks = {"binance": [3_000_010_000_000, 0], "dydx": [3_000_010_000_000, 3_000_100_000_000]}
    assert table.mark_e8.tolist() == marks.get(venue, [0, 0])


def test_funding_files_of_archives(tmp_path: Path) -> None:
    archive = f"calc_time,funding_interval_hours,last_funding_rate\n{H0 + 4},8,-0.00012345\n{H0 + 8 * HOUR},8,0.0001\n"
    lean = "20231115 00:00:00,-0.00012345\n20231115 08:00:00,0.0001"
    packed = tmp_path / "f.zip"
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("BTCUSDT-fundingRate-2023-11.csv", archive)
    for path in (_text(tmp_path / "a.csv", archive), _text(tmp_path / "b.csv", lean), packed):
        table = load_funding_table(path)
        assert table.rate_e12.tolist() == [-123_450_000, 100_000_000]
        assert table.at(H0 * 10**6) == (-123_450_000, 0) and table.boundary_ns[1] == (H0 + 8 * HOUR) * 10**6
    packed.write_bytes(packed.read_bytes()[:-10])
    with pytest.raises(InputError, match=r"f\.zip"):
        load_funding_table(packed)
