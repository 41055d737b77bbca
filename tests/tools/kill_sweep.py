"""Kill a recorder at every system call that matters, or fail one, and see what its recording says afterwards.

    python tests/tools/kill_sweep.py [--points N] [--json]        needs Linux and strace

Theory of operation. This process imports the writer once and forks a recorder for every point. The recorder waits until
strace holds it, then records the same stream of frames with small blocks and small segments, in two forms: whole
writes, and every write cut into slices of 97 bytes, so that a kill also falls into the middle of a block. After each
sync it tells its number through a pipe, with ``writev``, which is not among the calls counted. strace lets the n-th
call of a kind be the last one (SIGKILL on entering it) or fail (ENOSPC or EIO, once or from then on). A first run
without injection counts the calls, so that the sweep has every one of them: write, fdatasync, fsync, openat that
creates, mkdir, flock, unlink (the writer makes no rename, ftruncate or fallocate; were it to, they would be swept too).

After each point: every record that was told to be synced is there; what is there is the truth from its first record
on, with nothing missing and nothing made up; the recording says how it ended, and damage is only a torn end. After a
failed call the writer has stopped, has not touched the segment again, and the gap is on record or the seal is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from recorders.raw import Gap, RecordingStopped, Stopped, decode_note, open_recordings  # noqa: E402
from tests.recorders.raw_scenes import read, rows, writer  # noqa: E402
from venues.errors import InputError  # noqa: E402
from venues.ports import SystemAppendFile, SystemFiles  # noqa: E402

CALLS = (
    "write", "pwrite64", "fsync", "fdatasync", "openat", "mkdir", "flock", "unlink", "unlinkat", "rename", "renameat",
    "renameat2", "ftruncate", "fallocate",
)  # fmt: skip
RECORDS = 160
SLICE_BYTES = 97
WAIT_SECONDS = 30
PR_SET_PTRACER, ANY = 0x59616D61, ctypes.c_ulong(-1)
TRUTH = rows(RECORDS)


class SlicedFile(SystemAppendFile):
    """An append file that hands everything over in small pieces."""

    def append(self, content: bytes) -> None:
        for at in range(0, len(content), SLICE_BYTES):
            super().append(content[at : at + SLICE_BYTES])


class SlicedFiles(SystemFiles):
    """The file system, in small pieces."""

    def create(self, path: Path) -> SlicedFile:
        return SlicedFile(path, must_be_new=True)


@dataclass(frozen=True)
class Point:
    """One run: ``sliced`` or whole writes, the ``number``-th ``call``, and what happens at it."""

    sliced: bool
    call: str
    number: int
    what: str  # an injection of strace, such as signal=SIGKILL or error=EIO
    forever: bool = False

    @property
    def injection(self) -> str:
        return f"inject={self.call}:{self.what}:when={self.number}{'+' if self.forever else ''}"


def record(root: Path, sliced: bool, told: int) -> None:
    """The recorder that is killed: tells through ``told`` what is synced and how it ended."""

    def tell(what: str) -> None:
        os.writev(told, [f"{what}\n".encode()])

    try:
        files = SlicedFiles() if sliced else SystemFiles()
        recorder = writer(root, files=files, block_bytes=800, rotate_bytes=2_500, sync_ns=10**18)
        synced = 0
        for row in TRUTH:
            recorder.append(*row)
            if recorder.synced_seq != synced:
                synced = recorder.synced_seq
                tell(str(synced))
        recorder.close()
        tell("closed")
    except RecordingStopped as stopped:
        tell(f"stopped {stopped.last_synced_seq}")


def run(root: Path, sliced: bool, injection: str | None) -> tuple[list[str], list[str], int]:
    """One recorder under strace. What it told, what strace saw, its wait status."""
    go_out, go_in = os.pipe()
    told_out, told_in = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(OSError):
            ctypes.CDLL(None).prctl(PR_SET_PTRACER, ANY, 0, 0, 0)
        os.close(told_out)
        os.read(go_out, 1)
        record(root, sliced, told_in)
        os._exit(0)
    os.close(told_in)
    log = root.with_suffix(".strace")
    trace = "trace=" + ",".join(f"?{call}" for call in (*CALLS, "writev"))
    command = ["strace", "-y", "-o", str(log), "-e", trace, "-p", str(child)]
    if injection is not None:
        command += ["-e", injection]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    first = tracer.stderr.readline()
    if "attached" not in first:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise SystemExit(f"strace cannot hold a process here: {first.strip()}{tracer.stderr.read().strip()}")
    os.write(go_in, b"x")
    with os.fdopen(told_out) as stream:
        told = stream.read().split("\n")[:-1]
    _, status = os.waitpid(child, 0)
    tracer.communicate(timeout=WAIT_SECONDS)
    for handle in (go_out, go_in):
        os.close(handle)
    seen = log.read_text().splitlines()
    log.unlink()
    return told, seen, status


def points(sliced: bool) -> list[Point]:
    """Every call of a run in which nothing happens, as kills; and failures of those that bring bytes to the disk."""
    with tempfile.TemporaryDirectory() as folder:
        told, seen, _ = run(Path(folder) / "raw", sliced, None)
    assert told[-1] == "closed", told
    _told_after_sync(seen)
    counts: Counter[str] = Counter()
    found = []
    for line in seen:
        call = line.split("(")[0]
        if call not in CALLS:
            continue
        counts[call] += 1
        if call == "openat" and "O_CREAT" not in line:
            continue
        found.append(Point(sliced, call, counts[call], "signal=SIGKILL"))
        for error in ("ENOSPC", "EIO"):
            if call == "write" or (call in ("fdatasync", "fsync") and error == "EIO"):
                found.append(Point(sliced, call, counts[call], f"error={error}"))
                found.append(Point(sliced, call, counts[call], f"error={error}", forever=True))
    return found


def _told_after_sync(seen: list[str]) -> None:
    """A kill loses nothing that the operating system holds, a power cut does: so the order of calls is checked."""
    unsynced = False
    for line in seen:
        if line.startswith("write("):
            unsynced = True
        elif line.startswith("fdatasync("):
            unsynced = False
        elif line.startswith("writev("):
            assert not unsynced, f"told before it was synced: {line}"
    assert any(line.startswith("writev(") for line in seen)


def check(root: Path, point: Point, told: list[str], seen: list[str]) -> str:
    """What became of the recording, in one word or two. AssertionError when it breaks a promise."""
    synced = max((int(one) for one in told if one.isdigit()), default=0)
    try:
        (recording,) = open_recordings(root)
    except InputError:
        assert synced == 0, "records were synced, and there is no recording"
        return "nothing yet"
    records, damage = read(recording.path)
    market = [one for one in records if one.kind != 5]
    notes = [decode_note(one.payload) for one in records if one.kind == 5]
    assert [one[1:] for one in market] == TRUTH[: len(market)], "what is there is not what was recorded"
    assert [one.seq for one in market] == list(range(1, len(market) + 1)), "numbers were made up"
    assert len(market) >= min(synced, RECORDS), f"{synced} records were synced, {len(market)} are there"
    assert not recording.is_open
    torn = [one for one in damage if one.end > one.start]
    assert len(torn) <= 1 and recording.state in ("closed", "stopped", "unfinished")
    assert all(one.state in ("sealed", "unsealed", "torn") for one in recording.segments)
    assert all(one.state == "sealed" for one in recording.segments[:-1])
    if recording.state == "unfinished":
        assert [one.first_lost for one in damage] == [len(market) + 1 + len(notes)], (
            f"the loss is not on record: {damage}"
        )
    if point.what.startswith("error="):
        _check_stop(point, told, seen, synced, notes)
    return recording.state + (f", {recording.segments[-1].state}" if recording.segments else ", no segment")


def _check_stop(point: Point, told: list[str], seen: list[str], synced: int, notes: list[object]) -> None:
    last_synced = int(told[-1].removeprefix("stopped "))
    assert last_synced >= synced  # above, when it was the rotation after a sync that failed
    at = next(k for k, line in enumerate(seen) if "(INJECTED)" in line)
    after = [line for line in seen[at + 1 :] if re.match(r"(p?write(64)?|f(data)?sync|openat)\(", line)]
    assert all("reserve.seg" in line for line in after), f"something was tried again: {after}"
    if not point.forever and any(line.startswith("fdatasync") for line in after):
        assert isinstance(notes[-2], Gap) and isinstance(notes[-1], Stopped), notes
        assert notes[-1].last_synced_seq == last_synced


def sweep(chosen: list[Point]) -> dict[str, object]:
    """Run the points. Outcomes by kind of point; ``failed`` lists the points that broke a promise, and how."""
    outcomes: dict[str, Counter[str]] = {}
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        for number, point in enumerate(chosen):
            root = Path(folder) / f"{number}-raw"
            told, seen, status = run(root, point.sliced, point.injection)
            kind = f"{point.call} {point.what}{' and on' if point.forever else ''}"
            try:
                if point.what == "signal=SIGKILL":
                    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, "it was not killed"
                outcome = check(root, point, told, seen)
            except AssertionError as error:
                outcome = "FAILED"
                failed.append(f"{point}: {error}")
            outcomes.setdefault(kind, Counter())[outcome] += 1
            shutil.rmtree(root, ignore_errors=True)
    kills = sum(point.what == "signal=SIGKILL" for point in chosen)
    return {
        "points": len(chosen),
        "kills": kills,
        "failures": len(chosen) - kills,
        "outcomes": {kind: dict(found) for kind, found in sorted(outcomes.items())},
        "failed": failed,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill or fail a recorder at every system call that matters.")
    parser.add_argument("--points", type=int, help="only about this many, spread over all")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    every = sorted(points(sliced=False) + points(sliced=True), key=lambda point: point.what)  # kinds side by side
    step = 1 if given.points is None else max(1, len(every) // given.points)
    found = sweep(every[step // 2 :: step])
    print(json.dumps(found) if given.json else json.dumps(found, indent=1))
    return 1 if found["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
