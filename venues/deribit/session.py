"""Deribit market data session: JSON-RPC over one socket, the ``change_id`` chain, heartbeats that must be answered.

Book rule: the first message of a subscription is a snapshot, each change's ``prev_change_id`` is the ``change_id``
before it; otherwise the channel is unsubscribed and subscribed. Trades carry ``trade_seq``, which has no holes: a jump
is a gap of that channel (nothing can be asked for again on the socket). ``public/set_heartbeat`` makes the venue send
``test_request``, which must be answered by ``public/test``. Raw books need a login; 100 ms is the finest without one.
Mark, index and current funding come with ``ticker``. A subscription costs 3000 credits of a pool of 30,000.

Sources: docs.deribit.com, "Subscriptions", "public/set_heartbeat", "Rate limits".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from venues.ports import Entropy
from venues.session_parts import MS, Channel, Id, Link, Ms, Wanted
from venues.sessions import Session

_CONNECTION_CHANNELS: Final = 200
_FRAME_CHANNELS: Final = 100
_HEARTBEAT_SECONDS: Final = 30


class _Book(msgspec.Struct, gc=False):
    type: str = ""
    timestamp: Ms = 0
    change_id: Id = -1
    prev_change_id: Id | None = None


class _Trade(msgspec.Struct, gc=False):
    timestamp: Ms = 0
    trade_seq: Id = -1


class _Params(msgspec.Struct, gc=False):
    channel: str = ""
    type: str = ""
    data: _Book | list[_Trade] | None = None


class _Error(msgspec.Struct, gc=False):
    code: int = 0
    message: str = ""


class _Frame(msgspec.Struct, gc=False):
    method: str = ""
    params: _Params | None = None
    error: _Error | None = None


class DeribitSession(Session):
    """Perpetuals and futures. ``book``: the interval of the book channel. Liquidations are marked on trades."""

    names = ("deribit",)
    offers = ("depth", "trades", "quotes", "marks")
    books = ("100ms", "agg2")
    send_gap_ns = 400 * MS

    def __init__(self, wanted: Wanted, entropy: Entropy) -> None:
        self._frame = msgspec.json.Decoder(_Frame)
        super().__init__(wanted, entropy)

    def _plan(self) -> tuple[Link, ...]:
        base = self._base(self.wanted.ws, "wss://www.deribit.com")
        speed = self.book
        channels = [Channel("depth", s, f"book.{s}.{speed}", chained=True) for s in self._symbols("depth")]
        channels += [Channel("trades", s, f"trades.{s}.{speed}") for s in self._symbols("trades")]
        channels += [Channel("quotes", s, f"quote.{s}") for s in self._symbols("quotes")]
        channels += [Channel("marks", s, f"ticker.{s}.{speed}") for s in self._symbols("marks")]
        return tuple(self._split("ws", f"{base}/ws/api/v2", channels, _CONNECTION_CHANNELS))

    def _opening(self, link: Link) -> list[bytes]:
        return [_call("public/set_heartbeat", {"interval": _HEARTBEAT_SECONDS})]

    def _subscribe(self, channels: Sequence[Channel]) -> list[bytes]:
        return _control("public/subscribe", channels)

    def _unsubscribe(self, channels: Sequence[Channel]) -> list[bytes]:
        return _control("public/unsubscribe", channels)

    def _read(self, link: Link, raw: bytes, now_ns: int) -> Channel | None:
        frame = self._frame.decode(raw)
        params = frame.params
        if params is None:
            if frame.error is not None:
                self._refuse(link, f"{frame.error.code} {frame.error.message}", now_ns)
            return None
        if frame.method == "heartbeat":
            if params.type == "test_request":
                link.outgoing.insert(0, _call("public/test", {}))
                link.next_send_ns = min(link.next_send_ns, now_ns)
                self._pump(link, now_ns)
            return None
        channel = link.topics.get(params.channel)
        if channel is None:
            return None
        if isinstance(params.data, _Book):
            event_ns = params.data.timestamp * MS
            if channel.chained:
                self._book(channel, params.data, event_ns, now_ns)
            channel.event_ns = event_ns
        elif params.data:
            self._trades(channel, params.data, now_ns)
        return channel

    def _book(self, channel: Channel, book: _Book, event_ns: int, now_ns: int) -> None:
        if book.type == "snapshot":
            channel.last_id = book.change_id
            self._found(channel, "snapshot", now_ns)
        elif channel.synced:
            previous = -1 if book.prev_change_id is None else book.prev_change_id
            self._follow(channel, previous, book.change_id, event_ns, now_ns)

    def _trades(self, channel: Channel, trades: list[_Trade], now_ns: int) -> None:
        first, last = trades[0].trade_seq, trades[-1].trade_seq
        event_ns = trades[-1].timestamp * MS
        if first >= 0:
            self._follow(channel, first - 1, last, event_ns, now_ns)
        channel.event_ns = event_ns


def _control(method: str, channels: Sequence[Channel]) -> list[bytes]:
    topics = [channel.topic for channel in channels]
    parts = [topics[start : start + _FRAME_CHANNELS] for start in range(0, len(topics), _FRAME_CHANNELS)]
    return [_call(method, {"channels": part}) for part in parts]


def _call(method: str, params: dict[str, object]) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
