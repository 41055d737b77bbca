"""What ``perpsim data raw`` does, as functions that return plain dictionaries.

    info     what a folder of recordings holds: states, segments, connections, streams, counts, sizes, notes
    verify   the same recordings read to the last byte; everything that is not as it should be
    cat      the records themselves, one dictionary each

``ok`` of ``verify`` is False when there is a finding. A recording that is still being written is none; one that nobody
ended is, because nobody knows what it lacks.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from recorders.raw.notes import ClockOffset, Closed, Note, Opened, decode_note
from recorders.raw.reader import DAMAGE_MAX, Damage, RawRecording, SegmentState, open_recordings
from recorders.raw.records import KINDS, NOTE, RawRecord
from recorders.raw.segment import RESERVE_SEGMENT, RawBlock
from venues.errors import InputError

FINDINGS_MAX: Final = 1_000  # of a recording that are listed; all are counted


def info(folder: str | Path) -> dict[str, Any]:
    """What the recordings in ``folder`` (or the one that it is) hold."""
    found = [_read(recording).as_dict() for recording in open_recordings(folder)]
    return {"ok": True, "raw": str(folder), "recordings": found}


def verify(folder: str | Path) -> dict[str, Any]:
    """Read and check every byte of the recordings in ``folder``; ``ok`` is False when anything is amiss."""
    found = []
    for recording in open_recordings(folder):
        content = _read(recording)
        found.append(
            {
                "recording": str(recording.path),
                "state": recording.state,
                "whole": recording.whole,
                "segments": len(recording.segments),
                "records": content.records,
                "bytes": content.bytes,
                "findings": content.findings[:FINDINGS_MAX],
                "finding_count": len(content.findings) + content.more,
            }
        )
    return {"ok": not any(one["finding_count"] for one in found), "raw": str(folder), "recordings": found}


def cat(
    folder: str | Path,
    *,
    kinds: Collection[str] = (),
    connections: Collection[int] = (),
    start_ns: int | None = None,
    end_ns: int | None = None,
    limit: int | None = None,
) -> Iterator[dict[str, Any]]:
    """The records of the recordings in ``folder``, in the order they were written, and damage where it lies.

    ``payload`` is text; what is no UTF-8 is ``payload_base64``. Raises ``InputError`` for a kind that there is not, and
    for a range that ends before it begins.
    """
    if start_ns is not None and end_ns is not None and end_ns <= start_ns:
        raise InputError("is not after the start: there is nothing between them", source="raw cat", field="until")
    numbers = {name: number for number, name in KINDS.items()}
    for name in kinds:
        if name not in numbers:
            raise InputError(
                f"there is no kind {name!r}; there are {', '.join(numbers)}", source="raw cat", field="kind"
            )
    return islice(_cat(open_recordings(folder), {numbers[k] for k in kinds}, connections, start_ns, end_ns), limit)


def _cat(
    recordings: list[RawRecording],
    kinds: Collection[int],
    connections: Collection[int],
    start_ns: int | None,
    end_ns: int | None,
) -> Iterator[dict[str, Any]]:
    for recording in recordings:
        found = recording.records(
            kinds=kinds or None, connections=connections or None, start_ns=start_ns, end_ns=end_ns
        )
        for item in found:
            if isinstance(item, Damage):
                yield {"recording": recording.id, "damage": _damage(item)}
            else:
                yield {"recording": recording.id, **_record(item)}


def _record(record: RawRecord) -> dict[str, Any]:
    told: dict[str, Any] = {
        "seq": record.seq,
        "kind": KINDS[record.kind],
        "connection": record.connection,
        "wall_ns": record.wall_ns,
        "mono_ns": record.mono_ns,
    }
    try:
        told["payload"] = record.payload.decode()
    except UnicodeDecodeError:
        told["payload_base64"] = base64.b64encode(record.payload).decode()
    return told


@dataclass(slots=True)
class _Connection:
    number: int
    venue: str = ""
    url: str = ""
    streams: tuple[str, ...] = ()
    closed: str | None = None
    frames: int = 0
    payload_bytes: int = 0

    def as_dict(self) -> dict[str, Any]:
        return {
            "connection": self.number,
            "venue": self.venue,
            "url": self.url,
            "streams": list(self.streams),
            "closed": self.closed,
            "records": self.frames,
            "payload_bytes": self.payload_bytes,
        }


@dataclass(slots=True)
class _Content:
    recording: RawRecording
    records: int = 0
    payload_bytes: int = 0
    first_ns: int | None = None
    last_ns: int | None = None
    kinds: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    connections: dict[int, _Connection] = field(default_factory=dict)
    offsets: dict[str, ClockOffset] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    more: int = 0

    @property
    def bytes(self) -> int:
        return sum(segment.bytes for segment in self.recording.segments)

    def find(self, what: str) -> None:
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(what)
        else:
            self.more += 1

    def take(self, block: RawBlock) -> None:
        sizes = np.diff(block.ends, prepend=block.start)
        self.records += len(block)
        self.payload_bytes += int(sizes.sum())
        self.first_ns = int(block.wall_ns[0]) if self.first_ns is None else self.first_ns
        self.last_ns = int(block.wall_ns[-1])
        for kind, count in zip(*np.unique(block.kinds, return_counts=True), strict=True):
            self.kinds[KINDS[int(kind)]] += int(count)
        numbers, where = np.unique(block.connections, return_inverse=True)
        counts, amounts = np.bincount(where), np.bincount(where, weights=sizes)
        for number, count, amount in zip(numbers.tolist(), counts.tolist(), amounts.tolist(), strict=True):
            if number:
                one = self.connections.setdefault(number, _Connection(number))
                one.frames += count
                one.payload_bytes += int(amount)
        is_note = block.kinds == NOTE
        if is_note.any():
            for record in block.records(is_note):
                self._note(record)

    def _note(self, record: RawRecord) -> None:
        try:
            note: Note = decode_note(record.payload, source=f"record {record.seq}")
        except InputError as error:
            self.find(str(error))
            return
        self.notes[str(note.__struct_config__.tag)] += 1
        if isinstance(note, Opened):
            one = self.connections.setdefault(note.connection, _Connection(note.connection))
            one.venue, one.url, one.streams, one.closed = note.venue, note.url, note.streams, None
        elif isinstance(note, Closed):
            self.connections.setdefault(note.connection, _Connection(note.connection)).closed = note.why
        elif isinstance(note, ClockOffset):
            self.offsets[note.venue] = note

    def as_dict(self) -> dict[str, Any]:
        recording = self.recording
        damage = [one for one in recording.damage if one.end > one.start or one.first_lost is not None]
        return {
            "recording": str(recording.path),
            "id": recording.id,
            "state": recording.state,
            "whole": recording.whole,
            "about": recording.about,
            "code": recording.header.code if recording.header else {},
            "first_ns": self.first_ns,
            "last_ns": self.last_ns,
            "records": self.records,
            "kinds": dict(self.kinds),
            "notes": dict(self.notes),
            "bytes": self.bytes,
            "payload_bytes": self.payload_bytes,
            "compression": round(self.payload_bytes / self.bytes, 2) if self.bytes else None,
            "connections": [self.connections[number].as_dict() for number in sorted(self.connections)],
            "clock_offsets": {venue: note.offset_ns for venue, note in self.offsets.items()},
            "segments": [_segment(segment) for segment in recording.segments],
            "damage": [_damage(one) for one in damage[:DAMAGE_MAX]],
        }


def _read(recording: RawRecording) -> _Content:
    content = _Content(recording)
    for item in recording.blocks():
        if isinstance(item, Damage):
            content.find(damage_text(item))
        else:
            content.take(item)
    for segment in recording.segments:
        if segment.about is None and segment.state not in ("torn", "open"):
            content.find(f"segment {segment.number}: its head is not readable")
        if segment.seal is not None and segment.seal.records != segment.records and segment.state == "sealed":
            content.find(f"segment {segment.number}: sealed over {segment.seal.records} records, has {segment.records}")
    if recording.state == "stopped":
        content.find("the recording was stopped by its disk; its last notes say why")
    return content


def _segment(segment: SegmentState) -> dict[str, Any]:
    return {
        "segment": segment.number,
        "state": segment.state,
        "bytes": segment.bytes,
        "plain_bytes": segment.plain_bytes,
        "records": segment.records,
        "blocks": segment.blocks,
        "first_seq": segment.first_seq,
        "last_seq": segment.last_seq,
        "start_ns": segment.about.wall_ns if segment.about else None,
        "torn_at": segment.torn_at,
        "damage": segment.damage_count,
    }


def _damage(damage: Damage) -> dict[str, Any]:
    return damage._asdict()


def damage_text(damage: Damage) -> str:
    """Damage in one line."""
    where = "reserve" if damage.segment == RESERVE_SEGMENT else f"segment {damage.segment}"
    if damage.end > damage.start:
        where += f", bytes {damage.start} to {damage.end}"
    if damage.first_lost is None:
        lost = "no record is known to be lost"
    elif damage.last_lost is None:
        lost = f"what came from record {damage.first_lost} on is unknown"
    else:
        lost = f"records {damage.first_lost} to {damage.last_lost} are lost"
    return f"{where}: {damage.why}: {lost}"
