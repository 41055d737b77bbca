"""Importer for plain event columns: feeds of benchmarks and of other tools, one ``.npy`` file a column.

Two forms are known, told apart by the files in the folder:

    exch_ts local_ts kind side px_tick qty_lot       in DIR or DIR/cols. kind 1 level, 2 trade, 4 snapshot row;
                                                     side +1 bid or buy aggressor, -1 ask or sell aggressor
    ts kind action side px qty flags seq             kind 0 level, 1 trade; action 4 clears the book; side 1 bid or
                                                     buyer, 2 ask or seller; flags 32 snapshot, 128 last of a message

Times are ns UTC, prices ticks, sizes lots (absolute level sizes, 0 deletes). Rows are in the venue's order already
and keep it. A message is a run of rows of equal times and kind (in the second form also of one ``seq``, for levels).
The second form has no receive time; ``latency_ns`` is added to its times instead. A row that clears the book begins a
SNAPSHOT and is no row of its own. Columns are mapped and read in pieces, so the length of a feed does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from matching.codes import BUY, DEPTH, SELL, SNAPSHOT, TRADE
from recorders.blocks import AUX_WIDTH, MessageBlock
from recorders.files import fingerprint, writing
from recorders.report import ImportReport, RecordingReport
from recorders.writer import FeedWriter
from venues.errors import InputError
from venues.instruments import Instrument

CHUNK_ROWS: Final = 1 << 20
PLAIN: Final = ("exch_ts", "local_ts", "kind", "side", "px_tick", "qty_lot")
TAGGED: Final = ("ts", "kind", "action", "side", "px", "qty", "flags", "seq")
CLEAR: Final = 4
FLAG_SNAPSHOT: Final = 32
INT32_MAX: Final = (1 << 31) - 1

Ints = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Columns = dict[str, Ints]


@dataclass(frozen=True, slots=True)
class _Piece:
    """A stretch of rows being converted: where it is from, its first row, messages and venue time before it, latency to
    add."""

    folder: Path
    row: int
    messages: int
    after_ns: int
    latency_ns: int

    def require(self, mask: Mask, field: str, why: str, rows: Ints | None = None) -> None:
        """Raise ``InputError`` for the first False of a mask over rows (or over messages, given their first rows)."""
        if not mask.all():
            at = int(np.argmin(mask))
            row = self.row + (at if rows is None else int(rows[at]))
            raise InputError(why, source=str(self.folder), place=f"row {row}", field=field)


@dataclass(frozen=True, slots=True)
class _Form:
    names: tuple[str, ...]
    time: str
    cuts: Callable[[Columns], Mask]
    block: Callable[[Columns, _Piece], MessageBlock]


def import_columns(
    folder: str | Path, lake: str | Path, instrument: Instrument, *, latency_ns: int = 0, replace: bool = False
) -> list[RecordingReport]:
    """Import a folder of columns as one recording of ``instrument``; ``import_columns_report`` says more."""
    return import_columns_report(folder, lake, instrument, latency_ns=latency_ns, replace=replace).recordings


def import_columns_report(
    folder: str | Path, lake: str | Path, instrument: Instrument, *, latency_ns: int = 0, replace: bool = False
) -> ImportReport:
    """Import a folder of columns. Raises ``InputError`` naming file and row for what the format does not allow."""
    place, form = _form_of(Path(folder))
    reader = _Reader(place, form)
    sources = [fingerprint(place / f"{name}.npy") for name in form.names]
    first_ns, last_ns = (int(reader.read(row, row + 1)[form.time][0]) for row in (0, reader.total - 1))
    report = RecordingReport(
        recording=f"{instrument.venue}/{instrument.symbol}/{first_ns}",
        venue=instrument.venue,
        instrument=instrument.symbol,
        sources=[source.as_dict() for source in sources],
        first_ns=first_ns,
    )
    root = Path(lake)
    with writing(root):
        writer = FeedWriter(root, instrument, sources, replace=replace)
        try:
            writer.begin(report.recording, first_ns, last_ns)
            for at, chunk in reader.pieces():
                block = form.block(chunk, _Piece(place, at, report.messages, report.last_ns, latency_ns))
                _count(report, block)
                writer.append(block)
            counts = writer.flush()
            report.crossed, report.bbo_equal, report.bbo_different = (
                counts.crossed,
                counts.bbo_equal,
                counts.bbo_different,
            )
            report.messages, report.rows, report.lines = writer.messages, writer.rows, reader.total
            report.diffs = report.messages - report.trades - report.snapshots
            report.stale_at_end = not writer.track.valid
            report.clock_offset_ns = report.latency_least_ns
            writer.end(report.as_dict(), None)
            written = writer.close()
        except BaseException:
            writer.abandon()
            raise
    files = [source.as_dict() | {"rows": reader.total} for source in sources]
    return ImportReport(str(root), [report], files, written=[str(path) for path in written], replaced=writer.replaced)


def _form_of(folder: Path) -> tuple[Path, _Form]:
    for place in (folder / "cols", folder):
        if (place / "exch_ts.npy").exists():
            return place, _PLAIN_FORM
    if (folder / "ts.npy").exists() and (folder / "action.npy").exists():
        return folder, _TAGGED_FORM
    raise InputError(
        f"holds no event columns: expected the files {', '.join(f'{n}.npy' for n in PLAIN)} (in it or in its folder "
        f"cols), or {', '.join(f'{n}.npy' for n in TAGGED)}",
        source=str(folder),
    )


class _Reader:
    """The columns of a folder. A piece is mapped, copied and unmapped again, so that memory does not grow with the
    feed."""

    def __init__(self, place: Path, form: _Form) -> None:
        self._place = place
        self._form = form
        lengths = {name: len(self._column(name)) for name in form.names}
        if len(set(lengths.values())) != 1:
            raise InputError(f"columns differ in length: {lengths}", source=str(place))
        self.total = lengths[form.time]
        if not self.total:
            raise InputError("has no rows", source=str(place / f"{form.time}.npy"))

    def _column(self, name: str) -> Ints:
        path = self._place / f"{name}.npy"
        try:
            column: Ints = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"cannot be read as a column: {error}", source=str(path)) from None
        if column.ndim != 1 or column.dtype.kind not in "iu":
            raise InputError(f"must be one column of integers, is {column.dtype} {column.shape}", source=str(path))
        return column

    def read(self, start: int, stop: int) -> Columns:
        """Rows ``start:stop`` of every column."""
        return {name: np.array(self._column(name)[start:stop]) for name in self._form.names}

    def pieces(self) -> Iterator[tuple[int, Columns]]:
        """Pieces of about ``CHUNK_ROWS`` rows that end where a message ends, each with its first row's number."""
        start, size = 0, CHUNK_ROWS
        while start < self.total:
            stop = min(start + size, self.total)
            piece = self.read(start, min(stop + 1, self.total))
            if stop < self.total:
                cuts = np.flatnonzero(self._form.cuts(piece))
                if not len(cuts):  # one message fills the piece: take more
                    size *= 2
                    continue
                stop = start + int(cuts[-1]) + 1
            yield start, {name: column[: stop - start] for name, column in piece.items()}
            start, size = stop, CHUNK_ROWS


# -- first form


def _plain_cuts(c: Columns) -> Mask:
    """Where a message ends before the next row."""
    found: Mask = c["exch_ts"][1:] != c["exch_ts"][:-1]
    found |= c["local_ts"][1:] != c["local_ts"][:-1]
    found |= c["kind"][1:] != c["kind"][:-1]
    return found


def _plain_block(c: Columns, piece: _Piece) -> MessageBlock:
    piece.require(np.isin(c["kind"], (1, 2, 4)), "kind", "must be 1 (level), 2 (trade) or 4 (snapshot row)")
    piece.require(np.isin(c["side"], (1, -1)), "side", "must be 1 or -1")
    kind = np.zeros(len(c["kind"]), np.uint8)
    for code, meant in ((1, DEPTH), (2, TRADE), (4, SNAPSHOT)):
        kind[c["kind"] == code] = meant
    first = np.flatnonzero(np.concatenate((np.ones(1, np.bool_), _plain_cuts(c))))
    return _block(
        piece,
        first,
        c["exch_ts"][first],
        c["local_ts"][first] + piece.latency_ns,
        kind[first],
        np.arange(piece.messages + 1, piece.messages + 1 + len(first)),
        c["side"] > 0,
        c["px_tick"],
        c["qty_lot"],
    )


# -- second form


def _tagged_cuts(c: Columns) -> Mask:
    levels = c["kind"] == 0
    found: Mask = (c["ts"][1:] != c["ts"][:-1]) | (c["kind"][1:] != c["kind"][:-1])
    found |= levels[1:] & (c["seq"][1:] != c["seq"][:-1])
    return found


def _tagged_block(c: Columns, piece: _Piece) -> MessageBlock:
    levels = c["kind"] == 0
    piece.require(levels | (c["kind"] == 1), "kind", "must be 0 (level) or 1 (trade)")
    clears = levels & (c["action"] == CLEAR)
    piece.require(clears | np.isin(c["side"], (1, 2)), "side", "must be 1 or 2")
    starts = np.concatenate((np.ones(1, np.bool_), _tagged_cuts(c)))
    message = np.cumsum(starts) - 1
    first = np.flatnonzero(starts)
    kind = np.where(levels[first], DEPTH, TRADE).astype(np.uint8)
    kind[message[clears | (levels & ((c["flags"] & FLAG_SNAPSHOT) != 0))]] = SNAPSHOT
    kept = ~clears
    rows_before = np.concatenate((np.zeros(1, np.int64), np.cumsum(kept)))
    return _block(
        piece,
        rows_before[first],
        c["ts"][first],
        c["ts"][first] + piece.latency_ns,
        kind,
        c["seq"][first],
        c["side"][kept] == 1,
        c["px"][kept],
        c["qty"][kept],
    )


# -- both


def _block(
    piece: _Piece, first: Ints, ts_event: Ints, ts_recv: Ints, kind: Ints, ref: Ints, bid: Mask, ticks: Ints, lots: Ints
) -> MessageBlock:
    piece.require(np.abs(ticks.astype(np.int64)) <= INT32_MAX, "price", "must fit 32 bits")
    piece.require((lots >= 0) & (lots <= INT32_MAX), "size", "must fit 32 bits and not be negative")
    recv = np.ascontiguousarray(ts_recv, np.int64)
    event = np.ascontiguousarray(ts_event, np.int64)
    before = np.concatenate((np.full(1, piece.after_ns), event[:-1]))
    piece.require(event >= before, "time", "goes back", first)
    piece.require(recv >= event, "receive time", "is before the venue's time", first)
    return MessageBlock(
        ts_event=event,
        ts_recv=recv,
        ts_recv_raw=recv,
        kind=np.ascontiguousarray(kind, np.uint8),
        ref=np.ascontiguousarray(ref, np.int64),
        row_start=np.append(first, len(ticks)).astype(np.int64),
        side=np.where(bid, BUY, SELL).astype(np.uint8),
        px_ticks=np.ascontiguousarray(ticks, np.int32),
        qty_lots=np.ascontiguousarray(lots, np.int32),
        aux=np.zeros((0, AUX_WIDTH), np.int64),
    )


def _count(report: RecordingReport, block: MessageBlock) -> None:
    least = int((block.ts_recv - block.ts_event).min())
    report.latency_least_ns = min(report.latency_least_ns, least) if report.messages else least
    report.first_recv_ns = report.first_recv_ns or int(block.ts_recv[0])
    report.last_recv_ns = max(report.last_recv_ns, int(block.ts_recv.max()))
    report.last_ns = int(block.ts_event[-1])
    report.messages += len(block)
    report.trades += int((block.kind == TRADE).sum())
    report.snapshots += int((block.kind == SNAPSHOT).sum())


_PLAIN_FORM: Final = _Form(PLAIN, "exch_ts", _plain_cuts, _plain_block)
_TAGGED_FORM: Final = _Form(TAGGED, "ts", _tagged_cuts, _tagged_block)
