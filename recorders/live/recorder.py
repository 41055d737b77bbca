"""The recorder: drives the sessions of any number of venues and writes down all they see.

Theory of operation. Each connection is a task that connects, hands every frame to the session and to the queue of the
writer (``sink.py``), and connects again when it ends, with exponential backoff and jitter: it starts over at the
shortest wait only after a connection that lived for half a minute. A ticker lets the sessions' timers run, estimates
the clocks and makes status reports. Sessions decide (resyncs, pings, reconnects); the recorder does, and makes a note
of everything that a reader of the recording must know: connections opened and closed, gaps, resyncs, refusals, clock
steps and offsets, dropped frames.

Nothing is redacted here: the writer takes secrets out of every payload.

The record of a gap stands before the frame that showed it. REST requests are made one at a time a venue, on a
connection number of their own, so a reply answers the request before it.

When the queue is full, the policy decides. ``block``: the connection is not read until half of the queue is free;
nothing is lost that the venue keeps sending (TCP holds it back). ``drop``: frames of the named streams are dropped
whole and counted, a Gap note where it begins, Dropped and Gap notes where it ends, after which a book is resynced;
frames of other streams block.

A ``listener`` hears of every record that goes to the writer, notes included, at the moment it is put there and with its
stamps: whoever feeds a run with it (``recorders/live/feed.py``) sees exactly what the recording holds. It is called
on the event loop's thread, so it should be quick; an error of its own ends the recording
and comes out of ``run``.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from recorders.live.clocks import Offset, StepWatch
from recorders.live.sink import Sink, TappedSink
from recorders.live.status import Meter, link_figures
from recorders.raw import (
    FRAME_IN,
    FRAME_OUT,
    NOTE,
    REPLY,
    REQUEST,
    STOPPING,
    ClockOffset,
    ClockStep,
    Closed,
    Dropped,
    Gap,
    Note,
    Opened,
    RawRecord,
    RawWriter,
    Remark,
    Resynced,
    Started,
    encode_note,
)
from venues import session_parts as wanted
from venues.ports import Clock, Entropy
from venues.session_parts import Action, Channel, Link
from venues.sessions import MarketSession
from venues.transport import ConnectError, Socket, Wire

TICK_NS: Final = 100_000_000
SETTLED_NS: Final = 30 * 10**9  # a connection that lived so long was a good one
FIRST_WAIT_NS: Final = 500_000_000
LONGEST_WAIT_NS: Final = 60 * 10**9
OFFSET_NS: Final = 60 * 10**9  # between two notes of a clock offset
OUTGOING_MAX: Final = 4_096
_REASONS: Final = {"stale": "disconnect"}  # a session's word for what a note calls otherwise


@dataclass(frozen=True, slots=True)
class Settings:
    """How to record. ``drop``: streams that may be dropped when the queue is full (empty: none, connections block);
    ``limit_ns``: stop after so long (0: never); ``config``: what the Started note says."""

    queue_bytes: int = 32 << 20
    drop: frozenset[str] = frozenset()
    status_ns: int = 10**9
    limit_ns: int = 0
    config: dict[str, Any] | None = None


class Live:
    """One connection while it is open: the ``Peer`` of its socket."""

    def __init__(self, recorder: Recorder, session: MarketSession, link: Link, number: int, socket: Socket) -> None:
        self.session = session
        self.link = link
        self.number = number
        self.socket = socket
        self.why = ""
        self.outgoing: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=OUTGOING_MAX)  # None: a ping
        self.least_ns = 0
        self.samples = 0
        self.is_held = False
        self._recorder = recorder
        self._name = link.name
        self._wall, self._mono = recorder.clock.wall_ns, recorder.clock.monotonic_ns
        self._put = recorder.sink.put
        self._meters = recorder.meters
        self._drop = recorder.settings.drop

    def frame(self, payload: bytes) -> Awaitable[None] | None:
        """A frame has come. Returns what to wait for when the queue is full."""
        wall_ns, mono_ns = self._wall(), self._mono()
        session = self.session
        channel = session.on_frame(self._name, payload, mono_ns)
        actions = session.take_actions() if session.actions else None
        if actions:
            self._recorder.write_losses(session, actions, wall_ns, mono_ns)
        may_drop = channel is not None and channel.stream in self._drop
        if not may_drop or channel is None or not self._recorder.drops(session, channel, wall_ns, mono_ns):
            has_room = self._put(FRAME_IN, self.number, wall_ns, mono_ns, payload) or may_drop
        else:
            has_room = True
        if channel is not None and channel.event_ns:
            lag_ns = wall_ns - channel.event_ns
            if not self.samples or lag_ns < self.least_ns:
                self.least_ns = lag_ns
            self.samples += 1
            self._meters[channel.number].lag(lag_ns)
        if actions:
            self._recorder.act(session, actions, wall_ns, mono_ns)
        return None if has_room else self._hold()

    def control(self) -> None:
        """A ping or pong has come."""
        self.session.on_control(self._name, self._mono())

    async def _hold(self) -> None:
        self.is_held = True
        await self._recorder.sink.room()
        self.is_held = False
        self.session.on_hold(self._name, self._mono())

    async def send(self) -> None:
        """Send what the session wants sent, for as long as the connection lives."""
        while True:
            payload = await self.outgoing.get()
            if payload is None:
                await self.socket.ping()
                continue
            self._put(FRAME_OUT, self.number, self._wall(), self._mono(), payload)
            await self.socket.send(payload)


class Recorder:
    """Records until ``stop`` is called, the limit has passed or the disk fails."""

    def __init__(
        self,
        sessions: Sequence[MarketSession],
        writer: RawWriter,
        wire: Wire,
        clock: Clock,
        entropy: Entropy,
        settings: Settings,
        show: Callable[[dict[str, Any]], None] = lambda status: None,
        listener: Callable[[RawRecord], None] | None = None,
    ) -> None:
        self.sessions = list(sessions)
        self.settings = settings
        self.clock = clock
        self.meters: list[Meter] = []
        self._venue_of: list[str] = []  # by channel number
        for session in self.sessions:
            for link in session.links:
                for channel in link.channels:
                    channel.number = len(self.meters)
                    self.meters.append(Meter(channel))
                    self._venue_of.append(session.venue)
        self._writer = writer
        self._wire = wire
        self._entropy = entropy
        self._show = show
        self._listener = listener
        self._live: dict[str, Live] = {}
        self._closed: dict[str, tuple[int, str]] = {}
        self._rest: dict[str, list[int]] = {}  # by venue: numbers of REST connections that wait for no answer
        self._offsets = {session.venue: Offset() for session in self.sessions}
        self._steps = StepWatch(clock)
        self._lost_ns: dict[int, int] = {}
        self._dropping: dict[int, int] = {}  # channel number: frames dropped so far
        self._connections = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._why = ""
        self._defect: BaseException | None = None
        self._started_ns = clock.monotonic_ns()
        self._shown_ns = self._started_ns
        self._shown_frames = self._shown_octets = 0
        self._connect_ns: dict[str, int] = {}

    async def run(self) -> dict[str, Any]:
        """Record; returns the last status. Raises ``RecordingStopped`` when the disk fails."""
        self._stopping = asyncio.Event()
        self.sink = self._new_sink()
        self._note(Started(self.settings.config or {}))
        self._steps.step_ns()
        for session in self.sessions:
            for link in session.links:
                self._spawn(self._keep(session, link))
        self._spawn(self._tick())
        try:
            await self._stopping.wait()
        finally:
            await self._end()
        if self._defect is not None:
            raise self._defect
        return self.status()

    def _new_sink(self) -> Sink:
        def failed() -> None:
            self.stop("the disk failed")

        if self._listener is None:
            return Sink(self._writer, self.clock, self.settings.queue_bytes, failed)
        return TappedSink(self._writer, self.clock, self.settings.queue_bytes, failed, self.tell)

    def tell(self, record: RawRecord) -> None:
        """A record was put: the listener hears of it. An error of its own ends the recording."""
        if self._listener is None:
            return
        try:
            self._listener(record)
        except Exception as error:
            self._listener = None
            self._defect = error
            self.stop(f"who listens to the records failed: {error!r}"[:500])

    def note(self, note: Note) -> None:
        """Write a note of somebody else's among the records; it is stamped now."""
        self._note(note)

    @property
    def why(self) -> str:
        """What ended the recording."""
        return self._why

    def stop(self, why: str) -> None:
        """End the recording; ``run`` returns once everything is sealed."""
        self._why = self._why or why
        self._stopping.set()

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for number in list(self._dropping):
            self._note_dropped(number)
        self._note_offsets()
        for live in self._live.values():  # last, so that no reader takes them for an outage
            self._note(Closed(live.number, STOPPING))
        with contextlib.suppress(Exception):
            await asyncio.gather(*(live.socket.close() for live in self._live.values()))
            await self._wire.close()
        await self.sink.close(self._why or "stopped")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._defect = task.exception()
            self.stop(f"a defect of the recorder: {self._defect!r}"[:500])

    # -- connections

    async def _keep(self, session: MarketSession, link: Link) -> None:
        """Keep a connection open."""
        tries = 0
        while True:
            await self._take_turn(session)
            opened_ns = self.clock.monotonic_ns()
            try:
                socket = await self._wire.connect(link.url, session.venue)
            except ConnectError as error:
                self._count_close(link, str(error))
                self._note(Remark(session.venue, "", f"{link.name}: cannot connect: {error}"[:500]))
                wait_ns = error.wait_ns
            else:
                await self._use(session, link, socket)
                wait_ns = 0
                if self.clock.monotonic_ns() - opened_ns >= SETTLED_NS:
                    tries = 0
            backoff_ns = wanted.backoff_ns(tries, self._entropy, first_ns=FIRST_WAIT_NS, most_ns=LONGEST_WAIT_NS)
            tries += 1
            await self.clock.sleep_ns(max(wait_ns, backoff_ns))

    async def _take_turn(self, session: MarketSession) -> None:
        """Connections of one venue are opened one after the other, at its pace."""
        now_ns = self.clock.monotonic_ns()
        turn_ns = max(self._connect_ns.get(session.venue, 0), now_ns)
        self._connect_ns[session.venue] = turn_ns + session.connect_gap_ns
        if turn_ns > now_ns:
            await self.clock.sleep_ns(turn_ns - now_ns)

    async def _use(self, session: MarketSession, link: Link, socket: Socket) -> None:
        self._connections += 1
        live = Live(self, session, link, self._connections, socket)
        self._live[link.name] = live
        topics = tuple(channel.topic for channel in link.channels)
        self._note(Opened(live.number, session.venue, link.url, topics))
        session.on_open(link.name, self.clock.monotonic_ns())
        self._take(session)
        sender = self._spawn(live.send())
        try:
            why, code = await socket.run(live)
        finally:
            sender.cancel()
        why = live.why or why
        del self._live[link.name]
        self._count_close(link, why)
        self._note(Closed(live.number, why[:500], code))
        session.on_close(link.name, self.clock.monotonic_ns())
        self._take(session)
        await socket.close()

    def _count_close(self, link: Link, why: str) -> None:
        self._closed[link.name] = (self._closed.get(link.name, (0, ""))[0] + 1, why)

    async def _fetch(self, session: MarketSession, fetch: wanted.Fetch) -> None:
        idle = self._rest.setdefault(session.venue, [])
        if idle:
            number = idle.pop()
        else:
            self._connections += 1
            number = self._connections
            self._note(Opened(number, session.venue, fetch.url.partition("?")[0], ("rest",)))
        request = {
            "method": fetch.method,
            "url": fetch.url,
            "symbol": fetch.symbol,
            "stream": fetch.stream,
        }
        self._record(REQUEST, number, msgspec.json.encode(request))
        reply = await self._wire.request(fetch.method, fetch.url)
        idle.append(number)
        if reply.status == 200:
            self._record(REPLY, number, reply.body)
        session.on_reply(fetch.number, reply, self.clock.monotonic_ns())
        self._take(session)

    # -- what sessions want

    def _take(self, session: MarketSession) -> None:
        if session.actions:
            actions = session.take_actions()
            wall_ns, mono_ns = self.clock.wall_ns(), self.clock.monotonic_ns()
            self.write_losses(session, actions, wall_ns, mono_ns)
            self.act(session, actions, wall_ns, mono_ns)

    def write_losses(self, session: MarketSession, actions: Sequence[Action], wall_ns: int, mono_ns: int) -> None:
        """The gaps among ``actions``, as notes."""
        for action in actions:
            if isinstance(action, wanted.Lost):
                self._gap(session, action.channel, action.why, action.detail, wall_ns, mono_ns)

    def _gap(self, session: MarketSession, channel: Channel, why: str, detail: str, wall_ns: int, mono_ns: int) -> None:
        live = self._live.get(channel.connection)
        self._lost_ns.setdefault(channel.number, mono_ns)
        note = Gap(
            session.venue, channel.symbol, channel.stream, _REASONS.get(why, why), detail, live.number if live else 0
        )
        self.sink.put(NOTE, 0, wall_ns, mono_ns, encode_note(note))

    def act(self, session: MarketSession, actions: Sequence[Action], wall_ns: int, mono_ns: int) -> None:
        """Do what a session wants done; gaps have been written."""
        for action in actions:
            if isinstance(action, wanted.Send | wanted.Ping | wanted.Reconnect):
                live = self._live.get(action.connection)
                if live is not None:
                    self._use_socket(live, action)
            elif isinstance(action, wanted.Fetch):
                self._spawn(self._fetch(session, action))
            elif isinstance(action, wanted.Found):
                channel = action.channel
                took_ns = mono_ns - self._lost_ns.pop(channel.number, mono_ns)
                note = Resynced(session.venue, channel.symbol, channel.stream, action.how, action.tries, took_ns)
                self.sink.put(NOTE, 0, wall_ns, mono_ns, encode_note(note))
            elif isinstance(action, wanted.Remark):
                self._note(Remark(session.venue, action.symbol, f"{action.connection}: {action.text}"))

    def _use_socket(self, live: Live, action: wanted.Send | wanted.Ping | wanted.Reconnect) -> None:
        if isinstance(action, wanted.Reconnect):
            live.why = live.why or action.why
            self._spawn(live.socket.close())
            return
        payload = action.payload if isinstance(action, wanted.Send) else None
        if live.outgoing.full():
            live.why = "the venue does not read what we send"
            self._spawn(live.socket.close())
        else:
            live.outgoing.put_nowait(payload)

    def drops(self, session: MarketSession, channel: Channel, wall_ns: int, mono_ns: int) -> bool:
        """Whether a frame of this channel, which may be dropped, is dropped for want of room."""
        number = channel.number
        count = self._dropping.get(number)
        if count is None and not self.sink.is_full():
            return False
        if count is None:
            self._gap(session, channel, "recorder", "the queue is full", wall_ns, mono_ns)
        elif self.sink.is_relaxed():
            self._note_dropped(number)
            session.lose(channel, "recorder", f"{count} frames dropped, the queue was full", mono_ns)
            return False
        self._dropping[number] = (count or 0) + 1
        self.meters[number].dropped += 1
        return True

    def _note_dropped(self, number: int) -> None:
        channel = self.meters[number].channel
        self._note(Dropped(channel.stream, self._dropping.pop(number), "drop", self._venue_of[number], channel.symbol))

    # -- time

    async def _tick(self) -> None:
        offsets_ns = self._started_ns + OFFSET_NS
        while True:
            await self.clock.sleep_ns(TICK_NS)
            now_ns = self.clock.monotonic_ns()
            step_ns = self._steps.step_ns()
            if step_ns:
                self._note(ClockStep(step_ns))
                for offset in self._offsets.values():
                    offset.restart()
            for live in self._live.values():
                if live.is_held:
                    live.session.on_hold(live.link.name, now_ns)
                if live.samples and not step_ns:
                    self._offsets[live.session.venue].add(live.least_ns, live.samples, now_ns)
                live.samples = 0
            for session in self.sessions:
                session.on_tick(now_ns)
                self._take(session)
            if now_ns >= offsets_ns:
                offsets_ns = now_ns + OFFSET_NS
                self._note_offsets()
            self.sink.flush()
            if now_ns - self._shown_ns >= self.settings.status_ns:
                self.report()
            if self.settings.limit_ns and now_ns - self._started_ns >= self.settings.limit_ns:
                self.stop("the time limit has passed")

    def report(self) -> None:
        """Show the status. Whoever looked may be gone (a closed terminal, a broken pipe): the recording goes on."""
        try:
            self._show(self.status())
        except OSError as error:
            self._show = lambda status: None
            self._note(Remark("", "", f"the status is shown no more: {error}"[:500]))

    def _note_offsets(self) -> None:
        for venue, offset in self._offsets.items():
            least_ns = offset.least_ns
            if least_ns is not None:
                how = "negative of the least receive minus venue time; network latency makes it too low"
                self._note(ClockOffset(venue, -least_ns, 0, offset.samples, how))

    # -- records and figures

    def _note(self, note: Note) -> None:
        self._record(NOTE, 0, encode_note(note))

    def _record(self, kind: int, connection: int, payload: bytes) -> None:
        self.sink.put(kind, connection, self.clock.wall_ns(), self.clock.monotonic_ns(), payload)

    def unreached(self) -> dict[str, str]:
        """Venues of which no frame has come, with what became of the latest connection there."""
        silent = [one for one in self.sessions if not any(link.frames for link in one.links)]
        return {
            one.venue: next((self._closed[link.name][1] for link in one.links if link.name in self._closed), "")
            for one in silent
        }

    def status(self) -> dict[str, Any]:
        """Figures of the interval since the last call, and totals."""
        now_ns = self.clock.monotonic_ns()
        seconds = max(now_ns - self._shown_ns, 1) / 1e9
        self._shown_ns = now_ns
        streams = [meter.look(self._venue_of[meter.channel.number], seconds) for meter in self.meters]
        links = [link for session in self.sessions for link in session.links]
        frames, octets = sum(link.frames for link in links), sum(link.octets for link in links)
        offsets = {venue: offset.least_ns for venue, offset in self._offsets.items()}
        found = {
            "wall_ns": self.clock.wall_ns(),
            "elapsed_s": round((now_ns - self._started_ns) / 1e9, 3),
            "recording": str(self._writer.path),
            "idle_s": round((now_ns - max(self._started_ns, *(link.last_frame_ns for link in links))) / 1e9, 3),
            "frames": frames,
            "frames_per_s": round((frames - self._shown_frames) / seconds, 1),
            "bytes": octets,
            "bytes_per_s": round((octets - self._shown_octets) / seconds),
            "gaps": sum(row["gaps"] for row in streams),
            "resyncs": sum(row["resyncs"] for row in streams),
            "dropped": sum(row["dropped"] for row in streams),
            "connections": [row for session in self.sessions for row in link_figures(session, self._closed)],
            "streams": streams,
            "clock_offset_ms": {v: None if ns is None else round(-ns / 1e6, 3) for v, ns in offsets.items()},
            "queue": {
                "bytes": self.sink.waiting_bytes,
                "limit_bytes": self.sink.limit_bytes,
                "peak_bytes": self.sink.peak_bytes,
            },
            "disk": {
                "written_bytes": self._writer.bytes_written,
                "segment": self._writer.segment,
                "synced_seq": self._writer.synced_seq,
                "free_bytes": _free(self._writer),
            },
        }
        self._shown_frames, self._shown_octets = frames, octets
        return found


def _free(writer: RawWriter) -> int | None:
    try:
        return shutil.disk_usage(writer.path).free
    except OSError:
        return None
