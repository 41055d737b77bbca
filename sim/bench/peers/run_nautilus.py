"""Runs NautilusTrader (1.x) over a feed of book columns; started by ``perpsim bench --peers`` in NautilusTrader's own
environment, where perpsim is not installed. Prints one JSON object.

    run_nautilus.py FEED

FEED holds one .npy a column: ts (ns), kind (0 level change, 1 trade), action (1 add, 2 update, 3 delete, 4 clear),
side (1 bid or buyer, 2 ask or seller), px (ticks of 0.1), qty (lots of 0.001), flags (128 last of a message, 32 of a
snapshot), seq. The clock covers ``engine.run()`` alone, with the data already made into NautilusTrader's objects.
"""

from __future__ import annotations

import datetime
import gc
import json
import resource
import sys
import time
from decimal import Decimal
from pathlib import Path

import nautilus_trader
import numpy as np
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig, RiskEngineConfig
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import BookOrder, OrderBookDelta, OrderBookDeltas, TradeTick
from nautilus_trader.model.enums import (
    AccountType,
    AggressorSide,
    BookAction,
    BookType,
    OmsType,
    OrderSide,
    TimeInForce,
)
from nautilus_trader.model.identifiers import InstrumentId, Symbol, TradeId, Venue
from nautilus_trader.model.instruments import CryptoPerpetual
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy

VENUE = Venue("BENCH")
PERPETUAL = InstrumentId(Symbol("BTCUSDT-PERP"), VENUE)
COLUMNS = ("ts", "kind", "action", "side", "px", "qty", "flags", "seq")
LAST_OF_MESSAGE = 128
ACTIONS = {1: BookAction.ADD, 2: BookAction.UPDATE, 3: BookAction.DELETE}
SIDES = {1: OrderSide.BUY, 2: OrderSide.SELL}
AGGRESSORS = {1: AggressorSide.BUYER, 2: AggressorSide.SELLER}
QUOTE_SIZE = Quantity.from_str("0.010")
POSITION_MAX_LOTS = 1000
NO_RATE_LIMIT = "1000000/00:00:01"


def perpetual() -> CryptoPerpetual:
    tick, lot = Price.from_str("0.1"), Quantity.from_str("0.001")
    return CryptoPerpetual(
        instrument_id=PERPETUAL,
        raw_symbol=PERPETUAL.symbol,
        base_currency=BTC,
        quote_currency=USDT,
        settlement_currency=USDT,
        is_inverse=False,
        price_precision=1,
        price_increment=tick,
        size_precision=3,
        size_increment=lot,
        max_quantity=Quantity.from_str("1000.000"),
        min_quantity=lot,
        max_notional=None,
        min_notional=None,
        max_price=Price.from_str("10000000.0"),
        min_price=tick,
        margin_init=Decimal("0.05"),
        margin_maint=Decimal("0.025"),
        maker_fee=Decimal("0.0002"),
        taker_fee=Decimal("0.0005"),
        ts_event=0,
        ts_init=0,
    )


def objects(feed: Path) -> list:
    """The feed as NautilusTrader's own objects, one a trade and one a message of level changes."""
    tick_raw, lot_raw = Price.from_str("0.1").raw, Quantity.from_str("0.001").raw
    made, message = [], []
    rows = zip(*(np.load(feed / f"{name}.npy").tolist() for name in COLUMNS), strict=True)
    for ts, kind, action, side, ticks, lots, flags, number in rows:
        if kind == 1:
            price, size = Price.from_raw(ticks * tick_raw, 1), Quantity.from_raw(lots * lot_raw, 3)
            made.append(TradeTick(PERPETUAL, price, size, AGGRESSORS[side], TradeId(str(number)), ts, ts))
            continue
        if action == 4:
            message.append(OrderBookDelta.clear(PERPETUAL, number, ts, ts))
        else:
            price, size = Price.from_raw(ticks * tick_raw, 1), Quantity.from_raw(lots * lot_raw, 3)
            level = BookOrder(SIDES[side], price, size, 0)
            message.append(OrderBookDelta(PERPETUAL, ACTIONS[action], level, flags, number, ts, ts))
        if flags & LAST_OF_MESSAGE:
            made.append(OrderBookDeltas(PERPETUAL, message))
            message = []
    return made


class TouchMaker(Strategy):
    """sim/bench/plain_maker.py, TouchMaker."""

    def on_start(self) -> None:
        self.bid = self.ask = None
        self.position_lots = self.sent = self.cancels = self.fills = self.volume_lots = 0
        self.subscribe_order_book_deltas(PERPETUAL, BookType.L2_MBP)
        self.subscribe_trade_ticks(PERPETUAL)
        self.clock.set_timer("requote", interval=datetime.timedelta(milliseconds=100), callback=self.requote)

    def requote(self, event) -> None:
        book = self.cache.order_book(PERPETUAL)
        if book is None or book.best_bid_price() is None or book.best_ask_price() is None:
            return
        for order in (self.bid, self.ask):
            if order is not None and not order.is_closed:
                self.cancels += 1
                self.cancel_order(order)
        self.bid = self.ask = None
        if self.position_lots < POSITION_MAX_LOTS:
            self.bid = self.join(OrderSide.BUY, book.best_bid_price())
        if self.position_lots > -POSITION_MAX_LOTS:
            self.ask = self.join(OrderSide.SELL, book.best_ask_price())

    def join(self, side, price):
        order = self.order_factory.limit(
            PERPETUAL, side, QUOTE_SIZE, price, time_in_force=TimeInForce.GTC, post_only=True
        )
        self.submit_order(order)
        self.sent += 1
        return order

    def on_order_filled(self, event) -> None:
        lots = round(float(event.last_qty) * 1000)
        self.fills += 1
        self.volume_lots += lots
        self.position_lots += lots if event.order_side == OrderSide.BUY else -lots


def main() -> None:
    feed = Path(sys.argv[1])
    engine = BacktestEngine(
        BacktestEngineConfig(
            trader_id="BENCH-001",
            logging=LoggingConfig(bypass_logging=True),
            run_analysis=False,
            risk_engine=RiskEngineConfig(max_order_submit_rate=NO_RATE_LIMIT, max_order_modify_rate=NO_RATE_LIMIT),
        )
    )
    engine.add_venue(
        venue=VENUE,
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        base_currency=None,
        starting_balances=[Money(1_000_000, USDT)],
        default_leverage=Decimal(10),
        book_type=BookType.L2_MBP,
        trade_execution=True,
    )
    engine.add_instrument(perpetual())
    strategy = TouchMaker()
    engine.add_strategy(strategy)
    engine.add_data(objects(feed))
    gc.collect()
    started, cpu = time.perf_counter(), time.process_time()
    engine.run()
    wall_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu
    report = {
        "task": "touch",
        "engine": "nautilus_trader",
        "version": nautilus_trader.__version__,
        "events": len(np.load(feed / "ts.npy", mmap_mode="r")),
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "submits": strategy.sent,
        "cancels_sent": strategy.cancels,
        "fills": strategy.fills,
        "volume_lots": strategy.volume_lots,
        "position_lots": strategy.position_lots,
        "rss_peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }
    print(json.dumps(report))
    engine.dispose()


if __name__ == "__main__":
    main()
