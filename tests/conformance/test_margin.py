"""Conformance, margin and liquidation: the account of docs/conformance.md, 10,000 USDT, 1 BTC long at 50,000, 10x.

Binance USD-M, its own brackets: maintenance is 0.4 % there, so that account is liquidated at a mark of 40,160.65 and
bankrupt at 40,000. Prices are in ticks of 0.1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from matching import codes
from matching.codes import BUY, CAUSE_LIQUIDATION, EV_LIQUIDATED, LIQ_NONE, R_MARGIN, SELL
from matching.ledger import Ledger
from sim.backtest import Result
from sim.strategy import Fill, Liquidation, Order, OrderEvent, Strategy
from tests.sim.markets import MS, T0, S, Tape, run
from venues.binance.rules import BTCUSDT_BRACKETS

E8 = 10**8
LINEAR = (False, 10_000, 1, 1, 1000)  # tick 0.1, lot 0.001


class Holder(Strategy):
    """Buys 1 BTC when it can, later more if asked to, and writes down what is done to it."""

    def __init__(self, later: int = 0, enter_ns: int = 100 * MS) -> None:
        self.later, self.enter_ns = later, enter_ns
        self.seen: list[str] = []
        self.reasons: list[int] = []

    def on_start(self) -> None:
        self.ctx.at(T0 + self.enter_ns, lambda: self.ctx.market(0, BUY, 1000))
        if self.later:
            self.ctx.at(T0 + 3 * S, lambda: self.ctx.market(0, BUY, self.later))

    def on_order(self, order: Order, event: OrderEvent) -> None:
        if event.reason:
            self.reasons.append(event.reason)

    def on_fill(self, order: Order, fill: Fill) -> None:
        self.seen.append("forced" if order.external else "fill")

    def on_liquidation(self, i: int, event: Liquidation) -> None:
        assert event.kind == EV_LIQUIDATED
        self.seen.append("taken over")


def market() -> Tape:
    """49,999.9 to 50,000, 5 BTC a level, mark 50,000."""
    return Tape().snapshot(0, 499_999, 500_000, lots=5000).mark(10 * MS, 50_000 * E8)


def moved(tape: Tape, at_ns: int, bid: int) -> Tape:
    """The whole book moves: the old bids go, the new best bid is ``bid`` ticks."""
    gone = [(BUY, 499_999 - k, 0) for k in range(10)]
    return tape.depth(at_ns, *gone, (BUY, bid, 5000), (SELL, bid + 1, 5000))


def played(strategy: Strategy, tape: Tape, out: Path, **changes: Any) -> Result:
    venue = {"name": "binance_usdm", "latency": "10ms", "fees": {"maker": 0, "taker": 0}, "deposit": {"USDT": "10000"}}
    instrument = {"symbol": "BTCUSDT", "mark": "recorded", "funding": "none", "leverage": 10}
    return run(strategy, tape, out, venue=[venue], instrument=[instrument | changes])


def forced(result: Result) -> int:
    return int(result.fills.filter(pl.col("cause") == CAUSE_LIQUIDATION)["lots"].sum())


def wallet(result: Result) -> int:
    return int(result.summary["accounts"][0]["wallet_e8"])


def test_a_wick_of_quotes_liquidates_nobody(tmp_path: Path) -> None:
    """The book falls to 30,000 and comes back, the mark stays."""
    tape = moved(market(), S, 300_000).mark(S + MS, 50_000 * E8)
    tape.depth(S + 200 * MS, (BUY, 300_000, 0), (SELL, 300_001, 0), (BUY, 499_999, 5000)).mark(2 * S, 50_000 * E8)
    strategy = Holder()
    result = played(strategy, tape.depth(4 * S, (SELL, 600_000, 1)), tmp_path)
    assert strategy.seen == ["fill"] and forced(result) == 0


def test_a_falling_mark_liquidates_whatever_the_quotes_say(tmp_path: Path) -> None:
    """The mark falls to 40,160.6, quotes stay at 50,000; at 40,160.7 nothing happens yet."""
    strategy, spared = Holder(), Holder()
    result = played(strategy, market().mark(S, 401_606 * E8 // 10).depth(4 * S, (SELL, 600_000, 1)), tmp_path)
    assert strategy.seen == ["fill", "forced"] and forced(result) == 1000
    result = played(spared, market().mark(S, 401_607 * E8 // 10).depth(4 * S, (SELL, 600_000, 1)), tmp_path)
    assert spared.seen == ["fill"] and forced(result) == 0


def test_a_gap_through_bankruptcy_costs_what_was_there(tmp_path: Path) -> None:
    """Book and mark open at 30,000: the fund takes the position at 40,000, the wallet ends at 0 and never below."""
    strategy = Holder()
    tape = moved(market(), S, 300_000).mark(S + MS, 30_000 * E8)
    result = played(strategy, tape.depth(4 * S, (SELL, 600_000, 1)), tmp_path)
    taken = result.fills.filter(pl.col("cause") == CAUSE_LIQUIDATION)
    assert strategy.seen == ["fill", "taken over"]
    assert taken["ticks"].to_list() == [400_000] and wallet(result) == 0
    assert result.equity["wallet_e8"].min() >= 0


def test_depth_alone_carries_marks_and_liquidations(tmp_path: Path) -> None:
    """No quote, no print: depth, and a mark made of its mid each second. The book falls to 40,100."""
    strategy = Holder(enter_ns=1100 * MS)
    tape = moved(Tape().snapshot(0, 499_999, 500_000, lots=5000), 2 * S, 401_000)
    tape.depth(2 * S + MS, *[(SELL, 500_000 + k, 0) for k in range(10)])
    result = played(strategy, tape.depth(5 * S, (SELL, 600_000, 1)), tmp_path, mark="mid")
    assert strategy.seen == ["fill", "forced"] and forced(result) == 1000 and wallet(result) >= 0


def test_maintenance_has_its_deduction() -> None:
    """2 BTC at 200,000: 400,000 lie in the second bracket, 0.5 % less 300. Without it 300 more would be asked."""
    ledger = account(400_000)
    ledger.set_mark(0, 200_000 * E8)
    ledger.fill(0, 0, BUY, 2_000_000, 2000, LIQ_NONE)
    assert ledger.maintenance_e8(0, 0) == 1_700 * E8
    ledger.set_mark(0, 150_000 * E8)  # 300,000: the edge, where both brackets ask for 1,200
    assert ledger.maintenance_e8(0, 0) == 1_200 * E8


def test_margin_is_asked_before_an_order_trades(tmp_path: Path) -> None:
    """10,000 USDT at 10x carry 2 BTC at 50,000, not 3."""
    strategy = Holder(later=2000)
    result = played(strategy, market().depth(4 * S, (SELL, 600_000, 1)), tmp_path)
    assert strategy.reasons == [R_MARGIN] and result.summary["fills"] == 1


def test_an_unrealised_loss_is_no_free_margin(tmp_path: Path) -> None:
    """At a mark of 45,000 equity is 5,000 and 4,500 are held: another 0.8 BTC needs 3,600."""
    strategy = Holder(later=800)
    tape = moved(market().mark(S, 45_000 * E8), S, 449_999).mark(2 * S, 45_000 * E8)
    result = played(strategy, tape.depth(4 * S, (SELL, 600_000, 1)), tmp_path)
    assert strategy.reasons == [R_MARGIN] and result.summary["fills"] == 1
    little = Holder(later=100)
    tape = moved(market().mark(S, 45_000 * E8), S, 449_999).mark(2 * S, 45_000 * E8)
    result = played(little, tape.depth(4 * S, (SELL, 600_000, 1)), tmp_path)
    assert little.reasons == [] and result.summary["fills"] == 2


def account(deposit: int, accounts: int = 1) -> Ledger:
    """Accounts in BTCUSDT at 10x."""
    ledger = Ledger(accounts, 1, 1)
    ledger.configure_market(0, 0, *LINEAR, 0, 0, 12_500_000_000, BTCUSDT_BRACKETS)
    for number in range(accounts):
        ledger.deposit(number, 0, deposit * E8)
        ledger.set_leverage(number, 0, 10)
    return ledger


def test_deleveraging_closes_the_same_lots_on_both_sides() -> None:
    """A bankrupt long of 1 against a winning short of 5: 1 is closed, at the bankruptcy price, and 4 stay."""
    ledger = account(10_000, accounts=2)
    ledger.set_mark(0, 50_000 * E8)
    ledger.fill(0, 0, BUY, 500_000, 1000, LIQ_NONE)
    ledger.fill(1, 0, SELL, 500_000, 1000, LIQ_NONE)
    ledger.deposit(1, 0, 40_000 * E8)
    ledger.fill(1, 0, SELL, 500_000, 4000, LIQ_NONE)
    ledger.set_mark(0, 30_000 * E8)
    at = ledger.bankruptcy_ticks(0, 0)
    assert ledger.adl(0, 1, 0, SELL, at, 1000) and at == 400_000
    assert (ledger.position(0, 0), ledger.position(1, 0)) == (0, -4000)
    assert (ledger.wallet(0, 0), ledger.wallet(1, 0)) == (0, 60_000 * E8)
    assert ledger.last_cause == codes.CAUSE_ADL and ledger.total_e8(0) == ledger.deposited_e8(0)
    assert not ledger.adl(0, 1, 0, SELL, at, 1000), "what is closed cannot be closed again"


def test_the_insurance_fund_gets_the_fee_and_what_is_left() -> None:
    """Liquidated at a mark of 40,100: sold there, 1.25 % of the value would be more than the 100 left, so 100."""
    ledger = account(10_000)
    ledger.set_mark(0, 50_000 * E8)
    ledger.fill(0, 0, BUY, 500_000, 1000, LIQ_NONE)
    ledger.set_mark(0, 40_100 * E8)
    assert ledger.is_liquidatable(0)
    ledger.fill(0, 0, SELL, 401_000, 1000, LIQ_NONE)
    assert ledger.liquidation_fee(0, 0, 401_000, 1000) == 100 * E8
    assert ledger.wallet(0, 0) == 0 and ledger.arrays["pool_insurance"][0] == 100 * E8
    assert ledger.total_e8(0) == ledger.deposited_e8(0)


def test_the_fund_pays_for_what_an_account_cannot() -> None:
    """Taken over at 40,000 with the mark at 30,000: 10,000 of the fund's money, and every unit accounted for."""
    ledger = account(10_000)
    ledger.set_mark(0, 50_000 * E8)
    ledger.fill(0, 0, BUY, 500_000, 1000, LIQ_NONE)
    ledger.set_mark(0, 30_000 * E8)
    assert ledger.takeover(0, 0) == 1000
    assert ledger.wallet(0, 0) == 0 and ledger.arrays["pool_insurance"][0] == -10_000 * E8
    assert ledger.total_e8(0) == ledger.deposited_e8(0)


@pytest.mark.parametrize("side", [BUY, SELL])
def test_every_closing_price_moves_equity_by_its_own_amount(side: int) -> None:
    """Realised profit is what was asked and paid to the last 1e-8, in integers: 0.333 at 49,999.9, out in thirds."""
    ledger = account(10_000)
    ledger.set_mark(0, 50_000 * E8)
    ledger.fill(0, 0, side, 499_999, 333, LIQ_NONE)
    for _ in range(3):
        ledger.fill(0, 0, BUY if side == SELL else SELL, 500_002, 111, LIQ_NONE)
    gain = 333 * 3 * 10_000
    assert ledger.wallet(0, 0) - 10_000 * E8 == (gain if side == BUY else -gain)
