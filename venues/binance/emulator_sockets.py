"""Websocket clients of the emulated Binance: addresses, control frames, the WS API, heartbeats and limits.

Addresses: ``[/public|/market|/private]`` and then ``/ws``, ``/ws/<names>`` (plain events) or ``/stream`` (each event in
``{"stream":...,"data":...}``), names also in ``?streams=``, a user stream by ``?listenKey=``; ``/ws-fapi/v1`` and
``/ws-dapi/v1`` are the WS API. Every route delivers every stream: the venue's own unrouted sockets are silent on market
topics since 2026-04-23, which older clients do not know. A request is acknowledged before the first event.

A connection lives 24 hours; it is pinged every 3 minutes and cut 10 minutes after a ping without a pong; 10 messages
a second may come in, and 1024 streams be followed (USDM, "Websocket Market Streams", "Websocket API General Info").
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qs, unquote

import msgspec

from venues.binance.emulator_site import KEYED, PUBLIC, SIGNED, Call, Endpoint, Site
from venues.binance.emulator_wire import Params, Refusal, encoded, ms, raw_texts
from venues.emulation import Admit, Beat, Hangup, HttpRequest, Push

SECOND_NS: Final = 1_000_000_000
LIFE_NS: Final = 24 * 3600 * SECOND_NS
PING_NS: Final = 180 * SECOND_NS
PONG_NS: Final = 600 * SECOND_NS
MESSAGES_MOST: Final = 10  # a second
STREAMS_MOST: Final = 1024
LISTEN_KEY_LETTERS: Final = 32  # shorter names in an address, such as ccxt's /ws/0, are no listen keys
FRAME_MOST: Final = 1 << 16
HANDSHAKE_WEIGHT: Final = 5
_ROUTES: Final = ("public", "market", "private")
_METHODS: Final = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
_POLICY: Final = 1008
_GOING_AWAY: Final = 1001


class _Request(msgspec.Struct):
    """A request of the WS API; parameters as they were written, for the signature."""

    id: int | str | None = None
    method: str = ""
    params: dict[str, msgspec.Raw] | None = None


_REQUEST: Final = msgspec.json.Decoder(_Request)


class Socket:
    """One client's connection. ``is_api``: it speaks the WS API; ``events``: those of user streams it wants (all)."""

    def __init__(self, peer: str, now_ns: int, is_api: bool) -> None:
        self.peer = peer
        self.is_api = is_api
        self.opened_ns = now_ns
        self.pinged_ns = now_ns
        self.unanswered_ns = 0
        self.events: frozenset[str] = frozenset()
        self.shows_limits = True
        self.messages: deque[int] = deque(maxlen=MESSAGES_MOST)

    def is_flooding(self, now_ns: int) -> bool:
        full = len(self.messages) == MESSAGES_MOST and now_ns - self.messages[0] < SECOND_NS
        self.messages.append(now_ns)
        return full


class Sockets:
    """See the module's text. ``methods`` are the WS API's."""

    def __init__(self, site: Site, methods: Mapping[str, Endpoint]) -> None:
        self._site = site
        self._methods = methods
        self._sockets: dict[int, Socket] = {}
        self._controls: dict[str, Callable[[int, list[Any]], Any]] = {
            "SUBSCRIBE": self._subscribe,
            "UNSUBSCRIBE": self._unsubscribe,
            "LIST_SUBSCRIPTIONS": lambda client, names: list(site.followers.of_client.get(client, ())),
            "SET_PROPERTY": self._set_property,
            "GET_PROPERTY": self._get_property,
        }

    def __len__(self) -> int:
        return len(self._sockets)

    # -- coming and going

    def on_connect(self, client: int, request: HttpRequest, wall_ns: int) -> None:
        query = parse_qs(request.query)
        parts = [unquote(part) for part in request.path.split("/") if part]
        if parts in (["ws-fapi", "v1"], ["ws-dapi", "v1"]):
            self._connect_api(client, request, query, wall_ns)
            return
        if parts and parts[0] in _ROUTES:
            parts = parts[1:]
        if not parts or parts[0] not in ("ws", "stream"):
            self._site.actions.append(Admit(client, 404, "no such path"))
            return
        socket = self._sockets[client] = Socket(request.peer, wall_ns, is_api=False)
        socket.events = frozenset(name for text in query.get("events", ()) for name in text.split("/") if name)
        self._site.actions.append(Admit(client))
        self._site.followers.combine(client, parts[0] == "stream")
        names = [part for part in parts[1:] if "@" in part or "!" in part or len(part) >= LISTEN_KEY_LETTERS]
        names += [name for text in query.get("streams", ()) for name in text.split("/") if name]
        names += [name for text in query.get("listenKey", ()) for name in text.split("/") if name]
        self._site.followers.follow(client, names[:STREAMS_MOST])

    def _connect_api(self, client: int, request: HttpRequest, query: Mapping[str, list[str]], wall_ns: int) -> None:
        try:
            self._site.budget.spend(request.peer, HANDSHAKE_WEIGHT, wall_ns)
        except Refusal as refusal:
            self._site.actions.append(Admit(client, refusal.status, refusal.text))
            return
        socket = self._sockets[client] = Socket(request.peer, wall_ns, is_api=True)
        socket.shows_limits = query.get("returnRateLimits", ["true"])[0] != "false"
        self._site.actions.append(Admit(client))

    def on_disconnect(self, client: int) -> None:
        self._sockets.pop(client, None)
        self._site.followers.gone(client)

    def on_pong(self, client: int, payload: bytes) -> None:
        socket = self._sockets.get(client)
        if socket is not None and (not socket.is_api or payload == str(socket.pinged_ns).encode()):
            socket.unanswered_ns = 0

    def on_tick(self, wall_ns: int) -> None:
        """Pings, and the end of connections that are too old or silent."""
        for client, socket in list(self._sockets.items()):
            if wall_ns - socket.opened_ns >= LIFE_NS:
                self._hang_up(client, _GOING_AWAY, "connection is 24 hours old")
            elif socket.unanswered_ns and wall_ns - socket.unanswered_ns >= PONG_NS:
                self._hang_up(client, _POLICY, "no pong")
            elif wall_ns - socket.pinged_ns >= PING_NS:
                socket.pinged_ns = wall_ns
                socket.unanswered_ns = socket.unanswered_ns or wall_ns
                self._site.actions.append(Beat((client,), str(wall_ns).encode()))

    def _hang_up(self, client: int, code: int, reason: str) -> None:
        self.on_disconnect(client)
        self._site.actions.append(Hangup(client, code, reason))

    # -- user events

    def publish_user(self, key: str, event: dict[str, Any]) -> None:
        """An event to those who follow a user stream and want events of its kind."""
        without = {
            client
            for client in self._site.followers.clients(key)
            if (socket := self._sockets.get(client)) is not None and socket.events and event["e"] not in socket.events
        }
        self._site.followers.publish(key, event, without)

    # -- frames

    def on_frame(self, client: int, payload: bytes, wall_ns: int) -> None:
        socket = self._sockets.get(client)
        if socket is None:
            return
        if len(payload) > FRAME_MOST:
            self._hang_up(client, 1009, "message is too long")
            return
        if socket.is_api:
            self._request(client, socket, payload, wall_ns)
            return
        if socket.is_flooding(wall_ns):
            self._hang_up(client, _POLICY, "Too many requests")
            return
        self._control(client, payload)

    def _control(self, client: int, payload: bytes) -> None:
        number: Any = None
        try:
            message = msgspec.json.decode(payload)
            if not isinstance(message, dict):
                raise _Wrong(2, "Invalid request: expected an object")
            number = message.get("id")
            if isinstance(number, bool) or not isinstance(number, int | str | None):
                number = None
                raise _Wrong(2, "Invalid request: request ID must be an unsigned integer")
            method = message.get("method")
            if method is None:
                raise _Wrong(2, "Invalid request: missing field `method`")
            if method not in self._controls:
                known = ", ".join(f"`{name}`" for name in _METHODS)
                raise _Wrong(2, f"Invalid request: unknown variant `{method}`, expected one of {known}")
            params = message.get("params") or []
            if not isinstance(params, list):
                raise _Wrong(2, "Invalid request: params must be an array")
            result = self._controls[method](client, params)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._push(
                client, {"error": {"code": 3, "msg": "Invalid JSON: expected value at line 1 column 1"}, "id": None}
            )
        except _Wrong as wrong:
            self._push(client, {"error": {"code": wrong.code, "msg": wrong.text}, "id": number})
        else:
            self._push(client, {"result": result, "id": number})

    def _push(self, client: int, message: dict[str, Any]) -> None:
        self._site.actions.append(Push((client,), encoded(message)))

    def _names(self, params: list[Any]) -> list[str]:
        if not all(isinstance(name, str) for name in params):
            raise _Wrong(2, "Invalid request: stream names must be strings")
        return params

    def _subscribe(self, client: int, params: list[Any]) -> None:
        names, followers = self._names(params), self._site.followers
        if len({*followers.of_client.get(client, ()), *names}) > STREAMS_MOST:
            raise _Wrong(2, f"Invalid request: more than {STREAMS_MOST} streams on one connection")
        followers.follow(client, names)

    def _unsubscribe(self, client: int, params: list[Any]) -> None:
        self._site.followers.leave(client, self._names(params))

    def _set_property(self, client: int, params: list[Any]) -> None:
        if len(params) != 2:
            raise _Wrong(2, "Invalid request: SET_PROPERTY takes a name and a value")
        if params[0] != "combined":
            raise _Wrong(0, "Unknown property")
        if not isinstance(params[1], bool):
            raise _Wrong(1, "Invalid value type: expected Boolean")
        self._site.followers.combine(client, params[1])

    def _get_property(self, client: int, params: list[Any]) -> bool:
        if params != ["combined"]:
            raise _Wrong(0, "Unknown property")
        return self._site.followers.is_combined(client)

    # -- the WS API

    def _request(self, client: int, socket: Socket, payload: bytes, wall_ns: int) -> None:
        call = Call(self._site, {}, client=client, peer=socket.peer)
        call.shows_limits = socket.shows_limits
        try:
            message = _REQUEST.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            call.refuse(Refusal(-1135, "Invalid JSON Request"))
            return
        try:
            self._dispatch(call, socket, message, wall_ns)
        except Refusal as refusal:
            call.refuse(refusal)

    def _dispatch(self, call: Call, socket: Socket, message: _Request, wall_ns: int) -> None:
        site = self._site
        call.ws_id = message.id
        written = raw_texts(message.params or {})
        call.params = Params(written)
        call.shows_limits = socket.shows_limits and written.get("returnRateLimits", "true") != "false"
        if message.method in ("session.status", "session.logout"):
            call.finish(self._session(socket))
            return
        endpoint = self._methods.get(message.method.lstrip("/"))
        if endpoint is None:
            raise Refusal(-1020)
        weight = endpoint.weight(call.params) if callable(endpoint.weight) else endpoint.weight
        site.budget.spend(socket.peer, weight, wall_ns)
        if endpoint.security == SIGNED:
            call.account = site.keys.check_sorted(written, wall_ns)
        elif endpoint.security == KEYED:
            call.account = site.keys.account(written.get("apiKey", ""))
        endpoint.handler(call)

    def _session(self, socket: Socket) -> dict[str, Any]:
        return {
            "apiKey": None,
            "authorizedSince": None,
            "connectedSince": ms(socket.opened_ns),
            "returnRateLimits": socket.shows_limits,
            "serverTime": ms(self._site.wall_ns),
        }


class _Wrong(Exception):  # noqa: N818  # an answer, not a failure of ours
    """A control frame that cannot be understood."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def no_logon(call: Call) -> None:
    """``session.logon`` is for Ed25519 keys; those of the emulator are HMAC."""
    call.site.keys.account(call.params.text("apiKey"))
    raise Refusal(-4056, "HMAC_SHA256 API key is not supported.")


LOGON: Final = Endpoint(no_logon, PUBLIC, 2)
