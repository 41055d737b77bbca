"""Hyperliquid market data session: one socket, whole books every time, a ping every 30 s.

``l2Book`` always sends the whole book, on a block at least half a second after the last one: there is no chain to
break, and 30 s without one is a dead subscription. The venue drops a connection to which it has sent nothing for 60 s.
Liquidations have no public channel. Ten connections and 1000 subscriptions an address are allowed.

Sources: hyperliquid.gitbook.io, "Websocket: Subscriptions", "Timeouts and heartbeats", "Rate limits".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from venues.ports import Entropy
from venues.session_parts import MS, SECOND, Channel, Link, Ms, Wanted
from venues.sessions import Session

_CONNECTION_CHANNELS: Final = 200
_GREETING: Final = b"Websocket connection established."


class _One(msgspec.Struct, gc=False):
    coin: str = ""
    time: Ms = 0


class _Frame(msgspec.Struct, gc=False):
    channel: str = ""
    data: _One | list[_One] | str | None = None


class HyperliquidSession(Session):
    """Perpetuals. ``book``: ``full`` is the venue's usual 20 levels, ``fast`` five levels every half second."""

    names = ("hyperliquid",)
    offers = ("depth", "trades", "quotes", "marks")
    books = ("full", "fast")
    beat_ns = 30 * SECOND
    beat = b'{"method":"ping"}'
    send_gap_ns = 50 * MS  # 2000 messages a minute and address
    connect_gap_ns = 2 * SECOND  # 30 new connections a minute

    def __init__(self, wanted: Wanted, entropy: Entropy) -> None:
        self._frame = msgspec.json.Decoder(_Frame)
        super().__init__(wanted, entropy)

    def _plan(self) -> tuple[Link, ...]:
        base = self._base(self.wanted.ws, "wss://api.hyperliquid.xyz")
        channels = [Channel("depth", s, f"l2Book:{s}", cadence_ns=30 * SECOND) for s in self._symbols("depth")]
        channels += [Channel("trades", s, f"trades:{s}") for s in self._symbols("trades")]
        channels += [Channel("quotes", s, f"bbo:{s}") for s in self._symbols("quotes")]
        channels += [Channel("marks", s, f"activeAssetCtx:{s}") for s in self._symbols("marks")]
        return tuple(self._split("ws", f"{base}/ws", channels, _CONNECTION_CHANNELS))

    def _subscribe(self, channels: Sequence[Channel]) -> list[bytes]:
        return [self._control("subscribe", channel) for channel in channels]

    def _unsubscribe(self, channels: Sequence[Channel]) -> list[bytes]:
        return [self._control("unsubscribe", channel) for channel in channels]

    def _control(self, method: str, channel: Channel) -> bytes:
        kind, _, coin = channel.topic.partition(":")
        subscription: dict[str, object] = {"type": kind, "coin": coin}
        if kind == "l2Book" and self.book == "fast":
            subscription["fast"] = True
        return msgspec.json.encode({"method": method, "subscription": subscription})

    def _read(self, link: Link, raw: bytes, now_ns: int) -> Channel | None:
        if raw == _GREETING:
            return None
        frame = self._frame.decode(raw)
        data = frame.data
        if isinstance(data, str):
            if frame.channel == "error":
                self._refuse(link, data, now_ns)
            return None
        one = data[-1] if isinstance(data, list) and data else data
        if not isinstance(one, _One):
            return None
        channel = link.topics.get(f"{frame.channel}:{one.coin}")
        if channel is None:
            return None
        if channel.stream == "depth":
            self._found(channel, "snapshot", now_ns)
        channel.event_ns = one.time * MS or channel.event_ns
        return channel
