"""When funding is due: boundaries by interval, intervals that change, and recorded histories with their jitter.

``Cadence`` follows a venue's rule for switching a symbol to a shorter interval and back. ``settlements`` turns the
stamps of a recorded history into boundaries, and ``missing`` says which boundary a history leaves out: a rate that is
not there is never taken as zero.

Boundaries are whole multiples of the interval since the epoch, which every venue's are (00:00, 08:00, 16:00 UTC ...).
After a change of interval the next boundary is the next multiple of the new one; where that makes a shorter cycle,
that cycle counts as one of the new interval (no venue documents this).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

HOUR_NS: Final = 3_600_000_000_000
JITTER_NS: Final = 60_000_000_000  # venues stamp a boundary some milliseconds off; further off it was settled late


class Switch(Protocol):
    """What a rate at its bound does to a symbol's interval; ``venues.tiers.IntervalSwitch`` is one."""

    @property
    def to_ns(self) -> int: ...

    @property
    def back_ns(self) -> int | None: ...

    @property
    def calm_cycles(self) -> int: ...

    @property
    def calm_rate_e12(self) -> int: ...

    @property
    def excluded(self) -> tuple[str, ...]: ...


def next_boundary(interval_ns: int, after_ns: int) -> int:
    """The first whole multiple of the interval after an instant."""
    return (after_ns // interval_ns + 1) * interval_ns


def boundaries(interval_ns: int, first_ns: int, last_ns: int) -> list[int]:
    """The whole multiples of the interval in (first, last]."""
    return list(range(next_boundary(interval_ns, first_ns), last_ns + 1, interval_ns))


class Cadence:
    """The funding interval of one symbol through time."""

    def __init__(self, symbol: str, interval_ns: int) -> None:
        self.symbol, self.interval_ns = symbol, interval_ns
        self.shortened = False
        self._calm = 0

    def settled(self, rate_e12: int, at_bound: bool, switch: Switch | None) -> None:
        """A rate was charged; ``switch`` is the venue's rule as of that boundary, None if it has none.

        At a bound the symbol goes to ``to_ns``; after ``calm_cycles`` boundaries in a row with |rate| at most
        ``calm_rate_e12`` its next cycle is one of ``back_ns`` again.
        """
        if switch is None or self.symbol in switch.excluded:
            return
        if at_bound and self.interval_ns > switch.to_ns:
            self.interval_ns, self.shortened, self._calm = switch.to_ns, True, 0
            return
        calm = self.shortened and not at_bound and abs(rate_e12) <= switch.calm_rate_e12
        self._calm = self._calm + 1 if calm else 0
        if self.shortened and switch.back_ns is not None and 0 < switch.calm_cycles <= self._calm:
            self.interval_ns, self.shortened, self._calm = switch.back_ns, False, 0

    def next_after(self, ts_ns: int) -> int:
        """The next boundary after an instant, by the interval in force."""
        return next_boundary(self.interval_ns, ts_ns)


@dataclass(frozen=True, slots=True)
class Settlement:
    """A recorded charge: the boundary it belongs to, and the instant at which it happened.

    ``ts_ns`` is the boundary itself while the stamp is within jitter of it, and the stamp where the venue settled late.
    """

    boundary_ns: int
    ts_ns: int

    @property
    def late_ns(self) -> int:
        return self.ts_ns - self.boundary_ns


def settlements(stamps_ns: Sequence[int], grid_ns: int = HOUR_NS, jitter_ns: int = JITTER_NS) -> list[Settlement]:
    """Each stamp of a history (rising) as the settlement of its boundary on the grid.

    A stamp within ``jitter_ns`` of a boundary is that boundary's; one further off belongs to the boundary before it.
    Raises ValueError naming the boundary that two stamps claim.
    """
    found: list[Settlement] = []
    for stamp in stamps_ns:
        boundary = (stamp + grid_ns // 2) // grid_ns * grid_ns
        exact = abs(stamp - boundary) <= jitter_ns
        settlement = Settlement(boundary, boundary) if exact else Settlement(stamp // grid_ns * grid_ns, stamp)
        if found and settlement.boundary_ns == found[-1].boundary_ns:
            raise ValueError(f"two rates claim the boundary {settlement.boundary_ns} ns")
        found.append(settlement)
    return found


def missing(
    due_ns: Sequence[int], first_ns: int, last_ns: int, default_ns: int, choices_ns: Sequence[int] = ()
) -> int | None:
    """The first boundary in (first, last] that a history leaves out, or None if it leaves out none.

    ``due_ns`` are its boundaries. The cadence is read from them: a step that is longer than the steps on both sides has
    a hole, and so has the first or last one if it is longer than its only neighbour and none of ``choices_ns``, the
    venue's intervals (if it is one, the cadence changed there). Without a step to compare with, ``default_ns`` holds.
    """
    if not due_ns:
        boundary = next_boundary(default_ns, first_ns)
        return boundary if boundary <= last_ns else None
    steps = [after - before for before, after in itertools.pairwise(due_ns)]
    first_step, last_step = (steps[0], steps[-1]) if steps else (default_ns, default_ns)
    left_out = boundaries(first_step, first_ns, due_ns[0] - 1)
    for place, step in enumerate(steps):
        beside = [steps[k] for k in (place - 1, place + 1) if 0 <= k < len(steps)] or [default_ns]
        changed = len(beside) == 1 and step in (*choices_ns, default_ns)
        if step > max(beside) and not changed:
            left_out += range(due_ns[place] + min(beside), due_ns[place + 1], min(beside))
    left_out.append(next_boundary(last_step, max(first_ns, due_ns[-1])))
    return next((boundary for boundary in left_out if first_ns < boundary <= last_ns), None)
