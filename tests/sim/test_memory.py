"""Memory does not grow with the feed: ten times the rows peak within a tenth of the same resident memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from matching import build_info
from recorders.commands import import_
from sim.synth import write_columns

ROOT = Path(__file__).resolve().parents[2]
ROWS = 500_000
PROGRAM = r"""
import re, sys
from pathlib import Path
from sim.backtest import backtest

document = {
    "feed": {"lake": sys.argv[1]},
    "venue": [{"name": "neutral", "latency": "10ms"}],
    "instrument": [{"symbol": "BTCUSDT", "mark": "mid"}],
    "strategy": "sim.bench.plain_maker:SkewedMaker",
}
result = backtest(document, out=sys.argv[2], html=False, show_progress=False)
# not ru_maxrss: that of a process which was started by a bigger one begins with the bigger one's
peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text()).group(1)
print(result.summary["events"], result.summary["fills"], peak)
"""


def peaks(folder: Path, rows: int) -> list[int]:
    """Peak resident memory (KiB, mapped pages included) of a run from a lake, then from its hot cache, each in a
    process of its own."""
    place = folder / str(rows)
    write_columns(place / "columns", rows)
    import_("columns", [place / "columns"], place / "lake", symbol="BTCUSDT")
    command = [sys.executable, "-c", PROGRAM, str(place / "lake"), str(place / "runs")]
    found = []
    for hot in (False, True):
        assert bool(list((place / "lake").glob(".hot/*/*.cols"))) == hot
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        assert done.returncode == 0, done.stderr
        events, fills, memory = map(int, done.stdout.split())
        assert events == rows and fills > rows // 1000
        found.append(memory)
    return found


@pytest.mark.skipif(not build_info()["compiled"], reason="millions of rows are for compiled kernels")
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system does not tell peak memory in /proc")
def test_memory_is_flat_in_the_length_of_the_feed(tmp_path: Path) -> None:
    (short, _), (long, hot) = peaks(tmp_path, ROWS), peaks(tmp_path, 10 * ROWS)
    assert long < 600 * 1024
    # A short run from the hot cache maps less than its full windows: what a long one may take is told by decoding.
    for peak in (long, hot):
        assert peak <= 1.1 * short, f"{short} KiB for {ROWS} rows, {peak} KiB for {10 * ROWS}"
