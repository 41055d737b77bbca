"""What a run's result must not depend on: how its feeds are cut into windows, and which other lanes are in it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from matching.codes import BUY, FOK, GTC, GTX, IOC, LIMIT, SELL
from sim.strategy import Bar, Fill, Funding, Gap, Order, OrderEvent, Strategy, Trade
from tests.sim.markets import MS, T0, S, Tape, run

BOUNDARY = T0 + 2 * S
SLOW = {"quantiles": ["0ns", "2ms", "90ms"]}
LATENCIES: tuple[Any, ...] = (
    {"entry": "0ns", "response": "0ns"},
    {"entry": "3ms", "response": "5ms"},
    {"entry": SLOW, "response": SLOW},
)


def busy_tape(seed: int, messages: int = 160) -> Tape:
    """Every kind of message, many at one instant, in and out of order at the client, across a funding boundary."""
    draw = random.Random(seed)
    tape, at, mid = Tape(3 * MS).snapshot(0), 0, 1000
    for _ in range(messages):
        at += draw.choice([0, 0, 1, MS, 5 * MS, 50 * MS])
        kind, side = draw.random(), draw.randrange(2)
        if kind < 0.2:
            tape.prints(at, *[(side, mid + draw.randrange(-2, 3), draw.randrange(1, 40)) for _ in range(2)])
        elif kind < 0.28:
            named = BOUNDARY if T0 + at < BOUNDARY + 200 * MS else BOUNDARY + 8 * 3600 * S
            tape.mark(at, (1000 + draw.randrange(-30, 30)) * 10**6, draw.randrange(-(10**8), 10**8), named)
        elif kind < 0.3:
            tape.gap(at)
        elif kind < 0.34:
            mid += draw.randrange(-3, 4)
            tape.snapshot(at, mid, mid + 1)
        elif kind < 0.45:
            tape.quote(at, mid, mid + 1, draw.randrange(1, 60))
        elif kind < 0.5:
            tape.force(at, side, mid, 3).off_book(at, side, mid, 3)
        else:
            ticks = mid - draw.randrange(6) if side == BUY else mid + 1 + draw.randrange(6)
            late = draw.choice([0, 1, 2 * MS, 15 * MS])
            tape.depth(at, (side, ticks, draw.choice([0, draw.randrange(1, 60)])), latency_ns=late)
    return tape.depth(at + 2 * S, (BUY, mid - 50, 1))


class Restless(Strategy):
    """Does something at random whenever it is called, and writes down everything that it can see then."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.trace: list[tuple[Any, ...]] = []

    def on_start(self) -> None:
        self.ctx.every("7ms")
        for every in ("25ms", "3 trades", "40 lots"):
            self.ctx.bars(0, every)
        self.act(1)

    def act(self, likely: float = 0.3, *what: Any) -> None:
        ctx = self.ctx
        books = [ctx.book(i) for i in range(ctx.count)]
        seen = [(book.best_bid_ticks, book.best_ask_ticks, book.mark_e8) for book in books]
        self.trace.append((ctx.now_ns, what, seen, ctx.position(0), ctx.balance_e8(0)))
        if self.draw.random() > likely:
            return
        choice, i, side = self.draw.random(), self.draw.randrange(ctx.count), self.draw.randrange(2)
        ticks = (books[i].best_bid_ticks if books[i].is_valid else 1000) + self.draw.randrange(-6, 7)
        orders = ctx.orders()
        if choice < 0.5:
            tif = self.draw.choice([GTC, IOC, FOK, GTX])
            ctx.submit(i, side, ticks, self.draw.randrange(1, 60), tif, LIMIT, self.draw.random() < 0.2)
        elif choice < 0.55:
            ctx.market(i, side, self.draw.randrange(1, 30))
        elif choice < 0.75 and orders:
            ctx.cancel(self.draw.choice(orders))
        elif choice < 0.97 and orders:
            order = self.draw.choice(orders)
            ctx.amend(order, max(1, order.ticks + self.draw.randrange(-3, 4)), self.draw.randrange(1, 80))
        else:
            ctx.cancel_all()

    def on_timer(self) -> None:
        self.act(1)


class OfPrints(Restless):
    def on_trade(self, i: int, trade: Trade) -> None:
        self.act(0.5, "trade", i, trade.lots)


class OfFills(Restless):
    def on_fill(self, order: Order, fill: Fill) -> None:
        self.act(1, "fill", order.number, fill.lots)


class OfAll(OfPrints):
    def on_book(self, i: int) -> None:
        self.act(0.1, "book", i)

    def on_bar(self, i: int, bar: Bar) -> None:
        self.act(0.1, "bar", bar.open_ticks, bar.lots, bar.start_ns, bar.end_ns)

    def on_mark(self, i: int) -> None:
        self.act(0.1, "mark", i)

    def on_gap(self, i: int, gap: Gap) -> None:
        self.act(0.1, "gap", i)

    def on_order(self, order: Order, event: OrderEvent) -> None:
        self.act(0.3, order.number, event.kind, event.reason, order.ticks, order.lots, order.filled_lots, order.pending)
        assert not order.external and order.filled_lots <= order.lots

    def on_funding(self, i: int, funding: Funding) -> None:
        self.act(0.1, "funding", funding.payment_e8, funding.position_lots)

    def on_force_order(self, i: int, trade: Trade) -> None:
        self.act(0.1, "force", i)


KINDS = (OfAll, OfPrints, OfFills, Restless)


def strategies(seed: int) -> list[Restless]:
    return [kind(seed + k) for k, kind in enumerate(KINDS)]


def play(lanes: list[Restless], tapes: list[Tape], out: Path, windows: int, latency: Any, **instrument: Any) -> str:
    symbols = ("BTCUSDT", "ETHUSDT")[: len(tapes)]
    queue = {"model": "power3", "n": 2.0}
    venue = [{"name": "neutral", "latency": latency, "fees": {"maker": "0.0001", "taker": "0.0004"}}]
    listed = [{"symbol": symbol, "window_ticks": 64, "queue": queue, **instrument} for symbol in symbols]
    return run(lanes, tapes, out, windows=windows, venue=venue, instrument=listed).hash


CASES = [
    (0, 1, {"mark": "recorded", "funding": "recorded"}),
    (1, 2, {"mark": "recorded", "funding": "recorded"}),
    (2, 2, {"mark": "recorded", "funding": "recorded"}),
    (3, 2, {"mark": "mid"}),
    (5, 1, {"mark": "mid", "book": "l1"}),
]


@pytest.mark.parametrize(("seed", "markets", "instrument"), CASES)
def test_neither_windows_nor_other_lanes_change_what_a_lane_sees_and_does(
    tmp_path: Path, seed: int, markets: int, instrument: dict[str, Any]
) -> None:
    tapes = [busy_tape(10 * seed + m) for m in range(markets)]
    latency = LATENCIES[seed % len(LATENCIES)]
    together = strategies(seed)
    whole = play(together, tapes, tmp_path, 0, latency, **instrument)
    assert min(len(one.trace) for one in together) > 50
    for windows in (1, 7):
        cut = strategies(seed)
        assert play(cut, tapes, tmp_path, windows, latency, **instrument) == whole
        assert [one.trace for one in cut] == [one.trace for one in together]
    for lane, one in enumerate(strategies(seed)):
        play([one], tapes, tmp_path, 0, latency, **instrument)
        assert one.trace == together[lane].trace


def test_what_is_decided_at_the_start_leaves_then_however_small_the_windows_are(tmp_path: Path) -> None:
    class Early(Strategy):
        def on_start(self) -> None:
            self.order = self.ctx.buy(0, 995, 1)

    for windows in (0, 1, 2):
        strategy = Early()
        tape = Tape().snapshot(0).depth(100 * MS, (BUY, 990, 1)).depth(300 * MS, (BUY, 991, 1))
        run(strategy, tape, tmp_path, windows=windows)
        assert strategy.order.acked_venue_ns == T0 + 10 * MS


def test_the_mid_as_mark_is_that_of_the_book_as_received(tmp_path: Path) -> None:
    class Looking(Strategy):
        def on_start(self) -> None:
            self.seen: list[tuple[int, float | None]] = []
            self.ctx.every("1s")

        def on_timer(self) -> None:
            self.seen.append((self.ctx.book(0).mark_e8, self.ctx.book(0).mid))

    tape = Tape(500 * MS).snapshot(0)
    tape.depth(900 * MS, (BUY, 1000, 0)).depth(3 * S, (BUY, 990, 1))
    strategy = Looking()
    run(strategy, tape, tmp_path)
    assert len(strategy.seen) == 3 and strategy.seen[0] != strategy.seen[1]
    assert all(mid is not None and abs(mark_e8 / 1e8 - mid) < 1e-9 for mark_e8, mid in strategy.seen)


def test_bars_by_prints_come_after_the_prints(tmp_path: Path) -> None:
    class Bars(Strategy):
        def on_start(self) -> None:
            self.calls: list[str] = []
            self.ctx.bars(0, "1 trades")

        def on_trade(self, i: int, trade: Trade) -> None:
            self.calls.append("trade")

        def on_bar(self, i: int, bar: Bar) -> None:
            self.calls.append("bar")

    strategy = Bars()
    run(strategy, Tape().snapshot(0).prints(100 * MS, (BUY, 1001, 5), (BUY, 1001, 6)), tmp_path)
    assert strategy.calls == ["trade", "trade", "bar", "bar"]


def test_a_reduce_only_order_is_as_large_as_the_venue_made_it(tmp_path: Path) -> None:
    class Reducing(Strategy):
        def on_start(self) -> None:
            self.ctx.at(T0 + 100 * MS, lambda: self.ctx.buy(0, 1001, 3))
            self.ctx.at(T0 + 200 * MS, self.reduce)

        def reduce(self) -> None:
            self.order = self.ctx.submit(0, SELL, 1010, 10, GTC, LIMIT, True)

    strategy = Reducing()
    run(strategy, Tape().snapshot(0).depth(S, (BUY, 990, 1)), tmp_path)
    assert (strategy.order.lots, strategy.order.leaves_lots) == (3, 3)


def test_an_amendment_that_closes_its_order_has_been_answered(tmp_path: Path) -> None:
    class Amending(Strategy):
        def on_start(self) -> None:
            self.ctx.at(T0 + 100 * MS, self.send)
            self.ctx.at(T0 + 200 * MS, lambda: self.ctx.amend(self.order, 1001, 3))

        def send(self) -> None:
            self.order = self.ctx.submit(0, BUY, 995, 3, GTX)

    strategy = Amending()
    run(strategy, Tape().snapshot(0).depth(S, (BUY, 990, 1)), tmp_path)
    assert strategy.order.is_closed and strategy.order.pending == 0


@pytest.mark.parametrize("side", [-1, 2, 900])
def test_a_book_has_two_sides(tmp_path: Path, side: int) -> None:
    class Asking(Strategy):
        def on_start(self) -> None:
            book = self.ctx.book(0)
            for ask in (book.best_ticks, book.best_lots, book.levels, lambda wrong: book.lots_at(wrong, 1000)):
                with pytest.raises(ValueError, match="must be BUY"):
                    ask(side)
            for convert in (self.ctx.ticks, self.ctx.lots):
                with pytest.raises(IndexError, match="instruments 0 to 0"):
                    convert(side, 1.0)

    run(Asking(), Tape().snapshot(0), tmp_path)
