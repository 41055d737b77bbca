"""Every error perpsim raises on purpose, and what to do about it.

    PerpsimError                 never raised itself
    ├── LocalError               ours: a caller, a file or a setting is wrong; correct it and run again
    │   ├── InstrumentError      a price, size, mark or rate that the instrument cannot represent exactly
    │   ├── LifecycleDefect      an order event that the transition table does not allow
    │   ├── RuleCardError        a rule card, a dated table or a code table is inconsistent, or a name is unknown
    │   └── InputError           an input file or setting: says file, line or row, and field
    └── VenueError               theirs: the raw code and text, with a hint: retry, query or halt
        └── PayloadError         bytes that are not what the venue documents; says the field

The hint of a ``VenueError`` is for machines:

    RETRY   the request was not executed; the same request may be sent again after a pause
    QUERY   the outcome is unknown: ask the venue before doing anything else with that order
    HALT    sending the request again cannot help; a person or another request must act

A venue's codes are data (``CodeTable``); a table that lists a code twice is refused when it is built.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


class Hint(enum.Enum):
    """What a machine should do after a ``VenueError``."""

    RETRY = "retry"
    QUERY = "query"
    HALT = "halt"


class PerpsimError(Exception):
    """Base of all errors raised on purpose; construct one of the classes below it."""

    def __init__(self, *args: object) -> None:
        if type(self) is PerpsimError:
            raise TypeError("PerpsimError is never raised itself: use LocalError or VenueError")
        super().__init__(*args)


class LocalError(PerpsimError):
    """Something on our side is wrong: a caller, a file, a setting."""


class InstrumentError(LocalError, ValueError):
    """A number that the instrument cannot represent exactly: off its grid, out of range or not a number."""


class RuleCardError(LocalError, ValueError):
    """A rule card, dated table or code table is inconsistent, or does not know the name asked for."""


class LifecycleDefect(LocalError):  # noqa: N818  # a defect is what is reported
    """An order event that the transition table does not allow. Reported, never ignored.

    ``order`` is the order's own number or client id, ``state`` and ``event`` the names the table uses.
    """

    def __init__(self, order: object, state: str, event: str, why: str) -> None:
        super().__init__(f"order {order}: {event} in state {state}: {why}")
        self.order = order
        self.state = state
        self.event = event
        self.why = why

    def __reduce__(self) -> tuple[type[LifecycleDefect], tuple[object, str, str, str]]:
        return type(self), (self.order, self.state, self.event, self.why)


class InputError(LocalError, ValueError):
    """An input file or setting that cannot be used.

    ``source`` is the file (or run-file key), ``place`` the line or row in it (None: the whole of it) and ``field`` the
    column or key (None: not one in particular).
    """

    def __init__(self, why: str, *, source: str, place: int | str | None = None, field: str | None = None) -> None:
        where = source
        if place is not None:
            where += f":{place}" if isinstance(place, int) else f": {place}"
        if field is not None:
            where += f": field {field!r}"
        super().__init__(f"{where}: {why}")
        self.why = why
        self.source = source
        self.place = place
        self.field = field

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_input_error, (self.why, self.source, self.place, self.field)


def _rebuild_input_error(why: str, source: str, place: int | str | None, field: str | None) -> InputError:
    return InputError(why, source=source, place=place, field=field)


class VenueError(PerpsimError):
    """The venue refused, failed, or sent what it should not have.

    ``code`` is the venue's raw code (None: it sent none), ``text`` its own words, ``hint`` what to do next.
    """

    def __init__(self, text: str, *, venue: str, code: int | None = None, hint: Hint = Hint.HALT) -> None:
        super().__init__(f"{venue}: {text}" if code is None else f"{venue}: {code}: {text}")
        self.text = text
        self.venue = venue
        self.code = code
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_venue_error, (self.text, self.venue, self.code, self.hint)


def _rebuild_venue_error(text: str, venue: str, code: int | None, hint: Hint) -> VenueError:
    return VenueError(text, venue=venue, code=code, hint=hint)


class PayloadError(VenueError):
    """Bytes from a venue that are not what it documents.

    ``field`` is the JSON path of the offending field ("$" is the message as a whole); ``why`` says what is wrong with
    it.
    """

    def __init__(self, why: str, *, venue: str, field: str) -> None:
        super().__init__(f"malformed message: field {field}: {why}", venue=venue)
        self.why = why
        self.field = field

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_payload, (self.why, self.venue, self.field)


def _rebuild_payload(why: str, venue: str, field: str) -> PayloadError:
    return PayloadError(why, venue=venue, field=field)


@dataclass(frozen=True, slots=True)
class VenueCode:
    """One code of a venue: its number, its documented meaning, and what to do about it."""

    code: int
    text: str
    hint: Hint


@dataclass(frozen=True, slots=True)
class CodeTable:
    """A venue's error codes as data. Refuses a code that is listed twice."""

    venue: str
    source: str
    rows: tuple[VenueCode, ...]

    def __post_init__(self) -> None:
        seen: set[int] = set()
        for row in self.rows:
            if row.code in seen:
                raise RuleCardError(f"{self.venue}: error code {row.code} is listed twice; keep one row")
            seen.add(row.code)

    def __iter__(self) -> Iterator[VenueCode]:
        return iter(self.rows)

    def find(self, code: int) -> VenueCode | None:
        """The row of a code, or None when the venue documents no such code."""
        for row in self.rows:
            if row.code == code:
                return row
        return None

    def error(self, code: int, text: str = "") -> VenueError:
        """The error for a raw code. A code the table does not know halts: nobody has said what is safe after it."""
        row = self.find(code)
        if row is None:
            return VenueError(text or "undocumented code", venue=self.venue, code=code, hint=Hint.HALT)
        return VenueError(text or row.text, venue=self.venue, code=code, hint=row.hint)


def code_table(venue: str, source: str, rows: Iterable[tuple[int, Hint, str]]) -> CodeTable:
    """A ``CodeTable`` from plain tuples (code, hint, text)."""
    return CodeTable(venue, source, tuple(VenueCode(code, text, hint) for code, hint, text in rows))
