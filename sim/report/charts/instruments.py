"""Charts of one lane on one instrument: fills on the mid, markouts, queue position, slippage, order latency."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np

from matching import codes
from sim.report import execution
from sim.report.charts.common import (
    F64,
    Trace,
    axis,
    ecdf_of,
    events_layout,
    latency_layout,
    latency_note,
    line_of,
    ms,
    time_axis,
)
from sim.report.execution import MARK_COLUMNS, QUEUE_EDGES, is_forced
from sim.report.figures import InstrumentMeasure
from sim.report.formats import count_text, duration_text, number_text, plural
from sim.report.load import InstrumentInfo
from sim.report.registry import Figure, Scope, chart
from sim.report.streams import break_line

SYMBOLS = {codes.BUY: "triangle-up", codes.SELL: "triangle-down"}
SLIPPAGE_BINS = 30
STAMP_NS = 1_000_000  # what the venue's stamps cannot tell apart
CAUSE_COLORS = {
    codes.CAUSE_QUEUE: "$price",
    codes.CAUSE_THROUGH: "$fee",
    codes.CAUSE_CROSS: "$funding",
    codes.CAUSE_DEPTH: "$sell",
}


def instrument_of(scope: Scope) -> InstrumentMeasure:
    assert scope.instrument is not None, "charts of kind 'instrument' are drawn for a lane on an instrument"
    return scope.instrument


@chart("fills", "Mid price, fills and position", "instrument")
def fills_chart(scope: Scope) -> Figure | str:
    run, own = scope.run, instrument_of(scope)
    info, mids = own.instrument, own.mids
    if not mids.samples(info.index) and not own.marks.count:
        return "No best bid and ask were sampled and nothing was filled."
    traces: list[Trace] = []
    if mids.samples(info.index):
        times, mid = mids.course(info.index)
        line = break_line(ms(times), mid * float(info.tick_size), ms(mids.gaps(info.index)[0]))
        traces.append(line_of(*line, "Mid", "$mid", line={"width": 1.1}, hoverinfo="skip"))
    rows = own.marks.rows()
    traces += _fill_traces(own, rows)
    times, held = own.inventory.line.rows()
    area = {"fill": "tozeroy", "fillcolor": "$net-soft", "showlegend": False, "yaxis": "y2"}
    size = np.append(held[:, 0], held[-1:, 0]) * float(info.lot_size)  # the last step lasts to the end of the run
    line_style = {"shape": "hv", "width": 1.2}
    traces.append(line_of(ms(np.append(times, run.last_ns)), size, "Position", "$net", line=line_style, **area))
    layout = {
        "xaxis": time_axis(run, anchor="y2"),
        "yaxis": axis(f"Price, {info.quote}", domain=[0.3, 1]),
        "yaxis2": axis(f"Position, {info.size_unit}", domain=[0, 0.22], zeroline=True, nticks=6),
        "hovermode": "closest",
    }
    events = events_layout(run, [info.index], own.funding["boundary_ns"].tolist(), own.forced_ns)
    return Figure(traces, layout | events, 560, _fills_note(own.marks.count, len(rows)))


def _fills_note(count: int, shown: int) -> str:
    if not count:
        return "Nothing was filled. Mid of the venue's book."
    some = f"{count_text(shown)} of {count_text(count)} fills are drawn. " if shown < count else ""
    how = "Filled markers rested in the book, open ones took. Hover for cause, size and queue position; drag to zoom."
    return some + how


def _fill_traces(own: InstrumentMeasure, rows: F64) -> list[Trace]:
    columns = {name: rows[:, place] for place, name in enumerate(MARK_COLUMNS)}
    columns["time_ms"] = own.run.first_ns / 1e6 + columns["ts_event_ns"] / 1e6
    forced = is_forced(columns["cause"].astype(np.int64))
    traces: list[Trace] = []
    for side, word in ((codes.BUY, "Buy"), (codes.SELL, "Sell")):
        for liquidity, role in ((codes.LIQ_MAKER, "maker"), (codes.LIQ_TAKER, "taker")):
            chosen = (columns["side"] == side) & (columns["liquidity"] == liquidity) & ~forced
            if chosen.any():
                symbol = SYMBOLS[side] + ("" if role == "maker" else "-open")
                part = {name: values[chosen] for name, values in columns.items()}
                traces.append(_fill_markers(own.instrument, part, f"{word}, {role}", f"${word.lower()}", symbol))
    if forced.any():
        part = {name: values[forced] for name, values in columns.items()}
        traces.append(_fill_markers(own.instrument, part, "Forced by the venue", "$liquidation", "x"))
    return traces


def _fill_markers(info: InstrumentInfo, fills: dict[str, F64], name: str, color: str, symbol: str) -> Trace:
    columns = [fills[key].tolist() for key in ("order_no", "lots", "cause", "queue_front_lots", "liquidity")]
    texts = [_fill_text(info, *values) for values in zip(*columns, strict=True)]
    edge: dict[str, Any] = {"width": 1.2 if symbol.endswith("-open") else 0, "color": color}
    return {
        "type": "scatter",
        "mode": "markers",
        "x": fills["time_ms"],
        "y": fills["ticks"] * float(info.tick_size),
        "name": name,
        "marker": {"symbol": symbol, "color": color, "size": 8, "line": edge},
        "text": texts,
        "hovertemplate": f"<b>{name}</b> at %{{y:,}}<br>%{{text}}<br>%{{x|%Y-%m-%d %H:%M:%S.%L}}<extra></extra>",
    }


def _fill_text(info: InstrumentInfo, number: float, lots: float, cause: float, front: float, liquidity: float) -> str:
    size = f"{(Decimal(int(lots)) * info.lot_size).normalize():f} {info.size_unit}"
    parts = [size, execution.CAUSES.get(int(cause), str(int(cause)))]
    if liquidity == codes.LIQ_MAKER and front >= 0:
        parts.append(f"{front:,.4g} lots ahead")
    if number:
        parts.append(f"order {int(number)}")
    return ", ".join(parts)


@chart("markouts", "Markouts", "instrument", wide=False)
def markout_chart(scope: Scope) -> Figure | str:
    entries = scope.figures["markouts"]
    if not scope.figures["fills"]:
        return "Nothing was filled, so there is no price move after a fill to measure."
    if not any(entry["fills"] for entry in entries):
        return "No fill could be measured: the mid is not known at the horizons after them."
    traces: list[Trace] = []
    shown = {
        "all": ("All", "$net"),
        "buy": ("Buys", "$buy"),
        "sell": ("Sells", "$sell"),
        "maker": ("Maker", "$price"),
        "taker": ("Taker", "$fee"),
    }
    for group, (label, color) in shown.items():
        rows = [entry for entry in entries if entry["group"] == group and entry["bps"] is not None]
        if not rows:
            continue
        texts = [f"{number_text(e['ticks'], 2, True)} ticks over {plural(e['fills'], 'fill')}" for e in rows]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": label,
                "x": [_horizon_text(e["horizon_ns"]) for e in rows],
                "y": [e["bps"] for e in rows],
                "text": texts,
                "hovertemplate": "%{y:+.3f} bps, %{text}",
                "line": {"color": color, "width": 2.4 if group == "all" else 1.4},
                "marker": {"size": 7 if group == "all" else 5},
                "visible": "legendonly" if group in ("maker", "taker") else True,
            }
        )
    horizons = [_horizon_text(h) for h in execution.MARKOUT_HORIZONS_NS]
    layout = {
        "xaxis": axis("Time after the fill", type="category", categoryorder="array", categoryarray=horizons),
        "yaxis": axis("Markout, bps", zeroline=True),
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
    queue = instrument_of(scope).queue
    if not queue.makers:
        return "No resting order was filled, so no order had a place in a queue when it filled."
    known = queue.makers - queue.unknown
    if not known:
        return "The queue ahead of the filled orders was never known: the feed shows no depth at their prices."
    used = int(np.flatnonzero(sum(queue.bins.values()))[-1]) + 1
    traces = [
        {
            "type": "bar",
            "x": _queue_bins()[:used],
            "y": queue.bins[cause][:used].tolist(),
            "name": execution.CAUSES.get(cause, str(cause)).capitalize(),
            "marker": {"color": CAUSE_COLORS.get(cause, "$muted")},
            "hovertemplate": "%{y:,} fills",
        }
        for cause in sorted(queue.bins)
    ]
    layout = {
        "barmode": "stack",
        "bargap": 0.12,
        "xaxis": axis("Lots of others estimated ahead", type="category"),
        "yaxis": axis("Fills", rangemode="tozero"),
        "hovermode": "x unified",
        "showlegend": True,
        "legend": {"traceorder": "normal"},
    }
    median = scope.figures["queue"]["quantiles"].get("0.5")
    note = f"{plural(known, 'maker fill')} by cause; median {number_text(median, 1)} lots ahead."
    if queue.unknown:
        note += f" {plural(queue.unknown, 'other')} had an unknown queue."
    return Figure(traces, layout, 340, note)


def _queue_bins() -> list[str]:
    edges = [f"{edge / 1000:.0f}k" if edge >= 1000 else f"{edge:.0f}" for edge in QUEUE_EDGES]
    return ["0", *[f"{low}–{high}" for low, high in pairwise(edges)], f"> {edges[-1]}"]


@chart("slippage", "Slippage of takers", "instrument", wide=False)
def slippage_chart(scope: Scope) -> Figure | str:
    cost = instrument_of(scope).costs
    if not cost.fills:
        return "No order took liquidity, so there is no slippage to show."
    if cost.bps.least == cost.bps.greatest:
        each = number_text(cost.bps.least, 3)
        return f"Against the mid when sent, the cost was {each} bps in {plural(cost.fills, 'taker fill')}."
    values = cost.bps.values()
    counts, edges = np.histogram(values, bins=np.linspace(values.min(), values.max(), SLIPPAGE_BINS + 1))
    bars = {
        "type": "bar",
        "x": (edges[:-1] + edges[1:]) / 2,
        "y": 100 * counts / len(values),
        "width": float(edges[1] - edges[0]),
        "marker": {"color": "$fee"},
        "hovertemplate": "%{y:.2f} % of fills at about %{x:.3f} bps<extra></extra>",
    }
    mean = scope.figures["slippage"]["bps"]
    line = {"color": "$ink", "width": 1.2, "dash": "dash"}
    shape = {"type": "line", "x0": mean, "x1": mean, "yref": "paper", "y0": 0, "y1": 1, "line": line}
    layout = {"xaxis": axis("Cost, bps"), "yaxis": axis("Share of fills, %", rangemode="tozero"), "shapes": [shape]}
    average = f"{number_text(mean, 3)} bps over {plural(cost.fills, 'taker fill')}, weighted by size (dashed)"
    note = f"Fill price against the mid when the order was sent; positive is a cost. Average {average}."
    return Figure([bars], layout | {"showlegend": False, "bargap": 0.04}, 340, note)


@chart("order_latency", "Order latency", "instrument", wide=False)
def order_latency_chart(scope: Scope) -> Figure | str:
    flow = instrument_of(scope).flow
    legs = (("Order entry", flow.entry, "$price"), ("Response", flow.response, "$fee"))
    known = [leg for leg in legs if leg[1].count]
    if not known:
        return "No order was sent, so there is no order latency to show."
    if all(latency.greatest <= 0 for _, latency, _ in known):
        return "Orders and responses took no time in this run (latency zero)."
    note = " ".join(latency_note(name, latency) for name, latency, _ in known)
    if all(latency.greatest - latency.least < STAMP_NS for _, latency, _ in known):
        return f"{note} There is no distribution to draw."
    traces = [ecdf_of(latency, name, color) for name, latency, color in known]
    return Figure(traces, latency_layout("Latency, ms"), 340, note + " Cumulative distribution.")
