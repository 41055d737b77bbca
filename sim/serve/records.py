"""What the feed's messages are on the wire: the kernel's messages, as they are received, as neutral records.

Theory of operation. The first lane hears every message at its receive time; ``Tap`` turns the one just shown by the
core into a record of ``venues/market_data.py`` and keeps the book that clients have then (depth alone: best quotes do
not change it, as at the venue). Ids are the feed's own: a depth message's ``ref`` is its last id, and it follows the
last id before it. A whole book replaces: where a venue sends diffs, what it changes becomes a diff of its own, and
after a gap one that does not follow, so that clients see that ids are missing and ask for the book again. Nothing is
sent of a book that is not known.

``shift_ns`` is added to every time: the engine runs in the feed's own time, clients see the shifted one.
"""

from __future__ import annotations

from typing import Final

from matching import codes
from matching.kernel import Core
from venues.emulation import BookState, MarketState
from venues.instruments import Instrument
from venues.market_data import AggTrade, BookTicker, DepthDiff, DepthSnapshot, ForceOrder, MarkPrice, Single, Trade
from venues.wire import MARKET

WHOLE_BOOKS: Final = frozenset({"hyperliquid"})  # venues whose stream sends nothing but whole books
AGGREGATED: Final = frozenset({"binance_usdm", "binance_coinm"})  # venues whose recorded prints are aggregates
OFF_BOOK: Final = "INSURANCE_FUND"

Levels = dict[int, int]


class Tap:
    """One market: its book as clients have it, the last print and mark, and its messages as records."""

    def __init__(
        self, core: Core, market: int, instrument: Instrument, shift_ns: int, aggregated: bool = False
    ) -> None:
        """``aggregated``: the feed's prints are a taker's at one price, as a recorder of Binance receives them."""
        self._aggregated = aggregated and instrument.venue in AGGREGATED
        self._core, self._market, self._instrument, self._shift = core, market, instrument, shift_ns
        self._symbol = instrument.symbol
        self._whole = instrument.venue in WHOLE_BOOKS
        self._bids: Levels = {}
        self._asks: Levels = {}
        self._known = False
        self._gap = False
        self.last_id = self.ts_event_ns = 0
        self._trade_id = 0
        self.last_ticks = self.last_lots = 0
        self.marks_seen = 0
        self._mark: tuple[int, int, int, int] = (0, 0, 0, 0)  # mark, index, rate, boundary (shifted)

    # -- messages

    def book_message(self) -> Single | None:
        """DEPTH, BBO or SNAPSHOT, as just shown by the core; None: nothing that a client would be told."""
        kind = self._core.msg_kind
        if kind == codes.BBO:
            return self._quote()
        if kind == codes.SNAPSHOT:
            return self._snapshot()
        return self._diff() if kind == codes.DEPTH else None

    def _sides(self) -> tuple[list[int], list[int], list[int], list[int]]:
        core = self._core
        bid_ticks: list[int] = []
        bid_lots: list[int] = []
        ask_ticks: list[int] = []
        ask_lots: list[int] = []
        for k in range(core.msg_rows):
            if core.msg_side(k) == codes.BUY:
                bid_ticks.append(core.msg_ticks(k))
                bid_lots.append(core.msg_lots(k))
            else:
                ask_ticks.append(core.msg_ticks(k))
                ask_lots.append(core.msg_lots(k))
        return bid_ticks, bid_lots, ask_ticks, ask_lots

    def _diff(self) -> DepthDiff | None:
        if not self._known:
            return None
        core = self._core
        bid_ticks, bid_lots, ask_ticks, ask_lots = self._sides()
        for levels, ticks, lots in ((self._bids, bid_ticks, bid_lots), (self._asks, ask_ticks, ask_lots)):
            for price, quantity in zip(ticks, lots, strict=True):
                if quantity:
                    levels[price] = quantity
                else:
                    levels.pop(price, None)
        previous, self.last_id = self.last_id, core.msg_ref
        ts = self.ts_event_ns = core.msg_ts_event + self._shift
        first = previous + 1 if previous < self.last_id else self.last_id
        return DepthDiff(
            self._symbol, ts, ts, first, self.last_id, previous, bid_ticks, bid_lots, ask_ticks, ask_lots
        )  # fmt: skip

    def _snapshot(self) -> Single | None:
        core = self._core
        bid_ticks, bid_lots, ask_ticks, ask_lots = self._sides()
        bids, asks = dict(zip(bid_ticks, bid_lots, strict=True)), dict(zip(ask_ticks, ask_lots, strict=True))
        had, lost, previous = self._known or self._gap, self._gap, self.last_id
        before = (self._bids, self._asks)
        self._bids, self._asks, self._known, self._gap = bids, asks, True, False
        self.last_id = core.msg_ref
        ts = self.ts_event_ns = core.msg_ts_event + self._shift
        if self._whole or not had:
            bid, ask = _best_first(bids, True), _best_first(asks, False)
            return DepthSnapshot(self._symbol, ts, ts, self.last_id, *bid, *ask, True)
        below, above = _changes(before[0], bids), _changes(before[1], asks)
        if lost:
            previous = self.last_id - 1
        elif not below[0] and not above[0]:
            self.last_id = previous
            return None
        elif self.last_id <= previous:
            self.last_id = previous + 1
        first = previous + 1
        return DepthDiff(self._symbol, ts, ts, first, self.last_id, previous, *below, *above)

    def _quote(self) -> BookTicker:
        core = self._core
        bid_ticks, bid_lots, ask_ticks, ask_lots = self._sides()
        ts = core.msg_ts_event + self._shift
        bid = (bid_ticks[0], bid_lots[0]) if bid_ticks else (0, 0)
        ask = (ask_ticks[0], ask_lots[0]) if ask_ticks else (0, 0)
        return BookTicker(self._symbol, ts, ts, core.msg_ref, *bid, *ask)

    def trade(self, side: int, ticks: int, lots: int, number: int, ts_event_ns: int, off_book: bool) -> Single:
        """One print. Where several share the feed's id, the later ones get the next."""
        self._trade_id = number if number > self._trade_id else self._trade_id + 1
        ts = ts_event_ns + self._shift
        if not off_book:
            self.last_ticks, self.last_lots = ticks, lots
        origin = OFF_BOOK if off_book else MARKET
        if self._aggregated and not off_book:
            number = self._trade_id
            return AggTrade(self._symbol, ts, ts, number, number, number, side, ticks, lots)
        return Trade(self._symbol, ts, ts, self._trade_id, side, ticks, lots, origin, not off_book)

    def force_order(self, side: int, ticks: int, lots: int, ts_event_ns: int) -> ForceOrder:
        """Somebody's liquidation order; the feed keeps its limit on the grid and what was executed."""
        ts = ts_event_ns + self._shift
        price_e8 = int(self._instrument.price_e8_of(ticks))
        return ForceOrder(self._symbol, ts, ts, side, price_e8, ticks, lots, lots)

    def mark_message(self) -> MarkPrice | None:
        """MARK, as just shown by the core; None for one without a mark."""
        core = self._core
        self.marks_seen += 1
        index_e8, rate_e12, boundary = core.funding_view(self._market)
        return self._marked(core.mark_e8(self._market), index_e8, rate_e12, boundary, core.msg_ts_event)

    def computed_mark(self, now_ns: int) -> MarkPrice | None:
        """The mark as the venue computes it itself; None where the feed brings marks, or there is none yet."""
        core = self._core
        if self.marks_seen:
            return None
        rate_e12, boundary = core.announced(self._market)
        mark_e8, index_e8 = core.venue_mark_e8(self._market), core.venue_index_e8(self._market)
        return self._marked(mark_e8, index_e8, rate_e12, boundary, now_ns)

    def _marked(self, mark_e8: int, index_e8: int, rate_e12: int, boundary: int, ts_ns: int) -> MarkPrice | None:
        if mark_e8 <= 0:
            return None
        boundary += self._shift if boundary else 0
        self._mark = (mark_e8, index_e8, rate_e12, boundary)
        ts = ts_ns + self._shift
        return MarkPrice(self._symbol, ts, ts, mark_e8, index_e8, rate_e12, boundary)

    def gap(self) -> None:
        """The feed has lost something: the book is not known until the next whole one."""
        self._gap, self._known = self._gap or self._known, False

    # -- state

    def book(self, depth: int) -> BookState:
        """The book as clients have it, at most ``depth`` levels a side."""
        bids = sorted(self._bids.items(), reverse=True)[:depth]
        asks = sorted(self._asks.items())[:depth]
        return BookState(self._known, self.last_id, self.ts_event_ns, bids, asks)

    def state(self) -> MarketState:
        """Mark, index, rate and boundary as last published, and the last print."""
        return MarketState(*self._mark, self.last_ticks, self.last_lots)


def _best_first(levels: Levels, descending: bool) -> tuple[list[int], list[int]]:
    rows = sorted(levels.items(), reverse=descending)
    return [ticks for ticks, _ in rows], [lots for _, lots in rows]


def _changes(before: Levels, after: Levels) -> tuple[list[int], list[int]]:
    """What turns one side into another: absolute quantities, 0 deletes."""
    rows = [(ticks, 0) for ticks in before if ticks not in after]
    rows += [(ticks, lots) for ticks, lots in after.items() if before.get(ticks) != lots]
    rows.sort()
    return [ticks for ticks, _ in rows], [lots for _, lots in rows]
