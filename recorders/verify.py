"""Verification: everything a lake says is read and checked against what can be proven of it.

Theory of operation. Files are walked in order of time, message by message, with a book of our own; what is remembered
is bounded. Checked, with what each can prove:

    bytes       page checksums, footer digest, digest of every block's columns
    footers     the path and the index agree with the data; a recording's report has the counts that its messages have
    order       venue time never goes back and stays within its day; nothing is received before it was made; the
                client's order is by receive time; kinds, sides, sizes and references are possible ones
    chain       between two snapshots or gaps the book's update ids never go back. The lake keeps only a message's last
                id: that each follows the one before was checked on import, and every break of the chain then became a
                GAP. Their number, kinds and places must be those of the recording's report.
    book        it never crosses; every checkpoint is the book that the messages before it make
    quotes      best quotes agree with the book of the same update id, and as often as the report says
    trades      no trade id occurs twice in a recording (exact; memory grows with the holes between ids, and beyond
                ``RUNS_MAX`` of them the rest is left unproven and named). A print need not lie within the best prices
                on either side of it, since the book moves between two updates: such prints are counted, and named only
                if they are more than a tenth away.
    marks       no jump by more than a tenth within a minute, none more than a tenth from the book
    cache       entries of the hot cache equal the blocks that they stand for

Checksums of the venue (OKX) are checked by its codec on the way in: the report counts those that agreed, and a wrong
one is a GAP of its own kind, counted in the report and here. What could not be proven is named in ``unproven``: a
recording's totals, if a day of it is absent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from matching.codes import (
    BBO,
    DEPTH,
    FORCE,
    GAP,
    GAP_CHECKSUM,
    MARK,
    OFFBOOK,
    ORDER_BOOK,
    SELL,
    SNAPSHOT,
    TRADE,
)
from matching.feed import I64
from recorders.blocks import MessageBlock, has_aux
from recorders.book import BookCounts, BookTrack
from recorders.dayfile import BLOCK_MESSAGES, BlockInfo, DayFile, digest_of
from recorders.hot import HotCache, Shape
from recorders.report import GAP_NAMES
from recorders.writer import instrument_from
from venues.errors import InputError
from venues.rules import DAY_NS, date_ns

LAST_KIND: Final = ORDER_BOOK
NAMED_MAX: Final = 20  # findings of one check in one file that are named; more are counted
RUNS_MAX: Final = 1 << 20
MINUTE_NS: Final = 60_000_000_000
TENTH: Final = 10  # a part of the price that nothing plausible is away
_CHECKED: Final = ("bbo_equal", "bbo_different", "checksums_right", "checksums_wrong", "gaps", "prints_outside")
_CACHED: Final = (
    "ts_event",
    "ts_recv",
    "kind",
    "row_start",
    "ref",
    "local_order",
    "side",
    "px_ticks",
    "qty_lots",
    "aux",
)


class IdRuns:
    """Ids seen so far, as runs without holes: exact, and small where ids count up."""

    def __init__(self) -> None:
        self._start: I64 = np.zeros(0, np.int64)
        self._stop: I64 = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self._start)

    def add(self, ids: I64) -> I64:
        """Take in ids; returns those that were seen before or occur twice among them."""
        one, counts = np.unique(ids, return_counts=True)
        place = self._start.searchsorted(one, side="right") - 1
        known = np.zeros(len(one), np.bool_)
        inside = place >= 0
        known[inside] = one[inside] < self._stop[place[inside]]
        fresh = one[~known]
        if len(fresh):
            cut = np.flatnonzero(np.diff(fresh) != 1)
            start = np.concatenate((self._start, fresh[:1], fresh[cut + 1]))
            stop = np.concatenate((self._stop, fresh[cut] + 1, fresh[-1:] + 1))
            order = np.argsort(start)
            start, stop = start[order], stop[order]
            apart = np.flatnonzero(start[1:] > stop[:-1])
            self._start = np.concatenate((start[:1], start[apart + 1]))
            self._stop = np.concatenate((stop[apart], stop[-1:]))
        repeated: I64 = one[known | (counts > 1)]
        return repeated


@dataclass(slots=True)
class _Recording:
    """What was counted of the recording at hand. ``whole``: its first message was seen and no day was missed since."""

    name: str
    report: dict[str, Any]
    whole: bool
    last_ns: int = 0
    messages: int = 0
    rows: int = 0
    gaps: list[tuple[str, int, int]] = field(default_factory=list)  # kind, start_ns, first lost id
    trade_ids: IdRuns = field(default_factory=IdRuns)
    mark: tuple[int, int] = (0, 0)  # time and price of the last one

    @property
    def complete(self) -> bool:
        """Whether all of it was seen."""
        return self.whole and self.last_ns == self.report.get("last_ns", self.last_ns)


def verified(venue: str, symbol: str, paths: list[Path], cache: HotCache | None) -> Iterator[dict[str, Any]]:
    """Check one instrument's files in order of days; one entry a file."""
    audit = _Audit(venue, symbol, cache)
    entries = [audit.file(path) for path in paths]
    audit.close()
    yield from entries


class _Audit:
    """The walk through one instrument's files."""

    def __init__(self, venue: str, symbol: str, cache: HotCache | None) -> None:
        self._names = venue, symbol
        self._cache = cache
        self._changes: list[tuple[int, int, int]] = []
        self._follow = BookTrack(self._changes)
        self._recording: _Recording | None = None
        self._best = (-1, -1)  # before the block at hand
        self._entry: dict[str, Any] = {}
        self._first_message = 0  # of the block at hand, in its file
        self._counts: Counter[str] = Counter()
        self._tick_e8 = 0

    def file(self, path: Path) -> dict[str, Any]:
        """Check a file; the recording that it ends with goes on in the next one."""
        self._entry = entry = {
            "venue": self._names[0],
            "symbol": self._names[1],
            "day": path.stem,
            "path": str(path),
            "messages": 0,
            "rows": 0,
            "problems": [],
            "findings": [],
            "unproven": [],
            "checked": dict.fromkeys(_CHECKED, 0),
        }
        self._counts = Counter()
        try:
            self._file(path)
        except InputError as error:
            self._found("bytes", error.why)
            self._recording = None
        self._more()
        return entry

    def close(self) -> None:
        """No file is left: settle the last recording."""
        self._finish()

    # -- findings

    def _found(self, check: str, why: str, block: int | None = None, message: int | None = None) -> None:
        """Name a finding; ``message`` counts within the block."""
        self._counts[check] += 1
        if self._counts[check] > NAMED_MAX:
            return
        at = None if message is None else self._first_message + message
        where = "" if block is None else f"block {block}: " if at is None else f"block {block}, message {at}: "
        self._entry["findings"].append(
            {"file": self._entry["path"], "check": check, "block": block, "message": at, "why": why}
        )
        self._entry["problems"].append(where + why)

    def _more(self) -> None:
        for check, count in self._counts.items():
            if count > NAMED_MAX:
                self._entry["problems"].append(f"{count - NAMED_MAX} more findings of {check}")

    # -- files and recordings

    def _file(self, path: Path) -> None:
        file = DayFile(path)
        about = file.about
        if (about["venue"], about["symbol"], about["day"]) != (*self._names, path.stem):
            self._found("footers", f"holds {about['venue']} {about['symbol']} {about['day']}, not what its path says")
        instrument = instrument_from(about["instrument"])
        tick_e8 = instrument.tick_size * 10**8
        self._tick_e8 = 0 if instrument.tick_steps or tick_e8 != int(tick_e8) else int(tick_e8)
        start_ns = date_ns(path.stem)
        last_event, aux_base = start_ns, 0
        self._first_message = 0
        for number, info in enumerate(file.blocks):
            if not 0 <= info.recording < len(about["recordings"]) or info.aux_base != aux_base:
                self._found("footers", "its index entry does not follow the one before", number)
            report = about["recordings"][min(max(info.recording, 0), len(about["recordings"]) - 1)]
            self._enter(report, file, info)
            self._block(file, number, info)
            if info.first_event < last_event or info.last_event >= start_ns + DAY_NS:
                self._found("order", "venue time leaves the day or goes back", number)
            last_event, aux_base = info.last_event, aux_base + info.aux
            self._first_message += info.count
            self._entry["messages"] += info.count
            self._entry["rows"] += info.rows

    def _enter(self, report: dict[str, Any], file: DayFile, info: BlockInfo) -> None:
        """The recording that a block belongs to."""
        recording = self._recording
        if recording is not None and recording.name == report["recording"]:
            if recording.report != report:
                self._found("footers", f"its report of {recording.name} is another than that of the day before")
                recording.report = report
            return
        fresh = not info.valid and not info.update_id and not info.quotes and info.mark is None
        continued = (
            recording is not None and recording.complete and recording.name == report.get("continues") and not fresh
        )
        self._finish()
        self._entry["checked"]["checksums_right"] += report.get("checksums_right", 0)
        if continued:  # its book is the one that the day before left
            self._follow.counts = BookCounts()
        else:  # one that began on an absent earlier day starts from its own checkpoint
            self._follow.restart()
            self._follow.resume(file.checkpoint(info), info)
            self._best = (-1, -1)
        self._recording = _Recording(report["recording"], report, fresh or continued)

    def _finish(self) -> None:
        """A recording is over: its counts against its report."""
        recording, self._recording = self._recording, None
        if recording is None:
            return
        report, counts = recording.report, self._follow.counts
        if not recording.complete:
            why = f"{recording.name}: a day of it is absent or damaged, its totals are not compared with its report"
            self._entry["unproven"].append(why)
            return
        found = {"messages": recording.messages, "rows": recording.rows, "gaps": len(recording.gaps)}
        found |= {"crossed": counts.crossed, "bbo_equal": counts.bbo_equal, "bbo_different": counts.bbo_different}
        for name, value in found.items():
            if report.get(name, value) != value:
                self._found("footers", f"the report of {recording.name} says {name} {report[name]}, there are {value}")
        told = [(gap["kind"], gap["start_ns"], gap["first_lost_id"] or 0) for gap in report.get("gap_list", [])]
        if sorted(told) != sorted(recording.gaps):
            self._found("chain", f"the gaps in the report of {recording.name} are not those among its messages")

    # -- blocks

    def _block(self, file: DayFile, number: int, info: BlockInfo) -> None:
        block = file.message_block(info)
        if len(block) != info.count or block.rows != info.rows or len(block.px_ticks) != block.rows:
            why = f"has {len(block)} messages and {block.rows} rows, the index says {info.count} and {info.rows}"
            self._found("footers", why, number)
            if self._recording is not None:
                self._recording.whole = False
            return
        for check, message, why in _column_findings(file, info, block):
            self._found(check, why, number, message)
        self._checkpoint(file, number, info)
        self._chain(number, block)
        self._trades(number, block)
        follow = self._follow
        before = follow.counts.bbo_equal, follow.counts.bbo_different
        examples = len(follow.counts.examples)
        self._changes.clear()
        follow.run(block)
        self._books(number, block, examples, before)
        self._prints(number, block)
        self._marks(number, block)
        if self._changes:
            self._best = self._changes[-1][1:]
        recording = self._recording
        assert recording is not None
        recording.messages += len(block)
        recording.rows += block.rows
        recording.last_ns = info.last_event
        self._hot(file, number, info)

    def _checkpoint(self, file: DayFile, number: int, info: BlockInfo) -> None:
        stored, expected = file.checkpoint(info), self._follow.book.columns()
        same = not self._follow.valid or all(np.array_equal(stored[k], expected[k]) for k in range(len(stored)))
        if info.valid != self._follow.valid or not same:
            self._found("book", "its checkpoint is not the book that the messages before it make", number)

    def _chain(self, number: int, block: MessageBlock) -> None:
        """Update ids, and the gaps among the messages."""
        recording = self._recording
        assert recording is not None
        book = np.flatnonzero(np.isin(block.kind, (DEPTH, SNAPSHOT, GAP)))
        kind, ref = block.kind[book], block.ref[book]
        turns = np.flatnonzero(kind != DEPTH)  # from a snapshot to the next gap the book is known
        turn = turns.searchsorted(np.arange(len(book))) - 1
        known = np.full(len(book), self._follow.valid)
        known[turn >= 0] = kind[turns[turn[turn >= 0]]] == SNAPSHOT
        follows = (kind == DEPTH) & known
        before = np.concatenate(([self._follow.update_id], ref[:-1]))
        for k in np.flatnonzero(follows & (ref < before)).tolist():
            self._found("chain", f"update id {ref[k]} follows {before[k]} without a snapshot", number, int(book[k]))
        for j in book[kind == GAP].tolist():
            why, first, _, _ = block.aux[block.ref[j]].tolist()
            recording.gaps.append((GAP_NAMES.get(why, str(why)), int(block.ts_event[j]), first))
            self._entry["checked"]["gaps"] += 1
            self._entry["checked"]["checksums_wrong"] += why == GAP_CHECKSUM

    def _books(self, number: int, block: MessageBlock, examples: int, before: tuple[int, int]) -> None:
        """Crossed books, and quotes that the book of the same id contradicts."""
        crossed = [change for change in self._changes if 0 <= change[2] <= change[1]]
        for j, bid, ask in crossed:
            self._found("book", f"the book is crossed, bid {bid} and ask {ask} ticks", number, j)
        counts = self._follow.counts
        self._entry["checked"]["bbo_equal"] += counts.bbo_equal - before[0]
        different = counts.bbo_different - before[1]
        self._entry["checked"]["bbo_different"] += different
        for example in counts.examples[examples:]:
            if example["what"] == "bbo_different":
                ids = (block.ref == example["update_id"]) & np.isin(block.kind, (BBO, DEPTH, SNAPSHOT))
                place = int(np.flatnonzero(ids)[-1]) if ids.any() else None
                why = f"best quote of update {example['update_id']} is {example['quote']}, the book's {example['book']}"
                self._found("quotes", why, number, place)
                different -= 1
        if different > 0:
            self._found("quotes", f"{different} more best quotes differ from the book", number)

    def _trades(self, number: int, block: MessageBlock) -> None:
        recording = self._recording
        assert recording is not None
        trades = np.flatnonzero((block.kind == TRADE) & (block.ref != 0))
        if not len(trades) or len(recording.trade_ids) > RUNS_MAX:
            return
        for trade_id in recording.trade_ids.add(block.ref[trades]).tolist():
            place = int(trades[np.flatnonzero(block.ref[trades] == trade_id)[-1]])
            self._found("trades", f"trade {trade_id} occurs twice in its recording", number, place)
        if len(recording.trade_ids) > RUNS_MAX:
            why = f"{recording.name}: its trade ids leave too many holes, from block {number} on none is known again"
            self._entry["unproven"].append(why)

    def _prints(self, number: int, block: MessageBlock) -> None:
        """Prints against the best prices before and after them, where both are known."""
        trades = np.flatnonzero((block.kind == TRADE) & (np.diff(block.row_start) > 0))
        if not len(trades) or not self._changes:
            return
        changes = np.array([(-1, *self._best), *self._changes], np.int64)
        after = changes[:, 0].searchsorted(trades)
        trades, after = trades[after < len(changes)], after[after < len(changes)]
        bids, asks = changes[:, 1], changes[:, 2]
        low, high = np.minimum(bids[after - 1], bids[after]), np.maximum(asks[after - 1], asks[after])
        known = (low > 0) & (np.minimum(asks[after - 1], asks[after]) > 0)
        price = block.px_ticks[block.row_start[trades]].astype(np.int64)
        self._entry["checked"]["prints_outside"] += int((known & ((price < low) | (price > high))).sum())
        far = known & ((price * TENTH < low * (TENTH - 1)) | (price * TENTH > high * (TENTH + 1)))
        for k in np.flatnonzero(far).tolist():
            why = f"a print at {price[k]} ticks, a tenth or more outside the book ({low[k]} to {high[k]})"
            self._found("trades", why, number, int(trades[k]))

    def _marks(self, number: int, block: MessageBlock) -> None:
        recording = self._recording
        assert recording is not None
        for j in np.flatnonzero(block.kind == MARK).tolist():
            mark, ts = int(block.aux[block.ref[j], 0]), int(block.ts_event[j])
            if mark <= 0:
                continue
            time_before, before = recording.mark
            recording.mark = ts, mark
            if before and ts - time_before <= MINUTE_NS and abs(mark - before) * TENTH > before:
                self._found("marks", f"the mark price jumps from {before}e-8 to {mark}e-8", number, j)
        self._mark_beside_book(number, block)

    def _mark_beside_book(self, number: int, block: MessageBlock) -> None:
        """The block's last mark against the book then: between the best prices, or a tenth from their middle."""
        marks = np.flatnonzero(block.kind == MARK)
        if not len(marks) or not self._tick_e8:
            return
        j = int(marks[-1])
        mark = int(block.aux[block.ref[j], 0])
        known = [change for change in self._changes if change[0] < j]
        bid, ask = known[-1][1:] if known else self._best
        if min(mark, bid, ask) <= 0 or bid * self._tick_e8 <= mark <= ask * self._tick_e8:
            return
        if abs(2 * mark - (bid + ask) * self._tick_e8) * TENTH > 2 * mark:
            middle = (bid + ask) * self._tick_e8 // 2
            self._found("marks", f"the mark price is {mark}e-8, the middle of the book {middle}e-8", number, j)

    def _hot(self, file: DayFile, number: int, info: BlockInfo) -> None:
        """The block's entry in the hot cache, if it has one."""
        cache = self._cache
        if cache is None or not cache.path_of(file.digest, number).exists():
            return
        path = cache.path_of(file.digest, number)
        found = cache.read(file.digest, Shape(number, info.count, info.rows, info.aux), 0)
        decoded = file.window(info, 0)
        if found is None:
            self._found("cache", f"its entry in the hot cache was damaged and is removed: {path}", number)
        elif not all(np.array_equal(getattr(found, name), getattr(decoded, name)) for name in _CACHED):
            path.unlink(missing_ok=True)
            self._found("cache", f"its entry in the hot cache was another and is removed: {path}", number)


def _first(mask: Any) -> int:
    return int(np.argmax(mask))


def _column_findings(file: DayFile, info: BlockInfo, block: MessageBlock) -> Iterator[tuple[str, int | None, str]]:
    """What is wrong with a block's columns by themselves: check, message, why."""
    if not 0 < len(block) <= BLOCK_MESSAGES:
        yield "footers", None, f"has {len(block)} messages"
        return
    if digest_of(block) != info.digest:
        yield "bytes", None, "its columns do not match their digest"
    back = np.diff(block.ts_event) < 0
    if back.any():
        yield "order", _first(back) + 1, "venue time goes back"
    spans = int(block.ts_event[0]), int(block.ts_event[-1]), int(block.ts_recv.max())
    if spans != (info.first_event, info.last_event, info.recv_max):
        yield "footers", None, "its times are not those in the index"
    early = block.ts_recv < block.ts_event
    if early.any():
        yield "order", _first(early), "a message is received before it was made"
    strange = (block.kind < 1) | (block.kind > LAST_KIND)
    if strange.any():
        yield "order", _first(strange), "an unknown kind of message"
    counts = np.diff(block.row_start)
    shown = np.repeat(np.isin(block.kind, (TRADE, OFFBOOK, FORCE)), counts)
    wrong = (block.side > SELL) | (block.qty_lots < 0) | ((block.px_ticks < 0) & shown)
    if wrong.any():
        place = int(block.row_start.searchsorted(_first(wrong), side="right")) - 1
        yield "order", place, "a row has no side, or a negative price or size"
    carries = has_aux(block.kind)
    expected = np.arange(int(carries.sum()))
    if len(block.aux) != len(expected) or (block.ref[carries] != expected).any() or (counts[carries] != 0).any():
        yield "order", None, "marks or gaps do not refer to their payload"
    order = file.local_shift(info) + np.arange(len(block), dtype=np.int32)
    if (np.sort(order) != np.arange(len(block))).any() or (np.diff(block.ts_recv[order]) < 0).any():
        yield "order", None, "the client's order is not by receive time"
