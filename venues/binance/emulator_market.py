"""What has been published of one symbol so far: its book, prints, bars, marks and funding. All of it bounded.

The book follows the stream exactly: a REST snapshot's ``lastUpdateId`` is the ``u`` of the last diff in it, so that a
client's join works whatever speed it follows. A diff whose chain is broken makes the book unusable until the next
snapshot of the feed; nothing is made up in between. Bars of a minute are kept for a week and put together into longer
ones when asked; the last 24 hours are those of the minutes at hand.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import Final, NamedTuple

from matching.codes import BUY, SELL
from venues.binance.emulator_wire import Printer, ms
from venues.instruments import Instrument
from venues.market_data import AggTrade, BookTicker, DepthDiff, DepthSnapshot, MarkPrice, Trade

MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
BARS_MOST: Final = 7 * 24 * 60
PRINTS_MOST: Final = 2000
FUNDING_MOST: Final = 1000
WEEK_MS: Final = 7 * DAY_MS
_FIRST_MONDAY_MS: Final = 4 * DAY_MS  # 1970-01-05: weeks begin on Mondays

INTERVALS_MS: Final[dict[str, int]] = {
    "1m": MINUTE_MS, "3m": 3 * MINUTE_MS, "5m": 5 * MINUTE_MS, "15m": 15 * MINUTE_MS, "30m": 30 * MINUTE_MS,
    "1h": 60 * MINUTE_MS, "2h": 120 * MINUTE_MS, "4h": 240 * MINUTE_MS, "6h": 360 * MINUTE_MS, "8h": 480 * MINUTE_MS,
    "12h": 720 * MINUTE_MS, "1d": DAY_MS, "3d": 3 * DAY_MS, "1w": WEEK_MS, "1M": 0,
}  # fmt: skip


class Levels(NamedTuple):
    """Changed levels of the book, (ticks, lots), lots 0 for those that are gone."""

    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]


class Book:
    """Absolute quantities by price."""

    def __init__(self) -> None:
        self.sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.is_valid = False
        self.last_id = 0
        self.event_ns = 0
        self.push_ns = 0

    def apply(self, diff: DepthDiff) -> None:
        if not self.is_valid or diff.last_id <= self.last_id:
            return
        if diff.previous_id > self.last_id:
            self.is_valid = False
            return
        for side, ticks, lots in ((0, diff.bid_ticks, diff.bid_lots), (1, diff.ask_ticks, diff.ask_lots)):
            levels = self.sides[side]
            for price, size in zip(ticks, lots, strict=True):
                if size:
                    levels[price] = size
                else:
                    levels.pop(price, None)
        self._stamp(diff)

    def replace(self, snapshot: DepthSnapshot) -> Levels:
        """Take a snapshot, unless it is older than the book; what it changes."""
        if self.is_valid and snapshot.last_id < self.last_id:
            return Levels([], [])
        new = (
            dict(zip(snapshot.bid_ticks, snapshot.bid_lots, strict=True)),
            dict(zip(snapshot.ask_ticks, snapshot.ask_lots, strict=True)),
        )
        changed = [
            [(price, 0) for price in old if price not in now]
            + [(price, lots) for price, lots in now.items() if old.get(price) != lots]
            for old, now in zip(self.sides, new, strict=True)
        ]
        self.sides = new
        self.is_valid = True
        self._stamp(snapshot)
        return Levels(changed[0], changed[1])

    def _stamp(self, record: DepthDiff | DepthSnapshot) -> None:
        self.last_id = record.last_id
        self.event_ns = record.ts_event_ns
        self.push_ns = record.ts_push_ns or record.ts_event_ns

    def top(self, side: int, count: int) -> list[tuple[int, int]]:
        """The best levels of a side, best first."""
        levels = self.sides[side]
        if side == BUY:
            prices = heapq.nlargest(count, levels) if count < 100 else sorted(levels, reverse=True)[:count]
        else:
            prices = heapq.nsmallest(count, levels) if count < 100 else sorted(levels)[:count]
        return [(price, levels[price]) for price in prices]

    def best(self, side: int) -> tuple[int, int]:
        """(ticks, lots) of the best level; (0, 0) for an empty side."""
        levels = self.sides[side]
        if not levels:
            return 0, 0
        price = max(levels) if side == BUY else min(levels)
        return price, levels[price]


class Print(NamedTuple):
    """One trade, or one aggregate of trades ``first_id`` to ``trade_id``."""

    trade_id: int
    first_id: int
    time_ms: int
    ticks: int
    lots: int
    side: int


class Bar:
    """Open, high, low, close in some integer unit; volumes in lots and (1e-8) value; ``taker``: of buying takers."""

    __slots__ = (
        "close", "count", "first_id", "high", "last_id", "lots", "low", "open", "open_ms", "taker_lots", "taker_value",
        "value",
    )  # fmt: skip

    def __init__(self, open_ms: int, price: int) -> None:
        self.open_ms = open_ms
        self.open = self.high = self.low = self.close = price
        self.lots = self.taker_lots = 0
        self.value = self.taker_value = Fraction(0)
        self.count = 0
        self.first_id = self.last_id = -1

    def price(self, price: int) -> None:
        self.high, self.low, self.close = max(self.high, price), min(self.low, price), price

    def join(self, other: Bar) -> None:
        """Take in the bar that follows."""
        self.high, self.low, self.close = max(self.high, other.high), min(self.low, other.low), other.close
        self.lots += other.lots
        self.taker_lots += other.taker_lots
        self.value += other.value
        self.taker_value += other.taker_value
        self.count += other.count
        self.first_id = other.first_id if self.first_id < 0 else self.first_id
        self.last_id = other.last_id if other.last_id >= 0 else self.last_id

    def copy(self, open_ms: int) -> Bar:
        one = Bar(open_ms, self.open)
        one.join(self)
        one.open = self.open
        return one


def opening_ms(interval: str, time_ms: int) -> int:
    """When the bar of an interval that holds an instant begins."""
    if interval == "1M":
        return _month_ms(time_ms)
    length = INTERVALS_MS[interval]
    if interval == "1w":
        return time_ms - (time_ms - _FIRST_MONDAY_MS) % length
    return time_ms - time_ms % length


def closing_ms(interval: str, open_ms: int) -> int:
    """The last millisecond of a bar."""
    if interval == "1M":
        return _month_ms(open_ms + 31 * DAY_MS) - 1
    return open_ms + INTERVALS_MS[interval] - 1


def _month_ms(time_ms: int) -> int:
    """The first instant of a month (days to dates and back: the civil calendar by eras of 400 years)."""
    days = time_ms // DAY_MS + 719_468
    day = days % 146_097
    year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    left = day - (365 * year + year // 4 - year // 100)
    month = (5 * left + 2) // 153
    first = days - (left - (153 * month + 2) // 5)
    return (first - 719_468) * DAY_MS


class Bars:
    """Bars of a minute, the last week of them."""

    def __init__(self) -> None:
        self._bars: deque[Bar] = deque(maxlen=BARS_MOST)

    def at(self, time_ms: int, price: int) -> Bar:
        """The bar of an instant, with the price taken in."""
        open_ms = time_ms - time_ms % MINUTE_MS
        if not self._bars or self._bars[-1].open_ms < open_ms:
            self._bars.append(Bar(open_ms, price))
        last = self._bars[-1]
        last.price(price)
        return last

    def __len__(self) -> int:
        return len(self._bars)

    def since(self, start_ms: int) -> Iterator[Bar]:
        return (bar for bar in self._bars if bar.open_ms >= start_ms)

    def of(self, interval: str, start_ms: int, end_ms: int) -> list[Bar]:
        """Bars of an interval that open within start and end."""
        found: list[Bar] = []
        for bar in self._bars:
            open_ms = opening_ms(interval, bar.open_ms)
            if not start_ms <= open_ms <= end_ms:
                continue
            if found and found[-1].open_ms == open_ms:
                found[-1].join(bar)
            else:
                found.append(bar.copy(open_ms))
        return found

    def current(self, interval: str) -> Bar | None:
        """The bar of an interval that holds the last minute."""
        if not self._bars:
            return None
        open_ms = opening_ms(interval, self._bars[-1].open_ms)
        found = self.of(interval, open_ms, open_ms)
        return found[-1] if found else None


class Charge(NamedTuple):
    """A funding rate that was charged at a boundary."""

    time_ms: int
    rate_e12: int
    mark_e8: int


class Market:
    """All of one symbol."""

    def __init__(self, index: int, instrument: Instrument) -> None:
        self.index = index
        self.instrument = instrument
        self.symbol = instrument.symbol
        self.pair = instrument.base + instrument.quote
        self.printer = Printer(instrument)
        self.book = Book()
        self.quote: BookTicker | None = None
        self.mark: MarkPrice | None = None
        self.prints: deque[Print] = deque(maxlen=PRINTS_MOST)
        self.aggregates: deque[tuple[int, Print]] = deque(maxlen=PRINTS_MOST)  # (aggregate's id, its trades)
        self.bars = Bars()
        self.mark_bars = Bars()
        self.index_bars = Bars()
        self.funding: deque[Charge] = deque(maxlen=FUNDING_MOST)
        self.has_quotes = False
        self.has_trades = False

    @property
    def last(self) -> Print | None:
        return self.prints[-1] if self.prints else None

    def best(self) -> tuple[int, int, int, int, int, int]:
        """Bid ticks and lots, ask ticks and lots, time (ms) and update id of the best quotes."""
        quote = self.quote
        if quote is not None and quote.update_id >= self.book.last_id:
            return (
                quote.bid_ticks, quote.bid_lots, quote.ask_ticks, quote.ask_lots, ms(quote.ts_event_ns),
                quote.update_id,
            )  # fmt: skip
        return (*self.book.best(BUY), *self.book.best(SELL), ms(self.book.event_ns), self.book.last_id)

    def take_trade(self, trade: Trade) -> Print:
        self.has_trades = True
        one = Print(trade.trade_id, trade.trade_id, ms(trade.ts_event_ns), trade.ticks, trade.lots, trade.side)
        self._print(one)
        return one

    def take_aggregate(self, trade: AggTrade) -> Print:
        one = Print(
            trade.last_trade_id, trade.first_trade_id, ms(trade.ts_event_ns), trade.ticks, trade.lots, trade.side
        )
        if not self.has_trades:
            self._print(one)
        return one

    def _print(self, one: Print) -> None:
        self.prints.append(one)
        value = self.instrument.value_e8(one.ticks, one.lots)
        bar = self.bars.at(one.time_ms, one.ticks)
        bar.lots += one.lots
        bar.value += value
        bar.count += one.trade_id - one.first_id + 1
        if bar.first_id < 0:
            bar.first_id = one.first_id
        bar.last_id = one.trade_id
        if one.side == BUY:
            bar.taker_lots += one.lots
            bar.taker_value += value

    def take_mark(self, mark: MarkPrice) -> None:
        before = self.mark
        if before is not None and before.rate_e12 is not None and 0 < before.next_funding_ns < mark.next_funding_ns:
            self.charged(Charge(ms(before.next_funding_ns), before.rate_e12, mark.mark_e8))
        self.mark = mark
        time_ms = ms(mark.ts_event_ns)
        self.mark_bars.at(time_ms, mark.mark_e8)
        if mark.index_e8:
            self.index_bars.at(time_ms, mark.index_e8)

    def charged(self, charge: Charge) -> None:
        """A boundary has been charged, told by an account's payment or by the mark stream, whichever is first."""
        if not self.funding or self.funding[-1].time_ms < charge.time_ms:
            self.funding.append(charge)

    def day(self, now_ms: int) -> Bar | None:
        """The last 24 hours as one bar."""
        found: Bar | None = None
        for bar in self.bars.since(now_ms - DAY_MS):
            if found is None:
                found = bar.copy(bar.open_ms)
            else:
                found.join(bar)
        return found
