"""What is kept: importers of recordings, the normalised lake, tables of marks, funding rates and margin brackets.

    import_captures(files, lake)     captured lines of any venue -> lake; a report of recordings and instruments
    import_columns(folder, lake, i)  plain event columns -> lake
    Lake(path).source(...)           a feed in windows, from any instant, for the kernels
    Lake(path).market(...)           a slice for research: frames, books, bars, own fills
    load_funding_table(path) ...     tables that a run is given

Names are imported on first use, so that ``import recorders`` does not pay for Parquet.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

import matching  # noqa: F401  # its finder chooses between compiled modules and their .py files

if TYPE_CHECKING:
    from recorders.access import Market
    from recorders.captures import import_captures
    from recorders.columns import import_columns
    from recorders.lake import Lake
    from recorders.report import RecordingReport
    from recorders.tables import load_brackets, load_funding_table, load_mark_table

_HOMES: Final = {
    "import_captures": "recorders.captures",
    "import_columns": "recorders.columns",
    "Lake": "recorders.lake",
    "Market": "recorders.access",
    "RecordingReport": "recorders.report",
    "load_brackets": "recorders.tables",
    "load_funding_table": "recorders.tables",
    "load_mark_table": "recorders.tables",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'recorders' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


__all__ = [
    "Lake",
    "Market",
    "RecordingReport",
    "import_captures",
    "import_columns",
    "load_brackets",
    "load_funding_table",
    "load_mark_table",
]
