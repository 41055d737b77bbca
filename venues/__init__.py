"""What a venue is: instruments, order lifecycle, rule cards, wire codecs, and the ports to the outside world.

``card(name)`` gives a venue's rule card, ``known_instrument(venue, symbol)`` an instrument whose grids and filters are
documented here. Other instruments come from a run file (``Instrument.from_fields``) or from a venue's own description
(``venues.binance.rules.instrument_from_exchange_info``).
"""

from __future__ import annotations

from venues.binance.rules import CARDS as _BINANCE_CARDS
from venues.binance.rules import KNOWN as _BINANCE_KNOWN
from venues.errors import InstrumentError, RuleCardError
from venues.instruments import Instrument
from venues.neutral.rules import NEUTRAL as _NEUTRAL
from venues.rules import RuleCard

_CARDS = {rule_card.venue: rule_card for rule_card in (*_BINANCE_CARDS, _NEUTRAL)}
_KNOWN = {(instrument.venue, instrument.symbol): instrument for instrument in _BINANCE_KNOWN}


def card_names() -> tuple[str, ...]:
    """The names that ``card`` knows."""
    return tuple(_CARDS)


def card(name: str) -> RuleCard:
    """The rule card of a venue: binance_usdm, binance_coinm or neutral. Raises ``RuleCardError`` for another name."""
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
