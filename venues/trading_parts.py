"""What all venues' trading sessions are made of: budgets and their queue, client order ids, the venue's clock,
questions about lost outcomes, memory against repeats. Per-order bookkeeping: ``venues/trading_orders.py``.

Theory of operation. All of it is plain objects on the monotonic clock; none does I/O.

- ``Budget`` is one rate limit as a sliding window: no window of its length, wherever it begins, ever holds more than
  the limit, so that it keeps fixed windows too, whatever the venue's clock. What the venue's headers say beyond our own
  count (others share the address) is added. A part of it can be kept for cancels.
- ``Throttle`` holds requests until all their budgets have room: cancels before commands before upkeep, the oldest of
  each first. A refusal for too many requests holds it until the instant that the venue named. What may not leave late
  (an order at the price of its moment) is put with an instant: past that it never leaves, and ``overdue`` names it.
- ``VenueClock`` ties the venue's time to our monotonic clock, by the shortest of a few round trips; steps of the wall
  clock do not matter to it.
- ``Inquiries`` says when to ask the venue (again) for what became of a request whose answer was lost. They end by the
  venue's word only; "no such order" counts after the settle window.
"""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar
from urllib.parse import urlsplit

from venues.errors import InputError
from venues.session_parts import LOOPBACK, SECOND
from venues.trading import Now
from venues.units import duration_text

CANCEL, COMMAND, UPKEEP = range(3)  # the order in which waiting requests get room
WAITING_MAX: Final = 4096
FOREVER: Final = 1 << 62
CLOCK_TRIPS: Final = 3  # round trips of one measurement
CLOCK_EVERY_NS: Final = 600 * SECOND
ASK_FIRST_NS: Final = SECOND // 2
ASK_MOST_NS: Final = 30 * SECOND
SETTLE_NS: Final = 90 * SECOND
SEEN_MAX: Final = 1 << 16
_TOKEN: Final = re.compile(r"[A-Za-z0-9]{1,16}")

T = TypeVar("T")


# -- addresses


def host(given: str, usual: str, venue: str) -> str:
    """A host to connect to: the one given, else the venue's. ``InputError`` when it is not one, or is another machine
    without TLS."""
    found = (given or usual).rstrip("/")
    parts = urlsplit(found)
    if parts.scheme not in ("ws", "wss", "http", "https") or not parts.hostname:
        raise InputError(f"{found!r} is no address such as wss://host:443", source=f"trade, {venue}")
    if parts.scheme in ("ws", "http") and parts.hostname not in LOOPBACK:
        raise InputError(f"{found}: a connection without TLS may only go to this machine", source=f"trade, {venue}")
    return found


# -- budgets


class Boundless:
    """The budget of a venue that has no rate limits."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def fits(self, cost: int, urgent: bool, now_ns: int) -> bool:
        """Always."""
        return True

    def room_ns(self, cost: int, urgent: bool, now_ns: int) -> int:
        """Now."""
        return now_ns

    def take(self, cost: int, now_ns: int) -> None:
        """Nothing is counted."""

    def observe(self, used: int, now_ns: int) -> None:
        """What the venue counts does not matter."""


class Budget:
    """At most ``limit`` units in any ``window_ns``; the last ``reserve`` of them only for cancels."""

    __slots__ = ("_taken", "_total", "limit", "name", "reserve", "window_ns")

    def __init__(self, name: str, limit: int, window_ns: int, reserve: int = 0) -> None:
        self.name = name
        self.limit = limit
        self.window_ns = window_ns
        self.reserve = reserve
        self._taken: deque[tuple[int, int]] = deque(maxlen=2 * limit)
        self._total = 0

    def used(self, now_ns: int) -> int:
        """Units used in the window that ends now."""
        taken = self._taken
        while taken and taken[0][0] + self.window_ns <= now_ns:
            self._total -= taken.popleft()[1]
        return self._total

    def fits(self, cost: int, urgent: bool, now_ns: int) -> bool:
        """Whether so many units fit now."""
        most = self.limit if urgent else self.limit - self.reserve
        # ``_total`` may still have units whose window is over: too many, never too few
        return self._total + cost <= most or self.room_ns(cost, urgent, now_ns) <= now_ns

    def room_ns(self, cost: int, urgent: bool, now_ns: int) -> int:
        """When so many units fit: an instant, ``now_ns`` if they do already."""
        most = self.limit if urgent else self.limit - self.reserve
        excess = self.used(now_ns) + min(cost, most) - most
        if cost == 0 or excess <= 0:
            return now_ns
        for at_ns, units in self._taken:
            excess -= units
            if excess <= 0:
                return at_ns + self.window_ns
        return now_ns + self.window_ns

    def take(self, cost: int, now_ns: int) -> None:
        """Use units."""
        if cost > 0:
            if len(self._taken) == self._taken.maxlen:
                self._total -= self._taken.popleft()[1]
            self._taken.append((now_ns, cost))
            self._total += cost

    def observe(self, used: int, now_ns: int) -> None:
        """The venue says that so many units are used: those beyond our own count are others'."""
        self.take(min(used, 2 * self.limit) - self.used(now_ns), now_ns)


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[T]):
    item: T
    costs: Mapping[str, int]
    until_ns: int


class Throttle(Generic[T]):
    """Requests that wait for room in their budgets; see the module's text. ``put`` says whether there was a place."""

    def __init__(self, budgets: tuple[Budget, ...], waiting_max: int = WAITING_MAX, limited: bool = True) -> None:
        """``limited`` False: the venue has no rate limits, and nothing waits for room."""
        self.budgets: dict[str, Budget | Boundless] = {
            budget.name: budget if limited else Boundless(budget.name) for budget in budgets
        }
        self._queues: tuple[deque[_Waiting[T]], ...] = tuple(deque(maxlen=waiting_max) for _ in range(3))
        self._held_ns = [0, 0, 0]
        self._waiting = 0
        self._first_ns = FOREVER  # no request that waits is overdue before

    def pass_through(self, rank: int, costs: Mapping[str, int], now_ns: int) -> bool:
        """Whether a request may leave now without waiting; its units are taken then. Never before one that waits."""
        if not self.may_pass(rank, costs, now_ns):
            return False
        self.count(costs, now_ns)
        return True

    def may_pass(self, rank: int, costs: Mapping[str, int], now_ns: int) -> bool:
        """Whether a request may leave now without waiting; ``count`` must follow if it does."""
        if self._waiting or self._held_ns[rank] > now_ns:
            return False
        budgets, urgent = self.budgets, rank == CANCEL
        for name, cost in costs.items():  # noqa: SIM110  # no generator: an order waits for it
            if not budgets[name].fits(cost, urgent, now_ns):
                return False
        return True

    def count(self, costs: Mapping[str, int], now_ns: int) -> None:
        """Take the units of a request that leaves."""
        for name, cost in costs.items():
            self.budgets[name].take(cost, now_ns)

    def put(self, item: T, rank: int, costs: Mapping[str, int], until_ns: int = FOREVER) -> bool:
        """Queue a request of rank CANCEL, COMMAND or UPKEEP; False: too many wait already. ``costs`` by budget; it
        leaves before ``until_ns`` or never."""
        queue = self._queues[rank]
        if len(queue) == queue.maxlen:
            return False
        queue.append(_Waiting(item, costs, until_ns))
        self._first_ns = min(self._first_ns, until_ns)
        self._waiting += 1
        return True

    def put_back(self, item: T, rank: int, costs: Mapping[str, int], until_ns: int = FOREVER) -> bool:
        """The same, before all others of its rank: a request that the venue has refused for the moment."""
        queue = self._queues[rank]
        if len(queue) == queue.maxlen:
            return False
        queue.appendleft(_Waiting(item, costs, until_ns))
        self._first_ns = min(self._first_ns, until_ns)
        self._waiting += 1
        return True

    def hold(self, until_ns: int, *, cancels: bool) -> None:
        """Nothing leaves before that instant; cancels too where ``cancels``."""
        for rank in (CANCEL, COMMAND, UPKEEP) if cancels else (COMMAND, UPKEEP):
            self._held_ns[rank] = max(self._held_ns[rank], until_ns)

    def overdue(self, now_ns: int) -> list[T]:
        """Those that could not leave in time; they do not wait any more."""
        if now_ns < self._first_ns:
            return []
        late = [waiting for queue in self._queues for waiting in queue if waiting.until_ns <= now_ns]
        for waiting in late:
            self.remove(waiting.item)
        self._first_ns = min((one.until_ns for queue in self._queues for one in queue), default=FOREVER)
        return [waiting.item for waiting in late]

    def take(self, now_ns: int) -> T | None:
        """The next request that may leave now, its units taken; None: nothing may. Ask for the ``overdue`` before."""
        for rank, queue in enumerate(self._queues):
            if queue and now_ns < queue[0].until_ns and self._ready_ns(rank, queue[0].costs, now_ns) <= now_ns:
                waiting = queue.popleft()
                self._waiting -= 1
                self.count(waiting.costs, now_ns)
                return waiting.item
        return None

    def remove(self, item: T) -> bool:
        """Take a request back that has not left; whether it was there."""
        for queue in self._queues:
            for waiting in queue:
                if waiting.item is item:
                    queue.remove(waiting)
                    self._waiting -= 1
                    return True
        return False

    def drain(self) -> list[T]:
        """All that wait, which then do no longer."""
        found = [waiting.item for queue in self._queues for waiting in queue]
        for queue in self._queues:
            queue.clear()
        self._waiting = 0
        return found

    def __len__(self) -> int:
        return self._waiting

    def next_ns(self, now_ns: int) -> int | None:
        """When the next request may leave; None: none waits."""
        found = [self._ready_ns(rank, queue[0].costs, now_ns) for rank, queue in enumerate(self._queues) if queue]
        return min(found, default=None)

    def _ready_ns(self, rank: int, costs: Mapping[str, int], now_ns: int) -> int:
        urgent = rank == CANCEL
        rooms = (self.budgets[name].room_ns(cost, urgent, now_ns) for name, cost in costs.items())
        return max(self._held_ns[rank], now_ns, *rooms)


def too_late(waited_ns: int) -> str:
    """Why an order is refused that waited for too long."""
    return f"not sent: it could not leave for {duration_text(waited_ns)} (limits or a ban), and its moment is over"


# -- names of orders


class ClientIds:
    """Client order ids from the run's token and the order number, and back. The same order has the same id always."""

    __slots__ = ("_head", "token")

    def __init__(self, token: str) -> None:
        if not _TOKEN.fullmatch(token):
            raise InputError("must be 1 to 16 letters and digits", source="trade", field="run")
        self.token = token
        self._head = "0x" + hashlib.blake2b(token.encode(), digest_size=8).hexdigest()

    def text(self, order_no: int) -> str:
        """As text, at most 36 characters: ``token-12``."""
        return f"{self.token}-{order_no}"

    def order_no(self, text: str) -> int:
        """The number in an id made by ``text``; 0: not one of ours."""
        token, _, number = text.rpartition("-")
        known = token == self.token and number.isascii() and number.isdigit() and len(number) < 19
        return int(number) if known and number[0] != "0" else 0

    def hex128(self, order_no: int) -> str:
        """As 16 bytes in hexadecimal, with 0x: 8 of the token's hash, 8 of the number."""
        return f"{self._head}{order_no:016x}"

    def order_no_of_hex(self, text: str) -> int:
        """The number in an id made by ``hex128``; 0: not one of ours."""
        found = text.lower()
        if len(found) != 34 or not found.startswith(self._head):
            return 0
        try:
            return int(found[18:], 16)
        except ValueError:
            return 0


# -- the venue's time


class VenueClock:
    """The venue's time by our monotonic clock.

    ``trip`` takes the round trips of a measurement; after ``CLOCK_TRIPS`` of them the one that took least decides.
    ``doubt``: the venue has called a timestamp wrong; a new measurement is due, and begins from nothing.
    """

    __slots__ = ("_base_ns", "_best_ns", "_found_ns", "_trips", "due_ns", "is_known", "trip_ns")

    def __init__(self) -> None:
        self.is_known = False
        self.due_ns = 0  # monotonic: when to measure (again)
        self.trip_ns = 0  # of the measurement in use: its error is at most half of it
        self._base_ns = self._found_ns = self._best_ns = 0
        self._trips = 0

    def trip(self, sent_ns: int, received_ns: int, venue_ns: int) -> bool:
        """One round trip, in monotonic times, and the venue's time in its answer. Whether another one is needed."""
        took_ns = received_ns - sent_ns
        if self._trips == 0 or took_ns < self._best_ns:
            self._best_ns = took_ns
            self._found_ns = venue_ns - (sent_ns + received_ns) // 2
        self._trips += 1
        if self._trips < CLOCK_TRIPS:
            return True
        self._base_ns, self.trip_ns, self.is_known = self._found_ns, self._best_ns, True
        self._trips = 0
        self.due_ns = received_ns + CLOCK_EVERY_NS
        return False

    def doubt(self, now_ns: int) -> None:
        """Measure again, soon."""
        self._trips = 0
        self.due_ns = min(self.due_ns, now_ns)

    def venue_ns(self, now: Now) -> int:
        """The venue's time at an instant of ours; until it was measured, the wall clock."""
        return now.mono_ns + self._base_ns if self.is_known else now.wall_ns


# -- questions about lost outcomes


@dataclass(slots=True)
class Inquiry:
    """One question: what became of ``what`` (submit, cancel, amend, fills) of an order."""

    order_no: int
    what: str
    since_ns: int
    due_ns: int
    tries: int = 0
    under_way: bool = False


class Inquiries:
    """What to ask, and when: at first after half a second, then at growing intervals, until ``close``."""

    def __init__(self, settle_ns: int = SETTLE_NS) -> None:
        self.settle_ns = settle_ns
        self._open: dict[tuple[int, str], Inquiry] = {}

    def open(self, order_no: int, what: str, now_ns: int, wait_ns: int = ASK_FIRST_NS) -> None:
        """Ask about this, unless it is being asked already."""
        self._open.setdefault((order_no, what), Inquiry(order_no, what, now_ns, now_ns + wait_ns))

    def due(self, now_ns: int) -> list[Inquiry]:
        """Those to be asked now; each is ``under_way`` until ``again`` or ``close``."""
        found = [one for one in self._open.values() if one.due_ns <= now_ns and not one.under_way]
        for one in found:
            one.under_way = True
        return found

    def again(self, order_no: int, what: str, now_ns: int) -> None:
        """It brought nothing final: ask again, later."""
        one = self._open.get((order_no, what))
        if one is not None:
            one.tries += 1
            one.under_way = False
            one.due_ns = now_ns + min(ASK_FIRST_NS << min(one.tries, 30), ASK_MOST_NS)

    def hurry(self, now_ns: int) -> None:
        """Ask all of it now, and then almost as often as at first. What was asked before counts as asked once: it goes
        on by the other way where there are two."""
        for one in self._open.values():
            one.tries, one.due_ns = min(one.tries, 1), now_ns

    def has_settled(self, order_no: int, what: str, now_ns: int) -> bool:
        """Whether "no such order" may be believed now: the settle window is over."""
        one = self._open.get((order_no, what))
        return one is not None and now_ns - one.since_ns >= self.settle_ns

    def age_ns(self, order_no: int, what: str, now_ns: int) -> int:
        """How long this has been asked about; 0: it is not."""
        one = self._open.get((order_no, what))
        return now_ns - one.since_ns if one is not None else 0

    def is_open(self, order_no: int, what: str) -> bool:
        return (order_no, what) in self._open

    def close(self, order_no: int, what: str = "") -> None:
        """The venue has said it; without ``what``: all about this order."""
        for key in [key for key in self._open if key[0] == order_no and what in ("", key[1])]:
            del self._open[key]

    def __len__(self) -> int:
        return len(self._open)


# -- repeats


class Seen:
    """The last ``most`` keys, to know what comes twice."""

    __slots__ = ("_keys", "_most")

    def __init__(self, most: int = SEEN_MAX) -> None:
        self._keys: dict[Hashable, None] = {}
        self._most = most

    def add(self, key: Hashable) -> bool:
        """Whether it is new; remembers it."""
        if key in self._keys:
            return False
        if len(self._keys) >= self._most:
            del self._keys[next(iter(self._keys))]
        self._keys[key] = None
        return True

    def __contains__(self, key: Hashable) -> bool:
        return key in self._keys
