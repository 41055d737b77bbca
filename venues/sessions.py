"""Market data sessions: what to connect to, what to send, what an incoming frame means for the connection. No I/O.

Theory of operation. A session is a plain object for one venue of a recording (or of a live feed). It is told what
happened (``on_open on_frame on_control on_reply on_close on_tick``, each with the monotonic time in nanoseconds) and
leaves what it wants done in a list that ``take_actions`` hands over: frames to send, REST requests, reconnects, and
facts to write down (``Lost Found Remark``). It never decodes prices: book chains are watched with a partial decode of
the few fields that carry ids and times, so that watching costs about a microsecond a frame.

Every subscription is a ``Channel``: one topic of one symbol on one connection. A channel whose updates form a chain
(``chained``) is *synced* while the chain from its last snapshot is unbroken. When it breaks, that channel alone is
resynced by the venue's rule (``venues/<venue>/session.py``): a REST snapshot, or unsubscribe and subscribe. The first
try is immediate, later ones back off exponentially with jitter up to ten minutes; a series counts as over when the
channel has stayed synced for a minute. Backing off is what bounds a resync loop: at most 22 tries in the first hour.

Two timers find dead connections. *Transport*: no frame of any kind, pongs included, although we ping (a websocket
ping every 20 s): the peer is gone. *Data*: no data frame, however many pongs: for single channels where the venue
guarantees a cadence, for a connection as a whole otherwise. A quiet market must not flap, so a data timer that fires
allows twice the silence the next time, until data has flowed steadily for ten minutes.

REST requests are paced, and a refusal for too many of them (429, 418, 403) silences all requests of the session until
its Retry-After has passed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar, Protocol
from urllib.parse import urlsplit

import msgspec

from venues.errors import InputError
from venues.ports import Entropy
from venues.session_parts import (
    ANSWER_NS,
    CALM_NS,
    LOOPBACK,
    MS,
    PING_NS,
    REFUSAL_NS,
    SECOND,
    SILENT_NS,
    STREAMS,
    Action,
    Channel,
    Fetch,
    Found,
    Link,
    Lost,
    Ping,
    Reconnect,
    Remark,
    Reply,
    Send,
    Wanted,
    backoff_ns,
    retry_after_ns,
)


class MarketSession(Protocol):
    """What a recorder drives; see the module's text. Names of connections are those of ``links``."""

    venue: str
    links: tuple[Link, ...]
    connect_gap_ns: int
    actions: list[Action]

    def on_open(self, connection: str, now_ns: int) -> None: ...

    def on_frame(self, connection: str, raw: bytes, now_ns: int) -> Channel | None: ...

    def on_control(self, connection: str, now_ns: int) -> None: ...

    def on_hold(self, connection: str, now_ns: int) -> None: ...

    def on_reply(self, number: int, reply: Reply, now_ns: int) -> None: ...

    def on_close(self, connection: str, now_ns: int) -> None: ...

    def on_tick(self, now_ns: int) -> None: ...

    def lose(self, channel: Channel, why: str, detail: str, now_ns: int) -> None: ...

    def take_actions(self) -> list[Action]: ...


class Session:
    """What the venues' sessions share; a venue says its addresses, its frames and its chain rule (``_read``).

    ``names`` are the venues (rule cards) it serves, ``offers`` the streams it has, ``books`` the kinds of book stream
    it knows, the usual one first. ``send_gap_ns`` paces outgoing frames, ``rest_gap_ns`` REST requests.
    """

    names: ClassVar[tuple[str, ...]]
    offers: ClassVar[tuple[str, ...]] = STREAMS
    books: ClassVar[tuple[str, ...]] = ("",)
    send_gap_ns: ClassVar[int] = 100 * MS
    rest_gap_ns: ClassVar[int] = 600 * MS
    connect_gap_ns: int = 400 * MS
    beat_ns: ClassVar[int] = 0  # how often the venue wants a heartbeat frame; 0: never
    beat: ClassVar[bytes] = b""

    def __init__(self, wanted: Wanted, entropy: Entropy) -> None:
        self.venue = wanted.venue
        self.wanted = wanted
        self.book = wanted.book or self.books[0]
        if self.book not in self.books:
            raise InputError(
                f"{wanted.venue} has no book stream {self.book!r}; it has {', '.join(self.books)}", source="record",
                field="book",
            )  # fmt: skip
        self._entropy = entropy
        self.actions: list[Action] = []
        self._number = 0
        self._requests: dict[int, Channel] = {}
        self._next_request_ns = 0
        self.links = self._plan()
        self._links = {link.name: link for link in self.links}
        self._channels = [channel for link in self.links for channel in link.channels]

    # -- what a venue says

    def _plan(self) -> tuple[Link, ...]:
        """The connections and their channels."""
        raise NotImplementedError

    def _subscribe(self, channels: Sequence[Channel]) -> list[bytes]:
        """Frames that subscribe."""
        raise NotImplementedError

    def _unsubscribe(self, channels: Sequence[Channel]) -> list[bytes]:
        """Frames that unsubscribe."""
        raise NotImplementedError

    def _read(self, link: Link, raw: bytes, now_ns: int) -> Channel | None:
        """Understand a frame: its channel (None: a frame of the session's own), its venue time, its place in the
        chain. Raises ``msgspec.DecodeError`` for what is not the venue's."""
        raise NotImplementedError

    def _snapshot(self, channel: Channel, body: bytes) -> int:
        """The id of a REST snapshot. Raises ``msgspec.DecodeError`` for a body that is none."""
        raise NotImplementedError

    # -- what happened

    def on_open(self, connection: str, now_ns: int) -> None:
        """The websocket is open: subscribe."""
        link = self._links[connection]
        link.is_open = True
        link.closing = False
        link.sequence = None
        link.last_frame_ns = now_ns
        link.next_ping_ns = now_ns + PING_NS
        link.next_beat_ns = now_ns + self.beat_ns
        link.data.start(now_ns)
        for channel in link.channels:
            channel.restart()
            channel.watch.start(now_ns)
        link.outgoing = self._opening(link) + self._subscribe(link.channels)
        if self.can_resubscribe:  # a book that brings no snapshot is subscribed anew
            for channel in link.channels:
                if channel.chained:
                    channel.deadline_ns = now_ns + 2 * ANSWER_NS + len(link.outgoing) * self.send_gap_ns
        self._pump(link, now_ns)

    def _opening(self, link: Link) -> list[bytes]:
        return []

    def on_frame(self, connection: str, raw: bytes, now_ns: int) -> Channel | None:
        """A text or binary frame. Returns its channel; None for what is no data."""
        link = self._links[connection]
        link.last_frame_ns = now_ns
        link.frames += 1
        link.octets += len(raw)
        try:
            if not raw.isascii():
                raw.decode()
            channel = self._read(link, raw, now_ns)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._malformed(link, str(error) or type(error).__name__)
            return None
        if channel is not None:
            channel.frames += 1
            channel.octets += len(raw)
            channel.watch.seen(now_ns)
            link.data.seen(now_ns)
        return channel

    def on_control(self, connection: str, now_ns: int) -> None:
        """A websocket ping or pong came: the peer lives."""
        self._links[connection].last_frame_ns = now_ns

    def on_hold(self, connection: str, now_ns: int) -> None:
        """We do not read at present, for want of room: silence says nothing about the venue."""
        link = self._links[connection]
        link.last_frame_ns = now_ns
        link.data.last_ns = now_ns
        for channel in link.channels:
            channel.watch.last_ns = now_ns

    def on_close(self, connection: str, now_ns: int) -> None:
        """The connection is gone; what it would have brought is lost until it is open again."""
        link = self._links[connection]
        if not link.is_open:
            return
        link.is_open = False
        link.outgoing = []
        for channel in link.channels:
            channel.restart()
            channel.gaps += 1
            self.actions.append(Lost(channel, "disconnect", ""))

    def on_reply(self, number: int, reply: Reply, now_ns: int) -> None:
        """The answer to a ``Fetch``. It is judged by what the channel needs now, which may be more than when asking."""
        channel = self._requests.pop(number, None)
        if channel is None or channel.synced or not self._links[channel.connection].is_open:
            return
        if reply.status != 200:
            self._refused(channel, reply, now_ns)
            self._retry(channel, now_ns)
            return
        try:
            found = self._snapshot(channel, reply.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            self._remark(channel, f"the snapshot is not usable: {str(error)[:200]}")
            self._retry(channel, now_ns)
            return
        if channel.first_id is None or found < channel.first_id:
            least = "none yet" if channel.first_id is None else str(channel.first_id)
            self._remark(channel, f"snapshot {found} is older than the first update kept ({least})")
            self._retry(channel, now_ns)
            return
        self._found(channel, "rest", now_ns)

    def _refused(self, channel: Channel, reply: Reply, now_ns: int) -> None:
        text = reply.error or f"HTTP {reply.status}: {reply.body[:200].decode('utf-8', 'replace')}"
        if reply.status in (403, 418, 429):
            wait_ns = retry_after_ns(reply.headers)
            self._next_request_ns = max(self._next_request_ns, now_ns + wait_ns)
            text += f"; no request for {wait_ns // SECOND} s"
        self._remark(channel, f"no snapshot: {text}")

    def on_tick(self, now_ns: int) -> None:
        """Called about ten times a second: frames that waited, heartbeats, timers, resyncs."""
        for link in self.links:
            if not link.is_open or link.closing:
                continue
            if link.outgoing:
                self._pump(link, now_ns)
            if now_ns >= link.next_ping_ns:
                link.next_ping_ns = now_ns + PING_NS
                self.actions.append(Ping(link.name))
            if self.beat_ns and now_ns >= link.next_beat_ns:
                link.next_beat_ns = now_ns + self.beat_ns
                self.actions.append(Send(link.name, self.beat))
            if now_ns - link.last_frame_ns > SILENT_NS:
                self._reconnect(link, f"no frame for {SILENT_NS // SECOND} s, not even a pong")
            elif link.data.exceeded(now_ns):
                self._reconnect(link, "no data, although the connection answers")
            else:
                self._check_channels(link, now_ns)

    def _check_channels(self, link: Link, now_ns: int) -> None:
        for channel in link.channels:
            if channel.watch.base_ns and channel.watch.exceeded(now_ns):
                self._stale(link, channel, now_ns)
            if link.closing:
                return
            if channel.deadline_ns and now_ns >= channel.deadline_ns:
                self._remark(channel, "the resync brought nothing")
                self._retry(channel, now_ns)
            if channel.due_ns and now_ns >= channel.due_ns:
                self._resync(link, channel, now_ns)

    def lose(self, channel: Channel, why: str, detail: str, now_ns: int) -> None:
        """Data of a channel is missing. A chained channel is resynced."""
        channel.gaps += 1
        self.actions.append(Lost(channel, why, detail))
        if channel.chained:
            was_waiting = channel.due_ns or channel.deadline_ns
            channel.first_id = channel.last_id = None
            channel.synced = False
            if not was_waiting:
                self._schedule(channel, now_ns)

    def take_actions(self) -> list[Action]:
        """What is to be done, in order; the session forgets it."""
        taken, self.actions = self.actions, []
        return taken

    # -- resyncs

    def _schedule(self, channel: Channel, now_ns: int) -> None:
        if channel.synced_ns and now_ns - channel.synced_ns >= CALM_NS:
            channel.tries = 0
        channel.synced_ns = 0
        channel.due_ns = now_ns + (backoff_ns(channel.tries - 1, self._entropy) if channel.tries else 0)
        channel.deadline_ns = 0
        channel.tries += 1

    def _retry(self, channel: Channel, now_ns: int) -> None:
        if not channel.synced:
            self._schedule(channel, now_ns)

    def _resync(self, link: Link, channel: Channel, now_ns: int) -> None:
        """Start a resync: subscribe anew."""
        channel.restart()
        channel.deadline_ns = now_ns + ANSWER_NS
        link.outgoing += self._unsubscribe([channel]) + self._subscribe([channel])
        self._pump(link, now_ns)

    def _fetch(self, channel: Channel, url: str, now_ns: int) -> None:
        """Start a resync: ask for a snapshot, as soon as the pace allows it; one request at a time."""
        if self._requests or now_ns < self._next_request_ns:
            return  # it stays due
        self._next_request_ns = now_ns + self.rest_gap_ns
        self._number += 1
        self._requests[self._number] = channel
        channel.due_ns = 0
        channel.deadline_ns = now_ns + 2 * ANSWER_NS
        self.actions.append(Fetch(self._number, "GET", url, channel.symbol, channel.stream))

    def _stale(self, link: Link, channel: Channel, now_ns: int) -> None:
        """A channel with a cadence is silent: subscribe it anew; the third time in a row, connect anew."""
        allowed = channel.watch.allowed_ns // (2 * SECOND)
        if not self.can_resubscribe or channel.watch.allowed_ns > 4 * channel.watch.base_ns:
            self._reconnect(link, f"{channel.topic}: nothing for {allowed} s")
            return
        self.lose(channel, "stale", f"nothing for {allowed} s", now_ns)
        if not channel.chained:
            link.outgoing += self._unsubscribe([channel]) + self._subscribe([channel])

    can_resubscribe: ClassVar[bool] = True

    def _found(self, channel: Channel, how: str, now_ns: int) -> None:
        if channel.synced:
            return
        channel.synced = True
        channel.synced_ns = now_ns
        channel.due_ns = channel.deadline_ns = 0
        channel.resyncs += 1
        self.actions.append(Found(channel, how, channel.tries))

    def _follow(self, channel: Channel, previous: int, last: int, event_ns: int, now_ns: int) -> bool:
        """Check an update of a chained channel against the chain; False when it is not the next one.

        Old updates (repeated after a reconnect, or late) are counted and passed over; a lower id at a later venue time
        is a restarted numbering, which breaks the chain like any other jump.
        """
        expected = channel.last_id
        if expected is not None and previous != expected:
            if last <= expected and event_ns <= channel.chain_ns:
                channel.duplicates += 1
                return False
            self.lose(channel, "sequence", f"expected {expected}, found {previous}", now_ns)
        channel.last_id = last
        channel.chain_ns = event_ns
        return True

    # -- frames out, faults

    def _pump(self, link: Link, now_ns: int) -> None:
        while link.outgoing and now_ns >= link.next_send_ns:
            self.actions.append(Send(link.name, link.outgoing.pop(0)))
            link.next_send_ns = now_ns + self.send_gap_ns

    def _reconnect(self, link: Link, why: str) -> None:
        """Ask for a new connection, once. The link counts as open until ``on_close``."""
        if link.closing:
            return
        link.closing = True
        self.actions.append(Reconnect(link.name, why))

    def _refuse(self, link: Link, text: str, now_ns: int) -> None:
        """The venue refused something. A new connection may help (limits, a restart), but must not become a habit that
        costs the streams it did not refuse: one in ten minutes."""
        self.actions.append(Remark(link.name, "", f"refused: {text[:200]}"))
        if link.refused_ns is None or now_ns - link.refused_ns > REFUSAL_NS:
            link.refused_ns = now_ns
            self._reconnect(link, f"refused: {text[:200]}")

    def _malformed(self, link: Link, why: str) -> None:
        self.actions.append(Remark(link.name, "", f"malformed frame: {why[:200]}"))
        self._reconnect(link, "malformed frame")

    def _remark(self, channel: Channel, text: str) -> None:
        self.actions.append(Remark(channel.connection, channel.symbol, text))

    # -- planning

    def _symbols(self, stream: str) -> list[str]:
        """The symbols whose ``stream`` is wanted; none where the venue has no such stream."""
        if stream not in self.offers or stream not in self.wanted.streams:
            return []
        return [instrument.symbol for instrument in self.wanted.instruments]

    def _base(self, given: str, usual: str) -> str:
        """The host to use: given or the venue's. Plain connections go to this machine only."""
        base = (given or usual).rstrip("/")
        parts = urlsplit(base)
        if parts.scheme not in ("ws", "wss", "http", "https") or not parts.hostname:
            raise InputError(f"{base!r} is no address such as wss://host:443", source=f"record, {self.venue}")
        if parts.scheme in ("ws", "http") and parts.hostname not in LOOPBACK:
            raise InputError(
                f"{base}: a connection without TLS may only go to this machine", source=f"record, {self.venue}"
            )
        return base

    def _split(self, name: str, url: str, channels: Iterable[Channel], most: int) -> list[Link]:
        """Connections ``name-1``, ``name-2`` ... of at most ``most`` channels; none without channels."""
        found = list({channel.topic: channel for channel in channels}.values())
        parts = [found[start : start + most] for start in range(0, len(found), most)]
        return [Link(f"{self.venue}/{name}-{place}", url, part) for place, part in enumerate(parts, 1)]


# -- registry


def _sessions() -> dict[str, Callable[[Wanted, Entropy], Session]]:
    from venues.binance.session import BinanceSession
    from venues.bybit.session import BybitSession
    from venues.deribit.session import DeribitSession
    from venues.dydx.session import DydxSession
    from venues.hyperliquid.session import HyperliquidSession
    from venues.okx.session import OkxSession

    kinds = (BinanceSession, BybitSession, OkxSession, HyperliquidSession, DydxSession, DeribitSession)
    return {name: kind for kind in kinds for name in kind.names}


def session_venues() -> tuple[str, ...]:
    """The venues that can be recorded."""
    return tuple(_sessions())


def market_session(wanted: Wanted, entropy: Entropy) -> MarketSession:
    """The session for what is wanted. Raises ``InputError`` for a venue, stream or book kind that is not known."""
    kinds = _sessions()
    if wanted.venue not in kinds:
        raise InputError(f"cannot be recorded; known are {', '.join(kinds)}", source=f"venue {wanted.venue}")
    unknown = sorted(wanted.streams - set(STREAMS))
    if unknown:
        raise InputError(f"no stream {unknown[0]!r}; there are {', '.join(STREAMS)}", source="record", field="streams")
    session = kinds[wanted.venue](wanted, entropy)
    if not session.links:
        raise InputError(f"has none of the streams {', '.join(sorted(wanted.streams))}", source=f"venue {wanted.venue}")
    return session
