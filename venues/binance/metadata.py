"""Binance's own descriptions of its contracts, as instruments."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from venues.errors import InstrumentError
from venues.instruments import Instrument, exact_decimal

E8: Final = 10**8
E12: Final = 10**12


def instrument_from_exchange_info(entry: dict[str, Any], venue: str, as_of: str = "") -> Instrument:
    """One element of ``symbols`` of ``GET exchangeInfo`` as an instrument, exactly.

    ``venue`` is binance_usdm or binance_coinm (whose contracts are inverse and carry ``contractSize``). Raises
    ``InstrumentError`` naming the filter or field that is missing or unusable.
    """
    try:
        symbol = str(entry["symbol"])
        filters = {str(row["filterType"]): row for row in entry["filters"]}
        price, lot = filters["PRICE_FILTER"], filters["LOT_SIZE"]
        inverse = venue == "binance_coinm"
        size = entry["contractSize"] if inverse else 1
        bare = Instrument(
            venue,
            symbol,
            str(entry["baseAsset"]),
            str(entry["quoteAsset"]),
            str(entry["marginAsset"]),
            inverse,
            exact_decimal(price["tickSize"], f"{symbol}: tickSize"),
            exact_decimal(lot["stepSize"], f"{symbol}: stepSize"),
            exact_decimal(size, f"{symbol}: contractSize"),
        )
        found: dict[str, Any] = _filter_fields(bare, entry, filters)
        return replace(bare, **found, source="exchangeInfo", as_of=as_of)
    except KeyError as error:
        raise InstrumentError(f"exchangeInfo entry {entry.get('symbol')!r}: {error.args[0]} is missing") from None


def _filter_fields(bare: Instrument, entry: dict[str, Any], filters: dict[str, Any]) -> dict[str, int]:
    def scaled(row: Any, key: str, scale: int) -> int:
        return int(exact_decimal(row[key], f"{bare.symbol}: {key}") * scale)

    lot, price = filters["LOT_SIZE"], filters["PRICE_FILTER"]
    found = {
        "min_lots": max(1, bare.lots_from_str(lot["minQty"])),
        "max_lots": bare.lots_from_str(lot["maxQty"]),
        "min_ticks": bare.ticks_at_least(scaled(price, "minPrice", E8)),
        "max_ticks": bare.ticks_at_most(scaled(price, "maxPrice", E8)),
    }
    if "MARKET_LOT_SIZE" in filters:
        found["max_market_lots"] = bare.lots_from_str(filters["MARKET_LOT_SIZE"]["maxQty"])
    if "MIN_NOTIONAL" in filters:
        found["min_notional_e8"] = scaled(filters["MIN_NOTIONAL"], "notional", E8)
    if "PERCENT_PRICE" in filters:
        found["band_up_e12"] = scaled(filters["PERCENT_PRICE"], "multiplierUp", E12)
        found["band_down_e12"] = scaled(filters["PERCENT_PRICE"], "multiplierDown", E12)
    if "MAX_NUM_ORDERS" in filters:
        found["max_open_orders"] = int(filters["MAX_NUM_ORDERS"]["limit"])
    if "marketTakeBound" in entry:
        found["market_bound_e12"] = scaled(entry, "marketTakeBound", E12)
    if "liquidationFee" in entry:
        found["liquidation_fee_e12"] = scaled(entry, "liquidationFee", E12)
    return found
