"""Writes docs/golden.md and the count at the head of every golden file: ``python -m tests.golden.table``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

from tests.golden import cases
from tests.golden.cases import EVIDENCE, FOLDER, Case

PAGE: Final = Path(__file__).resolve().parents[2] / "docs/golden.md"
MARK: Final = "# Cases: "
EVERYWHERE: Final = (  # what a trader asks of every venue
    "fee", "funding_payment", "funding_rate", "mark", "initial_margin", "maintenance_margin", "liquidation_price",
    "bankruptcy_price", "unrealized_pnl", "order_check", "adl_rank",
)  # fmt: skip
INTRO: Final = """\
# The golden table

Figures that venues published or that were recorded from them, each computed by the simulator's own code (the ledger
configured from the venue's rule card, `venues/funding.py`, `venues/marks.py`, the request gate) and compared to the
last digit given: `tests/golden/*.toml`, run by `tests/sim/test_golden.py`. This page is written from those files by
`python -m tests.golden.table`.

*Published*: a worked example of the venue's documentation, or a test vector of the venue's own software. *Recorded*:
what a venue answered or booked. *Formula*: worked out by hand from the venue's documented formula, where no figure was
found. A figure that is not reproduced stays in the table with the reason and with ours.
"""


def counts(listed: list[Case]) -> str:
    """How many cases there are of which evidence, in words."""
    found = Counter(case["evidence"] for case in listed)
    parts = [f"{found[word]} {word}" for word in EVIDENCE if found[word]]
    differ = sum(case.differs for case in listed)
    none = [word for word in EVIDENCE if not found[word]]
    text = f"{len(listed)}: {', '.join(parts)}"
    text += f"; {differ} not reproduced" if differ else ""
    return text + (f"; none {' or '.join(none)}" if none else "")


def page() -> str:
    """The text of docs/golden.md."""
    listed = {venue: cases.load(venue) for venue in cases.venues()}
    everything = [case for found in listed.values() for case in found]
    lines = [INTRO, f"In all {counts(everything)}.", ""]
    lines += ["| venue | cases | published | recorded | formula | not reproduced |", "| --- " * 6 + "|"]
    for venue, found in listed.items():
        evidence = Counter(case["evidence"] for case in found)
        lines.append(
            f"| {venue} | {len(found)} | {' | '.join(str(evidence[word]) for word in EVIDENCE)} |"
            f" {sum(case.differs for case in found)} |"
        )
    kinds = sorted({case["kind"] for case in everything})
    lines += ["", "What they are about, published or recorded / all:", ""]
    lines += ["| kind | " + " | ".join(listed) + " |", "| --- " * (len(listed) + 1) + "|"]
    for kind in kinds:
        cells = [_cell([case for case in found if case["kind"] == kind]) for found in listed.values()]
        lines.append(f"| {kind.replace('_', ' ')} | " + " | ".join(cells) + " |")
    lines += ["", "Questions for which no venue's own figure, published or recorded, was found:", ""]
    for kind in EVERYWHERE:
        lacking = [venue for venue, found in listed.items() if not _own(found, kind)]
        lines.append(f"- {kind.replace('_', ' ')}: {', '.join(lacking) or 'none'}")
    lines += ["", "## What is not reproduced", ""]
    lines += ["| case | the venue's figure | ours | why |", "| --- | --- | --- | --- |"]
    lines += [f"| {c.label} | {c['expect']} | {c['ours']} | {c['differs']} |" for c in everything if c.differs]
    for venue, found in listed.items():
        lines += ["", f"## {venue}", "", "| case | figure | evidence | source |", "| --- | --- | --- | --- |"]
        lines += [f"| {c['name']} | {c['expect']} | {c['evidence']} | {c['source']} |" for c in found]
    return "\n".join(lines) + "\n"


def _own(found: list[Case], kind: str) -> int:
    """How many figures of a kind are a venue's own."""
    return sum(case["evidence"] != "formula" for case in found if case["kind"] == kind)


def _cell(found: list[Case]) -> str:
    if not found:
        return ""
    return f"{_own(found, found[0]['kind'])} / {len(found)}"


def with_head(venue: str) -> str:
    """A file's text with the count of its cases in the line that begins with ``MARK``."""
    lines = (FOLDER / f"{venue}.toml").read_text(encoding="utf-8").splitlines(keepends=True)
    head = f"{MARK}{counts(cases.load(venue))}.\n"
    if lines[1].startswith(MARK):
        lines[1] = head
    else:
        lines.insert(1, head)
    return "".join(lines)


def main() -> None:
    for venue in cases.venues():
        (FOLDER / f"{venue}.toml").write_text(with_head(venue), encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
