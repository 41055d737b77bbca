"""Market data as the streams write them: one function an event, as documented under "Websocket Market Streams".

``@trade`` is not documented; its form is that of recorded frames. Times are the record's own (``E`` of the gateway,
``T`` of the engine), in milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any, Final

from matching.codes import BUY, SELL
from venues.binance.emulator_market import Bar, Market, closing_ms
from venues.binance.emulator_wire import fixed, money, ms, rate
from venues.market_data import AggTrade, BookTicker, ForceOrder, MarkPrice, Trade

_FAMILY: Final = {False: 1, True: 2}  # st: 1 USD-M, 2 COIN-M


def family(market: Market) -> int:
    return _FAMILY[market.instrument.inverse]


def rows(market: Market, levels: Iterable[tuple[int, int]]) -> list[tuple[str, str]]:
    price, size = market.printer.price, market.printer.size
    return [(price(ticks), size(lots)) for ticks, lots in levels]


def depth(
    market: Market, times: tuple[int, int], ids: tuple[int, int, int], bids: list[Any], asks: list[Any]
) -> dict[str, Any]:
    """``times`` = push and event in ns; ``ids`` = U, u, pu; levels as text already."""
    found: dict[str, Any] = {"e": "depthUpdate", "E": ms(times[0]), "T": ms(times[1]), "s": market.symbol}
    if market.instrument.inverse:
        found["ps"] = market.pair
    found.update(U=ids[0], u=ids[1], pu=ids[2], b=bids, a=asks)
    return found


def snapshot(market: Market, limit: int) -> dict[str, Any]:
    """``GET depth``."""
    book = market.book
    found: dict[str, Any] = {"lastUpdateId": book.last_id, "E": ms(book.push_ns), "T": ms(book.event_ns)}
    if market.instrument.inverse:
        found.update(symbol=market.symbol, pair=market.pair)
    found["bids"] = rows(market, book.top(BUY, limit))
    found["asks"] = rows(market, book.top(SELL, limit))
    return found


def trade(market: Market, record: Trade, push_ns: int) -> dict[str, Any]:
    return {
        "e": "trade",
        "E": ms(push_ns),
        "T": ms(record.ts_event_ns),
        "s": market.symbol,
        "t": record.trade_id,
        "p": market.printer.price(record.ticks),
        "q": market.printer.size(record.lots),
        "X": record.origin or "MARKET",
        "m": record.side == SELL,
    }


def aggregate(market: Market, record: AggTrade, push_ns: int) -> dict[str, Any]:
    size = market.printer.size(record.lots)
    found: dict[str, Any] = {
        "e": "aggTrade",
        "E": ms(push_ns),
        "a": record.agg_id,
        "s": market.symbol,
        "p": market.printer.price(record.ticks),
        "q": size,
        "nq": size,
        "f": record.first_trade_id,
        "l": record.last_trade_id,
        "T": ms(record.ts_event_ns),
        "m": record.side == SELL,
        "st": family(market),
    }
    if market.instrument.inverse:
        found.pop("nq")
    return found


def quote(market: Market, record: BookTicker, push_ns: int) -> dict[str, Any]:
    price, size = market.printer.price, market.printer.size
    found: dict[str, Any] = {"e": "bookTicker", "u": record.update_id, "s": market.symbol}
    if market.instrument.inverse:
        found["ps"] = market.pair
    found.update(
        b=price(record.bid_ticks),
        B=size(record.bid_lots),
        a=price(record.ask_ticks),
        A=size(record.ask_lots),
        T=ms(record.ts_event_ns),
        E=ms(push_ns),
    )
    return found


def mark(market: Market, record: MarkPrice) -> dict[str, Any]:
    mark_price = money(record.mark_e8)
    return {
        "e": "markPriceUpdate",
        "E": ms(record.ts_push_ns or record.ts_event_ns),
        "s": market.symbol,
        "p": mark_price,
        "ap": mark_price,
        "P": mark_price,
        "i": money(record.index_e8),
        "r": "" if record.rate_e12 is None else rate(record.rate_e12),
        "T": ms(record.next_funding_ns),
        "st": family(market),
    }


def forced(market: Market, record: ForceOrder, push_ns: int) -> dict[str, Any]:
    price = money(record.price_e8).rstrip("0").rstrip(".") if record.price_e8 else market.printer.price(record.ticks)
    found: dict[str, Any] = {
        "s": market.symbol,
        "S": "BUY" if record.side == BUY else "SELL",
        "o": "LIMIT",
        "f": "IOC",
        "q": market.printer.size(record.lots),
        "p": price,
        "ap": price,
        "X": "FILLED" if record.filled_lots >= record.lots else "PARTIALLY_FILLED",
        "l": market.printer.size(record.filled_lots),
        "z": market.printer.size(record.filled_lots),
        "T": ms(record.ts_event_ns),
    }
    if market.instrument.inverse:
        found["ps"] = market.pair
    return {"e": "forceOrder", "E": ms(push_ns), "o": found, "st": family(market)}


def kline(market: Market, interval: str, bar: Bar, now_ms: int, name: str = "kline") -> dict[str, Any]:
    printer = market.printer
    end_ms = closing_ms(interval, bar.open_ms)
    found = {
        "t": bar.open_ms,
        "T": end_ms,
        "s": market.symbol,
        "i": interval,
        "f": bar.first_id,
        "L": bar.last_id,
        "o": printer.price(bar.open),
        "c": printer.price(bar.close),
        "h": printer.price(bar.high),
        "l": printer.price(bar.low),
        "v": printer.size(bar.lots),
        "n": bar.count,
        "x": now_ms > end_ms,
        "q": printer.quote(bar.value),
        "V": printer.size(bar.taker_lots),
        "Q": printer.quote(bar.taker_value),
        "B": "0",
    }
    if name == "kline":
        return {"e": name, "E": now_ms, "s": market.symbol, "k": found}
    del found["s"]
    return {"e": name, "E": now_ms, "ps": market.pair, "ct": "PERPETUAL", "k": found}


def kline_row(market: Market, interval: str, bar: Bar) -> list[Any]:
    """One row of ``GET klines``."""
    printer = market.printer
    return [
        bar.open_ms,
        printer.price(bar.open),
        printer.price(bar.high),
        printer.price(bar.low),
        printer.price(bar.close),
        printer.size(bar.lots),
        closing_ms(interval, bar.open_ms),
        printer.quote(bar.value),
        bar.count,
        printer.size(bar.taker_lots),
        printer.quote(bar.taker_value),
        "0",
    ]


def price_row(interval: str, bar: Bar) -> list[Any]:
    """One row of ``markPriceKlines`` or ``indexPriceKlines``: prices at 1e-8, the rest is to be ignored."""
    prices = [money(value) for value in (bar.open, bar.high, bar.low, bar.close)]
    return [bar.open_ms, *prices, "0", closing_ms(interval, bar.open_ms), "0", 60, "0", "0", "0"]


def change(bar: Bar) -> tuple[int, str]:
    """Change of the price in ticks, and in percent with three decimals."""
    moved = bar.close - bar.open
    return moved, fixed(Fraction(moved * 100, bar.open) if bar.open else 0, 0, 3)


def mini(market: Market, bar: Bar, now_ms: int) -> dict[str, Any]:
    printer = market.printer
    found = {
        "e": "24hrMiniTicker",
        "E": now_ms,
        "s": market.symbol,
        "c": printer.price(bar.close),
        "o": printer.price(bar.open),
        "h": printer.price(bar.high),
        "l": printer.price(bar.low),
        "v": printer.size(bar.lots),
        "q": printer.quote(bar.value),
        "st": family(market),
    }
    if market.instrument.inverse:
        found["ps"] = market.pair
    return found


def ticker(market: Market, bar: Bar, now_ms: int) -> dict[str, Any]:
    printer = market.printer
    moved, percent = change(bar)
    last = market.last
    found = {
        "e": "24hrTicker",
        "E": now_ms,
        "s": market.symbol,
        "p": _signed(market, moved),
        "P": percent,
        "w": printer.average(bar.value, bar.lots, printer.price_decimals),
        "c": printer.price(bar.close),
        "Q": printer.size(last.lots if last is not None else 0),
        "o": printer.price(bar.open),
        "h": printer.price(bar.high),
        "l": printer.price(bar.low),
        "v": printer.size(bar.lots),
        "q": printer.quote(bar.value),
        "O": bar.open_ms,
        "C": now_ms,
        "F": bar.first_id,
        "L": bar.last_id,
        "n": bar.count,
        "st": family(market),
    }
    if market.instrument.inverse:
        found["ps"] = market.pair
    return found


def day_row(market: Market, bar: Bar, now_ms: int) -> dict[str, Any]:
    """``GET ticker/24hr``."""
    printer = market.printer
    moved, percent = change(bar)
    last = market.last
    found: dict[str, Any] = {"symbol": market.symbol}
    if market.instrument.inverse:
        found["pair"] = market.pair
    found.update(
        priceChange=_signed(market, moved),
        priceChangePercent=percent,
        weightedAvgPrice=printer.average(bar.value, bar.lots, printer.price_decimals),
        lastPrice=printer.price(bar.close),
        lastQty=printer.size(last.lots if last is not None else 0),
        openPrice=printer.price(bar.open),
        highPrice=printer.price(bar.high),
        lowPrice=printer.price(bar.low),
        volume=printer.size(bar.lots),
    )
    found["baseVolume" if market.instrument.inverse else "quoteVolume"] = printer.quote(bar.value)
    found.update(openTime=bar.open_ms, closeTime=now_ms, firstId=bar.first_id, lastId=bar.last_id, count=bar.count)
    return found


def _signed(market: Market, ticks: int) -> str:
    return f"-{market.printer.price(-ticks)}" if ticks < 0 else market.printer.price(ticks)


def best_row(market: Market) -> dict[str, Any]:
    """``GET ticker/bookTicker``."""
    bid, bid_lots, ask, ask_lots, time_ms, update_id = market.best()
    printer = market.printer
    found: dict[str, Any] = {"lastUpdateId": update_id, "symbol": market.symbol}
    if market.instrument.inverse:
        found["pair"] = market.pair
    found.update(
        bidPrice=printer.price(bid),
        bidQty=printer.size(bid_lots),
        askPrice=printer.price(ask),
        askQty=printer.size(ask_lots),
        time=time_ms,
    )
    return found
