"""Hyperliquid's own description of its contracts (``meta``), and margin tiers from leverages.

A maintenance rate is half the reciprocal of the tier's leverage. Where that has no end in decimals (15x: 1/30) it is
cut at 1e-12, which leaves it less than 1e-12 of notional below the venue's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from matching.brackets import INT64_MAX, Brackets

E8: Final = 10**8
E12: Final = 10**12


def leverage_brackets(tiers: Sequence[tuple[int, int]]) -> Brackets:
    """Rows (lower bound in whole USD, highest leverage) as brackets with the deductions that keep margin continuous."""
    floors = [lower * E8 for lower, _ in tiers]
    return Brackets.with_cum(
        floors, [*floors[1:], INT64_MAX], [E12 // (2 * leverage) for _, leverage in tiers], [lev for _, lev in tiers]
    )
