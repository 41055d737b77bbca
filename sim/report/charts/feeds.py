"""Charts of the feeds of a run: distribution and course of the feed latency, with the gaps."""

from __future__ import annotations

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
from sim.report.figures import FeedMeasure
from sim.report.formats import percent_text, plural
from sim.report.registry import Figure, Scope, chart

COLORS = ("$price", "$fee", "$funding", "$sell", "$buy", "$muted")
NO_LATENCY = "The feed carries no receive times of its own, so there is no feed latency to show."
NOTED = 4


def _stamped(scope: Scope) -> list[tuple[FeedMeasure, str]]:
    """Feeds with receive times of their own, each with its colour."""
    feeds = [feed for feed in scope.measures.feeds if feed.latency.greatest > 0]
    return [(feed, COLORS[place % len(COLORS)]) for place, feed in enumerate(feeds)]


@chart("feed_latency", "Feed latency", "run", wide=False)
def feed_latency_chart(scope: Scope) -> Figure | str:
    stamped = _stamped(scope)
    if not stamped:
        return NO_LATENCY
    traces = [ecdf_of(feed.latency, feed.instrument.name, color) for feed, color in stamped]
    notes = [latency_note(feed.instrument.name, feed.latency) for feed, _ in stamped[:NOTED]]
    note = f"{' '.join(notes)} Receive time minus venue time, clock corrected; cumulative distribution."
    return Figure(traces, latency_layout("Latency, ms") | {"showlegend": True}, 340, note)


@chart("feed_latency_time", "Feed latency over the run", "run", wide=False)
def feed_latency_time_chart(scope: Scope) -> Figure | str:
    run, stamped = scope.run, _stamped(scope)
    if not stamped:
        return NO_LATENCY
    traces: list[Trace] = []
    for feed, color in stamped:
        times, values = feed.line.rows()
        traces.append(line_of(ms(times), values[:, 0] / 1e6, feed.instrument.name, color, line={"width": 0.9}))
    layout = {"xaxis": time_axis(run), "yaxis": axis("Latency, ms", type="log", tickformat=",~g"), "showlegend": True}
    events = events_layout(run, [instrument.index for instrument in run.instruments])
    lost = [f for f in scope.figures["feeds"] if f["gaps"]]
    texts = [f"{f['name']} {plural(f['gaps'], 'gap')}, {percent_text(f['gap_share'])} of the time" for f in lost]
    note = f"Shaded: gaps ({'; '.join(texts)})." if texts else "The feed has no gaps."
    return Figure(traces, layout | events, 340, note)
