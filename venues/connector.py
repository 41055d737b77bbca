"""The connector: drives a trading session over a wire. The only part of order entry that waits; one for all venues.

Theory of operation. A ``TradingSession`` decides everything; this shell does what it asks for and tells it what came of
it. Each connection is a task that connects, reads, and connects again when it ends, with exponential backoff and jitter
(and no sooner than the venue said). A ticker lets the session's timers run.

The way of an order has no turn of the event loop in it, and where the session is ``Direct`` its bytes are written
before the session keeps its books: whoever gives the session a command calls ``flush``, which takes the session's
actions and writes frames to their sockets where it stands (``Socket.send_now``); only what the socket has no room for
waits. REST calls are tasks. The way back is as short: a frame goes from the socket's reader to the session, and the
session's events to the listener, in one call.

A defect (an exception of the session or the listener) ends the connector and is told to the listener, never swallowed.
Nothing secret is told to anyone: remarks are the session's, and it keeps its keys to itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Coroutine
from typing import Any, Final, Protocol

from venues import session_parts as wanted
from venues.ports import Clock, Entropy
from venues.session_parts import Reply
from venues.trading import Action, Call, Direct, Event, Now, Open, TradingSession
from venues.transport import ConnectError, Socket, Wire

TICK_NS: Final = 50_000_000
SETTLED_NS: Final = 30 * 10**9  # a connection that lived so long was a good one
FIRST_WAIT_NS: Final = 250_000_000
LONGEST_WAIT_NS: Final = 60 * 10**9
WAITING_MAX: Final = 4_096  # frames that wait for room in one socket


class Listener(Protocol):
    """Who wants to know. ``events`` are in the session's order, ``now`` is when the frame that brought them came."""

    def on_events(self, events: list[Event], now: Now) -> None: ...

    def on_remark(self, venue: str, text: str) -> None: ...

    def on_connection(self, venue: str, connection: str, is_open: bool, why: str) -> None: ...

    def on_defect(self, error: BaseException) -> None: ...


class Connection:
    """One websocket that is kept open: its address, its state, and the ``Peer`` of its socket."""

    def __init__(self, owner: Connector, name: str, url: str) -> None:
        self.name = name
        self.url = url
        self.socket: Socket | None = None
        self.why = ""
        self.opened = 0
        self.frames = 0
        self.last_close = ""
        self._owner = owner
        self._waiting: deque[bytes] = deque(maxlen=WAITING_MAX)
        self._is_held = False

    def frame(self, payload: bytes) -> Awaitable[None] | None:
        """A frame has come."""
        owner = self._owner
        self.frames += 1
        now = Now(owner.wall(), owner.mono())
        direct = owner.direct
        if direct is None:
            owner.session.on_frame(self.name, payload, now)
        else:
            direct.hear(self.name, payload, now)
            owner.flush(now)
            direct.attend(now)
        owner.flush(now)
        return None

    def control(self) -> None:
        """A ping or pong has come: the socket answers pings, sessions watch frames."""

    def send(self, payload: bytes) -> None:
        """Write a frame at once; behind those that wait for room. A socket that takes nothing is given up."""
        if self.socket is None:
            return
        if self._is_held:
            if len(self._waiting) == WAITING_MAX:
                self.end("the venue does not read what we send")
            else:
                self._waiting.append(payload)
            return
        waits = self.socket.send_now(payload)
        if waits is not None:
            self._is_held = True
            self._owner.spawn(self._drain(self.socket, waits))

    async def _drain(self, socket: Socket, waits: Awaitable[None]) -> None:
        await waits
        while self._waiting and self.socket is socket:
            more = socket.send_now(self._waiting.popleft())
            if more is not None:
                await more
        if self.socket is socket:
            self._is_held = False

    def end(self, why: str) -> None:
        """Close the socket; the connection comes back."""
        if self.socket is not None:
            self.why = self.why or why
            self._owner.spawn(self.socket.close())

    def restart(self, socket: Socket | None) -> None:
        """A new socket, or none: what waited belonged to the old one."""
        self.socket = socket
        self._waiting.clear()
        self._is_held = False


class Connector:
    """One account at one venue. ``start`` in a running event loop, ``stop`` at the end; between them call ``flush``
    after every command given to ``session``."""

    def __init__(self, session: TradingSession, wire: Wire, clock: Clock, entropy: Entropy, listener: Listener) -> None:
        self.session = session
        self.direct = session if isinstance(session, Direct) else None
        self.connections: dict[str, Connection] = {}
        self.calls = 0  # REST requests under way
        self._wire = wire
        self._clock = clock
        self.wall, self.mono = clock.wall_ns, clock.monotonic_ns
        self._entropy = entropy
        self._listener = listener
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_over = False

    def now(self) -> Now:
        """This instant by both clocks."""
        return Now(self.wall(), self.mono())

    def start(self) -> None:
        """Let the session begin."""
        now = self.now()
        self.session.start(now)
        self.spawn(self._tick())
        self.flush(now)

    def flush(self, now: Now) -> None:
        """Do what the session wants done, then tell what it has to say."""
        session = self.session
        for action in session.take_actions():
            if isinstance(action, wanted.Send):
                connection = self.connections.get(action.connection)
                if connection is not None:
                    connection.send(action.payload)
            else:
                self._act(action)
        events = session.take_events()
        if events:
            self._listener.on_events(events, now)

    def _act(self, action: Action) -> None:
        if isinstance(action, Call):
            self.calls += 1
            self.spawn(self._call(action))
        elif isinstance(action, Open):
            found = self.connections.get(action.connection)
            if found is not None:
                found.url = action.url
            else:
                self.spawn(self._keep(self.connect(action.connection, action.url)))
        elif isinstance(action, wanted.Reconnect):
            self.connections[action.connection].end(action.why)
        elif isinstance(action, wanted.Ping):
            socket = self.connections[action.connection].socket
            if socket is not None:
                self.spawn(socket.ping())
        elif isinstance(action, wanted.Remark):
            self._listener.on_remark(self.session.venue, f"{action.connection}: {action.text}".removeprefix(": "))

    def connect(self, name: str, url: str) -> Connection:
        """A connection of this name, without a socket so far."""
        made = self.connections[name] = Connection(self, name, url)
        if self.direct is not None:
            self.direct.set_outlet(name, made.send)
        return made

    async def stop(self) -> None:
        """Close everything. What the session still has to say is told."""
        self._is_over = True
        now = self.now()
        self.session.stop(now)
        self.flush(now)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in self.connections.values():
            if connection.socket is not None:
                with contextlib.suppress(Exception):
                    await connection.socket.close()

    # -- tasks

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """A task whose failure is a defect of the connector."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._is_over:
            self._is_over = True
            self._listener.on_defect(error)

    async def _tick(self) -> None:
        while True:
            await self._clock.sleep_ns(TICK_NS)
            now = self.now()
            self.session.on_tick(now)
            self.flush(now)

    async def _call(self, call: Call) -> None:
        reply: Reply = await self._wire.request(call.method, call.url, call.headers, call.body)
        self.calls -= 1
        now = self.now()
        self.session.on_reply(call.number, reply, now)
        self.flush(now)

    async def _keep(self, connection: Connection) -> None:
        """Keep a connection open."""
        tries = 0
        while True:
            began_ns = self.mono()
            wait_ns = 0
            try:
                socket = await self._wire.connect(connection.url, self.session.venue)
            except ConnectError as error:
                connection.last_close = f"cannot connect: {error}"
                self._listener.on_connection(self.session.venue, connection.name, False, connection.last_close)
                wait_ns = error.wait_ns
            else:
                await self._use(connection, socket)
                if self.mono() - began_ns >= SETTLED_NS:
                    tries = 0
            backoff_ns = wanted.backoff_ns(tries, self._entropy, first_ns=FIRST_WAIT_NS, most_ns=LONGEST_WAIT_NS)
            tries += 1
            await self._clock.sleep_ns(max(wait_ns, backoff_ns))

    async def _use(self, connection: Connection, socket: Socket) -> None:
        connection.restart(socket)
        connection.opened += 1
        connection.why = ""
        self._listener.on_connection(self.session.venue, connection.name, True, "")
        now = self.now()
        self.session.on_open(connection.name, now)
        self.flush(now)
        try:
            why, _ = await socket.run(connection)
        finally:
            connection.restart(None)
        connection.last_close = connection.why or why
        self._listener.on_connection(self.session.venue, connection.name, False, connection.last_close)
        now = self.now()
        self.session.on_close(connection.name, now)
        self.flush(now)
        await socket.close()
