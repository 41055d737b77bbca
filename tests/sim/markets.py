"""Small feeds written by hand, and runs over them, for the tests of the run loop and of everything around it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from matching.codes import BBO, BUY, DEPTH, FORCE, GAP, MARK, OFFBOOK, SELL, SNAPSHOT, TRADE
from matching.feed import FeedWindow, MemorySource, stable_local_order
from sim.backtest import Result, backtest

MS = 1_000_000
S = 1_000_000_000
T0 = 1_750_000_000 * S  # a whole multiple of every interval used here
AUX_KINDS = (MARK, GAP)


class Tape:
    """Messages of one instrument: ``(ts_event, kind, rows, aux or ref, latency)``; times are relative to T0."""

    def __init__(self, latency_ns: int = 5 * MS) -> None:
        self.latency_ns = latency_ns
        self.messages: list[tuple[int, int, list[tuple[int, int, int]], Any, int]] = []

    def add(
        self, at_ns: int, kind: int, rows: Sequence[tuple[int, int, int]], extra: Any, latency_ns: int | None
    ) -> None:
        late = self.latency_ns if latency_ns is None else latency_ns
        self.messages.append((T0 + at_ns, kind, list(rows), extra, late))

    def snapshot(self, at_ns: int, bid: int = 1000, ask: int = 1001, lots: int = 50, levels: int = 10) -> Tape:
        rows = [(BUY, bid - k, lots) for k in range(levels)] + [(SELL, ask + k, lots) for k in range(levels)]
        self.add(at_ns, SNAPSHOT, rows, len(self.messages) + 1, None)
        return self

    def depth(self, at_ns: int, *rows: tuple[int, int, int], latency_ns: int | None = None) -> Tape:
        self.add(at_ns, DEPTH, rows, len(self.messages) + 1, latency_ns)
        return self

    def quote(self, at_ns: int, bid: int, ask: int, lots: int = 5) -> Tape:
        self.add(at_ns, BBO, [(BUY, bid, lots), (SELL, ask, lots)], len(self.messages) + 1, None)
        return self

    def trade(
        self, at_ns: int, side: int, ticks: int, lots: int, kind: int = TRADE, latency_ns: int | None = None
    ) -> Tape:
        self.add(at_ns, kind, [(side, ticks, lots)], len(self.messages) + 1, latency_ns)
        return self

    def prints(self, at_ns: int, *rows: tuple[int, int, int]) -> Tape:
        self.add(at_ns, TRADE, rows, len(self.messages) + 1, None)
        return self

    def mark(self, at_ns: int, mark_e8: int, rate_e12: int = 0, next_funding_ns: int = 0) -> Tape:
        self.add(at_ns, MARK, [], (mark_e8, mark_e8, rate_e12, next_funding_ns), None)
        return self

    def gap(self, at_ns: int, kind: int = 1, first: int = 7, last: int = 9, span_ns: int = 3) -> Tape:
        self.add(at_ns, GAP, [], (kind, first, last, span_ns), None)
        return self

    def force(self, at_ns: int, side: int, ticks: int, lots: int) -> Tape:
        return self.trade(at_ns, side, ticks, lots, FORCE)

    def off_book(self, at_ns: int, side: int, ticks: int, lots: int) -> Tape:
        return self.trade(at_ns, side, ticks, lots, OFFBOOK)

    def window(self) -> FeedWindow:
        found = sorted(self.messages, key=lambda message: message[0])
        rows = [row for message in found for row in message[2]]
        aux = [message[3] for message in found if message[1] in AUX_KINDS]
        refs, used = [], 0
        for _, kind, _, extra, _ in found:
            refs.append(used if kind in AUX_KINDS else extra)
            used += kind in AUX_KINDS
        ts = np.array([message[0] for message in found], np.int64)
        recv = ts + np.array([message[4] for message in found], np.int64)
        columns = np.array(rows, np.int64).reshape(len(rows), 3)
        return FeedWindow(
            ts_event=ts,
            ts_recv=recv,
            kind=np.array([message[1] for message in found], np.uint8),
            row_start=np.concatenate(([0], np.cumsum([len(message[2]) for message in found]))).astype(np.int64),
            ref=np.array(refs, np.int64),
            local_order=stable_local_order(recv),
            side=columns[:, 0].astype(np.uint8),
            px_ticks=columns[:, 1].astype(np.int32),
            qty_lots=columns[:, 2].astype(np.int32),
            aux=np.array(aux, np.int64).reshape(len(aux), 4),
        )

    def source(self, window_messages: int = 0) -> MemorySource:
        return MemorySource(self.window(), window_messages)


def random_tape(seed: int, messages: int, start: int = 1000, step_ns: int = 20 * MS) -> Tape:
    """A seeded walk: depth changes and prints around a drifting mid, with varying latency."""
    draw = random.Random(seed)
    tape = Tape().snapshot(0, start, start + 1)
    at, mid = 0, start
    for _ in range(messages):
        at += draw.randrange(1, 2 * step_ns)
        late = draw.randrange(1 * MS, 30 * MS)
        if draw.random() < 0.25:
            side = draw.randrange(2)
            tape.trade(at, side, mid + 1 - side, draw.randrange(1, 20), latency_ns=late)
        else:
            side = draw.randrange(2)
            ticks = mid - draw.randrange(5) if side == BUY else mid + 1 + draw.randrange(5)
            tape.depth(at, (side, ticks, draw.randrange(0, 60)), latency_ns=late)
    return tape


def config(symbols: Sequence[str] = ("BTCUSDT",), **changes: Any) -> dict[str, Any]:
    """A run on the neutral card, latency 10 ms each way; ``changes`` replace top-level keys."""
    return {
        "venue": [{"name": "neutral", "latency": "10ms", "fees": {"maker": "0", "taker": "0"}}],
        "instrument": [{"symbol": symbol, "mark": "mid"} for symbol in symbols],
        **changes,
    }


def run(strategy: Any, tapes: Tape | Sequence[Tape], out: Path, *, windows: int = 0, **changes: Any) -> Result:
    """Run over tapes (one an instrument), without report and progress."""
    listed = [tapes] if isinstance(tapes, Tape) else list(tapes)
    symbols = ("BTCUSDT", "ETHUSDT", "BTCUSD_PERP")[: len(listed)]
    feeds = {place: tape.source(windows) for place, tape in enumerate(listed)}
    return backtest(config(symbols, **changes), strategy, feeds=feeds, out=out, html=False, show_progress=False)
