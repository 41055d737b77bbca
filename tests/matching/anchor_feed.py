"""The benchmark anchors' synthetic feed, rebuilt without numba: same algorithm, same bytes.

The feed is a function of (rows, seed) alone: an explicit splitmix64 stream drives a latent fair value, trades,
level updates and two FIFO receive streams.  The generator's own description is ``anchors/hftbacktest/gen.py`` in the
shared folder; this is an independent implementation in numpy and plain Python, and ``feed_sha256`` in ``golden.json``
says whether it is the same feed (`columns` returns the hash beside the arrays).

How it stays quick in plain Python: splitmix64 is a counter, so draw number k needs no earlier draw.  Uniforms, and the
twelve-term sums that serve as Gaussians, are computed in numpy blocks; the walk below only indexes them.
"""

import hashlib
import math
import os
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

START_NS = 1_750_000_000_000_000_000
CENTRE_TICKS = 1_000_000
HALF_WINDOW = 60_000
OFFSET_TICKS = CENTRE_TICKS - HALF_WINDOW
WIDTH = 2 * HALF_WINDOW + 1
SNAPSHOT_LEVELS = 1000
ROW_DEPTH, ROW_TRADE, ROW_SNAPSHOT = 1, 2, 4

_BLOCK = 1 << 20  # draws computed at once
_MARGIN = 1 << 14  # more than any one message can draw


class Columns(NamedTuple):
    """Row columns in venue order; ``side`` is +1 (bid, buy aggressor) or -1, as the anchors write it."""

    exch_ts: npt.NDArray[np.int64]
    local_ts: npt.NDArray[np.int64]
    kind: npt.NDArray[np.uint8]
    side: npt.NDArray[np.int8]
    px_tick: npt.NDArray[np.int32]
    qty_lot: npt.NDArray[np.int32]

    def sha256(self) -> str:
        """Hash over the six columns in order, as golden.json states it."""
        digest = hashlib.sha256()
        for column in self:
            digest.update(column.tobytes())
        return digest.hexdigest()


def _uniforms(seed: int, first: int, count: int) -> npt.NDArray[np.float64]:
    """Draws number ``first`` .. ``first + count - 1`` of splitmix64(seed), as doubles in [0, 1)."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + (np.arange(count, dtype=np.uint64) + np.uint64(first + 1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * (1.0 / 9007199254740992.0)


class _Draws:
    """The stream of draws, with the position of the next one."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.block_first = 0
        self.k = 0
        self._load()

    def _load(self) -> None:
        uniform = _uniforms(self.seed, self.block_first, _BLOCK + 12)
        total = np.zeros(_BLOCK, np.float64)
        for term in range(12):  # the order of the additions is part of the feed
            total += uniform[term : term + _BLOCK]
        self.u: list[float] = uniform[:_BLOCK].tolist()
        self.g: list[float] = (total - 6.0).tolist()

    def refill(self) -> None:
        """Call between messages: makes sure that one message's draws are at hand."""
        if self.k > _BLOCK - _MARGIN:
            self.block_first += self.k
            self.k = 0
            self._load()

    def uniform(self) -> float:
        k = self.k
        self.k = k + 1
        return self.u[k]

    def gauss(self) -> float:
        k = self.k
        self.k = k + 12
        return self.g[k]

    def expo(self, mean: float) -> float:
        return -mean * math.log(1.0 - self.uniform())

    def lots(self, median: float, sigma: float) -> int:
        return min(max(int(median * math.exp(sigma * self.gauss())), 1), 2_000_000)


class _Walk:
    """The market's state and the rows written so far."""

    def __init__(self, rows: int, seed: int) -> None:
        self.limit = rows
        self.d = _Draws(seed)
        self.bid = [0] * WIDTH
        self.ask = [0] * WIDTH
        self.best_bid = HALF_WINDOW
        self.best_ask = HALF_WINDOW + 1
        self.bid[self.best_bid] = self.d.lots(800.0, 1.0)
        self.ask[self.best_ask] = self.d.lots(800.0, 1.0)
        self.count = 0
        self.rows: list[tuple[int, int, int, int, int, int]] = []  # those not yet in ``blocks``
        self.blocks: list[npt.NDArray[np.int64]] = []
        self.ts = self.depth_ts = self.trade_ts = START_NS

    def emit(self, recv_ns: int, kind: int, side: int, level: int, lots: int) -> None:
        self.rows.append((self.ts, recv_ns, kind, side, OFFSET_TICKS + level, lots))
        self.count += 1

    def pack(self) -> None:
        """Moves the collected rows into an array block: tuples of a long feed would fill the memory."""
        self.blocks.append(np.array(self.rows, dtype=np.int64))
        self.rows.clear()

    def next_ask(self) -> None:
        level = self.best_ask
        while level < WIDTH - 1 and self.ask[level] == 0:
            level += 1
        self.best_ask = level

    def next_bid(self) -> None:
        level = self.best_bid
        while level > 0 and self.bid[level] == 0:
            level -= 1
        self.best_bid = level

    def snapshot(self) -> None:
        recv = START_NS + 5_000_000
        self.depth_ts = self.trade_ts = recv
        for distance in range(SNAPSHOT_LEVELS):
            for side in (1, -1):
                level = HALF_WINDOW - distance if side == 1 else HALF_WINDOW + 1 + distance
                if distance == 0 or self.d.uniform() < 0.75:
                    lots = self.d.lots(300.0, 1.5)
                    (self.bid if side == 1 else self.ask)[level] = lots
                    self.emit(recv, ROW_SNAPSHOT, side, level, lots)

    def cross_up(self, fair: float) -> int:
        """Levels the fair value rose through are bought or cancelled; returns how many."""
        crossed = 0
        while fair > self.best_ask + 0.5 and crossed < 40 and self.count < self.limit - 4:
            crossed += 1
            old = self.best_ask
            if self.d.uniform() < 0.55:
                self.emit(self.trade_ts, ROW_TRADE, 1, old, self.ask[old])
            self.ask[old] = 0
            self.emit(self.depth_ts, ROW_DEPTH, -1, old, 0)
            self.next_ask()
            self.bid[old] = self.d.lots(400.0, 1.2)
            self.best_bid = old
            self.emit(self.depth_ts, ROW_DEPTH, 1, old, self.bid[old])
        return crossed

    def cross_down(self, fair: float, crossed: int) -> None:
        while fair < self.best_bid - 0.5 and crossed < 40 and self.count < self.limit - 4:
            crossed += 1
            old = self.best_bid
            if self.d.uniform() < 0.55:
                self.emit(self.trade_ts, ROW_TRADE, -1, old, self.bid[old])
            self.bid[old] = 0
            self.emit(self.depth_ts, ROW_DEPTH, 1, old, 0)
            self.next_bid()
            self.ask[old] = self.d.lots(400.0, 1.2)
            self.best_ask = old
            self.emit(self.depth_ts, ROW_DEPTH, -1, old, self.ask[old])

    def touch_trades(self, fair: float) -> None:
        """Up to eight small prints at the touch, then the touched level's new quantity."""
        d = self.d
        prints = 0
        if d.uniform() < 0.42:
            prints = 1
            while d.uniform() < 0.45 and prints < 8:
                prints += 1
        if prints == 0:
            return
        buys = d.uniform() < (0.65 if fair > 0.5 * (self.best_bid + self.best_ask) else 0.35)
        book, level, side = (self.ask, self.best_ask, 1) if buys else (self.bid, self.best_bid, -1)
        for _ in range(prints):
            if self.count >= self.limit - 3:
                break
            lots = min(d.lots(20.0, 1.6), book[level])
            self.emit(self.trade_ts, ROW_TRADE, side, level, lots)
            book[level] -= lots
            if book[level] == 0:
                break
        if self.count < self.limit:
            self.emit(self.depth_ts, ROW_DEPTH, -side, level, book[level])
            if buys:
                self.next_ask()
            else:
                self.next_bid()

    def depth_batch(self) -> None:
        d = self.d
        for _ in range(1 + int(d.expo(7.0))):
            if self.count >= self.limit:
                break
            if self.best_ask - self.best_bid > 1 and d.uniform() < 0.6:
                if d.uniform() < 0.5:
                    side, level = 1, self.best_bid + 1
                    self.bid[level] = lots = d.lots(300.0, 1.2)
                    self.best_bid = level
                else:
                    side, level = -1, self.best_ask - 1
                    self.ask[level] = lots = d.lots(300.0, 1.2)
                    self.best_ask = level
            else:
                side, level, lots = self._away_from_touch()
            self.emit(self.depth_ts, ROW_DEPTH, side, level, lots)

    def _away_from_touch(self) -> tuple[int, int, int]:
        d = self.d
        side = 1 if d.uniform() < 0.5 else -1
        where = d.uniform()
        distance = min(int(d.expo(6.0 if where < 0.55 else 80.0 if where < 0.85 else 700.0)), 4500)
        deletes = d.uniform() < 0.24
        book, level = (self.bid, self.best_bid - distance) if side == 1 else (self.ask, self.best_ask + distance)
        if deletes and book[level] > 0 and distance > 0:
            lots = 0
        else:
            lots = d.lots(900.0 if distance < 3 else 300.0, 1.2)
        book[level] = lots
        return side, level, lots

    def run(self) -> None:
        d = self.d
        self.snapshot()
        fair = float(HALF_WINDOW) + 0.5
        slow = elapsed_s = 0.0
        while self.count < self.limit:
            d.refill()
            if len(self.rows) > 1 << 17:
                self.pack()
            step_s = d.expo(0.0085)
            elapsed_s += step_s
            self.ts = START_NS + int(elapsed_s * 1e6) * 1000
            slow = slow * 0.98 + 0.12 * d.gauss()
            common = 1.0e6 + 3.0e6 * math.exp(slow)
            depth_latency = common + 0.15e6 + d.expo(0.15e6)
            trade_latency = common + d.expo(0.05e6)
            self.depth_ts = max(self.ts + int(min(depth_latency, 20e6)), self.depth_ts)
            self.trade_ts = max(self.ts + int(min(trade_latency, 20e6)), self.trade_ts)
            fair += 10.0 * math.sqrt(step_s) * d.gauss() + 9.0 * math.sin(elapsed_s * (2 * math.pi / 1800.0)) * step_s
            fair = min(max(fair, 5000.0), WIDTH - 5000.0)
            self.cross_down(fair, self.cross_up(fair))
            self.touch_trades(fair)
            self.depth_batch()
        self.pack()


def generate(rows: int, seed: int = 7) -> Columns:
    """The feed's first ``rows`` rows (a shorter feed is not a prefix: its last messages are cut differently)."""
    walk = _Walk(rows, seed)
    walk.run()
    table = np.concatenate(walk.blocks)
    types = (np.int64, np.int64, np.uint8, np.int8, np.int32, np.int32)
    return Columns(*(np.ascontiguousarray(table[:, i]).astype(t) for i, t in enumerate(types)))


def columns(rows: int, seed: int = 7, cache: Path | None = None) -> Columns:
    """As `generate`, kept in ``cache`` (default: a folder of the system's temporary directory) for the next run."""
    folder = cache or Path(tempfile.gettempdir()) / f"perpsim-anchor-feed-{os.getuid()}"
    path = folder / f"rows{rows}-seed{seed}.npz"
    if path.exists():
        with np.load(path) as stored:
            return Columns(*(stored[name] for name in Columns._fields))
    made = generate(rows, seed)
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.npz")
    np.savez(partial, **made._asdict())
    partial.replace(path)  # several test processes may make it at once; a reader never sees half a file
    return made
