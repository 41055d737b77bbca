"""Recomputes every wallet of a run from its fills and funding files, with exact fractions and nothing of perpsim's.

    python tests/tools/recompute_wallets.py RUN_FOLDER [--maker RATE --taker RATE] [--resolution-ns N]

Reads ``fills.parquet``, ``funding.parquet``, ``manifest.json`` (instruments, accounts) and, if there, ``summary.json``.
Each account starts from its deposit. For every fill the script derives realised PnL, fee, position and wallet and
compares them with what the run recorded; for every funding row the position as of the boundary and the payment. It
prints JSON and ends with status 1 at any difference.

Rules, as documented (1e-8 = one unit of money; everything half-even but fees and funding where the manifest's
instruments name another rounding and a coarser unit: ``fee_rounding``, ``fee_unit_e8``, ``funding_rounding``,
``funding_unit_e8``):

* value of a fill: linear price * size, inverse contracts * contract size / price;
* entry value is kept on a grid: linear, the exact one of ticks * lots; inverse, 1e-10 of the coin, each fill rounded to
  it. A reducing fill takes entry * closed / position, rounded to the grid, or all of it when it closes; a fill through
  zero closes, then opens with the rest. Realised PnL is the difference of exit and entry value, rounded to a unit;
* fee: value * rate, rounded to a unit. Rates come from the manifest's instruments (``maker_rate_e12``,
  ``taker_rate_e12``, ``liquidation_rate_e12``) or the options; fees of a run that states neither are taken as recorded
  and counted so;
* a liquidation's fee is at most value * liquidation rate, or value * taker rate (a takeover of an isolated position,
  where its margin counts that fee). An account that is flat with a wallet below zero is brought to zero by the fund:
  each such case is counted. So is what an isolated position loses beyond its margin: fills do not tell that margin, so
  ``transfers.parquet`` has to show what the account was booked. A fee below zero (dYdX: the fund pays for a fill that
  is worse than the bankruptcy price) has to stand there too;
* funding: -(value at mark * rate), rounded to a unit, on the position of all fills stamped before the boundary. What
  accrued since it was booked last has no single rate (``funding_accrual`` ``lazy_index`` or ``continuous``, and the
  rate of its row is 0): such payments are taken as recorded and counted so;
* hedge mode: a long and a short position in one market, each with its own entry value. The sign of a row's position
  tells which one it is about, and of a position of 0 the side that closed it.

Fills stand in the order in which the venue executed them. Their times are cut to the venue's resolution, so a funding
row booked within that of a fill, or in another market of the account, may belong on either side: the recorded wallet
decides.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

E8, E12 = 10**8, 10**12
ROUNDING: dict[str, Callable[[Fraction], int]] = {
    "half_even": round,
    "truncate": math.trunc,
    "ceil": math.ceil,
    "floor": math.floor,
}
BUY = 0
MAKER, TAKER = 1, 2
LIQUIDATION, DELEVERAGED, TAKEN = 6, 7, 8  # causes of a fill
INVERSE_GRID = 100  # steps of 1e-8


@dataclass
class Instrument:
    """What a run says of an instrument."""

    name: str
    settle: str
    inverse: bool
    tick: Fraction
    contract: Fraction  # coins or dollars of one lot
    rates: dict[str, int]
    rounding: dict[str, tuple[str, int]]  # of fees and of funding: the word and the unit
    accrues: bool = False
    hedge: bool = False

    @classmethod
    def read(cls, raw: dict[str, Any], options: dict[str, int]) -> Instrument:
        contract = Fraction(raw["lot_size"]) * Fraction(raw["contract_size"])
        rates = {
            name: raw[name] for name in ("maker_rate_e12", "taker_rate_e12", "liquidation_rate_e12") if name in raw
        }
        rounding = {
            what: (raw.get(f"{what}_rounding", "half_even"), raw.get(f"{what}_unit_e8", 1))
            for what in ("fee", "funding")
        }
        return cls(
            raw["name"], raw["settle"], raw["inverse"], Fraction(raw["tick_size"]), contract, rates | options, rounding,
            raw.get("funding_accrual") in ("lazy_index", "continuous"), raw.get("hedge", False),
        )  # fmt: skip

    @property
    def grid(self) -> int:
        """Steps of the entry value in one unit of money."""
        return INVERSE_GRID if self.inverse else (self.tick * self.contract * E8).denominator

    def rounded(self, what: str, amount: Fraction) -> int:
        """A fee or a funding payment as the venue books it."""
        word, unit = self.rounding[what]
        return ROUNDING[word](amount / unit) * unit

    def leg(self, row: dict[str, Any]) -> int:
        """Which position a row is about: 0 the only one or the long one, 1 the short one."""
        after = row["position_lots"]
        return int(self.hedge and (after < 0 or (after == 0 and row.get("side") == BUY)))

    def value(self, lots: int, price: Fraction) -> Fraction:
        """Value in units of 1e-8 of the settlement asset."""
        return lots * self.contract * E8 / price if self.inverse else lots * self.contract * E8 * price


@dataclass
class Position:
    """One account in one market."""

    lots: int = 0
    entry: Fraction = Fraction(0)
    history: list[tuple[int, int]] = field(default_factory=list)  # (time, lots after)

    def fill(self, instrument: Instrument, row: dict[str, Any]) -> int:
        """Take a fill; returns the realised PnL."""
        grid, price = instrument.grid, row["ticks"] * instrument.tick
        direction = 1 if row["side"] == BUY else -1
        closed = min(row["lots"], abs(self.lots)) if self.lots * direction < 0 else 0
        realized = 0
        if closed:
            share = Fraction(round(self.entry * grid * closed / abs(self.lots)), grid)
            left = Fraction(round(instrument.value(closed, price) * grid), grid)
            gain = left - share if (self.lots > 0) != instrument.inverse else share - left
            realized = round(gain)
            self.entry -= share
        if row["lots"] > closed:
            self.entry += Fraction(round(instrument.value(row["lots"] - closed, price) * grid), grid)
        self.lots += direction * row["lots"]
        self.history.append((row["ts_event_ns"], self.lots))
        return realized

    def as_of(self, boundary_ns: int) -> int:
        """Lots after all fills stamped before the boundary."""
        return next((lots for time, lots in reversed(self.history) if time < boundary_ns), 0)


class Recomputation:
    """All accounts of a run, fed with its rows in order."""

    def __init__(
        self, folder: Path, options: dict[str, int], resolution_ns: int, fee_rounding: str | None = None
    ) -> None:
        manifest = json.loads((folder / "manifest.json").read_text())
        self.folder = folder
        self.resolution_ns = resolution_ns
        named = {} if fee_rounding is None else {"fee_rounding": fee_rounding}
        self.instruments = [Instrument.read(raw | named, options) for raw in manifest["instruments"]]
        self.wallets = {(a["account"], a["asset"]): a["deposit_e8"] for a in manifest["accounts"]}
        self.positions: dict[tuple[int, int, int], Position] = defaultdict(Position)
        self.pending: dict[tuple[int, str], list[dict[str, Any]]] = defaultdict(list)
        self.counts = dict.fromkeys(
            ("fills", "fundings", "fundings_as_recorded", "fees_recomputed", "fees_as_recorded", "covered_by_fund"), 0
        )
        self.wrong: list[str] = []
        self.booked = self.read_transfers()

    def read_transfers(self) -> dict[tuple[int, int, int], list[tuple[int, int]]]:
        """What forced fills booked to accounts: (lots, amount) by account, instrument and time, if the run wrote it."""
        path, found = self.folder / "transfers.parquet", defaultdict(list)
        for row in pq.read_table(path).to_pylist() if path.exists() else []:
            if row["party"] == "account":
                found[row["account"], row["instrument"], row["ts_ns"]].append((row["lots"], row["amount_e8"]))
        return found

    def booked_at(self, row: dict[str, Any]) -> list[tuple[int, int]]:
        """The bookings of a forced fill's account at its time, which is cut to the venue's resolution."""
        times = range(row["ts_event_ns"], row["ts_event_ns"] + self.resolution_ns)
        keys = [key for key in self.booked if key[:2] == (row["account"], row["instrument"]) and key[2] in times]
        return [booking for key in sorted(keys) for booking in self.booked[key]]

    def differ(self, where: str, name: str, derived: object, recorded: object) -> None:
        self.wrong.append(f"{where}: {name} derived {derived}, recorded {recorded}")

    def run(self) -> None:
        fundings = pq.read_table(self.folder / "funding.parquet").to_pylist()
        for number, row in enumerate(fundings):
            row["where"] = f"funding row {number}"
            self.pending[row["account"], self.instruments[row["instrument"]].settle].append(row)
        for batch in pq.ParquetFile(self.folder / "fills.parquet").iter_batches():
            for row in batch.to_pylist():
                self.fill(f"fill row {self.counts['fills']}", row)
        for key, rows in self.pending.items():
            for row in rows:
                self.book(key, row)
        self.check_summary()

    # -- funding

    def book(self, key: tuple[int, str], row: dict[str, Any]) -> None:
        """Book a funding row and check it."""
        instrument = self.instruments[row["instrument"]]
        mark, rate = Fraction(row["mark_e8"], E8), Fraction(row["rate_e12"], E12)
        payment = instrument.rounded("funding", -instrument.value(row["position_lots"], mark) * rate)
        if instrument.accrues and rate == 0:
            payment = row["payment_e8"]
            self.counts["fundings_as_recorded"] += 1
        else:
            held = self.positions[row["account"], row["instrument"], instrument.leg(row)]
            lots = held.as_of(row["boundary_ns"])
            if lots != row["position_lots"]:
                self.differ(row["where"], "position_lots", lots, row["position_lots"])
        if payment != row["payment_e8"]:
            self.differ(row["where"], "payment_e8", payment, row["payment_e8"])
        self.wallets[key] += payment
        self.counts["fundings"] += 1

    def due(self, key: tuple[int, str], row: dict[str, Any]) -> None:
        """Book what was certainly booked before this fill: same market, before its time."""
        rows = self.pending[key]
        certain = [f for f in rows if f["instrument"] == row["instrument"] and f["booked_ns"] < row["ts_event_ns"]]
        for funding in certain:
            rows.remove(funding)
            self.book(key, funding)

    def doubtful(self, row: dict[str, Any], funding: dict[str, Any]) -> bool:
        """Whether a waiting funding row could have been booked before this fill."""
        other = funding["instrument"] != row["instrument"]
        return other or funding["booked_ns"] < row["ts_event_ns"] + self.resolution_ns

    # -- fills

    def fee(self, where: str, instrument: Instrument, row: dict[str, Any]) -> int:
        """The fee of a fill, checked against the rates that are known."""
        value = instrument.value(row["lots"], row["ticks"] * instrument.tick)
        recorded: int = row["fee_e8"]
        if row["cause"] == TAKEN:  # a vault keeps all the margin that was left
            self.counts["fees_as_recorded"] += 1
            return recorded
        if row["cause"] in (LIQUIDATION, DELEVERAGED):
            known = [instrument.rates.get(name) for name in ("liquidation_rate_e12", "taker_rate_e12")]
            rate = None if None in known else max(rate for rate in known if rate is not None)
            paid_by_fund = recorded < 0 and (0, -recorded) in self.booked_at(row)
            if (recorded < 0 and not paid_by_fund) or (
                rate is not None and recorded > instrument.rounded("fee", value * rate / E12)
            ):
                self.differ(where, "fee_e8 of a liquidation, at most", rate, recorded)
            self.counts["fees_as_recorded"] += 1
            return recorded
        rate = instrument.rates.get({MAKER: "maker_rate_e12", TAKER: "taker_rate_e12"}.get(row["liquidity"], ""))
        if rate is None:
            self.counts["fees_as_recorded"] += 1
            return recorded
        self.counts["fees_recomputed"] += 1
        return instrument.rounded("fee", value * rate / E12)

    def fill(self, where: str, row: dict[str, Any]) -> None:
        instrument = self.instruments[row["instrument"]]
        key = (row["account"], instrument.settle)
        self.due(key, row)
        position = self.positions[row["account"], row["instrument"], instrument.leg(row)]
        realized, fee = position.fill(instrument, row), self.fee(where, instrument, row)
        self.wallets[key] += realized - fee
        self.match(key, row)
        derived = {
            "realized_e8": realized,
            "fee_e8": fee,
            "position_lots": position.lots,
            "wallet_e8": self.wallets[key],
        }
        for name, value in derived.items():
            if value != row[name]:
                self.differ(where, name, value, row[name])
        self.wallets[key] = row["wallet_e8"]  # one difference is reported once
        self.counts["fills"] += 1

    def match(self, key: tuple[int, str], row: dict[str, Any]) -> None:
        """Place fundings whose side of the fill only the recorded wallet tells; then see whether the fund covered."""
        waiting = [funding for funding in self.pending[key] if self.doubtful(row, funding)]
        wallet = self.wallets[key]
        for count, funding in enumerate(waiting, 1):
            wallet += funding["payment_e8"]
            if self.wallets[key] != row["wallet_e8"] == wallet:
                for booked in waiting[:count]:
                    self.pending[key].remove(booked)
                    self.book(key, booked)
                break
        flat = all(p.lots == 0 for (a, m, _), p in self.positions.items() if (a, self.instruments[m].settle) == key)
        if flat and self.wallets[key] < 0 and row["wallet_e8"] == 0:
            self.wallets[key] = 0
            self.counts["covered_by_fund"] += 1
        elif self.wallets[key] < row["wallet_e8"] and row["cause"] in (LIQUIDATION, DELEVERAGED, TAKEN):
            signed = row["lots"] if row["side"] == BUY else -row["lots"]
            before = self.wallets[key] - row["realized_e8"] + row["fee_e8"]
            booked = [
                amount - row["fee_e8"] * fee for lots, amount in self.booked_at(row) for fee in (0, 1) if lots == signed
            ]
            if row["wallet_e8"] - before in booked:
                self.wallets[key] = row["wallet_e8"]
                self.counts["covered_by_fund"] += 1

    # -- the end

    def check_summary(self) -> None:
        path = self.folder / "summary.json"
        if not path.exists():
            return
        for account in json.loads(path.read_text()).get("accounts", []):
            key = (account["account"], account["asset"])
            if self.wallets.get(key) != account["wallet_e8"]:
                self.differ(f"summary account {key}", "wallet_e8", self.wallets.get(key), account["wallet_e8"])


def main() -> int:
    parser = argparse.ArgumentParser(description="Recompute the wallets of a run from its fills and funding.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--maker", type=Fraction, help="maker rate, e.g. 0.0002")
    parser.add_argument("--taker", type=Fraction, help="taker rate")
    parser.add_argument("--resolution-ns", type=int, default=1_000_000, help="the venue's time resolution")
    parser.add_argument("--fee-rounding", choices=[*ROUNDING], help="of the venue; the manifest's if not given")
    arguments = parser.parse_args()
    named = {"maker_rate_e12": arguments.maker, "taker_rate_e12": arguments.taker}
    options = {name: round(rate * E12) for name, rate in named.items() if rate is not None}
    run = Recomputation(arguments.folder, options, arguments.resolution_ns, arguments.fee_rounding)
    run.run()
    wallets = [{"account": a, "asset": asset, "wallet_e8": value} for (a, asset), value in sorted(run.wallets.items())]
    print(json.dumps({**run.counts, "different": len(run.wrong), "differences": run.wrong[:20], "wallets": wallets}))
    return 1 if run.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
