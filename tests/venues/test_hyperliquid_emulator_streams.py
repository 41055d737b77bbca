"""Hyperliquid's emulator: websocket subscriptions, what feed and accounts become, and recorded shapes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matching import codes
from tests.venues.hyperliquid_client import (
    ADDRESS,
    HOUR_NS,
    INSTRUMENTS,
    MARK,
    MS,
    OTHER,
    TRADE,
    Venue,
    channel,
    fed,
)
from tests.venues.test_hyperliquid_codec import recorded
from venues.emulation import Admit, BookState, HttpRequest, MarketState
from venues.hyperliquid.codec import HyperliquidCodec
from venues.hyperliquid.emulator_limits import Limits
from venues.hyperliquid.emulator_market import candle_span, merged
from venues.hyperliquid.emulator_numbers import Writer
from venues.market_data import Batch, BookTicker, DepthDiff, DepthSnapshot, MarkPrice, Other, Trade

BTC = INSTRUMENTS[0]
SNAPSHOT = DepthSnapshot(
    "BTC", 1_700_000_000_123 * MS, 0, 1_700_000_000_123, [300000, 299990], [100, 50], [300010], [70], True
)
LATER = Trade("BTC", 1_700_000_000_201 * MS, 0, 78, codes.BUY, 300010, 20, "MARKET", True)
QUOTE = BookTicker("BTC", 1_700_000_000_300 * MS, 0, 1_700_000_000_300, 300000, 100, 0, 0)


# -- subscribing


def test_subscriptions_are_echoed_in_full_and_known_again() -> None:
    venue = Venue()
    client = venue.connect()
    first, book = venue.subscribe(client, "l2Book", coin="BTC")
    terms = {"type": "l2Book", "coin": "BTC", "nSigFigs": None, "mantissa": None, "fast": False}
    assert first == {"channel": "subscriptionResponse", "data": {"method": "subscribe", "subscription": terms}}
    assert book["channel"] == "l2Book"
    (again,) = venue.subscribe(client, "l2Book", coin="BTC", nSigFigs=None)
    assert again["channel"] == "error" and again["data"].startswith("Already subscribed: {")
    (gone,) = venue.say(client, {"method": "unsubscribe", "subscription": {"type": "l2Book", "coin": "BTC"}})
    assert gone["data"] == {"method": "unsubscribe", "subscription": terms}
    fed(venue, SNAPSHOT)
    assert venue.heard(client) == []
    (never,) = venue.say(client, {"method": "unsubscribe", "subscription": {"type": "l2Book", "coin": "BTC"}})
    assert never["data"].startswith("Already unsubscribed: {")


@pytest.mark.parametrize(
    "frame",
    [
        b"{", b"[]", b'{"method":"x"}', b'{"type":"allMids"}', b'{"method":"subscribe"}',
        b'{"method":"subscribe","subscription":{"type":"nothing"}}',
        b'{"method":"subscribe","subscription":{"type":[]}}',
        b'{"method":"subscribe","subscription":{"type":"trades","coin":{}}}',
        b'{"method":"subscribe","subscription":{"type":"candle","coin":"BTC","interval":[]}}',
        b'{"method":"subscribe","subscription":{"type":"l2Book","coin":"NONE"}}',
        b'{"method":"subscribe","subscription":{"type":"userFills","user":"0x1"}}',
        b'{"method":"subscribe","subscription":{"type":"candle","coin":"BTC","interval":"7m"}}',
        b'{"method":"subscribe","subscription":{"type":"l2Book","coin":"BTC","mantissa":2}}',
        b'{"method":"post","id":"1","request":{}}', b'{"method":"post","id":1,"request":{"type":"info"}}',
        b'{"method":"post","id":2,"request":{"type":"info","payload":{"type":"bogus"}}}',
        b'{"method":"post","id":2,"request":{"type":"action","payload":{"action":{"type":"bogus"}}}}',
    ],
)  # fmt: skip
def test_what_is_not_understood_goes_to_the_error_channel(frame: bytes) -> None:
    venue = Venue()
    client = venue.connect()
    (answer,) = venue.say(client, frame)
    assert answer["channel"] == "error"
    assert answer["data"] == f"Error parsing JSON into valid websocket request: {frame.decode()}"


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["method", "subscription", "id", "request"]),
        st.sampled_from(["subscribe", "post", "ping", 1, None])
        | st.dictionaries(
            st.sampled_from(["type", "coin", "user", "payload", "nSigFigs", "fast", "interval", "dex"]),
            st.none() | st.integers() | st.text(max_size=4) | st.lists(st.none(), max_size=2)
            | st.sampled_from(["info", "action", "l2Book", "BTC", ADDRESS, "userFills", "candle", {"type": "meta"}]),
        ),
    )
)  # fmt: skip
def test_no_frame_breaks_it(message: dict[str, Any]) -> None:
    venue = Venue()
    client = venue.connect()
    for frame in venue.say(client, message):
        assert set(frame) <= {"channel", "data"}


def test_limits_of_a_connection() -> None:
    venue = Venue(Limits(subscriptions=2, users=1, messages=7))
    client = venue.connect()
    venue.subscribe(client, "userFills", user=ADDRESS)
    (frame,) = venue.subscribe(client, "userFills", user=OTHER)
    assert frame == {"channel": "error", "data": "Cannot track more than 1 total users."}
    assert channel(venue.subscribe(client, "orderUpdates", user=ADDRESS), "subscriptionResponse")
    (frame,) = venue.subscribe(client, "trades", coin="BTC")
    assert frame == {"channel": "error", "data": "Cannot subscribe to more than 2 channels."}
    venue.say(client, {"method": "unsubscribe", "subscription": {"type": "userFills", "user": ADDRESS.upper()}})
    venue.say(client, {"method": "unsubscribe", "subscription": {"type": "userFills", "user": ADDRESS}})
    assert channel(venue.subscribe(client, "trades", coin="BTC"), "subscriptionResponse")
    assert venue.say(client, {"method": "ping"})[0]["data"] == "Cannot send more than 7 messages per minute."
    venue.wait(60)
    other = venue.connect()
    assert venue.say(other, {"method": "ping"}) == [{"channel": "pong"}]


def test_connections_of_one_address() -> None:
    venue = Venue(Limits(connections=2, by_address=True))
    request = HttpRequest("GET", "/ws", "", {}, b"", "10.0.0.1:77")
    for client in range(1, 4):
        venue.emulator.on_connect(client, request._replace(peer=f"10.0.0.1:{client}"), venue.wall_ns)
    found = [action.status for action in venue.emulator.take_actions() if isinstance(action, Admit)]
    assert found == [101, 101, 429]
    venue.emulator.on_disconnect(1, venue.wall_ns)
    venue.emulator.on_connect(4, request, venue.wall_ns)
    venue.emulator.on_connect(5, request._replace(path="/elsewhere"), venue.wall_ns)
    found = [action.status for action in venue.emulator.take_actions() if isinstance(action, Admit)]
    assert found == [101, 404]


def test_who_hears_nothing_for_a_minute_is_dropped() -> None:
    venue = Venue()
    quiet, lively = venue.connect(), venue.connect()
    venue.drain()
    for _ in range(3):
        venue.wait(25)
        venue.say(lively, {"method": "ping"})
        venue.drain()
    assert set(venue.hung_up) == {quiet}
    assert venue.hung_up[quiet].code == 1000


# -- market data


def test_records_of_the_feed_become_the_venues_frames_and_decode_to_themselves() -> None:
    venue = Venue()
    client = venue.connect()
    for kind in ("l2Book", "trades", "bbo", "activeAssetCtx"):
        venue.subscribe(client, kind, coin="BTC")
    codec = HyperliquidCodec([BTC])
    for record in (SNAPSHOT, TRADE, QUOTE, Batch((TRADE, LATER))):
        fed(venue, record)
        venue.drain()
        frames, venue.frames[client] = venue.frames[client], []
        assert len(frames) == 1
        found = codec.decode(json.dumps(frames[0], separators=(",", ":")).encode())
        assert found == record
    fed(venue, MARK)
    (frame,) = venue.heard(client)
    found = codec.decode(json.dumps(frame, separators=(",", ":")).encode())
    assert isinstance(found, MarkPrice)
    assert (found.mark_e8, found.index_e8, found.rate_e12) == (MARK.mark_e8, MARK.index_e8, MARK.rate_e12)


def test_a_recording_comes_out_as_it_went_in() -> None:
    venue = Venue()
    client = venue.connect()
    venue.engine.books[0] = BookState(False, 0, 0, [], [])
    venue.subscribe(client, "l2Book", coin="BTC")
    venue.subscribe(client, "trades", coin="BTC")
    codec = HyperliquidCodec([BTC])
    checked = 0
    for raw in recorded():
        fed(venue, codec.decode(raw))
        (frame,) = venue.heard(client)
        told = json.loads(raw)
        assert frame["channel"] == told["channel"]
        if frame["channel"] == "l2Book":
            for level in (level for side in told["data"]["levels"] for level in side):
                level["n"] = 1  # a feed does not say how many orders there are
        else:
            for row, own in zip(told["data"], frame["data"], strict=True):
                assert set(row) == set(own)
                row["hash"], row["users"] = own["hash"], own["users"]
        assert frame == told
        checked += 1
    assert checked == 55


def test_books_of_diffs_come_half_a_second_apart() -> None:
    venue = Venue()
    client = venue.connect()
    venue.subscribe(client, "l2Book", coin="BTC")
    diff = DepthDiff("BTC", venue.engine.now_ns, 0, 1, 2, 0, [300000], [5], [], [])
    found = []
    for _ in range(11):
        fed(venue, diff)
        found += channel(venue.heard(client), "l2Book")
        venue.wait(0.1)
    assert len(found) == 3


def test_best_quotes_are_made_of_books_where_the_feed_has_none() -> None:
    venue = Venue()
    client = venue.connect()
    (_, first) = venue.subscribe(client, "bbo", coin="BTC")
    assert first["data"]["bbo"] == [{"px": "30000.0", "sz": "0.001", "n": 1}, {"px": "30001.0", "sz": "0.0007", "n": 1}]
    fed(venue, SNAPSHOT)
    assert venue.heard(client) == []
    venue.wait(2)
    fed(venue, SNAPSHOT)
    assert len(venue.heard(client)) == 1
    fed(venue, SNAPSHOT)
    assert venue.heard(client) == []
    fed(venue, QUOTE)
    assert channel(venue.heard(client), "bbo")[0]["bbo"] == [{"px": "30000.0", "sz": "0.001", "n": 1}, None]
    venue.engine.books[0] = BookState(True, 1, venue.engine.now_ns, [(299000, 5)], [])
    fed(venue, SNAPSHOT)
    assert venue.heard(client) == []  # the feed has quotes of its own


def test_books_with_fewer_digits() -> None:
    venue = Venue()
    venue.engine.books[0] = BookState(
        True, 1, venue.engine.now_ns, [(300010, 1), (300000, 2), (299990, 4), (299000, 8)], [(300020, 3), (301000, 5)]
    )
    book = venue.info("l2Book", coin="BTC", nSigFigs=3)
    assert [(level["px"], level["sz"]) for level in book["levels"][0]] == [
        ("30000.0", "0.00003"),
        ("29900.0", "0.00012"),
    ]
    assert [(level["px"], level["sz"]) for level in book["levels"][1]] == [("30100.0", "0.00008")]
    writer = Writer(BTC)
    assert merged(writer, [(300010, 1), (300000, 2)], 5, 2, True) == [(300000, 3)]
    assert venue.info("l2Book", coin="NONE") is None


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 99)), max_size=20), st.sampled_from([2, 3, 4, 5]))
def test_merging_levels_keeps_every_lot(rows: list[tuple[int, int]], digits: int) -> None:
    rows = sorted(dict(rows).items(), reverse=True)
    found = merged(Writer(BTC), rows, digits, None, True)
    assert sum(lots for _, lots in found) == sum(lots for _, lots in rows)
    assert [ticks for ticks, _ in found] == sorted({ticks for ticks, _ in found}, reverse=True)


def test_candles_of_prints() -> None:
    venue = Venue()
    client = venue.connect()
    minute = 60_000
    start = 1_700_000_000_000 // minute * minute
    for offset, ticks, lots in ((0, 300000, 1), (10, 300100, 2), (minute, 299000, 3), (6 * minute, 299500, 4)):
        fed(venue, Trade("BTC", (start + offset) * MS, 0, 1, codes.BUY, ticks, lots, "MARKET", True))
    rows = venue.info(
        "candleSnapshot", req={"coin": "BTC", "interval": "1m", "startTime": start, "endTime": start + 10**9}
    )
    assert [(row["o"], row["h"], row["l"], row["c"], row["v"], row["n"]) for row in rows] == [
        ("30000.0", "30010.0", "30000.0", "30010.0", "0.00003", 2),
        ("29900.0", "29900.0", "29900.0", "29900.0", "0.00003", 1),
        ("29950.0", "29950.0", "29950.0", "29950.0", "0.00004", 1),
    ]
    assert rows[0]["T"] == rows[0]["t"] + minute - 1 and rows[0]["s"] == "BTC" and rows[0]["i"] == "1m"
    (hour,) = venue.info(
        "candleSnapshot", req={"coin": "BTC", "interval": "1h", "startTime": start, "endTime": start + 9}
    )
    assert (hour["o"], hour["h"], hour["l"], hour["c"], hour["n"]) == ("30000.0", "30010.0", "29900.0", "29950.0", 4)
    (_, picture) = venue.subscribe(client, "candle", coin="BTC", interval="1h")
    assert picture["data"] == hour
    fed(venue, Trade("BTC", (start + 6 * minute) * MS, 0, 1, codes.BUY, 300000, 1, "MARKET", True))
    venue.wait(0.1)
    (told,) = channel(venue.heard(client), "candle")
    assert told["c"] == "30000.0" and told["n"] == 5


def test_spans_of_candles() -> None:
    assert candle_span("1M", 1_709_164_800_000) == (1_706_745_600_000, 1_709_251_199_999)  # 2024-02-29
    assert candle_span("1w", 1_700_000_000_000)[0] == 1_699_833_600_000  # Monday 2023-11-13
    assert candle_span("1d", 1_700_000_000_000) == (1_699_920_000_000, 1_700_006_399_999)


def test_prints_begin_with_the_last_ones() -> None:
    venue = Venue()
    for _ in range(40):
        fed(venue, TRADE)
    client = venue.connect()
    (_, picture) = venue.subscribe(client, "trades", coin="BTC")
    assert len(picture["data"]) == 30
    assert len(venue.info("recentTrades", coin="BTC")) == 30


def test_mids_and_rates() -> None:
    venue = Venue()
    assert venue.info("allMids") == {"BTC": "30000.5"}
    client = venue.connect()
    venue.subscribe(client, "allMids")
    venue.wait(1)
    assert channel(venue.heard(client), "allMids") == [{"mids": {"BTC": "30000.5"}}]
    fed(venue, MARK)
    fed(venue, MarkPrice("BTC", 0, 0, 1, 1, 5, 2 * HOUR_NS))
    rows = venue.info("fundingHistory", coin="BTC", startTime=0)
    assert rows == [
        {"coin": "BTC", "fundingRate": "-0.000001234567", "premium": "-0.0000166661", "time": HOUR_NS // MS}
    ]
    (coin, ((name, own),)) = venue.info("predictedFundings")[0]
    assert (coin, name, own["fundingRate"]) == ("BTC", "HlPerp", "0.0000125")
    fed(venue, Other("x", ""))


def test_the_market_of_a_stale_book_says_nothing() -> None:
    venue = Venue()
    venue.engine.books[0] = BookState(False, 0, 0, [], [])
    venue.engine.markets[0] = MarketState(0, 0, 0, 0, 0, 0)
    client = venue.connect()
    for kind in ("l2Book", "bbo", "trades", "activeAssetCtx"):
        assert len(venue.subscribe(client, kind, coin="BTC")) == 1
    assert venue.info("allMids") == {}
    _, contexts = venue.info("metaAndAssetCtxs")
    assert contexts[0]["midPx"] is None and contexts[0]["impactPxs"] is None and contexts[0]["premium"] is None
