"""Binance's side of the wire, USD-M and COIN-M: REST, WS API, market streams and user streams. No I/O.

Theory of operation. ``BinanceEmulator`` is an ``Emulator`` (``venues/emulation.py``) put together from parts that share
one ``Site``:

    emulator_wire      numbers, refusals and parameters as the venue writes them
    emulator_access    keys, signatures, time stamps, weights, listen keys
    emulator_site      calls and their answers
    emulator_market    what has been published of a symbol; emulator_shapes: as which JSON
    emulator_streams   who follows what, conflation
    emulator_sockets   websocket clients, control frames, the WS API
    emulator_public    public REST
    emulator_forms     order requests read; emulator_orders: orders as clients see them
    emulator_trading   orders placed, amended, canceled, and what the engine says of them
    emulator_ledger    what accounts have been told of positions and wallets
    emulator_queries, emulator_account    what they ask, and what they set
    emulator_private   those calls by path and by WS API method

A request is counted (429, 418), its key and signature checked, and handed to one handler, which answers at once or when
the engine has spoken. Which calls there are: ``docs/emulator.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from matching.codes import FLAG_LONG_LEG
from venues.binance.emulator_account import Accounts
from venues.binance.emulator_ledger import Ledger
from venues.binance.emulator_market import Market
from venues.binance.emulator_private import PrivateCalls
from venues.binance.emulator_public import PublicCalls
from venues.binance.emulator_queries import Queries
from venues.binance.emulator_site import KEYED, SIGNED, Call, Endpoint, Site
from venues.binance.emulator_sockets import LOGON, Sockets
from venues.binance.emulator_streams import Streams
from venues.binance.emulator_trading import Trading
from venues.binance.emulator_wire import Params, Refusal, form, ms
from venues.emulation import Action, Credentials, HttpRequest, VenueEngine
from venues.market_data import MarkPrice, Record
from venues.orders import (
    AccountEvent,
    AutoDeleveraged,
    BalanceChanged,
    FundingPaid,
    Liquidated,
    MarginWarning,
    OrderEvent,
    PositionChanged,
    SettingChanged,
    SettingRejected,
)
from venues.ports import Entropy

KEY_HEADER: Final = "x-mbx-apikey"


class BinanceEmulator:
    """See the module's text. ``native_depth_ns``: the interval at which the feed's depth diffs were recorded; depth
    streams of that speed and faster pass them unchanged. Raises ``InputError`` for credentials of no account."""

    def __init__(
        self, engine: VenueEngine, credentials: Sequence[Credentials], entropy: Entropy, *, native_depth_ns: int = 0
    ) -> None:
        self.venue = engine.venue
        self._engine = engine
        self._site = site = Site(engine, credentials, entropy)
        self._streams = Streams(site.markets, site.followers, self._made_mark, native_depth_ns)
        self._ledger = Ledger(site, self._tell)
        self._trading = Trading(site, self._ledger, self._tell)
        self._accounts = Accounts(site, self._ledger, self._trading, self._tell)
        private = PrivateCalls(site, self._trading, Queries(site, self._trading, self._ledger), self._accounts)
        public = PublicCalls(site, self._held_lots)
        self._endpoints: dict[tuple[str, str], Endpoint] = {**public.endpoints(), **private.endpoints()}
        methods = {
            **private.methods(),
            "session.logon": LOGON,
            "ping": self._endpoints["GET", f"{site.api}/v1/ping"],
            "time": self._endpoints["GET", f"{site.api}/v1/time"],
            "depth": self._endpoints["GET", f"{site.api}/v1/depth"],
            "ticker.price": self._endpoints["GET", f"{site.api}/v1/ticker/price"],
            "ticker.book": self._endpoints["GET", f"{site.api}/v1/ticker/bookTicker"],
        }
        self._sockets = Sockets(site, methods)
        self._account_handlers: dict[type, Callable[[Any], None]] = {
            PositionChanged: self._ledger.take_position,
            BalanceChanged: self._ledger.take_balance,
            FundingPaid: self._ledger.take_funding,
            MarginWarning: self._ledger.warn,
            Liquidated: self._trading.on_takeover,
            AutoDeleveraged: self._trading.on_takeover,
            SettingChanged: self._accounts.on_changed,
            SettingRejected: self._accounts.on_refused,
        }

    # -- clients

    def on_request(self, number: int, request: HttpRequest, wall_ns: int) -> None:
        self._site.wall_ns = wall_ns
        call = Call(self._site, {}, number=number, peer=request.peer)
        try:
            self._handle(call, request, wall_ns)
        except Refusal as refusal:
            call.refuse(refusal)

    def _handle(self, call: Call, request: HttpRequest, wall_ns: int) -> None:
        site = self._site
        path = request.path.rstrip("/")
        endpoint = self._endpoints.get((request.method, path))
        if endpoint is None:
            site.budget.spend(request.peer, 1, wall_ns)
            raise Refusal(-5000, f"Path {path}, Method {request.method} is invalid", 404)
        values = form(request.query, request.body)
        call.params = Params(values)
        weight = endpoint.weight(call.params) if callable(endpoint.weight) else endpoint.weight
        site.budget.spend(request.peer, weight, wall_ns)
        key = request.headers.get(KEY_HEADER, "")
        if endpoint.security == SIGNED:
            call.account = site.keys.check_rest(key, request.query, request.body, values, wall_ns)
        elif endpoint.security == KEYED:
            call.account = site.keys.account(key)
        endpoint.handler(call)

    def on_connect(self, client: int, request: HttpRequest, wall_ns: int) -> None:
        self._site.wall_ns = wall_ns
        self._sockets.on_connect(client, request, wall_ns)

    def on_frame(self, client: int, payload: bytes, wall_ns: int) -> None:
        self._site.wall_ns = wall_ns
        self._sockets.on_frame(client, payload, wall_ns)

    def on_pong(self, client: int, payload: bytes, wall_ns: int) -> None:
        self._sockets.on_pong(client, payload)

    def on_disconnect(self, client: int, wall_ns: int) -> None:
        self._sockets.on_disconnect(client)

    # -- the engine

    def on_market(self, instrument: int, record: Record, now_ns: int) -> None:
        self._streams.on_record(instrument, record, now_ns)

    def on_order(self, event: OrderEvent) -> None:
        self._trading.on_order(event)

    def on_account(self, event: AccountEvent | SettingChanged | SettingRejected) -> None:
        handler = self._account_handlers.get(type(event))
        if handler is not None:
            handler(event)

    def _tell(self, account: int, event: dict[str, Any]) -> None:
        key = self._site.listen_keys.key(account)
        if key is not None:
            self._sockets.publish_user(key, event)

    def _made_mark(self, market: Market) -> MarkPrice | None:
        """A mark of the engine's own, for feeds that have none."""
        state = self._engine.market(market.index)
        if not state.mark_e8:
            return None
        now_ns = self._engine.now_ns
        now_ns -= now_ns % 10**6
        return MarkPrice(
            market.symbol, now_ns, now_ns, state.mark_e8, state.index_e8, state.rate_e12, state.next_funding_ns
        )

    def _held_lots(self, market: Market) -> int:
        engine, found = self._engine, 0
        for account in range(engine.accounts):
            leg = FLAG_LONG_LEG if engine.is_hedged(account) else 0
            found += max(engine.position(account, market.index, leg).lots, 0)
        return found

    # -- time

    def on_tick(self, wall_ns: int) -> None:
        self._site.wall_ns = wall_ns
        self._streams.on_time(self._engine.now_ns)
        self._sockets.on_tick(wall_ns)
        self._site.give_up(wall_ns)
        for account, key in self._site.listen_keys.expired(wall_ns):
            event = {"e": "listenKeyExpired", "E": ms(wall_ns), "listenKey": key}
            self._ledger.flush(account)
            self._sockets.publish_user(key, event)

    def take_actions(self) -> list[Action]:
        self._ledger.flush_all()
        found = list(self._site.actions)
        self._site.actions.clear()
        return found
