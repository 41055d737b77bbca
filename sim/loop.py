"""The run loop: the kernel's wake-ups become callbacks, in one total order, and callbacks become commands.

Theory of operation. ``Core.advance(until)`` brings the venue and the client's view of it to the next instant at which
somebody here can act. The loop gives it the earliest of its own instants as ``until`` (timers, time bars, rows of data
tables, the end of a compute delay) and then works off what is due, always in this order:

    private events, then market events (the feed's, then rows of data tables), then bars that close, then timers

Nothing is stamped earlier than what came before it, and ``ctx.now_ns`` is that stamp. Computing takes no time unless a
lane has a compute delay: then its callback's commands leave when the delay is over, and inputs that arrive meanwhile
wait their turn (order state, positions and books are kept up to date as of now; only the callbacks wait).

A lane hears only what its strategy overrides. Callbacks of interpreted strategies are bound once; annotated ones are
called through their C entry.

Memory stays flat: feeds come window by window, and log and samples leave for the run folder at every window and
whenever many private events have been seen.
"""

from heapq import heappop, heappush

import cython
import numpy as np

from matching.feed import messages_from_rows
from sim.bars import bar_spec
from sim.lanes import MAX_WAITING
from sim.strategy import NEVER_NS

if not cython.compiled:
    from matching.codes import *
    from sim.bars import Bar, BarSeries
    from sim.lanes import *
    from sim.strategy import Fill, Funding, Gap, Liquidation, OrderEvent, Setting, Trade

EMPTY = messages_from_rows(*[np.zeros(0, kind) for kind in ("i8", "i8", "u1", "u1", "i4", "i4")])
DRAIN_EVERY = 16_384  # private events between two drains of the log


class Loop:
    """One run over one core. Make the contexts first (they need ``runtime=loop``), then ``run()`` once.

    ``sources[m]`` feeds market m; ``streams`` are data tables (``next_ns``, ``pop()``); ``sink.drain(core, final)``
    takes log and samples, ``sink.window(now_ns)`` hears of progress; ``services`` answers ``index``, ``history``
    and ``log``. Errors of a strategy come out of ``run`` as they are, with ``calling`` at the lane's number.
    """

    def __init__(self, core, sources, start_ns, streams, sink, services):
        self.core = core
        self.sources = list(sources)
        self.start_ns = start_ns
        self.streams = list(streams)
        self.sink = sink
        self.services = services
        self.lanes = []
        self.timers = []
        self.one_shots = []
        self.series = []
        self.series_count = memoryview(np.zeros(max(1, len(self.sources)), np.int64))
        self.stop_reason = ""
        self.stopped = False
        self.calling = -1
        self.wakes = self.private_events = self.drained_at = self.timer_numbers = 0
        self.now = start_ns
        self.next_timer = self.next_shot = self.next_row = self.next_free = NEVER_NS
        self.delays = False

    def add_lane(self, strategy, ctx, delay=None):
        """Put a strategy into the run. Lanes are numbered in this order."""
        lane: Lane = Lane(len(self.lanes), strategy, ctx, delay)
        self.lanes.append(lane)
        self.delays = self.delays or delay is not None
        strategy.ctx = ctx

    # -- services of the contexts ---------------------------------------------------------------------------------

    def index(self, name):
        return self.services.index(name)

    def history(self, lane, i, span_ns, kind, bar):
        return self.services.history(i, span_ns, self.now, kind, bar)

    def log(self, lane, now_ns, message, values):
        self.services.log(lane, now_ns, message, values)

    def request_stop(self, why):
        self.stopped = True
        self.stop_reason = str(why)

    def add_timer(self, lane, interval_ns, at_ns, callback):
        """Every whole multiple of ``interval_ns``, or (interval 0) once at ``at_ns``. Returns the timer's number."""
        self.timer_numbers += 1
        found: Lane = self.lanes[lane]
        if callback is not None and not callable(callback):
            raise TypeError(f"a timer's callback must be callable, not {callback!r}")
        if interval_ns == 0 and at_ns < 0:
            raise ValueError("every(): the interval must be at least 1 ns")
        if interval_ns == 0:
            heappush(self.one_shots, (at_ns, self.timer_numbers, lane, callback))
            self.next_shot = self.one_shots[0][0]
            return self.timer_numbers
        due: cython.longlong = self._multiple_after(interval_ns)
        self.timers.append(Timer(found, self.timer_numbers, interval_ns, due, callback, None))
        self.next_timer = min(self.next_timer, due)
        return self.timer_numbers

    def cancel_timer(self, number):
        """Forget a timer or one-shot. False if there is none of that number."""
        before = len(self.timers) + len(self.one_shots)
        for item in self.timers:
            timer: Timer = item
            if timer.number == number:
                timer.due_ns = NEVER_NS  # it may be about to fire at this very instant
        self.timers = [timer for timer in self.timers if not self._is_timer(timer, number)]
        self.one_shots = sorted(shot for shot in self.one_shots if shot[1] != number)
        self.next_shot = self.one_shots[0][0] if self.one_shots else NEVER_NS
        return len(self.timers) + len(self.one_shots) < before

    def _is_timer(self, timer, number):
        found: Timer = timer
        return found.number == number

    def add_bars(self, lane, i, every):
        """See ``Context.bars``. Returns the number of the series."""
        found: Lane = self.lanes[lane]
        trades, lots, interval_ns = bar_spec(every)
        self.timer_numbers += 1
        made: BarSeries = BarSeries(lane, self.timer_numbers, i, trades, lots, self.now)
        self.series.append(made)
        self.series_count[i] += 1
        if interval_ns:
            due: cython.longlong = self._multiple_after(interval_ns)
            self.timers.append(Timer(found, self.timer_numbers, interval_ns, due, None, made))
            self.next_timer = min(self.next_timer, due)
        self.core.listen(lane, i, self._mask(found, i))
        return made.number

    def _multiple_after(self, interval_ns):
        return (self.now // interval_ns + 1) * interval_ns

    def _mask(self, lane, i):
        """What a lane must hear of instrument i, in the core's bits."""
        found: Lane = lane
        pairs = (
            (HEARS_BOOK, ON_BOOK), (HEARS_TRADE, ON_TRADE), (HEARS_MARK, ON_MARK), (HEARS_GAP, ON_GAP),
            (HEARS_FORCE, ON_FORCE), (HEARS_PRIVATE, ON_PRIVATE),
        )  # fmt: skip
        mask = sum(bit for heard, bit in pairs if found.hears & heard)
        for item in self.series:
            series: BarSeries = item
            if series.lane == found.number and series.instrument == i:
                mask |= ON_TRADE
        return mask

    # -- the run --------------------------------------------------------------------------------------------------

    def run(self):
        """From the first event to the last. ``on_start`` comes before the first event, ``on_stop`` after the last."""
        self._first_windows()
        code: cython.int = self._begin()
        while not self.stopped and code != WAKE_END:
            code = self.core.advance(self._next_due())
            self.now = self.core.now
            self._handle(code)
        self._stop()

    def begin(self):
        """The beginning of a run in steps: ``on_start`` and its commands.

        A source that is None is a live feed: the core is given its messages before each step (``Core.feed_client``,
        ``Core.feed_venue``), the first time before this, up to the start.
        """
        self._first_windows()
        self._begin()

    def step(self, until_ns):
        """All that is due by ``until_ns``, in order; what was received by then has been given to the core."""
        code: cython.int = WAKE_MARKET
        due: cython.longlong
        limit: cython.longlong = until_ns
        while (
            code != WAKE_END
            and not self.stopped
            and (code != WAKE_TIME or self.now < limit or self._next_due() <= limit)
        ):
            due = min(self._next_due(), limit)
            code = self.core.advance(due)
            self.now = self.core.now
            self._handle(code)

    def finish(self):
        """The end of a run in steps: ``on_stop``, and what log and samples still hold."""
        self._stop()

    def next_due_ns(self):
        """When a step is due although nothing has been received: timers, bars, data rows, the venue's own doings."""
        return min(self._next_due(), self.core.next_due_ns())

    def _begin(self):
        self._start()
        code: cython.int = self.core.advance(self.start_ns)
        while code == NEED_DATA:  # what was decided in on_start leaves at the start, however small the windows are
            self._refill()
            code = self.core.advance(self.start_ns)
        self.now = self.core.now
        for item in self.lanes:
            lane: Lane = item
            lane.ctx.now_ns = self.now
            lane.ctx.flush()
            lane.ctx.defer(lane.delay is not None)
        self._handle(code)
        return code

    def _first_windows(self):
        for m, source in enumerate(self.sources):
            if source is None:
                continue
            window = source.next_window()
            if window is None:
                raise ValueError(f"market {m}: its feed holds no messages in the run's span")
            self.core.set_window(m, window, False)
        for item in self.streams:
            self.next_row = min(self.next_row, item.next_ns)

    def _start(self):
        for item in self.lanes:
            lane: Lane = item
            for i in range(len(self.sources)):
                self.core.listen(lane.number, i, self._mask(lane, i))
        for item in self.lanes:
            starting: Lane = item
            starting.ctx.now_ns = self.start_ns
            starting.ctx.defer(True)
            self.calling = starting.number
            starting.strategy.on_start()
        self.calling = -1

    def _stop(self):
        for item in self.lanes:
            lane: Lane = item
            lane.ctx.now_ns = self.now
            self.calling = lane.number
            lane.strategy.on_stop()
        self.calling = -1
        self.sink.drain(self.core, True)

    def _handle(self, code):
        """Work off everything that is due at ``now``."""
        self.wakes += 1
        if code == NEED_DATA:
            self._refill()
            return
        if self.delays:
            self._release()
        while self.core.pop_private():
            self._private()
        if code == WAKE_MARKET:
            self._message()
        elif code == WAKE_TIME:
            self._due()
        self.calling = -1
        if self.private_events - self.drained_at > DRAIN_EVERY:
            self.drained_at = self.private_events
            self.sink.drain(self.core, False)
            self.sink.window(self.now)

    def _next_due(self):
        due: cython.longlong = self.next_timer
        if self.next_shot < due:
            due = self.next_shot
        if self.next_row < due:
            due = self.next_row
        if self.next_free < due:
            due = self.next_free
        return due

    def _refill(self):
        for m in self.core.needs():
            window = self.sources[m].next_window()
            self.core.set_window(m, EMPTY if window is None else window, window is None)
        self.drained_at = self.private_events
        self.sink.drain(self.core, False)
        self.sink.window(self.now)

    # -- private events -------------------------------------------------------------------------------------------

    def _private(self):
        lane: Lane = self.lanes[self.core.ev_lane]
        order: Order = lane.ctx.apply_private()
        self.private_events += 1
        if (lane.hears & HEARS_PRIVATE) == 0:
            return
        if order is not None:
            self._order_callbacks(lane, order)
        else:
            self._account_callbacks(lane)

    def _order_callbacks(self, lane, order):
        core: Core = self.core
        if lane.hears & HEARS_ORDER:
            event: OrderEvent = lane.ctx.order_event(self.now)
            if not self._enter(lane):
                self._input(lane, lane.call_order, (order, event))
            elif lane.call_order is not None:
                lane.call_order(order, event)
            else:
                lane.strategy.on_order(order, event)
        if lane.hears & HEARS_FILL and core.ev_kind == EV_FILLED:
            fill: Fill = lane.ctx.fill(order)
            if not self._enter(lane):
                self._input(lane, lane.call_fill, (order, fill))
            elif lane.call_fill is not None:
                lane.call_fill(order, fill)
            else:
                lane.strategy.on_fill(order, fill)

    def _account_callbacks(self, lane):
        core: Core = self.core
        if core.ev_kind == EV_FUNDING:
            if (lane.hears & HEARS_FUNDING) == 0:
                return
            funding: Funding = lane.ctx.funding()
            if not self._enter(lane):
                self._input(lane, lane.call_funding, (funding.instrument, funding))
            elif lane.call_funding is not None:
                lane.call_funding(funding.instrument, funding)
            else:
                lane.strategy.on_funding(funding.instrument, funding)
        elif core.ev_kind == EV_SETTING or core.ev_kind == EV_SETTING_REJECTED:
            if lane.hears & HEARS_SETTING:
                self._setting_callback(lane)
        elif lane.hears & HEARS_LIQUIDATION:
            event: Liquidation = lane.ctx.liquidation()
            if not self._enter(lane):
                self._input(lane, lane.call_liquidation, (event.instrument, event))
            elif lane.call_liquidation is not None:
                lane.call_liquidation(event.instrument, event)
            else:
                lane.strategy.on_liquidation(event.instrument, event)

    def _setting_callback(self, lane):
        setting: Setting = lane.ctx.setting()
        if not self._enter(lane):
            self._input(lane, lane.call_setting, (setting.instrument, setting))
        elif lane.call_setting is not None:
            lane.call_setting(setting.instrument, setting)
        else:
            lane.strategy.on_setting(setting.instrument, setting)

    # -- market events --------------------------------------------------------------------------------------------

    def _message(self):
        m: cython.longlong = self.core.msg_market
        kind: cython.longlong = self.core.msg_kind
        if kind in (TRADE, OFFBOOK):
            known: cython.Py_ssize_t = len(self.series)
            self._trade_message(m, False)
            if kind == TRADE and self.series_count[m]:
                self._bars_of(m, known)
        elif kind == FORCE:
            self._trade_message(m, True)
        elif kind == MARK:
            self._mark_message(m)
        elif kind == GAP:
            self._gap_message(m)
        else:
            self._book_message(m)

    def _book_message(self, m):
        for item in self.lanes:
            lane: Lane = item
            if lane.hears & HEARS_BOOK:
                if not self._enter(lane):
                    self._input(lane, lane.call_book, (m,))
                elif lane.call_book is not None:
                    lane.call_book(m)
                else:
                    lane.strategy.on_book(m)

    def _mark_message(self, m):
        for item in self.lanes:
            lane: Lane = item
            if lane.hears & HEARS_MARK:
                if not self._enter(lane):
                    self._input(lane, lane.call_mark, (m,))
                elif lane.call_mark is not None:
                    lane.call_mark(m)
                else:
                    lane.strategy.on_mark(m)

    def _gap_message(self, m):
        core: Core = self.core
        gap: Gap = Gap.__new__(Gap)
        gap.instrument = m
        gap.kind = core.msg_aux(0)
        gap.first_lost = core.msg_aux(1)
        gap.last_lost = core.msg_aux(2)
        gap.span_ns = core.msg_aux(3)
        gap.ts_event_ns = core.msg_ts_event
        gap.ts_recv_ns = core.msg_ts_recv
        for item in self.lanes:
            lane: Lane = item
            if lane.hears & HEARS_GAP:
                if not self._enter(lane):
                    self._input(lane, lane.call_gap, (m, gap))
                elif lane.call_gap is not None:
                    lane.call_gap(m, gap)
                else:
                    lane.strategy.on_gap(m, gap)

    def _trade_message(self, m, force):
        """Every print of the message to every lane that hears prints (or, with ``force``, liquidation orders)."""
        core: Core = self.core
        k: cython.longlong
        bit: cython.longlong = HEARS_FORCE if force else HEARS_TRADE
        rows: cython.longlong = core.msg_rows
        for item in self.lanes:
            lane: Lane = item
            if (lane.hears & bit) == 0:
                continue
            for k in range(rows):
                trade: Trade = Trade.__new__(Trade)
                trade.instrument = m
                trade.side = core.msg_side(k)
                trade.ticks = core.msg_ticks(k)
                trade.lots = core.msg_lots(k)
                trade.id = core.msg_ref
                trade.ts_event_ns = core.msg_ts_event
                trade.ts_recv_ns = core.msg_ts_recv
                trade.is_off_book = core.msg_kind == OFFBOOK
                trade.tick_num = lane.ctx.tick_num[m]
                trade.tick_den = lane.ctx.tick_den[m]
                if not self._enter(lane):
                    self._input(lane, lane.call_force if force else lane.call_trade, (m, trade))
                elif force and lane.call_force is not None:
                    lane.call_force(m, trade)
                elif force:
                    lane.strategy.on_force_order(m, trade)
                elif lane.call_trade is not None:
                    lane.call_trade(m, trade)
                else:
                    lane.strategy.on_trade(m, trade)

    def _bars_of(self, m, known):
        """Fold the prints of the message into the first ``known`` series: those that it has not brought about."""
        core: Core = self.core
        k: cython.longlong
        rows: cython.longlong = core.msg_rows
        for item in self.series[:known]:
            series: BarSeries = item
            if series.instrument != m:
                continue
            for k in range(rows):
                bar: Bar = series.add(core.msg_side(k), core.msg_ticks(k), core.msg_lots(k), self.now)
                if bar is not None:
                    self._send_bar(self.lanes[series.lane], bar)

    def _send_bar(self, lane, bar):
        if (lane.hears & HEARS_BAR) == 0:
            return
        if not self._enter(lane):
            self._input(lane, lane.call_bar, (bar.instrument, bar))
        elif lane.call_bar is not None:
            lane.call_bar(bar.instrument, bar)
        else:
            lane.strategy.on_bar(bar.instrument, bar)

    # -- what the loop itself makes due ---------------------------------------------------------------------------

    def _due(self):
        if self.next_row <= self.now:
            self._fire_rows()
        if self.next_timer <= self.now:
            if len(self.series) > 0:
                self._fire_bars()
            self._fire_timers()
        if self.next_shot <= self.now:
            self._fire_shots()

    def _fire_rows(self):
        """Rows of data tables that are due, by their time, at equal times in the tables' order."""
        while self.next_row <= self.now:
            stream = min(self.streams, key=_next_row)
            row = stream.pop()
            self.next_row = min([_next_row(other) for other in self.streams])
            for item in self.lanes:
                lane: Lane = item
                if lane.hears & HEARS_DATA:
                    if not self._enter(lane):
                        self._input(lane, lane.call_data, (stream.name, row))
                    elif lane.call_data is not None:
                        lane.call_data(stream.name, row)
                    else:
                        lane.strategy.on_data(stream.name, row)

    def _fire_bars(self):
        for item in self.timers:
            timer: Timer = item
            if timer.series is not None and timer.due_ns <= self.now:
                timer.due_ns += timer.interval_ns
                bar: Bar = timer.series.close(self.now)
                if bar is not None:
                    self._send_bar(timer.lane, bar)

    def _fire_timers(self):
        """Timers that are due, in the order in which they were made."""
        first: cython.longlong = NEVER_NS
        timer: Timer
        lane: Lane
        waiting: list = self.timers
        for item in waiting:
            timer = item
            if timer.due_ns <= self.now:
                timer.due_ns += timer.interval_ns
                lane = timer.lane
                if timer.callback is not None:
                    if self._enter(lane):
                        timer.callback()
                    else:
                        self._input(lane, timer.callback, ())
                elif not self._enter(lane):
                    self._input(lane, lane.call_timer, ())
                elif lane.call_timer is not None:
                    lane.call_timer()
                else:
                    lane.strategy.on_timer()
        for item in self.timers:
            timer = item
            if timer.due_ns < first:
                first = timer.due_ns
        self.next_timer = first

    def _fire_shots(self):
        while self.next_shot <= self.now:
            shot = heappop(self.one_shots)
            self.next_shot = self.one_shots[0][0] if self.one_shots else NEVER_NS
            lane: Lane = self.lanes[shot[2]]
            if self._enter(lane):
                shot[3]()
            else:
                self._input(lane, shot[3], ())

    # -- compute delays -------------------------------------------------------------------------------------------

    def _enter(self, lane):
        """About to call a lane. False if its inputs have to queue because it models the time that computing takes."""
        if lane.delay is not None:
            return False
        lane.ctx.now_ns = self.now
        self.calling = lane.number
        return True

    def _input(self, lane, call, arguments):
        if self.now < lane.busy_until or len(lane.waiting) > 0:
            if len(lane.waiting) >= MAX_WAITING:
                raise OverflowError(
                    f"lane {lane.number}: {MAX_WAITING} inputs wait for its compute delay; it is slower than its feed"
                )
            lane.waiting.append((call, arguments))
            return
        self._compute(lane, call, arguments)

    def _compute(self, lane, call, arguments):
        """One callback: its commands leave when its delay is over."""
        lane.ctx.now_ns = self.now
        self.calling = lane.number
        call(*arguments)
        lane.inputs += 1
        lane.busy_until = self.now + cython.cast(cython.longlong, lane.delay(lane.inputs))
        if lane.busy_until <= self.now:
            lane.ctx.flush()
        else:
            lane.holding = True
            if lane.busy_until < self.next_free:
                self.next_free = lane.busy_until

    def _release(self):
        """Lanes whose delay is over send what they decided, then turn to what has been waiting."""
        first: cython.longlong = NEVER_NS
        for item in self.lanes:
            lane: Lane = item
            while lane.holding and lane.busy_until <= self.now:
                lane.holding = False
                lane.ctx.flush()
                while len(lane.waiting) > 0 and not lane.holding:
                    waiting = lane.waiting.popleft()
                    self._compute(lane, waiting[0], waiting[1])
            if lane.holding and lane.busy_until < first:
                first = lane.busy_until
        self.next_free = first


def _next_row(stream):
    return stream.next_ns
