"""The report as one HTML file: banner, figures, charts; plotly and all data inline, nothing fetched from anywhere.

A content security policy in the file forbids network access, so that opening a result can tell nobody about it.
Lines and markers are thinned (``downsample``) to a budget that depends on how many accounts and instruments share
the file.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from sim.report import rows as texts
from sim.report.banner import UNVERIFIED, BannerLine
from sim.report.document import asset, document
from sim.report.execution import code_names
from sim.report.figures import MARKS, POINTS, Measures, measure
from sim.report.formats import (
    MINUS,
    count_text,
    duration_text,
    instant_text,
    number_text,
    percent_text,
    period_text,
    plural,
    return_text,
)
from sim.report.load import RunData
from sim.report.registry import ChartSpec, Figure, Scope, all_charts, is_builtin
from sim.report.rows import Figures, Row

SCOPES_MAX = 12  # accounts, and lanes x instruments, that get charts; all are in the tables
FULL_DETAIL = 3  # scopes with the full number of points; more share the same budget
TABLE_COLUMNS = 6
GAPS_LISTED = 50
UNVERIFIED_SHOWN = 3  # more are folded into one line that opens
GAP_KINDS = code_names("GAP_")
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
DEFINITIONS = (
    ("Net PnL", "Equity at the end minus deposits; equity is the wallet plus unrealised PnL at mark."),
    (
        "Price, fees, funding, liquidation",
        "Realised (before fees) and unrealised PnL; fees paid less rebates; funding received"
        " less paid; realised PnL and fees of fills forced by the venue. They sum to the net PnL to the last digit.",
    ),
    (
        "Sharpe, Sortino",
        "Mean over deviation (downside deviation) of simple returns on the stated grid, times the square root"
        " of grid intervals in 365 days; risk-free rate 0. Over hours this describes smoothness, not a year.",
    ),
    (
        "Drawdown",
        "Distance of equity below its highest value so far; the share is of that peak; the time runs until equity is"
        " back at the peak.",
    ),
    ("Turnover", "Value of all fills over the deposit."),
    ("Fill ratio", "Lots filled over lots of accepted orders."),
    ("Maker share", "Value of fills that rested in the book over the value of all fills."),
    ("Average holding", "Time between opening and closing a lot, first in first out, averaged over closed lots."),
    ("Hit rate", "Share of fills reducing the position that realised a profit before fees."),
    (
        "Markout",
        "Mid of the venue's book after the fill, minus the fill price, in the fill's favour, weighted by size.",
    ),
    ("Slippage", "Price of taker fills against the mid when the order was sent, weighted by size; positive is a cost."),
    ("Queue position", "Lots of others that the queue model held to be ahead of the order at the moment of its fill."),
    (
        "Latency",
        "Entry: from sending to the venue's book. Response: from the venue to the client. Feed: receive time minus the"
        " venue's time, clock corrected.",
    ),
)


@dataclass(frozen=True, slots=True)
class Panel:
    """What belongs to one account or instrument: an element id, a name, its statistics, and HTML of its charts."""

    key: str
    name: str
    body: str


def write_report(run: RunData, path: str | Path | None = None) -> Path:
    """Write the report of ``run`` to ``path`` (default ``report.html`` in the run folder); returns the path."""
    from plotly.offline import get_plotlyjs

    target = Path(path) if path is not None else run.path / "report.html"
    page, figures = _page(run)
    plotly = get_plotlyjs().replace("</script", "<\\/script")
    body = (
        f'{page}\n<script id="figures" type="application/json">{_json(figures)}</script>\n'
        f"<script>{plotly}</script>\n<script>\n{asset('report.js')}</script>"
    )
    text = document(f"perpsim {run.run_id}", body, POLICY, attributes=' data-status="waiting"')
    target.write_text(text, encoding="utf-8")
    return target


def _json(figures: Mapping[str, Any]) -> str:
    """JSON that may stand in a script element: no ``</`` and no comment opener can end it early."""
    return json.dumps(figures, allow_nan=False, default=_encoded, separators=(",", ":")).replace("<", "\\u003c")


def _encoded(value: object) -> Any:
    """Arrays in plotly's binary form: eight bytes a value instead of some twenty characters, NaN included."""
    if isinstance(value, np.ndarray):
        return {"dtype": "f8", "bdata": base64.b64encode(np.ascontiguousarray(value, dtype="<f8").tobytes()).decode()}
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a figure holds {type(value).__name__}, which JSON cannot; use numbers, strings, lists or arrays")


def _page(run: RunData) -> tuple[str, dict[str, Any]]:
    points, marks = _share_of_budget(len(run.accounts) * len(run.instruments))
    measures = measure(run, points, marks)
    statistics = measures.figures()
    specs, plug_in_problems = all_charts()
    figures: dict[str, Any] = {}
    accounts = _account_panels(measures, statistics, specs, figures)
    instruments = _instrument_panels(measures, statistics, specs, figures)
    whole = _cards(specs, "run", Scope(run, statistics, measures), "run", figures)
    problems = [*texts.problems(statistics), *plug_in_problems]
    keys = _keys(measures)
    body = [
        _header(run, statistics),
        "<main>",
        _banner(run),
        *(f'<p class="problem">{escape(problem)}</p>' for problem in problems),
        _section("Accounts", accounts, _account_table(statistics), keys, len(measures.accounts)),
        _section("Instruments", instruments, _instrument_table(run, statistics), keys, len(measures.instruments)),
        f'<section><div class="head"><h2>Feed</h2></div><div class="grid">{whole}</div>{_gaps(run)}</section>',
        _definitions(),
        "</main>",
    ]
    return "\n".join(body), figures


def _share_of_budget(scopes: int) -> tuple[int, int]:
    """Points of a line and markers of a chart when so many accounts or instruments share the file."""
    scale = min(1.0, FULL_DETAIL / max(min(scopes, SCOPES_MAX), 1))
    return max(int(POINTS * scale), 200), max(int(MARKS * scale), 200)


def _account_panels(
    measures: Measures, statistics: Figures, specs: Sequence[ChartSpec], figures: dict[str, Any]
) -> list[Panel]:
    panels: list[Panel] = []
    for place, (measured, own) in enumerate(zip(measures.accounts, statistics["accounts"], strict=True)):
        if place == SCOPES_MAX:
            break
        key = f"account-{place}"
        cards = _cards(specs, "account", Scope(measures.run, own, measures, account=measured), key, figures)
        panels.append(Panel(key, own["name"], f'{_tiles(own)}<div class="grid">{cards}</div>'))
    return panels


def _instrument_panels(
    measures: Measures, statistics: Figures, specs: Sequence[ChartSpec], figures: dict[str, Any]
) -> list[Panel]:
    named = texts.named_instruments(measures.run, statistics["instruments"])
    panels: list[Panel] = []
    for place, (measured, own) in enumerate(zip(measures.instruments, named, strict=True)):
        if place == SCOPES_MAX:
            break
        key = f"instrument-{place}"
        cards = _cards(specs, "instrument", Scope(measures.run, own, measures, instrument=measured), key, figures)
        panels.append(Panel(key, own["name"], f'<div class="grid">{cards}</div>'))
    return panels


def _cards(specs: Sequence[ChartSpec], kind: str, scope: Scope, prefix: str, figures: dict[str, Any]) -> str:
    """HTML of the charts of one scope; their figures are added to ``figures`` under the ids of their elements."""
    cards: list[str] = []
    said: list[str] = []  # half-width cards of words go last, so that no drawing stands beside a hole
    for spec in specs:
        if spec.kind != kind:
            continue
        drawn = _drawn(spec, scope)
        width = " wide" if spec.wide else ""
        heading = f"<h3>{escape(spec.title)}</h3>"
        if isinstance(drawn, str):
            card = f'<div class="card chart-card{width}">{heading}<p class="empty">{escape(drawn)}</p></div>'
            (cards if spec.wide else said).append(card)
            continue
        name = f"{prefix}-{spec.key}"
        figures[name] = {"traces": list(drawn.traces), "layout": dict(drawn.layout), "height": drawn.height}
        note = f'<p class="note">{escape(drawn.note)}</p>' if drawn.note else ""
        frame = f'<div class="chart" id="{escape(name)}" data-status="waiting" style="height:{drawn.height}px"></div>'
        cards.append(f'<div class="card chart-card{width}">{heading}{note}{frame}</div>')
    return "\n".join(cards + said)


def _drawn(spec: ChartSpec, scope: Scope) -> Figure | str:
    if is_builtin(spec):
        return spec.draw(scope)
    try:
        return spec.draw(scope)
    except Exception as error:  # somebody else's chart: say so in its place and keep the report
        return f"This chart is a plug-in and failed: {type(error).__name__}: {error}"


def _header(run: RunData, statistics: Figures) -> str:
    names = escape(", ".join(dict.fromkeys(run.strategies)))
    traded = escape(", ".join(f"{i.venue} {i.symbol}" for i in run.instruments))
    period = f"{period_text(run.first_ns, run.last_ns)} ({duration_text(statistics['period']['span_ns'])})"
    facts = [f"run {run.run_id}", f"perpsim {run.manifest['version']}" if run.manifest.get("version") else ""]
    facts.append(f"order log sha256 {run.manifest['hash']}" if run.manifest.get("hash") else "")
    identity = escape(", ".join(fact for fact in facts if fact))
    return (
        f'<header class="top"><div><h1>{names}</h1><p class="market">{traded}</p><p>{escape(period)}</p>'
        f'<p class="identity">{identity}</p></div><button id="theme" type="button">Dark</button></header>'
    )


def _banner(run: RunData) -> str:
    unverified = [line for line in run.banner if line.topic == UNVERIFIED]
    folded = len(unverified) > UNVERIFIED_SHOWN
    rows: list[str] = []
    previous = ""
    for line in run.banner:
        if folded and line.topic == UNVERIFIED:
            if previous != UNVERIFIED:
                rows.append(_folded(unverified))
        else:
            topic = line.topic if line.topic != previous else ""
            rows.append(_banner_row(topic, escape(line.text), line.level == "warn"))
        previous = line.topic
    return f'<section class="banner"><h2>What this result assumes</h2><dl>{"".join(rows)}</dl></section>'


def _banner_row(topic: str, content: str, warn: bool) -> str:
    mark = ' class="warn"' if warn else ""
    return f"<dt{mark}>{escape(topic)}</dt><dd{mark}>{content}</dd>"


def _folded(lines: Sequence[BannerLine]) -> str:
    """Many unverified statements as one line that opens."""
    items = "".join(f"<li>{escape(line.text)}</li>" for line in lines)
    summary = f"{plural(len(lines), 'assumption')} about the venue could not be verified"
    return _banner_row(UNVERIFIED, f"<details><summary>{summary}</summary><ul>{items}</ul></details>", True)


def _tiles(account: Figures) -> str:
    asset = account["asset"]
    split = account["pnl"]
    values = [
        ("Net PnL", texts.pnl_text(account, split["equity_change_e8"]), asset, _of_deposit(account)),
        ("Price", texts.pnl_text(account, split["price_e8"]), asset, "realised and unrealised, before fees"),
        ("Fees", texts.pnl_text(account, split["fee_e8"]), asset, "rebates less fees paid"),
        (
            "Funding",
            texts.pnl_text(account, split["funding_e8"]),
            asset,
            plural(account["funding_payments"], "payment"),
        ),
        ("Sharpe, annualised", number_text(account["sharpe"]), "", texts.returns_text(account)),
        ("Largest drawdown", *_drawdown_tile(account)),
        ("Fills", count_text(account["fills"]), "", _traded_text(account)),
    ]
    if account["liquidation_fills"]:
        forced = plural(account["liquidation_fills"], "forced fill")
        values.append(("Liquidation", texts.pnl_text(account, split["liquidation_e8"]), asset, forced))
    else:
        values.append(
            ("Highest margin ratio", percent_text(account["margin_ratio_max"], 2), "", _margin_detail(account))
        )
    return f'<div class="tiles">{"".join(_tile(*value) for value in values)}</div>'


def _tile(label: str, value: str, unit: str, detail: str) -> str:
    loss = " loss" if value.startswith(MINUS) else ""
    return (
        f'<div class="card tile"><div class="label">{escape(label)}</div>'
        f'<div class="value{loss}">{escape(value)} <small>{escape(unit)}</small></div>'
        f'<div class="detail">{escape(detail)}</div></div>'
    )


def _of_deposit(account: Figures) -> str:
    if not account["deposit_e8"]:
        return "no deposit"
    deposit = texts.balance_text(account, account["deposit_e8"])
    return f"{return_text(account['return_share'], signed=True)} of {deposit}"


def _traded_text(account: Figures) -> str:
    if account["turnover"] is None:
        return f"{texts.balance_text(account, account['traded_value_e8'])} {account['asset']} traded"
    return f"{number_text(account['turnover'], 1)}× the deposit traded"


def _margin_detail(account: Figures) -> str:
    return "no margin was due" if account["margin_ratio_max"] is None else "liquidation at 100 %"


def _drawdown_tile(account: Figures) -> tuple[str, str, str]:
    if not account["drawdown_e8"]:
        return "none", "", "never below its peak"
    amount = texts.pnl_text(account, account["drawdown_e8"]).removeprefix("+")
    share = "" if account["drawdown_share"] is None else f"{return_text(account['drawdown_share'])}; "
    detail = f"{share}longest {texts.drawdown_time_text(account)}"
    return amount, account["asset"], detail


def _section(title: str, panels: Sequence[Panel], table: str, keys: str, count: int) -> str:
    choice = ""
    if count > len(panels):
        table += f'<p class="note">Charts are drawn for the first {len(panels)} of {count}.</p>'
    if len(panels) > 1:
        options = "".join(f'<option value="{p.key}">{escape(p.name)}</option>' for p in panels)
        choice = f'<select aria-label="{escape(title)}">{options}</select>'
    bodies = "".join(
        f'<div id="{panel.key}"{" hidden" if place else ""}>{panel.body}</div>' for place, panel in enumerate(panels)
    )
    parts = (
        [table, bodies] if len(panels) > 1 else [bodies, table]
    )  # several are compared first, a single one is shown first
    return f'<section><div class="head"><h2>{escape(title)}</h2>{choice}{keys}</div>{"".join(parts)}</section>'


def _keys(measures: Measures) -> str:
    """What shading and vertical lines mean, for those that occur in this run."""
    run = measures.run
    found = (
        ("gap", "feed gap", len(run.gaps["start_ns"]) > 0),
        ("funding", "funding time", len(run.funding["boundary_ns"]) > 0),
        ("liquidation", "liquidation", any(account.forced_ns for account in measures.accounts)),
    )
    shown = "".join(f'<span><i class="{name}"></i>{label}</span>' for name, label, there in found if there)
    return f'<div class="keys">{shown}</div>' if shown else ""


def _account_table(statistics: Figures) -> str:
    accounts = statistics["accounts"]
    if len(accounts) <= TABLE_COLUMNS:
        return _side_by_side(accounts, texts.account_rows(accounts))
    return _one_row_each(accounts, texts.account_rows(accounts, texts.ACCOUNT_COLUMNS))


def _instrument_table(run: RunData, statistics: Figures) -> str:
    named = texts.named_instruments(run, statistics["instruments"])
    return (
        _side_by_side(named, texts.INSTRUMENT_ROWS)
        if len(named) <= TABLE_COLUMNS
        else _one_row_each(named, texts.INSTRUMENT_COLUMNS)
    )


def _side_by_side(things: Sequence[Figures], rows: Sequence[Row]) -> str:
    """One column a thing; a label that begins with blanks is a part of the row above."""
    if len(things) == 1:
        return _listed(things[0], rows)
    header = "".join(f"<th>{escape(str(thing['name']))}</th>" for thing in things)
    lines = "".join(
        f"<tr><td{' class=part' if label.startswith(' ') else ''}>{escape(label.strip())}</td>"
        + "".join(f"<td>{escape(text_of(thing))}</td>" for thing in things)
        + "</tr>"
        for label, text_of in rows
    )
    return _table(f"<th></th>{header}", lines)


def _listed(thing: Figures, rows: Sequence[Row]) -> str:
    """The figures of a single account or instrument, in columns as the width allows."""
    lines = "".join(
        f"<div{' class=part' if label.startswith(' ') else ''}>"
        f"<span>{escape(label.strip())}</span><b>{escape(text_of(thing))}</b></div>"
        for label, text_of in rows
    )
    return f'<div class="card listed"><h3>{escape(str(thing["name"]))}</h3><div class="columns">{lines}</div></div>'


def _one_row_each(things: Sequence[Figures], rows: Sequence[Row]) -> str:
    header = "".join(f"<th>{escape(label)}</th>" for label, _ in rows)
    lines = "".join(
        f"<tr><td>{escape(str(thing['name']))}</td>"
        + "".join(f"<td>{escape(text_of(thing))}</td>" for _, text_of in rows)
        + "</tr>"
        for thing in things
    )
    return _table(f"<th></th>{header}", lines)


def _table(header: str, lines: str, more: str = "") -> str:
    table = f"<table><thead><tr>{header}</tr></thead><tbody>{lines}</tbody></table>"
    return f'<div class="card table-card">{table}{more}</div>'


def _gaps(run: RunData) -> str:
    """The gaps of all feeds as a table; nothing when there are none (the chart above says so)."""
    count = len(run.gaps["start_ns"])
    names = ("instrument", "kind", "start_ns", "end_ns", "first_lost_id", "last_lost_id")
    first = np.argsort(run.gaps["start_ns"], kind="stable")[:GAPS_LISTED]
    rows = zip(*(run.gaps[name][first].tolist() for name in names), strict=True)
    lines = "".join(
        f"<tr><td>{escape(run.instruments[instrument].name)}</td><td>{instant_text(start)}</td>"
        f"<td>{escape(duration_text(end - start))}</td><td>{escape(GAP_KINDS.get(kind, str(kind)))}</td>"
        f"<td>{escape(_lost_text(first_id, last_id))}</td></tr>"
        for instrument, kind, start, end, first_id, last_id in rows
    )
    head = "".join(f"<th>{title}</th>" for title in ("Gap in", "From", "Book unknown for", "Kind", "Lost update ids"))
    listed = f'<p class="note">The first {GAPS_LISTED} of {count_text(count)} gaps.</p>'
    return _table(head, lines, listed if count > GAPS_LISTED else "") if count else ""


def _lost_text(first: int, last: int) -> str:
    if not first:
        return "not known"
    return f"{first} to {last}" if last > first else str(first)


def _definitions() -> str:
    entries = "".join(f"<dt>{escape(term)}</dt><dd>{escape(meaning)}</dd>" for term, meaning in DEFINITIONS)
    return f'<details class="definitions"><summary>How the figures are defined</summary><dl>{entries}</dl></details>'
