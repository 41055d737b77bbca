"""Signals: rows of a timestamped Parquet table, handed to ``on_data`` when their time has come."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from sim.config import DataConfig
from venues.errors import InputError

NEVER_NS: Final = (1 << 63) - 1
BATCH_ROWS: Final = 4096


def _row_type(names: list[str]) -> Any:
    make: Any = namedtuple  # the columns are the file's: nothing for a type checker to know
    return make("Row", names, rename=True)


class SignalStream:
    """One table, read forward in batches. ``next_ns`` is the time of its next row (NEVER_NS at the end).

    Rows are named tuples of the table's columns; names that Python cannot write become ``_1``, ``_2`` ... by place.
    """

    def __init__(self, config: DataConfig, base: Path, start_ns: int) -> None:
        """Rows before ``start_ns`` are passed over: their time came before the run. Raises ``InputError``."""
        self.name = config.name
        self.path = base / config.path
        self._time = config.time
        try:
            self._file = pq.ParquetFile(self.path)
        except (OSError, pa.ArrowInvalid) as error:
            raise InputError(f"cannot be read as Parquet: {error}", source=str(self.path)) from None
        names = self._file.schema_arrow.names
        if self._time not in names:
            raise InputError(
                f"has no such column (data.time); it has {', '.join(names)}", source=str(self.path), field=self._time
            )
        self._row_type = _row_type(names)
        self._batches = self._read()
        self._rows: Iterator[Any] = iter(())
        self._times: Iterator[int] = iter(())
        self._last_ns = -NEVER_NS
        self._count = 0
        self._row: Any = None
        self.next_ns = 0
        self._advance()
        while self.next_ns < start_ns:
            self._advance()

    def pop(self) -> Any:
        """The row that is due, and on to the next."""
        row = self._row
        self._advance()
        return row

    def _advance(self) -> None:
        ts = next(self._times, None)
        while ts is None:
            batch = next(self._batches, None)
            if batch is None:
                self.next_ns, self._row = NEVER_NS, None
                return
            self._times, self._rows = batch
            ts = next(self._times, None)
        self._count += 1
        if ts < self._last_ns:
            raise InputError(
                f"goes back in time ({ts} after {self._last_ns}): sort the table by it", source=str(self.path),
                place=f"row {self._count}", field=self._time,
            )  # fmt: skip
        self._last_ns = self.next_ns = ts
        self._row = next(self._rows)

    def _read(self) -> Iterator[tuple[Iterator[int], Iterator[Any]]]:
        for batch in self._file.iter_batches(batch_size=BATCH_ROWS):
            times = self._times_ns(batch.column(self._time))
            rows = zip(*(column.to_pylist() for column in batch.columns), strict=True)
            yield iter(times), map(self._row_type._make, rows)

    def _times_ns(self, column: pa.Array) -> list[int]:
        if column.null_count:
            empty = self._count + column.is_null().to_pylist().index(True) + 1
            raise InputError("is empty", source=str(self.path), place=f"row {empty}", field=self._time)
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("ns", column.type.tz)).cast(pa.int64())
        if not pa.types.is_integer(column.type):
            raise InputError(
                f"holds {column.type}, neither timestamps nor whole nanoseconds",
                source=str(self.path),
                field=self._time,
            )
        times: list[int] = column.to_pylist()
        return times
