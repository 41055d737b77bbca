"""From a rule card's margin rules to the ledger: its table in the ledger's columns, and the form they are used in.

One place for runs and for ``perpsim venue calc``, so that the two cannot differ. The forms that venues publish
(``venues.tiers``) become rows of ``matching.brackets.Brackets``: tiers by contracts get floors and caps in lots, a pair
of rates that open interest raises and a rate that grows with the size are one row each.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from matching.brackets import INT64_MAX, Brackets
from matching.ledger import Ledger
from venues.errors import InputError
from venues.instruments import Instrument
from venues.rules import E12, ContractTiers, LinearTier, MarginTable, OpenInterestTier, RuleCard

SHOWN: Final = {"entry_margin": "estimate"}  # every other word: the price at which the check turns


def ledger_table(table: MarginTable, instrument: Instrument) -> Brackets:
    """A margin table as the ledger holds it; ``ValueError`` where it cannot (see ``Brackets``)."""
    if isinstance(table, ContractTiers):
        lots = [int(Fraction(cap, 10**8) / Fraction(instrument.lot_size)) for cap in table.cap_contracts_e8]
        return Brackets(
            (0, *lots[:-1]), tuple(lots), table.maintenance_e12, (0,) * len(lots),
            tuple(max(1, leverage // 100) for leverage in table.max_leverage_e2), table.initial_e12, flat=True,
        )  # fmt: skip
    if isinstance(table, OpenInterestTier):
        return _one_row(table.initial_e12, table.maintenance_e12, 0, 0)
    if isinstance(table, LinearTier):
        return _one_row(
            table.initial_base_e12, table.maintenance_base_e12, table.initial_slope_e12, table.maintenance_slope_e12
        )
    return table


def _one_row(initial_e12: int, maintenance_e12: int, initial_slope_e12: int, slope_e12: int) -> Brackets:
    return Brackets(
        (0,), (INT64_MAX,), (maintenance_e12,), (0,), (E12 // initial_e12,), (initial_e12,), (slope_e12,),
        (initial_slope_e12,),
    )  # fmt: skip


def configure_margin(ledger: Ledger, m: int, rule_card: RuleCard, table: MarginTable, **instead: str) -> None:
    """Say how market ``m``, configured with ``ledger_table(table)``, computes margin; ``instead``: other words."""
    ledger.configure_margin(m, **margin_words(rule_card, table) | instead)


def margin_words(rule_card: RuleCard, table: MarginTable) -> dict[str, Any]:
    """What ``Ledger.configure_margin`` takes. A table given in place of the card's own brings its own form."""
    rules = rule_card.margin
    own_rates = not isinstance(table, Brackets) or any(table.initial_e12)
    words: dict[str, Any] = {
        "form": _form(table),
        "tier_key": "contracts" if isinstance(table, ContractTiers) else "notional",
        "initial_from": "tier" if rules.initial_from.value == "tier" and own_rates else "leverage",
        "close_fee": rules.close_fee.value,
        "liquidation_price": SHOWN.get(rules.liquidation_price.value, "exact"),
        "isolated_funding": rules.isolated_funding.value,
        "settle_on_touch": rule_card.funding.accrual.value == "lazy_index",
    }
    if isinstance(table, OpenInterestTier):
        words["open_interest_lower_e8"], words["open_interest_upper_e8"] = table.lower_cap_e8, table.upper_cap_e8
    return words


def open_interest_e8(given: Decimal | None, words: dict[str, Any], name: str) -> int | None:
    """The open interest that a run file gives, at 1e-8; ``InputError`` where no rate of the margin words goes by it."""
    if given is None:
        return None
    if words.get("open_interest_upper_e8", 0) <= words.get("open_interest_lower_e8", 0):
        raise InputError(
            "has no effect: no initial rate rises with it here", source=f"instrument {name}", field="open_interest"
        )
    amount = int(given * 10**8)
    if amount >= 1 << 62:
        raise InputError(f"{given} is too large", source=f"instrument {name}", field="open_interest")
    return amount


def _form(table: MarginTable) -> str:
    if isinstance(table, LinearTier):
        return "linear"
    return "bracket_deduction" if isinstance(table, Brackets) else "flat"
