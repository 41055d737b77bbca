"""What a market's feed looks like, in numbers: for comparing a synthetic market with a recording.

Theory of operation. ``Tape`` reads one feed (any ``FeedSource``: a slice of a lake, a synthetic feed) once, window by
window, and keeps what the statistics need: prints, best quotes, one sample of the book's depth a second, and counts of
level changes. ``statistics`` turns a tape into a flat table of named numbers; ``curves`` gives the series behind the
figures of the notebook. A *taker order* is what the venue shows of one: all prints of one side and one engine time.

Statistics and where they come from: Fano factors of counts (variance over mean in windows of a given length: 1 for a
Poisson process, growing with the length for clustered arrivals); the slow decay of the autocorrelation of taker signs
(Lillo and Farmer 2004, Bouchaud et al. 2004); order-flow imbalance of the best quotes (Cont, Kukanov and Stoikov 2014);
variance ratios (Lo and MacKinlay 1988: 1 for a random walk); the autocorrelation of absolute returns.

Statistics are floats; nothing of them flows back into a feed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from matching.codes import BBO, BUY, DEPTH, GAP, SELL, SNAPSHOT, TRADE
from matching.feed import FeedSource, FeedWindow

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

SECOND_NS: Final = 1_000_000_000
GRID_NS: Final = 100_000_000
DEPTH_EDGES: Final = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500)  # distances in ticks from the side's best price
SIGN_LAGS: Final = (1, 2, 5, 10, 20, 50)
FANO_NS: Final = (10_000_000, 100_000_000, SECOND_NS, 10 * SECOND_NS)
RETURN_LAGS_S: Final = (1, 2, 5, 10, 30)


class Tape:
    """One feed as read by ``read``: columns of prints and quotes, samples of the depth, counts of level changes."""

    def __init__(self) -> None:
        self._trades: list[tuple[I64, I64, I64, I64]] = []
        self._quotes: list[tuple[I64, I64]] = []
        self._books: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self._valid = False
        self._next_sample_ns = 0
        self.depth_ns: list[int] = []
        self.depth_rows: list[int] = []
        self.samples: list[tuple[int, ...]] = []
        self.filled: list[tuple[int, ...]] = []
        self.more = self.less = self.new = self.gone = 0

    def read(self, source: FeedSource) -> Tape:
        """Read a feed to its end. Returns itself."""
        while (window := source.next_window()) is not None:
            self.add(window)
        return self

    def add(self, window: FeedWindow) -> None:
        """One window more, in venue order."""
        first = window.row_start[:-1]
        count = np.diff(window.row_start)
        chosen = (window.kind == TRADE) & (count == 1)
        rows = first[chosen]
        columns = (window.side, window.px_ticks, window.qty_lots)
        side, ticks, lots = (column[rows].astype(np.int64) for column in columns)
        self._trades.append((window.ts_event[chosen].astype(np.int64), side, ticks, lots))
        chosen = (window.kind == BBO) & (count == 2)
        rows = first[chosen]
        quote = (window.px_ticks[rows], window.qty_lots[rows], window.px_ticks[rows + 1], window.qty_lots[rows + 1])
        self._quotes.append((window.ts_event[chosen].astype(np.int64), np.stack(quote).astype(np.int64)))
        self._follow(window)

    def _follow(self, window: FeedWindow) -> None:
        wanted = np.flatnonzero(np.isin(window.kind, (DEPTH, SNAPSHOT, GAP)))
        times, kinds = window.ts_event[wanted].tolist(), window.kind[wanted].tolist()
        firsts, lasts = window.row_start[wanted].tolist(), window.row_start[wanted + 1].tolist()
        sides, ticks, lots = window.side.tolist(), window.px_ticks.tolist(), window.qty_lots.tolist()
        for time, kind, first, last in zip(times, kinds, firsts, lasts, strict=True):
            if kind in (GAP, SNAPSHOT):
                self._books[BUY].clear()
                self._books[SELL].clear()
                self._valid = kind == SNAPSHOT
            if kind == DEPTH and self._valid:
                if time >= self._next_sample_ns:
                    self._sample(time)
                self.depth_ns.append(time)
                self.depth_rows.append(last - first)
                self._change(zip(sides[first:last], ticks[first:last], lots[first:last], strict=True))
            elif kind == SNAPSHOT:
                for row in range(first, last):
                    self._books[sides[row]][ticks[row]] = lots[row]

    def _change(self, rows: Iterable[tuple[int, int, int]]) -> None:
        for side, tick, size in rows:
            book = self._books[side]
            before = book.get(tick, 0)
            if size > before:
                self.more += 1
                self.new += not before
            elif size < before:
                self.less += 1
                self.gone += not size
            if size:
                book[tick] = size
            elif before:
                del book[tick]

    def _sample(self, time: int) -> None:
        self._next_sample_ns = time + SECOND_NS
        bids, asks = self._books
        if not bids or not asks:
            return
        total, filled = [0] * (len(DEPTH_EDGES) - 1), [0] * (len(DEPTH_EDGES) - 1)
        for book, best, step in ((bids, max(bids), -1), (asks, min(asks), 1)):
            for bucket in range(len(DEPTH_EDGES) - 1):
                for distance in range(DEPTH_EDGES[bucket], DEPTH_EDGES[bucket + 1]):
                    lots = book.get(best + step * distance, 0)
                    total[bucket] += lots
                    filled[bucket] += lots > 0
        self.samples.append(tuple(total))
        self.filled.append(tuple(filled))

    def trades(self) -> tuple[I64, I64, I64, I64]:
        """Prints: engine time, aggressor side, ticks, lots."""
        return tuple(np.concatenate(part) for part in zip(*self._trades, strict=True))  # type: ignore[return-value]

    def quotes(self) -> tuple[I64, I64]:
        """Best quotes: engine time, and rows bid ticks, bid lots, ask ticks, ask lots."""
        return np.concatenate([q[0] for q in self._quotes]), np.concatenate([q[1] for q in self._quotes], axis=1)

    def orders(self) -> tuple[I64, F64, I64]:
        """Taker orders: engine time, sign (1 buys), lots."""
        time, side, _, lots = self.trades()
        order = np.lexsort((side, time))
        time, side, lots = time[order], side[order], lots[order]
        first = np.ones(len(time), np.bool_)
        first[1:] = (np.diff(time) != 0) | (np.diff(side) != 0)
        begins = np.flatnonzero(first)
        total = np.add.reduceat(lots, begins) if len(begins) else lots
        return time[begins], np.where(side[begins] == BUY, 1.0, -1.0), total


def autocorrelation(series: F64, lags: Iterable[int]) -> list[float]:
    """Autocorrelation at each lag; NaN where the series is too short or constant."""
    centred = series - series.mean() if len(series) else series
    power = float((centred**2).mean()) if len(series) else 0.0
    return [
        float((centred[:-lag] * centred[lag:]).mean() / power) if power > 0 and len(series) > 2 * lag else float("nan")
        for lag in lags
    ]


def fano(times_ns: I64, window_ns: int) -> float:
    """Variance over mean of the counts in consecutive windows of this length."""
    if len(times_ns) < 2 or times_ns[-1] - times_ns[0] < 5 * window_ns:
        return float("nan")
    index = (times_ns - times_ns[0]) // window_ns
    counts = np.bincount(index)[:-1]
    return float(counts.var() / counts.mean())


def mid_grid(tape: Tape, step_ns: int) -> F64:
    """The mid in ticks at whole multiples of a step, as of then."""
    time, quote = tape.quotes()
    grid = np.arange(-(-int(time[0]) // step_ns) * step_ns, int(time[-1]), step_ns)
    at = np.searchsorted(time, grid, side="right") - 1
    mid: F64 = (quote[0] + quote[2])[at] / 2.0
    return mid


def variance_ratio(series: F64, lag: int) -> float:
    """Variance of changes over ``lag`` steps over ``lag`` times that of changes over one."""
    one = np.diff(series)
    many = series[lag:] - series[:-lag]
    return float(many.var() / (lag * one.var())) if len(many) > 2 and one.var() > 0 else float("nan")


def round_share(lots: I64) -> float:
    """Share of sizes of at least 10 lots that are 1, 2, 2.5 or 5 times a power of ten."""
    big = lots[lots >= 10]
    scale = 10 ** np.floor(np.log10(np.maximum(big, 1)) + 1e-9).astype(np.int64)
    return float(np.isin(100 * big // scale * (big * 100 % scale == 0), (100, 200, 250, 500)).mean())


def flow_imbalance(tape: Tape, step_ns: int) -> tuple[F64, F64]:
    """Order-flow imbalance of the best quotes per step, in lots, and the change of the mid over it, in ticks."""
    time, (bid, bid_lots, ask, ask_lots) = tape.quotes()
    flow = (
        np.where(bid[1:] >= bid[:-1], bid_lots[1:], 0) - np.where(bid[1:] <= bid[:-1], bid_lots[:-1], 0)
        - np.where(ask[1:] <= ask[:-1], ask_lots[1:], 0) + np.where(ask[1:] >= ask[:-1], ask_lots[:-1], 0)
    )  # fmt: skip
    index = (time[1:] - time[0]) // step_ns
    total: F64 = np.bincount(index, flow.astype(np.float64)).astype(np.float64)
    mid = (bid + ask) / 2.0
    move: F64 = np.bincount(index, np.diff(mid), minlength=len(total)).astype(np.float64)
    return total, move


def _spread(tape: Tape, found: dict[str, float]) -> None:
    time, quote = tape.quotes()
    spread = (quote[2] - quote[0])[:-1]
    held = np.diff(time).astype(np.float64)
    found["spread_one_tick_updates"] = float((spread == 1).mean())
    found["spread_one_tick_time"] = float(held[spread == 1].sum() / held.sum())
    found["spread_mean_ticks"] = float((spread * held).sum() / held.sum())
    changed = np.abs(np.diff(spread - spread.mean()))
    found["spread_lag_1"] = autocorrelation(spread.astype(np.float64), (1,))[0] if changed.any() else float("nan")


def _arrivals(tape: Tape, found: dict[str, float]) -> None:
    time, sign, lots = tape.orders()
    gap = np.diff(time).astype(np.float64) / 1e6
    found["order_gap_median_over_mean"] = float(np.median(gap) / gap.mean())
    found["order_gap_p95_over_median"] = float(np.percentile(gap, 95) / max(1.0, float(np.median(gap))))
    found["order_gap_cv"] = float(gap.std() / gap.mean())
    for window in FANO_NS:
        found[f"order_fano_{window / 1e9:g}s"] = fano(time, window)
    quotes = tape.quotes()[0]
    for window in FANO_NS[:3]:
        found[f"quote_fano_{window / 1e9:g}s"] = fano(quotes, window)
    for lag, value in zip(SIGN_LAGS, autocorrelation(sign, SIGN_LAGS), strict=True):
        found[f"sign_lag_{lag}"] = value
    for name, share in (("median", 50), ("p75", 75), ("p95", 95), ("p99", 99)):
        found[f"order_lots_{name}"] = float(np.percentile(lots, share))
    prints = tape.trades()[3]
    found["print_lots_median"] = float(np.median(prints))
    found["print_lots_p95"] = float(np.percentile(prints, 95))
    found["print_round_share"] = round_share(prints)
    found["prints_per_order"] = len(prints) / len(time)


def _prices(tape: Tape, found: dict[str, float]) -> None:
    grid = mid_grid(tape, GRID_NS)
    found["variance_ratio_1s"] = variance_ratio(grid, 10)
    found["variance_ratio_10s"] = variance_ratio(grid, 100)
    second = grid[::10]
    moves = np.diff(second)
    found["volatility_1s_bps"] = float(moves.std() / second.mean() * 1e4)
    found["kurtosis_1s"] = float(((moves - moves.mean()) ** 4).mean() / max(1e-12, float(moves.var())) ** 2)
    found["still_share_100ms"] = float((np.diff(grid) == 0).mean())
    for lag, value in zip(RETURN_LAGS_S, autocorrelation(np.abs(moves), RETURN_LAGS_S), strict=True):
        found[f"absolute_return_lag_{lag}s"] = value
    flow, move = flow_imbalance(tape, SECOND_NS)
    found["imbalance_correlation_1s"] = float(np.corrcoef(flow, move)[0, 1])
    time, sign, lots = tape.orders()
    index = (time - tape.quotes()[0][0]) // SECOND_NS
    inside = (index >= 0) & (index < len(move))
    signed = np.bincount(index[inside], (sign * np.sqrt(lots))[inside], minlength=len(move))
    found["trade_imbalance_correlation_1s"] = float(np.corrcoef(signed, move)[0, 1])


def _depth(tape: Tape, found: dict[str, float]) -> None:
    lots, filled = np.array(tape.samples, np.float64), np.array(tape.filled, np.float64)
    width = 2.0 * np.diff(DEPTH_EDGES)
    for bucket in range(len(width)):
        name = f"{DEPTH_EDGES[bucket]}_{DEPTH_EDGES[bucket + 1] - 1}"
        found[f"depth_lots_{name}"] = float(lots[:, bucket].mean() / width[bucket])
        found[f"depth_filled_{name}"] = float(filled[:, bucket].mean() / width[bucket])
    rows = np.array(tape.depth_rows)
    found["rows_per_diff"] = float(rows.mean())
    found["rows_per_diff_p95_over_median"] = float(np.percentile(rows, 95) / max(1.0, float(np.median(rows))))
    found["cancels_per_limit"] = tape.less / max(1, tape.more)
    found["new_levels_share"] = tape.new / max(1, tape.more)
    found["gone_levels_share"] = tape.gone / max(1, tape.less)


def statistics(tape: Tape) -> dict[str, float]:
    """Every statistic of a tape by name. Raises ValueError for a feed with too little in it."""
    quotes, orders = tape.quotes()[0], tape.orders()[0]
    if len(orders) < 100 or len(quotes) < 100 or len(tape.samples) < 10:
        raise ValueError(
            f"market statistics: {len(orders)} taker orders, {len(quotes)} quotes and {len(tape.samples)} seconds of "
            "depth are too few; 100, 100 and 10 are needed"
        )
    seconds = (int(quotes[-1]) - int(quotes[0])) / 1e9
    found: dict[str, float] = {
        "seconds": seconds,
        "orders_per_s": len(orders) / seconds,
        "prints_per_s": len(tape.trades()[0]) / seconds,
        "quotes_per_s": len(quotes) / seconds,
        "diffs_per_s": len(tape.depth_ns) / seconds,
        "rows_per_s": sum(tape.depth_rows) / seconds,
    }
    for part in (_spread, _arrivals, _prices, _depth):
        part(tape, found)
    return found


def curves(tape: Tape) -> dict[str, Any]:
    """Series for figures: x and y by name."""
    time, sign, lots = tape.orders()
    gaps = np.sort(np.diff(time)) / 1e6
    lags = [1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100]
    windows = [GRID_NS // 10 * 2**k for k in range(12)]
    grid = mid_grid(tape, GRID_NS)
    ratios = [2, 5, 10, 20, 50, 100, 200]
    depth = np.array(tape.samples, np.float64).mean(axis=0) / (2.0 * np.diff(DEPTH_EDGES))
    spread = np.diff(tape.quotes()[1][[0, 2]], axis=0)[0]
    return {
        "spread": (list(range(1, 21)), [float((spread == k).mean()) for k in range(1, 21)]),
        "depth": ([edge + 0.5 for edge in DEPTH_EDGES[:-1]], (depth / depth.sum()).tolist()),
        "gap": (gaps.tolist(), (1 - np.arange(len(gaps)) / len(gaps)).tolist()),
        "fano": ([w / 1e9 for w in windows], [fano(time, w) for w in windows]),
        "sign": (lags, autocorrelation(sign, lags)),
        "size": (np.sort(lots).tolist(), (1 - np.arange(len(lots)) / len(lots)).tolist()),
        "variance": ([k / 10 for k in ratios], [variance_ratio(grid, k) for k in ratios]),
        "absolute": (list(range(1, 31)), autocorrelation(np.abs(np.diff(grid[::10])), range(1, 31))),
    }
