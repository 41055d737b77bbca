"""Two runs side by side: pairing, what differs, and money that adds up to the last digit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from matching.codes import BUY, EV_CANCELED, EV_FILLED, GTX, R_USER, SELL
from sim.backtest import Result
from sim.cli import app
from sim.compare import Tolerance, compare
from sim.compare.orders import KEY, TERMS, pair
from sim.report.load import RunFolderError
from sim.strategy import Strategy
from tests.sim.markets import MS, random_tape, run


class Quoter(Strategy):
    """Quotes and takes by the clock; ``skip``: leaves out this order."""

    def __init__(self, skip: int = 0, shift: int = 0) -> None:
        self.skip, self.shift, self.count = skip, shift, 0

    def on_start(self) -> None:
        self.ctx.every("100ms")

    def on_timer(self) -> None:
        book = self.ctx.book(0)
        if not book.is_valid or book.best_bid is None or book.best_ask is None:
            return
        self.ctx.cancel_all()
        for side, ticks in ((BUY, book.best_bid_ticks), (SELL, book.best_ask_ticks + self.shift)):
            self.count += 1
            if self.count != self.skip:
                self.ctx.submit(0, side, ticks, 3, GTX)
        if self.count % 10 == 0:
            self.ctx.market(0, BUY if self.count % 20 else SELL, 2)


def made(out: Path, latency: str = "10ms", symbol: str = "BTCUSDT", **strategy: int) -> Result:
    venue = {"name": "neutral", "latency": latency, "fees": {"maker": "0.0001", "taker": "0.0004"}}
    if symbol == "BTCUSD_PERP":
        venue |= {"name": "binance_coinm", "card": "binance_coinm", "rate_limits": "none"}
    instrument = {"symbol": symbol, "mark": "mid", "margin": "none", "funding": "none"}
    tape = random_tape(5, 600, start=500_000 if symbol == "BTCUSD_PERP" else 1000, step_ns=5 * MS)
    return run(Quoter(**strategy), tape, out, venue=[venue], instrument=[instrument])


def test_a_run_equals_itself(tmp_path: Path) -> None:
    one = made(tmp_path)
    found = compare(one.path, one.path, Tolerance(latency_ns=0, queue_lots=0.0), tmp_path / "page.html")
    assert found["equal"] and found["same_hash"] and found["pairs"] == []
    assert not any(found["differences"].values()) and found["orders"]["in_both"] == found["orders"]["a"] > 50
    assert [row["difference_e8"] for row in found["attribution"]] == [0]
    assert "byte for byte" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("symbol", ["BTCUSDT", "BTCUSD_PERP"])
def test_the_parts_add_up_to_the_difference(tmp_path: Path, symbol: str) -> None:
    a = made(tmp_path / "a", symbol=symbol)
    b = made(tmp_path / "b", "60ms", symbol=symbol)
    found = compare(a.path, b.path)
    assert not found["equal"]
    [row] = found["attribution"]
    assert row["difference_e8"] == sum(row["parts_e8"].values()) == row["profit_b_e8"] - row["profit_a_e8"] != 0
    assert abs(row["parts_e8"]["other"]) <= 2 * found["orders"]["a"]  # a rounding a booking, nothing else
    assert row["parts_e8"]["fees"] and row["parts_e8"]["timing"]
    assert row["parts_e8"]["funding"] == row["parts_e8"]["mark"] == 0


def test_an_order_too_many_shifts_numbers_and_pairs_nothing_wrongly(tmp_path: Path) -> None:
    a, b = made(tmp_path / "a"), made(tmp_path / "b", skip=31)
    found = compare(a.path, b.path)
    assert found["differences"]["only a"] >= 1 and found["orders"]["in_both"] > 0.8 * found["orders"]["b"]
    for one in found["pairs"]:
        if one["a"] and one["b"]:
            assert [one["a"][name] for name in TERMS] == [one["b"][name] for name in TERMS]


def test_a_tolerance_is_what_it_says(tmp_path: Path) -> None:
    a, b = made(tmp_path / "a"), made(tmp_path / "b", "11ms")
    strict = compare(a.path, b.path)
    assert not strict["equal"] and strict["differences"]["time"] and "latency" not in strict["judged"]
    loose = compare(a.path, b.path, Tolerance(lots=100, ticks=100, money_e8=10**10, time_ns=10**12))
    assert loose["differences"]["time"] == 0
    judged = compare(a.path, b.path, Tolerance(latency_ns=1))
    assert judged["differences"]["latency"] and "latency" in judged["judged"]


def test_other_instruments_are_refused(tmp_path: Path) -> None:
    a, b = made(tmp_path / "a"), made(tmp_path / "b", symbol="BTCUSD_PERP")
    with pytest.raises(RunFolderError, match=r"BTCUSD_PERP.*BTCUSDT: only runs of the same instruments"):
        compare(a.path, b.path)


# -- pairing and single differences


def order(number: int, sent_ns: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        **dict(zip(KEY, (0, 0, number), strict=True)), "side": 0, "ticks": 100, "lots": 5, "tif": 0, "type": 0,
        "sent_ns": sent_ns, "acked_ns": 5, "latency_ns": 9, "filled": 0, "value": 0, "maker": 0, "fee_e8": 0,
        "first_fill_ns": None, "queue_lots": None, "end_event": EV_CANCELED, "end_reason": R_USER, "end_ns": 8,
        **changes,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "mine", "other", "inside", "outside"),
    [
        ("filled", {"filled": 3, "value": 300}, {"filled": 5, "value": 500}, {"lots": 2}, {"lots": 1}),
        ("price", {"filled": 3, "value": 300}, {"filled": 3, "value": 301}, {"ticks": 0.34}, {"ticks": 0.33}),
        ("fee", {"fee_e8": 10}, {"fee_e8": -10}, {"money_e8": 20}, {"money_e8": 19}),
        ("time", {"end_ns": 8}, {"end_ns": 18}, {"time_ns": 10}, {"time_ns": 9}),
        ("time", {"first_fill_ns": 8}, {"first_fill_ns": None}, None, {"time_ns": 10**18}),
        ("end", {"end_event": EV_FILLED}, {}, None, {}),
        ("latency", {"latency_ns": 1}, {}, {"latency_ns": 8}, {"latency_ns": 7}),
        ("queue", {"queue_lots": 1.0}, {"queue_lots": 2.0}, {"queue_lots": 1.0}, {"queue_lots": 0.5}),
    ],
)
def test_each_kind_of_difference(
    kind: str, mine: dict[str, Any], other: dict[str, Any], inside: dict[str, Any] | None, outside: dict[str, Any]
) -> None:
    [apart] = pair([order(1, **mine)], [order(1, **other)], Tolerance(**outside))
    assert kind in apart.kinds
    if inside is not None:
        [near] = pair([order(1, **mine)], [order(1, **other)], Tolerance(**inside))
        assert kind not in near.kinds


def test_what_is_left_is_paired_with_its_nearest() -> None:
    a = [order(1, 0), order(2, 100, ticks=101), order(3, 5 * 10**9)]
    b = [order(1, 100, ticks=101), order(2, 10), order(3, 5 * 10**9, side=1)]
    found = pair(a, b, Tolerance())
    numbers = [(one.a and one.a["order_no"], one.b and one.b["order_no"]) for one in found]
    assert sorted(numbers, key=str) == sorted([(1, 2), (2, 1), (3, None), (None, 3)], key=str)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 3), st.integers(0, 3 * 10**9)), max_size=12), st.data())
def test_every_order_is_in_exactly_one_pair(drawn: list[tuple[int, int, int]], data: st.DataObject) -> None:
    a = [order(n + 1, sent, side=side, ticks=ticks) for n, (side, ticks, sent) in enumerate(drawn)]
    kept = [row for row in a if data.draw(st.booleans())]
    b = [{**row, "order_no": n + 1} for n, row in enumerate(kept)]
    found = pair(a, b, Tolerance())
    assert sorted(one.a["order_no"] for one in found if one.a) == [row["order_no"] for row in a]
    assert sorted(one.b["order_no"] for one in found if one.b) == [row["order_no"] for row in b]


# -- the command


def test_the_command_tells_and_exits(tmp_path: Path) -> None:
    a, b = made(tmp_path / "a"), made(tmp_path / "b", "60ms")
    same = CliRunner().invoke(app, ["compare", str(a.path), str(a.path)])
    assert same.exit_code == 0 and "the same, byte for byte" in same.output
    page = tmp_path / "page.html"
    apart = CliRunner().invoke(app, ["compare", str(a.path), str(b.path), "--json", "--html", str(page)])
    assert apart.exit_code == 1 and json.loads(apart.output)["equal"] is False
    text = page.read_text(encoding="utf-8")
    assert "Orders that differ" in text and "<script" not in text and "<polyline" in text
    wrong = CliRunner().invoke(app, ["compare", str(a.path), str(tmp_path / "none")])
    assert wrong.exit_code == 2 and "none" in wrong.output
    money = CliRunner().invoke(app, ["compare", str(a.path), str(a.path), "--money", "1e-9"])
    assert money.exit_code == 2 and "1e-9" in money.output
