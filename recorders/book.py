"""The depth-only book of a recording: what it looked like, whether it crossed, whether it agrees with best-quote
messages.

Theory of operation. A ``BookTrack`` walks a feed in venue order with a plain dictionary per side. It serves two ends.
The importer's audit: after every change the best bid must be below the best ask, and wherever a best-quote message
carries the same update id as a depth message, both must name the same best prices and sizes; two streams of the venue
that were made and sent apart then confirm each other. And the lake's checkpoints: the book before each block, so that
a reader can start anywhere. Best quotes never change this book; those newer than its last depth message are kept
beside it (``quotes``), and a reader that starts here applies them after it, as the kernels do in a full run.

A GAP makes the book invalid; changes are then ignored until a SNAPSHOT. Nothing is made up in between.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Any, Final, Protocol

import numpy as np

from matching.codes import BBO, BUY, DEPTH, GAP, MARK, SELL, SNAPSHOT
from matching.feed import I32, U8
from recorders.blocks import MessageBlock

MATCH_MEMORY: Final = 8192  # update ids remembered on either side while waiting for the other stream's message
QUOTES_MAX: Final = 1024  # best quotes newer than the last depth message that are kept
HEAP_SLACK: Final = 4096
EXAMPLES_MAX: Final = 20

Best = tuple[int, int, int, int]  # bid ticks, bid lots, ask ticks, ask lots; a missing side is (-1, 0)


class DepthBook:
    """Price levels of both sides: ``levels[side][ticks] = lots``."""

    def __init__(self) -> None:
        self.levels: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self._heaps: tuple[list[int], list[int]] = ([], [])  # candidates for the best price, bids negated

    def clear(self) -> None:
        for side in (BUY, SELL):
            self.levels[side].clear()
            self._heaps[side].clear()

    def apply(self, sides: list[int], ticks: list[int], lots: list[int]) -> None:
        """Set levels to absolute quantities; 0 removes a level, whether or not it was there."""
        levels, heaps = self.levels, self._heaps
        for side, price, quantity in zip(sides, ticks, lots, strict=True):
            known = levels[side]
            if quantity:
                if price not in known:
                    heappush(heaps[side], price if side else -price)
                known[price] = quantity
            else:
                known.pop(price, None)

    def best(self, side: int) -> tuple[int, int]:
        """Best price in ticks with its lots, or (-1, 0) when the side is empty."""
        heap, known = self._heaps[side], self.levels[side]
        if len(heap) > 2 * len(known) + HEAP_SLACK:
            heap[:] = known if side else [-price for price in known]
            heapify(heap)
        while heap:
            price = heap[0] if side else -heap[0]
            if price in known:
                return price, known[price]
            heappop(heap)
        return -1, 0

    def columns(self) -> tuple[U8, I32, I32]:
        """The whole book as rows (side, ticks, lots): bids from the best down, then asks from the best up."""
        bids = sorted(self.levels[BUY].items(), reverse=True)
        asks = sorted(self.levels[SELL].items())
        rows = np.array(bids + asks, np.int32).reshape(-1, 2)
        side = np.zeros(len(rows), np.uint8)
        side[len(bids) :] = SELL
        return side, np.ascontiguousarray(rows[:, 0]), np.ascontiguousarray(rows[:, 1])


@dataclass(slots=True)
class BookCounts:
    """What the audit has counted. ``examples`` names the first disagreements."""

    crossed: int = 0
    bbo_equal: int = 0
    bbo_different: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)


class BookState(Protocol):
    """What the lake's index says of the book before a block (``recorders.dayfile.BlockInfo``)."""

    @property
    def valid(self) -> bool: ...

    @property
    def update_id(self) -> int: ...

    @property
    def book_recv(self) -> int: ...

    @property
    def quotes(self) -> list[list[Any]]: ...

    @property
    def mark(self) -> list[int] | None: ...


class BookTrack:
    """A book walked through a feed in venue order, with the audit's counts.

    ``watch``, if given, is told of every change: (message of the block, best bid, best ask), -1 where there is none or
    where nobody knows.
    """

    def __init__(self, watch: list[tuple[int, int, int]] | None = None) -> None:
        self.watch = watch
        self._at = 0
        self.book = DepthBook()
        self.valid = False
        self.update_id = 0
        self.ts_recv_max = 0  # of the depth messages applied
        self.counts = BookCounts()
        self.quotes: deque[tuple[int, int, list[int], list[int], list[int]]] = deque(maxlen=QUOTES_MAX)
        self.mark: list[int] | None = None  # payload of the last MARK message, then its ts_recv
        self._quoted: OrderedDict[int, Best] = OrderedDict()
        self._depth_best: OrderedDict[int, Best] = OrderedDict()

    def restart(self) -> None:
        """Forget the book at the start of another recording; counts start again too."""
        self.__init__(self.watch)  # type: ignore[misc]

    def resume(self, levels: tuple[U8, I32, I32], state: BookState) -> None:
        """Take over the state that a checkpoint of the lake holds."""
        self.restart()
        self.book.apply(levels[0].tolist(), levels[1].tolist(), levels[2].tolist())
        self.valid, self.update_id = state.valid, state.update_id
        self.ts_recv_max, self.mark = state.book_recv, state.mark
        self.quotes.extend((q[0], q[1], q[2], q[3], q[4]) for q in state.quotes)

    def run(self, block: MessageBlock) -> None:
        """Walk through a block."""
        kinds = block.kind
        touching = np.flatnonzero((kinds == DEPTH) | (kinds == BBO) | (kinds == SNAPSHOT) | (kinds == GAP))
        sides, ticks, lots = block.side.tolist(), block.px_ticks.tolist(), block.qty_lots.tolist()
        starts = block.row_start.tolist()
        recvs = block.ts_recv.tolist()
        refs = block.ref.tolist()
        kind_of = kinds.tolist()
        for j in touching.tolist():
            first, end = starts[j], starts[j + 1]
            kind = kind_of[j]
            self._at = j
            if kind == BBO:
                self._quote(refs[j], recvs[j], sides[first:end], ticks[first:end], lots[first:end])
            elif kind == GAP:
                self.valid = False
                self.quotes.clear()
                self._depth_best.clear()
            elif kind == SNAPSHOT or self.valid:
                if kind == SNAPSHOT:
                    self.book.clear()
                    self.valid = True
                self.book.apply(sides[first:end], ticks[first:end], lots[first:end])
                self._changed(refs[j], recvs[j])
        marks = np.flatnonzero(kinds == MARK)
        if len(marks):
            self.mark = [*block.aux[block.ref[marks[-1]]].tolist(), recvs[marks[-1]]]

    def _changed(self, update_id: int, ts_recv: int) -> None:
        self.update_id = update_id
        self.ts_recv_max = max(self.ts_recv_max, ts_recv)
        quotes = self.quotes
        while quotes and quotes[0][0] <= update_id:
            quotes.popleft()
        best = self.book.best(BUY) + self.book.best(SELL)
        if self.watch is not None:
            self.watch.append((self._at, best[0], best[2]))
        if 0 <= best[2] <= best[0]:
            self.counts.crossed += 1
            self._example("crossed", update_id, best, None)
        quoted = self._quoted.pop(update_id, None)
        if quoted is not None:
            self._compare(update_id, best, quoted)
        else:
            self._depth_best[update_id] = best
            if len(self._depth_best) > MATCH_MEMORY:
                self._depth_best.popitem(last=False)

    def _quote(self, update_id: int, ts_recv: int, sides: list[int], ticks: list[int], lots: list[int]) -> None:
        if not self.valid:
            self.quotes.clear()
        if update_id > self.update_id or not self.valid:
            self.quotes.append((update_id, ts_recv, sides, ticks, lots))
        quoted = [-1, 0, -1, 0]
        for side, price, quantity in zip(sides, ticks, lots, strict=True):
            quoted[2 * side : 2 * side + 2] = price, quantity
        best = (quoted[0], quoted[1], quoted[2], quoted[3])
        seen = self._depth_best.pop(update_id, None)
        if seen is not None:
            self._compare(update_id, seen, best)
        else:
            self._quoted[update_id] = best
            if len(self._quoted) > MATCH_MEMORY:
                self._quoted.popitem(last=False)

    def _compare(self, update_id: int, best: Best, quoted: Best) -> None:
        if best == quoted:
            self.counts.bbo_equal += 1
        else:
            self.counts.bbo_different += 1
            self._example("bbo_different", update_id, best, quoted)

    def _example(self, what: str, update_id: int, best: Best, quoted: Best | None) -> None:
        if len(self.counts.examples) < EXAMPLES_MAX:
            self.counts.examples.append({"what": what, "update_id": update_id, "book": best, "quote": quoted})
