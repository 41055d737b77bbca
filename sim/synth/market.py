"""The synthetic market's model: a latent value and the order flow around it, in integer ticks and lots.

A *value* nobody sees does a random walk: a factor shared by all markets of one base asset and session, plus a small
part of the market's own. Around it a book of price levels lives from four kinds of action, one at a time:

* informed takers: when the value lies beyond the best price by more than ``EDGE_Q16`` of a tick, they take every level
  up to it, unless the levels are pulled before they come (this is what moves the price, and what costs a maker);
* uninformed takers: market orders of log-normal size, a little more often in the direction of the value; one larger
  than the best level sweeps on;
* refills inside a spread wider than one tick, on the side to which the value has moved;
* limit orders and cancels at distances from one tick to some thousands, several levels at once, each level drawn back
  towards a size typical of its distance.

The mechanism follows Glosten and Milgrom (1985) in who trades and Cont, Stoikov and Talreja (2010) in how levels live
and die; sizes, rates and distances are set so that the feed resembles a recording of BTCUSDT in a calm hour (a spread
of mostly one tick, some fifteen prints a second). It is made for demonstrations and tests: it is no claim about any
real market, and a strategy's profit in it means nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from matching.codes import BUY, SELL
from sim.synth.draws import Draws

TICK_Q16: Final = 1 << 16
EDGE_Q16: Final = TICK_Q16 * 6 // 10
FACTOR_STEP_NS: Final = 100_000_000
NOISE_TAKER_PER_MILLE: Final = 220
REFILL_PER_MILLE: Final = 900
INFORMED_TAKER_PER_MILLE: Final = 400
FOLLOW_PER_MILLE: Final = 750
DELETE_PER_MILLE: Final = 200
SIZE_SPREAD_Q16: Final = 92_000
SWEEP_LEVELS_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class SyntheticMarket:
    """One instrument of the synthetic market.

    ``tick_units`` is one tick, and ``lot_units`` one lot, in units of the last decimal the venue prints
    (BTCUSDT prints ``28150.10`` with a tick of 0.1: two decimals, ten units). ``volatility_e9`` is the deviation of the
    value's relative change over one second, at 1e-9; ``action_gap_us`` the mean time between two actions on the book;
    ``touch_lots``, ``order_lots`` and ``taker_lots`` are medians. ``pair`` is the COIN-M index pair, else empty.
    """

    venue: str
    symbol: str
    base: str
    start_ticks: int
    tick_units: int
    price_decimals: int
    lot_units: int
    size_decimals: int
    touch_lots: int
    order_lots: int
    taker_lots: int
    pair: str = ""
    volatility_e9: int = 9_000
    action_gap_us: int = 24_000
    levels: int = 1000

    def __post_init__(self) -> None:
        for name in ("tick_units", "lot_units", "touch_lots", "order_lots", "taker_lots", "action_gap_us"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"synthetic market {self.symbol}: {name} must be at least 1, not {value}")
        if not 10 <= self.levels <= 5000:
            raise ValueError(f"synthetic market {self.symbol}: levels must lie in 10..5000, not {self.levels}")
        if self.start_ticks < 40 * self.levels:
            raise ValueError(
                f"synthetic market {self.symbol}: {self.levels} levels do not fit below {self.start_ticks} ticks; "
                "raise start_ticks or lower levels"
            )


BTCUSDT: Final = SyntheticMarket("binance_usdm", "BTCUSDT", "BTC", 281_500, 10, 2, 1, 3, 1200, 240, 120)
ETHUSDT: Final = SyntheticMarket("binance_usdm", "ETHUSDT", "ETH", 187_000, 1, 2, 1, 3, 12_000, 2400, 1200)
BTCUSD_PERP: Final = SyntheticMarket(
    "binance_coinm", "BTCUSD_PERP", "BTC", 281_480, 1, 1, 1, 0, 400, 80, 40, pair="BTCUSD", action_gap_us=36_000
)


class Ladder:
    """One side of the book: lots by tick, the best tick known at all times. ``worse`` is -1 for bids, 1 for asks."""

    __slots__ = ("best", "lots", "worse")

    def __init__(self, worse: int) -> None:
        self.lots: dict[int, int] = {}
        self.worse = worse
        self.best = 0

    def set(self, tick: int, lots: int) -> None:
        """State the quantity of a level (0 removes it)."""
        if lots:
            if not self.lots or (self.best - tick) * self.worse > 0:
                self.best = tick
            self.lots[tick] = lots
            return
        self.lots.pop(tick, None)
        if tick == self.best and self.lots:
            while self.best not in self.lots:
                self.best += self.worse

    def top(self, count: int) -> list[tuple[int, int]]:
        """The best ``count`` levels as (tick, lots), best first."""
        ticks = sorted(self.lots, reverse=self.worse < 0)[:count]
        return [(tick, self.lots[tick]) for tick in ticks]


@dataclass(slots=True)
class Action:
    """What one action did, in order: prints (aggressor side, tick, lots), then levels (side, tick, new lots)."""

    prints: list[tuple[int, int, int]] = field(default_factory=list)
    levels: list[tuple[int, int, int]] = field(default_factory=list)


class PriceFactor:
    """The shared part of the value: relative change since the session's start at 1e-9, one step every 100 ms.

    Every market of a base asset walks its own copy of the same stream, so all see one path.
    """

    def __init__(self, seed: int, base: str, start_ns: int, volatility_e9: int) -> None:
        self._draws = Draws(seed, f"factor/{base}")
        self._next_ns = start_ns
        self._step_e9 = volatility_e9 * 316 // 1000
        self.change_e9 = 0

    def at(self, now_ns: int) -> int:
        """The factor as of ``now_ns``; calls must not go back in time."""
        while self._next_ns <= now_ns:
            self._next_ns += FACTOR_STEP_NS
            step = self._draws.gauss_q16() * self._step_e9 >> 16
            jump = 5 if self._draws.happens(4) else 1
            self.change_e9 += step * jump - self.change_e9 // 20_000
        return self.change_e9


class OrderFlow:
    """The order book of one market and the actions on it."""

    def __init__(self, market: SyntheticMarket, seed: int, start_ns: int) -> None:
        self.market = market
        self.ladders = (Ladder(-1), Ladder(1))
        self._draws = Draws(seed, f"flow/{market.venue}/{market.symbol}")
        self._factor = PriceFactor(seed, market.base, start_ns, market.volatility_e9)
        self._own_q16 = self._pushed_q16 = 0
        self.value_q16 = market.start_ticks * TICK_Q16 + TICK_Q16 // 2
        self._fill_book()

    def _fill_book(self) -> None:
        for side in (BUY, SELL):
            ladder = self.ladders[side]
            tick = self.market.start_ticks + side
            for index in range(self.market.levels):
                ladder.set(tick, self._typical_lots(index))
                tick += ladder.worse * (1 + self._draws.below(1 + index // 60))

    def _typical_lots(self, distance: int) -> int:
        median = self.market.touch_lots if distance < 3 else max(1, self.market.touch_lots // 3)
        return self._draws.lognormal(median, SIZE_SPREAD_Q16)

    def next_gap_us(self) -> int:
        """Time to the next action, at least one millisecond (the resolution of the venue's engine time)."""
        return 1000 + self._draws.exponential(max(1, self.market.action_gap_us - 1000))

    def act(self, now_ns: int) -> Action:
        """One action at ``now_ns``."""
        self._own_q16 += self._draws.gauss_q16() // 12 - self._own_q16 // 200
        factor = self.market.start_ticks * self._factor.at(now_ns) * TICK_Q16 // 1_000_000_000
        self.value_q16 = self.market.start_ticks * TICK_Q16 + TICK_Q16 // 2 + factor + self._own_q16
        self.value_q16 += self._pushed_q16
        action = Action()
        bid, ask = self.ladders[BUY].best, self.ladders[SELL].best
        if self.value_q16 > ask * TICK_Q16 + EDGE_Q16:
            self._take_through(action, BUY, (self.value_q16 - EDGE_Q16) >> 16)
        elif self.value_q16 < bid * TICK_Q16 - EDGE_Q16:
            self._take_through(action, SELL, -((-self.value_q16 - EDGE_Q16) >> 16))
        elif ask - bid > 1 and self._draws.happens(REFILL_PER_MILLE):
            self._refill(action)
        elif self._draws.happens(NOISE_TAKER_PER_MILLE):
            self._uninformed_taker(action)
        else:
            self._limit_orders(action)
        return action

    def liquidate(self, aggressor: int, lots: int, levels_max: int = 50) -> Action:
        """A forced order of ``lots`` sweeping the book, at most so many levels of it."""
        action = Action()
        self._take_lots(action, aggressor, lots, levels_max)
        return action

    def push(self, ticks_q16: int) -> None:
        """Move the value for good."""
        self._pushed_q16 += ticks_q16
        self.value_q16 += ticks_q16

    def _state(self, action: Action, side: int, tick: int, lots: int) -> None:
        self.ladders[side].set(tick, lots)
        action.levels.append((side, tick, lots))

    def _print(self, action: Action, aggressor: int, tick: int, lots: int) -> None:
        """Prints of one execution: the venue prints one trade for every resting order that it meets."""
        while lots > 3 and self._draws.happens(400):
            part = 1 + self._draws.below(lots - 1)
            action.prints.append((aggressor, tick, part))
            lots -= part
        action.prints.append((aggressor, tick, lots))

    def _take_through(self, action: Action, aggressor: int, last_tick: int) -> None:
        """The value lies beyond ``last_tick``: takers take every level up to it, or their makers pull them in time."""
        ladder = self.ladders[1 - aggressor]
        pulled = not self._draws.happens(INFORMED_TAKER_PER_MILLE)
        for _ in range(SWEEP_LEVELS_MAX):
            tick = ladder.best
            if (last_tick - tick) * ladder.worse < 0 or len(ladder.lots) < 10:
                return
            if not pulled:
                self._print(action, aggressor, tick, ladder.lots[tick])
            self._state(action, 1 - aggressor, tick, 0)
            if self._draws.happens(FOLLOW_PER_MILLE):
                self._state(action, aggressor, tick, self._typical_lots(0))

    def _take_lots(self, action: Action, aggressor: int, lots: int, levels_max: int) -> None:
        ladder = self.ladders[1 - aggressor]
        for _ in range(levels_max):
            if lots == 0 or len(ladder.lots) < 10:
                return
            tick, shown = ladder.best, ladder.lots[ladder.best]
            executed = min(lots, shown)
            self._print(action, aggressor, tick, executed)
            self._state(action, 1 - aggressor, tick, shown - executed)
            lots -= executed

    def _lean_per_mille(self) -> int:
        """Chance of buying, 350..650, by where the value lies between the best prices."""
        middle_q17 = (self.ladders[BUY].best + self.ladders[SELL].best) * TICK_Q16
        return 500 + max(-150, min(150, (2 * self.value_q16 - middle_q17) * 150 // (2 * TICK_Q16)))

    def _uninformed_taker(self, action: Action) -> None:
        aggressor = BUY if self._draws.happens(self._lean_per_mille()) else SELL
        lots = self._draws.lognormal(self.market.taker_lots, 2 * TICK_Q16)
        self._take_lots(action, aggressor, min(lots, 40 * self.market.touch_lots), 3)

    def _refill(self, action: Action) -> None:
        side = BUY if self._draws.happens(self._lean_per_mille()) else SELL
        ladder = self.ladders[side]
        self._state(action, side, ladder.best - ladder.worse, self._typical_lots(0))

    def _distance(self) -> int:
        roll = self._draws.below(1000)
        return min(self._draws.exponential(4 if roll < 550 else 60 if roll < 850 else 600), 4000)

    def _limit_orders(self, action: Action) -> None:
        for _ in range(1 + self._draws.exponential(3)):
            side = self._draws.below(2)
            ladder = self.ladders[side]
            distance = self._distance()
            tick = ladder.best + ladder.worse * distance
            shown = ladder.lots.get(tick, 0)
            size = self._draws.lognormal(self.market.order_lots, SIZE_SPREAD_Q16)
            typical = self.market.touch_lots if distance < 3 else self.market.touch_lots // 3
            if self._draws.happens(350 if shown > typical else 620):
                lots = shown + size
            elif shown and distance and self._draws.happens(DELETE_PER_MILLE):
                lots = 0
            else:
                lots = max(shown - size, 1 if distance == 0 else 0)
            if lots != shown and tick > 0 and (lots or len(ladder.lots) > 10):
                self._state(action, side, tick, lots)
