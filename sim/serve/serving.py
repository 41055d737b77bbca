"""``perpsim serve``: everything put together and run until it is stopped or the feed ends."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import ssl
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from sim.serve.accounts import load_accounts
from sim.serve.faults import load_faults
from sim.serve.host import EmulatorHost
from sim.serve.server import EmulatorServer
from sim.serve.setup import Choice, Served, prepare
from sim.serve.tls import throw_away
from venues.emulators import emulator
from venues.ports import Clock, Entropy, SystemClock, SystemEntropy

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

Show = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Options:
    """How it is served. ``speed`` None: as fast as it goes."""

    speed: Fraction | None = Fraction(1)
    address: str = "127.0.0.1"
    port: int = 0
    accounts: Path | None = None
    faults: Path | None = None
    tls: Path | None = None  # folder for the certificate; "" is a temporary one
    use_tls: bool = False
    public: bool = False


def make_host(
    choice: Choice, options: Options, clock: Clock, entropy: Entropy, base: Path | None = None
) -> tuple[EmulatorHost, Served]:
    """A host that has begun, with what it serves. Raises ``InputError``."""
    script = load_faults(options.faults) if options.faults is not None else None
    served = prepare(choice, load_accounts(options.accounts), clock.wall_ns(), base)
    engine = served.engine
    credentials = [one for account in served.accounts for one in account.credentials]
    made = emulator(engine, credentials, entropy)
    engine.attach(made)
    engine.begin()
    host = EmulatorHost(
        engine, made, served.start_wall_ns, start_feed_ns=served.first_ns, end_ns=served.end_ns, speed=options.speed,
        faults=script,
    )  # fmt: skip
    return host, served


def serve(choice: Choice, options: Options, first: Show, status: Show | None) -> dict[str, Any]:
    """Serve until SIGINT, SIGTERM or the end of the feed. ``first`` gets the first line, ``status`` one a second.

    Returns the last status. Raises ``InputError``; OSError for a port that is taken."""
    clock = SystemClock()
    with tempfile.TemporaryDirectory(prefix="perpsim-serve-") as folder:
        context, certificate = None, None
        if options.use_tls:
            context, certificate = throw_away(options.tls or Path(folder))
        host, served = make_host(choice, options, clock, SystemEntropy())
        return asyncio.run(_run(choice, options, clock, host, served, context, certificate, first, status))


async def _run(
    choice: Choice, options: Options, clock: Clock, host: EmulatorHost, served: Served,
    context: ssl.SSLContext | None, certificate: Path | None, first: Show, status: Show | None,
) -> dict[str, Any]:  # fmt: skip
    server = EmulatorServer(
        host, clock, address=options.address, port=options.port, tls=context, public=options.public
    )  # fmt: skip
    try:
        port = await server.start()
    except OSError as error:
        said = os.strerror(error.errno or 0)
        if error.errno == errno.EADDRINUSE:
            said += ": choose another --port (0: any that is free)"
        raise OSError(error.errno, said, f"{options.address}:{options.port}") from None
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, server.stop)
    first(first_line(served, options, port, certificate))
    started_ns = clock.monotonic_ns()

    def state() -> dict[str, Any]:
        lags = sorted(server.lags_ns) or [0]
        return {
            "elapsed_s": (clock.monotonic_ns() - started_ns) // 10**6 / 1000, "feed_ns": served.engine.feed_ns,
            "clients": host.clients, "requests": host.requests, "frames": host.frames_out, "slow": server.slow,
            "faults": host.faults_done, "lag_p50_us": lags[len(lags) // 2] // 1000,
            "lag_p99_us": lags[len(lags) * 99 // 100] // 1000,
        }  # fmt: skip

    def each() -> None:
        if status is not None:
            status(state())

    try:
        await server.run(each)
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
    served.engine.finish()
    return {**state(), "why": "the feed is over" if host.is_over else "stopped"}


def first_line(served: Served, options: Options, port: int, certificate: Path | None) -> dict[str, Any]:
    """What a client has to know: addresses, venue, symbols, accounts with their keys, and lines for a run file."""
    engine, tls = served.engine, options.use_tls
    name = f"[{options.address}]" if ":" in options.address else options.address
    rest, ws = (f"{scheme}{'s' if tls else ''}://{name}:{port}" for scheme in ("http", "ws"))
    urls: dict[str, str] = {}
    if engine.venue == "hyperliquid":
        urls = {"info": f"{rest}/info", "exchange": f"{rest}/exchange", "ws": f"{ws}/ws"}
    else:
        product = "fapi" if engine.venue == "binance_usdm" else "dapi"
        urls = {
            "rest_v1": f"{rest}/{product}/v1", "ws_api": f"{ws}/ws-{product}/v1", "ws_public": f"{ws}/public/ws",
            "ws_market": f"{ws}/market/ws", "ws_private": f"{ws}/private/ws", "ws_stream": f"{ws}/stream",
        }  # fmt: skip
    found: dict[str, Any] = {
        "event": "serving", "venue": engine.venue, "rest": rest, "ws": ws, "urls": urls, "port": port,
        "symbols": [one.symbol for one in engine.instruments],
        "speed": "max" if options.speed is None else str(options.speed),
        "accounts": [account.shown for account in served.accounts], **served.about,
        "run_file": run_file_lines(served, rest, ws),
    }  # fmt: skip
    if certificate is not None:
        found["certificate"] = str(certificate)
    return found


def run_file_lines(served: Served, rest: str, ws: str) -> str:
    """The part of a run file that reaches this emulator; keys come from the environment variables that it names."""
    venue = served.engine.venue
    prefix = f"PERPSIM_{venue.upper()}"
    lines = [f"[connect.{venue}]", f'rest = "{rest}"', f'ws = "{ws}"']
    if venue != "hyperliquid":
        lines.append(f'key_env = "{prefix}_KEY"')
    lines.append(f'secret_env = "{prefix}_SECRET"')
    return "\n".join(lines) + "\n"
