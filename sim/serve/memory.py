"""An emulator in the same process behind the transport port: a ``Wire`` with nothing in between, for virtual time.

Theory of operation. ``MemoryWire`` is what connectors and recorders are given in place of ``AiohttpWire``. Everything
happens at the clock's instants: a request is handed to the host when it is made, and its reply, like every frame, is
there at the instant at which the emulator sends it. Frames are taken by the peer in the very call that makes them, in
the emulator's order; one whose peer has no room waits in its socket's inbox, which is bounded like a connection's
buffers: a client that falls further behind is cut off. (A virtual clock stands while somebody has no room: room is made
by a thread in real time.) Nothing here sleeps but ``drive``, which keeps the host at the
clock: it sleeps on the clock's own port until the host is due, so that a jumping clock jumps from event to event.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Mapping
from typing import Final
from urllib.parse import urlsplit

from sim.serve.host import Deed, EmulatorHost, Lost
from sim.virtual_time import VirtualTime
from venues.emulation import Admit, Answer, Beat, Hangup, HttpRequest, Push
from venues.ports import Clock
from venues.session_parts import Reply
from venues.transport import ConnectError, Peer

INBOX_FRAMES: Final = 1 << 16
LOST: Final = "no reply"


class MemoryWire:
    """A ``Wire`` to one host; every host name leads there. Made in the running event loop, with ``drive`` beside
    whoever uses it."""

    def __init__(self, host: EmulatorHost, clock: Clock, peer: str = "127.0.0.1") -> None:
        self._host, self.clock, self._peer = host, clock, peer
        self._numbers = self._clients = 0
        self._answers: dict[int, asyncio.Future[Answer | Lost]] = {}
        self._sockets: dict[int, MemorySocket] = {}
        self._moved = asyncio.Event()
        self._alarm: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._alarm_ns = 0
        self._stopped = False

    # -- the port

    async def connect(self, url: str, venue: str) -> MemorySocket:
        """An open websocket. Raises ``ConnectError`` where the emulator refuses the handshake."""
        self._clients += 1
        client = self._clients
        made = self._sockets[client] = MemorySocket(self, client)
        headers = {"host": urlsplit(url).netloc, "upgrade": "websocket", "connection": "Upgrade"}
        self._host.connect(client, self._said("GET", url, headers, b""), self.clock.wall_ns())
        self.deliver()
        admit = await made.admitted
        if admit.status != 101:
            self._sockets.pop(client, None)
            raise ConnectError(f"HTTP {admit.status}", venue=venue, status=admit.status)
        return made

    async def request(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Reply:
        """The reply to a request; status 0 and ``error`` when none comes."""
        self._numbers += 1
        number = self._numbers
        waiting: asyncio.Future[Answer | Lost] = asyncio.get_running_loop().create_future()
        self._answers[number] = waiting
        lower = {name.lower(): value for name, value in (headers or {}).items()} | {"host": urlsplit(url).netloc}
        try:
            self._host.request(number, self._said(method, url, lower, body), self.clock.wall_ns())
            self.deliver()
            answer = await waiting
        finally:
            self._answers.pop(number, None)
        if isinstance(answer, Lost):
            await self.clock.sleep_ns(answer.hang_ns)
            return Reply(0, {}, b"", LOST)
        return Reply(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.body)

    async def close(self) -> None:
        """Close everything."""
        self._stopped = True
        self._moved.set()
        for socket in list(self._sockets.values()):
            await socket.close()
        for waiting in self._answers.values():
            if not waiting.done():
                waiting.set_result(Lost(0, 0))

    def _said(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> HttpRequest:
        parts = urlsplit(url)
        return HttpRequest(method, parts.path or "/", parts.query, headers, body, self._peer)

    # -- time

    async def drive(self) -> None:
        """Keep the host at the clock until the wire is closed or the feed is over."""
        while not self._stopped and not self._host.is_over:
            now_ns = self.clock.wall_ns()
            if self._host.speed is None:
                self._host.run_slice(now_ns)
            else:
                self._host.pump(now_ns)
            self._hand_over()
            if self._host.speed is None:
                await asyncio.sleep(0)
            else:
                await self._until(self._host.next_due_ns())
        self._alarm.cancel()

    async def _until(self, due_ns: int) -> None:
        """Until this instant, or until somebody has sent something."""
        if due_ns != self._alarm_ns or self._alarm.done():
            self._alarm.cancel()
            self._alarm_ns = due_ns
            self._alarm = asyncio.ensure_future(self.clock.sleep_ns(max(1, due_ns - self.clock.wall_ns())))
            self._alarm.add_done_callback(lambda _: self._moved.set())
        await self._moved.wait()
        self._moved.clear()

    # -- what goes out

    def deliver(self) -> None:
        """Hand over what has come of an input; the driver looks anew at what is due."""
        self._hand_over()
        self._moved.set()

    def _hand_over(self) -> None:
        while deeds := self._host.take_actions():
            for deed in deeds:
                self._perform(deed)

    def _perform(self, deed: Deed) -> None:
        if isinstance(deed, Push):
            for client in deed.clients:
                socket = self._sockets.get(client)
                if socket is not None and not socket.take(deed.payload):
                    self.gone(client, "cut off: too slow", None)
        elif isinstance(deed, Answer | Lost):
            waiting = self._answers.get(deed.number)
            if waiting is not None and not waiting.done():
                waiting.set_result(deed)
        elif isinstance(deed, Admit):
            socket = self._sockets.get(deed.client)
            if socket is not None and not socket.admitted.done():
                socket.admitted.set_result(deed)
        elif isinstance(deed, Beat):
            for client in deed.clients:
                socket = self._sockets.get(client)
                if socket is not None:
                    socket.control()
                    self._host.pong(client, deed.payload, self.clock.wall_ns())
        elif isinstance(deed, Hangup):
            self.gone(deed.client, f"closed by the venue: {deed.reason or deed.code}", deed.code)
        else:
            self.gone(deed.client, "connection lost: no close frame", None)

    def gone(self, client: int, why: str, code: int | None) -> None:
        """A connection is over; the host hears of it."""
        socket = self._sockets.pop(client, None)
        if socket is not None:
            socket.end(why, code)
            self._host.disconnect(client, self.clock.wall_ns())

    # -- from sockets

    def frame(self, client: int, payload: bytes) -> None:
        """A client's frame."""
        if client in self._sockets:
            self._host.frame(client, payload, self.clock.wall_ns())
            self.deliver()

    def answers_ping(self, client: int) -> bool:
        """Whether a ping comes back."""
        return client in self._sockets and self._host.answers_ping(client)


class MemorySocket:
    """An open websocket. Frames that come before ``run`` wait in the inbox."""

    def __init__(self, wire: MemoryWire, client: int) -> None:
        self._wire, self._client = wire, client
        self.admitted: asyncio.Future[Admit] = asyncio.get_running_loop().create_future()
        self._inbox: deque[bytes] = deque(maxlen=INBOX_FRAMES)
        self._peer: Peer | None = None
        self._blocked = False
        self._waiting: asyncio.Future[None] | None = None
        self._changed = asyncio.Event()
        self._end: tuple[str, int | None] | None = None

    async def run(self, peer: Peer) -> tuple[str, int | None]:
        """Hand every frame to ``peer`` until the socket is closed."""
        self._peer = peer
        while True:
            self._changed.clear()
            while self._inbox and not self._blocked:
                self._hand(peer, self._inbox.popleft())
            if self._end is not None and not self._inbox:
                return self._end
            await self._changed.wait()

    def take(self, payload: bytes) -> bool:
        """A frame of the emulator's; False: there is no room left for it."""
        if self._peer is not None and not self._blocked and not self._inbox:
            self._hand(self._peer, payload)
            return True
        if len(self._inbox) >= INBOX_FRAMES:
            return False
        self._inbox.append(payload)
        self._changed.set()
        return True

    def _hand(self, peer: Peer, payload: bytes) -> None:
        room = peer.frame(payload)
        if room is not None:
            self._blocked = True
            self._waiting = asyncio.ensure_future(self._unblock(room))

    async def _unblock(self, room: Awaitable[None]) -> None:
        await (self._wire.clock.standing(room) if isinstance(self._wire.clock, VirtualTime) else room)
        self._blocked = False
        self._changed.set()

    def control(self) -> None:
        """A ping of the emulator's, or its answer to ours."""
        if self._peer is not None:
            self._peer.control()

    def end(self, why: str, code: int | None) -> None:
        """The connection is over, once what is in the inbox has been taken."""
        self._end = (why, code)
        self._changed.set()

    async def send(self, payload: bytes) -> None:
        """Send a text frame; on a connection that is gone, nothing."""
        self._wire.frame(self._client, payload)

    def send_now(self, payload: bytes) -> Awaitable[None] | None:
        """Send a text frame: it is at the emulator at this instant, but what comes of it not before we are done."""
        asyncio.get_running_loop().call_soon(self._wire.frame, self._client, payload)
        return None

    async def ping(self) -> None:
        """Send a websocket ping; the answer is there at once."""
        if self._wire.answers_ping(self._client):
            self.control()

    async def close(self) -> None:
        """Close it."""
        self._wire.gone(self._client, "closed by us", 1000)
