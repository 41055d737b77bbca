"""What a lake says it covers, and compaction: fewer blocks, the same content."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorders import commands
from recorders import compact as compact_module
from recorders import writer as writer_module
from recorders.compact import content_digest
from recorders.coverage import Spans, length, merged, shared, without
from recorders.dayfile import DayFile
from recorders.files import PARTIAL, partial_path, writing
from recorders.lake import Lake
from sim.listings import lines
from tests.recorders.captures import Market, import_lines, whole_feed, write
from venues.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
FEED = ("binance_usdm", "BTCUSDT")


def make(folder: Path, monkeypatch: pytest.MonkeyPatch, block: int = 40) -> Path:
    """Two instruments over midnight, one of them with a gap of 600 ms; blocks of ``block`` messages."""
    with monkeypatch.context() as patch:
        patch.setattr(writer_module, "BLOCK_MESSAGES", block)
        for seed, symbol in enumerate(("BTCUSDT", "ETHUSDT")):
            market = Market(seed=seed + 1, symbol=symbol, now_ms=1_700_006_396_000).run(300)
            if symbol == "BTCUSDT":
                market.lines.pop(market.diffs()[120])
                joined = market.lines[market.diffs()[149]]
                data = joined.message["data"]
                market.add_snapshot(data["u"], data["T"], joined.recv_ns + 1)
            import_lines([write(folder / symbol, market.lines)], folder / "lake")
    return folder / "lake"


_spans = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)).map(sorted).map(tuple), max_size=6)


@settings(max_examples=100, deadline=None)
@given(_spans, _spans)
def test_spans_are_sets_of_instants(one: Spans, other: Spans) -> None:
    def instants(spans: Spans) -> set[int]:
        return {k for start, stop in spans for k in range(start, stop)}

    a, b = merged(one), merged(other)
    assert instants(a) == instants(one) and length(a) == len(instants(one))
    assert instants(without(a, b)) == instants(one) - instants(other)
    assert instants(shared(a, b)) == instants(one) & instants(other)
    assert all(stop < start for (_, stop), (start, _) in pairwise(a))


def test_gaps_with_totals_over_all_feeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = make(tmp_path, monkeypatch)
    found = commands.gaps(lake)
    (gap,) = found["gaps"]
    btc, eth = found["totals"]
    assert btc["gaps"] == {"sequence": 1} and eth["gaps"] == {}
    stale = gap["end_ns"] - gap["start_ns"]
    assert stale == gap["stale_ns"] and 500e6 < stale < 700e6
    begins = {}  # the first snapshot comes some time after the first quote
    for row in (btc, eth):
        feed = whole_feed(lake, symbol=row["symbol"])
        begins[row["symbol"]] = int(feed.ts_event[np.flatnonzero(feed.kind == 4)[0]]) - row["first_ns"]
    assert all(0 < begin < 700e6 for begin in begins.values())
    assert btc["missing_ns"] == stale + begins["BTCUSDT"] and btc["known_ns"] == btc["span_ns"] - btc["missing_ns"]
    assert eth["missing_ns"] == begins["ETHUSDT"] and 0.8 < btc["coverage"] < eth["coverage"] < 1
    common = found["common"]
    known_from = max(begins[row["symbol"]] + row["first_ns"] for row in (btc, eth))
    assert common["feeds"] == 2
    assert common["known_ns"] == min(row["last_ns"] for row in (btc, eth)) + 1 - known_from - stale
    assert json.loads(json.dumps(found)) == found
    assert [row["symbol"] for row in commands.gaps(lake, symbol="ETHUSDT")["totals"]] == ["ETHUSDT"]


def test_a_book_that_is_not_known_yet_is_not_covered(tmp_path: Path) -> None:
    market = Market(seed=4).run(60)
    place = next(k for k, line in enumerate(market.lines) if "lastUpdateId" in line.message)
    never = [line for k, line in enumerate(market.lines) if k != place]
    import_lines([write(tmp_path / "x", never)], tmp_path / "never")
    (row,) = commands.gaps(tmp_path / "never")["totals"]
    assert (row["known_ns"], row["coverage"], row["missing_ns"]) == (0, 0.0, row["span_ns"])
    (file,) = commands.info(tmp_path / "never")["feeds"][0]["files"]
    assert file["stale_ns"] == file["recorded_ns"] == row["span_ns"] and file["share"] == 0

    joined = market.lines[market.diffs()[40]]
    data = joined.message["data"]
    market.lines = never
    market.add_snapshot(data["u"], data["T"], joined.recv_ns + 1)
    import_lines([write(tmp_path / "y", market.lines)], tmp_path / "late")
    (row,) = commands.gaps(tmp_path / "late")["totals"]
    first = whole_feed(tmp_path / "late")
    begins = int(first.ts_event[np.flatnonzero(first.kind == 4)[0]])
    assert begins - row["first_ns"] > 500_000_000
    assert row["missing_ns"] == begins - row["first_ns"] and row["gaps"] == {}


def test_best_quotes_alone_have_no_book_to_miss(tmp_path: Path) -> None:
    market = Market(seed=4).run(60)
    lines = [line for line in market.lines if line.message.get("data", {}).get("e") == "bookTicker"]
    import_lines([write(tmp_path / "x", lines)], tmp_path / "lake")
    (row,) = commands.gaps(tmp_path / "lake")["totals"]
    assert row["coverage"] == 1.0


def test_the_end_of_a_session_is_missing_time(tmp_path: Path) -> None:
    market = Market(seed=4).run(60)
    pause = market.now_ms
    market.now_ms += 100_000
    market.previous_id = market.update_id = market.update_id + 50_000
    market.run(60)
    import_lines([write(tmp_path / "x", market.lines)], tmp_path / "lake")
    found = commands.gaps(tmp_path / "lake")
    assert [gap["kind"] for gap in found["gaps"]] == ["session_end"]
    (row,) = found["totals"]
    assert abs(row["missing_ns"] - 100e9) < 1e9 and row["first_ns"] // 10**6 <= pause


def test_info_tells_streams_days_sizes_and_clocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = make(tmp_path, monkeypatch)
    btc = commands.info(lake)["feeds"][0]
    feed = whole_feed(lake)
    totals: dict[str, int] = {}
    for file in btc["files"]:
        assert file["bytes"] == Path(file["path"]).stat().st_size
        assert file["messages"] == sum(one["messages"] for one in file["streams"].values())
        assert 0 < file["share"] < 0.001 and file["bytes_per_message"] > 1 and file["ratio"] > 0.1
        for name, one in file["streams"].items():
            totals[name] = totals.get(name, 0) + one["messages"]
            assert one["first_ns"] <= one["last_ns"]
    assert totals == {
        name: int((feed.kind == code).sum())
        for name, code in (("depth", 1), ("snapshot", 4), ("best quote", 3), ("trade", 2), ("mark", 5), ("gap", 7))
    }
    assert [file["gaps"] for file in btc["files"]] == [1, 0]
    (clock,) = btc["clock"]
    assert clock["least_ns"] >= 1_000_000 and not clock["corrected"] and clock["drift_ppm"] is None
    slow = Market(seed=3, offset_ns=-50_000_000).run(100)
    import_lines([write(tmp_path / "slow", slow.lines)], tmp_path / "slow-lake")
    (clock,) = commands.info(tmp_path / "slow-lake")["feeds"][0]["clock"]
    assert clock["corrected"] and -50e6 < clock["least_ns"] < -40e6 and abs(clock["drift_ppm"]) <= 20


def test_a_folder_that_is_no_lake_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "some" / "folder").mkdir(parents=True)
    for ask in (commands.ls, commands.info, commands.verify, commands.gaps, commands.compact):
        with pytest.raises(InputError, match="is no lake"):
            ask(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", "import perpsim; perpsim.main()", "data", "ls", "--lake", str(tmp_path)],
        capture_output=True, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and "is no lake" in done.stderr


def test_tables_fit_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PERPSIM_CACHE", raising=False)
    lake = make(tmp_path, monkeypatch)
    whole_feed(lake)
    for what in ("ls", "info", "gaps", "verify", "compact", "cache"):
        shown = list(lines(what, getattr(commands, what)(lake)))
        assert (shown and max(map(len, shown)) <= 100) or what == "cache", what  # the cache's first line is a path
    text = "\n".join(lines("gaps", commands.gaps(lake)))
    assert "sequence" in text and "all 2 together" in text
    cleared = commands.cache(lake, clear=True)
    assert cleared["cleared_bytes"] > 0 and cleared["days"] == [] and not (lake / ".hot").exists()
    monkeypatch.setenv("PERPSIM_CACHE", "off")
    assert "switched off" in next(lines("cache", commands.cache(lake)))


# -- compaction


def content(lake: Path) -> dict[str, str]:
    return {
        f"{feed.symbol} {path.stem}": json.dumps(content_digest(DayFile(path)))
        for feed in Lake(lake).feeds()
        for path in feed.paths
    }


def whole(lake: Path) -> dict[str, bytes]:
    return {path.relative_to(lake).as_posix(): path.read_bytes() for path in lake.rglob("*.parquet")}


def test_compaction_keeps_the_content_and_is_idempotent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = make(tmp_path, monkeypatch)
    before, feed, infos = content(lake), whole_feed(lake), commands.info(lake)
    left = partial_path(Lake(lake).feed(*FEED).paths[0])
    left.write_bytes(b"half a file")
    first = commands.compact(lake)
    assert first["left_behind"] == 1 and not left.exists()
    assert {file["state"] for file in first["files"]} == {"compacted"}
    assert all(file["blocks"] == 1 < file["blocks_before"] for file in first["files"])
    assert all(file["bytes"] < file["bytes_before"] for file in first["files"])
    assert content(lake) == before
    again = whole_feed(lake)
    for name in ("ts_event", "ts_recv", "kind", "row_start", "ref", "side", "px_ticks", "qty_lots", "aux"):
        assert np.array_equal(getattr(feed, name), getattr(again, name)), name
    assert all(entry["problems"] == [] for entry in Lake(lake).verify())
    after = commands.info(lake)
    for one, other in zip(infos["feeds"], after["feeds"], strict=True):
        assert (one["recordings"], one["clocks"], one["instrument"]) == (
            other["recordings"], other["clocks"], other["instrument"],
        )  # fmt: skip
    files = whole(lake)
    second = commands.compact(lake)
    assert {file["state"] for file in second["files"]} == {"as it was"} and whole(lake) == files
    # what was written in full blocks from the start is what compaction makes of small ones
    full = make(tmp_path / "full" if (tmp_path / "full").mkdir() is None else tmp_path, monkeypatch, 1 << 16)
    assert content(full) == before and [len(DayFile(p).blocks) for p in Lake(full).feed(*FEED).paths] == [1, 1]


def test_blocks_are_filled_up_to_their_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = make(tmp_path, monkeypatch)
    before = content(lake)
    monkeypatch.setattr("recorders.compact.BLOCK_MESSAGES", 130)
    monkeypatch.setattr("recorders.compact.BLOCK_ROWS", 250)
    commands.compact(lake, *FEED)
    blocks = DayFile(Lake(lake).feed(*FEED).paths[0]).blocks
    assert len(blocks) > 2 and all(block.count <= 130 and block.rows <= 250 for block in blocks)
    assert content(lake) == before
    assert {file["state"] for file in commands.compact(lake, *FEED)["files"]} == {"as it was"}


def test_a_compaction_that_would_lose_a_message_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = make(tmp_path, monkeypatch)
    before = whole(lake)
    full = compact_module._full_blocks
    monkeypatch.setattr(compact_module, "_full_blocks", lambda blocks: (b.cut(0, len(b) - 1) for b in full(blocks)))
    with pytest.raises(InputError, match="would not hold the same after compaction; it is left as it is"):
        commands.compact(lake)
    assert whole(lake) == before and not list(lake.rglob(f".*{PARTIAL}"))


def test_a_part_of_the_lake_is_compacted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = make(tmp_path, monkeypatch)
    assert {file["symbol"] for file in commands.compact(lake, symbol="ETHUSDT")["files"]} == {"ETHUSDT"}
    assert len(DayFile(Lake(lake).feed(*FEED).paths[0]).blocks) > 3


def test_compaction_waits_for_an_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = make(tmp_path, monkeypatch)
    with writing(lake), pytest.raises(InputError, match="another import"):
        commands.compact(lake)


def test_a_damaged_file_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = make(tmp_path, monkeypatch)
    path = Lake(lake).feed(*FEED).paths[0]
    good, before = path.read_bytes(), content(lake)
    refused = 0
    for place in range(100, len(good) * 2 // 3, len(good) // 20):
        damaged = bytearray(good)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        try:
            commands.compact(lake, *FEED)
        except InputError as error:
            refused += 1
            assert "damaged" in str(error) and path.read_bytes() == damaged
        else:  # it was in a checkpoint, which compaction makes anew
            assert content(lake) == before
        assert not list(lake.rglob("*.partial"))
    assert refused >= 5


KILLED = """
import os, sys
from recorders import commands, compact, dayfile, files
place, survive = sys.argv[2], int(sys.argv[3])
def dying(real):
    def call(*arguments, **named):
        global survive
        survive -= 1
        if survive < 0:
            os.kill(os.getpid(), 9)
        return real(*arguments, **named)
    return call
owner = {"publish": compact, "sync_folder": files, "write": dayfile.DayWriter, "close": dayfile.DayWriter}[place]
setattr(owner, place, dying(getattr(owner, place)))
commands.compact(sys.argv[1])
"""


@pytest.mark.parametrize(
    ("place", "survive"), [("publish", 0), ("publish", 2), ("sync_folder", 0), ("write", 0), ("close", 1)]
)
def test_a_kill_leaves_the_old_file_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, survive: int
) -> None:
    lake = make(tmp_path, monkeypatch)
    before = content(lake)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(lake), place, str(survive)],
        check=False, timeout=60, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == -9
    assert content(lake) == before
    assert all(entry["problems"] == [] for entry in Lake(lake).verify())
    result = commands.compact(lake)
    assert all(file["blocks"] == 1 for file in result["files"]) and content(lake) == before
    assert not list(lake.rglob("*.partial"))
