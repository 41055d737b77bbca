"""Deribit's own description of its contracts (public/get_instruments)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from venues.instruments import Instrument
from venues.metadata import E12, Entry, Listing


def listings(instruments: Any, *, as_of: str = "") -> dict[str, Listing]:
    """The perpetuals of ``public/get_instruments``, whole payload with its ``result``.

    The venue writes numbers as JSON floats: parse with ``venues.metadata.parsed_json``. Raises ``InstrumentError``
    naming instrument and field.
    """
    found = {}
    for bare in Entry(instruments, "get_instruments").rows("result"):
        if bare.values.get("kind") == "future" and bare.values.get("settlement_period") == "perpetual":
            entry = bare.named("instrument_name")
            found[entry.text("instrument_name")] = Listing(
                _instrument(entry, as_of),
                maker_rate_e12=entry.scaled("maker_commission", E12),
                taker_rate_e12=entry.scaled("taker_commission", E12),
            )
    return found


def _instrument(entry: Entry, as_of: str) -> Instrument:
    """Sizes are amounts: USD for inverse contracts, base coin for linear ones, in multiples of the contract."""
    lot_size = entry.positive("contract_size")
    kind = entry.text("instrument_type")
    if kind not in ("linear", "reversed"):
        raise entry.wrong("instrument_type", f"{kind!r} is neither linear nor reversed")
    least = entry.decimal("min_trade_amount") / lot_size
    if least != int(least) or least < 1:
        raise entry.wrong("min_trade_amount", f"is no multiple of the contract of {lot_size}")
    steps = [(row.decimal("above_price"), row.decimal("tick_size")) for row in entry.rows("tick_size_steps")]
    return Instrument(
        "deribit",
        entry.text("instrument_name"),
        entry.text("base_currency"),
        entry.text("quote_currency"),
        entry.text("settlement_currency"),
        kind == "reversed",
        entry.positive("tick_size"),
        lot_size,
        Decimal(1),
        min_lots=int(least),
        tick_steps=tuple(sorted(steps)),
        source="get_instruments",
        as_of=as_of,
    )
