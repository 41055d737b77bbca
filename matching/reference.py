"""The reference engine: the naive, readable twin of ``kernel.Core``.

Theory of operation
-------------------
Everything that happens is put in one total order and done one thing at a time:

    at the venue    market messages by (ts_event, market, venue order), then requests by (arrival, order of sending);
                    a funding boundary comes before anything else of its instant
    at our side     private events by (delivery, order of generation), then market messages by (ts_recv, market, venue
                    order); at equal times the venue comes first

``advance(until)`` finds the earliest of these, does it, and goes on until something is due that somebody listens to. No
two things are done at once, nothing is skipped, nothing is cached: what is slow here is obvious here. How messages
change a book is ``reference_book.py``, how orders fill ``reference_venue.py``, both written from docs/fills.md. The
differential suite holds the kernel, compiled and not, against this by ``state_hash()``.

The face is the part of ``Core``'s that strategies and tests use, with the same meaning of every argument.
"""

from __future__ import annotations

import hashlib
import heapq
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from matching.codes import (
    BBO,
    DEPTH,
    EV_AMEND_REJECTED,
    EV_CANCEL_REJECTED,
    EV_FUNDING,
    EV_REJECTED,
    FORCE,
    FUNDING,
    GAP,
    LIQ_NONE,
    MARK,
    NEED_DATA,
    OFFBOOK,
    ON_BOOK,
    ON_FORCE,
    ON_GAP,
    ON_MARK,
    ON_PRIVATE,
    ON_TRADE,
    R_LATENCY,
    R_NONE,
    SNAPSHOT,
    TRADE,
    WAKE_END,
    WAKE_MARKET,
    WAKE_PRIVATE,
    WAKE_TIME,
)
from matching.feed import FeedWindow
from matching.reference_book import Book, Message
from matching.reference_venue import Account, MarketRules, Order, Outcome, VenueMarket, is_reduce_only

NEVER_NS = (1 << 63) - 1
UNKNOWN_FRONT = 1 << 62
LISTENS = {
    DEPTH: ON_BOOK,
    BBO: ON_BOOK,
    SNAPSHOT: ON_BOOK,
    TRADE: ON_TRADE,
    OFFBOOK: ON_TRADE,
    MARK: ON_MARK,
    FUNDING: ON_MARK,
    GAP: ON_GAP,
    FORCE: ON_FORCE,
}


class Latency(Protocol):
    """Nanoseconds of one leg at an instant; negative: refused by the venue after that long."""

    def latency_ns(self, ts_ns: int) -> int: ...


@dataclass(slots=True)
class ConstantLatency:
    ns: int

    def latency_ns(self, ts_ns: int) -> int:
        return self.ns


@dataclass(slots=True)
class SeriesLatency:
    """Interpolated between records, floor-rounded, held at both ends; a refusal (negative) holds until the next."""

    ts_ns: Sequence[int]
    values_ns: Sequence[int]

    def latency_ns(self, ts_ns: int) -> int:
        before = [i for i, t in enumerate(self.ts_ns) if t <= ts_ns]
        if not before:
            return self.values_ns[0]
        i = before[-1]
        if i + 1 == len(self.ts_ns) or self.values_ns[i] < 0 or self.values_ns[i + 1] < 0:
            return self.values_ns[i]
        rise = self.values_ns[i + 1] - self.values_ns[i]
        return self.values_ns[i] + rise * (ts_ns - self.ts_ns[i]) // (self.ts_ns[i + 1] - self.ts_ns[i])


@dataclass(slots=True)
class Request:
    """A command under way to the venue."""

    kind: str  # "submit", "cancel" or "amend"
    order: Order
    ticks: int = 0
    lots: int = 0


@dataclass(slots=True)
class PrivateEvent:
    """What ``pop_private`` hands to a lane; also one row of the log."""

    lane: int
    account: int
    market: int
    order_no: int
    seq: int
    event: int
    reason: int
    ts_ns: int
    ticks: int
    lots: int
    liquidity: int
    fee_e8: int
    deliver_ns: int
    leaves_lots: int
    side: int
    cause: int = 0
    realized_e8: int = 0
    amount_e8: int = 0

    def canonical(self) -> tuple[int, ...]:
        """The columns by which modes are compared, in their fixed order."""
        return (
            self.account, self.market, self.order_no, self.seq, self.event, self.reason,
            self.ts_ns, self.ticks, self.lots, self.liquidity, self.fee_e8,
        )  # fmt: skip


@dataclass(slots=True)
class Feed:
    """What is known of one market's messages: those the venue has not had yet, those the client has not seen yet."""

    at_venue: deque[Message]  # bounded by the windows given
    at_client: list[tuple[int, int, int, Message]]  # a heap by (ts_recv, market, number)
    count: int = 0
    is_last: bool = False


class Reference:
    """See the module's docstring; every method means what ``Core``'s of the same name means."""

    def __init__(self, n_markets: int, n_lanes: int, account: Account) -> None:
        self.account = account
        self.now = 0
        self.venue_now = 0
        self.accounts_of_lane: list[list[int]] = [[lane] for lane in range(n_lanes)]
        self.markets = [self._market(m, MarketRules()) for m in range(n_markets)]
        self.client_books = [Book(False) for _ in range(n_markets)]
        self.client_marks: list[tuple[int, ...]] = [(0, 0, 0, 0)] * n_markets
        self.feeds = [Feed(deque(), []) for _ in range(n_markets)]
        self.latencies: dict[int, tuple[Latency, Latency]] = {}
        self.masks: dict[tuple[int, int], int] = {}
        self.orders: dict[tuple[int, int], Order] = {}
        self.requests: list[tuple[int, int, Request]] = []
        self.private: list[tuple[int, int, PrivateEvent]] = []
        self.due_events: list[PrivateEvent] = []
        self.due_messages: list[Message] = []
        self.log: list[PrivateEvent] = []
        self.sent = 0
        self.rows = 0
        self.need_market = -1
        self.event: PrivateEvent | None = None
        self.message: Message | None = None

    # -- configuration

    def _market(self, m: int, rules: MarketRules) -> VenueMarket:
        def account_of(lane: int) -> int:
            return self.accounts_of_lane[lane][rules.venue]

        return VenueMarket(m, rules, self.account, account_of, self._emit)

    def configure_market(self, m: int, rules: MarketRules) -> None:
        self.markets[m] = self._market(m, rules)
        self.client_books[m] = Book(rules.l1_only)

    def configure_lane(self, lane: int, accounts: list[int]) -> None:
        self.accounts_of_lane[lane] = accounts

    def set_latency(self, venue: int, entry: Latency, response: Latency) -> None:
        self.latencies[venue] = (entry, response)

    def listen(self, lane: int, m: int, mask: int) -> None:
        self.masks[lane, m] = mask

    def set_window(self, m: int, window: FeedWindow, last: bool) -> None:
        feed = self.feeds[m]
        for j in range(len(window)):
            message = _message(m, feed.count, window, j)
            feed.count += 1
            feed.at_venue.append(message)
            heapq.heappush(feed.at_client, (message.ts_recv, m, message.number, message))
        feed.is_last = last

    # -- commands

    def submit(
        self, lane: int, m: int, order_no: int, side: int, ticks: int, lots: int, tif: int, type: int, flags: int
    ) -> int:
        order = Order(lane, m, order_no, side, ticks, lots, tif, type, is_reduce_only(flags))
        self.orders[lane, order_no] = order
        self._send(Request("submit", order, ticks, lots))
        return order_no

    def cancel(self, lane: int, slot: int, order_no: int) -> None:
        self._send(Request("cancel", self.orders[lane, order_no]))

    def amend(self, lane: int, slot: int, order_no: int, ticks: int, lots: int) -> None:
        self._send(Request("amend", self.orders[lane, order_no], ticks, lots))

    def _send(self, request: Request) -> None:
        entry, _ = self._latency(request.order.market)
        latency_ns = entry.latency_ns(self.now)
        if latency_ns < 0:
            self._refuse(request, self.now - latency_ns)
            return
        self.sent += 1
        heapq.heappush(self.requests, (self.now + latency_ns, self.sent, request))

    def _latency(self, m: int) -> tuple[Latency, Latency]:
        return self.latencies.get(self.markets[m].rules.venue, (ConstantLatency(0), ConstantLatency(0)))

    def _refuse(self, request: Request, deliver_ns: int) -> None:
        event = {"submit": EV_REJECTED, "cancel": EV_CANCEL_REJECTED, "amend": EV_AMEND_REJECTED}[request.kind]
        order = request.order
        self._record(Outcome(order, event, R_LATENCY, order.ticks, order.leaves_lots), deliver_ns, deliver_ns)

    # -- events out

    def _emit(self, outcome: Outcome) -> None:
        _, response = self._latency(outcome.order.market)
        self._record(outcome, self.venue_now, self.venue_now + abs(response.latency_ns(self.venue_now)))

    def _record(self, outcome: Outcome, ts_ns: int, deliver_ns: int) -> None:
        order = outcome.order
        order.events += 1
        account = self.accounts_of_lane[order.lane][self.markets[order.market].rules.venue]
        event = PrivateEvent(
            order.lane, account, order.market, order.number, order.events, outcome.event, outcome.reason, ts_ns,
            outcome.ticks, outcome.lots, outcome.liquidity, outcome.fee_e8, deliver_ns, order.leaves_lots, order.side,
            outcome.cause, outcome.realized_e8,
        )  # fmt: skip
        self.log.append(event)
        heapq.heappush(self.private, (deliver_ns, len(self.log), event))

    def pop_private(self) -> bool:
        """The next private event due by now into ``event``."""
        if not self.due_events:
            return False
        self.event = self.due_events.pop(0)
        return True

    def pop_market(self) -> bool:
        """The next due message somebody listens to into ``message``."""
        if not self.due_messages:
            return False
        self.message = self.due_messages.pop(0)
        return True

    # -- time

    def advance(self, until_ns: int) -> int:
        """Do everything up to the next thing somebody listens to, at most up to ``until_ns``; set ``now`` to there."""
        wake_ns, code = until_ns, WAKE_TIME
        while True:
            if self._needs_data():
                return NEED_DATA
            ts_ns, do = self._earliest()
            if ts_ns > wake_ns:
                break
            woken = do()
            if woken is not None and code == WAKE_TIME:
                wake_ns, code = ts_ns, woken
        if wake_ns == NEVER_NS:
            return WAKE_END
        self.now = max(self.now, wake_ns)
        return code

    def _needs_data(self) -> bool:
        """Whether a market has run out of messages while more are to come: what is next is not known."""
        for m, feed in enumerate(self.feeds):
            if not feed.at_venue and not feed.is_last:
                self.need_market = m
                return True
        return False

    def _earliest(self) -> tuple[int, Callable[[], int | None]]:
        """The first thing in the total order that is not yet done: its time, and how to do it.

        Classes at one instant: 0 boundary, 1 market message, 2 request (the venue); 3 private event, 4 market message
        (our side).
        """
        found: list[tuple[tuple[int, ...], Callable[[], int | None]]] = []
        for m, market in enumerate(self.markets):
            if market.boundary_is_ahead:
                found.append(((market.boundary_ns, 0, m), market.reach_boundary))
            feed = self.feeds[m]
            if feed.at_venue:
                message = feed.at_venue[0]
                found.append(((message.ts_event, 1, m, message.number), partial(self._do_venue_message, feed)))
            if feed.at_client:
                message = feed.at_client[0][-1]
                found.append(((message.ts_recv, 4, m, message.number), partial(self._do_client_message, feed)))
        if self.requests:
            found.append(((self.requests[0][0], 2, self.requests[0][1]), self._do_request))
        if self.private:
            found.append(((self.private[0][0], 3, self.private[0][1]), self._do_private))
        if not found:
            return NEVER_NS, _nothing
        key, do = min(found, key=lambda item: item[0])
        return key[0], do

    def _do_venue_message(self, feed: Feed) -> None:
        message = feed.at_venue.popleft()
        self.venue_now = message.ts_event
        self.rows += len(message.rows)
        self.markets[message.market].on_message(message)

    def _do_request(self) -> None:
        self.venue_now, _, request = heapq.heappop(self.requests)
        market = self.markets[request.order.market]
        if request.kind == "submit":
            market.on_submit(request.order)
        elif request.kind == "cancel":
            market.on_cancel(request.order)
        else:
            market.on_amend(request.order, request.ticks, request.lots)

    def _do_private(self) -> int | None:
        _, _, event = heapq.heappop(self.private)
        self.due_events.append(event)
        return WAKE_PRIVATE if self.masks.get((event.lane, event.market), 0) & ON_PRIVATE else None

    def _do_client_message(self, feed: Feed) -> int | None:
        message = heapq.heappop(feed.at_client)[-1]
        for _ in self.client_books[message.market].apply(message):
            pass
        if message.kind == MARK:
            self.client_marks[message.market] = message.aux
        bit = LISTENS[message.kind]
        if any(m == message.market and mask & bit for (_, m), mask in self.masks.items()):
            self.due_messages.append(message)
            return WAKE_MARKET
        return None

    # -- what the client sees, what the venue shows, and the digest of everything

    def best_ticks(self, m: int, side: int) -> int:
        return self.client_books[m].best(side)

    def level_lots(self, m: int, side: int, ticks: int) -> int:
        return self.client_books[m].lots(side, ticks)

    def best_lots(self, m: int, side: int) -> int:
        return self.level_lots(m, side, self.best_ticks(m, side))

    def is_valid(self, m: int) -> bool:
        return self.client_books[m].valid

    def mark_e8(self, m: int) -> int:
        return self.client_marks[m][0]

    def venue_best_ticks(self, m: int, side: int) -> int:
        return self.markets[m].book.best(side)

    def venue_level_lots(self, m: int, side: int, ticks: int) -> int:
        return self.markets[m].book.lots(side, ticks)

    def canonical_log(self) -> list[tuple[int, ...]]:
        return sorted(event.canonical() for event in self.log)

    def state(self) -> list[int]:
        """Everything that `state_hash` covers, as one list of int64; the order is stated in docs/fills.md."""
        out: list[int] = []
        for m, market in enumerate(self.markets):
            for book in (market.book, self.client_books[m]):
                out.append(int(book.valid))
                for side in (0, 1):
                    for ticks in sorted(book.levels[side]):
                        out += (side, ticks, book.levels[side][ticks])
                out.append(-1)
            for order in sorted(market.resting, key=lambda order: (order.lane, order.number)):
                front = UNKNOWN_FRONT if order.front_lots is None else math.floor(order.front_lots * 1e6 + 0.5)
                out += (order.lane, order.number, order.side, order.ticks, order.leaves_lots, front, order.traded_lots)
            out.append(-1)
        for row in self.canonical_log():
            out += row
        return out

    def state_hash(self) -> str:
        return hashlib.sha256(np.array(self.state(), dtype="<i8").tobytes()).hexdigest()


def _nothing() -> None:
    raise AssertionError("nothing is left to do at the end of time")


def _message(m: int, number: int, window: FeedWindow, j: int) -> Message:
    first, end = int(window.row_start[j]), int(window.row_start[j + 1])
    columns = (window.side[first:end], window.px_ticks[first:end], window.qty_lots[first:end])
    kind, ref = int(window.kind[j]), int(window.ref[j])
    aux = tuple(window.aux[ref - window.aux_base].tolist()) if kind in (MARK, FUNDING, GAP) else ()
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    return Message(m, number, int(window.ts_event[j]), int(window.ts_recv[j]), kind, ref, rows, aux)
