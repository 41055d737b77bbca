"""Importer of the CSV files of tardis.dev: what its recorders heard, a file a day, kind and symbol (or group of them).

    incremental_book_L2   levels as they changed; is_snapshot rows are a whole book
    book_snapshot_N       the best N levels at each change, as one row
    trades, liquidations, quotes (book_ticker), derivative_ticker

Source of the format: docs.tardis.dev, "Downloadable CSV files", data types. Times are microseconds, ``timestamp`` the
venue's and ``local_timestamp`` the recorder's. What becomes what, and what is taken for granted: docs/formats.md.
"""

from __future__ import annotations

import abc
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from matching.codes import BBO, BUY, DEPTH, FORCE, GAP_DISCONNECT, MARK, SELL, SNAPSHOT, TRADE
from matching.feed import I64
from recorders.blocks import MessageBlock
from recorders.formats.assembly import gap_message, ladder, messages, with_gaps
from recorders.formats.reading import Rates, Rows, Sample, csv_batches, e8, key_of, lots_parser, sample_of, ticks_parser
from recorders.formats.request import Request
from recorders.formats.running import Key, Run, Traits
from recorders.joining import DISCONNECT_NS
from recorders.report import ImportReport
from venues.errors import InputError
from venues.instruments import Instrument

US: Final = 1_000
SNAPSHOT_SPREAD_NS: Final = 1_000_000_000  # bids and asks of a snapshot that are further apart belong to two
VENUES: Final = {
    "binance-futures": "binance_usdm", "binance-delivery": "binance_coinm", "okex-swap": "okx", "okex-futures": "okx",
    "hyperliquid": "hyperliquid", "dydx-v4": "dydx", "deribit": "deribit",
}  # fmt: skip
COMMON: Final = ("exchange", "symbol", "timestamp", "local_timestamp")
BOOK: Final = (*COMMON, "is_snapshot", "side", "price", "amount")
PRINTS: Final = (*COMMON, "id", "side", "price", "amount")
QUOTES: Final = (*COMMON, "ask_amount", "ask_price", "bid_price", "bid_amount")
TICKER: Final = (*COMMON, "funding_timestamp", "funding_rate", "index_price", "mark_price")
_LEVEL: Final = re.compile(r"^(asks|bids)\[(\d+)\]\.(price|amount)$")
_OPTIONS: Final = frozenset({"strike_price", "underlying_index", "delta"})
BOOKS: Final = ("incremental_book_L2", "book_snapshot")


def venue_of(exchange: str, symbol: str) -> str:
    """Our name of an exchange as Tardis writes it; other exchanges keep their own. Bybit is two venues here: inverse
    contracts end in USD or in USD and an expiry."""
    if exchange == "bybit":
        return "bybit_inverse" if re.search(r"USD([FGHJKMNQUVXZ]\d\d)?$", symbol) else "bybit_linear"
    return VENUES.get(exchange, exchange)


def recognises(sample: Sample) -> bool:
    """A CSV whose columns begin as all of Tardis' do."""
    return sample.header[:4] == COMMON


@dataclass(slots=True)
class _File:
    """A file of one kind. ``first_us`` is the receive time of its first row."""

    path: Path
    kind: str
    columns: tuple[str, ...]
    key: Key
    first_us: int


def _open(path: Path, sample: Sample, run: Run) -> _File:
    header = sample.header
    if not recognises(sample):
        raise InputError(f"is no Tardis CSV: it has not the columns {', '.join(COMMON)}", source=str(path))
    lines = sample.head.decode("utf-8", "replace").splitlines()
    if len(lines) < 2:
        raise InputError("has no rows", source=str(path))
    first = dict(zip(header, (cell.strip() for cell in lines[1].split(",")), strict=False))
    local = first.get("local_timestamp", "")
    if not local.isdigit():
        raise InputError(f"{local[:40]!r} is no time", source=str(path), place="line 2", field="local_timestamp")
    kind, columns = _kind(path, header, run)
    symbol = run.request.symbol or first["symbol"]
    key = (venue_of(first["exchange"], symbol), symbol)
    return _File(path, kind, columns, key, int(local))


def _kind(path: Path, header: Sequence[str], run: Run) -> tuple[str, tuple[str, ...]]:
    levels = [name for name in header if _LEVEL.match(name)]
    if levels:
        ladders = {name.rpartition(".")[0] for name in levels}
        lacking = sorted({f"{one}.{what}" for one in ladders for what in ("price", "amount")} - set(levels))
        if lacking:
            raise InputError(f"has not the column {lacking[0]}", source=str(path), place="line 1")
        return "book_snapshot", (*COMMON, *levels)
    if set(BOOK) <= set(header):
        return "incremental_book_L2", BOOK
    if set(PRINTS) <= set(header):
        where = "/".join(path.parts[-6:]).lower()
        if "liquidations" in where:
            return "liquidations", PRINTS
        if "trades" not in where:
            run.assume(f"{path.name} is read as trades: trades and liquidations have the same columns, and neither its "
                       "name nor its folder says liquidations")  # fmt: skip
        return "trades", PRINTS
    if set(QUOTES) <= set(header):
        return "quotes", QUOTES
    if set(TICKER) <= set(header):
        return "derivative_ticker", TICKER
    what = "options are no perpetual futures" if _OPTIONS & set(header) else f"columns {', '.join(header)[:200]}"
    raise InputError(
        f"is none of incremental_book_L2, book_snapshot_N, trades, liquidations, quotes, derivative_ticker: {what}",
        source=str(path), place="line 1",
    )  # fmt: skip


def import_tardis(request: Request) -> ImportReport:
    """Import Tardis CSV files, any kinds, days and symbols together. Raises ``InputError``."""
    run = Run(request, Traits(clocked=True))
    files = [_open(path, sample_of(path), run) for path in request.files]
    for key in {file.key for file in files}:
        books = {file.kind for file in files if file.key == key} & set(BOOKS)
        if len(books) == 2:
            raise InputError(
                f"{key[1]} has two kinds of order book, incremental_book_L2 and book_snapshot_N: import one of them",
                source="data import",
            )
    run.traits.asked = not any(file.kind == "book_snapshot" for file in files)
    files.sort(key=lambda file: file.first_us)
    for file in files:
        _offer(run, files, file.key, file.kind)
    return run.go()


def _offer(run: Run, files: list[_File], key: Key, kind: str) -> None:
    """All files of a kind that may hold an instrument, one after the other, as one part of it."""

    def stream(instrument: Instrument) -> Iterator[MessageBlock]:
        reader = _READERS[kind](instrument)
        for file in files:
            if file.kind == kind:
                for rows in csv_batches(file.path, file.columns):
                    mine = _of_key(run, files, rows, key, kind)
                    if len(mine):
                        yield from reader.take(mine)
        yield from reader.end()
        reader.tell(run)

    run.offer(key, kind, stream)


def _of_key(run: Run, files: list[_File], rows: Rows, key: Key, kind: str) -> Rows:
    """The rows of an instrument; others are offered as parts of their own."""
    symbols, which = rows.unique("symbol")
    exchanges, where = rows.unique("exchange")
    if len(symbols) == len(exchanges) == 1 and (venue_of(exchanges[0], symbols[0]), symbols[0]) == key:
        return rows
    mine = np.zeros(len(rows), np.bool_)
    for k, symbol in enumerate(symbols):
        for n, exchange in enumerate(exchanges):
            found = (which == k) & (where == n)
            if not found.any():
                continue
            other = (venue_of(exchange, symbol), symbol)
            if other == key:
                mine |= found
            elif run.request.symbol not in (None, symbol):
                run.unused(f"{symbol} {kind}", int(found.sum()))
            else:
                _offer(run, files, other, kind)
    return rows.only(mine)


# -- readers: rows of one instrument and kind to messages


class _Reader(abc.ABC):
    """``take`` batches of rows in the order of the files, then ``end``; ``tell`` what else there is to say."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.ticks = ticks_parser(instrument)
        self.lots = lots_parser(instrument)

    @abc.abstractmethod
    def take(self, rows: Rows) -> Iterator[MessageBlock]:
        """The messages of some rows, as far as they are complete."""

    def end(self) -> Iterator[MessageBlock]:
        return iter(())

    def tell(self, run: Run) -> None:  # noqa: B027  # most have nothing to say
        """Count what was left out."""


def _times(rows: Rows) -> tuple[I64, I64]:
    """Venue and receive times in ns; a venue that says none has the receive time."""
    local = rows.times("local_timestamp", US)
    event = rows.times("timestamp", US, missing=0)
    return np.where(event == 0, local, event), local


class _Prints(_Reader):
    """Trades, or liquidation orders: side buy is a buyer who takes, of a liquidation the order that closes a short."""

    kind = TRADE

    def __init__(self, instrument: Instrument) -> None:
        super().__init__(instrument)
        self.sideless = 0

    def take(self, rows: Rows) -> Iterator[MessageBlock]:
        known = rows.choice("side", {"buy": 1, "sell": 1, "unknown": 0}) == 1
        self.sideless += int((~known).sum())
        rows = rows.only(known)
        event, local = _times(rows)
        side = rows.choice("side", {"buy": BUY, "sell": SELL})
        lots = rows.parsed("amount", self.lots)
        yield messages(
            self.kind, event, local, rows.parsed("id", key_of, missing=0),
            (side.astype(np.uint8), rows.parsed("price", self.price).astype(np.int32), lots.astype(np.int32)),
        )  # fmt: skip

    def price(self, text: str) -> int:
        return self.ticks(text)

    def tell(self, run: Run) -> None:
        run.unused("prints whose side the venue did not tell", self.sideless)


class _Liquidations(_Prints):
    """The price may be a bankruptcy price off the grid: the nearest one below it is taken."""

    kind = FORCE

    def price(self, text: str) -> int:
        return self.instrument.ticks_at_most(e8(text))


class _Quotes(_Reader):
    """Best bid and ask; an empty side has no row."""

    def take(self, rows: Rows) -> Iterator[MessageBlock]:
        event, local = _times(rows)
        yield ladder(
            BBO, event, local, event - 1,
            [rows.parsed("bid_price", self.ticks, 0), rows.parsed("ask_price", self.ticks, 0)],
            [rows.parsed("bid_amount", self.lots, 0), rows.parsed("ask_amount", self.lots, 0)],
            [BUY, SELL],
        )  # fmt: skip


class _Depth(_Reader):
    """``book_snapshot_N``: every row is the whole book as far as it is told."""

    def take(self, rows: Rows) -> Iterator[MessageBlock]:
        event, local = _times(rows)
        names = sorted(
            {match.groups()[:2] for match in map(_LEVEL.match, rows.columns) if match},
            key=lambda name: (name[0] == "asks", int(name[1])),
        )
        yield ladder(
            SNAPSHOT, event, local, event,
            [rows.parsed(f"{side}[{level}].price", self.ticks, 0) for side, level in names],
            [rows.parsed(f"{side}[{level}].amount", self.lots, 0) for side, level in names],
            [SELL if side == "asks" else BUY for side, _ in names],
        )  # fmt: skip


class _Ticker(_Reader):
    """Mark, index, rate and funding time: a MARK where one of them changed. Rows without a mark say nothing here."""

    def __init__(self, instrument: Instrument) -> None:
        super().__init__(instrument)
        self.rates = Rates()
        self.last: I64 = np.zeros(4, np.int64)
        self.without = 0

    def take(self, rows: Rows) -> Iterator[MessageBlock]:
        event, local = _times(rows)
        aux = np.stack(
            (
                rows.parsed("mark_price", e8, 0),
                rows.parsed("index_price", e8, 0),
                rows.parsed("funding_rate", self.rates, 0),
                rows.times("funding_timestamp", US, missing=0),
            ),
            1,
        )
        self.without += int((aux[:, 0] == 0).sum())
        before = np.concatenate((self.last[None], aux[:-1]))
        told = np.flatnonzero((aux != before).any(1) & (aux[:, 0] > 0))
        self.last = aux[-1]
        yield messages(MARK, event[told], local[told], np.arange(len(told)), aux=aux[told])

    def tell(self, run: Run) -> None:
        run.unused("derivative_ticker rows without a mark price", self.without)
        if self.rates.rounded:
            run.assume(f"{self.rates.rounded} funding rates had more than 12 decimals and were rounded to 1e-12")


class _Book(_Reader):
    """``incremental_book_L2``: rows of equal times are a message. Snapshots may follow each other without a change
    between them (every message of Hyperliquid is one), so a SNAPSHOT is the rows of equal times too, or those of one
    side and then of the other."""

    def __init__(self, instrument: Instrument) -> None:
        super().__init__(instrument)
        self.held: list[tuple[I64, ...]] = []
        self.known = False
        self.early = 0
        self.last = (0, 0)  # venue and receive time of the last message

    def take(self, rows: Rows) -> Iterator[MessageBlock]:
        event, local = _times(rows)
        new = (
            event, local,
            rows.choice("is_snapshot", {"true": 1, "false": 0, "True": 1, "False": 0}),
            rows.choice("side", {"bid": BUY, "ask": SELL}),
            rows.parsed("price", self.ticks),
            rows.parsed("amount", self.lots),
        )  # fmt: skip
        columns = tuple(np.concatenate(parts) for parts in zip(*self.held, new, strict=True)) if self.held else new
        first = self._first(columns)
        cut = int(first[-1])  # the last message may go on in the next batch
        self.held = [tuple(column[cut:] for column in columns)]
        if cut:
            yield from self._blocks(tuple(column[:cut] for column in columns), first[:-1])

    def end(self) -> Iterator[MessageBlock]:
        if self.held:
            (columns,) = self.held
            yield from self._blocks(columns, self._first(columns))

    @staticmethod
    def _first(columns: tuple[I64, ...]) -> I64:
        """The first rows of the messages."""
        event, local, whole, side = columns[:4]
        changed = (event[1:] != event[:-1]) | (local[1:] != local[:-1]) | (whole[1:] != whole[:-1])
        first = np.flatnonzero(np.concatenate((np.ones(1, np.bool_), changed)))
        sides = np.bitwise_or.reduceat(1 << side, first)
        whole, local = whole[first] == 1, local[first]
        other = whole[1:] & whole[:-1] & ((sides[1:] & sides[:-1]) == 0)
        other &= np.abs(np.diff(local)) <= SNAPSHOT_SPREAD_NS
        own = np.ones(len(first), np.bool_)
        for at in (np.flatnonzero(other) + 1).tolist():
            own[at] = not own[at - 1]
        return first[own]

    def _blocks(self, columns: tuple[I64, ...], first: I64) -> Iterator[MessageBlock]:
        event, local, whole, side, ticks, lots = columns
        ends = np.append(first[1:], len(event))
        kind = np.where(whole[first] == 1, SNAPSHOT, DEPTH).astype(np.uint8)
        when, received = np.maximum.reduceat(event, first), local[ends - 1]
        rows = (side.astype(np.uint8), ticks.astype(np.int32), lots.astype(np.int32))
        block = messages(kind, when, received, when, rows, ends - first)
        if not self.known:
            start = int(np.argmax(kind == SNAPSHOT)) if (kind == SNAPSHOT).any() else len(kind)
            self.early += start
            self.known = start < len(kind)
            block = block.cut(start, len(block))
        if len(block):
            yield from self._with_gaps(block)

    def _with_gaps(self, block: MessageBlock) -> Iterator[MessageBlock]:
        """A GAP before each snapshot that follows a silence: the recorder was away."""
        recv = np.concatenate(([self.last[1] or block.ts_recv[0]], block.ts_recv))
        event = np.concatenate(([self.last[0] or block.ts_event[0]], block.ts_event))
        back = np.flatnonzero((block.kind == SNAPSHOT) & (np.diff(recv) >= DISCONNECT_NS)).tolist()
        gaps = []
        for place in back:
            span = max(0, int(event[place + 1] - event[place]))
            gap = gap_message(GAP_DISCONNECT, int(event[place]), int(block.ts_recv[place]), 0, 0, span)
            gaps.append((place, gap))
        self.last = int(event[-1]), int(recv[-1])
        yield with_gaps(block, gaps)

    def tell(self, run: Run) -> None:
        run.unused("incremental_book_L2 messages before the first snapshot", self.early)
        if not self.known:
            run.report.problems.add(
                run.sources[0].name, 0, "no_snapshot", f"{self.instrument.symbol}: no snapshot: no book can be made"
            )


_READERS: Final[dict[str, Callable[[Instrument], Any]]] = {
    "incremental_book_L2": _Book,
    "book_snapshot": _Depth,
    "trades": _Prints,
    "liquidations": _Liquidations,
    "quotes": _Quotes,
    "derivative_ticker": _Ticker,
}
