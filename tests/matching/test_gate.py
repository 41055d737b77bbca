"""What a venue refuses before its book, and how many requests it takes: each check alone, the windows at random."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matching.codes import (
    BUY,
    FLAG_CLOSE_POSITION,
    FLAG_CONDITIONAL,
    FLAG_REDUCE_ONLY,
    FOK,
    GTC,
    GTX,
    IOC,
    LIMIT,
    MARKET,
    NO_PRICE,
    R_LOT_SIZE,
    R_MARKET_BAND,
    R_MAX_VALUE,
    R_MIN_NOTIONAL,
    R_NONE,
    R_PRICE_BAND,
    R_PRICE_RANGE,
    R_TICK_SIZE,
    R_UNSUPPORTED,
    SELL,
)
from matching.gate import (
    BAND_CLAMP,
    BAND_REJECT,
    BOUND_BAND,
    BOUND_INDEX,
    BOUND_MARK,
    BOUND_MID,
    COUNT_AMEND,
    COUNT_CANCEL,
    COUNT_SUBMIT,
    COUNT_SUBMITS,
    EXEMPT_REDUCE_ONLY,
    EXEMPT_WHOLE_CLOSE,
    Bucket,
    FixedWindow,
    Gate,
    RollingWindow,
    VolumeBudget,
)

E8, E12, S = 10**8, 10**12, 10**9
MARK = 60_000 * E8


def gate(**options: Any) -> Gate:
    """BTCUSDT's grids: tick 0.1, lot 0.001."""
    return Gate().configure(
        tick_e8=(10**7, 1), value=(10**4, 1), lot=(1, 1000), **options
    )  # value of a tick and a lot: 0.0001


def check(
    one: Gate, side: int = BUY, ticks: int = 600_000, lots: int = 10, *, type: int = LIMIT, tif: int = GTC,
    flags: int = 0, reducible: int = 0, mark: int = MARK, index: int = MARK, best: int = 600_000,
) -> int:  # fmt: skip
    return one.check(side, type, tif, flags, ticks, lots, reducible, mark, index, best)


# -- form


def test_kinds_that_the_venue_does_not_have_are_refused() -> None:
    one = gate(types=1 << LIMIT, tifs=1 << GTC | 1 << IOC, flags=FLAG_REDUCE_ONLY)
    assert check(one) == R_NONE
    assert check(one, tif=FOK) == R_UNSUPPORTED
    assert check(one, type=MARKET, tif=IOC) == R_UNSUPPORTED
    assert check(one, flags=FLAG_REDUCE_ONLY | FLAG_CONDITIONAL) == R_UNSUPPORTED
    assert check(gate(), type=MARKET, tif=GTX) == R_UNSUPPORTED


def test_prices_lie_on_their_grid_and_in_their_range() -> None:
    one = gate(min_ticks=5_568, max_ticks=45_297_640)
    assert check(one, ticks=5_568) == R_NONE and check(one, ticks=5_567) == R_PRICE_RANGE
    assert check(one, SELL, ticks=45_297_641) == R_PRICE_RANGE


def test_the_grid_may_grow_coarser_with_the_price() -> None:
    """Ticks up to 1,000, multiples of 5 above, of 10 from 10,001 on."""
    one = Gate().configure(steps=((10_001, 10), (1_001, 5)), tick_e8=(10**7, 1))
    legal = {999: True, 1_000: True, 1_001: False, 1_005: True, 10_000: True, 10_005: False, 10_010: True}
    assert {ticks: one.check_grid(ticks) for ticks in legal} == legal
    assert check(one, ticks=1_001) == R_TICK_SIZE


@settings(max_examples=200)
@given(
    rows=st.lists(st.tuples(st.integers(1, 300), st.integers(1, 25)), max_size=3),
    ticks=st.integers(1, 400),
)
def test_a_price_is_brought_to_the_next_legal_one_on_the_safe_side(rows: list[tuple[int, int]], ticks: int) -> None:
    steps = tuple(dict(rows).items())
    one = Gate().configure(steps=steps, tick_e8=(10**7, 1))
    legal = [price for price in range(1, 1000) if one.check_grid(price)]
    below = [price for price in legal if price <= ticks]
    if below:
        assert one.to_ticks(BUY, ticks * 10**7) == below[-1]
    assert one.to_ticks(SELL, ticks * 10**7) == next(price for price in legal if price >= ticks)


def test_market_orders_have_a_size_limit_of_their_own() -> None:
    one = gate(min_lots=2, max_lots=1_000_000, max_market_lots=120_000)
    assert check(one, lots=120_001) == R_NONE
    assert check(one, type=MARKET, lots=120_001) == R_LOT_SIZE and check(one, type=MARKET, lots=120_000) == R_NONE
    assert check(one, lots=1) == check(one, lots=1_000_001) == R_LOT_SIZE


# -- the moment


def test_minimum_notional_of_limit_orders_at_their_price_and_of_market_orders_at_mark() -> None:
    one = gate(min_notional_e8=50 * E8, exempt=EXEMPT_REDUCE_ONLY)
    assert check(one, ticks=499_990, lots=1) == R_MIN_NOTIONAL  # 49.999
    assert check(one, ticks=500_000, lots=1) == R_NONE
    assert check(one, type=MARKET, lots=1, mark=49_999 * E8, best=600_000) == R_MIN_NOTIONAL
    assert check(one, type=MARKET, lots=1, mark=50_000 * E8, best=400_000) == R_NONE
    assert check(one, ticks=499_990, lots=1, flags=FLAG_REDUCE_ONLY) == R_NONE
    assert check(one, ticks=499_990, lots=1, flags=FLAG_CLOSE_POSITION) == R_NONE


def test_closing_the_whole_position_is_exempt_but_not_a_part_of_it() -> None:
    one = gate(min_notional_e8=100 * E8, exempt=EXEMPT_WHOLE_CLOSE)
    assert check(one, lots=1, reducible=1) == R_NONE
    assert check(one, lots=1, reducible=2, flags=FLAG_REDUCE_ONLY) == R_MIN_NOTIONAL
    assert check(one, lots=1, reducible=0, flags=FLAG_REDUCE_ONLY) == R_MIN_NOTIONAL


def test_inverse_contracts_count_their_face_value() -> None:
    one = Gate().configure(inverse=True, lot=(10 * E8, 1), min_notional_e8=20 * E8)
    assert check(one, lots=1) == R_MIN_NOTIONAL and check(one, lots=2) == R_NONE


def test_maximum_values_of_limit_and_market_orders() -> None:
    one = gate(max_limit_value_e8=6_000 * E8, max_market_value_e8=600 * E8)
    assert check(one, lots=100) == R_NONE and check(one, lots=101) == R_MAX_VALUE
    assert check(one, type=MARKET, lots=10) == R_NONE and check(one, type=MARKET, lots=11) == R_MAX_VALUE


def test_a_band_about_the_mark_binds_buys_from_above_and_sells_from_below() -> None:
    one = gate(band=BAND_REJECT, up_e12=E12 // 20, down_e12=E12 // 20, band_market=True)
    assert check(one, BUY, 630_000) == R_NONE and check(one, BUY, 630_001) == R_PRICE_BAND
    assert check(one, SELL, 570_000) == R_NONE and check(one, SELL, 569_999) == R_PRICE_BAND
    assert check(one, BUY, 1) == check(one, SELL, 2_000_000) == R_NONE
    assert check(one, type=MARKET, best=630_001) == R_MARKET_BAND and check(one, type=MARKET, best=630_000) == R_NONE
    assert check(one, type=MARKET, best=NO_PRICE) == R_NONE
    assert check(one, BUY, 2_000_000, mark=0) == R_NONE  # no mark yet: nothing to measure against


def test_a_clamping_band_moves_the_price_to_its_edge() -> None:
    one = gate(band=BAND_CLAMP, up_e12=E12 // 100, down_e12=E12 // 100, outer_e12=E12 // 50, toward_index=True)
    assert check(one, BUY, 700_000) == R_NONE and one.ticks == 606_000
    assert check(one, BUY, 600_500) == R_NONE and one.ticks == 600_500
    assert check(one, SELL, 1) == R_NONE and one.ticks == 594_000
    assert check(one, BUY, 700_000, index=61_000 * E8) == R_NONE and one.ticks == 610_000  # the index lies higher
    assert check(one, BUY, 700_000, index=70_000 * E8) == R_NONE and one.ticks == 612_000  # as far as mark * 1.02


def test_the_average_premium_moves_the_band() -> None:
    """Buys by the mean of what was positive only; the window forgets."""
    one = gate(
        band=BAND_CLAMP, up_e12=E12 // 100, down_e12=E12 // 100, outer_e12=E12 // 2, premium_samples=2,
        premium_one_sided=True,
    )  # fmt: skip
    for premium in (900 * E8, 100 * E8, 300 * E8):
        one.add_premium(premium)
    assert one.premium_e8 == 200 * E8
    assert one.band_edge(BUY, MARK, MARK) == 608_000 and one.band_edge(SELL, MARK, MARK) == 594_000
    one.add_premium(-500 * E8)
    assert one.band_edge(BUY, MARK, MARK) == 606_000 and one.band_edge(SELL, MARK, MARK) == 593_000


def test_a_band_may_hold_both_sides_about_the_oracle() -> None:
    one = gate(band=BAND_REJECT, band_on_index=True, both_sides=True, up_e12=E12 // 2, down_e12=E12 // 2)
    assert check(one, BUY, 299_999, mark=0) == check(one, SELL, 900_001, mark=0) == R_PRICE_BAND
    assert check(one, BUY, 300_000, mark=0) == check(one, SELL, 900_000, mark=0) == R_NONE


@pytest.mark.parametrize(
    ("bound", "buy", "sell"),
    [
        (BOUND_MARK, 630_000, 570_000),
        (BOUND_MID, 640_500, 579_500),
        (BOUND_INDEX, 651_000, 589_000),
        (BOUND_BAND, 0, 0),
    ],
)
def test_how_far_a_market_order_walks(bound: int, buy: int, sell: int) -> None:
    one = gate(bound=bound, bound_e12=E12 // 20)
    at = (MARK, 62_000 * E8, 61_000 * E8)
    assert (one.bound_ticks(BUY, *at), one.bound_ticks(SELL, *at)) == (buy, sell)
    assert gate().bound_ticks(BUY, *at) == 0


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(ValueError, match="no option 'band_width'"):
        Gate().configure(band_width=1)


# -- allowances


def passes(limit: Any, now: int, kind: int = COUNT_SUBMIT, tif: int = GTC, leads: bool = True) -> bool:
    units = limit.units(kind, tif, leads)
    if not limit.fits(now, units, kind):
        return False
    limit.charge(now, units, kind)
    return True


def test_a_fixed_window_begins_anew_on_its_boundary() -> None:
    limit = FixedWindow(COUNT_SUBMIT | COUNT_AMEND, 2, 10 * S)
    assert [passes(limit, at * S) for at in (8, 9, 9, 10, 11, 19, 20)] == [True, True, False, True, True, False, True]
    assert passes(limit, 20 * S, COUNT_CANCEL) and passes(limit, 20 * S, COUNT_AMEND)
    assert not passes(limit, 20 * S, COUNT_AMEND)


def test_a_rolling_window_opens_as_old_units_leave_it() -> None:
    limit = RollingWindow(COUNT_SUBMIT, 2, S)
    assert [passes(limit, at) for at in (0, 500, 999_999_999, S, S + 499, S + 500)] == [
        True, True, False, True, False, True,
    ]  # fmt: skip


def test_blocks_are_counted_whole() -> None:
    """Two in a block of 600 ms."""
    limit = RollingWindow(COUNT_SUBMIT, 2, 600, 600)
    assert [passes(limit, at) for at in (599, 599, 599, 600, 1_199, 1_199, 1_200)] == [
        True, True, False, True, True, False, True,
    ]  # fmt: skip


def test_a_bucket_refills() -> None:
    limit = Bucket(COUNT_SUBMIT, 3, S)
    assert [passes(limit, 0) for _ in range(4)] == [True, True, True, False]
    assert [passes(limit, at) for at in (S - 1, S, S, 9 * S, 9 * S, 9 * S, 9 * S)] == [
        False, True, False, True, True, True, False,
    ]  # fmt: skip


def test_a_budget_is_earned_by_volume_and_then_trickles() -> None:
    limit = VolumeBudget(COUNT_SUBMIT | COUNT_CANCEL, 2, E8, 100_000, 10 * S)
    assert [passes(limit, 0) for _ in range(3)] == [True, True, True] and not passes(limit, 1)  # the third: a trickle
    assert not passes(limit, 10 * S - 1) and passes(limit, 10 * S)
    limit.earn(4 * E8 + E8 // 2)
    assert limit.budget() == 6
    assert [passes(limit, 10 * S + 1) for _ in range(2)] == [True, True]
    assert not passes(limit, 10 * S + 2)
    assert [passes(limit, 10 * S + 2, COUNT_CANCEL) for _ in range(7)] == [True] * 6 + [False]  # twice the budget


def test_what_a_batch_costs() -> None:
    each = FixedWindow(COUNT_SUBMIT | COUNT_SUBMITS, 10, S)
    flat = FixedWindow(COUNT_SUBMIT | COUNT_SUBMITS, 10, S, 5)
    assert [limit.units(COUNT_SUBMITS, GTC, leads) for limit in (each, flat) for leads in (True, False)] == [1, 1, 5, 0]
    assert flat.units(COUNT_SUBMIT, GTC, True) == 1


def test_an_allowance_may_count_some_times_in_force_only() -> None:
    stateful = FixedWindow(COUNT_SUBMIT, 1, S, tifs=1 << GTC)
    assert passes(stateful, 0) and not passes(stateful, 0) and passes(stateful, 0, tif=IOC)


TIMES = st.lists(st.integers(0, 50), min_size=1, max_size=200)


@settings(max_examples=200)
@given(gaps=TIMES, most=st.integers(1, 6), window=st.integers(1, 60))
def test_no_window_ever_holds_more_than_it_may(gaps: list[int], most: int, window: int) -> None:
    """Fixed: by its number. Rolling: in any stretch of its length, and nothing is refused that would have fitted."""
    fixed, rolling = FixedWindow(COUNT_SUBMIT, most, window), RollingWindow(COUNT_SUBMIT, most, window)
    now, by_window, taken = 0, Counter[int](), list[int]()
    for gap in gaps:
        now += gap
        fitted = by_window[now // window] < most
        assert passes(fixed, now) is fitted
        by_window[now // window] += fitted
        fitted = sum(1 for then in taken if then > now - window) < most
        assert passes(rolling, now) is fitted
        taken += [now] * fitted


@settings(max_examples=200)
@given(gaps=TIMES, burst=st.integers(1, 6), refill=st.integers(1, 40))
def test_a_bucket_never_gives_more_than_its_burst_and_what_has_flowed_in(
    gaps: list[int], burst: int, refill: int
) -> None:
    limit, level, now, before = Bucket(COUNT_SUBMIT, burst, refill), Fraction(burst), 0, 0
    for gap in gaps:
        now += gap
        level = min(Fraction(burst), level + Fraction(now - before, refill))
        before = now
        fitted = level >= 1
        assert passes(limit, now) is fitted
        level -= fitted
