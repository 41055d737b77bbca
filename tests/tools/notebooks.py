"""Executes the notebooks (percent files) from top to bottom and writes each as an HTML page with its outputs.

    python tests/tools/notebooks.py OUT [NOTEBOOK.py ...]      default: every file of notebooks/

A cell that raises ends it with exit code 1 and the traceback; the page up to there is written all the same.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import jupytext
import nbclient
from nbconvert import HTMLExporter

ROOT = Path(__file__).resolve().parents[2]
CELL_SECONDS = 300


def execute(source: Path, out: Path) -> Path:
    """Run one notebook in a fresh kernel of this Python, in the folder ``out``; returns the page."""
    out.mkdir(parents=True, exist_ok=True)
    notebook = jupytext.read(source)
    client = nbclient.NotebookClient(
        notebook, timeout=CELL_SECONDS, kernel_name="python3", resources={"metadata": {"path": str(out)}}
    )
    page = out / f"{source.stem}.html"
    try:
        client.execute()
    finally:
        text, _ = HTMLExporter(exclude_input_prompt=True, exclude_output_prompt=True).from_notebook_node(notebook)
        page.write_text(text, encoding="utf-8")
    return page


def main(arguments: list[str]) -> int:
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")
    out = Path(arguments[0]).resolve()
    for source in [Path(name) for name in arguments[1:]] or sorted((ROOT / "notebooks").glob("*.py")):
        print(execute(source, out), flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except nbclient.exceptions.CellExecutionError as error:
        sys.exit(f"a cell failed:\n{error}")
