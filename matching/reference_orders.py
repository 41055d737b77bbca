"""What the reference's venue works on: a market's rules, an order of ours, outcomes, and the queue ahead of an order.

The queue models estimate how much of a quantity that left a price level stood before us; they are those of hftbacktest
(L2 queue models, "Probability Queue Position"), stated in docs/fills.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from matching import arith
from matching.codes import (
    CAUSE_NONE,
    EXCHANGE_PARTIAL,
    FLAG_REDUCE_ONLY,
    IOC,
    LIMIT,
    LIQ_NONE,
    QUEUE_LOG,
    QUEUE_LOG2,
    QUEUE_POWER,
    QUEUE_POWER2,
    QUEUE_POWER3,
    QUEUE_RISK_AVERSE,
)


class Accounts(Protocol):
    """What the venue asks of the accounts (`Ledger`, or `ExactAccounts`); money at 1e-8 of the settlement asset."""

    @property
    def last_realized_e8(self) -> int: ...

    def position(self, account: int, m: int, /) -> int: ...
    def fill(self, account: int, m: int, side: int, ticks: int, lots: int, liquidity: int, /) -> int: ...
    def funding(self, account: int, m: int, lots: int, mark_e8: int, rate_e12: int, /) -> int: ...
    def set_mark(self, m: int, mark_e8: int, /) -> None: ...
    def wallet(self, account: int, asset: int, /) -> int: ...


class MarginAccounts(Accounts, Protocol):
    """What it asks beside that of a ledger with margin (`Ledger`)."""

    @property
    def last_ticks(self) -> int: ...

    def check_open(self, account: int, m: int, side: int, ticks: int, lots: int, reduce_only: bool, /) -> int: ...
    def order_added(self, account: int, m: int, side: int, ticks: int, lots: int, /) -> None: ...
    def order_removed(self, account: int, m: int, side: int, ticks: int, lots: int, /) -> None: ...
    def is_liquidatable(self, account: int, /) -> bool: ...
    def liquidatable_asset(self, account: int, /) -> int: ...
    def bankruptcy_ticks(self, account: int, m: int, /) -> int: ...
    def fill_with_fee(self, account: int, m: int, side: int, ticks: int, lots: int, fee_e8: int, /) -> int: ...
    def liquidation_fee(self, account: int, m: int, ticks: int, lots: int, /) -> int: ...
    def takeover(self, account: int, m: int, /) -> int: ...


class QueueModel(Protocol):
    """A queue model of the user's own (QUEUE_CUSTOM)."""

    def probability(self, front: float, back: float, /) -> float: ...


@dataclass(slots=True)
class MarketRules:
    """How one market matches; the same settings as ``Core.configure_market``."""

    venue: int = 0
    asset: int = 0  # in which the accounts settle this market
    queue_model: int = QUEUE_RISK_AVERSE
    queue_param: float = 1.0
    custom_queue: QueueModel | None = None
    exchange: int = EXCHANGE_PARTIAL
    l1_only: bool = False
    post_only_reject: bool = True
    fok_reject: bool = False
    min_lots: int = 1
    max_lots: int = (1 << 31) - 1
    margin: MarginAccounts | None = None  # the accounts again, if they are to check margin
    funding_from_marks: bool = False
    mark_is_mid: bool = False
    tick_e8: tuple[int, int] = (1, 1)


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
    flags: int
    filled_lots: int = 0
    front_lots: float | None = 0.0  # quantity of others ahead; None: the level is not displayed, nobody knows
    traded_lots: int = 0  # printed at our price since the level last changed
    sent_ns: int = 0
    delivered_ns: int = 0  # when we hear of its latest event
    is_known_closed: bool = False  # its closing event has been taken in
    events: int = 0  # log rows so far
    requests: int = 0  # cancels and amends sent so far
    is_resting: bool = False

    @property
    def reduce_only(self) -> bool:
        return bool(self.flags & FLAG_REDUCE_ONLY)

    @property
    def leaves_lots(self) -> int:
        return self.lots - self.filled_lots


FORCED_STYLE = IOC + 8 * LIMIT + 16 * FLAG_REDUCE_ONLY


@dataclass(slots=True)
class ForcedOrder:
    """An order that the venue makes for a lane: numbered -1, -2, ... within the lane."""

    number: int
    events: int = 0
    delivered_ns: int = 0


@dataclass(slots=True)
class Outcome:
    """One event as the venue states it: of ``order``, or of the lane's account in this market if that is None."""

    lane: int
    order: Order | None
    event: int
    reason: int
    ticks: int
    lots: int
    liquidity: int = LIQ_NONE
    cause: int = CAUSE_NONE
    fee_e8: int = 0  # of EV_FUNDING: the payment, positive = received
    realized_e8: int = 0
    front_micro: int = 0  # of EV_FUNDING: the rate at 1e-12
    side: int = 0
    boundary_ns: int = 0  # of EV_FUNDING: the instant that the event is stamped with
    forced: ForcedOrder | None = None  # the venue's own order that it is about
    leaves: int = 0  # of that order


class Host(Protocol):
    """Where the market's outcomes go, and who knows the other markets of an account."""

    def emit(self, m: int, outcome: Outcome) -> None: ...
    def account(self, lane: int, m: int) -> int: ...
    def lanes(self) -> range: ...
    def liquidate(self, lane: int, venue: int) -> None: ...
    def new_forced(self, lane: int) -> ForcedOrder: ...


def front_after_depth(rules: MarketRules, order: Order, before_lots: int, after_lots: int) -> float:
    """The queue ahead of a resting order once its level went from ``before_lots`` to ``after_lots``."""
    front = order.front_lots
    assert front is not None
    change = before_lots - after_lots - order.traded_lots
    if rules.queue_model == QUEUE_RISK_AVERSE or change < 0 or front <= 0.0:
        return min(front, float(after_lots))
    back = before_lots - front
    behind = probability_behind(rules, front, back)
    estimate = front - (1.0 - behind) * change + min(back - behind * change, 0.0)
    return min(estimate, float(after_lots))


def probability_behind(rules: MarketRules, front: float, back: float) -> float:
    """Probability that a quantity which left the level stood behind us; front > 0, back >= 0."""
    model, exponent = rules.queue_model, rules.queue_param
    if rules.custom_queue is not None:
        return rules.custom_queue.probability(front, back)
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
