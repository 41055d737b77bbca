"""What the decoders of market data share: readers of numbers, typed decoding, errors that name the field.

Theory of operation. A codec takes the ordinary spellings of a frame down a short path: the first bytes say which
typed msgspec decoder fits, and its handler turns strings into integers with compiled readers. What that path
refuses, or does not know, goes through the codec's general path: it reads the JSON without types, finds out what the
message is, and decodes it again with the type that fits, whose refusal then names the field (``typed``).

A venue's numbers are exact or refused, with one exception: forecasts of funding rates are rounded to 1e-12, half to
even (``forecast_e12``), because dYdX and Deribit send quotients of 20 digits.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final, TypeAlias

import msgspec

from matching.codes import BUY
from venues.digits import read_levels
from venues.errors import InstrumentError, PayloadError
from venues.facts import HOUR_NS
from venues.instruments import CACHE_ENTRIES, MAX_INT64, MAX_TEXT, Instrument, mark_e8_from_str, scaled_from_str
from venues.market_data import Batch, Other, Record, Single, Trade

MS: Final = 1_000_000  # nanoseconds
MAX_MS: Final = 9_223_372_036_853  # the last millisecond that int64 nanoseconds can hold
MAX_ID: Final = (1 << 63) - 1
MARKET: Final = "MARKET"  # origin of a print on the book

Ms: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MAX_MS)]
Id: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)]
Levels: TypeAlias = list[tuple[str, str]]

UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_LEVELS: Final = msgspec.json.Decoder(Levels)
_AT: Final = re.compile(r"^(.*?)(?: - at `\$\.?(.*)`)?$", re.DOTALL)
_MISSING: Final = re.compile(r"^Object missing required field `([^`]*)`")
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_DIGITS: Final = re.compile(r"[0-9]{1,19}")
_E12: Final = Decimal(10**12)


class Grid:
    """An instrument with its readers of prices and sizes."""

    __slots__ = ("instrument", "lots", "symbol", "ticks")

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.symbol = instrument.symbol
        self.ticks = instrument.price_reader()
        self.lots = instrument.size_reader()


class WireCodec:
    """Base of the codecs: the instruments, all of one venue, and decoding with errors that name the field."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self._grids = {instrument.symbol: Grid(instrument) for instrument in instruments}
        if not self._grids:
            raise InstrumentError("a codec needs at least one instrument")
        self.venue = next(iter(self._grids.values())).instrument.venue
        self._only_symbol = next(iter(self._grids)) if len(self._grids) == 1 else ""

    def restart(self) -> None:
        """Nothing is remembered from frame to frame."""

    # -- JSON

    def untyped(self, raw: bytes, float_hook: Callable[[str], Any] | None = None) -> Any:
        """Any JSON value, or a ``PayloadError``."""
        try:
            return msgspec.json.Decoder(float_hook=float_hook).decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self.malformed("$", why(error)) from None
        except RecursionError:
            raise self.malformed("$", "nested too deeply") from None

    def typed(self, decoder: msgspec.json.Decoder[Any], raw: bytes) -> Any:
        """A message of the decoder's type, or a ``PayloadError`` naming the field that is not of it."""
        try:
            return decoder.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            text, path = located(str(error))
            raise self.malformed(path, text) from None
        except RecursionError:
            raise self.malformed("$", "nested too deeply") from None

    def retyped(self, decoder: msgspec.json.Decoder[Any], message: object) -> Any:
        """The same of a message that was read without types."""
        try:
            return self.typed(decoder, msgspec.json.encode(message))
        except (OverflowError, UnicodeEncodeError) as error:
            raise self.malformed("$", why(error)) from None

    def malformed(self, field: str, why: str) -> PayloadError:
        return PayloadError(why, venue=self.venue, field=field)

    # -- numbers, with the field's name when they are wrong

    def raw_levels(self, grid: Grid, text: msgspec.Raw, field: str) -> tuple[list[int], list[int]]:
        """Rows (price, size) as a frame has them, ``[["price","size"],...]``, as ticks and lots."""
        ticks: list[int] = []
        lots: list[int] = []
        if read_levels(grid.ticks, grid.lots, bytes(text), ticks, lots):
            return ticks, lots
        try:
            rows = _LEVELS.decode(text)
        except UNDECODABLE as error:
            words, path = located(str(error))
            raise self.malformed(field + path.removeprefix("$"), words) from None
        return self.levels(grid, rows, field)

    def levels(self, grid: Grid, rows: Levels, field: str) -> tuple[list[int], list[int]]:
        """Rows (price, size) as ticks and lots."""
        ticks, lots = grid.ticks, grid.lots
        try:
            return [ticks[price] for price, _ in rows], [lots[size] for _, size in rows]
        except InstrumentError:
            for index, (price, size) in enumerate(rows):
                self.ticks(grid, price, f"{field}[{index}][0]")
                self.lots(grid, size, f"{field}[{index}][1]")
            raise

    def ticks(self, grid: Grid, text: str, field: str) -> int:
        try:
            return grid.ticks[text]
        except InstrumentError as error:
            hint = "; orders from before a change of grid keep their price: give the finer tick_size"
            raise self.malformed(field, str(error) + (hint if "[" in field else "")) from None

    def lots(self, grid: Grid, text: str, field: str) -> int:
        try:
            return grid.lots[text]
        except InstrumentError as error:
            raise self.malformed(field, str(error)) from None

    def rounded(self, instrument: Instrument, text: str, field: str, side: int) -> tuple[int, int]:
        """A price that may lie off the grid: exactly at 1e-8, and as the grid price that such a limit allows."""
        try:
            price_e8 = scaled_from_str(text, 8)
            ticks = instrument.ticks_at_most(price_e8) if side == BUY else instrument.ticks_at_least(price_e8)
            return price_e8, instrument.ticks_from_str(instrument.price_str(ticks))
        except InstrumentError as error:
            raise self.malformed(field, str(error)) from None

    def mark_e8(self, text: str, field: str) -> int:
        try:
            return mark_e8_from_str(text)
        except InstrumentError as error:
            raise self.malformed(field, str(error)) from None

    def forecast_e12(self, text: str, field: str) -> int:
        """A funding rate, signed, rounded to 1e-12 where the venue sends more."""
        try:
            value = Decimal(text) if len(text) <= MAX_TEXT else Decimal("nan")
        except InvalidOperation:
            value = Decimal("nan")
        if not value.is_finite() or (
            value and not -MAX_TEXT < value.adjusted() < 6
        ):  # below a million: 64 bits hold it
            raise self.malformed(field, f"{text[:MAX_TEXT]!r} is no funding rate")
        return int((value * _E12).to_integral_value())

    def time_ns(self, text: str, field: str) -> int:
        """Milliseconds since the epoch in a string; "" is 0, not said."""
        if not text:
            return 0
        if not (text.isascii() and text.isdigit() and len(text) <= 13 and int(text) <= MAX_MS):
            raise self.malformed(field, f"{text[:MAX_TEXT]!r} is no time in milliseconds")
        return int(text) * MS

    def side(self, text: str, buy: str, sell: str, field: str, sides: tuple[int, int]) -> int:
        """One of two words as one of two sides."""
        if text == buy:
            return sides[0]
        if text == sell:
            return sides[1]
        raise self.malformed(field, f"{text[:MAX_TEXT]!r} is neither {buy} nor {sell}")


def together(records: Sequence[Single], event: str, symbol: str) -> Record:
    """The records of one message: one of them as itself, several as a ``Batch``, none as ``Other``."""
    if len(records) == 1:
        return records[0]
    return Batch(tuple(records)) if records else Other(event, symbol)


def oldest_first(record: Record) -> Record:
    """The trades of a REST answer, which has the newest first, in the order in which they happened."""
    if not isinstance(record, Batch):
        return record
    oldest = list(record.records)
    oldest.reverse()  # sorting is stable, so those of one time are turned around too
    oldest.sort(key=lambda found: found.ts_event_ns if isinstance(found, Trade) else 0)
    return Batch(tuple(oldest))


def next_hour_ns(ts_ns: int) -> int:
    """The first full hour after a time; 0 where the time is not known."""
    following = ts_ns - ts_ns % HOUR_NS + HOUR_NS
    return following if ts_ns > 0 and following <= MAX_INT64 else 0


def id_of(text: str) -> int:
    """A venue's trade id as a stable int64: itself where it is a number that fits, the leading 63 bits of a UUID, and
    63 bits of BLAKE2b of any other text. Equal ids stay equal; different ones collide with odds of 2**-58 or so a pair
    (a UUID's version and variant are constant), which for a day of 10 million trades is 1 in 5,000."""
    if _DIGITS.fullmatch(text):
        number = int(text)
        if number <= MAX_INT64:
            return number
    if _UUID.fullmatch(text):
        return int(text[:8] + text[9:13] + text[14:18], 16) >> 1
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def plain_number(text: bytes | str) -> str:
    """The text of a JSON number, or of a string holding one, without exponent. Raises ``InstrumentError``."""
    shown = bytes(text).decode("utf-8", "replace") if isinstance(text, bytes) else text
    if len(shown) > 1 and shown[0] == shown[-1] == '"':
        shown = shown[1:-1]
    if "e" in shown or "E" in shown:
        try:
            value = Decimal(shown) if len(shown) <= MAX_TEXT else Decimal("nan")
        except InvalidOperation:
            value = Decimal("nan")
        if value.is_finite() and abs(value.adjusted()) < MAX_TEXT:
            return f"{value:f}"
    return shown


class NumberCache(dict[bytes, int]):
    """A parse cache for numbers as JSON writes them: ``cache[bytes(raw)]`` of a ``msgspec.Raw``. Emptied when full."""

    def __init__(self, parse: Callable[[str], int]) -> None:
        super().__init__()
        self._parse = parse

    def __missing__(self, text: bytes) -> int:
        value = self._parse(plain_number(text))
        if len(self) >= CACHE_ENTRIES:
            self.clear()
        self[text] = value
        return value


def located(text: str) -> tuple[str, str]:
    """msgspec's words for a message of the wrong form, and the path of the field they are about."""
    found, missing = _AT.match(text), _MISSING.match(text)
    path = (found[2] or "") if found else ""
    if missing:
        path = f"{path}.{missing[1]}".lstrip(".")
    return (found[1] if found else text), path or "$"


def why(error: Exception) -> str:
    return str(error)[:200]


def shown(value: object) -> str:
    """A name from a message, cut to a length that an ``Other`` may carry."""
    return value[:60] if isinstance(value, str) else ""
