"""Made-up samples of the formats, for their tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from recorders.formats.registry import import_files
from recorders.formats.request import Request
from recorders.lake import Lake
from recorders.report import ImportReport

DAY_US = 1_700_006_400_000_000  # 2023-11-15 00:00 UTC
BTC = {"venue": "binance_usdm", "symbol": "BTCUSDT", "tick_size": "0.1", "lot_size": "0.001"}


def put(path: Path, text: str | bytes) -> Path:
    """Write a file, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def described(folder: Path, *instruments: dict[str, Any]) -> Path:
    """A file for --instrument."""
    return put(folder / "instruments.json", json.dumps(list(instruments)))


def load(folder: Path, *files: Path, name: str | None = None, **options: Any) -> ImportReport:
    """Import files into ``folder/lake`` and check that the lake verifies."""
    found, report = import_files(name, Request(files, folder / "lake", **options))
    assert name in (None, found)
    problems = [problem for entry in Lake(folder / "lake").verify() for problem in entry["problems"]]
    assert [problem for problem in problems if "crossed" not in problem] == []
    return report
