"""The reference strategies' own arithmetic and decisions, apart from any market."""

from __future__ import annotations

import math
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.codes import BUY, SELL
from sim.strategies import FundingCarry, MarketMaker
from sim.strategies.funding_carry import BPS_E12, expected_profit_bps, receiving_side
from sim.strategies.market_maker import Quote, Variance, half_spread_ticks, skew_ticks

positive = st.floats(0.001, 10.0)


# -- Avellaneda and Stoikov's prices


def test_published_example() -> None:
    """The paper's section 3.3: sigma 2, gamma 0.1, k 1.5, T 1; its table 1 gives an average spread of 1.49."""
    spreads = [2 * half_spread_ticks(0.1, 1.5, 4.0, 1.0 - step * 0.005) for step in range(200)]
    assert sum(spreads) / len(spreads) == pytest.approx(1.49, abs=0.005)
    assert spreads[0] == pytest.approx(0.4 + 20 * math.log(1 + 0.1 / 1.5), rel=1e-12)
    assert skew_ticks(1.0, 0.1, 4.0, 1.0) == pytest.approx(-0.4), "one unit held, at the start"


@given(gamma=positive, k=positive, variance=st.floats(0, 100), horizon_s=positive, position=st.floats(-20, 20))
def test_prices_behave(gamma: float, k: float, variance: float, horizon_s: float, position: float) -> None:
    half = half_spread_ticks(gamma, k, variance, horizon_s)
    skew = skew_ticks(position, gamma, variance, horizon_s)
    assert half > 0
    assert skew * position <= 0, "the reservation price leans against the position"
    assert half_spread_ticks(gamma, k, variance + 1, horizon_s) > half, "more risk, wider"
    assert half_spread_ticks(gamma, k + 1, variance, horizon_s) < half, "steeper competition, tighter"


def test_variance_learns_and_forgets_across_a_break() -> None:
    variance = Variance(start=0.0, half_life_s=10.0)
    mid = 100.0
    for step in range(1, 2001):
        mid += 1.0 if step % 2 else -1.0
        variance.add(step * 100_000_000, mid)
    assert variance.value == pytest.approx(10.0, rel=0.01), "one tick every 100 ms is ten ticks^2 a second"
    before = variance.value
    variance.reset()
    variance.add(10**15, mid + 10_000)
    assert variance.value == before, "a jump across a break is no volatility"


# -- the place in the queue


def order(side: int, ticks: int) -> Any:
    return SimpleNamespace(side=side, ticks=ticks, is_closed=False)


@pytest.mark.parametrize(
    ("side", "aggressor", "ticks", "lots", "ahead"),
    [
        (BUY, SELL, 100, 30, 70),  # a sale at our price shortens the queue
        (BUY, SELL, 100, 300, 0),  # to nothing at most
        (BUY, SELL, 99, 1, 0),  # a sale below our price went through us
        (BUY, SELL, 101, 30, 100),  # one above did not reach us
        (BUY, BUY, 100, 30, 100),  # a purchase takes asks
        (SELL, BUY, 100, 30, 70),
        (SELL, BUY, 101, 1, 0),
        (SELL, BUY, 99, 30, 100),
        (SELL, SELL, 100, 30, 100),
    ],
)
def test_prints_shorten_the_queue(side: int, aggressor: int, ticks: int, lots: int, ahead: int) -> None:
    quote = Quote(side)
    quote.order = order(side, 100)
    quote.acknowledged(100)
    quote.printed(aggressor, ticks, lots)
    assert quote.ahead_lots == ahead


def test_share_ahead_never_exceeds_what_is_displayed() -> None:
    quote = Quote(BUY)
    quote.order = order(BUY, 100)
    quote.acknowledged(100)
    assert quote.share_ahead(200) == 0.5, "what came after us stands behind us"
    assert quote.share_ahead(40) == 1.0, "cancels ahead are seen only when the level is shorter than our estimate"
    assert quote.share_ahead(80) == 0.5
    assert quote.share_ahead(0) == 0.0


@pytest.mark.parametrize(
    ("target", "ahead", "displayed", "kept"),
    [
        (100, 90, 100, True),  # on target: nothing to gain by moving
        (101, 40, 100, True),  # one tick off, good place: stay
        (101, 60, 100, False),  # one tick off, bad place: move
        (102, 0, 100, False),  # two ticks off: move, whatever the place
        (99, 0, 100, True),
    ],
)
def test_a_good_place_is_kept(target: int, ahead: int, displayed: int, kept: bool) -> None:
    maker = MarketMaker(keep_ticks=1, keep_share=0.5)
    quote = Quote(BUY)
    quote.order = order(BUY, 100)
    quote.acknowledged(ahead)
    book: Any = SimpleNamespace(lots_at=lambda side, ticks: displayed)
    assert maker.keeps(quote, 100, target, book) is kept


# -- funding carry


def test_receiving_side() -> None:
    """Longs pay shorts when the rate is positive (Binance support FAQ 360033525031)."""
    assert receiving_side(10**8) == SELL
    assert receiving_side(-1) == BUY


@given(rate_bps=st.integers(-30, 30), fee_bps=st.integers(0, 10), spread=st.integers(1, 50))
def test_expected_profit_is_payment_less_two_fees_and_the_spread(rate_bps: int, fee_bps: int, spread: int) -> None:
    exact = abs(rate_bps) - 2 * fee_bps - Fraction(10_000 * spread, 280_000)
    profit_bps = expected_profit_bps(rate_bps * BPS_E12, float(fee_bps), spread, 280_000.0)
    assert profit_bps == pytest.approx(float(exact), abs=1e-9)


@pytest.mark.parametrize(
    "parameters",
    [{"gamma": 0.0}, {"k": -1.0}, {"horizon_s": math.inf}, {"keep_share": 1.5}, {"keep_ticks": -1}],
)
def test_market_maker_refuses_impossible_parameters(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="market maker"):
        MarketMaker(**parameters)


@pytest.mark.parametrize("parameters", [{"lots": 0}, {"lead_s": 1.0, "last_s": 2.0}, {"give_up_s": 0.0}])
def test_funding_carry_refuses_impossible_parameters(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="funding carry"):
        FundingCarry(**parameters)
