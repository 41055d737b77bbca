"""What the charts share: axes, lines, marks of events, distributions of a latency."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from sim.report import execution
from sim.report.downsample import evenly
from sim.report.formats import duration_text
from sim.report.load import RunData

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Trace = dict[str, Any]

LINES_MAX = 60  # vertical marks of one kind; more would be a curtain
LABELS_MAX = 6
GAPS_MAX = 300  # the longest are shaded


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


def _moments(times_ns: list[int], color: str, dash: str, label: str) -> tuple[list[Trace], list[Trace]]:
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


def events_layout(run: RunData, gaps: pl.DataFrame, funding: pl.DataFrame, forced: pl.DataFrame) -> dict[str, Any]:
    """Layout entries that shade gaps and mark funding and liquidations."""
    longest = gaps.with_columns((pl.col("end_ns") - pl.col("start_ns")).alias("lost")).top_k(GAPS_MAX, by="lost")
    shapes: list[Trace] = [
        {
            "type": "rect",
            "x0": start / 1e6,
            "x1": min(end, run.last_ns) / 1e6,
            "yref": "paper",
            "y0": 0,
            "y1": 1,
            "fillcolor": "$gap",
            "line": {"width": 0},
            "layer": "below",
        }
        for start, end in longest.select("start_ns", "end_ns").iter_rows()
    ]
    funded = _moments(funding["boundary_ns"].to_list(), "$funding", "dot", "funding")
    liquidated = _moments(forced["ts_event_ns"].to_list(), "$liquidation", "solid", "liquidation")
    return {"shapes": shapes + funded[0] + liquidated[0], "annotations": funded[1] + liquidated[1]}


def ecdf_of(latency_ns: I64, name: str, color: str, points: int) -> Trace:
    """Share of values at or below each latency, as a step line from 0 to 1, drawn in milliseconds."""
    values = np.sort(latency_ns)
    places = evenly(len(values), points)
    x = ms(np.concatenate((values[:1], values[places])))
    y = np.concatenate(([0.0], 100 * (places + 1) / len(values)))
    shape = {"shape": "hv", "width": 1.8}
    return line_of(x, y, name, color, line=shape, hovertemplate="%{y:.1f} % within %{x:,.4~g} ms")


def latency_layout(title: str) -> dict[str, Any]:
    return {
        "xaxis": axis(title, type="log", tickformat=",~g"),
        "yaxis": axis("Share, %", range=[0, 101]),
        "hovermode": "closest",
    }


def latency_note(name: str, values: I64) -> str:
    figures = execution.latency_quantiles(values)
    if figures["min"] == figures["max"]:
        return f"{name}: always {duration_text(figures['p50'])}."
    return f"{name}: median {duration_text(figures['p50'])}, p99 {duration_text(figures['p99'])}."
