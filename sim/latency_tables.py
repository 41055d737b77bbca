"""What ``perpsim latency`` does, as functions that return plain dictionaries; the command only parses and prints."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from recorders.latency import feed_latencies, order_latencies
from sim.latency import column_ns, read_table, short_text
from sim.latency_fit import FAMILIES, compare, describe, model_by_load, model_file, source_of, write_model
from sim.listings import table
from venues.errors import InputError

if TYPE_CHECKING:
    import polars as pl


def write_feed_table(
    lake: Path, venue: str, symbol: str, out: Path, from_ns: int | None = None, to_ns: int | None = None
) -> dict[str, Any]:
    """Write an instrument's feed latencies, block by block; returns percentiles by stream, in ns."""
    out.parent.mkdir(parents=True, exist_ok=True)
    writer = None
    values: dict[str, list[Any]] = {}
    try:
        for frame in feed_latencies(lake, venue, symbol, from_ns, to_ns):
            content = frame.to_arrow()
            writer = writer or pq.ParquetWriter(out, content.schema, compression="zstd")
            writer.write_table(content)
            for (name,), part in frame.group_by("stream"):
                values.setdefault(str(name), []).append(part["latency_ns"].to_numpy())
    finally:
        if writer is not None:
            writer.close()
    return {"ok": True, "table": str(out), "groups": _groups(values)}


def write_order_table(run: Path, out: Path) -> dict[str, Any]:
    """Write a run's order latencies; returns percentiles by leg, in ns."""
    found = order_latencies(run)
    out.parent.mkdir(parents=True, exist_ok=True)
    found.write_parquet(out)
    values = {str(name): [part["latency_ns"].to_numpy()] for (name,), part in found.group_by("leg")}
    return {"ok": True, "table": str(out), "groups": _groups(values)}


def _groups(values: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [{"group": name, **describe(np.concatenate(parts))} for name, parts in sorted(values.items())]


def fit_table(
    path: Path, out: Path | None, *, family: str, classes: int | None, stream: str | None, leg: str | None, value: str,
    unit: str,
) -> dict[str, Any]:  # fmt: skip
    """Compare distributions over a table's latencies and, with ``out``, write a model file."""
    frame = _chosen(_chosen(read_table(path, "latency fit"), "stream", stream, path), "leg", leg, path)
    latencies = column_ns(frame, value, unit, path)
    if classes is not None and "load" not in frame.columns:
        raise InputError("has no column load: a model by load needs a feed table", source=str(path), field="load")
    source = source_of(path, value, latencies) | {
        name: chosen for name, chosen in (("stream", stream), ("leg", leg)) if chosen is not None
    }
    if classes is None:
        model = model_file(latencies, family, source)
    else:
        model = model_by_load(latencies, column_ns(frame, "load", "ns", path), family, classes, source)
    if out is not None:
        write_model(model, out)
    return {
        "ok": True,
        "table": str(path),
        "recorded": describe(latencies),
        "fits": compare(latencies, FAMILIES),
        "model": model.model,
        "loads": [one.load_from for one in model.tables],
        "file": None if out is None else str(out),
    }


def _chosen(frame: pl.DataFrame, column: str, wanted: str | None, path: Path) -> pl.DataFrame:
    import polars as pl

    if wanted is None:
        return frame
    if column not in frame.columns:
        raise InputError(f"has no column {column}", source=str(path), field=column)
    found = frame.filter(pl.col(column) == wanted)
    if found.is_empty():
        known = ", ".join(sorted(str(name) for name in frame[column].unique()))
        raise InputError(f"has no {wanted!r}; it has {known}", source=str(path), field=column)
    return found


# -- for people


def lines(found: dict[str, Any]) -> Iterator[str]:
    """A result as lines."""
    if "groups" in found:
        yield from table(
            ("", "count", "least", "p50", "p90", "p99", "p99.9", "p99.99", "greatest"),
            [(str(row["group"]), f"{row['count']:,}", *_times(row)) for row in found["groups"]],
        )
        yield f"table       {found['table']}"
        return
    recorded = found["recorded"]
    yield from table(
        ("recorded", "least", "p50", "p90", "p99", "p99.9", "p99.99", "greatest"),
        [(f"{recorded['count']:,}", *_times(recorded))],
    )
    yield ""
    head = ("model", "ks", "bic", "p50", "p90", "p99", "p99.9")
    rows = [
        (
            row["model"], f"{row['ks']:.4f}", f"{row['bic']:,.0f}",
            *(f"{row[name]:+.1%}" for name in ("p50", "p90", "p99", "p99.9")),
        )
        for row in found["fits"]
    ]  # fmt: skip
    yield from table(head, rows)
    yield ""
    if found["file"] is None:
        yield "nothing written: give --out FILE to make a model of it"
        return
    by = f", by load from {', '.join(map(str, found['loads']))}" if len(found["loads"]) > 1 else ""
    yield f"model       {found['file']}  ({found['model']}{by})"
    yield f'in a run    latency = {{ entry = {{ table = "{Path(found["file"]).name}" }}, response = ... }}'


def _times(row: dict[str, Any]) -> list[str]:
    return [short_text(row[name]) for name in ("min", "p50", "p90", "p99", "p99.9", "p99.99", "max")]
