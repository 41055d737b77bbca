"""The order journal: every command before it leaves, and every private event, in an append-only file.

Theory of operation. A frame is a length and a checksum (both 32 bits, little-endian) and a MessagePack map. ``write``
takes a record, ``put`` hands all of them to the operating system in one call, ``sync`` returns when they are on the
disk: the gateway calls it before a command leaves, so that after a crash the journal names every order that the venue
can have, behind the events from which it followed. Events are put there once the strategy has heard of them, before
anything else is read from the venue, and synced with the next command, at each status interval, and at the end. A file
that was cut in the middle of a frame is read up to there (``read_journal``).

A failing disk is an ``OSError``, once, that ends the run. What is on a disk after a failed write or sync nobody knows,
so nothing more is written then (``is_failed``), and no order leaves that was not written down; cancels still do.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import msgspec

from venues.errors import InputError
from venues.ports import Files

MAGIC: Final = b"perpsim journal 1\n"
_HEAD: Final = struct.Struct("<II")
_head: Final = _HEAD.pack
FRAME_MAX: Final = 1 << 20
KEPT_MAX: Final = 1_024  # records that wait to be put

_encode = msgspec.msgpack.Encoder(enc_hook=lambda value: str(value)).encode
_decode = msgspec.msgpack.Decoder().decode


class Journal:
    """Appends to one file of a run."""

    def __init__(self, files: Files, path: Path) -> None:
        self.path = path
        self.records = 0
        self.is_synced = True
        self.is_failed = False
        self._kept: list[tuple[str, int, dict[str, Any]]] = []
        self._file = files.create(path)
        self._append, self._sync = self._file.append, self._file.sync
        self._file.append(MAGIC)
        self._file.sync()

    def write(self, kind: str, now_ns: int, content: dict[str, Any]) -> None:
        """Take one record: what it is, when (wall clock), and what it says, which must not change any more."""
        if self.is_failed:
            return
        self._kept.append((kind, now_ns, content))
        self.records += 1
        self.is_synced = False
        if len(self._kept) >= KEPT_MAX:
            self.put()

    def put(self) -> None:
        """Hand what was written to the operating system: safe from our own end, not yet from the machine's."""
        kept = self._kept
        if kept:
            frames: list[bytes] = []
            for kind, now_ns, content in kept:
                body = _encode({"kind": kind, "ts_ns": now_ns, **content})
                frames.append(_head(len(body), crc32(body)) + body)
            kept.clear()
            try:
                self._append(b"".join(frames))
            except OSError:
                self.is_failed = True
                raise

    def sync(self) -> None:
        """Return when everything written is on the disk."""
        if not self.is_synced and not self.is_failed:
            self.put()
            try:
                self._sync()
            except OSError:
                self.is_failed = True
                raise
            self.is_synced = True

    def close(self) -> None:
        """Sync and close."""
        self.sync()
        self._file.close()


def read_journal(content: bytes, name: str) -> Iterator[dict[str, Any]]:
    """The records of a journal file, up to where it was cut. ``InputError`` for a file that is none, or damaged."""
    if not content.startswith(MAGIC):
        raise InputError("is no order journal", source=name)
    at = len(MAGIC)
    while at + _HEAD.size <= len(content):
        size, checksum = _HEAD.unpack_from(content, at)
        body = content[at + _HEAD.size : at + _HEAD.size + size]
        if len(body) < size:
            return
        if size > FRAME_MAX or crc32(body) != checksum:
            raise InputError(f"is damaged at byte {at}", source=name)
        yield _decode(body)
        at += _HEAD.size + size
