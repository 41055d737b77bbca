"""Raw captures of cryptofeed: the forms of their lines, whose frames they are, and recorded ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.codes import DEPTH, GAP, GAP_DISCONNECT, SNAPSHOT
from recorders import commands
from recorders.formats.cryptofeed import exact_ns, import_cryptofeed, venue_of_url
from recorders.formats.request import Request
from recorders.lake import Lake
from tests.recorders.captures import MS, SHARED, Line, Market, replay, whole_feed
from venues.errors import InputError

SAMPLES = SHARED / "cryptofeed" / "sample_data"
INFO = {
    "symbols": [
        {
            "symbol": "BTCUSDT", "baseAsset": "BTC", "quoteAsset": "USDT", "marginAsset": "USDT",
            "filters": [
                {"filterType": "PRICE_FILTER", "tickSize": "0.10", "minPrice": "1", "maxPrice": "1000000"},
                {"filterType": "LOT_SIZE", "stepSize": "0.001", "minQty": "0.001", "maxQty": "1000"},
            ],
        },
        {"symbol": "WITHOUT_FILTERS", "baseAsset": "X", "quoteAsset": "USDT", "marginAsset": "USDT", "filters": []},
    ]
}  # fmt: skip


def seconds(recv_ns: int) -> str:
    """A receive time as Python prints a float."""
    return repr(recv_ns / 1e9)


def text_of(line: Line) -> str:
    return f"{seconds(line.recv_ns)}: {json.dumps(line.message)}"


def session(folder: Path, market: Market, reopened_at: int | None = None) -> list[Path]:
    """A session as cryptofeed writes it down: instruments, REST replies, frames."""
    start = seconds(market.lines[0].recv_ns - MS)
    url = "wss://fstream.binance.com/stream?streams=btcusdt@depth@100ms"
    frames, replies = [f"{url} <-> {start}"], []
    for k, line in enumerate(market.lines):
        if k == reopened_at:
            frames.append(f"{url} <-> {seconds(line.recv_ns)}")
        if "lastUpdateId" in line.message:
            asked = "https://fapi.binance.com/fapi/v1/depth?symbol=BTCUSDT&limit=1000"
            replies.append(f"{asked} -> {text_of(line)}")
        else:
            frames.append(text_of(line))
    frames.insert(1, f'wss://fstream.binance.com/stream <- {start}: {{"method":"SUBSCRIBE"}}')
    info = f"https://fapi.binance.com/fapi/v1/exchangeInfo -> {start}: {json.dumps(INFO)}"
    replies.append(f"https://fapi.binance.com/fapi/v1/time -> {start}: {{}}")
    found = []
    for name, lines in (("X.0", [info, 'configuration: {"trades":[]}']), ("X.http.0.0", replies), ("X.ws.1.0", frames)):
        path = folder / name
        path.write_text("\n".join(lines) + "\n\n")
        found.append(path)
    return found


def imported(files: list[Path], lake: Path, **options: Any) -> dict[str, Any]:
    return import_cryptofeed(Request(tuple(files), lake, **options)).as_dict()


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        (b"1626992741.06217", 1_626_992_741_062_170_000),
        (b"1626992741", 1_626_992_741_000_000_000),
        (b"1618677785.4827468", 1_618_677_785_482_746_800),
        (b"1618677785.000000001", 1_618_677_785_000_000_001),
    ],
)
def test_times_are_taken_digit_by_digit(text: bytes, ns: int) -> None:
    assert exact_ns(text) == ns


@given(st.integers(10**9, 4 * 10**9), st.integers(0, 10**9 - 1))
def test_no_time_passes_through_a_float(whole: int, part: int) -> None:
    assert exact_ns(f"{whole}.{part:09d}".encode()) == whole * 10**9 + part


@pytest.mark.parametrize(
    ("url", "venue"),
    [
        ("wss://fstream.binance.com/stream?streams=x", "binance_usdm"),
        ("https://dapi.binance.com/dapi/v1/depth", "binance_coinm"),
        ("wss://stream.bybit.com/realtime_public", "bybit_linear"),
        ("wss://stream.bybit.com/v5/public/inverse", "bybit_inverse"),
        ("https://api.bybit.com/v2/public/symbols", "bybit"),
        ("wss://ws.okx.com:8443/ws/v5/public", "okx"),
        ("wss://www.deribit.com/ws/api/v2", "deribit"),
        ("wss://api.hyperliquid.xyz/ws", "hyperliquid"),
        ("wss://fx-ws.gateio.ws/v4/ws/usdt", "fx-ws.gateio.ws"),
        ("https://okx.com.evil.example/x", "okx.com.evil.example"),
    ],
)
def test_the_host_says_whose_frames_they_are(url: str, venue: str) -> None:
    assert venue_of_url(url) == venue


def test_a_session_gives_the_books_of_its_venue(tmp_path: Path) -> None:
    market = Market().run(80)
    result = imported(session(tmp_path, market), tmp_path / "lake")
    (report,) = result["recordings"]
    assert (report["gaps"], report["snapshots"], report["crossed"], report["stale_at_end"]) == (0, 1, 0, False)
    assert result["problems"] == [] and result["unused"]["what was sent"] == 1
    assert result["unused"]["REST /fapi/v1/time"] == 1
    feed = whole_feed(tmp_path / "lake")
    books = replay(feed)
    assert books and all(book == market.truth[update_id] for _, update_id, book in books)
    assert Lake(tmp_path / "lake").instrument("binance_usdm", "BTCUSDT").source == "exchangeInfo"
    assert not any(entry["problems"] for entry in Lake(tmp_path / "lake").verify())


def test_a_connection_that_is_opened_again_is_a_gap(tmp_path: Path) -> None:
    market = Market().run(80)
    result = imported(session(tmp_path, market, market.diffs()[50]), tmp_path / "lake")
    (report,) = result["recordings"]
    assert (report["gaps"], report["stale_at_end"]) == (1, True)
    feed = whole_feed(tmp_path / "lake")
    (gap,) = np.flatnonzero(feed.kind == GAP)
    assert feed.aux[feed.ref[gap]][0] == GAP_DISCONNECT
    assert all(book == market.truth[update_id] for _, update_id, book in replay(feed))


def test_lines_of_no_form_are_named(tmp_path: Path) -> None:
    files = session(tmp_path, Market().run(10))
    lines = files[2].read_text().splitlines()
    lines[5:5] = ["what is this", "99999999999999.5: {}", "1700000000.1: {not json"]
    files[2].write_text("\n".join(lines))
    result = imported(files, tmp_path / "lake")
    assert [(p["line"], p["kind"]) for p in result["problems"] if p["kind"] == "malformed"] == [
        (8, "malformed"),
        (6, "malformed"),
        (7, "malformed"),
    ]
    assert result["files"][2]["malformed"] == 3


def test_what_cannot_be_imported_says_why(tmp_path: Path) -> None:
    foreign = tmp_path / "gate"
    foreign.write_text('wss://fx-ws.gateio.ws/v4 <-> 1684930163.9\n1684930166.5: {"x":1}\n')
    with pytest.raises(InputError, match=r"a capture of fx-ws\.gateio\.ws, a venue whose market data perpsim does not"):
        imported([foreign], tmp_path / "lake")
    rotated = tmp_path / "rotated"
    rotated.write_text('1684930166.5: {"x":1}\n')
    with pytest.raises(InputError, match="give --venue"):
        imported([rotated], tmp_path / "lake")
    listing = tmp_path / "list"
    listing.write_text("https://fapi.binance.com/fapi/v1/exchangeInfo -> 1684930166.5: {}\n")
    with pytest.raises(InputError, match=r"line 1: is no list of instruments of binance_usdm"):
        imported([listing], tmp_path / "lake")
    assert not (tmp_path / "lake").exists()


# -- recorded captures

pytestmark_recorded = pytest.mark.skipif(not SAMPLES.is_dir(), reason=f"the recordings are not here: {SAMPLES}")


@pytestmark_recorded
@pytest.mark.parametrize(
    ("name", "instruments", "gaps", "problems"),
    [
        # CTKUSDT still had orders from before its grid was made coarser, so its snapshot is refused.
        ("BINANCE_FUTURES", 4, 0, {"malformed": 1, "no_snapshot": 1}),
        ("OKX", 3, 0, {}),
        ("DERIBIT", 10, 0, {}),
        ("BYBIT", 10, 0, {}),
    ],
)
def test_recorded_captures_import_and_verify(
    tmp_path: Path, name: str, instruments: int, gaps: int, problems: dict[str, int]
) -> None:
    files = sorted(SAMPLES.glob(f"{name}.*"))
    result = commands.import_(None, files, tmp_path / "lake")
    assert result["format"] == "cryptofeed" and result["ok"]
    reports = result["recordings"]
    assert len(reports) == instruments and result["problem_counts"] == problems
    assert sum(report["gaps"] for report in reports) == gaps
    assert all(report["crossed"] == report["bbo_different"] == 0 for report in reports)
    stale = [report["instrument"] for report in reports if report["stale_at_end"]]
    assert stale == (["CTKUSDT"] if name == "BINANCE_FUTURES" else [])
    assert commands.verify(tmp_path / "lake")["ok"]


@pytestmark_recorded
def test_every_book_message_of_okx_was_proved_by_its_checksum(tmp_path: Path) -> None:
    """290 book messages; a wrong checksum would be a gap."""
    reports = commands.import_(None, sorted(SAMPLES.glob("OKX.*")), tmp_path / "lake")["recordings"]
    assert sum(report["checksums_right"] for report in reports) == 290
    checked = [file["checked"] for file in commands.verify(tmp_path / "lake")["files"]]
    assert sum(one["checksums_right"] for one in checked) == 290
    feeds = [whole_feed(tmp_path / "lake", "okx", name) for name in ("BTC-USD-220527", "BTC-USDT", "UNI-USD-SWAP")]
    assert sum(int(np.isin(feed.kind, (DEPTH, SNAPSHOT)).sum()) for feed in feeds) == 290
    assert not any((feed.kind == GAP).any() for feed in feeds)
    lines = (SAMPLES / "OKX.ws.1.0").read_bytes().splitlines()
    place = [k for k, line in enumerate(lines) if b'"action":"update"' in line and b"BTC-USDT" in line][20]
    lines[place] = lines[place].replace(b'"checksum":', b'"checksum":1', 1).replace(b'"checksum":1-', b'"checksum":-1')
    broken = tmp_path / "OKX.ws.1.0"
    broken.write_bytes(b"\n".join(lines))
    result = commands.import_(None, [SAMPLES / "OKX.0", broken], tmp_path / "broken")
    (report,) = [report for report in result["recordings"] if report["gaps"]]
    assert [gap["kind"] for gap in report["gap_list"]] == ["checksum"] and report["stale_at_end"]
    assert report["checksums_wrong"] > 0


@pytestmark_recorded
def test_a_venue_that_is_not_spoken_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"api\.gateio\.ws, a venue whose market data perpsim does not decode"):
        commands.import_(None, sorted(SAMPLES.glob("GATEIO*")), tmp_path / "lake")
