"""Numbers and times as people read them; shared by the banner, the table and the report. Nothing here computes."""

from __future__ import annotations

from datetime import UTC, datetime

E8 = 100_000_000
NS_PER_S = 1_000_000_000
THIN = "\u202f"  # narrow no-break space between a figure and its unit
MINUS = "\u2212"
DASH = "\u2013"  # what is shown where a figure is not defined

_UNITS = ((86_400 * NS_PER_S, "d"), (3_600 * NS_PER_S, "h"), (60 * NS_PER_S, "min"), (NS_PER_S, "s"))
_SMALL_UNITS = ((NS_PER_S, "s"), (1_000_000, "ms"), (1_000, "µs"), (1, "ns"))


def money_text(amount_e8: int, decimals: int = 2, signed: bool = False) -> str:
    """An amount at 1e-8 with thousands separators, rounded half away from zero to ``decimals`` (0 to 8) places."""
    step = 10 ** (8 - decimals)
    whole, part = divmod((abs(amount_e8) + step // 2) // step, 10**decimals)
    sign = MINUS if amount_e8 < 0 and (whole or part) else "+" if signed and (whole or part) else ""
    return f"{sign}{whole:,}.{part:0{decimals}d}" if decimals else f"{sign}{whole:,}"


def money_decimals(*amounts_e8: int) -> int:
    """Decimal places that show the largest of the amounts with about six significant digits: 2, 4, 6 or 8."""
    largest = max((abs(amount) for amount in amounts_e8), default=0)
    for limit, decimals in ((1_000 * E8, 2), (10 * E8, 4), (E8 // 10, 6)):
        if largest >= limit:
            return decimals
    return 8 if largest else 2


def count_text(value: int) -> str:
    """A count with thousands separators."""
    return f"{value:,}".replace("-", MINUS)


def number_text(value: float | None, decimals: int = 2, signed: bool = False) -> str:
    """A float with fixed decimals and a true minus sign, none on what rounds to zero; an en dash for None."""
    if value is None:
        return DASH
    text = f"{abs(value):,.{decimals}f}"
    if not any(digit in text for digit in "123456789"):
        return text
    return (MINUS if value < 0 else "+" if signed else "") + text


def percent_text(share: float | None, decimals: int = 1, signed: bool = False) -> str:
    """A share of one as a percentage; an en dash for None."""
    return DASH if share is None else f"{number_text(100 * share, decimals, signed)}{THIN}%"


def return_text(share: float | None, signed: bool = False) -> str:
    """A return as a percentage with two decimals, or as many (up to six) as its first two digits need."""
    if share is None:
        return DASH
    size = abs(100 * share)
    decimals = next((d for d in range(2, 6) if size >= 10 ** (1 - d)), 6) if size else 2
    return percent_text(share, decimals, signed)


def rate_bps_text(rate_e12: int) -> str:
    """A rate at 1e-12 in basis points, without trailing zeros (200_000_000 -> 2 bps)."""
    text = f"{rate_e12 / 1e8:.4f}".rstrip("0").rstrip(".")
    return f"{text.replace('-', MINUS)}{THIN}bps"


def duration_text(duration_ns: float | None) -> str:
    """A span of time in its two largest units (1 d 4 h, 3 min 20 s, 250 ms); an en dash for None."""
    if duration_ns is None:
        return DASH
    total = abs(round(duration_ns))
    sign = MINUS if duration_ns < 0 and total else ""
    if total < 60 * NS_PER_S:
        for unit, name in _SMALL_UNITS:
            if total >= unit or unit == 1:
                return f"{sign}{_short(total / unit)}{THIN}{name}"
    total = (total + NS_PER_S // 2) // NS_PER_S * NS_PER_S
    for place, (unit, name) in enumerate(_UNITS):
        if total >= unit:
            whole, rest = divmod(total, unit)
            next_unit, next_name = _UNITS[place + 1]
            part = rest // next_unit
            return f"{sign}{whole}{THIN}{name}" + (f" {part}{THIN}{next_name}" if part else "")
    raise AssertionError("every span of a minute or more has a unit")


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def instant_text(time_ns: int, seconds: bool = True) -> str:
    """An instant in UTC, to the second (2023-04-05 00:00:00 UTC) or to the minute."""
    moment = datetime.fromtimestamp(time_ns // NS_PER_S, UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC" if seconds else "%Y-%m-%d %H:%M UTC")


def period_text(first_ns: int, last_ns: int) -> str:
    """A period as one phrase; the date is not repeated when both ends share it."""
    first, last = (datetime.fromtimestamp(t // NS_PER_S, UTC) for t in (first_ns, last_ns))
    end = last.strftime("%H:%M:%S") if first.date() == last.date() else last.strftime("%Y-%m-%d %H:%M:%S")
    return f"{first.strftime('%Y-%m-%d %H:%M:%S')} \u2013 {end} UTC"


def plural(count: int, noun: str, many: str | None = None) -> str:
    """``1 fill``, ``2 fills``, ``1,204 entries`` (``many`` for irregular plurals)."""
    return f"{count_text(count)} {noun if count == 1 else many or noun + 's'}"
