"""Test-made captures in Binance's wire form, with the true book at every update id beside them.

``Market`` is a toy venue: a dictionary book that is changed at random and says so in depth diffs, best quotes, prints
and marks. ``lines`` are what a recorder would have written; tests then break them in a stated way.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matching.codes import BUY, DEPTH, GAP, SELL, SNAPSHOT
from matching.feed import FeedWindow, join_windows
from recorders.captures import import_captures
from recorders.lake import Lake
from recorders.report import RecordingReport

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
START_MS = 1_700_000_000_000
MS = 1_000_000
Book = tuple[dict[int, int], dict[int, int]]


@dataclass
class Line:
    """One captured line: receive time in ns and the message."""

    recv_ns: int
    message: Any

    def text(self, unit_ns: int = 1) -> bytes:
        return b"%d %s" % (self.recv_ns // unit_ns, json.dumps(self.message, separators=(",", ":")).encode())


@dataclass
class Market:
    """A toy venue of one symbol with ticks of 0.1 and lots of 0.001."""

    seed: int = 1
    symbol: str = "BTCUSDT"
    centre: int = 300_000
    now_ms: int = START_MS
    update_id: int = 1000
    latency_ns: int = 3 * MS
    jitter_ns: int = 2 * MS
    lines: list[Line] = field(default_factory=list)
    truth: dict[int, Book] = field(default_factory=dict)
    previous_id: int = 1000
    trade_id: int = 0
    offset_ns: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.book: Book = ({}, {})
        for side in (BUY, SELL):
            for k in range(30):
                self.book[side][self._level(side, k)] = self.random.randint(1, 5000)
        self.truth[self.update_id] = self._copy()

    def _level(self, side: int, k: int) -> int:
        return self.centre - 1 - k if side == BUY else self.centre + k

    def _copy(self) -> Book:
        return dict(self.book[BUY]), dict(self.book[SELL])

    # -- numbers as the wire has them

    def price(self, ticks: int) -> str:
        return f"{ticks // 10}.{ticks % 10}0"

    def size(self, lots: int) -> str:
        return f"{lots // 1000}.{lots % 1000:03d}"

    def emit(self, stream: str, data: dict[str, Any], latency_ns: int | None = None) -> Line:
        latency = self.latency_ns + self.random.randrange(self.jitter_ns + 1) if latency_ns is None else latency_ns
        recv = self.now_ms * MS + latency + self.offset_ns
        if self.lines:
            recv = max(recv, self.lines[-1].recv_ns + 1000)
        line = Line(recv, {"stream": f"{self.symbol.lower()}@{stream}", "data": data})
        self.lines.append(line)
        return line

    # -- events

    def step(self, milliseconds: int = 20) -> None:
        """Let time pass and change the book; a diff follows, often a quote or prints."""
        self.now_ms += milliseconds
        changes: list[tuple[int, int, int]] = []
        for _ in range(self.random.randint(1, 6)):
            side = self.random.choice((BUY, SELL))
            ticks = self._level(side, self.random.randrange(40))
            lots = self.random.choice((0, self.random.randint(1, 5000)))
            changes.append((side, ticks, lots))
        changes = [c for c in changes if c[2] or len(self.book[c[0]]) > 3]
        first = self.update_id + 1
        for side, ticks, lots in changes:
            self.update_id += self.random.randint(1, 3)
            if lots:
                self.book[side][ticks] = lots
            elif len(self.book[side]) > 3:
                self.book[side].pop(ticks, None)
            else:
                changes[changes.index((side, ticks, lots))] = (side, ticks, self.book[side].get(ticks, 0))
        if not changes:
            self.update_id += 1
        if self.random.random() < 0.5:
            self.trade()
        if self.random.random() < 0.5:
            self.quote()
        final = {(side, ticks): self.book[side].get(ticks, 0) for side, ticks, _ in changes}
        self.diff(first, final)

    def diff(self, first: int, final: dict[tuple[int, int], int]) -> None:
        rows = [[[self.price(t), self.size(q)] for (s, t), q in final.items() if s == side] for side in (BUY, SELL)]
        self.emit(
            "depth@0ms",
            {
                "e": "depthUpdate",
                "E": self.now_ms + 1,
                "T": self.now_ms,
                "s": self.symbol,
                "U": first,
                "u": self.update_id,
                "pu": self.previous_id,
                "b": rows[0],
                "a": rows[1],
            },
        )
        self.previous_id = self.update_id
        self.truth[self.update_id] = self._copy()

    def quote(self) -> None:
        bid, ask = max(self.book[BUY]), min(self.book[SELL])
        self.emit(
            "bookTicker",
            {
                "e": "bookTicker",
                "u": self.update_id,
                "s": self.symbol,
                "b": self.price(bid),
                "B": self.size(self.book[BUY][bid]),
                "a": self.price(ask),
                "A": self.size(self.book[SELL][ask]),
                "T": self.now_ms,
                "E": self.now_ms + 1,
            },
        )

    def trade(self, origin: str = "MARKET", ticks: int | None = None) -> None:
        self.trade_id += 1
        maker = self.random.random() < 0.5
        price = ticks or (max(self.book[BUY]) if maker else min(self.book[SELL]))
        self.emit(
            "trade",
            {
                "e": "trade",
                "E": self.now_ms + 1,
                "T": self.now_ms,
                "s": self.symbol,
                "t": self.trade_id,
                "p": self.price(price),
                "q": self.size(self.random.randint(1, 50)),
                "X": origin,
                "m": maker,
            },
        )

    def mark(self, rate: str = "0.00010000", next_ms: int = START_MS + 3_600_000) -> None:
        self.emit(
            "markPrice@1s",
            {
                "e": "markPriceUpdate",
                "E": self.now_ms,
                "s": self.symbol,
                "p": "29999.91234567",
                "P": "30000.1",
                "i": "30001.00000001",
                "r": rate,
                "T": next_ms,
            },
        )

    def snapshot(self, latency_ns: int = 8 * MS) -> Line:
        """The whole book, as REST answers it; received ``latency_ns`` later, so some diffs come before it."""
        return self.add_snapshot(self.update_id, self.now_ms, self.now_ms * MS + latency_ns + self.offset_ns)

    def add_snapshot(self, update_id: int, now_ms: int, recv_ns: int) -> Line:
        bids, asks = self.truth[update_id]
        line = Line(
            recv_ns,
            {
                "lastUpdateId": update_id,
                "E": now_ms + 1,
                "T": now_ms,
                "bids": [[self.price(t), self.size(q)] for t, q in sorted(bids.items(), reverse=True)],
                "asks": [[self.price(t), self.size(q)] for t, q in sorted(asks.items())],
            },
        )
        self.lines.append(line)
        self.lines.sort(key=lambda x: x.recv_ns)
        return line

    def run(self, steps: int, snapshot_at: int = 5) -> Market:
        for k in range(steps):
            self.step()
            if k == snapshot_at:
                self.snapshot(45 * MS)
            if k % 7 == 3:
                self.mark()
        return self

    def diffs(self) -> list[int]:
        """Places of the depth diffs in ``lines``."""
        return [k for k, line in enumerate(self.lines) if line.message.get("data", {}).get("e") == "depthUpdate"]


def write(path: Path, lines: list[Line] | list[bytes], unit_ns: int = 1) -> Path:
    """Write captured lines, gzipped when the name says so."""
    body = b"".join((line if isinstance(line, bytes) else line.text(unit_ns)) + b"\n" for line in lines)
    path.write_bytes(gzip.compress(body, 1) if path.suffix == ".gz" else body)
    return path


def whole_feed(lake: Path, venue: str = "binance_usdm", symbol: str = "BTCUSDT", **limits: Any) -> FeedWindow:
    """Everything a source gives, as one window; each window is checked on the way."""
    source = Lake(lake).source(venue, symbol, **limits)
    whole: FeedWindow | None = None
    while (window := source.next_window()) is not None:
        window.check()
        whole = window if whole is None else join_windows(whole, window)
    assert whole is not None
    return whole


def replay(feed: FeedWindow, order: list[int] | None = None) -> list[tuple[int, int, Book]]:
    """(message, update id, book) after each message that leaves a valid book; a naive reading of the feed's
    contract."""
    book: Book = ({}, {})
    valid = False
    found = []
    for j in order if order is not None else range(len(feed)):
        kind = int(feed.kind[j])
        if kind == GAP:
            valid = False
        if kind == SNAPSHOT:
            book, valid = ({}, {}), True
        if valid and kind in (DEPTH, SNAPSHOT):
            for r in range(int(feed.row_start[j]), int(feed.row_start[j + 1])):
                side, ticks, lots = int(feed.side[r]), int(feed.px_ticks[r]), int(feed.qty_lots[r])
                if lots:
                    book[side][ticks] = lots
                else:
                    book[side].pop(ticks, None)
            found.append((j, int(feed.ref[j]), (dict(book[0]), dict(book[1]))))
    return found


def import_lines(files: Sequence[str | Path], lake: str | Path, **options: Any) -> list[RecordingReport]:
    """Import captured lines; one report a recording and instrument."""
    return import_captures(files, lake, **options).recordings
