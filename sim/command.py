"""What the commands of ``perpsim`` share: exit codes, errors as one line, JSON."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Iterator
from typing import Annotated, Any

import typer

OK, FINDING, USAGE, ENVIRONMENT, VENUE = range(5)

Json = Annotated[bool, typer.Option("--json", help="print JSON instead of text")]
_state = {"debug": False}


def set_debug(debug: bool) -> None:
    """Whether errors come with their traceback."""
    _state["debug"] = debug


@contextlib.contextmanager
def errors() -> Iterator[None]:
    """Turn errors into one line and an exit code."""
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except BrokenPipeError:  # whoever reads the output has had enough, as ``| head`` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered goes nowhere
        raise typer.Exit(OK) from None
    except Exception as error:
        if hasattr(error, "perpsim_lane"):
            traceback.print_exception(error)
            raise typer.Exit(FINDING) from None
        code = exit_code(error)
        if _state["debug"] or code is None:
            traceback.print_exception(error)
        else:
            typer.echo(f"error: {one_line(error)}", err=True)
        raise typer.Exit(FINDING if code is None else code) from None


def exit_code(error: Exception) -> int | None:
    """The exit code of an error that perpsim expects; None for one that it does not (a defect)."""
    from sim.report.load import RunFolderError
    from venues.errors import LocalError, VenueError

    if isinstance(error, VenueError):
        return VENUE
    if isinstance(error, LocalError | RunFolderError):
        return USAGE
    if isinstance(error, OSError | ImportError):
        return ENVIRONMENT
    return None


def one_line(error: Exception) -> str:
    """An error's message; for file system errors with the file's name first."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def show(content: Any) -> None:
    """Print JSON."""
    typer.echo(json.dumps(content, indent=1, ensure_ascii=False, default=str))
