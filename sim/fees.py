"""Fees: rates of value by liquidity, or a model of one's own.

The ledger charges ``value * rate``, rounded once per fill in the venue's direction; negative rates are rebates. Without
``fees`` in the run file the rule card's base tier holds, as of the start of the run.

A model of one's own is an object with one method, ``fee_e8(instrument, side, ticks, lots, liquidity, value_e8) ->
int``: the fee of a fill of instrument (its index), at 1e-8 of the settlement asset; ``value_e8`` is the fill's value
there.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final, Protocol

from matching.arith import CEIL, FLOOR, HALF_EVEN, TRUNC
from sim.config import FeesConfig
from sim.loading import load_class, make
from venues.errors import InputError
from venues.rules import RuleCard, date_of_ns

ROUNDING: Final = {"exact": HALF_EVEN, "truncate": TRUNC, "ceil": CEIL, "half_even": HALF_EVEN, "floor": FLOOR}
ROUNDING_NAMES: Final = {number: word for word, number in ROUNDING.items() if word != "exact"}


class FeeModel(Protocol):
    """A fee schedule of one's own."""

    def fee_e8(self, instrument: int, side: int, ticks: int, lots: int, liquidity: int, value_e8: int, /) -> int: ...


@dataclass(frozen=True, slots=True)
class Fees:
    """What a venue charges in this run; rates at 1e-12 of value, ``tier`` says where they come from."""

    maker_e12: int
    taker_e12: int
    tier: str
    rounding: int
    unit_e8: int = 1
    model: FeeModel | None = None


def build_fees(fees: FeesConfig | None, card: RuleCard, at_ns: int, base: Path, what: str) -> Fees:
    """The fees of a venue. Raises ``InputError`` naming ``what``."""
    rounding, unit = ROUNDING[card.fees.rounding.value], card.fees.rounding_e8.value
    if fees is None:
        maker, taker = card.fees.maker_rate_e12.at(at_ns), card.fees.taker_rate_e12.at(at_ns)
        return Fees(maker.value, taker.value, f"base tier of {card.venue} as of {date_of_ns(at_ns)}", rounding, unit)
    if fees.model is not None:
        model: FeeModel = make(load_class(fees.model, base, what), fees.params, what)
        if not callable(getattr(model, "fee_e8", None)):
            raise InputError(f"{fees.model} needs a method fee_e8(...) -> int, see sim/fees.py", source=what)
        return Fees(0, 0, f"model {fees.model}", rounding, unit, model)
    assert fees.maker is not None and fees.taker is not None
    maker_e12, taker_e12 = _rate_e12(fees.maker, f"{what}.maker"), _rate_e12(fees.taker, f"{what}.taker")
    return Fees(maker_e12, taker_e12, fees.tier or "run file", rounding, unit)


def _rate_e12(rate: Decimal, what: str) -> int:
    scaled = rate * 10**12
    if scaled != int(scaled) or abs(rate) >= 1:
        raise InputError(f"{rate} must lie between -1 and 1 and have at most 12 decimals", source=what)
    return int(scaled)
