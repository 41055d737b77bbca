"""``perpsim data raw``: raw recordings, from the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from textwrap import wrap
from typing import Annotated, Any

import typer

from sim.command import FINDING, Json, errors, show

raw_app = typer.Typer(
    help="Raw recordings: what they hold, whether they are whole.", no_args_is_help=True, rich_markup_mode=None
)

RawArgument = Annotated[
    Path, typer.Argument(help="a recording's folder, or a folder of recordings", show_default=False)
]


@raw_app.command("info")
def raw_info(raw: RawArgument, json_: Json = False) -> None:
    """States, segments, connections, streams, counts, sizes and notes."""
    with errors():
        from recorders.raw.report import info

        result = info(raw)
        if json_:
            show(result)
        else:
            for one in result["recordings"]:
                for line in _info(one):
                    typer.echo(line)


@raw_app.command("verify")
def raw_verify(raw: RawArgument, json_: Json = False) -> None:
    """Read every byte and check it; exit code 1 if anything is amiss."""
    with errors():
        from recorders.raw.report import verify

        result = verify(raw)
        if json_:
            show(result)
        else:
            for one in result["recordings"]:
                typer.echo(
                    f"{one['recording']}: {one['state']}, {one['segments']} segments, {one['records']:,} records, "
                    + (f"{one['finding_count']} findings" if one["finding_count"] else "nothing amiss")
                )
                for finding in one["findings"]:
                    typer.echo(f"  {finding}")
        if not result["ok"]:
            raise typer.Exit(FINDING)


@raw_app.command("cat")
def raw_cat(
    raw: RawArgument,
    kind: Annotated[
        list[str] | None, typer.Option(help="only this kind: frame_in, frame_out, request, reply, note (repeatable)")
    ] = None,
    connection: Annotated[list[int] | None, typer.Option(help="only this connection (repeatable)")] = None,
    from_: Annotated[str | None, typer.Option("--from", help="first receive time, e.g. 2026-01-31T08:00Z")] = None,
    until: Annotated[str | None, typer.Option("--until", help="receive time before which to end")] = None,
    limit: Annotated[int | None, typer.Option(min=0, help="at most this many lines")] = None,
    json_: Json = False,
) -> None:
    """The records themselves, one a line (--json: as JSON lines), and damage where it lies."""
    with errors():
        from recorders.raw.report import cat

        found = cat(
            raw, kinds=kind or (), connections=connection or (), start_ns=_instant(from_), end_ns=_instant(until),
            limit=limit
        )  # fmt: skip
        for item in found:
            typer.echo(json.dumps(item, ensure_ascii=False) if json_ else _line(item))


def _instant(text: str | None) -> int | None:
    from sim.units import instant_ns
    from venues.errors import InputError

    if text is None:
        return None
    try:
        return instant_ns(text)
    except ValueError as error:
        raise InputError(str(error), source="command line") from None


def _time(ns: int | None) -> str:
    from sim.units import instant_text

    return "-" if ns is None else instant_text(ns)


def _line(item: dict[str, Any]) -> str:
    if "damage" in item:
        from recorders.raw.reader import Damage
        from recorders.raw.report import damage_text

        return f"-- {damage_text(Damage(**item['damage']))}"
    payload = item.get("payload", "base64 " + item.get("payload_base64", ""))
    return f"{item['seq']} {_time(item['wall_ns'])} {item['connection']} {item['kind']} {payload}"


def _info(one: dict[str, Any]) -> Iterator[str]:
    from recorders.raw.reader import Damage
    from recorders.raw.report import damage_text
    from sim.listings import table

    yield f"{one['recording']}: {one['state']}{'' if one['whole'] else ', damaged'}"
    yield f"  {_time(one['first_ns'])} to {_time(one['last_ns'])}"
    size = f"{one['bytes']:,} bytes for {one['payload_bytes']:,} of payloads"
    yield f"  {one['records']:,} records, {size}" + (f" ({one['compression']}:1)" if one["compression"] else "")
    for what in ("kinds", "notes"):
        if one[what]:
            yield f"  {what}: " + ", ".join(f"{name} {count:,}" for name, count in sorted(one[what].items()))
    for venue, offset in one["clock_offsets"].items():
        yield f"  clock of {venue}: {offset / 1e6:+.3f} ms to ours"
    if one["connections"]:
        rows = [
            (
                str(c["connection"]), c["venue"], f"{c['records']:,}", f"{c['payload_bytes']:,}",
                "up" if c["closed"] is None else c["closed"],
            )
            for c in one["connections"]
        ]  # fmt: skip
        head = ("connection", "venue", "records", "bytes", "ended")
        shown = iter(table(head, rows))
        yield f"  {next(shown)}"
        for line, c in zip(shown, one["connections"], strict=True):
            yield f"  {line}"
            yield f"      {c['url']}"
            yield from wrap(", ".join(c["streams"]), 100, initial_indent=" " * 6, subsequent_indent=" " * 6)
    rows_of_segments = [
        (
            str(s["segment"]), s["state"] + (f" at {s['torn_at']:,}" if s["torn_at"] is not None else ""),
            _time(s["start_ns"]), f"{s['records']:,}", f"{s['bytes']:,}",
        )
        for s in one["segments"]
    ]  # fmt: skip
    if rows_of_segments:
        head_of_segments = ("segment", "state", "start", "records", "bytes")
        yield from (f"  {line}" for line in table(head_of_segments, rows_of_segments))
    for damage in one["damage"]:
        yield f"  {damage_text(Damage(**damage))}"
