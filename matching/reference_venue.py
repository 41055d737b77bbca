"""The reference's venue: one market, its resting orders of ours and the rules by which they fill.

Every rule here is written from the inequalities of docs/fills.md, in the most direct way that can be read beside them:
lists are searched, sorted and rebuilt, nothing is kept incrementally that can be computed. Time is not known here; the
order of things is ``reference.py``'s business.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from matching.codes import (
    BUY,
    CAUSE_CROSS,
    CAUSE_LIQUIDATION,
    CAUSE_NONE,
    CAUSE_QUEUE,
    CAUSE_TAKER,
    CAUSE_THROUGH,
    EV_ACCEPTED,
    EV_AMENDED,
    EV_CANCELED,
    EV_EXPIRED,
    EV_FILLED,
    EV_FUNDING,
    EV_LIQUIDATED,
    EV_REJECTED,
    EXCHANGE_NOPARTIAL,
    FOK,
    FUNDING,
    GTC,
    GTX,
    IOC,
    LIMIT,
    LIQ_MAKER,
    LIQ_NONE,
    LIQ_TAKER,
    MARK,
    MARKET,
    NO_PRICE,
    PRICE_BANKRUPTCY,
    R_FOK,
    R_IOC_REMAINDER,
    R_LIQUIDATION,
    R_LOT_SIZE,
    R_MARKET_REMAINDER,
    R_NO_BOOK,
    R_NO_CHANGE,
    R_NO_LIQUIDITY,
    R_NONE,
    R_POST_ONLY,
    R_PRICE_BAND,
    R_REDUCE_ONLY,
    R_UNKNOWN_ORDER,
    R_USER,
    SELL,
    SNAPSHOT,
    TRADE,
)
from matching.reference_book import EMPTIED, HIDDEN, STATED, Book, Change, Message, is_better
from matching.reference_orders import Accounts, ForcedOrder, Host, MarketRules, Order, Outcome, front_after_depth


class VenueMarket:
    """One market at the venue. Outcomes go to ``host`` in the order in which they happen."""

    def __init__(self, index: int, rules: MarketRules, accounts: Accounts, host: Host) -> None:
        self.index = index
        self.rules = rules
        self.accounts = accounts
        self.host = host
        self.book = Book(rules.l1_only)
        self.resting: list[Order] = []  # in order of arrival
        self.taken: dict[tuple[int, int, int], int] = {}  # (lane, side, ticks) -> lots
        self.mark_e8 = 0
        self.announced_ns = 0  # the funding boundary that the marks name
        self.announced_rate_e12 = self.announced_mark_e8 = 0
        self.booked_ns = 0  # the last boundary that was charged
        self.boundary_lots: dict[int, int] | None = None  # positions as of it by lane, once it has passed

    # -- what a lane sees: displayed minus what it took

    def lane_lots(self, lane: int, side: int, ticks: int) -> int:
        return max(self.book.lots(side, ticks) - self.taken.get((lane, side, ticks), 0), 0)

    def lane_ticks(self, lane: int, side: int) -> list[int]:
        """Levels of one side that this lane still sees, best first."""
        return [ticks for ticks in self.book.sorted_ticks(side) if self.lane_lots(lane, side, ticks) > 0]

    def lane_best(self, lane: int, side: int) -> int:
        return next(iter(self.lane_ticks(lane, side)), NO_PRICE)

    def reaches(self, order: Order, ticks: int) -> bool:
        """Whether a level of the other side at ``ticks`` is at the order's limit or better for it."""
        return order.type == MARKET or not is_better(1 - order.side, order.ticks, ticks)

    def crosses(self, order: Order) -> bool:
        best = self.lane_best(order.lane, 1 - order.side)
        return best != NO_PRICE and self.reaches(order, best)

    def position(self, lane: int) -> int:
        return self.accounts.position(self.host.account(lane, self.index), self.index)

    def reducible_lots(self, order: Order) -> int:
        position = self.position(order.lane)
        return max(-position if order.side == BUY else position, 0)

    # -- the feed

    def on_message(self, message: Message) -> None:
        if message.kind == TRADE:
            for aggressor, ticks, lots in message.rows:
                self._print(aggressor, ticks, lots)
        elif message.kind == MARK:
            self._mark_message(message)
        elif message.kind == FUNDING:
            rate_e12, mark_e8, boundary_ns, _ = message.aux
            self.charge_funding(rate_e12, mark_e8, boundary_ns)
        else:
            self._book_message(message)

    def _book_message(self, message: Message) -> None:
        for change in self.book.apply(message):
            self._on_change(change)
            if self.rules.l1_only and change.how in (STATED, EMPTIED):
                self._learn_fronts(change.side)
            if (message.kind != SNAPSHOT or self.rules.l1_only) and change.how == STATED:
                self._fill_crossed_by(change)
        if message.kind == SNAPSHOT and not self.rules.l1_only:
            for order in self._resting_on(BUY) + self._resting_on(SELL):
                if self.crosses(order):
                    self._fill_maker(order, order.leaves_lots, CAUSE_CROSS)

    def _on_change(self, change: Change) -> None:
        if change.after_lots != change.before_lots:
            for key in [key for key in self.taken if key[1:] == (change.side, change.ticks)]:
                del self.taken[key]
        for order in self.resting:
            is_there = order.side == change.side and order.ticks == change.ticks and change.how != HIDDEN
            if is_there and order.front_lots is not None:
                order.front_lots = front_after_depth(self.rules, order, change.before_lots, change.after_lots)
                order.traded_lots = 0

    def _learn_fronts(self, side: int) -> None:
        """Best-quote feeds: the level of an order placed away from the touch is displayed now, or known to be empty."""
        for order in self._resting_on(side):
            best = self.book.best(order.side)
            if order.front_lots is None and (best == NO_PRICE or not is_better(order.side, best, order.ticks)):
                order.front_lots, order.traded_lots = float(self.book.lots(order.side, order.ticks)), 0

    def _resting_on(self, side: int) -> list[Order]:
        """Resting orders of one side in price-time priority, all lanes."""
        own = [order for order in self.resting if order.side == side]
        return sorted(own, key=lambda order: -order.ticks if side == BUY else order.ticks)

    def _fill_crossed_by(self, change: Change) -> None:
        """A row can bring the other side's best to its own level only."""
        for order in self._resting_on(1 - change.side):
            if self.lane_lots(order.lane, change.side, change.ticks) > 0 and self.reaches(order, change.ticks):
                self._fill_maker(order, order.leaves_lots, CAUSE_CROSS)

    def _print(self, aggressor: int, ticks: int, lots: int) -> None:
        side = 1 - aggressor
        left: dict[int, int] = {}  # of this print, by lane
        for order in self._resting_on(side):
            if is_better(side, order.ticks, ticks):
                self._fill_maker(order, order.leaves_lots, CAUSE_THROUGH)
            elif order.ticks == ticks and order.front_lots is not None:
                self._print_at(order, lots, left)

    def _print_at(self, order: Order, lots: int, left: dict[int, int]) -> None:
        """A print at the order's price: the queue ahead is served first, then the order, then own orders behind it."""
        assert order.front_lots is not None
        seen = lots if self.rules.exchange == EXCHANGE_NOPARTIAL else left.setdefault(order.lane, lots)
        order.traded_lots += lots
        reached = math.floor(seen - order.front_lots + 0.5)
        if reached <= 0:
            order.front_lots -= seen
            return
        if self.rules.exchange == EXCHANGE_NOPARTIAL:  # the fill states what stood ahead when the print came
            self._fill_maker(order, order.leaves_lots, CAUSE_QUEUE)
        else:
            left[order.lane] -= self._fill_maker(order, min(reached, order.leaves_lots, seen), CAUSE_QUEUE)
        order.front_lots = 0.0

    # -- executions

    def _fill_maker(self, order: Order, lots: int, cause: int) -> int:
        """Fill a resting order at its own price; returns the lots that really executed."""
        executed = min(lots, self.reducible_lots(order)) if order.reduce_only else lots
        if executed > 0:
            self._fill(order, order.ticks, executed, LIQ_MAKER, cause)
        if executed < lots:
            self._close(order, EV_EXPIRED, R_REDUCE_ONLY)
        return executed

    def _fill(self, order: Order, ticks: int, lots: int, liquidity: int, cause: int) -> None:
        front_micro = _micro(order.front_lots) if liquidity == LIQ_MAKER else 0
        if order.is_resting:
            self._reserve(order, -lots)
        account = self.host.account(order.lane, self.index)
        fee_e8 = self.accounts.fill(account, self.index, order.side, ticks, lots, liquidity)
        realized_e8 = self.accounts.last_realized_e8
        order.filled_lots += lots
        if order.leaves_lots == 0:
            self._remove(order)
        self._emit(
            order, EV_FILLED, R_NONE, ticks, lots, liquidity=liquidity, cause=cause, fee_e8=fee_e8,
            realized_e8=realized_e8, front_micro=front_micro,
        )  # fmt: skip

    def _emit(self, order: Order, event: int, reason: int, ticks: int, lots: int, **more: Any) -> None:
        self.host.emit(self.index, Outcome(order.lane, order, event, reason, ticks, lots, side=order.side, **more))

    def _reserve(self, order: Order, lots: int) -> None:
        """Order margin for resting lots (negative: no longer); a reduce-only order holds none."""
        margin = self.rules.margin
        if margin is None or order.reduce_only:
            return
        change = margin.order_added if lots > 0 else margin.order_removed
        change(self.host.account(order.lane, self.index), self.index, order.side, order.ticks, abs(lots))

    def _remove(self, order: Order) -> None:
        if order.is_resting and order.leaves_lots > 0:
            self._reserve(order, -order.leaves_lots)
        order.is_resting = False
        self.resting = [other for other in self.resting if other is not order]

    def _close(self, order: Order, event: int, reason: int) -> None:
        self._remove(order)
        self._emit(order, event, reason, order.ticks, order.leaves_lots)

    # -- requests

    def on_submit(self, order: Order) -> None:
        reason = self._refusal(order)
        if reason != R_NONE:
            self._close(order, EV_REJECTED, reason)
            return
        if order.reduce_only:
            order.lots = min(order.lots, self.reducible_lots(order))
        self._place(order, EV_ACCEPTED)

    def _refusal(self, order: Order) -> int:
        if not self.book.valid:
            return R_NO_BOOK
        if not self.rules.min_lots <= order.lots <= self.rules.max_lots:
            return R_LOT_SIZE
        if order.type == LIMIT and order.ticks < 1:
            return R_PRICE_BAND
        if order.reduce_only:
            return R_NONE if self.reducible_lots(order) > 0 else R_REDUCE_ONLY
        return self._margin_refusal(order)

    def _margin_refusal(self, order: Order) -> int:
        if self.rules.margin is None:
            return R_NONE
        ticks = order.ticks if order.type == LIMIT else self.book.best(1 - order.side)
        if ticks == NO_PRICE:
            return R_NO_LIQUIDITY
        account = self.host.account(order.lane, self.index)
        return self.rules.margin.check_open(account, self.index, order.side, ticks, order.leaves_lots, False)

    def _place(self, order: Order, accepted: int) -> None:
        """An admitted order meets the book; ``accepted`` is EV_ACCEPTED or, for a replaced order, EV_AMENDED."""
        is_new = accepted == EV_ACCEPTED
        if order.tif == GTX and self.crosses(order):
            self._close(order, EV_REJECTED if self.rules.post_only_reject and is_new else EV_EXPIRED, R_POST_ONLY)
            return
        unfillable = order.tif == FOK and self._fillable_lots(order) < order.leaves_lots
        if unfillable and self.rules.fok_reject:
            self._close(order, EV_REJECTED, R_FOK)
            return
        self._emit(order, accepted, R_NONE, order.ticks, order.lots)
        if unfillable:
            self._close(order, EV_EXPIRED, R_FOK)
        else:
            self._take_and_rest(order)

    def _fillable_lots(self, order: Order) -> int:
        levels = [t for t in self.lane_ticks(order.lane, 1 - order.side) if self.reaches(order, t)]
        if self.rules.exchange == EXCHANGE_NOPARTIAL:
            return order.leaves_lots if levels else 0
        return sum(self.lane_lots(order.lane, 1 - order.side, ticks) for ticks in levels)

    def _take_and_rest(self, order: Order) -> None:
        """The taker's walk through what its lane sees, then what the time in force makes of the remainder."""
        opposite = 1 - order.side
        for ticks in self.lane_ticks(order.lane, opposite):
            if order.leaves_lots == 0 or not self.reaches(order, ticks):
                break
            if self.rules.exchange == EXCHANGE_NOPARTIAL:
                lots = order.leaves_lots
            else:
                lots = min(order.leaves_lots, self.lane_lots(order.lane, opposite, ticks))
                self._take(order.lane, opposite, ticks, lots)
            self._fill(order, ticks, lots, LIQ_TAKER, CAUSE_TAKER)
        if order.leaves_lots == 0:
            return
        if order.type == MARKET:
            self._close(order, EV_EXPIRED, R_MARKET_REMAINDER)
        elif order.tif == IOC:
            self._close(order, EV_EXPIRED, R_IOC_REMAINDER)
        else:
            assert order.tif in (GTC, GTX)
            self._rest(order)

    def _take(self, lane: int, side: int, ticks: int, lots: int) -> None:
        self.taken[lane, side, ticks] = self.taken.get((lane, side, ticks), 0) + lots

    def _rest(self, order: Order) -> None:
        order.is_resting = True
        order.front_lots = float(self.lane_lots(order.lane, order.side, order.ticks))
        order.traded_lots = 0
        best = self.book.best(order.side)
        if self.rules.l1_only and best != NO_PRICE and is_better(order.side, best, order.ticks):
            order.front_lots = None
        self.resting.append(order)
        self._reserve(order, order.leaves_lots)

    def on_cancel(self, order: Order) -> bool:
        """False if the order is not open."""
        if order.is_resting:
            self._close(order, EV_CANCELED, R_USER)
            return True
        return False

    def on_amend(self, order: Order, ticks: int, lots: int) -> int:
        """Replace price and total quantity; what is filled stays filled, the place in the queue is lost.

        Returns the reason of a refusal, which leaves the order as it was.
        """
        if not order.is_resting:
            return R_UNKNOWN_ORDER
        if lots <= order.filled_lots:
            self._close(order, EV_CANCELED, R_USER)
            return R_NONE
        reason = self._amend_refusal(order, ticks, lots)
        if reason != R_NONE:
            return reason
        if order.reduce_only:
            lots = order.filled_lots + min(lots - order.filled_lots, self.reducible_lots(order))
        self._remove(order)
        order.ticks, order.lots = ticks, lots
        self._place(order, EV_AMENDED)
        return R_NONE

    def _amend_refusal(self, order: Order, ticks: int, lots: int) -> int:
        if (ticks, lots) == (order.ticks, order.lots):
            return R_NO_CHANGE
        if not self.book.valid:
            return R_NO_BOOK
        if not self.rules.min_lots <= lots <= self.rules.max_lots:
            return R_LOT_SIZE
        if ticks < 1:
            return R_PRICE_BAND
        if order.reduce_only:
            return R_NONE if self.reducible_lots(order) > 0 else R_REDUCE_ONLY
        self._reserve(order, -order.leaves_lots)
        changed = replace(order, ticks=ticks, lots=lots)
        reason = self._margin_refusal(changed)
        self._reserve(order, order.leaves_lots)
        return reason

    # -- mark, funding, liquidation

    @property
    def next_boundary_ns(self) -> int | None:
        """The announced funding boundary, while positions as of it are still to be noted."""
        return self.announced_ns if self.announced_ns > 0 and self.boundary_lots is None else None

    def reach_boundary(self) -> None:
        self.boundary_lots = self._positions()

    def _positions(self) -> dict[int, int]:
        return {lane: self.position(lane) for lane in self.host.lanes()}

    def _mark_message(self, message: Message) -> None:
        """A recorded mark. Its rate belongs to the boundary that it names, until a message names a later one."""
        mark_e8, _, rate_e12, boundary_ns = message.aux
        if self.rules.funding_from_marks and boundary_ns > 0:
            self._announce(message.ts_event, mark_e8, rate_e12, boundary_ns)
        if not self.rules.mark_is_mid:
            self.set_mark(mark_e8)

    def _announce(self, ts_ns: int, mark_e8: int, rate_e12: int, boundary_ns: int) -> None:
        if boundary_ns <= self.booked_ns:
            return
        has_passed = self.boundary_lots is not None
        if has_passed and boundary_ns > self.announced_ns:
            assert self.boundary_lots is not None
            self._book_funding(self.boundary_lots, self.announced_rate_e12, self.announced_mark_e8, self.announced_ns)
            self.boundary_lots, self.booked_ns = None, self.announced_ns
        elif has_passed and boundary_ns < self.announced_ns:
            return
        self.announced_ns, self.announced_rate_e12, self.announced_mark_e8 = boundary_ns, rate_e12, mark_e8
        if boundary_ns <= ts_ns and self.boundary_lots is None:
            self.reach_boundary()

    def charge_funding(self, rate_e12: int, mark_e8: int, boundary_ns: int) -> None:
        """A charge out of a table, on the positions of this instant, at its own mark or the run's (``mark_e8`` 0)."""
        self._book_funding(self._positions(), rate_e12, mark_e8 or self.mark_e8, boundary_ns)

    def _book_funding(self, lots_of_lane: dict[int, int], rate_e12: int, mark_e8: int, boundary_ns: int) -> None:
        for lane, lots in lots_of_lane.items():
            if lots == 0:
                continue
            if mark_e8 <= 0:
                raise ValueError(f"market {self.index}: funding at {boundary_ns} ns, but no mark price is known")
            payment_e8 = self.accounts.funding(self.host.account(lane, self.index), self.index, lots, mark_e8, rate_e12)
            self.host.emit(
                self.index,
                Outcome(
                    lane, None, EV_FUNDING, R_NONE, mark_e8, lots, fee_e8=payment_e8, front_micro=rate_e12,
                    boundary_ns=boundary_ns,
                ),
            )  # fmt: skip

    def sample_mid(self) -> None:
        """The mid as a named proxy for the mark."""
        bid, ask = self.book.best(BUY), self.book.best(SELL)
        if self.book.valid and NO_PRICE not in (bid, ask):
            num, den = self.rules.tick_e8
            mark_e8 = (bid + ask) * num // (2 * den)
            if mark_e8 > 0:
                self.set_mark(mark_e8)

    def set_mark(self, mark_e8: int) -> None:
        self.mark_e8 = mark_e8
        self.accounts.set_mark(self.index, mark_e8)
        if self.rules.margin is None:
            return
        for lane in self.host.lanes():
            if self.position(lane) != 0 and self.rules.margin.is_liquidatable(self.host.account(lane, self.index)):
                self.host.liquidate(lane, self.rules.venue)

    def cancel_lane(self, lane: int) -> None:
        for order in self._resting_on(BUY) + self._resting_on(SELL):
            if order.lane == lane:
                self._close(order, EV_EXPIRED, R_LIQUIDATION)

    def liquidate_position(self, lane: int) -> None:
        """One reducing order for the whole position, not beyond the bankruptcy price."""
        margin = self.rules.margin
        assert margin is not None
        account = self.host.account(lane, self.index)
        lots = self.position(lane)
        side, opposite = (SELL, BUY) if lots > 0 else (BUY, SELL)
        limit = margin.bankruptcy_ticks(account, self.index)
        order, left = self.host.new_forced(lane), abs(lots)
        self._emit_forced(lane, order, EV_ACCEPTED, R_NONE, limit, left, side, left)
        for ticks in self.lane_ticks(lane, opposite) if self.book.valid else []:
            if left == 0 or is_better(opposite, limit, ticks):
                break
            size = min(left, self.lane_lots(lane, opposite, ticks))
            self._take(lane, opposite, ticks, size)
            margin.fill_with_fee(account, self.index, side, ticks, size, 0)
            realized_e8 = margin.last_realized_e8
            fee_e8 = margin.liquidation_fee(account, self.index, ticks, size)
            left -= size
            self._emit_forced(lane, order, EV_FILLED, R_LIQUIDATION, ticks, size, side, left, fee_e8, realized_e8)
            if left > 0:  # the fee has taken of what the rest may lose
                limit = margin.bankruptcy_ticks(account, self.index)
        if left > 0:
            self._emit_forced(lane, order, EV_EXPIRED, R_IOC_REMAINDER, limit, left, side, left)

    def take_over(self, lane: int) -> None:
        """The insurance fund takes what is left of a position at the bankruptcy price."""
        margin = self.rules.margin
        lots = self.position(lane)
        if lots != 0:
            assert margin is not None
            margin.takeover(self.host.account(lane, self.index), self.index)
            side = SELL if lots > 0 else BUY
            self._emit_forced(
                lane, None, EV_LIQUIDATED, R_LIQUIDATION, margin.last_ticks, abs(lots), side, PRICE_BANKRUPTCY, 0,
                margin.last_realized_e8,
            )  # fmt: skip

    def _emit_forced(
        self, lane: int, order: ForcedOrder | None, event: int, reason: int, ticks: int, lots: int, side: int,
        leaves: int, fee_e8: int = 0, realized_e8: int = 0,
    ) -> None:  # fmt: skip
        is_fill = event in (EV_FILLED, EV_LIQUIDATED)
        self.host.emit(
            self.index,
            Outcome(
                lane, None, event, reason, ticks, lots, liquidity=LIQ_TAKER if is_fill else LIQ_NONE,
                cause=CAUSE_LIQUIDATION if is_fill else CAUSE_NONE, fee_e8=fee_e8, realized_e8=realized_e8, side=side,
                forced=order, leaves=leaves,
            ),
        )  # fmt: skip


def _micro(front_lots: float | None) -> int:
    """Queue ahead in millionths of a lot, as the log keeps it; -1 if nobody knows."""
    return -1 if front_lots is None else math.floor(max(front_lots, 0.0) * 1e6 + 0.5)
