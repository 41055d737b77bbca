"""Verification finds what is wrong and names it; what is right, and what a recording honestly lacks, it lets pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matching.codes import BBO, DEPTH, GAP, MARK, SNAPSHOT, TRADE
from recorders import commands
from recorders import writer as writer_module
from recorders.blocks import MessageBlock
from recorders.dayfile import DayFile, DayWriter
from recorders.hot import Shape
from recorders.lake import Lake
from recorders.verify import IdRuns
from tests.recorders.captures import Market, import_lines, write

FEED = ("binance_usdm", "BTCUSDT")
Change = Callable[[int, MessageBlock], None]


def imported(folder: Path, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Path:
    """A lake of one day in blocks of 50 messages, with a gap and a resync."""
    monkeypatch.setattr(writer_module, "BLOCK_MESSAGES", 50)
    market = Market(seed=11, **more).run(200)
    lost = market.diffs()[120]
    market.lines.pop(lost)
    data = market.lines[market.diffs()[150]].message["data"]
    market.add_snapshot(data["u"], data["T"], market.lines[market.diffs()[150]].recv_ns + 1)
    import_lines([write(folder / "capture", market.lines)], folder / "lake")
    return folder / "lake"


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return imported(tmp_path, monkeypatch)


def rewrite(lake: Path, change: Change, about: Callable[[dict[str, Any]], None] = lambda about: None) -> None:
    """Write the day again with changed blocks and footer, digests and all: a consistent file that says wrong things."""
    from recorders.book import BookTrack

    (path,) = Lake(lake).feed(*FEED).paths
    file = DayFile(path)
    blocks = [(info, file.message_block(info), file.checkpoint(info)) for info in file.blocks]
    writer = DayWriter(path)
    for number, (info, block, levels) in enumerate(blocks):
        track = BookTrack()
        track.resume(levels, info)
        for name in ("ts_event", "ts_recv", "kind", "ref", "side", "px_ticks", "qty_lots", "aux"):
            setattr(block, name, np.array(getattr(block, name)))
        change(number, block)
        writer.write(block, info.recording, track)
    told = {key: value for key, value in file.about.items() if key != "format"}
    about(told)
    writer.finish(told, file.clock())


def verified(lake: Path) -> dict[str, Any]:
    (entry,) = Lake(lake).verify()
    assert len(entry["problems"]) >= len(entry["findings"])
    return entry


def checks(lake: Path) -> set[str]:
    return {finding["check"] for finding in verified(lake)["findings"]}


def nothing(number: int, block: MessageBlock) -> None:
    pass


def of_kind(block: MessageBlock, kind: int, which: int = 0) -> int:
    """The place of a message of a kind; a block without one makes the test choose another."""
    return int(np.flatnonzero(block.kind == kind)[which])


def test_an_honest_lake_passes_with_its_gap(lake: Path) -> None:
    entry = verified(lake)
    assert entry["problems"] == [] and entry["unproven"] == []
    assert entry["checked"]["gaps"] == 1 and entry["checked"]["bbo_equal"] > 50
    assert entry["checked"]["bbo_different"] == entry["checked"]["checksums_wrong"] == 0
    rewrite(lake, nothing)
    assert verified(lake)["problems"] == []


def test_an_update_id_that_goes_back_is_named(lake: Path) -> None:
    def change(number: int, block: MessageBlock) -> None:
        if number == 2:
            block.ref[of_kind(block, DEPTH, 5)] -= 500

    rewrite(lake, change)
    finding = next(one for one in verified(lake)["findings"] if one["check"] == "chain")
    assert finding["block"] == 2 and 100 <= finding["message"] < 150 and "without a snapshot" in finding["why"]
    assert finding["file"].endswith(".parquet")


def test_a_snapshot_may_go_back(lake: Path) -> None:
    """The venue counts afresh after a restart: the book is whole again, so nothing is broken."""
    started = False

    def change(number: int, block: MessageBlock) -> None:
        nonlocal started
        book = np.isin(block.kind, (DEPTH, SNAPSHOT, BBO))
        for j in np.flatnonzero(book).tolist():
            started = started or (number > 3 and block.kind[j] == SNAPSHOT)
            if started:
                block.ref[j] -= 1200

    rewrite(lake, change)
    assert started and "chain" not in checks(lake)


def test_a_trade_that_occurs_twice_is_named_across_blocks(lake: Path) -> None:
    first: list[int] = []

    def change(number: int, block: MessageBlock) -> None:
        trades = np.flatnonzero(block.kind == TRADE)
        if number == 0:
            first.append(int(block.ref[trades[0]]))
        if number == 4:
            block.ref[trades[-1]] = first[0]

    rewrite(lake, change)
    (finding,) = [one for one in verified(lake)["findings"] if one["check"] == "trades"]
    assert finding["block"] == 4 and f"trade {first[0]} occurs twice" in finding["why"]


def test_a_best_quote_that_the_book_contradicts_is_named(lake: Path) -> None:
    def change(number: int, block: MessageBlock) -> None:
        if number == 1:
            quote = of_kind(block, BBO, 3)
            block.qty_lots[block.row_start[quote]] += 1

    rewrite(lake, change)
    entry = verified(lake)
    assert entry["checked"]["bbo_different"] == 1
    finding = next(one for one in entry["findings"] if one["check"] == "quotes")
    assert finding["block"] in (1, 2) and finding["message"] is not None
    assert "footers" in {one["check"] for one in entry["findings"]}  # the report says that all were equal


def test_a_crossed_book_is_named(lake: Path) -> None:
    def change(number: int, block: MessageBlock) -> None:
        if number == 1:
            depth = next(
                j
                for j in np.flatnonzero(block.kind == DEPTH).tolist()
                if ((block.side == 0) & (block.qty_lots > 0))[block.row_start[j] : block.row_start[j + 1]].any()
            )
            rows = slice(int(block.row_start[depth]), int(block.row_start[depth + 1]))
            bids = np.flatnonzero((block.side[rows] == 0) & (block.qty_lots[rows] > 0))
            block.px_ticks[rows.start + bids[0]] += 200

    rewrite(lake, change)
    finding = next(one for one in verified(lake)["findings"] if one["check"] == "book")
    assert finding["block"] == 1 and finding["message"] is not None and "crossed" in finding["why"]


def test_a_print_far_from_the_book_and_a_mark_that_jumps_are_named(lake: Path) -> None:
    def change(number: int, block: MessageBlock) -> None:
        if number == 1:
            block.px_ticks[block.row_start[of_kind(block, TRADE, 1)]] *= 2
        if number == 2:
            mark = of_kind(block, MARK)
            block.aux[block.ref[mark], 0] = block.aux[block.ref[mark], 0] * 3 // 2

    rewrite(lake, change)
    entry = verified(lake)
    assert {one["check"] for one in entry["findings"]} == {"trades", "marks"}
    assert entry["checked"]["prints_outside"] >= 1
    assert any("jumps" in one["why"] and one["block"] == 2 for one in entry["findings"])


def test_times_that_cannot_be_are_named(lake: Path) -> None:
    def change(number: int, block: MessageBlock) -> None:
        if number == 1:
            block.ts_recv[7] = block.ts_event[7] - 1

    rewrite(lake, change)
    finding = next(one for one in verified(lake)["findings"] if one["check"] == "order")
    assert (finding["block"], finding["message"]) == (1, 57)


@pytest.mark.parametrize("name", ["messages", "rows", "gaps", "bbo_equal", "crossed"])
def test_a_report_that_counts_otherwise_is_named(lake: Path, name: str) -> None:
    def about(told: dict[str, Any]) -> None:
        told["recordings"][0][name] += 1

    rewrite(lake, nothing, about)
    assert any(f"says {name}" in problem for problem in verified(lake)["problems"])


def test_a_gap_that_the_report_does_not_know_is_named(lake: Path) -> None:
    def about(told: dict[str, Any]) -> None:
        told["recordings"][0]["gap_list"][0]["start_ns"] += 1

    rewrite(lake, nothing, about)
    assert checks(lake) == {"chain"}
    kinds = DayFile(Lake(lake).feed(*FEED).paths[0])
    assert sum(int((kinds.message_block(info).kind == GAP).sum()) for info in kinds.blocks) == 1


def test_a_day_that_is_absent_leaves_totals_unproven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = imported(tmp_path, monkeypatch, now_ms=1_700_006_398_000)
    first, second = Lake(lake).feed(*FEED).paths
    assert [entry["problems"] + entry["unproven"] for entry in Lake(lake).verify()] == [[], []]
    kept = first.read_bytes()
    first.unlink()
    (entry,) = Lake(lake).verify()
    assert entry["problems"] == [] and "a day of it is absent" in entry["unproven"][0]
    first.write_bytes(kept)
    second.unlink()
    (entry,) = Lake(lake).verify()
    assert entry["problems"] == [] and entry["unproven"]


def test_many_findings_are_counted(lake: Path) -> None:
    def change(number: int, block: MessageBlock) -> None:
        block.ts_recv[::2] = block.ts_event[::2] - 1
        block.px_ticks[np.repeat(block.kind == TRADE, np.diff(block.row_start))] *= 2

    rewrite(lake, change)
    entry = verified(lake)
    trades = [one for one in entry["findings"] if one["check"] == "trades"]
    assert len(trades) == 20 and any("more findings of trades" in problem for problem in entry["problems"])


def test_a_cache_entry_that_says_something_else_is_named_and_removed(lake: Path) -> None:
    held = Lake(lake)
    source = held.source(*FEED)
    while source.next_window() is not None:
        pass
    assert verified(lake)["problems"] == []
    cache = held.cache()
    assert cache is not None
    (path,) = held.feed(*FEED).paths
    file = DayFile(path)
    info = file.blocks[2]
    lie = file.window(info, 0)
    lie.px_ticks = lie.px_ticks + 1
    cache.write(file.digest, Shape(2, info.count, info.rows, info.aux), lie, 0)
    torn = cache.path_of(file.digest, 3)
    torn.write_bytes(torn.read_bytes()[:-1])
    assert [(one["check"], one["block"]) for one in verified(lake)["findings"]] == [("cache", 2), ("cache", 3)]
    assert verified(lake)["problems"] == []
    result = commands.verify(lake)
    assert result["ok"]


def test_damage_ends_with_a_finding_in_json_form(lake: Path) -> None:
    (path,) = Lake(lake).feed(*FEED).paths
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 3] ^= 4
    path.write_bytes(damaged)
    result = commands.verify(lake)
    (finding,) = result["files"][0]["findings"]
    assert not result["ok"] and finding["check"] == "bytes" and finding["file"] == str(path)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.integers(0, 60), max_size=30), max_size=8))
def test_id_runs_know_every_id_again(batches: list[list[int]]) -> None:
    runs, seen = IdRuns(), set[int]()
    for batch in batches:
        expected = {one for one in batch if one in seen or batch.count(one) > 1}
        assert set(runs.add(np.array(batch, np.int64)).tolist()) == expected
        seen |= set(batch)
        assert len(runs) == sum(one - 1 not in seen for one in seen)
