"""A venue on loopback for tests of the recorder: plays scripts of websocket frames, answers REST requests, misbehaves.

It speaks the protocols itself, from RFC 6455 and RFC 9112, so that it can also speak them wrongly. A *script* is an
iterable of steps, one script per accepted connection:

    bytes          a text frame            Pause(seconds)     nothing for a while
    Raw(bytes)     bytes as they are       Ping()             a websocket ping
    Close(code)    a close frame, then FIN Abort()            RST, without a word
    Silence()      stop reading and writing, keep the connection (half open)
    Until(check)   nothing until ``check()`` holds
    Stay()         nothing more to send: keep the connection, answer pings

A script that ends closes its connection with code 1000. Run as a program, it plays a file of captured lines
(``receive_time json``) at once or at the recorded pace.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gzip
import hashlib
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
WRITE_AHEAD = 1 << 20


@dataclass(frozen=True)
class Pause:
    seconds: float


@dataclass(frozen=True)
class Until:
    check: Callable[[], bool]


@dataclass(frozen=True)
class Raw:
    content: bytes


@dataclass(frozen=True)
class Ping:
    content: bytes = b"are you there"


@dataclass(frozen=True)
class Close:
    code: int = 1000


@dataclass(frozen=True)
class Abort:
    pass


@dataclass(frozen=True)
class Silence:
    pass


@dataclass(frozen=True)
class Stay:
    pass


Step = bytes | Pause | Until | Raw | Ping | Close | Abort | Silence | Stay


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; as an answer to a handshake, a refusal."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """A server's websocket frame."""
    size = len(payload)
    if size < 126:
        head = struct.pack(">BB", 0x80 | opcode, size)
    elif size < 1 << 16:
        head = struct.pack(">BBH", 0x80 | opcode, 126, size)
    else:
        head = struct.pack(">BBQ", 0x80 | opcode, 127, size)
    return head + payload


class ReplayServer:
    """``scripts(path, n)`` says what the n-th connection (from 0) gets, ``rest(path)`` answers other requests."""

    def __init__(
        self,
        scripts: Callable[[str, int], Iterable[Step] | Answer],
        rest: Callable[[str], Answer] = lambda path: Answer(404),
    ) -> None:
        self._scripts = scripts
        self._rest = rest
        self.handshakes = 0
        self.requests: list[str] = []
        self.sent: list[list[bytes]] = []  # whole text frames, per connection
        self.received: list[tuple[int, int, bytes]] = []  # connection, opcode, payload
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self, port: int = 0) -> int:
        """Listen on 127.0.0.1; returns the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, limit=1 << 20)
        found: int = self._server.sockets[0].getsockname()[1]
        return found

    async def stop(self) -> None:
        """Close everything."""
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split(b" ", 2)[1].decode()
                key = re.search(rb"(?i)sec-websocket-key: *(\S+)", head)
                if key is None:
                    self.requests.append(path)
                    writer.write(_http(self._rest(path)))
                    await writer.drain()
                    continue
                number = self.handshakes
                self.handshakes += 1
                script = self._scripts(path, number)
                self.sent.append([])
                if isinstance(script, Answer):
                    writer.write(_http(script))
                    await writer.drain()
                    break
                writer.write(_upgrade(key[1]))
                await self._play(number, script, reader, writer)
                break
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _play(
        self, number: int, script: Iterable[Step], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        listening = asyncio.create_task(self._listen(number, reader, writer))
        try:
            for step in script:
                if isinstance(step, bytes):
                    writer.write(frame(step))
                    self.sent[number].append(step)
                elif isinstance(step, Raw):
                    writer.write(step.content)
                elif isinstance(step, Ping):
                    writer.write(frame(step.content, PING))
                elif isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                elif isinstance(step, Until):
                    while not step.check():
                        await asyncio.sleep(0.01)
                elif isinstance(step, Close):
                    writer.write(frame(struct.pack(">H", step.code), CLOSE))
                    await writer.drain()
                    return
                elif isinstance(step, Abort):
                    await writer.drain()
                    writer.transport.abort()
                    return
                elif isinstance(step, Stay):
                    await listening
                    return
                else:
                    listening.cancel()
                    await asyncio.Event().wait()
                if writer.transport.get_write_buffer_size() > WRITE_AHEAD:
                    await writer.drain()
            writer.write(frame(struct.pack(">H", 1000), CLOSE))
            await writer.drain()
        finally:
            listening.cancel()

    async def _listen(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take the client's frames; answer its pings and its close."""
        while True:
            first, second = await reader.readexactly(2)
            size = second & 0x7F
            if size == 126:
                (size,) = struct.unpack(">H", await reader.readexactly(2))
            elif size == 127:
                (size,) = struct.unpack(">Q", await reader.readexactly(8))
            mask = await reader.readexactly(4) if second & 0x80 else b"\0\0\0\0"
            payload = bytes(b ^ mask[i & 3] for i, b in enumerate(await reader.readexactly(size)))
            opcode = first & 0x0F
            self.received.append((number, opcode, payload))
            if opcode == PING:
                writer.write(frame(payload, PONG))
            elif opcode == CLOSE:
                writer.write(frame(payload[:2], CLOSE))
                await writer.drain()
                writer.close()
                return


def _upgrade(key: bytes) -> bytes:
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n\r\n"
    ).encode()


def _http(answer: Answer) -> bytes:
    headers = {"Content-Length": str(len(answer.body)), "Content-Type": "application/json", **answer.headers}
    lines = [f"HTTP/1.1 {answer.status} -", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + answer.body


# -- captures


def captured(path: Path) -> Iterator[tuple[float, bytes]]:
    """Lines ``receive_time payload`` (ns, us or s; ``:`` after the time in cryptofeed's) as (seconds, payload)."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
        for line in lines:
            stamp, _, payload = line.rstrip(b"\r\n").partition(b" ")
            stamp = stamp.rstrip(b":")
            if not payload.startswith((b"{", b"[")) or not stamp[:1].isdigit():
                continue
            seconds = float(stamp)
            while seconds > 1e11:
                seconds /= 1000
            yield seconds, payload


def paced(path: Path, speed: float) -> Iterator[Step]:
    """A capture as a script: at the recorded pace times ``speed``, or all at once for 0."""
    last = None
    for seconds, payload in captured(path):
        if speed and last is not None and seconds > last:
            yield Pause((seconds - last) / speed)
        last = seconds
        yield payload
    yield Stay()


async def _run(options: argparse.Namespace) -> None:
    server = ReplayServer(lambda path, number: paced(options.capture, options.speed))
    print(await server.start(options.port), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Play a capture to whoever connects; prints the port.")
    parser.add_argument("capture", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--speed", type=float, default=1.0, help="1: the recorded pace; 0: all at once")
    asyncio.run(_run(parser.parse_args()))
