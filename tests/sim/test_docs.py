"""The strategies of the documentation run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

from sim.compiling import prepared
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
