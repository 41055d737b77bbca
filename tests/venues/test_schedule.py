"""Funding boundaries: switching intervals, stamps with jitter, histories with holes."""

from __future__ import annotations

import pytest

from venues.funding import HOUR_NS
from venues.rules import IntervalSwitch
from venues.schedule import Cadence, Settlement, boundaries, missing, next_boundary, settlements

DAY = 24 * HOUR_NS
NIGHT = 20_000 * DAY  # some midnight
RETURN = IntervalSwitch(HOUR_NS, 4 * HOUR_NS, 16, 250 * 10**6)
CALM, WILD = 250 * 10**6, 250 * 10**6 + 1


def hours(*at: int) -> list[int]:
    return [NIGHT + hour * HOUR_NS for hour in at]


def test_boundaries_are_multiples_after_the_start_up_to_the_end() -> None:
    assert boundaries(8 * HOUR_NS, NIGHT, NIGHT + DAY) == hours(8, 16, 24)
    assert boundaries(8 * HOUR_NS, NIGHT + 1, NIGHT + 8 * HOUR_NS - 1) == []
    assert next_boundary(HOUR_NS, NIGHT) == NIGHT + HOUR_NS


def test_the_seventeenth_cycle_is_one_of_four_hours_again() -> None:
    """Binance: hourly from the cap on; 16 boundaries in a row at or below 0.025 % either side end it."""
    cadence = Cadence("XYZUSDT", 8 * HOUR_NS)
    cadence.settled(2 * 10**10, True, RETURN)
    assert (cadence.interval_ns, cadence.next_after(NIGHT)) == (HOUR_NS, NIGHT + HOUR_NS)
    for rate in [CALM] * 15 + [WILD] + [CALM, -CALM] * 7 + [CALM]:
        cadence.settled(rate, False, RETURN)
        assert cadence.interval_ns == HOUR_NS
    cadence.settled(-CALM, False, RETURN)
    assert cadence.interval_ns == 4 * HOUR_NS and not cadence.shortened
    assert cadence.next_after(NIGHT + 17 * HOUR_NS) == NIGHT + 20 * HOUR_NS
    for _ in range(20):  # nothing more happens
        cadence.settled(0, False, RETURN)
    assert cadence.interval_ns == 4 * HOUR_NS


def test_a_bound_in_the_calm_starts_the_count_anew() -> None:
    cadence = Cadence("XYZUSDT", 4 * HOUR_NS)
    cadence.settled(-(10**10), True, RETURN)
    for at_bound in [False] * 15 + [True] + [False] * 15:
        cadence.settled(0, at_bound, RETURN)
    assert cadence.interval_ns == HOUR_NS
    cadence.settled(0, False, RETURN)
    assert cadence.interval_ns == 4 * HOUR_NS


def test_before_the_rule_and_for_excluded_symbols_nothing_switches() -> None:
    for switch in (None, IntervalSwitch(HOUR_NS, excluded=("BTCUSDT",))):
        cadence = Cadence("BTCUSDT", 8 * HOUR_NS)
        cadence.settled(10**12, True, switch)
        assert cadence.interval_ns == 8 * HOUR_NS
    once = Cadence("ETHUSDT", 8 * HOUR_NS)  # without a way back: at the venue's discretion
    once.settled(10**12, True, IntervalSwitch(HOUR_NS))
    for _ in range(100):
        once.settled(0, False, IntervalSwitch(HOUR_NS))
    assert once.interval_ns == HOUR_NS


def test_stamps_within_jitter_are_the_boundary_and_late_ones_stay_late() -> None:
    late = NIGHT + 9 * HOUR_NS - 10**9 * 61
    found = settlements([NIGHT + 17_000_000, NIGHT + HOUR_NS - 3, late])
    assert found == [
        Settlement(NIGHT, NIGHT), Settlement(NIGHT + HOUR_NS, NIGHT + HOUR_NS), Settlement(NIGHT + 8 * HOUR_NS, late),
    ]  # fmt: skip
    assert [one.late_ns for one in found] == [0, 0, HOUR_NS - 61 * 10**9]
    with pytest.raises(ValueError, match="two rates claim"):
        settlements([NIGHT, NIGHT + 30 * 10**9])


@pytest.mark.parametrize(
    ("due", "hole"),
    [
        ((0, 8, 16, 24), None),
        ((0, 8, 24), 16),  # hole at the end of the history: 16 h are no interval
        ((0, 8, 16, 17, 18, 19, 20, 21, 22, 23, 24), None),  # eight hours, then hourly
        ((0, 8, 16, 17, 18, 20, 21, 22, 23, 24), 19),  # longer than the steps on both sides
        ((0, 1, 2, 3, 4, 8, 12, 16, 20, 24), None),  # back to four hours
        ((0, 1, 2, 3, 5, 6, 7, 8, 16, 24), 4),
        ((8, 16, 24), None),
        ((16, 24), 8),
        ((0, 8, 16), 24),
        ((), 8),
    ],
)
def test_a_history_shows_its_cadence_and_its_holes(due: tuple[int, ...], hole: int | None) -> None:
    found = missing(hours(*due), NIGHT, NIGHT + DAY, 8 * HOUR_NS, (HOUR_NS, 4 * HOUR_NS, 8 * HOUR_NS))
    assert found == (None if hole is None else NIGHT + hole * HOUR_NS)


def test_holes_outside_the_run_do_not_matter() -> None:
    history = hours(0, 8, 32, 40, 48, 56)
    assert missing(history, NIGHT + 32 * HOUR_NS, NIGHT + 56 * HOUR_NS, 8 * HOUR_NS) is None
    assert missing(history, NIGHT + 20 * HOUR_NS, NIGHT + 56 * HOUR_NS, 8 * HOUR_NS) == NIGHT + 24 * HOUR_NS
