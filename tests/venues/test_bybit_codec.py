"""The Bybit decoder: golden messages, payloads that others recorded or copied, and what it must refuse."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest

from matching.codes import BUY, SELL
from tests.venues.wire_cases import (
    ADAPTERS,
    DATA,
    MS,
    Golden,
    PlainBook,
    PlainGrid,
    answers,
    captured,
    check_golden,
    encoded,
    outcome,
    payload_files,
    refused,
    singles,
)
from venues import known_instrument
from venues.bybit.codec import BybitCodec
from venues.bybit.v2 import lots_of_single
from venues.codecs import market_codec
from venues.errors import Hint, InstrumentError, VenueError
from venues.instruments import Instrument
from venues.market_data import (
    Batch,
    BookTicker,
    DepthDiff,
    DepthSnapshot,
    ForceOrder,
    MarkPrice,
    Other,
    Trade,
)

BTCUSDT = known_instrument("bybit_linear", "BTCUSDT")  # tick 0.1, lot 0.001
T = 1_709_891_679_000


def codec() -> BybitCodec:
    return BybitCodec([BTCUSDT])


def book(depth: int, kind: str, u: int, seq: int, bids: Any, asks: Any, ts: int = T + 5, cts: int = T) -> Any:
    data = {"s": "BTCUSDT", "b": bids, "a": asks, "u": u, "seq": seq}
    return {"topic": f"orderbook.{depth}.BTCUSDT", "type": kind, "ts": ts, "data": data, "cts": cts}


SNAPSHOT = book(50, "snapshot", 700, 9000, [["65000.1", "1.5"], ["65000", "0.001"]], [["65000.20", "2"]])
DELTA = book(50, "delta", 701, 9007, [["65000.1", "0"]], [["65000.3", "0.25"]], T + 25, T + 20)
TOP = book(1, "snapshot", 31, 9005, [["65000.1", "1.25"]], [["65000.2", "2"]])
TRADE_ROW = {
    "T": T, "s": "BTCUSDT", "S": "Sell", "v": "0.012", "p": "64999.90", "L": "MinusTick",
    "i": "20f43950-d8dd-5b31-9112-a178eb6023af", "BT": False, "RPI": False, "seq": 9004,
}  # fmt: skip
TRADES = {"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": T + 2, "data": [TRADE_ROW]}
TRADE_ID = 0x20F43950D8DD5B31 >> 1
TICKER = {
    "topic": "tickers.BTCUSDT", "type": "snapshot",
    "data": {
        "symbol": "BTCUSDT", "markPrice": "65003.27", "indexPrice": "65010.5", "openInterest": "1",
        "nextFundingTime": "1709913600000", "fundingRate": "-0.000212", "bid1Price": "65000.10", "bid1Size": "1",
    },
    "cs": 24987956059, "ts": T,
}  # fmt: skip
LIQUIDATION = {
    "topic": "allLiquidation.BTCUSDT", "type": "snapshot", "ts": T + 9,
    "data": [{"T": T, "s": "BTCUSDT", "S": "Buy", "v": "0.4", "p": "64321.07"}],
}  # fmt: skip


def ticker_delta(**changes: str) -> Any:
    return {"topic": "tickers.BTCUSDT", "type": "delta", "ts": T + 100, "data": {"symbol": "BTCUSDT", **changes}}


REST_BOOK = {
    "retCode": 0, "retMsg": "OK", "retExtInfo": {}, "time": T + 50,
    "result": {"s": "BTCUSDT", "b": [["65000.1", "1"]], "a": [], "ts": T + 3, "u": 7, "seq": 9006, "cts": T + 1},
}  # fmt: skip
REST_TRADES = {
    "retCode": 0, "retMsg": "OK", "time": T,
    "result": {"category": "linear", "list": [{
        "execId": "20f43950-d8dd-5b31-9112-a178eb6023af", "symbol": "BTCUSDT", "price": "64999.9", "size": "0.012",
        "side": "Sell", "time": str(T), "isBlockTrade": False,
    }]},
}  # fmt: skip

KINDS: dict[str, Golden] = {
    "snapshot": Golden(
        SNAPSHOT,
        DepthSnapshot(
            "BTCUSDT", T * MS, (T + 5) * MS, 9000, [650_001, 650_000], [1_500, 1], [650_002], [2_000], in_stream=True
        ),
    ),
    "delta": Golden(
        DELTA,
        DepthDiff(
            "BTCUSDT", (T + 20) * MS, (T + 25) * MS, 9001, 9007, 9000, [650_001], [0], [650_003], [250]
        ),
        before=(SNAPSHOT,),
    ),
    "level 1": Golden(TOP, BookTicker("BTCUSDT", T * MS, (T + 5) * MS, 9005, 650_001, 1_250, 650_002, 2_000)),
    "level 1 delta": Golden(
        book(1, "delta", 32, 9010, [["65000.1", "0"], ["65000", "3"]], [["65000.2", "0"]]),
        BookTicker("BTCUSDT", T * MS, (T + 5) * MS, 9010, 650_000, 3_000, 0, 0),
        before=(TOP,),
    ),
    "trade": Golden(
        TRADES, Trade("BTCUSDT", T * MS, (T + 2) * MS, TRADE_ID, SELL, 649_999, 12, "MARKET", True)
    ),
    "trades": Golden(
        TRADES | {"data": [TRADE_ROW | {"S": "Buy", "BT": True}, TRADE_ROW | {"i": "2290000000061666327", "RPI": True}],
        },
        Batch((
            Trade("BTCUSDT", T * MS, (T + 2) * MS, TRADE_ID, BUY, 649_999, 12, "BLOCK", False),
            Trade("BTCUSDT", T * MS, (T + 2) * MS, 2290000000061666327, SELL, 649_999, 12, "RPI", True),
        )),
    ),
    "ticker": Golden(
        TICKER,
        MarkPrice(
            "BTCUSDT", T * MS, T * MS, 6_500_327_000_000, 6_501_050_000_000, -212_000_000, 1_709_913_600_000 * MS
        ),
    ),
    "ticker delta": Golden(
        ticker_delta(markPrice="65004", fundingRate="0.0001"),
        MarkPrice(
            "BTCUSDT", (T + 100) * MS, (T + 100) * MS, 6_500_400_000_000, 6_501_050_000_000, 100_000_000,
            1_709_913_600_000 * MS,
        ),
        before=(TICKER,),
    ),
    "liquidation of a long": Golden(  # the order sells, at a bankruptcy price off the grid
        LIQUIDATION, ForceOrder("BTCUSDT", T * MS, (T + 9) * MS, SELL, 6_432_107_000_000, 643_211, 400, 400)
    ),
    "REST book": Golden(
        REST_BOOK, DepthSnapshot("BTCUSDT", (T + 1) * MS, (T + 3) * MS, 9006, [650_001], [1_000], [], [])
    ),
    "REST trades": Golden(REST_TRADES, Trade("BTCUSDT", T * MS, 0, TRADE_ID, SELL, 649_999, 12, "MARKET", True)),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_golden(kind: str) -> None:
    check_golden(codec(), KINDS[kind])
    check_golden(market_codec("bybit_linear", [BTCUSDT]), KINDS[kind])


# -- the chain of a topic is that of u


def test_a_jump_of_u_does_not_follow_and_a_snapshot_mends_it() -> None:
    connection = codec()

    def sent(kind: str, u: int, seq: int) -> Any:
        return connection.decode(encoded(book(50, kind, u, seq, [], [])))

    assert sent("delta", 699, 8990).previous_id == 8989  # before any snapshot: follows nothing
    assert sent("snapshot", 700, 9000).in_stream
    assert sent("delta", 701, 9001).previous_id == 9000
    assert sent("delta", 703, 9002).previous_id == 9002  # 702 is lost, although seq goes on by one
    assert sent("delta", 704, 9005).previous_id == 9002
    assert sent("delta", 704, 9005).previous_id == 9004  # repeated
    assert sent("snapshot", 1, 9009).last_id == 9009  # the service restarted
    assert sent("delta", 2, 9011).previous_id == 9009
    connection.restart()
    assert sent("delta", 3, 9012).previous_id == 9011  # a new connection knows nothing of the old one: 9011 by chance
    assert sent("delta", 4, 9020).previous_id == 9012


def test_a_second_depth_of_a_symbol_is_no_second_book() -> None:
    connection = codec()
    assert isinstance(connection.decode(encoded(SNAPSHOT)), DepthSnapshot)
    other = connection.decode(encoded(book(200, "snapshot", 5, 9001, [], [])))
    assert other == Other("orderbook.200 beside orderbook.50", "BTCUSDT")
    assert isinstance(connection.decode(encoded(TOP)), BookTicker)


def test_tickers_wait_for_their_snapshot() -> None:
    connection = codec()
    assert connection.decode(encoded(ticker_delta(markPrice="1"))) == Other(
        "tickers delta before its snapshot", "BTCUSDT"
    )
    connection.decode(encoded(TICKER))
    assert connection.decode(encoded(ticker_delta(lastPrice="1"))) == Other("tickers", "BTCUSDT")
    record: Any = connection.decode(encoded(ticker_delta(fundingRate="", nextFundingTime="")))
    assert (record.mark_e8, record.rate_e12, record.next_funding_ns) == (6_500_327_000_000, None, 0)
    connection.restart()
    assert isinstance(connection.decode(encoded(ticker_delta(markPrice="1"))), Other)
    assert connection.decode(encoded(book(1, "delta", 1, 1, [], []))) == Other(
        "orderbook.1 delta before its snapshot", "BTCUSDT"
    )


OTHERS = [
    (SNAPSHOT | {"topic": "orderbook.rpi.BTCUSDT"}, Other("orderbook", "BTCUSDT")),
    (SNAPSHOT | {"topic": "orderbook.25.BTCUSDT"}, Other("orderbook", "BTCUSDT")),
    (TRADES | {"data": []}, Other("publicTrade", "")),
    (TRADES | {"data": [TRADE_ROW | {"s": "XRPUSDT"}]}, Other("publicTrade", "XRPUSDT")),
    (TICKER | {"data": {"symbol": "XRPUSDT", "markPrice": "x"}}, Other("tickers", "XRPUSDT")),
    (LIQUIDATION | {"data": []}, Other("allLiquidation", "")),
    ({"topic": "kline.5.BTCUSDT", "type": "snapshot", "data": [], "ts": 1}, Other("kline", "BTCUSDT")),
    ({"success": True, "ret_msg": "pong", "conn_id": "x", "op": "ping"}, Other("control reply", "")),
    ({"op": "pong", "args": ["1"]}, Other("control reply", "")),
    ({"retCode": 0, "retMsg": "OK", "result": {}, "time": 1}, Other("REST body", "")),
]  # fmt: skip


@pytest.mark.parametrize(("message", "other"), OTHERS, ids=range(len(OTHERS)))
def test_other_frames_are_named(message: Any, other: Other) -> None:
    assert codec().decode(encoded(message)) == other


def changed(message: Any, **data: Any) -> Any:
    return message | {"data": message["data"] | data}


BROKEN = [
    (changed(SNAPSHOT, b=[["65000.15", "1"]]), "data.b[0][0]"),
    (changed(SNAPSHOT, a=[["65000.2", "1"], ["65000.3", "x"]]), "data.a[1][1]"),
    (changed(SNAPSHOT, a=[["65000.2"]]), "data.a[0]"),
    (changed(SNAPSHOT, u=-1), "data.u"),
    (changed(SNAPSHOT, seq=2**63), "data.seq"),
    (changed(SNAPSHOT, s="ETHUSDT"), "data.s"),
    (SNAPSHOT | {"type": "partial"}, "type"),
    (SNAPSHOT | {"ts": "soon"}, "ts"),
    (TRADES | {"data": [TRADE_ROW | {"S": "None"}]}, "data[0].S"),
    (TRADES | {"data": [TRADE_ROW, TRADE_ROW | {"p": "1e5"}]}, "data[1].p"),
    (TRADES | {"data": [TRADE_ROW | {"v": "0.0001"}]}, "data[0].v"),
    (TRADES | {"data": [TRADE_ROW | {"i": 7}]}, "data[0].i"),
    (changed(TICKER, markPrice="0"), "data.markPrice"),
    (changed(TICKER, indexPrice="-1"), "data.indexPrice"),
    (changed(TICKER, fundingRate="x"), "data.fundingRate"),
    (changed(TICKER, nextFundingTime="99999999999999"), "data.nextFundingTime"),
    (LIQUIDATION | {"data": [{"T": T, "s": "BTCUSDT", "S": "", "v": "1", "p": "1"}]}, "data[0].S"),
    (LIQUIDATION | {"data": [{"T": T, "s": "BTCUSDT", "S": "Buy", "v": "1", "p": "x"}]}, "data[0].p"),
    (REST_BOOK | {"result": REST_BOOK["result"] | {"b": 1}}, "result.b"),
    ({"topic": 5}, "topic"),
    ({}, "topic"),
    ([SNAPSHOT], "$"),
]  # fmt: skip


@pytest.mark.parametrize(("message", "field"), BROKEN, ids=[f"{n}-{field}" for n, (_, field) in enumerate(BROKEN)])
def test_malformed_frames_name_the_field(message: Any, field: str) -> None:
    assert refused(codec(), message).field == field


def test_errors_carry_the_venues_words() -> None:
    with pytest.raises(VenueError, match="10006: Too many visits") as caught:
        codec().decode(encoded({"retCode": 10006, "retMsg": "Too many visits!", "result": {}, "time": 1}))
    assert caught.value.hint is Hint.RETRY
    with pytest.raises(VenueError, match="handler not found"):
        codec().decode(encoded({"success": False, "ret_msg": "handler not found", "op": "subscribe"}))


# -- payloads of others: which file gives what

PUBLIC = {
    "http_get_funding_history.json": "Other funding history",
    "http_get_klines_linear.json": "Other REST body",
    "http_get_orderbook.json": "DepthSnapshot",
    "http_get_trades_recent.json": "Trade",
    "ws_account_position_with_open_time.json": "malformed topic",  # a row without its message
    "ws_auth_failure.json": "error 10003: Invalid apikey",
    "ws_kline.json": "Other kline",
    "ws_orderbook_delta.json": "Other orderbook.1 delta before its snapshot",
    "ws_orderbook_snapshot.json": "BookTicker",
    "ws_public_trade.json": "Other trade",  # rows as on publicTrade, but under a topic that there is not
    "ws_subscription_failure.json": "error: Invalid topic: invalid.topic.BTCUSDT",
    "ws_ticker_linear.json": "MarkPrice",
    "ws_ticker_option.json": "Other tickers",
}


def test_every_payload_of_nautilus() -> None:
    """Public ones by the table above; account messages and instrument lists are named and nothing else."""
    for path in payload_files(ADAPTERS / "bybit" / "test_data"):
        found = outcome(codec(), path.read_bytes())
        if path.name in PUBLIC:
            assert found == PUBLIC[path.name], path.name
        elif path.name.startswith("ws_account"):
            assert found in ("Other order", "Other execution", "Other position", "Other wallet")
        else:
            assert found in ("Other REST body", "Other control reply"), path.name


def test_the_two_order_book_payloads_follow_each_other() -> None:
    folder = ADAPTERS / "bybit" / "test_data"
    connection = codec()
    for path in payload_files(folder):
        if path.name == "ws_orderbook_snapshot.json":
            first = connection.decode(path.read_bytes())
            second = connection.decode((folder / "ws_orderbook_delta.json").read_bytes())
            assert first == BookTicker(
                "BTCUSDT", 1709891679000 * MS, 1709891679000 * MS, 987654321, 274_500, 500, 274_510, 750
            )
            assert second == BookTicker(
                "BTCUSDT", 1709891679500 * MS, 1709891679500 * MS, 987654322, 274_500, 400, 0, 0
            )


def test_documentation_samples_of_gocryptotrader() -> None:
    folder = DATA / "gocryptotrader" / "exchanges" / "bybit" / "testdata"
    connection = codec()
    found = {
        path.name: [outcome(connection, line) for line in path.read_bytes().splitlines() if line.strip()]
        for path in payload_files(folder)
    }
    assert found["wsTicker.json"] == [
        "Other tickers without a mark price", "Other tickers", "MarkPrice", "MarkPrice", "Other tickers",
        "Other tickers", "Other tickers", "Other tickers",
    ]  # fmt: skip
    assert found["wsAuth.json"] == [
        "Other position", "Other order", "Other wallet", "Other greeks", "Other execution", "Other order",
        "Other wallet",
    ]  # fmt: skip


def test_memory_of_a_connection_is_bounded() -> None:
    connection = codec()
    for n in range(1000):
        connection.decode(encoded(SNAPSHOT | {"topic": f"orderbook.{n}.BTCUSDT"}))
        connection.decode(encoded(json.loads(json.dumps(TICKER).replace("BTCUSDT", f"X{n}USDT"))))
    assert len(connection._streams) <= 5
    assert len(connection._contexts) <= 1


# -- v2 (2021)

V2_SNAPSHOT = {
    "topic": "orderBookL2_25.BTCUSDT", "type": "snapshot", "cross_seq": "50", "timestamp_e6": "1618677786598877",
    "data": {"order_book": [
        {"price": "60000.0", "symbol": "BTCUSDT", "id": "600000000", "side": "Buy", "size": 0.25},
        {"price": "60000.50", "symbol": "BTCUSDT", "id": "600005000", "side": "Buy", "size": 2},
        {"price": "60001.00", "symbol": "BTCUSDT", "id": "600010000", "side": "Sell", "size": 1.5e0},
    ]},
}  # fmt: skip
V2_DELTA = {
    "topic": "orderBookL2_25.BTCUSDT", "type": "delta", "cross_seq": 57, "timestamp_e6": 1618677786700000,
    "data": {
        "delete": [{"price": "60000.50", "symbol": "BTCUSDT", "id": "600005000", "side": "Buy", "size": 2}],
        "update": [{"price": "60001.00", "symbol": "BTCUSDT", "id": "600010000", "side": "Sell", "size": 0.28469998}],
        "insert": [{"price": "60000.60", "symbol": "BTCUSDT", "id": "600006000", "side": "Buy", "size": 0.001}],
        "transactTimeE6": 0,
    },
}  # fmt: skip
V2_TRADE = {"topic": "trade.BTCUSDT", "data": [{
    "symbol": "BTCUSDT", "tick_direction": "MinusTick", "price": 60621.5, "size": 0.14, "side": "Buy",
    "timestamp": "2021-04-17T16:43:05.000Z", "trade_time_ms": "1618677785116",
    "trade_id": "01cacfe9-8d1c-5ee4-995d-d79a43f955a6",
}]}  # fmt: skip
V2_NS = 1618677786598877_000
V2_KINDS = {
    "snapshot": Golden(
        V2_SNAPSHOT,
        DepthSnapshot("BTCUSDT", V2_NS, V2_NS, 50, [600_005, 600_000], [2_000, 250], [600_010], [1_500], True),
    ),
    "delta": Golden(
        V2_DELTA | {"data": V2_DELTA["data"] | {"update": []}},  # type: ignore[operator]
        DepthDiff(
            "BTCUSDT", 1618677786700000_000, 1618677786700000_000, 51, 57, 50, [600_005, 600_006], [0, 1], [], []
        ),
        before=(V2_SNAPSHOT,),
    ),
    "trade": Golden(
        V2_TRADE,
        Trade("BTCUSDT", 1618677785116 * MS, 0, 0x01CACFE98D1C5EE4 >> 1, BUY, 606_215, 140, "MARKET", True),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", V2_KINDS)
def test_golden_of_v2(kind: str) -> None:
    check_golden(codec(), V2_KINDS[kind])


def test_sizes_of_single_precision() -> None:
    """Linear v2 books say 284.69998 for 284.7 and 16.150002 for 16.15; what no such number explains is refused."""
    fine = Instrument.from_fields({"venue": "bybit_linear", "symbol": "X", "base": "X", "quote": "USDT",
                                   "tick_size": "1", "lot_size": "0.01"})  # fmt: skip
    for text, lots in (("284.69998", 28_470), ("16.150002", 1_615), ("13.329999", 1_333), ("53.010002", 5_301),
                       ("2", 200), ("0", 0), ("0.01", 1)):  # fmt: skip
        assert lots_of_single(fine, text) == lots
    for text in ("284.6999", "16.15001", "0.001", "0.0099999", "x", "-1", "41943.041"):
        with pytest.raises(InstrumentError):
            lots_of_single(fine, text)
    assert refused(codec(), V2_DELTA).field == "data rows[1].size"  # 0.2847, on a grid of 0.001


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (V2_SNAPSHOT | {"type": "x"}, "type"),
        (V2_SNAPSHOT | {"cross_seq": "x"}, "cross_seq"),
        (V2_SNAPSHOT | {"timestamp_e6": 2**62}, "timestamp_e6"),
        (V2_SNAPSHOT | {"data": [{"price": "60000.05", "symbol": "BTCUSDT", "side": "Buy", "size": 1}]},
         "data[0].price"),
        (V2_SNAPSHOT | {"data": [{"price": "60000", "symbol": "BTCUSDT", "side": "None", "size": 1}]},
         "data[0].side"),
        (V2_TRADE | {"data": [{"symbol": "BTCUSDT"}]}, "data[0].price"),
    ],
)  # fmt: skip
def test_malformed_v2_frames_name_the_field(message: Any, field: str) -> None:
    assert refused(codec(), message).field == field


def v2_instruments() -> list[Instrument]:
    return [
        Instrument.from_fields({
            "venue": "bybit_linear", "symbol": row["name"], "base": row["base_currency"],
            "quote": row["quote_currency"], "tick_size": row["price_filter"]["tick_size"],
            "lot_size": str(row["lot_size_filter"]["qty_step"]),
        })
        for body in answers("BYBIT.0")
        for row in body["result"]
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "counts", "symbols"),
    [
        ("BYBIT.ws.25.0", {"DepthDiff": 3_252, "DepthSnapshot": 8, "Trade": 101, "Other": 16}, 8),
        ("BYBIT.ws.26.0", {"DepthDiff": 1_016, "DepthSnapshot": 2, "Trade": 150, "Other": 4}, 2),
    ],
)
def test_captures_of_v2_rebuild_books_of_25_levels_never_crossed(
    name: str, counts: dict[str, int], symbols: int
) -> None:
    """Every row deleted or updated was there, every row inserted was not: nothing is lost, and nothing is misread."""
    connection = BybitCodec(v2_instruments())
    found: Counter[str] = Counter()
    books: dict[str, PlainBook] = {}
    for _, raw in captured(name):
        for record in singles(connection.decode(raw)):
            found[type(record).__name__] += 1
            if isinstance(record, DepthDiff | DepthSnapshot):
                book = books.setdefault(record.symbol, PlainBook())
                book.take(record)
                assert (len(book.bids), len(book.asks)) == (25, 25)
    assert found == counts
    assert [(book.broken, book.crossed) for book in books.values()] == [(0, 0)] * symbols


@pytest.mark.parametrize("name", ["BYBIT.ws.25.0", "BYBIT.ws.26.0"])
def test_captures_of_v2_agree_with_an_independent_decoder(name: str) -> None:
    instruments = {instrument.symbol: instrument for instrument in v2_instruments()}
    connection = BybitCodec(instruments.values())
    for _, raw in captured(name):
        message, found = json.loads(raw, parse_float=Decimal), connection.decode(raw)
        if "topic" not in message:
            assert found == Other("control reply", "")
            continue
        lot = instruments[message["topic"].partition(".")[2]].lot_size
        grid = PlainGrid(instruments[message["topic"].partition(".")[2]])
        if message["topic"].startswith("trade."):
            assert [
                (trade.ts_event_ns, trade.ticks, trade.lots, trade.side)
                for trade in singles(found)
                if isinstance(trade, Trade)
            ] == [
                (
                    int(row["trade_time_ms"]) * MS,
                    grid.ticks(row["price"]),
                    nearest(row["size"], lot),
                    row["side"] != "Buy",
                )
                for row in message["data"]
            ]
            continue
        assert isinstance(found, DepthDiff | DepthSnapshot)
        data = message["data"]
        rows = (
            data if isinstance(data, list) else data.get("order_book") or [row for part in _PARTS for row in data[part]]
        )
        expected = {(row["side"], grid.ticks(row["price"])): nearest(row.get("size", 0), lot) for row in rows}
        assert expected == {
            **{("Buy", at): lots for at, lots in zip(found.bid_ticks, found.bid_lots, strict=True)},
            **{("Sell", at): lots for at, lots in zip(found.ask_ticks, found.ask_lots, strict=True)},
        }
        assert (found.last_id, found.ts_event_ns) == (int(message["cross_seq"]), int(message["timestamp_e6"]) * 1000)


_PARTS = ("delete", "update", "insert")


def nearest(size: Any, lot: Decimal) -> int:
    """What single precision took away is far less than half a lot."""
    return int((Decimal(size) / lot).to_integral_value())
