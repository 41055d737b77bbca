"""Slices as frames, and books at any instants: against plain loops over the feed and a book of two dictionaries."""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from matching.codes import BBO, BUY, DEPTH, GAP, MARK, NO_PRICE, SELL, SNAPSHOT, TRADE
from matching.feed import FeedWindow
from matching.reference_book import Book, message_of
from recorders import writer as writer_module
from recorders.access import Market
from recorders.instants import instant_ns, instants_ns
from recorders.lake import Lake
from tests.recorders import captures
from tests.recorders.captures import MS, SHARED, import_lines, whole_feed, write
from tests.recorders.feeds import T0, feed_lake, random_recording
from venues.errors import InputError

START_MS = 1_700_006_396_000  # four seconds before midnight
USDM = [SHARED / "hftbacktest/examples/usdm" / f"btcusdt_2023040{day}.dat.gz" for day in (4, 5)]


@pytest.fixture(scope="module", autouse=True)
def small_blocks() -> Iterator[None]:
    """Blocks of 50 messages, so that a small feed has many."""
    patch = pytest.MonkeyPatch()
    patch.setattr(writer_module, "BLOCK_MESSAGES", 50)
    patch.setattr(writer_module, "BLOCK_ROWS", 300)
    yield
    patch.undo()


def _recording(seed: int, now_ms: int, steps: int) -> captures.Market:
    """A recording with a gap in its middle that a snapshot ends."""
    market = captures.Market(seed=seed, now_ms=now_ms, jitter_ns=30 * MS).run(steps)
    market.lines.pop(market.diffs()[2 * steps // 5])
    data = market.lines[market.diffs()[steps // 2]].message["data"]
    market.add_snapshot(data["u"], data["T"], market.lines[market.diffs()[steps // 2]].recv_ns + 1)
    return market


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Two recordings with nothing between them, the first across midnight."""
    folder = tmp_path_factory.mktemp("lake")
    for seed, now_ms in ((11, START_MS), (12, START_MS + 60_000)):
        import_lines([write(folder / f"capture{seed}", _recording(seed, now_ms, 300).lines)], folder / "lake")
    return Lake(folder / "lake")


@pytest.fixture(scope="module")
def market(lake: Lake) -> Market:
    return lake.market("binance_usdm", "BTCUSDT")


@pytest.fixture(scope="module")
def whole(lake: Lake) -> FeedWindow:
    return whole_feed(lake.path)


def _rows(feed: FeedWindow, *kinds: int) -> list[tuple[int, int, int, int, int, int, int]]:
    """(message, ts_event, ts_recv, ref, side, ticks, lots) by a plain loop, without what the lake adds."""
    found, number = [], -1
    for j in range(len(feed)):
        if feed.kind[j] == GAP and int(feed.aux[feed.ref[j] - feed.aux_base][0]) == 3:
            continue  # the hole between recordings stands in no file
        number += 1
        if feed.kind[j] in kinds:
            head = (number, int(feed.ts_event[j]), int(feed.ts_recv[j]), int(feed.ref[j]))
            for r in range(int(feed.row_start[j]), int(feed.row_start[j + 1])):
                found.append((*head, int(feed.side[r]), int(feed.px_ticks[r]), int(feed.qty_lots[r])))
    return found


# -- frames


def test_the_frames_hold_what_the_feed_says(market: Market, whole: FeedWindow) -> None:
    heads = ("message", "ts_event_ns", "ts_recv_ns")
    trades = market.trades()
    assert trades.select(*heads, "trade_id", "side", "ticks", "lots").rows() == _rows(whole, TRADE)
    depth = market.depth()
    assert depth.select(*heads, "update_id", "side", "ticks", "lots").rows() == _rows(whole, DEPTH, SNAPSHOT)
    snapshots = {row[0] for row in _rows(whole, SNAPSHOT)}
    assert set(depth.filter("snapshot")["message"]) == snapshots and len(snapshots) == 4
    quotes = market.quotes()
    both = _rows(whole, BBO)
    assert quotes.select("message", "bid_ticks", "bid_lots").rows() == [(r[0], *r[5:]) for r in both if r[4] == BUY]
    assert quotes.select("message", "ask_ticks", "ask_lots").rows() == [(r[0], *r[5:]) for r in both if r[4] == SELL]
    marks = np.flatnonzero(whole.kind == MARK)
    payload = whole.aux[whole.ref[marks] - whole.aux_base]
    assert np.array_equal(market.marks()[["mark_e8", "index_e8", "rate_e12", "next_funding_ns"]].to_numpy(), payload)
    assert len(market.messages()) == len(whole) - 1 and market.orders().is_empty() and market.funding().is_empty()
    assert (trades["ts_recv_raw_ns"] <= trades["ts_recv_ns"]).all()


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 400), start=st.integers(-100, 8_000), length=st.integers(1, 70_000))
def test_any_pieces_of_any_slice_are_the_slice(lake: Lake, rows: int, start: int, length: int) -> None:
    from_ns = (START_MS + start) * MS
    to_ns = from_ns + length * MS
    market = lake.market("binance_usdm", "BTCUSDT", from_ns, to_ns)
    for table in ("trades", "depth", "quotes", "messages"):
        whole = lake.market("binance_usdm", "BTCUSDT").table(table)
        expected = whole.filter((pl.col("ts_event_ns") >= from_ns) & (pl.col("ts_event_ns") < to_ns)).drop("message")
        frames = list(market.stream(table, rows=rows))
        assert all(0 < len(frame) <= rows for frame in frames) and all(len(frame) == rows for frame in frames[:-1])
        assert market.table(table).drop("message").equals(expected)
        assert len(expected) == sum(map(len, frames))
        if frames:
            assert pl.concat(frames).drop("message").equals(expected)


def test_prices_and_sizes_as_floats_and_decimals(market: Market) -> None:
    exact, near = market.trades("decimal"), market.trades("float")
    for row in exact.iter_rows(named=True):
        assert row["price_decimal"] == Decimal(row["ticks"]) / 10
        assert row["size_decimal"] == Decimal(row["lots"]) / 1000
    assert near["price_float"].to_list() == [float(str(price)) for price in exact["price_decimal"]]
    assert near["size_float"].to_list() == [float(str(size)) for size in exact["size_decimal"]]
    assert {"bid_price_decimal", "ask_size_decimal"} <= set(market.quotes("decimal").columns)


def test_gaps_have_their_ends(market: Market, lake: Lake) -> None:
    gaps = market.gaps()
    assert gaps["why"].to_list() == ["sequence", "session_end", "sequence"]
    assert gaps["end_ns"].null_count() == 0 and (gaps["end_ns"] > gaps["start_ns"]).all()
    between = gaps.row(1, named=True)
    inside = lake.market("binance_usdm", "BTCUSDT", gaps["start_ns"][0] + 1, gaps["end_ns"][0]).gaps()
    assert inside.is_empty() and between["start_ns"] < (START_MS + 60_000) * MS <= between["end_ns"]


def test_the_windows_are_what_a_run_reads(lake: Lake) -> None:
    from_ns = (START_MS + 3_000) * MS
    ours = lake.market("binance_usdm", "BTCUSDT", from_ns).windows()
    source = lake.source("binance_usdm", "BTCUSDT", from_ns)
    for window in ours:
        other = source.next_window()
        assert other is not None and np.array_equal(window.px_ticks, other.px_ticks)
    assert source.next_window() is None


# -- books


def _naive(feed: FeedWindow, clock: str, quotes: bool) -> list[tuple[int, Any]]:
    """(instant, book) after each message, by one clock; a book is None while it is not known."""
    order = range(len(feed)) if clock == "event" else feed.local_order.tolist()
    times = feed.ts_event if clock == "event" else feed.ts_recv
    book, found = Book(l1_only=False), []
    for j in order:
        if feed.kind[j] == BBO and not quotes:
            continue
        for _ in book.apply(message_of(0, j, feed, j)):
            pass
        levels = None
        if book.valid:
            levels = [[(t, book.levels[side][t]) for t in book.sorted_ticks(side)] for side in (BUY, SELL)]
        found.append((int(times[j]), levels))
    return found


def _naive_at(states: list[tuple[int, Any]], ts_ns: int) -> Any:
    place = int(np.searchsorted([ts for ts, _ in states], ts_ns, side="right")) - 1
    return None if place < 0 else states[place][1]


@pytest.fixture(scope="module")
def states(whole: FeedWindow) -> dict[tuple[str, bool], list[tuple[int, Any]]]:
    return {(clock, quotes): _naive(whole, clock, quotes) for clock in ("event", "recv") for quotes in (True, False)}


def _shown(row: dict[str, Any]) -> Any:
    if not row["valid"]:
        assert row["bid_ticks"] is None and row["status"] != "ok"
        return None
    return [list(zip(row[f"{s}_ticks"], row[f"{s}_lots"], strict=True)) for s in ("bid", "ask")]


@settings(max_examples=25, deadline=None)
@given(
    offsets=st.lists(st.integers(-500, 70_000), min_size=1, max_size=40),
    clock=st.sampled_from(["event", "recv"]),
    quotes=st.booleans(),
    depth=st.sampled_from([1, 3, None]),
)
def test_books_at_any_instants(
    market: Market,
    states: dict[tuple[str, bool], list[tuple[int, Any]]],
    offsets: list[int],
    clock: str,
    quotes: bool,
    depth: int | None,
) -> None:
    times = [START_MS * MS + offset * MS + (offset % 3 - 1) for offset in offsets]
    frame = market.books(times, depth, clock=clock, quotes=quotes)
    assert frame["time_ns"].to_list() == times
    tops = market.tops(times, clock=clock, quotes=quotes)
    for row, top in zip(frame.iter_rows(named=True), tops.iter_rows(named=True), strict=True):
        assert [row[k] for k in ("status", "age_ns", "update_id")] == [
            top[k] for k in ("status", "age_ns", "update_id")
        ]
        if row["status"] in ("ended", "before"):
            assert _shown(row) is None
            continue
        expected = _naive_at(states[clock, quotes], row["time_ns"])
        if expected is not None and depth is not None:
            expected = [side[:depth] for side in expected]
        assert _shown(row) == expected, row["time_ns"]
        best = [side[0] if side else (None, None) for side in expected] if expected else [(None, None)] * 2
        assert best == [(top["bid_ticks"], top["bid_lots"]), (top["ask_ticks"], top["ask_lots"])]


@settings(max_examples=25, deadline=None, phases=[Phase.explicit, Phase.generate])  # lakes are slow to shrink
@given(
    seed=st.integers(0, 10**6),
    block=st.integers(7, 90),
    clock=st.sampled_from(["event", "recv"]),
    chosen=st.lists(st.integers(-2_000, 260_000), min_size=1, max_size=30),
)
def test_books_of_any_feed_however_it_is_cut(seed: int, block: int, clock: str, chosen: list[int]) -> None:
    # of depth alone: these quotes contradict the book, and a checkpoint holds only those that are newer than it
    recordings = [random_recording(seed, 200), random_recording(seed + 1, 40, 200_000)]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer_module, "BLOCK_MESSAGES", block)
        lake = feed_lake(Path(folder), *recordings)
        states = _naive(whole_feed(lake.path, "neutral", "TEST"), clock, quotes=False)
        frame = lake.lake_market().books([T0 + offset for offset in chosen], None, clock=clock, quotes=False)
        for row in frame.iter_rows(named=True):
            if row["status"] not in ("ended", "before"):
                assert _shown(row) == _naive_at(states, row["time_ns"]), row


def test_one_instant_at_a_time_is_the_same_as_all_at_once(market: Market, whole: FeedWindow) -> None:
    times = np.random.default_rng(5).choice(np.concatenate((whole.ts_event, whole.ts_recv)), 60)
    for clock in ("event", "recv"):
        one = pl.concat([market.books([ts], None, clock=clock) for ts in times.tolist()])
        assert one.equals(market.books(times, None, clock=clock))


def test_the_age_is_that_of_the_last_message_about_the_book(market: Market, whole: FeedWindow) -> None:
    about = np.isin(whole.kind, (DEPTH, SNAPSHOT, BBO))
    times = np.unique(whole.ts_event)[20::7]
    frame = market.tops(times).filter("valid")
    for row in frame.iter_rows(named=True):
        last = np.flatnonzero(about & (whole.ts_event <= row["time_ns"]))[-1]
        assert row["age_ns"] == row["time_ns"] - whole.ts_event[last] and row["update_id"] == whole.ref[last]
    received = market.tops(np.unique(whole.ts_recv)[20::7], clock="recv").filter("valid")
    for row in received.iter_rows(named=True):
        seen = whole.ts_recv[about & (whole.ts_recv <= row["time_ns"])]
        assert row["age_ns"] == row["time_ns"] - seen.max()


@pytest.mark.parametrize("clock", ["event", "recv"])
def test_the_series_of_best_quotes_changes_with_every_row(
    market: Market, states: dict[tuple[str, bool], list[tuple[int, Any]]], clock: str
) -> None:
    expected: list[tuple[Any, ...]] = []
    known = dict(states[clock, True])  # of one instant the last state stands
    for ts_ns, book in known.items():
        best: tuple[Any, ...] = (False, None, None, None, None)
        if book is not None:
            best = (True, *(book[0][0] if book[0] else (None, None)), *(book[1][0] if book[1] else (None, None)))
        if not expected or expected[-1][1:] != best:
            expected.append((ts_ns, *best))
    frame = pl.concat(list(market.top_series(clock=clock, rows=7)))
    shown = frame.select("time_ns", "valid", "bid_ticks", "bid_lots", "ask_ticks", "ask_lots").rows()
    # the hole between the recordings is told at the first instant of the next one
    assert [row for row in shown if row[1]] == [row for row in expected if row[1]]
    assert frame.drop("time_ns").select(pl.struct(pl.all()).ne(pl.struct(pl.all()).shift(1)).all()).item()


def test_nothing_is_made_up_outside_of_the_recordings(market: Market, whole: FeedWindow) -> None:
    gap = market.gaps().row(1, named=True)
    times = [int(whole.ts_event[0]) - 1, gap["start_ns"], gap["start_ns"] + 1, gap["end_ns"] - 1, gap["end_ns"]]
    times.append(int(whole.ts_event[-1]) + 1)
    assert market.books(times)["status"].to_list() == ["before", "ok", "ended", "stale", "ok", "ended"]
    assert market.books([]).is_empty() and market.tops([])["mid_half_ticks"].to_list() == []


def test_an_empty_side_is_null(tmp_path: Path) -> None:
    lake = feed_lake(
        tmp_path,
        [
            (1_000, SNAPSHOT, 1, [(BUY, 100, 5), (SELL, 101, 6)]),
            (2_000, DEPTH, 2, [(SELL, 101, 0)]),
            (3_000, DEPTH, 3, [(BUY, 99, 1)]),
        ],
    )
    market = lake.market("neutral", "TEST")
    row = market.tops([market.messages()["ts_event_ns"][1]]).row(0, named=True)
    assert row["valid"] and row["ask_ticks"] is None and row["mid_half_ticks"] is None and row["bid_ticks"] == 100
    assert market.books(market.messages()["ts_event_ns"], None)["ask_ticks"].to_list() == [[101], [], []]
    assert NO_PRICE not in market.tops(market.messages()["ts_event_ns"]).to_numpy().tolist()


def test_a_feed_of_best_quotes_alone(tmp_path: Path) -> None:
    messages: list[Any] = [(k * 1_000, BBO, k, [(BUY, 100 + k, k + 1), (SELL, 110 + k, 7)]) for k in range(130)]
    messages[60:60] = [(60_000 - 1, GAP, [2, 0, 0, 5], [])]
    market = feed_lake(tmp_path, messages).lake_market()
    assert market.form == "l1"
    times = market.quotes()["ts_event_ns"]
    tops = market.tops(times)
    assert tops["bid_ticks"].to_list() == list(range(100, 230)) and tops["valid"].all()
    assert market.tops([times[60] - 1])["status"].to_list() == ["stale"]
    assert market.books([times[99] + 3])["ask_ticks"].to_list() == [[209]]


def test_a_quote_from_before_a_gap_is_not_known_after_it(tmp_path: Path) -> None:
    messages: list[Any] = [(k * 1_000, BBO, k, [(BUY, 100 + k, 1), (SELL, 160, 7)]) for k in range(49)]
    messages += [(49_000, GAP, [2, 0, 0, 5], []), (50_000, TRADE, 1, [(BUY, 160, 1)]), (60_000, BBO, 50, [(BUY, 9, 1)])]
    market = feed_lake(tmp_path, messages).lake_market()
    times = [T0 + 50_000, T0 + 59_999, T0 + 60_000]
    assert market.tops(times)["status"].to_list() == ["stale", "stale", "ok"]


# -- instants


def test_instants_are_read_to_the_nanosecond() -> None:
    base = 1_680_652_800_000_000_000
    for text, ns in (
        ("2023-04-05", base),
        ("2023-04-05T00:00", base),
        ("2023-04-05T02:00:00+02:00", base),
        ("2023-04-05 00:00:00.123456789Z", base + 123_456_789),
        ("2023-04-04T22:00:00.5-02:00", base + 500_000_000),
    ):
        assert instant_ns(text) == ns
    assert instant_ns(datetime.datetime(2023, 4, 5)) == instant_ns(datetime.date(2023, 4, 5)) == base
    assert instant_ns(np.datetime64("2023-04-05T00:00:00.000000007")) == base + 7
    times = pl.Series([datetime.datetime(2023, 4, 5), datetime.datetime(2023, 4, 6)])
    assert instants_ns(times).tolist() == [base, base + 86_400_000_000_000]
    assert instants_ns(["2023-04-05", base + 1]).tolist() == [base, base + 1]
    for wrong in ("tomorrow", 1.5, None, True):
        with pytest.raises(InputError, match="is no instant"):
            instant_ns(wrong)
    with pytest.raises(InputError, match="missing"):
        instants_ns(pl.Series([1, None]))


def test_wrong_questions_are_refused(lake: Lake, market: Market) -> None:
    for wrong, words in (
        (lambda: lake.market("binance_usdm", "BTCUSDT", 10, 5), "before it begins"),
        (
            lambda: lake.market("binance_usdm", "BTCUSDT", "2023-04-05T00:00:01.5", "2023-04-05"),
            "ends at 2023-04-05T00:00:00Z, before it begins, at 2023-04-05T00:00:01.500Z",
        ),
        (lambda: lake.market("binance_usdm", "BTCUSDT", book="l4"), "is none of"),
        (lambda: market.table("trade"), "is no table"),
        (lambda: market.trades("prices"), "is none of"),
        (lambda: list(market.stream("trades", rows=0)), "at least 1"),
        (lambda: market.books([1], 0), "at least 1"),
        (lambda: market.books([1], clock="wall"), "is none of"),
        (lambda: lake.market("okx", "BTCUSDT"), "it holds"),
    ):
        with pytest.raises(InputError, match=words):
            wrong()


# -- the recording


@pytest.mark.skipif(not USDM[0].exists(), reason=f"{SHARED} is absent")
def test_the_books_of_the_recording_equal_its_best_quotes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "BLOCK_MESSAGES", 1 << 13)
    monkeypatch.setattr(writer_module, "BLOCK_ROWS", 1 << 20)
    import_lines(USDM, tmp_path / "lake")
    market = Lake(tmp_path / "lake").market("binance_usdm", "BTCUSDT")
    quotes = market.quotes()
    for quoted in (True, False):
        depth = market.messages().filter(pl.col("kind").is_in([DEPTH, SNAPSHOT]))
        last = quotes if quoted else quotes.join(depth, left_on="update_id", right_on="ref", how="semi")
        last = last.group_by("ts_event_ns", maintain_order=True).last()
        tops = market.tops(last["ts_event_ns"], quotes=quoted)
        same = tops["update_id"] == last["update_id"] if not quoted else tops["valid"]
        ours, theirs = tops.filter(same & tops["valid"]), last.filter(same & tops["valid"])
        assert len(ours) > (29_000 if quoted else 1_500)
        for name in ("bid_ticks", "bid_lots", "ask_ticks", "ask_lots"):
            assert (ours[name] == theirs[name]).all(), name
