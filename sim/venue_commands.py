"""``perpsim venue``: what the rule cards say, of one venue or of two side by side.

``card_facts`` and ``card_differences`` are the content (``--json``); ``show_lines`` and ``diff_lines`` lay it out.
"""

from __future__ import annotations

import itertools
import shutil
import textwrap
from dataclasses import asdict, fields, is_dataclass
from typing import Annotated, Any, Final

import typer

from sim.calc_commands import calc_app
from sim.cards import find_card
from sim.command import Json, errors, show

LATEST_NS: Final = (1 << 63) - 1
ABSENT: Final[tuple[Any, ...]] = (None, "none", "", [], 0)
WIDTH_LEAST: Final = 80
WIDTH_MOST: Final = 160

venue_app = typer.Typer(help="Rule cards of the venues.", no_args_is_help=True, rich_markup_mode=None)
venue_app.add_typer(calc_app, name="calc")

Venue = Annotated[str, typer.Argument(help="rule card, e.g. binance_usdm", show_default=False)]
At = Annotated[str | None, typer.Option("--at", metavar="DATE", help="rules as of a day, e.g. 2025-04-01")]


Symbol = Annotated[str | None, typer.Option("--symbol", help="one instrument instead: grids, filters, margin, funding")]


@venue_app.command("show")
def venue_show(venue: Venue, at: At = None, symbol: Symbol = None, json_: Json = False) -> None:
    """Print a rule card: every rule with its value and source; ? marks what no source proves."""
    with errors():
        if symbol is not None:
            one = symbol_facts(venue, symbol, _at_ns(at))
            lines = symbol_lines(one, _width())
        else:
            one = card_facts(venue, _at_ns(at))
            lines = show_lines(one, _width())
        if json_:
            show(one)
            return
        for line in lines:
            typer.echo(line)


@venue_app.command("diff")
def venue_diff(first: Venue, second: Venue, at: At = None, json_: Json = False) -> None:
    """Print the rules in which two venues differ, side by side."""
    with errors():
        found = card_differences(first, second, _at_ns(at))
        if json_:
            show(found)
            return
        for line in diff_lines(found, _width()):
            typer.echo(line)


def _at_ns(date: str | None) -> int:
    from venues.errors import InputError
    from venues.rules import date_ns

    if date is None:
        return LATEST_NS
    try:
        return date_ns(date)
    except ValueError:
        raise InputError(f"{date!r} is no day such as 2025-04-01", source="command line", field="--at") from None


def _width() -> int:
    return max(WIDTH_LEAST, min(WIDTH_MOST, shutil.get_terminal_size((100, 24)).columns))


# -- content


def card_facts(venue: str, at_ns: int = LATEST_NS) -> dict[str, Any]:
    """A rule card as JSON-ready data: facts, tables by symbol, reasons and error codes in force at an instant."""
    from venues.rule_text import table_text, value_text

    rules = find_card(venue)
    facts = [
        {"name": name, "text": value_text(name, fact.value)} | _known(fact) | _dates(rules, name, at_ns)
        for name, fact in rules.facts(at_ns)
    ]
    margin = [
        {"symbol": symbol, "text": table_text(table.at(at_ns).value)} | _known(table.at(at_ns))
        for symbol, table in rules.margin.tables
    ]
    funding = [
        {"symbol": symbol, "text": value_text("terms", table.at(at_ns).value)} | _known(table.at(at_ns))
        for symbol, table in rules.funding.tables
    ]
    return {
        "venue": rules.venue,
        "title": rules.title,
        "at": _date(at_ns),
        "facts": facts,
        "margin_tables": margin,
        "funding_tables": funding,
        "sources": [{"short": short, "address": address} for short, address in rules.sources],
        "reasons": [_reason(row) for row in rules.reasons.rows],
        "errors": [{"code": row.code, "text": row.text, "hint": row.hint.value} for row in rules.errors],
        "assumptions": list(rules.assumptions(at_ns, tuple(symbol for symbol, _ in rules.margin.tables))),
    }


def symbol_facts(venue: str, symbol: str, at_ns: int = LATEST_NS) -> dict[str, Any]:
    """What is documented of one instrument: ``instrument`` and ``margin`` are None where nothing is.

    Raises ``InstrumentError`` when the venue's card and instruments know nothing of the symbol.
    """
    from venues import known_instrument, known_symbols
    from venues.errors import InstrumentError
    from venues.rule_text import table_rows, value_text

    rules = find_card(venue)
    venue = rules.venue
    tables = dict(rules.margin.tables)
    known = (*known_symbols(venue), *tables, *dict(rules.funding.tables))
    symbol = next((name for name in known if name.lower() == symbol.lower()), symbol)
    try:
        instrument = known_instrument(venue, symbol)
    except InstrumentError:
        if symbol not in tables and symbol not in dict(rules.funding.tables):
            raise
        instrument = None
    margin = tables[symbol].at(at_ns) if symbol in tables else None
    terms = rules.funding_terms(symbol, at_ns)
    columns, rows = ((), []) if margin is None else table_rows(margin.value)
    held = [] if instrument is None else [(f.name, getattr(instrument, f.name)) for f in fields(instrument) if f.init]
    return {
        "venue": venue,
        "symbol": symbol,
        "at": _date(at_ns),
        "instrument": {name: _plain(value) for name, value in held if value not in (None, (), "")} or None,
        "margin": None if margin is None else _known(margin) | {"columns": list(columns), "rows": rows},
        "funding": _known(terms) | {"text": value_text("terms", terms.value)},
    }


def card_differences(first: str, second: str, at_ns: int = LATEST_NS) -> dict[str, Any]:
    """The facts in which two rule cards differ: ``name`` and for each venue value, text, source and verified."""
    ours, theirs = card_facts(first, at_ns), card_facts(second, at_ns)
    first, second = ours["venue"], theirs["venue"]
    found = [
        {"name": a["name"], first: a, second: b}
        for a, b in zip(ours["facts"], theirs["facts"], strict=True)
        if a["value"] != b["value"]
    ]
    for row in found:
        for venue in (first, second):
            row[venue] = {key: value for key, value in row[venue].items() if key != "name"}
    return {"venues": [first, second], "at": _date(at_ns), "same": len(ours["facts"]) - len(found), "different": found}


def _known(fact: Any) -> dict[str, Any]:
    return {"value": _plain(fact.value), "source": fact.source, "verified": fact.verified}


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


def _dates(rules: Any, name: str, at_ns: int) -> dict[str, Any]:
    """The other values that a dated fact has had or will have."""
    from venues.rule_text import value_text
    from venues.rules import START_NS, Dated

    node = rules
    for part in name.split("."):
        node = getattr(node, part)
    if not isinstance(node, Dated) or len(node.rows) == 1:
        return {}
    in_force = node.at(at_ns)
    return {
        "history": [
            {"from": None if ts_ns == START_NS else _date(ts_ns), "text": value_text(name, fact.value)} | _known(fact)
            for ts_ns, fact in node.rows
            if fact is not in_force
        ]
    }


def _date(at_ns: int) -> str | None:
    from venues.rules import date_of_ns

    return None if at_ns == LATEST_NS else date_of_ns(at_ns)


def _reason(row: Any) -> dict[str, Any]:
    from venues.lifecycle import REASON_NAMES

    kept = {field.name: getattr(row, field.name) for field in fields(row) if field.name not in ("reason", "asked")}
    return {"reason": REASON_NAMES[row.reason], "asked": list(row.asked)} | kept


# -- layout


def show_lines(found: dict[str, Any], width: int) -> list[str]:
    """A rule card as text of at most ``width`` columns: name, mark, value, source."""
    as_of = f"as of {found['at']}" if found["at"] else "as of the latest known change"
    lines = [f"{found['title']} ({found['venue']}), rules {as_of}", "? = no source proves it: an assumption", ""]
    for head, group in itertools.groupby(found["facts"], key=lambda fact: str(fact["name"].rpartition(".")[0])):
        lines += [head or "card", *_group_lines(list(group), width), ""]
    for key, title in (("margin_tables", "margin tables"), ("funding_tables", "funding terms by symbol")):
        if found[key]:
            lines += [title, *(line for table in found[key] for line in _row(table["symbol"], table, width)), ""]
    lines.append("reasons, as the venue words them")
    for row in found["reasons"]:
        code = row["word"] if row["code"] is None else f"{row['code']} {row['word']}".rstrip()
        text = f"{code}: {row['text']}" if code else row["text"]
        lines += _row(row["reason"], row | {"text": text}, width)
    if found["sources"]:
        lines += ["", "sources"]
        for row in found["sources"]:
            named = f"{row['short']:<11} {row['address']}"
            lines += textwrap.wrap(named, width, initial_indent="  ", subsequent_indent=" " * 14)
    count = len(found["assumptions"])
    return [*lines, "", f"{len(found['errors'])} error codes (--json lists them), {count} assumptions"]


def symbol_lines(found: dict[str, Any], width: int) -> list[str]:
    """One instrument as text of at most ``width`` columns."""
    from venues.rule_text import stem, value_text

    as_of = f"as of {found['at']}" if found["at"] else "as of the latest known change"
    lines = [f"{found['symbol']} at {found['venue']}, {as_of}", "? = no source proves it: an assumption", ""]
    if found["instrument"] is not None:
        lines.append("instrument")
        unverified = found["instrument"].get("unverified", ())
        for name, value in found["instrument"].items():
            if name not in ("venue", "symbol", "unverified", "source"):
                mark = "?" if name in unverified else " "
                lines.append(f"  {stem(name):<29.29} {mark} {value_text(name, value)}")
        lines += [
            *textwrap.wrap(
                "source: " + found["instrument"]["source"], width, initial_indent="  ", subsequent_indent="    "
            ),
            "",
        ]
    if found["margin"] is not None:
        lines.append("margin" if found["margin"]["verified"] else "margin ?")
        cells = [found["margin"]["columns"], *found["margin"]["rows"]]
        wide = [max(len(row[k]) for row in cells) for k in range(len(cells[0]))]
        lines += ["  " + "  ".join(f"{cell:>{size}}" for cell, size in zip(row, wide, strict=True)) for row in cells]
        lines += [
            *textwrap.wrap(
                "source: " + found["margin"]["source"], width, initial_indent="  ", subsequent_indent="    "
            ),
            "",
        ]
    lines.append("funding" if found["funding"]["verified"] else "funding ?")
    lines += textwrap.wrap(found["funding"]["text"], width, initial_indent="  ", subsequent_indent="    ")
    return [*lines, *_source_lines(found["funding"]["source"], width)]


def _source_lines(source: str, width: int) -> list[str]:
    return textwrap.wrap(f"source: {source}", width, initial_indent="  ", subsequent_indent="    ")


def is_absent(fact: dict[str, Any]) -> bool:
    """Whether a fact says that the venue has no such rule, for certain and at all times."""
    known = fact["verified"] and "history" not in fact
    says_no = isinstance(fact["value"], bool)  # False equals 0, but "no" is a rule of its own
    return known and not says_no and fact["value"] in ABSENT and not fact.get("name", "").endswith("rate_e12")


def _group_lines(facts: list[dict[str, Any]], width: int) -> list[str]:
    """A group's facts, and in one paragraph the names of the rules that the venue does not have."""
    from venues.rule_text import stem

    lines, absent = [], []
    for fact in facts:
        rest = fact["name"].rpartition(".")[2]
        if is_absent(fact):
            absent.append(stem(rest))
            continue
        lines += _row(rest, fact, width)
        for past in fact.get("history", ()):
            since = "at first" if past["from"] is None else f"from {past['from']}"
            lines += _row(f"  {since}", past, width)
    if absent:
        lines += textwrap.wrap(
            "no rule for: " + ", ".join(absent), width, initial_indent="  ", subsequent_indent="    "
        )
    return lines


def _row(name: str, fact: dict[str, Any], width: int) -> list[str]:
    from venues.rule_text import stem

    value_width = (width - 34) * 9 // 20
    value = textwrap.wrap(fact["text"], value_width) or [""]
    source = textwrap.wrap(fact["source"], width - 34 - value_width - 2) or [""]
    lines = []
    for k in range(max(len(value), len(source))):
        label = stem(name) if k == 0 else ""
        mark = "?" if k == 0 and not fact["verified"] else " "
        left = value[k] if k < len(value) else ""
        right = source[k] if k < len(source) else ""
        lines.append(f"  {label:<29.29} {mark} {left:<{value_width}}  {right}".rstrip())
    return lines


def diff_lines(found: dict[str, Any], width: int) -> list[str]:
    """Two rule cards' differences as text of at most ``width`` columns: name, and each venue's value."""
    from venues.rule_text import stem

    first, second = found["venues"]
    column = (width - 40) // 2
    as_of = f"as of {found['at']}" if found["at"] else "as of the latest known change"
    lines = [f"{first} and {second}, rules {as_of}", f"{len(found['different'])} differ, {found['same']} do not"]
    lines += ["? = no source proves it: an assumption", "", f"{'':36}{first:<{column + 2}}  {second}".rstrip()]
    group = None
    for row in found["different"]:
        head, _, rest = row["name"].rpartition(".")
        if head != group:
            lines.append(head or "card")
            group = head
        sides = [_side(row[venue], column) for venue in (first, second)]
        for k in range(max(len(side) for side in sides)):
            label = stem(rest) if k == 0 else ""
            left, right = (side[k] if k < len(side) else "" for side in sides)
            lines.append(f"  {label:<32.32}{left:<{column + 2}}  {right}".rstrip())
    return lines


def _side(fact: dict[str, Any], width: int) -> list[str]:
    mark = "  " if fact["verified"] else "? "
    wrapped = textwrap.wrap(fact["text"], width) or [""]
    return [(mark if k == 0 else "  ") + line for k, line in enumerate(wrapped)]
