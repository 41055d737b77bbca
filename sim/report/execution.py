"""How orders fared: markouts, slippage, queue position, latencies, holding times, inventory.

Sign conventions: a markout is positive when the market moved in the fill's favour, slippage is positive when it
cost. The mid is (best bid + best ask) / 2 of the venue's book as sampled in the run, read as of an instant (the
last sample at or before it); it is not known before the first sample, after the last, or inside a gap, and a fill
whose mid is not known is left out of the average and not counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from matching import codes
from sim.report.returns import sample_interval_ns

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

NS_PER_MS = 1_000_000
MARKOUT_HORIZONS_NS = (0, 100 * NS_PER_MS, 1_000 * NS_PER_MS, 10_000 * NS_PER_MS, 60_000 * NS_PER_MS)
QUEUE_QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
LATENCY_QUANTILES = (0.0, 0.5, 0.9, 0.99, 0.999, 1.0)
GROUPS = ("all", "buy", "sell", "maker", "taker")
_ABSENT = codes.NO_PRICE // 2


def code_names(prefix: str) -> dict[int, str]:
    """Names of one family of ``matching.codes`` in words: ``code_names("CAUSE_")[2] == "queue"``."""
    found = {name: value for name, value in vars(codes).items() if name.startswith(prefix)}
    return {value: name.removeprefix(prefix).lower().replace("_", " ") for name, value in found.items()}


CAUSES = code_names("CAUSE_")
REASONS = code_names("R_")


@dataclass(frozen=True, slots=True)
class MidTrack:
    """The sampled mid of one instrument: ``ts_ns`` ascending, ``mid_ticks`` NaN where a side was missing,
    ``step_ns`` the sampling interval, and the gaps (start, end) during which no mid is known."""

    ts_ns: I64
    mid_ticks: F64
    step_ns: int
    gap_start_ns: I64
    gap_end_ns: I64

    @classmethod
    def from_frames(cls, bbo: pl.DataFrame, gaps: pl.DataFrame) -> MidTrack:
        """From the rows of one instrument in ``bbo.parquet`` and ``gaps.parquet`` (both sorted by time)."""
        sides = bbo.select(
            pl.when(pl.col(side) > _ABSENT).then(pl.col(side)).cast(pl.Float64) for side in ("bid_ticks", "ask_ticks")
        )
        mid = ((sides["bid_ticks"] + sides["ask_ticks"]) / 2).fill_null(np.nan).to_numpy()
        ts = bbo["ts_ns"].to_numpy()
        starts, ends = gaps["start_ns"].to_numpy(), gaps["end_ns"].to_numpy()
        return cls(ts, mid, sample_interval_ns(ts), starts, ends)

    def at(self, times_ns: I64) -> F64:
        """The mid in ticks as of each instant; NaN where it is not known."""
        if not len(self.ts_ns):
            return np.full(len(times_ns), np.nan)
        place = np.searchsorted(self.ts_ns, times_ns, side="right") - 1
        known = (place >= 0) & (times_ns < self.ts_ns[-1] + max(self.step_ns, 1)) & ~self.in_gap(times_ns)
        return np.where(known, self.mid_ticks[np.maximum(place, 0)], np.nan)

    def in_gap(self, times_ns: I64) -> Mask:
        """Which instants lie in a gap, its start included and its end not."""
        inside = np.zeros(len(times_ns), dtype=np.bool_)
        for start, end in zip(self.gap_start_ns, self.gap_end_ns, strict=True):
            inside |= (times_ns >= start) & (times_ns < end)
        return inside


def _columns(frame: pl.DataFrame, *names: str) -> list[I64]:
    return [frame[name].to_numpy() for name in names]


def _groups(fills: pl.DataFrame) -> dict[str, Mask]:
    side, liquidity = _columns(fills, "side", "liquidity")
    masks = (side == side, side == codes.BUY, side == codes.SELL)
    return dict(zip(GROUPS, (*masks, liquidity == codes.LIQ_MAKER, liquidity == codes.LIQ_TAKER), strict=True))


def markouts(fills: pl.DataFrame, mid: MidTrack) -> list[dict[str, Any]]:
    """Average move of the mid after fills, weighted by size, one entry a horizon (0, 0.1, 1, 10, 60 s) and group.

    Of a fill at price p and time t: ``s * (mid(t + horizon) - p)`` with s = +1 for a buy and -1 for a sell, in
    ticks, and the same over p in basis points. Keys: ``horizon_ns``, ``group`` (all buy sell maker taker),
    ``fills`` and ``lots`` measured, ``ticks``, ``bps`` (None when nothing was measured), ``measurable`` (False when
    the horizon is shorter than the sampling interval of the mid, where any figure would be an artefact).
    """
    times, ticks, lots, side = _columns(fills, "ts_event_ns", "ticks", "lots", "side")
    sign = np.where(side == codes.BUY, 1.0, -1.0)
    groups = _groups(fills)
    rows: list[dict[str, Any]] = []
    for horizon in MARKOUT_HORIZONS_NS:
        measurable = bool(mid.step_ns) and (horizon == 0 or horizon >= mid.step_ns)
        move = sign * (mid.at(times + horizon) - ticks)
        for group, mask in groups.items():
            chosen = mask & ~np.isnan(move) & measurable
            row = {"horizon_ns": horizon, "group": group, "measurable": measurable, "fills": int(chosen.sum())}
            row["lots"] = int(lots[chosen].sum())
            row["ticks"] = weighted_mean(move[chosen], lots[chosen])
            row["bps"] = weighted_mean(1e4 * move[chosen] / ticks[chosen], lots[chosen])
            rows.append(row)
    return rows


def weighted_mean(values: F64, weights: I64) -> float | None:
    """sum(w * v) / sum(w); None when the weights sum to zero."""
    total = float(weights.sum())
    return float((values * weights).sum() / total) if total > 0 else None


@dataclass(frozen=True, slots=True)
class TakerCosts:
    """Cost of each measured taker fill: ``lots``, ``ticks`` and ``bps`` of equal length."""

    lots: I64
    ticks: F64
    bps: F64


def taker_costs(fills: pl.DataFrame, orders: pl.DataFrame, mid: MidTrack) -> TakerCosts:
    """What each taker fill cost against the mid at the instant its order was sent.

    Of a fill at p of an order sent at s: ``side * (p - mid(s))`` in ticks, and over mid(s) in basis points; it
    holds the half spread, the walk through the book and what the market moved during order entry. Fills whose mid
    at s is not known are left out, as are fills that the venue forced.
    """
    sent = first_events(orders).select("lane", "order_no", "ts_sent_ns").unique(["lane", "order_no"])
    taken = fills.filter((pl.col("liquidity") == codes.LIQ_TAKER) & (pl.col("cause") == codes.CAUSE_TAKER))
    taken = taken.join(sent, on=["lane", "order_no"], how="inner").sort(
        "ts_event_ns", "lane", "order_no", "ticks", "lots"
    )
    ticks, lots, side, times = _columns(taken, "ticks", "lots", "side", "ts_sent_ns")
    before = mid.at(times)
    cost = np.where(side == codes.BUY, 1.0, -1.0) * (ticks - before)
    known = ~np.isnan(cost)
    return TakerCosts(lots[known], cost[known], 1e4 * cost[known] / before[known])


def slippage(fills: pl.DataFrame, orders: pl.DataFrame, mid: MidTrack) -> dict[str, Any]:
    """Average of ``taker_costs`` weighted by size. Keys: ``fills`` measured, ``ticks``, ``bps`` (None without
    any)."""
    cost = taker_costs(fills, orders, mid)
    ticks, bps = weighted_mean(cost.ticks, cost.lots), weighted_mean(cost.bps, cost.lots)
    return {"fills": len(cost.lots), "ticks": ticks, "bps": bps}


def known_front() -> pl.Expr:
    """Fills whose queue was known; the kernel marks an unknown one (a feed of best quotes alone) by a negative
    front."""
    return (pl.col("queue_front_lots") >= 0) & pl.col("queue_front_lots").is_not_nan()


def queue_quantiles(fills: pl.DataFrame) -> dict[str, Any]:
    """Lots of others estimated ahead of the order when it filled (``queue_front_lots``), over maker fills.

    Keys: ``fills``, ``quantiles`` (share -> lots, unweighted, lower quantile of the sorted values), ``by_cause``
    (name of the cause -> number of maker fills). The front can be above zero for fills by a trade through the price
    or by a crossed book, which do not wait for the queue.
    """
    resting = fills.filter(pl.col("liquidity") == codes.LIQ_MAKER)
    front = resting.filter(known_front())["queue_front_lots"].to_numpy()
    values = np.quantile(front, QUEUE_QUANTILES, method="inverted_cdf").tolist() if len(front) else []
    causes = resting["cause"].value_counts().sort("cause").rows()
    return {
        "fills": len(resting),
        "quantiles": {f"{share:g}": value for share, value in zip(QUEUE_QUANTILES, values, strict=False)},
        "by_cause": {CAUSES.get(cause, str(cause)): count for cause, count in causes},
    }


def latency_quantiles(latency_ns: I64) -> dict[str, int]:
    """Quantiles of a latency in ns as observed values: ``count`` and ``min p50 p90 p99 p99.9 max`` (empty: count
    0)."""
    if not len(latency_ns):
        return {"count": 0}
    values = np.quantile(latency_ns, LATENCY_QUANTILES, method="inverted_cdf")
    names = ("min", "p50", "p90", "p99", "p99.9", "max")
    return {"count": len(latency_ns)} | {name: int(value) for name, value in zip(names, values, strict=True)}


def first_events(orders: pl.DataFrame) -> pl.DataFrame:
    """The first event of each order; account events, which carry order number 0, are left out."""
    sent = orders.filter(pl.col("order_no") > 0)
    return sent.filter(pl.col("seq") == pl.col("seq").min().over("lane", "order_no"))


def entry_latency_ns(orders: pl.DataFrame) -> I64:
    """From sending an order to its meeting the venue's book: ``ts_event - ts_sent`` of each order's first event.

    The venue stamps at its own resolution (a millisecond on Binance), which makes this that much coarse.
    """
    first = first_events(orders).filter((pl.col("ts_event_ns") > 0) & (pl.col("ts_sent_ns") > 0))
    return (first["ts_event_ns"] - first["ts_sent_ns"]).to_numpy()


def response_latency_ns(orders: pl.DataFrame) -> I64:
    """From an order's event at the venue to its delivery: ``ts_deliver - ts_event`` of every event with both
    stamps."""
    stamped = orders.filter((pl.col("order_no") > 0) & (pl.col("ts_event_ns") > 0) & (pl.col("ts_deliver_ns") > 0))
    return (stamped["ts_deliver_ns"] - stamped["ts_event_ns"]).to_numpy()


def order_counts(orders: pl.DataFrame) -> dict[str, Any]:
    """Orders by fate, and fill ratios.

    Keys: ``submitted`` (distinct orders with any event), ``accepted``, ``rejected``, ``rejected_by_reason``,
    ``canceled``, ``expired``, ``filled`` (at least once), ``fill_ratio_orders`` = filled / accepted,
    ``fill_ratio_lots`` = lots filled / lots of accepted orders (the size after the last amendment). Ratios are None
    when nothing was accepted.
    """
    key = ["lane", "order_no"]
    sized = orders.filter(pl.col("event").is_in([codes.EV_ACCEPTED, codes.EV_AMENDED]) & (pl.col("order_no") > 0))
    sizes = sized.sort("seq").group_by(key).agg(pl.col("lots").last())
    executed = orders.filter((pl.col("event") == codes.EV_FILLED) & (pl.col("order_no") > 0))
    rejected = orders.filter((pl.col("event") == codes.EV_REJECTED) & (pl.col("order_no") > 0))
    accepted, filled = len(sizes), executed.select(key).n_unique() if len(executed) else 0
    lots = int(sizes["lots"].sum())
    return {
        "submitted": orders.filter(pl.col("order_no") > 0).select(key).n_unique() if len(orders) else 0,
        "accepted": accepted,
        "rejected": len(rejected),
        "rejected_by_reason": {
            REASONS.get(reason, str(reason)): count
            for reason, count in rejected["reason"].value_counts().sort("reason").rows()
        },
        "canceled": int((orders["event"] == codes.EV_CANCELED).sum()),
        "expired": int((orders["event"] == codes.EV_EXPIRED).sum()),
        "filled": filled,
        "fill_ratio_orders": filled / accepted if accepted else None,
        "fill_ratio_lots": int(executed["lots"].sum()) / lots if lots else None,
    }


def orders_open_in_gaps(orders: pl.DataFrame, gaps: pl.DataFrame, last_ns: int) -> int:
    """Own orders (of one instrument) that rested while a gap of its feed began: whether they filled there is
    unknown."""
    key = ["lane", "order_no"]
    opened = (
        orders.filter(pl.col("event") == codes.EV_ACCEPTED).group_by(key).agg(pl.col("ts_event_ns").min().alias("open"))
    )
    done = (codes.EV_CANCELED, codes.EV_EXPIRED, codes.EV_REJECTED)
    closing = orders.filter(
        pl.col("event").is_in(done) | ((pl.col("event") == codes.EV_FILLED) & (pl.col("leaves") == 0))
    )
    closed = closing.group_by(key).agg(pl.col("ts_event_ns").max().alias("closed"))
    spans = opened.join(closed, on=key, how="left").with_columns(pl.col("closed").fill_null(last_ns + 1))
    begin, end = _columns(spans, "open", "closed")
    touched = np.zeros(len(spans), dtype=np.bool_)
    for start in gaps["start_ns"].to_list():
        touched |= (begin < start) & (end > start)
    return int(touched.sum())


def holding_times(fills: pl.DataFrame) -> dict[str, Any]:
    """How long lots were held and how often closing paid, first in first out.

    A fill against the position closes the oldest lots first. Keys: ``closed_lots``, ``mean_ns`` = sum(lots * time
    held) / sum(lots) over closed lots, ``closing_fills`` (fills that reduced the position), ``hit_rate`` = share of
    those with positive realised PnL before fees. The last two are None when nothing was closed. Rows of one lane
    and instrument, in order of time.
    """
    times: list[int] = []
    open_lots: list[int] = []  # signed lots of each open fill, oldest first; ``head`` is the oldest still open
    head = closed = weighted = closing = hits = 0
    rows = fills.select("ts_event_ns", "side", "lots", "realized_e8").iter_rows()
    for time_ns, side, lots, realized_e8 in rows:
        left = lots if side == codes.BUY else -lots
        if head < len(open_lots) and (open_lots[head] > 0) != (left > 0):
            closing += 1
            hits += realized_e8 > 0
        while left and head < len(open_lots) and (open_lots[head] > 0) != (left > 0):
            taken = min(abs(left), abs(open_lots[head]))
            closed += taken
            weighted += taken * (time_ns - times[head])
            left += taken if left < 0 else -taken
            open_lots[head] += taken if open_lots[head] < 0 else -taken
            head += open_lots[head] == 0
        if left:
            times.append(time_ns)
            open_lots.append(left)
    return {
        "closed_lots": closed,
        "mean_ns": weighted / closed if closed else None,
        "closing_fills": closing,
        "hit_rate": hits / closing if closing else None,
    }


def position_steps(fills: pl.DataFrame, positions: pl.DataFrame) -> tuple[I64, I64]:
    """The position of one lane and instrument as a step function: times (ascending) and lots from then on.

    Fills give the exact instants, samples whatever else moved the position (a take-over); a fill counts before a
    sample of the same instant.
    """
    times = np.concatenate([fills["ts_event_ns"].to_numpy(), positions["ts_ns"].to_numpy()])
    lots = np.concatenate([fills["position_lots"].to_numpy(), positions["position_lots"].to_numpy()])
    order = np.argsort(times, kind="stable")
    return times[order], lots[order]


def inventory(times_ns: I64, lots: I64, first_ns: int, last_ns: int) -> dict[str, Any]:
    """Time shares and extremes of a position step function that is flat before its first step.

    Keys: ``long_share`` ``short_share`` ``flat_share`` of the time between ``first_ns`` and ``last_ns`` (they sum
    to 1; None for an empty span), ``max_long_lots`` ``max_short_lots`` (both >= 0), ``mean_abs_lots`` weighted by
    time, ``end_lots``.
    """
    edges = np.clip(np.concatenate(([first_ns], times_ns, [last_ns])), first_ns, last_ns)
    held = np.concatenate((np.zeros(1, dtype=np.int64), lots))
    spans = np.diff(edges).astype(np.float64)
    total = float(spans.sum())

    def share(mask: Mask) -> float | None:
        return float(spans[mask].sum()) / total if total > 0 else None

    return {
        "long_share": share(held > 0),
        "short_share": share(held < 0),
        "flat_share": share(held == 0),
        "max_long_lots": int(max(held.max(), 0)),
        "max_short_lots": int(max(-held.min(), 0)),
        "mean_abs_lots": float((np.abs(held) * spans).sum()) / total if total > 0 else None,
        "end_lots": int(held[-1]),
    }
