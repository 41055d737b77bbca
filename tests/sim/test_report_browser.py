"""The report in a real browser: no console message, no request, every chart drawn.

Needs Debian's ``chromium`` (``apt-get install chromium``); without it the tests say so and are skipped. Each page
is opened once by headless Chromium with a fresh profile, which prints the document as it is after the scripts ran.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sim.report import build_report
from sim.report.registry import all_charts
from tests.sim.report_runs import empty_run, synthetic_run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--virtual-time-budget=30000",
)
TIMEOUT_S = 120  # a page takes about 3 s; two cores shared with the rest of the suite

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: apt-get install -y chromium")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of two accounts and two instruments, with funding, a liquidation and a gap."""
    return build_report(synthetic_run(tmp_path_factory.mktemp("browser") / "run", lanes=1, seconds=7_500, fills=150))


def opened(page: Path, profile: Path, mark: str, width: int = 1400) -> tuple[str, list[str]]:
    """The document after its scripts ran, and what the browser's console said."""
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", f"--window-size={width},1000", "--dump-dom"]
    done = subprocess.run(
        [*command, f"file://{page}#{mark}"], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return done.stdout, console


def statuses(document: str) -> dict[str, str]:
    """``data-status`` of every chart element by its id."""
    found: dict[str, str] = {}
    for tag in re.findall(r'<div class="chart[^>]*>', document):
        attributes = dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
        found[attributes["id"]] = attributes["data-status"]
    return found


def drawings(document: str) -> dict[str, int]:
    """How many plotly drawings (``svg.main-svg``) follow each chart element before the next one."""
    parts = re.split(r'<div class="chart[^>]*? id="([^"]+)"', document)
    return {name: part.count('class="main-svg"') for name, part in zip(parts[1::2], parts[2::2], strict=True)}


@pytest.mark.parametrize(("mark", "width"), [("all,light", 1400), ("all,dark", 700)])
def test_every_chart_is_drawn_without_a_word_on_the_console(
    report: Path, tmp_path: Path, mark: str, width: int
) -> None:
    document, console = opened(report, tmp_path / "profile", mark, width)
    assert console == []
    assert re.search(r'<body[^>]*data-status="ready"', document)
    found = statuses(document)
    specs, _ = all_charts()
    each = {kind: sum(spec.kind == kind for spec in specs) for kind in ("account", "instrument", "run")}
    assert len(found) == 2 * each["account"] + 2 * each["instrument"] + each["run"]
    assert set(found.values()) == {"drawn"}
    assert min(drawings(document).values()) >= 1
    assert f'data-theme="{mark.split(",")[1]}"' in document


def test_only_the_chosen_account_is_drawn_at_first(report: Path, tmp_path: Path) -> None:
    document, console = opened(report, tmp_path / "profile", "")
    assert console == []
    assert re.search(r'<body[^>]*data-status="ready"', document)
    found = statuses(document)
    waiting = {name for name, status in found.items() if status == "waiting"}
    assert waiting
    assert all(re.match(r"(account|instrument)-1-", name) for name in waiting)
    assert "drawn" in found.values()


def test_an_empty_run_shows_words_and_no_broken_chart(tmp_path: Path) -> None:
    document, console = opened(build_report(empty_run(tmp_path / "run")), tmp_path / "profile", "")
    assert console == []
    assert set(statuses(document).values()) == {"drawn"}
    assert "Nothing was filled" in document


def test_a_broken_figure_is_noticed(tmp_path: Path) -> None:
    """The checks above can fail: a page whose data are damaged is not reported as drawn."""
    page = build_report(empty_run(tmp_path / "run"))
    whole = page.read_text(encoding="utf-8")
    damaged = whole.replace('"y":{"dtype"', '"y":[],"lost":{"dtype"', 1)
    assert damaged != whole
    page.write_text(damaged, encoding="utf-8")
    document, console = opened(page, tmp_path / "profile", "")
    assert console
    assert re.search(r'<body[^>]*data-status="failed"', document)
    assert "failed" in statuses(document).values()
