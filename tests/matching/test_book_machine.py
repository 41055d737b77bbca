"""The kernel's books against a dict oracle: see `machines.py`."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from matching.codes import BBO, BUY, DEPTH, SELL, SNAPSHOT
from tests.matching.cases import START_NS, Message
from tests.matching.machines import BookMachine, BookOracle

BookMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestBook = BookMachine.TestCase


def message(kind: int, ref: int, *rows: tuple[int, int, int]) -> Message:
    return Message(START_NS, START_NS, kind, ref, rows)


def test_oracle_reads_the_rules_as_written() -> None:
    """A worked example, so that the oracle itself is held to something."""
    book = BookOracle()
    book.apply(message(DEPTH, 1, (BUY, 99, 1)))
    assert book.rows() == []  # before the first snapshot
    book.apply(message(SNAPSHOT, 5, (BUY, 99, 5), (BUY, 98, 4), (SELL, 101, 3)))
    book.apply(message(BBO, 9, (BUY, 98, 2), (SELL, 102, 1)))
    assert book.rows() == [(BUY, 98, 2), (SELL, 102, 1)]
    book.apply(message(DEPTH, 8, (BUY, 99, 7), (BUY, 97, 6), (SELL, 103, 2), (SELL, 102, 9)))
    assert book.rows() == [(BUY, 97, 6), (BUY, 98, 2), (SELL, 102, 1), (SELL, 103, 2)]
    book.apply(message(DEPTH, 10, (BUY, 98, 0), (SELL, 102, 9)))
    assert book.rows() == [(BUY, 97, 6), (SELL, 102, 9), (SELL, 103, 2)]
