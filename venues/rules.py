"""The form of a rule card: what a venue is, as plain frozen data with the source of every number.

Theory of operation. The generic simulator knows no venue. Whatever differs between venues stands in a ``RuleCard``,
made of small groups (funding, fees, margin, liquidation ...). Each entry is a ``Fact``: a value, where it is
documented, and whether that was verified. What no source proves is an assumption: ``RuleCard.assumptions`` lists
those for the banner at the head of every result. What has changed over time is ``Dated``, looked up as of simulated
time; a time before the first known entry gets that entry, marked as an assumption.

Words instead of booleans name the procedures that the simulator implements (``post_only = "reject"``); a card can
only use words which the types here list, so a misspelt one fails the type check and ``RuleCard`` refuses it when it
is built.

Units: times ``_ns``, money ``_e8`` of the settlement asset, rates and multipliers ``_e12``.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from decimal import Decimal
from typing import Any, Final, Generic, Literal, TypeVar, get_args, get_type_hints

from matching.brackets import Brackets
from venues.errors import CodeTable, RuleCardError

T = TypeVar("T")
SECOND_NS: Final = 1_000_000_000
HOUR_NS: Final = 3600 * SECOND_NS
DAY_NS: Final = 24 * HOUR_NS
E12: Final = 10**12


# -- facts


@dataclass(frozen=True, slots=True)
class Fact(Generic[T]):
    """A value, its source, and whether the source was verified."""

    value: T
    source: str
    verified: bool = True

    def __post_init__(self) -> None:
        if not self.source:
            raise RuleCardError(f"a fact without a source: {self.value!r}")


def assumed(value: T, why: str) -> Fact[T]:
    """A fact that no source proves; ``why`` says what it rests on."""
    return Fact(value, why, verified=False)


def date_ns(date: str) -> int:
    """Midnight UTC of an ISO date, in nanoseconds."""
    return (datetime.date.fromisoformat(date).toordinal() - datetime.date(1970, 1, 1).toordinal()) * DAY_NS


def date_of_ns(ts_ns: int) -> str:
    """The ISO date (UTC) of an instant."""
    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=ts_ns // DAY_NS)).isoformat()


@dataclass(frozen=True, slots=True)
class Dated(Generic[T]):
    """Facts that replace each other: each holds from its instant on. Instants strictly rise."""

    rows: tuple[tuple[int, Fact[T]], ...]

    def __post_init__(self) -> None:
        times = [ts_ns for ts_ns, _ in self.rows]
        if not times or any(a >= b for a, b in itertools.pairwise(times)):
            raise RuleCardError("a dated table needs at least one row, and its dates must rise")

    def at(self, ts_ns: int) -> Fact[T]:
        """The fact in force at ``ts_ns``; before the first row, that row as an assumption."""
        first_ns, found = self.rows[0]
        if ts_ns < first_ns:
            source = f"{found.source}; known from {date_of_ns(first_ns)}, used before it"
            return Fact(found.value, source, verified=False)
        for from_ns, fact in self.rows:
            if from_ns <= ts_ns:
                found = fact
        return found

    @property
    def latest(self) -> Fact[T]:
        """The last row."""
        return self.rows[-1][1]


def always(value: T, source: str, verified: bool = True) -> Dated[T]:
    """A dated table of one fact that holds at all times."""
    return Dated(((-(1 << 63), Fact(value, source, verified)),))


# -- groups of rules

Accrual = Literal["none", "discrete", "lazy_index", "continuous"]
Aggregation = Literal["none", "time_weighted_mean", "mean", "median_of_votes", "twap", "instantaneous"]
PriceKind = Literal["none", "mark", "oracle", "index", "last"]


@dataclass(frozen=True, slots=True)
class FundingRules:
    """How funding arises and is charged. ``interval_ns`` is the default; symbols may have their own."""

    accrual: Fact[Accrual]
    interval_ns: Fact[int]
    premium_sample_ns: Fact[int]
    aggregation: Dated[Aggregation]
    interest_e12: Fact[int]  # per 8 hours
    damp_e12: Fact[int]  # the premium-to-interest clamp, either side
    cap: Fact[str]  # how the caps follow from the margin table
    price: Fact[PriceKind]  # the price that payments are computed at
    settlement_drift_ns: Fact[int]  # latest charge after the boundary
    publish_lead_ns: Fact[int]  # how long before its boundary a rate is final
    side_asymmetry: Fact[bool]
    borrow_fee: Fact[bool]


@dataclass(frozen=True, slots=True)
class MarkRules:
    """How the venue's mark price is made (documentation of recorded marks; needed to rebuild one)."""

    components: Fact[tuple[str, ...]]
    combiner: Fact[Literal["none", "median", "ema", "identity"]]
    basis_window_ns: Dated[int]
    cap_e12: Fact[int | None]


@dataclass(frozen=True, slots=True)
class FeeRules:
    """The base tier's rates. Negative is a rebate. Other tiers come from the run file."""

    maker_rate_e12: Dated[int]
    taker_rate_e12: Dated[int]
    rounding_e8: Fact[int]  # fees are multiples of this many units of 1e-8
    rounding: Fact[Literal["exact", "truncate", "ceil", "half_even", "floor"]]


@dataclass(frozen=True, slots=True)
class MarginRules:
    """The form of the tiers, and the documented tables by symbol."""

    enabled: Fact[bool]
    tier_key: Fact[Literal["none", "notional", "contracts", "size", "open_interest"]]
    form: Fact[Literal["none", "bracket_deduction", "flat", "linear", "square_root"]]
    initial_from: Fact[Literal["none", "leverage", "tier"]]
    open_order_form: Fact[Literal["none", "larger_side", "sum_of_sides"]]
    default_leverage: Fact[int]
    tables: tuple[tuple[str, Dated[Brackets]], ...] = ()


@dataclass(frozen=True, slots=True)
class LiquidationRules:
    """What happens to an account that falls below its maintenance margin."""

    procedure: Fact[Literal["none", "binance", "tier_step_down", "partial_then_vault", "chunks", "keepers"]]
    trigger_price: Fact[PriceKind]
    trigger_ratio_e12: Fact[int]  # maintenance margin / margin balance
    first_fraction_e12: Fact[int]
    cooldown_ns: Fact[int]
    order: Fact[Literal["none", "market", "ioc_to_bankruptcy", "ioc_at_zero_price"]]
    takeover_price: Fact[Literal["none", "bankruptcy", "mark"]]
    fee_rate_e12: Fact[int]  # of the liquidated value; an instrument's own rate goes first
    fee_to: Fact[Literal["none", "insurance_fund", "liquidator"]]
    surplus_to: Fact[Literal["none", "insurance_fund", "account"]]


@dataclass(frozen=True, slots=True)
class LossRules:
    """Who bears what a bankrupt account cannot pay."""

    fund_scope: Fact[Literal["none", "venue", "symbol_pool"]]
    fund_absorbs: Fact[Literal["none", "all", "until_empty"]]
    adl_rank: Fact[str]
    adl_price: Fact[Literal["none", "bankruptcy", "mark", "prior_mark"]]
    socialise: Fact[bool]


@dataclass(frozen=True, slots=True)
class StpRules:
    """Self-trade prevention."""

    modes: Fact[tuple[str, ...]]
    default: Fact[str]
    decided_by: Fact[Literal["none", "taker", "account"]]
    scope: Fact[Literal["none", "account", "group"]]


@dataclass(frozen=True, slots=True)
class OrderRules:
    """How orders behave on arrival, when amended, and while they rest."""

    times_in_force: Fact[tuple[str, ...]]
    post_only: Fact[Literal["reject", "expire", "slide"]]
    fok_unfilled: Fact[Literal["reject", "expire"]]
    reduce_only: Fact[Literal["reject", "shrink", "resize"]]
    amend_new_id: Fact[bool]
    amend_keeps_priority: Fact[Literal["never", "size_down", "always"]]
    amend_to_filled: Fact[Literal["cancel", "reject"]]
    amend_crossing_post_only: Fact[Literal["cancel", "reject"]]
    amends_per_order: Fact[int | None]
    min_notional_exempt_reduce_only: Fact[bool]
    market_notional_price: Fact[PriceKind]
    price_band: Fact[Literal["none", "reject", "clamp"]]
    price_band_price: Fact[PriceKind]
    market_remainder: Fact[Literal["expire"]]
    max_open_orders: Fact[int | None]
    client_id_form: Fact[str]


@dataclass(frozen=True, slots=True)
class BatchingRules:
    """On-chain and speed-bump venues; all zero for a continuous matching engine."""

    block_interval_ns: Fact[int]
    class_order: Fact[tuple[str, ...]]
    speed_bump_ns: Fact[int]


@dataclass(frozen=True, slots=True)
class DeadManRules:
    """The venue's timer that cancels orders of a client that went silent."""

    kind: Fact[Literal["none", "countdown", "schedule", "disconnect"]]
    min_ns: Fact[int | None]
    max_ns: Fact[int | None]
    scope: Fact[Literal["none", "symbol", "account"]]
    quota_per_day: Fact[int | None]


@dataclass(frozen=True, slots=True)
class FeedRules:
    """What the venue's streams promise, public and private."""

    book: Fact[Literal["none", "snapshots", "diff_chain"]]
    book_ids: Fact[tuple[str, ...]]
    book_can_cross: Fact[bool]
    force_orders: Dated[Literal["none", "all", "largest_per_second", "latest_per_second"]]
    private_replay: Fact[Literal["none", "snapshot", "history"]]
    dedupe_key: Fact[tuple[str, ...]]
    ack: Fact[Literal["matched", "accepted", "committed", "checked"]]
    reverts: Fact[bool]  # fills may be voided later


@dataclass(frozen=True, slots=True)
class RateLimit:
    """So many units per window. ``unit`` says what is counted, ``scope`` against whom."""

    unit: Literal["weight", "orders", "requests", "messages", "credits", "cancels"]
    scope: Literal["ip", "account", "instrument", "connection"]
    units: int
    window_ns: int


@dataclass(frozen=True, slots=True)
class LimitRules:
    """Request limits and what exceeding them answers."""

    limits: Dated[tuple[RateLimit, ...]]
    windows: Fact[Literal["none", "fixed", "rolling", "leaky"]]
    exceeded: Fact[str]


@dataclass(frozen=True, slots=True)
class VenueReason:
    """How the venue words one of the simulator's reasons (``matching.codes`` R_*)."""

    reason: int
    code: int | None  # None: no error code, the event's own status says it
    text: str
    source: str
    verified: bool = True
    low_code: int | None = None  # where the venue tells "too low" from "too high" (``code``)


@dataclass(frozen=True, slots=True)
class ReasonTable:
    """Reasons to venue codes. Refuses a reason that is listed twice."""

    rows: tuple[VenueReason, ...]

    def __post_init__(self) -> None:
        seen: set[int] = set()
        for row in self.rows:
            if row.reason in seen:
                raise RuleCardError(f"reason {row.reason} is mapped twice; keep one row")
            seen.add(row.reason)

    def find(self, reason: int) -> VenueReason | None:
        """The venue's words for a reason, or None where it has none."""
        for row in self.rows:
            if row.reason == reason:
                return row
        return None


@dataclass(frozen=True, slots=True)
class RuleCard:
    """All rules of one venue. ``venue`` is its name in run files, ``title`` its name in reports."""

    venue: str
    title: str
    size_unit: Fact[Literal["base", "contracts", "quote"]]
    settles_in: Fact[Literal["quote", "base"]]
    time_resolution_ns: Fact[int]  # of the times on the private wire; the order log is stamped with it
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

    def __post_init__(self) -> None:
        _check_words(self, self.venue)

    def brackets(self, symbol: str, ts_ns: int) -> Fact[Brackets]:
        """The margin brackets of a symbol as of simulated time. Raises ``RuleCardError`` when none are documented."""
        for name, table in self.margin.tables:
            if name == symbol:
                return table.at(ts_ns)
        raise RuleCardError(
            f'{self.venue}: no brackets are known for {symbol}: name a bracket table or margin = "none" in the run file'
        )

    def stamp_ns(self, ts_ns: int) -> int:
        """A time (>= 0) as the venue's private wire carries it: cut to its resolution."""
        resolution_ns = self.time_resolution_ns.value
        return ts_ns - ts_ns % resolution_ns

    def facts(self, ts_ns: int) -> Iterator[tuple[str, Fact[Any]]]:
        """Every fact in force at ``ts_ns`` with its path, such as ``("funding.interval_ns", Fact(...))``."""
        yield from _walk(self, "", ts_ns)

    def assumptions(self, ts_ns: int, symbols: tuple[str, ...] = (), without: tuple[str, ...] = ()) -> tuple[str, ...]:
        """One sentence for each fact in force at ``ts_ns`` that no source proves, for the realism banner.

        ``symbols`` are those whose bracket tables the run takes from this card; ``without`` names groups that the run
        does not use (such as "margin" and "liquidation" with margin off)."""
        found = []
        for name, fact in self.facts(ts_ns):
            if not fact.verified and name.partition(".")[0] not in without:
                found.append(f"UNVERIFIED {self.venue} {_statement(name, fact.value)} ({fact.source})")
        for name, table in self.margin.tables:
            if name in symbols and "margin" not in without and not table.at(ts_ns).verified:
                known = table.at(ts_ns)
                found.append(f"UNVERIFIED {self.venue} {name} {_brackets_statement(known.value)} ({known.source})")
        for row in self.reasons.rows:
            if not row.verified and "reasons" not in without:
                code = "no code" if row.code is None else f"code {row.code}"
                found.append(f"UNVERIFIED {self.venue} {code} for {row.text!r} ({row.source})")
        return tuple(found)


def _statement(name: str, value: object) -> str:
    """A fact in words: ``fees.maker_rate = 0.02 %`` rather than an integer at 1e-12."""
    stem, _, unit = name.rpartition("_")
    if isinstance(value, int) and not isinstance(value, bool):
        if unit == "e12":
            return f"{stem} = {_plain(value, 10)} %"
        if unit == "e8" and stem.rpartition("_")[0]:
            return f"{stem} = {_plain(value, 8)}"
        if unit == "ns":
            return f"{stem} = {_plain(value, 9)} s"
    return f"{name} = {value}"


def _plain(value: int, decimals: int) -> str:
    return f"{Decimal(value).scaleb(-decimals).normalize():f}"


def _brackets_statement(table: Brackets) -> str:
    first = f"to {_plain(table.cap_e8[0], 8)}: {table.max_leverage[0]}x, {_plain(table.rate_e12[0], 10)} %"
    count = len(table.cap_e8)
    return f"margin brackets: {'only one' if count == 1 else count}, the first {first}"


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
            words = _words_of(hints[item.name])
            held = [value] if isinstance(value, Fact) else [fact for _, fact in value.rows]
            for fact in held:
                if words and fact.value not in words:
                    raise RuleCardError(f"{where}: {fact.value!r} is not one of {', '.join(map(str, words))}")
        elif is_dataclass(value) and not isinstance(value, CodeTable | ReasonTable):
            _check_words(value, where)


def _words_of(hint: Any) -> tuple[object, ...]:
    inner = get_args(hint)
    if len(inner) == 1 and getattr(inner[0], "__origin__", None) is Literal:
        return get_args(inner[0])
    return ()
