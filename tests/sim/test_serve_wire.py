"""Whole emulators: the venues' own protocols over the simulated venue, in memory on virtual time, and as a process."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sim.serve.memory import MemoryWire
from sim.serve.serving import Options, make_host
from sim.serve.setup import Choice
from sim.virtual_time import VirtualTime
from venues.codecs import market_codec
from venues.instruments import Instrument
from venues.market_data import BookTicker, DepthDiff, DepthSnapshot, Trade
from venues.ports import CountingEntropy

SECOND = 10**9
START = 1_790_000_000 * SECOND
ROOT = Path(__file__).resolve().parents[2]


class Ears:
    def __init__(self, clock: VirtualTime) -> None:
        self.clock = clock
        self.heard: list[tuple[int, bytes]] = []

    def frame(self, payload: bytes) -> None:
        self.heard.append((self.clock.wall_ns(), payload))

    def control(self) -> None:
        return


def listened(
    venue: str, path: str, subscriptions: list[dict[str, Any]], seconds: int
) -> tuple[list[Any], list[Instrument]]:
    """What a client hears in so many seconds of virtual time: (instant, frame)."""
    clock = VirtualTime(START)

    async def main() -> tuple[list[Any], list[Instrument]]:
        host, served = make_host(Choice(venue, "synth:calm", seed=2), Options(), clock, CountingEntropy())
        wire = MemoryWire(host, clock)
        driving = asyncio.ensure_future(wire.drive())
        socket = await wire.connect(f"ws://emulator{path}", venue)
        ears = Ears(clock)
        running = asyncio.ensure_future(socket.run(ears))
        for one in subscriptions:
            await socket.send(json.dumps(one).encode())
        await clock.sleep_ns(seconds * SECOND)
        await wire.close()
        await asyncio.gather(driving, running)
        return ears.heard, list(served.engine.instruments)

    return clock.run(main())


BINANCE = [{"method": "SUBSCRIBE", "params": ["btcusdt@depth@0ms", "btcusdt@bookTicker", "btcusdt@trade"], "id": 1}]
HYPERLIQUID = [
    {"method": "subscribe", "subscription": {"type": kind, "coin": "BTC"}} for kind in ("l2Book", "bbo", "trades")
]


@pytest.mark.parametrize(
    ("venue", "path", "subscriptions"),
    [("binance_usdm", "/stream", BINANCE), ("hyperliquid", "/ws", HYPERLIQUID)],
)
def test_a_venue_on_virtual_time(venue: str, path: str, subscriptions: list[dict[str, Any]]) -> None:
    heard, instruments = listened(venue, path, subscriptions, 10)
    codec = market_codec(venue, instruments)
    records: list[Any] = []
    for at, payload in heard:
        record = codec.decode(payload)
        for one in getattr(record, "records", (record,)):
            records.append(one)
            if isinstance(one, BookTicker | DepthDiff | Trade):
                assert START <= one.ts_event_ns <= at
    kinds = {type(one) for one in records}
    assert {BookTicker, Trade} <= kinds and kinds & {DepthDiff, DepthSnapshot}
    diffs = [one for one in records if isinstance(one, DepthDiff)]
    assert all(later.previous_id == one.last_id for one, later in itertools.pairwise(diffs))
    assert len({at for at, _ in heard}) > len(heard) // 4  # every message at an instant of its own
    assert (heard, instruments) == listened(venue, path, subscriptions, 10)


def test_the_command_serves_until_it_is_told_to_stop(tmp_path: Path) -> None:
    accounts = tmp_path / "accounts.toml"
    accounts.write_text('[[account]]\nname = "only"\ndeposit = { USDC = 5 }\n')
    command = [
        sys.executable, "-m", "sim.cli", "serve", "hyperliquid", "--feed", "synth:calm", "--symbol", "ETH",
        "--accounts", str(accounts), "--json",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout is not None
        first = json.loads(server.stdout.readline())
        assert first["symbols"] == ["ETH"] and first["rest"].startswith("http://127.0.0.1:")
        (account,) = first["accounts"]

        async def ask() -> Any:
            async with aiohttp.ClientSession() as session:
                question = {"type": "clearinghouseState", "user": account["address"]}
                async with session.post(first["urls"]["info"], json=question) as reply:
                    return await reply.json()

        state = asyncio.run(ask())
        server.send_signal(signal.SIGTERM)
        lines = [json.loads(line) for line in server.stdout.read().splitlines()]
        assert server.wait(20) == 0
    assert state["marginSummary"]["accountValue"] == "5.0"
    assert lines[-1]["why"] == "stopped" and lines[-1]["requests"] == 1
