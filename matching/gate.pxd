# Types of gate.py for compiled code; the meaning of everything is documented there.
cimport cython
from matching.arith cimport CEIL, FLOOR, INVALID
from matching.arith cimport c_mul_div as mul_div, c_mul3_div as mul3_div
from matching.codes cimport *

cpdef enum:
    EXEMPT_NONE = 0
    EXEMPT_REDUCE_ONLY = 1
    EXEMPT_WHOLE_CLOSE = 2
    BAND_NONE = 0
    BAND_REJECT = 1
    BAND_CLAMP = 2
    BOUND_NONE = 0
    BOUND_MARK = 1
    BOUND_MID = 2
    BOUND_INDEX = 3
    BOUND_BAND = 4
    COUNT_SUBMIT = 1
    COUNT_CANCEL = 2
    COUNT_AMEND = 4
    COUNT_SUBMITS = 8
    COUNT_CANCELS = 16
    COUNT_AMENDS = 32

cdef long long E12, MAX_TICKS, NO_BEST


@cython.final
cdef class Gate:
    cdef public long long types, tifs, flags
    cdef public long long tick_num, tick_den
    cdef long long[::1] step_from, step_ticks
    cdef Py_ssize_t steps
    cdef public long long min_ticks, max_ticks, min_lots, max_lots, max_market_lots
    cdef public bint inverse
    cdef public long long value_num, value_den, lot_num, lot_den
    cdef public long long min_notional_e8, max_limit_value_e8, max_market_value_e8
    cdef public int exempt, band, bound, unique
    cdef public bint band_on_index, toward_index, both_sides, premium_one_sided, band_market
    cdef public long long up_e12, down_e12, outer_e12, bound_e12
    cdef public long long max_open, max_open_account, max_stops, max_stops_account, max_loose, open_tifs
    cdef public long long open_per_e8, most_by_volume
    cdef long long[::1] equity_e8, equity_open
    cdef readonly Py_ssize_t equity_steps
    cdef readonly long long ticks, premium_e8
    cdef long long premium_sum
    cdef long long[::1] premiums
    cdef Py_ssize_t premium_count, premium_at
    cpdef long long check_form(self, int side, int type, int tif, int flags, long long ticks, long long lots) noexcept nogil
    cpdef bint check_grid(self, long long ticks) noexcept nogil
    cpdef long long grid_step(self, long long ticks) noexcept nogil
    cpdef long long check(self, int side, int type, int tif, int flags, long long ticks, long long lots, long long reducible, long long mark_e8, long long index_e8, long long best_ticks) noexcept nogil
    cpdef long long check_moment(self, int side, int type, int flags, long long ticks, long long lots, long long reducible, long long mark_e8, long long index_e8, long long best_ticks) noexcept nogil
    cpdef long long notional_e8(self, int type, long long ticks, long long lots, long long mark_e8) noexcept nogil
    cdef bint _is_exempt(self, int flags, long long lots, long long reducible) noexcept nogil
    cdef long long _band(self, int side, long long ticks, long long mark_e8, long long index_e8) noexcept nogil
    cpdef long long band_edge(self, int side, long long mark_e8, long long index_e8) noexcept nogil
    cpdef long long to_ticks(self, int side, long long price_e8) noexcept nogil
    cpdef long long bound_ticks(self, int side, long long mark_e8, long long index_e8, long long mid_e8) noexcept nogil
    cpdef void add_premium(self, long long premium_e8) noexcept nogil
    cpdef long long most_open(self, long long equity_e8, long long traded_e8) noexcept nogil


cdef class Limit:
    cdef readonly int counts, tifs
    cdef readonly long long batch_units
    cpdef long long units(self, int kind, int tif, bint leads) noexcept
    cpdef bint fits(self, long long now, long long units, int kind) noexcept
    cpdef void charge(self, long long now, long long units, int kind) noexcept
    cpdef void earn(self, long long value_e8) noexcept


@cython.final
cdef class FixedWindow(Limit):
    cdef readonly long long most, window_ns, window, used


@cython.final
cdef class RollingWindow(Limit):
    cdef readonly long long most, window_ns, step_ns
    cdef long long[::1] times
    cdef Py_ssize_t at


@cython.final
cdef class Bucket(Limit):
    cdef readonly long long burst, refill_ns, full_at


@cython.final
cdef class VolumeBudget(Limit):
    cdef readonly long long first, unit_e8, spare, trickle_ns, traded_e8, used, free_at
    cpdef long long budget(self) noexcept
    cpdef long long allowance(self, int kind) noexcept
