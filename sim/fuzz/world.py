"""One simulated venue under its rule card, driven step by step: what a random session does to it.

A ``World`` is assembled exactly as a run is (``sim.assembly``), with two lanes and the venue's instruments, then fed
one message at a time. A step is a method call with plain integers, so that a list of steps is a session and a failing
one can be printed as a test. After every step the ``Books`` of ``checker`` have seen each event that was delivered, and
``check`` compares the venue with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from matching import codes
from matching.feed import FeedSource, FeedWindow
from matching.kernel import Core
from sim.assembly import Plan, assemble, build_core
from sim.config import check_config
from sim.fuzz.checker import Books, ViolationError
from sim.fuzz.setups import SETUPS, Setup
from sim.strategy import Context, Order

START_NS: Final = 1_767_225_600_000_000_000  # 2026-01-01 00:00 UTC
MS: Final = 1_000_000
HOUR_NS: Final = 3600 * 1000 * MS
LANES: Final = 2
DEPTH: Final = 6  # levels a side


@dataclass(slots=True)
class Span:
    """Stands for a feed while the run is assembled: the world makes its own windows."""

    first_ns: int = START_NS
    last_ns: int = START_NS + 365 * 24 * HOUR_NS
    rows: int = -1

    def next_window(self) -> FeedWindow | None:
        return None


class NoRuntime:
    """A context without timers, bars or logs."""

    def __getattr__(self, name: str) -> Any:
        raise NotImplementedError(f"a fuzzed session has no {name}")


@dataclass(slots=True)
class Market:
    """The recorded market of one instrument, as the world makes it up."""

    mid: int
    mark_e8: int
    lots: list[list[int]] = field(default_factory=lambda: [[0] * DEPTH, [0] * DEPTH])
    next_funding: int = START_NS + HOUR_NS
    payloads: int = 0  # MARK and GAP messages so far


Row = tuple[int, int, int]  # side, ticks, lots


def run_file(setup: Setup) -> dict[str, Any]:
    """The run file of a fuzzed session."""
    venue = {
        "name": setup.card,
        "latency": {"entry": "1.3ms", "response": "1.1ms"},  # so that no request arrives with a message
        "deposit": dict.fromkeys(setup.assets, setup.deposit),
        "insurance": dict.fromkeys(setup.assets, setup.insurance),
        **setup.venue,
    }
    instruments = [
        {"symbol": symbol, "window_ticks": 1 << 16, "mark": "recorded", "funding": "recorded", **setup.instrument}
        for symbol, _ in setup.symbols
    ]
    samples = {"bbo": "24h", "accounts": "24h"}
    return {"seed": 7, "venue": [venue], "instrument": instruments, "samples": samples}


class World:
    """A venue, two accounts, and a market that does as it is told. ``name`` is a rule card's."""

    def __init__(self, name: str, overrides: Mapping[str, Any] | None = None) -> None:
        self.setup = SETUPS[name]
        config = check_config(run_file(self.setup) | dict(overrides or {}), f"fuzz {name}")
        feeds: dict[str | int, FeedSource] = {m: Span() for m in range(len(self.setup.symbols))}
        self.plan: Plan = assemble(config, Path(), feeds)
        self.core: Core = build_core(self.plan, LANES)
        self.now = START_NS
        self.markets = [
            Market(self.plan.markets[m].instrument.ticks_at_least(price_e8), price_e8)
            for m, (_, price_e8) in enumerate(self.setup.symbols)
        ]
        wallet_of = [self.plan.asset_of(m) for m in range(len(self.markets))]
        deposits = [self.core.ledger.wallet(0, asset) for asset in range(len(self.plan.assets))]
        instruments = [market.instrument for market in self.plan.markets]
        self.contexts = [
            Context(self.core, lane, instruments, wallet_of, deposits, NoRuntime()) for lane in range(LANES)
        ]
        self.books = Books(self.plan, self.core)
        for lane in range(LANES):
            for m in range(len(self.markets)):
                self.core.listen(lane, m, codes.ON_PRIVATE)
        self.steps = 0
        for m in range(len(self.markets)):
            self.quote(m, 0, 50)
            self.mark(m, 0, 0)

    # -- the market

    def quote(self, m: int, shift: int, lots: int) -> None:
        """The book stands ``shift`` ticks from where it stood, ``lots`` at every level."""
        market = self.markets[m]
        market.mid = max(market.mid + shift * self.setup.step, 2 * DEPTH * self.setup.step)
        market.lots = [[lots] * DEPTH, [lots] * DEPTH]
        self._message(m, codes.SNAPSHOT, self._ladder(m))

    def depth(self, m: int, side: int, level: int, lots: int) -> None:
        """One level is stated."""
        self.markets[m].lots[side][level] = lots
        self._message(m, codes.DEPTH, [self._ladder(m)[side * DEPTH + level]])

    def trade(self, m: int, side: int, offset: int, lots: int) -> None:
        """A print of aggressor ``side``, ``offset`` ticks beyond the best price it could have had."""
        mid, step = self.markets[m].mid, self.setup.step
        price = mid + (1 + offset) * step if side == codes.BUY else mid - offset * step
        self._message(m, codes.TRADE, [(side, max(price, 1), lots)])

    def mark(self, m: int, permille: int, rate_e8: int) -> None:
        """The mark moves by ``permille`` and the stream states a funding rate at 1e-8."""
        market = self.markets[m]
        market.mark_e8 = max(market.mark_e8 * (1000 + permille) // 1000, 10**6)
        while market.next_funding <= self.now - 2 * MS:
            market.next_funding += HOUR_NS
        self._message(m, codes.MARK, [], (market.mark_e8, market.mark_e8, rate_e8 * 10**4, market.next_funding))
        self._check_liquidations(m)

    def _check_liquidations(self, m: int) -> None:
        """Who holds market ``m`` below maintenance margin after its mark was dealt with, or has a next step to come."""
        desk: Any = self.core.liquidation(0)
        for lane in range(LANES):
            for unit in desk.units(lane):
                own = desk.isolated if unit.number >= self.core.ledger.n_assets else desk
                holds = any(leg % len(self.markets) == m and desk.position(unit, leg).lots for leg in unit.legs)
                if holds and desk.is_due(unit) and unit.key not in own.waiting:
                    raise ViolationError(f"lane {lane} is below its maintenance margin after a mark: nothing was done")

    def follow(self, m: int) -> None:
        """The mark comes to the book's middle."""
        market = self.markets[m]
        mid_e8 = int(self.plan.markets[m].instrument.price_e8_of(1) * market.mid)
        market.mark_e8 = mid_e8
        self.mark(m, 0, 0)

    def gap(self, m: int) -> None:
        """Messages were lost: the book is stale until the next snapshot."""
        self._message(m, codes.GAP, [], (codes.GAP_SEQUENCE, 1, 2, 0))

    def wait(self, ms: int) -> None:
        """Time passes."""
        self.now += ms * MS
        self._message(0, codes.FORCE, [])

    def _ladder(self, m: int) -> list[Row]:
        market, step = self.markets[m], self.setup.step
        bids = [(codes.BUY, market.mid - k * step, market.lots[codes.BUY][k]) for k in range(DEPTH)]
        return bids + [(codes.SELL, market.mid + (1 + k) * step, market.lots[codes.SELL][k]) for k in range(DEPTH)]

    def _message(self, m: int, kind: int, rows: list[Row], aux: tuple[int, int, int, int] | None = None) -> None:
        """Show the venue one message, and everybody what comes of it."""
        self._run_until(self.now)
        self.now += 500_000
        for other, market in enumerate(self.markets):
            shown = _window(self.now, kind, rows, aux, self.books.next_id(), market.payloads)
            silent = _window(self.now, codes.FORCE, [], None, 0, market.payloads)
            self.core.set_window(other, shown if other == m else silent, False)
        self.markets[m].payloads += aux is not None
        self._run_until(self.now)
        self.steps += 1
        self.check()

    def _run_until(self, until_ns: int) -> None:
        while True:
            woken = self.core.advance(until_ns)
            self._deliver()
            if woken == codes.NEED_DATA or (woken == codes.WAKE_TIME and self.core.now >= until_ns):
                return

    def _deliver(self) -> None:
        while self.core.pop_private():
            lane = self.core.ev_lane
            order = self.contexts[lane].apply_private()
            self.books.event(lane, order, [market.mark_e8 for market in self.markets])

    # -- the accounts

    def submit(
        self,
        lane: int,
        m: int,
        side: int,
        offset: int,
        lots: int,
        tif: int,
        type_: int,
        reduce_only: bool,
        **options: Any,
    ) -> None:
        """An order ``offset`` ticks worse than the other side's best (negative: it takes that deep)."""
        ticks = self._price(m, side, offset) if type_ == codes.LIMIT else 0
        context = self.contexts[lane]
        order = context.submit(m, side, ticks, lots * self.setup.lot_steps, tif, type_, reduce_only, **options)
        self.books.sent(lane, order, options)
        self.steps += 1

    def conditional(
        self, lane: int, m: int, side: int, kind: str, offset: int, lots: int, type_: int, reduce_only: bool
    ) -> None:
        """A stop, take-profit or trailing stop whose trigger lies ``offset`` ticks from the middle."""
        self.submit(
            lane, m, side, 0, lots, codes.GTC, type_, reduce_only, trigger=kind,
            trigger_ticks=self._price(m, side, offset), callback="0.01" if kind == "trailing" else None,
        )  # fmt: skip

    def close_at(self, lane: int, m: int, side: int, offset: int) -> None:
        """A stop that closes the whole position, sized when it executes."""
        self.submit(
            lane, m, side, 0, 0, codes.GTC, codes.MARKET, False, trigger="stop",
            trigger_ticks=self._price(m, side, offset), close_position=True,
        )  # fmt: skip

    def good_till(self, lane: int, m: int, side: int, offset: int, lots: int, ms: int) -> None:
        """An order that is good for ``ms`` from now."""
        until = self.core.now + ms * MS
        self.submit(lane, m, side, offset, lots, codes.GTD, codes.LIMIT, False, expires_ns=until)

    def _price(self, m: int, side: int, offset: int) -> int:
        """``offset`` steps worse than the other side's best (negative: better than it)."""
        mid, step = self.markets[m].mid, self.setup.step
        return max(mid + (1 - offset) * step if side == codes.BUY else mid + offset * step, step)

    # -- settings

    def leverage(self, lane: int, m: int, times: int) -> None:
        """Ask for another leverage."""
        self.contexts[lane].set_leverage(m, times)
        self.steps += 1

    def mode(self, lane: int, m: int, mode: int) -> None:
        """Ask for cross or isolated margin."""
        self.contexts[lane].set_margin_mode(m, mode)
        self.steps += 1

    def add_margin(self, lane: int, m: int, share_e3: int) -> None:
        """Ask to move thousandths of the deposit into an isolated position (negative: out of it)."""
        self.contexts[lane].add_margin(m, int(self.setup.deposit * codes.E8) * share_e3 // 1000)
        self.steps += 1

    def cancel(self, lane: int, pick: int) -> None:
        """Cancel one of the lane's open orders."""
        order = self._pick(lane, pick)
        if order is not None:
            self.contexts[lane].cancel(order)
        self.steps += 1

    def amend(self, lane: int, pick: int, shift: int, lots: int) -> None:
        """Ask for another price and size for one of the lane's open orders."""
        order = self._pick(lane, pick)
        if order is not None:
            self.contexts[lane].amend(
                order, max(order.ticks + shift * self.setup.step, self.setup.step), lots * self.setup.lot_steps
            )
        self.steps += 1

    def _pick(self, lane: int, pick: int) -> Order | None:
        mine = self.contexts[lane].orders()
        return mine[pick % len(mine)] if mine else None

    # -- what must hold

    def check(self) -> None:
        """Compare the venue with the recomputed books."""
        self.books.compare(self.core, self.now)

    def drain(self) -> None:
        """Everybody cancels everything; then nothing may be reserved any more."""
        for _ in range(3):  # where cancels come first in a block they can miss an order of the same block
            for context in self.contexts:
                for order in context.orders():
                    context.cancel(order)
            for _ in range(4):
                self.wait(500)
        ledger = self.core.ledger
        for lane in range(LANES):
            for m in range(ledger.n_markets):
                for side in (codes.BUY, codes.SELL):
                    left = ledger.open_lots(lane, m, side)
                    if left:
                        raise ViolationError(
                            f"lane {lane} market {m}: {left} lots of side {side} reserved, nothing open"
                        )
            left_open = [order.number for order in self.contexts[lane].orders()]
            if left_open:
                raise ViolationError(f"lane {lane}: orders {left_open} still open after everything was canceled")
        self.books.compare_drained(self.core)


def _window(
    ts: int, kind: int, rows: list[Row], aux: tuple[int, int, int, int] | None, number: int, base: int
) -> FeedWindow:
    """The message, and a nanosecond later an empty one that keeps the venue from waiting for data."""
    table = np.array([] if aux is None else [aux], dtype=np.int64).reshape(-1, 4)
    times = np.array([ts, ts + 1], dtype=np.int64)
    return FeedWindow(
        ts_event=times,
        ts_recv=times + 500_000,
        kind=np.array([kind, codes.FORCE], dtype=np.uint8),
        row_start=np.array([0, len(rows), len(rows)], dtype=np.int64),
        ref=np.array([number if aux is None else base, 0], dtype=np.int64),
        local_order=np.array([0, 1], dtype=np.int32),
        side=np.array([row[0] for row in rows], dtype=np.uint8),
        px_ticks=np.array([row[1] for row in rows], dtype=np.int32),
        qty_lots=np.array([row[2] for row in rows], dtype=np.int32),
        aux=table,
        aux_base=base,
    )
