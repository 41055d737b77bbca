"""Decoder of Deribit market data: bytes in, typed records of exact integers out.

Theory of operation. Channels become records as follows; what else is well formed becomes ``Other``.

    book.{instrument}.{raw,100ms,agg2}            snapshot -> DepthSnapshot in the stream, change -> DepthDiff
    book.{instrument}.none.{depth}.{interval}     DepthSnapshot in the stream (where no channel above is there)
    trades.{instrument}.{interval}                Trade (several in a message: Batch)
    ticker.{instrument}.{interval}                MarkPrice with current_funding, which accrues: no boundary is next
    quote.{instrument}                            BookTicker
    REST public/get_order_book, get_last_trades_* DepthSnapshot, Trade

Ids. Books chain by ``change_id`` and ``prev_change_id``; quotes have no id, so theirs is 0 and they say nothing about
where in the chain they belong. The id of a trade is ``trade_seq``, which has no holes within an instrument
(``trade_id`` counts the trades of a currency, in a string with the currency's name in front).

The venue writes numbers as JSON floats. They are read as text (``msgspec.Raw``), never as floats, and without their
exponent. Sizes are amounts: USD for inverse contracts, base coin for linear ones. Block trades and legs of combination
trades met no order of the instrument's book; liquidations did (``origin`` COMBO, BLOCK, LIQUIDATION). Times are the
engine's ``timestamp``; the gateway says nothing. Source: docs.deribit.com, subscriptions and public methods.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from matching.codes import BUY, SELL
from venues.deribit.reasons import ERROR_CODES
from venues.errors import InstrumentError, PayloadError, VenueError
from venues.instruments import Instrument
from venues.market_data import Batch, BookTicker, DepthDiff, DepthSnapshot, MarkPrice, Other, Record, Single, Trade
from venues.wire import (
    MARKET,
    MS,
    UNDECODABLE,
    Id,
    Ms,
    NumberCache,
    WireCodec,
    plain_number,
    shown,
    together,
)

PUSH: Final = b'{"jsonrpc":"2.0","method":"subscription","params":{"channel":"'
INTERVALS: Final = frozenset({"raw", "100ms", "agg2"})
NULL: Final = (b"", b"null")

_Number = msgspec.Raw
_MISSING: Final = msgspec.Raw(b"")
_Pairs = list[tuple[_Number, _Number]]


class _BookData(msgspec.Struct, gc=False):
    type: str
    timestamp: Ms
    instrument_name: str
    change_id: Id
    bids: list[tuple[str, _Number, _Number]]
    asks: list[tuple[str, _Number, _Number]]
    prev_change_id: Id | None = None


class _BookParams(msgspec.Struct, gc=False):
    channel: str
    data: _BookData


class _Book(msgspec.Struct, gc=False):
    params: _BookParams


class _WholeData(msgspec.Struct, gc=False):
    timestamp: Ms
    instrument_name: str
    change_id: Id
    bids: _Pairs
    asks: _Pairs


class _WholeParams(msgspec.Struct, gc=False):
    channel: str
    data: _WholeData


class _Whole(msgspec.Struct, gc=False):
    params: _WholeParams


class _TradeRow(msgspec.Struct, gc=False):
    timestamp: Ms
    instrument_name: str
    trade_seq: Id
    direction: str
    price: _Number
    amount: _Number
    block_trade_id: str | None = None
    combo_id: str | None = None
    liquidation: str | None = None


class _TradesParams(msgspec.Struct, gc=False):
    channel: str
    data: list[_TradeRow]


class _Trades(msgspec.Struct, gc=False):
    params: _TradesParams


class _TickerData(msgspec.Struct, gc=False):
    timestamp: Ms
    instrument_name: str
    mark_price: _Number
    index_price: _Number = _MISSING
    current_funding: _Number = _MISSING


class _TickerParams(msgspec.Struct, gc=False):
    channel: str
    data: _TickerData


class _Ticker(msgspec.Struct, gc=False):
    params: _TickerParams


class _QuoteData(msgspec.Struct, gc=False):
    timestamp: Ms
    instrument_name: str
    best_bid_price: _Number
    best_bid_amount: _Number
    best_ask_price: _Number
    best_ask_amount: _Number


class _QuoteParams(msgspec.Struct, gc=False):
    channel: str
    data: _QuoteData


class _Quote(msgspec.Struct, gc=False):
    params: _QuoteParams


class _RestBook(msgspec.Struct, gc=False):
    result: _WholeData


class _RestTradeList(msgspec.Struct, gc=False):
    trades: list[_TradeRow]


class _RestTrades(msgspec.Struct, gc=False):
    result: _RestTradeList


class _Numbers:
    """An instrument with parse caches over the text of JSON numbers, and the channel that its book comes from."""

    __slots__ = ("channel", "instrument", "lots", "symbol", "ticks")

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.symbol = instrument.symbol
        self.ticks = NumberCache(instrument.ticks_from_str)
        self.lots = NumberCache(instrument.lots_from_str)
        self.channel = ""


class DeribitCodec(WireCodec):
    """Decodes what one Deribit connection delivers, of the given instruments; see the module."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        super().__init__(instruments)
        self._numbers = {symbol: _Numbers(grid.instrument) for symbol, grid in self._grids.items()}
        self._book_decoder = msgspec.json.Decoder(_Book)
        self._whole_decoder = msgspec.json.Decoder(_Whole)
        self._trades_decoder = msgspec.json.Decoder(_Trades)
        self._ticker_decoder = msgspec.json.Decoder(_Ticker)
        self._quote_decoder = msgspec.json.Decoder(_Quote)
        self._rest_book_decoder = msgspec.json.Decoder(_RestBook)
        self._rest_trades_decoder = msgspec.json.Decoder(_RestTrades)

    def restart(self) -> None:
        """Forget which channel each book comes from."""
        for numbers in self._numbers.values():
            numbers.channel = ""

    def decode(self, raw: bytes, symbol: str = "") -> Record:
        """One frame or REST body as a record. Raises ``PayloadError`` naming the field, or another ``VenueError``."""
        try:
            if raw.startswith(PUSH):
                if raw.startswith(b"book.", len(PUSH)):
                    return self._book(self._book_decoder.decode(raw).params)
                if raw.startswith(b"trades.", len(PUSH)):
                    return self._trades(self._trades_decoder.decode(raw).params.data, "params.data")
                if raw.startswith(b"ticker.", len(PUSH)):
                    return self._ticker(self._ticker_decoder.decode(raw).params)
                if raw.startswith(b"quote.", len(PUSH)):
                    return self._quote(self._quote_decoder.decode(raw).params)
        except UNDECODABLE:
            pass
        return self._generally(raw)

    # -- books

    def _book(self, params: _BookParams) -> Single:
        data = params.data
        numbers = self._numbers.get(data.instrument_name)
        if numbers is None:
            return Other("book", data.instrument_name[:60])
        if params.channel.rpartition(".")[2] not in INTERVALS or params.channel.count(".") != 2:
            return Other("book", numbers.symbol)
        if data.type not in ("snapshot", "change"):
            raise self.malformed("params.data.type", f"{data.type[:40]!r} is neither snapshot nor change")
        if not self._is_the_book(numbers, params.channel):
            return Other("book beside another", numbers.symbol)
        bid_ticks, bid_lots = self._changes(numbers, data.bids, "params.data.bids")
        ask_ticks, ask_lots = self._changes(numbers, data.asks, "params.data.asks")
        ts_ns = data.timestamp * MS
        if data.type == "snapshot":
            return DepthSnapshot(
                numbers.symbol, ts_ns, 0, data.change_id, bid_ticks, bid_lots, ask_ticks, ask_lots, in_stream=True
            )
        previous_id = data.prev_change_id
        if previous_id is None:
            raise self.malformed("params.data.prev_change_id", "a change must say which one it follows")
        first_id = min(previous_id + 1, data.change_id)
        return DepthDiff(
            numbers.symbol, ts_ns, 0, first_id, data.change_id, previous_id, bid_ticks, bid_lots, ask_ticks, ask_lots
        )

    def _is_the_book(self, numbers: _Numbers, channel: str) -> bool:
        """One book per instrument: the first channel of changes; whole books give way to it."""
        whole = channel.count(".") > 2
        if numbers.channel != channel and (not numbers.channel or (numbers.channel.count(".") > 2 and not whole)):
            numbers.channel = channel
        return numbers.channel == channel

    def _changes(
        self, numbers: _Numbers, rows: list[tuple[str, msgspec.Raw, msgspec.Raw]], field: str
    ) -> tuple[list[int], list[int]]:
        ticks, lots = numbers.ticks, numbers.lots
        try:
            return (
                [ticks[bytes(price)] for _, price, _ in rows],
                [_SIZED[action] and lots[bytes(amount)] for action, _, amount in rows],
            )
        except (InstrumentError, KeyError):
            for index, (action, price, amount) in enumerate(rows):
                if action not in _SIZED:
                    raise self.malformed(f"{field}[{index}][0]", f"{action[:40]!r} is no kind of change") from None
                self._parsed(ticks, price, f"{field}[{index}][1]")
                self._parsed(lots, amount, f"{field}[{index}][2]")
            raise

    def _parsed(self, cache: NumberCache, number: msgspec.Raw, field: str) -> int:
        try:
            return cache[bytes(number)]
        except InstrumentError as error:
            raise self.malformed(field, str(error)) from None

    def _whole(self, data: _WholeData, place: str, in_stream: bool) -> Single:
        numbers = self._numbers.get(data.instrument_name)
        if numbers is None:
            return Other("book", data.instrument_name[:60])
        bid_ticks, bid_lots = self._pairs(numbers, data.bids, f"{place}.bids")
        ask_ticks, ask_lots = self._pairs(numbers, data.asks, f"{place}.asks")
        ts_ns = data.timestamp * MS
        return DepthSnapshot(
            numbers.symbol, ts_ns, 0, data.change_id, bid_ticks, bid_lots, ask_ticks, ask_lots, in_stream=in_stream
        )

    def _pairs(self, numbers: _Numbers, rows: _Pairs, field: str) -> tuple[list[int], list[int]]:
        return (
            [self._parsed(numbers.ticks, row[0], f"{field}[{index}][0]") for index, row in enumerate(rows)],
            [self._parsed(numbers.lots, row[1], f"{field}[{index}][1]") for index, row in enumerate(rows)],
        )

    # -- trades

    def _trades(self, rows: list[_TradeRow], place: str) -> Record:
        records: list[Single] = []
        for index, row in enumerate(rows):
            numbers = self._numbers.get(row.instrument_name)
            if numbers is None:
                records.append(Other("trades", row.instrument_name[:60]))
                continue
            field = f"{place}[{index}]"
            side = self.side(row.direction, "buy", "sell", f"{field}.direction", (BUY, SELL))
            on_book = not (row.block_trade_id or row.combo_id)
            origin = "BLOCK" if row.block_trade_id else "COMBO" if row.combo_id else MARKET
            if on_book and row.liquidation:
                origin = "LIQUIDATION"
            try:
                ticks = numbers.ticks[bytes(row.price)]
            except InstrumentError as error:
                if on_book:
                    raise self.malformed(f"{field}.price", str(error)) from None
                text = plain_number(bytes(row.price))
                ticks = self.rounded(numbers.instrument, text, f"{field}.price", BUY)[1]
            lots = self._parsed(numbers.lots, row.amount, f"{field}.amount")
            ts_ns = row.timestamp * MS
            records.append(Trade(numbers.symbol, ts_ns, 0, row.trade_seq, side, ticks, lots, origin, on_book))
        return together(records, "trades", "")

    # -- marks and quotes

    def _ticker(self, params: _TickerParams) -> Single:
        data = params.data
        if data.instrument_name not in self._numbers:
            return Other("ticker", data.instrument_name[:60])
        mark_e8 = self.mark_e8(plain_number(bytes(data.mark_price)), "params.data.mark_price")
        index, rate = bytes(data.index_price), bytes(data.current_funding)
        index_e8 = 0 if index in NULL else self.mark_e8(plain_number(index), "params.data.index_price")
        rate_e12 = None
        if rate not in NULL:
            rate_e12 = self.forecast_e12(plain_number(rate), "params.data.current_funding")
        ts_ns = data.timestamp * MS
        return MarkPrice(data.instrument_name, ts_ns, ts_ns, mark_e8, index_e8, rate_e12, 0)

    def _quote(self, params: _QuoteParams) -> Single:
        data = params.data
        numbers = self._numbers.get(data.instrument_name)
        if numbers is None:
            return Other("quote", data.instrument_name[:60])
        found = []
        for name in ("bid", "ask"):
            price, amount = getattr(data, f"best_{name}_price"), getattr(data, f"best_{name}_amount")
            if bytes(price) in NULL or bytes(amount) in NULL:
                found += [0, 0]
            else:
                found.append(self._parsed(numbers.ticks, price, f"params.data.best_{name}_price"))
                found.append(self._parsed(numbers.lots, amount, f"params.data.best_{name}_amount"))
        return BookTicker(numbers.symbol, data.timestamp * MS, 0, 0, *found)

    # -- the general path

    def _generally(self, raw: bytes) -> Record:
        message = self.untyped(raw, float_hook=str)
        if not isinstance(message, dict):
            raise self.malformed("$", f"expected an object, got {type(message).__name__}")
        if "error" in message:
            raise self._error(message["error"])
        method = message.get("method")
        if method == "subscription":
            params = message.get("params")
            channel = params.get("channel") if isinstance(params, dict) else None
            if not isinstance(channel, str):
                raise self.malformed("params.channel", "must be a string")
            return self._pushed(channel, raw)
        if method == "heartbeat":
            return Other("heartbeat", "")
        if "result" not in message:
            raise self.malformed("method", "neither a subscription, a heartbeat nor a reply")
        return self._reply(message["result"], raw)

    def _pushed(self, channel: str, raw: bytes) -> Record:
        kind, *rest = channel.split(".", 5)
        if kind == "book" and len(rest) == 2:
            return self._book(self.typed(self._book_decoder, raw).params)
        if kind == "book" and len(rest) == 4 and rest[1] == "none":
            params = self.typed(self._whole_decoder, raw).params
            numbers = self._numbers.get(params.data.instrument_name)
            if numbers is None or self._is_the_book(numbers, params.channel):
                return self._whole(params.data, "params.data", in_stream=True)
            return Other("book beside another", numbers.symbol)
        if kind == "trades" and len(rest) == 2:
            return self._trades(self.typed(self._trades_decoder, raw).params.data, "params.data")
        if kind == "ticker" and len(rest) == 2:
            return self._ticker(self.typed(self._ticker_decoder, raw).params)
        if kind == "quote" and len(rest) == 1:
            return self._quote(self.typed(self._quote_decoder, raw).params)
        return Other(kind[:60], rest[0][:60] if rest else "")

    def _reply(self, result: Any, raw: bytes) -> Record:
        if isinstance(result, dict):
            if {"bids", "asks", "change_id", "timestamp"} <= result.keys():
                return self._whole(self.typed(self._rest_book_decoder, raw).result, "result", in_stream=False)
            if "trades" in result and "has_more" in result and "order" not in result:
                found = self._trades(self.typed(self._rest_trades_decoder, raw).result.trades, "result.trades")
                if isinstance(found, Batch):  # in whichever order was asked for
                    return Batch(tuple(sorted(found.records, key=_numbered)))
                return found
        return Other("reply", "")

    def _error(self, error: Any) -> VenueError:
        if isinstance(error, dict) and isinstance(error.get("code"), int) and not isinstance(error["code"], bool):
            return ERROR_CODES.error(error["code"], shown(error.get("message")))
        return PayloadError("must be an object with a code", venue=self.venue, field="error")


def _numbered(record: Single) -> tuple[int, int]:
    return (record.ts_event_ns, record.trade_id) if isinstance(record, Trade) else (0, 0)


_SIZED: Final = {"new": 1, "change": 1, "delete": 0}
