"""Draws ``docs/lifecycle.md`` from the transition table, so that the picture cannot differ from the code.

python -m venues.lifecycle_doc          writes the file
python -m venues.lifecycle_doc --print  prints it
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from venues import lifecycle
from venues.lifecycle import ABSENT_ROW, CLOSED_ROW, EFFECT_NAMES, ROW_NAMES, TABLE, TRIGGER_NAMES

PATH: Final = Path(__file__).resolve().parent.parent / "docs" / "lifecycle.md"

_HEAD: Final = """# The life of an order

Drawn from the transition table of `venues/lifecycle.py` by `python -m venues.lifecycle_doc`; do not edit.

An order's state is `status` x `filled` x `pending {amend, cancel}`. The diagram shows the status; names that start
with a capital letter are what the venue says, the others are what we do. CLOSED is one status in three forms: it had
been at the venue (CLOSED), the venue said that it never was (REFUSED), or it never left us (DISCARDED).
"""

_TABLE_HEAD: Final = """
Every transition, the ones that change only `filled` or `pending` included. What is not listed is a defect: it is
raised with the order unchanged, and reported. *Late* means that it arrived after the end, so the venue should be
asked; *repeat* that it said nothing new. `FilledWhole`, `AmendedWhole` and `AmendRejectedWhole` are the events of
those names that leave nothing to execute.

| in | on | to | effects |
| --- | --- | --- | --- |
"""

_VIEW_HEAD: Final = """
The familiar names are a view of the state:

| name | status | filled | pending | reason |
| --- | --- | --- | --- | --- |
| initialized | INTENT | 0 | | |
| submitted | SENT | 0 | | |
| unknown | UNKNOWN | 0 | | |
| untriggered | HELD | 0 | | |
| open | OPEN | 0 | | |
| partially filled | OPEN | above 0 | | |
| pending cancel | not CLOSED | any | cancel | |
| pending amend | not CLOSED | any | amend, no cancel | |
| filled | CLOSED | any | | filled |
| canceled | CLOSED | any | | user |
| rejected | CLOSED (REFUSED, DISCARDED) | 0 | | any |
| expired | CLOSED | any | | any other |
"""


def diagram() -> str:
    """The status diagram in Mermaid."""
    arrows: dict[tuple[int, int], list[str]] = {}
    for rule in TABLE:
        for row in rule.rows:
            if rule.next_row is not None and rule.next_row != row:
                arrows.setdefault((row, rule.next_row), []).append(TRIGGER_NAMES[rule.trigger])
    lines = ["```mermaid", "stateDiagram-v2"]
    for (row, next_row), names in sorted(arrows.items(), key=lambda item: (item[0][0] != ABSENT_ROW, item[0])):
        start = "[*]" if row == ABSENT_ROW else ROW_NAMES[row]
        lines.append(f"    {start} --> {ROW_NAMES[next_row]}: {', '.join(names)}")
    lines += [f"    {ROW_NAMES[row]} --> [*]" for row in range(CLOSED_ROW, ABSENT_ROW)]
    return "\n".join([*lines, "```", ""])


def table() -> str:
    """Every rule as a row of a Markdown table."""
    lines = []
    for rule in TABLE:
        effects = ", ".join(name for bit, name in EFFECT_NAMES.items() if rule.effects & bit)
        rows = ", ".join(ROW_NAMES[row] for row in rule.rows)
        next_name = "stays" if rule.next_row is None else ROW_NAMES[rule.next_row]
        lines.append(f"| {rows} | {TRIGGER_NAMES[rule.trigger]} | {next_name} | {effects} |")
    return "\n".join(lines) + "\n"


def render() -> str:
    """The whole page."""
    reasons = ", ".join(name for code, name in sorted(lifecycle.REASON_NAMES.items()) if code)
    return f"{_HEAD}\n{diagram()}{_TABLE_HEAD}{table()}{_VIEW_HEAD}\nReasons: {reasons}.\n"


def main(arguments: list[str]) -> None:
    """Write the page, or print it."""
    if "--print" in arguments:
        sys.stdout.write(render())
    else:
        PATH.write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
