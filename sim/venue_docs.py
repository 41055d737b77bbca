"""Writes ``docs/venues.md`` and the generated part of ``docs/venues/<venue>.md`` from the rule cards.

python -m sim.venue_docs          writes the files
python -m sim.venue_docs --check  says which of them are out of date

The pages of the venues begin with text written by hand ("what we model and what we do not"); what follows ``MARKER`` is
generated and replaced, what stands before it is kept.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from sim.venue_commands import card_facts, is_absent, symbol_facts
from venues import card_names
from venues.rule_text import stem

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"
MARKER: Final = "<!-- generated from the rule cards by python -m sim.venue_docs: what follows is overwritten -->"

PAGES: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("binance", ("binance_usdm", "binance_coinm")),
    ("bybit", ("bybit_linear", "bybit_inverse")),
    ("okx", ("okx",)),
    ("hyperliquid", ("hyperliquid",)),
    ("dydx", ("dydx",)),
    ("deribit", ("deribit",)),
)

# Facts that nothing in the simulator reads, by what stands in their place.
TOLD: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    (
        "built in: one way, which is that of every card, or of the procedure or table that a card names",
        (
            "funding.side_asymmetry", "funding.borrow_fee", "margin.tier_key", "margin.open_interest_scaled",
            "margin.open_order_form", "margin.collateral", "margin.default_mode", "liquidation.trigger_price",
            "liquidation.trigger_ratio_e12", "liquidation.order", "liquidation.takeover_price",
            "liquidation.keeps_margin", "liquidation.fee_to", "liquidation.surplus_to", "loss.adl_fee",
            "loss.socialise", "orders.grid", "orders.trigger_margin", "orders.market_notional_price",
            "orders.market_remainder",
        ),
    ),
    (
        "not acted on: what a run does instead is on the pages of the venues and in its banner",
        (
            "funding.settlement_drift_ns", "funding.publish_lead_ns", "mark.index_weights", "mark.perp_weights",
            "mark.index_clamp_e12", "mark.index_stale_ns", "fees.tiers", "fees.volume_window_ns", "fees.discounts",
            "margin.leverage_step_e12", "loss.fund_scope", "loss.fund_absorbs", "loss.adl_trigger",
            "loss.adl_drawdown_e12", "orders.request_deadline", "orders.trigger_slippage_e12", "orders.amend_new_id",
            "orders.max_matches", "limits.exempt", "limits.exceeded",
        ),
    ),
    (
        "for the connectors to the venues: what their streams promise",
        (
            "feed.book", "feed.book_ids", "feed.book_interval_ns", "feed.book_can_cross", "feed.force_orders",
            "feed.private_replay", "feed.dedupe_key", "feed.ack", "feed.reverts",
        ),
    ),
)  # fmt: skip

_HEAD: Final = """# Venues, rule by rule

Generated from the rule cards (`venues/<venue>/rules.py`) by `python -m sim.venue_docs`; do not edit. The rules stand as
of the latest known change of each; `perpsim venue show VENUE --at DATE` prints those of an earlier day, every one with
its source, and `perpsim venue diff A B` compares two venues.

**?** marks what no source proves: an assumption, which the banner of every run repeats. A dash means that the venue has
no such rule. Times, money and rates carry their units; money is in the settlement asset.

What the simulator does with these rules at each venue, and what it leaves out, is on a page each:
{links}.
"""


def render_table() -> str:
    """The page with every venue side by side."""
    cards = {name: card_facts(name) for name in card_names()}
    rows = {name: {fact["name"]: fact for fact in card["facts"]} for name, card in cards.items()}
    links = ", ".join(f"[{name}](venues/{name}.md)" for name, _ in PAGES)
    lines = [_HEAD.format(links=links)]
    first = next(iter(cards.values()))
    for head, group in itertools.groupby(first["facts"], key=lambda fact: str(fact["name"].rpartition(".")[0])):
        lines += [f"## {(head or 'card').replace('_', ' ')}", ""]
        lines += [_table_row(["rule", *cards]), _table_row(["---"] * (1 + len(cards)))]
        for fact in group:
            name = fact["name"]
            lines.append(_table_row([f"`{stem(name.rpartition('.')[2])}`", *(_cell(rows[v][name]) for v in cards)]))
        lines.append("")
    counts = ", ".join(f"{name} {len(card['assumptions'])}" for name, card in cards.items())
    lines += ["## Told, but not read by the simulator", ""]
    for what, names in TOLD:
        shown = ", ".join(f"`{stem(name)}`" for name in names)
        lines += [f"- {what[0].upper()}{what[1:]}. {shown}."]
    lines += ["- Of `limits.limits`, the rows by ip and by connection: a run has neither.", ""]
    return "\n".join([*lines, f"Assumptions in each card: {counts}.", ""])


def render_page(cards: tuple[str, ...]) -> str:
    """The generated part of a venue's page, from ``MARKER`` on."""
    first = card_facts(cards[0])
    lines = [MARKER, ""]
    for name in cards:
        found = card_facts(name)
        lines += [f"## {found['title']} (`{name}`)", "", "### Assumptions", ""]
        lines += [f"- {_plain(text.removeprefix(f'UNVERIFIED {name} '))}" for text in found["assumptions"]] + [""]
        lines += ["### Rules in force", ""]
        if name == cards[0]:
            lines += _rules(found)
        else:
            lines += [f"As those of `{cards[0]}`, except:", "", *_exceptions(cards[0], name)]
        lines += _tables(found)
    lines += ["## How the venue words it", "", _table_row(["reason", "code", "word", "text"]), _table_row(["---"] * 4)]
    for row in first["reasons"]:
        low = f" ({row['low_code']})" if row["low_code"] is not None else ""
        code = "" if row["code"] is None else f"{row['code']}{low}"
        mark = "" if row["verified"] else "**?** "
        asked = f" ({', '.join(row['asked'])})" if row["asked"] else ""
        lines.append(_table_row([row["reason"] + asked, code, row["word"], mark + row["text"]]))
    if first["errors"]:
        lines += ["", "Error codes, and what a machine should do after each:", ""]
        lines += [_table_row(["code", "hint", "meaning"]), _table_row(["---"] * 3)]
        lines += [_table_row([str(row["code"]), row["hint"], row["text"]]) for row in first["errors"]]
    lines += ["", "## Sources", ""]
    return "\n".join([*lines, *(f"- `{row['short']}`: {row['address']}" for row in first["sources"]), ""])


def _rules(found: dict[str, Any]) -> list[str]:
    lines = []
    for head, facts in itertools.groupby(found["facts"], key=lambda fact: str(fact["name"].rpartition(".")[0])):
        group = list(facts)
        lines += [f"**{(head or 'card').replace('_', ' ')}**", ""]
        shown = [fact for fact in group if not is_absent(fact)]
        if shown:
            lines += [_table_row(["rule", "value", "source"]), _table_row(["---"] * 3)]
        for fact in shown:
            lines.append(_table_row([f"`{stem(fact['name'].rpartition('.')[2])}`", _cell(fact), fact["source"]]))
            for past in fact.get("history", ()):
                since = "at first" if past["from"] is None else f"from {past['from']}"
                lines.append(_table_row([since, _cell(past), past["source"]]))
        absent = [f"`{stem(fact['name'].rpartition('.')[2])}`" for fact in group if is_absent(fact)]
        if absent:
            lines += [""] * bool(shown) + [f"No rule for: {', '.join(absent)}."]
        lines.append("")
    return lines


def _exceptions(first: str, second: str) -> list[str]:
    lines = [_table_row(["rule", "value", "source"]), _table_row(["---"] * 3)]
    for known, fact in zip(card_facts(first)["facts"], card_facts(second)["facts"], strict=True):
        if (known["value"], known["verified"]) != (fact["value"], fact["verified"]):
            lines.append(_table_row([f"`{stem(fact['name'])}`", _cell(fact), fact["source"]]))
    return [*lines, ""]


def _tables(found: dict[str, Any]) -> list[str]:
    lines = []
    if found["funding_tables"]:
        lines += ["### Funding terms by symbol", "", _table_row(["symbol", "terms", "source"]), _table_row(["---"] * 3)]
        lines += [_table_row([row["symbol"], _cell(row), row["source"]]) for row in found["funding_tables"]] + [""]
    if found["margin_tables"]:
        lines += ["### Margin tables", ""]
    alike = itertools.groupby(found["margin_tables"], key=lambda row: (row["value"], row["source"], row["verified"]))
    for (_, source, verified), group in alike:
        symbols = [row["symbol"] for row in group]
        margin = symbol_facts(found["venue"], symbols[0])["margin"]
        lines += [f"{', '.join(symbols)} ({'' if verified else '**?** '}{_plain(source)}):", ""]
        lines += [_table_row(margin["columns"]), _table_row(["---"] * len(margin["columns"]))]
        lines += [*(_table_row(row) for row in margin["rows"]), ""]
    return lines


def _cell(fact: dict[str, Any]) -> str:
    mark = "" if fact["verified"] else "**?** "
    return mark + ("-" if is_absent(fact) else fact["text"])


def _table_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_plain(cell) for cell in cells) + " |"


def _plain(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*(", "\\*(")


def pages() -> dict[Path, str]:
    """Every file and what it should hold. Raises ``FileNotFoundError`` for a page without its text by hand."""
    found = {DOCS / "venues.md": render_table()}
    for name, cards in PAGES:
        path = DOCS / "venues" / f"{name}.md"
        by_hand, _, _ = path.read_text(encoding="utf-8").partition(MARKER)
        found[path] = by_hand.rstrip() + "\n\n" + render_page(cards)
    return found


def main(arguments: list[str]) -> int:
    """Write the pages, or say which of them are out of date."""
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if "--check" in arguments:
            sys.stdout.write(f"{path.relative_to(DOCS.parent)} is out of date: run python -m sim.venue_docs\n")
        else:
            path.write_text(pages()[path], encoding="utf-8")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
