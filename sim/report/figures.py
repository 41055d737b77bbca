"""The figures of a run, per account and per instrument, from its run folder alone.

Money stays in integers at 1e-8 of the account's asset (``_e8``); shares, ratios and averages are floats; None
stands for "not defined here" (no fills, no negative return ...). The split of an account's PnL adds up to its
change of equity to the unit:

    equity at the end - deposit = price + fee + funding + liquidation + unexplained

    price        realised PnL of fills that were no liquidation, plus unrealised PnL at mark at the end
    fee          minus the fees of those fills (a rebate counts positive)
    funding      payments received minus payments made
    liquidation  realised PnL minus fees of liquidation and take-over fills, plus what the insurance fund covered
    unexplained  what the files do not account for: zero, or the run folder contradicts itself
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from matching import codes
from sim.report import execution, returns
from sim.report.load import AccountInfo, InstrumentInfo, RunData, names_of, select

DAY_NS = 86_400 * 1_000_000_000
FORCED = (codes.CAUSE_LIQUIDATION, codes.CAUSE_ADL)


def run_statistics(run: RunData) -> dict[str, Any]:
    """Everything of this module for one run; keys ``period annualisation accounts instruments feeds``."""
    span = run.last_ns - run.first_ns
    return {
        "period": {"first_ns": run.first_ns, "last_ns": run.last_ns, "span_ns": span},
        "annualisation": "sqrt(365 d / return_interval_ns) of each account; risk-free rate 0",
        "accounts": [
            account_statistics(run, account, name)
            for account, name in zip(run.accounts, names_of(run.accounts), strict=True)
        ],
        "instruments": [
            instrument_statistics(run, lane, instrument)
            for lane in run.lanes
            for instrument in run.instruments
            if _trades_at(run, lane, instrument)
        ],
        "feeds": [feed_statistics(run, instrument) for instrument in run.instruments],
    }


def _trades_at(run: RunData, lane: int, instrument: InstrumentInfo) -> bool:
    """Whether the lane has an account at the instrument's venue in its settlement asset, or traded it at all."""
    wanted = (lane, instrument.venue, instrument.settle)
    return any((a.lane, a.venue, a.asset) == wanted for a in run.accounts) or bool(
        len(select(run.orders, lane=lane, instrument=instrument.index))
    )


def account_frames(run: RunData, account: AccountInfo) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Fills, funding payments and equity samples of one account in one asset."""
    own = {"lane": account.lane, "account": account.account}
    settled = [i.index for i in run.instruments if i.settle == account.asset]
    fills = select(run.fills, **own).filter(pl.col("instrument").is_in(settled))
    funding = select(run.funding, **own).filter(pl.col("instrument").is_in(settled))
    return fills, funding, select(run.equity, **own, asset=account.asset)


def is_forced() -> pl.Expr:
    """Fills that the venue forced: liquidation, take-over, auto-deleveraging."""
    return pl.col("cause").is_in(FORCED)


def covered_rows(account: AccountInfo, fills: pl.DataFrame, funding: pl.DataFrame) -> pl.DataFrame:
    """Where the insurance fund paid a deficit: ``ts_event_ns`` and ``covered_e8`` of each fill that did not book
    all of it.

    A venue with an insurance fund lets a flat account's wallet end at zero, not below; the difference between what
    the fill realised and what the wallet shows is what the fund paid. Only fills that left the wallet at zero can
    be one.
    """
    booked = funding.select(pl.col("booked_ns").alias("ts_event_ns"), pl.col("payment_e8")).sort("ts_event_ns")
    before = booked.select("ts_event_ns", pl.col("payment_e8").cum_sum().alias("funded"))
    rows = fills.join_asof(before, on="ts_event_ns").with_columns(pl.col("funded").fill_null(0))
    due = pl.col("wallet_e8").shift(1, fill_value=account.deposit_e8) + pl.col("realized_e8") - pl.col("fee_e8")
    due = due + pl.col("funded") - pl.col("funded").shift(1, fill_value=0)
    rows = rows.with_columns((pl.col("wallet_e8") - due).alias("covered_e8"))
    found = rows.filter((pl.col("wallet_e8") == 0) & (pl.col("covered_e8") > 0))
    return found.select("ts_event_ns", "covered_e8")


def pnl_split(run: RunData, account: AccountInfo) -> dict[str, int]:
    """The split of the module's docstring for one account, all at 1e-8, plus ``equity_change_e8``,
    ``price_realized_e8`` and ``price_unrealized_e8`` (which sum to ``price_e8``), ``insurance_e8`` (the fund's part
    of ``liquidation_e8``)."""
    fills, funding, equity = account_frames(run, account)
    forced, free = fills.filter(is_forced()), fills.filter(~is_forced())
    covered = int(covered_rows(account, fills, funding)["covered_e8"].sum())
    wallet, unrealized = (int(equity[c][-1]) if len(equity) else 0 for c in ("wallet_e8", "unrealized_e8"))
    if not len(equity):
        wallet = account.deposit_e8
    split = {
        "price_e8": int(free["realized_e8"].sum()) + unrealized,
        "fee_e8": -int(free["fee_e8"].sum()),
        "funding_e8": int(funding["payment_e8"].sum()),
        "liquidation_e8": int(forced["realized_e8"].sum()) - int(forced["fee_e8"].sum()) + covered,
    }
    change = wallet + unrealized - account.deposit_e8
    return split | {
        "unexplained_e8": change - sum(split.values()),
        "equity_change_e8": change,
        "insurance_e8": covered,
        "price_realized_e8": int(free["realized_e8"].sum()),
        "price_unrealized_e8": unrealized,
    }


def account_statistics(run: RunData, account: AccountInfo, name: str) -> dict[str, Any]:
    """Figures of one account in one asset.

    ``return_share`` = equity change / deposit. ``sharpe`` ``sortino`` on ``returns`` returns of
    ``return_interval_ns``. ``drawdown_*`` as in ``returns.Drawdown``. ``traded_value_e8``: sum of fill values;
    ``turnover`` = that / deposit. ``fees_e8``: fees paid, rebates negative. ``margin_ratio_max``: highest
    maintenance margin / margin balance sampled, None when no margin was ever due.
    """
    fills, funding, equity = account_frames(run, account)
    ts, level = equity["ts_ns"].to_numpy(), equity["equity_e8"].to_numpy()
    split = pnl_split(run, account)
    fall = returns.drawdown(ts, level, account.deposit_e8, run.first_ns)
    ratios = _ratios(run, account, ts, level)
    value = sum(traded_values_e8(run, fills))
    forced = fills.filter(is_forced())
    margin = equity["margin_ratio"].drop_nulls()
    margin = margin.filter(margin.is_finite()) if (equity["maintenance_e8"] > 0).any() else margin.clear()
    deposit = account.deposit_e8
    return {
        "lane": account.lane,
        "account": account.account,
        "name": name,
        "strategy": run.strategy_of(account.lane),
        "asset": account.asset,
        "deposit_e8": deposit,
        "wallet_e8": int(equity["wallet_e8"][-1]) if len(equity) else deposit,
        "equity_e8": deposit + split["equity_change_e8"],
        "pnl": split,
        "return_share": split["equity_change_e8"] / deposit if deposit else None,
        **ratios,
        "drawdown_e8": fall.largest_e8,
        "drawdown_share": fall.largest_share,
        "drawdown_ns": fall.longest_ns,
        "drawdown_recovered": fall.recovered,
        "fills": len(fills),
        "traded_value_e8": value,
        "turnover": value / deposit if deposit else None,
        "fees_e8": int(fills["fee_e8"].sum()),
        "funding_payments": len(funding),
        "liquidation_fills": len(forced),
        "margin_ratio_max": _float(margin.max()) if len(margin) else None,
    }


def _ratios(
    run: RunData, account: AccountInfo, ts: npt.NDArray[np.int64], level: npt.NDArray[np.int64]
) -> dict[str, Any]:
    interval = returns.return_interval_ns(run.first_ns, run.last_ns, returns.sample_interval_ns(ts[:-1]))
    series = returns.grid_returns(ts, level, account.deposit_e8, run.first_ns, run.last_ns, interval)
    return {
        "return_interval_ns": interval,
        "returns": 0 if series is None else len(series),
        "sharpe": None if series is None else returns.sharpe_ratio(series, interval),
        "sortino": None if series is None else returns.sortino_ratio(series, interval),
    }


def traded_values_e8(run: RunData, fills: pl.DataFrame) -> list[int]:
    """Value of each fill in its settlement asset at 1e-8, in the order of ``fills``."""
    values = np.zeros(len(fills), dtype=object)
    index = fills["instrument"].to_numpy()
    for place in np.unique(index).tolist():
        mine = index == place
        rows = fills.filter(pl.Series(mine)).select("ticks", "lots").iter_rows()
        values[mine] = run.instruments[place].values_e8(rows)
    return values.tolist()


def instrument_statistics(run: RunData, lane: int, instrument: InstrumentInfo) -> dict[str, Any]:
    """Figures of one lane on one instrument: orders, fills, costs, markouts, queue, inventory, latencies.

    ``maker_share`` = value of maker fills / value of all fills. ``realized_e8`` ``fees_e8`` ``funding_e8`` are sums
    over fills and payments (unrealised PnL belongs to the account). Markouts leave out fills that the venue forced,
    which are no decision of the strategy. Sizes in lots; see ``execution`` for the rest.
    """
    own = {"lane": lane, "instrument": instrument.index}
    orders, fills, funding = (select(frame, **own) for frame in (run.orders, run.fills, run.funding))
    gaps = select(run.gaps, instrument=instrument.index)
    mid = execution.MidTrack.from_frames(select(run.bbo, instrument=instrument.index), gaps)
    values = np.array(traded_values_e8(run, fills), dtype=object)
    maker = (fills["liquidity"] == codes.LIQ_MAKER).to_numpy()
    total = int(values.sum()) if len(values) else 0
    steps = execution.position_steps(fills, select(run.positions, **own))
    return {
        "lane": lane,
        "instrument": instrument.index,
        "name": instrument.name,
        "asset": instrument.settle,
        "orders": execution.order_counts(orders),
        "orders_open_in_gaps": execution.orders_open_in_gaps(orders, gaps, run.last_ns),
        "fills": len(fills),
        "maker_fills": int(maker.sum()),
        "filled_lots": int(fills["lots"].sum()),
        "traded_value_e8": total,
        "maker_share": int(values[maker].sum()) / total if total else None,
        "realized_e8": int(fills["realized_e8"].sum()),
        "fees_e8": int(fills["fee_e8"].sum()),
        "funding_e8": int(funding["payment_e8"].sum()),
        "funding_payments": len(funding),
        "holding": execution.holding_times(fills),
        "inventory": execution.inventory(*steps, run.first_ns, run.last_ns),
        "mid_sample_ns": mid.step_ns,
        "markouts": execution.markouts(fills.filter(~is_forced()), mid),
        "slippage": execution.slippage(fills, orders, mid),
        "queue": execution.queue_quantiles(fills),
        "entry_latency": execution.latency_quantiles(execution.entry_latency_ns(orders)),
        "response_latency": execution.latency_quantiles(execution.response_latency_ns(orders)),
    }


def feed_statistics(run: RunData, instrument: InstrumentInfo) -> dict[str, Any]:
    """Feed latency quantiles and gaps of one instrument; ``gap_share`` of the run's time."""
    gaps = select(run.gaps, instrument=instrument.index)
    lost = int((gaps["end_ns"] - gaps["start_ns"]).sum())
    span = run.last_ns - run.first_ns
    feed = select(run.feed_latency, instrument=instrument.index)
    return {
        "instrument": instrument.index,
        "name": instrument.name,
        "feed_latency": execution.latency_quantiles(feed["latency_ns"].to_numpy()),
        "gaps": len(gaps),
        "gap_ns": lost,
        "gap_share": lost / span if span > 0 else None,
    }


def _float(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
