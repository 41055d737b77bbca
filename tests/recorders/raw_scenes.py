"""What the tests of raw recordings share: made-up frames, clocks that move, recordings on the disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from recorders.raw import FRAME_IN, Damage, RawRecord, RawRecording, RawWriter
from venues.ports import CountingEntropy, VirtualClock

START_NS = 1_790_000_000_000_000_000  # 2026-09-21T14:13:20Z
Row = tuple[int, int, int, int, bytes]


def frame(number: int) -> bytes:
    """A made-up trade, the same for the same number."""
    price = 60_000 + (number * 7_919) % 101
    return b'{"e":"trade","E":%d,"s":"BTCUSDT","t":%d,"p":"%d.10","q":"0.%03d"}' % (
        1_790_000_000_000 + number, number, price, number * 37 % 1_000,
    )  # fmt: skip


def rows(count: int, first: int = 1) -> list[Row]:
    """Frames on three connections, a millisecond apart."""
    return [
        (FRAME_IN, 1 + n % 3, START_NS + n * 1_000_000 + n % 7, n * 1_000_000, frame(n))
        for n in range(first, first + count)
    ]


def writer(root: Path, **settings: Any) -> RawWriter:
    """A writer with a clock that stands still and an id that counts."""
    settings = {"clock": VirtualClock(START_NS), "entropy": CountingEntropy(), **settings}
    return RawWriter(root, {"streams": ["trade"]}, **settings)


def append_all(target: RawWriter, what: Iterable[Row]) -> list[int]:
    return [target.append(*row) for row in what]


def read(path: Path) -> tuple[list[RawRecord], list[Damage]]:
    """Everything in a recording, records and damage apart."""
    return split(RawRecording(path).records())


def split(items: Iterator[RawRecord | Damage]) -> tuple[list[RawRecord], list[Damage]]:
    found: tuple[list[RawRecord], list[Damage]] = ([], [])
    for item in items:
        if isinstance(item, Damage):
            found[1].append(item)
        else:
            found[0].append(item)
    return found
