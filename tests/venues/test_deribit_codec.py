"""The Deribit decoder: golden messages, a recording of others, and what it must refuse."""

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
from venues.codecs import market_codec
from venues.deribit.codec import DeribitCodec
from venues.errors import Hint, VenueError
from venues.instruments import Instrument
from venues.market_data import Batch, BookTicker, DepthDiff, DepthSnapshot, MarkPrice, Other, Trade

PERP = known_instrument("deribit", "BTC-PERPETUAL")  # tick 0.5, lot 10 USD
T = 1_765_531_356_452
NAME = "BTC-PERPETUAL"


def codec() -> DeribitCodec:
    return DeribitCodec([PERP])


def push(channel: str, data: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": "subscription", "params": {"channel": channel, "data": data}}


def book(kind: str, change_id: int, bids: Any, asks: Any, **more: Any) -> dict[str, Any]:
    data = {"type": kind, "timestamp": T, "instrument_name": NAME, "change_id": change_id, "bids": bids, "asks": asks}
    return push(f"book.{NAME}.raw", data | more)


def reply(result: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 5, "result": result, "usIn": 1, "usOut": 2, "usDiff": 1, "testnet": False}


SNAPSHOT = book("snapshot", 900, [["new", 42500.0, 1000.0], ["new", 42499.5, 10]], [["new", 42501, 800.0]])
CHANGE = book(
    "change", 905, [["delete", 42500.0, 30.0], ["new", 42499.0, 1.5e3]], [["change", 42501.0, 20.0]], prev_change_id=900
)
TRADE = {
    "timestamp": T, "price": 92294.5, "amount": 20.0, "direction": "sell", "index_price": 92276.75, "contracts": 2.0,
    "instrument_name": NAME, "trade_seq": 271252854, "mark_price": 92287.11, "tick_direction": 2,
    "trade_id": "403691824",
}  # fmt: skip
TICKER = {
    "timestamp": T, "state": "open", "index_price": 92263.55, "instrument_name": NAME, "mark_price": 92281.78,
    "best_ask_price": 92284.0, "current_funding": -1.742e-05, "funding_8h": 0.0, "interest_value": 0.00282134001224729,
}  # fmt: skip
QUOTE = {
    "timestamp": T, "instrument_name": NAME, "best_ask_price": 92288.5, "best_bid_price": 92288.0,
    "best_ask_amount": 99470.0, "best_bid_amount": 133440.0,
}  # fmt: skip
WHOLE = {
    "timestamp": T, "instrument_name": NAME, "change_id": 907, "bids": [[89532.5, 254900.0]],
    "asks": [[89533.0, 91570.0], [89533.5, 10000.0]],
}  # fmt: skip
SIDES = ([179_065], [25_490], [179_066, 179_067], [9_157, 1_000])
PRINT = Trade(NAME, T * MS, 0, 271252854, SELL, 184_589, 2, "MARKET", True)

KINDS: dict[str, Golden] = {
    "snapshot": Golden(
        SNAPSHOT, DepthSnapshot(NAME, T * MS, 0, 900, [85_000, 84_999], [100, 1], [85_002], [80], in_stream=True)
    ),
    "change": Golden(
        CHANGE, DepthDiff(NAME, T * MS, 0, 901, 905, 900, [85_000, 84_998], [0, 150], [85_002], [2])
    ),
    "whole book": Golden(
        push(f"book.{NAME}.none.10.100ms", WHOLE), DepthSnapshot(NAME, T * MS, 0, 907, *SIDES, in_stream=True)
    ),
    "REST book": Golden(
        reply(WHOLE | {"state": "open", "stats": {}, "mark_price": 1.5}), DepthSnapshot(NAME, T * MS, 0, 907, *SIDES)
    ),
    "trade": Golden(push(f"trades.{NAME}.raw", [TRADE]), PRINT),
    "trades": Golden(
        push(f"trades.{NAME}.100ms", [
            TRADE | {"direction": "buy", "liquidation": "T"},
            TRADE | {"combo_id": "BTC-FS-25DEC26_PERP", "price": 92294.87},  # off the grid, rounded down
            TRADE | {"block_trade_id": "154", "price": 92294.5},
        ]),
        Batch((
            Trade(NAME, T * MS, 0, 271252854, BUY, 184_589, 2, "LIQUIDATION", True),
            Trade(NAME, T * MS, 0, 271252854, SELL, 184_589, 2, "COMBO", False),
            Trade(NAME, T * MS, 0, 271252854, SELL, 184_589, 2, "BLOCK", False),
        )),
    ),
    "REST trades": Golden(
        reply({"trades": [TRADE | {"trade_seq": 271252855}, TRADE], "has_more": True}),
        Batch((PRINT, Trade(NAME, T * MS, 0, 271252855, SELL, 184_589, 2, "MARKET", True))),
    ),
    "ticker": Golden(
        push(f"ticker.{NAME}.100ms", TICKER),
        MarkPrice(NAME, T * MS, T * MS, 9_228_178_000_000, 9_226_355_000_000, -17_420_000, 0),
    ),
    "quote": Golden(push(f"quote.{NAME}", QUOTE), BookTicker(NAME, T * MS, 0, 0, 184_576, 13_344, 184_577, 9_947)),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_golden(kind: str) -> None:
    check_golden(codec(), KINDS[kind])
    check_golden(market_codec("deribit", [PERP]), KINDS[kind])


def test_numbers_are_read_as_they_are_written() -> None:
    """Whole, with an exponent, with more digits than a float has: the text decides, not a float."""
    fine = Instrument.from_fields({
        "venue": "deribit", "symbol": "X_USDC-PERPETUAL", "tick_size": "0.0000001", "lot_size": "0.1",
    })  # fmt: skip
    text = json.dumps(push("book.X_USDC-PERPETUAL.raw", {
        "type": "snapshot", "timestamp": T, "instrument_name": "X_USDC-PERPETUAL", "change_id": 1,
        "bids": [["new", 1e-07, 1e3], ["new", 3e-06, 2]], "asks": [],
    }))  # fmt: skip
    record: Any = DeribitCodec([fine]).decode(text.encode())
    assert (record.bid_ticks, record.bid_lots) == ([1, 30], [10_000, 20])
    off = text.replace("1e-07", "0.00000010000000000000001")
    assert refused(DeribitCodec([fine]), off.encode()).field == "params.data.bids[0][1]"
    assert refused(DeribitCodec([fine]), text.replace("1e-07", "true").encode()).field == "params.data.bids[0][1]"
    assert refused(DeribitCodec([fine]), text.replace("1e-07", "1e999").encode()).field == "params.data.bids[0][1]"


def test_an_empty_side_of_a_quote() -> None:
    for nothing in ({"best_bid_price": None, "best_bid_amount": None}, {"best_bid_price": 0.0, "best_bid_amount": 0.0}):
        record: Any = codec().decode(encoded(push(f"quote.{NAME}", QUOTE | nothing)))
        assert (record.bid_ticks, record.bid_lots, record.ask_ticks) == (0, 0, 184_577)


def test_one_channel_is_the_book() -> None:
    connection = codec()
    whole = push(f"book.{NAME}.none.10.100ms", WHOLE)
    assert isinstance(connection.decode(encoded(whole)), DepthSnapshot)
    assert isinstance(connection.decode(encoded(SNAPSHOT)), DepthSnapshot)  # changes are preferred
    assert connection.decode(encoded(whole)) == Other("book beside another", NAME)
    slower = SNAPSHOT | {"params": SNAPSHOT["params"] | {"channel": f"book.{NAME}.100ms"}}
    assert connection.decode(encoded(slower)) == Other("book beside another", NAME)
    connection.restart()
    assert isinstance(connection.decode(encoded(slower)), DepthSnapshot)


OTHERS = [
    ({"jsonrpc": "2.0", "method": "heartbeat", "params": {"type": "test_request"}}, Other("heartbeat", "")),
    (reply("ok"), Other("reply", "")),
    (reply(["trades.X.raw"]), Other("reply", "")),
    (reply({"order": {}, "trades": []}), Other("reply", "")),
    (push(f"book.{NAME}.5.10.100ms", WHOLE), Other("book", NAME)),  # prices in groups of 5 are no book
    (push(f"perpetual.{NAME}.raw", {"interest": 0.1}), Other("perpetual", NAME)),
    (push(f"incremental_ticker.{NAME}", TICKER), Other("incremental_ticker", NAME)),
    (push(f"ticker.{NAME}.raw", TICKER | {"instrument_name": "X"}), Other("ticker", "X")),
    (push(f"quote.{NAME}", QUOTE | {"instrument_name": "X"}), Other("quote", "X")),
    (push(f"trades.{NAME}.raw", [TRADE | {"instrument_name": "X"}]), Other("trades", "X")),
    (push(f"trades.{NAME}.raw", []), Other("trades", "")),
]


@pytest.mark.parametrize(("message", "other"), OTHERS, ids=range(len(OTHERS)))
def test_other_frames_are_named(message: Any, other: Other) -> None:
    assert codec().decode(encoded(message)) == other


BROKEN = [
    (book("snapshot", 1, [["new", 42500.25, 10]], []), "params.data.bids[0][1]"),
    (book("snapshot", 1, [], [["new", 42500, 10], ["new", 42500, 15]]), "params.data.asks[1][2]"),
    (book("snapshot", 1, [["moved", 42500, 10]], []), "params.data.bids[0][0]"),
    (book("snapshot", 1, [["new", "x", 10]], []), "params.data.bids[0][1]"),
    (book("snapshot", 1, [["new", 1]], []), "params.data.bids[0]"),
    (book("change", 1, [], []), "params.data.prev_change_id"),
    (book("partial", 1, [], []), "params.data.type"),
    (book("snapshot", -1, [], []), "params.data.change_id"),
    (push(f"book.{NAME}.none.10.100ms", WHOLE | {"asks": [[1, None]]}), "params.data.asks[0][1]"),
    (push(f"trades.{NAME}.raw", [TRADE | {"direction": "up"}]), "params.data[0].direction"),
    (push(f"trades.{NAME}.raw", [TRADE, TRADE | {"price": 1.25}]), "params.data[1].price"),
    (push(f"trades.{NAME}.raw", [TRADE | {"amount": 5}]), "params.data[0].amount"),
    (push(f"trades.{NAME}.raw", [TRADE | {"combo_id": "C", "price": None}]), "params.data[0].price"),
    (push(f"ticker.{NAME}.raw", TICKER | {"mark_price": 0}), "params.data.mark_price"),
    (push(f"ticker.{NAME}.raw", TICKER | {"index_price": -1}), "params.data.index_price"),
    (push(f"ticker.{NAME}.raw", TICKER | {"current_funding": "x"}), "params.data.current_funding"),
    (push(f"quote.{NAME}", QUOTE | {"best_bid_price": 1.1}), "params.data.best_bid_price"),
    (push(f"quote.{NAME}", QUOTE | {"best_ask_amount": 1}), "params.data.best_ask_amount"),
    ({"method": "subscription", "params": 5}, "params.channel"),
    ({"jsonrpc": "2.0"}, "method"),
    ({"error": "x"}, "error"),
    ([], "$"),
]


@pytest.mark.parametrize(("message", "field"), BROKEN, ids=[f"{n}-{field}" for n, (_, field) in enumerate(BROKEN)])
def test_malformed_frames_name_the_field(message: Any, field: str) -> None:
    assert refused(codec(), message).field == field


def test_errors_carry_the_venues_code() -> None:
    with pytest.raises(VenueError, match="10028: too_many_requests") as caught:
        codec().decode(encoded({"jsonrpc": "2.0", "id": 1, "error": {"code": 10028, "message": "too_many_requests"}}))
    assert caught.value.hint is Hint.RETRY


# -- payloads and recordings of others

FILES = {
    "http_get_last_trades.json": "10 Other trades",  # of ETH-PERPETUAL, which was not asked for
    "http_get_last_trades_future_combo.json": "3 Other trades",
    "http_get_last_trades_historical_combo.json": "Other trades",
    "http_get_last_trades_option_combo.json": "Other trades",
    "http_get_last_trades_perpetual_with_combo_tags.json": "7 Trade",
    "http_get_order_book.json": "DepthSnapshot",
    "ws_book_delta.json": "DepthDiff",
    "ws_book_grouped_snapshot.json": "DepthSnapshot",
    "ws_book_snapshot.json": "DepthSnapshot",
    "ws_chart.json": "Other chart",
    "ws_error.json": "error 10028: too_many_requests",
    "ws_portfolio.json": "Other user",
    "ws_quote.json": "BookTicker",
    "ws_test_request.json": "Other heartbeat",
    "ws_ticker.json": "MarkPrice",
    "ws_trades.json": "2 Trade",
    "ws_trades_option_combo.json": "Other trades",
    "ws_volatility_index.json": "Other deribit_volatility_index",
}


def test_every_payload_of_nautilus() -> None:
    """Public market data by the table; everything else is a reply to a question."""
    for path in payload_files(ADAPTERS / "deribit" / "test_data"):
        assert outcome(codec(), path.read_bytes()) == FILES.get(path.name, "Other reply"), path.name


def test_legs_of_combinations_are_off_the_book() -> None:
    path = ADAPTERS / "deribit" / "test_data" / "http_get_last_trades_perpetual_with_combo_tags.json"
    if not path.exists():
        pytest.skip(f"no payloads of others: {path} is absent")
    rows = json.loads(path.read_bytes())["result"]["trades"]
    found = singles(codec().decode(path.read_bytes()))
    assert [(t.trade_id, t.on_book) for t in found if isinstance(t, Trade)] == [
        (row["trade_seq"], "combo_id" not in row) for row in sorted(rows, key=lambda row: int(row["trade_seq"]))
    ]


def test_documentation_samples_of_gocryptotrader() -> None:
    for path in payload_files(DATA / "gocryptotrader" / "exchanges" / "deribit" / "testdata"):
        assert [outcome(codec(), line) for line in path.open("rb")] == ["Trade"] * 2


def options() -> list[Instrument]:
    """The ten options of the recording (2021), on the grid of the venue's own list at the time."""
    names = {
        json.loads(raw)["params"]["data"]["instrument_name"]
        for _, raw in captured("DERIBIT.ws.1.0")
        if b'"subscription"' in raw
    }
    found = {}
    for body in answers("DERIBIT.0"):
        for row in body["result"]:
            if row["instrument_name"] in names:
                found[row["instrument_name"]] = Instrument.from_fields({
                    "venue": "deribit", "symbol": row["instrument_name"], "base": row["base_currency"], "quote": "USD",
                    "tick_size": "0.0005", "lot_size": str(row["min_trade_amount"]),
                })  # fmt: skip
    assert found.keys() == names
    return list(found.values())


def test_the_recordings_chain_holds() -> None:
    decoder = DeribitCodec(options())
    counts: Counter[str] = Counter()
    books: dict[str, PlainBook] = {}
    for _, raw in captured("DERIBIT.ws.1.0"):
        record = decoder.decode(raw)
        counts[type(record).__name__] += 1
        if isinstance(record, DepthDiff | DepthSnapshot):
            books.setdefault(record.symbol, PlainBook()).take(record)
    assert counts == {"MarkPrice": 89, "DepthDiff": 36, "DepthSnapshot": 10, "Other": 1}
    assert [(one.broken, one.crossed) for one in books.values()] == [(0, 0)] * 10


def test_the_recording_agrees_with_an_independent_decoder() -> None:
    instruments = options()
    decoder = DeribitCodec(instruments)
    grids = {instrument.symbol: PlainGrid(instrument) for instrument in instruments}
    for _, raw in captured("DERIBIT.ws.1.0"):
        message = json.loads(raw, parse_float=Decimal)
        record = decoder.decode(raw)
        if "params" not in message:
            assert record == Other("reply", "")
            continue
        data = message["params"]["data"]
        if isinstance(record, MarkPrice):
            facts = [record.mark_e8, record.index_e8, record.rate_e12]
            assert facts == [int(data["mark_price"] * 10**8), int(data["index_price"] * 10**8), None]
        else:
            assert isinstance(record, DepthDiff | DepthSnapshot)
            grid = grids[data["instrument_name"]]
            assert [record.bid_ticks, record.bid_lots, record.ask_ticks, record.ask_lots] == [
                [convert(row) for row in data[side]]
                for side in ("bids", "asks")
                for convert in (
                    lambda row, grid=grid: grid.ticks(row[1]),
                    lambda row, grid=grid: 0 if row[0] == "delete" else grid.lots(row[2]),
                )
            ]
            assert record.last_id == data["change_id"]
            assert getattr(record, "previous_id", None) == data.get("prev_change_id")
        assert record.ts_event_ns == data["timestamp"] * MS
