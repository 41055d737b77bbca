"""Random numbers of the synthetic market: counter-based, integers only, the same on every machine.

Draw number ``i`` of a stream is ``splitmix64(key + (i + 1) * GAMMA)`` with the stream's 64-bit key taken from sha256 of
``seed/label`` (splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014). Nothing
else is random, no draw passes through a float, and neither numpy's generators nor libm are used, so that the bytes of a
synthetic feed depend on the seed and the options alone: not on the platform, the Python or the numpy of the day.

Distributions come from two integer tables, built once from ``decimal`` (whose ``ln`` and ``exp`` are correctly rounded
by its specification):

* exponential, mean 1 = 2^32: ``ln 2`` times the number of leading zero bits plus ``-ln(1 - u/2)``;
* powers of two, 1 = 2^32, from which log-normal sizes and latencies follow: ``median * 2^(g * spread)`` with ``g`` the
  sum of twelve 16-bit uniforms (Irwin-Hall; unit variance = 65,536, bounded at six deviations).

``Draws`` hands out one draw at a time (the order-book model), the functions ``*_array`` take whole arrays of draws (the
benchmark feed); both give the same numbers for the same bits, and a test compares them.
"""

from __future__ import annotations

import hashlib
from decimal import Context, Decimal, localcontext
from typing import Final

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

GAMMA: Final = 0x9E3779B97F4A7C15
MIX_1: Final = 0xBF58476D1CE4E5B9
MIX_2: Final = 0x94D049BB133111EB
ONE_Q32: Final = 1 << 32
BLOCK_DRAWS: Final = 4096
TABLE_BITS: Final = 6
IRWIN_HALL_CENTRE: Final = 6 * 65535
EXPONENT_LEAST_Q16: Final = -24 << 16
EXPONENT_MOST_Q16: Final = 15 << 16


def _tables() -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """ln 2, ``-ln(1 - i/128)`` and ``2^(i/64)`` for i in 0..64, all times 2^32 and rounded to integers."""
    cells = 1 << TABLE_BITS
    with localcontext(Context(prec=40)):
        scale = Decimal(ONE_Q32)
        ln_2 = Decimal(2).ln()
        logs = tuple(int((-(1 - Decimal(i) / (2 * cells)).ln() * scale).to_integral_value()) for i in range(cells + 1))
        powers = tuple(int(((ln_2 * i / cells).exp() * scale).to_integral_value()) for i in range(cells + 1))
        return int((ln_2 * scale).to_integral_value()), logs, powers


LN_2_Q32, LOG_TABLE, POWER_TABLE = _tables()
_LOG_ARRAY = np.array(LOG_TABLE, np.int64)
_POWER_ARRAY = np.array(POWER_TABLE, np.int64)


def stream_key(seed: int, label: str) -> int:
    """The 64-bit key of stream ``label`` under ``seed``."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{label}".encode()).digest()[:8], "little")


def draw_array(key: int, first: int, count: int) -> U64:
    """Draws ``first`` .. ``first + count - 1`` of the stream with this key, as uint64."""
    with np.errstate(over="ignore"):
        z = np.arange(first + 1, first + count + 1, dtype=np.uint64) * np.uint64(GAMMA) + np.uint64(key)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(MIX_1)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(MIX_2)
    return z ^ (z >> np.uint64(31))


def exponential_q32(bits: int) -> int:
    """An exponential variate of mean 2^32 from 64 random bits (24 for the octave, 38 for the place in it)."""
    octave = bits >> 40
    zeros = 24 - octave.bit_length()
    cell = (bits >> 32) & ((1 << TABLE_BITS) - 1)
    low, high = LOG_TABLE[cell], LOG_TABLE[cell + 1]
    return zeros * LN_2_Q32 + low + (((high - low) * ((bits >> 16) & 0xFFFF)) >> 16)


def scaled_power(value: int, exponent_q16: int) -> int:
    """``value * 2 ** (exponent_q16 / 65536)``, rounded down; the exponent is limited to -24 .. 15."""
    exponent_q16 = min(max(exponent_q16, EXPONENT_LEAST_Q16), EXPONENT_MOST_Q16)
    whole, part = exponent_q16 >> 16, exponent_q16 & 0xFFFF
    cell, rest = part >> 10, part & 0x3FF
    low = POWER_TABLE[cell]
    mantissa = low + (((POWER_TABLE[cell + 1] - low) * rest) >> 10)
    return (value * mantissa) >> (32 - whole)


class Draws:
    """One stream of draws, in order. ``key`` as from ``stream_key``."""

    __slots__ = ("_at", "_block", "_drawn", "_key")

    def __init__(self, seed: int, label: str) -> None:
        self._key = stream_key(seed, label)
        self._drawn = 0
        self._block: list[int] = []
        self._at = 0

    def bits(self) -> int:
        """The next 64 random bits."""
        if self._at == len(self._block):
            self._block = draw_array(self._key, self._drawn, BLOCK_DRAWS).tolist()
            self._drawn += BLOCK_DRAWS
            self._at = 0
        self._at += 1
        return self._block[self._at - 1]

    def below(self, bound: int) -> int:
        """Uniform in 0 .. bound - 1."""
        return (self.bits() * bound) >> 64

    def happens(self, per_mille: int) -> bool:
        """True with probability ``per_mille / 1000``."""
        return self.bits() * 1000 < per_mille << 64

    def exponential(self, mean: int) -> int:
        """Exponential, rounded down, of this mean in the caller's unit."""
        return (exponential_q32(self.bits()) * mean) >> 32

    def gauss_q16(self) -> int:
        """Near-normal with standard deviation 65,536."""
        total = 0
        for _ in range(3):
            bits = self.bits()
            total += (bits & 0xFFFF) + ((bits >> 16) & 0xFFFF) + ((bits >> 32) & 0xFFFF) + (bits >> 48)
        return total - IRWIN_HALL_CENTRE

    def lognormal(self, median: int, spread_q16: int) -> int:
        """Log-normal, at least 1: ``median * 2^(g * spread)``; ``spread_q16`` = octaves per deviation times 65,536."""
        return max(1, scaled_power(median, (self.gauss_q16() * spread_q16) >> 16))


def below_array(bits: U64, bound: int) -> I64:
    """Uniform in 0 .. bound - 1 (bound < 2^32) from the upper 32 bits of each draw."""
    return ((bits >> np.uint64(32)) * np.uint64(bound) >> np.uint64(32)).astype(np.int64)


def exponential_array(bits: U64, mean: int) -> I64:
    """As ``Draws.exponential`` over an array of draws; mean below 2^26."""
    octave = (bits >> np.uint64(40)).astype(np.int64)
    zeros = 24 - np.frexp(octave.astype(np.float64))[1].astype(np.int64)
    cell = ((bits >> np.uint64(32)) & np.uint64((1 << TABLE_BITS) - 1)).astype(np.int64)
    place = ((bits >> np.uint64(16)) & np.uint64(0xFFFF)).astype(np.int64)
    low = _LOG_ARRAY[cell]
    value = zeros * LN_2_Q32 + low + (((_LOG_ARRAY[cell + 1] - low) * place) >> 16)
    return (value * mean) >> 32


def gauss_array_q16(key: int, first: int, count: int) -> I64:
    """``count`` near-normal values of deviation 65,536, from draws ``3 * first`` on."""
    bits = draw_array(key, 3 * first, 3 * count)
    low = np.uint64(0xFFFF)
    parts = (bits & low) + (bits >> np.uint64(16) & low) + (bits >> np.uint64(32) & low) + (bits >> np.uint64(48))
    total: I64 = parts.reshape(count, 3).sum(axis=1).astype(np.int64) - IRWIN_HALL_CENTRE
    return total


def lognormal_array(gauss_q16: I64, median: int | I64, spread_q16: int | I64) -> I64:
    """As ``Draws.lognormal`` over an array of near-normal values; median below 2^30, the result below 2^31. Median and
    spread may be arrays of their own."""
    exponent = np.clip((gauss_q16 * spread_q16) >> 16, EXPONENT_LEAST_Q16, EXPONENT_MOST_Q16)
    whole, part = exponent >> 16, exponent & 0xFFFF
    low = _POWER_ARRAY[part >> 10]
    mantissa = low + (((_POWER_ARRAY[(part >> 10) + 1] - low) * (part & 0x3FF)) >> 10)
    sizes: I64 = np.clip((mantissa * median) >> (32 - whole), 1, (1 << 31) - 1)
    return sizes
