"""Instruments that a JSON file describes: fields of a run file's instrument, a list of such, or a venue's own list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from venues.binance.metadata import instrument_from_exchange_info
from venues.errors import InputError, LocalError
from venues.instruments import Instrument


def instruments_from_file(path: str | Path, venue: str | None = None) -> list[Instrument]:
    """Instruments that a JSON file describes. Raises ``InputError`` naming the file and what is wrong."""
    try:
        found = msgspec.json.decode(Path(path).read_bytes())
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", source=str(path)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"is no JSON: {error}", source=str(path)) from None
    if isinstance(found, dict) and isinstance(found.get("symbols"), list):
        return _exchange_info(found["symbols"], venue, str(path))
    rows = found if isinstance(found, list) else [found]
    instruments = []
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise InputError(
                "must be an object with the fields of an instrument", source=str(path), place=f"entry {number}"
            )
        try:
            instruments.append(Instrument.from_fields({**({"venue": venue} if venue else {}), **row}))
        except (LocalError, TypeError) as error:
            raise InputError(str(error), source=str(path), place=f"entry {number}") from None
    return instruments


def _exchange_info(rows: list[Any], venue: str | None, source: str) -> list[Instrument]:
    if venue is None:
        raise InputError(
            "is an exchangeInfo reply: say whose with --venue (binance_usdm, binance_coinm)", source=source
        )
    instruments = []
    for number, row in enumerate(rows, 1):
        try:
            instruments.append(instrument_from_exchange_info(row, venue))
        except (LocalError, KeyError, TypeError) as error:
            raise InputError(f"{error}", source=source, place=f"symbol {number}") from None
    return instruments
