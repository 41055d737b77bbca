"""Where the difference between two runs' profits comes from, exactly.

Both runs' profit of an account in an asset is taken apart fill by fill: a fill of ``q`` signed lots at price ``p`` has
earned ``q * (v(m) - v(p))`` by the end, with ``v`` the contract's value of a lot and ``m`` the end's mark of run A. For
orders that are in both runs the lots that executed in both are compared at their average prices; the rest of the lots
executed in one run only. So (each B minus A):

    price      common lots of resting orders, at other prices
    slippage   common lots of orders that took, at other prices
    timing     lots that executed in one run only, at what they earned (they came too late, too early or not at all)
    fees       paid               funding   received
    mark       what B still holds, valued at its own end's mark instead of A's
    other      the rest to the last digit: rounding, forced fills, what the insurance fund covered

Money is at 1e-8 of the asset; sums are exact fractions, rounded at the end.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import polars as pl

from sim.compare.orders import Pair

PARTS: Final = ("price", "slippage", "timing", "fees", "funding", "mark", "other")
LISTED: Final = ("price", "slippage", "timing")


class _Contract:
    """The value of lots at a price of one instrument, in 1e-8 of its settlement asset."""

    def __init__(self, about: dict[str, Any]) -> None:
        self.name = str(about["name"])
        self.asset = str(about["settle"])
        self._inverse = bool(about["inverse"])
        self._at_ticks = Fraction(about["value_num"], about["value_den"])
        self._at_mark = Fraction(about["lot_num"], about["lot_den"])

    def at_ticks(self, ticks: Fraction) -> Fraction:
        """What one long lot is worth; of an inverse contract it rises as 1 / price falls, hence the sign."""
        return -self._at_ticks / ticks if self._inverse else self._at_ticks * ticks

    def at_mark(self, mark_e8: int) -> Fraction:
        return -self._at_mark * 10**8 / mark_e8 if self._inverse else self._at_mark * mark_e8


class Run:
    """What the attribution reads of a run folder."""

    def __init__(self, folder: Path) -> None:
        self.manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        self.summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        self.contracts = [_Contract(about) for about in self.manifest["instruments"]]
        marks = pl.read_parquet(folder / "positions.parquet", columns=["instrument", "mark_e8"])
        last = marks.filter(pl.col("mark_e8") > 0).group_by("instrument").agg(pl.col("mark_e8").last())
        self.marks_e8 = dict(zip(*last.to_dict(as_series=False).values(), strict=True)) if len(last) else {}
        self.deposits = {(one["account"], one["asset"]): one["deposit_e8"] for one in self.manifest["accounts"]}

    def profit_e8(self, account: dict[str, Any]) -> int:
        """Equity at the end less what it began with."""
        return int(account["equity_e8"]) - int(self.deposits[account["account"], account["asset"]])


def attribution(a: Run, b: Run, pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """One row an account and asset: both profits, their difference and its parts (``PARTS``), all at 1e-8."""
    others = {(one["account"], one["asset"]): one for one in b.summary["accounts"]}
    rows = []
    for mine in a.summary["accounts"]:
        other = others.get((mine["account"], mine["asset"]))
        if other is None:
            continue
        total = b.profit_e8(other) - a.profit_e8(mine)
        parts = dict.fromkeys(PARTS, Fraction(0))
        for one in pairs:
            _add_order(parts, a, one, mine)
        parts["fees"] = Fraction(mine["fees_e8"] - other["fees_e8"])
        parts["funding"] = Fraction(other["funding_e8"] - mine["funding_e8"])
        parts["mark"] = sum((_revalued(a, b, held) for held in other["positions"]), Fraction(0))
        rounded = {name: round(value) for name, value in parts.items()}
        rounded["other"] = total - sum(rounded[name] for name in PARTS if name != "other")
        rows.append({
            "account": mine["account"], "venue": mine["venue"], "asset": mine["asset"],
            "profit_a_e8": a.profit_e8(mine), "profit_b_e8": b.profit_e8(other), "difference_e8": total,
            "parts_e8": rounded,
        })  # fmt: skip
    return rows


def _add_order(parts: dict[str, Fraction], run: Run, one: Pair, account: dict[str, Any]) -> None:
    order = one.one
    contract = run.contracts[order["instrument"]]
    mark_e8 = run.marks_e8.get(order["instrument"])
    if order["account"] != account["account"] or contract.asset != account["asset"] or not mark_e8:
        return
    lots_a, lots_b = one.a["filled"] if one.a else 0, one.b["filled"] if one.b else 0
    sign = 1 if order["side"] == 0 else -1
    worth_a, worth_b = _worth(contract, one.a), _worth(contract, one.b)
    common = min(lots_a, lots_b)
    if common:
        assert one.a is not None
        kind = "price" if one.a["maker"] * 2 >= lots_a else "slippage"
        parts[kind] += sign * common * (worth_a - worth_b)
    end = contract.at_mark(mark_e8)
    parts["timing"] += sign * ((lots_b - common) * (end - worth_b) - (lots_a - common) * (end - worth_a))


def _worth(contract: _Contract, order: dict[str, Any] | None) -> Fraction:
    """Value of one lot at the order's average execution price; 0 for one that did not execute."""
    if order is None or not order["filled"]:
        return Fraction(0)
    return contract.at_ticks(Fraction(order["value"], order["filled"]))


def _revalued(a: Run, b: Run, held: dict[str, Any]) -> Fraction:
    place = next((i for i, one in enumerate(a.contracts) if one.name == held["instrument"]), None)
    if place is None or not a.marks_e8.get(place) or not b.marks_e8.get(place):
        return Fraction(0)
    contract = a.contracts[place]
    return int(held["position_lots"]) * (contract.at_mark(b.marks_e8[place]) - contract.at_mark(a.marks_e8[place]))
