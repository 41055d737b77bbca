"""The books of a session kept a second time: exact fractions, from delivered events alone.

Nothing here asks the ledger how it reckons: positions, entry values, realised profit, fees, funding and wallets follow
from the events by the contract's own definition, and each event's statement of position and wallet must agree. Who paid
is booked too: the market, the venue's fees, the funding of the others, the insurance fund. The rules are those of
``matching/ledger.py``'s docstring: money half-even at 1e-8 unless the venue rounds otherwise, inverse entry values at
1e-10.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

from matching import codes
from matching.kernel import Core
from sim.assembly import Plan
from sim.strategy import Order
from venues.rules import RuleCard

INVERSE_GRID: Final = 100  # entry values of inverse contracts are kept at 1e-8 / 100
TIF_NAMES: Final = {codes.GTC: "GTC", codes.IOC: "IOC", codes.FOK: "FOK", codes.GTX: "GTX", codes.GTD: "GTD"}


def rounded(amount: Fraction, unit: int, word: str) -> int:
    """An amount as a whole multiple of ``unit``, the way the venue rounds it."""
    share = amount / unit
    if word == "truncate":
        return int(share) * unit
    if word == "ceil":
        return -(-share.numerator // share.denominator) * unit
    if word == "floor":
        return share.numerator // share.denominator * unit
    return round(share) * unit


class ViolationError(AssertionError):
    """Something held by no venue happened."""


@dataclass(slots=True)
class Contract:
    """One instrument, as its definition says."""

    asset: int
    inverse: bool
    tick: Fraction
    lot: Fraction
    maker: Fraction
    taker: Fraction
    liquidation: Fraction

    @property
    def grid(self) -> int:
        return INVERSE_GRID if self.inverse else (self.tick * self.lot * codes.E8).denominator

    def value(self, lots: int, price: Fraction) -> Fraction:
        """Value at 1e-8 of the settlement asset."""
        return lots * self.lot * codes.E8 / price if self.inverse else lots * self.lot * codes.E8 * price


@dataclass(slots=True)
class Holding:
    """A position: signed lots and the value paid for them, at 1e-8."""

    lots: int = 0
    entry: Fraction = Fraction(0)

    def fill(self, contract: Contract, side: int, ticks: int, lots: int) -> int:
        """Take an execution; returns the realised profit at 1e-8."""
        grid, price = contract.grid, ticks * contract.tick
        direction = 1 if side == codes.BUY else -1
        closed = min(lots, abs(self.lots)) if self.lots * direction < 0 else 0
        realized = 0
        if closed:
            share = Fraction(round(self.entry * grid * closed / abs(self.lots)), grid)
            left = Fraction(round(contract.value(closed, price) * grid), grid)
            realized = round(left - share if (self.lots > 0) != contract.inverse else share - left)
            self.entry -= share
        if lots > closed:
            self.entry += Fraction(round(contract.value(lots - closed, price) * grid), grid)
        self.lots += direction * lots
        return realized


@dataclass(slots=True)
class Sent:
    """An order as it was asked for, and what became of it."""

    order: Order
    lane: int
    market: int
    options: dict[str, Any]
    filled: int = 0
    resting: bool = False
    ticks: int = 0
    closed: bool = False
    amended: bool = False
    held: bool = False  # at its trigger


@dataclass(slots=True)
class Books:
    """The second set of books of all lanes."""

    plan: Plan
    core: Core
    holdings: dict[tuple[int, int], Holding] = field(default_factory=lambda: defaultdict(Holding))
    wallets: dict[tuple[int, int], int] = field(default_factory=dict)
    covered: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))
    orders: dict[tuple[int, int], Sent] = field(default_factory=dict)
    ids: int = 0
    events: int = 0
    contracts: list[Contract] = field(default_factory=list)

    def __post_init__(self) -> None:
        for m, market in enumerate(self.plan.markets):
            instrument, fees = market.instrument, self.plan.venues[market.venue].fees
            self.contracts.append(
                Contract(
                    self.plan.asset_of(m),
                    instrument.inverse,
                    Fraction(instrument.tick_size),
                    Fraction(instrument.lot_size) * Fraction(instrument.contract_size),
                    Fraction(fees.maker_e12, codes.E12),
                    Fraction(fees.taker_e12, codes.E12),
                    Fraction(market.liquidation_e12, codes.E12),
                )
            )
        ledger = self.core.ledger
        for account in range(ledger.n_accounts):
            for asset in range(ledger.n_assets):
                self.wallets[account, asset] = ledger.wallet(account, asset)

    def _is_guarded(self, sent: Sent) -> bool:
        """Whether the venue's default self-trade prevention concerns this taking order."""
        stp = self._card(sent.market).stp
        exempt = TIF_NAMES[sent.order.tif] in stp.not_for.value or (sent.amended and stp.reset_by_amend.value)
        return stp.default.value in stp.modes.value and not exempt

    def next_id(self) -> int:
        self.ids += 1
        return self.ids

    # -- what was asked

    def sent(self, lane: int, order: Order, options: dict[str, Any]) -> None:
        self.orders[lane, order.number] = Sent(
            order, lane, order.instrument, options, ticks=order.ticks, held="trigger" in options
        )  # fmt: skip

    # -- what was said

    def event(self, lane: int, order: Order | None, marks_e8: list[int]) -> None:
        """Take one delivered event (the core shows it) and compare what it states."""
        self.events += 1
        core = self.core
        kind = core.ev_kind
        sent = self.orders.get((lane, core.ev_order_no)) if core.ev_order_no > 0 else None
        if kind == codes.EV_FILLED:
            self._filled(lane, sent)
        elif kind == codes.EV_FUNDING:
            self._funded(lane)
        elif kind in (codes.EV_LIQUIDATED, codes.EV_ADL):
            self._taken(lane)
        elif sent is not None:
            self._lifecycle(sent, kind)
        if order is not None and sent is not None and order is not sent.order:
            raise ViolationError(f"lane {lane}: an event of order {core.ev_order_no} was given to another order object")

    def _lifecycle(self, sent: Sent, kind: int) -> None:
        core = self.core
        if kind == codes.EV_TRIGGERED:
            sent.held = False
        elif kind in (codes.EV_ACCEPTED, codes.EV_AMENDED):
            sent.resting, sent.ticks = not sent.held, core.ev_ticks
            sent.amended = sent.amended or kind == codes.EV_AMENDED
        elif kind in (codes.EV_REJECTED, codes.EV_CANCELED, codes.EV_EXPIRED):
            sent.resting, sent.closed = False, True
            if sent.order.tif == codes.FOK and sent.filled and kind != codes.EV_REJECTED:
                raise ViolationError(
                    f"FOK order {sent.order.number} executed {sent.filled} lots and closed with the rest"
                )

    def _filled(self, lane: int, sent: Sent | None) -> None:
        core = self.core
        m, side, lots = core.ev_market, core.ev_side, core.ev_lots
        contract, holding = self.contracts[m], self.holdings[lane, m]
        if sent is not None:
            self._check_fill(lane, sent)
        if core.ev_liquidity == codes.LIQ_TAKER and sent is not None and self._is_guarded(sent):
            self._check_self_trade(lane, m, side, core.ev_ticks)
        before = holding.lots
        realized = holding.fill(contract, side, core.ev_ticks, lots)
        if sent is not None and sent.order.reduce_only and abs(holding.lots) > abs(before):
            raise ViolationError(
                f"reduce-only order {sent.order.number} took lane {lane} from {before} to {holding.lots}"
            )
        fee = self._fee(contract, m) if core.ev_cause != codes.CAUSE_LIQUIDATION else core.ev_fee_e8
        most = contract.value(lots, core.ev_ticks * contract.tick) * contract.liquidation
        is_rated = self._card(m).liquidation.fee_form.value == "own_rate"
        if core.ev_cause == codes.CAUSE_LIQUIDATION and is_rated and not 0 <= core.ev_fee_e8 <= most + 1:
            raise ViolationError(f"lane {lane}: a liquidation fee of {core.ev_fee_e8}, at most {most} is due")
        self._agree("realized_e8", realized, core.ev_realized_e8)
        self._agree("fee_e8", fee, core.ev_fee_e8)
        self._agree("position", holding.lots, core.ev_position)
        self._pay(lane, contract.asset, realized - fee)

    def _fee(self, contract: Contract, m: int) -> int:
        core = self.core
        rate = contract.maker if core.ev_liquidity == codes.LIQ_MAKER else contract.taker
        return self._rounded(contract.value(core.ev_lots, core.ev_ticks * contract.tick) * rate, m)

    def _rounded(self, amount: Fraction, m: int) -> int:
        """A fee in the venue's rounding."""
        fees = self._card(m).fees
        return rounded(amount, fees.rounding_e8.value, fees.rounding.value)

    def _card(self, m: int) -> RuleCard:
        return self.plan.venues[self.plan.markets[m].venue].card

    def _check_fill(self, lane: int, sent: Sent) -> None:
        core, order = self.core, sent.order
        sent.filled += core.ev_lots
        if core.ev_leaves < 0:
            raise ViolationError(
                f"order {order.number} of lane {lane} executed {-core.ev_leaves} lots more than it asked for"
            )
        if order.type == codes.LIMIT:
            better = core.ev_ticks <= sent.ticks if order.side == codes.BUY else core.ev_ticks >= sent.ticks
            if not better:
                raise ViolationError(f"order {order.number} at {sent.ticks} executed at {core.ev_ticks}")
        if order.tif == codes.GTX and core.ev_liquidity != codes.LIQ_MAKER:
            raise ViolationError(f"post-only order {order.number} took")
        if core.ev_leaves == 0:
            sent.resting, sent.closed = False, True

    def _check_self_trade(self, lane: int, m: int, side: int, ticks: int) -> None:
        """No order of the account's own stands where the venue let this taker go."""
        for (owner, number), other in self.orders.items():
            if owner != lane or other.market != m or other.closed or not other.resting or other.order.side == side:
                continue
            passed = (
                other.ticks < ticks if side == codes.BUY else other.ticks > ticks
            )  # at its price others may be first
            if passed:
                raise ViolationError(f"lane {lane} took at {ticks} past its own order {number} at {other.ticks}")

    def _funded(self, lane: int) -> None:
        core = self.core
        m = core.ev_market
        contract = self.contracts[m]
        mark, rate = Fraction(core.ev_ticks, codes.E8), Fraction(core.ev_front, codes.E12)
        funding = self._card(m).funding
        due = -contract.value(core.ev_lots, mark) * rate
        payment = rounded(due, funding.payment_unit_e8.value, funding.payment_rounding.value)
        self._agree("payment", payment, core.ev_fee_e8)
        self._pay(lane, contract.asset, core.ev_fee_e8)

    def _taken(self, lane: int) -> None:
        """A takeover, or a deleveraging: the position goes at the price stated."""
        core = self.core
        m = core.ev_market
        contract, holding = self.contracts[m], self.holdings[lane, m]
        before = abs(holding.lots)
        realized = holding.fill(contract, core.ev_side, core.ev_ticks, core.ev_lots)
        if abs(holding.lots) != before - core.ev_lots:
            raise ViolationError(f"lane {lane}: taken over {core.ev_lots} lots of {before}")
        self._agree("realized_e8", realized, core.ev_realized_e8)
        self._agree("position", holding.lots, core.ev_position)
        self._pay(lane, contract.asset, realized - core.ev_fee_e8)

    def _pay(self, lane: int, asset: int, amount: int) -> None:
        """Book an amount; what the statement has more is what the insurance fund put in."""
        core = self.core
        wallet = self.wallets[lane, asset] + amount
        extra = core.ev_wallet_e8 - wallet
        if extra < 0 or (
            extra > 0 and core.ev_kind not in (codes.EV_FILLED, codes.EV_LIQUIDATED, codes.EV_ADL, codes.EV_FUNDING)
        ):
            raise ViolationError(
                f"lane {lane}: wallet recomputed {wallet}, stated {core.ev_wallet_e8} after event {core.ev_kind} of "
                f"market {core.ev_market} at {core.ev_ts}"
            )
        if extra:
            self.covered[lane, asset] += extra
        self.wallets[lane, asset] = core.ev_wallet_e8

    def _agree(self, name: str, mine: int, stated: int) -> None:
        if mine != stated:
            core = self.core
            raise ViolationError(
                f"lane {core.ev_lane} market {core.ev_market} event {core.ev_kind} order {core.ev_order_no}: "
                f"{name} recomputed {mine}, stated {stated}"
            )

    # -- the whole

    def compare(self, core: Core, now_ns: int) -> None:
        """The venue as a whole: nothing appeared, nothing was lost, nothing failed."""
        ledger = core.ledger
        if ledger.failed:
            raise ViolationError(f"at {now_ns}: {ledger.failure()}")
        for asset in range(ledger.n_assets):
            self._no_debts(ledger, asset, now_ns)
            if ledger.total_e8(asset) != ledger.deposited_e8(asset):
                raise ViolationError(
                    f"asset {asset}: {ledger.total_e8(asset)} in all, {ledger.deposited_e8(asset)} deposited"
                )

    def _no_debts(self, ledger: Any, asset: int, now_ns: int) -> None:
        """A wallet below zero belongs to somebody with a position that can still pay."""
        for account in range(ledger.n_accounts):
            owned = [m for m in range(ledger.n_markets) if ledger.arrays["market_asset"][m] == asset]
            if ledger.wallet(account, asset) < 0 and not any(ledger.position(account, m) for m in owned):
                raise ViolationError(f"at {now_ns}: account {account} is flat at {ledger.wallet(account, asset)}")

    def compare_drained(self, core: Core) -> None:
        """With nothing under way any more, positions, wallets and what the fund covered agree with the ledger."""
        ledger = core.ledger
        for (lane, m), holding in self.holdings.items():
            if holding.lots != ledger.position(lane, m):
                raise ViolationError(
                    f"lane {lane} market {m}: position {holding.lots}, the ledger has {ledger.position(lane, m)}"
                )
        for (lane, asset), wallet in self.wallets.items():
            if wallet != ledger.wallet(lane, asset):
                raise ViolationError(
                    f"lane {lane} asset {asset}: wallet {wallet}, the ledger has {ledger.wallet(lane, asset)}"
                )
            if self.covered[lane, asset] != ledger.covered_e8(lane, asset):
                raise ViolationError(
                    f"lane {lane} asset {asset}: {self.covered[lane, asset]} came from the fund by its events, "
                    f"{ledger.covered_e8(lane, asset)} by the ledger"
                )
