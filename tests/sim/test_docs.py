"""The strategies of the documentation run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from recorders.events import CSV_COLUMNS
from sim.compiling import prepared
from sim.demo import prepare_demo
from sim.loading import load_class
from sim.runfolder import SCHEMAS
from sim.strategy import Strategy
from tests.sim.markets import random_tape, run

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/strategies.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_pages_strategies_trade(tmp_path: Path) -> None:
    assert len(BLOCKS) == 2
    for number, (block, name) in enumerate(zip(BLOCKS, ("Joiner", "TypedJoiner"), strict=True)):
        file = tmp_path / f"documented_{number}.py"
        file.write_text(block)
        kind = load_class(f"{file}:{name}", tmp_path, "test")
        result = run(kind(lots=2), random_tape(3, 500), tmp_path)
        assert result.summary["fills"] > 3, name
        prepared(block, file.name)


def test_every_callback_is_on_the_page() -> None:
    callbacks = {name for name in vars(Strategy) if name.startswith("on_")}
    assert callbacks == set(re.findall(r"`(on_\w+)\(", PAGE.split("## The order")[0]))


def test_the_tables_columns_are_on_their_page() -> None:
    page = (ROOT / "docs/run-folder.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)\.parquet` \| [^|]+ \| ([^|]+) \|$", page, re.MULTILINE))
    assert {name: columns.split() for name, columns in rows.items()} == {
        name: [field for field, _ in fields] for name, fields in SCHEMAS.items()
    }


def test_the_page_on_recordings_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs/data.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    demo = prepare_demo(tmp_path)
    demo.lake.rename(tmp_path / "lake")
    monkeypatch.chdir(tmp_path)
    known: dict[str, Any] = {"run_folder": tmp_path / "fills.parquet"}
    exec(compile(blocks[0], "data.md", "exec"), known)
    trades = known["market"].trades()
    bare = trades.select("ts_event_ns", "side", "ticks", "lots").head(20)
    bare.write_parquet(tmp_path / "fills.parquet")
    for block in blocks[1:]:
        exec(compile(block, "data.md", "exec"), known)
    assert known["volume"] == trades["lots"].sum() == known["minutes"]["lots"].sum()
    assert known["books"]["valid"].all() and len(known["fills"]) == 20
    for name in ("trades", "depth", "quotes", "marks", "funding", "liquidations", "orders", "messages"):
        row = re.search(rf"^\| `{name}` \| [^|]+ \| ([^|]+) \|$", page, re.MULTILINE)
        assert row is not None and known["market"].table(name).columns[4:] == row.group(1).split()
    assert " ".join(known["minutes"].columns) in " ".join(page.split())
    assert " ".join(CSV_COLUMNS[:10]) in " ".join(page.split())
