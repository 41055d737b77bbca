"""The Hyperliquid trading session in its connector against the emulator with a simulated venue, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from matching import codes
from matching.triggers import Trigger
from sim.serve.memory import MemoryWire
from sim.serve.serving import Options, make_host
from sim.serve.setup import Choice
from sim.virtual_time import VirtualTime
from venues.connector import Connector
from venues.hyperliquid.trading import HyperliquidTrading
from venues.orders import AmendRequest, CancelAllRequest, CancelRequest, OrderRequest, SettingChanged, SettingRequest
from venues.ports import CountingEntropy
from venues.trading import AccountState, NotReady
from venues.trading_sessions import Keys, TradingWanted

START_NS = 1_774_267_200_000_000_000


class Gateway:
    """Who listens, and gives commands by hand."""

    def __init__(self, wire: MemoryWire, clock: VirtualTime, served: Any, *, agent: bool = True, key: str = "") -> None:
        account = served.accounts[0]
        own, other = account.credentials
        self.clock = clock
        self.events: list[Any] = []
        self.remarks: list[str] = []
        self.defects: list[BaseException] = []
        self.instrument = served.engine.instruments[0]
        wanted = TradingWanted(
            "hyperliquid", 0, {0: self.instrument}, "e2e", Keys("", key or (other if agent else own).secret),
            rest="http://127.0.0.1:9", ws="ws://127.0.0.1:9", address=own.address if agent else "",
        )  # fmt: skip
        self.session = HyperliquidTrading(wanted, CountingEntropy())
        self.connector = Connector(self.session, wire, clock, CountingEntropy(), self)
        self.engine = served.engine

    def on_events(self, events: list[Any], now: Any) -> None:
        self.events += events

    def on_remark(self, venue: str, text: str) -> None:
        self.remarks.append(text)

    def on_connection(self, venue: str, connection: str, is_open: bool, why: str) -> None:
        pass

    def on_defect(self, error: BaseException) -> None:
        self.defects.append(error)

    async def wait(self, seconds: int = 2) -> None:
        await self.clock.sleep_ns(seconds * 10**9)

    async def order(self, number: int, **changes: Any) -> list[str]:
        fields: dict[str, Any] = {"side": codes.BUY, "lots": 100, "ticks": self.at(90)}
        request = OrderRequest(account=0, instrument=0, order_no=number, **fields | changes)
        return await self.do(number, lambda now: self.session.submit([request], now))

    async def do(self, number: int, command: Callable[[Any], None]) -> list[str]:
        now = self.connector.now()
        command(now)
        self.connector.flush(now)
        await self.wait()
        return self.kinds(number)

    def at(self, percent: int) -> int:
        """A price on the grid at this part of the best bid."""
        book = self.engine.book(0, 1)
        return self.instrument.grid_at_most(book.bids[0][0] * percent // 100)

    def of(self, number: int) -> list[Any]:
        return [event for event in self.events if getattr(event, "order_no", 0) == number]

    def kinds(self, number: int) -> list[str]:
        return [type(event).__name__ for event in self.of(number)]


def play(scenario: Callable[[Gateway], Awaitable[None]], **changes: Any) -> Gateway:
    clock = VirtualTime(START_NS)
    choice = Choice("hyperliquid", "synth:calm", ("BTC",), latency="10ms")
    host, served = make_host(choice, Options(), clock, CountingEntropy())

    made: list[Gateway] = []

    async def main() -> None:
        wire = MemoryWire(host, clock)
        driving = asyncio.ensure_future(wire.drive())
        gateway = Gateway(wire, clock, served, **changes)
        made.append(gateway)
        gateway.connector.start()
        await gateway.wait(3)
        await scenario(gateway)
        await gateway.connector.stop()
        driving.cancel()
        await wire.close()

    clock.run(main())
    assert made[0].defects == []
    return made[0]


@pytest.mark.parametrize("agent", [True, False])
def test_orders_of_every_kind(agent: bool) -> None:
    async def scenario(g: Gateway) -> None:
        assert g.session.is_ready, g.remarks
        assert await g.order(1) == ["Accepted"]
        assert await g.do(1, lambda now: g.session.amend([_amend(g, 1, 89)], now)) == ["Accepted", "Amended"]
        assert await g.do(1, lambda now: g.session.cancel([_cancel(1)], now)) == ["Accepted", "Amended", "Canceled"]
        kinds = await g.order(2, type=codes.MARKET, ticks=0)
        assert kinds[0] == "Accepted" and set(kinds[1:]) == {"Filled"}
        assert sum(event.lots for event in g.of(2)[1:]) == 100 and g.of(2)[-1].leaves_lots == 0
        assert await g.order(3, tif=codes.IOC) == ["Accepted", "Expired"]
        assert await g.order(4, tif=codes.GTX, ticks=g.at(103)) == ["Rejected"]
        assert (g.of(4)[0].reason, g.of(4)[0].text != "") == (codes.R_POST_ONLY, True)
        stop = Trigger(codes.TRIGGER_STOP, g.at(80))
        kinds = await g.order(5, side=codes.SELL, trigger=stop, type=codes.MARKET, ticks=0, reduce_only=True)
        assert kinds == ["Held"]
        assert await g.do(5, lambda now: g.session.cancel([_cancel(5)], now)) == ["Held", "Canceled"]
        assert await g.order(6) == ["Accepted"]
        everything = CancelAllRequest(account=0, instrument=0)
        assert await g.do(6, lambda now: g.session.cancel_all(everything, now)) == ["Accepted", "Canceled"]
        for event in g.events:
            if hasattr(event, "order_no"):
                assert event.ts_event_ns > 0, event  # the streams come before the answers, with the venue's time

    g = play(scenario, agent=agent)
    assert [state.is_first for state in g.events if isinstance(state, AccountState)] == [True]


def _amend(g: Gateway, number: int, percent: int) -> AmendRequest:
    return AmendRequest(account=0, instrument=0, order_no=number, ticks=g.at(percent), lots=90)


def _cancel(number: int) -> CancelRequest:
    return CancelRequest(account=0, instrument=0, order_no=number)


def test_refusals_and_settings() -> None:
    async def scenario(g: Gateway) -> None:
        await g.order(1, ticks=g.at(90) // 10 * 10 + 1)
        await g.order(2, lots=1)
        await g.order(3, lots=100_000_000)
        await g.order(4, reduce_only=True)
        await g.do(9, lambda now: g.session.cancel([_cancel(9)], now))
        found = [(type(g.of(n)[0]).__name__, g.of(n)[0].reason) for n in (1, 2, 3, 4, 9)]
        assert found == [
            ("Rejected", codes.R_TICK_SIZE), ("Rejected", codes.R_MIN_NOTIONAL), ("Rejected", g.of(3)[0].reason),
            ("Rejected", codes.R_REDUCE_ONLY), ("CancelRejected", codes.R_UNKNOWN_ORDER),
        ]  # fmt: skip
        assert g.of(3)[0].reason in (codes.R_MARGIN, codes.R_MAX_VALUE, codes.R_MAX_POSITION, codes.R_LEVERAGE)
        for number, (setting, value) in enumerate(((codes.SETTING_LEVERAGE, 5), (codes.SETTING_DEAD_MAN, 10**10)), 1):
            request = SettingRequest(account=0, instrument=0, number=number, setting=setting, value=value)
            await g.do(0, lambda now, request=request: g.session.change(request, now))  # type: ignore[misc]
        assert [event.number for event in g.events if isinstance(event, SettingChanged)] == [1, 2]

    play(scenario)


def test_a_wrong_key_is_found_at_the_start() -> None:
    async def scenario(g: Gateway) -> None:
        assert not g.session.is_ready
        [report] = [event for event in g.events if isinstance(event, NotReady)]
        assert "does not exist" in report.text

    play(scenario, key="0x" + "77" * 32)
