"""What the charts share: axes, lines, marks of events, distributions of a latency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sim.report import execution
from sim.report.formats import duration_text
from sim.report.load import RunData
from sim.report.streams import Sample

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Trace = dict[str, Any]

LINES_MAX = 60  # vertical marks of one kind; more would be a curtain
LABELS_MAX = 6
GAPS_MAX = 300  # the longest are shaded
ECDF_POINTS = 500


def ms(times_ns: I64) -> F64:
    """Nanoseconds as the milliseconds (since the epoch, or of a duration) that plotly reads."""
    return np.asarray(times_ns / 1e6)


def axis(title: str, **more: Any) -> dict[str, Any]:
    """A value axis: thousands separated, as many decimals as the ticks need, no SI letters."""
    return {"title": {"text": title}, "tickformat": ",.8~f"} | more


def time_axis(run: RunData, **more: Any) -> dict[str, Any]:
    """The time axis over the whole run, in UTC."""
    return {"type": "date", "range": [run.first_ns / 1e6, run.last_ns / 1e6], "title": {"text": "UTC"}} | more


def line_of(times: F64, values: F64, name: str, color: str, **more: Any) -> Trace:
    """A line trace; ``line`` in ``more`` adds to its style."""
    line = {"color": color, "width": 1.6} | more.pop("line", {})
    return {"type": "scatter", "mode": "lines", "x": times, "y": values, "name": name, "line": line} | more


def _moments(times_ns: Sequence[int], color: str, dash: str, label: str) -> tuple[list[Trace], list[Trace]]:
    """Vertical lines over the whole height, and their labels at the top when there are few."""
    distinct = sorted(set(times_ns))[:LINES_MAX]
    line = {"color": color, "width": 1.2, "dash": dash}
    shapes = [
        {"type": "line", "x0": t / 1e6, "x1": t / 1e6, "yref": "paper", "y0": 0, "y1": 1, "line": line}
        for t in distinct
    ]
    place = {"yref": "paper", "y": 1, "yanchor": "top", "xanchor": "right", "textangle": -90, "showarrow": False}
    text = place | {"font": {"size": 11, "color": color}}
    labels = [{"x": t / 1e6, "text": label} | text for t in distinct] if len(distinct) <= LABELS_MAX else []
    return shapes, labels


def events_layout(
    run: RunData, instruments: Sequence[int], funding_ns: Sequence[int] = (), forced_ns: Sequence[int] = ()
) -> dict[str, Any]:
    """Layout entries that shade the gaps of the instruments and mark times of funding and of liquidations."""
    mine = np.isin(run.gaps["instrument"], instruments)
    starts, ends = run.gaps["start_ns"][mine], np.minimum(run.gaps["end_ns"][mine], run.last_ns)
    longest = np.sort(np.argsort(starts - ends, kind="stable")[:GAPS_MAX])
    style = {"yref": "paper", "y0": 0, "y1": 1, "fillcolor": "$gap", "line": {"width": 0}, "layer": "below"}
    spans = zip(starts[longest].tolist(), ends[longest].tolist(), strict=True)
    shapes: list[Trace] = [{"type": "rect", "x0": start / 1e6, "x1": end / 1e6} | style for start, end in spans]
    funded = _moments(funding_ns, "$funding", "dot", "funding")
    liquidated = _moments(forced_ns, "$liquidation", "solid", "liquidation")
    return {"shapes": shapes + funded[0] + liquidated[0], "annotations": funded[1] + liquidated[1]}


def ecdf_of(latency: Sample, name: str, color: str) -> Trace:
    """Share of values at or below each latency, as a step line from 0 to 1, drawn in milliseconds."""
    values = np.maximum(np.sort(latency.values()), 1.0)  # a logarithmic axis has no zero
    places = np.unique(np.linspace(0, len(values) - 1, min(len(values), ECDF_POINTS)).round().astype(np.int64))
    x = np.concatenate((values[:1], values[places])) / 1e6
    y = np.concatenate(([0.0], 100 * (places + 1) / len(values)))
    shape = {"shape": "hv", "width": 1.8}
    return line_of(x, y, name, color, line=shape, hovertemplate="%{y:.1f} % within %{x:,.4~g} ms")


def latency_layout(title: str) -> dict[str, Any]:
    return {
        "xaxis": axis(title, type="log", tickformat=",~g"),
        "yaxis": axis("Share, %", range=[0, 101]),
        "hovermode": "closest",
    }


def latency_note(name: str, latency: Sample) -> str:
    figures = execution.latency_figures(latency)
    if figures["max"] - figures["min"] <= figures["p50"] // 100:
        return f"{name}: always {duration_text(figures['p50'])}."
    return f"{name}: median {duration_text(figures['p50'])}, p99 {duration_text(figures['p99'])}."
