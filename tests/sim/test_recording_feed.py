"""A backtest over a raw recording: the same function as the run that was stepped while the records came."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matching.codes import TRADE
from matching.feed import messages_from_rows
from perpsim import Strategy, backtest
from recorders.building import build
from recorders.live.feed import LiveFeed
from recorders.live.recorded import RecordedFeed
from recorders.raw import FRAME_IN, REPLY, RunBegan, RunEnded
from recorders.writer import instrument_fields
from sim.assembly import assemble
from sim.backtest import Run
from sim.config import load_config
from sim.feeds import Announced, LiveSource
from tests.recorders.captures import MS, Market
from tests.recorders.live_feeds import told
from tests.recorders.test_building import USDM, Recorder
from venues import known_instrument
from venues.errors import InputError
from venues.ports import SystemClock

INSTRUMENT = known_instrument(USDM, "BTCUSDT")
DELAY_NS = 30 * MS
CONFIG: dict[str, Any] = {
    "venue": [{"name": USDM, "latency": {"entry": "7ms", "response": "5ms"}, "deposit": {"USDT": 1_000_000}}],
    "instrument": [{"symbol": "BTCUSDT"}],
}


class Trader(Strategy):
    """Orders of all kinds, decided by what it hears and when."""

    def on_start(self) -> None:
        self.heard: list[tuple[Any, ...]] = []
        self.ctx.every("37ms", self.act)

    def act(self) -> None:
        self.heard.append(("timer", self.ctx.now_ns))
        book = self.ctx.book(0)
        for order in self.ctx.orders():
            if order.is_cancelable and self.ctx.now_ns % 3 == 0:
                self.ctx.cancel(order)
        if book.is_valid and book.best_bid_lots and book.best_ask_lots:
            self.ctx.buy(0, book.best_bid_ticks, 3)
            self.ctx.sell(0, book.best_ask_ticks, 3)

    def on_book(self, i: int) -> None:
        book = self.ctx.book(i)
        self.heard.append(("book", self.ctx.now_ns, book.best_bid_ticks, book.best_ask_ticks))

    def on_trade(self, i: int, trade: Any) -> None:
        self.heard.append(("trade", self.ctx.now_ns, trade.ts_event_ns, trade.ts_recv_ns, trade.ticks, trade.lots))
        if trade.lots % 5 == 0 and len(self.ctx.orders()) < 20:
            self.ctx.market(0, 1 - trade.side, 1)

    def on_mark(self, i: int) -> None:
        self.heard.append(("mark", self.ctx.now_ns))

    def on_gap(self, i: int, gap: Any) -> None:
        self.heard.append(("gap", self.ctx.now_ns, gap.kind, gap.ts_event_ns))

    def on_order(self, order: Any, event: Any) -> None:
        self.heard.append(("order", self.ctx.now_ns, order.number, str(event.kind), event.ts_event_ns))

    def on_fill(self, order: Any, fill: Any) -> None:
        self.heard.append(("fill", self.ctx.now_ns, fill.ticks, fill.lots))


class Stepped(Run):
    """A run whose core is given its messages as they come."""

    def _loop_sources(self) -> Sequence[None]:
        return [None]


def session(root: Path, seed: int = 3, jitter_ns: int = 60 * MS, began: bool = True) -> tuple[Path, int, int]:
    """A recording with a run in it: warm-up, beginning, an outage, end. Returns it, the beginning and the end."""
    market = Market(seed=seed, jitter_ns=jitter_ns).run(300)
    third = len(market.lines) // 4
    about = {"instruments": [instrument_fields(INSTRUMENT)], "record": {"streams": ["depth", "trades", "marks"]}}
    recorder = Recorder(root, market.lines[0].recv_ns - 200 * MS, settings_of_recorder=about, block_bytes=4096)
    recorder.opened(1).opened(99).lines(market.lines[:third])
    begin_ns = market.lines[third - 1].recv_ns + 1_234_567
    if began:
        recorder.note(RunBegan(DELAY_NS, 0, begin_ns))
    recorder.lines(market.lines[third:])
    end_ns = market.lines[-1].recv_ns + 77 * MS
    if began:
        recorder.note(RunEnded(end_ns, "the test has seen enough"))
    recorder.lines([market.emit("trade", market.lines[-1].message["data"])] if began else [])
    return recorder.close(), begin_ns, end_ns


def stepped(path: Path, begin_ns: int, end_ns: int, out: Path, *, in_windows: bool = True) -> tuple[Run, Trader]:
    """A run that is given the records as a paper session is, in windows or as they are, and steps with each and between
    them."""
    source = LiveSource(begin_ns, end_ns, Announced(marks=True, index=True, first_ns=begin_ns))
    config, base = load_config(CONFIG, ())
    plan = assemble(config, base, {0: source})
    plan.delay_ns = DELAY_NS
    out.mkdir()
    strategy = Trader()
    run = Stepped(plan, [strategy], ["Trader"], out, False, SystemClock())
    core, loop = run.core, run.loop
    core.set_delay(DELAY_NS)
    core.set_live()
    feed = LiveFeed([INSTRUMENT], DELAY_NS, 0)
    nothing = messages_from_rows(*(np.zeros(0, kind) for kind in ("i8", "i8", "u1", "u1", "i4", "i4")))

    def give(stamp: int) -> None:
        if not in_windows:
            core.feed(0, feed.client_messages(0), feed.venue_messages(0, stamp - DELAY_NS), stamp - DELAY_NS)
            return
        window = feed.client_window(0)
        if window is not None:
            core.feed_client(0, window)
        core.feed_venue(0, feed.venue_window(0, stamp - DELAY_NS) or nothing, stamp - DELAY_NS)

    def step(stamp: int) -> None:
        give(stamp)
        loop.step(stamp)

    for record in records_of(path):
        stamp_before = feed.stamp_ns
        was_running = feed.begin_ns is not None
        if was_running and feed.end_ns is None and record.kind in (FRAME_IN, REPLY):
            present = record.mono_ns - 1  # a timer woke us just before
            if loop.next_due_ns() <= present and present > stamp_before:
                step(present)
        feed.take(record)
        if feed.begin_ns is not None and not was_running:
            core.sample_accounts(plan.first_ns)
            give(feed.stamp_ns)
            loop.begin()
            loop.step(feed.stamp_ns)
        elif was_running and feed.end_ns is None:
            step(feed.stamp_ns)
        elif feed.end_ns is not None:
            break
    assert feed.end_ns == end_ns and feed.begin_ns == begin_ns
    if in_windows:
        window = feed.client_window(0)
        assert window is not None
        core.feed_client(0, window)
        core.feed_venue(0, feed.venue_window(0, end_ns) or nothing, end_ns, True)
    else:
        core.feed(0, feed.client_messages(0), feed.venue_messages(0, end_ns), end_ns)
    core.end_live()
    loop.step(end_ns)
    loop.finish()
    run.close()
    return run, strategy


def records_of(path: Path) -> Iterator[Any]:
    return iter(RecordedFeed(path).recording.records())


@pytest.mark.parametrize(("seed", "in_windows"), [(3, True), (4, True), (3, False), (4, False)])
def test_the_backtest_of_a_recording_is_the_run_that_was_stepped(seed: int, in_windows: bool, tmp_path: Path) -> None:
    path, begin_ns, end_ns = session(tmp_path / "raw", seed)
    run, live = stepped(path, begin_ns, end_ns, tmp_path / "live", in_windows=in_windows)
    again = Trader()
    document = {**CONFIG, "feed": {"lake": "of/the/backtest", "from": "2023-11-01"}}  # in the run file of the session
    override = f'feed={{recording="{path}"}}'
    result = backtest(document, again, overrides=[override], out=tmp_path / "out", html=False, show_progress=False)
    fills = sum(one[0] == "fill" for one in live.heard)
    assert len(live.heard) > 500 and fills > 10 and live.heard[-1][0] in ("gap", "timer", "order")
    assert again.heard == live.heard
    assert result.hash == run.writer.canonical.finish()
    for name in ("orders", "fills", "funding", "positions", "equity"):
        mine, theirs = (folder / f"{name}.parquet" for folder in (tmp_path / "live", result.path))
        assert mine.read_bytes() == theirs.read_bytes(), name
    (delay,) = [line for line in result.banner if line.topic == "Feed delay"]
    assert "simulated 30\u202fms behind" in delay.text and "came later" in delay.text and delay.level == "warn"
    assert result.summary["first_ns"] == begin_ns and result.summary["last_ns"] == end_ns


def test_windows_do_not_depend_on_how_much_is_read_at_once(tmp_path: Path) -> None:
    path, begin_ns, end_ns = session(tmp_path / "raw")
    whole = None
    for stretch in (1, 7, 1 << 20):
        source = RecordedFeed(path, stretch_records=stretch).source(INSTRUMENT)
        assert (source.first_ns, source.last_ns) == (begin_ns, end_ns)
        found = []
        while (window := source.next_window()) is not None:
            window.check()
            found += told(window)
        assert source.next_window() is None
        whole = whole or found
        assert found == whole and len(found) > 300
    assert source.late > 0


def test_a_recording_without_a_run_needs_a_delay(tmp_path: Path) -> None:
    path, _, _ = session(tmp_path / "raw", began=False)
    with pytest.raises(InputError, match="give delay"):
        RecordedFeed(path)
    document = {**CONFIG, "feed": {"recording": str(path.parent), "delay": "20ms"}}
    result = backtest(document, Trader(), out=tmp_path / "out", html=False, show_progress=False)
    assert len(result.fills) > 10
    assert any("simulated 20\u202fms behind" in line.text for line in result.banner)


def test_a_lake_takes_a_delay_too(tmp_path: Path) -> None:
    path, _, _ = session(tmp_path / "raw", began=False)
    build([path], tmp_path / "lake")
    found = {}
    for delay in ("none", "0ms", "20ms", "10s"):
        feed = {"lake": str(tmp_path / "lake")} | ({} if delay == "none" else {"delay": delay})
        strategy = Trader()
        options = {"out": tmp_path / delay, "html": False, "show_progress": False}
        result = backtest({**CONFIG, "feed": feed}, strategy, **options)
        lines = [line.text for line in result.banner if line.topic == "Feed delay"]
        assert bool(lines) == (delay != "none") and result.summary["messages"] > 500
        heard = [one for one in strategy.heard if one[0] == "book"]
        found[delay] = (heard, result.summary["messages"], lines)
    assert len({messages for _, messages, _ in found.values()}) == 1
    assert [one[1:] for one in found["20ms"][0]] == [one[1:] for one in found["none"][0]]  # the client hears the same
    assert "came later" in found["0ms"][2][0] and "came later" not in found["10s"][2][0]


def test_what_is_not_in_a_recording_is_refused(tmp_path: Path) -> None:
    path, _, _ = session(tmp_path / "raw")
    with pytest.raises(InputError, match="was not recorded, but binance_usdm:BTCUSDT"):
        RecordedFeed(path).instrument(USDM, "ETHUSDT")
    with pytest.raises(InputError, match="cannot be read"):
        RecordedFeed(tmp_path / "raw" / "nothing")
    shutil.copytree(path, path.with_name(f"{path.name[:-1]}8"))
    with pytest.raises(InputError, match="holds 2 recordings"):
        RecordedFeed(tmp_path / "raw")
    both = {**CONFIG, "feed": {"recording": str(path), "lake": "lake"}}
    with pytest.raises(InputError, match="not from both"):
        load_config(both, ())


def test_messages_that_nobody_has_seen_are_not_written_over(tmp_path: Path) -> None:
    config, base = load_config(CONFIG, ())
    source = LiveSource(MS, MS, Announced(marks=True, index=True, first_ns=MS))
    core = Stepped(assemble(config, base, {0: source}), [Trader()], ["Trader"], tmp_path, False, SystemClock()).core
    core.set_live()
    message = (MS, 0, 1, MS, TRADE, 7, b"\0", [100], [5], None)
    core.feed(0, [message] * 100, [message] * 100, 0)
    with pytest.raises(ValueError, match="the client has 100 messages to see"):
        core.feed(0, [message], [], 0)
    with pytest.raises(ValueError, match="venue's side has 100 messages to come"):
        core.feed(0, [], [message], 0)
