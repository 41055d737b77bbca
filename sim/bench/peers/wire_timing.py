"""Times a client at its sockets: when bytes were handed to it, and when its own last byte was written.

Used in every client's environment alike, so it needs the standard library alone. ``TimedLoop`` is asyncio's own event
loop, except that every connection's protocol and transport are wrapped. ``Marks`` keeps instants of
``time.perf_counter_ns`` apart by what they belong to, whatever else flows meanwhile: connections by their websocket
handshake (orders and answers, market data, REST), market data by what a frame says it is. Of market data each read's
first whole text frame is kept with its update id, so a client that has been told of an update finds the very read that
brought it; later frames of one read are not timed, since they waited for the first. Between ``handed_ns`` and
``written_ns`` lies the kernel's send, which is the same for all. The event loop's selector and the socket's receive are
not counted.
"""

from __future__ import annotations

import asyncio
import re
import selectors
import time
from collections.abc import Callable
from typing import Any

PRIVATE, REST = "private", "rest"  # orders by websocket and the account's own events; http
DEPTH, TOP, OTHER = "depth", "top", "other"  # market data
HEAD = 200  # bytes of a frame in which it says what it is
KEPT = 1024  # frames that a client has not yet been told of
TEXT = 1
UPDATE = re.compile(rb'"u":(\d+)')

now_ns = time.perf_counter_ns


class Stream:
    """What came and went of one kind: text frames (http: reads and writes), their number and the last's instants."""

    def __init__(self) -> None:
        self.reads = self.read_ns = 0
        self.writes = self.handed_ns = self.written_ns = 0
        self.read_of: dict[int, int] = {}  # market data: update id -> instant of its read


class Marks:
    """Instants by kind; ``kind``, ``update`` and ``read_ns`` are of the last read of any connection."""

    def __init__(self) -> None:
        self.of = {kind: Stream() for kind in (PRIVATE, REST, DEPTH, TOP, OTHER)}
        self.kind, self.update, self.read_ns = OTHER, 0, 0
        self.frames = 0  # of market data, all of them

    def read(self, kind: str, update: int = 0) -> None:
        """Bytes are about to be handed over."""
        stream = self.of[kind]
        self.kind, self.update = kind, update
        stream.reads += 1
        if update:
            while len(stream.read_of) >= KEPT:
                del stream.read_of[next(iter(stream.read_of))]
        self.read_ns = stream.read_ns = now = now_ns()
        if update:
            stream.read_of[update] = now

    def take(self, kind: str, update: int) -> int | None:
        """When the frame with this update was read; None where it was not its read's first, or was taken before."""
        return self.of[kind].read_of.pop(update, None)


def heads(data: bytes) -> tuple[list[bytes], bytes]:
    """The beginnings of the whole text frames that a server has sent, and the bytes of the last, unfinished frame."""
    found = []
    at, end = 0, len(data)
    while at + 2 <= end:
        size, head = data[at + 1] & 0x7F, 2
        if size > 125:
            head += 2 if size == 126 else 8
            size = int.from_bytes(data[at + 2 : at + head], "big")
        if at + head + size > end:  # also where the size itself is cut
            break
        if data[at] & 0x0F == TEXT:
            found.append(data[at + head : at + head + min(size, HEAD)])
        at += head + size
    return found, data[at:]


class Connection:
    """One socket: which kind it is, told by the first request, and its unfinished frame."""

    def __init__(self, marks: Marks) -> None:
        self._marks = marks
        self._kind = REST
        self._is_open = False  # the server has agreed to websocket frames
        self._rest = b""

    def writes(self, data: Any) -> Stream | None:
        """What these bytes, about to be written, count for."""
        if self._kind != REST:
            return self._marks.of[self._kind] if data[0] & 0x0F == TEXT else None
        request = bytes(data[:4096])
        if b"\r\nupgrade: websocket" in request.lower():
            path = request.split(b" ", 2)[1]
            is_private = b"ws-fapi" in path or b"/private" in path
            self._kind = PRIVATE if is_private else OTHER
            return None
        return self._marks.of[REST]

    def reads(self, data: bytes) -> None:
        """Mark what these bytes, about to be handed over, bring."""
        marks = self._marks
        if self._kind == REST:
            marks.read(REST)
            return
        data = self._rest + bytes(data)
        if not self._is_open:
            answer, end, data = data.partition(b"\r\n\r\n")
            self._is_open = bool(end)
            self._rest = b"" if end else answer
            if not end:
                return
        found, self._rest = heads(data)
        if not found:
            marks.kind = OTHER
        elif self._kind == PRIVATE:
            marks.read(PRIVATE)
        else:
            marks.frames += len(found)
            head = found[0]
            kind = DEPTH if b"depthUpdate" in head else TOP if b"bookTicker" in head else OTHER
            update = UPDATE.search(head) if kind != OTHER else None
            marks.read(kind, int(update[1]) if update else 0)


class _Transport:
    """A transport that notes when a write has returned; all else is the transport's own."""

    def __init__(self, transport: asyncio.Transport, connection: Connection) -> None:
        self._inner = transport
        self._write, self._connection = transport.write, connection

    def write(self, data: Any) -> None:
        stream = self._connection.writes(data) if data else None
        handed_ns = now_ns()
        self._write(data)
        if stream is not None:
            stream.writes, stream.handed_ns, stream.written_ns = stream.writes + 1, handed_ns, now_ns()

    def writelines(self, parts: Any) -> None:
        self.write(b"".join(parts))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _timed(protocol: Any, marks: Marks) -> Any:
    """The same protocol object, with its two methods seen from outside."""
    connected, received = protocol.connection_made, protocol.data_received
    connection = Connection(marks)

    class _Protocol(asyncio.Protocol):
        timed: Any = None

        def connection_made(self, transport: Any) -> None:
            self.timed = _Transport(transport, connection)
            connected(self.timed)

        def data_received(self, data: bytes) -> None:
            connection.reads(data)
            received(data)

        def eof_received(self) -> Any:
            return protocol.eof_received()

        def connection_lost(self, exc: Exception | None) -> None:
            protocol.connection_lost(exc)

        def pause_writing(self) -> None:
            protocol.pause_writing()

        def resume_writing(self) -> None:
            protocol.resume_writing()

    return _Protocol()


class TimedLoop(asyncio.SelectorEventLoop):
    """asyncio's event loop with every connection timed; ``marks`` is where."""

    def __init__(self, selector: selectors.BaseSelector | None = None) -> None:
        super().__init__(selector)
        self.poll = selector
        self.marks = Marks()

    async def create_connection(self, protocol_factory: Callable[[], Any], *args: Any, **kwargs: Any) -> Any:
        made: list[Any] = []

        def factory() -> Any:
            made.append(protocol_factory())
            return _timed(made[0], self.marks)

        _, outer = await super().create_connection(factory, *args, **kwargs)
        return getattr(outer, "timed", None), made[0]


class Times:
    """Durations in ns of one kind of thing; ``warm``: so many at first do not count."""

    def __init__(self, warm: int = 0) -> None:
        self.ns: list[int] = []
        self._warm = warm

    def add(self, ns: int) -> None:
        if self._warm:
            self._warm -= 1
        else:
            self.ns.append(ns)

    def summary(self) -> dict[str, float | int]:
        """Count, median, 99th percentile and greatest, in microseconds."""
        if not self.ns:
            return {"count": 0}
        ordered = sorted(self.ns)

        def at(share: float) -> float:
            return ordered[min(len(ordered) - 1, int(share * len(ordered)))] / 1000

        return {"count": len(ordered), "p50_us": at(0.5), "p99_us": at(0.99), "max_us": ordered[-1] / 1000}


class DataTimes:
    """From the read of a frame to the client's own callback, of depth and best quotes."""

    def __init__(self, marks: Marks, warm: int) -> None:
        self._marks = marks
        self._of = {DEPTH: Times(warm), TOP: Times(warm)}

    def told(self, kind: str, update: int, now: int) -> int | None:
        """The client has been told of this update just now; returns when it was read, where that is known."""
        read_ns = self._marks.take(kind, update)
        if read_ns is not None:
            self._of[kind].add(now - read_ns)
        return read_ns

    def summary(self) -> dict[str, dict[str, float | int]]:
        return {kind: times.summary() for kind, times in self._of.items()}


class OrderTimes:
    """One order after another, each from the decision to the answer. An order counts only where its own connections
    carried nothing else meanwhile: one text frame out, one in (http: whatever one request takes)."""

    def __init__(self, marks: Marks, warm: int, kind: str = PRIVATE) -> None:
        self._stream, self._is_http = marks.of[kind], kind == REST
        self.out, self.sent, self.back = Times(warm), Times(warm), Times(warm)
        self.whole, self.through = Times(warm), Times(warm)
        self.unclear = 0
        self._read_ns: int | None = None
        self._begun_ns = self._writes = self._reads = 0

    def decided(self, read_ns: int | None = None) -> None:
        """To be called at once before the order is given; ``read_ns``: of the frame on which it was decided."""
        self._read_ns, self._writes, self._reads = read_ns, self._stream.writes, self._stream.reads
        self._begun_ns = now_ns()

    def answered(self, now: int) -> None:
        """The strategy has the answer since ``now``."""
        stream = self._stream
        if not self._is_http and (stream.writes - self._writes, stream.reads - self._reads) != (1, 1):
            self.unclear += 1
            return
        self.out.add(stream.handed_ns - self._begun_ns)
        self.sent.add(stream.written_ns - self._begun_ns)
        self.back.add(now - stream.read_ns)
        self.whole.add(now - self._begun_ns)
        if self._read_ns is not None:
            self.through.add(stream.written_ns - self._read_ns)

    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "out": self.out.summary(),
            "out_sent": self.sent.summary(),
            "back": self.back.summary(),
            "whole": self.whole.summary(),
            "unclear": self.unclear,
        }
        if not self._is_http:
            found["tick_to_order"] = self.through.summary()
        return found


class Busy(selectors.DefaultSelector):
    """Never sleeps: what ``[live] busy_poll`` does, for a client that has no such thing."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        poll: Any = super().select
        found: list[tuple[selectors.SelectorKey, int]] = poll(0)
        end = None if timeout is None else time.monotonic() + timeout
        while not found and (end is None or time.monotonic() < end):
            found = poll(0)
        return found


class TimedPolicy(asyncio.DefaultEventLoopPolicy):
    """Makes ``asyncio.run`` use a ``TimedLoop`` on such a selector (None: the system's)."""

    def __init__(self, selector: Callable[[], selectors.BaseSelector] | None = None) -> None:
        super().__init__()
        self._selector = selector

    def new_event_loop(self) -> TimedLoop:
        return TimedLoop(None if self._selector is None else self._selector())
