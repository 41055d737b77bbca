"""Fuzzing campaigns guided by coverage: every codec, and the reader of raw segments.

    python tests/tools/fuzz_codecs.py --target okx --seconds 600
    python tests/tools/fuzz_codecs.py --list

Needs atheris, which is no dependency of this project (``pip install atheris``, on Linux with CPython 3.11 or newer);
without it the tool exits with 3. A campaign starts from the payloads written in the tests. An input of a codec is the
frames of one connection, a line each; one of the reader is a segment file, half of the time with its checks made right
so that what lies behind them is reached. A crash is an exception that is no ``VenueError`` (for the reader: no
``LocalError``), or a record that no reader could use; libFuzzer then writes the input to a file and exits with 77.

In the suite, tests/venues/test_codec_fuzz.py does the same by Hypothesis, and checks that the targets here work.
"""

from __future__ import annotations

import argparse
import json
import random
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

MAX_BYTES = 16_384
CONTENTS = (  # what a venue might say
    None, True, 0, -1, 1, 2**63, 1e400, 1e-7, "", "0", "-1", "x", "1e5", "9" * 41, [], {}, "snapshot", "delta",
    "update", "error", "raw", "100ms", "BTCUSDT", "BTC-USD", "BTC",
)  # fmt: skip
NO_ATHERIS = "atheris is not installed: pip install atheris (Linux, CPython 3.11 or newer)"


def codec_target(venue: str) -> Callable[[bytes], None]:
    """A function that feeds one connection's frames to the venue's codec."""
    from tests.venues.codec_payloads import new_codec
    from tests.venues.wire_cases import decodes_or_raises_venue_error

    codec = new_codec(venue)

    def run(data: bytes) -> None:
        codec.restart()
        for frame in data.split(b"\n", 64):
            decodes_or_raises_venue_error(codec, frame)

    return run


def codec_seeds(venue: str) -> list[bytes]:
    from tests.venues.codec_payloads import messages
    from tests.venues.wire_cases import encoded

    frames = [encoded(message) for message in messages(venue)]
    return [*frames, *(b"\n".join(frames[at : at + 6]) for at in range(0, len(frames), 3))]


def reader_target() -> Callable[[bytes], None]:
    """A function that reads bytes as the only segment of a recording."""
    from recorders.raw.reader import Damage, RawRecording
    from venues.errors import LocalError

    folder = Path(tempfile.mkdtemp(prefix="perpsim-fuzz-"))

    def run(data: bytes) -> None:
        content = data[1:] if data[:1] != b"\1" else repaired(data[1:])
        (folder / "00000001.seg").write_bytes(content)
        try:
            recording = RawRecording(folder)
            expected = 1
            for item in recording.records():
                if isinstance(item, Damage):
                    assert 0 <= item.start <= item.end, item
                    continue
                assert item.seq >= expected, "record numbers go back"
                assert isinstance(item.payload, bytes)
                expected = item.seq + 1
            assert recording.state in ("closed", "stopped", "unfinished", "open")
            assert isinstance(recording.whole, bool)
        except LocalError:
            pass

    return run


def reader_seeds() -> list[bytes]:
    from recorders.raw.records import FRAME_IN, NOTE
    from recorders.raw.segment import ABOUT, SEAL, block, records_block

    about = {
        "recording": "0" * 15 + "7", "segment": 1, "started_wall_ns": 1, "started_mono_ns": 1, "wall_ns": 1,
        "mono_ns": 1, "code": {}, "about": {"venue": "okx"},
    }  # fmt: skip
    seal = {"why": "end", "last": True, "records": 2, "wall_ns": 9, "mono_ns": 9}
    head = block(ABOUT, 7, 1, 1, json.dumps(about).encode())
    rows = [(NOTE, 0, 10, 10, b'{"type":"opened"}'), (FRAME_IN, 1, 20, 21, b'{"arg":{"channel":"books"}}')]
    first, second = records_block(7, 1, 1, rows), records_block(7, 1, 3, rows)
    end = block(SEAL, 7, 1, 5, json.dumps(seal).encode())
    files = [head + first + second + end, head + first, head + second + end, head + first + end]
    return [mode + content for mode in (b"\0", b"\1") for content in files]


def repaired(data: bytes) -> bytes:
    """The bytes with the size and the checks of every block made right, so that its body is looked at."""
    out, at = bytearray(data), 0
    while at + 48 <= len(out):
        stored = min(struct.unpack_from("<I", out, at + 12)[0], len(out) - at - 48)
        struct.pack_into("<4sH", out, at, b"\xabPSR", 1)
        struct.pack_into("<I", out, at + 12, stored)
        head_crc = zlib.crc32(out[at : at + 40])
        struct.pack_into("<II", out, at + 40, head_crc, zlib.crc32(out[at + 48 : at + 48 + stored], head_crc))
        at += 48 + stored
    return bytes(out)


def mutated_json(data: bytes, draw: random.Random) -> bytes | None:
    """One frame of the input with one of its values replaced, removed or repeated; None where none is JSON."""
    frames = data.split(b"\n")
    at = draw.randrange(len(frames))
    try:
        message = json.loads(frames[at])
    except (ValueError, RecursionError):
        return None
    places: list[tuple[Any, Any]] = []
    pending = [message]
    while pending:
        value = pending.pop()
        if isinstance(value, dict | list):
            for key in value if isinstance(value, dict) else range(len(value)):
                places.append((value, key))
                pending.append(value[key])
    if not places:
        return None
    holder, key = draw.choice(places)
    what = draw.random()
    if what < 0.2:
        del holder[key]
    elif what < 0.4:
        other, name = draw.choice(places)
        holder[key] = json.loads(json.dumps(other[name]))
    elif what < 0.5 and isinstance(holder, list):
        holder.insert(key, json.loads(json.dumps(holder[key])))
    else:
        holder[key] = draw.choice(CONTENTS)
    frames[at] = json.dumps(message, separators=(",", ":")).encode()
    if draw.random() < 0.1:
        frames.insert(draw.randrange(len(frames) + 1), draw.choice(frames))
    return b"\n".join(frames)


def targets() -> dict[str, tuple[Callable[[], Callable[[bytes], None]], Callable[[], list[bytes]]]]:
    """Each target by name: what makes its function, and its first inputs."""
    from venues.codecs import codec_venues

    found: dict[str, Any] = {
        venue: (lambda venue=venue: codec_target(venue), lambda venue=venue: codec_seeds(venue))
        for venue in codec_venues()
    }
    found["reader"] = (reader_target, reader_seeds)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", default="okx")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path, help="keep what was found here, and go on from it")
    parser.add_argument("--crashes", type=Path, default=Path(), help="where inputs that crash are written")
    parser.add_argument("--list", action="store_true", help="name the targets")
    options = parser.parse_args()
    try:
        import atheris
    except ImportError:
        print(NO_ATHERIS, file=sys.stderr)
        return 3
    with atheris.instrument_imports(include=["venues", "recorders"], enable_loader_override=False):
        known = targets()
        if options.list or options.target not in known:
            print("\n".join(known))
            return 0 if options.list else 2
        make, seeds = known[options.target]
        run = make()
        first = seeds()

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        draw = random.Random(seed)
        if options.target != "reader" and draw.random() < 0.6:
            found = mutated_json(data, draw)
            if found is not None and len(found) <= max_size:
                return found
        return bytes(atheris.Mutate(data, max_size))

    with tempfile.TemporaryDirectory() as folder:
        corpus = options.corpus or Path(folder)
        corpus.mkdir(parents=True, exist_ok=True)
        for number, content in enumerate(first):
            (corpus / f"seed-{number:03d}").write_bytes(content)
        options.crashes.mkdir(parents=True, exist_ok=True)
        atheris.Setup(
            [
                sys.argv[0], str(corpus), f"-max_total_time={options.seconds}", f"-max_len={MAX_BYTES}",
                f"-seed={options.seed}", "-print_final_stats=1", "-timeout=20", "-rss_limit_mb=2048",
                f"-artifact_prefix={options.crashes}/{options.target}-",
            ],
            run,
            custom_mutator=mutate,
        )  # fmt: skip
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
