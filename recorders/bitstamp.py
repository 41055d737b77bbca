"""Importer for a recorded Bitstamp market, order by order: a folder of CSV files as the package ob-analytics has them.

    orders.csv[.gz]  id timestamp exchange_timestamp price volume action direction
    trades.csv       trade_id timestamp exchange_timestamp price amount buy_order_id sell_order_id side
    meta.json        synthetic_created, synthetic_deleted: rows that the recorder made up

Times are ms UTC, of receipt and of the venue; actions created, changed, deleted; directions bid, ask; ``side`` is the
aggressor's. The first ``synthetic_created`` rows are the opening snapshot, in queue order at each price. The last
``synthetic_deleted`` rows only empty the recorder's own book; they are no events and are left out. So are orders that
no feed column holds (a price below one tick, a size beyond 32 bits of lots), which are listed. What the rest means is
``recorders.order_flow``'s.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from matching.codes import BUY, ORDER_BOOK, SELL, TRADE
from matching.feed import I64
from recorders.blocks import AUX_WIDTH, MessageBlock
from recorders.files import fingerprint, writing
from recorders.order_flow import NamedTrade, OrderFlow
from recorders.report import ImportReport, RecordingReport
from recorders.writer import FeedWriter
from venues.errors import InputError, InstrumentError
from venues.instruments import Instrument

MS_NS: Final = 1_000_000
INT32_MAX: Final = (1 << 31) - 1
SIDES: Final = {"bid": BUY, "ask": SELL}
AGGRESSORS: Final = {"buy": BUY, "sell": SELL}
ORDER_FIELDS: Final = ("id", "timestamp", "exchange_timestamp", "price", "volume", "action", "direction")
TRADE_FIELDS: Final = (
    "trade_id", "timestamp", "exchange_timestamp", "price", "amount", "buy_order_id", "sell_order_id", "side",
)  # fmt: skip


@dataclass(slots=True)
class OrderRecording:
    """A recording as feed messages, with what was made of it. ``left_out``: ids of orders that no column holds."""

    block: MessageBlock
    flow: OrderFlow
    rows: int
    left_out: list[int] = field(default_factory=list)


def read_bitstamp(folder: str | Path, instrument: Instrument, *, drops_phantoms: bool = True) -> OrderRecording:
    """Read a folder. Raises ``InputError`` naming file and row for what the form above does not allow."""
    place = Path(folder)
    reader = _Reader(place, instrument)
    received = {trade_id: ns for trade_id, ns, _ in reader.trades}
    flow = OrderFlow([trade for _, _, trade in reader.trades], drops_phantoms)
    times: list[tuple[int, int]] = []

    def stamp(event_ns: int, recv_ns: int) -> None:
        """The events that were told of since: each has the times of its row; a trade was received on its own."""
        for kind, ref, *_ in flow.events[len(times) :]:
            times.append((event_ns, received[ref] if kind == TRADE else recv_ns))

    opening, rest = reader.orders()
    flow.opening(row[3:] for row in opening)
    stamp(opening[0][0], opening[0][1])
    for event_ns, recv_ns, action, order_id, side, ticks, lots in rest:
        if action == "created":
            flow.created(order_id, side, ticks, lots)
        elif action == "changed":
            flow.changed(order_id, side, ticks, lots)
        else:
            flow.deleted(order_id, lots)
        stamp(event_ns, recv_ns)
    return OrderRecording(_block(flow, np.array(times, np.int64)), flow, reader.rows, reader.left_out)


def _block(flow: OrderFlow, times: I64) -> MessageBlock:
    """Orders are received in the venue's order, also where the recorder's clock stepped back, and not before they were
    made."""
    table = np.array(flow.events, np.int64).reshape(-1, 5)
    has_row = table[:, 0] != ORDER_BOOK
    is_order = table[:, 0] != TRADE
    recv = np.maximum(times[:, 1], times[:, 0])
    recv[is_order] = np.maximum.accumulate(recv[is_order])
    return MessageBlock(
        ts_event=np.ascontiguousarray(times[:, 0]),
        ts_recv=recv,
        ts_recv_raw=np.ascontiguousarray(times[:, 1]),
        kind=table[:, 0].astype(np.uint8),
        ref=np.ascontiguousarray(table[:, 1]),
        row_start=np.concatenate((np.zeros(1, np.int64), np.cumsum(has_row))),
        side=table[has_row, 2].astype(np.uint8),
        px_ticks=table[has_row, 3].astype(np.int32),
        qty_lots=table[has_row, 4].astype(np.int32),
        aux=np.zeros((0, AUX_WIDTH), np.int64),
    )


_Row = tuple[int, int, str, int, int, int, int]  # venue ns, receipt ns, action, id, side, ticks, lots


class _Reader:
    """The files of a folder, row by row."""

    def __init__(self, folder: Path, instrument: Instrument) -> None:
        self.folder = folder
        self.left_out: list[int] = []
        self.rows = 0
        self._last_ns = 0
        self._tick, self._most = instrument.tick_size, instrument.size_of(INT32_MAX)
        self._ticks = instrument.price_reader()
        self._lots = instrument.size_reader()
        zipped = folder / "orders.csv.gz"
        self.files = [zipped if zipped.exists() else folder / "orders.csv", folder / "trades.csv", folder / "meta.json"]
        self.trades = [self._trade(place, row) for place, row in self._table(self.files[1], TRADE_FIELDS)]

    def orders(self) -> tuple[list[_Row], Iterator[_Row]]:
        """The opening snapshot, and what follows it."""
        table = list(self._table(self.files[0], ORDER_FIELDS))
        self.rows = len(table)
        created, deleted = self._synthetic()
        if created < 1 or created + deleted > len(table):
            raise InputError(f"names {created} and {deleted} made-up rows of {len(table)}", source=str(self.files[2]))
        opening = list(self._parsed(table[:created]))
        if not opening or any(row[2] != "created" for row in opening):
            raise InputError("does not begin with the snapshot that meta.json names", source=str(self.files[0]))
        return opening, self._parsed(table[created : len(table) - deleted])

    def _synthetic(self) -> tuple[int, int]:
        try:
            meta: dict[str, Any] = msgspec.json.decode(self.files[2].read_bytes())
            return int(meta["synthetic_created"]), int(meta["synthetic_deleted"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"does not say which rows are made up: {error!r}", source=str(self.files[2])) from None

    def _table(self, path: Path, names: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
        """Rows with their place in the file."""
        try:
            with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as lines:
                rows = csv.reader(lines)
                if tuple(next(rows, ())) != names:
                    raise InputError(f"has other columns than {', '.join(names)}", source=str(path), place="line 1")
                for number, row in enumerate(rows, 2):
                    if len(row) != len(names):
                        raise InputError(f"has {len(row)} fields", source=str(path), place=f"line {number}")
                    yield f"line {number}", row
        except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"cannot be read: {error}", source=str(path)) from None

    def _trade(self, place: str, row: list[str]) -> tuple[int, int, NamedTrade]:
        try:
            trade_id, recv_ms, _, price, size, buyer, seller, side = row
            maker = int(seller if AGGRESSORS[side] == BUY else buyer)
            named = NamedTrade(int(trade_id), maker, self._ticks[_plain(price)], self._lots[_plain(size)])
            return int(trade_id), int(recv_ms) * MS_NS, named
        except (ValueError, KeyError, InvalidOperation, InstrumentError) as error:
            raise InputError(f"{error}", source=str(self.files[1]), place=place) from None

    def _parsed(self, table: list[tuple[str, list[str]]]) -> Iterator[_Row]:
        left_out = set(self.left_out)
        for place, (name, recv_ms, event_ms, price, volume, action, direction) in table:
            try:
                order_id, event_ns, recv_ns = int(name), int(event_ms) * MS_NS, int(recv_ms) * MS_NS
                side = SIDES[direction]
                fits = Decimal(price) >= self._tick and Decimal(volume) <= self._most
                ticks, lots = (self._ticks[_plain(price)], self._lots[_plain(volume)]) if fits else (0, 0)
            except (ValueError, KeyError, InvalidOperation, InstrumentError) as error:
                raise InputError(f"{error!r}", source=str(self.files[0]), place=place) from None
            if event_ns < self._last_ns:
                raise InputError("venue time goes back", source=str(self.files[0]), place=place)
            self._last_ns = event_ns
            if action not in ("created", "changed", "deleted"):
                raise InputError(f"unknown action {action!r}", source=str(self.files[0]), place=place)
            if not fits and order_id not in left_out:
                left_out.add(order_id)
                self.left_out.append(order_id)
            elif order_id not in left_out:
                yield event_ns, recv_ns, action, order_id, side, ticks, lots


def _plain(number: str) -> str:
    """The recorder wrote small sizes as 6.405e-05."""
    return format(Decimal(number), "f") if "e" in number and number.isascii() else number


def import_bitstamp_report(
    folder: str | Path, lake: str | Path, instrument: Instrument, *, replace: bool = False
) -> ImportReport:
    """Import a folder as one recording of ``instrument``. Raises ``InputError``."""
    place = Path(folder)
    sources = [fingerprint(path) for path in _Reader(place, instrument).files]
    read = read_bitstamp(place, instrument)
    block, flow = read.block, read.flow
    first_ns, last_ns = int(block.ts_event[0]), int(block.ts_event[-1])
    least = int((block.ts_recv_raw - block.ts_event).min())
    report = RecordingReport(
        recording=f"{instrument.venue}/{instrument.symbol}/{first_ns}",
        venue=instrument.venue,
        instrument=instrument.symbol,
        sources=[source.as_dict() for source in sources],
        first_ns=first_ns,
        last_ns=last_ns,
        first_recv_ns=int(block.ts_recv[0]),
        last_recv_ns=int(block.ts_recv.max()),
        lines=read.rows,
        messages=len(block),
        rows=block.rows,
        snapshots=1,
        trades=int((block.kind == TRADE).sum()),
        clock_offset_ns=least,
        latency_least_ns=max(least, 0),
        trades_explained=flow.explained,
        orders_dropped=[asdict(blocked) for blocked in flow.dropped],
        orders_unknown=flow.unknown,
        orders_left_out=read.left_out,
    )
    root = Path(lake)
    with writing(root):
        writer = FeedWriter(root, instrument, sources, replace=replace)
        try:
            writer.begin(report.recording, first_ns, last_ns)
            writer.append(block)
            writer.flush()
            writer.end(report.as_dict(), None)
            written = writer.close()
        except BaseException:
            writer.abandon()
            raise
    files = [source.as_dict() | {"rows": read.rows} for source in sources[:1]]
    return ImportReport(str(root), [report], files, written=[str(path) for path in written], replaced=writer.replaced)
