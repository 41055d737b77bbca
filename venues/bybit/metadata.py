"""Bybit's own descriptions of its contracts: instruments-info and risk-limit."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from matching.brackets import Brackets
from venues.facts import HOUR_NS
from venues.instruments import Instrument
from venues.metadata import E8, E12, Entry, Listing, entries, table_of, whole_lots
from venues.tiers import FundingTerms

MINUTE_NS: Final = HOUR_NS // 60
INTERVALS_MIN: Final = (60, 120, 240, 480)


def listings(instruments_info: Any, risk_limits: Any = None, *, as_of: str = "") -> dict[str, Listing]:
    """The perpetuals of ``GET /v5/market/instruments-info``, with ``GET /v5/market/risk-limit`` where given.

    Both payloads whole, with their ``result``. Raises ``InstrumentError`` naming symbol and field.
    """
    tables = {} if risk_limits is None else _tables(risk_limits)
    found = {}
    for bare in Entry(instruments_info, "instruments-info").child("result").rows("list"):
        if bare.values.get("contractType") in ("LinearPerpetual", "InversePerpetual"):
            entry = bare.named("symbol")
            symbol = entry.text("symbol")
            found[symbol] = Listing(_instrument(entry, as_of), tables.get(symbol), _funding(entry))
    return found


def _instrument(entry: Entry, as_of: str) -> Instrument:
    inverse = entry.text("contractType") == "InversePerpetual"
    price, lot = entry.child("priceFilter"), entry.child("lotSizeFilter")
    lot_size = lot.positive("qtyStep")
    bands = Entry(entry.values.get("riskParameters") or {}, f"{entry.where}: riskParameters")
    tick_size = price.positive("tickSize")
    return Instrument(
        "bybit_inverse" if inverse else "bybit_linear",
        entry.text("symbol"),
        entry.text("baseCoin"),
        entry.text("quoteCoin"),
        entry.text("settleCoin"),
        inverse,
        tick_size,
        lot_size,
        Decimal(1),
        min_lots=max(1, int(lot.decimal("minOrderQty") / lot_size)),
        max_lots=whole_lots(lot, "maxOrderQty", lot_size),
        max_market_lots=whole_lots(lot, "maxMktOrderQty", lot_size),
        min_ticks=int(price.decimal("minPrice") / tick_size),
        max_ticks=int(price.decimal("maxPrice") / tick_size),
        min_notional_e8=lot.scaled("minNotionalValue", E8) if lot.has("minNotionalValue") else None,
        band_x_e12=bands.scaled("priceLimitRatioX", E12) if bands.has("priceLimitRatioX") else None,
        band_y_e12=bands.scaled("priceLimitRatioY", E12) if bands.has("priceLimitRatioY") else None,
        source="instruments-info",
        as_of=as_of,
    )


def _funding(entry: Entry) -> FundingTerms:
    minutes = entry.integer("fundingInterval")
    if minutes not in INTERVALS_MIN:
        raise entry.wrong("fundingInterval", f"{minutes} minutes is none of {', '.join(map(str, INTERVALS_MIN))}")
    bounds = [entry.scaled(key, E12) if entry.has(key) else None for key in ("upperFundingRate", "lowerFundingRate")]
    return table_of(  # type: ignore[no-any-return]
        entry, "lowerFundingRate", FundingTerms, minutes * MINUTE_NS, *bounds
    )


def _tables(payload: Any) -> dict[str, Brackets]:
    rows: dict[str, list[Entry]] = {}
    for bare in entries(Entry(payload, "risk-limit").child("result").values.get("list"), "risk-limit"):
        entry = bare.named("symbol")
        rows.setdefault(entry.text("symbol"), []).append(entry)
    return {
        symbol: _brackets(sorted(mine, key=lambda row: row.decimal("riskLimitValue"))) for symbol, mine in rows.items()
    }


def _brackets(rows: list[Entry]) -> Brackets:
    """Rows in any order; leverages are cut to whole times (the venue has 66.67x)."""
    rows = sorted(rows, key=lambda row: row.decimal("riskLimitValue"))
    caps = [row.scaled("riskLimitValue", E8) for row in rows]
    return table_of(  # type: ignore[no-any-return]
        rows[0],
        "mmDeduction",
        Brackets,
        (0, *caps[:-1]),
        tuple(caps),
        tuple(row.scaled("maintenanceMargin", E12) for row in rows),
        tuple(row.scaled("mmDeduction", E8) if row.has("mmDeduction") else 0 for row in rows),
        tuple(int(row.decimal("maxLeverage")) for row in rows),
    )
