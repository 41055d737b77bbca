"""What a venue is: instruments, order lifecycle, rule cards, wire codecs, and the ports to the outside world.

``card(name)`` gives a venue's rule card, ``known_instrument(venue, symbol)`` an instrument whose grids and filters are
documented here. Other instruments come from a run file (``Instrument.from_fields``) or from a venue's own description
(``venues/<venue>/metadata.py``).
"""

from __future__ import annotations

import matching  # noqa: F401  # its finder chooses between compiled modules and their .py files
from venues.binance import rules as _binance
from venues.bybit import rules as _bybit
from venues.deribit import rules as _deribit
from venues.dydx import rules as _dydx
from venues.errors import InstrumentError, RuleCardError
from venues.hyperliquid import rules as _hyperliquid
from venues.instruments import Instrument
from venues.neutral.rules import NEUTRAL as _NEUTRAL
from venues.okx import rules as _okx
from venues.rules import RuleCard

_VENUES = (_binance, _bybit, _okx, _hyperliquid, _dydx, _deribit)
_CARDS: dict[str, RuleCard] = {
    rule_card.venue: rule_card for rule_card in (*(found for venue in _VENUES for found in venue.CARDS), _NEUTRAL)
}
_KNOWN: dict[tuple[str, str], Instrument] = {
    (instrument.venue, instrument.symbol): instrument for venue in _VENUES for instrument in venue.KNOWN
}


def card_names() -> tuple[str, ...]:
    """The names that ``card`` knows."""
    return tuple(_CARDS)


def card(name: str) -> RuleCard:
    """The rule card of a venue, such as binance_usdm. Raises ``RuleCardError`` for another name."""
    found = _CARDS.get(name)
    if found is None:
        raise RuleCardError(f"no rule card {name!r}; known are {', '.join(_CARDS)}")
    return found


def known_instrument(venue: str, symbol: str) -> Instrument:
    """A documented instrument. The neutral venue borrows the grids, not the filters, of the venue that has the symbol.

    Raises ``InstrumentError`` when the symbol is not documented here: describe it in the run file then.
    """
    found = _KNOWN.get((venue, symbol))
    if found is None and venue == _NEUTRAL.venue:
        for (_, name), listed in _KNOWN.items():
            if name == symbol:
                return Instrument(
                    venue,
                    symbol,
                    listed.base,
                    listed.quote,
                    listed.settle,
                    listed.inverse,
                    listed.tick_size,
                    listed.lot_size,
                    listed.contract_size,
                    source="grids of " + listed.venue,
                )
    if found is None:
        listed_names = ", ".join(name for at, name in _KNOWN if at == venue or venue == _NEUTRAL.venue)
        raise InstrumentError(
            f"{venue} {symbol} is not documented here (known: {listed_names or 'none'}): "
            "give tick_size, lot_size and, for inverse contracts, contract_size"
        )
    return found


def known_symbols(venue: str) -> tuple[str, ...]:
    """The symbols of a venue that are documented here, in the order of its list."""
    return tuple(symbol for at, symbol in _KNOWN if at == venue)


__all__ = ["Instrument", "RuleCard", "card", "card_names", "known_instrument", "known_symbols"]
