"""Which figures the terminal table and the report show, under which label and with how many digits: one list for
both.

A row is a label and a function from the statistics of an account or an instrument to the text of its cell. Labels
that begin with two spaces are parts of the row above them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sim.report.formats import (
    DASH,
    E8,
    THIN,
    count_text,
    duration_text,
    money_decimals,
    money_text,
    number_text,
    percent_text,
    return_text,
)
from sim.report.load import RunData

Figures = Mapping[str, Any]
Row = tuple[str, Callable[[Figures], str]]
PNL_PARTS = (("price", "price_e8"), ("fees", "fee_e8"), ("funding", "funding_e8"), ("liquidation", "liquidation_e8"))


def balance_text(account: Figures, amount_e8: int) -> str:
    """An amount of the size of the account's deposit, unsigned when positive: coins with all their digits."""
    deposit = account["deposit_e8"] or account["equity_e8"]
    return money_text(amount_e8, 2 if abs(deposit) >= 1_000 * E8 else 4 if abs(deposit) >= 100 * E8 else 8)


def pnl_text(account: Figures, amount_e8: int) -> str:
    """A part of the account's PnL, signed, with the digits that its largest part needs."""
    parts = [account["pnl"][key] for _, key in PNL_PARTS]
    return money_text(amount_e8, money_decimals(*parts, account["pnl"]["equity_change_e8"]), signed=True)


def net_pnl_text(account: Figures) -> str:
    amount = pnl_text(account, account["pnl"]["equity_change_e8"])
    if account["return_share"] is None:
        return amount
    return f"{amount} ({return_text(account['return_share'], signed=True)})"


def drawdown_text(account: Figures) -> str:
    if not account["drawdown_e8"]:
        return "none"
    amount = pnl_text(account, account["drawdown_e8"]).removeprefix("+")
    if account["drawdown_share"] is None:
        return amount
    return f"{amount} ({return_text(account['drawdown_share'])})"


def turnover_text(account: Figures) -> str:
    return DASH if account["turnover"] is None else f"{number_text(account['turnover'], 1)}{THIN}×"


def drawdown_time_text(account: Figures) -> str:
    if not account["drawdown_ns"]:
        return "none"
    return duration_text(account["drawdown_ns"]) + ("" if account["drawdown_recovered"] else ", to the end")


def returns_text(account: Figures) -> str:
    every = duration_text(account["return_interval_ns"])
    count = account["returns"]
    if account["equity_least_e8"] <= 0:
        return "no ratio: equity was not above zero throughout"
    return f"{count_text(count)} returns of {every}" if count else f"too few returns of {every}"


def cost_text(value: Figures) -> str:
    """A cost in basis points, with ticks in brackets."""
    if value["bps"] is None:
        return DASH
    return f"{number_text(value['bps'])}{THIN}bps ({number_text(value['ticks'], 1)} ticks)"


def latency_text(value: Figures) -> str:
    if not value["count"]:
        return DASH
    return f"{duration_text(value['p50'])} / {duration_text(value['p99'])}"


def _part(key: str) -> Callable[[Figures], str]:
    return lambda account: pnl_text(account, account["pnl"][key])


ACCOUNT_ROWS: Sequence[Row] = (
    ("Asset", lambda a: str(a["asset"])),
    ("Deposit", lambda a: balance_text(a, a["deposit_e8"])),
    ("Equity at the end", lambda a: balance_text(a, a["equity_e8"])),
    ("Net PnL", net_pnl_text),
    *((f"  {label}", _part(key)) for label, key in PNL_PARTS),
    ("Largest drawdown", drawdown_text),
    ("Longest drawdown", drawdown_time_text),
    ("Sharpe, annualised", lambda a: number_text(a["sharpe"])),
    ("Sortino, annualised", lambda a: number_text(a["sortino"])),
    ("  taken over", returns_text),
    ("Turnover (value / deposit)", turnover_text),
    ("Highest margin ratio", lambda a: percent_text(a["margin_ratio_max"], 2)),
)
# One row an account, for runs of many: the label and the cell.
ACCOUNT_COLUMNS: Sequence[Row] = (
    ("Asset", lambda a: str(a["asset"])),
    ("Net PnL", net_pnl_text),
    *((label.capitalize(), _part(key)) for label, key in PNL_PARTS),
    ("Drawdown", drawdown_text),
    ("Sharpe", lambda a: number_text(a["sharpe"])),
    ("Turnover", turnover_text),
)


def account_rows(accounts: Sequence[Figures], rows: Sequence[Row] = ACCOUNT_ROWS) -> list[Row]:
    """``rows`` without the liquidation part where nobody was liquidated."""
    if any(account["liquidation_fills"] for account in accounts):
        return list(rows)
    return [row for row in rows if row[0].strip().lower() != "liquidation"]


def _money(*keys: str) -> Callable[[Figures], str]:
    """The first of ``keys`` as an amount, with the digits that the largest of them needs."""

    def text(instrument: Figures) -> str:
        decimals = money_decimals(*[instrument[key] for key in keys])
        return f"{money_text(instrument[keys[0]], decimals)} {instrument['asset']}"

    return text


def _lots(*keys: str) -> Callable[[Figures], str]:
    return lambda i: " / ".join(count_text(i["inventory"][key]) for key in keys)


def markout_of(instrument: Figures, horizon_ns: int, group: str = "all") -> Figures | None:
    """One entry of the instrument's markouts, or None."""
    for entry in instrument["markouts"]:
        if entry["horizon_ns"] == horizon_ns and entry["group"] == group:
            return dict(entry)
    return None


def _markout_second(instrument: Figures) -> str:
    entry = markout_of(instrument, 1_000_000_000)
    return number_text(entry["bps"] if entry else None, 3, signed=True)


INSTRUMENT_ROWS: Sequence[Row] = (
    ("Orders / rejected", lambda i: f"{count_text(i['orders']['submitted'])} / {count_text(i['orders']['rejected'])}"),
    ("Fills", lambda i: count_text(i["fills"])),
    ("Fill ratio (lots)", lambda i: percent_text(i["orders"]["fill_ratio_lots"])),
    ("Maker share (value)", lambda i: percent_text(i["maker_share"])),
    ("Traded value", _money("traded_value_e8")),
    ("Realised PnL", _money("realized_e8", "fees_e8", "funding_e8")),
    ("Fees paid", _money("fees_e8", "realized_e8", "funding_e8")),
    ("Funding received", _money("funding_e8", "realized_e8", "fees_e8")),
    ("Hit rate, closing fills", lambda i: percent_text(i["holding"]["hit_rate"])),
    ("Average holding", lambda i: duration_text(i["holding"]["mean_ns"])),
    ("Position at the end, lots", _lots("end_lots")),
    ("Largest long / short, lots", _lots("max_long_lots", "max_short_lots")),
    (
        "Time long / short",
        lambda i: f"{percent_text(i['inventory']['long_share'])} / {percent_text(i['inventory']['short_share'])}",
    ),
    ("Slippage of takers", lambda i: cost_text(i["slippage"])),
    ("Order entry p50 / p99", lambda i: latency_text(i["entry_latency"])),
    ("Response p50 / p99", lambda i: latency_text(i["response_latency"])),
)
INSTRUMENT_COLUMNS: Sequence[Row] = (
    ("Orders", lambda i: count_text(i["orders"]["submitted"])),
    ("Fills", lambda i: count_text(i["fills"])),
    ("Fill ratio", lambda i: percent_text(i["orders"]["fill_ratio_lots"])),
    ("Maker", lambda i: percent_text(i["maker_share"])),
    ("Traded value", _money("traded_value_e8")),
    ("Fees paid", _money("fees_e8")),
    ("Markout 1 s, bps", _markout_second),
    ("Position, lots", _lots("end_lots")),
)


def named_instruments(run: RunData, instruments: Sequence[Figures]) -> list[Figures]:
    """The statistics of instruments with a display name each: the lane is in it when there are several."""
    if len(run.lanes) == 1:
        return list(instruments)
    return [{**i, "name": f"lane {i['lane']} {i['name']}"} for i in instruments]


def problems(figures: Figures) -> list[str]:
    """What the run folder cannot account for, in words; the books of a run have to close, so this is shown in red."""
    return [
        f"{a['name']}: the files leave {money_text(a['pnl']['unexplained_e8'], 8, True)} {a['asset']} unexplained:"
        " fills, fees and funding do not add up to the wallet. This is a defect of perpsim; please report it with the"
        " run folder."
        for a in figures["accounts"]
        if a["pnl"]["unexplained_e8"]
    ]
