"""Binance's public archive: made-up files, kind by kind, and whatever bytes they may hold."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matching.codes import BBO, BUY, DEPTH, FORCE, FUNDING, GAP, MARK, SELL, SNAPSHOT, TRADE
from recorders.formats.binance_archive import KLINE
from recorders.formats.registry import recognised, sample_of
from tests.recorders.captures import replay, whole_feed
from tests.recorders.formats.samples import DAY_US, Edit, edits, ends_well, load, mangled, put
from venues.errors import InputError

MS = DAY_US // 1000  # the day's start
AGG_HEAD = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker\n"
AGG = f"5,30000.1,0.5,11,12,{MS + 10},true\n6,30000.20,1,13,13,{MS + 20},false\n6,30000.20,1,13,13,{MS + 20},false\n"
TRADES = f"""id,price,qty,quote_qty,time,is_buyer_maker
11,30000.1,0.25,7500.025,{MS + 10},true
12,30000.1,0.25,7500.025,{MS + 10},true
14,30000.2,1,30000.2,{MS + 20},false
"""
QUOTES = f"""update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time
900,30000.1,2,30000.2,3,{MS + 5},{MS + 7}
901,30000.1,2,0,0,{MS + 6},{MS + 8}
"""
CANDLES = ",".join(KLINE) + "\n"
MARKS = (
    CANDLES
    + f"{MS},1,1,1,30000.12345678,0,{MS + 59_999},0,60,0,0,0\n{MS + 60_000},1,1,1,30001,0,{MS + 119_999},0,60,0,0,0\n"
)
INDEX = f"{MS + 60_000},1,1,1,29999.5,0,{MS + 119_999},0,60,0,0,0\n"
FUNDING_CSV = f"calc_time,funding_interval_hours,last_funding_rate\n{MS + 3},8,-0.00012345\n"
FORCED_HEAD = (
    "time,side,order_type,time_in_force,original_quantity,price,average_price,order_status,last_fill_quantity,"
    "accumulated_fill_quantity\n"
)
FORCED = (
    f"{MS + 40},SELL,LIMIT,IOC,7,29999.123,30000,FILLED,7,7\n" * 2
    + f"{MS + 50},BUY,LIMIT,IOC,2,30009.19,1,FILLED,2,2\n"
)
PERCENT = "timestamp,percentage,depth,notional\n2023-11-15 00:00:06,-5,1,1\n"
METRICS = "create_time,symbol,sum_open_interest,sum_open_interest_value\n1,BTCUSDT,1,1\n"
DEPTH_CSV = "symbol,timestamp,first_update_id,last_update_id,side,update_type,price,qty,pu\n" + "".join(
    f"BTCUSDT,{line}\n" for line in (
        f"{MS + 1},95,99,b,set,29990.0,1,94",  # before the snapshot
        f"{MS + 2},100,100,b,snap,30000.0,1.5,-1",
        f"{MS + 2},100,100,a,snap,30000.1,2,-1",
        f"{MS + 3},98,103,b,set,30000.0,0,97",
        f"{MS + 3},98,103,b,set,29999.9,4,97",
        f"{MS + 4},104,106,a,set,30000.1,9,103",
        f"{MS + 4},104,106,a,set,30000.1,9,103",
        f"{MS + 9},120,121,a,set,30000.1,8,119",  # 107 to 119 are missing
        f"{MS + 10},200,200,b,snap,29000,1,-1",
        f"{MS + 10},200,200,a,snap,31000,1,-1",
        f"{MS + 11},201,202,a,set,31000,3,200",
    )
)  # fmt: skip


def zipped(path: Path, text: str) -> Path:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(path.stem + ".csv", text)
    return put(path, sink.getvalue())


def test_kinds_of_a_day_are_one_recording(tmp_path: Path) -> None:
    um = tmp_path / "futures" / "um" / "daily"
    files = [
        zipped(um / "aggTrades" / "BTCUSDT" / "BTCUSDT-aggTrades-2023-11-15.zip", AGG),  # old files have no header
        put(tmp_path / "BTCUSDT-bookTicker-2023-11-15.csv", QUOTES),
        put(um / "markPriceKlines" / "BTCUSDT" / "1m" / "BTCUSDT-1m-2023-11-15.csv", MARKS),
        zipped(um / "indexPriceKlines" / "BTCUSDT" / "1m" / "BTCUSDT-1m-2023-11-15.zip", INDEX),
        put(tmp_path / "BTCUSDT-fundingRate-2023-11.csv", FUNDING_CSV),
        put(tmp_path / "BTCUSDT-liquidationSnapshot-2023-11-15.csv", FORCED_HEAD + FORCED),
    ]
    report = load(tmp_path, *files, latency_ns=20_000_000)
    (recording,) = report.recordings
    assert (recording.venue, recording.instrument) == ("binance_usdm", "BTCUSDT")
    assert (recording.trades, recording.duplicates, recording.quotes, recording.marks, recording.forced) == (
        2,
        1,
        2,
        3,
        2,
    )
    assert report.unused == {"liquidationSnapshot rows that repeat the one before": 1}
    assert any("20 ms" in text for text in recording.assumptions) and any(
        "sampled" in text for text in recording.assumptions
    )
    feed = whole_feed(tmp_path / "lake")
    kinds = feed.kind.tolist()
    assert kinds == [FUNDING, BBO, BBO, TRADE, TRADE, FORCE, FORCE, MARK, MARK]
    assert (feed.ts_recv - feed.ts_event).tolist() == [20_000_000, 22_000_000, 22_000_000] + [20_000_000] * 6
    aux = feed.aux[feed.ref[[0, 7, 8]] - feed.aux_base].tolist()
    assert aux[0] == [-123_450_000, 0, DAY_US * 1000, 0]
    assert aux[1] == [3_000_012_345_678, 0, 0, 0] and aux[2] == [3_000_100_000_000, 2_999_950_000_000, 0, 0]
    assert feed.ts_event[7] == (MS + 60_000) * 10**6
    rows = feed.row_start[[3, 4, 5, 6]]
    assert feed.side[rows].tolist() == [SELL, BUY, SELL, BUY]
    assert feed.px_ticks[rows].tolist() == [300_001, 300_002, 299_992, 300_091]
    assert feed.row_start[3] - feed.row_start[2] == 1  # a quote without asks


def test_single_trades_win_over_aggregates(tmp_path: Path) -> None:
    files = [
        put(tmp_path / "BTCUSDT-aggTrades-2023-11-15.csv", AGG_HEAD + AGG),
        put(tmp_path / "BTCUSDT-trades-2023-11-15.csv", TRADES),
    ]
    (recording,) = load(tmp_path, *files).recordings
    assert (recording.trades, recording.aggregates_unused, recording.trades_missing) == (3, 2, 1)
    assert whole_feed(tmp_path / "lake").ref.tolist() == [11, 12, 14]
    assert any("no client can do" in text for text in recording.assumptions)


def test_microseconds_are_told_by_their_digits(tmp_path: Path) -> None:
    (recording,) = load(
        tmp_path, put(tmp_path / "BTCUSDT-aggTrades-2025-01-01.csv", AGG.replace(f"{MS + 10}", f"{DAY_US + 10}"))
    ).recordings
    assert recording.first_ns == (DAY_US + 10) * 1000


def test_snapshots_of_a_file_of_their_own_find_their_places_among_the_changes(tmp_path: Path) -> None:
    def rows(*updates: tuple[int, int, int, str, str, str, str, int]) -> str:
        return DEPTH_CSV.partition("\n")[0] + "\n" + "".join(
            f"BTCUSDT,{MS + ms},{first},{last},{side},{what},{px},{qty},{before}\n"
            for ms, first, last, side, what, px, qty, before in updates
        )  # fmt: skip

    snapshots = [  # to begin with; one that nobody needs, within a change; one that ends a gap, told late
        (ms, at, at, side, "snap", px, "1", -1)
        for ms, at, bid, ask in ((2, 101, "30000", "30001"), (5, 105, "30000", "30001"), (30, 125, "29000", "29001"))
        for side, px in (("b", bid), ("a", ask))
    ]
    changes = [
        (1, 99, 100, "b", "set", "29999", "9", 98),
        (3, 101, 103, "b", "set", "29999", "2", 100),
        (4, 104, 106, "a", "set", "30002", "3", 103),
        (6, 107, 107, "a", "set", "30002", "4", 106),
        (20, 121, 126, "a", "set", "29002", "5", 120),
        (21, 127, 127, "b", "set", "28999", "6", 126),
    ]
    files = [put(tmp_path / "depth_snap.csv", rows(*snapshots)), put(tmp_path / "depth_update.csv", rows(*changes))]
    report = load(tmp_path, *files)
    (recording,) = report.recordings
    assert report.unused == {
        "depth snapshots that came while the book was known": 1,
        "depth updates that no snapshot precedes, or that it contains": 1,
    }
    (gap,) = recording.gap_list
    assert (gap["start_ns"], gap["first_lost_id"], gap["last_lost_id"]) == ((MS + 6) * 10**6, 108, 120)
    feed = whole_feed(tmp_path / "lake")
    assert feed.kind.tolist() == [SNAPSHOT, DEPTH, DEPTH, DEPTH, GAP, SNAPSHOT, DEPTH, DEPTH]
    assert feed.ts_event.tolist() == [(MS + ms) * 10**6 for ms in (2, 3, 4, 6, 6, 20, 20, 21)]
    books = [book for _, _, book in replay(feed)]
    assert books[3] == ({300_000: 1000, 299_990: 2000}, {300_010: 1000, 300_020: 4000})
    assert books[-1] == ({290_000: 1000, 289_990: 6000}, {290_010: 1000, 290_020: 5000})


def test_the_depth_history_is_joined_by_its_ids(tmp_path: Path) -> None:
    report = load(tmp_path, put(tmp_path / "depth.csv", DEPTH_CSV))
    (recording,) = report.recordings
    assert (recording.snapshots, recording.diffs, recording.gaps, recording.resyncs) == (2, 3, 1, 1)
    assert report.unused == {"depth updates that no snapshot precedes, or that it contains": 2}
    gap = recording.gap_list[0]
    assert (gap["first_lost_id"], gap["last_lost_id"], gap["kind"]) == (107, 119, "sequence")
    feed = whole_feed(tmp_path / "lake")
    assert feed.kind.tolist() == [SNAPSHOT, DEPTH, DEPTH, GAP, SNAPSHOT, DEPTH]
    assert replay(feed)[2][2] == ({299_999: 4000}, {300_001: 9000}) and replay(feed)[-1][2] == (
        {290_000: 1000},
        {310_000: 3000},
    )


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("BTCUSDT-bookDepth-2023-11-15.csv", PERCENT, "no order book"),
        ("BTCUSDT-metrics-2023-11-15.csv", METRICS, "open interest"),
        ("premiumIndexKlines/BTCUSDT-1m-2023-11-15.csv", MARKS, "premium index is no price"),
        ("BTCUSDT-1m-2023-11-15.csv", MARKS, "candles of trades tell no trades"),
        ("indexPriceKlines/BTCUSDT-1m-2023-11-15.csv", MARKS, "an index without marks"),
        ("spot/BTCUSDT-aggTrades-2023-11-15.csv", AGG, "spot markets"),
        ("a.csv", AGG_HEAD + AGG, "names no symbol"),
        ("BTCUSDT-trades-2023-11-15.csv", AGG, "not the columns"),
        ("BTCUSDT-aggTrades-2023-11-15.csv", AGG_HEAD, "has no rows"),
        ("BTCUSDT-aggTrades-2023-11-15.csv", AGG.replace("false", "maybe"), "line 2: field 'is_buyer_maker'"),
        ("BTCUSDT-aggTrades-2023-11-15.csv", AGG_HEAD + AGG.replace("30000.20", "30000.25"), "line 3: field 'price'"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_with_the_reason(tmp_path: Path, name: str, text: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        load(tmp_path, put(tmp_path / name, text))
    assert not list(tmp_path.rglob("*.parquet"))


def test_recognition(tmp_path: Path) -> None:
    named = [put(tmp_path / "BTCUSD_PERP-aggTrades-2023-11-15.csv", AGG), put(tmp_path / "x.csv", QUOTES)]
    assert recognised([sample_of(path) for path in named]).name == "binance-archive"


SAMPLES = {
    "BTCUSDT-aggTrades-2023-11-15.csv": AGG,
    "BTCUSDT-trades-2023-11-15.csv": TRADES,
    "BTCUSDT-bookTicker-2023-11-15.csv": QUOTES,
    "markPriceKlines/BTCUSDT-1m-2023-11-15.csv": MARKS,
    "BTCUSDT-fundingRate-2023-11.csv": FUNDING_CSV,
    "BTCUSDT-liquidationSnapshot-2023-11-15.csv": FORCED,
    "depth.csv": DEPTH_CSV,
}


@settings(max_examples=40, deadline=None)
@given(edits=edits, which=st.sampled_from(sorted(SAMPLES)), packed=st.booleans())
def test_any_bytes_end_in_a_report_or_a_clear_error(edits: list[Edit], which: str, packed: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / which
        if packed:
            path = zipped(path.with_suffix(".zip"), SAMPLES[which])
        content = path.read_bytes() if packed else SAMPLES[which].encode()
        ends_well("binance-archive", put(path, mangled(content, edits)))
