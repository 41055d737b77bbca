from libc.math cimport ceil, floor
from matching.codes cimport *
from sim.strategy cimport Book, Context, Order, Strategy


cdef class CompiledMaker(Strategy):
    cdef readonly double half_ticks, skew_per_lot
    cdef readonly long long lots, position_max_lots, steps, cancels
    cdef readonly str interval
    cdef list bids, asks
    cdef Book book
    cpdef object on_start(self)
    cpdef object on_timer(self)
    cdef void quote(self, list live, long long side, long long ticks, bint wanted)
