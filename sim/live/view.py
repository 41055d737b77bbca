"""The live terminal view of paper and live: one screen, made anew from each status."""

from __future__ import annotations

from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sim.status_view import elapsed, empty_table

FIXED_LINES: Final = 13
MESSAGES_SHOWN: Final = 4
LATE_MS: Final = 100.0  # a lag that deserves attention
_STYLES: Final = {"error": "bold red", "warning": "yellow", "info": "dim"}


def screen(status: dict[str, Any], height: int) -> RenderableType:
    """A status as something to print, of about ``height`` lines."""
    parts = [_head(status), _feed(status)]
    if "books" in status:
        taken = FIXED_LINES + len(status["books"]) + len(status["accounts"]) + len(status["messages"][-MESSAGES_SHOWN:])
        parts += [_paths(status)] + ([_shadow(status["shadow"])] if "shadow" in status else [])
        parts += [_books(status), _accounts(status), _orders(status, max(height - taken, 3))]
    parts += [Text(row["text"], _STYLES[row["level"]]) for row in status["messages"][-MESSAGES_SHOWN:]]
    return Group(*parts)


def _head(status: dict[str, Any]) -> RenderableType:
    mode = Text(f" {status['mode']} ", "bold white on red" if status["mode"] == "live" else "bold black on cyan")
    counts = status.get("counts")
    figures = "" if counts is None else f"   {counts['orders']:,} orders  {counts['fills']:,} fills"
    rejected = "" if counts is None or not counts["rejects"] else f"  {counts['rejects']:,} rejects"
    return Text.assemble(
        mode, (f" {status['name']}", "bold"), f"   {status['phase']}   {elapsed(status['elapsed_s'])}{figures}",
        (rejected, "yellow"),
    )  # fmt: skip


def _feed(status: dict[str, Any]) -> RenderableType:
    feed, lag = status["feed"], status["lag_ms"]
    down = [
        row["name"] + (f" ({row['why']})" if row["why"] else "") for row in status["connections"] if not row["open"]
    ]
    state = (f"{len(status['connections']) - len(down)} of {len(status['connections'])} connections open", "green")
    lost = feed["gaps"] or feed["dropped"]
    return Text.assemble(
        f"feed {feed['frames_per_s']:,.0f} frames/s  lag p50 {_ms(feed['lag_p50_ms'])} p99 {_ms(feed['lag_p99_ms'])}  ",
        (f"gaps {feed['gaps']} dropped {feed['dropped']}", "bold red" if lost else "green"),
        "  ",
        (f"down: {', '.join(down)}", "bold red") if down else state,
        "  behind its own clock ",
        (
            f"p50 {_ms(lag['p50'])} p99.9 {_ms(lag['p999'])} max {_ms(lag['max'])}",
            "bold red" if lag["p999"] > LATE_MS else "",
        ),
    )


def _paths(status: dict[str, Any]) -> RenderableType:
    risk, path = status["risk"], status.get("orders_path")
    delay = f"venue simulated {status['delay_ns'] / 1e6:,.1f} ms behind" if status["mode"] == "paper" else ""
    said = Text.assemble(delay)
    if path is not None:
        said = Text.assemble(
            (f"orders {'ready' if path['ready'] else 'NOT READY'}", "green" if path["ready"] else "bold red"),
            f"  round trip p50 {_ms(path['round_trip_p50_ms'])} p99 {_ms(path['round_trip_p99_ms'])}"
            f"  own share p50 {_us(path['own_p50_us'])} p99 {_us(path['own_p99_us'])}",
            (f"  lost answers {path['lost']}" if path["lost"] else "", "yellow"),
            (f"  foreign events {path['foreign']}" if path["foreign"] else "", "bold red"),
        )
        for name, text in path["differences"].items():
            said.append(f"  {name}: {text}", "bold red")
    if risk is None:
        said.append("  no limits")
    elif risk["halted"]:
        said.append(f"  HALTED: {risk['halted']}", "bold red")
    else:
        refused = ", ".join(f"{name} {count}" for name, count in risk["refused"].items())
        said.append(f"  limits {'ok' if not refused else f'refused: {refused}'}", "yellow" if refused else "green")
    return said


def _shadow(found: dict[str, Any]) -> RenderableType:
    if "compared" not in found and not found["ended"]:
        return Text("shadow begins", "dim")
    if found["ended"]:
        return Text(f"shadow ended: {found['ended']}", "bold yellow")
    worse = "-" if found["worse_ticks"] is None else f"{found['worse_ticks']:+,.3f} ticks"
    profit = "  ".join(f"{asset} {_money(value)}" for asset, value in found["profit_difference_e8"].items())
    return Text(
        f"shadow {found['orders']:,} orders  filled in both {found['filled_both']:,}, live only "
        f"{found['filled_live_only']:,}, simulated only {found['filled_shadow_only']:,}  price worse by {worse}  "
        f"latency {_ms(found['latency_actual_ms'])}, predicted {_ms(found['latency_predicted_ms'])}  "
        f"profit less predicted {profit}"
    )


def _books(status: dict[str, Any]) -> Table:
    table = empty_table("book", "bid", "size", "ask", "size", "mark", "funding", "in", "gaps", left=1)
    for row in status["books"]:
        name = Text(row["instrument"], "" if row["valid"] else "bold red")
        if not row["valid"]:
            name.append(" STALE")
        rate, due = row["funding_rate"], row["next_funding_s"]
        table.add_row(
            name, row["bid"] or "", row["bid_size"] or "", row["ask"] or "", row["ask_size"] or "",
            "" if row["mark"] is None else f"{row['mark']:,.8g}", "" if rate is None else f"{rate * 100:.4f} %",
            "" if due is None else elapsed(due), str(row["gaps"]),
        )  # fmt: skip
    return table


def _accounts(status: dict[str, Any]) -> RenderableType:
    columns = ("account", "equity", "unrealized", "realized", "fees", "funding", "margin ratio")
    table = empty_table(*columns, left=1)
    held = []
    for row, margin in zip(status["accounts"], status["margin"], strict=True):
        ratio, lane = margin["margin_ratio"], f" lane {row['lane']}" if row["lane"] else ""
        for one in row["positions"]:
            if one["position_lots"]:
                held.append(f"{one['instrument']}{lane} {one['position_lots']:+,} lots")
        table.add_row(
            f"{row['venue']} {row['asset']}{lane}",
            *(_money(row[key]) for key in ("equity_e8", "unrealized_e8", "realized_e8", "fees_e8", "funding_e8")),
            "" if ratio is None else Text(f"{ratio * 100:.2f} %", "bold red" if ratio > 0.5 else ""),
        )  # fmt: skip
    return Group(table, Text.assemble(("position  ", "dim"), "  ".join(held) or "flat"))


def _orders(status: dict[str, Any], room: int) -> Table:
    table = empty_table("order", "instrument", "side", "price", "size", "filled", "state", "age", left=3)
    rows = status["orders"]
    for row in rows[-room:]:
        side = Text(row["side"], "green" if row["side"] == "buy" else "red")
        state = Text(row["status"], "bold yellow" if row["status"] == "UNKNOWN" else "")
        table.add_row(
            str(row["number"]), row["instrument"], side, row["price"], row["size"], row["filled"], state,
            f"{row['age_s']:,.1f} s",
        )  # fmt: skip
    if len(rows) > room:
        table.add_row(Text(f"... and {len(rows) - room} older", "dim"))
    return table


def _money(value_e8: int) -> str:
    return f"{value_e8 / 1e8:,.2f}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f} ms"


def _us(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} us"
