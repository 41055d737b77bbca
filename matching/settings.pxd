# Types of settings.py for compiled code: requests are rare, so they are plain Python methods on the ledger's columns.
from matching.bookings cimport Bookings
from matching.accounts cimport BRACKETS_STRIDE, FAILED_MARGIN, TIER_BY_LOTS
from matching.arith cimport INVALID, CEIL
from matching.arith cimport c_mul_div as mul_div
from matching.codes cimport *


cdef class Settings(Bookings):
    pass
