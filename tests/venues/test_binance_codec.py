"""The Binance decoder: documented payloads, real recordings, an independent decoder as oracle, and a fuzz test."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from matching.codes import BUY, SELL
from venues import known_instrument
from venues.binance.codec import BinanceCodec
from venues.binance.metadata import instrument_from_exchange_info
from venues.errors import Hint, InstrumentError, PayloadError, VenueError
from venues.instruments import Instrument
from venues.market_data import (
    AggTrade,
    Batch,
    BookTicker,
    DepthDiff,
    DepthSnapshot,
    ForceOrder,
    MarkPrice,
    Other,
    Record,
    Trade,
)

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
EXAMPLES = DATA / "hftbacktest" / "examples"
BTCUSDT = known_instrument("binance_usdm", "BTCUSDT")
ETHUSDT = known_instrument("binance_usdm", "ETHUSDT")
BTCUSD_PERP = known_instrument("binance_coinm", "BTCUSD_PERP")
MS = 1_000_000


def codec() -> BinanceCodec:
    return BinanceCodec([BTCUSDT])


def decoded(message: object) -> Record:
    return codec().decode(json.dumps(message).encode())


# -- one payload of each kind

DEPTH = {
    "e": "depthUpdate", "E": 1680652700594, "T": 1680652700586, "s": "BTCUSDT", "U": 373, "u": 597, "pu": 326,
    "b": [["5000.00", "14.368"], ["28018.90", "0.000"]], "a": [["28145.20", "6.961"]],
}  # fmt: skip
SNAPSHOT = {
    "lastUpdateId": 483, "E": 1680652700590, "T": 1680652700580, "bids": [["28145.10", "3.818"]],
    "asks": [["28145.20", "0.413"], ["28145.30", "1.000"]],
}  # fmt: skip
TRADE = {
    "e": "trade", "E": 1680652700455, "T": 1680652700452, "s": "BTCUSDT", "t": 3535186032, "p": "28145.10",
    "q": "0.002", "X": "MARKET", "m": True,
}  # fmt: skip
AGG_TRADE = {
    "e": "aggTrade", "E": 1680652700455, "T": 1680652700452, "s": "BTCUSDT", "a": 77, "p": "28145.20", "q": "1.5",
    "nq": "1.4", "f": 100, "l": 104, "m": False, "st": 1,
}  # fmt: skip
BOOK_TICKER = {
    "e": "bookTicker", "u": 461, "s": "BTCUSDT", "b": "28145.10", "B": "3.868", "a": "28145.20", "A": "6.887",
    "T": 1680652700430, "E": 1680652700435,
}  # fmt: skip
MARK_PRICE = {
    "e": "markPriceUpdate", "E": 1680652800010, "s": "BTCUSDT", "p": "28155.10000000", "P": "28141.47600845",
    "i": "28165.04857143", "r": "0.00002760", "T": 1680652800000,
}  # fmt: skip
FORCE_ORDER = {
    "e": "forceOrder", "E": 1680652700999,
    "o": {
        "s": "BTCUSDT", "S": "SELL", "o": "LIMIT", "f": "IOC", "q": "0.014", "p": "28033.46", "ap": "28101.5",
        "X": "FILLED", "l": "0.004", "z": "0.014", "T": 1680652700990,
    },
}  # fmt: skip


def forced(changes: dict[str, Any]) -> dict[str, Any]:
    order: Any = FORCE_ORDER["o"]
    return FORCE_ORDER | {"o": order | changes}


KINDS: dict[str, tuple[dict[str, Any], Record]] = {
    "depth": (
        DEPTH,
        DepthDiff(
            "BTCUSDT", 1680652700586 * MS, 1680652700594 * MS, 373, 597, 326, [50_000, 280_189], [14_368, 0], [281_452],
            [6_961],
        ),
    ),
    "snapshot": (
        SNAPSHOT,
        DepthSnapshot(
            "BTCUSDT", 1680652700580 * MS, 1680652700590 * MS, 483, [281_451], [3_818], [281_452, 281_453], [413, 1_000]
        ),
    ),
    "trade": (
        TRADE,
        Trade("BTCUSDT", 1680652700452 * MS, 1680652700455 * MS, 3535186032, SELL, 281_451, 2, "MARKET", True),
    ),
    "aggTrade": (
        AGG_TRADE,
        AggTrade("BTCUSDT", 1680652700452 * MS, 1680652700455 * MS, 77, 100, 104, BUY, 281_452, 1_500),
    ),
    "bookTicker": (
        BOOK_TICKER,
        BookTicker("BTCUSDT", 1680652700430 * MS, 1680652700435 * MS, 461, 281_451, 3_868, 281_452, 6_887),
    ),
    "markPrice": (
        MARK_PRICE,
        MarkPrice(
            "BTCUSDT", 1680652800010 * MS, 1680652800010 * MS, 2_815_510_000_000, 2_816_504_857_143, 27_600_000,
            1680652800000 * MS,
        ),
    ),
    "forceOrder": (
        FORCE_ORDER,
        ForceOrder("BTCUSDT", 1680652700990 * MS, 1680652700999 * MS, SELL, 2_803_346_000_000, 280_335, 14, 14),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_raw_wrapped_reordered_and_in_an_array(kind: str) -> None:
    message, record = KINDS[kind]
    assert decoded(message) == record
    assert decoded({"stream": f"btcusdt@{kind}", "data": message}) == record
    assert decoded({"data": message, "stream": f"btcusdt@{kind}"}) == record
    assert decoded(dict(reversed(message.items()))) == record
    assert codec().decode(json.dumps(message, indent=2).encode()) == record
    batch = decoded([message, message])
    assert isinstance(batch, Batch)
    assert batch.records == (record, record)


def test_a_snapshot_belongs_to_the_symbol_it_is_said_to() -> None:
    both = BinanceCodec([BTCUSDT, ETHUSDT])
    raw = json.dumps(SNAPSHOT).encode()
    with pytest.raises(PayloadError, match="field symbol: a depth snapshot of USD-M names no symbol"):
        both.decode(raw)
    found = both.decode(raw, symbol="ETHUSDT")
    assert isinstance(found, DepthSnapshot)
    assert (found.symbol, found.bid_ticks) == ("ETHUSDT", [2_814_510])
    named = BinanceCodec([BTCUSDT, ETHUSDT]).decode(json.dumps(SNAPSHOT | {"symbol": "BTCUSDT"}).encode())
    assert isinstance(named, DepthSnapshot)
    assert named.symbol == "BTCUSDT"


def test_an_empty_side_and_an_index_that_was_not_sent() -> None:
    ticker = decoded(BOOK_TICKER | {"b": "0.00", "B": "0.000"})
    assert isinstance(ticker, BookTicker)
    assert (ticker.bid_ticks, ticker.bid_lots) == (0, 0)
    mark = decoded({key: value for key, value in MARK_PRICE.items() if key != "i"} | {"r": "", "T": 0})
    assert isinstance(mark, MarkPrice)
    assert (mark.index_e8, mark.rate_e12, mark.next_funding_ns) == (0, None, 0)


def test_negative_funding_rate() -> None:
    mark = decoded(MARK_PRICE | {"r": "-0.00100000"})
    assert isinstance(mark, MarkPrice)
    assert mark.rate_e12 == -1_000_000_000


@pytest.mark.parametrize("origin", ["INSURANCE_FUND", "ADL", "NA"])
def test_prints_off_the_book_are_marked_and_may_lie_off_the_grid(origin: str) -> None:
    trade = decoded(TRADE | {"X": origin, "p": "28722.57"})
    assert isinstance(trade, Trade)
    assert (trade.on_book, trade.origin, trade.ticks) == (False, origin, 287_225)


def test_a_trade_without_its_type_is_on_the_book() -> None:
    trade = decoded({key: value for key, value in TRADE.items() if key != "X"})
    assert isinstance(trade, Trade)
    assert trade.on_book


@pytest.mark.parametrize(("side", "ticks"), [("SELL", 280_335), ("BUY", 280_334)])
def test_a_bankruptcy_price_off_the_grid_is_rounded_to_what_the_limit_allows(side: str, ticks: int) -> None:
    force = decoded(forced({"S": side}))
    assert isinstance(force, ForceOrder)
    assert (force.price_e8, force.ticks) == (2_803_346_000_000, ticks)


# -- what is no input of a simulation

OTHERS = [
    ({"e": "kline", "E": 1, "s": "BTCUSDT", "k": {"t": 1}}, Other("kline", "BTCUSDT")),
    ({"e": "24hrTicker", "s": "BTCUSDT"}, Other("24hrTicker", "BTCUSDT")),
    ({"result": None, "id": 1}, Other("control reply", "")),
    ({"stream": "btcusdt@depth5@100ms", "data": DEPTH}, Other("partial book", "BTCUSDT")),
    ({"data": DEPTH, "stream": "btcusdt@depth20"}, Other("partial book", "BTCUSDT")),
    ({"stream": "btcusdt@rpiDepth@500ms", "data": DEPTH}, Other("partial book", "BTCUSDT")),
    (DEPTH | {"s": "XRPUSDT"}, Other("depthUpdate", "XRPUSDT")),
    (TRADE | {"s": "XRPUSDT"}, Other("trade", "XRPUSDT")),
    (AGG_TRADE | {"s": "XRPUSDT"}, Other("aggTrade", "XRPUSDT")),
    (BOOK_TICKER | {"s": "XRPUSDT"}, Other("bookTicker", "XRPUSDT")),
    (MARK_PRICE | {"s": "XRPUSDT"}, Other("markPriceUpdate", "XRPUSDT")),
    (forced({"s": "XRPUSDT"}), Other("forceOrder", "XRPUSDT")),
    (SNAPSHOT | {"symbol": "XRPUSDT"}, Other("depth snapshot", "XRPUSDT")),
]  # fmt: skip


@pytest.mark.parametrize(("message", "other"), OTHERS, ids=range(len(OTHERS)))
def test_other_frames_are_named_not_errors(message: dict[str, Any], other: Other) -> None:
    assert decoded(message) == other


@pytest.mark.parametrize("stream", ["btcusdt@depth", "btcusdt@depth@100ms", "btcusdt@depth@0ms", "btcusdt@depth@500ms"])
def test_diff_streams_are_diffs(stream: str) -> None:
    shared = codec()
    for _ in range(2):
        assert isinstance(shared.decode(json.dumps({"stream": stream, "data": DEPTH}).encode()), DepthDiff)


# -- errors name the field

BROKEN = [
    (DEPTH | {"T": "soon"}, "T"),
    (DEPTH | {"T": -1}, "T"),
    (DEPTH | {"E": 2**63}, "E"),
    (DEPTH | {"u": 2**63}, "u"),
    (DEPTH | {"u": 372}, "u"),
    ({key: value for key, value in DEPTH.items() if key != "pu"}, "pu"),
    (FORCE_ORDER | {"o": {"s": "BTCUSDT"}}, "o.S"),
    (DEPTH | {"b": [["5000.00", "14.368"], ["28018.95", "1.000"]]}, "b[1][0]"),
    (DEPTH | {"a": [["28145.20", "6.9611"]]}, "a[0][1]"),
    (DEPTH | {"a": [["28145.20", 6]]}, "a[0][1]"),
    (DEPTH | {"a": [["28145.20"]]}, "a[0]"),
    (DEPTH | {"a": {}}, "a"),
    (DEPTH | {"e": 5}, "e"),
    (SNAPSHOT | {"bids": [["x", "1"]]}, "bids[0][0]"),
    (SNAPSHOT | {"asks": [["1", "x"]]}, "asks[0][1]"),
    (SNAPSHOT | {"lastUpdateId": None}, "lastUpdateId"),
    (TRADE | {"p": "28145.15"}, "p"),
    (TRADE | {"q": "1e3"}, "q"),
    (TRADE | {"m": "true"}, "m"),
    (TRADE | {"X": "INSURANCE_FUND", "p": "cheap"}, "p"),
    (TRADE | {"t": 1.5}, "t"),
    (AGG_TRADE | {"p": "-1"}, "p"),
    (AGG_TRADE | {"q": ""}, "q"),
    (AGG_TRADE | {"l": 99}, "l"),
    (BOOK_TICKER | {"b": "1.11"}, "b"),
    (BOOK_TICKER | {"B": "x"}, "B"),
    (BOOK_TICKER | {"a": "x"}, "a"),
    (BOOK_TICKER | {"A": "x"}, "A"),
    (MARK_PRICE | {"p": "0"}, "p"),
    (MARK_PRICE | {"i": "x"}, "i"),
    (MARK_PRICE | {"r": "x"}, "r"),
    (forced({"S": "HOLD"}), "o.S"),
    (forced({"p": "1.123456789"}), "o.p"),
    (forced({"q": "x"}), "o.q"),
    (forced({"z": "x"}), "o.z"),
    (forced({"T": None}), "o.T"),
    ({"hello": 1}, "e"),
    ({}, "e"),
    ({"stream": 5, "data": DEPTH}, "stream"),
    (5, "$"),
    ("text", "$"),
    (None, "$"),
    ([5], "$"),
]  # fmt: skip


@pytest.mark.parametrize(("message", "field"), BROKEN, ids=[f"{n}-{field}" for n, (_, field) in enumerate(BROKEN)])
def test_malformed_frames_name_the_field(message: object, field: str) -> None:
    with pytest.raises(PayloadError) as caught:
        decoded(message)
    assert caught.value.field == field
    assert caught.value.venue == "binance_usdm"
    if isinstance(message, dict) and "stream" not in message:
        with pytest.raises(PayloadError) as caught:
            decoded({"stream": "btcusdt@x", "data": message})
        assert caught.value.field == field


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{", b"nonsense", b'{"e":"trade"', b"\xff\xfe", b'{"e":"\xff"}', b"[" * 100_000, b'{"a":' * 50_000,
        b'{"stream":"x","data":' + b"[" * 100_000, b"1e999", b"NaN", b'{"e":"trade","E":1e400}', b"9" * 5_000,
        b'{"lastUpdateId":' + b"9" * 5_000 + b"}",
    ],
    ids=range(14),
)  # fmt: skip
def test_bytes_that_are_no_message(raw: bytes) -> None:
    with pytest.raises(PayloadError):
        codec().decode(raw)


def test_every_truncation_of_a_frame_is_malformed() -> None:
    raw = json.dumps({"stream": "btcusdt@depth@0ms", "data": DEPTH}).encode()
    for length in range(len(raw)):
        with pytest.raises(PayloadError):
            codec().decode(raw[:length])


def test_error_replies_carry_the_venues_code() -> None:
    with pytest.raises(VenueError, match="-1121: Invalid symbol") as caught:
        decoded({"code": -1121, "msg": "Invalid symbol."})
    assert (caught.value.code, caught.value.hint) == (-1121, Hint.HALT)
    with pytest.raises(VenueError) as caught:
        decoded({"error": {"code": -1003, "msg": "Too many requests."}, "id": 3})
    assert (caught.value.code, caught.value.hint) == (-1003, Hint.RETRY)


def test_a_codec_needs_an_instrument() -> None:
    with pytest.raises(InstrumentError, match="at least one instrument"):
        BinanceCodec([])


# -- the fuzz invariant: any bytes decode or raise VenueError, nothing else

PAYLOADS = [json.dumps(message).encode() for message, _ in KINDS.values()]
PAYLOADS += [json.dumps({"stream": "btcusdt@x", "data": message}).encode() for message, _ in KINDS.values()]
FUZZED = BinanceCodec([BTCUSDT, ETHUSDT])


def decodes_or_raises_venue_error(raw: bytes) -> None:
    try:
        record = FUZZED.decode(raw)
    except VenueError:
        return
    assert isinstance(record, Record)


@given(st.binary(max_size=300))
@example(b'{"e":"trade"}')
@settings(max_examples=500, deadline=None)
def test_any_bytes(raw: bytes) -> None:
    decodes_or_raises_venue_error(raw)


@given(st.data())
@settings(max_examples=1000, deadline=None)
def test_mutilated_frames(data: st.DataObject) -> None:
    raw = bytearray(data.draw(st.sampled_from(PAYLOADS)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        cut = data.draw(st.integers(0, 6))
        patch = data.draw(st.one_of(st.binary(max_size=6), st.sampled_from([b'"', b"-", b"1e9", b"null", b"[", b"}"])))
        raw[at : at + cut] = patch
        if not raw:
            break
    decodes_or_raises_venue_error(bytes(raw))


KEYS = sorted({key for message, _ in KINDS.values() for key in message})
KEYS += ["stream", "data", "code", "msg", "result", "id"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["trade", "depthUpdate", "BTCUSDT", "ETHUSDT", "28145.10", "0.001", "forceOrder", "bookTicker"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=10),
    max_leaves=12,
)  # fmt: skip


@given(st.sampled_from(list(KINDS)), st.dictionaries(st.sampled_from(KEYS), VALUES), VALUES)
@settings(max_examples=200, deadline=None)
def test_well_formed_nonsense(kind: str, changes: dict[str, Any], value: Any) -> None:
    message = KINDS[kind][0]
    decodes_or_raises_venue_error(json.dumps(message | changes).encode())
    decodes_or_raises_venue_error(json.dumps(value).encode())
    decodes_or_raises_venue_error(json.dumps({"stream": "btcusdt@depth", "data": value}).encode())


# -- real recordings

RECORDINGS = {
    "usdm/btcusdt_20230404.dat.gz": (BTCUSDT, 13_384, {"bookTicker": 6_765, "trade": 2_197, "markPriceUpdate": 99}),
    "usdm/btcusdt_20230405.dat.gz": (BTCUSDT, 60_381, {"bookTicker": 37_440, "trade": 10_738, "markPriceUpdate": 415}),
    "usdm/btcusdt_20240718.gz": (BTCUSDT, 11_414, {"bookTicker": 7_113, "trade": 974}),
    "usdm/btcusdt_20240719.gz": (BTCUSDT, 60_570, {"bookTicker": 45_147, "trade": 9_727}),
    "cm/btcusd_perp_20240808.gz": (BTCUSD_PERP, 48_270, {"bookTicker": 19_136, "trade": 2_286}),
    "cm/btcusd_perp_20240809.gz": (BTCUSD_PERP, 50_116, {"bookTicker": 29_219, "trade": 2_949}),
}
NAMES = {BookTicker: "bookTicker", Trade: "trade", MarkPrice: "markPriceUpdate", DepthDiff: "depthUpdate"}


def frames(name: str) -> Iterator[bytes]:
    path = EXAMPLES / name
    if not path.exists():
        pytest.skip(f"no recording: {path} is absent")
    with gzip.open(path) as file:
        for line in file:
            yield line.partition(b" ")[2].strip()


@pytest.mark.parametrize("name", RECORDINGS)
def test_every_line_of_the_recordings_decodes(name: str) -> None:
    instrument, lines, expected = RECORDINGS[name]
    decoder = BinanceCodec([instrument])
    counts = Counter(type(decoder.decode(raw)) for raw in frames(name))
    assert sum(counts.values()) == lines
    snapshots = counts.pop(DepthSnapshot, 0)
    assert snapshots <= 1
    assert {NAMES[kind]: n for kind, n in counts.items() if kind is not DepthDiff} == expected
    assert counts[DepthDiff] == lines - snapshots - sum(expected.values())


def plain_decode(raw: bytes, instrument: Instrument) -> list[Any]:
    """The same facts by json and Decimal, written from the stream documentation."""
    message = json.loads(raw)
    message = message.get("data", message)

    def ticks(text: str) -> int:
        count = Decimal(text) / instrument.tick_size
        assert count == count.to_integral_value()
        return int(count)

    def lots(text: str) -> int:
        count = Decimal(text) / instrument.lot_size
        assert count == count.to_integral_value()
        return int(count)

    def side(rows: list[list[str]]) -> list[list[int]]:
        return [[ticks(price) for price, _ in rows], [lots(quantity) for _, quantity in rows]]

    times = [message["T"] * MS, message["E"] * MS]
    kind = message.get("e")
    if kind is None:
        return [*times, message["lastUpdateId"], *side(message["bids"]), *side(message["asks"]), False, None]
    if kind == "depthUpdate":
        return [*times, message["U"], message["u"], message["pu"], *side(message["b"]), *side(message["a"]), None]
    if kind == "trade":
        aggressor, market = int(message["m"]), message["X"] == "MARKET"
        return [*times, message["t"], aggressor, ticks(message["p"]), lots(message["q"]), message["X"], market]
    if kind == "bookTicker":
        best = [ticks(message["b"]), lots(message["B"]), ticks(message["a"]), lots(message["A"])]
        return [*times, message["u"], *best]
    prices = [int(Decimal(message[key]) * 10**8) for key in ("p", "i")]
    push_ns = message["E"] * MS
    return [push_ns, push_ns, *prices, int(Decimal(message["r"]) * 10**12), message["T"] * MS]


@pytest.mark.parametrize("name", RECORDINGS)
def test_recordings_agree_with_an_independent_decoder(name: str) -> None:
    instrument = RECORDINGS[name][0]
    decoder = BinanceCodec([instrument])
    for number, raw in enumerate(frames(name)):
        if number % 7 and number > 50:
            continue
        record = decoder.decode(raw)
        facts = [getattr(record, field) for field in record.__struct_fields__ if field != "symbol"]
        assert facts == plain_decode(raw, instrument), f"{name}:{number + 1}"


def test_the_depth_of_the_recordings_is_contiguous() -> None:
    decoder = BinanceCodec([BTCUSDT])
    last_id = 0
    for name in ("usdm/btcusdt_20230404.dat.gz", "usdm/btcusdt_20230405.dat.gz"):
        for raw in frames(name):
            record = decoder.decode(raw)
            if isinstance(record, DepthDiff):
                assert last_id in (0, record.previous_id)
                last_id = record.last_id


def test_the_insurance_funds_print_is_off_the_book() -> None:
    decoder = BinanceCodec([BTCUSDT])
    records = (decoder.decode(raw) for raw in frames("usdm/btcusdt_20230405.dat.gz") if b"INSURANCE_FUND" in raw)
    (trade,) = records
    assert isinstance(trade, Trade)
    assert (trade.on_book, trade.ticks, trade.lots) == (False, 287_225, 1)


CRYPTOFEED = DATA / "cryptofeed" / "sample_data"


def rest_answer(symbol: str) -> bytes:
    answers = (CRYPTOFEED / "BINANCE_FUTURES.http.0.0").read_text().splitlines()
    (answer,) = [line for line in answers if f"/depth?symbol={symbol}&" in line]
    return answer.partition(" -> ")[2].partition(": ")[2].encode()


def test_frames_of_many_symbols_recorded_by_others() -> None:
    """Raw frames of four symbols (2021), with aggTrades and klines, and their REST snapshots."""
    if not CRYPTOFEED.exists():
        pytest.skip(f"no recorded frames: {CRYPTOFEED} is absent")
    info = (CRYPTOFEED / "BINANCE_FUTURES.0").read_text()
    entries = json.loads(next(line for line in info.splitlines() if "exchangeInfo" in line).partition(": ")[2])
    instruments = [instrument_from_exchange_info(entry, "binance_usdm") for entry in entries["symbols"]]
    with pytest.raises(PayloadError, match=r"CTKUSDT: price '0\.50579' has more than 3 decimals .* finer tick_size"):
        BinanceCodec(instruments).decode(rest_answer("CTKUSDT"), "CTKUSDT")
    finer = {"CTKUSDT": Decimal("0.00001")}  # one order is older than the present grid
    decoder = BinanceCodec([replace(i, tick_size=finer.get(i.symbol, i.tick_size)) for i in instruments])
    counts: Counter[str] = Counter()
    for line in (CRYPTOFEED / "BINANCE_FUTURES.ws.1.0").read_bytes().splitlines():
        time, _, raw = line.partition(b": ")
        if time.replace(b".", b"").isdigit():
            counts[type(decoder.decode(raw)).__name__] += 1
    for symbol in ("SUSHIUSDT", "AKROUSDT", "KEEPUSDT", "CTKUSDT"):
        snapshot = decoder.decode(rest_answer(symbol), symbol)
        assert isinstance(snapshot, DepthSnapshot)
        assert snapshot.symbol == symbol
        assert len(snapshot.bid_ticks) == len(snapshot.bid_lots) >= 400
    assert set(counts) == {"DepthDiff", "AggTrade", "BookTicker", "Other"}
    assert counts["DepthDiff"] > 500


def test_spot_frames_are_not_taken_for_futures() -> None:
    """Documentation samples of Binance spot: other events are named, the spot diff (no engine time) is refused."""
    path = DATA / "gocryptotrader" / "exchanges" / "binance" / "testdata" / "wsHandleData.json"
    if not path.exists():
        pytest.skip(f"no payload samples: {path} is absent")
    found: list[Record | str] = []
    for line in path.read_bytes().splitlines():
        try:
            found.append(codec().decode(line))
        except PayloadError as error:
            found.append(error.field)
    assert found[:4] == [Other("24hrTicker", "BNBBTC"), Other("kline", "BNBBTC"), Other("trade", "BNBBTC"), "T"]
    assert all(isinstance(record, Other) for record in found[4:])
