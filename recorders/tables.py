"""Tables that a run is given: funding rates, mark prices, margin brackets. CSV, Parquet or JSON, read exactly.

Fields (first name is ours, the others are what venues and tools call it):

    funding    time (boundary), rate, mark (optional: the mark the venue charged at) mark       time, mark, index
    (optional), rate and next_funding (optional, together) brackets   floor, cap, max_leverage, rate (maintenance),
    cum (optional: it follows); symbol (optional: several in one
               file)

Times are whole numbers since the epoch (10, 13, 16 or 19 digits: s, ms, us, ns) or ISO 8601, UTC unless it says
otherwise. Prices and rates are decimals: text, whole numbers, decimal columns, or floats, which stand for their
shortest spelling. Everything becomes an integer (``_ns``, ``_e8``, ``_e12``) or an ``InputError`` that names file,
row and field; nothing is rounded. Rows count from 1, header not counted.

A table may be undated: a funding table of one row without ``time`` holds for every boundary of a run, and a bracket
table never has times. ``as_of`` (a key of a JSON object beside ``rows``, or a column) says when an undated table was
taken; the realism banner shows it.

JSON is a list of objects, or an object with ``rows``. Venue replies are taken as they are: Binance ``fundingRate``,
``premiumIndex`` and ``leverageBracket`` (COIN-M: quantities), the funding histories of Hyperliquid, Bybit, OKX, dYdX
(with the oracle price as the mark) and Deribit (newest first or last), and freqtrade's leverage tiers and funding
candles (JSON or feather: the rate is the open). CSV may also be Binance's archive of ``fundingRate`` (calc_time,
last_funding_rate) or QuantConnect's ``margin_interest``, which has no header. Files may be gzip, or zip with one file.

Deribit writes its hourly rates as binary fractions of up to 17 digits: those alone are rounded, half to even, to 1e-12.
"""

from __future__ import annotations

import csv
import datetime
import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from matching.brackets import Brackets
from matching.feed import I64
from recorders.formats.reading import open_bytes, packed_as
from recorders.lines import UNITS
from venues.errors import InputError

NAMES: Final[dict[str, tuple[str, ...]]] = {
    "time": (
        "time",
        "ts_ns",
        "time_ns",
        "boundary_ns",
        "ts",
        "timestamp",
        "date",
        "fundingTime",
        "funding_time",
        "fundingRateTimestamp",
        "effectiveAt",
        "calc_time",
    ),
    "rate": (
        "rate",
        "realizedRate",
        "fundingRate",
        "funding_rate",
        "lastFundingRate",
        "last_funding_rate",
        "interest_1h",
    ),
    "mark": ("mark", "markPrice", "mark_price"),
    "index": ("index", "indexPrice", "index_price", "oracle", "oraclePrice", "oraclePx"),
    "next_funding": ("next_funding", "next_funding_ns", "nextFundingTime", "next_funding_time"),
    "floor": ("floor", "notionalFloor", "qtyFloor", "qtylFloor", "minNotional"),
    "cap": ("cap", "notionalCap", "qtyCap", "maxNotional"),
    "max_leverage": ("max_leverage", "initialLeverage", "maxLeverage", "leverage"),
    "maintenance": ("rate", "maintenance_rate", "maintMarginRatio", "maintenanceMarginRate", "mmr"),
    "cum": ("cum", "maintenance_amount", "maintAmount"),
    "symbol": ("symbol", "pair"),
    "as_of": ("as_of",),
}
ENVELOPES: Final = ("result", "data", "list", "historicalFunding")  # keys under which venues put the rows of a reply
INT64_MAX: Final = (1 << 63) - 1
ROWS_MAX: Final = 50_000_000
DIGITS_MAX: Final = 30  # before the point: more is no price, rate or amount
_EXACT: Final = Context(prec=100, traps=[Inexact, InvalidOperation])
JITTER_NS: Final = 60_000_000_000  # venues stamp a boundary some milliseconds late
_RATE_STEP: Final = Decimal("1e-12")
_MARGIN_INTEREST: Final = re.compile(r"\d{8} \d\d:\d\d:\d\d,")
_PRICE_CANDLES: Final = re.compile(r"-(mark|futures|index|spot)\.\w+$")
_FREQTRADE_KEY: Final = re.compile(r"^([^/]+)/([^:]+):([^-]+)(?:-(.+))?$")

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TableFile:
    """Where a table came from. ``as_of`` is its own date, if it says one."""

    path: str
    sha256: str
    as_of: str | None


@dataclass(frozen=True, slots=True, eq=False)
class FundingTable:
    """Funding rates by boundary. ``mark_e8`` is 0 where the table names no mark: the run's own is charged then.

    ``dated`` False: one rate for every boundary; the columns then have one row, with ``boundary_ns`` 0."""

    file: TableFile
    dated: bool
    boundary_ns: I64
    rate_e12: I64
    mark_e8: I64

    def at(self, boundary_ns: int, jitter_ns: int = JITTER_NS) -> tuple[int, int] | None:
        """(rate_e12, mark_e8) of a boundary, or None. A stamp up to ``jitter_ns`` after the boundary is that
        boundary's."""
        if not self.dated:
            return int(self.rate_e12[0]), int(self.mark_e8[0])
        place = int(self.boundary_ns.searchsorted(boundary_ns))
        if place < len(self.boundary_ns) and self.boundary_ns[place] - boundary_ns <= jitter_ns:
            return int(self.rate_e12[place]), int(self.mark_e8[place])
        return None


@dataclass(frozen=True, slots=True, eq=False)
class MarkTable:
    """Mark prices by time; ``index_e8``, ``rate_e12`` and ``next_funding_ns`` are 0 where the table has none."""

    file: TableFile
    time_ns: I64
    mark_e8: I64
    index_e8: I64
    rate_e12: I64
    next_funding_ns: I64


@dataclass(frozen=True, slots=True)
class BracketFile:
    """The margin brackets of one symbol, with where they came from."""

    file: TableFile
    table: Brackets


def iso_time(ts_ns: int) -> str:
    """An instant as people read it, to the second."""
    return datetime.datetime.fromtimestamp(ts_ns // 1_000_000_000, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# -- loaders


def load_funding_table(path: str | Path) -> FundingTable:
    """Read a funding table. Raises ``InputError`` naming file, row and field."""
    table = _Table(Path(path))
    rows = table.rows
    dated = len(rows) != 1 or table.has(rows[0], "time")
    if len(rows) > 1 and table.time(rows[0], 1) > table.time(rows[-1], len(rows)):
        rows = rows[::-1]  # newest first
    times = table.times(rows) if dated else [0]
    rates = table.numbers(rows, "rate", 12)
    over = np.flatnonzero(np.abs(rates) >= 10**12)
    if len(over):
        raise table.wrong("is no funding rate: 100 % or more (are these prices?)", int(over[0]) + 1, "rate")
    return FundingTable(
        file=table.file,
        dated=dated,
        boundary_ns=np.array(times, np.int64),
        rate_e12=rates,
        mark_e8=table.numbers(rows, "mark", 8, missing=0, above=0),
    )


def load_mark_table(path: str | Path) -> MarkTable:
    """Read a table of mark prices. Raises ``InputError`` naming file, row and field."""
    table = _Table(Path(path))
    rows = table.rows
    return MarkTable(
        file=table.file,
        time_ns=np.array(table.times(rows), np.int64),
        mark_e8=table.numbers(rows, "mark", 8, above=0),
        index_e8=table.numbers(rows, "index", 8, missing=0, above=0),
        rate_e12=table.numbers(rows, "rate", 12, missing=0),
        next_funding_ns=np.array(
            [
                table.time(row, number, "next_funding") if table.has(row, "next_funding") else 0
                for number, row in enumerate(rows, 1)
            ],
            np.int64,
        ),
    )


def load_index_table(path: str | Path) -> tuple[TableFile, I64, I64]:
    """Read a table of index prices: the file, times (ns) and prices (1e-8). Raises ``InputError`` as the others."""
    table = _Table(Path(path))
    return table.file, np.array(table.times(table.rows), np.int64), table.numbers(table.rows, "index", 8, above=0)


def load_brackets(path: str | Path, symbol: str) -> BracketFile:
    """Read the margin brackets of a symbol. Raises ``InputError`` naming file, row and field, or the symbols there
    are."""
    table = _Table(Path(path), symbol=symbol)
    numbered = list(enumerate(table.rows, 1))
    floors = tuple(table.number(row, number, "floor", 8) for number, row in numbered)
    caps = tuple(table.number(row, number, "cap", 8, saturate=True) for number, row in numbered)
    rates = tuple(table.number(row, number, "maintenance", 12, above=0) for number, row in numbered)
    leverages = tuple(table.number(row, number, "max_leverage", 0, above=0) for number, row in numbered)
    try:
        if not any(table.has(row, "cum") for row in table.rows):
            return BracketFile(table.file, Brackets.with_cum(floors, caps, rates, leverages))
        cums = tuple(table.number(row, number, "cum", 8) for number, row in numbered)
        return BracketFile(table.file, Brackets(floors, caps, rates, cums, leverages))
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{symbol}: {error}", source=str(path)) from None


# -- files to rows of raw values


class _Table:
    """The rows of a file as mappings of raw values, and the conversion of one value with its place in the error."""

    def __init__(self, path: Path, symbol: str = "") -> None:
        self._path = path
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror or error}", source=str(path)) from None
        digest = hashlib.sha256(content).hexdigest()
        if packed_as(content[:4]):
            with open_bytes(path) as stream:
                content = stream.read()
        if not content.strip():
            raise InputError("is empty", source=str(path))
        form = path.suffix.lower()
        as_of: Any = None
        if content[:4] == b"PAR1":
            rows = self._parquet(content)
        elif content[:6] == b"ARROW1":
            rows = self._feather(content)
        elif form == ".json" or content.lstrip()[:1] in (b"[", b"{"):
            rows, as_of = self._json(content, symbol)
        else:
            rows = self._csv(content)
        if symbol:
            rows = self._of_symbol(rows, symbol)
        if not rows:
            raise InputError("has no rows", source=str(path))
        if len(rows) > ROWS_MAX:
            raise InputError(f"has more than {ROWS_MAX} rows", source=str(path))
        self.rows: list[Row] = rows
        as_of = as_of if as_of is not None else self._value(rows[0], "as_of")
        self.file = TableFile(str(path), digest, None if as_of is None else str(as_of))

    def wrong(self, why: str, row: int | None = None, field: str | None = None) -> InputError:
        return InputError(why, source=str(self._path), place=None if row is None else f"row {row}", field=field)

    def _parquet(self, content: bytes) -> list[Row]:
        try:
            found: list[Row] = pq.read_table(io.BytesIO(content)).to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise self.wrong(f"is no readable Parquet file: {error}") from None
        return found

    def _feather(self, content: bytes) -> list[Row]:
        """Candles of freqtrade: of a funding file the open is the rate."""
        try:
            found: list[Row] = pa.ipc.open_file(io.BytesIO(content)).read_all().to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise self.wrong(f"is no readable feather file: {error}") from None
        if found and {"date", "open", "close"} <= set(found[0]):
            self._check_candles()
            # a double holds 15 digits; what stands behind them is what an earlier tool's arithmetic left
            return [{"time": row["date"], "rate": Decimal(f"{row['open']:.15g}")} for row in found]
        return found

    def _check_candles(self) -> None:
        """freqtrade's candles look alike; what they are of stands in the file's name."""
        if _PRICE_CANDLES.search(self._path.name):
            raise self.wrong("holds candles of prices: freqtrade's funding rates are in files named ...-funding_rate")

    def _csv(self, content: bytes) -> list[Row]:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise self.wrong(f"is not UTF-8 text: {error}") from None
        names = ("date", "rate") if _MARGIN_INTEREST.match(text) else None  # the header is the first line otherwise
        reader = csv.DictReader(io.StringIO(text, newline=""), names, strict=True)
        rows: list[Row] = []
        try:
            for row in reader:
                if None in row or None in row.values():
                    raise self.wrong(f"has not the {len(reader.fieldnames or [])} fields of the header", len(rows) + 1)
                rows.append({str(name).strip(): value.strip() for name, value in row.items()})
        except csv.Error as error:
            raise self.wrong(f"is no CSV: {error}", len(rows) + 1) from None
        return rows

    def _json(self, content: bytes, symbol: str) -> tuple[list[Row], Any]:
        try:
            found = msgspec.json.Decoder(float_hook=Decimal).decode(content)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, InvalidOperation) as error:
            raise self.wrong(f"is no JSON: {error}") from None
        as_of = found.get("as_of") if isinstance(found, dict) else None
        while isinstance(found, dict) and (inner := next((key for key in ENVELOPES if key in found), None)):
            found = found[inner]
        if isinstance(found, dict) and isinstance(found.get("rows"), list):
            found = found["rows"]
        elif isinstance(found, dict) and any(_FREQTRADE_KEY.match(str(key)) for key in found):
            found = self._freqtrade(found, symbol)
        elif isinstance(found, dict):
            found = [found]
        if not isinstance(found, list):
            raise self.wrong("must be a list of rows, or an object with rows")
        rows: list[Row] = []
        for number, row in enumerate(found, 1):
            if isinstance(row, dict) and isinstance(row.get("brackets"), list):  # Binance leverageBracket
                rows += [{**bracket, "symbol": row.get("symbol", row.get("pair", ""))} for bracket in row["brackets"]]
            elif isinstance(row, dict):
                rows.append(_as_charged(row))
            elif isinstance(row, list) and len(row) > 1:  # freqtrade candle: time, rate ...
                self._check_candles()
                rows.append({"time": row[0], "rate": row[1]})
            else:
                raise self.wrong("must be an object", number)
        return rows, as_of

    def _freqtrade(self, found: dict[str, Any], symbol: str) -> list[Row]:
        """The tiers of a symbol; freqtrade writes BTC/USDT:USDT for BTCUSDT and BTC/USDT:USDT-241227 for
        BTCUSDT_241227."""
        names = {_venue_symbol(key): key for key in found}
        key = symbol if symbol in found else names.get(symbol)
        if key is None:
            near = [name for name in names if name.startswith(symbol[:3])]
            raise self.wrong(
                f"has no symbol {symbol}; it has {len(names)}, such as {', '.join(near[:8] or list(names)[:8])}"
            )
        rows: list[Row] = []
        for number, row in enumerate(found[key], 1):
            if not isinstance(row, dict):
                raise self.wrong("must be an object", number, key)
            info = row.get("info")
            rows.append({**(info if isinstance(info, dict) else row), "symbol": symbol})
        return rows

    def _of_symbol(self, rows: list[Row], symbol: str) -> list[Row]:
        if not any(self.has(row, "symbol") for row in rows):
            return rows
        found = [row for row in rows if self._value(row, "symbol") == symbol]
        if not found:
            names = sorted({str(self._value(row, "symbol")) for row in rows})
            raise self.wrong(f"has no symbol {symbol}; it has {', '.join(names[:8])}", field="symbol")
        return found

    # -- values

    def _value(self, row: Row, field: str) -> Any:
        for name in NAMES[field]:
            value = row.get(name)
            if value is not None and value != "":
                return value
        return None

    def has(self, row: Row, field: str) -> bool:
        return self._value(row, field) is not None

    def time(self, row: Row, number: int, field: str = "time") -> int:
        """An instant in ns."""
        value = self._value(row, field)
        if value is None:
            raise self.wrong(f"is missing (known as {', '.join(NAMES[field])})", number, field)
        try:
            return _time_ns(value)
        except (ValueError, ArithmeticError):
            raise self.wrong(f"{value!r} is no time: epoch s, ms, us or ns, or ISO 8601", number, field) from None

    def times(self, rows: list[Row]) -> list[int]:
        """All times, which must rise from row to row."""
        found: list[int] = []
        for number, row in enumerate(rows, 1):
            ts_ns = self.time(row, number)
            if found and ts_ns <= found[-1]:
                raise self.wrong(f"{iso_time(ts_ns)} is not after the row before", number, "time")
            found.append(ts_ns)
        return found

    def number(
        self, row: Row, number: int, field: str, decimals: int, *, above: int | None = None, saturate: bool = False
    ) -> int:
        """A decimal as an integer at 10**-decimals, exactly; greater than ``above`` if given.

        ``saturate``: what does not fit 64 bits is their largest number (venues write 2**63 - 1 for "no limit")."""
        value = self._value(row, field)
        name = NAMES[field][0]
        if value is None:
            raise self.wrong(f"is missing (known as {', '.join(NAMES[field])})", number, name)
        try:
            found = _scaled(value, decimals)
        except (ValueError, ArithmeticError, TypeError):
            raise self.wrong(f"{value!r} is no decimal number of at most {decimals} decimals", number, name) from None
        if saturate:
            found = min(found, INT64_MAX)
        if abs(found) > INT64_MAX:
            raise self.wrong(f"{value} does not fit 64 bits at 1e-{decimals}", number, name)
        if above is not None and found <= above:
            raise self.wrong(f"{value} must be above {above}", number, name)
        return found

    def numbers(
        self, rows: list[Row], field: str, decimals: int, *, missing: int | None = None, above: int | None = None
    ) -> I64:
        """A column of decimals; ``missing`` stands in where the field is absent."""
        found = []
        for number, row in enumerate(rows, 1):
            absent = missing is not None and not self.has(row, field)
            found.append(missing if absent else self.number(row, number, field, decimals, above=above))
        return np.array(found, np.int64)


def _as_charged(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a funding history with the rate and the mark that were charged."""
    if "effectiveAt" in row and "price" in row:  # dYdX charges at the oracle price
        return {"mark": row["price"], **row}
    rate = row.get("interest_1h")
    if isinstance(rate, Decimal) and rate.is_finite() and rate.adjusted() < 6:  # Deribit
        return {**row, "interest_1h": rate.quantize(_RATE_STEP)}
    return row


def _venue_symbol(key: str) -> str:
    match = _FREQTRADE_KEY.match(key)
    if match is None:
        return key
    base, quote, settle, expiry = match.groups()
    if settle == base and not expiry:
        return f"{base}{quote}_PERP"
    return f"{base}{quote}" + (f"_{expiry}" if expiry else "")


def _scaled(value: Any, decimals: int) -> int:
    if isinstance(value, bool):
        raise ValueError(value)
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite() or number.adjusted() > DIGITS_MAX:
        raise ValueError(value)
    scaled = _EXACT.scaleb(number, decimals)
    if scaled != scaled.to_integral_value():
        raise ValueError(value)
    return int(scaled)


def _time_ns(value: Any) -> int:
    if isinstance(value, datetime.datetime):
        return _datetime_ns(value)
    if isinstance(value, datetime.date):
        return _datetime_ns(datetime.datetime(value.year, value.month, value.day))
    if isinstance(value, Decimal | float) and value == int(value):
        value = int(value)
    text = str(value)
    if text.isdigit() and len(text) in UNITS:
        return int(text) * UNITS[len(text)]
    return _datetime_ns(datetime.datetime.fromisoformat(text))


def _datetime_ns(value: datetime.datetime) -> int:
    when = value if value.tzinfo is not None else value.replace(tzinfo=datetime.UTC)
    since = when - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000
