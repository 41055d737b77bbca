"""Statistics of feeds: right on feeds with known answers, stored for recordings, and matched by the calm preset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from matching.codes import BBO, BUY, DEPTH, SELL, SNAPSHOT, TRADE
from matching.feed import MemorySource, messages_from_rows
from recorders.commands import import_
from recorders.lake import Lake
from sim.synth.listed import find_listed
from sim.synth.making import synth
from sim.synth.recorded import FACTORS, MARGINS, RECORDED, bands, recordings
from sim.synth.scenario import SECOND_NS
from sim.synth.statistics import (
    Tape,
    autocorrelation,
    curves,
    fano,
    flow_imbalance,
    mid_grid,
    round_share,
    statistics,
    variance_ratio,
)

EXAMPLES = Path(__file__).resolve().parents[3] / "shared" / "data" / "hftbacktest" / "examples"
FILES = {
    "BTCUSDT 2023-04": ("usdm", "btcusdt_20230404.dat.gz", "btcusdt_20230405.dat.gz"),
    "BTCUSDT 2024-07": ("usdm", "btcusdt_20240718.gz", "btcusdt_20240719.gz"),
    "BTCUSD_PERP 2024-08": ("cm", "btcusd_perp_20240808.gz", "btcusd_perp_20240809.gz"),
}


def tape_of(rows: list[tuple[int, int, int, int, int]]) -> Tape:
    """A tape of rows (ms, kind, side, ticks, lots); consecutive rows of equal time and kind are one message."""
    at, kind, side, ticks, lots = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    window = messages_from_rows(
        at * 10**6, at * 10**6, kind.astype(np.uint8), side.astype(np.uint8), ticks.astype(np.int32),
        lots.astype(np.int32),
    )  # fmt: skip
    return Tape().read(MemorySource(window))


def test_a_tape_merges_prints_and_counts_level_changes() -> None:
    found = tape_of([
        (0, SNAPSHOT, BUY, 99, 5), (0, SNAPSHOT, BUY, 97, 7), (0, SNAPSHOT, SELL, 100, 4), (0, SNAPSHOT, SELL, 103, 6),
        (5, TRADE, BUY, 100, 1), (6, TRADE, SELL, 99, 9),
        (7, BBO, BUY, 99, 5), (7, BBO, SELL, 100, 3),
        (9, BBO, BUY, 99, 8), (9, BBO, SELL, 102, 3),
        (10, DEPTH, BUY, 99, 8), (10, DEPTH, SELL, 100, 0), (10, DEPTH, SELL, 102, 3), (10, DEPTH, SELL, 103, 2),
    ])  # fmt: skip
    time, sign, lots = found.orders()
    assert (time // 10**6).tolist() == [5, 6] and sign.tolist() == [1.0, -1.0] and lots.tolist() == [1, 9]
    assert (found.more, found.new, found.less, found.gone) == (2, 1, 2, 1)
    assert found.depth_rows == [4]
    (sample,), (filled,) = found.samples, found.filled
    assert sample[:4] == (9, 0, 7 + 6, 0) and filled[:4] == (2, 0, 2, 0)
    flow, move = flow_imbalance(found, SECOND_NS)
    assert flow.tolist() == [3 + 3] and move.tolist() == [1.0]


def test_statistics_have_their_textbook_values() -> None:
    draws = np.random.default_rng(1)
    poisson = np.cumsum(draws.exponential(1e6, 50_000)).astype(np.int64)
    assert abs(fano(poisson, 10**8) - 1) < 0.15
    assert fano(np.repeat(poisson, 5), 10**8) > 4
    walk = np.cumsum(draws.normal(size=20_000))
    assert abs(variance_ratio(walk, 10) - 1) < 0.1
    assert variance_ratio(draws.normal(size=20_000), 10) < 0.2, "a stationary series reverts"
    assert autocorrelation(np.array([1.0, -1.0] * 50), (1, 2)) == pytest.approx([-1.0, 1.0])
    assert np.isnan(autocorrelation(np.ones(50), (1,))[0])
    assert round_share(np.array([10, 250, 500, 3000, 123, 7])) == pytest.approx(3 / 5)


def test_the_mid_is_as_of_the_instant() -> None:
    found = tape_of([
        (at, BBO, side, ticks, 1)
        for at, bid in ((0, 10), (150, 12), (310, 14))
        for side, ticks in ((BUY, bid), (SELL, bid + 1))
    ])  # fmt: skip
    assert mid_grid(found, 10**8).tolist() == [10.5, 10.5, 12.5, 12.5]


def test_too_little_is_refused() -> None:
    with pytest.raises(ValueError, match="1 taker orders, 1 quotes and 0 seconds"):
        statistics(tape_of([(1, TRADE, BUY, 5, 1), (2, BBO, BUY, 4, 1), (2, BBO, SELL, 5, 1)]))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if "2024" in name else []) for name in FILES]
)
def test_the_stored_table_is_that_of_the_recordings(name: str, tmp_path: Path) -> None:
    folder, *names = FILES[name]
    files = [EXAMPLES / folder / file for file in names]
    if not all(file.exists() for file in files):
        pytest.skip("recordings not present (../shared/data)")
    import_("binance", files, tmp_path / "lake")
    one = find_listed(name.split()[0])
    found = statistics(Tape().read(Lake(tmp_path / "lake").source(one.market.venue, one.market.symbol)))
    assert set(found) == set(RECORDED[name])
    for key, value in RECORDED[name].items():
        assert found[key] == pytest.approx(value, rel=0.01, abs=0.002), key


@pytest.mark.parametrize("symbol", ["BTCUSDT", "BTCUSD_PERP"])
def test_the_calm_preset_lies_within_the_bands_of_the_recordings(symbol: str, tmp_path: Path) -> None:
    synth("calm", 7, 200 * SECOND_NS, (symbol,), lake=tmp_path / "lake")
    one = find_listed(symbol)
    tape = Tape().read(Lake(tmp_path / "lake").source(one.market.venue, symbol))
    found = statistics(tape)
    off = [
        f"{name}: {found[name]:.4g} is not in {least:.4g}..{most:.4g}"
        for name, (least, most) in bands(symbol).items()
        if not least <= found[name] <= most
    ]
    assert off == []
    drawn = curves(tape)
    assert all(len(x) == len(y) > 0 for x, y in drawn.values())


def test_bands_are_named_after_statistics() -> None:
    for symbol in ("BTCUSDT", "BTCUSD_PERP"):
        assert recordings(symbol) and set(FACTORS) | set(MARGINS) <= set(recordings(symbol)[0])
        assert all(least < most for least, most in bands(symbol).values())
