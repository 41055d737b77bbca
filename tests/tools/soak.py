"""A soak of paper trading over real sockets: an emulator and a paper session as processes of their own, for hours.

    python tests/tools/soak.py --minutes 120 --rate 10 --out FOLDER

Starts ``perpsim serve`` with a synthetic market at ``--rate`` times its calibrated activity, a market maker in
``perpsim paper`` against it, and looks at both every ten seconds: resident memory, frames, how far logical time is
behind the wall clock. At the end the recording is checked for gaps, the session is backtested from its own recording,
and the hashes are compared. Prints one JSON document; exit code 1 if anything was missed, memory grew, or the hashes
differ: ``missed`` says what.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
RUN = """name = "soak"
seed = 7
out = "runs"

[paper]
warm_up = "5s"

[record]
folder = "raw"
limit = "{seconds}s"

[report]
html = false

[strategy]
class = "sim.strategies:MarketMaker"

[strategy.params]
lots = 200
max_lots = 1000
interval = "100ms"

[[venue]]
name = "{venue}"
latency = "5ms"
deposit = {{ {asset} = {deposit} }}

[[instrument]]
symbol = "{symbol}"
mark = "recorded"
funding = "recorded"
margin = "card"
leverage = {leverage}

{connect}
"""
VENUES = {
    "binance": ("binance_usdm", "BTCUSDT", "USDT", 100_000, 20),
    "hyperliquid": ("hyperliquid", "BTC", "USDC", 100_000, 20),
}
GROWTH_LIMIT = 1.10  # memory at the end over memory after the first quarter
SLOW_MS = 50.0  # an interval that was as late is named, with what went on meanwhile
SLOW_NAMED = 1000


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "sim.cli", *arguments]


def lines(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("{"):
            yield json.loads(line)


def started(errors: Path, *arguments: str) -> subprocess.Popen[str]:
    with errors.open("w") as stream:
        return subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=stream, text=True, cwd=ROOT)


def ended(process: subprocess.Popen[str]) -> None:
    try:
        process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def resident_kb(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("VmRSS")).split()[1])


class Pulse:
    """A thread that wants to wake every few milliseconds: how late it was, when the machine was busy with others."""

    def __init__(self) -> None:
        self._worst_ns = 0
        threading.Thread(target=self._beat, daemon=True).start()

    def _beat(self) -> None:
        while True:
            before = time.monotonic_ns()
            time.sleep(0.005)
            self._worst_ns = max(self._worst_ns, time.monotonic_ns() - before - 5_000_000)

    def take_ms(self) -> float:
        worst_ns, self._worst_ns = self._worst_ns, 0
        return round(worst_ns / 1e6, 1)


def waits_ms(pid: int) -> dict[str, float]:
    """Running totals: what the process's first thread computed and waited for a core, what the machine's tasks waited
    for a core, the disk and memory, and what the hypervisor took."""
    computed, waited = Path(f"/proc/{pid}/schedstat").read_text().split()[:2]
    found = {"computed": int(computed) / 1e6, "waited_for_core": int(waited) / 1e6}
    for name in ("cpu", "io", "memory"):
        pressure = Path(f"/proc/pressure/{name}")
        if pressure.exists():
            found[f"{name}_pressure"] = int(pressure.read_text().split("total=")[1].split()[0]) / 1e3
    found["stolen"] = int(Path("/proc/stat").read_text().split()[8]) * 10.0
    return found


class Watch:
    """Reads a process's status lines; every tenth with its memory. ``slow``: intervals in which it was further behind
    than ``SLOW_MS``, with what the process and the machine did meanwhile."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.memory_kb: list[int] = []
        self.last: dict[str, Any] = {}
        self.feed: dict[str, Any] = {}  # of the last status; the summary that comes after it has none
        self.slow: list[dict[str, Any]] = []
        self._pulse = Pulse()
        self._waits: dict[str, float] = {}
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for number, line in enumerate(lines(self.process)):
            self.last = line
            self.feed = line.get("feed") or self.feed
            if self.process.poll() is not None:
                continue
            try:
                self._look(line)
                if number % 10 == 0:
                    self.memory_kb.append(resident_kb(self.process.pid))
            except (OSError, StopIteration):
                continue

    def _look(self, line: dict[str, Any]) -> None:
        before, self._waits = self._waits, waits_ms(self.process.pid)
        pulse_ms = self._pulse.take_ms()
        if line.get("interval_lag_ms", 0.0) > SLOW_MS and len(self.slow) < SLOW_NAMED:
            self.slow.append(
                {
                    **{key: line.get(key) for key in ("wall_ns", "elapsed_s", "interval_lag_ms", "interval_gc_ms")},
                    "interval_ms": {name: round(now - before.get(name, now), 1) for name, now in self._waits.items()},
                    "pulse_late_ms": pulse_ms,
                    "load": Path("/proc/loadavg").read_text().split()[:4],
                }
            )

    def join(self) -> None:
        self._thread.join(timeout=60)

    def growth(self) -> float:
        """Memory at the end over memory after the first quarter (medians of tenths)."""
        tenth = max(1, len(self.memory_kb) // 10)
        quarter = len(self.memory_kb) // 4
        early = sorted(self.memory_kb[quarter : quarter + tenth])
        late = sorted(self.memory_kb[-tenth:])
        return late[len(late) // 2] / early[len(early) // 2] if early and late else 0.0


def soak(venue: str, preset: str, rate: str, seconds: int, out: Path) -> dict[str, Any]:
    """Run it. Returns figures, with ``ok``."""
    out.mkdir(parents=True, exist_ok=True)
    name, symbol, asset, deposit, leverage = VENUES[venue]
    serve = started(
        out / "serve.err", "serve", venue, "--feed", f"synth:{preset}", "--rate", rate, "--port", "0", "--json"
    )
    paper: subprocess.Popen[str] | None = None
    try:
        first = next(lines(serve), None)
        if first is None:
            raise SystemExit(f"the emulator did not start: {(out / 'serve.err').read_text()[-800:]}")
        run = RUN.format(
            venue=name, symbol=symbol, asset=asset, deposit=deposit, leverage=leverage, seconds=seconds,
            connect=first["run_file"],
        )  # fmt: skip
        (out / "run.toml").write_text(run)
        served = Watch(serve)
        paper = started(out / "paper.err", "paper", str(out / "run.toml"), "--json")
        watched = Watch(paper)
        code = paper.wait(timeout=seconds + 600)
        watched.join()
    finally:
        for process in (paper, serve):
            if process is not None and process.poll() is None:
                process.terminate()
        for process in (paper, serve):
            if process is not None:
                ended(process)
    if "path" not in watched.last:
        raise SystemExit(f"paper, exit code {code}, made no run: {(out / 'paper.err').read_text()[-800:]}")
    return figures(out, code, served, watched, seconds)


def figures(out: Path, code: int, served: Watch, watched: Watch, seconds: int) -> dict[str, Any]:
    summary, last_s = watched.last, 600 + 4 * seconds
    manifest = json.loads((Path(summary["path"]) / "manifest.json").read_text())
    session = {key: manifest.get(key) for key in ("delay_ns", "offset_ns", "lag_ms", "late_frames", "steps", "why")}
    checked = subprocess.run(
        command("data", "raw", "verify", str(manifest["recording"]), "--json"),
        capture_output=True, text=True, cwd=ROOT, timeout=last_s,
    )  # fmt: skip
    again = subprocess.run(
        command(
            "backtest", str(out / "run.toml"), "--json", "--no-report",
            "--set", f"feed.recording={manifest['recording']}",
        ),
        capture_output=True, text=True, cwd=ROOT, timeout=last_s,
    )  # fmt: skip
    backtest = json.loads(again.stdout) if again.returncode == 0 else {"hash": again.stderr[-400:]}
    found = {
        "exit_code": code, "fills": summary["fills"], "orders": summary["orders"], "messages": summary["messages"],
        "hash": summary["hash"], "backtest_hash": backtest["hash"], "session": session,
        "gaps": watched.feed.get("gaps"), "dropped": watched.feed.get("dropped"),
        "recording": json.loads(checked.stdout) if checked.stdout.startswith("{") else checked.stdout[-400:],
        "memory_mb": {
            "paper": [kb // 1024 for kb in watched.memory_kb[:: max(1, len(watched.memory_kb) // 24)]],
            "serve": [kb // 1024 for kb in served.memory_kb[:: max(1, len(served.memory_kb) // 24)]],
            "paper_growth": round(watched.growth(), 4), "serve_growth": round(served.growth(), 4),
        },
        "served": served.last, "slow": watched.slow,
    }  # fmt: skip
    found["missed"] = missed(found)
    found["ok"] = not found["missed"]
    return found


def missed(found: dict[str, Any]) -> list[str]:
    """What is not as it should be; what was not measured is not, either."""
    recording, memory = found["recording"], found["memory_mb"]
    wanted = {
        "exit code of paper": found["exit_code"] == 0,
        "hash of the backtest": found["hash"] == found["backtest_hash"],
        "recording": isinstance(recording, dict) and recording.get("ok") is True,
        "gaps": found["gaps"] == 0,
        "dropped": found["dropped"] == 0,
        "memory of paper": 0 < memory["paper_growth"] < GROWTH_LIMIT,
        "memory of the emulator": 0 < memory["serve_growth"] < GROWTH_LIMIT,
    }
    return [name for name, is_well in wanted.items() if not is_well]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venue", choices=sorted(VENUES), default="binance")
    parser.add_argument("--preset", default="calm")
    parser.add_argument("--rate", default="10", help="times the calibrated activity")
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--out", type=Path, default=Path("build/soak"))
    chosen = parser.parse_args()
    found = soak(chosen.venue, chosen.preset, chosen.rate, int(chosen.minutes * 60), chosen.out)
    print(json.dumps(found, indent=1))
    return 0 if found["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
