"""The transport port: websockets and REST requests, and what makes them over sockets. Sessions never see a library.

``Wire`` is the port that recorders and connectors get; tests and virtual time put an emulator in memory behind it.

A ``Peer`` is told of each frame as soon as it is out of the socket; when it has no room it returns something to wait
for, nothing more is read meanwhile, and the venue's side feels it through TCP. Frames are handed over as bytes, text
undecoded. Size is bounded (``frame_bytes``, ``REPLY_BYTES``), compression is not negotiated, certificates are always
verified, and a connection without TLS goes to this machine only.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Mapping
from typing import Final, Protocol
from urllib.parse import SplitResult, urlsplit

import aiohttp
from yarl import URL

from venues.errors import LocalError, VenueError
from venues.ports import Entropy, SystemEntropy
from venues.session_parts import LOOPBACK, Reply, retry_after_ns
from venues.websocket import Handshake, WebSocket

CONNECT_SECONDS: Final = 15
REPLY_SECONDS: Final = 15
REPLY_BYTES: Final = 32 << 20  # the most that a recording takes
FRAME_BYTES: Final = 8 << 20


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
    """The real one: websockets of our own (``websocket.py``), requests over aiohttp."""

    def __init__(self, frame_bytes: int = FRAME_BYTES, entropy: Entropy | None = None) -> None:
        self._frame_bytes = frame_bytes
        self._entropy = entropy or SystemEntropy()
        self._tls: ssl.SSLContext | None = None
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    async def connect(self, url: str, venue: str) -> WebSocket:
        """An open websocket. Raises ``ConnectError``, ``LocalError`` for a plain connection to another machine."""
        _check(url)
        address = urlsplit(url)
        safe = address.scheme == "wss"
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                socket = await self._dial(address, safe)
        except Handshake as answer:
            wait_ns = retry_after_ns(answer.headers) if answer.status in (403, 418, 429, 503) else 0
            raise ConnectError(str(answer), venue=venue, status=answer.status, wait_ns=wait_ns) from None
        except (OSError, TimeoutError, ValueError) as error:
            raise ConnectError(str(error) or type(error).__name__, venue=venue) from None
        return socket

    async def _dial(self, address: SplitResult, safe: bool) -> WebSocket:
        if safe and self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        _, socket = await asyncio.get_running_loop().create_connection(
            lambda: WebSocket(address, self._entropy, self._frame_bytes), address.hostname or "",
            address.port or (443 if safe else 80), ssl=self._tls if safe else None,
        )  # fmt: skip
        try:
            await socket.opened()
        except BaseException:
            socket.abort()
            raise
        return socket

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


def _check(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme in ("ws", "http") and parts.hostname not in LOOPBACK:
        raise LocalError(f"{url}: a connection without TLS may only go to this machine")
