# Types of margin.py for compiled code; the meaning of everything is documented there.
from matching.accounts cimport Accounts
from matching.accounts cimport BRACKETS_STRIDE, FAILED_FILL, TIER_BY_LOTS, SLOPED, INITIAL_FROM_TIER, FEE_AT_MARK
from matching.accounts cimport FEE_AT_BANKRUPTCY, DISPLAY_WITHOUT_FEE
from matching.arith cimport INVALID, FLOOR, CEIL, TRUNC, HALF_EVEN
from matching.arith cimport c_add_exact as add_exact, c_sub_exact as sub_exact
from matching.arith cimport c_mul_div as mul_div, c_mul3_div as mul3_div
from matching.codes cimport *


cdef class Margin(Accounts):
    cdef long long _exposure(self, long long i) noexcept nogil
    cdef long long _gain(self, long long i, long long m, long long worth) noexcept nogil
    cdef long long _unrealized(self, long long i, long long m) noexcept nogil
    cdef long long _carried(self, long long i, long long m) noexcept nogil
    cdef long long _cross_wallet(self, long long p) noexcept nogil
    cdef long long _equity(self, long long account, long long asset) noexcept nogil
    cdef long long _unit_of(self, long long account, long long m) noexcept nogil
    cdef bint _pooled(self, long long account, long long asset) noexcept nogil
    cdef long long _unit_equity(self, long long account, long long unit) noexcept nogil
    cdef long long _converted(self, long long account, long long asset, long long amount) noexcept nogil
    cdef long long _required(self, long long account, long long asset, long long amount) noexcept nogil
    cdef long long _tier(self, long long m, long long key) noexcept nogil
    cdef long long _maintenance_at(self, long long m, long long notional_e8) noexcept nogil
    cdef long long _rated(self, long long m, long long notional, long long lots, long long rate, long long slope) noexcept nogil
    cdef long long _maintenance_by_form(self, long long i, long long m, long long size, long long notional) noexcept nogil
    cdef long long _maintenance_of(self, long long i, long long m) noexcept nogil
    cdef long long _maintenance(self, long long account, long long asset) noexcept nogil
    cdef long long _unit_maintenance(self, long long account, long long unit) noexcept nogil
    cdef long long _leans(self, long long i, long long m) noexcept nogil
    cdef long long _bankruptcy_value(self, long long i, long long m) noexcept nogil
    cdef long long _close_fee(self, long long i, long long m) noexcept nogil
    cdef long long _initial_for(self, long long i, long long m, long long notional, long long lots) noexcept nogil
    cdef long long _initial_at(self, long long i, long long m, long long lots) noexcept nogil
    cdef long long _initial(self, long long account, long long asset) noexcept nogil
    cdef long long _free(self, long long account, long long m, long long margin) noexcept nogil
    cdef long long _others(self, long long account, long long m) noexcept nogil
    cdef long long _liquidation_price_in(self, long long i, long long m, long long others, long long j) noexcept nogil
    cdef long long _price_by_table(self, long long account, long long m, long long unit) noexcept nogil
    cdef long long _left_at(self, long long account, long long m, long long unit, long long price) noexcept nogil
    cdef long long _price_by_search(self, long long account, long long m, long long unit) noexcept nogil
    cdef long long _liquidation_price(self, long long account, long long m) noexcept nogil
    cdef long long _sum(self, long long[::1] column, long long account, long long asset) noexcept nogil
