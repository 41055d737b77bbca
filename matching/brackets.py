"""Margin brackets: a venue's table of maintenance rates and leverages by position size, checked before it is used.

Binance (support page 360033525271 and ``GET /fapi/v1/leverageBracket``): a position of notional N in bracket k has
the maintenance margin N * rate_k - cum_k, where cum_k = floor_k * (rate_k - rate_(k-1)) + cum_(k-1) makes it
continuous where two brackets meet, and may use at most the bracket's leverage. A table that breaks the recurrence
would make margin jump when a mark crosses an edge, so it is refused here, with the row.

Other venues' tables fit the same columns: OKX's tiers are by contracts and flat (the whole position takes its tier's
rate; ``flat``, no cum), dYdX's hold one row with an initial rate, Deribit's one row whose rates rise with the size
(``slope_e12``, ``initial_slope_e12``: per coin).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

BRACKETS_MAX: Final = 64  # of one market; venues publish about a dozen
RATE_ONE: Final = 10**12
INT64_MAX: Final = (1 << 63) - 1


@dataclass(frozen=True)
class Brackets:
    """Rows in rising order, one value per bracket in each field.

    ``floor_e8`` and ``cap_e8``: notional, in 1e-8 of the settlement asset (inverse contracts: of the coin), from above
    the floor up to and with the cap; ``rate_e12``: maintenance rate at 1e-12; ``cum_e8``: the amount deducted;
    ``max_leverage``: whole times. A last cap beyond int64 ("no limit" in some of Binance's tables) becomes the largest
    int64. Optional columns, zeros if left out: ``initial_e12``, the initial margin rate where it does not follow from
    the account's leverage; ``slope_e12`` and ``initial_slope_e12``, what the rates grow by for each coin of size.
    ``flat``: cum is zero everywhere, so that margin jumps where tiers meet; floors and caps are then lots. Raises
    ValueError naming row (from 1) and field if the table cannot be one.
    """

    floor_e8: tuple[int, ...]
    cap_e8: tuple[int, ...]
    rate_e12: tuple[int, ...]
    cum_e8: tuple[int, ...]
    max_leverage: tuple[int, ...]
    initial_e12: tuple[int, ...] = ()
    slope_e12: tuple[int, ...] = ()
    initial_slope_e12: tuple[int, ...] = ()
    flat: bool = False

    def __post_init__(self) -> None:
        rows = len(self.floor_e8)
        for name in OPTIONAL_FIELDS:
            object.__setattr__(self, name, tuple(getattr(self, name)) or (0,) * rows)
        if rows and len(self.cap_e8) == rows and isinstance(self.cap_e8[-1], int):
            object.__setattr__(self, "cap_e8", (*self.cap_e8[:-1], min(self.cap_e8[-1], INT64_MAX)))
        for name in (*FIELDS, *OPTIONAL_FIELDS):
            values = getattr(self, name)
            if len(values) != rows:
                raise ValueError(f"brackets: {name} has {len(values)} rows, floor_e8 has {rows}")
            for row, value in enumerate(values, 1):
                if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= INT64_MAX:
                    raise ValueError(f"brackets row {row}: {name} is {value!r}, wanted a whole number below 2**63")
        if not 1 <= rows <= BRACKETS_MAX:
            raise ValueError(f"brackets: {rows} rows, wanted 1 to {BRACKETS_MAX}")
        if self.floor_e8[0] or self.cum_e8[0]:
            raise ValueError("brackets row 1: floor_e8 and cum_e8 must be 0")
        for k in range(rows):
            self._check_row(k)

    def _check_row(self, k: int) -> None:
        row = k + 1
        if self.cap_e8[k] <= self.floor_e8[k]:
            raise ValueError(f"brackets row {row}: cap_e8 {self.cap_e8[k]} is not above floor_e8 {self.floor_e8[k]}")
        if not 0 < self.rate_e12[k] < RATE_ONE:
            raise ValueError(f"brackets row {row}: rate_e12 {self.rate_e12[k]} is not between 0 and 1")
        if self.max_leverage[k] < 1:
            raise ValueError(f"brackets row {row}: max_leverage {self.max_leverage[k]} is below 1")
        if not 0 <= self.initial_e12[k] <= RATE_ONE:
            raise ValueError(f"brackets row {row}: initial_e12 {self.initial_e12[k]} is not between 0 and 1")
        if self.flat and self.cum_e8[k]:
            raise ValueError(f"brackets row {row}: cum_e8 {self.cum_e8[k]} in a flat table, which deducts nothing")
        if k == 0:
            return
        if self.floor_e8[k] != self.cap_e8[k - 1]:
            raise ValueError(
                f"brackets row {row}: floor_e8 {self.floor_e8[k]} is not row {k}'s cap, {self.cap_e8[k - 1]}"
            )
        if self.rate_e12[k] < self.rate_e12[k - 1]:
            raise ValueError(f"brackets row {row}: rate_e12 {self.rate_e12[k]} falls below row {k}")
        if self.max_leverage[k] > self.max_leverage[k - 1]:
            raise ValueError(f"brackets row {row}: max_leverage {self.max_leverage[k]} rises above row {k}")
        step = self.floor_e8[k] * (self.rate_e12[k] - self.rate_e12[k - 1])
        if not self.flat and step != (self.cum_e8[k] - self.cum_e8[k - 1]) * RATE_ONE:
            raise ValueError(
                f"brackets row {row}: cum_e8 {self.cum_e8[k]} breaks floor * (rate - rate above) + cum above"
                f" = {self.cum_e8[k - 1]} + {step} / 10**12, so margin would jump at {self.floor_e8[k]}"
            )

    @classmethod
    def of(cls, table: Any) -> Brackets:
        """``table`` itself, or built from a mapping or any object with the five fields as sequences of integers."""
        if isinstance(table, cls):
            return table
        columns: dict[str, tuple[int, ...]] = {}

        def read(name: str) -> Any:
            return table.get(name) if isinstance(table, Mapping) else getattr(table, name, None)

        for name in FIELDS:
            values = read(name)
            if not isinstance(values, Sequence):
                raise ValueError(f"brackets: field {name!r} is missing; wanted sequences {', '.join(FIELDS)}")
            columns[name] = tuple(values)
        for name in OPTIONAL_FIELDS:
            columns[name] = tuple(read(name) or ())
        return cls(**columns, flat=bool(read("flat")))

    @classmethod
    def with_cum(
        cls, floor_e8: Sequence[int], cap_e8: Sequence[int], rate_e12: Sequence[int], max_leverage: Sequence[int]
    ) -> Brackets:
        """A table without its ``cum`` column, which follows from the others (ValueError where not whole at 1e-8)."""
        cum = [0]
        for k in range(1, len(floor_e8)):
            step, rest = divmod(floor_e8[k] * (rate_e12[k] - rate_e12[k - 1]), RATE_ONE)
            if rest:
                raise ValueError(f"brackets row {k + 1}: floor * (rate - rate above) is not a whole number of 1e-8")
            cum.append(cum[-1] + step)
        return cls(tuple(floor_e8), tuple(cap_e8), tuple(rate_e12), tuple(cum), tuple(max_leverage))


FIELDS: Final = ("floor_e8", "cap_e8", "rate_e12", "cum_e8", "max_leverage")
OPTIONAL_FIELDS: Final = ("initial_e12", "slope_e12", "initial_slope_e12")
