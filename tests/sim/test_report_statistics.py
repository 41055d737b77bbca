"""Figures of a run: small cases computed by hand, and properties that hold for every run."""

from __future__ import annotations

import io
import itertools
import math
import tracemalloc
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from matching import codes
from sim.report import execution, load_run, print_table, returns, statistics
from sim.report.figures import Measures, measure
from sim.report.load import COLUMNS, INTEGER, TEXT, Columns, InstrumentInfo
from sim.report.mids import Mids
from sim.report.streams import Sample
from tests.sim.report_runs import E8, INVERSE, LINEAR, MS, START_NS, Rows, S, empty_run, manifest, synthetic_run

BUY, SELL = codes.BUY, codes.SELL
DAY = 86_400 * S
NO_GAPS = np.empty(0, np.int64)


def columns(file: str, *rows: dict[str, Any]) -> Columns:
    """Rows of one file of a run folder as arrays; columns that are not given are zero."""
    filled = Rows()
    for row in rows:
        filled.add(file, **row)
    return {name: series.to_numpy() for name, series in zip(COLUMNS[file], filled.frame(file), strict=True)}


def fill(t: int, side: int, ticks: int, lots: int, **more: Any) -> dict[str, Any]:
    return {"ts_event_ns": t, "side": side, "ticks": ticks, "lots": lots, "liquidity": codes.LIQ_MAKER} | more


def parts_of(rows: Columns, cuts: list[int]) -> list[Columns]:
    """The rows in consecutive batches, cut at the given places."""
    count = len(next(iter(rows.values())))
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < count}), count]
    return [{name: values[a:b] for name, values in rows.items()} for a, b in itertools.pairwise(edges)]


def mids_of(folder: Path, *samples: tuple[int, int, int], gaps: tuple[tuple[int, int], ...] = ()) -> Mids:
    """Mids of a run with these samples (time, bid, ask) of instrument 0; the times are as given."""
    rows = Rows()
    for t, bid, ask in samples:
        rows.add("bbo", ts_ns=t, bid_ticks=bid, ask_ticks=ask)
    for start, end in gaps:
        rows.add("gaps", start_ns=start, end_ns=end)
    account = {"lane": 0, "account": 0, "venue": "binance_usdm", "asset": "USDT", "deposit_e8": 0}
    written = manifest([LINEAR], [account], 0, first_ns=0, last_ns=max(t for t, _, _ in samples))
    return Mids(load_run(rows.write(folder / "mids", written)))


def grid_returns(ts: Any, level: Any, start: int, last: int, interval: int, cuts: Any = ()) -> returns.GridReturns:
    found = returns.GridReturns(0, last, interval, start)
    for part in parts_of({"ts": ts, "level": level}, list(cuts)):
        found.add(part["ts"], part["level"])
    found.finish()
    return found


def falls(ts: Any, level: Any, start: int, cuts: Any = ()) -> returns.Drawdown:
    found = returns.Falls(0, start)
    for part in parts_of({"ts": ts, "level": level}, list(cuts)):
        found.add(part["ts"], part["level"])
    return found.result()


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_run(tmp_path_factory.mktemp("report") / "run", lanes=2, seconds=7_500, fills=200)


# -- returns, Sharpe, Sortino, drawdown --


def test_sharpe_and_sortino_of_four_returns_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(returns, "RETURNS_NEEDED", 4)
    levels = np.array([1.0, 1.01, 1.01 * 0.98, 1.01 * 0.98 * 1.03, 1.01 * 0.98 * 1.03]) * 1e15
    found = grid_returns(np.arange(5) * DAY, levels.round().astype(np.int64), 1, 4 * DAY, DAY)
    # returns 1 %, -2 %, 3 %, 0: mean 0.005; squared deviations 25e-6 625e-6 625e-6 25e-6: sum 13e-4, over 3;
    # downside: sqrt(4e-4 / 4) = 0.01
    assert found.sharpe == pytest.approx(0.005 / math.sqrt(13e-4 / 3) * math.sqrt(365))
    assert found.sortino == pytest.approx(0.5 * math.sqrt(365))


def test_ratios_that_are_not_defined() -> None:
    flat = grid_returns(np.arange(30) * S, np.full(30, E8), E8, 29 * S, S)
    assert (flat.count, flat.sharpe, flat.sortino) == (29, None, None)
    few = grid_returns(np.arange(5) * S, np.arange(5) + E8, E8, 4 * S, S)
    assert (few.count, few.sharpe, few.sortino) == (0, None, None)
    bankrupt = grid_returns(np.arange(100) * S, np.array([E8] * 50 + [-E8] * 50), E8, 99 * S, S)
    assert (bankrupt.count, bankrupt.sharpe) == (0, None)


def test_grid_returns_take_the_last_sample_at_or_before_each_instant() -> None:
    ts = np.array([5, 10, 19, 30, 35]) * S
    level = np.array([101, 102, 103, 104, 105]) * E8
    found = grid_returns(ts, level, 100 * E8, 100 * S, 10 * S)
    wanted = np.array([100, 102, 103, 104, 105] + [105] * 6)  # at 0, 10, 20, 30, 40 s ...
    series = wanted[1:] / wanted[:-1] - 1
    assert found.count == 10
    assert found.sharpe == pytest.approx(series.mean() / series.std(ddof=1) * math.sqrt(returns.YEAR_NS / (10 * S)))


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(1, 10**6)), min_size=1, max_size=60),
    st.lists(st.integers(1, 59)),
)
def test_ratios_do_not_depend_on_how_samples_are_batched(samples: list[tuple[int, int]], cuts: list[int]) -> None:
    ts = np.array(sorted(t for t, _ in samples)) * S
    level = np.array([value for _, value in samples]) * E8
    whole, parts = (grid_returns(ts, level, E8, 300 * S, 10 * S, cut) for cut in ([], cuts))
    assert whole.count == parts.count
    assert whole.sharpe == pytest.approx(parts.sharpe)
    assert whole.sortino == pytest.approx(parts.sortino)


@pytest.mark.parametrize(
    ("span_s", "sample_s", "interval_s"),
    [(3 * 3_600, 1, 60), (90, 1, 1), (200 * 86_400, 1, 86_400), (5 * 86_400, 60, 3_600), (600, 30, 60)],
)
def test_return_interval_is_the_longest_with_a_hundred_returns(span_s: int, sample_s: int, interval_s: int) -> None:
    assert returns.return_interval_ns(0, span_s * S, sample_s * S) == interval_s * S


def test_drawdown_by_hand() -> None:
    # 100 -> 110 (peak) -> 99 -> 104 -> 110 (back) -> 120 (peak) -> 114 to the end
    ts = np.array([10, 20, 30, 40, 50, 60]) * S
    level = np.array([110, 99, 104, 110, 120, 114]) * E8
    assert falls(ts, level, 100 * E8) == returns.Drawdown(11 * E8, 0.1, 30 * S, True)
    longer = falls(np.append(ts, 300 * S), np.append(level, 119 * E8), 100 * E8)
    assert (longer.longest_ns, longer.recovered) == (250 * S, False)
    assert falls(ts, np.arange(6) + 100 * E8, 100 * E8) == returns.Drawdown(0, 0.0, 0, True)


def test_the_deposit_is_the_first_peak() -> None:
    assert falls(np.array([10 * S]), np.array([90 * E8]), 100 * E8) == returns.Drawdown(10 * E8, 0.1, 10 * S, False)


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=40), st.integers(1, 10**6), st.lists(st.integers(1, 39)))
def test_drawdown_is_the_worst_pair_however_it_is_batched(levels: list[int], start: int, cuts: list[int]) -> None:
    ts = np.arange(1, len(levels) + 1) * S
    found = falls(ts, np.array(levels), start, cuts)
    curve = [start, *levels]
    pairs = [(a, b) for i, a in enumerate(curve) for b in curve[i:]]
    assert found.largest_e8 == max(a - b for a, b in pairs)
    assert found.largest_share == pytest.approx(max((a - b) / a for a, b in pairs))
    assert found == falls(ts, np.array(levels), start)


# -- markouts and slippage --


def test_markouts_by_hand(tmp_path: Path) -> None:
    mids = mids_of(tmp_path, *[(t * 100 * MS, 100 + t, 102 + t) for t in range(12)])  # mid 101 + t every 0.1 s
    found = execution.Markouts(mids, 0)
    forced = fill(0, SELL, 50, 9, liquidity=codes.LIQ_TAKER, cause=codes.CAUSE_LIQUIDATION)
    found.add(columns("fills", fill(0, BUY, 100, 3), forced))
    found.add(columns("fills", fill(50 * MS, SELL, 102, 1, liquidity=codes.LIQ_TAKER)))
    by_key = {(m["horizon_ns"], m["group"]): m for m in found.result()}
    assert by_key[0, "buy"]["ticks"] == 1.0  # 101 - 100
    assert by_key[0, "sell"]["ticks"] == 1.0  # -(101 - 102): the sample at 0 s is the last at or before 0.05 s
    assert by_key[100 * MS, "buy"]["ticks"] == 2.0
    assert by_key[100 * MS, "sell"]["ticks"] == 0.0
    assert by_key[100 * MS, "all"]["ticks"] == pytest.approx((3 * 2.0 + 1 * 0.0) / 4)
    assert by_key[100 * MS, "all"]["bps"] == pytest.approx(3 * 2 / 100 * 1e4 / 4)
    assert by_key[1 * S, "all"]["lots"] == 4
    assert by_key[1 * S, "sell"]["ticks"] == pytest.approx(-9.0)  # sample at 1.0 s is 111
    assert (by_key[10 * S, "all"]["fills"], by_key[10 * S, "all"]["ticks"]) == (0, None)  # after the last sample
    assert by_key[1 * S, "taker"]["ticks"] == by_key[1 * S, "sell"]["ticks"]


def test_a_horizon_below_the_sampling_of_the_mid_is_not_measured(tmp_path: Path) -> None:
    found = execution.Markouts(mids_of(tmp_path, *[(t * S, 100, 102) for t in range(20)]), 0)
    found.add(columns("fills", fill(S, BUY, 100, 1)))
    measured = {m["horizon_ns"]: m["measurable"] for m in found.result()}
    assert measured == {0: True, 100 * MS: False, S: True, 10 * S: True, 60 * S: True}
    assert all(m["ticks"] is None for m in found.result() if m["horizon_ns"] == 100 * MS)


def test_no_mid_is_known_inside_a_gap_or_with_one_side_missing(tmp_path: Path) -> None:
    samples = ((0, 100, 102), (S, 100, 102), (2 * S, codes.NO_PRICE, 102), (9 * S, 110, 112))
    mids = mids_of(tmp_path, *samples, gaps=((3 * S, 9 * S),))
    at = mids.at(0, np.array([10 * S, -1, 0, S + 5, 2 * S, 3 * S, 9 * S - 1, 9 * S, 10 * S - 1]))  # in any order
    assert np.isnan(at).tolist() == [True, True, False, False, True, True, True, False, False]
    assert at[7] == 111.0


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(-5, 210), max_size=40), st.integers(1, 9))
def test_mids_do_not_depend_on_row_groups(
    tmp_path_factory: pytest.TempPathFactory, times: list[int], rows_of_group: int
) -> None:
    folder = tmp_path_factory.mktemp("mids")
    whole = mids_of(folder, *[(t * 10, t, t + 2) for t in range(20)])
    asked = np.array(times, np.int64)
    wanted = whole.at(0, asked)
    path = folder / "mids" / "bbo.parquet"
    pl.read_parquet(path).write_parquet(path, row_group_size=rows_of_group)
    cut = Mids(load_run(folder / "mids"))
    assert np.array_equal(cut.at(0, asked), wanted, equal_nan=True)
    assert cut.step_ns(0) == 10
    known = (asked >= 0) & (asked < 200)
    assert np.array_equal(wanted[known], asked[known] // 10 + 1)
    assert np.isnan(wanted[~known]).all()


def test_slippage_is_against_the_mid_when_the_order_was_sent(tmp_path: Path) -> None:
    mids = mids_of(tmp_path, (0, 99, 101), (S, 104, 106), (2 * S, 104, 106))
    taker = {"event": codes.EV_FILLED, "cause": codes.CAUSE_TAKER, "seq": 1}
    found = execution.TakerCosts(mids, 0)
    found.add(
        columns(
            "orders",
            {"order_no": 1, "ts_sent_ns": 5, "event": codes.EV_ACCEPTED},
            {"order_no": 1, "ts_sent_ns": 5, "side": BUY, "ticks": 106, "lots": 2, **taker},
            {"order_no": 2, "ts_sent_ns": S, "side": SELL, "ticks": 104, "lots": 1, **taker},
            {"order_no": 0, "side": SELL, "ticks": 90, "lots": 9, **taker, "cause": codes.CAUSE_LIQUIDATION},
        )
    )
    result = found.result()  # 106 - 100 = 6 on 2 lots; 105 - 104 = 1 on 1 lot
    assert result["fills"] == 2
    assert result["ticks"] == pytest.approx((2 * 6 + 1) / 3)
    assert result["bps"] == pytest.approx(1e4 * (2 * 6 / 100 + 1 / 105) / 3)


# -- orders, queue, latency, holding, inventory --

ORDER_STORY = (
    {"order_no": 1, "seq": 0, "event": codes.EV_ACCEPTED, "lots": 10, "leaves": 10},
    {"order_no": 1, "seq": 1, "event": codes.EV_FILLED, "lots": 4, "leaves": 6},
    {"order_no": 1, "seq": 2, "event": codes.EV_AMENDED, "lots": 6, "leaves": 2},
    {"order_no": 1, "seq": 3, "event": codes.EV_FILLED, "lots": 1, "leaves": 1},
    {"order_no": 2, "seq": 0, "event": codes.EV_REJECTED, "reason": codes.R_POST_ONLY},
    {"order_no": 1, "seq": 4, "event": codes.EV_CANCELED, "reason": codes.R_USER, "leaves": 1},
    {"order_no": 3, "seq": 0, "event": codes.EV_ACCEPTED, "lots": 2, "leaves": 2},
    {"order_no": 3, "seq": 1, "event": codes.EV_EXPIRED, "reason": codes.R_IOC_REMAINDER, "leaves": 2},
    {"order_no": 0, "seq": 0, "event": codes.EV_FILLED, "lots": 99, "cause": codes.CAUSE_LIQUIDATION},
)


@given(st.lists(st.integers(1, 8)))
def test_order_counts_and_fill_ratios_by_hand_however_they_are_batched(cuts: list[int]) -> None:
    flow = execution.OrderFlow(NO_GAPS)
    for part in parts_of(columns("orders", *ORDER_STORY), cuts):
        flow.add(part)
    found = flow.result()
    assert (found["submitted"], found["accepted"], found["rejected"], found["filled"]) == (3, 2, 1, 1)
    assert found["rejected_by_reason"] == {"post only": 1}
    assert (found["canceled"], found["expired"]) == (1, 1)
    assert found["fill_ratio_orders"] == 0.5
    assert found["fill_ratio_lots"] == 5 / 8  # the amended size of order 1 counts


def test_queue_quantiles_leave_out_takers_and_unknown_queues() -> None:
    rows = [fill(0, BUY, 1, 1, queue_front_lots=x, cause=codes.CAUSE_QUEUE) for x in (0.0, 1.0, 2.0, 3.0, math.nan)]
    taker = fill(0, BUY, 1, 1, queue_front_lots=50.0, liquidity=codes.LIQ_TAKER, cause=codes.CAUSE_TAKER)
    queue = execution.Queue()
    queue.add(columns("fills", *rows[:2], taker))
    queue.add(columns("fills", *rows[2:]))
    found = queue.result()
    assert (found["fills"], queue.unknown) == (5, 1)
    assert found["quantiles"]["0.5"] == 1.0
    assert found["quantiles"]["1"] == 3.0
    assert found["by_cause"] == {"queue": 5}
    assert queue.bins[codes.CAUSE_QUEUE].tolist() == [1, 1, 2] + [0] * 4  # 0; up to 1; up to 10


def test_latencies_by_hand() -> None:
    flow = execution.OrderFlow(NO_GAPS)
    flow.add(
        columns(
            "orders",
            {"order_no": 1, "seq": 0, "ts_sent_ns": 100, "ts_event_ns": 110, "ts_deliver_ns": 125},
            {"order_no": 1, "seq": 1, "ts_sent_ns": 100, "ts_event_ns": 500, "ts_deliver_ns": 505},
            {"order_no": 2, "seq": 0, "ts_sent_ns": 100, "ts_event_ns": 0, "ts_deliver_ns": 130},
            {"order_no": 0, "seq": 0, "ts_sent_ns": 100, "ts_event_ns": 100, "ts_deliver_ns": 400},
        )
    )
    assert flow.entry.values().tolist() == [10]
    assert flow.response.values().tolist() == [15, 5]
    flow.entry.add(np.arange(1, 1001))
    assert execution.latency_figures(execution.OrderFlow(NO_GAPS).entry) == {"count": 0}
    found = execution.latency_figures(flow.entry)
    assert (found["count"], found["min"], found["max"]) == (1001, 1, 1000)
    assert (found["p50"], found["p90"], found["p99"], found["p99.9"]) == (500, 900, 990, 999)


@given(st.lists(st.integers(1, 4)))
def test_holding_times_first_in_first_out(cuts: list[int]) -> None:
    fills = columns(
        "fills",
        fill(0, BUY, 10, 2),
        fill(10, BUY, 11, 2),
        fill(20, SELL, 12, 3, realized_e8=5),  # 2 lots held 20, 1 lot held 10
        fill(30, SELL, 12, 2, realized_e8=-1),  # 1 lot held 20, then short 1
        fill(70, BUY, 12, 1, realized_e8=0),  # short held 40
    )
    holding = execution.Holding()
    for part in parts_of(fills, cuts):
        holding.add(part)
    found = holding.result()
    assert found["closed_lots"] == 5
    assert found["mean_ns"] == (2 * 20 + 10 + 20 + 40) / 5
    assert (found["closing_fills"], found["hit_rate"]) == (3, 1 / 3)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 9)), max_size=30))
def test_holding_closes_what_the_position_no_longer_holds(moves: list[tuple[int, int]]) -> None:
    holding = execution.Holding()
    holding.add(columns("fills", *[fill(k, side, 10, lots) for k, (side, lots) in enumerate(moves)]))
    position = sum(lots if side == BUY else -lots for side, lots in moves)
    traded = sum(lots for _, lots in moves)
    assert 2 * holding.result()["closed_lots"] + abs(position) == traded


def inventory(steps: list[tuple[int, int]], cuts: list[int]) -> dict[str, Any]:
    found = execution.Inventory(0, 100, 50)
    rows = columns("fills", *[{"ts_event_ns": t, "position_lots": lots} for t, lots in steps])
    for part in parts_of(rows, cuts):
        found.add(part)
    return found.result()


@given(st.lists(st.integers(1, 2)))
def test_inventory_by_hand(cuts: list[int]) -> None:
    found = inventory([(20, 3), (50, -2), (80, 0)], cuts)
    assert (found["flat_share"], found["long_share"], found["short_share"]) == (0.4, 0.3, 0.3)
    assert (found["max_long_lots"], found["max_short_lots"], found["end_lots"]) == (3, 2, 0)
    assert found["mean_abs_lots"] == pytest.approx((3 * 30 + 2 * 30) / 100)


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(-5, 5)), max_size=20))
def test_inventory_shares_sum_to_one(steps: list[tuple[int, int]]) -> None:
    found = inventory(sorted(steps, key=lambda step: step[0]), [])
    assert found["long_share"] + found["short_share"] + found["flat_share"] == pytest.approx(1.0)


@given(st.lists(st.integers(1, 4)))
def test_orders_that_rested_when_a_gap_began_are_counted(cuts: list[int]) -> None:
    flow = execution.OrderFlow(np.array([30]))
    orders = columns(
        "orders",
        {"order_no": 1, "seq": 0, "event": codes.EV_ACCEPTED, "ts_event_ns": 10, "leaves": 1},
        {"order_no": 2, "seq": 0, "event": codes.EV_ACCEPTED, "ts_event_ns": 10, "leaves": 1},
        {"order_no": 2, "seq": 1, "event": codes.EV_FILLED, "ts_event_ns": 20},
        {"order_no": 3, "seq": 0, "event": codes.EV_ACCEPTED, "ts_event_ns": 25, "leaves": 1},
        {"order_no": 1, "seq": 1, "event": codes.EV_CANCELED, "ts_event_ns": 40, "leaves": 1},
    )
    for part in parts_of(orders, cuts):
        flow.add(part)
    assert flow.orders_in_gaps(100) == 2


# -- accounts --


def splits(measures: Measures) -> list[dict[str, int]]:
    return [account.pnl_split() for account in measures.accounts]


def test_pnl_split_sums_to_the_change_of_equity_to_the_unit(run_folder: Path) -> None:
    measures = measure(load_run(run_folder))
    parts = ("price_e8", "fee_e8", "funding_e8", "liquidation_e8", "unexplained_e8")
    for split in splits(measures):
        assert split["unexplained_e8"] == 0
        assert sum(split[part] for part in parts) == split["equity_change_e8"]
        assert split["price_realized_e8"] + split["price_unrealized_e8"] == split["price_e8"]
    assert any(split["liquidation_e8"] for split in splits(measures))
    assert any(split["funding_e8"] for split in splits(measures))
    for account in measures.accounts:
        times, course = account.split_over_time()
        split = account.pnl_split()
        assert times[-1] == measures.run.last_ns
        for part in ("price", "fee", "funding", "liquidation"):
            assert course[part][-1] * E8 == pytest.approx(split[f"{part}_e8"], abs=0.5)
        assert np.allclose(sum(course[part] for part in ("price", "fee", "funding", "liquidation")), course["net"])


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**20), st.integers(1, 60))
def test_books_close_for_every_seed(tmp_path_factory: pytest.TempPathFactory, seed: int, fills: int) -> None:
    folder = synthetic_run(tmp_path_factory.mktemp("seed") / "run", lanes=1, seconds=60, fills=fills, seed=seed)
    assert [split["unexplained_e8"] for split in splits(measure(load_run(folder)))] == [0, 0]


def test_a_wallet_that_does_not_follow_from_the_files_is_reported(tmp_path: Path) -> None:
    folder = synthetic_run(tmp_path / "run", lanes=1, seconds=60, fills=20)
    fills = pl.read_parquet(folder / "fills.parquet")
    fills.with_columns(pl.col("fee_e8") + 1).write_parquet(folder / "fills.parquet")
    first = statistics(folder)["accounts"][0]
    assert first["pnl"]["unexplained_e8"] == first["fills"]


def test_what_the_insurance_fund_covers_belongs_to_the_liquidation(tmp_path: Path) -> None:
    rows, own = Rows(), {"lane": 0, "account": 0, "instrument": 0}
    for t, wallet in ((0, 100), (10 * S, 99), (21 * S, 106), (30 * S, 0), (40 * S, 0)):
        rows.add("equity", lane=0, account=0, asset="USDT", ts_ns=START_NS + t, wallet_e8=wallet, equity_e8=wallet)
    rows.add("fills", **own, **fill(START_NS + 10 * S, BUY, 5, 1, wallet_e8=99, fee_e8=1))
    liquidation = {"realized_e8": -150, "fee_e8": 2, "wallet_e8": 0, "cause": codes.CAUSE_LIQUIDATION}
    rows.add("fills", **own, **fill(START_NS + 30 * S, SELL, 5, 1, **liquidation))
    rows.add("funding", **own, boundary_ns=START_NS + 20 * S, booked_ns=START_NS + 21 * S, payment_e8=7)
    account = {"lane": 0, "account": 0, "venue": "binance_usdm", "asset": "USDT", "deposit_e8": 100}
    (split,) = splits(measure(load_run(rows.write(tmp_path / "run", manifest([LINEAR], [account], 40 * S)))))
    assert split["insurance_e8"] == 46  # 100 - 1 + 7 - 150 - 2 = -46
    assert split["liquidation_e8"] == -150 - 2 + 46
    assert (split["unexplained_e8"], split["equity_change_e8"]) == (0, -100)
    out = io.StringIO()
    print_table(tmp_path / "run", Console(file=out))
    assert "no ratio: equity was not above zero throughout" in out.getvalue()


def test_figures_do_not_depend_on_how_the_files_are_batched(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = statistics(run_folder)
    monkeypatch.setattr("sim.report.load.BATCH_ROWS", 37)
    parts = statistics(run_folder)
    for one, other in zip(whole["accounts"], parts["accounts"], strict=True):
        assert one.pop("sharpe") == pytest.approx(other.pop("sharpe"))
        assert one.pop("sortino") == pytest.approx(other.pop("sortino"))
        assert one == other
    for one, other in zip(whole["instruments"], parts["instruments"], strict=True):
        for a, b in zip(one.pop("markouts"), other.pop("markouts"), strict=True):
            assert a == pytest.approx(b)
        assert one.pop("slippage") == pytest.approx(other.pop("slippage"))
        assert one == other
    assert whole["feeds"] == parts["feeds"]


def longer_run(folder: Path, copies: int) -> Path:
    """A run of which fills and samples are repeated one after the other, as many times, in small row groups."""
    folder = synthetic_run(folder, lanes=1, seconds=200, fills=200)
    last = 0
    for name, time in (("fills", "ts_event_ns"), ("equity", "ts_ns"), ("bbo", "ts_ns"), ("positions", "ts_ns")):
        frame = pl.read_parquet(folder / f"{name}.parquet")
        whole = pl.concat([frame.with_columns(pl.col(time) + k * 300 * S) for k in range(copies)])
        last = max(last, whole[time].to_list()[-1])
        whole.write_parquet(folder / f"{name}.parquet", row_group_size=512)
    raw = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(raw.replace(f'"last_ns": {START_NS + 200 * S}', f'"last_ns": {last}'))
    return folder


def test_memory_does_not_grow_with_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the bytes that a run of ten times the length has more, hardly any stay in memory (numpy reports to
    tracemalloc: what stays is row groups' places, and lines and samples that were not full before)."""
    monkeypatch.setattr("sim.report.load.BATCH_ROWS", 256)
    monkeypatch.setattr("sim.report.execution.Sample", partial(Sample, 64))

    def peak_and_size(copies: int) -> tuple[int, int]:
        run = load_run(longer_run(tmp_path / str(copies), copies))
        tracemalloc.start()
        measure(run, points=100, marks=50)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak, sum(8 * table.rows * len(COLUMNS[name]) for name, table in run.tables.items())

    peak_and_size(1)  # what is imported and cached on the way does not count
    (short, few), (long, many) = peak_and_size(5), peak_and_size(50)
    assert long - short < (many - few) / 25


def test_figures_of_a_run_of_one_round_trip(tmp_path: Path) -> None:
    rows, span = Rows(), 100 * S
    size = {"lane": 0, "account": 0, "instrument": 0}
    for t in range(101):
        equity = 1_000 * E8 + (0 if t < 10 else 5 * E8 if t < 50 else 2 * E8)
        rows.add("equity", lane=0, account=0, asset="USDT", ts_ns=START_NS + t * S, wallet_e8=equity, equity_e8=equity)
    trade = {"liquidity": codes.LIQ_MAKER, "lots": 100}
    rows.add(
        "fills", **size, **trade, ts_event_ns=START_NS + 10 * S, side=BUY, ticks=281_000, fee_e8=E8, position_lots=100
    )
    rows.add(
        "fills",
        **size,
        **trade,
        ts_event_ns=START_NS + 50 * S,
        side=SELL,
        ticks=281_500,
        fee_e8=2 * E8,
        realized_e8=5 * E8,
    )
    account = {"lane": 0, "account": 0, "venue": "binance_usdm", "asset": "USDT", "deposit_e8": 1_000 * E8}
    figures = statistics(rows.write(tmp_path / "run", manifest([LINEAR], [account], span)))
    (found,), (instrument,) = figures["accounts"], figures["instruments"]
    assert found["pnl"]["equity_change_e8"] == 2 * E8
    assert (found["pnl"]["price_e8"], found["pnl"]["fee_e8"]) == (5 * E8, -3 * E8)
    assert (found["return_share"], found["drawdown_e8"]) == (0.002, 3 * E8)
    assert found["traded_value_e8"] == (2_810 + 2_815) * E8  # 0.1 BTC at 28,100 and at 28,150
    assert found["turnover"] == pytest.approx(5.625)
    assert found["drawdown_ns"] == 51 * S  # from the last sample at the peak (49 s) to the end
    assert instrument["holding"]["mean_ns"] == 40 * S
    assert instrument["inventory"]["long_share"] == 0.4
    assert (instrument["maker_share"], instrument["holding"]["hit_rate"]) == (1.0, 1.0)


def test_values_of_linear_and_inverse_contracts() -> None:
    def info(raw: dict[str, Any]) -> InstrumentInfo:
        sizes = {k: Decimal(raw[k]) for k in ("tick_size", "lot_size", "contract_size")}
        return InstrumentInfo(index=0, **{**raw, **sizes})

    assert info(LINEAR).values_e8([(281_551, 3), (1, 1)]) == [28_155_10 * 3 * E8 // 100_000, 10_000]
    assert info(INVERSE).values_e8([(500_000, 7)]) == [1_400_000]  # 700 USD at 50,000 is 0.014 BTC
    assert (info(LINEAR).size_unit, info(INVERSE).size_unit) == ("BTC", "contracts")


def test_nothing_traded_gives_no_figures_rather_than_zeros(tmp_path: Path) -> None:
    figures = statistics(empty_run(tmp_path / "run"))
    instrument = figures["instruments"][0]
    assert instrument["maker_share"] is None
    assert instrument["orders"]["fill_ratio_lots"] is None
    assert instrument["holding"]["mean_ns"] is None
    assert all(m["bps"] is None for m in instrument["markouts"])
    assert figures["accounts"][0]["sharpe"] is None
    assert figures["feeds"][0]["feed_latency"] == {"count": 0}


def test_columns_are_stated_for_every_file() -> None:
    kinds = {kind for columns in COLUMNS.values() for kind in columns.values()}
    assert kinds == {INTEGER, TEXT, "number"}
