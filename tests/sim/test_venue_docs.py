"""The pages about the venues are those that the rule cards give, and their text by hand survives."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sim import venue_docs
from sim.venue_docs import DOCS, MARKER, PAGES, TOLD, main, pages
from venues import card, card_names


def test_the_pages_are_up_to_date() -> None:
    stale = [str(path) for path, text in pages().items() if path.read_text(encoding="utf-8") != text]
    assert not stale, f"{', '.join(stale)}: run python -m sim.venue_docs"


def test_every_card_has_a_page() -> None:
    assert {name for _, cards in PAGES for name in cards} == set(card_names()) - {"neutral"}


@pytest.mark.parametrize("name", [name for name, _ in PAGES])
def test_a_page_says_what_is_left_out_and_every_assumption(name: str) -> None:
    text = (DOCS / "venues" / f"{name}.md").read_text(encoding="utf-8")
    by_hand, _, generated = text.partition(MARKER)
    for title in ("What the simulator does", "What it leaves out, and why", "What rests on assumptions"):
        assert f"## {title}\n" in by_hand
    for venue in dict(PAGES)[name]:
        for fact_name, fact in card(venue).facts((1 << 63) - 1):
            assert fact.verified or fact.source.replace("|", "\\|") in generated, fact_name


def test_writing_keeps_the_text_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: object) -> None:
    (tmp_path / "venues").mkdir()
    for name, _ in PAGES:
        (tmp_path / "venues" / f"{name}.md").write_text(f"# {name}\n\nby hand\n\n{MARKER}\n\nold\n", encoding="utf-8")
    monkeypatch.setattr(venue_docs, "DOCS", tmp_path)
    assert main(["--check"]) == 1
    assert main([]) == 0
    assert main(["--check"]) == 0
    text = (tmp_path / "venues" / "okx.md").read_text(encoding="utf-8")
    assert text.startswith(f"# okx\n\nby hand\n\n{MARKER}\n")
    assert "old\n" not in text
    assert "| `post_only` | cancel_after_ack |" in text
    assert "| 51137 (51138) |" in text
    table = (tmp_path / "venues.md").read_text(encoding="utf-8")
    assert table.count("| `post_only` |") == 1


def test_what_nothing_reads_is_listed_as_told() -> None:
    """Every fact of a card is read somewhere, or stands in ``TOLD``; nothing stands there that is read."""
    root = DOCS.parent
    sources = [
        path.read_text(encoding="utf-8")
        for folder in ("sim", "matching", "venues")
        for path in (root / folder).rglob("*.py")
        if path.name not in ("rule_groups.py", "venue_docs.py") and path.parent.parent != root / "venues"
    ]
    read = set(re.findall(r"\.(\w+)(?:\.value|\.at\(|\.latest|\)\.value)", "\n".join(sources)))
    told = {name for _, names in TOLD for name in names}
    facts = {name for name, _ in card("binance_usdm").facts((1 << 63) - 1)}
    assert told <= facts
    ambiguous = {"orders.max_batch", "orders.max_batch_cancel"}  # read by one expression for both
    unread = {name for name in facts if "." in name and name.rpartition(".")[2] not in read}
    assert unread - ambiguous == told
