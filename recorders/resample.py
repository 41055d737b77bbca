"""Bars of prints: by time, number of prints, volume, value, or imbalance of buyers and sellers.

Theory of operation. Prints (messages of kind TRADE, each row one print; prints off the book do not count) come in
pieces in order of a clock. A ``BarMaker`` gives each print the number of its bar, folds runs of equal numbers with
vectorised reductions, and carries the bar that is still open to the next piece as a handful of integers. So nothing
depends on how the prints are cut into pieces, and memory does not grow with a bar. A bar is closed by

    60s, 1m ...     the end of the interval: prints in (end - interval, end], ends at whole multiples since the epoch,
                    as ``on_bar`` and ``ctx.history`` have them; intervals without prints have no bar
    500 trades      the 500th print
    5000 lots       the print with which the volume reaches 5,000 lots; it is not split
    1000000 value   the same of price times size, in quote currency (inverse contracts: their face value)
    2000 imbalance  the print with which buyers' minus sellers' volume since the last bar reaches +2,000 or -2,000 lots

The imbalance bar is the volume imbalance bar of M. Lopez de Prado, Advances in Financial Machine Learning (Wiley,
2018), section 2.3.2, with two differences: the sign of a print is the venue's aggressor flag instead of the tick rule,
and the threshold is a given number instead of a running expectation, so that a bar depends on nothing but its prints.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, Final

import numpy as np

from matching.codes import BUY
from matching.feed import I64
from venues.errors import InputError
from venues.instruments import Instrument
from venues.units import duration_ns

TIME, TRADES, LOTS, VALUE, IMBALANCE = "time", "trades", "lots", "value", "imbalance"
UNITS: Final = {"trades": TRADES, "ticks": TRADES, "lots": LOTS, "value": VALUE, "imbalance": IMBALANCE}
SUM_LIMIT: Final = 1 << 62
COLUMNS: Final = (
    "start_ns", "end_ns", "first_ns", "last_ns", "open_ticks", "high_ticks", "low_ticks", "close_ticks", "lots",
    "buy_lots", "sell_lots", "value_ticks_lots", "trades",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BarSpec:
    """What closes a bar: an interval in ns, or a number of prints, lots, or units of ``value``. For inverse contracts
    the value of a print is its lots, whatever its price (``by_price`` False)."""

    form: str
    target: int
    by_price: bool = True


def bar_spec(every: Any, instrument: Instrument) -> BarSpec:
    """``"1m"``, ``"100 trades"``, ``"5000 lots"``, ``"1000000 value"``, ``"2000 imbalance"``. Raises ``InputError``."""
    number, _, unit = str(every).strip().partition(" ") if isinstance(every, str) else ("", "", "")
    form = UNITS.get(unit.strip())
    if form is None:
        try:
            interval = duration_ns(every)
        except ValueError as error:
            raise InputError(
                f"{error}; or give a number of {', '.join(UNITS)}", source="arguments", field="every"
            ) from None
        return BarSpec(TIME, _positive(interval, every))
    if form == VALUE:
        return _value_spec(number, every, instrument)
    if not number.isdigit():
        raise InputError(f"{every!r}: needs a whole number of {unit}", source="arguments", field="every")
    return BarSpec(form, _positive(int(number), every))


def _positive(number: int, every: Any) -> int:
    if not 0 < number < SUM_LIMIT:
        raise InputError(f"{every!r}: must be above 0 and below 2**62", source="arguments", field="every")
    return number


def _value_spec(number: str, every: Any, instrument: Instrument) -> BarSpec:
    """The least whole number of units (ticks times lots, or lots) whose value is at least what was asked for."""
    try:
        asked = Fraction(Decimal(number))
    except (InvalidOperation, ValueError, OverflowError):
        raise InputError(f"{every!r}: {number!r} is no amount", source="arguments", field="every") from None
    unit = Fraction(instrument.lot_size) * Fraction(instrument.contract_size)
    if not instrument.inverse:
        unit *= Fraction(instrument.tick_size)
    return BarSpec(VALUE, _positive(-((-asked) // unit), every), by_price=not instrument.inverse)


@dataclass(frozen=True, slots=True)
class Prints:
    """Prints in order of a clock."""

    time_ns: I64
    side: I64
    ticks: I64
    lots: I64

    def __len__(self) -> int:
        return len(self.time_ns)


class BarMaker:
    """Turns pieces of prints into rows of ``COLUMNS`` (n, 13), as each bar is complete."""

    def __init__(self, spec: BarSpec, start_ns: int) -> None:
        """``start_ns``: where the first bar begins, unless it is one by time."""
        self.spec = spec
        self._number = 0  # of the open bar; by time: unused
        self._toward = 0  # what the open bar has of its target
        self._open: tuple[int, list[int]] | None = None  # number and sums of the open bar
        self._last_end = start_ns

    def add(self, prints: Prints) -> I64:
        """The bars that these prints complete."""
        if not len(prints):
            return _matrix([])
        numbers = self._numbers(prints)
        starts = np.flatnonzero(np.concatenate((np.ones(1, np.bool_), numbers[1:] != numbers[:-1])))
        rows = _fold(prints, starts)
        found: list[list[int]] = []
        for number, row in zip(numbers[starts].tolist(), rows, strict=True):
            if self._open is not None and self._open[0] == number:
                _merge(self._open[1], row)
            else:
                self._close_into(found)
                self._open = number, row
        if self.spec.form != TIME and self._open is not None and self._open[0] < self._number:
            self._close_into(found)
        return _matrix(found)

    def finish(self) -> I64:
        """The bar that is still open, if any."""
        found: list[list[int]] = []
        self._close_into(found)
        return _matrix(found)

    def _close_into(self, found: list[list[int]]) -> None:
        if self._open is None:
            return
        number, row = self._open
        first, last = row[0], row[1]
        start, end = (number - self.spec.target, number) if self.spec.form == TIME else (self._last_end, last)
        self._last_end = end
        found.append([start, end, first, last, *row[2:]])
        self._open = None

    def _numbers(self, prints: Prints) -> I64:
        spec = self.spec
        if spec.form == TIME:
            return -(-prints.time_ns // spec.target) * spec.target
        if spec.form == TRADES:
            counted = self._toward + np.arange(len(prints))
            numbers = self._number + counted // spec.target
            self._number += (self._toward + len(prints)) // spec.target
            self._toward = (self._toward + len(prints)) % spec.target
            return np.asarray(numbers)
        amounts = prints.lots
        if spec.form == VALUE and spec.by_price:
            amounts = prints.lots * prints.ticks
        if spec.form == IMBALANCE:
            amounts = np.where(prints.side == BUY, amounts, -amounts)
        if float(np.abs(amounts.astype(np.float64)).sum()) >= SUM_LIMIT:
            raise OverflowError("bars: the values of one piece of prints leave 64 bits")
        return self._cut(np.cumsum(amounts), signed=spec.form == IMBALANCE)

    def _cut(self, total: I64, *, signed: bool) -> I64:
        """Numbers of bars that are complete when what they have reaches the target (or its negative)."""
        cuts = []
        at, base = 0, -self._toward
        while at < len(total):
            if signed:
                place = _first_beyond(total, at, base, self.spec.target)
            else:
                place = int(total[at:].searchsorted(base + self.spec.target)) + at
            if place >= len(total):
                break
            cuts.append(place)
            at, base = place + 1, int(total[place])
        self._toward = int(total[-1]) - base
        ended = np.zeros(len(total), np.int64)
        ended[np.array(cuts, np.int64)] = 1
        numbers = self._number + np.cumsum(ended) - ended
        self._number += len(cuts)
        return np.asarray(numbers)


def _first_beyond(total: I64, at: int, base: int, target: int) -> int:
    """The first place from ``at`` on where a sum is ``target`` or more away from ``base``; the length if none is."""
    size = 64
    while at < len(total):
        far = np.abs(total[at : at + size] - base) >= target
        place = int(np.argmax(far))
        if far[place]:
            return at + place
        at, size = at + size, size * 2
    return len(total)


def _fold(prints: Prints, starts: I64) -> list[list[int]]:
    """Sums of runs of prints: first and last time, open, high, low, close, lots, bought, sold, value, number."""
    ends = np.append(starts[1:], len(prints))
    lots, ticks = prints.lots, prints.ticks
    if int(ticks.max()) * int(lots.sum()) >= SUM_LIMIT:
        raise OverflowError("bars: the values of one piece of prints leave 64 bits")
    volume = np.add.reduceat(lots, starts)
    bought = np.add.reduceat(np.where(prints.side == BUY, lots, 0), starts)
    columns = (
        prints.time_ns[starts], prints.time_ns[ends - 1], ticks[starts], np.maximum.reduceat(ticks, starts),
        np.minimum.reduceat(ticks, starts), ticks[ends - 1], volume, bought, volume - bought,
        np.add.reduceat(ticks * lots, starts), ends - starts,
    )  # fmt: skip
    rows: list[list[int]] = np.stack(columns, axis=1).tolist()
    return rows


def _merge(row: list[int], more: list[int]) -> None:
    row[1] = more[1]
    row[3], row[4], row[5] = max(row[3], more[3]), min(row[4], more[4]), more[5]
    for k in range(6, len(row)):
        row[k] += more[k]


def _matrix(rows: list[list[int]]) -> I64:
    """Rows as integers; a sum beyond 64 bits raises OverflowError."""
    return np.array(rows, np.int64).reshape(len(rows), len(COLUMNS))
