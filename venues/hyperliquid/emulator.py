"""The emulator of Hyperliquid: ``POST /info``, ``POST /exchange`` and the websocket at ``/ws``, as the venue has them.

Theory of operation. Every request is JSON with a ``type``. Questions are answered at once from what the engine shows
and what has been seen (``emulator_info``). Actions are signed; who has signed is recovered and must be an account or
an agent of one (``emulator_signers``); orders go to the desk (``emulator_desk``), which answers when the engine has
decided and tells the account's streams (``emulator_streams``). Requests over the websocket (``post``) are the same,
in an envelope.

Answers of HTTP are 200 with the venue's own words for whatever was understood; 422 and 400 with plain text for what
was not, 429 with ``null`` beyond the address's weight. On the websocket what is not understood goes to the channel
``error``, without the request's id, as on the venue.

An instant is complete when a later one begins or the server takes the actions: until then events of orders are
collected, see the desk. The
server closes a client to which it has sent nothing for a minute. The whole section of docs/emulator.md says what is
served. Sources: hyperliquid.gitbook.io, for-developers/api; recorded payloads; the venue's Python SDK at 7ee976d.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from venues.emulation import Action, Admit, Answer, Credentials, Hangup, HttpRequest, Push, VenueEngine
from venues.errors import InputError
from venues.hyperliquid.emulator_accounts import Accounts
from venues.hyperliquid.emulator_actions import Exchange, batch_of, kind_of, response
from venues.hyperliquid.emulator_desk import Desk, Waiting
from venues.hyperliquid.emulator_info import Info
from venues.hyperliquid.emulator_limits import IDLE_NS, NO_LIMITS, Limits, Place, Window, action_weight, info_weight
from venues.hyperliquid.emulator_market import Market
from venues.hyperliquid.emulator_numbers import Writer
from venues.hyperliquid.emulator_orders import FIRST_OID, Orders
from venues.hyperliquid.emulator_signers import Signers, Unreadable
from venues.hyperliquid.emulator_streams import Streams
from venues.market_data import Batch, ForceOrder, Other, Record, Single, Trade
from venues.orders import (
    AccountEvent,
    AutoDeleveraged,
    BalanceChanged,
    FundingPaid,
    Liquidated,
    OrderEvent,
    PositionChanged,
    SettingChanged,
    SettingRejected,
)
from venues.ports import Entropy

_HEADERS: Final = {
    "access-control-allow-origin": "*",
    "access-control-expose-headers": "*",
    "vary": "origin, access-control-request-method, access-control-request-headers",
}
_JSON: Final = _HEADERS | {"content-type": "application/json"}
_TEXT: Final = _HEADERS | {"content-type": "text/plain; charset=utf-8"}
_UNREADABLE: Final = b"Failed to deserialize the JSON body into the target type"
_NO_JSON: Final = b"Failed to parse the request body as JSON"
_FRAME_MOST: Final = 1 << 20
_SHOWN: Final = 2000
_ADDRESSES_MOST: Final = 100_000
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Client:
    """One websocket."""

    __slots__ = ("number", "place", "posts", "sent_ns", "topics")

    def __init__(self, number: int, place: Place, now_ns: int) -> None:
        self.number, self.place, self.sent_ns = number, place, now_ns
        self.topics: dict[bytes, str] = {}  # identity: the user that it is about, or ""
        self.posts = 0


class HyperliquidEmulator:
    """See the module. ``limits``: the venue's (none where the engine has none) unless a test wants others."""

    def __init__(
        self,
        engine: VenueEngine,
        credentials: Sequence[Credentials],
        entropy: Entropy,
        limits: Limits | None = None,
    ) -> None:
        """Raises ``InputError`` for credentials that are none."""
        self.venue = engine.venue
        self._engine = engine
        self._limits = limits or (Limits() if engine.limited else NO_LIMITS)
        self._signers = Signers(credentials)
        writers = [Writer(instrument) for instrument in engine.instruments]
        if not writers:
            raise InputError("an emulator needs an instrument", source="engine")
        self._markets = [Market(index, writer, engine) for index, writer in enumerate(writers)]
        self._accounts = Accounts(engine, self._markets, self._signers.addresses)
        orders = Orders(writers, FIRST_OID + int.from_bytes(entropy.token(4), "big"))
        self._desk = Desk(engine, orders, self._accounts, self._markets, self._answer_action)
        self._info = Info(engine, self._markets, self._accounts, orders, self._signers)
        self._exchange = Exchange(engine, self._markets, self._accounts, self._signers, self._desk, self._answer_action)
        self._streams = Streams(self._markets, self._info, self._accounts, self._signers, self._push)
        self._actions: list[Action] = []
        self._clients: dict[int, Client] = {}
        self._places: dict[str, Place] = {}
        self._weights: dict[str, Window] = {}
        self._addresses: dict[int, str] = {}  # of clients
        self._wall_ns = 0
        self._instant_ns = 0
        self._about = (0, 0)  # account and order of the last event

    # -- HTTP

    def on_request(self, number: int, request: HttpRequest, wall_ns: int) -> None:
        """A question or an action."""
        self._wall_ns = wall_ns
        if request.method == "OPTIONS":
            self._reply(
                number, 200, _HEADERS | {"access-control-allow-methods": "*", "access-control-allow-headers": "*"}
            )
            return
        if request.path not in ("/info", "/exchange"):
            self._reply(number, 404, _HEADERS)
            return
        if request.method != "POST":
            self._reply(number, 405, _HEADERS | {"allow": "POST"})
            return
        try:
            body = _decode(request.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._reply(number, 400, _TEXT, _NO_JSON)
            return
        try:
            if not isinstance(body, dict):
                raise Unreadable("body")
            if request.path == "/info":
                self._question(number, body, _host(request.peer))
            else:
                self._act(number, body, _host(request.peer))
        except (Unreadable, OverflowError, RecursionError):
            self._reply(number, 422, _TEXT, _UNREADABLE)

    def _reply(self, number: int, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self._actions.append(Answer(number, status, headers, body))

    def _question(self, number: int, body: dict[str, Any], host: str) -> None:
        if not self._weight(host).fits(info_weight(str(body.get("type")), 0), self._wall_ns):
            self._reply(number, 429, _JSON, b"null")
            return
        self._reply(number, 200, _JSON, _encode(self._asked(body, host)))

    def _asked(self, body: dict[str, Any], host: str) -> Any:
        answer = self._info.answer(body)
        rows = len(answer) if isinstance(answer, list) else 0
        self._weight(host).spend(info_weight(str(body.get("type")), rows), self._wall_ns)
        return answer

    def _act(self, number: int, body: dict[str, Any], host: str) -> None:
        kind_of(body)
        weight = action_weight(batch_of(body["action"]))
        if not self._weight(host).fits(weight, self._wall_ns):
            self._reply(number, 429, _JSON, b"null")
            return
        self._weight(host).spend(weight, self._wall_ns)
        self._exchange.perform(body, number, self._wall_ns)

    def _weight(self, host: str) -> Window:
        window = self._weights.get(host)
        if window is None:
            if len(self._weights) >= _ADDRESSES_MOST:
                self._weights.clear()
            window = self._weights[host] = Window(self._limits.weight)
        return window

    def _answer_action(self, waiting: Waiting) -> None:
        payload = response(waiting, self._accounts.over_budget)
        if isinstance(waiting.to, int):
            self._reply(waiting.to, 200, _JSON, _encode(payload))
        elif isinstance(waiting.to, tuple):
            client, identity = waiting.to
            self._posted(client, identity, "action", payload)

    # -- websocket

    def on_connect(self, client: int, request: HttpRequest, wall_ns: int) -> None:
        """A client wants in."""
        self._wall_ns = wall_ns
        if request.path.rstrip("/") != "/ws":
            self._actions.append(Admit(client, 404, ""))
            return
        host = _host(request.peer)
        limits = self._limits
        place = self._places.setdefault(host, Place(limits)) if limits.by_address else Place(limits)
        if limits.by_address and (place.clients >= limits.connections or not place.opened.fits(1, wall_ns)):
            self._actions.append(Admit(client, 429, "Too Many Requests"))
            return
        place.clients += 1
        place.opened.spend(1, wall_ns)
        self._clients[client] = Client(client, place, wall_ns)
        self._addresses[client] = host
        self._actions.append(Admit(client))

    def on_disconnect(self, client: int, wall_ns: int) -> None:
        """A client is gone."""
        self._wall_ns = wall_ns
        gone = self._clients.pop(client, None)
        host = self._addresses.pop(client, "")
        if gone is None:
            return
        for key, user in gone.topics.items():
            self._streams.unsubscribe(client, key)
            _leave(gone.place, user)
        gone.place.clients -= 1
        gone.place.posts -= gone.posts
        if not gone.place.clients and self._places.get(host) is gone.place and not gone.place.opened.used(wall_ns):
            del self._places[host]

    def on_pong(self, client: int, payload: bytes, wall_ns: int) -> None:
        """Nothing follows: what counts is what the venue sends."""
        self._wall_ns = wall_ns

    def on_frame(self, client: int, payload: bytes, wall_ns: int) -> None:
        """A request of a client."""
        self._wall_ns = wall_ns
        known = self._clients.get(client)
        if known is None:
            return
        messages = known.place.messages
        if not messages.fits(1, wall_ns):
            self._error(client, f"Cannot send more than {messages.most} messages per minute.")
            return
        messages.spend(1, wall_ns)
        try:
            if len(payload) > _FRAME_MOST:
                raise Unreadable("frame")
            message = _decode(payload)
            method = message.get("method") if isinstance(message, dict) else None
            if method == "ping":
                self._push(Push((client,), b'{"channel":"pong"}'))
            elif method == "subscribe":
                self._subscribe(known, message.get("subscription"))
            elif method == "unsubscribe":
                self._unsubscribe(known, message.get("subscription"))
            elif method == "post":
                self._post(known, message)
            else:
                raise Unreadable("method")
        except (Unreadable, msgspec.DecodeError, UnicodeDecodeError, OverflowError, RecursionError):
            shown = payload[:_SHOWN].decode("utf-8", "replace")
            self._error(client, f"Error parsing JSON into valid websocket request: {shown}")

    def _error(self, client: int, text: str) -> None:
        self._push(Push((client,), _encode({"channel": "error", "data": text})))

    def _subscribe(self, client: Client, wire: object) -> None:
        key, terms, market = self._streams.topic(wire)
        place, limits, user = client.place, self._limits, terms.get("user", "")
        if key in client.topics:
            self._error(client.number, f"Already subscribed: {_encode(wire).decode()}")
        elif place.subscriptions >= limits.subscriptions:
            self._error(client.number, f"Cannot subscribe to more than {limits.subscriptions} channels.")
        elif user and user not in place.users and len(place.users) >= limits.users:
            self._error(client.number, f"Cannot track more than {limits.users} total users.")
        else:
            client.topics[key] = user
            place.subscriptions += 1
            if user:
                place.users[user] = place.users.get(user, 0) + 1
            self._acknowledge(client, "subscribe", terms)
            self._streams.subscribe(client.number, key, terms, market, self._engine.now_ns)

    def _unsubscribe(self, client: Client, wire: object) -> None:
        key, terms, _ = self._streams.topic(wire)
        user = client.topics.pop(key, None)
        if user is None:
            self._error(client.number, f"Already unsubscribed: {_encode(wire).decode()}")
            return
        self._streams.unsubscribe(client.number, key)
        _leave(client.place, user)
        self._acknowledge(client, "unsubscribe", terms)

    def _acknowledge(self, client: Client, method: str, terms: dict[str, Any]) -> None:
        data = {"method": method, "subscription": terms}
        self._push(Push((client.number,), _encode({"channel": "subscriptionResponse", "data": data})))

    def _post(self, client: Client, message: dict[str, Any]) -> None:
        identity, request = message.get("id"), message.get("request")
        if not isinstance(identity, int) or isinstance(identity, bool) or not isinstance(request, dict):
            raise Unreadable("post")
        kind, payload = request.get("type"), request.get("payload")
        if kind not in ("info", "action") or not isinstance(payload, dict):
            raise Unreadable("request")
        if client.place.posts >= self._limits.posts:
            self._error(client.number, f"too many pending post requests id={identity}")
            return
        host = self._addresses[client.number]
        if kind == "info":
            weight = info_weight(str(payload.get("type")), 0)
        else:
            kind_of(payload)
            weight = action_weight(batch_of(payload["action"]))
        if not self._weight(host).fits(weight, self._wall_ns):
            self._posted_at(client.number, identity, "error", "429 Too Many Requests")
        elif kind == "info":
            data = {"type": payload["type"], "data": self._asked(payload, host)}
            self._posted_at(client.number, identity, "info", data)
        else:
            self._weight(host).spend(weight, self._wall_ns)
            client.posts += 1
            client.place.posts += 1
            try:
                self._exchange.perform(payload, (client.number, identity), self._wall_ns)
            except Unreadable:
                client.posts -= 1
                client.place.posts -= 1
                raise

    def _posted(self, client: int, identity: int, kind: str, payload: object) -> None:
        """The answer to an action that came over the websocket, if its client is still there."""
        known = self._clients.get(client)
        if known is None:
            return
        known.posts -= 1
        known.place.posts -= 1
        self._posted_at(client, identity, kind, payload)

    def _posted_at(self, client: int, identity: int, kind: str, payload: object) -> None:
        data = {"id": identity, "response": {"type": kind, "payload": payload}}
        self._push(Push((client,), _encode({"channel": "post", "data": data})))

    def _push(self, push: Push) -> None:
        for client in push.clients:
            known = self._clients.get(client)
            if known is not None:
                known.sent_ns = self._wall_ns
        self._actions.append(push)

    # -- the engine

    def on_market(self, instrument: int, record: Record, now_ns: int) -> None:
        """A record of the feed reaches the clients, after what was said of orders before it."""
        self._at(now_ns)
        self._settle()
        market = self._markets[instrument]
        if not isinstance(record, Batch):
            self._market_record(market, record, now_ns)
            return
        trades = [one for one in record.records if isinstance(one, Trade)]
        for one in record.records:
            if isinstance(one, Trade):
                market.take(one, now_ns)
            else:
                self._market_record(market, one, now_ns)
        if trades:
            self._streams.on_trades(market, trades)

    def _market_record(self, market: Market, record: Single, now_ns: int) -> None:
        if isinstance(record, Other | ForceOrder):
            return  # the venue tells nobody of these
        market.take(record, now_ns)
        self._streams.on_record(market, record, now_ns)

    def _at(self, now_ns: int) -> None:
        """Another instant begins: what the last one meant is told first."""
        if now_ns != self._instant_ns:
            self._instant_ns = now_ns
            self._settle()

    def on_order(self, event: OrderEvent) -> None:
        """An event of an order; what it means is told with the instant, or before the next order's turn: all that is
        told of an instant is told in the order in which it happened."""
        self._at(event.ts_recv_ns)
        about = event.account, event.order_no
        if about != self._about:
            self._about = about
            self._settle()
        self._desk.on_order(event)

    def on_account(self, event: AccountEvent | SettingChanged | SettingRejected) -> None:
        """An event of an account."""
        self._at(event.ts_recv_ns)
        if isinstance(event, SettingChanged | SettingRejected):
            self._exchange.on_setting(event)
            return
        account = self._accounts.all.get(event.account)
        if account is None:
            return
        user = account.address
        if isinstance(event, FundingPaid):
            self._streams.on_account(user, fundings=[self._accounts.funding(event)])
        elif isinstance(event, PositionChanged):
            account.positions[event.instrument] = event.position_lots
        elif isinstance(event, Liquidated | AutoDeleveraged):
            self._taken(user, event)
        elif isinstance(event, BalanceChanged):
            self._streams.on_account(user)

    def _taken(self, user: str, event: Liquidated | AutoDeleveraged) -> None:
        self._settle()
        row = self._accounts.taken(event, self._desk.orders.next_oid())
        others = [{"liquidation": self._accounts.liquidated(event)}] if isinstance(event, Liquidated) else []
        self._streams.on_account(user, fills=[row], others=others)

    # -- time

    def on_tick(self, wall_ns: int) -> None:
        """Push what is due and drop who has heard nothing for a minute."""
        self._wall_ns = wall_ns
        self._settle()
        self._streams.on_time(self._engine.now_ns)
        for client in list(self._clients.values()):
            if wall_ns - client.sent_ns >= IDLE_NS:
                self._actions.append(Hangup(client.number, 1000, "Inactive"))
                self.on_disconnect(client.number, wall_ns)

    def take_actions(self) -> list[Action]:
        """What has come of it all; the instant is complete."""
        self._settle()
        taken, self._actions = self._actions, []
        return taken

    def _settle(self) -> None:
        """Tell what has become of orders. Answers may lead to new orders, so until nothing is left."""
        updates = self._desk.settle()
        if not updates and not self._desk.fills:
            return
        fills, self._desk.fills = self._desk.fills, []
        dropped, self._desk.not_by_user = self._desk.not_by_user, []
        accounts = {number for number, _ in (*updates, *fills, *dropped)}
        rows = dict(updates)
        for number in sorted(accounts):
            gone = [row for account, row in dropped if account == number]
            self._streams.on_account(
                self._accounts.all[number].address,
                updates=rows.get(number, ()),
                fills=[row for account, row in fills if account == number],
                others=[{"nonUserCancel": gone}] if gone else (),
            )


def _host(peer: str) -> str:
    """The network address without the port."""
    host, colon, port = peer.rpartition(":")
    return host if colon and port.isdigit() and (":" not in host or host.endswith("]")) else peer


def _leave(place: Place, user: str) -> None:
    """One subscription less."""
    place.subscriptions -= 1
    if user:
        place.users[user] -= 1
        if not place.users[user]:
            del place.users[user]
