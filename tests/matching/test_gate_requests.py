"""How requests travel: blocks and their classes, speed bumps, batches, dead-man switches, conditional orders."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matching.codes import (
    BUY,
    DEPTH,
    EV_ACCEPTED,
    EV_AMENDED,
    EV_CANCELED,
    EV_EXPIRED,
    EV_FILLED,
    EV_HELD,
    EV_REJECTED,
    EV_SETTING,
    EV_SETTING_REJECTED,
    GTC,
    GTX,
    IOC,
    LIMIT,
    MARKET,
    R_DEAD_MAN,
    R_EXPIRY,
    R_LATENCY,
    R_MAX_ORDERS,
    R_MAX_STOPS,
    R_MIN_NOTIONAL,
    R_NONE,
    R_RATE_LIMIT,
    R_TICK_SIZE,
    R_UNSUPPORTED,
    SELL,
    TRIGGER_STOP,
    WATCH_MARK,
)
from matching.dead_man import DeadMan
from matching.forms import OrderForms
from matching.gate import (
    COUNT_SUBMIT,
    COUNT_SUBMITS,
    FixedWindow,
    RollingWindow,
)
from matching.kernel import Core, LatencyTable
from matching.triggers import Trigger
from tests.matching.gate_scene import DAY, DEEP, E8, END, MS, S, deep, gate, kinds
from tests.matching.test_kernel_edges import Message, core_of, mark, window

# -- blocks


def chain(*feeds: Any, ranks: tuple[int, int, int] = (0, 1, 2), **more: Any) -> Core:
    core = core_of(*(feeds or [window(DEEP, mark(2, 1000 * E8), END)]), **more)
    core.set_blocks(0, 100 * MS, ranks)
    return core


def venue_times(core: Core) -> list[tuple[int, int, int]]:
    """(order, event, venue time) in the order of the log."""
    log = core.drain_log(True)
    return list(zip(log["order_no"].tolist(), log["event"].tolist(), log["ts_event_ns"].tolist(), strict=True))


def test_requests_take_effect_at_the_next_block_and_are_stamped_with_it() -> None:
    core = chain(entry=LatencyTable.constant(30 * MS))
    core.advance(50 * MS)
    core.submit(0, 0, 1, BUY, 990, 1, GTC, LIMIT, 0)  # arrives at 80 ms
    core.advance(70 * MS)
    core.submit(0, 0, 2, BUY, 990, 1, GTC, LIMIT, 0)  # arrives on the boundary: too late for that block
    core.advance(S)
    assert venue_times(core) == [(1, EV_ACCEPTED, 100 * MS), (2, EV_ACCEPTED, 200 * MS)]


def test_stateful_orders_meet_the_book_a_block_later() -> None:
    core = core_of(window(DEEP, END))
    core.set_blocks(0, 100 * MS, (0, 0, 0), 1 << GTC)
    core.advance(50 * MS)
    core.submit(0, 0, 1, BUY, 990, 1, GTC, LIMIT, 0)
    core.submit(0, 0, 2, BUY, 990, 1, IOC, LIMIT, 0)
    core.advance(S)
    assert [row[0::2] for row in venue_times(core) if row[1] == EV_ACCEPTED] == [(2, 100 * MS), (1, 200 * MS)]


def test_inside_a_block_post_only_orders_go_first_then_cancels_then_takers() -> None:
    core = chain()
    core.advance(50 * MS)
    slots = [core.submit(0, 0, number, BUY, 990, 1, GTC, LIMIT, 0) for number in (1, 2)]
    core.advance(110 * MS)
    core.submit(0, 0, 3, BUY, 1001, 1, GTC, LIMIT, 0)
    core.cancel(0, slots[0], 1)
    core.advance(120 * MS)
    core.submit(0, 0, 4, BUY, 991, 1, GTX, LIMIT, 0)
    core.amend(0, slots[1], 2, 992, 1)  # a GTC order: with the takers
    core.advance(130 * MS)
    core.submit(0, 0, 5, SELL, 0, 1, IOC, MARKET, 0)
    core.advance(S)
    order = [(number, event) for number, event, ts in venue_times(core) if ts == 200 * MS]
    assert order == [
        (4, EV_ACCEPTED), (1, EV_CANCELED), (3, EV_ACCEPTED), (3, EV_FILLED), (2, EV_AMENDED), (5, EV_ACCEPTED),
        (5, EV_FILLED),
    ]  # fmt: skip


def test_inside_a_class_arrival_decides_and_not_sending() -> None:
    class Shrinking:
        def __init__(self) -> None:
            self.answers = [40 * MS, 10 * MS]

        def latency(self, ts_ns: int, draw: int) -> int:
            return self.answers.pop(0)

    core = chain(ranks=(0, 0, 0), entry=LatencyTable.custom(Shrinking()))
    core.advance(50 * MS)
    core.submit(0, 0, 1, BUY, 1001, 1, GTC, LIMIT, 0)
    core.submit(0, 0, 2, BUY, 1001, 1, GTX, LIMIT, 0)
    core.advance(S)
    assert next(number for number, _, _ in venue_times(core)) == 2


def test_a_continuous_venue_beside_a_chain_keeps_its_times() -> None:
    core = chain(window(DEEP, END), window(DEEP, END))
    core.advance(50 * MS)
    core.submit(0, 0, 1, BUY, 990, 1, GTC, LIMIT, 0)
    core.submit(0, 1, 2, BUY, 990, 1, GTC, LIMIT, 0)
    core.advance(S)
    assert venue_times(core) == [(2, EV_ACCEPTED, 50 * MS), (1, EV_ACCEPTED, 100 * MS)]


REQUESTS = st.lists(
    st.tuples(st.integers(0, 400), st.sampled_from([GTC, GTX, IOC]), st.integers(0, 60)), min_size=1, max_size=12
)


@settings(max_examples=60, deadline=None)
@given(requests=REQUESTS)
def test_the_order_inside_blocks_is_that_of_the_sorted_keys(requests: list[tuple[int, int, int]]) -> None:
    """Whatever is sent when and however long it travels: (block, class, arrival, sending)."""

    class Drawn:
        def __init__(self, delays: list[int]) -> None:
            self.delays = delays

        def latency(self, ts_ns: int, draw: int) -> int:
            return self.delays.pop(0) * MS

    plan = sorted(requests, key=lambda request: request[0])
    core = chain(entry=LatencyTable.custom(Drawn([delay for _, _, delay in plan])))
    keys = []
    for number, (at, tif, delay) in enumerate(plan, 1):
        core.advance(max(core.now, at * MS))
        core.submit(0, 0, number, BUY, 900, 1, tif, LIMIT, 0)
        arrival = core.now + delay * MS
        keys.append(((arrival // (100 * MS) + 1) * 100 * MS, 0 if tif == GTX else 2, arrival, number))
    core.advance(2 * S)
    first = [(number, ts) for number, event, ts in venue_times(core) if event == EV_ACCEPTED]
    assert first == [(key[3], key[0]) for key in sorted(keys)]


# -- speed bump


def test_a_speed_bump_delays_what_would_take_and_nothing_else() -> None:
    taken: Message = (15 * MS, DEPTH, [(SELL, 1001, 0)], None)
    core = core_of(window(DEEP, taken, END))
    core.set_speed_bump(0, 10 * MS)
    core.advance(10 * MS)
    core.submit(0, 0, 1, BUY, 1001, 5, IOC, LIMIT, 0)
    core.submit(0, 0, 2, BUY, 1000, 5, GTC, LIMIT, 0)
    slot = core.submit(0, 0, 3, BUY, 990, 5, GTC, LIMIT, 0)
    core.submit(0, 0, 4, BUY, 1001, 5, GTX, LIMIT, 0)
    core.advance(30 * MS)
    core.amend(0, slot, 3, 1002, 5)
    core.advance(S)
    log = venue_times(core)
    assert [row for row in log if row[0] == 1] == [(1, EV_ACCEPTED, 20 * MS), (1, EV_EXPIRED, 20 * MS)]
    assert [row for row in log if row[0] == 2] == [(2, EV_ACCEPTED, 10 * MS)]
    assert [row for row in log if row[0] == 3][1:] == [(3, EV_AMENDED, 40 * MS), (3, EV_FILLED, 40 * MS)]
    assert next(row for row in log if row[0] == 4)[2] == 10 * MS


# -- batches


def test_a_batch_travels_as_one_and_succeeds_in_part() -> None:
    core = deep(entry=LatencyTable.quantiles([0, 200 * MS]))
    core.set_gate(0, gate(min_notional_e8=50 * E8))
    core.advance(10)
    core.open_batch()
    for number, lots in ((1, 10), (2, 1), (3, 10)):
        core.submit(0, 0, number, BUY, 990, lots, GTC, LIMIT, 0)
    core.close_batch()
    core.advance(S)
    log = venue_times(core)
    assert [row[:2] for row in log] == [(1, EV_ACCEPTED), (2, EV_REJECTED), (3, EV_ACCEPTED)]
    assert len({ts for _, _, ts in log}) == 1 and log[0][2] > 10


def test_cancels_and_amendments_can_be_batched() -> None:
    core = deep(entry=LatencyTable.constant(5))
    core.advance(10)
    slots = [core.submit(0, 0, number, BUY, 990, 10, GTC, LIMIT, 0) for number in (1, 2, 3)]
    core.advance(20)
    core.open_batch()
    core.cancel(0, slots[0], 1)
    core.amend(0, slots[2], 3, 991, 10)
    core.cancel(0, slots[1], 2)
    core.close_batch()
    core.advance(30)
    assert [row[0] for row in venue_times(core)[3:]] == [1, 2, 3]
    assert [row[4] for row in core.resting_orders()] == [991]


def test_a_batch_refused_on_its_way_is_refused_whole() -> None:
    core = deep(entry=LatencyTable.series([0, 100], [-7, -7]))
    core.advance(10)
    core.open_batch()
    for number in (1, 2):
        core.submit(0, 0, number, BUY, 990, 10, GTC, LIMIT, 0)
    core.close_batch()
    core.advance(30)
    assert [kinds(core, n) for n in (1, 2)] == [[(EV_REJECTED, R_LATENCY)]] * 2


def test_a_batch_takes_the_class_of_its_worst_member() -> None:
    core = chain()
    core.advance(50 * MS)
    core.open_batch()
    core.submit(0, 0, 1, BUY, 990, 1, GTX, LIMIT, 0)
    core.submit(0, 0, 2, BUY, 990, 1, GTC, LIMIT, 0)
    core.close_batch()
    core.submit(0, 0, 3, BUY, 990, 1, GTX, LIMIT, 0)
    core.advance(S)
    assert [row[0] for row in venue_times(core)] == [3, 1, 2]


@pytest.mark.parametrize(("units", "passed"), [(-1, [1, 2]), (2, [1, 2, 3]), (3, [])])
def test_what_a_batch_counts(units: int, passed: list[int]) -> None:
    """Two units are left: each order takes one, or the batch costs a fixed number and passes or fails whole."""
    core = deep()
    core.set_gate(0, None, [[RollingWindow(COUNT_SUBMITS, 2, S, batch_units=units)]])
    core.advance(10)
    core.open_batch()
    for number in (1, 2, 3):
        core.submit(0, 0, number, BUY, 990, 10, GTC, LIMIT, 0)
    core.close_batch()
    core.submit(0, 0, 4, BUY, 990, 10, GTC, LIMIT, 0)  # a single order is counted elsewhere
    core.advance(30)
    assert [row[1] for row in core.resting_orders()] == [*passed, 4]


# -- dead-man switches


def switched(switch: DeadMan, *more: Message, **options: Any) -> Core:
    core = core_of(window(DEEP, *more, (3 * DAY, DEPTH, [(BUY, 900, 1)], None)), **options)
    core.set_dead_man(0, switch)
    return core


def settings_of(core: Core) -> list[tuple[int, int]]:
    return [(row[4], row[5]) for row in core.canonical_log() if row[4] in (EV_SETTING, EV_SETTING_REJECTED)]


def test_a_countdown_closes_the_orders_unless_it_is_renewed() -> None:
    core = switched(DeadMan(0, by_market=True), entry=LatencyTable.constant(MS))
    core.advance(10)
    core.submit(0, 0, 1, BUY, 990, 1, GTC, LIMIT, 0)
    core.dead_man(0, 0, 100 * MS)
    core.advance(50 * MS)
    core.dead_man(0, 0, 100 * MS)
    core.advance(140 * MS)
    assert len(core.resting_orders()) == 1
    core.advance(S)
    assert kinds(core, 1)[-1] == (EV_CANCELED, R_DEAD_MAN)
    assert [ts for number, event, ts in venue_times(core) if event == EV_CANCELED] == [151 * MS]


def test_zero_disarms() -> None:
    core = switched(DeadMan(0))
    core.advance(10)
    core.submit(0, 0, 1, BUY, 990, 1, GTC, LIMIT, 0)
    core.dead_man(0, 0, S)
    core.advance(20)
    core.dead_man(0, 0, 0)
    core.advance(5 * S)
    assert len(core.resting_orders()) == 1 and settings_of(core) == [(EV_SETTING, R_NONE)] * 2


def test_the_switch_has_a_least_and_a_greatest_stretch_and_there_may_be_none() -> None:
    core = switched(DeadMan(0, min_ns=10 * S, max_ns=120 * S))
    core.advance(10)
    for after in (9 * S, 10 * S, 120 * S, 121 * S, 0):
        core.dead_man(0, 0, after)
    core.advance(20)
    assert settings_of(core) == [
        (EV_SETTING_REJECTED, R_EXPIRY), (EV_SETTING, R_NONE), (EV_SETTING, R_NONE), (EV_SETTING_REJECTED, R_EXPIRY),
        (EV_SETTING, R_NONE),
    ]  # fmt: skip
    none = deep()
    none.advance(10)
    none.dead_man(0, 0, S)
    none.advance(20)
    assert settings_of(none) == [(EV_SETTING_REJECTED, R_UNSUPPORTED)]


def test_a_quota_of_firings_a_day() -> None:
    core = switched(DeadMan(0, quota=2))
    core.advance(10)
    for at in (S, 2 * S, 3 * S):
        core.dead_man(0, 0, S // 2)
        core.advance(at)
    core.advance(DAY + S)
    core.dead_man(0, 0, S // 2)
    core.advance(DAY + 2 * S)
    assert [reason for _, reason in settings_of(core)] == [R_NONE, R_NONE, R_RATE_LIMIT, R_NONE]


def test_a_switch_of_an_account_closes_all_its_markets_and_no_other_accounts() -> None:
    end: Message = (3 * DAY, DEPTH, [(BUY, 900, 1)], None)
    for by_market, left in ((False, [(1, 3)]), (True, [(0, 2), (1, 3)])):
        core = core_of(window(DEEP, end), window(DEEP, end), lanes=2)
        core.set_dead_man(0, DeadMan(0, by_market=by_market))
        core.advance(10)
        core.submit(0, 0, 1, BUY, 990, 1, GTC, LIMIT, 0)
        core.submit(0, 1, 2, BUY, 990, 1, GTC, LIMIT, 0)
        core.submit(1, 0, 3, BUY, 990, 1, GTC, LIMIT, 0)
        core.dead_man(0, 0, S)
        core.advance(2 * S)
        assert [row[:2] for row in core.resting_orders()] == left


def test_a_lost_connection_starts_the_stretch_and_a_new_one_ends_it() -> None:
    switch = DeadMan(0, on_disconnect=True, min_ns=3 * S, max_ns=300 * S, default_ns=10 * S)
    core = switched(switch)
    core.advance(10)
    core.submit(0, 0, 1, BUY, 990, 1, GTC, LIMIT, 0)
    switch.disconnected(core, 0, S)
    core.advance(9 * S)
    switch.reconnected(0)
    core.advance(20 * S)
    assert len(core.resting_orders()) == 1
    core.dead_man(0, 0, 3 * S)
    core.advance(21 * S)
    assert len(core.resting_orders()) == 1
    switch.disconnected(core, 0, 21 * S)
    core.advance(25 * S)
    assert [ts for _, event, ts in venue_times(core) if event == EV_CANCELED] == [24 * S]


def test_on_a_chain_the_switch_fires_with_a_block() -> None:
    core = switched(DeadMan(0, check_ns=100 * MS))
    core.set_blocks(0, 100 * MS, (0, 1, 2))
    core.advance(10)
    core.submit(0, 0, 1, BUY, 990, 1, GTC, LIMIT, 0)
    core.dead_man(0, 0, 150 * MS)
    core.advance(S)
    assert [ts for _, event, ts in venue_times(core) if event == EV_CANCELED] == [300 * MS]


# -- conditional orders

STOPS = OrderForms(trigger_kinds=(TRIGGER_STOP,), watches=(WATCH_MARK,))


def test_held_orders_have_a_limit_of_their_own_and_are_checked_in_part_when_placed_and_wholly_when_they_fire() -> None:
    rise: Message = mark(S, 1100 * E8)
    core = core_of(window(DEEP, mark(2, 1000 * E8), rise, END), forms=STOPS, tick_e8=(E8, 1))
    core.set_gate(0, gate(max_open=1, max_stops=2, min_notional_e8=50 * E8, steps=((1, 5),)))
    core.advance(10)
    for number, ticks, lots in ((1, 990, 10), (2, 991, 10), (3, 1000, 1), (4, 1005, 10), (5, 1010, 10)):
        slot = core.submit(0, 0, number, BUY, ticks, lots, GTC, LIMIT, 0)
        if number > 1:
            core.set_trigger(slot, Trigger(TRIGGER_STOP, 1050))
    core.advance(20)
    assert kinds(core, 2) == [(EV_REJECTED, R_TICK_SIZE)] and kinds(core, 5) == [(EV_REJECTED, R_MAX_STOPS)]
    assert kinds(core, 3) == kinds(core, 4) == [(EV_HELD, R_NONE)]  # small or not
    core.advance(2 * S)
    assert kinds(core, 3)[-1][1] == R_MIN_NOTIONAL
    assert kinds(core, 4)[-1][1] == R_MAX_ORDERS  # order 1 is open


def test_a_conditional_order_goes_with_the_first_class_of_its_block() -> None:
    core = chain(window(DEEP, mark(2, 1000 * E8), END), forms=STOPS, tick_e8=(E8, 1))
    core.advance(50 * MS)
    slots = [core.submit(0, 0, number, BUY, 990, 1, GTC, LIMIT, 0) for number in (1, 2, 3)]
    core.set_trigger(slots[1], Trigger(TRIGGER_STOP, 1050))
    core.advance(S)
    assert [row[0] for row in venue_times(core)] == [2, 1, 3]


def test_a_dead_man_closes_held_orders_too() -> None:
    core = core_of(window(DEEP, mark(2, 1000 * E8), END), forms=STOPS, tick_e8=(E8, 1))
    core.set_dead_man(0, DeadMan(0))
    core.advance(10)
    core.set_trigger(core.submit(0, 0, 1, BUY, 990, 1, GTC, LIMIT, 0), Trigger(TRIGGER_STOP, 1050))
    core.dead_man(0, 0, S)
    core.advance(2 * S)
    assert kinds(core, 1) == [(EV_HELD, R_NONE), (EV_CANCELED, R_DEAD_MAN)]


def test_a_conditional_order_refused_by_a_limit_or_on_its_way_leaves_nothing_behind() -> None:
    core = core_of(window(DEEP, mark(2, 1000 * E8), END), forms=STOPS, tick_e8=(E8, 1))
    core.set_gate(0, None, [[FixedWindow(COUNT_SUBMIT, 1, S)]])
    core.advance(10)
    for number in (1, 2):
        core.set_trigger(core.submit(0, 0, number, BUY, 990, 1, GTC, LIMIT, 0), Trigger(TRIGGER_STOP, 1050))
    core.advance(20)
    assert kinds(core, 1) == [(EV_HELD, R_NONE)] and kinds(core, 2) == [(EV_REJECTED, R_RATE_LIMIT)]
    while core.pop_private():
        pass
    core.advance(S)
    core.submit(0, 0, 3, BUY, 990, 1, GTC, LIMIT, 0)  # in the freed slot, without a trigger
    core.advance(2 * S)
    assert kinds(core, 3) == [(EV_ACCEPTED, R_NONE)]
