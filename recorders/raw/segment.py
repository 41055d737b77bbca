"""The bytes of a raw segment: blocks that each prove themselves. Sans-I/O: bytes in, blocks out, and back.

Theory of operation. A segment is nothing but blocks, one after the other:

    about | records | records | ... | seal

Each begins with a header of 48 bytes (little-endian) and ends where the header says:

    magic 4s | version u16 | kind u8 | 0 u8 | segment u32 | stored u32 | plain u32 | records u32 |
    recording u64 | first_seq u64 |
    head_crc u32 (of the 40 bytes before) | crc u32 (of those 40 bytes and the body)

``stored`` is the size of the body, ``plain`` its size unpacked. ``recording`` and ``segment`` tie a block to its
place, so that a block of another file (a copy, old bytes under a new name, a recording inside a recorded frame) is
never taken for one of this file. ``first_seq`` is the number of the first record; for the blocks without records, of
the next one. The header has a check of its own because a torn block should still say what is missing.

    ABOUT    JSON: which recording, when, by what code, recording what
    RECORDS  zstd of columns: kinds u8, connections u32, wall_ns i64, mono_ns i64, sizes u32, then the payloads; times
             are differences to the record before (mono_ns as its difference minus wall's, which is almost nothing);
             columns wider than a byte are stored byte plane by byte plane, so that equal high bytes lie together
    SEAL     JSON: the segment is complete; ``last`` says whether the recording is

Unpacking never allocates more than ``PLAIN_MAX`` for a block, whatever its header claims.
"""

from __future__ import annotations

import functools
import itertools
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recorders.raw.records import FRAME_IN, NOTE, RawRecord
from venues.errors import InputError

MAGIC: Final = b"\xabPSR"
VERSION: Final = 1
ABOUT, RECORDS, SEAL = 1, 2, 3
RESERVE_SEGMENT: Final = 0xFFFFFFFF  # the segment number of the blocks in the reserve
HEADER_BYTES: Final = 48
PAYLOAD_MAX: Final = 32 << 20  # bytes of one payload
PLAIN_MAX: Final = 72 << 20  # bytes of a block unpacked: a full buffer, one payload more, and the columns
STORED_MAX: Final = PLAIN_MAX + (1 << 20)  # what cannot be compressed grows a little
COUNT_MAX: Final = 1 << 17  # records in a block
JSON_MAX: Final = 8 << 20  # bytes of an ABOUT or SEAL
ROW_BYTES: Final = 25  # of the columns, for each record
LEVEL_FAST: Final = 3  # about 1 us for a frame of 300 bytes, to 47 of them (gzip -6 of a whole file: 46)
LEVEL_SMALL: Final = 9  # about 5 us, to 38

_FIELDS: Final = struct.Struct("<4sHBBIIIIQQ")
_CHECKS: Final = struct.Struct("<II")
_fast: Final = pa.Codec("zstd", LEVEL_FAST)
_small: Final = pa.Codec("zstd", LEVEL_SMALL)

Row = tuple[int, int, int, int, bytes]  # kind, connection, wall_ns, mono_ns, payload


class Header(NamedTuple):
    """What stands before a block's body. Sizes in bytes."""

    kind: int
    segment: int
    stored: int
    plain: int
    records: int
    recording: int
    first_seq: int
    head_crc: int
    crc: int

    @property
    def next_seq(self) -> int:
        """The number of the record after this block."""
        return self.first_seq + self.records

    @property
    def name(self) -> str:
        """What it is, for people."""
        if self.kind == RECORDS:
            return f"records {self.first_seq} to {self.next_seq - 1}"
        return "the head" if self.kind == ABOUT else "the seal"


class SegmentAbout(msgspec.Struct, frozen=True):
    """The head of a segment. ``started_...`` are of the recording, ``wall_ns`` and ``mono_ns`` of this segment."""

    recording: str
    segment: int
    started_wall_ns: int
    started_mono_ns: int
    wall_ns: int
    mono_ns: int
    code: dict[str, str]
    about: dict[str, Any]


class Seal(msgspec.Struct, frozen=True):
    """The end of a segment: complete, with this many records. ``last``: the recording ends here, ``why`` says so."""

    why: str
    last: bool
    records: int
    wall_ns: int
    mono_ns: int


# -- out


def block(
    kind: int, recording: int, segment: int, first_seq: int, body: bytes, *, plain: int | None = None, count: int = 0
) -> bytes:
    """A whole block around a body. ``plain`` is the body's size unpacked, its own when None."""
    fields = _FIELDS.pack(
        MAGIC, VERSION, kind, 0, segment, len(body), len(body) if plain is None else plain, count, recording, first_seq
    )
    head_crc = zlib.crc32(fields)
    return b"".join((fields, _CHECKS.pack(head_crc, zlib.crc32(body, head_crc)), body))


def records_block(
    recording: int, segment: int, first_seq: int, rows: Sequence[Row], *, in_a_hurry: bool = False
) -> bytes:
    """The block of these records, numbered from ``first_seq``; ``in_a_hurry``: compressed for speed, not for size."""
    kinds, connections, walls, monos, payloads = zip(*rows, strict=True)
    wall = np.diff(np.array(walls, np.int64), prepend=np.int64(0))
    mono = np.diff(np.array(monos, np.int64), prepend=np.int64(0)) - wall
    plain = b"".join(
        (
            bytes(kinds),
            _planes(np.array(connections, "<u4")),
            _planes(wall),
            _planes(mono),
            _planes(np.fromiter(map(len, payloads), "<u4", len(rows))),
            *payloads,
        )
    )
    stored = (_fast if in_a_hurry else _small).compress(plain, asbytes=True)
    return block(RECORDS, recording, segment, first_seq, stored, plain=len(plain), count=len(rows))


def _planes(column: npt.NDArray[Any]) -> bytes:
    little = np.ascontiguousarray(column, column.dtype.newbyteorder("<"))
    return little.view(np.uint8).reshape(len(little), little.itemsize).T.tobytes()


# -- in


def parse_header(content: bytes) -> Header | None:
    """The header in these 48 bytes; None when they are none, or claim what no writer would write."""
    if len(content) != HEADER_BYTES or not content.startswith(MAGIC):
        return None
    _, version, kind, zero, segment, stored, plain, count, recording, first_seq = _FIELDS.unpack_from(content)
    head_crc, crc = _CHECKS.unpack_from(content, _FIELDS.size)
    if version != VERSION or zero or zlib.crc32(content[: _FIELDS.size]) != head_crc:
        return None
    if kind == RECORDS:
        sane = 0 < count <= COUNT_MAX and count * ROW_BYTES <= plain <= PLAIN_MAX and stored <= STORED_MAX
    else:
        sane = kind in (ABOUT, SEAL) and count == 0 and stored == plain <= JSON_MAX
    return Header(kind, segment, stored, plain, count, recording, first_seq, head_crc, crc) if sane else None


def body_holds(header: Header, body: bytes) -> bool:
    """Whether the body is the one the header was written for."""
    return len(body) == header.stored and zlib.crc32(body, header.head_crc) == header.crc


@dataclass(frozen=True, slots=True)
class RawBlock:
    """The records of one block as columns. ``ends[i]`` is where payload i ends in ``data``; the first begins at
    ``start``."""

    first_seq: int
    kinds: npt.NDArray[np.uint8]
    connections: npt.NDArray[np.uint32]
    wall_ns: npt.NDArray[np.int64]
    mono_ns: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    start: int
    data: bytes

    def __len__(self) -> int:
        return len(self.kinds)

    def records(self, chosen: npt.NDArray[np.bool_] | None = None) -> Iterator[RawRecord]:
        """The records, or those of them that are ``chosen``."""
        data, ends = self.data, self.ends.tolist()
        payloads = (data[a:b] for a, b in zip(itertools.chain((self.start,), ends), ends, strict=False))
        numbers = range(self.first_seq, self.first_seq + len(ends))
        columns = (self.kinds.tolist(), self.connections.tolist(), self.wall_ns.tolist(), self.mono_ns.tolist())
        rows = zip(numbers, *columns, payloads, strict=False)
        kept = rows if chosen is None else itertools.compress(rows, chosen.tolist())
        return map(_record, kept)


_record = functools.partial(tuple.__new__, RawRecord)  # RawRecord._make without its call


def decode_records(header: Header, body: bytes) -> RawBlock:
    """The records of a RECORDS block. Raises ``InputError`` when the body is not what a writer writes."""
    try:
        plain: bytes = _fast.decompress(body, decompressed_size=header.plain, asbytes=True)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InputError(f"a block does not unpack: {error}", source="segment", place=header.name) from None
    count = header.records
    kinds = np.frombuffer(plain, np.uint8, count)
    at = count
    columns = []
    for kind in ("<u4", "<i8", "<i8", "<u4"):
        width = np.dtype(kind).itemsize
        planes = np.frombuffer(plain, np.uint8, count * width, at).reshape(width, count)
        columns.append(np.ascontiguousarray(planes.T).view(kind).reshape(count))
        at += count * width
    connections, wall, mono, sizes = columns
    ends = at + np.cumsum(sizes, dtype=np.int64)
    wall_ns, mono_ns = np.cumsum(wall, dtype=np.int64), np.cumsum(mono + wall, dtype=np.int64)
    sizes_hold = ends[-1] == len(plain) and kinds.min() >= FRAME_IN and kinds.max() <= NOTE
    if not sizes_hold or wall_ns.min() < 0 or mono_ns.min() < 0:
        raise InputError("a block's columns contradict each other", source="segment", place=header.name)
    return RawBlock(header.first_seq, kinds, connections, wall_ns, mono_ns, ends, at, plain)


def decode_json(body: bytes, form: type[Any], what: str) -> Any:
    """The object in an ABOUT or SEAL. Raises ``InputError`` when it is none."""
    try:
        return msgspec.json.decode(body, type=form)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"a segment's {what} is no such thing: {error}", source="segment") from None
