"""Pace, fault scripts and the two ways to an emulator: in memory at virtual instants, and over real sockets."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import ssl
import sys
from collections.abc import Coroutine
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp
import pytest
from typer.testing import CliRunner

from sim.cli import app
from sim.serve.faults import check_faults, load_faults
from sim.serve.host import Abort, EmulatorHost, Lost
from sim.serve.memory import MemoryWire
from sim.serve.server import EmulatorServer, _frame
from sim.serve.tls import throw_away
from venues.emulation import Answer, HttpRequest, Push
from venues.errors import InputError
from venues.ports import SystemClock, VirtualClock
from venues.session_parts import Reply
from venues.transport import AiohttpWire, ConnectError

SECOND = 10**9
START = 1_700_000_000 * SECOND


def _stub() -> ModuleType:
    spec = importlib.util.spec_from_file_location("serve_stub", Path(__file__).parent / "serve_stub.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["serve_stub"] = module
    spec.loader.exec_module(module)
    return module


stub = _stub()


def made(faults: list[dict[str, Any]] | None = None, start: int = START, **more: Any) -> tuple[EmulatorHost, Any]:
    feed, venue = stub.Feed(0), stub.Venue()
    feed.venue = venue
    script = None if faults is None else check_faults({"seed": 5, "fault": faults}, "test")
    return EmulatorHost(feed, venue, start, start_feed_ns=0, faults=script, **more), venue


def said(path: str = "/x", body: bytes = b"", method: str = "GET", query: str = "") -> HttpRequest:
    return HttpRequest(method, path, query, {}, body, "127.0.0.1")


def run(main: Coroutine[Any, Any, Any]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(30):
            return await main

    return asyncio.run(bounded())


# -- pace


@pytest.mark.parametrize("speed", [Fraction(1), Fraction(5, 2), Fraction(1, 3)])
def test_the_feed_keeps_to_the_clock_in_whole_numbers(speed: Fraction) -> None:
    host, _ = made(speed=speed)
    for elapsed in (1, 3, SECOND // 3, SECOND + 1, 86_400 * SECOND):
        assert host.feed_at(START + elapsed) == int(elapsed * speed)
    due = host.next_due_ns()
    host.pump(due)
    assert host._engine.feed_ns == host.feed_at(due)


def test_a_pump_at_what_is_due_meets_every_instant_of_the_feed() -> None:
    host, _ = made(speed=Fraction(7, 3))
    host.connect(1, said("/ws"), START)
    host.take_actions()
    ticks = []
    now = START
    while len(ticks) < 20:
        due = host.next_due_ns()
        assert due > now
        now = due
        host.pump(now)
        ticks += [(deed.payload, host._engine.feed_ns) for deed in host.take_actions() if isinstance(deed, Push)]
    assert all(
        feed_ns - int(text[5:]) * 10_000_000 < 3 for text, feed_ns in ticks
    )  # the first ns of wall time after it


def test_a_clock_that_goes_back_does_not_take_the_feed_back() -> None:
    host, _ = made()
    host.pump(START + SECOND)
    host.pump(START)
    assert host._engine.feed_ns == SECOND and host.wall_ns == START + SECOND


def test_full_speed_goes_by_slices_and_the_end_is_known() -> None:
    host, _ = made(speed=None, end_ns=35_000_000)
    for _ in range(3):
        host.run_slice(START)
        assert not host.is_over
    host.run_slice(START)
    assert host.is_over and host._engine.feed_ns == 35_000_000


# -- faults


def frames(host: EmulatorHost, texts: list[str], start: int = START) -> list[tuple[int, str]]:
    """Send frames that are echoed, a millisecond apart; (client, text) of what comes back."""
    found = []
    for n, text in enumerate(texts):
        host.frame(1, text.encode(), start + n * 1_000_000)
        found += [(c, d.payload.decode()) for d in host.take_actions() if isinstance(d, Push) for c in d.clients]
    return [(client, text) for client, text in found if text.startswith("echo")]


@pytest.mark.parametrize(
    ("fault", "wanted"),
    [
        ({"kind": "drop", "nth": 2}, "a c d"),
        ({"kind": "duplicate", "nth": [1, 3]}, "a a b c c d"),
        ({"kind": "reorder", "nth": 2}, "a c b d"),
        ({"kind": "drop", "match": "echo c"}, "a b d"),
        ({"kind": "drop", "every": 2}, "a c"),
        ({"kind": "drop", "times": 1}, "b c d"),
        ({"kind": "drop", "path": "elsewhere"}, "a b c d"),
        ({"kind": "drop", "from": "2ms", "until": "3ms"}, "a b d"),
        ({"kind": "delay", "nth": 1, "by": "2500us"}, "b c a d"),
        ({"kind": "stall", "nth": 2, "for": "1500us"}, "a b c d"),
    ],
)
def test_faults_of_frames(fault: dict[str, Any], wanted: str) -> None:
    if fault["kind"] != "stall":
        fault = {"match": "echo", **fault}
    host, _ = made([fault])
    host.connect(1, said("/ws"), START)
    host.take_actions()
    if fault["kind"] == "stall":
        got = frames(host, ["a"]) + frames(host, ["b", "c", "d"], START + 1_000_000)
    else:
        got = frames(host, ["a", "b", "c", "d"])
    host.pump(START + 20_000_000)
    got += [(c, d.payload.decode()) for d in host.take_actions() if isinstance(d, Push) for c in d.clients]
    assert " ".join(text[5:] for _, text in got if text.startswith("echo")) == wanted


def test_a_corrupt_frame_is_cut_and_chance_is_the_seed_s() -> None:
    host, _ = made([{"kind": "corrupt", "match": "echo", "probability": 0.5}])
    host.connect(1, said("/ws"), START)
    host.take_actions()
    cut = [text for _, text in frames(host, ["1234567"] * 200)]
    assert 60 < sum(text == "echo 1" for text in cut) < 140
    again, _ = made([{"kind": "corrupt", "match": "echo", "probability": 0.5}])
    again.connect(1, said("/ws"), START)
    again.take_actions()
    assert [text for _, text in frames(again, ["1234567"] * 200)] == cut


def test_disconnects_at_instants_and_by_frames() -> None:
    host, venue = made(
        [
            {"kind": "disconnect", "at": ["100ms"], "path": "/a", "code": 1006 + 2},
            {"kind": "disconnect", "at": "200ms", "path": "/b", "how": "abort"},
            {"kind": "disconnect", "match": "echo go", "how": "silence"},
        ]
    )
    for client, path in ((1, "/a"), (2, "/b"), (3, "/c")):
        host.connect(client, said(path), START)
    host.pump(START + 99_000_000)
    host.take_actions()
    host.pump(START + 150_000_000)
    closed = [deed for deed in host.take_actions() if not isinstance(deed, Push)]
    assert [(deed.client, deed.code) for deed in closed] == [(1, 1008)]  # type: ignore[union-attr]
    host.pump(START + 250_000_000)
    assert Abort(2) in host.take_actions()
    host.frame(3, b"go", START + 260_000_000)
    host.take_actions()
    host.frame(3, b"more", START + 400_000_000)
    host.pump(START + 500_000_000)
    assert not any(3 in deed.clients for deed in host.take_actions() if isinstance(deed, Push))
    assert not host.answers_ping(3) and 3 in venue.clients  # open, as far as anybody can tell


def test_faults_of_requests() -> None:
    host, venue = made(
        [
            {"kind": "lose_reply", "match": "POST /order", "nth": 1, "how": "abort"},
            {"kind": "status", "path": "/order", "match": "DELETE", "status": 502, "body": "gone", "execute": True},
            {"kind": "status", "path": "/never", "status": 503},
            {"kind": "ban", "path": "/much", "status": 418, "for": "10s"},
            {"kind": "clock_skew", "path": "/time", "by": "-3s"},
        ]
    )
    host.request(1, said("/order", b"q=1", "POST"), START)
    assert host.take_actions() == [Lost(1, 0)] and len(venue.requests) == 1  # executed, never answered
    host.request(2, said("/order", b"q=2", "POST"), START)
    assert [deed.status for deed in host.take_actions() if isinstance(deed, Answer)] == [200]
    host.request(3, said("/order", b"", "DELETE"), START)
    answer = host.take_actions()[0]
    assert isinstance(answer, Answer) and (answer.status, answer.body) == (502, b"gone") and len(venue.requests) == 3
    host.request(4, said("/never"), START)
    assert [deed.status for deed in host.take_actions() if isinstance(deed, Answer)] == [503]
    assert len(venue.requests) == 3
    host.request(5, said("/time"), START)
    assert venue.walls[-1] == START - 3 * SECOND
    host.take_actions()
    host.request(6, said("/much"), START)
    host.request(7, said("/order"), START + 4 * SECOND)
    bans = [deed for deed in host.take_actions() if isinstance(deed, Answer)]
    assert [(one.status, one.headers["retry-after"]) for one in bans] == [(418, "10"), (418, "6")]
    host.request(8, said("/order"), START + 10 * SECOND)
    assert [deed.status for deed in host.take_actions() if isinstance(deed, Answer)] == [200]


def test_a_handshake_is_refused() -> None:
    host, _ = made([{"kind": "refuse", "nth": 1, "status": 403}])
    host.connect(1, said("/ws"), START)
    host.connect(2, said("/ws"), START)
    admits = [deed.status for deed in host.take_actions() if hasattr(deed, "status")]
    assert admits == [403, 101] and host.clients == 1


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"kind": "dropp"}, "kind"),
        ({"kind": "drop", "howw": "x"}, "fault[0].howw: unknown key"),
        ({"kind": "drop", "by": "1s"}, "drop has no by"),
        ({"kind": "delay"}, "delay needs by"),
        ({"kind": "drop", "at": "1s"}, "at belongs to disconnect"),
        ({"kind": "drop", "nth": 0}, "count from 1"),
        ({"kind": "drop", "nth": 1, "every": 2}, "one of at, nth"),
        ({"kind": "disconnect", "how": "softly"}, "how of disconnect"),
        ({"kind": "drop", "probability": 1.5}, "probability"),
        ({"kind": "stall"}, "stall needs for"),
    ],
)
def test_a_wrong_script_is_refused_by_key(fault: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as caught:
        check_faults({"fault": [fault]}, "faults.toml")
    assert says in str(caught.value) and "faults.toml" in str(caught.value)


def test_a_script_s_file(tmp_path: Path) -> None:
    path = tmp_path / "faults.toml"
    path.write_text('seed = 3\n[[fault]]\nkind = "drop"\nmatch = "depthUpdate"\nprobability = 0.01\n')
    assert load_faults(path).fault[0].match == "depthUpdate"
    path.write_text("seed = ")
    with pytest.raises(InputError, match=r"faults\.toml"):
        load_faults(path)


# -- in memory


class Ears:
    """A peer that notes when it is told what."""

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.heard: list[tuple[int, bytes]] = []
        self.controls = 0
        self.room: asyncio.Future[None] | None = None

    def frame(self, payload: bytes) -> asyncio.Future[None] | None:
        self.heard.append((self.clock.wall_ns(), payload))
        return self.room

    def control(self) -> None:
        self.controls += 1


def in_memory(faults: list[dict[str, Any]] | None, scenario: Any, until_ns: int = SECOND) -> Any:
    """Run a scenario against the stub, on a clock that jumps."""

    async def main() -> Any:
        clock = VirtualClock(START)
        host, venue = made(faults, end_ns=until_ns)
        wire = MemoryWire(host, clock)
        task = asyncio.ensure_future(scenario(wire, clock, venue))
        await asyncio.sleep(0)
        await wire.drive()
        found = await task
        await wire.close()
        return found

    return run(main())


def test_frames_arrive_at_the_instant_at_which_they_are_sent() -> None:
    async def scenario(wire: MemoryWire, clock: VirtualClock, venue: Any) -> Any:
        socket = await wire.connect("ws://anywhere/ws", "stub")
        ears = Ears(clock)
        await socket.send(b"one")
        ending = await asyncio.gather(socket.run(ears), closing(socket, ears))
        return ears.heard, ending[0]

    async def closing(socket: Any, ears: Ears) -> None:
        while len(ears.heard) < 20:
            await asyncio.sleep(0)
        await socket.close()

    heard, ending = in_memory(None, scenario)
    assert [text for _, text in heard[:2]] == [b"hello", b"echo one"]
    assert [at - START for at, _ in heard[2:6]] == [10_000_000, 20_000_000, 30_000_000, 40_000_000]
    assert ending == ("closed by us", 1000)
    assert in_memory(None, scenario) == (heard, ending)


def test_a_peer_without_room_gets_the_rest_later_and_in_order() -> None:
    async def scenario(wire: MemoryWire, clock: VirtualClock, venue: Any) -> Any:
        socket = await wire.connect("ws://anywhere/ws", "stub")
        ears = Ears(clock)
        ears.room = asyncio.get_running_loop().create_future()
        running = asyncio.ensure_future(socket.run(ears))
        await asyncio.sleep(0)
        for text in (b"a", b"b"):
            await socket.send(text)
        first = list(ears.heard)
        ears.room.set_result(None)
        while len(ears.heard) < 3:
            await asyncio.sleep(0)
        running.cancel()
        return [text for _, text in first], [text for _, text in ears.heard[:3]]

    assert in_memory(None, scenario) == ([b"hello"], [b"hello", b"echo a", b"echo b"])


def test_requests_and_refusals_in_memory() -> None:
    async def scenario(wire: MemoryWire, clock: VirtualClock, venue: Any) -> Any:
        at_once = await wire.request("GET", "http://anywhere/fapi/v1/time?a=1%20", {"X-Key": "k"})
        later = await wire.request("POST", "http://anywhere/later", None, b"body")
        at = clock.wall_ns() - START
        lost = await wire.request("POST", "http://anywhere/lost", None, b"body")
        with pytest.raises(ConnectError) as caught:
            await wire.connect("ws://anywhere/closed", "stub")
        socket = await wire.connect("ws://anywhere/ws", "stub")
        ears = Ears(clock)
        await socket.ping()
        await socket.send(b"beat")
        await socket.send(b"bye")
        ending = await socket.run(ears)
        return at_once, later, at, lost, caught.value.status, ending, venue.pongs, venue.requests[0]

    at_once, later, at, lost, status, ending, pongs, first = in_memory(
        [{"kind": "lose_reply", "path": "/lost", "for": "100ms"}], scenario
    )
    assert at_once.body == b"GET /fapi/v1/time?a=1%20 " and first.headers["x-key"] == "k"
    assert at_once.headers == {"x-used": "1"}
    assert later.body == b"tick 1" and at == 10_000_000
    assert lost == Reply(0, {}, b"", "no reply") and status == 400
    assert ending == ("closed by the venue: as asked", 1008) and pongs == [b"x"]


# -- over sockets


def served(faults: list[dict[str, Any]] | None, scenario: Any, **more: Any) -> Any:
    async def main() -> Any:
        clock = SystemClock()
        host, venue = made(faults, clock.wall_ns())
        server = EmulatorServer(host, clock, **more)
        port = await server.start()
        running = asyncio.ensure_future(server.run())
        try:
            return await scenario(port, server, venue)
        finally:
            server.stop()
            await running

    return run(main())


def test_the_wire_over_sockets_does_what_the_one_in_memory_does() -> None:
    async def scenario(port: int, server: EmulatorServer, venue: Any) -> None:
        wire = AiohttpWire()
        try:
            base = f"http://127.0.0.1:{port}"
            reply = await wire.request("GET", f"{base}/fapi/v1/time?a=1%20", {"X-Key": "k"})
            assert (reply.status, reply.body) == (200, b"GET /fapi/v1/time?a=1%20 ")
            assert reply.headers["x-used"] == "1" and venue.requests[0].headers["x-key"] == "k"
            assert (await wire.request("POST", f"{base}/later", None, b"body")).body.startswith(b"tick")
            assert (await wire.request("POST", f"{base}/lost", None, b"body")).status == 0
            with pytest.raises(ConnectError) as caught:
                await wire.connect(f"ws://127.0.0.1:{port}/closed", "stub")
            assert caught.value.status == 400
            socket = await wire.connect(f"ws://127.0.0.1:{port}/ws?x=1", "stub")
            ears = Ears(SystemClock())
            running = asyncio.ensure_future(socket.run(ears))
            await socket.ping()
            await socket.send(b"beat")
            await socket.send(b"word " * 30_000)  # a frame of every length form
            await socket.send(b"w" * 200)
            while len([text for _, text in ears.heard if text.startswith(b"tick")]) < 3 or not venue.pongs:
                await asyncio.sleep(0.01)
            await socket.send(b"bye")
            assert await running == ("closed by the venue: as asked", 1008)
            texts = [text for _, text in ears.heard]
            assert texts[0] == b"hello" and b"echo " + b"w" * 200 in texts and b"echo " + b"word " * 30_000 in texts
            assert ears.controls >= 2 and venue.pongs == [b"x"]
        finally:
            await wire.close()
        while venue.clients:
            await asyncio.sleep(0.01)

    served([{"kind": "lose_reply", "path": "/lost", "how": "abort"}], scenario)


def test_a_client_that_does_not_read_is_cut_off_and_nobody_waits_for_it() -> None:
    async def scenario(port: int, server: EmulatorServer, venue: Any) -> int:
        async with aiohttp.ClientSession() as session:
            url = f"ws://127.0.0.1:{port}/ws"
            slow = await session.ws_connect(url, max_msg_size=0)
            quick = await session.ws_connect(url, max_msg_size=0)
            assert slow._conn is not None and slow._conn.transport is not None
            slow._conn.transport.pause_reading()  # type: ignore[attr-defined]
            rounds = 0
            while not server.slow:
                venue.actions.append(Push(tuple(venue.clients), b"x" * 1_000_000))
                while len((await quick.receive()).data) < 1_000_000:
                    assert not quick.closed
                rounds += 1
            while len(venue.clients) == 2:  # it had time for a close frame, then it is cut off
                await quick.receive()
            assert server.slow == 1 and not quick.closed
            await quick.close()
            return rounds

    assert served(None, scenario, buffer_bytes=1 << 20) >= 2


def test_a_hundred_clients_are_told_the_same() -> None:
    async def scenario(port: int, server: EmulatorServer, venue: Any) -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            url = f"ws://127.0.0.1:{port}/ws"
            clients = await asyncio.gather(*(session.ws_connect(url) for _ in range(100)))
            venue.actions.append(Push(tuple(venue.clients), b"the end"))

            async def until_the_end(client: aiohttp.ClientWebSocketResponse) -> list[str]:
                texts = []
                while (text := (await client.receive()).data) != "the end":
                    texts.append(text)
                return texts

            found = await asyncio.gather(*(until_the_end(client) for client in clients))
            assert all(texts[0] == "hello" for texts in found)
            await asyncio.gather(*(client.close() for client in clients))

    served(None, scenario)


def test_only_this_machine_unless_that_is_meant() -> None:
    host, _ = made()
    with pytest.raises(InputError, match="--public"):
        EmulatorServer(host, SystemClock(), address="0.0.0.0")
    EmulatorServer(host, SystemClock(), address="0.0.0.0", public=True)


def test_tls_with_a_throw_away_certificate(tmp_path: Path) -> None:
    context, certificate = throw_away(tmp_path)

    async def scenario(port: int, server: EmulatorServer, venue: Any) -> None:
        trusting = ssl.create_default_context(cafile=str(certificate))
        async with aiohttp.ClientSession() as session:
            async with session.get(f"https://localhost:{port}/x", ssl=trusting) as reply:
                assert await reply.text() == "GET /x? "
            socket = await session.ws_connect(f"wss://127.0.0.1:{port}/ws", ssl=trusting)
            assert (await socket.receive()).data == "hello"
            await socket.close()

    served(None, scenario, tls=context)
    assert (tmp_path / "key.pem").stat().st_mode & 0o077 == 0


def test_frames_are_rfc_6455() -> None:
    assert _frame(0x81, b"ab") == b"\x81\x02ab"
    assert _frame(0x81, b"a" * 126)[:4] == b"\x81\x7e\x00\x7e"
    assert _frame(0x81, b"a" * 65536)[:10] == b"\x81\x7f" + (65536).to_bytes(8, "big")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["kraken", "--feed", "synth:calm"], "kraken"),
        (["binance"], "--feed"),
        (["binance", "--feed", "synth:calm", "--speed", "0"], "--speed"),
        (["binance", "--feed", "synth:calm", "--from", "soon"], "--from"),
        (["binance", "--feed", "synth:calm", "--faults", "/nowhere/faults.toml"], "/nowhere/faults.toml"),
        (["hyperliquid", "--feed", "synth:calm", "--host", "0.0.0.0"], "--public"),
    ],
)
def test_the_command_says_what_is_wrong(arguments: list[str], says: str) -> None:
    done = CliRunner().invoke(app, ["serve", *arguments])
    assert done.exit_code == 2 and says in done.output


def test_the_command_says_that_a_port_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = CliRunner().invoke(app, ["serve", "binance", "--feed", "synth:calm", "--port", str(port)])
    assert done.exit_code == 3, done.output
    assert f"127.0.0.1:{port}" in done.output and "choose another --port" in done.output and "Errno" not in done.output
