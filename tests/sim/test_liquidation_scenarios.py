"""What quotes and marks do to a leveraged position, for every venue's card and three kinds of feed.

A position of one coin at 50,000 with 12 % of it as margin and a maintenance rate of 1 %: it is due below about 44,450
(linear) or 45,090 (inverse), and bankrupt near 44,000 or 44,640. A venue liquidates by its mark: a wick of quotes does
nothing, a fall of the mark alone does, and a gap through the bankruptcy price leaves no balance below zero.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from matching.codes import BUY, CAUSE_TAKEOVER, EV_ADL, EV_LIQUIDATED, PRICE_MARK, SELL
from sim.backtest import Result, backtest
from sim.strategy import Fill, Liquidation, Order, Strategy
from tests.sim.markets import MS, T0, S, Tape
from venues import card, card_names
from venues.errors import InputError

E8 = 10**8
CARDS = [name for name in card_names() if card(name).liquidation.procedure.value != "none"]
FEEDS = ("l2", "l2 without trades", "quotes")
BRACKETS = "floor,cap,max_leverage,rate\n0,10000000,10,0.01\n"
LADDER = 40


class Holder(Strategy):
    """Buys one coin at 100 ms and keeps what the venue then says."""

    def __init__(self, lots: int) -> None:
        self.lots = lots
        self.events: list[Liquidation] = []
        self.ids: list[str] = []
        self.forced = 0

    def on_start(self) -> None:
        self.ctx.at(T0 + 100 * MS, lambda: self.ctx.market(0, BUY, self.lots))

    def on_fill(self, order: Order, fill: Fill) -> None:
        if order.external:
            self.forced += fill.lots
            self.ids.append(self.ctx.client_id(order))

    def on_liquidation(self, i: int, event: Liquidation) -> None:
        self.events.append(event)
        self.ids.append(self.ctx.client_id(event))


class Market:
    """A tape of one kind of feed: both sides of a book around a price, and marks."""

    def __init__(self, feed: str) -> None:
        self.feed = feed
        self.tape = Tape()
        self.at: tuple[int, int] | None = None

    def book(self, at_ns: int, bid: int, lots: int = 10_000) -> None:
        """The book now stands at ``bid`` and one tick above; ``lots`` at each of a few levels."""
        if self.feed == "quotes":
            self.tape.quote(at_ns, bid, bid + 1, lots)
        elif self.at is None:
            self.tape.snapshot(at_ns, bid, bid + 1, lots, LADDER)
        else:
            old, _size = self.at
            gone = [(BUY, old - k, 0) for k in range(LADDER)] + [(SELL, old + 1 + k, 0) for k in range(LADDER)]
            new = [(BUY, bid - k, lots) for k in range(LADDER)] + [(SELL, bid + 1 + k, lots) for k in range(LADDER)]
            self.tape.depth(at_ns, *gone, *new)
        if self.feed == "l2":
            self.tape.trade(at_ns + 1, SELL, bid, 1)
        self.at = (bid, lots)

    def mark(self, at_ns: int, price: int) -> None:
        self.tape.mark(at_ns, price * E8)


def is_inverse(name: str) -> bool:
    return card(name).settles_in.value == "base"


def trade(name: str, market: Market, out: Path, **changes: Any) -> tuple[Result, Holder]:
    inverse = is_inverse(name)
    (out.parent / "brackets.csv").write_text(BRACKETS)
    asset = "BTC" if inverse else "USD"
    venue = {
        "name": name, "latency": "1ms", "fees": {"maker": "0", "taker": "0"},
        "deposit": {asset: "0.12" if inverse else "6000"},
    }  # fmt: skip
    one = {
        "symbol": "COIN", "base": "BTC", "quote": "USD", "settle": asset, "inverse": inverse, "tick_size": "0.1",
        "lot_size": "1" if inverse else "0.001", "contract_size": "10" if inverse else "1", "mark": "recorded",
        "funding": "none", "margin": str(out.parent / "brackets.csv"), "leverage": 10,
        "book": "l1" if market.feed == "quotes" else "l2",
    }  # fmt: skip
    strategy = Holder(5_000 if inverse else 1_000)
    venue |= changes.pop("of_venue", {})
    result = backtest(
        {"venue": [venue], "instrument": [one], **changes}, strategy, feeds={0: market.tape.source()}, out=out,
        html=False, show_progress=False,
    )  # fmt: skip
    return result, strategy


def calm(feed: str) -> Market:
    market = Market(feed)
    market.book(0, 500_000)
    market.mark(1 * MS, 50_000)
    return market


def position(result: Result) -> int:
    return int(result.summary["accounts"][0]["positions"][0]["position_lots"])


def check_books(result: Result) -> None:
    """Every booking sums to zero, and the wallet is deposit plus everything that happened to it."""
    rows = pl.read_parquet(result.path / "transfers.parquet")
    sums = rows.group_by("ts_ns", "lane", "kind", "ticks").agg(pl.col("lots").sum(), pl.col("amount_e8").sum())
    assert sums.filter((pl.col("lots") != 0) | (pl.col("amount_e8") != 0)).is_empty()
    account = result.summary["accounts"][0]
    parts = account["realized_e8"] - account["fees_e8"] - account["liquidation_fees_e8"] + account["covered_e8"]
    deposit = 12_000_000 if account["asset"] == "BTC" else 6_000 * E8
    assert deposit + parts == account["wallet_e8"]


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("name", CARDS)
def test_a_wick_of_quotes_liquidates_nobody_while_the_mark_is_steady(name: str, feed: str, tmp_path: Path) -> None:
    market = calm(feed)
    market.book(1 * S, 410_000)
    market.mark(1 * S + 100 * MS, 50_000)
    market.book(2 * S, 500_000)
    market.mark(3 * S, 50_000)
    result, strategy = trade(name, market, tmp_path / "runs")
    assert strategy.events == [] and strategy.forced == 0 and position(result) == strategy.lots


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("name", CARDS)
def test_a_fall_of_the_mark_liquidates_while_quotes_are_steady(name: str, feed: str, tmp_path: Path) -> None:
    """Between maintenance and two thirds of it. Who sells into the book gets its price, who takes over does not."""
    market = calm(feed)
    market.mark(1 * S, 45_000 if is_inverse(name) else 44_400)
    market.book(40 * S, 499_990)
    result, strategy = trade(name, market, tmp_path / "runs")
    taken = sum(event.lots for event in strategy.events if event.kind == EV_LIQUIDATED)
    assert strategy.forced + taken > 0 and strategy.forced + taken + position(result) == strategy.lots
    rules = card(name).liquidation
    if rules.procedure.value == "tier_step_down":
        assert taken == strategy.lots, "the lowest tier is taken over whole"
    else:
        assert taken == 0, "the book had what the venue needed"
        assert all(name.startswith(rules.order_id_prefix.value) for name in strategy.ids)
    account = result.summary["accounts"][0]
    assert account["equity_e8"] >= account["wallet_e8"] * (taken == strategy.lots) >= 0
    check_books(result)


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("fund", [None, "0"])
@pytest.mark.parametrize("name", CARDS)
def test_a_gap_through_the_bankruptcy_price_leaves_no_debt(
    name: str, fund: str | None, feed: str, tmp_path: Path
) -> None:
    """50,000 to 30,000 at once: the account ends at nothing, and somebody named has borne the rest."""
    market = calm(feed)
    market.book(1 * S, 300_000)
    for k in range(60):  # venues that go step by step get their time
        market.mark((k + 1) * S + MS, 30_000)
    market.book(70 * S, 300_010)
    asset = "BTC" if is_inverse(name) else "USD"
    of_venue = {} if fund is None else {"insurance": {asset: fund}}
    result, _ = trade(name, market, tmp_path / "runs", of_venue=of_venue)
    account = result.summary["accounts"][0]
    assert position(result) == 0 and account["wallet_e8"] >= 0 and account["equity_e8"] >= 0
    rows = pl.read_parquet(result.path / "transfers.parquet")
    borne = rows.filter(pl.col("party") != "account").group_by("party").agg(pl.col("amount_e8").sum())
    assert not borne.is_empty()
    if fund == "0":
        assert rows.filter(pl.col("party") == "fund")["amount_e8"].sum() >= 0, "an empty fund pays nothing"
    check_books(result)


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("name", CARDS)
def test_book_and_mark_fall_together(name: str, feed: str, tmp_path: Path) -> None:
    """The order-book-only feeds on which nobody must be forgotten: the position is gone or compliant at 41,000."""
    market = calm(feed)
    for k, price in enumerate(range(49_000, 40_900, -1_000)):
        market.book((k + 1) * S, price * 10)
        market.mark((k + 1) * S + MS, price)
    market.book(60 * S, 409_990)
    market.mark(60 * S + MS, 41_000)
    market.book(100 * S, 410_000)
    result, strategy = trade(name, market, tmp_path / "runs")
    taken = sum(event.lots for event in strategy.events if event.kind == EV_LIQUIDATED)
    assert strategy.forced + taken == strategy.lots and position(result) == 0
    assert result.summary["accounts"][0]["wallet_e8"] >= 0
    check_books(result)


@pytest.mark.parametrize("name", CARDS)
def test_the_same_marks_give_the_same_run(name: str, tmp_path: Path) -> None:
    def gap() -> Market:
        market = calm("l2")
        market.book(1 * S, 300_000)
        for k in range(20):
            market.mark((k + 1) * S + MS, 30_000)
        return market

    first, _ = trade(name, gap(), tmp_path / "a")
    again, _ = trade(name, gap(), tmp_path / "b")
    assert first.summary["hash"] == again.summary["hash"]


def test_the_vault_says_what_it_took(tmp_path: Path) -> None:
    market = calm("l2")
    market.mark(1 * S, 44_200)
    market.book(2 * S, 499_000)
    result, strategy = trade("hyperliquid", market, tmp_path / "runs")
    (event,) = strategy.events
    assert (event.kind, event.cause, event.price_kind, event.ticks) == (
        EV_LIQUIDATED, CAUSE_TAKEOVER, PRICE_MARK, 442_000,
    )  # fmt: skip
    assert event.fee_e8 == 6_000 * E8 + event.realized_e8 and result.summary["accounts"][0]["wallet_e8"] == 0


# -- injected deleveraging


def hedge(tmp_path: Path, adl: list[dict[str, Any]], name: str = "binance_usdm") -> tuple[Result, Holder]:
    market = calm("l2")
    market.mark(1 * S, 50_100)
    market.mark(2 * S, 50_200)
    market.book(5 * S, 502_000)
    return trade(name, market, tmp_path / "runs", adl=adl)


@pytest.mark.parametrize(
    ("extra", "lots", "ticks"),
    [
        ({"fraction": "0.25"}, 250, 502_000),
        ({"lots": 5_000, "price": "prior_mark"}, 1_000, 501_000),
        ({"fraction": 1, "price": "49000.5"}, 1_000, 490_005),
        ({"fraction": 1, "side": "short"}, 0, 0),
    ],
)
def test_somebody_elses_deleveraging_takes_the_hedge(
    extra: dict[str, Any], lots: int, ticks: int, tmp_path: Path
) -> None:
    result, strategy = hedge(tmp_path, [{"at": T0 + 3 * S, "instrument": "COIN", **extra}])
    assert position(result) == 1_000 - lots == strategy.ctx.position(0)
    assert [(event.kind, event.side, event.lots, event.ticks) for event in strategy.events] == (
        [(EV_ADL, SELL, lots, ticks)] if lots else []
    )
    assert strategy.ids == (["adl_autoclose"] if lots else [])
    assert any(line.text.startswith("injected: COIN") for line in result.banner)
    if lots:
        assert strategy.events[0].amount_e8 == (ticks - 500_001) * 10_000 * lots, "no fee"
        assert result.fills["cause"].to_list()[-1] == 7 and result.fills["lots"].to_list()[-1] == lots
    check_books(result)


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ({"at": T0 + 3600 * S, "instrument": "COIN", "fraction": 1}, "at"),
        ({"at": T0 + S, "instrument": "OTHER", "fraction": 1}, "instrument"),
        ({"at": T0 + S, "instrument": "COIN", "fraction": 1, "price": "0.05"}, "price"),
        ({"at": T0 + S, "instrument": "COIN", "fraction": 1, "lots": 3}, "fraction or lots"),
        ({"at": T0 + S, "instrument": "COIN"}, "fraction or lots"),
    ],
)
def test_injections_that_cannot_be_are_refused_by_name(entry: dict[str, Any], field: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=field):
        hedge(tmp_path, [entry])
