"""Own fills with the market around them: a backtest's fills against its lake, its samples, its queue and its report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from matching.codes import BUY, GTX, IOC, NO_PRICE, SELL
from recorders.access import Market
from recorders.lake import Lake
from sim.backtest import Result, backtest
from sim.strategy import Strategy
from tests.recorders import captures
from tests.recorders.captures import MS, import_lines, write
from venues.errors import InputError

HORIZONS = ("0ms", "100ms", "1s", "10s", "60s")


class Mixed(Strategy):
    """Rests at the best price of both sides, and takes now and then."""

    def on_start(self) -> None:
        self.ctx.every("130ms")
        self.count = 0

    def on_timer(self) -> None:
        book = self.ctx.book(0)
        if not book.is_valid:
            return
        self.count += 1
        for side in (BUY, SELL):
            self.ctx.submit(0, side, book.best_ticks(side), 3, GTX)
        if self.count % 5 == 0:
            self.ctx.submit(0, BUY, book.best_ticks(SELL) + 1, 2, IOC)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Market, Result]:
    folder = tmp_path_factory.mktemp("fills")
    feed = captures.Market(seed=4).run(700)
    import_lines([write(folder / "capture", feed.lines)], folder / "lake")
    config: dict[str, Any] = {
        "name": "fills",
        "feed": {"lake": str(folder / "lake")},
        "samples": {"bbo": "10ms"},
        "venue": [{"name": "binance_usdm", "latency": "7ms", "deposit": {"USDT": 1_000_000}}],
        "instrument": [{"symbol": "BTCUSDT", "mark": "mid", "funding": "none", "margin": "none"}],
    }
    result = backtest(config, Mixed(), out=folder / "runs", html=False, show_progress=False)
    return Lake(folder / "lake").market("binance_usdm", "BTCUSDT"), result


def test_the_samples_of_a_run_are_the_books_before_their_instants(made: tuple[Market, Result]) -> None:
    market, result = made
    samples = result.bbo.filter(pl.col("bid_ticks") > NO_PRICE // 2)[:-1]
    tops = market.tops(samples["ts_ns"] - 1)  # a sample is taken before the messages of its instant
    assert len(samples) > 500
    assert (tops["bid_ticks"] == samples["bid_ticks"]).all() and (tops["ask_ticks"] == samples["ask_ticks"]).all()


def test_the_level_at_arrival_is_what_the_book_showed(made: tuple[Market, Result]) -> None:
    market, result = made
    frame = market.around(result)
    assert len(frame) == len(result.fills) > 30 and frame["arrived_ns"].null_count() == 0
    assert (frame["arrived_ns"] - frame["sent_ns"] == 7 * MS).all()
    books = market.books(frame["arrived_ns"], None)
    for row, book in zip(frame.iter_rows(named=True), books.iter_rows(named=True), strict=True):
        side = "bid" if row["side"] == BUY else "ask"
        shown = dict(zip(book[f"{side}_ticks"], book[f"{side}_lots"], strict=True))
        assert row["arrival_level_lots"] == shown.get(row["ticks"], 0)
    taken = frame.filter(pl.col("liquidity") == 2)
    assert len(taken) > 10 and (taken["ticks"] >= taken["arrival_ask_ticks"]).all()


def test_markouts_are_those_of_the_report(made: tuple[Market, Result]) -> None:
    market, result = made
    frame = market.around(result, horizons=HORIZONS)
    sign = np.where(frame["side"].to_numpy() == BUY, 1, -1)
    report = [
        entry
        for one in result.summary["statistics"]["instruments"]
        for entry in one["markouts"]
        if entry["group"] == "all"
    ]
    assert [entry["horizon_ns"] for entry in report] == [0, 100 * MS, 1000 * MS, 10_000 * MS, 60_000 * MS]
    names = [name for name in frame.columns if name.startswith("markout_")]
    assert names[0] == "markout_0ns_half_ticks" and len(names) == len(report)
    for name, entry in zip(names, report, strict=True):
        # the report reads the mid from samples; at their instants both must say the same
        sampled = (frame["ts_event_ns"] + entry["horizon_ns"]) // (10 * MS) * (10 * MS)
        mid = market.tops(sampled - 1)["mid_half_ticks"]
        move = pl.Series(sign) * (mid - 2 * frame["ticks"])
        known = move.is_not_null()
        assert int(known.sum()) == entry["fills"], entry
        if entry["fills"]:
            lots = frame["lots"].filter(known)
            assert float((move.filter(known) * lots).sum()) / 2 / int(lots.sum()) == pytest.approx(entry["ticks"])
        exact = pl.Series(sign) * (
            market.tops(frame["ts_event_ns"] + entry["horizon_ns"])["mid_half_ticks"] - 2 * frame["ticks"]
        )
        assert exact.equals(frame[name], check_names=False)
    assert frame["markout_1m_half_ticks"].null_count() == len(frame)  # the feed ended before: nothing is known


def test_the_prints_around_a_fill(made: tuple[Market, Result]) -> None:
    market, result = made
    prints = [tuple(row) for row in market.trades().select("ts_event_ns", "side", "ticks", "lots").iter_rows()]
    names = ("print_ns", "print_side", "print_ticks", "print_lots")
    for row in market.around(result).iter_rows(named=True):
        before = [p for p in prints if p[0] < row["ts_event_ns"]]
        after = [p for p in prints if p[0] > row["ts_event_ns"]]
        assert tuple(row[f"before_{name}"] for name in names) == (before[-1] if before else (None,) * 4)
        assert tuple(row[f"after_{name}"] for name in names) == (after[0] if after else (None,) * 4)


def test_what_a_client_had_seen_when_it_decided(made: tuple[Market, Result]) -> None:
    market, result = made
    frame = market.around(result, values="decimal")
    tops = market.tops(frame["sent_ns"], clock="recv")
    for name in ("bid_ticks", "bid_lots", "ask_ticks", "ask_lots", "mid_half_ticks"):
        assert frame[f"decision_{name}"].equals(tops[name], check_names=False)
    assert "arrival_bid_price_decimal" in frame.columns


def test_fills_of_any_kind_of_source(made: tuple[Market, Result], tmp_path: Path) -> None:
    market, result = made
    whole = market.around(result)
    assert market.around(result.path).equals(whole) and market.around(str(result.path / "fills.parquet")).equals(whole)
    bare = result.fills.select("ts_event_ns", "side", "ticks", "lots")
    alone = market.around(bare)
    assert alone["decision_bid_ticks"].null_count() == len(alone)
    assert alone["fill_bid_ticks"].equals(whole["fill_bid_ticks"])
    assert market.around(bare[:0]).is_empty()
    for wrong, words in (
        (bare.drop("side"), "'side': must be"),
        (bare.with_columns(side=pl.lit(3)), "must be 0"),
        (tmp_path / "none", "cannot be read"),
    ):
        with pytest.raises(InputError, match=words):
            market.around(wrong)
    with pytest.raises(InputError, match="horizons"):
        market.around(bare, horizons=("soon",))
