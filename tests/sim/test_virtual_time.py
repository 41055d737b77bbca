"""Virtual time: exact instants, one order, no waiting."""

from __future__ import annotations

import asyncio
import threading

import pytest

from sim.virtual_time import StalledError, VirtualTime

DAY_NS = 86_400 * 10**9


def test_sleepers_wake_at_their_instant_in_the_order_in_which_they_asked() -> None:
    clock = VirtualTime(10**18)
    woken: list[tuple[str, int]] = []

    async def sleeper(name: str, *durations: int) -> None:
        for duration in durations:
            await clock.sleep_ns(duration)
            woken.append((name, clock.wall_ns() - 10**18))

    async def main() -> None:
        await asyncio.gather(sleeper("a", 5, 10), sleeper("b", 5, DAY_NS), sleeper("c", 3, 2))

    clock.run(main())
    assert woken == [("c", 3), ("a", 5), ("b", 5), ("c", 5), ("a", 15), ("b", 5 + DAY_NS)]


def test_asyncios_own_timers_are_virtual_too() -> None:
    clock = VirtualTime(0)

    async def main() -> int:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await asyncio.get_running_loop().create_future()
        await asyncio.sleep(7200)
        return clock.wall_ns()

    assert clock.run(main()) >= 3 * 3600 * 10**9


def test_a_cancelled_sleeper_moves_nothing() -> None:
    clock = VirtualTime(0)

    async def main() -> int:
        task = asyncio.create_task(clock.sleep_ns(DAY_NS))
        await clock.sleep_ns(1)
        task.cancel()
        await clock.sleep_ns(1)
        return clock.wall_ns()

    assert clock.run(main()) == 2


def test_threads_are_waited_for_and_no_time_passes_meanwhile() -> None:
    clock = VirtualTime(0)
    begun = threading.Event()

    async def main() -> int:
        loop = asyncio.get_running_loop()
        begun.set()
        await loop.run_in_executor(None, begun.wait)
        return clock.monotonic_ns()

    assert clock.run(main()) == 1


def test_the_clock_stands_while_somebody_waits_for_a_thread() -> None:
    clock = VirtualTime(0)

    async def thread(loop: asyncio.AbstractEventLoop, done: asyncio.Future[None]) -> int:
        threading.Timer(0.05, lambda: loop.call_soon_threadsafe(done.set_result, None)).start()
        await clock.standing(done)
        return clock.monotonic_ns()

    async def main() -> tuple[int, int]:
        loop = asyncio.get_running_loop()
        waiting = asyncio.create_task(thread(loop, loop.create_future()))
        await clock.sleep_ns(5)  # due long before the thread is done
        return await waiting, clock.monotonic_ns()

    assert clock.run(main()) == (1, 1 + 5)


def test_what_cannot_go_on_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.virtual_time.THREADS_SECONDS", 0.01)

    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(StalledError, match="nothing is due"):
        VirtualTime(0).run(main())
