"""``perpsim fuzz``: campaigns at the venues, a line each, and the counterexample of the first failure as a test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sim.fuzz.setups import SETUPS
from venues.errors import InputError


def run_campaigns(
    venues: Sequence[str], steps: int, seed: int, out: Path | None, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """One campaign a venue; returns a row each. Raises ``InputError`` for a venue without a setup."""
    try:
        from sim.fuzz.machine import Tally
    except ImportError as error:  # hypothesis is a test dependency
        raise InputError('needs Hypothesis: pip install "perpsim[test]"', source="perpsim fuzz") from error
    unknown = [name for name in venues if name not in SETUPS]
    if unknown:
        raise InputError(f"no such venue; known are {', '.join(SETUPS)}", source=f"--venue {unknown[0]}")
    rows = []
    for name in venues or SETUPS:
        tally = Tally(name)
        row = _campaign(tally, steps, seed, out, say)
        counts = f"{row['steps']:>8} steps {row['events']:>8} events {row['sessions']:>5} sessions"
        say(f"{name:14} {counts}  {row['result']}")
        rows.append(row)
    return rows


def _campaign(tally: Any, steps: int, seed: int, out: Path | None, say: Callable[[str], None]) -> dict[str, Any]:
    from sim.fuzz.machine import as_test, campaign

    result, ok = "nothing found", True
    try:
        campaign(tally, steps, seed)
    except Exception as error:
        result, ok = f"{type(error).__name__}: {error}".splitlines()[0], False
        text = as_test(tally, error)
        if out is None:
            say(text)
        else:
            out.write_text(text, encoding="utf-8")
            say(f"counterexample written to {out}")
    return {
        "venue": tally.venue, "ok": ok, "steps": tally.steps, "events": tally.events, "sessions": tally.examples,
        "result": result,
    }  # fmt: skip
