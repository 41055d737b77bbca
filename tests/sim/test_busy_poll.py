"""An event loop that never sleeps: what it does, and who gets it."""

from __future__ import annotations

import asyncio
import selectors
import socket
from typing import Any

import pytest

from sim.live.busy_poll import BusyLoop, BusyPoll
from sim.live.setup import Setup


def test_timers_sockets_and_threads_work_without_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """No call of the system's ``select`` may wait: each has no time at all."""
    asked: list[float | None] = []
    plain = selectors.DefaultSelector.select

    def noted(self: Any, timeout: float | None = None) -> Any:
        asked.append(timeout)
        return plain(self, timeout)

    monkeypatch.setattr(selectors.DefaultSelector, "select", noted)

    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        order: list[Any] = []
        loop.call_later(0.02, order.append, "second")
        loop.call_later(0.01, order.append, "first")
        loop.call_later(0.03, theirs.send, b"bytes")
        order.append(await loop.sock_recv(ours, 10))
        order.append(await asyncio.to_thread(lambda: "from a thread"))
        ours.close()
        theirs.close()
        return order

    loop = BusyLoop()
    try:
        assert loop.run_until_complete(main()) == ["first", "second", b"bytes", "from a thread"]
    finally:
        loop.close()
    assert set(asked) == {0}


def test_select_returns_when_its_time_is_over() -> None:
    with BusyPoll() as poll:
        assert poll.select(0.001) == poll.select(0) == poll.select(-1) == []


@pytest.mark.parametrize(
    ("mode", "says", "gets"), [("live", True, True), ("live", False, False), ("paper", True, False)]
)
def test_only_a_live_run_that_says_so_gets_it(mode: Any, says: bool, gets: bool) -> None:
    from sim.config_live import LiveConfig

    setup = object.__new__(Setup)
    setup.mode = mode
    setup.config = type("Config", (), {"live": LiveConfig(busy_poll=says)})()  # type: ignore[assignment]
    assert setup.busy_poll is gets
