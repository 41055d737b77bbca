"""A feed given to the kernel as it is received, and the same feed as a recording: one function, to the last stamp."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matching.codes import (
    BUY,
    EV_ACCEPTED,
    EV_AMEND_REJECTED,
    EV_CANCELED,
    EV_FILLED,
    EV_REJECTED,
    GTX,
    LIQ_MAKER,
    R_NONE,
    R_RISK,
    R_UNKNOWN_ORDER,
    R_USER,
    SELL,
)
from matching.feed import FeedWindow, MemorySource, messages_from_rows, slice_window
from sim.assembly import assemble
from sim.backtest import Run, Services
from sim.config import load_config
from sim.loop import Loop
from sim.strategy import Fill, Order, OrderEvent, Strategy, Trade
from tests.sim.markets import MS, T0, S, config, random_tape
from venues.lifecycle import L_OUTCOME_LOST
from venues.ports import SystemClock

EMPTY = messages_from_rows(*[np.zeros(0, kind) for kind in ("i8", "i8", "u1", "u1", "i4", "i4")])


class Quoter(Strategy):
    """Quotes both sides, amends, cancels and takes; writes down what it hears and when."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.heard: list[tuple[Any, ...]] = []

    def on_start(self) -> None:
        self.ctx.every("50ms")

    def on_timer(self) -> None:
        book = self.ctx.book(0)
        self.heard.append(("timer", self.ctx.now_ns, book.best_bid_ticks, book.best_ask_ticks))
        if not book.is_valid or book.best_bid is None or book.best_ask is None:
            return
        for order in self.ctx.orders(0):
            if order.is_cancelable and self.draw.random() < 0.5:
                self.ctx.cancel(order)
            elif order.is_open and self.draw.random() < 0.3:
                self.ctx.amend(order, order.ticks + 1, order.lots + 1)
        self.ctx.submit(0, BUY, book.best_bid_ticks, 3, GTX)
        self.ctx.submit(0, SELL, book.best_ask_ticks, 2)
        if self.draw.random() < 0.2:
            self.ctx.market(0, self.draw.randrange(2), 4)

    def on_trade(self, i: int, trade: Trade) -> None:
        self.heard.append(("trade", self.ctx.now_ns, trade.ticks))

    def on_order(self, order: Order, event: OrderEvent) -> None:
        self.heard.append(("order", self.ctx.now_ns, order.number, event.kind, event.ts_event_ns, event.ticks))

    def on_fill(self, order: Order, fill: Fill) -> None:
        self.heard.append(("fill", self.ctx.now_ns, order.number, fill.ticks, fill.lots, self.ctx.position(0)))


def made(tmp_path: Path, strategy: Strategy, source: Any, latency: str = "10ms") -> Run:
    document = config(venue=[{"name": "binance_usdm", "card": "neutral", "latency": latency}])
    checked, base = load_config(document, (), seed=7)
    folder = tmp_path / "run"
    folder.mkdir(parents=True)
    return Run(assemble(checked, base, {0: source}), [strategy], ["Quoter"], folder, False, SystemClock())


def delayed(window: FeedWindow, delay_ns: int) -> FeedWindow:
    """The window in the order in which the venue's side of a delayed run takes it: a naive twin of the sources."""
    v = np.maximum(window.ts_event, window.ts_recv - delay_ns)
    depth, latest = np.flatnonzero(window.kind != 2), 0  # whatever is no print keeps its order of receipt
    for j in sorted(depth.tolist(), key=lambda j: int(window.ts_recv[j])):
        latest = v[j] = max(latest, int(v[j]))
    order = np.lexsort((window.ts_recv, v))
    picked = [slice_window(window, j, j + 1) for j in order]
    counts = [one.rows for one in picked]
    recv = window.ts_recv[order]
    return FeedWindow(
        ts_event=v[order], ts_recv=recv, kind=window.kind[order],
        row_start=np.concatenate(([0], np.cumsum(counts))).astype(np.int64), ref=window.ref[order],
        local_order=np.argsort(recv, kind="stable").astype(np.int32),
        side=np.concatenate([one.side for one in picked]), px_ticks=np.concatenate([one.px_ticks for one in picked]),
        qty_lots=np.concatenate([one.qty_lots for one in picked]), aux=window.aux,
    )  # fmt: skip


def strict(window: FeedWindow) -> FeedWindow:
    """Receive times made strictly increasing, as stamps of a live session are."""
    recv = window.ts_recv.copy()
    last = 0
    for j in window.local_order:
        last = recv[j] = max(last + 1, int(recv[j]))
    window.ts_recv = recv
    return window


def client_order(window: FeedWindow) -> FeedWindow:
    picked = [slice_window(window, j, j + 1) for j in window.local_order]
    recv = window.ts_recv[window.local_order]
    return FeedWindow(
        ts_event=window.ts_event[window.local_order], ts_recv=recv, kind=window.kind[window.local_order],
        row_start=np.concatenate(([0], np.cumsum([one.rows for one in picked]))).astype(np.int64),
        ref=window.ref[window.local_order], local_order=np.arange(len(recv), dtype=np.int32),
        side=np.concatenate([one.side for one in picked]), px_ticks=np.concatenate([one.px_ticks for one in picked]),
        qty_lots=np.concatenate([one.qty_lots for one in picked]), aux=window.aux,
    )  # fmt: skip


def recorded_run(tmp_path: Path, window: FeedWindow, delay_ns: int, seed: int, latency: str, step: int) -> Any:
    strategy = Quoter(seed)
    run = made(tmp_path, strategy, MemorySource(window, step), latency)
    run.core.set_delay(delay_ns)
    run.execute()
    return strategy.heard, run.writer.canonical.finish()


def live_run(tmp_path: Path, window: FeedWindow, delay_ns: int, seed: int, latency: str, pauses: random.Random) -> Any:
    """The same, message by message, with wakes for no message in between."""
    strategy = Quoter(seed)
    run = made(tmp_path, strategy, MemorySource(window), latency)
    run.loop = Loop(run.core, [None], run.plan.first_ns, [], run.writer, Services(run.plan, run.writer))
    run._add_lanes()
    run.core.set_delay(delay_ns)
    run.core.set_live()
    client, given, start = client_order(window), 0, run.plan.first_ns
    run.core.feed_venue(0, EMPTY, start - delay_ns)
    run.loop.begin()
    stamp = start
    for j in range(len(client)):
        received = int(client.ts_recv[j])
        while stamp < received - 1 and pauses.random() < 0.4:  # a wake in between: timers, or the venue's own doings
            due = run.loop.next_due_ns()
            stamp = min(max(due, stamp), received - 1) if pauses.random() < 0.7 else pauses.randrange(stamp, received)
            given = venue_part(run, window, given, stamp - delay_ns)
            run.loop.step(stamp)
        stamp = received
        run.core.feed_client(0, slice_window(client, j, j + 1))
        given = venue_part(run, window, given, stamp - delay_ns)
        run.loop.step(stamp)
    run.core.end_live()
    venue_part(run, window, given, stamp)
    run.loop.step(stamp)
    run.loop.finish()
    return strategy.heard, run.writer.canonical.finish()


def venue_part(run: Run, window: FeedWindow, given: int, complete_ns: int) -> int:
    upto = int(np.searchsorted(window.ts_event, complete_ns, side="right"))
    run.core.feed_venue(0, slice_window(window, given, upto) if upto > given else EMPTY, complete_ns)
    return max(upto, given)


@pytest.mark.parametrize("delay_ms", [0, 5, 20, 50])
@pytest.mark.parametrize("latency", ["0ms", "3ms", "40ms"])
def test_live_steps_are_the_backtest_of_the_same_messages(tmp_path: Path, delay_ms: int, latency: str) -> None:
    for seed in range(3):
        window = delayed(strict(random_tape(seed, 300, step_ns=4 * MS).window()), delay_ms * MS)
        window.check()
        folder = tmp_path / f"{seed}"
        backtest = recorded_run(folder / "a", window, delay_ms * MS, seed, latency, 37)
        live = live_run(folder / "b", window, delay_ms * MS, seed, latency, random.Random(seed))
        assert len([row for row in backtest[0] if row[0] == "fill"]) > 3
        assert live[0] == backtest[0]
        assert live[1] == backtest[1]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6), st.integers(0, 60), st.integers(1, 60))
def test_whatever_the_wakes_in_between(tmp_path: Path, seed: int, delay_ms: int, step_ms: int) -> None:
    window = delayed(strict(random_tape(seed, 60, step_ns=step_ms * MS).window()), delay_ms * MS)
    folder = tmp_path / f"{seed}-{delay_ms}-{step_ms}-{random.Random().random()}"
    backtest = recorded_run(folder / "a", window, delay_ms * MS, seed, "7ms", 11)
    assert live_run(folder / "b", window, delay_ms * MS, seed, "7ms", random.Random(seed)) == backtest


def test_no_private_event_comes_before_the_delay(tmp_path: Path) -> None:
    window = delayed(strict(random_tape(3, 200).window()), 80 * MS)
    heard, _ = recorded_run(tmp_path, window, 80 * MS, 3, "1ms", 0)
    told = [row[1] - row[4] for row in heard if row[0] == "order"]
    assert told and min(told) == 80 * MS


# -- external venues


class Sender(Strategy):
    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.order: Order | None = None

    def on_order(self, order: Order, event: OrderEvent) -> None:
        self.events.append((order.number, event.kind, event.reason, order.status_name, event.code, event.text))

    def on_fill(self, order: Order, fill: Fill) -> None:
        self.events.append((fill.ticks, fill.lots, fill.fee_e8, fill.realized_e8, self.ctx.position(0)))


def external(tmp_path: Path) -> tuple[Run, Sender]:
    strategy = Sender()
    run = made(tmp_path, strategy, random_tape(1, 5).source())
    run.loop = Loop(run.core, [None], T0, [], run.writer, Services(run.plan, run.writer))
    run._add_lanes()
    run.core.set_external(0)
    run.core.set_live()
    run.core.feed_venue(0, EMPTY, T0 - 1)
    run.core.feed_venue(0, EMPTY, T0)
    run.loop.begin()
    return run, strategy


def advance(run: Run, at_ns: int) -> None:
    run.core.feed_venue(0, EMPTY, T0 + at_ns)
    run.loop.step(T0 + at_ns)


def test_commands_wait_in_the_outbox_and_events_come_back(tmp_path: Path) -> None:
    run, strategy = external(tmp_path)
    order = strategy.ctx.submit(0, BUY, 1000, 5, GTX)
    [(kind, lane, market, slot, number, ticks, lots, request, batch)] = run.core.take_outbox()
    assert (kind, lane, market, number, ticks, lots, request, batch) == (1, 0, 0, 1, 1000, 5, 0, 0)
    assert run.core.terms(slot)["tif"] == GTX and run.core.take_outbox() == []
    run.core.bring(0, 0, slot, 1, EV_ACCEPTED, R_NONE, T0 + MS)
    advance(run, 2 * MS)
    assert order.is_open and order.acked_ns == T0 and order.acked_venue_ns == T0 + MS
    run.core.bring(0, 0, slot, 1, EV_FILLED, R_NONE, T0 + 3 * MS, ticks=1000, lots=2, liquidity=LIQ_MAKER, fee=123)
    strategy.ctx.cancel(order)
    run.core.bring(0, 0, slot, 1, EV_CANCELED, R_USER, T0 + 4 * MS)
    advance(run, 6 * MS)
    assert order.is_closed and order.filled_lots == 2 and strategy.ctx.position(0) == 2
    assert run.core.ledger.position(0, 0) == 2


def test_a_fill_after_the_end_still_counts(tmp_path: Path) -> None:
    run, strategy = external(tmp_path)
    strategy.ctx.keeps_closed = True
    order = strategy.ctx.submit(0, SELL, 1000, 5)
    slot = run.core.take_outbox()[0][3]
    run.core.bring(0, 0, slot, 1, EV_CANCELED, R_USER, T0)
    advance(run, MS)
    other = strategy.ctx.submit(0, SELL, 1001, 5)
    assert run.core.take_outbox()[0][3] == slot and other.number == 2
    run.core.bring(0, 0, slot, 1, EV_FILLED, R_NONE, T0, ticks=1000, lots=3, leaves=2, side=SELL, fee=9)
    advance(run, 2 * MS)
    assert order.is_closed and order.filled_lots == 3 and other.filled_lots == 0
    assert strategy.ctx.position(0) == run.core.ledger.position(0, 0) == -3
    assert run.core.ledger.fees_e8(0, 0) == 9


def test_refusals_carry_the_venues_own_words(tmp_path: Path) -> None:
    run, strategy = external(tmp_path)
    order = strategy.ctx.submit(0, BUY, 1000, 5)
    slot = run.core.take_outbox()[0][3]
    strategy.ctx.words[1, EV_REJECTED] = (-2019, "Margin is insufficient.")
    run.core.bring(0, 0, slot, 1, EV_REJECTED, R_UNKNOWN_ORDER, T0)
    advance(run, MS)
    assert strategy.events == [(1, EV_REJECTED, R_UNKNOWN_ORDER, "CLOSED", -2019, "Margin is insufficient.")]
    assert order.is_closed


def test_a_lost_outcome_is_unknown_until_the_venue_speaks(tmp_path: Path) -> None:
    run, strategy = external(tmp_path)
    order = strategy.ctx.submit(0, BUY, 1000, 5)
    slot = run.core.take_outbox()[0][3]
    strategy.ctx.lose(slot, 1, L_OUTCOME_LOST)
    assert order.status_name == "UNKNOWN"
    run.core.bring(0, 0, slot, 1, EV_FILLED, R_NONE, T0, ticks=999, lots=5, liquidity=LIQ_MAKER)
    advance(run, MS)
    assert order.is_closed and order.filled_lots == 5


def test_orders_found_at_the_venue_are_taken_in(tmp_path: Path) -> None:
    run, strategy = external(tmp_path)
    slot, number = run.core.take_order(0, 0, SELL, 1010, 9, 2, 0, 0, 0, T0)
    advance(run, MS)
    [order] = strategy.ctx.orders(0)
    assert order.external and order.number == number < 0 and order.is_open and order.leaves_lots == 7
    assert strategy.ctx.cancel(order)
    assert run.core.take_outbox()[0][:5] == (2, 0, 0, slot, number)


class Limit:
    def order(self, *asked: Any) -> int:
        return R_RISK if asked[5] > 4 else R_NONE


def test_a_guard_refuses_before_anything_leaves(tmp_path: Path) -> None:
    run, strategy = external(tmp_path)
    run.core.guard = Limit()
    strategy.ctx.submit(0, BUY, 1000, 5)
    kept = strategy.ctx.submit(0, BUY, 1000, 4)
    slot = run.core.take_outbox()[0][3]
    run.core.bring(0, 0, slot, 2, EV_ACCEPTED, R_NONE, T0)
    advance(run, MS)
    strategy.ctx.amend(kept, 1000, 5)
    assert run.core.take_outbox() == []
    advance(run, 2 * MS)
    assert [row[:3] for row in strategy.events] == [
        (1, EV_REJECTED, R_RISK), (2, EV_ACCEPTED, R_NONE), (2, EV_AMEND_REJECTED, R_RISK),
    ]  # fmt: skip


def test_a_position_held_elsewhere_is_taken_over(tmp_path: Path) -> None:
    run, _ = external(tmp_path)
    ledger = run.core.ledger
    price_e8 = 12_345_678_901
    ledger.take_over(0, 0, -7, price_e8)
    assert ledger.position(0, 0) == -7
    assert abs(ledger.entry_price_e8(0, 0) - price_e8) * 7 <= 1000  # 7 lots of 0.001, whose value is kept at 1e-8
    ledger.take_over(0, 0, 5, price_e8)
    assert ledger.failed


def test_what_the_client_has_not_seen_cannot_be_passed_over(tmp_path: Path) -> None:
    run, _ = external(tmp_path)
    window = client_order(strict(random_tape(2, 3).window()))
    run.core.feed_client(0, window)
    with pytest.raises(ValueError, match="the client has 4 messages to see"):
        run.core.feed_client(0, window)
    run.core.feed_venue(0, window, T0 + S)
    with pytest.raises(ValueError, match="venue's side has 4 messages to come"):
        run.core.feed_venue(0, window, T0 + S)
