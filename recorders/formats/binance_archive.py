"""Importer of Binance's public archive of futures data (data.binance.vision), zip or CSV, with or without header.

    aggTrades trades bookTicker markPriceKlines indexPriceKlines fundingRate liquidationSnapshot
    and the depth history: symbol timestamp first_update_id last_update_id side update_type price qty pu

The files name their symbol and kind in their name (BTCUSDT-aggTrades-2023-11-15.zip), the klines their kind only in
the folder that the archive keeps them in. They have no receive times. Sources: github.com/binance/binance-public-data
and the headers of the files. What cannot be used is refused with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from matching.codes import BBO, BUY, DEPTH, FORCE, FUNDING, MARK, SELL, SNAPSHOT, TRADE
from matching.feed import I64
from recorders.blocks import MessageBlock, join
from recorders.captures import venue_of
from recorders.formats.assembly import ladder, messages
from recorders.formats.chain import Chain
from recorders.formats.reading import Rates, Rows, Sample, csv_batches, e8, lots_parser, sample_of, ticks_parser
from recorders.formats.request import Request
from recorders.formats.running import Key, Run, Traits
from recorders.report import ImportReport
from recorders.spool import AGGREGATE
from recorders.tables import JITTER_NS
from venues.errors import InputError
from venues.instruments import Instrument

MS: Final = 1_000_000
HOUR_NS: Final = 3_600_000_000_000
KLINE: Final = (
    "open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "count", "taker_buy_volume",
    "taker_buy_quote_volume", "ignore",
)  # fmt: skip
COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "aggTrades": (
        "agg_trade_id", "price", "quantity", "first_trade_id", "last_trade_id", "transact_time", "is_buyer_maker",
    ),
    "trades": ("id", "price", "qty", "quote_qty", "time", "is_buyer_maker"),
    "bookTicker": (
        "update_id", "best_bid_price", "best_bid_qty", "best_ask_price", "best_ask_qty", "transaction_time",
        "event_time",
    ),
    "bookDepth": ("timestamp", "percentage", "depth", "notional"),
    "fundingRate": ("calc_time", "funding_interval_hours", "last_funding_rate"),
    "liquidationSnapshot": (
        "time", "side", "order_type", "time_in_force", "original_quantity", "price", "average_price", "order_status",
        "last_fill_quantity", "accumulated_fill_quantity",
    ),
    "metrics": ("create_time", "symbol", "sum_open_interest", "sum_open_interest_value"),
    "depth": (
        "symbol", "timestamp", "first_update_id", "last_update_id", "side", "update_type", "price", "qty", "pu",
    ),
    "klines": KLINE,
}  # fmt: skip
NEEDED: Final[dict[str, tuple[str, ...]]] = {
    **COLUMNS, "trades": ("id", "price", "qty", "time", "is_buyer_maker"),
    "klines": ("open_time", "close", "close_time"), "fundingRate": ("calc_time", "last_funding_rate"),
}  # fmt: skip
KLINES: Final = ("markPriceKlines", "indexPriceKlines", "premiumIndexKlines", "klines")
REFUSED: Final = {
    "bookDepth": "bookDepth says how much lies within some percent of the price, not at which prices: no order book "
    "can be made of it",
    "metrics": "metrics are open interest and ratios of accounts: no simulation takes them in",
    "premiumIndexKlines": "a premium index is no price and no rate that anybody is charged: a run takes funding rates "
    "(funding = FILE, or fundingRate files imported)",
    "klines": "candles of trades tell no trades: aggTrades and trades files do. Candles of marks are recognised by the "
    "archive's folder, markPriceKlines or indexPriceKlines, in their path",
}
NAME: Final = re.compile(
    r"^([A-Z0-9]+(?:_[A-Z0-9]+)?)-"
    r"(aggTrades|trades|bookTicker|bookDepth|fundingRate|liquidationSnapshot|metrics|\d+[smhdw]|1mo)"
    r"-\d{4}-\d\d(?:-\d\d)?\.(?:zip|csv|csv\.gz)$"
)


def recognises(sample: Sample) -> bool:
    """A header of the archive, or no header and a name of the archive."""
    return _kind_of(sample) != ""


def _kind_of(sample: Sample) -> str:
    header = sample.header
    for kind, needed in NEEDED.items():
        if set(needed) <= set(header):
            return kind
    named = NAME.match(sample.path.name)
    if named is None or not (header and header[0][:1].isdigit()):
        return ""
    return named.group(2) if named.group(2) in COLUMNS else "klines"


@dataclass(slots=True)
class _File:
    path: Path
    kind: str
    key: Key
    first: int  # a number by which the files of a kind are put in order
    begins_whole: bool  # a depth file that begins with a snapshot

    def rows(self) -> Iterator[Rows]:
        shape = "klines" if self.kind in KLINES else self.kind
        return csv_batches(self.path, NEEDED[shape], COLUMNS[shape])

    def only_snapshots(self) -> bool:
        """Whether a depth file has snapshots and nothing else."""
        return self.begins_whole and all(set(rows.unique("update_type")[0]) == {"snap"} for rows in self.rows())


def _open(path: Path, request: Request) -> _File:
    sample = sample_of(path)
    kind = _kind_of(sample)
    if not kind:
        raise InputError("is no file of Binance's archive: neither its header nor its name says so", source=str(path))
    if kind == "klines":
        kind = next((name for name in KLINES if name in path.absolute().parts), "klines")
    if kind in REFUSED:
        raise InputError(f"is refused: {REFUSED[kind]}", source=str(path))
    if "spot" in path.absolute().parts:
        raise InputError(
            "is of Binance's spot markets; perpetual futures are in futures/um and futures/cm", source=str(path)
        )
    named = NAME.match(path.name)
    lines = sample.head.decode("utf-8", "replace").splitlines()
    columns = sample.header if set(NEEDED.get(kind, NEEDED["klines"])) <= set(sample.header) else ()
    data = lines[1 if columns else 0].split(",") if len(lines) > bool(columns) else []
    cells = dict(zip(columns or COLUMNS["klines" if kind in KLINES else kind], data, strict=False))
    symbol = cells.get("symbol") or (named.group(1) if named else "") or request.symbol or ""
    if not symbol:
        raise InputError("names no symbol: give --symbol, or the archive's file name", source=str(path))
    text = next((cells[name] for name in _ORDER if cells.get(name, "").isdigit()), "")
    if not text:
        raise InputError("has no rows", source=str(path))
    folder = {"um": "binance_usdm", "cm": "binance_coinm"}
    venue = next((folder[part] for part in path.absolute().parts if part in folder), venue_of(symbol))
    return _File(path, kind, (request.venue or venue, symbol), int(text), cells.get("update_type") == "snap")


_ORDER: Final = ("last_update_id", "update_id", "agg_trade_id", "id", "calc_time", "time", "open_time")


def import_binance_archive(request: Request) -> ImportReport:
    """Import files of the archive, any kinds and days together. Raises ``InputError``."""
    run = Run(request, Traits(clocked=False, counted=True))
    files = [_open(path, request) for path in request.files]
    files.sort(key=lambda file: file.first)
    for file in files:
        run.offer(file.key, _part(file.kind), _maker(run, files, file.key, _part(file.kind)))
    run.assume_receipt()
    _assume(run, {file.kind for file in files})
    return run.go()


def _part(kind: str) -> str:
    return "marks" if kind in KLINES else kind


def _assume(run: Run, kinds: set[str]) -> None:
    if "markPriceKlines" in kinds:
        run.assume("marks (and the index) are sampled: the last one of each candle, known when the candle closes")
    elif "indexPriceKlines" in kinds:
        raise InputError(
            "an index without marks: give the markPriceKlines files with the indexPriceKlines files",
            source="data import",
        )
    if kinds & {"trades", "aggTrades"}:
        run.assume(
            "prints of the insurance fund and of deleveraging cannot be told from trades: the archive does not say"
        )
    if "fundingRate" in kinds:
        run.assume("the rate of calc_time was charged at the full hour, if that is less than a minute before")


def _maker(run: Run, files: Sequence[_File], key: Key, part: str) -> Callable[[Instrument], Iterator[MessageBlock]]:
    """The messages of all files of a kind, file after file."""

    def stream(instrument: Instrument) -> Iterator[MessageBlock]:
        mine = [file for file in files if file.key == key and _part(file.kind) == part]
        if part == "marks":
            yield from _marks(run, mine)
            return
        reader = _READERS[part](run, instrument)
        if isinstance(reader, _Depth):
            apart = [file for file in mine if file.only_snapshots()]
            reader.ahead(rows for file in apart for rows in file.rows())
            mine = [file for file in mine if file not in apart]
        for file in mine:
            for rows in file.rows():
                yield from reader.take(rows)
        yield from reader.end()

    return stream


def _marks(run: Run, files: Sequence[_File]) -> Iterator[MessageBlock]:
    """Marks at the closes of candles, with the index of the same close where there is one."""
    indices = [_closes(rows) for file in files if file.kind == "indexPriceKlines" for rows in file.rows()]
    times = np.concatenate([times for times, _ in indices] or [np.zeros(0, np.int64)])
    prices = np.concatenate([prices for _, prices in indices] or [np.zeros(0, np.int64)])
    order = np.argsort(times, kind="stable")
    times, prices = times[order], prices[order]
    for file in files:
        for rows in file.rows() if file.kind == "markPriceKlines" else ():
            event, mark = _closes(rows)
            at = np.minimum(times.searchsorted(event), max(0, len(times) - 1))
            index = np.where(times[at] == event, prices[at], 0) if len(times) else np.zeros(len(event), np.int64)
            none = np.zeros(len(event), np.int64)
            yield messages(
                MARK, event, run.receipt(event), np.arange(len(event)), aux=np.stack((mark, index, none, none), 1)
            )


def _closes(rows: Rows) -> tuple[I64, I64]:
    """When candles are over, and their last price. ``close_time`` is the last unit of time within a candle."""
    opened, closed = rows.times("open_time"), rows.times("close_time")
    rows.require(closed > opened, "close_time", "is not after open_time")
    unit = np.where(closed % MS == 0, MS, 1000)
    return closed + unit, rows.parsed("close", e8)


# -- readers


class _Reader:
    """Rows of one kind and instrument to messages."""

    def __init__(self, run: Run, instrument: Instrument) -> None:
        self.run = run
        self.instrument = instrument
        self.ticks = ticks_parser(instrument)
        self.lots = lots_parser(instrument)

    def take(self, rows: Rows) -> Iterator[MessageBlock]:
        raise NotImplementedError

    def end(self) -> Iterator[MessageBlock]:
        return iter(())


_MAKER: Final = {"true": SELL, "True": SELL, "TRUE": SELL, "false": BUY, "False": BUY, "FALSE": BUY}


class _Trades(_Reader):
    names: tuple[str, ...] = ("time", "id", "qty")
    kind = TRADE

    def take(self, rows: Rows) -> Iterator[MessageBlock]:
        time, ref, size = self.names
        event = rows.times(time)
        side = rows.choice("is_buyer_maker", _MAKER).astype(np.uint8)
        ticks, lots = rows.parsed("price", self.ticks), rows.parsed(size, self.lots)
        rows_of = (side, ticks.astype(np.int32), lots.astype(np.int32))
        yield messages(self.kind, event, self.run.receipt(event), rows.ints(ref), rows_of)


class _AggTrades(_Trades):
    names = ("transact_time", "last_trade_id", "quantity")
    kind = AGGREGATE


class _Quotes(_Reader):
    def take(self, rows: Rows) -> Iterator[MessageBlock]:
        event = rows.times("transaction_time")
        pushed = np.maximum(event, rows.times("event_time"))
        yield ladder(
            BBO, event, self.run.receipt(pushed), rows.ints("update_id"),
            [rows.parsed("best_bid_price", self.ticks), rows.parsed("best_ask_price", self.ticks)],
            [rows.parsed("best_bid_qty", self.lots), rows.parsed("best_ask_qty", self.lots)],
            [BUY, SELL],
        )  # fmt: skip


class _Funding(_Reader):
    def take(self, rows: Rows) -> Iterator[MessageBlock]:
        event = rows.times("calc_time")
        late = event % HOUR_NS
        boundary = np.where(late < JITTER_NS, event - late, event)
        rate = rows.parsed("last_funding_rate", Rates())
        none = np.zeros(len(event), np.int64)
        aux = np.stack((rate, none, boundary, none), 1)
        yield messages(FUNDING, event, self.run.receipt(event), np.arange(len(event)), aux=aux)


class _Forced(_Reader):
    """Liquidation orders. The archive has many rows twice: a row equal to the one before it is left out."""

    last: tuple[str, ...] = ()

    def take(self, rows: Rows) -> Iterator[MessageBlock]:
        every = list(zip(*(rows.texts(name) for name in COLUMNS["liquidationSnapshot"]), strict=True))
        fresh = np.array([row != before for row, before in zip(every, [self.last, *every], strict=False)])
        self.last = every[-1]
        self.run.unused("liquidationSnapshot rows that repeat the one before", int((~fresh).sum()))
        rows = rows.only(fresh)
        event = rows.times("time")
        side = rows.choice("side", {"BUY": BUY, "SELL": SELL})
        price = rows.parsed("price", e8)
        place = {SELL: self.instrument.ticks_at_least, BUY: self.instrument.ticks_at_most}
        ticks = np.array([place[s](p) for s, p in zip(side.tolist(), price.tolist(), strict=True)], np.int64)
        rows.require(ticks < 1 << 31, "price", "does not fit 32 bits of ticks")
        lots = rows.parsed("original_quantity", self.lots)
        zero = np.zeros(len(event), np.int64)
        levels = (side.astype(np.uint8), ticks.astype(np.int32), lots.astype(np.int32))
        yield messages(FORCE, event, self.run.receipt(event), zero, levels)


Updates = tuple[MessageBlock, I64, I64, I64]  # messages, their first and last ids, and the id before


class _Depth(_Reader):
    """The depth history: rows of one update are a message. Snapshots stand in files of their own; each is put before
    the first change that reaches beyond it, by the ids."""

    def __init__(self, run: Run, instrument: Instrument) -> None:
        super().__init__(run, instrument)
        self.chain = Chain()
        self.held: tuple[I64, ...] = ()
        self.snapshots: list[Updates] = []

    def take(self, rows: Rows) -> Iterator[MessageBlock]:
        for found in self._updates(rows):
            yield self._joined(found)

    def ahead(self, batches: Iterator[Rows]) -> None:
        """Files of snapshots, which are read before those of changes."""
        for block, *ids in (found for rows in (*batches, None) for found in self._updates(rows)):
            for at in range(len(block)):
                begin, end, before = (column[at : at + 1] for column in ids)
                self.snapshots.append((block.cut(at, at + 1), begin, end, before))

    def _updates(self, rows: Rows | None) -> Iterator[Updates]:
        """The messages that are complete; None: no more rows come."""
        if rows is None:
            if self.held:
                yield self._block(self.held, self._first(self.held))
            self.held = ()
            return
        rows.choice("symbol", {self.instrument.symbol: 1})
        new = (
            rows.times("timestamp"),
            rows.choice("update_type", {"snap": 1, "set": 0}),
            rows.ints("first_update_id"), rows.ints("last_update_id"), rows.parsed("pu", int),
            rows.choice("side", {"b": BUY, "a": SELL}),
            rows.parsed("price", self.ticks), rows.parsed("qty", self.lots),
        )  # fmt: skip
        columns = tuple(np.concatenate(pair) for pair in zip(self.held, new, strict=True)) if self.held else new
        first = self._first(columns)
        cut = int(first[-1])
        self.held = tuple(column[cut:] for column in columns)
        if cut:
            yield self._block(tuple(column[:cut] for column in columns), first[:-1])

    def _joined(self, found: Updates) -> MessageBlock:
        """Changes, with the snapshots that lie among them."""
        block, begin, end, before = found
        reached = np.maximum.accumulate(end)
        parts: list[Updates] = []
        at = 0
        while self.snapshots and int(self.snapshots[0][2][0]) < reached[-1]:
            book, *ids = self.snapshots.pop(0)
            place = max(at, int(reached.searchsorted(int(ids[1][0]), side="right")))
            parts.append((block.cut(at, place), begin[at:place], end[at:place], before[at:place]))
            book.ts_event = np.minimum(book.ts_event, block.ts_event[place])
            book.ts_recv = book.ts_recv_raw = np.minimum(book.ts_recv, block.ts_recv[place])
            parts.append((book, ids[0], ids[1], ids[2]))
            at = place
        parts.append((block.cut(at, len(block)), begin[at:], end[at:], before[at:]))
        begin, end, before = (np.concatenate([part[k] for part in parts]) for k in (1, 2, 3))
        return self.chain.take(join([part[0] for part in parts]), begin, end, before)

    def end(self) -> Iterator[MessageBlock]:
        for found in self._updates(None):
            yield self._joined(found)
        for block, *ids in self.snapshots:
            yield self.chain.take(block, ids[0], ids[1], ids[2])
        self.run.unused("depth updates that no snapshot precedes, or that it contains", self.chain.early)
        self.run.unused("depth updates that were there before", self.chain.again)
        self.run.unused("depth snapshots that came while the book was known", self.chain.redundant)

    @staticmethod
    def _first(columns: tuple[I64, ...]) -> I64:
        changed = np.zeros(len(columns[0]) - 1, np.bool_)
        for column in columns[1:5]:
            changed |= column[1:] != column[:-1]
        return np.flatnonzero(np.concatenate((np.ones(1, np.bool_), changed)))

    def _block(self, columns: tuple[I64, ...], first: I64) -> Updates:
        event, whole, begin, end, before, side, ticks, lots = columns
        kind = np.where(whole[first] == 1, SNAPSHOT, DEPTH).astype(np.uint8)
        counts = np.diff(np.append(first, len(event)))
        levels = (side.astype(np.uint8), ticks.astype(np.int32), lots.astype(np.int32))
        when = event[first]
        block = messages(kind, when, self.run.receipt(when), end[first], levels, counts)
        return block, begin[first], end[first], before[first]


_READERS: Final[dict[str, type[_Reader]]] = {
    "aggTrades": _AggTrades, "trades": _Trades, "bookTicker": _Quotes, "fundingRate": _Funding,
    "liquidationSnapshot": _Forced, "depth": _Depth,
}  # fmt: skip
