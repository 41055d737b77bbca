"""Properties of the book join: whatever a recorder loses, repeats or shuffles, a valid book is the venue's book."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from matching.codes import GAP
from recorders.lake import Lake
from tests.recorders.captures import MS, Line, Market, import_lines, replay, whole_feed, write


def _lossy(market: Market, lost: set[int], repeated: set[int], swapped: set[int]) -> list[Line]:
    """What a recorder would have written that lost, repeated and swapped diffs at these places."""
    diffs = market.diffs()
    texts = [line.message for line in market.lines]
    for k in swapped:
        if k + 1 < len(diffs):
            a, b = diffs[k], diffs[k + 1]
            texts[a], texts[b] = texts[b], texts[a]
    gone = {diffs[k] for k in lost if k < len(diffs)}
    again = {diffs[k] for k in repeated if k < len(diffs)}
    found = []
    for place, (line, message) in enumerate(zip(market.lines, texts, strict=True)):
        if place not in gone:
            found.append(Line(line.recv_ns, message))
            if place in again:
                found.append(Line(line.recv_ns, message))
    return found


places = st.sets(st.integers(0, 79), max_size=5)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    lost=places,
    repeated=places,
    swapped=st.sets(st.integers(0, 39).map(lambda k: 2 * k), max_size=3),
    snapshots=st.lists(st.tuples(st.integers(0, 79), st.integers(-30, 60)), max_size=4),
)
def test_a_valid_book_is_the_venues_book(
    seed: int, lost: set[int], repeated: set[int], swapped: set[int], snapshots: list[tuple[int, int]]
) -> None:
    market = Market(seed=seed).run(80, snapshot_at=-1)
    diffs = [market.lines[k] for k in market.diffs()]
    lines = _lossy(market, lost, repeated, swapped)
    market.lines = lines
    for place, later_ms in snapshots:
        data = diffs[place].message["data"]
        market.add_snapshot(data["u"], data["T"], max(lines[0].recv_ns, diffs[place].recv_ns + later_ms * MS + 1))
    with tempfile.TemporaryDirectory() as folder:
        (report,) = import_lines([write(Path(folder) / "capture", market.lines)], Path(folder) / "lake")
        feed = whole_feed(Path(folder) / "lake")
        assert Lake(Path(folder) / "lake").verify()[0]["problems"] == []
    for order in (None, np.argsort(feed.ts_recv, kind="stable").tolist()):
        for _, update_id, book in replay(feed, order):
            assert book == market.truth[update_id]
    assert report.crossed == report.bbo_different == 0
    assert report.gaps == int((feed.kind == GAP).sum()) == _runs(lost, swapped, len(diffs))
    assert report.resyncs <= report.gaps and report.duplicates <= len(repeated) + len(swapped)
    used = report.snapshots + report.snapshots_redundant + report.snapshots_refused
    assert used == len(snapshots)


def _runs(lost: set[int], swapped: set[int], count: int) -> int:
    """Stretches of lost diffs with a diff before and after them, after the swaps."""
    order = list(range(count))
    for k in swapped:
        if k + 1 < count:
            order[k], order[k + 1] = order[k + 1], order[k]
    gone = {order[k] for k in lost}
    kept = [k for k in range(count) if k not in gone]
    # A swap in front of the very first diff kept makes the earlier of the two late: it is dropped as seen before.
    first = next(order[k] for k in range(count) if k not in lost)
    kept = [k for k in kept if k >= first]
    return sum(1 for a, b in pairwise(kept) if b - a > 1)
