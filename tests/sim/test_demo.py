"""The demo: both stories run offline from nothing, and what they write can be edited and run again."""

from __future__ import annotations

import io
import json
import tomllib
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from matching.codes import LIQ_MAKER, LIQ_TAKER, SELL
from recorders.lake import Lake
from sim.backtest import Result, backtest
from sim.config import load_config
from sim.demo import FOLDER, STORIES, Demo, demo_toml, next_commands, prepare_demo, run_demo
from sim.report import print_table
from sim.synth.session import DEFAULT_FUNDING_NS, SECOND_NS, SyntheticSession
from venues.errors import InputError

EXAMPLES = Path(__file__).resolve().parents[2] / "docs/examples"


@pytest.fixture(scope="module")
def maker(tmp_path_factory: pytest.TempPathFactory) -> tuple[Demo, Result]:
    return run_demo(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def carry(tmp_path_factory: pytest.TempPathFactory) -> tuple[Demo, Result]:
    return run_demo(tmp_path_factory.mktemp("demo"), "carry")


def test_the_market_maker_story(maker: tuple[Demo, Result]) -> None:
    demo, result = maker
    totals = demo.imported["totals"]
    assert (totals["gaps"], totals["crossed"], totals["bbo_different"], totals["malformed"]) == (1, 0, 0, 0)
    assert totals["bbo_equal"] > 5000
    assert result.summary["fills"] > 200 and set(result.fills["liquidity"]) == {LIQ_MAKER}
    assert result.funding["boundary_ns"].to_list() == [DEFAULT_FUNDING_NS]
    assert len(result.gaps) == 1
    assert abs(result.fills["position_lots"]).max() <= 1000, "the inventory bound holds"
    assert json.loads((result.path / "summary.json").read_text())["hash"] == result.hash
    assert (result.path / "report.html").stat().st_size > 100_000


def test_the_table_is_headed_by_the_banner(maker: tuple[Demo, Result]) -> None:
    text = io.StringIO()
    print_table(maker[1], Console(file=text, width=120))
    shown = text.getvalue()
    assert shown.index("Mark price") < shown.index("Equity at the end")
    assert "1 gap" in shown and "1 of 1 funding times covered" in shown


def test_the_funding_taker_story(carry: tuple[Demo, Result]) -> None:
    """The rate is positive: it goes short before the boundary, is paid once, and leaves at market."""
    _, result = carry
    assert set(result.fills["liquidity"]) == {LIQ_TAKER}
    before = result.fills.filter(pl.col("ts_event_ns") < DEFAULT_FUNDING_NS)
    assert set(before["side"]) == {SELL} and before["lots"].sum() == 1000
    row = result.funding.row(0, named=True)
    assert len(result.funding) == 1 and row["position_lots"] == -1000 and row["payment_e8"] > 0
    assert result.summary["position"] == 0
    assert result.fills.filter(pl.col("ts_event_ns") >= DEFAULT_FUNDING_NS)["ts_event_ns"].min() > row["booked_ns"]


def test_a_carry_that_does_not_pay_is_left_alone(carry: tuple[Demo, Result], tmp_path: Path) -> None:
    demo, _ = carry
    change = ["strategy.params.least_profit_bps=10"]
    result = backtest(demo.run_file, overrides=change, out=tmp_path, html=False, show_progress=False)
    assert result.summary["orders"] == 0 and len(result.funding) == 0


def test_run_file_can_be_edited_and_run_again(maker: tuple[Demo, Result], tmp_path: Path) -> None:
    demo, result = maker
    again = backtest(demo.run_file, out=tmp_path, html=False, show_progress=False)
    assert again.hash == result.hash
    wider = backtest(
        demo.run_file, overrides=["strategy.params.gamma=0.1"], out=tmp_path, html=False, show_progress=False
    )
    assert wider.hash != result.hash and wider.summary["fills"] < result.summary["fills"]


def test_an_earlier_recording_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same folder again, with a session of another day: its lake holds the new one alone."""
    from sim import demo as module

    for days in (3, 0):
        start_ns = DEFAULT_FUNDING_NS - (days * 86_400 + 60) * SECOND_NS
        short = SyntheticSession(start_ns, 20 * SECOND_NS, gap_after_ns=None, liquidation_after_ns=None)
        monkeypatch.setattr(module, "SyntheticSession", lambda short=short: short)
        demo = prepare_demo(tmp_path)
        (feed,) = Lake(demo.lake).ls()
        assert feed["recordings"] == 1


def test_an_edited_run_file_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.demo.write_raw", lambda *arguments: None)
    monkeypatch.setattr("recorders.commands.import_", lambda *arguments, **options: {})
    demo = prepare_demo(tmp_path)
    demo.run_file.write_text("# mine\n")
    prepare_demo(tmp_path)
    assert (tmp_path / "maker.edited.toml").read_text() == "# mine\n"
    assert demo.run_file.read_text() == demo_toml("maker", 7, str(demo.run_file))


@pytest.mark.parametrize("story", STORIES)
def test_next_commands_name_what_is_there(story: str, tmp_path: Path) -> None:
    demo = Demo(story, tmp_path, tmp_path / "r", tmp_path / "lake", tmp_path / "run.toml", {})
    commands = next_commands(demo)
    assert [command.split()[:2] for command in commands] == [
        ["perpsim", "backtest"],
        ["perpsim", "data"],
        ["perpsim", "demo"],
    ]
    assert commands[2].endswith(f"--out {tmp_path}")
    assert "--out" not in next_commands(replace(demo, folder=Path(FOLDER)))[2]
    override = commands[0].split("--set ")[1]
    (tmp_path / "run.toml").write_text(demo_toml(story, 7, "run.toml"))
    config, _ = load_config(tmp_path / "run.toml", [override])
    assert config.strategy is not None


def test_example_run_files_are_valid() -> None:
    names = sorted(path.name for path in EXAMPLES.glob("*.toml"))
    assert names == ["binance_2023.toml", "coinm.toml", "demo.toml", "record.toml", "two_venues.toml"]
    for name in names:
        config, _ = load_config(EXAMPLES / name)
        assert config.instrument and (config.record if name == "record.toml" else config.strategy) is not None
    assert (EXAMPLES / "demo.toml").read_text() == demo_toml("maker", 7, "docs/examples/demo.toml")
    assert tomllib.loads(demo_toml("carry", 1, "x"))["seed"] == 1


def test_an_unknown_story_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="maker, carry"):
        run_demo(tmp_path, "arbitrage")
