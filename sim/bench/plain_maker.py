"""The benchmark's market makers, written as a user would write them: plain Python, no annotations for the compiler."""

from __future__ import annotations

from math import ceil, floor

from matching.codes import BUY, GTX, SELL
from sim.strategy import Order, Strategy

SLOTS_MAX = 8


class SkewedMaker(Strategy):
    """Quotes both sides every ``interval``, shifted against the inventory; a quote at the wanted price is kept.

    With r = mid - ``skew_ticks`` * position / ``lots`` the bid goes to min(floor(r - ``half_ticks``), best bid) and
    the ask to max(ceil(r + ``half_ticks``), best ask). Any other order of ours is cancelled as soon as it can be, and
    a missing quote is sent post-only unless the position has reached ``position_max_lots`` on that side or
    ``SLOTS_MAX`` orders of that side are not closed yet.
    """

    def __init__(
        self,
        half_ticks: float = 1.0,
        skew_ticks: float = 0.25,
        lots: int = 10,
        position_max_lots: int = 100,
        interval: str = "100ms",
    ) -> None:
        self.half_ticks = half_ticks
        self.skew_per_lot = skew_ticks / lots
        self.lots = lots
        self.position_max_lots = position_max_lots
        self.interval = interval
        self.bids: list[Order] = []
        self.asks: list[Order] = []
        self.steps = 0
        self.cancels = 0

    def on_start(self) -> None:
        self.book = self.ctx.book(0)
        self.ctx.every(self.interval)

    def on_timer(self) -> None:
        self.steps += 1
        position = self.ctx.position(0)
        best_bid, best_ask = self.book.best_ticks(BUY), self.book.best_ticks(SELL)
        reserve = 0.5 * (best_bid + best_ask) - self.skew_per_lot * position
        bid, ask = floor(reserve - self.half_ticks), ceil(reserve + self.half_ticks)
        self.quote(self.bids, BUY, bid if bid < best_bid else best_bid, position < self.position_max_lots)
        self.quote(self.asks, SELL, ask if ask > best_ask else best_ask, position > -self.position_max_lots)

    def quote(self, live: list[Order], side: int, ticks: int, wanted: bool) -> None:
        missing, closed = wanted, False
        for order in live:
            if order.is_closed:
                closed = True
            elif wanted and order.ticks == ticks:
                missing = False
            elif order.is_cancelable:
                self.ctx.cancel(order)
                self.cancels += 1
        if closed:
            live[:] = [order for order in live if not order.is_closed]
        if missing and len(live) < SLOTS_MAX:
            live.append(self.ctx.submit(0, side, ticks, self.lots, GTX))


class TouchMaker(Strategy):
    """Every ``interval`` cancels both quotes and joins the best bid and ask, but not beyond the position limit."""

    def __init__(self, lots: int = 10, position_max_lots: int = 1000, interval: str = "100ms") -> None:
        self.lots = lots
        self.position_max_lots = position_max_lots
        self.interval = interval
        self.quotes: list[Order] = []
        self.steps = 0
        self.cancels = 0

    def on_start(self) -> None:
        self.book = self.ctx.book(0)
        self.ctx.every(self.interval)

    def on_timer(self) -> None:
        self.steps += 1
        ctx, book = self.ctx, self.book
        if not book.is_valid:
            return
        for order in self.quotes:
            if not order.is_closed:
                ctx.cancel(order)
                self.cancels += 1
        position, quotes = ctx.position(0), []
        if position < self.position_max_lots:
            quotes.append(ctx.submit(0, BUY, book.best_ticks(BUY), self.lots, GTX))
        if position > -self.position_max_lots:
            quotes.append(ctx.submit(0, SELL, book.best_ticks(SELL), self.lots, GTX))
        self.quotes = quotes
