"""dYdX v4 indexer session: one socket for each 32 markets, a message counter over the whole connection.

Every message carries ``message_id``, one above the one before it on the connection. A jump therefore says that
something is missing, not of which market: all channels of that connection have a gap, and its books are subscribed
anew (the ``subscribed`` message brings the whole book). The venue pings every 30 s on the websocket level and sends no
time with its messages. Two subscriptions a second are allowed, and 32 channels of a kind on a connection. Best quotes
and liquidations have no channel of their own (liquidations are a type of trade).

Sources: github.com/dydxprotocol/v4-documentation, "Indexer WebSockets".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from venues.ports import Entropy
from venues.session_parts import MS, Channel, Id, Link, Wanted
from venues.sessions import Session

_CONNECTION_MARKETS: Final = 32
_DATA: Final = frozenset(("subscribed", "channel_data", "channel_batch_data"))


class _Frame(msgspec.Struct, gc=False):
    type: str = ""
    message_id: Id = -1
    channel: str = ""
    id: str = ""
    message: str = ""


class DydxSession(Session):
    """Perpetual markets of the indexer."""

    names = ("dydx",)
    offers = ("depth", "trades", "marks")
    send_gap_ns = 600 * MS

    def __init__(self, wanted: Wanted, entropy: Entropy) -> None:
        self._frame = msgspec.json.Decoder(_Frame)
        super().__init__(wanted, entropy)

    def _plan(self) -> tuple[Link, ...]:
        url = self._base(self.wanted.ws, "wss://indexer.dydx.trade") + "/v4/ws"
        depth, trades = self._symbols("depth"), self._symbols("trades")
        symbols = depth or trades
        links: list[Link] = []
        for start in range(0, max(len(symbols), 1), _CONNECTION_MARKETS):
            part = symbols[start : start + _CONNECTION_MARKETS]
            channels = [Channel("depth", s, f"v4_orderbook:{s}", chained=True) for s in part if depth]
            channels += [Channel("trades", s, f"v4_trades:{s}") for s in part if trades]
            if start == 0 and self._symbols("marks"):
                channels.append(Channel("marks", "", "v4_markets:"))
            if channels:
                links.append(Link(f"{self.venue}/indexer-{len(links) + 1}", url, channels))
        return tuple(links)

    def _subscribe(self, channels: Sequence[Channel]) -> list[bytes]:
        return [_control("subscribe", channel) for channel in channels]

    def _unsubscribe(self, channels: Sequence[Channel]) -> list[bytes]:
        return [_control("unsubscribe", channel) for channel in channels]

    def _read(self, link: Link, raw: bytes, now_ns: int) -> Channel | None:
        frame = self._frame.decode(raw)
        if frame.message_id >= 0:
            expected = None if link.sequence is None else link.sequence + 1
            if expected is not None and frame.message_id < expected:
                repeated = link.topics.get(f"{frame.channel}:{frame.id}")
                if repeated is not None:
                    repeated.duplicates += 1
                return repeated
            if expected is not None and frame.message_id > expected:
                for missing in link.channels:
                    detail = f"expected message {expected}, found {frame.message_id}"
                    self.lose(missing, "sequence", detail, now_ns)
            link.sequence = frame.message_id
        if frame.type == "error":
            self._refuse(link, frame.message, now_ns)
            return None
        channel = link.topics.get(f"{frame.channel}:{frame.id}") if frame.type in _DATA else None
        if channel is not None and channel.chained and frame.type == "subscribed":
            self._found(channel, "snapshot", now_ns)
        return channel


def _control(kind: str, channel: Channel) -> bytes:
    name, _, of = channel.topic.partition(":")
    message = {"type": kind, "channel": name}
    return msgspec.json.encode(message | {"id": of} if of else message)
