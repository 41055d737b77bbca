"""A two-sided market maker after Avellaneda and Stoikov that knows what a place in the queue is worth.

Prices follow M. Avellaneda and S. Stoikov, "High-frequency trading in a limit order book", Quantitative Finance 8 (3),
2008, section 3.2, with a horizon that rolls along instead of a trading day's end:

    reservation price   r = mid - q * gamma * variance * horizon
    half spread         h = gamma * variance * horizon / 2 + ln(1 + gamma / k) / gamma

with q the position in order sizes, the variance of the mid per second estimated from its recent changes, and k the
decay of the chance of being hit with the distance from the mid. Bid and ask are r - h and r + h, rounded away from r,
never through the book (orders are post-only).

On a venue with price-time priority a resting order's place in its queue is an asset that moving it gives away. So a
quote that is off its target by no more than ``keep_ticks`` stays as long as at most ``keep_share`` of its level is
ahead of it. The place is estimated as a client can: the level's displayed size when the order was acknowledged, less
what traded there since, never more than what is displayed now.
"""

import math
from collections.abc import Mapping

import cython

from matching.arith import ln1p
from matching.codes import BUY, EV_ACCEPTED, EV_AMENDED, GTX, SELL
from sim.strategy import Book, Fill, Gap, Order, OrderEvent, Strategy, Trade

NS_PER_S = 1e9


def skew_ticks(position_orders: float, gamma: float, variance: float, horizon_s: float) -> float:
    """How far the reservation price lies from the mid, in ticks: against the position, by its risk."""
    return -position_orders * gamma * variance * horizon_s


def half_spread_ticks(gamma: float, k: float, variance: float, horizon_s: float) -> float:
    """Half of the optimal spread around the reservation price, in ticks."""
    return 0.5 * gamma * variance * horizon_s + ln1p(gamma / k) / gamma


class Variance:
    """Variance of the mid in ticks^2 per second: squared changes, averaged with a half-life."""

    def __init__(self, start: float, half_life_s: float) -> None:
        self.value = start
        self.half_life_s = half_life_s
        self.mid = 0.0
        self.at_ns = 0

    def add(self, now_ns: int, mid: float) -> None:
        """Take in the mid as of ``now_ns``; after a break (``reset``) the first only starts anew."""
        if self.at_ns and now_ns > self.at_ns:
            seconds = (now_ns - self.at_ns) / NS_PER_S
            weight = seconds / (seconds + self.half_life_s)
            change = mid - self.mid
            self.value += weight * (change * change / seconds - self.value)
        self.mid = mid
        self.at_ns = now_ns

    def reset(self) -> None:
        """Forget the last mid (the book was not valid in between), keep the estimate."""
        self.at_ns = 0


class Quote:
    """One side's order and the estimate of its place in the queue; ``side`` BUY or SELL."""

    def __init__(self, side: int) -> None:
        self.side = side
        self.order: Order | None = None
        self.ahead_lots = 0

    def acknowledged(self, displayed_lots: int) -> None:
        """The order has (newly) joined its level, behind all that is displayed there."""
        self.ahead_lots = displayed_lots

    def printed(self, aggressor: int, ticks: int, lots: int) -> None:
        """A print: at our price it shortens the queue ahead, through our price nothing is left ahead."""
        order = self.order
        if order is None or aggressor == self.side:
            return
        through = order.ticks - ticks if self.side == BUY else ticks - order.ticks
        if through > 0:
            self.ahead_lots = 0
        elif through == 0:
            self.ahead_lots = max(0, self.ahead_lots - lots)

    def share_ahead(self, displayed_lots: int) -> float:
        """Share of the level that is ahead of us, 0 to 1; an empty level has nobody ahead."""
        self.ahead_lots = min(self.ahead_lots, displayed_lots)
        return self.ahead_lots / displayed_lots if displayed_lots > 0 else 0.0


class Desk:
    """What the strategy keeps for one instrument."""

    def __init__(self, index: int, lots: int, max_lots: int, variance: Variance) -> None:
        self.index = index
        self.lots = lots
        self.max_lots = max_lots
        self.variance = variance
        self.quotes = (Quote(BUY), Quote(SELL))


class MarketMaker(Strategy):
    """Quotes both sides of every instrument of the run.

    ``lots``: size of one order. ``max_lots``: the position, long or short, beyond which a side stops quoting. Both may
    be a table from symbol (or ``venue:symbol``) to lots, for instruments with different lots; only its instruments are
    quoted then. ``gamma``: risk aversion, 1/ticks. ``k``: decay of the chance of being hit, 1/ticks. ``horizon_s``:
    seconds that a position is expected to be held. ``variance``: starting estimate, ticks^2 per second;
    ``half_life_s``: memory of the estimate. ``min_half_ticks``: least half spread. ``interval``: how often quotes are
    considered. ``keep_ticks``, ``keep_share``: see the module. Raises ValueError for values outside their range.
    """

    def __init__(
        self,
        lots: int | Mapping[str, int] = 10,
        max_lots: int | Mapping[str, int] = 50,
        gamma: float = 0.02,
        k: float = 1.0,
        horizon_s: float = 10.0,
        variance: float = 10.0,
        half_life_s: float = 30.0,
        min_half_ticks: float = 0.5,
        interval: str = "100ms",
        keep_ticks: int = 1,
        keep_share: float = 0.5,
    ) -> None:
        for name, value in (("gamma", gamma), ("k", k), ("horizon_s", horizon_s), ("half_life_s", half_life_s)):
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"market maker: {name} must be above 0, not {value}")
        if variance < 0 or min_half_ticks < 0 or keep_ticks < 0 or not 0 <= keep_share <= 1:
            raise ValueError("market maker: variance, min_half_ticks and keep_ticks must be >= 0, keep_share in 0..1")
        self.lots = lots
        self.max_lots = max_lots
        self.gamma = gamma
        self.k = k
        self.horizon_s = horizon_s
        self.start_variance = variance
        self.half_life_s = half_life_s
        self.min_half_ticks = min_half_ticks
        self.interval = interval
        self.keep_ticks = keep_ticks
        self.keep_share = keep_share
        self.desks: list[Desk | None] = []

    def on_start(self) -> None:
        self.desks = [None] * self.ctx.count
        names = list(self.lots) if isinstance(self.lots, Mapping) else None
        indices = range(self.ctx.count) if names is None else [self.ctx.index(name) for name in names]
        for place, i in enumerate(indices):
            name = None if names is None else names[place]
            lots, max_lots = _of(self.lots, name, "lots"), _of(self.max_lots, name, "max_lots")
            self.desks[i] = Desk(i, lots, max_lots, Variance(self.start_variance, self.half_life_s))
        self.ctx.every(self.interval)

    def on_timer(self) -> None:
        for desk in self.desks:
            if desk is not None:
                self.requote(desk)

    def requote(self, desk: Desk) -> None:
        """Bring both quotes of an instrument to where they should be."""
        book: Book = self.ctx.book(desk.index)
        if not book.is_valid:
            desk.variance.reset()
            self.ctx.cancel_all(desk.index)
            return
        bid: cython.longlong = book.best_ticks(BUY)
        ask: cython.longlong = book.best_ticks(SELL)
        mid: cython.double = 0.5 * (bid + ask)
        desk.variance.add(self.ctx.now_ns, mid)
        position: cython.longlong = self.ctx.position(desk.index)
        variance: cython.double = desk.variance.value
        fair: cython.double = mid + skew_ticks(position / desk.lots, self.gamma, variance, self.horizon_s)
        half: cython.double = half_spread_ticks(self.gamma, self.k, variance, self.horizon_s)
        half = max(half, self.min_half_ticks)
        grid = self.ctx.instruments[desk.index]  # coarser than a tick at some prices of some venues
        buy_ticks = grid.grid_at_most(max(min(math.floor(fair - half), ask - 1), 0))
        sell_ticks = grid.grid_at_least(max(math.ceil(fair + half), bid + 1))
        self.move(desk, desk.quotes[BUY], book, buy_ticks, min(desk.lots, desk.max_lots - position))
        self.move(desk, desk.quotes[SELL], book, sell_ticks, min(desk.lots, desk.max_lots + position))

    def move(self, desk: Desk, quote: Quote, book: Book, ticks: int, lots: int) -> None:
        """Send what brings one quote to ``ticks``: nothing, a new order, an amendment or a cancel."""
        order = quote.order
        if order is None or order.is_closed:
            quote.order = None
            if lots > 0 and ticks > 0:
                quote.order = self.ctx.submit(desk.index, quote.side, ticks, lots, GTX)
            return
        if not order.is_cancelable:
            return
        if lots <= 0 or ticks <= 0:
            self.ctx.cancel(order)
            return
        too_large = order.leaves_lots > lots
        if too_large or not self.keeps(quote, order.ticks, ticks, book):
            self.ctx.amend(order, ticks, order.filled_lots + lots)

    def keeps(self, quote: Quote, resting_ticks: int, target_ticks: int, book: Book) -> bool:
        """Whether a resting quote should stay where it is."""
        off = abs(target_ticks - resting_ticks)
        share = quote.share_ahead(book.lots_at(quote.side, resting_ticks))
        return off == 0 or (off <= self.keep_ticks and share <= self.keep_share)

    def on_order(self, order: Order, event: OrderEvent) -> None:
        desk = self.desks[order.instrument]
        if desk is not None and (event.kind == EV_ACCEPTED or event.kind == EV_AMENDED):
            quote = desk.quotes[order.side]
            if quote.order is order:
                quote.acknowledged(self.ctx.book(order.instrument).lots_at(order.side, order.ticks))

    def on_fill(self, order: Order, fill: Fill) -> None:
        desk = self.desks[order.instrument]
        if desk is not None:
            self.requote(desk)

    def on_trade(self, i: int, trade: Trade) -> None:
        desk = self.desks[i]
        if desk is not None and not trade.is_off_book:
            desk.quotes[BUY].printed(trade.side, trade.ticks, trade.lots)
            desk.quotes[SELL].printed(trade.side, trade.ticks, trade.lots)

    def on_gap(self, i: int, gap: Gap) -> None:
        """What rests during a gap rests unseen: pull it; the timer quotes again once a snapshot has come."""
        self.ctx.cancel_all(i)


def _of(setting: int | Mapping[str, int], name: str | None, what: str) -> int:
    """A setting for one instrument, from a number for all or a table by name."""
    if isinstance(setting, Mapping):
        if name is None or name not in setting:
            raise ValueError(
                f"market maker: {what} has no entry for {name!r}: give one number, or lots and {what} alike"
            )
        setting = setting[name]
    if setting < 1:
        raise ValueError(f"market maker: {what} must be at least 1, not {setting}")
    return setting
