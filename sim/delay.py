"""A feed as a venue that is simulated a fixed delay behind its feed consumes it.

Theory of operation. Paper cannot know the venue's book before the feed has told it, so its simulated venue stays a
delay D behind and consumes a message at

    v = max(ts_event, ts_recv - D)

``DelayedSource`` makes the same of any feed that has been recorded: v in place of ``ts_event``, messages sorted by it.
At equal v: trades, best quotes, the book, marks, then order of receipt; what a source itself puts in another order at
one venue time (an opening book before the quotes that are newer) keeps it. The book's messages never overtake each
other where they are received in the venue's order, as a lake's are. Nothing is lost, added or received at another
time.

A message of a later window has v >= the last ``ts_event`` of this one, so whatever lies before that can leave; memory
holds one window and what is late."""

from __future__ import annotations

from typing import Final

import numpy as np

from matching.codes import GAP, ORDER_ADD
from matching.feed import I64, U8, FeedSource, FeedWindow
from recorders.blocks import MessageBlock, empty_block, has_aux, join
from recorders.spool import VENUE_RANK

BOOK_RANK: Final = 2
_RANK: Final = VENUE_RANK.astype(np.int64)
_RANK[ORDER_ADD:] = BOOK_RANK


class DelayedSource:
    """A feed consumed ``delay_ns`` behind. ``late`` counts the messages received more than that after they happened."""

    def __init__(self, source: FeedSource, delay_ns: int) -> None:
        self.rows, self.first_ns, self.last_ns = source.rows, source.first_ns, source.last_ns
        self.late = 0
        self._source = source
        self._delay_ns = delay_ns
        self._rest = empty_block()
        self._rest_keys = _no_keys()
        self._number = 0  # messages read: their order in the source
        self._aux = 0
        self._last: tuple[int, int] = (-(1 << 63), 0)  # ts_event and rank of the last message read
        self._ended = False

    def next_window(self) -> FeedWindow | None:
        """The next stretch by v, or None at the end."""
        while not self._ended:
            window = self._source.next_window()
            self._ended = window is None
            found = self._sorted(window)
            if len(found):
                made = found.window(self._aux)
                made.local_order = np.lexsort((found.ts_recv_raw, found.ts_recv)).astype(np.int32)
                self._aux += len(made.aux)
                return made
        return None

    def _sorted(self, window: FeedWindow | None) -> MessageBlock:
        """What can leave now that a window has been read (None: the source has ended)."""
        block, (v, rank) = self._rest, self._rest_keys
        if window is not None and len(window):
            read, keys = self._taken(window)
            block = join([block, read])
            v, rank = (np.concatenate(pair) for pair in zip((v, rank), keys, strict=True))
        order = np.lexsort((block.ts_recv_raw, block.ts_recv, rank, v))
        ready = len(order)
        if not self._ended:
            ready = int(v[order].searchsorted(self._last[0]))
        later = np.sort(order[ready:])
        self._rest, self._rest_keys = block.take(later), (v[later], rank[later])
        found = block.take(order[:ready])
        found.ts_event = np.ascontiguousarray(v[order[:ready]])
        return found

    def _taken(self, window: FeedWindow) -> tuple[MessageBlock, tuple[I64, I64]]:
        """A window as a block, its numbers in place of raw receive times, and what it is sorted by."""
        count = len(window)
        number = np.arange(self._number, self._number + count)
        self._number += count
        ref = np.where(has_aux(window.kind), window.ref - window.aux_base, window.ref)
        block = MessageBlock(
            window.ts_event, window.ts_recv, number, window.kind, ref, window.row_start, window.side, window.px_ticks,
            window.qty_lots, window.aux,
        )  # fmt: skip
        rank = self._ranks(window.ts_event, window.kind)
        lag = window.ts_recv - window.ts_event
        self.late += int(np.count_nonzero((lag > self._delay_ns) & (window.kind != GAP)))
        v = np.maximum(window.ts_event, window.ts_recv - self._delay_ns)
        return block, (v, rank)

    def _ranks(self, ts_event: I64, kind: U8) -> I64:
        """Ranks that never fall within one venue time, so that the source's own order is kept."""
        rank: I64 = _RANK[kind]
        if int(ts_event[0]) == self._last[0]:
            rank[0] = max(int(rank[0]), self._last[1])
        group = np.concatenate(([0], np.cumsum(ts_event[1:] != ts_event[:-1]))) * (int(_RANK.max()) + 1)
        rank = np.asarray(np.maximum.accumulate(rank + group) - group, np.int64)
        self._last = int(ts_event[-1]), int(rank[-1])
        return rank


def _no_keys() -> tuple[I64, I64]:
    none = np.zeros(0, np.int64)
    return none, none
