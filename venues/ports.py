"""The ports to the outside world: clock, randomness, files. The only module that may touch any of them, beside
``venues/transport.py`` with the fourth port, the wire.

Theory of operation. Everything that decides something is a plain synchronous object which is told the time and handed
its bytes. What reads a clock, draws entropy or opens a file to keep takes it as one of the small protocols below; the
``System...`` classes are the real ones, and a test or a simulation passes its own (``VirtualClock``, ``MemoryFiles``).
That is what makes a live session replayable and lets days of it run in seconds. A test bans ``time``, ``random``,
``uuid`` and ``socket`` everywhere else.

Times are integers in nanoseconds. ``wall_ns`` is UTC since 1970 and may step; ``monotonic_ns`` never goes back and
has no meaning between processes.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import sys
import time
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from venues.errors import LocalError

_BOOT_CLOCK: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)
_monotonic_ns: Final = time.monotonic_ns if _BOOT_CLOCK is None else partial(time.clock_gettime_ns, _BOOT_CLOCK)


# -- clock


class Clock(Protocol):
    """Tells the time and lets it pass."""

    def wall_ns(self) -> int: ...

    def monotonic_ns(self) -> int: ...

    async def sleep_ns(self, duration_ns: int) -> None: ...


class SystemClock:
    """The machine's clocks and the event loop's sleep. ``wall_ns()``: UTC now, in nanoseconds since 1970.
    ``monotonic_ns()``: nanoseconds of a clock that never steps, and goes on while the machine is suspended where the
    system has such a clock: otherwise all later times would be early by as long as it slept. Both are the system's
    own functions, since they are called for every frame."""

    wall_ns = staticmethod(time.time_ns)
    monotonic_ns = staticmethod(_monotonic_ns)

    async def sleep_ns(self, duration_ns: int) -> None:
        """Return after at least ``duration_ns``; at once for 0 and below."""
        await asyncio.sleep(max(0, duration_ns) / 1e9)  # the loop wants seconds


class VirtualClock:
    """A clock that moves only when told to, and jumps through its own sleeps."""

    def __init__(self, start_ns: int = 0) -> None:
        self.now_ns = start_ns

    def wall_ns(self) -> int:
        """The virtual instant."""
        return self.now_ns

    def monotonic_ns(self) -> int:
        """The virtual instant."""
        return self.now_ns

    def advance_ns(self, duration_ns: int) -> None:
        """Move on. Raises ``LocalError`` for a negative duration: virtual time does not go back."""
        if duration_ns < 0:
            raise LocalError(f"a virtual clock cannot go back by {-duration_ns} ns")
        self.now_ns += duration_ns

    async def sleep_ns(self, duration_ns: int) -> None:
        """Move on at once, then let other tasks run."""
        self.advance_ns(max(0, duration_ns))
        await asyncio.sleep(0)


# -- randomness


class Entropy(Protocol):
    """Where seeds, nonces and ids come from. Simulated randomness is keyed (``matching.arith.draw``) instead."""

    def token(self, length: int) -> bytes: ...


class SystemEntropy:
    """The operating system's."""

    def token(self, length: int) -> bytes:
        """``length`` unpredictable bytes."""
        return secrets.token_bytes(length)


class CountingEntropy:
    """A predictable sequence, for tests and replays: 1, 2, 3 ... as big-endian numbers."""

    def __init__(self) -> None:
        self.count = 0

    def token(self, length: int) -> bytes:
        """The next number in ``length`` bytes."""
        self.count += 1
        return self.count.to_bytes(length, "big")


# -- files


class Files(Protocol):
    """Files that must be all there or not at all, or that only grow."""

    def read(self, path: Path) -> bytes: ...

    def write_whole(self, path: Path, content: bytes) -> None: ...

    def append(self, path: Path) -> AppendFile: ...

    def create(self, path: Path) -> AppendFile: ...

    def reserve(self, path: Path, size: int) -> ReserveFile: ...

    def claim(self, folder: Path) -> Claim: ...


class AppendFile(Protocol):
    """A file that only grows. ``sync`` returns when what was appended is on the disk, or raises."""

    def append(self, content: bytes) -> None: ...

    def sync(self) -> None: ...

    def close(self) -> None: ...


class ReserveFile(Protocol):
    """Room on the disk, taken while there is some, for the last words of a writer whose disk is full."""

    def write(self, content: bytes) -> None: ...

    def close(self) -> None: ...

    def remove(self) -> None: ...


class Claim(Protocol):
    """A new folder of one's own: whoever asks learns that it is in use until ``release``."""

    def release(self) -> None: ...


_sync_content: Final = os.fsync if sys.platform == "darwin" else os.fdatasync
LOCK_NAME: Final = ".lock"  # in a claimed folder; locked (flock) while its writer lives


class SystemFiles:
    """The file system. Failing to reach the disk is an ``OSError`` and never tried again silently."""

    def read(self, path: Path) -> bytes:
        """The whole content."""
        return path.read_bytes()

    def write_whole(self, path: Path, content: bytes) -> None:
        """Replace a file so that a crash leaves the old or the new one: write beside it, sync, rename, sync folder."""
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with beside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)

    def append(self, path: Path) -> SystemAppendFile:
        """Open for appending; created when absent."""
        path.parent.mkdir(parents=True, exist_ok=True)
        return SystemAppendFile(path)

    def create(self, path: Path) -> SystemAppendFile:
        """A new file. ``FileExistsError`` when there is one of that name."""
        return SystemAppendFile(path, must_be_new=True)

    def reserve(self, path: Path, size: int) -> SystemReserveFile:
        """A new file of ``size`` zero bytes that are on the disk."""
        return SystemReserveFile(path, size)

    def claim(self, folder: Path) -> SystemClaim:
        """Make ``folder``, and its parents, durably. ``FileExistsError`` when it is there: another's."""
        return SystemClaim(folder)


class SystemAppendFile:
    """An open file of the file system. Nothing is buffered: what failed is never tried again behind one's back."""

    def __init__(self, path: Path, *, must_be_new: bool = False) -> None:
        is_new = must_be_new or not path.exists()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | (os.O_EXCL if must_be_new else 0)
        self._handle = os.open(path, flags, 0o644)
        if is_new:
            try:
                _sync_folder(path.parent)
            except OSError:
                self.close()
                raise

    def append(self, content: bytes) -> None:
        """Hand bytes to the operating system; they are safe after ``sync``."""
        written = os.write(self._handle, content)
        if written < len(content):
            _write_all(self._handle, content[written:])

    def sync(self) -> None:
        """Wait until everything appended is on the disk."""
        _sync_content(self._handle)

    def close(self) -> None:
        """Close; a second time does nothing."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)


class UnkeptFile(SystemAppendFile):
    """A file in memory that nobody reads: written to as any other, it begins anew when it holds ``most`` bytes."""

    def __init__(self, most: int = 1 << 20) -> None:
        on_linux = hasattr(os, "memfd_create")
        self._handle = os.memfd_create("unkept") if on_linux else os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        self._most = self._left = most

    def append(self, content: bytes) -> None:
        """As a file of the file system."""
        self._left -= len(content)
        if self._left < 0:
            self._left = self._most - len(content)
            os.lseek(self._handle, 0, os.SEEK_SET)
        super().append(content)


class SystemReserveFile:
    """A file that is all zeros until it is needed. Writing over its blocks takes no new room."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            _write_all(self._handle, bytes(size))
            _sync_content(self._handle)
            _sync_folder(path.parent)
        except OSError:
            self.close()
            raise

    def write(self, content: bytes) -> None:
        """Write the last words over the zeros and wait until they are on the disk. ``LocalError`` when too long."""
        if len(content) > self._size:
            raise LocalError(f"{self._path}: {len(content)} bytes do not fit into {self._size}")
        os.lseek(self._handle, 0, os.SEEK_SET)
        _write_all(self._handle, content)
        _sync_content(self._handle)

    def close(self) -> None:
        """Close and leave the file; a second time does nothing."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)

    def remove(self) -> None:
        """Give the room back: it was not needed."""
        self.close()
        self._path.unlink()


class SystemClaim:
    """A folder that this process made, with a locked file in it. The lock ends with the process, however it ends."""

    def __init__(self, folder: Path) -> None:
        missing = [p for p in folder.parents if not p.exists()]
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
        for made in (folder, *missing):
            _sync_folder(made.parent)
        self._handle = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX)  # only a reader's question can be in the way, for an instant
        except OSError:
            self.release()
            raise

    def release(self) -> None:
        """Let the lock go; a second time does nothing."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)


def is_claimed(folder: Path) -> bool:
    """Whether a living process holds the claim on ``folder``."""
    try:
        handle = os.open(folder / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # a file system without locks cannot tell
    finally:
        os.close(handle)
    return False


def _write_all(handle: int, content: bytes) -> None:
    written = os.write(handle, content)
    while written < len(content):
        content = content[written:]
        written = os.write(handle, content)


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class MemoryFiles:
    """Files in a dictionary, for tests. ``synced`` is what would survive a crash."""

    def __init__(self) -> None:
        self.contents: dict[Path, bytes] = {}
        self.synced: dict[Path, bytes] = {}
        self.claimed: set[Path] = set()

    def read(self, path: Path) -> bytes:
        """The whole content; ``FileNotFoundError`` when absent."""
        if path not in self.contents:
            raise FileNotFoundError(str(path))
        return self.contents[path]

    def write_whole(self, path: Path, content: bytes) -> None:
        """Replace a file."""
        self.contents[path] = self.synced[path] = content

    def append(self, path: Path) -> MemoryAppendFile:
        """Open for appending; created when absent."""
        self.contents.setdefault(path, b"")
        return MemoryAppendFile(self, path)

    def create(self, path: Path) -> MemoryAppendFile:
        """A new file. ``FileExistsError`` when there is one of that name."""
        if path in self.contents:
            raise FileExistsError(str(path))
        return self.append(path)

    def reserve(self, path: Path, size: int) -> MemoryReserveFile:
        """A new file of ``size`` zero bytes."""
        self.create(path)
        self.write_whole(path, bytes(size))
        return MemoryReserveFile(self, path)

    def claim(self, folder: Path) -> MemoryClaim:
        """Take ``folder``. ``FileExistsError`` when it was claimed before or holds a file."""
        if folder in self.claimed or any(folder in path.parents for path in self.contents):
            raise FileExistsError(str(folder))
        self.claimed.add(folder)
        return MemoryClaim()


class MemoryAppendFile:
    """An open file of ``MemoryFiles``."""

    def __init__(self, files: MemoryFiles, path: Path) -> None:
        self._files = files
        self._path = path

    def append(self, content: bytes) -> None:
        """Add bytes."""
        self._files.contents[self._path] += content

    def sync(self) -> None:
        """Make what was appended survive a crash."""
        self._files.synced[self._path] = self._files.contents[self._path]

    def close(self) -> None:
        """Nothing to release."""


class MemoryReserveFile:
    """A reserve of ``MemoryFiles``."""

    def __init__(self, files: MemoryFiles, path: Path) -> None:
        self._files = files
        self._path = path

    def write(self, content: bytes) -> None:
        """Write the last words over the zeros. ``LocalError`` when too long."""
        zeros = self._files.contents[self._path]
        if len(content) > len(zeros):
            raise LocalError(f"{self._path}: {len(content)} bytes do not fit into {len(zeros)}")
        self._files.write_whole(self._path, content + zeros[len(content) :])

    def close(self) -> None:
        """Nothing to release."""

    def remove(self) -> None:
        """Give the room back: it was not needed."""
        del self._files.contents[self._path], self._files.synced[self._path]


class MemoryClaim:
    """A claim in ``MemoryFiles``."""

    def release(self) -> None:
        """Nothing to release."""
