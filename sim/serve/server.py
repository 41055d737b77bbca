"""The shell around an emulator's host: plain http and websockets on one port of this machine. All I/O is here.

Theory of operation. Requests and frames go to the host as they come; what it wants done is done at once, in order.
Pushes are encoded once, those that follow each other to the same clients joined, and written straight to every
client's transport, so that a thousand clients cost one call each. What a client does not read piles up in its
transport's buffer: beyond ``BUFFER_BYTES`` it is told so and cut off, as the venue would, and nobody else waits for
it. One task sleeps until the host is due next; whatever a request makes due earlier wakes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from aiohttp import WSMsgType, web

from sim.serve.host import Abort, Deed, EmulatorHost, Lost
from venues.emulation import Admit, Answer, Beat, Hangup, HttpRequest, Push
from venues.errors import InputError
from venues.ports import Clock
from venues.session_parts import LOOPBACK

BUFFER_BYTES: Final = 8 << 20
REQUEST_BYTES: Final = 1 << 20
FRAME_BYTES: Final = 1 << 20
SLOW_CODE: Final = 1008
SLOW_TEXT: Final = "too slow"
LEAST_SLEEP_NS: Final = 200_000
CLOSE_NS: Final = 2 * 10**9
LAGS_KEPT: Final = 4096
_TEXT, _PING, _CLOSE = 0x81, 0x89, 0x88


@dataclass(slots=True)
class _Socket:
    """A client. Until its handshake is answered, what is meant for it is kept in ``early`` (None: it is answered)."""

    transport: asyncio.Transport | None
    admitted: asyncio.Future[Admit]
    early: list[bytes] | None = field(default_factory=list)
    is_closing: bool = False


class EmulatorServer:
    """Serves one host. ``start`` binds and returns the port, ``run`` goes on until ``stop`` or the feed's end."""

    def __init__(
        self,
        host: EmulatorHost,
        clock: Clock,
        *,
        address: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        stop_at_end: bool = True,
        public: bool = False,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        """``public``: any address is meant seriously; otherwise only this machine's own are allowed."""
        if address not in LOOPBACK and not public:
            raise InputError(
                f"{address} can be reached from other machines: the emulator's keys are for everybody to see. "
                "Serve on 127.0.0.1, or say --public if that is meant",
                source="--host",
            )
        self._host, self._clock, self._address, self._port, self._tls = host, clock, address, port, tls
        self._stop_at_end, self._buffer_bytes = stop_at_end, buffer_bytes
        self._numbers = self._clients = 0
        self._answers: dict[int, asyncio.Future[Answer | Lost]] = {}
        self._sockets: dict[int, _Socket] = {}
        self._wake = asyncio.Event()
        self._stopped = asyncio.Event()
        self._alarm: asyncio.Future[None] | None = None
        self._alarm_ns = 0
        self._runner: web.AppRunner | None = None
        self._tasks: set[asyncio.Future[None]] = set()  # the loop keeps no reference of its own
        self.slow = 0
        self.lags_ns: list[int] = []  # how late the latest pumps were, by what was due

    # -- life

    async def start(self) -> int:
        """Bind; returns the port. OSError when it is taken."""
        app = web.Application(client_max_size=REQUEST_BYTES)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._address, self._port, ssl_context=self._tls, backlog=1024)
        await site.start()
        port: int = self._runner.addresses[0][1]
        return port

    def stop(self) -> None:
        """End ``run``; from a signal handler too."""
        self._stopped.set()
        self._wake.set()

    async def run(self, each: Callable[[], None] | None = None, every_ns: int = 10**9) -> None:
        """Keep the host at the clock until it is stopped. ``each`` is called about every ``every_ns``."""
        next_ns = self._clock.monotonic_ns() + every_ns
        while not self._stopped.is_set():
            late_ns = self._advance()
            if late_ns >= 0:
                self._note(late_ns)
            if each is not None and self._clock.monotonic_ns() >= next_ns:
                next_ns = self._clock.monotonic_ns() + every_ns
                each()
            if self._host.is_over and self._stop_at_end:
                break
            await self._rest()
        if self._alarm is not None:
            self._alarm.cancel()
        await self._close()

    def _advance(self) -> int:
        now_ns = self._clock.wall_ns()
        if self._host.speed is None:
            self._host.run_slice(now_ns)
            self._do()
            return 0
        late_ns = now_ns - self._host.next_due_ns()
        self._host.pump(now_ns)
        self._do()
        return late_ns

    def _note(self, late_ns: int) -> None:
        if len(self.lags_ns) >= LAGS_KEPT:
            del self.lags_ns[: LAGS_KEPT // 2]
        self.lags_ns.append(late_ns)

    async def _rest(self) -> None:
        """Sleep until the host is due, or something has come in."""
        wait_ns = self._host.next_due_ns() - self._clock.wall_ns()
        if self._host.speed is None or wait_ns < LEAST_SLEEP_NS:
            await asyncio.sleep(0)
            return
        due_ns = self._clock.wall_ns() + wait_ns
        if self._alarm is None or self._alarm.done() or due_ns < self._alarm_ns:
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm_ns = due_ns
            self._alarm = asyncio.ensure_future(self._clock.sleep_ns(wait_ns))
            self._alarm.add_done_callback(lambda _: self._wake.set())
        await self._wake.wait()
        self._wake.clear()

    async def _close(self) -> None:
        for client in list(self._sockets):
            self._hang_up(client, 1001, "going away")
        for waiting in self._answers.values():
            if not waiting.done():
                waiting.cancel()
        if self._runner is not None:
            with contextlib.suppress(asyncio.TimeoutError):
                await self._runner.cleanup()

    # -- what comes in

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        said = HttpRequest(
            request.method,
            request.raw_path.partition("?")[0],
            request.raw_path.partition("?")[2],
            {name.lower(): value for name, value in request.headers.items()},
            await request.read(),
            request.remote or "",
        )
        if said.headers.get("upgrade", "").lower() == "websocket":
            return await self._websocket(request, said)
        self._numbers += 1
        number = self._numbers
        waiting: asyncio.Future[Answer | Lost] = asyncio.get_running_loop().create_future()
        self._answers[number] = waiting
        try:
            self._host.request(number, said, self._clock.wall_ns())
            self._did()
            answer = await waiting
        finally:
            self._answers.pop(number, None)
        if isinstance(answer, Lost):
            await self._clock.sleep_ns(answer.hang_ns)
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)
        return web.Response(status=answer.status, headers=dict(answer.headers), body=answer.body)

    async def _websocket(self, request: web.Request, said: HttpRequest) -> web.StreamResponse:
        self._clients += 1
        client = self._clients
        response = web.WebSocketResponse(
            autoping=False, compress=False, max_msg_size=FRAME_BYTES, timeout=CLOSE_NS / 1e9, decode_text=False
        )
        admitted: asyncio.Future[Admit] = asyncio.get_running_loop().create_future()
        socket = self._sockets[client] = _Socket(request.transport, admitted)
        try:
            self._host.connect(client, said, self._clock.wall_ns())
            self._did()
            admit = await admitted
            if admit.status != 101:
                return web.Response(status=admit.status, text=admit.text)
            await response.prepare(request)
            early, socket.early = socket.early or [], None
            if socket.transport is not None and not socket.transport.is_closing():
                socket.transport.writelines(early)
            await self._receive(client, response)
        finally:
            self._sockets.pop(client, None)
            self._host.disconnect(client, self._clock.wall_ns())
            self._did()
        return response

    async def _receive(self, client: int, response: web.WebSocketResponse) -> None:
        async for message in response:
            now_ns = self._clock.wall_ns()
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                data = message.data
                self._host.frame(client, data if isinstance(data, bytes) else data.encode(), now_ns)
                self._did()
            elif message.type is WSMsgType.PONG:
                self._host.pong(client, bytes(message.data), now_ns)
                self._did()
            elif message.type is WSMsgType.PING and self._host.answers_ping(client):
                await response.pong(message.data)

    # -- what goes out

    def _did(self) -> None:
        """Do what has come of an input; the pace may have to change."""
        self._do()
        self._wake.set()

    def _do(self) -> None:
        while deeds := self._host.take_actions():
            clients: tuple[int, ...] = ()
            frames: list[bytes] = []
            for deed in deeds:
                if isinstance(deed, Push):
                    if deed.clients != clients:
                        self._write(clients, b"".join(frames))
                        clients, frames = deed.clients, []
                    frames.append(_frame(_TEXT, deed.payload))
                else:
                    self._write(clients, b"".join(frames))
                    clients, frames = (), []
                    self._perform(deed)
            self._write(clients, b"".join(frames))

    def _perform(self, deed: Deed) -> None:
        """All but pushes."""
        if isinstance(deed, Answer | Lost):
            waiting = self._answers.get(deed.number)
            if waiting is not None and not waiting.done():
                waiting.set_result(deed)
        elif isinstance(deed, Admit):
            socket = self._sockets.get(deed.client)
            if socket is not None and not socket.admitted.done():
                socket.admitted.set_result(deed)
        elif isinstance(deed, Beat):
            self._write(deed.clients, _frame(_PING, deed.payload))
        elif isinstance(deed, Hangup):
            self._hang_up(deed.client, deed.code, deed.reason)
        elif isinstance(deed, Abort):
            self._abort(deed.client)

    def _write(self, clients: tuple[int, ...], content: bytes) -> None:
        for client in clients:
            socket = self._sockets.get(client)
            if socket is None or socket.is_closing or socket.transport is None or socket.transport.is_closing():
                continue
            if socket.early is not None:
                socket.early.append(content)
            elif socket.transport.get_write_buffer_size() > self._buffer_bytes:
                self.slow += 1
                self._hang_up(client, SLOW_CODE, SLOW_TEXT)
            else:
                socket.transport.write(content)

    def _hang_up(self, client: int, code: int, reason: str) -> None:
        """Say goodbye; the client's own close frame ends the connection, or it is cut off after a while."""
        socket = self._sockets.get(client)
        if socket is None or socket.is_closing or socket.transport is None:
            return
        socket.is_closing = True
        goodbye = _frame(_CLOSE, code.to_bytes(2, "big") + reason.encode()[:120])
        if socket.early is not None:
            socket.early.append(goodbye)
        elif not socket.transport.is_closing():
            socket.transport.write(goodbye)
        task = asyncio.ensure_future(self._cut_later(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _cut_later(self, client: int) -> None:
        await self._clock.sleep_ns(CLOSE_NS)
        self._abort(client)

    def _abort(self, client: int) -> None:
        socket = self._sockets.get(client)
        if socket is not None and socket.transport is not None:
            socket.is_closing = True
            socket.transport.abort()


def _frame(head: int, payload: bytes) -> bytes:
    """An unmasked websocket frame (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((head, size)) + payload
    if size < 1 << 16:
        return bytes((head, 126)) + size.to_bytes(2, "big") + payload
    return bytes((head, 127)) + size.to_bytes(8, "big") + payload
