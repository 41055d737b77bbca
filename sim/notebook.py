"""What the notebooks share: where their recordings are, and how a figure is shown.

Notebooks run as they stand on a bare clone (on the synthetic market) and better where recordings are at hand: in the
folder that the environment variable ``PERPSIM_DATA`` names.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

DATA_VARIABLE: Final = "PERPSIM_DATA"
PLOTLY: Final[dict[str, Any]] = {"include_plotlyjs": True}


def recordings(names: Mapping[str, Sequence[str]]) -> dict[str, list[Path]]:
    """Those of the named recordings whose files are all there: ``{name: files below the data folder}``."""
    folder = os.environ.get(DATA_VARIABLE)
    if not folder:
        return {}
    found = {name: [Path(folder) / file for file in files] for name, files in names.items()}
    return {name: files for name, files in found.items() if all(file.exists() for file in files)}


def show(figure: Figure, title: str, height: int = 420) -> None:
    """Show a figure in the notebook, self-contained (the first one brings plotly's script along); in a plain script,
    say what would be shown."""
    figure.update_layout(
        title=title, height=height, template="plotly_white", margin={"l": 60, "r": 20, "t": 50, "b": 50}
    )
    if "ipykernel" not in sys.modules:
        print(f"figure: {title}")
        return
    shell: Any = importlib.import_module("IPython.display")
    page = figure.to_html(full_html=False, include_plotlyjs=PLOTLY["include_plotlyjs"])
    PLOTLY["include_plotlyjs"] = False
    shell.display(shell.HTML(page))
