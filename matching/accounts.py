"""The columns of the ledger: what an account, a market and a wallet are, and the value of lots at a price.

The ledger is one object in five layers, each a module: ``Accounts`` (here) owns every array and checks what it is
configured with; ``margin.Margin`` reads equity, margin and the prices that follow from them; ``bookings.Bookings``
changes positions and wallets; ``settings.Settings`` answers requests to change leverage and margin mode;
``ledger.Ledger`` is the public face and documents the rules. Methods with a leading underscore are the kernel's:
indices are taken as checked, amounts that do not fit int64 come back as ``INVALID``, and a booking that cannot be made
whole is not made at all.
"""

import hashlib

import cython
import numpy as np

from matching.brackets import BRACKETS_MAX, RATE_ONE, Brackets

if not cython.compiled:
    from matching.arith import HALF_EVEN, INVALID, TRUNC, mul3_div, mul_div

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
    TIER_BY_LOTS = 1
    SLOPED = 2
    INITIAL_FROM_TIER = 4
    FEE_AT_MARK = 8
    FEE_AT_BANKRUPTCY = 16
    DISPLAY_WITHOUT_FEE = 32
    SETTLE_ON_TOUCH = 64
    FUNDING_FROM_CROSS = 128

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
    "taker_rate", "liquidation_rate", "fee_rounding", "funding_rounding", "marks", "bracket_count", "fee_unit",
    "funding_unit",
)  # fmt: skip
# what ``configure_margin``, ``configure_settings`` and ``set_legs`` say; 0 is the default (``legs``: -1)
MARGIN_COLUMNS = ("margin_flags", "oi_lower", "oi_upper", "setting_rules", "removal_rate", "legs")
BRACKET_COLUMNS = (
    "bracket_floor", "bracket_cap", "bracket_rate", "bracket_cum", "bracket_leverage", "bracket_slope",
    "bracket_initial", "bracket_initial_slope", "bracket_initial_base",
)  # fmt: skip
POSITION_COLUMNS = (
    "positions", "entries", "open_bids", "open_asks", "leverages", "max_notionals", "realized", "fees",
    "liquidation_fees", "fundings", "modes", "isolated", "accrued",
)  # fmt: skip
WALLET_COLUMNS = ("wallets", "deposits", "covered", "isolated_sums", "pool_bids", "pool_asks")
ACCOUNT_COLUMNS = ("isolated_markets", "pool_units")
POOL_COLUMNS = ("pool_fees", "pool_market", "pool_funding", "pool_insurance", "fund_limited")
CLOSE_FEES = {"none": 0, "taker_at_mark": FEE_AT_MARK, "taker_at_bankruptcy": FEE_AT_BANKRUPTCY}


class Accounts:
    """Arrays of ``n_accounts`` accounts over ``n_markets`` markets in ``n_assets`` assets, and how they change."""

    def __init__(self, n_accounts: int, n_markets: int, n_assets: int) -> None:
        for name, value in (("n_accounts", n_accounts), ("n_markets", n_markets), ("n_assets", n_assets)):
            if not 1 <= value <= 1 << 20:
                raise ValueError(f"Ledger: {name} is {value}, wanted 1 to {1 << 20}")
        self.n_accounts, self.n_markets, self.n_assets = n_accounts, n_markets, n_assets
        self.failed, self.failed_account, self.failed_market = 0, -1, -1
        self.last_realized_e8, self.last_fee_e8, self.last_ticks, self.last_lots, self.last_cause = 0, 0, 0, 0, 0
        self.last_released_e8 = 0
        sizes = (
            (MARKET_COLUMNS, n_markets),
            (MARGIN_COLUMNS, n_markets),
            (ACCOUNT_COLUMNS, n_accounts),
            (BRACKET_COLUMNS, n_markets * BRACKETS_STRIDE),
            (POSITION_COLUMNS, n_accounts * n_markets),
            (WALLET_COLUMNS, n_accounts * n_assets),
            (POOL_COLUMNS, n_assets),
        )
        self.arrays = {name: np.zeros(size, dtype=np.int64) for names, size in sizes for name in names}
        for name in ("market_asset", "legs", "pool_units"):
            self.arrays[name].fill(-1)
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
        self.fee_unit, self.funding_unit, self.marks = views["fee_unit"], views["funding_unit"], views["marks"]
        self.margin_flags, self.legs = views["margin_flags"], views["legs"]
        self.oi_lower, self.oi_upper = views["oi_lower"], views["oi_upper"]
        self.setting_rules, self.removal_rate = views["setting_rules"], views["removal_rate"]
        self.bracket_count, self.bracket_floor = views["bracket_count"], views["bracket_floor"]
        self.bracket_cap, self.bracket_rate = views["bracket_cap"], views["bracket_rate"]
        self.bracket_cum, self.bracket_leverage = views["bracket_cum"], views["bracket_leverage"]
        self.bracket_slope, self.bracket_initial = views["bracket_slope"], views["bracket_initial"]
        self.bracket_initial_slope = views["bracket_initial_slope"]
        self.bracket_initial_base = views["bracket_initial_base"]
        self.positions, self.entries = views["positions"], views["entries"]
        self.open_bids, self.open_asks = views["open_bids"], views["open_asks"]
        self.leverages, self.max_notionals = views["leverages"], views["max_notionals"]
        self.realized, self.fees = views["realized"], views["fees"]
        self.liquidation_fees, self.fundings = views["liquidation_fees"], views["fundings"]
        self.modes, self.isolated, self.accrued = views["modes"], views["isolated"], views["accrued"]
        self.wallets, self.deposits, self.covered = views["wallets"], views["deposits"], views["covered"]
        self.isolated_sums = views["isolated_sums"]
        self.pool_bids, self.pool_asks = views["pool_bids"], views["pool_asks"]
        self.isolated_markets, self.pool_units = views["isolated_markets"], views["pool_units"]
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
        fee_unit: int = 1,
        funding_unit: int = 1,
    ) -> None:
        """Say what market ``m`` is. ``brackets``: a ``Brackets``, or anything with its fields; None turns margin off.

        ``entry_scale``: for inverse markets, the fraction of 1e-8 at which entry value is kept; 100 leaves room for
        positions worth 9 * 10**8 coins. Roundings are those of ``matching.arith`` (3 = HALF_EVEN), to multiples of
        ``fee_unit`` and ``funding_unit`` (in 1e-8). Every account's leverage there becomes 1 and its margin cross.
        Raises ValueError, also when positions or open orders exist.
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
            ("fee_unit", fee_unit, 10**6),
            ("funding_unit", funding_unit, 10**6),
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
            liquidation_rate_e12, fee_rounding, funding_rounding, 0, 0, fee_unit, funding_unit,
        )  # fmt: skip
        for name, value in zip(MARKET_COLUMNS, values, strict=True):
            self.arrays[name][m] = value
        for name in MARGIN_COLUMNS:
            self.arrays[name][m] = -1 if name == "legs" else 0
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
            self.bracket_slope[j], self.bracket_initial_slope[j] = table.slope_e12[k], table.initial_slope_e12[k]
            self.bracket_initial[j] = self.bracket_initial_base[j] = table.initial_e12[k]
        for a in range(self.n_accounts):
            i = a * self.n_markets + m
            if self.modes[i]:
                self.modes[i] = 0
                self.isolated_markets[a] -= 1
            self.leverages[i] = 1
            self.max_notionals[i] = table.cap_e8[rows - 1] if rows else 0

    def configure_margin(
        self,
        m: int,
        *,
        form: str = "bracket_deduction",
        tier_key: str = "notional",
        initial_from: str = "leverage",
        close_fee: str = "none",
        liquidation_price: str = "exact",
        open_interest_lower_e8: int = 0,
        open_interest_upper_e8: int = 0,
        settle_on_touch: bool = False,
        isolated_funding: str = "isolated",
    ) -> None:
        """Say how the brackets of market ``m`` become margin. After ``configure_market``, whose defaults are these.

        ``form``: ``bracket_deduction`` (notional * rate - cum), ``flat`` (notional * rate of its tier), ``linear``
        (notional * (rate + slope * size in coins)). ``tier_key``: ``notional``, or ``contracts``: the table's floors
        and caps are lots. ``initial_from``: ``leverage`` (the account's), or ``tier`` (the table's initial rates,
        raised by open interest between the two bounds, see ``set_open_interest``). ``close_fee``: taker fee for
        closing, counted as margin: ``taker_at_mark`` in the maintenance margin, ``taker_at_bankruptcy`` in both.
        ``liquidation_price``: ``exact``, or ``estimate``: a cross position's is shown without its close fee.
        ``settle_on_touch``: accrued funding is booked when a fill touches the account. ``isolated_funding``:
        ``isolated``, or ``available``: paid from the cross wallet while it lasts. Raises ValueError.
        """
        where = f"Ledger.configure_margin({m})"
        if not 0 <= m < self.n_markets or self.bracket_count[m] == 0:
            raise ValueError(f"{where}: no such market, or one without brackets")
        for name, value, words in (
            ("form", form, ("bracket_deduction", "flat", "linear")),
            ("tier_key", tier_key, ("notional", "contracts")),
            ("initial_from", initial_from, ("leverage", "tier")),
            ("close_fee", close_fee, tuple(CLOSE_FEES)),
            ("liquidation_price", liquidation_price, ("exact", "estimate")),
            ("isolated_funding", isolated_funding, ("isolated", "available")),
        ):
            if value not in words:
                raise ValueError(f"{where}: {name} is {value!r}, wanted one of {', '.join(words)}")
        rows, base = self.bracket_count[m], m * BRACKETS_STRIDE
        deducts = any(self.bracket_cum[base + k] for k in range(rows))
        if form != "bracket_deduction" and deducts:
            raise ValueError(f"{where}: form {form!r} has no deductions, the table has")
        jumps = not deducts and any(self.bracket_rate[base + k] != self.bracket_rate[base] for k in range(rows))
        if tier_key == "notional" and jumps:
            raise ValueError(f"{where}: tiers by notional without deductions would make margin jump with the mark")
        if initial_from == "tier" and not all(self.bracket_initial_base[base + k] for k in range(rows)):
            raise ValueError(f"{where}: initial_from 'tier' needs the table's initial_e12")
        if not 0 <= open_interest_lower_e8 <= open_interest_upper_e8 < 1 << 62:
            raise ValueError(f"{where}: open interest bounds must rise from 0 and fit int64")
        flags = CLOSE_FEES[close_fee] | TIER_BY_LOTS * (tier_key == "contracts") | SLOPED * (form == "linear")
        flags |= INITIAL_FROM_TIER * (initial_from == "tier") | DISPLAY_WITHOUT_FEE * (liquidation_price == "estimate")
        flags |= SETTLE_ON_TOUCH * bool(settle_on_touch) | FUNDING_FROM_CROSS * (isolated_funding == "available")
        self.margin_flags[m] = flags
        self.oi_lower[m], self.oi_upper[m] = open_interest_lower_e8, open_interest_upper_e8

    def set_open_interest(self, m: int, notional_e8: int) -> None:
        """The open interest of a market whose initial rate grows with it: I + max(scale (1 - I), 0), at most 1.

        scale = (open interest - lower) / (upper - lower); the rate is kept at 1e-12, rounded up. Nothing happens in
        markets without bounds. Raises ValueError for a negative amount.
        """
        if not 0 <= m < self.n_markets or not 0 <= notional_e8 < 1 << 62:
            raise ValueError(f"Ledger.set_open_interest({m}, {notional_e8}): no such market, or not an amount")
        room = self.oi_upper[m] - self.oi_lower[m]
        if room <= 0:
            return
        for j in range(m * BRACKETS_STRIDE, m * BRACKETS_STRIDE + self.bracket_count[m]):
            base = self.bracket_initial_base[j]
            raised = int(RATE_ONE - base) * max(int(notional_e8) - int(self.oi_lower[m]), 0)
            self.bracket_initial[j] = min(base + -(-raised // room), RATE_ONE)

    def set_legs(self, long_m: int, short_m: int) -> None:
        """Hedge mode: market ``short_m`` holds the short leg of ``long_m``; both are configured alike.

        They share mark, leverage and margin mode, and one liquidation price while both are cross. Raises ValueError.
        """
        where = f"Ledger.set_legs({long_m}, {short_m})"
        if not 0 <= long_m < self.n_markets or not 0 <= short_m < self.n_markets or long_m == short_m:
            raise ValueError(f"{where}: no such pair of markets")
        if self.market_asset[long_m] < 0 or self.market_asset[long_m] != self.market_asset[short_m]:
            raise ValueError(f"{where}: not configured, or in different assets")
        self.legs[long_m], self.legs[short_m] = short_m, long_m

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
        """Value of lots at ticks times a rate, in 1e-8, rounded once, to the market's fee unit."""
        per: cython.longlong
        fee: cython.longlong
        one: cython.longlong = 1000000000000
        unit: cython.longlong = self.fee_unit[m]
        if self.market_inverse[m]:
            per = mul_div(ticks, self.value_den[m], 1, TRUNC)
            fee = mul3_div(lots, self.value_num[m], rate_e12, per, one * unit, self.fee_rounding[m])
        else:
            per = mul3_div(ticks, lots, self.value_num[m], 1, 1, TRUNC)
            fee = mul3_div(per, rate_e12, 1, self.value_den[m], one * unit, self.fee_rounding[m])
        return fee if unit == 1 else mul_div(fee, unit, 1, TRUNC)
