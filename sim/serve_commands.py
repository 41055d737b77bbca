"""``perpsim serve``: a venue's emulator on this machine, from the command line."""

from __future__ import annotations

import sys
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer

from sim.command import errors

Venue = Annotated[
    str, typer.Argument(help="binance (= binance_usdm), binance_coinm or hyperliquid", show_default=False)
]


class AtEnd(StrEnum):
    stop = "stop"
    loop = "loop"


def serve(
    venue: Venue,
    feed: Annotated[str, typer.Option(help="folder of a lake, or synth:PRESET (perpsim synth --list names them)")] = "",
    symbol: Annotated[
        list[str] | None, typer.Option(help="may be given several times; default: all of the lake, one of synth")
    ] = None,
    from_: Annotated[str | None, typer.Option("--from", help="start of the slice, UTC")] = None,
    until: Annotated[str | None, typer.Option(help="end of the slice, UTC")] = None,
    run: Annotated[
        Path | None, typer.Option(help="run file whose venue, instruments and inputs are served; --feed overrides")
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="override a key of it")] = None,
    speed: Annotated[str, typer.Option(help="feed time a wall time: 1, 2.5, 1/4 ..., or max")] = "1",
    host: Annotated[str, typer.Option(help="address to serve on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free")] = 0,
    accounts: Annotated[Path | None, typer.Option(help="TOML file of accounts; default: two with deposits")] = None,
    faults: Annotated[Path | None, typer.Option(help="TOML file of faults on the wire")] = None,
    latency: Annotated[str, typer.Option(help="order entry, and again the response; a run file has its own")] = "2ms",
    seed: Annotated[int | None, typer.Option(help="of the synthetic market, keys and draws")] = None,
    rate: Annotated[str, typer.Option(help="synth: times the calibrated activity")] = "1",
    duration: Annotated[str, typer.Option(help="synth: length of the session")] = "24h",
    at_end: Annotated[AtEnd, typer.Option(help="what happens at the end of the feed")] = AtEnd.stop,
    own_time: Annotated[
        bool, typer.Option("--own-time", help="clients see the feed's own time instead of one that starts now")
    ] = False,
    tls: Annotated[bool, typer.Option("--tls", help="https and wss with a throw-away certificate")] = False,
    certificate: Annotated[
        Path | None, typer.Option(help="folder to keep the throw-away certificate in", show_default=False)
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="allow an address that others can reach")] = False,
    json_: Annotated[bool, typer.Option("--json", help="status as JSON, a line a second")] = False,
) -> None:
    """Serve a simulated venue behind its own REST and websocket protocol, on this machine.

    The first line on standard output is JSON: addresses, symbols, accounts with their keys.
    """
    with errors():
        from sim.serve.serving import Options, serve
        from sim.serve.setup import Choice

        choice = Choice(
            venue, feed, tuple(symbol or ()), _instant(from_, "--from"), _instant(until, "--until"), run,
            tuple(set_ or ()), latency, seed, _factor(rate, "--rate"), _duration(duration), at_end is AtEnd.loop,
            own_time,
        )  # fmt: skip
        options = Options(
            None if speed == "max" else _factor(speed, "--speed"), host, port, accounts, faults, certificate,
            tls or certificate is not None, public,
        )  # fmt: skip
        status = _line if json_ else _human if sys.stderr.isatty() else None
        last = serve(choice, options, _line, status)
        if json_:
            _line(last)
        else:
            typer.echo(
                ("\n" if status is not None else "")
                + f"{last['why']} after {last['elapsed_s']:.0f} s: {last['requests']:,} requests, "
                f"{last['frames']:,} frames, {last['slow']} clients too slow",
                err=True,
            )


def _factor(text: str, name: str) -> Fraction:
    from venues.errors import InputError

    try:
        found = Fraction(text)
    except (ValueError, ZeroDivisionError):
        found = Fraction(0)
    if found <= 0:
        raise InputError(f"{text!r} is no number above 0, such as 1, 2.5 or 1/4", source=name)
    return found


def _duration(text: str) -> int:
    from sim.units import duration_ns
    from venues.errors import InputError

    try:
        return duration_ns(text)
    except ValueError as error:
        raise InputError(str(error), source="--duration") from None


def _instant(text: str | None, name: str) -> int | None:
    from sim.units import instant_ns
    from venues.errors import InputError

    if text is None:
        return None
    try:
        return instant_ns(text)
    except ValueError as error:
        raise InputError(str(error), source=name) from None


def _line(status: dict[str, Any]) -> None:
    import msgspec

    sys.stdout.write(msgspec.json.encode(status).decode() + "\n")
    sys.stdout.flush()


def _human(status: dict[str, Any]) -> None:
    sys.stderr.write(
        f"\r{status['elapsed_s']:8.0f} s  {status['clients']} clients  {status['requests']:,} requests  "
        f"{status['frames']:,} frames  lag {status['lag_p50_us']}/{status['lag_p99_us']} us "
    )
    sys.stderr.flush()
