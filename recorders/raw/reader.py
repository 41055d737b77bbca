"""The reader of raw recordings: streams what is there, says exactly what is not, and makes nothing up.

Theory of operation. A block is taken only when its header, its body, its recording, its segment and its sequence
numbers all hold. Where one does not, the reader looks for the next one that does and reports the bytes between as
``Damage``, together with the numbers of the records that are missing because of it. What follows damage is delivered:
a flipped bit costs one block. A recording that nobody ended ends with a ``Damage`` too, because what followed is
unknown. Files are read front to back; what is in memory at a time is one block.

States of a segment:

    sealed     complete
    unsealed   ends after a whole block, but nobody sealed it: its writer was killed
    torn       its last block is not whole (``torn_at`` is where it begins): killed in the middle of a write
    damaged    something before its end is unreadable
    open       its writer is alive

States of a recording: ``closed`` (ended on purpose), ``stopped`` (the disk failed, the reserve says so),
``unfinished`` (killed, or the disk failed and took the reserve with it), ``open``; ``whole`` tells whether nothing in
it is damaged.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np

from recorders.raw.records import RawRecord
from recorders.raw.segment import (
    ABOUT,
    HEADER_BYTES,
    MAGIC,
    RECORDS,
    RESERVE_SEGMENT,
    SEAL,
    Header,
    RawBlock,
    Seal,
    SegmentAbout,
    body_holds,
    decode_json,
    decode_records,
    parse_header,
)
from recorders.raw.writer import RESERVE_NAME
from venues.errors import InputError
from venues.ports import is_claimed

SEARCH_BYTES: Final = 1 << 20
DAMAGE_MAX: Final = 1_000  # that a segment's state lists; all are counted
UNFINISHED: Final = "the recording ends without having been ended"
MISSING: Final = "records are missing"
FOLDER_NAME: Final = re.compile(r"\d{8}T\d{6}Z-([0-9a-f]{16})")
SEGMENT_NAME: Final = re.compile(r"(\d{8})\.seg")


class Damage(NamedTuple):
    """Bytes ``start`` to ``end`` of a segment's file that hold no readable records.

    ``first_lost`` to ``last_lost`` are the numbers of the records that are missing here: both None when none is,
    ``last_lost`` None when nobody knows how many followed.
    """

    segment: int
    start: int
    end: int
    first_lost: int | None
    last_lost: int | None
    why: str


@dataclass(slots=True)
class SegmentState:
    """What was found in one segment. Sizes in bytes; ``plain_bytes`` of the records unpacked."""

    number: int
    path: Path
    bytes: int = 0
    state: str = "unsealed"
    torn_at: int | None = None
    about: SegmentAbout | None = None
    seal: Seal | None = None
    first_seq: int | None = None
    last_seq: int | None = None
    records: int = 0
    blocks: int = 0
    plain_bytes: int = 0
    damage: list[Damage] = field(default_factory=list)
    damage_count: int = 0


class _Found(NamedTuple):
    header: Header
    start: int
    end: int
    body: bytes


class _Hole(NamedTuple):
    start: int
    end: int
    why: str
    is_tail: bool


class RawRecording:
    """One recording: the folder ``path``. Raises ``InputError`` when it is none or cannot be read.

    ``about`` is what its writer was told, ``id`` its own name, ``is_open`` whether its writer was alive when this was
    made.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.is_open = is_claimed(self.path)
        self._paths = _segment_paths(self.path)
        named = FOLDER_NAME.fullmatch(self.path.name)
        if not self._paths and not named:
            raise InputError("is no recording: it has no segments (*.seg)", source=str(path))
        self._tag = int(named[1], 16) if named else None
        self.header = self._first_about()
        self.id = f"{self._tag:016x}" if self._tag is not None else ""
        self.about: dict[str, Any] = self.header.about if self.header else {}
        self._segments: list[SegmentState] | None = None
        self._reserve = SegmentState(RESERVE_SEGMENT, self.path / RESERVE_NAME)

    # -- what is in it

    @property
    def segments(self) -> list[SegmentState]:
        """Every segment, read and checked (once) without unpacking it."""
        if self._segments is None:
            for _ in self._walk():
                pass
        assert self._segments is not None
        return self._segments

    @property
    def state(self) -> str:
        """closed, stopped, unfinished or open."""
        segments = self.segments
        if self.is_open:
            return "open"
        if segments and segments[-1].seal is not None and segments[-1].seal.last:
            return "closed"
        return "stopped" if self._reserve.records else "unfinished"

    @property
    def damage(self) -> list[Damage]:
        """All damage in the order of the file, including the end of a recording that nobody ended."""
        return [one for segment in [*self.segments, self._reserve] for one in segment.damage]

    @property
    def whole(self) -> bool:
        """Whether every byte that was written can be read. A missing end is not damage to what was written."""
        return not any(segment.state in ("damaged", "torn") for segment in self.segments)

    def records(
        self,
        *,
        kinds: Collection[int] | None = None,
        connections: Collection[int] | None = None,
        start_ns: int | None = None,
        end_ns: int | None = None,
    ) -> Iterator[RawRecord | Damage]:
        """The records in the order they were written, and damage where it lies.

        ``kinds`` and ``connections`` restrict what is returned (damage always is), and so do ``start_ns`` (first
        receive time taken, wall clock) and ``end_ns`` (first not taken).
        """
        for item in self.blocks():
            if isinstance(item, Damage):
                yield item
            elif kinds is None and connections is None and start_ns is None and end_ns is None:
                yield from item.records()
            else:
                yield from item.records(_chosen(item, kinds, connections, start_ns, end_ns))

    def blocks(self) -> Iterator[RawBlock | Damage]:
        """The same, a block of records at a time, as columns."""
        for item in self._walk():
            if isinstance(item, Damage):
                yield item
                continue
            state, found = item
            if found.header.kind == RECORDS:
                try:
                    yield decode_records(found.header, found.body)
                except InputError as error:
                    yield _undecodable(state, found, error)

    # -- how it is read

    def _first_about(self) -> SegmentAbout | None:
        for number, path in self._paths.items():
            with _opened(path) as file, _readable(path):
                found = _try_block(file, 0, _size(file), _Budget(0))
            if not isinstance(found, _Found) or found.header.segment != number:
                continue
            if self._tag is None:
                self._tag = found.header.recording
            if found.header.recording == self._tag and found.header.kind == ABOUT:
                try:
                    about: SegmentAbout = decode_json(found.body, SegmentAbout, "head")
                except InputError:
                    continue
                return about
        return None

    def _walk(self) -> Iterator[tuple[SegmentState, _Found] | Damage]:
        """Every block in order, damage where it lies. Leaves the states of the segments behind."""
        states: list[SegmentState] = []
        reading = _Reading(self._tag)
        last = max(self._paths, default=0)
        before = 0
        for number, path in self._paths.items():
            if number > before + 1:
                reading.miss(Damage(before + 1, 0, 0, None, None, f"segments before {number} are not there"))
            before = number
            state = SegmentState(number, path)
            states.append(state)
            yield from reading.segment(state, quiet_tail=self.is_open and number == last)
        reserve = SegmentState(RESERVE_SEGMENT, self._reserve.path)
        if reserve.path.exists():
            yield from reading.segment(reserve, quiet_tail=False)
        ended = bool(states and states[-1].seal is not None and states[-1].seal.last) or reserve.records
        if not ended and not self.is_open:
            at = states[-1] if states else SegmentState(1, self.path)
            if not reading.pending:
                reading.miss(Damage(at.number, at.bytes, at.bytes, None, None, UNFINISHED), at)
            yield from reading.flush(None)
        else:
            yield from reading.flush(reading.expected)
        for state in states:
            state.state = _state(state, self.is_open and state.number == last)
        self._segments, self._reserve = states, reserve


class _Reading:
    """What a walk through the segments knows: the number that comes next, and damage whose cost is not known yet."""

    def __init__(self, tag: int | None) -> None:
        self.tag = tag
        self.expected = 1
        self.pending: list[tuple[Damage, SegmentState | None]] = []

    def miss(self, damage: Damage, state: SegmentState | None = None) -> None:
        """Remember damage until the next block tells what it cost."""
        if self.pending:
            (before, _) = self.pending[-1]
            if before.segment == damage.segment and before.end == damage.start and damage.end > damage.start:
                self.pending[-1] = (before._replace(end=damage.end), state)
                return
        self.pending.append((damage, state))

    def flush(self, next_seq: int | None) -> Iterator[Damage]:
        """The damage so far. The next record that is there is ``next_seq``; None: nobody knows."""
        first: int | None = self.expected
        last = None if next_seq is None else next_seq - 1
        if last is not None and last < self.expected:
            first = last = None
        for damage, state in self.pending:
            told = damage._replace(first_lost=first, last_lost=last)
            first = last = None  # the first of several takes it all
            if state is not None:
                state.damage_count += 1
                if len(state.damage) < DAMAGE_MAX:
                    state.damage.append(told)
            yield told
        self.pending = []

    def segment(self, state: SegmentState, *, quiet_tail: bool) -> Iterator[tuple[SegmentState, _Found] | Damage]:
        """Every block of one segment that is what it should be, damage where it is not."""
        with _opened(state.path) as file, _readable(state.path):
            state.bytes = _size(file)
            for item in _scan(file, state.bytes):
                if isinstance(item, _Hole):
                    self._hole(state, item, quiet_tail)
                    continue
                why = self._objection(state, item)
                if why is None and item.header.kind != RECORDS:
                    why = _take_json(state, item)
                if why is not None:
                    self.miss(Damage(state.number, item.start, item.end, None, None, why), state)
                    continue
                header = item.header
                if header.first_seq > self.expected and not self.pending:
                    self.miss(Damage(state.number, item.start, item.start, None, None, MISSING), state)
                yield from self.flush(header.first_seq)
                self.expected = header.next_seq
                if header.kind == RECORDS:
                    state.first_seq = header.first_seq if state.first_seq is None else state.first_seq
                    state.last_seq = header.next_seq - 1
                    state.records += header.records
                    state.blocks += 1
                    state.plain_bytes += header.plain
                yield state, item

    def _hole(self, state: SegmentState, hole: _Hole, quiet_tail: bool) -> None:
        if hole.is_tail and (quiet_tail or (state.number == RESERVE_SEGMENT and _zeros(state.path, hole))):
            return
        if hole.is_tail and state.number != RESERVE_SEGMENT:
            state.torn_at = hole.start
        self.miss(Damage(state.number, hole.start, hole.end, None, None, hole.why), state)

    def _objection(self, state: SegmentState, found: _Found) -> str | None:
        header = found.header
        if self.tag is None:
            self.tag = header.recording
        if header.recording != self.tag:
            return f"a block of another recording, {header.recording:016x}"
        if header.segment != state.number:
            return f"a block of segment {header.segment}"
        if header.first_seq < self.expected:
            return f"a block that repeats record {header.first_seq}"
        if state.seal is not None:
            return "a block after the seal"
        if header.next_seq >> 63:
            return f"a block with the impossible number {header.first_seq}"
        return None


def open_recordings(folder: str | Path) -> list[RawRecording]:
    """The recordings in a folder, oldest first, or the folder itself when it is one. ``InputError`` when none is."""
    path = Path(folder)
    if _is_recording(path):
        return [RawRecording(path)]
    try:
        inside = sorted(child for child in path.iterdir() if child.is_dir() and _is_recording(child))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", source=str(path)) from None
    if not inside:
        raise InputError("holds no raw recording", source=str(path))
    return [RawRecording(child) for child in inside]


def _is_recording(path: Path) -> bool:
    return path.is_dir() and (bool(FOLDER_NAME.fullmatch(path.name)) or any(path.glob("*.seg")))


def _segment_paths(folder: Path) -> dict[int, Path]:
    try:
        found = {int(m[1]): p for p in folder.iterdir() if (m := SEGMENT_NAME.fullmatch(p.name))}
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", source=str(folder)) from None
    return {number: found[number] for number in sorted(found)}


# -- one file


class _Budget:
    """How many bytes of bodies that turn out wrong may be read, before a file counts as made to waste time."""

    def __init__(self, size: int) -> None:
        self.left = 4 * size + SEARCH_BYTES


def _scan(file: BinaryIO, size: int) -> Iterator[_Found | _Hole]:
    """The blocks of a file whose bytes hold, and the holes between them."""
    at = 0
    hole: tuple[int, str] | None = None
    budget = _Budget(size)
    while at < size:
        found = _try_block(file, at, size, budget)
        if isinstance(found, _Found):
            if hole is not None:
                yield _Hole(hole[0], at, hole[1], False)
                hole = None
            yield found
            at = found.end
        else:
            hole = hole or (at, found)
            at = _next_magic(file, at + 1, size)
    if hole is not None:
        yield _Hole(hole[0], size, hole[1], True)


def _try_block(file: BinaryIO, at: int, size: int, budget: _Budget) -> _Found | str:
    """The block at an offset, or why there is none."""
    file.seek(at)
    start = file.read(min(HEADER_BYTES, size - at))
    header = parse_header(start)
    if header is None:
        return "an unfinished header" if len(start) < HEADER_BYTES else "no header of a block"
    end = at + HEADER_BYTES + header.stored
    if end > size:
        return f"unfinished: {header.name}"
    body = file.read(header.stored)
    if body_holds(header, body):
        return _Found(header, at, end, body)
    budget.left -= header.stored
    if budget.left < 0:
        raise InputError("is made of blocks that only pretend to be some", source=str(file.name), place=f"byte {at}")
    return f"damaged: {header.name}"


def _next_magic(file: BinaryIO, at: int, size: int) -> int:
    """Where the next block may begin; ``size`` when nowhere."""
    while at < size:
        file.seek(at)
        content = file.read(min(SEARCH_BYTES, size - at))
        if not content:
            break
        place = content.find(MAGIC)
        if place >= 0:
            return at + place
        at += max(1, len(content) - len(MAGIC) + 1)
    return size


def _take_json(state: SegmentState, found: _Found) -> str | None:
    try:
        if found.header.kind == SEAL:
            state.seal = decode_json(found.body, Seal, "seal")
        elif found.start == 0:
            state.about = decode_json(found.body, SegmentAbout, "head")
        else:
            return "a head that is not at the beginning"
    except InputError as error:
        return error.why
    return None


def _state(state: SegmentState, is_open: bool) -> str:
    inside = [one for one in state.damage if one.end > one.start and one.start != state.torn_at]
    if inside or any(one.why == MISSING for one in state.damage):
        return "damaged"
    if state.torn_at is not None:
        return "torn"
    if state.seal is not None:
        return "sealed"
    return "open" if is_open else "unsealed"


def _undecodable(state: SegmentState, found: _Found, error: InputError) -> Damage:
    header = found.header
    return Damage(state.number, found.start, found.end, header.first_seq, header.next_seq - 1, error.why)


def _chosen(
    found: RawBlock,
    kinds: Collection[int] | None,
    connections: Collection[int] | None,
    start_ns: int | None,
    end_ns: int | None,
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    chosen = np.ones(len(found), np.bool_)
    if kinds is not None:
        chosen &= np.isin(found.kinds, list(kinds))
    if connections is not None:
        chosen &= np.isin(found.connections, list(connections))
    if start_ns is not None:
        chosen &= found.wall_ns >= start_ns
    if end_ns is not None:
        chosen &= found.wall_ns < end_ns
    return chosen


def _zeros(path: Path, hole: _Hole) -> bool:
    with _opened(path) as file, _readable(path):
        file.seek(hole.start)
        while content := file.read(SEARCH_BYTES):
            if content.strip(b"\0"):
                return False
    return True


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", source=str(path)) from None


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", source=str(path)) from None


def _size(file: BinaryIO) -> int:
    return file.seek(0, 2)
