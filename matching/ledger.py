"""The ledger: positions, wallets and margin of many accounts over many markets, in exact 64-bit integers.

Theory of operation. Everything is an array indexed [account, market], [account, asset] or [asset]; one method books
one event of the venue and touches nothing else. Money is at 1e-8 of the asset (``_e8``), rates at 1e-12 (``_e12``),
mark prices at 1e-8, prices and sizes in ticks and lots. Products go through a 128-bit intermediate. A result that
does not fit int64 books nothing and sets ``failed`` (``failure()`` says where), which the caller turns into an error:
nothing ever wraps.

Value. The settlement value of ``lots`` at ``ticks``, in 1e-8 of the asset, and at a mark price:

    linear    ticks * lots * value_num / value_den           lots * mark_e8 * lot_num / lot_den
    inverse   lots * value_num / (ticks * value_den)         lots * lot_num * 1e8 / (mark_e8 * lot_den)

Entry value. What is stored is not an average price but the value paid, in units of 1e-8 / ``entry_den``. Linear
markets have entry_den = value_den, so it is exact. Inverse ones have 100 (``entry_scale``): each fill's value is
rounded half-even at 1e-10 of the coin. A fill that reduces a position takes out entry * closed / position, rounded
half-even to that unit (all of it when it closes), so what one close rounds off the next one carries; one that passes
through zero closes, then opens with the rest.

Rounding to 1e-8, once per event of the venue: fee = value * rate and funding = value at mark * rate, each from the
exact product and half-even unless the market says otherwise (Binance shows 8 decimals, the direction is not
documented); realised PnL, the difference of exit and entry value, half-even; initial and maintenance margin up.

Zero sum. Whatever a wallet receives somebody pays: ``market_pnl`` (the other side of realised PnL), ``venue_fees``,
``funding_pool`` and ``insurance``. Their sum with all wallets is what was deposited, always (``total_e8``).

Margin (cross, per asset; Binance support 360033525271, developers.binance.com "Notional and Leverage Brackets").
Equity is wallet plus unrealised PnL at mark. Maintenance is notional * rate - cum of the position's bracket. Initial
margin is reserved for the position with its open orders, max(|position + bids|, |position - asks|) at mark /
leverage: the venue's netting is not documented and this cannot be too small. Liquidation when equity < maintenance
(the page also says "margin ratio >= 100 %", which differs where both are equal). A market without brackets has no
margin: its wallet may go anywhere. With margin a wallet is below zero only while positions of the asset are open;
once flat the insurance fund covers it.
"""

import cython

from matching.settings import Settings

if not cython.compiled:
    from matching.accounts import (
        FAILED_FILL,
        FAILED_FUNDING,
        FAILED_INDEX,
        FAILED_LIQUIDATION,
        FAILED_MARGIN,
        FAILED_MARK,
        FEE_AT_BANKRUPTCY,
        LOTS_LIMIT,
        MAX_TICKS,
        SETTLE_ON_TOUCH,
        TIER_BY_LOTS,
    )
    from matching.arith import CEIL, FLOOR, HALF_EVEN, INVALID, TRUNC, add_exact, mul3_div, mul_div, sub_exact
    from matching.codes import *

RATIO_UNBOUNDED_E12 = 1 << 62  # margin ratio of an account that owes margin and has no equity


class Ledger(Settings):
    """Accounts 0..n_accounts-1 over markets 0..n_markets-1 in assets 0..n_assets-1. Units: the module's docstring.

    An index out of range books nothing, reads 0 and sets ``failed``.
    """

    # -- fills and deleveraging

    def fill(self, account, m, side, ticks, lots, liquidity):
        """Book an execution at the market's own fee rates (LIQ_NONE: no fee). Returns the fee.

        ``last_realized_e8`` is the profit it realised. The reservation of a resting order is not touched here:
        ``order_removed`` does that.
        """
        if self._slot(account, m) < 0:
            return 0
        fee: cython.longlong = 0
        if liquidity == LIQ_MAKER:
            fee = self._fee(m, ticks, lots, self.maker_rate[m])
        elif liquidity == LIQ_TAKER:
            fee = self._fee(m, ticks, lots, self.taker_rate[m])
        return self.fill_with_fee(account, m, side, ticks, lots, fee)

    def fill_with_fee(self, account, m, side, ticks, lots, fee_e8):
        """As ``fill`` with a fee decided elsewhere (negative: a rebate)."""
        if self._slot(account, m) < 0:
            return 0
        self.last_cause = CAUSE_NONE
        if self.margin_flags[m] & SETTLE_ON_TOUCH:
            self._touch(account)
        if not self._apply(account, m, side, ticks, lots, fee_e8):
            return 0
        self._settle(account, m)
        return fee_e8

    def adl(self, bankrupt, counterparty, m, side, ticks, lots):
        """Auto-deleveraging: close ``lots`` of both accounts against each other at the bankrupt one's price, no fee.

        ``side`` closes the bankrupt account; either account may be -1, somebody outside this ledger. Books nothing,
        sets ``failed`` and returns False if a position is smaller than ``lots``. (Binance support 360033525471.)
        """
        other: cython.longlong = SELL if side == BUY else BUY
        reducible: cython.bint = self._can_reduce(bankrupt, m, side, lots)
        reducible = reducible and self._can_reduce(counterparty, m, other, lots)
        if lots <= 0 or not reducible:
            self._fail(FAILED_LIQUIDATION, bankrupt, m)
            return False
        if counterparty != -1:
            if not self._apply(counterparty, m, other, ticks, lots, 0):
                return False
            self._settle(counterparty, m)
        if bankrupt != -1:
            if not self._apply(bankrupt, m, side, ticks, lots, 0):
                return False
            self._settle(bankrupt, m)
        self.last_cause = CAUSE_ADL
        return True

    # -- mark and funding

    def set_mark(self, m, mark_e8):
        """The mark price of a market from now on, at 1e-8."""
        if m < 0 or m >= self.n_markets or self.market_asset[m] < 0:
            self._fail(FAILED_INDEX, -1, m)
        elif mark_e8 <= 0:
            self._fail(FAILED_MARK, -1, m)
        else:
            self.marks[m] = mark_e8

    def mark_e8(self, m):
        """The mark price set last, 0 before the first."""
        if self._slot(0, m) < 0:
            return 0
        return self.marks[m]

    def funding(self, account, m, lots, mark_e8, rate_e12):
        """Book a funding payment on a position of ``lots`` (signed) at a mark: -value at mark * rate.

        A positive rate is paid by longs. Returns the payment, positive = received.
        """
        if self._slot(account, m) < 0:
            return 0
        return self._book_funding(account, m, self._payment(m, lots, mark_e8, rate_e12))

    def book_payment(self, account, m, payment_e8):
        """Book a funding payment decided elsewhere (positive: received). Returns it."""
        if self._slot(account, m) < 0:
            return 0
        return self._book_funding(account, m, payment_e8)

    def take_over(self, account, m, lots, entry_price_e8):
        """Begin with a position (signed lots) that an account holds elsewhere, entered at an average price at 1e-8.

        Only where it has none. Sets ``failed`` for a price that is none or a value that does not fit.
        """
        i: cython.longlong = self._slot(account, m)
        size: cython.longlong = lots if lots >= 0 else -lots
        entry: cython.longlong
        price: cython.longlong
        if i < 0 or lots == 0:
            return
        if self.market_inverse[m]:
            price = mul_div(entry_price_e8, self.lot_den[m], 1, TRUNC)
            entry = mul3_div(
                size, mul_div(self.lot_num[m], self.entry_den[m], 1, TRUNC), 100000000, price, 1, HALF_EVEN
            )
        else:
            price = mul_div(self.lot_num[m], self.entry_den[m], 1, TRUNC)
            entry = mul3_div(size, entry_price_e8, price, self.lot_den[m], 1, HALF_EVEN)
        if self.positions[i] != 0 or entry_price_e8 <= 0 or entry == INVALID or size >= LOTS_LIMIT:
            self._fail(FAILED_FILL, account, m)
            return
        self.positions[i] = lots
        self.entries[i] = entry

    def accrue(self, account, m, lots, mark_e8, rate_e12, num, den):
        """Let funding accrue on ``lots``: -value at the mark * rate * num / den, kept at 1e-12 of the asset.

        It counts in equity at once (rounded down to 1e-8) and is booked to the wallet by ``settle``.
        """
        value: cython.longlong = INVALID
        i: cython.longlong = self._slot(account, m)
        if i < 0:
            return
        if mark_e8 > 0 and self.market_inverse[m]:
            value = mul3_div(lots, self.lot_num[m], 1000000000000, mark_e8, self.lot_den[m], HALF_EVEN)
        elif mark_e8 > 0:
            value = mul3_div(lots, mark_e8, mul_div(self.lot_num[m], 10000, 1, TRUNC), self.lot_den[m], 1, HALF_EVEN)
        value = mul3_div(sub_exact(0, value), rate_e12, num, den, 1000000000000, HALF_EVEN)
        value = add_exact(self.accrued[i], value)
        if value == INVALID:
            self._fail(FAILED_FUNDING, account, m)
        else:
            self.accrued[i] = value

    def settle(self, account, m):
        """Book the accrued funding to the wallet, rounded as the market's payments. Returns it, positive = received."""
        if self._slot(account, m) < 0:
            return 0
        return self._book_accrued(account, m)

    def accrued_e8(self, account, m):
        """Funding accrued and not yet booked, rounded down; it is part of the equity."""
        i: cython.longlong = self._slot(account, m)
        return mul_div(self.accrued[i], 1, 10000, FLOOR) if i >= 0 else 0

    # -- open orders and margin

    def margin_on(self, m):
        """Whether the market has brackets."""
        return self._slot(0, m) >= 0 and self.bracket_count[m] > 0

    def order_added(self, account, m, side, ticks, lots):
        """Reserve margin for ``lots`` of a resting order. Not for reduce-only orders: they cannot add exposure."""
        self._reserve(account, m, side, lots)

    def order_removed(self, account, m, side, ticks, lots):
        """Release ``lots`` of a resting order: filled (before ``fill``), cancelled or expired."""
        self._reserve(account, m, side, sub_exact(0, lots))

    def open_lots(self, account, m, side):
        """Lots reserved on a side."""
        i: cython.longlong = self._slot(account, m)
        if i < 0:
            return 0
        return self.open_bids[i] if side == BUY else self.open_asks[i]

    def check_open(self, account, m, side, ticks, lots, reduce_only):
        """Whether an order may rest or execute: R_NONE, R_LEVERAGE, R_MARGIN, or R_NO_BOOK before the first mark.

        Orders that do not raise the exposure pass. R_LEVERAGE: the exposure at mark is above the cap of the highest
        bracket that allows the account's leverage. R_MARGIN: initial margin of the unit would exceed its equity (an
        isolated market's orders are carried by the cross wallet). Fees of the order and the distance of its price
        from the mark are not reserved.
        """
        i: cython.longlong = self._slot(account, m)
        if i < 0 or reduce_only or self.bracket_count[m] == 0:
            return R_NONE
        before: cython.longlong = self._exposure(i)
        after: cython.longlong = add_exact(self.positions[i] + self.open_bids[i], lots)
        if side != BUY:
            after = add_exact(self.open_asks[i] - self.positions[i], lots)
        if after != INVALID and after <= before:  # below 0 it is still nearer to 0 than the exposure
            return R_NONE
        if self.marks[m] == 0:
            return R_NO_BOOK
        notional: cython.longlong = INVALID
        if 0 < after < LOTS_LIMIT:
            notional = self._value_at_mark(m, after, 1)
        size: cython.longlong = after if self.margin_flags[m] & TIER_BY_LOTS else notional
        if notional == INVALID or size > self.max_notionals[i]:
            return R_LEVERAGE
        asset: cython.longlong = self.market_asset[m]
        if self.margin_flags[m] != 0 or self.modes[i] != MODE_CROSS or self.pool_units[account] >= 0:
            margin: cython.longlong = sub_exact(self._initial_at(i, m, after), self._initial_at(i, m, before))
            margin = self._free(account, m, margin)
            if margin == INVALID:
                self._fail(FAILED_MARGIN, account, m)
            return R_MARGIN if margin < 0 else R_NONE
        margin = sub_exact(self._initial(account, asset), self._initial_at(i, m, before))
        margin = add_exact(margin, mul_div(notional, 1, self.leverages[i], CEIL))
        equity: cython.longlong = self._equity(account, asset)
        if margin == INVALID or equity == INVALID:
            self._fail(FAILED_MARGIN, account, m)
            return R_MARGIN
        return R_MARGIN if margin > equity else R_NONE

    def unrealized_e8(self, account, m):
        """Unrealised PnL of a position at the mark; 0 before the first mark."""
        i: cython.longlong = self._slot(account, m)
        if i < 0:
            return 0
        return self._or_fail(self._unrealized(i, m), FAILED_MARGIN, account, m)

    def equity_e8(self, account, asset):
        """Wallet plus unrealised PnL and accrued funding of all the asset's positions, isolated ones too."""
        if self._pocket(account, asset) < 0:
            return 0
        m: cython.longlong
        total: cython.longlong = self.wallets[account * self.n_assets + asset]
        for m in range(self.n_markets):
            if self.market_asset[m] == asset:
                total = add_exact(total, self._carried(account * self.n_markets + m, m))
        return self._or_fail(total, FAILED_MARGIN, account, -1)

    def maintenance_e8(self, account, asset):
        """Maintenance margin of all the asset's positions, isolated ones too."""
        if self._pocket(account, asset) < 0:
            return 0
        m: cython.longlong
        total: cython.longlong = 0
        for m in range(self.n_markets):
            if self.market_asset[m] == asset:
                total = add_exact(total, self._maintenance_of(account * self.n_markets + m, m))
        return self._or_fail(total, FAILED_MARGIN, account, -1)

    def market_maintenance_e8(self, account, m):
        """Maintenance margin of one position."""
        i: cython.longlong = self._slot(account, m)
        if i < 0:
            return 0
        return self._or_fail(self._maintenance_of(i, m), FAILED_MARGIN, account, m)

    def initial_e8(self, account, asset):
        """Initial margin of the asset's positions with their open orders."""
        if self._pocket(account, asset) < 0:
            return 0
        return self._or_fail(self._initial(account, asset), FAILED_MARGIN, account, -1)

    def margin_ratio_e12(self, account, asset):
        """Maintenance / equity of the cross account at 1e-12, up; 0 without maintenance, 2**62 without equity."""
        maintenance: cython.longlong = self.unit_maintenance_e8(account, asset)
        equity: cython.longlong = self.unit_equity_e8(account, asset)
        if maintenance <= 0:
            return 0
        ratio: cython.longlong = mul_div(maintenance, 1000000000000, equity, CEIL) if equity > 0 else INVALID
        return 4611686018427387904 if ratio == INVALID else ratio

    # -- liquidation

    def unit_of(self, account, m):
        """The margin unit that a position of the account in ``m`` belongs to: asset, pool, or n_assets + m."""
        if self._slot(account, m) < 0:
            return -1
        return self._unit_of(account, m)

    def _unit_exists(self, account, unit):
        if account >= 0 and account < self.n_accounts and unit >= 0 and unit < self.n_assets + self.n_markets:
            return True
        self._fail(FAILED_INDEX, account, unit)
        return False

    def unit_equity_e8(self, account, unit):
        """Equity of a unit: cross wallet with its positions, isolated margin with its one, or the pool's value."""
        if not self._unit_exists(account, unit):
            return 0
        return self._or_fail(self._unit_equity(account, unit), FAILED_MARGIN, account, -1)

    def unit_maintenance_e8(self, account, unit):
        """Maintenance margin of a unit's positions."""
        if not self._unit_exists(account, unit):
            return 0
        return self._or_fail(self._unit_maintenance(account, unit), FAILED_MARGIN, account, -1)

    def _sinks(self, account, unit):
        """Whether a unit's equity is below its maintenance margin."""
        maintenance: cython.longlong = self._unit_maintenance(account, unit)
        if maintenance == 0:
            return False
        equity: cython.longlong = self._unit_equity(account, unit)
        if maintenance == INVALID or equity == INVALID:
            self._fail(FAILED_MARGIN, account, -1)
            return False
        return equity < maintenance

    def liquidatable(self, account):
        """The first unit whose equity is below its maintenance margin, or -1; isolated positions come last."""
        m: cython.longlong
        asset: cython.longlong = self.liquidatable_asset(account)
        if asset >= 0 or account < 0 or account >= self.n_accounts or self.isolated_markets[account] == 0:
            return asset
        for m in range(self.n_markets):
            if self.modes[account * self.n_markets + m] != MODE_CROSS and self._sinks(account, self.n_assets + m):
                return self.n_assets + m
        return -1

    def liquidatable_asset(self, account):
        """The first cross unit (an asset, or the pool by its first one) that must be liquidated, or -1."""
        asset: cython.longlong
        if self._pocket(account, 0) < 0:
            return -1
        for asset in range(self.n_assets):
            if self.pool_units[account] != asset and self._pooled(account, asset):
                continue
            if self._sinks(account, asset):
                return asset
        return -1

    def is_liquidatable(self, account):
        """Whether some unit's equity is below its maintenance margin (markets with brackets only)."""
        return self.liquidatable(account) >= 0

    def bankruptcy_ticks(self, account, m):
        """The price at which closing the position leaves its unit equity 0, other positions at their marks.

        Where the close fee counts as margin, an isolated position's is the price at which the fee can still be paid.
        Rounded to where the account cannot lose more: up for a long, down for a short. At least 1; MAX_TICKS where no
        price is high enough. 0 without a position.
        """
        size: cython.longlong
        ticks: cython.longlong
        i: cython.longlong = self._slot(account, m)
        if i < 0 or self.positions[i] == 0:
            return 0
        worth: cython.longlong  # what the lots must be worth
        if self.modes[i] != MODE_CROSS and self.margin_flags[m] & FEE_AT_BANKRUPTCY:
            worth = self._bankruptcy_value(i, m)
        else:
            worth = mul_div(self._others(account, m), self.entry_den[m] * self._leans(i, m), 1, TRUNC)
            worth = sub_exact(self.entries[i], worth)
        if worth == INVALID:
            self._fail(FAILED_LIQUIDATION, account, m)
            return 0
        size = self.positions[i] if self.positions[i] > 0 else -self.positions[i]
        if self.market_inverse[m]:
            if worth <= 0:
                return MAX_TICKS
            ticks = mul3_div(
                size, self.value_num[m], self.entry_den[m], worth, self.value_den[m],
                CEIL if self.positions[i] > 0 else FLOOR,
            )  # fmt: skip
            if ticks == INVALID or ticks > MAX_TICKS:
                return MAX_TICKS
        else:
            size = mul_div(size, self.value_num[m], 1, TRUNC)
            ticks = mul_div(worth, 1, size, CEIL if self.positions[i] > 0 else FLOOR)
            if size == INVALID:
                self._fail(FAILED_LIQUIDATION, account, m)
                return 0
            if ticks > MAX_TICKS:
                return MAX_TICKS
        return ticks if ticks > 1 else 1

    def liquidation_fee(self, account, m, ticks, lots):
        """Charge the market's liquidation rate on lots closed by a liquidation, into the insurance fund.

        At most what equity is left, so the fee itself never makes an account bankrupt: charge it when the liquidation's
        orders are done, or the rest of them has nothing to lose. Returns the fee.
        """
        if self._slot(account, m) < 0:
            return 0
        return self._penalise(account, m, self._fee(m, ticks, lots, self.liquidation_rate[m]))

    def penalty(self, account, m, amount_e8):
        """As ``liquidation_fee`` with an amount decided elsewhere: what a venue keeps when it closes a position.

        At most what the last fill there released and the position's unit has left. Returns what was taken.
        """
        if self._slot(account, m) < 0 or amount_e8 <= 0:
            return 0
        return self._penalise(account, m, amount_e8)

    def takeover(self, account, m):
        """The insurance fund takes the whole position at the bankruptcy price; returns its signed lots, 0 if none.

        No fee, but the close fee of an isolated position whose margin counts it. The fund is taken to close at the
        mark: what that gains or costs it is booked to ``insurance`` against ``market_pnl``. A limited fund that cannot
        bear it deleverages the other side at the bankruptcy price instead (``last_cause`` CAUSE_ADL, else
        CAUSE_LIQUIDATION). See ``last_ticks``, ``last_realized_e8``.
        """
        i: cython.longlong = self._slot(account, m)
        if i < 0 or self.positions[i] == 0:
            return 0
        asset: cython.longlong = self.market_asset[m]
        lots: cython.longlong = self.positions[i]
        size: cython.longlong = lots if lots > 0 else -lots
        ticks: cython.longlong = self.bankruptcy_ticks(account, m)
        gain: cython.longlong = sub_exact(self._value_at_mark(m, size, self.entry_den[m]), self._value(m, ticks, size))
        gain = mul_div(gain, 1, self.entry_den[m], HALF_EVEN)
        if ticks == 0 or self.marks[m] == 0 or gain == INVALID:
            self._fail(FAILED_LIQUIDATION, account, m)
            return 0
        if (lots < 0) != (self.market_inverse[m] != 0):
            gain = -gain
        fee: cython.longlong = 0
        if self.modes[i] != MODE_CROSS and self.margin_flags[m] & FEE_AT_BANKRUPTCY:
            fee = self._fee(m, ticks, size, self.taker_rate[m])
        if not self._apply(account, m, SELL if lots > 0 else BUY, ticks, size, fee):
            return 0
        self.last_cause = CAUSE_LIQUIDATION
        fund: cython.longlong = add_exact(self.pool_insurance[asset], gain)
        market: cython.longlong = sub_exact(self.pool_market[asset], gain)
        if fund < 0 and self.fund_limited[asset]:
            self.last_cause = CAUSE_ADL
        elif fund == INVALID or market == INVALID:
            self._fail(FAILED_LIQUIDATION, account, m)
        else:
            self.pool_insurance[asset] = fund
            self.pool_market[asset] = market
        self._settle(account, m)
        return lots

    # -- prices for display

    def entry_price_e8(self, account, m):
        """The average entry price at 1e-8, half-even, derived from the entry value; 0 without a position."""
        price: cython.longlong
        i: cython.longlong = self._slot(account, m)
        if i < 0 or self.positions[i] == 0:
            return 0
        size: cython.longlong = self.positions[i] if self.positions[i] > 0 else -self.positions[i]
        if self.market_inverse[m]:
            price = mul_div(self.lot_num[m], self.entry_den[m], 1, TRUNC)
            price = mul3_div(size, price, 100000000, self.lot_den[m], self.entries[i], HALF_EVEN)
        else:
            size = mul_div(size, self.lot_num[m], 1, TRUNC)
            price = mul3_div(self.entries[i], self.lot_den[m], 1, size, self.entry_den[m], HALF_EVEN)
        return 0 if price == INVALID else price

    def liquidation_price_e8(self, account, m):
        """The mark at which the position is liquidated if nothing else moves, at 1e-8; 0 if there is none.

        The price at which the ledger's own check turns, which is what venues display where their formula is exact.
        With the equity E of the unit without this position's profit, all other maintenance margin TMM, entry value V,
        direction d, size Q, and the rate and cum of a bracket (Binance support b3c689c1f50a44cabb3a84e663b81d93, the
        inverse one derived; Hyperliquid's, dYdX's, OKX's and Bybit's isolated one are the same line written anew):
        linear (E - TMM + cum - d V) / (Q (rate - d)); inverse Q C (rate + d) / (E - TMM + cum + d V). Maintenance is
        the largest of notional * rate - cum over the brackets, so of the brackets' prices a long takes the highest and
        a short the lowest. Found by halving instead where the margin is no line in the price or two positions share
        it: linear-in-size forms, both legs of hedge mode (one price for both), pools. With ``liquidation_price =
        "estimate"`` a cross position's close fee is left out, as Bybit shows it, and the check turns a little earlier.
        """
        i: cython.longlong = self._slot(account, m)
        if i < 0 or self.positions[i] == 0 or self.bracket_count[m] == 0:
            return 0
        price: cython.longlong = self._liquidation_price(account, m)
        return price if price > 0 else 0

    # -- what is on record

    def value_e8(self, m, ticks, lots):
        """Value of ``lots`` at ``ticks`` in 1e-8 of the asset, half-even."""
        if self._slot(0, m) < 0:
            return 0
        return self._or_fail(mul_div(self._value(m, ticks, lots), 1, self.entry_den[m], HALF_EVEN), FAILED_FILL, -1, m)

    def notional_e8(self, m, lots):
        """Value of ``lots`` at the mark in 1e-8 of the asset, half-even; 0 before the first mark."""
        if self._slot(0, m) < 0:
            return 0
        return self._or_fail(self._value_at_mark(m, lots, 1), FAILED_MARGIN, -1, m)

    def position(self, account, m):
        """Signed lots."""
        i: cython.longlong = self._slot(account, m)
        return self.positions[i] if i >= 0 else 0

    def entry_value(self, account, m):
        """Value paid for the position, not negative, in 1e-8 / entry_den (``arrays["entry_den"][m]``)."""
        i: cython.longlong = self._slot(account, m)
        return self.entries[i] if i >= 0 else 0

    def wallet(self, account, asset):
        """Wallet balance: deposits, realised PnL, fees, funding and what the insurance fund covered."""
        p: cython.longlong = self._pocket(account, asset)
        return self.wallets[p] if p >= 0 else 0

    def realized_e8(self, account, asset):
        """Realised PnL so far, fees and funding not in it."""
        return self._sum(self.realized, account, asset)

    def fees_e8(self, account, asset):
        """Trading fees paid so far (negative: rebates); liquidation fees not in it."""
        return self._sum(self.fees, account, asset)

    def liquidation_fees_e8(self, account, asset):
        """Liquidation fees paid so far."""
        return self._sum(self.liquidation_fees, account, asset)

    def funding_e8(self, account, asset):
        """Funding received so far (negative: paid)."""
        return self._sum(self.fundings, account, asset)

    def covered_e8(self, account, asset):
        """What the insurance fund has put into the wallet so far."""
        p: cython.longlong = self._pocket(account, asset)
        return self.covered[p] if p >= 0 else 0
