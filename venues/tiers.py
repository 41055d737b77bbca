"""Margin tables in the forms that venues publish, one of which a rule card names per symbol.

``matching.brackets.Brackets`` is the form with a deduction by notional (Binance, Bybit, Hyperliquid). The others:

    ContractTiers      by position size in contracts; the whole position takes the rates of its tier (OKX)
    OpenInterestTier   one pair of rates, of which the initial one grows with the market's open interest (dYdX)
    LinearTier         rates that grow linearly with the position's size in base coin (Deribit)

Rates are at 1e-12 of notional, money at 1e-8 of the settlement asset, sizes at 1e-8 of the venue's unit.
"""

from __future__ import annotations

from dataclasses import dataclass

from matching.brackets import Brackets
from venues.errors import RuleCardError
from venues.facts import DAY_NS, E12


@dataclass(frozen=True, slots=True)
class ContractTiers:
    """Rows in rising order: sizes up to and with ``cap_contracts_e8`` (contracts at 1e-8) have the row's rates.

    ``max_leverage_e2`` is at 1e-2 (venues publish 1.5x). Raises ``RuleCardError`` naming the row that does not fit.
    """

    cap_contracts_e8: tuple[int, ...]
    maintenance_e12: tuple[int, ...]
    initial_e12: tuple[int, ...]
    max_leverage_e2: tuple[int, ...]

    def __post_init__(self) -> None:
        columns = (self.cap_contracts_e8, self.maintenance_e12, self.initial_e12, self.max_leverage_e2)
        if not self.cap_contracts_e8 or len({len(column) for column in columns}) != 1:
            raise RuleCardError("contract tiers need at least one row and columns of one length")
        for row, (cap, maintenance, initial, leverage) in enumerate(zip(*columns, strict=True), 1):
            above = self.cap_contracts_e8[row - 2] if row > 1 else 0
            if cap <= above:
                raise RuleCardError(f"contract tiers row {row}: cap {cap} is not above {above}")
            if not 0 < maintenance <= initial <= E12 or leverage < 1:
                raise RuleCardError(f"contract tiers row {row}: wanted 0 < maintenance <= initial <= 1, leverage > 0")

    def row(self, contracts_e8: int) -> int:
        """The row (from 0) of a size; the last for sizes above the table."""
        for row, cap in enumerate(self.cap_contracts_e8):
            if contracts_e8 <= cap:
                return row
        return len(self.cap_contracts_e8) - 1


@dataclass(frozen=True, slots=True)
class OpenInterestTier:
    """``initial_e12`` rises to 1 as open interest (in quote money) goes from the lower to the upper cap; 0, 0: never.

    Maintenance does not scale. dYdX documents it as: I + max(scale * (1 - I), 0), at most 1, with scale =
    (open interest - lower) / (upper - lower).
    """

    initial_e12: int
    maintenance_e12: int
    lower_cap_e8: int = 0
    upper_cap_e8: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.maintenance_e12 <= self.initial_e12 <= E12:
            raise RuleCardError("open-interest tier: wanted 0 < maintenance <= initial <= 1")
        if not 0 <= self.lower_cap_e8 <= self.upper_cap_e8:
            raise RuleCardError("open-interest tier: wanted 0 <= lower cap <= upper cap")

    def initial_at_e12(self, open_interest_e8: int) -> int:
        """The initial rate in force at an open interest, rounded up (against the account)."""
        if self.upper_cap_e8 <= self.lower_cap_e8:
            return self.initial_e12
        above, span = open_interest_e8 - self.lower_cap_e8, self.upper_cap_e8 - self.lower_cap_e8
        if above <= 0:
            return self.initial_e12
        return min(E12, self.initial_e12 - (-above * (E12 - self.initial_e12) // span))


@dataclass(frozen=True, slots=True)
class LinearTier:
    """Rate = base + slope * position size in base coin; slopes at 1e-12 of notional per whole coin."""

    initial_base_e12: int
    initial_slope_e12: int
    maintenance_base_e12: int
    maintenance_slope_e12: int

    def __post_init__(self) -> None:
        if not 0 < self.maintenance_base_e12 <= self.initial_base_e12 <= E12:
            raise RuleCardError("linear tier: wanted 0 < maintenance <= initial <= 1")
        if self.initial_slope_e12 < 0 or self.maintenance_slope_e12 < 0:
            raise RuleCardError("linear tier: slopes cannot be negative")


MarginTable = Brackets | ContractTiers | OpenInterestTier | LinearTier


@dataclass(frozen=True, slots=True)
class FundingTerms:
    """What a symbol's funding has of its own; None where the card's general rule holds. ``floor_e12`` None: -cap.

    ``cap_e12`` bounds the rate of one period (the card says which), ``interest_e12`` is per 8 hours.
    """

    interval_ns: int | None = None
    cap_e12: int | None = None
    floor_e12: int | None = None
    interest_e12: int | None = None
    impact_notional_e8: int | None = None

    def __post_init__(self) -> None:
        if self.interval_ns is not None and not 0 < self.interval_ns <= DAY_NS:
            raise RuleCardError(f"funding terms: an interval of {self.interval_ns} ns is none: wanted up to a day")
        if self.cap_e12 is not None and self.floor_e12 is not None and self.floor_e12 > self.cap_e12:
            raise RuleCardError(f"funding terms: the floor {self.floor_e12} is above the cap {self.cap_e12} (1e-12)")
        if self.impact_notional_e8 is not None and self.impact_notional_e8 < 0:
            raise RuleCardError("funding terms: the impact notional cannot be negative")


@dataclass(frozen=True, slots=True)
class IntervalSwitch:
    """How a venue shortens the funding interval of a symbol whose rate hits a bound, and lengthens it again.

    From the bound on, every ``to_ns``; back to ``back_ns`` in the cycle after ``calm_cycles`` in a row with a rate of
    at most ``calm_rate_e12`` either side (None: at the venue's discretion, so never in a simulation). ``excluded``
    symbols do not switch.
    """

    to_ns: int
    back_ns: int | None = None
    calm_cycles: int = 0
    calm_rate_e12: int = 0
    excluded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FeeTier:
    """Rates (1e-12 of value, negative: rebate) from a trading volume (1e-8 of quote money) in the venue's window on."""

    volume_e8: int
    maker_e12: int
    taker_e12: int
