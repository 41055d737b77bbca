"""The charts of a report as a list that anyone may extend.

A chart is a function from a ``Scope`` (the run and the account or instrument in question) to a ``Figure``, or to a
string when there is nothing to draw: the string is what the reader sees instead, so it says why in words. Built-in
charts are registered by ``sim.report.charts``; an installed package adds its own by an entry point of the group
``perpsim.charts`` that names a ``ChartSpec``.

Figures are plotly figures as plain dicts (``traces``, ``layout``). Colours are written as tokens, so that one figure
serves light and dark: ``"$buy"`` stands for the colour ``--buy`` of ``report.css``, and ``"$buy-soft"`` for its fill.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Literal

from sim.report.figures import AccountMeasure, InstrumentMeasure, Measures
from sim.report.load import RunData

ScopeKind = Literal["account", "instrument", "run"]
ENTRY_POINTS = "perpsim.charts"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a chart is about.

    ``account`` is set for charts of kind ``account`` and ``instrument`` for kind ``instrument`` (a lane's trading
    on it); ``figures`` are the statistics of that account, of that lane on the instrument, or of the run.
    ``measures`` holds what was kept of all of them for drawing, thinned; ``run.frame("fills")`` gives a whole file
    where that is not enough.
    """

    run: RunData
    figures: Mapping[str, Any]
    measures: Measures
    account: AccountMeasure | None = None
    instrument: InstrumentMeasure | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """A plotly figure: ``traces`` and ``layout`` as plotly.js takes them (numpy arrays allowed in traces),
    ``height`` in pixels, ``note`` a sentence on what is shown and how it was computed."""

    traces: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any] = field(default_factory=dict)
    height: int = 340
    note: str = ""


@dataclass(frozen=True, slots=True)
class ChartSpec:
    """One chart: ``key`` (unique, used as an id), ``title``, the ``kind`` of scope it is drawn for, ``wide`` for
    the whole width of the page, and ``draw``."""

    key: str
    title: str
    kind: ScopeKind
    draw: Callable[[Scope], Figure | str]
    wide: bool = True


_charts: dict[str, ChartSpec] = {}


def register(spec: ChartSpec) -> ChartSpec:
    """Add a chart; raises ValueError when the key is taken by another."""
    if _charts.setdefault(spec.key, spec) is not spec:
        raise ValueError(f"a chart with the key {spec.key!r} is already registered; choose another key")
    return spec


def chart(
    key: str, title: str, kind: ScopeKind, wide: bool = True
) -> Callable[[Callable[[Scope], Figure | str]], Callable[[Scope], Figure | str]]:
    """Decorator that registers the function as a chart."""

    def add(draw: Callable[[Scope], Figure | str]) -> Callable[[Scope], Figure | str]:
        register(ChartSpec(key, title, kind, draw, wide))
        return draw

    return add


def all_charts() -> tuple[list[ChartSpec], list[str]]:
    """Built-in charts, then installed ones; and a sentence for each installed one that could not be loaded."""
    import_module("sim.report.charts")
    problems: list[str] = []
    for point in entry_points(group=ENTRY_POINTS):
        try:
            spec = point.load()
            if not isinstance(spec, ChartSpec):
                raise TypeError(f"names {type(spec).__name__}, not a ChartSpec")
            register(spec)
        except Exception as error:  # a broken plug-in must not cost the user the report
            problems.append(f"chart plug-in {point.name} ({point.value}) was left out: {error}")
    return list(_charts.values()), problems


def is_builtin(spec: ChartSpec) -> bool:
    """Whether the chart is one of ours: an error in ours is raised, one in a plug-in is shown in its place."""
    return spec.draw.__module__.startswith("sim.report.charts.")
