"""Runs from a run file: inputs found, named or refused; models of one's own; lanes; failures."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from matching.codes import BUY, LIQ_MAKER, SELL
from recorders.commands import import_
from sim.backtest import Result, backtest
from sim.strategy import Strategy, Trade
from sim.synth import BTCUSDT, SyntheticSession, write_raw
from sim.synth.session import DEFAULT_FUNDING_NS, SECOND_NS
from tests.sim.markets import MS, T0, S, Tape, config, random_tape, run
from venues.errors import InputError

SESSION = SyntheticSession(
    start_ns=DEFAULT_FUNDING_NS - 30 * SECOND_NS,
    duration_ns=60 * SECOND_NS,
    gap_after_ns=None,
    liquidation_after_ns=None,
)
BRACKETS = "floor,cap,max_leverage,rate\n0,100000,20,0.01\n100000,1000000,10,0.02\n"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("backtest")
    recording = write_raw(folder / "recording.gz", 5, BTCUSDT, SESSION)
    import_("binance", [recording.path], folder / "lake")
    return folder / "lake"


class Buyer(Strategy):
    """Buys once and holds."""

    def __init__(self, lots: int = 10) -> None:
        self.lots = lots

    def on_start(self) -> None:
        self.ctx.every("1s", self.step)

    def step(self) -> None:
        if self.ctx.book(0).is_valid and self.ctx.position(0) == 0 and not self.ctx.orders():
            self.ctx.market(0, BUY, self.lots)


def usdm(lake: Path, instrument: Mapping[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "feed": {"lake": str(lake)},
        "venue": [{"name": "binance_usdm", "latency": "5ms", "deposit": {"USDT": 10_000}}],
        "instrument": [{"symbol": "BTCUSDT", **(instrument or {})}],
        **changes,
    }


def go(document: Any, out: Path, strategy: Any = None, **options: Any) -> Result:
    return backtest(document, strategy or Buyer(), out=out, html=False, show_progress=False, **options)


def test_recorded_inputs_are_taken_without_being_named(lake: Path, tmp_path: Path) -> None:
    result = go(usdm(lake), tmp_path)
    topics = {line.topic: line.text for line in result.banner}
    assert topics["Mark price"] == "recorded"
    assert topics["Funding"].startswith("recorded rates and marks; 1 of 1 funding times covered (100.0")
    assert topics["Margin"].startswith("brackets of the rule card") and topics["Margin"].endswith("leverage 20x")
    assert len(result.funding) == 1 and result.funding["boundary_ns"][0] == DEFAULT_FUNDING_NS
    assert result.summary["funding_e8"] == result.funding["payment_e8"][0] != 0
    assert result.equity["maintenance_e8"].max() > 0


def test_the_run_folder_says_how_to_run_it_again(lake: Path, tmp_path: Path) -> None:
    document = usdm(lake, strategy={"class": "tests.sim.test_backtest:Buyer", "params": {"lots": 3}})
    first = go(document, tmp_path, strategy=Buyer(3), seed=11)
    again = backtest(first.path / "run.toml", out=tmp_path, html=False, show_progress=False)
    assert again.hash == first.hash and again.summary["seed"] == 11
    manifest = json.loads((first.path / "manifest.json").read_text())
    assert manifest["status"] == "finished" and manifest["hash"] == first.hash
    assert manifest["data"][0]["digest"] and manifest["code_sha256"] and manifest["config_sha256"]
    assert manifest["accounts"] == [
        {"lane": 0, "account": 0, "venue": "binance_usdm", "asset": "USDT", "deposit_e8": 10_000 * 10**8}
    ]
    summary = json.loads((first.path / "summary.json").read_text())
    wanted = "events wall_s events_per_s fills orders rejects position wallet_e8 equity_e8 fees_e8 realized_e8"
    assert set(wanted.split()) | {"funding_e8", "hash", "accounts", "statistics"} <= set(summary)
    assert summary["events"] == sum(1 for _ in _rows(lake))


def _rows(lake: Path) -> Any:
    from recorders.lake import Lake

    source = Lake(lake).source("binance_usdm", "BTCUSDT")
    while (window := source.next_window()) is not None:
        yield from range(window.rows)


def test_from_and_to_start_from_a_checkpoint(lake: Path, tmp_path: Path) -> None:
    """The same books are seen whether the run starts at the beginning or inside."""

    class Books(Strategy):
        def on_start(self) -> None:
            self.start_ns = self.ctx.now_ns
            self.seen: dict[int, Any] = {}
            self.ctx.every("1s", self.look)

        def look(self) -> None:
            book = self.ctx.book(0)
            if book.is_valid:
                self.seen[self.ctx.now_ns] = (book.levels(BUY, 20), book.levels(SELL, 20), book.mark_e8)

    whole, part = Books(), Books()
    go(usdm(lake), tmp_path, whole)
    start, stop = DEFAULT_FUNDING_NS - 10 * SECOND_NS, DEFAULT_FUNDING_NS + 10 * SECOND_NS
    result = go(usdm(lake, feed={"lake": str(lake), "from": start, "to": stop}), tmp_path, part)
    assert part.start_ns == start and result.summary["last_ns"] < stop + SECOND_NS
    shared = [ts for ts in part.seen if ts < stop]
    assert len(shared) >= 18
    assert all(part.seen[ts] == whole.seen[ts] for ts in shared)


def test_history_warms_up_without_looking_ahead(lake: Path, tmp_path: Path) -> None:
    class Warm(Strategy):
        def on_start(self) -> None:
            self.prints: list[tuple[int, int, int, int]] = []
            self.ctx.at(DEFAULT_FUNDING_NS, self.look)

        def on_trade(self, i: int, trade: Trade) -> None:
            if not trade.is_off_book and self.ctx.now_ns <= DEFAULT_FUNDING_NS:
                self.prints.append((trade.ts_recv_ns, trade.side, trade.ticks, trade.lots))

        def look(self) -> None:
            now = self.ctx.now_ns
            self.trades = self.ctx.history(0, "10s")
            self.bars = self.ctx.history(0, "10s", "bars", "1s")
            self.marks = self.ctx.history(0, "10s", "mark")
            assert self.trades["ts_recv_ns"].is_between(now - 10 * SECOND_NS, now).all()

    strategy = Warm()
    go(usdm(lake), tmp_path, strategy)
    recent = [row for row in strategy.prints if row[0] > DEFAULT_FUNDING_NS - 10 * SECOND_NS]
    assert strategy.trades.select("ts_recv_ns", "side", "ticks", "lots").rows() == recent
    assert strategy.bars["lots"].sum() == strategy.trades["lots"].sum()
    assert strategy.bars["end_ns"].to_list()[-1] <= DEFAULT_FUNDING_NS
    assert 9 <= len(strategy.marks) <= 11 and strategy.marks["next_funding_ns"][0] == DEFAULT_FUNDING_NS


# -- inputs are explicit


def without_marks() -> Tape:
    """A tape across a funding boundary of the venue's schedule, with no mark in it."""
    boundary = (T0 // (8 * 3600 * S) + 1) * 8 * 3600 * S - T0
    return Tape().snapshot(boundary - 2 * S).depth(boundary + 2 * S, (BUY, 990, 5))


def refused(tmp_path: Path, tape: Tape, **instrument: Any) -> str:
    document = config(
        venue=[{"name": "binance_usdm", "latency": "5ms", "deposit": {"USDT": 1000}}],
        instrument=[{"symbol": "BTCUSDT", **instrument}],
    )
    with pytest.raises(InputError) as caught:
        go(document, tmp_path, feeds={0: tape.source()})
    return str(caught.value)


def test_an_input_that_is_neither_named_nor_recorded_is_refused(lake: Path, tmp_path: Path) -> None:
    tape = without_marks()
    assert "instrument BTCUSDT: field 'mark': no mark price is recorded" in refused(tmp_path, tape)
    message = refused(tmp_path, tape, mark="mid")
    assert "instrument BTCUSDT: field 'funding': the boundary 2025-06-15T16:00:00Z" in message
    assert "(1750003200000000000 ns) is neither recorded nor given" in message
    bad = usdm(lake, venue=[{"name": "binance_usdm", "deposit": {"USDT": 1}}])
    with pytest.raises(InputError, match="venue binance_usdm: field 'latency': is not given"):
        go(bad, tmp_path)
    with pytest.raises(InputError, match="checks margin in USDT: give deposit"):
        go(usdm(lake, venue=[{"name": "binance_usdm", "latency": "5ms"}]), tmp_path)
    assert not list(tmp_path.iterdir()), "refused before anything was written"


def test_what_is_switched_off_is_said_so(tmp_path: Path) -> None:
    document = config(
        venue=[{"name": "binance_usdm", "latency": "none", "fees": {"maker": 0, "taker": 0}}],
        instrument=[{"symbol": "BTCUSDT", "mark": "mid", "funding": "none", "margin": "none"}],
    )
    result = go(document, tmp_path, feeds={"BTCUSDT": without_marks().source()})
    warned = {line.topic for line in result.banner if line.level == "warn"}
    assert {"Latency", "Mark price", "Funding", "Margin"} <= warned
    assert result.summary["accounts"][0]["funding_e8"] == 0


def test_a_funding_table_is_charged_at_its_boundary(tmp_path: Path) -> None:
    table = tmp_path / "funding.csv"
    table.write_text("time,rate\n1750003200004,0.0001\n")
    brackets = tmp_path / "brackets.csv"
    brackets.write_text(BRACKETS)
    tape = without_marks()
    for k in range(40):
        tape.depth(tape.messages[0][0] - T0 + 100 * MS * (k + 1), (BUY, 991, 5 + k))
    document = config(
        venue=[{"name": "binance_usdm", "latency": "5ms", "deposit": {"USDT": 1000}}],
        instrument=[
            {
                "symbol": "BTCUSDT", "mark": "mid", "funding": str(table), "margin": str(brackets), "tick_size": "0.1",
                "lot_size": "0.001",
            }
        ],
    )  # fmt: skip
    result = go(document, tmp_path / "runs", feeds={0: tape.source()})
    (row,) = result.funding.rows(named=True)
    assert (row["boundary_ns"], row["rate_e12"], row["position_lots"]) == (1_750_003_200 * S, 10**8, 10)
    assert row["mark_e8"] == 10_005_000_000, "the mid of 100.0 and 100.1"
    assert row["payment_e8"] == -round(10 * 10_005_000_000 // 1000 * 10**8 / 10**12)
    table.write_text("time,rate\n1750000000000,0.0001\n")
    with pytest.raises(InputError, match="has no rate for BTCUSDT at the boundary 2025-06-15T16:00:00Z"):
        go(document, tmp_path / "runs", feeds={0: tape.source()})


def test_a_mark_table_must_have_begun(tmp_path: Path) -> None:
    table = tmp_path / "marks.csv"
    table.write_text(f"time,mark\n{T0 + 3 * S},100.5\n")
    tape = Tape().snapshot(0).depth(9 * S, (BUY, 990, 4))
    instrument = {"symbol": "BTCUSDT", "mark": str(table)}
    with pytest.raises(InputError, match="field 'time': begins"):
        run(Buyer(), tape, tmp_path / "runs", instrument=[instrument])
    table.write_text(f"time,mark\n{T0},100.5\n{T0 + 3 * S},101\n")
    result = run(Buyer(), tape, tmp_path / "runs", instrument=[instrument])
    assert result.positions["mark_e8"].unique().sort().to_list() == [0, 10_050_000_000, 10_100_000_000]
    assert result.summary["accounts"][0]["unrealized_e8"] == 10 * (10_100_000_000 - 10_010_000_000) // 1000


def test_margin_refuses_what_the_deposit_cannot_carry(lake: Path, tmp_path: Path) -> None:
    poor = [{"name": "binance_usdm", "latency": "5ms", "deposit": {"USDT": "1"}}]
    result = go(usdm(lake, venue=poor), tmp_path)
    assert result.summary["fills"] == 0 and result.summary["rejects"] > 10
    assert result.orders["reason"].unique().to_list() == [11]


@pytest.mark.parametrize(
    ("instrument", "message"),
    [
        ({"leverage": 500}, "500 is above the brackets' 150"),
        ({"margin": "none", "leverage": 3}, "has no effect without margin"),
        ({"tick_size": "0.2"}, "is 0.2 here and 0.1 in the feed"),
        ({"queue": "lifo"}, "'lifo' is not one of risk_averse"),
        ({"lake": "nowhere"}, "nowhere"),
        ({"symbol": "XRPUSDT"}, "has no binance_usdm XRPUSDT; it holds binance_usdm BTCUSDT"),
        ({"mark": "none.csv"}, "none.csv"),
    ],
)
def test_wrong_instruments(lake: Path, tmp_path: Path, instrument: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        go(usdm(lake, instrument), tmp_path)
    assert message in str(caught.value)


# -- models of one's own


class HalfQueue:
    """Every second cancelled lot stood behind us."""

    calls = 0

    def probability(self, front: float, back: float) -> float:
        HalfQueue.calls += 1
        return 0.5


class Jitter:
    """Between ``base`` and twice that, by the bits of the order and leg."""

    def __init__(self, base: int) -> None:
        self.base = base

    def latency(self, ts_ns: int, draw_u64: int) -> int:
        return self.base + draw_u64 % self.base


class PerLot:
    """A flat fee a lot; rebates for makers."""

    def fee_e8(self, instrument: int, side: int, ticks: int, lots: int, liquidity: int, value_e8: int) -> int:
        assert value_e8 == ticks * lots * 10_000
        return -lots if liquidity == LIQ_MAKER else 3 * lots


def test_models_of_ones_own(tmp_path: Path) -> None:
    class Maker(Strategy):
        def on_start(self) -> None:
            self.ctx.every("100ms", self.step)

        def step(self) -> None:
            book = self.ctx.book(0)
            if book.is_valid and not self.ctx.orders():
                self.ctx.buy(0, book.best_bid_ticks, 4)
                self.ctx.buy(0, book.best_ask_ticks, 2)

    here = "tests.sim.test_backtest"
    model = {"model": f"{here}:Jitter", "params": {"base": 1000 * 1000}}
    venue = [{"name": "neutral", "latency": {"entry": model, "response": model}, "fees": f"{here}:PerLot"}]
    instrument = [{"symbol": "BTCUSDT", "mark": "mid", "queue": f"{here}:HalfQueue"}]
    HalfQueue.calls = 0
    tape = random_tape(8, 600)
    result = run(Maker(), tape, tmp_path, venue=venue, instrument=instrument)
    assert HalfQueue.calls > 0
    made = result.fills.filter(pl.col("liquidity") == LIQ_MAKER)["lots"].sum()
    taken = result.fills["lots"].sum() - made
    assert made > 0 and taken > 0
    assert result.summary["fees_e8"] == 3 * taken - made
    times = result.orders.filter((pl.col("event") == 1) & (pl.col("ts_event_ns") > 0))
    entry = times["ts_event_ns"] - times["ts_sent_ns"]
    assert entry.min() >= MS and entry.max() < 2 * MS and entry.n_unique() > 5
    assert run(Maker(), tape, tmp_path, venue=venue, instrument=instrument).hash == result.hash
    texts = {line.topic: line.text for line in result.banner}
    assert "model tests.sim.test_backtest:HalfQueue" in texts["Fills"]
    assert "model tests.sim.test_backtest:PerLot" in texts["Fees"]


@pytest.mark.parametrize(
    ("key", "model", "message"),
    [
        ("queue", "collections:OrderedDict", "needs a method probability"),
        ("queue", "nowhere.at.all:Model", "there is no module 'nowhere.at.all'"),
        ("queue", "tests.sim.test_backtest:Nothing", "has no class 'Nothing'"),
        ("queue", "missing_file.py:Model", "there is no file"),
        ("queue", {"model": "tests.sim.test_backtest:Jitter", "params": {"bse": 1}}, "its parameters are: base"),
    ],
)
def test_wrong_models(tmp_path: Path, key: str, model: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        run(Buyer(), random_tape(1, 10), tmp_path, instrument=[{"symbol": "BTCUSDT", "mark": "mid", key: model}])
    assert message in str(caught.value)


# -- strategies and lanes


def test_strategies_by_class_object_file_and_list(lake: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("from tests.sim.test_backtest import Buyer\n\n\nclass Mine(Buyer):\n    pass\n")
    by_class = go(usdm(lake, strategy={"class": "x:Y", "params": {"lots": 7}}), tmp_path, Buyer)
    by_file = backtest(
        usdm(lake, strategy={"class": f"{file}:Mine", "params": {"lots": 7}}),
        out=tmp_path,
        html=False,
        show_progress=False,
    )
    by_object = go(usdm(lake), tmp_path, Buyer(7))
    assert by_class.hash == by_file.hash == by_object.hash
    lanes = go(usdm(lake), tmp_path, [Buyer(2), Buyer(3), Buyer(7)])
    assert [account["positions"][0]["position_lots"] for account in lanes.summary["accounts"]] == [2, 3, 7]
    assert (
        lanes.summary["wallet_e8"] is None
        and lanes.summary["accounts"][2]["wallet_e8"] == by_class.summary["wallet_e8"]
    )
    named = go(usdm(lake, lanes=[{"class": f"{file}:Mine", "params": {"lots": n}} for n in (1, 2)]), tmp_path, None)
    assert len(named.strategies) == 1, "a strategy given in Python goes before the run file's"


def test_wrong_strategies(lake: Path, tmp_path: Path) -> None:
    one = Buyer()
    for strategy, message in ((object(), "is no perpsim.Strategy"), ([one, one], "the same object as another lane's")):
        with pytest.raises(InputError, match=message):
            go(usdm(lake), tmp_path, strategy)
    with pytest.raises(InputError, match="strategy: is not given"):
        backtest(usdm(lake), out=tmp_path, show_progress=False)
    with pytest.raises(InputError, match="its parameters are: lots"):
        go(usdm(lake, strategy={"class": "x:Y", "params": {"size": 7}}), tmp_path, Buyer)


def test_a_failing_strategy_leaves_its_traceback_and_a_folder_that_says_so(lake: Path, tmp_path: Path) -> None:
    class Fails(Buyer):
        def step(self) -> None:
            super().step()
            if self.ctx.position(0):
                raise ZeroDivisionError("my own mistake")

    with pytest.raises(ZeroDivisionError, match="my own mistake") as caught:
        go(usdm(lake), tmp_path, [Buyer(), Fails()])
    assert "raised by Fails (lane 1)" in caught.value.__notes__[0]
    assert any(entry.name == "step" for entry in caught.traceback)
    (folder,) = tmp_path.iterdir()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["status"] == "failed" and "my own mistake" in manifest["failure"]
    assert len(pl.read_parquet(folder / "orders.parquet")) > 0


def test_the_resolved_file_names_every_default(lake: Path, tmp_path: Path) -> None:
    result = go(usdm(lake), tmp_path)
    document = tomllib.loads((result.path / "run.toml").read_text(), parse_float=Decimal)
    assert document["samples"] == {"accounts": "1s", "bbo": "100ms"}
    assert document["instrument"][0]["queue"] == {"model": "power3", "n": Decimal("3.0")}


def test_a_run_folders_run_file_runs_again_from_anywhere(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its paths were written relative to another folder; they are kept absolute."""
    document = usdm(lake, strategy={"class": "mine.py:Mine", "params": {"lots": 3}})
    document["feed"]["lake"] = "lake"
    place = tmp_path / "place"
    place.mkdir()
    (place / "lake").symlink_to(Path(lake))
    (place / "mine.py").write_text("from tests.sim.test_backtest import Buyer\n\n\nclass Mine(Buyer):\n    pass\n")
    from sim.config import load_config, resolved
    from sim.toml import toml_text

    (place / "run.toml").write_text(toml_text(resolved(load_config(document)[0])))
    first = backtest(place / "run.toml", out=tmp_path / "a", html=False, show_progress=False)
    monkeypatch.chdir(tmp_path / "a")
    again = backtest(first.path / "run.toml", out=tmp_path / "b", html=False, show_progress=False)
    assert again.hash == first.hash and first.summary["fills"] > 0


class Quitter(Strategy):
    def on_start(self) -> None:
        raise SystemExit(0)


def test_a_strategy_cannot_end_the_process(lake: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"ctx\.stop"):
        go(usdm(lake), tmp_path, Quitter)
    (manifest,) = tmp_path.glob("*/manifest.json")
    assert "SystemExit" in manifest.read_text()
