"""Exact parsing and contract arithmetic, against Decimal and Fraction as oracles."""

from __future__ import annotations

import pickle
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from venues import known_instrument
from venues.errors import InstrumentError
from venues.instruments import (
    CACHE_ENTRIES,
    MAX_COLUMN,
    Instrument,
    ParseCache,
    mark_e8_from_str,
    money_e8_from_str,
    rate_e12_from_str,
    scaled_from_str,
    split_symbol,
)

BTCUSDT = known_instrument("binance_usdm", "BTCUSDT")
BTCUSD_PERP = known_instrument("binance_coinm", "BTCUSD_PERP")


def linear(tick_size: str, lot_size: str, contract_size: str = "1") -> Instrument:
    return Instrument(
        "v", "XUSDT", "X", "USDT", "USDT", False, Decimal(tick_size), Decimal(lot_size), Decimal(contract_size)
    )


def inverse(tick_size: str, lot_size: str, contract_size: str) -> Instrument:
    return Instrument("v", "XUSD", "X", "USD", "X", True, Decimal(tick_size), Decimal(lot_size), Decimal(contract_size))


# -- strings to integers

PRICES = [
    ("28145.10", 281_451),
    ("28145.1", 281_451),
    ("28145.1000000000000000", 281_451),
    ("28145", 281_450),
    ("0.1", 1),
    ("0.00", 0),
    ("000012.30", 123),
    (b"28145.10", 281_451),
]


@pytest.mark.parametrize(("text", "ticks"), PRICES)
def test_prices_of_btcusdt(text: str | bytes, ticks: int) -> None:
    assert BTCUSDT.ticks_from_str(text) == ticks


BAD_NUMBERS = [
    "", ".", "1.", ".5", "-1", "+1", " 1", "1 ", "1\n", "1e3", "1E-2", "1_000", "1,5", "0x10", "nan", "inf", "Infinity",
    "١٢", "²", "1.2.3", "1.-2", "1.+2", "9" * 41, "0." + "1" * 40, "\udcff", "1.\u0660",
]  # fmt: skip


@pytest.mark.parametrize("text", BAD_NUMBERS)
def test_what_is_no_plain_number_is_refused(text: str) -> None:
    with pytest.raises(InstrumentError, match=r"BTCUSDT: price .* is not a plain decimal number"):
        BTCUSDT.ticks_from_str(text)
    with pytest.raises(InstrumentError):
        BTCUSDT.lots_from_str(text)
    with pytest.raises(InstrumentError):
        mark_e8_from_str(text)


def test_off_grid_names_the_instrument_the_text_and_the_grid() -> None:
    with pytest.raises(InstrumentError, match=r"BTCUSDT: price '28145.15' has more than 1 decimals \(grid 0.1\)"):
        BTCUSDT.ticks_from_str("28145.15")
    with pytest.raises(InstrumentError, match=r"XUSDT: price '0\.30' is off the grid of 0.25"):
        linear("0.25", "1").ticks_from_str("0.30")
    with pytest.raises(InstrumentError, match="XUSDT: size '15' is off the grid of 10"):
        linear("1", "10").lots_from_str("15")


def test_grids_that_are_not_powers_of_ten() -> None:
    assert linear("0.25", "1").ticks_from_str("0.75") == 3
    assert linear("0.5", "1").ticks_from_str("1.50") == 3
    assert linear("5", "1E+2").lots_from_str("300.00") == 3
    assert linear("0.0000000001", "1").ticks_from_str("0.0000000123") == 123


def test_integers_must_fit_feed_columns() -> None:
    assert linear("1", "1").ticks_from_str(str(MAX_COLUMN)) == MAX_COLUMN
    with pytest.raises(InstrumentError, match="more than 2147483647 steps"):
        linear("1", "1").ticks_from_str(str(MAX_COLUMN + 1))


def test_marks_rates_and_money() -> None:
    assert mark_e8_from_str("28147.27373413") == 2_814_727_373_413
    assert rate_e12_from_str("0.00002760") == 27_600_000
    assert rate_e12_from_str("-0.00100000") == -1_000_000_000
    assert rate_e12_from_str(b"-0.00100000") == -1_000_000_000
    assert money_e8_from_str("-12.5") == -1_250_000_000
    for text in ("0", "0.00000000", "1.123456789", "92233720368.54775808"):
        with pytest.raises(InstrumentError):
            mark_e8_from_str(text)
    for text in ("--1", "0.0000000000001", "9223372.036854775808"):
        with pytest.raises(InstrumentError):
            rate_e12_from_str(text)
    with pytest.raises(InstrumentError, match="64 bits"):
        money_e8_from_str("92233720368.54775808")


@given(st.integers(0, 10**20), st.integers(0, 12), st.integers(0, 12))
@settings(deadline=None)
def test_scaled_equals_decimal(digits: int, text_decimals: int, decimals: int) -> None:
    text = f"{Decimal(digits).scaleb(-text_decimals):f}"
    exact = Decimal(text) * 10**decimals
    if exact == exact.to_integral_value():
        assert scaled_from_str(text, decimals) == exact
        assert scaled_from_str(text.encode(), decimals) == exact
    else:
        with pytest.raises(InstrumentError, match="more than"):
            scaled_from_str(text, decimals)


@given(st.text(max_size=50))
@example("10000000000000000000000000001")  # a digit more than a Decimal's product keeps
@settings(deadline=None)
def test_any_text_is_a_number_or_an_instrument_error(text: str) -> None:
    try:
        value = scaled_from_str(text, 8)
    except InstrumentError:
        return
    assert value == Fraction(Decimal(text)) * 10**8


@given(
    st.sampled_from([BTCUSDT, BTCUSD_PERP, linear("0.25", "0.5"), linear("0.00001", "10"), inverse("0.5", "1", "10")]),
    st.integers(0, MAX_COLUMN),
)
@settings(deadline=None)
def test_written_prices_and_sizes_read_back(instrument: Instrument, count: int) -> None:
    assert instrument.ticks_from_str(instrument.price_str(count)) == count
    assert instrument.lots_from_str(instrument.size_str(count)) == count
    assert instrument.price_of(count) == count * instrument.tick_size
    assert instrument.size_of(count) == count * instrument.lot_size


@given(st.sampled_from([BTCUSDT, linear("0.25", "1"), linear("0.0000000001", "1")]), st.integers(0, 10**16))
@settings(deadline=None)
def test_nearest_prices_enclose(instrument: Instrument, price_e8: int) -> None:
    low, high = instrument.ticks_at_most(price_e8), instrument.ticks_at_least(price_e8)
    assert instrument.price_e8_of(low) <= price_e8 <= instrument.price_e8_of(high)
    assert high - low in (0, 1)
    assert (high == low) == (instrument.price_e8_of(low) == price_e8)


# -- grids that depend on the price


def hyperliquid(size_decimals: int) -> Instrument:
    tick = Decimal(1).scaleb(size_decimals - 6)
    return Instrument(
        "hyperliquid", "X", "X", "USD", "USDC", False, tick, Decimal(1).scaleb(-size_decimals), significant_digits=5
    )


@pytest.mark.parametrize(
    ("size_decimals", "price", "legal"),
    [
        (5, "123456", True),  # whole numbers always
        (5, "12345.6", False),
        (4, "1234.5", True),
        (4, "1234.56", False),
        (1, "0.01234", True),
        (0, "0.012345", True),
        (2, "99.999", True),
        (2, "100.001", False),
    ],
)
def test_five_significant_digits(size_decimals: int, price: str, legal: bool) -> None:
    instrument = hyperliquid(size_decimals)
    ticks = instrument.ticks_from_str(price)
    assert instrument.on_grid(ticks) is legal
    assert (instrument.grid_at_most(ticks) == ticks) is legal
    assert (instrument.grid_at_least(ticks) == ticks) is legal


def test_more_decimals_than_the_size_leaves_are_off_the_tick() -> None:
    with pytest.raises(InstrumentError, match="more than 5 decimals"):
        hyperliquid(1).ticks_from_str("0.012345")


STEPPED = Instrument(
    "deribit", "X", "X", "USD", "X", True, Decimal("0.5"), Decimal(10),
    tick_steps=((Decimal(1000), Decimal("2.5")), (Decimal("2001.5"), Decimal(10))),
)  # fmt: skip


def test_ticks_that_grow_with_the_price() -> None:
    assert [STEPPED.step_at(t) for t in (1, 2000, 2001, 4003, 4004)] == [1, 1, 5, 5, 20]
    assert STEPPED.grid_at_least(2001) == 2005
    assert STEPPED.grid_at_most(2004) == 2000
    assert STEPPED.grid_at_least(4001) == 4020  # the next multiple of 5 lies in the coarser zone
    assert STEPPED.grid_at_most(4019) == 4000
    with pytest.raises(InstrumentError, match="tick_steps must rise"):
        Instrument(
            "deribit", "X", "X", "USD", "X", True, Decimal("0.5"), Decimal(10),
            tick_steps=((Decimal(1000), Decimal("0.75")),),
        )  # fmt: skip


@given(st.sampled_from([hyperliquid(d) for d in range(6)] + [STEPPED, BTCUSDT]), st.integers(1, MAX_COLUMN))
@settings(deadline=None)
def test_legal_prices_next_to_any_price(instrument: Instrument, ticks: int) -> None:
    low, high = instrument.grid_at_most(ticks), instrument.grid_at_least(ticks)
    assert low <= ticks <= high
    assert low == 0 or instrument.on_grid(low)
    assert instrument.on_grid(high)
    assert (low == high) == instrument.on_grid(ticks)
    for between in (*range(low + 1, min(low + 40, high)), *range(max(high - 40, low + 1), high)):
        assert not instrument.on_grid(between)


# -- readers and caches


def test_cache_answers_the_same_and_stays_bounded() -> None:
    cache = ParseCache(BTCUSDT.lots_from_str)
    for lots in range(CACHE_ENTRIES + 100):
        assert cache[BTCUSDT.size_str(lots)] == lots
        assert len(cache) <= CACHE_ENTRIES
    with pytest.raises(InstrumentError):
        cache["0.0001"]
    assert "0.0001" not in cache


def test_instruments_and_readers_can_be_sent_to_another_process() -> None:
    assert pickle.loads(pickle.dumps(BTCUSDT)) == BTCUSDT
    assert pickle.loads(pickle.dumps(BTCUSDT.price_reader()))["0.3"] == 3
    assert pickle.loads(pickle.dumps(ParseCache(BTCUSDT.ticks_from_str)))["0.3"] == 3


# -- contract arithmetic


def test_ledger_multipliers_of_known_contracts() -> None:
    assert (BTCUSDT.value_num, BTCUSDT.value_den, BTCUSDT.lot_num, BTCUSDT.lot_den) == (10_000, 1, 1, 1_000)
    perp = BTCUSD_PERP
    assert (perp.value_num, perp.value_den, perp.lot_num, perp.lot_den) == (10**11, 1, 10**10, 1)


def test_one_bitcoin_at_28145_10() -> None:
    assert BTCUSDT.value_e8(281_451, 1_000) == Decimal("28145.10") * 10**8
    assert BTCUSDT.value_at_mark_e8(1_000, mark_e8_from_str("28147.27373413")) == 2_814_727_373_413


def test_ten_contracts_of_100_dollars() -> None:
    assert BTCUSD_PERP.value_e8(617_773, 10) == Fraction(1000 * 10**8 * 10, 617_773)
    assert BTCUSD_PERP.value_at_mark_e8(10, 50_000 * 10**8) == Fraction(2, 100) * 10**8


SIZES = st.sampled_from(["0.001", "0.01", "0.1", "1", "5", "10", "0.25"])


@given(SIZES, SIZES, st.sampled_from(["1", "10", "100", "0.01"]), st.integers(1, 10**7), st.integers(1, 10**7))
@settings(deadline=None)
def test_value_is_what_the_contract_says(tick: str, lot: str, contract: str, ticks: int, lots: int) -> None:
    price, size = Fraction(tick) * ticks, Fraction(lot) * lots * Fraction(contract)
    assert linear(tick, lot, contract).value_e8(ticks, lots) == price * size * 10**8
    assert inverse(tick, lot, contract).value_e8(ticks, lots) == size / price * 10**8
    mark_e8 = ticks * 10**5 + 1
    mark = Fraction(mark_e8, 10**8)
    assert linear(tick, lot, contract).value_at_mark_e8(lots, mark_e8) == size * mark * 10**8
    assert inverse(tick, lot, contract).value_at_mark_e8(lots, mark_e8) == size / mark * 10**8


# -- making instruments


def test_from_run_file_fields() -> None:
    made = Instrument.from_fields(
        {"venue": "binance_usdm", "symbol": "SOLUSDT", "tick_size": "0.001", "lot_size": 1, "max_lots": 5_000}
    )
    assert (made.base, made.quote, made.settle, made.inverse) == ("SOL", "USDT", "USDT", False)
    assert made.ticks_from_str("20.125") == 20_125
    assert made.source == "run file"
    perp = Instrument.from_fields(
        {
            "venue": "binance_coinm", "symbol": "ETHUSD_PERP", "tick_size": "0.01", "lot_size": "1", "inverse": True,
            "contract_size": "10",
        }
    )  # fmt: skip
    assert (perp.base, perp.settle, perp.contract_size) == ("ETH", "ETH", Decimal(10))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"symbol": "BTCUSDT", "tick_size": "0.1", "lot_size": "1"}, "field 'venue' is missing"),
        ({"venue": "v", "symbol": "BTCUSDT", "tick_size": 0.1, "lot_size": "1"}, "tick_size: 0.1 must be a whole"),
        ({"venue": "v", "symbol": "BTCUSDT", "tick_size": "x", "lot_size": "1"}, "'x' is not a decimal number"),
        ({"venue": "v", "symbol": "BTCUSDT", "tick_size": "NaN", "lot_size": "1"}, "not finite"),
        ({"venue": "v", "symbol": "BTCUSDT", "tick_size": "0", "lot_size": "1"}, "tick_size must be above 0"),
        ({"venue": "v", "symbol": "BTCUSDT", "tick_size": "-1", "lot_size": "1"}, "tick_size must be above 0"),
        ({"venue": "v", "symbol": "BTCUSDT", "tick_size": "1", "lot_size": "1", "lot": 1}, "unknown field 'lot'"),
        ({"venue": "v", "symbol": "FOO", "tick_size": "1", "lot_size": "1"}, "cannot tell base and quote of 'FOO'"),
        (
            {"venue": "v", "symbol": "BTCUSDT", "tick_size": "1", "lot_size": "1", "min_lots": 3, "max_lots": 2},
            "1 <= min_lots <= max_lots",
        ),
        ({"venue": "v", "symbol": "BTCUSDT", "tick_size": "1E-19", "lot_size": "1"}, "more than 18 decimals"),
        ({"venue": "v", "symbol": "BTCUSDT", "tick_size": "1E+9", "lot_size": "1E+9"}, "more than 64 bits"),
    ],
)
def test_unusable_fields_are_named(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InstrumentError, match=message):
        Instrument.from_fields(fields)


@pytest.mark.parametrize(
    ("symbol", "pair"),
    [
        ("BTCUSDT", ("BTC", "USDT")),
        ("BTCUSD_PERP", ("BTC", "USD")),
        ("BTC-USDC", ("BTC", "USDC")),
        ("ETHBTC", ("ETH", "BTC")),
        ("1000PEPEUSDT", ("1000PEPE", "USDT")),
        ("ADA-USDT-SWAP", ("ADA", "USDT")),
        ("SOL_USDC-PERPETUAL", ("SOL", "USDC")),
        ("BTC-PERPETUAL", ("BTC", "USD")),
    ],
)
def test_symbols_split(symbol: str, pair: tuple[str, str]) -> None:
    assert split_symbol(symbol) == pair


def test_assumptions_name_the_number_and_the_date() -> None:
    assert BTCUSDT.assumptions("2026-10-01") == ()
    (late,) = BTCUSDT.assumptions("2023-04-04")
    assert "filters as of 2026-09-15 used for 2023-04-04" in late
    assert any("liquidation_fee_e12" in text for text in BTCUSD_PERP.assumptions())
