"""Charts of one lane on one instrument: fills on the mid, markouts, queue position, slippage, order latency."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl

from matching import codes
from sim.report import execution
from sim.report.charts.common import (
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
from sim.report.downsample import break_line, evenly, extremes
from sim.report.figures import is_forced
from sim.report.formats import count_text, duration_text, number_text, plural
from sim.report.load import InstrumentInfo, select
from sim.report.registry import Figure, Scope, chart

SYMBOLS = {codes.BUY: "triangle-up", codes.SELL: "triangle-down"}
SLIPPAGE_BINS = 30
QUEUE_EDGES = (0.0, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0)


def instrument_of(scope: Scope) -> InstrumentInfo:
    assert scope.instrument is not None, "charts of kind 'instrument' are drawn for an instrument"
    return scope.instrument


@chart("fills", "Mid price, fills and position", "instrument")
def fills_chart(scope: Scope) -> Figure | str:
    run, instrument = scope.run, instrument_of(scope)
    own = {"lane": scope.lane, "instrument": instrument.index}
    fills, gaps = select(run.fills, **own), select(run.gaps, instrument=instrument.index)
    mid = execution.MidTrack.from_frames(select(run.bbo, instrument=instrument.index), gaps)
    if not len(mid.ts_ns) and fills.is_empty():
        return "No best bid and ask were sampled and nothing was filled."
    tick = float(instrument.tick_size)
    chosen = extremes(mid.mid_ticks, scope.points)
    price = np.asarray(mid.mid_ticks[chosen] * tick, dtype=np.float64)
    line = break_line(ms(mid.ts_ns[chosen]), price, ms(mid.gap_start_ns))
    traces = [line_of(*line, "Mid", "$mid", line={"width": 1.1}, hoverinfo="skip")]
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
    held = np.asarray(lots[places] * float(instrument.lot_size), dtype=np.float64)
    traces.append(
        line_of(
            ms(times[places]),
            held,
            "Position",
            "$net",
            yaxis="y2",
            line={"shape": "hv", "width": 1.2},
            fill="tozeroy",
            fillcolor="$net-soft",
            showlegend=False,
        )
    )
    layout = {
        "xaxis": time_axis(run, anchor="y2"),
        "yaxis": axis(f"Price, {instrument.quote}", domain=[0.3, 1]),
        "yaxis2": axis(f"Position, {instrument.size_unit}", domain=[0, 0.22], zeroline=True, nticks=4),
        "hovermode": "closest",
    }
    events = events_layout(run, gaps, select(run.funding, **own), fills.filter(is_forced()))
    return Figure(traces, layout | events, 560, _fills_note(fills, len(keep)))


def _fills_note(fills: pl.DataFrame, shown: int) -> str:
    if fills.is_empty():
        return "Nothing was filled. Mid of the venue's book."
    some = f"{count_text(shown)} of {count_text(len(fills))} fills are drawn. " if shown < len(fills) else ""
    return (
        some
        + "Filled markers rested in the book, open ones took. Hover for cause, size and queue position; drag to zoom."
    )


def _fill_markers(instrument: InstrumentInfo, fills: pl.DataFrame, name: str, color: str, symbol: str) -> Trace:
    texts = []
    for number, lots, cause, front, liquidity in fills.select(
        "order_no", "lots", "cause", "queue_front_lots", "liquidity"
    ).iter_rows():
        parts = [
            f"{(lots * instrument.lot_size).normalize():f} {instrument.size_unit}",
            execution.CAUSES.get(cause, str(cause)),
        ]
        if liquidity == codes.LIQ_MAKER and front is not None and front >= 0:
            parts.append(f"{front:,.4g} lots ahead")
        if number:
            parts.append(f"order {number}")
        texts.append(", ".join(parts))
    price = fills["ticks"].to_numpy() * float(instrument.tick_size)
    marker = {
        "symbol": symbol,
        "color": color,
        "size": 8,
        "line": {"width": 1.2 if symbol.endswith("-open") else 0, "color": color},
    }
    return {
        "type": "scatter",
        "mode": "markers",
        "x": ms(fills["ts_event_ns"].to_numpy()),
        "y": price,
        "name": name,
        "marker": marker,
        "text": texts,
        "hovertemplate": f"<b>{name}</b> at %{{y:,}}<br>%{{text}}<br>%{{x|%Y-%m-%d %H:%M:%S.%L}}<extra></extra>",
    }


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
    run = scope.run
    fills = select(run.fills, lane=scope.lane, instrument=instrument_of(scope).index)
    makers = fills.filter(pl.col("liquidity") == codes.LIQ_MAKER)
    if makers.is_empty():
        return "No resting order was filled, so no order had a place in a queue when it filled."
    resting = makers.filter(execution.known_front())
    if resting.is_empty():
        return "The queue ahead of the filled orders was never known: the feed shows no depth at their prices."
    names = _queue_bins()
    traces: list[Trace] = []
    colors = {
        codes.CAUSE_QUEUE: "$price",
        codes.CAUSE_THROUGH: "$fee",
        codes.CAUSE_CROSS: "$funding",
        codes.CAUSE_DEPTH: "$sell",
    }
    last = 0
    for cause in sorted(resting["cause"].unique().to_list()):
        front = resting.filter(pl.col("cause") == cause)["queue_front_lots"].to_numpy()
        counts = np.bincount(np.searchsorted(QUEUE_EDGES, front, side="left"), minlength=len(names))
        last = max(last, int(np.flatnonzero(counts)[-1]))
        traces.append(
            {
                "type": "bar",
                "x": names,
                "y": counts.tolist(),
                "name": execution.CAUSES.get(cause, str(cause)).capitalize(),
                "marker": {"color": colors.get(cause, "$muted")},
                "hovertemplate": "%{y:,} fills",
            }
        )
    for trace in traces:
        trace["x"], trace["y"] = trace["x"][: last + 1], trace["y"][: last + 1]
    layout = {
        "barmode": "stack",
        "bargap": 0.12,
        "xaxis": axis("Lots of others estimated ahead", type="category"),
        "yaxis": axis("Fills", rangemode="tozero"),
        "hovermode": "x unified",
        "showlegend": True,
    }
    median = scope.figures["queue"]["quantiles"].get("0.5")
    note = f"{plural(len(resting), 'maker fill')} by cause; median {number_text(median, 1)} lots ahead."
    if len(makers) > len(resting):
        note += f" {plural(len(makers) - len(resting), 'other')} had an unknown queue."
    return Figure(traces, layout, 340, note)


def _queue_bins() -> list[str]:
    edges = [f"{edge:,.0f}" for edge in QUEUE_EDGES]
    return ["0", *[f"{low}–{high}" for low, high in pairwise(edges)], f"> {edges[-1]}"]


@chart("slippage", "Slippage of takers", "instrument", wide=False)
def slippage_chart(scope: Scope) -> Figure | str:
    run, own = scope.run, {"lane": scope.lane, "instrument": instrument_of(scope).index}
    gaps = select(run.gaps, instrument=own["instrument"])
    mid = execution.MidTrack.from_frames(select(run.bbo, instrument=own["instrument"]), gaps)
    cost = execution.taker_costs(select(run.fills, **own), select(run.orders, **own), mid)
    if not len(cost.lots):
        return "No order took liquidity, so there is no slippage to show."
    edges = np.linspace(cost.bps.min(), cost.bps.max(), SLIPPAGE_BINS + 1)
    if edges[0] == edges[-1]:
        each = number_text(float(edges[0]), 3)
        return f"Against the mid when sent, the cost was {each} bps in {plural(len(cost.lots), 'taker fill')}."
    counts, edges = np.histogram(cost.bps, bins=edges)
    middles = (edges[:-1] + edges[1:]) / 2
    bars = {
        "type": "bar",
        "x": middles,
        "y": counts.tolist(),
        "width": float(edges[1] - edges[0]),
        "marker": {"color": "$fee"},
        "hovertemplate": "%{y:,} fills at about %{x:.3f} bps<extra></extra>",
    }
    mean = scope.figures["slippage"]["bps"]
    line = {"color": "$ink", "width": 1.2, "dash": "dash"}
    shape = {"type": "line", "x0": mean, "x1": mean, "yref": "paper", "y0": 0, "y1": 1, "line": line}
    layout = {
        "xaxis": axis("Cost, bps"),
        "yaxis": axis("Fills", rangemode="tozero"),
        "shapes": [shape],
        "bargap": 0.04,
    }
    average = f"{number_text(mean, 3)} bps over {plural(len(cost.lots), 'taker fill')}, weighted by size (dashed)"
    note = f"Fill price against the mid when the order was sent; positive is a cost. Average {average}."
    return Figure([bars], layout | {"showlegend": False}, 340, note)


@chart("order_latency", "Order latency", "instrument", wide=False)
def order_latency_chart(scope: Scope) -> Figure | str:
    orders = select(scope.run.orders, lane=scope.lane, instrument=instrument_of(scope).index)
    legs = (
        ("Order entry", execution.entry_latency_ns(orders), "$price"),
        ("Response", execution.response_latency_ns(orders), "$fee"),
    )
    known = [(name, values, color) for name, values, color in legs if len(values)]
    if not known:
        return "No order was sent, so there is no order latency to show."
    if all((values <= 0).all() for _, values, _ in known):
        return "Orders and responses took no time in this run (latency zero)."
    traces = [ecdf_of(np.maximum(values, 1), name, color, scope.points // 4) for name, values, color in known]
    note = " ".join(latency_note(name, values) for name, values, _ in known)
    return Figure(traces, latency_layout("Latency, ms"), 340, note + " Cumulative distribution.")
