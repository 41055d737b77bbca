"""The connector shell against a scripted wire in memory, in virtual time: order of frames, backoff, loss, defects."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from venues.connector import FIRST_WAIT_NS, LONGEST_WAIT_NS, TICK_NS, Connector
from venues.ports import CountingEntropy, VirtualClock
from venues.session_parts import Ping, Reconnect, Remark, Reply, Send
from venues.trading import Action, Call, Event, NotReady, Now, Open
from venues.transport import AiohttpWire, ConnectError, Peer, Socket

LOST = NotReady(code=1, text="t", cure="c")


class Script:
    """A trading session that notes what it is told and does what a test has put into it."""

    venue = "scripted"
    is_ready = True

    def __init__(self, *first: Action) -> None:
        self.told: list[tuple[object, ...]] = []
        self.actions: list[Action] = list(first)
        self.events: list[Event] = []
        self.on: dict[str, Callable[[], None]] = {}

    def _tell(self, what: str, *more: object) -> None:
        self.told.append((what, *more))
        if what in self.on:
            self.on[what]()

    def start(self, now: Now) -> None:
        self._tell("start")

    def stop(self, now: Now) -> None:
        self._tell("stop")

    def submit(self, requests: list[object], now: Now) -> None:
        self._tell("submit")

    amend = cancel = submit

    def cancel_all(self, request: object, now: Now) -> None:
        self._tell("cancel_all")

    def change(self, request: object, now: Now) -> None:
        self._tell("change")

    def ask_again(self, now: Now) -> None:
        self._tell("ask_again")

    def client_id(self, order_no: int) -> str:
        return f"s-{order_no}"

    def cure(self, code: int) -> str:
        return ""

    def on_open(self, connection: str, now: Now) -> None:
        self._tell("open", connection)

    def on_frame(self, connection: str, payload: bytes, now: Now) -> None:
        self._tell("frame", connection, payload)

    def on_close(self, connection: str, now: Now) -> None:
        self._tell("close", connection)

    def on_reply(self, number: int, reply: Reply, now: Now) -> None:
        self._tell("reply", number, reply.status)

    def on_tick(self, now: Now) -> None:
        self._tell("tick")

    def take_actions(self) -> list[Action]:
        found, self.actions = self.actions, []
        return found

    def take_events(self) -> list[Event]:
        found, self.events = self.events, []
        return found

    def count(self, what: str) -> int:
        return sum(one[0] == what for one in self.told)


class Pipe:
    """A socket whose other end is the test. ``room`` False: it takes one frame, then has to be waited for."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.pings = 0
        self.room = asyncio.Event()
        self.room.set()
        self.over = asyncio.get_running_loop().create_future()
        self.peer: Peer | None = None

    async def run(self, peer: Peer) -> tuple[str, int | None]:
        self.peer = peer
        return str(await self.over), 1000

    async def send(self, payload: bytes) -> None:
        self.sent.append(payload)

    def send_now(self, payload: bytes) -> Awaitable[None] | None:
        self.sent.append(payload)
        return None if self.room.is_set() else self._wait()

    async def _wait(self) -> None:
        await self.room.wait()

    async def ping(self) -> None:
        self.pings += 1

    async def close(self) -> None:
        if not self.over.done():
            self.over.set_result("closed by us")


class Wires:
    """Every connection is a new ``Pipe``, or what ``refuse`` raises."""

    def __init__(self, refuse: Callable[[int], ConnectError | None] = lambda number: None) -> None:
        self.pipes: list[Pipe] = []
        self.tries: list[tuple[int, str]] = []
        self.clock: VirtualClock | None = None
        self._refuse = refuse

    async def connect(self, url: str, venue: str) -> Socket:
        assert self.clock is not None
        self.tries.append((self.clock.now_ns, url))
        error = self._refuse(len(self.tries))
        if error is not None:
            raise error
        self.pipes.append(Pipe())
        return self.pipes[-1]

    async def request(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Reply:
        return Reply(200, {}, body)

    async def close(self) -> None:
        return None


class Heard:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.remarks: list[str] = []
        self.connections: list[tuple[str, bool, str]] = []
        self.defects: list[BaseException] = []

    def on_events(self, events: list[Event], now: Now) -> None:
        self.events += events

    def on_remark(self, venue: str, text: str) -> None:
        self.remarks.append(text)

    def on_connection(self, venue: str, connection: str, is_open: bool, why: str) -> None:
        self.connections.append((connection, is_open, why))

    def on_defect(self, error: BaseException) -> None:
        self.defects.append(error)


class Slow(VirtualClock):
    """Sleepers are woken by ``pass_ns`` alone, in the order in which they are due."""

    def __init__(self) -> None:
        super().__init__(10**18)
        self.sleepers: list[tuple[int, int, asyncio.Future[None]]] = []

    async def sleep_ns(self, duration_ns: int) -> None:
        waits: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sleepers.append((self.now_ns + duration_ns, len(self.sleepers), waits))
        await waits

    async def pass_ns(self, duration_ns: int) -> None:
        end = self.now_ns + duration_ns
        await turns()
        while self.sleepers and min(self.sleepers)[0] <= end:
            found = min(self.sleepers)
            self.sleepers.remove(found)
            self.now_ns = max(self.now_ns, found[0])
            if not found[2].done():
                found[2].set_result(None)
            await turns()
        self.now_ns = end


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Set:
    """A started connector with everything around it."""

    def __init__(self, script: Script, wires: Wires | None = None) -> None:
        self.script, self.heard, self.clock = script, Heard(), Slow()
        self.wires = wires or Wires()
        self.wires.clock = self.clock
        self.connector = Connector(script, self.wires, self.clock, CountingEntropy(), self.heard)
        self.connector.start()


def test_frames_leave_where_the_command_was_given_and_in_order() -> None:
    async def main() -> None:
        made = Set(Script(Open("api", "wss://a")))
        await turns()
        (pipe,) = made.wires.pipes
        made.script.actions = [Send("api", b"1"), Send("api", b"2")]
        made.connector.flush(made.connector.now())
        assert pipe.sent == [b"1", b"2"]  # without a turn of the event loop
        pipe.room.clear()
        made.script.actions = [Send("api", b"3"), Send("api", b"4"), Send("api", b"5")]
        made.connector.flush(made.connector.now())
        await turns()
        assert pipe.sent == [b"1", b"2", b"3"]
        pipe.room.set()
        await turns()
        made.script.actions = [Send("api", b"6")]
        made.connector.flush(made.connector.now())
        assert pipe.sent == [b"1", b"2", b"3", b"4", b"5", b"6"]
        await made.connector.stop()

    asyncio.run(main())


def test_frames_replies_and_events_reach_session_and_listener() -> None:
    async def main() -> None:
        script = Script(Open("user", "wss://u"), Call(7, "GET", "https://r", {}, b"x", "time"), Remark("", "", "hello"))
        made = Set(script)
        await turns()
        assert script.told[:2] == [("start",), ("open", "user")] or ("reply", 7, 200) in script.told
        assert ("reply", 7, 200) in script.told and made.heard.remarks == ["hello"]
        script.on["frame"] = lambda: script.events.append(LOST)
        peer = made.wires.pipes[0].peer
        assert peer is not None and peer.frame(b"payload") is None
        assert script.told[-1] == ("frame", "user", b"payload") and made.heard.events == [LOST]
        script.actions = [Ping("user")]
        await made.clock.pass_ns(3 * TICK_NS)
        assert script.count("tick") == 3 and made.wires.pipes[0].pings == 1
        await made.connector.stop()
        assert script.told[-1] == ("stop",) and made.wires.pipes[0].over.done()

    asyncio.run(main())


def test_a_lost_connection_comes_back_and_what_waited_is_dropped() -> None:
    async def main() -> None:
        made = Set(Script(Open("user", "wss://old")))
        await turns()
        old = made.wires.pipes[0]
        old.room.clear()
        made.script.actions = [Send("user", b"1"), Send("user", b"2"), Open("user", "wss://new")]
        made.connector.flush(made.connector.now())
        old.over.set_result("connection lost")
        await turns()
        assert made.script.told[-1] == ("close", "user")
        made.script.actions = [Send("user", b"nobody hears it")]
        made.connector.flush(made.connector.now())
        await made.clock.pass_ns(FIRST_WAIT_NS)
        assert [url for _, url in made.wires.tries] == ["wss://old", "wss://new"]
        assert made.script.told[-1][0] in ("open", "tick") and made.wires.pipes[1].sent == []
        assert [(is_open, why) for _, is_open, why in made.heard.connections] == [
            (True, ""), (False, "connection lost"), (True, ""),
        ]  # fmt: skip
        await made.connector.stop()

    asyncio.run(main())


def test_reconnects_back_off_with_jitter_and_obey_the_venue() -> None:
    async def main() -> None:
        busy = ConnectError("HTTP 429", venue="scripted", status=429, wait_ns=300 * 10**9)
        made = Set(Script(Open("user", "wss://u")), Wires(lambda n: busy if n == 12 else ConnectError("x", venue="v")))
        await made.clock.pass_ns(900 * 10**9)
        at = [ns for ns, _ in made.wires.tries]
        waits = [b - a for a, b in itertools.pairwise(at)]
        assert FIRST_WAIT_NS // 2 <= waits[0] <= FIRST_WAIT_NS and waits[11] >= 300 * 10**9
        assert waits[7] >= 64 * waits[0] // 2 and max(waits[:11]) <= LONGEST_WAIT_NS
        await made.connector.stop()

    asyncio.run(main())


def test_a_session_can_ask_for_a_new_connection() -> None:
    async def main() -> None:
        made = Set(Script(Open("user", "wss://u")))
        await turns()
        made.script.actions = [Reconnect("user", "the listen key is over")]
        made.connector.flush(made.connector.now())
        await made.clock.pass_ns(FIRST_WAIT_NS)
        assert made.heard.connections[1] == ("user", False, "the listen key is over") and len(made.wires.pipes) == 2
        await made.connector.stop()

    asyncio.run(main())


def test_a_defect_is_told_once() -> None:
    async def main() -> None:
        made = Set(Script())

        def fail() -> None:
            raise ZeroDivisionError

        made.script.on["tick"] = fail
        await made.clock.pass_ns(5 * TICK_NS)
        assert [type(error) for error in made.heard.defects] == [ZeroDivisionError]
        await made.connector.stop()

    asyncio.run(main())


class Bytes:
    """A peer that keeps what comes."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def frame(self, payload: bytes) -> Awaitable[None] | None:
        self.frames.append(payload)
        return None

    def control(self) -> None:
        return None


def test_a_real_socket_sends_at_once_and_waits_when_the_venue_does_not_read() -> None:
    sizes = [100] * 50 + [4_000_000] * 8 + [100] * 50

    async def main() -> None:
        got: list[int] = []
        may_read = asyncio.Event()

        async def serve(request: web.Request) -> web.WebSocketResponse:
            socket = web.WebSocketResponse(max_msg_size=0)
            await socket.prepare(request)
            await may_read.wait()
            for _ in sizes:
                got.append(len(await socket.receive_str()))
            await socket.close()
            return socket

        runner = web.AppRunner(web.Application())
        runner.app.router.add_get("/ws", serve)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        wire = AiohttpWire()
        socket = await wire.connect(f"ws://127.0.0.1:{port}/ws", "scripted")
        reading = asyncio.create_task(socket.run(Bytes()))
        waited = 0
        for size in sizes:
            waits = socket.send_now(b"x" * size)
            if waits is not None:
                waited += 1
                may_read.set()
                await waits
        why, code = await reading
        assert got == sizes and waited > 0 and code == 1000, (why, waited)
        await socket.close()
        assert socket.send_now(b"nobody") is None
        await wire.close()
        await runner.cleanup()

    asyncio.run(main())
