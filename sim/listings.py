"""What the ``perpsim data`` commands found, as lines for people. With ``--json`` the same goes out as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sim.units import duration_text, instant_text

Result = Mapping[str, Any]


def lines(what: str, result: Result) -> Iterator[str]:
    """The lines of a command's result."""
    yield from _LISTINGS[what](result)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Left-aligned columns, two blanks apart."""
    widths = [max(len(row[k]) for row in [head, *rows]) for k in range(len(head))]
    for row in [head, *rows]:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _time(ns: Any) -> str:
    return instant_text(int(ns)) if ns is not None else "-"


def _import(result: Result) -> Iterator[str]:
    head = ("venue", "symbol", "first", "last", "messages", "gaps", "crossed", "bbo equal", "different", "clock offset")
    rows = [
        (
            str(one["venue"]), str(one["instrument"]), _time(one["first_ns"]), _time(one["last_ns"]),
            f"{one['messages']:,}", str(one["gaps"]), str(one["crossed"]), str(one["bbo_equal"]),
            str(one["bbo_different"]),
            f"{one['clock_offset_ns'] / 1e6:.3f} ms" + (" corrected" if one.get("clock_corrected") else ""),
        )
        for one in result["recordings"]
    ]  # fmt: skip
    yield from table(head, rows)
    for name, count in result.get("problem_counts", {}).items():
        if count:
            yield f"{name}: {count}"
    for problem in result.get("problems", []):
        yield f"  {_problem(problem)}"
    for sentence in dict.fromkeys(text for one in result["recordings"] for text in one.get("assumptions", [])):
        yield f"assumed: {sentence}"
    for what, count in result.get("unused", {}).items():
        yield f"not used: {count:,} {what}"
    if not result["recordings"]:
        yield "nothing was imported"


def _formats(result: Result) -> Iterator[str]:
    for one in result["formats"]:
        yield f"{one['format']}: {one['what']}"
        yield f"    recognised: {one['recognised by']}"
        yield f"    options: {', '.join(one['options']).replace('=', ' (must be given)') or 'none'}"


def _problem(problem: Any) -> str:
    return str(problem["text"]) if isinstance(problem, Mapping) else str(problem)


def _ls(result: Result) -> Iterator[str]:
    rows = [
        (
            feed["venue"], feed["symbol"], " to ".join(dict.fromkeys((feed["days"][0], feed["days"][-1]))),
            f"{feed['messages']:,}", f"{feed['rows']:,}", f"{feed['bytes'] / 1e6:.1f} MB", str(feed["recordings"]),
            str(feed["gaps"]),
        )
        for feed in result["feeds"]
    ]  # fmt: skip
    yield from table(("venue", "symbol", "days", "messages", "rows", "size", "recordings", "gaps"), rows)


def _info(result: Result) -> Iterator[str]:
    for feed in result["feeds"]:
        yield f"{feed['venue']} {feed['symbol']}"
        for key, value in feed["instrument"].items():
            if value not in (None, "", [], ()):
                yield f"  {key}: {value}"
        for file in feed["files"]:
            counts = f"{file['messages']:,} messages, {file['rows']:,} rows, {file['bytes']:,} bytes"
            yield f"  {file['day']}: {counts}, {file['path']}"
        for one in feed["recordings"]:
            span = f"{_time(one['first_ns'])} to {_time(one['last_ns'])}"
            offset = f"clock offset {one.get('clock_offset_ns', 0) / 1e6:.3f} ms"
            yield f"  recording {one['recording']}: {span}, gaps {one.get('gaps', 0)}, {offset}"


def _verify(result: Result) -> Iterator[str]:
    for file in result["files"]:
        state = "ok" if not file["problems"] else f"{len(file['problems'])} problems"
        counts = f"{file['messages']:,} messages, {file['rows']:,} rows"
        yield f"{file['venue']} {file['symbol']} {file['day']}: {state}, {counts}"
        for problem in file["problems"]:
            yield f"  {problem}"


def _gaps(result: Result) -> Iterator[str]:
    rows = [
        (
            gap["venue"], gap["symbol"], gap["kind"], _time(gap["start_ns"]), _time(gap["end_ns"]),
            duration_text(int(gap["span_ns"])) if gap["span_ns"] is not None else "-",
            f"{gap['first_lost_id']} to {gap['last_lost_id']}" if gap["first_lost_id"] is not None else "-",
        )
        for gap in result["gaps"]
    ]  # fmt: skip
    if not rows:
        yield "no gaps"
        return
    yield from table(("venue", "symbol", "kind", "from", "to", "span", "lost ids"), rows)


_LISTINGS: dict[str, Callable[[Result], Iterator[str]]] = {
    "import": _import,
    "formats": _formats,
    "ls": _ls,
    "info": _info,
    "verify": _verify,
    "gaps": _gaps,
}
