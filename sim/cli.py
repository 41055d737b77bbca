"""The command ``perpsim``: arguments in, tables or ``--json`` out, exit codes for machines.

    0  fine                       1  a finding: the strategy raised, a file is damaged, nothing was imported, two runs
                                     differ, a session was stopped before it began
    2  usage: a wrong argument, run file or input      3  the environment: a file system, compiler or installation
    4  a venue refused or failed

Errors are one clear line on standard error; ``--debug`` shows where they come from. What a strategy raises always comes
with its traceback. Modules that do the work are imported when a command runs, so that ``--help`` stays quick.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from sim.command import FINDING, OK, Json, errors, set_debug, show
from sim.compare_commands import compare
from sim.data_commands import data_app
from sim.latency_commands import latency_app
from sim.live_commands import live, paper
from sim.record_commands import record
from sim.serve_commands import serve
from sim.synth_commands import synth
from sim.venue_commands import venue_app

app = typer.Typer(
    name="perpsim",
    help="Simulation-first framework for perpetual futures.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(data_app, name="data")
app.add_typer(latency_app, name="latency")
app.add_typer(venue_app, name="venue")
app.command()(compare)
app.command()(record)
app.command()(serve)
app.command()(paper)
app.command()(live)
app.command()(synth)

RunFile = Annotated[Path, typer.Argument(help="run file (TOML)", show_default=False)]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="override a key of the run file")]


def main() -> None:
    """Entry point of the command."""
    app()


def _version(shown: bool) -> None:
    if shown:
        from matching import build_info
        from sim.backtest import version

        build = build_info()
        kernels = "compiled" if build["compiled"] else "not compiled"
        typer.echo(f"perpsim {version()} (kernels {kernels}, Python {build['python']})")
        raise typer.Exit(OK)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="show the traceback of every error")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print it and exit")
    ] = False,
) -> None:
    """Simulation-first framework for perpetual futures."""
    set_debug(debug)


# -- runs


@app.command()
def backtest(
    run: RunFile,
    json_: Json = False,
    set_: Set = None,
    seed: Annotated[int | None, typer.Option(help="seed of this run")] = None,
    out: Annotated[Path | None, typer.Option(help="folder for run folders")] = None,
    html: Annotated[bool, typer.Option("--report/--no-report", help="write report.html")] = True,
) -> None:
    """Run a strategy over recorded feeds through the simulated venue."""
    with errors():
        _notice()
        from sim.backtest import backtest as run_backtest

        result = run_backtest(
            run, overrides=set_ or [], seed=seed, out=out, html=None if html else False, show_progress=not json_
        )
        _show_result(result, json_)


def _show_result(result: Any, as_json: bool) -> None:
    if as_json:
        show({**result.summary, "path": str(result.path)})
        return
    from sim.report import print_table

    print_table(result.path)
    typer.echo(f"run folder  {result.path}")
    page = result.path / "report.html"
    if page.exists():
        typer.echo(f"report      {page}")


def _notice() -> None:
    from matching._build import uncompiled_notice

    notice = uncompiled_notice()
    if notice is not None:
        typer.echo(notice, err=True)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option("--out", help="folder for recording, lake, run file and runs")] = Path(
        "perpsim-demo"
    ),
    strategy: Annotated[str, typer.Option(help="maker or carry")] = "maker",
    seed: Annotated[int | None, typer.Option(help="seed of the synthetic market")] = None,
    json_: Json = False,
) -> None:
    """Make a synthetic recording, import it, run a strategy on it and write the report; offline, in seconds."""
    with errors():
        _notice()
        from sim.demo import SEED, next_commands, run_demo

        made, result = run_demo(folder, strategy, SEED if seed is None else seed)
        _show_result(result, json_)
        if not json_:
            typer.echo("\nnext:")
            for command in next_commands(made):
                typer.echo(f"  {command}")


@app.command()
def report(
    run_folder: Annotated[Path, typer.Argument(help="folder of a finished run", show_default=False)],
    json_: Json = False,
    out: Annotated[
        Path | None, typer.Option(help="where to write the page; default: report.html in the folder")
    ] = None,
) -> None:
    """Print the result of a finished run again and rebuild its report."""
    with errors():
        from sim.report import build_report, print_table, statistics

        if json_:
            show(statistics(run_folder))
            return
        print_table(run_folder)
        typer.echo(f"report      {build_report(run_folder, out)}")


@app.command("show-config")
def show_config(run: RunFile, set_: Set = None, json_: Json = False) -> None:
    """Print the resolved run file, every value with where it comes from."""
    with errors():
        from sim.origins import origins

        found = origins(run, set_ or [])
        if json_:
            show([{"key": key, "value": value, "origin": origin} for key, value, origin in found])
            return
        width = max(len(f"{key} = {value}") for key, value, _ in found)
        for key, value, origin in found:
            typer.echo(f"{key} = {value}".ljust(min(width, 70)) + f"  # {origin}")


@app.command()
def schema() -> None:
    """Print the JSON schema of the run file."""
    from sim.config import schema_text

    typer.echo(schema_text(), nl=False)


@app.command("compile")
def compile_(
    strategy: Annotated[Path, typer.Argument(help="strategy file (.py)", show_default=False)], json_: Json = False
) -> None:
    """Compile a strategy file against the kernels' public types; the file itself still runs uncompiled."""
    with errors():
        from sim.compiling import compile_strategy

        made = compile_strategy(strategy)
        if json_:
            show({"source": str(strategy), "extension": str(made)})
        else:
            typer.echo(f"compiled {made}")


class BenchPart(StrEnum):
    all = "all"
    load = "load"
    wire = "wire"


BENCH_UNUSED: Final = {
    BenchPart.all: ("market", "event_loop"),
    BenchPart.load: ("peers", "peers_env", "anchors", "nautilus_feed", "market", "event_loop"),
    BenchPart.wire: ("feed", "peers", "anchors", "nautilus_feed", "cache"),
}


@app.command()
def bench(
    part: Annotated[
        BenchPart,
        typer.Argument(help="what to measure: everything but the wire, reading feeds only, or the way over a wire"),
    ] = BenchPart.all,
    feed: Annotated[
        Path | None, typer.Option(help="folder of event columns; default: a synthetic feed, made once")
    ] = None,
    peers: Annotated[
        bool, typer.Option("--peers", help="run hftbacktest and NautilusTrader on the same events too")
    ] = False,
    peers_env: Annotated[
        Path | None, typer.Option(help="folder of the peers' virtual environments; wire: build/clients")
    ] = None,
    anchors: Annotated[Path | None, typer.Option(help="folder of the reference workloads")] = None,
    nautilus_feed: Annotated[Path | None, typer.Option(help="NautilusTrader's own feed")] = None,
    cache: Annotated[Path | None, typer.Option(help="where feeds are kept")] = None,
    repeats: Annotated[
        int | None, typer.Option(min=1, help="repetitions of every task, the best counts; default: 5, wire: 2")
    ] = None,
    market: Annotated[list[str] | None, typer.Option(help="wire: calm or busy; default: both")] = None,
    event_loop: Annotated[list[str] | None, typer.Option(help="wire: sleeping or busy_poll; default: both")] = None,
) -> None:
    """Measure speed and print JSON."""
    given = locals()
    with errors():
        for name in BENCH_UNUSED[part]:
            if given[name]:
                from venues.errors import InputError

                raise InputError(f"has no effect on bench {part.value}", source="--" + name.replace("_", "-"))
        _notice()
        from sim.bench import run_bench, run_load, run_wire

        if part is BenchPart.wire:
            clients = peers_env or Path("build/clients")
            chosen = {"markets": market or (), "loops": event_loop or (), "rounds": repeats or 2}
            show(run_wire(clients, **chosen, say=lambda line: typer.echo(line, err=True)))
            return
        repeats = repeats or 5
        if part is BenchPart.load:
            show(run_load(feed, cache, repeats, lambda line: typer.echo(line, err=True)))
            return
        show(
            run_bench(
                feed, peers=peers, peers_env=peers_env, anchors=anchors, nautilus_feed=nautilus_feed, cache=cache,
                repeats=repeats, say=lambda line: typer.echo(line, err=True),
            )
        )  # fmt: skip


@app.command()
def fuzz(
    venue: Annotated[list[str] | None, typer.Option(help="rule card, may be given several times; default: all")] = None,
    steps: Annotated[int, typer.Option(min=1, help="steps at each venue")] = 100_000,
    seed: Annotated[int, typer.Option(help="another number, other sessions")] = 0,
    out: Annotated[Path | None, typer.Option(help="write a counterexample here, as a test")] = None,
    json_: Json = False,
) -> None:
    """Random sessions at the simulated venues, all money recomputed; a failing one is printed, shortened, as a test."""
    with errors():
        _notice()
        from sim.fuzz.commands import run_campaigns

        found = run_campaigns(venue or [], steps, seed, out, lambda line: typer.echo(line, err=json_))
        if json_:
            show(found)
        if not all(row["ok"] for row in found):
            raise typer.Exit(FINDING)


if __name__ == "__main__":
    main()
