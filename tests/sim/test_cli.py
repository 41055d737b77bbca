"""The command line: what it prints, on which stream, and its exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from recorders.commands import import_
from sim.synth import BTCUSDT, SyntheticSession, write_raw
from sim.synth.session import DEFAULT_FUNDING_NS, SECOND_NS

ROOT = Path(__file__).resolve().parents[2]
SESSION = SyntheticSession(
    start_ns=DEFAULT_FUNDING_NS - 10 * SECOND_NS,
    duration_ns=20 * SECOND_NS,
    gap_after_ns=None,
    liquidation_after_ns=None,
)
STRATEGY = """\
from perpsim import BUY, Strategy


class Buyer(Strategy):
    def __init__(self, lots: int = 2, fail: bool = False) -> None:
        self.lots = lots
        self.fail = fail

    def on_start(self) -> None:
        self.ctx.every("1s", self.step)

    def step(self) -> None:
        if self.ctx.book(0).is_valid and not self.ctx.position(0) and not self.ctx.orders():
            if self.fail:
                raise RuntimeError("the strategy's own mistake")
            self.ctx.market(0, BUY, self.lots)
"""
RUN_FILE = """\
name = "cli"
[strategy]
class = "buyer.py:Buyer"
[feed]
lake = "lake"
[[venue]]
name = "binance_usdm"
latency = "5ms"
deposit = { USDT = 10000 }
[[instrument]]
symbol = "BTCUSDT"
"""


def perpsim(*arguments: str | Path, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "import perpsim; perpsim.main()", *map(str, arguments)]
    clean = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120", **environment}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=clean, timeout=300, check=False)


def as_json(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("cli")
    write_raw(place / "recording.gz", 5, BTCUSDT, SESSION)
    import_("binance", [place / "recording.gz"], place / "lake")
    (place / "buyer.py").write_text(STRATEGY)
    (place / "run.toml").write_text(RUN_FILE)
    return place


def test_backtest_prints_json_and_nothing_else(folder: Path) -> None:
    done = perpsim("backtest", folder / "run.toml", "--json", "--seed", "5", "--no-report")
    found = as_json(done)
    wanted = (
        "events wall_s events_per_s fills orders rejects position wallet_e8 equity_e8 fees_e8 realized_e8 funding_e8"
    )
    assert set(wanted.split()) | {"hash", "accounts"} <= set(found)
    assert (found["fills"], found["orders"], found["position"], found["seed"]) == (1, 1, 2, 5)
    assert done.stderr == "" and Path(found["path"]).parent == folder / "runs"
    again = as_json(perpsim("backtest", folder / "run.toml", "--json", "--no-report"))
    assert again["hash"] == found["hash"], "nothing is drawn in this run"
    other = as_json(
        perpsim("backtest", folder / "run.toml", "--json", "--no-report", "--set", "strategy.params.lots=3")
    )
    assert other["position"] == 3 and other["hash"] != found["hash"]


def test_uncompiled_kernels_give_the_same_hash(folder: Path) -> None:
    compiled = as_json(perpsim("backtest", folder / "run.toml", "--json", "--no-report", PERPSIM_PURE="0"))
    pure = as_json(perpsim("backtest", folder / "run.toml", "--json", "--no-report", PERPSIM_PURE="1"))
    assert (pure["hash"], pure["wallet_e8"], pure["events"]) == (
        compiled["hash"],
        compiled["wallet_e8"],
        compiled["events"],
    )


def test_backtest_prints_a_table_headed_by_the_banner(folder: Path) -> None:
    done = perpsim("backtest", folder / "run.toml", "--out", folder / "elsewhere", "--no-report")
    assert done.returncode == 0, done.stderr
    assert "Latency" in done.stdout and "Funding" in done.stdout
    assert (
        done.stdout.index("Latency") < done.stdout.index("binance_usdm USDT")
        if "binance_usdm USDT" in done.stdout
        else True
    )
    assert f"run folder  {folder / 'elsewhere'}" in done.stdout
    assert "events/s" not in done.stderr, "no progress where there is no terminal"


def test_a_strategys_exception_has_a_traceback_and_exit_code_1(folder: Path) -> None:
    done = perpsim("backtest", folder / "run.toml", "--set", "strategy.params.fail=true", "--json")
    assert done.returncode == 1 and done.stdout == ""
    assert "Traceback" in done.stderr and 'buyer.py", line' in done.stderr
    assert "RuntimeError: the strategy's own mistake" in done.stderr
    assert "raised by Buyer (lane 0)" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("backtest", "none.toml"), 2, "error: none.toml: cannot be read: No such file or directory"),
        (("backtest", "run.toml", "--set", "instrumnt=1"), 2, "error: run.toml: instrumnt: unknown key; did you mean"),
        (("backtest", "run.toml", "--set", "feed.lake=nowhere"), 2, "nowhere: is no folder"),
        (("backtest", "run.toml", "--set", "strategy.class=buyer.py:Seller"), 2, "no class 'Seller'; it has Buyer"),
        (("backtest",), 2, "Missing argument"),
        (("report", "."), 2, "manifest.json"),
        (("data", "ls", "--lake", "nowhere"), 2, "error: nowhere: is no folder"),
        (("data", "info", "--lake", "lake", "--symbol", "XRP"), 2, "has nothing of XRP"),
        (("data", "import", "binance", "none.gz", "--lake", "lake2"), 2, "none.gz"),
        (("data", "import", "csv", "x", "--lake", "l"), 2, "unknown kind of source 'csv'"),
        (("compile", "run.toml"), 2, "is no Python file"),
        (("backtest", "run.toml", "--out", "/proc/none"), 2, "/proc/none"),
        (("nonsense",), 2, "No such command 'nonsense'"),
    ],
)
def test_errors_are_one_clear_line(folder: Path, arguments: tuple[str, ...], code: int, message: str) -> None:
    done = perpsim(*arguments, cwd=folder)
    assert done.returncode == code, (done.stdout, done.stderr)
    assert message in done.stderr and "Traceback" not in done.stderr
    if done.stderr.startswith("error: "):
        assert done.stderr.count("\n") == 1
        assert "Traceback" in perpsim("--debug", *arguments, cwd=folder).stderr


def test_data_commands(folder: Path) -> None:
    lake = ("--lake", folder / "lake")
    (feed,) = as_json(perpsim("data", "ls", *lake, "--json"))["feeds"]
    assert (feed["venue"], feed["symbol"]) == ("binance_usdm", "BTCUSDT")
    assert "BTCUSDT" in perpsim("data", "ls", *lake).stdout
    assert as_json(perpsim("data", "gaps", *lake, "--json"))["gaps"] == []
    none, head, coverage = perpsim("data", "gaps", *lake).stdout.splitlines()
    assert none == "no gaps" and "covered" in head and "BTCUSDT" in coverage
    assert as_json(perpsim("data", "info", *lake, "--json"))["feeds"][0]["instrument"]["tick_size"] in ("0.1", "0.10")
    assert "drift" in perpsim("data", "info", *lake).stdout
    assert as_json(perpsim("data", "verify", *lake, "--json"))["ok"] is True
    again = folder / "lake-again"
    report = as_json(perpsim("data", "import", "binance", folder / "recording.gz", "--lake", again, "--json"))
    assert report["recordings"][0]["gaps"] == 0 and report["recordings"][0]["bbo_different"] == 0
    text = perpsim("data", "import", "binance", folder / "recording.gz", "--lake", again, "--replace").stdout
    assert "BTCUSDT" in text and "clock offset" in text


def test_a_damaged_lake_is_a_finding(folder: Path, tmp_path: Path) -> None:
    import_("binance", [folder / "recording.gz"], tmp_path / "lake")
    (file,) = (tmp_path / "lake").rglob("*.parquet")
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 0xFF
    file.write_bytes(bytes(content))
    done = perpsim("data", "verify", "--lake", tmp_path / "lake")
    assert done.returncode == 1 and "1 found" in done.stdout and f"{file}: row group" in done.stdout


def test_show_config_and_schema(folder: Path) -> None:
    rows = as_json(perpsim("show-config", folder / "run.toml", "--set", "seed=8", "--json"))
    found = {row["key"]: (row["value"], row["origin"]) for row in rows}
    assert found["seed"] == (8, "--set") and found["samples.bbo"] == ("100ms", "default")
    assert "# rule card binance_usdm" in perpsim("show-config", folder / "run.toml").stdout
    assert perpsim("schema").stdout == (ROOT / "docs/run.schema.json").read_text()


def test_help_is_quick_and_complete() -> None:
    done = perpsim("--help")
    for command in ("backtest", "demo", "data", "report", "bench", "show-config", "schema", "compile"):
        assert command in done.stdout
    best = 9.0
    for _ in range(5):
        start = time.perf_counter()
        assert perpsim("--help").returncode == 0
        best = min(best, time.perf_counter() - start)
    loaded = perpsim("data", "--help").returncode == 0 and best
    assert loaded < 5, "a bound for a busy machine; perpsim bench measures the real figure"


def test_heavy_modules_wait_until_they_are_needed() -> None:
    code = (
        "import sys, perpsim; sys.argv = ['perpsim', '--help']\n"
        "try:\n    perpsim.main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'numpy', 'polars', 'pyarrow', 'pydantic', 'plotly', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_version() -> None:
    done = perpsim("--version")
    assert done.returncode == 0 and done.stdout.startswith("perpsim ") and "Python 3." in done.stdout


@pytest.mark.parametrize(
    ("part", "option", "value"), [("all", "--market", "calm"), ("load", "--anchors", "x"), ("wire", "--feed", "x")]
)
def test_bench_refuses_what_has_no_effect(part: str, option: str, value: str) -> None:
    done = perpsim("bench", part, option, value)
    assert (done.returncode, done.stderr) == (2, f"error: {option}: has no effect on bench {part}\n")
