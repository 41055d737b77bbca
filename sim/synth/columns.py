"""Large plain event columns for benchmarks, made with whole-array arithmetic (a million rows in about a second).

The feed has the shape of a calm BTC perpetual (some 800 rows a second: depth messages of several rows, prints at the
touch and through it, latencies that drift and jitter) but a much simpler mechanism than the order-book model, chosen so
that everything is computed at once: the best bid is a random walk, the spread a second small process, the size of a
level a function of its price and a slow epoch. Every message states deletions first and the new best levels after them,
so the book is never crossed, row by row; a print never exceeds the level as last stated.

Columns are one row per level change or print, in the venue's order. Names and codes are those of the plain-column
importer: ``exch_ts`` and ``local_ts`` (int64 ns), ``kind`` (uint8: 1 depth, 2 trade, 4 snapshot row), ``side`` (int8: 1
bid level or buying aggressor, -1 ask level or selling aggressor), ``px_tick`` and ``qty_lot`` (int32; absolute level
size, 0 deletes), ``local_order`` (int32: rows in order of receipt).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sim.synth.draws import (
    I64,
    below_array,
    draw_array,
    exponential_array,
    gauss_array_q16,
    lognormal_array,
    stream_key,
)

Columns = dict[str, npt.NDArray[Any]]

START_NS: Final = 1_789_430_400 * 1_000_000_000  # 2026-09-15 00:00:00 UTC
CENTRE_TICKS: Final = 1_000_000
SNAPSHOT_LEVELS: Final = 1000
MESSAGE_GAP_US: Final = 8500
STEP_MAX: Final = 2
SPREAD_MAX: Final = 3
TOUCH_PRINTS_MAX: Final = 3
DEEP_ROWS_MAX: Final = 15
EPOCH_MESSAGES_BITS: Final = 9
LATENCY_KNOT_MESSAGES: Final = 256

DEPTH_ROW: Final = 1
TRADE_ROW: Final = 2
SNAPSHOT_ROW: Final = 4
BID: Final = 1
ASK: Final = -1


class _Rows:
    """Rows under construction: (message, place within it) fixes the order; ``lots`` -1 means a print, sized later."""

    def __init__(self) -> None:
        self.parts: list[tuple[I64, int, I64, I64, I64]] = []

    def add(self, message: I64, place: int, side: I64, tick: I64, lots: I64) -> None:
        self.parts.append((message, place, side, tick, lots))

    def sorted(self) -> tuple[I64, I64, I64, I64, I64]:
        message = np.concatenate([part[0] for part in self.parts])
        place = np.concatenate([np.full(len(part[0]), part[1], np.int64) for part in self.parts])
        side, tick, lots = (np.concatenate([part[k] for part in self.parts]) for k in (2, 3, 4))
        order = np.argsort(message * 64 + place, kind="stable")
        return message[order], place[order], side[order], tick[order], lots[order]


class _Feed:
    def __init__(self, seed: int, messages: int) -> None:
        self.seed = seed
        self.messages = messages
        self.base_key = stream_key(seed, "columns/levels")
        self.rows = _Rows()

    def bits(self, label: str, count: int = 0) -> npt.NDArray[np.uint64]:
        return draw_array(stream_key(self.seed, f"columns/{label}"), 0, count or self.messages)

    def walk(self) -> tuple[I64, I64]:
        """Best bid and best ask after each message; element 0 is the snapshot's."""
        roll = below_array(self.bits("step"), 1000)
        step = np.select(
            [roll < 20, roll < 70, roll < 120, roll < 140],
            [np.full(1, STEP_MAX), np.full(1, 1), np.full(1, -1), np.full(1, -STEP_MAX)],
            np.zeros(1, np.int64),
        )
        wide = below_array(self.bits("spread"), 1000)
        spread = 1 + (wide < 25) + (wide < 5).astype(np.int64)
        step[0], spread[0] = 0, 1
        bid = CENTRE_TICKS + np.cumsum(step)
        return bid, bid + spread

    def level_lots(self, message: I64, side: I64, tick: I64, near: npt.NDArray[np.bool_]) -> I64:
        """Size of a level: fixed for its price, side and epoch, times a factor of 0.5 to 1 that is new each time."""
        with np.errstate(over="ignore"):
            place = (tick.astype(np.uint64) * np.uint64(2) + (side == ASK)) * np.uint64(0x9E3779B97F4A7C15)
            place = place ^ (message >> EPOCH_MESSAGES_BITS).astype(np.uint64) * np.uint64(0xD6E8FEB86659FD93)
            place = (place ^ (place >> np.uint64(32))) * np.uint64(0xBF58476D1CE4E5B9) ^ np.uint64(self.base_key)
        place = (place ^ (place >> np.uint64(29))) * np.uint64(0x94D049BB133111EB)
        low = np.uint64(0xFFFF)
        near_gauss = ((place & low) + (place >> np.uint64(16) & low)).astype(np.int64) - 65535
        lots = lognormal_array(near_gauss * 5 // 2, 900, 70_000)
        lots = np.where(near, lots, lots // 3)
        fresh = below_array(draw_array(self.base_key, 0, len(tick)), 512) + 512
        sized: I64 = np.maximum(1, lots * fresh >> 10)
        return sized


def _add_moves(feed: _Feed, bid: I64, ask: I64) -> None:
    """Deletions of passed levels, then statements of new best levels, then the level that prints touched."""
    message = np.arange(1, feed.messages, dtype=np.int64)
    for side, best in ((BID, bid), (ASK, ask)):
        before, after = best[:-1], best[1:]
        retreat = (before - after) * side
        for offset in range(STEP_MAX + SPREAD_MAX):
            gone = retreat > offset
            tick = before[gone] - side * offset
            zero = np.zeros(len(tick), np.int64)
            feed.rows.add(message[gone], 20 + offset + (8 if side == ASK else 0), zero + side, tick, zero)
        moved = before != after
        state = message[moved]
        sides = np.full(len(state), side, np.int64)
        lots = feed.level_lots(state, sides, after[moved], np.ones(len(state), np.bool_))
        feed.rows.add(state, 36 + (side == ASK), sides, after[moved], lots)


def _add_prints(feed: _Feed, bid: I64, ask: I64) -> None:
    """Prints at the touch of the previous state; where the best level survives, its remaining size is stated after."""
    n = feed.messages
    message = np.arange(1, n, dtype=np.int64)
    roll = below_array(feed.bits("prints"), 1000)[1:]
    buying = below_array(feed.bits("aggressor"), 2)[1:].astype(np.bool_)
    rose, fell = ask[1:] > ask[:-1], bid[1:] < bid[:-1]
    through = (rose | fell) & (below_array(feed.bits("through"), 100)[1:] < 55)
    buying = np.where(rose, True, np.where(fell, False, buying))
    count = np.where(roll < 420, 1 + (roll < 190) + (roll < 85).astype(np.int64), 0)
    count = np.where((rose | fell) & ~through, 0, np.where(through, np.maximum(count, 1), count))
    touch = np.where(buying, ask[:-1], bid[:-1])
    aggressor = np.where(buying, BID, ASK)
    for index in range(TOUCH_PRINTS_MAX):
        chosen = count > index
        unknown = np.full(int(chosen.sum()), -1, np.int64)
        feed.rows.add(message[chosen], index, aggressor[chosen], touch[chosen], unknown)
    survives = (count > 0) & np.where(buying, ask[1:] == ask[:-1], bid[1:] == bid[:-1])
    sides = -aggressor[survives]
    lots = feed.level_lots(message[survives], sides, touch[survives], np.ones(len(sides), np.bool_))
    feed.rows.add(message[survives], 38, sides, touch[survives], lots)


def _add_deep_rows(feed: _Feed, bid: I64, ask: I64) -> None:
    """Limit orders and cancels behind the best levels."""
    message = np.arange(1, feed.messages, dtype=np.int64)
    count = np.minimum(1 + exponential_array(feed.bits("deep count"), 5), DEEP_ROWS_MAX)[1:]
    for index in range(DEEP_ROWS_MAX):
        at = message[count > index]
        bits = feed.bits(f"deep {index}", max(1, len(at)))[: len(at)]
        roll = below_array(bits, 1000)
        spare = bits << np.uint64(13)
        distance = 1 + np.select(
            [roll < 550, roll < 850],
            [exponential_array(spare, 6), exponential_array(spare, 80)],
            exponential_array(spare, 700),
        )
        side = np.where((bits & np.uint64(1)).astype(np.bool_), BID, ASK)
        tick = np.where(side == BID, bid[at] - distance, ask[at] + distance)
        lots = feed.level_lots(at, side, tick, distance < 3)
        deleted = below_array(bits << np.uint64(9), 1000) < 240
        feed.rows.add(at, 40 + index, side, tick, np.where(deleted, 0, lots))


def _size_prints(feed: _Feed, place: I64, side: I64, tick: I64, lots: I64) -> None:
    """Size every print, in place: at most what the level last showed, shared between prints of one message."""
    is_print = lots < 0
    book_side = np.where(is_print, -side, side)
    key = tick * 2 + (book_side == ASK)
    order = np.argsort(key, kind="stable")
    sorted_print = is_print[order]
    known = np.where(sorted_print, 0, np.arange(len(order)))
    latest = np.maximum.accumulate(known)
    shown = lots[order][latest]
    # The number of prints of one message at the level bounds each of them by its share.
    share = np.maximum(1, shown // TOUCH_PRINTS_MAX)
    first_of_whole = place[order] == 0
    wanted = lognormal_array(gauss_array_q16(stream_key(feed.seed, "columns/print lots"), 0, len(order)), 26, 140_000)
    size = np.where(shown >= TOUCH_PRINTS_MAX, np.minimum(wanted, share), np.where(first_of_whole, shown, 0))
    lots[order[sorted_print]] = size[sorted_print]


def _latencies(feed: _Feed, exchange_ns: I64) -> tuple[I64, I64]:
    """Receive times of each message's depth and of its prints: a drifting delay plus jitter, in order per stream."""
    n = len(exchange_ns)
    knots = n // LATENCY_KNOT_MESSAGES + 2
    drift = lognormal_array(gauss_array_q16(stream_key(feed.seed, "columns/drift"), 0, knots), 3_000_000, 40_000)
    at, part = np.arange(n) // LATENCY_KNOT_MESSAGES, np.arange(n) % LATENCY_KNOT_MESSAGES
    slow = drift[at] + (drift[at + 1] - drift[at]) * part // LATENCY_KNOT_MESSAGES
    common = 1_000_000 + slow
    depth = np.minimum(common + 150_000 + exponential_array(feed.bits("depth delay", n), 150_000), 20_000_000)
    trade = np.minimum(common + exponential_array(feed.bits("trade delay", n), 50_000), 20_000_000)
    return np.maximum.accumulate(exchange_ns + depth), np.maximum.accumulate(exchange_ns + trade)


def _add_snapshot(feed: _Feed) -> None:
    for side, best in ((BID, CENTRE_TICKS), (ASK, CENTRE_TICKS + 1)):
        distance = np.arange(SNAPSHOT_LEVELS, dtype=np.int64)
        kept = (below_array(feed.bits(f"snapshot {side}", SNAPSHOT_LEVELS), 4) > 0) | (distance == 0)
        tick = best - side * distance[kept]
        zero = np.zeros(len(tick), np.int64)
        feed.rows.add(zero, 0, zero + side, tick, feed.level_lots(zero, zero + side, tick, distance[kept] < 3))


def columns(rows: int, seed: int = 7) -> Columns:
    """Exactly ``rows`` event rows (at least 2,000: the feed starts with a snapshot) as integer columns, see above."""
    if rows < 2 * SNAPSHOT_LEVELS:
        raise ValueError(f"synthetic columns: rows must be at least {2 * SNAPSHOT_LEVELS}, not {rows}")
    feed = _Feed(seed, rows // 6 + 64)
    bid, ask = feed.walk()
    _add_snapshot(feed)
    _add_moves(feed, bid, ask)
    _add_prints(feed, bid, ask)
    _add_deep_rows(feed, bid, ask)
    message, place, side, tick, lots = feed.rows.sorted()
    is_print = lots < 0
    _size_prints(feed, place, side, tick, lots)
    kept = ~(is_print & (lots == 0))
    message, side, tick, lots, is_print = (column[kept][:rows] for column in (message, side, tick, lots, is_print))
    if len(message) < rows:
        raise RuntimeError(f"synthetic columns: only {len(message)} of {rows} rows were made")
    exchange_ns = START_NS + np.cumsum(1 + exponential_array(feed.bits("gap"), MESSAGE_GAP_US)) * 1000
    depth_ns, trade_ns = _latencies(feed, exchange_ns)
    local_ns = np.where(is_print, trade_ns[message], depth_ns[message])
    kind = np.where(is_print, TRADE_ROW, np.where(message == 0, SNAPSHOT_ROW, DEPTH_ROW))
    return {
        "exch_ts": exchange_ns[message],
        "local_ts": local_ns,
        "kind": kind.astype(np.uint8),
        "side": side.astype(np.int8),
        "px_tick": tick.astype(np.int32),
        "qty_lot": lots.astype(np.int32),
        "local_order": np.argsort(local_ns, kind="stable").astype(np.int32),
    }


def write_columns(
    directory: str | Path, rows: int, seed: int = 7, tick_size: float = 0.1, lot_size: float = 0.001
) -> Path:
    """Write ``columns`` as ``directory/cols/*.npy``, with decimal ``px`` and ``qty`` beside them, and ``meta.json``.

    This is the form that the plain-column importer reads. Returns ``directory``.
    """
    folder = Path(directory)
    (folder / "cols").mkdir(parents=True, exist_ok=True)
    made = columns(rows, seed)
    decimals = {"px": made["px_tick"] * tick_size, "qty": made["qty_lot"] * lot_size}
    for name, column in (made | {name: np.round(column, 8) for name, column in decimals.items()}).items():
        np.save(folder / "cols" / f"{name}.npy", column)
    kinds = made["kind"]
    meta = {
        "events": rows,
        "seed": seed,
        "tick": tick_size,
        "lot": lot_size,
        "trades": int((kinds == TRADE_ROW).sum()),
        "depth": int((kinds == DEPTH_ROW).sum()),
        "snapshot": int((kinds == SNAPSHOT_ROW).sum()),
        "duration_ns": int(made["exch_ts"][-1] - made["exch_ts"][0]),
    }
    (folder / "meta.json").write_text(json.dumps(meta, indent=1) + "\n")
    return folder
