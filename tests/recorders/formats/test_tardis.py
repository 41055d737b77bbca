"""Tardis CSV files: made-up ones, kind by kind, and whatever bytes they may hold."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matching.codes import BBO, BUY, DEPTH, FORCE, GAP, MARK, SELL, SNAPSHOT, TRADE
from recorders import commands
from recorders.formats import reading, tardis
from recorders.lake import Lake
from sim.listings import lines
from tests.recorders.captures import replay, whole_feed
from tests.recorders.formats.samples import DAY_US, Edit, described, edits, ends_well, load, mangled, put
from venues.errors import InputError

HEAD = "exchange,symbol,timestamp,local_timestamp,"
ME = "binance-futures,BTCUSDT"


def at(us: int, late: int = 3000) -> str:
    return f"{ME},{DAY_US + us},{DAY_US + us + late}"


BOOK = HEAD + "is_snapshot,side,price,amount\n" + "".join(
    f"{line}\n" for line in (
        f"{at(0)},false,bid,30000,9.999",  # before the first snapshot
        f"{at(1000)},true,bid,30000.1,1.5",
        f"{at(1000)},true,bid,30000,2",
        f"{at(1000)},true,ask,30000.2,0.001",
        f"{at(2000)},false,bid,30000.1,0",
        f"{at(2000)},false,ask,30000.3,5e-3",
        f"{at(2100)},false,ask,30000.2,7",
        f"{at(9_000_000)},true,bid,29999,1",  # the recorder was away
        f"{at(9_000_000)},true,ask,30001,1",
        f"{at(9_001_000)},false,ask,30001,2",
    )
)  # fmt: skip
TRADES = HEAD + "id,side,price,amount\n" + "".join(
    f"{line}\n" for line in (
        f"{at(1500)},71,buy,30000.2,0.002",
        f"{at(1500)},71,buy,30000.2,0.002",
        f"{at(1600)},72,sell,30000.1,1",
        f"{at(1700)},73,unknown,30000.1,1",
        f"{at(1800)},9c0a-77,sell,30000,0.5",
    )
)  # fmt: skip
TICKER = (
    HEAD + "funding_timestamp,funding_rate,predicted_funding_rate,open_interest,last_price,index_price,mark_price\n"
)
TICKER += "".join(
    f"{line}\n" for line in (
        f"{at(100)},,,,123,30000.2,,",
        f"{at(200)},{DAY_US + 28_800_000_000},0.0001,,123,30000.2,30001.5,30002.12345678",
        f"{at(300)},{DAY_US + 28_800_000_000},0.0001,,124,30000.2,30001.5,30002.12345678",
        f"{at(400)},{DAY_US + 28_800_000_000},0.00012345678901999,,124,30000.2,30001.5,30002",
    )
)  # fmt: skip
QUOTES = (
    HEAD + "ask_amount,ask_price,bid_price,bid_amount\n" + f"{at(2050)},0.4,30000.2,30000,2\n{at(2060)},,,30000,1\n"
)
FORCED = HEAD + "id,side,price,amount\n" + f"{at(5000)},,sell,29876.54321,0.25\n"


def depth(levels: int) -> str:
    names = [f"{s}[{k}].{w}" for k in range(levels) for s in ("asks", "bids") for w in ("price", "amount")]
    full = ",".join(f"{30000.2 + k:.1f},1,{30000 - k},2" for k in range(levels))
    thin = "30000.2,1,30000,2" + ",,,," * (levels - 1)
    return HEAD + ",".join(names) + f"\n{at(10)},{full}\n{at(20)},{thin}\n"


def test_a_day_of_all_kinds_is_one_recording(tmp_path: Path) -> None:
    files = [
        put(tmp_path / "x_incremental_book_L2_2023-11-15_BTCUSDT.csv.gz", gzip.compress(BOOK.encode())),
        put(tmp_path / "trades" / "BTCUSDT.csv", TRADES),
        put(tmp_path / "ticker.csv", TICKER),
        put(tmp_path / "quotes.csv", QUOTES),
        put(tmp_path / "liquidations" / "BTCUSDT.csv", FORCED),
    ]
    report = load(tmp_path, *files)
    (recording,) = report.recordings
    assert (recording.venue, recording.instrument, recording.messages) == ("binance_usdm", "BTCUSDT", 14)
    assert (recording.trades, recording.duplicates, recording.quotes, recording.marks, recording.forced) == (
        3,
        1,
        2,
        2,
        1,
    )
    assert (recording.snapshots, recording.diffs, recording.gaps, recording.resyncs) == (2, 3, 1, 1)
    assert recording.gap_list[0]["kind"] == "disconnect" and recording.gap_list[0]["span_ns"] == 8_997_900_000
    listed = next(line for line in lines("gaps", commands.gaps(tmp_path / "lake")) if "disconnect" in line)
    assert listed.split()[-1] == "-", "a feed without ids has lost none that could be named"
    assert recording.clock_offset_ns == 3_000_000 and not recording.clock_corrected
    assert any("2 funding rates" in text or "1 funding rates" in text for text in recording.assumptions)
    assert report.unused == {
        "incremental_book_L2 messages before the first snapshot": 1,
        "prints whose side the venue did not tell": 1,
        "derivative_ticker rows without a mark price": 1,
    }
    feed = whole_feed(tmp_path / "lake")
    kinds = feed.kind.tolist()
    assert sorted(kinds) == sorted(
        [SNAPSHOT, DEPTH, DEPTH, GAP, SNAPSHOT, DEPTH, BBO, BBO, FORCE] + [TRADE] * 3 + [MARK] * 2
    )
    books = [book for _, _, book in replay(feed)]
    assert books[0] == ({300_001: 1500, 300_000: 2000}, {300_002: 1})
    assert books[2] == ({300_000: 2000}, {300_002: 7000, 300_003: 5})
    assert books[-1] == ({299_990: 1000}, {300_010: 2000})
    marks = feed.aux[feed.ref[feed.kind == MARK] - feed.aux_base].tolist()
    assert marks[0] == [3_000_212_345_678, 3_000_150_000_000, 100_000_000, (DAY_US + 28_800_000_000) * 1000]
    assert marks[1][2] == 123_456_789 and marks[1][0] == 3_000_200_000_000
    (trade,) = np.flatnonzero(feed.ref == 72)
    row = feed.row_start[trade]
    assert (feed.side[row], feed.px_ticks[row], feed.qty_lots[row]) == (SELL, 300_001, 1000)
    forced = feed.row_start[np.flatnonzero(feed.kind == FORCE)[0]]
    assert (feed.side[forced], feed.px_ticks[forced]) == (SELL, 298_765)


def test_a_receive_time_that_stands_in_for_the_venues_says_nothing_of_the_clock(tmp_path: Path) -> None:
    """Tardis repeats local_timestamp where the venue tells no time (or leaves the field empty)."""
    late = f"{ME},{DAY_US + 1000},{DAY_US + 500}"  # the recorder's clock is behind by more than half a millisecond
    rows = f"{late},1,buy,30000.2,1\n{at(600, 0)},2,buy,30000.2,1\n{ME},,{DAY_US + 700},3,buy,30000.2,1\n"
    (recording,) = load(tmp_path, put(tmp_path / "trades.csv", HEAD + "id,side,price,amount\n" + rows)).recordings
    assert recording.clock_corrected and recording.clock_offset_ns == -500_000
    feed = whole_feed(tmp_path / "lake")
    moved = 1_500_000  # by the offset, and to the least latency of 1 ms
    assert feed.ref.tolist() == [1, 2, 3]
    assert (feed.ts_recv - DAY_US * 1000).tolist() == [500_000 + moved, 600_000 + moved, 700_000 + moved]
    assert (feed.ts_event - DAY_US * 1000).tolist() == [1_000_000, 600_000 + moved, 700_000 + moved]


@pytest.mark.parametrize("levels", [5, 25])
def test_book_snapshots_of_any_depth(tmp_path: Path, levels: int) -> None:
    (recording,) = load(tmp_path, put(tmp_path / "d.csv", depth(levels))).recordings
    assert (recording.snapshots, recording.rows, recording.clock_offset_ns) == (2, 2 * levels + 2, 3_000_000)
    feed = whole_feed(tmp_path / "lake")
    assert feed.side[: 2 * levels].tolist() == [BUY] * levels + [SELL] * levels
    assert feed.px_ticks[:2].tolist() == [300_000, 299_990] and feed.px_ticks[levels] == 300_002


def test_batches_do_not_cut_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "".join(f"{at(1000)},true,{'bid' if k % 2 else 'ask'},{30000 + (-k if k % 2 else k)},1\n" for k in range(40))
    rows += "".join(f"{at(2000 + k // 3)},false,bid,{29000 - k},1\n" for k in range(60))
    path = put(tmp_path / "a.csv", HEAD + "is_snapshot,side,price,amount\n" + rows)
    load(tmp_path, path)
    whole = whole_feed(tmp_path / "lake")
    monkeypatch.setattr(reading, "BATCH_BYTES", 256)
    load(tmp_path / "small", path)
    small = whole_feed(tmp_path / "small" / "lake")
    for name in ("ts_event", "kind", "ref", "row_start", "px_ticks", "qty_lots", "side"):
        assert np.array_equal(getattr(whole, name), getattr(small, name)), name
    assert len(whole) == 21 and whole.row_start[1] == 40


def test_snapshots_that_follow_each_other_replace_each_other(tmp_path: Path) -> None:
    """Every message of Hyperliquid is a whole book, half a second after the one before."""
    rows = []
    for k, (bids, asks) in enumerate((((100, 99), (101, 102)), ((98, 97), (99, 101)), ((), (99, 103)), ((98,), (99,)))):
        when = f"hyperliquid,BTC,{DAY_US + 500_000 * k},{DAY_US + 500_000 * k + 3000},true"
        rows += [f"{when},{side},{px},1" for side, prices in (("bid", bids), ("ask", asks)) for px in prices]
    path = put(tmp_path / "a.csv", HEAD + "is_snapshot,side,price,amount\n" + "\n".join(rows) + "\n")
    file = described(tmp_path, {"venue": "hyperliquid", "symbol": "BTC", "tick_size": "1", "lot_size": "1",
                                "base": "BTC", "quote": "USD"})  # fmt: skip
    (recording,) = load(tmp_path, path, instrument=file).recordings
    assert (recording.snapshots, recording.crossed, recording.rows) == (4, 0, 12)
    feed = whole_feed(tmp_path / "lake", "hyperliquid", "BTC")
    assert [book for _, _, book in replay(feed)] == [
        ({100: 1, 99: 1}, {101: 1, 102: 1}), ({98: 1, 97: 1}, {99: 1, 101: 1}), ({}, {99: 1, 103: 1}),
        ({98: 1}, {99: 1}),
    ]  # fmt: skip


@pytest.mark.parametrize("hours", [13, 30])
def test_after_half_a_day_without_files_another_recording_begins_with_its_snapshot(tmp_path: Path, hours: int) -> None:
    later = 3_600_000_000 * hours
    days = (
        (f"{at(1000)},true,bid,30000,1", f"{at(2000)},false,ask,30001,1"),
        (f"{at(later)},true,bid,29000,1", f"{at(later + 1000)},false,ask,29001,1"),
    )
    head = HEAD + "is_snapshot,side,price,amount\n"
    files = [put(tmp_path / f"{k}.csv", head + "\n".join(rows) + "\n") for k, rows in enumerate(days)]
    report = load(tmp_path, *files)
    assert report.problems.counts == {}
    assert [(r.first_ns, r.messages, r.gaps, r.malformed) for r in report.recordings] == [
        ((DAY_US + 1000) * 1000, 2, 0, 0), ((DAY_US + later) * 1000, 2, 0, 0),
    ]  # fmt: skip


def test_a_snapshot_in_several_messages_is_one_and_a_book_keeps_its_order(tmp_path: Path) -> None:
    rows = (
        f"{at(1000)},true,bid,30000,1",
        f"{at(1500)},true,ask,30001,1",  # half a millisecond later, and still the same snapshot
        f"{at(5000)},false,bid,30000,5",
        f"{ME},{DAY_US + 4000},{DAY_US + 8500},false,bid,30000,6",  # an earlier venue time, received later
        f"{at(3_000_000)},true,bid,29000,1",  # three seconds later: another one
    )
    path = put(tmp_path / "a.csv", HEAD + "is_snapshot,side,price,amount\n" + "\n".join(rows) + "\n")
    (recording,) = load(tmp_path, path).recordings
    assert (recording.snapshots, recording.diffs, recording.gaps) == (2, 2, 0)
    books = [book for _, _, book in replay(whole_feed(tmp_path / "lake"))]
    assert books == [
        ({300_000: 1000}, {300_010: 1000}), ({300_000: 5000}, {300_010: 1000}), ({300_000: 6000}, {300_010: 1000}),
        ({290_000: 1000}, {}),
    ]  # fmt: skip


def test_a_trade_is_recognised_again_in_another_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BATCH_BYTES", 128)
    rows = "".join(f"{at(1000 + k)},{k % 50 + 1},buy,30000.2,1\n" for k in range(60))
    (recording,) = load(tmp_path, put(tmp_path / "trades.csv", HEAD + "id,side,price,amount\n" + rows)).recordings
    assert (recording.trades, recording.duplicates) == (50, 10)


def test_a_file_of_many_symbols(tmp_path: Path) -> None:
    other = f"binance-futures,ETHUSDT,{DAY_US + 1800},{DAY_US + 1810},5,buy,2000.5,1\n"
    known_not = f"binance-futures,NOSUCHUSDT,{DAY_US + 1800},{DAY_US + 1811},6,buy,2000.5,1\n"
    both = put(tmp_path / "trades_PERPETUALS.csv", TRADES + other + known_not)
    more = put(tmp_path / "trades_ETH.csv", HEAD + "id,side,price,amount\n" + other.replace(",5,buy", ",4,buy"))
    report = load(tmp_path, both, more)
    assert [(r.instrument, r.trades) for r in report.recordings] == [("BTCUSDT", 3), ("ETHUSDT", 2)]
    assert report.problems.counts == {"duplicate": 1, "unknown_instrument": 1}
    assert report.unused == {"prints whose side the venue did not tell": 1}
    (only,) = load(tmp_path / "two", both, symbol="ETHUSDT").recordings
    assert (only.instrument, only.trades) == ("ETHUSDT", 1)


def test_days_that_are_missing_end_a_recording(tmp_path: Path) -> None:
    first = put(tmp_path / "trades1.csv", TRADES)
    second = put(tmp_path / "trades2.csv", "".join(_moved(TRADES, 3 * 86_400_000_000)))
    report = load(tmp_path, second, first)
    assert [r.trades for r in report.recordings] == [3, 3]
    assert [gap["kind"] for gap in Lake(tmp_path / "lake").gaps()] == ["session_end"]


def _moved(text: str, us: int) -> list[str]:
    head, *rows = text.splitlines(keepends=True)
    found = [head]
    for row in rows:
        cells = row.split(",")
        found.append(",".join([*cells[:2], str(int(cells[2]) + us), str(int(cells[3]) + us), *cells[4:]]))
    return found


@pytest.mark.parametrize(
    ("text", "place", "field", "why"),
    [
        (TRADES.replace("30000.1,1\n", "30000.15,1\n", 1), "line 4", "price", "has more than 1 decimals"),
        (TRADES.replace(",72,sell", ",72,short"), "line 4", "side", "'short' is none of buy, sell"),
        (TRADES.replace("30000,0.5", "30000,half"), "line 6", "amount", "not a plain decimal"),
        (TRADES.replace(str(DAY_US + 1600), "17"), "line 4", "timestamp", "is no time"),
        (TRADES + at(1900) + ",74,buy\n", "line 7", None, "has 6 fields where the header has 8"),
        (TRADES.replace("local_timestamp,id", "local_timestamp,name"), "line 1", None, "is none of"),
        (HEAD + "id,side,price,amount\n", None, None, "has no rows"),
        (BOOK.replace("true", "maybe", 1), "line 3", "is_snapshot", "'maybe' is none of"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, place: str | None, field: str | None, why: str) -> None:
    with pytest.raises(InputError, match=why) as caught:
        load(tmp_path, put(tmp_path / "trades.csv", text))
    assert caught.value.source == str(tmp_path / "trades.csv")
    assert (place is None or caught.value.place == place) and caught.value.field == field
    assert not list((tmp_path / "lake").rglob("*.parquet"))


def test_what_cannot_be_imported_is_refused(tmp_path: Path) -> None:
    good = put(tmp_path / "trades.csv", TRADES)
    with pytest.raises(InputError, match="is the same file as"):
        load(tmp_path, good, put(tmp_path / "again.csv", TRADES))
    with pytest.raises(InputError, match="two kinds of order book"):
        load(tmp_path, put(tmp_path / "a.csv", BOOK), put(tmp_path / "b.csv", depth(5)))
    packed = gzip.compress(TRADES.encode())
    with pytest.raises(InputError, match="damaged or cut off"):
        load(tmp_path, put(tmp_path / "trades.csv.gz", packed[:-9]))
    with pytest.raises(InputError, match="--instrument"):
        load(tmp_path, put(tmp_path / "x.csv", TRADES.replace("binance-futures", "bitmex")))
    file = described(tmp_path, {"venue": "bitmex", "symbol": "BTCUSDT", "tick_size": "0.1", "lot_size": "0.001"})
    (found,) = load(
        tmp_path, put(tmp_path / "x.csv", TRADES.replace("binance-futures", "bitmex")), instrument=file
    ).recordings
    assert found.venue == "bitmex" and "read as trades" in found.assumptions[0]


def test_exchanges_are_our_venues() -> None:
    named = [("bybit", "BTCUSDT"), ("bybit", "BTCUSD"), ("bybit", "BTCUSDZ23"), ("okex-swap", "BTC-USDT-SWAP"),
             ("dydx-v4", "BTC-USD"), ("bitmex", "XBTUSD")]  # fmt: skip
    assert [tardis.venue_of(*one) for one in named] == [
        "bybit_linear", "bybit_inverse", "bybit_inverse", "okx", "dydx", "bitmex",
    ]  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(edits=edits, which=st.integers(0, 5), zipped=st.booleans())
def test_any_bytes_end_in_a_report_or_a_clear_error(edits: list[Edit], which: int, zipped: bool) -> None:
    content = (BOOK, TRADES, TICKER, QUOTES, FORCED, depth(5))[which].encode()
    content = mangled(gzip.compress(content, 1) if zipped else content, edits)
    with tempfile.TemporaryDirectory() as folder:
        ends_well("tardis", put(Path(folder) / "trades", content))
