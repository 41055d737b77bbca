"""The benchmark's feeds: plain event columns read into memory, made where none are given, and turned into book columns.

Two layouts occur. *Plain columns* (``DIR/cols/*.npy``) hold one level change or print a row: ``exch_ts local_ts`` (ns),
``kind`` (1 depth, 2 trade, 4 snapshot), ``side`` (1 bid or buyer, -1 ask or seller), ``px_tick``, ``qty_lot``. *Book
columns* (``DIR/*.npy``) are what NautilusTrader's objects need: ``ts`` (ns), ``kind`` (0 level, 1 trade), ``action``
(1 add, 2 update, 3 delete, 4 clear), ``side`` (1 bid or buyer, 2 ask or seller), ``px``, ``qty``, ``flags`` (128 last
row of a message, 32 snapshot), ``seq``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from matching import codes
from matching.feed import FeedWindow, messages_from_rows

Column = npt.NDArray[Any]
PLAIN = ("exch_ts", "local_ts", "kind", "side", "px_tick", "qty_lot")
BOOK = ("ts", "kind", "action", "side", "px", "qty", "flags", "seq")
PLAIN_KINDS = {1: codes.DEPTH, 2: codes.TRADE, 4: codes.SNAPSHOT}
LAST, SNAPSHOT = 128, 32
ADD, UPDATE, DELETE, CLEAR = 1, 2, 3, 4


class FeedError(ValueError):
    """A feed folder that cannot be used; the message names the folder and the column."""


def _load(folder: Path, names: tuple[str, ...]) -> dict[str, Column]:
    missing = [name for name in names if not (folder / f"{name}.npy").is_file()]
    if missing:
        raise FeedError(f"{folder}: no column {', '.join(f'{name}.npy' for name in missing)}")
    columns = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names}
    lengths = {len(column) for column in columns.values()}
    if len(lengths) != 1 or lengths == {0}:
        raise FeedError(f"{folder}: columns must be of one length above 0, these are of {sorted(lengths)}")
    return columns


def rows_of(folder: Path) -> int:
    """Number of rows of a feed in either layout."""
    if (folder / "cols").is_dir():
        return len(_load(folder / "cols", PLAIN)["kind"])
    return len(_load(folder, BOOK)["ts"])


def is_plain(folder: Path) -> bool:
    return (folder / "cols").is_dir()


def read_plain(folder: Path) -> FeedWindow:
    """Plain columns as one window in memory."""
    columns = _load(folder / "cols", PLAIN)
    kinds = np.zeros(256, np.uint8)
    for code, kind in PLAIN_KINDS.items():
        kinds[code] = kind
    return messages_from_rows(
        np.array(columns["exch_ts"], np.int64),
        np.array(columns["local_ts"], np.int64),
        kinds[columns["kind"]],
        np.where(columns["side"] > 0, codes.BUY, codes.SELL).astype(np.uint8),
        np.array(columns["px_tick"], np.int32),
        np.array(columns["qty_lot"], np.int32),
    )


def read_book(folder: Path) -> FeedWindow:
    """Book columns as one window in memory; data arrive when they happen. The leading snapshot replaces the book."""
    columns = _load(folder, BOOK)
    keep = np.asarray(columns["action"]) != CLEAR
    flags = np.asarray(columns["flags"])[keep]
    level = np.where(flags & SNAPSHOT, codes.SNAPSHOT, codes.DEPTH)
    kind = np.where(np.asarray(columns["kind"])[keep] == 1, codes.TRADE, level).astype(np.uint8)
    ts = np.asarray(columns["ts"], np.int64)[keep]
    return messages_from_rows(
        ts,
        ts,
        kind,
        (np.asarray(columns["side"])[keep] - 1).astype(np.uint8),
        np.asarray(columns["px"])[keep].astype(np.int32),
        np.asarray(columns["qty"])[keep].astype(np.int32),
    )


def read(folder: Path) -> FeedWindow:
    """A feed of either layout as one window in memory."""
    return read_plain(folder) if is_plain(folder) else read_book(folder)


def write_book(source: Path, target: Path) -> None:
    """Plain columns as book columns: what happens at the venue, stamped with its time."""
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
