# Types of digits.py for compiled code; the meaning of everything is documented there.
cdef enum:
    QUOTE = 34
    COMMA = 44
    POINT = 46
    ZERO = 48
    NINE = 57
    OPEN = 91
    CLOSE = 93
    DIGITS_MAX = 18


cdef class Steps:
    cdef readonly long long decimals, units, most
    cdef readonly object exact
    cdef long long[19] tens
    cdef long long count(self, long long value, Py_ssize_t whole, Py_ssize_t fraction) noexcept

cpdef bint read_levels(Steps prices, Steps sizes, bytes raw, list ticks, list lots) except? False
cdef Py_ssize_t _read_number(Steps steps, bytes raw, Py_ssize_t at, Py_ssize_t end, int follower, list into) except? 0
