"""Reading a run folder: every file and column checked, and read in batches so that memory does not grow with the run.

A run folder holds ``manifest.json`` and the Parquet files listed in ``COLUMNS``. Prices are integer ticks, sizes
integer lots, money integers at 1e-8 of the asset (``_e8``), rates at 1e-12 (``_e12``), times integer nanoseconds
UTC (``_ns``); sides, events, reasons, causes and liquidity flags are the integers of ``matching.codes``. Rows of
one lane and instrument are in order of time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from sim.report.banner import BannerLine

if TYPE_CHECKING:
    import polars as pl

    from sim.report import HasRunPath

INTEGER, NUMBER, TEXT = "integer", "number", "text"
BATCH_ROWS = 1 << 14
READ_BYTES = 1 << 16  # read column chunks in pieces: whole ones would make memory depend on the row groups
Columns = dict[str, npt.NDArray[Any]]


def _integers(names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), INTEGER)


COLUMNS: Mapping[str, Mapping[str, str]] = {
    "orders": _integers(
        "lane account instrument order_no seq event reason ts_event_ns ticks lots liquidity fee_e8 ts_sent_ns"
        " ts_deliver_ns side tif type cause leaves"
    )
    | {"queue_front": NUMBER},
    "fills": _integers(
        "lane account instrument order_no ts_event_ns side ticks lots liquidity cause fee_e8 realized_e8 position_lots"
        " wallet_e8"
    )
    | {"queue_front_lots": NUMBER},
    "funding": _integers("lane account instrument boundary_ns booked_ns rate_e12 mark_e8 position_lots payment_e8"),
    "equity": _integers("lane account ts_ns wallet_e8 unrealized_e8 equity_e8 maintenance_e8")
    | {"asset": TEXT, "margin_ratio": NUMBER},
    "positions": _integers("lane instrument ts_ns position_lots mark_e8"),
    "bbo": _integers("instrument ts_ns bid_ticks ask_ticks"),
    "feed_latency": _integers("instrument ts_ns latency_ns"),
    "gaps": _integers("instrument kind start_ns end_ns first_lost_id last_lost_id"),
}


class RunFolderError(ValueError):
    """A run folder that cannot be read: the message names the file, the field and what to do."""


@dataclass(frozen=True, slots=True)
class InstrumentInfo:
    """An instrument as of the run. ``tick_size`` in quote per base, ``lot_size`` in base (linear) or contracts
    (inverse), ``contract_size`` in base (linear) or quote (inverse) per unit of size; ``settle`` is the asset money
    is kept in."""

    index: int
    name: str
    venue: str
    symbol: str
    base: str
    quote: str
    settle: str
    inverse: bool
    tick_size: Decimal
    lot_size: Decimal
    contract_size: Decimal
    hedge: bool = False  # a long and a short position beside each other

    @property
    def size_unit(self) -> str:
        """What a size counts: the base asset (linear, contract of one) or contracts."""
        return self.base if not self.inverse and self.contract_size == 1 else "contracts"

    def values_e8(self, fills: Iterable[tuple[int, int]]) -> list[int]:
        """Value of each (ticks, lots) in the settlement asset at 1e-8, rounded half up (a statistic, no booking)."""
        size = Fraction(self.lot_size) * Fraction(self.contract_size) * 100_000_000
        tick = Fraction(self.tick_size)
        scale = size / tick if self.inverse else size * tick
        top, bottom = scale.numerator, scale.denominator
        if self.inverse:
            return [(2 * lots * top + bottom * ticks) // (2 * bottom * ticks) for ticks, lots in fills]
        return [(2 * ticks * lots * top + bottom) // (2 * bottom) for ticks, lots in fills]


@dataclass(frozen=True, slots=True)
class AccountInfo:
    """One account of one lane in one asset; ``deposit_e8`` is what it started with."""

    lane: int
    account: int
    venue: str
    asset: str
    deposit_e8: int
    name: str


class Table:
    """One Parquet file of a run folder, read in batches of chosen columns.

    Integers come as int64, numbers as float64 (missing: NaN), texts as objects. ``groups`` is the number of row
    groups.
    """

    def __init__(self, path: Path, name: str, instruments: int) -> None:
        self.path, self.name = path, name
        self._instruments = instruments
        self._file = _opened(path)
        _check_columns(path, name, self._file.schema_arrow)
        self.rows = int(self._file.metadata.num_rows)
        self.groups = int(self._file.metadata.num_row_groups)

    def batches(self, columns: str, groups: Sequence[int] | None = None) -> Iterator[Columns]:
        """Batches of at most ``BATCH_ROWS`` rows of the named columns, in file order, of all or the given row
        groups."""
        names = columns.split()
        wanted = range(self.groups) if groups is None else groups
        for batch in self._file.iter_batches(BATCH_ROWS, row_groups=list(wanted), columns=names, use_threads=False):
            read = {name: self._column(name, batch.column(name)) for name in names}
            if batch.num_rows and "instrument" in read:
                self._check_instrument(read["instrument"])
            yield read

    def whole(self) -> Columns:
        """All columns of all rows: for files that stay small."""
        parts = list(self.batches(" ".join(COLUMNS[self.name])))
        empty = {name: np.empty(0, _DTYPES[kind]) for name, kind in COLUMNS[self.name].items()}
        return {name: np.concatenate([part[name] for part in parts]) for name in empty} if parts else empty

    def _column(self, name: str, values: Any) -> npt.NDArray[Any]:
        kind = COLUMNS[self.name][name]
        if values.null_count and kind == INTEGER:
            raise RunFolderError(f"{self.path}: column {name} has missing values, which no finished run writes")
        if kind == TEXT:
            return np.array(values.to_pylist(), dtype=object)
        return np.asarray(values.to_numpy(zero_copy_only=False)).astype(_DTYPES[kind], copy=False)

    def _check_instrument(self, values: npt.NDArray[np.int64]) -> None:
        worst = int(values.max() if values.max() >= self._instruments else values.min())
        if not 0 <= worst < self._instruments:
            last = self._instruments - 1
            raise RunFolderError(
                f"{self.path}: instrument {worst} in a row, but manifest.json lists {last + 1} (0 to {last})"
            )


_DTYPES: Mapping[str, Any] = {INTEGER: np.int64, NUMBER: np.float64, TEXT: object}


def _opened(path: Path) -> Any:
    try:
        return pq.ParquetFile(path, buffer_size=READ_BYTES, pre_buffer=False)
    except FileNotFoundError:
        raise RunFolderError(f"{path}: missing; run the backtest again (a finished run always has this file)") from None
    except (pa.ArrowException, OSError) as error:
        raise RunFolderError(f"{path}: not a readable Parquet file ({error}); run the backtest again") from None


def _check_columns(path: Path, name: str, schema: Any) -> None:
    missing = [column for column in COLUMNS[name] if column not in schema.names]
    if missing:
        raise RunFolderError(
            f"{path}: column {', '.join(missing)} missing; this folder is of another version of perpsim"
        )
    for column, kind in COLUMNS[name].items():
        dtype = schema.field(column).type
        number = pa.types.is_integer(dtype) or pa.types.is_floating(dtype)
        text = pa.types.is_string(dtype) or pa.types.is_large_string(dtype) or pa.types.is_dictionary(dtype)
        right = {INTEGER: pa.types.is_integer(dtype), NUMBER: number, TEXT: text}
        if not (right[kind] or pa.types.is_null(dtype)):
            raise RunFolderError(f"{path}: column {column} must hold {kind}s, found {dtype}")


@dataclass(frozen=True)
class RunData:
    """A run folder: its manifest, checked, and its files as ``Table``s to be read in batches."""

    path: Path
    manifest: Mapping[str, Any]
    run_id: str
    strategies: tuple[str, ...]
    first_ns: int
    last_ns: int
    instruments: tuple[InstrumentInfo, ...]
    accounts: tuple[AccountInfo, ...]
    banner: tuple[BannerLine, ...]
    tables: Mapping[str, Table]

    @property
    def lanes(self) -> tuple[int, ...]:
        """Lane numbers in ascending order."""
        return tuple(sorted({account.lane for account in self.accounts}))

    def strategy_of(self, lane: int) -> str:
        """The name of the strategy that ran in ``lane``."""
        return self.strategies[lane] if lane < len(self.strategies) else self.strategies[0]

    def account_of(self, lane: int, instrument: InstrumentInfo) -> AccountInfo | None:
        """The account of ``lane`` in which the instrument is settled, or None."""
        wanted = (lane, instrument.venue, instrument.settle)
        return next((a for a in self.accounts if (a.lane, a.venue, a.asset) == wanted), None)

    @cached_property
    def funding(self) -> Columns:
        """All of ``funding.parquet`` (a few rows a day)."""
        return self.tables["funding"].whole()

    @cached_property
    def gaps(self) -> Columns:
        """All of ``gaps.parquet``."""
        return self.tables["gaps"].whole()

    def frame(self, name: str) -> pl.DataFrame:
        """A whole file as a polars frame, for charts of one's own; it takes the memory that the file takes."""
        import polars

        return polars.read_parquet(self.tables[name].path)


def load_run(run: str | Path | HasRunPath) -> RunData:
    """Check the run folder at ``run`` (a path, or an object whose ``path`` is one) and open its files.

    Raises RunFolderError when the run did not finish, a file is missing or unreadable, or a column is missing or of
    the wrong type; and later, on reading, when a row names an instrument that the manifest does not list.
    """
    folder = Path(run if isinstance(run, (str, Path)) else run.path)
    if not folder.is_dir():
        raise RunFolderError(
            f"{folder}: no such run folder (a run writes one under runs/; see its last line of output)"
        )
    manifest = _read_manifest(folder / "manifest.json")
    if manifest.get("status") == "failed":
        raise RunFolderError(
            f"{folder}: this run did not finish ({manifest.get('failure')}); there is no result to show"
        )
    instruments = tuple(_instrument(place, raw) for place, raw in enumerate(_field(manifest, "instruments", list)))
    strategy = manifest.get("strategy", "strategy")
    strategies = tuple(str(name) for name in strategy) if isinstance(strategy, list) and strategy else (str(strategy),)
    return RunData(
        path=folder,
        manifest=manifest,
        run_id=str(manifest.get("run_id", folder.name)),
        strategies=strategies,
        first_ns=_field(manifest, "first_ns", int),
        last_ns=_field(manifest, "last_ns", int),
        instruments=instruments,
        accounts=tuple(_account(place, raw) for place, raw in enumerate(_field(manifest, "accounts", list))),
        banner=tuple(BannerLine.from_dict(line) for line in _field(manifest, "banner", list)),
        tables={name: Table(folder / f"{name}.parquet", name, len(instruments)) for name in COLUMNS},
    )


def _read_manifest(path: Path) -> Mapping[str, Any]:
    try:
        manifest = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise RunFolderError(f"{path}: missing; {path.parent} is not the folder of a finished run") from None
    except ValueError as error:
        raise RunFolderError(f"{path}: not valid JSON ({error}); run the backtest again") from None
    if not isinstance(manifest, dict):
        raise RunFolderError(f"{path}: expected an object, found {type(manifest).__name__}")
    return manifest


def _field(raw: Mapping[str, Any], name: str, kind: type, where: str = "") -> Any:
    value = raw.get(name)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        found = "nothing" if value is None else repr(value)
        raise RunFolderError(f"manifest.json: {where}{name} must be of type {kind.__name__}, found {found}")
    return value


def _instrument(place: int, raw: Any) -> InstrumentInfo:
    where = f"instruments[{place}]."
    if not isinstance(raw, dict):
        raise RunFolderError(f"manifest.json: instruments[{place}] must be an object, found {raw!r}")
    names = {name: _field(raw, name, str, where) for name in ("venue", "symbol", "base", "quote", "settle")}
    sizes: dict[str, Decimal] = {}
    for name in ("tick_size", "lot_size", "contract_size"):
        try:
            sizes[name] = Decimal(_field(raw, name, str, where))
        except InvalidOperation:
            raise RunFolderError(f"manifest.json: {where}{name} is no decimal number: {raw[name]!r}") from None
        if not sizes[name] > 0:
            raise RunFolderError(f"manifest.json: {where}{name} must be positive, found {raw[name]!r}")
    texts = {"name": str(raw.get("name", names["symbol"])), **names}
    fields: dict[str, Any] = {"index": place, "inverse": _field(raw, "inverse", bool, where), **texts, **sizes}
    fields["hedge"] = raw.get("hedge") is True
    return InstrumentInfo(**fields)


def _account(place: int, raw: Any) -> AccountInfo:
    where = f"accounts[{place}]."
    if not isinstance(raw, dict):
        raise RunFolderError(f"manifest.json: accounts[{place}] must be an object, found {raw!r}")
    integers = {name: _field(raw, name, int, where) for name in ("lane", "account", "deposit_e8")}
    venue = _field(raw, "venue", str, where)
    return AccountInfo(
        venue=venue, asset=_field(raw, "asset", str, where), name=str(raw.get("name", venue)), **integers
    )


def names_of(accounts: Sequence[AccountInfo]) -> list[str]:
    """Display names: the account's own, with the lane when there are several, with the asset when a name repeats."""
    lanes = {account.lane for account in accounts}
    names = [f"lane {a.lane} {a.name}" if len(lanes) > 1 else a.name for a in accounts]
    return [f"{name} {a.asset}" if names.count(name) > 1 else name for name, a in zip(names, accounts, strict=True)]
