"""Bars of prints: against plain loops, however the lake is cut; against the strategies' own bars."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matching.codes import BUY, GAP, SELL, SNAPSHOT, TRADE
from recorders import writer as writer_module
from recorders.access import Market
from recorders.resample import bar_spec
from sim.bars import BarSeries
from sim.history import history
from tests.recorders.feeds import T0, FeedMessage, feed_lake, instrument, random_recording
from venues import known_instrument
from venues.errors import InputError

FORMS = ("7us", "5 trades", "1 trades", "23 lots", "0.25 value", "11 imbalance")


def _made(recordings: list[list[FeedMessage]], clock: str) -> tuple[list[tuple[int, int, int, int]], list[Any], int]:
    """(time, side, ticks, lots) of the prints in order of a clock; holes (start, end]; the last instant."""
    prints, holes, last = [], [], 0
    for number, messages in enumerate(recordings):
        times = [T0 + m[0] + (m[4] if clock == "recv" else 0) for m in messages]
        if number:
            holes.append((last, times[0]))
        last = max(times)
        for ts, m in zip(times, messages, strict=True):
            if m[1] == GAP:
                holes.append((ts, ts + max(1, m[2][3])) if clock == "event" else (ts - 1, ts))
            if m[1] == TRADE:
                prints += [(ts, *row) for row in m[3]]
    return sorted(prints, key=lambda p: p[0]), holes, last


def _naive(recordings: list[list[FeedMessage]], every: str, clock: str) -> list[dict[str, Any]]:
    prints, holes, final = _made(recordings, clock)
    start = T0 + recordings[0][0][0]
    spec = bar_spec(every, instrument())
    bars: list[dict[str, Any]] = []
    group: list[tuple[int, int, int, int]] = []

    def close(end: int, *, complete: bool) -> None:
        nonlocal start
        begin = end - spec.target if spec.form == "time" else start
        ticks = [p[2] for p in group]
        bars.append(
            {
                "start_ns": begin, "end_ns": end, "first_ns": group[0][0], "last_ns": group[-1][0],
                "open_ticks": ticks[0], "high_ticks": max(ticks), "low_ticks": min(ticks), "close_ticks": ticks[-1],
                "lots": sum(p[3] for p in group), "buy_lots": sum(p[3] for p in group if p[1] == BUY),
                "sell_lots": sum(p[3] for p in group if p[1] == SELL),
                "value_ticks_lots": sum(p[2] * p[3] for p in group), "trades": len(group),
                "gap": any(hole[0] < end and hole[1] > begin for hole in holes), "complete": complete,
            }
        )  # fmt: skip
        group.clear()
        start = end

    for one in prints:
        if spec.form == "time" and group and one[0] > _end(group[-1][0], spec.target):
            close(_end(group[-1][0], spec.target), complete=True)
        group.append(one)
        signed = sum(p[3] if p[1] == BUY else -p[3] for p in group)
        amounts = {
            "time": 0, "trades": len(group), "lots": sum(p[3] for p in group),
            "value": sum(p[2] * p[3] for p in group), "imbalance": abs(signed),
        }  # fmt: skip
        if spec.form != "time" and amounts[spec.form] >= spec.target:
            close(one[0], complete=True)
    if group:
        by_time = spec.form == "time"
        end = _end(group[-1][0], spec.target) if by_time else group[-1][0]
        close(end, complete=by_time and end <= final)
    return bars


def _end(ts_ns: int, interval_ns: int) -> int:
    return (ts_ns + interval_ns - 1) // interval_ns * interval_ns


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6), count=st.integers(1, 250), block=st.integers(1, 120),
    every=st.sampled_from(FORMS), clock=st.sampled_from(["event", "recv"]),
)  # fmt: skip
def test_bars_are_those_of_a_plain_loop_however_the_feed_is_cut(
    seed: int, count: int, block: int, every: str, clock: str
) -> None:
    second = 20_000 + count * 2_000
    recordings = [random_recording(seed, count), random_recording(seed + 1, 30, second)]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer_module, "BLOCK_MESSAGES", block)
        market = feed_lake(Path(folder), *recordings).lake_market()
        bars = market.bars(every, clock=clock)
        expected = _naive(recordings, every, clock)
        names = list(expected[0]) if expected else ["lots"]
        assert bars.select(names).to_dicts() == expected
        tops = market.tops(bars["end_ns"], clock=clock)
        for name in ("bid_ticks", "bid_lots", "ask_ticks", "ask_lots", "mid_half_ticks"):
            assert bars[name].equals(tops[name])
        pieces = list(market.stream_bars(every, clock=clock, quotes=False))
        assert sum(map(len, pieces)) == len(bars)


@pytest.fixture
def market(tmp_path: Path) -> Market:
    return feed_lake(tmp_path, random_recording(5, 900)).lake_market()


@pytest.mark.parametrize(("every", "trades", "lots"), [("20 trades", 20, 0), ("60 lots", 0, 60)])
def test_they_are_the_bars_of_strategies(market: Market, every: str, trades: int, lots: int) -> None:
    series = BarSeries(0, 0, 0, trades, lots, 0)
    found = []
    frame = market.trades().sort("ts_recv_ns", maintain_order=True)
    for ts, side, ticks, size in frame.select("ts_recv_ns", "side", "ticks", "lots").iter_rows():
        bar = series.add(side, ticks, size, ts)
        if bar is not None:
            found.append((bar.end_ns, bar.open_ticks, bar.high_ticks, bar.low_ticks, bar.close_ticks, bar.lots,
                          bar.buy_lots, bar.trades, bar.value_ticks_lots))  # fmt: skip
    ours = market.bars(every, clock="recv").filter("complete")
    names = ("end_ns", "open_ticks", "high_ticks", "low_ticks", "close_ticks", "lots", "buy_lots", "trades")
    assert ours.select(*names, "value_ticks_lots").rows() == found and len(found) > 10


def test_they_are_the_bars_of_history(market: Market) -> None:
    last = int(market.messages()["ts_recv_ns"].max() or 0)  # type: ignore[arg-type]
    source = market.lake.source(market.venue, market.symbol)
    known = history(lambda *_: source, 10**12, last, "bars", "9us")
    ours = market.bars("9us", clock="recv", quotes=False)
    for name in known.columns:
        assert ours[name].to_list() == known[name].to_list(), name


def test_a_day_without_prints_has_no_bars(tmp_path: Path) -> None:
    market = feed_lake(tmp_path, [(1_000, SNAPSHOT, 1, [(BUY, 100, 5), (SELL, 101, 6)])]).lake_market()
    for quotes in (True, False):
        bars = market.bars("1s", quotes=quotes)
        assert bars.is_empty() and ("mid_half_ticks" in bars.columns) == quotes
    assert bars.schema["gap"] == pl.Boolean


def test_the_value_of_inverse_contracts_is_their_face_value() -> None:
    coin = known_instrument("binance_coinm", "BTCUSD_PERP")
    spec = bar_spec("1000 value", coin)
    assert (spec.target, spec.by_price) == (10, False)  # contracts of 100 USD
    linear = bar_spec("1000.00001 value", known_instrument("binance_usdm", "BTCUSDT"))
    assert linear.target == 10_000_001 and linear.by_price  # 0.1 USDT a tick, 0.001 BTC a lot; rounded up


def test_sums_that_leave_64_bits_are_errors_and_never_wrap(tmp_path: Path) -> None:
    huge = [(k, TRADE, k, [(BUY, (1 << 31) - 1, (1 << 31) - 1)]) for k in range(2)]
    with pytest.raises(OverflowError, match="64 bits"):
        feed_lake(tmp_path, huge).lake_market().bars("1s", quotes=False)


def test_what_is_no_bar_is_refused() -> None:
    for every, words in (
        ("100 candles", "or give a number of"), ("x trades", "whole number"), ("0 lots", "above 0"), ("0s", "above 0"),
        ("nan value", "is no amount"), (1.5, "not a duration"), ("1e40 value", "below"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=words):
            bar_spec(every, instrument())
    assert np.iinfo(np.int64).max > bar_spec("1d", instrument()).target
