"""Notebooks (percent files) run as they stand: as plain scripts on a bare clone, and to HTML pages with all outputs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))


def run(arguments: list[str], folder: Path, **more: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PERPSIM_DATA"}
    environment |= {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder), **more}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_as_a_script_on_a_bare_clone(path: Path, tmp_path: Path) -> None:
    assert run([str(path)], tmp_path).strip()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_becomes_a_page(path: Path, tmp_path: Path) -> None:
    """On recordings where they are, on the synthetic market otherwise (CI keeps the pages: PERPSIM_NOTEBOOKS)."""
    out = Path(os.environ.get("PERPSIM_NOTEBOOKS") or tmp_path / "pages").resolve()
    more = {"PERPSIM_DATA": str(DATA)} if DATA.is_dir() else {}
    run([str(ROOT / "tests/tools/notebooks.py"), str(out), str(path)], tmp_path, **more)
    page = (out / f"{path.stem}.html").read_text(encoding="utf-8")
    titles = re.findall(r"^# # (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert titles[0] in page and "Traceback (most recent call last)" not in page
    shown = path.read_text(encoding="utf-8").count("\nshow(")
    assert page.count("plotly-graph-div") >= shown, "a figure is missing"
