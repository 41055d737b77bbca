"""A synthetic run folder with the columns of a real one, made by numpy alone, for the tests of ``sim.report``.

Two instruments (one linear, one inverse), several lanes that make a market around a random walk, a funding payment, a
liquidation in the first lane, and one gap. The books close: fills, fees and payments sum to the wallets to the unit.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from matching import codes
from sim.report import BannerFacts, InstrumentFacts, VenueFacts, banner_lines
from sim.report.load import COLUMNS, INTEGER, TEXT

S = 1_000_000_000
MS = 1_000_000
START_NS = 1_680_645_600 * S  # 2023-04-04 22:00:00 UTC
E8 = 100_000_000

LINEAR: dict[str, Any] = {
    "name": "BTCUSDT",
    "venue": "binance_usdm",
    "symbol": "BTCUSDT",
    "base": "BTC",
    "quote": "USDT",
    "settle": "USDT",
    "inverse": False,
    "tick_size": "0.1",
    "lot_size": "0.001",
    "contract_size": "1",
}
INVERSE: dict[str, Any] = {
    "name": "BTCUSD_PERP",
    "venue": "binance_coinm",
    "symbol": "BTCUSD_PERP",
    "base": "BTC",
    "quote": "USD",
    "settle": "BTC",
    "inverse": True,
    "tick_size": "0.1",
    "lot_size": "1",
    "contract_size": "100",
}


@dataclass
class Rows:
    """Rows of each file of a run folder, as dicts."""

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {name: [] for name in COLUMNS})

    def add(self, file: str, **values: Any) -> None:
        self.rows[file].append(values)

    def frame(self, file: str) -> pl.DataFrame:
        dtypes = {
            c: pl.Int64 if k == INTEGER else pl.String if k == TEXT else pl.Float64 for c, k in COLUMNS[file].items()
        }
        rows = self.rows[file]
        return pl.DataFrame({c: [row.get(c, 0) for row in rows] for c in dtypes}, schema=dtypes)

    def write(self, folder: Path, manifest: dict[str, Any]) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for file in COLUMNS:
            self.frame(file).write_parquet(folder / f"{file}.parquet")
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))
        return folder


def manifest(
    instruments: list[dict[str, Any]], accounts: list[dict[str, Any]], span_ns: int, **more: Any
) -> dict[str, Any]:
    """A manifest with a banner of every kind of line."""
    names = [i["name"] for i in instruments]
    facts = BannerFacts(
        venues=[
            VenueFacts(
                i["venue"],
                f"{i['venue']} as of 2023-04-04",
                "10 ms constant",
                "12 ms constant",
                2 * E8,
                4 * E8,
                "tier 0",
                assumptions=("liquidation walks the book in one order: UNVERIFIED",),
            )
            for i in instruments
        ],
        instruments=[
            InstrumentFacts(
                n,
                "",
                "L2 book",
                "power n=3",
                "partial fills",
                "recorded",
                "recorded",
                "recorded brackets of 2023-04-01",
                funding_boundaries=1,
                funding_covered=1,
                gaps=1 if n == names[0] else 0,
                gap_ns=90 * S,
                orders_open_in_gap=2,
            )
            for n in names
        ],
        span_ns=span_ns,
        seed=7,
    )
    base = {
        "run_id": "20230404-synthetic",
        "strategy": "MarketMaker",
        "seed": 7,
        "hash": "9f" * 32,
        "version": "0.1.0",
        "first_ns": START_NS,
        "last_ns": START_NS + span_ns,
        "instruments": instruments,
        "accounts": accounts,
        "banner": [line.as_dict() for line in banner_lines(facts)],
    }
    return base | more


class Account:
    """A position in one instrument and a wallet, in exact integers; realised PnL by average entry value."""

    def __init__(self, instrument: dict[str, Any], deposit_e8: int) -> None:
        self.inverse = instrument["inverse"]
        self.size = Fraction(instrument["lot_size"]) * Fraction(instrument["contract_size"]) * E8
        self.tick = Fraction(instrument["tick_size"])
        self.wallet = deposit_e8
        self.lots = 0
        self.entry = 0  # signed entry value at 1e-8

    def value(self, ticks: float, lots: int) -> int:
        price = Fraction(ticks) * self.tick
        return round(self.size * lots / price if self.inverse else self.size * lots * price)

    def fill(self, side: int, ticks: int, lots: int, fee_e12: int) -> tuple[int, int]:
        """(realised PnL, fee), both booked."""
        signed = lots if side == codes.BUY else -lots
        closing = min(abs(self.lots), lots) if self.lots * signed < 0 else 0
        realized = 0
        if closing:
            share = round(Fraction(self.entry) * closing / abs(self.lots))
            out = self.value(ticks, closing) * (1 if self.lots > 0 else -1)
            realized = (share - out) if self.inverse else (out - share)
            self.entry -= share
        opening = lots - closing
        self.entry += self.value(ticks, opening) * (1 if signed > 0 else -1)
        self.lots += signed
        fee = self.value(ticks, lots) * fee_e12 // 10**12
        self.wallet += realized - fee
        return realized, fee

    def unrealized(self, mark_ticks: float) -> int:
        value = self.value(mark_ticks, self.lots)
        return self.entry - value if self.inverse else value - self.entry


def synthetic_run(folder: Path, lanes: int = 2, seconds: int = 10_800, fills: int = 600, seed: int = 5) -> Path:
    """Write the run folder and return its path."""
    instruments = [LINEAR, INVERSE]
    rows, random = Rows(), np.random.default_rng(seed)
    span = seconds * S
    accounts: list[dict[str, Any]] = []
    orders = [0] * lanes
    gap = (START_NS + span // 3, START_NS + span // 3 + 90 * S)
    rows.add(
        "gaps", instrument=0, kind=codes.GAP_SEQUENCE, start_ns=gap[0], end_ns=gap[1], first_lost_id=11, last_lost_id=19
    )
    for index, instrument in enumerate(instruments):
        ts = START_NS + np.arange(0, span, 100 * MS)
        mid = 281_000 + np.cumsum(random.choice([-1, 0, 0, 0, 1], len(ts)) * random.integers(1, 9, len(ts)))
        spread = random.integers(1, 4, len(ts))
        for place in np.flatnonzero(~((ts >= gap[0]) & (ts < gap[1]) & (index == 0))):
            t, m, width = int(ts[place]), int(mid[place]), int(spread[place])
            rows.add("bbo", instrument=index, ts_ns=t, bid_ticks=m, ask_ticks=m + width)
        for t, latency in zip(ts[::20], random.lognormal(16.2, 0.6, len(ts[::20])), strict=True):
            rows.add("feed_latency", instrument=index, ts_ns=int(t), latency_ns=int(latency))
        for lane in range(lanes):
            deposit = 1_000 * E8 if not instrument["inverse"] else E8 // 2
            number = lane * 2 + index
            keys = {"lane": lane, "account": number, "instrument": index}
            trader = Lane(rows, random, Account(instrument, deposit), keys, instrument["settle"], orders[lane])
            trader.run(ts.tolist(), mid.tolist(), spread.tolist(), fills, liquidated=number == 0)
            orders[lane] = trader.orders
            venue = {"venue": instrument["venue"], "asset": instrument["settle"]}
            accounts.append({"lane": lane, "account": number, **venue, "deposit_e8": deposit})
    accounts.sort(key=lambda a: (a["lane"], a["account"]))
    return rows.write(folder, manifest(instruments, accounts, span))


@dataclass
class Lane:
    """One account trading one instrument; each method books something and writes its rows."""

    rows: Rows
    random: np.random.Generator
    account: Account
    keys: dict[str, int]  # lane, account and instrument, as they stand in every row
    asset: str
    orders: int = 0

    def fund(self, t: int, boundary_ns: int, mid: int, rate_e12: int = 27_600_000) -> None:
        payment = -self.account.value(mid, self.account.lots) * rate_e12 // 10**12
        self.account.wallet += payment
        charged = {"position_lots": self.account.lots, "payment_e8": payment, "mark_e8": mid * E8 // 10}
        self.rows.add("funding", **self.keys, **charged, boundary_ns=boundary_ns, booked_ns=t, rate_e12=rate_e12)

    def trade(self, t: int, mid: int, spread: int) -> None:
        """An order that rests for a while and fills whole, or takes; now and then another one that is rejected."""
        side = int(self.random.random() < 0.5 + 0.3 * np.tanh(self.account.lots / 35))
        taker = bool(self.random.random() < 0.12)
        ticks = mid if (side == codes.BUY) != taker else mid + spread
        entry, response = (int(x) for x in self.random.lognormal(16.1, 0.3, 2))
        accepted = t - (0 if taker else int(self.random.integers(1, 4_000)) * MS)
        self.orders += 1
        shared = self.keys | {"order_no": self.orders, "side": side, "ticks": ticks, "ts_sent_ns": accepted - entry}
        shared |= {"lots": int(self.random.integers(1, 9)), "seq": 0}
        first = {"ts_event_ns": accepted, "ts_deliver_ns": accepted + response}
        self.rows.add("orders", **shared, **first, event=codes.EV_ACCEPTED, leaves=shared["lots"])
        if self.random.random() < 0.05:
            self.orders += 1
            rejected = {"order_no": self.orders, "event": codes.EV_REJECTED, "reason": codes.R_POST_ONLY}
            self.rows.add("orders", **shared | first | rejected)
        resting = (codes.CAUSE_QUEUE, codes.CAUSE_THROUGH, codes.CAUSE_CROSS)
        cause = codes.CAUSE_TAKER if taker else int(self.random.choice(resting))
        front = float(self.random.exponential(25.0)) if cause in resting[1:] else 0.0
        filled = self.fill(t, shared["order_no"], side, ticks, shared["lots"], cause, front)
        done = {"seq": 1, "event": codes.EV_FILLED, "reason": codes.R_FILLED, "ts_deliver_ns": t + response}
        self.rows.add("orders", **shared | filled | done, queue_front=front)

    def liquidate(self, t: int, mid: int) -> None:
        side = codes.SELL if self.account.lots > 0 else codes.BUY
        ticks = mid + (-900 if side else 900)
        self.fill(t, 0, side, ticks, abs(self.account.lots), codes.CAUSE_LIQUIDATION, 0.0)

    def fill(self, t: int, number: int, side: int, ticks: int, lots: int, cause: int, front: float) -> dict[str, int]:
        taker = cause in (codes.CAUSE_TAKER, codes.CAUSE_LIQUIDATION)
        fee_e12 = {codes.CAUSE_TAKER: 2 * E8, codes.CAUSE_LIQUIDATION: 150 * E8}.get(cause, -E8 // 2)
        realized, fee = self.account.fill(side, ticks, lots, fee_e12)
        filled = {"ts_event_ns": t, "order_no": number, "side": side, "ticks": ticks, "lots": lots, "cause": cause}
        filled |= {"liquidity": codes.LIQ_TAKER if taker else codes.LIQ_MAKER, "fee_e8": fee}
        after = {"realized_e8": realized, "position_lots": self.account.lots, "wallet_e8": self.account.wallet}
        self.rows.add("fills", **self.keys, **filled, **after, queue_front_lots=front)
        return filled

    def sample(self, t: int, mid: int) -> None:
        unrealized = self.account.unrealized(mid)
        equity = self.account.wallet + unrealized
        maintenance = abs(self.account.value(mid, self.account.lots)) // 250
        keys = {"lane": self.keys["lane"], "ts_ns": t}
        level = {"wallet_e8": self.account.wallet, "unrealized_e8": unrealized, "equity_e8": equity}
        margin = {"maintenance_e8": maintenance, "margin_ratio": maintenance / equity}
        self.rows.add("equity", **keys, **level, **margin, account=self.keys["account"], asset=self.asset)
        held = {"instrument": self.keys["instrument"], "position_lots": self.account.lots}
        self.rows.add("positions", **keys, **held, mark_e8=mid * E8 // 10)

    def run(self, ts: list[int], mid: list[int], spread: list[int], fills: int, liquidated: bool) -> None:
        """Trade at ``fills`` random instants of ``ts``; a sample every 5 s and one at the end."""
        boundary, funded = START_NS + 7_200 * S, False
        chosen = set(self.random.choice(len(ts) - 100, min(fills, len(ts) // 3), replace=False).tolist())
        for place, t in enumerate(ts):
            if not funded and t >= boundary and self.account.lots:
                self.fund(t, boundary, mid[place])
                funded = True
            if place in chosen:
                self.trade(t, mid[place], spread[place])
            if liquidated and place == len(ts) * 7 // 10 and self.account.lots:
                self.liquidate(t, mid[place])
            if place % 50 == 0:
                self.sample(t, mid[place])
        self.sample(ts[-1] + 100 * MS, mid[-1])


def empty_run(folder: Path, seconds: int = 600) -> Path:
    """A run in which nothing was traded and nothing was charged: every optional part of a report has to say so."""
    rows = Rows()
    for t in range(START_NS, START_NS + seconds * S + 1, S):
        rows.add("bbo", instrument=0, ts_ns=t, bid_ticks=281_000, ask_ticks=281_001)
        rows.add("equity", lane=0, account=0, asset="USDT", ts_ns=t, wallet_e8=1_000 * E8, equity_e8=1_000 * E8)
        rows.add("positions", lane=0, instrument=0, ts_ns=t, mark_e8=2_810_000_000_000)
    account = {"lane": 0, "account": 0, "venue": "binance_usdm", "asset": "USDT", "deposit_e8": 1_000 * E8}
    return rows.write(folder, manifest([LINEAR], [account], seconds * S))
