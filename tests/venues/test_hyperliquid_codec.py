"""The Hyperliquid decoder: golden messages, a recording and REST bodies of others, and what it must refuse."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator
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
    check_golden,
    encoded,
    outcome,
    payload_files,
    refused,
    singles,
)
from venues import known_instrument
from venues.codecs import market_codec
from venues.errors import VenueError
from venues.hyperliquid.codec import HyperliquidCodec
from venues.instruments import Instrument
from venues.market_data import Batch, BookTicker, DepthSnapshot, MarkPrice, Other, Trade

BTC = known_instrument("hyperliquid", "BTC")  # tick 0.1, lot 0.00001
T = 1_737_918_843_000  # 19:14:03 UTC
HOUR_NS = 3600 * 1_000_000_000


def codec() -> HyperliquidCodec:
    return HyperliquidCodec([BTC])


def level(px: str, sz: str) -> dict[str, Any]:
    return {"px": px, "sz": sz, "n": 3}


BOOK = {
    "coin": "BTC",
    "time": T,
    "levels": [[level("105055.0", "3.03622"), level("105054", "1")], [level("105056.0", "2")]],
}
TRADE = {
    "coin": "BTC", "side": "B", "px": "105056.0", "sz": "0.00219", "time": T, "hash": "0x0", "tid": 121451470284048,
    "users": ["0xa", "0xb"],
}  # fmt: skip
CONTEXT = {
    "coin": "BTC",
    "ctx": {
        "funding": "-0.0000015186", "openInterest": "1.0", "oraclePx": "105010.0", "markPx": "105055.5", "midPx": None,
        "premium": None, "impactPxs": None,
    },
}  # fmt: skip
BEST = {"coin": "BTC", "time": T, "bbo": [level("105055.0", "0.5"), None]}


def on(channel: str, data: Any) -> dict[str, Any]:
    return {"channel": channel, "data": data}


SNAPSHOT = DepthSnapshot(
    "BTC", T * MS, 0, T, [1_050_550, 1_050_540], [303_622, 100_000], [1_050_560], [200_000], in_stream=True
)
PRINT = Trade("BTC", T * MS, 0, 121451470284048, BUY, 1_050_560, 219, "MARKET", True)
KINDS: dict[str, Golden] = {
    "book": Golden(on("l2Book", BOOK), SNAPSHOT),
    "REST book": Golden(BOOK, SNAPSHOT),
    "best": Golden(on("bbo", BEST), BookTicker("BTC", T * MS, 0, T, 1_050_550, 50_000, 0, 0)),
    "trade": Golden(on("trades", [TRADE]), PRINT),
    "trades": Golden(
        on("trades", [TRADE, TRADE | {"side": "A", "tid": 5}]),
        Batch((PRINT, Trade("BTC", T * MS, 0, 5, SELL, 1_050_560, 219, "MARKET", True))),
    ),
    "REST trades": Golden([TRADE], PRINT),
    "context": Golden(
        on("activeAssetCtx", CONTEXT), MarkPrice("BTC", 0, 0, 10_505_550_000_000, 10_501_000_000_000, -1_518_600, 0)
    ),
    "context after a block": Golden(  # the next full hour is 20:00 UTC
        on("activeAssetCtx", CONTEXT),
        MarkPrice(
            "BTC", 0, 0, 10_505_550_000_000, 10_501_000_000_000, -1_518_600, (T * MS // HOUR_NS + 1) * HOUR_NS
        ),
        before=(on("l2Book", BOOK),),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_golden(kind: str) -> None:
    check_golden(codec(), KINDS[kind])
    check_golden(market_codec("hyperliquid", [BTC]), KINDS[kind])


def test_the_hour_is_that_of_the_clock() -> None:
    connection = codec()
    connection.decode(encoded(on("trades", [TRADE | {"time": 1_737_921_599_999}])))  # a millisecond before 20:00
    record: Any = connection.decode(encoded(on("activeAssetCtx", CONTEXT)))
    assert record.next_funding_ns == 1_737_921_600_000 * MS
    connection.decode(encoded(on("bbo", BEST | {"time": 1_737_921_600_000})))
    record = connection.decode(encoded(on("activeAssetCtx", CONTEXT)))
    assert record.next_funding_ns == 1_737_925_200_000 * MS


OTHERS = [
    (on("subscriptionResponse", {"method": "subscribe"}), Other("subscriptionResponse", "")),
    (on("allMids", {"mids": {"BTC": "1"}}), Other("allMids", "")),
    (on("pong", None), Other("pong", "")),
    (on("l2Book", BOOK | {"coin": "XRP"}), Other("l2Book", "XRP")),
    (on("bbo", BEST | {"coin": "XRP"}), Other("bbo", "XRP")),
    (on("trades", [TRADE | {"coin": "XRP"}]), Other("trades", "XRP")),
    (on("trades", []), Other("trades", "")),
    (on("activeAssetCtx", CONTEXT | {"coin": "XRP"}), Other("activeAssetCtx", "XRP")),
    (b"Websocket connection established.", Other("greeting", "")),
    (None, Other("REST null", "")),
    ([], Other("REST list", "")),
]


@pytest.mark.parametrize(("message", "other"), OTHERS, ids=range(len(OTHERS)))
def test_other_frames_are_named(message: Any, other: Other) -> None:
    assert codec().decode(encoded(message)) == other


BROKEN = [
    (on("l2Book", BOOK | {"levels": [[level("105055.05", "1")], []]}), "data.levels[0][0].px"),
    (
        on("l2Book", BOOK | {"levels": [[], [level("105055", "1"), level("105055", "0.000001")]]}),
        "data.levels[1][1].sz",
    ),
    (on("l2Book", BOOK | {"levels": [[]]}), "data.levels"),
    (on("l2Book", BOOK | {"time": "x"}), "data.time"),
    (BOOK | {"levels": [[level("x", "1")], []]}, "levels[0][0].px"),
    (on("bbo", BEST | {"bbo": [level("x", "1"), None]}), "data.bbo[0].px"),
    (on("bbo", BEST | {"bbo": [None, level("1", "x")]}), "data.bbo[1].sz"),
    (on("trades", [TRADE | {"side": "C"}]), "data[0].side"),
    (on("trades", [TRADE, TRADE | {"px": "-1"}]), "data[1].px"),
    (on("trades", [TRADE | {"sz": "x"}]), "data[0].sz"),
    (on("trades", [TRADE | {"tid": "5"}]), "data[0].tid"),
    (on("activeAssetCtx", {"coin": "BTC", "ctx": {"markPx": "0"}}), "data.ctx.markPx"),
    (on("activeAssetCtx", {"coin": "BTC", "ctx": {"markPx": "1", "oraclePx": "x"}}), "data.ctx.oraclePx"),
    (on("activeAssetCtx", {"coin": "BTC", "ctx": {"markPx": "1", "funding": "1e9"}}), "data.ctx.funding"),
    (on("activeAssetCtx", {"coin": "BTC", "ctx": {}}), "data.ctx.markPx"),
    ({"channel": 5}, "channel"),
    (5, "$"),
]


@pytest.mark.parametrize(("message", "field"), BROKEN, ids=[f"{n}-{field}" for n, (_, field) in enumerate(BROKEN)])
def test_malformed_frames_name_the_field(message: Any, field: str) -> None:
    assert refused(codec(), message).field == field


def test_errors_carry_the_venues_words() -> None:
    with pytest.raises(VenueError, match="Invalid subscription"):
        codec().decode(encoded(on("error", 'Invalid subscription {"type":"x"}')))
    with pytest.raises(VenueError, match="Must deposit"):
        codec().decode(encoded({"status": "err", "response": "Must deposit before performing actions."}))


# -- payloads and recordings of others

FILES = {
    "http_all_perp_metas_non_usdc_collateral.json": "Other REST list",
    "http_clearinghouse_state_negative_total_raw_usd.json": "Other REST body",
    "http_funding_history.json": "Other funding history",
    "http_l2_book_btc.json": "DepthSnapshot",
    "http_l2_book_snapshot.json": "malformed levels[0][1].px",  # 98449.75 has seven digits: no price of this venue
    "http_meta_perp_sample.json": "Other REST body",
    "http_recent_trades_btc.json": "3 Trade",
    "http_spot_clearinghouse_state.json": "Other REST body",
    "http_spot_meta_non_usdc_collateral.json": "Other REST body",
    "http_user_fills_dust_conversion.json": "Other REST list",
    "ws_all_dexs_asset_ctxs.json": "Other allDexsAssetCtxs",  # contexts by place in a list, without names
    "ws_allmids.json": "Other allMids",
    "ws_book_data.json": "malformed levels[0][1].px",  # the same invented prices
    "ws_user_fill_liquidation.json": "Other user",
}


def test_every_payload_of_nautilus() -> None:
    found = {
        path.name: outcome(codec(), path.read_bytes()) for path in payload_files(ADAPTERS / "hyperliquid" / "test_data")
    }
    assert found == FILES


def cassette_bodies() -> Iterator[tuple[str, bytes]]:
    """(request, answer) of the recorded questions to the info endpoint; the YAML is read by its quotes."""
    folder = DATA / "hyperliquid_python_sdk" / "tests" / "cassettes" / "info_test"
    if not folder.exists():
        pytest.skip(f"no recorded answers: {folder} is absent")
    for path in sorted(folder.glob("*.yaml")):
        text = path.read_text()
        requests = re.findall(r"^    body: '(.*?)'$", text, re.MULTILINE | re.DOTALL)
        replies = re.findall(r"^      string: '(.*?)'$", text, re.MULTILINE | re.DOTALL)
        replies = replies or re.findall(r"^      string: (\S.*)$", text, re.MULTILINE)
        for request, reply in zip(requests, replies, strict=True):
            folded = re.sub(r"\n *", " ", reply.replace("\n\n", "\n"))
            yield json.loads(re.sub(r"\n *", " ", request))["type"], folded.encode()


def test_every_recorded_answer() -> None:
    dydx = Instrument.from_fields({  # three decimals of size are too many for its szDecimals of 1: tick 0.00001
        "venue": "hyperliquid", "symbol": "DYDX", "base": "DYDX", "quote": "USD", "tick_size": "0.00001",
        "lot_size": "0.1",
    })  # fmt: skip
    found: dict[str, set[str]] = {}
    for kind, reply in cassette_bodies():
        found.setdefault(kind, set()).add(outcome(HyperliquidCodec([BTC, dydx]), reply).lstrip("0123456789 "))
    assert found.pop("l2Book") == {"DepthSnapshot"}
    assert found.pop("fundingHistory") == {"Other funding history"}
    assert set.union(*found.values()) <= {"Other REST body", "Other REST list", "Other REST null"}


def recorded() -> Iterator[bytes]:
    path = DATA / "hftbacktest" / "examples" / "hyperliquid" / "btcusd_20250126.gz"
    if not path.exists():
        pytest.skip(f"no recording: {path} is absent")
    with gzip.open(path) as file:
        for line in file:
            yield line.partition(b" ")[2].strip()


def test_the_recording_decodes_whole_and_its_books_are_not_crossed() -> None:
    decoder = codec()
    counts: Counter[str] = Counter()
    book = PlainBook()
    for raw in recorded():
        for record in singles(decoder.decode(raw)):
            counts[type(record).__name__] += 1
            if isinstance(record, DepthSnapshot):
                book.take(record)
                assert record.bid_ticks == sorted(record.bid_ticks, reverse=True)
                assert record.ask_ticks == sorted(record.ask_ticks)
                assert len(record.bid_ticks) == len(record.ask_ticks) == 20
    assert counts == {"DepthSnapshot": 46, "Trade": 64}
    assert book.crossed == 0


def test_the_recording_agrees_with_an_independent_decoder() -> None:
    decoder, grid = codec(), PlainGrid(BTC)
    for raw in recorded():
        message = json.loads(raw)
        found = singles(decoder.decode(raw))
        data = message["data"]
        if message["channel"] == "l2Book":
            (record,) = found
            assert isinstance(record, DepthSnapshot)
            assert [record.ts_event_ns, record.last_id, record.in_stream] == [data["time"] * MS, data["time"], True]
            assert [record.bid_ticks, record.bid_lots, record.ask_ticks, record.ask_lots] == [
                [convert(row[key]) for row in side]
                for side in data["levels"]
                for key, convert in (("px", grid.ticks), ("sz", grid.lots))
            ]
        else:
            for row, record in zip(data, found, strict=True):
                assert isinstance(record, Trade)
                facts = [record.ts_event_ns, record.trade_id, record.ticks, record.lots]
                assert facts == [row["time"] * MS, row["tid"], grid.ticks(row["px"]), grid.lots(row["sz"])]
                assert record.side == {"B": BUY, "A": SELL}[row["side"]]
