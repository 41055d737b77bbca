"""Requests to Binance and their answers: signed, inside the venue's budgets, by websocket or REST. No I/O.

Theory of operation. A ``Request`` waits in the throttle until the venue's budgets have room, is signed with the
venue's time at the instant it leaves, and leaves by the websocket API where that is open and knows the method, else by
REST. Its answer is one of three things, each a callback of the request:

    done      the venue did it; the body follows
    refused   the venue says that it did not, with its code and words
    lost      nobody knows: no answer in ``ANSWER_NS``, a closed connection, a 5xx, -1000, -1006, -1007. An answer that
              comes after all is handed on as well

Two refusals never reach ``refused`` at once. A wrong timestamp (-1021, -5028, -4188) has the clock measured again and
the request sent once more. Too many requests (429, 418, -1003) hold everything until the instant that the venue names
(a minute where it names none, three of them after 418); cancels then go first. A request that must be repeated until it
succeeds is its owner's business (``later``).

HTTP 503 comes in three kinds: "Unknown error" (the outcome is unknown), "Service Unavailable." and -1008 (certainly not
executed). 403 is a firewall's: not executed. Sources: developers.binance.com, usds-margined-futures, "General Info",
"Websocket API General Info"; limits: the rule card.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import msgspec

from venues.binance.auth import ED25519, RECV_WINDOW_MS, Signer, query_string
from venues.binance.reasons import cure_of
from venues.binance.trading_wire import ApiReply, RateLimitRow, Refusal, ServerTime, TradingCodec
from venues.errors import PayloadError
from venues.ports import Entropy
from venues.session_parts import MS, SECOND, Remark, Reply, Send, backoff_ns, retry_after_ns
from venues.trading import Action, Call, Event, NotReady, Now
from venues.trading_orders import Orders
from venues.trading_parts import (
    CANCEL,
    COMMAND,
    FOREVER,
    UPKEEP,
    Budget,
    ClientIds,
    Throttle,
    VenueClock,
    host,
    too_late,
)
from venues.trading_sessions import TradingWanted

ANSWER_NS: Final = 6 * SECOND  # beyond the receive window, after which the venue refuses the request itself
FORGET_NS: Final = 120 * SECOND  # how long an answer may still come after its request was called lost
BANNED_NS: Final = 180 * SECOND
UNKNOWN_CODES: Final = frozenset((-1000, -1006, -1007))
STALE_CODES: Final = frozenset((-1021, -5028, -4188))
KEY_CODES: Final = frozenset((-2014, -2015))
NOTHING: Final = msgspec.Raw(b"")

WEIGHT: Final = "weight"
ORDERS_10S: Final = "orders 10 s"
ORDERS_1M: Final = "orders 1 min"
_HEADERS: Final = {
    "x-mbx-used-weight-1m": WEIGHT, "x-mbx-order-count-10s": ORDERS_10S, "x-mbx-order-count-1m": ORDERS_1M,
}  # fmt: skip
_LIMITS: Final = {
    ("REQUEST_WEIGHT", "MINUTE", 1): WEIGHT,
    ("ORDERS", "SECOND", 10): ORDERS_10S,
    ("ORDERS", "MINUTE", 1): ORDERS_1M,
}
HOSTS: Final = {
    "binance_usdm": ("https://fapi.binance.com", "wss://fstream.binance.com", "wss://ws-fapi.binance.com", "fapi"),
    "binance_coinm": ("https://dapi.binance.com", "wss://dstream.binance.com", "wss://ws-dapi.binance.com", "dapi"),
}

Parameters: TypeAlias = Mapping[str, str]
Done: TypeAlias = Callable[["Request", bytes, Now], None]
Refused: TypeAlias = Callable[["Request", Refusal, Now], None]
Lost: TypeAlias = Callable[["Request", str, Now], None]


@dataclass(slots=True, eq=False)
class Request:
    """One request; see the module's text. ``ws``: its method of the websocket API ("": none); without
    a ``method`` it leaves only that way. ``orders``: the numbers
    of the orders it is about, in the order of the elements of a batch. ``security``: "" public, "key", "signed"."""

    what: str
    method: str
    path: str
    parameters: dict[str, str]
    done: Done
    refused: Refused
    lost: Lost
    rank: int = UPKEEP
    costs: Mapping[str, int] = field(default_factory=dict)
    ws: str = ""
    security: str = "signed"
    orders: tuple[int, ...] = ()
    numbers: tuple[int, ...] = ()  # of the commands, where orders can have several
    tries: int = 0
    batch: list[dict[str, str]] | None = None  # elements of a batch; made into a parameter when it leaves
    number: int = 0
    sent_ns: int = 0  # monotonic; 0: it has not left
    by_ws: bool = False
    is_lost: bool = False
    again: bool = False  # sent a second time, after a wrong timestamp
    until_ns: int = FOREVER  # monotonic: not sent any more from then on


class Desk:
    """See the module's text. What the session's parts share: the clock, the orders, actions and events."""

    def __init__(self, wanted: TradingWanted, entropy: Entropy) -> None:
        venue = wanted.venue
        rest, ws, ws_api, self.api = HOSTS[venue]
        self.wanted, self.venue, self.entropy = wanted, venue, entropy
        self.rest = host(wanted.rest, rest, venue)
        self.user_base = host(wanted.ws_user or wanted.ws, ws, venue)
        self.api_url = f"{host(wanted.ws_api or wanted.ws, ws_api, venue)}/ws-{self.api}/v1"
        self.api_name, self.user_name = f"{venue}/api", f"{venue}/user"
        self.signer = Signer(wanted.keys.secret)
        self._logs_on = self.signer.kind == ED25519  # requests are not signed one by one then
        self.codec = TradingCodec(wanted.instruments)
        self.clock = VenueClock()
        self.actions: list[Action] = []
        self.events: list[Event] = []
        self.orders = Orders(wanted.account, ClientIds(wanted.run), self.events)
        self.throttle: Throttle[Request] = Throttle(
            (
                Budget(WEIGHT, 2400, 60 * SECOND, 240),
                Budget(ORDERS_10S, 300, 10 * SECOND),
                Budget(ORDERS_1M, 1200, 60 * SECOND),
            ),
            limited=wanted.limits,
        )
        self.api_open = False  # and logged on, where that is done
        self.halted: Refusal | None = None
        self.outlet: Callable[[bytes], None] | None = None  # writes to the websocket API at once
        self.number = 0  # of the last request
        self._limits = NOTHING  # of the last reply, not looked at yet
        self._asked: dict[int, Request] = {}  # on their way, or lost a while ago; bounded by the budgets
        self._after_clock: list[Request] = []
        self._measuring = False
        self._timers: list[tuple[int, int, Callable[[Now], None]]] = []

    # -- asking

    def put(self, request: Request, now: Now) -> None:
        """Send it as soon as there is room. After the session has halted, it is refused with what halted it. Orders and
        amendments are refused that could not leave while their moment lasted."""
        if request.rank == COMMAND and request.orders:
            request.until_ns = now.mono_ns + self.wanted.max_wait_ns
        if self.halted is not None:
            request.refused(request, self.halted, now)
        elif (self.clock.is_known or request.security != "signed") and self.throttle.pass_through(
            request.rank, request.costs, now.mono_ns
        ):
            self._send(request, now)
        elif not self.throttle.put(request, request.rank, request.costs, request.until_ns):
            request.refused(request, Refusal(0, "too many requests are waiting for room in the venue's limits"), now)

    # An order that need not wait: the ``way_out``, the next ``number``, and only then ``has_left``.

    def way_out(self, rank: int, costs: Mapping[str, int], now: Now) -> Callable[[bytes], None] | None:
        """What writes a signed frame to the websocket API at once; None: something has to be done or waited for before
        it. Its units are taken by ``has_left``."""
        if (
            self.api_open and self.clock.is_known and self.halted is None and not self.actions
            and not self._logs_on and self.throttle.may_pass(rank, costs, now.mono_ns)
        ):  # fmt: skip
            return self.outlet
        return None

    def has_left(self, request: Request, now: Now) -> None:
        """What was written: the request of the last number."""
        self.throttle.count(request.costs, now.mono_ns)
        request.number, request.sent_ns, request.by_ws = self.number, max(now.mono_ns, 1), True
        request.until_ns = now.mono_ns + self.wanted.max_wait_ns
        self._asked[request.number] = request

    def take_back(self, request: Request) -> bool:
        """Do not send it after all; whether it had not left yet."""
        if request in self._after_clock:
            self._after_clock.remove(request)
            return True
        return request.sent_ns == 0 and self.throttle.remove(request)

    def later(self, wait_ns: int, what: Callable[[Now], None], now: Now) -> None:
        """Call this after a while."""
        self.number += 1
        heapq.heappush(self._timers, (now.mono_ns + wait_ns, self.number, what))

    def retry(self, tries: int, what: Callable[[Now], None], now: Now) -> None:
        """Call this after a wait that grows with the tries (at most a minute)."""
        self.later(backoff_ns(tries, self.entropy, most_ns=60 * SECOND), what, now)

    def pump(self, now: Now) -> None:
        """Send what may leave now."""
        if self._limits is not NOTHING:
            limits, self._limits = self._limits, NOTHING
            self._observe(limits, now)
        if len(self.throttle) or self._after_clock:
            self._refuse_overdue(now)
        while self.halted is None and len(self.throttle):
            request = self.throttle.take(now.mono_ns)
            if request is None:
                return
            if request.security == "signed" and not self.clock.is_known:
                self._after_clock.append(request)  # bounded: as many as may wait
            else:
                self._send(request, now)

    def _refuse_overdue(self, now: Now) -> None:
        late = [one for one in self._after_clock if one.until_ns <= now.mono_ns]
        self._after_clock = [one for one in self._after_clock if one not in late]
        for request in [*late, *self.throttle.overdue(now.mono_ns)]:
            request.refused(request, Refusal(0, too_late(self.wanted.max_wait_ns)), now)

    def _send(self, request: Request, now: Now) -> None:
        self.number += 1
        request.number, request.sent_ns, request.is_lost = self.number, max(now.mono_ns, 1), False
        request.by_ws = request.ws != "" and (self.api_open or request.method == "")
        self._asked[request.number] = request
        if request.by_ws:
            text = f'{{"id":{request.number},"method":"{request.ws}","params":{self._frame(request, now)}}}'
            self.actions.append(Send(self.api_name, text.encode()))
        else:
            self.actions.append(self._call(request, now))

    def _frame(self, request: Request, now: Now) -> str:
        found: dict[str, str | int] = {**request.parameters}
        found["timestamp"] = self.clock.venue_ns(now) // MS
        found["recvWindow"] = RECV_WINDOW_MS
        if self.signer.kind == ED25519 and request.ws != "session.logon":
            return msgspec.json.encode(found).decode()  # the session is logged on
        found["apiKey"] = self.wanted.keys.key
        return self.signer.signed_frame(found)

    def _call(self, request: Request, now: Now) -> Call:
        url = f"{self.rest}{request.path}"
        headers: dict[str, str] = {}
        parameters = list(request.parameters.items())
        if request.batch is not None:
            parameters.append(("batchOrders", msgspec.json.encode(request.batch).decode()))
        if request.security:
            headers["X-MBX-APIKEY"] = self.wanted.keys.key
        if request.security == "signed":
            parameters.append(("recvWindow", str(RECV_WINDOW_MS)))
            parameters.append(("timestamp", str(self.clock.venue_ns(now) // MS)))
            query = self.signer.signed_query(parameters)
        else:
            query = query_string(parameters)
        if request.method in ("POST", "PUT") and query:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            return Call(request.number, request.method, url, headers, query.encode(), request.what)
        return Call(request.number, request.method, f"{url}?{query}" if query else url, headers, b"", request.what)

    def halt(self, refusal: Refusal, now: Now) -> None:
        """The session cannot trade: say so, and refuse what waits."""
        if self.halted is not None:
            return
        self.halted = refusal
        self.events.append(NotReady(code=refusal.code, text=refusal.msg, cure=cure_of(refusal.code)))
        waiting = [*self.throttle.drain(), *self._after_clock]
        self._after_clock.clear()
        self._timers.clear()
        for request in waiting:
            request.refused(request, refusal, now)

    # -- answers

    def on_reply(self, number: int, reply: Reply, now: Now) -> None:
        """The answer to a ``Call``."""
        request = self._asked.pop(number, None)
        for name, budget in _HEADERS.items():
            used = reply.headers.get(name, "")
            if used.isascii() and used.isdigit() and len(used) < 10:
                self.throttle.budgets[budget].observe(int(used), now.mono_ns)
        if request is None:
            return
        if reply.status == 0:
            self._lose(request, reply.error or "no answer", now)
        elif 200 <= reply.status < 300:
            self._done(request, reply.body, now)
        else:
            wait_ns = 0
            if reply.status in (418, 429):
                wait_ns = retry_after_ns(reply.headers)
                if reply.status == 418:
                    wait_ns = max(wait_ns, BANNED_NS) if "retry-after" not in reply.headers else wait_ns
            self._judge(request, reply.status, reply.body, wait_ns, now)

    def on_api_reply(self, reply: ApiReply, now: Now) -> None:
        """A frame of the websocket API."""
        if bytes(reply.limits):
            self._limits = reply.limits  # for ``pump``: what the reply says comes first
        request = self._asked.pop(reply.id, None) if isinstance(reply.id, int) else None
        if request is None:
            if reply.id is None and bytes(reply.error):
                self.remark(self.api_name, "", f"refused: {bytes(reply.error)[:200].decode('utf-8', 'replace')}")
        elif 200 <= reply.status < 300:
            self._done(request, bytes(reply.result), now)
        else:
            wait_ns = {418: BANNED_NS, 429: 60 * SECOND}.get(reply.status, 0)
            self._judge(request, reply.status, bytes(reply.error), wait_ns, now)

    def _observe(self, limits: msgspec.Raw, now: Now) -> None:
        try:
            rows: list[RateLimitRow] = self.codec.read(list[RateLimitRow], limits)
        except PayloadError as error:
            self.remark(self.api_name, "", f"limits that cannot be read: {error}")
            return
        for row in rows:
            name = _LIMITS.get((row.kind, row.interval, row.number))
            if name is not None:
                self.throttle.budgets[name].observe(row.count, now.mono_ns)

    def _done(self, request: Request, body: bytes, now: Now) -> None:
        try:
            request.done(request, body, now)
        except PayloadError as error:  # done, says the status, but what exactly cannot be read: ask
            self.remark(request.what, "", f"malformed answer: {error}")
            if not request.is_lost:
                request.is_lost = True
                request.lost(request, f"malformed answer: field {error.field}", now)

    def _judge(self, request: Request, status: int, body: bytes, wait_ns: int, now: Now) -> None:
        """What an answer that is no success means."""
        found = self.codec.refusal(body)
        refusal = found or Refusal(status, body[:200].decode("utf-8", "replace").strip() or f"HTTP status {status}")
        code = refusal.code
        if wait_ns or code == -1003:
            self._hold(refusal, wait_ns or 60 * SECOND, now)
            self._limited(request, refusal, now)
        elif code in STALE_CODES:
            self._stale(request, refusal, now)
        elif code in UNKNOWN_CODES or (status >= 500 and code != -1008 and "Service Unavailable" not in refusal.msg):
            self._lose(request, f"{code} {refusal.msg}", now)
        else:
            if code == -1015:
                self.throttle.hold(now.mono_ns + 10 * SECOND, cancels=False)
            elif code in KEY_CODES:
                self.halt(refusal, now)
            request.refused(request, refusal, now)

    def _hold(self, refusal: Refusal, wait_ns: int, now: Now) -> None:
        self.throttle.hold(now.mono_ns + wait_ns, cancels=True)
        self.remark("", "", f"{refusal.code} {refusal.msg}: nothing is sent for {wait_ns // SECOND} s")

    def _limited(self, request: Request, refusal: Refusal, now: Now) -> None:
        """Not executed: a new order is refused (its moment is over), all else waits its turn."""
        if request.rank != COMMAND:
            request.sent_ns = 0
            if self.halted is None and self.throttle.put_back(request, request.rank, request.costs, request.until_ns):
                return
        request.refused(request, refusal, now)

    def _stale(self, request: Request, refusal: Refusal, now: Now) -> None:
        """The clock's offset is wrong. Not executed, so that it may be sent again, once."""
        if request.again:
            self.remark(request.what, "", f"{refusal.code} {refusal.msg}: {cure_of(refusal.code)}")
            request.refused(request, refusal, now)
            return
        request.again, request.sent_ns = True, 0
        self._after_clock.append(request)
        self.clock.doubt(now.mono_ns)
        self.measure(now)

    def _lose(self, request: Request, why: str, now: Now) -> None:
        if not request.is_lost:
            request.is_lost = True
            request.lost(request, why, now)

    # -- the venue's time

    def measure(self, now: Now) -> None:
        """Measure the clock's offset, unless that is under way."""
        if not self._measuring and self.halted is None:
            self._measuring = True
            self._trip(now)

    def _trip(self, now: Now) -> None:
        request = Request(
            "server time", "GET", f"/{self.api}/v1/time", {}, self._timed, self._untimed, self._no_time,
            rank=CANCEL, costs={WEIGHT: 1}, security="",
        )  # fmt: skip
        self.put(request, now)

    def _timed(self, request: Request, body: bytes, now: Now) -> None:
        found: ServerTime = self.codec.read(ServerTime, body)
        if self.clock.trip(request.sent_ns, now.mono_ns, found.server_ms * MS):
            self._trip(now)
            return
        self._measuring = False
        waiting, self._after_clock = self._after_clock, []
        for one in reversed(waiting):
            if not self.throttle.put_back(one, one.rank, one.costs, one.until_ns):
                one.refused(one, Refusal(0, "too many requests are waiting"), now)

    def _untimed(self, request: Request, refusal: Refusal, now: Now) -> None:
        self._no_time(request, f"{refusal.code} {refusal.msg}", now)

    def _no_time(self, request: Request, why: str, now: Now) -> None:
        self._measuring = False
        self.remark(request.what, "", f"the venue's time is not known: {why}")
        self.retry(1, self.measure, now)

    # -- connections and time

    def on_api_close(self, now: Now) -> None:
        """The websocket API is gone, and with it the answers to what left through it."""
        self.api_open = False
        for request in [one for one in self._asked.values() if one.by_ws]:
            self._lose(request, "connection closed", now)

    def on_tick(self, now: Now) -> bool:
        """Time passes. Whether an answer of the websocket API is overdue."""
        deaf = False
        for number, request in list(self._asked.items()):
            if request.sent_ns + ANSWER_NS <= now.mono_ns:
                deaf |= request.by_ws and not request.is_lost
                self._lose(request, f"no answer in {ANSWER_NS // SECOND} s", now)
                if request.sent_ns + FORGET_NS <= now.mono_ns:
                    self._asked.pop(number, None)
        if self.clock.is_known and self.clock.due_ns <= now.mono_ns:
            self.measure(now)
        while self._timers and self._timers[0][0] <= now.mono_ns:
            heapq.heappop(self._timers)[2](now)
        return deaf

    def remark(self, where: str, symbol: str, text: str) -> None:
        """Something to write down."""
        self.actions.append(Remark(where, symbol, text))
