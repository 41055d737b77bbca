"""Latency datasets: what recordings and runs say about feed and order latency, as tables for the latency models.

    feed_latencies(lake, venue, symbol)   ts_ns ts_recv_ns latency_ns raw_latency_ns stream load
    order_latencies(run folder)           ts_ns latency_ns leg event load (0: a run folder has no feed)

Theory of operation. Feed latency is receive time minus the venue's engine time, message by message; ``raw_latency_ns``
is the same before the receive clock was corrected. Depth updates gather changes before they are sent, so their latency
has the venue's gathering time in it. Books handed out on request carry the time of their last change and say nothing
about latency: they are left out, as are gaps.

*Load* is how many messages the feed made in the whole ``LOAD_STEP_NS`` before the one in which a message was made:
known before the message, the same in a dataset and in a run. A load-dependent model is conditioned on it.

Order latency has two legs: entry (from us to the venue's engine) and response (from the engine to us). Until orders are
journalled live, the table is that of a run folder's orders; a journal has the same columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from matching.codes import (
    BBO,
    DEPTH,
    EV_ACCEPTED,
    EV_AMENDED,
    EV_CANCELED,
    EV_FILLED,
    EV_REJECTED,
    FORCE,
    MARK,
    OFFBOOK,
    TRADE,
)
from matching.feed import I64
from recorders.dayfile import DayFile
from recorders.lake import Lake
from venues.errors import InputError

if TYPE_CHECKING:
    import polars as pl

LOAD_STEP_NS: Final = 100_000_000
STREAMS: Final = {
    DEPTH: "depth",
    TRADE: "trades",
    OFFBOOK: "trades",
    BBO: "quotes",
    MARK: "marks",
    FORCE: "liquidations",
}
_COLUMNS: Final = ["ts_event", "ts_recv", "ts_recv_raw", "kind"]


class LoadCount:
    """Messages made per step of venue time, taken in venue order; answers the load of those just taken."""

    def __init__(self) -> None:
        self._step = -2  # the last step seen, its count so far, and the count of the step before it
        self._count = 0
        self._before = 0

    def take(self, ts_event: I64) -> I64:
        """The load at each of these sorted times, which follow the ones before."""
        if not len(ts_event):
            return np.zeros(0, np.int64)
        steps, counts = np.unique(ts_event // LOAD_STEP_NS, return_counts=True)
        made = counts.astype(np.int64)
        first = int(steps[0])
        if first == self._step:
            made[0] += self._count
            before = self._before
        else:
            before = self._count if first == self._step + 1 else 0
        loads = np.zeros(len(steps), np.int64)
        loads[0] = before
        loads[1:] = np.where(np.diff(steps) == 1, made[:-1], 0)
        self._step, self._count, self._before = int(steps[-1]), int(made[-1]), int(loads[-1])
        return np.repeat(loads, counts)


def _blocks(paths: Sequence[Path], from_ns: int | None, to_ns: int | None) -> Iterator[dict[str, Any]]:
    for path in paths:
        file = DayFile(path)
        for block in file.blocks:
            if (from_ns is None or block.last_event >= from_ns) and (to_ns is None or block.first_event < to_ns):
                yield file.columns(block, _COLUMNS)


def feed_latencies(
    lake: str | Path, venue: str, symbol: str, from_ns: int | None = None, to_ns: int | None = None
) -> Iterator[pl.DataFrame]:
    """Feed latencies of an instrument in [from_ns, to_ns) of venue time, in venue order, a frame a block.

    Columns: ts_ns (engine time), ts_recv_ns, latency_ns, raw_latency_ns (int64, ns), stream (text), load (messages).
    Raises ``InputError`` when the lake has no such instrument, or no message in that range.
    """
    import polars as pl

    count = LoadCount()
    some = False
    for columns in _blocks(Lake(lake).feed(venue, symbol).paths, from_ns, to_ns):
        event, kind = columns["ts_event"], columns["kind"]
        load = count.take(event)
        keep = np.isin(kind, list(STREAMS))
        if from_ns is not None:
            keep &= event >= from_ns
        if to_ns is not None:
            keep &= event < to_ns
        if not keep.any():
            continue
        some = True
        yield pl.DataFrame(
            {
                "ts_ns": event[keep],
                "ts_recv_ns": columns["ts_recv"][keep],
                "latency_ns": (columns["ts_recv"] - event)[keep],
                "raw_latency_ns": (columns["ts_recv_raw"] - event)[keep],
                "stream": pl.Series(kind[keep]).cast(pl.Int64).replace_strict(STREAMS, return_dtype=pl.String),
                "load": load[keep],
            }
        )
    if not some:
        raise InputError(f"has no message of {venue} {symbol} in that range", source=str(lake))


def load_steps(paths: Sequence[Path], from_ns: int, to_ns: int) -> tuple[int, I64]:
    """The load of a lake's feed over a stretch of venue time: the first step's number, and the messages made in every
    step from there on. The load at ``ts`` is the entry of step ``ts // LOAD_STEP_NS - 1``. Eight bytes a step, 7 MB a
    day."""
    first = from_ns // LOAD_STEP_NS - 1
    made = np.zeros(to_ns // LOAD_STEP_NS - first + 1, np.int64)
    for columns in _blocks(paths, first * LOAD_STEP_NS, to_ns):
        steps, counts = np.unique(columns["ts_event"] // LOAD_STEP_NS - first, return_counts=True)
        inside = (steps >= 0) & (steps < len(made))
        made[steps[inside]] += counts[inside]
    return first, made


def order_latencies(run: str | Path) -> pl.DataFrame:
    """Order latencies of a run folder: ts_ns (when the request or response left), latency_ns, leg (entry, response),
    event (accepted, rejected, amended, canceled, filled), load (0). Entry latencies are those of new orders: the table
    does not keep when a cancel or an amendment was sent. Raises ``InputError`` when the folder has no orders table."""
    import polars as pl

    path = Path(run) / "orders.parquet"
    try:
        orders = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"cannot be read as a run's orders: {error}", source=str(path)) from None
    names = {
        EV_ACCEPTED: "accepted", EV_REJECTED: "rejected", EV_AMENDED: "amended", EV_CANCELED: "canceled",
        EV_FILLED: "filled",
    }  # fmt: skip
    answered = pl.col("event").is_in(list(names)) & (pl.col("ts_event_ns") > 0) & (pl.col("ts_deliver_ns") > 0)
    mine = orders.filter((pl.col("order_no") > 0) & answered)
    event = pl.col("event").replace_strict(names, return_dtype=pl.String).alias("event")
    entry = mine.filter(pl.col("event").is_in([EV_ACCEPTED, EV_REJECTED])).select(
        pl.col("ts_sent_ns").alias("ts_ns"),
        (pl.col("ts_event_ns") - pl.col("ts_sent_ns")).alias("latency_ns"),
        pl.lit("entry").alias("leg"),
        event,
    )
    response = mine.select(
        pl.col("ts_event_ns").alias("ts_ns"),
        (pl.col("ts_deliver_ns") - pl.col("ts_event_ns")).alias("latency_ns"),
        pl.lit("response").alias("leg"),
        event,
    )
    found = pl.concat([entry, response]).with_columns(pl.lit(0, pl.Int64).alias("load")).sort("ts_ns")
    if found.is_empty():
        raise InputError("has no answered orders", source=str(path))
    return found
