"""How fast the recorder is, what a message costs, and whether one is lost: a venue on loopback that never waits.

    python tests/tools/record_throughput.py --messages 1_000_000

Two processes: this program plays a Binance capture of ../shared/data over and over on one websocket (update ids go on
rising from round to round, so the book chain holds), as fast as the recorder reads; ``perpsim record`` records it. Then
the recording is read back: the number of messages and the hash of all payloads in their order must be those that were
sent. Prints one JSON object:

    messages_per_s      from the first frame sent to the last one taken
    cpu_us_per_message  of the recorder's process, all threads, from its start to its seal
    bytes_per_message   on disk; gzip_bytes_per_message: lines ``receive_ns payload`` of the same messages, gzip level 6
    rss_mb              the recorder's resident memory during the run: at a tenth of the messages, at the end, highest
    lost                messages sent and not recorded; identical: whether the hashes agree

Without the capture, made-up messages of the same form are played. ``--slow-writer SECONDS`` makes every write wait.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests/tools")]

from replay_server import ReplayServer, captured, frame  # noqa: E402

CAPTURE = ROOT.parent / "shared/data/hftbacktest/examples/usdm/btcusdt_20240719.gz"
CHUNK = 500
GZIP_MESSAGES = 200_000
IDS = re.compile(rb'"U":(\d+),"u":(\d+),"pu":(\d+)')
BOOK = b'{"lastUpdateId":%d,"E":1,"T":1,"bids":[["1","1"]],"asks":[["2","1"]]}'


class Messages:
    """A capture played over and over, without end. ``digest`` and ``count`` tell what has been handed out."""

    def __init__(self, path: Path) -> None:
        self.digest = hashlib.sha256()
        self.count = 0
        self._parts: list[tuple[bytes, int, int, int, bytes]] = []
        first = last = 0
        for payload in (content for _, content in captured(path)) if path.exists() else made_up():
            found = IDS.search(payload)
            if found is None:
                self._parts.append((payload, 0, 0, 0, b""))
                continue
            ids = [int(group) for group in found.groups()]
            first, last = first or ids[2], ids[1]
            self._parts.append((payload[: found.start()], ids[0], ids[1], ids[2], payload[found.end() :]))
        self._step = last - first

    def chunks(self, total: int) -> Iterator[bytes]:
        """Websocket frames of ``total`` messages, in pieces."""
        shift, payloads = 0, []
        while True:
            for head, first, last, previous, tail in self._parts:
                if first:
                    ids = b'"U":%d,"u":%d,"pu":%d' % (first + shift, last + shift, previous + shift)
                    payloads.append(head + ids + tail)
                else:
                    payloads.append(head)
                if len(payloads) == CHUNK or self.count + len(payloads) == total:
                    self.count += len(payloads)
                    self.digest.update(hashed(payloads))
                    yield b"".join([frame(payload) for payload in payloads])
                    payloads = []
                    if self.count == total:
                        return
            shift += self._step


def made_up() -> Iterator[bytes]:
    """Frames of our own making, for machines without the capture."""
    for n in range(1, 10_000):
        levels = ",".join(
            f'["{60_000 + (n * k) % 997}.{k % 10}0","{(n * k) % 89}.{n % 1000:03d}"]' for k in range(1, 9)
        )
        yield (
            f'{{"stream":"btcusdt@depth@0ms","data":{{"e":"depthUpdate","E":{n},"T":{n},"s":"BTCUSDT","U":{2 * n},'
            f'"u":{2 * n + 1},"pu":{2 * n - 1},"b":[{levels}],"a":[]}}}}'
        ).encode()
        for _ in range(2):
            yield (
                f'{{"stream":"btcusdt@bookTicker","data":{{"e":"bookTicker","u":{n},"s":"BTCUSDT","b":"60000.10",'
                f'"B":"{n % 77}.100","a":"60000.20","A":"{n % 31}.5","T":{n},"E":{n}}}}}'
            ).encode()


def hashed(payloads: list[bytes]) -> bytes:
    """What is hashed of payloads: lengths keep their borders."""
    return b"".join([struct.pack("<I", len(payload)) + payload for payload in payloads])


class FastServer(ReplayServer):
    """Writes chunks of ready frames, as fast as they are taken."""

    def __init__(self, messages: Messages, total: int) -> None:
        super().__init__(lambda path, number: iter(()), self._book)
        self.messages = messages
        self.total = total
        self.began = self.ended = 0.0
        self.done = asyncio.Event()

    def _book(self, path: str) -> Any:
        from replay_server import Answer

        return Answer(200, BOOK % (1 << 60))

    async def _play(self, number: int, script: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        listening = asyncio.create_task(self._listen(number, reader, writer))
        self.began = time.monotonic()
        for chunk in self.messages.chunks(self.total):
            writer.write(chunk)
            await writer.drain()
        self.ended = time.monotonic()
        self.done.set()
        await listening


async def run(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    server = FastServer(Messages(options.capture), options.messages)
    port = await server.start()
    run_file = folder / "run.toml"
    run_file.write_text(
        '[[venue]]\nname = "binance_usdm"\n[[instrument]]\nsymbol = "BTCUSDT"\n[record]\nfolder = "raw"\n'
        'streams = ["depth", "quotes"]\n[connect.binance_usdm]\nbook = "0ms"\n'
        f'ws = "ws://127.0.0.1:{port}"\nrest = "http://127.0.0.1:{port}"\n'
    )
    command = [sys.executable, "-m", "sim.cli", "record", str(run_file), "--json"]
    if options.profile:
        command[1:3] = ["-c", PROFILED % str(options.profile)]
    if options.slow_writer:
        command[1:3] = ["-c", SLOW % options.slow_writer]
    recorder = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    watching = asyncio.create_task(watch(recorder, options.messages))
    await server.done.wait()
    lines, rss, taken = await watching
    recorder.send_signal(signal.SIGTERM)
    rest = await asyncio.to_thread(recorder.stdout.read)  # type: ignore[union-attr]
    _, status, usage = os.wait4(recorder.pid, 0)
    recorder.returncode = os.waitstatus_to_exitcode(status)
    await server.stop()
    last = json.loads([*lines, *rest.splitlines()][-1])
    sent = server.messages
    return {
        "messages": sent.count, "exit": recorder.returncode,
        "messages_per_s": round(sent.count / (taken - server.began)),
        "cpu_us_per_message": round((usage.ru_utime + usage.ru_stime) / sent.count * 1e6, 2),
        "rss_mb": {"at_a_tenth": rss["tenth"], "at_the_end": rss["end"], "highest": round(usage.ru_maxrss / 1e3, 1)},
        "queue_peak_mb": round(last["queue"]["peak_bytes"] / 1e6, 1), "gaps": last["gaps"], "dropped": last["dropped"],
        **check(Path(last["recording"]), sent, last),
    }  # fmt: skip


PROFILED = "import cProfile,sys; from sim.cli import main; cProfile.run('main()', %r)"
SLOW = (
    "import time; from recorders.raw.writer import RawWriter; plain = RawWriter._write\n"
    "def slow(self, content): time.sleep(%r); plain(self, content)\n"
    "RawWriter._write = slow\nfrom sim.cli import main; main()"
)


async def watch(recorder: subprocess.Popen[str], messages: int) -> tuple[list[str], dict[str, float], float]:
    """The recorder's status lines until it has taken everything, its memory meanwhile, and when that was."""
    rss = {"tenth": 0.0, "end": 0.0}
    line = ""
    while True:
        line = await asyncio.to_thread(recorder.stdout.readline)  # type: ignore[union-attr]
        if not line:
            raise SystemExit("the recorder ended too early")
        status = json.loads(line)
        taken = sum(row["frames"] for row in status["connections"])
        resident = resident_mb(recorder.pid)
        rss["end"] = resident
        if taken < messages // 10 or not rss["tenth"]:
            rss["tenth"] = resident
        if taken >= messages:
            return [line], rss, time.monotonic() - status["idle_s"]


def resident_mb(pid: int) -> float:
    """A process's resident memory."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+) kB", text)[0]) / 1e3


def check(path: Path, sent: Messages, last: dict[str, Any]) -> dict[str, Any]:
    """Read the recording back and compare it with what was sent."""
    from recorders.raw import FRAME_IN, RawRecord, RawRecording

    digest, count, packed, lines = hashlib.sha256(), 0, 0, []
    squeeze = zlib.compressobj(6, zlib.DEFLATED, 31)
    payloads: list[bytes] = []
    recording = RawRecording(path)
    for record in recording.records(kinds=(FRAME_IN,)):
        if not isinstance(record, RawRecord):
            continue
        payloads.append(record.payload)
        count += 1
        if count <= GZIP_MESSAGES:
            lines.append(b"%d %b\n" % (record.wall_ns, record.payload))
        if len(payloads) == 1000:
            digest.update(hashed(payloads))
            payloads = []
    digest.update(hashed(payloads))
    packed = len(squeeze.compress(b"".join(lines))) + len(squeeze.flush())
    written = last["disk"]["written_bytes"]
    return {
        "lost": sent.count - count, "identical": digest.digest() == sent.digest.digest(), "whole": recording.whole,
        "raw_bytes_per_message": round(sum(row["bytes"] for row in last["connections"]) / count, 1),
        "bytes_per_message": round(written / count, 2),
        "gzip_bytes_per_message": round(packed / min(count, GZIP_MESSAGES), 2),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--capture", type=Path, default=CAPTURE)
    parser.add_argument("--folder", type=Path, help="keep the recording here")
    parser.add_argument("--profile", type=Path, help="write the recorder's profile here (slower)")
    parser.add_argument("--slow-writer", type=float, default=0.0, help="seconds that every write takes longer")
    options = parser.parse_args()
    if options.folder is not None:
        options.folder.mkdir(parents=True, exist_ok=True)
        print(json.dumps(asyncio.run(run(options, options.folder))))
        return
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(asyncio.run(run(options, Path(folder)))))


if __name__ == "__main__":
    main()
