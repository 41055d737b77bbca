"""Decoder of Hyperliquid market data: bytes in, typed records of exact integers out.

Theory of operation. Channels become records as follows; what else is well formed becomes ``Other``.

    l2Book, REST l2Book      DepthSnapshot: every message is the whole book (20 levels a side at most)
    bbo                      BookTicker; a side that is null is empty
    trades, recentTrades     Trade (several in a message: Batch)
    activeAssetCtx           MarkPrice: mark, oracle price as index, the hourly rate, charged at the next full hour

Ids. The venue numbers nothing: the block's time in milliseconds stands for the id of a book and of a best quote, which
is comparable between the two and rises by at least one from block to block. ``tid`` is the trade's id. Books of REST
are as of a block too, so they join like those of the stream, and replace it in the same way.

Times are block times (``ts_event_ns``); the gateway says nothing. activeAssetCtx has no time at all: its times are 0,
and the next full hour is that after the latest block time which the connection has shown (0 before the first), so that
for a moment after the hour it may still be the old one.

A book that was asked for with fewer significant digits (nSigFigs) looks like any other: its prices lie on the grid.
Subscribe without. Source: hyperliquid.gitbook.io, for-developers/api (websocket/subscriptions, info-endpoint).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from matching.codes import BUY, SELL
from venues.errors import InstrumentError, VenueError
from venues.instruments import Instrument
from venues.market_data import BookTicker, DepthSnapshot, MarkPrice, Other, Record, Single, Trade
from venues.wire import MARKET, MS, UNDECODABLE, Grid, Id, Ms, WireCodec, next_hour_ns, oldest_first, shown, together

GREETING: Final = b"Websocket connection established."


class _Level(msgspec.Struct, gc=False):
    px: str
    sz: str


class _BookData(msgspec.Struct, gc=False):
    coin: str
    time: Ms
    levels: tuple[list[_Level], list[_Level]]


class _Book(msgspec.Struct, gc=False):
    data: _BookData


class _BestData(msgspec.Struct, gc=False):
    coin: str
    time: Ms
    bbo: tuple[_Level | None, _Level | None]


class _Best(msgspec.Struct, gc=False):
    data: _BestData


class _TradeRow(msgspec.Struct, gc=False):
    coin: str
    side: str
    px: str
    sz: str
    time: Ms
    tid: Id


class _Trades(msgspec.Struct, gc=False):
    data: list[_TradeRow]


class _Context(msgspec.Struct, gc=False, rename={"mark": "markPx", "oracle": "oraclePx"}):
    mark: str
    funding: str = ""
    oracle: str = ""


class _ContextData(msgspec.Struct, gc=False):
    coin: str
    ctx: _Context


class _AssetContext(msgspec.Struct, gc=False):
    data: _ContextData


class HyperliquidCodec(WireCodec):
    """Decodes what one Hyperliquid connection delivers, of the given instruments; see the module."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        super().__init__(instruments)
        self._book_decoder = msgspec.json.Decoder(_Book)
        self._best_decoder = msgspec.json.Decoder(_Best)
        self._trades_decoder = msgspec.json.Decoder(_Trades)
        self._context_decoder = msgspec.json.Decoder(_AssetContext)
        self._rest_book_decoder = msgspec.json.Decoder(_BookData)
        self._rest_trades_decoder = msgspec.json.Decoder(list[_TradeRow])
        self._latest_ms = 0

    def restart(self) -> None:
        """Forget the latest block time."""
        self._latest_ms = 0

    def decode(self, raw: bytes, symbol: str = "") -> Record:
        """One frame or REST body as a record. Raises ``PayloadError`` naming the field, or another ``VenueError``."""
        try:
            if raw.startswith(b'{"channel":"l2Book","data":{'):
                message = self._book_decoder.decode(raw)
                return self._book(message.data, "data.")
            if raw.startswith(b'{"channel":"trades","data":['):
                return self._trades(self._trades_decoder.decode(raw).data, "data")
            if raw.startswith(b'{"channel":"bbo","data":{'):
                return self._best(self._best_decoder.decode(raw).data)
        except UNDECODABLE:
            pass
        return self._generally(raw)

    # -- records

    def _book(self, data: _BookData, place: str) -> Single:
        grid = self._grids.get(data.coin)
        if grid is None:
            return Other("l2Book", data.coin[:60])
        self._latest_ms = max(self._latest_ms, data.time)
        bid_ticks, bid_lots = self._side(grid, data.levels[0], f"{place}levels[0]")
        ask_ticks, ask_lots = self._side(grid, data.levels[1], f"{place}levels[1]")
        return DepthSnapshot(
            data.coin, data.time * MS, 0, data.time, bid_ticks, bid_lots, ask_ticks, ask_lots, in_stream=True
        )

    def _side(self, grid: Grid, rows: list[_Level], field: str) -> tuple[list[int], list[int]]:
        ticks, lots = grid.ticks, grid.lots
        try:
            return [ticks[row.px] for row in rows], [lots[row.sz] for row in rows]
        except InstrumentError:
            for index, row in enumerate(rows):
                self.ticks(grid, row.px, f"{field}[{index}].px")
                self.lots(grid, row.sz, f"{field}[{index}].sz")
            raise

    def _best(self, data: _BestData) -> Single:
        grid = self._grids.get(data.coin)
        if grid is None:
            return Other("bbo", data.coin[:60])
        self._latest_ms = max(self._latest_ms, data.time)
        found = []
        for index, level in enumerate(data.bbo):
            if level is None:
                found += [0, 0]
            else:
                found.append(self.ticks(grid, level.px, f"data.bbo[{index}].px"))
                found.append(self.lots(grid, level.sz, f"data.bbo[{index}].sz"))
        return BookTicker(data.coin, data.time * MS, 0, data.time, *found)

    def _trades(self, rows: list[_TradeRow], place: str) -> Record:
        records: list[Single] = []
        for index, row in enumerate(rows):
            grid = self._grids.get(row.coin)
            if grid is None:
                records.append(Other("trades", row.coin[:60]))
                continue
            try:
                side, ticks, lots = _SIDES[row.side], grid.ticks[row.px], grid.lots[row.sz]
            except (InstrumentError, KeyError):
                field = f"{place}[{index}]"
                self.side(row.side, "B", "A", f"{field}.side", (BUY, SELL))
                self.ticks(grid, row.px, f"{field}.px")
                self.lots(grid, row.sz, f"{field}.sz")
                raise
            self._latest_ms = max(self._latest_ms, row.time)
            records.append(Trade(row.coin, row.time * MS, 0, row.tid, side, ticks, lots, MARKET, True))
        return together(records, "trades", "")

    def _context(self, data: _ContextData) -> Single:
        if data.coin not in self._grids:
            return Other("activeAssetCtx", data.coin[:60])
        ctx = data.ctx
        mark_e8 = self.mark_e8(ctx.mark, "data.ctx.markPx")
        index_e8 = self.mark_e8(ctx.oracle, "data.ctx.oraclePx") if ctx.oracle else 0
        rate_e12 = self.forecast_e12(ctx.funding, "data.ctx.funding") if ctx.funding else None
        return MarkPrice(data.coin, 0, 0, mark_e8, index_e8, rate_e12, next_hour_ns(self._latest_ms * MS))

    # -- the general path

    def _generally(self, raw: bytes) -> Record:
        if raw.strip() == GREETING:
            return Other("greeting", "")
        message = self.untyped(raw)
        if isinstance(message, list):
            return self._rest_list(message, raw)
        if not isinstance(message, dict):
            if message is None:
                return Other("REST null", "")
            raise self.malformed("$", f"expected an object, got {type(message).__name__}")
        if "channel" not in message:
            if {"coin", "levels", "time"} <= message.keys():
                return self._book(self.typed(self._rest_book_decoder, raw), "")
            if message.get("status") == "err":
                raise VenueError(shown(message.get("response")) or "refused", venue=self.venue)
            return Other("REST body", "")
        channel = message["channel"]
        if channel == "l2Book":
            return self._book(self.typed(self._book_decoder, raw).data, "data.")
        if channel == "trades":
            return self._trades(self.typed(self._trades_decoder, raw).data, "data")
        if channel == "bbo":
            return self._best(self.typed(self._best_decoder, raw).data)
        if channel == "activeAssetCtx":
            return self._context(self.typed(self._context_decoder, raw).data)
        if channel == "error":
            raise VenueError(shown(message.get("data")) or "refused without a reason", venue=self.venue)
        if not isinstance(channel, str):
            raise self.malformed("channel", "must be a string")
        return Other(channel[:60], "")

    def _rest_list(self, rows: list[Any], raw: bytes) -> Record:
        """Recent trades, and the lists of other questions: funding history, metadata, an account's fills."""
        first = rows[0] if rows else None
        if isinstance(first, dict):
            if {"tid", "px", "side", "users"} <= first.keys():
                return oldest_first(self._trades(self.typed(self._rest_trades_decoder, raw), "$"))
            if {"fundingRate", "coin", "time"} <= first.keys():
                return Other("funding history", shown(first["coin"]))
        return Other("REST list", "")


_SIDES: Final = {"B": BUY, "A": SELL}
