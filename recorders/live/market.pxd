# Types of market.py for compiled code; the meaning of everything is documented there.
cimport cython
from recorders.joining cimport BookJoin
from recorders.messages cimport RecordStream

cdef tuple _RANK


@cython.final
cdef class _Opening:
    cdef object _book, _quotes, _mark
    cdef bint _valid
    cdef object _update_id
    cdef take(self, int kind, ref, sides, list ticks, list lots, aux)
    cdef hand_out(self, put)


@cython.final
cdef class _Outlet:
    cdef public long long delay_ns, recv_ns, messages, ahead, disordered
    cdef public BookJoin book
    cdef public list client, pending
    cdef tuple _columns
    cdef _Opening _opening
    cdef long long _begin_ns, _given_ns, _book_ns
    cdef object _waiting
    cdef list _record
    cpdef add(self, int kind, long long ts_event, made, recv, ref, seq, sides, list ticks, list lots, aux=*, raw=*)
    cpdef drop(self, start, stop)
    @cython.locals(recv="long long", v="long long", rank=int)
    cdef _put(self, int kind, long long ts_event, ref, sides, list ticks, list lots, aux)
    @cython.locals(found=list, pending=list, client=list, message=tuple)
    cpdef settle(self)
    cpdef open(self, long long begin_ns)
    cpdef Py_ssize_t ready(self, complete_ns)
    cpdef list client_messages(self)
    cpdef client_window(self)
    @cython.locals(pending=list, count=Py_ssize_t)
    cpdef list venue_messages(self, long long complete_ns)
    cpdef venue_window(self, long long complete_ns, most)


cdef class LiveMarket(RecordStream):
    cdef public _Outlet outlet
    cdef public long long late_frames, since_ns, history
    cdef long long _late_at, _delay_ns, _recv_last, _covered, _unused
    cdef object _measure
    cdef bint _has_prints
    @cython.locals(recv="long long", silence_ns="long long", event="long long", push="long long")
    cpdef take(self, record, line)
    cpdef interrupted(self, int kind, line, why)
    cpdef end(self, long long stamp_ns)
    cpdef _trade(self, record, line)
    cpdef _aggregate(self, record, line)
    cpdef counts(self)
