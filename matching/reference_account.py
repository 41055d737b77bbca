"""The reference's accounts: positions, entry values and wallets in exact fractions, without margin.

The arithmetic is the one that ``ledger.py`` documents, written again with `fractions.Fraction` so that nothing can
overflow and every rounding stands where the venue's statement would show one:

* value of lots at a price: linear ticks * lots * value_num / value_den, inverse lots * value_num / (ticks * value_den);
* an inverse fill's value is kept at 1 / entry_scale of 1e-8, rounded half-even; a linear one is exact;
* a fill that reduces takes the proportional part of the entry value with it, rounded half-even to the same unit;
* fee, realised profit and funding: rounded half-even to 1e-8, once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from matching.codes import BUY, E8, E12, LIQ_MAKER, LIQ_TAKER


@dataclass(frozen=True, slots=True)
class Contract:
    """Arithmetic and fees of one market; the same numbers as ``Ledger.configure_market``."""

    asset: int
    is_inverse: bool
    value_num: int
    value_den: int
    lot_num: int
    lot_den: int
    maker_rate_e12: int
    taker_rate_e12: int
    entry_scale: int = 100

    @property
    def entry_unit(self) -> Fraction:
        return Fraction(1, self.entry_scale if self.is_inverse else self.value_den)

    def value(self, ticks: int, lots: int) -> Fraction:
        """Unrounded, in 1e-8 of the settlement asset."""
        if self.is_inverse:
            return Fraction(lots * self.value_num, ticks * self.value_den)
        return Fraction(ticks * lots * self.value_num, self.value_den)

    def value_at_mark(self, lots: int, mark_e8: int) -> Fraction:
        if self.is_inverse:
            return Fraction(lots * self.lot_num * E8, mark_e8 * self.lot_den)
        return Fraction(lots * mark_e8 * self.lot_num, self.lot_den)


def to_unit(value: Fraction, unit: Fraction) -> Fraction:
    """Rounded half-even (Python's ``round`` of a fraction) to a multiple of ``unit``."""
    return round(value / unit) * unit


@dataclass(slots=True)
class Holding:
    """One account's position in one market: signed lots and the value paid for them."""

    lots: int = 0
    entry: Fraction = Fraction(0)


@dataclass(slots=True)
class ExactAccounts:
    """All accounts over ``contracts`` (one per market)."""

    contracts: list[Contract]
    holdings: dict[tuple[int, int], Holding] = field(default_factory=dict)
    wallets_e8: dict[tuple[int, int], int] = field(default_factory=dict)
    last_realized_e8: int = 0

    def holding(self, account: int, market: int) -> Holding:
        return self.holdings.setdefault((account, market), Holding())

    def position(self, account: int, market: int) -> int:
        return self.holding(account, market).lots

    def wallet(self, account: int, asset: int) -> int:
        return self.wallets_e8.get((account, asset), 0)

    def _pay(self, account: int, market: int, amount_e8: int) -> None:
        key = (account, self.contracts[market].asset)
        self.wallets_e8[key] = self.wallets_e8.get(key, 0) + amount_e8

    def fill(self, account: int, market: int, side: int, ticks: int, lots: int, liquidity: int) -> int:
        """Book an execution; returns the fee, leaves the realised profit in ``last_realized_e8``."""
        contract = self.contracts[market]
        holding = self.holding(account, market)
        sign = 1 if side == BUY else -1
        closing = min(lots, abs(holding.lots)) if holding.lots * sign < 0 else 0
        realized_e8 = 0
        if closing > 0:
            share = to_unit(holding.entry * closing / abs(holding.lots), contract.entry_unit)
            gain = to_unit(contract.value(ticks, closing), contract.entry_unit) - share
            is_long = holding.lots > 0
            realized_e8 = round(gain if is_long != contract.is_inverse else -gain)
            holding.entry -= share
        if lots > closing:
            holding.entry += to_unit(contract.value(ticks, lots - closing), contract.entry_unit)
        holding.lots += sign * lots
        rates = {LIQ_MAKER: contract.maker_rate_e12, LIQ_TAKER: contract.taker_rate_e12}
        fee_e8 = round(contract.value(ticks, lots) * rates.get(liquidity, 0) / E12)
        self._pay(account, market, realized_e8 - fee_e8)
        self.last_realized_e8 = realized_e8
        return fee_e8

    def funding(self, account: int, market: int, lots: int, mark_e8: int, rate_e12: int) -> int:
        """Book a funding payment; returns it, positive = received. A positive rate is paid by longs."""
        payment_e8 = round(-self.contracts[market].value_at_mark(lots, mark_e8) * rate_e12 / E12)
        self._pay(account, market, payment_e8)
        return payment_e8

    def set_mark(self, market: int, mark_e8: int) -> None:
        """Marks matter to margin only, which these accounts do not have."""
