"""Facts: a value with its source and whether that was verified, and tables of facts by date.

What no source proves is ``assumed``; what has changed over time is ``Dated`` and looked up as of simulated time. A time
before the first known entry gets that entry, marked as an assumption.
"""

from __future__ import annotations

import datetime
import itertools
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from venues.errors import RuleCardError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
SECOND_NS: Final = 1_000_000_000
HOUR_NS: Final = 3600 * SECOND_NS
DAY_NS: Final = 24 * HOUR_NS
E8: Final = 10**8
E12: Final = 10**12
BPS_E12: Final = E12 // 10_000
START_NS: Final = -(1 << 63)  # from which an entry holds that has always held


@dataclass(frozen=True, slots=True)
class Fact(Generic[T_co]):
    """A value, its source, and whether the source was verified."""

    value: T_co
    source: str
    verified: bool = True

    def __post_init__(self) -> None:
        if not self.source:
            raise RuleCardError(f"a fact without a source: {self.value!r}")


def assumed(value: T, why: str) -> Fact[T]:
    """A fact that no source proves; ``why`` says what it rests on."""
    return Fact(value, why, verified=False)


def date_ns(date: str) -> int:
    """Midnight UTC of an ISO date, in nanoseconds."""
    return (datetime.date.fromisoformat(date).toordinal() - datetime.date(1970, 1, 1).toordinal()) * DAY_NS


def date_of_ns(ts_ns: int) -> str:
    """The ISO date (UTC) of an instant."""
    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=ts_ns // DAY_NS)).isoformat()


@dataclass(frozen=True, slots=True)
class Dated(Generic[T_co]):
    """Facts that replace each other: each holds from its instant on. Instants strictly rise."""

    rows: tuple[tuple[int, Fact[T_co]], ...]

    def __post_init__(self) -> None:
        times = [ts_ns for ts_ns, _ in self.rows]
        if not times or any(a >= b for a, b in itertools.pairwise(times)):
            raise RuleCardError("a dated table needs at least one row, and its dates must rise")

    def at(self, ts_ns: int) -> Fact[T_co]:
        """The fact in force at ``ts_ns``; before the first row, that row as an assumption."""
        first_ns, found = self.rows[0]
        if ts_ns < first_ns:
            source = f"{found.source}; known from {date_of_ns(first_ns)}, used before it"
            return Fact(found.value, source, verified=False)
        for from_ns, fact in self.rows:
            if from_ns <= ts_ns:
                found = fact
        return found

    @property
    def latest(self) -> Fact[T_co]:
        """The last row."""
        return self.rows[-1][1]


def always(value: T, source: str, verified: bool = True) -> Dated[T]:
    """A dated table of one fact that holds at all times."""
    return Dated(((START_NS, Fact(value, source, verified)),))
