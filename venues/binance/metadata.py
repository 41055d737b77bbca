"""Binance's own descriptions of its contracts: exchangeInfo, leverageBracket and fundingInfo."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from matching.brackets import Brackets
from venues.errors import InstrumentError
from venues.facts import HOUR_NS
from venues.instruments import MAX_INT64, Instrument
from venues.metadata import Entry, Listing, entries, table_of
from venues.tiers import FundingTerms

E8: Final = 10**8
E12: Final = 10**12


def listings(
    exchange_info: Any, leverage_brackets: Any = None, funding_info: Any = None, *, venue: str, as_of: str = ""
) -> dict[str, Listing]:
    """The perpetual contracts of ``GET exchangeInfo``, with ``leverageBracket`` and ``fundingInfo`` where given.

    ``venue`` is binance_usdm or binance_coinm. fundingInfo lists only symbols whose interval or bounds differ from the
    usual. Raises ``InstrumentError`` naming symbol and field.
    """
    tables = {} if leverage_brackets is None else _tables(leverage_brackets, venue == "binance_coinm")
    terms = {} if funding_info is None else _funding(funding_info)
    found = {}
    for entry in Entry(exchange_info, "exchangeInfo").rows("symbols"):
        if entry.values.get("contractType") == "PERPETUAL":
            instrument = instrument_from_exchange_info(dict(entry.values), venue, as_of)
            symbol = instrument.symbol
            found[symbol] = Listing(instrument, tables.get(symbol), terms.get(symbol))
    return found


def _tables(payload: Any, inverse: bool) -> dict[str, Brackets]:
    found = {}
    rows = payload if isinstance(payload, list) else [payload]
    for bare in entries(rows, "leverageBracket"):
        entry = bare.named("symbol")
        found[entry.text("symbol")] = brackets_from(entry, inverse)
    return found


def brackets_from(entry: Entry, inverse: bool) -> Brackets:
    """One symbol's ``brackets``: notional in quote money, or in coins (``qtyCap``, ``qtylFloor``) on COIN-M.

    ``notionalCoef`` stretches the table for the account that asked.
    """
    cap_key, floor_key = ("qtyCap", "qtylFloor") if inverse else ("notionalCap", "notionalFloor")
    stretch = entry.decimal("notionalCoef") if entry.has("notionalCoef") else 1
    rows = sorted(entry.rows("brackets"), key=lambda row: row.integer("bracket"))
    if inverse and rows and not rows[0].has(floor_key):
        floor_key = "qtyFloor"  # the documents spell it with an l too many

    def money(row: Entry, key: str) -> int:
        return min(int(row.decimal(key) * stretch * E8), MAX_INT64)

    return table_of(  # type: ignore[no-any-return]
        entry,
        "brackets",
        Brackets,
        tuple(money(row, floor_key) for row in rows),
        tuple(money(row, cap_key) for row in rows),
        tuple(row.scaled("maintMarginRatio", E12) for row in rows),
        tuple(money(row, "cum") for row in rows),
        tuple(row.integer("initialLeverage") for row in rows),
    )


def _funding(payload: Any) -> dict[str, FundingTerms]:
    found = {}
    for bare in entries(payload, "fundingInfo"):
        entry = bare.named("symbol")
        found[entry.text("symbol")] = table_of(
            entry,
            "fundingIntervalHours",
            FundingTerms,
            entry.integer("fundingIntervalHours") * HOUR_NS,
            entry.scaled("adjustedFundingRateCap", E12),
            entry.scaled("adjustedFundingRateFloor", E12),
        )
    return found


def instrument_from_exchange_info(entry: dict[str, Any], venue: str, as_of: str = "") -> Instrument:
    """One element of ``symbols`` of ``GET exchangeInfo`` as an instrument, exactly.

    ``venue`` is binance_usdm or binance_coinm (whose contracts are inverse and carry ``contractSize``). Raises
    ``InstrumentError`` naming the filter or field that is missing or unusable.
    """
    symbol = Entry(entry, "exchangeInfo entry").text("symbol")
    known = Entry(entry, f"exchangeInfo entry {symbol!r}")
    filters = {
        row.text("filterType"): Entry(row.values, f"{known.where}: {row.text('filterType')}")
        for row in known.rows("filters")
    }
    for name in ("PRICE_FILTER", "LOT_SIZE"):
        if name not in filters:
            raise InstrumentError(f"{known.where}: {name} is missing")
    inverse = venue == "binance_coinm"
    bare = Instrument(
        venue,
        symbol,
        known.text("baseAsset"),
        known.text("quoteAsset"),
        known.text("marginAsset"),
        inverse,
        filters["PRICE_FILTER"].positive("tickSize"),
        filters["LOT_SIZE"].positive("stepSize"),
        known.positive("contractSize") if inverse else Decimal(1),
    )
    found: dict[str, Any] = _filter_fields(bare, known, filters)
    return replace(bare, **found, source="exchangeInfo", as_of=as_of)


def _filter_fields(bare: Instrument, entry: Entry, filters: dict[str, Entry]) -> dict[str, int]:
    lot, price = filters["LOT_SIZE"], filters["PRICE_FILTER"]
    found = {
        "min_lots": max(1, bare.lots_from_str(lot.text("minQty"))),
        "max_lots": bare.lots_from_str(lot.text("maxQty")),
        "min_ticks": bare.ticks_at_least(price.scaled("minPrice", E8)),
        "max_ticks": bare.ticks_at_most(price.scaled("maxPrice", E8)),
    }
    if "MARKET_LOT_SIZE" in filters:
        found["max_market_lots"] = bare.lots_from_str(filters["MARKET_LOT_SIZE"].text("maxQty"))
    if "MIN_NOTIONAL" in filters:
        found["min_notional_e8"] = filters["MIN_NOTIONAL"].scaled("notional", E8)
    if "PERCENT_PRICE" in filters:
        found["band_up_e12"] = filters["PERCENT_PRICE"].scaled("multiplierUp", E12)
        found["band_down_e12"] = filters["PERCENT_PRICE"].scaled("multiplierDown", E12)
    if "MAX_NUM_ORDERS" in filters:
        found["max_open_orders"] = filters["MAX_NUM_ORDERS"].integer("limit")
    if entry.has("marketTakeBound"):
        found["market_bound_e12"] = entry.scaled("marketTakeBound", E12)
    if entry.has("liquidationFee"):
        found["liquidation_fee_e12"] = entry.scaled("liquidationFee", E12)
    return found
