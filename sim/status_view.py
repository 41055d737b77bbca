"""The live terminal view of something that runs for long: one screen, made anew from each status."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

Screen = Callable[[dict[str, Any], int], RenderableType]


class StatusView:
    """A context in which ``show`` draws a status on the terminal; ``screen`` makes it something to print, of about so
    many lines."""

    def __init__(self, screen: Screen, console: Console | None = None) -> None:
        self._screen = screen
        self._console = console or Console()
        self._live = Live(console=self._console, auto_refresh=False, screen=False, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        self._live.update(Text("connecting ..."), refresh=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._live.stop()

    def show(self, status: dict[str, Any]) -> None:
        """Draw a status."""
        self._live.update(self._screen(status, self._console.size.height), refresh=True)


def empty_table(*columns: str, left: int = 1) -> Table:
    """An empty table without lines; the first ``left`` columns are text, the others figures."""
    made = Table(box=None, pad_edge=False, header_style="dim")
    for place, name in enumerate(columns):
        made.add_column(name, justify="left" if place < left else "right", no_wrap=True)
    return made


def elapsed(seconds: float) -> str:
    """A time as 01:02:03."""
    whole = int(seconds)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"
