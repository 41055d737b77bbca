"""A market as its venue sends it, message by message: the realistic market behind the wire of Binance's futures.

Theory of operation. ``MarketFeed`` leads a ``MarketFlow`` through time and says what the venue would: prints, best
quotes after every change of a best level, depth diffs that gather some ten milliseconds of changes and chain by ``pu``,
a mark a second, forced orders (of each second the largest, as the venue samples them), and REST snapshots where a
careful recorder asks for one. Every message has the time of its push by the venue and that of its receipt.

``advance(until_ns)`` makes everything happen before an instant of venue time and returns what has been received by
then: the same messages in whatever steps it is called. A server that paces a session in real time calls it with its
clock; ``send`` lets an order of one's own meet the book between two calls. ``SessionFeed`` merges several markets.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from matching.codes import BUY, SELL
from sim.synth.cascade import CascadeLog, Holders
from sim.synth.draws import Draws
from sim.synth.flow import MarketFlow
from sim.synth.fundamental import Fundamental
from sim.synth.link import MARKET, NEVER, PUBLIC, REST, Faults, Socket
from sim.synth.listed import Listed
from sim.synth.market import TICK_Q16
from sim.synth.prices import VenuePrices
from sim.synth.scenario import HOUR_NS, SECOND_NS, Scenario
from sim.synth.wire import Wire

MS_NS: Final = 1_000_000
SNAPSHOT_AFTER_NS: Final = 150 * MS_NS
QUOTE_DELAY_NS: Final = 1_500_000
PRINT_DELAY_NS: Final = 2_500_000
REST_DELAY_NS: Final = 8 * MS_NS
FORCE_GAP_US: Final = 2_000
FUND_PER_MILLE: Final = 150
STEP_NS: Final = SECOND_NS


class Message(NamedTuple):
    """One message: when it was received and, among those of its market, its number (ns UTC; the receiver's clock error
    is not in it), when the venue pushed it, on which socket (``link``), and the text (or what else the feed writes)."""

    receive_ns: int
    number: int
    push_ns: int
    socket: int
    text: Any


class MarketFeed:
    """One market of a session. ``flow`` is its book, ``prices`` the venue's mark and rate, ``cascades`` what fell."""

    def __init__(self, listed: Listed, scenario: Scenario, seed: int, wire: Any = None) -> None:
        """``wire`` writes the messages, by default as text of the venue (``sim.synth.wire.Wire``)."""
        market = self.market = listed.market
        label = f"{market.venue}/{market.symbol}"
        self.listed, self.scenario = listed, scenario
        start = self.now_ns = scenario.start_ns
        value = Fundamental(scenario.path, seed, market.base)
        self.flow = MarketFlow(
            market, listed.flow_of(scenario.depth_e3), value, seed, start, scenario.activity_e3, listed.lag_ns,
            scenario.premium_e6,
        )  # fmt: skip
        self.prices = VenuePrices(market, seed, start, scenario.premium_e6)
        self.cascades = CascadeLog()
        self._wire = Wire(market) if wire is None else wire
        self._sockets = [Socket(seed, f"{label}/{socket}", scenario.latency_us) for socket in (PUBLIC, MARKET, REST)]
        self._faults = Faults(scenario)
        self._draws = Draws(seed, f"feed/{label}")
        self._holders = None if scenario.crowd is None else Holders(listed.crowded(), scenario.crowd, seed)
        self._flight: list[Message] = []
        self._sent = 0
        self._update_id = 2_710_000_000_000 + self._draws.below(1 << 32)
        self._previous_last_id = self._update_id
        self._first_id = 0
        self._changed_ns = start
        self._trade_id = 3_530_000_000 + self._draws.below(1 << 24)
        self._last_ticks = market.start_ticks
        self._flush_ns = self._force_ns = NEVER
        self._second_ns = start + SECOND_NS
        self._forced: list[tuple[int, int, bool]] = []  # due: aggressor side, lots, whether it is a liquidation
        self._planned = sorted(scenario.forced)
        self._planned_ns = start + self._planned[0][0] if self._planned else NEVER
        self._largest: tuple[int, int, Any] | None = None  # the second's forced orders: lots, engine time, text
        self._chance_ns = start + self._liquidation_gap()
        self._snapshots = sorted(
            [start + SNAPSHOT_AFTER_NS]
            + [start + o.until_ns + o.snapshot_after_ns for o in scenario.outages if o.kind != "stall"]
        )

    # -- time

    def advance(self, until_ns: int) -> list[Message]:
        """What is received before ``until_ns``, in order of receipt; ``until_ns`` may not go back."""
        self._run(min(until_ns, self.scenario.end_ns))
        if until_ns > self.scenario.end_ns and self.flow.changes:
            self._flush(self.scenario.end_ns)
        self._flight.sort()
        count = bisect_right(self._flight, (until_ns,))
        received = self._flight[:count]
        del self._flight[:count]
        return received

    def _run(self, until_ns: int) -> None:
        flow, start = self.flow, self.scenario.start_ns
        changes, prints = flow.changes, flow.prints
        while True:
            now_ns = start + flow.next_us * 1000
            due_ns = min(self._flush_ns, self._second_ns, self._force_ns, self._planned_ns, self._chance_ns)
            if due_ns <= now_ns:
                if due_ns >= until_ns:
                    break
                self._due(due_ns)
                continue
            if now_ns >= until_ns:
                break
            changed = flow.act()
            if prints:
                self._publish_prints(now_ns)
            if changes:
                self._take_note(now_ns)
                if changed:
                    self._publish_quote(now_ns)
        self.now_ns = max(self.now_ns, until_ns)

    def _take_note(self, now_ns: int) -> None:
        """Changes of the book have happened: they get an update id and go into the running diff."""
        if self._flush_ns == NEVER:
            shortest, longest = self.listed.flow.diff_ms
            self._first_id = self._update_id + 1
            self._flush_ns = now_ns + shortest * MS_NS + (now_ns // 1000 * 7919 % 1024) * (longest - shortest) * 977
        self._update_id += 3 + now_ns // 1000 % 61
        self._changed_ns = now_ns
        if self._snapshots[0:1] and now_ns >= self._snapshots[0]:
            self._snapshot(now_ns)

    def _due(self, now_ns: int) -> None:
        if now_ns == self._flush_ns:
            self._flush(now_ns)
        elif now_ns == self._second_ns:
            self._second(now_ns)
        elif now_ns == self._planned_ns:
            self._forced.append((*self._planned.pop(0)[1:], True))
            self._planned_ns = self.scenario.start_ns + self._planned[0][0] if self._planned else NEVER
            self._force_ns = min(self._force_ns, now_ns)
        elif now_ns == self._force_ns:
            self._force(now_ns, *self._forced.pop(0))
            self._force_ns = now_ns + MS_NS + self._draws.exponential(FORCE_GAP_US) * 1000 if self._forced else NEVER
        else:
            self._liquidate_by_chance(now_ns)

    # -- sending

    def _send(self, socket: int, text: Any, is_depth: bool = False) -> None:
        """What was pushed last on a socket sets off with this text."""
        line = self._sockets[socket]
        push_ns = line.push_ns
        least_ns = 0
        if push_ns >= self._faults.next_ns:
            outage = self._faults.at(push_ns)
            if outage is not None:
                if outage.kind == "stall":
                    least_ns = self.scenario.start_ns + outage.until_ns
                elif outage.kind == "loss" or is_depth:
                    line.lose()
                    return
        self._sent += 1
        self._flight.append(Message(line.receive(least_ns), self._sent, push_ns, socket, text))

    def _publish_prints(self, now_ns: int) -> None:
        line, wire, engine_ms = self._sockets[MARKET], self._wire, now_ns // MS_NS
        delay_ns = PRINT_DELAY_NS
        for aggressor, ticks, lots in self.flow.prints:
            self._trade_id += 1
            push_ms = line.push(now_ns, delay_ns) // MS_NS
            self._send(MARKET, wire.trade(push_ms, engine_ms, self._trade_id, aggressor, ticks, lots))
            self._last_ticks = ticks
            delay_ns = 0

    def _publish_quote(self, now_ns: int) -> None:
        bids, asks = self.flow.ladders
        push_ms = self._sockets[PUBLIC].push(now_ns, QUOTE_DELAY_NS) // MS_NS
        bid, ask = (bids.best, bids.lots[bids.best]), (asks.best, asks.lots[asks.best])
        self._send(PUBLIC, self._wire.book_ticker(push_ms, now_ns // MS_NS, self._update_id, bid, ask))

    def _flush(self, now_ns: int) -> None:
        """Send the running diff, its rows by price; it is stamped with its last change."""
        changes = self.flow.changes
        rows = sorted(changes.items())
        bids = [(key >> 1, lots) for key, lots in rows if not key & 1]
        asks = [(key >> 1, lots) for key, lots in rows if key & 1]
        push_ms = self._sockets[PUBLIC].push(now_ns, QUOTE_DELAY_NS) // MS_NS
        ids = (self._first_id, self._update_id, self._previous_last_id)
        text = self._wire.depth(push_ms, self._changed_ns // MS_NS, ids, bids, asks)
        self._send(PUBLIC, text, True)
        self._previous_last_id = self._update_id
        changes.clear()
        self._flush_ns = NEVER

    def _snapshot(self, now_ns: int) -> None:
        """A REST snapshot, taken inside a running diff, so that this diff spans its id (the venue's joining rule)."""
        del self._snapshots[0]
        push_ms = self._sockets[REST].push(now_ns, REST_DELAY_NS) // MS_NS
        bids, asks = (ladder.top(self.market.levels) for ladder in self.flow.ladders)
        self._send(REST, self._wire.snapshot(push_ms, now_ns // MS_NS, self._update_id, bids, asks))

    # -- once a second

    def _second(self, now_ns: int) -> None:
        prices, flow = self.prices, self.flow
        prices.sample(now_ns, flow.fair_q16, flow.ladders, self._last_ticks)
        late_ns = (10 if now_ns == prices.next_funding_ns else self._draws.below(13)) * MS_NS
        push_ms = self._sockets[MARKET].push(now_ns + late_ns, 0) // MS_NS
        funding_ms = prices.next_funding_ns // MS_NS
        text = self._wire.mark(push_ms, prices.mark_e8, prices.index_e8, prices.rate_e12 // 10_000, funding_ms)
        self._send(MARKET, text)
        if self._largest is not None:
            self._sockets[MARKET].push(now_ns + late_ns, MS_NS)
            self._send(MARKET, self._largest[2])
            self._largest = None
        if self._holders is not None:
            tick_e8 = self.market.tick_units * 10 ** (8 - self.market.price_decimals)
            self._forced += [(*order, True) for order in self._holders.reached(prices.mark_e8 // tick_e8)]
            if self._forced:
                self._force_ns = min(self._force_ns, now_ns + MS_NS)
        self.cascades.mark(not self._forced)
        self._second_ns += SECOND_NS

    # -- forced orders

    def send(self, aggressor: int, lots: int) -> int:
        """An order of one's own takes what is displayed, now (at the end of the last ``advance``): it is published, and
        moves this book and this market's value, as anybody's. Returns the lots executed."""
        flow, now_ns = self.flow, self.now_ns
        flow.prints.clear()
        left = flow.order(aggressor, lots, (now_ns - self.scenario.start_ns) // 1000, self.market.levels // 2)
        if flow.prints:
            self._publish_prints(now_ns)
            self._take_note(now_ns)
            self._publish_quote(now_ns)
        return lots - left

    def _execute(self, now_ns: int, aggressor: int, lots: int, levels_max: int, impact_per_mille: int) -> int:
        flow = self.flow
        ladder = flow.ladders[1 - aggressor]
        before = ladder.best
        flow.prints.clear()
        left = flow.take(aggressor, lots, levels_max)
        if not flow.prints:
            return 0
        swept = abs(ladder.best - before)
        flow.push((1 if aggressor == BUY else -1) * swept * TICK_Q16 * impact_per_mille // 1000)
        self._publish_prints(now_ns)
        self._take_note(now_ns)
        self._publish_quote(now_ns)
        return lots - left

    def _force(self, now_ns: int, aggressor: int, lots: int, is_logged: bool) -> None:
        """A forced order consumes the book; with a crowd a share of what it swept moves the value for good."""
        ladder = self.flow.ladders[1 - aggressor]
        before = ladder.best
        impact = self.scenario.crowd.impact_per_mille if self.scenario.crowd is not None else 0
        done = self._execute(now_ns, aggressor, lots, self.market.levels // 2, impact)
        if is_logged:
            self.cascades.executed(now_ns, done, abs(ladder.best - before), lots - done)
        if not done:
            return
        prints = self.flow.prints
        value = sum(ticks * size for _, ticks, size in prints)
        limit = self._bankruptcy_ticks(aggressor)
        text = self._wire.force_order(
            self._second_ns // MS_NS, now_ns // MS_NS, aggressor, limit, (value, done), done, prints[-1][2]
        )
        if self._largest is None or done > self._largest[0]:
            self._largest = (done, now_ns, text)

    def _bankruptcy_ticks(self, aggressor: int) -> int:
        best = self.flow.ladders[1 - aggressor].best
        return best * 985 // 1000 if aggressor == SELL else best * 1015 // 1000

    def _liquidation_gap(self) -> int:
        rate = self.scenario.liquidations_per_hour
        return SECOND_NS + self._draws.exponential(HOUR_NS // rate // 1000) * 1000 if rate else NEVER

    def _liquidate_by_chance(self, now_ns: int) -> None:
        """One is liquidated; now and then the insurance fund takes a remainder: a print that is not of the book."""
        aggressor = self._draws.below(2)
        self._forced.append((aggressor, self._draws.lognormal(8 * self.listed.flow.order_lots, 2 * TICK_Q16), False))
        self._force_ns = min(self._force_ns, now_ns)
        self._chance_ns = now_ns + self._liquidation_gap()
        if not self._draws.happens(FUND_PER_MILLE):
            return
        self._trade_id += 1
        ticks, lots = self._bankruptcy_ticks(aggressor), self.listed.flow.order_lots
        push_ms = self._sockets[MARKET].push(now_ns, PRINT_DELAY_NS) // MS_NS
        engine_ms = now_ns // MS_NS
        text = self._wire.trade(push_ms, engine_ms, self._trade_id, aggressor, ticks, lots, "INSURANCE_FUND")
        self._send(MARKET, text)


class SessionFeed:
    """Several markets of one session, of one or several venues: messages of all, in order of receipt."""

    def __init__(self, listed: Sequence[Listed], scenario: Scenario, seed: int) -> None:
        names = [(one.market.venue, one.market.symbol) for one in listed]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"synthetic session: it needs markets, each once, not {names}")
        self.scenario = scenario
        self.feeds = [MarketFeed(one, scenario, seed) for one in listed]

    def advance(self, until_ns: int) -> list[tuple[int, Message]]:
        """(place of the market, message) of all that is received before ``until_ns``, in order of receipt."""
        parts = [[(place, m) for m in feed.advance(until_ns)] for place, feed in enumerate(self.feeds)]
        return parts[0] if len(parts) == 1 else list(heapq.merge(*parts, key=lambda row: (row[1].receive_ns, row[0])))

    def steps(self) -> Iterator[list[tuple[int, Message]]]:
        """The whole session, a second at a time; iterate once."""
        now_ns = self.scenario.start_ns
        while now_ns < self.scenario.end_ns:
            now_ns += STEP_NS
            yield self.advance(min(now_ns, self.scenario.end_ns))
        yield self.advance(NEVER)

    def __iter__(self) -> Iterator[tuple[int, Message]]:
        """The whole session, message by message; iterate once."""
        for part in self.steps():
            yield from part
