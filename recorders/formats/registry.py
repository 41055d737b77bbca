"""The formats that ``perpsim data import`` reads: one entry each, from which its help and docs/formats.md's table come.

A format has a name, one line, a recogniser (what a ``Sample`` of a file must look like), an importer, and the options
that mean something to it. Adding one is adding a module and its entry; docs/formats.md says how.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from recorders.bitstamp import ORDER_FIELDS, import_bitstamp_report
from recorders.captures import BINANCE, import_captures, venue_of_frame
from recorders.columns import PLAIN, TAGGED, import_columns_report
from recorders.events import KEY
from recorders.formats import (
    binance_archive,
    bybit_archive,
    cryptofeed,
    events,
    hftbacktest_npz,
    hyperliquid_archive,
    lean,
    tardis,
)
from recorders.formats.reading import Sample, sample_of
from recorders.formats.request import Request
from recorders.lines import UNITS
from recorders.report import ImportReport
from venues import known_instrument
from venues.errors import InputError, LocalError
from venues.instruments import Instrument

Importer = Callable[[Request], ImportReport]


@dataclass(frozen=True, slots=True)
class Format:
    """A format: ``line`` says what it is in a line, ``looks`` how it is recognised, ``options`` which options of the
    command mean something to it (symbol and venue with an equals sign must be given)."""

    name: str
    line: str
    looks: str
    recognises: Callable[[Sample], bool]
    run: Importer
    options: tuple[str, ...] = ()


# -- formats that were here before the others: thin entries


def _capture(sample: Sample) -> bytes:
    """The frames of captured lines; empty if these are none."""
    number, _, rest = sample.head.lstrip().partition(b" ")
    return rest if number.isdigit() and len(number) in UNITS and rest.lstrip()[:1] in (b"{", b"[") else b""


def _captured(sample: Sample) -> bool:
    return bool(rest := _capture(sample)) and not any(map(venue_of_frame, rest.splitlines()))


def _captured_elsewhere(sample: Sample) -> bool:
    return any(map(venue_of_frame, _capture(sample).splitlines()))


def _import_captured(request: Request) -> ImportReport:
    given = list(request.described().values())
    if request.symbol is not None:
        given = [one for one in given if one.symbol == request.symbol] or [_one(request.venue, request.symbol)]
    return import_captures(
        request.files, request.lake, request.venue, given or None,
        latency_floor_ns=request.latency_floor_ns, replace=request.replace,
    )  # fmt: skip


def _import_binance(request: Request) -> ImportReport:
    if request.venue not in (None, *BINANCE):
        raise InputError(f"is none of {', '.join(BINANCE)}", source="venue " + repr(request.venue))
    return _import_captured(request)


def _one(venue: str | None, symbol: str) -> Instrument:
    why = ""
    for name in BINANCE if venue is None else (venue,):
        try:
            return known_instrument(name, symbol)
        except LocalError as error:
            why = str(error)
    raise InputError(f"{why} (describe it in a file: --instrument)", source="data import", field="symbol")


def _columns(sample: Sample) -> bool:
    wanted = ({f"{name}.npy" for name in PLAIN}, {f"{name}.npy" for name in TAGGED})
    names = set(sample.names)
    return sample.path.is_dir() and ("cols" in names or any(each <= names for each in wanted))


def _bitstamp(sample: Sample) -> bool:
    return sample.path.is_dir() and bool({"orders.csv", "orders.csv.gz"} & set(sample.names))


def _folder(request: Request, name: str) -> tuple[Path, Instrument]:
    if request.symbol is None:
        raise InputError(f"{name} names no instrument: give --symbol (and --venue)", source="data import")
    if len(request.files) != 1:
        raise InputError(f"takes one folder of {name} at a time, not {len(request.files)}", source="data import")
    return request.files[0], _of_user(request, request.symbol)


def _of_user(request: Request, symbol: str) -> Instrument:
    if request.instrument is None:
        return known_instrument(request.venue or "neutral", symbol)
    found = request.described().get(symbol)
    if found is None:
        raise InputError(f"describes no {symbol}", source=str(request.instrument), field="symbol")
    return found


def _import_columns(request: Request) -> ImportReport:
    folder, instrument = _folder(request, "columns")
    latency_ns = request.latency_ns or 0
    return import_columns_report(folder, request.lake, instrument, latency_ns=latency_ns, replace=request.replace)


def _import_bitstamp(request: Request) -> ImportReport:
    folder, instrument = _folder(request, "bitstamp")
    return import_bitstamp_report(folder, request.lake, instrument, replace=request.replace)


FORMATS: Final[tuple[Format, ...]] = (
    Format(
        "binance", "captured lines of Binance's futures streams: receive_time raw_json",
        "lines that begin with an epoch time and a JSON frame", _captured, _import_binance,
        ("venue", "symbol", "instrument", "latency-floor"),
    ),
    Format(
        "captures", "captured lines of any venue that is known here: receive_time raw_json",
        "the same, where frames have the form of another venue", _captured_elsewhere, _import_captured,
        ("venue", "symbol", "instrument", "latency-floor"),
    ),
    Format(
        "cryptofeed", "raw captures of cryptofeed: frames, REST replies and lists of instruments of one session",
        "lines that begin with a URL, an arrow and a time, or with a time in seconds and a colon",
        cryptofeed.recognises, cryptofeed.import_cryptofeed, ("venue", "symbol", "instrument", "latency-floor"),
    ),
    Format(
        "tardis", "CSV files of tardis.dev: book changes, book snapshots, trades, quotes, tickers, liquidations",
        f"a CSV whose columns begin {', '.join(tardis.COMMON)}", tardis.recognises, tardis.import_tardis,
        ("venue", "symbol", "instrument", "latency-floor"),
    ),
    Format(
        "binance-archive", "files of data.binance.vision, futures: trades, quotes, marks, funding, liquidations, depth",
        "a CSV or zip with the archive's columns, or without header and named as the archive names it",
        binance_archive.recognises, binance_archive.import_binance_archive,
        ("venue", "symbol", "instrument", "latency"),
    ),
    Format(
        "bybit-archive", "files of Bybit's public archives: trades, and order books of 500 levels (ob500)",
        "a CSV with timestamp, symbol, side, size, price, trdMatchID, or JSON lines of an orderbook topic",
        bybit_archive.recognises, bybit_archive.import_bybit_archive,
        ("venue", "symbol", "instrument", "latency"),
    ),
    Format(
        "hyperliquid-archive", "files of Hyperliquid's archives and nodes: l2Book, trades, fills, single orders",
        "JSON lines (plain or LZ4) with ver_num and l2Book, side_info, crossed and tid, or raw_book_diff by block",
        hyperliquid_archive.recognises, hyperliquid_archive.import_hyperliquid_archive,
        ("venue", "symbol", "instrument", "latency", "latency-floor"),
    ),
    Format(
        "hftbacktest", "event arrays of hftbacktest 2: .npz or .npy",
        "a .npz with an array data, or a .npy of rows with exch_ts and local_ts",
        hftbacktest_npz.recognises, hftbacktest_npz.import_hftbacktest, ("venue", "symbol=", "instrument"),
    ),
    Format(
        "events", "exports of perpsim itself: flat event columns as Parquet, CSV or JSON lines",
        f"a header that says {KEY}", events.recognises, events.import_events, (),
    ),
    Format(
        "columns", "event columns of benchmarks and other tools: a folder of .npy files",
        f"a folder with {PLAIN[0]}.npy or {TAGGED[0]}.npy ..., or with a folder cols", _columns, _import_columns,
        ("venue", "symbol=", "instrument", "latency"),
    ),
    Format(
        "bitstamp", "a Bitstamp market order by order, as ob-analytics has it: a folder of CSV files",
        f"a folder with orders.csv (columns {ORDER_FIELDS[0]}, {ORDER_FIELDS[1]} ...)", _bitstamp, _import_bitstamp,
        ("venue", "symbol=", "instrument"),
    ),
    Format(
        "lean", "bars of QuantConnect Lean: refused, with the reason",
        "a zip of one CSV whose name ends in quote, trade or openinterest", lean.recognises, lean.refuse,
    ),
)  # fmt: skip


def names() -> tuple[str, ...]:
    """The names of all formats."""
    return tuple(one.name for one in FORMATS)


def format_named(name: str) -> Format:
    """A format by name. Raises ``InputError`` listing those there are."""
    for one in FORMATS:
        if one.name == name:
            return one
    raise InputError(f"unknown kind of source {name!r}; known are {', '.join(names())}", source="data import")


def recognised(samples: Sequence[Sample]) -> Format:
    """The one format that all files have. Raises ``InputError`` saying what was looked for."""
    found = {one.name: one for sample in samples for one in FORMATS if one.recognises(sample)}
    for sample in samples:
        mine = [one.name for one in FORMATS if one.recognises(sample)]
        if not mine:
            if sample.path.is_file() and not sample.head:
                raise InputError("is empty: there is nothing to import", source=str(sample.path))
            raise InputError(
                f"is of no format known here: not one of {', '.join(names())}. perpsim data formats says how each is "
                "recognised; name the format before the files to be told what is missing",
                source=str(sample.path),
            )
        if len(mine) > 1:
            raise InputError(f"looks like {' and like '.join(mine)}: name the format", source=str(sample.path))
    if len(found) > 1:
        raise InputError(f"files of several formats ({', '.join(found)}): import them apart", source="data import")
    return next(iter(found.values()))


def import_files(name: str | None, request: Request) -> tuple[str, ImportReport]:
    """Import files of a format, or of the one they are recognised as. Returns the format's name with the report."""
    chosen = format_named(name) if name is not None else None
    if not request.files:
        raise InputError("no files to import", source="data import")
    if chosen is None:
        chosen = recognised([sample_of(path) for path in request.files])
    return chosen.name, chosen.run(request)


def table() -> list[dict[str, Any]]:
    """The formats as plain data, for help and docs."""
    return [{"format": one.name, "what": one.line, "recognised by": one.looks, "options": list(one.options)}
            for one in FORMATS]  # fmt: skip
