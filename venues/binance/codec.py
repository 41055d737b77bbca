"""Decoder of Binance futures market data, USD-M and COIN-M: bytes in, typed records of exact integers out.

Theory of operation. ``BinanceCodec.decode`` takes one captured frame, as a websocket delivers it or a REST depth
request answers, and returns one record. Frames come raw (``{"e":"trade",...}``), wrapped by a combined stream
(``{"stream":...,"data":{...}}``), as a REST snapshot (``{"lastUpdateId":...}``), or, from the all-market streams, as
an array (``Batch``). The ordinary spellings take a short path: one typed msgspec pass, then the instrument's parse
caches. A frame which that path refuses goes through the general path, which finds out what it is, or says what is
wrong with it.

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
from typing import Annotated, Any, Final, TypeAlias

import msgspec

from matching.codes import BUY, SELL
from venues.binance.reasons import ERROR_CODES
from venues.errors import InstrumentError, PayloadError, VenueError
from venues.instruments import Instrument, mark_e8_from_str, rate_e12_from_str, scaled_from_str
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

MS: Final = 1_000_000  # nanoseconds
MAX_MS: Final = 9_223_372_036_853  # the last millisecond that int64 nanoseconds can hold
MAX_ID: Final = (1 << 63) - 1
ON_BOOK: Final = "MARKET"  # trade type X of prints on the book; others (INSURANCE_FUND, ADL, NA) touched no order in it


# -- the wire, as documented (field names on the right are the venue's)

_Ms = Annotated[int, msgspec.Meta(ge=0, le=MAX_MS)]
_Id = Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)]
_Levels = list[tuple[str, str]]


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
    push_ms: _Ms
    event_ms: _Ms
    symbol: str
    first_id: _Id
    last_id: _Id
    previous_id: _Id
    bids: _Levels
    asks: _Levels


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
    push_ms: _Ms
    event_ms: _Ms
    symbol: str
    trade_id: _Id
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
    push_ms: _Ms
    event_ms: _Ms
    symbol: str
    agg_id: _Id
    first_trade_id: _Id
    last_trade_id: _Id
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
    push_ms: _Ms
    event_ms: _Ms
    symbol: str
    update_id: _Id
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
    push_ms: _Ms
    symbol: str
    mark: str
    rate: str
    next_funding_ms: _Ms
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
    event_ms: _Ms


class _ForceOrder(msgspec.Struct, gc=False, tag_field="e", tag="forceOrder", rename={"push_ms": "E", "order": "o"}):
    push_ms: _Ms
    order: _LiquidationOrder


class _Snapshot(msgspec.Struct, gc=False, rename={"last_id": "lastUpdateId", "push_ms": "E", "event_ms": "T"}):
    last_id: _Id
    push_ms: _Ms
    event_ms: _Ms
    bids: _Levels
    asks: _Levels
    symbol: str = ""


_Event: TypeAlias = _Depth | _Trade | _AggTrade | _BookTicker | _MarkPrice | _ForceOrder


class _Combined(msgspec.Struct, gc=False):
    stream: str
    data: _Event


_EVENTS: Final = ("depthUpdate", "trade", "aggTrade", "bookTicker", "markPriceUpdate", "forceOrder")
_OTHER_BOOK: Final = re.compile(r"@(depth(5|10|20)|rpiDepth)(@|$)")  # say depthUpdate but are no diffs of the book
_AT: Final = re.compile(r"^(.*?)(?: - at `\$\.?(.*)`)?$", re.DOTALL)
_MISSING: Final = re.compile(r"^Object missing required field `([^`]*)`")


class _Grid:
    """An instrument with its parse caches."""

    __slots__ = ("instrument", "lots", "ticks")

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.ticks = instrument.ticks_cache()
        self.lots = instrument.lots_cache()


class BinanceCodec:
    """Decodes frames of the given instruments (all of one venue). Not thread-safe: the parse caches are shared.

    A REST snapshot of USD-M names no symbol; it belongs to ``decode``'s argument, or to the only instrument there is.
    """

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self._grids = {instrument.symbol: _Grid(instrument) for instrument in instruments}
        if not self._grids:
            raise InstrumentError("a codec needs at least one instrument")
        self.venue = next(iter(self._grids.values())).instrument.venue
        self._only_symbol = next(iter(self._grids)) if len(self._grids) == 1 else ""
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

    def restart(self) -> None:
        """Nothing is remembered from frame to frame."""

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
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
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
            return Other("depthUpdate", event.symbol)
        if event.last_id < event.first_id:
            raise self._malformed("u", f"last update id {event.last_id} is before the first, {event.first_id}")
        bid_ticks, bid_lots = self._levels(grid, event.bids, "b")
        ask_ticks, ask_lots = self._levels(grid, event.asks, "a")
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
            raise self._malformed("symbol", "a depth snapshot of USD-M names no symbol: say whose it is")
        grid = self._grids.get(name)
        if grid is None:
            return Other("depth snapshot", name)
        bid_ticks, bid_lots = self._levels(grid, message.bids, "bids")
        ask_ticks, ask_lots = self._levels(grid, message.asks, "asks")
        return DepthSnapshot(
            name, message.event_ms * MS, message.push_ms * MS, message.last_id, bid_ticks, bid_lots, ask_ticks, ask_lots
        )

    def _trade(self, event: _Trade) -> Single:
        grid = self._grids.get(event.symbol)
        if grid is None:
            return Other("trade", event.symbol)
        on_book = event.origin == ON_BOOK
        try:
            ticks = grid.ticks[event.price]
        except InstrumentError as error:
            if on_book:
                raise self._malformed("p", str(error)) from None
            ticks = self._rounded(grid.instrument, event.price, "p", BUY)[1]
        lots = self._lots(grid, event.quantity, "q")
        side = SELL if event.buyer_is_maker else BUY
        return Trade(
            event.symbol,
            event.event_ms * MS,
            event.push_ms * MS,
            event.trade_id,
            side,
            ticks,
            lots,
            event.origin,
            on_book,
        )

    def _agg_trade(self, event: _AggTrade) -> Single:
        grid = self._grids.get(event.symbol)
        if grid is None:
            return Other("aggTrade", event.symbol)
        if event.last_trade_id < event.first_trade_id:
            raise self._malformed("l", f"last id {event.last_trade_id} is before the first, {event.first_trade_id}")
        ticks = self._ticks(grid, event.price, "p")
        lots = self._lots(grid, event.quantity, "q")
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
            return Other("bookTicker", event.symbol)
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
            self._ticks(grid, event.bid, "b")
            self._lots(grid, event.bid_quantity, "B")
            self._ticks(grid, event.ask, "a")
            self._lots(grid, event.ask_quantity, "A")
            raise

    def _mark_price(self, event: _MarkPrice) -> Single:
        if event.symbol not in self._grids:
            return Other("markPriceUpdate", event.symbol)
        field = "p"
        try:
            mark_e8 = mark_e8_from_str(event.mark)
            field = "i"
            index_e8 = mark_e8_from_str(event.index) if event.index else 0
            field = "r"
            rate_e12 = rate_e12_from_str(event.rate) if event.rate else None
        except InstrumentError as error:
            raise self._malformed(field, str(error)) from None
        push_ns = event.push_ms * MS
        return MarkPrice(event.symbol, push_ns, push_ns, mark_e8, index_e8, rate_e12, event.next_funding_ms * MS)

    def _force_order(self, event: _ForceOrder) -> Single:
        order = event.order
        grid = self._grids.get(order.symbol)
        if grid is None:
            return Other("forceOrder", order.symbol)
        if order.side not in ("BUY", "SELL"):
            raise self._malformed("o.S", f"{order.side[:40]!r} is neither BUY nor SELL")
        side = BUY if order.side == "BUY" else SELL
        price_e8, ticks = self._rounded(grid.instrument, order.price, "o.p", side)
        lots = self._lots(grid, order.quantity, "o.q")
        filled_lots = self._lots(grid, order.filled, "o.z")
        return ForceOrder(
            order.symbol, order.event_ms * MS, event.push_ms * MS, side, price_e8, ticks, lots, filled_lots
        )

    # -- numbers, with the field's name when they are wrong

    def _levels(self, grid: _Grid, rows: _Levels, field: str) -> tuple[list[int], list[int]]:
        ticks, lots = grid.ticks, grid.lots
        try:
            return [ticks[price] for price, _ in rows], [lots[quantity] for _, quantity in rows]
        except InstrumentError:
            for index, (price, quantity) in enumerate(rows):
                self._ticks(grid, price, f"{field}[{index}][0]")
                self._lots(grid, quantity, f"{field}[{index}][1]")
            raise

    def _ticks(self, grid: _Grid, text: str, field: str) -> int:
        try:
            return grid.ticks[text]
        except InstrumentError as error:
            hint = "; orders from before a change of grid keep their price: give the finer tick_size"
            raise self._malformed(field, str(error) + (hint if "[" in field else "")) from None

    def _lots(self, grid: _Grid, text: str, field: str) -> int:
        try:
            return grid.lots[text]
        except InstrumentError as error:
            raise self._malformed(field, str(error)) from None

    def _rounded(self, instrument: Instrument, text: str, field: str, side: int) -> tuple[int, int]:
        """A price that may lie off the grid: exactly at 1e-8, and as the grid price that such a limit allows."""
        try:
            price_e8 = scaled_from_str(text, 8)
            ticks = instrument.ticks_at_most(price_e8) if side == BUY else instrument.ticks_at_least(price_e8)
            return price_e8, instrument.ticks_from_str(instrument.price_str(ticks))
        except InstrumentError as error:
            raise self._malformed(field, str(error)) from None

    def _malformed(self, field: str, why: str) -> PayloadError:
        return PayloadError(why, venue=self.venue, field=field)

    # -- the general path

    def _decode_generally(self, raw: bytes, symbol: str) -> Record:
        try:
            message = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._malformed("$", _why(error)) from None
        except RecursionError:
            raise self._malformed("$", "nested too deeply") from None
        if isinstance(message, dict) and "stream" in message and "data" in message:
            stream = message["stream"]
            if not isinstance(stream, str):
                raise self._malformed("stream", "must be a string")
            if _OTHER_BOOK.search(stream) is not None:
                return Other("partial book", _symbol_of_stream(stream))
            message = message["data"]
        if isinstance(message, list):
            return Batch(tuple(self._single(part, symbol) for part in message))
        return self._single(message, symbol)

    def _single(self, message: object, symbol: str) -> Single:
        if not isinstance(message, dict):
            raise self._malformed("$", f"expected an object, got {type(message).__name__}")
        if "lastUpdateId" in message:
            return self._snapshot(self._convert(message, _Snapshot), symbol)
        name = message.get("e")
        if name is None:
            return self._reply(message)
        if not isinstance(name, str):
            raise self._malformed("e", "must be a string")
        if name not in _EVENTS:
            return Other(name, str(message.get("s", ""))[:40])
        event = self._convert(message, _Event)
        return self._handlers[type(event)](event)

    def _convert(self, message: object, kind: Any) -> Any:
        try:
            return msgspec.convert(message, kind)
        except msgspec.ValidationError as error:
            why, path = _located(str(error))
            raise self._malformed(path, why) from None

    def _reply(self, message: dict[str, Any]) -> Single:
        """Replies to control frames, and the error bodies that REST and websocket send instead of data."""
        error = message.get("error", message)
        if isinstance(error, dict) and isinstance(error.get("code"), int):
            raise ERROR_CODES.error(error["code"], str(error.get("msg", ""))[:200])
        if "result" in message and "id" in message:
            return Other("control reply", "")
        raise self._malformed("e", "neither an event, a depth snapshot nor a reply")


def _symbol_of_stream(stream: str) -> str:
    return stream.partition("@")[0].upper()[:40]


def _located(text: str) -> tuple[str, str]:
    """msgspec's words for a message of the wrong form, and the path of the field they are about."""
    found, missing = _AT.match(text), _MISSING.match(text)
    path = (found[2] or "") if found else ""
    if missing:
        path = f"{path}.{missing[1]}".lstrip(".")
    return (found[1] if found else text), path or "$"


def _why(error: Exception) -> str:
    return str(error)[:200]


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
