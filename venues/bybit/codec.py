"""Decoder of Bybit v5 market data, linear and inverse: bytes in, typed records of exact integers out.

Theory of operation. Topics become records as follows; what else is well formed becomes ``Other``.

    orderbook.{50,200,500,1000}  snapshot -> DepthSnapshot in the stream, delta -> DepthDiff
    orderbook.1                  BookTicker
    publicTrade                  Trade (several in a message: Batch)
    tickers                      MarkPrice; deltas leave out what did not change, so the last values are remembered
    allLiquidation               ForceOrder, all of them (Binance sends a sample)
    REST orderbook, recent-trade DepthSnapshot, Trade

Ids. Bybit numbers the messages of a topic (``u``, one after the other) and the engine's events (``seq``, comparable
between depths). Records carry ``seq``, so that a best quote and a diff say which of them is newer, and the chain is
that of ``u``: a diff names the diff before it (``previous_id`` is its ``seq``) when its ``u`` is one more, and an id
that nothing has had otherwise. A service restart (``u`` 1) is a snapshot and replaces the book.

One book per symbol: the first depth that sends something; a second depth of the same symbol is ``Other``. Times:
``ts_event_ns`` is ``cts`` for books and ``T`` for trades and liquidations, ``ts_push_ns`` is ``ts``; tickers have no
engine time. Prints with ``BT`` are block trades off the book; those with ``RPI`` met retail orders, which rest in the
book behind all others of their price, so they are on the book (``origin`` RPI). In allLiquidation, ``S`` is the side of
the position that was liquidated, so the order's side is the other one; ``v`` is what was executed.

Captures of the v2 protocol (2021): ``venues/bybit/v2.py``. Source: bybit-exchange.github.io/docs/v5/, websocket/public
(orderbook, trade, ticker, all-liquidation) and market (orderbook, recent-trade), error.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from matching.codes import BUY, SELL
from venues.bybit.reasons import ERROR_CODES
from venues.bybit.v2 import BOOKS as V2_BOOKS
from venues.bybit.v2 import BybitV2
from venues.errors import InstrumentError, VenueError
from venues.instruments import Instrument
from venues.market_data import BookTicker, DepthDiff, DepthSnapshot, ForceOrder, MarkPrice, Other, Record, Single, Trade
from venues.wire import MARKET, MS, UNDECODABLE, Grid, Id, Ms, WireCodec, id_of, oldest_first, shown, together

DEPTHS: Final = ("1", "50", "200", "500", "1000")


class _BookData(msgspec.Struct, gc=False, rename={"symbol": "s", "bids": "b", "asks": "a"}):
    symbol: str
    bids: msgspec.Raw
    asks: msgspec.Raw
    u: Id
    seq: Id


class _Book(msgspec.Struct, gc=False):
    topic: str
    type: str
    ts: Ms
    data: _BookData
    cts: Ms = 0


class _TradeRow(
    msgspec.Struct,
    gc=False,
    rename={"ms": "T", "symbol": "s", "side": "S", "size": "v", "price": "p", "id": "i", "block": "BT", "rpi": "RPI"},
):
    ms: Ms
    symbol: str
    side: str
    size: str
    price: str
    id: str
    block: bool = False
    rpi: bool = False


class _Trades(msgspec.Struct, gc=False):
    topic: str
    ts: Ms
    data: list[_TradeRow]


class _TickerData(
    msgspec.Struct,
    gc=False,
    rename={"mark": "markPrice", "index": "indexPrice", "rate": "fundingRate", "next_funding": "nextFundingTime"},
):
    symbol: str
    mark: str | None = None
    index: str | None = None
    rate: str | None = None
    next_funding: str | None = None


class _Ticker(msgspec.Struct, gc=False):
    topic: str
    type: str
    ts: Ms
    data: _TickerData


class _LiquidationRow(
    msgspec.Struct, gc=False, rename={"ms": "T", "symbol": "s", "side": "S", "size": "v", "price": "p"}
):
    ms: Ms
    symbol: str
    side: str
    size: str
    price: str


class _Liquidations(msgspec.Struct, gc=False):
    topic: str
    ts: Ms
    data: list[_LiquidationRow]


class _RestBookData(_BookData, gc=False, rename={"symbol": "s", "bids": "b", "asks": "a"}):
    ts: Ms = 0
    cts: Ms = 0


class _RestBook(msgspec.Struct, gc=False):
    result: _RestBookData


class _RestTradeRow(msgspec.Struct, gc=False, rename={"id": "execId", "block": "isBlockTrade", "rpi": "isRPITrade"}):
    symbol: str
    side: str
    size: str
    price: str
    id: str
    time: str
    block: bool = False
    rpi: bool = False


class _RestTradeList(msgspec.Struct, gc=False, rename={"rows": "list"}):
    rows: list[_RestTradeRow]


class _RestTrades(msgspec.Struct, gc=False):
    result: _RestTradeList
    time: Ms = 0


class _Stream:
    """One orderbook topic of one symbol: where its chain stands, and at depth 1 the best levels."""

    __slots__ = ("best", "depth", "grid", "live", "seq", "u")

    def __init__(self, grid: Grid, depth: str) -> None:
        self.grid = grid
        self.depth = depth
        self.u = self.seq = 0
        self.live = False
        self.best = ((0, 0), (0, 0))


class _Context:
    """The last values of a symbol's ticker."""

    __slots__ = ("index_e8", "mark_e8", "next_funding_ns", "rate_e12")

    def __init__(self) -> None:
        self.mark_e8 = self.index_e8 = self.next_funding_ns = 0
        self.rate_e12: int | None = None


class BybitCodec(WireCodec):
    """Decodes what one Bybit connection delivers, of the given instruments; see the module."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        super().__init__(instruments)
        self._v2 = BybitV2(self, self._grids)
        self._book_decoder = msgspec.json.Decoder(_Book)
        self._trades_decoder = msgspec.json.Decoder(_Trades)
        self._ticker_decoder = msgspec.json.Decoder(_Ticker)
        self._liquidations_decoder = msgspec.json.Decoder(_Liquidations)
        self._rest_book_decoder = msgspec.json.Decoder(_RestBook)
        self._rest_trades_decoder = msgspec.json.Decoder(_RestTrades)
        self.restart()

    def restart(self) -> None:
        """Forget books' chains and tickers: every topic begins with a snapshot."""
        self._v2.restart()
        self._streams: dict[str, _Stream] = {}  # by topic; at most the known depths of each instrument
        self._books: dict[str, _Stream] = {}
        self._contexts: dict[str, _Context] = {}

    def decode(self, raw: bytes, symbol: str = "") -> Record:
        """One frame or REST body as a record. Raises ``PayloadError`` naming the field, or another ``VenueError``."""
        try:
            if raw.startswith(b'{"topic":"orderbook.'):
                return self._book(self._book_decoder.decode(raw))
            if raw.startswith(b'{"topic":"publicTrade.'):
                return self._trades(self._trades_decoder.decode(raw))
            if raw.startswith(b'{"topic":"tickers.'):
                return self._ticker(self._ticker_decoder.decode(raw))
        except UNDECODABLE:
            pass
        return self._generally(raw)

    # -- books

    def _book(self, message: _Book) -> Single:
        data = message.data
        stream = self._streams.get(message.topic) or self._resolved(message.topic)
        if stream is None:
            return Other(_name(message.topic), data.symbol[:60])
        grid = stream.grid
        if data.symbol != grid.symbol:
            raise self.malformed("data.s", f"{data.symbol[:40]!r} is not the topic's symbol, {grid.symbol}")
        if message.type not in ("snapshot", "delta"):
            raise self.malformed("type", f"{message.type[:40]!r} is neither snapshot nor delta")
        if stream.depth == "1":
            return self._top(stream, message)
        book = self._books.setdefault(grid.symbol, stream)
        if book is not stream:
            return Other(f"orderbook.{stream.depth} beside orderbook.{book.depth}", grid.symbol)
        bid_ticks, bid_lots = self.raw_levels(grid, data.bids, "data.b")
        ask_ticks, ask_lots = self.raw_levels(grid, data.asks, "data.a")
        event_ns, push_ns = (message.cts or message.ts) * MS, message.ts * MS
        u, seq, last_u, last_seq, live = data.u, data.seq, stream.u, stream.seq, stream.live
        stream.u, stream.seq, stream.live = u, seq, True
        if message.type == "snapshot":
            return DepthSnapshot(
                grid.symbol, event_ns, push_ns, seq, bid_ticks, bid_lots, ask_ticks, ask_lots, in_stream=True
            )
        follows = live and u == last_u + 1
        previous_id = last_seq if follows else _unknown(seq, last_seq)
        first_id = min(previous_id + 1, seq) if follows else seq
        return DepthDiff(
            grid.symbol, event_ns, push_ns, first_id, seq, previous_id, bid_ticks, bid_lots, ask_ticks, ask_lots
        )

    def _resolved(self, topic: str) -> _Stream | None:
        name, _, rest = topic.partition(".")
        depth, _, symbol = rest.partition(".")
        grid = self._grids.get(symbol)
        if name != "orderbook" or depth not in DEPTHS or grid is None:
            return None
        stream = self._streams[topic] = _Stream(grid, depth)
        return stream

    def _top(self, stream: _Stream, message: _Book) -> Single:
        """Depth 1: snapshots; deltas (which it sent in 2023) change the remembered best levels."""
        data, grid = message.data, stream.grid
        bids = list(zip(*self.raw_levels(grid, data.bids, "data.b"), strict=True))
        asks = list(zip(*self.raw_levels(grid, data.asks, "data.a"), strict=True))
        if message.type == "snapshot":
            bid = max(bids, default=(0, 0))
            ask = min(asks, default=(0, 0))
        elif stream.live:
            bid, ask = _moved(stream.best[0], bids), _moved(stream.best[1], asks)
        else:
            return Other("orderbook.1 delta before its snapshot", grid.symbol)
        stream.live, stream.best = True, (bid, ask)
        event_ns = (message.cts or message.ts) * MS
        return BookTicker(grid.symbol, event_ns, message.ts * MS, data.seq, *bid, *ask)

    # -- trades and liquidations

    def _trades(self, message: _Trades) -> Record:
        push_ns = message.ts * MS
        records = [self._trade(row, row.ms * MS, push_ns, f"data[{n}]") for n, row in enumerate(message.data)]
        return together(records, "publicTrade", "") if _is(message.topic, "publicTrade") else self._other(message.topic)

    def _trade(self, row: _TradeRow | _RestTradeRow, event_ns: int, push_ns: int, place: str) -> Single:
        grid = self._grids.get(row.symbol)
        if grid is None:
            return Other("publicTrade", row.symbol[:60])
        try:
            side, ticks, lots = _SIDES[row.side], grid.ticks[row.price], grid.lots[row.size]
        except (InstrumentError, KeyError):
            rest = isinstance(row, _RestTradeRow)
            self.side(row.side, "Buy", "Sell", f"{place}.{'side' if rest else 'S'}", (BUY, SELL))
            ticks = self.ticks(grid, row.price, f"{place}.{'price' if rest else 'p'}")
            self.lots(grid, row.size, f"{place}.{'size' if rest else 'v'}")
            raise
        origin = "BLOCK" if row.block else "RPI" if row.rpi else MARKET
        return Trade(row.symbol, event_ns, push_ns, id_of(row.id), side, ticks, lots, origin, not row.block)

    def _liquidations(self, message: _Liquidations) -> Record:
        push_ns = message.ts * MS
        records: list[Single] = []
        for n, row in enumerate(message.data):
            grid = self._grids.get(row.symbol)
            if grid is None:
                records.append(Other("allLiquidation", row.symbol[:60]))
                continue
            side = self.side(row.side, "Buy", "Sell", f"data[{n}].S", (SELL, BUY))
            price_e8, ticks = self.rounded(grid.instrument, row.price, f"data[{n}].p", side)
            lots = self.lots(grid, row.size, f"data[{n}].v")
            records.append(ForceOrder(row.symbol, row.ms * MS, push_ns, side, price_e8, ticks, lots, lots))
        return together(records, "allLiquidation", "")

    # -- tickers

    def _ticker(self, message: _Ticker) -> Single:
        data = message.data
        if data.symbol not in self._grids or not _is(message.topic, "tickers"):
            return Other(_name(message.topic), data.symbol[:60])
        if message.type not in ("snapshot", "delta"):
            raise self.malformed("type", f"{message.type[:40]!r} is neither snapshot nor delta")
        context = self._contexts.get(data.symbol)
        if message.type == "snapshot" or context is None:
            if message.type == "delta":
                return Other("tickers delta before its snapshot", data.symbol)
            context = _Context()
        elif data.mark is data.index is data.rate is data.next_funding is None:
            return Other("tickers", data.symbol)
        mark_e8, index_e8 = context.mark_e8, context.index_e8
        rate_e12, next_funding_ns = context.rate_e12, context.next_funding_ns
        if data.mark:
            mark_e8 = self.mark_e8(data.mark, "data.markPrice")
        if data.index:
            index_e8 = self.mark_e8(data.index, "data.indexPrice")
        if data.rate is not None:
            rate_e12 = self.forecast_e12(data.rate, "data.fundingRate") if data.rate else None
        if data.next_funding is not None:
            next_funding_ns = self.time_ns(data.next_funding, "data.nextFundingTime")
        context.mark_e8, context.index_e8 = mark_e8, index_e8
        context.rate_e12, context.next_funding_ns = rate_e12, next_funding_ns
        self._contexts[data.symbol] = context
        if not mark_e8:
            return Other("tickers without a mark price", data.symbol)
        ts_ns = message.ts * MS
        return MarkPrice(data.symbol, ts_ns, ts_ns, mark_e8, index_e8, rate_e12, next_funding_ns)

    # -- the general path

    def _generally(self, raw: bytes) -> Record:
        message = self.untyped(raw)
        if not isinstance(message, dict):
            raise self.malformed("$", f"expected an object, got {type(message).__name__}")
        topic = message.get("topic")
        if topic is None:
            return self._reply(message, raw)
        if not isinstance(topic, str):
            raise self.malformed("topic", "must be a string")
        name = topic.partition(".")[0]
        if name == "orderbook":
            if topic.split(".")[1:2] == ["rpi"]:
                return self._other(topic)
            return self._book(self.typed(self._book_decoder, raw))
        if name == "publicTrade":
            return self._trades(self.typed(self._trades_decoder, raw))
        if name == "tickers":
            return self._ticker(self.typed(self._ticker_decoder, raw))
        if name == "allLiquidation":
            return self._liquidations(self.typed(self._liquidations_decoder, raw))
        if name in V2_BOOKS:
            return self._v2.book(raw)
        if name == "trade" and topic.count(".") == 1:
            return self._v2.trades(raw)
        return self._other(topic)

    def _other(self, topic: str) -> Single:
        return Other(_name(topic), topic.rpartition(".")[2][:60])

    def _reply(self, message: dict[str, Any], raw: bytes) -> Record:
        """Replies to control frames, REST bodies, and the errors that either may be."""
        code = message.get("retCode", message.get("ret_code"))
        text = shown(message.get("retMsg", message.get("ret_msg")))
        if isinstance(code, int) and not isinstance(code, bool) and code != 0:
            raise ERROR_CODES.error(code, text)
        if message.get("success") is False:
            raise VenueError(text or "refused without a reason", venue=self.venue)
        if "op" in message or "success" in message:
            return Other("control reply", "")
        result = message.get("result")
        if not isinstance(result, dict) or code != 0:
            raise self.malformed("topic", "neither a topic, a reply nor a REST body")
        if {"s", "b", "a"} <= result.keys():
            return self._rest_book(self.typed(self._rest_book_decoder, raw).result)
        rows = result.get("list")
        if isinstance(rows, list) and rows and isinstance(rows[0], dict):
            if "execId" in rows[0] and "isBlockTrade" in rows[0]:
                return self._rest_trades(self.typed(self._rest_trades_decoder, raw))
            if "fundingRateTimestamp" in rows[0]:
                return Other("funding history", shown(rows[0].get("symbol")))
        return Other("REST body", "")

    def _rest_book(self, data: _RestBookData) -> Single:
        grid = self._grids.get(data.symbol)
        if grid is None:
            return Other("orderbook", data.symbol[:60])
        bid_ticks, bid_lots = self.raw_levels(grid, data.bids, "result.b")
        ask_ticks, ask_lots = self.raw_levels(grid, data.asks, "result.a")
        event_ns = (data.cts or data.ts) * MS
        return DepthSnapshot(grid.symbol, event_ns, data.ts * MS, data.seq, bid_ticks, bid_lots, ask_ticks, ask_lots)

    def _rest_trades(self, message: _RestTrades) -> Record:
        records = [
            self._trade(row, self.time_ns(row.time, f"result.list[{n}].time"), 0, f"result.list[{n}]")
            for n, row in enumerate(message.result.rows)
        ]
        return oldest_first(together(records, "recent-trade", ""))


_SIDES: Final = {"Buy": BUY, "Sell": SELL}


def _unknown(seq: int, last_seq: int) -> int:
    """A ``previous_id`` that the last diff does not have: what came before ``seq`` is not known."""
    return seq if seq - 1 == last_seq else max(seq - 1, 0)


def _moved(best: tuple[int, int], rows: list[tuple[int, int]]) -> tuple[int, int]:
    """The best level after a delta: size 0 takes it away, any other is the new best."""
    for ticks, lots in rows:
        if lots:
            best = (ticks, lots)
        elif ticks == best[0]:
            best = (0, 0)
    return best


def _is(topic: str, name: str) -> bool:
    return topic.startswith(name) and topic[len(name) : len(name) + 1] == "."


def _name(topic: str) -> str:
    return topic.partition(".")[0][:60]
