"""From what a venue says of single orders to the messages of an order-by-order feed (``matching.feed``).

Venues differ in what they tell: an order that executes on arrival may be shown before it is matched, an execution may
be told as a smaller size, a snapshot may hold orders that are long gone. ``OrderFlow`` takes orders as created,
changed and deleted, and the trades with their makers, and writes down what a book with price-time priority would have
seen:

* An order that reaches the other side when it is created is held back until what it meets is gone; then what is left
  of it comes to rest. If it is deleted first, it was never in the book.
* A smaller size, or an end, of a maker that a trade names with just that size is that trade's execution; otherwise
  it is an amendment or a cancellation.
* Another price is a new order at the tail of its level.
* An order of the opening snapshot that stands before the maker of a trade is a phantom: the market has traded through
  it, so it is dropped. Any other order before a maker is left where it is, and the trade counts as unexplained.

A trade is explained when its maker is the first in the queue at its price, and nobody of its side has a better one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

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

Event = tuple[int, int, int, int, int]  # kind, ref, side, ticks, lots
NOWHERE: Final = {BUY: -1, SELL: 1 << 62}


@dataclass(frozen=True, slots=True)
class NamedTrade:
    """A trade that names its maker (the resting order) by the venue's order id."""

    trade_id: int
    maker_id: int
    ticks: int
    lots: int


@dataclass(frozen=True, slots=True)
class Blocked:
    """An order that stood before the maker of a trade."""

    order_id: int
    side: int
    ticks: int
    lots: int
    trade_id: int


@dataclass(slots=True)
class OrderFlow:
    """Call ``opening`` once, then ``created``, ``changed`` and ``deleted`` in the venue's order; ``events`` grows.

    ``drops_phantoms=False`` leaves phantoms in the book, which shows what they are worth.
    """

    trades: Sequence[NamedTrade]
    drops_phantoms: bool = True
    events: list[Event] = field(default_factory=list)
    explained: int = 0
    dropped: list[Blocked] = field(default_factory=list)
    unexplained: list[Blocked] = field(default_factory=list)
    unknown: int = 0  # changes and ends of orders that nobody has seen
    _book: OrderBook = field(default_factory=OrderBook)
    _held: dict[int, tuple[int, int, int]] = field(default_factory=dict)  # id -> side, ticks, lots
    _opening: set[int] = field(default_factory=set)
    _named: dict[int, list[NamedTrade]] = field(default_factory=dict)
    _best: dict[int, int] = field(default_factory=lambda: dict(NOWHERE))

    def __post_init__(self) -> None:
        for trade in self.trades:
            self._named.setdefault(trade.maker_id, []).append(trade)

    @property
    def unmatched(self) -> list[NamedTrade]:
        """Trades whose execution no change of their maker tells, so far."""
        return [trade for waiting in self._named.values() for trade in waiting]

    def resting(self) -> Mapping[int, tuple[int, int, int, int]]:
        """The book: id -> (side, ticks, lots, place)."""
        return self._book.places()

    # -- what the venue says

    def opening(self, orders: Iterable[tuple[int, int, int, int]]) -> None:
        """The book at the start: (id, side, ticks, lots), in queue order at each price."""
        known = list(orders)
        self.events.append((ORDER_BOOK, len(known), 0, 0, 0))
        for order in known:
            self._opening.add(order[0])
            self._tell((ORDER_ADD, *order))

    def created(self, order_id: int, side: int, ticks: int, lots: int) -> None:
        if self._crosses(side, ticks):
            self._held[order_id] = side, ticks, lots
        else:
            self._tell((ORDER_ADD, order_id, side, ticks, lots))

    def changed(self, order_id: int, side: int, ticks: int, lots: int) -> None:
        """Its size is ``lots`` now. Of an order held back, ``ticks`` is where it executed and says nothing else."""
        if order_id in self._held:
            self._held[order_id] = (*self._held[order_id][:2], lots)
            return
        known = self._book.order(order_id)
        if known is None:
            self.unknown += 1
            return
        old_ticks, old_lots = known[1:3]
        if ticks != old_ticks:
            self._tell((ORDER_GONE, order_id, side, old_ticks, old_lots))
            self.created(order_id, side, ticks, lots)
        elif not self._executed(order_id, side, ticks, old_lots - lots):
            self._tell((ORDER_CHANGE, order_id, side, ticks, lots))
        self._release()

    def deleted(self, order_id: int, lots_left: int) -> None:
        """It is no longer in the market; ``lots_left`` as the venue says it (0: executed)."""
        if self._held.pop(order_id, None) is not None:
            return
        known = self._book.order(order_id)
        if known is None:
            self.unknown += 1
            return
        side, ticks, lots = known[:3]
        if lots_left or not self._executed(order_id, side, ticks, lots):
            self._tell((ORDER_GONE, order_id, side, ticks, lots))
        self._release()

    # -- what the book makes of it

    def _tell(self, event: Event) -> None:
        self.events.append(event)
        self._book.apply(*event)
        side, ticks = event[2:4]
        if self._book.total(side, ticks):
            self._best[side] = max(self._best[side], ticks) if side == BUY else min(self._best[side], ticks)
        elif ticks == self._best[side]:
            prices = [level[1] for level in self._book.levels() if level[0] == side]
            self._best[side] = (max(prices) if side == BUY else min(prices)) if prices else NOWHERE[side]

    def _crosses(self, side: int, ticks: int) -> bool:
        return ticks >= self._best[SELL] if side == BUY else ticks <= self._best[BUY]

    def _release(self) -> None:
        """Orders held back come to rest once what they would meet is gone."""
        for order_id, (side, ticks, lots) in list(self._held.items()):
            if not self._crosses(side, ticks):
                del self._held[order_id]
                self._tell((ORDER_ADD, order_id, side, ticks, lots))

    def _executed(self, order_id: int, side: int, ticks: int, lots: int) -> bool:
        """Whether a trade names this order with just this size; if so it is told."""
        waiting = self._named.get(order_id)
        if not waiting or (waiting[0].ticks, waiting[0].lots) != (ticks, lots):
            return False
        trade = waiting.pop(0)
        self._clear_the_way(trade, side)
        self.events.append((TRADE, trade.trade_id, 1 - side, ticks, lots))
        self._tell((ORDER_FILL, order_id, side, ticks, lots))
        return True

    def _clear_the_way(self, trade: NamedTrade, side: int) -> None:
        while True:
            blocking = self._book.first(side, self._best[side])
            if blocking == trade.maker_id:
                self.explained += 1
                return
            known = self._book.order(blocking)
            assert known is not None
            found = Blocked(blocking, *known[:3], trade.trade_id)
            if not self.drops_phantoms or blocking not in self._opening:
                self.unexplained.append(found)
                return
            self.dropped.append(found)
            self._tell((ORDER_GONE, blocking, *known[:3]))
