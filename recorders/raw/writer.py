"""The writer of raw recordings: appends are cheap, what is synced stays, and the first failure is the end.

Theory of operation. Records gather in memory until a block is full or its first record is ``sync_ns`` old; then the
block is compressed, appended to the segment, and synced. So a kill, at whatever byte, loses at most the block that
was not synced yet, and never a byte before it: a segment only grows and is never reopened. When a segment is old or
big enough it is sealed and the next one begun; sequence numbers run on.

The first write or sync that fails ends the recording: nothing is tried again, because after a failed sync the operating
system may have thrown the data away and reports success the next time. What could not be kept is said in a last note,
written over a small reserve that was laid out while the disk still had room; when even that fails, the missing
seal says it. From then on every call raises ``RecordingStopped``.

A recording is one folder, ``<root>/<UTC start>-<id>``, which the writer makes and claims; it is never taken up again by
another process, which begins a recording of its own. One thread at a time may use a writer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NoReturn

import msgspec

from recorders.raw.notes import RECORDER, Gap, Note, Stopped, encode_note
from recorders.raw.records import FRAME_IN, KINDS, NOTE
from recorders.raw.redact import LISTEN_KEY, QUICK_BYTES, Redactor
from recorders.raw.segment import (
    ABOUT,
    COUNT_MAX,
    JSON_MAX,
    PAYLOAD_MAX,
    RESERVE_SEGMENT,
    SEAL,
    Row,
    Seal,
    SegmentAbout,
    block,
    records_block,
)
from recorders.writer import code_version
from venues.errors import InputError, LocalError
from venues.ports import AppendFile, Clock, Entropy, Files, SystemClock, SystemEntropy, SystemFiles

RESERVE_NAME: Final = "reserve.seg"
RESERVE_BYTES: Final = 64 << 10
ROTATE_BYTES: Final = 256 << 20
ROTATE_NS: Final = 3_600 * 10**9
BLOCK_BYTES: Final = 1 << 20
BLOCK_BYTES_MAX: Final = 32 << 20
SYNC_NS: Final = 10**9
BUSY_BYTES: Final = 5_000_000  # a second; above, time is dearer than room (compressing well takes a tenth of it here)
RECORD_COST: Final = 64  # bytes that a record weighs beside its payload, so that empty ones fill a block too
WHY_MAX: Final = 1_000
_NEVER: Final = 1 << 63


class RecordingStopped(LocalError):  # noqa: N818  # an end, not a kind of mistake
    """The recording could not be written on and has ended. ``last_synced_seq`` is the last record known to be safe."""

    def __init__(self, why: str, last_synced_seq: int) -> None:
        super().__init__(why)
        self.why = why
        self.last_synced_seq = last_synced_seq

    def __reduce__(self) -> tuple[type[RecordingStopped], tuple[str, int]]:
        return type(self), (self.why, self.last_synced_seq)


class RawWriter:
    """One recording, being written below ``root``.

    ``about`` is what is recorded (a JSON object). Secrets are taken out of everything (``redactor``). ``rotate_ns``:
    segments end at whole multiples of it in UTC; ``rotate_bytes``: or when they are this big; ``block_bytes`` and
    ``sync_ns`` bound what a kill can lose. Raises ``RecordingStopped`` when the folder or first segment cannot be
    written, ``InputError`` for impossible settings.
    """

    def __init__(
        self,
        root: str | Path,
        about: dict[str, Any],
        *,
        files: Files | None = None,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
        redactor: Redactor | None = None,
        rotate_bytes: int = ROTATE_BYTES,
        rotate_ns: int = ROTATE_NS,
        block_bytes: int = BLOCK_BYTES,
        sync_ns: int = SYNC_NS,
    ) -> None:
        _check("rotate_bytes", rotate_bytes, 1, _NEVER)
        _check("rotate_ns", rotate_ns, 1, _NEVER)
        _check("block_bytes", block_bytes, 1, BLOCK_BYTES_MAX)
        _check("sync_ns", sync_ns, 0, _NEVER)
        self._files: Files = files or SystemFiles()
        self._clock: Clock = clock or SystemClock()
        self._rotate_bytes, self._rotate_ns = rotate_bytes, rotate_ns
        self._block_bytes, self._sync_ns = block_bytes, sync_ns
        self.redactor = redactor or Redactor()
        self._watched = self.redactor.watched
        self._about = _plain(about, self.redactor)
        self._started_wall_ns, self._started_mono_ns = self._clock.wall_ns(), self._clock.monotonic_ns()
        self.id = (entropy or SystemEntropy()).token(8).hex()
        self._tag = int(self.id, 16)
        start = datetime.fromtimestamp(self._started_wall_ns // 10**9, UTC)
        self.path = Path(root) / f"{start:%Y%m%dT%H%M%SZ}-{self.id}"
        self.synced_seq = 0
        self.segment = 0
        self.bytes_written = 0
        self.stopped: RecordingStopped | None = None
        self._closed = False
        self._next_seq = 1
        self._rows: list[Row] = []
        self._room = block_bytes
        self._due_ns = _NEVER
        self._segment_bytes = self._segment_first_seq = 0
        self._rotate_at_ns = 0
        self._file: AppendFile | None = None
        with self._ending():
            self._claim = self._files.claim(self.path)
        with self._ending():
            self._reserve = self._files.reserve(self.path / RESERVE_NAME, RESERVE_BYTES)
        with self._ending():
            self._begin_segment(self._started_wall_ns, self._started_mono_ns)

    # -- what an owner calls

    @property
    def next_seq(self) -> int:
        """The number that the next record will have."""
        return self._next_seq

    def append(self, kind: int, connection: int, wall_ns: int, mono_ns: int, payload: bytes) -> int:
        """Add a record and return its number. It is safe once ``synced_seq`` has reached that number.

        Raises ``RecordingStopped`` after the first failed write, ``InputError`` for what cannot be recorded (the
        recording goes on).
        """
        if kind != FRAME_IN or connection in self._watched or (len(payload) < QUICK_BYTES and LISTEN_KEY in payload):
            payload = self.redactor.payload(kind, connection, payload)
        if kind not in KINDS or connection >> 32 or (wall_ns | mono_ns) >> 63 or len(payload) > PAYLOAD_MAX:
            raise InputError(_why_not(kind, connection, wall_ns, mono_ns, payload), source=str(self.path))
        if self._file is None:
            self._refuse()
        seq = self._next_seq
        self._next_seq = seq + 1
        rows = self._rows
        if not rows:
            self._due_ns = mono_ns + self._sync_ns
        rows.append((kind, connection, wall_ns, mono_ns, payload))
        self._room -= len(payload) + RECORD_COST
        if self._room <= 0 or mono_ns >= self._due_ns or len(rows) >= COUNT_MAX:
            self.sync()
        return seq

    def note(self, note: Note, wall_ns: int, mono_ns: int, connection: int = 0) -> int:
        """Add a note about the recording itself."""
        return self.append(NOTE, connection, wall_ns, mono_ns, encode_note(note))

    def tick(self, mono_ns: int) -> None:
        """Let time pass: sync a block that is old enough, begin a new segment when it is time for one."""
        if self._file is None:
            self._refuse()
        if mono_ns >= self._due_ns:
            self.sync()
        elif not self._rows and self._clock.wall_ns() >= self._rotate_at_ns:
            self._rotate()

    def sync(self) -> None:
        """Write what is in memory and wait until it is on the disk."""
        if self._file is None:
            self._refuse()
        if self._rows:
            with self._ending():
                rows, first = self._rows, self._next_seq - len(self._rows)
                size, took_ns = self._block_bytes - self._room, rows[-1][3] - rows[0][3]
                hurry = size * 10**9 > BUSY_BYTES * took_ns
                self._write(records_block(self._tag, self.segment, first, rows, in_a_hurry=hurry))
                self._file.sync()
            self.synced_seq = self._next_seq - 1
            self._rows, self._room, self._due_ns = [], self._block_bytes, _NEVER
        if self._segment_bytes >= self._rotate_bytes or self._clock.wall_ns() >= self._rotate_at_ns:
            self._rotate()

    def close(self, why: str = "closed") -> None:
        """Write the rest, say that this is the end, and let the folder go. Does nothing twice, or after a stop."""
        if self._closed or self.stopped is not None:
            return
        wall_ns, mono_ns = self._clock.wall_ns(), self._clock.monotonic_ns()
        self.note(Stopped(why, self._next_seq - 1), wall_ns, mono_ns)
        self.sync()
        with self._ending():
            self._seal(why, last=True)
            self._reserve.remove()
        self._closed = True
        self._claim.release()

    # -- segments

    def _begin_segment(self, wall_ns: int, mono_ns: int) -> None:
        self.segment += 1
        about = SegmentAbout(
            self.id, self.segment, self._started_wall_ns, self._started_mono_ns, wall_ns, mono_ns,
            code_version(), self._about,
        )  # fmt: skip
        self._segment_bytes, self._segment_first_seq = 0, self._next_seq
        self._rotate_at_ns = (wall_ns // self._rotate_ns + 1) * self._rotate_ns
        self._file = self._files.create(self.path / f"{self.segment:08d}.seg")
        self._write(block(ABOUT, self._tag, self.segment, self._next_seq, msgspec.json.encode(about)))
        self._file.sync()

    def _rotate(self) -> None:
        with self._ending():
            self._seal("rotated", last=False)
            self._begin_segment(self._clock.wall_ns(), self._clock.monotonic_ns())

    def _seal(self, why: str, *, last: bool) -> None:
        assert self._file is not None and not self._rows
        records = self._next_seq - self._segment_first_seq
        seal = Seal(why[:WHY_MAX], last, records, self._clock.wall_ns(), self._clock.monotonic_ns())
        self._write(block(SEAL, self._tag, self.segment, self._next_seq, msgspec.json.encode(seal)))
        self._file.sync()
        self._file.close()
        self._file = None

    def _write(self, content: bytes) -> None:
        assert self._file is not None
        self._file.append(content)
        self._segment_bytes += len(content)
        self.bytes_written += len(content)

    # -- the end

    @contextlib.contextmanager
    def _ending(self) -> Iterator[None]:
        """Whatever the disk refuses in here ends the recording."""
        try:
            yield
        except OSError as error:
            self._stop(error)

    def _stop(self, error: OSError) -> NoReturn:
        lost = self._next_seq - 1 - self.synced_seq
        where = f"{self.path.name}/{self.segment:08d}.seg" if self.segment else str(self.path)
        why = f"{where}: {error.strerror or error}: the recording ends after record {self.synced_seq}, {lost} lost"
        self.stopped = RecordingStopped(why, self.synced_seq)
        self._rows = []
        if hasattr(self, "_reserve"):
            with contextlib.suppress(OSError, LocalError):  # the missing seal will say it
                self._reserve.write(self._last_words(why, lost))
        for held in (self._file, getattr(self, "_reserve", None)):
            if held is not None:
                with contextlib.suppress(OSError):
                    held.close()
        self._file = None
        if hasattr(self, "_claim"):
            self._claim.release()
        raise self.stopped from error

    def _last_words(self, why: str, lost: int) -> bytes:
        wall_ns, mono_ns = self._clock.wall_ns(), self._clock.monotonic_ns()
        notes = (Gap("", "", "", RECORDER, why[:WHY_MAX]), Stopped(why[:WHY_MAX], self.synced_seq, lost))
        rows: list[Row] = [(NOTE, 0, wall_ns, mono_ns, encode_note(note)) for note in notes]
        return records_block(self._tag, RESERVE_SEGMENT, self._next_seq, rows)

    def _refuse(self) -> NoReturn:
        if self.stopped is not None:
            raise RecordingStopped(self.stopped.why, self.stopped.last_synced_seq)
        raise LocalError(f"{self.path}: the recording is closed")


def _check(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise InputError(f"must be from {least} to {most}, not {value}", source="recording", field=name)


def _plain(about: dict[str, Any], redactor: Redactor) -> dict[str, Any]:
    try:
        content = msgspec.json.encode(about)
    except (TypeError, ValueError) as error:
        raise InputError(f"is no JSON: {error}", source="recording", field="about") from None
    if len(content) > JSON_MAX // 2:
        raise InputError(f"{len(content)} bytes are too much", source="recording", field="about")
    plain: dict[str, Any] = msgspec.json.decode(redactor.text(content))
    return plain


def _why_not(kind: int, connection: int, wall_ns: int, mono_ns: int, payload: bytes) -> str:
    if kind not in KINDS:
        return f"there is no kind {kind} of record"
    if connection >> 32:
        return f"connection {connection} is not from 0 to 4294967295"
    if len(payload) > PAYLOAD_MAX:
        return f"a payload of {len(payload)} bytes is more than {PAYLOAD_MAX}"
    return f"times {wall_ns} and {mono_ns} are not nanoseconds from 0 to 9223372036854775807"
