"""Requests to change an account's settings: leverage, margin mode, isolated margin, multi-assets.

Each answers with a reason of ``codes.py``, R_NONE if the setting is changed. Which refusals apply differs by venue and
is said once per market (``configure_settings``): Binance refuses a margin mode that is set already (-4046), one with
open orders (-4047) or a position (-4048), a lower leverage of an isolated position (-4161), isolated margin in
multi-assets mode (-4168), leverage that its brackets do not have (-4028), that the position exceeds (-2027) or that
the wallet cannot carry (-2028). Bybit refuses what is set already (110026, 110043), moves isolated margin with the
leverage, and lets the mode, which is the account's, change with a position where the margin is there.
"""

from collections.abc import Sequence

import cython

from matching.bookings import Bookings

if not cython.compiled:
    from matching.accounts import BRACKETS_STRIDE, FAILED_MARGIN, TIER_BY_LOTS
    from matching.arith import CEIL, INVALID, mul_div
    from matching.codes import *

# rules that can apply, as bits of ``setting_rules``
RULES = {
    "same_mode_refused": 1,
    "mode_needs_no_orders": 2,
    "mode_needs_no_position": 4,
    "same_leverage_refused": 8,
    "isolated_cut_refused": 16,
    "leverage_moves_margin": 32,
    "no_isolated": 64,
    "no_cross": 128,
    "leverage_needs_no_orders": 256,
    "mode_of_account": 512,
}
MODE_COLUMNS = ("modes", "isolated", "isolated_sums", "isolated_markets")  # what a change of mode moves


class Settings(Bookings):
    """What accounts may change about themselves."""

    def configure_settings(self, m: int, *rules: str, removal_rate_e12: int = 0) -> None:
        """Say which refusals apply in market ``m``: words of ``RULES``. After ``configure_market``; default none.

        ``removal_rate_e12``: isolated margin taken out must leave this part of the notional, besides the initial
        margin (Hyperliquid: a tenth). Raises ValueError for an unknown word.
        """
        unknown = [rule for rule in rules if rule not in RULES]
        if unknown or not 0 <= m < self.n_markets or not 0 <= removal_rate_e12 <= 10**12:
            raise ValueError(f"Ledger.configure_settings({m}): unknown rules {unknown}, or no such market or rate")
        self.setting_rules[m] = sum(RULES[rule] for rule in set(rules))
        self.removal_rate[m] = removal_rate_e12

    def set_leverage(self, account: int, m: int, leverage: int) -> None:
        """Give an account its leverage in a market with brackets, before it trades.

        Raises ValueError above the first bracket's leverage, or if position and orders exceed what it allows.
        """
        where = f"Ledger.set_leverage({account}, {m}, {leverage})"
        if not 0 <= account < self.n_accounts or not 0 <= m < self.n_markets:
            raise ValueError(f"{where}: no such account or market")
        if self.bracket_count[m] == 0:
            raise ValueError(f"{where}: the market has no brackets, so no margin and no leverage")
        most = self._leverage_cap(m, leverage)
        if most < 0:
            highest = self.bracket_leverage[m * BRACKETS_STRIDE]
            raise ValueError(f"{where}: leverage must be 1 to {highest}, what the brackets allow")
        if self._held(account, m) > most:
            raise ValueError(f"{where}: position and open orders exceed {most} (1e-8), the most at this leverage")
        self._set_leverage(account, m, leverage, most)

    def _leverage_cap(self, m, leverage):
        """The largest notional (or lots) at a leverage, -1 if no bracket allows it."""
        base = m * BRACKETS_STRIDE
        caps = [
            self.bracket_cap[base + k]
            for k in range(self.bracket_count[m])
            if self.bracket_leverage[base + k] >= leverage >= 1
        ]
        return max(caps, default=-1)

    def _held(self, account, m):
        """Exposure as the brackets measure it; more than any cap if it does not fit."""
        exposure = self._exposure(account * self.n_markets + m)
        held = exposure if self.margin_flags[m] & TIER_BY_LOTS else self._value_at_mark(m, exposure, 1)
        return 9223372036854775807 if held == INVALID else held

    def _set_leverage(self, account, m, leverage, most):
        for market in self._both(m):
            i = account * self.n_markets + market
            self.leverages[i] = leverage
            self.max_notionals[i] = most

    def _both(self, m):
        """The market and its other leg."""
        return [m] if self.legs[m] < 0 else [m, int(self.legs[m])]

    def _has_orders(self, account, m):
        slots = [account * self.n_markets + market for market in self._both(m)]
        return any(self.open_bids[i] or self.open_asks[i] for i in slots)

    def _has_any_position(self, account, m):
        return any(self.positions[account * self.n_markets + market] for market in self._both(m))

    # -- requests

    def change_leverage(self, account: int, m: int, leverage: int) -> int:
        """Ask for a leverage: R_NONE, R_UNSUPPORTED (not in the brackets), R_SAME_SETTING, R_OPEN_ORDERS,
        R_OPEN_POSITION (a cut of an isolated position's), R_LEVERAGE (the position is too large), R_MARGIN.

        Both legs of a hedged market change. Where the venue's rules say so, an isolated position's margin follows.
        """
        if self._slot(account, m) < 0:
            return R_UNSUPPORTED
        rules, most, i = self.setting_rules[m], self._leverage_cap(m, leverage), account * self.n_markets + m
        old = self.leverages[i]
        if most < 0:
            return R_UNSUPPORTED
        if leverage == old:
            return R_SAME_SETTING if rules & RULES["same_leverage_refused"] else R_NONE
        if rules & RULES["leverage_needs_no_orders"] and self._has_orders(account, m):
            return R_OPEN_ORDERS
        isolated = self.modes[i] != MODE_CROSS and self._has_any_position(account, m)
        if isolated and leverage < old and rules & RULES["isolated_cut_refused"]:
            return R_OPEN_POSITION
        if any(self._held(account, market) > most for market in self._both(m)):
            return R_LEVERAGE
        moves = isolated and rules & RULES["leverage_moves_margin"]
        before = {market: self._margin_of_position(account, market) for market in self._both(m)}
        old_most = self.max_notionals[i]
        self._set_leverage(account, m, leverage, most)
        wanted = {market: self._margin_of_position(account, market) - before[market] for market in before}
        short = self._free(account, m, 0) < 0 and leverage < old
        if moves:
            short = sum(wanted.values()) > self._spare(account, self.market_asset[m])
            short = short or any(self._sinks_with(account, market, wanted[market]) for market in wanted)
        if short:
            self._set_leverage(account, m, old, old_most)
            return R_MARGIN
        if moves:
            for market, amount in wanted.items():
                self._keep_isolated(account, market, self.isolated[account * self.n_markets + market] + amount)
        return R_NONE

    def _margin_of_position(self, account, m):
        """Initial margin of a position at its entry value, 0 if there is none."""
        i = account * self.n_markets + m
        lots = abs(int(self.positions[i]))
        return max(self._margin_of_value(i, m, self.entries[i], lots), 0) if lots else 0

    def _sinks_with(self, account, m, amount):
        """Whether an isolated position would be liquidated at the mark with ``amount`` more margin."""
        unit = self.n_assets + m
        return self.positions[account * self.n_markets + m] != 0 and (
            self._unit_equity(account, unit) + amount < self._unit_maintenance(account, unit)
        )

    def set_mode(self, account: int, m: int, mode: int) -> int:
        """Ask for MODE_CROSS or MODE_ISOLATED: R_NONE, R_UNSUPPORTED, R_MULTI_ASSETS, R_SAME_SETTING, R_OPEN_ORDERS,
        R_OPEN_POSITION, R_MARGIN.

        A position that changes with its market takes its initial margin at entry value along, from the cross wallet
        or back to it, all there is. Where the mode is the account's it changes in all such markets or in none.
        """
        if self._slot(account, m) < 0 or mode not in (MODE_CROSS, MODE_ISOLATED) or self.bracket_count[m] == 0:
            return R_UNSUPPORTED
        if not self.setting_rules[m] & RULES["mode_of_account"]:
            return self._set_mode(account, m, mode)
        alike = [m] + [k for k in range(self.n_markets) if k != m and self._shares_mode(account, m, k)]
        before = {name: self.arrays[name].copy() for name in MODE_COLUMNS}
        for k in alike:
            reason = R_NONE if k != m and self.mode(account, k) == mode else self._set_mode(account, k, mode)
            if reason != R_NONE:
                for name, column in before.items():
                    self.arrays[name][:] = column
                return reason
        return R_NONE

    def _shares_mode(self, account, m, k):
        other_leg = self.legs[k] >= 0 and self.legs[k] < k
        return bool(self.setting_rules[k] & RULES["mode_of_account"]) and not other_leg and k != self.legs[m]

    def _set_mode(self, account, m, mode):
        rules, old = self.setting_rules[m], self.modes[account * self.n_markets + m]
        if mode == MODE_ISOLATED and self._pooled(account, self.market_asset[m]):
            return R_MULTI_ASSETS
        if rules & RULES["no_isolated" if mode == MODE_ISOLATED else "no_cross"]:
            return R_UNSUPPORTED
        if mode == old:
            return R_SAME_SETTING if rules & RULES["same_mode_refused"] else R_NONE
        if rules & RULES["mode_needs_no_orders"] and self._has_orders(account, m):
            return R_OPEN_ORDERS
        if rules & RULES["mode_needs_no_position"] and self._has_any_position(account, m):
            return R_OPEN_POSITION
        return self._isolate_position(account, m) if mode == MODE_ISOLATED else self._join_cross(account, m)

    def _switch(self, account, m, mode):
        for market in self._both(m):
            self.modes[account * self.n_markets + market] = mode
            self.isolated_markets[account] += 1 if mode == MODE_ISOLATED else -1

    def _isolate_position(self, account, m):
        wanted = {market: self._margin_of_position(account, market) for market in self._both(m)}
        self._switch(account, m, MODE_ISOLATED)  # so that the positions' profit is none of the cross account's
        short = sum(wanted.values()) > self._spare(account, self.market_asset[m])
        if short or any(self._sinks_with(account, market, wanted[market]) for market in wanted):
            self._switch(account, m, MODE_CROSS)
            return R_MARGIN
        for market, amount in wanted.items():
            self._keep_isolated(account, market, amount)
        return R_NONE

    def _join_cross(self, account, m):
        self._switch(account, m, MODE_CROSS)
        kept = {market: self.isolated[account * self.n_markets + market] for market in self._both(m)}
        for market in kept:
            self._keep_isolated(account, market, 0)
        if self._sinks_at(account, m):
            self._switch(account, m, MODE_ISOLATED)
            for market, amount in kept.items():
                self._keep_isolated(account, market, amount)
            return R_MARGIN
        return R_NONE

    def _sinks_at(self, account, m):
        unit = self._unit_of(account, m)
        return self._unit_equity(account, unit) < self._unit_maintenance(account, unit)

    def add_margin(self, account: int, m: int, amount_e8: int) -> int:
        """Ask to move money into an isolated position, or out of it (negative): R_NONE, R_UNSUPPORTED (not isolated),
        R_NO_POSITION, R_MARGIN.

        What is taken out must leave the initial margin at the mark after all losses, and the market's removal rate.
        """
        if self._slot(account, m) < 0:
            return R_UNSUPPORTED
        i = account * self.n_markets + m
        if self.modes[i] == MODE_CROSS or amount_e8 == 0:
            return R_UNSUPPORTED
        if self.positions[i] == 0:
            return R_NO_POSITION
        if amount_e8 > 0:
            free = self._free(account, m, 0)
            allowed = free >= amount_e8 and self._spare(account, self.market_asset[m]) >= amount_e8
        else:
            lots = abs(int(self.positions[i]))
            notional = self._value_at_mark(m, lots, 1)
            floor = self._initial_for(i, m, notional, lots)
            floor = max(floor, mul_div(notional, self.removal_rate[m], 1000000000000, CEIL))
            allowed = self.isolated[i] + min(self._carried(i, m), 0) + amount_e8 >= floor
        if not allowed or not self._keep_isolated(account, m, self.isolated[i] + amount_e8):
            return R_MARGIN
        return R_NONE

    def request(self, account: int, m: int, kind: int, value: int) -> int:
        """Answer a request as it arrives at the venue: SETTING_*, value as codes.py says."""
        if kind == SETTING_LEVERAGE:
            return self.change_leverage(account, m, value)
        if kind == SETTING_MODE:
            return self.set_mode(account, m, value)
        if kind == SETTING_MARGIN:
            return self.add_margin(account, m, value)
        if kind == SETTING_SHORT_MARGIN and 0 <= m < self.n_markets and self.legs[m] >= 0:
            return self.add_margin(account, int(self.legs[m]), value)
        return R_UNSUPPORTED

    # -- multi-assets mode

    def pool_assets(self, account: int, bid_e8: Sequence[int], ask_e8: Sequence[int]) -> int:
        """Let all assets with a bid rate above 0 carry the account's cross positions together: R_NONE or R_MULTI_ASSETS
        (isolated markets exclude it). Rates: units of the pool's money for one of the asset, at 1e-8; balances count
        at the bid, debts and margins at the ask. All rates 0 end the pool: R_OPEN_POSITION with positions.

        Raises ValueError for rates that are none: a bid above its ask, a negative one, not one per asset.
        """
        if len(bid_e8) != self.n_assets or len(ask_e8) != self.n_assets or not 0 <= account < self.n_accounts:
            raise ValueError(f"Ledger.pool_assets({account}): no such account, or not one rate for each asset")
        if self.isolated_markets[account]:
            return R_MULTI_ASSETS
        if not any(bid_e8) and any(self._has_position(account, asset) for asset in range(self.n_assets)):
            return R_OPEN_POSITION
        self.pool_units[account] = next((asset for asset in range(self.n_assets) if bid_e8[asset] > 0), -1)
        for asset in range(self.n_assets):
            self.set_rate(account, asset, bid_e8[asset], ask_e8[asset])
        return R_NONE

    def set_rate(self, account: int, asset: int, bid_e8: int, ask_e8: int) -> None:
        """The rates of a pooled asset from now on. Raises ValueError as ``pool_assets`` does."""
        if not 0 <= account < self.n_accounts or not 0 <= asset < self.n_assets or not 0 <= bid_e8 <= ask_e8 < 1 << 62:
            raise ValueError(
                f"Ledger.set_rate({account}, {asset}, {bid_e8}, {ask_e8}): not rates of an account's asset"
            )
        self.pool_bids[account * self.n_assets + asset] = bid_e8
        self.pool_asks[account * self.n_assets + asset] = ask_e8

    # -- what is set

    def mode(self, account: int, m: int) -> int:
        """MODE_CROSS or MODE_ISOLATED."""
        i = self._slot(account, m)
        return self.modes[i] if i >= 0 else MODE_CROSS

    def leverage(self, account: int, m: int) -> int:
        """The account's leverage in a market; 1 where there is none."""
        i = self._slot(account, m)
        return self.leverages[i] if i >= 0 else 1

    def isolated_e8(self, account: int, m: int) -> int:
        """Isolated margin of a position, its unrealised profit not in it."""
        i = self._slot(account, m)
        return self.isolated[i] if i >= 0 else 0

    def available_e8(self, account: int, m: int) -> int:
        """What orders in a market may still use as initial margin; below 0 if more is held than there is."""
        return self._or_fail(self._free(account, m, 0), FAILED_MARGIN, account, m) if self._slot(account, m) >= 0 else 0
