"""What the loaders of the venues' own metadata share: a listed contract, and a reader that names what is wrong.

Each ``venues/<venue>/metadata.py`` has a function ``listings`` from the venue's payloads, parsed from JSON by
``parsed_json`` (no float: 0.1 is not a tenth in binary), to ``Listing``s by symbol. Live runs load these and assume
nothing; a payload that lacks a field or contradicts itself is an ``InstrumentError`` naming contract and field.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from venues.errors import InstrumentError, RuleCardError
from venues.instruments import MAX_COLUMN, MAX_INT64, MAX_TEXT, Instrument, exact_decimal
from venues.tiers import FundingTerms, MarginTable

E8: Final = 10**8
E12: Final = 10**12


@dataclass(frozen=True, slots=True)
class Listing:
    """One contract as its venue describes it. None: the payloads at hand do not say."""

    instrument: Instrument
    margin: MarginTable | None = None
    funding: FundingTerms | None = None
    maker_rate_e12: int | None = None
    taker_rate_e12: int | None = None


def parsed_json(text: str | bytes) -> Any:
    """JSON with its numbers as ``int`` and ``Decimal``, never float. Raises ``InstrumentError`` if it is none."""
    try:
        return json.loads(text, parse_float=Decimal)
    except ValueError as error:
        raise InstrumentError(f"not JSON: {error}") from None


class Entry:
    """An object of a payload; every reading of a field is exact or an ``InstrumentError`` that names it."""

    __slots__ = ("values", "where")

    def __init__(self, values: Any, where: str) -> None:
        if not isinstance(values, Mapping):
            raise InstrumentError(f"{where}: wanted an object, not {type(values).__name__}")
        self.values = values
        self.where = where

    def named(self, key: str) -> Entry:
        """The same object, called by the value of one of its fields (its symbol) from now on."""
        return Entry(self.values, f"{self.where} {self.text(key)}")

    def has(self, key: str) -> bool:
        """Whether a field is there and says something (venues write "" and null for nothing)."""
        return self.values.get(key) not in (None, "")

    def text(self, key: str) -> str:
        value = self._value(key)
        if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
            raise self.wrong(key, f"wanted text, not {type(value).__name__}")
        return str(value)

    def decimal(self, key: str) -> Decimal:
        number = exact_decimal(self._value(key), f"{self.where}: field {key!r}")
        if number and abs(number.adjusted()) > MAX_TEXT:
            raise self.wrong(key, f"{number} is out of range")
        return number

    def positive(self, key: str) -> Decimal:
        """A decimal above 0: sizes, ticks, whatever is divided by."""
        number = self.decimal(key)
        if number <= 0:
            raise self.wrong(key, f"must be above 0, not {number}")
        return number

    def integer(self, key: str) -> int:
        number = self.decimal(key)
        if number != int(number):
            raise self.wrong(key, f"{number} is not a whole number")
        return int(number)

    def scaled(self, key: str, scale: int) -> int:
        """A decimal times ``scale``, which must be whole and fit 64 bits."""
        number = self.decimal(key) * scale
        if number != int(number) or abs(number) > MAX_INT64:
            raise self.wrong(key, f"{self.decimal(key)} is no 64-bit number of 1/{scale}")
        return int(number)

    def child(self, key: str) -> Entry:
        return Entry(self._value(key), f"{self.where}: {key}")

    def rows(self, key: str) -> list[Entry]:
        return entries(self._value(key), f"{self.where}: {key}")

    def wrong(self, key: str, why: str) -> InstrumentError:
        return InstrumentError(f"{self.where}: field {key!r}: {why}")

    def _value(self, key: str) -> Any:
        if not self.has(key):
            raise InstrumentError(f"{self.where}: field {key!r} is missing")
        return self.values[key]


def entries(rows: Any, where: str) -> list[Entry]:
    """A list of a payload as objects. Raises ``InstrumentError``."""
    if not isinstance(rows, Sequence) or isinstance(rows, str | bytes):
        raise InstrumentError(f"{where}: wanted a list, not {type(rows).__name__}")
    return [Entry(row, f"{where}[{place}]") for place, row in enumerate(rows)]


def whole_lots(entry: Entry, key: str, lot_size: Decimal) -> int | None:
    """A largest size in lots; None where there is none, or where it is beyond what an order here can be."""
    if not entry.has(key):
        return None
    lots = int(entry.decimal(key) / lot_size)
    return lots if 1 <= lots <= MAX_COLUMN else None


def table_of(entry: Entry, key: str, make: Any, *arguments: Any) -> Any:
    """A margin table, or funding terms, that check themselves; what they find wrong becomes an error of this entry."""
    try:
        return make(*arguments)
    except (ValueError, RuleCardError) as error:
        raise entry.wrong(key, str(error)) from None
