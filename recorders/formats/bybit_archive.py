"""Importer of Bybit's public archives: trades (public.bybit.com/trading) and order books of 500 levels (``ob500``).

    trades     CSV: timestamp symbol side size price tickDirection trdMatchID ...; seconds with a fraction
    ob500      zip of JSON lines {topic, type, ts, data {s, b, a, u, seq}, cts}: a snapshot, then changes of levels

Neither has receive times. ``ts`` is when the venue sent a message, ``cts`` when its engine made it, both ms. Old trade
files stand newest first; they are turned round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from matching.codes import BUY, DEPTH, SELL, SNAPSHOT, TRADE
from matching.feed import I64
from recorders.blocks import MessageBlock, join
from recorders.formats.assembly import messages
from recorders.formats.chain import Chain
from recorders.formats.reading import (
    FIRST_NS,
    Rows,
    Sample,
    csv_batches,
    key_of,
    lots_parser,
    sample_of,
    text_lines,
    ticks_parser,
)
from recorders.formats.request import Request
from recorders.formats.running import Key, Run, Traits
from recorders.formats.tardis import venue_of
from recorders.lines import LAST_NS
from recorders.report import ImportReport
from venues.errors import InputError, InstrumentError
from venues.instruments import Instrument, scaled_from_str

MS: Final = 1_000_000
TRADES: Final = ("timestamp", "symbol", "side", "size", "price", "trdMatchID")
BATCH_ROWS: Final = 1 << 18


class _Data(msgspec.Struct, gc=False):
    s: str
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]
    u: int


class _Line(msgspec.Struct, gc=False):
    topic: str
    type: str
    ts: int
    data: _Data
    cts: int = 0


def recognises(sample: Sample) -> bool:
    """A CSV with the columns of trades, or JSON lines of an order book topic."""
    return set(TRADES) <= set(sample.header) or sample.head.lstrip().startswith(b'{"topic":"orderbook.')


@dataclass(slots=True)
class _File:
    path: Path
    kind: str
    key: Key
    first_ns: int


def _open(path: Path, request: Request) -> _File:
    sample = sample_of(path)
    if sample.head.lstrip()[:1] == b"{":
        number, line = next(text_lines(path))
        found = _decoded(path, number, line)
        symbol = found.data.s
        return _File(path, "ob500", (venue_of("bybit", symbol), symbol), found.ts * MS)
    for rows in csv_batches(path, TRADES):
        (symbol, *_), _ = rows.unique("symbol")
        return _File(path, "trades", (venue_of("bybit", symbol), symbol), int(_seconds(rows).min()))
    raise InputError("has no rows", source=str(path))


def import_bybit_archive(request: Request) -> ImportReport:
    """Import archive files, both kinds and any days together. Raises ``InputError``."""
    run = Run(request, Traits(clocked=False))
    files = sorted((_open(path, request) for path in request.files), key=lambda file: file.first_ns)
    for file in files:
        key = (request.venue or file.key[0], file.key[1])
        run.offer(key, file.kind, _maker(run, files, key, file.kind))
    run.assume_receipt()
    return run.go()


def _maker(run: Run, files: Sequence[_File], key: Key, kind: str) -> Callable[[Instrument], Iterator[MessageBlock]]:
    def stream(instrument: Instrument) -> Iterator[MessageBlock]:
        mine = [file.path for file in files if file.kind == kind and file.key[1] == key[1]]
        yield from _books(run, mine, instrument) if kind == "ob500" else _trades(run, mine, instrument)

    return stream


# -- trades


def _seconds(rows: Rows) -> I64:
    found = rows.parsed("timestamp", lambda text: scaled_from_str(text, 9))
    rows.require((found >= FIRST_NS) & (found <= LAST_NS), "timestamp", "is no time of this century in seconds")
    return found


def _trades(run: Run, paths: Sequence[Path], instrument: Instrument) -> Iterator[MessageBlock]:
    ticks, lots = ticks_parser(instrument), lots_parser(instrument)
    for path in paths:
        turned: list[MessageBlock] = []
        backwards = None
        for rows in csv_batches(path, TRADES):
            rows.choice("symbol", {instrument.symbol: 1})
            event = _seconds(rows)
            if backwards is None:
                backwards = bool(event[0] > event[-1])
            side = rows.choice("side", {"Buy": BUY, "Sell": SELL}).astype(np.uint8)
            prices, sizes = rows.parsed("price", ticks), rows.parsed("size", lots)
            levels = (side, prices.astype(np.int32), sizes.astype(np.int32))
            block = messages(TRADE, event, run.receipt(event), rows.parsed("trdMatchID", key_of), levels)
            if backwards:
                turned.append(block)
            else:
                yield block
        if turned:
            whole = join(turned)
            yield whole.take(np.arange(len(whole))[::-1].copy())


# -- books


def _decoded(path: Path, number: int, line: bytes) -> _Line:
    try:
        return msgspec.json.decode(line, type=_Line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"is no order book message: {error}", source=str(path), place=f"line {number}") from None


class _Levels:
    """Messages being collected into a block."""

    def __init__(self, run: Run, instrument: Instrument) -> None:
        self.run = run
        self.ticks, self.lots = ticks_parser(instrument), lots_parser(instrument)
        self._clear()

    def _clear(self) -> None:
        self.kind: list[int] = []
        self.event: list[int] = []
        self.sent: list[int] = []
        self.update: list[int] = []
        self.counts: list[int] = []
        self.side = bytearray()
        self.px: list[int] = []
        self.qty: list[int] = []

    def add(self, found: _Line) -> None:
        data = found.data
        self.px += [self.ticks(level[0]) for levels in (data.b, data.a) for level in levels]
        self.qty += [self.lots(level[1]) for levels in (data.b, data.a) for level in levels]
        self.side += bytes([BUY]) * len(data.b) + bytes([SELL]) * len(data.a)
        self.counts.append(len(data.b) + len(data.a))
        self.kind.append(SNAPSHOT if found.type == "snapshot" else DEPTH)
        self.event.append((found.cts or found.ts) * MS)
        self.sent.append(max(found.cts, found.ts) * MS)
        self.update.append(data.u)

    def block(self, chain: Chain) -> MessageBlock:
        update = np.array(self.update, np.int64)
        levels = np.frombuffer(bytes(self.side), np.uint8), np.array(self.px, np.int32), np.array(self.qty, np.int32)
        made = messages(
            np.array(self.kind, np.uint8), np.array(self.event, np.int64),
            self.run.receipt(np.array(self.sent, np.int64)), update, levels, np.array(self.counts, np.int64),
        )  # fmt: skip
        self._clear()
        return chain.take(made, update, update, update - 1)


def _books(run: Run, paths: Sequence[Path], instrument: Instrument) -> Iterator[MessageBlock]:
    chain, levels = Chain(in_stream=True), _Levels(run, instrument)
    for path in paths:
        for number, line in text_lines(path):
            found = _decoded(path, number, line)
            why, field = "", "data"
            if found.data.s != instrument.symbol:
                why, field = f"{found.data.s[:40]!r} is another symbol than {instrument.symbol}", "s"
            elif found.type not in ("snapshot", "delta"):
                why, field = f"{found.type[:40]!r} is neither snapshot nor delta", "type"
            elif not (FIRST_NS <= found.ts * MS <= LAST_NS and 0 <= found.cts * MS <= LAST_NS):
                why, field = "is no time of this century in ms", "ts"
            elif not 0 <= found.data.u < 1 << 62:
                why, field = "is no update id", "u"
            else:
                try:
                    levels.add(found)
                except InstrumentError as error:
                    why, field = str(error), "b or a"
            if why:
                raise InputError(why, source=str(path), place=f"line {number}", field=field)
            if len(levels.px) >= BATCH_ROWS:
                yield levels.block(chain)
    yield levels.block(chain)
    run.unused("order book changes that no snapshot precedes", chain.early)
    run.unused("order book messages that were there before", chain.again)
