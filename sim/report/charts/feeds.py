"""Charts of the feeds of a run: distribution and course of the feed latency, with the gaps."""

from __future__ import annotations

import numpy as np

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
from sim.report.downsample import extremes
from sim.report.formats import percent_text, plural
from sim.report.load import select
from sim.report.registry import Figure, Scope, chart

COLORS = ("$price", "$fee", "$funding", "$sell", "$buy", "$muted")


@chart("feed_latency", "Feed latency", "run", wide=False)
def feed_latency_chart(scope: Scope) -> Figure | str:
    run = scope.run
    traces: list[Trace] = []
    notes: list[str] = []
    for instrument in run.instruments:
        latency = select(run.feed_latency, instrument=instrument.index)["latency_ns"].to_numpy()
        if len(latency) and (latency > 0).any():
            traces.append(
                ecdf_of(
                    np.maximum(latency, 1), instrument.name, COLORS[instrument.index % len(COLORS)], scope.points // 4
                )
            )
            notes.append(latency_note(instrument.name, latency))
    if not traces:
        return "The feed carries no receive times of its own, so there is no feed latency to show."
    note = f"{' '.join(notes[:4])} Receive time minus venue time, clock corrected; cumulative distribution."
    return Figure(traces, latency_layout("Latency, ms") | {"showlegend": True}, 340, note)


@chart("feed_latency_time", "Feed latency over the run", "run", wide=False)
def feed_latency_time_chart(scope: Scope) -> Figure | str:
    run = scope.run
    traces: list[Trace] = []
    for instrument in run.instruments:
        latency = select(run.feed_latency, instrument=instrument.index)
        if (latency["latency_ns"] > 0).any():
            values = ms(latency["latency_ns"].to_numpy())
            chosen = extremes(values, scope.points // 2)
            color = COLORS[instrument.index % len(COLORS)]
            traces.append(
                line_of(
                    ms(latency["ts_ns"].to_numpy()[chosen]),
                    values[chosen],
                    instrument.name,
                    color,
                    line={"width": 0.9},
                )
            )
    if not traces:
        return "The feed carries no receive times of its own, so there is no feed latency to show."
    layout = {"xaxis": time_axis(run), "yaxis": axis("Latency, ms", type="log", tickformat=",~g"), "showlegend": True}
    nothing = run.funding.clear()
    events = events_layout(run, run.gaps, nothing, run.fills.clear())
    share = [f for f in scope.figures["feeds"] if f["gaps"]]
    gaps = "; ".join(
        f"{f['name']} {plural(f['gaps'], 'gap')}, {percent_text(f['gap_share'])} of the time" for f in share
    )
    return Figure(traces, layout | events, 340, f"Shaded: gaps ({gaps})." if gaps else "The feed has no gaps.")
