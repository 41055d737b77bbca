"""Held orders: stops, take-profits and trailing stops that wait at the venue for their trigger price.

Theory of operation. ``Triggers`` belongs to one market and knows nothing of the kernel. It is asked only while anything
is held, and only with a price outside the window ``low[watch] < price < high[watch]`` in which nothing can happen; the
kernel keeps that window in plain integers and compares. All of this is rare, so it is plain Python.

A price that is watched is counted in ticks (last trade) or in 1e-8 (mark, index). Levels are given in ticks and turned
into the watched unit once, toward the side on which they are reached: a whole price is at or beyond the level if and
only if it is at or beyond the rounded one.

Directions. A stop fires when the price has gone against the position that it protects: a buy at or above its level, a
sell at or below; a take-profit the other way round. A trailing stop first waits for its activation price (a buy: at or
below; a sell: at or above; none: active at once), keeps the extreme since then, and fires when the price has come back
from the extreme by the callback: low * (1 + rate), or low + offset, of a buy (Binance: USD-M trade endpoints,
``callbackRate``; the offset as Deribit's ``trigger_offset``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from matching.codes import BUY, E12, TRIGGER_NONE, TRIGGER_STOP, TRIGGER_TRAILING, WATCH_INDEX, WATCH_LAST

NEVER: Final = (1 << 63) - 1
WATCHES: Final = WATCH_INDEX + 1


@dataclass(frozen=True, slots=True)
class Trigger:
    """What an order waits for. ``ticks``: the level, of a trailing stop the activation price (0: none).

    ``callback_e12`` is a trailing stop's rate, ``offset_ticks`` its distance where that is absolute. ``watch`` 0: the
    venue's default. ``protect``: only while last trade and mark are near each other.
    """

    kind: int
    ticks: int
    watch: int = 0
    callback_e12: int = 0
    offset_ticks: int = 0
    protect: bool = False

    def __post_init__(self) -> None:
        if not TRIGGER_NONE < self.kind <= TRIGGER_TRAILING or not 0 <= self.watch <= WATCH_INDEX:
            raise ValueError(f"trigger: no such kind {self.kind} or watched price {self.watch}")
        if self.kind == TRIGGER_TRAILING:
            if (self.callback_e12 > 0) == (self.offset_ticks > 0) or min(self.callback_e12, self.offset_ticks) < 0:
                raise ValueError("trigger: a trailing stop needs a callback rate or an offset, and only one of them")
            if self.callback_e12 >= E12:
                raise ValueError(f"trigger: callback rate {self.callback_e12} e-12 must be below 1")
        elif self.callback_e12 or self.offset_ticks:
            raise ValueError("trigger: only a trailing stop has a callback")
        if self.ticks < 0 or (self.ticks == 0 and self.kind != TRIGGER_TRAILING):
            raise ValueError(f"trigger: price of {self.ticks} ticks must be positive")


class Held:
    """One held order: its level in the unit of the price that it watches, and where a trailing stop has got to."""

    __slots__ = (
        "active",
        "callback_e12",
        "due",
        "extreme",
        "lane",
        "level",
        "offset",
        "slot",
        "start",
        "trigger",
        "up",
    )

    def __init__(self, slot: int, lane: int, side: int, trigger: Trigger, tick: tuple[int, int]) -> None:
        """``tick`` = (num, den): one tick in units of the watched price."""
        num, den = tick
        self.slot, self.lane, self.trigger = slot, lane, trigger
        self.up = (side == BUY) == (trigger.kind in (TRIGGER_STOP, TRIGGER_TRAILING))  # fires at or above its level
        self.callback_e12, self.due = trigger.callback_e12, False
        trailing = trigger.kind == TRIGGER_TRAILING
        rises = self.up != trailing  # a trailing stop is activated from the other side
        self.level = -(-trigger.ticks * num // den) if rises else trigger.ticks * num // den
        self.offset = -(-trigger.offset_ticks * num // den)
        self.start, self.active, self.extreme = self.level, not trailing, 0
        if trailing:
            self.level = 0

    def move(self, price: int) -> bool:
        """Take a price in; whether the order's trigger is met."""
        if self.trigger.kind == TRIGGER_TRAILING:
            if not self.active:
                reached = price <= self.start if self.up else price >= self.start
                if not reached and self.start:
                    return False
                self.active, self.extreme = True, price
            if (price < self.extreme) == self.up:
                self.extreme = price
            self.level = self._trailed()
        return price >= self.level if self.up else price <= self.level

    def _trailed(self) -> int:
        if self.offset:
            return self.extreme + self.offset if self.up else self.extreme - self.offset
        if self.up:
            return -(-self.extreme * (E12 + self.callback_e12) // E12)
        return self.extreme * (E12 - self.callback_e12) // E12

    def window(self) -> tuple[int, int]:
        """(low, high): at or beyond either, the order must be asked; strictly between them nothing happens to it."""
        if self.due:
            return NEVER, -NEVER
        if not self.active:
            if not self.start:
                return NEVER, -NEVER
            return (self.start, NEVER) if self.up else (-NEVER, self.start)
        if self.trigger.kind != TRIGGER_TRAILING:
            return (-NEVER, self.level) if self.up else (self.level, NEVER)
        return (self.extreme - 1, self.level) if self.up else (self.level, self.extreme + 1)


class Triggers:
    """The held orders of one market, in the order in which they came, and the windows in which none can fire."""

    def __init__(self, tick_e8: tuple[int, int]) -> None:
        self.tick_e8 = tick_e8
        self.held: dict[int, Held] = {}
        self.low = [-NEVER] * WATCHES
        self.high = [NEVER] * WATCHES

    def add(self, slot: int, lane: int, side: int, trigger: Trigger, price: int) -> bool:
        """Hold an order. ``price``: what it watches stands there now, 0 unknown. Whether it would fire at once."""
        held = Held(slot, lane, side, trigger, (1, 1) if trigger.watch == WATCH_LAST else self.tick_e8)
        self.held[slot] = held
        met = price > 0 and held.move(price)
        self._arm(trigger.watch)
        return met

    def is_near(self, last_ticks: int, mark_e8: int, protect_e12: int) -> bool:
        """Whether the last trade is no further from the mark than this part of the mark."""
        num, den = self.tick_e8
        gap = abs(last_ticks * num - mark_e8 * den)
        return last_ticks > 0 and mark_e8 > 0 and gap * E12 <= protect_e12 * mark_e8 * den

    def starts_at_once(self, slot: int) -> bool:
        """Whether a trailing stop just added has found its activation price reached already."""
        held = self.held[slot]
        return held.start > 0 and held.active and held.trigger.kind == TRIGGER_TRAILING

    def remove(self, slot: int) -> None:
        self._arm(self.held.pop(slot).trigger.watch)

    def of_lane(self, lane: int) -> list[int]:
        """Slots of a lane's held orders, oldest first."""
        return [held.slot for held in self.held.values() if held.lane == lane]

    def met(self, watch: int, price: int, is_open: bool, is_near: bool) -> list[int]:
        """Slots of the orders that fire at this price, oldest first; they stay held until ``remove``.

        While the market is not ``is_open`` (its book is stale), or a protected order finds last trade and mark not
        ``is_near``, a trigger that is met waits: the first price after that is asked again, whether an unprotected
        one has come back or not.
        """
        found = []
        for held in self.held.values():
            if held.trigger.watch != watch:
                continue
            met = held.move(price)
            if held.trigger.protect:
                if met and is_open and is_near:
                    found.append(held.slot)
                held.due = met
            elif met or held.due:
                held.due = not is_open
                if is_open:
                    found.append(held.slot)
        self._arm(watch)
        return found

    def _arm(self, watch: int) -> None:
        low, high = -NEVER, NEVER
        for held in self.held.values():
            if held.trigger.watch == watch:
                own_low, own_high = held.window()
                low, high = max(low, own_low), min(high, own_high)
        self.low[watch], self.high[watch] = low, high
