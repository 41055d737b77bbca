# Types of bookings.py for compiled code; the meaning of everything is documented there.
from matching.margin cimport Margin
from matching.accounts cimport FAILED_FILL, FAILED_FUNDING, FAILED_LIQUIDATION, FAILED_RESERVATION, LOTS_LIMIT
from matching.accounts cimport FEE_AT_BANKRUPTCY, FUNDING_FROM_CROSS
from matching.arith cimport INVALID, FLOOR, CEIL, TRUNC, HALF_EVEN
from matching.arith cimport c_add_exact as add_exact, c_sub_exact as sub_exact
from matching.arith cimport c_mul_div as mul_div, c_mul3_div as mul3_div
from matching.codes cimport *


cdef class Bookings(Margin):
    cdef bint _apply(self, long long account, long long m, long long side, long long ticks, long long lots, long long fee_e8) noexcept nogil
    cdef void _isolate(self, long long account, long long m, long long closing, long long size, long long realized) noexcept nogil
    cdef bint _keep_isolated(self, long long account, long long m, long long kept) noexcept nogil
    cdef long long _margin_of_fill(self, long long account, long long i, long long m, long long ticks, long long lots) noexcept nogil
    cdef long long _margin_of_value(self, long long i, long long m, long long value, long long lots) noexcept nogil
    cdef long long _spare(self, long long account, long long asset) noexcept nogil
    cdef bint _pay(self, long long p, long long asset, long long realized, long long fee, long long payment) noexcept nogil
    cdef void _settle(self, long long account, long long m) noexcept nogil
    cdef void _settle_pool(self, long long account, long long m) noexcept nogil
    cdef void _cover(self, long long account, long long m, long long deficit) noexcept nogil
    cdef void _cover_in(self, long long account, long long m, long long asset, long long deficit) noexcept nogil
    cdef long long _penalise(self, long long account, long long m, long long fee) noexcept nogil
    cdef long long _payment(self, long long m, long long lots, long long mark_e8, long long rate_e12) noexcept nogil
    cdef long long _book_funding(self, long long account, long long m, long long payment) noexcept nogil
    cdef long long _book_accrued(self, long long account, long long m) noexcept nogil
    cdef void _touch(self, long long account) noexcept nogil
    cdef bint _has_position(self, long long account, long long asset) noexcept nogil
    cdef bint _can_reduce(self, long long account, long long m, long long side, long long lots) noexcept nogil
    cdef void _reserve(self, long long account, long long m, long long side, long long lots) noexcept nogil
