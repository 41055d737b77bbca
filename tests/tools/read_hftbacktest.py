"""Reads books out of hftbacktest at given instants; started by ``compare_hftbacktest.py`` in hftbacktest's own
environment, where perpsim is not installed.

    read_hftbacktest.py DATA.npz TIMES.npy TICK LOT OUT.npz

OUT holds, for each of the rising client's times, the whole depth that a client has then: ``starts`` (n + 1), and rows
``side`` (1 bid, -1 ask), ``ticks``, ``lots``.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from hftbacktest import BacktestAsset, HashMapMarketDepthBacktest
from hftbacktest.types import BUY_EVENT


def main() -> None:
    data, times_path, tick, lot, out = sys.argv[1:]
    times = np.load(times_path)
    asset = (
        BacktestAsset()
        .data([data])
        .linear_asset(1.0)
        .constant_order_latency(0, 0)
        .tick_size(float(tick))
        .lot_size(float(lot))
        .no_partial_fill_exchange()
        .risk_adverse_queue_model()
        .trading_value_fee_model(0.0, 0.0)
    )
    hbt = HashMapMarketDepthBacktest([asset])
    started = time.perf_counter()
    starts, parts = [0], []
    hbt.elapse(0)
    for ts in times.tolist():
        if ts > hbt.current_timestamp and hbt.elapse(ts - hbt.current_timestamp) not in (0, 1):
            raise RuntimeError(f"hftbacktest: elapse to {ts} failed")
        depth = hbt.depth(0)
        levels = depth.snapshot()
        parts.append(levels.copy())
        depth.snapshot_free(levels)
        starts.append(starts[-1] + len(parts[-1]))
    rows = np.concatenate(parts) if parts else np.zeros(0)
    np.savez(
        out,
        starts=np.array(starts),
        side=np.where(rows["ev"] & BUY_EVENT == BUY_EVENT, 1, -1),
        ticks=np.rint(rows["px"] / float(tick)).astype(np.int64),
        lots=np.rint(rows["qty"] / float(lot)).astype(np.int64),
        seconds=time.perf_counter() - started,
    )
    hbt.close()


if __name__ == "__main__":
    main()
