"""Plain event columns: both forms, in the order of their rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matching.codes import DEPTH, SNAPSHOT, TRADE
from recorders import columns as columns_module
from recorders.columns import import_columns, import_columns_report
from recorders.lake import Lake
from tests.recorders.captures import whole_feed
from venues import known_instrument
from venues.errors import InputError

T0 = 1_750_000_000_000_000_000
BTC = known_instrument("neutral", "BTCUSDT")


def plain(rows: list[tuple[int, int, int, int, int, int]]) -> dict[str, np.ndarray[Any, Any]]:
    """Rows (exch ms, local ms, kind, side, tick, lots) as columns of the first form."""
    table = np.array(rows, np.int64).reshape(-1, 6)
    return {
        "exch_ts": T0 + table[:, 0] * 1_000_000,
        "local_ts": T0 + table[:, 1] * 1_000_000,
        "kind": table[:, 2].astype(np.uint8),
        "side": table[:, 3].astype(np.int8),
        "px_tick": table[:, 4].astype(np.int32),
        "qty_lot": table[:, 5].astype(np.int32),
    }


def save(folder: Path, columns: dict[str, np.ndarray[Any, Any]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, column in columns.items():
        np.save(folder / f"{name}.npy", column)
    return folder


ROWS = [
    (0, 5, 4, 1, 99, 10),
    (0, 5, 4, -1, 101, 20),
    (3, 6, 2, 1, 101, 5),
    (3, 6, 2, 1, 101, 6),
    (3, 7, 1, -1, 101, 9),
    (3, 7, 1, 1, 99, 0),
    (3, 7, 1, 1, 98, 4),
    (8, 9, 1, -1, 102, 4),
    (8, 10, 1, -1, 103, 4),
    (9, 10, 2, -1, 98, 4),
]


@pytest.mark.parametrize("chunk", [1, 2, 3, 1 << 20])
def test_runs_of_equal_times_and_kind_are_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(columns_module, "CHUNK_ROWS", chunk)
    folder = save(tmp_path / "feed" / "cols", plain(ROWS)).parent
    (report,) = import_columns(folder, tmp_path / "lake", BTC)
    feed = whole_feed(tmp_path / "lake", "neutral")
    assert feed.kind.tolist() == [SNAPSHOT, TRADE, DEPTH, DEPTH, DEPTH, TRADE]
    assert np.diff(feed.row_start).tolist() == [2, 2, 3, 1, 1, 1]
    assert feed.px_ticks.tolist() == [row[4] for row in ROWS] and feed.qty_lots.tolist() == [row[5] for row in ROWS]
    assert feed.side.tolist() == [0 if row[3] > 0 else 1 for row in ROWS]
    assert feed.ref.tolist() == [1, 2, 3, 4, 5, 6]
    assert (report.rows, report.messages, report.trades, report.snapshots, report.diffs) == (10, 6, 2, 1, 3)
    assert (report.latency_least_ns, report.clock_corrected) == (1_000_000, False)
    assert Lake(tmp_path / "lake").verify()[0]["problems"] == []


def test_the_tagged_form_uses_sequence_numbers_and_clears(tmp_path: Path) -> None:
    # ts, kind, action, side, px, qty, flags, seq
    rows = np.array(
        [
            (0, 0, 4, 0, 0, 0, 32, 1),
            (0, 0, 1, 1, 99, 5, 32, 1),
            (0, 0, 1, 2, 101, 6, 160, 1),
            (5, 1, 0, 2, 99, 2, 0, 1),
            (5, 1, 0, 2, 99, 1, 0, 2),
            (5, 0, 2, 1, 99, 2, 128, 2),
            (5, 0, 3, 2, 101, 0, 0, 3),
            (5, 0, 1, 2, 102, 9, 128, 3),
        ]
    )
    names = ("ts", "kind", "action", "side", "px", "qty", "flags", "seq")
    columns = {name: rows[:, k] + (T0 if name == "ts" else 0) for k, name in enumerate(names)}
    import_columns(save(tmp_path / "feed", columns), tmp_path / "lake", BTC, latency_ns=7)
    feed = whole_feed(tmp_path / "lake", "neutral")
    assert feed.kind.tolist() == [SNAPSHOT, TRADE, DEPTH, DEPTH]
    assert np.diff(feed.row_start).tolist() == [2, 2, 1, 2]
    assert feed.side.tolist() == [0, 1, 1, 1, 0, 1, 1] and feed.ref.tolist() == [1, 1, 2, 3]
    assert ((feed.ts_recv - feed.ts_event) == 7).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": (4, 9)}, r"row 4: field 'kind'"),
        ({"side": (2, 0)}, r"row 2: field 'side'"),
        ({"qty_lot": (7, -1)}, r"row 7: field 'size'"),
        ({"exch_ts": (8, T0)}, r"row 8: field 'time': goes back"),
        ({"local_ts": (9, T0)}, r"row 9: field 'receive time'"),
    ],
)
def test_rows_that_cannot_be_are_named(tmp_path: Path, change: dict[str, tuple[int, int]], message: str) -> None:
    columns = plain(ROWS)
    for name, (row, value) in change.items():
        columns[name][row] = value
    with pytest.raises(InputError, match=message):
        import_columns(save(tmp_path / "feed", columns), tmp_path / "lake", BTC)
    assert list((tmp_path / "lake").rglob("*.parquet")) == []


def test_folders_that_are_no_feed_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no event columns"):
        import_columns(tmp_path, tmp_path / "lake", BTC)
    columns = plain(ROWS)
    columns["side"] = columns["side"][:-1]
    with pytest.raises(InputError, match="differ in length"):
        import_columns(save(tmp_path / "short", columns), tmp_path / "lake", BTC)
    columns["side"] = np.zeros(10)
    with pytest.raises(InputError, match="column of integers"):
        import_columns(save(tmp_path / "float", columns), tmp_path / "lake", BTC)
    with pytest.raises(InputError, match="has no rows"):
        import_columns(save(tmp_path / "none", plain([])), tmp_path / "lake", BTC)


def test_a_time_that_goes_back_between_pieces_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns_module, "CHUNK_ROWS", 4)
    columns = plain(ROWS)
    columns["exch_ts"][4:] -= 2_000_000
    with pytest.raises(InputError, match="row 4: field 'time': goes back"):
        import_columns(save(tmp_path / "feed", columns), tmp_path / "lake", BTC)


def test_the_report_names_sources(tmp_path: Path) -> None:
    report = import_columns_report(save(tmp_path / "feed", plain(ROWS)), tmp_path / "lake", BTC)
    assert [s["name"] for s in report.files][:2] == ["exch_ts.npy", "local_ts.npy"]
    assert all(len(s["sha256"]) == 64 for s in report.files)
