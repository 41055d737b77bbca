"""The kernel against its naive twin: the same random and adversarial cases must leave the same state and the same log.

Compared are, at every checkpoint, ``state_hash()`` (both books, resting orders with their queue, canonical log), every
event as its lane received it and when, every column of the whole log, and all accounts. The reference is written from
docs/fills.md, keeps its money in exact fractions and shares no rule with the kernel. ``PERPSIM_CASES=500`` sets the
number of cases a chunk (default 55, about 30,000 events); PERPSIM_PURE=1 runs the kernel uncompiled in the whole suite.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from matching import reference_venue
from tests.matching.cases import Case, run
from tests.matching.engines import kernel_engine, reference_engine
from tests.matching.shrink import shrink
from tests.matching.swarm import make_case

ROOT = Path(__file__).resolve().parents[2]
CHUNKS = 8
CASES = int(os.environ.get("PERPSIM_CASES", "55"))
ROWS = 300  # a market
UNCOMPILED_CASES = 25


def differ(case: Case) -> bool:
    """Whether kernel and reference disagree; a case that the reference itself refuses is no case."""
    try:
        expected = run(case, reference_engine(case))
    except (AssertionError, KeyError, ValueError):
        return False
    try:
        return run(case, kernel_engine(case)) != expected
    except (OverflowError, ValueError, IndexError, KeyError):
        return True


def report(case: Case) -> str:
    """A disagreement as something to work with: the smallest case that shows it, and where the logs part."""
    small = shrink(case, differ)
    expected, found = run(small, reference_engine(small)), run(small, kernel_engine(small))
    lines = [f"kernel and reference disagree on seed {case.seed}; the smallest case that shows it:", repr(small)]
    for name in ("checkpoints", "seen", "log", "accounts", "samples"):
        theirs, ours = getattr(expected, name), getattr(found, name)
        if theirs != ours:
            only = [row for row in theirs if row not in ours][:5], [row for row in ours if row not in theirs][:5]
            lines.append(f"{name}: only the reference {only[0]}, only the kernel {only[1]}")
    return "\n".join(lines)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_kernel_equals_reference(chunk: int) -> None:
    events = 0
    for seed in range(chunk * CASES, (chunk + 1) * CASES):
        case = make_case(seed, ROWS)
        events += case.events
        if run(case, kernel_engine(case)) != run(case, reference_engine(case)):
            pytest.fail(report(case), pytrace=False)
    print(f"{events:,} events in {CASES} cases agree")
    assert CASES < 55 or events >= 25_000, "the chunks are to hold 200,000 events together"


def test_uncompiled_kernel_equals_reference() -> None:
    """The same source without the compiler: another process, since the kernels of one process are never a mixture."""
    first = CHUNKS * CASES
    environment = {**os.environ, "PERPSIM_PURE": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.matching.swarm", str(first), str(UNCOMPILED_CASES), str(ROWS)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    wrong = []
    for seed, (_, digest) in enumerate(results, first):
        case = make_case(seed, ROWS)
        if run(case, reference_engine(case)).digest() != digest:
            wrong.append(seed)
    assert not wrong, f"the uncompiled kernel disagrees on seeds {wrong}; run them with PERPSIM_PURE=1"
    print(f"{sum(events for events, _ in results):,} events agree uncompiled")


def test_small_cases_agree_whatever_the_window() -> None:
    """How a feed is cut into windows changes nothing."""
    for seed in range(20):
        case = make_case(100_000 + seed, 80)
        results = {run(replace(case, window_messages=size), kernel_engine(case)) for size in (0, 1, 3, 50)}
        assert len(results) == 1, f"seed {case.seed}"


def test_lanes_do_not_feel_each_other() -> None:
    """A lane alone has the same log as among others."""
    compared = 0
    for seed in range(60):
        case = make_case(200_000 + seed, 100)
        if case.lanes == 1 or case.reacts:
            continue
        together = run(case, kernel_engine(case)).log
        for lane in range(case.lanes):
            commands = tuple(command for command in case.commands if command.lane == lane)
            alone = run(replace(case, commands=commands), kernel_engine(case)).log
            assert [row for row in together if row[0] == lane] == [row for row in alone if row[0] == lane]
            compared += 1
    assert compared > 20


def test_a_wrong_rule_is_noticed_and_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite can fail: with prints that do not advance the queue in the reference, cases disagree."""
    monkeypatch.setattr(reference_venue.VenueMarket, "_print_at", lambda self, order, lots, left: None)
    case = next(case for case in (make_case(seed, 100) for seed in range(100)) if differ(case))
    small = shrink(case, differ)
    assert differ(small)
    assert small.events < case.events / 4
