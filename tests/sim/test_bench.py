"""The benchmark measures the same work everywhere: both makers, all lanes and the peers' scripts state one strategy."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matching import codes
from recorders.lake import Lake
from sim.bench import feeds, load, runner
from sim.bench.compiled_maker import SLOTS_MAX as COMPILED_SLOTS_MAX
from sim.bench.compiled_maker import CompiledMaker
from sim.bench.grid import HALVES, SKEWS, parameter_sets
from sim.bench.harness import Market, prepare
from sim.bench.plain_maker import SLOTS_MAX, SkewedMaker, TouchMaker
from sim.bench.tasks import TOUCH_MARKET, run_task
from sim.strategy import Strategy
from sim.synth import write_columns
from venues.errors import InputError

ROWS = 20_000
PEERS = Path(runner.__file__).parent / "peers"


@pytest.fixture(scope="module")
def feed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_columns(tmp_path_factory.mktemp("feed"), ROWS)


@pytest.fixture(scope="module")
def lake(feed: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return feeds.lake_of(feed, tmp_path_factory.mktemp("lake") / "plain")


def outcomes(lake: Lake, strategies: list[Strategy], market: Market | None = None) -> list[dict[str, int]]:
    run = prepare(lake.source(feeds.VENUE, feeds.SYMBOL), strategies, market or Market())
    run.loop.run()
    assert run.core.counters()["rows"] == ROWS
    return [run.outcome(lane) for lane in range(len(strategies))]


def test_plain_and_annotated_maker_do_the_same(lake: Lake) -> None:
    for market in (Market(), Market(exchange=codes.EXCHANGE_PARTIAL)):
        plain, annotated = outcomes(lake, [SkewedMaker()], market), outcomes(lake, [CompiledMaker()], market)
        assert plain == annotated
        assert plain[0]["submits"] > 50 and plain[0]["fills_full"] > 5 and plain[0]["cancels_sent"] > 5


def test_every_lane_does_what_it_does_alone(lake: Lake) -> None:
    sets = parameter_sets(8)
    together = outcomes(lake, [CompiledMaker(half_ticks=half, skew_ticks=skew) for half, skew in sets])
    for place in (0, 5, 7):
        half, skew = sets[place]
        assert outcomes(lake, [SkewedMaker(half_ticks=half, skew_ticks=skew)]) == [together[place]]


def test_the_touch_maker_trades_and_keeps_to_its_limit(lake: Lake) -> None:
    (done,) = outcomes(lake, [TouchMaker(position_max_lots=30)], TOUCH_MARKET)
    assert done["fills_full"] > 0 and abs(done["position_lots"]) < 30 + 10


def test_parameter_sets_are_distinct() -> None:
    for count in (8, 64):
        assert len(set(parameter_sets(count))) == count


def assigned(script: str) -> dict[str, Any]:
    """Literal assignments at the top of a peer's script, which cannot be imported here."""
    found: dict[str, Any] = {}
    for node in ast.parse((PEERS / script).read_text()).body:
        if not isinstance(node, ast.Assign):
            continue
        target, value = node.targets[0], node.value
        pairs = [(target, value)]
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            pairs = list(zip(target.elts, value.elts, strict=True))
        for name, literal in pairs:
            if isinstance(name, ast.Name) and isinstance(literal, ast.Constant | ast.Tuple | ast.UnaryOp):
                found[name.id] = ast.literal_eval(literal)
    return found


def test_the_peers_scripts_state_the_same_workload() -> None:
    stated, market, maker = assigned("run_hftbacktest.py"), Market(), SkewedMaker()
    assert (stated["HALVES"], stated["SKEWS"]) == (HALVES, SKEWS)
    assert (stated["LOTS"], stated["LIMIT_LOTS"]) == (maker.lots, maker.position_max_lots)
    assert stated["SLOTS"] == SLOTS_MAX == COMPILED_SLOTS_MAX
    assert stated["LATENCY_NS"] == market.entry_ns == market.response_ns
    assert stated["MAKER_FEE"] * codes.E12 == market.maker_rate_e12
    assert stated["TAKER_FEE"] * codes.E12 == pytest.approx(market.taker_rate_e12)
    assert stated["TICK"] == float(feeds.instrument().tick_size) and stated["LOT"] == float(feeds.instrument().lot_size)
    assert assigned("run_nautilus.py")["POSITION_MAX_LOTS"] == TouchMaker().position_max_lots


def test_tagged_columns_say_the_same_as_plain_ones(feed: Path, lake: Lake, tmp_path: Path) -> None:
    feeds.write_tagged(feed, tmp_path / "tagged")
    columns = {path.stem: np.load(path) for path in (tmp_path / "tagged").glob("*.npy")}
    book: dict[tuple[int, int], int] = {}
    for place, (kind, action, side, px, qty) in enumerate(
        zip(*(columns[name].tolist() for name in ("kind", "action", "side", "px", "qty")), strict=True)
    ):
        if kind == 1:
            assert action == 0 and qty > 0
            continue
        assert ((side, px) in book) == (action != feeds.ADD), f"row {place}"
        book[side, px] = qty
        if action == feeds.DELETE:
            del book[side, px]
    levels = columns["kind"] == 0
    message = np.stack((columns["seq"][levels], columns["ts"][levels]))
    ends = np.concatenate(((message[:, 1:] != message[:, :-1]).any(axis=0), [True]))
    assert (ends == ((columns["flags"][levels] & feeds.LAST) > 0)).all()
    other = feeds.lake_of(tmp_path / "tagged", tmp_path / "lake")
    for held in (lake, other):
        run = prepare(held.source(feeds.VENUE, feeds.SYMBOL), [Strategy()], Market())
        run.loop.run()
        held_levels = {(side, ticks): lots for side, ticks, lots in run.core.venue_levels(0)}
        assert held_levels == {(side - 1, px): lots for (side, px), lots in book.items()}


def test_a_folder_without_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no event columns"):
        runner.run_bench(tmp_path, cache=tmp_path / "cache")


def test_one_task(lake: Lake) -> None:
    whole = run_task("lake_plain", lake.path, repeats=2)
    part = run_task("plain", lake.path, repeats=1, share=50)
    assert whole["events"] == ROWS and 0 < part["events"] < ROWS
    assert len(whole["walls_s"]) == 2 and whole["wall_s"] > 0 and whole["rss_peak_mib"] > 0
    assert whole["submits"] > part["submits"] > 0


def measured(wall_s: float, **more: float) -> dict[str, float]:
    return {"wall_s": wall_s, "cpu_s": wall_s, "ns_per_event": wall_s * 1000, "rss_peak_mib": 200.0, **more}


def test_ratios_and_verdicts() -> None:
    names = ("replay", "plain", "compiled", "lanes8", "lanes64", "lake_replay", "lake_plain", "lake_compiled", "touch")
    names += ("hot_replay", "hot_plain", "hot_compiled")
    ours: dict[str, Any] = {name: measured(2.0) for name in (*names, "lake_tenth")}
    ours["lake_plain"] = measured(3.0, rss_peak_mib=230.0)
    ours["hot_plain"] = measured(2.4, rss_peak_mib=240.0)
    ours["lake_tenth"] = measured(1.0, events=runner.FULL_WINDOW_ROWS)
    ours["starts"] = {"python_s": 0.01, "import_s": 0.4, "help_s": 0.2}
    hft = {"replay": measured(8.0), "maker": measured(6.0), "lanes8": measured(30.0), "lanes64": measured(29.0)}
    hft["maker_anchors"] = measured(2.0, cpu_s=4.0)
    found = runner.summary(ours, {"hftbacktest": hft, "nautilus": {"touch": measured(50.0)}})
    assert found["replay_vs_hftbacktest"] == 4.0
    assert found["quoting_vs_hftbacktest"] == 2.0, "the better of the peer's two runs counts"
    assert found["quoting_vs_nautilus"] == 25.0
    assert (found["lake_vs_memory"], found["hot_vs_memory"]) == (1.5, 1.2)
    assert found["rss_peak_mib"] == 240.0
    assert found["rss_ratio_tenfold"] == 1.15
    assert found["wall"]["quoting_vs_hftbacktest"] == 1.0, "here the peer waited less than it worked"
    met = {name: verdict["met"] for name, verdict in found["floors"].items()}
    assert met["replay_vs_hftbacktest"] and met["lanes8_vs_hftbacktest"] and met["lake_vs_memory"] and met["help_s"]
    assert not met["quoting_vs_hftbacktest"] and not met["lanes64_vs_hftbacktest"] and not met["import_s"]
    assert not met["rss_ratio_tenfold"] and not met["hot_vs_memory"]
    hft["maker"]["same_orders_as_perpsim"] = False
    assert runner.summary(ours, {"hftbacktest": hft})["quoting_vs_hftbacktest"] is None, "other work, no ratio"
    ours["lake_tenth"] = measured(1.0, events=runner.FULL_WINDOW_ROWS - 1)
    alone = runner.summary(ours, {})
    assert alone["rss_ratio_tenfold"] is None, "less than a window says nothing about memory"
    assert alone["replay_vs_hftbacktest"] is None and alone["floors"]["replay_vs_hftbacktest"]["met"] is None


def test_a_peer_that_sent_other_orders_is_noticed() -> None:
    run = dict.fromkeys(("steps", "submits", "cancels_sent", "fills_full", "expired", "canceled", "position_lots"), 1)
    peer: dict[str, Any] = dict(run)
    assert runner.check_same_work("maker", peer, {"plain": run})
    assert peer["same_orders_as_perpsim"] is True
    assert not runner.check_same_work("maker", peer, {"plain": run | {"submits": 2}})
    assert peer["same_orders_as_perpsim"] is False


def test_a_task_that_fails_says_why() -> None:
    with pytest.raises(runner.BenchError, match=r"perpsim nonsense: exit code 2(.|\n)*invalid choice"):
        runner.run_lines([runner.sys.executable, "-m", "sim.bench.tasks", "nonsense", "."], "perpsim nonsense")


def test_the_whole_benchmark_on_a_small_feed(feed: Path, tmp_path: Path) -> None:
    """Every process is bounded; on two busy cores all of them take some 20 seconds together."""
    lines: list[str] = []
    result = json.loads(json.dumps(runner.run_bench(feed, cache=tmp_path, repeats=1, say=lines.append)))
    assert result["feed"]["rows"] == ROWS
    assert (
        result["lake_vs_memory"] > 0
        and result["hot_vs_memory"] > 0
        and result["rss_peak_mib"] > 0
        and result["import_s"] > 0
    )
    assert result["perpsim"]["plain"]["submits"] == result["perpsim"]["compiled"]["submits"] > 0
    assert result["floors"]["replay_vs_hftbacktest"]["met"] is None
    assert any("lanes64" in line for line in lines)


def test_all_forms_of_a_feed_hold_the_same_events(feed: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    result = json.loads(json.dumps(load.run_load(feed, tmp_path, 1, lines.append)))
    assert {one["events"] for one in result["measured"].values()} == {ROWS}
    assert set(result["events_per_s"]) == set(load.FORMS) and min(result["events_per_s"].values()) > 0
    assert not list(tmp_path.glob("load-*"))
