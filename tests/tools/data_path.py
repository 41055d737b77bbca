"""Where the time goes between a frame and its strategy, without sockets: ``python -m tests.tools.data_path [SECONDS]``.

A paper session in virtual time over a synthetic feed (as in tests/sim/test_live_paper.py), with the performance counter
read where a frame is handed over, behind each stage, and in ``on_book``. Prints microseconds a stage, p50 and p99, of
depth and of best quotes. On a busy machine the medians move little, since nothing sleeps between two frames: caches are
warm, so what a live session sees (``perpsim bench wire``) is several times as much.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from recorders.live.recorder import Live
from sim.live.runner import Session
from sim.strategy import Strategy
from tests.sim.live_wires import Played, run_file
from venues.binance.session import BinanceSession

STAGES = ("session", "record", "feed", "core", "strategy", "all")
now_ns = time.perf_counter_ns


class Stages:
    """Instants of the frame at hand, and durations by kind of frame and stage."""

    def __init__(self) -> None:
        self.kind = ""
        self.at: list[int] = []
        self.ns: dict[tuple[str, str], list[int]] = defaultdict(list)

    def seen(self) -> None:
        """The strategy has been called."""
        at = [*self.at, now_ns()]
        self.at = []
        if len(at) == len(STAGES):
            for stage, begun, ended in zip(STAGES, at, at[1:], strict=False):
                self.ns[self.kind, stage].append(ended - begun)
            self.ns[self.kind, "all"].append(at[-1] - at[0])


class Probe(Strategy):
    def __init__(self, stages: Stages) -> None:
        self.stages = stages

    def on_book(self, i: int) -> None:
        self.stages.seen()


def watch(stages: Stages) -> None:
    """Note the instants around each stage, for the rest of this process."""
    frame = Live.frame

    def begun(live: Live, payload: bytes) -> Any:
        head = payload[:60]
        stages.kind = "quotes" if b"bookTicker" in head else "depth" if b"@depth" in head else "other"
        stages.at = [now_ns()]
        return frame(live, payload)

    Live.frame = begun  # type: ignore[method-assign]
    for owner, name, is_after in (
        (BinanceSession, "on_frame", True), (Session, "_take", False), (Session, "_give", False),
        (Session, "_give", True),
    ):  # fmt: skip
        setattr(owner, name, _noted(stages, getattr(owner, name), is_after))


def _noted(stages: Stages, method: Any, is_after: bool) -> Any:
    def noted(*arguments: Any) -> Any:
        if not is_after:
            stages.at.append(now_ns())
            return method(*arguments)
        found = method(*arguments)
        stages.at.append(now_ns())
        return found

    return noted


def main() -> None:
    stages = Stages()
    watch(stages)
    with tempfile.TemporaryDirectory() as folder:
        Played(Path(folder), Probe(stages), run_file(), int(sys.argv[1]) if len(sys.argv) > 1 else 60)
    for kind in ("depth", "quotes"):
        for stage in STAGES:
            found = sorted(stages.ns[kind, stage][100:])
            p50, p99 = (found[int(share * (len(found) - 1))] / 1000 for share in (0.5, 0.99))
            print(f"{kind:7} {stage:9} {p50:7.1f} {p99:7.1f} us  ({len(found)})")


if __name__ == "__main__":
    main()
