"""Binance's trading session against the emulated venue over the simulated one: it says what the engine booked."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from matching import codes
from matching.triggers import Trigger
from sim.serve.serving import Options, make_host
from sim.serve.setup import Choice
from venues.emulation import Admit, Answer, Hangup, HttpRequest, Push
from venues.orders import (
    AmendRequest,
    BalanceChanged,
    CancelAllRequest,
    CancelRequest,
    Filled,
    OrderRequest,
    PositionChanged,
    Rejected,
    SettingRequest,
)
from venues.ports import CountingEntropy, VirtualClock
from venues.session_parts import SECOND, Reconnect, Reply, Send
from venues.trading import AccountState, Call, Event, NotReady, Now, Open
from venues.trading_sessions import Keys, TradingWanted, trading_session

START_NS = 1_790_000_000 * SECOND
MS = 1_000_000


class Trader:
    """A session whose wire is a host in simulated time."""

    def __init__(self, venue: str, symbol: str, secret: str = "") -> None:
        self.clock = VirtualClock(START_NS)
        choice = Choice(venue, "synth:calm", (symbol,), latency="5ms", seed=7, duration_ns=300 * SECOND)
        self.host, served = make_host(choice, Options(), self.clock, CountingEntropy())
        self.engine = served.engine
        keys = served.accounts[0].credentials[0]
        instrument = self.engine.instruments[0]
        wanted = TradingWanted(
            instrument.venue, 0, {0: instrument}, "run1", Keys(keys.key, secret or keys.secret),
            rest="http://127.0.0.1:1", ws="ws://127.0.0.1:1",
        )  # fmt: skip
        self.session = trading_session(wanted, CountingEntropy())
        self.clients: dict[int, str] = {}
        self.events: list[Event] = []
        self.session.start(self.now)

    @property
    def now(self) -> Now:
        return Now(self.clock.wall_ns(), self.clock.monotonic_ns() - START_NS + 1)

    def wait(self, span_ms: int) -> list[Event]:
        """Let time pass; the events of that time."""
        for step in range(span_ms):
            self._send()
            self.clock.advance_ns(MS)
            self.host.pump(self.clock.wall_ns())
            for deed in self.host.take_actions():
                self._hear(deed)
            if step % 50 == 0:
                self.session.on_tick(self.now)
        self.events += self.session.take_events()
        found, self.events = self.events, []
        return found

    def _send(self) -> None:
        wall_ns = self.clock.wall_ns()
        for action in self.session.take_actions():
            if isinstance(action, Call):
                parts = urlsplit(action.url)
                headers = {name.lower(): value for name, value in action.headers.items()}
                request = HttpRequest(action.method, parts.path, parts.query, headers, action.body, "client")
                self.host.request(action.number, request, wall_ns)
            elif isinstance(action, Open):
                parts = urlsplit(action.url)
                self.clients[len(self.clients) + 1] = action.connection
                request = HttpRequest("GET", parts.path, parts.query, {}, b"", "client")
                self.host.connect(len(self.clients), request, wall_ns)
            elif isinstance(action, Send):
                client = next(number for number, name in self.clients.items() if name == action.connection)
                self.host.frame(client, action.payload, wall_ns)
            assert not isinstance(action, Reconnect), action

    def _hear(self, deed: Any) -> None:
        if isinstance(deed, Answer):
            headers = {name.lower(): value for name, value in deed.headers.items()}
            self.session.on_reply(deed.number, Reply(deed.status, headers, deed.body), self.now)
        elif isinstance(deed, Admit):
            assert deed.status == 101
            self.session.on_open(self.clients[deed.client], self.now)
        elif isinstance(deed, Push):
            for client in deed.clients:
                self.session.on_frame(self.clients[client], deed.payload, self.now)
        assert not isinstance(deed, Hangup), deed


def order(number: int, ticks: int, **more: Any) -> OrderRequest:
    values: dict[str, Any] = {"account": 0, "instrument": 0, "order_no": number, "side": codes.BUY, "lots": 10}
    return OrderRequest(**(values | {"ticks": ticks} | more))


def names(events: list[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


@pytest.mark.parametrize(("venue", "symbol"), [("binance", "BTCUSDT"), ("binance_coinm", "BTCUSD_PERP")])
def test_what_the_session_says_is_what_the_engine_booked(venue: str, symbol: str) -> None:
    trader = Trader(venue, symbol)
    (state,) = trader.wait(1500)
    assert isinstance(state, AccountState) and state.is_first and trader.session.is_ready
    session, bid = trader.session, trader.engine.book(0, 1).bids[0][0]

    session.submit([order(1, bid - 500)], trader.now)
    assert names(trader.wait(100)) == ["Accepted"]
    session.amend([AmendRequest(account=0, instrument=0, order_no=1, ticks=bid - 600, lots=12)], trader.now)
    assert names(trader.wait(100)) == ["Amended"]
    session.cancel([CancelRequest(account=0, instrument=0, order_no=1)], trader.now)
    assert names(trader.wait(100)) == ["Canceled"]

    session.submit([order(2, 0, type=codes.MARKET)], trader.now)
    events = trader.wait(100)
    fills = [event for event in events if isinstance(event, Filled)]
    assert sum(fill.lots for fill in fills) == trader.engine.position(0, 0).lots == 10
    (position,) = [event for event in events if isinstance(event, PositionChanged)][-1:]
    (wallet,) = [event for event in events if isinstance(event, BalanceChanged)][-1:]
    assert position.position_lots == 10
    assert wallet.wallet_e8 == state.wallets_e8[wallet.asset] - sum(fill.fee_e8 for fill in fills)
    assert wallet.wallet_e8 == trader.engine.wallet(0, wallet.asset).wallet_e8

    session.submit([order(number, bid - 500) for number in range(3, 10)], trader.now)
    assert names(trader.wait(100)) == ["Accepted"] * 7
    session.cancel([CancelRequest(account=0, instrument=0, order_no=number) for number in (3, 4)], trader.now)
    assert names(trader.wait(100)) == ["Canceled"] * 2
    session.cancel_all(CancelAllRequest(account=0, instrument=0), trader.now)
    assert names(trader.wait(3000)) == ["Canceled"] * 5


def test_refusals_conditional_orders_and_settings() -> None:
    trader = Trader("binance", "BTCUSDT")
    trader.wait(1500)
    session, bid = trader.session, trader.engine.book(0, 1).bids[0][0]
    session.submit([order(1, bid + 2000, tif=codes.GTX), order(2, bid - 500, lots=10**8)], trader.now)
    events = trader.wait(100)
    assert [(event.reason, event.code) for event in events if isinstance(event, Rejected)] == [
        (codes.R_POST_ONLY, -5022), (codes.R_LOT_SIZE, -4005),
    ]  # fmt: skip
    far = Trigger(codes.TRIGGER_STOP, bid - 5000)
    session.submit([order(3, 0, side=codes.SELL, trigger=far, type=codes.MARKET)], trader.now)
    assert names(trader.wait(100)) == ["Held"]
    session.cancel([CancelRequest(account=0, instrument=0, order_no=3)], trader.now)
    assert names(trader.wait(3000)) == ["Canceled"]
    asked = ((codes.SETTING_LEVERAGE, 7), (codes.SETTING_MODE, codes.MODE_CROSS), (codes.SETTING_DEAD_MAN, 60 * SECOND))
    for number, (setting, value) in enumerate(asked, 1):
        request = SettingRequest(account=0, instrument=0, number=number, setting=setting, value=value)
        session.change(request, trader.now)
    assert sorted(names(trader.wait(200))) == ["SettingChanged", "SettingChanged", "SettingRejected"]


def test_a_wrong_secret_is_refused_by_the_emulated_venue() -> None:
    trader = Trader("binance", "BTCUSDT", secret="another")
    (event,) = trader.wait(200)
    assert isinstance(event, NotReady) and event.code == -1022 and not trader.session.is_ready
