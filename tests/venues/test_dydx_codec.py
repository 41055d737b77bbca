"""The dYdX decoder: golden messages, the chain of a connection's numbers, payloads of others, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from matching.codes import BUY, SELL
from tests.venues.wire_cases import (
    ADAPTERS,
    MS,
    SECOND,
    Golden,
    check_golden,
    encoded,
    outcome,
    payload_files,
    refused,
)
from venues import known_instrument
from venues.codecs import market_codec
from venues.dydx.codec import DydxCodec, trade_id_of
from venues.errors import VenueError
from venues.market_data import Batch, DepthDiff, DepthSnapshot, MarkPrice, Other, Trade

BTC = known_instrument("dydx", "BTC-USD")  # tick 1, lot 0.0001
ETH = known_instrument("dydx", "ETH-USD")
CREATED = "2025-12-08T16:11:30.590Z"
CREATED_NS = 1_765_210_290_590 * MS
HOUR_17_NS = 1_765_213_200 * SECOND


def codec() -> DydxCodec:
    return DydxCodec([BTC, ETH])


def frame(
    message_id: int, channel: str, contents: Any, kind: str = "channel_data", market: str = "BTC-USD"
) -> dict[str, Any]:
    return {
        "type": kind, "connection_id": "c-1", "message_id": message_id, "id": market, "channel": channel,
        "version": "1.0.0", "contents": contents,
    }  # fmt: skip


WHOLE = {
    "bids": [{"price": "43240", "size": "1.5"}, {"price": "43235.0", "size": "0.0003"}],
    "asks": [{"price": "43250.0", "size": "1"}],
}
SNAPSHOT = frame(3, "v4_orderbook", WHOLE, "subscribed")
CHANGE = frame(4, "v4_orderbook", {"bids": [["43240", "0"], ["43251", "2", "77"]]})  # crosses the ask, as sent
BATCH = frame(
    4, "v4_orderbook", [{"asks": [["43250", "0"]]}, {"asks": [["43250", "3"]], "bids": [["43239", "1"]]}],
    "channel_batch_data",
)  # fmt: skip
TRADE = {
    "id": "03f89a550000000200000002", "side": "BUY", "size": "0.0001", "price": "89942", "type": "LIMIT",
    "createdAt": CREATED, "createdAtHeight": "66624085",
}  # fmt: skip
TRADE_ID = (0x03F89A55 << 12 | 2) << 20 | 2
ORACLE = frame(5, "v4_markets", {"oraclePrices": {
    "BTC-USD": {"oraclePrice": "43300.00", "effectiveAt": CREATED, "effectiveAtHeight": "1", "marketId": 0},
    "XRP-USD": {"oraclePrice": "x"},
}})  # fmt: skip
MARKETS = frame(5, "v4_markets", {"markets": {
    "BTC-USD": {"ticker": "BTC-USD", "oraclePrice": "43250.5", "nextFundingRate": "0.00000254545454545455"},
    "DOGE-USD": {"oraclePrice": "0.3"},
}}, "subscribed")  # fmt: skip
PRINT = Trade("BTC-USD", CREATED_NS, 0, TRADE_ID, BUY, 89_942, 1, "MARKET", True)

KINDS: dict[str, Golden] = {
    "snapshot": Golden(
        SNAPSHOT, DepthSnapshot("BTC-USD", 0, 0, 3, [43_240, 43_235], [15_000, 3], [43_250], [10_000], in_stream=True)
    ),
    "change": Golden(
        CHANGE, DepthDiff("BTC-USD", 0, 0, 4, 4, 3, [43_240, 43_251], [0, 20_000], [], []), before=(SNAPSHOT,)
    ),
    "batch": Golden(
        BATCH, DepthDiff("BTC-USD", 0, 0, 4, 4, 3, [43_239], [10_000], [43_250], [30_000]), before=(SNAPSHOT,)
    ),
    "trade": Golden(frame(3, "v4_trades", {"trades": [TRADE]}), PRINT),
    "trades": Golden(
        frame(3, "v4_trades", [{"trades": [TRADE]}, {"trades": [
            TRADE | {"side": "SELL", "type": "LIQUIDATED"}, TRADE | {"type": "DELEVERAGED", "price": "89942.7"},
        ]}], "channel_batch_data"),
        Batch((
            PRINT,
            Trade("BTC-USD", CREATED_NS, 0, TRADE_ID, SELL, 89_942, 1, "LIQUIDATED", True),
            Trade("BTC-USD", CREATED_NS, 0, TRADE_ID, BUY, 89_942, 1, "DELEVERAGED", False),
        )),
    ),
    "markets": Golden(MARKETS, MarkPrice("BTC-USD", 0, 0, 4_325_050_000_000, 4_325_050_000_000, 2_545_455, 0)),
    "oracle": Golden(
        ORACLE,
        MarkPrice("BTC-USD", CREATED_NS, CREATED_NS, 4_330_000_000_000, 4_330_000_000_000, 2_545_455, HOUR_17_NS),
        before=(MARKETS,),
    ),
    "rate": Golden(
        frame(6, "v4_markets", [{"trading": {"BTC-USD": {"nextFundingRate": "-0.0001"}}}], "channel_batch_data"),
        MarkPrice("BTC-USD", 0, 0, 4_330_000_000_000, 4_330_000_000_000, -100_000_000, HOUR_17_NS),
        before=(MARKETS, ORACLE),
    ),
    "REST book": Golden(
        WHOLE, DepthSnapshot("BTC-USD", 0, 0, 0, [43_240, 43_235], [15_000, 3], [43_250], [10_000]), symbol="BTC-USD"
    ),
    "REST trades": Golden({"trades": [TRADE]}, PRINT, symbol="BTC-USD"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_golden(kind: str) -> None:
    check_golden(codec(), KINDS[kind])
    check_golden(market_codec("dydx", [BTC, ETH]), KINDS[kind])


# -- the chain


def test_a_market_chains_across_the_other_messages_of_the_connection() -> None:
    connection = codec()

    def sent(message_id: int, market: str, contents: Any = None, kind: str = "channel_data") -> Any:
        return connection.decode(encoded(frame(message_id, "v4_orderbook", contents or {}, kind, market)))

    assert (
        connection.decode(encoded({"type": "connected", "connection_id": "c-1", "message_id": 0})).event == "connected"
    )
    assert sent(1, "BTC-USD", WHOLE, "subscribed").last_id == 1
    assert sent(2, "ETH-USD", {"bids": [], "asks": []}, "subscribed").last_id == 2
    assert sent(3, "BTC-USD").previous_id == 1
    connection.decode(encoded(frame(4, "v4_trades", {"trades": [TRADE]})))
    connection.decode(encoded(frame(5, "v4_block_height", {"blockHeight": "1"}, market="v4_block_height")))
    assert sent(6, "ETH-USD").previous_id == 2
    assert sent(7, "BTC-USD").previous_id == 3
    assert sent(9, "BTC-USD").previous_id == 8  # 8 is lost, and it may have been anybody's
    assert sent(10, "ETH-USD").previous_id == 9
    assert sent(11, "BTC-USD").previous_id == 9
    assert sent(12, "ETH-USD").previous_id == 10


def test_a_message_that_cannot_be_read_is_followed_by_none() -> None:
    connection = codec()
    connection.decode(encoded(frame(0, "v4_orderbook", WHOLE, "subscribed")))
    connection.decode(encoded(frame(1, "v4_trades", {"trades": []})))
    refused(connection, frame(2, "v4_orderbook", {"bids": [["43240.5", "1"]]}))
    record: Any = connection.decode(encoded(frame(3, "v4_orderbook", {})))
    assert record.previous_id == 2
    connection.decode(encoded(frame(4, "v4_orderbook", {}, market="ETH-USD")))
    refused(connection, b'{"type":"channel_data","message_id":5')
    record = connection.decode(encoded(frame(6, "v4_orderbook", {})))
    assert record.previous_id == 5


def test_another_connection_is_another_chain() -> None:
    connection = codec()
    connection.decode(encoded(SNAPSHOT))
    record: Any = connection.decode(encoded(CHANGE | {"connection_id": "c-2"}))
    assert record.previous_id == 3  # by number; but the chain of c-1 was forgotten, as the next market shows
    connection.decode(encoded(frame(5, "v4_orderbook", {})))
    connection.restart()
    assert connection.decode(encoded(ORACLE)) == MarkPrice(
        "BTC-USD", CREATED_NS, CREATED_NS, 4_330_000_000_000, 4_330_000_000_000, None, HOUR_17_NS
    )


def test_trade_ids_order_as_the_chain_does() -> None:
    ids = [
        "03f89a53000000020000000b",
        "03f89a53000000020000000e",
        "03f89a530000000300000001",
        "03f89a550000000200000002",
    ]
    assert sorted(ids) == ids
    packed = [trade_id_of(text) for text in ids]
    assert packed == sorted(packed)
    assert len({*packed, trade_id_of("trade-001"), trade_id_of("f" * 24), trade_id_of("g" * 24)}) == 7
    assert all(0 <= trade_id_of(text) < 2**63 for text in ("f" * 24, "", "7fffffff00000fff000fffff"))


# -- what is named and what is refused

OTHERS = [
    (frame(1, "v4_trades", {"trades": [TRADE]}, "subscribed"), Other("v4_trades history", "BTC-USD")),
    (frame(1, "v4_trades", {"trades": []}), Other("v4_trades", "BTC-USD")),
    (frame(1, "v4_trades", {"trades": [TRADE]}, market="XRP-USD"), Other("v4_trades", "XRP-USD")),
    (frame(1, "v4_orderbook", WHOLE, "subscribed", "XRP-USD"), Other("v4_orderbook", "XRP-USD")),
    (frame(1, "v4_markets", {"trading": {"BTC-USD": {"status": "PAUSED"}}}), Other("v4_markets", "")),
    (frame(1, "v4_candles", {}), Other("v4_candles", "BTC-USD")),
    (frame(1, "v4_orderbook", None, "unsubscribed"), Other("unsubscribed", "BTC-USD")),
    ({"height": "1", "time": CREATED}, Other("REST body", "")),
    ({"historicalFunding": []}, Other("funding history", "")),
]


@pytest.mark.parametrize(("message", "other"), OTHERS, ids=range(len(OTHERS)))
def test_other_frames_are_named(message: Any, other: Other) -> None:
    assert codec().decode(encoded(message)) == other


def trade(**changes: Any) -> Any:
    return frame(1, "v4_trades", {"trades": [TRADE, TRADE | changes]})


BROKEN = [
    (frame(1, "v4_orderbook", {"bids": [["43240.5", "1"]]}), "contents.bids[0][0]"),
    (frame(1, "v4_orderbook", {"asks": [["43240", "1"], ["43240", "0.00001"]]}), "contents.asks[1][1]"),
    (frame(1, "v4_orderbook", {"asks": [["43240"]]}), "contents.asks[0]"),
    (frame(1, "v4_orderbook", [{}, {"bids": [["x", "1"]]}], "channel_batch_data"), "contents[1].bids[0][0]"),
    (frame(1, "v4_orderbook", [{}, {"bids": 5}], "channel_batch_data"), "contents[1].bids"),
    (frame(1, "v4_orderbook", {"bids": []}, "subscribed"), "contents.asks"),
    (frame(1, "v4_orderbook", WHOLE | {"bids": [{"price": "x", "size": "1"}]}, "subscribed"), "contents.bids[0][0]"),
    (frame(1, "v4_orderbook", None), "contents"),
    (trade(side="buy"), "contents.trades[1].side"),
    (trade(price="0.5"), "contents.trades[1].price"),
    (trade(size="x"), "contents.trades[1].size"),
    (trade(createdAt="yesterday"), "contents.trades[1].createdAt"),
    (trade(createdAt="2025-12-08T16:11:30"), "contents.trades[1].createdAt"),
    (trade(createdAt="9999-12-08T16:11:30Z"), "contents.trades[1].createdAt"),
    (trade(type="DELEVERAGED", price="x"), "contents.trades[1].price"),
    (frame(1, "v4_markets", {"oraclePrices": {"BTC-USD": {"oraclePrice": "0"}}}),
     "contents.oraclePrices.BTC-USD.oraclePrice"),
    (frame(1, "v4_markets", {"markets": {"BTC-USD": {"nextFundingRate": "x"}}}),
     "contents.markets.BTC-USD.nextFundingRate"),
    ({"type": "channel_data", "connection_id": "c", "message_id": -1}, "message_id"),
    ({"type": "channel_data", "message_id": 1}, "connection_id"),
    (WHOLE, "ticker"),
    ([], "$"),
]  # fmt: skip


@pytest.mark.parametrize(("message", "field"), BROKEN, ids=[f"{n}-{field}" for n, (_, field) in enumerate(BROKEN)])
def test_malformed_frames_name_the_field(message: Any, field: str) -> None:
    assert refused(codec(), message).field == field


def test_errors_carry_the_venues_words() -> None:
    with pytest.raises(VenueError, match="Invalid channel"):
        codec().decode(encoded({"type": "error", "message": "Invalid channel", "connection_id": "c", "message_id": 1}))
    with pytest.raises(VenueError, match="not found"):
        codec().decode(encoded({"errors": [{"msg": "ticker not found"}]}))


# -- payloads of others

FILES = {
    "http_get_block_height.json": "Other REST body",
    "http_get_candles.json": "Other REST body",
    "http_get_fills.json": "Other REST body",
    "http_get_historical_funding.json": "Other funding history",
    "http_get_orderbook.json": "DepthSnapshot",
    "http_get_orders.json": "Other REST body",
    "http_get_perpetual_markets.json": "Other REST body",
    "http_get_subaccount.json": "Other REST body",
    "http_get_time.json": "Other REST body",
    "http_get_trades.json": "3 Trade",
    "http_get_transfers.json": "Other REST body",
    "ws_block_height_subscribed.json": "Other v4_block_height",
    "ws_block_height_update.json": "Other v4_block_height",
    "ws_candles_subscribed.json": "Other v4_candles",
    "ws_candles_update.json": "Other v4_candles",
    "ws_error.json": "error: Invalid subscription: channel 'invalid_channel' not found",
    "ws_markets_status_update.json": "Other v4_markets",  # rates without a price are no mark yet
    "ws_markets_subscribed.json": "2 MarkPrice",
    "ws_markets_update.json": "2 MarkPrice",
    "ws_orderbook_subscribed.json": "DepthSnapshot",
    "ws_orderbook_update.json": "DepthDiff",
    "ws_subaccounts_subscribed.json": "Other v4_subaccounts",
    "ws_subaccounts_update.json": "Other v4_subaccounts",
    "ws_trades_subscribed.json": "Other v4_trades history",
    "ws_trades_update.json": "2 Trade",
}


def test_every_payload_of_nautilus() -> None:
    found = {
        path.name: outcome(codec(), path.read_bytes(), "BTC-USD")
        for path in payload_files(ADAPTERS / "dydx" / "test_data")
    }
    assert found == FILES


def test_the_order_book_payloads_chain() -> None:
    folder = ADAPTERS / "dydx" / "test_data"
    connection = codec()
    for name in ("ws_orderbook_subscribed.json", "ws_orderbook_update.json"):
        if not (folder / name).exists():
            pytest.skip(f"no payloads of others: {folder} is absent")
        record: Any = connection.decode((folder / name).read_bytes())
    assert (record.previous_id, record.last_id, record.bid_ticks) == (1, 2, [43_240, 43_238])
    assert (record.bid_lots, record.ask_ticks, record.ask_lots) == ([20_000, 15_000], [43_250, 43_252], [0, 30_000])
