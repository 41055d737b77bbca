"""Rule cards by the names that people use on the command line."""

from __future__ import annotations

from typing import Final

from venues import card, card_names
from venues.errors import InputError, RuleCardError
from venues.rules import RuleCard

ALIASES: Final = {
    "binance": "binance_usdm",
    "bybit": "bybit_linear",
    "hl": "hyperliquid",
    "okex": "okx",
    "dydx_v4": "dydx",
}


def find_card(name: str) -> RuleCard:
    """A venue's card by its name or a short form of it; an unknown name is answered with those there are."""
    wanted = name.strip().lower().replace("-", "_")
    try:
        return card(ALIASES.get(wanted, wanted))
    except RuleCardError:
        short = ", ".join(f"{alias} = {full}" for alias, full in ALIASES.items() if full in card_names())
        raise InputError(
            f"there is no venue {name!r}; known are {', '.join(card_names())} (short: {short})", source="the question"
        ) from None
