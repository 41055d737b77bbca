"""How orders fared: markouts, slippage, queue position, latencies, holding times, inventory.

Sign conventions: a markout is positive when the market moved in the fill's favour, slippage is positive when it cost.
The mid is that of ``mids``; a fill whose mid is not known is left out of the average and not counted.

Rows come in batches, those of one lane and instrument at a time, in order of time; what is kept between batches is
bounded by the orders and lots open at the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from matching import codes
from sim.report.load import Columns
from sim.report.mids import Mids
from sim.report.streams import Line, Marks, Sample

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

NS_PER_MS = 1_000_000
MARKOUT_HORIZONS_NS = (0, 100 * NS_PER_MS, 1_000 * NS_PER_MS, 10_000 * NS_PER_MS, 60_000 * NS_PER_MS)
QUEUE_QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
QUEUE_EDGES = (0.0, 1.0, 10.0, 100.0, 1_000.0, 10_000.0)
LATENCY_QUANTILES = (0.0, 0.5, 0.9, 0.99, 0.999, 1.0)
LATENCY_NAMES = ("min", "p50", "p90", "p99", "p99.9", "max")
GROUPS = ("all", "buy", "sell", "maker", "taker")
FORCED = (codes.CAUSE_LIQUIDATION, codes.CAUSE_ADL, codes.CAUSE_TAKEOVER)
CLOSING = (codes.EV_CANCELED, codes.EV_EXPIRED, codes.EV_REJECTED)


def code_names(prefix: str) -> dict[int, str]:
    """Names of one family of ``matching.codes`` in words: ``code_names("CAUSE_")[2] == "queue"``."""
    found = {name: value for name, value in vars(codes).items() if name.startswith(prefix)}
    return {value: name.removeprefix(prefix).lower().replace("_", " ") for name, value in found.items()}


CAUSES = code_names("CAUSE_")
REASONS = code_names("R_")


def is_forced(cause: I64) -> Mask:
    """Fills that the venue forced: liquidation, take-over, auto-deleveraging."""
    return np.isin(cause, FORCED)


class Markouts:
    """Average move of the mid after fills, weighted by size, for each horizon (0, 0.1, 1, 10, 60 s) and group.

    Of a fill at price p and time t: ``s * (mid(t + horizon) - p)`` with s = +1 for a buy and -1 for a sell, in
    ticks, and the same over p in basis points. Fills that the venue forced are left out: they are no decision of
    the strategy.
    """

    def __init__(self, mids: Mids, instrument: int) -> None:
        self._mids, self._instrument = mids, instrument
        shape = (len(MARKOUT_HORIZONS_NS), len(GROUPS))
        self._fills, self._lots = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        self._ticks, self._bps = np.zeros(shape), np.zeros(shape)

    def add(self, fills: Columns) -> None:
        """Add rows of ``fills.parquet``."""
        free = ~is_forced(fills["cause"])
        times, ticks, lots = (fills[name][free] for name in ("ts_event_ns", "ticks", "lots"))
        side, liquidity = fills["side"][free], fills["liquidity"][free]
        sign = np.where(side == codes.BUY, 1.0, -1.0)
        maker, taker = liquidity == codes.LIQ_MAKER, liquidity == codes.LIQ_TAKER
        masks = (side == side, side == codes.BUY, side == codes.SELL, maker, taker)
        for h, horizon in enumerate(MARKOUT_HORIZONS_NS):
            if not self._measurable(horizon):
                continue
            move = sign * (self._mids.at(self._instrument, times + horizon) - ticks)
            for g, mask in enumerate(masks):
                chosen = mask & ~np.isnan(move)
                weights = lots[chosen]
                self._fills[h, g] += len(weights)
                self._lots[h, g] += int(weights.sum())
                self._ticks[h, g] += float((weights * move[chosen]).sum())
                self._bps[h, g] += float((weights * 1e4 * move[chosen] / ticks[chosen]).sum())

    def _measurable(self, horizon_ns: int) -> bool:
        step_ns = self._mids.step_ns(self._instrument)
        return bool(step_ns) and (horizon_ns == 0 or horizon_ns >= step_ns)

    def result(self) -> list[dict[str, Any]]:
        """One entry a horizon and group (all buy sell maker taker) with keys ``horizon_ns``, ``group``, ``fills``
        and ``lots`` measured, ``ticks``, ``bps`` (None when nothing was measured), ``measurable`` (False when the
        horizon is shorter than the sampling interval of the mid, where any figure would be an artefact)."""
        rows: list[dict[str, Any]] = []
        for h, horizon in enumerate(MARKOUT_HORIZONS_NS):
            for g, group in enumerate(GROUPS):
                lots = int(self._lots[h, g])
                row = {"horizon_ns": horizon, "group": group, "measurable": self._measurable(horizon)}
                row |= {"fills": int(self._fills[h, g]), "lots": lots}
                row["ticks"] = float(self._ticks[h, g]) / lots if lots else None
                row["bps"] = float(self._bps[h, g]) / lots if lots else None
                rows.append(row)
        return rows


@dataclass(slots=True)
class TakerCosts:
    """What taking cost against the mid at the instant the order (or its last amendment) was sent.

    Of a fill at p of an order sent at s: ``side * (p - mid(s))`` in ticks, and over mid(s) in basis points; it
    holds the half spread, the walk through the book and what the market moved during order entry. Forced fills are
    left out.
    """

    mids: Mids
    instrument: int
    fills: int = 0
    lots: int = 0
    bps: Sample = field(default_factory=Sample)
    _ticks: float = 0.0
    _bps: float = 0.0

    def add(self, orders: Columns) -> None:
        """Add rows of ``orders.parquet``, of which fills that took count."""
        took = (orders["event"] == codes.EV_FILLED) & (orders["cause"] == codes.CAUSE_TAKER)
        if not took.any():
            return
        ticks, lots, side = (orders[name][took] for name in ("ticks", "lots", "side"))
        before = self.mids.at(self.instrument, orders["ts_sent_ns"][took])
        cost = np.where(side == codes.BUY, 1.0, -1.0) * (ticks - before)
        known = ~np.isnan(cost)
        cost, lots, bps = cost[known], lots[known], 1e4 * cost[known] / before[known]
        self.fills += len(lots)
        self.lots += int(lots.sum())
        self._ticks += float((lots * cost).sum())
        self._bps += float((lots * bps).sum())
        self.bps.add(bps)

    def result(self) -> dict[str, Any]:
        """Averages weighted by size. Keys: ``fills`` measured, ``ticks``, ``bps`` (None without any)."""
        means = (self._ticks / self.lots, self._bps / self.lots) if self.lots else (None, None)
        return {"fills": self.fills, "ticks": means[0], "bps": means[1]}


def latency_figures(latency: Sample) -> dict[str, int]:
    """Quantiles of a latency in ns as observed values: ``count`` and ``min p50 p90 p99 p99.9 max`` (none: count 0).

    The least and the greatest are those of all; the rest is taken from at most 65,536 values evenly spread over the
    run.
    """
    values = latency.quantiles(LATENCY_QUANTILES)
    return {"count": latency.count} | {name: int(value) for name, value in zip(LATENCY_NAMES, values, strict=False)}


class OrderFlow:
    """Orders by fate, fill ratios, latencies, and orders that rested while a gap of the feed began."""

    def __init__(self, gap_starts_ns: I64) -> None:
        self._gap_starts_ns = gap_starts_ns
        self.entry, self.response = Sample(), Sample()
        self.counts = dict.fromkeys(("submitted", "accepted", "rejected", "canceled", "expired", "filled"), 0)
        self.reasons: dict[int, int] = {}
        self.in_gaps = self._accepted_lots = self._filled_lots = 0
        # open orders, ascending by number: number, size in lots, accepted at, whether any of it was filled
        self._open: I64 = np.empty((0, 4), np.int64)

    def add(self, orders: Columns) -> None:
        """Add rows of ``orders.parquet``; account events, which have order number 0, are left out."""
        rows = {name: values[orders["order_no"] > 0] for name, values in orders.items()}
        event = rows["event"]
        first = rows["seq"] == 0
        self.counts["submitted"] += int(first.sum())
        for name, code in (
            ("rejected", codes.EV_REJECTED),
            ("canceled", codes.EV_CANCELED),
            ("expired", codes.EV_EXPIRED),
        ):
            self.counts[name] += int((event == code).sum())
        reasons, counts = np.unique(rows["reason"][event == codes.EV_REJECTED], return_counts=True)
        for reason, count in zip(reasons.tolist(), counts.tolist(), strict=True):
            self.reasons[reason] = self.reasons.get(reason, 0) + count
        at, sent, deliver = rows["ts_event_ns"], rows["ts_sent_ns"], rows["ts_deliver_ns"]
        known = at > 0
        self.entry.add((at - sent)[first & known & (sent > 0)])
        self.response.add((deliver - at)[known & (deliver > 0)])
        self._follow(rows)

    def _follow(self, rows: Columns) -> None:
        """Sizes and fates of orders, across batches."""
        number, event, at, lots = rows["order_no"], rows["event"], rows["ts_event_ns"], rows["lots"]
        accepted = event == codes.EV_ACCEPTED
        new = np.stack(
            [number[accepted], lots[accepted], at[accepted], np.zeros(int(accepted.sum()), np.int64)], axis=1
        )
        known = np.concatenate((self._open, new))
        known = known[np.argsort(known[:, 0], kind="stable")]
        self.counts["accepted"] += len(new)
        self._accepted_lots += int(new[:, 1].sum())
        for place in np.flatnonzero(event == codes.EV_AMENDED).tolist():
            slot = int(np.searchsorted(known[:, 0], number[place]))
            if slot < len(known) and known[slot, 0] == number[place]:
                self._accepted_lots += int(lots[place] - known[slot, 1])
                known[slot, 1] = lots[place]
        filled = event == codes.EV_FILLED
        self._filled_lots += int(lots[filled].sum())
        touched = np.isin(known[:, 0], number[filled])
        self.counts["filled"] += int((touched & (known[:, 3] == 0)).sum())
        known[touched, 3] = 1
        self._close(known, number, at, np.isin(event, CLOSING) | (filled & (rows["leaves"] == 0)))

    def _close(self, known: I64, number: I64, at: I64, done: Mask) -> None:
        closed, last = np.unique(number[done][::-1], return_index=True)
        closed_at = at[done][::-1][last]
        if not len(closed):
            self._open = known
            return
        slot = np.minimum(np.searchsorted(closed, known[:, 0]), len(closed) - 1)
        is_closed = closed[slot] == known[:, 0]
        self.in_gaps += self._through(known[is_closed, 2], closed_at[slot[is_closed]])
        self._open = known[~is_closed]

    def _through(self, opened: I64, closed: I64) -> int:
        """How many of the orders were open while a gap began."""
        before = np.searchsorted(self._gap_starts_ns, opened, side="right")
        return int((np.searchsorted(self._gap_starts_ns, closed, side="left") > before).sum())

    def result(self) -> dict[str, Any]:
        """Keys: ``submitted`` (orders with any event), ``accepted``, ``rejected``, ``rejected_by_reason``,
        ``canceled``, ``expired``, ``filled`` (at least once), ``fill_ratio_orders`` = filled / accepted,
        ``fill_ratio_lots`` = lots filled / lots of accepted orders (the size after the last amendment). Ratios are
        None when nothing was accepted.
        """
        accepted = self.counts["accepted"]
        return self.counts | {
            "rejected_by_reason": {REASONS.get(k, str(k)): self.reasons[k] for k in sorted(self.reasons)},
            "fill_ratio_orders": self.counts["filled"] / accepted if accepted else None,
            "fill_ratio_lots": self._filled_lots / self._accepted_lots if self._accepted_lots else None,
        }

    def orders_in_gaps(self, last_ns: int) -> int:
        """Own orders that rested while a gap began: whether they filled there is unknown."""
        still = self._open[:, 2]
        return self.in_gaps + self._through(still, np.full(len(still), last_ns + 1))


def signed_lots(fills: Columns) -> I64:
    """Lots of rows of ``fills.parquet``, negative where sold."""
    return np.where(fills["side"] == codes.BUY, fills["lots"], -fills["lots"]).astype(np.int64)


def legs_of(fills: Columns) -> list[Columns]:
    """Rows of ``fills.parquet`` of a hedged account: those of its long position, then those of its short one.

    ``position_lots`` is that of the position which a row is about: its sign tells, and at 0 the side that closed it.
    """
    after = fills["position_lots"]
    short = (after < 0) | ((after == 0) & (fills["side"] == codes.BUY))
    return [{name: values[mine] for name, values in fills.items()} for mine in (~short, short)]


class Holding:
    """How long lots were held and how often closing paid, first in first out.

    A fill against the position closes the oldest lots first. ``mean_ns`` = sum(lots * time held) / sum(lots) over
    closed lots; ``hit_rate`` = share of the fills that reduced the position with positive realised PnL before fees.
    """

    def __init__(self) -> None:
        self._times: list[int] = []
        self._lots: list[int] = []  # signed, oldest first; ``_head`` is the oldest still open
        self._head = self._closed = self._weighted = self._closing = self._hits = 0

    def add(self, fills: Columns) -> None:
        """Add rows of ``fills.parquet``."""
        signed = signed_lots(fills).tolist()
        for time_ns, left, realized in zip(
            fills["ts_event_ns"].tolist(), signed, fills["realized_e8"].tolist(), strict=True
        ):
            self._fill(time_ns, left, realized)
        del self._times[: self._head], self._lots[: self._head]
        self._head = 0

    def _fill(self, time_ns: int, left: int, realized: int) -> None:
        times, lots, head = self._times, self._lots, self._head
        if head < len(lots) and (lots[head] > 0) != (left > 0):
            self._closing += 1
            self._hits += realized > 0
        while left and head < len(lots) and (lots[head] > 0) != (left > 0):
            taken = min(abs(left), abs(lots[head]))
            self._closed += taken
            self._weighted += taken * (time_ns - times[head])
            left += taken if left < 0 else -taken
            lots[head] += taken if lots[head] < 0 else -taken
            head += lots[head] == 0
        self._head = head
        if left:
            times.append(time_ns)
            lots.append(left)

    @property
    def sums(self) -> tuple[int, int, int, int]:
        """Closed lots, lots * ns that they were held, fills that closed, and of those the profitable ones."""
        return self._closed, self._weighted, self._closing, self._hits

    def result(self) -> dict[str, Any]:
        """``holding_figures`` of this position alone."""
        return holding_figures([self])


def holding_figures(parts: Sequence[Holding]) -> dict[str, Any]:
    """Keys: ``closed_lots``, ``mean_ns``, ``closing_fills``, ``hit_rate`` (None when nothing was closed).

    ``parts``: one for each position of the instrument.
    """
    closed, weighted, closing, hits = (sum(column) for column in zip(*(part.sums for part in parts), strict=True))
    return {
        "closed_lots": closed,
        "mean_ns": weighted / closed if closed else None,
        "closing_fills": closing,
        "hit_rate": hits / closing if closing else None,
    }


class Inventory:
    """Time shares and extremes of the position, which is flat before the first fill. ``line`` draws it (lots)."""

    def __init__(self, first_ns: int, last_ns: int, points: int) -> None:
        self.line = Line(first_ns, last_ns, points, steps=True)
        self.line.add(np.array([first_ns]), np.zeros(1))
        self._first_ns, self._last_ns = first_ns, last_ns
        self._since_ns, self._held = first_ns, 0
        self._long_ns = self._short_ns = self._flat_ns = self._area = 0
        self.max_long = self.max_short = 0

    @property
    def end_lots(self) -> int:
        """The position after the fills so far."""
        return self._held

    def add(self, fills: Columns) -> None:
        """Add rows of ``fills.parquet``; ``position_lots`` must be the whole position (of both legs)."""
        times, held = fills["ts_event_ns"], fills["position_lots"]
        if not len(times):
            return
        self.line.add(times, held.astype(np.float64))
        self._spend(np.concatenate(([self._since_ns], times)), np.concatenate(([self._held], held[:-1])))
        self._since_ns, self._held = int(times[-1]), int(held[-1])
        self.max_long, self.max_short = max(self.max_long, int(held.max())), max(self.max_short, int(-held.min()))

    def _spend(self, edges: I64, held: I64) -> None:
        spans = np.maximum(np.diff(np.clip(edges, self._first_ns, self._last_ns)), 0)
        self._long_ns += int(spans[held > 0].sum())
        self._short_ns += int(spans[held < 0].sum())
        self._flat_ns += int(spans[held == 0].sum())
        self._area += sum(lots * span for lots, span in zip(np.abs(held).tolist(), spans.tolist(), strict=True))

    def result(self) -> dict[str, Any]:
        """Keys: ``long_share`` ``short_share`` ``flat_share`` of the run's time (they sum to 1; None for an empty
        run), ``max_long_lots`` ``max_short_lots`` (both >= 0), ``mean_abs_lots`` weighted by time, ``end_lots``."""
        self._spend(np.array([self._since_ns, self._last_ns]), np.array([self._held]))
        self._since_ns = self._last_ns
        total = self._long_ns + self._short_ns + self._flat_ns
        shares = (self._long_ns, self._short_ns, self._flat_ns, self._area)
        names = ("long_share", "short_share", "flat_share", "mean_abs_lots")
        return {name: part / total if total else None for name, part in zip(names, shares, strict=True)} | {
            "max_long_lots": self.max_long,
            "max_short_lots": self.max_short,
            "end_lots": self._held,
        }


class Queue:
    """Lots of others estimated ahead of an order when it filled, over maker fills.

    The front can be above zero for fills by a trade through the price or by a crossed book, which do not wait for the
    queue. A negative or missing front is an unknown queue (a feed of best quotes alone) and is counted apart.
    """

    def __init__(self) -> None:
        self.fronts = Sample()
        self.makers = self.unknown = 0
        self.by_cause: dict[int, int] = {}
        self.bins: dict[int, I64] = {}  # cause -> fills with front 0, up to each edge, above the last

    def add(self, fills: Columns) -> None:
        """Add rows of ``fills.parquet``."""
        resting = fills["liquidity"] == codes.LIQ_MAKER
        front, cause = fills["queue_front_lots"][resting], fills["cause"][resting]
        self.makers += len(front)
        known = front >= 0
        self.unknown += int((~known).sum())
        self.fronts.add(front[known])
        bins = np.searchsorted(QUEUE_EDGES, front, side="left")
        for each in np.unique(cause).tolist():
            mine = cause == each
            self.by_cause[each] = self.by_cause.get(each, 0) + int(mine.sum())
            counts = np.bincount(bins[mine & known], minlength=len(QUEUE_EDGES) + 1)
            self.bins[each] = self.bins.get(each, np.zeros(len(QUEUE_EDGES) + 1, np.int64)) + counts

    def result(self) -> dict[str, Any]:
        """Keys: ``fills``, ``quantiles`` (share -> lots, unweighted, observed values), ``by_cause`` (name of the
        cause -> number of maker fills)."""
        values = self.fronts.quantiles(QUEUE_QUANTILES)
        return {
            "fills": self.makers,
            "quantiles": {f"{share:g}": value for share, value in zip(QUEUE_QUANTILES, values, strict=False)},
            "by_cause": {CAUSES.get(cause, str(cause)): self.by_cause[cause] for cause in sorted(self.by_cause)},
        }


MARK_COLUMNS = ("ts_event_ns", "side", "ticks", "lots", "liquidity", "cause", "queue_front_lots", "order_no")


def new_marks(capacity: int) -> Marks:
    """A selection of fills to draw, with the columns ``MARK_COLUMNS``."""
    return Marks(len(MARK_COLUMNS), capacity)


def mark_rows(fills: Columns, first_ns: int) -> F64:
    """Rows for ``new_marks``: times become ns since ``first_ns``, which a double holds exactly for a hundred days."""
    columns = [fills[name].astype(np.float64) for name in MARK_COLUMNS[1:]]
    return np.stack([(fills["ts_event_ns"] - first_ns).astype(np.float64), *columns], axis=1)
