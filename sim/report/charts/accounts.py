"""Charts of one account: equity and drawdown, the split of its PnL, position and margin ratio."""

from __future__ import annotations

from typing import Any

from sim.report.charts.common import Trace, axis, events_layout, line_of, ms, time_axis
from sim.report.figures import AccountMeasure
from sim.report.formats import E8, count_text
from sim.report.registry import Figure, Scope, chart
from sim.report.rows import balance_text, pnl_text

PARTS = (
    ("price", "Price", "$price"),
    ("fee", "Fees", "$fee"),
    ("funding", "Funding", "$funding"),
    ("liquidation", "Liquidation", "$liquidation"),
)


NOTHING = "Nothing was gained or lost: no fills, no fees and no funding."
TOO_SHORT = "The run was too short for a single sample of the account."


def account_of(scope: Scope) -> AccountMeasure:
    assert scope.account is not None, "charts of kind 'account' are drawn for an account"
    return scope.account


def _account_events(own: AccountMeasure) -> dict[str, Any]:
    account = own.account
    mine = [i.index for i in own.run.instruments if (i.venue, i.settle) == (account.venue, account.asset)]
    return events_layout(own.run, mine, own.funding["boundary_ns"].tolist(), own.forced_ns)


@chart("equity", "Equity and drawdown", "account")
def equity_chart(scope: Scope) -> Figure | str:
    run, own = scope.run, account_of(scope)
    account = own.account
    if not own.samples:
        return TOO_SHORT
    times, rows = own.curve.rows()
    level, fall = rows[:, 0] / E8, rows[:, 1] / E8
    if (rows[:, 0] == account.deposit_e8).all():
        deposit_text = f"{balance_text(scope.figures, account.deposit_e8)} {account.asset}"
        return f"Equity never moved from the deposit of {deposit_text}."
    span = [run.first_ns / 1e6, run.last_ns / 1e6]
    deposit = {"x": span, "y": [account.deposit_e8 / E8] * 2, "hoverinfo": "skip", "name": "Deposit"}
    area = {"fill": "tozeroy", "fillcolor": "$liquidation-soft", "yaxis": "y2", "line": {"width": 1.2}}
    traces = [
        {"type": "scatter", "mode": "lines", "line": {"color": "$muted", "width": 1, "dash": "dash"}} | deposit,
        line_of(ms(times), level, "Equity", "$net"),
        line_of(ms(times), fall, "Drawdown", "$liquidation", **area),
    ]
    layout = {
        "xaxis": time_axis(run, anchor="y2"),
        "yaxis": axis(f"Equity, {account.asset}", domain=[0.36, 1]),
        "yaxis2": axis(f"Drawdown, {account.asset}", domain=[0, 0.28], rangemode="tozero", nticks=4),
        "hovermode": "x unified",
    }
    count = count_text(own.samples)
    note = f"Wallet plus unrealised PnL at mark, {count} samples; drawdown is the distance below the peak."
    return Figure(traces, layout | _account_events(own), 460, note)


@chart("pnl_split", "PnL split over time", "account")
def pnl_chart(scope: Scope) -> Figure | str:
    own = account_of(scope)
    if not own.samples:
        return TOO_SHORT
    times, parts = own.split_over_time()
    if not any(values.any() for values in parts.values()):
        return NOTHING
    x = ms(times)
    format_ = {"hovertemplate": "%{y:+,.6~f}"}
    traces = [
        line_of(x, parts[key], label, color, **format_)
        for key, label, color in PARTS
        if key in ("price", "fee") or parts[key].any()
    ]
    traces.append(line_of(x, parts["net"], "Net", "$net", line={"width": 2.4}, **format_))
    layout = {
        "xaxis": time_axis(scope.run),
        "yaxis": axis(f"PnL, {own.account.asset}", zeroline=True),
        "hovermode": "x unified",
    }
    note = (
        "Cumulated since the start; price is realised plus unrealised at mark, before fees. The parts sum to the net."
    )
    if not parts["funding"].any():
        note += " No funding was paid or received."
    return Figure(traces, layout | _account_events(own), 360, note)


@chart("pnl_parts", "Where the PnL came from", "account", wide=False)
def pnl_parts_chart(scope: Scope) -> Figure | str:
    account, split = account_of(scope).account, scope.figures["pnl"]
    if not any(split.values()):
        return NOTHING
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
    run, own = scope.run, account_of(scope)
    account = own.account
    mine = [m for m in scope.measures.instruments if run.account_of(m.lane, m.instrument) == account]
    if not any(m.was_held for m in mine):
        return "No position was ever held, so there is nothing to margin."
    traces: list[Trace] = []
    for place, held in enumerate(mine):
        times, values = held.value.rows()
        color = ("$price", "$fee", "$funding", "$sell")[place % 4]
        traces.append(line_of(ms(times), values[:, 0], held.instrument.name, color, line={"shape": "hv", "width": 1.2}))
    margined = own.margin_max is not None
    layout = {
        "xaxis": time_axis(run, anchor="y2" if margined else "y"),
        "yaxis": axis(f"Value, {account.asset}", domain=[0.5, 1] if margined else [0, 1], zeroline=True),
        "hovermode": "x unified",
    }
    note = "Position at mark, long above zero."
    if margined:
        times, ratio = own.margin.rows()
        style = {"yaxis": "y2", "line": {"width": 1.2}, "hovertemplate": "%{y:.3f} %"}
        traces.append(line_of(ms(times), 100 * ratio[:, 0], "Margin ratio", "$liquidation", **style))
        layout["yaxis2"] = axis("Margin ratio, %", domain=[0, 0.42], rangemode="tozero")
        note += " Margin ratio: maintenance margin over margin balance; 100 % is liquidation."
    else:
        note += " No maintenance margin was ever due."
    return Figure(traces, layout | _account_events(own), 400, note)
