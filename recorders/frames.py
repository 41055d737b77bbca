"""What a recording says, as polars frames: one row a print, level, quote, mark, funding, liquidation, gap or order.

Every frame begins with ``message`` (the number of the message in the slice, from 0 in venue order), ``ts_event_ns``,
``ts_recv_ns`` (as corrected) and ``ts_recv_raw_ns`` (as the recorder's clock said). Prices are integer ticks, sizes
integer lots, marks and index prices integers at 1e-8, rates at 1e-12. ``values="float"`` adds ``price_float`` and
``size_float`` (the nearest double), ``values="decimal"`` adds ``price_decimal`` and ``size_decimal`` (exact).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from matching.codes import (
    BBO,
    BUY,
    DEPTH,
    FORCE,
    FUNDING,
    GAP,
    MARK,
    OFFBOOK,
    ORDER_ADD,
    ORDER_BOOK,
    ORDER_CHANGE,
    ORDER_FILL,
    ORDER_GONE,
    SELL,
    SNAPSHOT,
    TRADE,
)
from matching.feed import I64
from recorders.blocks import MessageBlock, has_aux
from recorders.report import GAP_NAMES
from venues.errors import InputError
from venues.instruments import Instrument

Columns = dict[str, Any]
VALUES: Final = ("ticks", "float", "decimal")
PRECISION: Final = 38
KIND_NAMES: Final[Mapping[int, str]] = {
    DEPTH: "depth", TRADE: "trade", BBO: "quote", SNAPSHOT: "snapshot", MARK: "mark", FUNDING: "funding", GAP: "gap",
    OFFBOOK: "offbook", FORCE: "liquidation", ORDER_ADD: "order_add", ORDER_CHANGE: "order_change",
    ORDER_GONE: "order_gone", ORDER_FILL: "order_fill", ORDER_BOOK: "order_book",
}  # fmt: skip
SIDE_NAMES: Final = ("buy", "sell")


class Grid:
    """An instrument's tick and lot as exact decimals, for columns of prices and sizes."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.price = _unit(instrument.tick_size)
        self.size = _unit(instrument.lot_size)

    def add(self, columns: Columns, values: str) -> None:
        """Price and size columns beside each column of ticks and lots."""
        if values == "ticks":
            return
        for name in list(columns):
            for ending, word, unit in (("ticks", "price", self.price), ("lots", "size", self.size)):
                if name == ending or name.endswith("_" + ending):
                    known = columns[name]
                    valid = None
                    if isinstance(known, pl.Series):
                        valid = known.is_not_null().to_numpy()
                        known = known.fill_null(0).to_numpy()
                    columns[f"{name.removesuffix(ending)}{word}_{values}"] = _scaled(known, unit, values, valid)


def _unit(step: Decimal) -> tuple[int, int]:
    """A step as (whole number, decimals): 0.25 is (25, 2)."""
    exponent = step.normalize().as_tuple().exponent
    decimals = max(0, -int(exponent))
    return int(step.scaleb(decimals)), decimals


def _scaled(column: Any, unit: tuple[int, int], values: str, valid: Any = None) -> pl.Series:
    whole, decimals = unit
    numbers = np.asarray(column, np.int64) * whole
    if values == "float":
        made = pl.Series(numbers / 10.0**decimals)
        return made if valid is None else made.set(pl.Series(~valid), None)
    return decimal_series(numbers, decimals, valid)


def decimal_series(numbers: I64, decimals: int, valid: Any = None) -> pl.Series:
    """Integers at 10**-decimals as exact decimals."""
    pairs = np.empty((len(numbers), 2), np.int64)  # little-endian 128 bits: low word, then its sign
    pairs[:, 0], pairs[:, 1] = numbers, numbers >> 63
    bits = None if valid is None else pa.array(valid).buffers()[1]
    array = pa.Array.from_buffers(pa.decimal128(PRECISION, decimals), len(numbers), [bits, pa.py_buffer(pairs)])
    found = pl.from_arrow(array)
    assert isinstance(found, pl.Series)
    return found


def _heads(block: MessageBlock, chosen: I64, base: int) -> Columns:
    return {
        "message": chosen + base,
        "ts_event_ns": block.ts_event[chosen],
        "ts_recv_ns": block.ts_recv[chosen],
        "ts_recv_raw_ns": block.ts_recv_raw[chosen],
    }


def rows_of(block: MessageBlock, chosen: I64) -> tuple[I64, I64]:
    """The rows of some messages: for each its message (repeated) and its place in the row columns."""
    starts = block.row_start[chosen]
    counts = block.row_start[chosen + 1] - starts
    ends = np.cumsum(counts)
    rows = np.repeat(starts - (ends - counts), counts) + np.arange(int(ends[-1]) if len(ends) else 0)
    return np.repeat(chosen, counts), rows


def _find(block: MessageBlock, *kinds: int) -> I64:
    return np.flatnonzero(np.isin(block.kind, kinds))


def _prints(block: MessageBlock, base: int, kinds: tuple[int, ...], name: str | None) -> Columns:
    message, rows = rows_of(block, _find(block, *kinds))
    found = _heads(block, message, base)
    if name is not None:
        found[name] = block.ref[message]
    return found | _row_columns(block, rows)


def _row_columns(block: MessageBlock, rows: I64) -> Columns:
    return {
        "side": block.side[rows], "ticks": block.px_ticks[rows], "lots": block.qty_lots[rows],
    }  # fmt: skip


def _trades(block: MessageBlock, base: int) -> Columns:
    return _prints(block, base, (TRADE,), "trade_id")


def _offbook(block: MessageBlock, base: int) -> Columns:
    return _prints(block, base, (OFFBOOK,), "trade_id")


def _liquidations(block: MessageBlock, base: int) -> Columns:
    return _prints(block, base, (FORCE,), None)


def _depth(block: MessageBlock, base: int) -> Columns:
    message, rows = rows_of(block, _find(block, DEPTH, SNAPSHOT))
    found = _heads(block, message, base)
    return (
        found
        | {"update_id": block.ref[message], "snapshot": block.kind[message] == SNAPSHOT}
        | _row_columns(block, rows)
    )


def _quotes(block: MessageBlock, base: int) -> Columns:
    chosen = _find(block, BBO)
    found = _heads(block, chosen, base) | {"update_id": block.ref[chosen]}
    message, rows = rows_of(block, chosen)
    place = np.searchsorted(chosen, message)
    for side, name in ((BUY, "bid"), (SELL, "ask")):
        mine = block.side[rows] == side
        stated = np.zeros(len(chosen), np.bool_)
        stated[place[mine]] = True
        for column, ending in ((block.px_ticks, "ticks"), (block.qty_lots, "lots")):
            values = np.zeros(len(chosen), np.int32)
            values[place[mine]] = column[rows[mine]]
            found[f"{name}_{ending}"] = nullable(values, stated)
    return found


def nullable(values: npt.NDArray[Any], known: npt.NDArray[np.bool_]) -> pl.Series:
    """A column with nulls where nothing is known."""
    series = pl.Series(values)
    return series if known.all() else series.set(pl.Series(~known), None)


def _payload(block: MessageBlock, base: int, kind: int, names: tuple[str, ...]) -> Columns:
    chosen = _find(block, kind)
    aux = block.aux[block.ref[chosen]]
    return _heads(block, chosen, base) | {name: np.ascontiguousarray(aux[:, k]) for k, name in enumerate(names)}


def _marks(block: MessageBlock, base: int) -> Columns:
    return _payload(block, base, MARK, ("mark_e8", "index_e8", "rate_e12", "next_funding_ns"))


def _funding(block: MessageBlock, base: int) -> Columns:
    return _payload(block, base, FUNDING, ("rate_e12", "mark_e8", "boundary_ns"))


def _gaps(block: MessageBlock, base: int) -> Columns:
    found = _payload(block, base, GAP, ("kind", "first_lost_id", "last_lost_id", "span_ns"))
    kind = found.pop("kind")
    return found | {"why": pl.Series([GAP_NAMES.get(k, str(k)) for k in kind.tolist()], dtype=pl.String)}


def _orders(block: MessageBlock, base: int) -> Columns:
    chosen = np.flatnonzero(block.kind >= ORDER_ADD)
    counts = np.diff(block.row_start)[chosen]
    has_row = counts == 1
    first = np.where(has_row, block.row_start[chosen], 0)
    found = _heads(block, chosen, base)
    names = [KIND_NAMES[kind] for kind in block.kind[chosen].tolist()]
    found["event"] = pl.Series(names, dtype=pl.String)
    found["order_id"] = nullable(block.ref[chosen], has_row)
    found["orders"] = nullable(block.ref[chosen], ~has_row)
    for name, column in (("side", block.side), ("ticks", block.px_ticks), ("lots", block.qty_lots)):
        values = column[first] if len(column) else np.zeros(len(first), column.dtype)
        found[name] = nullable(values, has_row)
    return found


def _messages(block: MessageBlock, base: int) -> Columns:
    """Every message on its own row, without its rows of levels."""
    every = np.arange(len(block))
    return _heads(block, every, base) | {
        "kind": block.kind,
        "ref": nullable(block.ref, ~has_aux(block.kind)),
        "rows": np.diff(block.row_start).astype(np.int32),
    }


TABLES: Final[Mapping[str, Callable[[MessageBlock, int], Columns]]] = {
    "trades": _trades,
    "depth": _depth,
    "quotes": _quotes,
    "marks": _marks,
    "funding": _funding,
    "liquidations": _liquidations,
    "offbook": _offbook,
    "gaps": _gaps,
    "orders": _orders,
    "messages": _messages,
}


def best_columns(best: I64) -> dict[str, Any]:
    """Columns of best quotes (n, 4: bid ticks and lots, ask ticks and lots), null where a side has no lots."""
    columns: dict[str, Any] = {}
    bid, ask = best[:, 1] > 0, best[:, 3] > 0
    for k, (name, known) in enumerate((("bid_ticks", bid), ("bid_lots", bid), ("ask_ticks", ask), ("ask_lots", ask))):
        columns[name] = nullable(np.where(known, best[:, k], 0).astype(np.int32), known)
    columns["mid_half_ticks"] = nullable(np.where(bid & ask, best[:, 0] + best[:, 2], 0), bid & ask)
    return columns


def check_table(table: str, values: str) -> None:
    """Raise ``InputError`` for a table or form of values that does not exist."""
    if table not in TABLES:
        raise InputError(f"{table!r} is no table; there are {', '.join(TABLES)}", source="arguments", field="table")
    if values not in VALUES:
        raise InputError(f"{values!r} is none of {', '.join(VALUES)}", source="arguments", field="values")


def frame_of(table: str, block: MessageBlock, base: int, grid: Grid, values: str) -> pl.DataFrame:
    """One table of a block; its messages are numbered from ``base``."""
    columns = TABLES[table](block, base)
    if table in ("trades", "depth", "quotes", "liquidations", "offbook", "orders"):
        grid.add(columns, values)
    return pl.DataFrame(columns)
