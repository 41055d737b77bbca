"""A backtest on a recorded market that names every order: own quotes in its queues, and what the run says of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from matching.codes import BUY, CAUSE_CROSS, CAUSE_QUEUE, CAUSE_THROUGH, GTX, LIQ_MAKER, SELL
from recorders.bitstamp import import_bitstamp_report
from sim.backtest import backtest
from sim.strategy import Strategy
from tests.recorders.captures import SHARED
from venues.errors import InputError
from venues.instruments import Instrument

RECORDED = SHARED / "pypi_ob_analytics"
LOTS = 100_000  # 0.001 BTC
MS_NS = 1_000_000


class TouchQuoter(Strategy):
    """Keeps one small post-only order at each best price, looking every second."""

    def on_start(self) -> None:
        self.ctx.every("1s", self.step)

    def step(self) -> None:
        book = self.ctx.book(0)
        if not book.is_valid:
            return
        wanted = {BUY: book.best_bid_ticks, SELL: book.best_ask_ticks}
        for order in self.ctx.orders():
            if wanted.get(order.side) == order.ticks:
                del wanted[order.side]
            elif not order.pending:
                self.ctx.cancel(order)
        for side, ticks in wanted.items():
            self.ctx.submit(0, side, ticks, LOTS, tif=GTX)


def document(lake: Path, **instrument: Any) -> dict[str, Any]:
    return {
        "feed": {"lake": str(lake)},
        "venue": [
            {"name": "bitstamp", "card": "neutral", "latency": "10ms", "fees": {"maker": "0", "taker": "0"},
             "deposit": {"USD": 100_000}}
        ],
        "instrument": [
            {"symbol": "BTCUSD", "feed_venue": "bitstamp", "mark": "mid", "funding": "none", "book": "l3", **instrument}
        ],
    }  # fmt: skip


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not RECORDED.is_dir():
        pytest.skip(f"the recorded orders are not here: {RECORDED}")
    instrument = Instrument.from_fields(
        {"venue": "bitstamp", "symbol": "BTCUSD", "base": "BTC", "quote": "USD", "tick_size": "1",
         "lot_size": "0.00000001"}
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("orders") / "lake"
    import_bitstamp_report(RECORDED, folder, instrument)
    return folder


def test_quotes_fill_first_come_first_served_in_a_recorded_market(lake: Path, tmp_path: Path) -> None:
    result = backtest(document(lake), TouchQuoter(), out=tmp_path, html=False, show_progress=False)
    topics = {line.topic: line.text for line in result.banner}
    assert topics["Fills"].startswith("order-by-order book (L3), queue model exact FIFO, newcomers that reach")
    fills = result.fills
    assert len(fills) > 20
    assert set(fills["liquidity"]) == {LIQ_MAKER}
    assert fills["queue_front_lots"].max() == 0  # nobody stood ahead when an execution came
    named = fills.filter(pl.col("cause") != CAUSE_CROSS)
    assert len(named) > 20 and set(named["cause"]) == {CAUSE_QUEUE, CAUSE_THROUGH}
    traded: Counter[tuple[int, int]] = Counter()
    for trade in pl.read_csv(RECORDED / "trades.csv").iter_rows(named=True):
        maker = SELL if trade["side"] == "buy" else BUY
        traded[trade["exchange_timestamp"] * MS_NS, maker] += round(trade["amount"] * 10**8)
    executed: Counter[tuple[int, int]] = Counter()
    for fill in named.iter_rows(named=True):
        executed[fill["ts_event_ns"], fill["side"]] += fill["lots"]
    assert all(lots <= traded[key] for key, lots in executed.items())  # each at a recorded trade, and no larger


def test_a_market_of_levels_cannot_be_read_order_by_order(lake: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="need the l3 book"):
        backtest(document(lake, book="l2"), TouchQuoter(), out=tmp_path, html=False, show_progress=False)
    with pytest.raises(InputError, match="knows partial fills only"):
        backtest(document(lake, exchange="nopartial"), TouchQuoter(), out=tmp_path, html=False, show_progress=False)
