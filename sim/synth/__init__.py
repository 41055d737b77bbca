"""The synthetic market: seeded feeds for demonstrations, tests and benchmarks.

``write_raw`` and ``write_session`` write what a recorder of Binance's streams would have written, so that a synthetic
feed enters through the ordinary importer; ``columns`` and ``write_columns`` make large plain event columns for
benchmarks. The same seed and options give the same bytes on every machine.
"""

from sim.synth.cascade import Cascade, Crowd, sizes
from sim.synth.columns import columns, write_columns
from sim.synth.files import SyntheticRecording, raw_lines, write_raw, write_session
from sim.synth.market import BTCUSD_PERP, BTCUSDT, ETHUSDT, SyntheticMarket
from sim.synth.session import SyntheticSession

__all__ = [
    "BTCUSDT",
    "BTCUSD_PERP",
    "ETHUSDT",
    "Cascade",
    "Crowd",
    "SyntheticMarket",
    "SyntheticRecording",
    "SyntheticSession",
    "columns",
    "raw_lines",
    "sizes",
    "write_columns",
    "write_raw",
    "write_session",
]
