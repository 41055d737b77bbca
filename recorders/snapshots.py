"""Books and best quotes of a recording at arbitrary instants.

Theory of operation. The instants are taken in order of time. Each is answered by the kernel that runs backtests
(``matching.kernel.Core``), so a book here is the book that the simulated venue or a strategy has at that instant. The
kernel starts from the checkpoint of the block that holds the instant and rolls forward through that block; instants
in the same block, or the next, go on from there. So thousands of instants cost one pass over the blocks they lie in,
and one instant costs one block.

Two clocks. ``event``: the venue's book, from all messages with a venue time up to the instant. ``recv``: the book as a
client saw it, from all messages received up to the instant. A checkpoint sums up messages of earlier blocks; for a
client it serves only if all of these had been received, and none of what follows it was received before them, so the
walk starts a block or two earlier where they overlap. A checkpoint is the depth with the best quotes that are newer
than it: the same book as long as the feed's depth and quotes agree (``perpsim data verify`` counts that). Gaps and
whole books are taken to be received in the venue's order, as recorders note them.

Nothing is made up: after a gap, before the first whole book and outside of the recordings an instant has no book, and
its ``status`` says why. Order-by-order feeds have no checkpoints and are read from the start of their recording.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np

from matching.codes import BBO, BUY, DEPTH, GAP, NEED_DATA, NO_PRICE, OFFBOOK, ORDER_ADD, SELL, SNAPSHOT
from matching.feed import I64, FeedWindow, stable_local_order
from matching.kernel import Core
from matching.ledger import Ledger
from recorders.dayfile import BlockInfo
from recorders.spans import FOREVER, Place, Span
from venues.errors import InputError

CLOCKS: Final = ("event", "recv")
STATUS: Final = ("ok", "stale", "ended", "before")
OK, STALE, ENDED, BEFORE = range(4)
LADDER_TICKS: Final = 1 << 18
FORM_BLOCKS: Final = 8  # looked into to see what a feed without any whole book states
FAR_NS: Final = 1 << 62
KEPT_BLOCKS: Final = 3  # whose times are remembered to tell the age of a book

_NO_AUX: Final = np.zeros((1, 4), np.int64)


class Last(NamedTuple):
    """The last message about the book up to an instant."""

    ts_event: int
    ts_recv: int
    ref: int


class BookWalk:
    """The kernel's book, brought to one instant after another; instants must not go back."""

    def __init__(self, span: Span, clock: str = "event", *, quotes: bool = True, form: str = "auto") -> None:
        """``quotes``: whether best-quote messages newer than the depth count, as in a run. ``form``: l1, l2, l3."""
        if clock not in CLOCKS:
            raise InputError(f"{clock!r} is no clock: event (the venue's) or recv (the client's)", source="arguments")
        self._span = span
        self._places = span.places
        self._by_event = clock == "event"
        self._form = form_of(span) if form == "auto" else form
        self._quotes = quotes or self._form == "l1"
        self._ends = _chain_ends(span, self._by_event)
        self._core: Core | None = None
        self._fed = -1  # index of the last block that the kernel was given
        self._chain = -1
        self._seen: deque[tuple[int, I64, I64, I64, I64]] = deque(maxlen=KEPT_BLOCKS)
        self.at_ns = -FOREVER

    def seek(self, ts_ns: int) -> int:
        """Bring the book to an instant; returns its status (an index of STATUS)."""
        if ts_ns < self.at_ns:
            raise ValueError(f"book walk: {ts_ns} is before {self.at_ns}")
        self.at_ns = ts_ns
        index = self._span.at_or_before(ts_ns)
        if index < 0:
            return BEFORE
        chain = self._places[index].chain
        if ts_ns > self._ends[chain]:
            return ENDED
        if chain != self._chain or self._fed < index:
            start = self._start(index, ts_ns)
            if chain != self._chain or start > self._fed + 1:
                self._restart(start)
        core = self._core
        assert core is not None
        while core.advance(ts_ns) == NEED_DATA:
            self._feed(self._fed + 1)
        return OK if core.is_valid(0) else STALE

    def best(self) -> tuple[int, int, int, int]:
        """Bid ticks and lots, ask ticks and lots of the book as it stands; an empty side is (NO_PRICE, 0)."""
        core = self._core
        assert core is not None
        if self._form == "l3":
            sides = [next(iter(core.levels(0, side, 1)), (NO_PRICE, 0)) for side in (BUY, SELL)]
            return sides[0] + sides[1]
        return core.best_ticks(0, BUY), core.best_lots(0, BUY), core.best_ticks(0, SELL), core.best_lots(0, SELL)

    def level(self, side: int, ticks: int) -> int:
        """Lots shown at a price of a side."""
        assert self._core is not None
        return self._core.level_lots(0, side, ticks)

    def levels(self, side: int, depth: int | None) -> list[tuple[int, int]]:
        """(ticks, lots) of a side from the best on; all of them without ``depth``."""
        core = self._core
        assert core is not None
        if depth is not None:
            return core.levels(0, side, depth)
        found = [(ticks, lots) for of, ticks, lots in core.client_levels(0) if of == side]
        return found[::-1] if side == BUY else found

    def last(self) -> Last | None:
        """The last message about the book up to where the walk stands; None if its recording had none yet."""
        for number in range(len(self._seen) - 1, -1, -1):
            found = self._last_in(self._seen[number])
            if found is not None:
                return self._latest(found, number)
        first = self._seen[0][0] if self._seen else self._fed + 1
        for index in range(first - 1, -1, -1):
            if self._places[index].chain != self._chain:
                return None
            found = self._last_in(self._times(index, self._window(index)))
            if found is not None:
                return found[1]
        return None

    def _latest(self, found: tuple[int, Last], number: int) -> Last:
        """By receipt, a message of an earlier block may be later than the last of this one."""
        for earlier in range(number - 1, -1, -1):
            other = self._last_in(self._seen[earlier])
            if other is not None and other[0] > found[0]:
                found = other
        return found[1]

    def _last_in(self, times: tuple[int, I64, I64, I64, I64]) -> tuple[int, Last] | None:
        _, clock, event, recv, ref = times
        place = int(clock.searchsorted(self.at_ns, side="right")) - 1
        return None if place < 0 else (int(clock[place]), Last(int(event[place]), int(recv[place]), int(ref[place])))

    # -- which block to start from

    def _start(self, index: int, ts_ns: int) -> int:
        if self._form == "l3":  # no checkpoints: from the start of the chain
            while index and self._places[index - 1].chain == self._places[index].chain:
                index -= 1
            return index
        while not self._by_event and index and self._places[index - 1].chain == self._places[index].chain:
            if self._fed >= index - 1 and self._chain == self._places[index].chain:
                break  # the kernel stands just before it and knows more than the checkpoint
            if self._is_clean(index, ts_ns):
                break
            index -= 1
        return index

    def _is_clean(self, index: int, ts_ns: int) -> bool:
        """Whether at ``ts_ns`` the client had received all that the checkpoint of a block sums up, before all that
        follows it."""
        block = self._places[index].block
        latest = _latest_known(block)
        if latest > ts_ns or not (block.valid or block.quotes):  # when a gap was told of, the index does not say
            return False
        for place in self._places[index:]:
            if place.block.first_event >= latest or place.block.first_event > ts_ns:
                return True
            window = self._span.window(place)
            received = window.ts_recv[self._about_book(window)]
            if len(received) and int(received.min()) < latest:
                return False
        return True

    # -- the kernel

    def _restart(self, start: int) -> None:
        core = Core(1, 1, Ledger(1, 1, 1))
        core.configure_lane(0, [0])
        core.configure_market(0, l1_only=self._form == "l1", by_order=self._form == "l3", window_ticks=LADDER_TICKS)
        self._core = core
        self._seen.clear()
        self._chain, self._fed = self._places[start].chain, start - 1
        opening = self._opening(self._places[start])
        if opening is not None:
            core.set_window(0, opening, False)
        else:
            self._feed(start)

    def _opening(self, place: Place) -> FeedWindow | None:
        """The checkpoint of a block as messages, stamped with the block's first instant so that they come first."""
        block = place.block
        messages: list[tuple[int, int, list[int], list[int], list[int]]] = []
        if block.valid:
            side, ticks, lots = (column.tolist() for column in self._span.checkpoint(place))
            messages.append((SNAPSHOT, block.update_id, side, ticks, lots))
        if self._quotes and (block.valid or self._form == "l1"):
            messages += [(BBO, quote[0], quote[2], quote[3], quote[4]) for quote in block.quotes]
        if not messages:
            return None
        at = np.full(len(messages), block.first_event, np.int64)
        return FeedWindow(
            ts_event=at,
            ts_recv=at,
            kind=np.array([m[0] for m in messages], np.uint8),
            row_start=np.cumsum([0] + [len(m[2]) for m in messages]).astype(np.int64),
            ref=np.array([m[1] for m in messages], np.int64),
            local_order=np.arange(len(messages), dtype=np.int32),
            side=np.array([x for m in messages for x in m[2]], np.uint8),
            px_ticks=np.array([x for m in messages for x in m[3]], np.int32),
            qty_lots=np.array([x for m in messages for x in m[4]], np.int32),
            aux=_NO_AUX,
        )

    def _feed(self, index: int) -> None:
        """Give the kernel a block, and a message of no meaning where the next one begins: it then knows how far it
        may go."""
        window = self._window(index)
        self._seen.append(self._times(index, window))
        follows = index + 1 < len(self._places) and self._places[index + 1].chain == self._chain
        end = self._places[index + 1].block.first_event if follows else FAR_NS
        recv = np.append(window.ts_event if self._by_event else window.ts_recv, end)
        assert self._core is not None
        marked = FeedWindow(
            ts_event=np.append(window.ts_event, end),
            ts_recv=recv,
            kind=np.append(window.kind, np.uint8(OFFBOOK)),
            row_start=np.append(window.row_start, window.row_start[-1]),
            ref=np.append(np.where(window.kind == GAP, 0, window.ref), 0),
            local_order=stable_local_order(recv),
            side=window.side,
            px_ticks=window.px_ticks,
            qty_lots=window.qty_lots,
            aux=_NO_AUX,
        )
        self._core.set_window(0, marked, False)
        self._fed = index

    def _about_book(self, window: FeedWindow) -> Any:
        kind = window.kind
        found = (kind == DEPTH) | (kind == SNAPSHOT) | (kind == GAP) | (kind >= ORDER_ADD)
        return found | (kind == BBO) if self._quotes else found

    def _window(self, index: int) -> FeedWindow:
        """The messages of a block that are about the book."""
        whole = self._span.window(self._places[index])
        chosen = self._about_book(whole)
        if chosen.all():
            return whole
        counts = np.diff(whole.row_start)
        rows = np.repeat(chosen, counts)
        starts = np.concatenate((np.zeros(1, np.int64), np.cumsum(counts[chosen])))
        recv = whole.ts_recv[chosen]
        return replace(
            whole,
            ts_event=whole.ts_event[chosen],
            ts_recv=recv,
            kind=whole.kind[chosen],
            row_start=starts,
            ref=whole.ref[chosen],
            local_order=stable_local_order(recv),
            side=whole.side[rows],
            px_ticks=whole.px_ticks[rows],
            qty_lots=whole.qty_lots[rows],
        )

    def _times(self, index: int, window: FeedWindow) -> tuple[int, I64, I64, I64, I64]:
        """Times by the walk's clock, sorted, of the messages that state something of the book, with what ``Last``
        tells of them."""
        stating = window.kind != GAP
        event, recv, ref = (column[stating] for column in (window.ts_event, window.ts_recv, window.ref))
        if self._by_event:
            return index, event, event, recv, ref
        order = stable_local_order(recv)
        return index, recv[order], event[order], recv[order], ref[order]


def _latest_known(block: BlockInfo) -> int:
    """The latest receive time among what a checkpoint sums up."""
    return max([block.book_recv, *(int(quote[1]) for quote in block.quotes)])


def _chain_ends(span: Span, by_event: bool) -> list[int]:
    ends: list[int] = []
    for place in span.places:
        end = place.block.last_event if by_event else place.block.recv_max
        if place.chain == len(ends):
            ends.append(end)
        else:
            ends[-1] = max(ends[-1], end)
    return ends


def form_of(span: Span) -> str:
    """Whether a feed states levels (l2), only best quotes (l1), or single orders (l3)."""
    if any(place.block.valid for place in span.places):
        return "l2"
    quoted = False
    for place in span.places[:FORM_BLOCKS]:
        kind = span.window(place).kind
        if (kind >= ORDER_ADD).any():
            return "l3"
        if ((kind == DEPTH) | (kind == SNAPSHOT)).any():
            return "l2"
        quoted = quoted or bool((kind == BBO).any())
    return "l1" if quoted else "l2"
