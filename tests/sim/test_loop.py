"""The order of things: who is called when, and with what knowledge."""

from __future__ import annotations

import heapq
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matching.codes import BUY, SELL
from sim.strategy import Bar, Fill, Funding, Gap, Order, OrderEvent, Strategy, Trade
from tests.sim.markets import MS, T0, S, Tape, random_tape, run
from venues.errors import InputError


class Recorder(Strategy):
    """Writes down every callback with its stamp."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, str]] = []

    def note(self, what: str) -> None:
        self.calls.append((self.ctx.now_ns - T0, what))

    def on_start(self) -> None:
        self.note("start")

    def on_stop(self) -> None:
        self.note("stop")


class Everything(Recorder):
    def on_start(self) -> None:
        self.note("start")
        self.ctx.every("100ms")
        self.ctx.every("100ms", lambda: self.note("second"))
        self.ctx.at(T0 + 200 * MS, lambda: self.note("shot"))
        self.ctx.bars(0, "100ms")

    def on_book(self, i: int) -> None:
        self.note("book")

    def on_trade(self, i: int, trade: Trade) -> None:
        self.note("trade")

    def on_bar(self, i: int, bar: Bar) -> None:
        self.note("bar")

    def on_mark(self, i: int) -> None:
        self.note("mark")

    def on_gap(self, i: int, gap: Gap) -> None:
        self.note(f"gap {gap.kind} {gap.first_lost} {gap.last_lost} {gap.span_ns}")

    def on_force_order(self, i: int, trade: Trade) -> None:
        self.note("force")

    def on_order(self, order: Order, event: OrderEvent) -> None:
        self.note(f"order {event.name}")

    def on_fill(self, order: Order, fill: Fill) -> None:
        self.note("fill")

    def on_data(self, name: str, row: Any) -> None:
        self.note(f"data {row.value}")

    def on_timer(self) -> None:
        self.note("timer")
        if self.ctx.now_ns == T0 + 100 * MS:
            self.ctx.buy(0, 1001, 1)  # arrives at 150 ms, answered at 200 ms


def test_the_total_order_at_one_instant(tmp_path: Path) -> None:
    """Private events, then the feed's messages, then data rows, then bars, then timers, then one-shots."""
    tape = (
        Tape(10 * MS)
        .snapshot(0)
        .trade(190 * MS, BUY, 1001, 1)
        .depth(190 * MS, (BUY, 990, 1))
        .depth(300 * MS, (BUY, 990, 2))
    )
    path = tmp_path / "signal.parquet"
    pl.DataFrame({"ts_ns": [T0 + 200 * MS], "value": [7]}).write_parquet(path)
    strategy = Everything()
    venue = [{"name": "neutral", "latency": "50ms", "fees": {"maker": 0, "taker": 0}}]
    data = [{"name": "signal", "path": str(path)}]
    run(strategy, tape, tmp_path, venue=venue, data=data)
    assert [call for call in strategy.calls if call[0] == 200 * MS] == [
        (200 * MS, what)
        for what in (
            "order Accepted", "order Filled", "fill", "trade", "book", "data 7", "bar", "timer", "second", "shot",
        )
    ]  # fmt: skip
    assert strategy.calls[0] == (0, "start") and strategy.calls[-1] == (310 * MS, "stop")


def test_every_kind_of_message_reaches_its_callback(tmp_path: Path) -> None:
    tape = Tape(MS).snapshot(0).mark(1 * MS, 5).gap(2 * MS).force(3 * MS, SELL, 900, 2).off_book(4 * MS, SELL, 1, 9)
    strategy = Everything()
    run(strategy, tape, tmp_path)
    assert strategy.calls == [
        (0, "start"), (1 * MS, "book"), (2 * MS, "mark"), (3 * MS, "gap 1 7 9 3"), (4 * MS, "force"), (5 * MS, "trade"),
        (5 * MS, "stop"),
    ]  # fmt: skip


def test_timers_fire_at_whole_multiples_and_not_after_the_end(tmp_path: Path) -> None:
    class Timers(Recorder):
        def on_start(self) -> None:
            self.ctx.every("70ms", lambda: self.note("70"))
            self.number = self.ctx.every("100ms", lambda: self.note("100"))
            self.ctx.at(T0 + 250 * MS, self.change)

        def change(self) -> None:
            assert self.ctx.cancel_timer(self.number) and not self.ctx.cancel_timer(self.number)
            self.ctx.every("200ms", lambda: self.note("200"))

    tape = Tape(MS).snapshot(37 * MS).depth(499 * MS, (BUY, 990, 1))
    strategy = Timers()
    run(strategy, tape, tmp_path)
    phase = 70 * MS - T0 % (70 * MS)
    due = [(phase + k * 70 * MS, "70") for k in range(10)] + [(100 * MS, "100"), (200 * MS, "100"), (400 * MS, "200")]
    expected = sorted(call for call in due if 37 * MS < call[0] <= 500 * MS)
    assert strategy.calls[:-1] == expected
    assert strategy.calls[-1] == (500 * MS, "stop"), "the last message is received at 500 ms: a timer then would fire"


def test_a_timer_at_the_last_instant_fires_and_a_later_one_does_not(tmp_path: Path) -> None:
    class Timer(Recorder):
        def on_start(self) -> None:
            self.ctx.every("100ms", lambda: self.note("timer"))

    strategy = Timer()
    run(strategy, Tape(10 * MS).snapshot(0).depth(190 * MS, (BUY, 990, 1)), tmp_path)
    assert strategy.calls == [(100 * MS, "timer"), (200 * MS, "timer"), (200 * MS, "stop")]


def test_on_stop_sees_every_response_due_by_then(tmp_path: Path) -> None:
    class Late(Strategy):
        def on_start(self) -> None:
            self.ctx.at(T0 + 80 * MS, self.send)
            self.ctx.at(T0 + 81 * MS, self.send)
            self.sent: list[Order] = []

        def send(self) -> None:
            self.sent.append(self.ctx.buy(0, 990, 1))

        def on_stop(self) -> None:
            self.states = [order.status_name for order in self.sent]

    strategy = Late()
    run(strategy, Tape().snapshot(0).depth(95 * MS, (BUY, 980, 1)), tmp_path)
    assert strategy.states == ["OPEN", "SENT"], "answers due at 100 ms and 101 ms, the run ends at 100 ms"


def test_only_what_is_overridden_wakes_anybody(tmp_path: Path) -> None:
    class Deaf(Strategy):
        pass

    class Hears(Recorder):
        def on_trade(self, i: int, trade: Trade) -> None:
            self.note("trade")

    tape = random_tape(3, 300)
    deaf = run(Deaf(), tape, tmp_path)
    hears = Hears()
    heard = run(hears, tape, tmp_path)
    assert deaf.summary["wakes"] <= 3
    assert heard.summary["wakes"] <= len(hears.calls) + 3


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), windows=st.sampled_from([0, 1, 7, 64]))
def test_nothing_is_seen_before_it_was_received(tmp_path: Path, seed: int, windows: int) -> None:
    """Every print is handed over exactly at its receive time, and the book seen is the one received by then."""
    tape = random_tape(seed, 120)

    class Watcher(Strategy):
        def on_start(self) -> None:
            self.prints: list[tuple[int, int, int]] = []
            self.books: list[tuple[int, dict[tuple[int, int], int]]] = []
            self.ctx.every("50ms", self.look)

        def on_trade(self, i: int, trade: Trade) -> None:
            assert trade.ts_recv_ns == self.ctx.now_ns >= trade.ts_event_ns
            self.prints.append((trade.ts_recv_ns, trade.ticks, trade.lots))

        def look(self) -> None:
            book = self.ctx.book(0)
            levels = {(side, t): q for side in (BUY, SELL) for t, q in book.levels(side, 1000)}
            self.books.append((self.ctx.now_ns, levels))

    watcher = Watcher()
    run(watcher, tape, tmp_path, windows=windows)
    window = tape.window()
    received = sorted(range(len(window)), key=lambda j: window.ts_recv[j])
    prints = [j for j in received if window.kind[j] == 2]
    assert watcher.prints == [
        (int(window.ts_recv[j]), int(window.px_ticks[window.row_start[j]]), int(window.qty_lots[window.row_start[j]]))
        for j in prints
    ]
    for now, seen in watcher.books:
        levels: dict[tuple[int, int], int] = {}
        for j in received:
            if window.ts_recv[j] > now or window.kind[j] == 2:
                continue
            for row in range(int(window.row_start[j]), int(window.row_start[j + 1])):
                levels[int(window.side[row]), int(window.px_ticks[row])] = int(window.qty_lots[row])
        assert seen == {key: lots for key, lots in levels.items() if lots}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), windows=st.sampled_from([1, 5, 50]))
def test_windows_and_lanes_change_nothing(tmp_path: Path, seed: int, windows: int) -> None:
    class Quoter(Strategy):
        def __init__(self, edge: int) -> None:
            self.edge = edge

        def on_start(self) -> None:
            self.ctx.every("40ms", self.step)

        def step(self) -> None:
            book = self.ctx.book(0)
            if book.is_valid and len(self.ctx.orders()) < 4:
                self.ctx.buy(0, book.best_bid_ticks - self.edge, 3)
                self.ctx.sell(0, book.best_ask_ticks + self.edge, 2)

    tape = random_tape(seed, 150)
    alone = [run(Quoter(edge), tape, tmp_path) for edge in (0, 1)]
    cut = run(Quoter(0), tape, tmp_path, windows=windows)
    both = run([Quoter(0), Quoter(1)], tape, tmp_path, windows=windows)
    assert cut.hash == alone[0].hash
    for lane, single in enumerate(alone):
        mine = both.orders.filter(pl.col("lane") == lane).drop("lane", "account")
        assert mine.equals(single.orders.drop("lane", "account"))


def test_bars(tmp_path: Path) -> None:
    class Bars(Strategy):
        def on_start(self) -> None:
            self.kinds = {
                self.ctx.bars(0, "1s"): "time",
                self.ctx.bars(0, "2 trades"): "trades",
                self.ctx.bars(0, "10 lots"): "lots",
            }
            self.bars: dict[str, list[tuple[int, ...]]] = {"time": [], "trades": [], "lots": []}

        def on_bar(self, i: int, bar: Bar) -> None:
            self.bars[self.kinds[bar.series]].append(
                (
                    bar.start_ns - T0, bar.end_ns - T0, bar.open_ticks, bar.high_ticks, bar.low_ticks, bar.close_ticks,
                    bar.lots, bar.buy_lots, bar.trades,
                )
            )  # fmt: skip
            if bar.trades:
                assert bar.vwap_ticks == pytest.approx(bar.value_ticks_lots / bar.lots)

    tape = Tape(0).snapshot(0).trade(1_500 * MS, BUY, 1001, 4).trade(2 * S, SELL, 999, 3)
    tape.prints(2_100 * MS, (BUY, 1002, 5), (BUY, 1003, 1)).depth(4_100 * MS, (BUY, 990, 1))
    strategy = Bars()
    result = run(strategy, tape, tmp_path)
    assert strategy.bars["time"] == [
        (1 * S, 2 * S, 1001, 1001, 999, 999, 7, 4, 2),
        (2 * S, 3 * S, 1002, 1003, 1002, 1003, 6, 6, 2),
        (3 * S, 4 * S, 1003, 1003, 1003, 1003, 0, 0, 0),
    ], "the print at 2 s sharp belongs to the bar that ends then; nothing before the first print"
    assert strategy.bars["trades"] == [
        (0, 2 * S, 1001, 1001, 999, 999, 7, 4, 2), (2 * S, 2_100 * MS, 1002, 1003, 1002, 1003, 6, 6, 2),
    ]  # fmt: skip
    assert strategy.bars["lots"] == [(0, 2_100 * MS, 1001, 1002, 999, 1002, 12, 9, 3)]
    assert result.summary["wakes"] < 20


class Signals(Recorder):
    def on_data(self, name: str, row: Any) -> None:
        self.note(f"{name} {row.alpha} {row._1}")


def test_data_rows_come_when_due(tmp_path: Path) -> None:
    times = [T0 - S, T0 + 50 * MS, T0 + 50 * MS, T0 + 90 * MS, T0 + 10 * S]
    frame = pl.DataFrame({"ts_ns": times, "class": list("abcde"), "alpha": [1.5, 2.5, 3.5, 4.5, 5.5]})
    frame.write_parquet(tmp_path / "a.parquet")
    frame.with_columns(pl.col("ts_ns").cast(pl.Datetime("ns", "UTC"))).write_parquet(tmp_path / "b.parquet")
    data = [{"name": name, "path": str(tmp_path / f"{name}.parquet")} for name in ("a", "b")]
    strategy = Signals()
    run(strategy, Tape().snapshot(0).depth(95 * MS, (BUY, 990, 1)), tmp_path, data=data)
    assert strategy.calls[1:-1] == [
        (50 * MS, "a 2.5 b"), (50 * MS, "a 3.5 c"), (50 * MS, "b 2.5 b"), (50 * MS, "b 3.5 c"), (90 * MS, "a 4.5 d"),
        (90 * MS, "b 4.5 d"),
    ], "rows before the run are passed over, rows after its end never come"  # fmt: skip


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pl.DataFrame({"time": [1]}), "has no such column (data.time); it has time"),
        (pl.DataFrame({"ts_ns": [T0 + 2, T0 + 1]}), "row 2: field 'ts_ns': goes back in time"),
        (pl.DataFrame({"ts_ns": [1.5]}), "neither timestamps nor whole nanoseconds"),
        (pl.DataFrame({"ts_ns": [T0, None]}), "row 2: field 'ts_ns': is empty"),
    ],
)
def test_wrong_data_tables(tmp_path: Path, frame: pl.DataFrame, message: str) -> None:
    frame.write_parquet(tmp_path / "a.parquet")
    data = [{"name": "a", "path": str(tmp_path / "a.parquet")}]
    with pytest.raises(InputError) as caught:
        run(Signals(), Tape().snapshot(0).depth(95 * MS, (BUY, 990, 1)), tmp_path, data=data)
    assert message in str(caught.value)


def test_a_compute_delay_holds_commands_and_inputs_back(tmp_path: Path) -> None:
    class Slow(Recorder):
        def on_book(self, i: int) -> None:
            self.note("book")
            if not self.ctx.orders():
                self.order = self.ctx.buy(0, 990, 1)

        def on_order(self, order: Order, event: OrderEvent) -> None:
            self.note(f"order {event.name}")

    tape = (
        Tape(MS).snapshot(0).depth(10 * MS, (BUY, 990, 1)).depth(20 * MS, (BUY, 990, 2)).depth(200 * MS, (BUY, 990, 3))
    )
    strategy = Slow()
    result = run(strategy, tape, tmp_path, compute="40ms")
    assert strategy.calls == [
        (0, "start"), (1 * MS, "book"), (41 * MS, "book"), (81 * MS, "book"), (121 * MS, "order Accepted"),
        (201 * MS, "book"), (201 * MS, "stop"),
    ]  # fmt: skip
    row = result.orders.row(0, named=True)
    assert (row["ts_sent_ns"] - T0, row["ts_event_ns"] - T0) == (41 * MS, 51 * MS), "decided at 1 ms, sent 40 ms later"
    assert any(line.text.startswith("computing takes 40ms") for line in result.banner)


def test_a_drawn_compute_delay_is_the_seeds(tmp_path: Path) -> None:
    class Slow(Recorder):
        def on_book(self, i: int) -> None:
            self.note("book")

    def calls(seed: int) -> list[tuple[int, str]]:
        strategy = Slow()
        tape = Tape(MS).snapshot(0)
        for k in range(1, 50):
            tape.depth(k * MS, (BUY, 990, k))
        run(strategy, tape.depth(S, (BUY, 990, 1)), tmp_path, compute={"min": "1ms", "max": "5ms"}, seed=seed)
        return strategy.calls

    assert calls(1) == calls(1) != calls(2)
    gaps = [b - a for (a, _), (b, _) in zip(calls(1)[1:], calls(1)[2:], strict=False)][:40]
    assert all(MS <= gap <= 5 * MS for gap in gaps) and len(set(gaps)) > 20


def test_stop_ends_the_run(tmp_path: Path) -> None:
    class Stopper(Recorder):
        def on_book(self, i: int) -> None:
            self.note("book")
            if len(self.calls) == 3:
                self.ctx.stop("enough")

    strategy = Stopper()
    result = run(strategy, random_tape(1, 200), tmp_path)
    assert len(strategy.calls) == 4 and strategy.calls[-1][1] == "stop"
    assert result.summary["stopped"] == "enough"


def test_markets_are_merged_by_receive_time(tmp_path: Path) -> None:
    class Merged(Recorder):
        def on_trade(self, i: int, trade: Trade) -> None:
            self.calls.append((self.ctx.now_ns, f"{i} {trade.ts_event_ns}"))

    tapes = [random_tape(seed, 100) for seed in (1, 2)]
    strategy = Merged()
    run(strategy, tapes, tmp_path, windows=11)
    expected = []
    for i, tape in enumerate(tapes):
        window = tape.window()
        order = sorted((int(window.ts_recv[j]), j) for j in range(len(window)) if window.kind[j] == 2)
        expected.append([(recv, i, f"{i} {int(window.ts_event[j])}") for recv, j in order])
    merged = list(heapq.merge(*expected, key=lambda row: (row[0], row[1])))
    assert strategy.calls[1:-1] == [(recv, text) for recv, _, text in merged]


def test_funding_reaches_its_callback(tmp_path: Path) -> None:
    class Holder(Recorder):
        def on_start(self) -> None:
            self.ctx.at(T0 + 100 * MS, lambda: self.ctx.market(0, BUY, 10))
            self.events: list[Funding] = []

        def on_funding(self, i: int, funding: Funding) -> None:
            self.events.append(funding)
            self.note("funding")

    boundary = T0 + 500 * MS
    tape = (
        Tape(5 * MS)
        .snapshot(0)
        .mark(10 * MS, 100 * 10**8, 10**8, boundary)
        .mark(400 * MS, 100 * 10**8, 10**8, boundary)
    )
    tape.mark(600 * MS, 101 * 10**8, 10**8, boundary + S).depth(900 * MS, (BUY, 990, 1))
    strategy = Holder()
    instrument = [{"symbol": "BTCUSDT", "mark": "recorded", "funding": "recorded"}]
    result = run(strategy, tape, tmp_path, instrument=instrument)
    (event,) = strategy.events
    assert (event.boundary_ns, event.rate_e12, event.mark_e8, event.position_lots) == (boundary, 10**8, 100 * 10**8, 10)
    assert event.payment_e8 == -(10**8 * 10 * 100 * 10**8 // 1000 // 10**12)
    assert strategy.calls[-2] == (610 * MS, "funding"), "booked at 600 ms when superseded, heard of 10 ms later"
    assert result.summary["funding_e8"] == event.payment_e8
    assert strategy.ctx.balance_e8(0) == result.summary["wallet_e8"]
