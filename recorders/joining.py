"""Joining a depth snapshot with depth diffs by Binance's rules, and finding out what was lost.

Theory of operation (developers.binance.com, "How to manage a local order book correctly", futures). A diff carries
the update ids U..u and pu, the u of the diff before it. Drop diffs with u < lastUpdateId; the first one applied has U
<= lastUpdateId <= u; each later one has pu equal to the u before it. Otherwise something was lost, and a new snapshot
is needed. (A diff whose pu lies at or before lastUpdateId < U follows just as exactly: nothing happened in between.)

    STALE ── snapshot joins a diff ──> VALID ── pu differs from the last u ──> STALE (GAP)

Diffs go to the spool as they come, in STALE too: the snapshot that makes them usable may arrive after them, as it
does for every client that first listens and then asks. Joining then only places a SNAPSHOT before the first diff that
applies and drops the earlier ones. A snapshot that is newer than every diff so far waits for them. One that comes
while the book is VALID is redundant, as the chain of ids already proves the book, unless the next diff shows a loss.

Diffs are taken in the order of their ids. One that was received twice is dropped; one that overtook its predecessor
is held until the predecessor comes or ``HELD_MAX`` others have come, and only then something counts as lost. The GAP
stands right after the last good diff, since from then on nobody knows the venue's book, and is received with the diff
that shows it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Final

from matching.codes import DEPTH, GAP, GAP_DISCONNECT, GAP_SEQUENCE, SNAPSHOT
from recorders.book import DepthBook
from recorders.report import Problems, RecordingReport
from recorders.spool import SEQ_STEP, Spool
from venues.market_data import DepthDiff, DepthSnapshot

HELD_MAX: Final = 32
ID_MAX: Final = (1 << 63) - 1
STALE_DIFFS_MAX: Final = 1 << 16  # diffs a late snapshot can still join
DISCONNECT_NS: Final = 5_000_000_000  # silence of the recorder before a gap that makes it a disconnect
KIND_NAMES: Final = {GAP_SEQUENCE: "sequence", GAP_DISCONNECT: "disconnect"}


@dataclass(frozen=True, slots=True)
class _StaleDiff:
    """What joining needs to know of a diff in the spool."""

    seq: int
    first_id: int
    last_id: int
    previous_id: int
    ts_event: int


@dataclass(frozen=True, slots=True)
class _Received:
    """A record with its receive time, file and line."""

    record: Any
    recv_ns: int
    file: str
    line: int
    silence_ns: int


class BookJoin:
    """The depth stream of one recording, written to its spool and counted in its report."""

    def __init__(self, spool: Spool, report: RecordingReport, problems: Problems) -> None:
        self._spool = spool
        self._report = report
        self._problems = problems
        self.last_id: int | None = None
        self.valid = False
        self._seq = 0
        self._ts_event = 0
        self._segment_seq = 0  # seq of the first diff since the last gap
        self._segment_diffs = 0
        self._stale: deque[_StaleDiff] = deque(maxlen=STALE_DIFFS_MAX)
        self._held: list[_Received] = []
        self._waiting: _Received | None = None
        self._spare: _Received | None = None  # the last snapshot that came while the book was valid

    def carry_on(self, diff: DepthDiff, recv_ns: int, book: DepthBook) -> None:
        """Start from a book that is known already, as of the update that ``diff`` follows."""
        side, ticks, lots = book.columns()
        self._seq += SEQ_STEP
        self._spool.add(
            SNAPSHOT,
            diff.ts_event_ns,
            0,
            recv_ns,
            diff.previous_id,
            self._seq,
            side.tobytes(),
            ticks.tolist(),
            lots.tolist(),
        )
        self.valid = True
        self.last_id = diff.previous_id

    def continues(self, diff: DepthDiff) -> bool:
        """Whether a diff follows (or repeats) what has been seen."""
        return self.last_id is None or diff.previous_id == self.last_id or diff.last_id <= self.last_id

    # -- diffs

    def diff(self, record: DepthDiff, recv_ns: int, file: str, line: int, silence_ns: int = 0) -> None:
        """Take in a diff; ``silence_ns`` is the longest time since the diff before it in which nothing was received."""
        self._offer(_Received(record, recv_ns, file, line, silence_ns))
        while self._held and (len(self._held) > HELD_MAX or self._next_held_fits()):
            if not self._next_held_fits():
                self._lost(self._held[0])
            self._offer(self._held.pop(0))

    def _next_held_fits(self) -> bool:
        diff = self._held[0].record
        return self.last_id is None or diff.previous_id == self.last_id or diff.last_id <= self.last_id

    def _offer(self, got: _Received) -> None:
        diff = got.record
        if self.last_id is not None and diff.last_id <= self.last_id:
            self._report.duplicates += 1
            self._problems.add(got.file, got.line, "duplicate", f"depth update {diff.last_id} was seen before; dropped")
        elif self.last_id is None or diff.previous_id == self.last_id:
            self._accept(got)
        else:
            self._held.append(got)
            self._held.sort(key=lambda item: item.record.last_id)

    def _lost(self, got: _Received) -> None:
        """Declare what lies between the last good diff and ``got`` lost."""
        diff: DepthDiff = got.record
        assert self.last_id is not None
        kind = GAP_DISCONNECT if got.silence_ns >= DISCONNECT_NS else GAP_SEQUENCE
        span_ns = max(0, diff.ts_event_ns - self._ts_event)
        first_lost = min(self.last_id + 1, ID_MAX)
        self._seq += SEQ_STEP
        self._spool.add(
            GAP,
            self._ts_event,
            0,
            got.recv_ns,
            0,
            self._seq,
            b"",
            [],
            [],
            (kind, first_lost, diff.previous_id, span_ns),
        )
        self._report.gaps += 1
        self._report.gap_list.append(
            {
                "kind": KIND_NAMES[kind],
                "start_ns": self._ts_event,
                "detected_ns": diff.ts_event_ns,
                "end_ns": None,
                "resynced": False,
                "first_lost_id": first_lost,
                "last_lost_id": diff.previous_id,
                "span_ns": span_ns,
                "file": got.file,
                "line": got.line,
            }
        )
        what = f"depth updates {self.last_id + 1} to {diff.previous_id} are missing before this line"
        if diff.previous_id <= self.last_id:
            what = f"depth update {diff.first_id} to {diff.last_id} does not follow {self.last_id}"
        self._problems.add(
            got.file,
            got.line,
            "gap",
            f"{what} ({span_ns / 1e9:.3f} s of venue time); the book is stale until a snapshot",
        )
        if self._spare is not None and self._spare.record.last_id > self.last_id:
            self._wait(self._spare)  # it came before the loss was certain
            self._report.snapshots_redundant -= 1
        self._spare = None
        self.valid = False
        self.last_id = None
        self._stale.clear()
        self._segment_seq = self._seq + 1
        self._segment_diffs = 0

    def _accept(self, got: _Received) -> None:
        diff: DepthDiff = got.record
        self._seq += SEQ_STEP
        self._ts_event = max(self._ts_event, diff.ts_event_ns)
        sides = b"\0" * len(diff.bid_ticks) + b"\1" * len(diff.ask_ticks)
        self._spool.add(
            DEPTH,
            self._ts_event,
            max(diff.ts_event_ns, diff.ts_push_ns),
            got.recv_ns,
            diff.last_id,
            self._seq,
            sides,
            diff.bid_ticks + diff.ask_ticks,
            diff.bid_lots + diff.ask_lots,
        )
        self._report.diffs += 1
        self._segment_diffs += 1
        self.last_id = diff.last_id
        if self.valid:
            return
        self._stale.append(_StaleDiff(self._seq, diff.first_id, diff.last_id, diff.previous_id, self._ts_event))
        waiting = self._waiting
        if waiting is not None and diff.last_id >= waiting.record.last_id:
            self._waiting = None
            self._join(waiting, len(self._stale) - 1)

    # -- snapshots

    def snapshot(self, record: DepthSnapshot, recv_ns: int, file: str, line: int) -> None:
        """Take in a snapshot of the book."""
        got = _Received(record, recv_ns, file, line, 0)
        if self.valid:
            self._report.snapshots_redundant += 1
            if self._spare is None or record.last_id > self._spare.record.last_id:
                self._spare = got
            return
        for place, stale in enumerate(self._stale):
            if stale.last_id >= record.last_id:
                self._join(got, place)
                return
        self._wait(got)

    def _wait(self, got: _Received) -> None:
        """Keep a snapshot until a diff comes that it can join."""
        if self._waiting is not None:
            self._refuse(self._waiting, "was replaced by another before a depth update came that it could join")
        self._waiting = got

    def _join(self, got: _Received, place: int) -> None:
        snapshot: DepthSnapshot = got.record
        first = self._stale[place]
        if first.previous_id > snapshot.last_id:
            self._refuse(
                got,
                f"is as of update {snapshot.last_id}, older than the first depth update at hand "
                f"({first.first_id} to {first.last_id})",
            )
            return
        earlier = self._stale[place - 1].ts_event if place else 0
        self._place(got, first.seq - 1, min(max(snapshot.ts_event_ns, earlier), first.ts_event))

    def _place(self, got: _Received, seq: int, ts_event: int) -> None:
        snapshot: DepthSnapshot = got.record
        sides = b"\0" * len(snapshot.bid_ticks) + b"\1" * len(snapshot.ask_ticks)
        self._spool.add(
            SNAPSHOT,
            ts_event,
            max(snapshot.ts_event_ns, snapshot.ts_push_ns),
            got.recv_ns,
            snapshot.last_id,
            seq,
            sides,
            snapshot.bid_ticks + snapshot.ask_ticks,
            snapshot.bid_lots + snapshot.ask_lots,
        )
        self._spool.dropped.append((self._segment_seq, seq))
        self._report.diffs_before_snapshot += self._segment_diffs - sum(1 for stale in self._stale if stale.seq > seq)
        self._report.snapshots += 1
        self.valid = True
        self._stale.clear()
        if self._report.gap_list:
            for gap in self._report.gap_list:
                if gap["end_ns"] is None:
                    gap["end_ns"], gap["resynced"] = ts_event, True
            self._report.resyncs += 1

    def _refuse(self, got: _Received, why: str) -> None:
        self._report.snapshots_refused += 1
        self._problems.add(got.file, got.line, "snapshot_refused", f"depth snapshot not used: it {why}")

    # -- the end

    def _settle_held(self) -> None:
        while self._held:
            if not self._next_held_fits():
                self._lost(self._held[0])
            self._offer(self._held.pop(0))

    def finish(self) -> None:
        """No more diffs will come: settle what is held and waiting."""
        self._settle_held()
        got, self._waiting = self._waiting, None
        if got is None:
            return
        if self.valid:
            self._refuse(got, "is newer than the last depth update, and another one had joined already")
            return
        self._seq += SEQ_STEP
        self._place(got, self._seq, max(self._ts_event, got.record.ts_event_ns))
