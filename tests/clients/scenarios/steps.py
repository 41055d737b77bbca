"""What the scenario scripts share: named steps, each with what it saw or how it failed, printed as one line of JSON.

The scripts run in the clients' own environments (standard library and the client only) as ``python SCRIPT JSON``, where
JSON is an object: ``http`` and ``ws`` (base addresses), ``key secret address`` of an account, ``second`` (another one)
and ``symbol``. Nothing is judged here: the tests judge what is printed.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

STEP_SECONDS = 30.0


class Steps:
    """Runs the steps of a scenario and keeps what each returned. A failed step does not end the scenario."""

    def __init__(self) -> None:
        self.seen: dict[str, dict[str, Any]] = {}

    def take(self, step: Callable[[], Any]) -> Any:
        """Run one step now (its name is the function's); None if it failed."""
        begun = time.monotonic()
        try:
            saw = step()
        except Exception as error:
            self._fail(step.__name__, error, begun)
            return None
        return self._keep(step.__name__, saw, begun)

    async def wait(self, step: Callable[[], Awaitable[Any]], seconds: float = STEP_SECONDS) -> Any:
        """The same for an asynchronous step; one that takes longer than ``seconds`` has failed."""
        begun = time.monotonic()
        try:
            saw = await asyncio.wait_for(step(), seconds)
        except Exception as error:
            self._fail(step.__name__, error, begun)
            return None
        return self._keep(step.__name__, saw, begun)

    def _keep(self, name: str, saw: Any, begun: float) -> Any:
        self.seen[name] = {"ok": True, "saw": saw, "seconds": round(time.monotonic() - begun, 3)}
        return saw

    def _fail(self, name: str, error: Exception, begun: float) -> None:
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {error} ({where.filename.rsplit('/', 1)[-1]}:{where.lineno})"
        self.seen[name] = {"ok": False, "error": text[:600], "seconds": round(time.monotonic() - begun, 3)}

    def report(self) -> None:
        print(json.dumps(self.seen, default=str), flush=True)


def setting() -> dict[str, Any]:
    """What the test handed over."""
    return dict(json.loads(sys.argv[1]))


def refusal(call: Callable[[], Any]) -> dict[str, str]:
    """How the client reports that a call was refused; an answer instead is an error."""
    try:
        answer = call()
    except Exception as error:
        return told(error)
    raise AssertionError(f"not refused: {answer!r}")


async def refusal_of(call: Awaitable[Any]) -> dict[str, str]:
    try:
        answer = await call
    except Exception as error:
        return told(error)
    raise AssertionError(f"not refused: {answer!r}")


def told(error: Exception) -> dict[str, str]:
    """An exception's type, and its text with whatever attributes the client put the venue's answer into."""
    parts = [str(error)] + [f"{name}={value}" for name, value in sorted(vars(error).items())]
    return {"type": type(error).__name__, "text": " ".join(parts)[:500]}


async def until(condition: Callable[[], Any], seconds: float = STEP_SECONDS, pause: float = 0.02) -> Any:
    """The condition's first true value; TimeoutError if there is none in time."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError("what was waited for did not come")
        await asyncio.sleep(pause)


def until_now(condition: Callable[[], Any], seconds: float = STEP_SECONDS) -> Any:
    """The same for a client that blocks."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError("what was waited for did not come")
        time.sleep(0.02)


class Watchers:
    """What a ccxt client's ``watch`` methods have told, by kind."""

    def __init__(self) -> None:
        self.told: dict[str, list[Any]] = {}
        self.tasks: list[asyncio.Task[None]] = []

    def watch(self, kind: str, call: Callable[[], Any]) -> None:
        """Call it again and again."""
        rows = self.told.setdefault(kind, [])

        async def forever() -> None:
            while True:
                got = await call()
                rows.extend(dict(row) for row in (got if isinstance(got, list) else [got]))  # ccxt changes its rows

        self.tasks.append(asyncio.ensure_future(forever()))

    def watch_account(self, client: Any, symbol: str) -> None:
        """Orders, fills and positions."""
        self.watch("orders", lambda: client.watch_orders(symbol))
        self.watch("fills", lambda: client.watch_my_trades(symbol))
        self.watch("positions", lambda: client.watch_positions([symbol]))

    async def failures(self) -> list[str]:
        """Of those that have failed at once, why."""
        await asyncio.sleep(0.7)
        return [str(task.exception()) for task in self.tasks if task.done()]

    def has_order(self, order_id: str, status: str) -> bool:
        """Whether an order was told with this status."""
        return any(row["id"] == order_id and row["status"] == status for row in self.told["orders"])

    def has_fill(self, order_id: str) -> bool:
        """Whether a fill of an order was told."""
        return any(row["order"] == order_id for row in self.told["fills"])
