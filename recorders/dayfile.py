"""The lake's file: one venue, one instrument, one UTC day (of ``ts_event``) in one Parquet file.

Theory of operation. Messages and their rows have different lengths, and list columns cost twice the time to read. So
a file is a chain of *blocks*, each of at most 65,536 messages and about a million rows, and a block is up to three
row groups of one schema, of which each fills only its own columns:

    messages    ts_event ts_recv ts_recv_raw kind ref row_count local_shift aux_0..aux_3
    levels      side px_ticks qty_lots: the rows of these messages, one after the other (absent if there are none)
    checkpoint  side px_ticks qty_lots: the whole depth-only book before the block (absent while the book is not valid)

Messages stand in venue order; ``local_shift`` added to 0..n-1 is the client's order within the block, so that nothing
is sorted on load. ``aux_k`` is the payload of MARK, FUNDING and GAP messages and null elsewhere; their ``ref`` counts
these messages from the start of the file. Integers are delta-encoded, pages carry checksums, everything is zstd.

The footer holds JSON: ``perpsim`` (instrument as of the day, sources with their hashes, recordings with their reports
and gaps, code version), ``perpsim.blocks`` (the index: where each block's row groups are, its times, a digest of its
columns, and the state before it), ``perpsim.clock`` (receive-clock offset series) and ``perpsim.digest``, the sha256
of the other three. A file is published by rename, so it is whole or absent.
"""

from __future__ import annotations

import filecmp
import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from matching.feed import I32, I64, U8, FeedWindow, stable_local_order
from recorders.blocks import AUX_WIDTH, MessageBlock, has_aux
from recorders.book import BookTrack
from recorders.files import partial_path, publish
from venues.errors import InputError

FORMAT: Final = 1
BLOCK_MESSAGES: Final = 1 << 16
BLOCK_ROWS: Final = 1 << 20
ZSTD_LEVEL: Final = 3
AUX_COLUMNS: Final = tuple(f"aux_{k}" for k in range(AUX_WIDTH))
KEY_FILE: Final = b"perpsim"
KEY_BLOCKS: Final = b"perpsim.blocks"
KEY_CLOCK: Final = b"perpsim.clock"
KEY_DIGEST: Final = b"perpsim.digest"

_MESSAGE_FIELDS: Final = [
    ("ts_event", pa.int64()),
    ("ts_recv", pa.int64()),
    ("ts_recv_raw", pa.int64()),
    ("kind", pa.uint8()),
    ("ref", pa.int64()),
    ("row_count", pa.int32()),
    ("local_shift", pa.int32()),
    *((name, pa.int64()) for name in AUX_COLUMNS),
]
_LEVEL_FIELDS: Final = [("side", pa.uint8()), ("px_ticks", pa.int32()), ("qty_lots", pa.int32())]
SCHEMA: Final = pa.schema(_MESSAGE_FIELDS + _LEVEL_FIELDS)
_WINDOW_COLUMNS: Final = ["ts_event", "ts_recv", "kind", "ref", "row_count", "local_shift"]
_LEVEL_COLUMNS: Final = [name for name, _ in _LEVEL_FIELDS]
_DELTA: Final = {name: "DELTA_BINARY_PACKED" for name, kind in _MESSAGE_FIELDS + _LEVEL_FIELDS if kind != pa.uint8()}

Levels = tuple[U8, I32, I32]


@dataclass(frozen=True, slots=True)
class BlockInfo:
    """Index entry of a block. Row groups are -1 where absent; ``valid update_id book_recv quotes mark`` are the state
    before its first message (quotes newer than the book: [update id, ts_recv, sides, ticks, lots])."""

    messages: int
    levels: int
    checkpoint: int
    count: int
    rows: int
    aux: int
    aux_base: int
    first_event: int
    last_event: int
    recv_max: int
    recording: int
    valid: bool
    update_id: int
    book_recv: int
    quotes: list[list[Any]]
    mark: list[int] | None
    digest: str


def digest_of(block: MessageBlock) -> str:
    """A digest of all columns of a block, independent of how they are encoded."""
    digest = hashlib.blake2b(digest_size=16)
    columns: Iterable[tuple[npt.NDArray[Any], str]] = (
        (block.ts_event, "<i8"),
        (block.ts_recv, "<i8"),
        (block.ts_recv_raw, "<i8"),
        (block.kind, "u1"),
        (np.where(has_aux(block.kind), 0, block.ref), "<i8"),
        (block.row_start, "<i8"),
        (block.side, "u1"),
        (block.px_ticks, "<i4"),
        (block.qty_lots, "<i4"),
        (block.aux, "<i8"),
    )
    for column, form in columns:
        digest.update(np.ascontiguousarray(column, form).data)
    return digest.hexdigest()


class DayWriter:
    """Writes one file, block by block, under its partial name; ``finish`` publishes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.blocks: list[BlockInfo] = []
        self._row_groups = 0
        self._aux = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(
            partial_path(path),
            SCHEMA,
            compression="zstd",
            compression_level=ZSTD_LEVEL,
            use_dictionary=["kind", "side"],
            column_encoding=_DELTA,
            write_statistics=False,
            data_page_version="2.0",
            write_page_checksum=True,
        )

    def write(self, block: MessageBlock, recording: int, before: BookTrack) -> None:
        """Append a block of one recording; ``before`` is the book just before its first message."""
        carries = has_aux(block.kind)
        aux = len(block.aux)
        ref = np.where(carries, block.ref + self._aux, block.ref) if aux else block.ref
        shift = stable_local_order(block.ts_recv) - np.arange(len(block), dtype=np.int32)
        columns = [
            block.ts_event,
            block.ts_recv,
            block.ts_recv_raw,
            block.kind,
            ref,
            np.diff(block.row_start).astype(np.int32),
            shift,
        ]
        arrays = [pa.array(column) for column in columns]
        spread = np.zeros((len(block), AUX_WIDTH), np.int64)
        spread[carries] = block.aux[block.ref[carries]]
        arrays += [pa.array(np.ascontiguousarray(spread[:, k]), mask=~carries) for k in range(AUX_WIDTH)]
        arrays += [pa.nulls(len(block), kind) for _, kind in _LEVEL_FIELDS]
        messages = self._group(arrays)
        levels = self._levels((block.side, block.px_ticks, block.qty_lots))
        checkpoint = self._levels(before.book.columns()) if before.valid else -1
        self.blocks.append(
            BlockInfo(
                messages,
                levels,
                checkpoint,
                len(block),
                block.rows,
                aux,
                self._aux,
                int(block.ts_event[0]),
                int(block.ts_event[-1]),
                int(block.ts_recv.max()),
                recording,
                before.valid,
                before.update_id,
                before.ts_recv_max,
                [list(quote) for quote in before.quotes],
                before.mark,
                digest_of(block),
            )
        )
        self._aux += aux

    def _levels(self, rows: Levels) -> int:
        count = len(rows[0])
        if not count:
            return -1
        return self._group([pa.nulls(count, kind) for _, kind in _MESSAGE_FIELDS] + [pa.array(c) for c in rows])

    def _group(self, arrays: list[Any]) -> int:
        table = pa.Table.from_arrays(arrays, schema=SCHEMA)
        self._writer.write_table(table, row_group_size=max(1, len(table)))
        self._row_groups += 1
        return self._row_groups - 1

    def finish(self, about: dict[str, Any], clock: dict[str, Any], *, unless_same: bool = False) -> bool:
        """Write the footer and publish the file under its final name; returns whether that was done. ``unless_same``:
        not if the file is there already, byte by byte."""
        self.close(about, clock)
        if unless_same and self.path.exists() and filecmp.cmp(partial_path(self.path), self.path, shallow=False):
            partial_path(self.path).unlink()
            return False
        publish(self.path)
        return True

    def close(self, about: dict[str, Any], clock: dict[str, Any]) -> None:
        """Write the footer; the file keeps its partial name."""
        parts = {
            KEY_FILE: msgspec.json.encode({"format": FORMAT, **about}),
            KEY_BLOCKS: msgspec.json.encode([asdict(block) for block in self.blocks]),
            KEY_CLOCK: msgspec.json.encode(clock),
        }
        parts[KEY_DIGEST] = _footer_digest(parts).encode()
        self._writer.add_key_value_metadata(parts)
        self._writer.close()

    def abandon(self) -> None:
        """Drop an unfinished file."""
        self._writer.close()
        partial_path(self.path).unlink(missing_ok=True)


def _footer_digest(parts: dict[bytes, bytes]) -> str:
    digest = hashlib.sha256()
    for key in (KEY_FILE, KEY_BLOCKS, KEY_CLOCK):
        digest.update(len(parts[key]).to_bytes(8, "little"))
        digest.update(parts[key])
    return digest.hexdigest()


class DayFile:
    """Reads one file of the lake. Raises ``InputError`` naming the file for whatever is wrong with it.

    Pages are checked against their checksums whenever they are read: a tenth of the time, and no run sees damage."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True)
            parts = self._file.metadata.metadata or {}
        except FileNotFoundError:
            raise InputError("does not exist", source=str(path)) from None
        except (pa.ArrowException, OSError) as error:
            raise self._wrong(f"is no readable Parquet file, truncated perhaps: {error}") from None
        missing = [key.decode() for key in (KEY_FILE, KEY_BLOCKS, KEY_CLOCK, KEY_DIGEST) if key not in parts]
        if missing:
            raise self._wrong(f"is no file of a lake: its footer lacks {', '.join(missing)}")
        if _footer_digest(parts) != parts[KEY_DIGEST].decode("ascii", "replace"):
            raise self._wrong("has a damaged footer: its digest does not match")
        self.digest = parts[KEY_DIGEST].decode()  # covers the footer and in it every block's digest
        self.about: dict[str, Any] = msgspec.json.decode(parts[KEY_FILE])
        if self.about["format"] != FORMAT:
            raise self._wrong(f"has lake format {self.about['format']}, this version reads {FORMAT}: import again")
        self.blocks = msgspec.json.decode(parts[KEY_BLOCKS], type=list[BlockInfo])
        self._clock = parts[KEY_CLOCK]

    def _wrong(self, why: str) -> InputError:
        return InputError(why, source=str(self.path))

    def clock(self) -> dict[str, Any]:
        """The receive-clock offset series, by recording."""
        found: dict[str, Any] = msgspec.json.decode(self._clock)
        return found

    @property
    def messages(self) -> int:
        return sum(block.count for block in self.blocks)

    @property
    def rows(self) -> int:
        return sum(block.rows for block in self.blocks)

    def window(self, block: BlockInfo, aux_base: int) -> FeedWindow:
        """A block as a feed window, without copying its columns. Aux rows count from ``aux_base``."""
        columns = self._read(block.messages, _WINDOW_COLUMNS + (list(AUX_COLUMNS) if block.aux else []))
        ts_event, ts_recv, kind, ref, counts, shift = (_numpy(columns[name]) for name in _WINDOW_COLUMNS)
        aux = self._aux_rows(columns, block)
        if aux_base != block.aux_base and block.aux:
            ref = np.where(has_aux(kind), ref + (aux_base - block.aux_base), ref)
        side, px_ticks, qty_lots = self._level_rows(block.levels)
        return FeedWindow(
            ts_event=ts_event,
            ts_recv=ts_recv,
            kind=kind,
            row_start=_starts(counts),
            ref=ref,
            local_order=shift + np.arange(len(shift), dtype=np.int32),
            side=side,
            px_ticks=px_ticks,
            qty_lots=qty_lots,
            aux=aux,
            aux_base=aux_base,
        )

    def message_block(self, block: BlockInfo) -> MessageBlock:
        """A block with everything that is kept of it."""
        names = [*_WINDOW_COLUMNS, "ts_recv_raw", *(AUX_COLUMNS if block.aux else ())]
        columns = self._read(block.messages, names)
        kind = _numpy(columns["kind"])
        ref = _numpy(columns["ref"])
        if block.aux:
            ref = np.where(has_aux(kind), ref - block.aux_base, ref)
        side, px_ticks, qty_lots = self._level_rows(block.levels)
        return MessageBlock(
            ts_event=_numpy(columns["ts_event"]),
            ts_recv=_numpy(columns["ts_recv"]),
            ts_recv_raw=_numpy(columns["ts_recv_raw"]),
            kind=kind,
            ref=ref,
            row_start=_starts(_numpy(columns["row_count"])),
            side=side,
            px_ticks=px_ticks,
            qty_lots=qty_lots,
            aux=self._aux_rows(columns, block),
        )

    def columns(self, block: BlockInfo, names: list[str]) -> dict[str, Any]:
        """Some message columns of a block as arrays, named as in the file (without nulls: not ``aux_k``)."""
        return {name: _numpy(column) for name, column in self._read(block.messages, names).items()}

    def local_shift(self, block: BlockInfo) -> I32:
        """The stored client order of a block, as differences from its venue order."""
        shift: I32 = _numpy(self._read(block.messages, ["local_shift"])["local_shift"])
        return shift

    def checkpoint(self, block: BlockInfo) -> Levels:
        """The depth-only book before a block; empty while there was no valid one."""
        return self._level_rows(block.checkpoint)

    def _level_rows(self, group: int) -> Levels:
        if group < 0:
            return np.zeros(0, np.uint8), np.zeros(0, np.int32), np.zeros(0, np.int32)
        columns = self._read(group, _LEVEL_COLUMNS)
        return _numpy(columns["side"]), _numpy(columns["px_ticks"]), _numpy(columns["qty_lots"])

    def _aux_rows(self, columns: dict[str, Any], block: BlockInfo) -> I64:
        aux = np.zeros((block.aux, AUX_WIDTH), np.int64)
        if block.aux:
            for k, name in enumerate(AUX_COLUMNS):
                aux[:, k] = _numpy(columns[name].drop_null())
        return aux

    def _read(self, group: int, names: list[str]) -> dict[str, Any]:
        try:
            table = self._file.read_row_group(group, columns=names, use_threads=False)
        except (pa.ArrowException, OSError, IndexError, KeyError) as error:
            raise self._wrong(f"row group {group} cannot be read, the file is damaged: {error}") from None
        return {name: table.column(name) for name in names}


def _numpy(column: Any) -> Any:
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return array.to_numpy(zero_copy_only=True)


def _starts(counts: I32) -> I64:
    starts = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts
