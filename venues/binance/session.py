"""Binance futures market data session: public and market sockets, the ``pu`` chain, depth snapshots over REST.

USD-M has two sockets since 2026-04-23: ``/public`` (depth, bookTicker) and ``/market`` (aggTrade, markPrice,
forceOrder); COIN-M has one. Streams are named in the address, so that no control frames are needed; 200 of them a
connection (1024 are allowed since 2025-07-02, 200 before).

Book rule: each diff's ``pu`` is the ``u`` before it; otherwise a new snapshot is asked for, which joins the diffs kept
when it is not older than the first of them. A snapshot of 1000 levels weighs 20 of the 2400 a minute: one every
600 ms stays below that. ``markPrice@1s`` comes every second, so 15 s without it is a dead stream. A connection lives
24 hours, then the venue closes it.

Sources: developers.binance.com, derivatives, "Important WebSocket Change Notice", "Websocket Market Streams", "How to
manage a local order book correctly", "Order Book".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from venues.ports import Entropy
from venues.session_parts import MS, SECOND, Channel, Id, Link, Ms, Wanted
from venues.sessions import Session

_HOSTS: Final = {
    "binance_usdm": ("wss://fstream.binance.com", "https://fapi.binance.com", "/fapi/v1/depth"),
    "binance_coinm": ("wss://dstream.binance.com", "https://dapi.binance.com", "/dapi/v1/depth"),
}
_CONNECTION_STREAMS: Final = 200
_ALIASES_MAX: Final = 4096
_STREAM_OF: Final = {
    "depthUpdate": "depth",
    "trade": "trades",
    "aggTrade": "trades",
    "bookTicker": "quotes",
    "markPriceUpdate": "marks",
}


class _Data(
    msgspec.Struct,
    gc=False,
    rename={
        "event": "e",
        "push_ms": "E",
        "event_ms": "T",
        "symbol": "s",
        "first_id": "U",
        "last_id": "u",
        "previous_id": "pu",
    },
):
    event: str = ""
    push_ms: Ms = 0
    event_ms: Ms = 0
    symbol: str = ""
    first_id: Id = 0
    last_id: Id = 0
    previous_id: Id = 0


class _Error(msgspec.Struct, gc=False):
    code: int = 0
    msg: str = ""


class _Frame(msgspec.Struct, gc=False):
    stream: str = ""
    data: _Data | None = None
    error: _Error | None = None


class _Snapshot(msgspec.Struct, gc=False, rename={"last_id": "lastUpdateId"}):
    last_id: Id
    bids: list[msgspec.Raw]
    asks: list[msgspec.Raw]


class BinanceSession(Session):
    """USD-M and COIN-M. ``book``: the speed of the diff stream."""

    names = ("binance_usdm", "binance_coinm")
    books = ("100ms", "250ms", "500ms", "0ms")
    can_resubscribe = False

    def __init__(self, wanted: Wanted, entropy: Entropy) -> None:
        self._frame = msgspec.json.Decoder(_Frame)
        self._body = msgspec.json.Decoder(_Snapshot)
        super().__init__(wanted, entropy)

    def _plan(self) -> tuple[Link, ...]:
        ws, rest, path = _HOSTS[self.venue]
        base = self._base(self.wanted.ws, ws)
        self._depth_url = self._base(self.wanted.rest, rest) + path
        speed = "" if self.book == "250ms" else f"@{self.book}"
        public = [Channel("depth", s, f"{s.lower()}@depth{speed}", chained=True) for s in self._symbols("depth")]
        public += [Channel("quotes", s, f"{s.lower()}@bookTicker") for s in self._symbols("quotes")]
        market = [Channel("trades", s, f"{s.lower()}@aggTrade") for s in self._symbols("trades")]
        market += [
            Channel("marks", s, f"{s.lower()}@markPrice@1s", cadence_ns=15 * SECOND) for s in self._symbols("marks")
        ]
        market += [Channel("liquidations", s, f"{s.lower()}@forceOrder") for s in self._symbols("liquidations")]
        if self.venue == "binance_coinm":
            groups = [("all", base, [*public, *market])]
        else:
            groups = [("public", f"{base}/public", public), ("market", f"{base}/market", market)]
        links = []
        for name, address, channels in groups:
            for link in self._split(name, "", channels, _CONNECTION_STREAMS):
                link.url = f"{address}/stream?streams=" + "/".join(channel.topic for channel in link.channels)
                links.append(link)
        return tuple(links)

    def _subscribe(self, channels: Sequence[Channel]) -> list[bytes]:
        return []  # the address says it

    def _unsubscribe(self, channels: Sequence[Channel]) -> list[bytes]:
        return []

    def _read(self, link: Link, raw: bytes, now_ns: int) -> Channel | None:
        frame = self._frame.decode(raw)
        data = frame.data
        if data is None:
            if frame.error is not None:
                self._refuse(link, f"{frame.error.code} {frame.error.msg}", now_ns)
            return None
        channel = link.topics.get(frame.stream) or self._alias(link, frame.stream, data)
        if channel is None:
            return None
        stream = channel.stream
        late_ms = data.push_ms if stream == "marks" else max(data.push_ms, data.event_ms)
        if stream == "depth":
            self._depth(channel, data, late_ms * MS, now_ns)
        channel.event_ns = late_ms * MS
        return channel

    def _depth(self, channel: Channel, data: _Data, event_ns: int, now_ns: int) -> None:
        if not self._follow(channel, data.previous_id, data.last_id, event_ns, now_ns):
            return
        if channel.first_id is None:
            channel.first_id = data.first_id
            if not channel.synced and not channel.due_ns and not channel.deadline_ns:
                self._schedule(channel, now_ns)

    def _alias(self, link: Link, topic: str, data: _Data) -> Channel | None:
        """The channel of a topic spelt otherwise than asked for, found by its event and symbol."""
        stream = _STREAM_OF.get(data.event, "")
        for channel in link.channels:
            if channel.stream == stream and channel.symbol == data.symbol and len(link.topics) < _ALIASES_MAX:
                link.topics[topic] = channel
                return channel
        return None

    def _resync(self, link: Link, channel: Channel, now_ns: int) -> None:
        """A snapshot over REST, once the stream has begun: it must not be older than the first diff kept."""
        if channel.first_id is not None:
            self._fetch(channel, f"{self._depth_url}?symbol={channel.symbol}&limit=1000", now_ns)

    def _snapshot(self, channel: Channel, body: bytes) -> int:
        found = self._body.decode(body)
        if not found.bids or not found.asks:
            raise msgspec.DecodeError("one side is empty")
        return found.last_id
