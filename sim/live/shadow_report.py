"""What a shadow leaves in the folder of its live run: predicted against actual, order by order and in sums.

``shadow.json`` has the sums and the orders that differ, ``shadow.html`` the comparison as a page, ``shadow.parquet``
every order: its terms, and for ``actual`` and ``predicted`` what was executed, how it ended and how long it took.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from sim.compare import compare
from sim.compare.orders import Pair, Tolerance, pair, read_orders
from sim.runfolder import write_json

TERMS: Final = ("account", "instrument", "order_no", "side", "ticks", "lots", "tif", "type", "sent_ns")
TOLD: Final = ("latency", "queue")  # the one has a line of its own, the other no wire tells
OUTCOME: Final = (
    "filled", "value", "fee_e8", "latency_ns", "acked_ns", "first_fill_ns", "end_ns", "end_event", "end_reason",
)  # fmt: skip


def write_report(folder: Path, shadow: Path, counts: dict[str, int], time_ns: int) -> dict[str, Any]:
    """Compare the live run in ``folder`` (A) with its shadow (B), both finished. ``counts``: of what was repeated;
    ``time_ns``: what venue times may differ by, being the resolution of the wire. Returns the sums. Raises
    ``RunFolderError`` for a folder that cannot be read, ``OSError`` when the disk fails."""
    tolerance = Tolerance(time_ns=time_ns)
    result = compare(folder, shadow, tolerance, html=folder / "shadow.html")
    pairs = pair(read_orders(folder), read_orders(shadow), tolerance)
    sums = {"ended": None, "counts": counts} | _sums(result, pairs)
    _write_orders(folder / "shadow.parquet", pairs)
    write_json(folder / "shadow.json", {**sums, "pairs": result["pairs"]})
    return sums


def write_ended(folder: Path, counts: dict[str, int], why: str) -> dict[str, Any]:
    """The shadow has ended before the live run did: say why."""
    sums = {"ended": why, "counts": counts}
    write_json(folder / "shadow.json", sums)
    return sums


def _sums(result: dict[str, Any], pairs: Sequence[Pair]) -> dict[str, Any]:
    filled = [(one.a["filled"] if one.a else 0, one.b["filled"] if one.b else 0) for one in pairs]
    return {
        "orders": result["orders"],
        "equal": result["equal"],
        "same_hash": result["same_hash"],
        "differences": result["differences"],
        "filled_both": sum(bool(a and b) for a, b in filled),
        "filled_live_only": sum(bool(a and not b) for a, b in filled),
        "filled_shadow_only": sum(bool(b and not a) for a, b in filled),
        "worse_ticks": _worse_ticks(pairs),
        "latency_actual_ms": _latency_ms([one.a for one in pairs]),
        "latency_predicted_ms": _latency_ms([one.b for one in pairs]),
        "profit_difference_e8": [
            {
                "venue": row["venue"], "asset": row["asset"], "actual_e8": row["profit_a_e8"],
                "predicted_e8": row["profit_b_e8"], "difference_e8": -row["difference_e8"],
            }
            for row in result["attribution"]
        ],
    }  # fmt: skip


def _worse_ticks(pairs: Sequence[Pair]) -> float | None:
    """How many ticks worse than predicted live executed on average, over the lots that executed in both."""
    worse, lots = Fraction(0), 0
    for one in pairs:
        if one.a and one.b and one.a["filled"] and one.b["filled"]:
            common = min(one.a["filled"], one.b["filled"])
            apart = Fraction(one.a["value"], one.a["filled"]) - Fraction(one.b["value"], one.b["filled"])
            worse += common * (-apart if one.a["side"] else apart)
            lots += common
    return round(float(worse / lots), 6) if lots else None


def _latency_ms(orders: Sequence[dict[str, Any] | None]) -> dict[str, float] | None:
    """Median and 99 % of the time from sending to the first answer."""
    found = sorted(one["latency_ns"] for one in orders if one is not None and one["latency_ns"] is not None)
    if not found:
        return None
    return {"p50": found[len(found) // 2] / 1e6, "p99": found[len(found) * 99 // 100] / 1e6}


def _write_orders(path: Path, pairs: Sequence[Pair]) -> None:
    import polars as pl

    sides = (("a", "actual"), ("b", "predicted"))
    columns: dict[str, list[Any]] = {name: [one.one[name] for one in pairs] for name in TERMS}
    for key, title in sides:
        rows = [getattr(one, key) for one in pairs]
        for name in OUTCOME:
            columns[f"{title}_{name}"] = [None if row is None else row[name] for row in rows]
    schema = dict.fromkeys(columns, pl.Int64)
    frame = pl.DataFrame(columns, schema=schema).with_columns(
        differs=pl.Series([",".join(one.kinds) for one in pairs], dtype=pl.String)
    )
    frame.write_parquet(path)


def lines(sums: dict[str, Any]) -> list[str]:
    """The sums for a terminal."""
    from sim.report.formats import money_text

    if sums["ended"]:
        return [f"shadow      ended: {sums['ended']}"]
    orders, counts = sums["orders"], sums["counts"]
    verdict = "as predicted" if sums["equal"] else f"{orders['different']:,} other than predicted"
    found = [
        f"shadow      {orders['a']:,} orders, {verdict}; {counts['ended_sooner']:,} requests came after the simulator "
        "had ended the order",
        f"  filled    {sums['filled_both']:,} in both, {sums['filled_live_only']:,} live only, "
        f"{sums['filled_shadow_only']:,} simulated only",
    ]
    kinds = ", ".join(f"{name} {count:,}" for name, count in sums["differences"].items() if count and name not in TOLD)
    if kinds:
        found.append(f"  differ    {kinds}")
    if sums["worse_ticks"] is not None:
        found.append(f"  price     live {sums['worse_ticks']:+,.4f} ticks worse than predicted, a lot in both")
    actual, predicted = sums["latency_actual_ms"], sums["latency_predicted_ms"]
    if actual is not None and predicted is not None:
        found.append(
            f"  latency   p50 {actual['p50']:,.1f} ms (predicted {predicted['p50']:,.1f}), "
            f"p99 {actual['p99']:,.1f} ms (predicted {predicted['p99']:,.1f})"
        )
    for row in sums["profit_difference_e8"]:
        found.append(
            f"  profit    {row['venue']} {row['asset']}: {money_text(row['actual_e8'], 8, signed=True)}, "
            f"predicted {money_text(row['predicted_e8'], 8, signed=True)}, "
            f"difference {money_text(row['difference_e8'], 8, signed=True)}"
        )
    return found
