"""A synthetic session as a raw recording, built into a lake, beside the same session imported from captured lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from matching.codes import DEPTH, GAP, GAP_DISCONNECT, GAP_SEQUENCE, SNAPSHOT
from recorders.building import build
from recorders.commands import import_
from recorders.lake import Lake
from sim.synth.making import synth
from tests.recorders.captures import replay, whole_feed

SECOND_NS = 1_000_000_000
COLUMNS = ("ts_event", "kind", "ref", "row_start", "side", "px_ticks", "qty_lots", "aux")


def _both(tmp_path: Path, preset: str, seconds: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """What importing the lines says, and what building the recording says."""
    made = synth(preset, 3, seconds * SECOND_NS, out=tmp_path / "lines", raw=tmp_path / "raw")
    lines = import_("binance", [file["path"] for file in made["files"]], tmp_path / "imported")
    return lines, build([tmp_path / "raw"], tmp_path / "built")


def test_a_session_without_faults_gives_the_same_event_columns(tmp_path: Path) -> None:
    lines, built = _both(tmp_path, "calm", 20)
    one, two = whole_feed(tmp_path / "imported"), whole_feed(tmp_path / "built")
    assert len(one) == len(two) > 1000 and built["gaps"] == 0
    for name in COLUMNS:
        assert np.array_equal(getattr(one, name), getattr(two, name)), name
    assert abs(one.ts_recv - two.ts_recv).max() < 1_000  # captured lines have microseconds
    (report,), (other,) = lines["recordings"], built["instruments"]
    for name in ("messages", "diffs", "trades", "quotes", "marks", "snapshots", "crossed", "bbo_equal", "lines"):
        assert report[name] == other[name], name


def test_outages_are_gaps_at_once_and_the_book_comes_back(tmp_path: Path) -> None:
    lines, built = _both(tmp_path, "outage", 40)
    one, two = whole_feed(tmp_path / "imported"), whole_feed(tmp_path / "built")
    kinds = [int(two.aux[two.ref[j] - two.aux_base][0]) for j in np.flatnonzero(two.kind == GAP)]
    assert kinds and set(kinds) <= {GAP_DISCONNECT, GAP_SEQUENCE} and GAP_DISCONNECT in kinds
    assert built["gaps"] == lines["totals"]["gaps"] == len(kinds)
    # The gaps stand at the same places of the venue's order, and are known no later than by the data alone.
    gaps = [np.flatnonzero(feed.kind == GAP) for feed in (one, two)]
    assert np.array_equal(one.ts_event[gaps[0]], two.ts_event[gaps[1]])
    assert (two.ts_recv[gaps[1]] <= one.ts_recv[gaps[0]] + 1_000).all()
    books = [[(update_id, book) for _, update_id, book in replay(feed)] for feed in (one, two)]
    assert books[0] == books[1]
    kept = [feed.px_ticks[: feed.rows] for feed in (one, two)]
    assert np.array_equal(*kept) and np.isin(two.kind, (DEPTH, SNAPSHOT)).any()
    assert not any(entry["problems"] for entry in Lake(tmp_path / "built").verify())
