"""What a strategy sees: the base class, its context, orders, books and events.

A strategy is a class with plain synchronous callbacks. Everything it is told is a fact that had reached the client by
``ctx.now_ns``: books are the local view (built from messages by their receive time), order state, positions and
balances are what delivered private events say. Commands return at once; their outcome always arrives as an event.

This file runs compiled (the types are in strategy.pxd) and uncompiled with the same results; ``strategy.pyi`` is the
reference of the public names. Event objects are small and new each time, so a strategy may keep them.
"""

from dataclasses import replace
from operator import index

import cython
import numpy as np

from sim import requests
from sim.bars import Bar
from sim.units import duration_ns
from venues import lifecycle
from venues.errors import LifecycleDefect

if not cython.compiled:
    from matching.codes import *

    INTENT, SENT, UNKNOWN, HELD, OPEN, CLOSED = range(6)
    PENDING_AMEND, PENDING_CANCEL = 1, 2
    EV_FILLED_WHOLE, ANSWER_AMEND, ANSWER_CANCEL, TRIGGERS = 15, 32, 64, 32

TRANSITIONS = lifecycle.flat_table()

SIDE_NAMES = ("BUY", "SELL")
MAX_TICKS = (1 << 31) - 1
NEVER_NS = (1 << 63) - 1
ABSENT = -(1 << 62)  # codes.NO_PRICE
ASK_SETTING = 9  # a command that is no order's
BATCH = 8  # a command that opens or closes a batch
SUBMIT_ARGUMENTS = ("i", "side", "ticks", "lots", "tif", "type", "reduce_only")
MAX_LATE = 4096  # closed orders of which a request may still be answered


class Order:
    """One order of ours, kept up to date from delivered events; it stays valid after it has closed."""

    def _become(self, row):
        """Take a row of the lifecycle's table; ``pending`` is set before."""
        self.row = row
        self.status = row if row < CLOSED else CLOSED
        self.is_open = row == OPEN
        self.is_closed = row >= CLOSED
        self.is_cancelable = row in (OPEN, HELD) and self.pending == 0

    @property
    def leaves_lots(self):
        """Lots that may still execute; 0 once closed."""
        return 0 if self.is_closed else self.lots - self.filled_lots

    @property
    def average_ticks(self):
        """Average execution price in ticks (float), or None while nothing has executed."""
        if self.filled_lots == 0:
            return None
        return cython.cast(cython.double, self.value_ticks_lots) / self.filled_lots

    @property
    def status_name(self):
        return lifecycle.Status(self.status).name

    @property
    def trigger(self):
        return self._terms().trigger

    @property
    def expires_ns(self):
        return self._terms().expires_ns

    @property
    def stp(self):
        return self._terms().stp

    @property
    def leg(self):
        return self._terms().leg

    @property
    def position_side(self):
        """In hedge mode "long" or "short", else None."""
        return {FLAG_LONG_LEG: "long", FLAG_SHORT_LEG: "short"}.get(self.leg)

    @property
    def close_position(self):
        return self._terms().close_position

    @property
    def client_id(self):
        return self._terms().client_id

    def _terms(self):
        return requests.PLAIN if self.special is None else self.special

    def __repr__(self):
        return (
            f"<Order {self.number} instrument {self.instrument} {SIDE_NAMES[self.side]} {self.lots} lots at "
            f"{self.ticks} ticks, {self.status_name}, filled {self.filled_lots}>"
        )


if not cython.compiled:
    Order.special = None  # what few orders have; the compiled field begins so


class OrderEvent:
    """What a venue said about an order: ``kind`` is one of the EV codes, ``reason`` one of the R codes."""

    @property
    def name(self):
        return lifecycle.event_name(self.kind)

    @property
    def code(self):
        """The venue's own code for the reason, or None where it has none."""
        if self.said is not None:
            return self.said[0]
        if self.face is None:
            return None
        return self.face.code(self.instrument, self.kind, self.reason, self.side, self.ticks, self.lots)

    @property
    def text(self):
        """The venue's own words for the reason."""
        if self.said is not None:
            return self.said[1]
        return "" if self.face is None else self.face.text(self.instrument, self.kind, self.reason)

    def __repr__(self):
        return f"<OrderEvent {self.name} order {self.order_number} reason {self.reason} at {self.ts_ns}>"


class Fill:
    """One execution of ours, with its cause and the lots that were ahead in the queue when it happened."""

    @property
    def price(self):
        return self.ticks * self.tick_num / self.tick_den

    def __repr__(self):
        return f"<Fill order {self.order_number} {SIDE_NAMES[self.side]} {self.lots} lots at {self.ticks} ticks>"


class Trade:
    """One print of the feed; ``side`` is the aggressor's."""

    @property
    def price(self):
        return self.ticks * self.tick_num / self.tick_den

    def __repr__(self):
        return f"<Trade {SIDE_NAMES[self.side]} {self.lots} lots at {self.ticks} ticks>"


class Funding:
    """A funding payment booked to our account; ``payment_e8`` is positive when received."""


class Gap:
    """A hole in the feed. The book is not valid until the next snapshot."""


class Liquidation:
    """The venue closed (part of) our position, or warns that it is about to."""


class Setting:
    """The venue's answer to ``ctx.set_leverage``, ``set_margin_mode`` or ``add_margin``."""


class Book:
    """The local order book of one instrument, as of now. Prices in ticks, sizes in lots; an empty side has NO_PRICE."""

    def __init__(self, core, instrument, tick_num, tick_den):
        self.core = core
        self.instrument = instrument
        self.tick_num = tick_num
        self.tick_den = tick_den

    def best_ticks(self, side):
        if side != BUY and side != SELL:
            _no_side(side)
        return self.core.best_ticks(self.instrument, side)

    def best_lots(self, side):
        if side != BUY and side != SELL:
            _no_side(side)
        return self.core.best_lots(self.instrument, side)

    def lots_at(self, side, ticks):
        if side != BUY and side != SELL:
            _no_side(side)
        return self.core.level_lots(self.instrument, side, ticks)

    def mid_in_ticks(self):
        return 0.5 * (self.core.best_ticks(self.instrument, BUY) + self.core.best_ticks(self.instrument, SELL))

    def levels(self, side, depth=10):
        """The best ``depth`` levels of a side, best first, as a list of (ticks, lots)."""
        if side != BUY and side != SELL:
            _no_side(side)
        return self.core.levels(self.instrument, side, depth)

    @property
    def best_bid_ticks(self):
        return self.core.best_ticks(self.instrument, BUY)

    @property
    def best_ask_ticks(self):
        return self.core.best_ticks(self.instrument, SELL)

    @property
    def best_bid_lots(self):
        return self.core.best_lots(self.instrument, BUY)

    @property
    def best_ask_lots(self):
        return self.core.best_lots(self.instrument, SELL)

    @property
    def is_valid(self):
        """True while the book is synchronised and both sides have a price."""
        bid: cython.longlong = self.core.best_ticks(self.instrument, BUY)
        ask: cython.longlong = self.core.best_ticks(self.instrument, SELL)
        return self.core.is_valid(self.instrument) and bid > ABSENT and ask > ABSENT

    @property
    def mid_ticks(self):
        """Mid price in ticks (float); only meaningful while ``is_valid``."""
        return self.mid_in_ticks()

    @property
    def spread_ticks(self):
        return self.best_ticks(SELL) - self.best_ticks(BUY)

    @property
    def best_bid(self):
        return self._price(self.core.best_ticks(self.instrument, BUY))

    @property
    def best_ask(self):
        return self._price(self.core.best_ticks(self.instrument, SELL))

    @property
    def mid(self):
        """Mid price in quote currency (float), or None while the book is not valid."""
        return self.mid_in_ticks() * self.tick_num / self.tick_den if self.is_valid else None

    @property
    def mark_e8(self):
        """The last mark price received, at 1e-8; 0 before the first."""
        return self.core.mark_e8(self.instrument)

    @property
    def index_e8(self):
        return self.core.funding_view(self.instrument)[0]

    @property
    def funding_rate_e12(self):
        return self.core.funding_view(self.instrument)[1]

    @property
    def next_funding_ns(self):
        return self.core.funding_view(self.instrument)[2]

    def _price(self, ticks):
        return None if ticks == ABSENT else ticks * self.tick_num / self.tick_den


class Context:
    """A strategy's view of the world and its way to act on it. Made by the run, one for each lane."""

    def __init__(self, core, lane, instruments, wallet_of, deposits_e8, runtime):
        """``wallet_of[i]`` is the index into ``deposits_e8`` of the wallet that instrument i settles in."""
        self.core = core
        self.lane = lane
        self.instruments = tuple(instruments)
        self.count = len(self.instruments)
        self.runtime = runtime
        self.face = None
        self.slots = []
        self.late = {}
        self.forced = {}
        self.forced_prefixes = [("", "")] * self.count
        self.commands = None
        self.deferring = False
        self.numbers = 0
        self.now_ns = 0
        scales = [_price_scale(instrument) for instrument in self.instruments]
        self.books = [Book(core, i, scale[0], scale[1]) for i, scale in enumerate(scales)]
        self.tick_num = memoryview(np.array([scale[0] for scale in scales], np.float64))
        self.tick_den = memoryview(np.array([scale[1] for scale in scales], np.float64))
        self.position_lots = memoryview(np.zeros(2 * self.count, np.int64))  # in hedge mode short legs come second
        self.moved = {}
        self.words = {}
        self.keeps_closed = False
        self.wallet_of = memoryview(np.array(wallet_of, np.int64))
        self.wallet_e8 = memoryview(np.array(deposits_e8, np.int64))

    # -- looking

    def book(self, i):
        """The local book of instrument i. The object stays the same for the whole run."""
        if i < 0 or i >= self.count:
            raise IndexError(self._no_instrument(i))
        return self.books[i]

    def position(self, i, leg=None):
        """Position in lots (negative: short) as delivered fills say; ``leg`` "long" or "short" of it in hedge mode."""
        if i < 0 or i >= self.count:
            raise IndexError(self._no_instrument(i))
        if leg is not None:
            return self.position_lots[i if requests.leg_of(leg) == FLAG_LONG_LEG else self.count + i]
        return self.position_lots[i] + self.position_lots[self.count + i]

    def balance_e8(self, i=0):
        """Wallet balance, at 1e-8 of the asset that instrument i settles in, as delivered events say."""
        if i < 0 or i >= self.count:
            raise IndexError(self._no_instrument(i))
        return self.wallet_e8[self.wallet_of[i]]

    @property
    def balance(self):
        """Wallet balance of the first instrument's settlement asset (float)."""
        return self.wallet_e8[self.wallet_of[0]] / 1e8

    def orders(self, i=-1):
        """Our orders that are not closed, oldest first: of one instrument, or of all."""
        found = [order for order in self.slots if order is not None and (i < 0 or order.instrument == i)]
        found.sort(key=_order_number)
        return found

    def index(self, name):
        """The index of an instrument by its symbol, or by ``venue:symbol`` where several venues have it."""
        return self.runtime.index(name)

    def ticks(self, i, price):
        """A price in quote currency as the nearest whole number of ticks."""
        if i < 0 or i >= self.count:
            raise IndexError(self._no_instrument(i))
        return round(price * self.tick_den[i] / self.tick_num[i])

    def lots(self, i, size):
        """A size in the venue's unit as the nearest whole number of lots."""
        if i < 0 or i >= self.count:
            raise IndexError(self._no_instrument(i))
        return round(size / float(self.instruments[i].lot_size))

    def history(self, i, span, kind="trades", bar=None):
        """What the lake holds of instrument i in the ``span`` before now; see strategy.pyi."""
        return self.runtime.history(self.lane, i, duration_ns(span), kind, bar)

    # -- acting

    def submit(
        self, i, side, ticks, lots, tif=GTC, type=LIMIT, reduce_only=False, trigger=None, trigger_ticks=0, watch=None,
        callback=None, callback_ticks=0, protect=False, expires_ns=0, stp=None, position_side=None,
        close_position=False, client_id=None,
    ):  # fmt: skip
        """Send an order. Returns at once with its object; everything about it arrives as events. See strategy.pyi."""
        if not cython.compiled:
            ticks, lots = index(ticks), index(lots)  # as compiled: a float is refused, not cut
        if (lots <= 0) != close_position or lots < 0:  # the venue sizes what closes a position
            self._refuse_size(i, lots, close_position)
        if i < 0 or i >= self.count or (side != BUY and side != SELL) or ticks > MAX_TICKS or ticks < 0:
            self._refuse(i, side, ticks, 1)
        order: Order = Order.__new__(Order)
        order.lane = self.lane
        order.instrument = i
        order.side = side
        order.ticks = ticks
        order.lots = lots
        order.filled_lots = 0
        order.tif = tif
        order.type = type
        order.reduce_only = reduce_only
        order.external = False
        order.status = order.row = SENT
        order.pending = order.reason = 0
        order.is_open = order.is_closed = order.is_cancelable = False
        order.sent_ns = self.now_ns
        order.acked_ns = order.acked_venue_ns = order.closed_ns = order.value_ticks_lots = order.tag = 0
        order.slot = -1
        if (
            trigger is not None or trigger_ticks != 0 or watch is not None or callback is not None
            or callback_ticks != 0 or protect or expires_ns != 0 or stp is not None or position_side is not None
            or close_position or client_id is not None
        ):  # fmt: skip
            self._make_special(
                order, trigger, (trigger_ticks, watch, callback, callback_ticks, protect), expires_ns, stp,
                position_side, close_position, client_id,
            )  # fmt: skip
        self.numbers += 1
        order.number = self.numbers
        if self.deferring:
            self.commands.append((0, order, 0, 0, 0))
        else:
            self.send(order)
        return order

    def _make_special(self, order, trigger, terms, expires_ns, stp, position_side, close_position, client_id):
        """Take in the further arguments of ``submit``; ValueError for what cannot be."""
        made: Order = order
        if trigger is not None:
            trigger = requests.trigger_of(trigger, *terms)
        elif terms != (0, None, None, 0, False):
            raise ValueError("trigger_ticks, watch, callback and protect belong to a trigger: say which")
        if expires_ns < 0:
            raise ValueError(f"expires_ns {expires_ns}: must be an instant in ns")
        if stp is not None:
            requests.stp_of(stp)
        leg = 0 if position_side is None else requests.leg_of(position_side)
        made.special = requests.Special(trigger, expires_ns, stp, leg, close_position, client_id)

    def send(self, order):
        flags: cython.int = FLAG_REDUCE_ONLY if order.reduce_only else 0
        if order.special is not None:
            flags |= order.leg | (FLAG_CLOSE_POSITION if order.close_position else 0)
        slot: cython.int = self.core.submit(
            self.lane,
            order.instrument,
            order.number,
            order.side,
            order.ticks,
            order.lots,
            order.tif,
            order.type,
            flags,
        )
        order.slot = slot
        if order.special is not None:
            if order.trigger is not None:
                self.core.set_trigger(slot, order.trigger)
            if order.expires_ns:
                self.core.set_expiry(slot, order.expires_ns)
            if order.client_id is not None and self.face is not None:
                self.core.set_client_id(slot, self.face.client_number(order.instrument, order.client_id))
            if order.stp is not None:
                self.core.set_stp(slot, requests.stp_of(order.stp))
        self.keep(order)

    def keep(self, order):
        while order.slot >= len(self.slots):
            self.slots.append(None)
        self.slots[order.slot] = order

    def buy(self, i, ticks, lots, tif=GTC):
        return self.submit(i, BUY, ticks, lots, tif)

    def sell(self, i, ticks, lots, tif=GTC):
        return self.submit(i, SELL, ticks, lots, tif)

    def market(self, i, side, lots, reduce_only=False, **more):
        """A market order; ``more`` as in ``submit``, so that a trigger makes it a stop."""
        if more:
            return self.submit(i, side, 0, lots, IOC, MARKET, reduce_only, **more)
        return self.submit(i, side, 0, lots, IOC, MARKET, reduce_only)

    def cancel(self, order):
        """Ask the venue to cancel an order. False, and nothing is sent, if it is closed or a cancel is under way."""
        if order.is_closed or order.pending & PENDING_CANCEL:
            return False
        order.pending |= PENDING_CANCEL
        order.is_cancelable = False
        if self.deferring:
            self.commands.append((1, order, 0, 0, 0))
        else:
            self.core.cancel(self.lane, order.slot, order.number)
        return True

    def amend(self, order, ticks, lots, trigger_ticks=0):
        """Ask the venue for a new price and total size (filled part included); priority is lost by the venue's rules.

        ``trigger_ticks``: also a new trigger price, of an order that is held.

        False, and nothing is sent, if the order is closed or a request about it is under way.
        """
        if not cython.compiled:
            ticks, lots = index(ticks), index(lots)
        if ticks < 0 or ticks > MAX_TICKS or lots <= 0:
            self._refuse(order.instrument, order.side, ticks, lots)
        if trigger_ticks != 0 and (order.trigger is None or trigger_ticks < 0):
            raise ValueError(f"trigger_ticks {trigger_ticks}: must be positive, and the order have a trigger")
        if order.is_closed or order.pending:
            return False
        order.pending |= PENDING_AMEND
        order.is_cancelable = False
        if self.deferring:
            self.commands.append((2, order, ticks, lots, trigger_ticks))
        else:
            self._send_amend(order, ticks, lots, trigger_ticks)
        return True

    def _send_amend(self, order, ticks, lots, trigger_ticks):
        if trigger_ticks != 0:
            self.moved[order.number] = trigger_ticks
            self.core.amend_trigger(self.lane, order.slot, order.number, ticks, lots, trigger_ticks)
        else:
            self.core.amend(self.lane, order.slot, order.number, ticks, lots)

    def set_leverage(self, i, leverage):
        """Ask the venue for a leverage (whole times) on instrument i; ``on_setting`` brings the answer."""
        self._change(i, SETTING_LEVERAGE, leverage)

    def set_margin_mode(self, i, mode):
        """Ask for MODE_CROSS or MODE_ISOLATED (or ``"cross"``, ``"isolated"``) on instrument i."""
        self._change(i, SETTING_MODE, requests.mode_of(mode))

    def add_margin(self, i, amount_e8, short_leg=False):
        """Ask to move money (1e-8; negative: out of it) into the isolated position of instrument i."""
        self._change(i, SETTING_SHORT_MARGIN if short_leg else SETTING_MARGIN, amount_e8)

    def dead_man(self, i, after):
        """Ask the venue to close our orders unless asked again within ``after``; 0 disarms. See strategy.pyi."""
        self._change(i, SETTING_DEAD_MAN, duration_ns(after))

    def _change(self, i, setting, value):
        if i < 0 or i >= self.count:
            raise IndexError(self._no_instrument(i))
        if self.deferring:
            self.commands.append((ASK_SETTING, (i, setting), index(value), 0, 0))
        else:
            self.core.change_setting(self.lane, i, setting, index(value))

    def cancel_all(self, i=-1):
        """Cancel every order of ours that is not closed: of one instrument, or of all. Returns how many were sent."""
        return sum([self.cancel(order) for order in self.orders(i)])

    def submit_batch(self, orders):
        """Send several orders as one request; see strategy.pyi. Returns their objects."""
        calls = [one if isinstance(one, dict) else dict(zip(SUBMIT_ARGUMENTS, one, strict=False)) for one in orders]
        if self.face is not None:
            self.face.check_batch([one["i"] for one in calls], False)
        self._batch(True)
        try:
            return [self.submit(**one) for one in calls]
        finally:
            self._batch(False)

    def cancel_batch(self, orders):
        """Ask for several cancels in one request. Returns how many were sent."""
        mine = [order for order in orders if not (order.is_closed or order.pending & PENDING_CANCEL)]
        if self.face is not None:
            self.face.check_batch([order.instrument for order in mine], True)
        self._batch(True)
        try:
            return sum([self.cancel(order) for order in mine])
        finally:
            self._batch(False)

    def _batch(self, opens):
        if self.deferring:
            self.commands.append((BATCH, None, opens, 0, 0))
        elif opens:
            self.core.open_batch()
        else:
            self.core.close_batch()

    def flush(self):
        """Send what was decided during a compute delay, in order (called by the run)."""
        waiting, self.commands = self.commands, []
        for kind, item, ticks, lots, trigger_ticks in waiting:
            if kind == ASK_SETTING:
                self.core.change_setting(self.lane, item[0], item[1], ticks)
                continue
            if kind == BATCH:
                self.core.open_batch() if ticks else self.core.close_batch()
                continue
            order: Order = item
            if kind == 0:
                self.send(order)
            elif order.is_closed:  # it closed while we were computing: there is nothing left to ask for
                order.pending &= ~(PENDING_CANCEL if kind == 1 else PENDING_AMEND)
                if order.pending == 0:
                    self.late.pop(order.number, None)
            elif kind == 1:
                self.core.cancel(self.lane, order.slot, order.number)
            else:
                self._send_amend(order, ticks, lots, trigger_ticks)

    def defer(self, on):
        """Hold commands back until ``flush`` (called by the run, which models the time that computing takes)."""
        self.deferring = on
        self.commands = []

    # -- time and records

    def every(self, interval, callback=None):
        """Call back at whole multiples of ``interval`` since the epoch, from the next one on; default ``on_timer``."""
        return self.runtime.add_timer(self.lane, duration_ns(interval), -1, callback)

    def at(self, ts_ns, callback):
        """Call back once, at an instant not before now."""
        if ts_ns < self.now_ns:
            raise ValueError(f"at({ts_ns}): that was before now ({self.now_ns})")
        return self.runtime.add_timer(self.lane, 0, ts_ns, callback)

    def bars(self, i, every):
        """Build bars from prints of instrument i: a duration, ``"500 trades"`` or ``"10 lots"``; see strategy.pyi."""
        if i < 0 or i >= self.count:
            raise IndexError(self._no_instrument(i))
        return self.runtime.add_bars(self.lane, i, every)

    def cancel_timer(self, number):
        """Forget a timer that ``every`` or ``at`` made. False if there is none of that number."""
        return self.runtime.cancel_timer(number)

    def client_id(self, forced):
        """The client id under which the venue shows a forced order or an on_liquidation event; "" if it has none.

        Such as Binance's ``autoclose-1`` (the wire's own suffix is not documented; here it counts the lane's forced
        orders, for events of the account it is their time in ns) and ``adl_autoclose``.
        """
        prefix, deleveraged = self.forced_prefixes[forced.instrument]
        if isinstance(forced, Liquidation):
            if forced.kind == EV_ADL:
                return deleveraged
            return f"{prefix}{forced.ts_event_ns}" if prefix else ""
        return f"{prefix}{-forced.number}" if prefix and forced.external else ""

    def log(self, message, **values):
        """Write a line to the run folder's ``log.jsonl``, stamped with ``now_ns``."""
        self.runtime.log(self.lane, self.now_ns, message, values)

    def stop(self, why=""):
        """End this run after the current callback; ``on_stop`` is still called."""
        self.runtime.request_stop(why)

    # -- private events (called by the run)

    def apply_private(self):
        """Fold the private event just popped from the core into order state, positions and balances.

        Returns the order it is about, or None for account events.
        """
        core: Core = self.core
        kind: cython.longlong = core.ev_kind
        if kind >= EV_FUNDING:
            self._apply_account(kind, core.ev_market)
            return None
        order: Order = self.find(core.ev_slot, core.ev_order_no)
        trigger: cython.longlong = kind
        if kind == EV_FILLED:
            self._apply_fill(order)
            if core.ev_leaves == 0:
                trigger = EV_FILLED_WHOLE
        elif kind == EV_AMENDED:
            order.ticks = core.ev_ticks
            order.lots = core.ev_lots
        elif kind in (EV_ACCEPTED, EV_TRIGGERED):
            order.ticks = core.ev_ticks  # the venue may have moved a post-only order to where it rests,
            order.lots = core.ev_lots  # cut one to the position, or sized one that closes it
        if self.moved and (kind in (EV_AMENDED, EV_AMEND_REJECTED)):
            self._move_trigger(order, kind)
        asked: cython.longlong = order.pending
        entry: cython.longlong = TRANSITIONS[(order.row * 4 + order.pending) * TRIGGERS + trigger]
        if entry < 0:
            raise LifecycleDefect(order.number, order.status_name, lifecycle.event_name(kind), "not in the table")
        effects: cython.longlong = entry >> 4
        if effects & ANSWER_CANCEL:
            order.pending &= ~PENDING_CANCEL
        if effects & ANSWER_AMEND:
            order.pending &= ~PENDING_AMEND
        was_closed: cython.bint = order.is_closed
        if kind == EV_CANCELED and asked == PENDING_AMEND:
            order.pending = 0  # an amendment to no more than has executed
        elif kind == EV_EXPIRED and order.row == OPEN and core.ev_reason == R_POST_ONLY:
            order.pending &= ~PENDING_AMEND  # an amendment that would have crossed, unless one is still to be answered
        elif kind == EV_CANCEL_REJECTED and not asked & PENDING_CANCEL:
            order.pending = 0  # the amendment had closed it, the cancel came second
        order._become(entry & 15)
        if (kind in (EV_ACCEPTED, EV_HELD)) and order.acked_ns == 0:
            order.acked_ns = core.ev_deliver
            order.acked_venue_ns = core.ev_ts
        elif order.is_closed and not was_closed:
            order.reason = R_FILLED if kind == EV_FILLED else core.ev_reason
            self._close(order, core.ev_deliver, asked)
        elif was_closed and order.pending == 0 and not self.keeps_closed:
            self.late.pop(order.number, None)
        return order

    def _apply_fill(self, order):
        core: Core = self.core
        market: cython.longlong = core.ev_market
        leg: cython.longlong = market
        if order.special is not None and order.leg == FLAG_SHORT_LEG:
            leg += self.count
        order.filled_lots += core.ev_lots
        order.value_ticks_lots += core.ev_ticks * core.ev_lots
        if order.external:
            self.wallet_e8[self.wallet_of[market]] = core.ev_wallet_e8  # the fund may have covered what it left
        else:
            self.wallet_e8[self.wallet_of[market]] += core.ev_realized_e8 - core.ev_fee_e8
        if order.side == BUY:
            self.position_lots[leg] += core.ev_lots
        else:
            self.position_lots[leg] -= core.ev_lots

    def _move_trigger(self, order, kind):
        """A held order's trigger price was amended, or not."""
        ticks = self.moved.pop(order.number, 0)
        if ticks and kind == EV_AMENDED:
            order.special = order.special._replace(trigger=replace(order.trigger, ticks=ticks))

    def _forced_leg(self, market, side):
        """The leg that a forced order of a side reduces: a buy can only reduce a short one."""
        return FLAG_SHORT_LEG if side == BUY and self.position_lots[self.count + market] != 0 else 0

    def _apply_account(self, kind, market):
        core: Core = self.core
        wallet: cython.longlong = self.wallet_of[market]
        if kind == EV_FUNDING:
            self.wallet_e8[wallet] += core.ev_fee_e8
        elif kind in (EV_LIQUIDATED, EV_ADL):
            self.wallet_e8[wallet] = core.ev_wallet_e8  # as stated: the insurance fund may have covered a deficit
            if self._forced_leg(market, core.ev_side):
                self.position_lots[self.count + market] += core.ev_lots
            elif core.ev_side == BUY:
                self.position_lots[market] += core.ev_lots
            else:
                self.position_lots[market] -= core.ev_lots

    def order_event(self, now):
        """What the order event just popped from the core says (called by the run)."""
        core: Core = self.core
        event: OrderEvent = OrderEvent.__new__(OrderEvent)
        event.instrument = core.ev_market
        event.order_number = core.ev_order_no
        event.kind = core.ev_kind
        event.reason = core.ev_reason
        event.side = core.ev_side
        event.face = self.face
        event.ts_event_ns = core.ev_ts
        event.ts_ns = now
        event.ticks = core.ev_ticks
        event.lots = core.ev_lots
        event.leaves_lots = core.ev_leaves
        event.said = self.words.pop((core.ev_order_no, core.ev_kind), None) if self.words else None
        return event

    def setting(self):
        """The answer to a request for a setting that was just popped from the core (called by the run)."""
        core: Core = self.core
        setting: Setting = Setting.__new__(Setting)
        setting.instrument = core.ev_market
        setting.kind = core.ev_ticks
        setting.value = core.ev_lots
        setting.is_accepted = core.ev_kind == EV_SETTING
        setting.reason = core.ev_reason
        setting.ts_event_ns = core.ev_ts
        setting.ts_ns = core.now
        return setting

    def fill(self, order):
        """The execution that was just popped from the core (called by the run)."""
        core: Core = self.core
        fill: Fill = Fill.__new__(Fill)
        fill.instrument = core.ev_market
        fill.order_number = core.ev_order_no
        fill.side = order.side
        fill.ticks = core.ev_ticks
        fill.lots = core.ev_lots
        fill.leaves_lots = core.ev_leaves
        fill.liquidity = core.ev_liquidity
        fill.cause = core.ev_cause
        fill.fee_e8 = core.ev_fee_e8
        fill.realized_e8 = core.ev_realized_e8
        fill.ts_event_ns = core.ev_ts
        fill.ts_ns = core.now
        fill.queue_front_lots = core.ev_front / 1e6
        fill.tick_num = self.tick_num[fill.instrument]
        fill.tick_den = self.tick_den[fill.instrument]
        return fill

    def funding(self):
        """The payment that was just popped from the core (called by the run)."""
        core: Core = self.core
        funding: Funding = Funding.__new__(Funding)
        funding.instrument = core.ev_market
        funding.boundary_ns = core.ev_ts
        funding.ts_ns = core.now
        funding.rate_e12 = core.ev_front
        funding.mark_e8 = core.ev_ticks
        funding.position_lots = core.ev_lots
        funding.payment_e8 = core.ev_fee_e8
        return funding

    def liquidation(self):
        """The liquidation, deleveraging or warning that was just popped from the core (called by the run)."""
        core: Core = self.core
        event: Liquidation = Liquidation.__new__(Liquidation)
        event.instrument = core.ev_market
        event.kind = core.ev_kind
        event.side = core.ev_side
        event.ticks = core.ev_ticks
        event.lots = core.ev_lots
        event.amount_e8 = core.ev_realized_e8 - core.ev_fee_e8
        event.realized_e8 = core.ev_realized_e8
        event.fee_e8 = core.ev_fee_e8
        event.cause = core.ev_cause
        event.price_kind = core.ev_leaves
        event.mark_e8 = core.mark_e8(core.ev_market)
        event.ts_event_ns = core.ev_ts
        event.ts_ns = core.now
        return event

    def _close(self, order, ts_ns, asked):
        """``asked``: the requests that were pending; what answers them may still come and must find the order."""
        order.closed_ns = ts_ns
        if self.moved:
            self.moved.pop(order.number, None)
        if order.slot >= 0:
            self.slots[order.slot] = None
        else:
            self.forced.pop(order.number, None)
        if order.pending or asked & PENDING_AMEND or self.keeps_closed:
            if len(self.late) >= MAX_LATE:  # what answered a request and closed the order in one leaves it here
                self.late = dict(list(self.late.items())[MAX_LATE // 2 :])
            self.late[order.number] = order

    def find(self, slot, number):
        """The order an event is about: the one in its slot, one that closed with a request under way, or a new one."""
        order: Order
        if slot >= 0 and slot < len(self.slots):
            order = self.slots[slot]
            if order is not None and order.number == number:
                return order
        order = self.late.get(number) if number > 0 else self.forced.get(number)
        return self.adopt() if order is None else order

    def order_in(self, slot):
        """The order in a slot of the core, None if it has closed (called by the gateway)."""
        return self.slots[slot] if 0 <= slot < len(self.slots) else None

    def lose(self, slot, number, trigger):
        """A request of ours has no answer (L_OUTCOME_LOST, L_REQUEST_LOST of the lifecycle; called by the gateway)."""
        order: Order = self.order_in(slot)
        if order is None or order.number != number:
            return
        entry: cython.longlong = TRANSITIONS[(order.row * 4 + order.pending) * TRIGGERS + trigger]
        if entry < 0:
            raise LifecycleDefect(number, order.status_name, lifecycle.event_name(trigger), "not in the table")
        order._become(entry & 15)

    def begin_with(self, i, lots, leg=None):
        """A position that the account holds when the run begins (called by the run, before ``on_start``)."""
        short = leg is not None and requests.leg_of(leg) == FLAG_SHORT_LEG
        self.position_lots[self.count + i if short else i] = lots

    def adopt(self):
        """An order that the venue made for us (a liquidation's), as an object of its own: not sent by us, external."""
        core: Core = self.core
        order: Order = Order.__new__(Order)
        order.number = core.ev_order_no
        order.lane = self.lane
        order.instrument = core.ev_market
        order.side = core.ev_side
        order.ticks = core.ev_ticks
        order.lots = core.ev_lots if core.ev_kind == EV_ACCEPTED else core.ev_lots + core.ev_leaves
        order.filled_lots = core.ev_lots - core.ev_leaves if core.ev_kind == EV_ACCEPTED else 0
        order.tif = IOC
        order.type = LIMIT
        order.reduce_only = True
        if self._forced_leg(order.instrument, order.side):
            order.special = requests.Special(leg=FLAG_SHORT_LEG)
        order.external = True
        order.pending = order.reason = 0
        order._become(OPEN)
        order.sent_ns = order.acked_ns = core.ev_deliver
        order.acked_venue_ns = core.ev_ts
        order.closed_ns = order.value_ticks_lots = order.tag = 0
        order.slot = core.ev_slot
        if order.slot >= 0:
            self.keep(order)
        elif order.number < 0:
            self.forced[order.number] = order
        return order

    def _refuse_size(self, i, lots, close_position):
        if i < 0 or i >= self.count:
            raise IndexError(self._no_instrument(i))
        symbol = self.instruments[i].symbol
        if close_position:
            raise ValueError(f"{symbol}: close_position leaves the size to the venue, give 0 lots and not {lots}")
        raise ValueError(f"{symbol}: an order needs a positive number of lots, got {lots}")

    def _refuse(self, i, side, ticks, lots):
        if i < 0 or i >= self.count:
            raise IndexError(self._no_instrument(i))
        if side not in (BUY, SELL):
            raise ValueError(f"side {side}: must be BUY (0) or SELL (1)")
        if lots <= 0:
            self._refuse_size(i, lots, False)
        raise ValueError(f"{self.instruments[i].symbol}: price of {ticks} ticks must lie between 0 and {MAX_TICKS}")

    def _no_instrument(self, i):
        return f"instrument {i}: this run has instruments 0 to {self.count - 1}, in run-file order"


def _no_side(side):
    raise ValueError(f"side {side}: must be BUY (0) or SELL (1)")


def _order_number(order):
    return order.number


def _price_scale(instrument):
    """(num, den) with price = ticks * num / den, so that the division rounds only once."""
    one = instrument.price_of(1)
    den = 10 ** max(0, -int(one.as_tuple().exponent))
    return float(int(one * den)), float(den)


class Strategy:
    """Base class of strategies. Override what you want to hear of; nothing else leaves the kernel.

    ``self.ctx`` is there from ``on_start`` on. Parameters of the run file are passed to the constructor by name.
    """

    def save_state(self):
        """What a later run of this strategy begins with (paper and live, over a restart): a dict or bytes, or None."""

    def restore_state(self, state):
        """Before ``on_start``, if an earlier run has left something: what its ``save_state`` returned last."""

    def on_start(self):
        """Once, before the first event: declare timers and bars here. ``ctx.now_ns`` is the start of the run."""

    def on_stop(self):
        """Once, after the last event; every response due by then has been seen."""

    def on_book(self, i):
        """The local book of instrument i has changed (one feed message)."""

    def on_trade(self, i, trade):
        """A print was received."""

    def on_bar(self, i, bar):
        """A bar asked for with ``ctx.bars`` is complete."""

    def on_data(self, name, row):
        """A row of a run file's ``[[data]]`` table is due; ``row`` has its columns as attributes."""

    def on_order(self, order, event):
        """Something happened to an order of ours; its object is already up to date."""

    def on_fill(self, order, fill):
        """An order of ours executed, in part or whole."""

    def on_funding(self, i, funding):
        """Funding was booked to our account."""

    def on_mark(self, i):
        """A mark price was received: ``ctx.book(i).mark_e8``."""

    def on_gap(self, i, gap):
        """The feed has a hole; the book is not valid until its next snapshot."""

    def on_liquidation(self, i, event):
        """The venue warned of, or carried out, a liquidation of our position."""

    def on_setting(self, i, setting):
        """The venue changed a setting as we asked, or refused to."""

    def on_force_order(self, i, trade):
        """The feed reported somebody else's liquidation order (information only, and lossy at the venue)."""

    def on_timer(self):
        """A timer made with ``ctx.every(interval)`` and no callback of its own is due."""


globals()["Bar"] = Bar  # compiled, the name is a C type only; give it to Python too
