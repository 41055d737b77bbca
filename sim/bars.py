"""Bars from prints, without calling Python for each print.

A series belongs to one lane and instrument and is closed by time (whole multiples of an interval), by a number of
prints, or by volume. The run loop feeds it each print as it is received and closes time bars when they are due.
"""

import cython

from sim.units import duration_ns

if not cython.compiled:
    from matching.codes import BUY


class Bar:
    """Prints of one instrument received in (start_ns, end_ns], as one bar."""

    @property
    def vwap_ticks(self):
        """Volume-weighted average price in ticks (float); the close where nothing traded."""
        if self.lots == 0:
            return float(self.close_ticks)
        return cython.cast(cython.double, self.value_ticks_lots) / self.lots

    def __repr__(self):
        return (
            f"<Bar to {self.end_ns}: {self.open_ticks} {self.high_ticks} {self.low_ticks} {self.close_ticks}, "
            f"{self.lots} lots in {self.trades} trades>"
        )


class BarSeries:
    """One stream of bars of one instrument: by time (no target), by number of prints, or by volume."""

    def __init__(self, lane, number, instrument, trades_target, lots_target, now_ns):
        """``lane``: its number. Targets of 0 do not apply; both 0 is a series by time."""
        self.lane = lane
        self.number = number
        self.instrument = instrument
        self.trades_target = trades_target
        self.lots_target = lots_target
        self.bar = None
        self.last_ticks = -1
        self.opened_ns = now_ns

    def add(self, side, ticks, lots, ts_ns):
        """Fold one print in; returns the bar if it is complete with it (never for bars by time)."""
        bar: Bar = self.bar
        if bar is None:
            bar = Bar.__new__(Bar)
            bar.instrument = self.instrument
            bar.series = self.number
            bar.open_ticks = bar.high_ticks = bar.low_ticks = ticks
            bar.lots = bar.buy_lots = bar.trades = bar.value_ticks_lots = 0
            bar.start_ns = self.opened_ns
            bar.end_ns = 0
            self.bar = bar
        if ticks > bar.high_ticks:
            bar.high_ticks = ticks
        if ticks < bar.low_ticks:
            bar.low_ticks = ticks
        bar.close_ticks = ticks
        bar.lots += lots
        if side == BUY:
            bar.buy_lots += lots
        bar.trades += 1
        bar.value_ticks_lots += ticks * lots
        self.last_ticks = ticks
        if (self.trades_target and bar.trades >= self.trades_target) or (
            self.lots_target and bar.lots >= self.lots_target
        ):
            return self.close(ts_ns)
        return None

    def close(self, ts_ns):
        """End the bar at ``ts_ns``; an empty one repeats the last price; None before the first print ever."""
        bar: Bar = self.bar
        if bar is None:
            if self.last_ticks < 0:
                self.opened_ns = ts_ns
                return None
            bar = Bar.__new__(Bar)
            bar.instrument = self.instrument
            bar.series = self.number
            bar.open_ticks = bar.high_ticks = bar.low_ticks = bar.close_ticks = self.last_ticks
            bar.lots = bar.buy_lots = bar.trades = bar.value_ticks_lots = 0
            bar.start_ns = self.opened_ns
        bar.end_ns = ts_ns
        self.opened_ns = ts_ns
        self.bar = None
        return bar


def bar_spec(every):
    """(prints, lots, interval_ns) of what ``ctx.bars`` takes; two of them are 0."""
    if isinstance(every, str):
        number, _, unit = every.strip().partition(" ")
        if unit in ("trades", "ticks", "lots"):
            if not number.isdigit() or int(number) < 1:
                raise ValueError(f"bars({every!r}): needs a positive whole number of {unit}")
            return (0, int(number), 0) if unit == "lots" else (int(number), 0, 0)
    interval_ns = duration_ns(every)
    if interval_ns < 1:
        raise ValueError(f"bars({every!r}): the interval must be at least 1 ns")
    return 0, 0, interval_ns
