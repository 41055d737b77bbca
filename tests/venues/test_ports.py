"""The real ports on this machine and its file system, and their stand-ins."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from pathlib import Path

import pytest

from venues.errors import LocalError
from venues.ports import (
    Clock,
    CountingEntropy,
    Entropy,
    Files,
    MemoryFiles,
    SystemClock,
    SystemEntropy,
    SystemFiles,
    VirtualClock,
    is_claimed,
)


def test_system_ports_are_the_protocols() -> None:
    clock: Clock = SystemClock()
    entropy: Entropy = SystemEntropy()
    files: Files = SystemFiles()
    stand_ins: tuple[Clock, Entropy, Files] = (VirtualClock(), CountingEntropy(), MemoryFiles())
    assert clock and entropy and files and stand_ins


def test_system_clock_is_the_machines() -> None:
    clock = SystemClock()
    before = time.time_ns()
    assert before <= clock.wall_ns() <= time.time_ns() + 10**9
    first = clock.monotonic_ns()
    asyncio.run(clock.sleep_ns(2_000_000))
    assert clock.monotonic_ns() - first >= 2_000_000
    asyncio.run(clock.sleep_ns(-5))
    if hasattr(time, "CLOCK_BOOTTIME"):  # it goes on while the machine is suspended
        boot_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        assert boot_ns <= clock.monotonic_ns() <= boot_ns + 60 * 10**9


def test_virtual_clock_sleeps_an_hour_at_once() -> None:
    clock = VirtualClock(1_000)
    started = time.monotonic()
    asyncio.run(clock.sleep_ns(3_600 * 10**9))
    assert clock.wall_ns() == clock.monotonic_ns() == 1_000 + 3_600 * 10**9
    assert time.monotonic() - started < 5
    with pytest.raises(LocalError, match="cannot go back by 1 ns"):
        clock.advance_ns(-1)


def test_entropy() -> None:
    assert len(SystemEntropy().token(16)) == 16
    assert SystemEntropy().token(16) != SystemEntropy().token(16)
    counting = CountingEntropy()
    assert [counting.token(2), counting.token(2)] == [b"\x00\x01", b"\x00\x02"]


@pytest.mark.parametrize("files", [SystemFiles(), MemoryFiles()], ids=["system", "memory"])
def test_files_write_whole_append_and_read(files: Files, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.bin"
    files.write_whole(path, b"one")
    files.write_whole(path, b"two")
    assert files.read(path) == b"two"
    log = tmp_path / "log"
    opened = files.append(log)
    opened.append(b"a")
    opened.append(b"b")
    opened.sync()
    opened.close()
    again = files.append(log)
    again.append(b"c")
    again.sync()
    again.close()
    assert files.read(log) == b"abc"
    with pytest.raises(FileNotFoundError):
        files.read(tmp_path / "absent")


@pytest.mark.parametrize("files", [SystemFiles(), MemoryFiles()], ids=["system", "memory"])
def test_new_files_claims_and_reserves_are_ones_own(files: Files, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "mine"
    claim = files.claim(folder)
    with pytest.raises(FileExistsError):
        files.claim(folder)
    opened = files.create(folder / "1")
    opened.append(b"a")
    opened.sync()
    opened.close()
    opened.close()
    with pytest.raises(FileExistsError):
        files.create(folder / "1")
    reserve = files.reserve(folder / "reserve", 10)
    assert files.read(folder / "reserve") == bytes(10)
    with pytest.raises(LocalError, match="11 bytes do not fit into 10"):
        reserve.write(b"12345678901")
    reserve.write(b"1234")
    assert files.read(folder / "reserve") == b"1234" + bytes(6)
    reserve.remove()
    with pytest.raises(FileNotFoundError):
        files.read(folder / "reserve")
    claim.release()
    claim.release()
    with pytest.raises(FileExistsError):
        files.claim(folder)  # it is there: a claim is of a new folder


def test_whether_a_claim_is_held_can_be_asked(tmp_path: Path) -> None:
    claim = SystemFiles().claim(tmp_path / "mine")
    assert is_claimed(tmp_path / "mine") and not is_claimed(tmp_path)
    claim.release()
    assert not is_claimed(tmp_path / "mine")


def test_a_failed_append_is_not_tried_again(tmp_path: Path) -> None:
    opened = SystemFiles().append(tmp_path / "f")
    opened.append(b"one")
    os.close(opened._handle)
    with pytest.raises(OSError, match="Bad file descriptor"):
        opened.append(b"two")
    opened._handle = -1
    opened.close()
    assert (tmp_path / "f").read_bytes() == b"one"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = SystemFiles()
    path = tmp_path / "state"
    files.write_whole(path, b"old")

    def failing(handle: int) -> None:
        raise OSError(5, "input/output error")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="input/output error"):
        files.write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["state"]


def test_memory_files_lose_what_was_not_synced() -> None:
    files = MemoryFiles()
    opened = files.append(Path("log"))
    opened.append(b"a")
    opened.sync()
    opened.append(b"b")
    assert files.contents[Path("log")] == b"ab"
    assert files.synced[Path("log")] == b"a"


def test_files_are_private_enough(tmp_path: Path) -> None:
    SystemFiles().write_whole(tmp_path / "f", b"x")
    assert not stat.S_IMODE((tmp_path / "f").stat().st_mode) & stat.S_IWOTH
