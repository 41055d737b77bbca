"""Edges of the kernel: instants one nanosecond apart, models that fail, several assets in one account, tiny windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from matching.brackets import Brackets
from matching.codes import (
    BUY,
    DEPTH,
    EV_ACCEPTED,
    EV_FILLED,
    EV_REJECTED,
    FUNDING,
    GTC,
    LIMIT,
    MARK,
    ON_BOOK,
    ON_PRIVATE,
    ON_TRADE,
    QUEUE_CUSTOM,
    QUEUE_RISK_AVERSE,
    R_PRICE_BAND,
    SELL,
    SNAPSHOT,
    TRADE,
    WAKE_END,
    WAKE_MARKET,
)
from matching.feed import FeedWindow, join_windows, slice_window, stable_local_order
from matching.kernel import Core, LatencyTable
from matching.ledger import Ledger

MS, S = 10**6, 10**9
FOREVER = (1 << 63) - 1
BRACKETS = Brackets(floor_e8=(0,), cap_e8=(10**16,), rate_e12=(4 * 10**9,), cum_e8=(0,), max_leverage=(125,))
Message = tuple[int, int, list[tuple[int, int, int]], tuple[int, int, int, int] | None]  # ts, kind, rows, aux


def window(*messages: Message, late: int = 0) -> FeedWindow:
    rows = np.array([row for message in messages for row in message[2]], np.int64).reshape(-1, 3)
    aux = [message[3] for message in messages if message[3] is not None]
    refs, used = [], 0
    for number, message in enumerate(messages):
        refs.append(number + 1 if message[3] is None else used)
        used += message[3] is not None
    ts = np.array([message[0] for message in messages], np.int64)
    return FeedWindow(
        ts_event=ts, ts_recv=ts + late, kind=np.array([message[1] for message in messages], np.uint8),
        row_start=np.cumsum([0] + [len(message[2]) for message in messages]), ref=np.array(refs, np.int64),
        local_order=stable_local_order(ts), side=rows[:, 0].astype(np.uint8), px_ticks=rows[:, 1].astype(np.int32),
        qty_lots=rows[:, 2].astype(np.int32), aux=np.array(aux, np.int64).reshape(-1, 4),
    )  # fmt: skip


def snapshot(ts: int, bid: int = 1000, ask: int = 1001) -> Message:
    return ts, SNAPSHOT, [(BUY, bid, 50), (SELL, ask, 50)], None


def mark(ts: int, mark_e8: int) -> Message:
    return ts, MARK, [], (mark_e8, mark_e8, 0, 0)


def core_of(
    *windows: FeedWindow, entry: LatencyTable | None = None, response: LatencyTable | None = None, lanes: int = 1,
    **more: Any,
) -> Core:  # fmt: skip
    """Linear markets of one asset: tick 1, lot 0.01; latency 0 unless given."""
    ledger = Ledger(lanes, len(windows), 1)
    core = Core(len(windows), lanes, ledger, 1)
    for lane in range(lanes):
        core.configure_lane(lane, [lane])
    for m in range(len(windows)):
        ledger.configure_market(m, 0, False, 10**6, 1, 1, 100, 0, 0)
        core.configure_market(m, window_ticks=4096, **more)
    core.set_latency(0, entry or LatencyTable.constant(0), response or LatencyTable.constant(0))
    for m, feed in enumerate(windows):
        core.set_window(m, feed, True)
    return core


def test_an_order_that_arrives_a_nanosecond_before_a_boundary_is_charged() -> None:
    core = core_of(window(snapshot(1), (2 * S, DEPTH, [(BUY, 990, 1)], None)))
    core.set_plan(0, [S], [FUNDING], [10**9], [1000 * 10**8])
    core.advance(S - 1)
    core.submit(0, 0, 1, BUY, 1001, 5, GTC, LIMIT, 0)
    core.advance(S + 1)
    assert core.ledger.position(0, 0) == 5
    assert core.ledger.funding_e8(0, 0) == -5 * 1000 * 10**6 // 1000


def test_nothing_happens_at_the_venue_after_the_instant_advanced_to() -> None:
    core = core_of(window(snapshot(1), (2 * S, DEPTH, [(BUY, 990, 1)], None)))
    core.set_plan(0, [S], [MARK], [77], [0])
    core.advance(S - 1)
    assert core.mark_e8(0) == 0
    core.advance(S)
    assert core.mark_e8(0) == 77


def test_the_client_does_not_know_a_recorded_mark_before_it_is_received() -> None:
    core = core_of(window(snapshot(1), mark(10, 77), (S, DEPTH, [(BUY, 990, 1)], None), late=50))
    core.advance(59)
    assert core.mark_e8(0) == 0
    core.advance(60)
    assert core.mark_e8(0) == 77


def test_no_order_rests_at_a_price_of_zero() -> None:
    core = core_of(window(snapshot(1), (20, TRADE, [(BUY, 1001, 5)], None), (S, DEPTH, [(BUY, 990, 1)], None)))
    core.advance(10)
    core.submit(0, 0, 1, SELL, 0, 500, GTC, LIMIT, 0)
    core.submit(0, 0, 2, SELL, 1001, 5, GTC, LIMIT, 0)
    core.advance(11)
    core.amend(0, 1, 2, 0, 5)
    core.advance(S)
    events = [row[4:6] for row in core.canonical_log()]
    assert events[0] == (EV_REJECTED, R_PRICE_BAND)
    assert [row[2] for row in core.canonical_log() if row[5] == R_PRICE_BAND] == [1, 2]


def test_liquidation_in_one_asset_leaves_the_others_of_the_account_alone() -> None:
    """The mark of market 1 falls through the bankruptcy price over an empty book; market 0 settles in another asset."""
    ledger = Ledger(1, 2, 2)
    core = Core(2, 1, ledger, 1)
    core.configure_lane(0, [0])
    for m, deposit in ((0, 1000), (1, 10)):
        ledger.configure_market(m, m, False, 10**6, 1, 1, 100, 0, 0, 0, BRACKETS)
        ledger.deposit(0, m, deposit * 10**8)
        ledger.set_leverage(0, m, 100)
        core.configure_market(m, window_ticks=4096, margin=True)
    core.set_latency(0, LatencyTable.constant(0), LatencyTable.constant(0))
    ends: Message = (2 * S, DEPTH, [(BUY, 970, 1)], None)
    core.set_window(0, window(snapshot(1), mark(2, 1000 * 10**8), ends), True)
    emptied: Message = (30, DEPTH, [(BUY, 1000, 0)], None)
    core.set_window(1, window(snapshot(1), mark(2, 1000 * 10**8), emptied, mark(S, 100 * 10**8), ends), True)
    core.advance(10)
    for m in range(2):
        core.submit(0, m, 1 + m, BUY, 1001, 20, GTC, LIMIT, 0)
    core.submit(0, 0, 3, BUY, 900, 1, GTC, LIMIT, 0)
    core.advance(20)
    healthy = ledger.equity_e8(0, 0)
    core.advance(3 * S)
    assert (ledger.position(0, 0), ledger.position(0, 1)) == (20, 0)
    assert ledger.equity_e8(0, 0) == healthy and ledger.equity_e8(0, 1) >= 0
    assert [row[1] for row in core.resting_orders()] == [3]


class Model:
    """A model of the run's own that answers ``answer``, or raises it."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def latency(self, ts_ns: int, draw: int) -> Any:
        return self._say()

    def probability(self, front: float, back: float) -> Any:
        return self._say()

    def fee_e8(self, side: int, ticks: int, lots: int, liquidity: int) -> Any:
        return self._say()

    def _say(self) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def custom(answer: Any) -> LatencyTable:
    return LatencyTable.custom(Model(answer))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (lambda: {"entry": custom(KeyError("mine"))}, KeyError),
        (lambda: {"response": custom(KeyError("mine"))}, KeyError),
        (lambda: {"response": custom(-1)}, ValueError),
        (lambda: {"entry": custom(1 << 80)}, ValueError),
        (lambda: {"queue_model": QUEUE_CUSTOM, "custom_queue": Model(KeyError("mine"))}, KeyError),
        (lambda: {"queue_model": QUEUE_CUSTOM, "custom_queue": Model(float("nan"))}, ValueError),
        (lambda: {"queue_model": QUEUE_CUSTOM, "custom_queue": Model(1.5)}, ValueError),
        (lambda: {"fee_model": Model(KeyError("mine"))}, KeyError),
        (lambda: {"fee_model": Model(1 << 70)}, OverflowError),
    ],
)
def test_what_is_wrong_with_a_model_of_the_runs_own_stops_the_run(
    options: Callable[[], dict[str, Any]], error: type[Exception]
) -> None:
    feed = window(
        snapshot(1), (20, DEPTH, [(BUY, 1000, 20)], None), (30, TRADE, [(SELL, 1000, 90)], None),
        (S, DEPTH, [(BUY, 990, 1)], None),
    )  # fmt: skip
    core = core_of(feed, **options())
    core.advance(10)
    core.submit(0, 0, 1, BUY, 1000, 5, GTC, LIMIT, 0)
    with pytest.raises(error):
        while core.advance(FOREVER) != WAKE_END:
            pass


def test_what_a_venue_says_of_one_order_arrives_in_the_order_in_which_it_says_it() -> None:
    prints: list[Message] = [(20 + k * MS, TRADE, [(SELL, 1000, 60 if k == 0 else 1)], None) for k in range(40)]
    feed = window(snapshot(1), *prints, (9 * S, DEPTH, [(BUY, 990, 1)], None))
    core = core_of(feed, response=LatencyTable.quantiles([0, 200 * MS]))
    core.listen(0, 0, ON_PRIVATE)
    core.advance(10)
    core.submit(0, 0, 1, BUY, 1000, 40, GTC, LIMIT, 0)
    seen, leaves, times = [], [], []
    while core.advance(FOREVER) != WAKE_END:
        while core.pop_private():
            seen.append(core.ev_kind)
            leaves.append(core.ev_leaves)
            times.append(core.ev_deliver)
    assert seen[0] == EV_ACCEPTED and set(seen[1:]) == {EV_FILLED} and leaves[-1] == 0
    assert leaves == sorted(leaves, reverse=True) and times == sorted(times) and len(set(times)) > 2


@pytest.mark.parametrize("other_listens", [False, True])
def test_a_later_markets_messages_of_an_instant_come_after_the_one_that_woke(other_listens: bool) -> None:
    """What a lane knows when it is woken does not depend on what other lanes listen to."""
    first = window(snapshot(1), (S, TRADE, [(BUY, 1001, 5)], None), (2 * S, DEPTH, [(BUY, 990, 1)], None))
    second = window(
        snapshot(1), (S, DEPTH, [(BUY, 1000, 0), (BUY, 995, 1)], None), (2 * S, DEPTH, [(BUY, 990, 1)], None)
    )
    core = core_of(first, second, lanes=2, queue_model=QUEUE_RISK_AVERSE)
    core.advance(10)
    core.listen(0, 0, ON_TRADE)
    if other_listens:
        core.listen(1, 1, ON_BOOK)
    assert core.advance(FOREVER) == WAKE_MARKET and core.msg_market == 0
    assert core.now == S and core.best_ticks(1, BUY) == 1000
    core.advance(S + 1 if not other_listens else FOREVER)
    assert core.best_ticks(1, BUY) == 995


def test_windows_that_share_their_payloads_or_carry_their_own_join_alike() -> None:
    whole = window(snapshot(1), mark(2, 5), mark(3, 6), (4, DEPTH, [(BUY, 990, 1)], None), mark(5, 7))
    for cut in range(1, len(whole)):
        tail, head = slice_window(whole, 0, cut), slice_window(whole, cut, len(whole))
        joined = join_windows(tail, head)
        used = int((whole.kind[:cut] == MARK).sum())
        own = head
        own.aux, own.aux_base = whole.aux[used:], used
        tail.aux = whole.aux[:used]
        for one in (joined, join_windows(tail, own)):
            marks = [int(one.aux[one.ref[j] - one.aux_base, 0]) for j in np.flatnonzero(one.kind == MARK)]
            assert marks == [5, 6, 7]


def test_the_empty_window_that_ends_a_feed_leaves_the_payloads_of_what_is_still_unseen() -> None:
    whole = window(snapshot(1), mark(2, 5), mark(3, 6))
    tail = slice_window(whole, 2, 3)
    tail.aux, tail.aux_base = whole.aux[1:], 1  # the first mark has been seen
    ended = join_windows(tail, slice_window(window(), 0, 0))
    assert int(ended.ref[0]) - ended.aux_base == 0 and int(ended.aux[0, 0]) == 6
