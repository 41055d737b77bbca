"""Paper sessions in virtual time against a venue that plays a synthetic feed: begin, gaps, end, state, refusals."""

from __future__ import annotations

import io
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from matching.codes import BUY, GTX, SELL
from recorders.raw import NOTE, RawRecord, RawRecording, RunBegan, RunEnded, decode_note
from sim.backtest import backtest
from sim.live.runner import Session
from sim.live.view import screen
from sim.strategy import Fill, Funding, Gap, Order, OrderEvent, Strategy
from sim.synth.session import SyntheticSession
from tests.sim.live_wires import SECOND, START_NS, Played, run_file
from venues.errors import InputError
from venues.ports import MemoryFiles


class Quoter(Strategy):
    """Quotes both sides every 100 ms."""

    def __init__(self, lots: int = 5, until: int = 1 << 62) -> None:
        self.lots, self.until = lots, until
        self.timers: list[int] = []
        self.heard: list[tuple[Any, ...]] = []
        self.kept = 0
        self.ended_at = 0

    def on_start(self) -> None:
        self.ctx.every("100ms")

    def on_timer(self) -> None:
        self.timers.append(self.ctx.now_ns)
        book = self.ctx.book(0)
        if len(self.timers) == self.until:
            self.ctx.stop("enough")
        if not book.is_valid:
            return
        for order in self.ctx.orders(0):
            if order.is_cancelable:
                self.ctx.cancel(order)
        self.ctx.submit(0, BUY, book.best_bid_ticks, self.lots, GTX)
        self.ctx.submit(0, SELL, book.best_ask_ticks, self.lots, GTX)

    def on_order(self, order: Order, event: OrderEvent) -> None:
        self.heard.append(("order", self.ctx.now_ns, order.number, event.name, event.code, event.text))

    def on_fill(self, order: Order, fill: Fill) -> None:
        self.kept += 1
        self.heard.append(("fill", self.ctx.now_ns, order.number, fill.ticks, fill.lots))

    def on_funding(self, i: int, funding: Funding) -> None:
        self.heard.append(("funding", self.ctx.now_ns, funding.boundary_ns))

    def on_gap(self, i: int, gap: Gap) -> None:
        self.heard.append(("gap", self.ctx.now_ns, gap.kind))

    def on_stop(self) -> None:
        self.ended_at = self.ctx.now_ns

    def save_state(self) -> dict[str, Any]:
        return {"kept": self.kept}

    def restore_state(self, state: Any) -> None:
        self.kept = state["kept"]


def notes(folder: Path) -> tuple[RunBegan, RunEnded]:
    records = RawRecording(folder).records(kinds=(NOTE,))
    found = [decode_note(record.payload) for record in records if isinstance(record, RawRecord)]
    (began,) = [note for note in found if isinstance(note, RunBegan)]
    (ended,) = [note for note in found if isinstance(note, RunEnded)]
    return began, ended


def manifest(played: Played) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((played.result.path / "manifest.json").read_text())
    return found


def test_a_paper_session_leaves_a_run_folder_and_its_recording(tmp_path: Path) -> None:
    strategy = Quoter()
    played = Played(tmp_path, strategy, run_file(), 30)
    said = manifest(played)
    began, ended = notes(Path(said["recording"]))
    assert (said["mode"], said["status"], said["why"]) == ("paper", "finished", "the test is over")
    assert (began.delay_ns, began.offset_ns) == (said["delay_ns"], said["offset_ns"]) and began.samples > 100
    assert began.begin_ns == said["first_ns"] == START_NS + 5 * SECOND
    assert ended.stamp_ns == said["last_ns"] == strategy.ended_at
    assert strategy.timers[0] == START_NS + 5 * SECOND + SECOND // 10  # exactly at its instants
    assert {b - a for a, b in itertools.pairwise(strategy.timers)} == {SECOND // 10}
    fills = [row for row in strategy.heard if row[0] == "fill"]
    assert len(fills) > 5 and 0 <= len(played.result.fills) - len(fills) < 5  # the last ones are still on their way
    told = played.result.orders.filter(played.result.orders["ts_event_ns"] > 0)
    assert (told["ts_deliver_ns"] - told["ts_event_ns"]).min() >= said["delay_ns"] - 10**6  # cut to milliseconds
    assert said["lag_ms"] == {"p50": 0.0, "p999": 0.0, "max": 0.0} and said["steps"] > 1000


def test_it_is_the_same_run_twice_and_another_delay_is_another_run(tmp_path: Path) -> None:
    first = Played(tmp_path / "a", Quoter(), run_file(), 20)
    again = Played(tmp_path / "b", Quoter(), run_file(), 20)
    other = Played(tmp_path / "c", Quoter(), run_file(paper={"warm_up": "5s", "delay": "300ms"}), 20)
    assert first.result.hash == again.result.hash != other.result.hash
    assert manifest(other)["delay_ns"] == 300_000_000


def test_a_connection_that_breaks_is_a_gap_and_the_session_goes_on(tmp_path: Path) -> None:
    strategy = Quoter()
    played = Played(tmp_path, strategy, run_file(), 40, cut=[START_NS + 15 * SECOND])
    gaps = [row for row in strategy.heard if row[0] == "gap"]
    assert len(gaps) >= 1 and START_NS + 15 * SECOND <= gaps[0][1] < START_NS + 16 * SECOND
    assert [row for row in strategy.heard if row[0] == "fill" and row[1] > START_NS + 25 * SECOND]
    assert manifest(played)["status"] == "finished" and len(played.result.gaps) >= 1


def test_funding_comes_from_the_stream(tmp_path: Path) -> None:
    boundary = START_NS // (28_800 * SECOND) * 28_800 * SECOND + 28_800 * SECOND
    session = SyntheticSession(
        start_ns=boundary - 20 * SECOND, duration_ns=60 * SECOND, gap_after_ns=None, liquidation_after_ns=None
    )

    class Holder(Quoter):
        def on_timer(self) -> None:
            if not self.timers:
                self.timers.append(self.ctx.now_ns)
                self.ctx.market(0, BUY, 100)

    strategy = Holder()
    played = Played(tmp_path, strategy, run_file(), 40, session=session)
    ((_, told_at, charged),) = [row for row in strategy.heard if row[0] == "funding"]
    assert charged == boundary and told_at >= boundary + manifest(played)["delay_ns"]
    assert len(played.result.funding) == 1


def test_what_the_stream_was_to_bring_and_does_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no mark price came during the warm-up"):
        Played(tmp_path, Quoter(), run_file(), 20, silent=["markPriceUpdate"])
    with pytest.raises(InputError, match="nothing to measure the delay from"):
        silent = ["markPriceUpdate", "depthUpdate", "trade", "bookTicker"]
        Played(tmp_path, Quoter(), run_file(), 20, silent=silent)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"instrument": [{"symbol": "BTCUSDT", "mark": "marks.csv"}]}, "field 'mark': marks.csv is a table"),
        ({"instrument": [{"symbol": "BTCUSDT", "book": "l3"}]}, "no venue's live stream names every order"),
        ({"record": {"streams": ["trades", "marks"]}}, "paper needs depth"),
        ({"record": {"streams": ["trades", "depth"]}}, "no mark price is recorded"),
        ({"paper": {"dely": "1s"}}, "paper.dely: unknown key; did you mean 'delay'"),
        ({"live": {"enable": True}}, "live.enable: unknown key; did you mean 'enabled'"),
        ({"risk": {"max_pos": 1}}, "risk.max_pos: unknown key; did you mean"),
        ({"connect": {"binanc": {}}}, "connect: no venue 'binanc'"),
        ({"connect": {"binance_usdm": {"key": "abc"}}}, "connect.binance_usdm.key: unknown key"),
        ({"data": [{"name": "x", "path": "x.csv"}]}, "tables of signals are for backtests"),
    ],
)
def test_mistakes_of_the_run_file_are_named(more: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        Played(tmp_path, Quoter(), run_file(**more), 1)
    assert message in str(caught.value)


def test_the_strategy_can_stop_it_and_its_error_fails_it(tmp_path: Path) -> None:
    quoter = Quoter(until=50)
    played = Played(tmp_path / "a", quoter, run_file(), 60)
    assert manifest(played)["why"] == "enough" and len(quoter.timers) == 50

    class Broken(Quoter):
        def on_fill(self, order: Order, fill: Fill) -> None:
            raise ZeroDivisionError("of the strategy's own")

    with pytest.raises(ZeroDivisionError) as caught:
        Played(tmp_path / "b", Broken(), run_file(), 60)
    assert "raised by Broken (lane 0)" in caught.value.__notes__[0]
    (folder,) = (tmp_path / "b" / "runs").iterdir()
    said = json.loads((folder / "manifest.json").read_text())
    assert (said["status"], said["mode"]) == ("failed", "paper") and "of the strategy's own" in said["failure"]
    assert RawRecording(Path(said["recording"])).state == "closed"


def test_limits_stand_before_the_simulated_venue_too(tmp_path: Path) -> None:
    strategy = Quoter(lots=50)
    played = Played(tmp_path, strategy, run_file(risk={"max_position": "0.12", "max_open_orders": 3}), 30)
    refused = [row for row in strategy.heard if row[0] == "order" and row[3] == "Rejected" and "not sent" in row[5]]
    assert refused and {row[5].split(":")[1].strip() for row in refused} <= {"max_position", "max_open_orders"}
    assert played.result.positions["position_lots"].abs().max() <= 120
    assert json.loads((played.result.path / "log.jsonl").read_text().splitlines()[0])["level"] == "warning"


def test_the_kill_switch_ends_the_session(tmp_path: Path) -> None:
    played = Played(tmp_path, Quoter(lots=2000), run_file(risk={"max_loss": 20}), 300)
    assert manifest(played)["why"].startswith("max_loss: ")


def test_state_is_kept_over_a_restart(tmp_path: Path) -> None:
    files = MemoryFiles()
    document = run_file(state={"file": str(tmp_path / "state.json"), "every": "7s"})
    first = Quoter()
    Played(tmp_path / "a", first, document, 30, files=files)
    assert first.kept > 0
    second = Quoter()
    second.on_start = lambda: None  # type: ignore[method-assign]
    Played(tmp_path / "b", second, document, 10, files=files)
    assert second.kept == first.kept
    with pytest.raises(InputError, match="is of the run 'paper', not 'other'"):
        Played(tmp_path / "c", Quoter(), document | {"name": "other"}, 10, files=files)


def test_the_view_shows_everything(tmp_path: Path) -> None:
    played = Played(tmp_path, Quoter(), run_file(risk={"max_open_orders": 100}), 20)
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(screen(played.shown[-2], 40))  # the last before the end
    text = console.export_text()
    for part in (
        "paper",
        "running",
        "2 of 2 connections open",
        "BTCUSDT",
        "margin ratio",
        "behind",
        "limits ok",
        "buy",
    ):
        assert part in text, text
    assert played.shown[0]["phase"] in ("connecting", "warming up")


@pytest.mark.parametrize("cut", [[], [START_NS + 15 * SECOND]])
def test_the_backtest_of_the_recording_is_the_session_to_the_byte(cut: list[int], tmp_path: Path) -> None:
    played = Played(tmp_path, Quoter(lots=50), run_file(), 40, cut=cut)
    assert len(played.result.fills) > 20
    again = backtest(played.result.path / "run.toml", Quoter(lots=50), out=tmp_path / "again", show_progress=False)
    assert again.hash == played.result.hash
    for name in ("orders", "fills", "funding", "equity", "positions", "bbo", "gaps"):
        assert (again.path / f"{name}.parquet").read_bytes() == (played.result.path / f"{name}.parquet").read_bytes(), (
            name
        )


def test_the_limit_ends_the_run_before_its_recording(tmp_path: Path) -> None:
    document = run_file()
    document["record"]["limit"] = "12.34s"
    played = Played(tmp_path, Quoter(lots=50), document, 30)
    said = manifest(played)
    assert said["why"] == "the time limit has passed"
    ended = notes(Path(said["recording"]))[1]
    assert ended.stamp_ns == said["last_ns"] == START_NS + 12_340_000_000
    assert ended.why == "the time limit has passed"
    again = backtest(played.result.path / "run.toml", Quoter(lots=50), out=tmp_path / "again", show_progress=False)
    assert again.hash == played.result.hash and again.summary["last_ns"] == said["last_ns"]


def test_log_and_samples_leave_a_running_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int, int, int]] = []

    def look(session: Session, recording: dict[str, Any]) -> dict[str, Any]:
        if session.phase == "running":
            assert session.run is not None
            tables = session.run.writer.tables
            waiting = len(session.run.core.canonical_log())
            seen.append((recording["wall_ns"], tables["bbo"].rows, tables["orders"].rows, waiting))
        return {}

    monkeypatch.setattr("sim.live.runner.status_of", look)
    Played(tmp_path, Quoter(), run_file(), 15)
    assert len(seen) > 8
    for before, now in itertools.pairwise(seen):
        assert now[1] - before[1] >= (now[0] - before[0]) // (SECOND // 10) - 2  # the best quotes of every 100 ms
    assert seen[-1][2] > 200 and max(waiting for *_, waiting in seen) < 60  # what no answer has come to yet stays


def test_no_figure_is_cut_on_a_terminal_of_80_columns(tmp_path: Path) -> None:
    status = Played(tmp_path, Quoter(), run_file(), 20).shown[-1]
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(screen(status, 24))
    text = console.export_text()
    assert "…" not in text, text
    assert f"{status['accounts'][0]['equity_e8'] / 1e8:,.2f}" in text
    assert "position  BTCUSDT" in text or "position  flat" in text


def test_the_view_says_why_a_connection_is_down(tmp_path: Path) -> None:
    status = Played(tmp_path, Quoter(), run_file(), 10).shown[0]
    status["connections"] = [{"name": "binance_usdm public-1", "open": False, "why": "connect: refused"}]
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(screen(status, 24))
    assert "binance_usdm public-1 (connect: refused)" in console.export_text()


def test_the_end_of_a_session_is_no_gap_of_its_report(tmp_path: Path) -> None:
    strategy = Quoter()
    played = Played(tmp_path, strategy, run_file(), 20)
    (said,) = [line for line in played.result.banner if line.topic == "Gaps"]
    assert (said.text, said.level, len(played.result.gaps)) == ("none", "info", 0)
    assert [row for row in strategy.heard if row[0] == "gap"]  # it was told all the same
