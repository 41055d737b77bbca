"""Hypothesis state machines for the kernel, public so that other suites can run them with their own settings.

`BookMachine` drives one market of ``Core`` message by message and holds both its views, after each, to an oracle that
is nothing but two dicts and the sentences of docs/fills.md, section 2. The ladder is narrow and prices range over
several of it, so levels wait outside, come in, and the ladder moves and widens.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from matching.codes import (
    BBO,
    BUY,
    DEPTH,
    GAP,
    GAP_SEQUENCE,
    NEED_DATA,
    NO_PRICE,
    SELL,
    SNAPSHOT,
    TRADE,
    WAKE_TIME,
)
from matching.kernel import Core, LatencyTable
from matching.ledger import Ledger
from tests.matching.cases import START_NS, Message, Row, window_of

NEAR = st.integers(990, 1010)
FAR = st.sampled_from([1, 700, 900, 955, 1045, 1100, 1300, 60_000])
TICKS = st.one_of(NEAR, NEAR, NEAR, FAR)
LOTS = st.one_of(st.just(0), st.integers(1, 9), st.just((1 << 31) - 1))
SIDES = st.sampled_from([BUY, SELL])
LEVELS = st.dictionaries(TICKS, st.integers(1, 9), max_size=6)
LATENESS_NS = st.sampled_from([0, 0, 1, 3, 10])
STEP_NS = st.integers(0, 3)
SEEN_TICKS = (1, 999, 1000, 1001, 1002, 1300, 60_000)


@dataclass
class BookOracle:
    """One view of a book, from the documented sentences alone."""

    levels: dict[int, dict[int, int]] = field(default_factory=lambda: {BUY: {}, SELL: {}})
    valid: bool = False
    last_id: int = -1
    quotes: list[tuple[int, dict[int, int]]] = field(default_factory=list)  # (id, best tick by stated side)

    def apply(self, message: Message) -> None:
        if message.kind == SNAPSHOT:
            self.levels = {side: {t: q for s, t, q in message.rows if s == side} for side in (BUY, SELL)}
            self.valid, self.last_id, self.quotes = True, message.ref, []
        elif message.kind == GAP:
            self.valid = False
        elif message.kind == DEPTH and self.valid:
            self.quotes = [quote for quote in self.quotes if quote[0] > message.ref]
            self.last_id = max(self.last_id, message.ref)
            for side, ticks, lots in message.rows:
                if not any(self.is_told(quote[1], side, ticks) for quote in self.quotes):
                    self.put(side, ticks, lots)
        elif message.kind == BBO and self.valid and message.ref > self.last_id:
            self.last_id = message.ref
            tops = {side: ticks for side, ticks, lots in message.rows if lots}
            self.quotes.append((message.ref, tops))
            for side in (BUY, SELL):
                for ticks in list(self.levels[side]):
                    if self.is_told(tops, side, ticks):
                        del self.levels[side][ticks]
            for side, ticks, lots in message.rows:
                self.put(side, ticks, lots)

    def put(self, side: int, ticks: int, lots: int) -> None:
        self.levels[side][ticks] = lots
        if lots == 0:
            del self.levels[side][ticks]

    @staticmethod
    def is_told(tops: dict[int, int], side: int, ticks: int) -> bool:
        """Whether a quote says something about a level: at or better than its own, or of a side it left empty."""
        if side not in tops:
            return True
        return ticks >= tops[BUY] if side == BUY else ticks <= tops[SELL]

    def best(self, side: int) -> int:
        if not self.levels[side]:
            return NO_PRICE
        return max(self.levels[side]) if side == BUY else min(self.levels[side])

    def rows(self) -> list[Row]:
        return [(side, t, q) for side in (BUY, SELL) for t, q in sorted(self.levels[side].items())]


class BookMachine(RuleBasedStateMachine):
    """Both views of one market of the kernel against `BookOracle`.

    A message is known to the kernel one step before it happens: ``send`` lets everything before it happen, and what was
    received before it be seen. That is where the views are compared.
    """

    def __init__(self) -> None:
        super().__init__()
        ledger = Ledger(1, 1, 1)
        ledger.configure_market(0, 0, False, 1, 1, 1, 1, 0, 0)
        self.core = Core(1, 1, ledger)
        self.core.configure_lane(0, [0])
        self.core.configure_market(0, window_ticks=64)
        self.core.set_latency(0, LatencyTable.constant(0), LatencyTable.constant(0))
        self.venue, self.client = BookOracle(), BookOracle()
        self.now = START_NS
        self.update_id = self.gaps = self.sent = 0
        self.announced: Message | None = None
        self.waiting: list[tuple[int, int, Message]] = []  # not yet received: (receive time, number, message)

    def send(self, kind: int, rows: list[Row], step_ns: int, late_ns: int, ref: int) -> None:
        self.now += step_ns
        message = Message(self.now, self.now + late_ns, kind, ref, tuple(rows), (GAP_SEQUENCE, 0, 0, 0))
        assert self.core.advance(self.now) == NEED_DATA
        self.core.set_window(0, window_of((message,), self.gaps), False)
        assert self.core.advance(self.now - 1) == WAKE_TIME
        if self.announced is not None:
            self.venue.apply(self.announced)
        for entry in sorted(self.waiting, key=lambda entry: entry[:2]):
            if entry[0] < self.now:
                self.client.apply(entry[2])
                self.waiting.remove(entry)
        self.announced = message
        self.sent += 1
        self.gaps += kind == GAP
        self.waiting.append((message.ts_recv, self.sent, message))

    @initialize()
    def start(self) -> None:
        self.send(SNAPSHOT, [(BUY, 1000, 5), (SELL, 1001, 5)], 0, 0, 0)

    @rule(
        rows=st.lists(st.tuples(SIDES, TICKS, LOTS), min_size=1, max_size=6),
        step=STEP_NS,
        late=LATENESS_NS,
        age=st.sampled_from([0, 0, 0, 1, 2, 5]),
    )
    def depth(self, rows: list[Row], step: int, late: int, age: int) -> None:
        self.update_id += 1
        self.send(DEPTH, rows, step, late, max(self.update_id - age, 0))

    @rule(
        bid=st.tuples(TICKS, LOTS),
        ask=st.tuples(TICKS, LOTS),
        sides=st.sampled_from(["both", "both", "bid", "ask"]),
        step=STEP_NS,
        late=LATENESS_NS,
        ahead=st.integers(-1, 3),
    )
    def quote(self, bid: tuple[int, int], ask: tuple[int, int], sides: str, step: int, late: int, ahead: int) -> None:
        rows = [(BUY, *bid)] if sides != "ask" else []
        rows += [(SELL, *ask)] if sides != "bid" else []
        self.send(BBO, rows, step, late, max(self.update_id + ahead, 0))

    @rule(bids=LEVELS, asks=LEVELS, step=STEP_NS, late=LATENESS_NS)
    def snapshot(self, bids: dict[int, int], asks: dict[int, int], step: int, late: int) -> None:
        self.update_id += 1
        rows = [(BUY, t, q) for t, q in bids.items()] + [(SELL, t, q) for t, q in asks.items()]
        self.send(SNAPSHOT, rows, step, late, self.update_id)

    @rule(step=STEP_NS, late=LATENESS_NS)
    def gap(self, step: int, late: int) -> None:
        self.send(GAP, [], step, late, self.gaps)

    @rule(side=SIDES, ticks=TICKS, step=st.integers(0, 20), late=LATENESS_NS)
    def trade(self, side: int, ticks: int, step: int, late: int) -> None:
        self.send(TRADE, [(side, ticks, 1)], step, late, 1)

    @invariant()
    def venue_view_is_the_oracle(self) -> None:
        assert self.core.venue_levels(0) == self.venue.rows()
        for side in (BUY, SELL):
            if self.venue.valid:
                assert self.core.venue_best_ticks(0, side) == self.venue.best(side)
            for ticks in SEEN_TICKS:
                assert self.core.venue_level_lots(0, side, ticks) == self.venue.levels[side].get(ticks, 0)

    @invariant()
    def client_view_is_the_oracle(self) -> None:
        core, client = self.core, self.client
        assert core.is_valid(0) == client.valid
        assert core.client_levels(0) == client.rows()
        for side in (BUY, SELL):
            levels = client.levels[side] if client.valid else {}
            best = client.best(side) if client.valid else NO_PRICE
            assert core.best_ticks(0, side) == best
            assert core.best_lots(0, side) == levels.get(best, 0)
            ordered = sorted(levels.items(), reverse=side == BUY)
            assert core.levels(0, side, 4) == ordered[:4]
            assert core.levels(0, side, 100) == ordered
            assert [core.level_lots(0, side, ticks) for ticks in SEEN_TICKS] == [levels.get(t, 0) for t in SEEN_TICKS]
