"""A venue in memory that plays a synthetic session to whoever connects, in virtual time: no emulator, no orders."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from sim.live.runner import Session
from sim.live.setup import Mode, Ports, prepare
from sim.strategy import Strategy
from sim.synth.files import raw_lines
from sim.synth.session import SyntheticSession
from sim.virtual_time import VirtualTime
from venues.ports import CountingEntropy, MemoryFiles
from venues.session_parts import Reply
from venues.transport import ConnectError, Peer

START_NS = 1_789_458_720 * 10**9
SECOND = 10**9
SESSION = SyntheticSession(gap_after_ns=None, liquidation_after_ns=None, latency_us=4000)


class PlayedSocket:
    """The client's end of a connection."""

    def __init__(self, topics: list[str]) -> None:
        self.kinds = {topic.split("@")[1] for topic in topics}
        self.sent: list[bytes] = []
        self.peer: Peer | None = None
        self.over = asyncio.get_running_loop().create_future()

    async def run(self, peer: Peer) -> tuple[str, int | None]:
        self.peer = peer
        return str(await self.over), 1006

    async def send(self, payload: bytes) -> None:
        self.sent.append(payload)

    def send_now(self, payload: bytes) -> Awaitable[None] | None:
        self.sent.append(payload)
        return None

    async def ping(self) -> None:
        if self.peer is not None:
            self.peer.control()

    async def close(self) -> None:
        if not self.over.done():
            self.over.set_result("closed by us")


class PlayedWire:
    """Plays lines ``receive_us json`` at their time. ``cut``: instants at which every connection breaks."""

    def __init__(self, clock: VirtualTime, lines: Iterable[str], cut: Iterable[int] = ()) -> None:
        self.clock = clock
        self.lines = lines
        self.cut = sorted(cut)
        self.sockets: list[PlayedSocket] = []
        self.book: dict[str, dict[str, str]] = {"b": {}, "a": {}}
        self.last_id = 0
        self.frames = 0
        self.silent: set[str] = set()  # event names that are not played

    async def connect(self, url: str, venue: str) -> PlayedSocket:
        if not url.startswith("ws"):
            raise ConnectError("no websocket", venue=venue)
        made = PlayedSocket(url.partition("streams=")[2].split("/"))
        self.sockets.append(made)
        return made

    async def request(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Reply:
        await self.clock.sleep_ns(1_000_000)
        sides = {
            name: sorted(self.book[key].items(), key=lambda level: Decimal(level[0]), reverse=key == "b")
            for name, key in (("bids", "b"), ("asks", "a"))
        }
        content = {"lastUpdateId": self.last_id, "E": 0, "T": 0, **sides}
        return Reply(200, {}, json.dumps(content).encode())

    async def close(self) -> None:
        for socket in self.sockets:
            await socket.close()

    async def play(self) -> None:
        for line in self.lines:
            stamp, _, text = line.partition(" ")
            at_ns = int(stamp) * 1000
            message = json.loads(text)
            if "stream" not in message:
                self.last_id = message["lastUpdateId"]
                self.book = {"b": dict(message["bids"]), "a": dict(message["asks"])}
                continue
            wait_ns = at_ns - self.clock.wall_ns()
            if wait_ns > 0:
                await self.clock.sleep_ns(wait_ns)
            while self.cut and self.cut[0] <= at_ns:
                self.cut.pop(0)
                for socket in self.sockets:
                    await socket.close()
            data = message["data"]
            if data["e"] == "depthUpdate":
                for side in ("b", "a"):
                    for price, size in data[side]:
                        self.book[side][price] = size
                        if not Decimal(size):
                            del self.book[side][price]
                self.last_id = data["u"]
            if data["e"] not in self.silent:
                self._deliver({"trade": "aggTrade"}.get(data["e"], message["stream"].split("@")[1]), text.encode())

    def _deliver(self, kind: str, payload: bytes) -> None:
        self.frames += 1
        for socket in self.sockets:
            if kind in socket.kinds and socket.peer is not None and not socket.over.done():
                socket.peer.frame(payload)


def run_file(**more: Any) -> dict[str, Any]:
    """A run over BTCUSDT with everything that a paper session needs."""
    return {
        "name": "paper",
        "venue": [{"name": "binance_usdm", "latency": "10ms", "deposit": {"USDT": 100_000}}],
        "instrument": [{"symbol": "BTCUSDT"}],
        "connect": {"binance_usdm": {"book": "0ms"}},
        "record": {"status": "1s"},
        "paper": {"warm_up": "5s"},
        "report": {"html": False},
        **more,
    }


class Played:
    """A finished session and everything around it."""

    def __init__(
        self, folder: Any, strategy: Strategy, document: dict[str, Any], seconds: int, *, mode: Mode = "paper",
        session: SyntheticSession = SESSION, cut: Iterable[int] = (), silent: Iterable[str] = (),
        files: MemoryFiles | None = None, environment: Mapping[str, str] | None = None, yes: bool = False,
    ) -> None:  # fmt: skip
        self.clock = VirtualTime(session.start_ns)
        self.wire = PlayedWire(self.clock, raw_lines(7, session=session), cut)
        self.wire.silent = set(silent)
        self.files = files or MemoryFiles()
        self.shown: list[dict[str, Any]] = []
        document = document | {"out": str(folder / "runs")}
        document["record"] = document["record"] | {"folder": str(folder / "raw")}
        setup = prepare(mode, document, self.clock, environment or {}, strategy, yes_real_orders=yes)

        async def main() -> Any:
            ports = Ports(self.clock, CountingEntropy(), self.files, self.wire, self.wire)
            self.session = Session(setup, ports, self.shown.append)
            playing = asyncio.create_task(self.wire.play())
            stopping = asyncio.create_task(self._stop(seconds))
            try:
                return await self.session.execute()
            finally:
                playing.cancel()
                stopping.cancel()

        self.result = self.clock.run(main())

    async def _stop(self, seconds: int) -> None:
        await self.clock.sleep_ns(seconds * SECOND)
        self.session.stop("the test is over")
