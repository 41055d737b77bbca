"""``perpsim latency``: tables of recorded latencies, and models made from them, from the command line."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from sim.command import Json, errors, show

latency_app = typer.Typer(
    help="Recorded latencies as tables, and models of them for runs.", no_args_is_help=True, rich_markup_mode=None
)

OutOption = Annotated[Path, typer.Option("--out", "-o", help="file to write", show_default=False)]


class Family(StrEnum):
    best = "best"
    empirical = "empirical"
    lognormal = "lognormal"
    gamma = "gamma"
    weibull = "weibull"
    lognormal2 = "lognormal2"
    lognormal3 = "lognormal3"


class Unit(StrEnum):
    ns = "ns"
    us = "us"
    ms = "ms"
    s = "s"


@latency_app.command("feed")
def feed(
    lake: Annotated[Path, typer.Option("--lake", help="folder of the lake")],
    venue: Annotated[str, typer.Option(help="rule card of the venue, e.g. binance_usdm")],
    symbol: Annotated[str, typer.Option(help="instrument, e.g. BTCUSDT")],
    out: OutOption,
    from_: Annotated[str | None, typer.Option("--from", help="first instant of venue time, ISO 8601")] = None,
    until: Annotated[str | None, typer.Option("--until", help="instant before which it ends")] = None,
    json_: Json = False,
) -> None:
    """Write the feed latency of every message, by stream, with the feed's load, as Parquet."""
    with errors():
        from recorders.instants import instant_ns
        from sim.latency_tables import write_feed_table

        start, end = (None if at is None else instant_ns(at, name) for at, name in ((from_, "from"), (until, "until")))
        found = write_feed_table(lake, venue, symbol, out, start, end)
        _finish(found, json_)


@latency_app.command("orders")
def orders(
    run: Annotated[Path, typer.Argument(help="folder of a finished run", show_default=False)],
    out: OutOption,
    json_: Json = False,
) -> None:
    """Write the order latencies of a run (entry and response) as Parquet."""
    with errors():
        from sim.latency_tables import write_order_table

        _finish(write_order_table(run, out), json_)


@latency_app.command("fit")
def fit(
    table: Annotated[Path, typer.Argument(help="table of latencies (Parquet or CSV)", show_default=False)],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="model file to write; without it: compare only")
    ] = None,
    model: Annotated[Family, typer.Option(help="distribution of the model file; best: least bic")] = Family.best,
    by_load: Annotated[
        int | None, typer.Option("--by-load", min=2, max=32, help="a model for each of so many classes of load")
    ] = None,
    stream: Annotated[str | None, typer.Option(help="only this stream of a feed table, e.g. trades")] = None,
    leg: Annotated[str | None, typer.Option(help="only this leg of an order table: entry or response")] = None,
    value: Annotated[str, typer.Option(help="column of the latencies")] = "latency_ns",
    unit: Annotated[Unit, typer.Option(help="unit of that column")] = Unit.ns,
    json_: Json = False,
) -> None:
    """Fit distributions to recorded latencies, compare them, and write a model that a run file can name:
    latency = { entry = { table = "FILE" }, ... }."""
    with errors():
        from sim.latency_tables import fit_table

        found = fit_table(
            table, out, family=model.value, classes=by_load, stream=stream, leg=leg, value=value, unit=unit.value
        )
        _finish(found, json_)


def _finish(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show(found)
        return
    from sim.latency_tables import lines

    for line in lines(found):
        typer.echo(line)
