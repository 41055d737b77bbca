"""``perpsim demo``: a first result within seconds, offline, from a recording that is made on the spot.

``prepare_demo`` writes into one folder what a user would have: a recording in the venue's wire form, the lake that the
ordinary importer makes of it, and a run file with a word on every choice. ``run_demo`` then runs that file as ``perpsim
backtest`` would. Everything can be edited and run again.

The recording is twelve minutes of a synthetic BTCUSDT perpetual across a funding boundary, with one loss of the link
and one liquidation of somebody else. The story ``maker`` runs the market maker on it; ``carry`` runs the funding taker
on a session with a rate of 0.18 %, some twenty times an ordinary one, so that the payment exceeds the costs.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sim.synth import BTCUSDT, SyntheticSession, write_raw
from venues.errors import InputError

if TYPE_CHECKING:
    from sim.backtest import Result

SEED: Final = 7
FOLDER: Final = "perpsim-demo"

MAKER_TOML: Final = """\
# The demo: a two-sided market maker on a synthetic BTCUSDT perpetual. Edit anything, then run it again:
#
#   perpsim backtest {file}

name = "demo-maker"
seed = {seed}
out = "runs" # a new folder in here for every run

[feed]
lake = "lake-maker" # made by: perpsim data import binance recording-maker.dat.gz --lake lake-maker
# from = "2026-09-15T07:55:00Z" # starts from the book as of then
# to = "2026-09-15T08:01:00Z"

[strategy]
class = "sim.strategies:MarketMaker" # or your_file.py:YourClass

[strategy.params]
lots = 200 # size of an order: 0.200 BTC
max_lots = 1000 # largest position, long or short
gamma = 0.03 # risk aversion, 1/ticks
k = 0.7 # decay of the chance of being hit with the distance from the mid, 1/ticks
horizon_s = 10 # seconds that a position is expected to be held
interval = "100ms" # how often quotes are considered
keep_ticks = 1 # a quote this close to its target ...
keep_share = 0.5 # ... stays while at most this share of its level is ahead of it

[[venue]]
name = "binance_usdm"
latency = "5ms" # order entry, and again the response; feed latency is what the recording has
fees = {{ maker = 0, taker = "1.7 bps" }} # without this line: the venue's base tier, 2 and 5 bps
deposit = {{ USDT = 100000 }}

[[instrument]]
symbol = "BTCUSDT"
mark = "recorded" # mark prices, funding rates and margin brackets are inputs of the run: none is assumed
funding = "recorded"
margin = "card" # the venue's bracket table
leverage = 20

[instrument.queue]
model = "power3" # how far cancels of others shorten the queue ahead of a resting order
n = 3
"""

CARRY_TOML: Final = """\
# The demo: a taker of funding on a synthetic BTCUSDT perpetual with a rate of 0.18 %. Edit anything, run it again:
#
#   perpsim backtest {file}

name = "demo-carry"
seed = {seed}
out = "runs" # a new folder in here for every run

[feed]
lake = "lake-carry" # made by: perpsim data import binance recording-carry.dat.gz --lake lake-carry

[strategy]
class = "sim.strategies:FundingCarry"

[strategy.params]
lots = 1000 # 1.000 BTC
lead_s = 60 # earliest entry, seconds before the boundary
taker_fee_bps = 5.0 # what the strategy reckons with; what it pays is the venue's base tier
least_profit_bps = 1.0
slip_ticks = 5

[[venue]]
name = "binance_usdm"
latency = "5ms"
deposit = {{ USDT = 100000 }}

[[instrument]]
symbol = "BTCUSDT"
mark = "recorded"
funding = "recorded"
margin = "card"
leverage = 20
"""


@dataclass(frozen=True, slots=True)
class Story:
    """One demo: its run file, and the predicted funding rate of its session at 1e-8."""

    toml: str
    funding_rate_e8: int


STORIES: Final[Mapping[str, Story]] = {
    "maker": Story(MAKER_TOML, 10_000),
    "carry": Story(CARRY_TOML, 180_000),
}


@dataclass(frozen=True, slots=True)
class Demo:
    """What ``prepare_demo`` made: paths, and the importer's report."""

    story: str
    folder: Path
    recording: Path
    lake: Path
    run_file: Path
    imported: Mapping[str, Any]


def demo_toml(story: str, seed: int, file: str) -> str:
    """The run file of a story; ``file`` is its name as the user would type it."""
    return _story(story).toml.format(seed=seed, file=file)


def _story(name: str) -> Story:
    if name not in STORIES:
        raise InputError(f"there is no demo {name!r}; there are {', '.join(STORIES)}", source="demo", field="strategy")
    return STORIES[name]


def prepare_demo(folder: str | Path = FOLDER, story: str = "maker", seed: int = SEED) -> Demo:
    """Write recording, lake and run file of a story into ``folder``, in place of what an earlier call left there.

    A run file that has been edited since is kept beside the new one, as ``<story>.edited.toml``. Raises ``InputError``
    for an unknown story, OSError if the folder cannot be written.
    """
    from recorders.commands import import_

    chosen = _story(story)
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    recording, lake, run_file = place / f"recording-{story}.dat.gz", place / f"lake-{story}", place / f"{story}.toml"
    session = replace(SyntheticSession(), funding_rate_e8=chosen.funding_rate_e8)
    write_raw(recording, seed, BTCUSDT, session)
    if lake.exists():
        shutil.rmtree(lake)
    imported = import_("binance", [recording], lake)
    _write_run_file(run_file, demo_toml(story, seed, str(run_file)))
    return Demo(story, place, recording, lake, run_file, imported)


def _write_run_file(path: Path, text: str) -> None:
    if path.exists() and path.read_text(encoding="utf-8") != text:
        path.replace(path.with_suffix(".edited.toml"))
    path.write_text(text, encoding="utf-8")


def run_demo(folder: str | Path = FOLDER, story: str = "maker", seed: int = SEED) -> tuple[Demo, Result]:
    """Prepare a story and run its run file, as ``perpsim backtest`` would; the report is in the run's folder."""
    from sim.backtest import backtest

    demo = prepare_demo(folder, story, seed)
    return demo, backtest(demo.run_file)


def next_commands(demo: Demo) -> tuple[str, str, str]:
    """Three commands that lead on from a demo."""
    other = "carry" if demo.story == "maker" else "maker"
    change = "gamma=0.1" if demo.story == "maker" else "least_profit_bps=10"
    folder = "" if demo.folder == Path(FOLDER) else f" --out {shlex.quote(str(demo.folder))}"
    return (
        f"perpsim backtest {shlex.quote(str(demo.run_file))} --set strategy.params.{change}",
        f"perpsim data info --lake {shlex.quote(str(demo.lake))}",
        f"perpsim demo --strategy {other}{folder}",
    )
