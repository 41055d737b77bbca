"""Captured lines: order, what counts as displaced, several files at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorders import lines as lines_module
from recorders.lines import displaced, merged_lines, open_files

NS = 1_700_000_000_000_000_000


def _write(path: Path, times: list[int]) -> Path:
    path.write_bytes(b"".join(b'%d {"n":%d}\n' % (NS + t, t) for t in times))
    return path


def test_swapped_lines_are_the_two_that_stand_wrong() -> None:
    assert displaced(np.array([1, 2, 3, 4])) == set()
    assert displaced(np.array([1, 3, 2, 4])) == {1, 2}
    assert displaced(np.array([1, 6, 3, 4, 5, 2, 7])) == {1, 5}


def test_one_line_far_from_its_place_is_one() -> None:
    assert displaced(np.array([1, 9, 2, 3, 4, 5, 6, 7, 8])) == {1}


@given(st.lists(st.integers(0, 50), max_size=60))
def test_what_is_not_displaced_is_in_order(times: list[int]) -> None:
    wrong = displaced(np.array(times, np.int64))
    rest = [t for k, t in enumerate(times) if k not in wrong]
    assert rest == sorted(rest)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=80), st.integers(1, 10))
def test_lines_come_by_receive_time(tmp_path_factory: pytest.TempPathFactory, times: list[int], cuts: int) -> None:
    folder = tmp_path_factory.mktemp("lines")
    parts = [times[k::cuts] for k in range(cuts)]
    files = open_files([_write(folder / f"{k}", part) for k, part in enumerate(parts) if part])
    got = [line.recv_ns - NS for line in merged_lines(files)]
    assert sorted(got) == sorted(times)
    assert sum(file.lines for file in files) == len(times)
    if cuts == 1:
        assert got == sorted(times)


def test_files_whose_times_overlap_are_merged(tmp_path: Path) -> None:
    files = open_files([_write(tmp_path / "b", [2, 4, 6, 8]), _write(tmp_path / "a", [1, 3, 5, 7, 9])])
    assert [file.name for file in files] == ["a", "b"]
    assert [line.recv_ns - NS for line in merged_lines(files)] == list(range(1, 10))


def test_order_is_restored_within_the_horizon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "HORIZON_LINES", 50)
    times = list(range(400))
    for a, b in ((20, 60), (101, 148), (333, 301)):
        times[a], times[b] = times[b], times[a]
    (file,) = open_files([_write(tmp_path / "x", times)])
    assert [line.recv_ns - NS for line in merged_lines([file])] == list(range(400))
    assert sorted(p.line for p in file.problems.named) == [21, 61, 102, 149, 302, 334]


def test_a_line_that_says_where_it_belongs(tmp_path: Path) -> None:
    (file,) = open_files([_write(tmp_path / "x", [0, 2, 1, 3])])
    list(merged_lines([file]))
    assert [str(p) for p in file.problems.named] == [
        "x:3: out of order by receive time, restored: it belongs before line 2",
        "x:2: out of order by receive time, restored: it belongs before line 4",
    ]
