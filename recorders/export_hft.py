"""A slice of the lake in hftbacktest's form: one array of its events, in an ``.npz`` file under the name ``data``.

Theory of operation. hftbacktest (2.x, docs: https://hftbacktest.readthedocs.io/en/latest/data.html) reads one array
twice: its exchange takes the rows flagged EXCH in order of ``exch_ts``, its client the rows flagged LOCAL in order of
``local_ts``. A message that keeps its place in both orders is written once with both flags; one that another overtook
on its way is written twice, once for each. Which ones keep their place: those received before everything that the
venue made after them.

    SNAPSHOT   DEPTH_CLEAR of both sides, then DEPTH_SNAPSHOT rows       DEPTH     DEPTH rows
    GAP        DEPTH_CLEAR of both sides: it has no stale book           TRADE     TRADE rows, side = aggressor

The file begins with the book as of its start. Depth that came while the book was not known is left out, since it would
make up a book; best quotes, marks and funding have no place in the form. ``ival``, which hftbacktest leaves unused, is
the update or trade id, as our importer of this form takes it. Prices and sizes are the nearest doubles.
Rows are gathered in a file beside the target, so memory does not grow with the slice.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from matching.codes import DEPTH, GAP, SELL, SNAPSHOT, TRADE
from matching.feed import I64, FeedWindow
from recorders.access import Market
from recorders.files import make_folder, partial_path, publish
from recorders.spans import FOREVER
from venues.errors import InputError

DEPTH_EVENT: Final = 1
TRADE_EVENT: Final = 2
DEPTH_CLEAR_EVENT: Final = 3
DEPTH_SNAPSHOT_EVENT: Final = 4
EXCH_EVENT: Final = 1 << 31
LOCAL_EVENT: Final = 1 << 30
BUY_EVENT: Final = 1 << 29
SELL_EVENT: Final = 1 << 28
EVENT: Final = np.dtype(
    [
        ("ev", "<u8"), ("exch_ts", "<i8"), ("local_ts", "<i8"), ("px", "<f8"), ("qty", "<f8"), ("order_id", "<u8"),
        ("ival", "<i8"), ("fval", "<f8"),
    ],
    align=True,
)  # fmt: skip
COPY_BYTES: Final = 1 << 22

Events = npt.NDArray[Any]


def hft_events(market: Market, window_messages: int = 1 << 16) -> Iterator[Events]:
    """The slice's events in pieces, in the order in which they belong into one array."""
    state = _State(market)
    before: FeedWindow | None = None
    for window in market.windows(window_messages):
        if before is not None:
            yield state.piece(before, int(window.ts_event[0]))
        before = window
    if before is not None:
        yield state.piece(before, FOREVER)


class _State:
    """What carries over from one window to the next."""

    def __init__(self, market: Market) -> None:
        self._price, self._size = market.grid.price, market.grid.size
        self._valid = False
        self._late: tuple[Events, I64] | None = None  # rows that the client has not received, and their counts

    def piece(self, window: FeedWindow, next_ns: int) -> Events:
        """A window's rows; what is received at or after ``next_ns`` is told to the client with a later window."""
        rows, counts = self._rows(window)
        recv = window.ts_recv[counts > 0]
        counts = counts[counts > 0]
        if self._late is not None:
            rows = np.concatenate((self._late[0], rows))
            earlier = self._late[1]
            late_recv = self._late[0]["local_ts"][np.cumsum(earlier) - earlier]
            recv, counts = np.concatenate((late_recv, recv)), np.concatenate((earlier, counts))
        carried = 0 if self._late is None else len(self._late[1])
        told = recv < next_ns
        order, flags = merged_order(recv, carried, told)
        starts = np.cumsum(counts) - counts
        kept = ~told
        self._late = (rows[np.repeat(kept, counts)], counts[kept]) if kept.any() else None
        length = counts[order]
        ends = np.cumsum(length)
        place = np.repeat(starts[order] - (ends - length), length) + np.arange(int(length.sum()))
        found = rows[place]
        found["ev"] |= np.repeat(flags, length)
        return found

    def _rows(self, window: FeedWindow) -> tuple[Events, I64]:
        """The rows of a window's messages, without flags of who is told, and how many each message has."""
        n = len(window)
        kind, per = window.kind, np.diff(window.row_start)
        telling = np.where((kind == SNAPSHOT) | (kind == GAP), np.arange(n), -1)
        last = np.maximum.accumulate(telling) if n else telling
        valid = np.where(last >= 0, kind[np.maximum(last, 0)] == SNAPSHOT, self._valid)
        if n:
            self._valid = bool(valid[-1])
        stated = (kind == SNAPSHOT) | (kind == TRADE) | ((kind == DEPTH) & valid)
        clears = ((kind == SNAPSHOT) | (kind == GAP)).astype(np.int64)
        counts = np.where(stated, per, 0) + clears
        message = np.repeat(np.arange(n), counts)
        within = np.arange(len(message)) - np.repeat(np.cumsum(counts) - counts, counts)
        clear = (within == 0) & (clears[message] == 1)
        row = window.row_start[message] + within - clears[message]
        rows = np.zeros(len(message), EVENT)
        rows["exch_ts"], rows["local_ts"] = window.ts_event[message], window.ts_recv[message]
        rows["ival"] = np.where(kind == GAP, 0, window.ref)[message]
        level = ~clear
        source = row[level]
        event = np.select([kind == TRADE, kind == SNAPSHOT], [TRADE_EVENT, DEPTH_SNAPSHOT_EVENT], DEPTH_EVENT)
        side = np.where(window.side[source] == SELL, SELL_EVENT, BUY_EVENT)
        rows["ev"][clear] = DEPTH_CLEAR_EVENT
        rows["ev"][level] = (event[message[level]] | side).astype(np.uint64)
        for name, column, (whole, decimals) in (
            ("px", window.px_ticks, self._price),
            ("qty", window.qty_lots, self._size),
        ):
            rows[name][level] = column[source].astype(np.int64) * whole / 10.0**decimals
        return rows, counts


def merged_order(recv: I64, carried: int, told: npt.NDArray[np.bool_]) -> tuple[I64, npt.NDArray[np.uint64]]:
    """Messages in an order that is the venue's for those flagged EXCH and the client's for those flagged LOCAL.

    ``recv``: receive times; the first ``carried`` messages have been told to the exchange already, the others stand in
    the venue's order; ``told``: which the client is told of now. Returns places (some twice) and their flags.
    """
    n = len(recv)
    order = np.argsort(recv, kind="stable")
    order = order[told[order]]
    rank = np.full(n, n, np.int64)
    rank[order] = np.arange(len(order))
    least_later = np.append(np.minimum.accumulate(rank[::-1])[::-1][1:], n)  # least rank among those after
    both = told & (rank < least_later)
    both[:carried] = False
    anchors = np.flatnonzero(both)
    exch_only = np.flatnonzero(~both)
    exch_only = exch_only[exch_only >= carried]
    local_only = order[~both[order]]
    slots = np.concatenate(
        (np.arange(len(anchors)), anchors.searchsorted(exch_only), rank[anchors].searchsorted(rank[local_only]))
    )
    groups = np.repeat(np.array([2, 0, 1]), [len(anchors), len(exch_only), len(local_only)])
    within = np.concatenate((np.zeros(len(anchors), np.int64), np.arange(len(exch_only)), np.arange(len(local_only))))
    places = np.concatenate((anchors, exch_only, local_only))
    flags = np.array([EXCH_EVENT, LOCAL_EVENT, EXCH_EVENT | LOCAL_EVENT], np.uint64)[groups]
    sorted_ = np.lexsort((within, groups, slots))
    return places[sorted_], flags[sorted_]


def write_npz(market: Market, path: Path) -> int:
    """Write the slice to ``path``; returns the number of rows. Published whole or not at all."""
    if market.form == "l3":
        raise InputError("is order by order: npz takes feeds of levels", source=f"{market.venue} {market.symbol}")
    make_folder(path.parent)
    rows_path = path.with_name(f".{path.name}.rows")
    count = 0
    try:
        with rows_path.open("wb") as stream:
            for piece in hft_events(market):
                stream.write(piece.tobytes())
                count += len(piece)
        with (
            zipfile.ZipFile(partial_path(path), "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed,
            packed.open(zipfile.ZipInfo("data.npy", (1980, 1, 1, 0, 0, 0)), "w", force_zip64=True) as target,
        ):
            header = {"descr": np.lib.format.dtype_to_descr(EVENT), "fortran_order": False, "shape": (count,)}
            np.lib.format.write_array_header_1_0(target, header)
            with rows_path.open("rb") as stream:
                while chunk := stream.read(COPY_BYTES):
                    target.write(chunk)
        publish(path)
    finally:
        for left in (rows_path, partial_path(path)):
            if left.exists():
                left.unlink()
    return count
