"""The emulated Binance's market streams: chains at every speed, recorded shapes, control frames, life of a socket."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.venues.binance_client import START_NS, Client
from venues.binance.codec import BinanceCodec
from venues.binance.rules import BTCUSDT
from venues.emulation import Admit, Beat, Hangup
from venues.market_data import AggTrade, BookTicker, DepthDiff, DepthSnapshot, ForceOrder, MarkPrice, Trade

MS = 10**6
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def snapshot(last_id: int = 100) -> DepthSnapshot:
    return DepthSnapshot("BTCUSDT", START_NS, START_NS, last_id, [999_990, 999_980], [5, 7], [1_000_010], [4], True)


def diff(first: int, last: int, previous: int, bids: dict[int, int], asks: dict[int, int], at: int = 0) -> DepthDiff:
    return DepthDiff(
        "BTCUSDT", START_NS + at, START_NS + at + MS, first, last, previous,
        list(bids), list(bids.values()), list(asks), list(asks.values()),
    )  # fmt: skip


def as_levels(rows: list[list[str]]) -> dict[str, str]:
    return dict(rows)


class Follower:
    """A client's book, kept by the documented procedure."""

    def __init__(self, first: dict[str, Any]) -> None:
        self.last_id = first["lastUpdateId"]
        self.sides = (as_levels(first["bids"]), as_levels(first["asks"]))
        self.joined = False
        self.previous = 0

    def take(self, event: dict[str, Any]) -> None:
        if event["u"] < self.last_id:
            return
        if not self.joined:
            assert event["U"] <= self.last_id + 1
            self.joined = True
        else:
            assert event["pu"] == self.previous
        self.previous = event["u"]
        for levels, rows in zip(self.sides, (event["b"], event["a"]), strict=True):
            for price, size in rows:
                if float(size) == 0:
                    levels.pop(price, None)
                else:
                    levels[price] = size


changes = st.dictionaries(st.integers(999_900, 1_000_100), st.integers(0, 9), max_size=5)


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.tuples(changes, changes, st.integers(1, 260), st.integers(1, 3)), min_size=1, max_size=30),
    asked=st.integers(0, 29),
    native=st.sampled_from([0, 100 * MS]),
)
def test_book_rebuilt_from_any_speed_is_the_engine_s(
    steps: list[tuple[dict[int, int], dict[int, int], int, int]], asked: int, native: int
) -> None:
    client = Client(native_depth_ns=native)
    client.market(snapshot())
    streams = ["btcusdt@depth@0ms", "btcusdt@depth@100ms", "btcusdt@depth", "btcusdt@depth@500ms"]
    for number, name in enumerate(streams, 1):
        client.connect(number, f"/public/ws/{name}")
    last, first, truth = 100, None, ({999_990: 5, 999_980: 7}, {1_000_010: 4})
    for step, (bids, asks, after_ms, ids) in enumerate(steps):
        client.market(diff(last + 1, last + ids, last, bids, asks), after_ns=after_ms * MS)
        last += ids
        for levels, changed in zip(truth, (bids, asks), strict=True):
            levels.update(changed)
            for price in [price for price, lots in levels.items() if not lots]:
                del levels[price]
        if step == min(asked, len(steps) - 1):
            first = client.get("v1/depth", symbol="BTCUSDT", limit=1000)
    client.wait(1000 * MS)
    assert first is not None
    wanted = tuple({f"{p / 10:.2f}": f"{q / 1000:.3f}" for p, q in levels.items()} for levels in truth)
    for number in range(1, 5):
        follower = Follower(first)
        for event in client.events(number, "depthUpdate"):
            follower.take(event)
        assert follower.sides == wanted
    final = client.get("v1/depth", symbol="BTCUSDT", limit=1000)
    assert (as_levels(final["bids"]), as_levels(final["asks"])) == wanted
    assert [row[0] for row in final["bids"]] == sorted((row[0] for row in final["bids"]), key=float, reverse=True)


def test_a_replaced_book_goes_on_by_its_differences() -> None:
    client = Client()
    client.market(snapshot())
    client.connect(1, "/public/ws/btcusdt@depth@0ms")
    client.market(diff(101, 110, 100, {999_990: 6}, {}))
    client.market(snapshot(200))
    (_, event) = client.events(1, "depthUpdate")
    assert (event["U"], event["u"], event["pu"]) == (111, 200, 110)
    assert event["b"] == [["99999.00", "0.005"]]
    assert event["a"] == []


def test_a_broken_chain_leaves_no_book_until_the_next_snapshot() -> None:
    client = Client()
    client.market(snapshot())
    client.market(diff(301, 310, 300, {999_990: 6}, {}))
    number = client.send("GET", "v1/depth", "symbol=BTCUSDT")
    assert client.answers[number].status == 503
    client.market(snapshot(400))
    assert client.get("v1/depth", symbol="BTCUSDT")["lastUpdateId"] == 400


RECORDS: list[tuple[str, str, Any]] = [
    ("btcusdt@depth@0ms", "depthUpdate", diff(101, 110, 100, {999_990: 6}, {})),
    ("btcusdt@trade", "trade", Trade("BTCUSDT", START_NS, START_NS + MS, 7, 1, 999_990, 3, "MARKET", True)),
    ("btcusdt@aggTrade", "aggTrade", AggTrade("BTCUSDT", START_NS, START_NS + MS, 3, 7, 9, 0, 1_000_010, 4)),
    ("btcusdt@bookTicker", "bookTicker", BookTicker("BTCUSDT", START_NS, START_NS + MS, 111, 999_990, 5, 1_000_010, 4)),
    ("btcusdt@markPrice@1s", "markPriceUpdate",
     MarkPrice("BTCUSDT", START_NS, START_NS, 9_999_912_345_678, 9_999_800_000_000, -12_340_000, START_NS + 10**12)),
    ("btcusdt@forceOrder", "forceOrder",
     ForceOrder("BTCUSDT", START_NS, START_NS + MS, 1, 9_990_010_000_000, 999_001, 14, 14)),
]  # fmt: skip


@pytest.mark.parametrize(("stream", "kind", "record"), RECORDS)
def test_the_codec_reads_back_what_a_stream_writes(stream: str, kind: str, record: Any) -> None:
    client = Client()
    client.market(snapshot())
    client.connect(1, "/stream", f"streams={stream}")
    client.connect(2, f"/market/ws/{stream}")
    client.market(record)
    assert BinanceCodec([BTCUSDT]).decode(json.dumps(client.frames[1][0]).encode()) == record
    assert client.frames[1][0]["stream"] == stream
    assert client.frames[1][0]["data"] == client.frames[2][0]
    assert client.frames[2][0]["e"] == kind


def recorded(path: str, lines: int = 4000) -> dict[str, dict[str, Any]]:
    """The first recorded payload of each kind."""
    file = DATA / "hftbacktest/examples" / path
    if not file.exists():
        pytest.skip("recorded third-party data are not here")
    found: dict[str, dict[str, Any]] = {}
    with gzip.open(file, "rt") as text:
        for line, _ in zip(text, range(lines), strict=False):
            message = json.loads(line.partition(" ")[2])
            data = message.get("data", message)
            found.setdefault(data.get("e", "snapshot"), data)
    return found


@pytest.mark.parametrize(
    ("path", "coin"),
    [
        ("usdm/btcusdt_20230404.dat.gz", False),
        ("usdm/btcusdt_20240718.gz", False),
        ("cm/btcusd_perp_20240808.gz", True),
    ],
)
def test_fields_are_those_of_recorded_payloads(path: str, coin: bool) -> None:
    client = Client(coin=coin)
    low = "btcusd_perp" if coin else "btcusdt"
    names = ("depth@0ms", "trade", "bookTicker", "markPrice@1s")
    client.connect(1, "/stream", "streams=" + "/".join(f"{low}@{name}" for name in names))
    client.market(snapshot())
    for _stream, _kind, record in RECORDS[:5]:
        client.market(record)
    ours = {frame["data"]["e"]: frame["data"] for frame in client.frames[1]}
    ours["snapshot"] = client.get("v1/depth", symbol=low.upper())
    newer = {"ap", "st"}  # of 2026; the recordings are older
    for kind, data in recorded(path).items():
        assert set(ours[kind]) - newer == set(data), kind
        for name, value in data.items():
            assert type(ours[kind][name]) is type(value), (kind, name)


# -- control frames


def test_requests_are_acknowledged_before_the_first_event() -> None:
    client = Client()
    client.market(snapshot())
    client.connect(1, "/public/ws/0")
    assert client.frame(1, {"method": "SUBSCRIBE", "params": ["btcusdt@depth@0ms"], "id": 7}) == {
        "result": None,
        "id": 7,
    }
    client.market(RECORDS[0][2])
    assert [frame.get("e", "ack") for frame in client.frames[1]] == ["ack", "depthUpdate"]
    assert client.frame(1, {"method": "LIST_SUBSCRIPTIONS", "id": "x"}) == {"result": ["btcusdt@depth@0ms"], "id": "x"}
    assert client.frame(1, {"method": "SET_PROPERTY", "params": ["combined", True], "id": 8})["result"] is None
    assert client.frame(1, {"method": "GET_PROPERTY", "params": ["combined"], "id": 9})["result"] is True
    client.market(diff(111, 112, 110, {999_990: 9}, {}))
    assert client.frames[1][-1]["stream"] == "btcusdt@depth@0ms"
    assert client.frame(1, {"method": "UNSUBSCRIBE", "params": ["btcusdt@depth@0ms"], "id": 9})["id"] == 9
    client.market(diff(113, 114, 112, {999_990: 8}, {}))
    assert client.frames[1][-1]["id"] == 9


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"{nothing", 3),
        (b"[1]", 2),
        (b'{"id": 1}', 2),
        (b'{"method": "JUMP", "id": 1}', 2),
        (b'{"method": "SUBSCRIBE", "params": [7], "id": 1}', 2),
        (b'{"method": "SUBSCRIBE", "params": "x", "id": 1}', 2),
        (b'{"method": "SUBSCRIBE", "params": [], "id": [1]}', 2),
        (b'{"method": "SET_PROPERTY", "params": ["combined", 3], "id": 1}', 1),
        (b'{"method": "SET_PROPERTY", "params": ["odd", true], "id": 1}', 0),
    ],
)
def test_a_bad_frame_is_answered_with_an_error(frame: bytes, code: int) -> None:
    client = Client()
    client.connect(1, "/ws")
    assert client.frame(1, frame)["error"]["code"] == code


def test_limits_of_a_connection() -> None:
    client = Client()
    client.connect(1, "/ws")
    many = [f"s{n}@trade" for n in range(1025)]
    assert client.frame(1, {"method": "SUBSCRIBE", "params": many, "id": 1})["error"]["code"] == 2
    assert client.frame(1, {"method": "SUBSCRIBE", "params": many[:1024], "id": 2})["result"] is None
    for n in range(9):
        client.frame(1, {"method": "LIST_SUBSCRIPTIONS", "id": n})
    assert [type(action) for action in client.other] == [Admit, Hangup]


def test_pings_and_the_end_of_a_connection() -> None:
    client = Client()
    client.is_silent = True
    client.connect(1, "/ws")
    client.connect(2, "/ws")
    client.connect(3, "/nowhere")
    assert client.other[-1].status == 404
    for minute in range(24 * 60):
        client.wait(60 * 10**9)
        for beat in [action for action in client.other if isinstance(action, Beat)]:
            if beat.clients == (1,):
                client.emulator.on_pong(1, beat.payload, client.wall_ns)
        client.other = [action for action in client.other if isinstance(action, Hangup)]
        if minute == 15:
            assert [(action.client, action.reason) for action in client.other] == [(2, "no pong")]
    assert [action.client for action in client.other] == [2, 1]


# -- what is due regularly


def test_partial_books_tickers_and_bars() -> None:
    client = Client()
    client.market(snapshot())
    names = ["btcusdt@depth5@100ms", "btcusdt@miniTicker", "btcusdt@ticker", "btcusdt@kline_1m", "!miniTicker@arr",
             "btcusdt_perpetual@continuousKline_1m", "!bookTicker"]  # fmt: skip
    client.connect(1, "/stream", "streams=" + "/".join(names))
    for n in range(4):
        client.market(Trade("BTCUSDT", START_NS + n * MS, 0, 7 + n, n % 2, 999_990 + n, 2, "MARKET", True), after_ns=MS)
    for n in range(90):
        client.wait(1000 * MS)
        if n == 3:
            client.market(diff(101, 110, 100, {999_990: 6}, {}))
    by_stream: dict[str, list[Any]] = {}
    for frame in client.frames[1]:
        by_stream.setdefault(frame["stream"], []).append(frame["data"])
    assert set(by_stream) == set(names)
    partial = by_stream["btcusdt@depth5@100ms"]
    assert [len(partial), partial[0]["b"][0], partial[-1]["b"][0]] == [
        2, ["99999.00", "0.005"], ["99999.00", "0.006"],
    ]  # fmt: skip
    bar = by_stream["btcusdt@kline_1m"][-1]["k"]
    assert (bar["x"], bar["o"], bar["c"], bar["v"], bar["V"], bar["n"]) == (
        True, "99999.00", "99999.30", "0.008", "0.004", 4,
    )  # fmt: skip
    assert by_stream["btcusdt@miniTicker"][-1]["c"] == "99999.30"
    assert by_stream["btcusdt@ticker"][-1]["n"] == 4


def test_aggregates_are_made_of_trades() -> None:
    client = Client()
    client.connect(1, "/ws/btcusdt@aggTrade")
    for n, (side, ticks) in enumerate([(0, 10_000), (0, 10_000), (0, 10_001), (1, 10_001)]):
        client.market(Trade("BTCUSDT", START_NS + n, 0, 50 + n, side, ticks, 1 + n, "MARKET", True), after_ns=MS)
    client.wait(200 * MS)
    found = [(event["f"], event["l"], event["q"], event["m"]) for event in client.events(1, "aggTrade")]
    assert found == [(50, 51, "0.003", False), (52, 52, "0.003", False), (53, 53, "0.004", True)]
    assert [row["a"] for row in client.get("v1/aggTrades", symbol="BTCUSDT")] == [1, 2, 3]


def test_quotes_are_derived_where_a_feed_has_none() -> None:
    client = Client()
    client.market(snapshot())
    client.connect(1, "/ws/btcusdt@bookTicker")
    client.market(diff(101, 110, 100, {999_985: 6}, {}))
    client.market(diff(111, 120, 110, {999_970: 6}, {}))
    client.market(diff(121, 130, 120, {999_995: 1}, {}))
    assert [(event["u"], event["b"], event["B"]) for event in client.events(1, "bookTicker")] == [
        (110, "99999.00", "0.005"),
        (130, "99999.50", "0.001"),
    ]
