"""What trading sessions share: addresses, budgets, waiting requests, names of orders, the venue's time, questions."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from venues.errors import InputError
from venues.session_parts import SECOND
from venues.trading import Now
from venues.trading_parts import (
    CANCEL,
    COMMAND,
    UPKEEP,
    Budget,
    ClientIds,
    Inquiries,
    Seen,
    Throttle,
    VenueClock,
    host,
)


def test_plain_addresses_only_on_this_machine() -> None:
    assert host("", "https://fapi.binance.com", "binance_usdm") == "https://fapi.binance.com"
    assert host("http://127.0.0.1:80/", "x", "binance_usdm") == "http://127.0.0.1:80"
    for bad in ("http://example.com", "ftp://127.0.0.1", "nonsense"):
        with pytest.raises(InputError, match="binance_usdm"):
            host(bad, "https://x", "binance_usdm")


# -- budgets


@given(
    st.lists(
        st.tuples(st.integers(0, 400), st.integers(1, 5), st.sampled_from((CANCEL, COMMAND, UPKEEP))), max_size=60
    ),
    st.integers(0, 4),
)
def test_no_window_ever_holds_more_than_the_limit(arrivals: list[tuple[int, int, int]], reserve: int) -> None:
    """Whatever comes whenever: in every window of the length of the limit, at most so many units left; those of others
    than cancels keep the reserve."""
    limit, window = 10, 100
    throttle: Throttle[tuple[int, int]] = Throttle((Budget("weight", limit, window, reserve),))
    left: list[tuple[int, int, int]] = []
    now = 0
    steps = deque(arrivals, maxlen=100)
    while steps or len(throttle):
        if steps:
            wait, cost, rank = steps.popleft()
            now += wait
            assert throttle.put((cost, rank), rank, {"weight": cost})
        else:
            due = throttle.next_ns(now)
            assert due is not None and due > now
            now = due
        while (item := throttle.take(now)) is not None:
            left.append((now, item[0], item[1]))
    assert len(left) == len(arrivals)
    for start, _, _ in left:
        window_of = [(cost, rank) for at, cost, rank in left if start <= at < start + window]
        assert sum(cost for cost, _ in window_of) <= limit
        if all(rank != CANCEL for _, rank in window_of):
            assert sum(cost for cost, _ in window_of) <= limit - reserve


def test_cancels_go_first_and_use_the_reserve() -> None:
    throttle: Throttle[str] = Throttle((Budget("weight", 10, 60 * SECOND, 2),))
    for name in ("a", "b", "c"):
        throttle.put(name, COMMAND, {"weight": 4})
    assert [throttle.take(0), throttle.take(0), throttle.take(0)] == ["a", "b", None]
    throttle.put("cancel", CANCEL, {"weight": 1})
    throttle.put("more", UPKEEP, {"weight": 1})
    assert [throttle.take(1), throttle.take(1)] == ["cancel", None]
    assert throttle.next_ns(1) == 60 * SECOND
    assert throttle.remove("c") and not throttle.remove("c")
    assert throttle.drain() == ["more"] and throttle.next_ns(1) is None


def test_what_the_venue_counts_beyond_our_own_is_added() -> None:
    budget = Budget("weight", 2400, 60 * SECOND, 240)
    budget.take(5, 0)
    budget.observe(3, SECOND)
    assert budget.used(SECOND) == 5
    budget.observe(2399, SECOND)
    assert budget.used(SECOND) == 2399 and budget.room_ns(1, False, SECOND) == 61 * SECOND
    assert budget.room_ns(1, True, SECOND) == SECOND
    assert budget.used(61 * SECOND) == 0


def test_a_hold_lasts_and_may_let_cancels_pass() -> None:
    throttle: Throttle[str] = Throttle((Budget("weight", 10, SECOND),))
    throttle.hold(5 * SECOND, cancels=False)
    throttle.put("order", COMMAND, {"weight": 1})
    throttle.put("cancel", CANCEL, {"weight": 1})
    assert throttle.take(0) == "cancel" and throttle.take(0) is None
    throttle.hold(9 * SECOND, cancels=True)
    throttle.put_back("cancel", CANCEL, {"weight": 1})
    assert throttle.next_ns(0) == 9 * SECOND
    assert throttle.take(9 * SECOND) == "cancel" and throttle.take(9 * SECOND) == "order"


def test_what_may_not_leave_late_is_named_and_never_leaves() -> None:
    throttle: Throttle[str] = Throttle((Budget("weight", 10, SECOND),))
    throttle.hold(5 * SECOND, cancels=True)
    throttle.put("setting", COMMAND, {"weight": 1})
    throttle.put("order", COMMAND, {"weight": 1}, until_ns=2 * SECOND)
    throttle.put("later", COMMAND, {"weight": 1}, until_ns=6 * SECOND)
    throttle.put("cancel", CANCEL, {"weight": 1})
    assert throttle.overdue(2 * SECOND - 1) == []
    assert throttle.overdue(2 * SECOND) == ["order"] and throttle.overdue(3 * SECOND) == []
    assert len(throttle) == 3
    assert [throttle.take(5 * SECOND), throttle.take(5 * SECOND)] == ["cancel", "setting"]
    assert throttle.take(6 * SECOND) is None  # whoever forgets to ask sends nothing stale
    assert throttle.overdue(6 * SECOND) == ["later"] and not len(throttle)


def test_without_limits_nothing_waits_for_room_and_holds_still_hold() -> None:
    throttle: Throttle[str] = Throttle((Budget("weight", 10, SECOND),), limited=False)
    assert all(throttle.pass_through(COMMAND, {"weight": 9}, 0) for _ in range(100))
    throttle.budgets["weight"].observe(1000, 0)
    throttle.put("order", COMMAND, {"weight": 9})
    throttle.hold(5 * SECOND, cancels=True)
    assert throttle.next_ns(0) == 5 * SECOND and throttle.take(0) is None and throttle.take(5 * SECOND) == "order"


def test_the_queue_is_bounded() -> None:
    throttle: Throttle[int] = Throttle((Budget("weight", 10, SECOND),), waiting_max=2)
    assert [throttle.put(n, COMMAND, {}) for n in range(3)] == [True, True, False]


# -- names, time, questions


@given(st.from_regex(r"\A[A-Za-z0-9]{1,16}\Z"), st.integers(1, 10**18 - 1))
def test_client_ids_lead_back_to_the_order(token: str, number: int) -> None:
    ids = ClientIds(token)
    assert ids.order_no(ids.text(number)) == number and len(ids.text(number)) <= 36
    assert ids.order_no_of_hex(ids.hex128(number)) == number and len(ids.hex128(number)) == 34
    assert ClientIds("another").order_no(ids.text(number)) == 0 or token == "another"


def test_foreign_ids_are_foreign() -> None:
    ids = ClientIds("run1")
    for text in ("", "run1", "run1-", "run1-0", "run1-01", "run1-x", "run1-1-2", "autoclose-1", "run1-١"):
        assert ids.order_no(text) == 0
    for text in ("", "0x00", ClientIds("run2").hex128(1), ids.hex128(1)[:-1] + "g"):
        assert ids.order_no_of_hex(text) == 0
    with pytest.raises(InputError):
        ClientIds("run-1")


def test_the_clock_takes_the_shortest_trip_and_survives_wall_steps() -> None:
    clock = VenueClock()
    assert clock.venue_ns(Now(7, 0)) == 7
    venue = 1_700_000_000 * SECOND
    assert clock.trip(0, 100, venue + 90)  # an uneven trip of 100
    assert clock.trip(200, 220, venue + 210)
    assert not clock.trip(300, 400, venue + 310)
    assert clock.is_known and clock.trip_ns == 20
    assert clock.venue_ns(Now(-5, 1000)) == venue + 1000
    clock.doubt(2000)
    assert clock.due_ns == 2000
    for at in (2000, 2010, 2020):
        clock.trip(at, at + 2, venue + 5 * SECOND + at + 1)
    assert clock.venue_ns(Now(0, 3000)) == venue + 5 * SECOND + 3000


def test_questions_grow_rarer_and_settle_late() -> None:
    inquiries = Inquiries(settle_ns=60 * SECOND)
    inquiries.open(1, "submit", 0)
    inquiries.open(1, "submit", 5)
    assert len(inquiries) == 1 and inquiries.due(0) == []
    now, asked = 0, []
    while not inquiries.has_settled(1, "submit", now):
        now += SECOND // 2
        for one in inquiries.due(now):
            asked.append(now // (SECOND // 2))
            assert inquiries.due(now) == []
            inquiries.again(one.order_no, one.what, now)
    assert asked[:5] == [1, 3, 7, 15, 31] and len(asked) < 9
    inquiries.close(1)
    assert not inquiries.is_open(1, "submit") and not inquiries.has_settled(1, "submit", now)


def test_questions_in_a_hurry_go_on_by_the_other_way() -> None:
    inquiries = Inquiries()
    for order_no in (1, 2):
        inquiries.open(order_no, "state", 0)
    for _ in range(3):
        inquiries.again(1, "state", 0)
    inquiries.hurry(7)
    assert [(one.order_no, one.tries) for one in inquiries.due(7)] == [(1, 1), (2, 0)]


def test_memory_against_repeats_is_bounded() -> None:
    seen = Seen(2)
    assert [seen.add(key) for key in (1, 1, 2, 3, 1)] == [True, False, True, True, True]
    assert 3 in seen and 2 not in seen
