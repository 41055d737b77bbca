"""The OKX decoder: golden messages, the checksum, a recording of others, and what it must refuse."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from venues.codecs import market_codec
from venues.errors import Hint, VenueError
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
from venues.okx.codec import Checksums, OkxCodec

SWAP = known_instrument("okx", "BTC-USDT-SWAP")  # tick 0.1, lot 0.01
T = 1_744_590_349_000
ARG = {"channel": "books", "instId": "BTC-USDT-SWAP"}


def spot(symbol: str, tick: str, lot: str) -> Instrument:
    base, quote, *_ = symbol.split("-")
    return Instrument.from_fields(
        {"venue": "okx", "symbol": symbol, "base": base, "quote": quote, "tick_size": tick, "lot_size": lot}
    )


def codec() -> OkxCodec:
    return OkxCodec([SWAP])


def rows(*levels: tuple[str, str]) -> list[list[str]]:
    return [[price, size, "0", "1"] for price, size in levels]


def book(action: str, bids: Any, asks: Any, channel: str = "books", ts: int = T, **ids: int) -> dict[str, Any]:
    data = {"asks": asks, "bids": bids, "ts": str(ts), **ids}
    return {"arg": ARG | {"channel": channel}, "action": action, "data": [data]}


def push(channel: str, *data: Any, inst: str = "BTC-USDT-SWAP") -> dict[str, Any]:
    return {"arg": {"channel": channel, "instId": inst}, "data": list(data)}


SNAPSHOT = book(
    "snapshot", rows(("84660", "1.5"), ("84659.9", "0.01")), rows(("84660.1", "20")), seqId=123456, prevSeqId=-1,
    checksum=0,
)  # fmt: skip
UPDATE = book("update", rows(("84660", "0")), rows(("84660.3", "3")), ts=T + 100, seqId=123460, prevSeqId=123456)
TRADE = {
    "instId": "BTC-USDT-SWAP", "tradeId": "130639474", "px": "84660.1", "sz": "0.12", "side": "buy", "ts": str(T),
    "count": "3", "seqId": 7,
}  # fmt: skip
BEST = push("bbo-tbt", {
    "asks": rows(("84660.1", "2")), "bids": rows(("84660", "1.5")), "ts": str(T), "seqId": 123461,
})  # fmt: skip
MARK = push("mark-price", {"instType": "SWAP", "instId": "BTC-USDT-SWAP", "markPx": "84660.15", "ts": str(T)})
INDEX = push("index-tickers", {"instId": "BTC-USDT", "idxPx": "84700.5", "ts": str(T + 1)}, inst="BTC-USDT")
RATE = push("funding-rate", {
    "instId": "BTC-USDT-SWAP", "fundingRate": "-0.0000188537137456", "nextFundingRate": "", "ts": str(T + 2),
    "fundingTime": "1744617600000", "nextFundingTime": "1744646400000",
})  # fmt: skip
LIQUIDATION = {
    "arg": {"channel": "liquidation-orders", "instType": "SWAP"},
    "data": [{
        "instId": "BTC-USDT-SWAP", "instType": "SWAP", "uly": "BTC-USDT",
        "details": [{"side": "sell", "posSide": "long", "bkPx": "84321.07", "sz": "13", "bkLoss": "0", "ts": str(T)}],
    }],
}  # fmt: skip
REST_BOOK = {"code": "0", "msg": "", "data": [{
    "asks": rows(("84660.1", "2")), "bids": [], "ts": str(T), "seqId": 123459,
}]}  # fmt: skip
NEXT_NS = 1_744_617_600_000 * MS

KINDS: dict[str, Golden] = {
    "snapshot": Golden(
        SNAPSHOT,
        DepthSnapshot("BTC-USDT-SWAP", T * MS, 0, 123456, [846_600, 846_599], [150, 1], [846_601], [2_000], True),
    ),
    "update": Golden(
        UPDATE,
        DepthDiff(
            "BTC-USDT-SWAP", (T + 100) * MS, 0, 123457, 123460, 123456, [846_600], [0], [846_603], [300]
        ),
        before=(SNAPSHOT,),
    ),
    "books5": Golden(
        book("", rows(("84660", "1")), [], "books5", seqId=5),
        DepthSnapshot("BTC-USDT-SWAP", T * MS, 0, 5, [846_600], [100], [], [], True),
    ),
    "bbo": Golden(BEST, BookTicker("BTC-USDT-SWAP", T * MS, 0, 123461, 846_600, 150, 846_601, 200)),
    "trade": Golden(
        push("trades", TRADE), Trade("BTC-USDT-SWAP", T * MS, 0, 130639474, BUY, 846_601, 12, "MARKET", True)
    ),
    "trades": Golden(
        push("trades-all", TRADE, TRADE | {"tradeId": "5", "side": "sell"}),
        Batch((
            Trade("BTC-USDT-SWAP", T * MS, 0, 130639474, BUY, 846_601, 12, "MARKET", True),
            Trade("BTC-USDT-SWAP", T * MS, 0, 5, SELL, 846_601, 12, "MARKET", True),
        )),
    ),
    "mark": Golden(MARK, MarkPrice("BTC-USDT-SWAP", T * MS, T * MS, 8_466_015_000_000, 0, None, 0)),
    "mark, index and rate": Golden(
        RATE,
        MarkPrice(
            "BTC-USDT-SWAP", (T + 2) * MS, (T + 2) * MS, 8_466_015_000_000, 8_470_050_000_000, -18_853_714, NEXT_NS
        ),
        before=(MARK, INDEX),
    ),
    "index": Golden(
        INDEX,
        MarkPrice(
            "BTC-USDT-SWAP", (T + 1) * MS, (T + 1) * MS, 8_466_015_000_000, 8_470_050_000_000, -18_853_714, NEXT_NS
        ),
        before=(RATE, MARK),
    ),
    "liquidation": Golden(
        LIQUIDATION, ForceOrder("BTC-USDT-SWAP", T * MS, 0, SELL, 8_432_107_000_000, 843_211, 1_300, 1_300)
    ),
    "REST book": Golden(REST_BOOK, DepthSnapshot("BTC-USDT-SWAP", T * MS, 0, 123459, [], [], [846_601], [200])),
    "REST trades": Golden(
        {"code": "0", "msg": "", "data": [
            TRADE | {"ts": str(T + 5)}, TRADE | {"tradeId": "5"}, TRADE | {"tradeId": "4"},
        ]},
        Batch((
            Trade("BTC-USDT-SWAP", T * MS, 0, 4, BUY, 846_601, 12, "MARKET", True),
            Trade("BTC-USDT-SWAP", T * MS, 0, 5, BUY, 846_601, 12, "MARKET", True),
            Trade("BTC-USDT-SWAP", (T + 5) * MS, 0, 130639474, BUY, 846_601, 12, "MARKET", True),
        )),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_golden(kind: str) -> None:
    check_golden(codec(), KINDS[kind])
    check_golden(market_codec("okx", [SWAP]), KINDS[kind])


# -- ids


def test_the_documented_chain_with_a_reset_and_a_quiet_minute() -> None:
    """10, then nothing new (15 to 15), then maintenance (15 to 3), then 5: every one follows."""
    connection = codec()
    connection.decode(encoded(book("snapshot", [], [], seqId=10, prevSeqId=-1)))
    found = [
        connection.decode(encoded(book("update", [], [], seqId=new, prevSeqId=old)))
        for old, new in ((10, 15), (15, 15), (15, 3), (3, 5))
    ]
    last = 10
    for record in found:
        assert isinstance(record, DepthDiff)
        assert record.previous_id == last
        assert record.first_id <= max(record.last_id, record.previous_id + 1)
        last = record.last_id
    assert last == 5


def test_messages_without_ids_are_numbered() -> None:
    connection = codec()
    first: Any = connection.decode(encoded(book("snapshot", [], [])))
    second: Any = connection.decode(encoded(book("update", [], [])))
    third: Any = connection.decode(encoded(book("update", [], [])))
    assert (second.previous_id, third.previous_id) == (first.last_id, second.last_id)
    refused(connection, book("update", rows(("x", "1")), []))
    fifth: Any = connection.decode(encoded(book("update", [], [])))
    assert fifth.previous_id != third.last_id
    connection.restart()
    again: Any = connection.decode(encoded(book("snapshot", [], [])))
    assert again.last_id > fifth.last_id


def test_books_is_preferred_to_books5_and_one_channel_is_the_book() -> None:
    connection = codec()
    whole = book("", [], [], "books5", seqId=5)
    assert isinstance(connection.decode(encoded(whole)), DepthSnapshot)
    assert isinstance(connection.decode(encoded(SNAPSHOT)), DepthSnapshot)
    assert connection.decode(encoded(whole)) == Other("books5 beside books", "BTC-USDT-SWAP")
    other = SNAPSHOT | {"arg": ARG | {"channel": "books50-l2-tbt"}}
    assert connection.decode(encoded(other)) == Other("books50-l2-tbt beside books", "BTC-USDT-SWAP")


# -- the checksum


def plain_checksum(bids: dict[str, str], asks: dict[str, str]) -> int:
    """Written from the documented example, with ``Decimal`` for the order."""
    best_bids = sorted(bids, key=Decimal, reverse=True)[:25]
    best_asks = sorted(asks, key=Decimal)[:25]
    parts = []
    for depth in range(25):
        parts += [f"{p}:{bids[p]}" for p in best_bids[depth : depth + 1]]
        parts += [f"{p}:{asks[p]}" for p in best_asks[depth : depth + 1]]
    value = crc32(":".join(parts).encode())
    return value - 2**32 if value >= 2**31 else value


@pytest.mark.parametrize(
    ("bids", "asks", "checksum"),
    [
        ((("3366.1", "7"), ("3366", "6")), (("3366.8", "9"), ("3368", "8")), -1881014294),
        ((("3366.1", "7"),), (("3366.8", "9"), ("3368", "8"), ("3372", "8")), 831078360),
    ],
)
def test_the_documented_strings(bids: Any, asks: Any, checksum: int) -> None:
    connection = codec()
    record: Any = connection.decode(encoded(book("snapshot", rows(*bids), rows(*asks), checksum=checksum)))
    assert record.intact
    record = connection.decode(encoded(book("snapshot", rows(*bids), rows(*asks), checksum=checksum + 1)))
    assert record.intact is False
    assert connection.checksums == Checksums(right=1, wrong=1)


PRICES = [f"{84660 + n}.{n % 10}" for n in range(60)]


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from(PRICES), st.sampled_from(["0", "1", "1.50", "2"])), max_size=90)
)
@settings(max_examples=60, deadline=None)
def test_any_book_has_the_checksum_of_the_plain_rule(changes: list[tuple[bool, str, str]]) -> None:
    connection = codec()
    bids, asks = {f"{84000 + n}": "1" for n in range(30)}, {f"{85000 + n}": "1" for n in range(30)}
    first = book("snapshot", rows(*bids.items()), rows(*asks.items()), checksum=plain_checksum(bids, asks))
    assert getattr(connection.decode(encoded(first)), "intact")  # noqa: B009
    for start in range(0, len(changes), 3):
        sent: tuple[list[tuple[str, str]], list[tuple[str, str]]] = ([], [])
        for is_bid, price, size in changes[start : start + 3]:
            side = bids if is_bid else asks
            sent[0 if is_bid else 1].append((price, size))
            side.pop(price, None)
            if size != "0":
                side[price] = size
        update = book("update", rows(*sent[0]), rows(*sent[1]), checksum=plain_checksum(bids, asks))
        assert getattr(connection.decode(encoded(update)), "intact")  # noqa: B009
    assert connection.checksums.wrong == 0


def test_a_lost_update_is_found_by_the_checksum_and_mended_by_a_snapshot() -> None:
    connection = codec()
    bids, asks = {"84660": "1"}, {"84661": "2", "84662": "3"}
    snapshot = book("snapshot", rows(*bids.items()), rows(*asks.items()), checksum=plain_checksum(bids, asks))
    connection.decode(encoded(snapshot))
    asks["84661"] = "5"  # never received
    asks["84662"] = "4"
    update = book("update", [], rows(("84662", "4")), checksum=plain_checksum(bids, asks))
    assert getattr(connection.decode(encoded(update)), "intact") is False  # noqa: B009
    assert getattr(connection.decode(encoded(snapshot)), "intact")  # noqa: B009


def test_without_checksums_no_strings_are_kept() -> None:
    connection = codec()
    connection.decode(encoded(SNAPSHOT))
    connection.decode(encoded(UPDATE))
    assert not connection._books["BTC-USDT-SWAP"].bids.texts
    assert connection.checksums == Checksums(absent=2)


def test_a_book_without_end_is_not_kept() -> None:
    connection = codec()
    levels = rows(*((f"{n}", "1") for n in range(1, 2_001)))
    first: Any = connection.decode(encoded(book("snapshot", levels, [], checksum=5)))
    assert first.intact is False
    for start in (2_001, 4_001):
        more = rows(*((f"{n}", "1") for n in range(start, start + 2_000)))
        later: Any = connection.decode(encoded(book("update", more, [], checksum=5)))
        assert later.intact is False
    assert not connection._books["BTC-USDT-SWAP"].bids.texts
    assert getattr(connection.decode(encoded(book("update", more, [], checksum=5))), "intact") is None  # noqa: B009
    assert connection.checksums == Checksums(wrong=3, absent=1)


# -- what is named and what is refused

OTHERS = [
    ({"event": "subscribe", "arg": ARG, "connId": "x"}, Other("subscribe", "BTC-USDT-SWAP")),
    ({"event": "notice", "code": "64008", "msg": "closing soon"}, Other("notice", "")),
    (b"pong", Other("pong", "")),
    (push("tickers", {"last": "1"}), Other("tickers", "BTC-USDT-SWAP")),
    (push("trades"), Other("trades", "")),
    (SNAPSHOT | {"arg": ARG | {"instId": "X-SWAP"}}, Other("books", "X-SWAP")),
    (SNAPSHOT | {"arg": ARG | {"channel": "books-elp"}}, Other("books-elp", "BTC-USDT-SWAP")),
    (RATE, Other("funding-rate", "BTC-USDT-SWAP")),
    (INDEX, Other("index-tickers", "BTC-USDT-SWAP")),
    ({"code": "0", "msg": "", "data": []}, Other("REST body", "")),
]


@pytest.mark.parametrize(("message", "other"), OTHERS, ids=range(len(OTHERS)))
def test_other_frames_are_named(message: Any, other: Other) -> None:
    assert codec().decode(encoded(message)) == other


def bad(message: Any, **changes: Any) -> Any:
    return message | {"data": [message["data"][0] | changes]}


BROKEN = [
    (bad(SNAPSHOT, bids=rows(("84660.05", "1"))), "data[0].bids[0][0]"),
    (bad(UPDATE, asks=rows(("84660", "1"), ("84660", "0.001"))), "data[0].asks[1][1]"),
    (bad(SNAPSHOT, bids=[["1", "1"]]), "data[0].bids[0]"),
    (bad(SNAPSHOT, ts=""), "data[0].ts"),
    (bad(SNAPSHOT, seqId=-2), "data[0].seqId"),
    (SNAPSHOT | {"action": "partial"}, "action"),
    (bad(BEST, asks=rows(("1.23", "1"))), "data[0].asks[0][0]"),
    (push("trades", TRADE | {"side": "long"}), "data[0].side"),
    (push("trades", TRADE, TRADE | {"px": "x"}), "data[1].px"),
    (push("trades", TRADE | {"sz": "0.001"}), "data[0].sz"),
    (push("trades", TRADE | {"ts": "x"}), "data[0].ts"),
    (bad(MARK, markPx="0"), "data[0].markPx"),
    (bad(INDEX, idxPx="x"), "data[0].idxPx"),
    (bad(RATE, fundingRate="x"), "data[0].fundingRate"),
    (bad(RATE, fundingTime="x"), "data[0].fundingTime"),
    (bad(LIQUIDATION, details=[{"side": "x", "bkPx": "1", "sz": "1", "ts": "1"}]), "data[0].details[0].side"),
    (bad(LIQUIDATION, details=[{"side": "buy", "bkPx": "x", "sz": "1", "ts": "1"}]), "data[0].details[0].bkPx"),
    ({"arg": {"channel": 5}, "data": []}, "arg.channel"),
    ({"hello": 1}, "arg"),
    ([], "$"),
]


@pytest.mark.parametrize(("message", "field"), BROKEN, ids=[f"{n}-{field}" for n, (_, field) in enumerate(BROKEN)])
def test_malformed_frames_name_the_field(message: Any, field: str) -> None:
    assert refused(codec(), message).field == field


def test_a_book_of_rest_belongs_to_the_instrument_it_is_said_to() -> None:
    both = OkxCodec([SWAP, known_instrument("okx", "ETH-USDT-SWAP")])
    assert refused(both, REST_BOOK).field == "instId"
    assert getattr(both.decode(encoded(REST_BOOK), "BTC-USDT-SWAP"), "symbol") == "BTC-USDT-SWAP"  # noqa: B009
    assert both.decode(encoded(REST_BOOK), "XRP-USDT-SWAP") == Other("market/books", "XRP-USDT-SWAP")


def test_errors_carry_the_venues_code() -> None:
    with pytest.raises(VenueError, match="64003: no access") as caught:
        codec().decode(encoded({"event": "error", "code": "64003", "msg": "no access", "connId": "x"}))
    assert caught.value.hint is Hint.HALT
    with pytest.raises(VenueError) as caught:
        codec().decode(encoded({"code": "50011", "msg": "Too Many Requests", "data": []}))
    assert (caught.value.code, caught.value.hint) == (50011, Hint.RETRY)


# -- payloads of others

PUBLIC = {
    "common_optional_string_to_u64.json": "malformed $",
    "http_get_candlesticks.json": "Other REST body",
    "http_get_funding_rate_history.json": "Other funding history",
    "http_get_index_price.json": "2 Other index-tickers",  # of swap and spot; an index alone is no mark
    "http_get_mark_price.json": "MarkPrice",
    "http_get_order_book.json": "DepthSnapshot",
    "http_get_trades.json": "2 Trade",
    "ws_bbo_tbt.json": "BookTicker",
    "ws_books_snapshot.json": "DepthSnapshot",
    "ws_books_update.json": "DepthDiff",
    "ws_candle.json": "Other candle1D",
    "ws_funding_rate.json": "Other funding-rate",  # a rate alone is no mark
    "ws_instruments.json": "Other instruments",
    "ws_opt_summary.json": "malformed $",  # a bare row
    "ws_tickers.json": "Other tickers",
    "ws_trades.json": "Trade",
}
BARE = (  # rows without the message around them
    "http_balance_detail_new_fields.json", "http_balance_detail_old_fields.json", "http_place_order_response.json",
    "http_transaction_detail.json", "http_transaction_detail_empty_fee.json",
)  # fmt: skip
ACCOUNT = {"Other account", "Other orders", "Other orders-algo", "Other sprd-orders"}


def test_every_payload_of_nautilus() -> None:
    for path in payload_files(ADAPTERS / "okx" / "test_data"):
        precise = path.name in ("http_get_order_book.json", "http_get_trades.json", "ws_trades.json")
        lot = "0.00000001" if precise else "1"
        instruments = [SWAP, spot("BTC-USDT", "0.1" if precise else "0.01", lot), spot("BTC-USD", "0.1", lot)]
        found = outcome(OkxCodec(instruments), path.read_bytes(), "BTC-USDT")
        if path.name in PUBLIC:
            assert found == PUBLIC[path.name], path.name
        elif path.name in BARE:
            assert found == "malformed arg", path.name
        else:
            assert found in ACCOUNT if path.name.startswith("ws_") else found == "Other REST body", path.name


def test_documentation_samples_of_gocryptotrader() -> None:
    found = {
        path.name: [outcome(OkxCodec([spot("BTC-USDT", "0.1", "0.00000001")]), line) for line in path.open("rb")]
        for path in payload_files(DATA / "gocryptotrader" / "exchanges" / "okx" / "testdata")
    }
    assert found == {"wsAllTrades.json": ["Trade"] * 2, "wsOrders.json": ["Other orders"] * 4}


def captured_instruments() -> list[Instrument]:
    names = ("BTC-USD-220527", "UNI-USD-SWAP", "BTC-USDT")
    found = {
        row["instId"]: spot(row["instId"], row["tickSz"], row["lotSz"])
        for body in answers("OKX.0")
        for row in body["data"]
        if row["instId"] in names
    }
    return [found[name] for name in names]


def test_every_checksum_of_a_recording_is_right() -> None:
    """290 of 290, on books that are never crossed."""
    decoder = OkxCodec(captured_instruments())
    counts: Counter[str] = Counter()
    books: dict[str, PlainBook] = {}
    for _, raw in captured("OKX.ws.1.0"):
        for record in singles(decoder.decode(raw)):
            counts[type(record).__name__] += 1
            if isinstance(record, DepthDiff | DepthSnapshot):
                assert record.intact
                books.setdefault(record.symbol, PlainBook()).take(record)
    assert decoder.checksums == Checksums(right=290)
    assert counts == {"DepthDiff": 287, "DepthSnapshot": 3, "Trade": 74, "Other": 46}
    assert {name: (one.broken, one.crossed) for name, one in books.items()} == dict.fromkeys(
        ("BTC-USD-220527", "UNI-USD-SWAP", "BTC-USDT"), (0, 0)
    )


def test_the_recording_agrees_with_an_independent_decoder() -> None:
    instruments = captured_instruments()
    decoder = OkxCodec(instruments)
    grids = {instrument.symbol: PlainGrid(instrument) for instrument in instruments}
    for _, raw in captured("OKX.ws.1.0"):
        message = json.loads(raw)
        found = decoder.decode(raw)
        if "event" in message or message["arg"]["channel"] == "tickers":
            assert isinstance(found, Other)
            continue
        grid = grids[message["arg"]["instId"]]
        for row, record in zip(message["data"], singles(found), strict=True):
            if message["arg"]["channel"] == "trades":
                assert isinstance(record, Trade)
                facts: list[Any] = [record.trade_id, record.side, record.ticks, record.lots]
                side = {"buy": BUY, "sell": SELL}[row["side"]]
                assert facts == [int(row["tradeId"]), side, grid.ticks(row["px"]), grid.lots(row["sz"])]
            else:
                assert isinstance(record, DepthDiff | DepthSnapshot)
                facts = [record.bid_ticks, record.bid_lots, record.ask_ticks, record.ask_lots]
                assert facts == [
                    [convert(level[column]) for level in row[name]]
                    for name in ("bids", "asks")
                    for column, convert in enumerate((grid.ticks, grid.lots))
                ]
            assert record.ts_event_ns == int(row["ts"]) * MS
