# Types of lanes.py for compiled code; the meaning of everything is documented there.
cimport cython
from sim.bars cimport BarSeries
from sim.strategy cimport Context, Strategy

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
    HEARS_SETTING = 2048
    HEARS_PRIVATE = 2672  # ORDER | FILL | FUNDING | LIQUIDATION | SETTING

@cython.final
cdef class Lane:
    cdef Context ctx
    cdef Strategy strategy
    cdef long long number, hears
    cdef object call_book, call_trade, call_bar, call_data, call_order, call_fill, call_funding, call_mark, call_gap
    cdef object call_liquidation, call_force, call_setting, call_timer
    # compute delay
    cdef object delay, waiting
    cdef long long busy_until, inputs
    cdef bint holding

@cython.final
cdef class Timer:
    cdef Lane lane
    cdef long long number, interval_ns, due_ns
    cdef object callback
    cdef BarSeries series
