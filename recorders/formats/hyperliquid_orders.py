"""Hyperliquid's book diffs: single orders, as messages of an order-by-order feed.

A diff says that an order came to rest ("new"), has another size ("update") or has left ("remove"). It does not say why.
Where fills of the same time are imported with the diffs, a loss of size that the fills of the order explain, one by one
and to the lot, is their execution; otherwise it is a cancellation or an amendment. Without fills nothing is executed.

The book before the first diff is the L4 snapshot, if one is given: with a height, diffs up to that block are in it;
without, it is as of the first block. Without a snapshot the book stays unknown, which the report says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from matching.codes import ORDER_ADD, ORDER_BOOK, ORDER_CHANGE, ORDER_FILL, ORDER_GONE
from recorders.blocks import MessageBlock
from recorders.formats.assembly import messages
from recorders.formats.hyperliquid_archive import BATCH, SHAPES, SIDES, Diff, File, Fill, decoded, iso_ns
from recorders.formats.reading import lots_parser, open_bytes, text_lines, ticks_parser
from recorders.formats.running import Run
from venues.errors import InputError, InstrumentError
from venues.instruments import Instrument

FILLS_MAX: Final = 1 << 20  # of one order: more is no order
_GONE: Final = "remove"


class _Resting(msgspec.Struct, gc=False):
    oid: int
    side: str
    limitPx: str  # noqa: N815  # the venue's name
    sz: str
    isTrigger: bool = False  # noqa: N815


class OrderBookDiffs:
    """The orders of one coin; ``events`` are (kind, venue ns, receipt ns, id, side, ticks, lots)."""

    def __init__(self, instrument: Instrument, fills: dict[int, deque[int]]) -> None:
        self.ticks, self.lots = ticks_parser(instrument), lots_parser(instrument)
        self.events: list[tuple[int, int, int, int, int, int, int]] = []
        self.unknown = 0
        self.executed = 0
        self._fills = fills
        self._orders: dict[int, tuple[int, int, int]] = {}

    def opening(self, orders: Sequence[_Resting], event: int, recv: int) -> None:
        """The whole book, in queue order at each price."""
        self.events.append((ORDER_BOOK, event, recv, len(orders), 0, 0, 0))
        for order in orders:
            self._add(order.oid, order.side, order.limitPx, order.sz, event, recv)

    def _add(self, oid: int, side: str, px: str, sz: str, event: int, recv: int) -> None:
        if side not in SIDES:
            raise InstrumentError(f"side {side[:10]!r} is none of {', '.join(SIDES)}")
        if not 0 <= oid < 1 << 62:
            raise InstrumentError(f"{oid} is no order id")
        known = SIDES[side], self.ticks(px), self.lots(sz)
        self._orders[oid] = known
        self.events.append((ORDER_ADD, event, recv, oid, *known))

    def diff(self, found: Diff, event: int, recv: int) -> None:
        """Take in a change."""
        change = found.raw_book_diff
        if change == _GONE:
            self._shrink(found.oid, 0, event, recv)
        elif isinstance(change, dict) and isinstance(change.get("new"), dict):
            self._shrink(found.oid, 0, event, recv, told=False)
            self._add(found.oid, found.side, found.px, _text(change["new"], "sz"), event, recv)
        elif isinstance(change, dict) and isinstance(change.get("update"), dict):
            self._shrink(found.oid, self.lots(_text(change["update"], "newSz")), event, recv)
        else:
            raise InstrumentError(f"raw_book_diff {str(change)[:60]!r} is none of new, update, remove")

    def _shrink(self, oid: int, lots: int, event: int, recv: int, *, told: bool = True) -> None:
        known = self._orders.pop(oid, None)
        if known is None:
            self.unknown += told
            return
        side, ticks, before = known
        for executed in self._executions(oid, before - lots):
            self.events.append((ORDER_FILL, event, recv, oid, side, ticks, executed))
            before -= executed
            self.executed += 1
        if lots:
            self._orders[oid] = side, ticks, lots
            if lots != before:
                self.events.append((ORDER_CHANGE, event, recv, oid, side, ticks, lots))
        elif before:
            self.events.append((ORDER_GONE, event, recv, oid, side, ticks, before))

    def _executions(self, oid: int, lost: int) -> list[int]:
        """The next fills of an order that make up a loss of size exactly; none if they do not."""
        waiting = self._fills.get(oid)
        if not waiting or lost <= 0:
            return []
        total = count = 0
        for one in waiting:
            if total >= lost:
                break
            total += one
            count += 1
        return [waiting.popleft() for _ in range(count)] if total == lost else []


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise InstrumentError(f"{name} is missing in raw_book_diff")
    return value


def orders(
    run: Run, files: Sequence[File], instrument: Instrument, other: Callable[[str], bool]
) -> Iterator[MessageBlock]:
    """The order-by-order feed of a coin, from the diffs, with the fills and the snapshot among the files."""
    book = OrderBookDiffs(instrument, _makers(files, instrument))
    height, opening = _snapshot(files, instrument.symbol)
    begun = False
    for file in files:
        for number, line in text_lines(file.path) if file.kind == "diffs" else ():
            block = decoded(file.path, number, line, SHAPES["diffs"])
            if block.block_number <= height:
                continue
            try:
                event, recv = iso_ns(block.block_time), iso_ns(block.local_time)
                recv = recv if run.traits.clocked else event + (run.request.latency_ns or 0)
                if not begun and opening is not None:
                    book.opening(opening, event, recv)
                begun = True
                for found in block.events:
                    if not other(found.coin):
                        book.diff(found, event, recv)
            except InstrumentError as error:
                raise InputError(str(error), source=str(file.path), place=f"line {number}") from None
            if len(book.events) >= BATCH:
                yield _block(book)
    yield _block(book)
    run.unused("book diffs of orders that nobody has seen", book.unknown)
    if opening is None:
        run.report.problems.add(
            files[0].path.name, 0, "no_snapshot",
            f"{instrument.symbol}: no L4 snapshot among the files: the orders that rested before them are unknown, and "
            "so is the book",
        )  # fmt: skip
    if not book.executed:
        run.assume("no fills explain a diff: every order that got smaller or left was canceled or amended")


def _block(book: OrderBookDiffs) -> MessageBlock:
    table = np.array(book.events, np.int64).reshape(-1, 7)
    book.events.clear()
    has_row = table[:, 0] != ORDER_BOOK
    rows = table[has_row]
    levels = rows[:, 4].astype(np.uint8), rows[:, 5].astype(np.int32), rows[:, 6].astype(np.int32)
    recv = np.maximum.accumulate(np.maximum(table[:, 2], table[:, 1])) if len(table) else table[:, 2]
    return messages(table[:, 0].astype(np.uint8), table[:, 1], recv, table[:, 3], levels, has_row.astype(np.int64))


def _makers(files: Sequence[File], instrument: Instrument) -> dict[int, deque[int]]:
    """The executions of resting orders, by order id, in the order of the files."""
    lots = lots_parser(instrument)
    found: dict[int, deque[int]] = {}
    for file in files:
        if file.kind not in ("fills", "fill blocks"):
            continue
        for number, line in text_lines(file.path):
            one = decoded(file.path, number, line, SHAPES[file.kind])
            fills: list[Fill] = [one[1]] if file.kind == "fills" else [fill for _, fill in one.events]
            for fill in fills:
                if fill.coin == instrument.symbol and not fill.crossed:
                    try:
                        found.setdefault(fill.oid, deque(maxlen=FILLS_MAX)).append(lots(fill.sz))
                    except InstrumentError as error:
                        raise InputError(str(error), source=str(file.path), place=f"line {number}") from None
    return found


def _snapshot(files: Sequence[File], coin: str) -> tuple[int, list[_Resting] | None]:
    """The height and the resting orders of the L4 snapshot among the files, bids then asks, triggers left out."""
    paths = [file.path for file in files if file.kind == "snapshot"]
    if not paths:
        return -1, None
    if len(paths) > 1:
        raise InputError("is a second L4 snapshot: give one", source=str(paths[1]))
    with open_bytes(paths[0]) as stream:
        content = stream.read()
    shape = list[tuple[str, tuple[list[_Resting], list[_Resting]]]]
    try:
        head = msgspec.json.decode(content, type=list[msgspec.Raw])[0]
        if bytes(head).strip().isdigit():
            height, coins = msgspec.json.decode(content, type=tuple[int, shape])
        else:
            height, coins = -1, msgspec.json.decode(content, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, IndexError) as error:
        raise InputError(f"is no L4 snapshot: {error}", source=str(paths[0])) from None
    for name, (bids, asks) in coins:
        if name == coin:
            return height, [order for order in [*bids, *asks] if not order.isTrigger]
    raise InputError(f"has no book of {coin}", source=str(paths[0]))
