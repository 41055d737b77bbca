"""The orders of two runs side by side: which is which, and in what they differ.

Theory of operation. An order is the same in both runs when account, instrument, number and terms (side, price, size,
time in force, type) agree. Where runs have parted, numbers shift; what is left is paired by its terms with the nearest
sending time, within ``PAIRING_NS``. The rest exists in one run only. Every pair is then compared field by field, and
each difference has a kind:

    filled    lots executed          price   average execution price      fee     fees paid
    end       how it ended: event and reason                              time    venue times of acknowledgement, first
    latency   sent until acknowledged, on our side                                fill and end
    queue     lots ahead when it first filled

Latency and queue are things that a simulator holds and a wire may not say (live runs know no queue), so they are always
listed and judged only where a tolerance is given.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from matching.codes import EV_CANCELED, EV_EXPIRED, EV_FILLED, EV_REJECTED, LIQ_MAKER

PAIRING_NS: Final = 1_000_000_000
REFUSED_SEQ: Final = 1_000_000  # refused requests are numbered from here; they are no state of the order
KEY: Final = ("account", "instrument", "order_no")
TERMS: Final = ("side", "ticks", "lots", "tif", "type")
COLUMNS: Final = (
    *KEY, "seq", "event", "reason", "ts_event_ns", "ticks", "lots", "liquidity", "fee_e8", "ts_sent_ns",
    "ts_deliver_ns", "side", "tif", "type", "queue_front", "leaves",
)  # fmt: skip
JUDGED: Final = ("filled", "price", "fee", "end", "time")
KINDS: Final = ("only a", "only b", *JUDGED, "latency", "queue")


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What may differ: lots executed, average price in ticks, money at 1e-8, venue times, and (None: not judged) the
    latency of acknowledgements and the queue in lots."""

    lots: int = 0
    ticks: float = 0.0
    money_e8: int = 0
    time_ns: int = 0
    latency_ns: int | None = None
    queue_lots: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Pair:
    """One order in both runs, or in one (the other side is None), with the kinds of its differences."""

    a: dict[str, Any] | None
    b: dict[str, Any] | None
    kinds: tuple[str, ...]

    @property
    def one(self) -> dict[str, Any]:
        found = self.a if self.a is not None else self.b
        assert found is not None
        return found

    def as_dict(self) -> dict[str, Any]:
        return {"kinds": list(self.kinds), "a": self.a, "b": self.b}


def read_orders(folder: Path) -> list[dict[str, Any]]:
    """One row an order that the run sent (not those that the venue made), by account, instrument and number."""
    events = pl.read_parquet(folder / "orders.parquet", columns=list(COLUMNS))
    own = events.filter((pl.col("order_no") > 0) & (pl.col("seq") < REFUSED_SEQ)).sort(*KEY, "seq")
    is_fill = pl.col("event") == EV_FILLED
    ends = pl.col("event").is_in([EV_REJECTED, EV_CANCELED, EV_EXPIRED]) | (is_fill & (pl.col("leaves") == 0))
    timed = pl.when(pl.col("ts_event_ns") > 0).then(pl.col("ts_event_ns"))  # 0: the wire has none
    rows = own.group_by(list(KEY), maintain_order=True).agg(
        *(pl.col(name).first() for name in TERMS),
        sent_ns=pl.col("ts_sent_ns").first(),
        acked_ns=timed.filter(pl.col("event") != EV_REJECTED).first(),
        latency_ns=(pl.col("ts_deliver_ns") - pl.col("ts_sent_ns")).first(),
        filled=pl.col("lots").filter(is_fill).sum(),
        value=(pl.col("lots") * pl.col("ticks")).filter(is_fill).sum(),
        maker=pl.col("lots").filter(is_fill & (pl.col("liquidity") == LIQ_MAKER)).sum(),
        fee_e8=pl.col("fee_e8").sum(),
        first_fill_ns=pl.col("ts_event_ns").filter(is_fill).first(),
        queue_lots=pl.col("queue_front").filter(is_fill).first(),
        end_event=pl.col("event").filter(ends).last(),
        end_reason=pl.col("reason").filter(ends).last(),
        end_ns=timed.filter(ends & (pl.col("event") != EV_REJECTED)).last(),
    )
    return rows.to_dicts()


def pair(a: Sequence[dict[str, Any]], b: Sequence[dict[str, Any]], tolerance: Tolerance) -> list[Pair]:
    """Every order of either run, once, by the time of its sending."""
    numbered = {tuple(row[name] for name in KEY): row for row in b}
    pairs, left = [], []
    for row in a:
        other = numbered.get(tuple(row[name] for name in KEY))
        if other is not None and _terms(row) == _terms(other):
            del numbered[tuple(row[name] for name in KEY)]
            pairs.append((row, other))
        else:
            left.append(row)
    pairs += _by_terms(left, list(numbered.values()))
    found = [_compared(one, other, tolerance) for one, other in pairs]
    return sorted(found, key=lambda one: (one.one["sent_ns"], one.one["order_no"]))


def _terms(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("account", "instrument", *TERMS))


def _by_terms(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> list[tuple[Any, Any]]:
    """Pairs of the rest by terms and nearest sending time; what stays alone is paired with None."""
    waiting: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in b:
        waiting[_terms(row)].append(row)
    pairs: list[tuple[Any, Any]] = []
    for row in a:
        there = waiting[_terms(row)]
        nearest = min(there, key=lambda other: abs(other["sent_ns"] - row["sent_ns"]), default=None)
        if nearest is not None and abs(nearest["sent_ns"] - row["sent_ns"]) <= PAIRING_NS:
            there.remove(nearest)
            pairs.append((row, nearest))
        else:
            pairs.append((row, None))
    pairs += [(None, row) for rows in waiting.values() for row in rows]
    return pairs


def _compared(a: dict[str, Any] | None, b: dict[str, Any] | None, tolerance: Tolerance) -> Pair:
    if a is None or b is None:
        return Pair(a, b, ("only b",) if a is None else ("only a",))
    kinds = [kind for kind in KINDS[2:] if _differs(kind, a, b, tolerance)]
    return Pair(a, b, tuple(kinds))


def _differs(kind: str, a: dict[str, Any], b: dict[str, Any], tolerance: Tolerance) -> bool:
    if kind == "filled":
        return bool(abs(a["filled"] - b["filled"]) > tolerance.lots)
    if kind == "price":
        if not a["filled"] or not b["filled"]:
            return False  # filled in one only is what "filled" says
        gap = abs(a["value"] * b["filled"] - b["value"] * a["filled"])  # exact: no average is divided out
        return bool(gap > tolerance.ticks * a["filled"] * b["filled"])
    if kind == "fee":
        return bool(abs(a["fee_e8"] - b["fee_e8"]) > tolerance.money_e8)
    if kind == "end":
        return bool((a["end_event"], a["end_reason"]) != (b["end_event"], b["end_reason"]))
    if kind == "time":  # an acknowledgement may come without one
        acked = a["acked_ns"] is not None and b["acked_ns"] is not None
        names = ("acked_ns", "first_fill_ns", "end_ns")[0 if acked else 1 :]
        return any(_apart(a[name], b[name], tolerance.time_ns) for name in names)
    if kind == "latency":
        return _apart(a["latency_ns"], b["latency_ns"], tolerance.latency_ns or 0)
    return _apart(a["queue_lots"], b["queue_lots"], tolerance.queue_lots or 0.0)


def _apart(a: Any, b: Any, most: float) -> bool:
    """Whether two figures differ by more than ``most``; one that is missing differs from one that is not."""
    if a is None or b is None:
        return a is not b
    return bool(abs(a - b) > most)
