"""The websocket's client end, bytes in and bytes out, without a socket."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from venues.ports import CountingEntropy
from venues.websocket import Handshake, WebSocket, frame_of, masked

MOST = 1 << 20
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Transport:
    """Takes down what is done to it."""

    def __init__(self) -> None:
        self.written = b""
        self.is_reading = True
        self.is_gone = False

    def write(self, data: bytes) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def abort(self) -> None:
        self.is_gone = True


class Peer:
    """Takes frames; after ``full`` of them it has no room until ``room`` is set."""

    def __init__(self, full: int = 1 << 30) -> None:
        self.frames: list[bytes] = []
        self.controls = 0
        self.full = full
        self.room = asyncio.Event()

    def frame(self, payload: bytes) -> Awaitable[None] | None:
        self.frames.append(payload)
        return self._wait() if len(self.frames) == self.full else None

    async def _wait(self) -> None:
        await self.room.wait()

    def control(self) -> None:
        self.controls += 1


def answer(socket: WebSocket, more: str = "", status: str = "101 Switching Protocols") -> bytes:
    accept = base64.b64encode(hashlib.sha1(socket._key + GUID).digest()).decode()
    head = f"HTTP/1.1 {status}\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n"
    return f"{head}{more}\r\n".encode()


def frame(payload: bytes, first: int = 0x81) -> bytes:
    """A frame from a server."""
    count = len(payload)
    if count < 126:
        return bytes((first, count)) + payload
    wide, mark = (2, 126) if count < 1 << 16 else (8, 127)
    return bytes((first, mark)) + count.to_bytes(wide, "big") + payload


def played(play: Callable[[WebSocket, Transport], Any]) -> Any:
    async def whole() -> Any:
        socket, transport = (
            WebSocket(urlsplit("ws://host:1/stream?streams=a@b/c"), CountingEntropy(), MOST),
            Transport(),
        )
        socket.connection_made(transport)
        return await play(socket, transport)

    return asyncio.run(whole())


def received(parts: list[bytes], most: int = MOST) -> tuple[Peer, tuple[str, int | None] | None, bytes]:
    """What a peer gets of an open connection, how it ends, what was written."""

    async def play(socket: WebSocket, transport: Transport) -> Any:
        socket._most_bytes = most
        socket.data_received(answer(socket) + parts[0])
        await socket.opened()
        assert not transport.is_reading
        peer = Peer()
        running = asyncio.ensure_future(socket.run(peer))
        await asyncio.sleep(0)
        transport.written = b""
        for part in parts[1:]:
            socket.data_received(part)
        await asyncio.sleep(0)
        return peer, running.result() if running.done() else running.cancel() and None, transport.written

    found: tuple[Peer, tuple[str, int | None] | None, bytes] = played(play)
    return found


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.binary(max_size=300) | st.just(b"x" * 70_000), st.integers(1, 3)), max_size=8),
    st.lists(st.integers(0, 80_000), max_size=12),
)
def test_messages_come_whole_however_the_bytes_are_cut(messages: list[tuple[bytes, int]], cuts: list[int]) -> None:
    stream = b""
    for payload, parts in messages:
        size = len(payload) // parts + 1
        pieces = [payload[k * size : (k + 1) * size] for k in range(parts)]
        for k, piece in enumerate(pieces):
            stream += frame(piece, (0x80 if k == parts - 1 else 0) | (1 if k == 0 else 0))
            stream += frame(b"", 0x8A)  # a pong between the parts
    places = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    peer, over, _ = received([b"", *(stream[a:b] for a, b in itertools.pairwise(places))])
    assert peer.frames == [payload for payload, _ in messages] and over is None
    assert peer.controls == sum(parts for _, parts in messages)


def test_a_ping_is_answered_and_a_close_frame_too() -> None:
    peer, over, written = received([frame(b"1"), frame(b"hello", 0x89), frame(b"\x03\xe9away", 0x88), frame(b"2")])
    assert peer.frames == [b"1"] and over == ("closed by the venue: away", 1001)
    assert written[:2] == b"\x8a\x85" and masked(written[6:11], written[2:6]) == b"hello"
    assert written[11:13] == b"\x88\x82" and masked(written[17:], written[13:17]) == b"\x03\xe9"


@pytest.mark.parametrize(
    ("hostile", "code"),
    [
        (b"\x83\x02{}", 1002), (b"\xc1\x02{}", 1002), (b"\x09\x00", 1002), (b"\x89\x7e\x00\x7e", 1002),
        (b"\x81\x82mask..", 1002), (frame(b"x", 0x80), 1002), (b"\x88\x01x", 1002),
        (frame(b"a", 0x01) + frame(b"b"), 1002), (frame(b"x" * 2000), 1009),
        (frame(b"x" * 600, 0x01) + frame(b"x" * 600, 0x80), 1009), (b"\x82\x7f" + b"\xff" * 8, 1009),
    ],
)  # fmt: skip
def test_what_no_server_sends_ends_the_connection(hostile: bytes, code: int) -> None:
    peer, over, written = received([frame(b"1"), hostile, frame(b"2")], 1000)
    assert peer.frames == [b"1"] and over is not None and over[0].startswith("protocol error") and over[1] == code
    assert written[0] == 0x88 and masked(written[6:8], written[2:6]) == code.to_bytes(2, "big")


def test_a_peer_without_room_is_not_read_for() -> None:
    async def play(socket: WebSocket, transport: Transport) -> None:
        socket.data_received(answer(socket))
        peer = Peer(full=2)
        running = asyncio.ensure_future(socket.run(peer))
        await asyncio.sleep(0)
        socket.data_received(frame(b"1") + frame(b"2") + frame(b"3") + frame(b"4")[:2])
        assert peer.frames == [b"1", b"2"] and not transport.is_reading
        socket.data_received(frame(b"4")[2:])  # what the transport had read already
        peer.room.set()
        await asyncio.sleep(0.01)
        assert peer.frames == [b"1", b"2", b"3", b"4"] and transport.is_reading
        socket.connection_lost(None)
        assert await running == ("connection lost: no close frame", 1006)

    played(play)


def test_an_error_of_the_peer_comes_out_of_run() -> None:
    class Broken(Peer):
        def frame(self, payload: bytes) -> Awaitable[None] | None:
            raise ZeroDivisionError("a defect")

    async def play(socket: WebSocket, transport: Transport) -> None:
        socket.data_received(answer(socket) + frame(b"1"))
        with pytest.raises(ZeroDivisionError):
            await socket.run(Broken())

    played(play)


@pytest.mark.parametrize(
    ("more", "status", "says"),
    [
        ("", "403 Forbidden", "HTTP 403"), ("", "x y", "no answer"),
        ("Sec-WebSocket-Extensions: permessage-deflate\r\n", "101 ok", "extension"),
        ("Sec-WebSocket-Accept: other\r\n", "101 ok", "not for what was asked"),
    ],
)  # fmt: skip
def test_another_answer_to_the_handshake_is_refused(more: str, status: str, says: str) -> None:
    async def play(socket: WebSocket, transport: Transport) -> None:
        assert transport.written.startswith(b"GET /stream?streams=a@b/c HTTP/1.1\r\nHost: host:1\r\n")
        whole = answer(socket, more + "Retry-After: 7\r\n", status)
        socket.data_received(whole[:20])
        socket.data_received(whole[20:])
        with pytest.raises(Handshake, match=says) as caught:
            await socket.opened()
        assert transport.is_gone
        assert caught.value.status == 0 or caught.value.headers["retry-after"] == "7"

    played(play)


@pytest.mark.parametrize("count", [0, 1, 125, 126, 65_535, 65_536])
def test_frames_out_are_masked_and_say_their_length(count: int) -> None:
    payload = bytes(k % 251 for k in range(count))
    made = frame_of(1, payload, b"mask")
    head = len(frame(payload)) - count
    assert made[0] == 0x81 and made[1] & 0x80 and made[1] & 0x7F == frame(payload)[1]
    assert made[2:head] == frame(payload)[2:head]
    assert bytes(a ^ b"mask"[k % 4] for k, a in enumerate(made[head + 4 :])) == payload
