"""What Hyperliquid says of its markets: books, prints, candles, contexts of the coins, funding; from the served feed.

Theory of operation. Every record of the feed passes through ``Market.take``, which keeps what questions need: the
last prints, candles of a minute (others are made of them), the day's volume, the rates that were charged. Books and
marks are asked of the engine, which has them as clients do. All is as of the feed's beginning: the emulator has no
past to tell, so candles begin there and ``prevDayPx`` is the first price seen until a day has passed.

Numbers of orders at a level (``n``) are not in any feed: always 1.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, Final

from matching.brackets import Brackets
from matching.codes import BUY, E8
from venues.emulation import BookState, VenueEngine
from venues.hyperliquid.emulator_numbers import Writer, ms, plain, price_e8, rate, rounded
from venues.market_data import AggTrade, BookTicker, DepthDiff, DepthSnapshot, MarkPrice, Trade

LEVELS: Final = 20
FAST_LEVELS: Final = 5
_MINUTE_MS: Final = 60_000
_DAY_MS: Final = 86_400_000
_CANDLES_KEPT: Final = 20_000  # minutes; the venue shows 5000 of each interval
CANDLES_SHOWN: Final = 5000
_PRINTS_KEPT: Final = 500
RECENT_PRINTS: Final = 30
_RATES_KEPT: Final = 10_000
_IMPACT_E8: Final = {"BTC": 20_000 * E8, "ETH": 20_000 * E8}
_IMPACT_OTHERS_E8: Final = 6_000 * E8
_NO_HASH: Final = "0x" + "0" * 64
_NO_USER: Final = "0x" + "0" * 40
INTERVALS: Final = {
    "1m": 1, "3m": 3, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "2h": 120, "4h": 240, "8h": 480, "12h": 720,
    "1d": 1440, "3d": 4320, "1w": 10_080, "1M": 0,
}  # fmt: skip
_MONDAY_MS: Final = 4 * _DAY_MS  # 1970-01-05

Dated = DepthDiff | DepthSnapshot | Trade | AggTrade | BookTicker | MarkPrice
Levels = list[tuple[int, int]]


def candle_span(interval: str, time_ms: int) -> tuple[int, int]:
    """(first, last) millisecond of the candle of this time."""
    minutes = INTERVALS[interval]
    if not minutes:
        day = datetime.fromtimestamp(time_ms // 1000, UTC)
        first = datetime(day.year, day.month, 1, tzinfo=UTC)
        after = datetime(day.year + day.month // 12, day.month % 12 + 1, 1, tzinfo=UTC)
        return int(first.timestamp()) * 1000, int(after.timestamp()) * 1000 - 1
    offset = _MONDAY_MS if interval == "1w" else 0
    start = (time_ms - offset) // (minutes * _MINUTE_MS) * minutes * _MINUTE_MS + offset
    return start, start + minutes * _MINUTE_MS - 1


class Candle:
    """Prices in ticks, volume in lots."""

    __slots__ = ("close", "count", "first_ms", "high", "last_ms", "lots", "low", "open", "value")

    def __init__(self, first_ms: int, last_ms: int, ticks: int) -> None:
        self.first_ms, self.last_ms = first_ms, last_ms
        self.open = self.high = self.low = self.close = ticks
        self.lots = self.count = self.value = 0

    def add(self, other: Candle) -> None:
        """Take a later candle in."""
        self.high, self.low, self.close = max(self.high, other.high), min(self.low, other.low), other.close
        self.lots, self.count, self.value = (
            self.lots + other.lots, self.count + other.count, self.value + other.value,
        )  # fmt: skip


class Market:
    """One coin."""

    def __init__(self, index: int, writer: Writer, engine: VenueEngine) -> None:
        self.index, self.writer, self._engine = index, writer, engine
        self.coin = writer.instrument.symbol
        self.minutes: deque[Candle] = deque(maxlen=_CANDLES_KEPT)
        self.prints: deque[Trade] = deque(maxlen=_PRINTS_KEPT)
        self.rates: deque[tuple[int, int, int]] = deque(maxlen=_RATES_KEPT)  # (ms, rate, premium)
        self.mark: MarkPrice | None = None
        self.last_ms = 0

    # -- from the feed

    def take(self, record: Dated, now_ns: int) -> None:
        """Keep what of the record will be asked for."""
        if isinstance(record, Trade):
            self._trade(record, now_ns)
        elif isinstance(record, MarkPrice):
            self._mark(record)
        self.last_ms = max(self.last_ms, ms(record.ts_event_ns))

    def _trade(self, trade: Trade, now_ns: int) -> None:
        self.prints.append(trade)
        first, last = candle_span("1m", ms(trade.ts_event_ns or now_ns))
        if not self.minutes or self.minutes[-1].first_ms < first:
            self.minutes.append(Candle(first, last, trade.ticks))
        candle = self.minutes[-1]
        candle.high, candle.low = max(candle.high, trade.ticks), min(candle.low, trade.ticks)
        candle.close = trade.ticks
        candle.lots += trade.lots
        candle.value += trade.ticks * trade.lots
        candle.count += 1

    def _mark(self, record: MarkPrice) -> None:
        old = self.mark
        if old is not None and old.next_funding_ns and record.next_funding_ns > old.next_funding_ns:
            self.rates.append((ms(old.next_funding_ns), old.rate_e12 or 0, self._premium_e12(old)))
        self.mark = record

    def _premium_e12(self, mark: MarkPrice) -> int:
        """The mark's distance from the index, with ten decimals."""
        return round(Fraction((mark.mark_e8 - mark.index_e8) * 10**10, mark.index_e8)) * 100 if mark.index_e8 else 0

    # -- books

    def book(self, depth: int = LEVELS) -> BookState:
        """The book as clients have it; its time never goes back."""
        return self._engine.book(self.index, depth)

    def levels(self, rows: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
        """Rows of (ticks, lots) as the wire has them."""
        price, size = self.writer.price, self.writer.size
        return [{"px": price(ticks), "sz": size(lots), "n": 1} for ticks, lots in rows]

    def book_data(self, digits: int | None = None, mantissa: int | None = None, depth: int = LEVELS) -> dict[str, Any]:
        """As ``l2Book``, prices merged to fewer significant digits where that is asked."""
        if digits is None:
            state = self.book(depth)
            sides: tuple[Levels, Levels] = (state.bids, state.asks)
        else:
            state = self.book(1000)
            sides = (
                merged(self.writer, state.bids, digits, mantissa, True)[:depth],
                merged(self.writer, state.asks, digits, mantissa, False)[:depth],
            )
        time_ms = ms(state.ts_event_ns) or ms(self._engine.now_ns)
        return {"coin": self.coin, "time": time_ms, "levels": [self.levels(side) for side in sides]}

    def mid(self) -> str | None:
        """The middle of the book; None when a side is empty."""
        state = self.book(1)
        if not state.bids or not state.asks:
            return None
        units = (state.bids[0][0] + state.asks[0][0]) * self.writer.tick_units * 5
        return plain(units, self.writer.instrument.price_decimals + 1)

    def bbo(self) -> str:
        """Best bid and ask as the refusal of a post-only order shows them."""
        state = self.book(1)
        bid = self.writer.price(state.bids[0][0]) if state.bids else ""
        ask = self.writer.price(state.asks[0][0]) if state.asks else ""
        return f"{bid.removesuffix('.0')}@{ask.removesuffix('.0')}"

    # -- prints and candles

    def print_data(self, trade: Trade) -> dict[str, Any]:
        """A trade as ``trades`` and ``recentTrades``; who met whom is not in a feed."""
        return {
            "coin": self.coin,
            "side": "B" if trade.side == BUY else "A",
            "px": self.writer.price(trade.ticks),
            "sz": self.writer.size(trade.lots),
            "time": ms(trade.ts_event_ns),
            "hash": _NO_HASH,
            "tid": trade.trade_id,
            "users": [_NO_USER, _NO_USER],
        }

    def candle_data(self, candle: Candle, interval: str) -> dict[str, Any]:
        """As ``candle`` and ``candleSnapshot``."""
        price = self.writer.price
        return {
            "t": candle.first_ms,
            "T": candle.last_ms,
            "s": self.coin,
            "i": interval,
            "o": price(candle.open),
            "c": price(candle.close),
            "h": price(candle.high),
            "l": price(candle.low),
            "v": self.writer.size(candle.lots),
            "n": candle.count,
        }

    def candles(self, interval: str, from_ms: int, to_ms: int) -> list[Candle]:
        """Those that touch the time, oldest first, at most 5000."""
        found: list[Candle] = []
        for minute in self.minutes:
            first, last = candle_span(interval, minute.first_ms)
            if last < from_ms or first > to_ms:
                continue
            if not found or found[-1].first_ms != first:
                found.append(Candle(first, last, minute.open))
            found[-1].add(minute)
        return found[-CANDLES_SHOWN:]

    def latest_candle(self, interval: str) -> Candle | None:
        """The candle of the last print."""
        if not self.minutes:
            return None
        first, last = candle_span(interval, self.minutes[-1].first_ms)
        found: Candle | None = None
        for minute in reversed(self.minutes):
            if minute.first_ms < first:
                break
            if found is None:
                found = Candle(first, last, minute.open)
                found.add(minute)
            else:
                earlier = Candle(first, last, minute.open)
                earlier.add(minute)
                earlier.add(found)
                found = earlier
        return found

    # -- the coin's context

    def context(self) -> dict[str, Any]:
        """As ``activeAssetCtx`` and ``metaAndAssetCtxs``."""
        state = self._engine.market(self.index)
        now_ms = max(ms(self._engine.now_ns), self.last_ms)
        day_lots, day_value, before = self._day(now_ms)
        impact = self._impacts()
        mid = self.mid()
        premium = None
        mark_e8, index_e8, rate_e12 = state.mark_e8, state.index_e8, state.rate_e12
        if self.mark is not None:  # what clients were told last
            mark_e8, index_e8 = self.mark.mark_e8, self.mark.index_e8 or index_e8
            rate_e12 = rate_e12 if self.mark.rate_e12 is None else self.mark.rate_e12
        if impact is not None and index_e8:
            over, under = impact[0] - index_e8, index_e8 - impact[1]
            premium = rounded(((over if over > 0 else 0) - (under if under > 0 else 0)) / Fraction(index_e8), 10)
        writer = self.writer
        instrument = writer.instrument
        return {
            "funding": rate(rate_e12),
            "openInterest": "0.0",
            "prevDayPx": writer.price(before),
            "dayNtlVlm": rounded(Fraction(day_value * instrument.value_num, instrument.value_den * E8), 8),
            "premium": premium,
            "oraclePx": price_e8(index_e8 or mark_e8),
            "markPx": price_e8(mark_e8),
            "midPx": mid,
            "impactPxs": None if impact is None else [rounded(px / E8, instrument.price_decimals) for px in impact],
            "dayBaseVlm": writer.size(day_lots),
        }

    def _day(self, now_ms: int) -> tuple[int, int, int]:
        """Lots and ticks x lots of the last day, and the price before it (or the first one seen)."""
        lots = value = first = 0
        for minute in reversed(self.minutes):
            if minute.last_ms <= now_ms - _DAY_MS:
                return lots, value, minute.close
            first = minute.open
            lots, value = lots + minute.lots, value + minute.value
        return lots, value, first

    def _impacts(self) -> tuple[Fraction, Fraction] | None:
        """Mean prices at 1e-8 at which the impact notional would sell and buy."""
        state = self.book(LEVELS)
        wanted_e8 = _IMPACT_E8.get(self.coin, _IMPACT_OTHERS_E8)
        found = []
        for side in (state.bids, state.asks):
            size, value = Fraction(0), Fraction(0)
            for ticks, lots in side:
                level_e8 = self.writer.instrument.value_e8(ticks, lots)
                share = min(Fraction(1), (wanted_e8 - value) / level_e8) if level_e8 else Fraction(0)
                value += level_e8 * share
                size += share * lots
                if share < 1:
                    break
            if not size:
                return None
            lot = Fraction(self.writer.instrument.lot_num, self.writer.instrument.lot_den)
            found.append(value / (size * lot))
        return found[0], found[1]

    # -- metadata

    def universe(self) -> dict[str, Any]:
        """The coin's row of ``meta``."""
        brackets = self._engine.brackets(self.index)
        most = max(brackets.max_leverage) if brackets is not None else 1
        return {
            "szDecimals": self.writer.instrument.size_decimals,
            "name": self.coin,
            "maxLeverage": most,
            "marginTableId": most if brackets is None or len(brackets.floor_e8) == 1 else 51 + self.index,
        }

    def margin_table(self) -> list[Any] | None:
        """The coin's margin table, if it has more tiers than one."""
        brackets = self._engine.brackets(self.index)
        if brackets is None or len(brackets.floor_e8) == 1:
            return None
        return [51 + self.index, {"description": f"tiers of {self.coin}", "marginTiers": tiers(brackets)}]


def tiers(brackets: Brackets) -> list[dict[str, Any]]:
    """Brackets as the venue's margin tiers."""
    return [
        {"lowerBound": plain(floor, 8), "maxLeverage": leverage}
        for floor, leverage in zip(brackets.floor_e8, brackets.max_leverage, strict=True)
    ]


def merged(writer: Writer, rows: Levels, digits: int, mantissa: int | None, down: bool) -> Levels:
    """Levels put together at prices of so many significant digits (of the best price), in steps of ``mantissa``."""
    if not rows:
        return []
    magnitude = len(str(rows[0][0])) - digits
    step = max(1, 10**magnitude if magnitude > 0 else 1) * (mantissa or 1)
    found: Levels = []
    for ticks, lots in rows:
        price = ticks // step * step if down else -(-ticks // step) * step
        if found and found[-1][0] == price:
            found[-1] = (price, found[-1][1] + lots)
        else:
            found.append((price, lots))
    return found
