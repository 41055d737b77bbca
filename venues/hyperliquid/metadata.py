"""Hyperliquid's own description of its contracts (``meta``), and margin tiers from leverages.

A maintenance rate is half the reciprocal of the tier's leverage. Where that has no end in decimals (15x: 1/30) it is
cut at 1e-12, which leaves it less than 1e-12 of notional below the venue's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from matching.brackets import INT64_MAX, Brackets
from venues.instruments import Instrument
from venues.metadata import E8, E12, Entry, Listing, table_of

PRICE_DECIMALS: Final = 6  # of perpetuals, together with those of the size
SINGLE_TIER_BELOW: Final = 50  # ids of margin tables that are leverages themselves


def leverage_brackets(tiers: Sequence[tuple[int, int]]) -> Brackets:
    """Rows (lower bound in whole USD, highest leverage) as brackets with the deductions that keep margin continuous."""
    floors = [lower * E8 for lower, _ in tiers]
    return Brackets.with_cum(
        floors, [*floors[1:], INT64_MAX], [E12 // (2 * leverage) for _, leverage in tiers], [lev for _, lev in tiers]
    )


def listings(meta: Any, *, as_of: str = "", settle: str = "USDC") -> dict[str, Listing]:
    """The contracts of ``meta`` (universe and margin tables); delisted ones are left out.

    A ``marginTableId`` below 50, or none, is one tier at that leverage, or at ``maxLeverage``. Raises
    ``InstrumentError`` naming coin and field.
    """
    whole = Entry(meta, "meta")
    tables = _margin_tables(whole)
    found = {}
    for bare in whole.rows("universe"):
        entry = bare.named("name")
        if not entry.values.get("isDelisted"):
            found[entry.text("name")] = _listing(entry, tables, as_of, settle)
    return found


def _margin_tables(whole: Entry) -> dict[int, list[tuple[int, int]]]:
    """Rows (lower bound, highest leverage) of each table; the payload has pairs of number and table."""
    tables = {}
    pairs = whole.values.get("marginTables") or []
    if not isinstance(pairs, list):
        raise whole.wrong("marginTables", f"wanted a list, not {type(pairs).__name__}")
    for place, pair in enumerate(pairs):
        if not isinstance(pair, list) or len(pair) != 2:
            raise whole.wrong("marginTables", f"[{place}] is no pair of a number and a table")
        number = Entry({"id": pair[0]}, f"meta: marginTables[{place}]").integer("id")
        rows = Entry(pair[1], f"meta: marginTables[{place}]").rows("marginTiers")
        tables[number] = [(row.scaled("lowerBound", 1), int(row.positive("maxLeverage"))) for row in rows]
    return tables


def _listing(entry: Entry, tables: Mapping[int, Sequence[tuple[int, int]]], as_of: str, settle: str) -> Listing:
    table = entry.integer("marginTableId") if entry.has("marginTableId") else entry.integer("maxLeverage")
    tiers = tables.get(table, [(0, table)] if table < SINGLE_TIER_BELOW else None)
    if tiers is None and not entry.has("marginTableId"):
        tiers = [(0, table)]
    if tiers is None:
        raise entry.wrong("marginTableId", f"there is no margin table {table}")
    if any(leverage < 1 for _, leverage in tiers):
        raise entry.wrong("marginTableId", f"table {table} has a leverage below 1")
    name, decimals = entry.text("name"), entry.integer("szDecimals")
    if not 0 <= decimals <= PRICE_DECIMALS:
        raise entry.wrong("szDecimals", f"{decimals} is not between 0 and {PRICE_DECIMALS}")
    instrument = Instrument(
        "hyperliquid",
        name,
        name.rpartition(":")[2],
        "USD",
        settle,
        False,
        Decimal(1).scaleb(decimals - PRICE_DECIMALS),
        Decimal(1).scaleb(-decimals),
        min_notional_e8=10 * E8,
        significant_digits=5,
        source="meta",
        as_of=as_of,
    )
    return Listing(instrument, table_of(entry, "marginTableId", leverage_brackets, tiers))
