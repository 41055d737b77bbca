"""Which rehearsals a session has, and when their steps are due.

Theory of operation. What a process has not run for a millisecond is no longer in the processor's caches, whoever used
them meanwhile, and the first run after it takes ten times as long. On an event loop that never sleeps there is time to
run everything all the time: whenever nothing is ready, the next rehearsal in turn takes a step every ``IDLE_NS``, the
ways of orders and of market data by turns. On one that sleeps only orders are rehearsed, every ``[live] rehearse``.

A rehearsal that fails is said and left out: nothing depends on it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Final

from recorders.raw import RawRecord
from sim.live.busy_poll import BusyPoll
from sim.live.market_rehearsal import MarketRehearsal
from sim.live.rehearsal import Rehearsal
from sim.live.runner import Session
from sim.live.setup import Ports, Setup
from venues.instruments import Instrument
from venues.trading_sessions import STAGES

IDLE_NS: Final = 100_000
Say = Callable[[str, str], None]


class Turns:
    """Steps of rehearsals, one after the other."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._steps: deque[Callable[[], None]] = deque(maxlen=64)
        self.taken = 0

    def add(self, step: Callable[[], None]) -> None:
        """One more rehearsal."""
        self._steps.append(step)

    def next(self) -> None:
        """The next in turn takes a step."""
        if not self._steps:
            return
        step = self._steps[0]
        try:
            step()
        except Exception as error:
            self._steps.popleft()
            with contextlib.suppress(Exception):  # it would end the loop, and with it the session
                self._say("warning", f"what was rehearsed is not any more: {type(error).__name__}: {error}"[:500])
            return
        self.taken += 1
        self._steps.rotate(-1)


def orders_of(setup: Setup, ports: Ports, say: Say) -> list[Rehearsal]:
    """What rehearses the orders of a session: one for each venue of it that can be rehearsed."""
    found: list[Rehearsal] = []
    if setup.mode != "live" or not setup.live.rehearse:
        return found
    for wanted in setup.trading.values():
        if wanted.venue in STAGES:
            instrument = next(iter(wanted.instruments.values()))
            try:
                found.append(Rehearsal(wanted.venue, instrument, ports.clock, ports.entropy))
            except Exception as error:
                say("warning", f"orders are not rehearsed: {type(error).__name__}: {error}"[:500])
    return found


def start(setup: Setup, ports: Ports, session: Session, loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
    """Let them begin, in the event loop that runs. Returns what ends them."""
    rehearsed = orders_of(setup, ports, session.say)
    poll = getattr(loop, "poll", None)
    if not isinstance(poll, BusyPoll):
        tasks = [asyncio.create_task(one.repeat(setup.live.rehearse, session.say)) for one in rehearsed]

        def cancel() -> None:
            for task in tasks:
                task.cancel()

        return cancel

    turns = Turns(session.say)

    def on_sample(instruments: list[Instrument], records: list[RawRecord]) -> None:
        try:
            turns.add(MarketRehearsal(instruments, setup.sessions, records, ports.entropy).step)
        except Exception as error:
            session.say("warning", f"market data are not rehearsed: {type(error).__name__}: {error}"[:500])

    def end() -> None:
        poll.idle = None
        for one in rehearsed:
            one.close()

    if setup.live.rehearse:
        session.on_sample = on_sample
        turns.add(session.pass_time)
        for one in rehearsed:
            loop.call_soon(turns.add, one.walk)  # its socket needs a turn of the loop
        poll.idle, poll.idle_ns = turns.next, IDLE_NS
    return end
