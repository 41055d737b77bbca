"""``perpsim record``: market data of any number of venues into a raw recording, from the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sim.command import ENVIRONMENT, errors

RunFile = Annotated[Path, typer.Argument(help="run file (TOML)", show_default=False)]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="override a key of the run file")]


def record(
    run: RunFile,
    set_: Set = None,
    json_: Annotated[bool, typer.Option("--json", help="print a line of JSON every status interval")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="no live view")] = False,
) -> None:
    """Record what the venues send, byte for byte, until Ctrl-C: frames, snapshots, gaps, clocks."""
    with errors():
        from recorders.raw import RecordingStopped
        from sim.recording import plan
        from sim.recording import record as run_recording

        made = plan(run, set_ or [])
        try:
            if json_:
                status = run_recording(made, _line)
                _line(status)
                return
            status = _shown(made, quiet)
        except RecordingStopped as error:
            typer.echo(f"error: {error.why}", err=True)
            raise typer.Exit(ENVIRONMENT) from None
        typer.echo(
            f"recorded {status['frames']:,} frames of {status['bytes']:,} bytes in {status['elapsed_s']:.0f} s, "
            f"{status['gaps']} gaps, {status['dropped']} dropped: {status['why']}"
        )
        typer.echo(f"recording  {status['recording']}")


def _shown(made: Any, quiet: bool) -> dict[str, Any]:
    from sim.recording import record as run_recording

    if quiet or not sys.stdout.isatty():
        found: dict[str, Any] = run_recording(made)
        return found
    from sim.record_view import screen
    from sim.status_view import StatusView

    with StatusView(screen) as view:
        shown: dict[str, Any] = run_recording(made, view.show)
    return shown


def _line(status: dict[str, Any]) -> None:
    import msgspec

    sys.stdout.write(msgspec.json.encode(status).decode() + "\n")
    sys.stdout.flush()
