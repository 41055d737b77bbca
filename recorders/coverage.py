"""What a lake covers: by day and stream, between recordings, and over all feeds together.

Theory of operation. A recording covers its venue time from first to last message, less the stretches in which its book
was not known: before its first whole book, and from a gap to the next snapshot or to the end. A feed that says nothing
of a book (best quotes only) has none to miss. Recordings and gaps come from the footers' reports; only ``info`` reads
data, and of that two narrow columns, to count messages by kind. Stretches of time are half-open (start, stop) pairs of
ns, sorted and apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from matching import codes
from recorders.dayfile import DayFile
from venues.rules import DAY_NS, date_ns

Spans = list[tuple[int, int]]
STREAMS: Final = {
    "depth": (codes.DEPTH,),
    "snapshot": (codes.SNAPSHOT, codes.ORDER_BOOK),
    "best quote": (codes.BBO,),
    "order": (codes.ORDER_ADD, codes.ORDER_CHANGE, codes.ORDER_GONE, codes.ORDER_FILL),
    "trade": (codes.TRADE,),
    "off-book trade": (codes.OFFBOOK,),
    "mark": (codes.MARK,),
    "funding": (codes.FUNDING,),
    "liquidation": (codes.FORCE,),
    "gap": (codes.GAP,),
}
MESSAGE_BYTES: Final = 37  # of a message in the columns that kernels read
ROW_BYTES: Final = 9
AUX_BYTES: Final = 32


def recordings_of(files: Sequence[DayFile]) -> list[dict[str, Any]]:
    """The recordings of consecutive files, each once, by first venue time."""
    found: dict[str, dict[str, Any]] = {}
    for file in files:
        for report in file.about["recordings"]:
            found[report["recording"]] = report
    return sorted(found.values(), key=lambda report: (report["first_ns"], report["recording"]))


# -- stretches of time


def merged(spans: Spans) -> Spans:
    """Sorted and apart."""
    found: Spans = []
    for start, stop in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], stop))
        elif stop > start:
            found.append((start, stop))
    return found


def without(spans: Spans, holes: Spans) -> Spans:
    """What of ``spans`` lies in no hole; both merged."""
    found: Spans = []
    for start, stop in spans:
        at = start
        for low, high in holes:
            if high > at and low < stop:
                if low > at:
                    found.append((at, low))
                at = max(at, high)
        if at < stop:
            found.append((at, stop))
    return found


def shared(one: Spans, other: Spans) -> Spans:
    """What lies in both."""
    found = [(max(a, c), min(b, d)) for a, b in one for c, d in other if max(a, c) < min(b, d)]
    return merged(found)


def length(spans: Spans) -> int:
    return sum(stop - start for start, stop in spans)


def recorded(reports: Sequence[dict[str, Any]]) -> Spans:
    """When something was recorded. One that goes on with the book of the one before has no hole before it."""
    ends = {report["recording"]: report["last_ns"] for report in reports}
    return merged(
        [(min(r["first_ns"], ends.get(r.get("continues", ""), r["first_ns"])), r["last_ns"] + 1) for r in reports]
    )


def stale(reports: Sequence[dict[str, Any]]) -> Spans:
    """When the book was not known: before the first whole one, and after gaps."""
    begins = [(r["first_ns"], r.get("book_from_ns", 0)) for r in reports if not r.get("continues")]
    return merged(
        [(start, stop) for start, stop in begins if stop > start]
        + [
            (gap["start_ns"], report["last_ns"] + 1 if gap["end_ns"] is None else gap["end_ns"])
            for report in reports
            for gap in report.get("gap_list", [])
        ]
    )


# -- answers: plain data


def gap_rows(reports: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Gaps within recordings and the ends between them, in order of time."""
    found: list[dict[str, Any]] = []
    before: dict[str, Any] | None = None
    for report in reports:
        if before is not None and report.get("continues") != before["recording"]:
            found.append(
                {
                    "recording": before["recording"],
                    "kind": "session_end",
                    "start_ns": before["last_ns"],
                    "end_ns": report["first_ns"],
                    "span_ns": report["first_ns"] - before["last_ns"],
                    "first_lost_id": None,
                    "last_lost_id": None,
                    "resynced": report.get("snapshots", 0) > 0,
                }
            )
        found += [{"recording": report["recording"], **gap} for gap in report.get("gap_list", [])]
        before = report
    return found


def totals(feeds: Sequence[tuple[str, str, list[dict[str, Any]]]]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Per feed (venue, symbol, its reports): how much of its time is recorded and how much of that has a known book;
    and how much of their common time all of them have."""
    rows: list[dict[str, Any]] = []
    every: Spans | None = None
    for venue, symbol, reports in feeds:
        spans = recorded(reports)
        known = without(spans, stale(reports))
        holes = gap_rows(reports)
        whole = (spans[0][0], spans[-1][1]) if spans else (0, 0)
        kinds = sorted({hole["kind"] for hole in holes})
        rows.append(
            {
                "venue": venue,
                "symbol": symbol,
                "first_ns": whole[0],
                "last_ns": max(whole[0], whole[1] - 1),
                "span_ns": whole[1] - whole[0],
                "recorded_ns": length(spans),
                "known_ns": length(known),
                "coverage": length(known) / max(1, whole[1] - whole[0]),
                "gaps": {kind: sum(hole["kind"] == kind for hole in holes) for kind in kinds},
                "missing_ns": whole[1] - whole[0] - length(known),
            }
        )
        every = known if every is None else shared(every, known)
    first = max((row["first_ns"] for row in rows), default=0)
    last = min((row["last_ns"] + 1 for row in rows), default=0)
    span = max(0, last - first)
    common = {
        "feeds": len(rows),
        "first_ns": first,
        "last_ns": last,
        "span_ns": span,
        "known_ns": length(every or []),
        "coverage": length(every or []) / span if span else 0.0,
    }
    return rows, common


def day_row(path: Path, file: DayFile, reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One day of a feed: what it covers, what streams it has, how large it is."""
    start = date_ns(path.stem)
    day: Spans = [(start, start + DAY_NS)]
    spans = shared(recorded(reports), day)
    holes = shared(stale(reports), day)
    streams: dict[str, dict[str, int]] = {}
    for block in file.blocks:
        columns = file.columns(block, ["ts_event", "kind"])
        times, kinds = columns["ts_event"], columns["kind"]
        for name, members in STREAMS.items():
            places = np.flatnonzero(np.isin(kinds, members))
            if len(places):
                row = streams.setdefault(name, {"messages": 0, "first_ns": int(times[places[0]]), "last_ns": 0})
                row["messages"] += len(places)
                row["last_ns"] = int(times[places[-1]])
    size = path.stat().st_size
    messages, rows = file.messages, file.rows
    decoded = messages * MESSAGE_BYTES + rows * ROW_BYTES + sum(block.aux for block in file.blocks) * AUX_BYTES
    return {
        "day": path.stem,
        "path": str(path),
        "bytes": size,
        "blocks": len(file.blocks),
        "messages": messages,
        "rows": rows,
        "bytes_per_message": size / max(1, messages),
        "decoded_bytes": decoded,
        "ratio": decoded / max(1, size),
        "recorded_ns": length(spans),
        "share": length(without(spans, holes)) / DAY_NS,
        "gaps": sum(start <= hole["start_ns"] < start + DAY_NS for hole in gap_rows(reports)),
        "stale_ns": length(holes),
        "streams": {name: streams[name] for name in STREAMS if name in streams},
        "code": file.about["code"],
    }


def clock_row(report: dict[str, Any], series: dict[str, Any] | None) -> dict[str, Any]:
    """A recording's receive clock against the venue's: the least of receive minus send time, and where a correction was
    recorded its drift in parts per million (positive: the clock ran slow and fell behind)."""
    drift = None
    if series is not None and len(series["offsets_ns"]) > 1:
        steps = (len(series["offsets_ns"]) - 1) * series["step_ns"]
        drift = (series["offsets_ns"][0] - series["offsets_ns"][-1]) / steps * 1e6
    return {
        "recording": report["recording"],
        "least_ns": report.get("clock_offset_ns", 0),
        "corrected": bool(report.get("clock_corrected")),
        "drift_ppm": drift,
    }
