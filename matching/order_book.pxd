# Types of order_book.py for compiled code; the meaning of everything is documented there.
cimport cython
from matching.codes cimport *

cdef enum:  # as in order_book.py
    SHOWN_MAX = 2147483647


@cython.final
cdef class IdMap:
    cdef long long[::1] keys
    cdef int[::1] values
    cdef Py_ssize_t mask, count
    cdef int shift
    cdef _clear(self, size)
    cdef _grow(self)
    cdef Py_ssize_t _home(self, long long key) noexcept nogil
    cdef Py_ssize_t _find(self, long long key) noexcept nogil
    cdef int get(self, long long key) noexcept nogil
    cdef void put(self, long long key, int value) noexcept nogil
    cdef void pop(self, long long key) noexcept nogil


@cython.final
cdef class OrderBook:
    cdef IdMap ids, levels_at
    cdef long long[::1] n_id, n_ticks, n_lots, n_stamp, l_lots
    cdef int[::1] n_side, n_next, n_prev, l_head, l_tail, l_next
    cdef int free_node, free_level
    cdef Py_ssize_t nodes, level_count
    cdef readonly Py_ssize_t orders
    cdef public long long stamp
    cpdef void apply(self, int kind, long long order_id, int side, long long ticks, long long lots) noexcept nogil
    cpdef void append(self, long long order_id, int side, long long ticks, long long lots, long long stamp) noexcept nogil
    cdef int _level(self, int side, long long ticks) noexcept nogil
    cdef void reduce(self, int node, long long lots) noexcept nogil
    cdef void remove(self, int node) noexcept nogil
    cdef _grow_nodes(self)
    cdef _grow_levels(self)
    cdef int find(self, long long order_id) noexcept nogil
    cpdef long long total(self, int side, long long ticks) noexcept nogil
    cdef int shown(self, int side, long long ticks) noexcept nogil
    cpdef long long first(self, int side, long long ticks) noexcept nogil
    cpdef long long ahead(self, int side, long long ticks, long long stamp) noexcept nogil
    cpdef long long last_stamp(self, int side, long long ticks) noexcept nogil
