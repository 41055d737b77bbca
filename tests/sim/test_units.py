"""Durations and instants as people write them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.units import MAX_NS, duration_ns, duration_text, instant_ns, instant_text


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("100ms", 100_000_000),
        ("1.5s", 1_500_000_000),
        ("1h30m", 5_400_000_000_000),
        ("2 d", 172_800_000_000_000),
        ("7us", 7_000),
        ("7µs", 7_000),
        ("0.25us", 250),
        (42, 42),
        ("3min", 180_000_000_000),
    ],
)
def test_durations(text: int | str, ns: int) -> None:
    assert duration_ns(text) == ns


@pytest.mark.parametrize("text", ["", "5", "ms", "1 fortnight", "-5ms", "1.5ns", -1, True, 1.5, "1s x", "999999999d"])
def test_no_durations(text: object) -> None:
    with pytest.raises(ValueError, match=r"duration|nanosecond"):
        duration_ns(text)  # type: ignore[arg-type]  # wrong on purpose


@given(st.integers(0, MAX_NS))
def test_duration_text_round_trips(ns: int) -> None:
    assert duration_ns(duration_text(ns)) == ns


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2023-04-05", 1_680_652_800_000_000_000),
        ("2023-04-05T00:00:00.123456789Z", 1_680_652_800_123_456_789),
        ("2023-04-05T02:00:00.5+02:00", 1_680_652_800_500_000_000),
        (date(2023, 4, 5), 1_680_652_800_000_000_000),
        (datetime(2023, 4, 5, tzinfo=UTC), 1_680_652_800_000_000_000),
        (datetime(2023, 4, 5, 2, tzinfo=timezone(timedelta(hours=2))), 1_680_652_800_000_000_000),
        (17, 17),
    ],
)
def test_instants(text: object, ns: int) -> None:
    assert instant_ns(text) == ns  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["tomorrow", "2023-13-01", True])
def test_no_instants(text: object) -> None:
    with pytest.raises(ValueError, match="instant"):
        instant_ns(text)  # type: ignore[arg-type]


@given(st.integers(0, 4_000_000_000 * 10**9))
def test_instant_text_round_trips(ns: int) -> None:
    assert instant_ns(instant_text(ns)) == ns
