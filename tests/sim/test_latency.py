"""Latency models of a run file, as tables."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.config import LegConfig
from sim.latency import (
    TABLE_STEPS,
    build_leg,
    empirical_quantiles,
    exponential_quantiles,
    lognormal_quantiles,
    normal_quantile,
    read_series,
    read_values,
    scale_series,
)
from venues.errors import InputError

MS = 1_000_000
SHARED = Path(__file__).resolve().parents[3] / "shared/data"


def leg(**fields: Any) -> LegConfig:
    return LegConfig.model_validate(fields)


def no_feed() -> Any:
    raise AssertionError("not asked for")


def described(config: LegConfig, base: Path = Path()) -> str:
    return build_leg(config, base, no_feed, "venue x: latency.entry")[1]


@pytest.mark.parametrize("p", [0.001, 0.01, 0.07, 0.075, 0.3, 0.5, 0.7, 0.925, 0.99, 0.9999])
def test_normal_quantile_is_the_normal_distributions(p: float) -> None:
    assert float(normal_quantile(Decimal(str(p)))) == pytest.approx(NormalDist().inv_cdf(p), rel=1e-12, abs=1e-15)


def test_lognormal_table_hits_its_two_percentiles() -> None:
    table = lognormal_quantiles(2 * MS, 20 * MS)
    assert len(table) == TABLE_STEPS + 1 and (np.diff(table) > 0).all()
    assert table[TABLE_STEPS // 2] == 2 * MS
    assert np.interp(0.99 * TABLE_STEPS, range(len(table)), table) == pytest.approx(20 * MS, rel=2e-3)


def test_tables_are_the_same_everywhere() -> None:
    """Decimal arithmetic is specified to the last digit, so these are the numbers of every machine."""
    assert lognormal_quantiles(2 * MS, 20 * MS)[[0, 1, 512, 1023, 1024]].tolist() == LOGNORMAL_2_20
    assert exponential_quantiles(MS)[[0, 1, 512, 1023, 1024]].tolist() == EXPONENTIAL_1


LOGNORMAL_2_20 = [63397, 93249, 2000000, 42896010, 63094387]
EXPONENTIAL_1 = [352, 1410, 1000000, 10000000, 12000000]


@given(st.lists(st.integers(0, 10**10), min_size=1, max_size=3000))
def test_empirical_tables_keep_the_ends_and_the_median(values: list[int]) -> None:
    ordered = np.sort(np.array(values, np.int64))
    table = empirical_quantiles(ordered)
    assert 2 <= len(table) <= TABLE_STEPS + 1
    assert (table[0], table[-1]) == (ordered[0], ordered[-1]) and (np.diff(table) >= 0).all()
    middle = table[len(table) // 2]
    below = (ordered <= middle).mean()
    assert below >= 0.5 - 1 / len(ordered)


def test_scaling_is_exact_and_never_negative() -> None:
    values = np.array([10, 3, 0], np.int64)
    assert scale_series(values, Decimal("1.5"), -5).tolist() == [10, 0, 0]
    assert scale_series(np.array([10**18]), Decimal("0.1"), 0).tolist() == [10**17]


def test_recorded_files(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("when,took\n1700000000300,4\n1700000000100,2.5\n1700000000200,-7\n")
    config = leg(file=path.name, time="when", time_unit="ms", value="took", unit="ms")
    times, values = read_series(config, path, "x")
    assert times.tolist() == [1_700_000_000_100 * MS, 1_700_000_000_200 * MS, 1_700_000_000_300 * MS]
    assert values.tolist() == [2_500_000, -7 * MS, 4 * MS]
    assert described(config, tmp_path) == "interpolated from 3 records of orders.csv, median 4 ms, p99 4 ms, 1 refused"
    parquet = tmp_path / "orders.parquet"
    pl.DataFrame({"ts": [1_000, 2_000], "ns": [5, 6]}).with_columns(pl.col("ts").cast(pl.Datetime("ms"))).write_parquet(
        parquet
    )
    times, values = read_series(leg(file="orders.parquet", time="ts", value="ns"), parquet, "x")
    assert (times.tolist(), values.tolist()) == ([1_000 * MS, 2_000 * MS], [5, 6])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n", "field 'took': has no such column; it has a, b"),
        ("when,took\n1,2\n2,\n", "orders.csv: row 2: field 'took': is empty"),
        ("when,took\n1,soon\n", "field 'took': holds String, not numbers or times"),
        ("when,took\n", "has no rows"),
    ],
)
def test_recorded_files_that_are_wrong(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "orders.csv").write_text(content)
    with pytest.raises(InputError) as caught:
        described(leg(file="orders.csv", time="when", value="took"), tmp_path)
    assert message in str(caught.value)


def test_other_refusals(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none below the one before"):
        described(leg(quantiles=["2ms", "1ms"]))
    with pytest.raises(InputError, match="cannot be read"):
        described(leg(file="none.csv"), tmp_path)
    with pytest.raises(InputError, match="needs a method latency"):
        described(leg(model="collections:OrderedDict"))


def test_descriptions() -> None:
    assert described(leg(constant="10ms")) == "10ms"
    assert described(leg(constant=0)) == "none"
    assert described(leg(fit="exponential", p50="1ms")).startswith("exponential distribution, median 1 ms")
    text = build_leg(leg(feed=True, scale=2), Path(), lambda: (np.array([1, 2]), np.array([MS, MS])), "x")[1]
    assert text == "the recording's feed latency x 2, median 2 ms, p99 2 ms"


def test_recorded_deribit_latencies_are_reproduced() -> None:
    path = SHARED / "deribit_testnet_latency/order_placed_latency.csv"
    if not path.exists():
        pytest.skip(f"the recording is not there: {path}")
    config = leg(file=str(path), value="Latency(ms)", unit="ms", draw=True)
    records = np.sort(read_values(config, path, "x"))
    table = empirical_quantiles(records)
    draws = np.interp(np.linspace(0, len(table) - 1, 100_001), range(len(table)), table)
    for share in (0.5, 0.99, 1.0):
        assert np.quantile(draws, share) == pytest.approx(np.quantile(records, share), rel=0.01)
