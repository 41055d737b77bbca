"""Whether hftbacktest, fed with our export, has the same books as we have.

    python -m tests.tools.compare_hftbacktest PEER_PYTHON LAKE VENUE SYMBOL [--times 1000] [--seed 1]

Exports the instrument as npz, draws client's times at random (half of them instants of receipt), reads the whole depth
at each in hftbacktest and here (``Market.books``, as a client saw it, of depth alone), and prints JSON: times compared,
equal, levels compared, the first difference. Exit code 1 if there is one. PEER_PYTHON is the Python of an environment
with hftbacktest 2.x, such as ``bench --peers`` uses.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from recorders.access import Market
from recorders.export_hft import write_npz
from recorders.lake import Lake

READER = Path(__file__).with_name("read_hftbacktest.py")


def compare(market: Market, peer: str, times: int, seed: int) -> dict[str, Any]:
    """Compare the books of a slice at random times."""
    received = market.messages()["ts_recv_ns"].to_numpy()
    chosen = np.random.default_rng(seed)
    drawn = chosen.integers(received.min(), received.max(), times - times // 2)
    instants = np.sort(np.concatenate((drawn, chosen.choice(received, times // 2))))
    with tempfile.TemporaryDirectory() as folder:
        rows = write_npz(market, Path(folder) / "data.npz")
        np.save(Path(folder) / "times.npy", instants)
        instrument = market.instrument
        names = [str(Path(folder) / name) for name in ("data.npz", "times.npy", "out.npz")]
        step = [str(instrument.tick_size), str(instrument.lot_size)]
        subprocess.run([peer, str(READER), *names[:2], *step, names[2]], check=True, timeout=900)
        theirs = dict(np.load(names[2]))
    ours = market.books(instants, None, clock="recv", quotes=False)
    result: dict[str, Any] = {
        "times": times,
        "equal": 0,
        "levels": 0,
        "stale": 0,
        "rows": rows,
        "first_difference": None,
    }
    for k, row in enumerate(ours.iter_rows(named=True)):
        part = slice(int(theirs["starts"][k]), int(theirs["starts"][k + 1]))
        found = set(zip(*(theirs[name][part].tolist() for name in ("side", "ticks", "lots")), strict=True))
        expected: set[tuple[int, int, int]] = set()
        for side, name in ((1, "bid"), (-1, "ask")):
            expected |= {
                (side, *level) for level in zip(row[f"{name}_ticks"] or [], row[f"{name}_lots"] or [], strict=True)
            }
        result["levels"] += len(expected)
        result["stale"] += not row["valid"]
        if found == expected:
            result["equal"] += 1
        elif result["first_difference"] is None:
            result["first_difference"] = {
                "time_ns": row["time_ns"], "status": row["status"], "ours_only": sorted(expected - found)[:5],
                "theirs_only": sorted(found - expected)[:5],
            }  # fmt: skip
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer")
    parser.add_argument("lake")
    parser.add_argument("venue")
    parser.add_argument("symbol")
    parser.add_argument("--times", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    found = compare(Lake(given.lake).market(given.venue, given.symbol), given.peer, given.times, given.seed)
    print(json.dumps(found))
    return 0 if found["equal"] == found["times"] else 1


if __name__ == "__main__":
    sys.exit(main())
