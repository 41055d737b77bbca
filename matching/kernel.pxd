# Types of kernel.py for compiled code; the meaning of everything is documented there.
cimport cython
from matching.arith cimport FLOOR, c_mul_div as mul_div, draw, ln1p, power
from matching.codes cimport *
from matching.gate cimport Gate, Limit, VolumeBudget
from matching.ledger cimport Ledger
from matching.order_book cimport OrderBook

cdef enum:  # as in kernel.py, where they say what they are
    FREE = 0
    FLYING = 1
    RESTING = 2
    CLOSED = 3
    HELD = 4
    AWAY = 5
    NEW = 0
    AMENDED = 1
    TRIGGERED = 2
    SUBMIT = 1
    CANCEL = 2
    AMEND = 3
    ASK = 4
    MAX_WIDTH = 16777216
    QUOTES = 1024
    REFUSED_SEQ = 1000000
    ENDED_MAX = 4096
    EV_NOT_FOUND = 12
    SECOND_NS = 1000000000

cdef long long NEVER, NO_PRICE


@cython.final
cdef class LatencyTable:
    cdef public int mode
    cdef long long base
    cdef long long[::1] times, values
    cdef Py_ssize_t count, at
    cdef object model
    cdef object core
    cdef object _owner
    cdef long long _ask(self, long long ts, unsigned long long u, long long leg)
    cdef long long get(self, long long ts, long long seed, long long market, long long order_no, long long leg) noexcept nogil
    cdef long long _series(self, long long ts) noexcept nogil


@cython.final
cdef class QueueModel:
    cdef public int code
    cdef public double exponent
    cdef object model
    cdef object core
    cdef double _ask(self, double front, double back)
    cdef double probability(self, double front, double back) noexcept nogil
    cdef double after_depth(self, double front, double cum, double previous, double quantity) noexcept nogil


@cython.final
cdef class BookView:
    cdef int[::1] lots
    cdef long long width, base
    cdef long long off[2]
    cdef long long best[2]
    cdef long long low[2]
    cdef long long limit[2]
    cdef bint valid, based, recentre
    cdef public bint l1_only
    cdef long long last_id
    cdef long long[::1] quote_id, quote_bid, quote_ask
    cdef Py_ssize_t quotes
    cdef dict far
    cdef Py_ssize_t far_count
    cdef object _owner
    cdef long long column(self, int side, long long ticks) noexcept nogil
    cdef long long ticks_at(self, int side, long long column) noexcept nogil
    cdef long long best_ticks(self, int side) noexcept nogil
    cdef long long level(self, int side, long long ticks) noexcept nogil
    cdef void set_base(self, long long ticks) noexcept nogil
    cdef long long put(self, int side, long long ticks, int lots) noexcept nogil
    cdef long long put_far(self, int side, long long ticks, int lots)
    cdef bint hides_best(self)
    cdef bint is_quoted(self, int side, long long ticks) noexcept nogil
    cdef list drop_far(self, int side, long long ticks, int lots)
    cdef void settle_best(self, int side, long long column) noexcept nogil
    cdef long long next_worse(self, int side, long long column) noexcept nogil
    cdef void move(self)
    cdef void begin_depth(self, long long update_id) noexcept nogil
    cdef bint accept_quote(self, long long update_id, long long bid_ticks, long long ask_ticks) noexcept nogil
    cdef void forget_quotes(self) noexcept nogil
    cdef void quote_side(self, int side, long long ticks, int lots) noexcept nogil
    cdef void clear(self) noexcept nogil


@cython.final
cdef class Staging:
    cdef Py_ssize_t messages, rows, payloads
    cdef object columns
    cdef long long[::1] event, recv, ref, row_start
    cdef unsigned char[::1] kind, side
    cdef int[::1] ticks, lots
    cdef long long[:, ::1] aux

    cdef _grow(self, Py_ssize_t messages, Py_ssize_t rows, Py_ssize_t payloads)
    cdef bint fill(self, list messages) except -1
    cdef Py_ssize_t _fill_rows(self, Py_ssize_t at, bytes sides, list ticks, list lots) except -1
    cdef _fill_aux(self, Py_ssize_t at, tuple aux)


cdef class Market:
    cdef Core core
    cdef readonly int index, venue_index
    cdef BookView venue, local
    cdef QueueModel queue
    cdef object fee_model
    cdef bint own_fees
    cdef readonly bint by_order
    cdef OrderBook orders, local_orders
    cdef long long restating, local_restating
    cdef dict places
    cdef list newcomers
    cdef LatencyTable entry, response
    cdef readonly int exchange
    cdef readonly long long tick_e8_num, tick_e8_den
    cdef readonly bint fok_reject, margin_on, funding_from_marks, mid_mark, mark_table
    cdef readonly long long min_lots, max_lots
    # how the venue treats orders (matching/forms.py)
    cdef readonly int stp, post_only, reduce_form, amend_priority, amends_per_order
    cdef int stp_modes, stp_exempt
    cdef bint stp_on, stp_lost_by_amend, amend_to_filled_rejects, amend_to_filled_fills, amend_crossing_rejects, amend_must_rest, resize_due, replaces
    cdef readonly bint hedge
    cdef readonly int short_index
    cdef readonly object forms
    cdef object tick_e8
    # held orders: how many, and the windows of watched prices in which none fires
    cdef readonly long long held
    cdef readonly object triggers
    cdef long long trigger_low[4]
    cdef long long trigger_high[4]
    cdef dict good_till
    # the venue's checks and the time it takes
    cdef Gate gate
    cdef object limits
    cdef bint gated, limited, earns
    cdef long long walk_ticks, block_ns, bump_ns
    cdef int rank_post, rank_cancel, rank_take, held_tifs
    cdef bint fires_late
    cdef dict late  # (lane, order number) whose trigger is met: when it fires
    # columns of the current window
    cdef const long long[::1] ts_event, ts_recv, row_start, ref
    cdef const unsigned char[::1] kind, side
    cdef const int[::1] local_order, px_ticks, qty_lots
    cdef const long long[:, ::1] aux
    cdef long long aux_base
    # the client's columns: the same, but for live feeds
    cdef const long long[::1] client_event, client_row_start, client_ref
    cdef const unsigned char[::1] client_kind, client_side
    cdef const int[::1] client_ticks, client_lots
    cdef const long long[:, ::1] client_aux
    cdef long long client_aux_base
    cdef Py_ssize_t size, venue_at, client_size, local_at, listen_at
    cdef bint last
    cdef long long complete  # venue time up to which all messages have been given, live feeds
    cdef bint external
    cdef object window
    cdef Staging client_staging, venue_staging  # None while windows are given
    cdef long long max_recv
    # resting own orders by level
    cdef int[::1] head
    cdef unsigned char[::1] mark
    cdef long long own_best[2]
    cdef long long cross[2]
    cdef long long watch_low[2]
    cdef long long watch_high[2]
    cdef long long resting[2]
    cdef long long watched[2]
    # what lanes took from displayed levels
    cdef int[::1] taken_lane, taken_side
    cdef long long[::1] taken_ticks, taken_lots
    cdef Py_ssize_t taken_count
    cdef long long[::1] lane_taken
    # sharing of one print among a lane's own orders
    cdef long long[::1] shared_row, shared_lots
    cdef long long print_no
    # mark and funding, venue side
    cdef long long mark_e8, rate_e12, next_funding, boundary, mid_next, prior_mark_e8, mark_ns
    cdef unsigned char[::1] locked
    cdef bint locks
    cdef long long kept_mark, kept_rate, booked
    cdef long long index_price_e8, last_ticks, drift, owed, owed_rate, owed_mark
    cdef bint computed_mark, computed_funding, charges_index, lazy
    cdef list published
    cdef long long[::1] boundary_lots
    cdef long long[::1] plan_ts, plan_kind, plan_a, plan_b
    cdef Py_ssize_t plan_at
    # client view of the mark
    cdef long long local_mark_e8, local_index_e8, local_rate_e12, local_next_funding
    cdef readonly long long rows_done, messages_done
    cdef long long now
    cdef long long[::1] account

    cdef void run(self, long long limit) noexcept nogil
    cdef void _depth(self, Py_ssize_t j) noexcept nogil
    cdef void _level(self, int side, long long ticks, int lots) noexcept nogil
    cdef void _own_level(self, int side, long long column, long long previous, long long lots) noexcept nogil
    cdef void _cross_orders(self, int side, long long column) noexcept nogil
    cdef void _print(self, int aggressor, long long ticks, long long lots) noexcept nogil
    cdef void _print_at(self, int slot, long long lots) noexcept nogil
    cdef void _quote(self, Py_ssize_t j) noexcept nogil
    cdef void _quote_side(self, int side, long long ticks, int lots) noexcept nogil
    cdef void _settle_unknown(self, int side) noexcept nogil
    cdef void _outer_row(self, int side, long long ticks, int lots, long long update_id) noexcept nogil
    cdef void _outer_level(self, int side, long long ticks, int lots)
    cdef void _forget_taken(self, int side, long long ticks) noexcept nogil
    cdef void _bring(self, int slot)
    cdef void _announce(self, long long mark, long long rate, long long next_funding) noexcept nogil
    cdef long long _charged_at(self) noexcept nogil
    cdef void _charge_now(self, long long rate, long long mark, long long boundary) noexcept nogil
    cdef void _charge(self, int lane, int leg, long long lots, long long rate, long long mark, long long boundary) noexcept nogil
    cdef void _snapshot(self, Py_ssize_t j) noexcept nogil
    cdef void _other(self, Py_ssize_t j, int kind) noexcept nogil
    cdef void _order(self, Py_ssize_t j, int kind) noexcept nogil
    cdef void _execute(self, int side, long long ticks, long long lots, long long stamp) noexcept nogil
    cdef long long _fill_share(self, int slot, long long lots, int cause) noexcept nogil
    cdef void _arrival(self, int side, long long ticks, long long lots) noexcept nogil
    cdef void _move_up(self, int side, long long ticks, long long stamp, long long lots) noexcept nogil
    cdef void _order_level(self, int side, long long ticks) noexcept nogil
    cdef void _begin_book(self, long long count)
    cdef void _restate(self, int kind, long long order_id, int side, long long ticks, long long lots)
    cdef void _end_book(self)
    cdef void _local_order(self, Py_ssize_t j, int kind) noexcept nogil
    cdef void _cross_both(self) noexcept nogil
    cdef bint run_local(self, long long limit, bint consume) noexcept nogil
    cdef void _local_rows(self, Py_ssize_t j) noexcept nogil
    cdef void _apply_local(self, Py_ssize_t j) noexcept nogil
    cdef long long next_listened(self) noexcept nogil
    cdef void _link(self, int slot, int side, long long column) noexcept nogil
    cdef void _unlink(self, int slot) noexcept nogil
    cdef void _watch(self, int side, long long column) noexcept nogil
    cdef void _unwatch(self, int side, long long column) noexcept nogil
    cdef void _set_own_best(self, int side, long long column) noexcept nogil
    cdef long long _taken(self, int lane, int side, long long ticks) noexcept nogil
    cdef void _take(self, int lane, int side, long long ticks, long long lots) noexcept nogil
    cdef void _drop_taken(self, int side, long long ticks, long long lots) noexcept nogil
    cdef void _remove_taken(self, Py_ssize_t k) noexcept nogil
    cdef long long lane_best(self, int lane, int side) noexcept nogil
    cdef int _leg(self, int slot) noexcept nogil
    cdef long long _reducible(self, int slot) noexcept nogil
    cdef long long _fill_maker(self, int slot, long long lots, int cause) noexcept nogil
    cdef long long _ask_fee(self, int side, long long ticks, long long lots, int liquidity)
    cdef long long _book_fill(self, int slot, long long ticks, long long lots, int liquidity) noexcept nogil
    cdef void _fill_taker(self, int slot, long long ticks, long long lots) noexcept nogil
    cdef void _close(self, int slot, int event, int reason) noexcept nogil
    cdef void arrive(self, int slot) noexcept nogil
    cdef int _prepare(self, int slot)
    cdef void _touch(self, int watch, long long price) noexcept nogil
    cdef void _fire_met(self, int watch, long long price)
    cdef void _release(self, int slot)
    cdef int _replace_end(self, int slot)
    cdef int _admit(self, int slot) noexcept nogil
    cdef void _place(self, int slot, int how) noexcept nogil
    cdef int _pass_gate(self, int slot, long long ticks, long long lots) noexcept nogil
    cdef int _find_room(self, int slot) noexcept nogil
    cdef int _check_form(self, int slot, long long ticks, long long lots) noexcept nogil
    cdef long long _count_open(self, int lane, bint held, bint everywhere) noexcept nogil
    cdef bint _is_here(self, int market) noexcept nogil
    cdef bint _is_taken_id(self, int slot) noexcept nogil
    cdef void _earn(self, int lane, long long value_e8)
    cdef long long _traded(self, int lane) noexcept nogil
    cdef long long _volume(self, int lane)
    cdef long long _worst(self, int slot, int opposite) noexcept nogil
    cdef bint would_take(self, int slot, long long ticks) noexcept nogil
    cdef bint _crosses(self, int slot) noexcept nogil
    cdef long long _fillable(self, int slot) noexcept nogil
    cdef void _walk(self, int slot) noexcept nogil
    cdef void _take_down_to(self, int slot, long long worst) noexcept nogil
    cdef void _take_level(self, int slot, long long column, long long most) noexcept nogil
    cdef bint _slide(self, int slot, int how, int mine) noexcept nogil
    cdef int _stp_of(self, int slot, bint amended) noexcept nogil
    cdef int _own_ahead(self, int slot) noexcept nogil
    cdef long long _before(self, int mine) noexcept nogil
    cdef bint _is_stopped(self, int slot, int mine, int stp) noexcept nogil
    cdef void _walk_past_own(self, int slot, int mine, int stp) noexcept nogil
    cdef void _resize(self) noexcept nogil
    cdef void _shrink(self, int slot) noexcept nogil
    cdef bint _keeps_place(self, int slot, long long lots) noexcept nogil
    cdef int _amend_refusal(self, int slot, long long ticks, long long lots) noexcept nogil
    cdef void _rest(self, int slot) noexcept nogil
    cdef void cancel(self, int slot, int reason) noexcept nogil
    cdef void amend(self, int slot, long long ticks, long long lots) noexcept nogil
    cdef void set_mark(self, long long mark_e8) noexcept nogil
    cdef void _check_margin(self) noexcept nogil
    cdef void _mark_message(self, long long mark, long long rate, long long next_funding) noexcept nogil
    cdef void _take_boundary(self, long long boundary) noexcept nogil
    cdef void book_funding(self, long long rate, long long mark, long long boundary) noexcept nogil
    cdef void _reserve(self, int slot, bint add, long long lots) noexcept nogil
    cdef long long next_internal(self) noexcept nogil
    cdef void do_internal(self, long long ts) noexcept nogil
    cdef long long mid_of(self, BookView view) noexcept nogil
    cdef void _recentre(self)
    cdef bint _widen(self, long long ticks)
    cdef void _rebuild(self, long long width, long long centre)
    cdef void _set_ladder_arrays(self, long long width)
    cdef bint _reach(self, long long ticks) noexcept nogil


@cython.final
cdef class Core:
    cdef readonly int n_markets, n_lanes
    cdef readonly Ledger ledger
    cdef readonly long long seed
    cdef list markets
    cdef Market only
    cdef readonly long long now
    cdef long long horizon, reach, delay, lag
    cdef list outbox
    cdef public object guard
    cdef dict ended_orders
    cdef long long agenda_next
    cdef list agenda, stream
    cdef dict settings_sent
    cdef long long stream_next
    cdef dict procedures
    cdef list lane_forced
    cdef public list transfers
    cdef bint warns
    cdef long long agenda_no
    cdef public object error
    cdef dict conditions, expiries, new_triggers
    # orders, by slot
    cdef int[::1] o_lane, o_market, o_side, o_tif, o_type, o_flags, o_state, o_next, o_prev, o_seq, o_requests, o_amends, o_stp
    cdef long long[::1] o_no, o_ticks, o_lots, o_filled, o_column, o_cum, o_sent, o_deliver, o_stamp, o_client
    cdef double[::1] o_front
    cdef int[::1] free_slots
    cdef Py_ssize_t free_count
    cdef Py_ssize_t slots
    # requests under way
    cdef long long[::1] rq_ts, rq_no, rq_ticks, rq_lots, rq_sent
    cdef long long[::1] rq_arrived
    cdef int[::1] rq_kind, rq_slot, rq_request, rq_market, rq_lane, rq_queue, rq_free
    cdef int[::1] rq_rank, rq_batch, rq_bumped
    cdef bint blocks, batching
    cdef list batch
    cdef int batch_no, refused_batch, next_batch, next_rank
    cdef int[::1] venue_of
    cdef set spent_ids
    cdef dict dead_men
    cdef long long o_sent_last, refused_at
    cdef int refused_request
    cdef Py_ssize_t rq_first, rq_end, rq_mask, rq_free_count
    # private events under way to the lanes
    cdef long long[::1] pv_ts
    cdef long long[::1] pv_row
    cdef Py_ssize_t pv_first, pv_end, pv_mask
    # log
    cdef long long[::1] log
    cdef Py_ssize_t log_rows, log_capacity
    cdef long long log_base
    cdef object _log_owner, _log_spare
    # listening
    cdef unsigned char[::1] lane_mask
    cdef unsigned char[::1] lane_private
    cdef long long[::1] lane_seq, account_of
    cdef public list lane_accounts
    cdef int private_lanes
    cdef unsigned char[::1] market_mask, away
    # the market message just popped
    cdef readonly int msg_market, msg_kind
    cdef readonly long long msg_ts_event, msg_ts_recv, msg_ref, msg_rows
    cdef Py_ssize_t msg_at
    # the private event just popped
    cdef readonly int ev_lane, ev_market, ev_slot, ev_kind, ev_reason, ev_liquidity, ev_cause, ev_side
    cdef readonly long long ev_order_no, ev_ts, ev_deliver, ev_ticks, ev_lots, ev_leaves, ev_fee_e8, ev_front, ev_realized_e8, ev_sent, ev_position, ev_wallet_e8
    cdef int ev_release
    # samples
    cdef long long bbo_every, account_every, bbo_next, account_next
    cdef list bbo_samples, account_samples, position_samples
    cdef readonly long long fills, rejects, orders
    cdef long long[::1] lane_fills, lane_orders, lane_rejects

    cpdef int advance(self, long long until_ns) except -1
    cdef int _run_venue(self) except -1
    cdef int _run_data(self, long long limit) except -1
    cdef long long _next_request(self) noexcept nogil
    cdef void _do_request(self)
    cdef long long _next_private(self) noexcept nogil
    cdef long long _next_internal(self)
    cdef void _do_internal(self, long long ts)
    cdef void _do_agenda(self, long long ts)
    cpdef int submit(self, int lane, int market, long long order_no, int side, long long ticks, long long lots, int tif, int type, int flags) except -1
    cpdef set_stp(self, int slot, int mode)
    cpdef cancel(self, int lane, int slot, long long order_no)
    cpdef change_setting(self, int lane, int market, long long kind, long long value)
    cpdef amend(self, int lane, int slot, long long order_no, long long ticks, long long lots)
    cdef void _queue_request(self, long long ts, int kind, int slot, long long order_no, long long ticks, long long lots)
    cdef void _queue_ask(self, long long ts, int lane, int market, long long kind, long long value, bint refused)
    cdef void _enqueue(self, int i, long long ts)
    cdef void _queue_for_block(self, int i, long long ts)
    cdef void _rank_again(self, int slot)
    cdef int life(self, int slot) noexcept nogil
    cdef bint _is_kept(self, Market market, int slot)
    cdef void _forget(self, int slot)
    cdef bint _is_behind(self, int other, int i) noexcept nogil
    cdef int _rank(self, int kind, int slot)
    cdef bint _is_open(self, int i) noexcept nogil
    cdef bint _holds_back(self, int i, Market market)
    cdef bint _is_within(self, int i, Market market)
    cdef void _bump(self, int i, long long ts)
    cdef void _do_ask(self, int i, Market market)
    cdef void _refuse_sending(self, int slot, long long delay)
    cdef void _refuse_at_once(self, int slot, int reason)
    cdef int _ask_guard(self, int slot, long long ticks, long long lots, bint amends) except -1
    cdef void _send_batch(self, int kind, list mine)
    cpdef bint is_spent_id(self, int lane, int venue, long long client)
    cpdef bint pop_private(self)
    cdef void emit(self, int slot, int event, int reason, long long ticks, long long lots, int liquidity, long long fee, int cause, long long front, long long realized, long long ts) noexcept nogil
    cdef long long _stamp(self, Py_ssize_t at, int lane, int k, long long order_no, long long seq, long long ts, long long earliest) noexcept nogil
    cdef long long _response(self, int k, long long ts, long long order_no, long long seq) noexcept nogil
    cdef long long _response_of(self, object market, long long ts, long long order_no, long long seq)
    cdef void emit_refused(self, int lane, int k, int slot, long long order_no, int event, int reason, long long sent, long long ts, int request) noexcept nogil
    cdef void refuse(self, int slot, int event, int reason, long long ts) noexcept nogil
    cdef void emit_account(self, int lane, int k, int event, int reason, long long ts, long long ticks, long long lots, long long amount, long long rate_or_realized, int side, int cause, long long booked) noexcept nogil
    cdef int _leg_of(self, int slot) noexcept nogil
    cdef Py_ssize_t _record(self) noexcept nogil
    cdef void _deliver(self, Py_ssize_t row, long long ts, int lane) noexcept nogil
    cdef void _grow_log(self)
    cdef void _grow_private(self)
    cdef void _grow_slots(self)
    cpdef long long best_ticks(self, int market, int side)
    cpdef long long best_lots(self, int market, int side)
    cpdef long long level_lots(self, int market, int side, long long ticks)
    cpdef bint is_valid(self, int market)
    cpdef long long mark_e8(self, int market)
    cpdef long long msg_side(self, Py_ssize_t k)
    cpdef long long msg_ticks(self, Py_ssize_t k)
    cpdef long long msg_lots(self, Py_ssize_t k)
    cpdef long long msg_aux(self, Py_ssize_t column)
    cpdef bint listens(self, int lane, int market, int bit)
    cdef Market _market(self, int index)
    cdef bint _is_unknown(self, Market market, long long limit)
    cdef void _run_clients_behind(self)
    cdef int _run_clients(self, long long until_ns, long long end, bint ended)
    cdef void _show_message(self, object market)
    cdef void _show_published(self)
    cdef list _levels_of(self, BookView view, int side, long long count)
    cdef _follow_up(self, int kind, int lane, int slot, long long order_no, long long ticks, long long lots)
    cdef void _set_latency(self, Market market, LatencyTable entry, LatencyTable response)
