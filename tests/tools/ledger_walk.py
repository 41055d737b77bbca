"""Drives a ledger with pseudo-random operations and prints its state hash and a digest of all answers at intervals.

`python tests/tools/ledger_walk.py SEED STEPS`, with and without PERPSIM_PURE=1: the lines must be equal. Amounts range
from everyday to the ends of int64, indices now and then out of range: what is refused must be refused alike.
"""

from __future__ import annotations

import hashlib
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from matching.arith import INVALID
from matching.brackets import Brackets
from matching.codes import BUY, E8, LIQ_MAKER, LIQ_NONE, LIQ_TAKER, SELL
from matching.ledger import Ledger

INT64_MAX = (1 << 63) - 1
LINEAR = Brackets.with_cum(
    [0, 50_000 * E8, 250_000 * E8, 10**6 * E8],
    [50_000 * E8, 250_000 * E8, 10**6 * E8, 10**7 * E8],
    [4 * 10**9, 5 * 10**9, 10**10, 25 * 10**9],
    [125, 100, 50, 20],
)
INVERSE = Brackets.with_cum([0, 5 * E8], [5 * E8, 50 * E8], [4 * 10**9, 10**10], [125, 20])
PRICE_E8 = (30_000 * E8, 2_000, 30_000 * E8, 30_000 * E8)  # around which each market trades
TICK_E8 = (E8 // 10, 10, E8 // 10, E8 // 10)


def build() -> Ledger:
    """Markets: linear with brackets, linear of a grid finer than 1e-8 without, inverse with, inverse without."""
    ledger = Ledger(3, 4, 2)
    fees = (200_000_000, 500_000_000, 12_500_000_000)
    ledger.configure_market(0, 0, False, 10_000, 1, 1, 1000, *fees, LINEAR)
    ledger.configure_market(1, 0, False, 1, 100, 1, 1000, -50_000_000, 500_000_000, 0, None)
    ledger.configure_market(2, 1, True, 10**11, 1, 10**10, 1, *fees, INVERSE)
    ledger.configure_market(3, 1, True, 10**11, 1, 10**10, 1, *fees, None, entry_scale=10**6)
    ledger.limit_insurance(1, E8 // 10)
    for account in range(3):
        ledger.deposit(account, 0, 5_000 * E8)
        ledger.deposit(account, 1, E8)
        ledger.set_leverage(account, 0, 50)
        ledger.set_leverage(account, 2, 20)
    return ledger


class Walk:
    """One run: a ledger, a generator and the digest of everything the ledger has answered."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.ledger = build()
        self.digest = hashlib.sha256()

    def keep(self, *answers: int) -> None:
        self.digest.update(repr([int(answer) for answer in answers]).encode())

    def wild(self, value: int) -> int:
        """``value``, or sometimes something absurd."""
        if self.rng.random() > 0.004:
            return value
        return self.rng.choice((0, -value, INT64_MAX, -INT64_MAX, INVALID, self.rng.getrandbits(62)))

    def step(self) -> None:
        rng, ledger = self.rng, self.ledger
        account = self.wild(rng.randrange(3))
        m = self.wild(rng.randrange(4))
        market = m if 0 <= m < 4 else 0
        side = rng.choice((BUY, SELL))
        ticks = self.wild(int(PRICE_E8[market] * rng.uniform(0.9, 1.1)) // TICK_E8[market])
        lots = self.wild(rng.choice((1, 3, 17, 250, 4_000)))
        mark = self.wild(int(PRICE_E8[market] * rng.uniform(0.85, 1.15)))
        kind = rng.randrange(10)
        if kind < 3:
            self.keep(ledger.fill(account, m, side, ticks, lots, rng.choice((LIQ_NONE, LIQ_MAKER, LIQ_TAKER))))
            self.keep(ledger.last_realized_e8, ledger.last_fee_e8)
        elif kind == 3:
            reason = ledger.check_open(account, m, side, ticks, lots, rng.random() < 0.1)
            if reason == 0:
                ledger.order_added(account, m, side, ticks, lots)
            self.keep(reason)
        elif kind == 4:
            ledger.order_removed(account, m, side, ticks, min(lots, ledger.open_lots(account, m, side)))
        elif kind == 5:
            ledger.set_mark(m, mark)
        elif kind == 6:
            position = ledger.position(account, m)
            self.keep(ledger.funding(account, m, position, mark, self.wild(rng.randrange(-(10**9), 10**9))))
        elif kind == 7:
            self.liquidate(account)
        elif kind == 8:
            self.keep(ledger.adl(rng.choice((account, -1)), rng.choice((0, 1, 2, -1)), m, side, ticks, lots))
            self.keep(ledger.fill_with_fee(account, m, side, ticks, lots, self.wild(rng.randrange(-100, 10**9))))
        else:
            self.read(account, m)

    def liquidate(self, account: int) -> None:
        ledger = self.ledger
        asset = ledger.liquidatable_asset(account)
        self.keep(asset)
        for m in range(4):
            if asset != (0, 0, 1, 1)[m] or not ledger.margin_on(m):
                continue
            self.keep(ledger.bankruptcy_ticks(account, m), ledger.liquidation_price_e8(account, m))
            position = ledger.position(account, m)
            if position:
                ticks, lots = ledger.bankruptcy_ticks(account, m), (abs(position) + 1) // 2
                self.keep(ledger.fill(account, m, SELL if position > 0 else BUY, ticks, lots, LIQ_NONE))
                self.keep(ledger.liquidation_fee(account, m, ticks, lots))
                self.keep(ledger.takeover(account, m), ledger.last_cause, ledger.last_ticks)

    def read(self, account: int, m: int) -> None:
        ledger = self.ledger
        for f in (ledger.position, ledger.entry_value, ledger.unrealized_e8, ledger.market_maintenance_e8):
            self.keep(f(account, m))
        self.keep(ledger.entry_price_e8(account, m), ledger.liquidation_price_e8(account, m), ledger.mark_e8(m))
        asset = m % 3
        for f in (ledger.wallet, ledger.equity_e8, ledger.maintenance_e8, ledger.initial_e8, ledger.margin_ratio_e12):
            self.keep(f(account, asset))
        for f in (ledger.realized_e8, ledger.fees_e8, ledger.funding_e8, ledger.liquidation_fees_e8, ledger.covered_e8):
            self.keep(f(account, asset))


def walk(seed: int, steps: int, every: int) -> list[str]:
    run, lines = Walk(seed), []
    for step in range(1, steps + 1):
        run.step()
        assert run.ledger.total_e8(0) == run.ledger.deposited_e8(0), step
        assert run.ledger.total_e8(1) == run.ledger.deposited_e8(1), step
        if step % every == 0:
            lines.append(f"{step} {run.ledger.state_hash()} {run.digest.hexdigest()} {run.ledger.failure()}")
    return lines


if __name__ == "__main__":
    print("\n".join(walk(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 500)))
