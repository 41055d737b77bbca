"""Funding formulas against published examples, recorded venue values and values worked out by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from venues import card
from venues.binance.rules import USDM
from venues.errors import RuleCardError
from venues.funding import (
    E12,
    E18,
    EIGHT_HOURS_NS,
    HOUR_NS,
    FundingInterval,
    LastSample,
    MedianOfVotes,
    RateRule,
    WeightedMean,
    funding_index_delta_e18,
    impact_notional_e8,
    impact_price_e8,
    initial_rate,
    maintenance_rate,
    payment,
    premium,
    premium_of_mark,
    premium_of_mid,
    rate_rule,
    rounded,
)
from venues.neutral.rules import NEUTRAL
from venues.rules import ContractTiers, LinearTier, OpenInterestTier, date_ns

SHARED = Path(__file__).resolve().parents[3] / "shared/data"
S = 1_000_000_000
BINANCE = RateRule(
    EIGHT_HOURS_NS, 5 * S, weights="rising", interest_e12=10**8, damp_e12=5 * 10**8, divided=True, cap_e12=3 * 10**9,
    floor_e12=-3 * 10**9, rate_unit_e12=10_000, rolling=True,
)  # fmt: skip
BYBIT = RateRule(EIGHT_HOURS_NS, 60 * S, weights="rising", interest_e12=10**8, damp_e12=5 * 10**8)
HYPERLIQUID = RateRule(
    HOUR_NS, 5 * S, interest_e12=10**8, damp_e12=5 * 10**8, divided=True, cap_e12=4 * 10**10, floor_e12=-4 * 10**10,
    cap_period_ns=HOUR_NS, rate_unit_e12=100,
)  # fmt: skip
DYDX = RateRule(
    HOUR_NS, S, weights="median_of_votes", votes_least=15, vote_clamp_e18=60 * E18, sample_unit_e18=10**12,
    sample_rounding="truncate", form="sum", divided=True, cap_e12=6 * 8 * 10**9, floor_e12=-6 * 8 * 10**9,
)  # fmt: skip
DERIBIT = RateRule(
    EIGHT_HOURS_NS, S, premium="mark", weights="instantaneous", damp_e12=25 * 10**7, cap_e12=5 * 10**9,
    floor_e12=-5 * 10**9,
)  # fmt: skip


def e18(text: str) -> Fraction:
    return Fraction(text) * E18


# -- premium


def test_impact_price_is_the_average_price_of_the_notional() -> None:
    """100 at 10 and 200 at 20, wanted 200: 10 coins at 10 and 5 at 20 are 15 coins for 200."""
    levels = [(10, 100), (20, 200)]
    assert impact_price_e8(levels, 200) == Fraction(200, 15)
    assert impact_price_e8(levels, 100) == 10
    assert impact_price_e8(levels, 300) == Fraction(300, 20)
    assert impact_price_e8(levels, 301) is None and impact_price_e8([], 1) is None
    assert impact_price_e8(levels, 0) == 10  # dYdX: the best price


def test_impact_notional_at_the_highest_leverage() -> None:
    """Binance support 360033525031: 125x gives 25,000 USDT, 150x 30,000."""
    assert impact_notional_e8("over_initial_rate", 200 * 10**8, Fraction(1, 125)) == 25_000 * 10**8
    assert impact_notional_e8("over_initial_rate", 200 * 10**8, Fraction(1, 150)) == 30_000 * 10**8
    assert impact_notional_e8("fixed", 20_000 * 10**8) == 20_000 * 10**8
    with pytest.raises(ValueError, match="initial margin rate"):
        impact_notional_e8("over_initial_rate", 200)


def test_premium_by_hand() -> None:
    assert premium(100, 101, 102) == Fraction(1, 100)
    assert premium(100, 97, 98) == Fraction(-2, 100)
    assert premium(100, 99, 101) == 0
    assert premium(100, None, None) == 0 and premium(100, None, 90) == Fraction(-1, 10)
    assert premium_of_mark(100, 101) == Fraction(1, 100)
    assert premium_of_mid(100, 100, 104) == Fraction(2, 100)


@pytest.mark.skipif(not SHARED.exists(), reason="recorded data are not there")
def test_recorded_hyperliquid_premiums() -> None:
    """Every asset context that the venue sent: its premium follows from its oracle and impact prices, to 1e-10.

    Core markets by the larger side, builder-deployed ones by the mid of the impact prices.
    """
    path = SHARED / "nautilus/crates/adapters/hyperliquid/test_data/ws_all_dexs_asset_ctxs.json"
    counts = {"core": 0, "builder": 0}
    for dex, contexts in json.loads(path.read_text())["data"]["ctxs"]:
        for one in contexts:
            if not one.get("premium") or not one.get("impactPxs"):
                continue
            bid, ask = (int(Fraction(price) * 10**8) for price in one["impactPxs"])
            oracle = int(Fraction(one["oraclePx"]) * 10**8)
            found = premium_of_mid(oracle, bid, ask) if dex else premium(oracle, bid, ask)
            assert rounded(found * 10**10) == Fraction(one["premium"]) * 10**10, one
            counts["builder" if dex else "core"] += 1
    assert counts == {"core": 179, "builder": 155}


# -- averages


def test_averages_by_hand() -> None:
    """Samples 1, 2 and 4 after the start; the third is missing."""
    start = 1000
    rising, equal, last = WeightedMean(True, 4), WeightedMean(False, 4), LastSample()
    for mean in (rising, equal, last):
        assert mean.value_e18(start) is None and mean.count(start) == 0
        for number, sample in ((1, 10), (2, 20), (4, 40)):
            mean.add(start + number, sample)
    assert rising.value_e18(start) == Fraction(10 + 40 + 160, 7)
    assert equal.value_e18(start) == Fraction(70, 3)
    assert last.value_e18(start) == 40
    assert (rising.count(start), last.count(start)) == (3, 1)
    assert last.value_e18(start + 4) is None


def test_a_rolling_average_forgets_what_has_left_it() -> None:
    mean = WeightedMean(True, 3)
    for number, sample in ((1, 10), (2, 20), (3, 30), (4, 40), (5, 50)):
        mean.add(number, sample)
    assert mean.value_e18(2) == Fraction(30 + 80 + 150, 6)
    assert mean.value_e18(4) == 50 and mean.value_e18(5) is None


def test_median_of_votes_as_dydx_rounds() -> None:
    """Per minute the median of at least 15 votes (zeros added), even counts away from zero; the mean toward zero."""
    ppm = 10**12
    for low, high, median in ((1, 2, 2), (-2, -1, -2), (-1, 0, -1), (-1, 1, 0)):
        halves = MedianOfVotes(S, 2, ppm)
        for number, vote in enumerate((low, high), 1):
            halves.add(number, vote * ppm)
        assert halves.value_e18(0) == median * ppm
    votes = MedianOfVotes(S, 15, ppm)
    for number in range(1, 16):
        votes.add(number, number * ppm)  # 15 votes 1..15: median 8
    assert votes.value_e18(0) == 8 * ppm
    for number in range(61, 67):  # 6 votes of 9 in the second minute: 9 zeros more, median 0
        votes.add(number, 9 * ppm)
    assert votes.value_e18(0) == 4 * ppm
    for number in range(121, 137):  # 16 votes, -1 and -2 in the middle: -1.5 becomes -2
        votes.add(number, (-1 if number < 129 else -2) * ppm)
    assert votes.value_e18(0) == 2 * ppm  # (8 + 0 - 2) / 3
    votes.add(181, ppm)  # one vote of 15: 0; 6 / 4 = 1.5 becomes 1
    assert votes.value_e18(0) == ppm


# -- rates


def test_binance_rate_is_damped_then_scaled() -> None:
    """Binance support 360033525031: [P + clamp(0.01 % - P, -0.05 %, 0.05 %)] / (8 / N)."""
    assert BINANCE.rate(e18("0.0003")) == Fraction("0.0001")
    assert BINANCE.rate(e18("0.0010")) == Fraction("0.0005")
    assert BINANCE.rate(e18("-0.0010")) == Fraction("-0.0005")
    assert BINANCE.rate(e18("0.0100")) == Fraction("0.003") and BINANCE.at_bound(3 * 10**9)
    four = replace(BINANCE, interval_ns=4 * HOUR_NS)
    assert four.rate(e18("0.0010")) == Fraction("0.00025")
    assert BINANCE.rate_e12(e18("0.0005276012345")) == 10**8 // 10_000 * 10_000
    assert BINANCE.rate_e12(e18("0.00062765")) == 127_650_000  # published with 8 decimals
    assert BINANCE.rate_e12(e18("0.000627654999")) == 127_650_000
    assert BINANCE.samples == 5760


def test_bybit_interest_is_scaled_and_the_damper_is_not() -> None:
    hourly = RateRule(HOUR_NS, 60 * S, weights="rising", interest_e12=12_500_000, damp_e12=5 * 10**8)
    assert hourly.rate(e18("0.0002")) == Fraction("0.0000125")
    assert hourly.rate(e18("0.0010")) == Fraction("0.0005")  # no division by eight
    assert BYBIT.rate(e18("-0.0006")) == Fraction("-0.0001")
    assert hourly.samples == 60 and BYBIT.samples == 480


def test_hyperliquid_rate() -> None:
    """An hour pays an eighth of the 8 h rate: 0.0000125 while the premium is near; at most 4 % an hour."""
    assert HYPERLIQUID.rate_e12(e18("0.00024")) == 12_500_000
    assert HYPERLIQUID.rate_e12(e18("0.5")) == 4 * 10**10
    assert HYPERLIQUID.rate_e12(e18("-0.0005927453")) == -11_593_200  # -0.0000927453 / 8 to 10 decimals


def test_dydx_rate_is_an_eighth_of_whole_parts_per_million() -> None:
    """Recorded hourly rates (nautilus payload of 2025-12-08): 19, 3 and 5 ppm of 8 hours."""
    for ppm, recorded in ((19, "0.000002375"), (3, "0.000000375"), (5, "0.000000625")):
        assert DYDX.rate_e12(ppm * 10**12) == Fraction(recorded) * E12
    assert DYDX.rate(e18("0.9")) == Fraction("0.048") / 8  # 600 % of (2 % - 1.2 %), of 8 hours


def test_deribit_rate_has_a_dead_band() -> None:
    """max(0.025 %, p) + min(-0.025 %, p), bounded at 0.5 %."""
    for text in ("0", "0.0002", "-0.00025", "0.0003", "-0.001", "0.004", "0.02", "-0.02"):
        p, band = Fraction(text), Fraction("0.00025")
        expected = max(band, p) + min(-band, p)
        assert DERIBIT.rate(p * E18) == max(Fraction("-0.005"), min(Fraction("0.005"), expected)), text


def test_interval_runs_from_sample_to_sample() -> None:
    """The forecast is that of the samples so far, weighted by their place in the interval."""
    boundary = 100 * EIGHT_HOURS_NS
    running = FundingInterval(replace(BINANCE, rolling=False), boundary)
    first = boundary - EIGHT_HOURS_NS + 5 * S
    assert running.rate_e12(first) is None and running.coverage() == (0, 5760)
    running.add(first, Fraction("0.001"))
    assert running.rate_e12(first) == 5 * 10**8
    running.add(boundary, Fraction("0.002"))
    average = (Fraction("0.001") + 5760 * Fraction("0.002")) / 5761
    assert running.rate_e12(boundary) == rounded((average - Fraction("0.0005")) * E12, 10_000)
    assert running.coverage() == (2, 5760)


def test_a_rolling_forecast_goes_on_over_the_boundary() -> None:
    """At the boundary it is the interval's rate; afterwards the old samples weigh less and less."""
    short = replace(HYPERLIQUID, sample_ns=20 * 60 * S, weights="rising", rolling=True, damp_e12=0, divided=False)
    boundary, step = 100 * HOUR_NS, 20 * 60 * S
    before = FundingInterval(short, boundary)
    for number in (1, 2, 3):
        before.add(boundary - HOUR_NS + number * step, Fraction(number, 1000))
    assert before.rate_e12(boundary) == rounded(Fraction(1 + 4 + 9, 6000) * E12, 100)
    assert before.coverage() == (3, 3)
    after = FundingInterval(short, boundary + HOUR_NS, before)
    after.add(boundary + step, Fraction(4, 1000))
    assert after.rate_e12(boundary + step) == rounded(Fraction(2 + 6 + 12, 6000) * E12, 100)
    assert FundingInterval(replace(short, rolling=False), boundary + HOUR_NS, before).rate_e12(boundary) is None


# -- from a rule card


def test_binance_rule_comes_from_its_card() -> None:
    """BTCUSDT: 0.3 % either side; an interval of one hour weighs its samples alike and divides by eight."""
    now = date_ns("2026-02-01")
    assert rate_rule(USDM, "BTCUSDT", now) == BINANCE
    hourly = rate_rule(USDM, "OTHERUSDT", now, HOUR_NS)
    assert (hourly.weights, hourly.samples, hourly.cap_e12, hourly.floor_e12) == ("equal", 720, 2 * 10**10, -2 * 10**10)
    assert hourly.rate(e18("0.0009")) == Fraction("0.0004") / 8
    assert hourly.rate(Fraction(E18)) == Fraction("0.02")  # the cap is one of the interval's rate
    assert rate_rule(USDM, "ETHBTC", now).interest_e12 == 0
    assert rate_rule(USDM, "BTCUSDT", now, 4 * HOUR_NS).samples == 2880


def test_other_cards_say_their_rules() -> None:
    """dYdX's cap is 600 % of the gap between its margin rates; a Hyperliquid hour has 720 samples weighed alike."""
    now = date_ns("2026-02-01")
    dydx = rate_rule(card("dydx"), "BTC-USD", now, initial_e12=2 * 10**10, maintenance_e12=12 * 10**9)
    assert (dydx.cap_e12, dydx.form, dydx.weights, dydx.sample_unit_e18) == (
        48 * 10**9,
        "sum",
        "median_of_votes",
        10**12,
    )
    with pytest.raises(RuleCardError, match="needs its margin rates"):
        rate_rule(card("dydx"), "BTC-USD", now)
    assert rate_rule(card("hyperliquid"), "BTC", now) == HYPERLIQUID and HYPERLIQUID.samples == 720
    deribit = rate_rule(card("deribit"), "BTC-PERPETUAL", now)
    assert deribit == DERIBIT and deribit.samples == 0
    assert rate_rule(card("bybit_linear"), "BTCUSDT", now, HOUR_NS).interest_e12 == 12_500_000
    assert rate_rule(card("okx"), "BTC-USDT-SWAP", now).rolling


def test_a_card_without_funding_has_no_rule() -> None:
    with pytest.raises(RuleCardError, match="no funding formula"):
        rate_rule(NEUTRAL, "BTCUSDT", 0)


def test_margin_rates_of_the_lowest_tier() -> None:
    """Binance's notional is 200 USDT over the initial rate at 150x: 30,000 USDT for BTCUSDT."""
    table = USDM.brackets("BTCUSDT", date_ns("2026-08-02")).value
    assert (initial_rate(table), maintenance_rate(table)) == (Fraction(1, 150), Fraction("0.004"))
    rules = USDM.funding
    notional = impact_notional_e8(rules.impact_form.value, rules.impact_notional_e8.value, initial_rate(table))
    assert notional == 30_000 * 10**8
    assert initial_rate(OpenInterestTier(2 * 10**10, 12 * 10**9)) == Fraction(1, 50)
    assert maintenance_rate(LinearTier(2 * 10**10, 1, 10**10, 1)) == Fraction(1, 100)
    assert initial_rate(ContractTiers((1,), (1,), (10**10,), (1,))) == Fraction(1, 100)


# -- payments


def test_hyperliquid_payment_is_truncated_toward_zero_at_1e_6() -> None:
    """A short of 0.2 at oracle 54.136 receives 0.00013534, which the venue books as 0.000135."""
    unit = Fraction(1, 10**6)
    assert payment(Fraction("-0.2"), Fraction("54.136"), Fraction("0.0000125"), unit, "truncate") == Fraction(
        "0.000135"
    )
    assert payment(Fraction("0.2"), Fraction("54.136"), Fraction("0.0000125"), unit, "truncate") == Fraction(
        "-0.000135"
    )


def test_dydx_settlement_is_rounded_down() -> None:
    """The chain's own example: two accounts to receive 102.5 quantums get 102 each, the one to pay 205 pays 205."""
    unit = Fraction(1, 10**6)
    for amount, booked in (("-102.5", 102), ("205", -205), ("102.5", -103)):
        assert payment(Fraction(amount), Fraction(1), unit, unit, "floor") == booked * unit


def test_inverse_payment_is_in_coin() -> None:
    """10,000 USD at 50,000 are 0.2 BTC; at 0.01 % a long pays 0.00002 BTC."""
    assert payment(Fraction(10_000), Fraction(50_000), Fraction("0.0001"), inverse=True) == Fraction("-0.00002")


def test_dydx_funding_index() -> None:
    """8 h at 100 ppm of a price of 50,000 with quanta of 1e-10: 50,000 * 1e6 / 1e10 * 100 = 500 millionths."""
    assert funding_index_delta_e18(100, 8 * 3600, Fraction(50_000), 10) == 500
    assert funding_index_delta_e18(100, 3600, Fraction(50_000), 10) == 62  # 62.5 toward zero
    assert funding_index_delta_e18(-100, 3600, Fraction(50_000), 10) == -62


@pytest.mark.parametrize(
    ("rounding", "results"),
    [("floor", (1, -2, 2)), ("ceil", (2, -1, 2)), ("truncate", (1, -1, 2)), ("half_even", (2, -2, 2))],
)
def test_roundings(rounding: str, results: tuple[int, int, int]) -> None:
    values = (Fraction(3, 2), Fraction(-3, 2), 2)
    assert tuple(rounded(value, 1, rounding) for value in values) == results  # type: ignore[arg-type]
    assert rounded(250, 100, rounding) in (200, 300)  # type: ignore[arg-type]


def test_exact_rounding_refuses() -> None:
    assert rounded(300, 100, "exact") == 300
    with pytest.raises(ValueError, match="no multiple"):
        rounded(250, 100, "exact")
