"""A small venue whose liquidation can be watched: one linear market, lanes with margin, and a checker of all its books.

A tick is 0.1, a lot 0.001, so a tick of a lot is 0.0001. Maintenance is 1 % up to 10,000, 2 % up to 100,000 and 5 %
above; leverage 20.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from matching.brackets import Brackets
from matching.codes import (
    EV_ADL,
    EV_FILLED,
    EV_FUNDING,
    EV_LIQUIDATED,
    GTC,
    IOC,
    LIMIT,
    MARKET,
    NEED_DATA,
    SELL,
)
from matching.forms import OrderForms
from matching.kernel import LOG_COLUMNS, Core, LatencyTable
from matching.ledger import Ledger
from matching.liquidation import Terms
from matching.procedures import Takers, make
from tests.sim.markets import MS, T0, Tape

E8 = 10**8
E12 = 10**12
PERCENT = 10**10
TIERS = Brackets(
    floor_e8=(0, 10_000 * E8, 100_000 * E8),
    cap_e8=(10_000 * E8, 100_000 * E8, 10**16),
    rate_e12=(PERCENT, 2 * PERCENT, 5 * PERCENT),
    cum_e8=(0, 100 * E8, 3_100 * E8),
    max_leverage=(20, 20, 20),
)
TICK_E8 = 10**7
# the facts of the venues as their cards state them
TERMS = {
    "binance": Terms(procedure="ioc_then_fund", fee_form="own_rate", adl_rank="profit_times_margin_ratio"),
    "bybit_isolated": Terms(
        procedure="tier_step_down", tiers_per_step=1, whole_up_to_tier=1, fee_form="taker", cancels="symbol",
        adl_rank="profit_times_leverage",
    ),
    "bybit_cross": Terms(
        procedure="ladder_then_takeover", chunk_fraction_e12=E12 // 4, fee_form="taker",
        adl_rank="profit_times_leverage",
    ),
    "okx": Terms(
        procedure="tier_step_down", tiers_per_step=2, whole_up_to_tier=2, fee_form="taker",
        adl_rank="profit_times_leverage", adl_price="mark",
    ),
    "hyperliquid": Terms(
        procedure="book_then_vault", first_fraction_e12=E12 // 5, first_fraction_above_e8=100_000 * E8,
        cooldown_ns=30 * 10**9, block_ns=100 * MS, takeover_ratio_e12=E12 * 2 // 3, fee_form="taker",
        adl_rank="mark_over_entry_times_leverage", adl_price="prior_mark",
    ),
    "dydx": Terms(
        procedure="fillable_price", cancels="none", block_ns=10**9, block_fraction_e12=E12 // 10,
        block_least_e8=1_000 * E8, block_most_e8=100_000 * E8, block_loss_most_e8=10**6 * E8,
        fillable_adjustment_e12=E12, fillable_spread_e12=3 * E12 // 2, fee_form="excess_up_to",
        fee_rate_e12=15 * 10**9, adl_rank="pseudo_random",
    ),
    "deribit": Terms(
        procedure="chunks", chunk_fraction_e12=E12 // 10, cooldown_ns=10**9, fee_form="own_rate", adl_rank="none",
    ),
}  # fmt: skip


class Scene:
    """One venue, ``deposits`` of its lanes, a tape; the desk and everything that it wrote down."""

    def __init__(
        self, terms: Terms, tape: Tape, deposits: tuple[int, ...] = (1000,), fund: int | None = None,
        taker_e12: int = 0, hedge: bool = False, seed: int = 1,
    ) -> None:  # fmt: skip
        self.ledger = Ledger(len(deposits), 2 if hedge else 1, 1)
        for leg in range(2 if hedge else 1):
            self.ledger.configure_market(leg, 0, False, 10_000, 1, 1, 1000, 0, taker_e12, 12_500_000_000, TIERS)
        if hedge:
            self.ledger.set_legs(0, 1)
        self.core = Core(1, len(deposits), self.ledger, seed)
        for lane, deposit in enumerate(deposits):
            self.core.configure_lane(lane, [lane])
            self.ledger.deposit(lane, 0, deposit * E8)
            for leg in range(self.ledger.n_markets):
                self.ledger.set_leverage(lane, leg, 20)
        if fund is not None:
            self.ledger.limit_insurance(0, fund * E8)
        forms = OrderForms(hedge=True) if hedge else None
        self.core.configure_market(0, margin=True, tick_e8=(TICK_E8, 1), window_ticks=1 << 14, forms=forms)
        self.core.set_latency(0, LatencyTable.constant(0), LatencyTable.constant(MS))
        self.desk: Takers = make(self.core, 0, terms)
        self.core.set_liquidation(0, self.desk)
        self.core.set_window(0, tape.window(), True)
        self.rows: list[dict[str, int]] = []
        self.numbers = 0

    def order(self, at_ns: int, side: int, lots: int, ticks: int = 0, lane: int = 0, leg: int = 0) -> None:
        """A market order, or with ``ticks`` one that rests, sent ``at_ns`` after the start; ``leg``: its flag."""
        self.to(at_ns)
        self.numbers += 1
        kind, tif = (LIMIT, GTC) if ticks else (MARKET, IOC)
        self.core.submit(lane, 0, self.numbers, side, ticks, lots, tif, kind, leg)

    def to(self, at_ns: int) -> Scene:
        assert self.core.advance(T0 + at_ns) != NEED_DATA
        columns = self.core.drain_log(False)
        names = LOG_COLUMNS
        self.rows += [dict(zip(names, map(int, row), strict=True)) for row in zip(*columns.values(), strict=True)]
        return self

    def end(self, at_ns: int = 10**12) -> Scene:
        self.to(at_ns)
        columns = self.core.drain_log(True)
        self.rows += [dict(zip(LOG_COLUMNS, map(int, row), strict=True)) for row in zip(*columns.values(), strict=True)]
        self.check()
        return self

    def events(self, lane: int = 0) -> list[tuple[int, int, int, int]]:
        """What the venue did to a lane: (order number, event, ticks, lots) in the order in which it happened."""
        return [(r["order_no"], r["event"], r["ticks"], r["lots"]) for r in self.rows
                if r["lane"] == lane and (r["order_no"] <= 0)]  # fmt: skip

    def kinds(self) -> list[str]:
        return [row[4] for row in self.core.transfers]

    def moved(self, kind: str, party: str) -> tuple[int, int]:
        """Lots and money that a party got in bookings of a kind."""
        rows = [row for row in self.core.transfers if row[4] == kind and row[5] == party]
        return sum(row[6] for row in rows), sum(row[8] for row in rows)

    def check(self) -> None:
        """Money and lots of every booking sum to zero; the log alone gives every wallet and position."""
        ledger = self.ledger
        assert ledger.total_e8(0) == ledger.deposited_e8(0) and ledger.failure() is None
        sums: dict[Any, list[int]] = defaultdict(lambda: [0, 0])
        for ts, lane, account, m, kind, _, lots, ticks, amount in self.core.transfers:
            sums[ts, lane, account, m, kind, ticks][0] += lots
            sums[ts, lane, account, m, kind, ticks][1] += amount
        assert all(total == [0, 0] for total in sums.values()), sums
        wallets: dict[int, int] = defaultdict(int)
        positions: dict[int, int] = defaultdict(int)
        for row in self.rows:
            if row["event"] in (EV_FILLED, EV_LIQUIDATED, EV_ADL):
                positions[row["lane"]] += -row["lots"] if row["side"] == SELL else row["lots"]
                wallets[row["lane"]] += row["realized_e8"] - row["fee_e8"]
            elif row["event"] == EV_FUNDING:
                wallets[row["lane"]] += row["fee_e8"]
        for lane in range(self.core.n_lanes):
            deposit = int(ledger.arrays["deposits"][lane])
            assert sum(ledger.position(lane, leg) for leg in range(ledger.n_markets)) == positions[lane]
            assert ledger.wallet(lane, 0) == deposit + wallets[lane] + ledger.covered_e8(lane, 0), lane
