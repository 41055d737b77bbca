"""A synthetic market as a feed of the kernels: windows in venue order, made as they are read; no text in between.

Theory of operation. ``MarketFeed`` makes messages through an object that writes them (``sim.synth.wire.Wire`` writes
Binance's text); here ``Rows`` keeps them as the rows of a feed window instead. A window holds what happened in the next
``STEP_NS`` of venue time: since a depth diff is stamped with its last change but sent up to some 50 ms later, a message
is handed out once the market is ``HOLD_NS`` ahead of its stamp. The book stands at the start, as a snapshot.

``BlockFeed`` is the same market at a venue that sends whole books: the best 20 levels when they have changed and half a
second has passed, and the best quotes as often as Binance sends a diff. Instruments of such venues: ``BLOCK_MARKETS``.
They are not calibrated to recordings of that venue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from matching.codes import BBO, BUY, DEPTH, FORCE, MARK, OFFBOOK, SELL, SNAPSHOT, TRADE
from matching.feed import FeedWindow, stable_local_order
from sim.synth.feed import QUOTE_DELAY_NS, MarketFeed, Message
from sim.synth.link import MARKET, NEVER, PUBLIC
from sim.synth.listed import LISTED, Listed
from sim.synth.market import SyntheticMarket
from sim.synth.model import BTCUSDT_FLOW, ETHUSDT_FLOW, FlowModel
from sim.synth.scenario import Scenario
from venues.errors import InputError

MS_NS: Final = 1_000_000
STEP_NS: Final = 100 * MS_NS
HOLD_NS: Final = 1000 * MS_NS
BOOK_EVERY_NS: Final = 500 * MS_NS
BOOK_LEVELS: Final = 20
ORDER: Final = {SNAPSHOT: 0, MARK: 0, TRADE: 1, OFFBOOK: 1, FORCE: 1, BBO: 2, DEPTH: 3}  # at equal times

Levels = Sequence[tuple[int, int]]
Row = tuple[int, int, int, list[int], list[int], list[int], tuple[int, int, int, int] | None]


def _scaled(flow: FlowModel, lots: int) -> FlowModel:
    return replace(
        flow, order_lots=flow.order_lots * lots, touch_lots=flow.touch_lots * lots, limit_lots=flow.limit_lots * lots,
        resting_lots=flow.resting_lots * lots,
        profile=tuple((distance, filled, size * lots) for distance, filled, size in flow.profile),
    )  # fmt: skip


BLOCK_MARKETS: Final = (
    Listed(
        SyntheticMarket("hyperliquid", "BTC", "BTC", 28_150, 10, 1, 1, 5, 120_000, 24_000, 12_000, levels=BOOK_LEVELS),
        _scaled(BTCUSDT_FLOW, 100), lag_ns=100_000_000,
    ),
    Listed(
        SyntheticMarket("hyperliquid", "ETH", "ETH", 18_700, 10, 2, 1, 4, 120_000, 24_000, 12_000, levels=BOOK_LEVELS),
        _scaled(ETHUSDT_FLOW, 10), lag_ns=100_000_000,
    ),
)  # fmt: skip


def servable(venue: str) -> list[Listed]:
    """The synthetic markets of a venue. Raises ``InputError`` where there are none."""
    found = [one for one in (*LISTED, *BLOCK_MARKETS) if one.market.venue == venue]
    if not found:
        raise InputError(f"there are no synthetic markets of {venue!r}", source="synth", field="venue")
    return found


class Rows:
    """Writes messages as ``(kind, engine time in ms, ref, sides, ticks, lots, aux)``."""

    def __init__(self, grid: int) -> None:
        """``grid``: ticks of the instrument in one tick of the synthetic market."""
        self._grid = grid

    def _levels(self, bids: Levels, asks: Levels) -> tuple[list[int], list[int], list[int]]:
        both = (*bids, *asks)
        sides = [BUY] * len(bids) + [SELL] * len(asks)
        return sides, [ticks * self._grid for ticks, _ in both], [lots for _, lots in both]

    def depth(self, push_ms: int, engine_ms: int, ids: tuple[int, int, int], bids: Levels, asks: Levels) -> Row:
        """A diff; its ref is its last id."""
        return DEPTH, engine_ms, ids[1], *self._levels(bids, asks), None

    def snapshot(self, push_ms: int, engine_ms: int, update_id: int, bids: Levels, asks: Levels) -> Row:
        """The whole book."""
        return SNAPSHOT, engine_ms, update_id, *self._levels(bids, asks), None

    def trade(
        self, push_ms: int, engine_ms: int, trade_id: int, aggressor: int, ticks: int, lots: int, kind: str = "MARKET"
    ) -> Row:
        """One print."""
        where = TRADE if kind == "MARKET" else OFFBOOK
        return where, engine_ms, trade_id, [aggressor], [ticks * self._grid], [lots], None

    def book_ticker(
        self, push_ms: int, engine_ms: int, update_id: int, bid: tuple[int, int], ask: tuple[int, int]
    ) -> Row:
        """The best quotes."""
        return BBO, engine_ms, update_id, *self._levels([bid], [ask]), None

    def mark(self, push_ms: int, mark_e8: int, index_e8: int, rate_e8: int, next_funding_ms: int) -> Row:
        """The mark, as of its push."""
        return MARK, push_ms, 0, [], [], [], (mark_e8, index_e8, rate_e8 * 10_000, next_funding_ms * MS_NS)

    def force_order(
        self, push_ms: int, engine_ms: int, side: int, ticks: int, average: tuple[int, int], lots: int, last_lots: int
    ) -> Row:
        """Somebody's liquidation order."""
        return FORCE, engine_ms, 0, [side], [ticks * self._grid], [lots], None


class VenueFeed(MarketFeed):
    """A market whose messages are rows, asked for by venue time."""

    def __init__(self, listed: Listed, scenario: Scenario, seed: int, grid: int) -> None:
        super().__init__(listed, scenario, seed, Rows(grid))
        self._rows = Rows(grid)
        self._snapshots = []  # the book stands at the start, and no link fails

    def opening(self) -> list[Row]:
        """The mark and the book as they stand."""
        bids, asks = (ladder.top(self._shown()) for ladder in self.flow.ladders)
        engine_ms = self.scenario.start_ns // MS_NS
        prices = self.prices
        prices.sample(self.scenario.start_ns, self.flow.fair_q16, self.flow.ladders, self._last_ticks)
        boundary_ms = prices.next_funding_ns // MS_NS
        mark = self._rows.mark(engine_ms, prices.mark_e8, prices.index_e8, prices.rate_e12 // 10_000, boundary_ms)
        return [mark, self._rows.snapshot(engine_ms, engine_ms, self._update_id, bids, asks)]

    def _shown(self) -> int:
        return max(len(ladder.lots) for ladder in self.flow.ladders)

    def sent(self, until_ns: int) -> list[Message]:
        """What is sent before an instant, whenever it may be received."""
        self._run(min(until_ns, self.scenario.end_ns))
        found, self._flight = self._flight, []
        return found


class BlockFeed(VenueFeed):
    """The same of a venue that sends whole books; the id of a book is its block's time in ms."""

    def __init__(self, listed: Listed, scenario: Scenario, seed: int, grid: int) -> None:
        super().__init__(listed, scenario, seed, grid)
        self._book_ns = scenario.start_ns
        self._best: tuple[tuple[int, int], ...] = ()
        self._update_id = scenario.start_ns // MS_NS

    def _shown(self) -> int:
        return BOOK_LEVELS

    def _publish_quote(self, now_ns: int) -> None:
        return

    def _flush(self, now_ns: int) -> None:
        self.flow.changes.clear()
        self._flush_ns = NEVER
        bids, asks = self.flow.ladders
        best = ((bids.best, bids.lots[bids.best]), (asks.best, asks.lots[asks.best]))
        engine_ms = now_ns // MS_NS
        if best != self._best:
            self._best = best
            push_ms = self._sockets[PUBLIC].push(now_ns, QUOTE_DELAY_NS) // MS_NS
            self._send(PUBLIC, self._wire.book_ticker(push_ms, engine_ms, engine_ms, *best))
        if now_ns - self._book_ns >= BOOK_EVERY_NS:
            self._book_ns = now_ns
            push_ms = self._sockets[PUBLIC].push(now_ns, QUOTE_DELAY_NS) // MS_NS
            rows = [ladder.top(BOOK_LEVELS) for ladder in self.flow.ladders]
            self._send(PUBLIC, self._wire.snapshot(push_ms, engine_ms, engine_ms, *rows), True)

    def _send(self, socket: int, text: Any, is_depth: bool = False) -> None:
        if socket == MARKET and text[0] == FORCE:
            return  # liquidations of others are not published
        super()._send(socket, text, is_depth)


class SyntheticSource:
    """A synthetic market as a ``FeedSource``; ``grid``: see ``Rows``. What is read is not kept."""

    rows = -1

    def __init__(self, listed: Listed, scenario: Scenario, seed: int, grid: int = 1, step_ns: int = STEP_NS) -> None:
        kind = BlockFeed if listed in BLOCK_MARKETS else VenueFeed
        self._feed = kind(listed, replace(scenario, outages=()), seed, grid)
        self.first_ns, self.last_ns = scenario.start_ns, scenario.end_ns
        self._now_ns = scenario.start_ns
        self._step_ns = step_ns
        self._aux = 0
        self._number = 0
        self._held: list[tuple[int, int, int, int, Row]] = []  # venue time, rank, number, receive time, row
        for row in self._feed.opening():
            self._take(self.first_ns, row)

    def _take(self, receive_ns: int, row: Row) -> None:
        self._number += 1
        event_ns = row[1] * MS_NS
        self._held.append((event_ns, ORDER[row[0]], self._number, max(receive_ns, event_ns), row))

    def next_window(self) -> FeedWindow | None:
        """What happened in the next stretch of venue time; None at the end."""
        while True:
            self._now_ns += self._step_ns
            ended = self._now_ns - HOLD_NS >= self.last_ns
            for message in self._feed.sent(self._now_ns):
                self._take(message.receive_ns, message.text)
            self._held.sort()
            limit = self._now_ns if ended else self._now_ns - HOLD_NS
            count = len(self._held) if ended else sum(1 for held in self._held if held[0] < limit)
            ready, self._held = self._held[:count], self._held[count:]
            if ready:
                return self._window(ready)
            if ended:
                return None

    def _window(self, ready: list[tuple[int, int, int, int, Row]]) -> FeedWindow:
        aux = [row[6] for *_, row in ready if row[6] is not None]
        refs, base = [], self._aux
        for *_, row in ready:
            if row[6] is None:
                refs.append(row[2])
            else:
                refs.append(self._aux)
                self._aux += 1
        recv = np.array([held[3] for held in ready], np.int64)
        return FeedWindow(
            ts_event=np.array([held[0] for held in ready], np.int64),
            ts_recv=recv,
            kind=np.array([row[0] for *_, row in ready], np.uint8),
            row_start=np.cumsum([0, *(len(row[3]) for *_, row in ready)]).astype(np.int64),
            ref=np.array(refs, np.int64),
            local_order=stable_local_order(recv),
            side=np.array([side for *_, row in ready for side in row[3]], np.uint8),
            px_ticks=np.array([ticks for *_, row in ready for ticks in row[4]], np.int32),
            qty_lots=np.array([lots for *_, row in ready for lots in row[5]], np.int32),
            aux=np.array(aux, np.int64).reshape(-1, 4),
            aux_base=base,
        )
