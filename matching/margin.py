"""Equity, margin and the prices that follow from them, read from the ledger's columns and changing nothing.

Units of margin. An account's money is margin in one of three kinds of *unit*: the cross account of an asset (number
0..n_assets-1), an isolated position (n_assets + market), or the pool of a multi-assets account (the number of its
first pooled asset). A unit is liquidated by itself, and what it lacks is nobody else's.

Forms. Maintenance of a position of notional N at mark is N * rate - cum of its bracket, found by notional or by lots;
where the form says so the rate grows by slope for each coin of size, or by the taker rate, and the fee for closing at
the bankruptcy price is added. That fee is B * t with the value B at which closing, fee included, leaves nothing: of an
isolated position (V - M) / (1 - t) for a linear long or inverse short and (V + M) / (1 + t) otherwise, with entry
value V, isolated margin M and taker rate t; of a cross one V (1 -+ 1 / leverage), as the venue states it (Bybit,
"UTA Trading Rules" and "Maintenance Margin").

Amounts that do not fit int64 come back as ``INVALID``.
"""

import cython

from matching.accounts import Accounts

if not cython.compiled:
    from matching.accounts import (
        BRACKETS_STRIDE,
        DISPLAY_WITHOUT_FEE,
        FAILED_FILL,
        FEE_AT_BANKRUPTCY,
        FEE_AT_MARK,
        INITIAL_FROM_TIER,
        SLOPED,
        TIER_BY_LOTS,
    )
    from matching.arith import CEIL, FLOOR, HALF_EVEN, INVALID, TRUNC, add_exact, mul3_div, mul_div, sub_exact
    from matching.codes import *


class Margin(Accounts):
    """What the accounts are worth and what they must hold."""

    # -- positions at the mark

    def _exposure(self, i):
        """The larger of what position and open orders could become, max(|position + bids|, |position - asks|)."""
        up: cython.longlong = self.positions[i] + self.open_bids[i]
        down: cython.longlong = self.positions[i] - self.open_asks[i]
        if up < 0:
            up = -up
        if down < 0:
            down = -down
        return up if up > down else down

    def _gain(self, i, m, worth):
        """Profit of a position, in entry units, if its lots are worth ``worth`` (entry units)."""
        gain: cython.longlong = sub_exact(worth, self.entries[i])
        if gain != INVALID and (self.positions[i] < 0) != (self.market_inverse[m] != 0):
            gain = -gain
        return gain

    def _unrealized(self, i, m):
        size: cython.longlong = self.positions[i] if self.positions[i] >= 0 else -self.positions[i]
        if size == 0 or self.marks[m] == 0:
            return 0
        worth: cython.longlong = self._value_at_mark(m, size, self.entry_den[m])
        return mul_div(self._gain(i, m, worth), 1, self.entry_den[m], HALF_EVEN)

    def _carried(self, i, m):
        """Unrealised profit and accrued funding of a position."""
        if self.accrued[i] == 0:
            return self._unrealized(i, m)
        return add_exact(self._unrealized(i, m), mul_div(self.accrued[i], 1, 10000, FLOOR))

    # -- equity

    def _cross_wallet(self, p):
        return sub_exact(self.wallets[p], self.isolated_sums[p])

    def _equity(self, account, asset):
        """Of the cross account of an asset."""
        m: cython.longlong
        i: cython.longlong
        total: cython.longlong = self._cross_wallet(account * self.n_assets + asset)
        for m in range(self.n_markets):
            i = account * self.n_markets + m
            if self.market_asset[m] == asset and self.modes[i] == MODE_CROSS:
                total = add_exact(total, self._carried(i, m))
        return total

    def _unit_of(self, account, m):
        if self.modes[account * self.n_markets + m] != MODE_CROSS:
            return self.n_assets + m
        if self.pool_units[account] >= 0 and self._pooled(account, self.market_asset[m]):
            return self.pool_units[account]
        return self.market_asset[m]

    def _pooled(self, account, asset):
        return self.pool_units[account] >= 0 and self.pool_bids[account * self.n_assets + asset] > 0

    def _unit_equity(self, account, unit):
        asset: cython.longlong
        i: cython.longlong
        total: cython.longlong = 0
        if unit >= self.n_assets:
            i = account * self.n_markets + unit - self.n_assets
            return add_exact(self.isolated[i], self._carried(i, unit - self.n_assets))
        if self.pool_units[account] != unit:
            return self._equity(account, unit)
        for asset in range(self.n_assets):
            if self._pooled(account, asset):
                total = add_exact(total, self._converted(account, asset, self._equity(account, asset)))
        return total

    def _converted(self, account, asset, amount):
        """An amount of a pooled asset in the pool's money: at the bid rate, a debt at the ask rate, rounded down."""
        p: cython.longlong = account * self.n_assets + asset
        return mul_div(amount, self.pool_bids[p] if amount > 0 else self.pool_asks[p], 100000000, FLOOR)

    def _required(self, account, asset, amount):
        """A margin requirement in a pooled asset in the pool's money: at the ask rate, rounded up."""
        return mul_div(amount, self.pool_asks[account * self.n_assets + asset], 100000000, CEIL)

    # -- margin

    def _tier(self, m, key):
        """Index of the bracket with floor < key <= cap; beyond the last bracket that one goes on."""
        j: cython.longlong = m * BRACKETS_STRIDE
        k: cython.longlong = self.bracket_count[m] - 1
        while k > 0 and self.bracket_floor[j + k] >= key:
            k = k - 1
        return j + k

    def _maintenance_at(self, m, notional_e8):
        """notional * rate - cum of its bracket, rounded up."""
        if notional_e8 == INVALID:
            return INVALID
        j: cython.longlong = self._tier(m, notional_e8)
        return sub_exact(mul_div(notional_e8, self.bracket_rate[j], 1000000000000, CEIL), self.bracket_cum[j])

    def _rated(self, m, notional, lots, rate, slope):
        """notional * (rate + slope * coins), rounded up; coins: the size of a linear position, an inverse one's value.

        The rate is kept at 1e-16 on the way, rounded up.
        """
        coins: cython.longlong
        if slope == 0:
            return mul_div(notional, rate, 1000000000000, CEIL)
        coins = notional
        if self.market_inverse[m] == 0:
            coins = mul3_div(lots, self.lot_num[m], 100000000, self.lot_den[m], 1, CEIL)
        rate = add_exact(mul_div(rate, 10000, 1, TRUNC), mul_div(slope, coins, 10000, CEIL))
        return mul_div(notional, rate, 10000000000000000, CEIL)

    def _maintenance_by_form(self, i, m, size, notional):
        total: cython.longlong
        rate: cython.longlong
        flags: cython.longlong = self.margin_flags[m]
        if notional == INVALID:
            return INVALID
        j: cython.longlong = self._tier(m, size if flags & TIER_BY_LOTS else notional)
        rate = self.bracket_rate[j]
        if flags & FEE_AT_MARK:
            rate = rate + self.taker_rate[m]
        total = sub_exact(self._rated(m, notional, size, rate, self.bracket_slope[j]), self.bracket_cum[j])
        if flags & FEE_AT_BANKRUPTCY:
            total = add_exact(total, self._close_fee(i, m))
        return total

    def _maintenance_of(self, i, m):
        size: cython.longlong = self.positions[i] if self.positions[i] >= 0 else -self.positions[i]
        if size == 0 or self.bracket_count[m] == 0:
            return 0
        if self.margin_flags[m] == 0:
            return self._maintenance_at(m, self._value_at_mark(m, size, 1))
        return self._maintenance_by_form(i, m, size, self._value_at_mark(m, size, 1))

    def _maintenance(self, account, asset):
        """Of the cross account of an asset."""
        m: cython.longlong
        i: cython.longlong
        total: cython.longlong = 0
        for m in range(self.n_markets):
            i = account * self.n_markets + m
            if self.market_asset[m] == asset and self.modes[i] == MODE_CROSS:
                total = add_exact(total, self._maintenance_of(i, m))
        return total

    def _unit_maintenance(self, account, unit):
        asset: cython.longlong
        total: cython.longlong = 0
        if unit >= self.n_assets:
            return self._maintenance_of(account * self.n_markets + unit - self.n_assets, unit - self.n_assets)
        if self.pool_units[account] != unit:
            return self._maintenance(account, unit)
        for asset in range(self.n_assets):
            if self._pooled(account, asset):
                total = add_exact(total, self._required(account, asset, self._maintenance(account, asset)))
        return total

    def _leans(self, i, m):
        """1 where falling value loses (linear long, inverse short), else -1: the sign of value in the profit."""
        return 1 if (self.positions[i] > 0) == (self.market_inverse[m] == 0) else -1

    def _bankruptcy_value(self, i, m):
        """Value of an isolated position at which closing it, with the taker fee, leaves nothing; entry units."""
        one: cython.longlong = 1000000000000
        money: cython.longlong = add_exact(self.isolated[i], mul_div(self.accrued[i], 1, 10000, FLOOR))
        leans: cython.longlong = self._leans(i, m)
        money = sub_exact(self.entries[i], mul_div(money, self.entry_den[m] * leans, 1, TRUNC))
        if money < 0:  # INVALID is below 0 too
            return money if money == INVALID else 0
        return mul_div(money, one, one - leans * self.taker_rate[m], FLOOR if leans < 0 else CEIL)

    def _close_fee(self, i, m):
        """Taker fee for closing the position at its bankruptcy value, rounded up."""
        leverage: cython.longlong
        one: cython.longlong = 1000000000000
        rate: cython.longlong = self.taker_rate[m]
        if self.modes[i] != MODE_CROSS:
            return mul3_div(self._bankruptcy_value(i, m), rate, 1, self.entry_den[m], 1000000000000, CEIL)
        leverage = self.leverages[i]
        return mul3_div(self.entries[i], rate, leverage - self._leans(i, m), self.entry_den[m], one * leverage, CEIL)

    def _initial_for(self, i, m, notional, lots):
        """Initial margin of ``lots`` worth ``notional``, by the account's leverage or by the table; rounded up."""
        j: cython.longlong
        flags: cython.longlong = self.margin_flags[m]
        if flags & INITIAL_FROM_TIER == 0:
            return mul_div(notional, 1, self.leverages[i], CEIL)
        if notional == INVALID:
            return INVALID
        j = self._tier(m, lots if flags & TIER_BY_LOTS else notional)
        return self._rated(m, notional, lots, self.bracket_initial[j], self.bracket_initial_slope[j])

    def _initial_at(self, i, m, lots):
        """Initial margin of an exposure of ``lots``; of an isolated market, of what orders may add to its position."""
        held: cython.longlong
        total: cython.longlong
        fee: cython.longlong
        if self.bracket_count[m] == 0:
            return 0
        if self.margin_flags[m] == 0 and self.modes[i] == MODE_CROSS:
            return mul_div(self._value_at_mark(m, lots, 1), 1, self.leverages[i], CEIL)
        held = self.positions[i] if self.positions[i] >= 0 else -self.positions[i]
        if self.modes[i] != MODE_CROSS:
            lots = lots - held
            held = 0
            if lots <= 0:
                return 0
        total = self._initial_for(i, m, self._value_at_mark(m, lots, 1), lots)
        if self.margin_flags[m] & FEE_AT_BANKRUPTCY and lots >= held:  # what orders may add: the dearer side
            if held:
                total = add_exact(total, self._close_fee(i, m))
            fee = mul_div(self._value_at_mark(m, lots - held, 1), self.leverages[i] + 1, self.leverages[i], CEIL)
            total = add_exact(total, mul_div(fee, self.taker_rate[m], 1000000000000, CEIL))
        return total

    def _initial(self, account, asset):
        """Of the cross account of an asset: its positions and orders, and the orders of isolated markets."""
        m: cython.longlong
        i: cython.longlong
        total: cython.longlong = 0
        for m in range(self.n_markets):
            if self.market_asset[m] == asset:
                i = account * self.n_markets + m
                total = add_exact(total, self._initial_at(i, m, self._exposure(i)))
        return total

    def _free(self, account, m, margin):
        """What is left of the equity that stands behind orders in market ``m`` once ``margin`` is also held.

        ``margin``: initial margin in the market's asset beyond what is held now. In a pool it is converted. Orders of
        an isolated market need money, not profit: there the cross wallet stands, if it is less.
        """
        other: cython.longlong
        equity: cython.longlong
        held: cython.longlong = 0
        asset: cython.longlong = self.market_asset[m]
        if self._pooled(account, asset):
            for other in range(self.n_assets):
                if self._pooled(account, other):
                    equity = self._initial(account, other)
                    if other == asset:
                        equity = add_exact(equity, margin)
                    held = add_exact(held, self._required(account, other, equity))
            return sub_exact(self._unit_equity(account, self.pool_units[account]), held)
        held = add_exact(self._initial(account, asset), margin)
        equity = self._equity(account, asset)
        if self.modes[account * self.n_markets + m] != MODE_CROSS:
            other = self._cross_wallet(account * self.n_assets + asset)
            if other < equity:
                equity = other
        return sub_exact(equity, held)

    # -- prices

    def _others(self, account, m):
        """The equity of the position's unit in the position's own asset, its unrealised profit not in it.

        In a pool: what the asset may owe before the pool is empty.
        """
        rest: cython.longlong
        i: cython.longlong = account * self.n_markets + m
        asset: cython.longlong = self.market_asset[m]
        p: cython.longlong = account * self.n_assets + asset
        unit: cython.longlong = self._unit_of(account, m)
        if unit >= self.n_assets or not self._pooled(account, asset):
            return sub_exact(self._unit_equity(account, unit), self._unrealized(i, m))
        own: cython.longlong = self._equity(account, asset)
        rest = sub_exact(self._unit_equity(account, unit), self._converted(account, asset, own))
        rest = mul_div(rest, 100000000, self.pool_asks[p] if rest > 0 else self.pool_bids[p], FLOOR)
        return add_exact(rest, sub_exact(own, self._unrealized(i, m)))

    def _liquidation_price_in(self, i, m, others, j):
        """The price at which equity meets maintenance in bracket j, other positions as they are; INVALID if none.

        ``others``: all other equity less all other maintenance.
        """
        per: cython.longlong
        one: cython.longlong = 1000000000000
        rate: cython.longlong = self.bracket_rate[j]
        direction: cython.longlong = 1 if self.positions[i] > 0 else -1
        rounding: cython.int = CEIL if direction > 0 else FLOOR
        size: cython.longlong = self.positions[i] * direction
        money: cython.longlong = mul_div(self.entries[i], 1, self.entry_den[m], HALF_EVEN) * direction
        if self.margin_flags[m] & FEE_AT_MARK:
            rate = rate + self.taker_rate[m]
        others = add_exact(others, self.bracket_cum[j])
        if self.market_inverse[m]:
            rate = rate + direction * one
            per = mul_div(self.lot_den[m], 10000, 1, TRUNC)  # 1e8 of the value / 1e12 of the rate = 1 / 1e4
            return mul3_div(size, self.lot_num[m], rate, per, add_exact(others, money), rounding)
        rate = rate - direction * one
        size = mul_div(size, self.lot_num[m], 1, TRUNC)
        return mul3_div(sub_exact(others, money), self.lot_den[m], 1000000000000, size, rate, rounding)

    def _price_by_table(self, account, m, unit):
        """The liquidation price from the formula, bracket by bracket; 0 if none."""
        j: cython.longlong
        price: cython.longlong
        i: cython.longlong = account * self.n_markets + m
        flags: cython.longlong = self.margin_flags[m]
        size: cython.longlong = self.positions[i] if self.positions[i] > 0 else -self.positions[i]
        others: cython.longlong = sub_exact(self._unit_equity(account, unit), self._unrealized(i, m))
        first: cython.longlong = m * BRACKETS_STRIDE
        end: cython.longlong = first + self.bracket_count[m]
        if unit < self.n_assets:
            others = sub_exact(others, sub_exact(self._maintenance(account, unit), self._maintenance_of(i, m)))
        if flags & FEE_AT_BANKRUPTCY and (self.modes[i] != MODE_CROSS or flags & DISPLAY_WITHOUT_FEE == 0):
            others = sub_exact(others, self._close_fee(i, m))
        if flags & TIER_BY_LOTS:
            first = self._tier(m, size)
            end = first + 1
        found: cython.longlong = 0
        for j in range(first, end):
            price = self._liquidation_price_in(i, m, others, j)
            if price <= 0:  # inverse long, linear short: liquidated at every price; else at none in this bracket
                if (self.positions[i] > 0) == (self.market_inverse[m] != 0):
                    return 0
                continue
            if found == 0 or (price > found) == (self.positions[i] > 0):
                found = price
        return found

    def _left_at(self, account, m, unit, price):
        """Equity less maintenance of a unit if the mark of ``m`` (and of its other leg) were ``price``."""
        leg: cython.longlong = self.legs[m]
        mark: cython.longlong = self.marks[m]
        leg_mark: cython.longlong = self.marks[leg] if leg >= 0 else 0
        self.marks[m] = price
        if leg >= 0:
            self.marks[leg] = price
        left: cython.longlong = sub_exact(self._unit_equity(account, unit), self._unit_maintenance(account, unit))
        self.marks[m] = mark
        if leg >= 0:
            self.marks[leg] = leg_mark
        return left

    def _price_by_search(self, account, m, unit):
        """The liquidation price where no formula is at hand, by halving: the last mark at which the unit still carries.

        Searched on the side on which the mark's moves hurt, to a millionth and to a million of the mark; 0 if none.
        """
        middle: cython.longlong
        most: cython.longlong = 4611686018427387904
        mark: cython.longlong = self.marks[m]
        step: cython.longlong = mark // 1024 if mark > 1024 else 1
        if mark == 0:
            return 0
        here: cython.longlong = self._left_at(account, m, unit, mark)
        beyond: cython.longlong = self._left_at(account, m, unit, mark + step)
        if here == INVALID or beyond == INVALID:
            return 0
        rises: cython.bint = beyond > here
        good: cython.longlong = mark
        bad: cython.longlong = mark
        tries: cython.longlong = 0
        # two prices with the sign between them: ``good`` carries, ``bad`` does not
        while tries < 20 and (self._left_at(account, m, unit, bad) >= 0) == (here >= 0):
            good = bad
            bad = bad * 2 if rises == (here < 0) else bad // 2
            tries = tries + 1
            if bad == 0 or bad > most:
                return 0
        beyond = self._left_at(account, m, unit, bad)
        if beyond == INVALID or (beyond >= 0) == (here >= 0):
            return 0
        if here < 0:
            middle = good
            good = bad
            bad = middle
        while good - bad > 1 or bad - good > 1:
            middle = bad + (good - bad) // 2 if good > bad else good + (bad - good) // 2
            if self._left_at(account, m, unit, middle) >= 0:
                good = middle
            else:
                bad = middle
        return good

    def _liquidation_price(self, account, m):
        unit: cython.longlong = self._unit_of(account, m)
        leg: cython.longlong = self.legs[m]
        paired: cython.bint = leg >= 0 and unit < self.n_assets and self.positions[account * self.n_markets + leg] != 0
        if paired or self.margin_flags[m] & SLOPED or (unit < self.n_assets and self.pool_units[account] == unit):
            return self._price_by_search(account, m, unit)
        return self._price_by_table(account, m, unit)

    def _sum(self, column, account, asset):
        m: cython.longlong
        total: cython.longlong = 0
        if self._pocket(account, asset) < 0:
            return 0
        for m in range(self.n_markets):
            if self.market_asset[m] == asset:
                total = add_exact(total, column[account * self.n_markets + m])
        return self._or_fail(total, FAILED_FILL, account, -1)
