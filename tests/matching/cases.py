"""Cases for the event kernel and its reference as plain data, and how an engine plays them.

A case is settings, messages and commands; so it can be drawn at random (`swarm.py`), written by hand (`scenes.py`), cut
smaller (`shrink.py`) and run on any engine (`engines.py`). ``run`` drives an engine through a case and returns
checkpoints (state hashes), everything the lanes saw and the whole log. Engines agree on a case if these are equal.
"""

from __future__ import annotations

import hashlib
from dataclasses import astuple, dataclass, field
from typing import Any

import numpy as np

from matching.codes import (
    BUY,
    EV_ACCEPTED,
    EV_AMENDED,
    EV_CANCELED,
    EV_EXPIRED,
    EV_FILLED,
    EV_REJECTED,
    EXCHANGE_PARTIAL,
    FLAG_REDUCE_ONLY,
    FUNDING,
    GAP,
    GTC,
    LIMIT,
    MARK,
    MARK_RECORDED,
    NEED_DATA,
    NO_PRICE,
    QUEUE_RISK_AVERSE,
    SELL,
    WAKE_END,
    WAKE_MARKET,
    WAKE_PRIVATE,
)
from matching.feed import FeedWindow, stable_local_order

START_NS = 1_700_000_000_000_000_000
MS = 1_000_000
TICK_E8 = 10_000_000
CLOSING = (EV_REJECTED, EV_CANCELED, EV_EXPIRED)

Row = tuple[int, int, int]
AUX_KINDS = (MARK, FUNDING, GAP)


@dataclass(frozen=True)
class Message:
    ts_event: int
    ts_recv: int
    kind: int
    ref: int
    rows: tuple[Row, ...] = ()
    aux: tuple[int, int, int, int] = (0, 0, 0, 0)


@dataclass(frozen=True)
class Command:
    """At ``ts`` lane ``lane`` sends this. A cancel or amend names one of the lane's open orders by its rank."""

    ts: int
    lane: int
    kind: str  # submit, cancel, amend
    market: int = 0
    side: int = BUY
    ticks: int = 0
    lots: int = 0
    tif: int = GTC
    type: int = LIMIT
    flags: int = 0
    rank: int = 0


@dataclass(frozen=True)
class MarketSettings:
    venue: int = 0
    asset: int = 0
    queue_model: int = QUEUE_RISK_AVERSE
    queue_param: float = 1.0
    exchange: int = EXCHANGE_PARTIAL
    l1_only: bool = False
    mark_source: int = MARK_RECORDED
    post_only_reject: bool = False
    fok_reject: bool = False
    min_lots: int = 1
    max_lots: int = (1 << 31) - 1
    window_ticks: int = 1 << 12
    funding_from_marks: bool = False
    is_inverse: bool = False
    maker_rate_e12: int = -50_000_000
    taker_rate_e12: int = 400_000_000
    has_margin: bool = False
    value_num: int = 1000
    value_den: int = 1
    lot_num: int = 1
    lot_den: int = 10_000
    tick_e8: int = TICK_E8


@dataclass(frozen=True)
class LatencySettings:
    """Constant (one value), interpolated between times, or without times drawn from the values as quantiles."""

    ts_ns: tuple[int, ...] = ()
    values_ns: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Case:
    seed: int
    lanes: int
    markets: tuple[MarketSettings, ...]
    latencies: tuple[tuple[LatencySettings, LatencySettings], ...]  # by venue: entry, response
    feeds: tuple[tuple[Message, ...], ...]
    commands: tuple[Command, ...]
    masks: tuple[tuple[int, ...], ...]  # by lane and market
    reacts: bool = False  # lanes answer private events and market wake-ups
    window_messages: int = 0  # 0: the whole feed at once
    checkpoint_ns: int = 50 * MS
    deposit_e8: int = 0
    sample_ns: tuple[int, int] = (0, 0)  # best quotes, accounts
    tables: tuple[tuple[tuple[int, int, int, int], ...], ...] = ()

    @property
    def events(self) -> int:
        """Feed rows (a message without rows counts one) and commands."""
        return sum(max(len(message.rows), 1) for feed in self.feeds for message in feed) + len(self.commands)


# -- feeds as the engines take them


def window_of(messages: tuple[Message, ...], aux_base: int = 0) -> FeedWindow:
    """One window; ``aux_base`` payloads came in windows before it."""
    rows = [row for message in messages for row in message.rows]
    counts = [len(message.rows) for message in messages]
    aux = [message.aux for message in messages if message.kind in AUX_KINDS]
    refs, used = [], aux_base
    for message in messages:
        refs.append(used if message.kind in AUX_KINDS else message.ref)
        used += message.kind in AUX_KINDS
    recv = np.array([message.ts_recv for message in messages], dtype=np.int64)
    return FeedWindow(
        ts_event=np.array([message.ts_event for message in messages], dtype=np.int64),
        ts_recv=recv,
        kind=np.array([message.kind for message in messages], dtype=np.uint8),
        row_start=np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
        ref=np.array(refs, dtype=np.int64),
        local_order=stable_local_order(recv),
        side=np.array([row[0] for row in rows], dtype=np.uint8),
        px_ticks=np.array([row[1] for row in rows], dtype=np.int32),
        qty_lots=np.array([row[2] for row in rows], dtype=np.int32),
        aux=np.array(aux, dtype=np.int64).reshape(-1, 4),
        aux_base=aux_base,
    )


def windows_of(case: Case, market: int) -> list[FeedWindow]:
    feed = case.feeds[market]
    size = case.window_messages or max(len(feed), 1)
    windows, aux_base = [], 0
    for at in range(0, max(len(feed), 1), size):
        windows.append(window_of(feed[at : at + size], aux_base))
        aux_base += len(windows[-1].aux)
    return windows


# -- driving an engine


@dataclass
class Open:
    """One order as the driver knows it from delivered events."""

    market: int
    number: int
    slot: int
    side: int
    ticks: int
    lots: int


@dataclass
class Driver:
    """Plays a case on ``engine``; see `engines.py` for what an engine is."""

    case: Case
    engine: Any
    numbers: list[int] = field(default_factory=list)
    open: list[dict[int, Open]] = field(default_factory=list)
    checkpoints: list[tuple[int, str]] = field(default_factory=list)
    seen: list[tuple[int, ...]] = field(default_factory=list)

    def play(self) -> None:
        case = self.case
        self.numbers = [0] * case.lanes
        self.open = [{} for _ in range(case.lanes)]
        self.windows = [windows_of(case, m) for m in range(len(case.markets))]
        for m in range(len(case.markets)):
            self.feed(m)
        last = max(message.ts_recv for feed in case.feeds for message in feed)
        stops = sorted({*range(START_NS, last + case.checkpoint_ns, case.checkpoint_ns)})
        pending = list(case.commands)
        for stop in stops:
            while pending and pending[0].ts <= stop:
                self.advance(pending[0].ts)
                self.send(pending.pop(0))
            self.advance(stop)
            self.checkpoints.append((self.engine.now, self.engine.state_hash()))

    def feed(self, m: int) -> None:
        window = self.windows[m].pop(0)
        self.engine.set_window(m, window, not self.windows[m])

    def advance(self, until_ns: int) -> None:
        while True:
            code = self.engine.advance(until_ns)
            if code == NEED_DATA:
                for m in self.engine.needs():
                    self.feed(m)
                continue
            self.drain()
            if code == WAKE_MARKET:
                self.on_market()
            elif code != WAKE_PRIVATE:
                if code == WAKE_END:
                    self.seen.append((-1, self.engine.now))
                return

    def drain(self) -> None:
        while self.engine.pop_private():
            event = self.engine.private_event()
            self.seen.append(event)
            lane, _, number, _, kind, _, _, deliver, ticks, lots, leaves, *_ = event
            if number == 0:
                continue
            if kind in (EV_ACCEPTED, EV_AMENDED) and number in self.open[lane]:
                self.open[lane][number].ticks, self.open[lane][number].lots = ticks, lots
            if kind in CLOSING or (kind == EV_FILLED and leaves == 0):
                self.open[lane].pop(number, None)
            if self.case.reacts:
                self.react(lane, number, kind, deliver)

    def react(self, lane: int, number: int, kind: int, salt: int) -> None:
        """An answer that depends on nothing but the event itself."""
        pick = (number * 7919 + kind * 104_729 + salt) % 11
        market = number % len(self.case.markets)
        order = self.open[lane].get(number)
        if kind == EV_ACCEPTED and order is not None and pick < 2:
            self.engine.cancel(lane, order.slot, number)
        elif kind == EV_ACCEPTED and order is not None and pick == 2:
            self.engine.amend(lane, order.slot, number, order.ticks + 1, order.lots + 1)
        elif kind == EV_FILLED and pick < 8 and self.numbers[lane] < 400:
            for side in (BUY, SELL):  # one of them can reduce
                ticks = self.engine.best_ticks(market, side)
                if ticks != NO_PRICE:
                    flags = FLAG_REDUCE_ONLY if pick < 6 else 0
                    self.submit(Command(0, lane, "submit", market, side, ticks, 1 + number % 5, GTC, flags=flags))

    def on_market(self) -> None:
        message = self.engine.market_message()
        prices = [self.engine.best_ticks(m, side) for m in range(len(self.case.markets)) for side in (BUY, SELL)]
        self.seen.append((-2, self.engine.now, *message, *prices))
        m, kind, ts_event = message[:3]
        pick = (ts_event // 1000 + kind) % 37
        if self.case.reacts and pick < self.case.lanes and self.numbers[pick] < 400:
            ticks = self.engine.best_ticks(m, pick % 2)
            if ticks != NO_PRICE:
                self.submit(Command(0, pick, "submit", m, pick % 2, ticks, 2, GTC))

    def send(self, command: Command) -> None:
        lane = command.lane
        if command.kind == "submit":
            self.submit(command)
            return
        orders = list(self.open[lane].values())
        if not orders:
            return
        order = orders[command.rank % len(orders)]
        if command.kind == "cancel":
            self.engine.cancel(lane, order.slot, order.number)
        else:
            keeps = command.rank % 3
            ticks = order.ticks if keeps == 0 else command.ticks
            lots = order.lots if keeps == 1 or command.rank == 6 else command.lots
            self.engine.amend(lane, order.slot, order.number, ticks, lots)

    def submit(self, command: Command) -> None:
        lane = command.lane
        self.numbers[lane] += 1
        number = self.numbers[lane]
        slot = self.engine.submit(
            lane, command.market, number, command.side, command.ticks, command.lots, command.tif, command.type,
            command.flags,
        )  # fmt: skip
        self.open[lane][number] = Open(command.market, number, slot, command.side, command.ticks, command.lots)


@dataclass(frozen=True)
class Result:
    """What two engines must agree on."""

    checkpoints: tuple[tuple[int, str], ...]
    seen: tuple[tuple[int, ...], ...]  # per lane and market wake-ups, slots left out
    log: tuple[tuple[int, ...], ...]
    accounts: tuple[tuple[int, ...], ...]
    samples: tuple[tuple[int, ...], ...]

    def digest(self) -> str:
        return hashlib.sha256(repr(astuple(self)).encode()).hexdigest()


def run(case: Case, engine: Any) -> Result:
    driver = Driver(case, engine)
    driver.play()
    seen = tuple(event[:3] + event[4:] if event[0] >= 0 else event for event in driver.seen)
    return Result(tuple(driver.checkpoints), seen, engine.whole_log(), engine.account_state(), engine.samples())
