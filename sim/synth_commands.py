"""``perpsim synth``: synthetic sessions from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sim.command import FINDING, Json, errors, show


def synth(
    preset: Annotated[str, typer.Option(help="what kind of session; --list names them")] = "calm",
    seed: Annotated[int, typer.Option(help="the same seed and options give the same bytes")] = 7,
    duration: Annotated[str, typer.Option(help="length of the session, e.g. 90s, 10m, 1h")] = "10m",
    instrument: Annotated[
        list[str] | None, typer.Option(help="symbol, may be given several times; default: BTCUSDT")
    ] = None,
    venue: Annotated[
        list[str] | None,
        typer.Option(help="venue, may be given several times; without instruments: all of its markets"),
    ] = None,
    start: Annotated[str | None, typer.Option(help="UTC, e.g. 2026-09-15T07:00:00Z; default: the preset's")] = None,
    out: Annotated[Path | None, typer.Option(help="folder for captured lines, a file a market")] = None,
    lake: Annotated[Path | None, typer.Option(help="lake to import the session into")] = None,
    raw: Annotated[Path | None, typer.Option(help="folder for a raw recording with connections and notes")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="replace days that the lake already has")] = False,
    list_: Annotated[bool, typer.Option("--list", help="name presets and markets, make nothing")] = False,
    json_: Json = False,
) -> None:
    """Make a synthetic session as the venue would have sent it."""
    with errors():
        from sim.synth import making

        if list_:
            _show_list(making.list_presets(), json_)
            return
        result = making.synth(
            preset, seed, _duration_ns(duration), instrument or (), venue or (), out=out, lake=lake, raw=raw,
            start_ns=_start_ns(start), replace=replace,
        )  # fmt: skip
        _show_made(result, json_)
        if not result["ok"]:
            raise typer.Exit(FINDING)


def _duration_ns(text: str) -> int:
    from sim.units import duration_ns
    from venues.errors import InputError

    try:
        return duration_ns(text)
    except ValueError as error:
        raise InputError(str(error), source="synth", field="duration") from None


def _start_ns(text: str | None) -> int | None:
    from sim.units import instant_ns
    from venues.errors import InputError

    if text is None:
        return None
    try:
        return instant_ns(text)
    except ValueError as error:
        raise InputError(str(error), source="synth", field="start") from None


def _show_list(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show(found)
        return
    for row in found["presets"]:
        typer.echo(f"{row['name']:10}{row['about']}")
    typer.echo("markets   " + ", ".join(f"{row['venue']} {row['symbol']}" for row in found["markets"]))


def _show_made(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show(result)
        return
    for file in result.get("files", ()):
        typer.echo(f"{file['path']}  {file['lines']:,} lines, {file['bytes'] / 1e6:,.1f} MB of text")
    if "lake" in result:
        totals = result["lake"]["totals"]
        typer.echo(f"{result['lake']['path']}  {totals['messages']:,} messages, {totals['gaps']} gaps")
    if "raw" in result:
        typer.echo(f"{result['raw']['path']}  {result['raw']['records']:,} records")
    for symbol, truth in result["truth"].items():
        cascades = truth["cascades"]
        typer.echo(
            f"{symbol}: {len(truth['jumps'])} jumps of the value, {len(truth['outages'])} outages, "
            f"{cascades['orders']} forced orders in {cascades['cascades']} cascades"
        )
