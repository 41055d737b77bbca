"""The importer on test-made captures: what it keeps, what it counts, what it names."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from matching.codes import (
    BBO,
    DEPTH,
    FORCE,
    GAP,
    GAP_DISCONNECT,
    GAP_SEQUENCE,
    GAP_SESSION_END,
    MARK,
    OFFBOOK,
    SELL,
    SNAPSHOT,
    TRADE,
)
from recorders.captures import import_captures, venue_of
from recorders.lake import Lake
from tests.recorders.captures import MS, START_MS, Line, Market, import_lines, replay, whole_feed, write
from venues import known_instrument
from venues.errors import InputError


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


def test_a_whole_recording_is_taken_over_message_by_message(tmp_path: Path, lake: Path) -> None:
    market = Market().run(200)
    (report,) = import_lines([write(tmp_path / "day.gz", market.lines)], lake)
    assert (report.gaps, report.crossed, report.bbo_different, report.malformed, report.reordered) == (0, 0, 0, 0, 0)
    assert report.bbo_equal > 20
    assert report.snapshots == 1 and report.diffs_before_snapshot > 0
    assert report.lines == len(market.lines) == report.messages + report.diffs_before_snapshot
    feed = whole_feed(lake)
    assert len(feed) == report.messages and feed.rows == report.rows
    books = replay(feed)
    assert [book == market.truth[update_id] for _, update_id, book in books] == [True] * len(books)
    assert Lake(lake).verify()[0]["problems"] == []


def test_depth_that_no_snapshot_joins_is_named(tmp_path: Path, lake: Path) -> None:
    """Nothing is missing in such a capture, so it has no gap; yet its book is never known."""
    lines = [line for line in Market().run(50).lines if b"lastUpdateId" not in line.text()]
    report = import_captures([write(tmp_path / "day", lines)], lake)
    (recording,) = report.recordings
    assert (recording.snapshots, recording.gaps, recording.stale_at_end) == (0, 0, True)
    assert report.problems.counts["no_snapshot"] == 1
    assert "the book is unknown" in str(report.problems.named[-1])


def test_the_client_sees_the_same_book_in_its_own_order(tmp_path: Path, lake: Path) -> None:
    market = Market(seed=3).run(150)
    import_lines([write(tmp_path / "day", market.lines)], lake)
    feed = whole_feed(lake)
    books = replay(feed, np.argsort(feed.ts_recv, kind="stable").tolist())
    assert len(books) > 100
    assert all(book == market.truth[update_id] for _, update_id, book in books)


def test_venue_order_puts_trades_before_quotes_before_depth_before_marks(tmp_path: Path, lake: Path) -> None:
    market = Market(seed=5).run(80)
    import_lines([write(tmp_path / "day", market.lines)], lake)
    feed = whole_feed(lake)
    rank = {TRADE: 0, BBO: 1, GAP: 2, SNAPSHOT: 2, DEPTH: 2, MARK: 3}
    keys = [(int(t), rank[int(k)]) for t, k in zip(feed.ts_event, feed.kind, strict=True)]
    assert keys == sorted(keys)


@pytest.mark.parametrize("unit_ns", [1, 1000, 1_000_000])
def test_the_unit_of_receive_times_is_found(tmp_path: Path, lake: Path, unit_ns: int) -> None:
    market = Market().run(40)
    report = import_captures([write(tmp_path / "day", market.lines, unit_ns)], lake)
    assert report.files[0]["unit_ns"] == unit_ns
    assert report.recordings[0].first_recv_ns == market.lines[0].recv_ns // unit_ns * unit_ns


# -- the mutations of the acceptance


def test_one_lost_diff_is_one_gap_and_stale_to_the_end(tmp_path: Path, lake: Path) -> None:
    market = Market().run(200)
    places = market.diffs()
    lost = market.lines[places[100]].message["data"]
    before, after = (market.lines[places[k]].message["data"] for k in (99, 101))
    (report,) = import_lines(
        [write(tmp_path / "day", market.lines[: places[100]] + market.lines[places[100] + 1 :])], lake
    )
    assert (report.gaps, report.resyncs, report.stale_at_end, report.crossed) == (1, 0, True, 0)
    (gap,) = report.gap_list
    assert (gap["first_lost_id"], gap["last_lost_id"]) == (before["u"] + 1, lost["u"])
    assert gap["span_ns"] == (after["T"] - before["T"]) * MS
    assert gap["start_ns"] == before["T"] * MS and gap["end_ns"] is None and not gap["resynced"]
    assert gap["stale_ns"] == report.stale_ns == report.last_ns - before["T"] * MS
    feed = whole_feed(lake)
    (at,) = np.flatnonzero(feed.kind == GAP)
    assert feed.aux[feed.ref[at] - feed.aux_base].tolist() == [GAP_SEQUENCE, before["u"] + 1, lost["u"], gap["span_ns"]]
    assert max(message for message, _, _ in replay(feed)) < at
    assert Lake(lake).gaps()[0]["first_lost_id"] == before["u"] + 1


@pytest.mark.parametrize("diffs_later", [1, 20, 60])
def test_a_snapshot_after_the_gap_is_one_resync(tmp_path: Path, lake: Path, diffs_later: int) -> None:
    market = Market().run(200)
    places = market.diffs()
    later = market.lines[places[100 + diffs_later]]
    data = later.message["data"]
    lines = market.lines[: places[100]] + market.lines[places[100] + 1 :]
    market.lines = lines
    market.add_snapshot(data["u"], data["T"], later.recv_ns + 1)
    (report,) = import_lines([write(tmp_path / "day", market.lines)], lake)
    assert (report.gaps, report.resyncs, report.snapshots, report.stale_at_end) == (1, 1, 2, False)
    assert report.gap_list[0]["resynced"] and report.gap_list[0]["end_ns"] == data["T"] * MS
    assert report.diffs_before_snapshot >= diffs_later - 1 and report.bbo_different == 0
    books = replay(whole_feed(lake))
    assert all(book == market.truth[update_id] for _, update_id, book in books)
    assert books[-1][1] == max(market.truth)


@pytest.mark.parametrize("apart", [1, 2, 50])
def test_two_swapped_lines_are_restored_and_named(tmp_path: Path, lake: Path, apart: int) -> None:
    market = Market().run(100)
    clean = tmp_path / "clean"
    import_lines([write(tmp_path / "day", market.lines)], clean)
    a = market.diffs()[50]
    lines = list(market.lines)
    lines[a], lines[a + apart] = lines[a + apart], lines[a]
    report = import_captures([write(tmp_path / "swapped", lines)], lake)
    (recording,) = report.recordings
    assert (recording.gaps, recording.reordered, recording.malformed) == (0, 2, 0)
    named = [p for p in report.problems.named if p.kind == "reordered"]
    assert sorted(p.line for p in named) == [a + 1, a + apart + 1]
    assert all(p.file == "swapped" and "restored" in p.why for p in named)
    one, two = whole_feed(clean), whole_feed(lake)
    for name in ("ts_event", "ts_recv", "kind", "row_start", "side", "px_ticks", "qty_lots"):
        assert np.array_equal(getattr(one, name), getattr(two, name)), name


def test_a_line_cut_in_half_is_named_and_the_rest_is_kept(tmp_path: Path, lake: Path) -> None:
    market = Market().run(60)
    texts = [line.text() for line in market.lines]
    cut = next(k for k, line in enumerate(market.lines) if line.message.get("data", {}).get("e") == "trade")
    texts[cut] = texts[cut][: len(texts[cut]) // 2]
    report = import_captures([write(tmp_path / "day", texts)], lake)
    (recording,) = report.recordings
    assert (recording.malformed, recording.gaps, report.files[0]["malformed"]) == (1, 0, 1)
    (problem,) = report.problems.named
    assert str(problem).startswith(f"day:{cut + 1}: ") and "truncated" in problem.why


def test_a_cut_diff_is_malformed_and_a_gap(tmp_path: Path, lake: Path) -> None:
    market = Market().run(60)
    texts = [line.text() for line in market.lines]
    cut = market.diffs()[40]
    texts[cut] = texts[cut][: len(texts[cut]) // 2]
    report = import_captures([write(tmp_path / "day", texts)], lake)
    assert (report.recordings[0].malformed, report.recordings[0].gaps) == (1, 1)
    assert {p.kind: p.line for p in report.problems.named} == {"malformed": cut + 1, "gap": market.diffs()[41] + 1}


def test_an_empty_file_says_so_and_does_not_stop_the_others(tmp_path: Path, lake: Path) -> None:
    empty = write(tmp_path / "empty", [])
    good = write(tmp_path / "good.gz", Market().run(30).lines)
    report = import_captures([empty, good], lake)
    assert len(report.recordings) == 1
    assert [str(p) for p in report.problems.named] == ["empty: the file is empty: nothing to import"]
    alone = import_captures([empty], tmp_path / "other")
    assert alone.recordings == [] and alone.problems.counts == {"empty": 1}


def test_every_way_a_line_can_be_wrong_is_named(tmp_path: Path, lake: Path) -> None:
    market = Market().run(40)
    good = [line.text() for line in market.lines]
    at = good[20].split(b" ")[0]
    bad = {
        b"": "receive time",
        b"hello": "receive time",
        b"123 {}": "receive time",
        at: "receive time",
        at[:16] + b" {}": "in us",
        at + b" ": "",
        at + b' {"e":"trade"': "truncated",
        at + b" \xff\xfe{}": "",
        at + b" [1,2": "truncated",
        at + b" 1e400": "",
        at + b" " + b"[" * 100_000: "nested",
        at + b' {"e":"depthUpdate","s":"BTCUSDT","E":1,"T":1,"U":5,"u":6,"pu":4,"b":[["1.05","1"]],"a":[]}': "grid",
        at + b' {"e":"trade","s":"BTCUSDT","E":1,"T":1,"t":1,"p":"NaN","q":"1","m":true}': "NaN",
        at
        + b' {"e":"trade","s":"BTCUSDT","E":1,"T":1,"t":1,"p":"10.0","q":"1","X":"MARKET","m":true}': "more than a day",
        at + b' {"code":-1121,"msg":"Invalid symbol."}': "-1121",
    }
    report = import_captures([write(tmp_path / "day", good[:20] + list(bad) + good[20:])], lake)
    assert report.problems.counts == {"malformed": len(bad)}
    assert [p.line for p in sorted(report.problems.named, key=lambda p: p.line)] == list(range(21, 21 + len(bad)))
    for problem, (raw, why) in zip(sorted(report.problems.named, key=lambda p: p.line), bad.items(), strict=True):
        assert why in problem.why, (raw[:60], problem.why)
    (recording,) = report.recordings
    assert recording.gaps == 0 and recording.bbo_different == 0
    assert len(whole_feed(lake)) == len(market.lines) - recording.diffs_before_snapshot


def test_a_damaged_gzip_is_read_to_the_damage(tmp_path: Path, lake: Path) -> None:
    market = Market().run(200)
    path = write(tmp_path / "day.gz", market.lines)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    report = import_captures([path], lake)
    assert report.problems.counts["damaged"] == 1
    (damage,) = [p for p in report.problems.named if p.kind == "damaged"]
    assert damage.line > 100 and "damaged from here on" in damage.why
    assert report.recordings[0].gaps == 0 and report.recordings[0].messages > 100


def test_an_endless_line_is_bounded(tmp_path: Path, lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recorders.lines.LINE_BYTES_MAX", 1 << 16)
    market = Market().run(30)
    texts = [line.text() for line in market.lines]
    path = write(tmp_path / "day.gz", [*texts[:10], b"1" * (1 << 20), *texts[10:]])
    report = import_captures([path], lake)
    assert report.problems.counts == {"malformed": 1}
    assert report.problems.named[0].line == 11 and "longer than" in report.problems.named[0].why


# -- repeated, unknown, other streams


def test_replayed_lines_change_nothing(tmp_path: Path, lake: Path) -> None:
    market = Market(seed=9).run(120)
    clean = tmp_path / "clean"
    import_lines([write(tmp_path / "day", market.lines)], clean)
    again = [Line(market.lines[150].recv_ns + k, line.message) for k, line in enumerate(market.lines[60:150], 1)]
    again = [line for line in again if "lastUpdateId" not in line.message]
    report = import_captures([write(tmp_path / "twice", market.lines[:151] + again + market.lines[151:])], lake)
    (recording,) = report.recordings
    assert recording.duplicates == len(again) and recording.gaps == 0
    one, two = whole_feed(clean), whole_feed(lake)
    for name in ("ts_event", "ts_recv", "kind", "row_start", "side", "px_ticks", "qty_lots"):
        assert np.array_equal(getattr(one, name), getattr(two, name)), name


def test_a_diff_that_overtook_its_predecessor_waits_for_it(tmp_path: Path, lake: Path) -> None:
    market = Market().run(80)
    a, b = market.diffs()[40], market.diffs()[41]
    market.lines[a].message, market.lines[b].message = market.lines[b].message, market.lines[a].message
    (report,) = import_lines([write(tmp_path / "day", market.lines)], lake)
    assert report.gaps == 0 and report.bbo_different == 0
    feed = whole_feed(lake)
    for order in (None, np.argsort(feed.ts_recv, kind="stable").tolist()):
        assert all(book == market.truth[update_id] for _, update_id, book in replay(feed, order))


def test_unknown_streams_are_counted_by_name(tmp_path: Path, lake: Path) -> None:
    market = Market().run(30)
    market.emit("kline_1m", {"e": "kline", "E": market.now_ms, "s": "BTCUSDT", "k": {}})
    market.emit(
        "depth5@100ms",
        {
            "e": "depthUpdate",
            "E": market.now_ms,
            "T": market.now_ms,
            "s": "BTCUSDT",
            "U": 1,
            "u": 2,
            "pu": 0,
            "b": [],
            "a": [],
        },
    )
    other = Market(symbol="NOSUCHUSDT")
    other.now_ms = market.now_ms + 100
    other.trade()
    other.trade()
    report = import_captures([write(tmp_path / "day", market.lines + other.lines)], lake)
    assert report.unused == {"BTCUSDT kline": 1, "BTCUSDT partial book": 1, "NOSUCHUSDT trade": 2}
    assert [p.kind for p in report.problems.named] == ["unknown_instrument"]
    assert "NOSUCHUSDT" in report.problems.named[0].why and "tick_size" in report.problems.named[0].why


def test_prints_that_met_no_order_are_offbook(tmp_path: Path, lake: Path) -> None:
    market = Market().run(30)
    market.trade(origin="INSURANCE_FUND", ticks=305_725)
    (report,) = import_lines([write(tmp_path / "day", market.lines)], lake)
    assert (report.offbook, report.trades_missing) == (1, 0)
    feed = whole_feed(lake)
    (at,) = np.flatnonzero(feed.kind == OFFBOOK)
    assert feed.px_ticks[feed.row_start[at]] == 305_725 and feed.ref[at] == market.trade_id


def test_marks_carry_exact_integers(tmp_path: Path, lake: Path) -> None:
    market = Market().run(10)
    market.mark(rate="-0.00001234", next_ms=START_MS + 1000)
    (report,) = import_lines([write(tmp_path / "day", market.lines)], lake)
    feed = whole_feed(lake)
    marks = np.flatnonzero(feed.kind == MARK)
    assert len(marks) == report.marks == 2
    row = feed.aux[feed.ref[marks[-1]] - feed.aux_base]
    assert row.tolist() == [2_999_991_234_567, 3_000_100_000_001, -12_340_000, (START_MS + 1000) * MS]


def test_forced_orders_and_aggregate_trades(tmp_path: Path, lake: Path) -> None:
    market = Market().run(20)
    market.emit(
        "forceOrder",
        {
            "e": "forceOrder",
            "E": market.now_ms + 1,
            "o": {
                "s": "BTCUSDT",
                "S": "SELL",
                "o": "LIMIT",
                "f": "IOC",
                "q": "0.014",
                "p": "29910.1",
                "ap": "29910.1",
                "X": "FILLED",
                "l": "0.014",
                "z": "0.014",
                "T": market.now_ms,
            },
        },
    )
    aggregate = {
        "e": "aggTrade",
        "E": market.now_ms + 1,
        "T": market.now_ms,
        "s": "BTCUSDT",
        "a": 5,
        "f": 1,
        "l": 3,
        "p": "30000.0",
        "q": "0.010",
        "m": False,
    }
    market.emit("aggTrade", aggregate)
    (report,) = import_lines([write(tmp_path / "day", market.lines)], lake)
    assert (report.forced, report.aggregates_unused) == (1, 1)
    feed = whole_feed(lake)
    (at,) = np.flatnonzero(feed.kind == FORCE)
    row = int(feed.row_start[at])
    assert (feed.side[row], feed.px_ticks[row], feed.qty_lots[row]) == (SELL, 299_101, 14)
    only = [x for x in market.lines if x.message.get("data", {}).get("e") != "trade"]
    (report,) = import_lines([write(tmp_path / "aggregates", only)], tmp_path / "other")
    assert (report.trades, report.aggregates_unused) == (1, 0)
    feed = whole_feed(tmp_path / "other")
    assert feed.ref[feed.kind == TRADE].tolist() == [3]


# -- recordings


def test_day_files_of_one_session_are_one_recording(tmp_path: Path, lake: Path) -> None:
    market = Market(now_ms=1_700_006_399_000 - 86_400_000 + 86_400_000).run(200)
    day = 86_400_000 * MS
    first = [x for x in market.lines if x.recv_ns // day == market.lines[0].recv_ns // day]
    rest = market.lines[len(first) :]
    assert rest
    paths = [write(tmp_path / "b", rest), write(tmp_path / "a", first)]
    (report,) = import_lines(paths, lake)
    assert (report.gaps, report.resyncs, report.bbo_different) == (0, 0, 0)
    assert len(report.sources) == 2 and len(Lake(lake).feed("binance_usdm", "BTCUSDT").paths) == 2
    books = replay(whole_feed(lake))
    assert books[-1][1] == max(market.truth) and all(book == market.truth[u] for _, u, book in books)
    assert [entry["problems"] for entry in Lake(lake).verify()] == [[], []]


def test_day_files_imported_one_by_one_carry_the_book_on(tmp_path: Path, lake: Path) -> None:
    market = Market(now_ms=1_700_006_399_000).run(200)
    day = 86_400_000 * MS
    first = [x for x in market.lines if x.recv_ns // day == market.lines[0].recv_ns // day]
    a, b = write(tmp_path / "a", first), write(tmp_path / "b", market.lines[len(first) :])
    (one,) = import_lines([a], lake)
    (two,) = import_lines([b], lake)
    assert two.continues == one.recording and (two.gaps, two.stale_at_end, two.bbo_different) == (0, False, 0)
    assert Lake(lake).gaps() == []
    feed = whole_feed(lake)
    assert not (feed.kind == GAP).any()
    books = replay(feed)
    assert books[-1][1] == max(market.truth) and all(book == market.truth[u] for _, u, book in books)
    (again,) = import_lines([b], lake)
    assert again.continues == one.recording
    assert [entry["problems"] for entry in Lake(lake).verify()] == [[], []]
    (alone,) = import_lines([b], tmp_path / "other")
    assert alone.continues == "" and alone.stale_at_end


@pytest.mark.parametrize("same_file", [True, False])
def test_a_restart_of_the_recorder_is_another_recording_not_a_gap(tmp_path: Path, lake: Path, same_file: bool) -> None:
    market = Market(seed=2).run(60)
    first = list(market.lines)
    market.lines.clear()
    for _ in range(40):  # the venue goes on unobserved
        market.step()
        market.lines.clear()
    market.now_ms += 120_000
    market.step()
    market.snapshot(1 * MS)
    market.run(60, snapshot_at=-1)
    second = market.lines
    paths = (
        [write(tmp_path / "one", first + second)]
        if same_file
        else [write(tmp_path / "one", first), write(tmp_path / "two", second)]
    )
    one, two = import_lines(paths, lake)
    assert (one.gaps, two.gaps, one.resyncs, two.resyncs) == (0, 0, 0, 0)
    assert (one.stale_at_end, two.stale_at_end) == (False, False)
    feed = whole_feed(lake)
    (at,) = np.flatnonzero(feed.kind == GAP)
    payload = feed.aux[feed.ref[at] - feed.aux_base]
    assert payload[0] == GAP_SESSION_END and payload[3] == two.first_ns - one.last_ns
    assert feed.ts_event[at] == one.last_ns and feed.ts_recv[at] >= feed.ts_recv[:at].max()
    assert all(book == market.truth[u] for _, u, book in replay(feed))
    kinds = [gap["kind"] for gap in Lake(lake).gaps()]
    assert kinds == ["session_end"]


def test_silence_without_loss_is_the_same_recording(tmp_path: Path, lake: Path) -> None:
    market = Market().run(30)
    market.now_ms += 300_000
    market.trade()
    market.run(30, snapshot_at=-1)
    (report,) = import_lines([write(tmp_path / "day", market.lines)], lake)
    assert report.gaps == 0 and report.lines == len(market.lines)


def test_a_short_outage_is_a_gap_by_disconnect(tmp_path: Path, lake: Path) -> None:
    market = Market().run(30)
    first = list(market.lines)
    market.lines.clear()
    for _ in range(3):
        market.step()
    market.lines.clear()
    market.now_ms += 10_000
    market.step()
    market.snapshot(1 * MS)
    market.run(30, snapshot_at=-1)
    (report,) = import_lines([write(tmp_path / "day", first + market.lines)], lake)
    assert (report.gaps, report.resyncs) == (1, 1)
    assert report.gap_list[0]["kind"] == "disconnect"
    feed = whole_feed(lake)
    assert feed.aux[feed.ref[feed.kind == GAP] - feed.aux_base][0][0] == GAP_DISCONNECT


# -- snapshots


def test_a_snapshot_older_than_the_diffs_is_refused(tmp_path: Path, lake: Path) -> None:
    market = Market().run(60, snapshot_at=-1)
    old = min(market.truth)
    lines = market.lines[10:]
    market.lines = lines
    market.add_snapshot(old, START_MS, lines[5].recv_ns + 1)
    report = import_captures([write(tmp_path / "day", market.lines)], lake)
    (recording,) = report.recordings
    assert (recording.snapshots, recording.snapshots_refused, recording.stale_at_end) == (0, 1, True)
    assert "older than the first depth update" in report.problems.named[0].why


def test_a_snapshot_newer_than_every_diff_waits_for_its_own(tmp_path: Path, lake: Path) -> None:
    market = Market(seed=4).run(60, snapshot_at=-1)
    target = market.lines[market.diffs()[30]].message["data"]
    market.add_snapshot(target["u"], target["T"], market.lines[market.diffs()[10]].recv_ns + 1)
    (report,) = import_lines([write(tmp_path / "day", market.lines)], lake)
    assert (report.snapshots, report.snapshots_refused, report.diffs_before_snapshot) == (1, 0, 30)
    assert all(book == market.truth[u] for _, u, book in replay(whole_feed(lake)))


def test_snapshots_while_the_book_is_valid_are_counted_only(tmp_path: Path, lake: Path) -> None:
    market = Market().run(60)
    market.snapshot()
    market.run(20, snapshot_at=-1)
    (report,) = import_lines([write(tmp_path / "day", market.lines)], lake)
    assert (report.snapshots, report.snapshots_redundant) == (1, 1)


def test_snapshots_without_a_symbol_go_to_the_market_whose_prices_they_have(tmp_path: Path, lake: Path) -> None:
    btc, eth = Market(seed=1), Market(seed=2, symbol="ETHUSDT", centre=180_000)
    eth.price = lambda ticks: f"{ticks // 100}.{ticks % 100:02d}"  # type: ignore[method-assign]
    btc.run(40)
    eth.run(40)
    lines = sorted(btc.lines + eth.lines, key=lambda x: x.recv_ns)
    one, two = import_lines([write(tmp_path / "both", lines)], lake)
    assert (one.instrument, two.instrument) == ("BTCUSDT", "ETHUSDT")
    assert [(r.snapshots, r.gaps, r.bbo_different) for r in (one, two)] == [(1, 0, 0)] * 2
    for market, symbol in ((btc, "BTCUSDT"), (eth, "ETHUSDT")):
        assert all(book == market.truth[u] for _, u, book in replay(whole_feed(lake, symbol=symbol)))


# -- what is taken, what is refused


def test_symbols_tell_the_venue() -> None:
    assert venue_of("BTCUSDT") == venue_of("BTCUSDT_250328") == venue_of("ETHUSDC") == "binance_usdm"
    assert venue_of("BTCUSD_PERP") == venue_of("BTCUSD_250328") == "binance_coinm"


def test_only_the_instrument_asked_for_is_taken(tmp_path: Path, lake: Path) -> None:
    btc, eth = Market(seed=1).run(20), Market(seed=2, symbol="ETHUSDT", centre=180_000)
    eth.trade()
    path = write(tmp_path / "both", btc.lines + eth.lines)
    (report,) = import_lines([path], lake, instrument=known_instrument("binance_usdm", "BTCUSDT"))
    assert report.instrument == "BTCUSDT"


def test_importing_again_replaces_and_other_files_are_refused(tmp_path: Path, lake: Path) -> None:
    market = Market().run(60)
    path = write(tmp_path / "day", market.lines)
    import_lines([path], lake)
    before = (lake / "binance_usdm/BTCUSDT/2023-11-14.parquet").read_bytes()
    report = import_captures([path], lake)
    assert len(report.replaced) == 1 and (lake / "binance_usdm/BTCUSDT/2023-11-14.parquet").read_bytes() == before
    part = write(tmp_path / "part", market.lines[10:])
    with pytest.raises(InputError, match="overlaps"):
        import_lines([part], lake)
    assert (lake / "binance_usdm/BTCUSDT/2023-11-14.parquet").read_bytes() == before
    assert list(lake.rglob("*.partial")) == [] and list(lake.glob(".spool-*")) == []
    assert import_lines([part], lake, replace=True)[0].stale_at_end is False


def test_another_recording_of_the_same_day_is_added(tmp_path: Path, lake: Path) -> None:
    morning, evening = Market(seed=1).run(60), Market(seed=2, now_ms=START_MS + 3_000_000, update_id=50_000)
    evening.previous_id = 50_000
    evening.run(60)
    import_lines([write(tmp_path / "evening", evening.lines)], lake)
    import_lines([write(tmp_path / "morning", morning.lines)], lake)
    together = tmp_path / "together"
    import_lines([tmp_path / "evening", tmp_path / "morning"], together)
    assert [r["recording"] for r in Lake(lake).info()[0]["recordings"]] == [
        r["recording"] for r in Lake(together).info()[0]["recordings"]
    ]
    assert Lake(lake).verify()[0]["problems"] == []
    one, two = whole_feed(lake), whole_feed(together)
    for name in ("ts_event", "ts_recv", "kind", "ref", "row_start", "side", "px_ticks", "qty_lots", "aux"):
        assert np.array_equal(getattr(one, name), getattr(two, name)), name


def test_wrong_arguments_say_what_is_wrong(tmp_path: Path, lake: Path) -> None:
    with pytest.raises(InputError, match="no files"):
        import_lines([], lake)
    with pytest.raises(InputError, match="cannot be read"):
        import_lines([tmp_path / "absent"], lake)
    with pytest.raises(InputError, match="binance_usdm"):
        import_lines([write(tmp_path / "x", Market().run(3).lines)], lake, venue="binance")
    path = write(tmp_path / "y", Market().run(3).lines)
    with pytest.raises(InputError, match="twice"):
        import_lines([path, path], lake)


def test_gzip_is_told_by_content_not_by_name(tmp_path: Path, lake: Path) -> None:
    path = tmp_path / "capture.dat"
    path.write_bytes(gzip.compress(b"".join(line.text() + b"\n" for line in Market().run(20).lines)))
    assert len(import_lines([path], lake)) == 1


def test_one_of_two_files_again_is_refused(tmp_path: Path, lake: Path) -> None:
    """Alone it would be another recording: its clock correction and its continuation would change unnoticed."""
    market = Market().run(60)
    first, second = write(tmp_path / "first", market.lines[:40]), write(tmp_path / "second", market.lines[40:])
    import_lines([first, second], lake)
    before = (lake / "binance_usdm/BTCUSDT/2023-11-14.parquet").read_bytes()
    with pytest.raises(InputError, match="more or other files"):
        import_lines([first], lake)
    assert (lake / "binance_usdm/BTCUSDT/2023-11-14.parquet").read_bytes() == before
