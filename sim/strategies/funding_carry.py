"""A taker of funding: holds the receiving side over a boundary when the payment exceeds what that costs.

Positive rates are paid by longs to shorts at the boundary, to whoever holds a position at that instant. From
``lead_s`` seconds before the boundary on, each mark message (which carries the predicted rate and the boundary) is
weighed: the position that receives the payment is taken at market if

    |rate|  >  2 * taker fee + spread / mid + least profit

all in basis points of the position's value. It is closed when the payment has been booked, or ``give_up_s`` after the
boundary if none was. Between entry and exit the price moves, so this is a bet with a drift in its favour, not an
arbitrage; hedging it on another venue needs a second leg.
"""

import cython

from matching.codes import BUY, IOC, SELL
from sim.strategy import Book, Funding, Gap, Order, Strategy

BPS_E12 = 100_000_000  # one basis point as a rate at 1e-12
NS_PER_S = 1_000_000_000


def receiving_side(rate_e12: int) -> int:
    """The side that receives a payment at this rate: shorts when it is positive, longs when it is negative."""
    return SELL if rate_e12 > 0 else BUY


def expected_profit_bps(rate_e12: int, taker_fee_bps: float, spread_ticks: int, mid_ticks: float) -> float:
    """Payment less the costs of entering and leaving at market, in basis points of the position's value."""
    return abs(rate_e12) / BPS_E12 - 2.0 * taker_fee_bps - 10_000.0 * spread_ticks / mid_ticks


class Leg:
    """What the strategy keeps for one instrument: the boundary it holds for (0: none) and its order under way."""

    def __init__(self) -> None:
        self.boundary_ns = 0
        self.leaving = False
        self.order: Order | None = None

    @property
    def is_busy(self) -> bool:
        return self.order is not None and not self.order.is_closed


class FundingCarry(Strategy):
    """Takes ``lots`` of the receiving side ahead of each funding boundary, on every instrument of the run.

    ``lead_s``: earliest entry, seconds before the boundary; ``last_s``: latest entry (orders need time to arrive).
    ``taker_fee_bps``: own fee at market. ``least_profit_bps``: what must remain after costs. ``slip_ticks``: how far
    through the best price an order may fill. ``give_up_s``: seconds after the boundary at which a position is closed
    without a payment seen (Binance may charge up to 15 s late). Raises ValueError for values outside their range.
    """

    def __init__(
        self,
        lots: int = 100,
        lead_s: float = 60.0,
        last_s: float = 2.0,
        taker_fee_bps: float = 5.0,
        least_profit_bps: float = 1.0,
        slip_ticks: int = 5,
        give_up_s: float = 20.0,
    ) -> None:
        if lots < 1 or slip_ticks < 0:
            raise ValueError(f"funding carry: needs lots >= 1 and slip_ticks >= 0, not {lots} and {slip_ticks}")
        if not 0 <= last_s < lead_s or give_up_s <= 0:
            raise ValueError("funding carry: needs 0 <= last_s < lead_s and give_up_s > 0")
        self.lots = lots
        self.lead_ns = round(lead_s * NS_PER_S)
        self.last_ns = round(last_s * NS_PER_S)
        self.taker_fee_bps = taker_fee_bps
        self.least_profit_bps = least_profit_bps
        self.slip_ticks = slip_ticks
        self.give_up_ns = round(give_up_s * NS_PER_S)
        self.legs: list[Leg] = []

    def on_start(self) -> None:
        self.legs = [Leg() for _ in range(self.ctx.count)]

    def on_mark(self, i: int) -> None:
        leg = self.legs[i]
        book: Book = self.ctx.book(i)
        if leg.is_busy or not book.is_valid:
            return
        if leg.boundary_ns:
            self.hold_or_leave(i, leg, book)
        else:
            self.consider(i, leg, book)

    def consider(self, i: int, leg: Leg, book: Book) -> None:
        """Enter if the boundary is near and its payment is worth it."""
        boundary_ns: cython.longlong = book.next_funding_ns
        rate_e12: cython.longlong = book.funding_rate_e12
        left_ns: cython.longlong = boundary_ns - self.ctx.now_ns
        if not self.last_ns <= left_ns <= self.lead_ns or rate_e12 == 0:
            return
        profit_bps = expected_profit_bps(rate_e12, self.taker_fee_bps, book.spread_ticks, book.mid_ticks)
        if profit_bps < self.least_profit_bps:
            return
        leg.boundary_ns = boundary_ns
        leg.leaving = False
        self.ctx.log("enter", instrument=i, rate_e12=rate_e12, expected_profit_bps=round(profit_bps, 3))
        self.take(i, leg, book, receiving_side(rate_e12), self.lots, False)

    def hold_or_leave(self, i: int, leg: Leg, book: Book) -> None:
        """After the boundary: leave once paid, or when no payment came; forget the boundary once flat."""
        if not leg.leaving and self.ctx.now_ns < leg.boundary_ns + self.give_up_ns:
            return
        position: cython.longlong = self.ctx.position(i)
        if position == 0:
            leg.boundary_ns = 0
            return
        leg.leaving = True
        self.take(i, leg, book, SELL if position > 0 else BUY, abs(position), True)

    def take(self, i: int, leg: Leg, book: Book, side: int, lots: int, reduce_only: bool) -> None:
        """An immediate-or-cancel order that may fill ``slip_ticks`` through the best price."""
        limit = book.best_ticks(1 - side) + (self.slip_ticks if side == BUY else -self.slip_ticks)
        grid = self.ctx.instruments[i]  # coarser than a tick at some prices of some venues
        limit = grid.grid_at_least(max(1, limit)) if side == BUY else grid.grid_at_most(max(1, limit))
        leg.order = self.ctx.submit(i, side, limit, lots, IOC, reduce_only=reduce_only)

    def on_funding(self, i: int, funding: Funding) -> None:
        leg = self.legs[i]
        if leg.boundary_ns == funding.boundary_ns:
            leg.leaving = True
            book: Book = self.ctx.book(i)
            if not leg.is_busy and book.is_valid:
                self.hold_or_leave(i, leg, book)

    def on_gap(self, i: int, gap: Gap) -> None:
        """Nothing rests, so nothing is pulled; entries and exits wait for a valid book in ``on_mark``."""
