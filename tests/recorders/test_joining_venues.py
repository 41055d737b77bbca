"""The join by every venue's rules: whatever is lost, repeated or reset, a valid book is the venue's book."""

from __future__ import annotations

import random
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from matching.codes import BUY, DEPTH, GAP, GAP_CHECKSUM, GAP_DISCONNECT, GAP_RECORDER, GAP_SEQUENCE, SELL, SNAPSHOT
from recorders.blocks import MessageBlock, join
from recorders.joining import BookJoin, Received
from recorders.keeper import BookKeeper
from recorders.report import Problems, RecordingReport, Tally
from recorders.spool import Spool
from venues.market_data import DepthDiff, DepthSnapshot
from venues.market_feeds import MarketFeed, market_feed

Book = tuple[dict[int, int], dict[int, int]]
Record = DepthDiff | DepthSnapshot
START_NS = 1_700_000_000_000_000_000
STEP_NS = 100_000_000


@dataclass
class Venue:
    """A toy venue that sends snapshots in the stream; the true book at every venue time is kept beside it."""

    feed: MarketFeed
    seed: int = 1
    last_id: int = 10**6
    resets: int = 0
    now_ns: int = START_NS
    truth: dict[int, Book] = field(default_factory=dict)
    book: Book = field(default_factory=lambda: ({}, {}))

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        for k in range(8):
            self.book[BUY][999 - k] = self.book[SELL][1001 + k] = 5

    def _keep(self) -> None:
        self.truth[self.now_ns] = dict(self.book[0]), dict(self.book[1])

    def snapshot(self, intact: bool = True) -> DepthSnapshot:
        self.now_ns += STEP_NS
        self._keep()
        bids, asks = sorted(self.book[0].items(), reverse=True), sorted(self.book[1].items())
        return DepthSnapshot(
            "X", self.now_ns, 0, self.last_id, [t for t, _ in bids], [q for _, q in bids], [t for t, _ in asks],
            [q for _, q in asks], in_stream=True, intact=intact,
        )  # fmt: skip

    def diff(self, reset: bool = False, intact: bool = True) -> DepthDiff:
        self.now_ns += STEP_NS
        rows: tuple[dict[int, int], dict[int, int]] = ({}, {})
        before = self.last_id
        self.resets += reset
        self.last_id = 10**6 - 1000 * self.resets if reset else before + self.random.randint(self.feed.ids_rise, 2)
        for _ in range(self.random.randint(0, 3) if self.last_id != before else 0):
            side = self.random.choice((BUY, SELL))
            ticks = 1000 + (1 if side else -1) * self.random.randint(1, 12)
            lots = self.random.choice((0, self.random.randint(1, 9)))
            rows[side][ticks] = lots
            if lots:
                self.book[side][ticks] = lots
            else:
                self.book[side].pop(ticks, None)
        self._keep()
        return DepthDiff(
            "X", self.now_ns, 0, before, self.last_id, before, list(rows[0]), list(rows[0].values()), list(rows[1]),
            list(rows[1].values()), intact,
        )  # fmt: skip


class Kept:
    """What a join made of records."""

    def __init__(self, feed: MarketFeed, folder: Path) -> None:
        self.report = RecordingReport("", "v", "X")
        self.problems = Problems()
        self._spool = Spool(folder, "x")
        self.join = BookJoin(self._spool, Tally(self.report), self.problems, feed)
        self._recv_ns = START_NS

    def take(self, *records: Record | int) -> Kept:
        """Records in the order of receipt; a number is a note of the recorder: a gap of this kind."""
        for record in records:
            self._recv_ns += STEP_NS
            number = (self._recv_ns - START_NS) // STEP_NS
            if isinstance(record, int):
                self.join.interrupted(record, Received(None, self._recv_ns, "raw", number), "the recorder says so")
                continue
            got = Received(record, max(self._recv_ns, record.ts_event_ns), "raw", number)
            (self.join.diff if isinstance(record, DepthDiff) else self.join.snapshot)(got)
        return self

    def end(self) -> MessageBlock:
        self.join.finish()
        self._spool.flush()
        return join(list(self._spool.venue_order(None, aggregates=False)))


def kept(feed: MarketFeed, *records: Record | int) -> tuple[MessageBlock, RecordingReport, Problems]:
    with tempfile.TemporaryDirectory() as folder:
        found = Kept(feed, Path(folder)).take(*records)
        return found.end(), found.report, found.problems


def books(block: MessageBlock) -> list[tuple[int, Book]]:
    """(venue time, book) after each message that leaves a valid book: a naive reader with dictionaries."""
    book: Book = ({}, {})
    valid = False
    found = []
    for j, kind in enumerate(block.kind.tolist()):
        if kind == GAP:
            valid = False
        elif kind == SNAPSHOT:
            book, valid = ({}, {}), True
        if valid and kind in (DEPTH, SNAPSHOT):
            for r in range(int(block.row_start[j]), int(block.row_start[j + 1])):
                side, ticks, lots = int(block.side[r]), int(block.px_ticks[r]), int(block.qty_lots[r])
                if lots:
                    book[side][ticks] = lots
                else:
                    book[side].pop(ticks, None)
            found.append((int(block.ts_event[j]), (dict(book[0]), dict(book[1]))))
    return found


def gap_kinds(block: MessageBlock) -> list[int]:
    return [int(block.aux[block.ref[j]][0]) for j in np.flatnonzero(block.kind == GAP)]


RISING = MarketFeed()
RESETTING = MarketFeed(ids_rise=False)
actions = st.lists(
    st.sampled_from(["diff"] * 8 + ["reset", "lost", "lost", "repeat", "swap", "snapshot", "broken", "note", "replay"]),
    min_size=5,
    max_size=80,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([RISING, RESETTING]), st.integers(0, 10_000), actions)
@example(RESETTING, 372, ["diff", "diff", "diff", "swap", "diff"])  # one that stands still is overtaken
def test_a_book_is_right_or_stale_never_wrong(feed: MarketFeed, seed: int, plan: list[str]) -> None:
    venue = Venue(feed, seed)
    sent: list[Record] = [venue.snapshot()]
    received: list[Record | int] = list(sent)
    held_back: list[Record] = []
    lossy = False
    for action in plan:
        if action == "repeat":
            received.append(sent[-1])
        elif action == "replay":
            received += sent[-20:]
        elif action == "note":
            received.append(GAP_DISCONNECT)
            lossy = True
        else:
            if action == "snapshot":
                record: Record = venue.snapshot()
            else:
                record = venue.diff(action == "reset" and not feed.ids_rise, intact=action != "broken")
            lossy |= action in ("lost", "broken")
            if action == "swap":
                held_back.append(record)
                continue
            if action != "lost":
                sent.append(record)
                received.append(record)
                received += held_back
                sent += held_back
                held_back = []
    block, report, _ = kept(feed, *received)
    found = books(block)
    for ts_event, book in found:
        assert book == venue.truth[ts_event]
    assert found[0][0] == sent[0].ts_event_ns
    assert report.gaps == int((block.kind == GAP).sum())
    if not lossy and "snapshot" not in plan and not held_back:
        assert report.gaps == 0 and found[-1][1] == venue.truth[max(r.ts_event_ns for r in sent)]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["okx", "bybit_linear", "deribit", "dydx"]), st.integers(0, 10_000), st.data())
def test_repeats_and_replays_leave_the_same_messages(name: str, seed: int, data: st.DataObject) -> None:
    feed = market_feed(name)
    venue = Venue(feed, seed)
    clean: list[Record | int] = [venue.snapshot(), *(venue.diff(reset=k == 17) for k in range(30))]
    noisy: list[Record | int] = []
    for k, record in enumerate(clean):
        noisy.append(record)
        again = data.draw(st.integers(0, 3))
        noisy += clean[max(0, k + 1 - again) : k + 1]
    one, two = kept(feed, *clean), kept(feed, *noisy)
    for column in ("ts_event", "kind", "ref", "row_start", "side", "px_ticks", "qty_lots"):
        assert np.array_equal(getattr(one[0], column), getattr(two[0], column)), column
    assert two[1].gaps == 0 and two[1].duplicates == len(noisy) - len(clean)


def test_ids_that_go_back_and_stand_still_are_a_chain() -> None:
    """OKX's own example of maintenance: 10 -> 15 -> 15 -> 3 -> 5."""
    ids = [(10, 15), (15, 15), (15, 3), (3, 5)]
    start = DepthSnapshot("X", START_NS, 0, 10, [999], [5], [1001], [5], in_stream=True)
    diffs = [
        DepthDiff("X", START_NS + k, 0, before, after, before, [998 - k], [k + 1], [], [])
        for k, (before, after) in enumerate(ids, 1)
    ]
    block, report, _ = kept(market_feed("okx"), start, *diffs)
    assert report.gaps == report.duplicates == 0
    assert block.ref.tolist() == [10, 15, 15, 3, 5]
    assert block.kind.tolist() == [SNAPSHOT, DEPTH, DEPTH, SNAPSHOT, DEPTH]  # ids start afresh with the whole book
    assert books(block)[-1][1] == ({999: 5, 997: 2, 996: 3, 995: 4, 994: 5}, {1001: 5})
    # With ids that rise, the same would be repeats of old updates.
    assert kept(RISING, start, *diffs)[1].duplicates == 3


def test_a_lost_reset_is_a_gap_not_a_row_of_repeats() -> None:
    venue = Venue(market_feed("okx"))
    records: list[Record | int] = [venue.snapshot(), *(venue.diff() for _ in range(40))]
    venue.diff(reset=True)
    block, report, _ = kept(market_feed("okx"), *records, *(venue.diff() for _ in range(40)))
    assert (report.gaps, report.duplicates, gap_kinds(block)) == (1, 0, [GAP_SEQUENCE])
    assert books(block)[-1][0] == records[-1].ts_event_ns  # type: ignore[union-attr]


def test_a_restart_of_the_count_begins_with_its_snapshot() -> None:
    """Bybit: u = 1 after a restart of the service."""
    venue = Venue(market_feed("bybit_linear"))
    before: list[Record | int] = [venue.snapshot(), *(venue.diff() for _ in range(5))]
    venue.last_id = 1
    block, report, _ = kept(market_feed("bybit_linear"), *before, venue.snapshot(), venue.diff())
    assert (report.gaps, report.resyncs, report.snapshots, gap_kinds(block)) == (1, 1, 2, [GAP_SEQUENCE])
    assert books(block)[-1][1] == venue.truth[venue.now_ns]


def test_whole_books_only_are_snapshots_and_no_gaps() -> None:
    venue = Venue(market_feed("hyperliquid"))
    records: list[Record | int] = []
    for _ in range(20):
        venue.diff()
        records.append(venue.snapshot())
    block, report, _ = kept(market_feed("hyperliquid"), *records)
    assert block.kind.tolist() == [SNAPSHOT] * 20 and report.gaps == report.resyncs == 0
    assert [book for _, book in books(block)] == [venue.truth[r.ts_event_ns] for r in records if not isinstance(r, int)]
    assert kept(market_feed("hyperliquid"), records[3], records[3])[1].duplicates == 1


@pytest.mark.parametrize("kind", [GAP_DISCONNECT, GAP_RECORDER])
def test_a_note_of_the_recorder_is_a_gap_at_once(kind: int) -> None:
    venue = Venue(market_feed("deribit"))
    first: list[Record | int] = [venue.snapshot(), venue.diff()]
    good_ns = venue.now_ns
    lost = venue.diff()
    block, report, problems = kept(market_feed("deribit"), *first, kind, kind, lost, venue.snapshot(), venue.diff())
    assert gap_kinds(block) == [kind] and report.resyncs == 1
    gap = int(np.flatnonzero(block.kind == GAP)[0])
    assert block.ts_event[gap] == good_ns and block.ts_recv[gap] == START_NS + 3 * STEP_NS
    assert [book for _, book in books(block)][-1] == venue.truth[venue.now_ns]
    assert "the recorder says so" in problems.named[0].why


def test_a_wrong_checksum_is_stale_until_the_next_good_snapshot() -> None:
    venue = Venue(market_feed("okx"))
    records: list[Record | int] = [venue.snapshot(), venue.diff(), venue.diff(intact=False), venue.diff()]
    bad = venue.snapshot(intact=False)
    good = venue.snapshot()
    block, report, _ = kept(market_feed("okx"), *records, bad, good, venue.diff())
    assert gap_kinds(block) == [GAP_CHECKSUM]
    assert (report.gap_list[0]["kind"], report.gap_list[0]["end_ns"]) == ("checksum", good.ts_event_ns)
    assert report.snapshots_refused == 1 and report.resyncs == 1
    assert [ts for ts, _ in books(block)][2] == good.ts_event_ns


def test_an_old_snapshot_is_refused() -> None:
    venue = Venue(market_feed("deribit"))
    old = venue.snapshot()
    records: list[Record | int] = [venue.snapshot(), venue.diff(), GAP_DISCONNECT, old]
    block, report, problems = kept(market_feed("deribit"), *records)
    assert report.snapshots_refused == 1 and "older than the book at hand" in problems.named[-1].why
    assert block.kind.tolist() == [SNAPSHOT, DEPTH, GAP]


def test_messages_without_a_venue_time_happened_when_they_were_received() -> None:
    start = DepthSnapshot("X", 0, 0, 3, [999], [5], [1001], [5], in_stream=True)
    block, _, _ = kept(market_feed("dydx"), start, DepthDiff("X", 0, 0, 7, 7, 3, [998], [1], [], []), GAP_DISCONNECT)
    assert (block.ts_event - START_NS).tolist() == [STEP_NS, 2 * STEP_NS, 2 * STEP_NS]
    assert (block.ts_recv - START_NS).tolist() == [STEP_NS, 2 * STEP_NS, 3 * STEP_NS]


# -- books that are sent crossed


def test_the_level_that_was_stated_earlier_goes() -> None:
    start = DepthSnapshot("X", 0, 0, 1, [999, 998], [5, 2], [1001, 1002], [5, 2], in_stream=True)
    crossing = DepthDiff("X", 0, 0, 2, 2, 1, [1001], [3], [], [])
    block, report, _ = kept(market_feed("dydx"), start, crossing)
    assert books(block)[-1][1] == ({1001: 3, 999: 5, 998: 2}, {1002: 2})
    assert report.uncrossed == 1


def test_of_levels_stated_at_once_the_smaller_is_subtracted_from_both() -> None:
    start = DepthSnapshot("X", 0, 0, 1, [1002, 999], [5, 2], [1001, 1003], [3, 2], in_stream=True)
    block, report, _ = kept(market_feed("dydx"), start)
    assert books(block)[-1][1] == ({1002: 2, 999: 2}, {1003: 2})
    assert report.uncrossed == 2
    assert block.kind.tolist() == [SNAPSHOT]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from([BUY, SELL]), st.integers(90, 110), st.integers(0, 3)), max_size=4),
        max_size=40,
    )
)
def test_an_uncrossed_book_never_crosses_and_says_what_it_did(messages: list[list[tuple[int, int, int]]]) -> None:
    keeper = BookKeeper(crossed=True)
    told: Book = ({}, {})
    for at, rows in enumerate(messages):
        final = {(side, ticks): lots for side, ticks, lots in rows}
        sent = bytes(s for s, _ in final), [t for _, t in final], list(final.values())
        for side, ticks, lots in zip(*keeper.change(sent, at), strict=True):
            if lots:
                told[side][ticks] = lots
            else:
                told[side].pop(ticks, None)
        assert not (told[BUY] and told[SELL]) or max(told[BUY]) < min(told[SELL])
        sides, ticks_, lots_ = keeper.rows()
        assert {(s, t): q for s, t, q in zip(sides, ticks_, lots_, strict=True)} == {
            (side, ticks): lots for side in (BUY, SELL) for ticks, lots in told[side].items()
        }


# -- snapshots that were asked for and must not be used


def _asked(snapshot: DepthSnapshot, **changes: Any) -> DepthSnapshot:
    return msgspec.structs.replace(snapshot, in_stream=False, **changes)


@pytest.mark.parametrize("side", [{"bid_ticks": [], "bid_lots": []}, {"ask_ticks": [], "ask_lots": []}])
def test_an_answer_without_one_of_its_sides_is_no_book(side: dict[str, list[int]]) -> None:
    """A cut off answer; the recorder's session refuses it too, and asks again."""
    venue = Venue(RISING)
    first, whole, second = venue.diff(), venue.snapshot(), venue.diff()
    block, report, problems = kept(RISING, first, _asked(whole, **side), second)
    assert books(block) == [] and problems.counts == {"snapshot_refused": 1} and report.snapshots == 0
    block, _, _ = kept(RISING, first, _asked(whole, **side), second, _asked(whole), venue.diff())
    assert [book == venue.truth[at] for at, book in books(block)] == [True] * len(books(block)) and books(block)


def test_an_answer_from_before_the_ids_went_back_is_no_book_at_the_end() -> None:
    """Its id is above all that follow, so that it waits; but it is older than they are."""
    feed = market_feed("okx")
    venue = Venue(feed)
    first, old = venue.diff(), venue.snapshot()
    diffs = [venue.diff(reset=True), *(venue.diff() for _ in range(5))]
    block, report, problems = kept(feed, first, GAP_SEQUENCE, _asked(old, last_id=old.last_id + 1), *diffs)
    assert books(block) == [] and report.snapshots_refused == problems.counts["snapshot_refused"] == 1
    block, _, _ = kept(feed, *diffs, _asked(venue.snapshot(), last_id=venue.last_id + 1))
    assert [book == venue.truth[venue.now_ns] for _, book in books(block)] == [True]


def test_the_same_change_under_the_same_number_of_another_connection_is_no_repeat() -> None:
    """dYdX counts the messages of each connection from 0 and says no times."""

    def change(number: int) -> DepthDiff:
        return DepthDiff("X", 0, 0, number, number, number - 1, [], [], [1003], [0])

    book = DepthSnapshot("X", 0, 0, 1, [999], [5], [1001, 1003], [5, 5], in_stream=True)
    feed = market_feed("dydx")
    block, report, _ = kept(feed, book, change(2), change(3), GAP_DISCONNECT, book, change(2), change(3), change(4))
    assert (gap_kinds(block), report.duplicates, report.diffs) == ([GAP_DISCONNECT], 0, 5)
    _, report, _ = kept(feed, book, change(2), change(3), change(2), change(4))
    assert (report.gaps, report.duplicates) == (0, 1)


def test_ids_that_go_back_before_an_answer_joins_are_no_part_of_the_book() -> None:
    """A naive reader compares ids: no diff of the book goes back without a snapshot."""
    feed = market_feed("okx")
    venue = Venue(feed)
    diffs = [venue.diff()]
    before = venue.snapshot()
    diffs += [venue.diff(), venue.diff(reset=True), venue.diff()]
    after = venue.snapshot()
    diffs += [venue.diff(), venue.diff()]
    block, _, _ = kept(feed, *diffs[:4], _asked(before), *diffs[4:])
    assert books(block) == []
    block, _, _ = kept(feed, *diffs[:4], _asked(before), _asked(after), *diffs[4:])
    ids = block.ref[np.isin(block.kind, (DEPTH, SNAPSHOT))].tolist()
    assert ids == sorted(ids) and books(block)[-1][1] == venue.truth[venue.now_ns]
