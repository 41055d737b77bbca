# Types of loop.py for compiled code; the meaning of everything is documented there.
cimport cython
from matching.codes cimport *
from matching.kernel cimport Core
from sim.strategy cimport Bar, Context, Fill, Funding, Gap, Liquidation, Order, OrderEvent, Strategy, Trade

cdef enum:
    HEARS_BOOK = 1
    HEARS_TRADE = 2
    HEARS_BAR = 4
    HEARS_DATA = 8
    HEARS_ORDER = 16
    HEARS_FILL = 32
    HEARS_FUNDING = 64
    HEARS_MARK = 128
    HEARS_GAP = 256
    HEARS_LIQUIDATION = 512
    HEARS_FORCE = 1024
    HEARS_PRIVATE = 624  # ORDER | FILL | FUNDING | LIQUIDATION

@cython.final
cdef class Timer:
    cdef Lane lane
    cdef long long number, interval_ns, due_ns
    cdef object callback
    cdef BarSeries series

@cython.final
cdef class BarSeries:
    cdef Lane lane
    cdef long long number, instrument, trades_target, lots_target
    cdef Bar bar
    cdef long long last_ticks, opened_ns
    cdef Bar add(self, long long side, long long ticks, long long lots, long long ts_ns)
    cdef Bar close(self, long long ts_ns)

@cython.final
cdef class Lane:
    cdef Context ctx
    cdef Strategy strategy
    cdef long long number, hears
    cdef object call_book, call_trade, call_bar, call_data, call_order, call_fill, call_funding, call_mark, call_gap
    cdef object call_liquidation, call_force, call_timer
    # compute delay
    cdef object delay, waiting
    cdef long long busy_until, inputs
    cdef bint holding

@cython.final
cdef class Loop:
    cdef readonly Core core
    cdef readonly long long start_ns, wakes, private_events
    cdef readonly str stop_reason
    cdef readonly bint stopped
    cdef readonly long long calling
    cdef list lanes, sources, ahead, timers, one_shots, streams
    cdef list series
    cdef long long[::1] series_count
    cdef object sink, services
    cdef long long drained_at, timer_numbers
    cdef long long now, next_timer, next_shot, next_row, next_free
    cdef bint delays
    cpdef run(self)
    cdef _handle(self, int code)
    cdef long long _next_due(self) noexcept
    cdef _private(self)
    cdef _order_callbacks(self, Lane lane, Order order)
    cdef _account_callbacks(self, Lane lane)
    cdef _message(self)
    cdef _trade_message(self, long long m, bint force)
    cdef _book_message(self, long long m)
    cdef _mark_message(self, long long m)
    cdef _gap_message(self, long long m)
    cdef _bars_of(self, long long m)
    cdef _send_bar(self, Lane lane, Bar bar)
    cdef _due(self)
    cdef _fire_bars(self)
    cdef _fire_timers(self)
    cdef _fire_shots(self)
    cdef _fire_rows(self)
    cdef bint _enter(self, Lane lane) noexcept
    cdef _input(self, Lane lane, object call, tuple arguments)
    cdef _compute(self, Lane lane, object call, tuple arguments)
    cdef _release(self)
    cdef _refill(self)
