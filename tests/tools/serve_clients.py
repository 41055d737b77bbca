"""How many websocket clients an emulator holds: memory, and how late pushes are, with a thousand of them.

    python tests/tools/serve_clients.py hyperliquid --clients 1000 --seconds 30

Starts ``perpsim serve`` on a synthetic market in a process of its own and connects the clients from this one, each
address of the loopback net with as many as the venue allows an IP. Every client listens to the same best quotes and
prints. Prints JSON: connections held, frames a second, the server's memory before and after, how late the server did
what was due (its own status), and how much later than the first client the others had each frame. Exit code 1 unless
all were connected to the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
PER_ADDRESS = {"hyperliquid": 8, "binance": 100, "binance_coinm": 100}


def memory_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


class Seen:
    """When the first client had a frame, and how much later the others."""

    def __init__(self) -> None:
        self.first: dict[bytes, int] = {}
        self.late_us: list[int] = []
        self.frames = 0

    def note(self, payload: bytes) -> None:
        now = time.monotonic_ns()
        self.frames += 1
        first = self.first.setdefault(payload, now)
        if len(self.first) > 5_000:
            self.first.clear()
        self.late_us.append((now - first) // 1000)


class Statuses:
    """Reads the server's status lines as they come, or the pipe fills and the server waits; keeps the last with all
    clients, or the last."""

    def __init__(self, stream: IO[str], clients: int) -> None:
        self._stream, self._clients = stream, clients
        self._last: dict[str, Any] = {}
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._stream:
            row = json.loads(line)
            if row["clients"] == self._clients or self._last.get("clients") != self._clients:
                self._last = row

    def end(self) -> dict[str, Any]:
        self._thread.join(timeout=30)
        return self._last


class Client(asyncio.Protocol):
    """A websocket client that does as little as one can: it must not be what is measured."""

    def __init__(self, host: str, path: str, wanted: list[bytes], seen: Seen, up: list[int]) -> None:
        self.host, self.path, self.wanted, self.seen, self.up = host, path, wanted, seen, up
        self.rest = b""
        self.open = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        head = (
            f"GET {self.path} HTTP/1.1\r\nHost: {self.host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        transport.write(head.encode())

    def data_received(self, data: bytes) -> None:
        data = self.rest + data if self.rest else data
        if not self.open:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self.rest = data
                return
            assert data.startswith(b"HTTP/1.1 101"), data[:200]
            self.open = True
            self.up[0] += 1
            data = data[end + 4 :]
            assert self.transport is not None
            for text in self.wanted:
                self.transport.write(bytes((0x81, 0x80 | len(text))) + bytes(4) + text)
        at = 0
        while len(data) - at >= 2:
            size, start = data[at + 1], at + 2
            if size == 126:
                size, start = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
            elif size == 127:
                size, start = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
            if len(data) < start + size or len(data) < start:
                break
            if data[at] == 0x81:
                self.seen.note(data[start : start + size])
            at = start + size
        self.rest = data[at:]

    def connection_lost(self, error: Exception | None) -> None:
        self.up[0] -= self.open


def asked(venue: str) -> tuple[str, list[bytes]]:
    """Path and subscriptions: best quotes and prints."""
    if venue == "hyperliquid":
        kinds = ("bbo", "trades")
        wanted = [{"method": "subscribe", "subscription": {"type": kind, "coin": "BTC"}} for kind in kinds]
        return "/ws", [json.dumps(one).encode() for one in wanted]
    symbol = "btcusdt" if venue == "binance" else "btcusd_perp"
    return f"/stream?streams={symbol}@bookTicker/{symbol}@trade", []


async def measure(venue: str, ws: str, count: int, seconds: float, pid: int) -> dict[str, Any]:
    per = PER_ADDRESS[venue]
    seen, up, before = Seen(), [0], memory_mb(pid)
    path, wanted = asked(venue)
    place = urlsplit(ws)
    loop = asyncio.get_running_loop()
    began, transports = time.monotonic(), []
    for n in range(count):
        address = f"127.0.{n // per // 200}.{n // per % 200 + 1}"
        transport, _ = await loop.create_connection(
            lambda: Client(place.netloc, path, wanted, seen, up), place.hostname, place.port, local_addr=(address, 0)
        )
        transports.append(transport)
    while up[0] < count and time.monotonic() - began < 60:
        await asyncio.sleep(0.05)
    connected_s = time.monotonic() - began
    seen.late_us, seen.frames, held = [], 0, up[0]
    listened_from = time.monotonic()
    await asyncio.sleep(seconds)
    listened_s = time.monotonic() - listened_from  # more than asked for where the clients are the bottleneck
    frames, late, left = seen.frames, sorted(seen.late_us) or [0], up[0]
    after = memory_mb(pid)
    for transport in transports:
        transport.abort()
    return {
        "venue": venue, "clients": count, "connected": held, "connected_s": round(connected_s, 2), "held": left,
        "seconds": round(listened_s, 2), "frames_per_s": round(frames / listened_s),
        "memory_mb": [round(before), round(after)],
        "later_than_first_us": {"p50": late[len(late) // 2], "p99": late[len(late) * 99 // 100], "max": late[-1]},
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("venue", choices=sorted(PER_ADDRESS))
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--feed", default="synth:calm")
    given = parser.parse_args(arguments)
    command = [sys.executable, "-m", "sim.cli", "serve", given.venue, "--feed", given.feed, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        if not line:
            raise SystemExit("the emulator did not start")
        first, statuses = json.loads(line), Statuses(server.stdout, given.clients)
        try:
            found = asyncio.run(measure(given.venue, first["ws"], given.clients, given.seconds, server.pid))
        finally:
            server.terminate()
            last = statuses.end()
    late = {"p50": last["lag_p50_us"], "p99": last["lag_p99_us"]}
    return {**found, "server_late_us": late, "slow": last["slow"], "ok": found["held"] == given.clients}


if __name__ == "__main__":
    result = main()
    print(json.dumps(result, indent=1))
    sys.exit(0 if result["ok"] else 1)
