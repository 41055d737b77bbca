"""Margin: brackets, the check on entry, liquidation and who pays when an account cannot."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from matching.brackets import Brackets
from matching.codes import (
    BUY,
    CAUSE_ADL,
    CAUSE_LIQUIDATION,
    E8,
    E12,
    LIQ_NONE,
    LIQ_TAKER,
    R_LEVERAGE,
    R_MARGIN,
    R_NO_BOOK,
    R_NONE,
    SELL,
)
from matching.ledger import RATIO_UNBOUNDED_E12, Ledger

ROOT = Path(__file__).resolve().parents[2]
TIERS = ROOT.parent / "shared" / "data" / "freqtrade" / "freqtrade" / "exchange" / "binance_leverage_tiers.json"


def table(*rows: tuple[str, str, int]) -> Brackets:
    """Brackets from (cap, maintenance rate, leverage) as a venue prints them."""
    caps = [round(Fraction(cap) * E8) for cap, _, _ in rows]
    rates = [round(Fraction(rate) * E12) for _, rate, _ in rows]
    return Brackets.with_cum([0, *caps[:-1]], caps, rates, [leverage for _, _, leverage in rows])


# Binance BTCUSDT and ETHUSDT as of the venue's worked example of 2021, and BTCUSD_PERP of the same time
BTCUSDT = table(
    ("50000", "0.004", 125), ("250000", "0.005", 100), ("1000000", "0.01", 50), ("10000000", "0.025", 20),
    ("20000000", "0.05", 10), ("50000000", "0.1", 5), ("100000000", "0.125", 4),
)  # fmt: skip
ETHUSDT = table(
    ("10000", "0.005", 100), ("100000", "0.0065", 75), ("500000", "0.01", 50), ("1000000", "0.02", 25),
    ("2000000", "0.05", 10), ("5000000", "0.1", 5), ("10000000", "0.125", 4),
)  # fmt: skip
BTCUSD_PERP = table(
    ("5", "0.004", 125), ("10", "0.005", 100), ("20", "0.01", 50), ("50", "0.025", 20), ("100", "0.05", 10),
    ("200", "0.1", 5), ("400", "0.125", 4), ("1000", "0.15", 3),
)  # fmt: skip
LINEAR = {"inverse": False, "value_num": 10_000, "value_den": 1, "lot_num": 1, "lot_den": 1000}  # tick 0.1, lot 0.001
CENT = {"inverse": False, "value_num": 1_000, "value_den": 1, "lot_num": 1, "lot_den": 1000}  # tick 0.01, lot 0.001
INVERSE = {"inverse": True, "value_num": 10**11, "value_den": 1, "lot_num": 10**10, "lot_den": 1}  # 100 USD, tick 0.1
# a lot at a mark of 1e-8 is worth 1e-8
UNIT = {"inverse": False, "value_num": 1, "value_den": 1, "lot_num": 1, "lot_den": 1}


def make(*markets: tuple[dict[str, Any], Brackets | None], accounts: int = 1, leverage: int = 20) -> Ledger:
    """Markets of one asset with a liquidation fee of 1.25 % and no trading fees."""
    ledger = Ledger(accounts, len(markets), 1)
    for m, (arithmetic, brackets) in enumerate(markets):
        rates = {"maker_rate_e12": 0, "taker_rate_e12": 0, "liquidation_rate_e12": 12_500_000_000}
        ledger.configure_market(m, 0, **arithmetic, **rates, brackets=brackets)
        for account in range(accounts if brackets else 0):
            ledger.set_leverage(account, m, leverage)
    return ledger


def e8(text: str) -> int:
    return round(Fraction(text) * E8)


# -- bracket tables


@cache
def recorded_tables() -> dict[str, Brackets]:
    """Every bracket table of a dated capture of Binance's, by market."""
    if not TIERS.exists():
        pytest.skip(f"{TIERS} is not here: the recorded brackets cannot be checked")
    tables = {}
    for symbol, rows in json.loads(TIERS.read_text(), parse_float=Decimal).items():
        columns: dict[str, list[int]] = {"floor_e8": [], "cap_e8": [], "rate_e12": [], "cum_e8": [], "max_leverage": []}
        for row in rows:
            columns["floor_e8"].append(round(row["minNotional"] * E8))
            columns["cap_e8"].append(round(row["maxNotional"] * E8))
            columns["rate_e12"].append(round(row["maintenanceMarginRate"] * E12))
            columns["cum_e8"].append(round(Decimal(row["info"]["cum"]) * E8))
            columns["max_leverage"].append(int(row["maxLeverage"]))
        tables[symbol] = Brackets.of(columns)
    return tables


def test_all_recorded_tables_keep_the_recurrence_of_cum() -> None:
    """``Brackets`` refuses a table that does not; here the column is derived again and compared."""
    tables = recorded_tables()
    assert sum(len(brackets.floor_e8) for brackets in tables.values()) == 2805
    for brackets in tables.values():
        derived = Brackets.with_cum(brackets.floor_e8, brackets.cap_e8, brackets.rate_e12, brackets.max_leverage)
        assert derived == brackets


def maintenance_at(ledger: Ledger, m: int, notional_e8: int) -> int:
    """What the ledger asks for a position of this notional, in a market where a lot is worth 1e-8."""
    lots = notional_e8 - ledger.position(0, m)
    if lots:
        ledger.fill(0, m, BUY if lots > 0 else SELL, 1, abs(lots), LIQ_NONE)
    assert ledger.notional_e8(m, ledger.position(0, m)) == notional_e8
    return ledger.market_maintenance_e8(0, m)


def test_maintenance_is_continuous_at_every_recorded_edge() -> None:
    """At the edge both brackets' formulas agree with the ledger; one step beyond, it moves by the rate and no more."""
    edges = 0
    for brackets in recorded_tables().values():
        ledger = make((UNIT, brackets), leverage=1)
        ledger.set_mark(0, 1)
        for k in range(len(brackets.floor_e8)):
            edge, rate, cum = brackets.floor_e8[k], brackets.rate_e12[k], brackets.cum_e8[k]
            beyond = maintenance_at(ledger, 0, edge + 1)
            assert beyond == math.ceil(Fraction((edge + 1) * rate, E12) - cum)
            edges += 1
            if k == 0:
                continue
            at, before = maintenance_at(ledger, 0, edge), maintenance_at(ledger, 0, edge - 1)
            for j in (k - 1, k):
                assert at == math.ceil(Fraction(edge * brackets.rate_e12[j], E12) - brackets.cum_e8[j])
            assert before == math.ceil(Fraction((edge - 1) * brackets.rate_e12[k - 1], E12) - brackets.cum_e8[k - 1])
            assert 0 <= at - before <= 1 and 0 <= beyond - at <= 1
        beyond = brackets.floor_e8[-1] * 3 + 10**12  # inside or past the last bracket: its formula goes on
        assert maintenance_at(ledger, 0, beyond) == math.ceil(
            Fraction(beyond * brackets.rate_e12[-1], E12) - brackets.cum_e8[-1]
        )
        assert ledger.failure() is None
    assert edges == 2805


GOOD = {
    "floor_e8": [0, 100],
    "cap_e8": [100, 200],
    "rate_e12": [E12 // 100, E12 // 50],
    "cum_e8": [0, 1],
    "max_leverage": [9, 3],
}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"floor_e8": [0, 90]}, "row 2: floor_e8 90 is not row 1's cap, 100"),
        ({"floor_e8": [5, 100]}, "row 1: floor_e8 and cum_e8 must be 0"),
        ({"cap_e8": [100, 100]}, "row 2: cap_e8 100 is not above floor_e8 100"),
        ({"cum_e8": [0, 2]}, "row 2: cum_e8 2 breaks"),
        ({"rate_e12": [E12 // 50, E12 // 100]}, "row 2: rate_e12 .* falls"),
        ({"rate_e12": [0, E12 // 50]}, "row 1: rate_e12 0"),
        ({"max_leverage": [3, 9]}, "row 2: max_leverage 9 rises"),
        ({"max_leverage": [3, 0]}, "row 2: max_leverage 0"),
        ({"max_leverage": [3]}, "max_leverage has 1 rows"),
        ({"cum_e8": [0, 1.0]}, "row 2: cum_e8 is 1.0"),
        ({"cum_e8": None}, "'cum_e8' is missing"),
    ],
)
def test_tables_that_cannot_be_are_refused_with_row_and_field(changes: dict[str, Any], says: str) -> None:
    assert Brackets.of(GOOD).cum_e8 == (0, 1)
    with pytest.raises(ValueError, match=says):
        Brackets.of({**GOOD, **changes})


# -- the check on entry


def test_leverage_above_the_brackets_is_refused_when_configured() -> None:
    ledger = make((LINEAR, BTCUSDT), (CENT, None))
    for leverage in (126, 0, -3):
        with pytest.raises(ValueError, match="must be 1 to 125"):
            ledger.set_leverage(0, 0, leverage)
    with pytest.raises(ValueError, match="no brackets"):
        ledger.set_leverage(0, 1, 2)
    ledger.set_mark(0, 30_000 * E8)
    ledger.deposit(0, 0, 10**6 * E8)
    ledger.fill(0, 0, BUY, 300_000, 2_000, LIQ_NONE)
    with pytest.raises(ValueError, match="exceed"):  # 60,000 are more than 125x may carry
        ledger.set_leverage(0, 0, 125)
    ledger.set_leverage(0, 0, 100)


@pytest.mark.parametrize(
    ("leverage", "most"), [(125, 50_000), (101, 50_000), (100, 250_000), (20, 10**7), (5, 5 * 10**7), (1, 10**8)]
)
def test_the_largest_notional_per_leverage_comes_from_the_table(leverage: int, most: int) -> None:
    ledger = make((UNIT, BTCUSDT), leverage=leverage)
    ledger.deposit(0, 0, 2 * 10**8 * E8)
    ledger.set_mark(0, 1)
    assert ledger.check_open(0, 0, BUY, 1, most * E8, False) == R_NONE
    assert ledger.check_open(0, 0, BUY, 1, most * E8 + 1, False) == R_LEVERAGE
    assert ledger.check_open(0, 0, SELL, 1, most * E8 + 1, False) == R_LEVERAGE


def test_initial_margin_must_be_covered_by_equity() -> None:
    ledger = make((LINEAR, BTCUSDT), (CENT, ETHUSDT))
    ledger.deposit(0, 0, 1_000 * E8)
    assert ledger.check_open(0, 0, BUY, 300_000, 1, False) == R_NO_BOOK  # no mark yet: nobody can know
    ledger.set_mark(0, 30_000 * E8)
    ledger.set_mark(1, 2_000 * E8)
    assert ledger.check_open(0, 0, BUY, 300_000, 666, False) == R_NONE  # 19,980 / 20 = 999
    assert ledger.check_open(0, 0, BUY, 300_000, 667, False) == R_MARGIN  # 1000.5
    ledger.order_added(0, 0, BUY, 290_000, 300)
    assert ledger.initial_e8(0, 0) == 450 * E8
    assert ledger.check_open(0, 1, SELL, 200_000, 5_500, False) == R_NONE  # 550 more
    assert ledger.check_open(0, 1, SELL, 200_000, 5_501, False) == R_MARGIN
    ledger.fill(0, 1, BUY, 200_000, 5_500, LIQ_NONE)
    ledger.set_mark(1, 1_990 * E8)  # 55 lost: equity 945, margin 450 + 547.25
    assert ledger.equity_e8(0, 0) == 945 * E8
    assert ledger.initial_e8(0, 0) == e8("997.25")
    assert ledger.check_open(0, 0, BUY, 300_000, 1, False) == R_MARGIN
    assert ledger.check_open(0, 1, SELL, 200_000, 11_000, False) == R_NONE  # closes and turns, never more exposed
    assert ledger.check_open(0, 1, SELL, 200_000, 11_001, False) == R_MARGIN
    assert ledger.check_open(0, 0, BUY, 300_000, 10**6, True) == R_NONE  # reduce-only is never refused for margin
    assert ledger.failure() is None


def test_orders_on_both_sides_reserve_for_the_worse_side() -> None:
    ledger = make((LINEAR, BTCUSDT))
    ledger.set_mark(0, 30_000 * E8)
    ledger.fill(0, 0, BUY, 300_000, 100, LIQ_NONE)
    for side, lots, exposure in ((SELL, 150, 100), (SELL, 100, 150), (BUY, 20, 150), (BUY, 80, 200)):
        ledger.order_added(0, 0, side, 300_000, lots)
        assert ledger.initial_e8(0, 0) == exposure * 30 * E8 // 20
    ledger.order_removed(0, 0, BUY, 300_000, 100)
    assert ledger.initial_e8(0, 0) == 150 * 30 * E8 // 20
    assert (ledger.open_lots(0, 0, BUY), ledger.open_lots(0, 0, SELL)) == (0, 250)


def test_a_table_of_one_documented_bracket_refuses_what_lies_above_it() -> None:
    """BTCUSD_PERP as the venue's documentation samples it: 50 BTC, 125x, 0.4 %."""
    ledger = make((INVERSE, table(("50", "0.004", 125))), leverage=10)
    ledger.deposit(0, 0, 10 * E8)
    ledger.set_mark(0, 50_000 * E8)
    assert ledger.check_open(0, 0, SELL, 500_000, 25_000, False) == R_NONE  # 2.5 million USD are 50 BTC
    assert ledger.check_open(0, 0, SELL, 500_000, 25_001, False) == R_LEVERAGE


# -- liquidation


def test_the_venues_worked_example_of_a_cross_account() -> None:
    """Binance support b3c689c1f50a44cabb3a84e663b81d93: wallet 1,535,443.01, long 109.488 BTC and 3,683.979 ETH."""
    ledger = make((CENT, BTCUSDT), (CENT, ETHUSDT), leverage=4)
    ledger.deposit(0, 0, e8("1535443.01"))
    ledger.fill(0, 0, BUY, 3_248_198, 109_488, LIQ_NONE)
    ledger.fill(0, 1, BUY, 145_684, 3_683_979, LIQ_NONE)
    ledger.set_mark(0, e8("31967.27"))
    ledger.set_mark(1, e8("1335.18"))
    assert ledger.market_maintenance_e8(0, 0) == e8("71200.811444")
    assert ledger.market_maintenance_e8(0, 1) == e8("356512.508122")
    assert ledger.unrealized_e8(0, 0) == e8("-56354.56848")
    assert ledger.unrealized_e8(0, 1) == e8("-448192.88514")
    assert round(Fraction(ledger.liquidation_price_e8(0, 0), E8), 2) == Fraction("26316.89")
    assert round(Fraction(ledger.liquidation_price_e8(0, 1), E8), 2) == Fraction("1153.26")
    assert not ledger.is_liquidatable(0)
    ledger.set_mark(0, e8("26316.88"))
    assert ledger.is_liquidatable(0) and ledger.liquidatable_asset(0) == 0


def test_the_venues_calculator_for_a_coin_margined_long() -> None:
    """dev.binance.vision/t/6292: 101 BTC, 100,000 contracts at 45,000: the venue's calculator shows 33,599.40."""
    ledger = make((INVERSE, BTCUSD_PERP), leverage=3)
    ledger.deposit(0, 0, 101 * E8)
    ledger.fill(0, 0, BUY, 450_000, 100_000, LIQ_NONE)
    ledger.set_mark(0, 45_000 * E8)
    assert BTCUSD_PERP.cum_e8[6] == e8("11.605")
    assert ledger.liquidation_price_e8(0, 0) * 10 // E8 == 335_994


@pytest.mark.parametrize("arithmetic", [LINEAR, INVERSE], ids=["linear", "inverse"])
@pytest.mark.parametrize("side", [BUY, SELL], ids=["long", "short"])
def test_liquidation_prices_are_rounded_toward_the_entry(arithmetic: dict[str, Any], side: int) -> None:
    """The formula in fractions for one position in one bracket: up for a long, down for a short."""
    rate = Fraction("0.0041")
    ledger = make((arithmetic, table(("1000000", str(rate), 20))))
    wallet = Fraction("0.00123457") if arithmetic["inverse"] else Fraction("12.34567891")
    ledger.deposit(0, 0, round(wallet * E8))
    ledger.fill(0, 0, side, 300_007, 7, LIQ_NONE)
    direction, price = (1 if side == BUY else -1), Fraction("30000.7")
    if arithmetic["inverse"]:
        exact = 700 * (rate + direction) / (wallet + direction * Fraction(round(700 / price * E8), E8))
    else:
        exact = (wallet - direction * Fraction(7, 1000) * price) / (Fraction(7, 1000) * (rate - direction))
    assert (exact * E8).denominator > 1
    assert ledger.liquidation_price_e8(0, 0) == (math.ceil if side == BUY else math.floor)(exact * E8)


def test_liquidation_that_an_order_can_end() -> None:
    """Half is closed above the bankruptcy price, the fee goes to the fund, and the rest carries itself again."""
    ledger = make((LINEAR, BTCUSDT))
    ledger.deposit(0, 0, 1_500 * E8)
    ledger.fill(0, 0, BUY, 300_000, 1_000, LIQ_NONE)
    ledger.set_mark(0, e8("28610"))
    assert ledger.equity_e8(0, 0) == 110 * E8 and ledger.maintenance_e8(0, 0) == e8("114.44")
    assert ledger.margin_ratio_e12(0, 0) == math.ceil(Fraction("114.44") / 110 * E12)
    assert ledger.is_liquidatable(0)
    assert ledger.bankruptcy_ticks(0, 0) == 285_000
    ledger.fill(0, 0, SELL, 286_100, 100, LIQ_NONE)
    assert ledger.liquidation_fee(0, 0, 286_100, 100) == e8("35.7625")
    assert ledger.insurance[0] == ledger.liquidation_fees_e8(0, 0) == e8("35.7625")
    assert ledger.wallet(0, 0) == e8("1500") - e8("139") - e8("35.7625")
    assert ledger.liquidation_fee(0, 0, 286_100, 10**6) == e8("74.2375")  # no more than the equity that is left
    assert ledger.equity_e8(0, 0) == 0
    assert ledger.margin_ratio_e12(0, 0) == RATIO_UNBOUNDED_E12
    assert ledger.total_e8(0) == ledger.deposited_e8(0)


@pytest.mark.parametrize(("side", "ticks", "mark"), [(BUY, 285_000, "28000"), (SELL, 315_000, "32000")])
def test_takeover_at_the_bankruptcy_price_costs_the_fund(side: int, ticks: int, mark: str) -> None:
    ledger = make((LINEAR, BTCUSDT))
    ledger.deposit(0, 0, 1_500 * E8)
    ledger.fill(0, 0, side, 300_000, 1_000, LIQ_NONE)
    ledger.set_mark(0, e8(mark))
    assert ledger.equity_e8(0, 0) == -500 * E8
    assert ledger.takeover(0, 0) == (1_000 if side == BUY else -1_000)
    assert (ledger.last_ticks, ledger.last_lots, ledger.last_cause) == (ticks, 1_000, CAUSE_LIQUIDATION)
    assert ledger.last_realized_e8 == -1_500 * E8
    assert ledger.wallet(0, 0) == ledger.position(0, 0) == ledger.covered_e8(0, 0) == 0
    assert ledger.insurance[0] == -500 * E8 and ledger.market_pnl[0] == 2_000 * E8
    assert ledger.takeover(0, 0) == 0 and ledger.failure() is None


def test_a_limited_fund_that_cannot_bear_it_deleverages() -> None:
    ledger = make((LINEAR, BTCUSDT), accounts=2)
    ledger.limit_insurance(0, 600 * E8)
    for account in (0, 1):
        ledger.deposit(account, 0, 1_500 * E8)
        ledger.fill(account, 0, BUY, 300_000, 1_000, LIQ_NONE)
    ledger.set_mark(0, 28_000 * E8)
    ledger.takeover(0, 0)
    assert ledger.last_cause == CAUSE_LIQUIDATION and ledger.insurance[0] == 100 * E8
    ledger.takeover(1, 0)
    assert ledger.last_cause == CAUSE_ADL and ledger.insurance[0] == 100 * E8
    assert ledger.wallet(1, 0) == 0 and ledger.total_e8(0) == ledger.deposited_e8(0)


@pytest.mark.parametrize(("limit", "paid"), [(None, 400), (1_000, 400), (150, 150)])
def test_a_flat_account_below_zero_is_covered(limit: int | None, paid: int) -> None:
    """Closing by an order of one's own, below the bankruptcy price, before any mark said so."""
    ledger = make((LINEAR, BTCUSDT))
    if limit is not None:
        ledger.limit_insurance(0, limit * E8)
    ledger.deposit(0, 0, 1_600 * E8)
    ledger.set_mark(0, 30_000 * E8)
    ledger.fill(0, 0, BUY, 300_000, 1_000, LIQ_TAKER)
    ledger.fill(0, 0, SELL, 280_000, 900, LIQ_TAKER)
    # what is left of the position may still save it
    assert ledger.wallet(0, 0) == -200 * E8 and ledger.covered_e8(0, 0) == 0
    ledger.fill(0, 0, SELL, 280_000, 100, LIQ_TAKER)
    assert ledger.wallet(0, 0) == 0 and ledger.covered_e8(0, 0) == 400 * E8
    assert ledger.insurance[0] == ((limit or 0) - paid) * E8
    assert ledger.total_e8(0) == ledger.deposited_e8(0)


def test_without_brackets_nothing_is_checked_or_covered() -> None:
    ledger = make((LINEAR, None))
    ledger.set_mark(0, 30_000 * E8)
    assert ledger.check_open(0, 0, BUY, 300_000, 10**9, False) == R_NONE
    ledger.fill(0, 0, BUY, 300_000, 1_000, LIQ_NONE)
    ledger.set_mark(0, 1 * E8)
    assert not ledger.is_liquidatable(0) and not ledger.margin_on(0)
    assert ledger.maintenance_e8(0, 0) == ledger.initial_e8(0, 0) == ledger.liquidation_price_e8(0, 0) == 0
    ledger.fill(0, 0, SELL, 10, 1_000, LIQ_NONE)
    assert ledger.wallet(0, 0) == -29_999 * E8


def test_positions_that_no_price_can_bankrupt() -> None:
    """A linear long worth less than the wallet, a coin-margined short whose coins are all there."""
    ledger = make((LINEAR, BTCUSDT), (INVERSE, BTCUSD_PERP))
    ledger.deposit(0, 0, 40_000 * E8)
    ledger.fill(0, 0, BUY, 300_000, 1_000, LIQ_NONE)
    ledger.set_mark(0, 30_000 * E8)
    assert ledger.bankruptcy_ticks(0, 0) == 1 and ledger.liquidation_price_e8(0, 0) == 0
    short = make((INVERSE, BTCUSD_PERP))
    short.deposit(0, 0, 1 * E8)
    short.fill(0, 0, SELL, 500_000, 500, LIQ_NONE)
    short.set_mark(0, 10**7 * E8)
    assert short.bankruptcy_ticks(0, 0) == (1 << 31) - 1 and short.liquidation_price_e8(0, 0) == 0
    assert not short.is_liquidatable(0)


# -- properties


@st.composite
def positions(draw: st.DrawFn) -> tuple[Ledger, int, Fraction]:
    """A ledger whose account has a position in market 0 and perhaps one in market 1; direction; all other money."""
    inverse = draw(st.booleans())
    market = (INVERSE, BTCUSD_PERP) if inverse else (LINEAR, BTCUSDT)
    ledger = make(market, market, leverage=1)
    for m, sizes in ((0, st.integers(1, 20_000)), (1, st.integers(0, 3_000))):
        ledger.set_mark(m, draw(st.integers(10_000 * E8, 60_000 * E8)))
        lots, side = draw(sizes), draw(st.sampled_from((BUY, SELL)))
        if lots:
            ledger.fill(0, m, side, draw(st.integers(100_000, 600_000)), lots, LIQ_NONE)
    ledger.deposit(0, 0, draw(st.integers(0, 100 * E8 if inverse else 10**5 * E8)))
    others = Fraction(ledger.equity_e8(0, 0) - ledger.unrealized_e8(0, 0))
    return ledger, 1 if ledger.position(0, 0) > 0 else -1, others


def loss_e8(ledger: Ledger, ticks: int) -> Fraction:
    """What closing market 0 at ``ticks`` loses, exactly but for the entry value as the ledger has it."""
    inverse, lots = ledger.arrays["market_inverse"][0], abs(ledger.position(0, 0))
    entry = Fraction(ledger.entry_value(0, 0), int(ledger.arrays["entry_den"][0]))
    exit_value = Fraction(lots * 10**11, ticks) if inverse else Fraction(ticks * lots * 10_000)
    longs = (ledger.position(0, 0) > 0) != bool(inverse)
    return entry - exit_value if longs else exit_value - entry


@given(positions())
@settings(max_examples=300, deadline=None)
def test_the_bankruptcy_price_loses_no_more_than_there_is_and_is_the_last_such_price(
    case: tuple[Ledger, int, Fraction],
) -> None:
    ledger, direction, others = case
    ticks = ledger.bankruptcy_ticks(0, 0)
    assert 1 <= ticks <= (1 << 31) - 1
    worse = ticks - direction
    if 1 < ticks < (1 << 31) - 1:
        assert loss_e8(ledger, ticks) <= others < loss_e8(ledger, worse)
        before = ledger.equity_e8(0, 0) - ledger.unrealized_e8(0, 0)
        ledger.fill(0, 0, SELL if direction > 0 else BUY, ticks, abs(ledger.position(0, 0)), LIQ_NONE)
        assert ledger.equity_e8(0, 0) >= 0
        assert before + ledger.last_realized_e8 == ledger.equity_e8(0, 0)


@given(positions())
@settings(max_examples=300, deadline=None)
def test_the_displayed_liquidation_price_is_where_liquidation_begins(case: tuple[Ledger, int, Fraction]) -> None:
    ledger, direction, _ = case
    price = ledger.liquidation_price_e8(0, 0)
    assume(100 * E8 < price < 10**6 * E8)
    ledger.set_mark(0, price)
    margin = 10 + 5 * price // ledger.notional_e8(0, abs(ledger.position(0, 0)))  # values have a grain of 1e-8
    ledger.set_mark(0, price + direction * margin)
    assert not ledger.is_liquidatable(0)
    ledger.set_mark(0, price - direction * margin)
    assert ledger.is_liquidatable(0)


class MarginMachine(RuleBasedStateMachine):
    """One cross account in two linear markets: orders pass the check, marks jump, liquidation runs to its end.

    After every step the account carries its maintenance margin or is flat with a wallet not below zero, the books sum
    to what was deposited, and the check on entry answers as the formula written again in fractions.
    """

    brackets = (BTCUSDT, ETHUSDT)
    arithmetic = (LINEAR, CENT)
    tick_e8 = (E8 // 10, E8 // 100)

    @initialize(deposit=st.integers(10 * E8, 200_000 * E8), leverage=st.sampled_from((1, 5, 20, 75)))
    def start(self, deposit: int, leverage: int) -> None:
        self.ledger = make(*zip(self.arithmetic, self.brackets, strict=True), leverage=leverage)
        self.leverage = leverage
        self.ledger.deposit(0, 0, deposit)
        self.marks = [30_000 * E8, 2_000 * E8]
        self.orders: list[tuple[int, int, int, int]] = []
        for m in (0, 1):
            self.ledger.set_mark(m, self.marks[m])

    def notional(self, m: int, lots: int) -> int:
        return round(Fraction(abs(lots) * self.marks[m], 1000))

    def exposure(self, m: int, extra: tuple[int, int] | None = None) -> int:
        resting = [(side, lots) for market, side, _, lots in self.orders if market == m] + ([extra] if extra else [])
        position = self.ledger.position(0, m)
        bids = sum(lots for side, lots in resting if side == BUY)
        asks = sum(lots for side, lots in resting if side == SELL)
        return max(abs(position + bids), abs(position - asks))

    def expected(self, m: int, side: int, lots: int) -> int:
        after = self.exposure(m, (side, lots))
        if after <= self.exposure(m):
            return R_NONE
        table = self.brackets[m]
        caps = zip(table.cap_e8, table.max_leverage, strict=True)
        if self.notional(m, after) > max(cap for cap, most in caps if most >= self.leverage):
            return R_LEVERAGE
        margin = sum(
            math.ceil(Fraction(self.notional(k, after if k == m else self.exposure(k)), self.leverage)) for k in (0, 1)
        )
        return R_MARGIN if margin > self.ledger.equity_e8(0, 0) else R_NONE

    @rule(
        m=st.integers(0, 1), side=st.sampled_from((BUY, SELL)), lots=st.integers(1, 10**6), off=st.integers(-500, 500)
    )
    def trade(self, m: int, side: int, lots: int, off: int) -> None:
        ticks = self.marks[m] // self.tick_e8[m] + off
        reason = self.ledger.check_open(0, m, side, ticks, lots, False)
        assert reason == self.expected(m, side, lots)
        if reason == R_NONE:
            self.ledger.fill(0, m, side, max(ticks, 1), lots, LIQ_TAKER)
            self.liquidate()

    @rule(m=st.integers(0, 1), side=st.sampled_from((BUY, SELL)), share=st.integers(1, 1100))
    def trade_near_the_limit(self, m: int, side: int, share: int) -> None:
        """A size that uses about share / 1000 of what the account could carry."""
        most = self.ledger.equity_e8(0, 0) * self.leverage * 1000 // self.marks[m]
        if most * share // 1000 > 0:
            self.trade(m, side, most * share // 1000, 0)

    @rule(m=st.integers(0, 1), side=st.sampled_from((BUY, SELL)), lots=st.integers(1, 10**5))
    def rest(self, m: int, side: int, lots: int) -> None:
        ticks = self.marks[m] // self.tick_e8[m]
        if self.ledger.check_open(0, m, side, ticks, lots, False) == R_NONE:
            self.ledger.order_added(0, m, side, ticks, lots)
            self.orders.append((m, side, ticks, lots))

    @rule(share=st.integers(1, 100))
    def fill_resting(self, share: int) -> None:
        if self.orders:
            m, side, ticks, lots = self.orders.pop(0)
            part = max(lots * share // 100, 1)
            self.ledger.order_removed(0, m, side, ticks, part)
            self.ledger.fill(0, m, side, ticks, part, LIQ_TAKER)
            if part < lots:
                self.orders.insert(0, (m, side, ticks, lots - part))
            self.liquidate()

    @rule(
        m=st.integers(0, 1), permille=st.one_of(st.integers(-60, 60), st.integers(-600, 900)), part=st.integers(0, 100)
    )
    def move_mark(self, m: int, permille: int, part: int) -> None:
        self.marks[m] = min(max(self.marks[m] * (1000 + permille) // 1000, 10 * E8), 10**6 * E8)
        self.ledger.set_mark(m, self.marks[m])
        self.liquidate(part)

    @rule(m=st.integers(0, 1), rate=st.integers(-3 * 10**9, 3 * 10**9))
    def pay_funding(self, m: int, rate: int) -> None:
        self.ledger.funding(0, m, self.ledger.position(0, m), self.marks[m], rate)
        self.liquidate()

    def liquidate(self, part: int = 50) -> None:
        """Binance's procedure: cancel all, reduce no worse than the bankruptcy price, then the fund takes over."""
        ledger = self.ledger
        if not ledger.is_liquidatable(0):
            return
        for order in self.orders:
            ledger.order_removed(0, *order)
        self.orders.clear()
        for m in (0, 1):
            position = ledger.position(0, m)
            lots = abs(position) * part // 100
            ticks, limit = self.marks[m] // self.tick_e8[m], ledger.bankruptcy_ticks(0, m)
            reachable = ticks >= limit if position > 0 else ticks <= limit
            if lots and reachable and ledger.is_liquidatable(0):
                ledger.fill(0, m, SELL if position > 0 else BUY, ticks, lots, LIQ_NONE)
                ledger.liquidation_fee(0, m, ticks, lots)
        for m in (0, 1):
            if ledger.is_liquidatable(0):
                ledger.takeover(0, m)

    @invariant()
    def carried_or_covered(self) -> None:
        ledger = self.ledger
        assert ledger.failure() is None
        assert ledger.equity_e8(0, 0) >= ledger.maintenance_e8(0, 0) >= 0
        if not ledger.position(0, 0) and not ledger.position(0, 1):
            assert ledger.wallet(0, 0) >= 0

    @invariant()
    def books_close(self) -> None:
        ledger = self.ledger
        assert ledger.total_e8(0) == ledger.deposited_e8(0)
        moves = ledger.realized_e8(0, 0) + ledger.funding_e8(0, 0) + ledger.covered_e8(0, 0)
        moves -= ledger.fees_e8(0, 0) + ledger.liquidation_fees_e8(0, 0)
        assert ledger.wallet(0, 0) == ledger.deposited_e8(0) + moves

    @invariant()
    def initial_is_the_formula(self) -> None:
        margins = [math.ceil(Fraction(self.notional(m, self.exposure(m)), self.leverage)) for m in (0, 1)]
        assert self.ledger.initial_e8(0, 0) == sum(margins)

    @invariant()
    def maintenance_is_the_formula(self) -> None:
        total = 0
        for m in (0, 1):
            table, notional = self.brackets[m], self.notional(m, self.ledger.position(0, m))
            rows = zip(table.floor_e8, table.rate_e12, table.cum_e8, strict=True)
            total += max((math.ceil(Fraction(notional * rate, E12) - cum) for _, rate, cum in rows), default=0)
        assert self.ledger.maintenance_e8(0, 0) == total


TestMarginMachine = MarginMachine.TestCase
TestMarginMachine.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
