"""The transport port: websockets and REST requests, and what makes them over aiohttp. Sessions never see the library.

``Wire`` is the port that recorders and connectors get; tests and virtual time put an emulator in memory behind it.

A ``Peer`` is told of each frame as soon as it is out of the socket; when it has no room it returns something to wait
for, nothing more is read meanwhile, and the venue's side feels it through TCP. Frames are handed over as bytes, text
undecoded. Size is bounded (``frame_bytes``, ``REPLY_BYTES``), compression is not negotiated, certificates are always
verified, and a connection without TLS goes to this machine only.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Coroutine, Generator, Mapping
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from venues.errors import LocalError, VenueError
from venues.session_parts import LOOPBACK, Reply, retry_after_ns

CONNECT_SECONDS: Final = 15
REPLY_SECONDS: Final = 15
CLOSE_SECONDS: Final = 2
REPLY_BYTES: Final = 32 << 20  # the most that a recording takes
FRAME_BYTES: Final = 8 << 20
_TEXT, _BINARY = aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY


class ConnectError(VenueError):
    """No websocket: refused, unreachable, or answered with an HTTP status. ``wait_ns``: the venue wants so much."""

    def __init__(self, text: str, *, venue: str, status: int = 0, wait_ns: int = 0) -> None:
        super().__init__(text, venue=venue)
        self.status = status
        self.wait_ns = wait_ns

    def __reduce__(self) -> tuple[object, ...]:
        return _connect_error, (self.text, self.venue, self.status, self.wait_ns)


def _connect_error(text: str, venue: str, status: int, wait_ns: int) -> ConnectError:
    return ConnectError(text, venue=venue, status=status, wait_ns=wait_ns)


class Peer(Protocol):
    """Who takes what a socket brings."""

    def frame(self, payload: bytes) -> Awaitable[None] | None: ...

    def control(self) -> None: ...


class Socket(Protocol):
    """An open websocket. ``run`` returns when it is closed: why, and the close code."""

    async def run(self, peer: Peer) -> tuple[str, int | None]: ...

    async def send(self, payload: bytes) -> None: ...

    def send_now(self, payload: bytes) -> Awaitable[None] | None:
        """Send a text frame from where one stands, without a turn of the event loop. Returns what to wait for when
        there was no room for all of it: nothing more may be sent before that is over."""
        ...

    async def ping(self) -> None: ...

    async def close(self) -> None: ...


class Wire(Protocol):
    """Opens websockets and makes REST requests."""

    async def connect(self, url: str, venue: str) -> Socket: ...

    async def request(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Reply: ...

    async def close(self) -> None: ...


class AiohttpWire:
    """The real one."""

    def __init__(self, frame_bytes: int = FRAME_BYTES) -> None:
        self._frame_bytes = frame_bytes
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    async def connect(self, url: str, venue: str) -> AiohttpSocket:
        """An open websocket. Raises ``ConnectError``, ``LocalError`` for a plain connection to another machine."""
        _check(url)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                socket = await self._session.ws_connect(
                    url,
                    autoping=False,
                    compress=0,
                    decode_text=False,
                    max_msg_size=self._frame_bytes,
                    timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
                )
        except aiohttp.WSServerHandshakeError as error:
            headers = {name.lower(): value for name, value in (error.headers or {}).items()}
            wait_ns = retry_after_ns(headers) if error.status in (403, 418, 429, 503) else 0
            raise ConnectError(f"HTTP {error.status}", venue=venue, status=error.status, wait_ns=wait_ns) from None
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise ConnectError(str(error) or type(error).__name__, venue=venue) from None
        return AiohttpSocket(socket)

    async def request(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Reply:
        """The reply to a request, whatever its status; status 0 and ``error`` when none came.

        The URL is sent as it is given: what was signed must not be encoded again."""
        _check(url)
        sent = self._session.request(method, URL(url, encoded=True), headers=headers, data=body or None)
        try:
            async with asyncio.timeout(REPLY_SECONDS), sent as response:
                headers = {name.lower(): value for name, value in response.headers.items()}
                taken = bytearray()
                async for part in response.content.iter_any():
                    taken += part
                    if len(taken) > REPLY_BYTES:
                        return Reply(0, headers, b"", f"a reply of more than {REPLY_BYTES} bytes")
                return Reply(response.status, headers, bytes(taken))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            return Reply(0, {}, b"", str(error) or type(error).__name__)

    async def close(self) -> None:
        """Close everything."""
        await self._session.close()


class AiohttpSocket:
    """An open websocket of aiohttp."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse[bool]) -> None:
        self._socket = socket

    async def run(self, peer: Peer) -> tuple[str, int | None]:
        """Hand every frame to ``peer`` until the socket is closed."""
        socket = self._socket
        receive, take = socket.receive, peer.frame
        while True:
            message = await receive()
            kind = message.type
            if kind is _TEXT or kind is _BINARY:
                room = take(message.data)
                if room is not None:
                    await room
            elif kind is aiohttp.WSMsgType.PING:
                peer.control()
                await self._quietly(socket.pong(message.data))
            elif kind is aiohttp.WSMsgType.PONG:
                peer.control()
            elif kind is aiohttp.WSMsgType.CLOSE:
                return f"closed by the venue: {message.extra or message.data}", socket.close_code
            elif kind is aiohttp.WSMsgType.ERROR:
                return f"protocol error: {message.data}", socket.close_code
            else:
                error = socket.exception()
                return f"connection lost: {error or 'no close frame'}", socket.close_code

    async def send(self, payload: bytes) -> None:
        """Send a text frame; on a connection that is gone, nothing (``run`` is about to say so)."""
        await self._quietly(self._socket.send_str(payload.decode()))

    def send_now(self, payload: bytes) -> Awaitable[None] | None:
        """Send a text frame at once: the library's coroutine has written it before it first waits (for room)."""
        sending = self._socket.send_str(payload.decode())
        try:
            waits = sending.send(None)
        except StopIteration:
            return None
        except (aiohttp.ClientError, OSError, RuntimeError):
            return None  # the connection is gone: ``run`` is about to say so
        return self._quietly(_go_on(sending, waits))

    async def ping(self) -> None:
        """Send a websocket ping."""
        await self._quietly(self._socket.ping())

    async def _quietly(self, sending: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await sending
        except (aiohttp.ClientError, OSError, TimeoutError, RuntimeError):
            return

    async def close(self) -> None:
        """Close it; does not wait long for the peer."""
        try:
            async with asyncio.timeout(2 * CLOSE_SECONDS):
                await self._socket.close()
        except (aiohttp.ClientError, OSError, TimeoutError, RuntimeError):
            return


@types.coroutine
def _go_on(started: Coroutine[Any, Any, None], waits: Any) -> Generator[Any, Any, None]:
    """The rest of a coroutine that was begun by hand and waits for ``waits``."""
    try:
        while True:
            yield waits
            waits = started.send(None)
    except StopIteration:
        return
    finally:
        started.close()


def _check(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme in ("ws", "http") and parts.hostname not in LOOPBACK:
        raise LocalError(f"{url}: a connection without TLS may only go to this machine")
