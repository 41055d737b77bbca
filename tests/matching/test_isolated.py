"""Isolated margin: what moves into a position and out of it, and that its losses are nobody else's."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from matching.brackets import Brackets
from matching.codes import (
    BUY,
    CAUSE_LIQUIDATION,
    E8,
    E12,
    LIQ_NONE,
    LIQ_TAKER,
    MODE_CROSS,
    MODE_ISOLATED,
    R_LEVERAGE,
    R_MARGIN,
    R_MULTI_ASSETS,
    R_NO_POSITION,
    R_NONE,
    R_OPEN_ORDERS,
    R_OPEN_POSITION,
    R_SAME_SETTING,
    R_UNSUPPORTED,
    SELL,
    SETTING_SHORT_MARGIN,
)
from matching.ledger import Ledger

BINANCE = (
    "same_mode_refused", "mode_needs_no_orders", "mode_needs_no_position", "isolated_cut_refused",
)  # fmt: skip
LINEAR = {"inverse": False, "value_num": 10_000, "value_den": 1, "lot_num": 1, "lot_den": 1000}  # tick 0.1, lot 0.001
INVERSE = {"inverse": True, "value_num": 10**11, "value_den": 1, "lot_num": 10**10, "lot_den": 1}  # 100 USD, tick 0.1
TAKER = 550_000_000  # 0.055 %


def e8(text: str) -> int:
    return round(Fraction(text) * E8)


def table(*rows: tuple[str, str, int]) -> Brackets:
    caps = [round(Fraction(cap) * E8) for cap, _, _ in rows]
    rates = [round(Fraction(rate) * E12) for _, rate, _ in rows]
    return Brackets.with_cum([0, *caps[:-1]], caps, rates, [leverage for _, _, leverage in rows])


BTCUSDT = table(("50000", "0.004", 125), ("250000", "0.005", 100), ("1000000", "0.01", 50), ("10000000", "0.025", 20))
COINS = table(("5", "0.004", 125), ("10", "0.005", 100), ("200", "0.01", 50))


def make(*arithmetic: dict[str, object], leverage: int = 20, taker: int = 0, deposit: str = "1000") -> Ledger:
    """Isolated markets of one asset, but for the last of several, which is cross."""
    ledger = Ledger(1, len(arithmetic), 1)
    for m, numbers in enumerate(arithmetic):
        brackets = COINS if numbers["inverse"] else BTCUSDT
        rates = {"maker_rate_e12": 0, "taker_rate_e12": taker, "liquidation_rate_e12": 12_500_000_000}
        ledger.configure_market(m, 0, **numbers, **rates, brackets=brackets)
        ledger.set_leverage(0, m, leverage)
        if m == 0 or m < len(arithmetic) - 1:
            assert ledger.set_mode(0, m, MODE_ISOLATED) == R_NONE
    ledger.deposit(0, 0, e8(deposit))
    return ledger


def cross_wallet(ledger: Ledger) -> int:
    return ledger.wallet(0, 0) - int(ledger.arrays["isolated_sums"][0])


# -- what moves


def test_opening_moves_initial_margin_and_closing_releases_its_share_with_the_profit() -> None:
    ledger = make(LINEAR)
    ledger.set_mark(0, 30_000 * E8)
    ledger.fill(0, 0, BUY, 300_000, 100, LIQ_NONE)  # 3,000 at 20x
    assert ledger.isolated_e8(0, 0) == 150 * E8 and cross_wallet(ledger) == 850 * E8
    ledger.fill(0, 0, BUY, 310_000, 100, LIQ_NONE)
    assert ledger.isolated_e8(0, 0) == 305 * E8
    ledger.fill(0, 0, SELL, 315_000, 50, LIQ_NONE)  # entry 30,500: 50 realised, a quarter of the margin
    assert ledger.isolated_e8(0, 0) == e8("228.75")
    assert ledger.last_released_e8 == e8("126.25")
    assert cross_wallet(ledger) == e8("821.25")
    ledger.fill(0, 0, SELL, 305_000, 200, LIQ_NONE)  # through zero: the rest opens anew
    assert ledger.position(0, 0) == -50 and ledger.isolated_e8(0, 0) == e8("76.25")
    assert ledger.wallet(0, 0) == 1_050 * E8 and ledger.total_e8(0) == ledger.deposited_e8(0)
    assert ledger.failure() is None


def test_fees_are_the_cross_wallets_until_it_is_empty() -> None:
    ledger = make(LINEAR, taker=TAKER, deposit="151")
    ledger.set_mark(0, 30_000 * E8)
    ledger.fill(0, 0, BUY, 300_000, 100, LIQ_TAKER)  # fee 1.65: what is left for margin is 149.35
    assert ledger.isolated_e8(0, 0) == e8("149.35") and cross_wallet(ledger) == 0
    ledger.fill_with_fee(0, 0, SELL, 300_000, 1, 3 * E8)  # releases 1.4935 and costs 3: the position pays what lacks
    assert ledger.isolated_e8(0, 0) == e8("149.35") - 3 * E8 and cross_wallet(ledger) == 0
    assert ledger.covered_e8(0, 0) == 0


def test_funding_of_an_isolated_position_is_its_margins() -> None:
    ledger = make(LINEAR, LINEAR)
    for m in (0, 1):
        ledger.set_mark(m, 30_000 * E8)
        ledger.fill(0, m, BUY, 300_000, 100, LIQ_NONE)
    before = cross_wallet(ledger)
    assert ledger.funding(0, 0, 100, 30_000 * E8, 10**10) == -30 * E8
    assert ledger.isolated_e8(0, 0) == 120 * E8 and cross_wallet(ledger) == before
    assert ledger.funding(0, 1, 100, 30_000 * E8, 10**10) == -30 * E8
    assert ledger.isolated_e8(0, 0) == 120 * E8 and cross_wallet(ledger) == before - 30 * E8
    ledger.configure_margin(0, isolated_funding="available")
    ledger.funding(0, 0, 100, 30_000 * E8, 10**10)  # as Bybit: from what is available first
    assert ledger.isolated_e8(0, 0) == 120 * E8 and cross_wallet(ledger) == before - 60 * E8


@pytest.mark.parametrize("deposit", ["1000", "150"])
def test_a_loss_beyond_the_isolated_margin_is_covered(deposit: str) -> None:
    ledger = make(LINEAR, deposit=deposit)
    ledger.set_mark(0, 30_000 * E8)
    ledger.fill(0, 0, BUY, 300_000, 100, LIQ_NONE)
    before = cross_wallet(ledger)
    ledger.fill(0, 0, SELL, 280_000, 50, LIQ_NONE)  # 100 lost: 75 were its share, the other half gives 25
    assert ledger.isolated_e8(0, 0) == 50 * E8 and cross_wallet(ledger) == before and ledger.covered_e8(0, 0) == 0
    ledger.fill(0, 0, SELL, 280_000, 50, LIQ_NONE)
    assert ledger.isolated_e8(0, 0) == 0 and cross_wallet(ledger) == before and ledger.covered_e8(0, 0) == 50 * E8
    assert ledger.insurance[0] == -50 * E8 and ledger.total_e8(0) == ledger.deposited_e8(0)


def test_orders_of_an_isolated_market_need_money_of_the_cross_wallet() -> None:
    ledger = make(LINEAR, LINEAR)
    for m in (0, 1):
        ledger.set_mark(m, 30_000 * E8)
    ledger.fill(0, 1, BUY, 270_000, 100, LIQ_NONE)  # cross, 300 of profit, margin 150
    assert ledger.check_open(0, 0, BUY, 300_000, 566, False) == R_NONE  # (1000 - 150) * 20 / 30
    assert ledger.check_open(0, 0, BUY, 300_000, 567, False) == R_MARGIN  # profit does not count
    assert ledger.check_open(0, 1, BUY, 300_000, 766, False) == R_NONE  # in cross it does
    assert ledger.check_open(0, 1, BUY, 300_000, 767, False) == R_MARGIN
    ledger.order_added(0, 0, BUY, 300_000, 100)
    assert ledger.initial_e8(0, 0) == 300 * E8 and ledger.available_e8(0, 0) == 700 * E8
    ledger.order_removed(0, 0, BUY, 300_000, 100)
    ledger.fill(0, 0, BUY, 300_000, 100, LIQ_NONE)
    assert ledger.initial_e8(0, 0) == 150 * E8  # the isolated position's margin is in it already
    assert ledger.available_e8(0, 0) == 700 * E8


# -- liquidation


def test_units_are_liquidated_by_themselves() -> None:
    ledger = make(LINEAR, LINEAR)
    for m in (0, 1):
        ledger.set_mark(m, 30_000 * E8)
        ledger.fill(0, m, BUY, 300_000, 200, LIQ_NONE)
    assert (ledger.unit_of(0, 0), ledger.unit_of(0, 1)) == (1, 0)
    assert ledger.unit_equity_e8(0, 1) == 300 * E8 and ledger.unit_equity_e8(0, 0) == 700 * E8
    assert ledger.equity_e8(0, 0) == 1_000 * E8
    ledger.set_mark(0, e8("28614"))  # 277.2 lost, 22.8 left, 22.8912 needed
    assert ledger.unit_maintenance_e8(0, 1) == e8("22.8912")
    assert ledger.liquidatable(0) == 1 and ledger.liquidatable_asset(0) == -1 and ledger.is_liquidatable(0)
    assert ledger.margin_ratio_e12(0, 0) == math.ceil(Fraction(24) / 700 * E12)
    ledger.set_mark(1, 26_000 * E8)  # the cross account falls too: 700 - 800
    assert ledger.liquidatable(0) == 0
    assert ledger.bankruptcy_ticks(0, 0) == 285_000 and ledger.bankruptcy_ticks(0, 1) == 265_000
    ledger.takeover(0, 0)
    assert (ledger.last_ticks, ledger.last_cause, ledger.isolated_e8(0, 0)) == (285_000, CAUSE_LIQUIDATION, 0)
    assert cross_wallet(ledger) == 700 * E8 and ledger.covered_e8(0, 0) == 0


def test_the_liquidation_fee_is_taken_from_the_unit_alone() -> None:
    ledger = make(LINEAR)
    ledger.set_mark(0, 30_000 * E8)
    ledger.fill(0, 0, BUY, 300_000, 200, LIQ_NONE)
    ledger.fill(0, 0, SELL, 286_000, 100, LIQ_NONE)  # releases 150 - 140
    assert ledger.liquidation_fee(0, 0, 286_000, 100) == e8("35.75")
    assert cross_wallet(ledger) == 700 * E8 and ledger.isolated_e8(0, 0) == 150 * E8 - e8("25.75")
    ledger.fill(0, 0, SELL, 288_000, 100, LIQ_NONE)  # all released: 124.25 - 120
    assert ledger.liquidation_fee(0, 0, 288_000, 100) == e8("4.25")
    assert ledger.penalty(0, 0, 1) == 0  # nothing is left of it
    assert cross_wallet(ledger) == 700 * E8 and ledger.total_e8(0) == ledger.deposited_e8(0)


# -- settings


def test_binances_refusals() -> None:
    ledger = make(LINEAR, LINEAR)
    for m in (0, 1):
        ledger.configure_settings(m, *BINANCE)
        ledger.set_mark(m, 30_000 * E8)
    assert ledger.set_mode(0, 0, MODE_ISOLATED) == R_SAME_SETTING  # -4046
    ledger.order_added(0, 0, BUY, 300_000, 10)
    assert ledger.set_mode(0, 0, MODE_CROSS) == R_OPEN_ORDERS  # -4047
    ledger.order_removed(0, 0, BUY, 300_000, 10)
    ledger.fill(0, 0, BUY, 300_000, 200, LIQ_NONE)
    assert ledger.set_mode(0, 0, MODE_CROSS) == R_OPEN_POSITION  # -4048
    assert ledger.change_leverage(0, 0, 10) == R_OPEN_POSITION  # -4161
    assert ledger.change_leverage(0, 0, 126) == R_UNSUPPORTED  # -4028
    assert ledger.change_leverage(0, 0, 50) == R_NONE and ledger.leverage(0, 0) == 50
    assert ledger.isolated_e8(0, 0) == 300 * E8  # stays
    assert ledger.change_leverage(0, 0, 50) == R_NONE
    ledger.fill(0, 1, BUY, 300_000, 400, LIQ_NONE)
    assert ledger.change_leverage(0, 1, 17) == R_MARGIN  # -2028: 12,000 / 17 > 700
    assert ledger.change_leverage(0, 1, 18) == R_NONE
    ledger.fill(0, 1, BUY, 300_000, 1_400, LIQ_NONE)
    assert ledger.change_leverage(0, 1, 101) == R_LEVERAGE  # -2027: 54,000 are more than 50,000
    assert ledger.leverage(0, 1) == 18


def test_bybits_leverage_moves_the_isolated_margin() -> None:
    ledger = make(LINEAR)
    ledger.configure_settings(0, "leverage_moves_margin", "same_leverage_refused")
    ledger.set_mark(0, 30_000 * E8)
    ledger.fill(0, 0, BUY, 300_000, 200, LIQ_NONE)
    assert ledger.change_leverage(0, 0, 20) == R_SAME_SETTING  # 110043
    assert ledger.change_leverage(0, 0, 50) == R_NONE and ledger.isolated_e8(0, 0) == 120 * E8
    assert ledger.change_leverage(0, 0, 5) == R_MARGIN  # 1,200 are not there
    assert ledger.change_leverage(0, 0, 6) == R_NONE and ledger.isolated_e8(0, 0) == 1_000 * E8
    assert ledger.add_margin(0, 0, -600 * E8) == R_MARGIN
    ledger.set_mark(0, 29_500 * E8)
    assert ledger.change_leverage(0, 0, 100) == R_MARGIN  # 60 would not carry a loss of 100
    assert ledger.leverage(0, 0) == 6 and ledger.isolated_e8(0, 0) == 1_000 * E8


def test_a_position_changes_mode_where_the_venue_lets_it() -> None:
    ledger = make(LINEAR, LINEAR)
    for m in (0, 1):
        ledger.set_mark(m, 30_000 * E8)
    ledger.fill(0, 1, BUY, 300_000, 200, LIQ_NONE)
    assert ledger.set_mode(0, 1, MODE_ISOLATED) == R_NONE
    assert ledger.isolated_e8(0, 1) == 300 * E8 and ledger.mode(0, 1) == MODE_ISOLATED
    ledger.set_mark(1, 28_600 * E8)
    assert ledger.liquidatable(0) == 2
    assert ledger.set_mode(0, 1, MODE_CROSS) == R_NONE  # 720 behind it now
    assert ledger.isolated_e8(0, 1) == 0 and ledger.liquidatable(0) == -1 and cross_wallet(ledger) == 1_000 * E8
    assert ledger.set_mode(0, 1, MODE_ISOLATED) == R_MARGIN  # 300 would not carry it


def test_a_mode_that_is_the_accounts_changes_everywhere_or_nowhere() -> None:
    """Bybit: one request switches all markets; one position that could not carry itself alone refuses it for all."""
    ledger = make(LINEAR, LINEAR)
    assert ledger.set_mode(0, 0, MODE_CROSS) == R_NONE
    for m in (0, 1):
        ledger.configure_settings(m, "mode_of_account", "same_mode_refused")
        ledger.set_mark(m, 30_000 * E8)
    ledger.fill(0, 0, BUY, 300_000, 200, LIQ_NONE)
    ledger.fill(0, 1, BUY, 300_000, 200, LIQ_NONE)
    assert ledger.set_mode(0, 0, MODE_ISOLATED) == R_NONE
    assert [ledger.mode(0, m) for m in (0, 1)] == [MODE_ISOLATED] * 2
    assert [ledger.isolated_e8(0, m) for m in (0, 1)] == [300 * E8] * 2
    assert ledger.set_mode(0, 1, MODE_ISOLATED) == R_SAME_SETTING
    assert ledger.set_mode(0, 1, MODE_CROSS) == R_NONE and cross_wallet(ledger) == 1_000 * E8
    ledger.set_mark(1, 28_600 * E8)
    assert ledger.set_mode(0, 0, MODE_ISOLATED) == R_MARGIN
    assert [ledger.mode(0, m) for m in (0, 1)] == [MODE_CROSS] * 2 and cross_wallet(ledger) == 1_000 * E8
    assert ledger.isolated_e8(0, 0) == 0 and ledger.unit_of(0, 0) == 0


def test_both_legs_of_a_hedged_market_share_leverage_and_mode_and_not_their_isolated_margin() -> None:
    ledger = make(LINEAR, LINEAR)
    assert ledger.set_mode(0, 0, MODE_CROSS) == R_NONE
    ledger.set_legs(0, 1)
    for m in (0, 1):
        ledger.set_mark(m, 30_000 * E8)
    assert ledger.set_mode(0, 0, MODE_ISOLATED) == R_NONE and ledger.change_leverage(0, 1, 10) == R_NONE
    assert [(ledger.mode(0, m), ledger.leverage(0, m)) for m in (0, 1)] == [(MODE_ISOLATED, 10)] * 2
    ledger.fill(0, 0, BUY, 300_000, 100, LIQ_NONE)
    ledger.fill(0, 1, SELL, 300_000, 50, LIQ_NONE)
    assert [ledger.isolated_e8(0, m) for m in (0, 1)] == [300 * E8, 150 * E8]
    assert ledger.request(0, 0, SETTING_SHORT_MARGIN, 10 * E8) == R_NONE
    assert [ledger.isolated_e8(0, m) for m in (0, 1)] == [300 * E8, 160 * E8]
    for m in (0, 1):
        ledger.set_mark(m, 27_000 * E8)
    assert ledger.liquidatable(0) == 1  # the long leg alone


def test_margin_is_added_and_taken_out_within_limits() -> None:
    ledger = make(LINEAR)
    ledger.configure_settings(0, removal_rate_e12=10**11)  # Hyperliquid: a tenth of the notional stays
    ledger.set_mark(0, 30_000 * E8)
    assert ledger.add_margin(0, 0, 10 * E8) == R_NO_POSITION
    ledger.fill(0, 0, BUY, 300_000, 100, LIQ_NONE)
    assert ledger.add_margin(0, 0, 851 * E8) == R_MARGIN
    assert ledger.add_margin(0, 0, 850 * E8) == R_NONE and ledger.isolated_e8(0, 0) == 1_000 * E8
    assert ledger.add_margin(0, 0, -701 * E8) == R_MARGIN  # 300 must stay, not 150
    assert ledger.add_margin(0, 0, -700 * E8) == R_NONE and cross_wallet(ledger) == 700 * E8
    ledger.set_mark(0, 29_000 * E8)
    assert ledger.add_margin(0, 0, -1) == R_MARGIN
    assert ledger.set_mode(0, 0, MODE_CROSS) == R_NONE
    assert ledger.add_margin(0, 0, 1) == R_UNSUPPORTED


def test_pools_and_isolated_margin_exclude_each_other() -> None:
    ledger = make(LINEAR)
    assert ledger.pool_assets(0, [E8], [E8]) == R_MULTI_ASSETS
    assert ledger.set_mode(0, 0, MODE_CROSS) == R_NONE and ledger.pool_assets(0, [E8], [E8]) == R_NONE
    assert ledger.set_mode(0, 0, MODE_ISOLATED) == R_MULTI_ASSETS  # -4168
    assert ledger.pool_assets(0, [0], [0]) == R_NONE and ledger.set_mode(0, 0, MODE_ISOLATED) == R_NONE


# -- prices


@given(
    inverse=st.booleans(), long=st.booleans(), leverage=st.integers(2, 50), ticks=st.integers(100_000, 600_000),
    lots=st.integers(1, 3_000), extra=st.integers(0, 10 * E8), mark=st.integers(10_000, 60_000),
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_the_displayed_price_is_where_the_isolated_check_turns(
    inverse: bool, long: bool, leverage: int, ticks: int, lots: int, extra: int, mark: int
) -> None:
    ledger = make(INVERSE if inverse else LINEAR, leverage=leverage, deposit="10000000")
    ledger.set_mark(0, mark * E8)
    ledger.fill(0, 0, BUY if long else SELL, ticks, lots, LIQ_NONE)
    ledger.add_margin(0, 0, extra)
    price = ledger.liquidation_price_e8(0, 0)
    if not 100 * E8 < price < 10**6 * E8:
        return
    ledger.set_mark(0, price)
    grain = 10 + 5 * price // ledger.notional_e8(0, lots)
    direction = 1 if long else -1
    ledger.set_mark(0, price + direction * grain)
    assert ledger.liquidatable(0) == -1
    ledger.set_mark(0, price - direction * grain)
    assert ledger.liquidatable(0) == 1


class IsolatedMachine(RuleBasedStateMachine):
    """One account, an isolated market and a cross one: the cross wallet changes by fees, margin moved and releases.

    A second model keeps what a statement would show, in fractions: the isolated margin of every fill, payment and
    transfer. After every step the books sum to what was deposited, and the isolated unit carries itself or is gone.
    """

    @initialize(deposit=st.integers(100 * E8, 10_000 * E8), leverage=st.sampled_from((2, 5, 20, 50)))
    def start(self, deposit: int, leverage: int) -> None:
        self.ledger = make(LINEAR, LINEAR, leverage=leverage, taker=TAKER, deposit=str(Fraction(deposit, E8)))
        self.marks = [30_000 * E8, 30_000 * E8]
        self.leverage = leverage
        self.margin = Fraction(0)
        for m in (0, 1):
            self.ledger.set_mark(m, self.marks[m])

    @rule(side=st.sampled_from((BUY, SELL)), lots=st.integers(1, 5_000), off=st.integers(-300, 300))
    def trade(self, side: int, lots: int, off: int) -> None:
        ledger, ticks = self.ledger, self.marks[0] * 10 // E8 + off
        if ledger.check_open(0, 0, side, ticks, lots, False) != R_NONE:
            return
        position, cross, margin = ledger.position(0, 0), cross_wallet(ledger), ledger.isolated_e8(0, 0)
        covered = ledger.covered_e8(0, 0)
        fee = ledger.fill(0, 0, side, ticks, lots, LIQ_TAKER)
        closing = min(lots, abs(position)) if position * (1 if side == BUY else -1) < 0 else 0
        share = Fraction(margin * closing, abs(position)) if closing else Fraction(0)
        released = share + ledger.last_realized_e8
        kept = margin - share
        if released < 0:
            kept = max(kept + released, min(kept, Fraction(0)))
        opened = math.ceil(Fraction((lots - closing) * ticks * 10_000, self.leverage))
        assert 0 <= ledger.isolated_e8(0, 0) - math.floor(kept) <= opened + 1
        assert cross_wallet(ledger) >= cross - fee - opened - 1 or ledger.position(0, 1)
        moved = ledger.isolated_e8(0, 0) - kept
        if cross - fee > opened + 10 and not ledger.position(0, 1):
            assert abs(moved - opened) <= 1
            assert ledger.covered_e8(0, 0) == covered or released < 0
        self.liquidate()

    @rule(side=st.sampled_from((BUY, SELL)), lots=st.integers(1, 2_000))
    def trade_cross(self, side: int, lots: int) -> None:
        ledger, ticks = self.ledger, self.marks[1] * 10 // E8
        if ledger.check_open(0, 1, side, ticks, lots, False) == R_NONE:
            margin = ledger.isolated_e8(0, 0)
            ledger.fill(0, 1, side, ticks, lots, LIQ_NONE)
            assert ledger.isolated_e8(0, 0) == margin
        self.liquidate()

    @rule(m=st.integers(0, 1), permille=st.one_of(st.integers(-40, 40), st.integers(-500, 900)))
    def move_mark(self, m: int, permille: int) -> None:
        self.marks[m] = min(max(self.marks[m] * (1000 + permille) // 1000, 100 * E8), 10**6 * E8)
        self.ledger.set_mark(m, self.marks[m])
        self.liquidate()

    @rule(rate=st.integers(-(10**10), 10**10))
    def pay_funding(self, rate: int) -> None:
        cross = cross_wallet(self.ledger)
        self.ledger.funding(0, 0, self.ledger.position(0, 0), self.marks[0], rate)
        assert cross_wallet(self.ledger) == cross
        self.liquidate()

    @rule(amount=st.integers(-(10**11), 10**11))
    def add_margin(self, amount: int) -> None:
        cross, margin = cross_wallet(self.ledger), self.ledger.isolated_e8(0, 0)
        moved = amount if self.ledger.add_margin(0, 0, amount) == R_NONE else 0
        assert cross_wallet(self.ledger) == cross - moved and self.ledger.isolated_e8(0, 0) == margin + moved
        self.liquidate()

    @rule(leverage=st.integers(1, 100))
    def change_leverage(self, leverage: int) -> None:
        if self.ledger.change_leverage(0, 0, leverage) == R_NONE:
            self.leverage = leverage

    @rule()
    def change_mode(self) -> None:
        """To cross and back, with whatever position there is; the wallet stays the same."""
        ledger, wallet = self.ledger, self.ledger.wallet(0, 0)
        if ledger.set_mode(0, 0, MODE_CROSS) == R_NONE and ledger.set_mode(0, 0, MODE_ISOLATED) != R_NONE:
            ledger.fill(0, 0, SELL if ledger.position(0, 0) > 0 else BUY, self.marks[0] * 10 // E8,
                        abs(ledger.position(0, 0)), LIQ_NONE)  # fmt: skip
            assert ledger.set_mode(0, 0, MODE_ISOLATED) == R_NONE
        else:
            assert ledger.wallet(0, 0) == wallet
        self.liquidate()

    def liquidate(self) -> None:
        ledger = self.ledger
        for m, unit in ((0, 2 - 1), (1, 0)):
            if ledger.unit_equity_e8(0, unit) < ledger.unit_maintenance_e8(0, unit):
                cross, margin = cross_wallet(ledger), ledger.isolated_e8(0, 0)
                assert ledger.liquidatable(0) >= 0
                lots = abs(ledger.takeover(0, m))
                if m == 0:  # what is left is less than a tick's worth
                    assert 0 <= cross_wallet(ledger) - cross <= lots * 10_000 and ledger.isolated_e8(0, 0) == 0
                else:
                    assert ledger.isolated_e8(0, 0) == margin
        assert ledger.liquidatable(0) == -1

    @invariant()
    def books_close(self) -> None:
        ledger = self.ledger
        assert ledger.failure() is None
        assert ledger.total_e8(0) == ledger.deposited_e8(0)
        assert int(ledger.arrays["isolated_sums"][0]) == ledger.isolated_e8(0, 0) + ledger.isolated_e8(0, 1)
        assert ledger.position(0, 0) != 0 or ledger.isolated_e8(0, 0) == 0
        if not ledger.position(0, 1):
            assert cross_wallet(ledger) >= 0


TestIsolatedMachine = IsolatedMachine.TestCase
TestIsolatedMachine.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
