"""The ledger: positions, wallets and margin of many accounts over many markets, in exact 64-bit integers.

Theory of operation. Everything is an array indexed [account, market], [account, asset] or [asset]; one method books one
event of the venue and touches nothing else. Money is at 1e-8 of the asset (``_e8``), rates at 1e-12 (``_e12``), mark prices
at 1e-8, prices and sizes in ticks and lots. Products go through a 128-bit intermediate. A result that does not fit int64
books nothing and sets ``failed`` (``failure()`` says where), which the caller turns into an error: nothing ever wraps.

Value. The settlement value of ``lots`` at ``ticks``, in 1e-8 of the asset, and at a mark price:

    linear    ticks * lots * value_num / value_den           lots * mark_e8 * lot_num / lot_den
    inverse   lots * value_num / (ticks * value_den)         lots * lot_num * 1e8 / (mark_e8 * lot_den)

Entry value. What is stored is not an average price but the value paid, in units of 1e-8 / ``entry_den``. Linear markets
have entry_den = value_den, so it is exact. Inverse ones have 10**4 (``entry_scale``): each fill's value is rounded half-even
at 1e-12 of the coin. A fill that reduces a position takes out entry * closed / position, rounded half-even to that unit
(all of it when it closes), so no rounding is ever lost; one that passes through zero closes, then opens with the rest.

Rounding to 1e-8, once per event of the venue: fee = value * rate and funding = value at mark * rate, each from the exact
product and half-even unless the market says otherwise (Binance shows 8 decimals, the direction is not documented);
realised PnL, the difference of exit and entry value, half-even; initial and maintenance margin up.

Zero sum. Whatever a wallet receives somebody pays: ``market_pnl`` (the other side of realised PnL), ``venue_fees``,
``funding_pool`` and ``insurance``. Their sum with all wallets is what was deposited, always (``total_e8``).

Margin (cross, per asset; Binance support 360033525271, developers.binance.com "Notional and Leverage Brackets"). Equity is
wallet plus unrealised PnL at mark. Maintenance is notional * rate - cum of the position's bracket. Initial margin is
reserved for the position with its open orders, max(|position + bids|, |position - asks|) at mark / leverage: the venue's
netting is not documented and this cannot be too small. Liquidation when equity < maintenance (the page also says "margin
ratio >= 100 %", which differs where both are equal). A market without brackets has no margin: its wallet may go anywhere.
With margin a wallet is below zero only while positions of the asset are open; once flat the insurance fund covers it.
"""

import hashlib

import cython
import numpy as np

from matching.brackets import BRACKETS_MAX, Brackets

if not cython.compiled:
    from matching.arith import CEIL, FLOOR, HALF_EVEN, INVALID, TRUNC, add_exact, mul3_div, mul_div, sub_exact
    from matching.codes import *

    FAILED_INDEX = 1
    FAILED_FILL = 2
    FAILED_MARK = 3
    FAILED_FUNDING = 4
    FAILED_MARGIN = 5
    FAILED_LIQUIDATION = 6
    FAILED_RESERVATION = 7
    FAILED_DEPOSIT = 8
    MAX_TICKS = 2147483647  # feed columns hold prices in 32 bits
    BRACKETS_STRIDE = 64
    LOTS_LIMIT = 1 << 61

FAILURES = {
    1: "an account, market or asset that does not exist or is not configured",
    2: "a fill whose value, fee or profit does not fit",
    3: "a mark price that is not positive",
    4: "a funding payment that does not fit, or without a mark",
    5: "equity or margin that does not fit",
    6: "a liquidation or deleveraging that cannot be booked",
    7: "open orders that do not fit, or fewer than were removed",
    8: "a deposit that does not fit",
}
RATIO_UNBOUNDED_E12 = 1 << 62  # margin ratio of an account that owes margin and has no equity

MARKET_COLUMNS = (
    "market_asset", "market_inverse", "value_num", "value_den", "lot_num", "lot_den", "entry_den", "maker_rate",
    "taker_rate", "liquidation_rate", "fee_rounding", "funding_rounding", "marks", "bracket_count",
)  # fmt: skip
BRACKET_COLUMNS = ("bracket_floor", "bracket_cap", "bracket_rate", "bracket_cum", "bracket_leverage")
POSITION_COLUMNS = (
    "positions", "entries", "open_bids", "open_asks", "leverages", "max_notionals", "realized", "fees",
    "liquidation_fees", "fundings",
)  # fmt: skip
WALLET_COLUMNS = ("wallets", "deposits", "covered")
POOL_COLUMNS = ("pool_fees", "pool_market", "pool_funding", "pool_insurance", "fund_limited")


class Ledger:
    """Accounts 0..n_accounts-1 over markets 0..n_markets-1 in assets 0..n_assets-1. Units: the module's docstring.

    An index out of range books nothing, reads 0 and sets ``failed``.
    """

    def __init__(self, n_accounts: int, n_markets: int, n_assets: int) -> None:
        for name, value in (("n_accounts", n_accounts), ("n_markets", n_markets), ("n_assets", n_assets)):
            if not 1 <= value <= 1 << 20:
                raise ValueError(f"Ledger: {name} is {value}, wanted 1 to {1 << 20}")
        self.n_accounts, self.n_markets, self.n_assets = n_accounts, n_markets, n_assets
        self.failed, self.failed_account, self.failed_market = 0, -1, -1
        self.last_realized_e8, self.last_fee_e8, self.last_ticks, self.last_lots, self.last_cause = 0, 0, 0, 0, 0
        sizes = (
            (MARKET_COLUMNS, n_markets),
            (BRACKET_COLUMNS, n_markets * BRACKETS_STRIDE),
            (POSITION_COLUMNS, n_accounts * n_markets),
            (WALLET_COLUMNS, n_accounts * n_assets),
            (POOL_COLUMNS, n_assets),
        )
        self.arrays = {name: np.zeros(size, dtype=np.int64) for names, size in sizes for name in names}
        self.arrays["market_asset"].fill(-1)
        self._bind({name: memoryview(array) for name, array in self.arrays.items()})

    def _bind(self, views):
        self.market_asset = views["market_asset"]
        self.market_inverse = views["market_inverse"]
        self.value_num, self.value_den = views["value_num"], views["value_den"]
        self.lot_num, self.lot_den = views["lot_num"], views["lot_den"]
        self.entry_den = views["entry_den"]
        self.maker_rate, self.taker_rate = views["maker_rate"], views["taker_rate"]
        self.liquidation_rate = views["liquidation_rate"]
        self.fee_rounding, self.funding_rounding = views["fee_rounding"], views["funding_rounding"]
        self.marks = views["marks"]
        self.bracket_count, self.bracket_floor = views["bracket_count"], views["bracket_floor"]
        self.bracket_cap, self.bracket_rate = views["bracket_cap"], views["bracket_rate"]
        self.bracket_cum, self.bracket_leverage = views["bracket_cum"], views["bracket_leverage"]
        self.positions, self.entries = views["positions"], views["entries"]
        self.open_bids, self.open_asks = views["open_bids"], views["open_asks"]
        self.leverages, self.max_notionals = views["leverages"], views["max_notionals"]
        self.realized, self.fees = views["realized"], views["fees"]
        self.liquidation_fees, self.fundings = views["liquidation_fees"], views["fundings"]
        self.wallets, self.deposits, self.covered = views["wallets"], views["deposits"], views["covered"]
        self.pool_fees, self.pool_market = views["pool_fees"], views["pool_market"]
        self.pool_funding, self.pool_insurance = views["pool_funding"], views["pool_insurance"]
        self.fund_limited = views["fund_limited"]
        self.venue_fees, self.market_pnl = views["pool_fees"], views["pool_market"]
        self.funding_pool, self.insurance = views["pool_funding"], views["pool_insurance"]

    # -- configuration

    def configure_market(
        self,
        m: int,
        asset: int,
        inverse: bool,
        value_num: int,
        value_den: int,
        lot_num: int,
        lot_den: int,
        maker_rate_e12: int,
        taker_rate_e12: int,
        liquidation_rate_e12: int = 0,
        brackets: object = None,
        *,
        fee_rounding: int = 3,
        funding_rounding: int = 3,
        entry_scale: int = 10_000,
    ) -> None:
        """Say what market ``m`` is. ``brackets``: a ``Brackets``, or anything with its fields; None turns margin off.

        ``entry_scale``: for inverse markets, the fraction of 1e-8 at which entry value is kept. Roundings are those of
        ``matching.arith`` (3 = HALF_EVEN). Every account's leverage there becomes 1. Raises ValueError, also when
        positions or open orders exist.
        """
        where = f"Ledger.configure_market({m})"
        if not 0 <= m < self.n_markets or not 0 <= asset < self.n_assets:
            raise ValueError(f"{where}: market or asset {asset} does not exist")
        den = entry_scale if inverse else value_den
        for name, value, most in (
            ("value_num", value_num, 1 << 62), ("value_den", value_den, 1 << 40), ("lot_den", lot_den, 1 << 40),
            ("lot_num", lot_num, 1 << 62), ("entry_scale", entry_scale, 10**8), ("lot_num * entry_den", lot_num * den, 1 << 62),
        ):  # fmt: skip
            if not 0 < value <= most:
                raise ValueError(f"{where}: {name} is {value}, wanted 1 to {most}")
        rates = (("maker", maker_rate_e12), ("taker", taker_rate_e12), ("liquidation", liquidation_rate_e12))
        for name, value in rates:
            if not -(10**12) < value < 10**12:
                raise ValueError(f"{where}: {name}_rate_e12 is {value}, not between -1 and 1")
        if liquidation_rate_e12 < 0 or not 0 <= fee_rounding <= 3 or not 0 <= funding_rounding <= 3:
            raise ValueError(f"{where}: liquidation_rate_e12 below 0, or a rounding that is not one of matching.arith")
        for a in range(self.n_accounts):
            i = a * self.n_markets + m
            if self.positions[i] or self.open_bids[i] or self.open_asks[i]:
                raise ValueError(f"{where}: account {a} already has a position or open orders there")
        values = (
            asset, int(inverse), value_num, value_den, lot_num, lot_den, den, maker_rate_e12, taker_rate_e12,
            liquidation_rate_e12, fee_rounding, funding_rounding, 0, 0,
        )  # fmt: skip
        for name, value in zip(MARKET_COLUMNS, values, strict=True):
            self.arrays[name][m] = value
        self._configure_brackets(m, None if brackets is None else Brackets.of(brackets))

    def _configure_brackets(self, m, table):
        rows = 0 if table is None else len(table.floor_e8)
        assert rows <= BRACKETS_MAX == BRACKETS_STRIDE
        self.bracket_count[m] = rows
        for k in range(rows):
            j = m * BRACKETS_STRIDE + k
            self.bracket_floor[j], self.bracket_cap[j] = table.floor_e8[k], table.cap_e8[k]
            self.bracket_rate[j], self.bracket_cum[j] = table.rate_e12[k], table.cum_e8[k]
            self.bracket_leverage[j] = table.max_leverage[k]
        for a in range(self.n_accounts):
            i = a * self.n_markets + m
            self.leverages[i] = 1
            self.max_notionals[i] = table.cap_e8[rows - 1] if rows else 0

    def deposit(self, account: int, asset: int, amount_e8: int) -> None:
        """Credit a wallet. Raises ValueError for a negative amount or an unknown account or asset."""
        if not 0 <= account < self.n_accounts or not 0 <= asset < self.n_assets or amount_e8 < 0:
            raise ValueError(f"Ledger.deposit({account}, {asset}, {amount_e8}): no such account or asset, or below 0")
        p = account * self.n_assets + asset
        total = self.wallets[p] + amount_e8
        if total >= 1 << 62 or self.deposits[p] + amount_e8 >= 1 << 62:
            raise OverflowError(f"Ledger.deposit({account}, {asset}, {amount_e8}): the wallet would not fit int64")
        self.wallets[p] = total
        self.deposits[p] += amount_e8

    def limit_insurance(self, asset: int, amount_e8: int) -> None:
        """Give the insurance fund of an asset this balance (added to the deposits) and no more.

        Unlimited otherwise: then ``insurance`` below zero is what the fund has paid. What a limited fund cannot bear
        is borne by the deleveraged other side (``last_cause`` is then CAUSE_ADL).
        """
        if not 0 <= asset < self.n_assets or not 0 <= amount_e8 < 1 << 62:
            raise ValueError(f"Ledger.limit_insurance({asset}, {amount_e8}): no such asset, or not a balance")
        if self.fund_limited[asset]:
            raise ValueError(f"Ledger.limit_insurance({asset}, ...): already limited")
        self.fund_limited[asset] = 1 + amount_e8
        self.pool_insurance[asset] += amount_e8

    def set_leverage(self, account: int, m: int, leverage: int) -> None:
        """Set an account's leverage in a market with brackets.

        Raises ValueError above the first bracket's leverage, or if position and orders exceed what it allows.
        """
        where = f"Ledger.set_leverage({account}, {m}, {leverage})"
        if not 0 <= account < self.n_accounts or not 0 <= m < self.n_markets:
            raise ValueError(f"{where}: no such account or market")
        rows, base = self.bracket_count[m], m * BRACKETS_STRIDE
        if rows == 0:
            raise ValueError(f"{where}: the market has no brackets, so no margin and no leverage")
        if not 1 <= leverage <= self.bracket_leverage[base]:
            raise ValueError(f"{where}: leverage must be 1 to {self.bracket_leverage[base]}, what the brackets allow")
        most = max(self.bracket_cap[base + k] for k in range(rows) if self.bracket_leverage[base + k] >= leverage)
        i = account * self.n_markets + m
        if self._value_at_mark(m, self._exposure(i), 1) > most:
            raise ValueError(f"{where}: position and open orders exceed {most} (1e-8), the most at this leverage")
        self.leverages[i] = leverage
        self.max_notionals[i] = most

    # -- failure

    def _fail(self, what, account, m):
        if self.failed == 0:
            self.failed = what
            self.failed_account = account
            self.failed_market = m

    def failure(self):
        """What failed first, as a sentence, or None."""
        if self.failed == 0:
            return None
        return f"ledger: {FAILURES[self.failed]} (account {self.failed_account}, market {self.failed_market})"

    def raise_if_failed(self):
        """OverflowError with ``failure()`` if anything failed."""
        if self.failed:
            raise OverflowError(self.failure())

    def _slot(self, account, m):
        """Index of [account, market], or -1 and failed."""
        if account < 0 or account >= self.n_accounts or m < 0 or m >= self.n_markets or self.market_asset[m] < 0:
            self._fail(FAILED_INDEX, account, m)
            return -1
        return account * self.n_markets + m

    def _pocket(self, account, asset):
        """Index of [account, asset], or -1 and failed."""
        if account < 0 or account >= self.n_accounts or asset < 0 or asset >= self.n_assets:
            self._fail(FAILED_INDEX, account, -1)
            return -1
        return account * self.n_assets + asset

    # -- values; INVALID if they do not fit

    def _value(self, m, ticks, lots):
        """Value of lots at ticks, in entry units."""
        if self.market_inverse[m]:
            return mul3_div(lots, self.value_num[m], self.entry_den[m], ticks, self.value_den[m], HALF_EVEN)
        return mul3_div(ticks, lots, self.value_num[m], 1, 1, TRUNC)

    def _value_at_mark(self, m, lots, scale):
        """Value of lots at the mark, in units of 1e-8 / scale; 0 before the first mark."""
        mark: cython.longlong
        mark = self.marks[m]
        if mark == 0 or lots == 0:
            return 0
        if self.market_inverse[m]:
            return mul3_div(lots, self.lot_num[m], 100000000 * scale, mark, self.lot_den[m], HALF_EVEN)
        return mul3_div(lots, mark, self.lot_num[m] * scale, self.lot_den[m], 1, HALF_EVEN)

    def _fee(self, m, ticks, lots, rate_e12):
        """Value of lots at ticks times a rate, in 1e-8, rounded once."""
        per: cython.longlong
        if self.market_inverse[m]:
            per = mul_div(ticks, self.value_den[m], 1, TRUNC)
            return mul3_div(lots, self.value_num[m], rate_e12, per, 1000000000000, self.fee_rounding[m])
        per = mul3_div(ticks, lots, self.value_num[m], 1, 1, TRUNC)
        return mul3_div(per, rate_e12, 1, self.value_den[m], 1000000000000, self.fee_rounding[m])

    def value_e8(self, m, ticks, lots):
        """Value of ``lots`` at ``ticks`` in 1e-8 of the asset, half-even; 0 and ``failed`` if it does not fit."""
        value: cython.longlong
        if self._slot(0, m) < 0:
            return 0
        value = mul_div(self._value(m, ticks, lots), 1, self.entry_den[m], HALF_EVEN)
        if value == INVALID:
            self._fail(FAILED_FILL, -1, m)
            return 0
        return value

    def notional_e8(self, m, lots):
        """Value of ``lots`` at the mark in 1e-8 of the asset, half-even; 0 before the first mark."""
        value: cython.longlong
        if self._slot(0, m) < 0:
            return 0
        value = self._value_at_mark(m, lots, 1)
        if value == INVALID:
            self._fail(FAILED_MARGIN, -1, m)
            return 0
        return value

    # -- fills

    def fill(self, account, m, side, ticks, lots, liquidity):
        """Book an execution at the market's own fee rates (LIQ_NONE: no fee). Returns the fee; see ``last_realized_e8``.

        The reservation of a resting order is not touched: ``order_removed`` is.
        """
        fee: cython.longlong
        if self._slot(account, m) < 0:
            return 0
        fee = 0
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
        if not self._apply(account, m, side, ticks, lots, fee_e8):
            return 0
        self._settle(account, m)
        return fee_e8

    def _apply(self, account, m, side, ticks, lots, fee_e8):
        """Change position, entry value and wallet by an execution, or nothing at all and return False."""
        i: cython.longlong
        p: cython.longlong
        asset: cython.longlong
        position: cython.longlong
        entry: cython.longlong
        size: cython.longlong
        closing: cython.longlong
        share: cython.longlong
        gain: cython.longlong
        realized: cython.longlong
        i = account * self.n_markets + m
        asset = self.market_asset[m]
        p = account * self.n_assets + asset
        position = self.positions[i]
        entry = self.entries[i]
        size = position if position >= 0 else -position
        closing = 0
        if position != 0 and (position > 0) != (side == BUY):
            closing = lots if lots < size else size
        realized = 0
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
        if position <= -LOTS_LIMIT or position >= LOTS_LIMIT or lots <= 0 or ticks <= 0:
            self._fail(FAILED_FILL, account, m)
            return False
        if fee_e8 == INVALID or realized == INVALID or entry == INVALID:
            self._fail(FAILED_FILL, account, m)
            return False
        if not self._pay(p, asset, realized, -fee_e8, 0):
            self._fail(FAILED_FILL, account, m)
            return False
        self.positions[i] = position
        self.entries[i] = entry
        self.realized[i] = self.realized[i] + realized
        self.fees[i] = self.fees[i] + fee_e8
        self.last_realized_e8 = realized
        self.last_fee_e8 = fee_e8
        self.last_ticks = ticks
        self.last_lots = lots
        return True

    def _pay(self, p, asset, realized, fee, payment):
        """Move money between a wallet and the pools (positive: into the wallet), or nothing and return False.

        The pools mirror all wallets' sums, so they are where a sum over time could stop fitting.
        """
        wallet: cython.longlong
        market: cython.longlong
        fees: cython.longlong
        pool: cython.longlong
        wallet = add_exact(add_exact(add_exact(self.wallets[p], realized), fee), payment)
        market = sub_exact(self.pool_market[asset], realized)
        fees = sub_exact(self.pool_fees[asset], fee)
        pool = sub_exact(self.pool_funding[asset], payment)
        if wallet == INVALID or market == INVALID or fees == INVALID or pool == INVALID:
            return False
        self.wallets[p] = wallet
        self.pool_market[asset] = market
        self.pool_fees[asset] = fees
        self.pool_funding[asset] = pool
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
        i: cython.longlong
        payment: cython.longlong
        per: cython.longlong
        i = self._slot(account, m)
        if i < 0:
            return 0
        payment = INVALID
        if mark_e8 > 0:
            if self.market_inverse[m]:
                per = mul_div(mark_e8, self.lot_den[m], 1, TRUNC)  # 1e8 of the value / 1e12 of the rate = 1 / 1e4
                payment = mul3_div(-lots, self.lot_num[m], rate_e12, per, 10000, self.funding_rounding[m])
            else:
                per = mul_div(-lots, self.lot_num[m], 1, TRUNC)
                payment = mul3_div(per, mark_e8, rate_e12, self.lot_den[m], 1000000000000, self.funding_rounding[m])
        if payment == INVALID or not self._pay(self._pocket_of(account, m), self.market_asset[m], 0, 0, payment):
            self._fail(FAILED_FUNDING, account, m)
            return 0
        self.fundings[i] = self.fundings[i] + payment
        self._settle(account, m)
        return payment

    def _pocket_of(self, account, m):
        return account * self.n_assets + self.market_asset[m]

    # -- margin

    def margin_on(self, m):
        """Whether the market has brackets."""
        return self._slot(0, m) >= 0 and self.bracket_count[m] > 0

    def _exposure(self, i):
        """The larger of what position and open orders could become, max(|position + bids|, |position - asks|)."""
        up: cython.longlong
        down: cython.longlong
        up = self.positions[i] + self.open_bids[i]
        down = self.positions[i] - self.open_asks[i]
        if up < 0:
            up = -up
        if down < 0:
            down = -down
        return up if up > down else down

    def _reserve(self, account, m, side, lots):
        i: cython.longlong
        total: cython.longlong
        i = self._slot(account, m)
        if i < 0:
            return
        total = add_exact(self.open_bids[i] if side == BUY else self.open_asks[i], lots)
        if total < 0 or total >= LOTS_LIMIT:  # INVALID is below 0 too
            self._fail(FAILED_RESERVATION, account, m)
        elif side == BUY:
            self.open_bids[i] = total
        else:
            self.open_asks[i] = total

    def order_added(self, account, m, side, ticks, lots):
        """Reserve margin for ``lots`` of a resting order. Not for reduce-only orders: they cannot add exposure."""
        self._reserve(account, m, side, lots)

    def order_removed(self, account, m, side, ticks, lots):
        """Release ``lots`` of a resting order: filled (before ``fill``), cancelled or expired."""
        self._reserve(account, m, side, -lots)

    def open_lots(self, account, m, side):
        """Lots reserved on a side."""
        i: cython.longlong
        i = self._slot(account, m)
        if i < 0:
            return 0
        return self.open_bids[i] if side == BUY else self.open_asks[i]

    def check_open(self, account, m, side, ticks, lots, reduce_only):
        """Whether an order may rest or execute: R_NONE, R_LEVERAGE, R_MARGIN, or R_NO_BOOK before the first mark.

        Orders that do not raise the exposure pass. R_LEVERAGE: the exposure at mark is above the cap of the highest
        bracket that allows the account's leverage. R_MARGIN: initial margin of the asset would exceed its equity.
        Fees of the order and the distance of its price from the mark are not reserved.
        """
        i: cython.longlong
        before: cython.longlong
        after: cython.longlong
        notional: cython.longlong
        margin: cython.longlong
        equity: cython.longlong
        i = self._slot(account, m)
        if i < 0 or reduce_only or self.bracket_count[m] == 0:
            return R_NONE
        before = self._exposure(i)
        after = add_exact(self.positions[i] + self.open_bids[i], lots)
        if side != BUY:
            after = add_exact(self.open_asks[i] - self.positions[i], lots)
        if after != INVALID and after <= before and -after <= before:
            return R_NONE
        if self.marks[m] == 0:
            return R_NO_BOOK
        if after < 0:
            after = -after
        notional = self._value_at_mark(m, after, 1) if after < LOTS_LIMIT else INVALID
        if notional == INVALID or notional > self.max_notionals[i]:
            return R_LEVERAGE
        margin = sub_exact(self._initial(account, self.market_asset[m]), self._initial_at(i, m, before))
        margin = add_exact(margin, mul_div(notional, 1, self.leverages[i], CEIL))
        equity = self._equity(account, self.market_asset[m])
        if margin == INVALID or equity == INVALID:
            self._fail(FAILED_MARGIN, account, m)
            return R_MARGIN
        return R_MARGIN if margin > equity else R_NONE

    # -- equity and margin of an account; the internal forms are INVALID if they do not fit

    def _gain(self, i, m, worth):
        """Profit of a position, in entry units, if its lots are worth ``worth`` (entry units)."""
        gain: cython.longlong
        gain = sub_exact(worth, self.entries[i])
        if gain != INVALID and (self.positions[i] < 0) != (self.market_inverse[m] != 0):
            gain = -gain
        return gain

    def _unrealized(self, i, m):
        size: cython.longlong
        size = self.positions[i] if self.positions[i] >= 0 else -self.positions[i]
        if size == 0 or self.marks[m] == 0:
            return 0
        return mul_div(self._gain(i, m, self._value_at_mark(m, size, self.entry_den[m])), 1, self.entry_den[m], HALF_EVEN)

    def _equity(self, account, asset):
        m: cython.longlong
        total: cython.longlong
        total = self.wallets[account * self.n_assets + asset]
        for m in range(self.n_markets):
            if self.market_asset[m] == asset:
                total = add_exact(total, self._unrealized(account * self.n_markets + m, m))
        return total

    def _maintenance_at(self, m, notional_e8):
        """notional * rate - cum of its bracket, rounded up; beyond the last bracket that one goes on."""
        j: cython.longlong
        k: cython.longlong
        if notional_e8 == INVALID:
            return INVALID
        j = m * BRACKETS_STRIDE
        k = self.bracket_count[m] - 1
        while k > 0 and self.bracket_floor[j + k] >= notional_e8:
            k = k - 1
        return sub_exact(mul_div(notional_e8, self.bracket_rate[j + k], 1000000000000, CEIL), self.bracket_cum[j + k])

    def _maintenance_of(self, i, m):
        size: cython.longlong
        size = self.positions[i] if self.positions[i] >= 0 else -self.positions[i]
        if size == 0 or self.bracket_count[m] == 0:
            return 0
        return self._maintenance_at(m, self._value_at_mark(m, size, 1))

    def _maintenance(self, account, asset):
        m: cython.longlong
        total: cython.longlong
        total = 0
        for m in range(self.n_markets):
            if self.market_asset[m] == asset:
                total = add_exact(total, self._maintenance_of(account * self.n_markets + m, m))
        return total

    def _initial_at(self, i, m, lots):
        """Initial margin of an exposure of ``lots``, rounded up."""
        if self.bracket_count[m] == 0:
            return 0
        return mul_div(self._value_at_mark(m, lots, 1), 1, self.leverages[i], CEIL)

    def _initial(self, account, asset):
        m: cython.longlong
        i: cython.longlong
        total: cython.longlong
        total = 0
        for m in range(self.n_markets):
            if self.market_asset[m] == asset:
                i = account * self.n_markets + m
                total = add_exact(total, self._initial_at(i, m, self._exposure(i)))
        return total

    def unrealized_e8(self, account, m):
        """Unrealised PnL of a position at the mark; 0 before the first mark."""
        i: cython.longlong
        value: cython.longlong
        i = self._slot(account, m)
        if i < 0:
            return 0
        value = self._unrealized(i, m)
        if value == INVALID:
            self._fail(FAILED_MARGIN, account, m)
            return 0
        return value

    def equity_e8(self, account, asset):
        """Wallet plus unrealised PnL of the asset's positions."""
        value: cython.longlong
        if self._pocket(account, asset) < 0:
            return 0
        value = self._equity(account, asset)
        if value == INVALID:
            self._fail(FAILED_MARGIN, account, -1)
            return 0
        return value

    def maintenance_e8(self, account, asset):
        """Maintenance margin of the asset's positions."""
        value: cython.longlong
        if self._pocket(account, asset) < 0:
            return 0
        value = self._maintenance(account, asset)
        if value == INVALID:
            self._fail(FAILED_MARGIN, account, -1)
            return 0
        return value

    def market_maintenance_e8(self, account, m):
        """Maintenance margin of one position."""
        i: cython.longlong
        value: cython.longlong
        i = self._slot(account, m)
        if i < 0:
            return 0
        value = self._maintenance_of(i, m)
        if value == INVALID:
            self._fail(FAILED_MARGIN, account, m)
            return 0
        return value

    def initial_e8(self, account, asset):
        """Initial margin of the asset's positions with their open orders."""
        value: cython.longlong
        if self._pocket(account, asset) < 0:
            return 0
        value = self._initial(account, asset)
        if value == INVALID:
            self._fail(FAILED_MARGIN, account, -1)
            return 0
        return value

    def margin_ratio_e12(self, account, asset):
        """Maintenance / equity at 1e-12, up; 0 without maintenance, 2**62 if there is no equity to carry it."""
        maintenance: cython.longlong
        equity: cython.longlong
        ratio: cython.longlong
        maintenance = self.maintenance_e8(account, asset)
        equity = self.equity_e8(account, asset)
        if maintenance <= 0:
            return 0
        ratio = mul_div(maintenance, 1000000000000, equity, CEIL) if equity > 0 else INVALID
        return 4611686018427387904 if ratio == INVALID else ratio

    # -- liquidation

    def liquidatable_asset(self, account):
        """The first asset whose equity is below its maintenance margin, or -1."""
        asset: cython.longlong
        maintenance: cython.longlong
        equity: cython.longlong
        if self._pocket(account, 0) < 0:
            return -1
        for asset in range(self.n_assets):
            maintenance = self._maintenance(account, asset)
            if maintenance == 0:
                continue
            equity = self._equity(account, asset)
            if maintenance == INVALID or equity == INVALID:
                self._fail(FAILED_MARGIN, account, -1)
            elif equity < maintenance:
                return asset
        return -1

    def is_liquidatable(self, account):
        """Whether some asset's equity is below its maintenance margin (markets with brackets only)."""
        return self.liquidatable_asset(account) >= 0

    def bankruptcy_ticks(self, account, m):
        """The price at which closing the position leaves equity 0, other positions at their marks.

        Rounded to where the account cannot lose more: up for a long, down for a short. At least 1; MAX_TICKS where no
        price is high enough. 0 without a position.
        """
        i: cython.longlong
        others: cython.longlong
        size: cython.longlong
        ticks: cython.longlong
        i = self._slot(account, m)
        if i < 0 or self.positions[i] == 0:
            return 0
        others = sub_exact(self._equity(account, self.market_asset[m]), self._unrealized(i, m))
        others = mul_div(others, self.entry_den[m], 1, TRUNC)
        # what the lots must be worth: a linear long entry - others, a short entry + others; inverse the other way round
        if (self.positions[i] > 0) != (self.market_inverse[m] != 0):
            others = sub_exact(self.entries[i], others)
        else:
            others = add_exact(self.entries[i], others)
        if others == INVALID:
            self._fail(FAILED_LIQUIDATION, account, m)
            return 0
        if self.market_inverse[m]:
            if others <= 0:
                return MAX_TICKS
            size = self.positions[i] if self.positions[i] > 0 else -self.positions[i]
            ticks = mul3_div(
                size, self.value_num[m], self.entry_den[m], others, self.value_den[m],
                CEIL if self.positions[i] > 0 else FLOOR,
            )  # fmt: skip
            if ticks == INVALID or ticks > MAX_TICKS:
                return MAX_TICKS
        else:
            size = mul_div(self.positions[i] if self.positions[i] > 0 else -self.positions[i], self.value_num[m], 1, TRUNC)
            ticks = mul_div(others, 1, size, CEIL if self.positions[i] > 0 else FLOOR)
            if ticks > MAX_TICKS:
                return MAX_TICKS
        return ticks if ticks > 1 else 1

    def liquidation_fee(self, account, m, ticks, lots):
        """Charge the market's liquidation rate on lots closed by a liquidation, into the insurance fund.

        At most what equity is left, so the fee itself never makes an account bankrupt. Returns the fee.
        """
        i: cython.longlong
        p: cython.longlong
        asset: cython.longlong
        fee: cython.longlong
        equity: cython.longlong
        fund: cython.longlong
        i = self._slot(account, m)
        if i < 0:
            return 0
        asset = self.market_asset[m]
        p = account * self.n_assets + asset
        fee = self._fee(m, ticks, lots, self.liquidation_rate[m])
        equity = self._equity(account, asset)
        if fee == INVALID or equity == INVALID:
            self._fail(FAILED_LIQUIDATION, account, m)
            return 0
        if fee > equity:
            fee = equity if equity > 0 else 0
        fund = add_exact(self.pool_insurance[asset], fee)
        if fund == INVALID:
            self._fail(FAILED_LIQUIDATION, account, m)
            return 0
        self.wallets[p] = self.wallets[p] - fee
        self.pool_insurance[asset] = fund
        self.liquidation_fees[i] = self.liquidation_fees[i] + fee
        return fee

    def takeover(self, account, m):
        """The insurance fund takes the whole position at the bankruptcy price; returns its signed lots, 0 if none.

        No fee. The fund is taken to close at the mark: what that gains or costs it is booked to ``insurance`` against
        ``market_pnl``. A limited fund that cannot bear it deleverages the other side at the bankruptcy price instead
        (``last_cause`` CAUSE_ADL, else CAUSE_LIQUIDATION). See ``last_ticks``, ``last_realized_e8``.
        """
        i: cython.longlong
        asset: cython.longlong
        lots: cython.longlong
        size: cython.longlong
        ticks: cython.longlong
        gain: cython.longlong
        fund: cython.longlong
        market: cython.longlong
        i = self._slot(account, m)
        if i < 0 or self.positions[i] == 0:
            return 0
        asset = self.market_asset[m]
        lots = self.positions[i]
        size = lots if lots > 0 else -lots
        ticks = self.bankruptcy_ticks(account, m)
        gain = sub_exact(self._value_at_mark(m, size, self.entry_den[m]), self._value(m, ticks, size))
        gain = mul_div(gain, 1, self.entry_den[m], HALF_EVEN)
        if ticks == 0 or self.marks[m] == 0 or gain == INVALID:
            self._fail(FAILED_LIQUIDATION, account, m)
            return 0
        if (lots < 0) != (self.market_inverse[m] != 0):
            gain = -gain
        if not self._apply(account, m, SELL if lots > 0 else BUY, ticks, size, 0):
            return 0
        self.last_cause = CAUSE_LIQUIDATION
        fund = add_exact(self.pool_insurance[asset], gain)
        market = sub_exact(self.pool_market[asset], gain)
        if fund < 0 and self.fund_limited[asset]:
            self.last_cause = CAUSE_ADL
        elif fund == INVALID or market == INVALID:
            self._fail(FAILED_LIQUIDATION, account, m)
        else:
            self.pool_insurance[asset] = fund
            self.pool_market[asset] = market
        self._settle(account, m)
        return lots

    def _has_position(self, account, asset):
        m: cython.longlong
        for m in range(self.n_markets):
            if self.market_asset[m] == asset and self.positions[account * self.n_markets + m] != 0:
                return True
        return False

    def _settle(self, account, m):
        """A flat account's wallet below zero is brought to 0 by the insurance fund, in markets with margin.

        What a limited fund lacks is borne by the deleveraged other side, which is ``market_pnl``.
        """
        p: cython.longlong
        asset: cython.longlong
        deficit: cython.longlong
        paid: cython.longlong
        asset = self.market_asset[m]
        p = account * self.n_assets + asset
        deficit = -self.wallets[p]
        if self.bracket_count[m] == 0 or deficit <= 0 or self._has_position(account, asset):
            return
        paid = deficit
        if self.fund_limited[asset] and paid > self.pool_insurance[asset]:
            paid = self.pool_insurance[asset] if self.pool_insurance[asset] > 0 else 0
        self.wallets[p] = 0
        self.covered[p] = self.covered[p] + deficit
        self.pool_insurance[asset] = self.pool_insurance[asset] - paid
        self.pool_market[asset] = self.pool_market[asset] - (deficit - paid)

    def _can_reduce(self, account, m, side, lots):
        """-1 is the unnamed market, which can always."""
        position: cython.longlong
        if account == -1:
            return True
        if self._slot(account, m) < 0:
            return False
        position = self.positions[account * self.n_markets + m]
        return lots <= (position if side == SELL else -position)

    def adl(self, bankrupt, counterparty, m, side, ticks, lots):
        """Auto-deleveraging: close ``lots`` of both accounts against each other at the bankrupt one's price, no fee.

        ``side`` closes the bankrupt account; either account may be -1, somebody outside this ledger. Books nothing,
        sets ``failed`` and returns False if a position is smaller than ``lots``. (Binance support 360033525471.)
        """
        other: cython.longlong
        other = SELL if side == BUY else BUY
        if lots <= 0 or not self._can_reduce(bankrupt, m, side, lots) or not self._can_reduce(counterparty, m, other, lots):
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

    # -- prices for display

    def entry_price_e8(self, account, m):
        """The average entry price at 1e-8, half-even, derived from the entry value; 0 without a position."""
        i: cython.longlong
        size: cython.longlong
        price: cython.longlong
        i = self._slot(account, m)
        if i < 0 or self.positions[i] == 0:
            return 0
        size = self.positions[i] if self.positions[i] > 0 else -self.positions[i]
        if self.market_inverse[m]:
            price = mul_div(self.lot_num[m], self.entry_den[m], 1, TRUNC)
            price = mul3_div(size, price, 100000000, self.lot_den[m], self.entries[i], HALF_EVEN)
        else:
            size = mul_div(size, self.lot_num[m], 1, TRUNC)
            price = mul3_div(self.entries[i], self.lot_den[m], 1, size, self.entry_den[m], HALF_EVEN)
        return 0 if price == INVALID else price

    def _liquidation_price_in(self, i, m, others, k):
        """The price at which equity meets maintenance in bracket k, other positions as they are; INVALID if none."""
        j: cython.longlong
        direction: cython.longlong
        size: cython.longlong
        money: cython.longlong
        rate: cython.longlong
        per: cython.longlong
        rounding: cython.int
        one: cython.longlong
        one = 1000000000000
        j = m * BRACKETS_STRIDE + k
        direction = 1 if self.positions[i] > 0 else -1
        rounding = CEIL if direction > 0 else FLOOR
        size = self.positions[i] * direction
        money = mul_div(self.entries[i], 1, self.entry_den[m], HALF_EVEN) * direction
        others = add_exact(others, self.bracket_cum[j])
        if self.market_inverse[m]:
            rate = self.bracket_rate[j] + direction * one
            per = mul_div(self.lot_den[m], 10000, 1, TRUNC)  # 1e8 of the value / 1e12 of the rate = 1 / 1e4
            return mul3_div(size, self.lot_num[m], rate, per, add_exact(others, money), rounding)
        rate = self.bracket_rate[j] - direction * one
        size = mul_div(size, self.lot_num[m], 1, TRUNC)
        return mul3_div(sub_exact(others, money), self.lot_den[m], 1000000000000, size, rate, rounding)

    def liquidation_price_e8(self, account, m):
        """The mark at which the position is liquidated if nothing else moves, at 1e-8; 0 if none (or no margin).

        Binance's formula (support b3c689c1f50a44cabb3a84e663b81d93), one-way mode, wallet W, other positions' maintenance
        TMM and profit UPNL, entry value V, direction d, size Q: linear (W - TMM + UPNL + cum - d V) / (Q (rate - d));
        inverse Q C (rate + d) / (W - TMM + UPNL + cum + d V). Maintenance is the largest of notional * rate - cum over
        the brackets, so of the brackets' prices a long takes the highest and a short the lowest.
        """
        i: cython.longlong
        k: cython.longlong
        asset: cython.longlong
        others: cython.longlong
        price: cython.longlong
        found: cython.longlong
        i = self._slot(account, m)
        if i < 0 or self.positions[i] == 0 or self.bracket_count[m] == 0:
            return 0
        asset = self.market_asset[m]
        others = sub_exact(self._equity(account, asset), self._unrealized(i, m))
        others = sub_exact(others, sub_exact(self._maintenance(account, asset), self._maintenance_of(i, m)))
        found = 0
        for k in range(self.bracket_count[m]):
            price = self._liquidation_price_in(i, m, others, k)
            if price <= 0:
                continue
            if found == 0 or (price > found) == (self.positions[i] > 0):
                found = price
        return found

    # -- what is on record

    def position(self, account, m):
        """Signed lots."""
        i: cython.longlong
        i = self._slot(account, m)
        return self.positions[i] if i >= 0 else 0

    def entry_value(self, account, m):
        """Value paid for the position, not negative, in 1e-8 / entry_den (``arrays["entry_den"][m]``)."""
        i: cython.longlong
        i = self._slot(account, m)
        return self.entries[i] if i >= 0 else 0

    def wallet(self, account, asset):
        """Wallet balance: deposits, realised PnL, fees, funding and what the insurance fund covered."""
        p: cython.longlong
        p = self._pocket(account, asset)
        return self.wallets[p] if p >= 0 else 0

    def _sum(self, column, account, asset):
        m: cython.longlong
        total: cython.longlong
        total = 0
        if self._pocket(account, asset) < 0:
            return 0
        for m in range(self.n_markets):
            if self.market_asset[m] == asset:
                total = total + column[account * self.n_markets + m]
        return total

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
        p: cython.longlong
        p = self._pocket(account, asset)
        return self.covered[p] if p >= 0 else 0

    def total_e8(self, asset: int) -> int:
        """All wallets and pools of an asset."""
        wallets = self.arrays["wallets"][asset :: self.n_assets].tolist()
        return sum(wallets) + sum(int(self.arrays[name][asset]) for name in POOL_COLUMNS[:4])

    def deposited_e8(self, asset: int) -> int:
        """What ``total_e8`` must be: all deposits, and a limited insurance fund's first balance."""
        wallets = self.arrays["deposits"][asset :: self.n_assets].tolist()
        return sum(wallets) + max(int(self.arrays["fund_limited"][asset]) - 1, 0)

    def state_hash(self) -> str:
        """sha256 over every array, by name, as little-endian int64: equal states have equal hashes."""
        digest = hashlib.sha256()
        for name in sorted(self.arrays):
            digest.update(name.encode())
            digest.update(self.arrays[name].astype("<i8").tobytes())
        digest.update(f"{self.failed},{self.failed_account},{self.failed_market}".encode())
        return digest.hexdigest()
