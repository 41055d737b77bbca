"""A naive order-by-order market with own orders in its queues, to hold the kernel to: lists, and nothing clever.

A queue is a list of entries in order of arrival, other people's orders and ours among each other. One lane, latency 0.
It is written from docs/fills.md section 12 and shares no code with the kernel.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from matching.codes import BUY, ORDER_ADD, ORDER_CHANGE, ORDER_FILL, ORDER_GONE

Fill = tuple[int, int, int, int]  # own order number, ticks, lots, lots of others ahead


@dataclass(eq=False)
class Entry:
    """One order in a queue. ``own`` is its number if it is ours, else 0; ``order_id`` is the venue's."""

    side: int
    ticks: int
    lots: int
    order_id: int = 0
    own: int = 0


@dataclass
class Twin:
    queues: dict[tuple[int, int], list[Entry]] = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    taken: dict[tuple[int, int], int] = field(default_factory=dict)  # what we took of levels as now displayed

    # -- reading

    def others(self, side: int, ticks: int) -> int:
        return sum(e.lots for e in self.queues.get((side, ticks), []) if not e.own)

    def levels(self) -> list[tuple[int, int, int]]:
        found = [(side, ticks, self.others(side, ticks)) for side, ticks in self.queues]
        return sorted(level for level in found if level[2])

    def ahead(self, mine: Entry) -> int:
        queue = self.queues[mine.side, mine.ticks]
        return sum(e.lots for e in queue[: queue.index(mine)] if not e.own)

    def own(self) -> list[tuple[int, int, int, int, int]]:
        """(number, side, ticks, lots left, lots of others ahead) of every own order."""
        mine = [e for queue in self.queues.values() for e in queue if e.own]
        return sorted((e.own, e.side, e.ticks, e.lots, self.ahead(e)) for e in mine)

    def find(self, order_id: int) -> Entry | None:
        every = (e for queue in self.queues.values() for e in queue)
        return next((e for e in every if not e.own and e.order_id == order_id), None)

    def find_own(self, number: int) -> Entry | None:
        return next((e for queue in self.queues.values() for e in queue if e.own == number), None)

    def best(self, side: int) -> int | None:
        prices = [ticks for s, ticks, _ in self.levels() if s == side]
        return (max(prices) if side == BUY else min(prices)) if prices else None

    @staticmethod
    def reaches(side: int, ticks: int, other: int) -> bool:
        """Whether an order of ``side`` at ``ticks`` meets the other side's price ``other``."""
        return ticks >= other if side == BUY else ticks <= other

    # -- other people

    def message(self, kind: int, order_id: int, side: int, ticks: int, lots: int) -> None:
        before = {(s, t): q for s, t, q in self.levels()}
        known = self.find(order_id)
        new_lots = 0
        if kind == ORDER_FILL:
            self._execution(side, ticks, lots, known)
            if known is not None:
                self._cut(known, lots)
        elif kind == ORDER_GONE:
            if known is not None:
                self._remove(known)
        elif kind == ORDER_CHANGE and known is not None and (known.side, known.ticks) == (side, ticks):
            if lots <= known.lots:
                self._cut(known, known.lots - lots)
            else:
                new_lots = lots - known.lots
                self._remove(known)
                self._append(Entry(side, ticks, lots, order_id))
        elif kind in (ORDER_ADD, ORDER_CHANGE):
            new_lots = lots
            if known is not None:
                if (known.side, known.ticks) == (side, ticks):
                    new_lots = lots - known.lots
                self._remove(known)
            self._append(Entry(side, ticks, lots, order_id))
        after = {(s, t): q for s, t, q in self.levels()}
        for level in list(self.taken):
            if before.get(level) != after.get(level):
                del self.taken[level]
        if new_lots > 0:
            self._newcomer(side, ticks, new_lots)

    def _append(self, entry: Entry) -> None:
        self.queues.setdefault((entry.side, entry.ticks), []).append(entry)

    def _remove(self, entry: Entry) -> None:
        self.queues[entry.side, entry.ticks].remove(entry)

    def _cut(self, entry: Entry, lots: int) -> None:
        entry.lots -= lots
        if entry.lots <= 0:
            self._remove(entry)

    def _own_by_priority(self, side: int) -> list[Entry]:
        prices = sorted((t for s, t in self.queues if s == side), reverse=side == BUY)
        return [e for ticks in prices for e in self.queues[side, ticks] if e.own]

    def _fill(self, mine: Entry, lots: int) -> int:
        lots = min(lots, mine.lots)
        self.fills.append((mine.own, mine.ticks, lots, self.ahead(mine)))
        self._cut(mine, lots)
        return lots

    def _execution(self, side: int, ticks: int, lots: int, maker: Entry | None) -> None:
        left = lots
        for mine in self._own_by_priority(side):
            if not self.reaches(side, mine.ticks, ticks):
                continue
            if mine.ticks == ticks and maker is not None and (maker.side, maker.ticks) == (side, ticks):
                queue = self.queues[side, ticks]
                if queue.index(maker) < queue.index(mine):
                    continue
            if left > 0:
                left -= self._fill(mine, left)

    def _newcomer(self, side: int, ticks: int, lots: int) -> None:
        facing = self.best(1 - side)
        if facing is not None and self.reaches(side, ticks, facing):
            return  # still being matched
        left = lots
        for mine in self._own_by_priority(1 - side):
            if left > 0 and self.reaches(side, ticks, mine.ticks):
                met = self._fill(mine, left)
                left -= met
                self.taken[side, ticks] = self.taken.get((side, ticks), 0) + met

    # -- ours

    def submit(self, number: int, side: int, ticks: int, lots: int) -> None:
        """A limit order, good till cancelled."""
        facing = sorted((t for s, t, _ in self.levels() if s != side), reverse=side != BUY)
        for price in facing:
            if lots and self.reaches(side, ticks, price):
                seen = self.others(1 - side, price) - self.taken.get((1 - side, price), 0)
                size = min(lots, seen)
                if size > 0:
                    self.fills.append((number, price, size, 0))
                    self.taken[1 - side, price] = self.taken.get((1 - side, price), 0) + size
                    lots -= size
        if lots:
            self._append(Entry(side, ticks, lots, own=number))

    def cancel(self, number: int) -> None:
        mine = self.find_own(number)
        if mine is not None:
            self._remove(mine)

    def amend(self, number: int, ticks: int, left: int, keeps: bool) -> None:
        """New price and new lots left; ``keeps``: a smaller size keeps its place."""
        mine = self.find_own(number)
        if mine is None or (mine.ticks, mine.lots) == (ticks, left):
            return
        if keeps and ticks == mine.ticks and left < mine.lots:
            mine.lots = left
            return
        self._remove(mine)
        self.submit(number, mine.side, ticks, left)
