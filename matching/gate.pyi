from typing import Any, Final

EXEMPT_NONE: Final[int]
EXEMPT_REDUCE_ONLY: Final[int]
EXEMPT_WHOLE_CLOSE: Final[int]
BAND_NONE: Final[int]
BAND_REJECT: Final[int]
BAND_CLAMP: Final[int]
BOUND_NONE: Final[int]
BOUND_MARK: Final[int]
BOUND_MID: Final[int]
BOUND_INDEX: Final[int]
BOUND_BAND: Final[int]
COUNT_SUBMIT: Final[int]
COUNT_CANCEL: Final[int]
COUNT_AMEND: Final[int]
COUNT_SUBMITS: Final[int]
COUNT_CANCELS: Final[int]
COUNT_AMENDS: Final[int]

class Gate:
    band_on_index: bool
    ticks: int
    premium_e8: int
    def __init__(self) -> None: ...
    def configure(self, **options: Any) -> Gate: ...
    def check_form(self, side: int, type: int, tif: int, flags: int, ticks: int, lots: int) -> int: ...
    def check_grid(self, ticks: int) -> bool: ...
    def grid_step(self, ticks: int) -> int: ...
    def check(
        self,
        side: int,
        type: int,
        tif: int,
        flags: int,
        ticks: int,
        lots: int,
        reducible: int,
        mark_e8: int,
        index_e8: int,
        best_ticks: int,
    ) -> int: ...
    def check_moment(
        self,
        side: int,
        type: int,
        flags: int,
        ticks: int,
        lots: int,
        reducible: int,
        mark_e8: int,
        index_e8: int,
        best_ticks: int,
    ) -> int: ...
    def notional_e8(self, type: int, ticks: int, lots: int, mark_e8: int) -> int: ...
    def band_edge(self, side: int, mark_e8: int, index_e8: int) -> int: ...
    def to_ticks(self, side: int, price_e8: int) -> int: ...
    def bound_ticks(self, side: int, mark_e8: int, index_e8: int, mid_e8: int) -> int: ...
    def add_premium(self, premium_e8: int) -> None: ...
    def most_open(self, equity_e8: int, traded_e8: int) -> int: ...

class Limit:
    counts: int
    batch_units: int
    tifs: int
    def units(self, kind: int, tif: int, leads: bool) -> int: ...
    def fits(self, now: int, units: int, kind: int) -> bool: ...
    def charge(self, now: int, units: int, kind: int) -> None: ...
    def earn(self, value_e8: int) -> None: ...

class FixedWindow(Limit):
    used: int
    def __init__(self, counts: int, most: int, window_ns: int, batch_units: int = ..., tifs: int = ...) -> None: ...

class RollingWindow(Limit):
    def __init__(
        self, counts: int, most: int, window_ns: int, step_ns: int = ..., batch_units: int = ..., tifs: int = ...
    ) -> None: ...

class Bucket(Limit):
    def __init__(self, counts: int, burst: int, refill_ns: int, batch_units: int = ..., tifs: int = ...) -> None: ...

class VolumeBudget(Limit):
    used: int
    traded_e8: int
    def __init__(
        self,
        counts: int,
        first: int,
        unit_e8: int,
        spare: int,
        trickle_ns: int,
        traded_e8: int = ...,
        batch_units: int = ...,
        tifs: int = ...,
    ) -> None: ...
    def budget(self) -> int: ...
