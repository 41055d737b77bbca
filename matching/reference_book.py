"""The reference's book: two dicts from tick to lots, and the rules by which feed messages change them.

Written for reading, not for speed. ``Book.apply`` changes one level at a time and hands out each change before it makes
the next one, because a resting order of ours must see rows in the feed's order. The rules, with the tests that prove
them, are in docs/fills.md; nothing here is shared with the kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from matching.codes import BBO, BUY, DEPTH, FUNDING, GAP, MARK, NO_PRICE, SELL, SNAPSHOT
from matching.feed import FeedWindow

NO_ID = -(1 << 63)

STATED = 0  # a row of the feed named the level and its quantity
DELETED = 1  # a better level than the stated best cannot exist: its quantity is 0
HIDDEN = 2  # best-quote feeds only: a worse level is no longer displayed, its quantity is unknown
EMPTIED = 3  # a best quote without this side: nothing is left there; the tick is NO_PRICE


@dataclass(slots=True)
class Message:
    """One message of a feed: ``rows`` are (side, ticks, lots), ``aux`` the payload of MARK, FUNDING and GAP."""

    market: int
    number: int  # in venue order, from 0
    ts_event: int
    ts_recv: int
    kind: int
    ref: int
    rows: list[tuple[int, int, int]]
    aux: tuple[int, ...]


class Change(NamedTuple):
    side: int
    ticks: int
    before_lots: int
    after_lots: int
    how: int  # STATED, DELETED, HIDDEN or EMPTIED


class Quote(NamedTuple):
    """A best quote that was applied and that older depth must not undo; None: it said that this side is empty."""

    ref: int
    bid_ticks: int | None
    ask_ticks: int | None


def is_better(side: int, ticks: int, than_ticks: int) -> bool:
    """Whether a level of this side is nearer to the other side: a higher bid, a lower ask."""
    return ticks > than_ticks if side == BUY else ticks < than_ticks


class Book:
    """One view (the venue's or the client's) of one market."""

    def __init__(self, l1_only: bool) -> None:
        self.l1_only = l1_only
        self.levels: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.valid = False
        self.last_id = NO_ID
        self.quotes: list[Quote] = []  # newer than the last applied depth, hence few

    def lots(self, side: int, ticks: int) -> int:
        return self.levels[side].get(ticks, 0)

    def sorted_ticks(self, side: int) -> list[int]:
        """Displayed ticks of one side, best first."""
        return sorted(self.levels[side], reverse=side == BUY)

    def best(self, side: int) -> int:
        ticks = self.levels[side]
        return (max(ticks) if side == BUY else min(ticks)) if ticks else NO_PRICE

    def apply(self, message: Message) -> Iterator[Change]:
        """Make the message's changes one by one; kinds that are not about the book change nothing."""
        if message.kind == DEPTH:
            yield from self._depth(message)
        elif message.kind == BBO:
            yield from self._quote_message(message)
        elif message.kind == SNAPSHOT and self.l1_only:
            yield from self._quote_message(_best_rows_of(message))
        elif message.kind == SNAPSHOT:
            yield from self._snapshot(message)
        elif message.kind == GAP:
            self.valid = False

    def _set(self, side: int, ticks: int, lots: int, how: int) -> Change:
        before = self.lots(side, ticks)
        if lots > 0:
            self.levels[side][ticks] = lots
        else:
            self.levels[side].pop(ticks, None)
        return Change(side, ticks, before, lots, how)

    def _depth(self, message: Message) -> Iterator[Change]:
        if self.l1_only or not self.valid:
            return
        self.quotes = [quote for quote in self.quotes if quote.ref > message.ref]
        for side, ticks, lots in message.rows:
            if not any(_is_stated_by(quote, side, ticks) for quote in self.quotes):
                yield self._set(side, ticks, lots, STATED)
        self.last_id = max(self.last_id, message.ref)

    def _quote_message(self, message: Message) -> Iterator[Change]:
        if message.kind == BBO and message.ref <= self.last_id:
            return
        if not (self.valid or self.l1_only):
            return
        self.valid = True
        self.last_id = message.ref
        stated = {side: (ticks, lots) for side, ticks, lots in message.rows if lots > 0}
        if not self.l1_only:
            self.quotes.append(Quote(message.ref, _tick_of(stated, BUY), _tick_of(stated, SELL)))
        for side in (BUY, SELL):
            if side in stated:
                yield from self._quote_side(side, *stated[side])
            else:  # a best quote without this side says that the side is empty
                for ticks in self.sorted_ticks(side):
                    yield self._set(side, ticks, 0, DELETED)
                yield Change(side, NO_PRICE, 0, 0, EMPTIED)

    def _quote_side(self, side: int, ticks: int, lots: int) -> Iterator[Change]:
        for other in self.sorted_ticks(side):
            if is_better(side, other, ticks):
                yield self._set(side, other, 0, DELETED)
            elif self.l1_only and other != ticks:
                yield self._set(side, other, 0, HIDDEN)
        yield self._set(side, ticks, lots, STATED)

    def _snapshot(self, message: Message) -> Iterator[Change]:
        stated = {(side, ticks): lots for side, ticks, lots in message.rows}
        absent = {(side, ticks): 0 for side in (BUY, SELL) for ticks in self.levels[side]}
        for (side, ticks), lots in sorted({**absent, **stated}.items()):
            yield self._set(side, ticks, lots, STATED)
        self.valid = True
        self.last_id = message.ref
        self.quotes = []


def _tick_of(stated: dict[int, tuple[int, int]], side: int) -> int | None:
    return stated[side][0] if side in stated else None


def _is_stated_by(quote: Quote, side: int, ticks: int) -> bool:
    """Whether a best quote says something about this level: it is the quoted one or better."""
    best = quote.bid_ticks if side == BUY else quote.ask_ticks
    return best is None or not is_better(side, best, ticks)


def _best_rows_of(snapshot: Message) -> Message:
    """A snapshot as a best-quote feed reads it: its best row of each side."""
    rows = []
    for side in (BUY, SELL):
        own = [row for row in snapshot.rows if row[0] == side and row[2] > 0]
        if own:
            rows.append(max(own, key=lambda row: row[1]) if side == BUY else min(own, key=lambda row: row[1]))
    return replace(snapshot, rows=rows)


def message_of(m: int, number: int, window: FeedWindow, j: int) -> Message:
    """One row of a window, as a message."""
    first, end = int(window.row_start[j]), int(window.row_start[j + 1])
    columns = (window.side[first:end], window.px_ticks[first:end], window.qty_lots[first:end])
    kind, ref = int(window.kind[j]), int(window.ref[j])
    aux = tuple(window.aux[ref - window.aux_base].tolist()) if kind in (MARK, FUNDING, GAP) else ()
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    return Message(m, number, int(window.ts_event[j]), int(window.ts_recv[j]), kind, ref, rows, aux)
