"""A lane: one strategy in a run, what it hears, and how its callbacks are reached."""

from collections import deque

import cython

from sim.strategy import Strategy

if not cython.compiled:
    HEARS_BOOK, HEARS_TRADE, HEARS_BAR, HEARS_DATA, HEARS_ORDER, HEARS_FILL = 1, 2, 4, 8, 16, 32
    HEARS_FUNDING, HEARS_MARK, HEARS_GAP, HEARS_LIQUIDATION, HEARS_FORCE = 64, 128, 256, 512, 1024
    HEARS_SETTING = 2048
    HEARS_PRIVATE = 2672

MAX_WAITING = 1 << 16  # inputs that may wait for one computing lane
HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: a class made by a class statement at run time

CALLBACKS = (
    ("on_book", HEARS_BOOK),
    ("on_trade", HEARS_TRADE),
    ("on_bar", HEARS_BAR),
    ("on_data", HEARS_DATA),
    ("on_order", HEARS_ORDER),
    ("on_fill", HEARS_FILL),
    ("on_funding", HEARS_FUNDING),
    ("on_mark", HEARS_MARK),
    ("on_gap", HEARS_GAP),
    ("on_liquidation", HEARS_LIQUIDATION),
    ("on_force_order", HEARS_FORCE),
    ("on_setting", HEARS_SETTING),
)


def heard_by(strategy):
    """The HEARS bits of the callbacks that a strategy's class overrides."""
    kind = type(strategy)
    return sum(bit for name, bit in CALLBACKS if getattr(kind, name) is not getattr(Strategy, name))


class Timer:
    """Something due at whole multiples of an interval: a callback, ``on_timer``, or a time bar."""

    def __init__(self, lane, number, interval_ns, due_ns, callback, series):
        self.lane = lane
        self.number = number
        self.interval_ns = interval_ns
        self.due_ns = due_ns
        self.callback = callback
        self.series = series


class Lane:
    """One strategy with its context, and how its callbacks are reached."""

    def __init__(self, number, strategy, ctx, delay):
        """``delay``: None, or a function of the number of the input that returns how long computing takes (ns)."""
        self.number = number
        self.strategy = strategy
        self.ctx = ctx
        self.hears = heard_by(strategy)
        self.delay = delay
        self.waiting = deque(maxlen=MAX_WAITING + 1)
        self.busy_until = self.inputs = 0
        self.holding = False
        interpreted = bool(type(strategy).__flags__ & HEAP_TYPE)
        self.call_book = self._bound("on_book", interpreted)
        self.call_trade = self._bound("on_trade", interpreted)
        self.call_bar = self._bound("on_bar", interpreted)
        self.call_data = self._bound("on_data", interpreted)
        self.call_order = self._bound("on_order", interpreted)
        self.call_fill = self._bound("on_fill", interpreted)
        self.call_funding = self._bound("on_funding", interpreted)
        self.call_mark = self._bound("on_mark", interpreted)
        self.call_gap = self._bound("on_gap", interpreted)
        self.call_liquidation = self._bound("on_liquidation", interpreted)
        self.call_force = self._bound("on_force_order", interpreted)
        self.call_setting = self._bound("on_setting", interpreted)
        self.call_timer = self._bound("on_timer", interpreted)

    def _bound(self, name, interpreted):
        """The bound method to call; None where the C entry of an annotated strategy is called instead."""
        return getattr(self.strategy, name) if interpreted or self.delay is not None else None
