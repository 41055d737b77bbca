"""A recorded session of the synthetic market, as a recorder would have written it.

The session is what the venue sends plus what a recorder's link does to it:

* engine events on whole milliseconds, one at a time; best-quote updates after every action that touched the best
  levels; depth diffs that gather 8 to 60 ms of changes, chained by ``pu``;
* a mark message a second with mark and index by Binance's formula (support FAQ 360033525071: the median of the index
  carried by the funding rate, the index plus the 30 s mean basis, and the last price), the predicted rate, and the next
  funding time, which rolls over one boundary; the message stamped just after the boundary still names it;
* one loss of the link: nothing arrives for its length, the diff chain breaks, and a REST snapshot rejoins it;
* one forced order of somebody else, swept through the book and published, and one print of the insurance fund, far
  from the market and not of its book;
* two sockets (depth and best quotes; trades, marks and forced orders), each in order, with a latency that drifts,
  jitters and spikes; lines are in order of receipt.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from matching.codes import BUY, SELL
from sim.synth.cascade import CascadeLog, Crowd, Holders
from sim.synth.draws import Draws
from sim.synth.market import TICK_Q16, Action, OrderFlow, SyntheticMarket
from sim.synth.wire import Wire

SECOND_NS: Final = 1_000_000_000
MS_NS: Final = 1_000_000
FUNDING_INTERVAL_NS: Final = 8 * 3600 * SECOND_NS
DEFAULT_FUNDING_NS: Final = 1_789_459_200 * SECOND_NS  # 2026-09-15 08:00:00 UTC
SNAPSHOT_AFTER_NS: Final = 150 * MS_NS
RESYNC_AFTER_NS: Final = 700 * MS_NS
BASIS_SECONDS: Final = 30
INSURANCE_AFTER_NS: Final = 2 * SECOND_NS
NEVER: Final = 1 << 62

PUBLIC: Final = 0
MARKET: Final = 1
REST: Final = 2


@dataclass(frozen=True, slots=True)
class SyntheticSession:
    """When things happen. ``start_ns`` is ns UTC, ``gap_after_ns`` and ``liquidation_after_ns`` count from it; None
    leaves that event out. The funding boundary is the venue's: the next whole multiple of eight hours.

    ``funding_rate_e8`` is the predicted rate at 1e-8 around which the published one moves; ``receive_unit_ns`` the
    unit of the recorder's stamps (1000: microseconds, 1: nanoseconds); ``clock_offset_ns`` an error of the recorder's
    clock, added to every stamp (negative: behind the venue). ``crowd``: leveraged holders whose liquidations move the
    market (``sim.synth.cascade``); ``forced``: forced orders of others, (ns after the start, aggressor side, lots).
    """

    start_ns: int = DEFAULT_FUNDING_NS - 480 * SECOND_NS
    duration_ns: int = 720 * SECOND_NS
    funding_rate_e8: int = 10_000
    gap_after_ns: int | None = 210 * SECOND_NS
    gap_ns: int = 1500 * MS_NS
    liquidation_after_ns: int | None = 330 * SECOND_NS
    liquidation_touches: int = 4
    latency_us: int = 4000
    receive_unit_ns: int = 1000
    clock_offset_ns: int = 0
    crowd: Crowd | None = None
    forced: tuple[tuple[int, int, int], ...] = ()

    def __post_init__(self) -> None:
        if self.start_ns % SECOND_NS or self.duration_ns < 2 * SECOND_NS:
            raise ValueError("synthetic session: start_ns must be a whole second and duration_ns at least two seconds")
        if self.receive_unit_ns not in (1, 1000):
            raise ValueError(f"synthetic session: receive_unit_ns must be 1 or 1000, not {self.receive_unit_ns}")
        if abs(self.funding_rate_e8) > 300_000:
            raise ValueError(f"synthetic session: funding_rate_e8 {self.funding_rate_e8} is beyond the cap of 0.3 %")
        for after_ns, side, lots in self.forced:
            if not 0 < after_ns < self.duration_ns or side not in (BUY, SELL) or lots < 1:
                raise ValueError(f"synthetic session: forced order {(after_ns, side, lots)} is none, or not within it")
        for name in ("gap_after_ns", "liquidation_after_ns"):
            after_ns = getattr(self, name)
            if after_ns is not None and not SECOND_NS <= after_ns < self.duration_ns:
                raise ValueError(
                    f"synthetic session: {name} {after_ns} must lie between 1 s and the duration (None: leave out)"
                )

    @property
    def end_ns(self) -> int:
        return self.start_ns + self.duration_ns

    @property
    def funding_ns(self) -> int:
        """The first funding boundary after the start: a whole multiple of eight hours."""
        return (self.start_ns // FUNDING_INTERVAL_NS + 1) * FUNDING_INTERVAL_NS


class Link:
    """From the venue's push to the recorder's stamp: latency and order per socket, one loss of the link."""

    def __init__(self, session: SyntheticSession, seed: int, label: str) -> None:
        self._session = session
        self._draws = Draws(seed, f"link/{label}")
        self._drift_q16 = 0
        self._last_push = [0, 0, 0]
        self._last_receive = [0, 0, 0]
        self._lost_ns = (NEVER, NEVER)
        if session.gap_after_ns is not None:
            lost_ns = session.start_ns + session.gap_after_ns
            self._lost_ns = (lost_ns, lost_ns + session.gap_ns)

    def push_ms(self, socket: int, engine_ns: int, delay_us: int) -> int:
        """The venue's push time in ms: never before the engine time, never before the socket's previous push."""
        push_ns = max(engine_ns + self._draws.exponential(delay_us) * 1000, self._last_push[socket])
        self._last_push[socket] = push_ns
        return push_ns // MS_NS

    def receive_ns(self, socket: int) -> int | None:
        """Arrival of what was last pushed on the socket; None if the link was down."""
        push_ns = self._last_push[socket]
        if self._lost_ns[0] <= push_ns < self._lost_ns[1]:
            return None
        self._drift_q16 += self._draws.gauss_q16() // 40 - self._drift_q16 // 400
        spread_q16 = max(-TICK_Q16, min(self._drift_q16, TICK_Q16))
        latency_us = 1500 + self._draws.lognormal(self._session.latency_us, spread_q16)
        if self._draws.happens(3):
            latency_us += self._draws.exponential(30_000)
        arrival = max(push_ns + latency_us * 1000 + self._draws.below(1000), self._last_receive[socket] + 1000)
        self._last_receive[socket] = arrival
        return arrival


class MarkModel:
    """Mark, index and predicted rate, all at 1e-8."""

    def __init__(self, market: SyntheticMarket, seed: int, rate_e8: int) -> None:
        self._draws = Draws(seed, f"mark/{market.venue}/{market.symbol}")
        self._tick_e8 = market.tick_units * 10 ** (8 - market.price_decimals)
        self._basis_e8: list[int] = []
        self._rate_e8 = rate_e8
        self.rate_e8 = rate_e8

    def sample(self, value_q16: int, bid: int, ask: int, last: int, to_funding_ns: int) -> tuple[int, int]:
        """(mark, index) of this second; the published rate moves on once a minute of samples."""
        noise_e8 = self._draws.gauss_q16() * self._tick_e8 >> 17
        index_e8 = (value_q16 * self._tick_e8 >> 16) + noise_e8
        self._basis_e8.append((bid + ask) * self._tick_e8 // 2 - index_e8)
        del self._basis_e8[:-BASIS_SECONDS]
        carried = index_e8 + index_e8 * self.rate_e8 * to_funding_ns // (100_000_000 * FUNDING_INTERVAL_NS)
        smoothed = index_e8 + sum(self._basis_e8) // len(self._basis_e8)
        mark_e8 = sorted((carried, smoothed, last * self._tick_e8))[1]
        if self._draws.happens(17):
            self.rate_e8 = self._rate_e8 + (self._draws.gauss_q16() * max(20, abs(self._rate_e8) // 40) >> 16)
        return mark_e8, index_e8


class SessionWriter:
    """One market's session as lines in order of receipt; iterate ``lines()`` once."""

    def __init__(self, market: SyntheticMarket, session: SyntheticSession, seed: int) -> None:
        label = f"{market.venue}/{market.symbol}"
        self.market, self.session = market, session
        self._flow = OrderFlow(market, seed, session.start_ns)
        self._wire = Wire(market)
        self._link = Link(session, seed, label)
        self._mark = MarkModel(market, seed, session.funding_rate_e8)
        self._draws = Draws(seed, f"session/{label}")
        self._in_flight: list[tuple[int, int, str]] = []
        self._sent = 0
        self._update_id = 2_710_000_000_000 + self._draws.below(1 << 32)
        self._trade_id = 3_530_000_000 + self._draws.below(1 << 24)
        self._pending: dict[tuple[int, int], int] = {}
        self._pending_first_id = 0
        self._pending_engine_ns = 0
        self._flush_ns = NEVER
        self._previous_last_id = self._update_id
        self._last_ticks = market.start_ticks
        self._holders = None if session.crowd is None else Holders(market, session.crowd, seed)
        self._forced: list[tuple[int, int]] = []  # due, (aggressor side, lots)
        self._planned = sorted(session.forced)
        self.cascades = CascadeLog()
        self._snapshots_due = [session.start_ns + SNAPSHOT_AFTER_NS]
        if session.gap_after_ns is not None:
            self._snapshots_due.append(session.start_ns + session.gap_after_ns + session.gap_ns + RESYNC_AFTER_NS)

    def lines(self) -> Iterator[str]:
        """``receive_time json`` without line ends, in order of receipt."""
        session = self.session
        act_ns = session.start_ns + MS_NS
        mark_ns = session.start_ns + SECOND_NS
        liquidation_ns = NEVER
        if session.liquidation_after_ns is not None:
            liquidation_ns = session.start_ns + session.liquidation_after_ns
        insurance_ns = liquidation_ns + INSURANCE_AFTER_NS
        while True:
            now_ns = min(act_ns, mark_ns, self._flush_ns)
            if now_ns >= session.end_ns:
                break
            if now_ns == self._flush_ns:
                self._flush_depth(now_ns)
            elif now_ns == mark_ns:
                self._publish_mark(now_ns)
                mark_ns += SECOND_NS
            else:
                while self._planned and act_ns >= session.start_ns + self._planned[0][0]:
                    self._forced.append(self._planned.pop(0)[1:])
                if self._forced:
                    self._force(act_ns, *self._forced.pop(0))
                elif act_ns >= liquidation_ns:
                    self._liquidate(act_ns)
                    liquidation_ns = NEVER
                elif act_ns >= insurance_ns:
                    self._insurance_print(act_ns)
                    insurance_ns = NEVER
                else:
                    self._publish_action(act_ns, self._flow.act(act_ns))
                self._snapshot_if_due(act_ns)
                act_ns += self._flow.next_gap_us() // 1000 * MS_NS
            yield from self._arrived(now_ns)
        if self._pending:
            self._flush_depth(session.end_ns)
        yield from self._arrived(NEVER)

    def _arrived(self, until_ns: int) -> Iterator[str]:
        session = self.session
        while self._in_flight and self._in_flight[0][0] <= until_ns:
            receive_ns, _, text = heapq.heappop(self._in_flight)
            yield f"{(receive_ns + session.clock_offset_ns) // session.receive_unit_ns} {text}"

    def _send(self, socket: int, text: str) -> None:
        receive_ns = self._link.receive_ns(socket)
        if receive_ns is not None:
            self._sent += 1
            heapq.heappush(self._in_flight, (receive_ns, self._sent, text))

    def _best(self) -> tuple[tuple[int, int], tuple[int, int]]:
        bids, asks = self._flow.ladders
        return (bids.best, bids.lots[bids.best]), (asks.best, asks.lots[asks.best])

    def _publish_action(self, engine_ns: int, action: Action) -> None:
        """Prints, then the level changes into the running diff, then the best quotes where the action touched them."""
        engine_ms = engine_ns // MS_NS
        if action.prints:
            push_ms = self._link.push_ms(MARKET, engine_ns, 2500)
            for aggressor, ticks, lots in action.prints:
                self._trade_id += 1
                self._last_ticks = ticks
                self._send(MARKET, self._wire.trade(push_ms, engine_ms, self._trade_id, aggressor, ticks, lots))
        if not action.levels:
            return
        if not self._pending:
            self._pending_first_id = self._update_id + 1 + self._draws.below(20)
            self._flush_ns = engine_ns + (8 + self._draws.below(53)) * MS_NS
        for side, ticks, lots in action.levels:
            self._pending[side, ticks] = lots
            self._update_id += 21 + self._draws.below(40)
        self._pending_engine_ns = engine_ns
        best = self._best()
        if any((ticks - best[side][0]) * (1 if side == SELL else -1) <= 0 for side, ticks, _ in action.levels):
            push_ms = self._link.push_ms(PUBLIC, engine_ns, 1500)
            self._send(PUBLIC, self._wire.book_ticker(push_ms, engine_ms, self._update_id, *best))

    def _flush_depth(self, now_ns: int) -> None:
        """Send the running diff: rows by price as the venue sorts them, stamped with its last change."""
        levels = sorted((side, ticks, lots) for (side, ticks), lots in self._pending.items())
        bids = [(ticks, lots) for side, ticks, lots in levels if side == BUY]
        asks = [(ticks, lots) for side, ticks, lots in levels if side == SELL]
        push_ms = self._link.push_ms(PUBLIC, now_ns, 1500)
        ids = (self._pending_first_id, self._update_id, self._previous_last_id)
        self._send(PUBLIC, self._wire.depth(push_ms, self._pending_engine_ns // MS_NS, ids, bids, asks))
        self._previous_last_id = self._update_id
        self._pending.clear()
        self._flush_ns = NEVER

    def _snapshot_if_due(self, engine_ns: int) -> None:
        """A REST snapshot, taken inside a running diff so that this diff spans its id (the venue's joining rule)."""
        if not self._snapshots_due or engine_ns < self._snapshots_due[0] or not self._pending:
            return
        del self._snapshots_due[0]
        push_ms = self._link.push_ms(REST, engine_ns, 8000)
        count = self.market.levels
        bids, asks = (ladder.top(count) for ladder in self._flow.ladders)
        self._send(REST, self._wire.snapshot(push_ms, engine_ns // MS_NS, self._update_id, bids, asks))

    def _publish_mark(self, now_ns: int) -> None:
        (bid, _), (ask, _) = self._best()
        boundary_ns = self.session.funding_ns
        if now_ns > boundary_ns:
            boundary_ns += FUNDING_INTERVAL_NS
        mark_e8, index_e8 = self._mark.sample(self._flow.value_q16, bid, ask, self._last_ticks, boundary_ns - now_ns)
        late_ns = (10 if now_ns == boundary_ns else self._draws.below(13)) * MS_NS
        push_ms = self._link.push_ms(MARKET, now_ns + late_ns, 1)
        self._fall_due(mark_e8)
        self._send(MARKET, self._wire.mark(push_ms, mark_e8, index_e8, self._mark.rate_e8, boundary_ns // MS_NS))

    def _fall_due(self, mark_e8: int) -> None:
        """Holders whose liquidation price the mark has reached send their forced orders, one an action from now on."""
        if self._holders is not None:
            tick_e8 = self.market.tick_units * 10 ** (8 - self.market.price_decimals)
            self._forced += self._holders.reached(mark_e8 // tick_e8)
        self.cascades.mark(not self._forced)

    def _force(self, engine_ns: int, aggressor: int, lots: int) -> None:
        """A forced order consumes the book; a share of what it swept moves the value for good."""
        ladder = self._flow.ladders[1 - aggressor]
        before = ladder.best
        done = self._publish_forced(engine_ns, aggressor, lots, self.market.levels // 2)
        swept = abs(ladder.best - before)
        impact = self.session.crowd.impact_per_mille if self.session.crowd is not None else 0
        self._flow.push((1 if aggressor == BUY else -1) * swept * TICK_Q16 * impact // 1000)
        self.cascades.executed(engine_ns, done, swept, lots - done)

    def _liquidate(self, engine_ns: int) -> None:
        """Somebody's long is closed: a sweep through the bids, then its publication."""
        self._publish_forced(engine_ns, SELL, self.session.liquidation_touches * self.market.touch_lots)

    def _publish_forced(self, engine_ns: int, aggressor: int, lots: int, levels_max: int = 50) -> int:
        """Execute and publish a forced order; returns the lots that found somebody to trade with."""
        action = self._flow.liquidate(aggressor, lots, levels_max)
        if not action.prints:
            return 0
        self._publish_action(engine_ns, action)
        value = sum(ticks * size for _, ticks, size in action.prints)
        done = sum(size for _, _, size in action.prints)
        push_ms = self._link.push_ms(MARKET, engine_ns, 200_000)
        limit = self._bankruptcy_ticks() if aggressor == SELL else self._flow.ladders[SELL].best * 1015 // 1000
        last_lots = action.prints[-1][2]
        text = self._wire.force_order(push_ms, engine_ns // MS_NS, aggressor, limit, (value, done), done, last_lots)
        self._send(MARKET, text)
        return done

    def _bankruptcy_ticks(self) -> int:
        return self._flow.ladders[BUY].best * 985 // 1000

    def _insurance_print(self, engine_ns: int) -> None:
        """The fund takes a remainder at its owner's bankruptcy price: a print outside the book."""
        self._trade_id += 1
        push_ms = self._link.push_ms(MARKET, engine_ns, 2500)
        ticks = self._bankruptcy_ticks()
        lots = max(1, self.market.taker_lots // 8)
        engine_ms = engine_ns // MS_NS
        self._send(MARKET, self._wire.trade(push_ms, engine_ms, self._trade_id, SELL, ticks, lots, "INSURANCE_FUND"))
