"""What an import says: one report a recording and instrument, and one for the whole import.

Everything that was not taken over as it stands is counted here and the first of each kind are named: a file and line
with the reason. Nothing disappears without a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np

from matching.codes import (
    GAP,
    GAP_CHECKSUM,
    GAP_DISCONNECT,
    GAP_RECORDER,
    GAP_SEQUENCE,
    GAP_SESSION_END,
    ORDER_BOOK,
    SNAPSHOT,
)
from recorders.blocks import MessageBlock

NAMED_MAX: Final = 200  # problems named one by one; beyond that they are counted
GAP_NAMES: Final[Mapping[int, str]] = {
    GAP_SEQUENCE: "sequence", GAP_DISCONNECT: "disconnect", GAP_SESSION_END: "session_end",
    GAP_CHECKSUM: "checksum", GAP_RECORDER: "recorder",
}  # fmt: skip


@dataclass(slots=True)
class RecordingReport:
    """One recording (a contiguous session) of one instrument.

    Times are ns UTC: ``first_ns..last_ns`` of the venue's engine, ``first_recv_ns..last_recv_ns`` as the recorder's
    clock wrote them. ``clock_offset_ns`` is the least of receive time minus max(engine time, push time); below the
    latency floor the clock ran behind the venue, and the offset series (``clock_corrected``) brings the least
    remaining latency, ``latency_least_ns``, to the floor. ``stale_ns`` is the venue time without a valid book after
    the first gap.
    """

    recording: str
    venue: str
    instrument: str
    continues: str = ""  # the lake's recording that this one follows without a lost update, imported earlier
    sources: list[dict[str, Any]] = field(default_factory=list)
    first_ns: int = 0
    last_ns: int = 0
    first_recv_ns: int = 0
    last_recv_ns: int = 0
    lines: int = 0
    messages: int = 0
    rows: int = 0
    # the book
    snapshots: int = 0  # joined with the diffs
    snapshots_redundant: int = 0  # came while the book was valid
    snapshots_refused: int = 0  # older than the diffs at hand, or replaced by another before it could join
    diffs: int = 0
    diffs_before_snapshot: int = 0  # dropped, as the venue's joining rule says
    checksums_right: int = 0  # messages whose checksum of the venue's agreed with the book
    checksums_wrong: int = 0
    uncrossed: int = 0  # levels taken out or made smaller because the venue sends its book crossed
    gaps: int = 0
    resyncs: int = 0
    stale_ns: int = 0
    stale_at_end: bool = False
    gap_list: list[dict[str, Any]] = field(default_factory=list)
    crossed: int = 0
    bbo_equal: int = 0
    bbo_different: int = 0
    bbo_examples: list[dict[str, Any]] = field(default_factory=list)
    # other streams
    trades: int = 0
    trades_missing: int = 0  # ids that are absent between the first and the last print
    offbook: int = 0
    aggregates_unused: int = 0  # aggTrade repeats what the trade stream of the same recording says
    quotes: int = 0
    marks: int = 0
    forced: int = 0
    # order by order: how many trades the queues explain, orders that the market traded through, or that no column holds
    trades_explained: int = 0
    orders_dropped: list[dict[str, Any]] = field(default_factory=list)
    orders_unknown: int = 0
    orders_left_out: list[int] = field(default_factory=list)
    # time
    clock_offset_ns: int = 0
    clock_corrected: bool = False
    latency_floor_ns: int = 0
    latency_least_ns: int = 0
    # what the source does not say and the importer had to take for granted, a sentence each
    assumptions: list[str] = field(default_factory=list)
    before_start: int = 0  # messages from before the recording that the venue sent as history; left out
    # what was wrong
    duplicates: int = 0
    reordered: int = 0
    malformed: int = 0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def count_gaps(self, block: MessageBlock) -> None:
        """List the gaps among messages that follow those of the calls before, and where whole books end them."""
        for at in np.flatnonzero(np.isin(block.kind, (GAP, SNAPSHOT, ORDER_BOOK))).tolist():
            ts_event = int(block.ts_event[at])
            if block.kind[at] == GAP:
                self._gap(ts_event, *block.aux[block.ref[at]].tolist())
            else:
                self._resync(ts_event)

    def _gap(self, ts_event: int, kind: int, first: int, last: int, span: int) -> None:
        self.gaps += 1
        self.gap_list.append(
            {
                "kind": GAP_NAMES.get(kind, str(kind)),
                "start_ns": ts_event,
                "detected_ns": ts_event + span,
                "end_ns": None,
                "resynced": False,
                "first_lost_id": first,
                "last_lost_id": last,
                "span_ns": span,
            }
        )

    def _resync(self, ts_event: int) -> None:
        waiting = 0
        for gap in reversed(self.gap_list):
            if gap["end_ns"] is not None:
                break
            gap["end_ns"], gap["resynced"] = ts_event, True
            waiting += 1
        self.resyncs += bool(waiting)

    def close_gaps(self) -> None:
        """At the end of the recording: how long the book was not known after each gap, and after all of them."""
        stale_from = None
        for gap in self.gap_list:
            end_ns = self.last_ns if gap["end_ns"] is None else gap["end_ns"]
            gap["stale_ns"] = end_ns - gap["start_ns"]
            if stale_from is None or gap["start_ns"] >= stale_from:
                self.stale_ns += gap["stale_ns"]
            stale_from = end_ns


@dataclass(slots=True)
class Tally:
    """Where what happens is counted now: the report of the recording, or of its day."""

    report: RecordingReport


@dataclass(slots=True)
class Problem:
    """One thing that could not be taken over as it stands: where, what kind, why."""

    file: str
    line: int
    kind: str
    why: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.why}"


@dataclass(slots=True)
class Problems:
    """Problems by kind: all counted, the first ``NAMED_MAX`` of each kind named."""

    counts: dict[str, int] = field(default_factory=dict)
    named: list[Problem] = field(default_factory=list)

    def add(self, file: str, line: int, kind: str, why: str) -> None:
        count = self.counts.get(kind, 0) + 1
        self.counts[kind] = count
        if count <= NAMED_MAX:
            self.named.append(Problem(file, line, kind, why))

    def merge(self, other: Problems) -> None:
        """Take over what another list holds."""
        for kind, count in other.counts.items():
            self.counts[kind] = self.counts.get(kind, 0) + count
        self.named += other.named

    def as_list(self) -> list[dict[str, Any]]:
        return [{**asdict(problem), "text": str(problem)} for problem in self.named]


@dataclass(slots=True)
class ImportReport:
    """A whole import: its recordings, its files, what was wrong, and streams that no simulation uses, by name."""

    lake: str
    recordings: list[RecordingReport] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    problems: Problems = field(default_factory=Problems)
    unused: dict[str, int] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "lake": self.lake,
            "recordings": [report.as_dict() for report in self.recordings],
            "files": self.files,
            "problems": self.problems.as_list(),
            "problem_counts": self.problems.counts,
            "unused": self.unused,
            "written": self.written,
            "replaced": self.replaced,
        }
