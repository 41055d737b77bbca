"""A run on archives that were imported: it goes, and its banner says what the importer took for granted."""

from __future__ import annotations

from pathlib import Path

from perpsim import BUY, Strategy, backtest
from tests.recorders.formats.samples import DAY_US, load, put

MS = DAY_US // 1000
QUOTES = "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time\n"


class Buyer(Strategy):
    """Buys once."""

    def on_start(self) -> None:
        self.ctx.every("1s", self.step)

    def step(self) -> None:
        if self.ctx.book(0).is_valid and self.ctx.position(0) == 0 and not self.ctx.orders():
            self.ctx.market(0, BUY, 10)


def test_the_banner_says_that_receive_times_are_made_up(tmp_path: Path) -> None:
    quotes = QUOTES + "".join(
        f"{900 + k},{30000 + k % 3}.1,2,{30000 + k % 3}.2,3,{MS + 500 * k},{MS + 500 * k + 2}\n" for k in range(40)
    )
    load(tmp_path, put(tmp_path / "BTCUSDT-bookTicker-2023-11-15.csv", quotes))
    document = {
        "feed": {"lake": str(tmp_path / "lake")},
        "venue": [{"name": "binance_usdm", "latency": "5ms", "deposit": {"USDT": 10_000}}],
        "instrument": [{"symbol": "BTCUSDT", "book": "l1", "mark": "mid", "funding": "none"}],
    }
    result = backtest(document, Buyer(), out=tmp_path / "out", html=False, show_progress=False)
    assert len(result.fills) == 1 and result.fills["ticks"][0] % 10 == 2
    warned = [line.text for line in result.banner if line.level == "warn"]
    assert any("BTCUSDT: feed: the files have no receive times" in text for text in warned), warned
