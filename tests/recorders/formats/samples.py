"""Made-up samples of the formats, for their tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from recorders.formats.registry import import_files
from recorders.formats.request import Request
from recorders.lake import Lake
from recorders.report import ImportReport
from venues.errors import InputError

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


def load(folder: Path, *paths: Path, name: str | None = None, **options: Any) -> ImportReport:
    """Import files into ``folder/lake`` and check that the lake verifies."""
    found, report = import_files(name, Request(paths, folder / "lake", **options))
    assert name in (None, found)
    files = Lake(folder / "lake").verify() if report.recordings else []
    problems = [problem for entry in files for problem in entry["problems"]]
    assert [problem for problem in problems if "crossed" not in problem] == []
    return report


Edit = tuple[int, int, bytes]
edits: st.SearchStrategy[list[Edit]] = st.lists(
    st.tuples(
        st.integers(0, 4000),
        st.integers(0, 30),
        st.binary(max_size=12) | st.sampled_from((b"\n", b",", b"9" * 19, b"-1", b"1e400", b"nan", b'"', b"{}")),
    ),
    min_size=1,
    max_size=6,
)


def mangled(content: bytes, changes: list[Edit]) -> bytes:
    """Content with some bytes replaced."""
    for place, length, new in changes:
        here = place % max(1, len(content))
        content = content[:here] + new + content[here + length :]
    return content


def ends_well(name: str, *files: Path, **options: Any) -> None:
    """Whatever the files hold, the import ends in a report and a lake that verifies, or in an ``InputError``."""
    folder = files[0].parent
    try:
        report = load(folder, *files, name=name, **options)
    except InputError as error:
        assert error.source
        return
    assert len(report.files) == len(files)
