"""``SkewedMaker`` of ``plain_maker`` once more, annotated: compiled it runs at the kernels' speed, uncompiled it is
plain Python with the same results. Types of attributes stand in compiled_maker.pxd, as for any compiled strategy.
"""

import cython

from sim.strategy import Order, Strategy

if not cython.compiled:
    from math import ceil, floor

    from matching.codes import *

SLOTS_MAX = 8


class CompiledMaker(Strategy):
    """See ``plain_maker.SkewedMaker``: the same parameters and the same orders."""

    def __init__(self, half_ticks=1.0, skew_ticks=0.25, lots=10, position_max_lots=100, interval="100ms"):
        self.half_ticks = half_ticks
        self.skew_per_lot = skew_ticks / lots
        self.lots = lots
        self.position_max_lots = position_max_lots
        self.interval = interval
        self.bids = []
        self.asks = []
        self.steps = 0
        self.cancels = 0

    def on_start(self):
        self.book = self.ctx.book(0)
        self.ctx.every(self.interval)

    def on_timer(self):
        position: cython.longlong = self.ctx.position(0)
        best_bid: cython.longlong = self.book.best_ticks(BUY)
        best_ask: cython.longlong = self.book.best_ticks(SELL)
        reserve: cython.double = 0.5 * (best_bid + best_ask) - self.skew_per_lot * position
        bid: cython.longlong = cython.cast(cython.longlong, floor(reserve - self.half_ticks))
        ask: cython.longlong = cython.cast(cython.longlong, ceil(reserve + self.half_ticks))
        self.steps += 1
        self.quote(self.bids, BUY, min(bid, best_bid), position < self.position_max_lots)
        self.quote(self.asks, SELL, max(ask, best_ask), position > -self.position_max_lots)

    def quote(self, live, side, ticks, wanted):
        order: Order
        place: cython.Py_ssize_t = 0
        kept: cython.Py_ssize_t = 0
        count: cython.Py_ssize_t = len(live)
        missing: cython.bint = wanted
        for place in range(count):
            order = live[place]
            if order.is_closed:
                continue
            if kept != place:
                live[kept] = order
            kept += 1
            if wanted and order.ticks == ticks:
                missing = False
            elif order.is_cancelable:
                self.ctx.cancel(order)
                self.cancels += 1
        while count > kept:
            live.pop()
            count -= 1
        if missing and kept < SLOTS_MAX:
            live.append(self.ctx.submit(0, side, ticks, self.lots, GTX))
