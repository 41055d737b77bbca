"""dYdX's integers: base quantums and subticks, and their exact relation to lots and ticks.

    quantums = size * 10**-atomicResolution                     multiples of stepBaseQuantums
    subticks = price * 10**(atomicResolution - qce + 6)         multiples of subticksPerTick
    quote quantums (1e-6 USDC) = floor(subticks * quantums * 10**qce)

with qce = quantumConversionExponent. Source: dydxprotocol/v4-documentation at 3e475b7, concepts/trading/quantums.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

QUOTE_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class Quantums:
    """A market's integers. ``tick_size`` and ``lot_size`` follow from them, in USD and base coin."""

    clob_pair_id: int
    atomic_resolution: int
    quantum_conversion_exponent: int
    step_base_quantums: int
    subticks_per_tick: int

    @property
    def tick_size(self) -> Decimal:
        exponent = self.quantum_conversion_exponent - self.atomic_resolution - QUOTE_DECIMALS
        return Decimal(self.subticks_per_tick).scaleb(exponent)

    @property
    def lot_size(self) -> Decimal:
        return Decimal(self.step_base_quantums).scaleb(self.atomic_resolution)

    def quantums(self, lots: int) -> int:
        """A size in base quantums."""
        return lots * self.step_base_quantums

    def subticks(self, ticks: int) -> int:
        """A price in subticks."""
        return ticks * self.subticks_per_tick

    def quote_quantums(self, ticks: int, lots: int) -> int:
        """The value of a fill in 1e-6 USDC, rounded down as the chain does."""
        return int(Fraction(10) ** self.quantum_conversion_exponent * self.subticks(ticks) * self.quantums(lots) // 1)
