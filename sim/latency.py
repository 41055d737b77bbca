"""Latency models of one leg: what a run file says, as the kernel's ``LatencyTable``.

Constant, recorded (interpolated in time, or drawn from its quantiles), following the recording's own feed latency, a
fitted distribution, or a model file made from recorded latencies (``perpsim latency fit``), whose tables may depend on
the load of the feed. Distributions become tables of integer quantiles before the run, computed in decimal arithmetic,
so that a hash does not depend on anybody's libm. The kernel draws from a table by a counter keyed with (seed,
instrument, order number, leg) and interpolates between its entries.

A model of one's own is an object with one method, ``latency(ts_ns, draw_u64) -> ns``: ``ts_ns`` is when the request or
response leaves, ``draw_u64`` 64 random bits that belong to this order and leg. Negative: the venue refuses the request
after so long.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from decimal import Context as DecimalContext
from decimal import Decimal, localcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from matching.kernel import LatencyTable
from recorders.latency import LOAD_STEP_NS
from sim.config import LegConfig
from sim.loading import load_class, make
from sim.units import UNIT_NS, duration_text
from venues.errors import InputError

if TYPE_CHECKING:
    import polars as pl

    from matching.kernel import LatencyModel

I64 = npt.NDArray[np.int64]
TABLE_STEPS: Final = 1024
TAIL: Final = Decimal(1) / 4096  # the ends of a fitted table: an unbounded tail has no end of its own
Z99: Final = Decimal("2.3263478740408411009")
LATENCY_LIMIT_NS: Final = 3600 * 1_000_000_000
_PRECISION: Final = DecimalContext(prec=30)

MODEL_FORMAT: Final = 1

FeedLatency = Callable[[], tuple[I64, I64]]  # times and feed latencies of the venue's first instrument
FeedLoad = Callable[[], tuple[int, I64]]  # ``recorders.latency.load_steps`` of the venue's first instrument


class LoadTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Quantiles (ns) that hold from a load upwards."""

    load_from: int
    quantiles_ns: list[int]


class LatencyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model file. One table: a distribution; several: by load over ``load_step_ns`` (see ``recorders.latency``)."""

    perpsim_latency: int
    model: str
    source: dict[str, Any]
    parameters: list[dict[str, Any]]
    tables: list[LoadTable]
    load_step_ns: int = LOAD_STEP_NS


def build_leg(
    leg: LegConfig, base: Path, feed_latency: FeedLatency, what: str, feed_load: FeedLoad | None = None
) -> tuple[LatencyTable, str]:
    """The table of one leg, and what to call it in the banner. Raises ``InputError`` naming ``what``."""
    if leg.constant is not None:
        return LatencyTable.constant(leg.constant), duration_text(leg.constant) if leg.constant else "none"
    if leg.fit is not None:
        return _fitted(leg, base, what)
    if leg.table is not None:
        return _tabled(base / leg.table, feed_load, what)
    if leg.file is not None:
        return _recorded(leg, base, what)
    if leg.quantiles is not None:
        values = np.array(leg.quantiles, np.int64)
        if len(values) < 2 or (np.diff(values) < 0).any():
            raise InputError(
                "needs at least two durations, none below the one before it", source=what, field="quantiles"
            )
        return LatencyTable.quantiles(values), f"drawn from {len(values)} quantiles, {spread_text(values)}"
    if leg.feed:
        times, values = feed_latency()
        scaled = scale_series(values, leg.scale, leg.offset)
        return LatencyTable.series(times, scaled), f"the recording's feed latency x {leg.scale}, {spread_text(scaled)}"
    assert leg.model is not None
    model: LatencyModel = make(load_class(leg.model, base, what), leg.params, what)
    if not callable(getattr(model, "latency", None)):
        raise InputError(f"{leg.model} needs a method latency(ts_ns, draw_u64) -> ns", source=what, field="model")
    return LatencyTable.custom(model), f"model {leg.model}"


def scale_series(values: I64, scale: Decimal, offset_ns: int) -> I64:
    """``values * scale + offset``, exactly, cut to whole ns, never below 0."""
    numerator, denominator = scale.as_integer_ratio()
    whole = [max(0, int(value) * numerator // denominator + offset_ns) for value in values]
    return np.array(whole, np.int64)


def _recorded(leg: LegConfig, base: Path, what: str) -> tuple[LatencyTable, str]:
    path = base / str(leg.file)
    if leg.draw:
        values = np.sort(read_values(leg, path, what))
        if values[0] < 0:
            raise InputError(
                "has negative records (refused requests): those need their times, not draw", source=str(path)
            )
        table = empirical_quantiles(values)
        return LatencyTable.quantiles(table), f"drawn from {len(values)} records of {path.name}, {spread_text(table)}"
    times, values = read_series(leg, path, what)
    served = values[values >= 0]
    refused = f", {len(values) - len(served)} refused" if len(served) < len(values) else ""
    text = f"interpolated from {len(values)} records of {path.name}, {spread_text(served)}{refused}"
    return LatencyTable.series(times, values), text


def _fitted(leg: LegConfig, base: Path, what: str) -> tuple[LatencyTable, str]:
    p50, p99 = leg.p50, leg.p99
    if leg.file is not None:
        values = np.sort(read_values(leg, base / leg.file, what))
        served = values[values >= 0]
        if len(served) < 2 or served[len(served) // 2] == 0:
            raise InputError("has too few positive records for a fit", source=str(base / leg.file))
        p50, p99 = (int(quantile) for quantile in np.quantile(served, (0.5, 0.99), method="inverted_cdf"))
    assert p50 is not None
    if leg.fit == "exponential":
        table = exponential_quantiles(p50)
    else:
        assert p99 is not None
        table = lognormal_quantiles(p50, p99)
    return LatencyTable.quantiles(table), f"{leg.fit} distribution, {spread_text(table)}"


def read_model(path: Path) -> LatencyFile:
    """A model file. Raises ``InputError`` naming the file and what is wrong with it."""
    try:
        model = msgspec.json.decode(path.read_bytes(), type=LatencyFile)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise InputError(f"cannot be read as a latency model: {error}", source=str(path)) from None
    if model.perpsim_latency != MODEL_FORMAT:
        raise InputError(f"has form {model.perpsim_latency}, this version reads {MODEL_FORMAT}", source=str(path))
    if model.load_step_ns != LOAD_STEP_NS:
        raise InputError(
            f"counts load over {model.load_step_ns} ns, this version over {LOAD_STEP_NS}", source=str(path),
            field="load_step_ns",
        )  # fmt: skip
    starts = [table.load_from for table in model.tables]
    if not starts or starts[0] != 0 or starts != sorted(set(starts)):
        raise InputError("needs tables from load 0 upwards, each once", source=str(path), field="tables")
    for number, table in enumerate(model.tables, 1):
        values = table.quantiles_ns
        if len(values) < 2 or values[0] < 0 or values[-1] > LATENCY_LIMIT_NS or values != sorted(values):
            raise InputError(
                "needs at least two durations, none negative or below the one before it", source=str(path),
                place=f"table {number}", field="quantiles_ns",
            )  # fmt: skip
    return model


def _tabled(path: Path, feed_load: FeedLoad | None, what: str) -> tuple[LatencyTable, str]:
    model = read_model(path)
    middle = np.array(model.tables[len(model.tables) // 2].quantiles_ns, np.int64)
    if len(model.tables) == 1:
        return LatencyTable.quantiles(middle), f"{model.model} model of {path.name}, {spread_text(middle)}"
    if feed_load is None:
        raise InputError("depends on the load of a feed, and this run's has none", source=what, field="table")
    classes = f"{len(model.tables)} classes of load"
    text = f"{model.model} model of {path.name} by {classes}, in the middle one {spread_text(middle)}"
    return LatencyTable.custom(LatencyByLoad(model, *feed_load())), text


class LatencyByLoad:
    """Draws from the table of the load at an instant: the messages that the feed made in the whole step before it."""

    def __init__(self, model: LatencyFile, first_step: int, made: I64) -> None:
        self._starts = [table.load_from for table in model.tables]
        self._tables = [table.quantiles_ns for table in model.tables]
        self._first = first_step
        self._made = made

    def latency(self, ts_ns: int, draw_u64: int) -> int:
        """A drawn latency in ns, interpolated between table entries as the kernel does."""
        step = ts_ns // LOAD_STEP_NS - 1 - self._first
        load = int(self._made[step]) if 0 <= step < len(self._made) else 0
        table = self._tables[bisect_right(self._starts, load) - 1]
        whole = (draw_u64 >> 32) * (len(table) - 1)
        low, high = table[whole >> 32], table[(whole >> 32) + 1]
        return low + ((high - low) * (whole >> 8 & 0xFFFFFF) >> 24)


def spread_text(values: I64) -> str:
    """Median and 99th percentile, for people."""
    if not len(values):
        return "empty"
    ordered = np.sort(values)
    median, high = ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    return f"median {short_text(int(median))}, p99 {short_text(int(high))}"


def short_text(ns: int) -> str:
    """A duration to three digits."""
    return f"{ns / 1e6:.3g} ms" if ns >= 1_000_000 else f"{ns / 1e3:.3g} us"


# -- tables


def empirical_quantiles(ordered: I64) -> I64:
    """Sorted records as a table of at most ``TABLE_STEPS + 1`` entries whose ends are the least and the greatest."""
    if len(ordered) == 1:
        return np.array([ordered[0], ordered[0]], np.int64)
    steps = min(TABLE_STEPS, len(ordered) - 1)
    places = [i * (len(ordered) - 1) // steps for i in range(steps + 1)]
    return np.ascontiguousarray(ordered[places], np.int64)


def lognormal_quantiles(p50_ns: int, p99_ns: int) -> I64:
    """Quantiles of the lognormal distribution with this median and 99th percentile, in whole ns."""
    with localcontext(_PRECISION):
        middle = Decimal(p50_ns).ln()
        sigma = (Decimal(p99_ns).ln() - middle) / Z99
        return _table([(middle + sigma * normal_quantile(p)).exp() for p in _probabilities()])


def exponential_quantiles(p50_ns: int) -> I64:
    """Quantiles of the exponential distribution with this median, in whole ns."""
    with localcontext(_PRECISION):
        mean = Decimal(p50_ns) / Decimal(2).ln()
        return _table([-mean * (1 - p).ln() for p in _probabilities()])


def _probabilities() -> list[Decimal]:
    inner = [Decimal(i) / TABLE_STEPS for i in range(1, TABLE_STEPS)]
    return [TAIL, *inner, 1 - TAIL]


def _table(values: Sequence[Decimal]) -> I64:
    return np.array([int(value.to_integral_value()) for value in values], np.int64)


# M. J. Wichura, "Algorithm AS 241: The Percentage Points of the Normal Distribution", Applied Statistics 37 (3), 1988
_CENTRE_TOP: Final = (
    "2509.0809287301226727", "33430.575583588128105", "67265.770927008700853", "45921.953931549871457",
    "13731.693765509461125", "1971.5909503065514427", "133.14166789178437745", "3.387132872796366608",
)  # fmt: skip
_CENTRE_BOTTOM: Final = (
    "5226.495278852545925", "28729.085735721942674", "39307.89580009271061", "21213.794301586595867",
    "5394.1960214247511077", "687.1870074920579083", "42.313330701600911252", "1",
)  # fmt: skip
_TAIL_TOP: Final = (
    "7.7454501427834140764e-4", "0.0227238449892691845833", "0.24178072517745061177", "1.27045825245236838258",
    "3.64784832476320460504", "5.7694972214606914055", "4.6303378461565452959", "1.42343711074968357734",
)  # fmt: skip
_TAIL_BOTTOM: Final = (
    "1.05075007164441684324e-9", "5.475938084995344946e-4", "0.0151986665636164571966", "0.14810397642748007459",
    "0.68976733498510000455", "1.6763848301838038494", "2.05319162663775882187", "1",
)  # fmt: skip


def normal_quantile(p: Decimal) -> Decimal:
    """The standard normal quantile of p in (1e-10, 1 - 1e-10), to about 16 digits, in decimal arithmetic."""
    q = p - Decimal("0.5")
    if abs(q) <= Decimal("0.425"):
        r = Decimal("0.180625") - q * q
        return q * _polynomial(_CENTRE_TOP, r) / _polynomial(_CENTRE_BOTTOM, r)
    r = (-(p if q < 0 else 1 - p).ln()).sqrt() - Decimal("1.6")
    value = _polynomial(_TAIL_TOP, r) / _polynomial(_TAIL_BOTTOM, r)
    return -value if q < 0 else value


def _polynomial(coefficients: Sequence[str], x: Decimal) -> Decimal:
    value = Decimal(0)
    for coefficient in coefficients:
        value = value * x + Decimal(coefficient)
    return value


# -- recorded latencies


def read_table(path: Path, what: str) -> pl.DataFrame:
    """A CSV or Parquet file as a frame. Raises ``InputError``."""
    import polars as pl

    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        return pl.read_csv(path, infer_schema_length=10_000)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InputError(f"{path}: cannot be read: {error}", source=what) from None


def read_values(leg: LegConfig, path: Path, what: str) -> I64:
    """The column of latencies of a recorded file, in ns, in the file's order."""
    return column_ns(read_table(path, what), leg.value, leg.unit, path)


def read_series(leg: LegConfig, path: Path, what: str) -> tuple[I64, I64]:
    """Times and latencies of a recorded file in ns, sorted by time."""
    frame = read_table(path, what)
    values = column_ns(frame, leg.value, leg.unit, path)
    times = column_ns(frame, leg.time, leg.time_unit, path)
    order = np.argsort(times, kind="stable")
    return np.ascontiguousarray(times[order]), np.ascontiguousarray(values[order])


def column_ns(frame: pl.DataFrame, name: str, unit: str, path: Path) -> I64:
    """A column of durations or times as int64 ns. Raises ``InputError`` naming file, row and column."""
    import polars as pl

    if name not in frame.columns:
        raise InputError(f"has no such column; it has {', '.join(frame.columns)}", source=str(path), field=name)
    column = frame[name]
    if column.is_empty():
        raise InputError("has no rows", source=str(path), field=name)
    empty = column.is_null()
    if empty.any():
        row = int(np.argmax(empty.to_numpy())) + 1
        raise InputError("is empty", source=str(path), place=f"row {row}", field=name)
    if column.dtype == pl.Datetime:
        return np.array(column.cast(pl.Datetime("ns")).cast(pl.Int64), np.int64)
    if column.dtype.is_integer():
        return np.array(column, np.int64) * np.int64(UNIT_NS[unit])
    if column.dtype.is_float():
        return np.array(np.rint(column.to_numpy() * UNIT_NS[unit]), np.int64)
    raise InputError(f"holds {column.dtype}, not numbers or times", source=str(path), field=name)
