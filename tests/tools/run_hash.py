"""Prints the sha256 of the canonical order log of one fixed run: it must not depend on Python or on compilation.

    python tests/tools/run_hash.py [ROWS]

A synthetic feed goes through the importer, the lake, the kernel with correct partial fills, and the plain market maker.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from matching import codes  # noqa: E402
from matching.kernel import Core  # noqa: E402
from sim.bench import feeds  # noqa: E402
from sim.bench.harness import CountingSink, Market, prepare  # noqa: E402
from sim.bench.plain_maker import SkewedMaker  # noqa: E402
from sim.synth import write_columns  # noqa: E402

ROWS = 60_000
CANONICAL = (
    "account", "market", "order_no", "seq", "event", "reason", "ts_event_ns", "ticks", "lots", "liquidity", "fee_e8",
)  # fmt: skip


class KeepingSink(CountingSink):
    """Keeps the canonical columns of everything logged."""

    def __init__(self, lanes: int) -> None:
        super().__init__(lanes)
        self.parts: list[npt.NDArray[np.int64]] = []

    def drain(self, core: Core, final: bool) -> None:
        log = core.drain_log(final)
        self.count(log)
        self.parts.append(np.stack([log[name] for name in CANONICAL], axis=1))

    def rows(self) -> npt.NDArray[np.int64]:
        """All rows, sorted by account, market, order number and sequence."""
        rows = np.concatenate(self.parts)
        return rows[np.lexsort((rows[:, 3], rows[:, 2], rows[:, 1], rows[:, 0]))]


def log_hash(rows: int = ROWS) -> tuple[str, int]:
    """(sha256 of the canonical log, number of its rows) of the fixed run over ``rows`` feed rows."""
    with tempfile.TemporaryDirectory() as folder:
        feed = write_columns(Path(folder) / "feed", rows)
        source = feeds.lake_of(feed, Path(folder) / "lake").source(feeds.VENUE, feeds.SYMBOL)
        sink = KeepingSink(1)
        prepare(source, [SkewedMaker()], Market(exchange=codes.EXCHANGE_PARTIAL), sink).loop.run()
    log = sink.rows()
    return hashlib.sha256(log.astype("<i8").tobytes()).hexdigest(), len(log)


if __name__ == "__main__":
    print(*log_hash(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS))
