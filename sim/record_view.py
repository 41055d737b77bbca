"""The live terminal view of a recorder: one screen, made anew from each status."""

from __future__ import annotations

from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sim.status_view import elapsed

HEADER_LINES: Final = 9
FAR_MS: Final = 1_000  # a lag that deserves attention


def screen(status: dict[str, Any], height: int) -> RenderableType:
    """A status as something to print, of at most ``height`` lines."""
    room = max(height - HEADER_LINES - len(status["connections"]) - 3, 3)
    return Group(_summary(status), _connections(status), _streams(status, room))


def _summary(status: dict[str, Any]) -> RenderableType:
    queue, disk = status["queue"], status["disk"]
    fill = 100 * queue["bytes"] / queue["limit_bytes"]
    ratio = status["bytes"] / disk["written_bytes"] if disk["written_bytes"] else 0
    first = Text.assemble(
        ("recording ", "bold"), status["recording"], f"   {elapsed(status['elapsed_s'])}   ",
        (f"{status['frames_per_s']:,.0f} frames/s  {_size(status['bytes_per_s'])}/s", "bold green"),
    )  # fmt: skip
    bad = status["gaps"] or status["dropped"]
    second = Text.assemble(
        f"{status['frames']:,} frames  {_size(status['bytes'])} raw  {_size(disk['written_bytes'])} on disk "
        f"({ratio:.1f}x)  segment {disk['segment']}  synced to {disk['synced_seq']:,}  "
        f"free {_size(disk['free_bytes'] or 0)}",
    )
    third = Text.assemble(
        f"queue {fill:.0f} % of {_size(queue['limit_bytes'])} (peak {_size(queue['peak_bytes'])})  ",
        (f"gaps {status['gaps']}  dropped {status['dropped']}", "bold red" if bad else "green"),
        f"  resyncs {status['resyncs']}  venue clock minus ours: {_offsets(status)}",
    )
    return Group(first, second, third)


def _offsets(status: dict[str, Any]) -> str:
    found = [f"{venue} {ms:+,.1f} ms" for venue, ms in status["clock_offset_ms"].items() if ms is not None]
    return ", ".join(found) or "not known yet"


def _connections(status: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name, justify in (("connection", "left"), ("state", "left"), ("frames", "right"), ("raw", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    table.add_column("closed", justify="right")
    table.add_column("last reason", no_wrap=True, overflow="ellipsis")
    for row in status["connections"]:
        state = Text("open", "green") if row["open"] else Text("closed", "bold red")
        table.add_row(
            row["connection"], state, f"{row['frames']:,}", _size(row["bytes"]), str(row["closed"]), row["last_close"]
        )
    return table


def _streams(status: dict[str, Any], room: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("stream", no_wrap=True)
    for name in ("frames", "/s", "raw/s", "lag p50", "p99", "gaps", "resyncs", "dropped"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("book")
    rows = sorted(status["streams"], key=lambda row: -row["frames"])
    for row in rows[:room]:
        late = row["lag_p99_ms"] is not None and row["lag_p99_ms"] > FAR_MS
        book = "" if row["synced"] is None else Text("synced", "green") if row["synced"] else Text("STALE", "bold red")
        table.add_row(
            f"{row['venue']} {row['topic']}", f"{row['frames']:,}", f"{row['frames_per_s']:,.0f}",
            _size(row["bytes_per_s"]), _ms(row["lag_p50_ms"]), Text(_ms(row["lag_p99_ms"]), "red" if late else ""),
            str(row["gaps"]), str(row["resyncs"]), str(row["dropped"]), book,
        )  # fmt: skip
    if len(rows) > room:
        table.add_row(Text(f"... and {len(rows) - room} more", "dim"))
    return table


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f} ms"


def _size(value: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:,.0f} {unit}" if unit == "B" else f"{value:,.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"
