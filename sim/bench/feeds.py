"""The benchmark's feeds: event columns brought into a lake, held in memory, and turned into other engines' columns.

Two layouts of columns occur, both described in ``recorders.columns``: *plain* (``DIR/cols/*.npy``, hftbacktest's side
of the benchmark reads them too) and *tagged* (``DIR/*.npy`` with an action for every level change, which
NautilusTrader's objects need).
"""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from matching.feed import FeedSource, MemorySource, join_windows
from recorders.columns import import_columns
from recorders.lake import Lake
from venues import Instrument, known_instrument
from venues.errors import InputError

Column = npt.NDArray[Any]
PLAIN = ("exch_ts", "local_ts", "kind", "side", "px_tick", "qty_lot")
VENUE, SYMBOL = "neutral", "BTCUSDT"
FROM_LAKE = ("lake", "hot")  # tasks that read the lake inside the clock: by decoding it, or from its hot cache
LAST, SNAPSHOT = 128, 32
ADD, UPDATE, DELETE = 1, 2, 3


def instrument() -> Instrument:
    """What all benchmark feeds are of: a linear perpetual, tick 0.1, lot 0.001."""
    return known_instrument(VENUE, SYMBOL)


def rows_of(folder: Path) -> int:
    """Number of rows of a feed in either layout. Raises ``InputError`` when the folder holds neither."""
    for place in (folder / "cols" / "kind.npy", folder / "kind.npy"):
        if place.is_file():
            return len(np.load(place, mmap_mode="r"))
    raise InputError("holds no event columns (cols/kind.npy or kind.npy)", source=str(folder))


def lake_of(folder: Path, lake: Path) -> Lake:
    """The feed of ``folder`` as a lake at ``lake``; imported on the first call, taken as it is on later ones."""
    if not (lake / VENUE / SYMBOL).is_dir():
        import_columns(folder, lake, instrument())
    return Lake(lake)


class MemoryFeed:
    """A feed held in memory as one window, so that reading it costs nothing."""

    def __init__(self, source: FeedSource) -> None:
        self.first_ns, self.last_ns = source.first_ns, source.last_ns
        windows = []
        while (window := source.next_window()) is not None:
            windows.append(window)
        self.whole = reduce(join_windows, windows)
        self.rows = self.whole.rows

    def again(self) -> MemorySource:
        """The feed from its start."""
        return MemorySource(self.whole)


def _load(folder: Path, names: tuple[str, ...]) -> dict[str, Column]:
    return {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names}


def write_tagged(source: Path, target: Path) -> None:
    """Plain columns as tagged columns: what happens at the venue, stamped with its time."""
    columns = _load(source / "cols", PLAIN)
    kind, ticks = np.asarray(columns["kind"]), np.asarray(columns["px_tick"], np.int64)
    lots, ts = np.asarray(columns["qty_lot"], np.int64), np.asarray(columns["exch_ts"], np.int64)
    trade = kind == 2
    side = np.where(np.asarray(columns["side"]) > 0, 1, 2).astype(np.uint8)
    action = np.where(trade, 0, _actions(side, ticks, lots, trade)).astype(np.uint8)
    first = np.concatenate(([True], (ts[1:] != ts[:-1]) | (kind[1:] != kind[:-1])))
    last = np.concatenate((first[1:], [True]))
    flags = np.where(trade, 0, np.where(last, LAST, 0) | np.where(kind == 4, SNAPSHOT, 0)).astype(np.uint8)
    kept = trade | (action > 0)
    flags = _last_of_kept(flags, kept, trade, first)
    target.mkdir(parents=True, exist_ok=True)
    rows = {"ts": ts, "kind": trade.astype(np.uint8), "action": action, "side": side, "px": ticks, "qty": lots}
    for name, column in (rows | {"flags": flags, "seq": np.cumsum(first)}).items():
        np.save(target / f"{name}.npy", column[kept])


def _actions(side: Column, ticks: Column, lots: Column, trade: Column) -> Column:
    """Add, update or delete for every level row; 0 for the deletion of a level that is not there."""
    book: set[int] = set()
    actions = np.zeros(len(ticks), np.uint8)
    keys = (ticks * 4 + side).tolist()
    for place, (key, quantity, skip) in enumerate(zip(keys, lots.tolist(), trade.tolist(), strict=True)):
        if skip:
            continue
        if quantity == 0:
            actions[place] = DELETE if key in book else 0
            book.discard(key)
        else:
            actions[place] = UPDATE if key in book else ADD
            book.add(key)
    return actions


def _last_of_kept(flags: Column, kept: Column, trade: Column, first: Column) -> Column:
    """Move the mark of a message's last row to its last kept row."""
    message = np.cumsum(first)
    places = np.flatnonzero(kept & ~trade)
    ends = np.concatenate((message[places][1:] != message[places][:-1], [True])) if len(places) else np.zeros(0, bool)
    moved = flags & ~np.uint8(LAST)
    moved[places[ends]] |= LAST
    return moved
