"""Facts of a rule card in words: ``fees.maker_rate = 0.02 %`` rather than an integer at 1e-12."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from decimal import Decimal
from typing import Final

from matching.brackets import INT64_MAX, Brackets
from venues.facts import E12
from venues.rule_groups import RateLimit
from venues.tiers import ContractTiers, FeeTier, LinearTier, MarginTable, OpenInterestTier

_SPANS: Final = ((86_400_000_000_000, "d"), (3_600_000_000_000, "h"), (60_000_000_000, "min"), (1_000_000_000, "s"))
_MULTIPLIERS: Final = (
    "trigger_ratio", "warning_ratio", "takeover_ratio", "fillable_adjustment", "fillable_spread", "leverage_step",
)  # fmt: skip


def plain(value: int, decimals: int) -> str:
    """An integer at ``10**-decimals`` as plain digits."""
    return f"{Decimal(value).scaleb(-decimals).normalize():f}"


def money(value_e8: int) -> str:
    """An amount at 1e-8 with its thousands marked."""
    return f"{Decimal(value_e8).scaleb(-8).normalize():,f}"


def span(value_ns: int) -> str:
    """A time span in its largest whole unit: 8 h, 150 s, 10 ms."""
    for unit_ns, unit in _SPANS:
        if value_ns >= unit_ns and value_ns % unit_ns == 0 and not (unit == "min" and value_ns < 3 * unit_ns):
            return f"{value_ns // unit_ns} {unit}"
    if value_ns and value_ns % 1_000_000 == 0 and value_ns < 1_000_000_000:
        return f"{value_ns // 1_000_000} ms"
    return f"{value_ns} ns" if 0 < value_ns < 1_000_000 else f"{plain(value_ns, 9)} s"


def stem(name: str) -> str:
    """A fact's name without the suffix of its unit."""
    if name.endswith("rounding_e8"):
        return name.replace("rounding_e8", "rounding_unit")  # beside ``rounding``, the direction
    head, _, unit = name.rpartition("_")
    return head if unit in ("e12", "e8", "ns") else name


def statement(name: str, value: object) -> str:
    """A fact as a sentence: its name without unit, and its value with one."""
    return f"{stem(name)} = {value_text(name, value)}"


def value_text(name: str, value: object) -> str:
    """A fact's value with its unit, which the suffix of its name tells."""
    last = name.rpartition(".")[2]
    unit = last.rpartition("_")[2]
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return _number(last, unit, value)
    if isinstance(value, Brackets | ContractTiers | OpenInterestTier | LinearTier):
        return table_text(value)
    if isinstance(value, tuple):
        return ", ".join(_element(last, one) for one in value) or "none"
    if is_dataclass(value) and not isinstance(value, type):
        held = [(f.name, getattr(value, f.name)) for f in fields(value) if getattr(value, f.name) != f.default]
        return ", ".join(statement(key, one) for key, one in held)
    return str(value) or ("any" if last == "client_id_form" else "none")


def _number(last: str, unit: str, value: int) -> str:
    if unit == "e12" and last.removesuffix("_e12") in _MULTIPLIERS:
        return plain(value, 12)
    if unit == "e12":
        return f"{plain(value, 10)} %"
    if unit == "e8":
        return money(value)
    if unit == "ns":
        return span(value)
    return str(value)


def _element(last: str, one: object) -> str:
    if isinstance(one, tuple) and len(one) == 2:
        key, amount = one
        if last in ("max_limit_value", "max_market_value"):
            return f"from {key}x {money(amount)}"
        if last == "open_orders_by_equity":
            return f"from {money(key)} {amount}"
        return f"{key} {plain(amount, 10)} %" if last == "discounts" else f"{key} {amount}"
    if isinstance(one, RateLimit):
        burst = f" (burst {one.burst})" if one.burst else ""
        return f"{one.units} {one.unit} per {span(one.window_ns)} and {one.scope}{burst}"
    if isinstance(one, FeeTier):
        return f"from {money(one.volume_e8)} {plain(one.maker_e12, 10)}/{plain(one.taker_e12, 10)} %"
    return span(one) if isinstance(one, int) and last.endswith("_ns") else str(one)


def table_text(table: MarginTable) -> str:
    """A margin table in one line: its form, its size and its first row."""
    if isinstance(table, Brackets):
        first = f"to {plain(table.cap_e8[0], 8)}: {table.max_leverage[0]}x, {plain(table.rate_e12[0], 10)} %"
        count = len(table.cap_e8)
        return f"margin brackets: {'only one' if count == 1 else count}, the first {first}"
    if isinstance(table, ContractTiers):
        rates = f"{plain(table.maintenance_e12[0], 10)} % / {plain(table.initial_e12[0], 10)} %"
        first = f"to {plain(table.cap_contracts_e8[0], 8)} contracts: {plain(table.max_leverage_e2[0], 2)}x, {rates}"
        return f"contract tiers: {len(table.cap_contracts_e8)}, the first {first}"
    if isinstance(table, OpenInterestTier):
        rates = f"{plain(table.maintenance_e12, 10)} % / {plain(table.initial_e12, 10)} %"
        if table.upper_cap_e8 <= table.lower_cap_e8:
            return f"maintenance / initial rate {rates}"
        scaled = f"open interest {plain(table.lower_cap_e8, 8)} to {plain(table.upper_cap_e8, 8)}"
        return f"maintenance / initial rate {rates}, the latter to 100 % over {scaled}"
    parts = (
        (table.maintenance_base_e12, table.maintenance_slope_e12),
        (table.initial_base_e12, table.initial_slope_e12),
    )
    return " / ".join(f"{plain(base, 10)} % + {plain(slope, 10)} % a coin" for base, slope in parts)


def leverage_of(table: MarginTable) -> int:
    """The highest whole leverage that a margin table allows."""
    if isinstance(table, Brackets):
        return table.max_leverage[0]
    if isinstance(table, ContractTiers):
        return table.max_leverage_e2[0] // 100
    initial = table.initial_base_e12 if isinstance(table, LinearTier) else table.initial_e12
    return E12 // initial


def table_rows(table: MarginTable) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """A margin table whole: the names of its columns, and its rows as text."""
    if isinstance(table, Brackets):
        columns = zip(table.cap_e8, table.max_leverage, table.rate_e12, table.cum_e8, strict=True)
        brackets: list[tuple[str, ...]] = [
            ("no end" if cap >= INT64_MAX else money(cap), f"{leverage}x", f"{plain(rate, 10)} %", money(cum))
            for cap, leverage, rate, cum in columns
        ]
        return ("notional up to", "highest leverage", "maintenance", "deduction"), brackets
    if isinstance(table, ContractTiers):
        tiers = zip(
            table.cap_contracts_e8, table.max_leverage_e2, table.maintenance_e12, table.initial_e12, strict=True
        )
        return ("contracts up to", "highest leverage", "maintenance", "initial"), [
            (money(cap), f"{plain(leverage, 2)}x", f"{plain(maintenance, 10)} %", f"{plain(initial, 10)} %")
            for cap, leverage, maintenance, initial in tiers
        ]
    if isinstance(table, OpenInterestTier):
        caps = (money(table.lower_cap_e8), money(table.upper_cap_e8)) if table.upper_cap_e8 else ("none", "none")
        rates = (f"{plain(table.maintenance_e12, 10)} %", f"{plain(table.initial_e12, 10)} %")
        return ("maintenance", "initial", "open interest from", "to 100 % at"), [(*rates, *caps)]
    return ("rate", "base", "more for each coin"), [
        ("maintenance", f"{plain(table.maintenance_base_e12, 10)} %", f"{plain(table.maintenance_slope_e12, 10)} %"),
        ("initial", f"{plain(table.initial_base_e12, 10)} %", f"{plain(table.initial_slope_e12, 10)} %"),
    ]
