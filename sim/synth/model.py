"""The numbers of the order flow: how often, how large, how far from the touch. One ``FlowModel`` a market.

``BTCUSDT_FLOW`` and ``BTCUSD_PERP_FLOW`` are set so that the statistics of ``sim.synth.statistics`` lie near those of
recordings (``sim.synth.recorded``); ``ETHUSDT_FLOW`` scales the former. Kinds of events: taker orders (buying,
selling), limit orders and cancels at the touch (bid, ask), and requotes of several levels behind it (bid side, ask
side).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from sim.synth.hawkes import Hawkes, Kernel

BUYS, SELLS, LIMIT_BID, LIMIT_ASK, CANCEL_BID, CANCEL_ASK, REQUOTE_BIDS, REQUOTE_ASKS = range(8)
KINDS: Final = 8
DISTANCE_MAX: Final = 6000

Profile = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class FlowModel:
    """Order flow of one market. Sizes are lots, ``_spread_q16`` octaves per deviation times 65,536, distances ticks.

    ``profile``: (distance, filled per mille, median lots) of levels behind the touch, straight in between.
    ``touch_lots`` sets what a best level grows to. ``edge_ticks``: how far the value must lie beyond a best price until
    makers move; they stop short of it by ``trail_per_mille`` of the edge, so that moves go on for a while.
    ``taken_per_mille`` of those moves are takers', the others the makers' own. ``impact_per_mille`` of a tick is by how
    much a taker order of median size moves the value (larger ones by the square root of their size), reverting over
    ``revert_ms``; ``expected_per_mille`` of it does not come about where the sign was to be expected.
    ``parents_per_hour`` large orders are split into children of one sign, at least ``children_least`` of them, a
    Pareto number with tail exponent 1.5, every ``child_gap_ms`` on average.
    ``diff_ms``: shortest and longest time that a depth diff gathers changes.
    """

    hawkes: Hawkes
    profile: Profile
    order_lots: int
    touch_lots: int
    limit_lots: int
    resting_lots: int
    order_spread_q16: int = 197_000
    limit_spread_q16: int = 180_000
    resting_spread_q16: int = 230_000
    level_spread_q16: int = 140_000
    requote_rows: int = 3
    requote_spread_q16: int = 100_000
    distance: int = 150
    distance_spread_q16: int = 165_000
    edge_ticks: int = 10
    trail_per_mille: int = 400
    taken_per_mille: int = 350
    impact_per_mille: int = 1000
    revert_ms: int = 60_000
    expected_per_mille: int = 200
    parents_per_hour: int = 320
    children_least: int = 6
    child_gap_ms: int = 1200
    round_per_mille: int = 250
    burst: int = 60
    burst_gap_us: int = 1500
    diff_ms: tuple[int, int] = (16, 52)

    def __post_init__(self) -> None:
        if len(self.hawkes.base_e3) != KINDS:
            raise ValueError(f"flow model: wanted base rates of {KINDS} kinds, not {len(self.hawkes.base_e3)}")
        distances = [row[0] for row in self.profile]
        if not distances or distances != sorted(set(distances)) or distances[0] != 1:
            raise ValueError(f"flow model: the profile's distances must rise from 1, not {distances}")
        for name in ("order_lots", "touch_lots", "limit_lots", "resting_lots", "distance", "revert_ms", "child_gap_ms"):
            if getattr(self, name) < 1:
                raise ValueError(f"flow model: {name} must be at least 1, not {getattr(self, name)}")
        if not 1 <= self.diff_ms[0] <= self.diff_ms[1]:
            raise ValueError(f"flow model: diff_ms must be 1 <= shortest <= longest, not {self.diff_ms}")


def _both(parent: int, child: int, children_e4: int, mean_us: int) -> tuple[Kernel, Kernel]:
    """A kernel and its mirror image: kinds come in pairs, bid and ask."""
    return Kernel(parent, child, children_e4, mean_us), Kernel(parent ^ 1, child ^ 1, children_e4, mean_us)


def _hawkes(order_e3: int, limit_e3: int, cancel_e3: int, requote_e3: int) -> Hawkes:
    """Orders excite orders over 8 ms to 3 s, both sides' touch within milliseconds, requotes a little later."""
    kernels = (
        *_both(BUYS, BUYS, 1400, 6_000), *_both(BUYS, BUYS, 2200, 160_000), *_both(BUYS, BUYS, 1600, 2_500_000),
        *_both(BUYS, SELLS, 500, 15_000), *_both(BUYS, SELLS, 1200, 2_500_000),
        *_both(BUYS, LIMIT_BID, 2500, 3_000), *_both(BUYS, LIMIT_ASK, 2500, 5_000),
        *_both(BUYS, CANCEL_ASK, 2500, 2_000),
        *_both(BUYS, REQUOTE_BIDS, 4000, 20_000), *_both(BUYS, REQUOTE_ASKS, 4000, 20_000),
        *_both(LIMIT_BID, LIMIT_BID, 4600, 1_500), *_both(LIMIT_BID, CANCEL_BID, 1500, 2_000),
        *_both(LIMIT_BID, LIMIT_BID, 1400, 40_000), *_both(LIMIT_BID, LIMIT_ASK, 600, 300_000),
        *_both(CANCEL_BID, CANCEL_BID, 4200, 1_500), *_both(CANCEL_BID, LIMIT_BID, 2200, 2_500),
        *_both(CANCEL_BID, CANCEL_BID, 1200, 40_000), *_both(CANCEL_BID, CANCEL_ASK, 500, 300_000),
        *_both(REQUOTE_BIDS, REQUOTE_BIDS, 3500, 10_000), *_both(REQUOTE_BIDS, REQUOTE_ASKS, 3000, 30_000),
    )  # fmt: skip
    rates = (order_e3, limit_e3, cancel_e3, requote_e3)
    return Hawkes(tuple(rate for rate in rates for _ in range(2)), kernels)


BTCUSDT_FLOW: Final = FlowModel(
    hawkes=_hawkes(680, 1700, 1000, 26_000),
    profile=(
        (1, 820, 280), (2, 620, 280), (5, 650, 320), (10, 800, 210), (20, 880, 200), (50, 930, 360),
        (100, 935, 440), (200, 920, 480), (500, 890, 650), (1000, 700, 500), (3000, 250, 300), (6000, 100, 300),
    ),
    order_lots=24, touch_lots=3500, limit_lots=60, resting_lots=42,
)  # fmt: skip
ETHUSDT_FLOW: Final = replace(
    BTCUSDT_FLOW, order_lots=300, touch_lots=40_000, limit_lots=700, resting_lots=300, edge_ticks=5,
    profile=tuple((distance, filled, 11 * lots) for distance, filled, lots in BTCUSDT_FLOW.profile),
    impact_per_mille=400,
)  # fmt: skip
BTCUSD_PERP_FLOW: Final = FlowModel(
    hawkes=_hawkes(190, 1900, 1150, 60_000),
    profile=(
        (1, 110, 20), (2, 55, 20), (10, 55, 30), (20, 75, 40), (50, 130, 50), (100, 220, 60), (200, 280, 90),
        (500, 230, 110), (1000, 150, 120), (3000, 60, 60), (6000, 30, 60),
    ),
    order_lots=12, touch_lots=480, limit_lots=25, resting_lots=12, edge_ticks=40, impact_per_mille=6000,
    distance=240, diff_ms=(2, 18), requote_rows=7, parents_per_hour=140,
)  # fmt: skip
