"""Times a client at its sockets: when bytes were handed to it, and when its own last byte was written.

Used in every client's environment alike, so it needs the standard library alone. ``TimedLoop`` is asyncio's own event
loop, except that every connection's protocol and transport are wrapped: ``Marks`` keeps when ``data_received`` was
entered last, when ``write`` was called last and when it returned, by ``time.perf_counter_ns``: between the two lies the
kernel's send, which is the same for all. The event loop's selector and the socket's receive are not counted.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable
from typing import Any


class Marks:
    """The last instants, in ns of the performance counter; the beginning of what was read; the number of writes."""

    read_ns = 0
    head = b""
    handed_ns = 0
    written_ns = 0
    writes = 0


class _Transport:
    """A transport that notes when a write has returned; all else is the transport's own."""

    def __init__(self, transport: asyncio.Transport, marks: Marks) -> None:
        self._inner = transport
        self._write, self._writelines, self._marks = transport.write, transport.writelines, marks

    def write(self, data: Any) -> None:
        self._marks.handed_ns = time.perf_counter_ns()
        self._write(data)
        self._marks.written_ns = time.perf_counter_ns()
        self._marks.writes += 1

    def writelines(self, parts: Any) -> None:
        self._marks.handed_ns = time.perf_counter_ns()
        self._writelines(parts)
        self._marks.written_ns = time.perf_counter_ns()
        self._marks.writes += 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _timed(protocol: Any, marks: Marks) -> Any:
    """The same protocol object, with its two methods seen from outside."""
    connected, received = protocol.connection_made, protocol.data_received

    def data_received(data: bytes) -> None:
        marks.head = data[:64]
        marks.read_ns = time.perf_counter_ns()
        received(data)

    class _Protocol(asyncio.Protocol):
        timed: Any = None

        def connection_made(self, transport: Any) -> None:
            self.timed = _Transport(transport, marks)
            connected(self.timed)

        def data_received(self, data: bytes) -> None:
            data_received(data)

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
        self.marks = Marks()

    async def create_connection(self, protocol_factory: Callable[[], Any], *args: Any, **kwargs: Any) -> Any:
        made: list[Any] = []

        def factory() -> Any:
            made.append(protocol_factory())
            return _timed(made[0], self.marks)

        _, outer = await super().create_connection(factory, *args, **kwargs)
        return getattr(outer, "timed", None), made[0]


class Times:
    """Durations in ns of one kind of thing."""

    def __init__(self) -> None:
        self.ns: list[int] = []

    def summary(self) -> dict[str, float | int]:
        """Count, median, 99th percentile and greatest, in microseconds."""
        if not self.ns:
            return {"count": 0}
        ordered = sorted(self.ns)

        def at(share: float) -> float:
            return ordered[min(len(ordered) - 1, int(share * len(ordered)))] / 1000

        return {"count": len(ordered), "p50_us": at(0.5), "p99_us": at(0.99), "max_us": ordered[-1] / 1000}


now_ns = time.perf_counter_ns


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
    """Makes ``asyncio.run`` use a ``TimedLoop``; ``is_busy``: one that never sleeps."""

    def __init__(self, *, is_busy: bool = False) -> None:
        super().__init__()
        self._is_busy = is_busy

    def new_event_loop(self) -> TimedLoop:
        return TimedLoop(Busy() if self._is_busy else None)
