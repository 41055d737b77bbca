"""The columns of the ledger and the arithmetic on them; ``ledger.py`` documents the rules and holds the public face.

``Accounts`` owns every array, checks what it is configured with, and books executions. Its methods with a leading
underscore are the kernel's: indices are taken as checked, amounts that do not fit int64 come back as ``INVALID``, and
a booking that cannot be made whole is not made at all.
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
}
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


class Accounts:
    """Arrays of ``n_accounts`` accounts over ``n_markets`` markets in ``n_assets`` assets, and how they change."""

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
        entry_scale: int = 100,
    ) -> None:
        """Say what market ``m`` is. ``brackets``: a ``Brackets``, or anything with its fields; None turns margin off.

        ``entry_scale``: for inverse markets, the fraction of 1e-8 at which entry value is kept; 100 leaves room for
        positions worth 9 * 10**8 coins. Roundings are those of ``matching.arith`` (3 = HALF_EVEN). Every account's
        leverage there becomes 1. Raises ValueError, also when positions or open orders exist.
        """
        where = f"Ledger.configure_market({m})"
        if not 0 <= m < self.n_markets or not 0 <= asset < self.n_assets:
            raise ValueError(f"{where}: market or asset {asset} does not exist")
        den = entry_scale if inverse else value_den
        for name, value, most in (
            ("value_num", value_num, 1 << 62),
            ("value_den", value_den, 1 << 40),
            ("lot_num", lot_num, 1 << 62),
            ("lot_den", lot_den, 1 << 40),
            ("entry_scale", entry_scale, 10**8),
            ("lot_num * entry_den", lot_num * den, 1 << 62),
        ):
            if not 0 < value <= most:
                raise ValueError(f"{where}: {name} is {value}, wanted 1 to {most}")
        rates = (("maker", maker_rate_e12), ("taker", taker_rate_e12), ("liquidation", liquidation_rate_e12))
        for name, value in rates:
            if not -(10**12) < value < 10**12:  # a rate of 1 takes everything
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

    # -- the whole

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

    # -- failure and indices

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

    def _or_fail(self, value, what, account, m):
        """``value``, or 0 and failed if it is INVALID."""
        if value != INVALID:
            return value
        self._fail(what, account, m)
        return 0

    # -- values; INVALID if they do not fit

    def _value(self, m, ticks, lots):
        """Value of lots at ticks, in entry units."""
        if self.market_inverse[m]:
            return mul3_div(lots, self.value_num[m], self.entry_den[m], ticks, self.value_den[m], HALF_EVEN)
        return mul3_div(ticks, lots, self.value_num[m], 1, 1, TRUNC)

    def _value_at_mark(self, m, lots, scale):
        """Value of lots at the mark, in units of 1e-8 / scale; 0 before the first mark."""
        mark: cython.longlong = self.marks[m]
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

    # -- bookings

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
        return True

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
        """A flat account's wallet below zero is brought to 0 by the insurance fund, in markets with margin.

        What a limited fund lacks is borne by the deleveraged other side, which is ``market_pnl``.
        """
        asset: cython.longlong = self.market_asset[m]
        p: cython.longlong = account * self.n_assets + asset
        deficit: cython.longlong = sub_exact(0, self.wallets[p])
        if self.bracket_count[m] == 0 or deficit <= 0 or self._has_position(account, asset):
            return
        paid: cython.longlong = deficit
        if self.fund_limited[asset] and paid > self.pool_insurance[asset]:
            paid = self.pool_insurance[asset] if self.pool_insurance[asset] > 0 else 0
        fund: cython.longlong = sub_exact(self.pool_insurance[asset], paid)
        market: cython.longlong = sub_exact(self.pool_market[asset], deficit - paid)
        if fund == INVALID or market == INVALID:
            self._fail(FAILED_LIQUIDATION, account, m)
            return
        self.wallets[p] = 0
        self.covered[p] = self.covered[p] + deficit
        self.pool_insurance[asset] = fund
        self.pool_market[asset] = market

    def _has_position(self, account, asset):
        m: cython.longlong
        for m in range(self.n_markets):
            if self.market_asset[m] == asset and self.positions[account * self.n_markets + m] != 0:
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

    # -- equity and margin; INVALID if they do not fit

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

    def _equity(self, account, asset):
        m: cython.longlong
        total: cython.longlong = self.wallets[account * self.n_assets + asset]
        for m in range(self.n_markets):
            if self.market_asset[m] == asset:
                total = add_exact(total, self._unrealized(account * self.n_markets + m, m))
        return total

    def _maintenance_at(self, m, notional_e8):
        """notional * rate - cum of its bracket, rounded up; beyond the last bracket that one goes on."""
        if notional_e8 == INVALID:
            return INVALID
        j: cython.longlong = m * BRACKETS_STRIDE
        k: cython.longlong = self.bracket_count[m] - 1
        while k > 0 and self.bracket_floor[j + k] >= notional_e8:
            k = k - 1
        return sub_exact(mul_div(notional_e8, self.bracket_rate[j + k], 1000000000000, CEIL), self.bracket_cum[j + k])

    def _maintenance_of(self, i, m):
        size: cython.longlong = self.positions[i] if self.positions[i] >= 0 else -self.positions[i]
        if size == 0 or self.bracket_count[m] == 0:
            return 0
        return self._maintenance_at(m, self._value_at_mark(m, size, 1))

    def _maintenance(self, account, asset):
        m: cython.longlong
        total: cython.longlong = 0
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
        total: cython.longlong = 0
        for m in range(self.n_markets):
            if self.market_asset[m] == asset:
                i = account * self.n_markets + m
                total = add_exact(total, self._initial_at(i, m, self._exposure(i)))
        return total

    def _liquidation_price_in(self, i, m, others, k):
        """The price at which equity meets maintenance in bracket k, other positions as they are; INVALID if none."""
        rate: cython.longlong
        per: cython.longlong
        one: cython.longlong = 1000000000000
        j: cython.longlong = m * BRACKETS_STRIDE + k
        direction: cython.longlong = 1 if self.positions[i] > 0 else -1
        rounding: cython.int = CEIL if direction > 0 else FLOOR
        size: cython.longlong = self.positions[i] * direction
        money: cython.longlong = mul_div(self.entries[i], 1, self.entry_den[m], HALF_EVEN) * direction
        others = add_exact(others, self.bracket_cum[j])
        if self.market_inverse[m]:
            rate = self.bracket_rate[j] + direction * one
            per = mul_div(self.lot_den[m], 10000, 1, TRUNC)  # 1e8 of the value / 1e12 of the rate = 1 / 1e4
            return mul3_div(size, self.lot_num[m], rate, per, add_exact(others, money), rounding)
        rate = self.bracket_rate[j] - direction * one
        size = mul_div(size, self.lot_num[m], 1, TRUNC)
        return mul3_div(sub_exact(others, money), self.lot_den[m], 1000000000000, size, rate, rounding)

    def _sum(self, column, account, asset):
        m: cython.longlong
        total: cython.longlong = 0
        if self._pocket(account, asset) < 0:
            return 0
        for m in range(self.n_markets):
            if self.market_asset[m] == asset:
                total = add_exact(total, column[account * self.n_markets + m])
        return self._or_fail(total, FAILED_FILL, account, -1)
