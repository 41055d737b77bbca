"""The shadow of a live session: predicted against actual, and nothing of it touches the session."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rich.console import Console
from typer.testing import CliRunner

from matching.codes import BUY, IOC, SELL
from sim.cli import app
from sim.compare import compare
from sim.live import shadow as shadow_module
from sim.live.gateway import Gateway
from sim.live.runner import Session
from sim.live.setup import prepare
from sim.live.shadow import Shadow
from sim.live.shadow_report import lines
from sim.live.view import screen
from sim.strategies import MarketMaker
from sim.strategy import Order, Strategy
from sim.virtual_time import VirtualTime
from tests.sim import live_venue
from tests.sim.live_wires import START_NS, Played, run_file
from tests.sim.shadow_runs import Shadowed, slice_of
from venues.trading_sessions import SESSIONS

KEYS = {"KEY": "k3y", "SECRET": "s3cr3t"}
CONNECT = {"binance_usdm": {"book": "0ms", "key_env": "KEY", "secret_env": "SECRET"}}


class Actor(Strategy):
    """Does what its script says at whole seconds after the start."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.orders: list[Order] = []

    def on_start(self) -> None:
        self.ctx.every("1s")

    def on_timer(self) -> None:
        if self.script:
            self.script.pop(0)(self)


def send(lots: int, away: int = 100, side: int = BUY, **more: Any) -> Any:
    """An order so many ticks away from the best price of its own side."""

    def act(actor: Actor) -> None:
        book = actor.ctx.book(0)
        ticks = book.best_bid_ticks - away if side == BUY else book.best_ask_ticks + away
        actor.orders.append(actor.ctx.submit(0, side, ticks, lots, **more))

    return act


def cancel(place: int) -> Any:
    return lambda actor: actor.ctx.cancel(actor.orders[place])


def nothing(actor: Actor) -> None:
    pass


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    monkeypatch.setitem(SESSIONS, "binance_usdm", ("tests.sim.live_venue", "VenueStandIn"))
    live_venue.MADE.clear()
    live_venue.BEHAVIOUR.clear()
    yield live_venue.BEHAVIOUR
    live_venue.BEHAVIOUR.clear()


def live(folder: Path, strategy: Strategy, seconds: int = 14, *, shadow: bool = True, **more: Any) -> Played:
    document = run_file(**({"connect": CONNECT, "live": {"enabled": True, "shadow": shadow}} | more))
    return Played(folder, strategy, document, seconds, mode="live", environment=KEYS, yes=True)


def said(played: Played) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((played.result.path / "shadow.json").read_text())
    return found


# -- against the emulator: it matches as the simulator does


@pytest.fixture(scope="module", params=["hyperliquid", "binance"])
def market(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    return request.param, slice_of(request.param, 45, tmp_path_factory.mktemp(request.param))


def maker() -> Strategy:
    return MarketMaker(lots=200, max_lots=1000, interval="100ms", gamma=0.03, k=0.7, horizon_s=10)


def test_with_the_latency_of_the_run_every_order_goes_as_predicted(market: tuple[str, Path], tmp_path: Path) -> None:
    venue, lake = market
    played = Shadowed(venue, lake, tmp_path, maker(), 35)
    found = played.said()
    assert found["equal"] and found["ended"] is None and not found["pairs"]
    assert found["counts"]["ended_sooner"] == found["counts"]["busy"] == 0
    assert found["counts"]["orders"] == found["orders"]["a"] == found["orders"]["in_both"] >= 5
    assert found["counts"]["amends"] > 50 and found["filled_both"] >= 3
    assert found["filled_live_only"] == found["filled_shadow_only"] == 0 and found["worse_ticks"] == 0
    assert [row["difference_e8"] for row in found["profit_difference_e8"]] == [0]
    assert abs(found["latency_actual_ms"]["p50"] - found["latency_predicted_ms"]["p50"]) < 1e-3
    orders = pl.read_parquet(played.folder / "shadow.parquet")
    assert len(orders) == found["orders"]["a"] and set(orders["differs"].str.split(",").explode()) <= {
        "", "latency", "queue",
    }  # fmt: skip
    assert (orders["actual_filled"] == orders["predicted_filled"]).all()
    again = compare(played.folder, played.folder / "shadow")
    assert again["orders"]["in_both"] == found["orders"]["a"]
    assert played.result.summary["shadow"]["equal"] and (played.folder / "shadow.html").is_file()


def test_latencies_are_drawn_alike_order_by_order(market: tuple[str, Path], tmp_path: Path) -> None:
    venue, lake = market
    leg = {"quantiles": ["2ms", "5ms", "20ms", "80ms"]}
    drawn = {"entry": leg, "response": leg}

    def batch(actor: Actor) -> None:
        bid = actor.ctx.book(0).best_bid_ticks
        actor.ctx.submit_batch([(0, BUY, bid - 100 - n, 700) for n in range(4)])

    played = Shadowed(
        venue, lake, tmp_path, Actor(batch, send(700), send(800), batch, send(900)), 14, emulator=drawn, latency=drawn
    )
    found = played.said()
    assert found["orders"]["in_both"] == 11 and found["equal"], found["differences"]
    orders = pl.read_parquet(played.folder / "shadow.parquet")
    assert orders["predicted_latency_ns"].n_unique() > 3


def test_with_another_latency_the_report_names_the_orders_that_differ(market: tuple[str, Path], tmp_path: Path) -> None:
    venue, lake = market
    played = Shadowed(venue, lake, tmp_path, maker(), 35, emulator="90ms")
    found = played.said()
    assert not found["equal"] and found["orders"]["in_both"] == found["orders"]["a"] == found["orders"]["b"]
    assert found["orders"]["different"] == len(found["pairs"]) >= 5
    assert all(one["a"]["order_no"] == one["b"]["order_no"] and one["kinds"] for one in found["pairs"])
    late = [one["a"]["acked_ns"] - one["b"]["acked_ns"] for one in found["pairs"] if "time" in one["kinds"]]
    assert late and all(gap >= 60_000_000 for gap in late if gap), late
    assert found["latency_actual_ms"]["p50"] > found["latency_predicted_ms"]["p50"] + 60
    text = "\n".join(lines(played.result.summary["shadow"]))
    assert "other than predicted" in text and "(predicted" in text
    last = played.shown[-1]["shadow"]
    assert last["compared"] >= 3 and last["latency_actual_ms"] > last["latency_predicted_ms"] + 60


@pytest.mark.parametrize("market", ["hyperliquid"], indirect=True)
def test_the_session_with_and_without_a_shadow_is_the_same(market: tuple[str, Path], tmp_path: Path) -> None:
    venue, lake = market
    alone = Shadowed(venue, lake, tmp_path / "a", maker(), 12, shadow=False)
    beside = Shadowed(venue, lake, tmp_path / "b", maker(), 12)
    assert alone.result.hash == beside.result.hash
    assert (alone.folder / "orders.parquet").read_bytes() == (beside.folder / "orders.parquet").read_bytes()
    assert not (alone.folder / "shadow.json").exists() and "shadow" not in alone.result.summary


# -- what is repeated


def test_what_the_account_holds_is_taken_over(tmp_path: Path, stand_in: dict[str, Any]) -> None:
    stand_in["position"] = -300
    played = live(tmp_path, Actor(nothing, lambda one: one.ctx.market(0, BUY, 100)))
    beside = json.loads((played.result.path / "shadow" / "summary.json").read_text())
    (account,) = beside["accounts"]
    assert account["positions"] == [{"instrument": "BTCUSDT", "position_lots": -200}]
    manifest = json.loads((played.result.path / "shadow" / "manifest.json").read_text())
    assert [one["deposit_e8"] for one in manifest["accounts"]] == [5_000 * 10**8]
    assert manifest["mode"] == "shadow"
    first = pl.read_parquet(played.result.path / "shadow" / "positions.parquet").row(0, named=True)
    assert first["position_lots"] == -300


@pytest.mark.parametrize("is_late", [False, True])
def test_numbers_terms_and_instants_are_those_of_the_session(
    is_late: bool, tmp_path: Path, stand_in: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_late:  # what is due between records waits for the next of them, and was decided before it
        monkeypatch.setattr(Session, "_sleep", no_sleep)
    rows = [{"i": 0, "side": SELL, "ticks": 300_000 + n, "lots": 5 + n} for n in range(3)]
    actor = Actor(
        send(5), send(500), lambda one: one.ctx.submit_batch(rows), send(7, away=0, tif=IOC, reduce_only=True),
        lambda one: one.ctx.set_leverage(0, 9), send(6, trigger="stop", trigger_ticks=300_000, away=-20_000), cancel(0),
        lambda one: one.ctx.amend(one.orders[-1], 199_000, 4),
    )  # fmt: skip
    played = live(tmp_path, actor, risk={"max_position": "0.1"})
    found = said(played)
    names = ["order_no", "side", "ticks", "lots", "tif", "type", "ts_sent_ns"]
    first = [
        pl.read_parquet(folder / "orders.parquet")
        .filter(pl.col("seq") == 0, pl.col("order_no") > 0)
        .sort("order_no")
        .select(names)
        for folder in (played.result.path, played.result.path / "shadow")
    ]
    assert first[0]["order_no"].to_list() == [1, 2, 3, 4, 5, 6, 7]
    assert first[1].equals(first[0].filter(pl.col("order_no") != 2))  # the limits kept it here
    assert found["counts"] | {"cancels": 0} == {
        "orders": 6, "cancels": 0, "amends": 1, "settings": 1, "ended_sooner": 0, "busy": 0,
    }  # fmt: skip
    assert found["orders"]["a"] == 7 and found["differences"]["only a"] == 1


async def no_sleep(session: Session) -> None: ...


def test_an_order_that_the_simulator_has_ended_is_counted(tmp_path: Path, stand_in: dict[str, Any]) -> None:
    actor = Actor(
        nothing, send(5, away=-10_000), nothing, lambda one: one.ctx.amend(one.orders[0], 1_000, 5), cancel(0)
    )
    played = live(tmp_path, actor)  # the stand-in lets it rest, the simulator executes what crosses
    found = said(played)
    assert found["counts"] | {"orders": 1} == found["counts"] and found["counts"]["ended_sooner"] == 2
    assert found["filled_shadow_only"] == 1 and found["filled_live_only"] == found["filled_both"] == 0
    (one,) = found["pairs"]
    assert {"filled", "end"} <= set(one["kinds"]) and one["a"]["filled"] == 0 and one["b"]["filled"] == 5
    row = pl.read_parquet(played.result.path / "shadow.parquet").row(0, named=True)
    assert (row["actual_filled"], row["predicted_filled"]) == (0, 5) and "filled" in row["differs"]
    assert "1 simulated only" in "\n".join(lines(found)) and "2 requests came after" in "\n".join(lines(found))


def test_a_request_behind_another_is_counted(tmp_path: Path, stand_in: dict[str, Any]) -> None:
    slow = [{"name": "binance_usdm", "latency": "1500ms", "deposit": {"USDT": 100_000}}]
    moves = [lambda one, n=n: one.ctx.amend(one.orders[0], 200_000 + n, 5) for n in range(3)]
    played = live(tmp_path, Actor(send(5), nothing, nothing, nothing, *moves), venue=slow)
    counts = said(played)["counts"]
    assert (counts["amends"], counts["busy"], counts["cancels"]) == (1, 2, 1), counts


# -- nothing of it touches the session


def broken(*arguments: Any, **more: Any) -> Any:
    raise ZeroDivisionError("of the shadow's own")


@pytest.mark.parametrize(
    "place", ["shadow_of", "_step", "_repeat", "_feed", "_commands", "_figures", "write_report", "finish"]
)
def test_a_defect_of_the_shadow_touches_nothing(
    place: str, tmp_path: Path, stand_in: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def script() -> Actor:
        return Actor(send(5), send(6), cancel(0), send(7))

    plain = live(tmp_path / "plain", script(), 10, shadow=False)
    commands = list(live_venue.MADE[-1].commands)
    if place in ("shadow_of", "write_report"):
        target: Any = shadow_module
        if place == "shadow_of":
            from sim.live import runner as target
        monkeypatch.setattr(target, place, broken)
    elif place == "finish":
        monkeypatch.setattr("sim.live.run.LiveRun.finish", spoiled(shadow_module.LiveRun.finish))
    else:
        monkeypatch.setattr(Shadow, place, broken)
    played = live(tmp_path / "beside", script(), 10)
    assert played.result.hash == plain.result.hash
    assert live_venue.MADE[-1].commands == commands
    for name in ("orders", "fills", "equity", "positions"):
        mine, other = (one.result.path / f"{name}.parquet" for one in (played, plain))
        assert mine.read_bytes() == other.read_bytes()
    path = played.result.path / "log.jsonl"
    log = path.read_text() if path.exists() else ""
    if place == "shadow_of":
        assert "runs without a shadow: ZeroDivisionError" in log and "shadow" not in played.result.summary
        return
    assert "ZeroDivisionError: of the shadow's own" in said(played)["ended"]
    assert "ended: ZeroDivisionError" in lines(played.result.summary["shadow"])[0]
    if place not in ("write_report", "finish"):
        assert log.count("the shadow has ended: ZeroDivisionError") == 1
        manifest = json.loads((played.result.path / "shadow" / "manifest.json").read_text())
        assert manifest["status"] == "failed" and "ZeroDivisionError" in manifest["failure"]


def spoiled(finish: Any) -> Any:
    return lambda run, html: finish(run, html) if run.is_external else broken()


def test_a_shadow_that_does_not_keep_up_ends(
    tmp_path: Path, stand_in: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadow_module, "WAITING_MAX", 50)
    monkeypatch.setattr(Shadow, "work", lambda shadow: False)
    played = live(tmp_path, Actor(send(5)))
    assert "it is 50 steps behind" in said(played)["ended"]
    assert played.shown[-1]["shadow"]["ended"] and played.shown[-1]["shadow"]["behind"] == 0


def test_a_command_has_left_before_the_shadow_hears_of_it(
    tmp_path: Path, stand_in: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[tuple[str, int]] = []
    for target, name in ((Gateway, "_send"), (Shadow, "mirror"), (Shadow, "_repeat")):
        monkeypatch.setattr(target, name, noted(getattr(target, name), name, heard))
    live(tmp_path, Actor(send(5), send(6), cancel(1)))
    assert [name for name, _ in heard[:3]] == ["_send", "mirror", "_repeat"] and len(heard) >= 9


def noted(method: Any, name: str, heard: list[tuple[str, int]]) -> Any:
    def note(*arguments: Any) -> Any:
        heard.append((name, len(heard)))
        return method(*arguments)

    return note


def test_a_session_that_fails_ends_its_shadow(tmp_path: Path, stand_in: dict[str, Any]) -> None:
    with pytest.raises(ZeroDivisionError):
        live(tmp_path, Actor(send(5), broken))
    (folder,) = (tmp_path / "runs").iterdir()
    manifest = json.loads((folder / "shadow" / "manifest.json").read_text())
    assert manifest["status"] == "failed" and "the live session failed" in manifest["failure"]
    assert json.loads((folder / "manifest.json").read_text())["failure"].startswith("ZeroDivisionError")


# -- how it is asked for and shown


def test_the_flag_and_the_run_file_ask_for_it() -> None:
    document = run_file(connect=CONNECT, live={"enabled": True})
    clock = VirtualTime(START_NS)

    def asks(document: dict[str, Any], **more: Any) -> bool:
        return prepare("live", document, clock, KEYS, Actor(), yes_real_orders=True, **more).live.shadow

    assert not asks(document) and asks(document, shadow=True)
    assert asks(document | {"live": {"enabled": True, "shadow": True}})
    assert "--shadow" in CliRunner().invoke(app, ["live", "--help"], env={"COLUMNS": "200"}).output


def test_the_view_has_a_line_of_it(tmp_path: Path, stand_in: dict[str, Any]) -> None:
    played = live(tmp_path, Actor(send(5), send(6), cancel(0)))
    console = Console(width=250, record=True, file=io.StringIO())
    console.print(screen(played.shown[-1], 40))
    assert "shadow 2 orders  filled in both 0, live only 0, simulated only 0" in console.export_text()
