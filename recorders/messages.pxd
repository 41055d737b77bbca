# Types of messages.py for compiled code; the meaning of everything is documented there.
cimport cython
from recorders.joining cimport BookJoin, Received, Seen


cdef class RecordStream:
    cdef public object instrument, _files, _problems, _feed, _sink, _tally
    cdef public BookJoin _join
    cdef Seen _trades, _aggregates, _quotes, _marks, _forced
    cdef long long _seq, _quiet_ns, _made_last, _event_last, _recv_of_made
    cpdef begin(self, sink, tally)
    cpdef put(self, record, line, long long silence_ns)
    cpdef interrupted(self, int kind, line, why)
    cdef Received _received(self, record, line)
    cpdef _name(self, line)
    @cython.locals(event="long long", push="long long", made="long long", recv="long long", snapshot=bint)
    cdef bint _sane_time(self, record, line) except? False
    cpdef refuse(self, line, why)
    cpdef _repeated(self, line, what)
    cdef _add(self, int kind, record, line, ref, sides, list ticks, list lots)
    @cython.locals(event="long long", push="long long", made="long long", recv="long long")
    cdef _spool_one(self, int kind, record, line, ref, sides, list ticks, list lots, aux)
    cpdef _depth(self, record, line)
    cpdef _snapshot(self, record, line)
    cpdef _trade(self, record, line)
    cpdef _numbered(self, trade_id)
    cpdef _aggregate(self, record, line)
    cpdef _quote(self, record, line)
    cpdef _mark(self, record, line)
    cpdef _force(self, record, line)
