"""The checks of a venue and its request limits in the event loop: what becomes of orders when they arrive."""

from __future__ import annotations

import pytest

from matching.codes import (
    BUY,
    EV_ACCEPTED,
    EV_AMENDED,
    EV_CANCEL_REJECTED,
    EV_CANCELED,
    EV_EXPIRED,
    EV_FILLED,
    EV_REJECTED,
    FLAG_REDUCE_ONLY,
    GTC,
    GTX,
    IOC,
    LIMIT,
    MARKET,
    R_CLIENT_ID,
    R_DUPLICATE_ID,
    R_MARKET_BAND,
    R_MARKET_REMAINDER,
    R_MAX_ORDERS,
    R_MIN_NOTIONAL,
    R_NONE,
    R_RATE_LIMIT,
    R_USER,
    SELL,
)
from matching.gate import (
    BAND_CLAMP,
    BAND_REJECT,
    BOUND_MARK,
    COUNT_AMEND,
    COUNT_CANCEL,
    COUNT_SUBMIT,
    EXEMPT_REDUCE_ONLY,
    FixedWindow,
    VolumeBudget,
)
from matching.kernel import LatencyTable
from tests.matching.gate_scene import DAY, DEEP, E8, E12, END, S, deep, events, gate, kinds
from tests.matching.test_kernel_edges import core_of, mark, window

# -- checks


def test_without_a_gate_nothing_is_checked() -> None:
    core = deep()
    core.advance(10)
    core.submit(0, 0, 1, BUY, 1_000_000, 1, GTC, LIMIT, 0)
    core.advance(20)
    assert kinds(core, 1) == [(EV_ACCEPTED, R_NONE), (EV_FILLED, R_NONE)]


def test_an_order_below_the_minimum_notional_is_refused_and_a_reducing_one_is_not() -> None:
    core = deep()
    core.set_gate(0, gate(min_notional_e8=50 * E8, exempt=EXEMPT_REDUCE_ONLY))
    core.advance(10)
    core.submit(0, 0, 1, BUY, 1001, 4, GTC, LIMIT, 0)
    core.submit(0, 0, 2, BUY, 1001, 5, GTC, LIMIT, 0)
    core.advance(20)
    core.submit(0, 0, 3, SELL, 1000, 2, GTC, LIMIT, FLAG_REDUCE_ONLY)
    core.advance(30)
    assert kinds(core, 1) == [(EV_REJECTED, R_MIN_NOTIONAL)]
    assert kinds(core, 2) == kinds(core, 3) == [(EV_ACCEPTED, R_NONE), (EV_FILLED, R_NONE)]


def test_an_amendment_passes_the_same_checks_and_the_order_stays_if_it_fails() -> None:
    core = deep()
    core.set_gate(0, gate(min_notional_e8=50 * E8))
    core.advance(10)
    slot = core.submit(0, 0, 1, BUY, 990, 10, GTC, LIMIT, 0)
    core.advance(20)
    core.amend(0, slot, 1, 990, 5)
    core.advance(30)
    assert [row[4:6] for row in core.canonical_log()][-1][1] == R_MIN_NOTIONAL
    assert core.resting_orders()[0][5] == 10


def test_a_clamped_order_rests_at_the_edge_of_the_band_and_says_so() -> None:
    core = deep()
    core.set_gate(0, gate(band=BAND_CLAMP, up_e12=E12 // 100, down_e12=E12 // 100))
    core.advance(10)
    core.submit(0, 0, 1, SELL, 980, 5, GTX, LIMIT, 0)  # to 990, and still post-only
    core.submit(0, 0, 2, BUY, 1_000_000, 105, GTC, LIMIT, 0)
    core.advance(20)
    assert kinds(core, 1) == [(EV_EXPIRED, 3)]
    assert events(core, 2)[0] == (EV_ACCEPTED, R_NONE, 1010, 105)
    assert [row[4:6] for row in core.resting_orders()] == [(1010, 5)]


def test_a_clamped_amendment_goes_to_the_edge_too() -> None:
    core = deep()
    core.set_gate(0, gate(band=BAND_CLAMP, up_e12=E12 // 100, down_e12=E12 // 100))
    core.advance(10)
    slot = core.submit(0, 0, 1, SELL, 1050, 5, GTC, LIMIT, 0)
    core.advance(20)
    core.amend(0, slot, 1, 1, 5)
    core.advance(30)
    assert events(core, 1)[1] == (EV_AMENDED, R_NONE, 990, 5)
    assert core.ledger.position(0, 0) == -5


def test_a_market_order_executes_within_its_bound_and_the_rest_expires() -> None:
    core = deep()
    core.set_gate(0, gate(bound=BOUND_MARK, bound_e12=5 * E12 // 1000))
    core.advance(10)
    core.submit(0, 0, 1, BUY, 0, 100, IOC, MARKET, 0)
    core.advance(20)
    assert [row[2] for row in events(core, 1)[1:-1]] == [1001, 1002, 1003, 1004, 1005]
    assert events(core, 1)[-1] == (EV_EXPIRED, R_MARKET_REMAINDER, 0, 50)


def test_a_market_order_outside_its_bound_takes_nothing() -> None:
    core = core_of(window(DEEP, mark(2, 900 * E8), END))
    core.set_gate(0, gate(bound=BOUND_MARK, bound_e12=E12 // 20))
    core.advance(10)
    core.submit(0, 0, 1, BUY, 0, 100, IOC, MARKET, 0)
    core.advance(20)
    assert kinds(core, 1) == [(EV_ACCEPTED, R_NONE), (EV_EXPIRED, R_MARKET_REMAINDER)]


def test_a_market_order_is_refused_when_the_best_price_breaks_the_band() -> None:
    core = core_of(window(DEEP, mark(2, 900 * E8), END))
    core.set_gate(0, gate(band=BAND_REJECT, up_e12=E12 // 20, down_e12=E12 // 20, band_market=True))
    core.advance(10)
    core.submit(0, 0, 1, BUY, 0, 100, IOC, MARKET, 0)
    core.submit(0, 0, 2, SELL, 0, 5, IOC, MARKET, 0)
    core.advance(20)
    assert kinds(core, 1) == [(EV_REJECTED, R_MARKET_BAND)] and kinds(core, 2)[0] == (EV_ACCEPTED, R_NONE)


def test_open_orders_are_counted_by_market_and_by_account() -> None:
    feeds = [window(DEEP, mark(2, 1000 * E8), END) for _ in range(2)]
    core = core_of(*feeds, lanes=2)
    for m in range(2):
        core.set_gate(m, gate(max_open=2, max_open_account=3))
    core.advance(10)
    slots = [core.submit(0, 0, number, BUY, 990, 1, GTC, LIMIT, 0) for number in (1, 2, 3)]
    core.submit(0, 0, 4, BUY, 990, 1, IOC, LIMIT, 0)
    core.submit(0, 1, 5, BUY, 990, 1, GTC, LIMIT, 0)
    core.submit(0, 1, 6, BUY, 990, 1, GTC, LIMIT, 0)
    core.submit(1, 0, 1, BUY, 990, 1, GTC, LIMIT, 0)  # another account's orders do not count
    core.advance(20)
    assert {number for number in range(1, 7) if kinds(core, number)[0] == (EV_REJECTED, R_MAX_ORDERS)} == {3, 6}
    assert len(core.resting_orders()) == 4
    core.cancel(0, slots[0], 1)
    core.submit(0, 0, 7, BUY, 990, 1, GTC, LIMIT, 0)
    core.advance(30)
    assert kinds(core, 7) == [(EV_ACCEPTED, R_NONE)]


def test_how_many_orders_may_be_open_can_depend_on_what_was_traded() -> None:
    core = deep()
    core.set_gate(0, gate(max_open_account=1, open_per_e8=5 * E8, most_by_volume=3), [[VolumeBudget(0, 0, E8, 0, 1)]])
    core.advance(10)
    core.submit(0, 0, 1, BUY, 1001, 1, GTC, LIMIT, 0)  # 10.01: two more
    for number in (2, 3, 4, 5):
        core.submit(0, 0, number, BUY, 990, 1, GTC, LIMIT, 0)
    core.advance(20)
    assert [kinds(core, n)[0][1] for n in (2, 3, 4, 5)] == [R_NONE, R_NONE, R_NONE, R_MAX_ORDERS]


def test_with_many_orders_open_reducing_ones_may_be_refused_first() -> None:
    core = deep()
    core.set_gate(0, gate(max_loose=1))
    core.advance(10)
    core.submit(0, 0, 1, BUY, 1001, 5, GTC, LIMIT, 0)
    core.submit(0, 0, 2, BUY, 990, 1, GTC, LIMIT, 0)
    core.submit(0, 0, 3, SELL, 1010, 1, GTC, LIMIT, FLAG_REDUCE_ONLY)
    core.submit(0, 0, 4, SELL, 1010, 1, GTC, LIMIT, 0)
    core.advance(20)
    assert [kinds(core, n)[0][1] for n in (2, 3, 4)] == [R_NONE, R_MAX_ORDERS, R_NONE]


def test_how_many_orders_may_be_open_can_depend_on_the_equity() -> None:
    core = deep()
    core.ledger.deposit(0, 0, 50 * E8)
    core.set_gate(0, gate(open_by_equity=((0, 0), (20 * E8, 1), (100 * E8, 4)), max_open_account=9))
    core.advance(10)
    for number in (1, 2):
        core.submit(0, 0, number, BUY, 990, 1, GTC, LIMIT, 0)
    core.advance(20)
    assert [kinds(core, n)[0][1] for n in (1, 2)] == [R_NONE, R_MAX_ORDERS]


@pytest.mark.parametrize("unique", [1, 2])
def test_client_ids(unique: int) -> None:
    core = deep()
    core.set_gate(0, gate(unique=unique))
    core.advance(10)
    slots = [core.submit(0, 0, number, BUY, 990, 1, GTC, LIMIT, 0) for number in (1, 2, 3, 4)]
    for slot, client in zip(slots, (7, 7, -1, 0), strict=True):
        core.set_client_id(slot, client)
    core.advance(20)
    assert [kinds(core, n)[0][1] for n in (1, 2, 3, 4)] == [R_NONE, R_DUPLICATE_ID, R_CLIENT_ID, R_NONE]
    core.cancel(0, slots[0], 1)
    core.advance(30)
    core.set_client_id(core.submit(0, 0, 5, BUY, 990, 1, GTC, LIMIT, 0), 7)
    core.advance(40)
    assert kinds(core, 5)[0][1] == (R_NONE if unique == 1 else R_DUPLICATE_ID)


# -- rate limits


def test_too_many_orders_are_refused_when_they_arrive_and_cancels_go_on() -> None:
    core = deep(entry=LatencyTable.constant(5))
    core.set_gate(0, None, [[FixedWindow(COUNT_SUBMIT | COUNT_AMEND, 2, 100)]])
    core.advance(10)
    slots = [core.submit(0, 0, number, BUY, 990, 1, GTC, LIMIT, 0) for number in (1, 2, 3)]
    core.advance(20)
    core.cancel(0, slots[0], 1)
    core.amend(0, slots[1], 2, 991, 1)
    core.advance(96)
    core.submit(0, 0, 4, BUY, 990, 1, GTC, LIMIT, 0)  # arrives at 101, in the next window
    core.advance(200)
    assert kinds(core, 3) == [(EV_REJECTED, R_RATE_LIMIT)] and kinds(core, 4) == [(EV_ACCEPTED, R_NONE)]
    assert kinds(core, 1)[-1] == (EV_CANCELED, R_USER)
    assert kinds(core, 2)[-1][1] == R_RATE_LIMIT and [row[4] for row in core.resting_orders()] == [990, 990]


def test_a_cancel_can_be_refused_where_the_venue_counts_cancels() -> None:
    core = deep()
    core.set_gate(0, None, [[FixedWindow(COUNT_SUBMIT | COUNT_CANCEL, 1, S)]])
    core.advance(10)
    slot = core.submit(0, 0, 1, BUY, 990, 1, GTC, LIMIT, 0)
    core.cancel(0, slot, 1)
    core.advance(20)
    assert kinds(core, 1) == [(EV_ACCEPTED, R_NONE), (EV_CANCEL_REJECTED, R_RATE_LIMIT)]


def test_one_allowance_of_an_account_holds_for_all_markets_but_not_for_other_accounts() -> None:
    core = core_of(*[window(DEEP, END) for _ in range(2)], lanes=2)
    mine, other = FixedWindow(COUNT_SUBMIT, 1, S), FixedWindow(COUNT_SUBMIT, 1, S)
    for m in range(2):
        core.set_gate(m, None, [[mine], [other]])
    core.advance(10)
    core.submit(0, 0, 1, BUY, 990, 1, GTC, LIMIT, 0)
    core.submit(0, 1, 2, BUY, 990, 1, GTC, LIMIT, 0)
    core.submit(1, 1, 3, BUY, 990, 1, GTC, LIMIT, 0)
    core.advance(20)
    assert [kinds(core, n)[0][1] for n in (1, 2, 3)] == [R_NONE, R_RATE_LIMIT, R_NONE]


def test_executions_earn_requests() -> None:
    core = deep()
    budget = VolumeBudget(COUNT_SUBMIT, 1, E8, 0, DAY)
    core.set_gate(0, None, [[budget]])
    core.advance(10)
    core.submit(0, 0, 1, BUY, 1001, 1, GTC, LIMIT, 0)
    core.advance(20)
    assert budget.traded_e8 == 1001 * 10**6 and budget.budget() == 11
