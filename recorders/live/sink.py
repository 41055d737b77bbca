"""The queue between the sockets and the disk: bounded in bytes, emptied by a thread of its own.

The event loop collects records in lists and hands over whole lists (a lock and a wake-up for hundreds of records, not
for each). The thread appends them to the writer, which compresses, writes and syncs outside the interpreter's lock. A
disk that fails ends the thread; ``failure`` then says why, and the owner is woken.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Final, Protocol

from recorders.raw import RawRecord
from venues.ports import Clock

RECORD_BYTES: Final = 200  # what a waiting record costs beside its payload
BATCH_RECORDS: Final = 512
BATCH_BYTES: Final = 256 << 10
BATCHES_MAX: Final = 1 << 16
IDLE_SECONDS: Final = 0.05

Row = tuple[int, int, int, int, bytes]  # kind, connection, wall_ns, mono_ns, payload


class Writer(Protocol):
    """Where records go (``recorders.raw.RawWriter``)."""

    def append(self, kind: int, connection: int, wall_ns: int, mono_ns: int, payload: bytes) -> int: ...

    def tick(self, mono_ns: int) -> None: ...

    def close(self, why: str = "closed") -> None: ...


class Sink:
    """Takes records on the event loop's thread, writes them on its own."""

    def __init__(self, writer: Writer, clock: Clock, limit_bytes: int, on_failure: Callable[[], None]) -> None:
        self._writer = writer
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._limit_bytes = limit_bytes
        self._on_failure = on_failure
        self._batch: list[Row] = []
        self._batch_bytes = 0
        self._batches: queue.Queue[tuple[list[Row], int] | None] = queue.Queue(maxsize=BATCHES_MAX)
        self._taken_bytes = 0  # this thread's count, and below the writing thread's
        self._done_bytes = 0
        self._waiters: list[asyncio.Future[None]] = []  # at most one a connection
        self._why = ""
        self.failure: Exception | None = None
        self.peak_bytes = 0
        self.records = 0
        self._thread = threading.Thread(target=self._write, name="recording", daemon=True)
        self._thread.start()

    @property
    def waiting_bytes(self) -> int:
        """What has been taken and is not written yet."""
        return self._taken_bytes + self._batch_bytes - self._done_bytes

    @property
    def limit_bytes(self) -> int:
        """What may wait."""
        return self._limit_bytes

    def put(self, kind: int, connection: int, wall_ns: int, mono_ns: int, payload: bytes) -> bool:
        """Take a record. Returns False when the queue is full: what comes next has to wait, or to be dropped."""
        self._batch.append((kind, connection, wall_ns, mono_ns, payload))
        self._batch_bytes += len(payload) + RECORD_BYTES
        return self._has_room()

    def _has_room(self) -> bool:
        if self._batch_bytes >= BATCH_BYTES or len(self._batch) >= BATCH_RECORDS:
            self.flush()
        return self._taken_bytes + self._batch_bytes - self._done_bytes <= self._limit_bytes

    def flush(self) -> None:
        """Hand over what was collected; later, while the writer does not move at all."""
        if self._batch and self.failure is None and not self._batches.full():
            self._taken_bytes += self._batch_bytes
            self.records += len(self._batch)
            self._batches.put_nowait((self._batch, self._batch_bytes))
            self._batch, self._batch_bytes = [], 0
            self.peak_bytes = max(self.peak_bytes, self._taken_bytes - self._done_bytes)

    def is_full(self) -> bool:
        """Whether there is no room."""
        return self.waiting_bytes > self._limit_bytes

    def is_relaxed(self) -> bool:
        """Whether half of the room is free."""
        return self.waiting_bytes <= self._limit_bytes // 2

    async def room(self) -> None:
        """Wait until half of the room is free, or the writer has failed."""
        while self.failure is None and not self.is_relaxed():
            self.flush()
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            if self.is_relaxed():  # the writer was quicker
                break
            await waiter

    async def close(self, why: str) -> None:
        """Write the rest, seal the recording. Raises what the writer raised."""
        self.flush()
        self._why = why
        if self._thread.is_alive():
            self._batches.put_nowait(None)
        await asyncio.to_thread(self._thread.join)
        if self.failure is not None:
            raise self.failure

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _write(self) -> None:
        try:
            self._write_all()
        except Exception as error:
            self.failure = error
        self._call(self._wake)
        if self.failure is not None:
            self._call(self._on_failure)

    def _write_all(self) -> None:
        append, tick, now_ns = self._writer.append, self._writer.tick, self._clock.monotonic_ns
        while True:
            try:
                found = self._batches.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                tick(now_ns())
                continue
            if found is None:
                break
            batch, batch_bytes = found
            for row in batch:
                append(*row)
            tick(now_ns())
            self._done_bytes += batch_bytes
            if self._waiters and self.is_relaxed():
                self._call(self._wake)
        self._writer.close(self._why)

    def _call(self, function: Callable[[], None]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function)


class TappedSink(Sink):
    """A sink that also hands every record to a listener, in the same order and with the same stamps, on the event
    loop's thread. Numbers count as the writer's do. What the listener raises comes out of ``put``."""

    def __init__(
        self,
        writer: Writer,
        clock: Clock,
        limit_bytes: int,
        on_failure: Callable[[], None],
        listener: Callable[[RawRecord], None],
    ) -> None:
        super().__init__(writer, clock, limit_bytes, on_failure)
        self._listener = listener
        self._seq = 0

    def put(self, kind: int, connection: int, wall_ns: int, mono_ns: int, payload: bytes) -> bool:
        """Take a record; its listener hears of it at once."""
        self._batch.append((kind, connection, wall_ns, mono_ns, payload))
        self._batch_bytes += len(payload) + RECORD_BYTES
        self._seq += 1
        self._listener(RawRecord(self._seq, kind, connection, wall_ns, mono_ns, payload))
        return self._has_room()  # the writer is woken when the listener has been served
