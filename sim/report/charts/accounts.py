"""Charts of one account: equity and drawdown, the split of its PnL, position and margin ratio."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from sim.report.charts.common import F64, I64, Trace, axis, events_layout, line_of, ms, time_axis
from sim.report.downsample import extremes
from sim.report.figures import account_frames, covered_rows, is_forced
from sim.report.formats import E8, count_text
from sim.report.load import AccountInfo, InstrumentInfo, RunData, select
from sim.report.registry import Figure, Scope, chart
from sim.report.returns import running_peak
from sim.report.rows import balance_text, pnl_text

PARTS = (
    ("price", "Price", "$price"),
    ("fee", "Fees", "$fee"),
    ("funding", "Funding", "$funding"),
    ("liquidation", "Liquidation", "$liquidation"),
)


def account_of(scope: Scope) -> AccountInfo:
    assert scope.account is not None, "charts of kind 'account' are drawn for an account"
    return scope.account


def _account_events(run: RunData, account: AccountInfo) -> dict[str, Any]:
    fills, funding, _ = account_frames(run, account)
    own = [i.index for i in run.instruments if (i.venue, i.settle) == (account.venue, account.asset)]
    return events_layout(run, run.gaps.filter(pl.col("instrument").is_in(own)), funding, fills.filter(is_forced()))


@chart("equity", "Equity and drawdown", "account")
def equity_chart(scope: Scope) -> Figure | str:
    run, account = scope.run, account_of(scope)
    _, _, equity = account_frames(run, account)
    if equity.is_empty():
        return "The run was too short for a single sample of the account."
    level = equity["equity_e8"].to_numpy()
    if (level == account.deposit_e8).all():
        return (
            f"Equity never moved from the deposit of {balance_text(scope.figures, account.deposit_e8)} {account.asset}."
        )
    fall = (level - running_peak(level, account.deposit_e8)) / E8
    chosen = np.union1d(extremes(level.astype(np.float64), scope.points), extremes(fall, scope.points // 2))
    times = ms(equity["ts_ns"].to_numpy()[chosen])
    span = [run.first_ns / 1e6, run.last_ns / 1e6]
    deposit = {"x": span, "y": [account.deposit_e8 / E8] * 2, "hoverinfo": "skip", "name": "Deposit"}
    traces = [
        {"type": "scatter", "mode": "lines", "line": {"color": "$muted", "width": 1, "dash": "dash"}} | deposit,
        line_of(times, level[chosen] / E8, "Equity", "$net"),
        line_of(
            times,
            fall[chosen],
            "Drawdown",
            "$liquidation",
            fill="tozeroy",
            fillcolor="$liquidation-soft",
            yaxis="y2",
            line={"width": 1.2},
        ),
    ]
    layout = {
        "xaxis": time_axis(run, anchor="y2"),
        "yaxis": axis(f"Equity, {account.asset}", domain=[0.36, 1]),
        "yaxis2": axis(f"Drawdown, {account.asset}", domain=[0, 0.28], rangemode="tozero", nticks=4),
        "hovermode": "x unified",
    }
    note = (
        f"Wallet plus unrealised PnL at mark, sampled {count_text(len(equity))} times; drawdown is the distance below"
    )
    note += " the peak so far."
    return Figure(traces, layout | _account_events(run, account), 460, note)


def _split_over_time(scope: Scope) -> tuple[I64, dict[str, F64]]:
    """Sample times and the cumulated parts of the PnL at them, in units of the asset."""
    account = account_of(scope)
    fills, funding, equity = account_frames(scope.run, account)
    times = equity["ts_ns"].to_numpy()

    def cumulated(frame: pl.DataFrame, time: str, amount: pl.Expr) -> F64:
        booked = frame.sort(time)
        sums = np.concatenate(([0], np.cumsum(booked.select(amount).to_series().to_numpy())))
        return np.asarray(sums[np.searchsorted(booked[time].to_numpy(), times, side="right")] / E8)

    forced = pl.col("realized_e8") - pl.col("fee_e8")
    covered = covered_rows(account, fills, funding)
    parts = {
        "fee": cumulated(fills.filter(~is_forced()), "ts_event_ns", -pl.col("fee_e8")),
        "funding": cumulated(funding, "booked_ns", pl.col("payment_e8")),
        "liquidation": cumulated(fills.filter(is_forced()), "ts_event_ns", forced)
        + cumulated(covered, "ts_event_ns", pl.col("covered_e8")),
    }
    net = (equity["equity_e8"].to_numpy() - account.deposit_e8) / E8
    return times, {"price": net - sum(parts.values()), **parts, "net": net}


@chart("pnl_split", "PnL split over time", "account")
def pnl_chart(scope: Scope) -> Figure | str:
    account = account_of(scope)
    times, parts = _split_over_time(scope)
    if not len(times):
        return "The run was too short for a single sample of the account."
    if not any(values.any() for values in parts.values()):
        return "Nothing was gained or lost: no fills, no fees and no funding."
    chosen = np.union1d(extremes(parts["net"], scope.points // 2), extremes(parts["price"], scope.points // 2))
    x = ms(times[chosen])
    format_ = {"hovertemplate": "%{y:+,.6~f}"}
    traces = [
        line_of(x, parts[key][chosen], label, color, **format_)
        for key, label, color in PARTS
        if key in ("price", "fee") or parts[key].any()
    ]
    traces.append(line_of(x, parts["net"][chosen], "Net", "$net", line={"width": 2.4}, **format_))
    layout = {
        "xaxis": time_axis(scope.run),
        "yaxis": axis(f"PnL, {account.asset}", zeroline=True),
        "hovermode": "x unified",
    }
    note = (
        "Cumulated since the start; price is realised plus unrealised at mark, before fees. The parts sum to the net."
    )
    if not parts["funding"].any():
        note += " No funding was paid or received."
    return Figure(traces, layout | _account_events(scope.run, account), 360, note)


@chart("pnl_parts", "Where the PnL came from", "account", wide=False)
def pnl_parts_chart(scope: Scope) -> Figure | str:
    account, split = account_of(scope), scope.figures["pnl"]
    if not any(split.values()):
        return "Nothing was gained or lost: no fills, no fees and no funding."
    shown = [
        (label, split[f"{key}_e8"], color)
        for key, label, color in PARTS
        if key != "liquidation" or split["liquidation_e8"]
    ]
    if split["unexplained_e8"]:
        shown.append(("Unexplained", split["unexplained_e8"], "$liquidation"))
    shown.append(("Net", split["equity_change_e8"], "$net"))
    amounts = [amount / E8 for _, amount, _ in shown]
    trace = {
        "type": "bar",
        "x": [label for label, _, _ in shown],
        "y": amounts,
        "marker": {"color": [c for _, _, c in shown]},
        "text": [pnl_text(scope.figures, amount) for _, amount, _ in shown],
        "textposition": "outside",
        "cliponaxis": False,
        "hovertemplate": "%{x} %{y:+,.8~f}<extra></extra>",
    }
    layout = {
        "xaxis": {"type": "category"},
        "yaxis": axis(f"PnL, {account.asset}", zeroline=True),
        "showlegend": False,
    }
    return Figure(
        [trace], layout, 400, "At the end of the run; these parts sum to the change of equity to the last digit."
    )


@chart("margin", "Position and margin ratio", "account", wide=False)
def margin_chart(scope: Scope) -> Figure | str:
    run, account = scope.run, account_of(scope)
    _, _, equity = account_frames(run, account)
    own = [i for i in run.instruments if (i.venue, i.settle) == (account.venue, account.asset)]
    held = select(run.positions, lane=account.lane).filter(pl.col("instrument").is_in([i.index for i in own]))
    if not (held["position_lots"] != 0).any():
        return "No position was ever held, so there is nothing to margin."
    traces: list[Trace] = []
    for instrument in own:
        held = select(run.positions, lane=account.lane, instrument=instrument.index)
        value = _position_values(instrument, held)
        chosen = extremes(value, scope.points // 2)
        x, color = ms(held["ts_ns"].to_numpy()[chosen]), ("$price", "$fee", "$funding", "$sell")[instrument.index % 4]
        traces.append(line_of(x, value[chosen], instrument.name, color, line={"shape": "hv", "width": 1.2}))
    margined = (equity["maintenance_e8"] > 0).any()
    layout = {
        "xaxis": time_axis(run, anchor="y2" if margined else "y"),
        "yaxis": axis(f"Value, {account.asset}", domain=[0.5, 1] if margined else [0, 1], zeroline=True),
        "hovermode": "x unified",
    }
    note = "Position at mark, long above zero."
    if margined:
        traces.append(_margin_ratio(equity, scope.points))
        layout["yaxis2"] = axis("Margin ratio, %", domain=[0, 0.42], rangemode="tozero")
        note += " Margin ratio: maintenance margin over margin balance; 100 % is liquidation."
    else:
        note += " No maintenance margin was ever due."
    return Figure(traces, layout | _account_events(run, account), 400, note)


def _margin_ratio(equity: pl.DataFrame, points: int) -> Trace:
    ratio = 100.0 * equity["margin_ratio"].fill_null(np.nan).to_numpy().astype(np.float64)
    ratio[~np.isfinite(ratio)] = np.nan  # maintenance owed on no equity at all
    chosen = extremes(ratio, points)
    style = {"yaxis": "y2", "line": {"width": 1.2}, "hovertemplate": "%{y:.3f} %"}
    return line_of(ms(equity["ts_ns"].to_numpy()[chosen]), ratio[chosen], "Margin ratio", "$liquidation", **style)


def _position_values(instrument: InstrumentInfo, held: pl.DataFrame) -> F64:
    """Signed value of the position at mark in the settlement asset; NaN before the first mark (inverse)."""
    lots, mark = held["position_lots"].to_numpy().astype(np.float64), held["mark_e8"].to_numpy() / E8
    size = lots * float(instrument.lot_size) * float(instrument.contract_size)
    if not instrument.inverse:
        return np.asarray(size * mark)
    return np.divide(size, mark, out=np.full_like(size, np.nan), where=mark > 0)
