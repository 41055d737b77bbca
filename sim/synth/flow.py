"""The order flow: a book of price levels under mutually exciting orders, around a value that nobody sees.

Theory of operation. Arrivals (``hawkes``) and their marks (``marks``) are drawn by the window, ahead of time; the book
is then led through them one event at a time by ``act``, since what an event does depends on the book:

* a taker order takes what is displayed, level by level, and moves the value by the square root of its size, less where
  its sign was to be expected (Madhavan, Richardson and Roomans 1997); that part reverts over seconds;
* limit orders at the touch add to it, cancels take in proportion to what stands there, so that the best level's size
  reverts to its mean (Cont, Stoikov and Talreja 2010); with a spread wider than a tick a limit order closes it on the
  side to which the value has moved;
* a requote states several levels behind the touch anew, each filled or not and sized as is typical of its distance;
* when the value lies beyond a best price by the model's edge, the levels up to it are taken or pulled in one go; a few
  milliseconds later the other side follows, and a burst of limit orders fills the new touch.

The value is the asset's (``fundamental``), seen with the market's lag, plus the market's basis to it and what orders
have pushed it by. ``changes`` gathers level changes until the caller clears it: key ``2 * tick + side``, value lots.
"""

from __future__ import annotations

import heapq
from math import isqrt
from typing import Final

import numpy as np

from matching.codes import BUY, SELL
from sim.synth.draws import Draws
from sim.synth.fundamental import STEP_NS, STEPS, Fundamental
from sim.synth.hawkes import WINDOW_US, Arrivals
from sim.synth.market import TICK_Q16, Ladder, SyntheticMarket
from sim.synth.marks import Marker, Marks, Parents
from sim.synth.model import CANCEL_BID, DISTANCE_MAX, LIMIT_BID, REQUOTE_BIDS, FlowModel

STEP_US: Final = STEP_NS // 1000
LEVELS_LEAST: Final = 10
SWEEP_LEVELS_MAX: Final = 6
ROOT_MOST_Q8: Final = 24 << 8
PRUNE_WINDOWS: Final = 8
LEAN: Final = 700  # of 1,024: how often touch orders lean with the value when it is at the edge
FOLLOW: Final = 8  # a kind of its own: the other side follows a move
ACTIVITY: Final = (  # per mille of the mean, by hour UTC: when Europe and America are both awake, most happens
    1050, 950, 850, 750, 700, 680, 720, 850, 950, 980, 950, 980,
    1100, 1350, 1550, 1500, 1400, 1200, 1050, 1000, 980, 900, 850, 900,
)  # fmt: skip


def activity_e3(now_ns: int) -> int:
    """The day's profile at an instant, straight between the middles of the hours."""
    half = now_ns // 1_000_000_000 + 86_400 - 1800
    hour, second = half // 3600 % 24, half % 3600
    return ACTIVITY[hour] + (ACTIVITY[(hour + 1) % 24] - ACTIVITY[hour]) * second // 3600


class MarketFlow:
    """One market's book and the events on it. ``next_us`` is when ``act`` will act, microseconds from the start."""

    def __init__(
        self, market: SyntheticMarket, model: FlowModel, value: Fundamental, seed: int, start_ns: int,
        activity_e3: int = 1000, lag_ns: int = 0, basis_e6: int = 0,
    ) -> None:  # fmt: skip
        label = f"{market.venue}/{market.symbol}"
        self.market, self.model, self.value = market, model, value
        self.ladders = (Ladder(-1), Ladder(1))
        self.changes: dict[int, int] = {}
        self.prints: list[tuple[int, int, int]] = []
        self.value_q16 = self.fair_q16 = market.start_ticks * TICK_Q16 + TICK_Q16 // 2
        self.moves = 0
        self._start_ns, self._activity_e3 = start_ns, activity_e3
        self._lag, self._basis_e6 = min(lag_ns // STEP_NS, STEPS), basis_e6
        self._draws = Draws(seed, f"book/{label}")
        self._basis = Draws(seed, f"basis/{label}")
        self._arrivals = Arrivals(model.hawkes, seed, label)
        self._marker = Marker(model, seed, label)
        self._parents = Parents(model, seed, label)
        self._own_q16 = self._pushed_q16 = self._passing_q16 = self._lean_q16 = 0
        self._decayed_us = 0
        self._burst: list[tuple[int, int, int]] = []
        self._bursts = 0
        self._times: list[int] = []
        self._kinds: list[int] = []
        self._marks = Marks([], [], [0], [], [], [])
        self._at = 0
        self._end_us = 0
        self._path: list[int] = []
        self._earlier: list[int] = [0] * STEPS
        self._resting: list[int] = []
        self._fill_book()
        self._load()

    # -- windows

    def _load(self) -> None:
        """The next window: its arrivals, their marks, and the value's path in ticks at 2^-16."""
        windows = self._end_us // WINDOW_US
        changes, restless_e3 = self.value.window()
        seen = (self._earlier + changes)[STEPS - self._lag : 2 * STEPS - self._lag]
        self._earlier = changes
        start = self.market.start_ticks
        middle = start * TICK_Q16 + TICK_Q16 // 2
        self._own_q16 += (self._basis.gauss_q16() * self.model.edge_ticks >> 2) - self._own_q16 // 30
        shift = self._own_q16 + start * TICK_Q16 * self._basis_e6 // 1_000_000
        self._path = [middle + start * change * TICK_Q16 // 1_000_000_000_000 + shift for change in seen]
        self._fair = shift
        scale = activity_e3(self._start_ns + self._end_us * 1000) * self._activity_e3 // 1000
        scale = scale * min(restless_e3, 3000) // 1000
        self._arrivals.add(*self._parents.window(scale))
        times, kinds = self._arrivals.window(scale)
        self._marks = self._marker.draw(kinds)
        self._times, self._kinds, self._at = times.tolist(), kinds.tolist(), 0
        self._end_us += WINDOW_US
        self._times.append(self._end_us)
        if windows % PRUNE_WINDOWS == PRUNE_WINDOWS - 1:
            self._prune()

    @property
    def next_us(self) -> int:
        """When the next event is."""
        time = self._times[self._at]
        if time == self._end_us:
            self._load_if_done()
            time = self._times[self._at]
        return self._burst[0][0] if self._burst and self._burst[0][0] < time else time

    def _load_if_done(self) -> None:
        while self._times[self._at] == self._end_us and not (self._burst and self._burst[0][0] < self._end_us):
            self._load()

    def _prune(self) -> None:
        """Levels that the market has left behind are cancelled, so that the book does not grow without bound."""
        for side, ladder in enumerate(self.ladders):
            limit = 2 * DISTANCE_MAX
            for tick in [tick for tick in ladder.lots if (tick - ladder.best) * ladder.worse > limit]:
                self._state(side, tick, 0)

    def _fill_book(self) -> None:
        start = self.market.start_ticks
        distance = np.arange(1, DISTANCE_MAX, dtype=np.int64)
        popular, limit = self._marker.popular, self._marker.limit
        for side in (BUY, SELL):
            ladder, first = self.ladders[side], start + side
            ladder.set(first, max(1, self._draws.lognormal(self.model.touch_lots, TICK_Q16) // 2))
            lots, chance = self._marker.levels(distance, (1 << 40) + side * DISTANCE_MAX)
            for away, size, left in zip(distance.tolist(), lots.tolist(), chance.tolist(), strict=True):
                tick = first + ladder.worse * away
                if popular[tick % 1000] < left and limit:
                    ladder.lots[tick] = size
                if len(ladder.lots) == 3 * self.market.levels // 2:
                    break

    # -- events

    def act(self) -> bool:
        """The next event; True if it changed a best level. ``prints`` is what it traded."""
        self.prints.clear()
        if self._times[self._at] == self._end_us:
            self._load_if_done()
        at = self._at
        if self._burst and self._burst[0][0] < self._times[at]:
            now_us, _, kind = heapq.heappop(self._burst)
            side = kind & 1
            if kind >> 1 == FOLLOW >> 1:
                return self._follow(side)
            return self._limit(side, self._draws.lognormal(self.model.limit_lots, self.model.limit_spread_q16))
        self._at = at + 1
        kind = self._kinds[at]
        side = kind & 1
        if kind >= REQUOTE_BIDS:
            return self._requote(side, self._marks.first[at], self._marks.first[at + 1])
        now_us = self._times[at]
        lots, coin = self._marks.lots[at], self._marks.coin[at]
        if kind < LIMIT_BID:
            self.order(side, lots, now_us)
            self._look(now_us, coin)
            return True
        if self._look(now_us, coin):
            return True
        if self._adds(kind < CANCEL_BID, side, coin):
            return self._limit(side, lots)
        return self._cancel(side, lots)

    def _adds(self, is_limit: bool, side: int, coin: int) -> bool:
        """Whether a touch order adds: makers shrink the side that the value leans against, and swell the other."""
        lean = self.value_q16 - ((self.ladders[BUY].best + self.ladders[SELL].best) << 15)
        if side == SELL:
            lean = -lean
        if (coin << 16) * self.model.edge_ticks < abs(lean) * LEAN:
            return lean > 0
        return is_limit

    def _state(self, side: int, tick: int, lots: int) -> None:
        self.ladders[side].set(tick, lots)
        self.changes[tick + tick + side] = lots

    def _requote(self, side: int, first: int, last: int) -> bool:
        ladder, marks, changes, popular = self.ladders[side], self._marks, self.changes, self._marker.popular
        levels, best, worse = ladder.lots, ladder.best, ladder.worse
        for row in range(first, last):
            tick = best + worse * marks.distance[row]
            if popular[tick % 1000] < marks.chance[row]:
                levels[tick] = changes[tick + tick + side] = marks.level_lots[row]
            elif tick in levels:
                del levels[tick]
                changes[tick + tick + side] = 0
        return False

    def _limit(self, side: int, lots: int) -> bool:
        ladder = self.ladders[side]
        other = self.ladders[1 - side].best
        if (other - ladder.best) * ladder.worse < -1:
            # next to the other side, if the value is not too far from there; at least a tick better than before
            reach, least = other + ladder.worse, ladder.best - ladder.worse
            allowed = (self.value_q16 >> 16) + side - ladder.worse * (self.model.edge_ticks >> 1)
            tick = reach if (allowed - reach) * ladder.worse < 0 else allowed
            self._state(side, tick if (tick - least) * ladder.worse < 0 else least, lots)
            return True
        best, full = ladder.best, self.model.touch_lots
        shown = ladder.lots[best]
        ladder.lots[best] = self.changes[best + best + side] = shown + 1 + lots * 2 * full // (full + shown)
        return True

    def _cancel(self, side: int, lots: int) -> bool:
        ladder = self.ladders[side]
        best, shown = ladder.best, ladder.lots[ladder.best]
        left = shown - 1 - lots * shown * 3 // (2 * self.model.touch_lots)
        if left >= shown - 1:
            return False
        ladder.lots[best] = self.changes[best + best + side] = max(left, 1)
        return True

    def order(self, aggressor: int, lots: int, now_us: int, levels_max: int = SWEEP_LEVELS_MAX) -> int:
        """A taker order: what it pushes the value by, and what it takes; returns the lots that found nothing."""
        model = self.model
        sign = TICK_Q16 if aggressor == BUY else -TICK_Q16
        surprise = sign - self._lean_q16 * model.expected_per_mille // 1000
        self._lean_q16 += (sign - self._lean_q16) // 12
        root_q8 = min(isqrt((lots << 16) // model.order_lots), ROOT_MOST_Q8)
        self._passing_q16 -= (
            self._passing_q16 * min(now_us - self._decayed_us, 1000 * model.revert_ms) // (1000 * model.revert_ms)
        )
        self._decayed_us = now_us
        self._passing_q16 += surprise * root_q8 * model.impact_per_mille // 256_000
        ladder = self.ladders[1 - aggressor]
        before = ladder.best
        left = self.take(aggressor, lots, levels_max)
        if ladder.best != before:
            self._schedule(now_us + 200 + self._draws.exponential(2000), LIMIT_BID + 1 - aggressor)
        return left

    def take(self, aggressor: int, lots: int, levels_max: int) -> int:
        """Execute against the displayed book; returns what found nothing more to take."""
        ladder = self.ladders[1 - aggressor]
        for _ in range(levels_max):
            if lots == 0 or len(ladder.lots) < LEVELS_LEAST:
                break
            tick, shown = ladder.best, ladder.lots[ladder.best]
            executed = min(lots, shown)
            self._print(aggressor, tick, executed)
            self._state(1 - aggressor, tick, shown - executed)
            lots -= executed
        return lots

    def _print(self, aggressor: int, tick: int, lots: int) -> None:
        """Prints of one execution at a level: one for every resting order met."""
        while lots:
            if not self._resting:
                model = self.model
                self._resting = [
                    self._draws.lognormal(model.resting_lots, model.resting_spread_q16) for _ in range(256)
                ]
            part = min(self._resting.pop(), lots)
            self.prints.append((aggressor, tick, part))
            lots -= part

    # -- moves

    def push(self, ticks_q16: int) -> None:
        """Move this market's value for good."""
        self._pushed_q16 += ticks_q16

    def _look(self, now_us: int, coin: int) -> bool:
        """See where the value is, and move if it lies beyond the edge."""
        begun_us = self._end_us - WINDOW_US
        path_q16 = self._path[(now_us - begun_us) // STEP_US] + self._pushed_q16
        self.fair_q16 = path_q16 - self._fair
        self.value_q16 = value = path_q16 + self._passing_q16
        edge = self.model.edge_ticks << 16
        trail = edge * self.model.trail_per_mille // 1000
        if value > (self.ladders[SELL].best << 16) + edge:
            self._move(BUY, (value - trail) >> 16, now_us, coin)
        elif value < (self.ladders[BUY].best << 16) - edge:
            self._move(SELL, ((value + trail) >> 16) + 1, now_us, coin)
        else:
            return False
        return True

    def _move(self, direction: int, target: int, now_us: int, coin: int) -> None:
        """All levels of the other side up to the target go: taken, the first one but in part, or pulled."""
        self.moves += 1
        against = 1 - direction
        ladder = self.ladders[against]
        taken = coin * 1000 < self.model.taken_per_mille * 1024
        first = True
        while (target - ladder.best) * ladder.worse >= 0 and len(ladder.lots) > LEVELS_LEAST:
            tick, shown = ladder.best, ladder.lots[ladder.best]
            if taken:
                self._print(direction, tick, max(1, shown * (coin & 127) >> 10) if first else shown)
            first = False
            self._state(against, tick, 0)
        if (ladder.best - target) * ladder.worse > 1 and coin & 3:
            self._state(against, target + ladder.worse, 1 + self._draws.lognormal(self.model.limit_lots, TICK_Q16))
        at = now_us + 500 + self._draws.exponential(1500)
        self._schedule(at, FOLLOW + direction)
        for _ in range(self._draws.exponential(self.model.burst)):
            at += self._draws.exponential(self.model.burst_gap_us)
            self._schedule(at, LIMIT_BID + self._draws.below(2))

    def _schedule(self, at_us: int, kind: int) -> None:
        self._bursts += 1
        heapq.heappush(self._burst, (at_us, self._bursts, kind))

    def _follow(self, side: int) -> bool:
        """This side follows the other: a new best price next to it, and levels of usual sizes up to the old one."""
        ladder, old = self.ladders[side], self.ladders[side].best
        new = self.ladders[1 - side].best + ladder.worse
        if (new - old) * ladder.worse >= 0:
            return False
        self._state(side, new, max(1, self._draws.lognormal(self.model.touch_lots, TICK_Q16) // 4))
        count = min(abs(new - old), DISTANCE_MAX - 1)
        first = (1 << 41) + self.moves * 8192
        lots, chance = self._marker.levels(np.arange(1, count + 1, dtype=np.int64), first)
        for away, size, left in zip(range(1, count + 1), lots.tolist(), chance.tolist(), strict=True):
            tick = new + ladder.worse * away
            if self._marker.popular[tick % 1000] < left:
                self._state(side, tick, size)
            elif tick in ladder.lots:
                self._state(side, tick, 0)
        return True
