"""OKX's own descriptions of its swaps: instruments, position-tiers and the funding-rate channel."""

from __future__ import annotations

from typing import Any, Final

from venues.facts import HOUR_NS
from venues.instruments import Instrument
from venues.metadata import E8, E12, Entry, Listing, table_of, whole_lots
from venues.tiers import ContractTiers, FundingTerms

MS_NS: Final = 1_000_000
INTERVALS_NS: Final = tuple(hours * HOUR_NS for hours in (1, 2, 4, 6, 8))


def listings(
    instruments: Any, position_tiers: Any = None, funding_rates: Any = None, *, as_of: str = ""
) -> dict[str, Listing]:
    """The swaps of ``GET /api/v5/public/instruments``, with ``position-tiers`` and ``funding-rate`` where given.

    Payloads whole, with their ``data``. Tiers are listed by instrument family. Raises ``InstrumentError`` naming
    instrument and field.
    """
    tiers = {} if position_tiers is None else tiers_from(position_tiers)
    terms = {} if funding_rates is None else _funding(funding_rates)
    found = {}
    for bare in Entry(instruments, "instruments").rows("data"):
        if bare.values.get("instType") == "SWAP":
            entry = bare.named("instId")
            symbol = entry.text("instId")
            table = tiers.get(symbol, tiers.get(str(entry.values.get("instFamily"))))
            found[symbol] = Listing(_instrument(entry, as_of), table, terms.get(symbol))
    return found


def _instrument(entry: Entry, as_of: str) -> Instrument:
    kind = entry.text("ctType")
    if kind not in ("linear", "inverse"):
        raise entry.wrong("ctType", f"{kind!r} is neither linear nor inverse")
    inverse = kind == "inverse"
    base, _, quote = entry.text("uly").partition("-")
    worth, settle = entry.text("ctValCcy"), entry.text("settleCcy")
    if worth != (quote if inverse else base) or settle != (base if inverse else settle):
        raise entry.wrong("ctValCcy", f"a contract of {worth} settled in {settle} is no {kind} swap")
    lot_size = entry.positive("lotSz")
    return Instrument(
        "okx",
        entry.text("instId"),
        base,
        quote,
        settle,
        inverse,
        entry.positive("tickSz"),
        lot_size,
        entry.decimal("ctVal") * entry.decimal("ctMult"),
        min_lots=max(1, int(entry.decimal("minSz") / lot_size)),
        max_lots=whole_lots(entry, "maxLmtSz", lot_size),
        max_market_lots=whole_lots(entry, "maxMktSz", lot_size),
        source="instruments",
        as_of=as_of,
    )


def tiers_from(payload: Any) -> dict[str, ContractTiers]:
    """The tables of ``position-tiers`` by instrument (or family where the rows name none)."""
    rows: dict[str, list[Entry]] = {}
    for entry in Entry(payload, "position-tiers").rows("data"):
        name = entry.text("instId") if entry.has("instId") else entry.text("instFamily")
        rows.setdefault(name, []).append(entry)
    return {name: _tiers(sorted(mine, key=lambda row: row.integer("tier"))) for name, mine in rows.items()}


def _tiers(rows: list[Entry]) -> ContractTiers:
    return table_of(  # type: ignore[no-any-return]
        rows[0],
        "tier",
        ContractTiers,
        tuple(row.scaled("maxSz", E8) for row in rows),
        tuple(row.scaled("mmr", E12) for row in rows),
        tuple(row.scaled("imr", E12) for row in rows),
        tuple(int(row.decimal("maxLever") * 100) for row in rows),
    )


def _funding(payload: Any) -> dict[str, FundingTerms]:
    found = {}
    for bare in Entry(payload, "funding-rate").rows("data"):
        entry = bare.named("instId")
        interval_ns = (entry.integer("nextFundingTime") - entry.integer("fundingTime")) * MS_NS
        if interval_ns not in INTERVALS_NS:
            raise entry.wrong("nextFundingTime", f"{interval_ns // MS_NS} ms after fundingTime is no funding interval")
        cap, floor, impact = (
            entry.scaled(key, scale) if entry.has(key) else None
            for key, scale in (("maxFundingRate", E12), ("minFundingRate", E12), ("impactValue", E8))
        )
        found[entry.text("instId")] = table_of(
            entry, "minFundingRate", FundingTerms, interval_ns, cap, floor, None, impact
        )
    return found
