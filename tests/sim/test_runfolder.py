"""The run folder's own machinery: the canonical hash, the tables, what passes through a watched feed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sim.runfolder as module
from matching.codes import BUY, EV_AMEND_REJECTED, EV_CANCEL_REJECTED, EV_REJECTED, SELL
from sim.feeds import BoundedSource, WatchedSource, plan_rows
from sim.runfolder import CANONICAL, SCHEMAS, CanonicalLog, TableWriter, new_folder
from sim.strategy import Strategy
from tests.sim.markets import MS, T0, S, Tape, random_tape, run


def naive_hash(rows: np.ndarray) -> str:
    """The definition: sorted by account, instrument, order number, sequence; int64 little-endian; one sha256."""
    order = np.lexsort((rows[:, 3], rows[:, 2], rows[:, 1], rows[:, 0]))
    return hashlib.sha256(rows[order].astype("<i8").tobytes()).hexdigest()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 1000),
    count=st.integers(1, 800),
    blur=st.sampled_from([1, 30, 1000]),
    chunk=st.sampled_from([1, 7, 64]),
    at_once=st.sampled_from([5, 50, 100_000]),
)
def test_the_canonical_hash_is_its_definition(
    tmp_path: Path, seed: int, count: int, blur: int, chunk: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the rows arrive: in chunks, nearly sorted or not at all, for several accounts and instruments."""
    monkeypatch.setattr(module, "CANONICAL_CHUNK", chunk)
    monkeypatch.setattr(module, "CANONICAL_ROWS", at_once)
    draw = np.random.default_rng(seed)
    rows = draw.integers(-(1 << 62), 1 << 62, (count, len(CANONICAL)))
    rows[:, 0], rows[:, 1] = draw.integers(0, 3, count), draw.integers(0, 2, count)
    rows[:, 2] = np.maximum(0, np.arange(count) // 3 + draw.integers(-blur, blur + 1, count))
    rows[:, 3] = np.arange(count)
    log = CanonicalLog(tmp_path)
    for part in np.array_split(rows, min(count, 5)):
        if len(part):
            log.add(part)
    assert log.finish() == naive_hash(rows)
    assert not list(tmp_path.glob("canonical*"))


def test_a_log_that_comes_row_by_row_waits_in_few_pieces(tmp_path: Path) -> None:
    log = CanonicalLog(tmp_path)
    rows = np.arange(len(CANONICAL) * 1000).reshape(1000, -1)
    rows[:, :2] = 0
    for k in range(len(rows)):
        log.add(rows[k : k + 1])
        (stream,) = log._streams.values()
        assert len(stream._waiting) <= module.PIECES + 1
    assert log.finish() == naive_hash(rows)


def test_an_empty_log_has_the_hash_of_nothing(tmp_path: Path) -> None:
    assert CanonicalLog(tmp_path).finish() == hashlib.sha256().hexdigest()


class Quoter(Strategy):
    def on_start(self) -> None:
        self.ctx.every("40ms", self.step)

    def step(self) -> None:
        book = self.ctx.book(0)
        if book.is_valid:
            self.ctx.cancel_all()
            self.ctx.buy(0, book.best_bid_ticks, 3)
            self.ctx.sell(0, book.best_ask_ticks, 2)


def test_the_hash_is_that_of_the_orders_table(tmp_path: Path) -> None:
    result = run(Quoter(), random_tape(5, 400), tmp_path)
    names = ["account", "instrument", *CANONICAL[2:]]
    rows = result.orders.select(names).to_numpy().copy()
    refused = np.isin(rows[:, names.index("event")], (EV_REJECTED, EV_CANCEL_REJECTED, EV_AMEND_REJECTED))
    assert len(rows) > 400 and 0 < refused.sum() < len(rows)
    rows[refused, names.index("ts_event_ns")] = 0  # the wire of a refusal has no time
    assert naive_hash(rows) == result.hash
    assert result.hash == run(Quoter(), random_tape(5, 400), tmp_path).hash
    assert result.hash != run(Quoter(), random_tape(6, 400), tmp_path).hash


def test_a_known_run_has_its_known_hash(tmp_path: Path) -> None:
    """The same on every Python, machine and build; it changes only with the rules of the simulated venue."""
    assert run(Quoter(), random_tape(5, 400), tmp_path).hash == KNOWN_HASH


KNOWN_HASH = "6d36bd5604603c4478a317f1dc544a08cbd0e4087b7e57f59d7cfd1189ce7053"


def test_tables_hold_their_columns(tmp_path: Path) -> None:
    result = run(Quoter(), random_tape(5, 200), tmp_path)
    for name, fields in SCHEMAS.items():
        frame = pl.read_parquet(result.path / f"{name}.parquet")
        assert frame.columns == [field for field, _ in fields], name
    first, last = result.equity["ts_ns"].min(), result.equity["ts_ns"].max()
    assert (first, last) == (result.summary["first_ns"], result.summary["last_ns"])
    steps = result.bbo["ts_ns"].unique().sort()
    assert (steps % (100 * MS) == 0).all() and len(steps) > 20
    fills = result.fills
    assert fills["realized_e8"].sum() - fills["fee_e8"].sum() == result.summary["wallet_e8"]
    assert fills["position_lots"][-1] == result.summary["position"]


def test_row_groups_and_copies(tmp_path: Path) -> None:
    table = TableWriter(tmp_path / "t.parquet", SCHEMAS["bbo"])
    values = np.zeros(1000, np.int64)
    for k in range(200):
        values[:] = k
        table.add({name: values for name, _ in SCHEMAS["bbo"]})
    table.close()
    frame = pl.read_parquet(tmp_path / "t.parquet")
    assert frame["ts_ns"].to_list() == [k for k in range(200) for _ in range(1000)]


def test_row_groups_are_the_same_however_many_rows_come_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROW_GROUP", 100)
    rows = np.arange(1234)
    text = np.array([f"asset {k % 7}" for k in rows], object)
    values = {name: text if kind == pa.string() else rows for name, kind in SCHEMAS["equity"]}
    made = []
    for count in (1, 7, 250, 2000):
        table = TableWriter(tmp_path / f"{count}.parquet", SCHEMAS["equity"])
        for start in range(0, len(rows), count):
            table.add({name: column[start : start + count] for name, column in values.items()})
        table.close()
        assert table.rows == len(rows)
        made.append((tmp_path / f"{count}.parquet").read_bytes())
    assert len(set(made)) == 1
    metadata = pq.read_metadata(tmp_path / "1.parquet")
    assert [metadata.row_group(k).num_rows for k in range(metadata.num_row_groups)] == [100] * 12 + [34]
    assert pl.read_parquet(tmp_path / "7.parquet")["asset"].to_list() == text.tolist()


def test_run_folders_never_overwrite(tmp_path: Path) -> None:
    assert [new_folder(tmp_path, "a").name for _ in range(3)] == ["a", "a-2", "a-3"]


# -- feeds


def test_gaps_last_until_the_next_snapshot(tmp_path: Path) -> None:
    class Rests(Strategy):
        def on_start(self) -> None:
            self.ctx.at(T0 + 100 * MS, lambda: self.ctx.buy(0, 990, 1))

    tape = Tape(MS).snapshot(0).depth(500 * MS, (BUY, 990, 4)).gap(S).depth(1_100 * MS, (SELL, 1009, 3))
    tape.snapshot(3 * S).gap(4 * S).depth(5 * S, (BUY, 990, 9))
    result = run(Rests(), tape, tmp_path, windows=2)
    rows = result.gaps.select("kind", "start_ns", "end_ns", "first_lost_id", "last_lost_id").rows()
    assert rows == [(1, T0 + S, T0 + 3 * S, 7, 9), (1, T0 + 4 * S, result.summary["last_ns"], 7, 9)]
    (line,) = [line for line in result.banner if line.topic == "Gaps"]
    assert line.level == "warn" and line.text.startswith("2 gaps") and "1 own order rested through" in line.text


def test_feed_latency_is_sampled(tmp_path: Path) -> None:
    result = run(Quoter(), random_tape(2, 500), tmp_path)
    frame = pl.read_parquet(result.path / "feed_latency.parquet")
    assert 50 < len(frame) <= 501 and frame["latency_ns"].is_between(MS, 30 * MS).all()
    assert (frame["ts_ns"] // (100 * MS)).is_unique().all()


def test_a_mark_table_replaces_recorded_marks(tmp_path: Path) -> None:
    tape = Tape().snapshot(0).mark(S, 111).mark(2 * S, 222, 5, 9)
    times, marks = np.array([T0, T0 + 2 * S], np.int64), np.array([10, 20], np.int64)
    tables = {name: TableWriter(tmp_path / f"{name}.parquet", SCHEMAS[name]) for name in ("gaps", "feed_latency")}
    window = WatchedSource(tape.source(), 0, tables, (times, marks)).next_window()
    assert window is not None
    assert window.aux[:, 0].tolist() == [10, 20] and window.aux[1, 2:].tolist() == [5, 9]


def test_bounded_sources() -> None:
    tape = random_tape(1, 300)
    whole = tape.window()
    source = BoundedSource(tape.source(50), T0 + S, T0 + 3 * S)
    found = []
    while (window := source.next_window()) is not None:
        window.check()
        found += window.ts_event.tolist()
    assert found == [ts for ts in whole.ts_event.tolist() if T0 + S <= ts < T0 + 3 * S]


def test_plan_rows_put_the_mark_before_the_funding_of_one_instant() -> None:
    marks = (np.array([10, 20], np.int64), np.array([1, 2], np.int64))
    ts, kind, a, b = plan_rows(marks, [(20, 7, 0), (15, 6, 3)])
    assert (ts.tolist(), kind.tolist()) == ([10, 15, 20, 20], [5, 6, 5, 6])
    assert (a.tolist(), b.tolist()) == ([1, 6, 2, 7], [0, 3, 0, 0])
    assert all(len(column) == 0 for column in plan_rows(None, []))
