"""One benchmark task in a process of its own; prints one JSON object.

    python -m sim.bench.tasks TASK LAKE [--repeats N] [--share PERCENT]

Tasks: ``replay`` (no strategy), ``plain`` and ``compiled`` (the market maker), ``plain_partial`` (with correct partial
fills), ``lanes8``, ``lanes64`` (parameter sets over one pass), ``touch`` (the other peer's workload), ``lake_replay``,
``lake_plain``, ``lake_compiled`` (the same, reading the lake inside the clock, without the hot cache), ``hot_replay``,
``hot_plain``, ``hot_compiled`` (the same from the hot cache, which the first run fills). ``--share`` runs the first
part of the feed only, by time. The feed is in memory before the clock starts, unless the task reads the lake. A first
run warms up and counts what was done; of the repeats after it the least wall and the least CPU time are the result.
"""

from __future__ import annotations

import argparse
import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matching import build_info, codes
from matching.feed import FeedSource
from recorders.lake import Lake
from sim.bench.compiled_maker import CompiledMaker
from sim.bench.feeds import FROM_LAKE, SYMBOL, VENUE, MemoryFeed
from sim.bench.grid import parameter_sets
from sim.bench.harness import CountingSink, DroppingSink, Market, Run, prepare
from sim.bench.plain_maker import SkewedMaker, TouchMaker
from sim.strategy import Strategy
from venues.ports import SystemClock

CLOCK = SystemClock()
# The other peer's venue answers at once, charges 2 and 5 bp and fills whatever is touched; ours keeps its queue.
TOUCH_MARKET = Market(
    exchange=codes.EXCHANGE_PARTIAL,
    queue_model=codes.QUEUE_RISK_AVERSE,
    queue_param=1.0,
    entry_ns=0,
    response_ns=0,
    maker_rate_e12=200_000_000,
    taker_rate_e12=500_000_000,
)


def _lanes(count: int) -> list[Strategy]:
    return [CompiledMaker(half_ticks=half, skew_ticks=skew) for half, skew in parameter_sets(count)]


STRATEGIES: dict[str, Callable[[], list[Strategy]]] = {
    "replay": lambda: [Strategy()],
    "plain": lambda: [SkewedMaker()],
    "plain_partial": lambda: [SkewedMaker()],
    "compiled": lambda: [CompiledMaker()],
    "lanes8": lambda: _lanes(8),
    "lanes64": lambda: _lanes(64),
    "touch": lambda: [TouchMaker()],
}
MARKETS = {"touch": TOUCH_MARKET, "plain_partial": Market(exchange=codes.EXCHANGE_PARTIAL)}
TASKS = (*STRATEGIES, *(f"{place}_{name}" for place in FROM_LAKE for name in ("replay", "plain", "compiled")))


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_rss_mib() -> float:
    """Peak resident memory of this process, mapped pages included."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def timed(make_source: Callable[[], FeedSource], task: str, *, counting: bool = False) -> tuple[dict[str, float], Run]:
    """One run. The clock covers setting up, reading what ``make_source`` gives, and running."""
    started, cpu = CLOCK.monotonic_ns(), cpu_seconds()
    strategies = STRATEGIES[task]()
    sink = CountingSink(len(strategies)) if counting else DroppingSink()
    run = prepare(make_source(), strategies, MARKETS.get(task, Market()), sink)
    run.loop.run()
    return {"wall_s": (CLOCK.monotonic_ns() - started) / 1e9, "cpu_s": cpu_seconds() - cpu}, run


def warm_up(make_source: Callable[[], FeedSource], task: str) -> tuple[int, list[dict[str, int]]]:
    """A run that tells what is done in it: (rows, the outcome of every lane)."""
    _, run = timed(make_source, task, counting=True)
    return run.core.counters()["rows"], [run.outcome(lane) for lane in range(len(run.strategies))]


def run_task(task: str, lake: Path, repeats: int, share: int = 100) -> dict[str, Any]:
    """Run a task ``repeats`` times over the (first ``share`` percent of the) one feed in ``lake``."""
    place, _, name = task.rpartition("_") if task.split("_")[0] in FROM_LAKE else ("", "", task)
    held = Lake(lake, hot=place == "hot")
    whole = held.source(VENUE, SYMBOL)
    to_ns = None if share >= 100 else whole.first_ns + (whole.last_ns - whole.first_ns) * share // 100

    def from_lake() -> FeedSource:
        return held.source(VENUE, SYMBOL, to_ns=to_ns)

    source = from_lake if place else MemoryFeed(from_lake()).again
    events, outcomes = warm_up(source, name)
    runs = [timed(source, name)[0] for _ in range(repeats)]
    times = {clock: min(each[clock] for each in runs) for clock in ("wall_s", "cpu_s")}
    lanes = len(outcomes)
    return {
        "task": task,
        "engine": "perpsim",
        "events": events,
        **times,
        "ns_per_event": times["cpu_s"] / events / lanes * 1e9,
        "lanes": lanes,
        "walls_s": [round(each["wall_s"], 4) for each in runs],
        "cpus_s": [round(each["cpu_s"], 4) for each in runs],
        **({"by_lane": outcomes} if lanes > 1 else outcomes[0]),
        "rss_peak_mib": peak_rss_mib(),
        "compiled": build_info()["compiled"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="one benchmark task")
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("lake", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--share", type=int, default=100)
    options = parser.parse_args()
    print(json.dumps(run_task(options.task, options.lake, options.repeats, options.share)))


if __name__ == "__main__":
    main()
