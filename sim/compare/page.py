"""The comparison as one HTML file: verdict, attribution, equity of both runs, the orders that differ. No script."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

import polars as pl

from sim.compare.orders import KINDS, Pair
from sim.report.document import document
from sim.report.formats import count_text, duration_text, instant_text, money_text

ORDERS_LISTED: Final = 500
POINTS: Final = 600
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
WIDTH, HEIGHT, EDGE = 1200, 260, 70
MEANING: Final = {
    "price": "resting orders executed at other prices",
    "slippage": "taking orders executed at other prices",
    "timing": "lots that executed in one run only",
    "fees": "fees paid",
    "funding": "funding received",
    "mark": "what B still holds, at its own last mark instead of A's",
    "other": "rounding, forced fills, losses covered by the insurance fund",
}
_CSS: Final = """.equal { color: var(--buy); } .apart { color: var(--bad); }
td.l, th.l { text-align: left; }
.card { padding: 14px 18px; margin-bottom: 14px; } .scroll { overflow-x: auto; font-size: 13px; }
.chart line, .chart polyline { fill: none; stroke-width: 1.5; vector-effect: non-scaling-stroke; }
"""


def write_page(
    result: dict[str, Any], pairs: Sequence[Pair], folders: Sequence[Path], names: list[str], to: Path
) -> Path:
    """Write the page; returns its path."""
    body = "\n".join([
        _header(result), "<main>", _verdict(result), _attribution(result["attribution"]), _equity(result, folders),
        _orders(result, pairs, names), "</main>",
    ])  # fmt: skip
    title = f"perpsim compare {result['a']['run_id']} {result['b']['run_id']}"
    to.write_text(document(title, body, POLICY, _CSS), encoding="utf-8")
    return to


def _header(result: dict[str, Any]) -> str:
    strategy = escape(str(result["a"]["strategy"]))
    lines = "".join(
        f'<p class="identity">{side.upper()}: {escape(one["mode"])} {escape(one["run_id"])}, '
        f"{count_text(one['fills'])} fills, hash {escape(one['hash'][:16])}</p>"
        for side, one in (("a", result["a"]), ("b", result["b"]))
    )
    return f'<header class="top"><div><h1>{strategy}: two runs compared</h1>{lines}</div></header>'


def _verdict(result: dict[str, Any]) -> str:
    orders, allowed = result["orders"], result["tolerance"]
    word = "equal" if result["equal"] else "apart"
    if result["same_hash"]:
        text = "The canonical order logs are the same, byte for byte."
    elif result["equal"]:
        text = "No order differs by more than the tolerance."
    else:
        text = f"{count_text(orders['different'])} orders differ by more than the tolerance."
    stated = (
        f"{allowed['lots']} lots, {allowed['ticks']:g} ticks, {money_text(allowed['money_e8'], 8)} of money, "
        f"{duration_text(allowed['time_ns'])} of venue time; latency "
        + ("listed only" if allowed["latency_ns"] is None else duration_text(allowed["latency_ns"]))
        + ", queue "
        + ("listed only" if allowed["queue_lots"] is None else f"{allowed['queue_lots']:g} lots")
    )
    rows = "".join(
        f"<dt>{escape(kind)}</dt><dd>{count_text(result['differences'][kind])} orders"
        f"{'' if kind in result['judged'] else ', not judged'}</dd>"
        for kind in KINDS
    )
    return (
        f'<section class="banner"><h2 class="{word}">{text}</h2><dl><dt>orders</dt><dd>{count_text(orders["a"])} in A, '
        f"{count_text(orders['b'])} in B, {count_text(orders['in_both'])} in both</dd><dt>tolerance</dt>"
        f"<dd>{escape(stated)}</dd>{rows}</dl></section>"
    )


def _attribution(accounts: Sequence[dict[str, Any]]) -> str:
    found = ['<section><div class="head"><h2>Where the difference in profit comes from (B minus A)</h2></div>']
    for one in accounts:
        lines = "".join(
            f'<tr><td class="l">{name}</td><td>{money_text(value, 8, signed=True)}</td>'
            f'<td class="l">{MEANING[name]}</td></tr>'
            for name, value in one["parts_e8"].items()
        )
        total = money_text(one["difference_e8"], 8, signed=True)
        found.append(
            f'<div class="card"><h3>account {one["account"]} at {escape(one["venue"])}, {escape(one["asset"])}</h3>'
            f"<p>profit {money_text(one['profit_a_e8'], 8, signed=True)} in A, "
            f"{money_text(one['profit_b_e8'], 8, signed=True)} in B, difference {total}</p>"
            f"<table><tbody>{lines}</tbody></table></div>"
        )
    return "\n".join([*found, "</section>"])


def _equity(result: dict[str, Any], folders: Sequence[Path]) -> str:
    frames = [
        pl.read_parquet(folder / "equity.parquet", columns=["account", "asset", "ts_ns", "equity_e8"])
        for folder in folders
    ]
    found = ['<section><div class="head"><h2>Equity of both runs</h2></div>']
    for one in result["attribution"]:
        lines = [
            frame.filter((pl.col("account") == one["account"]) & (pl.col("asset") == one["asset"])) for frame in frames
        ]
        if all(len(line) > 1 for line in lines):
            found.append(
                f'<div class="card"><h3>{escape(one["asset"])} of account {one["account"]}</h3>{_svg(lines)}</div>'
            )
    return "\n".join([*found, "</section>"])


def _svg(lines: Sequence[pl.DataFrame]) -> str:
    thin = [line.gather_every(max(1, len(line) // POINTS)) for line in lines]
    times = [value for line in thin for value in line["ts_ns"].to_list()]
    values = [value for line in thin for value in line["equity_e8"].to_list()]
    first, last, low, high = min(times), max(times), min(values), max(values)
    drawn = []
    for line, colour in zip(thin, ("--price", "--sell"), strict=True):
        points = " ".join(
            f"{EDGE + (ts - first) * (WIDTH - EDGE) / max(last - first, 1):.1f},"
            f"{10 + (high - value) * (HEIGHT - 40) / max(high - low, 1):.1f}"
            for ts, value in line.select("ts_ns", "equity_e8").iter_rows()
        )
        drawn.append(f'<polyline points="{points}" style="stroke: var({colour})"/>')
    texts = (
        f'<text x="0" y="16">{money_text(high)}</text><text x="0" y="{HEIGHT - 28}">{money_text(low)}</text>'
        f'<text x="{EDGE}" y="{HEIGHT - 6}">{instant_text(first)}</text>'
        f'<text x="{WIDTH}" y="{HEIGHT - 6}" text-anchor="end">{instant_text(last)}</text>'
    )
    keys = (
        '<p class="keys"><span><i style="background: var(--price)"></i>A</span>'
        '<span><i style="background: var(--sell)"></i>B</span></p>'
    )
    return (
        f'{keys}<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" width="100%" font-size="12" fill="currentColor">'
        f"{''.join(drawn)}{texts}</svg>"
    )


def _orders(result: dict[str, Any], pairs: Sequence[Pair], names: list[str]) -> str:
    apart = [one for one in pairs if any(kind in result["judged"] for kind in one.kinds)]
    if not apart:
        return ""
    shown = "".join(_row(one, names) for one in apart[:ORDERS_LISTED])
    note = f"<p class='note'>the first {ORDERS_LISTED} of {len(apart)}</p>" if len(apart) > ORDERS_LISTED else ""
    heads = "sent|instrument|order|side|ticks|lots|difference|filled A|filled B|ticks A|ticks B|ended A|ended B"
    header = "".join(f'<th class="l">{head}</th>' for head in heads.split("|"))
    return (
        f'<section><div class="head"><h2>Orders that differ</h2></div>{note}<div class="card scroll"><table><thead><tr>'
        f"{header}</tr></thead><tbody>{shown}</tbody></table></div></section>"
    )


def _row(one: Pair, names: list[str]) -> str:
    order = one.one
    cells = [
        instant_text(order["sent_ns"]), names[order["instrument"]], order["order_no"],
        "SELL" if order["side"] else "BUY", order["ticks"], order["lots"], ", ".join(one.kinds),
        *(row["filled"] if row else "" for row in (one.a, one.b)),
        *(_average(row) for row in (one.a, one.b)),
        *(_ended(row) for row in (one.a, one.b)),
    ]  # fmt: skip
    return "<tr>" + "".join(f'<td class="l">{escape(str(cell))}</td>' for cell in cells) + "</tr>"


def _average(row: dict[str, Any] | None) -> str:
    if row is None or not row["filled"]:
        return ""
    whole, rest = divmod(row["value"], row["filled"])
    return str(whole) if not rest else f"{whole}.{rest * 1000 // row['filled']:03d}"


def _ended(row: dict[str, Any] | None) -> str:
    from venues.lifecycle import REASON_NAMES, event_name

    if row is None:
        return "not sent"
    if row["end_event"] is None:
        return "open"
    return f"{event_name(row['end_event'])} {REASON_NAMES.get(row['end_reason'], '')}".strip()
