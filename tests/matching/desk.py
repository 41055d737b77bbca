"""A desk at a simulated venue: hand-written markets, orders sent without latency, events told in words.

    desk = Desk([book(1), sold(20, 99, 5)], forms=OrderForms(stp=STP_CANCEL_MAKER))
    desk.at(5)
    number = desk.buy(100, 3)
    desk.end()
    desk.said(number)  # ["ACCEPTED 3@100", "FILLED 3@100 QUEUE"]

Times are milliseconds; orders sent at one are at the venue after the market data of that millisecond.
"""

from __future__ import annotations

from typing import Any

from matching.brackets import Brackets
from matching.codes import BUY, DEPTH, GTC, IOC, LIMIT, MARK, MARKET, SELL, SNAPSHOT, TRADE
from matching.kernel import Core, LatencyTable
from matching.ledger import Ledger
from matching.triggers import Trigger
from tests.matching.scenes import EVENTS, REASONS
from tests.matching.test_kernel_edges import Message, window

MS = 10**6
E8 = 10**8
FOREVER = (1 << 63) - 1
WIDE = Brackets(floor_e8=(0,), cap_e8=(10**16,), rate_e12=(4 * 10**9,), cum_e8=(0,), max_leverage=(125,))
Levels = dict[int, int]  # ticks -> lots


def rows(bids: Levels | None, asks: Levels | None) -> list[tuple[int, int, int]]:
    found = [(BUY, ticks, lots) for ticks, lots in (bids or {}).items()]
    return found + [(SELL, ticks, lots) for ticks, lots in (asks or {}).items()]


def snapshot(ms: int, bids: Levels, asks: Levels) -> Message:
    return ms * MS, SNAPSHOT, rows(bids, asks), None


def book(ms: int = 0) -> Message:
    """Bids 99 x 5 and 98 x 5, asks 101 x 5 and 102 x 5."""
    return snapshot(ms, {99: 5, 98: 5}, {101: 5, 102: 5})


def depth(ms: int, bids: Levels | None = None, asks: Levels | None = None) -> Message:
    return ms * MS, DEPTH, rows(bids, asks), None


def sold(ms: int, ticks: int, lots: int) -> Message:
    return ms * MS, TRADE, [(SELL, ticks, lots)], None


def bought(ms: int, ticks: int, lots: int) -> Message:
    return ms * MS, TRADE, [(BUY, ticks, lots)], None


def mark(ms: int, mark_ticks: int, index_ticks: int | None = None) -> Message:
    """A mark and an index, given in ticks (a tick is 1 of the quote currency)."""
    index = mark_ticks if index_ticks is None else index_ticks
    return ms * MS, MARK, [], (mark_ticks * E8, index * E8, 0, 0)


def words(row: tuple[int, ...]) -> str:
    """One row of the canonical log."""
    event, reason, ticks, lots = row[4], row[5], row[7], row[8]
    parts = [EVENTS[event], f"{lots}@{ticks}"] if lots or ticks else [EVENTS[event]]
    return " ".join(parts + ([REASONS[reason]] if reason else []))


class Desk:
    """One market (tick 1, lot 1, linear) with ``lanes`` lanes; with a ``deposit`` margin is checked (mark 100).

    ``options`` go to ``Core.configure_market``.
    """

    def __init__(
        self, messages: list[Message], lanes: int = 1, deposit: int = 0, hedge: bool = False, **options: Any
    ) -> None:
        last = messages[-1][0]
        messages = [*([mark(0, 100)] if deposit else []), *messages, (last + 1000 * MS, DEPTH, [(BUY, 1, 1)], None)]
        self.ledger = Ledger(lanes, 2 if hedge else 1, 1)
        self.core = Core(1, lanes, self.ledger, 1)
        for lane in range(lanes):
            self.core.configure_lane(lane, [lane])
            if deposit:
                self.ledger.deposit(lane, 0, deposit * E8)
        for m in range(2 if hedge else 1):
            self.ledger.configure_market(m, 0, False, E8, 1, 1, 1, 0, 0, 0, WIDE if deposit else None)
        self.core.configure_market(0, window_ticks=4096, margin=deposit > 0, tick_e8=(E8, 1), **options)
        self.core.set_latency(0, LatencyTable.constant(0), LatencyTable.constant(0))
        self.core.set_window(0, window(*messages), True)
        self.numbers: dict[int, int] = {}
        self.slots: dict[tuple[int, int], int] = {}

    def at(self, ms: int) -> None:
        """Go on to an instant: what was sent before it has arrived."""
        self.core.advance(ms * MS)

    def end(self) -> None:
        self.core.advance(FOREVER)

    def send(
        self, side: int, ticks: int, lots: int, tif: int = GTC, type: int = LIMIT, flags: int = 0, lane: int = 0,
        stp: int | None = None, trigger: Trigger | None = None, until_ms: int | None = None,
    ) -> int:  # fmt: skip
        number = self.numbers[lane] = self.numbers.get(lane, 0) + 1
        slot = self.core.submit(lane, 0, number, side, ticks, lots, tif, type, flags)
        self.slots[lane, number] = slot
        if stp is not None:
            self.core.set_stp(slot, stp)
        if trigger is not None:
            self.core.set_trigger(slot, trigger)
        if until_ms is not None:
            self.core.set_expiry(slot, until_ms * MS)
        self.core.advance(self.core.now)
        return number

    def buy(self, ticks: int, lots: int, **more: Any) -> int:
        return self.send(BUY, ticks, lots, **more)

    def sell(self, ticks: int, lots: int, **more: Any) -> int:
        return self.send(SELL, ticks, lots, **more)

    def market(self, side: int, lots: int, **more: Any) -> int:
        return self.send(side, 0, lots, tif=IOC, type=MARKET, **more)

    def cancel(self, number: int, lane: int = 0) -> None:
        self.core.cancel(lane, self.slots[lane, number], number)
        self.core.advance(self.core.now)

    def amend(self, number: int, ticks: int, lots: int, lane: int = 0, trigger_ticks: int | None = None) -> None:
        if trigger_ticks is None:
            self.core.amend(lane, self.slots[lane, number], number, ticks, lots)
        else:
            self.core.amend_trigger(lane, self.slots[lane, number], number, ticks, lots, trigger_ticks)
        self.core.advance(self.core.now)

    def said(self, number: int, lane: int = 0) -> list[str]:
        """What the venue said of an order, in its order (refusals of requests last)."""
        return [words(row) for row in self.core.canonical_log() if row[0] == lane and row[2] == number]

    def resting(self, lane: int = 0) -> dict[int, int]:
        """Order number to lots left."""
        return {row[1]: row[5] for row in self.core.resting_orders() if row[0] == lane}

    def position(self, lane: int = 0, market: int = 0) -> int:
        return self.ledger.position(lane, market)
