"""The synthetic market: seeded feeds for demonstrations, tests and benchmarks.

``SessionFeed`` (whole sessions of realistic markets, message by message) and ``scenario`` (a session by the name of a
preset) are what ``perpsim synth`` is made of; ``sim.synth.making`` writes them as files, lake or raw recording.
``write_raw`` and ``write_session`` write sessions of the small market of the demo; ``columns`` and ``write_columns``
make large plain event columns for benchmarks. The same seed and options give the same bytes on every machine.
"""

from sim.synth.cascade import Cascade, Crowd, sizes
from sim.synth.columns import columns, write_columns
from sim.synth.feed import MarketFeed, Message, SessionFeed
from sim.synth.files import SyntheticRecording, raw_lines, write_raw, write_session
from sim.synth.fundamental import Drift, ValuePath
from sim.synth.listed import LISTED, Listed, find_listed
from sim.synth.market import BTCUSD_PERP, BTCUSDT, ETHUSDT, SyntheticMarket
from sim.synth.presets import PRESETS, scenario
from sim.synth.scenario import Outage, Scenario
from sim.synth.session import SyntheticSession

__all__ = [
    "BTCUSDT",
    "BTCUSD_PERP",
    "ETHUSDT",
    "LISTED",
    "PRESETS",
    "Cascade",
    "Crowd",
    "Drift",
    "Listed",
    "MarketFeed",
    "Message",
    "Outage",
    "Scenario",
    "SessionFeed",
    "SyntheticMarket",
    "SyntheticRecording",
    "SyntheticSession",
    "ValuePath",
    "columns",
    "find_listed",
    "raw_lines",
    "scenario",
    "sizes",
    "write_columns",
    "write_raw",
    "write_session",
]
