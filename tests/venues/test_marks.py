"""Mark formulas against values worked out by hand, and the exponential against the decimal module's."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import pytest

from venues import card
from venues.errors import RuleCardError
from venues.marks import (
    E18,
    ExponentialAverage,
    Mark,
    MarkInputs,
    MarkRule,
    MovingMean,
    decay_e18,
    mark_rule,
    median,
    weighted_median,
)

S = 1_000_000_000
HOUR_NS = 3600 * S
E8 = 10**8
BINANCE = MarkRule(("index_and_last_funding", "index_and_average_basis", "last_price"), window_ns=30 * S)


@pytest.mark.parametrize("elapsed", [0, 1, 999, S, 3 * S, 30 * S, 150 * S, 1000 * S, 41 * 30 * S, 10**15])
@pytest.mark.parametrize("tau", [30 * S, 150 * S, 1, 7_777_777_777])
def test_decay_is_the_exponential_to_the_last_digit(elapsed: int, tau: int) -> None:
    with localcontext() as context:
        context.prec = 60
        exact = (-Decimal(elapsed) / Decimal(tau)).exp() if elapsed < 200 * tau else Decimal(0)
        assert abs(decay_e18(elapsed, tau) - exact * E18) <= Decimal("0.5000001")


def test_decay_refuses_what_is_none() -> None:
    with pytest.raises(ValueError, match="tau > 0"):
        decay_e18(1, 0)


def test_medians() -> None:
    assert median([3, 1, 2]) == 2 and median([1, 4]) == Fraction(5, 2) and median([7]) == 7
    # Hyperliquid's weights 3, 2, 2, 1, 1: half of 9 is passed at the second value
    assert weighted_median([(100, 3), (102, 2), (101, 2), (99, 1), (98, 1)]) == 100
    assert weighted_median([(100, 1), (102, 1)]) == 101
    assert weighted_median([]) is None


def test_exponential_average_is_the_published_recursion() -> None:
    """num = num * e^(-t/tau) + x * t, den = den * e^(-t/tau) + t."""
    average = ExponentialAverage(150 * S)
    assert average.value() is None
    average.add(0, 10)
    assert average.value() == 10
    average.add(3 * S, 40)
    factor = Fraction(decay_e18(3 * S, 150 * S), E18)
    expected = (10 * factor + 40 * 3) / (factor + 3)
    found = average.value()
    assert found is not None and abs(found - expected) < Fraction(1, 10**17)
    average.add(3 * S, 99)  # no time has passed
    assert average.value() == found


def test_moving_mean_forgets_what_is_older_than_its_window() -> None:
    mean = MovingMean(3 * S, S)
    for second, value in enumerate((10, 20, 30, 40)):
        mean.add(second * S, value)
    assert mean.value() == 30  # of seconds 1, 2 and 3


def test_binance_mark_is_the_median_of_three_prices() -> None:
    """P1 = 100 * (1 + 0.0001 * 4/8) = 100.005; P2 = 100 + the mean of (0.5, 1.5) = 101; last 100.2."""
    mark = Mark(BINANCE)
    seen: dict[str, Any] = {
        "index_e8": 100 * E8,
        "last_e8": 10_020_000_000,
        "rate_e12": 10**8,
        "interval_ns": 8 * HOUR_NS,
    }
    first = mark.sample(MarkInputs(0, bid_e8=100 * E8, ask_e8=101 * E8, next_funding_ns=4 * HOUR_NS, **seen))
    assert first == 10_020_000_000  # 100.005, 100.5, 100.2
    seen["last_e8"] = 200 * E8
    assert mark.sample(MarkInputs(S, bid_e8=101 * E8, ask_e8=102 * E8, next_funding_ns=4 * HOUR_NS, **seen)) == 101 * E8
    seen["last_e8"] = 1
    later = mark.sample(
        MarkInputs(2 * S, bid_e8=101 * E8, ask_e8=102 * E8, next_funding_ns=4 * HOUR_NS + 2 * S, **seen)
    )
    assert later == 10_000_500_000


def test_binance_mark_without_book_or_rate_uses_what_there_is() -> None:
    mark = Mark(BINANCE)
    assert mark.sample(MarkInputs(0, 100 * E8)) is None
    assert mark.sample(MarkInputs(S, 100 * E8, last_e8=99 * E8)) == 99 * E8


def test_hyperliquid_mark_with_three_inputs_and_with_two() -> None:
    """Median of oracle + average basis, the book's median and other venues; of two, the book's average is third."""
    rule = MarkRule(("index_and_ema_basis", "book_median", "perp_median"), tau_ns=150 * S, fallback_tau_ns=30 * S)
    seen: dict[str, Any] = {"index_e8": 100 * E8, "bid_e8": 102 * E8, "ask_e8": 104 * E8, "last_e8": 102 * E8}
    three = Mark(rule)
    assert three.sample(MarkInputs(0, perps=((101 * E8, 3), (110 * E8, 2)), **seen)) == 102 * E8  # 103, 102, 101
    two = Mark(rule)
    assert two.sample(MarkInputs(0, **seen)) == 102 * E8  # 103, 102 and the book's average of 102
    later: dict[str, Any] = {**seen, "bid_e8": 107 * E8, "ask_e8": 107 * E8, "last_e8": 107 * E8}
    factor = Fraction(decay_e18(3 * S, 30 * S), E18)
    book = (102 * factor + 107 * 3) / (factor + 3)
    slow = Fraction(decay_e18(3 * S, 150 * S), E18)
    basis = 100 + (3 * slow + 7 * 3) / (slow + 3)
    assert two.sample(MarkInputs(3 * S, **later)) == round(sorted((book, basis, Fraction(107)))[1] * E8)


def test_deribit_mark_is_the_smoothed_fair_price_within_a_band() -> None:
    rule = MarkRule(("index_and_ema_fair",), tau_ns=30 * S, cap_e12=5 * 10**9)
    mark = Mark(rule)
    seen: dict[str, Any] = {"index_e8": 100 * E8, "bid_e8": 10_010_000_000, "ask_e8": 10_020_000_000}
    assert mark.sample(MarkInputs(0, last_e8=105 * E8, **seen)) == 10_020_000_000  # the last trade, moved to the ask
    far: dict[str, Any] = {"index_e8": 100 * E8, "bid_e8": 110 * E8, "ask_e8": 111 * E8, "last_e8": 110 * E8}
    assert Mark(rule).sample(MarkInputs(0, **far)) == 10_050_000_000  # 0.5 % above the index at most


def test_dydx_mark_is_the_oracle() -> None:
    assert Mark(MarkRule(("index",))).sample(MarkInputs(0, 12_345, bid_e8=1, ask_e8=2)) == 12_345


def test_okx_mark_is_the_index_and_its_average_basis() -> None:
    mark = Mark(MarkRule(("index_and_average_basis",), window_ns=60 * S))
    mark.sample(MarkInputs(0, 100 * E8, 100 * E8, 101 * E8))
    assert mark.sample(MarkInputs(S, 200 * E8, 201 * E8, 202 * E8)) == 201 * E8  # 200 + (0.5 + 1.5) / 2


def test_an_unknown_component_is_refused() -> None:
    with pytest.raises(RuleCardError, match="index_and_magic"):
        MarkRule(("index_and_magic",))
    with pytest.raises(RuleCardError, match="at least one"):
        MarkRule(())


def test_bybit_reckons_the_last_rate_by_8_hours_whatever_the_interval() -> None:
    """Two hours before the boundary of a 4 h interval: 2/8 of the rate, where Binance takes 2/4."""
    prices = []
    for venue in ("bybit_linear", "binance_usdm"):
        first = mark_rule(card(venue), 2**62).components[0]
        seen = MarkInputs(0, 60_000 * E8, rate_e12=10**9, next_funding_ns=2 * HOUR_NS, interval_ns=4 * HOUR_NS)
        prices.append(Mark(MarkRule((first,))).sample(seen))
    assert prices == [60_015 * E8, 60_030 * E8]
