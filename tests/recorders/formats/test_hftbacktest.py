"""hftbacktest's event arrays: made-up ones, and whatever bytes they may hold."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matching.codes import BUY, DEPTH, GAP, SELL, SNAPSHOT, TRADE
from recorders import commands
from recorders.formats import hftbacktest_npz as npz
from recorders.formats.hftbacktest_npz import EVENT, EXCH, IS_BUY, IS_SELL, LOCAL
from recorders.formats.registry import recognised, sample_of
from tests.recorders.captures import Market, replay, whole_feed, write
from tests.recorders.formats.samples import DAY_US, Edit, edits, ends_well, load, mangled
from venues.errors import InputError

T0 = DAY_US * 1000
BOTH = EXCH | LOCAL
USDM = {"symbol": "BTCUSDT", "venue": "binance_usdm"}


def events(*rows: tuple[int, int, int, float, float]) -> npz.Events:
    """Rows (ev, exch, local after the day's start, px, qty)."""
    return np.array([(ev, T0 + e, T0 + r, px, qty, 0, 0, 0.0) for ev, e, r, px, qty in rows], EVENT)


DATA = events(
    (BOTH | IS_BUY | 3, 10, 20, 29_000.0, 0.0),
    (BOTH | IS_BUY | 4, 10, 20, 30_000.1, 1.5),
    (BOTH | IS_BUY | 4, 10, 20, 30_000.0, 0.1 + 0.2),  # 0.30000000000000004
    (BOTH | IS_SELL | 3, 10, 20, 31_000.0, 0.0),
    (BOTH | IS_SELL | 4, 10, 20, 30_000.2, 0.001),
    (BOTH | IS_BUY | 2, 30, 40, 30_000.2, 0.001),
    (BOTH | IS_BUY | 2, 30, 40, 30_000.3, 0.002),
    (EXCH | IS_SELL | 1, 30, 90, 30_000.2, 0.0),  # late at the client: its other row stands below
    (BOTH | IS_SELL | 1, 31, 41, 30_000.4, 7.0),
    (LOCAL | IS_SELL | 1, 30, 90, 30_000.2, 0.0),
    (BOTH | IS_BUY | 5, 95, 96, 30_000.0, 1.0),
    (BOTH | 3, 100, 110, 0.0, 0.0),
)


def save(path: Path, data: npz.Events) -> Path:
    np.savez_compressed(path, data=data)
    return path


def test_rows_become_messages(tmp_path: Path) -> None:
    path = save(tmp_path / "day.npz", DATA)
    assert recognised([sample_of(path)]).name == "hftbacktest"
    report = load(tmp_path, path, **USDM)
    (recording,) = report.recordings
    assert report.unused == {"best quote rows": 1} and not recording.clock_corrected
    feed = whole_feed(tmp_path / "lake")
    assert feed.kind.tolist() == [SNAPSHOT, TRADE, TRADE, DEPTH, DEPTH, GAP]  # a clear alone: nobody knows the book
    assert (feed.ts_recv - T0).tolist() == [20, 40, 40, 90, 90, 110]  # a client sees a book's changes in their order
    books = [book for _, _, book in replay(feed)]
    assert books[0] == ({300_001: 1500, 300_000: 300}, {300_002: 1})
    assert books[2] == ({300_001: 1500, 300_000: 300}, {300_004: 7000}) and len(books) == 3
    assert feed.side[3:5].tolist() == [BUY, BUY] and feed.side[5] == SELL


def test_ids_in_ival_are_kept_and_tell_messages_apart(tmp_path: Path) -> None:
    data = DATA[:5].copy()
    data["ival"] = 5
    more = events((BOTH | IS_BUY | 1, 30, 40, 29_999.0, 1.0), (BOTH | IS_BUY | 1, 30, 40, 29_998.0, 1.0),
                  (BOTH | IS_SELL | 2, 50, 60, 30_000.0, 1.0))  # fmt: skip
    more["ival"] = [7, 8, 4]
    np.save(tmp_path / "x.npy", np.concatenate((data, more)))
    load(tmp_path, tmp_path / "x.npy", **USDM)
    feed = whole_feed(tmp_path / "lake")
    assert feed.ref.tolist() == [5, 7, 8, 4]


def test_pieces_do_not_cut_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "day.npz", DATA)
    load(tmp_path, path, **USDM)
    monkeypatch.setattr(npz, "CHUNK_ROWS", 2)
    load(tmp_path / "small", path, **USDM)
    whole, small = whole_feed(tmp_path / "lake"), whole_feed(tmp_path / "small" / "lake")
    for name in ("ts_event", "ts_recv", "kind", "ref", "row_start", "px_ticks", "qty_lots", "side"):
        assert np.array_equal(getattr(whole, name), getattr(small, name)), name


@pytest.mark.parametrize(
    ("row", "field", "value", "why"),
    [
        (1, "px", 30_000.15, "row 1: field 'px': is off the grid of 0.1"),
        (8, "qty", 0.0005, "row 8: field 'qty': is off the grid"),
        (5, "qty", float("nan"), "row 5: field 'qty': is off the grid"),
        (5, "px", 1e300, "row 5: field 'px': does not fit"),
        (5, "qty", -1.0, "row 5: field 'qty': does not fit 32 bits of steps, or is negative"),
        (6, "local_ts", 5, "row 6: field 'local_ts': is before exch_ts"),
        (6, "exch_ts", 5, "row 6: field 'exch_ts': is no time"),
        (6, "ev", BOTH | 2, "row 6: field 'ev': has not one of the flags"),
        (3, "ev", LOCAL | IS_SELL | 3, "row 0: field 'ev': clears one side"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, row: int, field: str, value: float, why: str) -> None:
    data = DATA.copy()
    data[field][row] = value
    with pytest.raises(InputError, match=why):
        load(tmp_path, save(tmp_path / "x.npz", data), **USDM)


def test_other_arrays_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", data=np.zeros((5, 6)))
    with pytest.raises(InputError, match="hftbacktest 2"):
        load(tmp_path, tmp_path / "x.npz", **USDM)
    np.savez(tmp_path / "y.npz", events=DATA)
    with pytest.raises(InputError, match="has no array data"):
        load(tmp_path, tmp_path / "y.npz", name="hftbacktest", **USDM)
    with pytest.raises(InputError, match="--symbol"):
        load(tmp_path, save(tmp_path / "z.npz", DATA))
    with pytest.raises(InputError, match="has no rows"):
        load(tmp_path, save(tmp_path / "e.npz", DATA[:0]), **USDM)


def test_what_our_export_writes_comes_back(tmp_path: Path) -> None:
    market = write(tmp_path / "capture", Market(seed=4).run(300).lines)
    commands.import_("binance", [market], tmp_path / "first")
    commands.export(tmp_path / "first", tmp_path / "day.npz")
    load(tmp_path, tmp_path / "day.npz", **USDM)
    first, again = whole_feed(tmp_path / "first"), whole_feed(tmp_path / "lake")
    kept = np.flatnonzero(np.isin(first.kind, (DEPTH, SNAPSHOT, TRADE)))
    for name in ("ts_event", "ts_recv", "kind", "ref"):
        assert np.array_equal(getattr(first, name)[kept], getattr(again, name)), name
    rows = np.repeat(np.isin(first.kind, (DEPTH, SNAPSHOT, TRADE)), np.diff(first.row_start))
    for name in ("side", "px_ticks", "qty_lots"):
        assert np.array_equal(getattr(first, name)[rows], getattr(again, name)), name


def test_a_gap_that_was_exported_as_a_clear_comes_back_as_a_gap(tmp_path: Path) -> None:
    market = Market(seed=4).run(300)
    market.lines.pop(market.diffs()[100])
    later = market.lines[market.diffs()[150]]
    market.add_snapshot(later.message["data"]["u"], later.message["data"]["T"], later.recv_ns + 1)
    commands.import_("binance", [write(tmp_path / "capture", market.lines)], tmp_path / "first")
    commands.export(tmp_path / "first", tmp_path / "day.npz")
    load(tmp_path, tmp_path / "day.npz", **USDM)
    first, again = whole_feed(tmp_path / "first"), whole_feed(tmp_path / "lake")
    assert (first.kind == GAP).sum() == 1
    assert first.ts_event[first.kind == GAP].tolist() == again.ts_event[again.kind == GAP].tolist()
    stale = [commands.gaps(tmp_path / name)["gaps"][0]["stale_ns"] for name in ("first", "lake")]
    assert stale[0] == stale[1] > 0
    assert commands.verify(tmp_path / "lake")["ok"]


@pytest.mark.filterwarnings("ignore:Reading `.npy`")
@settings(max_examples=40, deadline=None)
@given(changes=edits, packed=st.booleans())
def test_any_bytes_end_in_a_report_or_a_clear_error(changes: list[Edit], packed: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("x.npz" if packed else "x.npy")
        if packed:
            save(path, DATA)
        else:
            np.save(path, DATA)
        path.write_bytes(mangled(path.read_bytes(), changes))
        ends_well("hftbacktest", path, **USDM)
