"""A deep book with a mark, and what its log says of an order: for the tests of the gate and of requests."""

from __future__ import annotations

from typing import Any

from matching.codes import BUY, DEPTH, SELL, SNAPSHOT
from matching.gate import Gate
from matching.kernel import Core
from tests.matching.test_kernel_edges import Message, core_of, mark, window

MS, S, E8, E12 = 10**6, 10**9, 10**8, 10**12
DAY = 86_400 * S
END: Message = (3 * S, DEPTH, [(BUY, 900, 1)], None)
DEEP: Message = (
    1, SNAPSHOT,
    [(BUY, 1000 - k, 10) for k in range(30)] + [(SELL, 1001 + k, 10) for k in range(30)], None,
)  # fmt: skip


def deep(**more: Any) -> Core:
    """Ten lots a tick on both sides from 1000 and 1001, mark 1000; a tick of 0.01 lots is worth 0.01."""
    return core_of(window(DEEP, mark(2, 1000 * E8), END), **more)


def gate(**options: Any) -> Gate:
    return Gate().configure(tick_e8=(E8, 1), value=(10**6, 1), lot=(1, 100), **options)


def events(core: Core, number: int) -> list[tuple[int, ...]]:
    """(event, reason, ticks, lots) of an order, in order."""
    return [(row[4], row[5], row[7], row[8]) for row in core.canonical_log() if row[2] == number]


def kinds(core: Core, number: int) -> list[tuple[int, int]]:
    return [(row[0], row[1]) for row in events(core, number)]
