"""Bybit V5 market data session: one public socket, books that arrive as snapshot and deltas, a ping every 20 s.

Book rule: a snapshot replaces the book, a delta's ``u`` is one above the ``u`` before it; otherwise the topic is
subscribed anew, which brings a snapshot. (The venue documents only that ``u`` rises; that it rises by one is the
recommended reading. Should it not, resyncs back off to one in ten minutes and every jump is a gap note.) Quotes are
``orderbook.1``, which sends snapshots only and repeats the last after 3 s without a change: 30 s of silence is a dead
topic. Mark, index and funding come with ``tickers``.

Sources: bybit-exchange.github.io/docs/v5, "Connect", "Orderbook", "Trade", "Ticker", "All Liquidation".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from venues.ports import Entropy
from venues.session_parts import MS, SECOND, Channel, Id, Link, Ms, Wanted
from venues.sessions import Session

_PATHS: Final = {"bybit_linear": "/v5/public/linear", "bybit_inverse": "/v5/public/inverse"}
_CONNECTION_TOPICS: Final = 300
_FRAME_TOPICS: Final = 100  # arguments of a connection together have at most 21,000 characters


class _Book(msgspec.Struct, gc=False):
    u: Id = 0


class _Item(msgspec.Struct, gc=False):
    pass


class _Frame(msgspec.Struct, gc=False):
    topic: str = ""
    type: str = ""
    ts: Ms = 0
    cts: Ms = 0
    data: _Book | list[_Item] | None = None
    success: bool = True
    ret_msg: str = ""


class BybitSession(Session):
    """Linear and inverse. ``book``: the depth of the book topic."""

    names = ("bybit_linear", "bybit_inverse")
    books = ("50", "200", "1000")
    beat_ns = 20 * SECOND
    beat = b'{"op":"ping"}'

    def __init__(self, wanted: Wanted, entropy: Entropy) -> None:
        self._frame = msgspec.json.Decoder(_Frame)
        super().__init__(wanted, entropy)

    def _plan(self) -> tuple[Link, ...]:
        base = self._base(self.wanted.ws, "wss://stream.bybit.com")
        channels = [Channel("depth", s, f"orderbook.{self.book}.{s}", chained=True) for s in self._symbols("depth")]
        channels += [Channel("trades", s, f"publicTrade.{s}") for s in self._symbols("trades")]
        channels += [Channel("quotes", s, f"orderbook.1.{s}", cadence_ns=30 * SECOND) for s in self._symbols("quotes")]
        channels += [Channel("marks", s, f"tickers.{s}") for s in self._symbols("marks")]
        channels += [Channel("liquidations", s, f"allLiquidation.{s}") for s in self._symbols("liquidations")]
        return tuple(self._split("public", base + _PATHS[self.venue], channels, _CONNECTION_TOPICS))

    def _subscribe(self, channels: Sequence[Channel]) -> list[bytes]:
        return _control("subscribe", channels)

    def _unsubscribe(self, channels: Sequence[Channel]) -> list[bytes]:
        return _control("unsubscribe", channels)

    def _read(self, link: Link, raw: bytes, now_ns: int) -> Channel | None:
        frame = self._frame.decode(raw)
        if not frame.topic:
            if not frame.success:
                self._refuse(link, frame.ret_msg, now_ns)
            return None
        channel = link.topics.get(frame.topic)
        if channel is None:
            return None
        event_ns = max(frame.ts, frame.cts) * MS
        if channel.chained and isinstance(frame.data, _Book):
            last = frame.data.u
            if frame.type == "snapshot":
                channel.last_id = last
                self._found(channel, "snapshot", now_ns)
            elif channel.synced:
                self._follow(channel, last - 1, last, event_ns, now_ns)
        channel.event_ns = event_ns
        return channel


def _control(operation: str, channels: Sequence[Channel]) -> list[bytes]:
    topics = [channel.topic for channel in channels]
    parts = [topics[start : start + _FRAME_TOPICS] for start in range(0, len(topics), _FRAME_TOPICS)]
    return [msgspec.json.encode({"op": operation, "args": part}) for part in parts]
