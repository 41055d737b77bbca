"""Hyperliquid's archives: made-up files, and whatever bytes they may hold."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matching.codes import (
    BUY,
    OFFBOOK,
    ORDER_ADD,
    ORDER_BOOK,
    ORDER_CHANGE,
    ORDER_FILL,
    ORDER_GONE,
    SELL,
    SNAPSHOT,
    TRADE,
)
from recorders.formats.registry import recognised, sample_of
from tests.recorders.captures import whole_feed
from tests.recorders.formats.samples import DAY_US, Edit, edits, ends_well, load, mangled, put
from venues.errors import InputError

MS = DAY_US // 1000
SYMBOL = {"venue": "hyperliquid", "symbol": "BTC"}


def lines(*rows: Any) -> str:
    return "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)


def lz4(text: str) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "lz4") as stream:
        stream.write(text.encode())
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


def book(ms: int, bid: str, ask: str, coin: str = "BTC") -> dict[str, Any]:
    levels = [[{"px": bid, "sz": "1.5", "n": 2}], [{"px": ask, "sz": "0.25", "n": 1}]]
    data = {"coin": coin, "time": MS + ms, "levels": levels}
    when = f"2023-11-15T00:00:00.{ms * 1000 + 40_000:06d}"
    return {"time": when, "ver_num": 1, "raw": {"channel": "l2Book", "data": data}}


def trade(nanos: str, side: str, px: str, sz: str, oids: tuple[int, int], coin: str = "BTC") -> dict[str, Any]:
    info = [{"user": "0x1", "start_pos": "0", "oid": oid, "twap_id": None, "cloid": None} for oid in oids]
    when = f"2023-11-15T00:00:00.{nanos}"
    return {"coin": coin, "side": side, "time": when, "px": px, "sz": sz, "hash": "0x2", "trade_dir_override": "Na",
            "side_info": info}  # fmt: skip


def fill(ms: int, side: str, px: str, sz: str, oid: int, tid: int, crossed: bool, **more: Any) -> list[Any]:
    fields = {"coin": "BTC", "px": px, "sz": sz, "side": side, "time": MS + ms, "startPosition": "0", "dir": "Buy",
              "closedPnl": "0", "hash": "0x3", "oid": oid, "crossed": crossed, "fee": "0", "tid": tid}  # fmt: skip
    return ["0xabc", {**fields, **more}]


def diff(oid: int, side: str, px: str, change: Any, coin: str = "BTC") -> dict[str, Any]:
    return {"user": "0x1", "oid": oid, "coin": coin, "side": side, "px": px, "raw_book_diff": change}


def block(number: int, *events: Any) -> dict[str, Any]:
    when = f"2023-11-15T00:00:{number:02d}.000000123"
    local = f"2023-11-15T00:00:{number:02d}.1"
    return {"local_time": local, "block_time": when, "block_number": 700 + number, "events": list(events)}


BOOKS = lines(book(10, "30000", "30001"), book(510, "30000", "30002"))
TRADES = lines(
    trade("010000001", "B", "30001", "0.1", (8, 9)),
    trade("010000001", "B", "30001", "0.1", (8, 9)),
    trade("020", "A", "30000", "0.2", (8, 10)),
    trade("020", "A", "3000", "0.2", (8, 10), "ETH"),
)
FILLS = lines(
    fill(10, "B", "30001", "0.1", 9, 55, True),
    fill(10, "A", "30001", "0.1", 8, 55, False),
    fill(20, "A", "29000", "2", 9, 56, True, dir="Auto-Deleveraging"),
)
SNAPSHOT_L4 = json.dumps(
    [
        701,
        [
            ["ETH", [[], []]],
            [
                "BTC",
                [
                    [
                        {"oid": 1, "side": "B", "limitPx": "30000", "sz": "1", "origSz": "1", "isTrigger": False},
                        {"oid": 2, "side": "B", "limitPx": "30000", "sz": "2", "origSz": "2", "isTrigger": False},
                        {"oid": 9, "side": "B", "limitPx": "1", "sz": "2", "origSz": "2", "isTrigger": True},
                    ],
                    [{"oid": 3, "side": "A", "limitPx": "30001", "sz": "0.5", "origSz": "0.5", "isTrigger": False}],
                ],
            ],
        ],
    ]
)
DIFFS = lines(
    block(1, diff(1, "Bid", "30000", {"new": {"sz": "1"}})),  # in the snapshot
    block(2, diff(4, "Ask", "30001", {"new": {"sz": "0.3"}}), diff(5, "A", "3000", {"new": {"sz": "1"}}, "ETH")),
    block(3, diff(3, "Ask", "30001", "remove"), diff(4, "Ask", "30001", {"update": {"origSz": "0.3", "newSz": "0.1"}})),
    block(4, diff(2, "Bid", "30000", {"update": {"origSz": "2", "newSz": "1.5"}}), diff(1, "Bid", "30000", "remove")),
    block(5, diff(77, "Bid", "30000", "remove")),
)
MAKERS = lines(
    block(3, fill(3000, "A", "30001", "0.2", 3, 60, False), fill(3000, "B", "30001", "0.2", 11, 60, True),
          fill(3000, "A", "30001", "0.3", 3, 61, False), fill(3000, "B", "30001", "0.3", 11, 61, True),
          fill(3000, "A", "30001", "0.2", 4, 62, False), fill(3000, "B", "30001", "0.2", 11, 62, True)),
    block(4, fill(4000, "B", "30000", "0.4", 2, 63, False), fill(4000, "A", "30000", "0.4", 12, 63, True)),
)  # fmt: skip


def test_whole_books(tmp_path: Path) -> None:
    path = put(tmp_path / "9" / "l2Book" / "BTC.lz4", lz4(BOOKS))
    assert recognised([sample_of(path)]).name == "hyperliquid-archive"
    (recording,) = load(tmp_path, path).recordings
    assert (recording.venue, recording.instrument, recording.snapshots) == ("hyperliquid", "BTC", 2)
    assert recording.clock_offset_ns == 40_000_000
    feed = whole_feed(tmp_path / "lake", **SYMBOL)
    assert feed.kind.tolist() == [SNAPSHOT, SNAPSHOT] and feed.px_ticks.tolist() == [300_000, 300_010, 300_000, 300_020]
    assert feed.qty_lots[:2].tolist() == [150_000, 25_000] and feed.side[:2].tolist() == [BUY, SELL]


def test_prints_of_either_form(tmp_path: Path) -> None:
    report = load(tmp_path, put(tmp_path / "a", TRADES), latency_ns=1_000_000)
    assert [(r.instrument, r.trades, r.duplicates) for r in report.recordings] == [("BTC", 2, 1), ("ETH", 1, 0)]
    feed = whole_feed(tmp_path / "lake", **SYMBOL)
    assert feed.side.tolist() == [BUY, SELL] and feed.ts_event[0] == DAY_US * 1000 + 10_000_001
    (recording,) = load(tmp_path / "2", put(tmp_path / "b", FILLS)).recordings
    assert (recording.trades, recording.offbook) == (1, 1)
    feed = whole_feed(tmp_path / "2" / "lake", **SYMBOL)
    assert feed.kind.tolist() == [TRADE, OFFBOOK] and feed.ref.tolist() == [55, 56]


def test_single_orders_with_snapshot_and_fills(tmp_path: Path) -> None:
    files = [put(tmp_path / name, text) for name, text in (("s", SNAPSHOT_L4), ("d", DIFFS), ("f", MAKERS))]
    report = load(tmp_path, *files, symbol="BTC")
    (recording,) = report.recordings
    assert recording.trades == 4 and report.unused == {"book diffs of orders that nobody has seen": 1}
    feed = whole_feed(tmp_path / "lake", **SYMBOL)
    told = [
        (int(kind), int(ref), int(feed.qty_lots[feed.row_start[at]]) if kind != ORDER_BOOK else 0)
        for at, (kind, ref) in enumerate(zip(feed.kind, feed.ref, strict=True))
        if kind != TRADE
    ]
    assert told == [
        (ORDER_BOOK, 3, 0), (ORDER_ADD, 1, 100_000), (ORDER_ADD, 2, 200_000), (ORDER_ADD, 3, 50_000),
        (ORDER_ADD, 4, 30_000),
        (ORDER_FILL, 3, 20_000), (ORDER_FILL, 3, 30_000), (ORDER_FILL, 4, 20_000),
        (ORDER_CHANGE, 2, 150_000), (ORDER_GONE, 1, 100_000),  # a fill of 0.4 does not explain a loss of 0.5
    ]  # fmt: skip


def test_single_orders_without_a_snapshot(tmp_path: Path) -> None:
    report = load(tmp_path, put(tmp_path / "d", DIFFS), symbol="BTC")
    assert report.problems.counts == {"no_snapshot": 1}
    assert any("no fills" in text for text in report.recordings[0].assumptions)
    assert ORDER_BOOK not in whole_feed(tmp_path / "lake", **SYMBOL).kind


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (BOOKS.replace("30002", "30002.00001"), "line 2"),
        (BOOKS.replace("2023-11-15T00:00:00.050000", "yesterday"), "line 1: 'yesterday' is no time"),
        (BOOKS[:-9], "line 2: is not as expected"),
        (TRADES.replace('"side":"A"', '"side":"S"'), "line 3: side 'S'"),
        (FILLS.replace('"tid":56', '"tid":-1'), "line 3: -1 is no trade id"),
        (DIFFS.replace('"update"', '"grow"'), "line 3: raw_book_diff"),
        (lines({"a": 1}), "has no lines of"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        load(tmp_path, put(tmp_path / "x", text), name="hyperliquid-archive", symbol="BTC")


def test_two_books_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two books of one market"):
        load(tmp_path, put(tmp_path / "a", BOOKS), put(tmp_path / "b", DIFFS))


@settings(max_examples=40, deadline=None)
@given(changes=edits, which=st.integers(0, 4), packed=st.booleans())
def test_any_bytes_end_in_a_report_or_a_clear_error(changes: list[Edit], which: int, packed: bool) -> None:
    text = (BOOKS, TRADES, FILLS, DIFFS, SNAPSHOT_L4)[which]
    with tempfile.TemporaryDirectory() as folder:
        path = put(Path(folder) / "x", mangled(lz4(text) if packed else text.encode(), changes))
        more = [put(Path(folder) / "d", DIFFS)] if which == 4 else []
        ends_well("hyperliquid-archive", path, *more, symbol="BTC")
