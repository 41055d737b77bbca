"""Fitted, empirical and load-dependent latency models, and the files that carry them into a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from typer.testing import CliRunner

from matching.kernel import LatencyTable
from sim.cli import app
from sim.latency import LOAD_STEP_NS, LatencyByLoad, LatencyFile, LoadTable, build_leg, read_model
from sim.latency_fit import FAMILIES, compare, describe, fit, goodness, model_by_load, model_file, write_model
from sim.latency_tables import fit_table
from tests.sim.test_latency import leg, no_feed
from venues.errors import InputError

MS = 1_000_000
SOURCE = {"file": "made.parquet"}


def drawn(distribution: Any, count: int = 20_000, floor_ns: int = MS) -> Any:
    """Order statistics of a distribution: what a very large sample of it looks like."""
    values = distribution.ppf((np.arange(count) + 0.5) / count)
    return np.rint(values + floor_ns).astype(np.int64)


@pytest.mark.parametrize(
    ("family", "distribution"),
    [
        ("lognormal", stats.lognorm(0.6, scale=3 * MS)),
        ("gamma", stats.gamma(2.5, scale=2 * MS)),
        ("weibull", stats.weibull_min(1.7, scale=4 * MS)),
    ],
)
def test_a_family_recovers_its_own_parameters_and_fits_best(family: str, distribution: Any) -> None:
    values = drawn(distribution)
    fitted = fit(family, np.sort(values))
    assert fitted.shapes[0] == pytest.approx(distribution.args[0], rel=0.05)
    assert fitted.scales[0] == pytest.approx(distribution.kwds["scale"], rel=0.05)
    rows = compare(values, ("lognormal", "gamma", "weibull"))
    assert rows[0]["model"] == family and rows[0]["ks"] < 0.02
    assert all(row["ks"] > 2 * rows[0]["ks"] for row in rows[1:])


def test_a_mixture_finds_two_modes() -> None:
    near, far = drawn(stats.lognorm(0.2, scale=2 * MS), 18_000), drawn(stats.lognorm(0.3, scale=40 * MS), 2_000)
    values = np.concatenate((near, far))
    fitted = fit("lognormal2", np.sort(values))
    light = int(np.argmin(fitted.weights))
    assert fitted.weights[light] == pytest.approx(0.1, abs=0.01)
    assert fitted.scales[light] == pytest.approx(41 * MS, rel=0.05)
    assert (
        goodness(fitted, np.sort(values))["ks"]
        < 0.02
        < goodness(fit("lognormal", np.sort(values)), np.sort(values))["ks"]
    )
    assert compare(values)[0]["model"] in ("lognormal2", "lognormal3")


@pytest.mark.parametrize("family", FAMILIES)
def test_quantiles_and_tables_are_the_inverse_of_the_distribution(family: str) -> None:
    values = drawn(stats.lognorm(0.5, scale=3 * MS), 2_000)
    fitted = fit(family, np.sort(values))
    at = np.array([0.01, 0.3, 0.5, 0.9, 0.999])
    assert fitted.cdf(fitted.quantile(at)) == pytest.approx(at, abs=1e-9)
    table = fitted.table()
    assert len(table) == 1025 and table == sorted(table) and all(isinstance(value, int) for value in table)
    assert table[512] == pytest.approx(float(fitted.quantile(np.array([0.5]))[0]), abs=1)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 10**10), min_size=20, max_size=200), st.sampled_from(FAMILIES))
def test_any_sample_is_fitted_or_refused(values: list[int], family: str) -> None:
    try:
        model = model_file(np.array(values, np.int64), family, SOURCE)
    except InputError:
        assert len(set(values)) == 1
        return
    table = model.tables[0].quantiles_ns
    assert table == sorted(table) and table[0] >= 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "holds no latencies"),
        ([5, -1, 7], "1 of 3 latencies are negative"),
        ([1, 2 * 3600 * 10**9], "over an hour: is the unit right"),
        ([5] * 50, "at least 20 latencies that differ"),
    ],
)
def test_what_carries_no_model(values: list[int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        model_file(np.array(values, np.int64), "lognormal", SOURCE)


def test_empirical_files_draw_what_was_recorded(tmp_path: Path) -> None:
    values = drawn(stats.gamma(2.0, scale=MS), 5_000)
    write_model(model_file(values, "empirical", SOURCE), tmp_path / "model.json")
    table, text = build_leg(leg(table="model.json"), tmp_path, no_feed, "x")
    assert text.startswith("empirical model of model.json, median ")
    assert isinstance(table, LatencyTable)
    quantiles = read_model(tmp_path / "model.json").tables[0].quantiles_ns
    for share in (0.0, 0.5, 0.99, 1.0):
        assert np.quantile(quantiles, share) == pytest.approx(np.quantile(values, share), rel=0.02)


def test_a_model_by_load_keeps_what_each_load_had() -> None:
    loads = np.repeat(np.array([0, 10, 50]), 400)
    values = np.concatenate([drawn(stats.gamma(3.0, scale=k * MS), 400) for k in (1, 2, 5)])
    model = model_by_load(values, loads, "empirical", 3, SOURCE)
    assert [table.load_from for table in model.tables] == [0, 10, 50]
    for table, k in zip(model.tables, range(3), strict=True):
        part = values[400 * k : 400 * (k + 1)]
        assert (table.quantiles_ns[0], table.quantiles_ns[-1]) == (part.min(), part.max())
    alone = model_by_load(values, np.zeros(1200, np.int64), "empirical", 4, SOURCE)
    assert [table.load_from for table in alone.tables] == [0]


def test_a_run_draws_from_the_table_of_the_load_before_the_instant(tmp_path: Path) -> None:
    model = LatencyFile(
        1, "empirical", {}, [], [LoadTable(0, [10, 10]), LoadTable(5, [100, 300]), LoadTable(9, [900, 900])]
    )
    made = np.array([0, 4, 5, 8, 9, 0], np.int64)  # messages in steps 7, 8, 9 ...
    by_load = LatencyByLoad(model, 7, made)
    half = 1 << 63
    assert [by_load.latency(step * LOAD_STEP_NS + 5, half) for step in range(6, 16)] == [
        10, 10, 10, 10, 200, 200, 900, 10, 10, 10,
    ]  # fmt: skip
    assert by_load.latency(10 * LOAD_STEP_NS, 0) == 100 and by_load.latency(10 * LOAD_STEP_NS, (1 << 64) - 1) == 299
    write_model(model, tmp_path / "load.json")
    text = build_leg(leg(table="load.json"), tmp_path, no_feed, "x", lambda: (7, made))[1]
    assert (
        text
        == "empirical model of load.json by 3 classes of load, in the middle one median 300 ns, p99 300 ns".replace(
            "300 ns", "0.3 us"
        )
    )
    with pytest.raises(InputError, match="depends on the load of a feed"):
        build_leg(leg(table="load.json"), tmp_path, no_feed, "x")


@given(draw=st.integers(0, (1 << 64) - 1), size=st.integers(2, 40))
def test_the_model_by_load_interpolates_as_the_kernel_does(draw: int, size: int) -> None:
    table = [k * k * 1000 for k in range(size)]
    by_load = LatencyByLoad(LatencyFile(1, "x", {}, [], [LoadTable(0, table)]), 0, np.zeros(1, np.int64))
    place = draw / (1 << 64) * (size - 1)
    assert by_load.latency(0, draw) == pytest.approx(np.interp(place, range(size), table), abs=2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"perpsim_latency": 2}, "has form 2"),
        ({"load_step_ns": 5}, "counts load over 5 ns"),
        ({"tables": []}, "tables from load 0"),
        ({"tables": [{"load_from": 1, "quantiles_ns": [1, 2]}]}, "tables from load 0"),
        ({"tables": [{"load_from": 0, "quantiles_ns": [2, 1]}]}, "table 1: field 'quantiles_ns'"),
        ({"tables": [{"load_from": 0, "quantiles_ns": [1.5, 2]}]}, "cannot be read as a latency model"),
        ({"surprise": 1}, "cannot be read as a latency model"),
    ],
)
def test_model_files_that_are_wrong(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    whole = msgspec.to_builtins(LatencyFile(1, "x", {}, [], [LoadTable(0, [1, 2])]))
    (tmp_path / "model.json").write_text(json.dumps(whole | change))
    with pytest.raises(InputError, match=message):
        read_model(tmp_path / "model.json")


def test_fitting_a_table_from_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "feed.parquet"
    values = drawn(stats.lognorm(0.4, scale=2 * MS), 600)
    stream = ["trades", "depth"] * 300
    pl.DataFrame({"latency_ns": values, "stream": stream, "load": np.arange(600) % 7}).write_parquet(path)
    run = CliRunner()
    done = run.invoke(
        app, ["latency", "fit", str(path), "--stream", "trades", "-o", str(tmp_path / "m.json"), "--json"]
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert found["recorded"] == describe(values[::2]) and found["fits"][0]["ks"] < 0.05
    assert read_model(tmp_path / "m.json").source["stream"] == "trades"
    by_load = ["--by-load", "3", "--model", "empirical", "-o", str(tmp_path / "l.json")]
    shown = run.invoke(app, ["latency", "fit", str(path), *by_load])
    assert "by load from 0, 2, 4" in shown.output
    refused = run.invoke(app, ["latency", "fit", str(path), "--stream", "quotes"])
    assert refused.exit_code == 2 and "has no 'quotes'; it has depth, trades" in refused.output
    with pytest.raises(InputError, match="a model by load needs a feed table"):
        pl.DataFrame({"latency_ns": values}).write_parquet(tmp_path / "bare.parquet")
        wanted = {"stream": None, "leg": None, "value": "latency_ns", "unit": "ns"}
        fit_table(tmp_path / "bare.parquet", None, family="best", classes=2, **wanted)


def test_a_range_that_is_none_is_refused_by_its_name(tmp_path: Path) -> None:
    asked = ["latency", "feed", "--lake", str(tmp_path), "--venue", "binance_usdm", "--symbol", "BTCUSDT"]
    done = CliRunner().invoke(app, [*asked, "--until", "tomorrow", "-o", str(tmp_path / "feed.parquet")])
    assert done.exit_code == 2 and "field 'until': 'tomorrow' is no instant" in done.stderr
