"""The cards of the venues: their numbers against the documents', their words and codes against each other."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from matching import codes
from matching.brackets import Brackets
from venues import card, card_names, known_instrument
from venues.bybit.rules import BTCUSDT_ROWS
from venues.dydx.rules import LIQUIDITY_TIERS
from venues.errors import RuleCardError
from venues.hyperliquid.reasons import STATUSES
from venues.rules import E12, HOUR_NS, ContractTiers, LinearTier, OpenInterestTier, RuleCard, date_ns

NOW_NS = date_ns("2026-11-01")
CARDS = [card(name) for name in card_names()]


@pytest.mark.parametrize("rule_card", CARDS, ids=card_names())
def test_every_code_of_a_reason_is_in_the_venues_table(rule_card: RuleCard) -> None:
    for row in rule_card.reasons.rows:
        for code in (row.code, row.low_code):
            assert code is None or rule_card.errors.find(code) is not None, (row.text, code)


@pytest.mark.parametrize("rule_card", CARDS, ids=card_names())
def test_words_agree_with_each_other(rule_card: RuleCard) -> None:
    orders, funding, margin = rule_card.orders, rule_card.funding, rule_card.margin
    assert ("GTD" in orders.times_in_force.value) == (orders.expiry.value != "none")
    assert orders.default_trigger.value in orders.triggers.value
    assert (orders.price_band.value == "none") == (orders.price_band_form.at(NOW_NS).value == "none")
    assert rule_card.stp.default.value in (*rule_card.stp.modes.value, "none")
    assert funding.interval_ns.value in (*funding.interval_choices_ns.value, 8 * HOUR_NS)
    assert (margin.form.value == "none") == (not margin.enabled.value)
    assert margin.default_mode.value in margin.modes.value
    assert orders.max_batch.value >= 1
    tiers = rule_card.fees.tiers.at(NOW_NS).value
    assert all(row.maker_e12 <= row.taker_e12 for row in tiers)
    for row in tiers[:1]:
        assert row.maker_e12 == rule_card.fees.maker_rate_e12.at(NOW_NS).value
        assert row.taker_e12 == rule_card.fees.taker_rate_e12.at(NOW_NS).value


# -- Hyperliquid


def test_hyperliquid_margin_tiers() -> None:
    rules = card("hyperliquid")
    table = rules.brackets("BTC", NOW_NS).value
    assert table.rate_e12 == (E12 // 80, E12 // 40)  # half of 1/40 and 1/20
    assert table.cum_e8[1] == 150_000_000 * 10**8 // 80  # lower bound * (2.5 % - 1.25 %)
    assert rules.brackets("SOL", NOW_NS).value.max_leverage == (20, 10)
    ether = rules.brackets("ETH", NOW_NS).value
    assert 0 <= Fraction(1, 30) - Fraction(ether.rate_e12[1], E12) < Fraction(1, E12)
    for coin in ("DOGE", "TRX"):
        assert rules.brackets(coin, NOW_NS).value.rate_e12 == (E12 // 20, E12 // 10)


def test_hyperliquid_funding_terms() -> None:
    rules = card("hyperliquid")
    deep, other = (rules.funding_terms(coin, NOW_NS).value for coin in ("BTC", "DOGE"))
    assert (deep.impact_notional_e8, other.impact_notional_e8) == (20_000 * 10**8, 6_000 * 10**8)
    assert (deep.interval_ns, deep.cap_e12, deep.floor_e12) == (HOUR_NS, 40 * 10**9, -40 * 10**9)


def test_hyperliquid_words_are_documented_statuses() -> None:
    for row in card("hyperliquid").reasons.rows:
        assert not row.word or row.word in STATUSES


def test_hyperliquid_order_values_follow_leverage() -> None:
    orders = card("hyperliquid").orders
    for (least, market), (same, limit) in zip(orders.max_market_value.value, orders.max_limit_value.value, strict=True):
        assert (same, limit) == (least, 10 * market)


# -- Bybit


def test_bybit_deductions_follow_from_the_rates() -> None:
    above = Decimal(0)
    last_cap = last_rate = Decimal(0)
    for cap, rate, _, _, deduction in BTCUSDT_ROWS:
        above += last_cap * (Decimal(rate) - last_rate) / 100
        assert above == Decimal(deduction)
        last_cap, last_rate = Decimal(cap), Decimal(rate)


def test_bybit_initial_rates_are_the_leverages() -> None:
    for _, maintenance, initial, leverage, _ in BTCUSDT_ROWS:
        assert abs(Decimal(100) / Decimal(leverage) - Decimal(initial)) < Decimal("0.011")
        assert Decimal(maintenance) < Decimal(initial)


def test_bybit_brackets() -> None:
    linear = card("bybit_linear").brackets("BTCUSDT", NOW_NS)
    assert linear.verified
    assert len(linear.value.cap_e8) == 36
    assert linear.value.max_leverage[0] == 150
    inverse = card("bybit_inverse").brackets("BTCUSD", NOW_NS)
    assert not inverse.verified
    assert inverse.value.cum_e8 == (0, 75_000_000)


def test_bybit_interval_switch_spares_some_symbols() -> None:
    switch = card("bybit_linear").funding.interval_switch
    assert switch.at(date_ns("2025-10-29")).value is None
    found = switch.at(date_ns("2025-10-30")).value
    assert found is not None
    assert found.to_ns == HOUR_NS
    assert "BTCUSDT" in found.excluded


def test_bybit_mark_window_changed() -> None:
    window = card("bybit_linear").mark.basis_window_ns
    assert (window.at(date_ns("2024-10-15")).value, window.at(NOW_NS).value) == (300 * 10**9, 150 * 10**9)


# -- margin tables of another form


def test_known_instruments_have_cards() -> None:
    for name in ("BTCUSDT", "BTCUSD"):
        venue = "bybit_linear" if name == "BTCUSDT" else "bybit_inverse"
        instrument = known_instrument(venue, name)
        assert isinstance(card(venue).margin_table(name, NOW_NS).value, Brackets)
        assert instrument.inverse == (card(venue).settles_in.value == "base")


# -- OKX


def test_okx_tiers_before_and_after_the_change_of_may_2023() -> None:
    rules = card("okx")

    def rates(at_ns: int, contracts: int) -> tuple[int, int, int]:
        table = rules.margin_table("ADA-USDT-SWAP", at_ns).value
        assert isinstance(table, ContractTiers)
        row = table.row(contracts * 10**8)
        return table.maintenance_e12[row] // 10**8, table.initial_e12[row] // 10**8, table.max_leverage_e2[row]

    before, after = date_ns("2023-05-18"), date_ns("2023-05-20")
    assert [rates(before, n)[0] for n in (500, 501, 1_001, 6_001)] == [100, 150, 200, 250]
    assert [rates(after, n)[0] for n in (1_500, 1_501, 3_001, 6_001, 12_001)] == [50, 75, 100, 150, 200]
    assert rates(after, 1_500)[1:] == (133, 7_500)
    assert rates(after, 6_001)[1:] == (300, 3_333)  # 2.5 % + 0.5 %; 33.33x
    assert not rules.margin_table("ADA-USDT-SWAP", NOW_NS).verified


def test_tables_that_are_no_brackets_are_refused_as_brackets() -> None:
    with pytest.raises(RuleCardError, match=r"okx: ADA-USDT-SWAP has contract tiers: 20, .* are no notional brackets"):
        card("okx").brackets("ADA-USDT-SWAP", NOW_NS)


def test_contract_arithmetic_of_okx() -> None:
    linear, inverse = known_instrument("okx", "BTC-USDT-SWAP"), known_instrument("okx", "BTC-USD-SWAP")
    assert linear.value_e8(linear.ticks_from_str("60000"), linear.lots_from_str("1")) == 600 * 10**8
    assert inverse.value_e8(inverse.ticks_from_str("50000"), inverse.lots_from_str("5")) == 10**6  # 500 USD in BTC


# -- dYdX


def test_dydx_initial_rate_grows_with_open_interest() -> None:
    tier = card("dydx").margin_table("SOL-USD", NOW_NS).value
    assert isinstance(tier, OpenInterestTier)
    assert (tier.initial_e12, tier.maintenance_e12) == (5 * E12 // 100, 3 * E12 // 100)
    million = 10**14
    assert [tier.initial_at_e12(oi * million) for oi in (0, 40, 70, 100, 200)] == [
        50_000_000_000, 50_000_000_000, 525_000_000_000, E12, E12,
    ]  # fmt: skip
    assert tier.initial_at_e12(40 * million + 1) == 50_000_000_001  # against the account


def test_dydx_liquidity_tiers() -> None:
    tiers = dict(LIQUIDITY_TIERS)
    assert tiers["Large-Cap"] == OpenInterestTier(E12 // 50, 12 * 10**9)
    assert tiers["Safety"].initial_e12 == E12
    assert tiers["FX"].maintenance_e12 == E12 // 200
    assert tiers["Long-Tail"].upper_cap_e8 == 10_000_000 * 10**8


def test_dydx_fee_tiers() -> None:
    tiers = card("dydx").fees.tiers.at(NOW_NS).value
    assert [row.volume_e8 // 10**14 for row in tiers] == [0, 1, 5, 25, 50, 100, 200]
    assert (tiers[-1].maker_e12, tiers[-1].taker_e12) == (-110_000_000, 250_000_000)


# -- Deribit


def test_deribit_changed_in_august_2026() -> None:
    rules = card("deribit")
    before, after = date_ns("2026-07-31"), date_ns("2026-08-01")
    assert rules.liquidation.fee_rate_e12.at(before).value == 75 * E12 // 10_000
    assert rules.liquidation.fee_rate_e12.at(after).value == E12 // 100
    for table in (rules.fees.taker_rate_e12, dict(rules.margin.tables)["BTC-PERPETUAL"]):
        assert (table.at(before).verified, table.at(after).verified) == (True, False)
        assert table.at(before).value == table.at(after).value
    assert (rules.batching.speed_bump_ns.at(before).value, rules.batching.speed_bump_ns.at(after).value) == (
        0,
        5 * 10**6,
    )


def test_deribit_rates_grow_with_size() -> None:
    tier = card("deribit").margin_table("BTC-PERPETUAL", date_ns("2026-01-01")).value
    assert isinstance(tier, LinearTier)
    assert tier.initial_base_e12 + 100 * tier.initial_slope_e12 == 25 * E12 // 1000  # 2 % + 100 * 0.005 %
    assert tier.maintenance_base_e12 + 100 * tier.maintenance_slope_e12 == 15 * E12 // 1000


def test_deribit_sizes_are_usd() -> None:
    instrument = known_instrument("deribit", "BTC-PERPETUAL")
    assert instrument.value_e8(instrument.ticks_from_str("50000"), instrument.lots_from_str("1000")) == 2 * 10**6


# -- refusals

ALWAYS = (
    codes.R_USER, codes.R_POST_ONLY, codes.R_IOC_REMAINDER, codes.R_MARKET_REMAINDER, codes.R_REDUCE_ONLY, codes.R_STP,
    codes.R_LIQUIDATION, codes.R_MARGIN, codes.R_LEVERAGE, codes.R_LOT_SIZE, codes.R_TICK_SIZE, codes.R_PRICE_RANGE,
    codes.R_UNKNOWN_ORDER, codes.R_NO_BOOK, codes.R_NO_LIQUIDITY, codes.R_NO_CHANGE, codes.R_LATENCY,
    codes.R_UNSUPPORTED, codes.R_TRIGGER, codes.R_POSITION_SIDE, codes.R_CLIENT_ID, codes.R_NO_POSITION, codes.R_VENUE,
)  # fmt: skip


def can_happen(rule_card: RuleCard) -> set[int]:
    """The reasons that the simulator can give under a card's words (see ``sim.gates`` and ``sim.settings``)."""
    orders, margin, limits = rule_card.orders, rule_card.margin, rule_card.limits
    happens = {
        codes.R_FOK: "FOK" in orders.times_in_force.value,
        codes.R_MIN_NOTIONAL: orders.min_notional_e8.value or orders.min_notional_exempt.value != "none",
        codes.R_PRICE_BAND: orders.price_band.value == "reject",
        codes.R_MARKET_BAND: orders.price_band.value != "none" and orders.market_form.value == "bounded",
        codes.R_MAX_VALUE: orders.max_limit_value.value or orders.max_market_value.value,
        codes.R_MAX_ORDERS: orders.max_open_orders.value or orders.open_orders_by_equity.value,
        codes.R_MAX_STOPS: orders.max_stop_orders.value,
        codes.R_MAX_AMENDS: orders.amends_per_order.value,
        codes.R_DUPLICATE_ID: orders.client_id_unique.value != "none",
        codes.R_RATE_LIMIT: any(row.scope in ("account", "instrument") for row in limits.limits.at(NOW_NS).value)
        or limits.earned.value,
        codes.R_EXPIRED: orders.expiry.value != "none",
        codes.R_EXPIRY: orders.expiry.value != "none" or rule_card.dead_man.min_ns.value,
        codes.R_DEAD_MAN: rule_card.dead_man.kind.value != "none",
        codes.R_OPEN_POSITION: margin.mode_change.value in ("flat", "flat_no_orders"),
        codes.R_OPEN_ORDERS: margin.mode_change.value == "flat_no_orders",
        codes.R_SAME_SETTING: margin.unchanged_refused.value,
        codes.R_MULTI_ASSETS: "multi_assets" in margin.modes.value,
        codes.R_IN_LIQUIDATION: rule_card.liquidation.procedure.value == "chunks",
        codes.R_ADL: rule_card.loss.adl_cancels_orders.value,
    }
    return {*ALWAYS, *(reason for reason, can in happens.items() if can)}


@pytest.mark.parametrize("rule_card", [c for c in CARDS if c.venue != "neutral"], ids=lambda c: c.venue)
def test_every_refusal_of_the_simulator_has_words(rule_card: RuleCard) -> None:
    worded = {row.reason for row in rule_card.reasons.rows}
    names = {value: name for name, value in vars(codes).items() if name.startswith("R_")}
    assert [names[reason] for reason in sorted(can_happen(rule_card) - worded)] == []


# -- what is taken from another venue or symbol is an assumption


def test_numbers_seen_elsewhere_are_assumptions_of_the_coin_margined_card() -> None:
    usdm, coinm = card("binance_usdm"), card("binance_coinm")
    assert usdm.funding.cap_e12.at(NOW_NS).verified
    for fact in (
        coinm.funding.cap_e12.at(NOW_NS), coinm.orders.max_open_orders, coinm.orders.trigger_protect_e12,
        coinm.limits.limits.at(date_ns("2026-06-29")),
    ):  # fmt: skip
        assert not fact.verified
    assert coinm.limits.limits.at(date_ns("2026-06-30")).verified
    assert "max_open_orders" in known_instrument("binance_usdm", "ETHUSDT").unverified


def test_funding_caps_before_their_announcement_are_assumptions() -> None:
    rules = card("binance_usdm")
    for symbol in ("BTCUSDT", "1000PEPEUSDT"):
        assert not rules.funding_terms(symbol, date_ns("2025-09-15")).verified
        assert rules.funding_terms(symbol, date_ns("2025-09-16")).verified


def test_words_that_no_source_proves_are_one_line_of_a_banner() -> None:
    """Many of a venue's refusals are not documented; what a result rests on shall not drown in them."""
    lines = [line for line in card("hyperliquid").assumptions(NOW_NS) if " refusals and closings: " in line]
    assert len(lines) == 1
    assert "lot size" in lines[0] and "tick size" not in lines[0]
    assert not [line for line in card("hyperliquid").assumptions(NOW_NS, without=("reasons",)) if line in lines]


def test_no_words_of_a_venue_are_left_to_be_filled_in() -> None:
    for rule_card in CARDS:
        assert [row.text for row in rule_card.reasons.rows if "{" in row.text] == []
