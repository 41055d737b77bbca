"""Rehearsals of orders: they go the whole way, leave nothing behind, and are for live sessions that want them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sim.config_live import LiveConfig
from sim.live.gateway import SUBMIT
from sim.live.rehearsal import Rehearsal
from sim.live.rehearsals import orders_of
from sim.live.setup import Setup
from venues import known_instrument
from venues.ports import CountingEntropy, SystemClock, VirtualClock
from venues.trading_orders import ENDED, OPEN, SENT
from venues.trading_sessions import Keys, TradingWanted

SYMBOLS = {"binance_usdm": "BTCUSDT", "binance_coinm": "BTCUSD_PERP"}


async def made(venue: str = "binance_usdm", clock: Any = None) -> Rehearsal:
    rehearsal = Rehearsal(venue, known_instrument(venue, SYMBOLS[venue]), clock or SystemClock(), CountingEntropy())
    await asyncio.sleep(0)
    return rehearsal


def planned(mode: Any, every: Any, venue: str) -> tuple[Setup, Any]:
    setup = object.__new__(Setup)
    setup.mode = mode
    setup.config = type("Config", (), {"live": LiveConfig(rehearse=every)})()  # type: ignore[assignment]
    instrument = known_instrument("binance_usdm", "BTCUSDT")
    setup.trading = {0: TradingWanted(venue, 0, {0: instrument}, "run1", Keys("key", "secret"))}
    return setup, type("Ports", (), {"clock": SystemClock(), "entropy": CountingEntropy()})


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("venue", SYMBOLS)
def test_an_order_goes_the_whole_way_as_the_session_itself_sends_it(venue: str, is_stream: bool) -> None:
    async def main() -> None:
        rehearsal = await made(venue)
        rehearsal.command(SUBMIT)
        session: Any = rehearsal.stage.session
        assert session.desk.orders[1].stage == SENT
        assert not session.desk.actions  # it left at once
        answers = rehearsal.answers()
        assert len(answers) == 2
        rehearsal.hear(*answers[is_stream])
        assert rehearsal.core.told == 1 and session.desk.orders[1].stage == OPEN
        rehearsal.hear(*answers[not is_stream])
        assert rehearsal.core.told == 1
        rehearsal.hear(*rehearsal.stage.fill())
        assert rehearsal.core.told == 2 and session.desk.orders[1].stage == ENDED

    asyncio.run(main())


def test_nothing_is_left_of_many() -> None:
    def sizes(thing: Any, depth: int = 4) -> dict[str, int]:
        """The lengths of the containers that are reached from here."""
        found: dict[str, int] = {}
        fields = getattr(thing, "__dict__", None) or {name: getattr(thing, name, None) for name in slots(thing)}
        for name, value in fields.items():
            if hasattr(value, "__len__") and not isinstance(value, (str, bytes)):
                found[name] = len(value)
            elif depth and type(value).__module__.startswith(("venues", "sim")):
                found |= {f"{name}.{inner}": size for inner, size in sizes(value, depth - 1).items()}
        return found

    def slots(thing: Any) -> list[str]:
        return [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]

    async def main() -> None:
        rehearsal = await made()
        for _ in range(5_000):  # the gateway remembers 4,096 orders
            rehearsal.walk()
        before = sizes(rehearsal)
        assert "stage.session.desk.orders._tracks" in before and "_gateway._inbox" in before
        for _ in range(100):
            rehearsal.walk()
        after = sizes(rehearsal)
        grown = {name: (before[name], size) for name, size in after.items() if size > before[name]}
        assert not {name for name in grown if "_masks" not in name}, grown  # masks are fetched many at a time

    asyncio.run(main())


def test_one_that_fails_is_said_and_is_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, str]] = []

    async def main() -> None:
        clock = VirtualClock(10**18)
        rehearsal = await made(clock=clock)
        answers = rehearsal.answers
        monkeypatch.setattr(rehearsal, "answers", lambda: answers() if rehearsal.core.told < 2 else [])
        await rehearsal.repeat(5, lambda level, text: said.append((level, text)))
        assert clock.now_ns == 10**18 + 10  # the first was good

    asyncio.run(main())
    why = "RuntimeError: a rehearsed order was not opened and ended"
    assert said == [("warning", f"orders are not rehearsed any more: {why}")]


@pytest.mark.parametrize(
    ("mode", "every", "venue", "count"),
    [
        ("live", "5ms", "binance_usdm", 1),
        ("live", 0, "binance_usdm", 0),
        ("paper", "5ms", "binance_usdm", 0),
        ("live", "5ms", "hyperliquid", 0),
    ],
)
def test_only_a_live_run_that_wants_them_gets_them(mode: Any, every: Any, venue: str, count: int) -> None:
    said: list[str] = []
    setup, ports = planned(mode, every, venue)

    async def main() -> int:
        return len(orders_of(setup, ports, lambda level, text: said.append(text)))

    assert asyncio.run(main()) == count and not said


def test_one_that_cannot_be_made_is_said_and_ends_no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: Any) -> int:
        raise PermissionError(1, "Operation not permitted")

    said: list[str] = []
    setup, ports = planned("live", "5ms", "binance_usdm")
    monkeypatch.setattr("os.memfd_create", refused, raising=False)

    async def main() -> int:
        return len(orders_of(setup, ports, lambda level, text: said.append(text)))

    assert asyncio.run(main()) == 0
    assert said == ["orders are not rehearsed: PermissionError: [Errno 1] Operation not permitted"]
