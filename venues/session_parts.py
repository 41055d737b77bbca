"""What market data sessions are made of, and the actions they ask for; how they work: ``venues/sessions.py``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

import msgspec

from venues.instruments import Instrument
from venues.ports import Entropy

SECOND: Final = 1_000_000_000
MS: Final = 1_000_000
STREAMS: Final = ("depth", "trades", "quotes", "marks", "liquidations")

PING_NS: Final = 20 * SECOND  # websocket ping
SILENT_NS: Final = 45 * SECOND  # the peer is gone: not even a pong
QUIET_NS: Final = 120 * SECOND  # no data on a whole connection, at first
QUIET_MAX_NS: Final = 1800 * SECOND
STEADY_NS: Final = 600 * SECOND
CALM_NS: Final = 60 * SECOND  # synced for so long ends a series of resyncs
ANSWER_NS: Final = 15 * SECOND  # a resync that has brought nothing by then is tried again
BACKOFF_NS: Final = SECOND
BACKOFF_MAX_NS: Final = 600 * SECOND
REFUSED_NS: Final = 60 * SECOND  # silence after a refusal that names no time
REFUSED_MAX_NS: Final = 3 * 86_400 * SECOND
# Numbers of frames are bounded, so that whatever is computed from them fits 64 bits.
Ms = Annotated[int, msgspec.Meta(ge=0, le=9_223_372_036_853)]
Id = Annotated[int, msgspec.Meta(ge=-(1 << 62), le=(1 << 63) - 1)]
REFUSAL_NS: Final = 600 * SECOND  # between two new connections because of a refusal
LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


# -- what a session asks for


class Send(msgspec.Struct, frozen=True):
    """Send a text frame."""

    connection: str
    payload: bytes


class Ping(msgspec.Struct, frozen=True):
    """Send a websocket ping."""

    connection: str


class Fetch(msgspec.Struct, frozen=True):
    """Make a REST request; the answer goes to ``on_reply``. ``symbol`` says whose answer it is."""

    number: int
    method: str
    url: str
    symbol: str
    stream: str


class Reconnect(msgspec.Struct, frozen=True):
    """Close the connection and open it again."""

    connection: str
    why: str


class Lost(msgspec.Struct, frozen=True):
    """Data of a channel is missing: ``why`` is sequence, disconnect, stale or recorder."""

    channel: Channel
    why: str
    detail: str


class Found(msgspec.Struct, frozen=True):
    """A chained channel is synced: ``how`` is snapshot (in the stream) or rest."""

    channel: Channel
    how: str
    tries: int


class Remark(msgspec.Struct, frozen=True):
    """Something to write down: a refusal, a malformed frame, a snapshot that did not join."""

    connection: str
    symbol: str
    text: str


Action: TypeAlias = Send | Ping | Fetch | Reconnect | Lost | Found | Remark


class Reply(msgspec.Struct, frozen=True):
    """What a REST request brought. ``status`` 0: nothing arrived, ``error`` says why. Header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes
    error: str = ""


# -- what a session is made of


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to record at one venue. ``ws`` and ``rest`` replace the venue's own hosts (``wss://host:port``), ``book``
    its usual kind of book stream; empty: the venue's own."""

    venue: str
    instruments: tuple[Instrument, ...]
    streams: frozenset[str] = frozenset(STREAMS)
    ws: str = ""
    rest: str = ""
    book: str = ""


class Watch:
    """How long silence is allowed. Twice as long after each time it was exceeded, until data flows steadily again."""

    __slots__ = ("allowed_ns", "base_ns", "last_ns", "steady_ns")

    def __init__(self, base_ns: int) -> None:
        self.base_ns = self.allowed_ns = base_ns
        self.last_ns = self.steady_ns = 0

    def start(self, now_ns: int) -> None:
        """A new connection or subscription: silence counts from now; what was learnt stays."""
        self.last_ns = self.steady_ns = now_ns

    def seen(self, now_ns: int) -> None:
        """Data came."""
        if now_ns - self.last_ns > self.base_ns >> 2:
            self.steady_ns = now_ns
        elif self.allowed_ns > self.base_ns and now_ns - self.steady_ns > STEADY_NS:
            self.allowed_ns = self.base_ns
        self.last_ns = now_ns

    def exceeded(self, now_ns: int) -> bool:
        """Whether it was silent for too long. True at most once a spell, and the next may be longer."""
        if self.base_ns == 0 or now_ns - self.last_ns <= self.allowed_ns:
            return False
        self.allowed_ns = min(2 * self.allowed_ns, max(QUIET_MAX_NS, self.base_ns))
        self.last_ns = self.steady_ns = now_ns
        return True


class Channel:
    """One subscription. ``topic`` is its name on the wire, ``symbol`` may be empty (a topic of all instruments).

    ``first_id`` is the least snapshot id that joins the unbroken updates seen since the last break, ``last_id`` the id
    that the next update must follow; None: no update yet. ``event_ns`` is the latest venue time seen.
    """

    __slots__ = (
        "chain_ns", "chained", "connection", "deadline_ns", "due_ns", "duplicates", "event_ns", "first_id", "frames",
        "gaps", "last_id", "number", "octets", "resyncs", "stream", "symbol", "synced", "synced_ns", "topic",
        "tries", "watch",
    )  # fmt: skip

    def __init__(self, stream: str, symbol: str, topic: str, *, chained: bool = False, cadence_ns: int = 0) -> None:
        self.stream = stream
        self.symbol = symbol
        self.topic = topic
        self.chained = chained
        self.watch = Watch(cadence_ns)
        self.connection = ""
        self.number = 0
        self.frames = self.octets = self.gaps = self.resyncs = self.duplicates = 0
        self.event_ns = 0
        self.chain_ns = 0  # venue time of the last update in the chain
        self.first_id: int | None = None
        self.last_id: int | None = None
        self.synced = False
        self.synced_ns = 0
        self.tries = 0
        self.due_ns = 0  # when the next resync starts; 0: none is due
        self.deadline_ns = 0  # when the present one has failed; 0: none is under way

    def restart(self) -> None:
        """Forget the chain: a new subscription."""
        self.first_id = self.last_id = None
        self.chain_ns = 0
        self.synced = False
        self.due_ns = self.deadline_ns = 0


class Link:
    """One connection of a session: its address, its channels and its timers."""

    __slots__ = (
        "channels", "closing", "data", "frames", "is_open", "last_frame_ns", "name", "next_beat_ns", "next_ping_ns",
        "next_send_ns", "octets", "outgoing", "refused_ns", "sequence", "topics", "url",
    )  # fmt: skip

    def __init__(self, name: str, url: str, channels: Sequence[Channel]) -> None:
        self.name = name
        self.url = url
        self.channels = tuple(channels)
        self.topics = {channel.topic: channel for channel in channels}
        self.data = Watch(QUIET_NS)
        self.frames = self.octets = 0  # with those of no channel
        self.is_open = False
        self.closing = False  # a new connection has been asked for
        self.last_frame_ns = self.next_ping_ns = self.next_beat_ns = self.next_send_ns = 0
        self.outgoing: list[bytes] = []  # at most two frames a channel
        self.refused_ns: int | None = None  # when a refusal last led to a new connection
        self.sequence: int | None = None  # last id of a chain that runs over the whole connection
        for channel in channels:
            channel.connection = name


def backoff_ns(tries: int, entropy: Entropy, *, first_ns: int = BACKOFF_NS, most_ns: int = BACKOFF_MAX_NS) -> int:
    """How long to wait before the next try: doubling from ``first_ns`` to ``most_ns``, between half and all of it."""
    full = min(most_ns, first_ns << min(tries, 40))
    return full // 2 + full * int.from_bytes(entropy.token(4), "big") // (1 << 33)


def retry_after_ns(headers: Mapping[str, str]) -> int:
    """A Retry-After header in seconds; a minute where there is none, or a date; at most three days."""
    text = headers.get("retry-after", "").strip()
    return min(int(text) * SECOND, REFUSED_MAX_NS) if text.isdigit() and len(text) < 12 else REFUSED_NS
