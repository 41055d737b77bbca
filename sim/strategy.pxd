# The public face for annotated strategies: `from sim.strategy cimport Strategy, Context, Order, Book, Fill, ...`.
# Fields here are C fields in compiled code and plain attributes in Python. See strategy.pyi for meanings and units.
cimport cython
from matching.codes cimport *
from matching.kernel cimport Core
from sim.bars cimport Bar

# Order.status and the bits of Order.pending: the integers of venues/lifecycle.py (tests/sim/test_strategy.py compares).
cdef enum:
    INTENT = 0
    SENT = 1
    UNKNOWN = 2
    HELD = 3
    OPEN = 4
    CLOSED = 5
    PENDING_AMEND = 1
    PENDING_CANCEL = 2
    EV_FILLED_WHOLE = 15
    ANSWER_AMEND = 32
    ANSWER_CANCEL = 64
    TRIGGERS = 32

cdef short[::1] TRANSITIONS
cdef long long ABSENT

@cython.final
@cython.freelist(1024)
@cython.no_gc  # its one object is a tuple of plain values: no cycle can come of it
cdef class Order:
    cdef readonly long long number, lane, instrument, side, ticks, lots, filled_lots, tif, type
    cdef readonly long long status, pending, reason
    cdef readonly long long sent_ns, acked_ns, acked_venue_ns, closed_ns, value_ticks_lots
    cdef readonly bint reduce_only, external, is_open, is_closed, is_cancelable
    cdef object special
    cdef public long long tag
    cdef long long slot, row
    cdef void _become(self, long long row) noexcept

@cython.final
@cython.freelist(64)
@cython.no_gc  # the face that it holds knows nothing of events
cdef class OrderEvent:
    cdef readonly long long instrument, order_number, kind, reason, side, ts_event_ns, ts_ns, ticks, lots, leaves_lots
    cdef object face, said

@cython.final
@cython.freelist(64)
cdef class Fill:
    cdef readonly long long instrument, order_number, side, ticks, lots, leaves_lots, liquidity, cause
    cdef readonly long long fee_e8, realized_e8, ts_event_ns, ts_ns
    cdef readonly double queue_front_lots
    cdef double tick_num, tick_den

@cython.final
@cython.freelist(64)
cdef class Trade:
    cdef readonly long long instrument, side, ticks, lots, id, ts_event_ns, ts_recv_ns
    cdef readonly bint is_off_book
    cdef double tick_num, tick_den

@cython.final
@cython.freelist(16)
cdef class Funding:
    cdef readonly long long instrument, boundary_ns, ts_ns, rate_e12, mark_e8, position_lots, payment_e8

@cython.final
@cython.freelist(16)
cdef class Gap:
    cdef readonly long long instrument, kind, first_lost, last_lost, span_ns, ts_event_ns, ts_recv_ns

@cython.final
@cython.freelist(16)
cdef class Liquidation:
    cdef readonly long long instrument, kind, side, ticks, lots, amount_e8, mark_e8, ts_event_ns, ts_ns
    cdef readonly long long cause, price_kind, fee_e8, realized_e8

@cython.final
@cython.freelist(16)
cdef class Setting:
    cdef readonly long long instrument, kind, value, reason, ts_event_ns, ts_ns
    cdef readonly bint is_accepted

@cython.final
cdef class Book:
    cdef Core core
    cdef readonly long long instrument
    cdef double tick_num, tick_den
    cpdef long long best_ticks(self, long long side)
    cpdef long long best_lots(self, long long side)
    cpdef long long lots_at(self, long long side, long long ticks)
    cpdef double mid_in_ticks(self)

@cython.final
cdef class Context:
    cdef Core core
    cdef readonly long long now_ns, lane, count
    cdef readonly tuple instruments
    cdef object runtime
    cdef public object face
    cdef list books
    cdef list slots
    cdef dict late
    cdef dict forced
    cdef public list forced_prefixes
    cdef object commands
    cdef bint deferring
    cdef long long numbers
    cdef long long[::1] position_lots
    cdef dict moved
    cdef public dict words
    cdef public bint keeps_closed
    cdef long long[::1] wallet_of
    cdef long long[::1] wallet_e8
    cdef double[::1] tick_num
    cdef double[::1] tick_den
    cpdef Book book(self, long long i)
    cpdef long long position(self, long long i, object leg=*)
    # Py_ssize_t, as wide as long long, refuses a float where long long would cut it
    cpdef Order submit(self, Py_ssize_t i, Py_ssize_t side, Py_ssize_t ticks, Py_ssize_t lots,
                       Py_ssize_t tif=*, Py_ssize_t type=*, bint reduce_only=*, object trigger=*,
                       Py_ssize_t trigger_ticks=*, object watch=*, object callback=*, Py_ssize_t callback_ticks=*,
                       bint protect=*, long long expires_ns=*, object stp=*, object position_side=*,
                       bint close_position=*, object client_id=*)
    cpdef Order buy(self, Py_ssize_t i, Py_ssize_t ticks, Py_ssize_t lots, Py_ssize_t tif=*)
    cpdef Order sell(self, Py_ssize_t i, Py_ssize_t ticks, Py_ssize_t lots, Py_ssize_t tif=*)
    cpdef bint cancel(self, Order order) except? -1
    cpdef bint amend(self, Order order, Py_ssize_t ticks, Py_ssize_t lots, Py_ssize_t trigger_ticks=*) except? -1
    cdef _send_amend(self, Order order, long long ticks, long long lots, long long trigger_ticks)
    cdef _move_trigger(self, Order order, long long kind)
    cdef long long _forced_leg(self, long long market, long long side)
    cpdef Order apply_private(self)
    cdef Order find(self, long long slot, long long number)
    cdef Order adopt(self)
    cpdef lose(self, long long slot, long long number, long long trigger)
    cpdef Order order_in(self, long long slot)
    cdef keep(self, Order order)
    cdef send(self, Order order)
    cdef Setting setting(self)
    cdef Fill fill(self, Order order)
    cdef Funding funding(self)
    cdef Liquidation liquidation(self)
    cdef OrderEvent order_event(self, long long now)
    cdef _close(self, Order order, long long ts_ns, long long asked)
    cdef _apply_fill(self, Order order)
    cdef _apply_account(self, long long kind, long long market)

cdef class Strategy:
    cdef public Context ctx
    cpdef object on_start(self)
    cpdef object on_stop(self)
    cpdef object on_book(self, long long i)
    cpdef object on_trade(self, long long i, Trade trade)
    cpdef object on_bar(self, long long i, Bar bar)
    cpdef object on_data(self, str name, object row)
    cpdef object on_order(self, Order order, OrderEvent event)
    cpdef object on_fill(self, Order order, Fill fill)
    cpdef object on_funding(self, long long i, Funding funding)
    cpdef object on_mark(self, long long i)
    cpdef object on_gap(self, long long i, Gap gap)
    cpdef object on_liquidation(self, long long i, Liquidation event)
    cpdef object on_setting(self, long long i, Setting setting)
    cpdef object on_force_order(self, long long i, Trade trade)
    cpdef object on_timer(self)
