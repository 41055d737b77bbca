"""Whatever bytes a capture holds, an import ends with a report and a lake that verifies; nothing else is raised."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from recorders.captures import import_captures
from recorders.lake import Lake
from tests.recorders.captures import Market, write

CLEAN = b"".join(line.text() + b"\n" for line in Market(seed=8).run(40).lines)
LINES = CLEAN.count(b"\n")

edits = st.lists(
    st.tuples(
        st.integers(0, len(CLEAN) - 1),
        st.integers(0, 40),
        st.binary(max_size=20) | st.sampled_from((b"\n", b"9" * 19, b"-")),
    ),
    min_size=1,
    max_size=12,
)


def wrong_files(lake: Path) -> list[dict[str, Any]]:
    """What verification finds wrong with the files; that changed values disagree with one another is what they are."""
    data = ("book", "quotes", "trades", "marks")
    return [one for entry in Lake(lake).verify() for one in entry["findings"] if one["check"] not in data]


@settings(max_examples=80, deadline=None)
@given(edits=edits, zipped=st.booleans())
def test_any_bytes_end_in_a_report(edits: list[tuple[int, int, bytes]], zipped: bool) -> None:
    content = gzip.compress(CLEAN, 1) if zipped else CLEAN
    for place, length, new in edits:
        at = place % len(content)
        content = content[:at] + new + content[at + length :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "capture"
        path.write_bytes(content)
        report = import_captures([path], Path(folder) / "lake")
        kinds = {
            "malformed",
            "damaged",
            "empty",
            "gap",
            "duplicate",
            "reordered",
            "snapshot_refused",
            "no_snapshot",
            "unknown_instrument",
        }
        assert set(report.problems.counts) <= kinds
        if report.recordings:
            assert wrong_files(Path(folder) / "lake") == []
        taken = sum(r.lines for r in report.recordings) + sum(report.unused.values())
        assert taken + report.problems.counts.get("malformed", 0) >= report.files[0]["lines"]


EXTREMES = (
    0,
    -1,
    1,
    (1 << 63) - 1,
    1 << 63,
    9_223_372_036_853,
    1.5,
    "",
    "0",
    "-1",
    "NaN",
    "1e400",
    "9" * 40,
    "0.05",
    None,
    [],
    {},
    True,
)


@settings(max_examples=80, deadline=None)
@given(
    changes=st.lists(
        st.tuples(st.integers(0, 300), st.integers(0, 12), st.sampled_from(EXTREMES)), min_size=1, max_size=8
    ),
    same=st.booleans(),
)
def test_any_values_end_in_a_report(changes: list[tuple[int, int, object]], same: bool) -> None:
    market = Market(seed=8).run(40)
    for place, key, value in changes:
        for k in range(place % len(market.lines), len(market.lines) if same else place % len(market.lines) + 1, 7):
            message = market.lines[k].message
            data = message.get("data", message)
            data[list(data)[key % len(data)]] = value
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "capture", market.lines)
        report = import_captures([path], Path(folder) / "lake")
        if report.recordings:
            assert wrong_files(Path(folder) / "lake") == []
        taken = sum(r.lines for r in report.recordings) + sum(report.unused.values())
        assert taken + report.problems.counts.get("malformed", 0) >= len(market.lines)
