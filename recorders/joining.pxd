# Types of joining.py for compiled code; the meaning of everything is documented there.
cimport cython


@cython.final
cdef class _StaleDiff:
    cdef readonly long long seq, first_id, last_id, previous_id, ts_event
    cdef readonly object rows


@cython.final
@cython.freelist(8)
cdef class Received:
    cdef readonly object record, file, line, wall_ns
    cdef readonly long long recv_ns, silence_ns


@cython.final
cdef class Seen:
    cdef set _keys
    cdef object _order
    cpdef bint repeats(self, key)


cdef class BookJoin:
    cdef object _spool, _tally, _problems, _feed, _keeper
    cdef Seen _seen, _passed
    cdef public object last_id
    cdef public bint valid
    cdef bint _has_diffs, _own_clock
    cdef long long _seq, _ts_event, _ts_venue, _segment_seq, _segment_diffs
    cdef object _stale
    cdef list _held, _open
    cdef Received _waiting, _spare
    cdef object _untimed
    cpdef carry_on(self, diff, long long recv_ns, book)
    cpdef bint continues(self, diff)
    cdef bint _repeats(self, diff)
    cdef bint _stands_still_in_the_past(self, diff)
    @cython.locals(event="long long")
    cdef tuple _time(self, Received got)
    cpdef diff(self, Received got)
    cdef _count_checksum(self, intact)
    cdef _settle(self, Py_ssize_t allowed)
    cdef _offer(self, Received got)
    cpdef interrupted(self, int kind, Received got, why)
    cdef _resumed(self, Received got)
    cdef _lost(self, Received got)
    cdef _gap(self, int kind, Received got, first_lost, last_lost, span_ns, why)
    cdef _forget(self)
    cdef _accept(self, Received got)
    cdef _count_afresh(self)
    cdef _count_uncrossed(self)
    cpdef snapshot(self, Received got)
    cdef _replace(self, Received got)
    cdef _wait(self, Received got)
    cdef _join(self, Received got, Py_ssize_t place)
    cdef _place(self, Received got, long long seq, long long ts_event)
    cdef _refuse(self, Received got, why)
    cpdef finish(self)
