"""Decoder of dYdX v4 market data (the indexer's): bytes in, typed records of exact integers out.

Theory of operation. Channels become records as follows; what else is well formed becomes ``Other``.

    v4_orderbook   subscribed -> DepthSnapshot in the stream, channel_data and channel_batch_data -> DepthDiff
    v4_trades      Trade (several in a message: Batch); the history that comes on subscribing is Other
    v4_markets     MarkPrice (several: Batch): the oracle price is mark and index, nextFundingRate the hourly rate
    REST orderbooks, trades    DepthSnapshot, Trade

Ids. The indexer numbers the messages of a connection (``message_id``), whatever their channel, and nothing else. A
diff's ``last_id`` is its message's, and its ``previous_id`` that of the market's message before it, as long as no
number of the connection is missing: after a hole the next diff of every market names an id that nothing has had, and so
does the first one after a message that could not be read. Several changes in one message become one diff. A book of
REST has neither id nor time, so it joins nothing: its ``last_id`` is 0.

Crossed books. The indexer merges what several nodes believe, so a bid at or above an ask is normal here, and the levels
are stated as sent. Who keeps the book takes the newer of two levels that cross (by ``last_id``), and of two from the
same message the rest of the larger one; the venue's next message about either level rules.

Times. Books have none (0: the reader takes the receive time). Trades have their block's, oracle prices theirs. The
next full hour, at which funding is charged, is that after the latest of these times; 0 before the first. Trade ids are
made of block height, transaction and event, which are packed into the record's id. Rates are quotients of 20 digits,
rounded to 1e-12. Deleveraging is off the book. Source: dydxprotocol/v4-documentation at 3e475b7, indexer-client.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec

from matching.codes import BUY, SELL
from venues.errors import InstrumentError, VenueError
from venues.instruments import MAX_INT64, Instrument
from venues.market_data import DepthDiff, DepthSnapshot, MarkPrice, Other, Record, Single, Trade
from venues.wire import MARKET, UNDECODABLE, Grid, Id, WireCodec, id_of, next_hour_ns, oldest_first, shown, together

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
CONNECTION_CHARS: Final = 100  # of a connection's name that are compared
TRANSACTION_BITS: Final = 12
EVENT_BITS: Final = 20
HEIGHT_BITS: Final = 31

_Row = Annotated[list[str], msgspec.Meta(min_length=2)]  # price, size, offset


class _Frame(msgspec.Struct, gc=False):
    type: str
    connection_id: str
    message_id: Id
    channel: str = ""
    id: str = ""
    message: str = ""
    contents: msgspec.Raw = msgspec.Raw(b"null")


class _Change(msgspec.Struct, gc=False):
    bids: list[_Row] = []
    asks: list[_Row] = []


class _Level(msgspec.Struct, gc=False):
    price: str
    size: str


class _Whole(msgspec.Struct, gc=False):
    bids: list[_Level]
    asks: list[_Level]


class _TradeRow(msgspec.Struct, gc=False, rename={"created_at": "createdAt"}):
    id: str
    side: str
    size: str
    price: str
    created_at: str
    type: str = "LIMIT"


class _Trades(msgspec.Struct, gc=False):
    trades: list[_TradeRow]


class _Oracle(msgspec.Struct, gc=False, rename={"price": "oraclePrice", "at": "effectiveAt"}):
    price: str
    at: str = ""


class _Market(msgspec.Struct, gc=False, rename={"price": "oraclePrice", "rate": "nextFundingRate"}):
    price: str | None = None
    rate: str | None = None


class _Markets(msgspec.Struct, gc=False, rename={"oracle_prices": "oraclePrices"}):
    markets: dict[str, _Market] = {}
    trading: dict[str, _Market] = {}
    oracle_prices: dict[str, _Oracle] = {}


class _Result(msgspec.Struct, gc=False):
    result: msgspec.Raw


class _Context:
    """The latest oracle price and rate of a market."""

    __slots__ = ("price_e8", "rate_e12")

    def __init__(self) -> None:
        self.price_e8 = 0
        self.rate_e12: int | None = None


class DydxCodec(WireCodec):
    """Decodes what one connection to the indexer delivers, of the given markets; see the module.

    REST bodies name no market; they belong to ``decode``'s argument, or to the only market there is.
    """

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        super().__init__(instruments)
        self._frame_decoder = msgspec.json.Decoder(_Frame)
        self._whole_decoder = msgspec.json.Decoder(_Whole)
        self._change_decoder = msgspec.json.Decoder(_Change)
        self._changes_decoder = msgspec.json.Decoder(list[_Change])
        self._trades_decoder = msgspec.json.Decoder(_Trades)
        self._trade_lists_decoder = msgspec.json.Decoder(list[_Trades])
        self._markets_decoder = msgspec.json.Decoder(_Markets)
        self._market_lists_decoder = msgspec.json.Decoder(list[_Markets])
        self._result_decoder = msgspec.json.Decoder(_Result)
        self.restart()

    def restart(self) -> None:
        """Forget the connection's numbers and the markets' prices and rates."""
        self._connection = ""
        self._message_id = -1
        self._last_ids: dict[str, int] = {}  # of each market's last book message, while no number is missing
        self._contexts = {symbol: _Context() for symbol in self._grids}
        self._latest_ns = 0

    def decode(self, raw: bytes, symbol: str = "") -> Record:
        """One frame or REST body as a record. Raises ``PayloadError`` naming the field, or another ``VenueError``."""
        try:
            frame = self._frame_decoder.decode(raw)
        except UNDECODABLE:
            return self._generally(raw, symbol)
        return self._framed(frame)

    def _framed(self, frame: _Frame) -> Record:
        connection = frame.connection_id[:CONNECTION_CHARS]
        if frame.message_id != self._message_id + 1 or connection != self._connection:
            self._last_ids.clear()
            self._connection = connection
        self._message_id = frame.message_id
        kind = frame.type
        if kind == "error":
            raise VenueError(shown(frame.message) or "refused without a reason", venue=self.venue)
        if kind not in ("subscribed", "channel_data", "channel_batch_data"):
            return Other(kind[:60] or "frame", frame.id[:60])
        if frame.channel == "v4_orderbook":
            return self._book(frame)
        if frame.channel == "v4_trades":
            return self._traded(frame)
        if frame.channel == "v4_markets":
            return self._marked(frame)
        return Other(frame.channel[:60] or kind, frame.id[:60])

    def _contents(self, decoder: msgspec.json.Decoder[Any], contents: msgspec.Raw, place: str = "contents") -> Any:
        try:
            return decoder.decode(contents)
        except UNDECODABLE:
            try:
                return self.typed(decoder, bytes(contents))
            except VenueError as error:
                field = getattr(error, "field", "$")
                why = getattr(error, "why", error.text)
                raise self.malformed(place if field == "$" else f"{place}.{field}".replace(".[", "["), why) from None

    # -- books

    def _book(self, frame: _Frame) -> Single:
        grid = self._grids.get(frame.id)
        if grid is None:
            return Other("v4_orderbook", frame.id[:60])
        last_id = frame.message_id
        previous_id = self._last_ids.pop(frame.id, max(last_id - 1, 0))  # popped: what is refused is followed by none
        if frame.type == "subscribed":
            record: Single = self._whole(grid, self._contents(self._whole_decoder, frame.contents), last_id, "contents")
        else:
            record = self._diff(grid, frame, previous_id)
        self._last_ids[frame.id] = last_id
        return record

    def _whole(self, grid: Grid, book: _Whole, last_id: int, place: str) -> DepthSnapshot:
        bids = [(row.price, row.size) for row in book.bids]
        asks = [(row.price, row.size) for row in book.asks]
        bid_ticks, bid_lots = self.levels(grid, bids, f"{place}.bids")
        ask_ticks, ask_lots = self.levels(grid, asks, f"{place}.asks")
        return DepthSnapshot(
            grid.symbol, 0, 0, last_id, bid_ticks, bid_lots, ask_ticks, ask_lots, in_stream=place == "contents"
        )

    def _diff(self, grid: Grid, frame: _Frame, previous_id: int) -> DepthDiff:
        if frame.type == "channel_batch_data":
            changes = self._contents(self._changes_decoder, frame.contents)
        else:
            changes = [self._contents(self._change_decoder, frame.contents)]
        bids: dict[int, int] = {}
        asks: dict[int, int] = {}
        for n, change in enumerate(changes):
            place = f"contents[{n}]" if frame.type == "channel_batch_data" else "contents"
            self._merge(grid, bids, change.bids, f"{place}.bids")
            self._merge(grid, asks, change.asks, f"{place}.asks")
        first_id = min(previous_id + 1, frame.message_id)
        return DepthDiff(
            grid.symbol, 0, 0, first_id, frame.message_id, previous_id, list(bids), list(bids.values()), list(asks),
            list(asks.values()),
        )  # fmt: skip

    def _merge(self, grid: Grid, side: dict[int, int], rows: list[list[str]], field: str) -> None:
        ticks, lots = grid.ticks, grid.lots
        try:
            for row in rows:
                side[ticks[row[0]]] = lots[row[1]]
        except InstrumentError:
            self.levels(grid, [(row[0], row[1]) for row in rows], field)
            raise

    # -- trades

    def _traded(self, frame: _Frame) -> Record:
        if frame.type == "subscribed":
            return Other("v4_trades history", frame.id[:60])
        grid = self._grids.get(frame.id)
        if grid is None:
            return Other("v4_trades", frame.id[:60])
        if frame.type == "channel_batch_data":
            lists = self._contents(self._trade_lists_decoder, frame.contents)
            rows = [
                (row, f"contents[{n}].trades[{k}]") for n, one in enumerate(lists) for k, row in enumerate(one.trades)
            ]
        else:
            found = self._contents(self._trades_decoder, frame.contents)
            rows = [(row, f"contents.trades[{k}]") for k, row in enumerate(found.trades)]
        return self._trades(grid, rows)

    def _trades(self, grid: Grid, rows: Sequence[tuple[_TradeRow, str]]) -> Record:
        records: list[Single] = []
        for row, place in rows:
            side = self.side(row.side, "BUY", "SELL", f"{place}.side", (BUY, SELL))
            ts_ns = self._time_ns(row.created_at, f"{place}.createdAt")
            on_book = row.type != "DELEVERAGED"
            try:
                ticks = grid.ticks[row.price]
            except InstrumentError as error:
                if on_book:
                    raise self.malformed(f"{place}.price", str(error)) from None
                ticks = self.rounded(grid.instrument, row.price, f"{place}.price", BUY)[1]
            lots = self.lots(grid, row.size, f"{place}.size")
            origin = MARKET if row.type in ("LIMIT", "MARKET") else row.type[:20]
            records.append(Trade(grid.symbol, ts_ns, 0, trade_id_of(row.id), side, ticks, lots, origin, on_book))
            self._latest_ns = max(self._latest_ns, ts_ns)
        return together(records, "v4_trades", grid.symbol)

    def _time_ns(self, text: str, field: str) -> int:
        try:
            at = datetime.fromisoformat(text)
            ts_ns = (at - EPOCH) // MICROSECOND * 1000
        except (ValueError, TypeError, OverflowError):
            raise self.malformed(field, f"{text[:40]!r} is no time such as 2026-01-31T23:59:59.123Z") from None
        if not 0 <= ts_ns <= MAX_INT64:
            raise self.malformed(field, f"{text[:40]!r} is out of range")
        return ts_ns

    # -- markets

    def _marked(self, frame: _Frame) -> Record:
        batch = frame.type == "channel_batch_data"
        decoder = self._market_lists_decoder if batch else self._markets_decoder
        contents = self._contents(decoder, frame.contents)
        records: list[Single] = []
        for n, one in enumerate(contents if batch else [contents]):
            place = f"contents[{n}]" if batch else "contents"
            for name, rows in (("markets", one.markets), ("trading", one.trading)):
                for symbol, market in rows.items():
                    self._learn(symbol, market, f"{place}.{name}.{symbol[:40]}", records)
            for symbol, oracle in one.oracle_prices.items():
                if symbol in self._contexts:
                    where = f"{place}.oraclePrices.{symbol}"
                    ts_ns = self._time_ns(oracle.at, f"{where}.effectiveAt") if oracle.at else 0
                    self._contexts[symbol].price_e8 = self.mark_e8(oracle.price, f"{where}.oraclePrice")
                    self._latest_ns = max(self._latest_ns, ts_ns)
                    records.append(self._mark(symbol, ts_ns))
        return together(records, "v4_markets", "")

    def _learn(self, symbol: str, market: _Market, place: str, records: list[Single]) -> None:
        context = self._contexts.get(symbol)
        if context is None or (not market.price and not market.rate):
            return
        price_e8, rate_e12 = context.price_e8, context.rate_e12
        if market.price:
            price_e8 = self.mark_e8(market.price, f"{place}.oraclePrice")
        if market.rate:
            rate_e12 = self.forecast_e12(market.rate, f"{place}.nextFundingRate")
        context.price_e8, context.rate_e12 = price_e8, rate_e12
        if price_e8:
            records.append(self._mark(symbol, 0))

    def _mark(self, symbol: str, ts_ns: int) -> MarkPrice:
        context = self._contexts[symbol]
        due_ns = next_hour_ns(self._latest_ns)
        return MarkPrice(symbol, ts_ns, ts_ns, context.price_e8, context.price_e8, context.rate_e12, due_ns)

    # -- the general path: errors, REST bodies, frames whose header is wrong

    def _generally(self, raw: bytes, symbol: str) -> Record:
        message = self.untyped(raw)
        if not isinstance(message, dict):
            raise self.malformed("$", f"expected an object, got {type(message).__name__}")
        if message.get("type") == "error":
            raise VenueError(shown(message.get("message")) or "refused without a reason", venue=self.venue)
        if "errors" in message:
            rows = message["errors"]
            first = rows[0] if isinstance(rows, list) and rows else {}
            raise VenueError(shown(first.get("msg")) if isinstance(first, dict) else "refused", venue=self.venue)
        if "type" in message:
            return self._framed(self.typed(self._frame_decoder, raw))
        if isinstance(message.get("result"), dict):
            return self._rest(message["result"], bytes(self.typed(self._result_decoder, raw).result), symbol)
        return self._rest(message, raw, symbol)

    def _rest(self, body: dict[str, Any], raw: bytes, symbol: str) -> Record:
        if "historicalFunding" in body:
            return Other("funding history", "")
        book, trades = {"bids", "asks"} <= body.keys(), "trades" in body
        if not book and not trades:
            return Other("REST body", "")
        name = symbol or self._only_symbol
        if not name:
            raise self.malformed("ticker", "a REST body names no market: say whose it is")
        grid = self._grids.get(name)
        if grid is None:
            return Other("orderbooks" if book else "trades", name[:60])
        if book:
            return self._whole(grid, self.typed(self._whole_decoder, raw), 0, "$")
        found = self.typed(self._trades_decoder, raw)
        return oldest_first(self._trades(grid, [(row, f"trades[{k}]") for k, row in enumerate(found.trades)]))


def trade_id_of(text: str) -> int:
    """A trade's id as an int64: block height, transaction and event of 24 hexadecimal digits, packed."""
    if len(text) == 24:
        try:
            height, transaction, event = int(text[:8], 16), int(text[8:16], 16), int(text[16:], 16)
        except ValueError:
            return id_of(text)
        if not (height >> HEIGHT_BITS or transaction >> TRANSACTION_BITS or event >> EVENT_BITS):
            return (height << TRANSACTION_BITS | transaction) << EVENT_BITS | event
    return id_of(text)
