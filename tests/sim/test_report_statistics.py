"""Figures of a run: small cases computed by hand, and properties that hold for every run."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matching import codes
from sim.report import execution, load_run, returns, statistics
from sim.report.figures import covered_rows, pnl_split
from sim.report.load import COLUMNS, INTEGER, TEXT, AccountInfo, InstrumentInfo
from tests.sim.report_runs import E8, INVERSE, LINEAR, MS, START_NS, Rows, S, empty_run, manifest, synthetic_run

BUY, SELL = codes.BUY, codes.SELL


def frame(file: str, *rows: dict[str, Any]) -> pl.DataFrame:
    """Rows of one file of a run folder; columns that are not given are zero (times at the start of the run count
    from 0)."""
    filled = Rows()
    for row in rows:
        filled.add(file, **row)
    return filled.frame(file)


def fill(t: int, side: int, ticks: int, lots: int, **more: Any) -> dict[str, Any]:
    return {"ts_event_ns": t, "side": side, "ticks": ticks, "lots": lots, "liquidity": codes.LIQ_MAKER} | more


def mid_track(*samples: tuple[int, int, int], gaps: tuple[tuple[int, int], ...] = ()) -> execution.MidTrack:
    bbo = frame("bbo", *[{"ts_ns": t, "bid_ticks": bid, "ask_ticks": ask} for t, bid, ask in samples])
    return execution.MidTrack.from_frames(bbo, frame("gaps", *[{"start_ns": a, "end_ns": b} for a, b in gaps]))


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_run(tmp_path_factory.mktemp("report") / "run", lanes=2, seconds=7_500, fills=200)


# -- returns, Sharpe, Sortino, drawdown --


def test_sharpe_and_sortino_of_four_returns_by_hand() -> None:
    series = np.array([0.01, -0.02, 0.03, 0.0])
    day = 86_400 * S
    # mean 0.005; squared deviations 25e-6 625e-6 625e-6 25e-6: sum 13e-4, over 3; downside: sqrt(4e-4 / 4) = 0.01
    assert returns.sharpe_ratio(series, day) == pytest.approx(0.005 / math.sqrt(13e-4 / 3) * math.sqrt(365))
    assert returns.sortino_ratio(series, day) == pytest.approx(0.5 * math.sqrt(365))
    assert returns.sharpe_ratio(np.full(20, 0.01), day) is None
    assert returns.sortino_ratio(np.array([0.01, 0.0]), day) is None


def test_grid_returns_take_the_last_sample_at_or_before_each_instant() -> None:
    ts = np.array([5, 10, 19, 30, 35]) * S
    level = np.array([101, 102, 103, 104, 105]) * E8
    ten = returns.RETURNS_NEEDED * 10 * S
    series = returns.grid_returns(ts, level, 100 * E8, 0, ten, 10 * S)
    assert series is not None
    wanted = [100, 102, 103, 104, 105] + [105] * 6  # at 0, 10, 20, 30, 40 s ...
    assert series.tolist() == pytest.approx([b / a - 1 for a, b in itertools.pairwise(wanted)])


def test_no_returns_are_stated_when_they_are_too_few_or_equity_is_not_positive() -> None:
    ts = np.arange(0, 100) * S
    assert returns.grid_returns(ts, np.full(100, E8), E8, 0, 5 * S, S) is None
    assert returns.grid_returns(ts, np.array([E8] * 50 + [-E8] * 50), E8, 0, 99 * S, S) is None


@pytest.mark.parametrize(
    ("span_s", "sample_s", "interval_s"),
    [
        (3 * 3_600, 1, 60),
        (90, 1, 1),
        (200 * 86_400, 1, 86_400),
        (5 * 86_400, 60, 3_600),
        (600, 30, 60),
        (50, 700_000, 86_400),
    ],
)
def test_return_interval_is_the_longest_with_a_hundred_returns(span_s: int, sample_s: int, interval_s: int) -> None:
    assert returns.return_interval_ns(0, span_s * S, sample_s * S) == interval_s * S


def test_drawdown_by_hand() -> None:
    # 100 -> 110 (peak) -> 99 -> 104 -> 110 (back) -> 120 (peak) -> 114 to the end
    ts = np.array([10, 20, 30, 40, 50, 60]) * S
    level = np.array([110, 99, 104, 110, 120, 114]) * E8
    found = returns.drawdown(ts, level, 100 * E8, 0)
    assert found == returns.Drawdown(11 * E8, 0.1, 30 * S, True)
    longer = returns.drawdown(np.append(ts, 300 * S), np.append(level, 119 * E8), 100 * E8, 0)
    assert (longer.longest_ns, longer.recovered) == (250 * S, False)
    assert returns.drawdown(ts, np.arange(6) + 100 * E8, 100 * E8, 0) == returns.Drawdown(0, 0.0, 0, True)


def test_the_deposit_is_the_first_peak() -> None:
    found = returns.drawdown(np.array([10 * S]), np.array([90 * E8]), 100 * E8, 0)
    assert found == returns.Drawdown(10 * E8, 0.1, 10 * S, False)


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=40), st.integers(1, 10**6))
def test_drawdown_is_the_worst_pair(levels: list[int], start: int) -> None:
    ts = np.arange(1, len(levels) + 1) * S
    found = returns.drawdown(ts, np.array(levels), start, 0)
    curve = [start, *levels]
    pairs = [(a, b) for i, a in enumerate(curve) for b in curve[i:]]
    assert found.largest_e8 == max(a - b for a, b in pairs)
    assert found.largest_share == pytest.approx(max((a - b) / a for a, b in pairs))
    assert found.longest_ns <= ts[-1]


# -- markouts and slippage --


def test_markouts_by_hand() -> None:
    mid = mid_track(*[(t * 100 * MS, 100 + t, 102 + t) for t in range(12)])  # mid 101 + t every 0.1 s
    fills = frame("fills", fill(0, BUY, 100, 3), fill(50 * MS, SELL, 102, 1, liquidity=codes.LIQ_TAKER))
    found = {(m["horizon_ns"], m["group"]): m for m in execution.markouts(fills, mid)}
    assert found[0, "buy"]["ticks"] == 1.0  # 101 - 100
    assert found[0, "sell"]["ticks"] == 1.0  # -(101 - 102): the sample at 0 s is the last at or before 0.05 s
    assert found[100 * MS, "buy"]["ticks"] == 2.0
    assert found[100 * MS, "sell"]["ticks"] == 0.0
    assert found[100 * MS, "all"]["ticks"] == pytest.approx((3 * 2.0 + 1 * 0.0) / 4)
    assert found[100 * MS, "all"]["bps"] == pytest.approx(3 * 2 / 100 * 1e4 / 4)
    assert found[1 * S, "all"]["lots"] == 4
    assert found[1 * S, "sell"]["ticks"] == pytest.approx(-9.0)  # sample at 1.0 s is 111
    assert (found[10 * S, "all"]["fills"], found[10 * S, "all"]["ticks"]) == (0, None)  # after the last sample
    assert found[1 * S, "taker"]["ticks"] == found[1 * S, "sell"]["ticks"]


def test_a_horizon_below_the_sampling_of_the_mid_is_not_measured() -> None:
    mid = mid_track(*[(t * S, 100, 102) for t in range(20)])
    found = execution.markouts(frame("fills", fill(S, BUY, 100, 1)), mid)
    measured = {m["horizon_ns"]: m["measurable"] for m in found}
    assert measured == {0: True, 100 * MS: False, S: True, 10 * S: True, 60 * S: True}
    assert all(m["ticks"] is None for m in found if m["horizon_ns"] == 100 * MS)


def test_no_mid_is_known_inside_a_gap_or_with_one_side_missing() -> None:
    mid = mid_track(
        (0, 100, 102), (S, 100, 102), (2 * S, codes.NO_PRICE, 102), (9 * S, 110, 112), gaps=((3 * S, 9 * S),)
    )
    at = mid.at(np.array([-1, 0, S + 5, 2 * S, 3 * S, 9 * S - 1, 9 * S, 10 * S - 1, 10 * S]))
    assert np.isnan(at).tolist() == [True, False, False, True, True, True, False, False, True]
    assert at[6] == 111.0


def test_slippage_is_against_the_mid_when_the_order_was_sent() -> None:
    mid = mid_track((0, 99, 101), (S, 104, 106), (2 * S, 104, 106))
    taker = {"liquidity": codes.LIQ_TAKER, "cause": codes.CAUSE_TAKER}
    fills = frame(
        "fills",
        fill(S, BUY, 106, 2, order_no=1, **taker),
        fill(S, SELL, 104, 1, order_no=2, **taker),
        fill(S, SELL, 90, 9, order_no=0, liquidity=codes.LIQ_TAKER, cause=codes.CAUSE_LIQUIDATION),
    )
    orders = frame(
        "orders",
        {"order_no": 1, "seq": 1, "ts_sent_ns": 5, "event": codes.EV_ACCEPTED},
        {"order_no": 1, "seq": 2, "ts_sent_ns": 5, "event": codes.EV_FILLED},
        {"order_no": 2, "seq": 1, "ts_sent_ns": S, "event": codes.EV_ACCEPTED},
    )
    found = execution.slippage(fills, orders, mid)  # 106 - 100 = 6 on 2 lots; 105 - 104 = 1 on 1 lot
    assert found["fills"] == 2
    assert found["ticks"] == pytest.approx((2 * 6 + 1) / 3)
    assert found["bps"] == pytest.approx(1e4 * (2 * 6 / 100 + 1 / 105) / 3)


# -- orders, queue, latency, holding, inventory --


def test_order_counts_and_fill_ratios_by_hand() -> None:
    accepted, filled, rejected = codes.EV_ACCEPTED, codes.EV_FILLED, codes.EV_REJECTED
    orders = frame(
        "orders",
        {"order_no": 1, "seq": 1, "event": accepted, "lots": 10},
        {"order_no": 1, "seq": 2, "event": filled, "lots": 4},
        {"order_no": 1, "seq": 3, "event": codes.EV_AMENDED, "lots": 6},
        {"order_no": 1, "seq": 4, "event": codes.EV_CANCELED, "reason": codes.R_USER},
        {"order_no": 2, "seq": 1, "event": rejected, "reason": codes.R_POST_ONLY},
        {"order_no": 3, "seq": 1, "event": accepted, "lots": 2},
        {"order_no": 3, "seq": 2, "event": codes.EV_EXPIRED, "reason": codes.R_IOC_REMAINDER},
        {"order_no": 0, "seq": 1, "event": filled, "lots": 99, "cause": codes.CAUSE_LIQUIDATION},
    )
    found = execution.order_counts(orders)
    assert (found["submitted"], found["accepted"], found["rejected"], found["filled"]) == (3, 2, 1, 1)
    assert found["rejected_by_reason"] == {"post only": 1}
    assert (found["canceled"], found["expired"]) == (1, 1)
    assert found["fill_ratio_orders"] == 0.5
    assert found["fill_ratio_lots"] == 4 / 8  # the amended size of order 1 counts


def test_queue_quantiles_leave_out_takers_and_unknown_queues() -> None:
    rows = [fill(0, BUY, 1, 1, queue_front_lots=x, cause=codes.CAUSE_QUEUE) for x in (0.0, 1.0, 2.0, 3.0, -1e-6)]
    taker = fill(0, BUY, 1, 1, queue_front_lots=50.0, liquidity=codes.LIQ_TAKER, cause=codes.CAUSE_TAKER)
    found = execution.queue_quantiles(frame("fills", *rows, taker))
    assert found["fills"] == 5
    assert found["quantiles"]["0.5"] == 1.0
    assert found["quantiles"]["1"] == 3.0
    assert found["by_cause"] == {"queue": 5}


def test_latencies_by_hand() -> None:
    orders = frame(
        "orders",
        {"order_no": 1, "seq": 1, "ts_sent_ns": 100, "ts_event_ns": 110, "ts_deliver_ns": 125},
        {"order_no": 1, "seq": 2, "ts_sent_ns": 100, "ts_event_ns": 500, "ts_deliver_ns": 505},
        {"order_no": 2, "seq": 1, "ts_sent_ns": 100, "ts_event_ns": 0, "ts_deliver_ns": 130},
        {"order_no": 0, "seq": 9, "ts_sent_ns": 100, "ts_event_ns": 100, "ts_deliver_ns": 400},
    )
    assert execution.entry_latency_ns(orders).tolist() == [10]
    assert sorted(execution.response_latency_ns(orders).tolist()) == [5, 15]
    found = execution.latency_quantiles(np.arange(1, 1001))
    assert found == {"count": 1000, "min": 1, "p50": 500, "p90": 900, "p99": 990, "p99.9": 999, "max": 1000}
    assert execution.latency_quantiles(np.array([], dtype=np.int64)) == {"count": 0}


def test_holding_times_first_in_first_out() -> None:
    fills = frame(
        "fills",
        fill(0, BUY, 10, 2),
        fill(10, BUY, 11, 2),
        fill(20, SELL, 12, 3, realized_e8=5),  # 2 lots held 20, 1 lot held 10
        fill(30, SELL, 12, 2, realized_e8=-1),  # 1 lot held 20, then short 1
        fill(70, BUY, 12, 1, realized_e8=0),  # short held 40
    )
    found = execution.holding_times(fills)
    assert found["closed_lots"] == 5
    assert found["mean_ns"] == (2 * 20 + 10 + 20 + 40) / 5
    assert (found["closing_fills"], found["hit_rate"]) == (3, 1 / 3)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 9)), max_size=30))
def test_holding_closes_what_the_position_no_longer_holds(moves: list[tuple[int, int]]) -> None:
    fills = frame("fills", *[fill(k, side, 10, lots) for k, (side, lots) in enumerate(moves)])
    position = sum(lots if side == BUY else -lots for side, lots in moves)
    traded = sum(lots for _, lots in moves)
    assert 2 * execution.holding_times(fills)["closed_lots"] + abs(position) == traded


def test_inventory_by_hand() -> None:
    times, lots = np.array([20, 50, 80]), np.array([3, -2, 0])
    found = execution.inventory(times, lots, 0, 100)
    assert (found["flat_share"], found["long_share"], found["short_share"]) == (0.4, 0.3, 0.3)
    assert (found["max_long_lots"], found["max_short_lots"], found["end_lots"]) == (3, 2, 0)
    assert found["mean_abs_lots"] == pytest.approx((3 * 30 + 2 * 30) / 100)


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(-5, 5)), max_size=20))
def test_inventory_shares_sum_to_one(steps: list[tuple[int, int]]) -> None:
    ordered = sorted(steps, key=lambda step: step[0])
    times = np.array([t for t, _ in ordered], dtype=np.int64)
    found = execution.inventory(times, np.array([lots for _, lots in ordered], dtype=np.int64), 0, 100)
    assert found["long_share"] + found["short_share"] + found["flat_share"] == pytest.approx(1.0)


def test_orders_that_rested_when_a_gap_began_are_counted() -> None:
    orders = frame(
        "orders",
        {"order_no": 1, "seq": 1, "event": codes.EV_ACCEPTED, "ts_event_ns": 10},
        {"order_no": 1, "seq": 2, "event": codes.EV_CANCELED, "ts_event_ns": 40},
        {"order_no": 2, "seq": 1, "event": codes.EV_ACCEPTED, "ts_event_ns": 10},
        {"order_no": 2, "seq": 2, "event": codes.EV_FILLED, "ts_event_ns": 20, "leaves": 0},
        {"order_no": 3, "seq": 1, "event": codes.EV_ACCEPTED, "ts_event_ns": 25},
    )
    assert execution.orders_open_in_gaps(orders, frame("gaps", {"start_ns": 30, "end_ns": 35}), 100) == 2


# -- accounts --


def test_pnl_split_sums_to_the_change_of_equity_to_the_unit(run_folder: Path) -> None:
    run = load_run(run_folder)
    parts = ("price_e8", "fee_e8", "funding_e8", "liquidation_e8", "unexplained_e8")
    for account in run.accounts:
        split = pnl_split(run, account)
        assert split["unexplained_e8"] == 0
        assert sum(split[part] for part in parts) == split["equity_change_e8"]
        assert split["price_realized_e8"] + split["price_unrealized_e8"] == split["price_e8"]
    assert any(pnl_split(run, account)["liquidation_e8"] for account in run.accounts)
    assert any(pnl_split(run, account)["funding_e8"] for account in run.accounts)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**20), st.integers(1, 60))
def test_books_close_for_every_seed(tmp_path_factory: pytest.TempPathFactory, seed: int, fills: int) -> None:
    run = load_run(synthetic_run(tmp_path_factory.mktemp("seed") / "run", lanes=1, seconds=60, fills=fills, seed=seed))
    assert [pnl_split(run, account)["unexplained_e8"] for account in run.accounts] == [0, 0]


def test_a_wallet_that_does_not_follow_from_the_files_is_reported(tmp_path: Path) -> None:
    folder = synthetic_run(tmp_path / "run", lanes=1, seconds=60, fills=20)
    fills = pl.read_parquet(folder / "fills.parquet")
    fills.with_columns(pl.col("fee_e8") + 1).write_parquet(folder / "fills.parquet")
    first = statistics(folder)["accounts"][0]
    assert first["pnl"]["unexplained_e8"] == first["fills"]


def test_what_the_insurance_fund_covers_belongs_to_the_liquidation() -> None:
    account = AccountInfo(0, 0, "v", "USDT", 100, "v")
    fills = frame(
        "fills",
        fill(10, BUY, 5, 1, wallet_e8=99, fee_e8=1),
        fill(30, SELL, 5, 1, realized_e8=-150, fee_e8=2, wallet_e8=0, cause=codes.CAUSE_LIQUIDATION),
    )
    funding = frame("funding", {"boundary_ns": 20, "booked_ns": 21, "payment_e8": 7})
    # 100 - 1 + 7 - 150 - 2 = -46: the fund pays 46
    assert covered_rows(account, fills, funding).rows() == [(30, 46)]


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
        from decimal import Decimal

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
