"""A websocket's client end as an asyncio protocol: each frame goes to its peer inside the call that read the bytes.

Theory of operation. Between the socket and a strategy every turn of the event loop costs more than reading the frame,
so there is none: ``data_received`` cuts the bytes into frames and calls ``peer.frame`` for each, in order. When the
peer has no room, reading stops and the bytes at hand wait until it has. Nothing is read before ``run``: what came right
behind the handshake waits too.

Frames are as RFC 6455 has them; no extension is offered (no compression). A masked or unknown frame, one with reserved
bits, a control frame that is long or in parts, or a message beyond ``most_bytes`` ends the connection with the code the
RFC gives it. That text is UTF-8 is for the peer to check.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import struct
from collections.abc import Awaitable
from typing import Any, Final, Protocol
from urllib.parse import SplitResult

from venues.ports import Entropy

CLOSE_SECONDS: Final = 2
MASKS: Final = 256  # fetched at once
HEAD_BYTES: Final = 64 << 10  # of an answer to the handshake
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_CONTINUED, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
_FINAL: Final = 0x80
_SHORT, _MIDDLE, _LONG = struct.Struct("!BB4s"), struct.Struct("!BBH4s"), struct.Struct("!BBQ4s")  # heads of frames
NORMAL, PROTOCOL_ERROR, ABNORMAL, TOO_BIG = 1000, 1002, 1006, 1009


class Handshake(Exception):  # noqa: N818  (an answer, not always an error)
    """The server answered something else than a websocket: ``status`` and headers, names in lower case."""

    def __init__(self, text: str, status: int = 0, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status, self.headers = status, headers or {}


class FramePeer(Protocol):
    """Who takes what comes (``transport.Peer``)."""

    def frame(self, payload: bytes) -> Awaitable[None] | None: ...

    def control(self) -> None: ...


def accept_of(key: bytes) -> bytes:
    """What a server answers to the key of a handshake."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def masked(payload: bytes, mask: bytes) -> bytes:
    """A payload as a client sends it; the same again gives it back."""
    count = len(payload)
    key = (mask * (count // 4 + 1))[:count]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")).to_bytes(count, "little")


def frame_of(kind: int, payload: bytes, mask: bytes) -> bytes:
    """A whole frame from a client."""
    count = len(payload)
    if count < 126:
        head = _SHORT.pack(_FINAL | kind, _FINAL | count, mask)
    elif count < 1 << 16:
        head = _MIDDLE.pack(_FINAL | kind, _FINAL | 126, count, mask)
    else:
        head = _LONG.pack(_FINAL | kind, _FINAL | 127, count, mask)
    return head + masked(payload, mask)


def _is_known(first: int, count: int) -> bool:
    """Whether a frame may begin like this: no reserved bit, a known kind, a control frame whole and short."""
    kind = first & 15
    if first & 0x70 or kind not in (_CONTINUED, _TEXT, _BINARY, _CLOSE, _PING, _PONG):
        return False
    return kind < _CLOSE or (first & _FINAL != 0 and count < 126)


class WebSocket(asyncio.Protocol):
    """One connection: ``opened`` after the handshake, then ``run``."""

    def __init__(self, address: SplitResult, entropy: Entropy, most_bytes: int) -> None:
        loop = asyncio.get_running_loop()
        self._address = address
        self._entropy = entropy
        self._most_bytes = most_bytes
        self._key = base64.b64encode(entropy.token(16))
        self._opened: asyncio.Future[None] = loop.create_future()
        self._over: asyncio.Future[tuple[str, int | None]] = loop.create_future()
        self._gone: asyncio.Future[None] = loop.create_future()
        self._room: asyncio.Future[None] | None = None  # for writing, while there is none
        self._transport: Any = None
        self._peer: FramePeer | None = None
        self._rest = b""  # bytes read and not used
        self._held = True  # nothing is to be used at present
        self._holder: asyncio.Task[None] | None = None
        self._parts: list[bytes] = []  # of a message in several frames
        self._parts_bytes = 0
        self._has_closed = False  # a close frame was sent
        self._masks: list[bytes] = []  # for frames to come: asking the system for each would cost more than the frame

    # -- the handshake

    def connection_made(self, transport: Any) -> None:
        """Ask for a websocket."""
        self._transport = transport
        address = self._address
        target = (address.path or "/") + (f"?{address.query}" if address.query else "")
        lines = (
            f"GET {target} HTTP/1.1", f"Host: {address.netloc}", "Upgrade: websocket", "Connection: Upgrade",
            f"Sec-WebSocket-Key: {self._key.decode()}", "Sec-WebSocket-Version: 13", "User-Agent: perpsim", "", "",
        )  # fmt: skip
        transport.write("\r\n".join(lines).encode("ascii"))

    async def opened(self) -> None:
        """Wait for the handshake. Raises ``Handshake`` for another answer, ``OSError`` when the connection ends."""
        await self._opened

    def _shake(self, data: bytes) -> None:
        head, blank, rest = (self._rest + data).partition(b"\r\n\r\n")
        if not blank and len(head) <= HEAD_BYTES:
            self._rest = head
            return
        self._rest = rest
        try:
            self._check(head.decode("latin-1").split("\r\n"))
        except Handshake as answer:
            self._opened.set_exception(answer)
            self._transport.abort()
            return
        self._transport.pause_reading()  # until there is a peer
        self._opened.set_result(None)

    def _check(self, lines: list[str]) -> None:
        words = lines[0].split(" ", 2)
        if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
            raise Handshake(f"no answer in HTTP: {lines[0][:80]!r}")
        pairs = (line.partition(":") for line in lines[1:])
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        if words[1] != "101":
            raise Handshake(f"HTTP {words[1]}", int(words[1]), headers)
        expected = accept_of(self._key).decode()
        if headers.get("upgrade", "").lower() != "websocket" or headers.get("sec-websocket-accept") != expected:
            raise Handshake("the answer to the handshake is not for what was asked")
        if "sec-websocket-extensions" in headers:
            raise Handshake("the server uses an extension that was not offered")

    # -- reading

    async def run(self, peer: FramePeer) -> tuple[str, int | None]:
        """Hand every frame to ``peer`` until the connection is over: why, and the close code."""
        self._peer = peer
        self._go_on()
        return await self._over

    def _go_on(self) -> None:
        self._held = False
        if self._rest:
            self.data_received(b"")
        if not self._held and not self._gone.done():
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Bytes of the socket."""
        if self._over.done():
            return
        if self._rest:
            data = self._rest + data
        if self._held:
            if self._opened.done():
                self._rest = data
            else:
                self._rest = b""
                self._shake(data)
            return
        try:
            used = self._read(data)
        except Exception as error:  # of the peer: it comes out of ``run``
            self._held, self._rest = True, b""
            self._transport.pause_reading()
            if not self._over.done():
                self._over.set_exception(error)
            return
        self._rest = data[used:]

    def _read(self, data: bytes) -> int:
        """Hand over the whole frames in ``data``; how many bytes they were."""
        peer = self._peer
        assert peer is not None
        at, size = 0, len(data)
        while size - at >= 2:
            first, count = data[at], data[at + 1]
            start = at + 2
            if count > 127 or (first != 0x81 and first != 0x82 and not _is_known(first, count)):
                self._fail(PROTOCOL_ERROR, f"no frame of a server begins with {first:#04x} {count:#04x}")
                return size
            if count > 125:
                wide = 2 if count == 126 else 8
                start += wide
                if start > size:
                    return at
                count = int.from_bytes(data[start - wide : start], "big")
            if count + self._parts_bytes > self._most_bytes:
                self._fail(TOO_BIG, f"a message of more than {self._most_bytes} bytes")
                return size
            end = start + count
            if end > size:
                return at
            at = end
            if (first == 0x81 or first == 0x82) and not self._parts:
                room = peer.frame(data[start:end])
            else:
                room = self._other(first, data[start:end])
                if self._over.done():
                    return size
            if room is not None:
                self._hold(room)
                return at
        return at

    def _other(self, first: int, payload: bytes) -> Awaitable[None] | None:
        """A control frame, or part of a message."""
        kind, is_final, peer = first & 15, first & _FINAL, self._peer
        assert peer is not None
        if kind == _CLOSE:
            self._closed_by_peer(payload)
        elif kind > _CLOSE:
            peer.control()
            if kind == _PING:
                self._write(_PONG, payload)
        elif (kind == _CONTINUED) is not bool(self._parts):
            self._fail(PROTOCOL_ERROR, "a continuation out of place")
        else:
            self._parts.append(payload)
            self._parts_bytes += len(payload)
            if is_final:
                whole = b"".join(self._parts)
                self._parts, self._parts_bytes = [], 0
                return peer.frame(whole)
        return None

    def _hold(self, room: Awaitable[None]) -> None:
        self._held = True
        self._transport.pause_reading()
        self._holder = asyncio.ensure_future(self._wait(room))

    async def _wait(self, room: Awaitable[None]) -> None:
        try:
            await room
        except Exception as error:
            if not self._over.done():
                self._over.set_exception(error)
            return
        self._go_on()

    # -- the end

    def _finish(self, why: str, code: int | None) -> None:
        self._held = True
        if not self._over.done():
            self._over.set_result((why, code))

    def _closed_by_peer(self, payload: bytes) -> None:
        if len(payload) == 1:
            self._fail(PROTOCOL_ERROR, "a close frame of one byte")
            return
        code = int.from_bytes(payload[:2], "big") if payload else None
        text = payload[2:].decode("utf-8", "replace")
        self._say_goodbye(payload[:2])
        self._finish(f"closed by the venue: {text or code or 'no reason given'}", code)

    def _fail(self, code: int, why: str) -> None:
        self._say_goodbye(code.to_bytes(2, "big"))
        self._finish(f"protocol error: {why}", code)

    def _say_goodbye(self, payload: bytes) -> None:
        if not self._has_closed:
            self._write(_CLOSE, payload)
            self._has_closed = True

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        if not self._gone.done():
            self._gone.set_result(None)
        if not self._opened.done():
            self._opened.set_exception(exc or ConnectionResetError("closed during the handshake"))
        self.resume_writing()
        self._finish(f"connection lost: {exc or 'no close frame'}", ABNORMAL)

    def abort(self) -> None:
        """Drop it at once."""
        self._transport.abort()

    async def close(self) -> None:
        """Close it; does not wait long for the peer."""
        if self._holder is not None:
            self._holder.cancel()
        transport = self._transport
        self._say_goodbye(NORMAL.to_bytes(2, "big"))
        transport.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.shield(self._gone)
        transport.abort()

    # -- writing

    def pause_writing(self) -> None:
        """The transport has no room."""
        if self._room is None:
            self._room = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """It has again, or will never have."""
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    def _write(self, kind: int, payload: bytes) -> None:
        if not self._has_closed and not self._gone.done():
            if not self._masks:
                fresh = self._entropy.token(4 * MASKS)
                self._masks = [fresh[at : at + 4] for at in range(0, len(fresh), 4)]
            self._transport.write(frame_of(kind, payload, self._masks.pop()))

    def send_now(self, payload: bytes) -> Awaitable[None] | None:
        """Send a text frame from where one stands; on a connection that is gone, nothing (``run`` says so)."""
        self._write(_TEXT, payload)
        return None if self._room is None else self._drained()

    async def _drained(self) -> None:
        room = self._room
        if room is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await asyncio.shield(room)

    async def send(self, payload: bytes) -> None:
        """Send a text frame, and wait a little where there is no room."""
        self.send_now(payload)
        await self._drained()

    async def ping(self) -> None:
        """Send a websocket ping."""
        self._write(_PING, b"")
        await self._drained()
