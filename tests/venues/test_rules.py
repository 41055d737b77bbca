"""Rule cards: every number has a source, assumptions reach the banner, tables are looked up as of simulated time."""

from __future__ import annotations

import dataclasses
import json
import pickle
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from matching import codes
from matching.brackets import Brackets
from venues import card, card_names, known_instrument
from venues.binance.metadata import instrument_from_exchange_info
from venues.binance.rules import BTCUSDT_BRACKETS, COINM, USDM
from venues.errors import InstrumentError, RuleCardError
from venues.instruments import Instrument
from venues.neutral.rules import NEUTRAL
from venues.rules import (
    DAY_NS,
    Dated,
    Fact,
    ReasonTable,
    RuleCard,
    VenueReason,
    always,
    assumed,
    date_ns,
    date_of_ns,
)

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
APRIL_2023_NS = 1_680_652_700 * 10**9
CARDS = [card(name) for name in card_names()]


# -- facts and dated tables


def test_a_fact_needs_a_source() -> None:
    with pytest.raises(RuleCardError, match="a fact without a source: 5"):
        Fact(5, "")


def test_dates() -> None:
    assert date_ns("1970-01-02") == DAY_NS
    assert date_ns("2023-04-05") == 1_680_652_800 * 10**9
    assert date_of_ns(1_680_652_800 * 10**9 - 1) == "2023-04-04"
    assert date_of_ns(1_680_652_800 * 10**9) == "2023-04-05"


def test_dated_facts_hold_from_their_instant_on() -> None:
    table = Dated(((100, Fact("a", "s")), (200, Fact("b", "s"))))
    assert [table.at(t).value for t in (100, 199, 200, 10**18)] == ["a", "a", "b", "b"]
    assert table.at(100).verified
    assert table.latest.value == "b"


def test_a_time_before_the_first_row_is_an_assumption() -> None:
    table = Dated(((date_ns("2026-08-02"), Fact(1, "captures")),))
    found = table.at(APRIL_2023_NS)
    assert (found.value, found.verified) == (1, False)
    assert found.source == "captures; known from 2026-08-02, used before it"


@pytest.mark.parametrize("times", [(), (5, 5), (5, 4)])
def test_dates_must_rise(times: tuple[int, ...]) -> None:
    with pytest.raises(RuleCardError, match="its dates must rise"):
        Dated(tuple((t, Fact(0, "s")) for t in times))


# -- the cards


@pytest.mark.parametrize("rule_card", CARDS, ids=card_names())
def test_every_entry_of_a_card_is_a_fact_with_a_source(rule_card: RuleCard) -> None:
    facts = dict(rule_card.facts(APRIL_2023_NS))
    assert len(facts) > 70
    assert all(fact.source for fact in facts.values())
    for group in dataclasses.fields(rule_card):
        value = getattr(rule_card, group.name)
        if dataclasses.is_dataclass(value) and group.name not in ("reasons", "errors") and not isinstance(value, Fact):
            bare = [f.name for f in dataclasses.fields(value) if not isinstance(getattr(value, f.name), Fact | Dated)]
            assert bare in ([], ["tables"])


@pytest.mark.parametrize("rule_card", CARDS, ids=card_names())
def test_cards_are_plain_frozen_data(rule_card: RuleCard) -> None:
    assert pickle.loads(pickle.dumps(rule_card)) == rule_card
    with pytest.raises(dataclasses.FrozenInstanceError):
        rule_card.venue = "other"  # type: ignore[misc]


def test_a_word_that_the_simulator_does_not_know_is_refused() -> None:
    word: Any = "bounce"
    wrong = dataclasses.replace(USDM.orders, post_only=Fact(word, "nowhere"))
    with pytest.raises(RuleCardError, match=r"binance_usdm\.orders\.post_only: 'bounce' is not one of reject, expire"):
        dataclasses.replace(USDM, orders=wrong)
    feed = dataclasses.replace(USDM.feed, force_orders=always(cast(Any, "some"), "nowhere"))
    with pytest.raises(RuleCardError, match=r"feed\.force_orders: 'some' is not one of"):
        dataclasses.replace(USDM, feed=feed)


def test_headline_numbers() -> None:
    assert USDM.fees.maker_rate_e12.at(APRIL_2023_NS).value == 200_000_000
    assert USDM.fees.taker_rate_e12.at(APRIL_2023_NS).value == 500_000_000
    assert USDM.funding.interval_ns.value == 8 * 3600 * 10**9
    assert USDM.liquidation.fee_rate_e12.at(APRIL_2023_NS).value == 12_500_000_000
    assert COINM.liquidation.fee_rate_e12.at(APRIL_2023_NS).value == 10_000_000_000
    assert COINM.size_unit.value == "contracts"
    assert "GTD" in USDM.orders.times_in_force.value
    assert "GTD" not in COINM.orders.times_in_force.value
    assert not NEUTRAL.margin.enabled.value


def test_times_are_stamped_at_the_venues_resolution() -> None:
    assert USDM.stamp_ns(1_234_567_899) == 1_234_000_000
    assert NEUTRAL.stamp_ns(1_234_567_899) == 1_234_567_899


def test_liquidation_prints_changed_their_meaning() -> None:
    force = USDM.feed.force_orders
    assert force.at(date_ns("2026-04-13")).value == "latest_per_second"
    assert force.at(date_ns("2026-04-14")).value == "largest_per_second"


def test_registry() -> None:
    assert card_names()[:2] == ("binance_usdm", "binance_coinm")
    assert card_names()[-1] == "neutral"
    with pytest.raises(RuleCardError, match=r"no rule card 'mtgox'; known are binance_usdm, .*, neutral"):
        card("mtgox")
    with pytest.raises(InstrumentError, match=r"binance_usdm DOGEUSDT is not documented here .* give tick_size"):
        known_instrument("binance_usdm", "DOGEUSDT")
    borrowed = known_instrument("neutral", "BTCUSDT")
    assert (borrowed.venue, borrowed.tick_size, borrowed.min_notional_e8) == ("neutral", Decimal("0.1"), None)


# -- assumptions for the banner


def test_what_is_not_verified_is_said() -> None:
    texts = COINM.assumptions(APRIL_2023_NS, ("BTCUSD_PERP",))
    (brackets,) = [text for text in texts if "brackets" in text]
    assert brackets.startswith("UNVERIFIED binance_coinm BTCUSD_PERP margin brackets: only one")
    assert "to 50: 125x, 0.4 %" in brackets
    assert any(text.startswith("UNVERIFIED binance_coinm fees.maker_rate = 0.02 %") for text in texts)


def test_groups_and_symbols_that_a_run_does_not_use_are_left_out() -> None:
    texts = COINM.assumptions(APRIL_2023_NS, ("BTCUSD_PERP",), without=("margin", "liquidation", "fees", "mark"))
    assert not [t for t in texts if any(word in t for word in ("margin.", "brackets", "fee", "mark."))]
    assert not [t for t in USDM.assumptions(APRIL_2023_NS) if "BTCUSDT" in t]


def test_assumptions_depend_on_simulated_time() -> None:
    def says_brackets(ts_ns: int) -> bool:
        return any("BTCUSDT margin brackets" in text for text in USDM.assumptions(ts_ns, ("BTCUSDT",)))

    assert says_brackets(APRIL_2023_NS)
    assert not says_brackets(date_ns("2026-09-01"))


def test_the_neutral_card_assumes_nothing() -> None:
    assert NEUTRAL.assumptions(APRIL_2023_NS) == ()


def test_an_assumed_fact_is_not_verified() -> None:
    assert not assumed(1, "a guess").verified


# -- brackets


def test_documented_brackets_of_btcusdt() -> None:
    table = USDM.brackets("BTCUSDT", date_ns("2026-09-01"))
    assert table.verified
    assert table.value is BTCUSDT_BRACKETS
    assert table.value.max_leverage == (150, 100, 75, 50, 25, 20, 10, 5, 4, 3, 2, 1)
    assert table.value.cum_e8[-1] == 421_482_000 * 10**8
    assert USDM.brackets("ETHUSDT", date_ns("2026-09-01")).verified is False


def test_the_one_documented_coinm_bracket() -> None:
    table = COINM.brackets("BTCUSD_PERP", APRIL_2023_NS)
    assert not table.verified
    assert table.value == Brackets((0,), (50 * 10**8,), (4_000_000_000,), (0,), (125,))


def test_unknown_brackets_say_what_to_do() -> None:
    with pytest.raises(RuleCardError, match="no brackets are known for XRPUSDT: name a bracket table or margin"):
        USDM.brackets("XRPUSDT", APRIL_2023_NS)


# -- reasons and codes

REASON_CODES = {
    codes.R_POST_ONLY: -5022,
    codes.R_REDUCE_ONLY: -2022,
    codes.R_MARGIN: -2019,
    codes.R_LEVERAGE: -2027,
    codes.R_UNKNOWN_ORDER: -2011,
    codes.R_MIN_NOTIONAL: -4164,
    codes.R_FOK: -5021,
    codes.R_PRICE_BAND: -4016,
    codes.R_MAX_ORDERS: -2025,
    codes.R_NO_CHANGE: -5027,
    codes.R_IOC_REMAINDER: None,
    codes.R_USER: None,
}


@pytest.mark.parametrize("reason", REASON_CODES)
@pytest.mark.parametrize("rule_card", [USDM, COINM], ids=["usdm", "coinm"])
def test_reasons_have_the_venues_codes(rule_card: RuleCard, reason: int) -> None:
    row = rule_card.reasons.find(reason)
    assert row is not None
    assert row.code == REASON_CODES[reason]


def test_every_reason_is_worded_and_every_code_documented() -> None:
    worded = {row.reason for row in USDM.reasons.rows}
    assert set(range(codes.R_USER, codes.R_LATENCY + 1)) <= worded
    assert {codes.R_RATE_LIMIT, codes.R_DUPLICATE_ID, codes.R_TICK_SIZE, codes.R_OPEN_POSITION} <= worded
    for row in USDM.reasons.rows:
        for code in (row.code, row.low_code):
            assert code is None or USDM.errors.find(code) is not None


def test_a_reason_mapped_twice_is_refused() -> None:
    row = VenueReason(codes.R_USER, None, "x", "s")
    with pytest.raises(RuleCardError, match="reason 1 is mapped twice"):
        ReasonTable((row, row))
    assert ReasonTable((row,)).find(codes.R_FOK) is None


def test_what_was_asked_chooses_the_row_of_a_reason() -> None:
    for asked, code in (("leverage", -4161), ("margin mode", -4048), ("", -4048)):
        row = USDM.reasons.find(codes.R_OPEN_POSITION, asked)
        assert row is not None and row.code == code
    special = VenueReason(codes.R_USER, None, "x", "s", asked=("amend",))
    assert ReasonTable((special,)).find(codes.R_USER) is None and ReasonTable((special,)).find(codes.R_USER, "amend")
    with pytest.raises(RuleCardError, match="reason 1 is mapped twice"):
        ReasonTable((special, special))
    with pytest.raises(RuleCardError, match="'amendd' is not one of order, cancel"):
        ReasonTable((VenueReason(codes.R_USER, None, "x", "s", asked=("amendd",)),))


# -- exchangeInfo

ENTRY = {
    "symbol": "BTCUSD_PERP",
    "baseAsset": "BTC",
    "quoteAsset": "USD",
    "marginAsset": "BTC",
    "contractSize": 100,
    "liquidationFee": "0.010000",
    "marketTakeBound": "0.30",
    "filters": [
        {"filterType": "PRICE_FILTER", "tickSize": "0.1", "minPrice": "1000", "maxPrice": "4520958"},
        {"filterType": "LOT_SIZE", "stepSize": "1", "minQty": "1", "maxQty": "1000000"},
        {"filterType": "MARKET_LOT_SIZE", "stepSize": "1", "minQty": "1", "maxQty": "60000"},
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
        {"filterType": "PERCENT_PRICE", "multiplierUp": "1.0500", "multiplierDown": "0.9500"},
    ],
}


def test_exchange_info_of_an_inverse_contract() -> None:
    made = instrument_from_exchange_info(ENTRY, "binance_coinm", "2024-08-08")
    assert (made.inverse, made.contract_size, made.settle) == (True, Decimal(100), "BTC")
    assert (made.min_ticks, made.max_ticks) == (10_000, 45_209_580)
    assert (made.max_lots, made.max_market_lots) == (1_000_000, 60_000)
    assert (made.band_up_e12, made.band_down_e12) == (1_050_000_000_000, 950_000_000_000)
    assert (made.market_bound_e12, made.liquidation_fee_e12) == (300_000_000_000, 10_000_000_000)
    assert (made.min_notional_e8, made.max_open_orders, made.as_of) == (None, 200, "2024-08-08")


def test_exchange_info_without_a_filter_names_it() -> None:
    with pytest.raises(InstrumentError, match="exchangeInfo entry 'BTCUSD_PERP': LOT_SIZE is missing"):
        instrument_from_exchange_info(ENTRY | {"filters": ENTRY["filters"][:1]}, "binance_coinm")  # type: ignore[index]


def test_recorded_exchange_info() -> None:
    path = SHARED / "cryptofeed" / "sample_data" / "BINANCE_FUTURES.0"
    if not path.exists():
        pytest.skip(f"no recorded exchangeInfo: {path} is absent")
    line = next(line for line in path.read_text().splitlines() if "exchangeInfo" in line)
    entries = json.loads(line[line.index("{") :])["symbols"]
    found: dict[str, Instrument] = {}
    for entry in entries:
        if entry["contractType"] == "PERPETUAL":
            found[entry["symbol"]] = instrument_from_exchange_info(entry, "binance_usdm", "2021-07-22")
    assert len(found) > 50
    assert (found["BTCUSDT"].tick_size, found["BTCUSDT"].lot_size) == (Decimal("0.01"), Decimal("0.001"))
    assert found["SUSHIUSDT"].ticks_from_str("7.6110") == 7611
    assert all(instrument.min_notional_e8 for instrument in found.values())
