"""The event kernel: the venue's side and the client's view of the market, for many instruments and many lanes.

Theory of operation
-------------------
A ``Market`` is one instrument. It holds two books: the *venue view*, moved by messages at their ``ts_event``, and the
*client view*, moved by the same messages at their ``ts_recv``. Own orders rest only at the venue; the recorded market
never feels them. A *lane* is one strategy with its accounts; all lanes share the books, each keeps what it took from a
displayed level in its own overlay.

``Core.advance(until)`` runs the venue's side up to the next instant at which anybody on our side can act (a timer, a
market message somebody listens to, a private event of a listening lane) and then brings the client view to the same
instant: two plain loops, no merge between them. It can do so because a command given at that instant cannot reach the
venue before it. Private events lower the horizon while the venue runs, so the venue never runs past the first instant
at which a lane may answer.

Levels live in int32 ladders: one array of cells a side, column 0 worst, so that on both sides "better" is "higher"
and one code serves both without a branch on the side. Levels outside the ladder wait in ``far``; when the touch gets
there the ladder is rebuilt around it. Own orders hang at their column in circular lists (time priority); two bounds a
side (``watch_low``..``watch_high``) let almost every row pass without looking.

The rules of filling are docs/fills.md; the naive twin that checks them is ``reference.py``. The integers used here are
in ``codes.py``. Everything below the face runs without Python objects, and without the interpreter lock where no
Python model is asked.
"""

import hashlib
import heapq
import math
from dataclasses import replace

import cython
import numpy as np

from matching.feed import FeedWindow, join_windows
from matching.forms import OrderForms, bits
from matching.liquidation import Terms
from matching.procedures import IocThenFund
from matching.triggers import Trigger, Triggers

if not cython.compiled:
    from matching.arith import FLOOR, draw, ln1p, mul_div, power
    from matching.codes import *
    from matching.gate import Limit, VolumeBudget
    from matching.order_book import OrderBook

    FREE, FLYING, RESTING, CLOSED, HELD, AWAY = 0, 1, 2, 3, 4, 5  # states of a slot; away: open at an external venue
    NEW, AMENDED, TRIGGERED = 0, 1, 2  # how an order comes to the book
    SUBMIT, CANCEL, AMEND, ASK = 1, 2, 3, 4  # kinds of request
    MAX_WIDTH = 1 << 24
    QUOTES = 1024  # best quotes kept while the depth stream lags behind them
    REFUSED_SEQ = 1_000_000  # refused cancels and amends are numbered from here within their order
    SECOND_NS = 1_000_000_000
    ENDED_MAX = 4096  # closed orders at external venues that late events are still counted for
    EV_NOT_FOUND = 12  # as in venues/lifecycle.py

NEVER = (1 << 63) - 1
LATENCY_LIMIT_NS = 1 << 60  # of a model of the run's own: 36 years
NO_PRICE = -(1 << 62)  # as in codes.py
UNKNOWN_FRONT = 1 << 62  # a queue that no displayed quantity has told yet, in state hashes

AUX_KINDS = (MARK, FUNDING, GAP)
LOG_COLUMNS = (
    "lane", "account", "market", "order_no", "seq", "event", "reason", "ts_event_ns", "ticks", "lots", "liquidity",
    "fee_e8", "ts_sent_ns", "ts_deliver_ns", "cause", "queue_front_micro", "side", "style", "leaves", "realized_e8",
    "position_lots", "wallet_e8", "slot",
)  # fmt: skip


def _wider(old, size, kind=np.int32):
    """A longer column with the old values first."""
    grown = np.zeros(size, dtype=kind)
    if len(old):
        grown[: len(old)] = np.asarray(old)
    return memoryview(grown)


def _view(array):
    """A memoryview: its items are Python ints uncompiled, where numpy scalars would wrap."""
    return memoryview(array)


class LatencyTable:
    """Nanoseconds of one leg (order entry, or response), by one of four models.

    ``constant(ns)``; ``series(ts_ns, values_ns)``: interpolated between recorded instants, held at the ends, a
    negative record means that the venue refused the request after so long; ``quantiles(values_ns)``: drawn from an
    integer quantile table by a counter keyed with (seed, instrument, order number, leg); ``custom(model)``: an object
    with ``latency(ts_ns, draw_u64) -> ns``.
    """

    def __init__(self, mode=0, base=0, times=None, values=None, model=None):
        self.mode = mode
        self.base = base
        times = np.ascontiguousarray(times if times is not None else [0], dtype=np.int64)
        values = np.ascontiguousarray(values if values is not None else [0], dtype=np.int64)
        if mode == 1 and (len(times) != len(values) or len(times) == 0 or (np.diff(times) < 0).any()):
            raise ValueError("latency series: needs as many values as times, times sorted, at least one record")
        if mode == 2 and (len(values) < 2 or (np.diff(values) < 0).any() or values[0] < 0):
            raise ValueError("latency quantiles: needs at least two sorted values, none negative")
        if mode == 0 and base < 0:
            raise ValueError(f"latency: constant must not be negative, got {base} ns")
        self._owner = (times, values)
        self.times = _view(times)
        self.values = _view(values)
        self.count = len(values)
        self.at = 0
        self.model = model
        self.core = None

    @staticmethod
    def constant(ns):
        return LatencyTable(0, base=ns)

    @staticmethod
    def series(ts_ns, values_ns):
        return LatencyTable(1, times=ts_ns, values=values_ns)

    @staticmethod
    def quantiles(values_ns):
        return LatencyTable(2, values=values_ns)

    @staticmethod
    def custom(model):
        return LatencyTable(3, model=model)

    def get(self, ts, seed, market, order_no, leg):
        u: cython.ulonglong
        whole: cython.ulonglong
        i: cython.Py_ssize_t
        if self.mode == 0:
            return self.base
        if self.mode == 1:
            return self._series(ts)
        u = draw(seed, market, order_no, leg)
        if self.mode == 2:
            whole = (u >> 32) * cython.cast(cython.ulonglong, self.count - 1)
            i = cython.cast(cython.Py_ssize_t, whole >> 32)
            fraction: cython.longlong = cython.cast(cython.longlong, (whole >> 8) & 0xFFFFFF)
            return self.values[i] + (((self.values[i + 1] - self.values[i]) * fraction) >> 24)
        with cython.gil:
            return self._ask(ts, u, leg)

    def _ask(self, ts, u, leg):
        """What the run's own model says. What is wrong with it stops the run (``Core.error``): no caller can raise."""
        try:
            value = int(self.model.latency(ts, u))
            if abs(value) > LATENCY_LIMIT_NS or (value < 0 and leg & 1):
                raise ValueError(
                    f"latency model {type(self.model).__name__}: {value} ns is out of range "
                    "(only a request can be refused, by a negative latency)"
                )
            return value
        except BaseException as error:
            self.core.fail(error)
            return 0

    def _series(self, ts):
        i: cython.Py_ssize_t = self.at
        if ts <= self.times[0]:
            return self.values[0]
        while self.times[i] > ts:  # a short way back: several markets ask, and each a little out of turn
            i -= 1
        while i + 1 < self.count and self.times[i + 1] <= ts:
            i += 1
        self.at = i
        if i + 1 == self.count or self.values[i] < 0 or self.values[i + 1] < 0:
            return self.values[i]
        return self.values[i] + mul_div(
            self.values[i + 1] - self.values[i], ts - self.times[i], self.times[i + 1] - self.times[i], 0
        )


class QueueModel:
    """How a resting order's queue ahead (``front``, lots of others) moves with its level.

    ``code`` is one of the QUEUE_* families with ``exponent`` n; QUEUE_CUSTOM asks ``model.probability(front, back)``
    for the probability that a cancelled lot stood behind us. Formulas: docs/fills.md, after hftbacktest's models.
    """

    def __init__(self, code=QUEUE_RISK_AVERSE, exponent=1.0, model=None, core=None):
        if code == QUEUE_CUSTOM and not hasattr(model, "probability"):
            raise ValueError("queue model: QUEUE_CUSTOM needs an object with probability(front, back)")
        if not exponent > 0:
            raise ValueError(f"queue model: exponent must be positive, got {exponent}")
        self.code = code
        self.exponent = exponent
        self.model = model
        self.core = core

    def probability(self, front, back):
        p: cython.double
        q: cython.double
        if self.code == QUEUE_POWER3:
            return 1.0 - power(front / (front + back), self.exponent)
        if self.code == QUEUE_POWER:
            p = power(back, self.exponent)
            q = p + power(front, self.exponent)
        elif self.code == QUEUE_POWER2:
            p = power(back, self.exponent)
            q = power(back + front, self.exponent)
        elif self.code == QUEUE_LOG:
            p = ln1p(max(back, 0.0))
            q = p + ln1p(max(front, 0.0))
        elif self.code == QUEUE_LOG2:
            p = ln1p(max(back, 0.0))
            q = ln1p(max(back + front, 0.0))
        else:
            with cython.gil:
                return self._ask(front, back)
        return 1.0 if q == 0.0 else p / q

    def _ask(self, front, back):
        """What the run's own model says. What is wrong with it stops the run (``Core.error``): no caller can raise."""
        try:
            value = float(self.model.probability(front, back))
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"queue model {type(self.model).__name__}: {value} is no probability")
            return value
        except BaseException as error:
            self.core.fail(error)
            return 1.0

    def after_depth(self, front, cum, previous, quantity):
        """The queue ahead after the level went from ``previous`` to ``quantity`` lots, ``cum`` of them traded."""
        change: cython.double = previous - quantity - cum
        back: cython.double = previous - front
        p: cython.double
        moved: cython.double
        if self.code == QUEUE_RISK_AVERSE or change < 0.0 or front <= 0.0:
            return front if front < quantity else quantity
        p = self.probability(front, back)
        moved = back - p * change
        moved = front - (1.0 - p) * change + (moved if moved < 0.0 else 0.0)
        return moved if moved < quantity else quantity


class BookView:
    """One view of one instrument's displayed book: a ladder of lots a side, and the rules of joining best quotes.

    Columns: bids ``ticks - base``, asks ``base + width - 1 - ticks``; a higher column is a better price on both sides.
    """

    def __init__(self, width, l1_only):
        if not cython.compiled:
            self.off = [0, 0]
            self.best = [-1, -1]
            self.low = [width, width]
            self.limit = [width, width]
        owner = np.zeros(2 * width, dtype=np.int32)
        self._owner = owner
        self.lots = _view(owner)
        self.width = width
        self.base = 0
        self.off[0] = self.off[1] = -(1 << 62)  # no price is inside before the base is set
        self.best[0] = self.best[1] = -1
        self.low[0] = self.low[1] = width
        self.limit[0] = self.limit[1] = width
        self.valid = False
        self.based = False
        self.recentre = False
        self.l1_only = l1_only
        self.last_id = -1
        self.quotes = 0
        self.quote_id = _view(np.zeros(QUOTES, dtype=np.int64))
        self.quote_bid = _view(np.zeros(QUOTES, dtype=np.int64))
        self.quote_ask = _view(np.zeros(QUOTES, dtype=np.int64))
        self.far = {}
        self.far_count = 0

    def set_base(self, ticks):
        self.base = ticks - (self.width >> 1)
        self.off[0] = -self.base
        self.off[1] = self.base + self.width - 1
        self.based = True

    def column(self, side, ticks):
        return self.off[side] + (1 - 2 * side) * ticks

    def ticks_at(self, side, column):
        return (1 - 2 * side) * (column - self.off[side])

    def best_ticks(self, side):
        if self.best[side] < 0:
            return NO_PRICE
        return self.ticks_at(side, self.best[side])

    def level(self, side, ticks):
        """Displayed lots at a price, 0 if none."""
        column: cython.longlong = self.column(side, ticks)
        if column >= 0 and column < self.width:
            return self.lots[side * self.width + column]
        with cython.gil:
            return self.far.get((side, ticks), 0)

    def next_worse(self, side, column):
        """The next occupied column below ``column``, -1 if none."""
        column -= 1
        while column >= self.low[side]:
            if self.lots[side * self.width + column] != 0:
                return column
            column -= 1
        return -1

    def settle_best(self, side, column):
        """The best of a side after the level at ``column`` (the best so far) has gone."""
        self.best[side] = self.next_worse(side, column)
        if self.best[side] < (self.width >> 5):
            if self.far_count > 0:
                self.recentre = True

    def put(self, side, ticks, lots):
        """Set one level; returns what it displayed before."""
        column: cython.longlong
        previous: cython.longlong
        if not self.based:
            self.set_base(ticks)
        column = self.column(side, ticks)
        if column < 0 or column >= self.width:
            with cython.gil:
                return self.put_far(side, ticks, lots)
        previous = self.lots[side * self.width + column]
        self.lots[side * self.width + column] = lots
        if lots != 0:
            if column < self.low[side]:
                self.low[side] = column
            if column > self.best[side]:
                self.best[side] = column
        elif column == self.best[side]:
            self.settle_best(side, column)
        return previous

    def put_far(self, side, ticks, lots):
        previous = self.far.pop((side, ticks), 0)
        if lots:
            self.far[(side, ticks)] = lots
            if self.best[side] < 0 or self.column(side, ticks) > self.best[side]:
                self.recentre = True
        self.far_count = len(self.far)
        return previous

    def hides_best(self):
        """Whether a level outside the ladder is better than all of its side inside."""
        return any(self.best[side] < 0 or self.column(side, ticks) > self.best[side] for side, ticks in self.far)

    def is_quoted(self, side, ticks):
        """Whether a remembered best quote, newer than the depth message at hand, speaks of this level."""
        k: cython.Py_ssize_t
        for k in range(self.quotes):
            if side == BUY and ticks >= self.quote_bid[k]:
                return True
            if side == SELL and ticks <= self.quote_ask[k]:
                return True
        return False

    def drop_far(self, side, ticks, lots):
        """A best quote was stated: far levels that are better go (best-quote-only: all others). Returns them."""
        better = [
            other for s, other in self.far
            if s == side
            and (not lots or (other > ticks) == (side == BUY) or self.l1_only)
            and (other != ticks or not lots)
        ]  # fmt: skip
        for other in better:
            del self.far[(side, other)]
        self.far_count = len(self.far)
        return better

    def clear(self):
        side: cython.int
        column: cython.longlong
        for side in range(2):
            column = self.low[side]
            while column <= self.best[side]:
                self.lots[side * self.width + column] = 0
                column += 1
            self.best[side] = -1
            self.low[side] = self.width
        if self.far_count > 0:
            with cython.gil:
                self.far.clear()
            self.far_count = 0

    def begin_depth(self, update_id):
        """Rows of the coming depth message at or better than a newer best quote are to be skipped: set ``limit``."""
        kept: cython.Py_ssize_t = 0
        k: cython.Py_ssize_t
        column: cython.longlong
        self.limit[0] = self.limit[1] = self.width
        if update_id > self.last_id:
            self.last_id = update_id
        for k in range(self.quotes):
            if self.quote_id[k] > update_id:
                self.quote_id[kept] = self.quote_id[k]
                self.quote_bid[kept] = self.quote_bid[k]
                self.quote_ask[kept] = self.quote_ask[k]
                column = max(self.column(0, self.quote_bid[k]), 0)
                self.limit[0] = min(self.limit[0], column)
                column = max(self.column(1, self.quote_ask[k]), 0)
                self.limit[1] = min(self.limit[1], column)
                kept += 1
        self.quotes = kept

    def accept_quote(self, update_id, bid_ticks, ask_ticks):
        """Whether a best quote is newer than everything applied; if so it is kept against late depth rows."""
        k: cython.Py_ssize_t
        if update_id <= self.last_id:
            return False
        self.last_id = update_id
        if self.l1_only:
            self.valid = True
            return True
        if not self.valid:
            return False
        if self.quotes == QUOTES:  # fold the two oldest into one that holds for both
            self.quote_bid[1] = min(self.quote_bid[0], self.quote_bid[1])
            self.quote_ask[1] = max(self.quote_ask[0], self.quote_ask[1])
            for k in range(1, QUOTES):
                self.quote_id[k - 1] = self.quote_id[k]
                self.quote_bid[k - 1] = self.quote_bid[k]
                self.quote_ask[k - 1] = self.quote_ask[k]
            self.quotes -= 1
        k = self.quotes
        self.quote_id[k] = update_id
        self.quote_bid[k] = bid_ticks
        self.quote_ask[k] = ask_ticks
        self.quotes += 1
        return True

    def quote_side(self, side, ticks, lots):
        """State the best of one side: better levels go (on a best-quote-only feed all others do)."""
        column: cython.longlong
        if lots and not self.based:
            self.set_base(ticks)
        if self.far_count > 0:
            with cython.gil:
                self.drop_far(side, ticks, lots)
        column = self.column(side, ticks) if lots else -1
        while self.best[side] >= 0 and (self.best[side] > column or (self.l1_only and self.best[side] != column)):
            self.lots[side * self.width + self.best[side]] = 0
            self.settle_best(side, self.best[side])
        if lots:
            self.put(side, ticks, lots)

    def forget_quotes(self):
        """No best quote is newer than the depth any more; ``limit`` lies below ``width`` only while one is."""
        self.quotes = 0
        self.limit[0] = self.limit[1] = self.width

    def move(self):
        """Rebuild the ladder around the best prices, wider if they need it."""
        levels = self.levels()
        width, centre = self.frame()
        self._owner = np.zeros(2 * width, dtype=np.int32)
        self.lots = _view(self._owner)
        self.width = width
        self.best[0] = self.best[1] = -1
        self.low[0] = self.low[1] = width
        self.limit[0] = self.limit[1] = width
        self.far.clear()
        self.far_count = 0
        self.set_base(centre)
        for side, price, quantity in levels:
            self.put(side, price, quantity)
        self.recentre = False

    def levels(self):
        """All levels as (side, ticks, lots), sorted."""
        out = [(side, ticks, quantity) for (side, ticks), quantity in self.far.items()]
        for side in range(2):
            cells = self._owner[side * self.width : (side + 1) * self.width]
            for column in np.flatnonzero(cells):
                out.append((side, int(self.ticks_at(side, int(column))), int(cells[column])))
        out.sort()
        return out

    def frame(self):
        """(width, centre) of a ladder that holds the best of both sides, with room around them."""
        prices = [[], []]
        for side, ticks, _ in self.levels():
            prices[side].append(ticks)
        edges = [choose(own) for choose, own in zip((max, min), prices) if own]
        width = self.width
        if not edges:
            return width, self.base + (width >> 1)
        while width < MAX_WIDTH and max(edges) - min(edges) > width >> 1:
            width *= 2
        return width, (max(edges) + min(edges)) >> 1


class Staging:
    """Columns that messages of a live feed are written into, afresh each time; they grow and are never given away.

    A message is (v ns, rank, number, ts_recv ns, kind, ref, sides, ticks, lots, aux or None): bytes, two lists and four
    integers. Nothing here is an array by itself, since most of them hold one message of one or two levels.
    """

    def __init__(self):
        self.messages = self.rows = self.payloads = 0
        self._grow(32, 256, 8)

    def _grow(self, messages, rows, payloads):
        """Room for so many at least; whoever looks at the columns has to look again."""
        self.messages = max(messages, self.messages)
        self.rows = max(rows, self.rows)
        self.payloads = max(payloads, self.payloads)
        self.columns = FeedWindow(
            ts_event=np.zeros(self.messages, np.int64), ts_recv=np.zeros(self.messages, np.int64),
            kind=np.zeros(self.messages, np.uint8), row_start=np.zeros(self.messages + 1, np.int64),
            ref=np.zeros(self.messages, np.int64), local_order=np.arange(self.messages, dtype=np.int32),
            side=np.zeros(self.rows, np.uint8), px_ticks=np.zeros(self.rows, np.int32),
            qty_lots=np.zeros(self.rows, np.int32), aux=np.zeros((self.payloads, 4), np.int64),
        )  # fmt: skip
        self.event, self.recv = _view(self.columns.ts_event), _view(self.columns.ts_recv)
        self.ref, self.row_start = _view(self.columns.ref), _view(self.columns.row_start)
        self.kind, self.side = _view(self.columns.kind), _view(self.columns.side)
        self.ticks, self.lots = _view(self.columns.px_ticks), _view(self.columns.qty_lots)
        self.aux = _view(self.columns.aux)

    def fill(self, messages):
        """Write them down, from the first place on. True if the arrays are new ones."""
        count: cython.Py_ssize_t = len(messages)
        rows: cython.Py_ssize_t = 0
        j: cython.Py_ssize_t
        for j in range(count):
            rows += len(messages[j][7])
        grows: cython.bint = count > self.messages or rows > self.rows or count > self.payloads
        if grows:
            self._grow(2 * count, 2 * rows, 2 * count)
        rows = 0
        payload: cython.Py_ssize_t = 0
        for j in range(count):
            message: tuple = messages[j]
            self.event[j] = message[0]
            self.recv[j] = message[3]
            self.kind[j] = message[4]
            if self.kind[j] >= ORDER_ADD:
                raise ValueError("messages about single orders come in windows")
            self.ref[j] = message[5]
            if message[9] is not None:
                self.ref[j] = payload
                self._fill_aux(payload, message[9])
                payload += 1
            self.row_start[j] = rows
            rows = self._fill_rows(rows, message[6], message[7], message[8])
        self.row_start[count] = rows
        return grows

    def _fill_rows(self, at, sides, ticks, lots):
        k: cython.Py_ssize_t
        count: cython.Py_ssize_t = len(ticks)
        if len(sides) != count or len(lots) != count:
            raise ValueError("a message's sides, ticks and lots are of different lengths")
        for k in range(count):
            self.side[at + k] = sides[k]
            self.ticks[at + k] = ticks[k]
            self.lots[at + k] = lots[k]
        return at + count

    def _fill_aux(self, at, aux):
        self.aux[at, 0], self.aux[at, 1] = aux[0], aux[1]
        self.aux[at, 2], self.aux[at, 3] = aux[2], aux[3]


class Market:
    """One instrument: both views of its book, the own orders of all lanes resting in it, its mark and funding."""

    def __init__(self, core, index, venue_index, account, options):
        if not cython.compiled:
            self.own_best, self.cross = [-1, -1], [0, 0]
            self.watch_low, self.watch_high = [0, 0], [-1, -1]
            self.resting, self.watched = [0, 0], [0, 0]
            self.trigger_low, self.trigger_high = [0] * 4, [0] * 4
        self.core = core
        self.index = index
        self.venue_index = venue_index
        width = options["window_ticks"]
        if width < 64 or width > MAX_WIDTH or width & (width - 1):
            raise ValueError(f"window_ticks must be a power of two from 64 to {MAX_WIDTH}, got {width}")
        self.venue = BookView(width, options["l1_only"])
        self.local = BookView(width, options["l1_only"])
        self.queue = QueueModel(options["queue_model"], options["queue_param"], options["custom_queue"], core)
        self.entry = self.response = LatencyTable.constant(0)
        self.fee_model = options["fee_model"]
        self.own_fees = self.fee_model is not None
        self.exchange = options["exchange"]
        self.by_order = options["by_order"]
        self.orders, self.local_orders = OrderBook(), OrderBook()
        self.restating = self.local_restating = 0
        self.places, self.newcomers = {}, []
        if self.by_order and (self.exchange != EXCHANGE_PARTIAL or options["l1_only"]):
            raise ValueError("core: an order-by-order book knows partial fills and whole depth only")
        self.fok_reject = options["fok_reject"]
        self.margin_on = options["margin"]
        self.funding_from_marks = options["funding_from_marks"]
        self.mid_mark = options["mark_source"] == MARK_MID
        self.tick_e8 = options["tick_e8"]
        self.tick_e8_num, self.tick_e8_den = self.tick_e8
        self.min_lots = options["min_lots"]
        self.max_lots = options["max_lots"]
        self._set_forms(options["forms"] or OrderForms(), options["post_only_reject"])
        self.gate = self.limits = None
        self.gated = self.limited = self.earns = False
        self.walk_ticks = 0
        self.block_ns = self.bump_ns = 0
        self.rank_post = self.rank_cancel = self.rank_take = self.held_tifs = self.fires_late = 0
        self._set_ladder_arrays(width)
        lanes = core.n_lanes
        self.taken_lane = _view(np.zeros(64, dtype=np.int32))
        self.taken_side = _view(np.zeros(64, dtype=np.int32))
        self.taken_ticks = _view(np.zeros(64, dtype=np.int64))
        self.taken_lots = _view(np.zeros(64, dtype=np.int64))
        self.taken_count = 0
        self.lane_taken = _view(np.zeros(lanes, dtype=np.int64))
        self.shared_row = _view(np.full(lanes, -1, dtype=np.int64))
        self.shared_lots = _view(np.zeros(lanes, dtype=np.int64))
        self.print_no = 0
        self.account = _view(np.array(account, dtype=np.int64))
        self.boundary_lots = _view(np.zeros(2 * lanes, dtype=np.int64))  # by leg, then lane
        self.locked = _view(np.zeros(lanes, dtype=np.uint8))
        self.locks = False
        self.prior_mark_e8 = self.mark_ns = 0
        self.mark_e8 = self.rate_e12 = self.next_funding = self.boundary = 0
        self.kept_mark = self.kept_rate = self.booked = 0
        self.computed_mark = self.computed_funding = self.charges_index = self.lazy = False
        self.index_price_e8 = self.drift = self.owed = self.owed_rate = self.owed_mark = 0
        self.last_ticks = NO_PRICE
        self.published = []
        self.mid_next = NEVER
        self.set_plan([], [], [], [])
        self.local_mark_e8 = self.local_index_e8 = self.local_rate_e12 = self.local_next_funding = 0
        self.rows_done = self.messages_done = 0
        self.size = self.venue_at = self.local_at = self.listen_at = 0
        self.last = self.external = False
        self.window, self.complete = None, -NEVER
        self.client_staging = self.venue_staging = None
        self.client_size = self.max_recv = self.now = 0

    def _set_forms(self, forms, post_only_reject):
        self.stp, self.stp_on = forms.stp, forms.stp_on
        self.stp_modes, self.stp_exempt = bits(forms.stp_modes), bits(forms.stp_exempt)
        self.stp_lost_by_amend = forms.stp_lost_by_amend
        self.post_only = POST_ONLY_REJECT if post_only_reject else forms.post_only
        self.reduce_form = forms.reduce_only
        self.amend_priority = forms.amend_priority
        self.amend_to_filled_rejects = forms.amend_to_filled_rejects
        self.amend_to_filled_fills = forms.amend_to_filled_fills
        self.amend_crossing_rejects = forms.amend_crossing_rejects
        self.amend_must_rest = forms.amend_must_rest
        self.amends_per_order = forms.amends_per_order
        self.resize_due = False
        self.hedge = forms.hedge
        self.short_index = self.index + self.core.n_markets if forms.hedge else self.index
        if self.short_index >= self.core.ledger.n_markets:
            raise ValueError("hedge mode: the ledger needs a second market for the short leg of each")
        self.forms, self.replaces = forms, forms.expiry == EXPIRY_BLOCK
        self.triggers, self.late = Triggers(self.tick_e8), {}
        self.held = 0
        self.good_till = {}
        self._arm()

    def _set_ladder_arrays(self, width):
        self.head = _view(np.full(2 * width, -1, dtype=np.int32))
        self.mark = _view(np.zeros(2 * width, dtype=np.uint8))
        for side in range(2):
            self.own_best[side] = -1
            self.cross[side] = width
            self.watch_low[side] = width
            self.watch_high[side] = -1
            self.resting[side] = 0
            self.watched[side] = 0

    def set_plan(self, ts, kind, a, b):
        """Tables, as of venue time: rows (ts, MARK, mark_e8, 0), (ts, PLAN_INDEX, index_e8, 0) or (ts, FUNDING,
        rate_e12, mark_e8 or 0)."""
        self.plan_ts = _view(np.append(np.asarray(ts, dtype=np.int64), NEVER))
        self.plan_kind = _view(np.append(np.asarray(kind, dtype=np.int64), 0))
        self.plan_a = _view(np.append(np.asarray(a, dtype=np.int64), 0))
        self.plan_b = _view(np.append(np.asarray(b, dtype=np.int64), 0))
        self.mark_table = MARK in kind
        self.plan_at = 0

    def set_window(self, window, last):
        """Take the next stretch of the feed; what the client has not seen of the old one goes in front."""
        kept = 0
        if self.window is not None and self.local_at < self.client_size:
            tail = _unseen(self.window, self.local_at)
            kept = len(tail)
            window = join_windows(tail, window)
        self._set_client(window)
        self._set_venue(window, kept, last)
        self.window = window

    def set_client(self, window):
        """Live feeds: the messages that the client has received since, in the order of receipt."""
        if self.local_at < self.client_size:
            raise ValueError(f"market {self.index}: the client has {self.client_size - self.local_at} messages to see")
        self._set_client(window)

    def set_venue(self, window, complete, last):
        """Live feeds: the messages that the venue's side comes to next, of which it has all up to ``complete``."""
        if self.venue_at < self.size:
            raise ValueError(f"market {self.index}: the venue's side has {self.size - self.venue_at} messages to come")
        if len(window) or last:
            self._set_venue(window, 0, last)
        self.complete = complete

    def set_messages(self, client, venue, complete):
        """Live feeds: the same as ``set_client`` and ``set_venue`` for messages that are in no window."""
        if self.by_order:
            raise ValueError(f"market {self.index}: an order-by-order feed comes in windows")
        if len(client) > 0:
            if self.local_at < self.client_size:
                raise ValueError(
                    f"market {self.index}: the client has {self.client_size - self.local_at} messages to see"
                )
            self._stage_client(client)
        if len(venue) > 0:
            if self.venue_at < self.size:
                raise ValueError(
                    f"market {self.index}: the venue's side has {self.size - self.venue_at} messages to come"
                )
            self._stage_venue(venue)
        self.complete = complete

    def _stage_client(self, messages):
        fresh: cython.bint = self.client_staging is None
        if fresh:
            self.client_staging = Staging()
        if self.client_staging.fill(messages) or fresh:
            self._point_client(self.client_staging.columns)
        self.client_size = len(messages)
        self.local_at = self.listen_at = 0
        self.max_recv = max(self.max_recv, self.client_staging.recv[self.client_size - 1])

    def _stage_venue(self, messages):
        fresh: cython.bint = self.venue_staging is None
        if fresh:
            self.venue_staging = Staging()
        if self.venue_staging.fill(messages) or fresh:
            self._point_venue(self.venue_staging.columns)
        self.size = len(messages)
        self.venue_at = 0
        self.last = False
        if self.mid_mark and self.mid_next == NEVER:
            self.mid_next = (self.ts_event[0] // SECOND_NS + 1) * SECOND_NS

    def _set_client(self, window):
        self._check_kinds(window)
        self.client_staging = None
        self._point_client(window)
        self.client_size = len(window)
        self.local_at = self.listen_at = 0
        if self.client_size:
            self.max_recv = max(self.max_recv, int(window.ts_recv[window.local_order[self.client_size - 1]]))

    def _set_venue(self, window, kept, last):
        self.venue_staging = None
        self._point_venue(window)
        self.size = len(window)
        self.venue_at = kept
        self.last = last
        if self.size and self.mid_mark and self.mid_next == NEVER:
            self.mid_next = (self.ts_event[0] // SECOND_NS + 1) * SECOND_NS

    def _point_client(self, columns):
        """Let the client's side read these columns."""
        self.client_event, self.ts_recv = _view(columns.ts_event), _view(columns.ts_recv)
        self.client_row_start, self.client_ref = _view(columns.row_start), _view(columns.ref)
        self.client_kind, self.client_side = _view(columns.kind), _view(columns.side)
        self.client_ticks, self.client_lots = _view(columns.px_ticks), _view(columns.qty_lots)
        self.client_aux = _view(columns.aux if len(columns.aux) else np.zeros((1, 4), dtype=np.int64))
        self.client_aux_base, self.local_order = columns.aux_base, _view(columns.local_order)

    def _point_venue(self, columns):
        """Let the venue's side read these columns."""
        self.ts_event, self.row_start = _view(columns.ts_event), _view(columns.row_start)
        self.ref, self.kind = _view(columns.ref), _view(columns.kind)
        self.side, self.px_ticks = _view(columns.side), _view(columns.px_ticks)
        self.qty_lots, self.aux_base = _view(columns.qty_lots), columns.aux_base
        self.aux = _view(columns.aux if len(columns.aux) else np.zeros((1, 4), dtype=np.int64))

    def _check_kinds(self, window):
        """Levels and single orders do not mix: what a market of the other kind would overlook is refused."""
        single = window.kind >= ORDER_ADD
        wrong = np.isin(window.kind, (DEPTH, BBO, SNAPSHOT)) if self.by_order else single
        if wrong.any():
            raise ValueError(
                f"market {self.index}: message of kind {window.kind[int(np.argmax(wrong))]} in a feed that is read "
                + ("order by order" if self.by_order else "by levels; order-by-order feeds need the l3 book")
            )
        if not single.any():
            return
        if (np.diff(window.row_start)[single] != (window.kind[single] != ORDER_BOOK)).any():
            raise ValueError(f"market {self.index}: a message about a single order has one row, ORDER_BOOK has none")
        if (np.diff(window.ts_recv[single]) < 0).any():
            raise ValueError(f"market {self.index}: single orders must be received in the venue's order")

    # -- the venue's side of the feed ----------------------------------------------------------------------------

    def run(self, limit):
        """Consume messages with ts_event <= limit, or up to a lowered horizon."""
        j: cython.Py_ssize_t = self.venue_at
        k: cython.int
        r: cython.longlong
        while j < self.size and self.ts_event[j] <= limit:
            self.now = self.ts_event[j]
            k = self.kind[j]
            if k == DEPTH:
                self._depth(j)
            elif k == TRADE:
                for r in range(self.row_start[j], self.row_start[j + 1]):
                    self._print(self.side[r], self.px_ticks[r], self.qty_lots[r])
                if self.row_start[j] < self.row_start[j + 1]:
                    self.last_ticks = self.px_ticks[self.row_start[j + 1] - 1]
                if self.held != 0:
                    for r in range(self.row_start[j], self.row_start[j + 1]):
                        self._touch(WATCH_LAST, self.px_ticks[r])
                    limit = min(limit, self.core.agenda_next - 1)  # what fires a block later is on the agenda
            elif k == BBO:
                self._quote(j)
            elif k >= ORDER_ADD:
                self._order(j, k)
            else:
                self._other(j, k)
                # a mark may have announced a boundary, or put something on the agenda, before that
                limit = min(limit, min(self.next_internal(), self.core.agenda_next) - 1)
            j += 1
            if self.core.reach < limit:
                limit = self.core.reach
        if j > self.venue_at:
            self.messages_done += j - self.venue_at
            self.rows_done += self.row_start[j] - self.row_start[self.venue_at]
            self.venue_at = j

    def _depth(self, j):
        width: cython.longlong
        r: cython.longlong
        s: cython.int
        column: cython.longlong
        cell: cython.longlong
        previous: cython.int
        lots: cython.int
        if not self.venue.valid or self.venue.l1_only:
            return
        if self.ref[j] > self.venue.last_id:
            self.venue.last_id = self.ref[j]
        if self.venue.quotes != 0:
            self.venue.begin_depth(self.ref[j])
        width = self.venue.width
        for r in range(self.row_start[j], self.row_start[j + 1]):
            s = self.side[r]
            lots = self.qty_lots[r]
            column = self.venue.off[s] + ((cython.cast(cython.longlong, self.px_ticks[r]) ^ -s) + s)  # +- ticks
            if column < 0 or column >= self.venue.limit[s]:
                if column < 0 or column >= width:
                    self._outer_row(s, self.px_ticks[r], lots, self.ref[j])
                    width = self.venue.width
                continue
            cell = (width & -s) + column  # s * width + column
            previous = self.venue.lots[cell]
            self.venue.lots[cell] = lots
            if column < self.venue.low[s]:
                self.venue.low[s] = column
            if column >= self.venue.best[s]:
                if lots != 0:
                    self.venue.best[s] = column
                elif column == self.venue.best[s]:
                    self.venue.settle_best(s, column)
            if column >= self.cross[s] and lots != 0:  # also below the best: a lane may have taken better levels whole
                self._own_level(s, column, previous, lots)
                self._cross_orders(s, column)
            elif column <= self.watch_high[s] and column >= self.watch_low[s]:
                self._own_level(s, column, previous, lots)
        if self.venue.recentre:
            with cython.gil:
                self._recentre()

    def _level(self, side, ticks, lots):
        """One absolute level of the venue's book outside the hot loop: best quotes."""
        column: cython.longlong = self.venue.column(side, ticks)
        previous: cython.longlong
        if column < 0 or column >= self.venue.width:
            with cython.gil:
                self._outer_level(side, ticks, lots)
            return
        previous = self.venue.put(side, ticks, lots)
        self._own_level(side, column, previous, lots)
        if lots != 0 and column >= self.cross[side]:
            self._cross_orders(side, column)

    def _outer_row(self, side, ticks, lots, update_id):
        """A depth row outside the ladder: rare, so slow and exact. No order of ours rests there."""
        with cython.gil:
            if self.venue.is_quoted(side, ticks):
                return
            if not self.venue.based:
                self.venue.set_base(ticks)
                self._level(side, ticks, lots)
            else:
                self._outer_level(side, ticks, lots)
            self.venue.begin_depth(update_id)  # the columns of its limits may have moved

    def _outer_level(self, side, ticks, lots):
        if self.venue.put_far(side, ticks, lots) != lots:
            self._forget_taken(side, ticks)
        if self.venue.recentre:
            self._recentre()

    def _own_level(self, side, column, previous, lots):
        """A level was stated: move the queues of own orders there, drop what lanes took of it."""
        cell: cython.longlong = side * self.venue.width + column
        slot: cython.int
        first: cython.int
        marks: cython.int
        if column > self.watch_high[side] or column < self.watch_low[side]:
            return
        marks = self.mark[cell]
        if marks & 1:
            first = self.head[cell]
            slot = first
            while True:
                if self.core.o_front[slot] == -1e18:  # unknown so far (best quotes only): all of it stands ahead
                    if lots > 0:
                        self.core.o_front[slot] = lots
                else:
                    self.core.o_front[slot] = self.queue.after_depth(
                        self.core.o_front[slot], self.core.o_cum[slot], previous, lots
                    )
                self.core.o_cum[slot] = 0
                slot = self.core.o_next[slot]
                if slot == first:
                    break
        if marks & 2 and previous != lots:
            self._drop_taken(side, self.venue.ticks_at(side, column), lots)
            if lots != 0 and self.venue.valid and column >= self.cross[side]:
                self._cross_orders(side, column)

    def _cross_orders(self, side, column):
        """A level of ``side`` was stated at ``column``: own orders it reaches in their lane's view are filled whole."""
        opposite: cython.int = 1 - side
        ticks: cython.longlong = self.venue.ticks_at(side, column)
        target: cython.longlong = max(self.venue.column(opposite, ticks), 0)
        at: cython.longlong = self.own_best[opposite]
        slot: cython.int
        after: cython.int
        final: cython.int
        while at >= target and self.resting[opposite] > 0:
            slot = self.head[opposite * self.venue.width + at]
            if slot >= 0:
                final = self.core.o_prev[slot]
                while True:
                    after = self.core.o_next[slot]
                    if self._taken(self.core.o_lane[slot], side, ticks) < self.venue.level(side, ticks):
                        self._fill_maker(slot, self.core.o_lots[slot] - self.core.o_filled[slot], CAUSE_CROSS)
                    if slot == final:
                        break
                    slot = after
            at -= 1
        if self.resize_due:
            self._resize()

    def _print(self, aggressor, ticks, lots):
        """A trade on the book: orders it went through are filled whole, the queue at its price moves."""
        side: cython.int = 1 - aggressor
        column: cython.longlong
        at: cython.longlong
        slot: cython.int
        after: cython.int
        final: cython.int
        if self.resting[side] == 0:
            return
        column = self.venue.column(side, ticks)
        at = self.own_best[side]
        if at < column or self.by_order:
            return
        while at >= 0 and at >= column and self.resting[side] > 0:
            slot = self.head[side * self.venue.width + at]
            if slot >= 0:
                final = self.core.o_prev[slot]
                while True:
                    after = self.core.o_next[slot]
                    if at > column:
                        self._fill_maker(slot, self.core.o_lots[slot] - self.core.o_filled[slot], CAUSE_THROUGH)
                    else:
                        self._print_at(slot, lots)
                    if slot == final:
                        break
                    slot = after
            at -= 1
        self.print_no += 1
        if self.resize_due:
            self._resize()

    def _print_at(self, slot, lots):
        lane: cython.int = self.core.o_lane[slot]
        seen: cython.longlong = lots
        executed: cython.longlong
        left: cython.longlong = self.core.o_lots[slot] - self.core.o_filled[slot]
        ahead: cython.double = self.core.o_front[slot]
        if ahead == -1e18:
            return
        if self.exchange == EXCHANGE_PARTIAL and self.shared_row[lane] == self.print_no:
            seen -= self.shared_lots[lane]
        self.core.o_cum[slot] += lots
        if seen - ahead < 0.5:
            self.core.o_front[slot] = ahead - seen
            return
        executed = cython.cast(cython.longlong, 0.5 + (seen - ahead))
        if self.exchange == EXCHANGE_NOPARTIAL:  # the fill states what stood ahead when the print came
            self._fill_maker(slot, left, CAUSE_QUEUE)
        else:
            if self.shared_row[lane] != self.print_no:
                self.shared_row[lane] = self.print_no
                self.shared_lots[lane] = 0
            # no more than the print itself: a power below 1 can put ``front`` far before the head
            self.shared_lots[lane] += self._fill_maker(slot, min(executed, left, seen), CAUSE_QUEUE)
        self.core.o_front[slot] = 0.0

    def _quote(self, j):
        """A best quote newer than everything applied acts as depth rows for its levels and deletes better ones."""
        r: cython.longlong
        side: cython.int
        price: cython.longlong[2]
        size: cython.int[2]
        if not cython.compiled:
            price, size = [0, 0], [0, 0]
        price[0] = -(1 << 40)  # a side without a row is empty: nothing older can say otherwise
        price[1] = 1 << 40
        size[0] = size[1] = 0
        for r in range(self.row_start[j], self.row_start[j + 1]):
            side = self.side[r]
            if self.qty_lots[r] != 0 and (side == BUY) == (self.px_ticks[r] > price[side]):  # the best, of a snapshot
                price[side] = self.px_ticks[r]
                size[side] = self.qty_lots[r]
        if self.kind[j] == SNAPSHOT:
            self.venue.valid = True
            self.venue.last_id = self.ref[j]
        elif not self.venue.accept_quote(self.ref[j], price[0], price[1]):
            return
        for side in range(2):
            self._quote_side(side, price[side], size[side])
        if self.venue.recentre:
            with cython.gil:
                self._recentre()

    def _quote_side(self, side, ticks, lots):
        """The best of one side: better levels go, and on a best-quote-only feed worse ones are no longer displayed."""
        column: cython.longlong
        best: cython.longlong
        if lots and not self.venue.based:
            self.venue.set_base(ticks)
        if self.venue.far_count > 0:
            with cython.gil:
                for other in self.venue.drop_far(side, ticks, lots):
                    self._forget_taken(side, other)
        column = self.venue.column(side, ticks) if lots else -1
        best = self.venue.best[side]
        while best >= 0 and best > column:
            self._level(side, self.venue.ticks_at(side, best), 0)
            best = self.venue.best[side]
        if self.venue.l1_only and best >= 0 and best != column:
            self.venue.lots[side * self.venue.width + best] = 0  # not a change of its quantity: queues stay
            self.venue.settle_best(side, best)
            if self.mark[side * self.venue.width + best] & 2:
                self._drop_taken(side, self.venue.ticks_at(side, best), 0)
        if lots:
            self._level(side, ticks, lots)
        if self.venue.l1_only and self.resting[side] > 0:
            self._settle_unknown(side)

    def _settle_unknown(self, side):
        """Own orders better than the best of a best-quote-only feed have nobody ahead of them."""
        at: cython.longlong
        slot: cython.int
        first: cython.int
        for at in range(self.own_best[side], self.venue.best[side], -1):
            first = self.head[side * self.venue.width + at]
            slot = first
            while slot >= 0:
                if self.core.o_front[slot] == -1e18:
                    self.core.o_front[slot] = 0.0
                    self.core.o_cum[slot] = 0
                slot = self.core.o_next[slot]
                if slot == first:
                    break

    def _snapshot(self, j):
        """Replace the venue's book: old cells are negated, rows restate theirs, what stays negative has gone."""
        side: cython.int
        column: cython.longlong
        r: cython.longlong
        cell: cython.longlong
        previous: cython.longlong
        low: cython.longlong
        high: cython.longlong
        with cython.gil:
            before = self.venue.far
            self.venue.far = {}
            self.venue.far_count = 0
        self.venue.valid = False
        for side in range(2):
            for column in range(self.venue.low[side], self.venue.best[side] + 1):
                cell = side * self.venue.width + column
                self.venue.lots[cell] = -self.venue.lots[cell]
        for r in range(self.row_start[j], self.row_start[j + 1]):
            side = self.side[r]
            if not self.venue.based:
                self.venue.set_base(self.px_ticks[r])
            column = self.venue.column(side, self.px_ticks[r])
            if column < 0 or column >= self.venue.width:
                self.venue.put(side, self.px_ticks[r], self.qty_lots[r])
            elif self.qty_lots[r] != 0:
                cell = side * self.venue.width + column
                previous = -self.venue.lots[cell] if self.venue.lots[cell] < 0 else 0
                self.venue.lots[cell] = self.qty_lots[r]
                self.venue.low[side] = min(self.venue.low[side], column)
                self.venue.best[side] = max(self.venue.best[side], column)
                self._own_level(side, column, previous, self.qty_lots[r])
        for side in range(2):
            low = self.venue.width
            high = -1
            for column in range(self.venue.low[side], self.venue.best[side] + 1):
                cell = side * self.venue.width + column
                if self.venue.lots[cell] < 0:
                    previous = -self.venue.lots[cell]
                    self.venue.lots[cell] = 0
                    self._own_level(side, column, previous, 0)
                elif self.venue.lots[cell] > 0:
                    low = min(low, column)
                    high = column
            self.venue.low[side] = low
            self.venue.best[side] = high
        self.venue.valid = True
        self.venue.forget_quotes()
        self.venue.last_id = self.ref[j]
        with cython.gil:
            for side, ticks in set(before) | set(self.venue.far):
                if before.get((side, ticks)) != self.venue.far.get((side, ticks)):
                    self._forget_taken(side, ticks)
            self.venue.recentre = self.venue.hides_best()
            if self.venue.recentre:
                self._recentre()
        self._cross_both()

    def _cross_both(self):
        """Fill every own order that its lane's view of the other side reaches, best first."""
        side: cython.int
        at: cython.longlong
        slot: cython.int
        after: cython.int
        final: cython.int
        for side in range(2):
            at = self.own_best[side]
            while at >= 0 and self.resting[side] > 0 and self.venue.best[1 - side] >= self.cross[1 - side]:
                slot = self.head[side * self.venue.width + at]
                if slot >= 0:
                    final = self.core.o_prev[slot]
                    while True:
                        after = self.core.o_next[slot]
                        if self._crosses(slot):
                            self._fill_maker(slot, self.core.o_lots[slot] - self.core.o_filled[slot], CAUSE_CROSS)
                        if slot == final:
                            break
                        slot = after
                at -= 1
        if self.resize_due:
            self._resize()

    def _other(self, j, kind):
        a: cython.Py_ssize_t = self.ref[j] - self.aux_base
        if kind == SNAPSHOT and self.venue.l1_only:
            self._quote(j)
        elif kind == SNAPSHOT:
            self._snapshot(j)
        elif kind == MARK:
            if self.aux[a, 1] != 0:
                self.index_price_e8 = self.aux[a, 1]
            self._mark_message(self.aux[a, 0], self.aux[a, 2], self.aux[a, 3])
            if self.held != 0 and self.aux[a, 1] > 0:
                self._touch(WATCH_INDEX, self.aux[a, 1])
        elif kind == GAP:
            self.venue.valid = False
            self.restating = 0
            self.venue.forget_quotes()
        elif kind == FUNDING:
            self._charge_now(self.aux[a, 0], self.aux[a, 1] if self.aux[a, 1] else self._charged_at(), self.aux[a, 2])

    # -- order-by-order books: the venue's side ------------------------------------------------------------------

    def _order(self, j, kind):
        """One message about one order: its effect on own orders, on the orders' book and on the levels."""
        r: cython.longlong = self.row_start[j]
        side: cython.int
        ticks: cython.longlong
        lots: cython.longlong
        node: cython.int
        old_side: cython.int = -1
        old_ticks: cython.longlong = 0
        old_lots: cython.longlong = 0
        old_stamp: cython.longlong = NEVER  # a maker that the book does not hold was not ahead of us
        kept: cython.longlong = 0
        if kind == ORDER_BOOK:
            with cython.gil:
                self._begin_book(self.ref[j])
            return
        side = self.side[r]
        ticks = self.px_ticks[r]
        lots = self.qty_lots[r]
        if self.restating > 0:
            with cython.gil:
                self._restate(kind, self.ref[j], side, ticks, lots)
            return
        if not self.venue.valid and kind != ORDER_FILL:
            return
        node = self.orders.find(self.ref[j])
        if node >= 0:
            old_side = self.orders.n_side[node]
            old_ticks = self.orders.n_ticks[node]
            old_lots = self.orders.n_lots[node]
            old_stamp = self.orders.n_stamp[node]
        if kind == ORDER_FILL and self.resting[side] > 0:
            self._execute(side, ticks, lots, old_stamp if old_side == side and old_ticks == ticks else NEVER)
        self.orders.apply(kind, self.ref[j], side, ticks, lots)
        node = self.orders.find(self.ref[j])
        if old_lots > 0:
            if node >= 0 and self.orders.n_stamp[node] == old_stamp:
                kept = self.orders.n_lots[node]
            if self.resting[old_side] > 0 and kept < old_lots:
                self._move_up(old_side, old_ticks, old_stamp, old_lots - kept)
        if not self.venue.valid:
            return
        if old_lots > 0:
            self._order_level(old_side, old_ticks)
        if node >= 0 and self.orders.n_stamp[node] != old_stamp:
            self._order_level(side, ticks)
            if self.resting[1 - side] > 0:
                self._arrival(side, ticks, lots - old_lots if old_side == side and old_ticks == ticks else lots)

    def _execute(self, side, ticks, lots, stamp):
        """``lots`` of a resting order with the place ``stamp`` were executed: own orders before it were there first.

        They share the execution within their lane: better prices first, then who came first.
        """
        column: cython.longlong = self.venue.column(side, ticks)
        at: cython.longlong = self.own_best[side]
        slot: cython.int
        after: cython.int
        final: cython.int
        while at >= 0 and at >= column and self.resting[side] > 0:
            slot = self.head[side * self.venue.width + at]
            if slot >= 0:
                final = self.core.o_prev[slot]
                while True:
                    after = self.core.o_next[slot]
                    if at > column:
                        self._fill_share(slot, lots, CAUSE_THROUGH)
                    elif self.core.o_stamp[slot] < stamp:
                        self._fill_share(slot, lots, CAUSE_QUEUE)
                    if slot == final:
                        break
                    slot = after
            at -= 1
        self.print_no += 1
        if self.resize_due:
            self._resize()

    def _fill_share(self, slot, lots, cause):
        """Execute an own order with what its lane has not yet had of ``lots``; returns how much that was."""
        lane: cython.int = self.core.o_lane[slot]
        if self.shared_row[lane] != self.print_no:
            self.shared_row[lane] = self.print_no
            self.shared_lots[lane] = 0
        lots = min(lots - self.shared_lots[lane], self.core.o_lots[slot] - self.core.o_filled[slot])
        if lots > 0:
            lots = self._fill_maker(slot, lots, cause)
            self.shared_lots[lane] += lots
            return lots
        return 0

    def _arrival(self, side, ticks, lots):
        """Other people's new lots came to rest at a price that own orders of the other side reach.

        Had those been in the market, the newcomer would have met them: it executes with them, up to its size. One that
        crosses other people's orders as well is still being matched: its executions will be named.
        """
        opposite: cython.int = 1 - side
        column: cython.longlong = self.venue.column(opposite, ticks)
        at: cython.longlong = self.own_best[opposite]
        slot: cython.int
        after: cython.int
        final: cython.int
        lane: cython.int
        met: cython.longlong
        if at < column or self.venue.best[opposite] >= max(column, 0):
            return
        while at >= 0 and at >= column and self.resting[opposite] > 0:
            slot = self.head[opposite * self.venue.width + at]
            if slot >= 0:
                final = self.core.o_prev[slot]
                while True:
                    after = self.core.o_next[slot]
                    lane = self.core.o_lane[slot]
                    met = self._fill_share(slot, lots, CAUSE_CROSS)
                    if met > 0 and 0 <= self.venue.column(side, ticks) < self.venue.width:
                        self._take(lane, side, ticks, met)
                    if slot == final:
                        break
                    slot = after
            at -= 1
        self.print_no += 1
        if self.resize_due:
            self._resize()

    def _move_up(self, side, ticks, stamp, lots):
        """``lots`` with the place ``stamp`` left a price: they no longer stand ahead of own orders that came later."""
        column: cython.longlong = self.venue.column(side, ticks)
        slot: cython.int
        first: cython.int
        if column < self.watch_low[side] or column > self.watch_high[side]:
            return
        first = self.head[side * self.venue.width + column]
        slot = first
        while slot >= 0:
            if self.core.o_stamp[slot] > stamp:
                self.core.o_front[slot] -= lots
            slot = self.core.o_next[slot]
            if slot == first:
                break

    def _order_level(self, side, ticks):
        """State a level as the sum of its orders; what lanes took of it is forgotten if that is another quantity."""
        lots: cython.int = self.orders.shown(side, ticks)
        column: cython.longlong
        previous: cython.longlong
        if not self.venue.based:
            self.venue.set_base(ticks)
        column = self.venue.column(side, ticks)
        if column < 0 or column >= self.venue.width:
            with cython.gil:
                self._outer_level(side, ticks, lots)
            return
        previous = self.venue.put(side, ticks, lots)
        if previous != lots and self.mark[side * self.venue.width + column] & 2:
            self._drop_taken(side, ticks, lots)
        if self.venue.recentre:
            with cython.gil:
                self._recentre()

    def _begin_book(self, count):
        """The whole book follows as ``count`` orders. Who was ahead of own orders stays so if it is still there."""
        self.venue.valid = False
        if not self.places and self.resting[0] + self.resting[1] > 0:  # else of a book that was never stated whole
            self.places = self.orders.places()
        self.newcomers = []
        self.orders.clear()
        self.restating = count
        if count == 0:
            self._end_book()

    def _restate(self, kind, order_id, side, ticks, lots):
        """An order of the book that is being stated anew. It has kept its place unless it grew or moved meanwhile."""
        if kind != ORDER_ADD:
            self.core.fail(ValueError(
                f"market {self.index}: a message of kind {kind} among the orders of a book that is being stated"
            ))  # fmt: skip
            return
        side, ticks, lots = int(side), int(ticks), int(lots)
        known = self.places.get(order_id)
        keeps = known is not None and known[0] == side and known[1] == ticks and lots <= known[2]
        if keeps and known[3] > self.orders.last_stamp(side, ticks):
            self.orders.append(order_id, side, ticks, lots, known[3])
        elif lots > 0:
            self.orders.apply(ORDER_ADD, order_id, side, ticks, lots)
            self.newcomers.append((side, ticks, lots))
        self.restating -= 1
        if self.restating == 0:
            self._end_book()

    def _end_book(self):
        """The book is whole again: state its levels, count who stands ahead of own orders, let newcomers meet them."""
        for side, ticks in {level[:2] for level in self.venue.levels() + self.orders.levels()}:
            self._order_level(side, ticks)
        self.venue.valid = True
        for slot in range(self.core.slots):
            if self.core.o_state[slot] == RESTING and self.core.o_market[slot] == self.index:
                self.core.o_front[slot] = self.orders.ahead(
                    self.core.o_side[slot], self.core.o_ticks[slot], self.core.o_stamp[slot]
                )
        newcomers, self.newcomers, self.places = self.newcomers, [], {}
        for side, ticks, lots in newcomers:
            if self.resting[1 - side] > 0:
                self._arrival(side, ticks, lots)

    def _local_order(self, j, kind):
        """As _order for the client's view."""
        r: cython.longlong = self.client_row_start[j]
        node: cython.int
        side: cython.int
        ticks: cython.longlong
        if kind == ORDER_BOOK:
            self.local.clear()
            with cython.gil:
                self.local_orders.clear()
            self.local_restating = self.client_ref[j]
            self.local.valid = self.local_restating == 0
            return
        if not self.local.valid and self.local_restating == 0:
            return
        node = self.local_orders.find(self.client_ref[j])
        if node >= 0:
            side = self.local_orders.n_side[node]
            ticks = self.local_orders.n_ticks[node]
            self.local_orders.apply(
                kind, self.client_ref[j], self.client_side[r], self.client_ticks[r], self.client_lots[r]
            )
            self.local.put(side, ticks, self.local_orders.shown(side, ticks))
        else:
            self.local_orders.apply(
                kind, self.client_ref[j], self.client_side[r], self.client_ticks[r], self.client_lots[r]
            )
        self.local.put(
            self.client_side[r],
            self.client_ticks[r],
            self.local_orders.shown(self.client_side[r], self.client_ticks[r]),
        )
        if self.local_restating > 0:
            self.local_restating -= 1
            self.local.valid = self.local_restating == 0

    # -- the client's view ---------------------------------------------------------------------------------------

    def next_listened(self):
        """Receive time of the next message somebody listens to, NEVER if there is none in this window."""
        k: cython.int
        mask: cython.int = self.core.market_mask[self.index]
        if mask == 0:
            return NEVER
        if self.listen_at < self.local_at:
            self.listen_at = self.local_at
        while self.listen_at < self.client_size:
            k = self.client_kind[self.local_order[self.listen_at]]
            if _listen_bit(k) & mask:
                return self.ts_recv[self.local_order[self.listen_at]]
            self.listen_at += 1
        return NEVER

    def run_local(self, limit, consume):
        """Bring the client view to ``limit``; stops after (or, without ``consume``, before) a listened message."""
        j: cython.Py_ssize_t
        at: cython.Py_ssize_t = self.local_at
        stop: cython.Py_ssize_t = self.client_size
        mask: cython.int = self.core.market_mask[self.index]
        if mask != 0 and self.next_listened() <= limit:
            stop = self.listen_at
        while at < stop:
            j = self.local_order[at]
            if self.ts_recv[j] > limit:
                break
            if self.client_kind[j] == DEPTH and self.local.valid and not self.local.l1_only:
                self._local_rows(j)
                if self.local.recentre:
                    with cython.gil:
                        self.local.move()
            else:
                self._apply_local(j)
            at += 1
        self.local_at = at
        if at == stop and stop < self.client_size and consume:
            self._apply_local(self.local_order[at])
            self.local_at = at + 1
        return at == stop and stop < self.client_size

    def _local_rows(self, j):
        """As _depth for the client's view, where nothing of ours rests."""
        width: cython.longlong = self.local.width
        r: cython.longlong
        s: cython.int
        column: cython.longlong
        lots: cython.int
        if self.client_ref[j] > self.local.last_id:
            self.local.last_id = self.client_ref[j]
        if self.local.quotes != 0:
            self.local.begin_depth(self.client_ref[j])
        for r in range(self.client_row_start[j], self.client_row_start[j + 1]):
            s = self.client_side[r]
            lots = self.client_lots[r]
            column = self.local.off[s] + ((cython.cast(cython.longlong, self.client_ticks[r]) ^ -s) + s)
            if column < 0 or column >= self.local.limit[s]:
                if (column < 0 or column >= width) and not self.local.is_quoted(s, self.client_ticks[r]):
                    self.local.put(s, self.client_ticks[r], lots)
                continue
            self.local.lots[(width & -s) + column] = lots
            if column < self.local.low[s]:
                self.local.low[s] = column
            if column >= self.local.best[s]:
                if lots != 0:
                    self.local.best[s] = column
                elif column == self.local.best[s]:
                    self.local.settle_best(s, column)

    def _apply_local(self, j):
        k: cython.int = self.client_kind[j]
        r: cython.longlong
        side: cython.int
        price: cython.longlong[2]
        size: cython.int[2]
        a: cython.Py_ssize_t
        if k >= ORDER_ADD:
            self._local_order(j, k)
        elif (k == SNAPSHOT or (k == DEPTH and self.local.valid)) and not self.local.l1_only:
            if k == SNAPSHOT:
                self.local.clear()
                self.local.forget_quotes()
                self.local.last_id = self.client_ref[j]
                self.local.valid = True
                if not self.local.based and self.client_row_start[j] < self.client_row_start[j + 1]:
                    self.local.set_base(self.client_ticks[self.client_row_start[j]])
            self._local_rows(j)
        elif k == BBO or k == SNAPSHOT:
            if not cython.compiled:
                price, size = [0, 0], [0, 0]
            price[0] = -(1 << 40)
            price[1] = 1 << 40
            size[0] = size[1] = 0
            for r in range(self.client_row_start[j], self.client_row_start[j + 1]):
                side = self.client_side[r]
                if self.client_lots[r] != 0 and (side == BUY) == (self.client_ticks[r] > price[side]):
                    price[side] = self.client_ticks[r]
                    size[side] = self.client_lots[r]
            if k == SNAPSHOT:
                self.local.valid = True
                self.local.last_id = self.client_ref[j]
            if k == SNAPSHOT or self.local.accept_quote(self.client_ref[j], price[0], price[1]):
                for side in range(2):
                    self.local.quote_side(side, price[side], size[side])
        elif k == GAP:
            self.local.valid = False
            self.local_restating = 0
            self.local.forget_quotes()
        elif k == MARK:
            a = self.client_ref[j] - self.client_aux_base
            if self.client_aux[a, 0] != 0 and not self.computed_mark:  # a feed of the index alone says 0
                self.local_mark_e8 = self.client_aux[a, 0]
            if self.client_aux[a, 1] != 0 or not self.computed_mark:
                self.local_index_e8 = self.client_aux[a, 1]
            if not self.computed_funding:
                self.local_rate_e12 = self.client_aux[a, 2]
                self.local_next_funding = self.client_aux[a, 3]
        if self.local.recentre:
            with cython.gil:
                self.local.move()

    # -- own orders in the book ----------------------------------------------------------------------------------

    def _link(self, slot, side, column):
        cell: cython.longlong = side * self.venue.width + column
        first: cython.int = self.head[cell]
        final: cython.int
        if first < 0:
            self.head[cell] = slot
            self.core.o_next[slot] = slot
            self.core.o_prev[slot] = slot
            self.mark[cell] |= 1
            self._watch(side, column)
        else:
            final = self.core.o_prev[first]
            self.core.o_next[final] = slot
            self.core.o_prev[slot] = final
            self.core.o_next[slot] = first
            self.core.o_prev[first] = slot
        self.core.o_column[slot] = column
        self.core.o_state[slot] = RESTING
        self.resting[side] += 1
        if column > self.own_best[side]:
            self._set_own_best(side, column)

    def _unlink(self, slot):
        side: cython.int = self.core.o_side[slot]
        column: cython.longlong = self.core.o_column[slot]
        cell: cython.longlong = side * self.venue.width + column
        after: cython.int = self.core.o_next[slot]
        before: cython.int = self.core.o_prev[slot]
        self.resting[side] -= 1
        if after == slot:
            self.head[cell] = -1
            self.mark[cell] &= 2
            if column == self.own_best[side]:
                while column >= 0 and self.resting[side] > 0 and self.head[side * self.venue.width + column] < 0:
                    column -= 1
                self._set_own_best(side, column if self.resting[side] > 0 else -1)
            self._unwatch(side, self.core.o_column[slot])
        else:
            self.core.o_next[before] = after
            self.core.o_prev[after] = before
            if self.head[cell] == slot:
                self.head[cell] = after

    def _set_own_best(self, side, column):
        """``cross`` of the other side: the column at which its displayed best would reach our best order."""
        self.own_best[side] = column
        if column < 0:
            self.cross[1 - side] = self.venue.width
        else:
            self.cross[1 - side] = self.venue.column(1 - side, self.venue.ticks_at(side, column))

    def _watch(self, side, column):
        self.watched[side] += 1
        if column > self.watch_high[side]:
            self.watch_high[side] = column
        if column < self.watch_low[side]:
            self.watch_low[side] = column

    def _unwatch(self, side, column):
        """One reason to watch a cell has gone; draw the bounds in to the next watched cell."""
        self.watched[side] -= 1
        if self.watched[side] == 0:
            self.watch_low[side] = self.venue.width
            self.watch_high[side] = -1
            return
        while self.mark[side * self.venue.width + self.watch_high[side]] == 0:
            self.watch_high[side] -= 1
        while self.mark[side * self.venue.width + self.watch_low[side]] == 0:
            self.watch_low[side] += 1

    # -- overlays: what a lane took from a displayed level -------------------------------------------------------

    def _taken(self, lane, side, ticks):
        k: cython.Py_ssize_t
        if self.lane_taken[lane] == 0:
            return 0
        for k in range(self.taken_count):
            if self.taken_lane[k] == lane and self.taken_side[k] == side and self.taken_ticks[k] == ticks:
                return self.taken_lots[k]
        return 0

    def _take(self, lane, side, ticks, lots):
        k: cython.Py_ssize_t
        cell: cython.longlong
        for k in range(self.taken_count):
            if self.taken_lane[k] == lane and self.taken_side[k] == side and self.taken_ticks[k] == ticks:
                self.taken_lots[k] += lots
                return
        if self.taken_count == self.taken_lane.shape[0]:
            with cython.gil:
                self._grow_taken()
        k = self.taken_count
        self.taken_lane[k] = lane
        self.taken_side[k] = side
        self.taken_ticks[k] = ticks
        self.taken_lots[k] = lots
        self.taken_count += 1
        self.lane_taken[lane] += 1
        cell = side * self.venue.width + self.venue.column(side, ticks)
        if not self.mark[cell] & 2:
            self.mark[cell] |= 2
            self._watch(side, self.venue.column(side, ticks))

    def _grow_taken(self):
        size = 2 * self.taken_count
        self.taken_lane = _wider(self.taken_lane, size)
        self.taken_side = _wider(self.taken_side, size)
        self.taken_ticks = _wider(self.taken_ticks, size, np.int64)
        self.taken_lots = _wider(self.taken_lots, size, np.int64)

    def _drop_taken(self, side, ticks, lots):
        """The feed stated another quantity for a level: every lane sees it whole again."""
        k: cython.Py_ssize_t = 0
        column: cython.longlong = self.venue.column(side, ticks)
        while k < self.taken_count:
            if self.taken_side[k] == side and self.taken_ticks[k] == ticks:
                self._remove_taken(k)
            else:
                k += 1
        self.mark[side * self.venue.width + column] &= 1
        self._unwatch(side, column)

    def _forget_taken(self, side, ticks):
        """As _drop_taken for a level outside the ladder, which nobody watches."""
        k: cython.Py_ssize_t = 0
        while k < self.taken_count:
            if self.taken_side[k] == side and self.taken_ticks[k] == ticks:
                self._remove_taken(k)
            else:
                k += 1

    def _remove_taken(self, k):
        final: cython.Py_ssize_t = self.taken_count - 1
        self.lane_taken[self.taken_lane[k]] -= 1
        self.taken_lane[k] = self.taken_lane[final]
        self.taken_side[k] = self.taken_side[final]
        self.taken_ticks[k] = self.taken_ticks[final]
        self.taken_lots[k] = self.taken_lots[final]
        self.taken_count = final

    def lane_best(self, lane, side):
        """The lane's best column of a side: displayed minus taken, a level wholly taken is absent."""
        column: cython.longlong = self.venue.best[side]
        if self.lane_taken[lane] == 0:
            return column
        while column >= 0:
            if self.venue.lots[side * self.venue.width + column] > self._taken(
                lane, side, self.venue.ticks_at(side, column)
            ):
                return column
            column = self.venue.next_worse(side, column)
        return -1

    # -- own requests at the venue -------------------------------------------------------------------------------

    def _leg(self, slot):
        """The ledger's market of an order's position: in hedge mode each leg has its own."""
        return self.short_index if self.core.o_flags[slot] & FLAG_SHORT_LEG else self.index

    def _reducible(self, slot):
        """Lots by which an order can reduce the position, in hedge mode its leg's."""
        lane: cython.int = self.core.o_lane[slot]
        position: cython.longlong = self.core.ledger.position(self.account[lane], self._leg(slot))
        if self.core.o_side[slot] == SELL:
            return position if position > 0 else 0
        return -position if position < 0 else 0

    def _close(self, slot, event, reason):
        """Close an order with what is left of it; ``event`` is EV_REJECTED, EV_CANCELED or EV_EXPIRED."""
        left: cython.longlong = self.core.o_lots[slot] - self.core.o_filled[slot]
        if self.core.o_state[slot] == RESTING:
            self._unlink(slot)
            self._reserve(slot, False, left)
        elif self.core.o_state[slot] == HELD:
            with cython.gil:
                self._release(slot)
        self.core.o_state[slot] = CLOSED
        self.core.emit(slot, event, reason, self.core.o_ticks[slot], left, LIQ_NONE, 0, CAUSE_NONE, 0, 0, self.now)

    def _reserve(self, slot, add, lots):
        """Order margin of resting lots (a reduce-only order holds none)."""
        account: cython.longlong
        if not self.margin_on or self.core.o_flags[slot] & FLAG_REDUCE_ONLY:
            return
        account = self.account[self.core.o_lane[slot]]
        if add:
            self.core.ledger.order_added(
                account, self._leg(slot), self.core.o_side[slot], self.core.o_ticks[slot], lots
            )
        else:
            self.core.ledger.order_removed(
                account, self._leg(slot), self.core.o_side[slot], self.core.o_ticks[slot], lots
            )

    def _fill_maker(self, slot, lots, cause):
        """A resting order executes at its own price; what a reduce-only order could not reduce expires.

        Returns the lots that executed.
        """
        front: cython.longlong
        cut: cython.bint = False
        fee: cython.longlong
        reducible: cython.longlong
        if self.core.o_flags[slot] & FLAG_REDUCE_ONLY:
            reducible = self._reducible(slot)
            cut = reducible < lots
            if cut:
                lots = reducible
        if lots > 0:
            self._reserve(slot, False, lots)
            fee = self._book_fill(slot, self.core.o_ticks[slot], lots, LIQ_MAKER)
            self.core.o_filled[slot] += lots
            self.resize_due = self.reduce_form == REDUCE_RESIZE
            if self.core.o_front[slot] == -1e18:
                front = -1
            else:
                front = cython.cast(cython.longlong, max(self.core.o_front[slot], 0.0) * 1e6 + 0.5)
            if self.core.o_filled[slot] == self.core.o_lots[slot]:
                self._unlink(slot)
                self.core.o_state[slot] = CLOSED
            self.core.emit(
                slot, EV_FILLED, R_NONE, self.core.o_ticks[slot], lots, LIQ_MAKER, fee, cause, front,
                self.core.ledger.last_realized_e8, self.now,
            )  # fmt: skip
        if cut:
            self._close(slot, EV_EXPIRED, R_REDUCE_ONLY)
        return lots

    def _book_fill(self, slot, ticks, lots, liquidity):
        """Book a fill in the ledger; returns the fee, by the card's rates or by the run's own fee model."""
        account: cython.longlong = self.account[self.core.o_lane[slot]]
        fee: cython.longlong
        if self.lazy:
            with cython.gil:
                self.core.settle_lane(self.core.o_lane[slot], self.venue_index, self.now)
        if self.earns:
            with cython.gil:
                self._earn(self.core.o_lane[slot], self.core.ledger.value_e8(self.index, ticks, lots))
        if not self.own_fees:
            return self.core.ledger.fill(account, self._leg(slot), self.core.o_side[slot], ticks, lots, liquidity)
        with cython.gil:
            fee = self._ask_fee(self.core.o_side[slot], ticks, lots, liquidity)
        self.core.ledger.fill_with_fee(account, self._leg(slot), self.core.o_side[slot], ticks, lots, fee)
        return fee

    def _ask_fee(self, side, ticks, lots, liquidity):
        """What the run's own model says. What is wrong with it stops the run (``Core.error``): no caller can raise."""
        try:
            fee = int(self.fee_model.fee_e8(side, ticks, lots, liquidity))
            if abs(fee) >= 1 << 62:
                raise OverflowError(f"fee model {type(self.fee_model).__name__}: {fee} does not fit")
            return fee
        except BaseException as error:
            self.core.fail(error)
            return 0

    def _fill_taker(self, slot, ticks, lots):
        fee: cython.longlong = self._book_fill(slot, ticks, lots, LIQ_TAKER)
        self.core.o_filled[slot] += lots
        self.resize_due = self.reduce_form == REDUCE_RESIZE
        if self.core.o_filled[slot] == self.core.o_lots[slot]:
            self.core.o_state[slot] = CLOSED
        self.core.emit(
            slot, EV_FILLED, R_NONE, ticks, lots, LIQ_TAKER, fee, CAUSE_TAKER, 0,
            self.core.ledger.last_realized_e8, self.now,
        )  # fmt: skip

    def arrive(self, slot):
        """A new order reaches the venue."""
        reason: cython.int = R_NONE
        if self.core.o_flags[slot] > FLAG_REDUCE_ONLY or self.core.o_tif[slot] == GTD or self.hedge:
            with cython.gil:
                reason = self._prepare(slot)
            if self.core.o_state[slot] != FLYING:
                return  # it waits for its trigger, or has met it
        if reason == R_NONE:
            reason = self._admit(slot)
        if reason != R_NONE:
            self._close(slot, EV_REJECTED, reason)
        else:
            self._place(slot, NEW)
            if self.resize_due:
                self._resize()

    # -- what few orders have: a good-till instant, a trigger, a size that is decided when they execute -------------

    def _prepare(self, slot):
        """The checks that only such orders need; a conditional one is held then. Returns the reject reason."""
        try:
            flags, tif = self.core.o_flags[slot], self.core.o_tif[slot]
            reason = self._choose_leg(slot)
            if reason == R_NONE and flags & FLAG_CLOSE_POSITION and not self.forms.close_position:
                reason = R_UNSUPPORTED
            if reason != R_NONE:
                return reason
            if flags & FLAG_EXPIRES or tif == GTD:
                reason = self._set_good_till(slot, self.core.expiries.pop(slot, 0))
            if reason == R_NONE and flags & FLAG_CONDITIONAL:
                return self._hold(slot, self.core.conditions.pop(slot))
            if reason == R_NONE and flags & FLAG_CLOSE_POSITION:
                self._size_to_position(slot)
            return reason
        except BaseException as error:
            self.core.fail(error)
            return R_VENUE

    def _choose_leg(self, slot):
        """Hedge mode: an order belongs to one leg and reduces it or adds to it; otherwise there are no legs."""
        flags, side = self.core.o_flags[slot], self.core.o_side[slot]
        legs = flags & (FLAG_LONG_LEG | FLAG_SHORT_LEG)
        if not self.hedge:
            return R_POSITION_SIDE if legs else R_NONE
        if legs not in (FLAG_LONG_LEG, FLAG_SHORT_LEG) or flags & FLAG_REDUCE_ONLY:
            return R_POSITION_SIDE  # which it reduces, its leg and side say
        if (legs == FLAG_LONG_LEG) == (side == SELL):
            self.core.o_flags[slot] |= FLAG_REDUCE_ONLY
        elif flags & FLAG_CLOSE_POSITION:
            return R_POSITION_SIDE
        return R_NONE

    def _size_to_position(self, slot):
        """An order to close a position is as large as that is now."""
        self.core.o_flags[slot] |= FLAG_REDUCE_ONLY
        self.core.o_lots[slot] = max(self._reducible(slot), self.min_lots)

    def _set_good_till(self, slot, wanted):
        """Put an order's end on the venue's agenda. Returns the reject reason."""
        end = self.forms.end_of(self.now, wanted)
        if end < 0:
            return -end
        number, lane = self.core.o_no[slot], self.core.o_lane[slot]
        self.good_till[slot] = end
        self.core.schedule(end, lambda ts: self._end(slot, number, lane, ts))
        return R_NONE

    def _end(self, slot, number, lane, ts):
        core = self.core
        if core.o_no[slot] != number or core.o_lane[slot] != lane or self.good_till.get(slot) != ts:
            return
        del self.good_till[slot]
        if core.o_state[slot] in (RESTING, HELD):
            self.now = ts
            self.cancel(slot, R_EXPIRED)

    def _replace_end(self, slot):
        """A replaced order must end at a later block than before: at the last one possible. Returns the reason."""
        last = self.forms.last_block(self.now)
        if self.forms.end_of(self.now, last) <= self.good_till[slot]:
            return R_EXPIRY
        return self._set_good_till(slot, last)

    def _hold(self, slot, trigger):
        """Keep a conditional order until its trigger. Returns the reject reason."""
        forms, lots = self.forms, self.core.o_lots[slot]
        sized = not self.core.o_flags[slot] & FLAG_CLOSE_POSITION
        if not forms.watches or trigger.kind not in forms.trigger_kinds:
            return R_UNSUPPORTED
        if trigger.watch == 0:
            trigger = replace(trigger, watch=forms.watches[0])
        if trigger.watch not in forms.watches or (trigger.protect and not forms.trigger_protect_e12):
            return R_UNSUPPORTED
        if sized and (lots < self.min_lots or lots > self.max_lots):
            return R_LOT_SIZE
        if self.gated:
            reason = self._check_form(slot, self.core.o_ticks[slot], lots if sized else self.min_lots)
            if reason == R_NONE:
                reason = self._find_room(slot)
            if reason != R_NONE:
                return reason
        if self.core.o_type[slot] == LIMIT and not self._reach(self.core.o_ticks[slot]):
            return R_PRICE_BAND
        rate = trigger.callback_e12
        if rate and (rate < forms.callback_min_e12 or (forms.callback_max_e12 and rate > forms.callback_max_e12)):
            return R_TRIGGER
        met = self.triggers.add(
            slot, self.core.o_lane[slot], self.core.o_side[slot], trigger, self._price_of(trigger.watch)
        )
        if forms.trigger_at_once_rejects and (met or self.triggers.starts_at_once(slot)):
            self.triggers.remove(slot)
            return R_TRIGGER
        self.held += 1
        self._arm()
        self.core.o_state[slot] = HELD
        self.core.emit(slot, EV_HELD, R_NONE, self.core.o_ticks[slot], lots, LIQ_NONE, 0, CAUSE_NONE, 0, 0, self.now)
        if met:
            self._fire_met(trigger.watch, self._price_of(trigger.watch))
        return R_NONE

    def _price_of(self, watch):
        """What triggers watch, as it stands: the last trade in ticks, mark or index at 1e-8; not positive: unknown."""
        if watch == WATCH_MARK:
            return self.mark_e8
        return self.index_price_e8 if watch == WATCH_INDEX else self.last_ticks

    def _touch(self, watch, price):
        """A watched price: ask the held orders if it lies outside the window in which none fires."""
        if price <= self.trigger_low[watch] or price >= self.trigger_high[watch]:
            with cython.gil:
                self._fire_met(watch, price)

    def _fire_met(self, watch, price):
        """Fire every held order whose trigger is met, oldest first."""
        try:
            last = price if watch == WATCH_LAST else self._price_of(WATCH_LAST)
            near = self.triggers.is_near(last, self.mark_e8, self.forms.trigger_protect_e12)
            for slot in self.triggers.met(watch, price, self.venue.valid, near):
                if self.core.o_state[slot] == HELD:
                    if self.fires_late:
                        self._fire_later(slot)
                    else:
                        self._fire(slot)
        except BaseException as error:
            self.core.fail(error)
        self._arm()
        if self.resize_due:
            self._resize()

    def _fire_later(self, slot):
        """A held order's trigger is met on a chain that matches it in the next block: it stays held until then."""
        key = (self.core.o_lane[slot], self.core.o_no[slot])
        if key not in self.late:
            self.late[key] = due = (self.now // self.block_ns + 1) * self.block_ns
            self.core.schedule(due, lambda ts: self._fire_due(slot, key, ts))

    def _fire_due(self, slot, key, ts):
        """The block after a trigger was met. The order may be canceled, or have another trigger, since."""
        if self.late.get(key) != ts:
            return
        del self.late[key]
        if (self.core.o_lane[slot], self.core.o_no[slot]) == key and self.core.o_state[slot] == HELD:
            self.now = ts
            self._fire(slot)
            if self.resize_due:
                self._resize()

    def _fire(self, slot):
        """A held order's trigger is met: it enters the market like a new one, and is checked only now."""
        if self.core.o_flags[slot] & FLAG_CLOSE_POSITION:
            self._size_to_position(slot)
        reason = self._admit(slot)
        if reason != R_NONE:
            self._close(slot, EV_REJECTED if self.forms.triggered_refusal_rejects else EV_EXPIRED, reason)
            return
        self._release(slot)
        self.core.o_state[slot] = FLYING
        self.core.emit(
            slot, EV_TRIGGERED, R_NONE, self.core.o_ticks[slot], self.core.o_lots[slot], LIQ_NONE, 0, CAUSE_NONE, 0, 0,
            self.now,
        )  # fmt: skip
        self._place(slot, TRIGGERED)

    def _release(self, slot):
        """A held order is held no more."""
        self.triggers.remove(slot)
        self.held -= 1
        self._arm()

    def _arm(self):
        for watch in range(4):
            self.trigger_low[watch], self.trigger_high[watch] = self.triggers.low[watch], self.triggers.high[watch]

    def amend_held(self, slot, ticks, lots, trigger_ticks):
        """Replace price, size and (0: not) trigger price of a held order, where the venue allows that."""
        reason = R_NONE
        if not self.forms.amend_held:
            reason = R_UNSUPPORTED
        elif lots < self.min_lots or lots > self.max_lots:
            reason = R_LOT_SIZE
        elif self.gated and self._check_form(slot, ticks, lots) != R_NONE:
            reason = self._check_form(slot, ticks, lots)
        elif self.core.o_type[slot] == LIMIT and not self._reach(ticks):
            reason = R_PRICE_BAND
        elif trigger_ticks < 0:
            reason = R_TRIGGER
        if reason != R_NONE:
            self.core.refuse(slot, EV_AMEND_REJECTED, reason, self.now)
            return
        self.core.o_ticks[slot] = ticks
        self.core.o_lots[slot] = lots
        self.core.emit(slot, EV_AMENDED, R_NONE, ticks, lots, LIQ_NONE, 0, CAUSE_NONE, 0, 0, self.now)
        if trigger_ticks:
            self.late.pop((self.core.o_lane[slot], self.core.o_no[slot]), None)
            trigger = replace(self.triggers.held[slot].trigger, ticks=trigger_ticks)
            price = self._price_of(trigger.watch)
            met = self.triggers.add(slot, self.core.o_lane[slot], self.core.o_side[slot], trigger, price)
            self._arm()
            if met:
                self._fire_met(trigger.watch, price)

    def _resize(self):
        """Positions have changed: resting reduce-only orders follow theirs down, or expire."""
        side: cython.int
        column: cython.longlong
        slot: cython.int
        after: cython.int
        final: cython.int
        self.resize_due = False
        for side in range(2):
            column = self.own_best[side]
            while column >= 0 and self.resting[side] > 0:
                slot = self.head[side * self.venue.width + column]
                if slot >= 0:
                    final = self.core.o_prev[slot]
                    while True:
                        after = self.core.o_next[slot]
                        if self.core.o_flags[slot] & FLAG_REDUCE_ONLY:
                            self._shrink(slot)
                        if slot == final:
                            break
                        slot = after
                column -= 1

    def _shrink(self, slot):
        """A resting reduce-only order is at most as large as what it can reduce; its new size is stated."""
        reducible: cython.longlong = self._reducible(slot)
        if reducible == 0:
            self._close(slot, EV_EXPIRED, R_REDUCE_ONLY)
        elif reducible < self.core.o_lots[slot] - self.core.o_filled[slot]:
            self.core.o_lots[slot] = self.core.o_filled[slot] + reducible
            self.core.emit(
                slot, EV_ACCEPTED, R_REDUCE_ONLY, self.core.o_ticks[slot], self.core.o_lots[slot], LIQ_NONE, 0,
                CAUSE_NONE, 0, 0, self.now,
            )  # fmt: skip

    def _admit(self, slot):
        """Checks before the book is looked at; returns the reject reason. Reduce-only orders are cut to size."""
        lots: cython.longlong = self.core.o_lots[slot]
        lane: cython.int = self.core.o_lane[slot]
        side: cython.int = self.core.o_side[slot]
        ticks: cython.longlong = self.core.o_ticks[slot]
        reducible: cython.longlong
        reason: cython.int
        if not self.venue.valid:
            return R_NO_BOOK
        if self.core.o_stp[slot] >= 0 and not self.stp_modes >> self.core.o_stp[slot] & 1:
            return R_UNSUPPORTED
        if self.locks and self.locked[lane]:
            return R_IN_LIQUIDATION
        if self.gated:
            reason = self._pass_gate(slot, ticks, lots)
            if reason == R_NONE:
                reason = self._find_room(slot)
            if reason != R_NONE:
                return reason
            ticks = self.gate.ticks  # a venue may move it into its band
            self.core.o_ticks[slot] = ticks
        if lots < self.min_lots or lots > self.max_lots:
            return R_LOT_SIZE
        if self.core.o_type[slot] == LIMIT and not self._reach(ticks):
            return R_PRICE_BAND
        if self.core.o_flags[slot] & FLAG_REDUCE_ONLY:
            reducible = self._reducible(slot)
            if reducible <= 0 or (reducible < lots and self.reduce_form == REDUCE_REJECT):
                return R_REDUCE_ONLY
            self.core.o_lots[slot] = min(lots, reducible)
        elif self.margin_on:
            if self.core.o_type[slot] == MARKET:
                ticks = self.venue.best_ticks(1 - side)
                if ticks == NO_PRICE:
                    return R_NO_LIQUIDITY
            return self.core.ledger.check_open(self.account[lane], self._leg(slot), side, ticks, lots, False)
        return R_NONE

    def _pass_gate(self, slot, ticks, lots):
        """The venue's own checks of an order at this price and total quantity; ``gate.ticks`` is then its price."""
        side: cython.int = self.core.o_side[slot]
        return self.gate.check(
            side, self.core.o_type[slot], self.core.o_tif[slot], self.core.o_flags[slot], ticks, lots,
            self._reducible(slot), self.mark_e8, self.index_price_e8,
            self.venue.best_ticks(1 - side),
        )  # fmt: skip

    def _check_form(self, slot, ticks, lots):
        """The part of the checks that a conditional order passes when it is placed."""
        return self.gate.check_form(
            self.core.o_side[slot], self.core.o_type[slot], self.core.o_tif[slot], self.core.o_flags[slot], ticks, lots
        )

    def _find_room(self, slot):
        """Whether one more order may be open: R_MAX_ORDERS, R_MAX_STOPS, R_CLIENT_ID, R_DUPLICATE_ID or R_NONE."""
        live: cython.Py_ssize_t = self.core.slots - self.core.free_count  # of all lanes, with what has just closed
        lane: cython.int = self.core.o_lane[slot]
        tif: cython.int = self.core.o_tif[slot]
        life: cython.int = self.core.life(slot)
        fires: cython.bint = self.core.o_state[slot] == HELD  # it is at the venue already
        held: cython.bint = (self.core.o_flags[slot] & FLAG_CONDITIONAL) != 0 and not fires
        most: cython.longlong
        if self.gate.unique != 0 and self.core.o_client[slot] != 0 and not fires:
            if self.core.o_client[slot] < 0:
                return R_CLIENT_ID
            if self._is_taken_id(slot):
                return R_DUPLICATE_ID
        if held:
            if 0 < self.gate.max_stops < live and self._count_open(lane, True, False) >= self.gate.max_stops:
                return R_MAX_STOPS
            if 0 < self.gate.max_stops_account < live and (
                self._count_open(lane, True, True) >= self.gate.max_stops_account
            ):
                return R_MAX_STOPS
        elif self.core.o_type[slot] == MARKET or tif == IOC or tif == FOK:
            return R_NONE
        elif 0 < self.gate.max_open < live and self._count_open(lane, False, False) >= self.gate.max_open:
            return R_MAX_ORDERS
        if fires or not (self.gate.open_tifs >> life) & 1:
            return R_NONE
        most = self.gate.max_open_account
        if self.gate.equity_steps > 0 or self.gate.open_per_e8 > 0:
            most = self.gate.most_open(
                self.core.ledger.equity_e8(self.account[lane], self.core.ledger.market_asset[self.index]),
                self._traded(lane),
            )
        if most < 0:
            return R_MAX_ORDERS
        if 0 < most < live and self._count_open(lane, False, True) + self._count_open(lane, True, True) >= most:
            return R_MAX_ORDERS
        if (held or self.core.o_flags[slot] & FLAG_REDUCE_ONLY) and 0 < self.gate.max_loose < live:
            if self._count_open(lane, False, True) + self._count_open(lane, True, True) >= self.gate.max_loose:
                return R_MAX_ORDERS
        return R_NONE

    def _count_open(self, lane, held, everywhere):
        """Open (or held) orders of a lane, here or in all markets of this venue."""
        slot: cython.int
        count: cython.longlong = 0
        state: cython.int = HELD if held else RESTING
        for slot in range(self.core.slots):
            if self.core.o_state[slot] == state and self.core.o_lane[slot] == lane:
                if not everywhere:
                    count += self.core.o_market[slot] == self.index
                elif self._is_here(self.core.o_market[slot]) and (self.gate.open_tifs >> self.core.life(slot)) & 1:
                    count += 1
        return count

    def _is_here(self, market):
        return self.core.venue_of[market] == self.venue_index

    def _is_taken_id(self, slot):
        """Whether the lane has another order of this client id at the venue: open, or ever where ids are for ever."""
        other: cython.int
        client: cython.longlong = self.core.o_client[slot]
        if self.gate.unique == 2:
            with cython.gil:
                return self.core.is_spent_id(self.core.o_lane[slot], self.venue_index, client)
        for other in range(self.core.slots):
            if (
                self.core.o_client[other] == client
                and other != slot
                and self.core.o_lane[other] == self.core.o_lane[slot]
            ):
                if (self.core.o_state[other] == RESTING or self.core.o_state[other] == HELD) and self._is_here(
                    self.core.o_market[other]
                ):
                    return True
        return False

    def _traded(self, lane):
        """What the account has traded in its life, as far as an allowance counts it."""
        if not self.earns:
            return 0
        with cython.gil:
            return self._volume(lane)

    def _volume(self, lane):
        return max((limit.traded_e8 for limit in self.limits[lane] if isinstance(limit, VolumeBudget)), default=0)

    def _earn(self, lane, value_e8):
        """What the account has traded here counts in the allowances that are earned by volume."""
        for limit in self.limits[lane]:
            limit.earn(value_e8)

    def _worst(self, slot, opposite):
        """The last column of the other side that the order may take."""
        if self.core.o_type[slot] == LIMIT:
            return max(self.venue.column(opposite, self.core.o_ticks[slot]), 0)
        if self.walk_ticks == 0:
            return 0
        return max(self.venue.column(opposite, self.walk_ticks), 0)

    def _crosses(self, slot):
        """Whether the order would take now, against the lane's own view of the opposite side."""
        opposite: cython.int = 1 - self.core.o_side[slot]
        best: cython.longlong = self.lane_best(self.core.o_lane[slot], opposite)
        return best >= 0 and best >= self._worst(slot, opposite)

    def would_take(self, slot, ticks):
        """Whether an order would take now at this price; a post-only one never does."""
        opposite: cython.int = 1 - self.core.o_side[slot]
        best: cython.longlong
        if self.core.o_tif[slot] == GTX or self.core.o_flags[slot] & FLAG_CONDITIONAL or not self.venue.valid:
            return False
        best = self.lane_best(self.core.o_lane[slot], opposite)
        return best >= 0 and (self.core.o_type[slot] == MARKET or best >= self.venue.column(opposite, ticks))

    def _fillable(self, slot):
        """Lots the order could take at once within its limit."""
        opposite: cython.int = 1 - self.core.o_side[slot]
        lane: cython.int = self.core.o_lane[slot]
        total: cython.longlong = 0
        column: cython.longlong = self.venue.best[opposite]
        worst: cython.longlong = self._worst(slot, opposite)
        while column >= worst:
            total += self.venue.lots[opposite * self.venue.width + column]
            total -= self._taken(lane, opposite, self.venue.ticks_at(opposite, column))
            column = self.venue.next_worse(opposite, column)
        return total

    def _place(self, slot, how):
        """An admitted order meets the book: take what it crosses, rest or expire with what is left."""
        tif: cython.int = self.core.o_tif[slot]
        kind: cython.int = self.core.o_type[slot]
        left: cython.longlong = self.core.o_lots[slot] - self.core.o_filled[slot]
        crosses: cython.bint
        mine: cython.int = -1
        stp: cython.int = STP_NONE
        if kind == MARKET:
            if self.gated:
                self.walk_ticks = self.gate.bound_ticks(
                    self.core.o_side[slot], self.mark_e8, self.index_price_e8, self.mid_of(self.venue)
                )
            if self._fillable(slot) < left:
                with cython.gil:
                    self._bring(slot)
        crosses = self._crosses(slot)
        if self.stp_on and self.resting[1 - self.core.o_side[slot]] != 0:
            mine = self._own_ahead(slot)
            if mine >= 0:
                stp = self._stp_of(slot, how == AMENDED)
        if tif == GTX and (crosses or mine >= 0):
            if not self._slide(slot, how, mine):
                return
            mine = -1
            stp = STP_NONE
            crosses = False
        if tif == FOK and not (crosses and (self.exchange == EXCHANGE_NOPARTIAL or self._fillable(slot) >= left)):
            if self.fok_reject:
                self._close(slot, EV_REJECTED if how == NEW else EV_EXPIRED, R_FOK)
                return
        if stp != STP_NONE and self._is_stopped(slot, mine, stp):
            self._close(slot, EV_REJECTED if how == NEW else EV_EXPIRED, R_STP)
            return
        self.core.emit(
            slot, EV_AMENDED if how == AMENDED else EV_ACCEPTED, R_NONE, self.core.o_ticks[slot],
            self.core.o_lots[slot], LIQ_NONE, 0, CAUSE_NONE, 0, 0, self.now,
        )  # fmt: skip
        if tif == FOK and not (crosses and (self.exchange == EXCHANGE_NOPARTIAL or self._fillable(slot) >= left)):
            self._close(slot, EV_EXPIRED, R_FOK)
            return
        if stp != STP_NONE:
            self._walk_past_own(slot, mine, stp)
        elif crosses:
            self._walk(slot)
        if self.core.o_state[slot] == CLOSED:
            return
        if kind == MARKET:
            self._close(slot, EV_EXPIRED, R_MARKET_REMAINDER)
        elif tif == IOC or tif == FOK:
            self._close(slot, EV_EXPIRED, R_IOC_REMAINDER)
        else:
            self._rest(slot)

    def _slide(self, slot, how, mine):
        """A post-only order that would take: closed as the venue does it, or (True) repriced so that it rests."""
        side: cython.int = self.core.o_side[slot]
        best: cython.longlong = self.lane_best(self.core.o_lane[slot], 1 - side)
        ticks: cython.longlong
        if self.post_only == POST_ONLY_SLIDE:
            if mine >= 0:
                best = max(best, self.core.o_column[mine])
            ticks = self.venue.ticks_at(1 - side, best) + 2 * side - 1
            if self._reach(ticks):
                self.core.o_ticks[slot] = ticks
                return True
        if self.post_only == POST_ONLY_CANCEL and how != AMENDED:
            self.core.emit(
                slot, EV_ACCEPTED, R_NONE, self.core.o_ticks[slot], self.core.o_lots[slot], LIQ_NONE, 0, CAUSE_NONE,
                0, 0, self.now,
            )  # fmt: skip
        if (self.post_only == POST_ONLY_REJECT or self.post_only == POST_ONLY_SLIDE) and how == NEW:
            self._close(slot, EV_REJECTED, R_POST_ONLY)
        else:
            self._close(slot, EV_EXPIRED, R_POST_ONLY)
        return False

    # -- self-trade prevention -----------------------------------------------------------------------------------

    def _stp_of(self, slot, amended):
        """The self-trade prevention that a taking order brings with it."""
        if self.stp_exempt >> self.core.o_tif[slot] & 1 or (amended and self.stp_lost_by_amend):
            return STP_NONE
        return self.stp if self.core.o_stp[slot] < 0 else self.core.o_stp[slot]

    def _own_ahead(self, slot):
        """The first order of the lane, in price and time, that a taking order would come to; -1 if none is in reach."""
        opposite: cython.int = 1 - self.core.o_side[slot]
        lane: cython.int = self.core.o_lane[slot]
        column: cython.longlong = self.own_best[opposite]
        worst: cython.longlong = self._worst(slot, opposite)
        others: cython.longlong = self.resting[opposite]
        other: cython.int
        first: cython.int
        while column >= worst and others > 0:
            first = self.head[opposite * self.venue.width + column]
            other = first
            while other >= 0:
                if self.core.o_lane[other] == lane:
                    return other
                others -= 1
                other = self.core.o_next[other]
                if other == first:
                    break
            column -= 1
        return -1

    def _before(self, mine):
        """Lots of others, as the lane sees them, that stand before its own resting order at that order's price."""
        side: cython.int = self.core.o_side[mine]
        ticks: cython.longlong = self.core.o_ticks[mine]
        taken: cython.longlong = self._taken(self.core.o_lane[mine], side, ticks)
        seen: cython.longlong = self.venue.level(side, ticks) - taken
        front: cython.longlong = seen
        if self.core.o_front[mine] != -1e18:
            front = cython.cast(cython.longlong, max(self.core.o_front[mine], 0.0) + 0.5) - taken
        return max(min(front, seen), 0)

    def _is_stopped(self, slot, mine, stp):
        """Whether an order may not even begin: refused by its mode, or FOK, and an own order stands in its way."""
        opposite: cython.int = 1 - self.core.o_side[slot]
        lane: cython.int = self.core.o_lane[slot]
        column: cython.longlong
        total: cython.longlong
        if stp == STP_CANCEL_MAKER or (stp != STP_REJECT_TAKER and self.core.o_tif[slot] != FOK):
            return False
        total = self._before(mine)
        column = self.venue.best[opposite]
        while column > self.core.o_column[mine]:
            total += self.venue.lots[opposite * self.venue.width + column]
            total -= self._taken(lane, opposite, self.venue.ticks_at(opposite, column))
            column = self.venue.next_worse(opposite, column)
        return total < self.core.o_lots[slot] - self.core.o_filled[slot]

    def _walk_past_own(self, slot, mine, stp):
        """As _walk, stopping at each own resting order that comes first by price and time, where the mode acts."""
        opposite: cython.int = 1 - self.core.o_side[slot]
        while mine >= 0:
            if self.exchange == EXCHANGE_NOPARTIAL:  # it finds any size at the best price
                if self.core.o_column[mine] < self.lane_best(self.core.o_lane[slot], opposite):
                    break
            else:
                self._take_down_to(slot, self.core.o_column[mine] + 1)
                self._take_level(slot, self.core.o_column[mine], self._before(mine))
            if self.core.o_state[slot] == CLOSED:
                return
            if stp != STP_CANCEL_TAKER and stp != STP_REJECT_TAKER:
                self.cancel(mine, R_STP)
            if stp != STP_CANCEL_MAKER:
                self._close(slot, EV_EXPIRED, R_STP)
                return
            mine = self._own_ahead(slot)
        if self._crosses(slot):
            self._walk(slot)

    def _bring(self, slot):
        """A market order wants more than the ladder shows: widen it over the other side's far levels, nearest first."""
        side = 1 - self.core.o_side[slot]
        left = self.core.o_lots[slot] - self.core.o_filled[slot]
        while self._fillable(slot) < left:
            hidden = [ticks for s, ticks in self.venue.far if s == side]
            nearest = (max(hidden) if side == BUY else min(hidden)) if hidden else 0
            if self.walk_ticks and (nearest < self.walk_ticks) == (side == BUY) and nearest != self.walk_ticks:
                return  # the bound lies before it
            if not hidden or not self._widen(nearest):
                return

    def _walk(self, slot):
        """Take displayed levels from the best on, each as one fill at its own price."""
        opposite: cython.int = 1 - self.core.o_side[slot]
        column: cython.longlong
        if self.exchange == EXCHANGE_NOPARTIAL:
            column = self.lane_best(self.core.o_lane[slot], opposite)
            self._fill_taker(
                slot, self.venue.ticks_at(opposite, column), self.core.o_lots[slot] - self.core.o_filled[slot]
            )
            return
        self._take_down_to(slot, self._worst(slot, opposite))

    def _take_down_to(self, slot, worst):
        """Take what the lane sees at ``worst`` and better."""
        opposite: cython.int = 1 - self.core.o_side[slot]
        column: cython.longlong = self.venue.best[opposite]
        while column >= worst and self.core.o_state[slot] != CLOSED:
            self._take_level(slot, column, NEVER)
            column = self.venue.next_worse(opposite, column)

    def _take_level(self, slot, column, most):
        """Take what the lane sees of one level, ``most`` lots of it at most."""
        opposite: cython.int = 1 - self.core.o_side[slot]
        lane: cython.int = self.core.o_lane[slot]
        ticks: cython.longlong = self.venue.ticks_at(opposite, column)
        lots: cython.longlong = self.venue.lots[opposite * self.venue.width + column]
        lots = min(lots - self._taken(lane, opposite, ticks), most)
        lots = min(lots, self.core.o_lots[slot] - self.core.o_filled[slot])
        if lots > 0:
            self._take(lane, opposite, ticks, lots)
            self._fill_taker(slot, ticks, lots)

    def _rest(self, slot):
        side: cython.int = self.core.o_side[slot]
        ticks: cython.longlong = self.core.o_ticks[slot]
        column: cython.longlong = self.venue.column(side, ticks)
        lots: cython.longlong = self.venue.lots[side * self.venue.width + column]
        self.core.o_front[slot] = lots - self._taken(self.core.o_lane[slot], side, ticks)
        if self.venue.l1_only and lots == 0 and column < self.venue.best[side]:
            self.core.o_front[slot] = -1e18
        if self.by_order:  # all of them came before us, also those that the lane took from: they are still there
            self.core.o_front[slot] = self.orders.total(side, ticks)
            self.orders.stamp += 1
            self.core.o_stamp[slot] = self.orders.stamp
        self.core.o_cum[slot] = 0
        self._reserve(slot, True, self.core.o_lots[slot] - self.core.o_filled[slot])
        self._link(slot, side, column)

    def cancel(self, slot, reason):
        self._close(slot, EV_CANCELED if reason == R_USER or reason == R_DEAD_MAN else EV_EXPIRED, reason)

    def amend(self, slot, ticks, lots):
        """Replace price and total quantity of a resting order; its place in the queue goes as the venue does it."""
        reason: cython.int = R_NONE
        left: cython.longlong = lots - self.core.o_filled[slot]
        old_ticks: cython.longlong = self.core.o_ticks[slot]
        old_left: cython.longlong = self.core.o_lots[slot] - self.core.o_filled[slot]
        if left <= 0 and not self.amend_to_filled_rejects:
            self._close(slot, EV_CANCELED, R_FILLED if self.amend_to_filled_fills else R_USER)
            return
        if ticks == old_ticks and lots == self.core.o_lots[slot]:
            reason = R_NO_CHANGE
        elif not self.venue.valid:
            reason = R_NO_BOOK
        elif self.gated:
            reason = self._pass_gate(slot, ticks, lots)
            if reason == R_NONE:
                ticks = self.gate.ticks
        if reason != R_NONE:
            pass
        elif left <= 0 or lots < self.min_lots or lots > self.max_lots:
            reason = R_LOT_SIZE
        elif self.amends_per_order != 0 and self.core.o_amends[slot] >= self.amends_per_order:
            reason = R_MAX_AMENDS
        elif not self._reach(ticks):
            reason = R_PRICE_BAND
        elif self.core.o_flags[slot] & FLAG_REDUCE_ONLY:  # the position may have shrunk since it was sent
            left = min(left, self._reducible(slot))
            if left <= 0 or (self.reduce_form == REDUCE_REJECT and self.core.o_filled[slot] + left < lots):
                reason = R_REDUCE_ONLY
            lots = self.core.o_filled[slot] + left
        if reason == R_NONE:
            reason = self._amend_refusal(slot, ticks, lots)
        if reason == R_NONE and self.core.o_flags[slot] & FLAG_EXPIRES and self.replaces:
            with cython.gil:
                reason = self._replace_end(slot)
        if reason == R_NONE and self.margin_on and not self.core.o_flags[slot] & FLAG_REDUCE_ONLY:
            self._reserve(slot, False, old_left)
            reason = self.core.ledger.check_open(
                self.account[self.core.o_lane[slot]], self._leg(slot), self.core.o_side[slot], ticks, left, False
            )
            self._reserve(slot, True, old_left)
        if reason != R_NONE:
            self.core.refuse(slot, EV_AMEND_REJECTED, reason, self.now)
            return
        self.core.o_amends[slot] += 1
        if ticks == old_ticks and self._keeps_place(slot, lots):
            self._reserve(slot, False, old_left)
            self.core.o_lots[slot] = lots
            self._reserve(slot, True, left)
            self.core.emit(slot, EV_AMENDED, R_NONE, ticks, lots, LIQ_NONE, 0, CAUSE_NONE, 0, 0, self.now)
            return
        self._unlink(slot)
        self._reserve(slot, False, old_left)
        self.core.o_state[slot] = FLYING
        self.core.o_ticks[slot] = ticks
        self.core.o_lots[slot] = lots
        self._place(slot, AMENDED)
        if self.resize_due:
            self._resize()

    def _keeps_place(self, slot, lots):
        """Whether an order amended to another size at the same price keeps its place in the queue."""
        if self.amend_priority == AMEND_SIZE_DOWN_KEEPS:
            return lots < self.core.o_lots[slot]
        return self.amend_priority == AMEND_ALWAYS_KEEPS

    def _amend_refusal(self, slot, ticks, lots):
        """Why the venue refuses the amended order although its form is right: it must rest, or meets an own order."""
        post_only: cython.bint = self.amend_must_rest
        old_ticks: cython.longlong = self.core.o_ticks[slot]
        old_lots: cython.longlong = self.core.o_lots[slot]
        mine: cython.int = -1
        reason: cython.int = R_NONE
        if self.core.o_tif[slot] == GTX and self.amend_crossing_rejects:
            post_only = True
        self.core.o_ticks[slot] = ticks
        self.core.o_lots[slot] = lots
        if self.stp_on and self.resting[1 - self.core.o_side[slot]] != 0:
            mine = self._own_ahead(slot)
        if post_only and (mine >= 0 or self._crosses(slot)):
            reason = R_POST_ONLY
        elif (
            mine >= 0
            and self._stp_of(slot, True) == STP_REJECT_TAKER
            and self._is_stopped(slot, mine, STP_REJECT_TAKER)
        ):
            reason = R_STP
        self.core.o_ticks[slot] = old_ticks
        self.core.o_lots[slot] = old_lots
        return reason

    def _reach(self, ticks):
        """Make the ladder wide enough for an own order at ``ticks``; False if no ladder could be, or it is no price."""
        column: cython.longlong
        if ticks < 1:
            return False
        if not self.venue.based:
            self.venue.set_base(ticks)
        column = self.venue.column(0, ticks)
        if column >= 0 and column < self.venue.width:
            return True
        with cython.gil:
            return self._widen(ticks)

    def _widen(self, ticks):
        width, centre = self.venue.frame()
        while width < MAX_WIDTH and abs(ticks - centre) >= width // 2 - 1:
            width *= 2
        if abs(ticks - centre) >= width // 2 - 1:
            return False
        self._rebuild(width, centre)
        return True

    def _recentre(self):
        width, centre = self.venue.frame()
        self._rebuild(width, centre)
        if not self.by_order:
            self._cross_both()

    def _rebuild(self, width, centre):
        """A ladder of ``width`` around ``centre`` with the same levels, own orders and overlays."""
        resting = []
        for side in range(2):
            for column in range(self.own_best[side], -1, -1):
                slot = self.head[side * self.venue.width + column]
                if slot < 0:
                    continue
                final = self.core.o_prev[slot]
                while True:
                    resting.append((side, int(self.venue.ticks_at(side, column)), slot))
                    if slot == final:
                        break
                    slot = self.core.o_next[slot]
        for _side, ticks, _slot in resting:
            while width < MAX_WIDTH and abs(ticks - centre) >= width // 2 - 1:
                width *= 2
        old = self.venue
        view = BookView(width, old.l1_only)
        view.valid, view.last_id, view.quotes = old.valid, old.last_id, old.quotes
        view.quote_id, view.quote_bid, view.quote_ask = old.quote_id, old.quote_bid, old.quote_ask
        view.set_base(centre)
        for side, ticks, quantity in old.levels():
            view.put(side, ticks, quantity)
        view.recentre = False
        self.venue = view
        self._set_ladder_arrays(width)
        for side, ticks, slot in resting:
            self._link(slot, side, view.column(side, ticks))
        for k in range(self.taken_count):
            column = view.column(self.taken_side[k], self.taken_ticks[k])
            cell = self.taken_side[k] * width + column
            if 0 <= column < width and not self.mark[cell] & 2:
                self.mark[cell] |= 2
                self._watch(self.taken_side[k], column)

    # -- mark, funding, liquidation ------------------------------------------------------------------------------

    def mid_of(self, view):
        """A view's mid at 1e-8, rounded down; 0 while a side is empty or the book stale."""
        if not view.valid or view.best[0] < 0 or view.best[1] < 0:
            return 0
        return mul_div(view.best_ticks(0) + view.best_ticks(1), self.tick_e8_num, 2 * self.tick_e8_den, 0)

    def set_mark(self, mark_e8):
        self.prior_mark_e8 = self.mark_e8
        self.mark_e8 = mark_e8
        self.mark_ns = self.now
        self.core.ledger.set_mark(self.index, mark_e8)
        if self.hedge:
            self.core.ledger.set_mark(self.short_index, mark_e8)
        if self.margin_on and not self.external:
            self._check_margin()
        if self.held != 0:  # a mark that liquidates cancels what it would trigger
            self._touch(WATCH_MARK, mark_e8)

    def _check_margin(self):
        lane: cython.int
        for lane in range(self.core.n_lanes):
            if self.core.ledger.position(self.account[lane], self.index) == 0 and (
                not self.hedge or self.core.ledger.position(self.account[lane], self.short_index) == 0
            ):
                continue
            if self.core.warns:
                with cython.gil:
                    self.core.warn(lane, self.venue_index, self.now)
            if self.core.ledger.is_liquidatable(self.account[lane]):
                with cython.gil:
                    self.core.liquidate(lane, self.venue_index, self.now)
                if self.reduce_form == REDUCE_RESIZE:
                    self._resize()

    def _mark_message(self, mark, rate, next_funding):
        """A recorded mark. Its rate belongs to the boundary that it names, until a message names a later one."""
        if self.funding_from_marks and next_funding > 0:
            self._announce(self.index_price_e8 if self.charges_index else mark, rate, next_funding)
        elif self.computed_mark and next_funding > 0:  # nobody is charged at it, but the mark's formula takes it
            self.kept_rate = rate
            self.next_funding = next_funding
        if mark != 0 and not self.mid_mark and not self.computed_mark:
            self.set_mark(mark)  # after the charge, which belongs to an earlier instant and counts in the margin

    def _announce(self, mark, rate, next_funding):
        """A boundary that is booked, or older than one that has passed, is never taken up again."""
        if next_funding <= self.booked:
            return
        if self.boundary != 0 and next_funding > self.boundary:
            self.book_funding(self.kept_rate, self.kept_mark, self.boundary)
        elif self.boundary != 0 and next_funding < self.boundary:
            return
        elif self.drift != 0 and 0 < self.next_funding <= self.now and next_funding != self.next_funding:
            if next_funding < self.next_funding:
                return
            self.owed = self.booked = self.next_funding  # its rate is final, its positions are those after the drift
            self.owed_rate = self.kept_rate
            self.owed_mark = self.kept_mark
        self.next_funding = next_funding
        self.kept_rate = rate
        self.kept_mark = mark
        if next_funding + self.drift <= self.now and self.boundary == 0:
            self._take_boundary(next_funding)

    def _take_boundary(self, boundary):
        lane: cython.int
        self.boundary = boundary
        for lane in range(self.core.n_lanes):
            self.boundary_lots[lane] = self.core.ledger.position(self.account[lane], self.index)
            if self.hedge:
                self.boundary_lots[self.core.n_lanes + lane] = self.core.ledger.position(
                    self.account[lane], self.short_index
                )

    def book_funding(self, rate, mark, boundary):
        """Charge the positions held at ``boundary``; positive rate: longs pay (amount is what the lane receives)."""
        lane: cython.int
        self.boundary = 0
        self.booked = boundary
        for lane in range(self.core.n_lanes):
            if self.boundary_lots[lane] != 0:
                self._charge(lane, self.index, self.boundary_lots[lane], rate, mark, boundary)
            if self.hedge and self.boundary_lots[self.core.n_lanes + lane] != 0:
                self._charge(lane, self.short_index, self.boundary_lots[self.core.n_lanes + lane], rate, mark, boundary)

    def _charged_at(self):
        """The price that payments are computed at, as of now: the mark, or the index where the venue takes that."""
        return self.index_price_e8 if self.charges_index else self.mark_e8

    def _charge_now(self, rate, mark, boundary):
        """Charge the positions of this instant (tables); a boundary that marks have announced stays pending."""
        lane: cython.int
        lots: cython.longlong
        for lane in range(self.core.n_lanes):
            lots = self.core.ledger.position(self.account[lane], self.index)
            if lots != 0:
                self._charge(lane, self.index, lots, rate, mark, boundary)
            if self.hedge:
                lots = self.core.ledger.position(self.account[lane], self.short_index)
                if lots != 0:
                    self._charge(lane, self.short_index, lots, rate, mark, boundary)

    def _charge(self, lane, leg, lots, rate, mark, boundary):
        amount: cython.longlong
        if self.external:
            return  # the venue says itself what it has charged
        if mark <= 0:
            with cython.gil:
                self.core.fail_no_mark(self.index, boundary)
            return
        amount = self.core.ledger.funding(self.account[lane], leg, lots, mark, rate)
        self.core.emit_account(lane, leg, EV_FUNDING, R_NONE, boundary, mark, lots, amount, rate, 0, 0, self.now)

    def next_internal(self):
        """The next instant at which something happens here without a message: boundary, table row, mid sample."""
        ts: cython.longlong = self.plan_ts[self.plan_at]
        if self.funding_from_marks and self.boundary == 0 and self.next_funding + self.drift > self.now:
            ts = min(ts, self.next_funding + self.drift)
        if self.owed != 0:
            ts = min(ts, self.owed + self.drift)
        return min(ts, self.mid_next)

    def do_internal(self, ts):
        mark: cython.longlong
        self.now = ts
        if self.owed != 0 and ts == self.owed + self.drift:
            self._charge_now(self.owed_rate, self.owed_mark, self.owed)
            self.owed = 0
        if self.funding_from_marks and self.boundary == 0 and ts == self.next_funding + self.drift:
            self._take_boundary(self.next_funding)  # before the other things of this instant can change a position
        if ts == self.mid_next:
            self.mid_next += SECOND_NS
            mark = self.mid_of(self.venue)
            if mark > 0:
                self.set_mark(mark)
        while self.plan_ts[self.plan_at] == ts:
            if self.plan_kind[self.plan_at] == MARK:
                self.set_mark(self.plan_a[self.plan_at])
            elif self.plan_kind[self.plan_at] == PLAN_INDEX:
                self.index_price_e8 = self.plan_a[self.plan_at]
            else:
                mark = self.plan_b[self.plan_at]
                self._charge_now(self.plan_a[self.plan_at], mark if mark else self._charged_at(), ts - self.drift)
            self.plan_at += 1

    def cancel_lane(self, lane, reason):
        """Close every resting order of a lane here, best first on each side, after its held ones."""
        for slot in self.triggers.of_lane(lane) if self.held else ():
            self.cancel(slot, reason)
        for side in range(2):
            column = self.own_best[side]
            while column >= 0 and self.resting[side] > 0:
                slots = []
                slot = self.head[side * self.venue.width + column]
                if slot >= 0:
                    final = self.core.o_prev[slot]
                    while True:
                        if self.core.o_lane[slot] == lane:
                            slots.append(slot)
                        if slot == final:
                            break
                        slot = self.core.o_next[slot]
                for slot in slots:
                    self.cancel(slot, reason)
                column -= 1

    def seen_levels(self, lane, side, limit):
        """What a lane sees of a side down to ``limit``: (ticks, lots), best first; nothing while the book is stale."""
        if not self.venue.valid:
            return []
        for far in [ticks for s, ticks in self.venue.far if s == side]:
            if far >= limit if side == BUY else far <= limit:
                self._widen(far)
        found = []
        column = self.venue.best[side]
        while column >= 0:
            ticks = self.venue.ticks_at(side, column)
            if (side == BUY and ticks < limit) or (side == SELL and ticks > limit):
                break
            lots = self.venue.lots[side * self.venue.width + column] - self._taken(lane, side, ticks)
            if lots > 0:
                found.append((ticks, lots))
            column = self.venue.next_worse(side, column)
        return found

    def take_level(self, lane, side, ticks, lots):
        self._take(lane, side, ticks, lots)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _listen_bit(kind: cython.int) -> cython.int:
    if kind == DEPTH or kind == BBO or kind == SNAPSHOT or kind >= ORDER_ADD:
        return ON_BOOK
    if kind == TRADE or kind == OFFBOOK:
        return ON_TRADE
    if kind == MARK:
        return ON_MARK
    if kind == GAP:
        return ON_GAP
    return ON_FORCE if kind == FORCE else 0


def _unseen(window, local_at):
    """The messages of a window that the client has not seen, as a window of their own."""
    from matching.feed import FeedWindow

    seen = np.sort(window.local_order[local_at:].astype(np.int64))
    refs = window.ref[seen][np.isin(window.kind[seen], AUX_KINDS)]
    past = int(refs.min()) - window.aux_base if len(refs) else len(window.aux)  # payloads of what everybody has seen
    counts = window.row_start[seen + 1] - window.row_start[seen]
    rows = np.repeat(window.row_start[seen] - (np.cumsum(counts) - counts), counts)
    rows = rows + np.arange(int(counts.sum()))
    recv = window.ts_recv[seen]
    return FeedWindow(
        ts_event=window.ts_event[seen], ts_recv=recv, kind=window.kind[seen],
        row_start=np.concatenate(([0], np.cumsum(counts))).astype(np.int64), ref=window.ref[seen],
        local_order=np.argsort(recv, kind="stable").astype(np.int32), side=window.side[rows],
        px_ticks=window.px_ticks[rows], qty_lots=window.qty_lots[rows], aux=window.aux[past:],
        aux_base=window.aux_base + past,
    )  # fmt: skip


class Core:
    """All markets and lanes of one run. See the module's theory of operation; the rules of filling are docs/fills.md.

    Errors: ValueError for impossible configuration; OverflowError when an amount left 64 bits; whatever a Python
    model raised. They surface from ``advance``.
    """

    def __init__(self, n_markets, n_lanes, ledger, seed=0):
        if n_markets < 1 or n_lanes < 1:
            raise ValueError(f"core: needs at least one market and one lane, got {n_markets} and {n_lanes}")
        self.n_markets, self.n_lanes = n_markets, n_lanes
        self.ledger = ledger
        self.seed = seed
        self.markets = [None] * n_markets
        self.only = None
        self.now = self.horizon = self.reach = 0
        self.delay = self.lag = 0
        self.outbox, self.ended_orders, self.guard = [], {}, None
        self.agenda, self.agenda_no, self.agenda_next = [], 0, NEVER
        self.settings_sent = {}
        self.stream, self.stream_next = [], NEVER
        self.procedures, self.transfers, self.warns = {}, [], False
        self.lane_forced = [0] * n_lanes
        self.error = None
        self.conditions, self.expiries, self.new_triggers = {}, {}, {}
        self._no_orders()
        self._grow_slots()
        self._grow_requests(64)
        self.pv_first = self.pv_end = 0
        self.pv_mask = 63
        self.pv_ts = _view(np.zeros(64, dtype=np.int64))
        self.pv_row = _view(np.zeros(64, dtype=np.int64))
        self.log_rows = self.log_base = 0
        self.log_capacity = 0
        self._log_owner, self._log_spare = np.zeros(0, dtype=np.int64), None
        self._grow_log()
        self.lane_mask = _view(np.zeros(n_lanes * n_markets, dtype=np.uint8))
        self.lane_private = _view(np.zeros(n_lanes, dtype=np.uint8))
        self.lane_seq = _view(np.zeros(n_lanes, dtype=np.int64))
        self.private_lanes = 0
        self.market_mask = _view(np.zeros(n_markets, dtype=np.uint8))
        self.lane_accounts = [None] * n_lanes
        self.venue_of = _view(np.zeros(n_markets, dtype=np.int32))
        self.away = _view(np.zeros(n_markets, dtype=np.uint8))
        self.spent_ids, self.dead_men = set(), {}
        self.blocks = self.batching = False
        self.batch, self.batch_no, self.refused_batch = [], 0, 0
        self.next_batch = self.next_rank = 0
        self.msg_market = -1
        self.ev_release = -1
        self.bbo_every = self.account_every = 0
        self.bbo_next = self.account_next = NEVER
        self.bbo_samples, self.account_samples, self.position_samples = [], [], []
        self.fills = self.rejects = self.orders = 0
        self.lane_fills = _view(np.zeros(n_lanes, dtype=np.int64))
        self.lane_orders = _view(np.zeros(n_lanes, dtype=np.int64))
        self.lane_rejects = _view(np.zeros(n_lanes, dtype=np.int64))

    def _no_orders(self):
        """Empty columns, so that growing them is all there is to making them."""
        none32, none64 = _wider((), 0), _wider((), 0, np.int64)
        self.slots = self.free_count = 0
        self.o_lane = self.o_market = self.o_side = self.o_tif = self.o_type = self.o_flags = none32
        self.o_state = self.o_next = self.o_prev = self.o_seq = self.o_requests = self.free_slots = none32
        self.o_amends = self.o_stp = none32
        self.o_no = self.o_ticks = self.o_lots = self.o_filled = self.o_column = self.o_cum = self.o_sent = none64
        self.o_deliver = self.o_stamp = self.o_client = none64
        self.o_front = _wider((), 0, np.float64)
        self.rq_first = self.rq_end = self.rq_free_count = 0
        self.rq_mask = -1
        self.rq_ts = self.rq_no = self.rq_ticks = self.rq_lots = self.rq_sent = self.rq_arrived = none64
        self.rq_kind = self.rq_slot = self.rq_request = self.rq_market = self.rq_lane = none32
        self.rq_rank = self.rq_batch = self.rq_bumped = none32
        self.rq_queue = self.rq_free = none32
        self.o_sent_last = 0
        self.refused_request = 0

    # -- configuration -------------------------------------------------------------------------------------------

    def configure_lane(self, lane, accounts):
        """Ledger account of a lane at each venue (list by venue index)."""
        self.lane_accounts[lane] = list(accounts)
        self.account_of = _view(np.zeros(self.n_lanes * self.n_markets, dtype=np.int64))

    def configure_market(
        self, market, venue=0, queue_model=QUEUE_RISK_AVERSE, queue_param=1.0, exchange=EXCHANGE_PARTIAL,
        l1_only=False, mark_source=MARK_RECORDED, post_only_reject=False, fok_reject=False, min_lots=1,
        max_lots=(1 << 31) - 1, window_ticks=1 << 20, custom_queue=None, margin=False, funding_from_marks=False,
        tick_e8=(1, 1), fee_model=None, forms=None, by_order=False,
    ):  # fmt: skip
        """Describe one market; lanes must be configured before. ``tick_e8`` = (num, den) of one tick at mark scale.

        ``fee_model``: an object with ``fee_e8(side, ticks, lots, liquidity) -> int`` instead of the ledger's rates.
        ``forms``: an ``OrderForms``, how the venue treats orders; a bare matching engine's if None.
        ``by_order``: the feed names every order (ORDER_* messages); queues are exact and no queue model is asked.
        """
        if any(accounts is None for accounts in self.lane_accounts):
            raise ValueError("core: configure every lane before the markets")
        options = {
            "queue_model": queue_model, "queue_param": queue_param, "exchange": exchange, "l1_only": l1_only,
            "mark_source": mark_source, "post_only_reject": post_only_reject, "fok_reject": fok_reject,
            "min_lots": min_lots, "max_lots": max_lots, "window_ticks": window_ticks, "custom_queue": custom_queue,
            "margin": margin, "funding_from_marks": funding_from_marks, "tick_e8": tick_e8,
            "fee_model": fee_model, "forms": forms, "by_order": by_order,
        }  # fmt: skip
        account = [accounts[venue] for accounts in self.lane_accounts]
        for lane in range(self.n_lanes):
            self.account_of[lane * self.n_markets + market] = account[lane]
        self.markets[market] = Market(self, market, venue, account, options)
        self.venue_of[market] = venue
        self.only = self.markets[0] if self.n_markets == 1 else None

    def set_gate(self, market, gate, limits=None):
        """The venue's own checks of a market (``matching.gate.Gate`` or None), and per lane a list of ``Limit``."""
        found: Market = self._market(market)
        found.gate = gate
        found.gated = gate is not None
        found.limits = limits
        found.limited = limits is not None and any(limits)
        found.earns = found.limited and any(isinstance(limit, VolumeBudget) for mine in limits for limit in mine)

    def set_blocks(self, market, block_ns, ranks=(0, 0, 0), held_tifs=0, fires_late=False):
        """An on-chain market: requests take effect at the next whole multiple of ``block_ns`` after they arrive.

        Inside a block they go by rank, then by arrival. ``ranks``: of post-only orders (and what is neither), of
        cancels, and of orders that may take; an amendment has its order's rank, a batch that of its last member.
        ``held_tifs``: bits of the times in force (see ``life``) whose new orders meet the book a block later than they
        are in one; ``fires_late``: conditional ones do so in the block after the one that met their trigger.
        """
        found: Market = self._market(market)
        found.block_ns = block_ns
        found.rank_post, found.rank_cancel, found.rank_take = ranks
        found.held_tifs = held_tifs
        found.fires_late = fires_late and block_ns > 0
        self.blocks = self.blocks or block_ns > 0

    def set_speed_bump(self, market, bump_ns):
        """Orders that would take when they arrive wait that long before they meet the book."""
        found: Market = self._market(market)
        found.bump_ns = bump_ns

    def set_client_id(self, slot, client):
        """The client id of an order just sent, as a number above 0; -1: one that has not the venue's form."""
        self.o_client[slot] = client

    def is_spent_id(self, lane, venue, client):
        """Whether the lane has used this client id at the venue; it has from now on."""
        key = (lane, venue, client)
        spent = key in self.spent_ids
        self.spent_ids.add(key)
        return spent

    def set_latency(self, venue, entry, response):
        """Order entry and response latency of every market of a venue (LatencyTable)."""
        for market in self.markets:
            if market is None:
                raise ValueError("core: configure every market before the latencies")
            if self._market(market.index).venue_index == venue:
                self._set_latency(self._market(market.index), entry, response)

    def _set_latency(self, market, entry, response):
        if min(response.values) < 0:
            raise ValueError("core: a response latency cannot be negative (only a request can be refused)")
        market.entry = entry
        market.response = response
        entry.core = self
        response.core = self

    def set_plan(self, market, ts_ns, kind, a, b):
        """Marks and funding from tables, sorted by time (see Market.set_plan)."""
        self._market(market).set_plan(ts_ns, kind, a, b)

    def set_window(self, market, window, last):
        """Give the next stretch of a market's feed; ``last`` if no other follows."""
        self._market(market).set_window(window, last)
        if self.bbo_next == NEVER and self.bbo_every and len(window):
            self.bbo_next = (int(window.ts_event[0]) // self.bbo_every + 1) * self.bbo_every
        if self.account_next == NEVER and self.account_every and len(window):
            self.account_next = (int(window.ts_event[0]) // self.account_every + 1) * self.account_every

    def listen(self, lane, market, mask):
        """What wakes a lane: ON_* bits of one market; ON_PRIVATE counts for all its markets."""
        self.lane_mask[lane * self.n_markets + market] = mask & ~ON_PRIVATE
        self.market_mask[market] = 0
        for other in range(self.n_lanes):
            self.market_mask[market] = self.market_mask[market] | self.lane_mask[other * self.n_markets + market]
        if mask & ON_PRIVATE and not self.lane_private[lane]:
            self.lane_private[lane] = 1
            self.private_lanes += 1
        self._reset_listening(market)

    def _reset_listening(self, market):
        found: Market = self._market(market)
        found.listen_at = found.local_at

    def listens(self, lane, market, bit):
        return (self.lane_mask[lane * self.n_markets + market] & bit) != 0

    def sample_every(self, bbo_ns, account_ns):
        """Sample best quotes and marks, and accounts and positions, at whole multiples (venue time); 0 = never."""
        self.bbo_every, self.account_every = bbo_ns, account_ns

    def _market(self, index):
        if self.only is not None:
            return self.only
        return self.markets[index]

    # -- the run -------------------------------------------------------------------------------------------------

    def advance(self, until_ns):
        """Run to ``until_ns`` or to the first instant before it at which somebody must be woken; returns WAKE_*.

        On return ``now`` is that instant, everything the venue stamped up to it has happened, and the client view
        holds every message received by then (at WAKE_PRIVATE: received before; at WAKE_MARKET: up to that message).
        """
        h: cython.longlong = until_ns
        end: cython.longlong = 0
        ended: cython.bint = True
        k: cython.Py_ssize_t
        market: Market
        if self.error is not None:
            raise self.error
        for k in range(self.n_markets):
            market = self._market(k)
            ended = ended and market.last
            end = max(end, market.max_recv)
            h = min(h, market.next_listened())
        h = min(h, self.stream_next)
        if ended:
            h = min(h, end)
        h = max(min(h, self._next_private()), self.now)
        self.horizon = h
        self.reach = h - self.lag
        if self._run_venue() == NEED_DATA:
            self._run_clients_behind()
            return NEED_DATA
        if self.error is not None:
            raise self.error
        if self.ledger.failed:
            raise OverflowError(
                f"ledger: an amount left 64 bits (code {self.ledger.failed}, account {self.ledger.failed_account}, "
                f"market {self.ledger.failed_market}) before {self.horizon} ns"
            )
        h = self.horizon
        self.now = h
        if self._next_private() <= h:
            for k in range(self.n_markets):
                self._market(k).run_local(h - 1, False)
            return WAKE_PRIVATE
        return self._run_clients(until_ns, end, ended)

    def _run_clients_behind(self):
        """Where a window is used up, let the client see what nothing still unknown can precede."""
        k: cython.Py_ssize_t
        market: Market
        for k in range(self.n_markets):
            market = self._market(k)
            if market.size > 0 and market.venue_at >= market.size:
                market.run_local(min(self.horizon - 1, market.ts_event[market.size - 1]), False)

    def _run_clients(self, until_ns, end, ended):
        k: cython.Py_ssize_t
        market: Market
        woken: cython.int = -1
        for k in range(self.n_markets):
            market = self._market(k)
            if market.run_local(self.now if woken < 0 else self.now - 1, woken < 0) and woken < 0:
                woken = k  # messages of later markets at this instant come after it, whoever listens to them
        if woken >= 0:
            self._show_message(self._market(woken))
            return WAKE_MARKET
        if self.stream_next <= self.now:
            self._show_published()
            return WAKE_MARKET
        if ended and self.now >= end and self.now < until_ns:
            return WAKE_END
        return WAKE_TIME

    def _show_message(self, market):
        found: Market = market
        j: cython.Py_ssize_t = found.local_order[found.local_at - 1]
        self.msg_market = found.index
        self.msg_at = j
        self.msg_kind = found.client_kind[j]
        self.msg_ts_event = found.client_event[j]
        self.msg_ts_recv = found.ts_recv[j]
        self.msg_ref = found.client_ref[j]
        self.msg_rows = found.client_row_start[j + 1] - found.client_row_start[j]

    def _show_published(self):
        """Wake for what a venue has published of its own accord: to the loop it is a mark message without rows."""
        ts_recv, _number, self.msg_market, ts = heapq.heappop(self.stream)
        self.stream_next = self.stream[0][0] if self.stream else NEVER
        self.msg_kind = MARK
        self.msg_at = 0
        self.msg_ts_event, self.msg_ts_recv = ts, ts_recv
        self.msg_ref = self.msg_rows = 0
        self._receive_published(self._market(self.msg_market), ts_recv)

    def msg_side(self, k):
        market: Market = self._market(self.msg_market)
        return market.client_side[market.client_row_start[self.msg_at] + k]

    def msg_ticks(self, k):
        market: Market = self._market(self.msg_market)
        return market.client_ticks[market.client_row_start[self.msg_at] + k]

    def msg_lots(self, k):
        market: Market = self._market(self.msg_market)
        return market.client_lots[market.client_row_start[self.msg_at] + k]

    def msg_aux(self, column):
        market: Market = self._market(self.msg_market)
        return market.client_aux[self.msg_ref - market.client_aux_base, column]

    def _run_venue(self):
        """Everything at the venues up to ``reach``, in one order: internal events, market data, own requests."""
        limit: cython.longlong
        request: cython.longlong
        internal: cython.longlong
        is_due: cython.bint
        while True:
            request = self._next_request()
            internal = self._next_internal()
            limit = min(self.reach, request)
            is_due = internal <= limit
            if is_due:
                limit = internal - 1
            if self._run_data(limit) == NEED_DATA:
                return NEED_DATA
            if self.reach < limit or self._next_internal() < internal:
                continue  # an answer will be due, or a boundary became known, before that
            if is_due:
                self._do_internal(internal)
            elif request == limit:
                self._do_request()
            else:
                return 0

    def _run_data(self, limit):
        market: Market
        best: Market
        k: cython.Py_ssize_t
        first: cython.longlong
        stop: cython.longlong
        ts: cython.longlong
        if self.only is not None:
            if self.only.venue_at < self.only.size and self.only.ts_event[self.only.venue_at] <= limit:
                with cython.nogil:
                    self.only.run(limit)
            if self.only.venue_at >= self.only.size and self.reach >= limit and self._is_unknown(self.only, limit):
                return NEED_DATA
            return 0
        while self.reach >= limit:
            best = None
            first = NEVER
            stop = limit
            for k in range(self.n_markets):
                market = self._market(k)
                if market.venue_at >= market.size:
                    if self._is_unknown(market, limit):
                        return NEED_DATA
                    continue
                ts = market.ts_event[market.venue_at]
                if ts < first:
                    if best is not None:
                        stop = min(stop, first - 1)
                    first = ts
                    best = market
                else:
                    stop = min(stop, ts)
            if best is None or first > limit:
                return 0
            best.run(max(stop, first))
            limit = min(limit, min(best.next_internal(), self.agenda_next) - 1)
        return 0

    def _is_unknown(self, market, limit):
        """Whether a market whose window is used up may have messages up to ``limit`` that have not been given."""
        found: Market = market
        return not found.last and limit > found.complete

    def needs(self):
        """Indices of the markets that wait for their next window."""
        out = []
        for k in range(self.n_markets):
            market: Market = self._market(k)
            if market.venue_at >= market.size and not market.last:
                out.append(k)
        return out

    def _next_internal(self):
        k: cython.Py_ssize_t
        ts: cython.longlong = min(min(self.bbo_next, self.account_next), self.agenda_next)
        if self.only is not None:
            return min(ts, self.only.next_internal())
        for k in range(self.n_markets):
            ts = min(ts, self._market(k).next_internal())
        return ts

    def _do_internal(self, ts):
        k: cython.Py_ssize_t
        market: Market
        for k in range(self.n_markets):
            market = self._market(k)
            if market.next_internal() == ts:
                market.do_internal(ts)
        if self.agenda_next == ts:
            self._do_agenda(ts)
        if self.bbo_next == ts:
            self.bbo_next += self.bbo_every
            for k in range(self.n_markets):
                market = self._market(k)
                if market.venue.valid:
                    self.bbo_samples.append(
                        (ts, k, market.venue.best_ticks(0), market.venue.best_ticks(1), market.mark_e8)
                    )
        if self.account_next == ts:
            self.account_next += self.account_every
            self.sample_accounts(ts)

    def schedule(self, ts, callback):
        """Have the venue's side call ``callback(ts)`` at ``ts`` (venue time), before market data of that instant.

        What a venue does of its own accord goes on this agenda: samples of its index, cooldowns, blocks, expiries. At
        one instant callbacks run in the order in which they were scheduled, after funding boundaries and table rows.
        """
        self.agenda_no += 1
        heapq.heappush(self.agenda, (int(ts), self.agenda_no, callback))
        self.agenda_next = self.agenda[0][0]

    def _do_agenda(self, ts):
        """What is due now, and what that puts on the agenda for now. An error stops the run: no caller can raise."""
        try:
            while self.agenda and self.agenda[0][0] <= ts:
                heapq.heappop(self.agenda)[2](ts)
        except BaseException as error:
            self.fail(error)
            self.agenda.clear()
        self.agenda_next = self.agenda[0][0] if self.agenda else NEVER

    # -- what the venue computes of its own accord (sim/pricing.py); ``ts`` is the instant of the agenda

    def configure_pricing(
        self, market, computed_mark=False, computed_funding=False, charges_index=False, lazy=False, drift=0
    ):
        """How a market's mark and funding arise, after ``configure_market``.

        ``computed_mark``, ``computed_funding``: what its mark messages say of it is ignored, ``set_mark``, ``charge``
        and ``publish`` say it. ``charges_index``: payments are computed at the index of the mark messages. ``lazy``:
        accrued funding is booked when the account trades. ``drift``: boundaries are charged so many ns late.
        """
        found: Market = self._market(market)
        if drift < 0:
            raise ValueError(f"core: funding cannot be charged before its boundary, got a drift of {drift} ns")
        found.computed_mark, found.computed_funding = computed_mark, computed_funding
        found.charges_index, found.lazy, found.drift = charges_index, lazy, drift

    def set_mark(self, market, mark_e8, ts):
        """The venue's mark from now on: accounts below their maintenance margin are liquidated."""
        found: Market = self._market(market)
        found.now = ts
        found.set_mark(mark_e8)

    def charge(self, market, rate_e12, price_e8, boundary, ts):
        """Charge the positions of this instant for a boundary; positive rate: longs pay."""
        found: Market = self._market(market)
        found.now = ts
        found._charge_now(rate_e12, price_e8, boundary)

    def accrue(self, market, rate_e12, price_e8, num, den):
        """Let funding accrue on all positions: it counts in equity at once, ``settle`` books it."""
        found: Market = self._market(market)
        for lane in range(self.n_lanes):
            for leg in self._legs(market):
                lots = self.ledger.position(found.account[lane], leg)
                if lots != 0:
                    self.ledger.accrue(found.account[lane], leg, lots, price_e8, rate_e12, num, den)

    def _legs(self, market):
        """The ledger's markets of a market's positions."""
        found: Market = self._market(market)
        return (market, found.short_index) if found.hedge else (market,)

    def settle(self, market, ts):
        """Book what has accrued in a market, for all lanes."""
        for lane in range(self.n_lanes):
            self._settle_one(lane, market, ts)

    def settle_lane(self, lane, venue, ts):
        """Book what has accrued in all markets of a lane's account at a venue."""
        for market in range(self.n_markets):
            if self._market(market).venue_index == venue:
                self._settle_one(lane, market, ts)

    def _settle_one(self, lane, market, ts):
        found: Market = self._market(market)
        for leg in self._legs(market):
            lots = self.ledger.position(found.account[lane], leg)
            amount = self.ledger.settle(found.account[lane], leg)
            if amount != 0:
                self.emit_account(lane, leg, EV_FUNDING, R_NONE, ts, found._charged_at(), lots, amount, 0, 0, 0, ts)

    def publish(self, market, mark_e8, index_e8, rate_e12, next_funding, ts):
        """The venue's stream says this at ``ts`` (0: nothing of it); clients know a response latency later."""
        found: Market = self._market(market)
        visible = ts + max(self._response_of(found, ts, 0, ts), self.delay)
        if found.published:
            visible = max(visible, found.published[len(found.published) - 1][0])
        found.published.append((visible, mark_e8, index_e8, rate_e12, next_funding))
        if self.market_mask[market] & ON_MARK:
            self.agenda_no += 1
            heapq.heappush(self.stream, (visible, self.agenda_no, market, ts))
            self.stream_next = self.stream[0][0]
            self.horizon = min(self.horizon, visible)
            self.reach = self.horizon - self.lag
        else:
            self._receive_published(found, ts)  # so that what nobody reads does not pile up

    def _receive_published(self, market, ts):
        found: Market = market
        done = 0
        for visible, mark_e8, index_e8, rate_e12, next_funding in found.published:
            if visible > ts:
                break
            done += 1
            if found.computed_mark:
                found.local_mark_e8 = mark_e8 if mark_e8 else found.local_mark_e8
            found.local_index_e8 = index_e8 if index_e8 else found.local_index_e8
            if next_funding:
                found.local_rate_e12, found.local_next_funding = rate_e12, next_funding
        if done:
            del found.published[:done]

    def venue_index_e8(self, market):
        """The index of the last mark message at the venue, 0 before the first."""
        found: Market = self._market(market)
        return found.index_price_e8

    def announced(self, market):
        """(rate_e12, boundary) that the venue's mark messages name now, zeros before the first."""
        found: Market = self._market(market)
        return found.kept_rate, found.next_funding

    def venue_mark_e8(self, market):
        """The venue's mark, 0 before the first."""
        found: Market = self._market(market)
        return found.mark_e8

    def last_ticks(self, market):
        """The price of the last trade at the venue, NO_PRICE before the first."""
        found: Market = self._market(market)
        return found.last_ticks

    def venue_side(self, market, side, count):
        """As ``levels`` of the venue's book; empty while it is stale."""
        found: Market = self._market(market)
        return self._levels_of(found.venue, side, count)

    def sample_accounts(self, ts):
        """Add one sample of every account and position, stamped ``ts``."""
        ledger = self.ledger
        for lane in range(self.n_lanes):
            for account in dict.fromkeys(self.lane_accounts[lane]):
                for asset in range(ledger.n_assets):
                    self.account_samples.append((
                        ts, lane, account, asset, ledger.wallet(account, asset), ledger.equity_e8(account, asset),
                        ledger.maintenance_e8(account, asset),
                    ))  # fmt: skip
            for k in range(self.n_markets):
                market: Market = self._market(k)
                lots = sum(ledger.position(market.account[lane], leg) for leg in self._legs(k))
                self.position_samples.append((ts, lane, k, lots, market.mark_e8))

    # -- commands ------------------------------------------------------------------------------------------------

    def submit(self, lane, market, order_no, side, ticks, lots, tif, type, flags):
        """Send an order now; returns its slot. ``order_no`` must be new within the lane, ``lots`` positive."""
        slot: cython.int
        found: Market = self._market(market)
        if self.free_count == 0:
            self._grow_slots()
        self.free_count -= 1
        slot = self.free_slots[self.free_count]
        self.o_lane[slot] = lane
        self.o_market[slot] = market
        self.o_no[slot] = order_no
        self.o_side[slot] = side
        self.o_ticks[slot] = ticks
        self.o_lots[slot] = lots
        self.o_filled[slot] = 0
        self.o_tif[slot] = tif
        self.o_type[slot] = type
        self.o_flags[slot] = flags
        self.o_state[slot] = FLYING
        self.o_seq[slot] = 0
        self.o_requests[slot] = 0
        self.o_amends[slot] = 0
        self.o_stp[slot] = -1
        self.o_sent[slot] = self.now
        self.o_deliver[slot] = 0
        self.o_front[slot] = 0.0
        self.o_cum[slot] = 0
        self.o_client[slot] = 0
        self.orders += 1
        self.lane_orders[lane] += 1
        if self.guard is not None:
            reason: cython.int = self._ask_guard(slot, ticks, lots, False)
            if reason != R_NONE:
                self._refuse_at_once(slot, reason)
                return slot
        if self.batching:
            self.batch.append((SUBMIT, slot, order_no, 0, 0))
            return slot
        if found.external:
            self.outbox.append((SUBMIT, lane, market, slot, order_no, ticks, lots, 0, 0))
            return slot
        delay: cython.longlong = found.entry.get(self.now, self.seed, market, order_no, 0)
        if delay < 0:
            self._refuse_sending(slot, -delay)
        else:
            self._queue_request(self.now + delay, SUBMIT, slot, order_no, 0, 0)
        return slot

    def set_stp(self, slot, mode):
        """Give an order just submitted a self-trade prevention of its own (STP_*)."""
        if mode < STP_NONE or mode > STP_REJECT_TAKER:
            raise ValueError(f"order {self.o_no[slot]}: no such self-trade prevention {mode}")
        self.o_stp[slot] = mode

    def set_trigger(self, slot, trigger):
        """Make an order just submitted a conditional one: the venue holds it until its ``Trigger`` is met."""
        if not isinstance(trigger, Trigger):
            raise TypeError(f"order {self.o_no[slot]}: expected a Trigger, not {trigger!r}")
        if self.o_state[slot] == FLYING:
            self.o_flags[slot] |= FLAG_CONDITIONAL
            self.conditions[slot] = trigger
            if self.blocks and not self.batching:
                self._rank_again(slot)

    def set_expiry(self, slot, ts):
        """Give an order just submitted the instant (or the block by its time) that it is good till."""
        if self.o_state[slot] == FLYING:
            self.o_flags[slot] |= FLAG_EXPIRES
            self.expiries[slot] = int(ts)
            if self.blocks and not self.batching:
                self._rank_again(slot)

    def _ask_guard(self, slot, ticks, lots, amends):
        """What the run's own limits say of an order that is about to leave."""
        return self.guard.order(
            self.o_lane[slot], self.o_market[slot], self.o_no[slot], self.o_side[slot], ticks, lots,
            self.o_type[slot], self.o_flags[slot], bool(amends),
        )  # fmt: skip

    def _refuse_at_once(self, slot, reason):
        self._forget(slot)
        self.o_state[slot] = CLOSED
        self.refused_at = self.now
        self.emit(slot, EV_REJECTED, reason, self.o_ticks[slot], self.o_lots[slot], LIQ_NONE, 0, CAUSE_NONE, 0, 0, -1)

    def _refuse_sending(self, slot, delay):
        """A recorded latency says that the venue refused the request after ``delay``."""
        self._forget(slot)
        self.o_state[slot] = CLOSED
        self.refused_at = self.now + delay
        self.emit(
            slot, EV_REJECTED, R_LATENCY, self.o_ticks[slot], self.o_lots[slot], LIQ_NONE, 0, CAUSE_NONE, 0, 0, -1
        )

    def _forget(self, slot):
        """An order is refused before the venue has looked at its trigger and its end."""
        if self.o_flags[slot] > FLAG_REDUCE_ONLY:
            self.conditions.pop(slot, None)
            self.expiries.pop(slot, None)

    def open_batch(self):
        """Gather what is asked for until ``close_batch`` into one request of each kind."""
        self.batching = True

    def close_batch(self):
        """Send what was gathered: new orders, cancels and amendments each as one request, which travels as one.

        The venue goes through it one by one: some may fail. Its latency is drawn for its first member.
        """
        self.batching = False
        gathered, self.batch = self.batch, []
        for kind in (SUBMIT, CANCEL, AMEND):
            mine = [item for item in gathered if item[0] == kind]
            if mine:
                self._send_batch(kind, mine)

    def _send_batch(self, kind, mine):
        _, slot, number, _, _ = mine[0]
        found: Market = self._market(self.o_market[slot])
        if found.external:
            self.batch_no += 1
            for _, slot, number, ticks, lots in mine:
                self.outbox.append((
                    kind, self.o_lane[slot], self.o_market[slot], slot, number, ticks or self.o_ticks[slot],
                    lots or self.o_lots[slot], self.o_requests[slot], self.batch_no,
                ))  # fmt: skip
            return
        leg = 0 if kind == SUBMIT else 2 * self.o_requests[slot]
        delay = found.entry.get(self.now, self.seed, found.index, number, leg)
        if kind == SUBMIT and delay < 0:
            for item in mine:
                self._refuse_sending(item[1], -delay)
            return
        rank = max(self._rank(kind, item[1]) for item in mine)
        self.batch_no += 1
        for place, (_, slot, number, ticks, lots) in enumerate(mine):
            self.next_rank = rank
            self.next_batch = -self.batch_no if place else self.batch_no
            self._queue_request(self.now + abs(delay), kind, slot, number, ticks, lots)

    def _rank(self, kind, slot):
        """The class of a request inside its block; what is about no order goes first."""
        if slot < 0:
            return 0
        found: Market = self._market(self.o_market[slot])
        if kind == CANCEL:
            return found.rank_cancel
        if self.o_tif[slot] == GTX or self.o_flags[slot] & FLAG_CONDITIONAL:
            return found.rank_post
        return found.rank_take

    def cancel(self, lane, slot, order_no):
        self._follow_up(CANCEL, lane, slot, order_no, 0, 0)

    def amend(self, lane, slot, order_no, ticks, lots):
        """Ask for a new price and a new total quantity (filled part included)."""
        self._follow_up(AMEND, lane, slot, order_no, ticks, lots)

    def amend_trigger(self, lane, slot, order_no, ticks, lots, trigger_ticks):
        """As ``amend``, of an order that is held, with a new trigger price."""
        self._follow_up(AMEND, lane, slot, order_no, ticks, lots)
        self.new_triggers[lane, order_no, self.o_requests[slot]] = trigger_ticks

    def change_setting(self, lane, market, kind, value):
        """Ask the venue to change a setting of the lane's account in a market (SETTING_*, value as codes.py says).

        The request takes as long as an order; the answer is EV_SETTING or EV_SETTING_REJECTED with the reason.
        """
        found: Market = self._market(market)
        number = self.settings_sent[lane] = self.settings_sent.get(lane, 0) + 1
        if found.external:
            self.outbox.append((ASK, lane, market, -1, number, kind, value, 0, 0))
            return
        delay: cython.longlong = found.entry.get(self.now, self.seed, market, 0, 2 * number)
        self._queue_ask(self.now + abs(delay), lane, market, kind, value, delay < 0)

    def _follow_up(self, kind, lane, slot, order_no, ticks, lots):
        delay: cython.longlong
        if self.o_no[slot] != order_no or self.o_lane[slot] != lane or self.o_state[slot] == FREE:
            raise ValueError(f"lane {lane}: order {order_no} is closed, it cannot be canceled or amended")
        self.o_requests[slot] += 1
        if kind == AMEND and self.guard is not None:
            refused: cython.int = self._ask_guard(slot, ticks, lots, True)
            if refused != R_NONE:
                self.refused_at = self.now
                self.emit_refused(
                    lane, self.o_market[slot], slot, order_no, EV_AMEND_REJECTED, refused, self.now, -1,
                    self.o_requests[slot],
                )  # fmt: skip
                return
        if self.batching:
            self.batch.append((kind, slot, order_no, ticks, lots))
            return
        found: Market = self._market(self.o_market[slot])
        if found.external:
            self.outbox.append((kind, lane, self.o_market[slot], slot, order_no, ticks, lots, self.o_requests[slot], 0))
            return
        delay = found.entry.get(self.now, self.seed, self.o_market[slot], order_no, 2 * self.o_requests[slot])
        self._queue_request(self.now + (delay if delay >= 0 else -delay), kind, slot, order_no, ticks, lots)

    def _queue_request(self, ts, kind, slot, order_no, ticks, lots):
        """Insert by arrival, after those already due at the same time."""
        i: cython.int
        if self.rq_free_count == 0:
            self._grow_requests(2 * (self.rq_mask + 1))
        self.rq_free_count -= 1
        i = self.rq_free[self.rq_free_count]
        self.rq_ts[i] = ts
        self.rq_kind[i] = kind
        self.rq_slot[i] = slot
        self.rq_no[i] = order_no
        self.rq_ticks[i] = ticks
        self.rq_lots[i] = lots
        self.rq_sent[i] = self.now
        self.rq_request[i] = self.o_requests[slot]
        self.rq_market[i] = self.o_market[slot]
        self.rq_lane[i] = self.o_lane[slot]
        self._enqueue(i, ts)

    def _enqueue(self, i, ts):
        """Put a request whose columns are filled in its place."""
        k: cython.Py_ssize_t
        self.rq_batch[i] = self.next_batch
        self.rq_bumped[i] = False
        self.next_batch = 0
        if self.blocks:
            self._queue_for_block(i, ts)
            return
        k = self.rq_end
        self.rq_end += 1
        while k > self.rq_first and self.rq_ts[self.rq_queue[(k - 1) & self.rq_mask]] > ts:
            self.rq_queue[k & self.rq_mask] = self.rq_queue[(k - 1) & self.rq_mask]
            k -= 1
        self.rq_queue[k & self.rq_mask] = i

    def _queue_for_block(self, i, ts):
        """As ``_enqueue`` where some market is on a chain: by effect, rank, arrival, sending."""
        k: cython.Py_ssize_t = self.rq_end
        market: Market = self._market(self.rq_market[i])
        self.rq_arrived[i] = ts
        self.rq_rank[i] = 0
        if market.block_ns > 0:
            self.rq_ts[i] = (mul_div(ts, 1, market.block_ns, FLOOR) + 1) * market.block_ns
            if self.rq_kind[i] == SUBMIT and market.held_tifs != 0 and self._is_kept(market, self.rq_slot[i]):
                self.rq_ts[i] += market.block_ns
            self.rq_rank[i] = max(self._rank(self.rq_kind[i], self.rq_slot[i]), self.next_rank)
        self.next_rank = 0
        self.rq_end += 1
        while k > self.rq_first and self._is_behind(self.rq_queue[(k - 1) & self.rq_mask], i):
            self.rq_queue[k & self.rq_mask] = self.rq_queue[(k - 1) & self.rq_mask]
            k -= 1
        self.rq_queue[k & self.rq_mask] = i

    def _is_kept(self, market, slot):
        """Whether a new order waits a block at the venue before it meets the book; a conditional one waits anyway."""
        found: Market = market
        return not self.o_flags[slot] & FLAG_CONDITIONAL and (found.held_tifs >> self.life(slot)) & 1

    def life(self, slot):
        """The time in force that allowances and blocks go by: a conditional order has no near end, a good-till one has
        whatever else it is."""
        if self.o_flags[slot] & FLAG_CONDITIONAL:
            return GTC
        return GTD if self.o_flags[slot] & FLAG_EXPIRES else self.o_tif[slot]

    def _rank_again(self, slot):
        """An order on its way has become a conditional one, or has an end: its request goes where such ones do."""
        k: cython.Py_ssize_t
        place: cython.Py_ssize_t = -1
        i: cython.int = -1
        for k in range(self.rq_first, self.rq_end):
            if self.rq_slot[self.rq_queue[k & self.rq_mask]] == slot:
                place = k
                i = self.rq_queue[k & self.rq_mask]
        if place >= 0:
            for k in range(place, self.rq_end - 1):
                self.rq_queue[k & self.rq_mask] = self.rq_queue[(k + 1) & self.rq_mask]
            self.rq_end -= 1
            self._queue_for_block(i, self.rq_arrived[i])

    def _is_behind(self, other, i):
        """Whether a waiting request takes effect after ``i``."""
        if self.rq_ts[other] != self.rq_ts[i]:
            return self.rq_ts[other] > self.rq_ts[i]
        if self.rq_rank[other] != self.rq_rank[i]:
            return self.rq_rank[other] > self.rq_rank[i]
        return self.rq_arrived[other] > self.rq_arrived[i]

    def _next_request(self):
        if self.rq_first == self.rq_end:
            return NEVER
        return self.rq_ts[self.rq_queue[self.rq_first & self.rq_mask]]

    def _do_request(self):
        i: cython.int = self.rq_queue[self.rq_first & self.rq_mask]
        slot: cython.int = self.rq_slot[i]
        market: Market = self._market(self.rq_market[i])
        self.rq_first += 1
        self.rq_free[self.rq_free_count] = i
        self.rq_free_count += 1
        market.now = self.rq_ts[i]
        if slot < 0:
            self._do_ask(i, market)
            return
        if (market.limited or market.bump_ns > 0) and not self.rq_bumped[i] and self._holds_back(i, market):
            return
        if self.rq_kind[i] == SUBMIT:
            market.arrive(slot)
            return
        self.o_sent_last = self.rq_sent[i]
        if self._is_open(i):
            if self.rq_kind[i] == CANCEL:
                market.cancel(slot, R_USER)
            else:
                self.refused_request = self.rq_request[i]
                market.amend(slot, self.rq_ticks[i], self.rq_lots[i])
            return
        if self.o_no[slot] == self.rq_no[i] and self.o_lane[slot] == self.rq_lane[i] and self.o_state[slot] == HELD:
            if self.rq_kind[i] == CANCEL:
                market.cancel(slot, R_USER)
            else:
                self.refused_request = self.rq_request[i]
                asked = self.new_triggers.pop((self.rq_lane[i], self.rq_no[i], self.rq_request[i]), 0)
                market.amend_held(slot, self.rq_ticks[i], self.rq_lots[i], asked)
            return
        self.emit_refused(
            self.rq_lane[i], self.rq_market[i], slot, self.rq_no[i],
            EV_CANCEL_REJECTED if self.rq_kind[i] == CANCEL else EV_AMEND_REJECTED, R_UNKNOWN_ORDER,
            self.rq_sent[i], market.now, self.rq_request[i],
        )  # fmt: skip

    def _holds_back(self, i, market):
        """Whether a request does not go on: refused by a rate limit, or delayed because it would take at once."""
        found: Market = market
        slot: cython.int = self.rq_slot[i]
        kind: cython.int = self.rq_kind[i]
        if found.limited and not self._is_within(i, found):
            if kind == SUBMIT:
                self._forget(slot)
                found._close(slot, EV_REJECTED, R_RATE_LIMIT)
            else:
                self.emit_refused(
                    self.rq_lane[i], self.rq_market[i], slot, self.rq_no[i],
                    EV_CANCEL_REJECTED if kind == CANCEL else EV_AMEND_REJECTED, R_RATE_LIMIT, self.rq_sent[i],
                    found.now, self.rq_request[i],
                )  # fmt: skip
            return True
        if found.bump_ns > 0 and (kind == SUBMIT or (kind == AMEND and self._is_open(i))):
            if found.would_take(slot, self.rq_ticks[i] if kind == AMEND else self.o_ticks[slot]):
                self._bump(i, found.now + found.bump_ns)
                return True
        return False

    def _is_open(self, i):
        """Whether the order that a request is about rests."""
        slot: cython.int = self.rq_slot[i]
        return (
            self.o_no[slot] == self.rq_no[i] and self.o_lane[slot] == self.rq_lane[i] and self.o_state[slot] == RESTING
        )

    def _is_within(self, i, market):
        """Charge a request to the lane's allowances, if all of them have room for it."""
        found: Market = market
        limit: Limit
        batch: cython.int = self.rq_batch[i]
        kind: cython.int = 1 << (self.rq_kind[i] - 1) << (3 if batch != 0 else 0)
        tif: cython.int = self.life(self.rq_slot[i])
        now: cython.longlong = self.rq_ts[i]
        mine = found.limits[self.rq_lane[i]]
        if batch < 0 and self.refused_batch == -batch:
            return False
        for limit in mine:
            if not limit.fits(now, limit.units(kind, tif, batch >= 0), kind):
                if batch > 0 and limit.batch_units >= 0:
                    self.refused_batch = batch  # counted as one, it is refused as one
                return False
        for limit in mine:
            limit.charge(now, limit.units(kind, tif, batch >= 0), kind)
        return True

    def _bump(self, i, ts):
        """Put a request back into the queue, once."""
        kind, slot, number, ticks, lots = (
            self.rq_kind[i], self.rq_slot[i], self.rq_no[i], self.rq_ticks[i], self.rq_lots[i]
        )  # fmt: skip
        sent, request = self.rq_sent[i], self.rq_request[i]
        self._queue_request(ts, kind, slot, number, ticks, lots)
        for k in range(self.rq_first, self.rq_end):
            j = self.rq_queue[k & self.rq_mask]
            if self.rq_slot[j] == slot and self.rq_kind[j] == kind and self.rq_ts[j] == ts:
                self.rq_sent[j], self.rq_request[j], self.rq_bumped[j] = sent, request, True

    # -- dead-man switches

    def set_dead_man(self, venue, switch):
        """The dead-man switch of a venue (``matching.dead_man.DeadMan``)."""
        self.dead_men[venue] = switch

    def dead_man(self, lane, market, after_ns):
        """Ask the venue to close the lane's orders unless asked again within ``after_ns``; 0 disarms."""
        self.change_setting(lane, market, SETTING_DEAD_MAN, after_ns)

    def _queue_ask(self, ts, lane, market, kind, value, refused):
        """Queue a request that is about no order: a setting."""
        if self.rq_free_count == 0:
            self._grow_requests(2 * (self.rq_mask + 1))
        self.rq_free_count -= 1
        i: cython.int = self.rq_free[self.rq_free_count]
        self.rq_ts[i] = ts
        self.rq_kind[i] = ASK
        self.rq_slot[i] = -1
        self.rq_no[i] = 0
        self.rq_ticks[i] = kind
        self.rq_lots[i] = value
        self.rq_request[i] = refused
        self.rq_sent[i] = self.now
        self.rq_market[i] = market
        self.rq_lane[i] = lane
        self._enqueue(i, ts)

    def _do_ask(self, i, market):
        """A request about no order has arrived. An error stops the run: no caller can raise."""
        found: Market = market
        lane, kind, value = self.rq_lane[i], self.rq_ticks[i], self.rq_lots[i]
        try:
            if self.rq_request[i]:
                reason = R_LATENCY
            elif kind == SETTING_DEAD_MAN:
                switch = self.dead_men.get(found.venue_index)
                reason = R_UNSUPPORTED if switch is None else switch.arm(self, lane, found.index, value, found.now)
            else:
                reason = self.ledger.request(found.account[lane], found.index, kind, value)
        except BaseException as error:
            self.fail(error)
            return
        event = EV_SETTING if reason == R_NONE else EV_SETTING_REJECTED
        self.emit_account(lane, found.index, event, reason, found.now, kind, value, 0, 0, 0, CAUSE_NONE, found.now)

    def refuse(self, slot, event, reason, ts):
        """Refuse the amend under way of an order that stays as it is."""
        self.emit_refused(
            self.o_lane[slot], self.o_market[slot], slot, self.o_no[slot], event, reason, self.o_sent_last, ts,
            self.refused_request,
        )  # fmt: skip

    # -- liquidation: the face of the procedures (liquidation.py) -------------------------------------------------

    def set_liquidation(self, venue, procedure):
        """What becomes of accounts below maintenance at a venue; ``IocThenFund`` where nothing is set."""
        self.procedures[venue] = procedure
        self.warns = self.warns or procedure.terms.warning_ratio_e12 > 0

    def liquidation(self, venue):
        """The venue's procedure."""
        if venue not in self.procedures:
            self.procedures[venue] = IocThenFund(self, venue, Terms())
        return self.procedures[venue]

    def liquidate(self, lane, venue, ts):
        """A mark found the account below its maintenance margin. An error stops the run: no caller can raise."""
        try:
            self.liquidation(venue).liquidate(lane, ts)
        except BaseException as error:
            self.fail(error)

    def warn(self, lane, venue, ts):
        """A mark has moved a position of a lane, at some venue of the run that warns."""
        try:
            procedure = self.procedures.get(venue)
            if procedure is not None and procedure.terms.warning_ratio_e12 > 0:
                procedure.warn(lane, ts)
        except BaseException as error:
            self.fail(error)

    def markets_of(self, venue):
        """Indices of a venue's markets."""
        return [market.index for market in self.markets if market.venue_index == venue]

    def mark_state(self, m):
        """(mark, the one before it, when it was set, numerator and denominator of a tick), prices at 1e-8."""
        market: Market = self._market(m)
        return market.mark_e8, market.prior_mark_e8, market.mark_ns, market.tick_e8_num, market.tick_e8_den

    def cancel_resting(self, lane, m, reason, ts):
        """Close every order of a lane in a market: held ones, then resting ones, best first on each side."""
        market: Market = self._market(m)
        market.now = ts
        market.cancel_lane(lane, reason)

    def seen_levels(self, lane, m, side, limit_ticks):
        """What a lane sees of a side of the venue's book down to a price: (ticks, lots), best first."""
        return self._market(m).seen_levels(lane, side, limit_ticks)

    def take_level(self, lane, m, side, ticks, lots):
        """A forced order takes displayed lots: they are gone for this lane until the feed states the level anew."""
        self._market(m).take_level(lane, side, ticks, lots)

    def lock(self, lane, m, locked):
        """Refuse a lane's new orders in a market while it is being liquidated there, or take them again."""
        self._market(m).locked[lane] = locked
        self._market(m).locks = any(self._market(m).locked)

    def new_forced(self, lane):
        """The number of the next order that the venue makes for a lane: -1, -2, ..."""
        self.lane_forced[lane] -= 1
        return self.lane_forced[lane]

    def emit_forced(
        self, lane, k, order_no, seq, event, reason, ts, ticks, lots, fee, realized, side, cause, leaves, earliest
    ):  # fmt: skip
        """An event of an order that the venue made (``seq`` counts within it), or of the account (``order_no`` 0).

        ``k`` is the ledger's market, of a short leg in hedge mode. Returns when it is delivered, ``earliest`` at least.
        """
        at: cython.Py_ssize_t = self._record()
        c: cython.int
        account_seq: cython.longlong = self.lane_seq[lane]
        for c in range(L_WIDTH):
            self.log[at + c] = 0
        self.log[at + L_LANE] = lane
        self.log[at + L_MARKET] = k if k < self.n_markets else k - self.n_markets
        self.log[at + L_ORDER_NO] = order_no
        self.log[at + L_SEQ] = seq if order_no < 0 else account_seq
        self.log[at + L_EVENT] = event
        self.log[at + L_REASON] = reason
        self.log[at + L_TICKS] = ticks
        self.log[at + L_LOTS] = lots
        self.log[at + L_LIQUIDITY] = LIQ_TAKER if event == EV_FILLED or event == EV_LIQUIDATED else LIQ_NONE
        self.log[at + L_FEE] = fee
        self.log[at + L_SENT] = ts
        self.log[at + L_CAUSE] = cause
        self.log[at + L_SIDE] = side
        if order_no < 0:
            self.log[at + L_STYLE] = IOC + 8 * LIMIT + 16 * FLAG_REDUCE_ONLY
        self.log[at + L_LEAVES] = leaves
        self.log[at + L_REALIZED] = realized
        self.log[at + L_SLOT] = -1
        if event == EV_FILLED:
            self.fills += 1
            self.lane_fills[lane] += 1
        self.lane_seq[lane] += 1
        return self._stamp(at, lane, k, 0, account_seq, ts, earliest)

    def fail(self, error):
        """The run cannot go on: ``advance`` raises this, the first of all errors, as soon as it is back."""
        if self.error is None:
            self.error = error

    def fail_no_mark(self, market, boundary):
        self.fail(ValueError(
            f"market {market}: funding is due at {boundary} ns for an open position, but no mark price is known then "
            "(or no index, where the venue charges at that)"
        ))  # fmt: skip

    # -- private events ------------------------------------------------------------------------------------------

    def _record(self):
        """Reserve one log record; returns its position in ``log``."""
        if self.log_rows == self.log_capacity:
            with cython.gil:
                self._grow_log()
        self.log_rows += 1
        return (self.log_rows - 1) * L_WIDTH

    def emit(self, slot, event, reason, ticks, lots, liquidity, fee, cause, front, realized, ts):
        """An event of an order: into the log, and on its way to the lane. ``ts`` -1: refused before the venue."""
        at: cython.Py_ssize_t = self._record()
        lane: cython.int = self.o_lane[slot]
        k: cython.int = self.o_market[slot]
        self.log[at + L_LANE] = lane
        self.log[at + L_MARKET] = k
        self.log[at + L_ORDER_NO] = self.o_no[slot]
        self.log[at + L_SEQ] = self.o_seq[slot]
        self.o_seq[slot] += 1
        self.log[at + L_EVENT] = event
        self.log[at + L_REASON] = reason
        self.log[at + L_TICKS] = ticks
        self.log[at + L_LOTS] = lots
        self.log[at + L_LIQUIDITY] = liquidity
        self.log[at + L_FEE] = fee
        self.log[at + L_SENT] = self.o_sent[slot]
        self.log[at + L_CAUSE] = cause
        self.log[at + L_FRONT] = front
        self.log[at + L_SIDE] = self.o_side[slot]
        self.log[at + L_STYLE] = self.o_tif[slot] + 8 * self.o_type[slot] + 16 * self.o_flags[slot]
        self.log[at + L_LEAVES] = self.o_lots[slot] - self.o_filled[slot]
        self.log[at + L_REALIZED] = realized
        self.log[at + L_SLOT] = slot
        if event == EV_FILLED:
            self.fills += 1
            self.lane_fills[lane] += 1
        elif event == EV_REJECTED:
            self.rejects += 1
            self.lane_rejects[lane] += 1
        if self.o_flags[slot] & FLAG_SHORT_LEG:
            k = self._leg_of(slot)
        self.o_deliver[slot] = self._stamp(at, lane, k, self.o_no[slot], self.o_seq[slot], ts, self.o_deliver[slot])

    def _leg_of(self, slot):
        """The ledger's market of an order's short leg; its own market while that has none."""
        k: cython.int = self.o_market[slot]
        return k + self.n_markets if k + self.n_markets < self.ledger.n_markets else k

    def _stamp(self, at, lane, k, order_no, seq, ts, earliest):
        """Account columns, venue time and delivery (not before ``earliest``) of the record at ``at``; returns when.

        ``k`` is the ledger's market: a short leg's position is stated where the record is about that.
        """
        leg: cython.int = k
        account: cython.longlong
        deliver: cython.longlong
        if k >= self.n_markets:
            k -= self.n_markets
        account = self.account_of[lane * self.n_markets + k]
        self.log[at + L_ACCOUNT] = account
        self.log[at + L_POSITION] = self.ledger.position(account, leg)
        self.log[at + L_WALLET] = self.ledger.wallet(account, self.ledger.market_asset[k])
        if ts < 0:
            deliver = self.refused_at
            self.log[at + L_TS] = 0
        else:
            self.log[at + L_TS] = ts
            if self.away[k]:
                deliver = self.now
            else:
                deliver = ts + max(self._response(k, ts, order_no, seq), self.delay)
        deliver = max(deliver, earliest)  # what a venue says of one order arrives in the order in which it says it
        self.log[at + L_DELIVER] = deliver
        self._deliver(self.log_base + at // L_WIDTH, deliver, lane)
        return deliver

    def _response(self, k, ts, order_no, seq):
        if self.only is not None:
            return self.only.response.get(ts, self.seed, k, order_no, 2 * seq + 1)
        with cython.gil:
            return self._response_of(self.markets[k], ts, order_no, seq)

    def _response_of(self, market, ts, order_no, seq):
        found: Market = market
        return found.response.get(ts, self.seed, found.index, order_no, 2 * seq + 1)

    def emit_refused(self, lane, k, slot, order_no, event, reason, sent, ts, request):
        """A refused cancel or amend: of an order that may be closed already."""
        at: cython.Py_ssize_t = self._record()
        c: cython.int
        for c in range(L_WIDTH):
            self.log[at + c] = 0
        self.log[at + L_LANE] = lane
        self.log[at + L_MARKET] = k
        self.log[at + L_ORDER_NO] = order_no
        self.log[at + L_SEQ] = REFUSED_SEQ + request
        self.log[at + L_EVENT] = event
        self.log[at + L_REASON] = reason
        self.log[at + L_SENT] = sent
        self.log[at + L_SLOT] = slot
        if self.o_no[slot] == order_no and self.o_lane[slot] == lane and self.o_state[slot] != FREE:
            self.o_deliver[slot] = self._stamp(at, lane, k, order_no, REFUSED_SEQ + request, ts, self.o_deliver[slot])
        else:
            self._stamp(at, lane, k, order_no, REFUSED_SEQ + request, ts, 0)  # all else about it has been delivered

    def emit_account(self, lane, k, event, reason, ts, ticks, lots, amount, rate_or_realized, side, cause, booked):
        """Funding, a forced fill or takeover, a setting: an event that belongs to no order of the lane.

        ``k`` is the ledger's market, of a short leg in hedge mode.
        """
        at: cython.Py_ssize_t = self._record()
        c: cython.int
        for c in range(L_WIDTH):
            self.log[at + c] = 0
        self.log[at + L_LANE] = lane
        self.log[at + L_MARKET] = k if k < self.n_markets else k - self.n_markets
        self.log[at + L_SEQ] = self.lane_seq[lane]
        self.log[at + L_EVENT] = event
        self.log[at + L_REASON] = reason
        self.log[at + L_TICKS] = ticks
        self.log[at + L_LOTS] = lots
        self.log[at + L_FEE] = amount
        self.log[at + L_SENT] = booked
        self.log[at + L_SIDE] = side
        self.log[at + L_CAUSE] = cause
        self.log[at + L_SLOT] = -1
        if event == EV_FUNDING:
            self.log[at + L_FRONT] = rate_or_realized
        elif event != EV_SETTING and event != EV_SETTING_REJECTED:
            self.log[at + L_REALIZED] = rate_or_realized
            self.log[at + L_LIQUIDITY] = LIQ_TAKER
            if event == EV_FILLED:
                self.fills += 1
                self.lane_fills[lane] += 1
        self._stamp(at, lane, k, 0, self.lane_seq[lane], booked, 0)
        self.log[at + L_TS] = ts
        self.lane_seq[lane] += 1

    def _deliver(self, row, ts, lane):
        """Queue a record by delivery time, after those due at the same time; wake a lane that listens."""
        k: cython.Py_ssize_t
        if self.pv_end - self.pv_first > self.pv_mask:
            with cython.gil:
                self._grow_private()
        k = self.pv_end
        self.pv_end += 1
        while k > self.pv_first and self.pv_ts[(k - 1) & self.pv_mask] > ts:
            self.pv_ts[k & self.pv_mask] = self.pv_ts[(k - 1) & self.pv_mask]
            self.pv_row[k & self.pv_mask] = self.pv_row[(k - 1) & self.pv_mask]
            k -= 1
        self.pv_ts[k & self.pv_mask] = ts
        self.pv_row[k & self.pv_mask] = row
        if self.lane_private[lane] and ts < self.horizon:
            self.horizon = ts
            self.reach = ts - self.lag

    def _next_private(self):
        """When the next private event of a listening lane is due, NEVER if none is under way."""
        k: cython.Py_ssize_t
        if self.private_lanes == 0:
            return NEVER
        for k in range(self.pv_first, self.pv_end):
            if self.lane_private[self.log[(self.pv_row[k & self.pv_mask] - self.log_base) * L_WIDTH + L_LANE]]:
                return self.pv_ts[k & self.pv_mask]
        return NEVER

    def pop_private(self):
        """Show the next private event due by ``now`` in ev_*; False if there is none.

        After a closing event the order's slot is free for another order from the next ``pop_private`` on.
        """
        at: cython.Py_ssize_t
        if self.ev_release >= 0:
            self.o_state[self.ev_release] = FREE
            self.free_slots[self.free_count] = self.ev_release
            self.free_count += 1
            self.ev_release = -1
        if self.pv_first == self.pv_end or self.pv_ts[self.pv_first & self.pv_mask] > self.now:
            return False
        at = (self.pv_row[self.pv_first & self.pv_mask] - self.log_base) * L_WIDTH
        self.pv_first += 1
        self.ev_lane = self.log[at + L_LANE]
        self.ev_market = self.log[at + L_MARKET]
        self.ev_order_no = self.log[at + L_ORDER_NO]
        self.ev_slot = self.log[at + L_SLOT]
        self.ev_kind = self.log[at + L_EVENT]
        self.ev_reason = self.log[at + L_REASON]
        self.ev_ts = self.log[at + L_TS]
        self.ev_deliver = self.log[at + L_DELIVER]
        self.ev_ticks = self.log[at + L_TICKS]
        self.ev_lots = self.log[at + L_LOTS]
        self.ev_leaves = self.log[at + L_LEAVES]
        self.ev_liquidity = self.log[at + L_LIQUIDITY]
        self.ev_fee_e8 = self.log[at + L_FEE]
        self.ev_cause = self.log[at + L_CAUSE]
        self.ev_front = self.log[at + L_FRONT]
        self.ev_realized_e8 = self.log[at + L_REALIZED]
        self.ev_side = self.log[at + L_SIDE]
        self.ev_sent = self.log[at + L_SENT]
        self.ev_position = self.log[at + L_POSITION]
        self.ev_wallet_e8 = self.log[at + L_WALLET]
        if self.ev_order_no > 0 and (
            self.ev_kind == EV_REJECTED or self.ev_kind == EV_CANCELED or self.ev_kind == EV_EXPIRED
            or self.ev_kind == EV_NOT_FOUND or (self.ev_kind == EV_FILLED and self.ev_leaves == 0)
        ) and self.ev_slot >= 0:  # fmt: skip
            self.ev_release = self.ev_slot
        return True

    # -- live feeds ----------------------------------------------------------------------------------------------

    def set_delay(self, delay_ns):
        """Nothing private reaches a client sooner than this after the venue did it (DESIGN: paper's fixed delay)."""
        if delay_ns < 0:
            raise ValueError(f"core: a delay of {delay_ns} ns")
        self.delay = delay_ns

    def set_live(self):
        """Feeds come as they are received (``feed_client``, ``feed_venue``): the venue's side lags by the delay."""
        self.lag = self.delay

    def end_live(self):
        """All that was received has been given: the venue's side comes up to the client's time."""
        self.lag = 0

    def feed_client(self, market, window):
        """Messages received since the last call, in the order of receipt; the client must have seen those before."""
        found: Market = self._market(market)
        found.set_client(window)

    def feed_venue(self, market, window, complete_ns, last=False):
        """Messages in venue order, all there are up to ``complete_ns`` (venue time), after those given before."""
        found: Market = self._market(market)
        found.set_venue(window, complete_ns, last)
        if len(window):
            self._start_sampling(int(window.ts_event[0]))

    def feed(self, market, client, venue, complete_ns):
        """Both at once for messages that are in no window: lists of (v, rank, number, ts_recv, kind, ref, sides, ticks,
        lots, aux), the client's in the order of receipt, the venue's in its order, all there are up to ``complete_ns``.
        """
        found: Market = self._market(market)
        found.set_messages(client, venue, complete_ns)
        if len(venue) > 0:
            self._start_sampling(found.ts_event[0])

    def _start_sampling(self, first_ns):
        if self.bbo_next == NEVER and self.bbo_every:
            self.bbo_next = (first_ns // self.bbo_every + 1) * self.bbo_every
        if self.account_next == NEVER and self.account_every:
            self.account_next = (first_ns // self.account_every + 1) * self.account_every

    def next_due_ns(self):
        """The client time at which something is due that no message is needed for, NEVER if nothing is."""
        ts: cython.longlong = min(self._next_request(), self._next_internal())
        if ts < NEVER:
            ts += self.lag
        return min(min(ts, self.stream_next), self._next_private())

    # -- external venues: commands go out, events are brought in -------------------------------------------------

    def set_external(self, market):
        """Orders of this market are a connector's: commands wait in ``take_outbox``, events come by ``bring``."""
        found: Market = self._market(market)
        found.external = True
        self.away[market] = 1

    def take_outbox(self):
        """Commands since the last call: (kind, lane, market, slot, order_no, ticks, lots, request, batch).

        ``kind`` is SUBMIT, CANCEL, AMEND, or ASK (a setting: number, SETTING_* and value in the places of order_no,
        ticks and lots). Members of one batch share a number above 0.
        """
        out, self.outbox = self.outbox, []
        return out

    def terms(self, slot):
        """What an order was submitted with: a dictionary of integers, its ``Trigger`` or None, and its STP (or -1)."""
        return {
            "lane": self.o_lane[slot], "market": self.o_market[slot], "order_no": self.o_no[slot],
            "side": self.o_side[slot], "ticks": self.o_ticks[slot], "lots": self.o_lots[slot],
            "filled": self.o_filled[slot], "tif": self.o_tif[slot], "type": self.o_type[slot],
            "flags": self.o_flags[slot], "stp": self.o_stp[slot], "trigger": self.conditions.get(slot),
            "expires_ns": self.expiries.get(slot, 0),
        }  # fmt: skip

    def new_trigger(self, lane, order_no, request):
        """The trigger price that an amendment in the outbox asks for, 0 if none."""
        return self.new_triggers.pop((lane, order_no, request), 0)

    def take_order(self, lane, market, side, ticks, lots, filled, tif, type, flags, ts):
        """An order found at the venue that no lane has sent: it gets a negative number. Returns (slot, number)."""
        number = self.new_forced(lane)
        slot = self.submit(lane, market, number, side, ticks, lots, tif, type, flags)
        if self.outbox and self.outbox[len(self.outbox) - 1][4] == number:
            self.outbox.pop()
        self.orders -= 1
        self.lane_orders[lane] -= 1
        self.o_filled[slot] = filled
        self.bring(lane, market, slot, number, EV_ACCEPTED, R_NONE, ts)
        return slot, number

    def bring(
        self, lane, market, slot, order_no, event, reason, ts, ticks=0, lots=0, leaves=-1, liquidity=LIQ_NONE, fee=0,
        side=0, request=0, sent=0,
    ):  # fmt: skip
        """An event of an order at an external venue, of venue time ``ts`` (0: the wire has none), delivered now.

        ``ticks`` and ``lots`` are those of a fill or an amendment; other events have the order's own. ``leaves`` -1:
        as counted here. A fill is booked with the venue's ``fee``. ``side`` matters for an order that is forgotten
        here (a late fill). A refused cancel or amendment names its ``request`` and when it was ``sent``.
        """
        found: Market = self._market(market)
        is_ours = slot >= 0 and self.o_no[slot] == order_no and self.o_lane[slot] == lane and self.o_state[slot] != FREE
        if event == EV_CANCEL_REJECTED or event == EV_AMEND_REJECTED:
            self.emit_refused(lane, market, slot, order_no, event, reason, sent, ts, request)
            return
        if not is_ours:
            self._bring_late(found, lane, order_no, event, reason, ts, ticks, lots, leaves, liquidity, fee, side)
            return
        realized = 0
        left = self.o_lots[slot] - self.o_filled[slot]
        if event == EV_FILLED:
            self.ledger.fill_with_fee(found.account[lane], found._leg(slot), self.o_side[slot], ticks, lots, fee)
            realized = self.ledger.last_realized_e8
            self.o_filled[slot] += lots
            if leaves >= 0:
                self.o_lots[slot] = self.o_filled[slot] + leaves
            self.o_state[slot] = CLOSED if self.o_filled[slot] >= self.o_lots[slot] else AWAY
        elif event == EV_AMENDED:
            self.o_ticks[slot], self.o_lots[slot] = ticks, lots
        elif event == EV_ACCEPTED or event == EV_TRIGGERED or event == EV_HELD:
            ticks, lots = ticks or self.o_ticks[slot], lots or self.o_lots[slot]
            self.o_ticks[slot], self.o_lots[slot] = ticks, lots
            self.o_state[slot] = AWAY
        else:
            ticks, lots = ticks or self.o_ticks[slot], lots or left  # given: those of the amendment that ended it
            self._forget(slot)
            self.o_state[slot] = CLOSED
        if self.o_state[slot] == CLOSED:
            self.ended_orders[lane, order_no] = self.o_seq[slot] + 1
            if len(self.ended_orders) > ENDED_MAX:
                del self.ended_orders[next(iter(self.ended_orders))]
        self.emit(slot, event, reason, ticks, lots, liquidity, fee, CAUSE_NONE, 0, realized, ts)

    def _bring_late(self, market, lane, order_no, event, reason, ts, ticks, lots, leaves, liquidity, fee, side):
        """An event of an order that is over: money has moved all the same."""
        found: Market = market
        realized = 0
        if event == EV_FILLED:
            self.ledger.fill_with_fee(found.account[lane], found.index, side, ticks, lots, fee)
            realized = self.ledger.last_realized_e8
        seq = self.ended_orders.get((lane, order_no), 0)
        self.ended_orders[lane, order_no] = seq + 1
        at: cython.Py_ssize_t = self._record()
        c: cython.int
        for c in range(L_WIDTH):
            self.log[at + c] = 0
        self.log[at + L_LANE] = lane
        self.log[at + L_MARKET] = found.index
        self.log[at + L_ORDER_NO] = order_no
        self.log[at + L_SEQ] = seq
        self.log[at + L_EVENT] = event
        self.log[at + L_REASON] = reason
        self.log[at + L_TICKS] = ticks
        self.log[at + L_LOTS] = lots
        self.log[at + L_LIQUIDITY] = liquidity
        self.log[at + L_FEE] = fee
        self.log[at + L_SIDE] = side
        self.log[at + L_LEAVES] = max(leaves, 0)
        self.log[at + L_REALIZED] = realized
        self.log[at + L_SLOT] = -1
        if event == EV_FILLED:
            self.fills += 1
            self.lane_fills[lane] += 1
        self._stamp(at, lane, found.index, order_no, seq, ts, 0)

    def bring_funding(self, lane, market, boundary, lots, mark_e8, rate_e12, payment_e8, ts):
        """The venue has charged (or paid, above 0) funding."""
        found: Market = self._market(market)
        self.ledger.book_payment(found.account[lane], market, payment_e8)
        self.emit_account(lane, market, EV_FUNDING, R_NONE, boundary, mark_e8, lots, payment_e8, rate_e12, 0, 0, ts)

    def bring_setting(self, lane, market, event, reason, kind, value, ts):
        """The answer to a setting: EV_SETTING, which the ledger takes over, or EV_SETTING_REJECTED."""
        found: Market = self._market(market)
        if event == EV_SETTING and kind != SETTING_DEAD_MAN:
            self.ledger.request(found.account[lane], market, kind, value)
        self.emit_account(lane, market, event, reason, ts, kind, value, 0, 0, 0, CAUSE_NONE, ts)

    def bring_forced(self, lane, market, event, reason, ts, side, ticks, lots, fee, cause):
        """The venue has taken over (EV_LIQUIDATED) or deleveraged (EV_ADL) a position, or warns of it."""
        found: Market = self._market(market)
        realized = 0
        if event != EV_MARGIN_WARNING:
            self.ledger.fill_with_fee(found.account[lane], market, side, ticks, lots, fee)
            realized = self.ledger.last_realized_e8
        self.emit_forced(lane, market, 0, 0, event, reason, ts, ticks, lots, fee, realized, side, cause, 0, self.now)

    # -- growing -------------------------------------------------------------------------------------------------

    def _grow_log(self):
        capacity = max(4096, 2 * self.log_capacity)
        grown = np.zeros(capacity * L_WIDTH, dtype=np.int64)
        grown[: self.log_rows * L_WIDTH] = self._log_owner[: self.log_rows * L_WIDTH]
        self._log_owner, self._log_spare = grown, None
        self.log = _view(grown)
        self.log_capacity = capacity

    def _grow_private(self):
        size = 2 * (self.pv_mask + 1)
        order = [k & self.pv_mask for k in range(self.pv_first, self.pv_end)]
        ts, row = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int64)
        ts[: len(order)] = [self.pv_ts[k] for k in order]
        row[: len(order)] = [self.pv_row[k] for k in order]
        self.pv_ts, self.pv_row = _view(ts), _view(row)
        self.pv_first, self.pv_end, self.pv_mask = 0, len(order), size - 1

    def _grow_slots(self):
        count = max(64, 2 * self.slots)
        self.o_lane = _wider(self.o_lane, count)
        self.o_market = _wider(self.o_market, count)
        self.o_side = _wider(self.o_side, count)
        self.o_tif = _wider(self.o_tif, count)
        self.o_type = _wider(self.o_type, count)
        self.o_flags = _wider(self.o_flags, count)
        self.o_state = _wider(self.o_state, count)
        self.o_next = _wider(self.o_next, count)
        self.o_prev = _wider(self.o_prev, count)
        self.o_seq = _wider(self.o_seq, count)
        self.o_requests = _wider(self.o_requests, count)
        self.o_amends = _wider(self.o_amends, count)
        self.o_stp = _wider(self.o_stp, count)
        self.free_slots = _wider(self.free_slots, count)
        self.o_no = _wider(self.o_no, count, np.int64)
        self.o_ticks = _wider(self.o_ticks, count, np.int64)
        self.o_lots = _wider(self.o_lots, count, np.int64)
        self.o_filled = _wider(self.o_filled, count, np.int64)
        self.o_column = _wider(self.o_column, count, np.int64)
        self.o_cum = _wider(self.o_cum, count, np.int64)
        self.o_stamp = _wider(self.o_stamp, count, np.int64)
        self.o_sent = _wider(self.o_sent, count, np.int64)
        self.o_deliver = _wider(self.o_deliver, count, np.int64)
        self.o_client = _wider(self.o_client, count, np.int64)
        self.o_front = _wider(self.o_front, count, np.float64)
        for slot in range(count - 1, self.slots - 1, -1):
            self.free_slots[self.free_count] = slot
            self.free_count += 1
        self.slots = count

    def _grow_requests(self, size):
        old = self.rq_mask + 1
        waiting = [self.rq_queue[k & self.rq_mask] for k in range(self.rq_first, self.rq_end)]
        self.rq_ts = _wider(self.rq_ts, size, np.int64)
        self.rq_no = _wider(self.rq_no, size, np.int64)
        self.rq_ticks = _wider(self.rq_ticks, size, np.int64)
        self.rq_lots = _wider(self.rq_lots, size, np.int64)
        self.rq_sent = _wider(self.rq_sent, size, np.int64)
        self.rq_arrived = _wider(self.rq_arrived, size, np.int64)
        self.rq_kind = _wider(self.rq_kind, size)
        self.rq_slot = _wider(self.rq_slot, size)
        self.rq_request = _wider(self.rq_request, size)
        self.rq_market = _wider(self.rq_market, size)
        self.rq_lane = _wider(self.rq_lane, size)
        self.rq_rank = _wider(self.rq_rank, size)
        self.rq_batch = _wider(self.rq_batch, size)
        self.rq_bumped = _wider(self.rq_bumped, size)
        self.rq_queue = _wider(waiting, size)
        self.rq_free = _wider(range(size - 1, old - 1, -1), size)
        self.rq_first, self.rq_end, self.rq_mask = 0, len(waiting), size - 1
        self.rq_free_count = size - old

    # -- reading -------------------------------------------------------------------------------------------------

    def best_ticks(self, market, side):
        """Best price of a side as the client sees it, NO_PRICE while there is none or the book is stale."""
        found: Market = self._market(market)
        if not found.local.valid:
            return NO_PRICE
        return found.local.best_ticks(side)

    def best_lots(self, market, side):
        found: Market = self._market(market)
        if not found.local.valid or found.local.best[side] < 0:
            return 0
        return found.local.lots[side * found.local.width + found.local.best[side]]

    def level_lots(self, market, side, ticks):
        """Lots displayed at a price in the client view, 0 if none."""
        found: Market = self._market(market)
        if not found.local.valid:
            return 0
        return found.local.level(side, ticks)

    def levels(self, market, side, count):
        """The first ``count`` levels of a side in the client view as (ticks, lots), best first."""
        found: Market = self._market(market)
        return self._levels_of(found.local, side, count)

    def _levels_of(self, view, side, count):
        found: BookView = view
        out = []
        if not found.valid:
            return out
        column: cython.longlong = found.best[side]
        while column >= 0 and len(out) < count:
            out.append((found.ticks_at(side, column), found.lots[side * found.width + column]))
            column = found.next_worse(side, column)
        if len(out) < count and found.far:
            rest = [(t, q) for (s, t), q in found.far.items() if s == side]
            rest.sort(reverse=side == BUY)
            out.extend(rest[: count - len(out)])
        return out

    def is_valid(self, market):
        """Whether the client's book holds (it is stale before the first snapshot and after a gap)."""
        found: Market = self._market(market)
        return found.local.valid

    def mark_e8(self, market):
        """The mark as the client knows it, 0 if none: a table's at once, of the mid proxy its own book's mid."""
        found: Market = self._market(market)
        if found.mid_mark:
            return found.mid_of(found.local)
        if found.published:
            self._receive_published(found, self.now)
        if found.local_mark_e8 or not found.mark_table:
            return found.local_mark_e8
        return found.mark_e8

    def funding_view(self, market):
        """(index_e8, predicted rate_e12, next_funding_ns) of the last mark message received, zeros before."""
        found: Market = self._market(market)
        if found.published:
            self._receive_published(found, self.now)
        return found.local_index_e8, found.local_rate_e12, found.local_next_funding

    def venue_best_ticks(self, market, side):
        found: Market = self._market(market)
        return found.venue.best_ticks(side) if found.venue.valid else NO_PRICE

    def venue_level_lots(self, market, side, ticks):
        found: Market = self._market(market)
        return found.venue.level(side, ticks)

    def venue_levels(self, market):
        """Every level of the venue's book as (side, ticks, lots), sorted."""
        found: Market = self._market(market)
        return found.venue.levels()

    def order_queue(self, market, side, ticks):
        """Other people's orders at a price in the client view as (venue's id, lots), first come first (l3 books)."""
        found: Market = self._market(market)
        return found.local_orders.queue(side, ticks)

    def venue_order_queue(self, market, side, ticks):
        """The same at the venue."""
        found: Market = self._market(market)
        return found.orders.queue(side, ticks)

    def client_levels(self, market):
        found: Market = self._market(market)
        return found.local.levels()

    def pending_boundary(self, market):
        """A funding boundary that positions were held over and no later mark message has closed, 0 if none."""
        found: Market = self._market(market)
        return found.boundary if found.boundary else found.owed

    def end_ns(self):
        """Receive time of the last message known so far."""
        return max(self._max_recv(k) for k in range(self.n_markets))

    def _max_recv(self, index):
        found: Market = self._market(index)
        return found.max_recv

    def counters(self):
        """Totals so far: rows, messages, orders, fills, rejects, and per lane orders, fills, rejects."""
        rows = messages = 0
        for k in range(self.n_markets):
            market: Market = self._market(k)
            rows += market.rows_done
            messages += market.messages_done
        return {
            "rows": rows, "messages": messages, "orders": self.orders, "fills": self.fills, "rejects": self.rejects,
            "lane_orders": list(self.lane_orders), "lane_fills": list(self.lane_fills),
            "lane_rejects": list(self.lane_rejects),
        }  # fmt: skip

    def drain_log(self, everything=False):
        """Log records as columns (LOG_COLUMNS); keeps the undelivered ones unless ``everything`` (end of the run).

        The columns are views into a buffer that is used again from the next ``drain_log`` on: copy what must last.
        """
        stop = self.log_rows
        if not everything:
            for k in range(self.pv_first, self.pv_end):
                stop = min(stop, self.pv_row[k & self.pv_mask] - self.log_base)
        table = self._log_owner[: stop * L_WIDTH].reshape(stop, L_WIDTH)
        out = {name: table[:, c] for c, name in enumerate(LOG_COLUMNS)}
        rest = self._log_owner[stop * L_WIDTH : self.log_rows * L_WIDTH]
        spare = self._log_spare if self._log_spare is not None else np.zeros_like(self._log_owner)
        spare[: len(rest)] = rest
        self._log_owner, self._log_spare = spare, self._log_owner
        self.log = _view(spare)
        self.log_rows -= stop
        self.log_base += stop
        if everything:
            self.pv_first = self.pv_end
        return out

    def drain_samples(self):
        """Samples since the last call: lists of tuples under "bbo", "accounts", "positions".

        bbo: (ts, market, bid_ticks, ask_ticks, mark_e8); accounts: (ts, lane, account, asset, wallet_e8, equity_e8,
        maintenance_e8); positions: (ts, lane, market, lots, mark_e8).
        """
        out = {"bbo": self.bbo_samples, "accounts": self.account_samples, "positions": self.position_samples}
        self.bbo_samples, self.account_samples, self.position_samples = [], [], []
        return out

    def resting_orders(self):
        """(lane, order_no, market, side, ticks, lots left, queue ahead in micro-lots, traded at its price), sorted.

        A queue that no displayed quantity has told yet is UNKNOWN_FRONT.
        """
        out = []
        for slot in range(self.slots):
            if self.o_state[slot] == RESTING:
                front = self.o_front[slot]
                front = UNKNOWN_FRONT if front == -1e18 else math.floor(front * 1e6 + 0.5)
                out.append((
                    self.o_lane[slot], self.o_no[slot], self.o_market[slot], self.o_side[slot], self.o_ticks[slot],
                    self.o_lots[slot] - self.o_filled[slot], front, self.o_cum[slot],
                ))  # fmt: skip
        out.sort()
        return out

    def state_hash(self):
        """sha256 over both books, resting orders and the canonical log so far; defined in docs/fills.md."""
        out = []
        resting = self.resting_orders()
        for k in range(self.n_markets):
            market: Market = self._market(k)
            for view in (market.venue, market.local):
                out.append(self._is_valid_view(view))
                out.extend(self._view_levels(view))
            for lane, number, index, side, ticks, left, front, cum in resting:
                if index == k:
                    out += (lane, number, side, ticks, left, front, cum)
            out.append(-1)
        for row in self.canonical_log():
            out += row
        return hashlib.sha256(np.array(out, dtype="<i8").tobytes()).hexdigest()

    def _is_valid_view(self, view):
        found: BookView = view
        return int(found.valid)

    def _view_levels(self, view):
        out = []
        levels = view.levels()
        for side in range(2):
            for level in levels:
                if level[0] == side:
                    out += level
            out.append(-1)
        return out

    def canonical_log(self):
        """Canonical rows of the records not yet drained, sorted by their first four columns."""
        table = self._log_owner[: self.log_rows * L_WIDTH].reshape(-1, L_WIDTH)
        columns = (
            L_ACCOUNT, L_MARKET, L_ORDER_NO, L_SEQ, L_EVENT, L_REASON, L_TS, L_TICKS, L_LOTS, L_LIQUIDITY, L_FEE,
        )  # fmt: skip
        return sorted(tuple(int(row[c]) for c in columns) for row in table)
