"""Live sessions with a shadow against an emulator in memory, in virtual time."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from recorders.building import build
from recorders.live.recorder import Recorder, Settings
from recorders.raw import RawWriter
from sim.backtest import Result
from sim.live.runner import Session
from sim.live.setup import Ports, prepare
from sim.recording import plan as recording_plan
from sim.serve.memory import MemoryWire
from sim.serve.serving import Options, make_host
from sim.serve.setup import Choice
from sim.strategy import Strategy
from sim.toml import toml_text
from sim.virtual_time import VirtualTime
from venues.ports import CountingEntropy, MemoryFiles

SECOND = 10**9
START_NS = 1_795_392_000 * SECOND + 900 * SECOND  # a quarter past midnight UTC
DELAY = "50ms"
VENUES = {
    "binance": ("binance_usdm", "BTCUSDT", "USDT"),
    "hyperliquid": ("hyperliquid", "BTC", "USDC"),
}


def connect(venue: str) -> dict[str, Any]:
    book = {"book": "0ms"} if venue == "binance" else {}
    return {"rest": "http://127.0.0.1:1", "ws": "ws://127.0.0.1:1", "key_env": "K", "secret_env": "S", **book}


def slice_of(venue: str, seconds: int, out: Path) -> Path:
    """A lake of a synthetic market as a recorder received it."""
    name, symbol, _ = VENUES[venue]
    clock = VirtualTime(START_NS)
    raw = {
        "name": "slice", "venue": [{"name": name, "latency": "none"}], "instrument": [{"symbol": symbol}],
        "connect": {name: connect(venue)}, "record": {"folder": str(out / "slice"), "limit": f"{seconds}s"},
    }  # fmt: skip
    made = recording_plan(raw)

    async def main() -> Path:
        choice = Choice(venue, "synth:calm", (symbol,), duration_ns=(seconds + 60) * SECOND, own_time=True)
        host, _ = make_host(choice, Options(), clock, CountingEntropy())
        wire = MemoryWire(host, clock)
        writer = RawWriter(out / "slice", made.about)
        settings = Settings(limit_ns=seconds * SECOND, config=made.about)
        recorder = Recorder(made.sessions, writer, wire, clock, CountingEntropy(), settings)
        driving = asyncio.ensure_future(wire.drive())
        try:
            await recorder.run()
        finally:
            driving.cancel()
        return writer.path

    build([clock.run(main())], out / "lake")
    return out / "lake"


def run_file(venue: str, lake: Path, out: Path, latency: Any = "7ms", **more: Any) -> dict[str, Any]:
    """A run against the emulator; the emulator takes feed, venue and seed from it too."""
    name, symbol, asset = VENUES[venue]
    return {
        "name": "shadowed", "seed": 7, "out": str(out / "runs"),
        "feed": {"lake": str(lake), "delay": DELAY},
        "venue": [{"name": name, "latency": latency, "deposit": {asset: 100_000}}],
        "instrument": [{"symbol": symbol, "mark": "recorded", "funding": "recorded", "margin": "card"}],
        "report": {"html": False},
        "connect": {name: connect(venue)},
        "record": {"folder": str(out / "raw"), "status": "1s"},
        "paper": {"delay": DELAY, "offset": "0ms", "warm_up": "5s"},
        "live": {"enabled": True, "on_stop": "cancel"},
        **more,
    }  # fmt: skip


class Shadowed:
    """A session that has ended. ``emulator``: the latency there."""

    def __init__(
        self, venue: str, lake: Path, out: Path, strategy: Strategy, seconds: int, *, emulator: Any = "7ms",
        latency: Any = "7ms", shadow: bool = True, **more: Any,
    ) -> None:  # fmt: skip
        out.mkdir(parents=True, exist_ok=True)
        _, symbol, asset = VENUES[venue]
        document = run_file(venue, lake, out, latency, **more)
        served = run_file(venue, lake, out, emulator)
        (out / "served.toml").write_text(
            toml_text({key: served[key] for key in ("name", "seed", "feed", "venue", "instrument")})
        )
        (out / "accounts.toml").write_text(f'[[account]]\nname = "main"\ndeposit = {{ {asset} = 100000 }}\n')
        choice = Choice(venue, "", (symbol,), run=out / "served.toml", own_time=True)
        options = Options(accounts=out / "accounts.toml")
        first_ns = make_host(choice, options, VirtualTime(START_NS), CountingEntropy(), out)[1].first_ns
        self.clock = VirtualTime(first_ns)
        self.shown: list[dict[str, Any]] = []

        async def main() -> Result:
            host, held = make_host(choice, options, self.clock, CountingEntropy(), out)
            wire = MemoryWire(host, self.clock)
            driving = asyncio.ensure_future(wire.drive())
            try:
                return await self._run(strategy, document, held, wire, shadow, seconds)
            finally:
                driving.cancel()

        self.result = self.clock.run(main())
        self.folder = self.result.path

    async def _run(
        self, strategy: Strategy, document: dict[str, Any], held: Any, wire: MemoryWire, shadow: bool, seconds: int
    ) -> Result:
        credentials = held.accounts[0].credentials[0]
        environment = {"K": credentials.address or credentials.key, "S": credentials.secret}
        setup = prepare("live", document, self.clock, environment, strategy, yes_real_orders=True, shadow=shadow)
        session = Session(
            setup, Ports(self.clock, CountingEntropy(), MemoryFiles(), wire, wire), self.shown.append
        )  # fmt: skip
        stopping = asyncio.ensure_future(self._stop(session, seconds))
        try:
            return await session.execute()
        finally:
            stopping.cancel()

    async def _stop(self, session: Session, seconds: int) -> None:
        await self.clock.sleep_ns(seconds * SECOND + 37_123_456)  # when nothing else is due
        session.stop("the test is over")

    def said(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "shadow.json").read_text())
        return found
