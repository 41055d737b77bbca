# Types of accounts.py for compiled code; the meaning of everything is documented there.
from matching.arith cimport INVALID, TRUNC, HALF_EVEN
from matching.arith cimport c_mul_div as mul_div, c_mul3_div as mul3_div

cdef extern from *:
    """
    #define PERPSIM_LOTS_LIMIT 2305843009213693952LL
    """
    const long long LOTS_LIMIT "PERPSIM_LOTS_LIMIT"  # an enumerator of this size would be unsigned

cdef enum:
    FAILED_INDEX = 1
    FAILED_FILL = 2
    FAILED_MARK = 3
    FAILED_FUNDING = 4
    FAILED_MARGIN = 5
    FAILED_LIQUIDATION = 6
    FAILED_RESERVATION = 7
    MAX_TICKS = 2147483647
    BRACKETS_STRIDE = 64
    # bits of margin_flags
    TIER_BY_LOTS = 1
    SLOPED = 2
    INITIAL_FROM_TIER = 4
    FEE_AT_MARK = 8
    FEE_AT_BANKRUPTCY = 16
    DISPLAY_WITHOUT_FEE = 32
    SETTLE_ON_TOUCH = 64
    FUNDING_FROM_CROSS = 128


cdef class Accounts:
    cdef readonly long long n_accounts, n_markets, n_assets
    # what went wrong first, 0 if nothing did
    cdef readonly long long failed, failed_account, failed_market
    # of the last fill, takeover or deleveraging
    cdef readonly long long last_realized_e8, last_fee_e8, last_ticks, last_lots, last_cause
    # of isolated margin and its profit, by the last fill, less what has been kept of it since
    cdef readonly long long last_released_e8
    # numpy arrays by name: the same memory as the views below
    cdef readonly dict arrays
    # [market]
    cdef long long[::1] market_asset, market_inverse, value_num, value_den, lot_num, lot_den, entry_den
    cdef long long[::1] maker_rate, taker_rate, liquidation_rate, fee_rounding, funding_rounding, marks
    cdef long long[::1] fee_unit, funding_unit, margin_flags, oi_lower, oi_upper, setting_rules, removal_rate, legs
    # [market, BRACKETS_STRIDE]
    cdef long long[::1] bracket_count, bracket_floor, bracket_cap, bracket_rate, bracket_cum, bracket_leverage
    cdef long long[::1] bracket_slope, bracket_initial, bracket_initial_slope, bracket_initial_base
    # [account, market]
    cdef long long[::1] positions, entries, open_bids, open_asks, leverages, max_notionals
    cdef long long[::1] realized, fees, liquidation_fees, fundings, modes, isolated, accrued
    # [account, asset]
    cdef long long[::1] wallets, deposits, covered, isolated_sums, pool_bids, pool_asks
    # [account]
    cdef long long[::1] isolated_markets, pool_units
    # [asset]
    cdef long long[::1] fund_limited
    cdef readonly object venue_fees, market_pnl, funding_pool, insurance
    cdef long long[::1] pool_fees, pool_market, pool_funding, pool_insurance

    cdef void _fail(self, long long what, long long account, long long m) noexcept nogil
    cdef long long _slot(self, long long account, long long m) noexcept nogil
    cdef long long _pocket(self, long long account, long long asset) noexcept nogil
    cdef long long _or_fail(self, long long value, long long what, long long account, long long m) noexcept nogil
    cdef long long _value(self, long long m, long long ticks, long long lots) noexcept nogil
    cdef long long _value_at_mark(self, long long m, long long lots, long long scale) noexcept nogil
    cdef long long _fee(self, long long m, long long ticks, long long lots, long long rate_e12) noexcept nogil
