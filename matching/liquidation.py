"""What liquidation procedures share: the facts they follow, the kernel's narrow face, and the desk that works on it.

The kernel asks the ledger at every mark whether an account is below its maintenance margin; only then does it call
``Procedure.liquidate`` of the venue (``procedures.py`` has one class a venue's way, ``losses.py`` who bears what an
account cannot pay). All of it is rare, so this is plain Python. Times are venue time in ns, sizes in lots, prices in
ticks, money at 1e-8 of the settlement asset, ratios at 1e-12.

A *unit* is what is liquidated together: the cross positions of an asset (unit = asset) or one isolated position
(unit = n_assets + market), as ``Ledger.liquidatable`` numbers them. ``m`` counts the kernel's markets, ``leg`` the
ledger's: in hedge mode market m's short leg is leg m + n_markets, otherwise leg = m.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from matching.brackets import BRACKETS_MAX
from matching.codes import (
    BUY,
    CAUSE_LIQUIDATION,
    EV_ACCEPTED,
    EV_EXPIRED,
    EV_FILLED,
    EV_MARGIN_WARNING,
    LIQ_NONE,
    LIQ_TAKER,
    MODE_CROSS,
    R_IOC_REMAINDER,
    R_LIQUIDATION,
    R_NONE,
    SELL,
)

E12 = 1_000_000_000_000
MAX_TICKS = (1 << 31) - 1
TIER_BY_LOTS = 1  # bit of the ledger's margin_flags: bracket floors and caps are lots


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The facts of a venue's rule card that its procedure follows; names and words are the card's.

    ``lanes_share``: the other lanes at the venue are parties to deleveraging; otherwise only the unnamed rest of the
    market is, so that a lane's result does not depend on which others run beside it.
    """

    procedure: str = "ioc_then_fund"
    isolated_procedure: str = ""  # empty: the same
    warning_ratio_e12: int = 0  # maintenance / equity at which the venue warns; 0: it does not
    cancels: str = "all"  # own orders that go first: of the whole unit, of each "symbol" with a position, or "none"
    first_fraction_e12: int = E12
    first_fraction_above_e8: int = 0
    cooldown_ns: int = 0
    chunk_fraction_e12: int = E12
    tiers_per_step: int = 1
    whole_up_to_tier: int = 1
    block_ns: int = 0
    block_fraction_e12: int = E12
    block_least_e8: int = 0
    block_most_e8: int = 0  # 0: no limit
    block_loss_most_e8: int = 0  # 0: no limit
    fillable_adjustment_e12: int = E12
    fillable_spread_e12: int = 0
    takeover_ratio_e12: int = 0
    nets_legs: bool = False  # long and short legs of a contract are closed against each other first, at the mark
    fee_form: str = "own_rate"  # "none", "own_rate" (into the fund), "taker" (a trade's), "excess_up_to" (of the fund)
    fee_rate_e12: int = 0  # of "excess_up_to"
    adl_rank: str = "profit_times_margin_ratio"
    adl_price: str = "bankruptcy"
    adl_cancels_orders: bool = True
    lanes_share: bool = False
    stale_mark_ns: int = 0  # no liquidation on a mark older than this; 0: no such breaker


@dataclass(frozen=True, slots=True)
class MarkState:
    """A market's mark at 1e-8, the one before it, when it was set, and the tick's size at 1e-8 as a fraction."""

    mark_e8: int
    prior_e8: int
    set_ns: int
    tick_num: int
    tick_den: int

    def ticks(self, price_e8: int) -> int:
        """The nearest tick of a price (half up), at least 1."""
        return max((2 * price_e8 * self.tick_den + self.tick_num) // (2 * self.tick_num), 1)


class Host(Protocol):
    """What a procedure sees of the kernel (``Core``). A lane has one account a venue."""

    n_markets: int
    n_lanes: int
    seed: int
    ledger: Any
    lane_accounts: list[list[int]]
    transfers: list[tuple[Any, ...]]

    def markets_of(self, venue: int, /) -> list[int]: ...
    def mark_state(self, m: int, /) -> tuple[int, int, int, int, int]: ...
    def cancel_resting(self, lane: int, m: int, reason: int, ts: int, /) -> None: ...
    def seen_levels(self, lane: int, m: int, side: int, limit_ticks: int, /) -> list[tuple[int, int]]: ...
    def take_level(self, lane: int, m: int, side: int, ticks: int, lots: int, /) -> None: ...
    def lock(self, lane: int, m: int, locked: bool, /) -> None: ...
    def new_forced(self, lane: int, /) -> int: ...
    def schedule(self, ts: int, callback: Callable[[int], object], /) -> None: ...
    def emit_forced(
        self, lane: int, leg: int, order_no: int, seq: int, event: int, reason: int, ts: int, ticks: int, lots: int,
        fee_e8: int, realized_e8: int, side: int, cause: int, leaves: int, earliest: int, /,
    ) -> int: ...  # fmt: skip


class Procedure(Protocol):
    """What the kernel calls at a mark: of an account below maintenance, and, where asked for, of every position."""

    def liquidate(self, lane: int, ts: int, /) -> None: ...
    def warn(self, lane: int, ts: int, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Unit:
    """What is liquidated together: ``legs`` are ledger markets."""

    lane: int
    account: int
    number: int
    legs: tuple[int, ...]

    @property
    def key(self) -> tuple[int, int]:
        return self.account, self.number


class Position:
    """The account's position in a leg, read afresh: signed lots, the side that closes it, and its size."""

    def __init__(self, ledger: Any, account: int, leg: int) -> None:
        self.lots: int = ledger.position(account, leg)
        self.size = abs(self.lots)
        self.side = SELL if self.lots > 0 else BUY  # of an order that closes it


class ForcedOrder:
    """An order that the venue makes: numbered -1, -2, ... within the lane; its events arrive in their order."""

    def __init__(self, host: Host, lane: int, leg: int, number: int, side: int, ts: int) -> None:
        self.host, self.lane, self.leg, self.number, self.side, self.ts = host, lane, leg, number, side, ts
        self.seq = self.earliest = 0

    def emit(
        self, event: int, reason: int, ticks: int, lots: int, leaves: int, fee_e8: int = 0, realized_e8: int = 0
    ) -> None:
        cause = CAUSE_LIQUIDATION if event == EV_FILLED else 0
        self.earliest = self.host.emit_forced(
            self.lane, self.leg, self.number, self.seq, event, reason, self.ts, ticks, lots, fee_e8, realized_e8,
            self.side, cause, leaves, self.earliest,
        )  # fmt: skip
        self.seq += 1


class Books:
    """Every movement of lots and money in a liquidation, written down with both its sides.

    A transfer is (ts_ns, lane, account, m, kind, party, lots, ticks, amount_e8): what the party got. Lots and amounts
    of one booking sum to zero. Parties: "account", "lane <n>", "market" (whoever traded with us, unnamed), "fund"
    (insurance fund or vault), "fees" (the venue's), "funding".
    """

    POOLS = (
        ("market", "pool_market"), ("fund", "pool_insurance"), ("fees", "pool_fees"), ("funding", "pool_funding"),
    )  # fmt: skip

    def __init__(self, host: Host) -> None:
        self.host = host
        self.ledger = host.ledger

    def book(
        self, kind: str, unit: Unit, leg: int, ts: int, ticks: int, lots: dict[str, int], operation: Callable[[], Any],
        other: tuple[str, int] | None = None,
    ) -> Any:  # fmt: skip
        """Run ``operation`` on the ledger and write down what it moved; ``other``: (name, account) of another lane."""
        ledger = self.ledger
        asset = int(ledger.arrays["market_asset"][leg])
        accounts = [("account", unit.account)] + ([other] if other is not None else [])
        before = self._amounts(asset, accounts)
        result = operation()
        for party, amount in self._amounts(asset, accounts).items():
            moved, got = lots.get(party, 0), amount - before[party]
            if moved or got:
                row = (ts, unit.lane, unit.account, leg % self.host.n_markets, kind, party, moved, ticks, got)
                self.host.transfers.append(row)
        return result

    def _amounts(self, asset: int, accounts: list[tuple[str, int]]) -> dict[str, int]:
        found = {name: int(self.ledger.wallet(account, asset)) for name, account in accounts}
        return found | {name: int(self.ledger.arrays[column][asset]) for name, column in self.POOLS}


class Desk:
    """What every procedure does alike: finds the units that are due, cancels, executes forced orders, waits, warns."""

    def __init__(self, host: Host, venue: int, terms: Terms = Terms()) -> None:
        self.host, self.venue, self.terms = host, venue, terms
        self.ledger = host.ledger
        self.books = Books(host)
        self.isolated: Desk = self  # who works on isolated units
        self.waiting: set[tuple[int, int]] = set()  # units whose next step is on the agenda
        self.warned: set[tuple[int, int]] = set()
        self.halted = 0  # steps not taken because a mark was stale

    # -- what the kernel calls

    def liquidate(self, lane: int, ts: int) -> None:
        for unit in self.units(lane):
            desk = self.isolated if unit.number >= self.ledger.n_assets else self
            if self.is_due(unit) and unit.key not in desk.waiting:
                desk._begin(unit, ts)

    def warn(self, lane: int, ts: int) -> None:
        """Emit EV_MARGIN_WARNING once each time that maintenance / equity reaches the venue's level."""
        for unit in self.units(lane):
            maintenance = self.maintenance_e8(unit)
            due = maintenance > 0 and maintenance * E12 >= self.terms.warning_ratio_e12 * self.equity_e8(unit)
            if due and unit.key not in self.warned:
                leg = self.held(unit)[0]
                state, held = self.mark(leg), self.position(unit, leg)
                self.host.emit_forced(
                    lane, leg, 0, -1, EV_MARGIN_WARNING, R_NONE, ts, state.ticks(state.mark_e8),
                    held.size, 0, 0, held.side, 0, 0, 0,
                )  # fmt: skip
            (self.warned.add if due else self.warned.discard)(unit.key)

    def step(self, unit: Unit, ts: int) -> None:
        """Do what is to be done now; ``later`` if that is not all. Every procedure has its own."""
        raise NotImplementedError

    # -- steps

    def _begin(self, unit: Unit, ts: int) -> None:
        limit = self.terms.stale_mark_ns
        if limit and any(ts - self.mark(leg).set_ns > limit for leg in unit.legs if self.position(unit, leg).lots):
            self.halted += 1
            return
        self.step(unit, ts)

    def later(self, unit: Unit, ts: int) -> None:
        """Have the unit's next step taken at ``ts`` if it is still due then."""
        self.waiting.add(unit.key)

        def resume(now: int) -> None:
            self.waiting.discard(unit.key)
            if self.is_due(unit):
                self._begin(unit, now)
            else:
                self.finish(unit, now)

        self.host.schedule(ts, resume)

    def finish(self, unit: Unit, ts: int) -> None:
        """The unit is compliant again, or flat, after a step on the agenda."""

    # -- units and what they hold

    def units(self, lane: int) -> list[Unit]:
        """The lane's units at this venue, whether they hold anything or not."""
        ledger, account = self.ledger, self.host.lane_accounts[lane][self.venue]
        legs: dict[int, list[int]] = {}
        for m in self.host.markets_of(self.venue):
            for leg in range(m, ledger.n_markets, self.host.n_markets):
                legs.setdefault(int(ledger.unit_of(account, leg)), []).append(leg)
        return [Unit(lane, account, number, tuple(legs[number])) for number in sorted(legs)]

    def equity_e8(self, unit: Unit) -> int:
        return int(self.ledger.unit_equity_e8(unit.account, unit.number))

    def maintenance_e8(self, unit: Unit) -> int:
        return int(self.ledger.unit_maintenance_e8(unit.account, unit.number))

    def pay_out(self, unit: Unit, leg: int, amount_e8: int) -> None:
        """The fund pays into the unit (an isolated position's margin); booked as a negative liquidation fee."""
        arrays, asset = self.ledger.arrays, int(self.ledger.arrays["market_asset"][leg])
        wallet = unit.account * self.ledger.n_assets + asset
        place = unit.account * self.ledger.n_markets + leg
        arrays["wallets"][wallet] += amount_e8
        arrays["pool_insurance"][asset] -= amount_e8
        arrays["liquidation_fees"][place] -= amount_e8
        if unit.number == self.ledger.n_assets + leg and arrays["modes"][place] != MODE_CROSS:
            arrays["isolated"][place] += amount_e8
            arrays["isolated_sums"][wallet] += amount_e8

    def is_due(self, unit: Unit) -> bool:
        maintenance = self.maintenance_e8(unit)
        return maintenance > 0 and self.equity_e8(unit) < maintenance

    def position(self, unit: Unit, leg: int) -> Position:
        return Position(self.ledger, unit.account, leg)

    def weight(self, unit: Unit, leg: int) -> int:
        """What the position weighs among the unit's: its maintenance margin."""
        return int(self.ledger.market_maintenance_e8(unit.account, leg))

    def held(self, unit: Unit) -> list[int]:
        """Legs with a position, the one with the largest maintenance margin first."""
        legs = [leg for leg in unit.legs if self.position(unit, leg).lots]
        return sorted(legs, key=lambda leg: -self.weight(unit, leg))

    def mark(self, leg: int) -> MarkState:
        return MarkState(*self.host.mark_state(leg % self.host.n_markets))

    def tier(self, leg: int, lots: int) -> int:
        """The place, from 1, of the margin tier that ``lots`` are in."""
        key = lots if self._by_lots(leg) else int(self.ledger.notional_e8(leg, lots))
        tier = int(self.ledger.arrays["bracket_count"][leg])
        while tier > 1 and self._bracket("bracket_floor", leg, tier) >= key:
            tier -= 1
        return tier

    def tier_lots(self, leg: int, tier: int) -> int:
        """The most lots that are still in a tier at the mark."""
        cap = self._bracket("bracket_cap", leg, tier)
        if self._by_lots(leg):
            return cap
        low, high = 0, 1
        while self.ledger.notional_e8(leg, high) <= cap:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.ledger.notional_e8(leg, middle) <= cap else (low, middle)
        return low

    def _by_lots(self, leg: int) -> bool:
        return bool(int(self.ledger.arrays["margin_flags"][leg]) & TIER_BY_LOTS)

    def _bracket(self, column: str, leg: int, tier: int) -> int:
        return int(self.ledger.arrays[column][leg * BRACKETS_MAX + tier - 1])

    # -- what is done to a unit

    def cancel(self, unit: Unit, ts: int) -> None:
        """Close the unit's resting orders as the card says (the wire: EXPIRED, for the liquidation)."""
        if self.terms.cancels == "none":
            return
        legs = unit.legs if self.terms.cancels == "all" else self.held(unit)
        for m in dict.fromkeys(leg % self.host.n_markets for leg in legs):
            self.host.cancel_resting(unit.lane, m, R_LIQUIDATION, ts)

    def lock(self, unit: Unit, locked: bool) -> None:
        """Refuse the user's requests in the unit's markets (R_IN_LIQUIDATION), or take them again."""
        for leg in unit.legs:
            self.host.lock(unit.lane, leg % self.host.n_markets, locked)

    def execute(self, unit: Unit, leg: int, lots: int, ts: int, limit: Callable[[], int]) -> int:
        """One reducing IOC order through what the lane sees, as far as ``limit()``; returns the lots left.

        ``limit`` is asked again after each fill, since a fee takes of what the rest may lose.
        """
        host, side = self.host, self.position(unit, leg).side
        m, left, bound = leg % host.n_markets, lots, limit()
        order = self.order(unit, leg, side, ts)
        order.emit(EV_ACCEPTED, R_NONE, bound, lots, lots)
        for ticks, seen in host.seen_levels(unit.lane, m, 1 - side, bound):
            if left == 0 or (ticks < bound if side == SELL else ticks > bound):
                break
            size = self.bearable(unit, leg, ticks, min(left, seen))
            if size == 0:
                break
            host.take_level(unit.lane, m, 1 - side, ticks, size)
            fee, realized = self._fill(unit, leg, side, ticks, size, ts)
            left -= size
            order.emit(EV_FILLED, R_LIQUIDATION, ticks, size, left, fee, realized)
            if left > 0:
                bound = limit()
        if left:
            order.emit(EV_EXPIRED, R_IOC_REMAINDER, bound, left, left)
        return left

    def close_at(self, unit: Unit, leg: int, lots: int, ticks: int, ts: int) -> None:
        """A forced order that executes off the book, whole, at a price and without a fee."""
        side = self.position(unit, leg).side
        order = self.order(unit, leg, side, ts)
        order.emit(EV_ACCEPTED, R_NONE, ticks, lots, lots)
        signed = lots if side == BUY else -lots
        self.books.book(
            "net", unit, leg, ts, ticks, {"account": signed, "market": -signed},
            lambda: self.ledger.fill(unit.account, leg, side, ticks, lots, LIQ_NONE),
        )  # fmt: skip
        order.emit(EV_FILLED, R_LIQUIDATION, ticks, lots, 0, 0, int(self.ledger.last_realized_e8))

    def order(self, unit: Unit, leg: int, side: int, ts: int) -> ForcedOrder:
        return ForcedOrder(self.host, unit.lane, leg, self.host.new_forced(unit.lane), side, ts)

    def bearable(self, unit: Unit, leg: int, ticks: int, lots: int) -> int:
        """How many of ``lots`` may execute at ``ticks``."""
        return lots

    def _fill(self, unit: Unit, leg: int, side: int, ticks: int, lots: int, ts: int) -> tuple[int, int]:
        """Book a forced fill with its fee; returns fee and realised PnL."""
        ledger, account = self.ledger, unit.account
        signed = lots if side == BUY else -lots
        trade = self.terms.fee_form == "taker"
        fee = self.books.book(
            "fill", unit, leg, ts, ticks, {"account": signed, "market": -signed},
            lambda: ledger.fill(account, leg, side, ticks, lots, LIQ_TAKER if trade else LIQ_NONE),
        )  # fmt: skip
        realized = int(ledger.last_realized_e8)
        if not trade:
            fee = self.books.book("fee", unit, leg, ts, ticks, {}, lambda: self.charge(unit, leg, ticks, lots))
        return int(fee), realized

    def charge(self, unit: Unit, leg: int, ticks: int, lots: int) -> int:
        """Move the liquidation fee of a booked fill into the fund (negative: out of it); returns it."""
        if self.terms.fee_form == "own_rate":
            return int(self.ledger.liquidation_fee(unit.account, leg, ticks, lots))
        return 0

    def bankruptcy(self, unit: Unit, leg: int) -> Callable[[], int]:
        """The limit beyond which the unit would owe more than it has."""
        return lambda: int(self.ledger.bankruptcy_ticks(unit.account, leg))

    def at_any_price(self, unit: Unit, leg: int) -> Callable[[], int]:
        return lambda: 1 if self.position(unit, leg).side == SELL else MAX_TICKS
