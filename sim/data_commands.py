"""``perpsim data``: recordings and the lake, from the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sim.command import FINDING, Json, errors, show
from sim.raw_commands import raw_app

data_app = typer.Typer(help="Recordings and the lake.", no_args_is_help=True, rich_markup_mode=None)
data_app.add_typer(raw_app, name="raw")

LakeOption = Annotated[Path, typer.Option("--lake", help="folder of the lake")]
VenueOption = Annotated[str | None, typer.Option("--venue", help="rule card of the venue, e.g. binance_usdm")]
SymbolOption = Annotated[str | None, typer.Option("--symbol", help="instrument, e.g. BTCUSDT")]


FORMAT_NAMES = (  # as in recorders.formats.registry, which would be slow to import for a help page (a test compares)
    "binance captures cryptofeed tardis binance-archive bybit-archive hyperliquid-archive hftbacktest events columns "
    "bitstamp lean"
)


@data_app.command(
    "import",
    epilog=f"FORMAT is one of {FORMAT_NAMES.replace(' ', ', ')}. `perpsim data formats` says how each is recognised; "
    "docs/formats.md has a section on each.",
)
def data_import(
    files: Annotated[
        list[str],
        typer.Argument(metavar="[FORMAT] FILES...", help="files, or a folder; their format first if it is not found"),
    ],
    lake: LakeOption,
    venue: VenueOption = None,
    symbol: SymbolOption = None,
    instrument: Annotated[
        Path | None, typer.Option(help="JSON file describing instruments not documented here")
    ] = None,
    latency_floor: Annotated[
        str | None, typer.Option(help="least latency left by a clock correction, e.g. 100us")
    ] = None,
    latency: Annotated[
        str | None, typer.Option(help="feed latency to add where the files have no receive times")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="replace days that the lake already has")] = False,
    json_: Json = False,
) -> None:
    """Import recordings into the lake: gaps, clock offsets and every problem are reported."""
    with errors():
        from recorders.clock import LATENCY_FLOOR_NS
        from recorders.commands import import_
        from recorders.formats.registry import names

        named = files[0] in names() or (len(files) > 1 and not Path(files[0]).exists())
        source = files.pop(0) if named else None
        result = import_(
            source, files, lake, venue=venue, symbol=symbol, instrument=instrument,
            latency_floor_ns=_ns(latency_floor, LATENCY_FLOOR_NS),
            latency_ns=None if latency is None else _ns(latency, 0), replace=replace,
        )  # fmt: skip
        _finish(result, json_, "import")


@data_app.command("build")
def data_build(
    raw: Annotated[list[str], typer.Argument(metavar="RAW...", help="raw recordings, or folders of them")],
    lake: LakeOption,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="processes; the lake does not depend on how many")] = 1,
    venue: VenueOption = None,
    symbol: SymbolOption = None,
    instrument: Annotated[
        Path | None, typer.Option(help="JSON file describing instruments not documented here")
    ] = None,
    latency_floor: Annotated[
        str | None, typer.Option(help="least latency left by a clock correction, e.g. 100us")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="replace what other sources have put there")] = False,
    again: Annotated[bool, typer.Option("--again", help="derive anew what is up to date, too")] = False,
    json_: Json = False,
) -> None:
    """Derive the lake from raw recordings, or bring it up to date with them."""
    with errors():
        from recorders.clock import LATENCY_FLOOR_NS
        from recorders.commands import build

        result = build(
            raw, lake, jobs=jobs, venue=venue, symbol=symbol, instrument=instrument,
            latency_floor_ns=_ns(latency_floor, LATENCY_FLOOR_NS), replace=replace, again=again,
            progress=_line if sys.stderr.isatty() else None,
        )  # fmt: skip
        _finish(result, json_, "build")


def _line(text: str) -> None:
    typer.echo(f"\r\x1b[K{text}", err=True, nl=False)


@data_app.command("formats")
def data_formats(json_: Json = False) -> None:
    """The formats that import reads: what they are and how they are recognised."""
    with errors():
        from recorders.formats.registry import table

        _finish({"ok": True, "formats": table()}, json_, "formats")


@data_app.command("export", epilog="docs/data.md has the columns of each format.")
def data_export(
    lake: LakeOption,
    to: Annotated[Path, typer.Option("--to", help="file (one instrument), or folder for a file an instrument")],
    format_: Annotated[
        str | None, typer.Option("--format", help="parquet, csv, lines, or npz (hftbacktest)  [by the file's name]")
    ] = None,
    venue: VenueOption = None,
    symbol: SymbolOption = None,
    from_: Annotated[str | None, typer.Option("--from", help="first instant of venue time, ISO 8601")] = None,
    until: Annotated[str | None, typer.Option("--until", help="instant before which it ends")] = None,
    json_: Json = False,
) -> None:
    """Write instruments, or a slice of them, to files for other tools."""
    with errors():
        from recorders.commands import export

        _finish(export(lake, to, format_, venue, symbol, from_, until), json_, "export")


def _ns(text: str | None, default: int) -> int:
    from sim.units import duration_ns
    from venues.errors import InputError

    if text is None:
        return default
    try:
        return duration_ns(text)
    except ValueError as error:
        raise InputError(str(error), source="command line") from None


@data_app.command("ls")
def data_ls(lake: LakeOption, json_: Json = False) -> None:
    """What the lake holds."""
    with errors():
        from recorders.commands import ls

        _finish(ls(lake), json_, "ls")


@data_app.command("info")
def data_info(lake: LakeOption, venue: VenueOption = None, symbol: SymbolOption = None, json_: Json = False) -> None:
    """Coverage by day and stream, sizes, recordings and receive clocks; with --json everything the files say."""
    with errors():
        from recorders.commands import info

        _finish(info(lake, venue, symbol), json_, "info")


@data_app.command("verify")
def data_verify(lake: LakeOption, venue: VenueOption = None, symbol: SymbolOption = None, json_: Json = False) -> None:
    """Read everything and check it; exit code 1 if anything is found."""
    with errors():
        from recorders.commands import verify

        _finish(verify(lake, venue, symbol), json_, "verify")


@data_app.command("gaps")
def data_gaps(lake: LakeOption, venue: VenueOption = None, symbol: SymbolOption = None, json_: Json = False) -> None:
    """Every hole in the recordings and between them, and what share of the time is covered."""
    with errors():
        from recorders.commands import gaps

        _finish(gaps(lake, venue, symbol), json_, "gaps")


@data_app.command("compact")
def data_compact(lake: LakeOption, venue: VenueOption = None, symbol: SymbolOption = None, json_: Json = False) -> None:
    """Put days that were written in many small pieces into full blocks; the content stays what it is."""
    with errors():
        from recorders.commands import compact

        _finish(compact(lake, venue, symbol), json_, "compact")


cache_app = typer.Typer(help="The hot cache of decoded days.", no_args_is_help=True, rich_markup_mode=None)
data_app.add_typer(cache_app, name="cache")


@cache_app.command("info")
def cache_info(lake: LakeOption, json_: Json = False) -> None:
    """What the hot cache of a lake holds."""
    with errors():
        from recorders.commands import cache

        _finish(cache(lake), json_, "cache")


@cache_app.command("clear")
def cache_clear(lake: LakeOption, json_: Json = False) -> None:
    """Drop the hot cache of a lake."""
    with errors():
        from recorders.commands import cache

        _finish(cache(lake, clear=True), json_, "cache")


def _finish(result: dict[str, Any], as_json: bool, what: str) -> None:
    if as_json:
        show(result)
    else:
        from sim.listings import lines

        for line in lines(what, result):
            typer.echo(line)
    if not result["ok"]:
        raise typer.Exit(FINDING)
