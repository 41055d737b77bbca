"""Where a run's mark prices and funding rates come from: recorded, a table, computed, a proxy, or named off.

``resolve_mark`` and ``resolve_funding`` decide it for one market and refuse what is neither recorded nor named, with
the instrument and the boundary, before the first event.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from recorders.tables import FundingTable, iso_time, load_funding_table, load_index_table, load_mark_table
from sim.feeds import Announced, RecordedMarks
from sim.pricing import PricingPlan
from sim.units import duration_text
from venues.errors import InputError, RuleCardError
from venues.funding import impact_notional_e8, initial_rate, maintenance_rate, rounded
from venues.marks import BY_RATE, mark_rule
from venues.rules import MarginTable, RuleCard
from venues.schedule import boundaries, missing, settlements

if TYPE_CHECKING:
    from sim.assembly import MarketPlan

E12: Final = 10**12
Recorded: TypeAlias = RecordedMarks | Announced | None


def resolve_mark(market: MarketPlan, rule_card: RuleCard, recorded: Recorded, base: Path, first_ns: int) -> None:
    """Find the market's mark (and its index, where a table gives it). Raises ``InputError``."""
    named = market.config.mark
    has_marks = recorded is None or recorded.count > 0
    if named is None and recorded is not None and recorded.count > 0:
        named = "recorded"
    if named is None and rule_card.mark.combiner.value == "none":
        named = "mid"
    where = f"instrument {market.name}"
    _load_index(market, base, first_ns)
    if named is None:
        indexed = market.index_table is not None or (recorded is not None and recorded.indexed > 0)
        raise InputError(
            f"no mark price is recorded from {iso_time(first_ns)} on: name a table (mark = FILE) "
            'or a proxy (mark = "mid")' + (', or compute it of the index (mark = "computed")' if indexed else ""),
            source=where, field="mark",
        )  # fmt: skip
    if named == "recorded":
        if not has_marks:
            raise InputError(f"none is recorded from {iso_time(first_ns)} on", source=where, field="mark")
        market.mark = "of the stream" if isinstance(recorded, Announced) else "recorded"
    elif named == "mid":
        market.mark, market.mark_exact, market.mark_mid = "proxy: mid of the book, each second", False, True
    elif named == "computed":
        _need_index(market, recorded, first_ns, "mark")
        plan = _pricing(market, rule_card, first_ns)
        try:
            plan.mark = mark_rule(rule_card, first_ns)
        except RuleCardError as error:
            raise InputError(str(error), source=where, field="mark") from None
        every = duration_text(plan.mark.sample_ns)
        how = "" if len(plan.mark.components) == 1 else "median of "
        market.mark = f"computed each {every} from index and book: {how}{', '.join(plan.mark.components)}"
        market.mark_exact = False
    else:
        table = load_mark_table(base / named)
        if not len(table.time_ns) or int(table.time_ns[0]) > first_ns:
            begins = iso_time(int(table.time_ns[0])) if len(table.time_ns) else "never"
            raise InputError(
                f"begins {begins}, the run at {iso_time(first_ns)}", source=str(base / named), field="time"
            )
        market.mark_table = (table.time_ns, table.mark_e8)
        market.mark = f"table {Path(named).name}" + (f" of {table.file.as_of}" if table.file.as_of else "")
        market.files[table.file.path] = table.file.sha256


def _load_index(market: MarketPlan, base: Path, first_ns: int) -> None:
    named = market.config.index
    if named is None:
        return
    file, times, prices = load_index_table(base / named)
    if int(times[0]) > first_ns:
        raise InputError(
            f"begins {iso_time(int(times[0]))}, the run at {iso_time(first_ns)}", source=file.path, field="time"
        )
    market.index_table = (times, prices)
    market.files[file.path] = file.sha256


def _need_index(market: MarketPlan, recorded: Recorded, first_ns: int, what: str) -> None:
    if market.index_table is None and recorded is not None and recorded.indexed == 0:
        raise InputError(
            f"cannot be computed: no index is recorded from {iso_time(first_ns)} on; name a table (index = FILE)",
            source=f"instrument {market.name}", field=what,
        )  # fmt: skip


def _pricing(market: MarketPlan, rule_card: RuleCard, first_ns: int) -> PricingPlan:
    if market.pricing is None:
        interval = interval_of(market, rule_card, first_ns)
        market.pricing = PricingPlan(rule_card, market.name, first_ns, interval, drift_ns=market.config.funding_drift)
    return market.pricing


# -- funding


def interval_of(market: MarketPlan, rule_card: RuleCard, ts_ns: int) -> int:
    """The market's funding interval as a run begins: named, the symbol's in the card, or the venue's usual one."""
    own = rule_card.funding_terms(market.name, ts_ns).value.interval_ns
    return market.config.funding_interval or own or rule_card.funding.interval_ns.value


def resolve_funding(
    market: MarketPlan, rule_card: RuleCard, recorded: Recorded, base: Path, first_ns: int, last_ns: int
) -> None:
    """Find the market's funding rates. Raises ``InputError`` naming the boundary that has none."""
    named = market.config.funding
    accrual = rule_card.funding.accrual.value
    interval = interval_of(market, rule_card, first_ns)
    due = [] if accrual in ("none", "continuous") else boundaries(interval, first_ns, last_ns)
    market.due = due
    if named is None and accrual == "none":
        market.funding = "none (by the rule card)"
    elif named == "none":
        market.funding, market.funding_exact, market.covered = "none, switched off", False, 0
    elif named == "computed":
        _computed(market, rule_card, recorded, first_ns)
    elif named is None or named == "recorded":
        if named is None and accrual == "continuous":
            raise InputError(
                'is continuous at this venue: compute it (funding = "computed"), name a table, or "none"',
                source=f"instrument {market.name}", field="funding",
            )  # fmt: skip
        _recorded(market, due, recorded, bool(named), first_ns, last_ns)
    else:
        _from_table(market, base / named, rule_card, interval, first_ns, last_ns)
    by_rate = market.pricing is not None and market.pricing.mark is not None
    if by_rate and market.covered == 0 and BY_RATE & set(rule_card.mark.components.value):
        market.assumptions.append("mark: no rate is given, so that only recorded mark messages may tell the last one")
    if market.config.funding_drift:
        market.funding += f", charged {duration_text(market.config.funding_drift)} after its boundary"


def _recorded(market: MarketPlan, due: list[int], recorded: Recorded, named: bool, first_ns: int, last_ns: int) -> None:
    if isinstance(recorded, Announced):
        if not recorded.count:
            raise InputError(
                'no funding rates are in the stream: name a table (funding = FILE), or funding = "none"',
                source=f"instrument {market.name}", field="funding",
            )  # fmt: skip
        market.funding, market.funding_recorded = "rates and marks of the stream", True
        return
    known = recorded.boundaries if recorded is not None else set(due if named else ())
    absent = [boundary for boundary in due if boundary not in known]
    if absent:
        raise _no_rate(market, absent[0])
    market.funding, market.funding_recorded = "recorded rates and marks", True
    if recorded is not None:
        market.due = sorted({boundary for boundary in known if first_ns < boundary <= last_ns} | set(due))
        market.covered = len(market.due)


def _no_rate(market: MarketPlan, boundary: int) -> InputError:
    return InputError(
        f"the boundary {iso_time(boundary)} ({boundary} ns) is neither recorded nor given: name a table "
        '(funding = FILE), or funding = "none"',
        source=f"instrument {market.name}", field="funding",
    )  # fmt: skip


def _computed(market: MarketPlan, rule_card: RuleCard, recorded: Recorded, first_ns: int) -> None:
    where = f"instrument {market.name}"
    _need_index(market, recorded, first_ns, "funding")
    if market.config.book == "l1":
        raise InputError("cannot be computed of best quotes alone: impact prices need a book", source=where)
    plan = _pricing(market, rule_card, first_ns)
    plan.funding = True
    table: MarginTable | None = market.brackets
    if table is None:
        with contextlib.suppress(RuleCardError):  # needed only where the card's rules say so: they refuse below
            table = rule_card.margin_table(market.name, first_ns).value
    if table is not None:
        plan.initial_e12, plan.maintenance_e12 = _margin_rates(table)
    rules = rule_card.funding
    try:
        rule = plan.rule(first_ns, plan.interval_ns)
        if rule.premium != "mark":
            amount = rule_card.funding_terms(market.name, first_ns).value.impact_notional_e8
            of_initial = None if table is None else initial_rate(table)
            plan.notional_e8 = impact_notional_e8(rules.impact_form.value, amount or 0, of_initial)
    except ValueError as error:  # RuleCardError too
        raise InputError(f"cannot be computed: {error}", source=where, field="funding") from None
    market.funding = f"computed by the venue's formula, premiums each {duration_text(rule.sample_ns)} of the book"
    market.funding_exact = False
    if rule_card.funding.accrual.value == "continuous":
        market.assumptions.append("funding: accrues from sample to sample, each second, where the venue never pauses")
    if rule.premium != "mark":
        market.assumptions.append(
            "funding: impact prices take any fraction of a lot; a side too thin for the notional adds no premium"
        )
    if rules.interval_switch.at(first_ns).value is not None:
        market.assumptions.append("funding: after a change of interval its first, shorter cycle counts as a whole one")


def _margin_rates(table: MarginTable) -> tuple[int, int]:
    return rounded(initial_rate(table) * E12), rounded(maintenance_rate(table) * E12)


def _from_table(
    market: MarketPlan, path: Path, rule_card: RuleCard, interval_ns: int, first_ns: int, last_ns: int
) -> None:
    table = load_funding_table(path)
    drift = market.config.funding_drift
    market.funding = f"table {path.name}" + (f" of {table.file.as_of}" if table.file.as_of else "")
    market.files[table.file.path] = table.file.sha256
    if not table.dated:
        rate, mark = int(table.rate_e12[0]), int(table.mark_e8[0])
        market.due = boundaries(interval_ns, first_ns, last_ns)
        market.fundings = [(boundary + drift, rate, mark) for boundary in market.due]
        market.funding += ", one rate for the whole run"
        market.funding_exact = False
    else:
        _from_history(market, path, table, rule_card, interval_ns, first_ns, last_ns)
    market.covered = len(market.fundings)


def _from_history(
    market: MarketPlan, path: Path, table: FundingTable, rule_card: RuleCard, interval_ns: int, first_ns: int,
    last_ns: int,
) -> None:  # fmt: skip
    """A recorded history: each of its rates is charged once, at its boundary or, settled late, at its own stamp."""
    drift = market.config.funding_drift
    stamps = [int(ts) for ts in table.boundary_ns]
    try:
        found = settlements(stamps)
    except ValueError as error:
        raise InputError(str(error), source=str(path), field="time") from None
    hole = missing(
        [one.boundary_ns for one in found], first_ns, last_ns, interval_ns, rule_card.funding.interval_choices_ns.value
    )
    if hole is not None and market.config.funding_holes == "refuse":
        raise InputError(
            f"has no rate for {market.name} at the boundary {iso_time(hole)} ({hole} ns)", source=str(path)
        )
    inside = [place for place, one in enumerate(found) if first_ns < one.ts_ns <= last_ns]
    market.due = [found[place].ts_ns for place in inside]
    market.fundings = [
        (found[place].ts_ns + drift, int(table.rate_e12[place]), int(table.mark_e8[place])) for place in inside
    ]
    late = [one for one in found if one.late_ns and first_ns < one.ts_ns <= last_ns]
    if late:
        market.funding += f", {len(late)} of them settled late"
    if hole is not None:
        market.funding += f", holes in it skipped (the first at {iso_time(hole)})"
        market.funding_exact = False
