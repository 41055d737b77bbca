"""The form of a rule card: what a venue is, as plain frozen data with the source of every number.

Theory of operation. The generic simulator knows no venue. Whatever differs between venues stands in a ``RuleCard``,
made of the groups in ``venues.rule_groups`` (funding, fees, margin, liquidation ...). Each entry is a ``Fact``: a
value, where it is documented, and whether that was verified. What no source proves is an assumption:
``RuleCard.assumptions`` lists those for the banner at the head of every result. What has changed over time is
``Dated``, looked up as of simulated time; a time before the first known entry gets that entry, marked as an assumption.

Words instead of booleans name the procedures that the simulator implements (``post_only = "reject"``); a card can
only use words which the groups list, so a misspelt one fails the type check and ``RuleCard`` refuses it when it
is built.

Units: times ``_ns``, money ``_e8`` of the settlement asset, rates and multipliers ``_e12``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

from matching import codes
from matching.brackets import Brackets
from venues.errors import CodeTable, RuleCardError
from venues.facts import (
    BPS_E12,
    DAY_NS,
    E8,
    E12,
    HOUR_NS,
    SECOND_NS,
    START_NS,
    Dated,
    Fact,
    always,
    assumed,
    date_ns,
    date_of_ns,
)
from venues.rule_groups import (
    BatchingRules,
    DeadManRules,
    EarnedRequests,
    FeedRules,
    FeeRules,
    FundingRules,
    LimitRules,
    LiquidationRules,
    LossRules,
    MarginRules,
    MarkRules,
    OrderRules,
    RateLimit,
    StpRules,
    group,
)
from venues.rule_text import statement, table_text, value_text
from venues.tiers import (
    ContractTiers,
    FeeTier,
    FundingTerms,
    IntervalSwitch,
    LinearTier,
    MarginTable,
    OpenInterestTier,
)

ASKED: Final = ("order", "cancel", "amend", "leverage", "margin mode", "margin", "countdown")  # what a refusal answers


@dataclass(frozen=True, slots=True)
class VenueReason:
    """How the venue words one of the simulator's reasons (``matching.codes`` R_*).

    ``word`` is the status or reject word that the venue's wire carries beside or instead of a code. ``asked`` names the
    requests that the row is for, of ``ASKED``; none: all that no other row of the reason is for.
    """

    reason: int
    code: int | None  # None: no error code, the event's own status says it
    text: str
    source: str
    verified: bool = True
    low_code: int | None = None  # where the venue tells "too low" from "too high" (``code``)
    word: str = ""
    asked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReasonTable:
    """Reasons to venue codes. Refuses a reason that is listed twice for the same request."""

    rows: tuple[VenueReason, ...]

    def __post_init__(self) -> None:
        seen: set[tuple[int, str]] = set()
        for row in self.rows:
            for asked in row.asked or ("",):
                if asked and asked not in ASKED:
                    raise RuleCardError(f"reason {row.reason}: {asked!r} is not one of {', '.join(ASKED)}")
                if (row.reason, asked) in seen:
                    raise RuleCardError(f"reason {row.reason} is mapped twice; keep one row")
                seen.add((row.reason, asked))

    def find(self, reason: int, asked: str = "") -> VenueReason | None:
        """The venue's words for a reason in answer to a request of ``ASKED`` (or any), or None where it has none."""
        general = None
        for row in self.rows:
            if row.reason == reason and asked in row.asked:
                return row
            if row.reason == reason and not row.asked:
                general = row
        return general


_REASON_NAMES: Final = {
    value: name[2:].lower().replace("_", " ") for name, value in vars(codes).items() if name.startswith("R_")
}
SIMULATOR_REASONS: Final = (
    VenueReason(codes.R_NO_BOOK, None, "no valid recorded book: the simulator cannot know", "simulator"),
    VenueReason(codes.R_LATENCY, None, "recorded as rejected, without the venue's words", "simulator"),
)


TIMELESS: Final = {
    "refusals": (codes.EV_REJECTED, codes.EV_CANCEL_REJECTED, codes.EV_AMEND_REJECTED),
    "acknowledgements": (codes.EV_ACCEPTED, codes.EV_HELD, codes.EV_AMENDED),
}


@dataclass(frozen=True, slots=True)
class RuleCard:
    """All rules of one venue. ``venue`` is its name in run files, ``title`` its name in reports."""

    venue: str
    title: str
    size_unit: Fact[Literal["base", "contracts", "quote"]]
    settles_in: Fact[Literal["quote", "base", "either"]]
    time_resolution_ns: Fact[int]  # of the times on the private wire; the order log is stamped with it
    timeless: Fact[tuple[str, ...]]  # what the private wire says of an order without a time of the engine (TIMELESS)
    money_decimals: Fact[int]
    funding: FundingRules
    mark: MarkRules
    fees: FeeRules
    margin: MarginRules
    liquidation: LiquidationRules
    loss: LossRules
    stp: StpRules
    orders: OrderRules
    batching: BatchingRules
    dead_man: DeadManRules
    feed: FeedRules
    limits: LimitRules
    reasons: ReasonTable
    errors: CodeTable = field(repr=False)
    sources: tuple[tuple[str, str], ...] = ()  # short form in the facts, address

    def __post_init__(self) -> None:
        _check_words(self, self.venue)
        if len(self.stp.modes.value) != len(self.stp.actions.value):
            raise RuleCardError(f"{self.venue}.stp: {len(self.stp.modes.value)} modes need as many actions")

    def margin_table(self, symbol: str, ts_ns: int) -> Fact[MarginTable]:
        """The margin table of a symbol as of simulated time. Raises ``RuleCardError`` when none is documented."""
        for name, table in self.margin.tables:
            if name == symbol:
                return table.at(ts_ns)
        raise RuleCardError(
            f'{self.venue}: no brackets are known for {symbol}: name a bracket table or margin = "none" in the run file'
        )

    def brackets(self, symbol: str, ts_ns: int) -> Fact[Brackets]:
        """``margin_table`` where it must be one with deductions by notional; ``RuleCardError`` where it is another."""
        fact = self.margin_table(symbol, ts_ns)
        if not isinstance(fact.value, Brackets):
            raise RuleCardError(f"{self.venue}: {symbol} has {table_text(fact.value)}, which are no notional brackets")
        return Fact(fact.value, fact.source, fact.verified)

    def funding_terms(self, symbol: str, ts_ns: int) -> Fact[FundingTerms]:
        """A symbol's funding terms as of simulated time, the card's general ones where it has none of its own.

        ``cap_e12`` is None where ``funding.cap_rule`` is not "fixed": the cap follows from the margin table then.
        """
        rules = self.funding
        own = next((table.at(ts_ns) for name, table in rules.tables if name == symbol), None)
        terms = FundingTerms() if own is None else own.value
        cap = rules.cap_e12.at(ts_ns)
        general = cap.value if rules.cap_rule.value == "fixed" else None
        cap_e12 = general if terms.cap_e12 is None else terms.cap_e12
        found = FundingTerms(
            _first(terms.interval_ns, rules.interval_ns.value),
            cap_e12,
            _first(terms.floor_e12, None if cap_e12 is None else -cap_e12),
            _first(terms.interest_e12, rules.interest_e12.value),
            _first(terms.impact_notional_e8, rules.impact_notional_e8.value),
        )
        return Fact(found, (own or cap).source, (own or cap).verified)

    def stamp_ns(self, ts_ns: int) -> int:
        """A time (>= 0) as the venue's private wire carries it: cut to its resolution."""
        resolution_ns = self.time_resolution_ns.value
        return ts_ns - ts_ns % resolution_ns

    def facts(self, ts_ns: int) -> Iterator[tuple[str, Fact[Any]]]:
        """Every fact in force at ``ts_ns`` with its path, such as ``("funding.interval_ns", Fact(...))``."""
        yield from _walk(self, "", ts_ns)

    def assumptions(self, ts_ns: int, symbols: tuple[str, ...] = (), without: tuple[str, ...] = ()) -> tuple[str, ...]:
        """One sentence for each fact in force at ``ts_ns`` that no source proves, for the realism banner.

        ``symbols`` are those whose tables the run takes from this card; ``without`` names groups or
        facts that the run does not use ("margin" and "liquidation" with margin off, "margin.collateral")."""
        found = []
        for name, fact in self.facts(ts_ns):
            if not fact.verified and not any(name == one or name.startswith(f"{one}.") for one in without):
                found.append(f"UNVERIFIED {self.venue} {statement(name, fact.value)} ({fact.source})")
        for name, table in self.margin.tables:
            if name in symbols and "margin" not in without and not table.at(ts_ns).verified:
                known = table.at(ts_ns)
                found.append(f"UNVERIFIED {self.venue} {name} {table_text(known.value)} ({known.source})")
        for name, terms in self.funding.tables:
            if name in symbols and "funding" not in without and not terms.at(ts_ns).verified:
                own = terms.at(ts_ns)
                found.append(f"UNVERIFIED {self.venue} {name} funding: {value_text('terms', own.value)} ({own.source})")
        worded = [reason_name(row) for row in self.reasons.rows if not row.verified]
        if worded and "reasons" not in without:
            found.append(f"UNVERIFIED {self.venue} words of {len(worded)} refusals and closings: {', '.join(worded)}")
        return tuple(found)


def reason_name(row: VenueReason) -> str:
    """A row's reason in words, with the requests it is for where it is not for all of them."""
    return _REASON_NAMES[row.reason] + (f" ({', '.join(row.asked)})" if row.asked else "")


def _first(own: int | None, general: int | None) -> int | None:
    return general if own is None else own


def _walk(node: object, path: str, ts_ns: int) -> Iterator[tuple[str, Fact[Any]]]:
    if isinstance(node, Fact):
        yield path, node
    elif isinstance(node, Dated):
        yield path, node.at(ts_ns)
    elif is_dataclass(node) and not isinstance(node, CodeTable | ReasonTable):
        for item in fields(node):
            if item.name != "tables":
                yield from _walk(getattr(node, item.name), f"{path}.{item.name}".lstrip("."), ts_ns)


def _check_words(node: object, path: str) -> None:
    """Refuses a word that the schema does not list (``Fact[Literal[...]]`` fields of the groups)."""
    hints = get_type_hints(type(node))
    for item in fields(node):  # type: ignore[arg-type]  # called with dataclass instances only
        value = getattr(node, item.name)
        where = f"{path}.{item.name}"
        if isinstance(value, Fact | Dated):
            words, several = _words_of(hints[item.name])
            held = [value] if isinstance(value, Fact) else [fact for _, fact in value.rows]
            for fact in held if words else ():
                for word in fact.value if several else (fact.value,):
                    if word not in words:
                        raise RuleCardError(f"{where}: {word!r} is not one of {', '.join(map(str, words))}")
        elif is_dataclass(value) and not isinstance(value, CodeTable | ReasonTable):
            _check_words(value, where)


def _words_of(hint: Any) -> tuple[tuple[object, ...], bool]:
    """The words that a field takes (none: it takes no words), and whether it takes several of them."""
    (inner,) = get_args(hint) or (None,)
    several = get_origin(inner) is tuple and get_args(inner)[-1] is Ellipsis
    if several:
        inner = get_args(inner)[0]
    return (get_args(inner), several) if get_origin(inner) is Literal else ((), False)


__all__ = [
    "ASKED",
    "BPS_E12",
    "DAY_NS",
    "E8",
    "E12",
    "HOUR_NS",
    "SECOND_NS",
    "SIMULATOR_REASONS",
    "START_NS",
    "BatchingRules",
    "ContractTiers",
    "Dated",
    "DeadManRules",
    "EarnedRequests",
    "Fact",
    "FeeRules",
    "FeeTier",
    "FeedRules",
    "FundingRules",
    "FundingTerms",
    "IntervalSwitch",
    "LimitRules",
    "LinearTier",
    "LiquidationRules",
    "LossRules",
    "MarginRules",
    "MarginTable",
    "MarkRules",
    "OpenInterestTier",
    "OrderRules",
    "RateLimit",
    "ReasonTable",
    "RuleCard",
    "StpRules",
    "VenueReason",
    "always",
    "assumed",
    "date_ns",
    "date_of_ns",
    "group",
    "reason_name",
]
