"""Decoder of OKX v5 market data, swaps: bytes in, typed records of exact integers out.

Theory of operation. Channels become records as follows; what else is well formed becomes ``Other``.

    books, books-l2-tbt, books50-l2-tbt   snapshot -> DepthSnapshot in the stream, update -> DepthDiff
    books5                                DepthSnapshot in the stream (where no channel above is there)
    bbo-tbt                               BookTicker
    trades, trades-all                    Trade (several in a message: Batch)
    mark-price, index-tickers, funding-rate   MarkPrice, put together from the latest of the three, as of each message
    liquidation-orders                    ForceOrder, at the bankruptcy price
    REST market/books, market/trades      DepthSnapshot, Trade

Ids are ``seqId`` and ``prevSeqId``. A snapshot's ``prevSeqId`` is -1. A message after a quiet minute repeats the id and
changes nothing; after maintenance an id may be lower than the one before it, and still follows (``venues.market_data``:
what follows is decided by ``previous_id`` alone). Until 2022 there were no ids: there the messages of an instrument are
numbered by this codec, and the checksum proves them.

Checksum. Until 2026-06-23 book messages carried the CRC32, as a signed integer, of the best 25 levels: "bid price:bid
size:ask price:ask size" from the best level on, a side that has no more being left out, in the strings that the venue
sent. The codec keeps those strings, and sets ``intact`` to False while they disagree. Since then the field is 0 or
missing, and nothing is kept. ``checksums`` counts right, wrong and absent.

One book per instrument: the first channel that sends something, except that books5 gives way to the others. Times:
``ts`` is when the engine made the data; the gateway says nothing. Rates are forecasts, rounded to 1e-12. Sizes are
contracts. Source: www.okx.com/docs-v5/en (order book, trades, public data channels);
okx.com/help/okx-order-book-channels-checksum-field-deprecation.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Final
from zlib import crc32

import msgspec

from matching.codes import BUY, SELL
from venues.errors import InstrumentError, VenueError
from venues.instruments import Instrument
from venues.market_data import BookTicker, DepthDiff, DepthSnapshot, ForceOrder, MarkPrice, Other, Record, Single, Trade
from venues.okx.reasons import ERROR_CODES
from venues.wire import MARKET, MS, UNDECODABLE, Grid, Ms, WireCodec, id_of, oldest_first, shown, together

DEPTHS: Final = frozenset({"books", "books-l2-tbt", "books50-l2-tbt"})
CHECKED_LEVELS: Final = 25
LEVELS_MAX: Final = 4_000  # ten times what any channel has: a longer book is not the venue's
MAX_SEQ: Final = (1 << 63) - 1

_Seq = Annotated[int, msgspec.Meta(ge=-1, le=MAX_SEQ)]
_Rows = list[tuple[str, str, str, str]]  # price, size, "0" (once: liquidated orders), number of orders


class _Arg(msgspec.Struct, gc=False, rename="camel"):
    channel: str
    inst_id: str = ""


class _BookData(msgspec.Struct, gc=False, rename="camel"):
    asks: _Rows
    bids: _Rows
    ts: Ms
    checksum: int | None = None
    seq_id: _Seq | None = None
    prev_seq_id: _Seq | None = None


class _Books(msgspec.Struct, gc=False):
    arg: _Arg
    data: list[_BookData]
    action: str = ""


class _TradeRow(msgspec.Struct, gc=False, rename="camel"):
    inst_id: str
    trade_id: str
    px: str
    sz: str
    side: str
    ts: Ms


class _Trades(msgspec.Struct, gc=False):
    data: list[_TradeRow]
    arg: _Arg | None = None


class _MarkRow(msgspec.Struct, gc=False, rename="camel"):
    inst_id: str
    mark_px: str
    ts: Ms


class _Marks(msgspec.Struct, gc=False):
    data: list[_MarkRow]


class _IndexRow(msgspec.Struct, gc=False, rename="camel"):
    inst_id: str
    idx_px: str
    ts: Ms


class _Indices(msgspec.Struct, gc=False):
    data: list[_IndexRow]


class _RateRow(msgspec.Struct, gc=False, rename="camel"):
    inst_id: str
    funding_rate: str
    funding_time: str
    ts: str = ""


class _Rates(msgspec.Struct, gc=False):
    data: list[_RateRow]


class _Liquidation(msgspec.Struct, gc=False, rename="camel"):
    side: str
    bk_px: str
    sz: str
    ts: Ms


class _LiquidationRow(msgspec.Struct, gc=False, rename="camel"):
    inst_id: str
    details: list[_Liquidation]


class _Liquidations(msgspec.Struct, gc=False):
    data: list[_LiquidationRow]


class _RestBooks(msgspec.Struct, gc=False):
    data: list[_BookData]


@dataclass(slots=True)
class Checksums:
    """How many book messages had a checksum that agreed with our book, one that did not, and none."""

    right: int = 0
    wrong: int = 0
    absent: int = 0


class _Side:
    """One side of a book as the venue spells it, best first: ``keys`` are ticks, negative for bids."""

    __slots__ = ("keys", "texts")

    def __init__(self) -> None:
        self.keys: list[int] = []
        self.texts: dict[int, str] = {}

    def change(self, rows: _Rows, keys: list[int], lots: list[int]) -> None:
        texts, order = self.texts, self.keys
        for row, key, size in zip(rows, keys, lots, strict=True):
            if size:
                if key not in texts:
                    insort(order, key)
                texts[key] = f"{row[0]}:{row[1]}"
            elif texts.pop(key, None) is not None:
                del order[bisect_left(order, key)]


class _Book:
    """One instrument's book: its channel, the last id where the venue sends none, and the strings of the checksum."""

    __slots__ = ("asks", "bids", "channel", "count", "grid", "kept")

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.count = 0
        self.forget()

    def forget(self) -> None:
        self.channel = ""
        self.drop()

    def drop(self) -> None:
        self.kept = False
        self.bids, self.asks = _Side(), _Side()

    def crc(self) -> int:
        """The checksum of the book as it stands, signed."""
        bids, asks = self.bids, self.asks
        best_bids = [bids.texts[key] for key in bids.keys[:CHECKED_LEVELS]]
        best_asks = [asks.texts[key] for key in asks.keys[:CHECKED_LEVELS]]
        both = min(len(best_bids), len(best_asks))
        parts = [text for pair in zip(best_bids, best_asks, strict=False) for text in pair]
        found = crc32(":".join([*parts, *best_bids[both:], *best_asks[both:]]).encode("utf-8", "replace"))
        return found - (1 << 32) if found >= 1 << 31 else found


class _Context:
    """The latest mark, index and rate of an instrument."""

    __slots__ = ("index_e8", "mark_e8", "next_funding_ns", "rate_e12")

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.mark_e8 = self.index_e8 = self.next_funding_ns = 0
        self.rate_e12: int | None = None


class OkxCodec(WireCodec):
    """Decodes what one OKX connection delivers, of the given instruments; see the module.

    A book of REST names no instrument; it belongs to ``decode``'s argument, or to the only instrument there is.
    """

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        super().__init__(instruments)
        self.checksums = Checksums()
        self._books = {symbol: _Book(grid) for symbol, grid in self._grids.items()}
        self._contexts = {symbol: _Context() for symbol in self._grids}
        self._of_index: dict[str, list[str]] = {}
        for symbol, grid in self._grids.items():
            index = f"{grid.instrument.base}-{grid.instrument.quote}"
            self._of_index.setdefault(index, []).append(symbol)
        # numbers come as strings, which this makes integers where an integer is declared
        self._books_decoder = msgspec.json.Decoder(_Books, strict=False)
        self._trades_decoder = msgspec.json.Decoder(_Trades, strict=False)
        self._decoders: dict[str, tuple[msgspec.json.Decoder[Any], Any]] = {
            "mark-price": (msgspec.json.Decoder(_Marks, strict=False), self._marks),
            "index-tickers": (msgspec.json.Decoder(_Indices, strict=False), self._indices),
            "funding-rate": (msgspec.json.Decoder(_Rates, strict=False), self._rates),
            "liquidation-orders": (msgspec.json.Decoder(_Liquidations, strict=False), self._liquidations),
        }
        self._rest_books_decoder = msgspec.json.Decoder(_RestBooks, strict=False)

    def restart(self) -> None:
        """Forget books, marks, indices and rates; the counts of checksums go on."""
        for book in self._books.values():
            book.forget()
        for context in self._contexts.values():
            context.forget()

    def decode(self, raw: bytes, symbol: str = "") -> Record:
        """One frame or REST body as a record. Raises ``PayloadError`` naming the field, or another ``VenueError``."""
        try:
            if raw.startswith((b'{"arg":{"channel":"books', b'{"arg":{"channel":"bbo-tbt"')):
                return self._depth(self._books_decoder.decode(raw))
            if raw.startswith(b'{"arg":{"channel":"trades'):
                return self._trades(self._trades_decoder.decode(raw))
        except UNDECODABLE:
            pass
        return self._generally(raw, symbol)

    # -- books

    def _depth(self, message: _Books) -> Record:
        channel, symbol = message.arg.channel, message.arg.inst_id
        book = self._books.get(symbol)
        if book is None:
            return Other(channel[:60], symbol[:60])
        if channel in DEPTHS:
            if message.action not in ("snapshot", "update"):
                raise self.malformed("action", f"{message.action[:40]!r} is neither snapshot nor update")
            one = self._snapshot if message.action == "snapshot" else self._update
        elif channel in ("books5", "bbo-tbt"):
            one = self._whole if channel == "books5" else self._best
        else:
            return Other(channel[:60], symbol[:60])
        if channel != "bbo-tbt" and book.channel != channel:
            if book.channel and (channel == "books5" or book.channel != "books5"):
                return Other(f"{channel} beside {book.channel}", symbol)
            book.channel = channel
        return together([one(book, data, f"data[{n}]") for n, data in enumerate(message.data)], channel, symbol)

    def _read(self, book: _Book, data: _BookData, place: str) -> tuple[list[int], list[int], list[int], list[int]]:
        return *self._side(book.grid, data.bids, f"{place}.bids"), *self._side(book.grid, data.asks, f"{place}.asks")

    def _side(self, grid: Grid, rows: _Rows, field: str) -> tuple[list[int], list[int]]:
        ticks, lots = grid.ticks, grid.lots
        try:
            return [ticks[row[0]] for row in rows], [lots[row[1]] for row in rows]
        except InstrumentError:
            return self.levels(grid, [(row[0], row[1]) for row in rows], field)

    def _snapshot(self, book: _Book, data: _BookData, place: str) -> Single:
        book.drop()
        bid_ticks, bid_lots, ask_ticks, ask_lots = self._read(book, data, place)
        book.kept = bool(data.checksum)
        intact = self._proved(book, data, bid_ticks, bid_lots, ask_ticks, ask_lots)
        return DepthSnapshot(
            book.grid.symbol, data.ts * MS, 0, self._id(book, data), bid_ticks, bid_lots, ask_ticks, ask_lots,
            True, intact,
        )  # fmt: skip

    def _update(self, book: _Book, data: _BookData, place: str) -> Single:
        try:
            bid_ticks, bid_lots, ask_ticks, ask_lots = self._read(book, data, place)
        except VenueError:
            book.count += 1  # a hole, where the venue sends no ids; and our strings are no longer the venue's
            raise
        if data.seq_id is None:
            previous_id, last_id = book.count, self._id(book, data)
        else:
            last_id = self._id(book, data)
            previous_id = last_id if data.prev_seq_id is None else max(data.prev_seq_id, 0)
        first_id = previous_id + 1 if previous_id < last_id else last_id
        intact = self._proved(book, data, bid_ticks, bid_lots, ask_ticks, ask_lots)
        return DepthDiff(
            book.grid.symbol, data.ts * MS, 0, first_id, last_id, previous_id, bid_ticks, bid_lots, ask_ticks,
            ask_lots, intact,
        )  # fmt: skip

    def _id(self, book: _Book, data: _BookData) -> int:
        if data.seq_id is not None:
            return max(data.seq_id, 0)
        book.count += 1
        return book.count

    def _proved(
        self, book: _Book, data: _BookData, bid_ticks: list[int], bid_lots: list[int], ask_ticks: list[int],
        ask_lots: list[int],
    ) -> bool | None:  # fmt: skip
        """Keep the strings, and whether they have the venue's checksum; None where it sends none."""
        if book.kept:
            book.bids.change(data.bids, [-ticks for ticks in bid_ticks], bid_lots)
            book.asks.change(data.asks, ask_ticks, ask_lots)
            if max(len(book.bids.keys), len(book.asks.keys)) > LEVELS_MAX:
                book.drop()
                self.checksums.wrong += 1
                return False
        if not book.kept or not data.checksum:
            self.checksums.absent += 1
            return None
        if book.crc() == data.checksum:
            self.checksums.right += 1
            return True
        self.checksums.wrong += 1
        return False

    def _whole(self, book: _Book, data: _BookData, place: str) -> Single:
        found = self._read(book, data, place)
        return DepthSnapshot(book.grid.symbol, data.ts * MS, 0, self._id(book, data), *found, in_stream=True)

    def _best(self, book: _Book, data: _BookData, place: str) -> Single:
        bid_ticks, bid_lots, ask_ticks, ask_lots = self._read(book, data, place)
        bid = (bid_ticks[0], bid_lots[0]) if bid_ticks else (0, 0)
        ask = (ask_ticks[0], ask_lots[0]) if ask_ticks else (0, 0)
        return BookTicker(book.grid.symbol, data.ts * MS, 0, max(data.seq_id or 0, 0), *bid, *ask)

    def _rest_book(self, message: _RestBooks, symbol: str) -> Record:
        name = symbol or self._only_symbol
        if not name:
            raise self.malformed("instId", "a book of REST names no instrument: say whose it is")
        book = self._books.get(name)
        if book is None:
            return Other("market/books", name[:60])
        records: list[Single] = [
            DepthSnapshot(name, data.ts * MS, 0, max(data.seq_id or 0, 0), *self._read(book, data, f"data[{n}]"))
            for n, data in enumerate(message.data)
        ]
        return together(records, "market/books", name)

    # -- trades and liquidations

    def _trades(self, message: _Trades) -> Record:
        records: list[Single] = []
        for n, row in enumerate(message.data):
            grid = self._grids.get(row.inst_id)
            if grid is None:
                records.append(Other("trades", row.inst_id[:60]))
                continue
            try:
                side, ticks, lots = _SIDES[row.side], grid.ticks[row.px], grid.lots[row.sz]
            except (InstrumentError, KeyError):
                self.side(row.side, "buy", "sell", f"data[{n}].side", (BUY, SELL))
                self.ticks(grid, row.px, f"data[{n}].px")
                self.lots(grid, row.sz, f"data[{n}].sz")
                raise
            records.append(Trade(row.inst_id, row.ts * MS, 0, id_of(row.trade_id), side, ticks, lots, MARKET, True))
        return together(records, "trades", "")

    def _liquidations(self, message: _Liquidations) -> Record:
        records: list[Single] = []
        for n, row in enumerate(message.data):
            grid = self._grids.get(row.inst_id)
            if grid is None:
                records.append(Other("liquidation-orders", row.inst_id[:60]))
                continue
            for k, order in enumerate(row.details):
                place = f"data[{n}].details[{k}]"
                side = self.side(order.side, "buy", "sell", f"{place}.side", (BUY, SELL))
                price_e8, ticks = self.rounded(grid.instrument, order.bk_px, f"{place}.bkPx", side)
                lots = self.lots(grid, order.sz, f"{place}.sz")
                records.append(ForceOrder(grid.symbol, order.ts * MS, 0, side, price_e8, ticks, lots, lots))
        return together(records, "liquidation-orders", "")

    # -- mark, index and rate

    def _marks(self, message: _Marks) -> Record:
        records = []
        for n, row in enumerate(message.data):
            context = self._contexts.get(row.inst_id)
            if context is not None:
                context.mark_e8 = self.mark_e8(row.mark_px, f"data[{n}].markPx")
            records.append(self._mark(row.inst_id, row.ts * MS, "mark-price"))
        return together(records, "mark-price", "")

    def _indices(self, message: _Indices) -> Record:
        records: list[Single] = []
        for n, row in enumerate(message.data):
            symbols = self._of_index.get(row.inst_id, [])
            index_e8 = self.mark_e8(row.idx_px, f"data[{n}].idxPx") if symbols else 0
            for symbol in symbols:
                self._contexts[symbol].index_e8 = index_e8
                records.append(self._mark(symbol, row.ts * MS, "index-tickers"))
            if not symbols:
                records.append(Other("index-tickers", row.inst_id[:60]))
        return together(records, "index-tickers", "")

    def _rates(self, message: _Rates) -> Record:
        records = []
        for n, row in enumerate(message.data):
            context = self._contexts.get(row.inst_id)
            if context is not None:
                rate = self.forecast_e12(row.funding_rate, f"data[{n}].fundingRate") if row.funding_rate else None
                context.next_funding_ns = self.time_ns(row.funding_time, f"data[{n}].fundingTime")
                context.rate_e12 = rate
            records.append(self._mark(row.inst_id, self.time_ns(row.ts, f"data[{n}].ts"), "funding-rate"))
        return together(records, "funding-rate", "")

    def _mark(self, symbol: str, ts_ns: int, event: str) -> Single:
        context = self._contexts.get(symbol)
        if context is None or not context.mark_e8:
            return Other(event, symbol[:60])
        return MarkPrice(
            symbol, ts_ns, ts_ns, context.mark_e8, context.index_e8, context.rate_e12, context.next_funding_ns
        )

    # -- the general path

    def _generally(self, raw: bytes, symbol: str) -> Record:
        if raw == b"pong":
            return Other("pong", "")
        message = self.untyped(raw)
        if not isinstance(message, dict):
            raise self.malformed("$", f"expected an object, got {type(message).__name__}")
        self._error_of(message)
        arg = message.get("arg")
        if "event" in message:
            return Other(shown(message["event"]) or "event", shown(arg.get("instId")) if isinstance(arg, dict) else "")
        if isinstance(arg, dict):
            channel = arg.get("channel")
            if not isinstance(channel, str):
                raise self.malformed("arg.channel", "must be a string")
            return self._pushed(channel, shown(arg.get("instId")), raw)
        if "code" not in message or not isinstance(message.get("data"), list):
            raise self.malformed("arg", "neither a push, an event nor a REST body")
        return self._rest(message["data"], raw, symbol)

    def _error_of(self, message: dict[str, Any]) -> None:
        """Raise what a message says is wrong; notices (64008: the connection will close) are none."""
        code = message.get("code")
        if message.get("event") not in (None, "error") or code in (None, "0", 0, ""):
            return
        text = shown(message.get("msg")) or "refused without a reason"
        if isinstance(code, str) and code.isascii() and code.isdigit() and len(code) <= 9:
            raise ERROR_CODES.error(int(code), text)
        raise VenueError(text, venue=self.venue)

    def _pushed(self, channel: str, symbol: str, raw: bytes) -> Record:
        if channel in DEPTHS or channel in ("books5", "bbo-tbt"):
            return self._depth(self.typed(self._books_decoder, raw))
        if channel in ("trades", "trades-all"):
            return self._trades(self.typed(self._trades_decoder, raw))
        found = self._decoders.get(channel)
        if found is None:
            return Other(channel[:60], symbol)
        decoder, take = found
        record: Record = take(self.typed(decoder, raw))
        return record

    def _rest(self, rows: list[Any], raw: bytes, symbol: str) -> Record:
        first = rows[0] if rows and isinstance(rows[0], dict) else {}
        if {"asks", "bids", "ts"} <= first.keys():
            return self._rest_book(self.typed(self._rest_books_decoder, raw), symbol)
        if {"tradeId", "px", "sz", "side", "ts"} <= first.keys() and "ordId" not in first and "sprdId" not in first:
            return oldest_first(self._trades(self.typed(self._trades_decoder, raw)))
        for field, channel in (
            ("markPx", "mark-price"),
            ("idxPx", "index-tickers"),
            ("nextFundingTime", "funding-rate"),
        ):
            if field in first and "instId" in first and "posId" not in first:
                return self._pushed(channel, shown(first["instId"]), raw)
        if "realizedRate" in first:
            return Other("funding history", shown(first.get("instId")))
        return Other("REST body", "")


_SIDES: Final = {"buy": BUY, "sell": SELL}
