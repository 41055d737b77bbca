"""Margin in each venue's form: against formulas in fractions, the venues' own figures, and the ledger's own check."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from matching.arith import CEIL, TRUNC
from matching.brackets import INT64_MAX, Brackets
from matching.codes import (
    BUY,
    E8,
    E12,
    LIQ_MAKER,
    LIQ_NONE,
    LIQ_TAKER,
    MODE_ISOLATED,
    R_LEVERAGE,
    R_MARGIN,
    R_NONE,
    SELL,
)
from matching.ledger import Ledger

LINEAR = {"inverse": False, "value_num": 10_000, "value_den": 1, "lot_num": 1, "lot_den": 1000}  # tick 0.1, lot 0.001
INVERSE = {"inverse": True, "value_num": 10**10, "value_den": 1, "lot_num": 10**9, "lot_den": 1}  # 10 USD, tick 0.1
TAKER = Fraction("0.00055")


def e8(text: str) -> int:
    return round(Fraction(text) * E8)


def e12(text: str) -> int:
    return round(Fraction(text) * E12)


def deducted(*rows: tuple[str, str, int]) -> Brackets:
    caps = [e8(cap) for cap, _, _ in rows]
    return Brackets.with_cum([0, *caps[:-1]], caps, [e12(rate) for _, rate, _ in rows], [most for _, _, most in rows])


def one_row(rate: str, initial: str = "0", slope: str = "0", initial_slope: str = "0") -> Brackets:
    columns = ((0,), (INT64_MAX,), (e12(rate),), (0,), (1 if initial != "0" else 100,))
    return Brackets(*columns, (e12(initial),), (e12(slope),), (e12(initial_slope),))


# OKX's ADAUSDT tiers of 2023 in rates, with the sizes of a market whose lot is 0.001 coins
TIERS = Brackets(
    (0, 2_000, 10_000, 50_000), (2_000, 10_000, 50_000, 10**9),
    (e12("0.005"), e12("0.0075"), e12("0.01"), e12("0.015")), (0, 0, 0, 0), (75, 50, 40, 20), flat=True,
)  # fmt: skip


@dataclass(frozen=True)
class Form:
    """A venue's margin: its table, how the ledger is told, and what it asks, of notional, coins and entry value."""

    name: str
    table: Brackets
    options: dict[str, object]
    maintenance: Callable[[Fraction, Fraction, Fraction], Fraction]  # notional, coins, close fee
    initial: Callable[[Fraction, Fraction, int], Fraction]  # notional, coins, leverage
    arithmetic: tuple[dict[str, object], ...] = (LINEAR, INVERSE)


def by_tier(coins: Fraction) -> Fraction:
    lots = coins * 1000
    return next(Fraction(r, E12) for cap, r in zip(TIERS.cap_e8, TIERS.rate_e12, strict=True) if lots <= cap)


BYBIT_TABLE = deducted(("300000", "0.0033", 150), ("2000000", "0.005", 100), ("2600000", "0.0056", 90))
HYPERLIQUID_TABLE = deducted(("150000000", "0.0125", 40), ("5000000000", "0.025", 20))


def by_deduction(table: Brackets) -> Callable[[Fraction], Fraction]:
    rows = list(zip(table.rate_e12, table.cum_e8, strict=True))
    return lambda notional: max(notional * Fraction(rate, E12) - Fraction(cum, E8) for rate, cum in rows)


BYBIT = Form(
    "bybit", BYBIT_TABLE, {"close_fee": "taker_at_bankruptcy"},
    lambda notional, coins, fee: by_deduction(BYBIT_TABLE)(notional) + fee,
    lambda notional, coins, leverage: notional / leverage,
)  # fmt: skip
HYPERLIQUID = Form(
    "hyperliquid", HYPERLIQUID_TABLE, {},
    lambda notional, coins, fee: by_deduction(HYPERLIQUID_TABLE)(notional),
    lambda notional, coins, leverage: notional / leverage, (LINEAR,),
)  # fmt: skip
OKX = Form(
    "okx", TIERS, {"form": "flat", "tier_key": "contracts", "close_fee": "taker_at_mark"},
    lambda notional, coins, fee: notional * (by_tier(coins) + TAKER),
    lambda notional, coins, leverage: notional / leverage, (LINEAR,),
)  # fmt: skip
DYDX = Form(
    "dydx", one_row("0.012", "0.02"), {"form": "flat", "initial_from": "tier"},
    lambda notional, coins, fee: notional * Fraction("0.012"),
    lambda notional, coins, leverage: notional * Fraction("0.02"), (LINEAR,),
)  # fmt: skip
DERIBIT = Form(
    "deribit", one_row("0.01", "0.02", "0.00005", "0.00005"), {"form": "linear", "initial_from": "tier"},
    lambda notional, coins, fee: notional * (Fraction("0.01") + coins * Fraction("0.00005")),
    lambda notional, coins, leverage: notional * (Fraction("0.02") + coins * Fraction("0.00005")),
)  # fmt: skip
FORMS = (BYBIT, HYPERLIQUID, OKX, DYDX, DERIBIT)
CASES = [(form, numbers) for form in FORMS for numbers in form.arithmetic]
IDS = [f"{form.name}-{'inverse' if numbers['inverse'] else 'linear'}" for form, numbers in CASES]


def make(form: Form, numbers: dict[str, object], *, markets: int = 1, leverage: int = 20, deposit: int = 0) -> Ledger:
    ledger = Ledger(1, markets, 1)
    rates = {"maker_rate_e12": 0, "taker_rate_e12": e12(str(TAKER)), "brackets": form.table}
    for m in range(markets):
        ledger.configure_market(m, 0, **numbers, **rates)
        ledger.configure_margin(m, **form.options)
        if form.table.max_leverage[0] > 1:
            ledger.set_leverage(0, m, leverage)
    ledger.deposit(0, 0, deposit)
    return ledger


def notional_of(numbers: dict[str, object], lots: int, price: Fraction) -> Fraction:
    return Fraction(10 * lots) / price if numbers["inverse"] else Fraction(lots, 1000) * price


# -- against the formulas in fractions


@pytest.mark.parametrize(("form", "numbers"), CASES, ids=IDS)
@given(
    lots=st.integers(1, 60_000), price=st.integers(5_000 * E8, 90_000 * E8), ticks=st.integers(50_000, 900_000),
    side=st.sampled_from((BUY, SELL)), leverage=st.integers(1, 20),
)  # fmt: skip
@settings(max_examples=120, deadline=None)
def test_margins_are_the_venues_formulas(
    form: Form, numbers: dict[str, object], lots: int, price: int, ticks: int, side: int, leverage: int
) -> None:
    ledger = make(form, numbers, leverage=leverage)
    ledger.set_mark(0, price)
    ledger.fill(0, 0, side, ticks, lots, LIQ_NONE)
    inverse, mark = bool(numbers["inverse"]), Fraction(price, E8)
    notional = notional_of(numbers, lots, mark)
    coins = notional if inverse else Fraction(lots, 1000)
    entry = notional_of(numbers, lots, Fraction(ticks, 10))
    fee = Fraction(0)
    if form is BYBIT:  # value at entry * (1 -+ 1 / leverage), mirrored for coins
        fee = entry * (1 + Fraction(-1 if (side == BUY) != inverse else 1, leverage)) * TAKER
    expected = form.maintenance(notional, coins, fee) * E8
    assert -1 <= ledger.maintenance_e8(0, 0) - expected <= 3  # each amount is rounded up once
    expected = (form.initial(notional, coins, leverage) + fee) * E8
    assert -1 <= ledger.initial_e8(0, 0) - expected <= 3
    assert ledger.failure() is None


def test_flat_tiers_take_the_whole_position_at_an_edge() -> None:
    ledger = make(OKX, LINEAR, deposit=10**6 * E8)
    ledger.set_mark(0, 30_000 * E8)
    ledger.fill(0, 0, BUY, 300_000, 2_000, LIQ_NONE)
    assert ledger.maintenance_e8(0, 0) == 60_000 * e8("0.00555")
    ledger.fill(0, 0, BUY, 300_000, 1, LIQ_NONE)
    assert ledger.maintenance_e8(0, 0) == 60_030 * e8("0.00805")
    ledger.set_leverage(0, 0, 50)
    assert ledger.check_open(0, 0, BUY, 300_000, 7_999, False) == R_NONE  # 10,000 lots at 50x
    assert ledger.check_open(0, 0, BUY, 300_000, 8_000, False) == R_LEVERAGE


@pytest.mark.parametrize("notional", [300_000, 2_000_000])
def test_bybits_margin_is_continuous_at_its_edges(notional: int) -> None:
    """Margin of the value just below and just above an edge of the table differs by the rate only."""
    ledger = make(BYBIT, LINEAR, leverage=50)
    ledger.fill(0, 0, BUY, 300_000, 10_000, LIQ_NONE)
    margins = []
    for step in (-1, 0, 1):
        ledger.set_mark(0, notional * E8 // 10 + step)
        margins.append(ledger.maintenance_e8(0, 0))
    assert 0 <= margins[1] - margins[0] <= 1 and 0 <= margins[2] - margins[1] <= 1


def test_open_interest_raises_dydx_initial_margin_and_not_its_maintenance() -> None:
    """Half way between the caps: 0.02 + 0.5 * 0.98 = 0.51."""
    ledger = make(DYDX, LINEAR, deposit=10_000 * E8)
    ledger.configure_margin(
        0,
        form="flat",
        initial_from="tier",
        open_interest_lower_e8=20 * 10**6 * E8,
        open_interest_upper_e8=50 * 10**6 * E8,
    )
    ledger.set_mark(0, 30_000 * E8)
    ledger.fill(0, 0, BUY, 300_000, 1_000, LIQ_NONE)
    for interest, initial in ((0, 600), (20, 600), (35, 15_300), (50, 30_000), (99, 30_000)):
        ledger.set_open_interest(0, interest * 10**6 * E8)
        assert (ledger.initial_e8(0, 0), ledger.maintenance_e8(0, 0)) == (initial * E8, 360 * E8)
        assert ledger.check_open(0, 0, BUY, 300_000, 1, False) == (R_NONE if initial == 600 else R_MARGIN)


def test_deribits_rates_grow_with_the_size() -> None:
    """Before August 2026: 1 BTC long at 50,000 needs (2 % + 0.005 %) / (1 % + 0.005 %) of its coin."""
    ledger = make(DERIBIT, INVERSE)
    ledger.set_mark(0, 50_000 * E8)
    ledger.fill(0, 0, BUY, 500_000, 5_000, LIQ_NONE)
    assert ledger.initial_e8(0, 0) == e8("0.02005") and ledger.maintenance_e8(0, 0) == e8("0.01005")
    ledger.fill(0, 0, BUY, 500_000, 495_000, LIQ_NONE)
    assert ledger.initial_e8(0, 0) == e8("2.5") and ledger.maintenance_e8(0, 0) == e8("1.5")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"form": "flat"}, "has no deductions"),
        ({"form": "square"}, "form is 'square'"),
        ({"initial_from": "tier"}, "initial_e12"),
        ({"open_interest_lower_e8": 2, "open_interest_upper_e8": 1}, "must rise"),
    ],
)
def test_forms_that_do_not_fit_the_table_are_refused(options: dict[str, object], says: str) -> None:
    ledger = make(BYBIT, LINEAR)
    with pytest.raises(ValueError, match=says):
        ledger.configure_margin(0, **options)
    flat = make(OKX, LINEAR)
    with pytest.raises(ValueError, match="jump with the mark"):
        flat.configure_margin(0, form="flat")


# -- liquidation prices


@pytest.mark.parametrize(("form", "numbers"), CASES, ids=IDS)
@given(
    lots=st.integers(1, 20_000), side=st.sampled_from((BUY, SELL)), ticks=st.integers(100_000, 600_000),
    mark=st.integers(10_000, 60_000), isolated=st.booleans(), leverage=st.integers(2, 20),
    money=st.integers(0, 10**5 * E8), other=st.integers(-2_000, 2_000),
)  # fmt: skip
@settings(max_examples=120, deadline=None)
def test_the_displayed_price_is_where_the_check_turns(
    form: Form, numbers: dict[str, object], lots: int, side: int, ticks: int, mark: int, isolated: bool, leverage: int,
    money: int, other: int,
) -> None:  # fmt: skip
    money = money // 1000 if numbers["inverse"] else money
    ledger = make(form, numbers, markets=2, leverage=leverage, deposit=10**7 * E8 if isolated else money)
    for m in (0, 1):
        ledger.set_mark(m, mark * E8)
    if isolated:
        assert ledger.set_mode(0, 0, MODE_ISOLATED) == R_NONE
    ledger.fill(0, 0, side, ticks, lots, LIQ_NONE)
    ledger.add_margin(0, 0, money)
    if other:
        ledger.fill(0, 1, BUY if other > 0 else SELL, mark * 10, abs(other), LIQ_NONE)
    price, unit = ledger.liquidation_price_e8(0, 0), ledger.unit_of(0, 0)
    assume(100 * E8 < price < 10**6 * E8)
    direction = 1 if side == BUY else -1
    ledger.set_mark(0, price)
    grain = 10 + 12 * price // ledger.notional_e8(0, lots)  # values have a grain of 1e-8
    ledger.set_mark(0, price + direction * grain)
    assert ledger.unit_equity_e8(0, unit) >= ledger.unit_maintenance_e8(0, unit)
    ledger.set_mark(0, price - direction * grain)
    assert ledger.unit_equity_e8(0, unit) < ledger.unit_maintenance_e8(0, unit)
    assert ledger.failure() is None


def bybit_isolated(numbers: dict[str, object], rate: str, leverage: int, side: int, ticks: int, lots: int) -> Ledger:
    table = deducted(("1000000000", rate, 100))
    ledger = make(Form("", table, BYBIT.options, BYBIT.maintenance, BYBIT.initial), numbers, leverage=leverage)
    ledger.deposit(0, 0, 10**6 * E8)
    ledger.set_mark(0, ticks * E8 // 10)
    assert ledger.set_mode(0, 0, MODE_ISOLATED) == R_NONE
    ledger.fill(0, 0, side, ticks, lots, LIQ_NONE)
    return ledger


def test_bybits_worked_example_of_an_isolated_long() -> None:
    """Bybit help, "UTA Trading Rules": 1 BTC at 40,000, 50x, 3,000 added, 0.5 %, taker 0.055 %: 36,380.25."""
    ledger = bybit_isolated(LINEAR, "0.005", 50, BUY, 400_000, 1_000)
    assert ledger.isolated_e8(0, 0) == e8("821.56")  # 800 and the fee for closing at 39,200
    assert ledger.add_margin(0, 0, 3_000 * E8) == R_NONE
    price = Fraction(ledger.liquidation_price_e8(0, 0), E8)
    assert Fraction(math.floor(price * 100 + Fraction(1, 2)), 100) == Fraction("36380.25")
    exact = (40_000 - 800 - 3_000 / (1 - TAKER)) / (1 - Fraction("0.005"))
    assert abs(price - exact) < Fraction(1, 10**7)


@pytest.mark.parametrize("side", [BUY, SELL], ids=["long", "short"])
@pytest.mark.parametrize("numbers", [LINEAR, INVERSE], ids=["linear", "inverse"])
@pytest.mark.parametrize("added", ["0", "0.3"])
def test_bybits_isolated_formulas(numbers: dict[str, object], side: int, added: str) -> None:
    """The four lines of the page, written out; X is the margin added."""
    inverse, leverage, rate, x = bool(numbers["inverse"]), 25, Fraction("0.005"), Fraction(added)
    lots = 5_000 if inverse else 100
    ledger = bybit_isolated(numbers, "0.005", leverage, side, 500_000, lots)
    ledger.add_margin(0, 0, e8(added))
    entry, quantity = Fraction(50_000), Fraction(lots * 10) if inverse else Fraction(lots, 1000)
    d = 1 if side == BUY else -1
    if inverse:
        fee = x / (1 + d * TAKER)
        exact = quantity * (1 + d * rate) / (quantity / entry + d * quantity / (entry * leverage) + d * fee)
    else:
        fee = x / (1 - d * TAKER)
        exact = (entry * quantity - d * entry * quantity / leverage - d * fee) / (quantity * (1 - d * rate))
    assert abs(Fraction(ledger.liquidation_price_e8(0, 0), E8) - exact) < Fraction(1, 100 if inverse else 10**5)


def test_bybits_bankruptcy_price_and_takeover_leave_nothing() -> None:
    """Bybit help, "Bankruptcy Price": 60,000, 50x long: 58,800; the margin still holds that sale's fee."""
    ledger = bybit_isolated(LINEAR, "0.005", 50, BUY, 600_000, 1_000)
    assert ledger.bankruptcy_ticks(0, 0) == 588_000
    before = ledger.wallet(0, 0) - ledger.isolated_e8(0, 0)
    ledger.set_mark(0, 58_000 * E8)
    assert ledger.liquidatable(0) == 1
    ledger.takeover(0, 0)
    assert ledger.last_fee_e8 == e8("32.34") and ledger.wallet(0, 0) == before
    assert ledger.insurance[0] == -800 * E8 and ledger.total_e8(0) == ledger.deposited_e8(0)
    assert bybit_isolated(INVERSE, "0.005", 50, BUY, 600_000, 10_000).bankruptcy_ticks(0, 0) == 588_236  # EL / (L + 1)
    assert (
        bybit_isolated(INVERSE, "0.005", 50, SELL, 600_000, 10_000).bankruptcy_ticks(0, 0) == 612_244
    )  # E L / (L - 1)


def test_bybits_cross_price_is_an_estimate_that_leaves_the_close_fee_out() -> None:
    ledger = make(BYBIT, LINEAR, leverage=10, deposit=10_000 * E8)
    ledger.set_mark(0, 50_000 * E8)
    ledger.fill(0, 0, BUY, 500_000, 1_000, LIQ_NONE)
    exact = ledger.liquidation_price_e8(0, 0)
    ledger.configure_margin(0, close_fee="taker_at_bankruptcy", liquidation_price="estimate")
    shown = (50_000 - 10_000) / (1 - Fraction("0.0033"))  # (E Q - F - ded) / (Q (1 - MMR))
    assert ledger.liquidation_price_e8(0, 0) == math.ceil(shown * E8)
    fee = 45_000 * TAKER / (1 - Fraction("0.0033"))
    assert abs(exact - (shown + fee) * E8) < 2  # where the check turns


def test_hyperliquids_formula() -> None:
    """px - side * avail / |szi| / (1 - l * side), avail = equity - maintenance at the mark (docs, "Liquidations")."""
    for side in (BUY, SELL):
        ledger = make(HYPERLIQUID, LINEAR, leverage=20, deposit=5_000 * E8)
        ledger.fill(0, 0, side, 500_000, 1_000, LIQ_NONE)
        d, mark = (1 if side == BUY else -1), Fraction("49876.5")
        ledger.set_mark(0, e8(str(mark)))
        avail = Fraction(ledger.equity_e8(0, 0) - ledger.maintenance_e8(0, 0), E8)
        assert abs(ledger.liquidation_price_e8(0, 0) - (mark - d * avail / (1 - Fraction("0.0125") * d)) * E8) < 2
    assert HYPERLIQUID_TABLE.cum_e8[1] == 150_000_000 * E8 // 80


def test_dydx_formula() -> None:
    """p' = (e - s p - MMR_other) / (|s| M - s), docs "Liquidations"."""
    for side in (BUY, SELL):
        ledger = make(DYDX, LINEAR, markets=2, deposit=20_000 * E8)
        for m in (0, 1):
            ledger.set_mark(m, 50_000 * E8)
            ledger.fill(0, m, side, 500_000, 1_000 - 300 * m, LIQ_NONE)
        ledger.set_mark(0, 51_000 * E8)
        s = 1 if side == BUY else -1
        equity = Fraction(ledger.equity_e8(0, 0), E8)
        exact = (equity - s * 51_000 - 35_000 * Fraction("0.012")) / (Fraction("0.012") - s)
        assert abs(ledger.liquidation_price_e8(0, 0) - exact * E8) < 1


def hedged(long_lots: int, short_lots: int, deposit: int) -> Ledger:
    ledger = make(Form("", BYBIT_TABLE, {}, BYBIT.maintenance, BYBIT.initial), LINEAR, markets=2, deposit=deposit)
    ledger.set_legs(0, 1)
    for m, side, ticks, lots in ((0, BUY, 500_000, long_lots), (1, SELL, 510_000, short_lots)):
        ledger.set_mark(m, 50_500 * E8)
        ledger.fill(0, m, side, ticks, lots, LIQ_NONE)
    return ledger


@pytest.mark.parametrize(("long_lots", "short_lots"), [(3_000, 1_000), (1_000, 3_000), (2_000, 2_000)])
def test_binances_formula_for_both_legs_of_hedge_mode(long_lots: int, short_lots: int) -> None:
    """LP = (WB + cum_L + cum_S - Q_L EP_L + Q_S EP_S) / (Q_L MMR_L + Q_S MMR_S - Q_L + Q_S), support b3c689c1..."""
    ledger = hedged(long_lots, short_lots, 2_000 * E8)
    long, short = Fraction(long_lots, 1000), Fraction(short_lots, 1000)
    exact = Fraction(50_500)
    for _ in range(5):  # as the page says: again, if the bracket at the price is another
        (rate_l, cum_l), (rate_s, cum_s) = (
            (Fraction("0.0033"), 0) if lots * exact < 300_000 else (Fraction("0.005"), 510) for lots in (long, short)
        )
        top = 2_000 + cum_l + cum_s - long * 50_000 + short * 51_000
        exact = top / (long * rate_l + short * rate_s - long + short)
    for leg in (0, 1):
        assert abs(ledger.liquidation_price_e8(0, leg) - exact * E8) < 10
    direction = 1 if long > short else -1
    for step, sinks in ((10, False), (-10, True)):
        for m in (0, 1):
            ledger.set_mark(m, round(exact * E8) + direction * step)
        assert ledger.is_liquidatable(0) == sinks


# -- many assets in one pool


def pooled(bids: list[str], asks: list[str], coins: str = "0", cash: str = "0") -> Ledger:
    """A linear market in USDT and an inverse one in BTC; the pool counts in USD."""
    ledger = Ledger(1, 2, 2)
    for m, numbers in enumerate((LINEAR, INVERSE)):
        table = deducted(("10000000", "0.004", 125))
        ledger.configure_market(m, m, **numbers, maker_rate_e12=0, taker_rate_e12=0, brackets=table)
        ledger.set_leverage(0, m, 20)
        ledger.set_mark(m, 50_000 * E8)
    ledger.deposit(0, 0, e8(cash))
    ledger.deposit(0, 1, e8(coins))
    assert ledger.pool_assets(0, [e8(rate) for rate in bids], [e8(rate) for rate in asks]) == R_NONE
    return ledger


def test_another_assets_balance_carries_positions_at_its_bid_and_debts_count_at_the_ask() -> None:
    ledger = pooled(["1", "45000"], ["1.01", "55000"], coins="1")
    assert ledger.unit_equity_e8(0, 0) == 45_000 * E8
    assert ledger.check_open(0, 0, BUY, 500_000, 17_821, False) == R_NONE  # 44,552.50 * 1.01 = 44,998.025
    assert ledger.check_open(0, 0, BUY, 500_000, 17_822, False) == R_MARGIN
    ledger.fill(0, 0, BUY, 500_000, 10_000, LIQ_NONE)
    ledger.set_mark(0, 46_000 * E8)
    assert ledger.unit_equity_e8(0, 0) == 45_000 * E8 - e8("40400")
    assert ledger.unit_maintenance_e8(0, 0) == e8("1840") * 101 // 100
    assert ledger.liquidatable(0) == -1 and ledger.unit_of(0, 1) == 0
    price = ledger.liquidation_price_e8(0, 0)
    ledger.set_mark(0, price)
    assert ledger.liquidatable(0) == -1
    ledger.set_mark(0, price - 2)
    assert ledger.liquidatable(0) == 0
    assert ledger.bankruptcy_ticks(0, 0) == 455_446  # (45,000 / 1.01 - 500,000) / 10, up


def test_a_flat_pool_may_owe_one_asset_and_below_zero_the_fund_takes_it() -> None:
    ledger = pooled(["1", "45000"], ["1", "55000"], coins="1")
    ledger.fill(0, 0, BUY, 500_000, 10_000, LIQ_NONE)
    ledger.fill(0, 0, SELL, 460_000, 10_000, LIQ_NONE)
    assert ledger.wallet(0, 0) == -40_000 * E8 and ledger.covered_e8(0, 0) == 0  # 45,000 of coins stand behind it
    ledger.fill(0, 0, BUY, 500_000, 10_000, LIQ_NONE)
    ledger.fill(0, 0, SELL, 490_000, 10_000, LIQ_NONE)
    assert (ledger.wallet(0, 0), ledger.wallet(0, 1)) == (0, 0)
    assert ledger.insurance[0] == -50_000 * E8 and ledger.insurance[1] == 1 * E8
    assert all(ledger.total_e8(asset) == ledger.deposited_e8(asset) for asset in (0, 1))


@given(
    coins=st.integers(0, 3 * E8), cash=st.integers(0, 10**5 * E8), lots=st.integers(-5_000, 5_000),
    contracts=st.integers(-8_000, 8_000), haircut=st.integers(0, 20),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_the_pools_equity_is_the_sum_of_what_its_assets_are_worth(
    coins: int, cash: int, lots: int, contracts: int, haircut: int
) -> None:
    bid, ask = 50_000 * (100 - haircut) // 100, 50_000 * (100 + haircut) // 100
    ledger = pooled(["1", str(bid)], ["1", str(ask)], str(Fraction(coins, E8)), str(Fraction(cash, E8)))
    for m, size in ((0, lots), (1, contracts)):
        if size:
            ledger.fill(0, m, BUY if size > 0 else SELL, 480_000 + 30_000 * m, abs(size), LIQ_NONE)
    own = [ledger.wallet(0, asset) + ledger.unrealized_e8(0, asset) for asset in (0, 1)]
    assert ledger.unit_equity_e8(0, 0) == own[0] + own[1] * (bid if own[1] > 0 else ask)
    margins = [ledger.market_maintenance_e8(0, m) for m in (0, 1)]
    assert ledger.unit_maintenance_e8(0, 0) == margins[0] + margins[1] * ask
    assert (ledger.liquidatable(0) == 0) == (ledger.unit_equity_e8(0, 0) < ledger.unit_maintenance_e8(0, 0))


# -- accrued funding, and rounding to a unit


def test_accrued_funding_counts_at_once_and_is_booked_when_settled() -> None:
    """Deribit: 10,000 USD long, 8 h rate 0.01 %: an hour at 50,000 is 0.2 * 0.0001 / 8 coins, paid."""
    ledger = make(DERIBIT, INVERSE, deposit=E8)
    ledger.set_mark(0, 50_000 * E8)
    ledger.fill(0, 0, BUY, 500_000, 1_000, LIQ_NONE)
    for _ in range(3600):
        ledger.accrue(0, 0, 1_000, 50_000 * E8, 10**8, 1_000, 8 * 3600 * 1000)
    assert ledger.accrued_e8(0, 0) == -250 and ledger.wallet(0, 0) == E8
    assert ledger.equity_e8(0, 0) == ledger.unit_equity_e8(0, 0) == E8 - 250
    assert ledger.settle(0, 0) == -250 and ledger.settle(0, 0) == 0
    assert ledger.wallet(0, 0) == ledger.equity_e8(0, 0) == E8 - 250 and ledger.funding_e8(0, 0) == -250
    assert ledger.total_e8(0) == ledger.deposited_e8(0)


def test_accrued_funding_is_settled_when_the_account_is_touched() -> None:
    """dYdX: any fill of the subaccount books what all its positions have accrued, here truncated to 1e-6."""
    ledger = Ledger(1, 2, 1)
    for m in (0, 1):
        ledger.configure_market(
            m, 0, **LINEAR, maker_rate_e12=0, taker_rate_e12=0, brackets=DYDX.table, funding_rounding=TRUNC,
            funding_unit=100,
        )  # fmt: skip
        ledger.configure_margin(m, form="flat", initial_from="tier", settle_on_touch=True)
        ledger.set_mark(m, 30_000 * E8)
    ledger.deposit(0, 0, 1_000 * E8)
    ledger.fill(0, 0, SELL, 300_000, 7, LIQ_NONE)
    ledger.accrue(0, 0, -7, 30_000 * E8, 123_456, 1, 1)
    ledger.accrue(0, 0, -7, 30_001 * E8, 123_456, 1, 1)
    assert ledger.accrued_e8(0, 0) == math.floor(7 * (30_000 + 30_001) * 123_456 * 10**5 / E12)
    assert ledger.wallet(0, 0) == 1_000 * E8
    ledger.fill(0, 1, BUY, 300_000, 1, LIQ_NONE)
    assert ledger.wallet(0, 0) == 1_000 * E8 + 5_100 and ledger.accrued_e8(0, 0) == 0


@pytest.mark.parametrize(
    ("rounding", "maker", "fees"),
    [
        # Hyperliquid (fees truncated at 1e-6): 0.007 * 30,000.1 = 210.0007 at 0.045 % is 0.094500315; 0.015 % is
        # 0.031500105
        (TRUNC, 150_000_000, (9_450_000, 3_150_000)),
        # dYdX (ceil at 1e-6 for both signs): a rebate of 0.0231000770 becomes 0.023100
        (CEIL, -110_000_000, (9_450_100, -2_310_000)),
    ],
)
def test_fees_are_rounded_to_the_venues_unit(rounding: int, maker: int, fees: tuple[int, int]) -> None:
    ledger = Ledger(1, 1, 1)
    ledger.configure_market(
        0, 0, **LINEAR, maker_rate_e12=maker, taker_rate_e12=450_000_000, fee_rounding=rounding, fee_unit=100
    )
    assert ledger.fill(0, 0, BUY, 300_001, 7, LIQ_TAKER) == fees[0]
    assert ledger.fill(0, 0, BUY, 300_001, 7, LIQ_MAKER) == fees[1]


def test_hyperliquids_funding_is_truncated_toward_zero() -> None:
    """0.2 * 54.136 * 0.0000125 = 0.00013534 (the unit is 1e-6 of a dollar), paid or received."""
    numbers = {"inverse": False, "value_num": 1_000, "value_den": 1, "lot_num": 1, "lot_den": 100}
    ledger = Ledger(1, 1, 1)
    ledger.configure_market(
        0, 0, **numbers, maker_rate_e12=0, taker_rate_e12=0, funding_rounding=TRUNC, funding_unit=100
    )
    assert ledger.funding(0, 0, -20, e8("54.136"), 12_500_000) == 13_500
    assert ledger.funding(0, 0, 20, e8("54.136"), 12_500_000) == -13_500
