"""Loaders of the venues' own metadata: recorded payloads load exactly, wrong ones are refused by contract and field."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from matching.brackets import Brackets
from venues.binance import metadata as binance
from venues.bybit import metadata as bybit
from venues.bybit.rules import BTCUSDT_BRACKETS, BTCUSDT_ROWS
from venues.deribit import metadata as deribit
from venues.dydx import metadata as dydx
from venues.errors import InstrumentError
from venues.hyperliquid import metadata as hyperliquid
from venues.hyperliquid.rules import HYPERLIQUID
from venues.metadata import parsed_json
from venues.okx import metadata as okx
from venues.tiers import ContractTiers, FundingTerms, OpenInterestTier

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
ADAPTERS = DATA / "nautilus" / "crates" / "adapters"
E8 = 10**8
E12 = 10**12
HOUR_NS = 3600 * 10**9


def recorded(*parts: str) -> Any:
    path = DATA.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"no recorded payload: {path} is absent")
    return parsed_json(path.read_bytes())


def adapter(venue: str, name: str) -> Any:
    return recorded("nautilus", "crates", "adapters", venue, "test_data", name)


# -- what all share


def test_numbers_are_exact_and_floats_refused() -> None:
    assert parsed_json('{"a": 0.1}')["a"] == Decimal("0.1")
    with pytest.raises(InstrumentError, match="not JSON"):
        parsed_json("{")
    with pytest.raises(InstrumentError, match=r"contract_size'.*0\.1 must be a whole number or a decimal string"):
        deribit.listings({"result": [DERIBIT_LINEAR | {"contract_size": 0.1}]})


# -- Binance

BINANCE_INFO: dict[str, Any] = {
    "symbols": [
        {
            "symbol": "BTCUSDT", "contractType": "PERPETUAL", "baseAsset": "BTC", "quoteAsset": "USDT",
            "marginAsset": "USDT", "liquidationFee": "0.012500", "marketTakeBound": "0.05",
            "filters": [
                {"filterType": "PRICE_FILTER", "tickSize": "0.10", "minPrice": "556.80", "maxPrice": "4529764"},
                {"filterType": "LOT_SIZE", "stepSize": "0.001", "minQty": "0.001", "maxQty": "1000"},
            ],
        },
        {"symbol": "BTCUSDT_261225", "contractType": "CURRENT_QUARTER"},
    ]
}  # fmt: skip
BINANCE_BRACKETS: list[dict[str, Any]] = [
    {
        "symbol": "BTCUSDT",
        "brackets": [
            {"bracket": 2, "initialLeverage": 100, "notionalCap": 800000, "notionalFloor": 300000,
             "maintMarginRatio": Decimal("0.005"), "cum": Decimal(300)},
            {"bracket": 1, "initialLeverage": 150, "notionalCap": 300000, "notionalFloor": 0,
             "maintMarginRatio": Decimal("0.004"), "cum": Decimal(0)},
        ],
    }
]  # fmt: skip
BINANCE_FUNDING = [
    {"symbol": "BTCUSDT", "adjustedFundingRateCap": "0.00300000", "adjustedFundingRateFloor": "-0.00300000",
     "fundingIntervalHours": 4},
]  # fmt: skip


def test_binance_puts_three_payloads_together() -> None:
    found = binance.listings(BINANCE_INFO, BINANCE_BRACKETS, BINANCE_FUNDING, venue="binance_usdm", as_of="2026-09-15")
    assert list(found) == ["BTCUSDT"]
    listing = found["BTCUSDT"]
    assert listing.instrument.liquidation_fee_e12 == 12_500_000_000
    assert listing.margin == Brackets(
        (0, 300_000 * E8), (300_000 * E8, 800_000 * E8), (4 * 10**9, 5 * 10**9), (0, 300 * E8), (150, 100)
    )
    assert listing.funding == FundingTerms(4 * HOUR_NS, 3 * 10**9, -3 * 10**9)


def test_binance_brackets_stretched_for_an_account() -> None:
    stretched = [BINANCE_BRACKETS[0] | {"notionalCoef": Decimal("1.5")}]
    table = binance.listings(BINANCE_INFO, stretched, venue="binance_usdm")["BTCUSDT"].margin
    assert isinstance(table, Brackets)
    assert (table.cap_e8[0], table.cum_e8[1]) == (450_000 * E8, 450 * E8)


def test_binance_coin_brackets_are_in_coins() -> None:
    rows = [
        {"bracket": 1, "initialLeverage": 125, "qtyCap": 50, "qtylFloor": 0, "maintMarginRatio": Decimal("0.004"),
         "cum": Decimal("0.0")},
    ]  # fmt: skip
    info = copy.deepcopy(BINANCE_INFO)
    info["symbols"][0] |= {"symbol": "BTCUSD_PERP", "contractSize": 100, "quoteAsset": "USD", "marginAsset": "BTC"}
    found = binance.listings(info, [{"symbol": "BTCUSD_PERP", "brackets": rows}], venue="binance_coinm")
    assert found["BTCUSD_PERP"].margin == Brackets((0,), (50 * E8,), (4 * 10**9,), (0,), (125,))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cum": Decimal(299)}, "leverageBracket.* BTCUSDT: field 'brackets': brackets row 2: cum_e8"),
        ({"initialLeverage": None}, r"brackets\[0\]: field 'initialLeverage' is missing"),
        ({"maintMarginRatio": "x"}, "field 'maintMarginRatio': 'x' is not a decimal number"),
    ],
)
def test_binance_wrong_brackets(change: dict[str, Any], message: str) -> None:
    wrong = copy.deepcopy(BINANCE_BRACKETS)
    wrong[0]["brackets"][0] |= change
    with pytest.raises(InstrumentError, match=message):
        binance.listings(BINANCE_INFO, wrong, venue="binance_usdm")


def test_binance_recorded_brackets_of_every_symbol() -> None:
    tiers = recorded("freqtrade", "freqtrade", "exchange", "binance_leverage_tiers.json")
    payload = [{"symbol": name, "brackets": [row["info"] for row in rows]} for name, rows in tiers.items()]
    tables = binance._tables(payload, inverse=False)
    assert len(tables) == len(tiers) > 300
    assert sum(len(table.cap_e8) for table in tables.values()) > 2_500
    assert tables["BTC/USDT:USDT"].max_leverage[0] == 125


# -- Bybit


def bybit_info(**changes: Any) -> dict[str, Any]:
    entry = {
        "symbol": "BTCUSDT", "contractType": "LinearPerpetual", "baseCoin": "BTC", "quoteCoin": "USDT",
        "settleCoin": "USDT", "fundingInterval": 480, "upperFundingRate": "0.00375", "lowerFundingRate": "-0.00375",
        "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"},
        "lotSizeFilter": {"minNotionalValue": "5", "maxOrderQty": "1190.000", "maxMktOrderQty": "500.000",
                          "minOrderQty": "0.001", "qtyStep": "0.001"},
        "riskParameters": {"priceLimitRatioX": "0.01", "priceLimitRatioY": "0.02"},
    }  # fmt: skip
    return {"result": {"list": [entry | changes]}}


def test_bybit_instrument_and_risk_limits() -> None:
    rows = [
        {"symbol": "BTCUSDT", "riskLimitValue": cap, "maintenanceMargin": str(Decimal(rate) / 100),
         "maxLeverage": leverage, "mmDeduction": str(deduction or "")}
        for cap, rate, _, leverage, deduction in reversed(BTCUSDT_ROWS)
    ]  # fmt: skip
    listing = bybit.listings(bybit_info(), {"result": {"list": rows}}, as_of="2026-07-24")["BTCUSDT"]
    assert listing.margin == BTCUSDT_BRACKETS
    assert listing.funding == FundingTerms(8 * HOUR_NS, 3_750 * 10**6, -3_750 * 10**6)
    instrument = listing.instrument
    assert (instrument.max_lots, instrument.max_market_lots) == (1_190_000, 500_000)
    assert (instrument.band_x_e12, instrument.band_y_e12) == (E12 // 100, E12 // 50)
    assert instrument.min_notional_e8 == 5 * E8


def test_bybit_recorded_instruments() -> None:
    found = bybit.listings(adapter("bybit", "http_get_instruments_linear_symbol_type.json"))
    assert found["TSLAUSDT"].instrument.tick_size == Decimal("0.01")
    assert found["TSLAUSDT"].funding == FundingTerms(8 * HOUR_NS)


def test_bybit_interval_of_another_unit_is_refused() -> None:
    # These samples say 8, where the venue's documents say minutes.
    for name in ("http_get_instruments_linear.json", "http_get_instruments_inverse.json"):
        with pytest.raises(InstrumentError, match=r"BTCUSD.*: field 'fundingInterval': 8 minutes is none of 60"):
            bybit.listings(adapter("bybit", name))


def test_bybit_inverse() -> None:
    info = bybit_info(
        symbol="BTCUSD", contractType="InversePerpetual", quoteCoin="USD", settleCoin="BTC", riskParameters=None,
        lotSizeFilter={"maxOrderQty": "25000000", "maxMktOrderQty": "5000000", "minOrderQty": "1", "qtyStep": "1"},
    )  # fmt: skip
    instrument = bybit.listings(info)["BTCUSD"].instrument
    assert (instrument.venue, instrument.inverse, instrument.contract_size) == ("bybit_inverse", True, Decimal(1))
    assert (instrument.min_notional_e8, instrument.max_market_lots) == (None, 5_000_000)


# -- OKX


def test_okx_recorded_swaps() -> None:
    found = okx.listings(adapter("okx", "http_get_instruments_swap.json"))
    assert list(found) == ["BTC-USD-SWAP", "ETH-USDT-SWAP", "BTC-USDT-SWAP"]
    linear, inverse = found["BTC-USDT-SWAP"].instrument, found["BTC-USD-SWAP"].instrument
    assert (linear.contract_size, linear.lot_size, linear.min_lots) == (Decimal("0.01"), Decimal("0.01"), 1)
    assert (linear.max_lots, linear.max_market_lots) == (None, 1_200_000)  # 1e10 lots are more than an order can be
    assert (inverse.inverse, inverse.contract_size, inverse.settle) == (True, Decimal(100), "BTC")


def test_okx_recorded_tiers() -> None:
    (table,) = okx.tiers_from(adapter("okx", "http_get_position_tiers.json")).values()
    assert table == ContractTiers((50 * E8,), (3 * E12 // 100,), (E12 // 10,), (1_000,))


def okx_payloads() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    swap = {
        "instId": "ADA-USDT-SWAP", "instType": "SWAP", "instFamily": "ADA-USDT", "uly": "ADA-USDT",
        "ctType": "linear", "ctVal": "100", "ctMult": "1", "ctValCcy": "ADA", "settleCcy": "USDT", "tickSz": "0.0001",
        "lotSz": "0.1", "minSz": "0.1", "maxLmtSz": "1000000", "maxMktSz": "50000",
    }  # fmt: skip
    tiers = [
        {"instFamily": "ADA-USDT", "instId": "", "tier": "2", "maxSz": "3000", "mmr": "0.0075", "imr": "0.02",
         "maxLever": "50"},
        {"instFamily": "ADA-USDT", "instId": "", "tier": "1", "maxSz": "1500", "mmr": "0.005", "imr": "0.0133",
         "maxLever": "75"},
    ]  # fmt: skip
    funding = {
        "instId": "ADA-USDT-SWAP", "fundingTime": "1744588800000", "nextFundingTime": "1744603200000",
        "minFundingRate": "-0.015", "maxFundingRate": "0.015", "impactValue": "5000",
    }  # fmt: skip
    return {"data": [swap]}, {"data": tiers}, {"data": [funding]}


def test_okx_puts_three_payloads_together() -> None:
    listing = okx.listings(*okx_payloads())["ADA-USDT-SWAP"]
    assert listing.margin == ContractTiers(
        (1_500 * E8, 3_000 * E8), (5 * 10**9, 7_500 * 10**6), (13_300 * 10**6, 20 * 10**9), (7_500, 5_000)
    )
    assert listing.funding == FundingTerms(4 * HOUR_NS, 15 * 10**9, -15 * 10**9, impact_notional_e8=5_000 * E8)


@pytest.mark.parametrize(
    ("place", "change", "message"),
    [
        (0, {"ctValCcy": "USDT"}, "ADA-USDT-SWAP: field 'ctValCcy': a contract of USDT settled in USDT is no linear"),
        (0, {"lotSz": ""}, "ADA-USDT-SWAP: field 'lotSz' is missing"),
        (1, {"mmr": "0.03"}, "field 'tier': contract tiers row 2: wanted 0 < maintenance <= initial"),
        (2, {"nextFundingTime": "1744588800001"}, "field 'nextFundingTime': 1 ms after fundingTime is no funding"),
    ],
)
def test_okx_wrong_payloads(place: int, change: dict[str, str], message: str) -> None:
    payloads = okx_payloads()
    payloads[place]["data"][0] |= change
    with pytest.raises(InstrumentError, match=message):
        okx.listings(*payloads)


# -- Hyperliquid


def test_hyperliquid_recorded_meta() -> None:
    found = hyperliquid.listings(adapter("hyperliquid", "http_meta_perp_sample.json"))
    assert list(found) == ["BTC", "ETH", "ATOM"]
    bitcoin = found["BTC"]
    assert (bitcoin.instrument.tick_size, bitcoin.instrument.lot_size) == (Decimal("0.1"), Decimal("0.00001"))
    assert bitcoin.instrument.significant_digits == 5
    assert isinstance(bitcoin.margin, Brackets)
    assert (bitcoin.margin.rate_e12, bitcoin.margin.max_leverage) == ((E12 // 80,), (40,))


def test_hyperliquid_recorded_builder_markets() -> None:
    for payload in adapter("hyperliquid", "http_all_perp_metas_non_usdc_collateral.json"):
        for name, listing in hyperliquid.listings(payload, settle="token").items():
            assert listing.instrument.base == name.rpartition(":")[2]


def test_hyperliquid_meta_of_2023() -> None:
    path = DATA / "hyperliquid_python_sdk" / "tests" / "cassettes" / "info_test" / "test_get_info.yaml"
    if not path.exists():
        pytest.skip(f"no recorded payload: {path} is absent")
    text = path.read_text(encoding="utf-8")
    body = text[text.index('\'{"universe"') + 1 :]
    found = hyperliquid.listings(parsed_json(body[: body.index("}'") + 1].replace("\n", "")))
    assert len(found) > 20
    assert all(listing.margin is not None and listing.instrument.step_at(10**5) >= 1 for listing in found.values())
    assert found["DOGE"].instrument.on_grid(found["DOGE"].instrument.ticks_from_str("0.071234"))


HL_META: dict[str, Any] = {
    "universe": [
        {"name": "BTC", "szDecimals": 5, "maxLeverage": 40, "marginTableId": 56},
        {"name": "OLD", "szDecimals": 1, "maxLeverage": 3, "marginTableId": 3, "isDelisted": True},
        {"name": "X", "szDecimals": 1, "maxLeverage": 3, "marginTableId": 3},
    ],
    "marginTables": [
        [56, {"description": "tiered 40x", "marginTiers": [
            {"lowerBound": "0.0", "maxLeverage": 40}, {"lowerBound": "150000000.0", "maxLeverage": 20},
        ]}],
    ],
}  # fmt: skip


def test_hyperliquid_margin_tables() -> None:
    found = hyperliquid.listings(HL_META)
    assert list(found) == ["BTC", "X"]
    assert found["BTC"].margin == HYPERLIQUID.brackets("BTC", 0).value
    assert isinstance(found["X"].margin, Brackets)
    assert found["X"].margin.max_leverage == (3,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"marginTableId": 77}, "BTC: field 'marginTableId': there is no margin table 77"),
        ({"szDecimals": 9}, "BTC: field 'szDecimals': 9 is not between 0 and 6"),
        ({"name": None}, r"universe\[0\]: field 'name' is missing"),
    ],
)
def test_hyperliquid_wrong_meta(change: dict[str, Any], message: str) -> None:
    wrong = copy.deepcopy(HL_META)
    wrong["universe"][0] |= change
    with pytest.raises(InstrumentError, match=message):
        hyperliquid.listings(wrong)


# -- dYdX


def test_dydx_recorded_markets() -> None:
    found = dydx.markets_from(adapter("dydx", "http_get_perpetual_markets.json"), as_of="2025-12-08")
    assert list(found) == ["BTC-USD", "ETH-USD", "SOL-USD"]
    market = found["SOL-USD"]
    assert market.listing.instrument.tick_size == Decimal("0.01")
    assert market.listing.margin == OpenInterestTier(5 * 10**10, 3 * 10**10, 40_000_000 * E8, 100_000_000 * E8)
    assert (market.listing.funding, market.isolated) == (FundingTerms(interest_e12=0), False)


def test_dydx_integers() -> None:
    found = dydx.markets_from(adapter("dydx", "http_get_perpetual_markets.json"))
    quantums, instrument = found["BTC-USD"].quantums, found["BTC-USD"].listing.instrument
    ticks, lots = instrument.ticks_from_str("50000"), instrument.lots_from_str("0.0003")
    assert quantums.subticks(ticks) == 5_000_000_000
    assert quantums.quantums(lots) == 3_000_000
    assert quantums.quote_quantums(ticks, lots) == 15_000_000  # 15 USDC


def test_dydx_contradictions_are_refused() -> None:
    # A sample whose step of 0.001 does not follow from its quantums.
    with pytest.raises(InstrumentError, match=r"BTC-USD: field 'stepSize': 0\.001 contradicts .*0\.0001 follows"):
        dydx.listings(adapter("dydx", "ws_markets_subscribed.json"))


# -- Deribit

DERIBIT_LINEAR: dict[str, Any] = {
    "instrument_name": "ETH_USDC-PERPETUAL", "kind": "future", "settlement_period": "perpetual",
    "instrument_type": "linear", "base_currency": "ETH", "quote_currency": "USDC", "settlement_currency": "USDC",
    "tick_size": Decimal("0.05"), "contract_size": Decimal("0.001"), "min_trade_amount": Decimal("0.002"),
    "tick_size_steps": [{"above_price": Decimal(5000), "tick_size": Decimal("0.5")}],
    "maker_commission": Decimal(0), "taker_commission": Decimal("0.0005"),
}  # fmt: skip


def test_deribit_recorded_instruments() -> None:
    found = deribit.listings(adapter("deribit", "http_get_instruments.json"))
    assert list(found) == ["BTC-PERPETUAL"]
    listing = found["BTC-PERPETUAL"]
    assert (listing.maker_rate_e12, listing.taker_rate_e12) == (0, 5 * 10**8)
    assert (listing.instrument.inverse, listing.instrument.lot_size, listing.instrument.min_lots) == (
        True,
        Decimal(10),
        1,
    )


def test_deribit_linear_with_tick_steps() -> None:
    instrument = deribit.listings({"result": [DERIBIT_LINEAR]})["ETH_USDC-PERPETUAL"].instrument
    assert (instrument.inverse, instrument.min_lots) == (False, 2)
    assert instrument.on_grid(instrument.ticks_from_str("4999.95"))
    assert not instrument.on_grid(instrument.ticks_from_str("5000.05"))
    assert instrument.on_grid(instrument.ticks_from_str("5000.5"))
    assert instrument.price_str(instrument.grid_at_least(100_001)) == "5000.50"


def test_deribit_amounts_off_the_contract_are_refused() -> None:
    with pytest.raises(InstrumentError, match="ETH_USDC-PERPETUAL: field 'min_trade_amount': is no multiple"):
        deribit.listings({"result": [DERIBIT_LINEAR | {"min_trade_amount": Decimal("0.0015")}]})


# -- every field of every payload, gone or nonsense

DYDX_MARKETS: dict[str, Any] = {
    "markets": {
        "BTC-USD": {
            "clobPairId": "0", "ticker": "BTC-USD", "initialMarginFraction": "0.02",
            "maintenanceMarginFraction": "0.012", "openInterestLowerCap": "0", "openInterestUpperCap": "0",
            "atomicResolution": -10, "quantumConversionExponent": -9, "tickSize": "1", "stepSize": "0.0001",
            "stepBaseQuantums": 1_000_000, "subticksPerTick": 100_000, "defaultFundingRate1H": "0",
        }
    }
}  # fmt: skip
BYBIT_LIMITS: dict[str, Any] = {
    "result": {
        "list": [
            {"symbol": "BTCUSDT", "riskLimitValue": cap, "maintenanceMargin": rate, "maxLeverage": leverage,
             "mmDeduction": deduction}
            for cap, rate, leverage, deduction in
            (("2000000", "0.005", "100.00", "510"), ("300000", "0.0033", "150.00", ""))
        ]
    }
}  # fmt: skip
NONSENSE: tuple[Any, ...] = (
    None, "", "abc", "NaN", "Infinity", "-1", "0", "1e400", "9" * 30, "1e-30", {}, [], [1], True, 1.5,
)  # fmt: skip
LOADERS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "binance": (partial(binance.listings, venue="binance_usdm"), (BINANCE_INFO, BINANCE_BRACKETS, BINANCE_FUNDING)),
    "bybit": (bybit.listings, (bybit_info(), BYBIT_LIMITS)),
    "okx": (okx.listings, okx_payloads()),
    "hyperliquid": (hyperliquid.listings, (HL_META,)),
    "dydx": (dydx.listings, (DYDX_MARKETS,)),
    "deribit": (deribit.listings, ({"result": [DERIBIT_LINEAR]},)),
}


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a payload with each of its keys."""
    keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    for key in keys:
        yield node, key
        yield from places(node[key])


@pytest.mark.parametrize("venue", LOADERS)
def test_whatever_a_field_holds_a_loader_loads_it_or_names_what_is_wrong(venue: str) -> None:
    load, payloads = LOADERS[venue]
    changed = copy.deepcopy(list(payloads))
    assert load(*changed)
    refused = 0
    for holder, key in list(places(changed)):
        kept = holder[key]
        for value in NONSENSE:
            holder[key] = value
            try:
                load(*changed)
            except InstrumentError as error:
                assert str(error)
                refused += 1
        holder[key] = kept
    assert refused > 50


@pytest.mark.parametrize("venue", LOADERS)
def test_a_payload_of_another_shape_is_refused(venue: str) -> None:
    load, payloads = LOADERS[venue]
    shapes: tuple[Any, ...] = ("abc", 1, True, [[]], {"a": 1})
    for place in range(len(payloads)):
        for value in shapes:
            with pytest.raises(InstrumentError):
                load(*payloads[:place], value, *payloads[place + 1 :])
