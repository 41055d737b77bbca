"""Running a session in this process: the event loop, the real ports, signals. And the two functions for Python.

A session runs in an event loop of its own, so it cannot be started from inside another one. Signals reach it in the
main thread only; in another thread the strategy (``ctx.stop``) or ``[record] limit`` ends it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from sim.backtest import Result, Strategies
from sim.config import RunConfig
from sim.live import rehearsals
from sim.live.busy_poll import BusyLoop
from sim.live.runner import Session
from sim.live.setup import Mode, Ports, Setup, prepare
from sim.session_process import ending_signals, prompt
from venues.errors import LocalError
from venues.ports import Clock, SystemClock, SystemEntropy, SystemFiles
from venues.transport import AiohttpWire

SAME_NS: Final = 300_000_000  # signals so close are one: timeout(1) and shells send theirs to the process and its group
Source = str | Path | Mapping[str, Any] | RunConfig
Show = Callable[[dict[str, Any]], None]


class Collections:
    """How long the garbage collector stops us: the longest time since it was last asked for."""

    def __init__(self, clock: Clock) -> None:
        self._mono = clock.monotonic_ns
        self._since_ns = self._longest_ns = 0

    def __call__(self, phase: str, info: object) -> None:
        """What ``gc.callbacks`` calls before and after."""
        now_ns = self._mono()
        if phase == "start":
            self._since_ns = now_ns
        else:
            self._longest_ns = max(self._longest_ns, now_ns - self._since_ns)

    def take_ms(self) -> float:
        """The longest since the last call, in milliseconds."""
        longest_ns, self._longest_ns = self._longest_ns, 0
        return round(longest_ns / 1e6, 3)


class EndedAtOnceError(LocalError):
    """A second signal ended a session that was still ending: orders may be open, the run folder is not finished."""


def run_session(
    setup: Setup, show: Show = lambda status: None, began: Callable[[Session], None] = lambda session: None
) -> Result:
    """Run a session until a signal, its strategy, its limit or an error ends it. Not inside a running event loop."""
    with contextlib.suppress(RuntimeError):
        asyncio.get_running_loop()  # raises where none is running, which is as it should be
        raise LocalError(
            "a session cannot be started where an event loop is running (a notebook's, say): start it as a script, or "
            f"in a thread of its own (await asyncio.to_thread(perpsim.{setup.mode}, ...))"
        )
    collections = Collections(SystemClock())
    gc.callbacks.append(collections)

    def shown(status: dict[str, Any]) -> None:
        show({**status, "interval_gc_ms": collections.take_ms()})

    with prompt():
        try:
            with asyncio.Runner(loop_factory=BusyLoop if setup.busy_poll else None) as runner:
                return runner.run(_run(setup, shown, began))
        finally:
            gc.callbacks.remove(collections)


async def _run(setup: Setup, show: Show, began: Callable[[Session], None]) -> Result:
    wire = AiohttpWire(setup.record.frame_bytes)
    ports = Ports(SystemClock(), SystemEntropy(), SystemFiles(), wire, AiohttpWire())
    session = Session(setup, ports, show)
    began(session)
    main = asyncio.current_task()
    assert main is not None
    first_ns: int | None = None

    def on_signal(number: signal.Signals) -> None:
        nonlocal first_ns
        now_ns = ports.clock.monotonic_ns()
        if first_ns is None:
            first_ns = now_ns
            session.stop(f"stopped by {number.name}")
        elif now_ns - first_ns >= SAME_NS:
            main.cancel()

    loop = asyncio.get_running_loop()
    for number in ending_signals() if threading.current_thread() is threading.main_thread() else ():
        loop.add_signal_handler(number, on_signal, number)
    end_rehearsals = rehearsals.start(setup, ports, session, loop)
    try:
        return await session.execute()
    except asyncio.CancelledError:
        raise EndedAtOnceError(
            "a second signal ended the session at once: orders may still be open at the venue, and the run folder "
            "has no report"
        ) from None
    finally:
        end_rehearsals()


def paper(config: Source, strategy: Strategies | None = None, **options: Any) -> Result:
    """``perpsim paper`` from Python: a strategy on a live feed against the simulated venue, until a signal, the
    strategy (``ctx.stop``) or ``[record] limit`` ends it. ``options``: ``overrides``, ``seed``, ``out``, ``html``."""
    return _session("paper", config, strategy, options)


def live(config: Source, strategy: Strategies | None = None, **options: Any) -> Result:
    """``perpsim live`` from Python: real orders, so both ``[live] enabled = true`` in the run file and
    ``yes_real_orders=True`` here. ``shadow=True``: with the simulator beside. Other ``options`` as for ``paper``."""
    return _session("live", config, strategy, options)


def _session(mode: Mode, config: Source, strategy: Strategies | None, options: dict[str, Any]) -> Result:
    return run_session(prepare(mode, config, SystemClock(), os.environ, strategy, **options))
