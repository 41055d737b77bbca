"""What ``perpsim data`` does, as functions that return plain dictionaries; the command line only parses and prints.

    import_    binance: captured lines; columns: plain event columns; bitstamp: single orders
    ls info verify gaps

Each result has ``ok``: False when something needs a person (nothing imported, a damaged file); gaps in a recording
are a fact, not a failure. Errors a caller can correct are raised as ``InputError``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from recorders.binance import VENUES, import_binance_report
from recorders.bitstamp import import_bitstamp_report
from recorders.clock import LATENCY_FLOOR_NS
from recorders.columns import import_columns_report
from recorders.lake import Lake
from venues import known_instrument
from venues.binance.metadata import instrument_from_exchange_info
from venues.errors import InputError, LocalError
from venues.instruments import Instrument

SOURCES: Final = ("binance", "columns", "bitstamp")


def import_(
    source: str,
    files: Sequence[str | Path],
    lake: str | Path,
    *,
    venue: str | None = None,
    symbol: str | None = None,
    instrument: str | Path | None = None,
    latency_floor_ns: int = LATENCY_FLOOR_NS,
    latency_ns: int = 0,
    replace: bool = False,
) -> dict[str, Any]:
    """Import ``files`` into ``lake``.

    ``binance``: files of captured lines; ``venue`` and ``symbol`` restrict what is taken. ``columns``: folders of
    event columns, all of the instrument ``venue`` (default neutral) ``symbol``, which must be given; ``bitstamp``: the
    same of a folder of orders and trades. ``instrument``:
    a JSON file that describes instruments which are not documented here (fields of a run file's instrument, a list of
    such, or a venue's exchangeInfo reply).
    """
    if source not in SOURCES:
        raise InputError(f"unknown kind of source {source!r}; known are {', '.join(SOURCES)}", source="data import")
    if source == "binance":
        given = instruments_from_file(instrument, venue) if instrument is not None else []
        if symbol is not None:
            given = [one for one in given if one.symbol == symbol] or [_one(venue, symbol)]
        report = import_binance_report(
            files, lake, venue, given or None, latency_floor_ns=latency_floor_ns, replace=replace
        )
        return _result(report.as_dict())
    if symbol is None:
        raise InputError(f"{source} names no instrument: give --symbol (and --venue)", source="data import")
    if len(files) != 1:
        raise InputError(f"takes one folder of {source} at a time, not {len(files)}", source="data import")
    one = _from_file(instrument, venue or "neutral", symbol)
    if source == "bitstamp":
        return _result(import_bitstamp_report(files[0], lake, one, replace=replace).as_dict())
    return _result(import_columns_report(files[0], lake, one, latency_ns=latency_ns, replace=replace).as_dict())


def _one(venue: str | None, symbol: str) -> Instrument:
    for name in VENUES if venue is None else (venue,):
        try:
            return known_instrument(name, symbol)
        except LocalError as error:
            why = str(error)
    raise InputError(f"{why} (describe it in a file: --instrument)", source="data import", field="symbol")


def _from_file(path: str | Path | None, venue: str, symbol: str) -> Instrument:
    if path is None:
        return known_instrument(venue, symbol)
    for one in instruments_from_file(path, venue):
        if one.symbol == symbol:
            return one
    raise InputError(f"describes no {symbol}", source=str(path), field="symbol")


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
        raise InputError(f"is an exchangeInfo reply: say whose with --venue ({', '.join(VENUES)})", source=source)
    instruments = []
    for number, row in enumerate(rows, 1):
        try:
            instruments.append(instrument_from_exchange_info(row, venue))
        except (LocalError, KeyError, TypeError) as error:
            raise InputError(f"{error}", source=source, place=f"symbol {number}") from None
    return instruments


def _result(report: dict[str, Any]) -> dict[str, Any]:
    recordings = report["recordings"]
    totals = {
        name: sum(recording[name] for recording in recordings)
        for name in ("messages", "rows", "gaps", "crossed", "bbo_equal", "bbo_different", "duplicates")
    }
    counts = report["problem_counts"]
    totals["malformed"] = counts.get("malformed", 0) + counts.get("damaged", 0)
    totals["reordered"] = counts.get("reordered", 0)
    return {"ok": bool(recordings), **report, "totals": totals}


def ls(lake: str | Path) -> dict[str, Any]:
    """What a lake holds, by instrument."""
    return {"ok": True, "lake": str(lake), "feeds": Lake(lake).ls()}


def info(lake: str | Path, venue: str | None = None, symbol: str | None = None) -> dict[str, Any]:
    """Instruments, files, recordings and clock corrections in full."""
    return {"ok": True, "lake": str(lake), "feeds": Lake(lake).info(venue, symbol)}


def verify(lake: str | Path, venue: str | None = None, symbol: str | None = None) -> dict[str, Any]:
    """Check every file; ``ok`` is False when one has a problem."""
    files = Lake(lake).verify(venue, symbol)
    return {"ok": not any(file["problems"] for file in files), "lake": str(lake), "files": files}


def gaps(lake: str | Path, venue: str | None = None, symbol: str | None = None) -> dict[str, Any]:
    """Every hole in the recordings and between them."""
    found = Lake(lake).gaps(venue, symbol)
    return {"ok": True, "lake": str(lake), "gaps": found}
