"""dYdX's own description of its markets (the indexer's perpetualMarkets)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from venues.dydx.quantums import Quantums
from venues.instruments import Instrument
from venues.metadata import E8, E12, Entry, Listing, table_of
from venues.tiers import FundingTerms, OpenInterestTier

HOURS: Final = 8  # of an interest rate as FundingTerms states it
MAX_EXPONENT: Final = 30


@dataclass(frozen=True, slots=True)
class Market:
    """A listed market with the integers of the chain, and whether its collateral is apart from the others'."""

    listing: Listing
    quantums: Quantums
    isolated: bool


def listings(markets: Any, *, as_of: str = "") -> dict[str, Listing]:
    """As ``markets_from``, without the chain's integers."""
    return {ticker: market.listing for ticker, market in markets_from(markets, as_of=as_of).items()}


def markets_from(payload: Any, *, as_of: str = "") -> dict[str, Market]:
    """The markets of ``GET /v4/perpetualMarkets``: its ``markets``, or the payload around them.

    Raises ``InstrumentError`` naming ticker and field, also where tick or step contradict the chain's integers.
    """
    whole = Entry(payload, "perpetualMarkets")
    while not whole.has("markets"):
        whole = whole.child("result" if whole.has("result") else "contents" if whole.has("contents") else "markets")
    found = {}
    for ticker, values in whole.child("markets").values.items():
        entry = Entry(values, f"perpetualMarkets {ticker}")
        found[str(ticker)] = _market(entry, as_of)
    return found


def _market(entry: Entry, as_of: str) -> Market:
    for key in ("atomicResolution", "quantumConversionExponent"):
        if abs(entry.integer(key)) > MAX_EXPONENT:
            raise entry.wrong(key, f"{entry.integer(key)} is no exponent of 10 within {MAX_EXPONENT}")
    quantums = Quantums(
        entry.integer("clobPairId"),
        entry.integer("atomicResolution"),
        entry.integer("quantumConversionExponent"),
        entry.integer("stepBaseQuantums"),
        entry.integer("subticksPerTick"),
    )
    for key, given, follows in (
        ("tickSize", entry.decimal("tickSize"), quantums.tick_size),
        ("stepSize", entry.decimal("stepSize"), quantums.lot_size),
    ):
        if given != follows:
            raise entry.wrong(key, f"{given} contradicts the quantums, from which {follows.normalize():f} follows")
    ticker = entry.text("ticker")
    base, _, quote = ticker.partition("-")
    instrument = Instrument(
        "dydx", ticker, base, quote, "USDC", False, quantums.tick_size, quantums.lot_size,
        source="perpetualMarkets", as_of=as_of,
    )  # fmt: skip
    caps = [entry.scaled(key, E8) if entry.has(key) else 0 for key in ("openInterestLowerCap", "openInterestUpperCap")]
    tier = table_of(
        entry,
        "maintenanceMarginFraction",
        OpenInterestTier,
        entry.scaled("initialMarginFraction", E12),
        entry.scaled("maintenanceMarginFraction", E12),
        *caps,
    )
    hourly = entry.scaled("defaultFundingRate1H", E12) if entry.has("defaultFundingRate1H") else None
    terms = FundingTerms(interest_e12=None if hourly is None else hourly * HOURS)
    return Market(Listing(instrument, tier, terms), quantums, entry.values.get("marketType") == "ISOLATED")
