"""A live feed gives what the lake gives, at once: the same messages, in both orders, however the records arrive."""

from __future__ import annotations

import gzip
import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matching.codes import (
    BBO,
    DEPTH,
    GAP,
    GAP_CHECKSUM,
    GAP_DISCONNECT,
    GAP_RECORDER,
    GAP_SEQUENCE,
    GAP_SESSION_END,
    MARK,
    SNAPSHOT,
    TRADE,
)
from recorders.captures import import_captures
from recorders.lake import Lake
from recorders.live.feed import FOREVER, LiveFeed
from recorders.raw import STOPPING, Closed, Damage, Gap, RunBegan, RunEnded
from tests.recorders.captures import MS, SHARED, Line, Market
from tests.recorders.live_feeds import Records, Told, books, both_orders, captured, run, told
from venues import known_instrument
from venues.errors import InputError, InstrumentError

USDM = "binance_usdm"
BOOK = (DEPTH, SNAPSHOT, GAP)
INSTRUMENT = known_instrument(USDM, "BTCUSDT")
EARLIER_NS = 200 * MS


def records_of(lines: list[Line], symbol: str = "BTCUSDT") -> Records:
    found = Records(lines[0].recv_ns - EARLIER_NS).opened(USDM, 1, 99)
    return add(found, lines, symbol)


def add(found: Records, lines: list[Line], symbol: str = "BTCUSDT") -> Records:
    for line in lines:
        body = json.dumps(line.message, separators=(",", ":")).encode()
        if "lastUpdateId" in line.message:
            found.reply(line.recv_ns, body, symbol)
        else:
            found.frame(line.recv_ns, body)
    return found


def skewed(market: Market, lag_ns: int = 25 * MS) -> list[Line]:
    """The market's lines with the prints and marks on a slower way: what they say is older than the book at hand."""
    slow = ("trade", "markPriceUpdate")
    lines = [
        Line(line.recv_ns + lag_ns * (line.message.get("data", {}).get("e") in slow), line.message)
        for line in market.lines
    ]
    return sorted(lines, key=lambda line: line.recv_ns)


def live(records: Records, delay_ns: int = 200 * MS, **settings: Any) -> LiveFeed:
    """A feed that begins with the records and has taken all of them."""
    return run(LiveFeed([INSTRUMENT], delay_ns, 0, **settings), records.found, records.found[0].wall_ns)


def messages(records: Records, delay_ns: int = 200 * MS) -> list[Told]:
    return both_orders(live(records, delay_ns))[0]


def contents(found: list[Told], *kinds: int) -> list[Any]:
    return [message[2:] for message in found if not kinds or message[2] in kinds]


# -- captures: what is imported is what is told


CAPTURES = [
    (USDM, "BTCUSDT", "hftbacktest/examples/usdm/btcusdt_20240718.gz"),
    ("binance_coinm", "BTCUSD_PERP", "hftbacktest/examples/cm/btcusd_perp_20240808.gz"),
    ("hyperliquid", "BTC", "hftbacktest/examples/hyperliquid/btcusd_20250126.gz"),
]


@pytest.mark.parametrize(("venue", "symbol", "name"), CAPTURES)
def test_a_capture_gives_what_its_import_gives(venue: str, symbol: str, name: str, tmp_path: Path) -> None:
    if not (SHARED / name).exists():
        pytest.skip(f"{SHARED / name} is not there")
    path = tmp_path / "capture"
    with gzip.open(SHARED / name) as lines:
        path.write_bytes(b"".join(islice(lines, 5_000)))
    (report,) = import_captures([path], tmp_path / "lake", venue).recordings
    source = Lake(tmp_path / "lake").source(venue, symbol)
    lake: list[Told] = []
    while (window := source.next_window()) is not None:
        lake += told(window)
    records = captured(path, venue, symbol, earlier_ns=120_000 * MS)
    base_ns = max(0, MS - report.clock_offset_ns)  # what brings the least latency to 1 ms
    feed = LiveFeed([known_instrument(venue, symbol)], 200 * MS, base_ns)
    client, by_venue = both_orders(run(feed, records.found, records.found[0].wall_ns + base_ns))
    assert client and sorted(client) == sorted(by_venue)
    for kinds in ((DEPTH, SNAPSHOT, GAP), (TRADE,), (BBO,), (MARK,)):
        told_here = contents(client, *kinds)
        assert len(told_here) == len(contents(lake, *kinds))
        assert sorted(told_here) == sorted(contents(lake, *kinds)), kinds
    assert list(books(client)) == list(books(by_venue)) == list(books(lake))
    in_time = [message for message in client if message[1] - message[0] < 200 * MS and message[0] < message[1]]
    times = {message[2:]: message[0] for message in lake}
    joined = next(message[1] for message in client if message[2] == SNAPSHOT)
    assert len(in_time) > len(client) // 2 or venue == "hyperliquid"  # a short capture, most of it history
    assert all(times[m[2:]] == m[0] for m in in_time if m[1] > joined and venue != "hyperliquid")


OTHERS = [
    ("bybit_inverse", "BTCUSD", "cryptofeed/sample_data/BYBIT.ws.26.0"),
    ("deribit", "BTC-PERPETUAL", "cryptofeed/sample_data/DERIBIT.ws.1.0"),
    ("okx", "BTC-USDT-SWAP", "cryptofeed/sample_data/OKX.ws.1.0"),
]


@pytest.mark.parametrize(("venue", "symbol", "name"), OTHERS)
def test_captures_of_other_venues_become_messages_too(venue: str, symbol: str, name: str) -> None:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    try:
        instrument = known_instrument(venue, symbol)
    except InstrumentError:
        pytest.skip(f"{symbol} is not documented")
    records = captured(path, venue, symbol)
    feed = run(LiveFeed([instrument], 200 * MS, 0), records.found, records.found[0].wall_ns)
    client, by_venue = both_orders(feed)
    assert sorted(client) == sorted(by_venue)


# -- the same messages as offline, and the truth


def test_every_book_is_the_venues(tmp_path: Path) -> None:
    market = Market().run(150)
    client, by_venue = both_orders(live(records_of(market.lines)))
    found = list(books(client))
    assert len(found) > 100 and all(book == market.truth[update_id] for update_id, book in found)
    assert list(books(by_venue)) == found


def test_a_snapshot_and_the_diffs_that_waited_for_it_are_received_when_it_joins() -> None:
    market = Market().run(40)
    client = messages(records_of(market.lines))
    first = next(k for k, message in enumerate(client) if message[2] == SNAPSHOT)
    snapshot = next(line for line in market.lines if "lastUpdateId" in line.message)
    assert client[first][1] >= snapshot.recv_ns
    with_it = [message for message in client if message[1] == client[first][1]]
    assert [message[2] for message in with_it][:2] == [SNAPSHOT, DEPTH]
    assert not [message for message in client[:first] if message[2] in BOOK]


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_windows_cut_anywhere_are_one_whole(data: st.DataObject) -> None:
    market = Market(seed=data.draw(st.integers(0, 9)), jitter_ns=data.draw(st.sampled_from((0, 30 * MS)))).run(40)
    records = records_of(skewed(market))
    delay_ns = data.draw(st.sampled_from((0, MS, 5 * MS, 20 * MS, 200 * MS)))
    client, by_venue = both_orders(live(records, delay_ns))
    assert by_venue == in_venue_order(client)
    assert delay_ns < 25 * MS or by_venue != client  # the two orders differ
    feed = LiveFeed([INSTRUMENT], delay_ns, 0)
    feed.begin(records.found[0].wall_ns)
    client_parts: list[Told] = []
    venue_parts: list[Told] = []
    for record in records.found:
        feed.take(record)
        if data.draw(st.booleans()):
            client_parts += told(feed.client_window(0))
        if data.draw(st.booleans()):
            most = data.draw(st.sampled_from((1, 3, FOREVER)))
            venue_parts += told(feed.venue_window(0, feed.stamp_ns - delay_ns, most))
    assert client_parts + told(feed.client_window(0)) == client
    assert venue_parts + told(feed.venue_window(0, FOREVER)) == by_venue
    assert feed.counts(0)["disordered"] == 0


RANKS = {TRADE: 0, BBO: 1, DEPTH: 2, SNAPSHOT: 2, GAP: 2, MARK: 3}


def in_venue_order(received: list[Told]) -> list[Told]:
    return [message for _, _, _, message in sorted((m[0], RANKS[m[2]], k, m) for k, m in enumerate(received))]


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 9), st.sampled_from((0, 10 * MS, 40 * MS)), st.sampled_from((0, MS, 7 * MS, 30 * MS)),
    st.sampled_from((-60 * MS, 0)),
)  # fmt: skip
def test_venue_time_is_what_the_rule_says(seed: int, jitter_ns: int, delay_ns: int, offset_ns: int) -> None:
    """Against a naive reading: everything by its own time (a delay that never ends), then the rule by hand."""
    market = Market(seed=seed, jitter_ns=jitter_ns, offset_ns=offset_ns).run(40)
    records = records_of(skewed(market))
    own = messages(records, 10**18)
    book_ns = 0
    naive = []
    for event, recv, kind, ref, content in own:
        v = max(min(event, recv), recv - delay_ns)
        if kind in BOOK:
            v = book_ns = max(v, book_ns)
        naive.append((v, recv, kind, ref, content))
    assert sorted(messages(records, delay_ns)) == sorted(naive)


def test_late_frames_and_a_venue_clock_ahead_are_counted() -> None:
    market = Market(jitter_ns=0, latency_ns=3 * MS).run(20)
    market.emit("depth@0ms", {**market.lines[-1].message["data"]}, latency_ns=0)
    records = records_of(market.lines)
    feed = live(records, 2 * MS)
    assert feed.counts(0)["late_frames"] >= len(market.diffs()) - 1
    assert live(records, 500 * MS).counts(0)["late_frames"] == 0
    behind = Market(offset_ns=-10 * MS).run(20)
    found = live(records_of(behind.lines))
    assert found.counts(0)["ahead"] > 20
    assert all(v <= recv for v, recv, *_ in both_orders(found)[0])


# -- gaps


def test_a_gap_note_makes_the_book_stale_until_a_snapshot_joins() -> None:
    market = Market().run(30)
    places = market.diffs()
    lost = places[20]
    records = records_of(market.lines[:lost])
    records.note(Gap(USDM, "BTCUSDT", "depth", "sequence", "expected 3, found 4", 1))
    add(records, market.lines[lost + 1 :])
    noted = next(r.wall_ns for r in records.found if b'"gap"' in r.payload)
    market.lines = market.lines[-1:]
    market.run(20, snapshot_at=3)
    add(records, market.lines[1:])
    client = messages(records)
    (gap,) = [message for message in client if message[2] == GAP]
    assert gap[4][0] == GAP_SEQUENCE and noted <= gap[1] <= noted + 2
    snapshots = [message for message in client if message[2] == SNAPSHOT]
    assert len(snapshots) == 2
    between = [m for m in client if gap[1] <= m[1] < snapshots[1][1] and m[2] in (DEPTH, SNAPSHOT)]
    assert between == []
    assert all(book == market.truth[update_id] for update_id, book in books(client))


def test_a_closed_connection_is_a_gap_at_once_unless_the_recorder_stopped() -> None:
    market = Market().run(30)
    stopped = messages(records_of(market.lines).note(Closed(1, STOPPING), Closed(99, STOPPING)))
    assert not [message for message in stopped if message[2] == GAP]
    broken = records_of(market.lines).note(Closed(1, "lost"))
    client = messages(broken)
    assert client[-1][2] == GAP and client[-1][4][0] == GAP_DISCONNECT
    assert client[-1][1] == broken.found[-1].wall_ns + 1  # the stamp after that of the last frame


def test_damage_and_a_wrong_checksum_are_gaps() -> None:
    market = Market().run(30)
    feed = live(records_of(market.lines))
    feed.take(Damage(1, 0, 10, 5, 6, "damaged"))
    client = told(feed.client_window(0))
    assert client[-1][2] == GAP and client[-1][4][0] == GAP_RECORDER
    assert GAP_CHECKSUM != GAP_RECORDER


def test_repeats_are_dropped_and_frames_nobody_can_read_are_counted() -> None:
    market = Market().run(30)
    once = messages(records_of(market.lines))
    twice = [again for line in market.lines for again in [line] * (1 + ("lastUpdateId" not in line.message))]
    feed = live(records_of(twice))
    client, _ = both_orders(feed)
    assert contents(client) == contents(once) and feed.counts(0)["duplicates"] > 30
    broken = records_of(market.lines).frame(market.lines[-1].recv_ns + 1, b'{"e":"trade","E":')
    assert live(broken).counts(0)["malformed"] == 1


# -- trades


def aggregate(market: Market, agg_id: int, first: int, last: int) -> None:
    data = {"e": "aggTrade", "E": market.now_ms, "T": market.now_ms, "s": "BTCUSDT", "a": agg_id, "f": first, "l": last,
            "p": "30000.00", "q": "0.010", "m": True}  # fmt: skip
    market.emit("aggTrade", data)


def test_aggregated_trades_are_trades_until_a_print_comes() -> None:
    market = Market()
    aggregate(market, 1, 1, 3)
    aggregate(market, 1, 1, 3)
    aggregate(market, 2, 4, 4)
    market.trade_id = 2
    market.trade()  # 3: covered
    market.trade_id = 4
    market.trade()  # 5
    aggregate(market, 3, 5, 5)
    market.trade()  # 6
    feed = live(records_of(market.lines))
    client, _ = both_orders(feed)
    assert [message[3] for message in client if message[2] == TRADE] == [3, 4, 5, 6]
    assert feed.counts(0)["duplicates"] == 2 and feed.counts(0)["aggregates_unused"] == 1


def test_history_that_a_venue_sends_again_is_left_out() -> None:
    market = Market().run(10)
    records = Records(market.lines[5].recv_ns + 10 * MS).opened(USDM, 1, 99)
    add(records, market.lines)
    feed = live(records)
    client, _ = both_orders(feed)
    assert feed.counts(0)["history"] > 0
    assert all(message[0] >= records.found[0].wall_ns for message in client)


# -- the run's beginning and end


def test_a_run_begins_with_what_the_warm_up_found_and_ends_at_its_stamp() -> None:
    market = Market().run(60)
    half = len(market.lines) // 2
    begin_ns = market.lines[half - 1].recv_ns + MS
    end_ns = market.lines[-1].recv_ns + 77 * MS
    records = records_of(market.lines[:half])
    records.note(RunBegan(200 * MS, 0, begin_ns))
    add(records, market.lines[half:])
    records.note(RunEnded(end_ns))
    after = Market().run(3)
    add(records, after.lines)
    feed = run(LiveFeed([INSTRUMENT], 200 * MS, 0), records.found)
    client, by_venue = both_orders(feed)
    assert (feed.begin_ns, feed.end_ns) == (begin_ns, end_ns)
    opening = [message for message in client if message[1] == begin_ns]
    assert opening[0][2] == SNAPSHOT and opening[-1][2] == MARK and {m[0] for m in opening} == {begin_ns}
    assert all(book == market.truth[update_id] for update_id, book in books(client))
    assert client[-1][:3] == (end_ns, end_ns, GAP) and client[-1][4][0] == GAP_SESSION_END
    assert by_venue[-1] == client[-1] and min(message[0] for message in client) == begin_ns
    whole = messages(records_of(market.lines))
    later = [message[2:] for message in client[len(opening) : -1]]
    assert later == [message[2:] for message in whole][-len(later) :]


def test_stamps_come_from_the_monotonic_clock_and_always_rise() -> None:
    market = Market().run(10)
    base_ns = 5_000_000_000
    shown = Records(market.lines[0].recv_ns - EARLIER_NS, base_ns).opened(USDM, 1, 99)
    add(shown, market.lines)
    plain = records_of(market.lines)
    feed = run(LiveFeed([INSTRUMENT], 0, base_ns), shown.found, plain.found[0].wall_ns)
    assert both_orders(feed) == both_orders(live(plain, 0))
    stepped = [record._replace(wall_ns=record.wall_ns - 3600 * 10**9 * (k % 2)) for k, record in enumerate(plain.found)]
    moved = run(LiveFeed([INSTRUMENT], 0, 0), stepped, plain.found[0].wall_ns)
    assert both_orders(moved) == both_orders(live(plain, 0))
    frozen = [record._replace(mono_ns=plain.found[0].mono_ns) for record in plain.found]
    still = run(LiveFeed([INSTRUMENT], 0, 0), frozen, plain.found[0].wall_ns)
    stamps = [message[1] for message in told(still.client_window(0))]
    assert len(set(stamps)) > 10 and stamps == sorted(stamps)


def test_an_instrument_given_twice_and_a_negative_delay_are_refused() -> None:
    with pytest.raises(InputError, match="given twice"):
        LiveFeed([INSTRUMENT, INSTRUMENT], 0, 0)
    with pytest.raises(InputError, match="is no delay"):
        LiveFeed([INSTRUMENT], -1, 0)
