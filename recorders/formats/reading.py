"""Reading the files that others publish: packed or plain bytes, CSV in batches of text columns, and exact numbers from
text.

Theory of operation. Archives are gzip, zip, LZ4 or zstd files of one text each. They are unpacked as a stream and cut
into batches of about ``BATCH_BYTES``, so that memory does not grow with the file. Every CSV column stays text: no
reader may make a float of a price. A column of a batch has few different texts, so each is parsed once, by Python,
exactly, and the rest is looking up. What cannot be parsed is an ``InputError`` that names file, line and field.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pacsv

from matching.feed import I64
from recorders.lines import LAST_NS, UNITS
from venues.errors import InputError, InstrumentError
from venues.instruments import Instrument, ParseCache, scaled_from_str, signed_from_str

BATCH_BYTES: Final = 4 << 20
HEAD_BYTES: Final = 1 << 14
LINE_BYTES_MAX: Final = 64 << 20
FIRST_NS: Final = 1_230_768_000_000_000_000  # 2009: nothing here is older
MAGIC: Final = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"\x04\x22\x4d\x18": "lz4", b"\x28\xb5\x2f\xfd": "zstd"}
INT64_MAX: Final = (1 << 63) - 1
ADVICE: Final = "describe the instrument as it was in a file, --instrument FILE"
_UNREADABLE: Final = (
    OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError, pa.ArrowException,
    UnicodeDecodeError, ValueError,
)  # fmt: skip

_ODD_ROW: Final = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+)")

Mask = npt.NDArray[np.bool_]


def packed_as(head: bytes) -> str:
    """How a file is packed, by its first bytes: gzip, zip, lz4, zstd, or "" for not at all."""
    return next((name for magic, name in MAGIC.items() if head.startswith(magic)), "")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever goes wrong in reading a file is an ``InputError`` that names it."""
    try:
        yield
    except InputError:
        raise
    except _UNREADABLE as error:
        if isinstance(error, OSError) and error.strerror and error.errno:
            raise InputError(f"cannot be read: {error.strerror}", source=str(path)) from None
        text = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(f"cannot be read to its end: {text} (damaged or cut off?)", source=str(path)) from None


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """The unpacked bytes of a file. A zip file must hold one file. Raises ``InputError`` naming the file."""
    with reading(path), path.open("rb") as raw:
        how = packed_as(raw.read(4))
        raw.seek(0)
        if how == "gzip":
            with gzip.open(raw, "rb") as stream:
                yield stream  # type: ignore[misc]
        elif how == "zip":
            with zipfile.ZipFile(raw) as archive:
                names = [name for name in archive.namelist() if not name.endswith("/")]
                if len(names) != 1:
                    raise InputError(f"holds {len(names)} files where one is expected: unpack it", source=str(path))
                with archive.open(names[0]) as stream:
                    yield stream
        elif how:
            with pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), how) as stream:
                yield stream
        else:
            yield raw


@dataclass(frozen=True, slots=True)
class Sample:
    """What recognisers look at: a file's path, its first unpacked bytes (empty for a folder), the names in a folder."""

    path: Path
    head: bytes
    packed: str = ""
    names: tuple[str, ...] = ()

    @property
    def first_line(self) -> str:
        return self.head.split(b"\n", 1)[0].decode("utf-8-sig", "replace").strip()

    @property
    def header(self) -> tuple[str, ...]:
        """The fields of the first line, as CSV."""
        return split_line(self.first_line)


def sample_of(path: Path) -> Sample:
    """Look at a file or folder. Raises ``InputError`` where it cannot be read."""
    if path.is_dir():
        return Sample(path, b"", names=tuple(sorted(entry.name for entry in path.iterdir())))
    with reading(path), path.open("rb") as raw:
        packed = packed_as(raw.read(4))
    names: tuple[str, ...] = ()
    if packed == "zip":
        with reading(path), zipfile.ZipFile(path) as archive:
            names = tuple(archive.namelist())
        if len(names) != 1:
            return Sample(path, b"", packed, names)
    with open_bytes(path) as stream:
        return Sample(path, stream.read(HEAD_BYTES), packed, names)


def split_line(line: str) -> tuple[str, ...]:
    """The fields of one CSV line."""
    try:
        return tuple(field.strip() for field in next(csv.reader([line]), ()))
    except csv.Error:
        return ()


# -- numbers from text


def plain_number(text: str) -> str:
    """A number without an exponent: some tools write small sizes as 6.405e-05."""
    if "e" not in text and "E" not in text:
        return text
    try:
        number = Decimal(text)
    except InvalidOperation:
        return text
    return format(number, "f") if number.is_finite() and abs(number.adjusted()) < 30 else text


def ticks_parser(instrument: Instrument) -> Callable[[str], int]:
    """Price text to ticks of an instrument, exactly."""
    return _cached(instrument.ticks_from_str)


def lots_parser(instrument: Instrument) -> Callable[[str], int]:
    """Size text to lots of an instrument, exactly."""
    return _cached(instrument.lots_from_str)


def _cached(parse: Callable[[str], int]) -> Callable[[str], int]:
    def exact(text: str) -> int:
        try:
            return parse(plain_number(text))
        except InstrumentError as error:
            if "grid" not in str(error) or not text:
                raise
            raise InstrumentError(f"{error}; if the venue's grid was another then: {ADVICE}") from None

    return ParseCache(exact).__getitem__


def e8(text: str) -> int:
    """A price that may lie off the grid, as an integer at 1e-8; must be above 0."""
    value = scaled_from_str(plain_number(text), 8)
    if not 0 < value <= INT64_MAX:
        raise InstrumentError(f"{text!r} is no price")
    return value


class Rates:
    """Rates as integers at 1e-12. Some tools write binary fractions out to 17 digits: what lies beyond 1e-12 is rounded
    half to even, and counted."""

    def __init__(self) -> None:
        self.rounded = 0

    def __call__(self, text: str) -> int:
        plain = plain_number(text)
        try:
            value = signed_from_str(plain, 12)
        except InstrumentError:
            value = self._rounded(plain)
        if abs(value) > INT64_MAX:
            raise InstrumentError(f"{text!r} does not fit 64 bits at 1e-12")
        return value

    def _rounded(self, text: str) -> int:
        try:
            value = Decimal(text)
        except InvalidOperation:
            raise InstrumentError(f"{text!r} is not a decimal number") from None
        if not value.is_finite() or value.adjusted() > 5:
            raise InstrumentError(f"{text!r} is no rate")
        self.rounded += 1
        return int(value.scaleb(12).to_integral_value(ROUND_HALF_EVEN))


def key_of(text: str) -> int:
    """A trade's name as an integer: itself where it is one, else 62 bits of its hash (the same in every import)."""
    if text.isascii() and text.isdigit() and len(text) <= 18:
        return int(text)
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) >> 2


# -- CSV


class Rows:
    """Consecutive rows of a CSV file, each column as text; ``first`` is the line of the first one."""

    def __init__(self, path: Path, first: int, columns: Mapping[str, pa.Array], count: int) -> None:
        self.path = path
        self.first = first
        self.columns = columns
        self._count = count
        self._lines: I64 | None = None

    def __len__(self) -> int:
        return self._count

    def wrong(self, row: int, field: str, why: str) -> InputError:
        line = self.first + row if self._lines is None else int(self._lines[row])
        return InputError(why, source=str(self.path), place=f"line {line}", field=field)

    def require(self, mask: Mask, field: str, why: str) -> None:
        """Raise for the first row where ``mask`` is False."""
        if not mask.all():
            raise self.wrong(int(np.argmin(mask)), field, why)

    def only(self, mask: Mask) -> Rows:
        """The rows where ``mask`` holds."""
        if mask.all():
            return self
        lines = np.arange(self.first, self.first + self._count) if self._lines is None else self._lines
        chosen = pa.array(mask)
        found = Rows(self.path, self.first, {n: c.filter(chosen) for n, c in self.columns.items()}, int(mask.sum()))
        found._lines = lines[mask]
        return found

    def texts(self, field: str) -> list[str]:
        found: list[str] = self.columns[field].to_pylist()
        return found

    def unique(self, field: str) -> tuple[list[str], npt.NDArray[Any]]:
        """The different texts of a column, and which of them each row has."""
        encoded = self.columns[field].dictionary_encode()
        return encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False)

    def parsed(self, field: str, parse: Callable[[str], int], missing: int | None = None) -> I64:
        """A column through ``parse``, text by text; ``missing`` stands in for empty fields."""
        texts, which = self.unique(field)
        values = np.zeros(len(texts), np.int64)
        for k, text in enumerate(texts):
            if missing is not None and text == "":
                values[k] = missing
                continue
            try:
                values[k] = parse(text)
            except (InstrumentError, ValueError, ArithmeticError, KeyError) as error:
                why = str(error) if isinstance(error, InstrumentError) else f"{text[:60]!r} is not understood"
                raise self.wrong(int(np.argmax(which == k)), field, why) from None
        found: I64 = values[which]
        return found

    def choice(self, field: str, codes: Mapping[str, int]) -> I64:
        """A column of few words as their codes."""
        texts, which = self.unique(field)
        for k, text in enumerate(texts):
            if text not in codes:
                raise self.wrong(int(np.argmax(which == k)), field, f"{text[:40]!r} is none of {', '.join(codes)}")
        found: I64 = np.array([codes[text] for text in texts], np.int64)[which] if texts else np.zeros(0, np.int64)
        return found

    def ints(self, field: str, missing: int | None = None) -> I64:
        """A column of whole numbers, not negative."""
        column = self.columns[field]
        try:  # fails for an empty field, and for what is no number
            found: I64 = column.cast(pa.int64()).to_numpy(zero_copy_only=False)
            if not len(found) or found.min() >= 0:
                return found
        except pa.ArrowInvalid:
            pass
        return self.parsed(field, _whole, missing)

    def times(self, field: str, unit_ns: int = 0, missing: int | None = None) -> I64:
        """A column of epoch times in ns. ``unit_ns`` 0: s, ms, us or ns by the digits of each."""
        values = self.ints(field, missing)
        if unit_ns:
            scale = np.full(len(values), unit_ns, np.int64)
        else:
            scale = np.zeros(len(values), np.int64)
            for digits, unit in UNITS.items():
                scale[(values >= 10 ** (digits - 1)) & (values < 10**digits)] = unit
        good = (values >= FIRST_NS // np.maximum(scale, 1)) & (values <= LAST_NS // np.maximum(scale, 1)) & (scale > 0)
        if missing is not None:
            good |= values == missing
        self.require(good, field, "is no time of this century (epoch s, ms, us or ns)")
        return values * scale


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise InstrumentError(f"{text[:40]!r} is no whole number")
    return int(text)


def csv_batches(path: Path, needed: Sequence[str], positional: Sequence[str] = ()) -> Iterator[Rows]:
    """The rows of a CSV file, packed or not, in batches. A first line that begins with a digit is data, whose columns
    are ``positional``; otherwise it is the header, which must have ``needed``. Raises ``InputError``."""
    with open_bytes(path) as stream:
        line = stream.readline(HEAD_BYTES)
    if not line.strip():
        raise InputError("is empty", source=str(path))
    first = split_line(line.decode("utf-8-sig", "replace").strip())
    headless = bool(positional) and first[0][:1].isdigit()
    names = list(positional[: len(first)]) if headless else list(first)
    missing = [name for name in needed if name not in names]
    if missing or len(names) != len(first) or len(set(names)) != len(names):
        raise InputError(
            f"has not the columns {', '.join(missing or needed)}; it has {', '.join(first)[:200]}",
            source=str(path), place="line 1",
        )  # fmt: skip
    convert = pacsv.ConvertOptions(
        column_types=dict.fromkeys(needed, pa.string()), include_columns=list(needed), strings_can_be_null=False
    )
    count = 1 if headless else 2
    with open_bytes(path) as stream:
        if not headless:
            stream.readline(HEAD_BYTES)
        if not (head := stream.read(1)):
            return
        try:
            reader = pacsv.open_csv(
                _Joined(head, stream),
                pacsv.ReadOptions(use_threads=False, block_size=BATCH_BYTES, column_names=names),
                pacsv.ParseOptions(ignore_empty_lines=False),
                convert,
            )
            for batch in reader:
                columns = {name: batch.column(name) for name in needed}
                if batch.num_rows:
                    yield Rows(path, count, columns, batch.num_rows)
                count += batch.num_rows
        except pa.ArrowInvalid as error:
            found = _ODD_ROW.search(str(error))
            if found is None:
                raise
            row, expected, got = map(int, found.groups())
            raise InputError(
                f"has {got} fields where the header has {expected}",
                source=str(path), place=f"line {row + (0 if headless else 1)}",
            ) from None  # fmt: skip


class _Joined(io.RawIOBase):
    """Some bytes, then the rest of a stream. A long line is refused before it fills the memory."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        head, self._head = self._head, b""
        return head + self._rest.read(max(0, size - len(head)) if size >= 0 else -1)


def text_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a packed or plain text file with their numbers, without their ends."""
    with open_bytes(path) as stream:
        buffered = io.BufferedReader(_Raw(stream), 1 << 20)
        number = 0
        while line := buffered.readline(LINE_BYTES_MAX + 1):
            number += 1
            if len(line) > LINE_BYTES_MAX:
                raise InputError("is longer than any message", source=str(path), place=f"line {number}")
            stripped = line.strip()
            if stripped:
                yield number, stripped


class _Raw(io.RawIOBase):
    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
