"""``perpsim data``: recordings and the lake, from the command line."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from sim.command import FINDING, Json, errors, show

data_app = typer.Typer(help="Recordings and the lake.", no_args_is_help=True, rich_markup_mode=None)

LakeOption = Annotated[Path, typer.Option("--lake", help="folder of the lake")]
VenueOption = Annotated[str | None, typer.Option("--venue", help="rule card of the venue, e.g. binance_usdm")]
SymbolOption = Annotated[str | None, typer.Option("--symbol", help="instrument, e.g. BTCUSDT")]


class Source(StrEnum):
    binance = "binance"
    columns = "columns"
    bitstamp = "bitstamp"


@data_app.command("import")
def data_import(
    source: Annotated[Source, typer.Argument(help="what the files are", show_default=False)],
    files: Annotated[list[Path], typer.Argument(help="files of captured lines (.gz too), or one folder")],
    lake: LakeOption,
    venue: VenueOption = None,
    symbol: SymbolOption = None,
    instrument: Annotated[
        Path | None, typer.Option(help="JSON file describing instruments not documented here")
    ] = None,
    latency_floor: Annotated[
        str | None, typer.Option(help="least latency left by a clock correction, e.g. 100us")
    ] = None,
    latency: Annotated[str | None, typer.Option(help="columns: feed latency to add where the files have none")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="replace days that the lake already has")] = False,
    json_: Json = False,
) -> None:
    """Import recordings into the lake: gaps, clock offsets and every problem are reported."""
    with errors():
        from recorders.clock import LATENCY_FLOOR_NS
        from recorders.commands import import_

        result = import_(
            source.value, [str(file) for file in files], lake, venue=venue, symbol=symbol, instrument=instrument,
            latency_floor_ns=_ns(latency_floor, LATENCY_FLOOR_NS), latency_ns=_ns(latency, 0), replace=replace,
        )  # fmt: skip
        _finish(result, json_, "import")


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
    """Instruments, files, recordings and clock corrections in full."""
    with errors():
        from recorders.commands import info

        _finish(info(lake, venue, symbol), json_, "info")


@data_app.command("verify")
def data_verify(lake: LakeOption, venue: VenueOption = None, symbol: SymbolOption = None, json_: Json = False) -> None:
    """Read everything and check it; exit code 1 if a file is damaged."""
    with errors():
        from recorders.commands import verify

        _finish(verify(lake, venue, symbol), json_, "verify")


@data_app.command("gaps")
def data_gaps(lake: LakeOption, venue: VenueOption = None, symbol: SymbolOption = None, json_: Json = False) -> None:
    """Every hole in the recordings and between them."""
    with errors():
        from recorders.commands import gaps

        _finish(gaps(lake, venue, symbol), json_, "gaps")


def _finish(result: dict[str, Any], as_json: bool, what: str) -> None:
    if as_json:
        show(result)
    else:
        from sim.listings import lines

        for line in lines(what, result):
            typer.echo(line)
    if not result["ok"]:
        raise typer.Exit(FINDING)
