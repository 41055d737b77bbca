"""Bybit's v2 websocket (until 2023), for captures of that time: books by inserts, updates and deletes, and trades.

    orderBookL2_25, orderBook_200   snapshot -> DepthSnapshot in the stream, delta -> DepthDiff
    trade                           Trade (several in a message: Batch)

Everything else of v2 (instrument_info, klines, insurance) is ``Other``: it says nothing that v5 captures need.

A message carries ``cross_seq``, which rises, and no number that would tell that one is missing. So every delta follows
the message before it on its topic: what was lost shows only as a crossed book or as a row that was never there. Rows
are by id; ids are prices, so a change of the row's price is two rows. Numbers come as JSON numbers or as strings, with
both spellings in one capture (linear and inverse): they are read as text. Sizes of linear books passed through
arithmetic of single precision at the venue (284.7 comes as 284.69998): one that is off the grid is the nearest multiple
of the lot if it is within two steps of single precision of it, and is refused otherwise. Books' times are
``timestamp_e6``; their engine's time is 0 in deltas and absent in snapshots. Source: captured frames of 2021.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import partial

import msgspec

from matching.codes import BUY, SELL
from venues.errors import InstrumentError
from venues.instruments import MAX_DECIMALS, Instrument, scaled_from_str
from venues.market_data import DepthDiff, DepthSnapshot, Other, Record, Single, Trade
from venues.wire import MARKET, MAX_MS, MS, Grid, Id, Ms, NumberCache, WireCodec, id_of, together

BOOKS = ("orderBookL2_25", "orderBook_200")
US = 1_000  # nanoseconds
SINGLE_BITS = 22  # of the 23 in the fraction of a single-precision number; the last one is the venue's rounding
SINGLE_LOTS_MAX = 1 << 20  # up to here neighbours on the grid are told apart
_ZERO = msgspec.Raw(b"0")


class _Row(msgspec.Struct, gc=False):
    price: msgspec.Raw
    symbol: str
    side: str
    size: msgspec.Raw = _ZERO


class _Rows(msgspec.Struct, gc=False):
    order_book: list[_Row]


class _Changes(msgspec.Struct, gc=False):
    delete: list[_Row] = []
    update: list[_Row] = []
    insert: list[_Row] = []


class _Head(msgspec.Struct, gc=False):
    topic: str
    type: str
    data: msgspec.Raw
    cross_seq: Id
    timestamp_e6: Id


class _TradeRow(msgspec.Struct, gc=False):
    symbol: str
    price: msgspec.Raw
    size: msgspec.Raw
    side: str
    trade_time_ms: Ms
    trade_id: str


class _Trades(msgspec.Struct, gc=False):
    topic: str
    data: list[_TradeRow]


def lots_of_single(instrument: Instrument, text: str) -> int:
    """A size as lots, also where the venue sent the single-precision neighbour of a size on the grid."""
    try:
        return instrument.lots_from_str(text)
    except InstrumentError:
        size = Fraction(scaled_from_str(text, MAX_DECIMALS), 10**MAX_DECIMALS)
        lot = Fraction(instrument.lot_size)
        lots = round(size / lot)
        if 0 < lots < SINGLE_LOTS_MAX and abs(size - lots * lot) * (1 << SINGLE_BITS) <= size:
            return lots
        raise


class _Market:
    """An instrument's parse caches over the text of JSON numbers, and the ``cross_seq`` of its book."""

    __slots__ = ("last_id", "lots", "symbol", "ticks")

    def __init__(self, grid: Grid) -> None:
        self.symbol = grid.symbol
        self.ticks = NumberCache(grid.instrument.ticks_from_str)
        self.lots = NumberCache(partial(lots_of_single, grid.instrument))
        self.last_id = 0


class BybitV2:
    """The v2 topics of a codec's instruments; errors are raised in the name of that codec."""

    def __init__(self, codec: WireCodec, grids: Mapping[str, Grid]) -> None:
        self._codec = codec
        self._markets = {symbol: _Market(grid) for symbol, grid in grids.items()}
        self._head_decoder = msgspec.json.Decoder(_Head, strict=False)
        self._list_decoder = msgspec.json.Decoder(list[_Row])
        self._rows_decoder = msgspec.json.Decoder(_Rows)
        self._changes_decoder = msgspec.json.Decoder(_Changes)
        self._trades_decoder = msgspec.json.Decoder(_Trades, strict=False)

    def book(self, raw: bytes) -> Single:
        """One message of an order-book topic."""
        head = self._codec.typed(self._head_decoder, raw)
        symbol = head.topic.rpartition(".")[2]
        market = self._markets.get(symbol)
        if market is None:
            return Other(head.topic.partition(".")[0][:60], symbol[:60])
        if head.timestamp_e6 > MAX_MS * 1000:
            raise self._codec.malformed("timestamp_e6", f"{head.timestamp_e6} is out of range")
        ts_ns, body = head.timestamp_e6 * US, bytes(head.data)
        if head.type == "snapshot":
            whole = body.lstrip().startswith(b"[")
            found = self._codec.typed(self._list_decoder if whole else self._rows_decoder, body)
            bids, asks = self._sides(
                market, found if whole else found.order_book, "data" if whole else "data.order_book"
            )
            market.last_id = head.cross_seq
            bid_ticks, ask_ticks = sorted(bids, reverse=True), sorted(asks)
            return DepthSnapshot(
                symbol, ts_ns, ts_ns, head.cross_seq, bid_ticks, [bids[at] for at in bid_ticks], ask_ticks,
                [asks[at] for at in ask_ticks], in_stream=True,
            )  # fmt: skip
        if head.type != "delta":
            raise self._codec.malformed("type", f"{head.type[:40]!r} is neither snapshot nor delta")
        changes = self._codec.typed(self._changes_decoder, body)
        for row in changes.delete:
            row.size = _ZERO
        bids, asks = self._sides(market, [*changes.delete, *changes.update, *changes.insert], "data rows")
        previous_id, market.last_id = market.last_id, head.cross_seq
        return DepthDiff(
            symbol, ts_ns, ts_ns, min(previous_id + 1, head.cross_seq), head.cross_seq, previous_id, list(bids),
            list(bids.values()), list(asks), list(asks.values()),
        )  # fmt: skip

    def restart(self) -> None:
        """Forget where the books are: the topics begin with a snapshot."""
        for market in self._markets.values():
            market.last_id = 0

    def _sides(self, market: _Market, rows: list[_Row], place: str) -> tuple[dict[int, int], dict[int, int]]:
        sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        for n, row in enumerate(rows):
            side = self._codec.side(row.side, "Buy", "Sell", f"{place}[{n}].side", (0, 1))
            ticks = self._parsed(market.ticks, row.price, f"{place}[{n}].price")
            sides[side][ticks] = self._parsed(market.lots, row.size, f"{place}[{n}].size")
        return sides

    def _parsed(self, cache: NumberCache, number: msgspec.Raw, field: str) -> int:
        try:
            return cache[bytes(number)]
        except InstrumentError as error:
            raise self._codec.malformed(field, str(error)) from None

    def trades(self, raw: bytes) -> Record:
        """One message of a trade topic."""
        records: list[Single] = []
        for n, row in enumerate(self._codec.typed(self._trades_decoder, raw).data):
            market = self._markets.get(row.symbol)
            if market is None:
                records.append(Other("trade", row.symbol[:60]))
                continue
            side = self._codec.side(row.side, "Buy", "Sell", f"data[{n}].side", (BUY, SELL))
            ticks = self._parsed(market.ticks, row.price, f"data[{n}].price")
            lots = self._parsed(market.lots, row.size, f"data[{n}].size")
            ts_ns = row.trade_time_ms * MS
            records.append(Trade(row.symbol, ts_ns, 0, id_of(row.trade_id), side, ticks, lots, MARKET, True))
        return together(records, "trade", "")
