"""Files that are either whole or absent, and the fingerprints of those that go in.

Theory of operation. A reader must never see half a file, whatever kills the writer. So a file is written under
another name in the same folder, synced, renamed over its final name, and then the folder is synced, because a rename
is durable only once the folder is. What a killed writer leaves behind ends in ``.partial``: no reader looks at it and
the next writer, who holds the folder's lock, removes it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from venues.errors import InputError

PARTIAL: Final = ".partial"
LOCK_NAME: Final = ".lock"
SPOOL_PREFIX: Final = ".spool-"
READ_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class SourceFile:
    """An input file as it was when it was read: ``name`` without folders, size in bytes, sha256 of its bytes."""

    name: str
    bytes: int
    sha256: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def fingerprint(path: Path) -> SourceFile:
    """Size and sha256 of a file. Raises ``InputError`` naming the file when it cannot be read."""
    digest = hashlib.sha256()
    size = 0
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(READ_BYTES):
                digest.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", source=str(path)) from None
    return SourceFile(path.name, size, digest.hexdigest())


def partial_path(path: Path) -> Path:
    """The name under which ``path`` is written until it is whole."""
    return path.with_name(f".{path.name}{PARTIAL}")


def publish(path: Path) -> None:
    """Make the finished partial file of ``path`` durable under its final name."""
    partial = partial_path(path)
    handle = os.open(partial, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    partial.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """Create a folder with its parents, durably."""
    missing = [p for p in (folder, *folder.parents) if not p.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in missing:
        sync_folder(made.parent)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Hold a folder's write lock: a second writer is refused, and what a killed one left is removed."""
    make_folder(folder)
    handle = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError("another import is writing here; wait for it to end", source=str(folder)) from None
        for left in folder.rglob(f".*{PARTIAL}"):
            left.unlink()
        for spool in folder.glob(f"{SPOOL_PREFIX}*"):
            shutil.rmtree(spool)
        yield
    finally:
        os.close(handle)
