"""Order-by-order feeds for tests: messages as tuples, windows of them, the levels they make, a core that reads them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from matching.codes import (
    DEPTH,
    EV_FILLED,
    ON_BOOK,
    ORDER_ADD,
    ORDER_BOOK,
    SNAPSHOT,
)
from matching.feed import FeedWindow, stable_local_order
from matching.forms import OrderForms
from matching.kernel import Core, LatencyTable
from matching.ledger import Ledger
from matching.order_book import OrderBook

Order = tuple[int, int, int, int, int, int]  # ts, kind, id, side, ticks, lots
STEP_NS = 10


def order_window(messages: Sequence[Order], late: int = 0) -> FeedWindow:
    """One window; ORDER_BOOK messages (whose id is the number of orders that follow) have no row."""
    has_row = [message[1] != ORDER_BOOK for message in messages]
    rows = np.array([message[3:] for message in messages if message[1] != ORDER_BOOK], np.int64).reshape(-1, 3)
    ts = np.array([message[0] for message in messages], np.int64)
    return FeedWindow(
        ts_event=ts, ts_recv=ts + late, kind=np.array([message[1] for message in messages], np.uint8),
        row_start=np.cumsum([0, *has_row]).astype(np.int64), local_order=stable_local_order(ts),
        ref=np.array([message[2] for message in messages], np.int64), side=rows[:, 0].astype(np.uint8),
        px_ticks=rows[:, 1].astype(np.int32), qty_lots=rows[:, 2].astype(np.int32), aux=np.zeros((0, 4), np.int64),
    )  # fmt: skip


def level_window(messages: Sequence[Order], late: int = 0) -> FeedWindow:
    """What a feed of levels would have said of the same market, one message for each."""
    book, awaited = OrderBook(), 0
    rows: list[tuple[int, int, int]] = []
    kinds: list[int] = []  # -1: a part of a book that is not whole yet
    counts: list[int] = []
    for _, kind, order_id, side, ticks, lots in messages:
        if kind == ORDER_BOOK:
            awaited = order_id
            book.clear()
            found = []
        elif awaited:
            book.apply(ORDER_ADD, order_id, side, ticks, lots)
            awaited -= 1
            found = book.levels() if not awaited else []
        else:
            known = book.order(order_id)
            book.apply(kind, order_id, side, ticks, lots)
            touched = {(side, ticks), known[:2]} if known else {(side, ticks)}
            found = [(s, t, book.total(s, t)) for s, t in sorted(touched)]
        whole = kind == ORDER_BOOK or (kind == ORDER_ADD and awaited == 0 and kinds and kinds[-1] == -1)
        kinds.append(-1 if awaited else SNAPSHOT if whole else DEPTH)
        counts.append(len(found))
        rows += found
    ts = np.array([message[0] for message in messages], np.int64)
    table = np.array(rows, np.int64).reshape(-1, 3)
    kind_column = np.array([DEPTH if kind == -1 else kind for kind in kinds], np.uint8)
    return FeedWindow(
        ts_event=ts, ts_recv=ts + late, kind=kind_column, row_start=np.cumsum([0, *counts]).astype(np.int64),
        ref=np.arange(1, len(ts) + 1, dtype=np.int64), local_order=stable_local_order(ts),
        side=table[:, 0].astype(np.uint8), px_ticks=table[:, 1].astype(np.int32), qty_lots=table[:, 2].astype(np.int32),
        aux=np.zeros((0, 4), np.int64),
    )  # fmt: skip


def stated(orders: Iterable[tuple[int, int, int, int]], ts: int = 0) -> list[Order]:
    """A whole book of (id, side, ticks, lots)."""
    orders = list(orders)
    return [(ts, ORDER_BOOK, len(orders), 0, 0, 0), *((ts, ORDER_ADD, *order) for order in orders)]


def order_core(
    *windows: FeedWindow, by_order: bool = True, lanes: int = 1, window_ticks: int = 64, listens: bool = False,
    forms: OrderForms | None = None,
) -> Core:  # fmt: skip
    """One market without fees or latency, its feed given in windows as the core asks for them."""
    ledger = Ledger(lanes, 1, 1)
    core = Core(1, lanes, ledger, 1)
    for lane in range(lanes):
        core.configure_lane(lane, [lane])
    ledger.configure_market(0, 0, False, 10**6, 1, 1, 100, 0, 0)
    core.configure_market(0, window_ticks=window_ticks, by_order=by_order, forms=forms)
    core.set_latency(0, LatencyTable.constant(0), LatencyTable.constant(0))
    if listens:
        core.listen(0, 0, ON_BOOK)
    core.set_window(0, windows[0], len(windows) == 1)
    return core


def fills(core: Core) -> list[tuple[int, int, int, int]]:
    """(order number, ticks, lots, lots ahead) of every fill, in the order in which they happened."""
    log = core.drain_log(True)
    rows = zip(
        *(log[name].tolist() for name in ("event", "order_no", "ticks", "lots", "queue_front_micro")), strict=True
    )
    return [(number, ticks, lots, front // 10**6) for event, number, ticks, lots, front in rows if event == EV_FILLED]
