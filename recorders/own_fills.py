"""Own fills with the market around them, as recorded: at decision, arrival and fill, and what came after.

    decision_   what a client had received when the order was sent (``ts_sent_ns`` of the order)
    arrival_    the venue's book when the order reached it (``ts_event_ns`` of the order's first event)
    fill_       the venue's book when it was filled, after the market's messages of that instant
    markout_    s * (mid after the horizon - price) in half ticks, s = +1 for a buy and -1 for a sell: positive when the
                market moved in the fill's favour, as in the report; null where there was no book
    before_     the last print before the instant of the fill;  after_  the first one after it

The market is the recorded one: own orders are not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from matching.codes import BUY, TRADE
from matching.feed import I64
from recorders.frames import best_columns, nullable, rows_of
from recorders.snapshots import OK
from venues.errors import InputError
from venues.units import duration_ns, duration_text

if TYPE_CHECKING:
    from recorders.access import Market

HORIZONS: Final = ("100ms", "1s", "10s", "60s")
NEEDED: Final = ("ts_event_ns", "side", "ticks", "lots")
KEYS: Final = ("lane", "account", "instrument", "order_no")


def own_fills(market: Market, run: Any) -> pl.DataFrame:
    """The fills of a run in this market with ``sent_ns`` and ``arrived_ns`` (null where the run does not tell).

    ``run``: a run folder or its ``fills.parquet``, a ``Result``, or a frame with ts_event_ns, side, ticks and lots."""
    if isinstance(run, pl.DataFrame):
        return _with_times(_checked(run, "frame"))
    path = Path(getattr(run, "path", run))
    folder = path if path.is_dir() else path.parent
    fills = _checked(_read(folder / "fills.parquet" if path.is_dir() else path), str(path))
    if (folder / "manifest.json").exists() and "instrument" in fills.columns:
        fills = fills.filter(pl.col("instrument") == _place(market, folder / "manifest.json"))
    orders = folder / "orders.parquet"
    if orders.exists() and set(KEYS) <= set(fills.columns):
        first = _read(orders).filter(pl.col("order_no") > 0).group_by(KEYS, maintain_order=True)
        times = first.agg(
            pl.col("ts_sent_ns").first().alias("sent_ns"), pl.col("ts_event_ns").first().alias("arrived_ns")
        ).with_columns(
            pl.when(pl.col("sent_ns") > 0).then("sent_ns"), pl.when(pl.col("arrived_ns") > 0).then("arrived_ns")
        )
        fills = fills.join(times, on=KEYS, how="left", maintain_order="left")
    return _with_times(fills)


def _with_times(fills: pl.DataFrame) -> pl.DataFrame:
    missing = [name for name in ("sent_ns", "arrived_ns") if name not in fills.columns]
    return fills.with_columns(pl.lit(None, pl.Int64).alias(name) for name in missing)


def _read(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"cannot be read as Parquet: {error}", source=str(path)) from None


def _checked(fills: pl.DataFrame, source: str) -> pl.DataFrame:
    for name in NEEDED:
        if name not in fills.columns or not fills.schema[name].is_integer() or fills[name].null_count():
            raise InputError("must be a column of whole numbers, none missing", source=source, field=name)
    if not fills["side"].is_in([0, 1]).all():
        raise InputError("must be 0 (buy) or 1 (sell)", source=source, field="side")
    return fills


def _place(market: Market, manifest: Path) -> int:
    try:
        listed = msgspec.json.decode(manifest.read_bytes())["instruments"]
        known = [(one["venue"], one["symbol"]) for one in listed]
    except (OSError, msgspec.DecodeError, KeyError, TypeError) as error:
        raise InputError(f"is no manifest of a run: {error}", source=str(manifest)) from None
    if (market.venue, market.symbol) not in known:
        names = ", ".join(f"{venue} {symbol}" for venue, symbol in known)
        raise InputError(f"is of {names}, not of {market.venue} {market.symbol}", source=str(manifest))
    return known.index((market.venue, market.symbol))


def around(market: Market, run: Any, horizons: Sequence[int | str], values: str) -> pl.DataFrame:
    """``Market.around``."""
    fills = own_fills(market, run)
    try:
        spans = [duration_ns(horizon) for horizon in horizons]
    except ValueError as error:
        raise InputError(str(error), source="arguments", field="horizons") from None
    side, ticks = (fills[name].to_numpy().astype(np.int64) for name in ("side", "ticks"))
    at = fills["ts_event_ns"].to_numpy().astype(np.int64)
    columns: dict[str, Any] = {}
    for name, times, clock in (
        ("decision", "sent_ns", "recv"),
        ("arrival", "arrived_ns", "event"),
        ("fill", "", "event"),
    ):
        instants = at if not times else fills[times].fill_null(-1).to_numpy().astype(np.int64)
        columns |= {f"{name}_{key}": column for key, column in _market_at(market, instants, side, ticks, clock).items()}
    for span in spans:
        mid = _mids(market, at + span)
        move = np.where(side == BUY, 1, -1) * (mid[0] - 2 * ticks)
        columns[f"markout_{duration_text(span)}_half_ticks"] = nullable(np.where(mid[1], move, 0), mid[1])
    columns |= _prints_around(market, at)
    market.grid.add(columns, values)
    return fills.with_columns([pl.Series(name, column) for name, column in columns.items()])


def _market_at(market: Market, times: I64, side: I64, ticks: I64, clock: str) -> dict[str, Any]:
    """Best quotes at instants, and the lots shown on the order's own side at its price. Negative times: unknown."""
    best = np.zeros((len(times), 4), np.int64)
    shown = np.zeros(len(times), np.int64)
    known = np.zeros(len(times), np.bool_)
    order = np.argsort(times, kind="stable")
    order = order[times[order] >= 0]
    if len(order):
        walk = market.walk(int(times[order[0]]), int(times[order[-1]]), clock)
        for k in order.tolist():
            if walk.seek(int(times[k])) == OK:
                best[k], shown[k], known[k] = walk.best(), walk.level(int(side[k]), int(ticks[k])), True
    return best_columns(best) | {"level_lots": nullable(shown, known)}


def _mids(market: Market, times: I64) -> tuple[I64, npt.NDArray[np.bool_]]:
    found = market.tops(times)["mid_half_ticks"]
    return found.fill_null(0).to_numpy(), found.is_not_null().to_numpy()


def _prints_around(market: Market, times: I64) -> dict[str, Any]:
    """The last print before and the first after each instant."""
    names = ("print_ns", "print_side", "print_ticks", "print_lots")
    found = {"before": np.zeros((len(times), 4), np.int64), "after": np.zeros((len(times), 4), np.int64)}
    known = {which: np.zeros(len(times), np.bool_) for which in found}
    if len(times):
        least, most = int(times.min()), int(times.max())
        span = market.span(least - market.LATE_NS, most + market.LATE_NS)
        for place in span.places:
            if place.block.first_event > most and known["after"].all():
                break
            block = span.message_block(place)
            message, rows = rows_of(block, np.flatnonzero(block.kind == TRADE))
            if not len(rows):
                continue
            prints = np.stack(
                [block.ts_event[message], block.side[rows], block.px_ticks[rows], block.qty_lots[rows]], axis=1
            ).astype(np.int64)
            last = prints[:, 0].searchsorted(times, side="left") - 1
            mine = last >= 0
            found["before"][mine], known["before"][mine] = prints[last[mine]], True
            first = prints[:, 0].searchsorted(times, side="right")
            mine = (first < len(prints)) & ~known["after"]
            found["after"][mine], known["after"][mine] = prints[first[mine]], True
    return {
        f"{which}_{name}": nullable(np.ascontiguousarray(rows[:, k]), known[which])
        for which, rows in found.items()
        for k, name in enumerate(names)
    }
