"""The way from the venue to the receiver: push times, latencies, and what fails on the way.

Three sockets, each in order: depth and best quotes; prints, marks and forced orders; REST. Latency drifts between knots
some hundred messages apart, jitters and has rare spikes; all of it is drawn in blocks, one stream a socket.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from sim.synth.draws import (
    I64,
    below_array,
    draw_array,
    exponential_array,
    gauss_array_q16,
    lognormal_array,
    stream_key,
)
from sim.synth.scenario import Outage, Scenario

PUBLIC, MARKET, REST = range(3)
BLOCK: Final = 4096
KNOT: Final = 256
MS_NS: Final = 1_000_000
FLOOR_US: Final = 1500
DRIFT_SPREAD_Q16: Final = 30_000
JITTER_US: Final = 200
SPIKE_PER_MILLE: Final = 3
SPIKE_US: Final = 30_000
NEVER: Final = 1 << 62


class Socket:
    """One connection: delays of the venue's push, in units of their mean at 2^-20, and latencies in ns, as they come.

    ``push_ns`` and ``receive_ns`` are those of its latest message.
    """

    __slots__ = ("_at", "_block", "_key", "_latency_us", "delays_q20", "latencies_ns", "push_ns", "receive_ns")

    def __init__(self, seed: int, label: str, latency_us: int) -> None:
        self._key = [stream_key(seed, f"socket/{label}/{name}") for name in ("push", "drift", "jitter", "spike")]
        self._latency_us = latency_us
        self._block = 0
        self._at = BLOCK
        self.push_ns = self.receive_ns = 0
        self.delays_q20: list[int] = []
        self.latencies_ns: list[int] = []

    def _load(self) -> None:
        push, drift, jitter, spike = self._key
        first = self._block * BLOCK
        self._block += 1
        self._at = 0
        knots = BLOCK // KNOT
        levels = lognormal_array(gauss_array_q16(drift, first // KNOT, knots + 1), self._latency_us, DRIFT_SPREAD_Q16)
        place, part = np.arange(BLOCK) // KNOT, np.arange(BLOCK) % KNOT
        slow: I64 = levels[place] + (levels[place + 1] - levels[place]) * part // KNOT
        fast = exponential_array(draw_array(jitter, first, BLOCK), JITTER_US << 10)  # ns and a little
        bits = draw_array(spike, first, BLOCK)
        rare = below_array(bits, 1000) < SPIKE_PER_MILLE
        spikes = np.where(rare, exponential_array(bits << np.uint64(24), SPIKE_US), 0)
        self.latencies_ns = ((FLOOR_US + slow + spikes) * 1000 + fast).tolist()
        self.delays_q20 = exponential_array(draw_array(push, first, BLOCK), 1 << 20).tolist()

    def push(self, engine_ns: int, delay_ns: int) -> int:
        """The venue pushes a message, ``delay_ns`` later on average: never before the one before. Returns when."""
        if self._at == BLOCK:
            self._load()
        push_ns = engine_ns + (self.delays_q20[self._at] * delay_ns >> 20)
        if push_ns < self.push_ns:
            push_ns = self.push_ns
        self.push_ns = push_ns
        return push_ns

    def receive(self, least_ns: int = 0) -> int:
        """When what was pushed last arrives: in order, and not before ``least_ns``."""
        receive_ns = max(self.push_ns + self.latencies_ns[self._at], self.receive_ns + 1000, least_ns)
        self._at += 1
        self.receive_ns = receive_ns
        return receive_ns

    def lose(self) -> None:
        """What was pushed last does not arrive."""
        self._at += 1


class Faults:
    """The outages of a session, as a message at a time meets them."""

    def __init__(self, scenario: Scenario) -> None:
        self._start_ns = scenario.start_ns
        self._waiting = sorted(scenario.outages, key=lambda outage: outage.after_ns)
        self._now: Outage | None = None
        self.next_ns = NEVER
        self._take()

    def _take(self) -> None:
        self._now = self._waiting.pop(0) if self._waiting else None
        self.next_ns = NEVER if self._now is None else self._start_ns + self._now.after_ns

    def at(self, push_ns: int) -> Outage | None:
        """The outage that a message pushed now meets; pushes of different sockets may differ by some milliseconds."""
        if self._now is not None and push_ns >= self._start_ns + self._now.until_ns + 500 * MS_NS:
            self._take()
        found = self._now
        if found is None or not self.next_ns <= push_ns < self._start_ns + found.until_ns:
            return None
        return found
