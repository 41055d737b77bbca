"""Runs hftbacktest over a feed of plain event columns; started by ``perpsim bench --peers`` in hftbacktest's own
environment, where perpsim is not installed. Prints one JSON object a task.

    run_hftbacktest.py FEED TASK [TASK ...]     tasks: replay, maker, maker_partial, lanes8, lanes64

The data are in memory and every function is compiled before the clock starts; the least times count.
The depth is ROIVectorMarketDepth, the faster of the two, bounded to the prices that occur.
"""

from __future__ import annotations

import json
import math
import resource
import sys
import time
from pathlib import Path

import hftbacktest
import numpy as np
from hftbacktest import GTX, LIMIT, BacktestAsset, ROIVectorMarketDepthBacktest
from hftbacktest.data.validation import correct_event_order
from hftbacktest.order import CANCELED, EXPIRED, FILLED
from hftbacktest.types import (
    BUY_EVENT,
    DEPTH_EVENT,
    DEPTH_SNAPSHOT_EVENT,
    SELL_EVENT,
    TRADE_EVENT,
    event_dtype,
)
from numba import njit

TICK, LOT = 0.1, 0.001
INTERVAL_NS = 100_000_000
LATENCY_NS = 10_000_000
MAKER_FEE, TAKER_FEE = -0.00005, 0.0007
LOTS, LIMIT_LOTS, SLOTS = 10, 100, 8
REPEATS = 5
LANE_REPEATS = 2
WARM_UP_ROWS = 20_000
HALVES = (0.5, 1.0, 2.0, 4.0, 0.75, 1.5, 2.5, 3.0)
SKEWS = (0.0, 0.5, 0.25, 0.125, 0.375, 0.0625, 0.1875, 0.75)
STEPS, SENT, CANCELS, FILLS, EXPIRED_COUNT, CANCELED_COUNT = range(6)


@njit
def replay(hbt):
    while hbt.elapse(INTERVAL_NS) == 0:
        pass


@njit
def settle(hbt, ids, leaves, counts):
    """Book what the client's copies of the orders say; returns the change of position in lots."""
    change = 0
    orders = hbt.orders(0)
    for side in range(2):
        for slot in range(SLOTS):
            if ids[side, slot] == 0:
                continue
            order = orders.get(ids[side, slot])
            if order is None:
                ids[side, slot] = 0
                continue
            left = 0 if order.status == FILLED else round(order.leaves_qty / LOT)
            executed = leaves[side, slot] - left
            leaves[side, slot] = left
            change += -executed if side else executed
            if order.status == FILLED:
                counts[FILLS] += 1
                ids[side, slot] = 0
            elif order.status == CANCELED:
                counts[CANCELED_COUNT] += 1
                ids[side, slot] = 0
            elif order.status == EXPIRED:
                counts[EXPIRED_COUNT] += 1
                ids[side, slot] = 0
    return change


@njit
def quote(hbt, side, ticks, wanted, ids, prices, leaves, counts):
    missing = wanted
    free = -1
    for slot in range(SLOTS):
        if ids[side, slot] == 0:
            if free < 0:
                free = slot
        elif wanted and prices[side, slot] == ticks:
            missing = False
        else:
            order = hbt.orders(0).get(ids[side, slot])
            if order is not None and order.cancellable:
                hbt.cancel(0, ids[side, slot], False)
                counts[CANCELS] += 1
    if not missing or free < 0:
        return
    counts[SENT] += 1
    number = counts[SENT]
    if side == 0:
        hbt.submit_buy_order(0, number, ticks * TICK, LOTS * LOT, GTX, LIMIT, False)
    else:
        hbt.submit_sell_order(0, number, ticks * TICK, LOTS * LOT, GTX, LIMIT, False)
    ids[side, free] = number
    prices[side, free] = ticks
    leaves[side, free] = LOTS


@njit
def maker(hbt, half_ticks, skew_ticks, counts):
    """sim/bench/plain_maker.py, SkewedMaker. Returns (result code, position in lots)."""
    ids = np.zeros((2, SLOTS), np.int64)
    prices = np.zeros((2, SLOTS), np.int64)
    leaves = np.zeros((2, SLOTS), np.int64)
    position = 0
    code = hbt.elapse(INTERVAL_NS)
    while code == 0:
        counts[STEPS] += 1
        position += settle(hbt, ids, leaves, counts)
        hbt.clear_inactive_orders(0)
        depth = hbt.depth(0)
        best_bid, best_ask = depth.best_bid_tick, depth.best_ask_tick
        reserve = 0.5 * (best_bid + best_ask) - skew_ticks / LOTS * position
        bid = min(int(np.floor(reserve - half_ticks)), best_bid)
        ask = max(int(np.ceil(reserve + half_ticks)), best_ask)
        quote(hbt, 0, bid, position < LIMIT_LOTS, ids, prices, leaves, counts)
        quote(hbt, 1, ask, position > -LIMIT_LOTS, ids, prices, leaves, counts)
        code = hbt.elapse(INTERVAL_NS)
    position += settle(hbt, ids, leaves, counts)
    return code, position


def load(feed: Path) -> np.ndarray:
    """The feed's columns in hftbacktest's own rows."""
    columns = {path.stem: np.load(path) for path in (feed / "cols").glob("*.npy")}
    rows = np.zeros(len(columns["kind"]), event_dtype)
    kind, side = columns["kind"], columns["side"]
    event = np.select([kind == 2, kind == 4], [TRADE_EVENT, DEPTH_SNAPSHOT_EVENT], DEPTH_EVENT).astype(np.uint64)
    rows["ev"] = event | np.where(side > 0, BUY_EVENT, SELL_EVENT).astype(np.uint64)
    rows["exch_ts"], rows["local_ts"] = columns["exch_ts"], columns["local_ts"]
    rows["px"] = np.round(columns["px_tick"] * TICK, 1)
    rows["qty"] = np.round(columns["qty_lot"] * LOT, 3)
    by_exchange = np.argsort(rows["exch_ts"], kind="stable")
    by_receipt = np.argsort(rows["local_ts"], kind="stable")
    return correct_event_order(rows, by_exchange, by_receipt)


def build(rows: np.ndarray, bounds: tuple[float, float], partial: bool):
    asset = (
        BacktestAsset()
        .data(rows)
        .linear_asset(1.0)
        .constant_order_latency(LATENCY_NS, LATENCY_NS)
        .tick_size(TICK)
        .lot_size(LOT)
        .trading_value_fee_model(MAKER_FEE, TAKER_FEE)
        .power_prob_queue_model3(3.0)
        .last_trades_capacity(0)
        .roi_lb(bounds[0])
        .roi_ub(bounds[1])
    )
    asset = asset.partial_fill_exchange() if partial else asset.no_partial_fill_exchange()
    return ROIVectorMarketDepthBacktest([asset])


def one_run(rows, bounds, task: str, half: float = 1.0, skew: float = 0.25) -> dict:
    started, cpu = time.perf_counter(), time.process_time()
    hbt = build(rows, bounds, task == "maker_partial")
    result = {}
    if task == "replay":
        replay(hbt)
    else:
        counts = np.zeros(8, np.int64)
        code, position = maker(hbt, half, skew, counts)
        names = ("steps", "submits", "cancels_sent", "fills_full", "expired", "canceled")
        result = {name: int(counts[place]) for place, name in enumerate(names)}
        result |= {"result_code": int(code), "position_lots": int(position)}
    result |= {"wall_s": time.perf_counter() - started, "cpu_s": time.process_time() - cpu}
    hbt.close()
    return result


def repeated(rows, bounds, task: str, repeats: int, half: float = 1.0, skew: float = 0.25) -> dict:
    """What a run did (the same each time), with the least times of several."""
    runs = [one_run(rows, bounds, task, half, skew) for _ in range(repeats)]
    return runs[0] | {name: min(run[name] for run in runs) for name in ("wall_s", "cpu_s")}


def lanes(rows, bounds, count: int) -> dict:
    side = math.isqrt(count)
    grid = [(half, skew) for half in HALVES[: count // side] for skew in SKEWS[:side]]
    runs = [repeated(rows, bounds, "maker", LANE_REPEATS, half, skew) for half, skew in grid]
    return {
        "wall_s": sum(run["wall_s"] for run in runs),
        "cpu_s": sum(run["cpu_s"] for run in runs),
        "lanes": [{"half": h, "skew": s, **run} for (h, s), run in zip(grid, runs, strict=True)],
    }


def main() -> None:
    feed = Path(sys.argv[1])
    rows = load(feed)
    events = len(np.load(feed / "cols" / "kind.npy", mmap_mode="r"))
    bounds = (float(rows["px"].min()) - 50, float(rows["px"].max()) + 50)
    for task in sys.argv[2:]:
        one_run(rows[:WARM_UP_ROWS].copy(), bounds, "maker" if task.startswith("lanes") else task)
        if task.startswith("lanes"):
            best = lanes(rows, bounds, int(task.removeprefix("lanes")))
        else:
            best = repeated(rows, bounds, task, REPEATS)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        about = {"task": task, "engine": "hftbacktest", "version": hftbacktest.__version__, "events": events}
        print(json.dumps(about | best | {"rss_peak_mib": round(peak, 1)}), flush=True)


if __name__ == "__main__":
    main()
