"""The hot cache: decoded blocks of day files, ready to be mapped.

Theory of operation. Decoding a day file costs more than running a kernel over it. So whoever reads a block of the lake
writes its columns down as the kernels want them, and the next reader maps them: nothing is decoded or copied, and a
block's pages leave with its window.

    FOLDER/<identity of the day file>/<block>.cols       FOLDER is LAKE/.hot, or what PERPSIM_CACHE names

One file a block, not one a day: a run over an hour makes that hour hot, memory stays flat without further care, and a
file is whole or absent without locks (written under another name, then renamed; two writers write the same bytes). The
identity is the digest in the day file's footer, which covers every block's digest, so an entry can never belong to
other data: a day that is imported again has another name, and a copied lake may share a cache.

A file is a page of header, then the columns, each from a page's start with untouched room before it (see
``matching.feed.Room``; a hole in the file, so it takes no disk). The header holds the counts that fix the layout, and
a CRC-32 of itself and of the *page sums*: the sum modulo 2^64 of the words of each 4 KiB page of the columns. They are
checked whenever a block is mapped, at memory speed (a CRC of everything would cost a third of a bare replay): every
change within one word of a page, every lost, zeroed or exchanged page is found. What fails is deleted and decoded
again. (``Lake.verify`` compares entries with the day file value by value.)

A cache never fails a run: what cannot be written (full disk, read-only folder) is told once, as a ``RuntimeWarning``
and in ``HotCache.note``, and the run goes on by decoding. The total is bounded: days that were not read for longest
leave first. Nothing here is worth a sync; a file that a crash of the machine tore is found by its header.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import shutil
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from matching.feed import I64, U8, FeedWindow, Room
from recorders.blocks import AUX_WIDTH, has_aux
from recorders.files import PARTIAL
from venues.errors import InputError
from venues.ports import SystemClock

FOLDER: Final = ".hot"
SUFFIX: Final = ".cols"
PLACE_VARIABLE: Final = "PERPSIM_CACHE"  # a folder; "off": no cache
SIZE_VARIABLE: Final = "PERPSIM_CACHE_BYTES"
LIMIT_BYTES: Final = 16 << 30
PAGE: Final = 4096
ROOM_MESSAGES: Final = 4096
ROOM_ROWS: Final = 16384
LEFT_BEHIND_NS: Final = 600_000_000_000  # an unfinished file older than this is nobody's

_MAGIC: Final = b"perphot\1"
_HEADER: Final = struct.Struct("<8s32sIqqqII")  # magic, identity, block, messages, rows, aux, CRC of page sums, of this
_WORDS: Final = PAGE // 8
_NUMBER: Final = count()


@dataclass(frozen=True, slots=True)
class Shape:
    """What fixes a block's layout."""

    block: int
    messages: int
    rows: int
    aux: int


@dataclass(frozen=True, slots=True)
class _Column:
    """Where a column is: ``offset`` of its first item, ``room`` items before it; ``pages`` long."""

    name: str
    form: str
    length: int
    room: int
    offset: int

    @property
    def bytes(self) -> int:
        return self.length * np.dtype(self.form).itemsize

    @property
    def end(self) -> int:
        return self.offset + -(-self.bytes // PAGE) * PAGE


def _layout(shape: Shape) -> list[_Column]:
    n, rows = shape.messages, shape.rows
    wanted = (
        ("ts_event", "<i8", n, ROOM_MESSAGES),
        ("ts_recv", "<i8", n, ROOM_MESSAGES),
        ("ref", "<i8", n, ROOM_MESSAGES),
        ("kind", "u1", n, ROOM_MESSAGES),
        ("side", "u1", rows, ROOM_ROWS),
        ("px_ticks", "<i4", rows, ROOM_ROWS),
        ("qty_lots", "<i4", rows, ROOM_ROWS),
        ("row_start", "<i8", n + 1, 0),
        ("local_order", "<i4", n, 0),
        ("aux", "<i8", shape.aux * AUX_WIDTH, 0),
    )
    found = []
    at = PAGE
    for name, form, length, room in wanted:
        column = _Column(name, form, length, room, at + room * np.dtype(form).itemsize)
        found.append(column)
        at = column.end
    return found


def _page_sums(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """Sum modulo 2^64 of the words of each page; a last page that is not full counts as if zeros followed."""
    whole = len(data) // PAGE * PAGE
    sums: npt.NDArray[np.uint64] = data[:whole].view(np.uint64).reshape(-1, _WORDS).sum(axis=1)
    if whole == len(data):
        return sums
    last = np.zeros(PAGE, np.uint8)
    last[: len(data) - whole] = data[whole:]
    return np.append(sums, last.view(np.uint64).sum())


def _header(identity: bytes, shape: Shape, sums_crc: int) -> bytes:
    counts = (shape.block, shape.messages, shape.rows, shape.aux, sums_crc)
    start = _HEADER.pack(_MAGIC, identity, *counts, 0)[:-4]
    return start + zlib.crc32(start).to_bytes(4, "little")


class HotCache:
    """A folder of decoded blocks. ``note`` says why the cache is not written (empty: it is, or nothing had to be).

    ``hits``, ``misses`` and ``rebuilt`` (damaged entries) count blocks.
    """

    def __init__(self, folder: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self.note = ""
        self.hits = self.misses = self.rebuilt = 0
        self._held = -1  # bytes in the folder; unknown until something is written
        self._used: set[str] = set()

    # -- reading

    def read(self, identity: str, shape: Shape, aux_base: int) -> FeedWindow | None:
        """A block as a window whose aux rows count from ``aux_base``, or None: not there, or damaged."""
        path = self.path_of(identity, shape.block)
        self._use(identity)
        try:
            mapped = self._mapped(path, identity, shape)
        except OSError:
            mapped = None
        if mapped is None:
            self.misses += 1
            return None
        self.hits += 1
        return _window(mapped, shape, aux_base)

    def path_of(self, identity: str, block: int) -> Path:
        """Where a block's entry is, or would be."""
        return self.folder / identity / f"{block:05d}{SUFFIX}"

    def _use(self, identity: str) -> None:
        """Note that a day is used: the days that were not for longest are dropped first."""
        if identity not in self._used:
            self._used.add(identity)
            with contextlib.suppress(OSError):
                os.utime(self.folder / identity)

    def _mapped(self, path: Path, identity: str, shape: Shape) -> U8 | None:
        """The bytes of an entry, in private writable memory. A damaged one is deleted."""
        columns = _layout(shape)
        handle = os.open(path, os.O_RDONLY)
        try:
            whole = os.fstat(handle).st_size == columns[-1].end
            place = mmap.mmap(handle, columns[-1].end, mmap.MAP_PRIVATE) if whole else None
        finally:
            os.close(handle)
        if place is not None:
            mapped = np.frombuffer(place, np.uint8)
            sums = [_page_sums(mapped[column.offset : column.end]) for column in columns]
            crc = zlib.crc32(np.concatenate(sums).tobytes())
            if mapped[: _HEADER.size].tobytes() == _header(bytes.fromhex(identity), shape, crc):
                return mapped
        self.rebuilt += 1
        with contextlib.suppress(OSError):
            path.unlink()
        return None

    # -- writing

    def write(self, identity: str, shape: Shape, window: FeedWindow, aux_base: int) -> None:
        """Keep a decoded block, whose ``ref`` count aux rows from ``aux_base``. Never raises for a failing disk."""
        if self.note:
            return
        path = self.path_of(identity, shape.block)
        try:
            size = self._make_space(identity, _layout(shape))
            if not size:
                return
            self._make_folder(path.parent)
            partial = path.with_name(f".{path.name}.{os.getpid()}-{next(_NUMBER)}{PARTIAL}")
            try:
                self._write(partial, identity, shape, window, aux_base)
                partial.replace(path)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
            self._held += size
        except FileNotFoundError:
            pass  # another process has cleared the cache meanwhile
        except OSError as error:
            self._give_up(
                f"{self.folder} cannot be written ({error.strerror or error}): what is read is decoded each time"
            )

    @staticmethod
    def _make_folder(folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError as error:  # a place in which nobody can make one
            raise PermissionError(error.errno, error.strerror) from None

    def _write(self, path: Path, identity: str, shape: Shape, window: FeedWindow, aux_base: int) -> None:
        sums = []
        with path.open("xb", buffering=0) as stream:
            columns = _layout(shape)
            stream.truncate(columns[-1].end)
            for column in columns:
                values = window.aux.ravel() if column.name == "aux" else getattr(window, column.name)
                if column.name == "ref" and shape.aux:
                    values = np.where(has_aux(window.kind), values - aux_base, values)
                data = np.ascontiguousarray(values, column.form).view(np.uint8)
                sums.append(_page_sums(data))
                _write_all(stream.fileno(), data, column.offset)
            header = _header(bytes.fromhex(identity), shape, zlib.crc32(np.concatenate(sums).tobytes()))
            _write_all(stream.fileno(), np.frombuffer(header, np.uint8), 0)

    def _make_space(self, identity: str, columns: list[_Column]) -> int:
        """Drop days until an entry fits; its size on disk, or 0 when it does not fit."""
        size = PAGE + sum(column.end - column.offset for column in columns)
        if self._held < 0 or self._held + size > self.limit_bytes:
            self._remove_left_behind()
            self._held = sum(day.bytes for day in self.days())
        if self._held + size > self.limit_bytes:
            for day in sorted(self.days(), key=lambda day: day.used_ns):
                if day.identity not in self._used | {identity} and self._held + size > self.limit_bytes:
                    shutil.rmtree(self.folder / day.identity, ignore_errors=True)
                    self._held -= day.bytes
        if self._held + size <= self.limit_bytes:
            return size
        limit = f"{self.limit_bytes:,} bytes ({SIZE_VARIABLE})"
        self._give_up(
            f"{self.folder} is full of this run's own days, its limit is {limit}: the rest is decoded each time"
        )
        return 0

    def _give_up(self, note: str) -> None:
        self.note = note
        warnings.warn(f"hot cache: {note}", RuntimeWarning, stacklevel=2)

    def _remove_left_behind(self) -> None:
        now_ns = SystemClock().wall_ns()
        for path in self.folder.glob(f"*/.*{PARTIAL}"):
            with contextlib.suppress(OSError):
                if now_ns - path.stat().st_mtime_ns > LEFT_BEHIND_NS:
                    path.unlink()

    # -- the whole folder

    def days(self) -> Iterator[CachedDay]:
        """What the cache holds, by day file."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for entry in sorted(os.scandir(self.folder), key=lambda entry: entry.name):
                if entry.is_dir(follow_symlinks=False) and len(entry.name) == 2 * 32:
                    yield _day(Path(entry.path))

    def clear(self) -> int:
        """Drop everything; returns the bytes that were held. The folder itself stays when others' files are in it."""
        held = 0
        for day in list(self.days()):
            held += day.bytes
            shutil.rmtree(self.folder / day.identity, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()
        self._held = -1
        return held


@dataclass(frozen=True, slots=True)
class CachedDay:
    """Entries of one day file: ``blocks`` of them, ``bytes`` on disk, ``used_ns`` when last read."""

    identity: str
    blocks: int
    bytes: int
    used_ns: int


def _day(folder: Path) -> CachedDay:
    blocks = size = used_ns = 0
    with contextlib.suppress(FileNotFoundError):
        used_ns = folder.stat().st_mtime_ns
        for entry in os.scandir(folder):
            with contextlib.suppress(FileNotFoundError):
                size += entry.stat().st_blocks * 512
                blocks += entry.name.endswith(SUFFIX)
    return CachedDay(folder.name, blocks, size, used_ns)


def _write_all(handle: int, data: npt.NDArray[np.uint8], offset: int) -> None:
    view = data.data
    while view:
        done = os.pwrite(handle, view, offset)
        view, offset = view[done:], offset + done


def _window(mapped: U8, shape: Shape, aux_base: int) -> FeedWindow:
    full: dict[str, npt.NDArray[Any]] = {}
    seen: dict[str, Any] = {}
    for column in _layout(shape):
        dtype = np.dtype(column.form)
        full[column.name] = mapped[column.offset - column.room * dtype.itemsize :][
            : (column.room + column.length) * dtype.itemsize
        ].view(dtype)
        seen[column.name] = full[column.name][column.room :]
    if shape.aux and aux_base:
        refs: I64 = seen["ref"]
        refs[has_aux(seen["kind"])] += aux_base
    seen["aux"] = seen["aux"].reshape(-1, AUX_WIDTH)
    for column_seen in seen.values():
        column_seen.flags.writeable = False
    room = {name: full[name] for name in ("ts_event", "ts_recv", "kind", "ref", "side", "px_ticks", "qty_lots")}
    return FeedWindow(**seen, aux_base=aux_base, room=Room(ROOM_MESSAGES, ROOM_ROWS, **room))


def hot_cache(lake: Path) -> HotCache | None:
    """The cache of a lake as the environment says: inside the lake, in the folder that PERPSIM_CACHE names, or none.

    Raises ``InputError`` for a size limit that is no number of bytes.
    """
    place = os.environ.get(PLACE_VARIABLE, "")
    if place == "off":
        return None
    limit = os.environ.get(SIZE_VARIABLE, "") or str(LIMIT_BYTES)
    if not limit.isdecimal():
        raise InputError(f"must be a number of bytes, not {limit!r}", source=f"environment variable {SIZE_VARIABLE}")
    return HotCache(Path(place) if place else lake / FOLDER, int(limit))
