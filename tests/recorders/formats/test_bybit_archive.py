"""Bybit's public archives: made-up files, and whatever bytes they may hold."""

from __future__ import annotations

import gzip
import io
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matching.codes import BUY, DEPTH, GAP, SELL, SNAPSHOT, TRADE
from recorders.formats.registry import recognised, sample_of
from tests.recorders.captures import replay, whole_feed
from tests.recorders.formats.samples import DAY_US, Edit, edits, ends_well, load, mangled, put
from venues.errors import InputError

SECONDS = DAY_US // 1_000_000
TRADES = f"""timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional
{SECONDS}.0547,BTCUSDT,Buy,0.038,30000.10,ZeroPlusTick,d6b9a5ac-3439-5cea-b590-fd245e5b3992,1e+11,0.038,1140
{SECONDS}.1234567,BTCUSDT,Sell,1,30000.00,MinusTick,0a1b2c3d-3439-5cea-b590-fd245e5b3992,1e+11,1,30000
{SECONDS}.1234567,BTCUSDT,Sell,1,30000.00,MinusTick,0a1b2c3d-3439-5cea-b590-fd245e5b3992,1e+11,1,30000
{SECONDS + 1},BTCUSDT,Sell,1,29999.90,MinusTick,11112c3d-3439-5cea-b590-fd245e5b3992,1e+11,1,30000
"""


def line(kind: str, ms: int, update: int, bids: list[list[str]], asks: list[list[str]], **more: Any) -> str:
    data = {"s": "BTCUSDT", "b": bids, "a": asks, "u": update, "seq": update * 10}
    message = {"topic": "orderbook.500.BTCUSDT", "type": kind, "ts": DAY_US // 1000 + ms, "data": data, **more}
    return json.dumps(message, separators=(",", ":")) + "\n"


BOOK = "".join(
    (
        line("snapshot", 10, 50, [["30000.00", "1.5"], ["29999.90", "2"]], [["30000.10", "3"]], cts=DAY_US // 1000 + 8),
        line("delta", 20, 51, [["30000.00", "0"]], [], cts=DAY_US // 1000 + 19),
        line("delta", 20, 51, [["30000.00", "0"]], []),
        line("delta", 30, 52, [["29999.80", "0.001"]], [["30000.10", "4"]]),
        line("delta", 40, 54, [], [["30000.20", "4"]]),  # 53 is missing
        line("delta", 50, 55, [], [["30000.30", "4"]]),
        line("snapshot", 60, 1, [["30000.00", "7"]], [["30000.10", "8"]]),  # the venue's service began again
        line("delta", 70, 2, [], [["30000.10", "9"]]),
    )
)


def ob500(path: Path, text: str = BOOK) -> Path:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("2023-11-15_BTCUSDT_ob500.data", text)
    return put(path, sink.getvalue())


def test_a_day_of_both_kinds(tmp_path: Path) -> None:
    files = [
        ob500(tmp_path / "2023-11-15_BTCUSDT_ob500.data.zip"),
        put(tmp_path / "BTCUSDT2023-11-15.csv.gz", gzip.compress(TRADES.encode())),
    ]
    assert recognised([sample_of(path) for path in files]).name == "bybit-archive"
    report = load(tmp_path, *files, latency_ns=5_000_000)
    (recording,) = report.recordings
    assert (recording.venue, recording.trades, recording.duplicates) == ("bybit_linear", 3, 1)
    assert (recording.snapshots, recording.diffs, recording.gaps, recording.resyncs) == (2, 3, 1, 1)
    assert (recording.gap_list[0]["first_lost_id"], recording.gap_list[0]["last_lost_id"]) == (53, 53)
    assert report.unused == {
        "order book changes that no snapshot precedes": 2, "order book messages that were there before": 1,
    }  # fmt: skip
    feed = whole_feed(tmp_path / "lake", "bybit_linear")
    assert feed.kind.tolist() == [SNAPSHOT, DEPTH, DEPTH, GAP, TRADE, SNAPSHOT, DEPTH, TRADE, TRADE]
    assert [book for _, _, book in replay(feed)][2] == ({299_999: 2000, 299_998: 1}, {300_001: 4000})
    assert replay(feed)[-1][2] == ({300_000: 7000}, {300_001: 9000})
    assert feed.ts_event[0] == (DAY_US + 8000) * 1000 and feed.ts_recv[0] == (DAY_US + 15_000) * 1000
    trades = [int(feed.row_start[at]) for at in (4, 7, 8)]
    assert feed.ts_event[[4, 7, 8]].tolist() == [SECONDS * 10**9 + n for n in (54_700_000, 123_456_700, 10**9)]
    assert feed.side[trades].tolist() == [BUY, SELL, SELL] and feed.qty_lots[trades].tolist() == [38, 1000, 1000]


def test_a_snapshot_that_does_not_follow_tells_of_a_gap(tmp_path: Path) -> None:
    bids, asks = [["30000.00", "1"]], [["30000.10", "1"]]
    days = (
        (("snapshot", 10, 50), ("delta", 20, 51)),
        (("snapshot", 30, 52), ("delta", 40, 53), ("snapshot", 60, 60), ("delta", 70, 61), ("snapshot", 90, 1)),
    )
    files = [ob500(tmp_path / str(k), "".join(line(*m, bids, asks) for m in day)) for k, day in enumerate(days)]
    (recording,) = load(tmp_path, *files).recordings
    told = [(g["start_ns"], g["span_ns"], g["first_lost_id"], g["last_lost_id"]) for g in recording.gap_list]
    start = DAY_US * 1000
    assert told == [(start + 40_000_000, 20_000_000, 54, 59), (start + 70_000_000, 20_000_000, 62, 0)]
    assert (recording.snapshots, recording.resyncs, recording.stale_ns) == (4, 2, 40_000_000)
    kinds = whole_feed(tmp_path / "lake", "bybit_linear").kind.tolist()
    assert kinds == [SNAPSHOT, DEPTH, SNAPSHOT, DEPTH, GAP, SNAPSHOT, DEPTH, GAP, SNAPSHOT]


def test_old_files_stand_newest_first(tmp_path: Path) -> None:
    head, *rows = TRADES.splitlines(keepends=True)
    (recording,) = load(tmp_path, put(tmp_path / "x.csv", head + "".join(reversed(rows)))).recordings
    assert recording.trades == 3 and "no client can do" in recording.assumptions[0]
    feed = whole_feed(tmp_path / "lake", "bybit_linear")
    assert feed.px_ticks.tolist() == [300_001, 300_000, 299_999]


def test_trades_of_one_instant_are_turned_round_too(tmp_path: Path) -> None:
    head, first, second, _, last = TRADES.splitlines(keepends=True)
    same = first.replace(".0547", ".1234567")
    load(tmp_path, put(tmp_path / "x.csv", head + last + second + same))
    assert whole_feed(tmp_path / "lake", "bybit_linear").px_ticks.tolist() == [300_001, 300_000, 299_999]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (BOOK.replace('"delta"', '"update"', 1), "line 2: field 'type': 'update' is neither"),
        (BOOK.replace("29999.80", "29999.85"), "line 4: field 'b or a'"),
        (BOOK.replace('"s":"BTCUSDT","b":[],', '"s":"ETHUSDT","b":[],', 1), "line 5: field 's': 'ETHUSDT' is another"),
        (BOOK[:-20], "line 8: is no order book message"),
        (TRADES.replace("Buy", "buy"), "line 2: field 'side'"),
        (TRADES.replace(f"{SECONDS}.0547", "12.5"), "line 2: field 'timestamp'"),
        (TRADES.replace("0,Zero", "5,Zero"), "line 2: field 'price'"),
        (TRADES.partition("\n")[0], "has no rows"),
        (TRADES.replace("1,BTCUSDT,Sell", "1,ETHUSDT,Sell"), "line 5: field 'symbol'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        load(tmp_path, put(tmp_path / "x", text))


@settings(max_examples=40, deadline=None)
@given(changes=edits, book=st.booleans(), packed=st.booleans())
def test_any_bytes_end_in_a_report_or_a_clear_error(changes: list[Edit], book: bool, packed: bool) -> None:
    content = (BOOK if book else TRADES).encode()
    with tempfile.TemporaryDirectory() as folder:
        content = mangled(gzip.compress(content) if packed else content, changes)
        ends_well("bybit-archive", put(Path(folder) / "x", content))
