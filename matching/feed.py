"""Feed windows: what recorders produce and the kernels consume.

A feed is one instrument's messages in *venue order*: sorted by ``ts_event``, at equal time trades, best quotes, depth,
then order of receipt (sources that already are in venue order keep their own). ``local_order`` lists the same messages
in the order in which the client sees them: by ``ts_recv``, stable.

An *order-by-order* feed states single orders instead of levels (a market reads one or the other). Its messages have
one row, the order's side and price, and ``ref`` is the venue's order id (int64; an importer numbers other names):

    ORDER_ADD     came to rest at the tail of its level with qty_lots. One that executes on arrival is told of when
                  its rest comes to rest; an importer of a venue that shows it earlier holds it back.
    ORDER_CHANGE  has qty_lots now, at this price. Smaller: keeps its place; larger, or another price: to the tail.
    ORDER_GONE    left the book for any reason but an execution (qty_lots: what it had left)
    ORDER_FILL    a resting order was executed for qty_lots, at its price; nothing else tells that it became smaller
    ORDER_BOOK    no row, ref = n: the next n order messages, all ORDER_ADD, are the whole book, in queue order at each
                  price; the book is stale until the last of them

Orders are received in the venue's order. TRADE messages beside them inform the client and move nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
U8 = npt.NDArray[np.uint8]


@dataclass(slots=True, eq=False)
class Room:
    """Writable memory that ends with a window's columns and begins ``messages`` messages and ``rows`` rows before them.

    What the client has not seen of the window before can be put there, so that joining the two copies next to nothing.
    Whoever makes a window with room gives the room to nobody else; it is used once.
    """

    messages: int
    rows: int
    ts_event: I64
    ts_recv: I64
    kind: U8
    ref: I64
    side: U8
    px_ticks: I32
    qty_lots: I32


@dataclass(slots=True, eq=False)
class FeedWindow:
    """A contiguous stretch of one feed, in venue order. Every column is C-contiguous.

    Messages (length n): ``ts_event`` and ``ts_recv`` in ns UTC with ``ts_recv >= ts_event``, ``kind`` (``codes``),
    ``ref`` (update id, trade id or absolute row of ``aux``), ``local_order`` (int32 permutation of 0..n-1), and
    ``row_start`` (length n + 1, first 0): message j owns rows ``row_start[j]:row_start[j + 1]``.
    Rows: ``side`` (0 bid or buy aggressor, 1 ask or sell aggressor), ``px_ticks``, ``qty_lots``.
    ``aux`` (a, 4) int64 holds the payload of MARK, FUNDING and GAP messages; row ``ref - aux_base``.
    Columns may be read-only. ``room``: see ``Room``; most windows have none.
    """

    ts_event: I64
    ts_recv: I64
    kind: U8
    row_start: I64
    ref: I64
    local_order: I32
    side: U8
    px_ticks: I32
    qty_lots: I32
    aux: I64
    aux_base: int = 0
    room: Room | None = None

    def __len__(self) -> int:
        return len(self.ts_event)

    @property
    def rows(self) -> int:
        return int(self.row_start[-1]) if len(self.row_start) else 0

    def check(self) -> None:
        """Raise ValueError naming the first message that breaks the contract above."""
        n = len(self)
        lengths = {name: len(getattr(self, name)) for name in ("ts_recv", "kind", "ref", "local_order")}
        wrong = [name for name, length in lengths.items() if length != n]
        if wrong or len(self.row_start) != n + 1:
            raise ValueError(f"feed window of {n} messages: columns of another length: {wrong or ['row_start']}")
        self._first("ts_event goes back", self.ts_event[1:] < self.ts_event[:-1], 1)
        self._first("ts_recv before ts_event", self.ts_recv < self.ts_event, 0)
        self._first("row_start goes back", self.row_start[1:] < self.row_start[:-1], 0)
        lengths_of_rows = {len(self.side), len(self.px_ticks), len(self.qty_lots)}
        if n and (self.row_start[0] != 0 or lengths_of_rows != {self.rows}):
            raise ValueError("feed window: row_start does not span the row columns")
        local = self.ts_recv[self.local_order]
        self._first("local_order is not sorted by ts_recv", local[1:] < local[:-1], 1)

    @staticmethod
    def _first(what: str, mask: npt.NDArray[np.bool_], shift: int) -> None:
        if mask.any():
            raise ValueError(f"feed window: {what} at message {int(np.argmax(mask)) + shift}")


class FeedSource(Protocol):
    """One feed, read forward in windows. ``rows`` is the raw row count where known, else -1."""

    rows: int
    first_ns: int
    last_ns: int

    def next_window(self) -> FeedWindow | None:
        """The next stretch, or None at the end."""
        ...


def stable_local_order(ts_recv: I64) -> I32:
    """Positions of messages in client order (stable by receive time)."""
    return np.argsort(ts_recv, kind="stable").astype(np.int32)


def messages_from_rows(
    ts_event: I64, ts_recv: I64, kind: U8, side: U8, px_ticks: I32, qty_lots: I32, ref: I64 | None = None
) -> FeedWindow:
    """Group plain event rows (one level change or print a row, in venue order) into one window.

    A message is a run of consecutive rows of equal (ts_event, ts_recv, kind); without ``ref`` messages are numbered
    from 1 in venue order.
    """
    rows = len(ts_event)
    if rows:
        cut = (ts_event[1:] != ts_event[:-1]) | (ts_recv[1:] != ts_recv[:-1]) | (kind[1:] != kind[:-1])
        first = np.flatnonzero(np.concatenate((np.ones(1, np.bool_), cut)))
    else:
        first = np.zeros(0, np.int64)
    recv = np.ascontiguousarray(ts_recv[first])
    return FeedWindow(
        ts_event=np.ascontiguousarray(ts_event[first]),
        ts_recv=recv,
        kind=np.ascontiguousarray(kind[first]),
        row_start=np.append(first, rows).astype(np.int64),
        ref=np.arange(1, len(first) + 1, dtype=np.int64) if ref is None else np.ascontiguousarray(ref[first]),
        local_order=stable_local_order(recv),
        side=np.ascontiguousarray(side),
        px_ticks=np.ascontiguousarray(px_ticks),
        qty_lots=np.ascontiguousarray(qty_lots),
        aux=np.zeros((0, 4), np.int64),
    )


class MemorySource:
    """A feed held in memory, given out as one window or as several of at most ``window_messages``."""

    def __init__(self, window: FeedWindow, window_messages: int = 0) -> None:
        self._whole = window
        self._size = window_messages or max(1, len(window))
        self._at = 0
        self.rows = window.rows
        self.first_ns = int(window.ts_event[0]) if len(window) else 0
        self.last_ns = int(window.ts_recv.max()) if len(window) else 0

    def next_window(self) -> FeedWindow | None:
        start, stop = self._at, min(self._at + self._size, len(self._whole))
        if start >= stop:
            return None
        self._at = stop
        return self._whole if stop - start == len(self._whole) else slice_window(self._whole, start, stop)


def slice_window(window: FeedWindow, start: int, stop: int) -> FeedWindow:
    """Messages ``start:stop`` of a window as a window of their own (rows are views, not copies)."""
    row0, row1 = int(window.row_start[start]), int(window.row_start[stop])
    order = window.local_order[(window.local_order >= start) & (window.local_order < stop)] - np.int32(start)
    return FeedWindow(
        ts_event=window.ts_event[start:stop],
        ts_recv=window.ts_recv[start:stop],
        kind=window.kind[start:stop],
        row_start=window.row_start[start : stop + 1] - row0,
        ref=window.ref[start:stop],
        local_order=np.ascontiguousarray(order),
        side=window.side[row0:row1],
        px_ticks=window.px_ticks[row0:row1],
        qty_lots=window.qty_lots[row0:row1],
        aux=window.aux,
        aux_base=window.aux_base,
    )


def join_windows(tail: FeedWindow, head: FeedWindow) -> FeedWindow:
    """``tail`` followed by ``head`` as one window; the client order is merged, stable by receive time."""
    aux, aux_base = _join_aux(tail, head)
    room, head.room = head.room, None
    if room is not None and len(tail) <= room.messages and tail.rows <= room.rows:
        messages = [_in_room(getattr(room, name), room.messages, getattr(tail, name)) for name in _MESSAGE_COLUMNS]
        rows = [_in_room(getattr(room, name), room.rows, getattr(tail, name)) for name in _ROW_COLUMNS]
    else:
        messages = [np.concatenate((getattr(tail, name), getattr(head, name))) for name in _MESSAGE_COLUMNS]
        rows = [np.concatenate((getattr(tail, name), getattr(head, name))) for name in _ROW_COLUMNS]
    ts_event, ts_recv, kind, ref = messages
    side, px_ticks, qty_lots = rows
    row_start = np.empty(len(tail) + len(head) + 1, np.int64)
    row_start[: len(tail)] = tail.row_start[:-1]
    np.add(head.row_start, tail.rows, out=row_start[len(tail) :])
    return FeedWindow(
        ts_event=ts_event,
        ts_recv=ts_recv,
        kind=kind,
        row_start=row_start,
        ref=ref,
        local_order=_merged_order(tail, head),
        side=side,
        px_ticks=px_ticks,
        qty_lots=qty_lots,
        aux=aux,
        aux_base=aux_base,
    )


_MESSAGE_COLUMNS = ("ts_event", "ts_recv", "kind", "ref")
_ROW_COLUMNS = ("side", "px_ticks", "qty_lots")


def _in_room(column: npt.NDArray[Any], before: int, tail: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A column with the tail written right before it; it begins after ``before`` items of room."""
    start = before - len(tail)
    column[start:before] = tail
    return column[start:]


def _merged_order(tail: FeedWindow, head: FeedWindow) -> I32:
    """The client order of both: of equal receive times the tail's messages come first."""
    kept = len(tail)
    recv = tail.ts_recv[tail.local_order]
    place = head.ts_recv.searchsorted(recv, sorter=head.local_order) + np.arange(kept)
    order = np.empty(kept + len(head), np.int32)
    shared = int(place[-1]) + 1 if kept else 0  # up to here both have their part; the rest is the head's
    mine = np.zeros(shared, np.bool_)
    mine[place] = True
    order[:shared][mine] = tail.local_order
    order[:shared][~mine] = head.local_order[: shared - kept] + kept
    np.add(head.local_order[shared - kept :], np.int32(kept), out=order[shared:])
    return order


def _join_aux(tail: FeedWindow, head: FeedWindow) -> tuple[I64, int]:
    if not len(head.aux):  # none of its own, as the empty window that ends a feed
        return tail.aux, tail.aux_base
    if head.aux_base <= tail.aux_base:  # windows that share one table of payloads
        return head.aux, head.aux_base
    overlap = tail.aux_base + len(tail.aux) - head.aux_base
    if overlap < 0:
        raise ValueError(f"feed windows: aux rows {tail.aux_base + len(tail.aux)}..{head.aux_base} are missing")
    return np.concatenate((tail.aux, head.aux[overlap:])), tail.aux_base
