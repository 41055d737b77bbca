"""Binance trading session, USD-M and COIN-M: one account's orders, events and state. No I/O.

Theory of operation. Two websockets are kept open: the user stream (named by a listen key) and the websocket trading
API, by which orders leave while it is open; else they leave by REST. On start the venue's time is measured, a listen
key fetched and the user stream opened; then the account's state is asked for, and the session is ready. Each time the
user stream opens again the key is fetched again (the venue answers with the same while it lives) and the state too.

The listen key is kept alive every 30 minutes (it lives for 60). Where it is gone (-1125, listenKeyExpired) a new one
is fetched and the stream opened with it. The stream is deaf when an order that a reply has acknowledged is not heard of
within ``DEAF_NS``: a new connection is asked for. An answer that the websocket API owes for ``ANSWER_NS`` means a new
connection of that one.

Parts: ``trading_desk`` (requests and answers), ``trading_evidence`` and ``trading_commands`` (orders),
``trading_account`` (state, funding, settings), ``trading_wire`` and ``trading_encode`` (messages), ``auth``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from venues.binance.auth import ED25519
from venues.binance.reasons import cure_of
from venues.binance.trading_account import Account
from venues.binance.trading_commands import Commands
from venues.binance.trading_desk import WEIGHT, Desk, Request
from venues.binance.trading_wire import (
    AccountUpdate,
    AlgoUpdate,
    ConfigUpdate,
    ListenKey,
    MarginCall,
    OrderTradeUpdate,
    Refusal,
)
from venues.errors import InputError, PayloadError
from venues.orders import AmendRequest, CancelAllRequest, CancelRequest, OrderRequest, SettingRequest
from venues.ports import Entropy
from venues.session_parts import PING_NS, SECOND, Ping, Reconnect, Reply
from venues.trading import Action, Event, Now, Open
from venues.trading_parts import CANCEL
from venues.trading_sessions import TradingWanted

KEEPALIVE_NS: Final = 1800 * SECOND
KEY_FRESH_NS: Final = 60 * SECOND  # a key as new as this needs no asking when the stream opens
DEAF_NS: Final = 10 * SECOND
RESYNC_NS: Final = SECOND  # after a frame that could not be read


class BinanceTrading:
    """See the module's text, and ``venues.trading.TradingSession``. Raises ``InputError`` for keys that are none."""

    names = ("binance_usdm", "binance_coinm")

    def __init__(self, wanted: TradingWanted, entropy: Entropy) -> None:
        if not wanted.keys.key or not wanted.keys.secret:
            raise InputError("needs an API key and its secret", source=f"trade, {wanted.venue}", field="keys")
        self.venue = wanted.venue
        self.is_ready = False
        self.desk = Desk(wanted, entropy)
        self.commands = Commands(self.desk)
        self.account = Account(self.desk, self.commands, self._on_synced)
        self._key = ""
        self._key_ns = 0  # when it was last fetched or kept alive
        self._key_under_way = False
        self._user_open = self._api_connected = self._stopped = False
        self._ping_ns = 0

    # -- life

    def start(self, now: Now) -> None:
        """Measure the clock, get a listen key, open the connections."""
        self.desk.measure(now)
        self.desk.actions.append(Open(self.desk.api_name, self.desk.api_url))
        self._fetch_key(now)
        self._after(now)

    def stop(self, now: Now) -> None:
        """Nothing more is sent but the end of the listen key."""
        self.is_ready = False
        self._stopped = True
        if self._key and self.desk.halted is None:
            request = self._key_request("DELETE")
            self.desk.put(request, now)
            self.desk.pump(now)

    def _key_request(self, method: str) -> Request:
        def done(request: Request, body: bytes, now: Now) -> None:
            if method == "PUT":
                self._key_ns = now.mono_ns
            elif method == "POST":
                self._key_under_way = False
                self._on_key(self.desk.codec.read(ListenKey, body).key, now)

        def refused(request: Request, refusal: Refusal, now: Now) -> None:
            if method == "PUT" and refusal.code == -1125:
                self._fetch_key(now)
            else:
                lost(request, f"{refusal.code} {refusal.msg}: {cure_of(refusal.code)}".rstrip(": "), now)

        def lost(request: Request, why: str, now: Now) -> None:
            self._key_under_way = False
            if method != "DELETE" and self.desk.halted is None:
                self.desk.remark("listen key", "", f"{why}; asked again")
                request.tries += 1
                again = self._fetch_key if method == "POST" else self._keep_key
                self.desk.retry(request.tries, again, now)

        path = f"/{self.desk.api}/v1/listenKey"
        return Request(
            "listen key", method, path, {}, done, refused, lost, rank=CANCEL, costs={WEIGHT: 1}, security="key"
        )

    def _fetch_key(self, now: Now) -> None:
        if not self._key_under_way:
            self._key_under_way = True
            self.desk.put(self._key_request("POST"), now)

    def _keep_key(self, now: Now) -> None:
        self._key_ns = now.mono_ns - KEEPALIVE_NS + 60 * SECOND  # if nothing comes of it: again in a minute
        self.desk.put(self._key_request("PUT"), now)

    def _on_key(self, key: str, now: Now) -> None:
        is_new = key != self._key
        had_one, self._key, self._key_ns = self._key != "", key, now.mono_ns
        if is_new:
            path = f"/private/ws?listenKey={key}" if self.desk.api == "fapi" else f"/ws/{key}"
            self.desk.actions.append(Open(self.desk.user_name, self.desk.user_base + path))
            if had_one:
                self._reconnect(self.desk.user_name, "a new listen key")
        elif self._user_open and not self.account.is_synced:
            self.account.sync(now)

    def _reconnect(self, connection: str, why: str) -> None:
        self.desk.actions.append(Reconnect(connection, why))
        if connection == self.desk.user_name:
            self._user_closed()

    def _user_closed(self) -> None:
        self._user_open = self.is_ready = False
        self.account.lost_touch()

    def _on_synced(self, now: Now) -> None:
        self.is_ready = self._user_open and self.desk.halted is None and not self._stopped

    # -- commands

    def submit(self, requests: list[OrderRequest], now: Now) -> None:
        """New orders."""
        self.commands.submit(requests, now)
        self.desk.pump(now)

    def amend(self, requests: list[AmendRequest], now: Now) -> None:
        """New prices and sizes."""
        self.commands.amend(requests, now)
        self.desk.pump(now)

    def cancel(self, requests: list[CancelRequest], now: Now) -> None:
        """Cancels."""
        self.commands.cancel(requests, now)
        self.desk.pump(now)

    def cancel_all(self, request: CancelAllRequest, now: Now) -> None:
        """Cancel all orders of one instrument."""
        self.commands.cancel_all(request, now)
        self.desk.pump(now)

    def change(self, request: SettingRequest, now: Now) -> None:
        """A setting."""
        self.account.change(request, now)
        self.desk.pump(now)

    def ask_again(self, now: Now) -> None:
        """What became of what was lost?"""
        self.commands.inquiries.hurry(now.mono_ns)
        self._after(now)

    def client_id(self, order_no: int) -> str:
        """By which the venue knows an order."""
        return self.desk.orders.client_id(order_no)

    def cure(self, code: int) -> str:
        """What to do about a refusal."""
        return cure_of(code)

    # -- the wire

    def on_open(self, connection: str, now: Now) -> None:
        """A connection is there."""
        if connection == self.desk.api_name:
            self._api_connected = True
            if self.desk.signer.kind == ED25519:
                self._log_on(now)
            else:
                self.desk.api_open = True
        elif connection == self.desk.user_name:
            self._user_open = True
            self.commands.unheard.clear()
            if now.mono_ns - self._key_ns < KEY_FRESH_NS:
                self.account.sync(now)
            else:
                self._fetch_key(now)
        self._after(now)

    def on_close(self, connection: str, now: Now) -> None:
        """A connection is gone."""
        if connection == self.desk.api_name:
            self._api_connected = False
            self.desk.on_api_close(now)
        elif connection == self.desk.user_name:
            self._user_closed()
        self._after(now)

    def set_outlet(self, connection: str, outlet: Callable[[bytes], None]) -> None:
        """See ``venues.trading.Direct``."""
        if connection == self.desk.api_name:
            self.desk.outlet = outlet

    def on_frame(self, connection: str, payload: bytes, now: Now) -> None:
        """A text frame."""
        self.hear(connection, payload, now)
        self._after(now)

    def attend(self, now: Now) -> None:
        """What follows from the frame that was heard."""
        self._after(now)

    def hear(self, connection: str, payload: bytes, now: Now) -> None:
        """A text frame; ``attend`` must follow."""
        try:
            if connection == self.desk.api_name:
                self.desk.on_api_reply(self.desk.codec.api_reply(payload), now)
            else:
                self._on_user(payload, now)
        except PayloadError as error:
            self.desk.remark(connection, "", f"{error}; the account's state is asked for")
            if connection == self.desk.user_name and self.account.is_synced:
                self.account.is_synced = False
                self.desk.later(RESYNC_NS, self._sync_if_open, now)

    def _sync_if_open(self, now: Now) -> None:
        if self._user_open:
            self.account.sync(now)

    def _on_user(self, payload: bytes, now: Now) -> None:
        event = self.desk.codec.user_event(payload)
        if isinstance(event, OrderTradeUpdate):
            self.commands.on_order(event.order, event.event_ms, now)
            if event.order.trade_id > 0:
                self.account.saw_trade(event.order.symbol, event.order.trade_id)
        elif isinstance(event, AccountUpdate):
            self.account.on_account(event, payload, now)
        elif isinstance(event, AlgoUpdate):
            self.commands.on_algo(event, now)
        elif isinstance(event, MarginCall):
            self.account.on_margin_call(event, payload, now)
        elif isinstance(event, ConfigUpdate):
            self.account.on_config(event)
        elif event is not None:  # the listen key has expired
            self.desk.remark(self.desk.user_name, "", "the listen key has expired")
            self.account.is_synced = False
            self._fetch_key(now)

    def on_reply(self, number: int, reply: Reply, now: Now) -> None:
        """The answer to a REST request."""
        self.desk.on_reply(number, reply, now)
        self._after(now)

    def on_tick(self, now: Now) -> None:
        """Time passes."""
        if self._stopped:
            return
        if self.desk.on_tick(now) and self._api_connected:
            self._api_connected = False
            self.desk.on_api_close(now)
            self._reconnect(self.desk.api_name, "an answer is overdue")
        if self._key and now.mono_ns - self._key_ns >= KEEPALIVE_NS and self.desk.halted is None:
            self._keep_key(now)
        unheard = self.commands.unheard
        if unheard and self._user_open and min(unheard.values()) + DEAF_NS <= now.mono_ns:
            unheard.clear()
            self._key_ns = now.mono_ns - KEY_FRESH_NS  # the key is asked for again when it opens
            self._reconnect(self.desk.user_name, "an acknowledged order was not heard of")
        if now.mono_ns >= self._ping_ns:
            self._ping_ns = now.mono_ns + PING_NS
            if self._api_connected:
                self.desk.actions.append(Ping(self.desk.api_name))
            if self._user_open:
                self.desk.actions.append(Ping(self.desk.user_name))
        self._after(now)

    def _log_on(self, now: Now) -> None:
        """An Ed25519 key opens the websocket API once; requests are not signed after that."""

        def done(request: Request, body: bytes, then: Now) -> None:
            self.desk.api_open = self._api_connected

        def refused(request: Request, refusal: Refusal, then: Now) -> None:
            lost(request, f"{refusal.code} {refusal.msg}", then)

        def lost(request: Request, why: str, then: Now) -> None:
            self.desk.remark(self.desk.api_name, "", f"not logged on: {why}; orders leave by REST")

        request = Request("log on", "", "", {}, done, refused, lost, rank=CANCEL, costs={WEIGHT: 2}, ws="session.logon")
        self.desk.put(request, now)

    def _after(self, now: Now) -> None:
        """Whatever came: ask what is due, send what may leave."""
        if not self._stopped:
            self.commands.ask(now)
        self.desk.pump(now)
        if self.desk.halted is not None:
            self.is_ready = False

    # -- what has come of it

    def take_actions(self) -> list[Action]:
        """What is to be done, in order; taken once."""
        found = self.desk.actions
        if not found:
            return []
        self.desk.actions = []
        return found

    def take_events(self) -> list[Event]:
        """What the venue has said, in order; taken once."""
        found = self.desk.events[:]  # the list is that of ``Orders`` too
        self.desk.events.clear()
        return found
