"""Marks and funding computed while a run goes: against the formulas written out here, and never ahead of the venue."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import sim.assembly
from matching.codes import BUY, MARK, SELL
from sim.strategy import Strategy
from tests.sim.markets import MS, T0, S, Tape, run
from venues import card
from venues.errors import InputError
from venues.rules import Fact, RuleCard

E8 = 10**8
HOUR = 3600 * S
FIVE = 5 * S
BOUNDARY = (T0 // (8 * HOUR) + 1) * 8 * HOUR  # 2025-06-15 16:00 UTC, 3,200 s after T0


class Holder(Strategy):
    """Holds a position from one instant on (and closes it), and writes down every mark that it is told of."""

    def __init__(self, lots: int = 10, at_ns: int = T0 + S, close_ns: int | None = None) -> None:
        self.lots, self.at_ns, self.close_ns = lots, at_ns, close_ns
        self.seen: list[tuple[int, int, int, int, int]] = []

    def on_start(self) -> None:
        self.ctx.at(self.at_ns, lambda: self.trade(self.lots))
        if self.close_ns is not None:
            self.ctx.at(self.close_ns, lambda: self.trade(-self.lots))

    def trade(self, lots: int) -> None:
        self.ctx.market(0, BUY if lots > 0 else SELL, abs(lots))

    def on_mark(self, i: int) -> None:
        book = self.ctx.book(i)
        self.seen.append((self.ctx.now_ns, book.mark_e8, book.index_e8, book.funding_rate_e12, book.next_funding_ns))


def index_at(tape: Tape, at_ns: int, index_e8: int) -> None:
    tape.add(at_ns, MARK, [], (0, index_e8, 0, 0), None)


def quiet(seconds: int, every: int = 60, index_e8: int = 100 * E8, lots: int = 400_000) -> Tape:
    """Bids to 100.0 and asks from 100.1, the index now and then."""
    tape = Tape().snapshot(0, 1000, 1001, lots=lots)
    tape.trade(500 * MS, BUY, 1001, 1)
    for second in range(0, seconds, every):
        index_at(tape, second * S + 1, index_e8)
    return tape.depth(seconds * S, (BUY, 900, 1))


def document(name: str = "binance_usdm", **instrument: Any) -> dict[str, Any]:
    one = {"symbol": "BTCUSDT", "margin": "none", "tick_size": "0.1", "lot_size": "0.001", **instrument}
    return {
        "venue": [{"name": name, "latency": "10ms", "fees": {"maker": 0, "taker": 0}}],
        "instrument": [{"mark": "computed", "funding": "computed", **one}],
    }


def with_card(monkeypatch: pytest.MonkeyPatch, changed: RuleCard) -> None:
    monkeypatch.setattr(sim.assembly, "card", lambda name: changed)


def test_a_rate_computed_from_the_book(tmp_path: Path) -> None:
    """A premium of -0.1 % until 1,600 s, then one of 0.3 %: weights are the samples' places in the eight hours.

    The notional of 30,000 USDT needs both ask levels below the index: 200 coins at 99.8, the rest at 99.9.
    """
    tape = Tape().snapshot(0, 997, 998, lots=200_000)
    tape.trade(500 * MS, SELL, 997, 1)
    for second in range(0, 3210, 10):
        index_at(tape, second * S + 1, 100 * E8)
    tape.snapshot(1600 * S + 1, 1003, 1004, lots=400_000).trade(1601 * S, BUY, 1004, 1)
    tape.depth(3205 * S, (BUY, 900, 1))
    strategy = Holder()
    result = run(strategy, tape, tmp_path, **document())
    (row,) = result.funding.rows(named=True)
    coins = 200 + (30_000 - 200 * Fraction("99.8")) / Fraction("99.9")
    low, high = (30_000 / coins - 100) / 100, Fraction("100.3") / 100 - 1
    times = range(T0 + FIVE, BOUNDARY + 1, FIVE)
    weights = [5760 - (BOUNDARY - ts) // FIVE for ts in times]
    premiums = [low if ts <= T0 + 1600 * S else high for ts in times]
    average = sum(w * p for w, p in zip(weights, premiums, strict=True)) / sum(weights)
    rate = average + max(Fraction("-0.0005"), min(Fraction("0.0001") - average, Fraction("0.0005")))
    assert row["boundary_ns"] == row["booked_ns"] == BOUNDARY
    assert row["rate_e12"] == round(rate * 10**8) * 10_000 != 0
    # the mark: index * (1 + nothing) at the boundary itself, index + basis of 0.35, last trade 100.4
    assert row["mark_e8"] == 10_035_000_000
    assert row["payment_e8"] == -round(Fraction(10, 1000) * row["mark_e8"] * row["rate_e12"] / 10**12)
    texts = {line.topic: line.text for line in result.banner}
    assert "rests on 640 of 5,760 premium samples" in texts["Note"]
    assert "premiums each 5s" in texts["Funding"] and "index_and_average_basis" in texts["Mark price"]


def test_what_is_computed_is_seen_a_latency_after_the_venue_knows_it(tmp_path: Path) -> None:
    """The mark of each second arrives 10 ms after it; the forecast changes at whole minutes, the boundary with it."""
    strategy = Holder()
    run(strategy, quiet(200, every=1000), tmp_path, **document())
    published = strategy.seen[1:]  # the first is the index message itself
    assert [row[0] for row in published] == [T0 + second * S + 10 * MS for second in range(1, len(published) + 1)]
    assert len(published) >= 195
    # P2 = 100.0 + 0.05 and the last trade 100.1; until the first premium, after the mark of 5 s, P1 has no rate
    assert [row[1] for row in published] == [10_007_500_000] * 5 + [10_005_000_000] * (len(published) - 5)
    assert {row[2] for row in published} == {100 * E8}
    # T0 is 15:06:40: the first whole minute is 20 s later
    assert [row[3] for row in published[:19]] == [0] * 19
    assert published[19][3] == 10**8 and {row[4] for row in published} == {BOUNDARY}


def test_a_timer_sees_what_has_arrived_and_no_more(tmp_path: Path) -> None:
    """Nobody listens to marks here: looking at the book gives the last value that was published 10 ms ago or longer."""

    class Looker(Strategy):
        def on_start(self) -> None:
            self.looks: list[tuple[int, int]] = []
            self.ctx.every("1ms", self.look)

        def look(self) -> None:
            self.looks.append((self.ctx.now_ns - T0, self.ctx.book(0).mark_e8))

    tape = quiet(4, every=1000)
    tape.depth(1500 * MS, (BUY, 1000, 0))  # the best bid falls to 99.9: the mean basis of 2 s is 0.025
    strategy = Looker()
    run(strategy, tape, tmp_path, **document(funding="none"))
    first = next(at for at, mark in strategy.looks if mark)
    assert first == S + 10 * MS
    changes = [
        at for (at, mark), (_, before) in zip(strategy.looks[1:], strategy.looks, strict=False) if mark != before
    ]
    assert changes == [S + 10 * MS, 2 * S + 10 * MS, 3 * S + 10 * MS]


def test_recorded_marks_and_computed_funding(tmp_path: Path) -> None:
    """Each is its own choice: here the mark is what the messages say, the rate what the book gives."""
    tape = quiet(3210)
    for second in range(0, 3205, 60):
        tape.mark(second * S + 2, 99 * E8, 77 * 10**8, BOUNDARY)
    strategy = Holder()
    result = run(strategy, tape, tmp_path, **document(mark="recorded"))
    (row,) = result.funding.rows(named=True)
    assert row["mark_e8"] == 99 * E8 and 0 < row["rate_e12"] != 77 * 10**8
    assert 99 * E8 in {seen[1] for seen in strategy.seen} and 77 * 10**8 not in {seen[3] for seen in strategy.seen}


def test_computed_marks_and_a_table_of_rates(tmp_path: Path) -> None:
    """The mark takes the table's rate and boundaries: 100 * (1 + 0.01 * 3200 / 28800) while the others are higher."""
    table = tmp_path / "funding.csv"
    table.write_text(f"time,rate\n{BOUNDARY},0.01\n")
    prices = tmp_path / "index.csv"
    prices.write_text(f"time,oraclePx\n{T0 - S},100\n{T0 + 2000 * S},99\n")
    tape = Tape().snapshot(0, 1020, 1021).trade(500 * MS, BUY, 1015, 1).depth(3210 * S, (BUY, 900, 1))
    strategy = Holder()
    result = run(strategy, tape, tmp_path / "runs", **document(funding=str(table), index=str(prices)))
    (row,) = result.funding.rows(named=True)
    assert (row["rate_e12"], row["boundary_ns"]) == (10**10, BOUNDARY)
    marks = {at - T0: mark for at, mark, *_ in strategy.seen}
    # P1 = 100 * (1 + 0.01 * 3199 / 28800) = 100.111, P2 = 102.05, last 101.5
    assert marks[S + 10 * MS] == 10_150_000_000
    index = {at - T0: index for at, _, index, *_ in strategy.seen}
    assert index[1999 * S + 10 * MS] == 100 * E8 and index[2000 * S + 10 * MS] == 99 * E8


@pytest.mark.parametrize(("opened", "charged"), [(5, True), (20, False)])
@pytest.mark.parametrize("source", ["table", "recorded", "computed"])
def test_a_venue_that_charges_late_charges_who_came_late(
    tmp_path: Path, source: str, opened: int, charged: bool
) -> None:
    """With a drift of 15 s a position opened 5 s after the boundary pays for it; the boundary stays the boundary."""
    tape = quiet(3300)
    funding = source
    if source == "table":
        funding = str(tmp_path / "funding.csv")
        (tmp_path / "funding.csv").write_text(f"time,rate\n{BOUNDARY},0.0001\n")
    if source == "recorded":
        for second in range(0, 3300, 10):
            at = T0 + second * S
            tape.mark(second * S + 2, 100 * E8, 10**8, BOUNDARY if at < BOUNDARY else BOUNDARY + 8 * HOUR)
    mark = "recorded" if source == "recorded" else "computed"
    strategy = Holder(at_ns=BOUNDARY + opened * S)
    options = document(funding=funding, mark=mark, funding_drift="15s")
    result = run(strategy, tape, tmp_path / "runs", **options)
    assert len(result.funding) == charged
    if charged:
        row = result.funding.row(0, named=True)
        assert (row["boundary_ns"], row["booked_ns"]) == (BOUNDARY, BOUNDARY + 15 * S)
        assert row["position_lots"] == 10 and row["rate_e12"] == 10**8
    early = run(
        Holder(close_ns=BOUNDARY + opened * S),
        quiet(3300) if source != "recorded" else tape,
        tmp_path / "again",
        **options,
    )
    assert len(early.funding) == (not charged), "closed within the drift: nothing is held when the venue charges"


def test_a_rate_at_its_bound_makes_the_interval_hourly(tmp_path: Path) -> None:
    """100 % above the index at 16:00: the cap of 0.3 % is paid, and from then on every hour, an eighth of it."""
    tape = quiet(3200 + 2 * 3600 + 60, index_e8=50 * E8)
    result = run(Holder(), tape, tmp_path, **document(mark="mid"))
    assert result.funding["boundary_ns"].to_list() == [BOUNDARY, BOUNDARY + HOUR, BOUNDARY + 2 * HOUR]
    assert result.funding["rate_e12"].to_list() == [3 * 10**9] * 3


def test_bybit_weighs_by_the_minute_and_excludes_its_majors(tmp_path: Path) -> None:
    """BTCUSDT stays at eight hours whatever its rate; the damper is not scaled."""
    tape = quiet(3200 + 3600 + 60, index_e8=100 * E8)
    options = document("bybit_linear", mark="mid")
    result = run(Holder(lots=100), tape, tmp_path, **options)
    assert result.funding["boundary_ns"].to_list() == [BOUNDARY]
    assert result.funding["rate_e12"].to_list() == [10**8]


def test_a_gap_gives_no_premium(tmp_path: Path) -> None:
    """While the book is stale nothing is sampled: the note counts what there is."""
    tape = quiet(3210)
    tape.gap(1000 * S).snapshot(2000 * S, 1000, 1001, lots=400_000)
    result = run(Holder(), tape, tmp_path, **document())
    # 640 fives in 3,200 s; those from 1,005 s to 2,000 s are lost: the one at 1,000 s still sees the book before it
    assert any("rests on 440 of 5,760" in line.text for line in result.banner)


def test_without_an_index_a_held_position_stops_the_run(tmp_path: Path) -> None:
    tape = Tape().snapshot(0, 1000, 1001, lots=400_000).depth(3210 * S, (BUY, 900, 1))
    with pytest.raises(
        InputError, match=r"BTCUSDT: field .funding.: is due at 2025-06-15T16:00:00Z .* no premium could be sampled"
    ):
        run(Holder(), tape, tmp_path, **document(mark="mid"))
    flat = run(Holder(close_ns=T0 + 5 * S), tape, tmp_path, **document(mark="mid"))
    assert len(flat.funding) == 0
    funding = next(line for line in flat.banner if line.topic == "Funding")
    assert "0 of 1 funding times covered" in funding.text and funding.level == "warn"


@pytest.mark.parametrize(
    ("instrument", "words"),
    [
        ({"book": "l1"}, "impact prices need a book"),
        ({"symbol": "XYZUSDT"}, "impact notional needs an initial margin rate"),
        ({"index": "nowhere.csv"}, "cannot be read"),
        ({"funding_drift": "-1s"}, "funding_drift"),
    ],
)
def test_what_cannot_be_computed_is_refused(tmp_path: Path, instrument: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        run(Holder(), quiet(10), tmp_path, **document(**instrument))


def test_the_neutral_card_has_no_formula(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no mark formula"):
        run(Holder(), quiet(10), tmp_path, **document("neutral"))
    with pytest.raises(InputError, match="no funding formula"):
        run(Holder(), quiet(10), tmp_path, **document("neutral", mark="mid"))


# -- at the oracle, lazily, continuously


def test_hyperliquid_charges_at_the_oracle_in_whole_millionths(tmp_path: Path) -> None:
    """The hour to 16:00: premium (100 - 99.9) / 99.9; the 8 h rate less the damper, an eighth of it, toward zero."""
    tape = quiet(3210, index_e8=9_990_000_000)
    result = run(Holder(lots=107), tape, tmp_path, **document("hyperliquid"))  # 10.7 USD: less is refused
    (row,) = result.funding.rows(named=True)
    rate = (Fraction("0.1") / Fraction("99.9") - Fraction("0.0005")) / 8
    assert row["rate_e12"] == round(rate * 10**10) * 100
    assert row["mark_e8"] == 9_990_000_000, "the price of the payment is the oracle"
    paid = Fraction(107, 1000) * Fraction("99.9") * Fraction(row["rate_e12"], 10**12) * 10**6
    assert row["payment_e8"] == -(paid.numerator // paid.denominator) * 100 < 0


def accruing(monkeypatch: pytest.MonkeyPatch, accrual: str, **facts: Any) -> RuleCard:
    base = card("binance_usdm")
    changed: dict[str, Any] = {name: Fact(value, "test") for name, value in {"accrual": accrual, **facts}.items()}
    found = replace(base, funding=replace(base.funding, tables=(), **changed))
    with_card(monkeypatch, found)
    return found


def test_lazy_funding_is_booked_when_the_account_trades(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hour's payment counts in equity at the boundary and reaches the wallet with the next fill."""
    accruing(monkeypatch, "lazy_index", interval_ns=HOUR, interval_choices_ns=(HOUR,))
    tape = quiet(3300, index_e8=50 * E8)
    strategy = Holder(close_ns=BOUNDARY + 30 * S)
    result = run(strategy, tape, tmp_path, **document(mark="mid"))
    (row,) = result.funding.rows(named=True)
    assert row["booked_ns"] == BOUNDARY + 30 * S + 10 * MS and row["position_lots"] == 10
    paid = -round(Fraction(10, 1000) * 10_005_000_000 * Fraction("0.02"))
    assert row["payment_e8"] == paid
    equity = {r["ts_ns"]: (r["wallet_e8"], r["equity_e8"]) for r in result.equity.rows(named=True)}
    before, after = equity[BOUNDARY - S], equity[BOUNDARY + S]
    assert after[0] == before[0] and after[1] - before[1] == paid
    assert result.summary["funding_e8"] == paid and result.summary["wallet_e8"] == strategy.ctx.balance_e8(0)


def test_continuous_funding_accrues_by_the_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1 % over the index, less the dead band, of which 3,198 seconds count: booked at the venue's hour."""
    accruing(
        monkeypatch, "continuous", premium="mark", premium_sample_ns=S, interest_e12=0, damp_e12=25 * 10**7,
        divide="none", settle_ns=16 * HOUR, rate_unit_e12=1, cap_rule="none",
    )  # fmt: skip
    monkeypatch.setattr("venues.funding.weights_of", lambda *_: "instantaneous")
    tape = quiet(3230, index_e8=9_905_940_594)
    result = run(Holder(), tape, tmp_path, **document(mark="mid"))
    (row,) = result.funding.rows(named=True)
    assert row["booked_ns"] == BOUNDARY
    mark, index = 10_005_000_000, 9_905_940_594
    rate = round((Fraction(mark - index, index) - Fraction("0.00025")) * 10**12)
    # bought just after 1 s: the samples from 2 s to the boundary charge for the second before each
    expected = -Fraction(10, 1000) * mark * rate * 3199 / (8 * 3600) / 10**12
    assert abs(row["payment_e8"] - expected) <= 1
    assert result.summary["funding_e8"] == row["payment_e8"]


def test_dydx_takes_the_median_of_votes_and_settles_with_the_next_fill(tmp_path: Path) -> None:
    """Oracle 100, asks at 99.5: every vote is -5,000 ppm, so is the hour, of which an eighth is received lazily.

    The notional is 500 USDC / 2 % = 25,000; the payment is -(-0.000625) * 100 * 0.010, rounded down in whole 1e-6.
    """
    tape = Tape().snapshot(0, 994, 995, lots=3_000_000).trade(500 * MS, BUY, 995, 1)
    for second in range(0, 3300, 10):
        index_at(tape, second * S + 1, 100 * E8)
    tape.depth(3310 * S, (BUY, 900, 1))
    options = document("dydx", symbol="BTC-USD", base="BTC", quote="USD", settle="USDC", lot_size="0.0001")
    strategy = Holder(lots=101, close_ns=BOUNDARY + 60 * S)
    result = run(strategy, tape, tmp_path, **options)
    (row,) = result.funding.rows(named=True)
    after = row["booked_ns"] - BOUNDARY - 60 * S
    assert 10 * MS <= after < S, "with the block that the closing order comes in"
    assert row["position_lots"] == 101
    assert row["payment_e8"] == 63_100  # 0.00063125 down to 0.000631
    assert row["mark_e8"] == 100 * E8, "there is no mark beside the oracle"


def test_deribit_accrues_in_coin_on_its_own_mark(tmp_path: Path) -> None:
    """The book 0.2 % above the index: mark = index + smoothed basis; 0.175 % of 8 hours accrue each second, in BTC."""
    tape = Tape().snapshot(0, 100_200, 100_201, lots=400_000).trade(500 * MS, BUY, 100_201, 1)
    for second in range(0, 3600, 10):
        index_at(tape, second * S + 1, 50_000 * E8)
    tape.depth(3600 * S, (BUY, 900, 1))
    options = document(
        "deribit", symbol="BTC-PERPETUAL", base="BTC", quote="USD", settle="BTC", inverse=True, tick_size="0.5",
        lot_size="1", contract_size="10",
    )  # fmt: skip
    strategy = Holder(lots=1000)
    result = run(strategy, tape, tmp_path, **options)
    assert len(result.funding) == 0, "08:00 UTC is not in the run"
    marks = {mark for _, mark, *_ in strategy.seen[5:]}
    assert marks == {50_100_50000000}, "the last trade, 50,100.5, lies within bid and ask"
    rate = Fraction(100_5, 500_000) - Fraction("0.00025")
    equity = result.equity.rows(named=True)
    at = {row["ts_ns"]: row["equity_e8"] for row in equity}
    accrued = at[BOUNDARY + 100 * S] - at[BOUNDARY]
    exact = -Fraction(10_000 * 10**8) / Fraction("50100.5") * rate * 100 / (8 * 3600)
    assert abs(accrued - exact) <= 1 and accrued < -10
    assert result.summary["wallet_e8"] == 0 and result.summary["equity_e8"] < 0


def test_okx_and_binance_coinm_compute_too(tmp_path: Path) -> None:
    """OKX: rising weights by the minute, no cap known; COIN-M: the impact notional is one of contracts' dollars."""
    okx = document("okx", symbol="BTC-USDT-SWAP", base="BTC", quote="USDT", settle="USDT")
    (row,) = run(Holder(), quiet(3210), tmp_path / "okx", **okx).funding.rows(named=True)
    assert row["rate_e12"] == 10**8
    tape = Tape().snapshot(0, 606_000, 606_001, lots=200, levels=3).trade(500 * MS, BUY, 606_001, 1)
    for second in range(0, 3210, 10):
        index_at(tape, second * S + 1, 60_000 * E8)
    tape.depth(3210 * S, (BUY, 900, 1))
    coinm = document("binance_coinm", symbol="BTCUSD_PERP", inverse=True, lot_size="1", contract_size="100")
    (row,) = run(Holder(), tape, tmp_path / "coinm", **coinm).funding.rows(named=True)
    # 200 USD / (1 / 125) = 25,000: 200 contracts of 100 at 60,600.0, 50 at 60,599.9
    coins = 20_000 / Fraction("60600") + 5_000 / Fraction("60599.9")
    assert row["rate_e12"] == round((25_000 / coins / 60_000 - 1 - Fraction("0.0005")) * 10**8) * 10_000
