"""Durations and instants as people write them, as integer nanoseconds.

Durations: ``"100ms"``, ``"1.5s"``, ``"1h30m"``, or an int (nanoseconds). Instants: ISO 8601 with a zone (a bare one is
UTC), a date, or an int (nanoseconds since the epoch). Exact: a duration finer than a nanosecond is refused.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal

UNIT_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "min": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ns|us|µs|ms|min|s|m|h|d)\s*")
_FRACTION = re.compile(r"(?<=:\d\d)\.(\d{1,9})(?!\d)")
MAX_NS = (1 << 63) - 1


def duration_ns(value: int | str) -> int:
    """A duration in ns. Raises ValueError for what is none, for negative and for sub-nanosecond values."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f'{value!r} is not a duration: write it as "100ms", "1.5s", "1h30m" or as int nanoseconds')
    if isinstance(value, int):
        total = value
    else:
        total = _parse_duration(value)
    if not 0 <= total <= MAX_NS:
        raise ValueError(f"{value!r} is not a duration: it must lie between 0 and 2**63 - 1 ns")
    return total


def _parse_duration(text: str) -> int:
    at, total = 0, Decimal(0)
    while at < len(text):
        part = _PART.match(text, at)
        if part is None:
            break
        total += Decimal(part.group(1)) * UNIT_NS[part.group(2)]
        at = part.end()
    if at == 0 or at < len(text):
        raise ValueError(f'{text!r} is not a duration: write numbers with units of {", ".join(UNIT_NS)}, as "100ms"')
    if total != int(total):
        raise ValueError(f"{text!r} is finer than a nanosecond")
    return int(total)


def duration_text(ns: int) -> str:
    """A duration as people write it: the largest unit that divides it (``1500000`` -> ``"1500us"``)."""
    for unit in ("d", "h", "m", "s", "ms", "us"):
        if ns and ns % UNIT_NS[unit] == 0:
            return f"{ns // UNIT_NS[unit]}{unit}"
    return f"{ns}ns"


def instant_ns(value: int | str | datetime | date) -> int:
    """An instant in ns since the epoch. Strings may carry nine decimals of a second. Raises ValueError."""
    if isinstance(value, bool):
        raise ValueError(f"{value!r} is not an instant")
    if isinstance(value, int):
        return value
    if isinstance(value, datetime):
        return _datetime_ns(value)
    if isinstance(value, date):
        return _datetime_ns(datetime(value.year, value.month, value.day))
    fraction = _FRACTION.search(value)
    text = value if fraction is None else value[: fraction.start()] + value[fraction.end() :]
    try:
        whole = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{value!r} is not an instant: write ISO 8601, such as 2023-04-05T00:00:00Z") from None
    return _datetime_ns(whole) + (int(fraction.group(1).ljust(9, "0")) if fraction else 0)


def _datetime_ns(value: datetime) -> int:
    known = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    delta = known.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return ((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds) * 1_000


def instant_text(ns: int) -> str:
    """An instant as ISO 8601 in UTC, with as many decimals of a second as it needs (0, 3, 6 or 9)."""
    seconds, rest = divmod(ns, 1_000_000_000)
    days, second = divmod(seconds, 86_400)
    day = date.fromordinal(date(1970, 1, 1).toordinal() + days)
    clock = f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
    for digits in (0, 3, 6, 9):
        if rest % 10 ** (9 - digits) == 0:
            fraction = f".{rest // 10 ** (9 - digits):0{digits}d}" if digits else ""
            return f"{day.isoformat()}T{clock}{fraction}Z"
    raise AssertionError("nine digits always divide")
