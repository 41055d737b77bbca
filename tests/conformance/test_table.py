"""docs/conformance.md names a test in every row, and every test here has its row."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/conformance.md").read_text(encoding="utf-8")
HEADS = ("scenario", "---")


def rows() -> list[list[str]]:
    """The cells of every row of the page's tables, heads left out."""
    found = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")
    ]
    return [cells for cells in found if cells[0] not in HEADS]


def names_of(pattern: str) -> set[str]:
    names = set()
    for path in sorted(ROOT.glob(pattern)):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    return {name for name in names if name.startswith("test_")}


def test_every_row_is_whole_and_names_a_test_that_exists() -> None:
    existing = names_of("tests/**/test_*.py")
    assert len(rows()) > 30
    for cells in rows():
        assert len(cells) == 5 and all(cells), cells
        named = re.findall(r"`(test_\w+)`", cells[4])
        assert named and set(named) <= existing, cells


def test_every_scenario_is_on_the_page() -> None:
    named = {name for cells in rows() for name in re.findall(r"`(test_\w+)`", cells[4])}
    for file in ("fills", "margin", "runs"):
        assert names_of(f"tests/conformance/test_{file}.py") <= named


def test_a_row_says_who_and_which_version() -> None:
    """A failure of others is measured, read, reported or documented, and of a version that the page names."""
    how = re.compile(r"measured|read|#\d+|default|documented|at all|any engine")
    for cells in rows():
        assert how.search(cells[3]), cells
    assert re.search(r"hftbacktest 2\.\d+\.\d+; NautilusTrader 1\.221\.0", PAGE)
