"""Venues' published examples and recorded results, each computed by the simulator's own code."""

from __future__ import annotations

import pytest

from tests.golden import cases, table
from tests.golden.cases import Case

ALL = cases.all_cases()


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.label)
def test_the_simulator_gives_the_venues_figure(case: Case) -> None:
    """To the last digit given; a figure that differs is stated with its reason and must keep differing."""
    wanted = cases.number_of(case["expect"])
    found = cases.answer(case)
    if case.differs:
        assert found == cases.number_of(case["ours"])
        assert found != wanted, "no longer differs: take the note away"
    else:
        assert found == wanted, case["source"]


def test_every_case_says_where_it_comes_from() -> None:
    for case in ALL:
        assert case["evidence"] in cases.EVIDENCE, case.label
        assert case["kind"] in cases.ASK, case.label
        assert len(case["source"]) > 8, case.label
        assert case.differs == ("ours" in case.fields), case.label
    labels = [case.label for case in ALL]
    assert len(set(labels)) == len(labels)


def test_the_page_and_the_heads_of_the_files_are_up_to_date() -> None:
    """Otherwise: python -m tests.golden.table"""
    assert table.PAGE.read_text(encoding="utf-8") == table.page()
    for venue in cases.venues():
        assert (cases.FOLDER / f"{venue}.toml").read_text(encoding="utf-8") == table.with_head(venue)
