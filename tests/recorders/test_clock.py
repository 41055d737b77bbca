"""The receive clock: an offset is found where the clock ran behind, and only there."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recorders.clock import LATENCY_FLOOR_NS, MAX_DRIFT_PPM, STEP_NS, ClockEstimate, ClockSeries

START = 1_720_000_000_000_000_000


def _estimate(recv: np.ndarray, made: np.ndarray) -> tuple[ClockEstimate, ClockSeries | None]:  # type: ignore[type-arg]
    estimate = ClockEstimate()
    for part in np.array_split(np.arange(len(recv)), 3):
        estimate.add(recv[part], made[part])
    return estimate, estimate.series()


SEEDS, LENGTHS = st.integers(0, 99), st.integers(1, 900)


@settings(max_examples=60)
@given(offset_ms=st.integers(-3_000, -50), drift_ppm=st.integers(-15, 15), seed=SEEDS, seconds=LENGTHS)
def test_a_drifting_clock_is_followed(offset_ms: int, drift_ppm: int, seed: int, seconds: int) -> None:
    _check_followed(offset_ms, drift_ppm, seed, seconds, 5_000_000)


@settings(max_examples=60)
@given(
    offset_ms=st.integers(-3_000, -500),  # behind to the end: what runs ahead is left alone
    drift_ppm=st.integers(-MAX_DRIFT_PPM + 5, MAX_DRIFT_PPM - 5),
    seed=SEEDS,
    seconds=LENGTHS,
)
def test_a_clock_that_is_being_slewed_is_followed(offset_ms: int, drift_ppm: int, seed: int, seconds: int) -> None:
    _check_followed(offset_ms, drift_ppm, seed, seconds, 5_000_000 + 2 * abs(drift_ppm) * STEP_NS // 1_000_000)


def _check_followed(offset_ms: int, drift_ppm: int, seed: int, seconds: int, bound_ns: int) -> None:
    rng = np.random.default_rng(seed)
    made = START + np.sort(rng.integers(0, seconds * 1_000_000_000, 4000))
    latency = 2_000_000 + rng.exponential(4e6, 4000).astype(np.int64)
    true = offset_ms * 1_000_000 + (made - START) * drift_ppm // 1_000_000
    recv = made + latency + true
    estimate, series = _estimate(recv, made)
    assert estimate.offset_ns == int((recv - made).min())
    if estimate.offset_ns >= LATENCY_FLOOR_NS:
        assert series is None
        return
    assert series is not None
    remaining = recv - series.offset(recv) - made
    assert int(remaining.min()) == LATENCY_FLOOR_NS
    # The correction is off by the least latency in reach (which it takes for the floor) and by drift within a step.
    error = remaining - latency
    assert error.min() > -bound_ns and error.max() < bound_ns


def test_a_clock_that_is_right_or_ahead_is_left_alone() -> None:
    made = START + np.arange(100) * 1_000_000
    assert _estimate(made + 80_000_000, made)[1] is None
    assert _estimate(made + LATENCY_FLOOR_NS, made)[1] is None
    assert _estimate(made + LATENCY_FLOOR_NS - 1, made)[1] is not None


def test_the_drift_is_bounded() -> None:
    made = START + np.arange(600) * 1_000_000_000
    recv = made - 1_000_000_000
    recv[300] -= 400_000_000  # one message that claims to be far ahead of all others
    _, series = _estimate(recv, made)
    assert series is not None
    steps = np.diff(series.offsets_ns)
    assert np.abs(steps).max() <= MAX_DRIFT_PPM * STEP_NS // 1_000_000
    assert (recv - series.offset(recv) - made).min() == LATENCY_FLOOR_NS


def test_outside_the_series_its_ends_hold() -> None:
    series = ClockSeries(START, STEP_NS, (-100, -50, -80), 1)
    asked = START + np.array([-5, 0, STEP_NS // 2, STEP_NS, 2 * STEP_NS, 9 * STEP_NS])
    assert series.offset(asked).tolist() == [-100, -100, -75, -50, -80, -80]


def test_nothing_is_no_estimate() -> None:
    estimate = ClockEstimate()
    assert estimate.series() is None and estimate.offset_ns == 0
