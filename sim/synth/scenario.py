"""What happens in a session of the realistic market: when it is, how the price moves, what fails, who is liquidated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from matching.codes import BUY, SELL
from sim.synth.cascade import Crowd
from sim.synth.fundamental import ValuePath

SECOND_NS: Final = 1_000_000_000
HOUR_NS: Final = 3600 * SECOND_NS
DEFAULT_START_NS: Final = 1_789_455_600 * SECOND_NS  # 2026-09-15 07:00:00 UTC, an hour before a funding boundary

OutageKind = Literal["loss", "stall", "stale"]


@dataclass(frozen=True, slots=True)
class Outage:
    """Something fails for ``length_ns``, ``after_ns`` the session's start.

    "loss": the connections break; nothing arrives, and what was sent is gone. "stall": everything arrives, but not
    before the end. "stale": depth diffs alone are lost, while prints and best quotes go on. After a loss and after
    stale depth a REST snapshot arrives ``snapshot_after_ns`` after the end (long: a late snapshot).
    """

    kind: OutageKind
    after_ns: int
    length_ns: int
    snapshot_after_ns: int = 700_000_000

    def __post_init__(self) -> None:
        if self.kind not in ("loss", "stall", "stale"):
            raise ValueError(f"outage: kind {self.kind!r} is none of loss, stall, stale")
        if self.after_ns < SECOND_NS or self.length_ns < 1 or self.snapshot_after_ns < 0:
            raise ValueError(f"outage: wanted after_ns of at least a second, length_ns of at least 1, not {self}")

    @property
    def until_ns(self) -> int:
        return self.after_ns + self.length_ns


@dataclass(frozen=True, slots=True)
class Scenario:
    """A session of any number of markets. ``start_ns`` is a whole second UTC.

    ``activity_e3`` scales how much happens (1000: as calibrated), ``depth_e3`` how much is displayed. ``premium_e6`` is
    the mean of the perpetual's premium over its index, parts per million; the funding rate follows from it by the
    venue's formula. ``liquidations_per_hour`` of others come by chance; a ``crowd`` is liquidated by the published
    mark; ``forced`` orders of others are given: (ns after the start, aggressor side, lots). ``latency_us`` is the
    median from the venue's push to the receiver; stamps have the unit ``receive_unit_ns`` (1000: microseconds) and the
    error ``clock_offset_ns``.
    """

    start_ns: int = DEFAULT_START_NS
    duration_ns: int = 600 * SECOND_NS
    activity_e3: int = 1000
    depth_e3: int = 1000
    path: ValuePath = field(default_factory=ValuePath)
    premium_e6: int = 40
    liquidations_per_hour: int = 20
    outages: tuple[Outage, ...] = ()
    crowd: Crowd | None = None
    forced: tuple[tuple[int, int, int], ...] = ()
    latency_us: int = 4000
    receive_unit_ns: int = 1000
    clock_offset_ns: int = 0

    def __post_init__(self) -> None:
        if self.start_ns % SECOND_NS or self.duration_ns < 2 * SECOND_NS:
            raise ValueError("scenario: start_ns must be a whole second and duration_ns at least two seconds")
        if self.receive_unit_ns not in (1, 1000):
            raise ValueError(f"scenario: receive_unit_ns must be 1 or 1000, not {self.receive_unit_ns}")
        for name, least, most in (
            ("activity_e3", 1, 20_000), ("depth_e3", 1, 100_000), ("premium_e6", -5000, 5000),
            ("liquidations_per_hour", 0, 100_000), ("latency_us", 1, 10_000_000),
        ):  # fmt: skip
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"scenario: {name} must lie in {least}..{most}, not {getattr(self, name)}")
        for after_ns, side, lots in self.forced:
            if not 0 < after_ns < self.duration_ns or side not in (BUY, SELL) or lots < 1:
                raise ValueError(f"scenario: forced order {(after_ns, side, lots)} is none, or not within the session")
        ends = [outage.until_ns for outage in self.outages]
        if any(later.after_ns <= end for later, end in zip(self.outages[1:], ends, strict=False)):
            raise ValueError("scenario: outages must follow each other without overlap")
        if self.outages and self.outages[-1].after_ns >= self.duration_ns:
            raise ValueError("scenario: the last outage begins after the session's end")

    @property
    def end_ns(self) -> int:
        return self.start_ns + self.duration_ns
