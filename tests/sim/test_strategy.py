"""The context, orders and books that a strategy sees, on small feeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import sim.strategy as module
from matching.codes import (
    BUY,
    EV_ACCEPTED,
    EV_CANCEL_REJECTED,
    EV_CANCELED,
    EV_FILLED,
    EXCHANGE_PARTIAL,
    FOK,
    GTX,
    IOC,
    NO_PRICE,
    R_FILLED,
    R_FOK,
    R_USER,
    SELL,
)
from sim.strategy import Context, Fill, Order, OrderEvent, Strategy
from tests.sim.markets import MS, T0, S, Tape, run
from venues import lifecycle

assert EXCHANGE_PARTIAL == 0


def quiet(seconds: int = 2) -> Tape:
    """A book that stands still."""
    tape = Tape().snapshot(0)
    for k in range(1, 10 * seconds):
        tape.depth(k * 100 * MS, (BUY, 990, 50))
    return tape


class Script(Strategy):
    """Does one thing at each of its instants (ms after T0): ``steps = {100: function}``."""

    def __init__(self, **steps: Any) -> None:
        self.steps = steps
        self.orders: dict[str, Order] = {}
        self.seen: list[Any] = []

    def on_start(self) -> None:
        for name, step in self.steps.items():
            self.ctx.at(T0 + int(name[1:]) * MS, lambda step=step: step(self))


class Listener(Script):
    def on_order(self, order: Order, event: OrderEvent) -> None:
        self.seen.append((self.ctx.now_ns - T0, order.number, event.kind, event.reason))


def test_the_states_are_the_lifecycles() -> None:
    assert {name: getattr(lifecycle, name) for name in ("INTENT", "SENT", "UNKNOWN", "HELD", "OPEN", "CLOSED")} == {
        "INTENT": 0, "SENT": 1, "UNKNOWN": 2, "HELD": 3, "OPEN": 4, "CLOSED": 5,
    }  # fmt: skip
    names = "EV_FILLED_WHOLE ANSWER_AMEND ANSWER_CANCEL TRIGGERS PENDING_AMEND PENDING_CANCEL"
    assert [getattr(lifecycle, name) for name in names.split()] == [15, 32, 64, 32, 1, 2]
    assert NO_PRICE == -(1 << 62)
    text = (Path(module.__file__).parent / "strategy.pxd").read_text()
    for name in (*names.split(), "INTENT", "SENT", "UNKNOWN", "HELD", "OPEN", "CLOSED"):
        assert f"    {name} = {getattr(lifecycle, name)}\n" in text


def test_an_orders_life_as_polled(tmp_path: Path) -> None:
    """Without on_order nothing wakes the strategy, and still every look is right."""
    states: list[tuple[str, int, bool, bool, bool]] = []

    def send(me: Script) -> None:
        me.orders["bid"] = me.ctx.submit(0, BUY, 999, 10, GTX)

    def look(me: Script) -> None:
        bid = me.orders["bid"]
        states.append((bid.status_name, bid.pending, bid.is_open, bid.is_closed, bid.is_cancelable))

    def cancel(me: Script) -> None:
        assert me.ctx.cancel(me.orders["bid"]) and not me.ctx.cancel(me.orders["bid"])
        look(me)

    strategy = Script(m100=send, m109=look, m121=look, m200=cancel, m219=look, m221=look)
    result = run(strategy, quiet(), tmp_path)
    assert states == [
        ("SENT", 0, False, False, False),
        ("OPEN", 0, True, False, True),
        ("OPEN", lifecycle.PENDING_CANCEL, True, False, False),
        ("OPEN", lifecycle.PENDING_CANCEL, True, False, False),
        ("CLOSED", 0, False, True, False),
    ]
    bid = strategy.orders["bid"]
    assert (bid.reason, bid.sent_ns, bid.acked_venue_ns, bid.acked_ns, bid.closed_ns) == (
        R_USER, T0 + 100 * MS, T0 + 110 * MS, T0 + 120 * MS, T0 + 220 * MS,
    )  # fmt: skip
    assert strategy.ctx.orders() == [] and strategy.ctx.cancel(bid) is False
    assert result.summary["orders"] == 1


def test_a_float_is_no_price_and_no_size(tmp_path: Path) -> None:
    """Compiled, a float would be cut to the tick below without a word."""

    def send(me: Script) -> None:
        for ticks, lots in ((999.5, 10), (999, 10.7)):
            with pytest.raises(TypeError, match="float"):
                me.ctx.submit(0, BUY, ticks, lots, GTX)  # type: ignore[arg-type]
        me.orders["bid"] = me.ctx.submit(0, BUY, 999, 10, GTX)

    def amend(me: Script) -> None:
        with pytest.raises(TypeError, match="float"):
            me.ctx.amend(me.orders["bid"], 998.5, 10)  # type: ignore[arg-type]

    assert run(Script(m100=send, m200=amend), quiet(), tmp_path).summary["orders"] == 1


def test_events_arrive_in_time_and_order(tmp_path: Path) -> None:
    def send(me: Script) -> None:
        me.ctx.buy(0, 1001, 5)
        me.ctx.sell(0, 1000, 5, IOC)

    strategy = Listener(m100=send)
    run(strategy, quiet(), tmp_path)
    assert strategy.seen == [
        (120 * MS, 1, EV_ACCEPTED, 0), (120 * MS, 1, EV_FILLED, 0),
        (120 * MS, 2, EV_ACCEPTED, 0), (120 * MS, 2, EV_FILLED, 0),
    ]  # fmt: skip


def test_a_cancel_that_comes_too_late(tmp_path: Path) -> None:
    """The order fills while its cancel is under way: it closes as filled, the refusal that follows is no surprise."""
    tape = quiet().trade(105 * MS, SELL, 998, 60).trade(150 * MS, SELL, 998, 60)

    def send(me: Script) -> None:
        me.orders["bid"] = me.ctx.buy(0, 999, 5)

    def cancel(me: Script) -> None:
        assert me.ctx.cancel(me.orders["bid"])

    strategy = Listener(m100=send, m145=cancel)
    run(strategy, tape, tmp_path)
    assert [row[2] for row in strategy.seen] == [EV_ACCEPTED, EV_FILLED, EV_CANCEL_REJECTED]
    bid = strategy.orders["bid"]
    assert (bid.is_closed, bid.reason, bid.pending, bid.filled_lots, bid.average_ticks) == (True, R_FILLED, 0, 5, 999.0)


def test_slots_are_recycled_and_orders_stay(tmp_path: Path) -> None:
    class Churn(Strategy):
        def on_start(self) -> None:
            self.all: list[Order] = []
            self.ctx.every("30ms", self.step)

        def step(self) -> None:
            if self.all:
                self.ctx.cancel_all()
            self.all.append(self.ctx.buy(0, 990, 1))

    strategy = Churn()
    run(strategy, quiet(3), tmp_path)
    assert len(strategy.all) > 90
    assert [order.number for order in strategy.all] == list(range(1, len(strategy.all) + 1))
    assert all(order.reason == R_USER and order.is_closed for order in strategy.all[:-3])
    assert [order.number for order in strategy.ctx.orders(0)] == [
        order.number for order in strategy.all if not order.is_closed
    ]


def test_amending(tmp_path: Path) -> None:
    def send(me: Script) -> None:
        me.orders["bid"] = me.ctx.buy(0, 990, 5)

    def amend(me: Script) -> None:
        bid = me.orders["bid"]
        assert me.ctx.amend(bid, 991, 7)
        assert not me.ctx.amend(bid, 992, 7), "one request at a time"
        assert (bid.ticks, bid.lots, bid.pending) == (990, 5, lifecycle.PENDING_AMEND)

    def look(me: Script) -> None:
        bid = me.orders["bid"]
        me.seen.append((bid.ticks, bid.lots, bid.pending, bid.is_cancelable))

    strategy = Script(m100=send, m150=amend, m171=look)
    run(strategy, quiet(), tmp_path)
    assert strategy.seen == [(991, 7, 0, True)]


def test_market_and_fok(tmp_path: Path) -> None:
    def send(me: Script) -> None:
        me.orders["market"] = me.ctx.market(0, SELL, 70)
        me.orders["fok"] = me.ctx.submit(0, BUY, 1001, 500, FOK)

    strategy = Script(m100=send)
    run(strategy, quiet(), tmp_path)
    market, fok = strategy.orders["market"], strategy.orders["fok"]
    assert (market.filled_lots, market.reason) == (70, R_FILLED)
    assert market.average_ticks == (50 * 1000 + 20 * 999) / 70
    assert (fok.filled_lots, fok.reason) == (0, R_FOK)
    assert strategy.ctx.position(0) == -70


def test_position_and_balance_follow_delivered_fills(tmp_path: Path) -> None:
    def send(me: Script) -> None:
        me.ctx.buy(0, 1001, 5)

    def close(me: Script) -> None:
        assert me.ctx.position(0) == 5
        me.ctx.market(0, SELL, 5)

    def early(me: Script) -> None:
        me.seen.append(me.ctx.position(0))

    strategy = Script(m100=send, m119=early, m121=early, m300=close)
    venue = {
        "name": "neutral", "latency": "10ms", "fees": {"maker": 0, "taker": "0.001"}, "deposit": {"USDT": "100"},
    }  # fmt: skip
    result = run(strategy, quiet(), tmp_path, venue=[venue])
    assert strategy.seen == [0, 5], "executed at the venue at 110 ms, heard of at 120 ms"
    account = result.summary["accounts"][0]
    assert strategy.ctx.balance_e8(0) == account["wallet_e8"] and account["realized_e8"] == -50_000
    assert strategy.ctx.balance == account["wallet_e8"] / 1e8
    assert account["fees_e8"] == round(0.001 * 0.005 * (100.0 + 100.1) * 1e8)


def test_fills_carry_what_the_log_says(tmp_path: Path) -> None:
    class Fills(Strategy):
        def on_start(self) -> None:
            self.fills: list[Fill] = []
            self.ctx.at(T0 + 100 * MS, lambda: self.ctx.buy(0, 1002, 60))

        def on_fill(self, order: Order, fill: Fill) -> None:
            assert order.number == fill.order_number
            self.fills.append(fill)

    strategy = Fills()
    result = run(strategy, quiet(), tmp_path)
    assert [(fill.ticks, fill.lots, fill.leaves_lots, fill.price) for fill in strategy.fills] == [
        (1001, 50, 10, 100.1), (1002, 10, 0, 100.2),
    ]  # fmt: skip
    rows = result.fills.to_dicts()
    assert [(row["ticks"], row["lots"], row["price"], row["size"]) for row in rows] == [
        (1001, 50, 100.1, 0.05), (1002, 10, 100.2, 0.01),
    ]  # fmt: skip


def test_the_book(tmp_path: Path) -> None:
    def early(me: Script) -> None:
        book = me.ctx.book(0)
        assert (book.best_bid_ticks, book.best_ask_lots, book.is_valid) == (NO_PRICE, 0, False)
        assert (book.best_bid, book.mid, book.levels(BUY, 3)) == (None, None, [])

    def look(me: Script) -> None:
        book = me.ctx.book(0)
        assert book is me.ctx.book(0)
        assert (book.best_bid_ticks, book.best_ask_ticks, book.best_bid_lots, book.spread_ticks) == (1000, 1001, 50, 1)
        assert (book.best_ticks(SELL), book.best_lots(SELL), book.lots_at(BUY, 995)) == (1001, 50, 50)
        assert (book.best_bid, book.best_ask, book.mid, book.mid_ticks) == (100.0, 100.1, 100.05, 1000.5)
        assert book.levels(SELL, 2) == [(1001, 50), (1002, 50)] and len(book.levels(BUY)) == 10
        assert book.is_valid and "1000 / 1001" not in repr(me.ctx)
        me.seen.append(True)

    strategy = Script(m1=early, m100=look)
    run(strategy, quiet(), tmp_path)
    assert strategy.seen == [True]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda ctx: ctx.submit(1, BUY, 1000, 1), IndexError, "instrument 1: this run has instruments 0 to 0"),
        (lambda ctx: ctx.submit(0, 2, 1000, 1), ValueError, "side 2: must be BUY"),
        (lambda ctx: ctx.submit(0, BUY, 1000, 0), ValueError, "needs a positive number of lots, got 0"),
        (lambda ctx: ctx.submit(0, BUY, -1, 1), ValueError, "price of -1 ticks must lie between 0 and"),
        (lambda ctx: ctx.book(-1), IndexError, "instrument -1"),
        (lambda ctx: ctx.position(5), IndexError, "instrument 5"),
        (lambda ctx: ctx.at(1, print), ValueError, "that was before now"),
        (lambda ctx: ctx.every(0, print), ValueError, "at least 1 ns"),
        (lambda ctx: ctx.every("1s", 3), TypeError, "must be callable"),
        (lambda ctx: ctx.every("soon", print), ValueError, "not a duration"),
        (lambda ctx: ctx.bars(0, "0 trades"), ValueError, "positive whole number of trades"),
        (lambda ctx: ctx.index("XRP"), KeyError, "there are BTCUSDT"),
        (lambda ctx: ctx.history(0, "1h"), LookupError, "no lake"),
    ],
)
def test_wrong_calls_say_what_is_wrong(tmp_path: Path, call: Any, error: type[Exception], message: str) -> None:
    def try_it(me: Script) -> None:
        with pytest.raises(error) as caught:
            call(me.ctx)
        assert message in str(caught.value)
        me.seen.append(True)

    strategy = Script(m100=try_it)
    run(strategy, quiet(1), tmp_path)
    assert strategy.seen == [True]


def test_conveniences(tmp_path: Path) -> None:
    def look(me: Script) -> None:
        ctx: Context = me.ctx
        assert (ctx.ticks(0, 100.07), ctx.lots(0, 0.0126)) == (1001, 13)
        assert (ctx.index("BTCUSDT"), ctx.index("neutral:BTCUSDT"), ctx.count) == (0, 0, 1)
        assert ctx.instruments[0].symbol == "BTCUSDT"
        order = ctx.buy(0, 990, 1)
        order.tag = 7
        assert order.tag == 7 and "BUY 1 lots at 990 ticks" in repr(order)
        ctx.log("hello", price=5)
        me.seen.append(True)

    strategy = Script(m100=look)
    result = run(strategy, quiet(1), tmp_path)
    assert strategy.seen == [True]
    line = '{"ts_ns": 1750000000100000000, "lane": 0, "message": "hello", "price": 5}\n'
    assert (result.path / "log.jsonl").read_text() == line


def test_states_never_contradict_the_log(tmp_path: Path) -> None:
    """What was polled at the end is what the log says happened by then."""

    class Random(Listener):
        def on_start(self) -> None:
            self.mine: list[Order] = []
            self.ctx.every("50ms", self.step)

        def step(self) -> None:
            k = len(self.mine)
            if k % 3 == 2:
                self.ctx.cancel(self.mine[k // 2])
            side = k % 2
            self.mine.append(
                self.ctx.submit(0, side, 1000 + side - (k % 5 - 2) * (1 - 2 * side), 1 + k % 7, (0, 1, 3)[k % 3])
            )

    strategy = Random()
    result = run(strategy, quiet(4).trade(2 * S, SELL, 1000, 30), tmp_path)
    log = result.orders.filter(result.orders["ts_deliver_ns"] <= result.summary["last_ns"])
    filled = log.filter(log["event"] == EV_FILLED).select("order_no", "lots").group_by("order_no").sum().rows()
    assert {order.number: order.filled_lots for order in strategy.mine if order.filled_lots} == dict(filled)
    canceled = set(log.filter(log["event"] == EV_CANCELED)["order_no"])
    assert {order.number for order in strategy.mine if order.reason == R_USER} == canceled
    assert len(strategy.seen) == len(log)
