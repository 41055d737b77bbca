"""Named sessions: what one would want to see a strategy in, each with a word on what it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sim.synth.cascade import Crowd
from sim.synth.fundamental import Drift, ValuePath
from sim.synth.scenario import DEFAULT_START_NS, SECOND_NS, Outage, Scenario
from venues.errors import InputError

MINUTE_NS: Final = 60 * SECOND_NS
FUNDING_NS: Final = DEFAULT_START_NS + 60 * MINUTE_NS
TREND_E6_PER_MINUTE: Final = 600
TREND_MOST_E6: Final = 150_000


@dataclass(frozen=True, slots=True)
class Preset:
    """A named session: one line on it, and the scenario of a given start and length in ns."""

    name: str
    about: str
    make: Callable[[int, int], Scenario]
    start_ns: int = DEFAULT_START_NS
    shortest_ns: int = 2 * SECOND_NS


def _calm(start: int, length: int) -> Scenario:
    return Scenario(start, length)


def _volatile(start: int, length: int) -> Scenario:
    path = ValuePath(volatility_e9=110_000, jumps_per_hour=60, jump_e6=800)
    return Scenario(start, length, activity_e3=2200, depth_e3=600, path=path, premium_e6=150, liquidations_per_hour=200)


def _trending(start: int, length: int) -> Scenario:
    change = min(TREND_MOST_E6, TREND_E6_PER_MINUTE * length // MINUTE_NS)
    path = ValuePath(volatility_e9=30_000, drifts=(Drift(0, length, max(1, change)),))
    return Scenario(start, length, activity_e3=1400, path=path, premium_e6=400)


def _thin(start: int, length: int) -> Scenario:
    return Scenario(start, length, activity_e3=200, depth_e3=120)


def _crash(start: int, length: int) -> Scenario:
    """Two fifths into the session the value falls by 2 % within a sixth of it (at most two minutes), and half of that
    comes back afterwards; what holders lose on the way is the cascade."""
    at, fall = 2 * length // 5, min(length // 6, 2 * MINUTE_NS)
    rebound = min(length // 4, 10 * MINUTE_NS)
    drifts = (Drift(at, at + fall, -20_000), Drift(at + fall + fall // 2, at + fall + fall // 2 + rebound, 10_000))
    path = ValuePath(volatility_e9=50_000, jumps_per_hour=20, drifts=drifts)
    crowd = Crowd(holders=3000, lots=12, impact_per_mille=300)
    return Scenario(
        start, length, activity_e3=1800, depth_e3=500, path=path, premium_e6=-200, liquidations_per_hour=60, crowd=crowd
    )


def _outage(start: int, length: int) -> Scenario:
    short, late = min(length // 100, 3 * SECOND_NS), min(length // 20, 20 * SECOND_NS)
    outages = (
        Outage("loss", length // 5, short),
        Outage("stall", 2 * length // 5, short),
        Outage("stale", 3 * length // 5, short),
        Outage("loss", 4 * length // 5, short, snapshot_after_ns=late),
    )
    return Scenario(start, length, outages=outages)


def _funding(start: int, length: int) -> Scenario:
    return Scenario(start, length, activity_e3=1200, premium_e6=1500)


PRESETS: Final[Mapping[str, Preset]] = {
    preset.name: preset
    for preset in (
        Preset("calm", "an ordinary hour, calibrated to recordings", _calm),
        Preset("volatile", "restless: large moves, many jumps, much traded, less displayed", _volatile),
        Preset("trending", "the price rises steadily, by 0.06 % a minute; longs pay", _trending),
        Preset("thin", "a quiet market: little happens, little is displayed, spreads open", _thin),
        Preset(
            "crash", "the price falls by 2 % and a crowd of leveraged holders is liquidated in a cascade", _crash,
            shortest_ns=MINUTE_NS,
        ),
        Preset(
            "outage", "two link losses (the second with a late snapshot), a stalled feed, stale depth", _outage,
            shortest_ns=30 * SECOND_NS,
        ),
        Preset(
            "funding", "five minutes before a funding boundary, at a premium that makes the rate ten times as high",
            _funding, start_ns=FUNDING_NS - 5 * MINUTE_NS,
        ),
    )
}  # fmt: skip


def preset(name: str) -> Preset:
    """A preset by its name. Raises ``InputError`` naming those there are."""
    found = PRESETS.get(name)
    if found is None:
        raise InputError(f"there is no preset {name!r}; there are {', '.join(PRESETS)}", source="synth", field="preset")
    return found


def scenario(name: str, duration_ns: int, start_ns: int | None = None) -> Scenario:
    """The session of a preset. Raises ``InputError`` for an unknown one, or a length or start that cannot be."""
    found = preset(name)
    if duration_ns < found.shortest_ns:
        raise InputError(
            f"{name} needs at least {found.shortest_ns // SECOND_NS} s, not {duration_ns / SECOND_NS:g} s",
            source="synth", field="duration",
        )  # fmt: skip
    start = found.start_ns if start_ns is None else start_ns
    try:
        return found.make(start, duration_ns)
    except ValueError as error:
        raise InputError(str(error), source="synth", field="start") from None
