"""The result in the terminal: realism banner, then accounts, then instruments, then markouts.

Written with rich when the output is a terminal; otherwise the same rows as aligned plain text without colour, box
drawing or trailing blanks, so that a log file or a pipe stays readable. Few accounts stand side by side with one
figure a row; many (parameter variants) get one row each with the main figures.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich import box
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sim.report import rows as texts
from sim.report.formats import duration_text, number_text, period_text
from sim.report.load import RunData
from sim.report.rows import Figures, Row

PLAIN_WIDTH = 120
SIDE_BY_SIDE = 4


def print_run(run: RunData, figures: Figures, console: Console | None = None) -> None:
    """Print the whole result of ``run``; ``figures`` are those of ``run_statistics``."""
    console = console or Console(highlight=False)
    if console.is_terminal:
        for part in _parts(run, figures, box.SIMPLE_HEAD):
            console.print(part, highlight=False)
        return
    plain = Console(file=io.StringIO(), highlight=False, no_color=True, width=max(console.width, PLAIN_WIDTH))
    with plain.capture() as captured:
        for part in _parts(run, figures, None):
            plain.print(part)
    lines = [line.rstrip() for line in captured.get().rstrip().split("\n")]
    console.file.write("\n".join(lines) + "\n")


def _parts(run: RunData, figures: Figures, shape: box.Box | None) -> list[RenderableType]:
    parts: list[RenderableType] = [*_heading(run, figures), _banner(run)]
    accounts, instruments = figures["accounts"], texts.named_instruments(run, figures["instruments"])
    if len(accounts) <= SIDE_BY_SIDE:
        parts.append(_side_by_side("Account", accounts, texts.account_rows(accounts), shape))
    else:
        parts.append(_one_row_each("Account", accounts, texts.account_rows(accounts, texts.ACCOUNT_COLUMNS), shape))
    parts += [Text(problem, style="bold red") for problem in texts.problems(figures)]
    if instruments and len(instruments) <= SIDE_BY_SIDE:
        parts += ["", _side_by_side("Instrument", instruments, texts.INSTRUMENT_ROWS, shape)]
    elif instruments:
        parts += ["", _one_row_each("Instrument", instruments, texts.INSTRUMENT_COLUMNS, shape)]
    traded = [i for i in instruments if i["fills"]]
    if traded and len(instruments) <= SIDE_BY_SIDE:
        parts += ["", _markouts(traded, shape)]
    return parts


def _heading(run: RunData, figures: Figures) -> list[Text]:
    names = ", ".join(dict.fromkeys(run.strategies))
    traded = ", ".join(f"{i.venue} {i.symbol}" for i in run.instruments)
    period = f"{period_text(run.first_ns, run.last_ns)} ({duration_text(figures['period']['span_ns'])})"
    digest = str(run.manifest.get("hash", ""))[:12]
    identity = f"run {run.run_id}" + (f", order log {digest}" if digest else "")
    return [Text.assemble((names, "bold"), f" on {traded}"), Text(f"{period}, {identity}", style="dim")]


def _banner(run: RunData) -> Padding:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for line in run.banner:
        warn = line.level == "warn"
        grid.add_row(Text(("! " if warn else "  ") + line.topic, style="yellow" if warn else "cyan"), Text(line.text))
    return Padding(grid, (1, 0))


def _table(corner: str, headers: Sequence[str], shape: box.Box | None) -> Table:
    table = Table(box=shape, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(corner, no_wrap=True)
    for header in headers:
        table.add_column(header, justify="right")
    return table


def _side_by_side(corner: str, things: Sequence[Figures], rows: Sequence[Row], shape: box.Box | None) -> Table:
    table = _table(corner, [str(thing["name"]) for thing in things], shape)
    for label, text_of in rows:
        table.add_row(label, *[text_of(thing) for thing in things])
    return table


def _one_row_each(corner: str, things: Sequence[Figures], rows: Sequence[Row], shape: box.Box | None) -> Table:
    table = _table(corner, [label for label, _ in rows], shape)
    for thing in things:
        table.add_row(str(thing["name"]), *[text_of(thing) for _, text_of in rows])
    return table


def _markouts(instruments: Sequence[Figures], shape: box.Box | None) -> Table:
    """Markouts in basis points: one row an instrument and side, one column a horizon."""
    horizons = list(dict.fromkeys(m["horizon_ns"] for m in instruments[0]["markouts"]))
    headers = ["at fill" if not horizon else duration_text(horizon) for horizon in horizons]
    table = _table("Markout, bps", headers, shape)
    for instrument in instruments:
        for group, label in (("all", "all"), ("buy", "buys"), ("sell", "sells")):
            cells = [texts.markout_of(instrument, horizon, group) for horizon in horizons]
            if any(cell and cell["fills"] for cell in cells):
                values = [number_text(cell["bps"] if cell else None, 3, signed=True) for cell in cells]
                table.add_row(f"{instrument['name']} {label}", *values)
    return table
