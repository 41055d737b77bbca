"""What single orders of a venue become: the rules one by one, and a recorded market whose every trade they explain."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest

from matching.codes import (
    BUY,
    ORDER_ADD,
    ORDER_BOOK,
    ORDER_CHANGE,
    ORDER_FILL,
    ORDER_GONE,
    SELL,
    TRADE,
)
from matching.order_book import OrderBook
from recorders.bitstamp import OrderRecording, import_bitstamp_report, read_bitstamp
from recorders.lake import Lake
from recorders.order_flow import Blocked, NamedTrade, OrderFlow
from tests.recorders.captures import SHARED
from venues.errors import InputError
from venues.instruments import Instrument

RECORDED = SHARED / "pypi_ob_analytics"
recorded = pytest.mark.skipif(not RECORDED.is_dir(), reason=f"the recorded orders are not here: {RECORDED}")
OPENING = [(1, BUY, 99, 5), (2, SELL, 101, 4), (3, SELL, 102, 6)]
INSTRUMENT = Instrument.from_fields(
    {"venue": "bitstamp", "symbol": "BTCUSD", "base": "BTC", "quote": "USD", "tick_size": "1", "lot_size": "0.00000001"}
)


def flow_of(*trades: NamedTrade, drops_phantoms: bool = True) -> OrderFlow:
    flow = OrderFlow(trades, drops_phantoms)
    flow.opening(OPENING)
    flow.events.clear()
    return flow


def test_the_opening_is_a_whole_book() -> None:
    flow = OrderFlow(())
    flow.opening(OPENING)
    assert flow.events == [(ORDER_BOOK, 3, 0, 0, 0), *((ORDER_ADD, *order) for order in OPENING)]


def test_a_marketable_order_waits_until_it_is_matched() -> None:
    flow = flow_of(NamedTrade(900, 2, 101, 4))
    flow.created(10, BUY, 101, 7)
    flow.changed(10, BUY, 101, 3)  # what the venue says of the taker: where it executed, what is left
    assert flow.events == []
    flow.deleted(2, 0)
    assert flow.events == [(TRADE, 900, BUY, 101, 4), (ORDER_FILL, 2, SELL, 101, 4), (ORDER_ADD, 10, BUY, 101, 3)]
    assert (flow.explained, flow.dropped, flow.unmatched) == (1, [], [])


def test_a_marketable_order_that_is_deleted_was_never_in_the_book() -> None:
    flow = flow_of()
    flow.created(10, SELL, 98, 7)
    flow.deleted(10, 7)
    assert (flow.events, flow.unknown) == ([], 0)


def test_a_smaller_size_is_an_execution_only_if_a_trade_says_so() -> None:
    flow = flow_of(NamedTrade(900, 1, 99, 2))
    flow.changed(1, BUY, 99, 4)
    flow.changed(1, BUY, 99, 2)
    flow.deleted(1, 2)
    assert flow.events == [
        (ORDER_CHANGE, 1, BUY, 99, 4), (TRADE, 900, SELL, 99, 2), (ORDER_FILL, 1, BUY, 99, 2),
        (ORDER_GONE, 1, BUY, 99, 2),
    ]  # fmt: skip


def test_another_price_is_a_new_order() -> None:
    flow = flow_of()
    flow.created(10, BUY, 98, 7)
    flow.created(11, BUY, 99, 7)
    flow.changed(11, BUY, 98, 7)
    assert flow.events[-2:] == [(ORDER_GONE, 11, BUY, 99, 7), (ORDER_ADD, 11, BUY, 98, 7)]


def test_a_phantom_is_dropped_once_the_market_trades_through_it() -> None:
    for drops in (True, False):
        flow = flow_of(NamedTrade(900, 3, 102, 1), drops_phantoms=drops)
        flow.changed(3, SELL, 102, 5)
        blocked = Blocked(2, SELL, 101, 4, 900)
        if drops:
            assert flow.events[0] == (ORDER_GONE, 2, SELL, 101, 4)
        assert (flow.dropped, flow.unexplained) == (([blocked], []) if drops else ([], [blocked]))
        assert flow.explained == drops


def test_an_order_of_the_session_is_never_dropped() -> None:
    flow = flow_of(NamedTrade(900, 2, 101, 1))
    flow.created(10, SELL, 100, 3)
    flow.changed(2, SELL, 101, 3)
    assert (flow.dropped, flow.explained) == ([], 0)
    assert flow.unexplained == [Blocked(10, SELL, 100, 3, 900)]


@functools.cache
def whole_recording() -> OrderRecording:
    return read_bitstamp(RECORDED, INSTRUMENT)


@recorded
def test_first_come_first_served_explains_every_recorded_trade() -> None:
    """284 of 284, and which orders of the snapshot were phantoms; a book of plain queues then repeats every fill."""
    read = whole_recording()
    flow = read.flow
    assert (read.rows, len(flow.trades), flow.explained) == (314_057, 284, 284)
    assert (flow.unexplained, flow.unmatched, len(read.left_out)) == ([], [], 101)
    assert flow.dropped == [
        Blocked(2002347646152704, SELL, 78333, 24148480, 568694632),
        Blocked(2002347642003458, SELL, 78374, 3368756, 568694713),
    ]
    queues: dict[tuple[int, int], list[list[int]]] = {}
    fills = 0
    for kind, ref, side, ticks, lots in flow.events:
        queue = queues.setdefault((side, ticks), [])
        if kind == ORDER_ADD:
            queue.append([ref, lots])
        elif kind in (ORDER_CHANGE, ORDER_GONE):
            place = [order for order, _ in queue].index(ref)
            queue[place][1] = lots
            if kind == ORDER_GONE:
                queue.pop(place)
        elif kind == ORDER_FILL:
            assert queue[0][0] == ref
            prices = [t for (s, t), waiting in queues.items() if waiting and s == side]
            assert ticks == (max(prices) if side == BUY else min(prices))
            queue[0][1] -= lots
            if not queue[0][1]:
                queue.pop(0)
            fills += 1
    assert fills == 284


@recorded
def test_without_dropping_phantoms_not_every_trade_is_explained() -> None:
    flow = read_bitstamp(RECORDED, INSTRUMENT, drops_phantoms=False).flow
    assert flow.explained < 284
    assert {blocked.order_id for blocked in flow.unexplained} >= {2002347646152704}


@recorded
def test_the_recorded_market_goes_through_the_lake(tmp_path: Path) -> None:
    report = import_bitstamp_report(RECORDED, tmp_path / "lake", INSTRUMENT).recordings[0]
    assert (report.trades, report.trades_explained, report.orders_unknown) == (284, 284, 13)
    assert [dropped["order_id"] for dropped in report.orders_dropped] == [2002347646152704, 2002347642003458]
    lake = Lake(tmp_path / "lake")
    read = whole_recording()
    source = lake.source("bitstamp", "BTCUSD", None, None)
    found, twin = OrderBook(), OrderBook()
    count = 0
    while (window := source.next_window()) is not None:
        window.check()
        rows = zip(window.kind.tolist(), window.ref.tolist(), window.row_start.tolist(), strict=False)
        for kind, ref, r in rows:
            if kind not in (TRADE, ORDER_BOOK):
                found.apply(kind, ref, int(window.side[r]), int(window.px_ticks[r]), int(window.qty_lots[r]))
            count += 1
    for event in read.flow.events:
        if event[0] not in (TRADE, ORDER_BOOK):
            twin.apply(*event)
    assert count == len(read.flow.events)
    assert found.places() == twin.places() == read.flow.resting()
    assert [found["problems"] for found in lake.verify()] == [[]]


def folder_of(tmp_path: Path, orders: list[str], trades: list[str], made_up: tuple[int, int] = (1, 0)) -> Path:
    header = "id,timestamp,exchange_timestamp,price,volume,action,direction"
    (tmp_path / "orders.csv").write_text("\n".join([header, *orders]) + "\n")
    header = "trade_id,timestamp,exchange_timestamp,price,amount,buy_order_id,sell_order_id,side"
    (tmp_path / "trades.csv").write_text("\n".join([header, *trades]) + "\n")
    meta = {"synthetic_created": made_up[0], "synthetic_deleted": made_up[1]}
    (tmp_path / "meta.json").write_text(json.dumps(meta))
    return tmp_path


def test_a_folder_becomes_messages_with_the_times_of_their_rows(tmp_path: Path) -> None:
    folder = folder_of(
        tmp_path,
        ["1,5,3,99.0,0.5,created,bid", "2,12,10,0.0,1.0,created,bid", "1,12,11,99.0,0.2,changed,bid",
         "1,11,11,99.0,0.1,changed,bid", "2,20,20,0.0,1.0,deleted,bid", "1,20,20,99.0,0.1,deleted,bid"],
        ["7,13,11,99.0,0.3,1,44,sell"], (1, 1),
    )  # fmt: skip
    read = read_bitstamp(folder, INSTRUMENT)
    block = read.block
    assert block.kind.tolist() == [ORDER_BOOK, ORDER_ADD, TRADE, ORDER_FILL, ORDER_CHANGE]
    assert (block.ts_event // 10**6).tolist() == [3, 3, 11, 11, 11]
    assert (block.ts_recv // 10**6).tolist() == [5, 5, 13, 12, 12]
    assert (block.qty_lots.tolist(), read.left_out) == ([50_000_000, 30_000_000, 30_000_000, 10_000_000], [2])


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("1,5,2,99.0,0.5,created,bid", "line 3: venue time goes back"),
        ("1,5,3,99.0,0.5,made,bid", "line 3: unknown action 'made'"),
        ("1,5,3,99.0,0.5,created,both", "line 3: KeyError"),
        ("1,5,3,99.0,abc,created,bid", "line 3: "),
        ("1,5,3,99.5,0.5,created,bid", "line 3: .*grid 1"),
        ("1,5,3,99.0,0.5,created", "line 3: has 6 fields"),
    ],
)
def test_what_the_format_does_not_allow_is_named(tmp_path: Path, row: str, why: str) -> None:
    folder = folder_of(tmp_path, ["1,5,3,99.0,0.5,created,bid", row], [])
    with pytest.raises(InputError, match=why):
        read_bitstamp(folder, INSTRUMENT)
