"""Decoder of Binance futures market data, USD-M and COIN-M: bytes in, typed records of exact integers out.

Theory of operation. ``BinanceCodec.decode`` takes one captured frame, as a websocket delivers it or a REST depth
request answers, and returns one record. Frames come raw (``{"e":"trade",...}``), wrapped by a combined stream
(``{"stream":...,"data":{...}}``), as a REST snapshot (``{"lastUpdateId":...}``), or, from the all-market streams, as
an array (``Batch``). The ordinary spellings take a short path: one typed msgspec pass, then the compiled readers of the
instrument's numbers. A frame which that path refuses goes through the general path, which finds out what it is, or says
what is wrong with it.

Promise (held by a fuzz test): any bytes either decode to a record or raise ``VenueError``, and nothing else.

What is well formed but no input of a simulation (klines, tickers, partial books, replies to control frames, symbols
nobody asked for) is ``Other``: counted by importers, never an error. Venue times are milliseconds; records carry
nanoseconds, ``ts_event_ns`` from the engine (``T``) and ``ts_push_ns`` from the gateway (``E``).

Sources: developers.binance.com, derivatives / usds-margined-futures and coin-margined-futures, "Websocket Market
Streams" (depth, aggTrade, bookTicker, markPrice, forceOrder) and "Order Book". ``@trade`` and its field ``X`` are not
documented; their form is that of captured frames.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

import msgspec

from matching.codes import BUY, SELL
from venues.binance.reasons import ERROR_CODES
from venues.errors import InstrumentError, VenueError
from venues.instruments import Instrument, rate_e12_from_str
from venues.market_data import (
    AggTrade,
    Batch,
    BookTicker,
    DepthDiff,
    DepthSnapshot,
    ForceOrder,
    MarkPrice,
    Other,
    Record,
    Single,
    Trade,
)
from venues.wire import MARKET, MS, UNDECODABLE, Id, Ms, WireCodec

ON_BOOK: Final = MARKET  # trade type X of prints on the book; others (INSURANCE_FUND, ADL, NA) touched no order in it


# -- the wire, as documented (field names on the right are the venue's)


class _Depth(
    msgspec.Struct,
    gc=False,
    tag_field="e",
    tag="depthUpdate",
    rename={
        "push_ms": "E",
        "event_ms": "T",
        "symbol": "s",
        "first_id": "U",
        "last_id": "u",
        "previous_id": "pu",
        "bids": "b",
        "asks": "a",
    },
):
    push_ms: Ms
    event_ms: Ms
    symbol: str
    first_id: Id
    last_id: Id
    previous_id: Id
    bids: msgspec.Raw
    asks: msgspec.Raw


class _Trade(
    msgspec.Struct,
    gc=False,
    tag_field="e",
    tag="trade",
    rename={
        "push_ms": "E",
        "event_ms": "T",
        "symbol": "s",
        "trade_id": "t",
        "price": "p",
        "quantity": "q",
        "buyer_is_maker": "m",
        "origin": "X",
    },
):
    push_ms: Ms
    event_ms: Ms
    symbol: str
    trade_id: Id
    price: str
    quantity: str
    buyer_is_maker: bool
    origin: str = ON_BOOK


class _AggTrade(
    msgspec.Struct,
    gc=False,
    tag_field="e",
    tag="aggTrade",
    rename={
        "push_ms": "E",
        "event_ms": "T",
        "symbol": "s",
        "agg_id": "a",
        "first_trade_id": "f",
        "last_trade_id": "l",
        "price": "p",
        "quantity": "q",
        "buyer_is_maker": "m",
    },
):
    push_ms: Ms
    event_ms: Ms
    symbol: str
    agg_id: Id
    first_trade_id: Id
    last_trade_id: Id
    price: str
    quantity: str
    buyer_is_maker: bool


class _BookTicker(
    msgspec.Struct,
    gc=False,
    tag_field="e",
    tag="bookTicker",
    rename={
        "push_ms": "E",
        "event_ms": "T",
        "symbol": "s",
        "update_id": "u",
        "bid": "b",
        "bid_quantity": "B",
        "ask": "a",
        "ask_quantity": "A",
    },
):
    push_ms: Ms
    event_ms: Ms
    symbol: str
    update_id: Id
    bid: str
    bid_quantity: str
    ask: str
    ask_quantity: str


class _MarkPrice(
    msgspec.Struct,
    gc=False,
    tag_field="e",
    tag="markPriceUpdate",
    rename={
        "push_ms": "E",
        "symbol": "s",
        "mark": "p",
        "index": "i",
        "rate": "r",
        "next_funding_ms": "T",
    },
):
    push_ms: Ms
    symbol: str
    mark: str
    rate: str
    next_funding_ms: Ms
    index: str = ""


class _LiquidationOrder(
    msgspec.Struct,
    gc=False,
    rename={
        "symbol": "s",
        "side": "S",
        "price": "p",
        "quantity": "q",
        "filled": "z",
        "event_ms": "T",
    },
):
    symbol: str
    side: str
    price: str
    quantity: str
    filled: str
    event_ms: Ms


class _ForceOrder(msgspec.Struct, gc=False, tag_field="e", tag="forceOrder", rename={"push_ms": "E", "order": "o"}):
    push_ms: Ms
    order: _LiquidationOrder


class _Snapshot(msgspec.Struct, gc=False, rename={"last_id": "lastUpdateId", "push_ms": "E", "event_ms": "T"}):
    last_id: Id
    push_ms: Ms
    event_ms: Ms
    bids: msgspec.Raw
    asks: msgspec.Raw
    symbol: str = ""


_Event: TypeAlias = _Depth | _Trade | _AggTrade | _BookTicker | _MarkPrice | _ForceOrder


class _Combined(msgspec.Struct, gc=False):
    stream: str
    data: _Event


_EVENTS: Final = ("depthUpdate", "trade", "aggTrade", "bookTicker", "markPriceUpdate", "forceOrder")
_OTHER_BOOK: Final = re.compile(r"@(depth(5|10|20)|rpiDepth)(@|$)")  # say depthUpdate but are no diffs of the book


class BinanceCodec(WireCodec):
    """Decodes frames of the given instruments (all of one venue).

    A REST snapshot of USD-M names no symbol; it belongs to ``decode``'s argument, or to the only instrument there is.
    """

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        super().__init__(instruments)
        self._combined = msgspec.json.Decoder(_Combined)
        self._event = msgspec.json.Decoder(_Event)
        self._snapshot_decoder = msgspec.json.Decoder(_Snapshot)
        self._is_other_book: dict[str, bool] = {}
        self._handlers: dict[type, Callable[[Any], Single]] = {
            _Depth: self._depth,
            _Trade: self._trade,
            _AggTrade: self._agg_trade,
            _BookTicker: self._book_ticker,
            _MarkPrice: self._mark_price,
            _ForceOrder: self._force_order,
        }

    def decode(self, raw: bytes, symbol: str = "") -> Record:
        """One frame as a record. Raises ``PayloadError`` naming the field, or ``VenueError`` for an error reply."""
        try:
            if raw.startswith(b'{"stream"'):
                frame = self._combined.decode(raw)
                if self._is_other_book.get(frame.stream) is not False and self._other_book(frame.stream):
                    return Other("partial book", _symbol_of_stream(frame.stream))
                return self._handlers[type(frame.data)](frame.data)
            if raw.startswith(b'{"lastUpdateId"'):
                return self._snapshot(self._snapshot_decoder.decode(raw), symbol)
            event = self._event.decode(raw)
            return self._handlers[type(event)](event)
        except UNDECODABLE:
            pass
        return self._decode_generally(raw, symbol)

    def _other_book(self, stream: str) -> bool:
        if len(self._is_other_book) >= 4096:
            self._is_other_book.clear()
        found = _OTHER_BOOK.search(stream) is not None
        self._is_other_book[stream] = found
        return found

    # -- events

    def _depth(self, event: _Depth) -> Single:
        grid = self._grids.get(event.symbol)
        if grid is None:
            return Other("depthUpdate", event.symbol[:60])
        if event.last_id < event.first_id:
            raise self.malformed("u", f"last update id {event.last_id} is before the first, {event.first_id}")
        bid_ticks, bid_lots = self.raw_levels(grid, event.bids, "b")
        ask_ticks, ask_lots = self.raw_levels(grid, event.asks, "a")
        return DepthDiff(
            event.symbol,
            event.event_ms * MS,
            event.push_ms * MS,
            event.first_id,
            event.last_id,
            event.previous_id,
            bid_ticks,
            bid_lots,
            ask_ticks,
            ask_lots,
        )

    def _snapshot(self, message: _Snapshot, symbol: str) -> Single:
        name = message.symbol or symbol or self._only_symbol
        if not name:
            raise self.malformed("symbol", "a depth snapshot of USD-M names no symbol: say whose it is")
        grid = self._grids.get(name)
        if grid is None:
            return Other("depth snapshot", name[:60])
        bid_ticks, bid_lots = self.raw_levels(grid, message.bids, "bids")
        ask_ticks, ask_lots = self.raw_levels(grid, message.asks, "asks")
        return DepthSnapshot(
            name, message.event_ms * MS, message.push_ms * MS, message.last_id, bid_ticks, bid_lots, ask_ticks, ask_lots
        )

    def _trade(self, event: _Trade) -> Single:
        grid = self._grids.get(event.symbol)
        if grid is None:
            return Other("trade", event.symbol[:60])
        on_book = event.origin == ON_BOOK
        try:
            ticks = grid.ticks[event.price]
        except InstrumentError as error:
            if on_book:
                raise self.malformed("p", str(error)) from None
            ticks = self.rounded(grid.instrument, event.price, "p", BUY)[1]
        lots = self.lots(grid, event.quantity, "q")
        side = SELL if event.buyer_is_maker else BUY
        return Trade(
            event.symbol,
            event.event_ms * MS,
            event.push_ms * MS,
            event.trade_id,
            side,
            ticks,
            lots,
            event.origin[:40],
            on_book,
        )

    def _agg_trade(self, event: _AggTrade) -> Single:
        grid = self._grids.get(event.symbol)
        if grid is None:
            return Other("aggTrade", event.symbol[:60])
        if event.last_trade_id < event.first_trade_id:
            raise self.malformed("l", f"last id {event.last_trade_id} is before the first, {event.first_trade_id}")
        ticks = self.ticks(grid, event.price, "p")
        lots = self.lots(grid, event.quantity, "q")
        return AggTrade(
            event.symbol,
            event.event_ms * MS,
            event.push_ms * MS,
            event.agg_id,
            event.first_trade_id,
            event.last_trade_id,
            SELL if event.buyer_is_maker else BUY,
            ticks,
            lots,
        )

    def _book_ticker(self, event: _BookTicker) -> Single:
        grid = self._grids.get(event.symbol)
        if grid is None:
            return Other("bookTicker", event.symbol[:60])
        ticks, lots = grid.ticks, grid.lots
        try:
            return BookTicker(
                event.symbol,
                event.event_ms * MS,
                event.push_ms * MS,
                event.update_id,
                ticks[event.bid],
                lots[event.bid_quantity],
                ticks[event.ask],
                lots[event.ask_quantity],
            )
        except InstrumentError:
            self.ticks(grid, event.bid, "b")
            self.lots(grid, event.bid_quantity, "B")
            self.ticks(grid, event.ask, "a")
            self.lots(grid, event.ask_quantity, "A")
            raise

    def _mark_price(self, event: _MarkPrice) -> Single:
        if event.symbol not in self._grids:
            return Other("markPriceUpdate", event.symbol[:60])
        mark_e8 = self.mark_e8(event.mark, "p")
        index_e8 = self.mark_e8(event.index, "i") if event.index else 0
        try:
            rate_e12 = rate_e12_from_str(event.rate) if event.rate else None
        except InstrumentError as error:
            raise self.malformed("r", str(error)) from None
        push_ns = event.push_ms * MS
        return MarkPrice(event.symbol, push_ns, push_ns, mark_e8, index_e8, rate_e12, event.next_funding_ms * MS)

    def _force_order(self, event: _ForceOrder) -> Single:
        order = event.order
        grid = self._grids.get(order.symbol)
        if grid is None:
            return Other("forceOrder", order.symbol[:60])
        if order.side not in ("BUY", "SELL"):
            raise self.malformed("o.S", f"{order.side[:40]!r} is neither BUY nor SELL")
        side = BUY if order.side == "BUY" else SELL
        price_e8, ticks = self.rounded(grid.instrument, order.price, "o.p", side)
        lots = self.lots(grid, order.quantity, "o.q")
        filled_lots = self.lots(grid, order.filled, "o.z")
        return ForceOrder(
            order.symbol, order.event_ms * MS, event.push_ms * MS, side, price_e8, ticks, lots, filled_lots
        )

    # -- the general path

    def _decode_generally(self, raw: bytes, symbol: str) -> Record:
        message = self.untyped(raw)
        if isinstance(message, dict) and "stream" in message and "data" in message:
            stream = message["stream"]
            if not isinstance(stream, str):
                raise self.malformed("stream", "must be a string")
            if _OTHER_BOOK.search(stream) is not None:
                return Other("partial book", _symbol_of_stream(stream))
            message = message["data"]
        if isinstance(message, list):
            return Batch(tuple(self._single(part, symbol) for part in message))
        return self._single(message, symbol)

    def _single(self, message: object, symbol: str) -> Single:
        if not isinstance(message, dict):
            raise self.malformed("$", f"expected an object, got {type(message).__name__}")
        if "lastUpdateId" in message:
            return self._snapshot(self.retyped(self._snapshot_decoder, message), symbol)
        name = message.get("e")
        if name is None:
            return self._reply(message)
        if not isinstance(name, str):
            raise self.malformed("e", "must be a string")
        if name not in _EVENTS:
            return Other(name[:60], str(message.get("s", ""))[:40])
        event = self.retyped(self._event, message)
        return self._handlers[type(event)](event)

    def _reply(self, message: dict[str, Any]) -> Single:
        """Replies to control frames, and the error bodies that REST and websocket send instead of data."""
        error = message.get("error", message)
        if isinstance(error, dict) and isinstance(error.get("code"), int):
            raise ERROR_CODES.error(error["code"], str(error.get("msg", ""))[:200])
        if "result" in message and "id" in message:
            return Other("control reply", "")
        raise self.malformed("e", "neither an event, a depth snapshot nor a reply")


def _symbol_of_stream(stream: str) -> str:
    return stream.partition("@")[0].upper()[:40]


__all__ = [
    "AggTrade",
    "Batch",
    "BinanceCodec",
    "BookTicker",
    "DepthDiff",
    "DepthSnapshot",
    "ForceOrder",
    "MarkPrice",
    "Other",
    "Record",
    "Single",
    "Trade",
    "VenueError",
]
