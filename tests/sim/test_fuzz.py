"""Random sessions at every venue, all money recomputed; and that a defect is found, shortened and printed as a test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sim.fuzz import checker, machine
from sim.fuzz.commands import run_campaigns
from sim.fuzz.machine import Tally, campaign
from sim.fuzz.setups import SETUPS
from venues import card_names
from venues.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
STEPS = 5_000


@pytest.mark.parametrize("venue", SETUPS)
def test_random_sessions_keep_every_promise(venue: str) -> None:
    tally = Tally(venue)
    campaign(tally, STEPS)
    assert tally.steps >= STEPS
    assert tally.events > STEPS // 20, "sessions in which nothing happens prove nothing"


def test_every_venue_has_a_setup() -> None:
    assert set(SETUPS) == set(card_names()) - {"neutral"}


def break_realized(monkeypatch: pytest.MonkeyPatch) -> None:
    """The books forget a unit of every realised profit."""
    honest = checker.Holding.fill

    def dishonest(holding: checker.Holding, contract: checker.Contract, side: int, ticks: int, lots: int) -> int:
        closing = holding.lots and (holding.lots > 0) == bool(side)
        return honest(holding, contract, side, ticks, lots) + (1 if closing else 0)

    monkeypatch.setattr(checker.Holding, "fill", dishonest)


def broken_campaign(script: str) -> None:
    """A campaign against books that are wrong, for a process of its own; prints its rows."""
    break_realized(pytest.MonkeyPatch())
    print(json.dumps(run_campaigns(["binance_usdm"], 1_000, 0, Path(script), lambda line: None)))


def test_a_defect_is_found_shortened_and_printed_as_a_test(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "test_found.py"
    code = f"from tests.sim.test_fuzz import broken_campaign; broken_campaign({str(script)!r})"
    campaign = subprocess.run(  # Hypothesis draws constants of all modules that are loaded: here, whatever ran before
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    rows = json.loads(campaign.stdout.splitlines()[-1])
    break_realized(monkeypatch)
    assert [row["ok"] for row in rows] == [False]
    assert "realized_e8 recomputed" in rows[0]["result"]
    text = script.read_text(encoding="utf-8")
    assert text.count("    world.") <= 8, "the shortest session is a position opened and reduced"
    scope: dict[str, object] = {}
    exec(compile(text, str(script), "exec"), scope)  # the printed test fails here, where the defect is ...
    with pytest.raises(checker.ViolationError):
        scope["test_counterexample_at_binance_usdm"]()  # type: ignore[operator]
    done = subprocess.run(  # ... and passes in a process without it
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(script)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_unknown_venue_is_refused() -> None:
    with pytest.raises(InputError, match="known are binance_usdm"):
        run_campaigns(["nowhere"], 1, 0, None, print)


def test_steps_that_are_needed_by_each_other_alone_are_left_out_together(monkeypatch: pytest.MonkeyPatch) -> None:
    def outcome(venue: str, script: list[machine.Step]) -> tuple[int, Exception] | None:
        names = [name for name, _, _ in script]
        fails = "fault" in names and ("up" in names) == ("down" in names)
        return (len(script) - 1, ValueError("broken")) if fails else None

    monkeypatch.setattr(machine, "outcome", outcome)
    script: list[machine.Step] = [(name, (), {}) for name in ("up", "calm", "down", "fault")]
    found, error = machine.shortened("binance_usdm", script, ValueError("broken"))
    assert [name for name, _, _ in found] == ["fault"] and str(error) == "broken"
