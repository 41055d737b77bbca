"""The reference's venue: one market, its resting orders of ours and the rules by which they fill.

Every rule here is written from the inequalities of docs/fills.md, in the most direct way that can be read beside them:
lists are searched, sorted and rebuilt, nothing is kept incrementally that can be computed. Time is not known here
except as the stamp of what is being processed (``now_ns``); the order of things is ``reference.py``'s business.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from matching import arith
from matching.codes import (
    BUY,
    CAUSE_CROSS,
    CAUSE_NONE,
    CAUSE_QUEUE,
    CAUSE_TAKER,
    CAUSE_THROUGH,
    EV_ACCEPTED,
    EV_AMEND_REJECTED,
    EV_AMENDED,
    EV_CANCEL_REJECTED,
    EV_CANCELED,
    EV_EXPIRED,
    EV_FILLED,
    EV_REJECTED,
    EXCHANGE_NOPARTIAL,
    EXCHANGE_PARTIAL,
    FLAG_REDUCE_ONLY,
    FOK,
    GTC,
    GTX,
    IOC,
    LIMIT,
    LIQ_MAKER,
    LIQ_NONE,
    LIQ_TAKER,
    MARKET,
    NO_PRICE,
    QUEUE_LOG,
    QUEUE_LOG2,
    QUEUE_POWER,
    QUEUE_POWER2,
    QUEUE_POWER3,
    QUEUE_RISK_AVERSE,
    R_FOK,
    R_IOC_REMAINDER,
    R_LOT_SIZE,
    R_MARKET_REMAINDER,
    R_NO_BOOK,
    R_NO_CHANGE,
    R_NONE,
    R_POST_ONLY,
    R_REDUCE_ONLY,
    R_UNKNOWN_ORDER,
    R_USER,
    SELL,
    SNAPSHOT,
    TRADE,
)
from matching.reference_book import HIDDEN, STATED, Book, Change, Message, is_better


class Account(Protocol):
    """What the venue asks of an account ledger; money at 1e-8 of the settlement asset."""

    last_realized_e8: int

    def position(self, account: int, market: int) -> int: ...
    def fill(self, account: int, market: int, side: int, ticks: int, lots: int, liquidity: int) -> int: ...


@dataclass(slots=True)
class MarketRules:
    """How one market matches; the same settings as ``Core.configure_market``."""

    venue: int = 0
    queue_model: int = QUEUE_RISK_AVERSE
    queue_param: float = 1.0
    exchange: int = EXCHANGE_PARTIAL
    l1_only: bool = False
    post_only_reject: bool = True
    fok_reject: bool = False
    min_lots: int = 1
    max_lots: int = (1 << 31) - 1


@dataclass(slots=True)
class Order:
    lane: int
    market: int
    number: int
    side: int
    ticks: int
    lots: int
    tif: int
    type: int
    reduce_only: bool
    filled_lots: int = 0
    front_lots: float | None = 0.0  # quantity of others ahead; None: the level is not displayed, nobody knows
    traded_lots: int = 0  # printed at our price since the level last changed
    events: int = 0  # log rows so far
    is_resting: bool = False

    @property
    def leaves_lots(self) -> int:
        return self.lots - self.filled_lots


@dataclass(slots=True)
class Outcome:
    """One event of an order, as the venue states it."""

    order: Order
    event: int
    reason: int
    ticks: int
    lots: int
    liquidity: int = LIQ_NONE
    cause: int = CAUSE_NONE
    fee_e8: int = 0
    realized_e8: int = 0


def front_after_depth(model: int, exponent: float, order: Order, before_lots: int, after_lots: int) -> float:
    """The queue ahead of a resting order once its level went from ``before_lots`` to ``after_lots``."""
    front = order.front_lots
    assert front is not None
    change = before_lots - after_lots - order.traded_lots
    if model == QUEUE_RISK_AVERSE or change < 0 or front <= 0.0:
        return min(front, float(after_lots))
    back = before_lots - front
    behind = probability_behind(model, exponent, front, back)
    estimate = front - (1.0 - behind) * change + min(back - behind * change, 0.0)
    return min(estimate, float(after_lots))


def probability_behind(model: int, exponent: float, front: float, back: float) -> float:
    """Probability that a quantity which left the level stood behind us; front > 0, back >= 0."""
    if model == QUEUE_POWER:
        b, f = arith.power(back, exponent), arith.power(front, exponent)
        return b / (b + f)
    if model == QUEUE_POWER2:
        return arith.power(back, exponent) / arith.power(back + front, exponent)
    if model == QUEUE_POWER3:
        return 1.0 - arith.power(front / (front + back), exponent)
    if model == QUEUE_LOG:
        return arith.ln1p(back) / (arith.ln1p(back) + arith.ln1p(front))
    if model == QUEUE_LOG2:
        return arith.ln1p(back) / arith.ln1p(back + front)
    raise ValueError(f"queue model {model}: the reference knows the six built-in models only")


@dataclass(slots=True)
class VenueMarket:
    """One market at the venue. ``emit`` receives each outcome in the order in which it happens."""

    index: int
    rules: MarketRules
    account: Account
    account_of_lane: Callable[[int], int]
    emit: Callable[[Outcome], None]
    book: Book = field(init=False)
    resting: list[Order] = field(default_factory=list)  # in order of arrival
    taken: dict[tuple[int, int, int], int] = field(default_factory=dict)  # (lane, side, ticks) -> lots
    boundary_ns: int = 0
    boundary_is_ahead: bool = False

    def __post_init__(self) -> None:
        self.book = Book(self.rules.l1_only)

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

    def reducible_lots(self, order: Order) -> int:
        position = self.account.position(self.account_of_lane(order.lane), self.index)
        return max(-position if order.side == BUY else position, 0)

    # -- the feed

    def on_message(self, message: Message) -> None:
        if message.kind == TRADE:
            for aggressor, ticks, lots in message.rows:
                self._print(aggressor, ticks, lots)
            return
        for change in self.book.apply(message):
            self._on_change(change)
            if message.kind != SNAPSHOT and change.how == STATED:
                self._fill_crossed_by(change)
        if message.kind == SNAPSHOT:
            for order in self._resting_on(BUY) + self._resting_on(SELL):
                if self.crosses(order):
                    self._fill_maker(order, order.leaves_lots, CAUSE_CROSS)

    def _on_change(self, change: Change) -> None:
        if change.after_lots != change.before_lots:
            for key in [key for key in self.taken if key[1:] == (change.side, change.ticks)]:
                del self.taken[key]
        for order in self._resting_on(change.side):
            if order.front_lots is None:
                self._learn_front(order, change)
            elif order.ticks == change.ticks and change.how != HIDDEN:
                order.front_lots = front_after_depth(
                    self.rules.queue_model, self.rules.queue_param, order, change.before_lots, change.after_lots
                )
                order.traded_lots = 0

    def _learn_front(self, order: Order, change: Change) -> None:
        """Best-quote feeds: the level of an order placed away from the touch comes into sight."""
        if change.how == STATED and order.ticks == change.ticks:
            order.front_lots, order.traded_lots = float(change.after_lots), 0
        elif change.how == STATED and is_better(order.side, order.ticks, change.ticks):
            order.front_lots, order.traded_lots = 0.0, 0

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
        for order in self._resting_on(side):
            if is_better(side, order.ticks, ticks):
                self._fill_maker(order, order.leaves_lots, CAUSE_THROUGH)
        left: dict[int, int] = {}  # of this print, by lane
        for order in self._resting_on(side):
            if order.ticks == ticks and order.front_lots is not None:
                seen = left.setdefault(order.lane, lots)
                order.front_lots -= seen
                order.traded_lots += lots
                reached = int(-order.front_lots + 0.5) if order.front_lots < 0 else 0
                if reached == 0:
                    continue
                order.front_lots = 0.0
                if self.rules.exchange == EXCHANGE_NOPARTIAL:
                    self._fill_maker(order, order.leaves_lots, CAUSE_QUEUE)
                else:
                    left[order.lane] -= self._fill_maker(order, min(reached, order.leaves_lots, seen), CAUSE_QUEUE)

    def _fill_maker(self, order: Order, lots: int, cause: int) -> int:
        """Fill a resting order at its own price; returns the lots that really executed."""
        executed = min(lots, self.reducible_lots(order)) if order.reduce_only else lots
        if executed > 0:
            self._fill(order, order.ticks, executed, LIQ_MAKER, cause)
        if executed < lots:
            self._close(order, EV_EXPIRED, R_REDUCE_ONLY)
        return executed

    def _fill(self, order: Order, ticks: int, lots: int, liquidity: int, cause: int) -> None:
        fee_e8 = self.account.fill(
            self.account_of_lane(order.lane), self.index, order.side, ticks, lots, liquidity
        )
        order.filled_lots += lots
        if order.leaves_lots == 0:
            self._remove(order)
        realized_e8 = self.account.last_realized_e8
        self.emit(Outcome(order, EV_FILLED, R_NONE, ticks, lots, liquidity, cause, fee_e8, realized_e8))

    def _remove(self, order: Order) -> None:
        order.is_resting = False
        self.resting = [other for other in self.resting if other is not order]

    def _close(self, order: Order, event: int, reason: int) -> None:
        self._remove(order)
        self.emit(Outcome(order, event, reason, order.ticks, order.leaves_lots))

    def reach_boundary(self) -> None:
        self.boundary_is_ahead = False

    # -- requests

    def on_submit(self, order: Order) -> None:
        reason = self._refusal(order)
        if reason != R_NONE:
            self.emit(Outcome(order, EV_REJECTED, reason, order.ticks, order.lots))
            return
        if order.reduce_only:
            order.lots = min(order.lots, self.reducible_lots(order))
        if order.tif == GTX and order.type == LIMIT and self.crosses(order):
            event = EV_REJECTED if self.rules.post_only_reject else EV_EXPIRED
            self.emit(Outcome(order, event, R_POST_ONLY, order.ticks, order.lots))
            return
        unfillable = order.tif == FOK and self._fillable_lots(order) < order.lots
        if unfillable and self.rules.fok_reject:
            self.emit(Outcome(order, EV_REJECTED, R_FOK, order.ticks, order.lots))
            return
        self.emit(Outcome(order, EV_ACCEPTED, R_NONE, order.ticks, order.lots))
        if unfillable:
            self._close(order, EV_EXPIRED, R_FOK)
            return
        self._take_and_rest(order)

    def _refusal(self, order: Order) -> int:
        if not self.rules.min_lots <= order.lots <= self.rules.max_lots:
            return R_LOT_SIZE
        if not self.book.valid:
            return R_NO_BOOK
        if order.reduce_only and self.reducible_lots(order) == 0:
            return R_REDUCE_ONLY
        return R_NONE

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
                key = (order.lane, opposite, ticks)
                self.taken[key] = self.taken.get(key, 0) + lots
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

    def _rest(self, order: Order) -> None:
        order.is_resting = True
        order.front_lots = float(self.lane_lots(order.lane, order.side, order.ticks))
        order.traded_lots = 0
        best = self.book.best(order.side)
        if self.rules.l1_only and best != NO_PRICE and is_better(order.side, best, order.ticks):
            order.front_lots = None
        self.resting.append(order)

    def on_cancel(self, order: Order) -> None:
        if order.is_resting:
            self._close(order, EV_CANCELED, R_USER)
        else:
            self.emit(Outcome(order, EV_CANCEL_REJECTED, R_UNKNOWN_ORDER, order.ticks, order.leaves_lots))

    def on_amend(self, order: Order, ticks: int, lots: int) -> None:
        """Replace price and total quantity; what is filled stays filled, the place in the queue is lost."""
        reason = self._amend_refusal(order, ticks, lots)
        if reason != R_NONE:
            self.emit(Outcome(order, EV_AMEND_REJECTED, reason, ticks, lots))
            return
        if lots <= order.filled_lots:
            self._close(order, EV_CANCELED, R_USER)
            return
        if order.reduce_only:
            lots = order.filled_lots + min(lots - order.filled_lots, self.reducible_lots(order))
        self._remove(order)
        order.ticks, order.lots = ticks, lots
        if order.tif == GTX and self.crosses(order):
            self._close(order, EV_EXPIRED, R_POST_ONLY)
            return
        self.emit(Outcome(order, EV_AMENDED, R_NONE, ticks, lots))
        self._take_and_rest(order)

    def _amend_refusal(self, order: Order, ticks: int, lots: int) -> int:
        if not order.is_resting:
            return R_UNKNOWN_ORDER
        if (ticks, lots) == (order.ticks, order.lots):
            return R_NO_CHANGE
        if lots <= order.filled_lots:
            return R_NONE
        if not self.rules.min_lots <= lots <= self.rules.max_lots:
            return R_LOT_SIZE
        if not self.book.valid:
            return R_NO_BOOK
        if order.reduce_only and self.reducible_lots(order) == 0:
            return R_REDUCE_ONLY
        return R_NONE


def is_reduce_only(flags: int) -> bool:
    return bool(flags & FLAG_REDUCE_ONLY)
