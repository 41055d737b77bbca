"""The benchmark: every task in a process of its own on one core, ours and the peers' in turn, and their ratios.

A ratio above 1 says how many times quicker we are on the same work (``lake_vs_memory``, ``hot_vs_memory``: how many
times longer a run takes that reads the lake, or its hot cache). Ratios are of CPU seconds: every task is one busy
thread on one core, so on a quiet machine these are the wall seconds, and on a shared one they are what the work took;
``wall`` holds the ratios of wall seconds beside them. ``FLOORS`` and ``CEILINGS`` are the bounds the project holds
itself to; the result says which are met. Peers run in environments of their own, made on demand with the package
installer or given ready.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from matching import build_info
from sim.bench import feeds
from venues.errors import LocalError
from venues.ports import SystemClock

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parent.parent
OWN_FEED_ROWS: Final = 1_000_000
FULL_WINDOW_ROWS: Final = 400_000  # a stretch this long fills at least one window, so that its memory says something
TASK_SECONDS_MAX: Final = 1800
INSTALL_SECONDS_MAX: Final = 1800
STARTS: Final = 5

# Name of a ratio -> the least value that is good enough.
FLOORS: Final[Mapping[str, float]] = {
    "replay_vs_hftbacktest": 4.0,
    "quoting_vs_hftbacktest": 2.5,
    "compiled_vs_hftbacktest": 4.0,
    "lanes8_vs_hftbacktest": 10.0,
    "lanes64_vs_hftbacktest": 15.0,
}
# Name of a ratio or figure -> the greatest value that is good enough.
CEILINGS: Final[Mapping[str, float]] = {
    "lake_vs_memory": 2.0,
    "hot_vs_memory": 1.1,
    "import_s": 0.3,
    "help_s": 0.5,
    "rss_peak_mib": 600.0,
    "rss_ratio_tenfold": 1.1,
}
# Name of a ratio -> (our task, the peer's task).
PAIRS: Final[Mapping[str, tuple[str, str]]] = {
    "replay_vs_hftbacktest": ("replay", "replay"),
    "quoting_vs_hftbacktest": ("plain", "maker"),
    "compiled_vs_hftbacktest": ("compiled", "maker"),
    "lanes8_vs_hftbacktest": ("lanes8", "lanes8"),
    "lanes64_vs_hftbacktest": ("lanes64", "lanes64"),
}
LEAST: Final = ("wall_s", "cpu_s", "ns_per_event")
REPEATS: Final[Mapping[str, int]] = {"lanes8": 3, "lanes64": 2, "touch": 3}
PEERS: Final[Mapping[str, str]] = {"hftbacktest": "hftbacktest numba", "nautilus": "nautilus_trader"}

Say = Callable[[str], None]
Result = dict[str, Any]


class BenchError(LocalError):
    """A task or a peer that did not run; the message ends with what it printed."""


def run_bench(
    feed: str | Path | None = None,
    *,
    peers: bool = False,
    peers_env: str | Path | None = None,
    anchors: str | Path | None = None,
    nautilus_feed: str | Path | None = None,
    cache: str | Path | None = None,
    repeats: int = 5,
    say: Say = lambda line: None,
) -> Result:
    """Measure and return one JSON-ready dict: ratios first, then single figures, then every task as it was printed.

    ``feed``: folder of plain event columns; None makes a synthetic one of a million rows in ``cache`` (default: the
    user's cache folder). ``peers``: run hftbacktest and NautilusTrader on the same events too, from environments
    ``peers_env``/hftbacktest and ``peers_env``/nautilus, which are made where missing (in ``cache`` by default).
    ``anchors``: a folder with the peers' own measuring scripts; the better of theirs and ours counts for the peer.
    ``nautilus_feed``: tagged columns for NautilusTrader and for us beside it; None converts the first million rows'
    worth of ``feed``. Raises ``BenchError`` when something does not run, ``InputError`` for a bad feed.
    """
    place = Path(cache) if cache else default_cache()
    place.mkdir(parents=True, exist_ok=True)
    folder = Path(feed).resolve() if feed else own_feed(place, say)
    tagged = Path(nautilus_feed).resolve() if nautilus_feed else None
    bench = _Bench(place, folder, Path(anchors).resolve() if anchors else None, max(1, repeats), say)
    with tempfile.TemporaryDirectory(dir=place, prefix="lakes-") as lakes, one_core() as core:
        bench.lakes = Path(lakes)
        ours = bench.ours(peers)
        theirs: Result = {}
        if peers:
            theirs = bench.hftbacktest(bench.environment("hftbacktest", peers_env), ours)
            theirs |= bench.nautilus(bench.environment("nautilus", peers_env), tagged, ours)
        result = summary(ours, theirs)
    machine = {
        "core": core,
        "cores": os.cpu_count(),
        "load_1min": os.getloadavg()[0],
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor(),
    }
    about = {"path": str(folder), "rows": feeds.rows_of(folder)}
    return result | {"feed": about, "machine": machine, "build": build_info(), "perpsim": ours, "peers": theirs}


def default_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "perpsim" / "bench"


def own_feed(cache: Path, say: Say) -> Path:
    """A synthetic feed of a million rows, made once."""
    from sim.synth import write_columns

    folder = cache / f"synthetic-{OWN_FEED_ROWS}"
    if not (folder / "meta.json").is_file():  # written last
        say(f"making a synthetic feed of {OWN_FEED_ROWS:,} rows in {folder}")
        write_columns(folder, OWN_FEED_ROWS)
    return folder


@contextmanager
def one_core() -> Iterator[int | None]:
    """Keep this process and those it starts on the last of its cores; yields its number, None where not possible."""
    if not hasattr(os, "sched_setaffinity"):
        yield None
        return
    before = os.sched_getaffinity(0)
    core = max(before)
    os.sched_setaffinity(0, {core})
    try:
        yield core
    finally:
        os.sched_setaffinity(0, before)


def processor() -> str:
    """The processor's name, or an empty string."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def run_lines(command: Sequence[str], what: str, seconds_max: int = TASK_SECONDS_MAX) -> list[Result]:
    """Run a command and return the JSON objects among its lines. Raises ``BenchError`` if it fails or prints none."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PERPSIM_CACHE")}
    environment = {**inherited, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds_max, env=environment, cwd=HERE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchError(f"{what}: {error}") from error
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{") and line.endswith("}")]
    if not found and done.stdout.lstrip().startswith("{"):
        found = [json.loads(done.stdout)]
    if done.returncode or not found:
        tail = "\n".join((done.stderr or done.stdout).splitlines()[-15:])
        raise BenchError(f"{what}: exit code {done.returncode}\n{tail}")
    return found


class _Bench:
    """The measurements of one call, as they are taken."""

    def __init__(self, cache: Path, feed: Path, anchors: Path | None, repeats: int, say: Say) -> None:
        self.cache, self.feed, self.anchors, self.repeats, self.say = cache, feed, anchors, repeats, say
        self.lakes = cache

    # -- ours

    def ours(self, peers: bool) -> Result:
        """All our tasks, without the touch maker (it needs the other feed)."""
        lake = self.lakes / "feed"
        self.say("importing the feed into a lake")
        feeds.lake_of(self.feed, lake)
        tasks: Result = {"starts": start_times()}
        for task in ("replay", "plain", "plain_partial", "compiled", "lanes8", "lanes64"):
            tasks[task] = self.task(task, lake)
        for place in feeds.FROM_LAKE:
            for task in ("replay", "plain", "compiled"):
                tasks[f"{place}_{task}"] = self.task(f"{place}_{task}", lake)
        tasks["lake_tenth"] = self.task("lake_plain", lake, share=10)
        return tasks

    def task(self, task: str, lake: Path, share: int = 100) -> Result:
        self.say(f"perpsim {task}" + (f" on {share} %" if share < 100 else ""))
        repeats = min(self.repeats, REPEATS.get(task, self.repeats))
        command = [sys.executable, "-m", "sim.bench.tasks", task, str(lake)]
        return run_lines([*command, "--repeats", str(repeats), "--share", str(share)], f"perpsim {task}")[0]

    # -- peers

    def environment(self, name: str, given: str | Path | None) -> Path:
        """The Python of a peer's environment, made with the package installer if it is not there."""
        folder = Path(given).resolve() / name if given else self.cache / "peers" / name
        python = folder / "bin" / "python"
        if not python.exists():
            self.say(f"making an environment for {name} in {folder}")
            is_new = not folder.exists()
            install = [str(python), "-m", "pip", "install", "--quiet", *PEERS[name].split()]
            try:
                for command in ([sys.executable, "-m", "venv", str(folder)], install):
                    subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS_MAX, check=True)
            except subprocess.SubprocessError as error:
                if is_new:  # half an environment would be taken for a whole one the next time
                    shutil.rmtree(folder, ignore_errors=True)
                said = str(getattr(error, "stderr", None) or error).strip()[-1000:]
                raise BenchError(f"making an environment for {name}: {said}") from None
        return python

    def hftbacktest(self, python: Path, ours: Result) -> Result:
        """hftbacktest on our feed. Each of our tasks runs once more right beside the peer's; the better run counts."""
        found: Result = {}
        script = str(HERE / "peers" / "run_hftbacktest.py")
        for peer_task in ("replay", "maker", "lanes8", "lanes64"):
            self.say(f"hftbacktest {peer_task}")
            command = [str(python), script, str(self.feed), peer_task]
            found[peer_task] = run_lines(command, f"hftbacktest {peer_task}")[0]
            for own, other in PAIRS.values():
                if other == peer_task:
                    again = self.task(own, self.lakes / "feed")
                    ours[own] = again | {key: min(again[key], ours[own][key]) for key in LEAST}
            if not check_same_work(peer_task, found[peer_task], ours):
                self.say(f"hftbacktest {peer_task}: other orders than ours, so there is no ratio")
        if self.anchors:
            found |= self.anchor_runs(python)
        return {"hftbacktest": found}

    def anchor_runs(self, python: Path) -> Result:
        """The peer once more by the anchors' own script, where the feed has its columns."""
        script = self.anchors / "hftbacktest" / "run_hft.py" if self.anchors else None
        if script is None or not script.is_file() or not (self.feed / "hft.npy").is_file():
            raise BenchError(f"--anchors: wants hftbacktest/run_hft.py in {self.anchors} and hft.npy in {self.feed}")
        found: Result = {}
        for task, options in (
            ("replay", ["--strategy", "null"]),
            ("maker", ["--strategy", "mm"]),
            ("lanes8", ["--strategy", "mm", "--sweep"]),
        ):
            self.say(f"hftbacktest {task}, by the anchors' script")
            command = [str(python), str(script), "--data", str(self.feed), "--depth", "roivec", *options]
            run = run_lines(command, f"anchors {task}")[0]
            run["wall_s"] = run.get("sweep_wall_s") or min(run["walls_s"])
            run["cpu_s"] = run.get("sweep_cpu_s") or min(run["cpus_s"])
            found[f"{task}_anchors"] = run
        return found

    def nautilus(self, python: Path, tagged: Path | None, ours: Result) -> Result:
        """NautilusTrader and we on tagged columns."""
        if tagged is None:
            tagged = self.lakes / "tagged"
            self.say("converting the feed for NautilusTrader")
            feeds.write_tagged(self.feed, tagged)
        lake = self.lakes / "tagged-lake"
        feeds.lake_of(tagged, lake)
        ours["touch"] = self.task("touch", lake)
        self.say("nautilus_trader touch (this takes the longest)")
        command = [str(python), str(HERE / "peers" / "run_nautilus.py"), str(tagged)]
        return {"nautilus": {"touch": run_lines(command, "nautilus_trader touch")[0]}}


def check_same_work(task: str, peer: Result, ours: Result) -> bool:
    """The same strategy over the same events must have sent the same orders, or a ratio says nothing."""
    if task not in ("maker", "lanes8", "lanes64"):
        return True
    pairs = [(ours["plain"], peer)] if task == "maker" else list(zip(ours[task]["by_lane"], peer["lanes"], strict=True))
    names = ("steps", "submits", "cancels_sent", "fills_full", "expired", "canceled", "position_lots")
    peer["same_orders_as_perpsim"] = all(own[name] == other[name] for own, other in pairs for name in names)
    return bool(peer["same_orders_as_perpsim"])


def start_times() -> Result:
    """Least wall time of starting Python, importing perpsim and showing the help, in seconds."""
    clock = SystemClock()
    commands = {
        "python_s": [sys.executable, "-c", "pass"],
        "import_s": [sys.executable, "-c", "import perpsim"],
        "help_s": [sys.executable, "-c", "import perpsim; perpsim.main()", "--help"],
    }
    found: Result = {}
    for name, command in commands.items():
        least = []
        for _ in range(STARTS):
            started = clock.monotonic_ns()
            done = subprocess.run(command, capture_output=True, cwd=ROOT, timeout=60, check=False, text=True)
            least.append((clock.monotonic_ns() - started) / 1e9)
            if done.returncode:
                raise BenchError(f"{' '.join(command[1:])}: exit code {done.returncode}\n{done.stderr[-1000:]}")
        found[name] = round(min(least), 4)
    return found


def summary(ours: Result, theirs: Result) -> Result:
    """Ratios, single figures and verdicts out of the raw measurements."""
    result = ratios(ours, theirs, "cpu_s")
    result["import_s"] = ours["starts"]["import_s"]
    result["help_s"] = ours["starts"]["help_s"]
    whole, tenth = ours["lake_plain"], ours["lake_tenth"]
    result["rss_peak_mib"] = max(whole["rss_peak_mib"], ours["hot_plain"]["rss_peak_mib"])
    long_enough = tenth["events"] >= FULL_WINDOW_ROWS
    result["rss_ratio_tenfold"] = round(whole["rss_peak_mib"] / tenth["rss_peak_mib"], 3) if long_enough else None
    for task in ("replay", "plain", "compiled", "lanes8", "lanes64"):
        result[f"{task}_ns_per_event"] = round(ours[task]["ns_per_event"], 2)
    result["floors"] = verdicts(result)
    result["wall"] = ratios(ours, theirs, "wall_s")
    return result


def ratios(ours: Result, theirs: Result, clock: str) -> Result:
    """All ratios by one clock; None where the peer did not run, or has sent other orders."""
    hft = theirs.get("hftbacktest", {})
    result: Result = {}
    for name, (own, other) in PAIRS.items():
        runs = [hft[key] for key in (other, f"{other}_anchors") if key in hft]
        if not all(run.get("same_orders_as_perpsim", True) for run in runs):
            runs = []
        best = min((float(run[clock]) for run in runs), default=None)
        result[name] = None if best is None else round(best / float(ours[own][clock]), 2)
    nautilus = theirs.get("nautilus", {}).get("touch")
    measured = nautilus and "touch" in ours
    result["quoting_vs_nautilus"] = round(nautilus[clock] / ours["touch"][clock], 1) if measured else None
    for name, task in (("", "plain"), ("_replay", "replay"), ("_compiled", "compiled")):
        for place in feeds.FROM_LAKE:
            result[f"{place}_vs_memory{name}"] = round(ours[f"{place}_{task}"][clock] / ours[task][clock], 2)
    return result


def verdicts(result: Result) -> Result:
    """For every bound: the bound, the value and whether it is met (None: not measured)."""
    found: Result = {}
    for name, bound in {**FLOORS, **CEILINGS}.items():
        value = result[name]
        met = None if value is None else value <= bound if name in CEILINGS else value >= bound
        found[name] = {"bound": bound, "value": value, "met": met}
    return found
