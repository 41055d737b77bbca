# Types of ledger.py for compiled code; the meaning of everything is documented there.
cimport cython
from matching.settings cimport Settings
from matching.accounts cimport FAILED_INDEX, FAILED_FILL, FAILED_MARK, FAILED_FUNDING, FAILED_MARGIN
from matching.accounts cimport FAILED_LIQUIDATION, MAX_TICKS, LOTS_LIMIT
from matching.accounts cimport FEE_AT_BANKRUPTCY, SETTLE_ON_TOUCH, TIER_BY_LOTS
from matching.arith cimport INVALID, FLOOR, CEIL, TRUNC, HALF_EVEN
from matching.arith cimport c_add_exact as add_exact, c_sub_exact as sub_exact
from matching.arith cimport c_mul_div as mul_div, c_mul3_div as mul3_div
from matching.codes cimport *


@cython.final
cdef class Ledger(Settings):
    cdef bint _unit_exists(self, long long account, long long unit) noexcept nogil
    cdef bint _sinks(self, long long account, long long unit) noexcept nogil
    cpdef long long fill(self, long long account, long long m, long long side, long long ticks, long long lots, long long liquidity) noexcept nogil
    cpdef long long fill_with_fee(self, long long account, long long m, long long side, long long ticks, long long lots, long long fee_e8) noexcept nogil
    cpdef void set_mark(self, long long m, long long mark_e8) noexcept nogil
    cpdef long long mark_e8(self, long long m) noexcept nogil
    cpdef long long funding(self, long long account, long long m, long long lots, long long mark_e8, long long rate_e12) noexcept nogil
    cpdef long long book_payment(self, long long account, long long m, long long payment_e8) noexcept nogil
    cpdef void take_over(self, long long account, long long m, long long lots, long long entry_price_e8) noexcept nogil
    cpdef void accrue(self, long long account, long long m, long long lots, long long mark_e8, long long rate_e12, long long num, long long den) noexcept nogil
    cpdef long long settle(self, long long account, long long m) noexcept nogil
    cpdef long long accrued_e8(self, long long account, long long m) noexcept nogil
    cpdef long long check_open(self, long long account, long long m, long long side, long long ticks, long long lots, bint reduce_only) noexcept nogil
    cpdef void order_added(self, long long account, long long m, long long side, long long ticks, long long lots) noexcept nogil
    cpdef void order_removed(self, long long account, long long m, long long side, long long ticks, long long lots) noexcept nogil
    cpdef bint margin_on(self, long long m) noexcept nogil
    cpdef long long unit_of(self, long long account, long long m) noexcept nogil
    cpdef long long unit_equity_e8(self, long long account, long long unit) noexcept nogil
    cpdef long long unit_maintenance_e8(self, long long account, long long unit) noexcept nogil
    cpdef long long liquidatable(self, long long account) noexcept nogil
    cpdef bint is_liquidatable(self, long long account) noexcept nogil
    cpdef long long liquidatable_asset(self, long long account) noexcept nogil
    cpdef long long bankruptcy_ticks(self, long long account, long long m) noexcept nogil
    cpdef long long liquidation_fee(self, long long account, long long m, long long ticks, long long lots) noexcept nogil
    cpdef long long penalty(self, long long account, long long m, long long amount_e8) noexcept nogil
    cpdef long long takeover(self, long long account, long long m) noexcept nogil
    cpdef bint adl(self, long long bankrupt, long long counterparty, long long m, long long side, long long ticks, long long lots) noexcept nogil
    cpdef long long position(self, long long account, long long m) noexcept nogil
    cpdef long long entry_value(self, long long account, long long m) noexcept nogil
    cpdef long long open_lots(self, long long account, long long m, long long side) noexcept nogil
    cpdef long long wallet(self, long long account, long long asset) noexcept nogil
    cpdef long long value_e8(self, long long m, long long ticks, long long lots) noexcept nogil
    cpdef long long notional_e8(self, long long m, long long lots) noexcept nogil
    cpdef long long unrealized_e8(self, long long account, long long m) noexcept nogil
    cpdef long long equity_e8(self, long long account, long long asset) noexcept nogil
    cpdef long long maintenance_e8(self, long long account, long long asset) noexcept nogil
    cpdef long long market_maintenance_e8(self, long long account, long long m) noexcept nogil
    cpdef long long initial_e8(self, long long account, long long asset) noexcept nogil
    cpdef long long margin_ratio_e12(self, long long account, long long asset) noexcept nogil
    cpdef long long entry_price_e8(self, long long account, long long m) noexcept nogil
    cpdef long long liquidation_price_e8(self, long long account, long long m) noexcept nogil
    cpdef long long realized_e8(self, long long account, long long asset) noexcept nogil
    cpdef long long fees_e8(self, long long account, long long asset) noexcept nogil
    cpdef long long liquidation_fees_e8(self, long long account, long long asset) noexcept nogil
    cpdef long long funding_e8(self, long long account, long long asset) noexcept nogil
    cpdef long long covered_e8(self, long long account, long long asset) noexcept nogil
