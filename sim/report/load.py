"""Reading a run folder: every file and column checked before anything is computed from it.

A run folder holds ``manifest.json`` and the Parquet files listed in ``COLUMNS``. Prices are integer ticks, sizes
integer lots, money integers at 1e-8 of the asset (``_e8``), rates at 1e-12 (``_e12``), times integer nanoseconds
UTC (``_ns``); sides, events, reasons, causes and liquidity flags are the integers of ``matching.codes``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from sim.report.banner import BannerLine

if TYPE_CHECKING:
    from sim.report import HasRunPath

INTEGER, NUMBER, TEXT = "integer", "number", "text"


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
_TIME_COLUMN = {
    "fills": "ts_event_ns",
    "funding": "boundary_ns",
    "equity": "ts_ns",
    "positions": "ts_ns",
    "bbo": "ts_ns",
    "feed_latency": "ts_ns",
    "gaps": "start_ns",
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


@dataclass(frozen=True, slots=True)
class RunData:
    """A run folder in memory. Frames hold the columns of ``COLUMNS``, integers as Int64, sorted by time where they
    have one."""

    path: Path
    manifest: Mapping[str, Any]
    run_id: str
    strategies: tuple[str, ...]
    first_ns: int
    last_ns: int
    instruments: tuple[InstrumentInfo, ...]
    accounts: tuple[AccountInfo, ...]
    banner: tuple[BannerLine, ...]
    orders: pl.DataFrame
    fills: pl.DataFrame
    funding: pl.DataFrame
    equity: pl.DataFrame
    positions: pl.DataFrame
    bbo: pl.DataFrame
    feed_latency: pl.DataFrame
    gaps: pl.DataFrame

    @property
    def lanes(self) -> tuple[int, ...]:
        """Lane numbers in ascending order."""
        return tuple(sorted({account.lane for account in self.accounts}))

    def strategy_of(self, lane: int) -> str:
        """The name of the strategy that ran in ``lane``."""
        return self.strategies[lane] if lane < len(self.strategies) else self.strategies[0]


def load_run(run: str | Path | HasRunPath) -> RunData:
    """Read and check the run folder at ``run`` (a path, or an object whose ``path`` is one).

    Raises RunFolderError when a file is missing or unreadable, a column is missing or of the wrong type, or a row
    names an instrument that the manifest does not list.
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
    frames = {name: _read_frame(folder / f"{name}.parquet", name) for name in COLUMNS}
    instruments = tuple(
        _instrument(manifest, place, raw) for place, raw in enumerate(_field(manifest, "instruments", list))
    )
    accounts = tuple(_account(place, raw) for place, raw in enumerate(_field(manifest, "accounts", list)))
    for name, frame in frames.items():
        _check_instruments(folder / f"{name}.parquet", frame, len(instruments))
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
        accounts=accounts,
        banner=tuple(BannerLine.from_dict(line) for line in _field(manifest, "banner", list)),
        **frames,
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


def _instrument(manifest: Mapping[str, Any], place: int, raw: Any) -> InstrumentInfo:
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


def _read_frame(path: Path, name: str) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(path)
    except FileNotFoundError:
        raise RunFolderError(f"{path}: missing; run the backtest again (a finished run always has this file)") from None
    except (pl.exceptions.ComputeError, OSError) as error:
        raise RunFolderError(f"{path}: not a readable Parquet file ({error}); run the backtest again") from None
    missing = [column for column in COLUMNS[name] if column not in frame.columns]
    if missing:
        raise RunFolderError(
            f"{path}: column {', '.join(missing)} missing; this folder is of another version of perpsim"
        )
    casts: list[pl.Expr] = []
    for column, kind in COLUMNS[name].items():
        dtype = frame.schema[column]
        right = {INTEGER: dtype.is_integer(), NUMBER: dtype.is_numeric(), TEXT: dtype in (pl.String, pl.Categorical)}
        if not (right[kind] or dtype == pl.Null):
            raise RunFolderError(f"{path}: column {column} must hold {kind}s, found {dtype}")
        casts.append(pl.col(column).cast({INTEGER: pl.Int64, NUMBER: pl.Float64, TEXT: pl.String}[kind]))
    frame = frame.select(casts)
    time_column = _TIME_COLUMN.get(name)
    return frame.sort(time_column, maintain_order=True) if time_column else frame


def _check_instruments(path: Path, frame: pl.DataFrame, count: int) -> None:
    if "instrument" not in frame.columns or frame.is_empty():
        return
    outside = frame.filter(~pl.col("instrument").is_between(0, count - 1))
    if not outside.is_empty():
        value = outside["instrument"][0]
        raise RunFolderError(f"{path}: instrument {value} in a row, but manifest.json lists {count} (0 to {count - 1})")


def select(frame: pl.DataFrame, **equal: int | str) -> pl.DataFrame:
    """Rows whose columns equal the given values."""
    return frame.filter(*[pl.col(name) == value for name, value in equal.items()])


def names_of(accounts: Sequence[AccountInfo]) -> list[str]:
    """Display names: the account's own, with the lane when there are several, with the asset when a name repeats."""
    lanes = {account.lane for account in accounts}
    names = [f"lane {a.lane} {a.name}" if len(lanes) > 1 else a.name for a in accounts]
    return [f"{name} {a.asset}" if names.count(name) > 1 else name for name, a in zip(names, accounts, strict=True)]
