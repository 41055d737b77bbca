"""Market data sessions on virtual time: subscriptions, heartbeats, book chains, resyncs, dead connections, limits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.venues.session_drive import SYMBOLS, Drive
from venues.errors import InputError
from venues.ports import CountingEntropy
from venues.session_parts import (
    SECOND,
    Fetch,
    Found,
    Lost,
    Ping,
    Reconnect,
    Remark,
    Send,
    Wanted,
    Watch,
    backoff_ns,
    retry_after_ns,
)
from venues.sessions import market_session, session_venues


def sent_json(drive: Drive) -> list[Any]:
    return [json.loads(action.payload) for action in drive.got(Send)]


# -- what is subscribed


def test_every_venue_with_a_rule_card_can_be_recorded() -> None:
    from venues import card_names

    assert set(session_venues()) == set(SYMBOLS) == set(card_names()) - {"neutral"}


def test_binance_usdm_names_its_streams_in_the_address_of_the_right_socket() -> None:
    drive = Drive("binance_usdm", "BTCUSDT")
    public, market = drive.session.links
    assert public.url == "wss://fstream.binance.com/public/stream?streams=btcusdt@depth@100ms/btcusdt@bookTicker"
    assert market.url == (
        "wss://fstream.binance.com/market/stream?streams=btcusdt@aggTrade/btcusdt@markPrice@1s/btcusdt@forceOrder"
    )
    assert drive.got(Send) == []


def test_binance_coinm_has_one_socket() -> None:
    (link,) = Drive("binance_coinm", "BTCUSD_PERP").session.links
    assert link.url.startswith("wss://dstream.binance.com/stream?streams=btcusd_perp@depth@100ms/")


@pytest.mark.parametrize("venue", sorted(SYMBOLS))
def test_hosts_can_be_replaced_by_this_machine_only(venue: str) -> None:
    drive = Drive(venue, SYMBOLS[venue], ws="ws://127.0.0.1:81", rest="http://127.0.0.1:82")
    assert all(link.url.startswith("ws://127.0.0.1:81/") for link in drive.session.links)
    with pytest.raises(InputError, match="without TLS may only go to this machine"):
        Drive(venue, SYMBOLS[venue], ws="ws://example.org")
    with pytest.raises(InputError, match="is no address"):
        Drive(venue, SYMBOLS[venue], ws="127.0.0.1:81")


def test_connections_are_split_where_a_venue_limits_them() -> None:
    symbols = [f"A{number}USDT" for number in range(150)]
    links = Drive("binance_usdm", *symbols).session.links
    assert [len(link.channels) for link in links] == [200, 100, 200, 200, 50]
    dydx = Drive("dydx", *(f"A{number}-USD" for number in range(40))).session.links
    assert [len(link.channels) for link in dydx] == [65, 16]


@pytest.mark.parametrize(
    ("venue", "first"),
    [
        ("bybit_linear", {"op": "subscribe", "args": [
            "orderbook.50.BTCUSDT", "publicTrade.BTCUSDT", "orderbook.1.BTCUSDT", "tickers.BTCUSDT",
            "allLiquidation.BTCUSDT"]}),
        ("hyperliquid", {"method": "subscribe", "subscription": {"type": "l2Book", "coin": "BTC"}}),
        ("dydx", {"type": "subscribe", "channel": "v4_orderbook", "id": "BTC-USD"}),
    ],
)  # fmt: skip
def test_subscriptions(venue: str, first: dict[str, Any]) -> None:
    assert sent_json(Drive(venue, SYMBOLS[venue]))[0] == first


def test_okx_marks_are_three_channels_and_liquidations_one_for_all() -> None:
    (message,) = sent_json(Drive("okx", "BTC-USDT-SWAP"))
    assert message["args"][3:] == [
        {"channel": "mark-price", "instId": "BTC-USDT-SWAP"}, {"channel": "index-tickers", "instId": "BTC-USDT"},
        {"channel": "funding-rate", "instId": "BTC-USDT-SWAP"},
        {"channel": "liquidation-orders", "instType": "SWAP"},
    ]  # fmt: skip


def test_subscriptions_keep_the_venues_pace() -> None:
    drive = Drive("dydx", *(f"A{number}-USD" for number in range(5)))
    assert len(drive.got(Send)) == 1
    drive.wait(3)
    assert len(drive.got(Send)) == 6  # one every 600 ms: two a second are allowed
    drive.wait(10)
    assert len(drive.got(Send)) == 11


def test_deribit_asks_for_heartbeats_and_answers_them_at_once() -> None:
    drive = Drive("deribit", "BTC-PERPETUAL")
    assert sent_json(drive)[0]["method"] == "public/set_heartbeat"
    drive.frame({"jsonrpc": "2.0", "method": "heartbeat", "params": {"type": "test_request"}})
    assert sent_json(drive)[-1]["method"] == "public/test"


@pytest.mark.parametrize(
    ("venue", "beat", "seconds"),
    [("okx", b"ping", 20), ("bybit_linear", b'{"op":"ping"}', 20), ("hyperliquid", b'{"method":"ping"}', 30)],
)
def test_heartbeats_of_the_venues(venue: str, beat: bytes, seconds: int) -> None:
    drive = Drive(venue, SYMBOLS[venue], streams=("trades",))
    drive.wait(100)
    assert sum(action.payload == beat for action in drive.got(Send)) == 100 // seconds


# -- Binance: the pu chain and snapshots


def diff(first: int, last: int, previous: int, symbol: str = "BTCUSDT", ms: int = 0) -> dict[str, Any]:
    data = {"e": "depthUpdate", "E": ms or last, "T": ms or last, "s": symbol, "U": first, "u": last, "pu": previous,
            "b": [["1.0", "2"]], "a": []}  # fmt: skip
    return {"stream": f"{symbol.lower()}@depth@100ms", "data": data}


def book(last: int) -> dict[str, Any]:
    return {"lastUpdateId": last, "E": 1, "T": 1, "bids": [["1", "1"]], "asks": [["2", "1"]]}


def synced_binance(*symbols: str) -> Drive:
    drive = Drive("binance_usdm", *(symbols or ("BTCUSDT",)))
    for symbol in symbols or ("BTCUSDT",):
        drive.frame(diff(10, 12, 9, symbol))
        drive.wait(1)
        drive.reply(200, book(12))
    assert [found.how for found in drive.take(Found)] == ["rest"] * max(1, len(symbols))
    return drive


def test_the_snapshot_is_asked_for_once_the_diffs_have_begun() -> None:
    drive = Drive("binance_usdm", "BTCUSDT")
    drive.wait(5)
    assert drive.got(Fetch) == []
    drive.frame(diff(10, 12, 9))
    drive.wait(0.1)
    (fetch,) = drive.got(Fetch)
    assert fetch.url == "https://fapi.binance.com/fapi/v1/depth?symbol=BTCUSDT&limit=1000"


def test_a_missing_diff_is_found_with_the_next_and_only_its_symbol_resyncs() -> None:
    drive = synced_binance("BTCUSDT", "ETHUSDT")
    drive.frame(diff(13, 14, 12))
    drive.frame(diff(13, 14, 12, "ETHUSDT"))
    assert drive.done == []
    drive.frame(diff(17, 18, 16))
    (lost,) = drive.got(Lost)
    assert (lost.channel.symbol, lost.why, lost.detail) == ("BTCUSDT", "sequence", "expected 14, found 16")
    drive.wait(1)
    assert [fetch.symbol for fetch in drive.got(Fetch)] == ["BTCUSDT"]
    drive.reply(200, book(17))
    assert [found.channel.symbol for found in drive.got(Found)] == ["BTCUSDT"]
    assert drive.channel("depth", "ETHUSDT").synced


def test_a_snapshot_older_than_the_diffs_kept_is_asked_for_again() -> None:
    drive = Drive("binance_usdm", "BTCUSDT")
    drive.frame(diff(10, 12, 9))
    drive.wait(1)
    drive.reply(200, book(8))
    assert drive.got(Found) == [] and "older than the first update" in drive.got(Remark)[0].text
    drive.wait(3)
    assert len(drive.got(Fetch)) == 2
    drive.reply(200, book(10))
    assert [found.tries for found in drive.got(Found)] == [2]


def test_a_gap_while_a_snapshot_is_under_way_needs_a_newer_one() -> None:
    drive = Drive("binance_usdm", "BTCUSDT")
    drive.frame(diff(10, 12, 9))
    drive.wait(0.1)
    drive.frame(diff(20, 22, 19))
    drive.reply(200, book(12))
    assert drive.got(Found) == []


@pytest.mark.parametrize("body", [b"", b'{"lastUpdateId":12,"bids":[["1', b'{"lastUpdateId":12,"bids":[],"asks":[]}'])
def test_a_snapshot_that_is_none_is_asked_for_again(body: bytes) -> None:
    drive = Drive("binance_usdm", "BTCUSDT")
    drive.frame(diff(10, 12, 9))
    drive.wait(1)
    drive.reply(200, body)
    assert drive.got(Found) == [] and "not usable" in drive.got(Remark)[0].text
    drive.wait(3)
    assert len(drive.got(Fetch)) == 2


def test_repeated_and_late_diffs_are_counted_and_no_gap() -> None:
    drive = synced_binance()
    drive.frame(diff(13, 14, 12))
    drive.frame(diff(13, 14, 12))
    drive.frame(diff(10, 12, 9))
    drive.frame(diff(15, 16, 14))
    assert drive.got(Lost) == [] and drive.channel("depth").duplicates == 2


def test_a_numbering_that_starts_over_is_a_gap() -> None:
    drive = synced_binance()
    drive.frame(diff(3, 4, 2, ms=10_000))
    assert [lost.why for lost in drive.got(Lost)] == ["sequence"]


@pytest.mark.parametrize("status", [429, 418])
def test_no_request_before_the_venues_deadline(status: int) -> None:
    drive = Drive("binance_usdm", "BTCUSDT", "ETHUSDT")
    drive.frame(diff(10, 12, 9))
    drive.frame(diff(10, 12, 9, "ETHUSDT"))
    drive.wait(0.1)
    drive.reply(status, b"{}", {"retry-after": "120"})
    drive.take(Fetch)
    drive.wait(119.8, data=diff(13, 14, 14))
    assert drive.got(Fetch) == []
    drive.wait(2)
    assert len(drive.got(Fetch)) == 1


def test_a_resync_that_never_succeeds_backs_off_to_one_in_ten_minutes() -> None:
    drive = Drive("binance_usdm", "BTCUSDT")
    drive.frame(diff(10, 12, 9))
    tries = 0
    for _ in range(3600):
        drive.wait(1, data=diff(13, 14, 14))
        if drive.got(Fetch):
            tries += 1
            drive.reply(500, b"")
            drive.take(Fetch)
    assert 8 <= tries <= 22


def test_a_silent_mark_stream_means_a_new_connection() -> None:
    drive = Drive("binance_coinm", "BTCUSD_PERP")
    drive.wait(20, data=diff(1, 2, 2, "BTCUSD_PERP"))
    assert [action.why for action in drive.got(Reconnect)] == ["btcusd_perp@markPrice@1s: nothing for 15 s"]


# -- books that come in the stream


def bybit(kind: str, u: int, symbol: str = "BTCUSDT") -> dict[str, Any]:
    return {"topic": f"orderbook.50.{symbol}", "type": kind, "ts": u, "cts": u, "data": {"s": symbol, "u": u}}


def okx(action: str, previous: int, last: int) -> dict[str, Any]:
    row = {"asks": [], "bids": [], "ts": str(last), "prevSeqId": previous, "seqId": last}
    return {"arg": {"channel": "books", "instId": "BTC-USDT-SWAP"}, "action": action, "data": [row]}


def deribit(kind: str, previous: int | None, last: int) -> dict[str, Any]:
    data = {"type": kind, "timestamp": last, "change_id": last, "prev_change_id": previous, "bids": [], "asks": []}
    return {"method": "subscription", "params": {"channel": "book.BTC-PERPETUAL.100ms", "data": data}}


def chain(venue: str) -> list[Any]:
    """A snapshot, three updates; then one that follows one which never came; then a snapshot and an update."""
    if venue == "bybit_linear":
        updates = [bybit("snapshot", 5), *(bybit("delta", u) for u in (6, 7, 8, 10))]
        return [*updates, bybit("snapshot", 1), bybit("delta", 2)]
    if venue == "okx":
        updates = [okx("snapshot", -1, 10), okx("update", 10, 15), okx("update", 15, 15), okx("update", 15, 3)]
        return [*updates, okx("update", 5, 7), okx("snapshot", -1, 9), okx("update", 9, 12)]
    updates = [deribit("snapshot", None, 10), deribit("change", 10, 12), deribit("change", 12, 13)]
    return [*updates, deribit("change", 13, 20), deribit("change", 22, 25), deribit("snapshot", None, 30)]


@pytest.mark.parametrize("venue", ["bybit_linear", "okx", "deribit"])
def test_a_broken_chain_is_subscribed_anew(venue: str) -> None:
    drive = Drive(venue, SYMBOLS[venue], streams=("depth",))
    drive.wait(2)
    frames = chain(venue)
    for frame in frames[:4]:
        drive.frame(frame)
    assert len(drive.take(Found)) == 1
    drive.frame(frames[4])
    assert [(lost.why, lost.channel.synced) for lost in drive.got(Lost)] == [("sequence", False)]
    drive.wait(1)
    sent = [action.payload for action in drive.take(Send)]
    assert b"unsubscribe" in sent[0] and b"subscribe" in sent[1] and b"unsubscribe" not in sent[1]
    drive.frame(frames[4])  # what was under way before we unsubscribed counts for nothing
    assert not drive.channel("depth").synced
    for frame in frames[5:]:
        drive.frame(frame)
    assert [found.how for found in drive.got(Found)] == ["snapshot"]
    drive.wait(15)
    assert drive.channel("depth").synced and not drive.got(Send)


@pytest.mark.parametrize("venue", ["bybit_linear", "okx", "deribit"])
def test_repeated_updates_are_no_gap(venue: str) -> None:
    drive = Drive(venue, SYMBOLS[venue], streams=("depth",))
    frames = chain(venue)[:3]
    for frame in (*frames, frames[1], frames[2]):
        drive.frame(frame)
    assert drive.got(Lost) == []


@pytest.mark.parametrize("venue", ["bybit_linear", "okx", "dydx", "deribit"])
def test_a_book_whose_snapshot_never_comes_is_subscribed_anew(venue: str) -> None:
    drive = Drive(venue, SYMBOLS[venue], streams=("depth",))
    drive.wait(25)
    assert not any(b"unsubscribe" in action.payload for action in drive.got(Send))
    drive.wait(15)
    assert any(b"unsubscribe" in action.payload for action in drive.got(Send))
    assert not drive.got(Lost), "nothing has come that could be missing"


def test_okx_books_without_a_first_snapshot_are_joined_to_one_over_rest() -> None:
    drive = Drive("okx", "BTC-USDT-SWAP", streams=("depth",))
    last = 10
    for _ in range(40):
        drive.frame(okx("update", last, last + 5))
        last += 5
        drive.wait(1)
    (fetch, *_) = drive.got(Fetch)
    assert fetch.url == "https://www.okx.com/api/v5/market/books?instId=BTC-USDT-SWAP&sz=400"
    drive.reply(200, {"code": "0", "data": [{"asks": [], "bids": [], "ts": "1", "seqId": last}]})
    assert [found.how for found in drive.got(Found)] == ["rest"]


def test_a_silent_book_with_a_cadence_is_subscribed_anew_and_then_connected_anew() -> None:
    drive = Drive("okx", "BTC-USDT-SWAP")
    ticker = {"arg": {"channel": "bbo-tbt", "instId": "BTC-USDT-SWAP"}, "data": [{"ts": "1"}]}
    drive.wait(100, data=ticker)
    assert [lost.why for lost in drive.got(Lost)] == ["stale"]
    assert sum(b"unsubscribe" in action.payload for action in drive.got(Send)) >= 1
    drive.wait(1000, data=ticker)
    assert any("books:BTC-USDT-SWAP: nothing for" in action.why for action in drive.got(Reconnect))


def test_deribit_trades_have_no_holes() -> None:
    drive = Drive("deribit", "BTC-PERPETUAL")
    for numbers in ([5, 6], [7], [9, 10]):
        data = [{"timestamp": n, "trade_seq": n} for n in numbers]
        drive.frame({"method": "subscription", "params": {"channel": "trades.BTC-PERPETUAL.100ms", "data": data}})
    assert [(lost.channel.stream, lost.detail) for lost in drive.got(Lost)] == [("trades", "expected 7, found 8")]
    drive.wait(2)
    assert not any(b"unsubscribe" in action.payload for action in drive.got(Send))


def test_dydx_counts_messages_over_the_whole_connection() -> None:
    drive = Drive("dydx", "BTC-USD", streams=("depth", "trades"))
    drive.wait(2)
    drive.frame({"type": "connected", "connection_id": "x", "message_id": 0})
    for number, kind in ((1, "subscribed"), (2, "channel_data"), (2, "channel_data")):
        drive.frame({"type": kind, "message_id": number, "channel": "v4_orderbook", "id": "BTC-USD", "contents": {}})
    assert len(drive.take(Found)) == 1
    drive.frame({"type": "channel_data", "message_id": 4, "channel": "v4_trades", "id": "BTC-USD", "contents": {}})
    assert [lost.channel.stream for lost in drive.got(Lost)] == ["depth", "trades"]
    drive.wait(2)
    assert [json.loads(a.payload)["type"] for a in drive.got(Send)] == ["unsubscribe", "subscribe"]


def test_hyperliquid_books_are_whole_every_time() -> None:
    drive = Drive("hyperliquid", "BTC")
    assert drive.frame(b"Websocket connection established.") is None
    for ms in (1, 500, 400):
        drive.frame({"channel": "l2Book", "data": {"coin": "BTC", "time": ms, "levels": [[], []]}})
    assert drive.got(Lost) == [] and len(drive.got(Found)) == 1


# -- dead connections and quiet markets


def test_a_peer_that_does_not_even_answer_pings_is_gone() -> None:
    drive = Drive("hyperliquid", "BTC", streams=("trades",))
    drive.wait(44, pongs=False)
    assert drive.got(Reconnect) == [] and len(drive.got(Ping)) == 2
    drive.wait(2, pongs=False)
    assert len(drive.got(Reconnect)) == 1
    drive.wait(10, pongs=False)
    assert len(drive.got(Reconnect)) == 1, "asked for once"


def test_pongs_do_not_hide_dead_data() -> None:
    drive = Drive("hyperliquid", "BTC", streams=("trades",))
    drive.wait(121)
    assert [action.why for action in drive.got(Reconnect)] == ["no data, although the connection answers"]


def test_a_quiet_market_does_not_flap() -> None:
    drive = Drive("hyperliquid", "BTC", streams=("trades",))
    trade = {"channel": "trades", "data": [{"coin": "BTC", "time": 1}]}
    for _ in range(12 * 60):
        drive.wait(10, data=trade if _ % 30 == 0 else None, every=10)  # a trade every five minutes, for two hours
        if any(isinstance(action, Reconnect) for action in drive.done[-2:]) and drive.session.links[0].closing:
            drive.close()
            drive.open()
    assert len(drive.got(Reconnect)) <= 3


def test_patience_returns_to_normal_when_data_flows() -> None:
    watch = Watch(100 * SECOND)
    watch.start(0)
    assert watch.exceeded(101 * SECOND) and watch.allowed_ns == 200 * SECOND
    for second in range(102, 900):
        watch.seen(second * SECOND)
    assert watch.allowed_ns == 100 * SECOND


def test_while_we_do_not_read_the_venue_is_not_silent() -> None:
    drive = Drive("hyperliquid", "BTC")
    for _ in range(200):
        drive.session.on_hold(drive.name, drive.now_ns)
        drive.wait(1, pongs=False)
    assert drive.got(Reconnect) == [] and drive.got(Lost) == []


def test_a_closed_connection_loses_every_channel_and_begins_anew() -> None:
    drive = synced_binance()
    drive.close()
    drive.close()
    assert [(lost.channel.stream, lost.why) for lost in drive.take(Lost)] == [
        ("depth", "disconnect"),
        ("quotes", "disconnect"),
    ]
    drive.wait(5)
    drive.open()
    drive.frame(diff(50, 60, 40))
    drive.wait(1)
    drive.reply(200, book(55))
    assert drive.got(Lost) == [] and drive.channel("depth").synced


@pytest.mark.parametrize(
    ("venue", "refusal"),
    [
        ("binance_usdm", {"error": {"code": 2, "msg": "Invalid request"}}),
        ("bybit_linear", {"success": False, "ret_msg": "Invalid topic", "op": "subscribe"}),
        ("okx", {"event": "error", "code": "60018", "msg": "Wrong channel"}),
        ("okx", {"event": "notice", "code": "64008", "msg": "The service will restart"}),
        ("hyperliquid", {"channel": "error", "data": "Invalid subscription"}),
        ("dydx", {"type": "error", "message": "Invalid subscription", "message_id": 1}),
        ("deribit", {"jsonrpc": "2.0", "id": 1, "error": {"code": 10028, "message": "too_many_requests"}}),
    ],
)
def test_a_refusal_is_a_reason_to_connect_anew(venue: str, refusal: dict[str, Any]) -> None:
    drive = Drive(venue, SYMBOLS[venue])
    drive.frame(refusal)
    assert len(drive.got(Reconnect)) == 1
    if "notice" in refusal.values():
        return
    for _ in range(5):  # and no more than one in ten minutes: what was not refused goes on
        drive.close()
        drive.open()
        drive.frame(refusal)
    assert len(drive.got(Reconnect)) == 1 and len(drive.got(Remark)) == 6
    drive.now_ns += 601 * SECOND
    drive.close()
    drive.open()
    drive.frame(refusal)
    assert len(drive.got(Reconnect)) == 2


def test_what_cannot_be_recorded_is_refused() -> None:
    with pytest.raises(InputError, match="cannot be recorded"):
        market_session(Wanted("neutral", ()), CountingEntropy())
    with pytest.raises(InputError, match="no book stream '7'"):
        Drive("bybit_linear", "BTCUSDT", book="7")
    with pytest.raises(InputError, match="no stream 'books'"):
        Drive("bybit_linear", "BTCUSDT", streams=("books",))
    with pytest.raises(InputError, match="has none of the streams liquidations"):
        Drive("deribit", "BTC-PERPETUAL", streams=("liquidations",))


def test_backoff_doubles_with_jitter_up_to_its_bound() -> None:
    entropy = CountingEntropy()
    waits = [backoff_ns(tries, entropy, first_ns=1_000, most_ns=10_000) for tries in range(8)]
    assert all(min(10_000, 1_000 << n) // 2 <= wait <= min(10_000, 1_000 << n) for n, wait in enumerate(waits))
    assert backoff_ns(10**9, entropy) <= 600 * SECOND


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({}, 60), ({"retry-after": "7"}, 7), ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, 60),
     ({"retry-after": "99999999"}, 3 * 86_400), ({"retry-after": "9" * 50}, 60)],
)  # fmt: skip
def test_retry_after(headers: dict[str, str], seconds: int) -> None:
    assert retry_after_ns(headers) == seconds * SECOND
