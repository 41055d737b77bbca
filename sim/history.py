"""``ctx.history``: what the lake holds of an instrument before now, for warming a strategy up.

Only messages with a receive time up to now are given out, so history cannot see further than the strategy itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from matching.codes import BUY, MARK, TRADE
from matching.feed import FeedSource, FeedWindow
from sim.units import duration_ns

if TYPE_CHECKING:
    import polars as pl

KINDS: Final = ("trades", "bars", "mark")
LATE_NS: Final = 60_000_000_000  # venue time may lie this far before the receive time of what is still wanted

OpenSpan = Callable[[int, int], FeedSource]


def history(open_span: OpenSpan, span_ns: int, now_ns: int, kind: str, bar: int | str | None) -> pl.DataFrame:
    """Trades, bars or marks received in (now - span, now]; ``open_span(from, to)`` opens the feed by venue time."""
    if kind not in KINDS:
        raise ValueError(f"history(kind={kind!r}): must be one of {', '.join(KINDS)}")
    if (kind == "bars") != (bar is not None):
        raise ValueError('history: give bar = "1m" or the like with kind="bars", and only there')
    wanted = MARK if kind == "mark" else TRADE
    parts = []
    source = open_span(now_ns - span_ns - LATE_NS, now_ns + 1)
    while (window := source.next_window()) is not None:
        inside = (window.ts_recv > now_ns - span_ns) & (window.ts_recv <= now_ns) & (window.kind == wanted)
        parts.append(_marks(window, inside) if kind == "mark" else _trades(window, inside))
    return _bars(parts, duration_ns(bar)) if bar is not None else _frame(parts, _COLUMNS[kind])


_COLUMNS: Final = {
    "trades": ("ts_event_ns", "ts_recv_ns", "side", "ticks", "lots"),
    "mark": ("ts_event_ns", "ts_recv_ns", "mark_e8", "index_e8", "rate_e12", "next_funding_ns"),
}


def _frame(parts: list[list[Any]], names: tuple[str, ...]) -> pl.DataFrame:
    import polars as pl

    columns = {
        name: np.concatenate([part[k] for part in parts] or [np.zeros(0, np.int64)]) for k, name in enumerate(names)
    }
    return pl.DataFrame({name: column.astype(np.int64) for name, column in columns.items()}).sort(
        "ts_recv_ns", maintain_order=True
    )


def _trades(window: FeedWindow, inside: Any) -> list[Any]:
    found = np.flatnonzero(inside)
    counts = window.row_start[found + 1] - window.row_start[found]
    message = np.repeat(found, counts)
    first = np.repeat(window.row_start[found] - np.concatenate(([0], np.cumsum(counts)[:-1])).astype(np.int64), counts)
    rows = first + np.arange(len(message))
    return [
        window.ts_event[message], window.ts_recv[message], window.side[rows], window.px_ticks[rows],
        window.qty_lots[rows],
    ]  # fmt: skip


def _marks(window: FeedWindow, inside: Any) -> list[Any]:
    found = np.flatnonzero(inside)
    aux = window.aux[window.ref[found] - window.aux_base]
    return [window.ts_event[found], window.ts_recv[found], *(aux[:, k] for k in range(4))]


def _bars(parts: list[list[Any]], interval_ns: int) -> pl.DataFrame:
    """Bars as ``on_bar`` makes them: of the prints received in (end - interval, end]; empty ones are left out."""
    import polars as pl

    if interval_ns < 1:
        raise ValueError("history: a bar must be longer than nothing")
    trades = _frame(parts, _COLUMNS["trades"])
    end = ((pl.col("ts_recv_ns") + interval_ns - 1) // interval_ns * interval_ns).alias("end_ns")
    ticks, lots = pl.col("ticks"), pl.col("lots")
    return (
        trades.group_by(end, maintain_order=True)
        .agg(
            ticks.first().alias("open_ticks"),
            ticks.max().alias("high_ticks"),
            ticks.min().alias("low_ticks"),
            ticks.last().alias("close_ticks"),
            lots.sum(),
            lots.filter(pl.col("side") == BUY).sum().alias("buy_lots"),
            pl.len().cast(pl.Int64).alias("trades"),
        )
        .sort("end_ns")
    )
