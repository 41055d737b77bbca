"""``perpsim bench load``: how fast the same events come off the disk in several forms, in one run.

    lake          day files of the lake, decoded (the hot cache switched off)
    hot           the lake's hot cache, mapped and checked
    npz           hftbacktest's rows of 64 bytes in a compressed .npz, loaded with numpy (what its reader does)
    npz_raw       the same uncompressed
    csv_gz        a gzipped CSV of decimal prices and sizes, read with polars into typed columns
    json_lines    one JSON object a message as cryptofeed's file back end writes them, each line decoded with msgspec

All files are made from one feed first, then every form is read in a process of its own on one core, the files being in
the page cache (each is read once before the clock starts). ``events`` are rows: level changes and prints. The lake's
two give windows a kernel runs on as they are; the others stop at their own form, so what a simulation still has to do
with them (integers, messages, order) is not in their time.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from matching.codes import SNAPSHOT, TRADE
from recorders.lake import Lake
from sim.bench import feeds, runner
from sim.bench.tasks import CLOCK, cpu_seconds

FORMS: Final = ("lake", "hot", "npz", "npz_raw", "csv_gz", "json_lines")
# hftbacktest's event flags and row (hftbacktest.readthedocs.io, "Data").
EXCHANGE_AND_CLIENT: Final = (1 << 31) | (1 << 30)
BUY_FLAG, SELL_FLAG = 1 << 29, 1 << 28
DEPTH_EVENT, TRADE_EVENT, SNAPSHOT_EVENT = 1, 2, 4
EVENT: Final = np.dtype(
    [
        ("ev", "<u8"),
        ("exch_ts", "<i8"),
        ("local_ts", "<i8"),
        ("px", "<f8"),
        ("qty", "<f8"),
        ("order_id", "<u8"),
        ("ival", "<i8"),
        ("fval", "<f8"),
    ]
)
FILES: Final = {"npz": "feed.npz", "npz_raw": "feed-raw.npz", "csv_gz": "feed.csv.gz", "json_lines": "feed.jsonl"}


def run_load(feed: str | Path | None, cache: str | Path | None, repeats: int, say: runner.Say) -> dict[str, Any]:
    """Make the files, read them all, and return one JSON-ready dict: events a second by form, then the measurements."""
    place = Path(cache) if cache else runner.default_cache()
    place.mkdir(parents=True, exist_ok=True)
    folder = Path(feed).resolve() if feed else runner.own_feed(place, say)
    measured: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=place, prefix="load-") as temporary, runner.one_core() as core:
        work = Path(temporary)
        say("writing the feed in all forms")
        feeds.lake_of(folder, work / "lake")
        write_forms(work)
        for form in FORMS:
            say(f"reading {form}")
            command = [sys.executable, "-m", "sim.bench.load", form, str(work), "--repeats", str(repeats)]
            (measured[form],) = runner.run_lines(command, f"reading {form}")
    by_cpu = {form: round(one["events"] / one["cpu_s"]) for form, one in measured.items()}
    return {
        "events_per_s": by_cpu,
        "hot_vs": {form: round(by_cpu["hot"] / by_cpu[form], 1) for form in FORMS if form != "hot"},
        "lake_vs": {form: round(by_cpu["lake"] / by_cpu[form], 1) for form in FORMS if form != "lake"},
        "feed": {"path": str(folder), "rows": feeds.rows_of(folder)},
        "core": core,
        "measured": measured,
    }


def write_forms(work: Path) -> None:
    """The lake's feed in the other forms, beside it."""
    source = feeds.MemoryFeed(Lake(work / "lake", hot=False).source(feeds.VENUE, feeds.SYMBOL)).whole
    instrument = feeds.instrument()
    tick, lot = float(instrument.tick_size), float(instrument.lot_size)
    counts = np.diff(source.row_start)
    kind = np.repeat(source.kind, counts)
    event, recv = np.repeat(source.ts_event, counts), np.repeat(source.ts_recv, counts)
    price, size = np.round(source.px_ticks * tick, 8), np.round(source.qty_lots * lot, 8)
    rows = np.zeros(len(kind), EVENT)
    what = np.where(kind == TRADE, TRADE_EVENT, np.where(kind == SNAPSHOT, SNAPSHOT_EVENT, DEPTH_EVENT))
    rows["ev"] = what | EXCHANGE_AND_CLIENT | np.where(source.side == 0, BUY_FLAG, SELL_FLAG)
    rows["exch_ts"], rows["local_ts"], rows["px"], rows["qty"] = event, recv, price, size
    np.savez_compressed(work / FILES["npz"], data=rows)
    np.savez(work / FILES["npz_raw"], data=rows)
    _write_csv(work / FILES["csv_gz"], event, recv, kind, source.side, price, size)
    _write_json_lines(work / FILES["json_lines"], source, price, size)


def _write_csv(path: Path, event: Any, recv: Any, kind: Any, side: Any, price: Any, size: Any) -> None:
    import polars as pl

    columns = {"exch_ts": event, "local_ts": recv, "kind": kind, "side": side, "price": price, "size": size}
    with gzip.open(path, "wb", compresslevel=6) as stream:
        stream.write(pl.DataFrame(columns).write_csv().encode())


def _write_json_lines(path: Path, source: Any, price: Any, size: Any) -> None:
    starts, kinds, sides = source.row_start.tolist(), source.kind.tolist(), source.side.tolist()
    events, recvs, refs = source.ts_event.tolist(), source.ts_recv.tolist(), source.ref.tolist()
    prices, sizes = price.tolist(), size.tolist()
    with path.open("w", encoding="utf-8") as stream:
        for j, kind in enumerate(kinds):
            about = {"exchange": "NEUTRAL", "symbol": "BTC-USDT-PERP"}
            times = {"timestamp": events[j] / 1e9, "receipt_timestamp": recvs[j] / 1e9}
            first, stop = starts[j], starts[j + 1]
            bodies: list[dict[str, Any]] = []
            if kind == TRADE:
                for r in range(first, stop):
                    side = "sell" if sides[r] else "buy"
                    bodies.append({"side": side, "amount": sizes[r], "price": prices[r], "id": refs[j]})
            else:
                both: dict[str, list[Any]] = {"bid": [], "ask": []}
                for r in range(first, stop):
                    both["ask" if sides[r] else "bid"].append([prices[r], sizes[r]])
                bodies.append({"book" if kind == SNAPSHOT else "delta": both, "sequence_number": refs[j]})
            for body in bodies:
                stream.write(json.dumps({**about, **body, **times}) + "\n")


# -- reading: everything in, nothing done with it; each returns the number of events


def _read_lake(work: Path, hot: bool) -> int:
    source = Lake(work / "lake", hot=hot).source(feeds.VENUE, feeds.SYMBOL)
    count = 0
    while (window := source.next_window()) is not None:
        count += window.rows
    return count


def _read_npz(path: Path) -> int:
    with np.load(path) as stored:
        return len(stored["data"])


def _read_csv(path: Path) -> int:
    import polars as pl

    integers = {"exch_ts": pl.Int64, "local_ts": pl.Int64, "kind": pl.UInt8, "side": pl.UInt8}
    return len(pl.read_csv(path, schema_overrides={**integers, "price": pl.Float64, "size": pl.Float64}))


def _read_json_lines(path: Path) -> int:
    import msgspec

    decode = msgspec.json.Decoder().decode
    count = 0
    with path.open("rb") as stream:
        for line in stream:
            message = decode(line)
            both = message.get("delta") or message.get("book")
            count += len(both["bid"]) + len(both["ask"]) if both else 1
    return count


READERS: Final[dict[str, Callable[[Path], int]]] = {
    "lake": lambda work: _read_lake(work, hot=False),
    "hot": lambda work: _read_lake(work, hot=True),
    "npz": lambda work: _read_npz(work / FILES["npz"]),
    "npz_raw": lambda work: _read_npz(work / FILES["npz_raw"]),
    "csv_gz": lambda work: _read_csv(work / FILES["csv_gz"]),
    "json_lines": lambda work: _read_json_lines(work / FILES["json_lines"]),
}


def read_form(form: str, work: Path, repeats: int) -> dict[str, Any]:
    """Read a form ``repeats`` times after a first time that does not count."""
    read = READERS[form]
    events = read(work)
    walls, cpus = [], []
    for _ in range(repeats):
        started, cpu = CLOCK.monotonic_ns(), cpu_seconds()
        read(work)
        walls.append((CLOCK.monotonic_ns() - started) / 1e9)
        cpus.append(cpu_seconds() - cpu)
    pattern = {"lake": "lake/*/*/*.parquet", "hot": "lake/.hot/*/*.cols"}.get(form) or FILES[form]
    size = sum(path.stat().st_blocks * 512 for path in work.glob(pattern))
    return {
        "form": form,
        "events": events,
        "wall_s": min(walls),
        "cpu_s": min(cpus),
        "bytes_per_event": round(size / max(1, events), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="read one form of a feed")
    parser.add_argument("form", choices=FORMS)
    parser.add_argument("work", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(json.dumps(read_form(options.form, options.work, options.repeats)))


if __name__ == "__main__":
    main()
