"""What a disk does to a recording: full, failing, slow to tell; and a recorder that is killed in the middle of it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from recorders.raw import FRAME_IN, Gap, RawRecording, RawWriter, RecordingStopped, Stopped, decode_note
from recorders.raw.report import verify
from tests.recorders.raw_scenes import START_NS, append_all, read, rows, writer
from venues.errors import LocalError
from venues.ports import SystemAppendFile, SystemFiles, SystemReserveFile

ROOT = Path(__file__).resolve().parents[2]
TRUTH = rows(40)


class Disk:
    """Counts what is asked of a disk, and fails the ``at``-th time."""

    def __init__(self, at: int, code: int, *, half: bool = False, forever: bool = False) -> None:
        self.at, self.code, self.half, self.forever = at, code, half, forever
        self.count = 0
        self.asked: list[str] = []

    def ask(self, what: str) -> None:
        self.count += 1
        self.asked.append(what)
        if self.count == self.at or (self.forever and self.count > self.at):
            raise OSError(self.code, os.strerror(self.code))


class FailingFile(SystemAppendFile):
    disk: Disk

    def append(self, content: bytes) -> None:
        try:
            self.disk.ask("append")
        except OSError:
            if self.disk.half:  # what fitted is there, the rest did not
                super().append(content[: len(content) // 2])
            raise
        super().append(content)

    def sync(self) -> None:
        self.disk.ask("sync")
        super().sync()


class FailingReserve(SystemReserveFile):
    disk: Disk

    def write(self, content: bytes) -> None:
        self.disk.ask("last words")
        super().write(content)


class FailingFiles(SystemFiles):
    def __init__(self, disk: Disk) -> None:
        self.disk = disk

    def create(self, path: Path) -> FailingFile:
        self.disk.ask("create")
        made = FailingFile(path, must_be_new=True)
        made.disk = self.disk
        return made

    def reserve(self, path: Path, size: int) -> FailingReserve:
        self.disk.ask("reserve")
        made = FailingReserve(path, size)
        made.disk = self.disk
        return made


def record(folder: Path, disk: Disk) -> tuple[RawWriter | None, RecordingStopped | None, int]:
    """Record everything on this disk. The writer, how it was stopped, what was synced before."""
    recorder, synced = None, 0
    try:
        recorder = writer(folder, files=FailingFiles(disk), block_bytes=800, rotate_bytes=1_500, sync_ns=10**18)
        for row in TRUTH:
            recorder.append(*row)
            synced = recorder.synced_seq
        recorder.close()
    except RecordingStopped as stopped:
        return recorder, stopped, synced
    return recorder, None, synced


def _operations(folder: Path) -> list[str]:
    disk = Disk(0, 0)
    assert record(folder, disk)[1] is None
    return disk.asked


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("half", [False, True])
def test_the_first_failure_is_the_end_wherever_it_strikes(tmp_path: Path, code: int, half: bool) -> None:
    operations = _operations(tmp_path / "counted")
    assert {"create", "append", "sync", "reserve"} == set(operations) and operations.count("sync") > 10
    for at in range(1, len(operations) + 1):
        disk = Disk(at, code, half=half)
        recorder, stopped, synced = record(tmp_path / str(at), disk)
        assert stopped is not None and os.strerror(code) in stopped.why
        assert [one for one in disk.asked[at:] if one != "last words"] == []  # nothing is tried again
        if recorder is None:
            continue
        assert recorder.stopped is not None and recorder.synced_seq == stopped.last_synced_seq >= synced
        for call in (lambda one=recorder: one.append(*TRUTH[0]), recorder.sync, lambda one=recorder: one.tick(1)):
            with pytest.raises(RecordingStopped):
                call()  # type: ignore[operator]
        recorder.close()
        assert disk.asked[at:] == ["last words"]
        recording = RawRecording(recorder.path)
        records, damage = read(recorder.path)
        market = [one for one in records if one.kind == FRAME_IN]
        assert [one[1:] for one in market] == TRUTH[: len(market)] and len(market) >= synced
        *_, gap, last = [decode_note(one.payload) for one in records if one.kind != FRAME_IN]
        assert isinstance(gap, Gap) and gap.why == "recorder" and os.strerror(code) in gap.detail
        assert isinstance(last, Stopped) and last.last_synced_seq == recorder.synced_seq
        assert last.lost == recorder.next_seq - 1 - recorder.synced_seq
        lost = {n for one in damage if one.first_lost for n in range(one.first_lost, (one.last_lost or 0) + 1)}
        assert {one.seq for one in records} | lost == set(range(1, recorder.next_seq + 2))
        assert (recording.state in ("stopped", "closed") and not verify(recorder.path)["ok"]) or not damage


def test_without_its_last_words_the_missing_seal_tells(tmp_path: Path) -> None:
    recorder, stopped, synced = record(tmp_path, Disk(20, errno.ENOSPC, forever=True))
    assert recorder is not None and stopped is not None and synced
    records, damage = read(recorder.path)
    assert RawRecording(recorder.path).state == "unfinished"
    assert [(one.first_lost, one.last_lost) for one in damage] == [(len(records) + 1, None)]


class _DevFull(SystemFiles):
    def create(self, path: Path) -> SystemAppendFile:
        return SystemAppendFile(Path("/dev/full"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_the_machines_own_full_device_stops_it(tmp_path: Path) -> None:
    with pytest.raises(RecordingStopped, match="No space left on device"):
        writer(tmp_path, files=_DevFull())
    (folder,) = tmp_path.iterdir()
    assert RawRecording(folder).state == "stopped"


def test_a_disk_that_fills_up_ends_in_a_gap_on_record(tmp_path: Path) -> None:
    """A real file system without room, and the reserve on it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(disk)], capture_output=True, text=True, check=False
    ) if shutil.which("mount") else None  # fmt: skip
    if mounted is None or mounted.returncode:
        pytest.skip(f"cannot mount a small tmpfs: {mounted.stderr.strip() if mounted else 'no mount command'}")
    try:
        recorder = writer(disk, block_bytes=20_000, sync_ns=10**18)
        appended = 0
        with pytest.raises(RecordingStopped, match="No space left on device"):
            while appended < 10_000:
                recorder.append(FRAME_IN, 1, START_NS, appended, os.urandom(1_000))
                appended += 1
        assert recorder.synced_seq > 300
        records, damage = read(recorder.path)
        assert RawRecording(recorder.path).state == "stopped"
        assert [one.seq for one in records[:-2]] == list(range(1, recorder.synced_seq + 1))
        gap, last = (decode_note(one.payload) for one in records[-2:])
        assert isinstance(gap, Gap) and isinstance(last, Stopped)
        assert (last.last_synced_seq, last.lost) == (recorder.synced_seq, appended + 1 - recorder.synced_seq)
        assert (damage[0].first_lost, damage[0].last_lost) == (recorder.synced_seq + 1, appended + 1)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_folder_that_cannot_be_made_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LocalError, match="file"):
        writer(tmp_path / "file")


def test_what_was_recorded_before_a_stop_is_told_when_pickled() -> None:
    import pickle

    again = pickle.loads(pickle.dumps(RecordingStopped("full", 7)))
    assert (again.why, again.last_synced_seq, str(again)) == ("full", 7, "full")


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed: no kills at system calls")
def test_a_few_points_of_the_kill_sweep() -> None:
    """The whole sweep: python tests/tools/kill_sweep.py."""
    run = subprocess.run(
        [sys.executable, str(ROOT / "tests/tools/kill_sweep.py"), "--points", "12", "--json"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if "strace cannot hold a process here" in run.stderr:
        pytest.skip(run.stderr.strip())
    found = json.loads(run.stdout or "{}")
    assert run.returncode == 0 and found["failed"] == [], run.stdout + run.stderr
    assert found["points"] >= 12 and found["kills"] >= 3 and found["failures"] >= 3


def test_appending_is_not_stopped_by_a_clock_that_steps(tmp_path: Path) -> None:
    recorder = writer(tmp_path, sync_ns=1_000)
    append_all(recorder, [(FRAME_IN, 1, START_NS - n * 10**12, n, b"x") for n in range(100)])
    recorder.close()
    records, damage = read(recorder.path)
    assert [one.wall_ns for one in records[:100]] == [START_NS - n * 10**12 for n in range(100)] and damage == []
