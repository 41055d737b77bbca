"""What the recorder noted and mended is what the lake then holds: one gap, and a book that is known again after it."""

from __future__ import annotations

import json
from pathlib import Path

from recorders.commands import build, gaps, verify
from recorders.live.recorder import Recorder
from recorders.raw import Gap, Resynced
from tests.recorders.test_live_recorder import FastClock, record
from tests.tools.replay_server import Answer, ReplayServer, Stay, Step, Until


def test_a_missing_diff_becomes_one_gap_of_the_lake(tmp_path: Path) -> None:
    clock = FastClock()
    seen: list[Recorder] = []

    def now_ms() -> int:
        return clock.wall_ns() // 10**6 - 2

    def diff(u: int, previous: int) -> bytes:
        data = {"e": "depthUpdate", "E": now_ms(), "T": now_ms(), "s": "BTCUSD_PERP", "ps": "BTCUSD", "U": u, "u": u,
                "pu": previous, "b": [[f"{50_000 - u}.0", "3"]], "a": []}  # fmt: skip
        return json.dumps({"stream": "btcusd_perp@depth@100ms", "data": data}).encode()

    def book(path: str) -> Answer:
        content = {"lastUpdateId": 2 if len(asked) == 0 else 6, "symbol": "BTCUSD_PERP", "pair": "BTCUSD",
                   "E": now_ms(), "T": now_ms(), "bids": [["49000.0", "5"]], "asks": [["51000.0", "7"]]}  # fmt: skip
        asked.append(path)
        return Answer(200, json.dumps(content).encode())

    asked: list[str] = []
    synced = Until(lambda: bool(seen) and seen[0].sessions[0].links[0].channels[0].synced)

    def script() -> list[Step]:
        return [diff(1, 0), diff(2, 1), synced, diff(3, 2), diff(5, 4), diff(6, 5), synced, diff(7, 6), Stay()]

    def until(server: ReplayServer, recorder: Recorder) -> bool:
        seen.append(recorder)
        channel = recorder.sessions[0].links[0].channels[0]
        return channel.frames == 6 and channel.synced

    made = record(tmp_path / "raw", lambda path, number: script(), until, rest=book, clock=clock, streams=("depth",))
    assert [(note.why, note.detail) for note in made.notes(Gap)] == [("sequence", "expected 3, found 4")]
    assert [note.how for note in made.notes(Resynced)] == ["rest", "rest"]

    built = build([tmp_path / "raw"], tmp_path / "lake")
    assert built["ok"] and verify(tmp_path / "lake")["ok"]
    (gap,) = gaps(tmp_path / "lake")["gaps"]
    assert gap["kind"] == "sequence" and gap["resynced"]
