"""What a venue checks of a request before its book is looked at, and how many requests it takes.

Theory of operation. A ``Gate`` belongs to one market and holds integers only; the kernel hands it an order with the
moment's prices and gets a reason R_* back. ``check`` goes through ``check_form`` (what the request says: kind, price
grid, sizes) and ``check_moment`` (what depends on prices: band, notional, value). A venue that moves a price into its
band instead of refusing it is asked through ``ticks``, which holds the price to go on with after a check. Market
orders get the worst price they may execute at from ``bound_ticks``.

Prices are in the instrument's finest ticks; the grid of a price is a function of it (``check_grid``). Bands are made of
three terms, which cover the venues' formulas; with r the reference price, i the index, p the average premium:

    highest buy   min( max(r * (1 + up) + p, i if toward_index), r' * (1 + outer) )      lowest sell mirrored

where p counts only when positive for buys and negative for sells (``premium_one_sided``) or as it is, and r' is the
reference. An ``outer`` of 0, a premium window of 0 and a reference that is not known leave their terms out.

A ``Limit`` is one allowance of requests of one account: a window of fixed or rolling length, a bucket that refills, or
a budget earned by volume. Several markets share the object where a venue counts over all of them. A request must fit
all limits that count it before any is charged; one that is refused by a limit costs nothing.
"""

import cython
import numpy as np

if not cython.compiled:
    from matching.arith import CEIL, FLOOR, INVALID, mul3_div, mul_div
    from matching.codes import *

    EXEMPT_NONE, EXEMPT_REDUCE_ONLY, EXEMPT_WHOLE_CLOSE = 0, 1, 2
    BAND_NONE, BAND_REJECT, BAND_CLAMP = 0, 1, 2
    BOUND_NONE, BOUND_MARK, BOUND_MID, BOUND_INDEX, BOUND_BAND = 0, 1, 2, 3, 4
    COUNT_SUBMIT, COUNT_CANCEL, COUNT_AMEND = 1, 2, 4
    COUNT_SUBMITS, COUNT_CANCELS, COUNT_AMENDS = 8, 16, 32

E12 = 1_000_000_000_000
MAX_TICKS = (1 << 31) - 1
NO_BEST = -(1 << 62)  # codes.NO_PRICE


def _column(values):
    return memoryview(np.array(list(values), dtype=np.int64))


class Gate:
    """The checks of one market. Every option is off by default; see ``configure`` and the module's docstring."""

    def __init__(self):
        self.types = 3
        self.tifs = 31
        self.flags = (1 << 30) - 1
        self.tick_num = self.tick_den = 1
        self.step_from = self.step_ticks = _column(())
        self.steps = 0
        self.min_ticks, self.max_ticks = 1, MAX_TICKS
        self.min_lots, self.max_lots = 1, MAX_TICKS
        self.max_market_lots = MAX_TICKS
        self.inverse = False
        self.value_num = self.value_den = self.lot_num = self.lot_den = 1
        self.min_notional_e8 = self.max_limit_value_e8 = self.max_market_value_e8 = 0
        self.exempt = EXEMPT_NONE
        self.band = BAND_NONE
        self.band_on_index = self.toward_index = self.both_sides = self.premium_one_sided = False
        self.band_market = False
        self.up_e12 = self.down_e12 = self.outer_e12 = 0
        self.bound = BOUND_NONE
        self.bound_e12 = 0
        self.max_open = self.max_open_account = self.max_stops = self.max_stops_account = self.max_loose = 0
        self.open_tifs = 31
        self.open_per_e8 = self.most_by_volume = 0
        self.equity_e8 = self.equity_open = _column(())
        self.equity_steps = 0
        self.unique = 0
        self.ticks = 0
        self.premium_e8 = self.premium_sum = 0
        self.premiums = _column(())
        self.premium_count = self.premium_at = 0

    def configure(self, **options):
        """Set options by name; ValueError for an unknown one or one that cannot be.

        types, tifs, flags: bit masks of what the venue takes. tick_e8 = (num, den), value = (num, den), lot = (num,
        den), inverse: as the ledger has them. steps: ((from_ticks, step_ticks), ...): from those prices on, multiples
        of so many ticks. min_ticks, max_ticks, min_lots, max_lots, max_market_lots; min_notional_e8 with EXEMPT_*;
        max_limit_value_e8, max_market_value_e8. band BAND_*, band_on_index, up_e12, down_e12, outer_e12, toward_index,
        both_sides (buys have a floor and sells a cap too), band_market (a market order is refused when the best price
        lies outside), premium_samples, premium_one_sided. bound BOUND_* with bound_e12: how far a market order walks.
        max_open, max_stops of a market; max_stops_account; max_open_account of orders whose tif is in open_tifs, and
        one more for each open_per_e8 traded up to most_by_volume; max_loose: with so many open, no reduce-only or
        conditional order; open_by_equity: ((equity_e8, max), ...) rising. unique: 1 client ids among open orders, 2
        for ever. Zero is no limit.
        """
        for name, value in options.items():
            if name in ("tick_e8", "value", "lot"):
                num, den = value
                stem = name.removesuffix("_e8")
                setattr(self, stem + "_num", num)
                setattr(self, stem + "_den", den)
            elif name == "steps":
                rows = sorted(value)
                if any(step < 1 for _, step in rows):
                    raise ValueError(f"gate: steps must be positive, got {value}")
                self.step_from, self.step_ticks = _column(a for a, _ in rows), _column(s for _, s in rows)
                self.steps = len(rows)
            elif name == "open_by_equity":
                rows = sorted(value)
                self.equity_e8, self.equity_open = _column(e for e, _ in rows), _column(n for _, n in rows)
                self.equity_steps = len(rows)
            elif name == "premium_samples":
                self.premiums = _column([0] * value)
            elif name in ("ticks", "premium_e8", "premium_sum", "premium_at") or not hasattr(self, name):
                raise ValueError(f"gate: there is no option {name!r}")
            else:
                setattr(self, name, value)
        if min(self.tick_num, self.tick_den, self.value_den, self.lot_den) < 1:
            raise ValueError("gate: tick_e8, value and lot need positive denominators")
        return self

    # -- what the request says

    def check_form(self, side, type, tif, flags, ticks, lots):
        """Kind, price grid and size; R_* of the first that fails. Sets ``ticks``."""
        self.ticks = ticks
        if not (self.types >> type) & 1 or not (self.tifs >> tif) & 1 or flags & ~self.flags:
            return R_UNSUPPORTED
        if type == MARKET:
            if tif == GTX:
                return R_UNSUPPORTED
        else:
            if ticks < self.min_ticks or ticks > self.max_ticks:
                return R_PRICE_RANGE
            if not self.check_grid(ticks):
                return R_TICK_SIZE
        if lots < self.min_lots or lots > self.max_lots or (type == MARKET and lots > self.max_market_lots):
            return R_LOT_SIZE
        return R_NONE

    def check_grid(self, ticks):
        """Whether a price may be stated."""
        return ticks % self.grid_step(ticks) == 0

    def grid_step(self, ticks):
        """Legal prices near a price are multiples of this many ticks."""
        step: cython.longlong = 1
        k: cython.Py_ssize_t
        for k in range(self.steps):
            if ticks >= self.step_from[k]:
                step = self.step_ticks[k]
        return step

    # -- what depends on the moment

    def check(self, side, type, tif, flags, ticks, lots, reducible, mark_e8, index_e8, best_ticks):
        """All checks of a new or amended order; returns R_*, and ``ticks`` is its price after a clamping band.

        ``reducible``: lots by which it could reduce the position (0: none); ``best_ticks`` of the other side, NO_PRICE
        if there is none. Prices that are 0 are not known, and what needs them passes.
        """
        reason: cython.longlong = self.check_form(side, type, tif, flags, ticks, lots)
        if reason != R_NONE:
            return reason
        return self.check_moment(side, type, flags, ticks, lots, reducible, mark_e8, index_e8, best_ticks)

    def check_moment(self, side, type, flags, ticks, lots, reducible, mark_e8, index_e8, best_ticks):
        price: cython.longlong = ticks
        value: cython.longlong
        most: cython.longlong = self.max_limit_value_e8
        if type == MARKET:
            most = self.max_market_value_e8
            price = best_ticks
            if self.band_market and price != NO_BEST and self._band(side, price, mark_e8, index_e8) != price:
                return R_MARKET_BAND
        elif self.band != BAND_NONE:
            price = self._band(side, ticks, mark_e8, index_e8)
            if price != ticks:
                if self.band == BAND_REJECT:
                    return R_PRICE_BAND
                self.ticks = price
        if self.min_notional_e8 == 0 and most == 0:
            return R_NONE
        value = self.notional_e8(type, price, lots, mark_e8)
        if value < 0:
            return R_NONE
        if value < self.min_notional_e8 and not self._is_exempt(flags, lots, reducible):
            return R_MIN_NOTIONAL
        if most > 0 and value > most:
            return R_MAX_VALUE
        return R_NONE

    def notional_e8(self, type, ticks, lots, mark_e8):
        """Quote value at 1e-8 of lots at a limit price, market orders at mark (at the best price before the first).

        -1 where no price is known; the largest integer where it does not fit.
        """
        value: cython.longlong
        if self.inverse:
            value = mul_div(lots, self.lot_num, self.lot_den, FLOOR)
        elif type == MARKET and mark_e8 > 0:
            value = mul3_div(lots, mark_e8, self.lot_num, self.lot_den, 1, FLOOR)
        elif ticks == NO_BEST:
            return -1
        else:
            value = mul3_div(ticks, lots, self.value_num, self.value_den, 1, FLOOR)
        return value if value != INVALID else 9223372036854775807

    def _is_exempt(self, flags, lots, reducible):
        if flags & FLAG_CLOSE_POSITION:
            return True
        if self.exempt == EXEMPT_REDUCE_ONLY:
            return (flags & FLAG_REDUCE_ONLY) != 0
        if self.exempt == EXEMPT_WHOLE_CLOSE and reducible > 0:
            return lots == reducible or (lots > reducible and (flags & FLAG_REDUCE_ONLY) != 0)
        return False

    # -- bands and bounds

    def _band(self, side, ticks, mark_e8, index_e8):
        """The nearest price inside the band, ``ticks`` itself if it is."""
        edge: cython.longlong
        edge = self.band_edge(side, mark_e8, index_e8)
        if edge > 0 and ((side == BUY and ticks > edge) or (side == SELL and ticks < edge)):
            return edge
        if self.both_sides:
            edge = self.band_edge(1 - side, mark_e8, index_e8)
            if edge > 0 and ((side == SELL and ticks > edge) or (side == BUY and ticks < edge)):
                return edge
        return ticks

    def band_edge(self, side, mark_e8, index_e8):
        """The highest price of a buy, or the lowest of a sell, in ticks of the grid; 0 where none is known."""
        reference: cython.longlong = index_e8 if self.band_on_index else mark_e8
        edge: cython.longlong
        outer: cython.longlong
        premium: cython.longlong = self.premium_e8
        if reference <= 0 or (self.up_e12 == 0 and self.down_e12 == 0):
            return 0
        if self.premium_one_sided and (premium > 0) != (side == BUY):
            premium = 0
        if side == BUY:
            edge = mul_div(reference, E12 + self.up_e12, E12, FLOOR) + premium
            if self.toward_index and index_e8 > edge:
                edge = index_e8
            if self.outer_e12 > 0:
                outer = mul_div(reference, E12 + self.outer_e12, E12, FLOOR)
                edge = min(edge, outer)
        else:
            edge = mul_div(reference, E12 - self.down_e12, E12, CEIL) + premium
            if self.toward_index and index_e8 > 0 and index_e8 < edge:
                edge = index_e8
            if self.outer_e12 > 0:
                outer = mul_div(reference, E12 - self.outer_e12, E12, CEIL)
                edge = max(edge, outer)
        return self.to_ticks(side, edge)

    def to_ticks(self, side, price_e8):
        """A price on the grid, the highest not above ``price_e8`` for a buy, the lowest not below it for a sell."""
        ticks: cython.longlong
        up: cython.longlong
        k: cython.Py_ssize_t
        ticks = mul_div(price_e8, self.tick_den, self.tick_num, FLOOR if side == BUY else CEIL)
        if ticks < 1:
            return 1
        if side == BUY:
            for k in range(self.steps - 1, -1, -1):
                if ticks >= self.step_from[k]:
                    if ticks - ticks % self.step_ticks[k] >= self.step_from[k]:
                        return ticks - ticks % self.step_ticks[k]
                    ticks = self.step_from[k] - 1  # no legal price at the foot of this range
            return ticks
        for k in range(self.steps):
            if k + 1 == self.steps or ticks < self.step_from[k + 1]:
                if ticks >= self.step_from[k]:
                    up = ticks + self.step_ticks[k] - 1
                    ticks = up - up % self.step_ticks[k]
                if k + 1 == self.steps or ticks < self.step_from[k + 1]:
                    return ticks
                ticks = self.step_from[k + 1]
        return ticks

    def bound_ticks(self, side, mark_e8, index_e8, mid_e8):
        """The worst price at which a market order may execute, in ticks; 0: any."""
        reference: cython.longlong = mark_e8
        if self.bound == BOUND_NONE:
            return 0
        if self.bound == BOUND_BAND:
            return self.band_edge(side, mark_e8, index_e8)
        if self.bound == BOUND_MID:
            reference = mid_e8
        elif self.bound == BOUND_INDEX and index_e8 > 0:
            reference = index_e8
        if reference <= 0:
            return 0
        if side == BUY:
            return self.to_ticks(side, mul_div(reference, E12 + self.bound_e12, E12, FLOOR))
        return self.to_ticks(side, mul_div(reference, E12 - self.bound_e12, E12, CEIL))

    def add_premium(self, premium_e8):
        """One sample of the venue's mid minus the band's reference; ``premium_e8`` is the average of the window."""
        size: cython.Py_ssize_t = len(self.premiums)
        if self.premium_count == size:
            self.premium_sum -= self.premiums[self.premium_at]
        else:
            self.premium_count += 1
        self.premiums[self.premium_at] = premium_e8
        self.premium_sum += premium_e8
        self.premium_at = (self.premium_at + 1) % size
        self.premium_e8 = mul_div(self.premium_sum, 1, self.premium_count, FLOOR)

    def most_open(self, equity_e8, traded_e8):
        """Open orders that an account of this equity and traded volume may have; 0: any number, -1: none."""
        most: cython.longlong = self.max_open_account
        k: cython.Py_ssize_t
        if self.open_per_e8 > 0:
            most = min(most + mul_div(traded_e8, 1, self.open_per_e8, FLOOR), self.most_by_volume)
        if self.equity_steps > 0:
            most = -1
        for k in range(self.equity_steps):
            if equity_e8 >= self.equity_e8[k]:
                most = self.equity_open[k] if self.equity_open[k] > 0 else -1
        return most


class Limit:
    """One allowance of requests. ``counts``: COUNT_* bits of the requests that it counts.

    ``batch_units``: what a batch costs as a whole, -1 if each of its orders counts one; ``tifs``: bits of the times in
    force whose orders it counts (cancels count always).
    """

    def __init__(self, counts, batch_units=-1, tifs=31):
        self.counts = counts
        self.batch_units = batch_units
        self.tifs = tifs

    def units(self, kind, tif, leads):
        """What a request costs: ``kind`` one COUNT_* bit, ``leads`` whether it is single or first of its batch."""
        if not self.counts & kind:
            return 0
        if not (self.tifs >> tif) & 1 and not kind & (COUNT_CANCEL | COUNT_CANCELS):
            return 0
        if kind >= COUNT_SUBMITS and self.batch_units >= 0:
            return self.batch_units if leads else 0
        return 1

    def fits(self, now, units, kind):
        """Whether ``units`` more may pass at ``now``. Times never fall."""
        return True

    def charge(self, now, units, kind):
        """Count ``units`` that pass."""

    def earn(self, value_e8):
        """The account has traded this much."""


class FixedWindow(Limit):
    """``most`` units in each window of ``window_ns`` that begins at a whole multiple of it since the epoch."""

    def __init__(self, counts, most, window_ns, batch_units=-1, tifs=31):
        Limit.__init__(self, counts, batch_units, tifs)
        self.most = most
        self.window_ns = window_ns
        self.window = -1
        self.used = 0

    def fits(self, now, units, kind):
        return units <= self.most - (self.used if mul_div(now, 1, self.window_ns, FLOOR) == self.window else 0)

    def charge(self, now, units, kind):
        window: cython.longlong = mul_div(now, 1, self.window_ns, FLOOR)
        if window != self.window:
            self.window = window
            self.used = 0
        self.used += units


class RollingWindow(Limit):
    """``most`` units in any ``window_ns``; with ``step_ns``, time counts in whole steps (the blocks of a chain)."""

    def __init__(self, counts, most, window_ns, step_ns=1, batch_units=-1, tifs=31):
        Limit.__init__(self, counts, batch_units, tifs)
        self.most = most
        self.window_ns = window_ns
        self.step_ns = step_ns
        self.times = _column([NO_BEST] * most)  # of the last units that passed, a ring; ``at`` is the oldest
        self.at = 0

    def fits(self, now, units, kind):
        """The unit that would be pushed out must lie outside the window."""
        if units > self.most:
            return False
        oldest: cython.longlong = self.times[(self.at + units - 1) % self.most] if units > 0 else NO_BEST
        return oldest <= now - now % self.step_ns - self.window_ns

    def charge(self, now, units, kind):
        _k: cython.longlong
        for _k in range(units):
            self.times[self.at] = now - now % self.step_ns
            self.at = (self.at + 1) % self.most


class Bucket(Limit):
    """``burst`` units at most, one more every ``refill_ns``; kept as the time at which it would be full again."""

    def __init__(self, counts, burst, refill_ns, batch_units=-1, tifs=31):
        Limit.__init__(self, counts, batch_units, tifs)
        self.burst = burst
        self.refill_ns = refill_ns
        self.full_at = 0

    def fits(self, now, units, kind):
        return max(self.full_at, now) + units * self.refill_ns <= now + self.burst * self.refill_ns

    def charge(self, now, units, kind):
        self.full_at = max(self.full_at, now) + units * self.refill_ns


class VolumeBudget(Limit):
    """``first`` units of an account's life, one more for each ``unit_e8`` traded; cancels may use ``spare`` beyond.

    The cancel allowance is the lesser of the budget plus ``spare`` and twice the budget. When it is used up, one
    request passes every ``trickle_ns``.
    """

    def __init__(self, counts, first, unit_e8, spare, trickle_ns, traded_e8=0, batch_units=-1, tifs=31):
        Limit.__init__(self, counts, batch_units, tifs)
        self.first = first
        self.unit_e8 = unit_e8
        self.spare = spare
        self.trickle_ns = trickle_ns
        self.traded_e8 = traded_e8
        self.used = 0
        self.free_at = 0

    def budget(self):
        return self.first + mul_div(self.traded_e8, 1, self.unit_e8, FLOOR)

    def allowance(self, kind):
        budget: cython.longlong = self.budget()
        if kind & (COUNT_CANCEL | COUNT_CANCELS):
            return min(budget + self.spare, 2 * budget)
        return budget

    def fits(self, now, units, kind):
        return self.used + units <= self.allowance(kind) or now >= self.free_at

    def charge(self, now, units, kind):
        if self.used + units > self.allowance(kind):
            self.free_at = now + self.trickle_ns
        self.used += units

    def earn(self, value_e8):
        self.traded_e8 += value_e8
