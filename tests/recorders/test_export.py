"""What is exported comes back bit for bit; what is wrong in a file is named; hftbacktest has the same books."""

from __future__ import annotations

import gzip
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from matching.codes import BUY, ORDER_ADD, ORDER_BOOK, ORDER_FILL, ORDER_GONE, SELL, TRADE
from recorders import commands
from recorders import writer as writer_module
from recorders.access import Market
from recorders.blocks import join
from recorders.dayfile import digest_of
from recorders.events import COLUMNS, ENDINGS, event_frames, header
from recorders.export_hft import EXCH_EVENT, LOCAL_EVENT, hft_events, merged_order, write_npz
from recorders.lake import Lake
from tests.recorders import captures
from tests.recorders.captures import MS, import_lines, write
from tests.recorders.feeds import T0, feed_lake, random_recording
from tests.recorders.test_access import _recording
from tests.tools.compare_hftbacktest import compare
from venues.errors import InputError

PEER = os.environ.get("PERPSIM_HFTBACKTEST", "")  # a Python that can import hftbacktest
FORMS = ("parquet", "csv", "lines")
START_MS = 1_700_006_396_000


def _digest(market: Market) -> str:
    """Of all columns of all messages, however they are cut into blocks."""
    return digest_of(join(list(market.blocks())))


def _again(market: Market, folder: Path, form: str) -> Lake:
    """Export and import into another lake."""
    path = folder / f"export{ENDINGS[form]}"
    made = commands.export(market.lake.path, path, form, market.venue, market.symbol)
    assert made["form"] == form and made["files"][0]["rows"] > 0
    result = commands.import_(None, [path], folder / f"again-{form}")
    assert result["format"] == "events" and result["ok"]
    return Lake(folder / f"again-{form}")


@settings(max_examples=12, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(seed=st.integers(0, 10**6), count=st.integers(1, 150), block=st.integers(1, 80), form=st.sampled_from(FORMS))
def test_any_lake_comes_back_as_it_was(seed: int, count: int, block: int, form: str) -> None:
    recordings = [random_recording(seed, count), random_recording(seed + 1, 30, 1_000_000)]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer_module, "BLOCK_MESSAGES", block)
        market = feed_lake(Path(folder), *recordings).lake_market()
        lake = _again(market, Path(folder), form)
        again = lake.market(market.venue, market.symbol)
        assert _digest(again) == _digest(market) and again.instrument == market.instrument
        assert header(again)["sessions"] == header(market)["sessions"]
        ours, theirs = (
            [why for entry in one.verify() for why in entry["problems"] if "report" not in why]
            for one in (lake, market.lake)
        )
        assert ours == theirs  # the made-up quotes contradict the made-up book, there as here


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Market:
    """A recording of a toy venue across midnight with a gap, and another one."""
    folder = tmp_path_factory.mktemp("captured")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer_module, "BLOCK_MESSAGES", 100)
        for seed, now_ms in ((11, START_MS), (12, START_MS + 60_000)):
            import_lines([write(folder / f"capture{seed}", _recording(seed, now_ms, 300).lines)], folder / "lake")
    return Lake(folder / "lake").market("binance_usdm", "BTCUSDT")


@pytest.mark.parametrize("form", FORMS)
def test_a_recording_over_two_days_comes_back(captured: Market, tmp_path: Path, form: str) -> None:
    lake = _again(captured, tmp_path, form)
    assert lake.ls()[0]["days"] == captured.lake.ls()[0]["days"] and lake.ls()[0]["gaps"] == 2
    assert _digest(lake.market("binance_usdm", "BTCUSDT")) == _digest(captured)
    ours, theirs = commands.gaps(captured.lake.path), commands.gaps(lake.path)
    same = ("kind", "start_ns", "end_ns", "first_lost_id", "last_lost_id", "span_ns", "resynced")
    assert [[gap.get(k) for k in same] for gap in theirs["gaps"]] == [
        [gap.get(k) for k in same] for gap in ours["gaps"]
    ]
    assert theirs["totals"] == ours["totals"] and theirs["totals"][0]["gaps"]["sequence"] == 2
    assert all(entry["problems"] == [] for entry in lake.verify())
    first = sorted(tmp_path.glob("export*"))[0].read_bytes()
    commands.export(captured.lake.path, tmp_path / f"twice{ENDINGS[form]}", form)
    assert (tmp_path / f"twice{ENDINGS[form]}").read_bytes() == first


def test_recordings_that_continue_each_other_stay_one_chain(tmp_path: Path) -> None:
    made = captures.Market(seed=3, now_ms=START_MS, jitter_ns=0).run(300)
    lines, half = made.lines, made.diffs()[81] + 1
    half += "markPriceUpdate" in str(lines[half].message)  # of the same instant
    import_lines([write(tmp_path / "one", lines[:half])], tmp_path / "lake")
    import_lines([write(tmp_path / "two", lines[half:])], tmp_path / "lake")
    market = Lake(tmp_path / "lake").market("binance_usdm", "BTCUSDT")
    assert [one["continues"] != "" for one in header(market)["sessions"]] == [False, True]
    lake = _again(market, tmp_path, "parquet")
    assert [entry["problems"] for entry in lake.verify()] == [[]] * 2
    again = lake.market("binance_usdm", "BTCUSDT")
    times = market.messages()["ts_event_ns"].unique(maintain_order=True)
    assert again.tops(times).equals(market.tops(times)) and _digest(again) == _digest(market)


def test_order_by_order_feeds_come_back(tmp_path: Path) -> None:
    messages: list[Any] = [
        (0, ORDER_BOOK, 2, []), (0, ORDER_ADD, 7, [(BUY, 99, 5)]), (0, ORDER_ADD, 8, [(SELL, 101, 6)]),
        (10, ORDER_ADD, 9, [(BUY, 100, 2)]), (20, ORDER_FILL, 9, [(BUY, 100, 1)]), (20, TRADE, 1, [(SELL, 100, 1)]),
        (30, ORDER_GONE, 7, [(BUY, 99, 5)]),
    ]  # fmt: skip
    market = feed_lake(tmp_path, messages).lake_market()
    orders = market.orders()
    assert market.form == "l3" and len(orders) == 6
    assert orders["event"].to_list()[::5] == ["order_book", "order_gone"] and orders["orders"][0] == 2
    assert orders["order_id"].to_list() == [None, 7, 8, 9, 9, 7]
    tops = market.tops([T0, T0 + 10, T0 + 20, T0 + 30])
    assert tops["bid_ticks"].to_list() == [99, 100, 100, 100] and tops["bid_lots"].to_list() == [5, 2, 1, 1]
    assert _digest(_again(market, tmp_path, "csv").market("neutral", "TEST")) == _digest(market)
    with pytest.raises(InputError, match="order by order"):
        write_npz(market, tmp_path / "x.npz")


def test_a_slice_begins_with_the_book_and_goes_on_as_it_was(captured: Market, tmp_path: Path) -> None:
    from_ns = (START_MS + 1_500) * MS
    to_ns = from_ns + 4_000 * MS
    made = commands.export(captured.lake.path, tmp_path / "x.csv.gz", from_=from_ns, until=to_ns)
    commands.import_(None, [tmp_path / "x.csv.gz"], tmp_path / "lake")
    part = Lake(tmp_path / "lake").market("binance_usdm", "BTCUSDT")
    whole = captured.lake.market("binance_usdm", "BTCUSDT", from_ns, to_ns)
    times = whole.messages()["ts_event_ns"].unique(maintain_order=True)
    ours, theirs = part.books(times, None, quotes=False), captured.books(times, None, quotes=False)
    assert ours["valid"].sum() > 50
    assert ours.drop("age_ns", "update_id").equals(theirs.drop("age_ns", "update_id"))
    assert len(part.messages()) == len(whole.messages()) + 1 and made["files"][0]["rows"] > len(times)
    with pytest.raises(InputError, match="no message in this slice"):
        commands.export(captured.lake.path, tmp_path / "y.parquet", from_=1, until=2)


def test_the_columns_are_those_that_are_documented(captured: Market, tmp_path: Path) -> None:
    commands.export(captured.lake.path, tmp_path / "folder", "csv")
    path = tmp_path / "folder" / "binance_usdm_BTCUSDT.csv.gz"
    frame = pl.read_csv(path.read_bytes(), comment_prefix="#", infer_schema=False)
    trades = frame.filter(pl.col("kind") == "trade")
    assert trades["price"].to_list() == [str(p) for p in captured.trades("decimal")["price_decimal"]]
    assert trades["side"].unique().sort().to_list() == ["buy", "sell"]
    commands.export(captured.lake.path, tmp_path / "x.parquet")
    assert pl.read_parquet(tmp_path / "x.parquet").columns == list(COLUMNS)
    assert pl.read_parquet(tmp_path / "x.parquet").equals(
        pl.concat(list(event_frames(captured, header(captured)["sessions"])))
    )


def test_what_is_wrong_in_a_file_is_named(captured: Market, tmp_path: Path) -> None:
    commands.export(captured.lake.path, tmp_path / "good.csv.gz")
    lines = gzip.decompress((tmp_path / "good.csv.gz").read_bytes()).splitlines()
    place = [k for k, line in enumerate(lines) if b",trade," in line][-1]
    fields = lines[place].split(b",")
    for column, value, words in (
        (2, b"1.5", "is no whole number"), (5, b"print", "must be one of"), (6, b"", "must be given"),
        (7, b"short", "buy or sell"), (8, b"7", "agree with ticks"), (9, b"-1", "agree with lots"),
        (10, b"1.23", "agree with ticks"), (12, b"4", "only"), (2, b"17", "goes back"), (0, b"9", "out of turn"),
        (3, b"1", "before the venue"), (1, b"", "is missing"),
    ):  # fmt: skip
        wrong = list(fields)
        wrong[column] = value
        copy = [*lines[:place], b",".join(wrong), *lines[place + 1 :]]
        path = tmp_path / "wrong.csv"
        path.write_bytes(b"\n".join(copy) + b"\n")
        with pytest.raises(InputError, match=words) as caught:
            commands.import_("events", [path], tmp_path / "lake")
            pytest.fail(f"{column} {value!r} was taken")
        assert "wrong.csv" in str(caught.value) and (
            "line" in str(caught.value) or "row" in str(caught.value) or column == 0
        )
    for text, words in (
        (b"# {}\n", "header"), (b'# {"perpsim_events":9,"instrument":{},"sessions":[]}\n', "form 9"),
        (lines[0] + b"\na,b\n", "must have the columns"), (lines[0] + b"\n" + lines[1] + b"\n1,2\n", "is no CSV"),
    ):  # fmt: skip
        (tmp_path / "wrong.csv").write_bytes(text)
        with pytest.raises(InputError, match=words):
            commands.import_("events", [tmp_path / "wrong.csv"], tmp_path / "lake")
    assert not list((tmp_path / "lake").rglob("*.parquet"))


def test_wrong_targets_are_refused(captured: Market, tmp_path: Path) -> None:
    for to, form, words in (
        ("x.parquet", "csv", "named as parquet"), ("folder", "arrow", "is none of"), ("folder", None, "has nothing"),
        ("day.npy", None, "ends as no file"), ("day.csv", None, "ends as no file"),
    ):  # fmt: skip
        symbol = "ETHUSDT" if words == "has nothing" else None
        with pytest.raises(InputError, match=words):
            commands.export(captured.lake.path, tmp_path / to, form, symbol=symbol)
    commands.export(captured.lake.path, tmp_path / "x.csv.gz")
    with pytest.raises(InputError, match="is of binance_usdm BTCUSDT"):
        commands.import_(None, [tmp_path / "x.csv.gz"], tmp_path / "lake", symbol="ETHUSDT")


# -- hftbacktest


@settings(max_examples=60, deadline=None)
@given(
    recv=st.lists(st.integers(0, 12), min_size=1, max_size=25),
    carried=st.integers(0, 4),
    bound=st.integers(0, 14),
)
def test_both_orders_stand_in_one_array(recv: list[int], carried: int, bound: int) -> None:
    carried = min(carried, len(recv))
    times = np.array(recv, np.int64)
    told = times < bound
    places, flags = merged_order(times, carried, told)
    exchange = places[flags & EXCH_EVENT > 0]
    client = places[flags & LOCAL_EVENT > 0]
    assert exchange.tolist() == list(range(carried, len(recv)))
    assert client.tolist() == [k for k in np.argsort(times, kind="stable").tolist() if told[k]]
    if (np.diff(times) >= 0).all() and told.all() and not carried:
        assert len(places) == len(recv)


def test_the_windows_of_an_export_do_not_matter(captured: Market) -> None:
    for size in (1, 7, 1 << 16):
        rows = np.concatenate(list(hft_events(captured, size)))
        exchange, client = (rows[rows["ev"] & flag > 0] for flag in (EXCH_EVENT, LOCAL_EVENT))
        assert (np.diff(exchange["exch_ts"]) >= 0).all() and (np.diff(client["local_ts"]) >= 0).all()
        mask = np.uint64(EXCH_EVENT | LOCAL_EVENT)
        for part in (exchange, client):
            part["ev"] &= ~mask
        if size == 1:
            first = exchange, client
        assert np.array_equal(first[0], exchange) and np.array_equal(first[1], client)
    trades = captured.trades("float")
    told = first[0][first[0]["ev"] & 0xFF == 2]
    assert (
        told["px"].tolist() == trades["price_float"].to_list()
        and told["qty"].tolist() == trades["size_float"].to_list()
    )


def test_an_npz_is_written_whole(captured: Market, tmp_path: Path) -> None:
    made = commands.export(captured.lake.path, tmp_path / "x.npz")
    rows = np.load(tmp_path / "x.npz")["data"]
    assert made["files"][0]["rows"] == len(rows) and rows.dtype.itemsize == 64
    assert np.array_equal(rows, np.concatenate(list(hft_events(captured))))
    assert [p.name for p in tmp_path.iterdir()] == ["x.npz"]


@pytest.mark.skipif(not PEER, reason="no environment with hftbacktest is named (PERPSIM_HFTBACKTEST)")
def test_hftbacktest_has_the_same_books(captured: Market) -> None:
    found = compare(captured, PEER, 100, 1)
    assert found["equal"] == found["times"] == 100 and found["levels"] > 1_000 and found["stale"] > 0, found
