# Types of loop.py for compiled code; the meaning of everything is documented there.
cimport cython
from matching.codes cimport *
from matching.kernel cimport Core
from sim.bars cimport Bar, BarSeries
from sim.lanes cimport *
from sim.strategy cimport Context, Fill, Funding, Gap, Liquidation, Order, OrderEvent, Setting, Strategy, Trade

@cython.final
cdef class Loop:
    cdef readonly Core core
    cdef readonly long long start_ns, wakes, private_events
    cdef readonly str stop_reason
    cdef readonly bint stopped
    cdef readonly long long calling
    cdef list lanes, sources, timers, one_shots, streams
    cdef list series
    cdef long long[::1] series_count
    cdef object sink, services
    cdef long long drained_at, timer_numbers
    cdef long long now, next_timer, next_shot, next_row, next_free
    cdef bint delays
    cpdef run(self)
    cpdef begin(self)
    cpdef step(self, long long until_ns)
    cpdef finish(self)
    cpdef long long next_due_ns(self)
    cdef int _begin(self) except -1
    cdef _handle(self, int code)
    cdef long long _next_due(self) noexcept
    cdef _private(self)
    cdef _order_callbacks(self, Lane lane, Order order)
    cdef _account_callbacks(self, Lane lane)
    cdef _setting_callback(self, Lane lane)
    cdef _message(self)
    cdef _trade_message(self, long long m, bint force)
    cdef _book_message(self, long long m)
    cdef _mark_message(self, long long m)
    cdef _gap_message(self, long long m)
    cdef _bars_of(self, long long m, Py_ssize_t known)
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
