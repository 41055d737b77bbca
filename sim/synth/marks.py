"""Sizes, distances and splits: the marks of the events of a window, drawn as whole arrays.

Sizes are log-normal with a long tail, some of them rounded to one, two or five times a power of ten as people type
them. Which levels behind the touch are filled depends on the distance and, for most of the decision, on the price
itself (round prices more often), so that a level that was filled tends to be filled again. Large orders are split
into children of one sign (Lillo, Mike and Farmer 2005): their Pareto lengths make the signs' long memory.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Final

import numpy as np

from sim.synth.draws import (
    I64,
    LN_2_Q32,
    U64,
    Draws,
    below_array,
    draw_array,
    exponential_q32,
    gauss_array_q16,
    lognormal_array,
    scaled_power,
    stream_key,
)
from sim.synth.hawkes import WINDOW_US
from sim.synth.model import BUYS, DISTANCE_MAX, REQUOTE_BIDS, SELLS, FlowModel, Profile

RESIDUES: Final = 1000
COIN: Final = 1024
CHILDREN_MOST: Final = 400
REQUOTE_ROWS_MOST: Final = 150
_LEADING: Final = np.array((0, 1, 2, 2, 5, 5, 5, 5, 10, 10, 10), np.int64)
_POWERS: Final = 10 ** np.arange(0, 11, dtype=np.int64)


@dataclass(slots=True)
class Marks:
    """Of each event: ``coin`` (0..1023), ``lots``, and where its requoted levels begin (one entry more than events).
    Of each level: distance, lots, and the chance left to chance (see ``Marker.popular``)."""

    coin: list[int]
    lots: list[int]
    first: list[int]
    distance: list[int]
    level_lots: list[int]
    chance: list[int]


def _along(profile: Profile, column: int) -> I64:
    """A column of the profile at every distance from 0 to ``DISTANCE_MAX``, straight between its points."""
    found = np.empty(DISTANCE_MAX + 1, np.int64)
    found[: profile[0][0] + 1] = profile[0][column]
    found[profile[-1][0] :] = profile[-1][column]
    for low, high in itertools.pairwise(profile):
        span = np.arange(high[0] - low[0] + 1, dtype=np.int64)
        found[low[0] : high[0] + 1] = low[column] + (high[column] - low[column]) * span // (high[0] - low[0])
    return found


def rounded_sizes(bits: U64, lots: I64, per_mille: int) -> I64:
    """Sizes of ten lots and more, this share of them, as one, two or five times a power of ten."""
    power = _POWERS[np.searchsorted(_POWERS, lots, side="right") - 1]
    even = _LEADING[(lots + power // 2) // power] * power
    chosen = (below_array(bits, 1000) < per_mille) & (lots >= 10)
    return np.where(chosen, even, lots)


class Marker:
    """Draws the marks of one market's events, window by window."""

    def __init__(self, model: FlowModel, seed: int, label: str) -> None:
        self.model = model
        names = ("sizes", "coins", "rounds", "distances", "levels", "fills", "level rounds")
        self._keys = {name: stream_key(seed, f"marks/{label}/{name}") for name in names}
        self._events = self._levels = 0
        median = [model.order_lots] * 2 + [model.limit_lots] * 4 + [model.requote_rows] * 2
        spread = [model.order_spread_q16] * 2 + [model.limit_spread_q16] * 4 + [model.requote_spread_q16] * 2
        self._median, self._spread = np.array(median, np.int64), np.array(spread, np.int64)
        self._level_lots = _along(model.profile, 2)
        draws = Draws(seed, f"marks/{label}/popular")
        popular = np.array([draws.below(COIN) for _ in range(RESIDUES)], np.int64)
        popular[::10] //= 2
        popular[::100] //= 2
        self.popular: list[int] = (3 * popular).tolist()
        scores = np.sort((3 * popular[:, None] + np.arange(COIN)[None, :]).ravel())
        filled = _along(model.profile, 1)
        self.limit: list[int] = scores[np.minimum(filled * len(scores) // 1000, len(scores) - 1)].tolist()
        self._limit = np.array(self.limit, np.int64)

    def draw(self, kinds: I64) -> Marks:
        """The marks of these events; a level at a price with residue ``r`` is filled if ``popular[r] < chance``."""
        count, first = len(kinds), self._events
        self._events += count
        lots = lognormal_array(
            gauss_array_q16(self._keys["sizes"], first, count), self._median[kinds], self._spread[kinds]
        )
        coin = below_array(draw_array(self._keys["coins"], first, count), COIN)
        requotes = kinds >= REQUOTE_BIDS
        rows = np.where(requotes, np.minimum(lots, REQUOTE_ROWS_MOST), 0)
        lots = rounded_sizes(draw_array(self._keys["rounds"], first, count), lots, self.model.round_per_mille)
        starts = np.concatenate((np.zeros(1, np.int64), np.cumsum(rows)))
        levels, first_level = int(starts[-1]), self._levels
        self._levels += levels
        wide = gauss_array_q16(self._keys["distances"], first_level, levels)
        distance = np.minimum(lognormal_array(wide, self.model.distance, self.model.distance_spread_q16), DISTANCE_MAX)
        level_lots, chance = self.levels(distance, first_level)
        return Marks(
            coin.tolist(), lots.tolist(), starts.tolist(), distance.tolist(), level_lots.tolist(), chance.tolist()
        )

    def levels(self, distance: I64, first: int) -> tuple[I64, I64]:
        """Sizes and chances of levels at these distances, from draw ``first`` on."""
        count = len(distance)
        gauss = gauss_array_q16(self._keys["levels"], first, count)
        lots = lognormal_array(gauss, self._level_lots[distance], self.model.level_spread_q16)
        bits = draw_array(self._keys["level rounds"], first, count)
        lots = rounded_sizes(bits, lots, self.model.round_per_mille)
        return lots, self._limit[distance] - below_array(draw_array(self._keys["fills"], first, count), COIN)


class Parents:
    """Large orders, split: children of one sign, spread over time."""

    def __init__(self, model: FlowModel, seed: int, label: str) -> None:
        self._model = model
        self._draws = Draws(seed, f"parents/{label}")
        self._end_us = 0
        self._next_us = self._gap_us(1000)

    def _gap_us(self, scale_e3: int) -> int:
        rate = self._model.parents_per_hour * scale_e3
        return self._draws.exponential(3_600_000_000_000 // rate) if rate else 1 << 62

    def window(self, scale_e3: int) -> tuple[I64, I64]:
        """Times and kinds of the children of parents that come in the next window (they may lie beyond it)."""
        self._end_us += WINDOW_US
        times: list[int] = []
        kinds: list[int] = []
        while self._next_us < self._end_us:
            kind = BUYS if self._draws.happens(500) else SELLS
            at = self._next_us
            octaves_q16 = (exponential_q32(self._draws.bits()) << 17) // (3 * LN_2_Q32)  # a uniform to the power -2/3
            for _ in range(min(scaled_power(self._model.children_least, octaves_q16), CHILDREN_MOST)):
                times.append(at)
                kinds.append(kind)
                at += self._draws.exponential(self._model.child_gap_ms * 1000)
            self._next_us += 1 + self._gap_us(scale_e3)
        return np.array(times, np.int64), np.array(kinds, np.int64)
