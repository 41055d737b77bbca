"""The hot cache: what is mapped equals what is decoded, damage never gets through, and a failing disk fails no run."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matching.codes import FUNDING, GAP, MARK
from matching.feed import FeedWindow, join_windows, slice_window, stable_local_order
from matching.kernel import _unseen
from recorders import hot
from recorders import writer as writer_module
from recorders.commands import import_
from recorders.dayfile import DayFile
from recorders.hot import PAGE, ROOM_MESSAGES, HotCache, Shape, hot_cache
from recorders.lake import Lake
from sim.backtest import backtest
from sim.synth import write_columns
from tests.recorders.captures import MS, Market, import_lines, write
from venues.errors import InputError

COLUMNS = ("ts_event", "ts_recv", "kind", "row_start", "ref", "local_order", "side", "px_ticks", "qty_lots")
FEED = ("binance_usdm", "BTCUSDT")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", autouse=True)
def small_blocks() -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    patch.setattr(writer_module, "BLOCK_MESSAGES", 50)
    patch.setattr(writer_module, "BLOCK_ROWS", 300)
    patch.delenv("PERPSIM_CACHE", raising=False)
    patch.delenv("PERPSIM_CACHE_BYTES", raising=False)
    yield
    patch.undo()


def make_lake(folder: Path, seed: int, steps: int = 150) -> Path:
    """A lake of two days with marks and, in the middle, a gap."""
    market = Market(seed=seed, now_ms=1_700_006_398_000).run(steps)
    market.lines.pop(market.diffs()[steps // 2])
    import_lines([write(folder / "capture", market.lines)], folder / "lake")
    return folder / "lake"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_lake(tmp_path_factory.mktemp("hot"), 11)


def windows(lake: Path, cached: bool = True, **limits: Any) -> list[FeedWindow]:
    source = Lake(lake, hot=cached).source(*FEED, **limits)
    found = []
    while (window := source.next_window()) is not None:
        window.check()
        found.append(window)
    return found


def payloads(window: FeedWindow) -> list[list[int]]:
    carrying = np.flatnonzero(np.isin(window.kind, (MARK, FUNDING, GAP)))
    return window.aux[window.ref[carrying] - window.aux_base].tolist()


def same(one: FeedWindow, other: FeedWindow) -> bool:
    return (
        all(np.array_equal(getattr(one, name), getattr(other, name)) for name in COLUMNS)
        and one.aux_base == other.aux_base
        and payloads(one) == payloads(other)
    )


def all_same(ours: list[FeedWindow], theirs: list[FeedWindow]) -> bool:
    return len(ours) == len(theirs) and all(map(same, ours, theirs))


def entries(lake: Path) -> list[Path]:
    return sorted((lake / hot.FOLDER).glob("*/*.cols"))


# -- what is read


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), data=st.data())
def test_mapped_windows_are_decoded_windows(
    tmp_path_factory: pytest.TempPathFactory, seed: int, data: st.DataObject
) -> None:
    lake = make_lake(tmp_path_factory.mktemp("any"), seed, data.draw(st.integers(40, 200)))
    for _ in range(3):
        start = data.draw(st.none() | st.integers(0, 3000))
        limits = {
            "from_ns": None if start is None else (1_700_006_398_000 + start) * MS,
            "to_ns": (1_700_006_398_000 + (start or 0) + data.draw(st.integers(500, 4000))) * MS,
            "window_messages": data.draw(st.sampled_from([1, 7, 49, 1 << 18])),
        }
        try:
            decoded = windows(lake, cached=False, **limits)
        except InputError:
            continue
        assert all_same(windows(lake, **limits), decoded)  # some blocks hot, others not
        assert all_same(windows(lake, **limits), decoded)


def test_the_second_reader_decodes_nothing(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = windows(lake, cached=False)
    assert all_same(windows(lake), decoded)
    assert len(entries(lake)) == sum(len(DayFile(path).blocks) for path in Lake(lake).feed(*FEED).paths)

    def never(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(DayFile, "window", never)
    mapped = windows(lake)
    assert all_same(mapped, decoded)
    assert all(not getattr(window, name).flags.writeable for window in mapped for name in COLUMNS)


@settings(max_examples=40, deadline=None)
@given(place=st.integers(0, 5), seen=st.integers(0, 60), cut=st.integers(0, 50))
def test_joining_in_the_room_is_joining(lake: Path, place: int, seen: int, cut: int) -> None:
    windows(lake)
    pair = windows(lake)[place : place + 2]
    tail = _unseen(pair[0], min(seen, len(pair[0])))
    plain = join_windows(tail, replace(pair[1], room=None))
    assert pair[1].room is not None
    joined = join_windows(tail, pair[1])
    joined.check()
    assert same(joined, plain) and pair[1].room is None
    assert np.shares_memory(joined.px_ticks, pair[1].px_ticks) and not np.shares_memory(joined.ref, plain.ref)
    assert same(join_windows(tail, pair[1]), plain)  # a second time without room, and the first is as it was
    assert np.array_equal(joined.local_order, stable_local_order(joined.ts_recv))
    part = slice_window(joined, min(cut, len(joined)), len(joined))
    assert np.array_equal(part.ts_recv, joined.ts_recv[min(cut, len(joined)) :])


def test_a_tail_that_is_longer_than_the_room_is_copied(lake: Path) -> None:
    windows(lake)
    first, second = windows(lake)[:2]
    tail = first
    while len(tail) <= ROOM_MESSAGES:
        tail = join_windows(tail, replace(tail, ts_event=tail.ts_event, room=None, aux=tail.aux[:0]))
    joined = join_windows(tail, second)
    assert len(joined) == len(tail) + len(second)
    assert not np.shares_memory(joined.px_ticks, second.px_ticks)


def test_a_run_is_the_same_with_and_without_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_columns(tmp_path / "columns", 20_000)
    import_("columns", [tmp_path / "columns"], tmp_path / "lake", symbol="BTCUSDT")
    document: dict[str, Any] = {
        "feed": {"lake": str(tmp_path / "lake")},
        "venue": [{"name": "neutral", "latency": "10ms"}],
        "instrument": [{"symbol": "BTCUSDT", "mark": "mid"}],
        "strategy": "sim.bench.plain_maker:SkewedMaker",
    }
    hashes = []
    for setting in ("off", "", ""):
        monkeypatch.setenv("PERPSIM_CACHE", setting)
        result = backtest(document, out=tmp_path / "runs", html=False, show_progress=False)
        hashes.append(result.hash)
        assert result.summary["fills"] > 10
    assert len(set(hashes)) == 1
    assert entries(tmp_path / "lake")


# -- damage


def cached(lake: Path, tmp_path: Path) -> tuple[HotCache, str, Shape, FeedWindow, bytes]:
    """A cache of its own with one entry that has everything: its identity, shape, window and bytes."""
    path = Lake(lake).feed(*FEED).paths[0]
    file = DayFile(path)
    number, block = next((k, block) for k, block in enumerate(file.blocks) if block.aux and block.rows > 100)
    shape = Shape(number, block.count, block.rows, block.aux)
    window = file.window(block, 0)
    cache = HotCache(tmp_path / "cache")
    cache.write(file.digest, shape, window, 0)
    return cache, file.digest, shape, window, cache.path_of(file.digest, number).read_bytes()


def test_a_flipped_byte_anywhere_is_found_or_without_meaning(lake: Path, tmp_path: Path) -> None:
    cache, identity, shape, window, good = cached(lake, tmp_path)
    path = cache.path_of(identity, shape.block)
    chosen = random.Random(3)
    filled = [place for place, byte in enumerate(good) if byte]  # the rest is mostly holes
    found = 0
    for place in [*range(80), *chosen.sample(filled, 300), *chosen.sample(range(len(good)), 300)]:
        damaged = bytearray(good)
        damaged[place] ^= 1 << chosen.randrange(8)
        path.write_bytes(damaged)
        read = cache.read(identity, shape, 0)
        assert read is None or same(read, window), place
        found += read is None
        assert path.exists() == (read is not None)  # what is damaged is gone, to be made again
    assert found >= 380 and cache.rebuilt == found
    cache.write(identity, shape, window, 0)
    assert path.read_bytes() == good


def test_what_is_cut_zeroed_exchanged_or_another_days_is_refused(lake: Path, tmp_path: Path) -> None:
    cache, identity, shape, _, good = cached(lake, tmp_path)
    path = cache.path_of(identity, shape.block)
    columns = {column.name: column for column in hot._layout(shape)}
    first, second = columns["ts_event"].offset, columns["ts_recv"].offset
    pages = good[first : first + PAGE], good[second : second + PAGE]
    exchanged = good[:first] + pages[1] + good[first + PAGE : second] + pages[0] + good[second + PAGE :]
    zeroed = good[:first] + bytes(PAGE) + good[first + PAGE :]
    cuts = [good[:size] for size in (0, 1, 63, PAGE, len(good) // 2, len(good) - PAGE, len(good) - 1)]
    for damaged in (*cuts, good + b"\0", exchanged, zeroed, bytes(len(good))):
        path.write_bytes(damaged)
        assert cache.read(identity, shape, 0) is None
    path.write_bytes(good)
    other = cache.path_of("ab" * 32, shape.block)
    other.parent.mkdir()
    other.write_bytes(good)
    assert cache.read("ab" * 32, shape, 0) is None
    assert cache.read(identity, replace(shape, aux=shape.aux - 1), 0) is None
    assert not path.exists() and cache.read(identity, shape, 0) is None


def test_a_damaged_cache_is_made_again_in_a_run(lake: Path) -> None:
    decoded = windows(lake, cached=False)
    windows(lake)
    good = {path: path.read_bytes() for path in entries(lake)}
    for path in entries(lake)[::2]:
        path.write_bytes(good[path][:-1])
    assert all_same(windows(lake), decoded)
    assert {path: path.read_bytes() for path in entries(lake)} == good


def test_a_damaged_page_of_the_lake_reaches_no_run(lake: Path, tmp_path: Path) -> None:
    path = Lake(lake).feed(*FEED).paths[0]
    copy = tmp_path / "binance_usdm" / "BTCUSDT" / path.name
    copy.parent.mkdir(parents=True)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 3] ^= 16
    copy.write_bytes(damaged)
    with pytest.raises(InputError, match="damaged"):
        windows(tmp_path)


# -- disks


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_full_disk_fails_no_run(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setenv("PERPSIM_CACHE", str(tmp_path / "cache"))
    decoded = windows(lake, cached=False)
    real, left = os.pwrite, [7]

    def failing(handle: int, data: memoryview, offset: int) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(code, os.strerror(code))
        return real(handle, data[: len(data) // 2 + 1], offset)

    monkeypatch.setattr(hot.os, "pwrite", failing)
    source = Lake(lake).source(*FEED)
    with pytest.warns(RuntimeWarning, match="cannot be written"):
        read = list(iter(source.next_window, None))
    assert all_same([window for window in read if window is not None], decoded)
    assert os.strerror(code) in source.note
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_folder_that_cannot_be_made_fails_no_run(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    for place in (tmp_path / "file", Path("/proc/none")):  # no folder; a place in which nobody may make one
        monkeypatch.setenv("PERPSIM_CACHE", str(place))
        source = Lake(lake).source(*FEED)
        with pytest.warns(RuntimeWarning, match="cannot be written"):
            assert source.next_window() is not None
        assert "cannot be written" in source.note


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """Rights of an ordinary user, also where the superuser runs the tests: nothing is read-only for that one."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_read_only_lake_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        lake = make_lake(folder, 5)
        monkeypatch.setenv("PERPSIM_CACHE", "off")
        wanted = Lake(lake).source(*FEED).next_window()  # and everything is imported by now
        monkeypatch.delenv("PERPSIM_CACHE")
        lake.chmod(0o555)
        with nobody():
            source = Lake(lake).source(*FEED)
            with pytest.warns(RuntimeWarning, match="cannot be written"):
                found = source.next_window()
        lake.chmod(0o755)
    assert wanted is not None and found is not None
    assert np.array_equal(found.ts_event, wanted.ts_event) and np.array_equal(found.px_ticks, wanted.px_ticks)
    assert "cannot be written" in source.note


READER = """
import sys
from pathlib import Path
from recorders.lake import Lake
import numpy as np
total = 0
for _ in range(int(sys.argv[2])):
    source = Lake(Path(sys.argv[1])).source("binance_usdm", "BTCUSDT")
    while (window := source.next_window()) is not None:
        total += int(window.ts_recv.sum() % 1000003) + int(window.px_ticks.sum())
    if sys.argv[3] == "clear":
        Lake(Path(sys.argv[1])).cache().clear()
print(total, source.note)
"""


def test_two_processes_write_one_cache(tmp_path: Path) -> None:
    lake = make_lake(tmp_path, 21)
    command = [sys.executable, "-c", READER, str(lake), "4"]
    several = [
        subprocess.Popen([*command, what], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for what in ("clear", "keep", "clear")
    ]
    said = {one.communicate(timeout=120)[0].strip() for one in several}
    assert len(said) == 1 and said.pop().isdecimal()
    assert all_same(windows(lake), windows(lake, cached=False))
    assert not list(lake.rglob("*.partial"))


KILLED = """
import os, sys
from pathlib import Path
from recorders import hot
from recorders.lake import Lake
left = [int(sys.argv[2])]
def dying(real):
    def call(*arguments, **named):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), 9)
        return real(*arguments, **named)
    return call
hot.os.pwrite = dying(os.pwrite)
Path.replace = dying(Path.replace)
source = Lake(Path(sys.argv[1])).source("binance_usdm", "BTCUSDT")
while source.next_window() is not None:
    pass
"""


@pytest.mark.parametrize("survived", [0, 11, 12])
def test_a_killed_writer_leaves_nothing_that_is_read(tmp_path: Path, survived: int) -> None:
    lake = make_lake(tmp_path, 8)
    done = subprocess.run([sys.executable, "-c", KILLED, str(lake), str(survived)], cwd=ROOT, check=False, timeout=60)
    assert done.returncode == -9
    left = list(lake.rglob("*.partial"))
    assert len(left) == 1
    assert all_same(windows(lake), windows(lake, cached=False)) and left[0].exists()
    os.utime(left[0], ns=(0, 0))
    entries(lake)[0].unlink()
    windows(lake)  # writes, and so looks around
    assert not left[0].exists()


# -- size and place


def test_days_that_were_not_read_for_longest_leave_first(tmp_path: Path) -> None:
    lakes = [make_lake(tmp_path / str(seed), seed, 60) for seed in range(3) if (tmp_path / str(seed)).mkdir() is None]
    place = tmp_path / "cache"

    def read(lake: Path, limit: int) -> HotCache:
        cache = HotCache(place, limit)
        for path in Lake(lake).feed(*FEED).paths:
            file = DayFile(path)
            for number, block in enumerate(file.blocks):
                shape = Shape(number, block.count, block.rows, block.aux)
                if cache.read(file.digest, shape, 0) is None:
                    cache.write(file.digest, shape, file.window(block, 0), 0)
        return cache

    read(lakes[0], 1 << 30)
    one = sum(day.bytes for day in HotCache(place).days())
    assert one > 0
    for age, day in enumerate(HotCache(place).days()):
        os.utime(place / day.identity, ns=(age, age))
    read(lakes[1], 3 * one)
    first = read(lakes[0], 3 * one)  # used again: now the second lake's days are the oldest
    assert first.hits and not first.misses
    for day in HotCache(place).days():
        if day.identity not in first._used:
            os.utime(place / day.identity, ns=(5, 5))
    second = read(lakes[2], 2 * one + one // 2)
    held = {day.identity for day in second.days()}
    assert second._used <= held and first._used <= held and not second.note
    assert sum(day.bytes for day in second.days()) <= 2 * one + one // 2
    with pytest.warns(RuntimeWarning, match="is full of"):
        small = read(lakes[1], one // 3 * 2)
    assert "is full of this run's own days" in small.note
    assert sum(day.bytes for day in small.days()) <= one // 3 * 2
    assert small.clear() > 0 and not place.exists()


def test_the_environment_says_where_and_how_large(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERPSIM_CACHE", "off")
    assert Lake(lake).cache() is None
    monkeypatch.setenv("PERPSIM_CACHE", str(tmp_path / "elsewhere"))
    windows(lake)
    assert list((tmp_path / "elsewhere").glob("*/*.cols"))
    monkeypatch.setenv("PERPSIM_CACHE_BYTES", "12345")
    cache = hot_cache(lake)
    assert cache is not None and cache.limit_bytes == 12345
    monkeypatch.setenv("PERPSIM_CACHE_BYTES", "10 GB")
    with pytest.raises(InputError, match="PERPSIM_CACHE_BYTES"):
        Lake(lake).source(*FEED)


def test_listings_do_not_see_the_cache(lake: Path) -> None:
    windows(lake)
    assert [(feed["venue"], feed["symbol"]) for feed in Lake(lake).ls()] == [FEED]
    assert len(Lake(lake).verify()) == 2
