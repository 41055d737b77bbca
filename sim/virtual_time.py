"""Virtual time: an event loop whose clock jumps to the next instant at which anything is due.

Theory of operation. All shells of paper, live, recorder and emulator take time from a ``Clock`` port and wait with
``clock.sleep_ns``. Here both come from one ``VirtualTime``: while something is ready to run no time passes, and when
nothing is, the clock jumps to the earliest instant that somebody waits for, exactly, in integer nanoseconds. Waiting
that asyncio does for itself (``asyncio.timeout``, ``call_later``) is virtual too. So days of paper trading against an
emulator in memory run in seconds, and twice the same way: whatever is due at one instant runs in the order in which it
was asked for.

Threads still run in real time. What they finish is looked at before every jump, and when nothing virtual is due the
loop waits for them; a loop in which nobody is left to wake anybody raises ``StalledError`` instead of hanging. Where
real time must not become virtual (a socket that is not read while a disk catches up), ``standing`` stops the clock.
"""

from __future__ import annotations

import asyncio
import heapq
import selectors
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final, TypeVar

THREADS_SECONDS: Final = 120.0  # how long threads (a busy disk) may take while nothing else is due
NS: Final = 10**9
T = TypeVar("T")


class StalledError(RuntimeError):
    """Every task waits for something that nothing will bring about."""


class VirtualTime:
    """A ``Clock`` that begins at ``start_ns`` (UTC) and moves only by ``run``'s loop."""

    def __init__(self, start_ns: int) -> None:
        self._start_ns = start_ns
        self._elapsed_ns = 0
        self._count = 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self.holds = 0  # how many wait for a thread while the clock stands

    def wall_ns(self) -> int:
        """Nanoseconds UTC."""
        return self._start_ns + self._elapsed_ns

    def monotonic_ns(self) -> int:
        """Nanoseconds since the beginning, and one: 0 stands for "never" here and there."""
        return self._elapsed_ns + 1

    async def sleep_ns(self, duration_ns: int) -> None:
        """Wait until the clock is exactly so much later (0 or less: let others run)."""
        if duration_ns <= 0:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._waiting, (self._elapsed_ns + duration_ns, self._count, future))
        await future

    async def standing(self, done: Awaitable[T]) -> T:
        """Wait for what a thread brings about; no time passes until then."""
        self.holds += 1
        try:
            return await done
        finally:
            self.holds -= 1

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end in virtual time. Raises what it raises, and ``StalledError``."""
        with asyncio.Runner(loop_factory=lambda: _JumpingLoop(self)) as runner:
            return runner.run(main)

    # -- for the loop

    def next_ns(self) -> int | None:
        """Nanoseconds until the first sleeper is due, None if nobody sleeps."""
        while self._waiting and self._waiting[0][2].done():  # cancelled
            heapq.heappop(self._waiting)
        return self._waiting[0][0] - self._elapsed_ns if self._waiting else None

    def jump(self, duration_ns: int) -> None:
        """Move on and wake whoever is due."""
        self._elapsed_ns += duration_ns
        while self._waiting and self._waiting[0][0] <= self._elapsed_ns:
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                future.set_result(None)

    def seconds(self) -> float:
        """What asyncio's own timers count in."""
        return self._elapsed_ns / NS


class _JumpingSelector(selectors.BaseSelector):
    """A selector that jumps where another would wait."""

    def __init__(self, clock: VirtualTime) -> None:
        self._clock = clock
        self._real = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = self._real.select(0)
        if found or (timeout is not None and timeout <= 0):
            return found
        own_ns = None if timeout is None else max(1, -int(-timeout * NS // 1))
        next_ns = self._clock.next_ns()
        if self._clock.holds or (next_ns is None and own_ns is None):
            found = self._real.select(THREADS_SECONDS)
            if not found:
                raise StalledError("every task waits, and nothing is due: a peer or a thread has stopped answering")
            return found
        self._clock.jump(min(ns for ns in (next_ns, own_ns) if ns is not None))
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def close(self) -> None:
        self._real.close()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()


class _JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time."""

    def __init__(self, clock: VirtualTime) -> None:
        super().__init__(_JumpingSelector(clock))
        self.time: Callable[[], float] = clock.seconds
