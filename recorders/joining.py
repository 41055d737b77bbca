# cython: annotation_typing=False, boundscheck=True, wraparound=True, cdivision=False
"""Joining depth snapshots with depth diffs by the venues' rules, and finding out what was lost.

Theory of operation. A diff carries the ids first..last and that of the diff before it; it *follows* when the latter is
the last one seen. Where it does not, something was lost, and a new snapshot is needed:

    STALE ── a snapshot joins, or comes in the stream ──> VALID
    VALID ── a diff does not follow, a checksum is wrong, the recorder missed something ──> STALE (GAP)

*Snapshots that were asked for apart from the stream* (Binance; developers.binance.com, "How to manage a local order
book correctly", futures): drop diffs with u < lastUpdateId; the first one applied has U <= lastUpdateId <= u; each
later one has pu equal to the u before it. (A diff whose pu lies at or before lastUpdateId < U follows just as exactly:
nothing happened in between.) Diffs go to the spool as they come, in STALE too: the snapshot that makes them usable may
arrive after them, as it does for every client that first listens and then asks. Joining then only places a SNAPSHOT
before the first diff that applies and drops the earlier ones. A snapshot that is newer than every diff so far waits for
them. One that comes while the book is VALID is redundant, as the chain of ids already proves the book, unless the next
diff shows a loss.

*Snapshots in the stream* (all other venues) replace the book at once, and the next diff follows their id. While the
book is VALID such a snapshot says that what led to it was missed (GAP, ended by the snapshot itself), unless the book
has come in snapshots alone so far, or it repeats the id at hand. One that is older than the book, by the venue's own
time, is refused.

Diffs are taken in the order of their ids. One that was received twice is dropped; one that overtook its predecessor is
held until the predecessor comes or ``HELD_MAX`` others have come, and only then something counts as lost. Where ids
rise, an id at or below the last one is a repeat; where they may go back or stand still (``venues/market_feeds.py``),
only a message that was seen before is. There, a diff that follows and goes back is written as a SNAPSHOT of the whole
book: whoever compares ids afterwards starts afresh. The GAP stands right after the last good diff, since from then on
nobody knows the venue's book, and is received with whatever shows it."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from matching.codes import (
    DEPTH,
    GAP,
    GAP_CHECKSUM,
    GAP_DISCONNECT,
    GAP_SEQUENCE,
    SNAPSHOT,
)
from recorders.book import DepthBook
from recorders.keeper import BookKeeper, Rows
from recorders.report import GAP_NAMES, Problems, RecordingReport, Tally
from recorders.spool import OWN_CLOCK, SEQ_STEP, MessageSink
from venues.market_data import DepthDiff, DepthSnapshot
from venues.market_feeds import MarketFeed

HELD_MAX: Final = 32
ID_MAX: Final = (1 << 63) - 1
STALE_DIFFS_MAX: Final = 1 << 16  # diffs a late snapshot can still join
SEEN_MAX: Final = 8192  # messages remembered to know them again
DISCONNECT_NS: Final = 5_000_000_000  # silence of the recorder before a gap that makes it a disconnect


class _StaleDiff:
    """What joining needs to know of a diff in the spool. ``rows``: for the keeper of the whole book, where there is
    one."""

    __slots__ = ("first_id", "last_id", "previous_id", "rows", "seq", "ts_event")

    def __init__(self, seq: int, diff: DepthDiff, ts_event: int, rows: Rows | None) -> None:
        self.seq = seq
        self.first_id, self.last_id, self.previous_id = diff.first_id, diff.last_id, diff.previous_id
        self.ts_event = ts_event
        self.rows = rows


class Received:
    """A record with its receive time, file and line. ``silence_ns``: for how long nothing had been received;
    ``wall_ns``: what the wall clock said, if that is another time."""

    __slots__ = ("file", "line", "record", "recv_ns", "silence_ns", "wall_ns")

    def __init__(
        self, record: Any, recv_ns: int, file: str, line: int, silence_ns: int = 0, wall_ns: int | None = None
    ) -> None:
        self.record = record
        self.recv_ns = recv_ns
        self.file = file
        self.line = line
        self.silence_ns = silence_ns
        self.wall_ns = wall_ns


class Seen:
    """What the last ``SEEN_MAX`` messages of a stream were, to drop those that a recorder received twice."""

    def __init__(self) -> None:
        self._keys: set[Any] = set()
        self._order: deque[Any] = deque(maxlen=SEEN_MAX + 1)

    def __contains__(self, key: Any) -> bool:
        return key in self._keys

    def repeats(self, key: Any) -> bool:
        """Whether this one was seen before; it is remembered."""
        if key in self._keys:
            return True
        self._keys.add(key)
        self._order.append(key)
        if len(self._keys) > SEEN_MAX:
            self._keys.discard(self._order.popleft())
        return False


def _key(record: DepthDiff | DepthSnapshot) -> tuple[Any, ...]:
    """What a message is known again by: ids and venue time; without a time, all of it."""
    ids = (record.previous_id,) if isinstance(record, DepthDiff) else ()
    content: tuple[Any, ...] = ()
    if not record.ts_event_ns or not ids:
        content = (hash((*record.bid_ticks, *record.bid_lots, *record.ask_ticks, *record.ask_lots)),)
    return (*ids, record.last_id, record.ts_event_ns, *content)


def _rows(record: DepthDiff | DepthSnapshot) -> Rows:
    sides = b"\0" * len(record.bid_ticks) + b"\1" * len(record.ask_ticks)
    return sides, record.bid_ticks + record.ask_ticks, record.bid_lots + record.ask_lots


class BookJoin:
    """The depth stream of one recording, written to its spool and counted in its report."""

    def __init__(self, spool: MessageSink, tally: Tally, problems: Problems, feed: MarketFeed) -> None:
        self._spool = spool
        self._tally = tally
        self._problems = problems
        self._feed = feed
        self._keeper = BookKeeper(feed.crossed) if not feed.ids_rise else None
        self._seen = Seen()
        self._passed = Seen()  # ids at which the book stood
        self._has_diffs = False  # the book comes in diffs that chain, not in snapshots alone
        self.last_id: int | None = None
        self.valid = False
        self._seq = 0
        self._ts_event = 0
        self._own_clock = False  # ts_event is a time of the recorder's clock
        self._ts_venue = 0  # the last venue time of the book, where the venue says one
        self._segment_seq = 0  # seq of the first diff since the last gap
        self._segment_diffs = 0
        self._stale: deque[_StaleDiff] = deque(maxlen=STALE_DIFFS_MAX)
        self._held: list[Received] = []
        self._waiting: Received | None = None
        self._spare: Received | None = None  # the last snapshot that came while the book was valid
        self._open: list[dict[str, Any]] = []  # gaps that no snapshot has ended yet
        self._untimed: dict[str, Any] | None = None  # a gap after which no message about the book has come yet

    @property
    def _report(self) -> RecordingReport:
        return self._tally.report

    def carry_on(self, diff: DepthDiff, recv_ns: int, book: DepthBook) -> None:
        """Start from a book that is known already, as of the update that ``diff`` follows."""
        side, ticks, lots = book.columns()
        rows = side.tobytes(), ticks.tolist(), lots.tolist()
        if self._keeper is not None:
            rows = self._keeper.replace(rows, diff.previous_id)
        self._seq += SEQ_STEP
        self._spool.add(SNAPSHOT, diff.ts_event_ns, 0, recv_ns, diff.previous_id, self._seq, *rows)
        self.valid = True
        self.last_id = diff.previous_id

    def continues(self, diff: DepthDiff) -> bool:
        """Whether a diff follows (or repeats) what has been seen."""
        return self.last_id is None or diff.previous_id == self.last_id or self._repeats(diff)

    def _repeats(self, diff: DepthDiff) -> bool:
        assert self.last_id is not None
        if self._feed.ids_rise:
            return diff.last_id <= self.last_id
        return _key(diff) in self._seen or self._stands_still_in_the_past(diff)

    def _stands_still_in_the_past(self, diff: DepthDiff) -> bool:
        """A message that says only "still at this id" and was overtaken by the change that follows that id."""
        idle = diff.last_id == diff.previous_id != self.last_id and not (diff.bid_ticks or diff.ask_ticks)
        return idle and diff.last_id in self._passed

    def _time(self, got: Received) -> tuple[int, int]:
        """A message's place in venue time, and when it was made as the spool wants it."""
        record = got.record
        event = record.ts_event_ns or record.ts_push_ns
        self._own_clock = not event
        self._ts_venue = max(self._ts_venue, event)
        self._ts_event = max(self._ts_event, event or got.recv_ns)
        return self._ts_event, max(record.ts_event_ns, record.ts_push_ns) or OWN_CLOCK

    # -- diffs

    def diff(self, got: Received) -> None:
        """Take in a diff; its ``silence_ns`` is the longest time since the diff before it in which nothing was
        received."""
        self._count_checksum(got.record.intact)
        self._offer(got)
        self._settle(HELD_MAX)

    def _count_checksum(self, intact: bool | None) -> None:
        if intact is not None:
            self._report.checksums_right += intact is True
            self._report.checksums_wrong += intact is False

    def _settle(self, allowed: int) -> None:
        """Let held diffs go that follow now; beyond ``allowed`` of them, what lies before the first counts as lost."""
        while self._held:
            place = next((k for k, item in enumerate(self._held) if self.continues(item.record)), -1)
            if place < 0 and len(self._held) <= allowed:
                return
            if place < 0:
                self._lost(self._held[0])
            self._offer(self._held.pop(max(0, place)))

    def _offer(self, got: Received) -> None:
        diff = got.record
        if self.last_id is not None and self._repeats(diff):
            self._report.duplicates += 1
            self._problems.add(got.file, got.line, "duplicate", f"depth update {diff.last_id} was seen before; dropped")
        elif diff.intact is False:
            self._seen.repeats(_key(diff))
            self.interrupted(GAP_CHECKSUM, got, f"the checksum of depth update {diff.last_id} does not match")
        elif self.last_id is None or diff.previous_id == self.last_id:
            self._accept(got)
        else:
            self._held.append(got)
            if self._feed.ids_rise:
                self._held.sort(key=lambda item: item.record.last_id)

    def interrupted(self, kind: int, got: Received, why: str) -> None:
        """From here on nobody knows the book: a GAP at once, unless it is unknown already."""
        self._settle(0)
        self._spare = None
        if self.valid:
            first_lost = min((self.last_id or 0) + 1, ID_MAX)
            self._gap(kind, got, first_lost, 0, 0, why)
            self._untimed = self._open[-1]
        self._forget()

    def _resumed(self, got: Received) -> None:
        """The first message about the book after an interruption tells how long nothing was heard of it."""
        if self._untimed is not None and got.record.ts_event_ns:
            self._untimed["span_ns"] = max(0, got.record.ts_event_ns - self._untimed["start_ns"])
            self._untimed = None

    def _lost(self, got: Received) -> None:
        """Declare what lies between the last good diff and ``got`` lost."""
        diff: DepthDiff = got.record
        assert self.last_id is not None
        kind = GAP_DISCONNECT if got.silence_ns >= DISCONNECT_NS else GAP_SEQUENCE
        span_ns = max(0, diff.ts_event_ns - self._ts_event) if diff.ts_event_ns else 0
        what = f"depth updates {self.last_id + 1} to {diff.previous_id} are missing before this line"
        if diff.previous_id <= self.last_id:
            what = f"depth update {diff.first_id} to {diff.last_id} does not follow {self.last_id}"
        first_lost = min(self.last_id + 1, ID_MAX)
        self._gap(kind, got, first_lost, diff.previous_id, span_ns, f"{what} ({span_ns / 1e9:.3f} s of venue time)")
        if self._spare is not None and self._spare.record.last_id > self.last_id:
            self._wait(self._spare)  # it came before the loss was certain
            self._report.snapshots_redundant -= 1
        self._spare = None
        self._forget()

    def _gap(self, kind: int, got: Received, first_lost: int, last_lost: int, span_ns: int, why: str) -> None:
        self._seq += SEQ_STEP
        made = OWN_CLOCK if self._own_clock else 0
        aux = (kind, first_lost, last_lost, span_ns)
        self._spool.add(GAP, self._ts_event, made, got.recv_ns, 0, self._seq, b"", [], [], aux, got.wall_ns)
        gap = {
            "kind": GAP_NAMES[kind],
            "start_ns": self._ts_event,
            "detected_ns": getattr(got.record, "ts_event_ns", 0) or got.recv_ns,
            "end_ns": None,
            "resynced": False,
            "first_lost_id": first_lost,
            "last_lost_id": last_lost,
            "span_ns": span_ns,
            "file": got.file,
            "line": got.line,
        }
        self._report.gaps += 1
        self._report.gap_list.append(gap)
        self._open.append(gap)
        self._problems.add(got.file, got.line, "gap", f"{why}; the book is stale until a snapshot")

    def _forget(self) -> None:
        if self._own_clock:  # without venue times, ids that count afresh on the next connection say nothing new or old
            self._seen = Seen()
        self.valid = False
        self.last_id = None
        self._stale.clear()
        self._segment_seq = self._seq + 1
        self._segment_diffs = 0

    def _accept(self, got: Received) -> None:
        diff: DepthDiff = got.record
        self._resumed(got)
        if not self._feed.ids_rise:
            self._seen.repeats(_key(diff))
            self._passed.repeats(diff.previous_id)
        ts_event, made = self._time(got)
        rows = _rows(diff)
        kind = DEPTH
        if self._keeper is not None and self.valid:
            rows = self._keeper.change(rows, diff.last_id)
            self._count_uncrossed()
            if diff.last_id < diff.previous_id:
                kind, rows = SNAPSHOT, self._keeper.rows()
        self._seq += SEQ_STEP
        sides, ticks, lots = rows
        self._spool.add(
            kind, ts_event, made, got.recv_ns, diff.last_id, self._seq, sides, ticks, lots, None, got.wall_ns
        )
        self._report.diffs += 1
        self._has_diffs = True
        self._segment_diffs += 1
        self.last_id = diff.last_id
        if self.valid:
            return
        if diff.last_id < diff.previous_id:
            self._count_afresh()
            return
        kept = rows if self._keeper is not None else None
        self._stale.append(_StaleDiff(self._seq, diff, self._ts_event, kept))
        waiting = self._waiting
        if waiting is not None and diff.last_id >= waiting.record.last_id:
            self._waiting = None
            self._join(waiting, len(self._stale) - 1)

    def _count_afresh(self) -> None:
        """Ids went back while the book was unknown: answers and diffs from before say nothing of those that follow."""
        self._stale.clear()
        if self._waiting is not None:
            self._refuse(self._waiting, "is from before the ids went back")
            self._waiting = None

    def _count_uncrossed(self) -> None:
        if self._keeper is not None and self._keeper.uncrossed:
            self._report.uncrossed += self._keeper.uncrossed
            self._keeper.uncrossed = 0

    # -- snapshots

    def snapshot(self, got: Received) -> None:
        """Take in a snapshot of the book."""
        record: DepthSnapshot = got.record
        self._count_checksum(record.intact)
        if record.in_stream:
            self._replace(got)
            return
        if self._feed.crossed:
            self._refuse(got, "has no place in a stream that is sent crossed")
            return
        if not record.bid_ticks or not record.ask_ticks:  # a session asks again
            self._refuse(got, "has an empty side")
            return
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

    def _replace(self, got: Received) -> None:
        """A snapshot in the stream: the book from now on."""
        record: DepthSnapshot = got.record
        key = _key(record)
        if self.valid and key in self._seen:
            self._report.duplicates += 1
            self._problems.add(
                got.file, got.line, "duplicate", f"depth snapshot {record.last_id} was seen before; dropped"
            )
            return
        event = record.ts_event_ns or record.ts_push_ns
        if event and event < self._ts_venue:
            self._refuse(got, f"is {(self._ts_venue - event) / 1e9:.3f} s older than the book at hand")
            return
        if record.intact is False:
            self._refuse(got, "does not match its checksum")
            self.interrupted(GAP_CHECKSUM, got, f"the checksum of depth snapshot {record.last_id} does not match")
            return
        self._settle(0)
        if self.valid and self._has_diffs and record.last_id != self.last_id:
            kind = GAP_DISCONNECT if got.silence_ns >= DISCONNECT_NS else GAP_SEQUENCE
            what = f"depth snapshot {record.last_id} does not follow {self.last_id}: what lies between was not received"
            self.interrupted(kind, got, what)
        self._resumed(got)
        self._seen.repeats(key)
        self._seq += SEQ_STEP
        ts_event, _ = self._time(got)
        self._place(got, self._seq, ts_event)
        self.last_id = record.last_id

    def _wait(self, got: Received) -> None:
        """Keep a snapshot until a diff comes that it can join."""
        if self._waiting is not None:
            self._refuse(self._waiting, "was replaced by another before a depth update came that it could join")
        self._waiting = got

    def _join(self, got: Received, place: int) -> None:
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

    def _place(self, got: Received, seq: int, ts_event: int) -> None:
        snapshot: DepthSnapshot = got.record
        rows = _rows(snapshot)
        if self._keeper is not None:
            rows = self._keeper.replace(rows, snapshot.last_id)
            for stale in self._stale:
                if stale.seq > seq and stale.rows is not None:
                    self._keeper.change(stale.rows, stale.last_id)
            self._count_uncrossed()
        made = max(snapshot.ts_event_ns, snapshot.ts_push_ns) or (OWN_CLOCK if self._own_clock else 0)
        self._spool.add(SNAPSHOT, ts_event, made, got.recv_ns, snapshot.last_id, seq, *rows, raw=got.wall_ns)
        if not self.valid:
            self._spool.drop(self._segment_seq, seq)
            self._report.diffs_before_snapshot += self._segment_diffs - sum(1 for s in self._stale if s.seq > seq)
        self._report.snapshots += 1
        self.valid = True
        self._stale.clear()
        if self._open:
            for gap in self._open:
                gap["end_ns"], gap["resynced"] = ts_event, True
            self._open.clear()
            self._report.resyncs += 1

    def _refuse(self, got: Received, why: str) -> None:
        self._report.snapshots_refused += 1
        self._problems.add(got.file, got.line, "snapshot_refused", f"depth snapshot not used: it {why}")

    # -- the end

    def finish(self) -> None:
        """No more diffs will come: settle what is held and waiting."""
        self._settle(0)
        got, self._waiting = self._waiting, None
        if got is None:
            return
        if self.valid:
            self._refuse(got, "is newer than the last depth update, and another one had joined already")
            return
        event = got.record.ts_event_ns or got.record.ts_push_ns
        if not self._feed.ids_rise and event < self._ts_event:  # where ids go back they do not tell which is newer
            self._refuse(got, "is older than the last depth update, and none came that it could join")
            return
        self._seq += SEQ_STEP
        self._place(got, self._seq, max(self._ts_event, got.record.ts_event_ns))
