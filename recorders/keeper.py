"""The whole book beside its diffs, for venues where joining needs it: ids that go back, books that are sent crossed.

Theory of operation. Where the venue's ids go back without a snapshot, whoever compares ids needs a fresh start, so the
whole book is written down; for that it must be known. And some books are sent crossed. dYdX's indexer merges what
several nodes believe about orders that are not final yet, so a level may still stand that another node already matched.
Its documents tell the receiver to uncross: every level remembers when it was last stated (a logical time: the message's
id); while the best bid is at or above the best ask, the level that was stated earlier goes, and of two that were stated
at the same time the smaller size is subtracted from both (docs.dydx.xyz, indexer client, "uncrossing the orderbook").
What is removed comes back when the venue states it again.

The keeper gets levels as sent and answers with the levels to write down: those, and what uncrossing changed.
"""

from __future__ import annotations

from matching.codes import BUY, SELL
from recorders.book import DepthBook

Rows = tuple[bytes, list[int], list[int]]  # sides, ticks, lots


class BookKeeper:
    """A book with the logical time of every level; uncrossed if ``crossed`` says that the venue sends it crossed.
    ``uncrossed`` counts the levels that this changed."""

    def __init__(self, crossed: bool) -> None:
        self._crossed = crossed
        self._book = DepthBook()
        self._stated: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.uncrossed = 0

    def replace(self, rows: Rows, at: int) -> Rows:
        """The whole book as sent at logical time ``at``; returns the whole book to write down."""
        self._book.clear()
        for side in (BUY, SELL):
            self._stated[side].clear()
        self.change(rows, at)
        return self.rows()

    def rows(self) -> Rows:
        """The whole book."""
        side, ticks, lots = self._book.columns()
        return side.tobytes(), ticks.tolist(), lots.tolist()

    def change(self, rows: Rows, at: int) -> Rows:
        """Levels as sent; returns them with what uncrossing makes of them and of others."""
        sides, ticks, lots = rows
        self._book.apply(list(sides), ticks, lots)
        if not self._crossed:
            return rows
        for side, price, quantity in zip(sides, ticks, lots, strict=True):
            if quantity:
                self._stated[side][price] = at
            else:
                self._stated[side].pop(price, None)
        settled = self._uncross()
        if not settled:
            return rows
        found = {(side, price): quantity for side, price, quantity in zip(sides, ticks, lots, strict=True)} | settled
        return bytes(side for side, _ in found), [price for _, price in found], list(found.values())

    def _uncross(self) -> dict[tuple[int, int], int]:
        """Remove crossing levels; returns what they have become, 0 for gone."""
        settled: dict[tuple[int, int], int] = {}
        while True:
            bid, bid_lots = self._book.best(BUY)
            ask, ask_lots = self._book.best(SELL)
            if not bid_lots or not ask_lots or bid < ask:
                return settled
            bid_at, ask_at = self._stated[BUY][bid], self._stated[SELL][ask]
            both = min(bid_lots, ask_lots)
            self._set(BUY, bid, 0 if bid_at < ask_at else bid_lots - both if bid_at == ask_at else bid_lots, settled)
            self._set(SELL, ask, 0 if ask_at < bid_at else ask_lots - both if bid_at == ask_at else ask_lots, settled)

    def _set(self, side: int, price: int, quantity: int, settled: dict[tuple[int, int], int]) -> None:
        if self._book.levels[side][price] == quantity:
            return
        self.uncrossed += 1
        settled[side, price] = quantity
        self._book.apply([side], [price], [quantity])
        if not quantity:
            self._stated[side].pop(price)
