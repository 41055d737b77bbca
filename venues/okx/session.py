"""OKX v5 market data session: one public socket, the ``prevSeqId`` chain, the text ``ping`` every 20 s.

Book rule: a snapshot (``prevSeqId`` -1) replaces the book, an update's ``prevSeqId`` is the ``seqId`` before it (which
may be lower than that after maintenance); otherwise the channel is unsubscribed and subscribed. The venue has announced
books without a first snapshot: updates that come without one are joined to a REST snapshot instead. A book without a
change sends an empty update after about 60 s, so 90 s of silence is a dead channel. Recordings from before 2023 have no
ids; then only the snapshot is watched.

Marks are three channels: ``mark-price``, ``index-tickers`` (of the instrument's index) and ``funding-rate``. At most
480 subscribe and unsubscribe frames an hour are allowed: resyncs back off well below that.

Sources: okx.com/docs-v5, "WebSocket", "Order book channel", "Public data"; the checksum belongs to the codec.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from venues.instruments import Instrument
from venues.ports import Entropy
from venues.session_parts import ANSWER_NS, MS, SECOND, Channel, Id, Link, Wanted
from venues.sessions import Session

_CONNECTION_CHANNELS: Final = 100
_FRAME_CHANNELS: Final = 50
_FIRST: Final = -1  # prevSeqId of a snapshot
_NO_ID: Final = -2
_UPGRADE: Final = "64008"  # the service is about to restart


class _Arg(msgspec.Struct, gc=False):
    channel: str = ""
    instId: str = ""  # noqa: N815  # the venue's spelling
    instType: str = ""  # noqa: N815


class _Row(msgspec.Struct, gc=False, rename={"last_id": "seqId", "previous_id": "prevSeqId"}):
    ts: str = ""
    last_id: Id = _NO_ID
    previous_id: Id = _NO_ID


class _Frame(msgspec.Struct, gc=False):
    arg: _Arg | None = None
    action: str = ""
    event: str = ""
    code: str = ""
    msg: str = ""
    data: list[_Row] | None = None


class _BookReply(msgspec.Struct, gc=False):
    data: list[_Row]


class OkxSession(Session):
    """Swaps. ``book``: the book channel; those of ``tbt`` kind need a login, which a recorder has not."""

    names = ("okx",)
    books = ("books", "books5")
    beat_ns = 20 * SECOND
    beat = b"ping"
    connect_gap_ns = 500 * MS

    def __init__(self, wanted: Wanted, entropy: Entropy) -> None:
        self._frame = msgspec.json.Decoder(_Frame)
        self._body = msgspec.json.Decoder(_BookReply)
        super().__init__(wanted, entropy)

    def _plan(self) -> tuple[Link, ...]:
        base = self._base(self.wanted.ws, "wss://ws.okx.com:8443")
        self._rest = self._base(self.wanted.rest, "https://www.okx.com")
        has_updates = self.book == "books"
        channels = [
            Channel("depth", s, f"{self.book}:{s}", chained=has_updates, cadence_ns=90 * SECOND)
            for s in self._symbols("depth")
        ]
        channels += [Channel("trades", s, f"trades:{s}") for s in self._symbols("trades")]
        channels += [Channel("quotes", s, f"bbo-tbt:{s}") for s in self._symbols("quotes")]
        for instrument in self.wanted.instruments if self._symbols("marks") else ():
            symbol = instrument.symbol
            channels.append(Channel("marks", symbol, f"mark-price:{symbol}"))
            channels.append(Channel("marks", symbol, f"index-tickers:{_index(instrument)}"))
            channels.append(Channel("marks", symbol, f"funding-rate:{symbol}"))
        if self._symbols("liquidations"):
            channels.append(Channel("liquidations", "", "liquidation-orders:SWAP"))
        return tuple(self._split("public", f"{base}/ws/v5/public", channels, _CONNECTION_CHANNELS))

    def _subscribe(self, channels: Sequence[Channel]) -> list[bytes]:
        return _control("subscribe", channels)

    def _unsubscribe(self, channels: Sequence[Channel]) -> list[bytes]:
        return _control("unsubscribe", channels)

    def _read(self, link: Link, raw: bytes, now_ns: int) -> Channel | None:
        if raw == b"pong":
            return None
        frame = self._frame.decode(raw)
        if frame.event:
            self._event(link, frame, now_ns)
            return None
        if frame.arg is None or not frame.data:
            return None
        channel = link.topics.get(f"{frame.arg.channel}:{frame.arg.instId or frame.arg.instType}")
        if channel is None:
            return None
        row = frame.data[-1]
        event_ns = int(row.ts) * MS if row.ts.isdigit() and len(row.ts) < 16 else 0
        if channel.stream == "depth":
            self._book(channel, frame, event_ns, now_ns)
        channel.event_ns = event_ns or channel.event_ns
        return channel

    def _event(self, link: Link, frame: _Frame, now_ns: int) -> None:
        if frame.event == "notice" and frame.code == _UPGRADE:
            self._reconnect(link, "the venue announced a restart")
        elif frame.event == "error":
            self._refuse(link, f"{frame.code} {frame.msg}", now_ns)

    def _book(self, channel: Channel, frame: _Frame, event_ns: int, now_ns: int) -> None:
        if not channel.chained:
            self._found(channel, "snapshot", now_ns)
            return
        for row in frame.data or ():
            if frame.action == "snapshot" or row.previous_id == _FIRST:
                channel.last_id = row.last_id
                self._found(channel, "snapshot", now_ns)
            elif row.last_id == _NO_ID:
                continue  # from before the venue had ids
            elif self._follow(channel, row.previous_id, row.last_id, event_ns, now_ns) and channel.first_id is None:
                channel.first_id = row.previous_id
                if not channel.synced and not channel.due_ns:
                    channel.deadline_ns = now_ns + ANSWER_NS  # a snapshot may still come

    def _resync(self, link: Link, channel: Channel, now_ns: int) -> None:
        """Subscribe anew; when that has brought updates but no snapshot, ask for one."""
        if channel.tries > 1 and channel.first_id is not None:
            url = f"{self._rest}/api/v5/market/books?instId={channel.symbol}&sz=400"
            self._fetch(channel, url, now_ns)
            return
        super()._resync(link, channel, now_ns)

    def _snapshot(self, channel: Channel, body: bytes) -> int:
        rows = self._body.decode(body).data
        if not rows or rows[0].last_id < 0:
            raise msgspec.DecodeError("no book with a seqId")
        return rows[0].last_id


def _index(instrument: Instrument) -> str:
    return f"{instrument.base}-{instrument.quote}"


def _control(operation: str, channels: Sequence[Channel]) -> list[bytes]:
    arguments = []
    for channel in channels:
        name, _, of = channel.topic.partition(":")
        arguments.append({"channel": name, "instType" if name == "liquidation-orders" else "instId": of})
    parts = [arguments[start : start + _FRAME_CHANNELS] for start in range(0, len(arguments), _FRAME_CHANNELS)]
    return [msgspec.json.encode({"op": operation, "args": part}) for part in parts]
