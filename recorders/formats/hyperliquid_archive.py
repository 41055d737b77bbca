"""Importer of Hyperliquid's archives: books of levels, prints, and the changes of single orders (L3).

    l2Book      lines {time, ver_num, raw {channel, data {coin, time, levels}}}: the whole book (20 levels a side)
    trades      node_trades lines {coin, side, time, px, sz, side_info ...}
    fills       node_fills lines [user, fill], or blocks {local_time, block_time, block_number, events [[user, fill]]}
    diffs       node_raw_book_diffs blocks, events {oid, coin, side, px, raw_book_diff}; with them an L4 snapshot
                [[coin, [bids, asks]]] or [height, [[coin, [bids, asks]]]]

Sources: Hyperliquid's documentation ("Historical data", "L1 data schemas"). Times without zone are UTC; block times are
the venue's, ``time`` of an l2Book line and ``local_time`` are of the clock that wrote them down. Single orders are
``recorders.formats.hyperliquid_orders``.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from matching.codes import BUY, OFFBOOK, SELL, SNAPSHOT, TRADE
from recorders.blocks import MessageBlock
from recorders.formats.assembly import messages
from recorders.formats.reading import FIRST_NS, Sample, key_of, lots_parser, sample_of, text_lines, ticks_parser
from recorders.formats.request import Request
from recorders.formats.running import Key, Run, Traits
from recorders.lines import LAST_NS
from recorders.report import ImportReport
from venues.errors import InputError, InstrumentError
from venues.instruments import Instrument

MS: Final = 1_000_000
VENUE: Final = "hyperliquid"
BATCH: Final = 1 << 17
SIDES: Final = {"B": BUY, "A": SELL, "Bid": BUY, "Ask": SELL}
DELEVERAGING: Final = "Auto-Deleveraging"


class _Level(msgspec.Struct, gc=False):
    px: str
    sz: str


class _BookData(msgspec.Struct, gc=False):
    coin: str
    time: int
    levels: tuple[list[_Level], list[_Level]]


class _Raw(msgspec.Struct, gc=False):
    channel: str
    data: _BookData


class _Book(msgspec.Struct, gc=False):
    time: str
    raw: _Raw


class _Side(msgspec.Struct, gc=False):
    oid: int


class _Trade(msgspec.Struct, gc=False):
    coin: str
    side: str
    time: str
    px: str
    sz: str
    side_info: tuple[_Side, _Side]


class Fill(msgspec.Struct, gc=False):
    """One side of a trade; the taker's has ``crossed``."""

    coin: str
    px: str
    sz: str
    side: str
    time: int
    oid: int
    crossed: bool
    tid: int
    dir: str = ""


class _FillBlock(msgspec.Struct, gc=False):
    local_time: str
    block_time: str
    events: list[tuple[str, Fill]]


class Diff(msgspec.Struct, gc=False):
    """A change of a resting order: "remove", or {"new": {sz}}, or {"update": {origSz, newSz}}."""

    oid: int
    coin: str
    side: str
    px: str
    raw_book_diff: Any


class DiffBlock(msgspec.Struct, gc=False):
    local_time: str
    block_time: str
    block_number: int
    events: list[Diff]


SHAPES: Final[dict[str, Any]] = {
    "l2Book": _Book, "trades": _Trade, "fills": tuple[str, Fill], "fill blocks": _FillBlock, "diffs": DiffBlock,
}  # fmt: skip
_MARKS: Final = (
    ("l2Book", (b'"ver_num"', b'"l2Book"')),
    ("trades", (b'"side_info"',)),
    ("diffs", (b'"raw_book_diff"', b'"block_number"')),
    ("fill blocks", (b'"crossed"', b'"block_number"')),
    ("fills", (b'"crossed"', b'"tid"')),
)


def recognises(sample: Sample) -> bool:
    """JSON lines with the names that only these have."""
    return _kind_of(sample.head) != ""


def _kind_of(head: bytes) -> str:
    if head.lstrip()[:1] not in (b"{", b"["):
        return ""
    if b'"limitPx"' in head and b'"origSz"' in head and head.lstrip()[:1] == b"[":
        return "snapshot"
    return next((kind for kind, marks in _MARKS if all(mark in head for mark in marks)), "")


def decoded(path: Path, number: int, line: bytes, shape: Any) -> Any:
    """A line as a shape, or an ``InputError`` that names it."""
    try:
        return msgspec.json.decode(line, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"is not as expected: {error}", source=str(path), place=f"line {number}") from None


@lru_cache(maxsize=4096)
def _second_ns(text: str) -> int:
    when = datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)
    since = when - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000


def iso_ns(text: str) -> int:
    """A time such as 2023-09-16T09:00:00.540678123 in ns UTC. Raises ``InstrumentError``."""
    second, _, fraction = text.removesuffix("Z").partition(".")
    try:
        if len(second) != 19 or (fraction and not (fraction.isascii() and fraction.isdigit())) or len(fraction) > 9:
            raise ValueError(text)
        found = _second_ns(second) + int(fraction.ljust(9, "0") if fraction else 0)
    except ValueError:
        raise InstrumentError(f"{text[:40]!r} is no time such as 2023-09-16T09:00:00.540678") from None
    return checked_ns(found)


def checked_ns(ts_ns: int) -> int:
    """A time that can be one. Raises ``InstrumentError``."""
    if not FIRST_NS <= ts_ns <= LAST_NS:
        raise InstrumentError(f"{ts_ns} is no time of this century")
    return ts_ns


@dataclass(slots=True)
class File:
    """A file of one kind; ``first`` puts files of a kind in order."""

    path: Path
    kind: str
    coin: str
    first: str


def _open(path: Path) -> File:
    sample = sample_of(path)
    kind = _kind_of(sample.head)
    if not kind:
        looked = "l2Book, node_trades, node_fills, node_raw_book_diffs by block, or an L4 snapshot"
        raise InputError(f"has no lines of {looked}", source=str(path))
    if kind == "snapshot":
        return File(path, kind, "", "")
    for number, line in text_lines(path):
        found = decoded(path, number, line, SHAPES[kind])
        for coin, when in _coins(kind, found):
            return File(path, kind, coin, when)
    raise InputError("has no events", source=str(path))


def _coins(kind: str, found: Any) -> Iterator[tuple[str, str]]:
    if kind == "l2Book":
        yield found.raw.data.coin, found.time
    elif kind == "trades":
        yield found.coin, found.time
    elif kind == "fills":
        yield found[1].coin, f"{found[1].time:020d}"
    else:
        for event in found.events:
            yield (event if kind == "diffs" else event[1]).coin, found.block_time


def import_hyperliquid_archive(request: Request) -> ImportReport:
    """Import archive files, any kinds and hours together. Raises ``InputError``."""
    from recorders.formats.hyperliquid_orders import orders

    files = sorted((_open(path) for path in request.files), key=lambda file: file.first)
    kinds = {file.kind for file in files}
    if {"l2Book", "diffs"} <= kinds:
        raise InputError(
            "l2Book lines and book diffs are two books of one market: import one of them", source="data import"
        )
    received = not kinds & {"trades", "fills"}
    run = Run(request, Traits(clocked=received, asked=False))
    if received:
        run.assume("times of receipt are those of the clock that wrote the lines (l2Book: time; blocks: local_time)")
    else:
        run.assume_receipt()
    if kinds & {"fills", "fill blocks"}:
        run.assume("the fill that crossed is the trade, its side the aggressor's; deleveraging meets no book (OFFBOOK)")
    for file in files:
        for kind in ("l2Book", "prints", "diffs"):
            if kind == _part(file.kind):
                coin = request.symbol or file.coin
                _offer(run, files, (request.venue or VENUE, coin), kind, orders)
    return run.go()


def _part(kind: str) -> str:
    return "prints" if kind in ("trades", "fills", "fill blocks") else kind


Orders = Callable[[Run, Sequence[File], Instrument, Callable[[str], bool]], Iterator[MessageBlock]]


def _offer(run: Run, files: Sequence[File], key: Key, part: str, orders: Orders) -> None:
    """All files of a part that may hold a coin."""
    mine = [file for file in files if _part(file.kind) == part]

    def other(coin: str) -> bool:
        """Whether a coin is another one than this part's; if so it gets a part of its own."""
        if coin == key[1]:
            return False
        if run.request.symbol is None:
            _offer(run, files, (key[0], coin), part, orders)
        return True

    def stream(instrument: Instrument) -> Iterator[MessageBlock]:
        if part == "l2Book":
            yield from _books(run, mine, instrument, other)
        elif part == "prints":
            yield from _prints(run, mine, instrument, other)
        else:
            yield from orders(run, files, instrument, other)

    run.offer(key, part, stream)


def _books(
    run: Run, files: Sequence[File], instrument: Instrument, other: Callable[[str], bool]
) -> Iterator[MessageBlock]:
    """Every line is the whole book."""
    ticks, lots = ticks_parser(instrument), lots_parser(instrument)
    times: list[tuple[int, int]] = []
    rows: list[tuple[int, int, int]] = []
    counts: list[int] = []

    def block() -> MessageBlock:
        table, when = np.array(rows, np.int64).reshape(-1, 3), np.array(times, np.int64).reshape(-1, 2)
        levels = table[:, 0].astype(np.uint8), table[:, 1].astype(np.int32), table[:, 2].astype(np.int32)
        made = messages(SNAPSHOT, when[:, 0], when[:, 1], when[:, 0], levels, np.array(counts, np.int64))
        for collected in (times, rows, counts):
            collected.clear()
        return made

    for path, number, found in _lines(files):
        data = found.raw.data
        if other(data.coin):
            continue
        try:
            times.append((checked_ns(data.time * MS), iso_ns(found.time)))
            before = len(rows)
            for side, levels in zip((BUY, SELL), data.levels, strict=True):
                rows.extend((side, ticks(level.px), lots(level.sz)) for level in levels)
        except InstrumentError as error:
            raise InputError(str(error), source=str(path), place=f"line {number}") from None
        counts.append(len(rows) - before)
        if len(rows) >= BATCH:
            yield block()
    yield block()


def _lines(files: Sequence[File]) -> Iterator[tuple[Path, int, Any]]:
    for file in files:
        for number, line in text_lines(file.path):
            yield file.path, number, decoded(file.path, number, line, SHAPES[file.kind])


Print = tuple[int, int, int, int, int, int, int]  # kind, venue ns, receipt ns, id, side, ticks, lots


def _prints(
    run: Run, files: Sequence[File], instrument: Instrument, other: Callable[[str], bool]
) -> Iterator[MessageBlock]:
    """Trades, from either form."""
    ticks, lots = ticks_parser(instrument), lots_parser(instrument)
    latency = run.request.latency_ns or 0
    found: list[Print] = []

    def tell(kind: int, event: int, recv: int, ref: int, side: str, px: str, sz: str) -> None:
        if side not in SIDES:
            raise InstrumentError(f"side {side[:10]!r} is neither B nor A")
        if not 0 <= ref < 1 << 62:
            raise InstrumentError(f"{ref} is no trade id")
        found.append((kind, event, recv, ref, SIDES[side], ticks(px), lots(sz)))

    def fill(one: Fill, recv: int | None) -> None:
        if one.crossed and not other(one.coin):
            event = checked_ns(one.time * MS)
            kind = OFFBOOK if one.dir == DELEVERAGING else TRADE
            tell(kind, event, event + latency if recv is None else recv, one.tid, one.side, one.px, one.sz)

    for path, number, line in _lines(files):
        try:
            if isinstance(line, _Trade):
                if not other(line.coin):
                    event = iso_ns(line.time)
                    oids = f"{line.side_info[0].oid}:{line.side_info[1].oid}"
                    ref = key_of(f"{line.time}:{oids}:{line.px}:{line.sz}")
                    tell(TRADE, event, event + latency, ref, line.side, line.px, line.sz)
            elif isinstance(line, _FillBlock):
                recv = iso_ns(line.local_time) if run.traits.clocked else None
                for _, one in line.events:
                    fill(one, recv)
            else:
                fill(line[1], None)
        except InstrumentError as error:
            raise InputError(str(error), source=str(path), place=f"line {number}") from None
        if len(found) >= BATCH:
            yield _block(found)
            found.clear()
    yield _block(found)


def _block(found: Sequence[Print]) -> MessageBlock:
    table = np.array(found, np.int64).reshape(-1, 7)
    levels = table[:, 4].astype(np.uint8), table[:, 5].astype(np.int32), table[:, 6].astype(np.int32)
    return messages(table[:, 0].astype(np.uint8), table[:, 1], table[:, 2], table[:, 3], levels)
