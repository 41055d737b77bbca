"""How Hyperliquid writes numbers: decimal strings without trailing zeros, but always with a decimal ("30135.0").

Recorded payloads (../shared/data, hyperliquid_python_sdk) write prices, sizes and money alike in this way.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from venues.instruments import Instrument
from venues.wire import MS

MONEY_UNIT_E8: Final = 100  # amounts of USDC carry six decimals
_CACHED: Final = 1 << 13


def plain(value: int, decimals: int) -> str:
    """``value`` at ``10**-decimals`` as the venue writes it: ``plain(1050, 2)`` is ``"10.5"``."""
    sign, value = ("-", -value) if value < 0 else ("", value)
    whole, rest = divmod(value, 10**decimals)
    fraction = f"{rest:0{decimals}d}".rstrip("0") if rest else ""
    return f"{sign}{whole}.{fraction or '0'}"


def money(value_e8: int) -> str:
    """An amount of USDC, cut to six decimals."""
    cut = abs(value_e8) // MONEY_UNIT_E8
    return plain(-cut if value_e8 < 0 else cut, 6)


def rate(rate_e12: int) -> str:
    """A funding rate, premium or fee rate with all its decimals."""
    return plain(rate_e12, 12)


def price_e8(value_e8: int) -> str:
    """A mark, oracle or liquidation price with all its decimals."""
    return plain(value_e8, 8)


def ratio_e10(numerator: int, denominator: int) -> str:
    """A ratio with ten decimals, cut toward zero; 0 when there is nothing to divide by."""
    if not denominator:
        return "0.0"
    cut = abs(numerator) * 10**10 // abs(denominator)
    return plain(-cut if (numerator < 0) != (denominator < 0) else cut, 10)


def rounded(value: Fraction, decimals: int) -> str:
    """A fraction rounded half to even at this many decimals."""
    return plain(round(value * 10**decimals), decimals)


def ms(ns: int) -> int:
    """Nanoseconds as the venue's milliseconds."""
    return ns // MS


class Writer:
    """One coin's prices and sizes as text. A book repeats the same few thousand, so they are remembered."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.tick_units = int(instrument.price_of(1).scaleb(instrument.price_decimals))
        self.lot_units = int(instrument.size_of(1).scaleb(instrument.size_decimals))
        self._prices: dict[int, str] = {}
        self._sizes: dict[int, str] = {}

    def price(self, ticks: int) -> str:
        """A price of the book."""
        text = self._prices.get(ticks)
        if text is None:
            if len(self._prices) >= _CACHED:
                self._prices.clear()
            text = self._prices[ticks] = plain(ticks * self.tick_units, self.instrument.price_decimals)
        return text

    def size(self, lots: int) -> str:
        """A size, signed where it is a position."""
        text = self._sizes.get(lots)
        if text is None:
            if len(self._sizes) >= _CACHED:
                self._sizes.clear()
            text = self._sizes[lots] = plain(lots * self.lot_units, self.instrument.size_decimals)
        return text

    def mean_price(self, ticks_lots: int, lots: int) -> str:
        """The mean price of executions: sum of ticks x lots, and of lots; at the decimals that prices have."""
        decimals = self.instrument.price_decimals
        return rounded(Fraction(ticks_lots * self.tick_units, lots * 10**decimals), decimals)

    def value_e8(self, ticks: int, lots: int) -> int:
        """The value of lots at a price, in 1e-8 of USDC, cut."""
        return int(self.instrument.value_e8(ticks, lots))
