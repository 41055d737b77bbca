"""Accounting: fills, flips, fees, funding and the zero sum, against worked examples and exact fractions."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from matching import build_info
from matching.arith import CEIL, FLOOR, HALF_EVEN, TRUNC
from matching.codes import BUY, CAUSE_ADL, E8, E12, LIQ_MAKER, LIQ_NONE, LIQ_TAKER, SELL
from matching.ledger import Ledger

ROOT = Path(__file__).resolve().parents[2]
MAKER, TAKER = 200_000_000, 500_000_000  # 0.02 %, 0.05 %


@dataclass(frozen=True)
class Spec:
    """A market as the ledger is told it, and its exact arithmetic."""

    asset: int
    inverse: bool
    value_num: int
    value_den: int
    lot_num: int
    lot_den: int
    price_e8_per_tick: Fraction
    maker: int = MAKER
    taker: int = TAKER

    @property
    def entry_den(self) -> int:
        return 100 if self.inverse else self.value_den

    def configure(self, ledger: Ledger, m: int, **options: Any) -> None:
        numbers = (self.value_num, self.value_den, self.lot_num, self.lot_den, self.maker, self.taker)
        ledger.configure_market(m, self.asset, self.inverse, *numbers, **options)

    def value(self, ticks: int, lots: int) -> Fraction:
        """Exact value in 1e-8."""
        if self.inverse:
            return Fraction(lots * self.value_num, ticks * self.value_den)
        return Fraction(ticks * lots * self.value_num, self.value_den)

    def at_mark(self, lots: int, mark_e8: int) -> Fraction:
        if self.inverse:
            return Fraction(lots * self.lot_num * E8, mark_e8 * self.lot_den)
        return Fraction(lots * mark_e8 * self.lot_num, self.lot_den)


USDT, BTC = 0, 1
LINEAR = Spec(USDT, False, 10_000, 1, 1, 1000, Fraction(E8, 10))  # BTCUSDT: tick 0.1, lot 0.001
FINE = Spec(USDT, False, 1, 100, 1, 1000, Fraction(10), maker=-50_000_000)  # tick 1e-7, lot 0.001: a fill below 1e-8
INVERSE = Spec(BTC, True, 10**11, 1, 10**10, 1, Fraction(E8, 10))  # BTCUSD_PERP: contracts of 100 USD, tick 0.1
SPECS = (LINEAR, FINE, INVERSE)


def make(*specs: Spec, accounts: int = 1, deposit_e8: int = 10**6 * E8) -> Ledger:
    ledger = Ledger(accounts, len(specs), 2)
    for m, spec in enumerate(specs):
        spec.configure(ledger, m)
    for account in range(accounts):
        for asset in (USDT, BTC):
            ledger.deposit(account, asset, deposit_e8)
    return ledger


# -- worked examples, to be checked by hand


@dataclass(frozen=True)
class Example:
    """Fills (side, price, size) of one account, then what it realised and paid, in the asset's own decimals."""

    name: str
    spec: Spec
    fills: tuple[tuple[int, str, str], ...]
    realized: str
    fees: str
    position_lots: int
    entry_price: str


EXAMPLES = (
    Example(
        "buy, then sell at a profit", LINEAR,
        ((BUY, "30000.0", "1"), (SELL, "30100.0", "1")), "100", "30.05", 0, "0",
    ),
    Example(
        "short, then cover at a loss", LINEAR,
        ((SELL, "30000.0", "1"), (BUY, "30100.0", "1")), "-100", "30.05", 0, "0",
    ),
    Example(
        "two buys average, a part is sold", LINEAR,
        ((BUY, "30000.0", "1"), (BUY, "30200.0", "3"), (SELL, "30250.0", "2")), "200", "90.55", 2000, "30150",
    ),
    Example(
        "a flip closes at the old entry and opens at the new price", LINEAR,
        ((BUY, "30000.0", "1"), (SELL, "30100.0", "3")), "100", "60.15", -2000, "30100",
    ),
    # 0.001 at 30000.1 and 0.002 at 30000.3; a third of 90.0007 is 30.0002(33): half-even at 1e-8
    Example(
        "a share of the entry value is rounded at 1e-8", LINEAR,
        ((BUY, "30000.1", "0.001"), (BUY, "30000.3", "0.002"), (SELL, "30000.0", "0.001")),
        "-0.00023333", "0.060000350", 2, "30000.233335",
    ),
    # 100 contracts of 100 USD: 10000/30000 - 10000/40000 BTC = 0.08333333(33), fees (0.33333333 + 0.25) * 0.0005
    Example(
        "inverse long", INVERSE,
        ((BUY, "30000.0", "100"), (SELL, "40000.0", "100")), "0.08333333", "0.00029167", 0, "0",
    ),
    Example(
        "inverse short", INVERSE,
        ((SELL, "40000.0", "100"), (BUY, "30000.0", "100")), "0.08333333", "0.00029167", 0, "0",
    ),
)  # fmt: skip


def number_e8(text: str) -> int:
    return round(Fraction(text) * E8)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_worked_examples(example: Example) -> None:
    ledger, spec = make(example.spec), example.spec
    for side, price, size in example.fills:
        ticks = Fraction(price) * E8 / spec.price_e8_per_tick
        lots = Fraction(size) if spec.inverse else Fraction(size) * spec.lot_den / spec.lot_num
        assert ticks.denominator == lots.denominator == 1
        ledger.fill(0, 0, side, int(ticks), int(lots), LIQ_TAKER)
    assert ledger.realized_e8(0, spec.asset) == number_e8(example.realized)
    assert ledger.fees_e8(0, spec.asset) == number_e8(example.fees)
    assert ledger.position(0, 0) == example.position_lots
    assert ledger.entry_price_e8(0, 0) == number_e8(example.entry_price)
    wallet = 10**6 * E8 + ledger.realized_e8(0, spec.asset) - ledger.fees_e8(0, spec.asset)
    assert ledger.wallet(0, spec.asset) == wallet


@pytest.mark.parametrize(
    ("spec", "lots", "mark", "rate", "payment"),
    [
        (LINEAR, 1_000_000, "30000", "0.0001", "-3000"),  # 1,000 BTC long pay 0.01 % of 30 million
        (LINEAR, -1_000_000, "30000", "0.0001", "3000"),
        (LINEAR, 1000, "28155.1", "-0.0000276", "0.77708076"),
        (LINEAR, 1, "28155.12345678", "0.0001", "-0.00281551"),  # 0.00281551(23): half-even
        (INVERSE, 100, "40000", "0.0001", "-0.000025"),  # 10,000 USD are 0.25 BTC
        (INVERSE, -30, "30000", "0.0001", "0.00001"),
        (INVERSE, -30, "30000", "0", "0"),
    ],
)
def test_funding_payments(spec: Spec, lots: int, mark: str, rate: str, payment: str) -> None:
    ledger = make(spec)
    paid = ledger.funding(0, 0, lots, number_e8(mark), round(Fraction(rate) * E12))
    assert paid == number_e8(payment) == ledger.funding_e8(0, spec.asset)
    assert ledger.wallet(0, spec.asset) == 10**6 * E8 + paid
    assert ledger.funding_pool[spec.asset] == -paid


@pytest.mark.parametrize(("rounding", "expected"), [(FLOOR, -3), (CEIL, -2), (TRUNC, -2), (HALF_EVEN, -2)])
def test_a_market_may_round_in_its_own_direction(rounding: int, expected: int) -> None:
    ledger = Ledger(1, 1, 1)
    ledger.configure_market(0, 0, False, 1, 1, 1, 1, 0, E12 // 2, fee_rounding=rounding, funding_rounding=rounding)
    assert ledger.funding(0, 0, 1, 5, E12 // 2) == expected
    assert ledger.fill(0, 0, BUY, 5, 1, LIQ_TAKER) == {FLOOR: 2, CEIL: 3, TRUNC: 2, HALF_EVEN: 2}[rounding]


def test_rebates_and_fees_decided_elsewhere() -> None:
    ledger = make(FINE)
    assert ledger.fill(0, 0, BUY, 2_000_000, 1_000_000, LIQ_MAKER) == -1_000_000
    assert ledger.fill_with_fee(0, 0, BUY, 2_000_000, 1_000_000, 77) == 77
    assert ledger.fees_e8(0, USDT) == ledger.venue_fees[USDT] == -999_923
    assert ledger.fill(0, 0, SELL, 2_000_000, 1, LIQ_NONE) == 0


def test_deleveraging_names_both_sides_and_charges_nothing() -> None:
    ledger = make(LINEAR, accounts=2)
    ledger.fill(0, 0, BUY, 300_000, 1000, LIQ_NONE)
    ledger.fill(1, 0, SELL, 310_000, 1500, LIQ_NONE)
    assert ledger.adl(0, 1, 0, SELL, 290_000, 1000)
    assert (ledger.position(0, 0), ledger.position(1, 0)) == (0, -500)
    assert (ledger.realized_e8(0, USDT), ledger.realized_e8(1, USDT)) == (-1000 * E8, 2000 * E8)
    assert ledger.venue_fees[USDT] == 0 and ledger.last_cause == CAUSE_ADL
    assert ledger.adl(-1, 1, 0, SELL, 290_000, 500)  # deleveraged for somebody outside
    assert ledger.position(1, 0) == 0 and ledger.failure() is None


@pytest.mark.parametrize(
    ("bankrupt", "counterparty", "lots"), [(0, 1, 501), (0, -1, 1001), (0, 0, 1), (-1, 1, 501), (1, 0, 1)]
)
def test_deleveraging_more_than_there_is_books_nothing(bankrupt: int, counterparty: int, lots: int) -> None:
    ledger = make(LINEAR, accounts=2)
    ledger.fill(0, 0, BUY, 300_000, 1000, LIQ_NONE)
    ledger.fill(1, 0, SELL, 310_000, 500, LIQ_NONE)
    before = {name: column.tolist() for name, column in ledger.arrays.items()}
    assert not ledger.adl(bankrupt, counterparty, 0, SELL, 290_000, lots)
    assert ledger.failed and before == {name: column.tolist() for name, column in ledger.arrays.items()}


# -- refusals


def test_a_fill_that_does_not_fit_books_nothing_and_says_so() -> None:
    ledger = make(LINEAR)
    before = {name: column.tolist() for name, column in ledger.arrays.items()}
    assert ledger.fill(0, 0, BUY, 1 << 31, 1 << 40, LIQ_TAKER) == 0
    assert before == {name: column.tolist() for name, column in ledger.arrays.items()}
    assert ledger.failure() == "ledger: a fill whose value, fee or profit does not fit (account 0, market 0)"
    with pytest.raises(OverflowError, match="market 0"):
        ledger.raise_if_failed()


@pytest.mark.parametrize(
    "act",
    [
        lambda ledger: ledger.fill(1, 0, BUY, 1, 1, LIQ_NONE),
        lambda ledger: ledger.fill(0, 1, BUY, 1, 1, LIQ_NONE),
        lambda ledger: ledger.fill(0, -1, BUY, 1, 1, LIQ_NONE),
        lambda ledger: ledger.fill(0, 0, BUY, 0, 1, LIQ_NONE),
        lambda ledger: ledger.fill(0, 0, BUY, 1, 0, LIQ_NONE),
        lambda ledger: ledger.fill(0, 0, BUY, 1, -1, LIQ_NONE),
        lambda ledger: ledger.set_mark(0, 0),
        lambda ledger: ledger.funding(0, 0, 1, 0, 1),
        lambda ledger: ledger.funding(0, 0, 1 << 50, 1 << 60, 1 << 39),
        lambda ledger: ledger.order_removed(0, 0, BUY, 1, 1),
        lambda ledger: ledger.wallet(0, 2),
        lambda ledger: ledger.position(-1, 0),
        lambda ledger: ledger.is_liquidatable(7),
    ],
)
def test_what_cannot_be_booked_fails(act: Callable[[Ledger], object]) -> None:
    ledger = make(LINEAR)
    assert ledger.failure() is None
    assert not act(ledger)
    assert ledger.failed and ledger.total_e8(USDT) == ledger.deposited_e8(USDT)


def test_a_sum_over_time_that_stops_fitting_fails() -> None:
    ledger = make(LINEAR)
    while not ledger.failed:
        ledger.fill_with_fee(0, 0, BUY, 1, 1, -(1 << 61))
    assert ledger.wallet(0, USDT) == 10**6 * E8 + 3 * (1 << 61)
    assert ledger.total_e8(USDT) == ledger.deposited_e8(USDT)


CONFIGURATION = {"m": 0, "asset": 0, "inverse": False, "value_num": 1, "value_den": 1, "lot_num": 1, "lot_den": 1}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"m": 1}, "does not exist"),
        ({"asset": 2}, "does not exist"),
        ({"value_num": 0}, "value_num is 0"),
        ({"lot_den": -1}, "lot_den is -1"),
        ({"value_den": 1 << 41}, "value_den"),
        ({"inverse": True, "lot_num": 1 << 60, "entry_scale": 8}, "lot_num \\* entry_den"),
        ({"taker_rate_e12": 10**12}, "taker_rate_e12"),
        ({"liquidation_rate_e12": -1}, "liquidation_rate_e12"),
        ({"fee_rounding": 4}, "rounding"),
    ],
)
def test_a_market_that_cannot_be_is_refused(changes: dict[str, Any], says: str) -> None:
    ledger = Ledger(1, 1, 2)
    with pytest.raises(ValueError, match=says):
        ledger.configure_market(**{**CONFIGURATION, "maker_rate_e12": 0, "taker_rate_e12": 0, **changes})


def test_other_refusals_of_the_configuration() -> None:
    ledger = make(LINEAR)
    ledger.fill(0, 0, BUY, 300_000, 1, LIQ_NONE)
    with pytest.raises(ValueError, match="already has a position"):
        LINEAR.configure(ledger, 0)
    with pytest.raises(ValueError, match="no such account"):
        ledger.deposit(0, 0, -1)
    with pytest.raises(OverflowError, match="would not fit"):
        ledger.deposit(0, 0, (1 << 62) - 1)
    with pytest.raises(ValueError, match="n_assets is 0"):
        Ledger(1, 1, 0)


# -- random operations against exact fractions


@dataclass
class Book:
    """The oracle's account in one market: exact cash flows, and the documented roundings written a second time."""

    spec: Spec
    position: int = 0
    entry: Fraction = Fraction(0)  # value paid, in 1e-8, on the documented grid
    realized: int = 0
    fees: int = 0
    funding: int = 0
    exact_cash: Fraction = Fraction(0)  # what fills have cost and brought, unrounded
    slack: Fraction = Fraction(0)  # the most that roundings so far may have moved equity
    mark_e8: int = 0

    def fill(self, side: int, ticks: int, lots: int, fee: int) -> None:
        spec, grid = self.spec, self.spec.entry_den
        sign = 1 if side == BUY else -1
        self.exact_cash += spec.value(ticks, lots) * (sign if spec.inverse else -sign)
        closing = min(lots, abs(self.position)) if self.position * sign < 0 else 0
        if closing:
            share = Fraction(round(self.entry * grid * closing / abs(self.position)), grid)
            left = Fraction(round(spec.value(ticks, closing) * grid), grid)
            profit = (left - share) * (1 if self.position > 0 else -1) * (-1 if spec.inverse else 1)
            self.realized += round(profit)
            self.entry -= share
            self.slack += Fraction(1, 2) + Fraction(1, 2 * grid)
        if lots > closing:
            self.entry += Fraction(round(spec.value(ticks, lots - closing) * grid), grid)
            self.slack += Fraction(1, 2 * grid)
        self.position += sign * lots
        self.fees += fee

    def unrealized(self) -> int:
        spec, grid = self.spec, self.spec.entry_den
        if not self.position or not self.mark_e8:
            return 0
        worth = Fraction(round(spec.at_mark(abs(self.position), self.mark_e8) * grid), grid)
        return round((worth - self.entry) * (1 if self.position > 0 else -1) * (-1 if spec.inverse else 1))

    def exact_equity(self) -> Fraction:
        """Cash flows and the position's worth, without any rounding but that of fees and funding."""
        worth = self.spec.at_mark(self.position, self.mark_e8) * (-1 if self.spec.inverse else 1) if self.mark_e8 else 0
        return self.exact_cash + worth - self.fees + self.funding


@dataclass
class Oracle:
    books: dict[tuple[int, int], Book] = field(default_factory=dict)
    deposits: dict[tuple[int, int], int] = field(default_factory=dict)

    def of(self, account: int, asset: int) -> list[Book]:
        return [book for (a, m), book in self.books.items() if a == account and SPECS[m].asset == asset]

    def wallet(self, account: int, asset: int) -> int:
        moves = sum(book.realized - book.fees + book.funding for book in self.of(account, asset))
        return self.deposits.get((account, asset), 0) + moves


accounts = st.integers(0, 1)
markets = st.integers(0, 2)


def fits(book: Book, lots: int, mark_e8: int) -> bool:
    """Whether a position's worth at the mark stays inside 64 bits; beyond, the ledger fails, as other tests show."""
    return mark_e8 == 0 or book.spec.at_mark(lots, mark_e8) * book.spec.entry_den < 1 << 62


class LedgerMachine(RuleBasedStateMachine):
    """Two accounts in three markets: every reading equals the oracle's, equity equals the exact cash flows."""

    @initialize()
    def start(self) -> None:
        self.ledger = Ledger(2, 3, 2)
        self.oracle = Oracle()
        for m, spec in enumerate(SPECS):
            spec.configure(self.ledger, m)
            for account in (0, 1):
                self.oracle.books[account, m] = Book(spec)

    @rule(account=accounts, asset=st.integers(0, 1), amount=st.integers(0, 10**14))
    def deposit(self, account: int, asset: int, amount: int) -> None:
        self.ledger.deposit(account, asset, amount)
        self.oracle.deposits[account, asset] = self.oracle.deposits.get((account, asset), 0) + amount

    @rule(
        account=accounts,
        m=markets,
        side=st.sampled_from((BUY, SELL)),
        ticks=st.integers(1, 10**6),
        lots=st.one_of(st.integers(1, 5), st.integers(1, 10**6)),
        liquidity=st.sampled_from((LIQ_NONE, LIQ_MAKER, LIQ_TAKER)),
    )
    def fill(self, account: int, m: int, side: int, ticks: int, lots: int, liquidity: int) -> None:
        spec, book = SPECS[m], self.oracle.books[account, m]
        ticks = max(ticks, 1000) if spec.inverse else ticks  # 9 million coins and more do not fit
        if not fits(book, abs(book.position) + lots, book.mark_e8):
            return
        rate = {LIQ_NONE: 0, LIQ_MAKER: spec.maker, LIQ_TAKER: spec.taker}[liquidity]
        fee = round(spec.value(ticks, lots) * rate / E12)
        realized = book.realized
        book.fill(side, ticks, lots, fee)
        assert self.ledger.fill(account, m, side, ticks, lots, liquidity) == fee
        assert self.ledger.last_realized_e8 == book.realized - realized

    @rule(account=accounts, m=markets, side=st.sampled_from((BUY, SELL)), ticks=st.integers(1, 10**6))
    def close_or_flip(self, account: int, m: int, side: int, ticks: int) -> None:
        position = self.oracle.books[account, m].position
        if position:
            lots = abs(position) if side == BUY else 2 * abs(position)
            self.fill(account, m, SELL if position > 0 else BUY, ticks, lots, LIQ_TAKER)

    @rule(m=markets, mark=st.integers(100 * E8, 10**14))
    def mark(self, m: int, mark: int) -> None:
        if not all(fits(book, abs(book.position), mark) for (_, k), book in self.oracle.books.items() if k == m):
            return
        self.ledger.set_mark(m, mark)
        for account in (0, 1):
            self.oracle.books[account, m].mark_e8 = mark

    @rule(account=accounts, m=markets, mark=st.integers(100 * E8, 10**14), rate=st.integers(-3 * 10**10, 3 * 10**10))
    def funding(self, account: int, m: int, mark: int, rate: int) -> None:
        book = self.oracle.books[account, m]
        payment = -round(SPECS[m].at_mark(book.position, mark) * rate / E12)
        assert self.ledger.funding(account, m, book.position, mark, rate) == payment
        book.funding += payment

    @invariant()
    def zero_sum(self) -> None:
        for asset in (USDT, BTC):
            assert self.ledger.total_e8(asset) == self.ledger.deposited_e8(asset)
            assert self.ledger.deposited_e8(asset) == sum(v for (_, s), v in self.oracle.deposits.items() if s == asset)

    @invariant()
    def readings_are_the_oracles(self) -> None:
        ledger = self.ledger
        assert ledger.failure() is None
        for (account, m), book in self.oracle.books.items():
            assert ledger.position(account, m) == book.position
            assert ledger.entry_value(account, m) == book.entry * SPECS[m].entry_den
            assert (book.position == 0) <= (book.entry == 0)
            assert ledger.unrealized_e8(account, m) == book.unrealized()
        for account in (0, 1):
            for asset in (USDT, BTC):
                books = self.oracle.of(account, asset)
                assert ledger.wallet(account, asset) == self.oracle.wallet(account, asset)
                assert ledger.realized_e8(account, asset) == sum(book.realized for book in books)
                assert ledger.fees_e8(account, asset) == sum(book.fees for book in books)
                assert ledger.funding_e8(account, asset) == sum(book.funding for book in books)

    @invariant()
    def equity_is_the_exact_cash_flow(self) -> None:
        for account in (0, 1):
            for asset in (USDT, BTC):
                books = self.oracle.of(account, asset)
                if any(book.position and not book.mark_e8 for book in books):
                    continue
                exact = self.oracle.deposits.get((account, asset), 0) + sum(book.exact_equity() for book in books)
                slack = sum(book.slack + Fraction(1, 2) + Fraction(1, 2 * book.spec.entry_den) for book in books)
                equity = self.ledger.equity_e8(account, asset)
                assert abs(equity - exact) <= slack
                if all(book.spec is LINEAR or not book.slack for book in books):  # nothing but the mark is rounded
                    assert abs(equity - exact) <= Fraction(len(books), 2)


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 10**5)), min_size=1, max_size=8), st.data())
@settings(max_examples=60, deadline=None)
def test_what_is_bought_and_sold_again_realises_exactly_the_difference(
    buys: list[tuple[int, int]], data: st.DataObject
) -> None:
    """However a position is closed, the parts add up: linear to the last digit, inverse within one for each part."""
    for spec in (LINEAR, INVERSE):
        ledger, cost, revenue, parts = make(spec), Fraction(0), Fraction(0), 0
        for ticks, lots in buys:
            ledger.fill(0, 0, BUY, ticks, lots, LIQ_NONE)
            cost += spec.value(ticks, lots)
        while ledger.position(0, 0):
            ticks = data.draw(st.integers(1, 10**6))
            lots = data.draw(st.integers((ledger.position(0, 0) + 3) // 4, ledger.position(0, 0)))
            ledger.fill(0, 0, SELL, ticks, lots, LIQ_NONE)
            revenue += spec.value(ticks, lots)
            parts += 1
        exact = cost - revenue if spec.inverse else revenue - cost
        realized = ledger.realized_e8(0, spec.asset)
        assert ledger.entry_value(0, 0) == 0
        assert abs(realized - exact) <= (parts if spec.inverse else 0)


# -- compiled against uncompiled


def test_compiled_and_uncompiled_ledgers_agree_on_every_state() -> None:
    if not build_info()["modules"]["matching.ledger"]["path"].endswith((".so", ".pyd")):
        pytest.skip("the kernels of this process are not compiled, so there is nothing to compare")
    command = [sys.executable, str(ROOT / "tests" / "tools" / "ledger_walk.py"), "11", "4000", "250"]
    outputs = [
        subprocess.run(command, env={**os.environ, "PERPSIM_PURE": pure}, capture_output=True, text=True, check=True)
        for pure in ("0", "1")
    ]
    compiled, uncompiled = (output.stdout.splitlines() for output in outputs)
    assert len(compiled) == 16
    assert compiled == uncompiled


def test_the_state_hash_sees_every_column() -> None:
    ledger = make(*SPECS)
    seen = {ledger.state_hash()}
    for name, column in ledger.arrays.items():
        column[-1] += 1
        seen.add(ledger.state_hash())
        column[-1] -= 1
        assert ledger.state_hash() in seen, name
    assert len(seen) == len(ledger.arrays) + 1
