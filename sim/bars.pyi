from typing import Final

class Bar:
    """Prints received in (start_ns, end_ns]. ``series`` is what ``ctx.bars`` returned, ``trades`` the number of prints,
    ``buy_lots`` the part of ``lots`` with a buying aggressor. A time bar without prints repeats the last close."""

    instrument: Final[int]
    series: Final[int]
    start_ns: Final[int]
    end_ns: Final[int]
    open_ticks: Final[int]
    high_ticks: Final[int]
    low_ticks: Final[int]
    close_ticks: Final[int]
    lots: Final[int]
    buy_lots: Final[int]
    trades: Final[int]
    value_ticks_lots: Final[int]
    @property
    def vwap_ticks(self) -> float: ...

class BarSeries:
    lane: int
    number: int
    instrument: int
    def __init__(
        self, lane: int, number: int, instrument: int, trades_target: int, lots_target: int, now_ns: int
    ) -> None: ...
    def add(self, side: int, ticks: int, lots: int, ts_ns: int) -> Bar | None: ...
    def close(self, ts_ns: int) -> Bar | None: ...

def bar_spec(every: int | str) -> tuple[int, int, int]: ...
