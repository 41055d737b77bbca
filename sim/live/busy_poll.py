"""An event loop that asks the sockets again and again instead of sleeping until one is ready.

A process that sleeps is woken late, on a core that has slowed down and whose caches hold other things by then. One that
never sleeps answers sooner and needs a core for itself: ``[live] busy_poll``.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import Any, Final

from venues.ports import SystemClock

SECOND: Final = 10**9


class BusyPoll(selectors.DefaultSelector):
    """The system's selector; ``select`` returns when something is ready or the time is over, and never sleeps."""

    def __init__(self) -> None:
        super().__init__()
        self._now_ns = SystemClock().monotonic_ns

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As ``selectors.BaseSelector.select``."""
        poll: Any = super().select
        found: list[tuple[selectors.SelectorKey, int]] = poll(0)
        if found or (timeout is not None and timeout <= 0):
            return found
        end_ns = None if timeout is None else self._now_ns() + int(timeout * SECOND)
        while not found and (end_ns is None or self._now_ns() < end_ns):
            found = poll(0)
        return found


def busy_loop() -> asyncio.AbstractEventLoop:
    """asyncio's own event loop on such a selector."""
    return asyncio.SelectorEventLoop(BusyPoll())
