"""Reading run folders, banner, terminal table, and the report's figures (without a browser)."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from matching import codes
from sim.report import (
    BannerFacts,
    BannerLine,
    InstrumentFacts,
    VenueFacts,
    banner_lines,
    build_report,
    load_run,
    print_table,
    registry,
    statistics,
)
from sim.report.__main__ import main
from sim.report.figures import measure
from sim.report.formats import (
    duration_text,
    money_text,
    number_text,
    percent_text,
    period_text,
    rate_bps_text,
    return_text,
)
from sim.report.html import _encoded, _page
from sim.report.load import RunFolderError
from sim.report.registry import ChartSpec, Figure, all_charts
from sim.report.streams import Line, Marks, Sample, break_line, split
from tests.sim.report_runs import E8, S, empty_run, synthetic_run

ROOT = Path(__file__).resolve().parents[2]
SIZE_MAX = 8_000_000


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_run(tmp_path_factory.mktemp("report") / "run", lanes=2, seconds=7_500, fills=150)


@pytest.fixture
def broken(run_folder: Path, tmp_path: Path) -> Path:
    """A copy of the run folder to damage."""
    return Path(shutil.copytree(run_folder, tmp_path / "broken"))


# -- reading --


def test_a_result_with_a_path_reads_as_its_folder(run_folder: Path) -> None:
    run = load_run(SimpleNamespace(path=run_folder))
    assert run.path == run_folder
    assert run.lanes == (0, 1)
    assert [i.name for i in run.instruments] == ["BTCUSDT", "BTCUSD_PERP"]
    assert len(run.frame("fills")) == run.tables["fills"].rows


def edit_manifest(folder: Path, **changes: Any) -> None:
    raw = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(raw | changes))


def edit_fills(folder: Path, change: pl.Expr) -> None:
    pl.read_parquet(folder / "fills.parquet").with_columns(change).write_parquet(folder / "fills.parquet")


DAMAGES: dict[str, Callable[[Path], object]] = {
    r"fills.parquet: column side missing": lambda folder: (
        pl.read_parquet(folder / "fills.parquet").drop("side").write_parquet(folder / "fills.parquet")
    ),
    r"fills.parquet: column ticks must hold integers, found (large_)?string": lambda folder: edit_fills(
        folder, pl.lit("x").alias("ticks")
    ),
    r"fills.parquet: instrument 5 in a row, but manifest.json lists 2": lambda folder: edit_fills(
        folder, pl.lit(5).alias("instrument")
    ),
    r"fills.parquet: not a readable Parquet file": lambda folder: (folder / "fills.parquet").write_bytes(b"no parquet"),
    r"fills.parquet: missing": lambda folder: (folder / "fills.parquet").unlink(),
    r"manifest.json: first_ns must be of type int, found 'soon'": lambda folder: edit_manifest(folder, first_ns="soon"),
    r"manifest.json: not valid JSON": lambda folder: (folder / "manifest.json").write_text("{"),
    r"manifest.json: expected an object, found list": lambda folder: (folder / "manifest.json").write_text("[]"),
    r"this run did not finish \(ValueError: no\)": lambda folder: edit_manifest(
        folder, status="failed", failure="ValueError: no"
    ),
    r"manifest.json: missing": lambda folder: (folder / "manifest.json").unlink(),
}


@pytest.mark.parametrize("message", DAMAGES)
def test_each_damage_is_named_with_its_file_and_field(broken: Path, message: str) -> None:
    DAMAGES[message](broken)
    with pytest.raises(RunFolderError, match=message):
        statistics(broken)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("tick_size", "a lot", r"instruments\[0\].tick_size is no decimal number: 'a lot'"),
        ("lot_size", "0", r"instruments\[0\].lot_size must be positive"),
        ("inverse", 1, r"instruments\[0\].inverse must be of type bool, found 1"),
    ],
)
def test_a_wrong_instrument_is_named(broken: Path, field: str, value: Any, message: str) -> None:
    instruments = json.loads((broken / "manifest.json").read_text())["instruments"]
    instruments[0][field] = value
    edit_manifest(broken, instruments=instruments)
    with pytest.raises(RunFolderError, match=message):
        load_run(broken)


def test_a_path_that_is_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="no such run folder"):
        load_run(tmp_path / "nowhere")


# -- texts --


def test_numbers_as_people_read_them() -> None:
    assert money_text(-123_456_789_012, 2) == "−1,234.57"
    assert money_text(-4, 2) == "0.00"
    assert money_text(150_000_000, 0) == "2"
    assert money_text(1, 8, signed=True) == "+0.00000001"
    assert number_text(-0.001, 2, signed=True) == "0.00"
    assert number_text(None) == "–"
    assert percent_text(0.1234, 1, signed=True) == "+12.3\u202f%"
    shares = (0.1234, -0.000012, 0.0, 0.00099, None)
    texts = ["12.34\u202f%", "−0.0012\u202f%", "0.00\u202f%", "0.099\u202f%", "–"]
    assert [return_text(share) for share in shares] == texts
    assert rate_bps_text(200_000_000) == "2\u202fbps"
    assert rate_bps_text(-50_000_000) == "−0.5\u202fbps"
    assert period_text(1_680_645_600 * S, 1_680_656_400 * S) == "2023-04-04 22:00:00 – 2023-04-05 01:00:00 UTC"


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1_500, "1.5 µs"),
        (12_345_678, "12.3 ms"),
        (59 * S, "59 s"),
        (90 * S, "1 min 30 s"),
        (3_600 * S, "1 h"),
        (100_000 * S, "1 d 3 h"),
        (-5 * S, "−5 s"),
        (3_599 * S + S // 2, "1 h"),
    ],
)
def test_durations(ns: int, text: str) -> None:
    assert duration_text(ns).replace("\u202f", " ") == text


@given(st.integers(-(10**15), 10**15), st.integers(0, 8))
def test_money_text_rounds_by_less_than_a_unit_of_its_last_digit(amount_e8: int, decimals: int) -> None:
    shown = money_text(amount_e8, decimals).replace(",", "").replace("−", "-")
    digits = shown.split(".")[1] if decimals else ""
    assert len(digits) == decimals
    assert abs(int(shown.replace(".", "")) * 10 ** (8 - decimals) - amount_e8) * 2 <= 10 ** (8 - decimals)


# -- banner --


def facts(**instrument: Any) -> BannerFacts:
    venue = VenueFacts("v", "card", "1 ms", "1 ms", 2 * E8, 4 * E8, "tier 0", assumptions=("one thing",))
    base: dict[str, Any] = {
        "book": "L2",
        "queue_model": "q",
        "exchange_model": "x",
        "mark": "recorded",
        "funding": "recorded",
    }
    first = InstrumentFacts("A", "v", margin="brackets", **base | instrument)
    return BannerFacts([venue], [first, InstrumentFacts("B", "v", margin="brackets", **base)], 100 * S, 1)


def test_banner_warns_of_what_departs_from_the_venue() -> None:
    changes: dict[str, Any] = {
        "funding_boundaries": 2,
        "funding_covered": 1,
        "gaps": 1,
        "gap_ns": 10 * S,
        "mark_exact": False,
    }
    lines = banner_lines(facts(mark="mid (proxy)", **changes, orders_open_in_gap=1))
    warned = {(line.topic, line.text) for line in lines if line.level == "warn"}
    assert ("Mark price", "A: mid (proxy)") in warned
    assert ("Funding", "A: recorded; 1 of 2 funding times covered (50.0\u202f%)") in warned
    assert ("Unverified", "v: one thing") in warned
    (gap,) = [text for topic, text in warned if topic == "Gaps"]
    assert gap.startswith("A: 1 gap, book unknown for 10\u202fs, 10.0\u202f% of the run; 1 own order rested through")
    assert ("Margin", "A: brackets") not in {(line.topic, line.text) for line in lines}  # shared by both: no names


def test_banner_is_silent_where_all_is_as_the_venue_does_it() -> None:
    lines = banner_lines(facts())
    assert {line.topic for line in lines if line.level == "warn"} == {"Unverified"}
    assert [line.text for line in lines if line.topic == "Gaps"] == ["none"]
    assert [BannerLine.from_dict(line.as_dict()) for line in lines] == lines


# -- terminal table --


def test_plain_table_begins_with_the_banner_and_has_no_markup(run_folder: Path) -> None:
    out = io.StringIO()
    print_table(run_folder, Console(file=out))
    text = out.getvalue()
    assert "\x1b" not in text
    assert not re.search(r"[─│┃━]", text)
    assert not any(line.endswith(" ") for line in text.splitlines())
    places = [text.index(word) for word in ("MarketMaker on", "! Gaps", "Account ", "Instrument ", "Markout, bps")]
    assert places == sorted(places)


def test_terminal_table_is_styled_and_fits(run_folder: Path) -> None:
    out = io.StringIO()
    print_table(run_folder, Console(file=out, force_terminal=True, width=130))
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())
    assert "\x1b[" in out.getvalue()
    assert max(len(line) for line in plain.splitlines()) <= 130


def test_many_accounts_get_one_row_each(tmp_path: Path) -> None:
    folder = synthetic_run(tmp_path / "run", lanes=4, seconds=60, fills=10)
    out = io.StringIO()
    print_table(folder, Console(file=out))
    rows = [line for line in out.getvalue().splitlines() if line.startswith("lane ")]
    assert len(rows) == 8 + 8  # accounts, then lanes x instruments


def test_books_that_do_not_close_are_said_in_table_and_report(broken: Path) -> None:
    edit_fills(broken, pl.col("fee_e8") + 1)
    out = io.StringIO()
    print_table(broken, Console(file=out))
    assert "unexplained" in out.getvalue()
    assert 'class="problem"' in build_report(broken).read_text()


# -- report --


class Outline(HTMLParser):
    """Collects chart ids, empty texts and outside references of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.charts: list[str] = []
        self.outside: list[str] = []
        self.empty: list[str] = []
        self._in_empty = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given_ = dict(attrs)
        if given_.get("class") == "chart":
            self.charts.append(str(given_["id"]))
        self._in_empty = given_.get("class") == "empty"
        for name in ("src", "href"):
            if given_.get(name) and not str(given_[name]).startswith("data:"):
                self.outside.append(str(given_[name]))

    def handle_data(self, data: str) -> None:
        if self._in_empty:
            self.empty.append(data)
            self._in_empty = False


def outline(path: Path) -> Outline:
    parser = Outline()
    parser.feed(path.read_text(encoding="utf-8"))
    return parser


def test_report_is_one_file_with_every_chart_and_nothing_from_outside(run_folder: Path) -> None:
    path = build_report(run_folder)
    assert path == run_folder / "report.html"
    assert path.stat().st_size < SIZE_MAX
    found = outline(path)
    assert found.outside == []
    specs, problems = all_charts()
    assert problems == []
    per_kind = {kind: {spec.key for spec in specs if spec.kind == kind} for kind in ("account", "instrument", "run")}
    wanted = {f"account-{n}-{key}" for n in range(4) for key in per_kind["account"]}
    wanted |= {f"instrument-{n}-{key}" for n in range(4) for key in per_kind["instrument"]}
    wanted |= {f"run-{key}" for key in per_kind["run"]}
    assert set(found.charts) == wanted


def test_figures_are_what_plotly_accepts(run_folder: Path) -> None:
    _, figures = _page(load_run(run_folder))
    assert len(figures) >= 20

    def plain(value: Any) -> Any:
        """Colour tokens as a colour, so that plotly's own validation can judge the rest."""
        if isinstance(value, str):
            return "#123456" if value.startswith("$") else value
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, list) else value

    css = (ROOT / "sim" / "report" / "report.css").read_text()
    for name, figure in figures.items():
        go.Figure(data=plain(figure["traces"]), layout=plain(figure["layout"]))
        for token in re.findall(r'"\$([a-z-]+)"', json.dumps(figure, default=lambda _: None)):
            assert f"--{token}:" in css, f"{name} uses the colour ${token}, which report.css does not define"


def test_many_unverified_statements_are_folded_but_there(broken: Path) -> None:
    banner = [{"topic": "Unverified", "text": f"statement {n}", "level": "warn"} for n in range(9)]
    edit_manifest(broken, banner=[*banner, {"topic": "Seed", "text": "1", "level": "info"}])
    page = build_report(broken).read_text()
    assert "9 assumptions about the venue could not be verified" in page
    assert all(f"<li>statement {n}</li>" in page for n in range(9))


def test_an_empty_run_is_said_in_words(tmp_path: Path) -> None:
    found = outline(build_report(empty_run(tmp_path / "run")))
    assert found.charts == ["instrument-0-fills"]  # the mid alone
    assert len(found.empty) == len(all_charts()[0]) - 1
    assert any("Nothing was filled" in text for text in found.empty)


def test_a_report_of_many_lanes_stays_small(tmp_path: Path) -> None:
    folder = synthetic_run(tmp_path / "run", lanes=10, seconds=1_800, fills=60)
    path = build_report(folder, tmp_path / "elsewhere.html")
    assert path.stat().st_size < SIZE_MAX
    assert "Charts are drawn for the first 12 of 20." in path.read_text()


def test_text_of_the_run_cannot_become_markup(broken: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    instruments = json.loads((broken / "manifest.json").read_text())["instruments"]
    instruments[0]["name"] = evil
    banner = [{"topic": evil, "text": evil, "level": "info"}]
    edit_manifest(broken, strategy=evil, run_id=evil, instruments=instruments, banner=banner)
    assert "<script>alert" not in build_report(broken).read_text()


def test_a_plug_in_chart_is_drawn_and_its_failure_is_said(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fine(scope: registry.Scope) -> Figure | str:
        return Figure([{"type": "scatter", "x": [1], "y": [2]}], {}, 200, "mine")

    def broken_chart(scope: registry.Scope) -> Figure | str:
        raise KeyError("no such column")

    specs = {"mine": ChartSpec("mine", "Mine", "run", fine), "bad": ChartSpec("bad", "Bad", "run", broken_chart)}
    points = [
        SimpleNamespace(name=key, value=key, load=lambda key=key: specs.get(key)) for key in ("mine", "bad", "absent")
    ]
    monkeypatch.setattr(registry, "_charts", dict(registry._charts))
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    page, figures = _page(load_run(run_folder))
    assert "run-mine" in figures
    assert "This chart is a plug-in and failed: KeyError" in page
    assert "chart plug-in absent (absent) was left out: names NoneType, not a ChartSpec" in page


def test_a_taken_chart_key_is_refused() -> None:
    spec = all_charts()[0][0]
    with pytest.raises(ValueError, match=f"'{spec.key}' is already registered"):
        registry.register(ChartSpec(spec.key, "Mine", "run", lambda scope: ""))


def test_arrays_are_encoded_as_little_endian_doubles() -> None:
    import base64

    coded = _encoded(np.array([1, 2, 3]))
    assert coded["dtype"] == "f8"
    assert np.frombuffer(base64.b64decode(coded["bdata"]), "<f8").tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(TypeError, match="a figure holds set"):
        _encoded({1})


# -- thinning --


def batches(count: int, cuts: list[int]) -> list[Any]:
    return np.split(np.arange(count), sorted({cut for cut in cuts if cut < count}))


@given(
    st.lists(st.integers(0, 1_000), min_size=1, max_size=150),
    st.lists(st.integers(1, 149), max_size=6),
    st.integers(4, 60),
    st.booleans(),
    st.data(),
)
def test_lines_keep_ends_and_extremes_however_they_are_batched(
    times: list[int], cuts: list[int], points: int, steps: bool, data: st.DataObject
) -> None:
    ts = np.array(sorted(times))
    value = st.integers(-50, 50).map(float) | st.just(float("nan"))
    values = np.array(data.draw(st.lists(value, min_size=len(ts), max_size=len(ts))))
    kept = []
    for parts in (batches(len(ts), []), batches(len(ts), cuts)):
        line = Line(0, 1_000, points, steps=steps)
        for part in parts:
            line.add(ts[part], values[part])
        kept.append(line.rows())
    (whole, rows), (again, rows_again) = kept
    assert np.array_equal(whole, again)
    assert np.array_equal(rows, rows_again, equal_nan=True)
    assert (whole[0], whole[-1]) == (ts[0], ts[-1])
    assert (np.diff(whole) >= 0).all()
    assert len(whole) <= points + 8
    if not np.isnan(values).all():
        assert (np.nanmax(rows), np.nanmin(rows)) == (np.nanmax(values), np.nanmin(values))


@given(st.integers(1, 500), st.lists(st.integers(1, 499), max_size=6), st.integers(2, 40))
def test_samples_are_even_however_they_are_batched(count: int, cuts: list[int], capacity: int) -> None:
    whole, parts = Sample(capacity), Sample(capacity)
    whole.add(np.arange(count))
    for part in batches(count, cuts):
        parts.add(part)
    kept = whole.values()
    assert np.array_equal(kept, parts.values())
    assert min(count, capacity) // 2 <= len(kept) <= capacity
    assert len(set(np.diff(kept).tolist())) <= 1
    assert (parts.count, parts.least, parts.greatest) == (count, 0, count - 1)
    assert parts.quantiles((0.0, 1.0)) == [0, count - 1]


def test_markers_are_thinned_evenly_and_special_ones_stay() -> None:
    special = np.zeros(1_000, dtype=np.bool_)
    special[[3, 501]] = True
    kept = []
    for cuts in ([], [2, 4, 700]):
        marks = Marks(1, 10)
        for part in batches(1_000, cuts):
            marks.add(part[:, None].astype(np.float64), special[part])
        kept.append(marks.rows()[:, 0].tolist())
    assert kept[0] == kept[1]
    assert {0, 3, 501} <= set(kept[0])
    assert len(kept[0]) <= 12


def test_rows_are_split_by_their_keys_in_order() -> None:
    keys = [np.array([1, 0, 1, 0]), np.array([5, 5, 4, 5])]
    assert [(key, place.tolist()) for key, place in split(keys)] == [((0, 5), [1, 3]), ((1, 4), [2]), ((1, 5), [0])]
    assert list(split([np.empty(0, np.int64)])) == []


def test_a_line_is_broken_at_gaps() -> None:
    times, values = break_line(np.array([0.0, 1.0, 9.0]), np.array([5.0, 6.0, 7.0]), np.array([1.5]))
    assert times.tolist() == [0.0, 1.0, 1.5, 9.0]
    assert np.isnan(values).tolist() == [False, False, True, False]


# -- command and imports --


def test_command_prints_the_table_and_rebuilds_the_report(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(run_folder), "--out", str(tmp_path / "r.html")]) == 0
    assert "MarketMaker on" in capsys.readouterr().out
    assert (tmp_path / "r.html").exists()
    assert main([str(run_folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(statistics(run_folder)))
    assert main([str(tmp_path)]) == 2
    assert "manifest.json: missing" in capsys.readouterr().err


def test_importing_the_report_package_loads_nothing_heavy() -> None:
    heavy = ("polars", "plotly", "pyarrow", "rich", "numpy")
    code = f"import sim.report, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_the_columns_read_are_those_that_runs_write() -> None:
    from sim.report.load import COLUMNS
    from sim.runfolder import SCHEMAS

    for name, columns in COLUMNS.items():
        assert set(columns) <= {field for field, _ in SCHEMAS[name]}, name


def test_codes_have_words() -> None:
    from sim.report.execution import CAUSES, REASONS

    assert CAUSES[codes.CAUSE_QUEUE] == "queue"
    assert REASONS[codes.R_POST_ONLY] == "post only"


def test_no_module_of_the_package_hides_a_public_function(run_folder: Path) -> None:
    import sim.report

    build_report(run_folder)
    assert all(callable(getattr(sim.report, name)) for name in sim.report.__all__ if name != "HasRunPath")


def test_the_chart_of_the_documentation_works(run_folder: Path) -> None:
    text = (ROOT / "docs" / "report.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    made: dict[str, Any] = {}
    exec(compile(example, "docs/report.md", "exec"), made)
    run = load_run(run_folder)
    figure = made["CHART"].draw(registry.Scope(run, {}, measure(run)))
    assert len(figure.traces[0]["x"]) == len(run.funding["boundary_ns"]) > 0
