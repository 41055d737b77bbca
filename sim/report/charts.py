"""The built-in charts of the report. Each says in words when there is nothing to draw.

Times are drawn in UTC as milliseconds since the epoch; money, sizes and prices become floats here and nowhere before.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from matching import codes
from sim.report import execution
from sim.report.downsample import break_line, evenly, extremes
from sim.report.formats import (
    E8,
    count_text,
    duration_text,
    number_text,
    percent_text,
    plural,
)
from sim.report.load import AccountInfo, InstrumentInfo, RunData, select
from sim.report.registry import Figure, Scope, chart
from sim.report.returns import running_peak
from sim.report.rows import balance_text, pnl_text
from sim.report.statistics import account_frames, is_forced

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Trace = dict[str, Any]

PARTS = (
    ("price", "Price", "$price"),
    ("fee", "Fees", "$fee"),
    ("funding", "Funding", "$funding"),
    ("liquidation", "Liquidation", "$liquidation"),
)
LINES_MAX = 60  # vertical marks of one kind; more would be a curtain
LABELS_MAX = 6
SYMBOLS = {codes.BUY: "triangle-up", codes.SELL: "triangle-down"}
SLIPPAGE_BINS = 30
QUEUE_EDGES = (0.0, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0)


def _ms(times_ns: I64) -> F64:
    return np.asarray(times_ns / 1e6)


def _axis(title: str, **more: Any) -> dict[str, Any]:
    """A value axis: thousands separated, as many decimals as the ticks need, no SI letters."""
    return {"title": {"text": title}, "tickformat": ",.8~f"} | more


def _time_axis(run: RunData, **more: Any) -> dict[str, Any]:
    return {"type": "date", "range": [run.first_ns / 1e6, run.last_ns / 1e6], "title": {"text": "UTC"}} | more


def _line(times: F64, values: F64, name: str, color: str, **more: Any) -> Trace:
    line = {"color": color, "width": 1.6} | more.pop("line", {})
    return {"type": "scatter", "mode": "lines", "x": times, "y": values, "name": name, "line": line} | more


def _account(scope: Scope) -> AccountInfo:
    assert scope.account is not None, "charts of kind 'account' are drawn for an account"
    return scope.account


def _instrument(scope: Scope) -> InstrumentInfo:
    assert scope.instrument is not None, "charts of kind 'instrument' are drawn for an instrument"
    return scope.instrument


def _moments(times_ns: list[int], color: str, dash: str, label: str) -> tuple[list[Trace], list[Trace]]:
    """Vertical lines over the whole height, and their labels at the top when there are few."""
    distinct = sorted(set(times_ns))[:LINES_MAX]
    line = {"color": color, "width": 1.2, "dash": dash}
    shapes = [
        {"type": "line", "x0": t / 1e6, "x1": t / 1e6, "yref": "paper", "y0": 0, "y1": 1, "line": line} for t in distinct
    ]
    place = {"yref": "paper", "y": 1, "yanchor": "top", "xanchor": "right", "textangle": -90, "showarrow": False}
    text = place | {"font": {"size": 11, "color": color}}
    labels = [{"x": t / 1e6, "text": label} | text for t in distinct] if len(distinct) <= LABELS_MAX else []
    return shapes, labels


def _events(run: RunData, gaps: pl.DataFrame, funding: pl.DataFrame, forced: pl.DataFrame) -> dict[str, Any]:
    """Layout entries that shade gaps and mark funding and liquidations."""
    shapes: list[Trace] = [
        {
            "type": "rect", "x0": start / 1e6, "x1": min(end, run.last_ns) / 1e6, "yref": "paper", "y0": 0, "y1": 1,
            "fillcolor": "$gap", "line": {"width": 0}, "layer": "below",
        }
        for start, end in gaps.select("start_ns", "end_ns").iter_rows()
    ]  # fmt: skip
    funded = _moments(funding["boundary_ns"].to_list(), "$funding", "dot", "funding")
    liquidated = _moments(forced["ts_event_ns"].to_list(), "$liquidation", "solid", "liquidation")
    return {"shapes": shapes + funded[0] + liquidated[0], "annotations": funded[1] + liquidated[1]}


def _account_events(run: RunData, account: AccountInfo) -> dict[str, Any]:
    fills, funding, _ = account_frames(run, account)
    own = [i.index for i in run.instruments if (i.venue, i.settle) == (account.venue, account.asset)]
    return _events(run, run.gaps.filter(pl.col("instrument").is_in(own)), funding, fills.filter(is_forced()))


@chart("equity", "Equity and drawdown", "account")
def equity_chart(scope: Scope) -> Figure | str:
    run, account = scope.run, _account(scope)
    _, _, equity = account_frames(run, account)
    if equity.is_empty():
        return "The run was too short for a single sample of the account."
    level = equity["equity_e8"].to_numpy()
    if (level == account.deposit_e8).all():
        return f"Equity never moved from the deposit of {balance_text(scope.figures, account.deposit_e8)} {account.asset}."
    fall = (level - running_peak(level, account.deposit_e8)) / E8
    chosen = np.union1d(extremes(level.astype(np.float64), scope.points), extremes(fall, scope.points // 2))
    times = _ms(equity["ts_ns"].to_numpy()[chosen])
    span = [run.first_ns / 1e6, run.last_ns / 1e6]
    deposit = {"x": span, "y": [account.deposit_e8 / E8] * 2, "hoverinfo": "skip", "name": "Deposit"}
    traces = [
        {"type": "scatter", "mode": "lines", "line": {"color": "$muted", "width": 1, "dash": "dash"}} | deposit,
        _line(times, level[chosen] / E8, "Equity", "$net"),
        _line(times, fall[chosen], "Drawdown", "$liquidation", fill="tozeroy", fillcolor="$liquidation-soft", yaxis="y2",
              line={"width": 1.2}),
    ]  # fmt: skip
    layout = {
        "xaxis": _time_axis(run, anchor="y2"),
        "yaxis": _axis(f"Equity, {account.asset}", domain=[0.36, 1]),
        "yaxis2": _axis(f"Drawdown, {account.asset}", domain=[0, 0.28], rangemode="tozero", nticks=4),
        "hovermode": "x unified",
    }
    note = f"Wallet plus unrealised PnL at mark, sampled {count_text(len(equity))} times; drawdown is the distance below the peak so far."
    return Figure(traces, layout | _account_events(run, account), 460, note)


def _split_over_time(scope: Scope) -> tuple[I64, dict[str, F64]]:
    """Sample times and the cumulated parts of the PnL at them, in units of the asset."""
    account = _account(scope)
    fills, funding, equity = account_frames(scope.run, account)
    times = equity["ts_ns"].to_numpy()

    def cumulated(frame: pl.DataFrame, time: str, amount: pl.Expr) -> F64:
        booked = frame.sort(time)
        sums = np.concatenate(([0], np.cumsum(booked.select(amount).to_series().to_numpy())))
        return np.asarray(sums[np.searchsorted(booked[time].to_numpy(), times, side="right")] / E8)

    forced = pl.col("realized_e8") - pl.col("fee_e8")
    parts = {
        "fee": cumulated(fills.filter(~is_forced()), "ts_event_ns", -pl.col("fee_e8")),
        "funding": cumulated(funding, "booked_ns", pl.col("payment_e8")),
        "liquidation": cumulated(fills.filter(is_forced()), "ts_event_ns", forced),
    }
    net = (equity["equity_e8"].to_numpy() - account.deposit_e8) / E8
    return times, {"price": net - sum(parts.values()), **parts, "net": net}


@chart("pnl_split", "PnL split over time", "account")
def pnl_chart(scope: Scope) -> Figure | str:
    account = _account(scope)
    times, parts = _split_over_time(scope)
    if not len(times):
        return "The run was too short for a single sample of the account."
    if not any(values.any() for values in parts.values()):
        return "Nothing was gained or lost: no fills, no fees and no funding."
    chosen = np.union1d(extremes(parts["net"], scope.points // 2), extremes(parts["price"], scope.points // 2))
    x = _ms(times[chosen])
    format_ = {"hovertemplate": "%{y:+,.6~f}"}
    traces = [
        _line(x, parts[key][chosen], label, color, **format_)
        for key, label, color in PARTS
        if key in ("price", "fee") or parts[key].any()
    ]
    traces.append(_line(x, parts["net"][chosen], "Net", "$net", line={"width": 2.4}, **format_))
    layout = {
        "xaxis": _time_axis(scope.run),
        "yaxis": _axis(f"PnL, {account.asset}", zeroline=True),
        "hovermode": "x unified",
    }
    note = "Cumulated since the start; price is realised plus unrealised at mark, before fees. The parts sum to the net."
    if not parts["funding"].any():
        note += " No funding was paid or received."
    return Figure(traces, layout | _account_events(scope.run, account), 360, note)


@chart("pnl_parts", "Where the PnL came from", "account", wide=False)
def pnl_parts_chart(scope: Scope) -> Figure | str:
    account, split = _account(scope), scope.figures["pnl"]
    if not any(split.values()):
        return "Nothing was gained or lost: no fills, no fees and no funding."
    shown = [(label, split[f"{key}_e8"], color) for key, label, color in PARTS if key != "liquidation" or split["liquidation_e8"]]
    if split["unexplained_e8"]:
        shown.append(("Unexplained", split["unexplained_e8"], "$liquidation"))
    shown.append(("Net", split["equity_change_e8"], "$net"))
    amounts = [amount / E8 for _, amount, _ in shown]
    trace = {
        "type": "bar", "x": [label for label, _, _ in shown], "y": amounts, "marker": {"color": [c for _, _, c in shown]},
        "text": [pnl_text(scope.figures, amount) for _, amount, _ in shown], "textposition": "outside", "cliponaxis": False,
        "hovertemplate": "%{x} %{y:+,.8~f}<extra></extra>",
    }  # fmt: skip
    layout = {"xaxis": {"type": "category"}, "yaxis": _axis(f"PnL, {account.asset}", zeroline=True), "showlegend": False}
    return Figure([trace], layout, 400, "At the end of the run; these parts sum to the change of equity to the last digit.")


@chart("margin", "Position and margin ratio", "account", wide=False)
def margin_chart(scope: Scope) -> Figure | str:
    run, account = scope.run, _account(scope)
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
        x, color = _ms(held["ts_ns"].to_numpy()[chosen]), ("$price", "$fee", "$funding", "$sell")[instrument.index % 4]
        traces.append(_line(x, value[chosen], instrument.name, color, line={"shape": "hv", "width": 1.2}))
    ratio: F64 = 100.0 * equity["margin_ratio"].fill_null(np.nan).to_numpy()
    chosen = extremes(ratio, scope.points)
    x = _ms(equity["ts_ns"].to_numpy()[chosen])
    traces.append(
        _line(x, ratio[chosen], "Margin ratio", "$liquidation", yaxis="y2", line={"width": 1.2}, hovertemplate="%{y:.3f} %")
    )
    layout = {
        "xaxis": _time_axis(run, anchor="y2"),
        "yaxis": _axis(f"Value, {account.asset}", domain=[0.5, 1], zeroline=True),
        "yaxis2": _axis("Margin ratio, %", domain=[0, 0.42], rangemode="tozero"),
        "hovermode": "x unified",
    }
    note = "Position at mark, long above zero. Margin ratio is maintenance margin over margin balance; 100 % is liquidation."
    return Figure(traces, layout | _account_events(run, account), 400, note)


def _position_values(instrument: InstrumentInfo, held: pl.DataFrame) -> F64:
    """Signed value of the position at mark in the settlement asset."""
    lots, mark = held["position_lots"].to_numpy().astype(np.float64), held["mark_e8"].to_numpy() / E8
    size = lots * float(instrument.lot_size) * float(instrument.contract_size)
    if not instrument.inverse:
        return np.asarray(size * mark)
    return np.divide(size, mark, out=np.zeros_like(size), where=mark > 0)


@chart("fills", "Mid price, fills and position", "instrument")
def fills_chart(scope: Scope) -> Figure | str:
    run, instrument = scope.run, _instrument(scope)
    own = {"lane": scope.lane, "instrument": instrument.index}
    fills, gaps = select(run.fills, **own), select(run.gaps, instrument=instrument.index)
    mid = execution.MidTrack.from_frames(select(run.bbo, instrument=instrument.index), gaps)
    if not len(mid.ts_ns) and fills.is_empty():
        return "No best bid and ask were sampled and nothing was filled."
    tick = float(instrument.tick_size)
    chosen = extremes(mid.mid_ticks, scope.points)
    price: F64 = mid.mid_ticks[chosen] * tick
    line = break_line(_ms(mid.ts_ns[chosen]), price, _ms(mid.gap_start_ns))
    traces = [_line(*line, "Mid", "$mid", line={"width": 1.1}, hoverinfo="skip")]
    keep = fills.with_row_index("place").filter(pl.col("place").is_in(evenly(len(fills), scope.marks)) | is_forced())
    forced = keep.filter(is_forced())
    for side, word in ((codes.BUY, "Buy"), (codes.SELL, "Sell")):
        for liquidity, role in ((codes.LIQ_MAKER, "maker"), (codes.LIQ_TAKER, "taker")):
            part = keep.filter((pl.col("side") == side) & (pl.col("liquidity") == liquidity) & ~is_forced())
            if len(part):
                symbol = SYMBOLS[side] + ("" if role == "maker" else "-open")
                traces.append(_fill_markers(instrument, part, f"{word}, {role}", f"${word.lower()}", symbol))
    if len(forced):
        traces.append(_fill_markers(instrument, forced, "Forced by the venue", "$liquidation", "x"))
    times, lots = execution.position_steps(fills, select(run.positions, **own))
    places = extremes(lots.astype(np.float64), scope.points)
    size = float(instrument.lot_size)
    traces.append(_line(_ms(times[places]), lots[places] * size, "Position", "$net", yaxis="y2", line={"shape": "hv", "width": 1.2},
                        fill="tozeroy", fillcolor="$net-soft", showlegend=False))  # fmt: skip
    layout = {
        "xaxis": _time_axis(run, anchor="y2"),
        "yaxis": _axis(f"Price, {instrument.quote}", domain=[0.3, 1]),
        "yaxis2": _axis(f"Position, {instrument.size_unit}", domain=[0, 0.22], zeroline=True, nticks=4),
        "hovermode": "closest",
    }
    events = _events(run, gaps, select(run.funding, **own), fills.filter(is_forced()))
    return Figure(traces, layout | events, 560, _fills_note(fills, len(keep)))


def _fills_note(fills: pl.DataFrame, shown: int) -> str:
    if fills.is_empty():
        return "Nothing was filled. Mid of the venue's book."
    some = f"{count_text(shown)} of {count_text(len(fills))} fills are drawn. " if shown < len(fills) else ""
    return some + "Filled markers rested in the book, open ones took. Hover for cause, size and queue position; drag to zoom."


def _fill_markers(instrument: InstrumentInfo, fills: pl.DataFrame, name: str, color: str, symbol: str) -> Trace:
    texts = []
    for number, lots, cause, front, liquidity in fills.select(
        "order_no", "lots", "cause", "queue_front_lots", "liquidity"
    ).iter_rows():
        parts = [f"{(lots * instrument.lot_size).normalize():f} {instrument.size_unit}", execution.CAUSES.get(cause, str(cause))]
        if liquidity == codes.LIQ_MAKER and front is not None and not np.isnan(front):
            parts.append(f"{front:,.4g} lots ahead")
        if number:
            parts.append(f"order {number}")
        texts.append(", ".join(parts))
    price = fills["ticks"].to_numpy() * float(instrument.tick_size)
    marker = {"symbol": symbol, "color": color, "size": 8, "line": {"width": 1.2 if symbol.endswith("-open") else 0, "color": color}}
    return {
        "type": "scatter", "mode": "markers", "x": _ms(fills["ts_event_ns"].to_numpy()), "y": price, "name": name, "marker": marker,
        "text": texts, "hovertemplate": "%{x|%Y-%m-%d %H:%M:%S.%L}<br>%{y:,} %{text}",
    }  # fmt: skip


@chart("markouts", "Markouts", "instrument", wide=False)
def markout_chart(scope: Scope) -> Figure | str:
    entries = scope.figures["markouts"]
    if not scope.figures["fills"]:
        return "Nothing was filled, so there is no price move after a fill to measure."
    if not any(entry["fills"] for entry in entries):
        return "No fill could be measured: the mid is not known at the horizons after them."
    traces: list[Trace] = []
    shown = {"all": ("All", "$net"), "buy": ("Buys", "$buy"), "sell": ("Sells", "$sell"), "maker": ("Maker", "$price"),
             "taker": ("Taker", "$fee")}  # fmt: skip
    for group, (label, color) in shown.items():
        rows = [entry for entry in entries if entry["group"] == group and entry["bps"] is not None]
        if not rows:
            continue
        texts = [f"{number_text(e['ticks'], 2, True)} ticks over {plural(e['fills'], 'fill')}" for e in rows]
        traces.append(
            {
                "type": "scatter", "mode": "lines+markers", "name": label, "x": [_horizon_text(e["horizon_ns"]) for e in rows],
                "y": [e["bps"] for e in rows], "text": texts, "hovertemplate": "%{y:+.3f} bps, %{text}",
                "line": {"color": color, "width": 2.4 if group == "all" else 1.4}, "marker": {"size": 7 if group == "all" else 5},
                "visible": "legendonly" if group in ("maker", "taker") else True,
            }
        )  # fmt: skip
    horizons = [_horizon_text(h) for h in execution.MARKOUT_HORIZONS_NS]
    layout = {
        "xaxis": _axis("Time after the fill", type="category", categoryorder="array", categoryarray=horizons),
        "yaxis": _axis("Markout, bps", zeroline=True),
        "hovermode": "x unified",
    }
    note = "Average move of the mid from the fill price in the fill's favour, weighted by size."
    missing = sorted({e["horizon_ns"] for e in entries if not e["measurable"]})
    if missing:
        every = duration_text(scope.figures["mid_sample_ns"])
        note += f" {', '.join(_horizon_text(h) for h in missing)} is below the sampling of the mid ({every})."
    return Figure(traces, layout, 340, note)


def _horizon_text(horizon_ns: int) -> str:
    return "at fill" if not horizon_ns else f"{horizon_ns / 1e9:g} s"


@chart("queue", "Queue position at fill", "instrument", wide=False)
def queue_chart(scope: Scope) -> Figure | str:
    run = scope.run
    fills = select(run.fills, lane=scope.lane, instrument=_instrument(scope).index)
    resting = fills.filter((pl.col("liquidity") == codes.LIQ_MAKER) & pl.col("queue_front_lots").is_not_nan())
    if resting.is_empty():
        return "No resting order was filled, so no order had a place in a queue when it filled."
    names = _queue_bins()
    traces: list[Trace] = []
    colors = {codes.CAUSE_QUEUE: "$price", codes.CAUSE_THROUGH: "$fee", codes.CAUSE_CROSS: "$funding", codes.CAUSE_DEPTH: "$sell"}
    last = 0
    for cause in sorted(resting["cause"].unique().to_list()):
        front = resting.filter(pl.col("cause") == cause)["queue_front_lots"].to_numpy()
        counts = np.bincount(np.searchsorted(QUEUE_EDGES, front, side="left"), minlength=len(names))
        last = max(last, int(np.flatnonzero(counts)[-1]))
        traces.append(
            {
                "type": "bar", "x": names, "y": counts.tolist(), "name": execution.CAUSES.get(cause, str(cause)).capitalize(),
                "marker": {"color": colors.get(cause, "$muted")}, "hovertemplate": "%{y:,} fills",
            }
        )  # fmt: skip
    for trace in traces:
        trace["x"], trace["y"] = trace["x"][: last + 1], trace["y"][: last + 1]
    layout = {
        "barmode": "stack",
        "bargap": 0.12,
        "xaxis": _axis("Lots of others estimated ahead", type="category"),
        "yaxis": _axis("Fills", rangemode="tozero"),
        "hovermode": "x unified",
        "showlegend": True,
    }
    median = scope.figures["queue"]["quantiles"].get("0.5")
    note = f"{plural(len(resting), 'maker fill')} by cause; median {number_text(median, 1)} lots ahead."
    return Figure(traces, layout, 340, note)


def _queue_bins() -> list[str]:
    edges = [f"{edge:,.0f}" for edge in QUEUE_EDGES]
    return ["0", *[f"{low}–{high}" for low, high in zip(edges, edges[1:], strict=False)], f"> {edges[-1]}"]


@chart("slippage", "Slippage of takers", "instrument", wide=False)
def slippage_chart(scope: Scope) -> Figure | str:
    run, own = scope.run, {"lane": scope.lane, "instrument": _instrument(scope).index}
    gaps = select(run.gaps, instrument=own["instrument"])
    mid = execution.MidTrack.from_frames(select(run.bbo, instrument=own["instrument"]), gaps)
    cost = execution.taker_costs(select(run.fills, **own), select(run.orders, **own), mid)
    if not len(cost.lots):
        return "No order took liquidity, so there is no slippage to show."
    edges = np.linspace(cost.bps.min(), cost.bps.max(), SLIPPAGE_BINS + 1)
    if edges[0] == edges[-1]:
        return f"All {plural(len(cost.lots), 'taker fill')} cost {number_text(float(edges[0]), 3)} bps against the mid when sent."
    counts, edges = np.histogram(cost.bps, bins=edges)
    middles = (edges[:-1] + edges[1:]) / 2
    bars = {
        "type": "bar", "x": middles, "y": counts.tolist(), "width": float(edges[1] - edges[0]), "marker": {"color": "$fee"},
        "hovertemplate": "%{y:,} fills at about %{x:.3f} bps<extra></extra>",
    }  # fmt: skip
    mean = scope.figures["slippage"]["bps"]
    line = {"color": "$ink", "width": 1.2, "dash": "dash"}
    shape = {"type": "line", "x0": mean, "x1": mean, "yref": "paper", "y0": 0, "y1": 1, "line": line}
    layout = {"xaxis": _axis("Cost, bps"), "yaxis": _axis("Fills", rangemode="tozero"), "shapes": [shape], "bargap": 0.04}
    average = f"{number_text(mean, 3)} bps over {plural(len(cost.lots), 'taker fill')}, weighted by size (dashed)"
    note = f"Fill price against the mid when the order was sent; positive is a cost. Average {average}."
    return Figure([bars], layout | {"showlegend": False}, 340, note)


def _ecdf(latency_ns: I64, name: str, color: str, points: int) -> Trace:
    """Share of values at or below each latency, as a step line from 0 to 1, drawn in milliseconds."""
    values = np.sort(latency_ns)
    places = evenly(len(values), points)
    x = _ms(np.concatenate((values[:1], values[places])))
    y = np.concatenate(([0.0], 100 * (places + 1) / len(values)))
    shape = {"shape": "hv", "width": 1.8}
    return _line(x, y, name, color, line=shape, hovertemplate="%{y:.1f} % within %{x:,.4~g} ms")


def _latency_layout(title: str) -> dict[str, Any]:
    return {
        "xaxis": _axis(title, type="log", tickformat=",~g"),
        "yaxis": _axis("Share, %", range=[0, 101]),
        "hovermode": "closest",
    }


def _latency_note(name: str, values: I64) -> str:
    figures = execution.latency_quantiles(values)
    if figures["min"] == figures["max"]:
        return f"{name}: always {duration_text(figures['p50'])}."
    return f"{name}: median {duration_text(figures['p50'])}, p99 {duration_text(figures['p99'])}."


@chart("order_latency", "Order latency", "instrument", wide=False)
def order_latency_chart(scope: Scope) -> Figure | str:
    orders = select(scope.run.orders, lane=scope.lane, instrument=_instrument(scope).index)
    legs = (
        ("Order entry", execution.entry_latency_ns(orders), "$price"),
        ("Response", execution.response_latency_ns(orders), "$fee"),
    )
    known = [(name, values, color) for name, values, color in legs if len(values)]
    if not known:
        return "No order was sent, so there is no order latency to show."
    if all((values <= 0).all() for _, values, _ in known):
        return "Orders and responses took no time in this run (latency zero)."
    traces = [_ecdf(np.maximum(values, 1), name, color, scope.points // 4) for name, values, color in known]
    note = " ".join(_latency_note(name, values) for name, values, _ in known)
    return Figure(traces, _latency_layout("Latency, ms"), 340, note + " Cumulative distribution.")


@chart("feed_latency", "Feed latency", "run", wide=False)
def feed_latency_chart(scope: Scope) -> Figure | str:
    run = scope.run
    colors = ("$price", "$fee", "$funding", "$sell", "$buy", "$muted")
    traces: list[Trace] = []
    notes: list[str] = []
    for instrument in run.instruments:
        latency = select(run.feed_latency, instrument=instrument.index)["latency_ns"].to_numpy()
        if len(latency) and (latency > 0).any():
            traces.append(_ecdf(np.maximum(latency, 1), instrument.name, colors[instrument.index % len(colors)], scope.points // 4))
            notes.append(_latency_note(instrument.name, latency))
    if not traces:
        return "The feed carries no receive times of its own, so there is no feed latency to show."
    note = f"{' '.join(notes[:4])} Receive time minus venue time, clock corrected; cumulative distribution."
    return Figure(traces, _latency_layout("Latency, ms") | {"showlegend": True}, 340, note)


@chart("feed_latency_time", "Feed latency over the run", "run", wide=False)
def feed_latency_time_chart(scope: Scope) -> Figure | str:
    run = scope.run
    colors = ("$price", "$fee", "$funding", "$sell", "$buy", "$muted")
    traces: list[Trace] = []
    for instrument in run.instruments:
        latency = select(run.feed_latency, instrument=instrument.index)
        if (latency["latency_ns"] > 0).any():
            values = _ms(latency["latency_ns"].to_numpy())
            chosen = extremes(values, scope.points // 2)
            color = colors[instrument.index % len(colors)]
            traces.append(_line(_ms(latency["ts_ns"].to_numpy()[chosen]), values[chosen], instrument.name, color, line={"width": 0.9}))
    if not traces:
        return "The feed carries no receive times of its own, so there is no feed latency to show."
    layout = {"xaxis": _time_axis(run), "yaxis": _axis("Latency, ms", type="log", tickformat=",~g"), "showlegend": True}
    nothing = run.funding.clear()
    events = _events(run, run.gaps, nothing, run.fills.clear())
    share = [f for f in scope.figures["feeds"] if f["gaps"]]
    gaps = "; ".join(f"{f['name']} {plural(f['gaps'], 'gap')}, {percent_text(f['gap_share'])} of the time" for f in share)
    return Figure(traces, layout | events, 340, f"Shaded: gaps ({gaps})." if gaps else "The feed has no gaps.")
