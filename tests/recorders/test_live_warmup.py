"""What a warm-up measures: the delay by its percentile, the offset by the least lag; and what both are good for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorders.clock import LATENCY_FLOOR_NS
from recorders.live.feed import LiveFeed
from recorders.live.warmup import MARGIN_NS, FeedLags, base_of, measured
from tests.recorders.captures import MS, Market
from tests.recorders.live_feeds import Records, both_orders, run
from tests.recorders.test_live_feed import INSTRUMENT, live, records_of
from venues.errors import InputError


def lags(*values_ns: int) -> FeedLags:
    found = FeedLags()
    for value in values_ns:
        found.add(value, value)
    return found


def test_the_delay_is_the_rank_rounded_up_plus_the_margin() -> None:
    few = lags(*(k * MS + 1 for k in range(1, 101)))
    assert few.delay_ns(0) == 101 * MS and few.delay_ns() == 101 * MS + MARGIN_NS
    many = lags(*([5 * MS] * 9_990), *([900 * MS] * 10))
    assert many.delay_ns(0) == 5 * MS and many.samples == 10_000
    one_more = lags(*([5 * MS] * 9_989), *([900 * MS] * 11))
    assert one_more.delay_ns(0) == 900 * MS
    assert lags(0, 0).delay_ns(7) == 7 + LATENCY_FLOOR_NS  # as far as anybody knows, the floor is the latency


@given(st.lists(st.integers(-2_000 * MS, 2_000 * MS), min_size=1, max_size=50))
def test_no_corrected_lag_is_below_the_floor_and_a_good_clock_stays(values_ns: list[int]) -> None:
    found = lags(*values_ns)
    assert min(values_ns) + found.offset_ns >= LATENCY_FLOOR_NS
    assert found.offset_ns == 0 or min(values_ns) + found.offset_ns == LATENCY_FLOOR_NS
    late = sum(value + found.offset_ns > found.delay_ns(0) for value in values_ns)
    assert late * 1000 <= len(values_ns)


def test_nothing_measured_is_an_error() -> None:
    with pytest.raises(InputError, match="no message with a time came"):
        FeedLags().delay_ns()
    assert measured(Records(10**18).found, [INSTRUMENT]).offset_ns == 0


def test_the_lags_of_a_feed_are_found_and_make_its_frames_come_in_time() -> None:
    market = Market(seed=5, jitter_ns=40 * MS, offset_ns=-300 * MS).run(80)
    records = records_of(market.lines)
    found = measured(records.found, [INSTRUMENT])
    assert 290 * MS < found.offset_ns < 310 * MS
    base_ns = base_of(records.found[0]) + found.offset_ns
    feed = run(LiveFeed([INSTRUMENT], found.delay_ns(), base_ns), records.found, records.found[0].wall_ns)
    counts = feed.counts(0)
    assert (counts["late_frames"], counts["ahead"]) == (0, 0)
    assert live(records, found.delay_ns()).counts(0)["ahead"] > 0
    assert both_orders(feed)[0]
