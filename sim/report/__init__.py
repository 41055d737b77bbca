"""Statistics, terminal table and HTML report of a finished run.

Everything here reads a run folder (or an object with a ``path`` to one) and writes nothing but ``report.html``.
Heavy libraries (polars, plotly, rich) are imported when a function that needs them is called, never on import of
this package.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sim.report.banner import BannerFacts, BannerLine, InstrumentFacts, VenueFacts, banner_lines

if TYPE_CHECKING:
    from rich.console import Console

    from sim.report.load import RunData


class HasRunPath(Protocol):
    """A result that knows its run folder."""

    @property
    def path(self) -> str | Path: ...


def load_run(run: str | Path | HasRunPath) -> RunData:
    """The run folder as checked frames. Raises ``RunFolderError`` naming the file and column that is wrong."""
    from sim.report.load import load_run as load

    return load(run)


def statistics(run: str | Path | HasRunPath) -> dict[str, Any]:
    """The usual figures of a run as a dict that ``json`` can write (see ``sim.report.figures`` for
    definitions)."""
    from sim.report.figures import run_statistics
    from sim.report.load import load_run as load

    return run_statistics(load(run))


def print_table(run: str | Path | HasRunPath, console: Console | None = None) -> None:
    """Print banner, accounts and instruments to ``console`` (default: standard output, plain when not a terminal)."""
    from sim.report.figures import run_statistics
    from sim.report.load import load_run as load
    from sim.report.table import print_run

    data = load(run)
    print_run(data, run_statistics(data), console)


def build_report(run: str | Path | HasRunPath, path: str | Path | None = None) -> Path:
    """Write the self-contained ``report.html`` (into the run folder unless ``path`` is given) and return its path."""
    from sim.report.html import write_report
    from sim.report.load import load_run as load

    return write_report(load(run), path)


__all__ = [
    "BannerFacts",
    "BannerLine",
    "HasRunPath",
    "InstrumentFacts",
    "VenueFacts",
    "banner_lines",
    "build_report",
    "load_run",
    "print_table",
    "statistics",
]
