"""What the ``perpsim data`` commands found, as lines for people. With ``--json`` the same goes out as it is."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from sim.units import instant_text

Result = Mapping[str, Any]
Rows = Sequence[Sequence[str]]
SECOND_NS: Final = 1_000_000_000
WIDTH: Final = 100


def lines(what: str, result: Result) -> Iterator[str]:
    """The lines of a command's result."""
    yield from _LISTINGS[what](result)


def table(head: Sequence[str], rows: Rows) -> Iterator[str]:
    """Left-aligned columns, two blanks apart."""
    widths = [max(len(row[k]) for row in [head, *rows]) for k in range(len(head))]
    for row in [head, *rows]:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _import(result: Result) -> Iterator[str]:
    head = ("venue", "symbol", "from", "span", "messages", "gaps", "crossed", "quotes =/not", "clock offset")
    rows = [
        (
            str(one["venue"]), str(one["instrument"]), _second(one["first_ns"]),
            _span(one["last_ns"] - one["first_ns"]),
            f"{one['messages']:,}", str(one["gaps"]), str(one["crossed"]),
            f"{one['bbo_equal']:,} / {one['bbo_different']:,}",
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
        yield result.get("nothing", "nothing was imported")


def _build(result: Result) -> Iterator[str]:
    for one in result["recordings"]:
        if one["up_to_date"]:
            yield f"{one['recording']}: up to date"
        else:
            yield f"{one['recording']}: {one['state']}, {one['segments']} segments, {one['messages']:,} messages"
    yield f"{len(result['written'])} day files written"
    yield from _import({**result, "recordings": result["instruments"]} if result["instruments"] else _NOTHING)


def _export(result: Result) -> Iterator[str]:
    for one in result["files"]:
        yield f"{one['path']}: {one['rows']:,} rows, {one['bytes']:,} bytes ({one['venue']} {one['symbol']})"


def _formats(result: Result) -> Iterator[str]:
    for one in result["formats"]:
        yield f"{one['format']}: {one['what']}"
        yield f"    recognised: {one['recognised by']}"
        yield f"    options: {', '.join(one['options']).replace('=', ' (must be given)') or 'none'}"


def _problem(problem: Any) -> str:
    return str(problem["text"]) if isinstance(problem, Mapping) else str(problem)


def _second(ns: Any) -> str:
    """An instant to the second, as tables show it."""
    return instant_text(int(ns) // SECOND_NS * SECOND_NS).replace("T", " ").removesuffix("Z") if ns is not None else "-"


def _span(ns: Any) -> str:
    """A duration for reading, to three digits or so."""
    if ns is None:
        return "-"
    for unit, size in (("d", 86_400 * SECOND_NS), ("h", 3600 * SECOND_NS), ("min", 60 * SECOND_NS), ("s", SECOND_NS)):
        if ns >= size:
            return f"{ns / size:.4g} {unit}"
    return f"{ns / 1e6:.4g} ms"


def _size(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


def _ls(result: Result) -> Iterator[str]:
    rows = [
        (
            feed["venue"], feed["symbol"], " to ".join(dict.fromkeys((feed["days"][0], feed["days"][-1]))),
            f"{feed['messages']:,}", f"{feed['rows']:,}", _size(feed["bytes"]), str(feed["recordings"]),
            str(feed["gaps"]),
        )
        for feed in result["feeds"]
    ]  # fmt: skip
    yield from table(("venue", "symbol", "days", "messages", "rows", "size", "recordings", "gaps"), rows)


def _info(result: Result) -> Iterator[str]:
    for place, feed in enumerate(result["feeds"]):
        if place:
            yield ""
        described = feed["instrument"]
        yield f"{feed['venue']} {feed['symbol']}"
        shown = {key: value for key, value in described.items() if value not in (None, "", [], (), False)}
        shown = {key: value for key, value in shown.items() if key not in ("venue", "symbol", "unverified")}
        yield from textwrap.wrap(
            ", ".join(f"{key} {value}" for key, value in shown.items()),
            WIDTH, initial_indent="  ", subsequent_indent="  ",
        )  # fmt: skip
        days: Rows = [
            (
                file["day"], f"{100 * file['share']:.2f} %", str(file["gaps"]), _span(file["stale_ns"]),
                f"{file['messages']:,}", f"{file['rows']:,}", _size(file["bytes"]),
                f"{file['bytes_per_message']:.1f}", f"{file['ratio']:.1f}",
            )
            for file in feed["files"]
        ]  # fmt: skip
        head = ("day", "covered", "gaps", "stale", "messages", "rows", "size", "B/message", "x smaller")
        yield from _indented(table(head, days))
        streams: Rows = [
            (file["day"], name, f"{one['messages']:,}", _second(one["first_ns"]), _second(one["last_ns"]))
            for file in feed["files"]
            for name, one in file["streams"].items()
        ]
        yield from _indented(table(("day", "stream", "messages", "first", "last"), streams))
        recordings: Rows = [
            _recording(one, clock) for one, clock in zip(feed["recordings"], feed["clock"], strict=True)
        ]
        yield from _indented(
            table(("recording from", "lasting", "gaps", "least recv-send", "clock", "drift"), recordings)
        )


def _recording(report: Result, clock: Result) -> tuple[str, ...]:
    return (
        _second(report["first_ns"]), _span(report["last_ns"] - report["first_ns"]), str(report.get("gaps", 0)),
        f"{clock['least_ns'] / 1e6:.3f} ms", "corrected" if clock["corrected"] else "as it was",
        "-" if clock["drift_ppm"] is None else f"{clock['drift_ppm']:.2f} ppm",
    )  # fmt: skip


def _indented(rows: Iterator[str]) -> Iterator[str]:
    for row in rows:
        yield f"  {row}"


def _verify(result: Result) -> Iterator[str]:
    rows = []
    for file in result["files"]:
        checked = file["checked"]
        quotes = f"{checked['bbo_equal']:,} / {checked['bbo_different']:,}"
        state = f"{len(file['problems'])} found" if file["problems"] else "ok"
        rows.append(
            (
                file["venue"], file["symbol"], file["day"], state, f"{file['messages']:,}", quotes,
                str(checked["gaps"]), str(checked["checksums_wrong"]),
            )
        )  # fmt: skip
    head = ("venue", "symbol", "day", "state", "messages", "quotes =/not", "gaps", "wrong sums")
    yield from table(head, rows)
    for file in result["files"]:
        for problem in file["problems"]:
            yield f"{file['path']}: {problem}"
        for problem in file["unproven"]:
            yield f"not proven: {problem}"


def _gaps(result: Result) -> Iterator[str]:
    rows = [
        (
            gap["venue"], gap["symbol"], gap["kind"], _second(gap["start_ns"]), _span(gap["span_ns"]),
            _span(gap.get("stale_ns", gap["span_ns"])), _lost(gap),
        )
        for gap in result["gaps"]
    ]  # fmt: skip
    if rows:
        yield from table(("venue", "symbol", "kind", "from", "missing", "book unknown", "lost ids"), rows)
        yield ""
    else:
        yield "no gaps"
    feeds: Rows = [
        (
            row["venue"], row["symbol"], _second(row["first_ns"]), _span(row["span_ns"]), _span(row["recorded_ns"]),
            _span(row["missing_ns"]), f"{100 * row['coverage']:.3f} %", str(sum(row["gaps"].values())),
        )
        for row in result["totals"]
    ]  # fmt: skip
    yield from table(("venue", "symbol", "from", "span", "recorded", "unknown", "covered", "gaps"), feeds)
    common = result["common"]
    if common["feeds"] > 1:
        share = f"{100 * common['coverage']:.3f} %" if common["span_ns"] else "they share no time"
        yield f"all {common['feeds']} together: {_span(common['known_ns'])} of {_span(common['span_ns'])}, {share}"


def _lost(gap: Result) -> str:
    first, last = gap["first_lost_id"], gap["last_lost_id"]
    if not first or last is None or last < first:  # 0: the feed has no ids
        return "-"
    return f"{last - first + 1:,} from {first}"


def _compact(result: Result) -> Iterator[str]:
    rows = [
        (
            file["venue"], file["symbol"], file["day"], file["state"], f"{file['blocks_before']} to {file['blocks']}",
            f"{_size(file['bytes_before'])} to {_size(file['bytes'])}",
        )
        for file in result["files"]
    ]  # fmt: skip
    yield from table(("venue", "symbol", "day", "state", "blocks", "size"), rows)
    if result["left_behind"]:
        yield f"{result['left_behind']} unfinished files removed"


def _cache(result: Result) -> Iterator[str]:
    if result["folder"] is None:
        yield "the hot cache is switched off (PERPSIM_CACHE=off)"
        return
    yield f"{result['folder']}: {_size(result['bytes'])} of {_size(result['limit_bytes'])}"
    rows = [
        (f"{day['venue']} {day['symbol']}".strip() or "of another lake", day["day"] or day["identity"][:12],
         str(day["blocks"]), _size(day["bytes"]), _second(day["used_ns"]))
        for day in result["days"]
    ]  # fmt: skip
    if rows:
        yield from table(("feed", "day", "blocks", "size", "last used"), rows)
    if "cleared_bytes" in result:
        yield f"cleared {_size(result['cleared_bytes'])}"


_NOTHING: Result = {"recordings": [], "nothing": "nothing was built"}

_LISTINGS: dict[str, Callable[[Result], Iterator[str]]] = {
    "import": _import,
    "build": _build,
    "export": _export,
    "formats": _formats,
    "ls": _ls,
    "info": _info,
    "verify": _verify,
    "gaps": _gaps,
    "compact": _compact,
    "cache": _cache,
}
