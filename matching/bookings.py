"""Bookings: what an execution, a payment or a transfer of margin does to positions and wallets.

Isolated margin is part of the wallet: ``wallets`` stays the whole, ``isolated`` is what of it stands behind one
position, ``isolated_sums`` their sum, and the cross wallet is the difference. A fill that opens moves the initial
margin of its value into the position, as much as the cross account can spare; one that closes releases the same share
of it together with the realised profit. A loss beyond what is released is taken from what stays in the position, then
covered by the insurance fund, never taken from the cross wallet. Fees are paid from the cross wallet, and from the
position where that is empty. Funding of the position changes its isolated margin, which may go below zero while its
profit carries it.
"""

import cython

from matching.margin import Margin

if not cython.compiled:
    from matching.accounts import (
        FAILED_FILL,
        FAILED_FUNDING,
        FAILED_LIQUIDATION,
        FAILED_RESERVATION,
        FEE_AT_BANKRUPTCY,
        FUNDING_FROM_CROSS,
        LOTS_LIMIT,
    )
    from matching.arith import CEIL, HALF_EVEN, INVALID, TRUNC, add_exact, mul3_div, mul_div, sub_exact
    from matching.codes import *


class Bookings(Margin):
    """How positions and wallets change."""

    def _apply(self, account, m, side, ticks, lots, fee_e8):
        """Change position, entry value and wallet by an execution, or nothing at all and return False."""
        share: cython.longlong
        gain: cython.longlong
        i: cython.longlong = account * self.n_markets + m
        asset: cython.longlong = self.market_asset[m]
        p: cython.longlong = account * self.n_assets + asset
        position: cython.longlong = self.positions[i]
        entry: cython.longlong = self.entries[i]
        size: cython.longlong = position if position >= 0 else -position
        closing: cython.longlong = 0
        if position != 0 and (position > 0) != (side == BUY):
            closing = lots if lots < size else size
        realized: cython.longlong = 0
        if closing > 0:
            share = entry if closing == size else mul_div(entry, closing, size, HALF_EVEN)
            gain = sub_exact(self._value(m, ticks, closing), share)
            if gain != INVALID and (position < 0) != (self.market_inverse[m] != 0):
                gain = -gain
            realized = mul_div(gain, 1, self.entry_den[m], HALF_EVEN)
            entry = entry - share
        if lots > closing:
            entry = add_exact(entry, self._value(m, ticks, lots - closing))
        position = add_exact(position, lots) if side == BUY else sub_exact(position, lots)
        gains: cython.longlong = add_exact(self.realized[i], realized)
        fees: cython.longlong = add_exact(self.fees[i], fee_e8)
        fits: cython.bint = entry != INVALID and gains != INVALID and fees != INVALID
        fits = fits and -LOTS_LIMIT < position < LOTS_LIMIT and lots > 0 and ticks > 0
        if not fits or not self._pay(p, asset, realized, -fee_e8, 0):
            self._fail(FAILED_FILL, account, m)
            return False
        self.positions[i] = position
        self.entries[i] = entry
        self.realized[i] = gains
        self.fees[i] = fees
        self.last_realized_e8 = realized
        self.last_fee_e8 = fee_e8
        self.last_ticks = ticks
        self.last_lots = lots
        self.last_released_e8 = 0
        if self.modes[i] != MODE_CROSS:
            self._isolate(account, m, closing, size, realized)
        return True

    # -- isolated margin

    def _isolate(self, account, m, closing, size, realized):
        """Move isolated margin after a fill (``last_ticks``, ``last_lots``) that closed a part of ``size`` lots."""
        share: cython.longlong
        released: cython.longlong = 0
        taken: cython.longlong
        i: cython.longlong = account * self.n_markets + m
        kept: cython.longlong = self.isolated[i]
        if closing > 0:
            share = kept if closing == size else mul_div(kept, closing, size, TRUNC)
            kept = kept - share
            released = add_exact(share, realized)
            if released < 0 and released != INVALID:
                taken = kept if kept < -released else -released
                if taken > 0:
                    kept = kept - taken
                    released = released + taken
        if released == INVALID or not self._keep_isolated(account, m, kept):
            self._fail(FAILED_FILL, account, m)
            return
        if released < 0:
            self._cover(account, m, -released)
            released = 0
        self.last_released_e8 = released
        if self.last_lots > closing:
            kept = add_exact(kept, self._margin_of_fill(account, i, m, self.last_ticks, self.last_lots - closing))
            if not self._keep_isolated(account, m, kept):
                self._fail(FAILED_FILL, account, m)

    def _keep_isolated(self, account, m, kept):
        """The isolated margin of a position from now on; False, and as it was, if it does not fit."""
        i: cython.longlong = account * self.n_markets + m
        p: cython.longlong = account * self.n_assets + self.market_asset[m]
        total: cython.longlong = add_exact(self.isolated_sums[p], sub_exact(kept, self.isolated[i]))
        if total == INVALID:
            return False
        self.isolated[i] = kept
        self.isolated_sums[p] = total
        return True

    def _margin_of_fill(self, account, i, m, ticks, lots):
        """What an opening fill moves into the position: initial margin of its value, if the cross account has it."""
        asset: cython.longlong = self.market_asset[m]
        value: cython.longlong = self._value(m, ticks, lots)
        margin: cython.longlong = self._margin_of_value(i, m, value, lots)
        spare: cython.longlong = self._spare(account, asset)
        return spare if margin > spare else margin

    def _margin_of_value(self, i, m, value, lots):
        """Initial margin of lots bought or sold for ``value`` (entry units), the fee for closing them with it."""
        leverage: cython.longlong = self.leverages[i]
        margin: cython.longlong = self._initial_for(i, m, mul_div(value, 1, self.entry_den[m], CEIL), lots)
        if self.margin_flags[m] & FEE_AT_BANKRUPTCY:
            value = mul_div(value, leverage - self._leans(i, m), leverage, CEIL)
            margin = add_exact(margin, mul3_div(value, self.taker_rate[m], 1, self.entry_den[m], 1000000000000, CEIL))
        return margin

    def _spare(self, account, asset):
        """Money that may leave the cross account: no profit not realised, nothing of the maintenance margin."""
        cash: cython.longlong = self._cross_wallet(account * self.n_assets + asset)
        free: cython.longlong = sub_exact(self._equity(account, asset), self._maintenance(account, asset))
        if free < cash:
            cash = free
        return cash if cash > 0 else 0

    # -- money

    def _pay(self, p, asset, realized, fee, payment):
        """Move money between a wallet and the pools (positive: into the wallet), or nothing and return False.

        The pools mirror all wallets' sums, so they are where a sum over time could stop fitting.
        """
        wallet: cython.longlong = add_exact(add_exact(add_exact(self.wallets[p], realized), fee), payment)
        market: cython.longlong = sub_exact(self.pool_market[asset], realized)
        fees: cython.longlong = sub_exact(self.pool_fees[asset], fee)
        pool: cython.longlong = sub_exact(self.pool_funding[asset], payment)
        if wallet == INVALID or market == INVALID or fees == INVALID or pool == INVALID:
            return False
        self.wallets[p] = wallet
        self.pool_market[asset] = market
        self.pool_fees[asset] = fees
        self.pool_funding[asset] = pool
        return True

    def _settle(self, account, m):
        """A flat cross account below zero is brought to 0, in markets with margin: by the margin of the isolated
        position that a booking in ``m`` belongs to, then by the insurance fund.
        """
        kept: cython.longlong
        asset: cython.longlong = self.market_asset[m]
        p: cython.longlong = account * self.n_assets + asset
        deficit: cython.longlong = sub_exact(self.isolated_sums[p], self.wallets[p])
        if self.bracket_count[m] == 0 or deficit <= 0 or self._has_position(account, asset):
            return
        if self._pooled(account, asset):
            self._settle_pool(account, m)
            return
        kept = self.isolated[account * self.n_markets + m]
        if kept > 0:
            kept = kept if kept < deficit else deficit
            self._keep_isolated(account, m, self.isolated[account * self.n_markets + m] - kept)
            deficit = deficit - kept
        if deficit > 0:
            self._cover(account, m, deficit)

    def _settle_pool(self, account, m):
        """A flat pool may owe in one asset while others carry it; worth less than nothing it goes to the fund."""
        asset: cython.longlong
        wallet: cython.longlong
        fund: cython.longlong
        for asset in range(self.n_assets):
            if self._pooled(account, asset) and self._has_position(account, asset):
                return
        if self._unit_equity(account, self.pool_units[account]) >= 0:
            return
        for asset in range(self.n_assets):
            if not self._pooled(account, asset):
                continue
            wallet = self._cross_wallet(account * self.n_assets + asset)
            if wallet < 0:
                self._cover_in(account, m, asset, -wallet)
            elif wallet > 0:
                fund = add_exact(self.pool_insurance[asset], wallet)
                if fund == INVALID:
                    self._fail(FAILED_LIQUIDATION, account, m)
                    return
                self.pool_insurance[asset] = fund
                self.wallets[account * self.n_assets + asset] -= wallet
                self.covered[account * self.n_assets + asset] -= wallet

    def _cover(self, account, m, deficit):
        self._cover_in(account, m, self.market_asset[m], deficit)

    def _cover_in(self, account, m, asset, deficit):
        """The insurance fund pays ``deficit`` into a wallet.

        What a limited fund lacks is borne by the deleveraged other side, which is ``market_pnl``.
        """
        p: cython.longlong = account * self.n_assets + asset
        paid: cython.longlong = deficit
        if self.fund_limited[asset] and paid > self.pool_insurance[asset]:
            paid = self.pool_insurance[asset] if self.pool_insurance[asset] > 0 else 0
        fund: cython.longlong = sub_exact(self.pool_insurance[asset], paid)
        market: cython.longlong = sub_exact(self.pool_market[asset], deficit - paid)
        if fund == INVALID or market == INVALID:
            self._fail(FAILED_LIQUIDATION, account, m)
            return
        self.wallets[p] = self.wallets[p] + deficit
        self.covered[p] = self.covered[p] + deficit
        self.pool_insurance[asset] = fund
        self.pool_market[asset] = market

    def _penalise(self, account, m, fee):
        """Take a liquidation fee into the insurance fund, from what the last fill released and what its unit has left.

        At most that, so that a fee never makes a unit bankrupt. Returns the fee.
        """
        i: cython.longlong = account * self.n_markets + m
        asset: cython.longlong = self.market_asset[m]
        p: cython.longlong = account * self.n_assets + asset
        isolated: cython.bint = self.modes[i] != MODE_CROSS
        equity: cython.longlong
        if isolated:
            equity = add_exact(self._unit_equity(account, self.n_assets + m), self.last_released_e8)
        else:
            equity = self._others(account, m)
            equity = add_exact(equity, self._unrealized(i, m))
        if fee == INVALID or equity == INVALID:
            self._fail(FAILED_LIQUIDATION, account, m)
            return 0
        if fee > equity:
            fee = equity if equity > 0 else 0
        fund: cython.longlong = add_exact(self.pool_insurance[asset], fee)
        wallet: cython.longlong = sub_exact(self.wallets[p], fee)
        if fund == INVALID or wallet == INVALID:
            self._fail(FAILED_LIQUIDATION, account, m)
            return 0
        self.wallets[p] = wallet
        self.pool_insurance[asset] = fund
        self.liquidation_fees[i] = self.liquidation_fees[i] + fee
        if isolated:
            if fee > self.last_released_e8:
                self._keep_isolated(account, m, self.isolated[i] - (fee - self.last_released_e8))
                self.last_released_e8 = 0
            else:
                self.last_released_e8 = self.last_released_e8 - fee
        return fee

    # -- funding

    def _payment(self, m, lots, mark_e8, rate_e12):
        """-value at a mark * rate, rounded once to the market's funding unit."""
        per: cython.longlong
        payment: cython.longlong
        one: cython.longlong = 1000000000000
        unit: cython.longlong = self.funding_unit[m]
        paid: cython.longlong = sub_exact(0, lots)
        if mark_e8 <= 0:
            return INVALID
        if self.market_inverse[m]:
            per = mul_div(mark_e8, self.lot_den[m], 1, TRUNC)  # 1e8 of the value / 1e12 of the rate = 1 / 1e4
            payment = mul3_div(paid, self.lot_num[m], rate_e12, per, 10000 * unit, self.funding_rounding[m])
        else:
            per = mul_div(paid, self.lot_num[m], 1, TRUNC)
            payment = mul3_div(per, mark_e8, rate_e12, self.lot_den[m], one * unit, self.funding_rounding[m])
        return payment if unit == 1 else mul_div(payment, unit, 1, TRUNC)

    def _book_funding(self, account, m, payment):
        """Pay funding from or into the wallet, and of an isolated position its margin. Returns the payment."""
        cash: cython.longlong
        i: cython.longlong = account * self.n_markets + m
        asset: cython.longlong = self.market_asset[m]
        isolated: cython.bint = self.modes[i] != MODE_CROSS and self.positions[i] != 0
        own: cython.longlong = payment  # the position's part
        if isolated and payment < 0 and self.margin_flags[m] & FUNDING_FROM_CROSS and payment != INVALID:
            cash = self._spare(account, asset)
            own = payment + cash if cash < -payment else 0
        total: cython.longlong = add_exact(self.fundings[i], payment)
        if total == INVALID or not self._pay(account * self.n_assets + asset, asset, 0, 0, payment):
            self._fail(FAILED_FUNDING, account, m)
            return 0
        self.fundings[i] = total
        if isolated and not self._keep_isolated(account, m, add_exact(self.isolated[i], own)):
            self._fail(FAILED_FUNDING, account, m)
        self._settle(account, m)
        return payment

    def _book_accrued(self, account, m):
        """Book what funding has accrued, rounded as a payment. Returns the payment."""
        i: cython.longlong = account * self.n_markets + m
        unit: cython.longlong = self.funding_unit[m]
        payment: cython.longlong = mul_div(self.accrued[i], 1, 10000 * unit, self.funding_rounding[m])
        payment = mul_div(payment, unit, 1, TRUNC)
        self.accrued[i] = 0
        if payment == 0:
            return 0
        return self._book_funding(account, m, payment)

    def _touch(self, account):
        m: cython.longlong
        for m in range(self.n_markets):
            if self.accrued[account * self.n_markets + m] != 0:
                self._book_accrued(account, m)

    # -- positions and reservations

    def _has_position(self, account, asset):
        """Whether the cross account of an asset holds any."""
        m: cython.longlong
        i: cython.longlong
        for m in range(self.n_markets):
            i = account * self.n_markets + m
            if self.market_asset[m] == asset and self.positions[i] != 0 and self.modes[i] == MODE_CROSS:
                return True
        return False

    def _can_reduce(self, account, m, side, lots):
        """-1 is the unnamed market, which can always."""
        if account == -1:
            return True
        if self._slot(account, m) < 0:
            return False
        position: cython.longlong = self.positions[account * self.n_markets + m]
        return lots <= (position if side == SELL else -position)

    def _reserve(self, account, m, side, lots):
        i: cython.longlong = self._slot(account, m)
        if i < 0:
            return
        total: cython.longlong = add_exact(self.open_bids[i] if side == BUY else self.open_asks[i], lots)
        if total < 0 or total >= LOTS_LIMIT:  # INVALID is below 0 too
            self._fail(FAILED_RESERVATION, account, m)
        elif side == BUY:
            self.open_bids[i] = total
        else:
            self.open_asks[i] = total
