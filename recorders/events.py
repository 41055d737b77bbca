"""A slice of the lake as flat event columns: the form that is exported, and imported again without losing a bit.

A row is a level, print or order of a message, in venue order; a message without such rows has one row of its own.

    session                     number of the recording in the header's list
    message                     number of the message in the file, from 0
    ts_event_ns ts_recv_ns ts_recv_raw_ns
    kind                        depth trade quote snapshot mark funding gap offbook liquidation order_add order_change
                                order_gone order_fill order_book
    ref                         update, trade or order id (order_book: how many orders); null with aux
    side                        buy or sell: of the level or order, or of the aggressor; null without a level
    ticks lots                  price and size in the instrument's steps (CSV: price and size beside them, exactly)
    aux_0 .. aux_3              mark: mark_e8 index_e8 rate_e12 next_funding_ns; funding: rate_e12 mark_e8 boundary_ns
                                0; gap: kind (1 sequence, 2 disconnect, 3 session end, 4 checksum, 5 recorder), first
                                and last lost id, span_ns

The header says the version, the instrument and the recordings: in Parquet a key of the footer, in CSV a first line
that begins with ``#``, in JSON lines the first line. A slice that begins inside a recording begins with the whole book
as of its start.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl
import pyarrow.parquet as pq

from matching.codes import BUY, SELL, SNAPSHOT
from recorders.access import Market
from recorders.blocks import AUX_WIDTH, MessageBlock, has_aux
from recorders.files import make_folder, partial_path, publish
from recorders.frames import KIND_NAMES, SIDE_NAMES, decimal_series, nullable, rows_of
from recorders.spans import NEVER
from recorders.writer import instrument_fields
from venues.errors import InputError

VERSION: Final = 1
KEY: Final = "perpsim_events"
INTEGERS: Final = ("session", "message", "ts_event_ns", "ts_recv_ns", "ts_recv_raw_ns")
AUX: Final = tuple(f"aux_{k}" for k in range(AUX_WIDTH))
COLUMNS: Final = (*INTEGERS, "kind", "ref", "side", "ticks", "lots", *AUX)
CSV_COLUMNS: Final = (*INTEGERS, "kind", "ref", "side", "ticks", "lots", "price", "size", *AUX)
SCHEMA: Final = {name: pl.String if name in ("kind", "side") else pl.Int64 for name in COLUMNS}
KINDS: Final = {name: code for code, name in KIND_NAMES.items()}
FORMS: Final = ("parquet", "csv", "lines", "npz")
ENDINGS: Final = {"parquet": ".parquet", "csv": ".csv.gz", "lines": ".jsonl.gz", "npz": ".npz"}
GZIP_LEVEL: Final = 5
_KIND_OF: Final = np.array([KIND_NAMES.get(code, "") for code in range(max(KIND_NAMES) + 1)], object)


def header(market: Market) -> dict[str, Any]:
    """Version, instrument and recordings of the slice."""
    sessions: list[dict[str, Any]] = []
    for place in market.span(market.from_ns, market.to_ns).within(market.from_ns, market.to_ns):
        first = max(place.block.first_event, market.from_ns)
        last = min(place.block.last_event, market.to_ns - 1)
        if sessions and sessions[-1]["recording"] == place.recording:
            sessions[-1]["last_ns"] = last
        else:
            chain = sessions[-1] if sessions and sessions[-1]["chain"] == place.chain else None
            sessions.append(
                {
                    "recording": place.recording, "first_ns": first, "last_ns": last, "chain": place.chain,
                    "continues": chain["recording"] if chain else "",
                }
            )  # fmt: skip
    for one in sessions:
        del one["chain"]
    return {KEY: VERSION, "instrument": instrument_fields(market.instrument), "sessions": sessions}


def event_frames(market: Market, sessions: list[dict[str, Any]]) -> Iterator[pl.DataFrame]:
    """The slice in flat columns, a frame a block."""
    numbers = {one["recording"]: number for number, one in enumerate(sessions)}
    base = 0
    span = market.span(market.from_ns, market.to_ns)
    opening = _opening(market)
    for place in span.within(market.from_ns, market.to_ns):
        block = market.part(span.message_block(place))
        if opening is not None and len(block):
            yield _flat(opening, numbers[place.recording], base)
            base, opening = base + len(opening), None
        if len(block):
            yield _flat(block, numbers[place.recording], base)
            base += len(block)


def _opening(market: Market) -> MessageBlock | None:
    """The whole book just before the slice, if it is known and the slice begins inside a recording."""
    at_ns = market.from_ns
    if at_ns == NEVER or market.form != "l2":
        return None
    walk = market.walk(at_ns - 1, at_ns - 1, quotes=False)
    status = walk.seek(at_ns - 1)
    last = walk.last() if status == 0 else None
    if last is None:
        return None
    rows = [(side, *level) for side in (BUY, SELL) for level in walk.levels(side, None)]
    columns = np.array(rows, np.int64).reshape(-1, 3)
    recv = np.array([max(at_ns, last.ts_recv)], np.int64)
    return MessageBlock(
        ts_event=np.array([at_ns], np.int64),
        ts_recv=recv,
        ts_recv_raw=recv,
        kind=np.array([SNAPSHOT], np.uint8),
        ref=np.array([last.ref], np.int64),
        row_start=np.array([0, len(rows)], np.int64),
        side=columns[:, 0].astype(np.uint8),
        px_ticks=columns[:, 1].astype(np.int32),
        qty_lots=columns[:, 2].astype(np.int32),
        aux=np.zeros((0, AUX_WIDTH), np.int64),
    )


def _flat(block: MessageBlock, session: int, base: int) -> pl.DataFrame:
    every = np.arange(len(block))
    counts = np.diff(block.row_start)
    message = np.repeat(every, np.maximum(counts, 1))
    has_row = np.repeat(counts > 0, np.maximum(counts, 1))
    _, rows = rows_of(block, every)
    carries = has_aux(block.kind)[message]
    columns: dict[str, Any] = {
        "session": np.full(len(message), session, np.int64),
        "message": message + base,
        "ts_event_ns": block.ts_event[message],
        "ts_recv_ns": block.ts_recv[message],
        "ts_recv_raw_ns": block.ts_recv_raw[message],
        "kind": pl.Series(_KIND_OF[block.kind[message]].tolist(), dtype=pl.String),
        "ref": nullable(np.where(carries, 0, block.ref[message]), ~carries),
    }
    for name, column in (("side", block.side), ("ticks", block.px_ticks), ("lots", block.qty_lots)):
        values = np.zeros(len(message), np.int64)
        values[has_row] = column[rows]
        columns[name] = nullable(values, has_row)
    columns["side"] = columns["side"].replace_strict({0: SIDE_NAMES[0], 1: SIDE_NAMES[1]}, return_dtype=pl.String)
    spread = np.zeros((len(message), AUX_WIDTH), np.int64)
    spread[carries] = block.aux[block.ref[message[carries]]]
    for k, name in enumerate(AUX):
        columns[name] = nullable(np.ascontiguousarray(spread[:, k]), carries)
    return pl.DataFrame(columns, schema=SCHEMA)


# -- writing


def write_events(market: Market, path: Path, form: str) -> int:
    """Write the slice as ``parquet``, ``csv`` or ``lines``; returns the number of rows. Published whole or not at all.

    The same slice gives the same bytes. Raises ``InputError`` for a slice without messages.
    """
    about = header(market)
    if not about["sessions"]:
        raise InputError("holds no message in this slice", source=f"{market.venue} {market.symbol}")
    make_folder(path.parent)
    try:
        rows = {"parquet": _parquet, "csv": _csv, "lines": _lines}[form](market, about, partial_path(path))
        publish(path)
    finally:
        partial_path(path).unlink(missing_ok=True)
    return rows


def _parquet(market: Market, about: dict[str, Any], path: Path) -> int:
    writer: pq.ParquetWriter | None = None
    rows = 0
    try:
        for frame in event_frames(market, about["sessions"]):
            table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
            if writer is None:
                writer = pq.ParquetWriter(
                    path,
                    table.schema,
                    compression="zstd",
                    use_dictionary=["kind", "side"],
                    column_encoding={name: "DELTA_BINARY_PACKED" for name, kind in SCHEMA.items() if kind == pl.Int64},
                )
            writer.write_table(table)
            rows += len(frame)
        assert writer is not None
        writer.add_key_value_metadata({KEY: msgspec.json.encode(about).decode()})
    finally:
        if writer is not None:
            writer.close()
    return rows


def _csv(market: Market, about: dict[str, Any], path: Path) -> int:
    rows = 0
    with path.open("wb") as raw, gzip.GzipFile("", "wb", GZIP_LEVEL, raw, mtime=0) as stream:
        stream.write(b"# " + msgspec.json.encode(about) + b"\n" + ",".join(CSV_COLUMNS).encode() + b"\n")
        for frame in event_frames(market, about["sessions"]):
            frame = with_decimals(frame, market).select(CSV_COLUMNS)
            text = io.BytesIO()
            frame.write_csv(text, include_header=False)
            stream.write(text.getvalue())
            rows += len(frame)
    return rows


def with_decimals(frame: pl.DataFrame, market: Market) -> pl.DataFrame:
    """Columns ``price`` and ``size`` as exact decimals beside ticks and lots."""
    made = []
    for name, word, (whole, decimals) in (("ticks", "price", market.grid.price), ("lots", "size", market.grid.size)):
        known = frame[name].is_not_null().to_numpy()
        numbers = frame[name].fill_null(0).to_numpy() * whole
        made.append(decimal_series(numbers, decimals, known).alias(word))
    return frame.with_columns(made)


def _lines(market: Market, about: dict[str, Any], path: Path) -> int:
    rows = 0
    with path.open("wb") as raw, gzip.GzipFile("", "wb", GZIP_LEVEL, raw, mtime=0) as stream:
        stream.write(msgspec.json.encode(about) + b"\n")
        for frame in event_frames(market, about["sessions"]):
            rows += len(frame)
            named = with_decimals(frame, market).with_columns(pl.col("price", "size").cast(pl.String))
            stream.write(b"".join(_json_lines(named)))
    return rows


def _json_lines(frame: pl.DataFrame) -> Iterator[bytes]:
    """A message a line: its columns, ``rows`` of [side, ticks, lots, price, size] or ``aux``."""
    line: dict[str, Any] = {}
    for row in frame.iter_rows(named=True):
        if line and line["message"] != row["message"]:
            yield msgspec.json.encode(line) + b"\n"
            line = {}
        if not line:
            line = {name: row[name] for name in (*INTEGERS, "kind")}
            if row["ref"] is None:
                line["aux"] = [row[name] for name in AUX]
            else:
                line |= {"ref": row["ref"], "rows": []}
        if row["side"] is not None:
            line["rows"].append([row[name] for name in ("side", "ticks", "lots", "price", "size")])
    if line:
        yield msgspec.json.encode(line) + b"\n"
