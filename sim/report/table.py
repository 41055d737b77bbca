"""The result in the terminal: realism banner, then accounts, then instruments, then markouts.

Written with rich when standard output is a terminal; otherwise the same rows as aligned plain text without colour or box
drawing, so that a log file or a pipe stays readable. Width follows the terminal; figures are right-aligned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sim.report.formats import (
    THIN,
    count_text,
    duration_text,
    money_decimals,
    money_text,
    number_text,
    percent_text,
    period_text,
)
from sim.report.load import RunData

PLAIN_WIDTH = 120
Row = tuple[str, Callable[[Mapping[str, Any]], str]]


def print_run(run: RunData, figures: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the whole result of ``run`` with the statistics ``figures`` (of ``run_statistics``)."""
    console = console or Console(highlight=False)
    if not console.is_terminal:
        console = Console(file=console.file, highlight=False, no_color=True, width=max(console.width, PLAIN_WIDTH))
    shape = box.SIMPLE_HEAD if console.is_terminal else None
    for line in _heading(run, figures):
        console.print(line)
    console.print(_banner(run))
    console.print(_transposed("Account", figures["accounts"], _account_rows(figures["accounts"]), shape))
    for problem in _problems(figures):
        console.print(Text(problem, style="bold red"))
    if figures["instruments"]:
        console.print(_transposed("Instrument", _named(run, figures["instruments"]), INSTRUMENT_ROWS, shape))
    markouts = _markouts(_named(run, figures["instruments"]), shape)
    if markouts is not None:
        console.print(markouts)


def _heading(run: RunData, figures: Mapping[str, Any]) -> list[Text]:
    names = ", ".join(dict.fromkeys(run.strategies))
    traded = ", ".join(f"{i.venue} {i.symbol}" for i in run.instruments)
    period = period_text(run.first_ns, run.last_ns)
    return [
        Text.assemble((names, "bold"), f" on {traded}"),
        Text(f"{period} ({duration_text(figures['period']['span_ns'])}), run {run.run_id}", style="dim"),
    ]


def _banner(run: RunData) -> Padding:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for line in run.banner:
        warn = line.level == "warn"
        grid.add_row(Text(("! " if warn else "  ") + line.topic, style="yellow" if warn else "cyan"), Text(line.text))
    return Padding(grid, (1, 0))


def _transposed(
    corner: str, columns: Sequence[Mapping[str, Any]], rows: Sequence[Row], shape: box.Box | None
) -> Table:
    """One column a thing, one row a figure: a run has few accounts and many figures."""
    table = Table(box=shape, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(corner, no_wrap=True)
    for column in columns:
        table.add_column(str(column["name"]), justify="right")
    for label, text_of in rows:
        table.add_row(label, *[text_of(column) for column in columns])
    return table


def _account_rows(accounts: Sequence[Mapping[str, Any]]) -> list[Row]:
    def money(key: str, signed: bool = True) -> Callable[[Mapping[str, Any]], str]:
        return lambda a: _money(a, a["pnl"][key] if key in a["pnl"] else a[key], signed)

    def drawdown(a: Mapping[str, Any]) -> str:
        return f"{_money(a, a['drawdown_e8'], False)} ({percent_text(a['drawdown_share'], 2)})"

    def longest(a: Mapping[str, Any]) -> str:
        return duration_text(a["drawdown_ns"]) + ("" if a["drawdown_recovered"] else ", to the end")

    def ratio(key: str) -> Callable[[Mapping[str, Any]], str]:
        return lambda a: number_text(a[key], 2)

    def grid(a: Mapping[str, Any]) -> str:
        count = a["returns"]
        every = duration_text(a["return_interval_ns"])
        return f"{count_text(count)} returns of {every}" if count else f"too few returns of {every}"

    rows: list[Row] = [
        ("Asset", lambda a: str(a["asset"])),
        ("Deposit", money("deposit_e8", False)),
        ("Equity at the end", money("equity_e8", False)),
        ("Net PnL", lambda a: f"{_money(a, a['pnl']['equity_change_e8'], True)} ({percent_text(a['return_share'], 2, True)})"),
        ("  price", money("price_e8")),
        ("  fees", money("fee_e8")),
        ("  funding", money("funding_e8")),
        ("  liquidation", money("liquidation_e8")),
        ("Largest drawdown", drawdown),
        ("Longest drawdown", longest),
        ("Sharpe, annualised", ratio("sharpe")),
        ("Sortino, annualised", ratio("sortino")),
        ("  taken over", grid),
        ("Turnover (value / deposit)", lambda a: number_text(a["turnover"], 1) + THIN + "×"),
        ("Highest margin ratio", lambda a: percent_text(a["margin_ratio_max"], 2)),
    ]
    if not any(a["liquidation_fills"] for a in accounts):
        rows = [row for row in rows if row[0] != "  liquidation"]
    return rows


def _money(account: Mapping[str, Any], amount_e8: int, signed: bool) -> str:
    decimals = money_decimals(account["equity_e8"], account["deposit_e8"])
    return money_text(amount_e8, max(decimals, 2), signed)


def _instrument_money(key: str, sign: int = 1) -> Callable[[Mapping[str, Any]], str]:
    def text(i: Mapping[str, Any]) -> str:
        amounts = [i[k] for k in ("realized_e8", "fees_e8", "funding_e8", "traded_value_e8")]
        return f"{money_text(sign * i[key], max(money_decimals(*amounts), 2))} {i['asset']}"

    return text


def _held(key: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda i: percent_text(i["inventory"][key])


def _cost(value: Mapping[str, Any]) -> str:
    if value["bps"] is None:
        return "–"
    return f"{number_text(value['bps'])}{THIN}bps ({number_text(value['ticks'], 1)} ticks)"


def _latency(value: Mapping[str, int]) -> str:
    if not value["count"]:
        return "–"
    return f"{duration_text(value['p50'])} / {duration_text(value['p99'])}"


INSTRUMENT_ROWS: Sequence[Row] = (
    ("Orders / rejected", lambda i: f"{count_text(i['orders']['submitted'])} / {count_text(i['orders']['rejected'])}"),
    ("Fills", lambda i: count_text(i["fills"])),
    ("Fill ratio (lots)", lambda i: percent_text(i["orders"]["fill_ratio_lots"])),
    ("Maker share (value)", lambda i: percent_text(i["maker_share"])),
    ("Traded value", _instrument_money("traded_value_e8")),
    ("Realised PnL", _instrument_money("realized_e8")),
    ("Fees paid", _instrument_money("fees_e8")),
    ("Funding received", _instrument_money("funding_e8")),
    ("Hit rate, closing fills", lambda i: percent_text(i["holding"]["hit_rate"])),
    ("Average holding", lambda i: duration_text(i["holding"]["mean_ns"])),
    ("Position at the end, lots", lambda i: count_text(i["inventory"]["end_lots"])),
    (
        "Largest long / short, lots",
        lambda i: f"{count_text(i['inventory']['max_long_lots'])} / {count_text(i['inventory']['max_short_lots'])}",
    ),
    ("Time long / short", lambda i: f"{_held('long_share')(i)} / {_held('short_share')(i)}"),
    ("Slippage of takers", lambda i: _cost(i["slippage"])),
    ("Order entry p50 / p99", lambda i: _latency(i["entry_latency"])),
    ("Response p50 / p99", lambda i: _latency(i["response_latency"])),
)


def _named(run: RunData, instruments: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    if len(run.lanes) == 1:
        return list(instruments)
    return [{**i, "name": f"lane {i['lane']} {i['name']}"} for i in instruments]


def _markouts(instruments: Sequence[Mapping[str, Any]], shape: box.Box | None) -> Table | None:
    """Markouts of all fills in basis points, one row an instrument, one column a horizon; None when nothing filled."""
    traded = [i for i in instruments if i["fills"]]
    if not traded:
        return None
    table = Table(box=shape, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("Markout, bps", no_wrap=True)
    horizons = list(dict.fromkeys(m["horizon_ns"] for m in traded[0]["markouts"]))
    for horizon in horizons:
        table.add_column("at fill" if not horizon else duration_text(horizon), justify="right")
    for i in traded:
        for group in ("all", "buy", "sell"):
            cells = {m["horizon_ns"]: m for m in i["markouts"] if m["group"] == group}
            if not any(m["fills"] for m in cells.values()):
                continue
            label = f"{i['name']} {group if group == 'all' else group + 's'}"
            table.add_row(label, *[number_text(cells[h]["bps"], 3, True) for h in horizons])
    return table


def _problems(figures: Mapping[str, Any]) -> list[str]:
    """What the run folder cannot account for; printed in red, because the books of a run have to close."""
    return [
        f"{a['name']}: the files leave {money_text(a['pnl']['unexplained_e8'], 8, True)} {a['asset']} unexplained: fills, fees"
        " and funding do not add up to the wallet. This is a defect of perpsim; please report it with the run folder."
        for a in figures["accounts"]
        if a["pnl"]["unexplained_e8"]
    ]


__all__ = ["print_run"]
