"""One benchmark run: kernel, ledger and run loop over given feeds, without run folder or report.

The market is the one that the peers are given: linear, tick 0.1, lot 0.001, order latency 10 ms each way (or none),
maker fee -0.5 bp and taker fee 7 bp unless said otherwise, no funding and no margin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from matching import codes
from matching.feed import FeedSource
from matching.kernel import Core, LatencyTable
from matching.ledger import Ledger
from sim.loop import Loop
from sim.strategy import Context, Strategy
from venues import Instrument, known_instrument

NEVER_NS: Final = (1 << 63) - 1
DEPOSIT_E8: Final = 1_000_000 * codes.E8


@dataclass(frozen=True, slots=True)
class Market:
    """What a run assumes about its one market; latencies in ns, fees at 1e-12 of value."""

    exchange: int = codes.EXCHANGE_NOPARTIAL
    queue_model: int = codes.QUEUE_POWER3
    queue_param: float = 3.0
    entry_ns: int = 10_000_000
    response_ns: int = 10_000_000
    maker_rate_e12: int = -50_000_000
    taker_rate_e12: int = 700_000_000


class DroppingSink:
    """Takes the log away so that memory stays flat, and keeps nothing of it."""

    def drain(self, core: Core, final: bool) -> None:
        core.drain_log()

    def window(self, now_ns: int) -> None:
        pass


class CountingSink(DroppingSink):
    """Keeps counts by (lane, event)."""

    def __init__(self, lanes: int) -> None:
        self.events = np.zeros((lanes, 32), np.int64)

    def drain(self, core: Core, final: bool) -> None:
        self.count(core.drain_log())

    def count(self, log: Mapping[str, Any]) -> None:
        kind, lane = np.asarray(log["event"]), np.asarray(log["lane"])
        part = (kind == codes.EV_FILLED) & (np.asarray(log["leaves"]) > 0)
        key = lane.astype(np.int64) * 32 + np.where(part, 0, kind)
        self.events += np.bincount(key, minlength=self.events.size)[: self.events.size].reshape(self.events.shape)

    def of_lane(self, lane: int) -> dict[str, int]:
        """Counts of one lane, under the names that the peers' runners use."""
        count = self.events[lane]
        return {
            "fills_full": int(count[codes.EV_FILLED]),
            "partial_events": int(count[0]),
            "expired": int(count[codes.EV_EXPIRED] + count[codes.EV_REJECTED]),
            "canceled": int(count[codes.EV_CANCELED]),
        }


class NoServices:
    """A benchmark has no lake to look back into and no log."""

    def index(self, name: str) -> int:
        return 0

    def history(self, *arguments: Any) -> Any:
        raise NotImplementedError("benchmark runs have no history")

    def log(self, *arguments: Any) -> None:
        pass


@dataclass(slots=True)
class Run:
    """A run ready to go; ``loop.run()`` is what the clock covers."""

    loop: Loop
    core: Core
    ledger: Ledger
    sink: DroppingSink
    strategies: Sequence[Strategy]

    def outcome(self, lane: int = 0) -> dict[str, int]:
        """Final counts of one lane of a run that counted: steps, submits, cancels, fills, position (lots), wallet."""
        strategy: Any = self.strategies[lane]
        assert isinstance(self.sink, CountingSink)
        return {
            "steps": getattr(strategy, "steps", 0),
            "submits": int(self.core.counters()["lane_orders"][lane]),
            "cancels_sent": getattr(strategy, "cancels", 0),
            **self.sink.of_lane(lane),
            "position_lots": int(self.ledger.position(lane, 0)),
            "wallet_e8": int(self.ledger.wallet(lane, 0)),
        }


def prepare(
    source: FeedSource, strategies: Sequence[Strategy], market: Market, sink: DroppingSink | None = None
) -> Run:
    """A run of one market over ``source`` with a lane for every strategy; ``sink`` takes the log (default: counts)."""
    instrument: Instrument = known_instrument("neutral", "BTCUSDT")
    lanes = len(strategies)
    ledger = Ledger(lanes, 1, 1)
    ledger.configure_market(
        0,
        0,
        False,
        instrument.value_num,
        instrument.value_den,
        instrument.lot_num,
        instrument.lot_den,
        market.maker_rate_e12,
        market.taker_rate_e12,
    )
    core = Core(1, lanes, ledger, 0)
    for lane in range(lanes):
        ledger.deposit(lane, 0, DEPOSIT_E8)
        core.configure_lane(lane, [lane])
    core.configure_market(0, queue_model=market.queue_model, queue_param=market.queue_param, exchange=market.exchange)
    core.set_latency(0, LatencyTable.constant(market.entry_ns), LatencyTable.constant(market.response_ns))
    sink = sink or CountingSink(lanes)
    loop = Loop(core, [source], source.first_ns, [], sink, NoServices())
    for lane, strategy in enumerate(strategies):
        loop.add_lane(strategy, Context(core, lane, [instrument], [0], [DEPOSIT_E8], loop))
    return Run(loop, core, ledger, sink, strategies)
