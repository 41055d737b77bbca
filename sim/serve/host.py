"""Emulator, engine and clock together, still without I/O: what the server and the in-memory wire both drive.

Theory of operation. ``pump`` brings the engine to the instant of the feed that belongs to a time of the wall clock:
``speed`` nanoseconds of feed a nanosecond of wall time, counted from the start in whole numbers. What clients send is
handed to the emulator after a pump to the same instant, so that the simulated venue has seen everything that came
before. ``take_actions`` gives what is to be done on the wire then, after the fault script has had its way with it:
beside the emulator's actions ``Abort`` (cut a client off) and ``Lost`` (never answer a request).

A wall clock that goes back does not take the feed back: it waits.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final, Protocol

import msgspec

from sim.serve.faults import FRAME_KINDS, Fault, Script, rules
from venues.emulation import Action, Admit, Answer, Beat, Emulator, Hangup, HttpRequest, Push

TICK_NS: Final = 50_000_000
SLICE_NS: Final = 10_000_000  # of feed, at full speed
HANG_NS: Final = 30 * 10**9
NEVER_NS: Final = 1 << 62


class Stepped(Protocol):
    """What the host needs of the engine; times are the feed's own."""

    @property
    def feed_ns(self) -> int: ...

    def step(self, until_ns: int) -> None: ...

    def next_due_ns(self) -> int: ...


class Abort(msgspec.Struct, frozen=True):
    """Cut a client's connection without a close frame."""

    client: int


class Lost(msgspec.Struct, frozen=True):
    """The request of this number is never answered: its connection is cut after ``hang_ns``."""

    number: int
    hang_ns: int


Deed = Action | Abort | Lost


@dataclass(slots=True)
class _Client:
    path: str
    silent: bool = False
    stalled_ns: int = 0
    behind: list[bytes] = field(default_factory=list)  # to go out after the next frame


class EmulatorHost:
    """See the module. ``speed`` None: as fast as it goes (``run_slice``); ``end_ns``: where the feed ends."""

    def __init__(
        self,
        engine: Stepped,
        emulator: Emulator,
        start_wall_ns: int,
        *,
        start_feed_ns: int,
        end_ns: int = NEVER_NS,
        speed: Fraction | None = Fraction(1),
        faults: Script | None = None,
    ) -> None:
        self._engine, self._emulator = engine, emulator
        self._start_wall_ns, self._start_feed_ns, self._end_ns = start_wall_ns, start_feed_ns, end_ns
        self._speed = speed
        self._rules = rules(faults)
        self._clients: dict[int, _Client] = {}
        self._lost: dict[int, Fault] = {}
        self._replaced: dict[int, Fault] = {}
        self._bans: list[tuple[int, Fault]] = []
        self._later: list[tuple[int, int, Push]] = []
        self._pushed = 0
        self._deeds: list[Deed] = []
        self._next_tick_ns = start_wall_ns
        self._reached_ns = start_feed_ns
        self.wall_ns = start_wall_ns
        self.frames_out = self.requests = self.faults_done = 0

    # -- time

    def feed_at(self, wall_ns: int) -> int:
        """The instant of the feed that belongs to a time of the wall clock."""
        if self._speed is None:
            return self._engine.feed_ns
        elapsed = max(0, wall_ns - self._start_wall_ns)
        return min(
            self._start_feed_ns + elapsed * self._speed.numerator // self._speed.denominator, self._end_ns
        )  # fmt: skip

    def pump(self, wall_ns: int) -> None:
        """Bring everything up to ``wall_ns``."""
        wall_ns = self.wall_ns = max(wall_ns, self.wall_ns)
        self._release()
        target = self.feed_at(wall_ns)
        if target > self._engine.feed_ns and not self.is_over:
            self._step(target)
        self._tick()

    def run_slice(self, wall_ns: int) -> None:
        """At full speed: the next stretch of the feed."""
        self.wall_ns = max(wall_ns, self.wall_ns)
        self._release()
        if not self.is_over:
            self._step(min(max(self._engine.feed_ns, self._reached_ns) + SLICE_NS, self._end_ns))
        self._tick()

    def _step(self, until_ns: int) -> None:
        self._engine.step(until_ns)  # its own time may stay at its last message, for good where the feed has ended
        self._reached_ns = until_ns

    def _tick(self) -> None:
        if self.wall_ns >= self._next_tick_ns:
            self._next_tick_ns = self.wall_ns + TICK_NS
            self._emulator.on_tick(self.wall_ns)
            self._disconnect_due()
        self._collect()

    @property
    def is_over(self) -> bool:
        """Whether the feed has ended."""
        return self._reached_ns >= self._end_ns

    @property
    def speed(self) -> Fraction | None:
        """Feed time a wall time; None: as fast as it goes."""
        return self._speed

    def next_due_ns(self) -> int:
        """The time of the wall clock at which ``pump`` has something to do again, as far as that is known."""
        due = self._next_tick_ns
        if self._later:
            due = min(due, self._later[0][0])
        if self._speed is not None and not self.is_over:
            feed = self._engine.next_due_ns() - self._start_feed_ns
            if feed < NEVER_NS:
                wall = self._start_wall_ns - (-feed * self._speed.denominator // self._speed.numerator)
                due = min(due, wall)
        return due

    # -- from clients

    def request(self, number: int, request: HttpRequest, wall_ns: int) -> None:
        """An HTTP request."""
        self.pump(wall_ns)
        self.requests += 1
        line = f"{request.method} {request.path}?{request.query} ".encode() + request.body
        elapsed, url = self._elapsed(), f"{request.path}?{request.query}"
        banned = self._banned()
        if banned is not None:
            self._deeds.append(banned(number))
            return
        seen_ns = self.wall_ns + self._skew(url, line)
        for rule in self._rules:
            fault = rule.fault
            if fault.kind in ("status", "ban", "lose_reply") and rule.hits(elapsed, url, line):
                self.faults_done += 1
                if fault.kind == "lose_reply":
                    self._lost[number] = fault
                elif fault.kind == "ban":
                    self._bans.append((self.wall_ns + (fault.for_ or 0), fault))
                    self._deeds.append(_refusal(number, fault, fault.for_ or 0))
                    return
                elif fault.execute:
                    self._replaced[number] = fault
                else:
                    self._deeds.append(_refusal(number, fault, None))
                    return
        self._emulator.on_request(number, request, seen_ns)
        self._collect()

    def _banned(self) -> _Ban | None:
        self._bans = [(until, fault) for until, fault in self._bans if until > self.wall_ns]
        return _Ban(self._bans[0][1], self._bans[0][0] - self.wall_ns) if self._bans else None

    def _skew(self, url: str, line: bytes) -> int:
        return sum(
            rule.fault.by
            for rule in self._rules
            if rule.fault.kind == "clock_skew" and rule.hits(self._elapsed(), url, line)
        )

    def connect(self, client: int, request: HttpRequest, wall_ns: int) -> None:
        """A websocket handshake; ``Admit`` says how it went."""
        self.pump(wall_ns)
        url = f"{request.path}?{request.query}"
        for rule in self._rules:
            if rule.fault.kind == "refuse" and rule.hits(self._elapsed(), url, url.encode()):
                self.faults_done += 1
                self._deeds.append(Admit(client, rule.fault.status, rule.fault.body))
                return
        self._clients[client] = _Client(url)
        self._emulator.on_connect(client, request, self.wall_ns)
        self._collect()

    def frame(self, client: int, payload: bytes, wall_ns: int) -> None:
        """A text frame of a client."""
        self.pump(wall_ns)
        known = self._clients.get(client)
        if known is not None and not known.silent:
            self._emulator.on_frame(client, payload, self.wall_ns + self._skew(known.path, payload))
            self._collect()

    def pong(self, client: int, payload: bytes, wall_ns: int) -> None:
        """A websocket pong of a client."""
        self.wall_ns = max(wall_ns, self.wall_ns)
        if self._hears(client):
            self._emulator.on_pong(client, payload, self.wall_ns)
            self._collect()

    def answers_ping(self, client: int) -> bool:
        """Whether a client's ping is answered."""
        return self._hears(client)

    def _hears(self, client: int) -> bool:
        known = self._clients.get(client)
        return known is not None and not known.silent

    def disconnect(self, client: int, wall_ns: int) -> None:
        """A client is gone."""
        self.wall_ns = max(wall_ns, self.wall_ns)
        if self._clients.pop(client, None) is not None:
            self._emulator.on_disconnect(client, self.wall_ns)
            self._collect()

    @property
    def clients(self) -> int:
        """How many websocket clients there are."""
        return len(self._clients)

    # -- to clients

    def take_actions(self) -> list[Deed]:
        """What is to be done on the wire now, in order."""
        deeds, self._deeds = self._deeds, []
        return deeds

    def _collect(self) -> None:
        for action in self._emulator.take_actions():
            if isinstance(action, Push):
                self._push(action)
            elif isinstance(action, Answer):
                self._answer(action)
            elif isinstance(action, Beat):
                heard = tuple(client for client in action.clients if self._hears(client))
                self._deeds.append(Beat(heard, action.payload))
            else:
                if isinstance(action, Admit) and action.status != 101:
                    self._clients.pop(action.client, None)
                if not isinstance(action, Hangup) or self._hears(action.client):
                    self._deeds.append(action)

    def _answer(self, action: Answer) -> None:
        lost = self._lost.pop(action.number, None)
        if lost is not None:
            hang = (lost.for_ or HANG_NS) if lost.how != "abort" else 0
            self._deeds.append(Lost(action.number, hang))
            return
        replaced = self._replaced.pop(action.number, None)
        self._deeds.append(action if replaced is None else _refusal(action.number, replaced, None))

    def _push(self, action: Push) -> None:
        if not self._rules:
            self._deeds.append(action)
            self.frames_out += len(action.clients)
            return
        clean = []
        for client in action.clients:
            known = self._clients.get(client)
            if known is None or known.silent:
                continue
            if self._struck(client, known, action.payload):
                continue
            clean.append(client)
        if clean:
            self._out(tuple(clean), action.payload)

    def _out(self, clients: tuple[int, ...], payload: bytes) -> None:
        self.frames_out += len(clients)
        self._deeds.append(Push(clients, payload))
        for client in clients:
            known = self._clients.get(client)
            if known is not None and known.behind:
                self._deeds += [Push((client,), behind) for behind in known.behind]
                known.behind = []

    def _struck(self, client: int, known: _Client, payload: bytes) -> bool:
        """Let the faults have a frame to one client; True: it goes no other way."""
        elapsed = self._elapsed()
        if known.stalled_ns > self.wall_ns:
            self._hold(known.stalled_ns, client, payload)
            return True
        for rule in self._rules:
            fault = rule.fault
            if fault.kind not in FRAME_KINDS and fault.kind != "disconnect":
                continue
            if not rule.hits(elapsed, known.path, payload):
                continue
            self.faults_done += 1
            if fault.kind == "duplicate":
                self._out((client, client), payload)
            elif fault.kind == "reorder":
                known.behind.append(payload)
            elif fault.kind == "delay":
                self._hold(self.wall_ns + fault.by, client, payload)
            elif fault.kind == "corrupt":
                self._out((client,), payload[: len(payload) // 2])
            elif fault.kind == "stall":
                known.stalled_ns = self.wall_ns + (fault.for_ or 0)
                self._hold(known.stalled_ns, client, payload)
            elif fault.kind == "disconnect":
                self._cut(client, known, fault)
            return True
        return False

    def _hold(self, until_ns: int, client: int, payload: bytes) -> None:
        self._pushed += 1
        heapq.heappush(self._later, (until_ns, self._pushed, Push((client,), payload)))

    def _release(self) -> None:
        while self._later and self._later[0][0] <= self.wall_ns:
            push = heapq.heappop(self._later)[2]
            if self._hears(push.clients[0]):
                self._out(push.clients, push.payload)

    def _disconnect_due(self) -> None:
        for rule in self._rules:
            while rule.fault.kind == "disconnect" and rule.due(self._elapsed()):
                for client, known in list(self._clients.items()):
                    if rule.fault.path in known.path and not known.silent:
                        self.faults_done += 1
                        self._cut(client, known, rule.fault)

    def _cut(self, client: int, known: _Client, fault: Fault) -> None:
        if fault.how == "silence":
            known.silent = True
        elif fault.how == "abort":
            self._deeds.append(Abort(client))
        else:
            self._deeds.append(Hangup(client, fault.code, ""))

    def _elapsed(self) -> int:
        return self.wall_ns - self._start_wall_ns


@dataclass(frozen=True, slots=True)
class _Ban:
    fault: Fault
    left_ns: int

    def __call__(self, number: int) -> Answer:
        return _refusal(number, self.fault, self.left_ns)


def _refusal(number: int, fault: Fault, left_ns: int | None) -> Answer:
    headers = {"content-type": "application/json"}
    if left_ns is not None:
        headers["retry-after"] = str(-(-left_ns // 10**9))
    elif fault.retry_after is not None:
        headers["retry-after"] = str(fault.retry_after)
    return Answer(number, fault.status, headers, fault.body.encode())
