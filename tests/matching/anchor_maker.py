"""The anchors' market maker, driven over the kernel's or the reference's face.

Its specification is ``mm_loop`` in ``anchors/hftbacktest/run_hft.py`` and section 6 of the notes beside it:
every 100 ms, r = mid - skew * position / size (ticks); bid = min(floor(r - half), best bid), ask = max(ceil(r + half),
best ask); a quote at the wanted price stays, any other one is cancelled once it is acknowledged, a missing one is sent
post-only unless the position limit is reached.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, floor
from typing import Any

from matching.codes import (
    BUY,
    EV_ACCEPTED,
    EV_CANCEL_REJECTED,
    EV_CANCELED,
    EV_EXPIRED,
    EV_FILLED,
    EV_REJECTED,
    GTX,
    LIMIT,
    R_POST_ONLY,
    SELL,
)

START_NS = 1_750_000_000_000_000_000
STEP_NS = 100_000_000
SLOTS = 8
HALF_TICKS = 1.0
SKEW_TICKS = 0.25
SIZE_LOTS = 10
LIMIT_LOTS = 100


@dataclass(slots=True)
class Quote:
    side: int
    ticks: int
    leaves_lots: int
    slot: int = 0
    is_acknowledged: bool = False
    is_cancel_sent: bool = False
    was_partial: bool = False


@dataclass(slots=True)
class AnchorMaker:
    """``engine`` has the face of ``Core``; ``event`` reads its last popped private event as (order_no, kind, ticks,
    lots, reason)."""

    engine: Any
    event: Any
    steps: int = 0
    submits: int = 0
    cancels_sent: int = 0
    fills_full: int = 0
    partial_events: int = 0
    expired_gtx: int = 0
    canceled: int = 0
    position_lots: int = 0
    cash_ticks_lots: int = 0
    turnover_ticks_lots: int = 0
    volume_lots: int = 0
    checksum: int = 0
    quotes: dict[int, Quote] = field(default_factory=dict)

    def drain(self) -> None:
        """Take in what has arrived since the last look; an order is judged by its state now, as the anchor does."""
        while self.engine.pop_private():
            number, kind, ticks, lots, reason = self.event(self.engine)
            if kind == EV_CANCEL_REJECTED:
                continue  # the order was filled on the way; the fill has its own event
            quote = self.quotes[number]
            quote.is_acknowledged = True
            if kind == EV_FILLED:
                sign = 1 if quote.side == BUY else -1
                quote.leaves_lots -= lots
                quote.was_partial = quote.leaves_lots > 0
                self.position_lots += sign * lots
                self.cash_ticks_lots -= sign * lots * ticks
                self.turnover_ticks_lots += lots * ticks
                self.volume_lots += lots
                self.fills_full += quote.leaves_lots == 0
                self.partial_events += quote.leaves_lots > 0
            elif kind == EV_CANCELED:
                self.canceled += 1
                quote.leaves_lots = 0
            elif kind in (EV_EXPIRED, EV_REJECTED):
                assert reason == R_POST_ONLY, f"order {number}: unexpected refusal {reason}"
                self.expired_gtx += 1
                quote.leaves_lots = 0
            else:
                assert kind in (EV_ACCEPTED,), f"order {number}: unexpected event {kind}"
        for number in [number for number, quote in self.quotes.items() if quote.leaves_lots == 0]:
            del self.quotes[number]

    def step(self) -> None:
        self.steps += 1
        self.drain()
        bid, ask = self.engine.best_ticks(0, BUY), self.engine.best_ticks(0, SELL)
        self.checksum = (self.checksum * 1000003 + bid * 31 + ask) & 0xFFFFFFFFFFFFFFFF
        centre = 0.5 * (bid + ask) - SKEW_TICKS * self.position_lots / SIZE_LOTS
        self.requote(BUY, min(floor(centre - HALF_TICKS), bid), self.position_lots < LIMIT_LOTS)
        self.requote(SELL, max(ceil(centre + HALF_TICKS), ask), self.position_lots > -LIMIT_LOTS)

    def requote(self, side: int, ticks: int, may_add: bool) -> None:
        own = [(number, quote) for number, quote in self.quotes.items() if quote.side == side]
        is_quoted = False
        for number, quote in own:
            if quote.ticks == ticks and may_add:
                is_quoted = True
            elif quote.is_acknowledged and not quote.is_cancel_sent:
                quote.is_cancel_sent = True
                self.engine.cancel(0, quote.slot, number)
                self.cancels_sent += 1
        if not is_quoted and may_add and len(own) < SLOTS:
            self.submits += 1
            slot = self.engine.submit(0, 0, self.submits, side, ticks, SIZE_LOTS, GTX, LIMIT, 0)
            self.quotes[self.submits] = Quote(side, ticks, SIZE_LOTS, slot)
