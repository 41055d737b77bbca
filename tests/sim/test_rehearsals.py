"""Rehearsals on a loop that never sleeps: whose turn it is, what market data go through, and that no run is another."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
from pathlib import Path
from typing import Any

import pytest

from recorders.raw import FRAME_IN
from sim.config_live import LiveConfig
from sim.live import rehearsals
from sim.live.busy_poll import BusyLoop, BusyPoll
from sim.live.market_rehearsal import FRAMES, MarketRehearsal
from sim.live.rehearsals import Turns
from sim.live.runner import Session
from sim.live.setup import Setup
from sim.strategies import MarketMaker
from sim.strategy import Strategy
from tests.sim.live_wires import Played, run_file
from tests.tools.parity import parity
from venues import known_instrument
from venues.ports import CountingEntropy, SystemClock, UnkeptFile
from venues.trading_sessions import Keys, TradingWanted


class Idle(Strategy):
    """Does nothing."""


def test_each_takes_a_step_in_turn_and_one_that_fails_is_said_and_left_out() -> None:
    said: list[tuple[str, str]] = []
    steps: list[str] = []
    turns = Turns(lambda level, text: said.append((level, text)))
    turns.next()

    def fail() -> None:
        steps.append("fails")
        raise ValueError("no")

    for step in (lambda: steps.append("a"), fail, lambda: steps.append("b")):
        turns.add(step)
    for _ in range(6):
        turns.next()
    assert steps == ["a", "fails", "b", "a", "b", "a"] and turns.taken == 5
    assert said == [("warning", "what was rehearsed is not any more: ValueError: no")]


def test_nothing_leaves_a_turn_not_even_when_it_cannot_be_said() -> None:
    def fail(*arguments: object) -> None:
        raise OSError("the disk is full")

    turns = Turns(fail)
    turns.add(fail)
    turns.next()
    turns.next()
    assert turns.taken == 0


def test_the_selector_gives_idle_time_away_and_only_that(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0]
    with BusyPoll() as poll:
        monkeypatch.setattr(poll, "_now_ns", lambda: now.append(now[-1] + 10) or now[-1])
        given: list[int] = []
        poll.idle, poll.idle_ns = lambda: given.append(now[-1]), 100
        assert poll.select(0) == [] and not given
        while now[-1] < 1000:
            assert poll.select(1e-6) == []
        assert given and all(later - earlier >= 100 for earlier, later in itertools.pairwise(given))
        assert len(given) >= 5


def test_what_idle_time_was_used_for_is_attended_to_at_once() -> None:
    async def main() -> bool:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, BusyLoop)
        woken = asyncio.Event()
        loop.poll.idle = woken.set
        later = loop.call_later(3, lambda: None)
        await woken.wait()
        loop.poll.idle = None
        return loop.time() < later.when()

    with asyncio.Runner(loop_factory=BusyLoop) as runner:
        assert runner.run(main())


def sampled(folder: Path) -> tuple[Session, list[Any], list[Any]]:
    """A paper session, its instruments, and the records of its warm-up."""
    found: list[Any] = []

    class Sampled(Played):
        async def _stop(self, seconds: int) -> None:
            self.session.on_sample = lambda instruments, records: found.extend((instruments, records))
            await super()._stop(seconds)

    played = Sampled(folder, Idle(), run_file(), 12)
    return played.session, found[0], found[1]


def test_market_data_go_through_sessions_and_a_feed_of_their_own(tmp_path: Path) -> None:
    session, instruments, records = sampled(tmp_path)
    before = [(link.frames, link.last_frame_ns) for one in session.setup.sessions for link in one.links]
    rehearsal = MarketRehearsal(instruments, session.setup.sessions, records, CountingEntropy())
    while rehearsal.passes < 3:
        rehearsal.step()
    one_pass = rehearsal.messages // 3
    assert one_pass > FRAMES // 2 and rehearsal.messages == 3 * one_pass  # each pass is as the first
    assert [(link.frames, link.last_frame_ns) for one in session.setup.sessions for link in one.links] == before


def test_only_the_first_few_markets_are_made_anew_with_each_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, instruments, records = sampled(tmp_path)
    other = known_instrument("binance_usdm", "ETHUSDT")
    rehearsal = MarketRehearsal([*instruments, other], session.setup.sessions, records, CountingEntropy())
    assert [market.instrument.symbol for market in rehearsal._feed.markets] == ["BTCUSDT"]
    while not rehearsal.passes:
        rehearsal.step()
    assert rehearsal.messages > FRAMES // 2
    monkeypatch.setattr("sim.live.market_rehearsal.MARKETS", 0)
    rehearsal = MarketRehearsal([*instruments, other], session.setup.sessions, records, CountingEntropy())
    assert not rehearsal._feed.markets and not any(record.kind == FRAME_IN for record in rehearsal._records)


def test_what_is_over_does_not_wait_for_the_collector(tmp_path: Path) -> None:
    session, instruments, records = sampled(tmp_path)
    rehearsal = MarketRehearsal(instruments, session.setup.sessions, records, CountingEntropy())
    left = []
    gc.disable()
    try:
        for passes in (1, 21):
            while rehearsal.passes < passes:
                rehearsal.step()
            left.append(gc.collect())
    finally:
        gc.enable()
    assert left[1] < 100, left  # 20 passes leave thousands


def test_a_sample_without_anything_is_no_error(tmp_path: Path) -> None:
    session, instruments, _ = sampled(tmp_path)
    rehearsal = MarketRehearsal(instruments, session.setup.sessions, [], CountingEntropy())
    for _ in range(3):
        rehearsal.step()
    assert rehearsal.messages == 0 and rehearsal.passes == 3


@pytest.mark.parametrize(("loop_class", "rehearse", "idles"), [(BusyLoop, "2ms", 3), (BusyLoop, 0, 0)])
def test_a_loop_that_never_sleeps_rehearses_whenever_it_is_idle(loop_class: Any, rehearse: Any, idles: int) -> None:
    setup = object.__new__(Setup)
    setup.mode = "live"
    setup.config = type("Config", (), {"live": LiveConfig(rehearse=rehearse)})()  # type: ignore[assignment]
    setup.sessions = ()  # type: ignore[assignment]
    instrument = known_instrument("binance_usdm", "BTCUSDT")
    setup.trading = {0: TradingWanted("binance_usdm", 0, {0: instrument}, "run1", Keys("key", "secret"))}
    ports: Any = type("Ports", (), {"clock": SystemClock(), "entropy": CountingEntropy()})
    said: list[str] = []
    session: Any = type("Session", (), {"on_sample": None, "say": lambda self, level, text: said.append(text)})()
    session.pass_time = lambda: None

    async def main() -> int:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, BusyLoop)
        end = rehearsals.start(setup, ports, session, loop)
        if session.on_sample is not None:
            session.on_sample([instrument], [])
        await asyncio.sleep(0)
        if loop.poll.idle is None:
            return 0
        for _ in range(30):
            loop.poll.idle()
        turns: Turns = loop.poll.idle.__self__  # type: ignore[attr-defined]
        end()
        assert loop.poll.idle is None and turns.taken == 30
        return len(turns._steps)

    with asyncio.Runner(loop_factory=loop_class) as runner:
        assert runner.run(main()) == idles
    assert not said


def test_time_that_passes_between_records_changes_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Played(tmp_path / "plain", MarketMaker(lots=50, max_lots=500), run_file(), 25)
    take = Session._take

    def taken(self: Session, record: Any) -> None:
        take(self, record)
        self.pass_time()

    monkeypatch.setattr(Session, "_take", taken)
    other = Played(tmp_path / "other", MarketMaker(lots=50, max_lots=500), run_file(), 25)
    assert other.result.summary["orders"] > 3
    assert other.result.hash == plain.result.hash
    found = parity("binance", "maker", 0.5, "volatile", "50ms", tmp_path / "parity")
    assert len({found[mode][name] for mode in ("paper", "live") for name in ("hash", "backtest_hash")}) == 1, found


def test_a_file_that_is_not_kept_begins_anew() -> None:
    file = UnkeptFile(1000)
    for _ in range(50):
        file.append(b"x" * 300)
        file.sync()
    assert os.fstat(file._handle).st_size <= 1000
    file.close()
    file.close()
