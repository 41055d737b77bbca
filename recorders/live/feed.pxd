# Types of feed.py for compiled code; the meaning of everything is documented there.
cimport cython
from recorders.live.market cimport LiveMarket


@cython.final
cdef class _Venue:
    cdef object _venue
    cdef dict _markets, _codecs, _carries
    cdef list _touched, _instruments
    cdef public long long malformed
    cdef public object problems
    cpdef restart(self, connection)
    cpdef forget(self, connection)
    cpdef interrupted(self, int kind, line, why, symbols=*)
    cpdef finish(self)
    cpdef line(self, line)
    cdef _refuse(self, line, why)
    @cython.locals(market=LiveMarket)
    cdef _dispatch(self, record, line)
    cdef _touch(self, LiveMarket market, line)


@cython.final
cdef class LiveFeed:
    cdef public long long delay_ns, base_ns, stamp_ns
    cdef public object begin_ns, end_ns
    cdef public list markets
    cdef public dict venues
    cdef bint _has_records
    cdef object _axis
    cdef list _touched, _replays
    cpdef stamp_of(self, long long mono_ns)
    @cython.locals(stamp="long long", market=LiveMarket)
    cpdef take(self, record)
    cdef _run_note(self, bytes payload)
    @cython.locals(market=LiveMarket)
    cpdef begin(self, begin_ns)
    @cython.locals(market=LiveMarket)
    cpdef end(self, stamp_ns)
    cpdef client_window(self, Py_ssize_t m)
    cpdef venue_window(self, Py_ssize_t m, complete_ns, most=*)
    cpdef client_messages(self, Py_ssize_t m)
    cpdef venue_messages(self, Py_ssize_t m, complete_ns)
    cpdef ready(self, Py_ssize_t m, complete_ns)
    cpdef counts(self, Py_ssize_t m)
