"""The reference engine: the naive, readable twin of ``kernel.Core``.

Theory of operation
-------------------
Everything that happens is put in one total order and done one thing at a time:

    at the venue    what happens of itself (funding boundaries, mids, rows of tables), then market messages by
                    (ts_event, market, venue order), then requests by (arrival, order of sending)
    at our side     private events by (delivery, order of generation), then market messages by (ts_recv, market, venue
                    order); at equal times the venue comes first

``advance(until)`` does the venue's things one at a time, the earliest first, until the next one would be later than the
first instant at which somebody on our side is to be woken; then it shows our side what it has received by then.
Nothing is kept that can be found by looking: what is slow here is obvious here. How messages
change a book is ``reference_book.py``, how orders fill ``reference_venue.py``, both written from docs/fills.md. The
differential suite holds the kernel, compiled and not, against this by ``state_hash()``.

The face is the part of ``Core``'s that strategies and tests use, with the same meaning of every argument.
"""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Callable
from dataclasses import astuple, dataclass
from functools import partial

import numpy as np

from matching.codes import (
    BBO,
    BUY,
    DEPTH,
    EV_AMEND_REJECTED,
    EV_CANCEL_REJECTED,
    EV_CANCELED,
    EV_EXPIRED,
    EV_FILLED,
    EV_REJECTED,
    FORCE,
    GAP,
    MARK,
    NEED_DATA,
    NO_PRICE,
    OFFBOOK,
    ON_BOOK,
    ON_FORCE,
    ON_GAP,
    ON_MARK,
    ON_PRIVATE,
    ON_TRADE,
    R_LATENCY,
    R_NONE,
    R_UNKNOWN_ORDER,
    SELL,
    SNAPSHOT,
    TRADE,
    WAKE_END,
    WAKE_MARKET,
    WAKE_PRIVATE,
    WAKE_TIME,
)
from matching.feed import FeedWindow
from matching.reference_book import Book, Message, message_of
from matching.reference_latency import Latency, Leg
from matching.reference_orders import FORCED_STYLE, Accounts, ForcedOrder, MarketRules, Order, Outcome
from matching.reference_venue import VenueMarket

NEVER_NS = (1 << 63) - 1
SECOND_NS = 1_000_000_000
REFUSED_SEQ = 1_000_000  # refused cancels and amends are numbered from here within their order
UNKNOWN_FRONT = 1 << 62
LISTENS = {
    DEPTH: ON_BOOK,
    BBO: ON_BOOK,
    SNAPSHOT: ON_BOOK,
    TRADE: ON_TRADE,
    OFFBOOK: ON_TRADE,
    MARK: ON_MARK,
    GAP: ON_GAP,
    FORCE: ON_FORCE,
}


@dataclass(slots=True)
class Request:
    """A command under way to the venue."""

    kind: str  # "submit", "cancel" or "amend"
    order: Order
    number: int  # among the order's cancels and amends, from 1
    sent_ns: int
    ticks: int = 0
    lots: int = 0


@dataclass(slots=True)
class Event:
    """One log row, delivered to its lane as a private event; fields as ``kernel.LOG_COLUMNS`` without the slot."""

    lane: int
    account: int
    market: int
    order_no: int
    seq: int
    event: int
    reason: int
    ts_event_ns: int
    ticks: int
    lots: int
    liquidity: int
    fee_e8: int
    ts_sent_ns: int
    ts_deliver_ns: int
    cause: int
    queue_front_micro: int
    side: int
    style: int
    leaves: int
    realized_e8: int
    position_lots: int
    wallet_e8: int

    def canonical(self) -> tuple[int, ...]:
        """The columns by which modes are compared, in their fixed order."""
        return (
            self.account, self.market, self.order_no, self.seq, self.event, self.reason,
            self.ts_event_ns, self.ticks, self.lots, self.liquidity, self.fee_e8,
        )  # fmt: skip


@dataclass(slots=True)
class Feed:
    """What is known of one market's messages."""

    messages: list[Message]  # in venue order
    at_client: list[tuple[int, int, Message]]  # not yet seen by us: a heap by (ts_recv, number)
    happened: int = 0  # how many of them the venue has had
    is_last: bool = False
    end_ns: int = 0  # the latest receive time so far

    @property
    def following(self) -> Message | None:
        """What happens next at the venue."""
        return self.messages[self.happened] if self.happened < len(self.messages) else None


@dataclass(slots=True)
class TableRow:
    """A mark or a funding charge out of a table, at venue time."""

    ts_ns: int
    kind: int  # MARK: a is the mark; FUNDING: a is the rate, b its mark or 0
    a: int
    b: int


class Reference:
    """See the module's docstring; every method means what ``Core``'s of the same name means."""

    def __init__(self, n_markets: int, n_lanes: int, accounts: Accounts) -> None:
        self.accounts = accounts
        self.now = 0
        self.venue_now = 0
        self.accounts_of_lane: list[list[int]] = [[lane] for lane in range(n_lanes)]
        self.markets = [VenueMarket(m, MarketRules(), accounts, self) for m in range(n_markets)]
        self.client_books = [Book(False) for _ in range(n_markets)]
        self.client_marks: list[tuple[int, ...]] = [(0, 0, 0, 0)] * n_markets
        self.feeds = [Feed([], []) for _ in range(n_markets)]
        self.tables: list[list[TableRow]] = [[] for _ in range(n_markets)]
        self.mid_due_ns = [NEVER_NS] * n_markets
        self.latencies: dict[int, tuple[Latency, Latency]] = {}
        self.masks: dict[tuple[int, int], int] = {}
        self.orders: dict[tuple[int, int], Order] = {}
        self.requests: list[tuple[int, int, Request]] = []  # a heap by (arrival, order of sending)
        self.private: list[tuple[int, int, Event]] = []  # a heap by (delivery, order of generation)
        self.account_events: dict[int, int] = {}
        self.forced_orders: dict[int, int] = {}  # that the venue has made, by lane
        self.log: list[Event] = []
        self.sent = 0
        self.rows = 0
        self.sample_ns = (0, 0)  # of best quotes, of accounts; 0: never
        self.sample_due_ns = [NEVER_NS, NEVER_NS]
        self.quote_samples: list[tuple[int, ...]] = []
        self.account_samples: list[tuple[int, ...]] = []
        self.ev: Event | None = None
        self.closing: Order | None = None
        self.msg: Message | None = None

    # -- configuration

    def configure_lane(self, lane: int, accounts: list[int]) -> None:
        self.accounts_of_lane[lane] = accounts

    def configure_market(self, m: int, rules: MarketRules) -> None:
        self.markets[m] = VenueMarket(m, rules, self.accounts, self)
        self.client_books[m] = Book(rules.l1_only)

    def set_latency(self, venue: int, entry: Latency, response: Latency) -> None:
        self.latencies[venue] = (entry, response)

    def set_table(self, m: int, rows: list[TableRow]) -> None:
        self.tables[m] = list(rows)

    def listen(self, lane: int, m: int, mask: int) -> None:
        self.masks[lane, m] = mask

    def sample_every(self, quotes_ns: int, accounts_ns: int) -> None:
        """Sample at whole multiples of venue time, before anything stamped then."""
        self.sample_ns = (quotes_ns, accounts_ns)

    def set_window(self, m: int, window: FeedWindow, last: bool) -> None:
        feed = self.feeds[m]
        for j in range(len(window)):
            message = message_of(m, len(feed.messages), window, j)
            feed.messages.append(message)
            heapq.heappush(feed.at_client, (message.ts_recv, message.number, message))
            feed.end_ns = max(feed.end_ns, message.ts_recv)
            if self.markets[m].rules.mark_is_mid and self.mid_due_ns[m] == NEVER_NS:
                self.mid_due_ns[m] = (message.ts_event // SECOND_NS + 1) * SECOND_NS
        for k, every_ns in enumerate(self.sample_ns):
            if every_ns and self.sample_due_ns[k] == NEVER_NS and len(window):
                self.sample_due_ns[k] = (int(window.ts_event[0]) // every_ns + 1) * every_ns
        feed.is_last = last

    def needs(self) -> list[int]:
        """Markets that wait for their next window."""
        return [m for m, feed in enumerate(self.feeds) if feed.following is None and not feed.is_last]

    # -- commands

    def submit(
        self, lane: int, m: int, order_no: int, side: int, ticks: int, lots: int, tif: int, type: int, flags: int
    ) -> int:
        order = Order(lane, m, order_no, side, ticks, lots, tif, type, flags, sent_ns=self.now)
        self.orders[lane, order_no] = order
        latency_ns = self._entry(m).latency_ns(self.now, Leg(m, order_no, 0))
        if latency_ns < 0:
            outcome = Outcome(lane, order, EV_REJECTED, R_LATENCY, ticks, lots, side=side)
            self._record(m, outcome, 0, self.now - latency_ns)
        else:
            self._send(Request("submit", order, 0, self.now), latency_ns)
        return order_no

    def cancel(self, lane: int, slot: int, order_no: int) -> None:
        self._follow_up("cancel", lane, order_no, 0, 0)

    def amend(self, lane: int, slot: int, order_no: int, ticks: int, lots: int) -> None:
        self._follow_up("amend", lane, order_no, ticks, lots)

    def _follow_up(self, kind: str, lane: int, order_no: int, ticks: int, lots: int) -> None:
        order = self.orders[lane, order_no]
        order.requests += 1
        leg = Leg(order.market, order_no, 2 * order.requests)
        latency_ns = abs(self._entry(order.market).latency_ns(self.now, leg))
        self._send(Request(kind, order, order.requests, self.now, ticks, lots), latency_ns)

    def _send(self, request: Request, latency_ns: int) -> None:
        self.sent += 1
        heapq.heappush(self.requests, (self.now + latency_ns, self.sent, request))

    def _entry(self, m: int) -> Latency:
        return self.latencies[self.markets[m].rules.venue][0]

    def _response(self, m: int) -> Latency:
        return self.latencies[self.markets[m].rules.venue][1]

    # -- what the venue's markets ask of their host

    def account(self, lane: int, m: int) -> int:
        return self.accounts_of_lane[lane][self.markets[m].rules.venue]

    def lanes(self) -> range:
        return range(len(self.accounts_of_lane))

    def new_forced(self, lane: int) -> ForcedOrder:
        self.forced_orders[lane] = self.forced_orders.get(lane, 0) + 1
        return ForcedOrder(-self.forced_orders[lane])

    def liquidate(self, lane: int, venue: int) -> None:
        """Asset by asset: cancel all, reduce by the book to the bankruptcy price, the rest to the insurance fund."""
        account = self.accounts_of_lane[lane][venue]
        for asset in sorted({market.rules.asset for market in self.markets}):
            markets = [market for market in self.markets if (market.rules.venue, market.rules.asset) == (venue, asset)]
            if not _is_due(markets, account, asset):
                continue
            for market in markets:
                market.cancel_lane(lane)
            for market in markets:
                if _is_due([market], account, asset) and market.position(lane) != 0:
                    market.liquidate_position(lane)
            if _is_due(markets, account, asset):
                for market in markets:
                    market.take_over(lane)

    def emit(self, m: int, outcome: Outcome) -> None:
        self._record(m, outcome, outcome.boundary_ns or self.venue_now, self._deliver_ns(m, outcome))

    def _deliver_ns(self, m: int, outcome: Outcome) -> int:
        if outcome.order is None:
            leg = Leg(m, 0, 2 * self.account_events.get(outcome.lane, 0) + 1)
        else:
            leg = Leg(m, outcome.order.number, 2 * (outcome.order.events + 1) + 1)
        return self.venue_now + self._response(m).latency_ns(self.venue_now, leg)

    def _record(self, m: int, outcome: Outcome, ts_ns: int, deliver_ns: int) -> None:
        account = self.account(outcome.lane, m)
        if outcome.order is None:
            seq = self.account_events.get(outcome.lane, 0)
            self.account_events[outcome.lane] = seq + 1
            order_no, sent_ns, style, leaves = 0, self.venue_now, 0, outcome.leaves
            if outcome.forced is not None:
                order_no, seq = outcome.forced.number, outcome.forced.events
                style = FORCED_STYLE
                outcome.forced.events += 1
                outcome.forced.delivered_ns = deliver_ns = max(deliver_ns, outcome.forced.delivered_ns)
        else:
            order = outcome.order
            seq = order.events
            order.events += 1
            order_no, sent_ns, leaves = order.number, order.sent_ns, order.leaves_lots
            style = order.tif + 8 * order.type + 16 * order.flags
        self._deliver(
            Event(
                outcome.lane, account, m, order_no, seq, outcome.event, outcome.reason, ts_ns, outcome.ticks,
                outcome.lots, outcome.liquidity, outcome.fee_e8, sent_ns, deliver_ns, outcome.cause,
                outcome.front_micro, outcome.side, style, leaves, outcome.realized_e8,
                *self._holdings(account, m),
            ),
            outcome.order,
        )  # fmt: skip

    def _refuse(self, request: Request, reason: int) -> None:
        """A cancel or amend that changes nothing: its order may be closed already."""
        order, m = request.order, request.order.market
        event = EV_CANCEL_REJECTED if request.kind == "cancel" else EV_AMEND_REJECTED
        account = self.account(order.lane, m)
        leg = Leg(m, order.number, 2 * (REFUSED_SEQ + request.number) + 1)
        deliver_ns = self.venue_now + self._response(m).latency_ns(self.venue_now, leg)
        self._deliver(
            Event(
                order.lane, account, m, order.number, REFUSED_SEQ + request.number, event, reason, self.venue_now, 0, 0,
                0, 0, request.sent_ns, deliver_ns, 0, 0, 0, 0, 0, 0,
                *self._holdings(account, m),
            ),
            order,
        )  # fmt: skip

    def _holdings(self, account: int, m: int) -> tuple[int, int]:
        """Position and wallet after an event."""
        return self.accounts.position(account, m), self.accounts.wallet(account, self.markets[m].rules.asset)

    def _deliver(self, event: Event, order: Order | None) -> None:
        # What a venue says of one order arrives in the order in which it says it.
        if order is not None and not order.is_known_closed:
            event.ts_deliver_ns = order.delivered_ns = max(event.ts_deliver_ns, order.delivered_ns)
        self.log.append(event)
        heapq.heappush(self.private, (event.ts_deliver_ns, len(self.log), event))

    # -- time

    def advance(self, until_ns: int) -> int:
        """Do everything up to the next thing somebody listens to, at most up to ``until_ns``; set ``now`` to there."""
        while True:
            if self.needs():
                return NEED_DATA
            wake_ns = max(self._wake_ns(until_ns), self.now)
            ts_ns, do = self._earliest_at_venue()
            if ts_ns > wake_ns:
                break
            self.venue_now = ts_ns
            do()
        self.now = wake_ns
        if self._private_due_ns() <= wake_ns:
            self._show_messages(wake_ns - 1)
            return WAKE_PRIVATE
        if self._show_messages(wake_ns):
            return WAKE_MARKET
        return WAKE_END if self._has_ended() and wake_ns < until_ns else WAKE_TIME

    def _wake_ns(self, until_ns: int) -> int:
        """The first instant at which our side is to be woken, as far as it is known now."""
        wake_ns = min(until_ns, self._private_due_ns())
        for m, feed in enumerate(self.feeds):
            if self._bits(m) != 0:
                for ts_recv, _, message in feed.at_client:
                    if ts_recv < wake_ns and self._is_listened_to(message):
                        wake_ns = ts_recv
        if all(feed.is_last for feed in self.feeds):
            wake_ns = min(wake_ns, max(feed.end_ns for feed in self.feeds))
        return wake_ns

    def _has_ended(self) -> bool:
        return all(feed.is_last and self.now >= feed.end_ns for feed in self.feeds)

    def _private_due_ns(self) -> int:
        due = [ts_ns for ts_ns, _, event in self.private if self._listens_private(event.lane)]
        return min(due, default=NEVER_NS)

    def _listens_private(self, lane: int) -> bool:
        return any(of_lane == lane and mask & ON_PRIVATE for (of_lane, _), mask in self.masks.items())

    def _bits(self, m: int) -> int:
        """What anybody listens to in this market, private events aside."""
        bits = 0
        for (_, market), mask in self.masks.items():
            bits |= mask & ~ON_PRIVATE if market == m else 0
        return bits

    def _is_listened_to(self, message: Message) -> bool:
        return self._bits(message.market) & LISTENS.get(message.kind, 0) != 0

    def _earliest_at_venue(self) -> tuple[int, Callable[[], None]]:
        """What happens next at the venue: when, and how to do it. At one instant: 0 of itself, 1 feed, 2 requests."""
        found: list[tuple[tuple[int, ...], Callable[[], None]]] = []
        for m, market in enumerate(self.markets):
            if market.next_boundary_ns is not None:
                found.append(((market.next_boundary_ns, 0, m, 0), market.reach_boundary))
            if self.mid_due_ns[m] < NEVER_NS:
                found.append(((self.mid_due_ns[m], 0, m, 1), partial(self._sample_mid, m)))
            if self.tables[m]:
                found.append(((self.tables[m][0].ts_ns, 0, m, 2), partial(self._do_table_row, m)))
            message = self.feeds[m].following
            if message is not None:
                found.append(((message.ts_event, 1, m, message.number), partial(self._do_message, m)))
        for k, due_ns in enumerate(self.sample_due_ns):
            if due_ns < NEVER_NS:
                found.append(((due_ns, 0, len(self.markets), k), partial(self._sample, k)))
        if self.requests:
            found.append(((self.requests[0][0], 2, self.requests[0][1], 0), self._do_request))
        if not found:
            return NEVER_NS, _nothing
        key, do = min(found, key=lambda item: item[0])
        return key[0], do

    def _sample_mid(self, m: int) -> None:
        self.mid_due_ns[m] += SECOND_NS
        self.markets[m].sample_mid()

    def _sample(self, k: int) -> None:
        ts_ns = self.sample_due_ns[k]
        self.sample_due_ns[k] += self.sample_ns[k]
        for m, market in enumerate(self.markets):
            if k == 0 and market.book.valid:
                best = market.book.best(BUY), market.book.best(SELL)
                self.quote_samples.append((ts_ns, m, *best, market.mark_e8))
        for lane in self.lanes() if k == 1 else []:
            for m, market in enumerate(self.markets):
                self.account_samples.append((ts_ns, lane, m, market.position(lane), market.mark_e8))

    def _do_table_row(self, m: int) -> None:
        row = self.tables[m].pop(0)
        if row.kind == MARK:
            self.markets[m].set_mark(row.a)
        else:
            self.markets[m].charge_funding(row.a, row.b, row.ts_ns)

    def _do_message(self, m: int) -> None:
        message = self.feeds[m].following
        assert message is not None
        self.feeds[m].happened += 1
        self.rows += len(message.rows)
        self.markets[m].on_message(message)

    def _do_request(self) -> None:
        _, _, request = heapq.heappop(self.requests)
        order = request.order
        market = self.markets[order.market]
        if request.kind == "submit":
            market.on_submit(order)
        elif request.kind == "cancel":
            if not market.on_cancel(order):
                self._refuse(request, R_UNKNOWN_ORDER)
        else:
            reason = market.on_amend(order, request.ticks, request.lots)
            if reason != R_NONE:
                self._refuse(request, reason)

    # -- our side

    def _show_messages(self, upto_ns: int) -> bool:
        """Bring every client view to ``upto_ns`` or to the first listened message there; True if there was one.

        Messages of later markets at that instant come after it.
        """
        shown = False
        for feed in self.feeds:
            while feed.at_client and feed.at_client[0][0] <= upto_ns - shown:
                message = feed.at_client[0][-1]
                is_listened = self._is_listened_to(message)
                if is_listened and shown:
                    break
                heapq.heappop(feed.at_client)
                self._see(message)
                if is_listened:
                    self.msg, shown = message, True
                    break
        return shown

    def _see(self, message: Message) -> None:
        for _ in self.client_books[message.market].apply(message):
            pass  # the changes matter to resting orders only, and those are at the venue
        if message.kind == MARK:
            self.client_marks[message.market] = message.aux

    def pop_private(self) -> bool:
        """The next private event due by now into ``ev``; after a closing one the next call forgets its order."""
        if self.closing is not None:
            self.closing.is_known_closed, self.closing = True, None
        if not self.private or self.private[0][0] > self.now:
            return False
        self.ev = heapq.heappop(self.private)[-1]
        is_filled = self.ev.event == EV_FILLED and self.ev.leaves == 0
        if self.ev.order_no > 0 and (is_filled or self.ev.event in (EV_REJECTED, EV_CANCELED, EV_EXPIRED)):
            self.closing = self.orders[self.ev.lane, self.ev.order_no]
        return True

    def best_ticks(self, m: int, side: int) -> int:
        """Best price as the client sees it, NO_PRICE while there is none or the book is stale."""
        book = self.client_books[m]
        return book.best(side) if book.valid else NO_PRICE

    def best_lots(self, m: int, side: int) -> int:
        return self.level_lots(m, side, self.best_ticks(m, side))

    def level_lots(self, m: int, side: int, ticks: int) -> int:
        book = self.client_books[m]
        return book.lots(side, ticks) if book.valid else 0

    def is_valid(self, m: int) -> bool:
        return self.client_books[m].valid

    # -- the digest of everything

    def resting_orders(self) -> list[tuple[int, ...]]:
        """(lane, order_no, market, side, ticks, lots left, queue ahead in micro-lots, traded there), sorted."""
        return sorted(
            (
                order.lane,
                order.number,
                m,
                order.side,
                order.ticks,
                order.leaves_lots,
                _front_micro(order),
                order.traded_lots,
            )
            for m, market in enumerate(self.markets)
            for order in market.resting
        )

    def log_rows(self) -> list[tuple[int, ...]]:
        """Every column of the log so far, in the order in which the rows came."""
        return [astuple(event) for event in self.log]

    def canonical_log(self) -> list[tuple[int, ...]]:
        return sorted(event.canonical() for event in self.log)

    def state(self) -> list[int]:
        """Everything that `state_hash` covers, as one list of int64; the order is stated in docs/fills.md."""
        out: list[int] = []
        for m, market in enumerate(self.markets):
            for book in (market.book, self.client_books[m]):
                out.append(int(book.valid))
                for side in (BUY, SELL):
                    for ticks in sorted(book.levels[side]):
                        out += (side, ticks, book.levels[side][ticks])
                    out.append(-1)
            for lane, number, index, *rest in self.resting_orders():
                if index == m:
                    out += (lane, number, *rest)
            out.append(-1)
        for row in self.canonical_log():
            out += row
        return out

    def state_hash(self) -> str:
        return hashlib.sha256(np.array(self.state(), dtype="<i8").tobytes()).hexdigest()


def _front_micro(order: Order) -> int:
    """May be negative: a queue model can put us before the head, where the next trade fills."""
    return UNKNOWN_FRONT if order.front_lots is None else math.floor(order.front_lots * 1e6 + 0.5)


def _is_due(markets: list[VenueMarket], account: int, asset: int) -> bool:
    """Whether the account is to be liquidated in this asset."""
    margins = [market.rules.margin for market in markets]
    return any(margin is not None and margin.liquidatable_asset(account) == asset for margin in margins)


def _nothing() -> None:
    raise AssertionError("nothing is left to do at the end of time")
