"""The importer on recordings that nobody here made: Binance USD-M and COIN-M, 2023 and 2024, and broken copies of
them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from matching.codes import BUY, DEPTH, GAP, MARK, OFFBOOK, SELL, SNAPSHOT
from recorders.captures import import_captures
from recorders.lake import Lake
from recorders.report import ImportReport
from tests.recorders.captures import SHARED, import_lines, whole_feed

EXAMPLES = SHARED / "hftbacktest" / "examples"
USDM = [
    EXAMPLES / "usdm" / f"btcusdt_{day}" for day in ("20230404.dat.gz", "20230405.dat.gz", "20240718.gz", "20240719.gz")
]
COINM = [EXAMPLES / "cm" / f"btcusd_perp_{day}.gz" for day in ("20240808", "20240809")]
MIDNIGHT_NS = 1_680_652_800_000_000_000
MARK_LAST_OF_BOUNDARY = [2_815_510_000_000, 27_600_000, MIDNIGHT_NS]  # 28155.1, 0.00002760, 2023-04-05 00:00 UTC

pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason=f"the recordings are not here: {EXAMPLES}")


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> ImportReport:
    return import_captures([*USDM, *COINM], tmp_path_factory.mktemp("real") / "lake")


def test_six_files_are_three_recordings_without_a_gap(imported: ImportReport) -> None:
    assert imported.problems.counts == {} and imported.unused == {}
    found = [(r.venue, r.instrument, r.gaps, r.crossed, r.bbo_equal, r.bbo_different) for r in imported.recordings]
    assert found == [
        ("binance_coinm", "BTCUSD_PERP", 0, 0, 1885, 0),
        ("binance_usdm", "BTCUSDT", 0, 0, 1565, 0),
        ("binance_usdm", "BTCUSDT", 0, 0, 625, 0),
    ]
    assert [len(r.sources) for r in imported.recordings] == [2, 2, 2]
    assert all(r.trades_missing == 0 and r.snapshots == 1 and not r.stale_at_end for r in imported.recordings)
    assert sum(r.lines for r in imported.recordings) == sum(f["lines"] for f in imported.files)


def test_receive_clocks_that_ran_behind_are_found_and_corrected(imported: ImportReport) -> None:
    coinm, early, late = imported.recordings
    assert coinm.clock_offset_ns <= -1_269_000_000
    assert late.clock_offset_ns <= -1_523_000_000
    assert -100_000_000 < early.clock_offset_ns < -10_000_000
    for report in imported.recordings:
        assert report.clock_corrected and report.latency_least_ns == report.latency_floor_ns == 1_000_000
    for venue, symbol in (("binance_usdm", "BTCUSDT"), ("binance_coinm", "BTCUSD_PERP")):
        feed = whole_feed(Path(imported.lake), venue, symbol)
        latency = (feed.ts_recv - feed.ts_event)[(feed.kind != GAP)]
        # The floor is above max(engine, push); a push follows its engine time, so no latency is below the floor.
        assert latency.min() >= 1_000_000
        assert np.median(latency) < 60_000_000


def test_the_lake_verifies_and_lists_what_it_has(imported: ImportReport) -> None:
    lake = Lake(imported.lake)
    assert [entry["problems"] for entry in lake.verify()] == [[]] * 6
    listed = {(entry["venue"], entry["symbol"]): entry for entry in lake.ls()}
    assert listed["binance_usdm", "BTCUSDT"]["days"] == ["2023-04-04", "2023-04-05", "2024-07-18", "2024-07-19"]
    assert [gap["kind"] for gap in lake.gaps()] == ["session_end"]
    (info,) = lake.info("binance_coinm", "BTCUSD_PERP")
    assert info["instrument"]["inverse"] is True
    (series,) = info["clocks"].values()
    assert min(series["offsets_ns"]) == imported.recordings[0].clock_offset_ns - 1_000_000


def test_the_insurance_funds_print_is_kept_apart(imported: ImportReport) -> None:
    feed = whole_feed(Path(imported.lake), to_ns=MIDNIGHT_NS + 3_600_000_000_000)
    (at,) = np.flatnonzero(feed.kind == OFFBOOK)
    assert feed.px_ticks[feed.row_start[at]] == 287_225


def test_the_marks_around_the_funding_boundary(imported: ImportReport) -> None:
    feed = whole_feed(Path(imported.lake), to_ns=MIDNIGHT_NS + 10_000_000_000)
    marks = np.flatnonzero(feed.kind == MARK)
    rows = feed.aux[feed.ref[marks] - feed.aux_base]
    last = np.flatnonzero(rows[:, 3] == MIDNIGHT_NS)[-1]
    assert [*rows[last, [0, 2, 3]].tolist()] == MARK_LAST_OF_BOUNDARY
    assert feed.ts_event[marks[last]] >= MIDNIGHT_NS and rows[last + 1, 3] == MIDNIGHT_NS + 28_800_000_000_000


# -- broken copies


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    return gzip.decompress(USDM[0].read_bytes()).splitlines(keepends=True)


def _diffs(lines: list[bytes]) -> list[int]:
    return [k for k, line in enumerate(lines) if b'"e":"depthUpdate"' in line]


def _write(folder: Path, lines: list[bytes], name: str = "copy") -> Path:
    path = folder / name
    path.write_bytes(b"".join(lines))
    return path


def test_one_diff_removed(tmp_path: Path, lines: list[bytes]) -> None:
    place = _diffs(lines)[2000]
    (report,) = import_lines([_write(tmp_path, lines[:place] + lines[place + 1 :])], tmp_path / "lake")
    assert (report.gaps, report.resyncs, report.stale_at_end, report.crossed) == (1, 0, True, 0)
    assert 0 < report.gap_list[0]["span_ns"] < 1_000_000_000 < report.stale_ns


def test_one_diff_removed_and_a_snapshot_after_it(tmp_path: Path, lines: list[bytes]) -> None:
    diffs = _diffs(lines)
    book: tuple[dict[str, str], dict[str, str]] = ({}, {})
    snapshot = next(k for k, line in enumerate(lines) if b"lastUpdateId" in line)
    start = json.loads(lines[snapshot].split(b" ", 1)[1])
    book[0].update(start["bids"])
    book[1].update(start["asks"])
    for k in diffs[:2010]:
        data = json.loads(lines[k].split(b" ", 1)[1])["data"]
        if data["u"] >= start["lastUpdateId"]:
            for side, name in ((0, "b"), (1, "a")):
                for price, size in data[name]:
                    if float(size):
                        book[side][price] = size
                    else:
                        book[side].pop(price, None)
    stamp = int(lines[diffs[2009]].split(b" ", 1)[0]) + 1
    rest = {
        "lastUpdateId": data["u"],
        "E": data["E"],
        "T": data["T"],
        "bids": list(book[0].items()),
        "asks": list(book[1].items()),
    }
    made = b"%d %s\n" % (stamp, json.dumps(rest).encode())
    at, lost = diffs[2009] + 1, diffs[2000]
    copy = lines[:lost] + lines[lost + 1 : at] + [made] + lines[at:]
    (report,) = import_lines([_write(tmp_path, copy)], tmp_path / "lake")
    assert (report.gaps, report.resyncs, report.stale_at_end, report.bbo_different, report.crossed) == (
        1,
        1,
        False,
        0,
        0,
    )
    assert 0 < report.stale_ns < 5_000_000_000


def test_two_lines_swapped(tmp_path: Path, lines: list[bytes]) -> None:
    place = _diffs(lines)[3000]
    copy = list(lines)
    copy[place], copy[place + 1] = copy[place + 1], copy[place]
    report = import_captures([_write(tmp_path, copy)], tmp_path / "lake")
    (recording,) = report.recordings
    assert (recording.gaps, recording.reordered) == (0, 2)
    assert [p.line for p in report.problems.named] == [place + 2, place + 1]


def test_a_line_cut_in_half(tmp_path: Path, lines: list[bytes]) -> None:
    place = next(k for k, line in enumerate(lines) if b"@trade" in line and k > 5000)
    copy = list(lines)
    copy[place] = copy[place][:80] + b"\n"
    report = import_captures([_write(tmp_path, copy)], tmp_path / "lake")
    assert (report.recordings[0].malformed, report.recordings[0].gaps) == (1, 0)
    assert str(report.problems.named[0]) == f"copy:{place + 1}: Input data was truncated"


def test_the_checkpoint_at_any_instant_is_the_replayed_book(imported: ImportReport) -> None:
    lake = Path(imported.lake)
    book: tuple[dict[int, int], dict[int, int]] = ({}, {})
    feed = whole_feed(lake, to_ns=MIDNIGHT_NS + 60_000_000_000)
    for at_ns in (MIDNIGHT_NS - 30_000_000_000, MIDNIGHT_NS, MIDNIGHT_NS + 59_000_000_000):
        stop = int(feed.ts_event.searchsorted(at_ns))
        book[BUY].clear()
        book[SELL].clear()
        for j in np.flatnonzero((feed.kind[:stop] == SNAPSHOT) | (feed.kind[:stop] == DEPTH)):
            for r in range(int(feed.row_start[j]), int(feed.row_start[j + 1])):
                book[feed.side[r]][int(feed.px_ticks[r])] = int(feed.qty_lots[r])
        first = Lake(lake).source("binance_usdm", "BTCUSDT", at_ns, at_ns + 1_000_000_000).next_window()
        assert first is not None and first.kind[0] == SNAPSHOT and first.ts_event[0] == at_ns
        rows = int(first.row_start[1])
        for side in (BUY, SELL):
            mine = first.side[:rows] == side
            levels = dict(zip(first.px_ticks[:rows][mine].tolist(), first.qty_lots[:rows][mine].tolist(), strict=True))
            assert levels == {ticks: lots for ticks, lots in book[side].items() if lots}
