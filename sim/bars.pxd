# Types of bars.py for compiled code; the meaning of everything is documented there.
cimport cython
from matching.codes cimport *

@cython.final
@cython.freelist(64)
cdef class Bar:
    cdef readonly long long instrument, series, start_ns, end_ns
    cdef readonly long long open_ticks, high_ticks, low_ticks, close_ticks
    cdef readonly long long lots, buy_lots, trades, value_ticks_lots

@cython.final
cdef class BarSeries:
    cdef readonly long long lane, number, instrument
    cdef long long trades_target, lots_target
    cdef Bar bar
    cdef long long last_ticks, opened_ns
    cpdef Bar add(self, long long side, long long ticks, long long lots, long long ts_ns)
    cpdef Bar close(self, long long ts_ns)
