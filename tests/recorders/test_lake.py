"""The lake: what goes in comes out, in any windows, from any instant; damage is found and named."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matching.codes import BBO, GAP, MARK, SNAPSHOT
from matching.feed import FeedWindow, stable_local_order
from recorders import writer as writer_module
from recorders.dayfile import DayFile
from recorders.files import partial_path, publish, writing
from recorders.lake import Lake
from tests.recorders.captures import MS, START_MS, Market, import_lines, replay, whole_feed, write
from venues.errors import InputError

COLUMNS = ("ts_event", "ts_recv", "kind", "row_start", "side", "px_ticks", "qty_lots")


@pytest.fixture(scope="module", autouse=True)
def small_blocks() -> Iterator[None]:
    """Blocks of 50 messages, so that a small feed has many."""
    patch = pytest.MonkeyPatch()
    patch.setattr(writer_module, "BLOCK_MESSAGES", 50)
    patch.setattr(writer_module, "BLOCK_ROWS", 300)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def market() -> Market:
    """Across midnight, with a gap and a resync after it."""
    market = Market(seed=11, now_ms=1_700_006_396_000).run(300)
    lost = market.diffs()[120]
    market.lines.pop(lost)
    data = market.lines[market.diffs()[150]].message["data"]
    market.add_snapshot(data["u"], data["T"], market.lines[market.diffs()[150]].recv_ns + 1)
    return market


@pytest.fixture(scope="module")
def lake(market: Market, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lake")
    import_lines([write(folder / "capture.gz", market.lines)], folder / "lake")
    return folder / "lake"


@pytest.fixture(scope="module")
def whole(lake: Path) -> FeedWindow:
    return whole_feed(lake)


def _payloads(feed: FeedWindow) -> list[list[int]]:
    return [feed.aux[feed.ref[j] - feed.aux_base].tolist() for j in np.flatnonzero(np.isin(feed.kind, (MARK, GAP)))]


def test_the_feed_has_many_blocks_and_two_days(lake: Path, whole: FeedWindow) -> None:
    files = [DayFile(path) for path in Lake(lake).feed("binance_usdm", "BTCUSDT").paths]
    assert len(files) == 2 and min(len(file.blocks) for file in files) > 3
    source = Lake(lake).source("binance_usdm", "BTCUSDT")
    assert source.rows == whole.rows == sum(file.rows for file in files)
    assert source.first_ns == whole.ts_event[0] and source.last_ns == whole.ts_recv.max()


@settings(max_examples=30, deadline=None)
@given(size=st.integers(1, 400))
def test_any_window_size_gives_the_same_stream(lake: Path, whole: FeedWindow, size: int) -> None:
    source = Lake(lake).source("binance_usdm", "BTCUSDT", window_messages=size)
    at = row = 0
    payloads = []
    while (window := source.next_window()) is not None:
        window.check()
        n = len(window)
        assert 0 < n <= size
        for name in ("ts_event", "ts_recv", "kind"):
            assert np.array_equal(getattr(window, name), getattr(whole, name)[at : at + n]), name
        for name in ("side", "px_ticks", "qty_lots"):
            assert np.array_equal(getattr(window, name), getattr(whole, name)[row : row + window.rows]), name
        assert np.array_equal(window.row_start + row, whole.row_start[at : at + n + 1])
        assert np.array_equal(window.local_order, stable_local_order(window.ts_recv))
        payloads += _payloads(window)
        at, row = at + n, row + window.rows
    assert (at, row) == (len(whole), whole.rows)
    assert payloads == _payloads(whole)


@settings(max_examples=40, deadline=None)
@given(start=st.integers(-2_000, 8_000), length=st.integers(1, 9_000))
def test_any_range_continues_the_whole_run(lake: Path, whole: FeedWindow, start: int, length: int) -> None:
    from_ns = (1_700_006_396_000 + start) * MS + 1
    to_ns = from_ns + length * MS
    begin, end = int(whole.ts_event.searchsorted(from_ns)), int(whole.ts_event.searchsorted(to_ns))
    if begin == end:
        with pytest.raises(InputError, match="holds no message"):
            whole_feed(lake, from_ns=from_ns, to_ns=to_ns)
        return
    feed = whole_feed(lake, from_ns=from_ns, to_ns=to_ns)
    opening = len(feed) - (end - begin)
    assert (
        Lake(lake).source("binance_usdm", "BTCUSDT", from_ns, to_ns).rows
        == whole.row_start[end] - whole.row_start[begin]
    )
    for name in ("ts_event", "ts_recv", "kind"):
        assert np.array_equal(getattr(feed, name)[opening:], getattr(whole, name)[begin:end])
    assert (feed.ts_event[:opening] == from_ns).all() and (feed.ts_recv[:opening] >= from_ns).all()
    before = replay(whole, list(range(begin)))
    gaps = [j for j in range(begin) if whole.kind[j] == GAP]
    valid = bool(before) and (not gaps or before[-1][0] > gaps[-1])
    if valid:
        last, update_id, book = before[-1]
        assert feed.kind[0] == SNAPSHOT and replay(feed, [0]) == [(0, update_id, book)]
        assert feed.ts_recv[0] >= whole.ts_recv[[j for j, _, _ in before]].max()
        newer = [j for j in range(begin) if whole.kind[j] == BBO and whole.ref[j] > update_id]
        assert [int(r) for r in feed.ref[:opening][feed.kind[:opening] == BBO]] == [int(whole.ref[j]) for j in newer]
        assert last < begin
    elif begin:
        assert feed.kind[0] == GAP
    full, part = replay(whole, list(range(end))), replay(feed)
    ahead = [(u, book) for j, u, book in full if j >= begin]
    assert [(u, book) for j, u, book in part if j >= opening] == ahead


def test_the_opening_tells_the_last_mark(lake: Path, whole: FeedWindow) -> None:
    at_ns = int(whole.ts_event[-1])
    feed = whole_feed(lake, from_ns=at_ns)
    assert _payloads(feed)[0] == _payloads(whole_feed(lake, to_ns=at_ns))[-1]


# -- files


def test_every_flipped_byte_is_found(lake: Path, tmp_path: Path) -> None:
    path = Lake(lake).feed("binance_usdm", "BTCUSDT").paths[0]
    good = path.read_bytes()
    copy = tmp_path / "binance_usdm" / "BTCUSDT" / path.name
    copy.parent.mkdir(parents=True)
    copy.write_bytes(good)
    assert Lake(tmp_path).verify()[0]["problems"] == []
    clean = whole_feed(tmp_path)
    chosen = random.Random(5)
    for _ in range(120):
        damaged = bytearray(good)
        place = chosen.randrange(len(good))
        damaged[place] ^= 1 << chosen.randrange(8)
        copy.write_bytes(damaged)
        if Lake(tmp_path).verify()[0]["problems"]:
            continue
        again = whole_feed(tmp_path)  # unused bytes of the footer may change nothing; then the data must be the same
        assert all(np.array_equal(getattr(clean, name), getattr(again, name)) for name in COLUMNS), place


def test_a_file_cut_anywhere_is_named(lake: Path, tmp_path: Path) -> None:
    path = Lake(lake).feed("binance_usdm", "BTCUSDT").paths[0]
    good = path.read_bytes()
    copy = tmp_path / "binance_usdm" / "BTCUSDT" / path.name
    copy.parent.mkdir(parents=True)
    for size in [0, 1, 4, 7, 8, 100, *range(1000, len(good) - 1, len(good) // 25), len(good) - 1]:
        copy.write_bytes(good[:size])
        (entry,) = Lake(tmp_path).verify()
        assert "truncated" in entry["problems"][0] or "footer" in entry["problems"][0]
        with pytest.raises(InputError, match=path.name):
            Lake(tmp_path).source("binance_usdm", "BTCUSDT")


def test_a_foreign_parquet_file_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "binance_usdm" / "BTCUSDT" / "2023-01-01.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(InputError, match="is no file of a lake"):
        Lake(tmp_path).source("binance_usdm", "BTCUSDT")


def test_what_a_killed_writer_left_is_ignored_and_removed(lake: Path, market: Market, tmp_path: Path) -> None:
    capture = write(tmp_path / "capture", market.lines)
    import_lines([capture], tmp_path / "lake")
    path = Lake(tmp_path / "lake").feed("binance_usdm", "BTCUSDT").paths[0]
    left = partial_path(path)
    left.write_bytes(b"half a file")
    assert Lake(tmp_path / "lake").ls()[0]["days"] == ["2023-11-14", "2023-11-15"]
    import_lines([capture], tmp_path / "lake")
    assert not left.exists() and Lake(tmp_path / "lake").verify()[0]["problems"] == []


def test_a_file_is_published_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    partial_path(path).write_bytes(b"new")
    assert path.read_bytes() == b"old"
    publish(path)
    assert path.read_bytes() == b"new" and not partial_path(path).exists()


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    with writing(tmp_path), pytest.raises(InputError, match="another import"), writing(tmp_path):
        pass
    with writing(tmp_path):
        pass


def test_a_failed_import_leaves_the_lake_as_it_was(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture = write(tmp_path / "capture", market.lines)

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("recorders.dayfile.DayWriter.finish", fail)
    with pytest.raises(OSError, match="disk full"):
        import_lines([capture], tmp_path / "lake")
    assert [p for p in (tmp_path / "lake").rglob("*") if p.is_file() and p.name != ".lock"] == []


KILLED_IMPORT = """
import os, sys
from recorders import dayfile, files
from recorders.captures import import_captures
capture, lake, place, survive = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
done = 0
def counted(original):
    def call(*arguments):
        global done
        if done == survive:
            os.kill(os.getpid(), 9)
        done += 1
        return original(*arguments)
    return call
target = {"publish": dayfile, "sync_folder": files, "partial_path": dayfile}[place]
setattr(target, place, counted(getattr(target, place)))
import_captures([capture], lake)
"""


@pytest.mark.parametrize("survive", [0, 1, 3, 6])
@pytest.mark.parametrize("place", ["publish", "sync_folder", "partial_path"])
def test_a_kill_leaves_whole_files_or_none(
    market: Market, lake: Path, tmp_path: Path, place: str, survive: int
) -> None:
    capture = write(tmp_path / "capture", market.lines)
    root = str(Path(__file__).resolve().parents[2])
    subprocess.run(
        [sys.executable, "-c", KILLED_IMPORT, str(capture), str(tmp_path / "lake"), place, str(survive)],
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": root},
    )
    if any((tmp_path / "lake").rglob("*.parquet")):
        assert [entry["problems"] for entry in Lake(tmp_path / "lake").verify()] == [[]] * len(
            Lake(tmp_path / "lake").ls()[0]["days"]
        )
    import_lines([capture], tmp_path / "lake")
    assert list((tmp_path / "lake").rglob("*.partial")) == list((tmp_path / "lake").glob(".spool-*")) == []
    one, two = whole_feed(lake), whole_feed(tmp_path / "lake")
    assert all(np.array_equal(getattr(one, name), getattr(two, name)) for name in COLUMNS)


# -- questions


def test_the_lake_says_what_it_has_when_asked_for_what_it_lacks(lake: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="it holds binance_usdm BTCUSDT"):
        Lake(lake).source("binance_usdm", "ETHUSDT")
    with pytest.raises(InputError, match="import a recording first"):
        Lake(tmp_path / "none").ls()
    with pytest.raises(InputError, match="it spans"):
        Lake(lake).source("binance_usdm", "BTCUSDT", from_ns=(START_MS + 10**10) * MS)
    with pytest.raises(InputError, match="at least 1 message"):
        Lake(lake).source("binance_usdm", "BTCUSDT", window_messages=0)
    with pytest.raises(InputError, match="has nothing of"):
        Lake(lake).verify("okx")


def test_the_instrument_is_kept_as_of_the_day(lake: Path) -> None:
    instrument = Lake(lake).instrument("binance_usdm", "BTCUSDT", at_ns=START_MS * MS)
    assert (str(instrument.tick_size), str(instrument.lot_size), instrument.inverse) == ("0.1", "0.001", False)
    (info,) = Lake(lake).info()
    assert info["files"][0]["code"]["sources_sha256"] and info["recordings"][0]["sources"][0]["sha256"]


def test_gaps_are_listed_with_their_ends(lake: Path) -> None:
    (gap,) = Lake(lake).gaps()
    assert gap["kind"] == "sequence" and gap["resynced"] and gap["start_ns"] < gap["end_ns"]


def test_a_wrong_checkpoint_is_found(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    market = Market(seed=3).run(150)
    monkeypatch.setattr("recorders.book.DepthBook.columns", lambda self: _shifted(self))
    with tempfile.TemporaryDirectory() as folder:
        import_lines([write(Path(folder) / "x", market.lines)], tmp_path / "lake")
    monkeypatch.undo()
    problems = Lake(tmp_path / "lake").verify()[0]["problems"]
    assert problems and all("checkpoint" in problem for problem in problems)


def _shifted(book: object) -> object:
    from recorders.book import DepthBook

    assert isinstance(book, DepthBook)
    side = np.zeros(1, np.uint8)
    return side, np.full(1, 7, np.int32), np.full(1, 7, np.int32)
