"""``perpsim paper`` and ``perpsim live``: the run file of a backtest on a live feed, from the command line."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sim.command import ENVIRONMENT, FINDING, errors

RunFile = Annotated[Path, typer.Argument(help="run file (TOML)", show_default=False)]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="override a key of the run file")]
Lines = Annotated[bool, typer.Option("--json", help="print a line of JSON every status interval, the last the summary")]
Quiet = Annotated[bool, typer.Option("--quiet", help="no live view; problems are said on stderr")]
Seed = Annotated[int | None, typer.Option(help="seed of this run")]
Out = Annotated[Path | None, typer.Option(help="folder for run folders")]
Html = Annotated[bool, typer.Option("--report/--no-report", help="write report.html")]


def paper(
    run: RunFile,
    set_: Set = None,
    seed: Seed = None,
    out: Out = None,
    html: Html = True,
    json_: Lines = False,
    quiet: Quiet = False,
) -> None:
    """Run a strategy on a live feed against the simulated venue, until Ctrl-C: no order leaves this machine."""
    _session("paper", run, json_, quiet, overrides=set_ or [], seed=seed, out=out, html=None if html else False)


def live(
    run: RunFile,
    yes_real_orders: Annotated[
        bool, typer.Option("--yes-real-orders", help="one half of the opt-in; the other: [live] enabled = true")
    ] = False,
    shadow: Annotated[bool, typer.Option("--shadow", help="the simulator beside, predicted against actual")] = False,
    set_: Set = None,
    seed: Seed = None,
    out: Out = None,
    html: Html = True,
    json_: Lines = False,
    quiet: Quiet = False,
) -> None:
    """Run a strategy on a live feed with real orders, until Ctrl-C, which cancels them ([live] on_stop)."""
    _session(
        "live", run, json_, quiet, overrides=set_ or [], seed=seed, out=out, html=None if html else False,
        yes_real_orders=yes_real_orders, shadow=shadow,
    )  # fmt: skip


def _session(mode: Any, run: Path, as_json: bool, quiet: bool, **options: Any) -> None:
    with errors():
        from matching._build import uncompiled_notice
        from recorders.raw import RecordingStopped
        from sim.live.runner import NeverBeganError
        from sim.live.setup import prepare
        from sim.live.shell import EndedAtOnceError, run_session
        from venues.ports import SystemClock

        notice = uncompiled_notice()
        if notice is not None:
            typer.echo(notice, err=True)
        setup = prepare(mode, run, SystemClock(), os.environ, **options)
        try:
            if as_json:
                result = run_session(setup, _line)
                _line({**result.summary, "path": str(result.path)})
                return
            from sim.live.notices import Notices

            notices = Notices(lambda text: typer.echo(text, err=True))
            if quiet or not sys.stdout.isatty():
                result = run_session(setup, notices.show)
            else:
                result = _viewed(setup, notices.show)
        except (NeverBeganError, EndedAtOnceError) as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(FINDING) from None
        except RecordingStopped as error:
            typer.echo(f"error: {error.why}", err=True)
            raise typer.Exit(ENVIRONMENT) from None
        from sim.report import print_table

        print_table(result.path)
        if "shadow" in result.summary:
            from sim.live.shadow_report import lines

            for line in lines(result.summary["shadow"]):
                typer.echo(line)
        typer.echo(f"run folder  {result.path}")
        page = result.path / "report.html"
        if page.exists():
            typer.echo(f"report      {page}")


def _viewed(setup: Any, tell: Any) -> Any:
    """A session with its view, which takes what it shows with it: the last is told to ``tell`` afterwards."""
    from sim.live.shell import run_session
    from sim.live.view import screen
    from sim.status_view import StatusView

    last: dict[str, Any] = {}

    def show(status: dict[str, Any]) -> None:
        last.update(status)
        view.show(status)

    try:
        with StatusView(screen) as view:
            return run_session(setup, show)
    finally:
        if last:
            tell(last)


def _line(content: dict[str, Any]) -> None:
    import msgspec

    sys.stdout.write(msgspec.json.encode(content, enc_hook=str).decode() + "\n")
    sys.stdout.flush()
