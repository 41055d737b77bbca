"""Importer of hftbacktest's event arrays: ``.npz`` (member ``data``) or ``.npy``, rows of eight fields.

    ev exch_ts local_ts px qty order_id ival fval

``ev`` holds the kind in its low byte (1 depth, 2 trade, 3 clear, 4 snapshot row), and flags: bit 31 it is an event
at the venue at ``exch_ts``, bit 30 at the client at ``local_ts``, bit 29 buy (or bid), bit 28 sell (or ask). Where
the two orders differ, an event stands twice, once with each flag. Source: hftbacktest's documentation ("Data") and its
types. The venue's rows, in the order of the file, are the feed; the client's order follows from ``local_ts``.

Prices and sizes are floats there. They must lie on the instrument's grid to a millionth of a step and are then whole
ticks and lots.
"""

from __future__ import annotations

import tokenize
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

from matching.codes import BUY, DEPTH, GAP, GAP_SEQUENCE, SELL, SNAPSHOT, TRADE
from recorders.blocks import AUX_WIDTH, MessageBlock
from recorders.formats.assembly import messages
from recorders.formats.reading import FIRST_NS, Sample, reading
from recorders.formats.request import Request
from recorders.formats.running import Run, Traits
from recorders.lines import LAST_NS
from recorders.report import ImportReport
from venues.errors import InputError
from venues.instruments import MAX_COLUMN, Instrument

FIELDS: Final = (
    ("ev", "<u8"), ("exch_ts", "<i8"), ("local_ts", "<i8"), ("px", "<f8"), ("qty", "<f8"), ("order_id", "<u8"),
    ("ival", "<i8"), ("fval", "<f8"),
)  # fmt: skip
EVENT: Final = np.dtype(list(FIELDS), align=True)
CHUNK_ROWS: Final = 1 << 18
EXCH: Final = 1 << 31
LOCAL: Final = 1 << 30
IS_BUY: Final = 1 << 29
IS_SELL: Final = 1 << 28
K_DEPTH, K_TRADE, K_CLEAR, K_SNAPSHOT = 1, 2, 3, 4
ON_GRID: Final = 1e-6
NAMES: Final = {5: "best quote rows", 10: "order rows", 11: "order rows", 12: "order rows", 13: "order rows"}

Events = npt.NDArray[Any]


def recognises(sample: Sample) -> bool:
    """A .npz with a member data, or a .npy of such rows."""
    return "data.npy" in sample.names or (sample.head.startswith(b"\x93NUMPY") and b"'local_ts'" in sample.head[:1024])


@contextmanager
def _rows_of(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of the rows, after their header has been checked."""
    with reading(path), path.open("rb") as raw:
        if raw.read(4) == b"PK\x03\x04":
            raw.seek(0)
            with zipfile.ZipFile(raw) as archive:
                if "data.npy" not in archive.namelist():
                    raise InputError(
                        f"has no array data; it has {', '.join(archive.namelist())[:200]}", source=str(path)
                    )
                with archive.open("data.npy") as member:
                    _check_header(path, member)
                    yield member
        else:
            raw.seek(0)
            _check_header(path, raw)
            yield raw


def _check_header(path: Path, stream: IO[bytes]) -> None:
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
    except (ValueError, SyntaxError, TypeError, KeyError, IndexError, RecursionError, tokenize.TokenError) as error:
        raise InputError(f"has no readable header of an array: {error}", source=str(path)) from None
    if dtype != EVENT or len(shape) != 1:
        raise InputError(
            f"must be one array of rows {', '.join(name for name, _ in FIELDS)} (hftbacktest 2), is {dtype} {shape}",
            source=str(path),
        )


def _chunks(path: Path) -> Iterator[tuple[int, Events]]:
    """The rows in pieces, each with the number of its first row."""
    size = CHUNK_ROWS * EVENT.itemsize
    at = 0
    with _rows_of(path) as stream:
        rest = b""
        while data := stream.read(size):
            data = rest + data
            whole = len(data) // EVENT.itemsize * EVENT.itemsize
            rest = data[whole:]
            if whole:
                rows = np.frombuffer(data[:whole], EVENT)
                yield at, rows
                at += len(rows)
        if rest:
            raise InputError("ends within a row", source=str(path), place=f"row {at}")


@dataclass(slots=True)
class _Piece:
    """Rows of the venue, with where each of them stands in its file."""

    path: Path
    rows: Events
    number: npt.NDArray[np.int64]

    def require(self, mask: npt.NDArray[np.bool_], field: str, why: str) -> None:
        if not mask.all():
            at = int(self.number[int(np.argmin(mask))])
            raise InputError(why, source=str(self.path), place=f"row {at}", field=field)


def import_hftbacktest(request: Request) -> ImportReport:
    """Import arrays of one instrument, which ``symbol`` (and ``venue``) must name. Raises ``InputError``."""
    if request.symbol is None:
        raise InputError("hftbacktest names no instrument: give --symbol (and --venue)", source="data import")
    run = Run(request, Traits(clocked=False, asked=False))
    run.assume("times are taken as they are: hftbacktest's data are corrected before")
    ordered = sorted(request.files, key=_first)

    def stream(instrument: Instrument) -> Iterator[MessageBlock]:
        reader = _Reader(run, instrument)
        for path in ordered:
            for at, rows in _chunks(path):
                yield from reader.take(path, at, rows)
        yield from reader.end()

    run.offer((request.venue or "neutral", request.symbol), "events", stream)
    return run.go()


def _first(path: Path) -> int:
    for _, rows in _chunks(path):
        return int(rows["exch_ts"][0])
    raise InputError("has no rows", source=str(path))


class _Reader:
    """Rows to messages. ``held`` are the rows of a message that may go on in the next piece."""

    def __init__(self, run: Run, instrument: Instrument) -> None:
        self.run = run
        self.instrument = instrument
        self.held: _Piece | None = None
        self.local_only = self.venue_only = 0

    def take(self, path: Path, at: int, rows: Events) -> Iterator[MessageBlock]:
        ev, kind = rows["ev"], rows["ev"] & 0xFF
        here, there = (ev & EXCH) != 0, (ev & LOCAL) != 0
        self.local_only += int((there & ~here).sum())
        self.venue_only += int((here & ~there).sum())
        known = (kind >= K_DEPTH) & (kind <= K_SNAPSHOT)
        for code in np.unique(kind[here & ~known]).tolist():
            what = NAMES.get(code, "rows of other kinds")
            self.run.unused(what, int((kind[here] == code).sum()))
        self.run.unused("rows without a flag", int((~here & ~there).sum()))
        chosen = np.flatnonzero(here & known)
        piece = _Piece(path, rows[chosen], at + chosen)
        if self.held is not None:
            piece = _Piece(
                path, np.concatenate((self.held.rows, piece.rows)), np.concatenate((self.held.number, piece.number))
            )
        if not len(piece.rows):
            return
        starts = _starts(piece.rows)
        cut = int(starts[-1])
        self.held = _Piece(path, piece.rows[cut:], piece.number[cut:])
        if cut:
            yield self._block(_Piece(path, piece.rows[:cut], piece.number[:cut]), starts[:-1])

    def end(self) -> Iterator[MessageBlock]:
        if self.held is not None and len(self.held.rows):
            yield self._block(self.held, _starts(self.held.rows))
        if self.local_only != self.venue_only:
            self.run.unused("rows of the client without one of the venue", max(0, self.local_only - self.venue_only))

    def _block(self, piece: _Piece, starts: npt.NDArray[np.int64]) -> MessageBlock:
        rows = piece.rows
        event, recv = rows["exch_ts"].astype(np.int64), rows["local_ts"].astype(np.int64)
        piece.require((event >= FIRST_NS) & (event <= LAST_NS), "exch_ts", "is no time of this century in ns")
        piece.require(
            (recv >= event) & (recv <= LAST_NS), "local_ts", "is before exch_ts (or no time): correct it first"
        )
        code = (rows["ev"] & 0xFF).astype(np.int64)
        clear = code == K_CLEAR
        buy, sell = (rows["ev"] & IS_BUY) != 0, (rows["ev"] & IS_SELL) != 0
        piece.require(clear | (buy != sell), "ev", "has not one of the flags for buy and sell")
        ticks = self._steps(piece, "px", float(self.instrument.tick_size), clear)
        lots = self._steps(piece, "qty", float(self.instrument.lot_size), clear)
        self._check_clears(piece, starts, clear, buy, sell)
        kind = np.zeros(5, np.uint8)
        kind[[K_DEPTH, K_TRADE, K_CLEAR, K_SNAPSHOT]] = DEPTH, TRADE, SNAPSHOT, SNAPSHOT
        ends = np.append(starts[1:], len(rows))
        kept = np.concatenate((np.zeros(1, np.int64), np.cumsum(~clear)))
        ids = rows["ival"][ends - 1].astype(np.int64)
        made = kind[code[starts]]
        counts = kept[ends] - kept[starts]
        unknown = (made == SNAPSHOT) & (counts == 0)  # cleared, and nothing put in its place
        made[unknown] = GAP
        ref = np.where((ids != 0) | (made == TRADE), ids, event[starts])
        ref[unknown] = np.arange(int(unknown.sum()))
        aux = np.zeros((int(unknown.sum()), AUX_WIDTH), np.int64)
        aux[:, 0] = GAP_SEQUENCE
        side = np.where(sell, SELL, BUY).astype(np.uint8)[~clear]
        levels = (side, ticks[~clear].astype(np.int32), lots[~clear].astype(np.int32))
        return messages(made, event[starts], recv[starts], ref, levels, counts, aux)

    @staticmethod
    def _steps(piece: _Piece, field: str, step: float, clear: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        """A column of floats as whole steps of a grid."""
        with np.errstate(invalid="ignore", over="ignore"):
            scaled = np.where(clear, 0.0, piece.rows[field] / step)
            steps: npt.NDArray[np.float64] = np.rint(scaled)
            piece.require(np.abs(scaled - steps) <= ON_GRID, field, f"is off the grid of {step:g}")
        piece.require((steps >= 0) & (steps <= MAX_COLUMN), field, "does not fit 32 bits of steps, or is negative")
        return steps

    @staticmethod
    def _check_clears(
        piece: _Piece, starts: npt.NDArray[np.int64], clear: npt.NDArray[np.bool_],
        buy: npt.NDArray[np.bool_], sell: npt.NDArray[np.bool_],
    ) -> None:  # fmt: skip
        """A clear must be of both sides: our snapshots replace the whole book."""
        if not clear.any():
            return
        both = ~buy & ~sell
        bids = np.logical_or.reduceat(clear & (buy | both), starts)
        asks = np.logical_or.reduceat(clear & (sell | both), starts)
        good = np.repeat(bids == asks, np.diff(np.append(starts, len(clear))))
        piece.require(good, "ev", "clears one side of the book only: a whole book is replaced here, or nothing")


def _starts(rows: Events) -> npt.NDArray[np.int64]:
    """The first rows of messages: runs of equal times, kind and id. Clears and snapshot rows are of one kind; every
    trade is a message."""
    kind = rows["ev"] & 0xFF
    kind = np.where(kind == K_CLEAR, K_SNAPSHOT, kind)
    changed = (kind[1:] != kind[:-1]) | (kind[1:] == K_TRADE)
    for name in ("exch_ts", "local_ts", "ival"):
        changed |= rows[name][1:] != rows[name][:-1]
    return np.flatnonzero(np.concatenate((np.ones(1, np.bool_), changed)))
