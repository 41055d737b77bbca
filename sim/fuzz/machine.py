"""The Hypothesis state machine over a ``World``, and the test that a counterexample is printed as.

Hypothesis draws the steps. Each is recorded as a method name of ``World`` with plain integers, so that a session which
ends in something that must not be is shortened by leaving steps out, and what is printed runs again without Hypothesis.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Final

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from matching import codes
from sim.fuzz.world import LANES, World

STEPS_A_SESSION: Final = 120
PAIRS_MAX: Final = 32  # steps of a script that is tried without every two of them
FEW_MAX: Final = 14  # and without every three and four
Step = tuple[str, tuple[Any, ...], dict[str, Any]]

lanes = st.integers(0, LANES - 1)
places = st.integers(0, 5)  # of a market, taken modulo their number
sides = st.sampled_from((codes.BUY, codes.SELL))
picks = st.integers(0, 7)


@dataclass(slots=True)
class Tally:
    """What a campaign has done: ``script`` is the session under way, at the end the shortest that fails."""

    venue: str
    session_steps: int = STEPS_A_SESSION
    steps: int = 0
    events: int = 0
    examples: int = 0
    script: list[Step] = field(default_factory=list)


class Session(RuleBasedStateMachine):
    """Random steps; what must hold is the world's business. ``tally`` is given by ``machine_of``."""

    tally: Tally
    world: World

    @initialize()
    def begin(self) -> None:
        self.tally.script = []
        self.tally.examples += 1
        self.world = World(self.tally.venue)
        self.is_sound = True

    def do(self, name: str, *values: Any, **options: Any) -> None:
        self.tally.script.append((name, values, options))
        self.is_sound = False
        getattr(self.world, name)(*values, **options)
        self.is_sound = True

    def place(self, m: int) -> int:
        return m % len(self.world.markets)

    @rule(lane=lanes, m=places, side=sides, offset=st.integers(-8, 8), lots=st.integers(1, 40),
          tif=st.sampled_from((codes.GTC, codes.GTC, codes.GTC, codes.IOC, codes.FOK, codes.GTX)),
          reduce_only=st.sampled_from((False, False, False, True)))  # fmt: skip
    def limit_order(self, lane: int, m: int, side: int, offset: int, lots: int, tif: int, reduce_only: bool) -> None:
        self.do("submit", lane, self.place(m), side, offset, lots, tif, codes.LIMIT, reduce_only)

    @rule(lane=lanes, m=places, side=sides, lots=st.integers(1, 80), reduce_only=st.booleans())
    def market_order(self, lane: int, m: int, side: int, lots: int, reduce_only: bool) -> None:
        self.do("submit", lane, self.place(m), side, 0, lots, codes.GTC, codes.MARKET, reduce_only)

    @rule(lane=lanes, m=places, side=sides, kind=st.sampled_from(("stop", "take_profit", "trailing")),
          offset=st.integers(-30, 30), lots=st.integers(1, 40),
          type_=st.sampled_from((codes.MARKET, codes.LIMIT)), reduce_only=st.booleans())  # fmt: skip
    def conditional(
        self, lane: int, m: int, side: int, kind: str, offset: int, lots: int, type_: int, reduce_only: bool
    ) -> None:
        self.do("conditional", lane, self.place(m), side, kind, offset, lots, type_, reduce_only)

    @rule(lane=lanes, m=places, side=sides, offset=st.integers(-30, 30))
    def close_at(self, lane: int, m: int, side: int, offset: int) -> None:
        self.do("close_at", lane, self.place(m), side, offset)

    @rule(lane=lanes, m=places, side=sides, offset=st.integers(-4, 8), lots=st.integers(1, 40),
          ms=st.sampled_from((1, 500, 5_000, 700_000, 4_000_000)))  # fmt: skip
    def good_till(self, lane: int, m: int, side: int, offset: int, lots: int, ms: int) -> None:
        self.do("good_till", lane, self.place(m), side, offset, lots, ms)

    @rule(lane=lanes, m=places, times=st.sampled_from((1, 2, 5, 10, 20, 40, 75, 200)))
    def leverage(self, lane: int, m: int, times: int) -> None:
        self.do("leverage", lane, self.place(m), times)

    @rule(lane=lanes, m=places, mode=st.sampled_from((codes.MODE_CROSS, codes.MODE_ISOLATED)))
    def mode(self, lane: int, m: int, mode: int) -> None:
        self.do("mode", lane, self.place(m), mode)

    @rule(lane=lanes, m=places, share_e3=st.integers(-200, 200))
    def add_margin(self, lane: int, m: int, share_e3: int) -> None:
        self.do("add_margin", lane, self.place(m), share_e3)

    @rule(lane=lanes, pick=picks)
    def cancel(self, lane: int, pick: int) -> None:
        self.do("cancel", lane, pick)

    @rule(lane=lanes, pick=picks, shift=st.integers(-4, 4), lots=st.integers(1, 40))
    def amend(self, lane: int, pick: int, shift: int, lots: int) -> None:
        self.do("amend", lane, pick, shift, lots)

    @rule(m=places, side=sides, offset=st.integers(-2, 6), lots=st.integers(1, 2_000))
    def trade(self, m: int, side: int, offset: int, lots: int) -> None:
        self.do("trade", self.place(m), side, offset, lots)

    @rule(m=places, shift=st.integers(-40, 40), lots=st.integers(1, 3_000))
    def quote(self, m: int, shift: int, lots: int) -> None:
        self.do("quote", self.place(m), shift, lots)

    @rule(m=places, side=sides, level=st.integers(0, 5), lots=st.integers(0, 400))
    def depth(self, m: int, side: int, level: int, lots: int) -> None:
        self.do("depth", self.place(m), side, level, lots)

    @rule(m=places, permille=st.integers(-45, 45), rate=st.integers(-75_000, 75_000))
    def mark(self, m: int, permille: int, rate: int) -> None:
        self.do("mark", self.place(m), permille, rate)

    @rule(m=places, is_gap=st.sampled_from((False, False, False, True)))
    def follow(self, m: int, is_gap: bool) -> None:
        self.do("gap" if is_gap else "follow", self.place(m))
        self.do("quote", self.place(m), 0, 500)

    @rule(ms=st.sampled_from((1, 20, 1_000, 60_000, 3_600_000)))
    def wait(self, ms: int) -> None:
        self.do("wait", ms)

    def teardown(self) -> None:
        if getattr(self, "is_sound", False):  # after a failure there is nothing to wind up
            self.tally.steps += self.world.steps
            self.tally.events += self.world.books.events
            self.do("drain")


def machine_of(tally: Tally) -> type[RuleBasedStateMachine]:
    """A state machine of the tally's venue."""
    return type("Session", (Session,), {"tally": tally})


def campaign(tally: Tally, steps: int, seed: int = 0) -> None:
    """Random sessions at the tally's venue until ``steps`` steps are done; raises what the first one that fails raises,
    and the tally's script is then the shortest that fails like it (``as_test``). The same seed, the same sessions.
    """
    machine = machine_of(tally)
    rounds = 0
    while tally.steps < steps:
        options = hypothesis.settings(
            max_examples=max(1, min(200, (steps - tally.steps) // tally.session_steps)),
            stateful_step_count=tally.session_steps,
            deadline=None,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
            print_blob=False,
            report_multiple_bugs=False,
            phases=(hypothesis.Phase.generate,),  # ``shortened`` is quicker than replaying draws
        )
        rounds += 1
        seeded = hypothesis.seed(seed + 1_000_003 * rounds)(machine)
        try:
            run_state_machine_as_test(seeded, settings=options)
        except Exception as error:
            tally.script, shortest = shortened(tally.venue, tally.script, error)
            raise shortest from None


def shortened(venue: str, script: list[Step], error: Exception) -> tuple[list[Step], Exception]:
    """The script without every step that it can do without and still fail in the same way (delta debugging); a short
    one also without every two, and a shorter one without every three and four."""
    found = outcome(venue, script)
    if found is None:  # it does not fail when run again: then all of it is the evidence
        return script, error
    kind, script = _kind(found[1]), script[: found[0] + 1]
    size = max(1, len(script) // 2)
    while size:
        before, place = len(script), 0
        while place < len(script):
            tried = script[:place] + script[place + size :]
            again = outcome(venue, tried)
            if again is not None and _kind(again[1]) == kind:
                script, error = tried[: again[0] + 1], again[1]
            else:
                place += size
        if size > 1 or len(script) == before:
            size //= 2
        if not size:
            for gone in _together(len(script) - 1):
                tried = [step for place, step in enumerate(script) if place not in gone]
                again = outcome(venue, tried)
                if again is not None and _kind(again[1]) == kind:
                    script, error, size = tried[: again[0] + 1], again[1], 1
                    break
    return script, error


def _together(steps: int) -> Iterator[tuple[int, ...]]:
    """Which steps to leave out at once: what needs only each other goes only so."""
    for most, count in ((PAIRS_MAX, 2), (FEW_MAX, 3), (FEW_MAX, 4)):
        if steps < most:
            yield from combinations(range(steps), count)


def outcome(venue: str, script: list[Step]) -> tuple[int, Exception] | None:
    """Where a script fails, and how; None if it does not."""
    world = World(venue)
    for place, (name, values, options) in enumerate(script):
        try:
            getattr(world, name)(*values, **options)
        except Exception as error:
            return place, error
    return None


def _kind(error: Exception) -> str:
    """An error without its numbers."""
    return type(error).__name__ + re.sub(r"-?\d+", "", str(error).splitlines()[0] if str(error) else "")


def as_test(tally: Tally, error: BaseException) -> str:
    """The session under way as a test that runs on its own."""
    lines = [
        "from sim.fuzz.world import World",
        "",
        "",
        f"def test_counterexample_at_{tally.venue}() -> None:",
        f'    """{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ""}"""',
        f"    world = World({tally.venue!r})",
    ]
    for name, values, options in tally.script:
        words = [repr(value) for value in values] + [f"{key}={value!r}" for key, value in options.items()]
        lines.append(f"    world.{name}({', '.join(words)})")
    return "\n".join(lines) + "\n"
