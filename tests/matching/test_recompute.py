"""The independent recomputation of wallets agrees with the ledger on recorded runs and notices every unit."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from matching.codes import (
    BUY,
    CAUSE_LIQUIDATION,
    CAUSE_QUEUE,
    CAUSE_TAKER,
    E8,
    LIQ_MAKER,
    LIQ_NONE,
    LIQ_TAKER,
    SELL,
)
from matching.ledger import Ledger

ROOT = Path(__file__).resolve().parents[2]
RATES = {"maker_rate_e12": 200_000_000, "taker_rate_e12": 500_000_000, "liquidation_rate_e12": 12_500_000_000}
MARKETS: list[dict[str, Any]] = [
    {"name": name, "settle": settle, "inverse": inverse, "tick_size": tick, "lot_size": lot, "contract_size": contract}
    for name, settle, inverse, tick, lot, contract in (
        ("BTCUSDT", "USDT", False, "0.1", "0.001", "1"),
        ("FINE", "USDT", False, "0.0000001", "0.001", "1"),
        ("BTCUSD_PERP", "BTC", True, "0.1", "1", "100"),
    )
]
NUMBERS = ((10_000, 1, 1, 1000), (1, 100, 1, 1000), (10**11, 1, 10**10, 1))
PRICE_TICKS = (300_000, 200, 300_000)
TICK_E8 = (E8 // 10, 10, E8 // 10)
ASSET = (0, 0, 1)
BRACKETS = {"floor_e8": [0], "cap_e8": [1 << 62], "rate_e12": [4 * 10**9], "cum_e8": [0], "max_leverage": [125]}
START_NS, HOUR_NS = 1_680_652_800_000_000_000, 3_600_000_000_000


class Recorder:
    """A run made of ledger calls, written as a run folder."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.ledger = Ledger(2, 3, 2)
        for m, numbers in enumerate(NUMBERS):
            brackets = BRACKETS if m == 0 else None
            self.ledger.configure_market(m, ASSET[m], MARKETS[m]["inverse"], *numbers, *RATES.values(), brackets)
        self.deposits = {(0, 0): 5_000 * E8, (0, 1): E8, (1, 0): 10**5 * E8, (1, 1): 0}
        for (account, asset), amount in self.deposits.items():
            self.ledger.deposit(account, asset, amount)
        self.fills: list[dict[str, Any]] = []
        self.fundings: list[dict[str, Any]] = []

    def record(self, now_ns: int, account: int, m: int, side: int, liquidity: int, cause: int, fee: int) -> None:
        self.fills.append(
            {
                "lane": account, "account": account, "instrument": m, "order_no": len(self.fills),
                "ts_event_ns": now_ns - now_ns % 1_000_000, "side": side, "ticks": self.ledger.last_ticks,
                "lots": self.ledger.last_lots, "liquidity": liquidity, "cause": cause, "fee_e8": fee,
                "realized_e8": self.ledger.last_realized_e8, "position_lots": self.ledger.position(account, m),
                "wallet_e8": self.ledger.wallet(account, ASSET[m]),
            }
        )  # fmt: skip

    def trade(self, now_ns: int) -> None:
        rng = self.rng
        account, m, side = rng.randrange(2), rng.randrange(3), rng.choice((BUY, SELL))
        liquidity, cause = rng.choice(((LIQ_MAKER, CAUSE_QUEUE), (LIQ_TAKER, CAUSE_TAKER)))
        ticks = int(PRICE_TICKS[m] * rng.uniform(0.95, 1.05))
        lots = rng.choice((1, 7, 100)) if m < 2 else rng.choice((1, 3, 20))
        position = self.ledger.position(account, m)
        if position and rng.random() < 0.2:
            side, lots = (SELL if position > 0 else BUY), abs(position)
        fee = self.ledger.fill(account, m, side, ticks, lots, liquidity)
        self.record(now_ns, account, m, side, liquidity, cause, fee)

    def fund(self, boundary_ns: int, booked_ns: int, held: list[list[int]]) -> None:
        for account in range(2):
            for m in range(3):
                if held[account][m]:
                    mark, rate = PRICE_TICKS[m] * TICK_E8[m] + 12_345, self.rng.randrange(-(10**9), 10**9)
                    payment = self.ledger.funding(account, m, held[account][m], mark, rate)
                    self.fundings.append(
                        {
                            "lane": account, "account": account, "instrument": m, "boundary_ns": boundary_ns,
                            "booked_ns": booked_ns, "rate_e12": rate, "mark_e8": mark,
                            "position_lots": held[account][m], "payment_e8": payment,
                        }
                    )  # fmt: skip

    def liquidate(self, now_ns: int) -> None:
        """Leave account 0 in BTCUSDT alone with a position too large, half closed by an order, half taken over."""
        ledger = self.ledger
        for m in (1, 0):
            position = ledger.position(0, m)
            if position:
                side = SELL if position > 0 else BUY
                fee = ledger.fill(0, m, side, PRICE_TICKS[m], abs(position), LIQ_TAKER)
                self.record(now_ns, 0, m, side, LIQ_TAKER, CAUSE_TAKER, fee)
        fee = ledger.fill(0, 0, BUY, PRICE_TICKS[0], 5_000, LIQ_TAKER)
        self.record(now_ns, 0, 0, BUY, LIQ_TAKER, CAUSE_TAKER, fee)
        ticks = ledger.bankruptcy_ticks(0, 0)
        ledger.set_mark(0, (ticks - 50) * TICK_E8[0])
        assert ledger.is_liquidatable(0)
        ledger.fill(0, 0, SELL, ticks + 10, 2_000, LIQ_NONE)
        fee = ledger.liquidation_fee(0, 0, ticks + 10, 2_000)
        self.record(now_ns, 0, 0, SELL, LIQ_TAKER, CAUSE_LIQUIDATION, fee)
        assert ledger.takeover(0, 0) == 3_000
        self.record(now_ns, 0, 0, SELL, LIQ_NONE, CAUSE_LIQUIDATION, 0)

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(self.fills), folder / "fills.parquet")
        pq.write_table(pa.Table.from_pylist(self.fundings), folder / "funding.parquet")
        names = ("USDT", "BTC")
        accounts = [
            {"lane": a, "account": a, "venue": "x", "asset": names[asset], "deposit_e8": amount}
            for (a, asset), amount in self.deposits.items()
        ]
        instruments = [{**market, **RATES} for market in MARKETS]
        (folder / "manifest.json").write_text(json.dumps({"instruments": instruments, "accounts": accounts}))
        ends = [
            {**entry, "wallet_e8": self.ledger.wallet(entry["account"], names.index(entry["asset"]))}
            for entry in accounts
        ]
        (folder / "summary.json").write_text(json.dumps({"accounts": ends}))
        return folder


def record_run(seed: int) -> Recorder:
    """Three hours of fills with three funding boundaries, booked up to a millisecond around the next fill."""
    run, now_ns = Recorder(seed), START_NS
    for hour in range(1, 4):
        boundary_ns = START_NS + hour * HOUR_NS
        for _ in range(60):
            now_ns += run.rng.randrange(1, 50 * 10**9)
            run.trade(min(now_ns, boundary_ns - 1))
        held = [[run.ledger.position(account, m) for m in range(3)] for account in range(2)]
        now_ns = boundary_ns
        for _ in range(3):
            run.trade(now_ns + run.rng.randrange(1_000_000))
        run.fund(boundary_ns, now_ns + 500_000, held)
        run.trade(now_ns + 600_000)
    run.liquidate(now_ns + 10**9)
    assert run.ledger.failure() is None
    return run


def recompute(folder: Path) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, str(ROOT / "tests" / "tools" / "recompute_wallets.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_the_script_imports_nothing_of_ours() -> None:
    text = (ROOT / "tests" / "tools" / "recompute_wallets.py").read_text()
    assert not any(
        f"{word} {package}" in text for word in ("import", "from") for package in ("matching", "venues", "sim")
    )


@pytest.mark.parametrize("seed", [1, 2])
def test_wallets_after_every_fill_are_recomputed_from_the_files(tmp_path: Path, seed: int) -> None:
    run = record_run(seed)
    status, found = recompute(run.write(tmp_path / "run"))
    assert found["differences"] == []
    assert status == 0
    assert found["fills"] == len(run.fills) > 180
    assert found["fundings"] == len(run.fundings) > 10
    assert found["fees_recomputed"] == len(run.fills) - 2 and found["fees_as_recorded"] == 2


@pytest.mark.parametrize(
    ("file", "column", "says"),
    [
        ("fills", "wallet_e8", "wallet_e8 derived"),
        ("fills", "realized_e8", "realized_e8 derived"),
        ("fills", "fee_e8", "fee_e8 derived"),
        ("fills", "position_lots", "position_lots derived"),
        ("fills", "ticks", "wallet_e8 derived"),
        ("funding", "payment_e8", "payment_e8 derived"),
        ("funding", "position_lots", "position_lots derived"),
    ],
)
def test_one_unit_is_noticed(tmp_path: Path, file: str, column: str, says: str) -> None:
    folder = record_run(3).write(tmp_path / "run")
    rows = pq.read_table(folder / f"{file}.parquet").to_pylist()
    rows[len(rows) // 2][column] += 1
    pq.write_table(pa.Table.from_pylist(rows), folder / f"{file}.parquet")
    status, found = recompute(folder)
    assert status == 1
    assert any(says in line for line in found["differences"])


def test_a_missing_payment_is_noticed(tmp_path: Path) -> None:
    folder = record_run(4).write(tmp_path / "run")
    rows = pq.read_table(folder / "funding.parquet").to_pylist()
    pq.write_table(pa.Table.from_pylist(rows[1:]), folder / "funding.parquet")
    status, found = recompute(folder)
    assert status == 1 and any("wallet_e8" in line for line in found["differences"])
