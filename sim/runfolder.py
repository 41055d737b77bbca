"""The run folder: what a run leaves behind, written while it runs so that memory stays flat.

    run.toml          the resolved run file: this and the same data give the same hash again
    manifest.json     versions, hashes of code, data and configuration, instruments, accounts, realism banner
    orders.parquet    one row an event of an order, as the venue stamped it, with both ends' times
    fills funding equity positions bbo feed_latency gaps .parquet
    log.jsonl         what strategies logged (absent if nothing)
    summary.json      counts, balances, hash, statistics;  report.html

The hash is that of the canonical order log: int64 little-endian rows (account, instrument, order number, sequence
within the order, event, reason, ts_event at the venue's time resolution, ticks, lots, liquidity flag, fee), sorted by
the first four. ``ts_event`` is 0 where the venue's wire has none (the rule card's ``timeless``). Rows arrive almost in
that order, a chunk at a time, so they are kept in a scratch file and sorted range by range at the end.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from matching.codes import EV_ADL, EV_FILLED, EV_FUNDING, EV_LIQUIDATED
from matching.kernel import Core
from sim.venue_face import VenueFace
from venues.errors import InputError
from venues.instruments import Instrument

I64 = npt.NDArray[np.int64]
Columns = Mapping[str, npt.NDArray[Any]]
CANONICAL: Final = (
    "account", "market", "order_no", "seq", "event", "reason", "ts_event_ns", "ticks", "lots", "liquidity", "fee_e8",
)  # fmt: skip
CANONICAL_CHUNK: Final = 1 << 12
CANONICAL_ROWS: Final = 1 << 16  # rows sorted at once
ROW_GROUP: Final = 1 << 14
PIECES: Final = 64  # arrays of a few rows that wait as they are; more are made one
_EMPTY: Final[Mapping[pa.DataType, tuple[Any, Any]]] = {
    pa.int64(): (0, np.int64), pa.float64(): (0.0, np.float64), pa.string(): (None, object),
}  # fmt: skip
_BYTES: Final = 8 * len(CANONICAL)


def _ints(names: str) -> list[tuple[str, pa.DataType]]:
    return [(name, pa.int64()) for name in names.split()]


SCHEMAS: Final = {
    "orders": [
        *_ints("lane account instrument order_no seq event reason ts_event_ns ticks lots liquidity fee_e8"),
        *_ints("ts_sent_ns ts_deliver_ns side tif type flags cause"),
        ("queue_front", pa.float64()),
        *_ints("leaves venue_code"),
        ("venue_text", pa.string()),
    ],
    "fills": [
        *_ints("lane account instrument order_no ts_event_ns side ticks lots"),
        ("price", pa.float64()),
        ("size", pa.float64()),
        *_ints("liquidity cause"),
        ("queue_front_lots", pa.float64()),
        *_ints("fee_e8 realized_e8 position_lots wallet_e8"),
    ],
    "funding": _ints("lane account instrument boundary_ns booked_ns rate_e12 mark_e8 position_lots payment_e8"),
    "equity": [
        *_ints("lane account"),
        ("asset", pa.string()),
        *_ints("ts_ns wallet_e8 unrealized_e8 equity_e8 maintenance_e8"),
        ("margin_ratio", pa.float64()),
    ],
    "positions": _ints("lane instrument ts_ns position_lots mark_e8"),
    "bbo": _ints("instrument ts_ns bid_ticks ask_ticks mark_e8"),
    "transfers": [
        *_ints("ts_ns lane account instrument"),
        ("kind", pa.string()),
        ("party", pa.string()),
        *_ints("lots ticks amount_e8"),
    ],
    "feed_latency": _ints("instrument ts_ns latency_ns"),
    "gaps": _ints("instrument kind start_ns end_ns first_lost_id last_lost_id"),
}


class TableWriter:
    """One Parquet file, in row groups of exactly ``ROW_GROUP`` rows (the last has what is left), however many rows are
    added at once. What waits for its row group lies in columns that are made at the beginning and used again."""

    def __init__(self, path: Path, fields: Sequence[tuple[str, pa.DataType]]) -> None:
        self.schema = pa.schema(list(fields))
        self.rows = 0
        self._writer = pq.ParquetWriter(path, self.schema, compression="zstd", write_statistics=False)
        self._columns = {name: np.full(ROW_GROUP, *_EMPTY[kind]) for name, kind in fields}
        self._count = 0

    def add(self, columns: Columns) -> None:
        """Append rows; the arrays are copied."""
        values = {name: np.asarray(columns[name]) for name in self._columns}
        start, count = 0, len(values[self.schema.names[0]])
        while start < count:
            taken = min(count - start, ROW_GROUP - self._count)
            for name, column in self._columns.items():
                column[self._count : self._count + taken] = values[name][start : start + taken]
            start += taken
            self._count += taken
            if self._count == ROW_GROUP:
                self._flush()
        self.rows += count

    def _flush(self) -> None:
        if self._count:
            arrays = [pa.array(self._columns[field.name][: self._count], field.type) for field in self.schema]
            self._writer.write_table(pa.Table.from_arrays(arrays, schema=self.schema))
        self._count = 0

    def close(self) -> None:
        self._flush()
        self._writer.close()


class CanonicalLog:
    """The canonical order log: rows in, one sha256 out."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._streams: dict[tuple[int, int], _Stream] = {}

    def add(self, rows: I64) -> None:
        """Append rows (n, 11) in the order of CANONICAL."""
        key = rows[:, 0] * (1 << 20) + rows[:, 1]
        for value in np.unique(key):
            name = (int(value) >> 20, int(value) & ((1 << 20) - 1))
            if name not in self._streams:
                self._streams[name] = _Stream(self._folder / f"canonical-{name[0]}-{name[1]}.tmp")
            self._streams[name].add(rows[key == value])

    def finish(self) -> str:
        """The hash; removes the scratch files."""
        digest = hashlib.sha256()
        for name in sorted(self._streams):
            self._streams[name].feed(digest)
        return digest.hexdigest()


class _Stream:
    """The rows of one account and instrument, nearly sorted by order number, in a scratch file of chunks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._waiting: list[I64] = []
        self._count = 0
        self._chunks: list[tuple[int, int, int]] = []  # rows, least and greatest order number

    def add(self, rows: I64) -> None:
        self._waiting.append(rows.copy())
        self._count += len(rows)
        if self._count >= CANONICAL_CHUNK:
            self._flush()
        elif len(self._waiting) > PIECES:
            self._waiting = [np.concatenate(self._waiting)]

    def _flush(self) -> None:
        if not self._waiting:
            return
        rows = np.concatenate(self._waiting).astype("<i8")
        self._waiting, self._count = [], 0
        self._chunks.append((len(rows), int(rows[:, 2].min()), int(rows[:, 2].max())))
        with self.path.open("ab") as file:
            file.write(rows.tobytes())

    def feed(self, digest: Any) -> None:
        """Give the rows to ``digest`` sorted by order number and sequence, then forget them."""
        self._flush()
        low: int | None = min(least for _, least, _ in self._chunks)
        while low is not None:
            low = self._feed_range(digest, low)
        self.path.unlink(missing_ok=True)

    def _feed_range(self, digest: Any, low: int) -> int | None:
        """Give the rows of the order numbers from ``low`` on, as many as fit; returns where to go on."""
        starts = sorted((least, greatest, rows) for rows, least, greatest in self._chunks if greatest >= low)
        taken, high = 0, -1
        for _, greatest, rows in starts:
            if taken and taken + rows > CANONICAL_ROWS:
                break
            taken, high = taken + rows, max(high, greatest)
        later = [max(low, least) for least, greatest, _ in starts if greatest > high]
        parts, place = [], 0
        with self.path.open("rb") as file:
            for rows, least, greatest in self._chunks:
                if greatest >= low and least <= high:
                    file.seek(place)
                    chunk = np.frombuffer(file.read(rows * _BYTES), "<i8").reshape(rows, len(CANONICAL))
                    parts.append(chunk[(chunk[:, 2] >= low) & (chunk[:, 2] <= high)])
                place += rows * _BYTES
        found = np.concatenate(parts)
        digest.update(found[np.lexsort((found[:, 3], found[:, 2]))].tobytes())
        return max(high + 1, min(later)) if later else None


class RunWriter:
    """Takes log and samples from the core while the run goes on. The loop's ``sink``."""

    def __init__(
        self,
        folder: Path,
        instruments: Sequence[Instrument],
        assets: Sequence[str],
        face: VenueFace,
        progress: Any = None,
    ) -> None:
        """``face``: the venues' words for what they refuse, and the resolution to which their private times are cut."""
        self.folder = folder
        self.face = face
        self.progress = progress
        self.tables = {name: TableWriter(folder / f"{name}.parquet", fields) for name, fields in SCHEMAS.items()}
        self.canonical = CanonicalLog(folder)
        self.orders_in_gap: dict[int, int] = {}
        self._tick = np.array([float(instrument.price_of(1)) for instrument in instruments])
        self._tick_scale = np.array([10.0**instrument.price_decimals for instrument in instruments])
        self._tick_units = np.rint(self._tick * self._tick_scale)
        self._lot = np.array([float(instrument.size_of(1)) for instrument in instruments])
        self._assets = list(assets)
        self._resolution = np.array(face.resolution_ns, np.int64)
        self._log: TextIO | None = None
        self._last_sample = -1

    # -- called by the loop

    def drain(self, core: Core, final: bool) -> None:
        """Write what the core has gathered; ``final`` at the end of the run."""
        if final:
            self._take_samples(core.drain_samples())  # which may have one of this very instant
            if self._last_sample != core.now:
                core.sample_accounts(core.now)
        self._take_log(core.drain_log(final))
        self._take_samples(core.drain_samples())
        self._take_transfers(core)

    def window(self, now_ns: int) -> None:
        """A window of a feed has been used up."""
        pa.default_memory_pool().release_unused()  # it would keep what the largest window so far has needed
        if self.progress is not None:
            self.progress.update(now_ns)

    def log(self, lane: int, now_ns: int, message: str, values: Mapping[str, object]) -> None:
        """One line of a strategy's own log."""
        if self._log is None:
            self._log = (self.folder / "log.jsonl").open("w", encoding="utf-8")
        self._log.write(json.dumps({"ts_ns": now_ns, "lane": lane, "message": message, **values}, default=str) + "\n")

    def close(self) -> None:
        """Finish every file."""
        for table in self.tables.values():
            table.close()
        if self._log is not None:
            self._log.close()

    # -- the log

    def _take_log(self, log: Columns) -> None:
        if not len(log["event"]):
            return
        event = log["event"]
        resolution = self._resolution[log["market"]]
        stamped = log["ts_event_ns"] - log["ts_event_ns"] % resolution
        columns = {**log, "ts_event_ns": stamped, "instrument": log["market"]}
        funding = event == EV_FUNDING
        self._take_funding({name: columns[name][funding] for name in columns})
        if funding.any():
            columns = {name: values[~funding] for name, values in columns.items()}
        if len(columns["event"]):
            timeless = self.face.timeless[columns["market"], columns["event"]]
            said = {**columns, "ts_event_ns": np.where(timeless, 0, columns["ts_event_ns"])}
            self.canonical.add(np.stack([said[name] for name in CANONICAL], axis=1))
            self._take_orders(columns)
            done = np.isin(columns["event"], (EV_FILLED, EV_LIQUIDATED, EV_ADL))
            self._take_fills({name: values[done] for name, values in columns.items()})

    def _take_funding(self, rows: Columns) -> None:
        if len(rows["event"]):
            self.tables["funding"].add(
                {
                    **rows, "boundary_ns": rows["ts_event_ns"], "booked_ns": rows["ts_sent_ns"],
                    "rate_e12": rows["queue_front_micro"], "mark_e8": rows["ticks"], "position_lots": rows["lots"],
                    "payment_e8": rows["fee_e8"],
                }
            )  # fmt: skip

    def _take_orders(self, rows: Columns) -> None:
        style = rows["style"]
        front = rows["queue_front_micro"]
        self.tables["orders"].add(
            {
                **rows, **self.face.columns(rows), "tif": style & 7, "type": (style >> 3) & 1, "flags": style >> 4,
                "queue_front": _front_lots(front),
            }
        )  # fmt: skip

    def _take_fills(self, rows: Columns) -> None:
        if not len(rows["event"]):
            return
        market = rows["market"]
        price = rows["ticks"] * self._tick_units[market] / self._tick_scale[market]
        self.tables["fills"].add(
            {
                **rows, "price": price, "size": rows["lots"] * self._lot[market],
                "queue_front_lots": _front_lots(rows["queue_front_micro"]),
            }
        )  # fmt: skip

    def _take_transfers(self, core: Core) -> None:
        """What liquidations and deleveraging moved, both sides of each booking."""
        if core.transfers:
            names = [name for name, _ in SCHEMAS["transfers"]]
            columns = zip(*core.transfers, strict=True)
            self.tables["transfers"].add({name: np.array(c) for name, c in zip(names, columns, strict=True)})
            core.transfers = []

    # -- the samples

    def _take_samples(self, samples: Mapping[str, Sequence[tuple[int, ...]]]) -> None:
        bbo = _matrix(samples["bbo"], 5)
        if len(bbo):
            names = ("ts_ns", "instrument", "bid_ticks", "ask_ticks", "mark_e8")
            self.tables["bbo"].add({name: bbo[:, k] for k, name in enumerate(names)})
        accounts = _matrix(samples["accounts"], 7)
        if len(accounts):
            self._last_sample = int(accounts[-1, 0])
            ts, lane, account, asset, wallet, equity, maintenance = accounts.T
            ratio = np.divide(maintenance, equity, out=np.full(len(ts), np.nan), where=equity > 0)
            self.tables["equity"].add(
                {
                    "lane": lane, "account": account, "asset": np.array(self._assets, object)[asset], "ts_ns": ts,
                    "wallet_e8": wallet, "unrealized_e8": equity - wallet, "equity_e8": equity,
                    "maintenance_e8": maintenance, "margin_ratio": np.where(maintenance == 0, 0.0, ratio),
                }
            )  # fmt: skip
        positions = _matrix(samples["positions"], 5)
        if len(positions):
            names = ("ts_ns", "lane", "instrument", "position_lots", "mark_e8")
            self.tables["positions"].add({name: positions[:, k] for k, name in enumerate(names)})


def _front_lots(micro: I64) -> npt.NDArray[np.float64]:
    """The queue ahead in lots; not a number where it was not known (best-quote-only feeds)."""
    return np.where(micro < 0, np.nan, micro / 1e6)


def _matrix(rows: Sequence[tuple[int, ...]], width: int) -> I64:
    return np.array(rows, np.int64).reshape(len(rows), width)


# -- files around it


def new_folder(out: Path, run_id: str) -> Path:
    """A new folder ``out/run_id``, with a number at its end if that is taken."""
    for number in range(1, 10_000):
        folder = out / (run_id if number == 1 else f"{run_id}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise InputError(f"cannot be made: {error.strerror}", source=str(folder)) from None
        return folder
    raise InputError("has 9,999 run folders of this name: move some away", source=str(out / run_id))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """JSON with sorted keys left in their given order, one value a line, ints as ints."""
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, default=str) + "\n", encoding="utf-8")


def code_sha256(root: Path) -> str:
    """sha256 over every source file of the four packages (relative path and content), in order of paths."""
    digest = hashlib.sha256()
    for package in ("matching", "recorders", "sim", "venues"):
        for path in sorted((root / package).rglob("*.p*")):
            if path.suffix in (".py", ".pxd"):
                content = path.read_bytes()
                digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode())
                digest.update(content)
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """sha256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
