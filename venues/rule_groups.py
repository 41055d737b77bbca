"""The groups of a rule card, and the words that they may use.

Every field is a ``Fact`` or a ``Dated`` table of facts; ``tables`` hold what differs by symbol. A field that takes one
of several words names a procedure that the simulator knows by that word. Where a field says "none", 0, None or (),
the venue has no such rule.

Units: times ``_ns``, money ``_e8``, rates and multipliers ``_e12``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar, get_origin, get_type_hints

from venues.facts import Dated, Fact, always, assumed
from venues.tiers import FeeTier, FundingTerms, IntervalSwitch, MarginTable

G = TypeVar("G")

Accrual = Literal["none", "discrete", "lazy_index", "continuous"]
Aggregation = Literal["none", "time_weighted_mean", "mean", "median_of_votes", "twap", "instantaneous"]
PriceKind = Literal["none", "mark", "oracle", "index", "last"]
Rounding = Literal["exact", "truncate", "ceil", "half_even", "floor"]
OrderType = Literal[
    "limit", "market", "stop_market", "stop_limit", "take_profit_market", "take_profit_limit", "trailing_stop"
]
Watched = Literal["last", "mark", "index", "oracle"]
MarginMode = Literal["cross", "isolated", "multi_assets"]
StpAction = Literal["cancel_taker", "cancel_maker", "cancel_both", "reject_taker"]
Procedure = Literal[
    "none",
    "ioc_then_fund",  # one IOC order for the whole position, the fund takes the rest (Binance)
    "tier_step_down",  # reduce to a lower tier until it suffices, take over in the lowest (Bybit isolated, OKX)
    "ladder_then_takeover",  # reduce positions in steps, then take over (Bybit cross)
    "book_then_vault",  # orders to the book, a vault takes what falls below a share of maintenance (Hyperliquid)
    "fillable_price",  # an IOC order at a price between mark and bankruptcy, a part per block (dYdX)
    "chunks",  # small market orders at intervals until maintenance is met (Deribit)
]


RateForm = Literal[
    "none",
    "damped",  # premium + clamp(interest - premium, -damp, damp)
    "sum",  # premium + interest
]
_DAMPED: Final[Fact[RateForm]] = Fact("damped", "the usual form")
_UNROUNDED: Final[Fact[int]] = Fact(0, "samples are kept as they are")
_AS_THEY_ARE: Final[Fact[Rounding]] = Fact("half_even", "samples are kept as they are")
_HALF_EVEN: Final[Fact[Rounding]] = assumed("half_even", "the direction of rounding of rates is not documented")
_UNIT: Final[Fact[int]] = assumed(1, "published rates taken to be multiples of 1e-12")
_OF_INTERVAL: Final[Fact[Literal["interval", "rolling"]]] = assumed("interval", "forecasts taken to start anew")
_NO_PROTECTION: Final[Fact[int | None]] = Fact(None, "not among the parameters of an order")
_EXPIRES: Final[Fact[Literal["reject", "expire"]]] = assumed("expire", "how a refused trigger is reported: closed")
_AMENDABLE: Final[Fact[bool]] = assumed(True, "untriggered orders taken to be amendable like others")
_MAY_TAKE: Final[Fact[bool]] = Fact(False, "an amended order may take")
_UNCHANGED: Final[Fact[tuple[Literal["mode", "leverage"], ...]]] = assumed((), "setting what is set taken to succeed")
_KEEPS_MARGIN: Final[Fact[Literal["keeps_margin", "moves_margin"]]] = assumed(
    "keeps_margin", "a change of leverage is taken to leave the margin of an isolated position as it is"
)
_FROM_POSITION: Final[Fact[Literal["isolated", "available"]]] = assumed(
    "isolated", "funding of an isolated position is taken to be paid from its margin"
)
_EACH_SAMPLE: Final[Fact[int]] = assumed(0, "the forecast is taken to change with each premium sample")


@dataclass(frozen=True, slots=True)
class FundingRules:
    """How funding arises and is charged. ``interval_ns`` is the default; ``tables`` has symbols' own terms by date."""

    accrual: Fact[Accrual]
    interval_ns: Fact[int]
    interval_choices_ns: Fact[tuple[int, ...]]
    interval_switch: Dated[IntervalSwitch | None]  # what a rate at its bound does to the interval
    settle_ns: Fact[int | None]  # time of day at which accrued funding becomes cash; None: at each charge
    premium: Fact[Literal["none", "impact", "mark"]]  # impact prices of the book, or mark, against index
    premium_sample_ns: Fact[int]
    impact_form: Fact[Literal["none", "fixed", "over_initial_rate"]]  # the notional itself, or that / initial rate
    impact_notional_e8: Fact[int]
    aggregation: Dated[Aggregation]
    weights: Fact[Literal["none", "equal", "rising", "rising_equal_at_1h"]]
    votes_least: Fact[int]  # samples of a minute are filled up with zeros to so many votes
    vote_clamp_e12: Fact[int | None]  # bound of one premium sample
    interest_e12: Fact[int]  # per 8 hours
    interest_scaling: Fact[Literal["none", "per_interval"]]  # whether interest shrinks with the interval
    damp_e12: Fact[int]  # the clamp of interest minus premium, either side
    divide: Fact[Literal["none", "by_interval_of_8h"]]  # whether the whole rate shrinks with the interval
    cap_rule: Fact[Literal["none", "fixed", "margin_gap"]]  # fixed: cap itself; margin_gap: cap * (IMF - MMF)
    cap_e12: Dated[int | None]
    cap_period_ns: Fact[int]  # the cap bounds the rate of this period; 0: of the interval
    price: Fact[PriceKind]  # the price that payments are computed at
    payment_unit_e8: Fact[int]  # payments are multiples of this many units of 1e-8
    payment_rounding: Fact[Rounding]
    settlement_drift_ns: Fact[int]  # latest charge after the boundary
    publish_lead_ns: Fact[int]  # how long before its boundary a rate is final
    side_asymmetry: Fact[bool]
    borrow_fee: Fact[bool]
    tables: tuple[tuple[str, Dated[FundingTerms]], ...] = ()
    form: Fact[RateForm] = _DAMPED
    sample_unit_e12: Fact[int] = _UNROUNDED  # samples are kept in multiples of this; 0: not rounded
    sample_rounding: Fact[Rounding] = _AS_THEY_ARE
    rate_unit_e12: Fact[int] = _UNIT  # rates are published in multiples of this
    rate_rounding: Fact[Rounding] = _HALF_EVEN
    forecast: Fact[Literal["interval", "rolling"]] = _OF_INTERVAL  # of the interval so far, or of the last interval_ns
    forecast_step_ns: Fact[int] = _EACH_SAMPLE  # how often the forecast on the stream changes; 0: with each sample


@dataclass(frozen=True, slots=True)
class MarkRules:
    """How the venue's mark and index prices are made (documentation of recorded ones; needed to rebuild one)."""

    components: Fact[tuple[str, ...]]
    combiner: Fact[Literal["none", "median", "ema", "sum", "identity"]]
    basis_window_ns: Dated[int]  # of the moving average of mid minus index
    basis_sample_ns: Fact[int]
    ema_tau_ns: Fact[int]
    fallback_ema_tau_ns: Fact[int]  # of the book's price, added where only two components exist
    publish_ns: Fact[int]
    cap_e12: Fact[int | None]  # largest distance from the index
    index_weights: Fact[tuple[tuple[str, int], ...]]
    perp_weights: Fact[tuple[tuple[str, int], ...]]  # of other venues' perpetuals, where they are a component
    index_clamp_e12: Fact[int | None]  # a source further from the median is moved to that bound
    index_stale_ns: Fact[int | None]  # an older source has no weight


@dataclass(frozen=True, slots=True)
class FeeRules:
    """The base tier's rates (negative is a rebate), the other tiers by volume, and rounding."""

    maker_rate_e12: Dated[int]
    taker_rate_e12: Dated[int]
    tiers: Dated[tuple[FeeTier, ...]]
    volume_window_ns: Fact[int]
    discounts: Fact[tuple[tuple[str, int], ...]]  # name, share of the fee at 1e-12; applied by nobody but the run file
    rounding_e8: Fact[int]  # fees are multiples of this many units of 1e-8
    rounding: Fact[Rounding]


@dataclass(frozen=True, slots=True)
class MarginRules:
    """The form of the tiers, the account's modes and settings, and the documented tables by symbol."""

    enabled: Fact[bool]
    tier_key: Fact[Literal["none", "notional", "contracts", "size", "open_interest"]]
    form: Fact[Literal["none", "bracket_deduction", "flat", "linear", "square_root"]]
    initial_from: Fact[Literal["none", "leverage", "tier"]]
    open_interest_scaled: Fact[bool]
    open_order_form: Fact[Literal["none", "larger_side", "sum_of_sides"]]
    close_fee: Fact[Literal["none", "taker_at_mark", "taker_at_bankruptcy"]]  # reserved on top of maintenance
    default_leverage: Fact[int]
    leverage_step_e12: Fact[int]
    leverage_change: Fact[Literal["free", "no_cut_isolated", "by_tier"]]  # what the venue refuses
    modes: Fact[tuple[MarginMode, ...]]
    default_mode: Fact[MarginMode]
    mode_scope: Fact[Literal["none", "symbol", "account", "order"]]
    mode_change: Fact[Literal["none", "flat", "flat_no_orders", "free"]]  # what the symbol must be to change it
    collateral: Fact[Literal["settle_asset", "index_haircut"]]  # of multi-assets mode: haircut bid and ask rates
    removal_floor_e12: Fact[int]  # withdrawals and margin cuts must leave this share of notional
    liquidation_price: Fact[Literal["none", "at_maintenance", "entry_margin"]]  # how the shown price is computed
    tables: tuple[tuple[str, Dated[MarginTable]], ...] = ()
    unchanged_refused: Fact[tuple[Literal["mode", "leverage"], ...]] = _UNCHANGED  # asking for what is set already
    isolated_leverage: Fact[Literal["keeps_margin", "moves_margin"]] = _KEEPS_MARGIN  # of a position, when changed
    isolated_funding: Fact[Literal["isolated", "available"]] = _FROM_POSITION  # who pays an isolated position's first


@dataclass(frozen=True, slots=True)
class LiquidationRules:
    """What happens to an account, or an isolated position, that falls below its maintenance margin."""

    procedure: Fact[Procedure]
    isolated_procedure: Fact[Procedure]
    trigger_price: Fact[PriceKind]
    trigger_ratio_e12: Fact[int]  # maintenance margin / margin balance
    warning_ratio_e12: Fact[int | None]
    cancels: Fact[Literal["none", "all", "symbol"]]  # own orders that go first
    first_fraction_e12: Fact[int]  # of the position, in the first order
    first_fraction_above_e8: Fact[int]  # of positions worth more; smaller ones go whole
    cooldown_ns: Fact[int]  # between one order and the next
    chunk_fraction_e12: Fact[int]  # of the position in each further order
    tiers_per_step: Fact[int]
    whole_up_to_tier: Fact[int]  # positions in these tiers are taken over whole
    block_fraction_e12: Fact[int]  # most of a position in one block ...
    block_least_e8: Fact[int]  # ... but at least this notional
    block_most_e8: Fact[int]  # most notional of an account in one block
    block_loss_most_e8: Fact[int]  # most loss of the fund from an account in one block
    order: Fact[Literal["none", "market", "ioc_to_bankruptcy", "ioc_at_fillable_price", "ioc_at_zero_price"]]
    fillable_adjustment_e12: Fact[int]
    fillable_spread_e12: Fact[int]  # spread to maintenance margin ratio
    takeover_ratio_e12: Fact[int]  # equity / maintenance at which the backstop takes over; 0: what the book leaves
    takeover_price: Fact[Literal["none", "bankruptcy", "mark"]]
    nets_legs: Fact[bool]  # whether long and short legs of a contract are closed against each other first
    keeps_margin: Fact[bool]  # whether the backstop keeps the account's remaining margin
    fee_form: Fact[Literal["none", "own_rate", "taker", "excess_up_to"]]
    fee_rate_e12: Dated[int]  # of the liquidated value; an instrument's own rate goes first
    fee_to: Fact[Literal["none", "insurance_fund", "liquidator"]]
    surplus_to: Fact[Literal["none", "insurance_fund", "account", "vault"]]
    order_id_prefix: Fact[str]  # of the client id that the wire shows


@dataclass(frozen=True, slots=True)
class LossRules:
    """Who bears what a bankrupt account cannot pay."""

    fund_scope: Fact[Literal["none", "venue", "symbol_pool", "settle_asset"]]
    fund_absorbs: Fact[Literal["none", "all", "until_empty"]]
    adl_trigger: Fact[Literal["none", "fund_empty", "fund_drawdown", "negative_equity"]]
    adl_drawdown_e12: Fact[int]  # of the fund, from its recent highest or average, that starts it
    adl_rank: Fact[
        Literal[
            "none", "profit_times_margin_ratio", "profit_times_leverage", "mark_over_entry_times_leverage",
            "pseudo_random",
        ]
    ]  # fmt: skip
    adl_price: Fact[Literal["none", "bankruptcy", "mark", "prior_mark"]]
    adl_fee: Fact[Literal["none", "maker", "taker"]]
    adl_cancels_orders: Fact[bool]
    adl_id_prefix: Fact[str]
    socialise: Fact[bool]


@dataclass(frozen=True, slots=True)
class StpRules:
    """Self-trade prevention. ``modes`` are the venue's words, ``actions`` what each of them does, in the same order."""

    modes: Fact[tuple[str, ...]]
    actions: Fact[tuple[StpAction, ...]]
    default: Fact[str]
    decided_by: Fact[Literal["none", "taker", "account"]]
    scope: Fact[Literal["none", "account", "group"]]
    not_for: Fact[tuple[str, ...]]  # times in force that it does not guard
    reset_by_amend: Fact[bool]


@dataclass(frozen=True, slots=True)
class OrderRules:
    """How orders behave on arrival, when amended, and while they rest."""

    grid: Fact[Literal["tick", "tick_steps", "significant_digits"]]
    types: Fact[tuple[OrderType, ...]]
    times_in_force: Fact[tuple[str, ...]]
    expiry: Fact[Literal["none", "time", "block", "day"]]  # what a good-till order is good till
    expiry_min_ns: Fact[int | None]  # least time from now
    expiry_max_ns: Fact[int | None]  # most time from now
    expiry_resolution_ns: Fact[int]
    expiry_blocks: Fact[int]
    day_end_ns: Fact[int | None]  # time of day at which day orders end
    request_deadline: Fact[bool]  # a request may say after what time the venue shall not act on it
    triggers: Fact[tuple[Watched, ...]]
    default_trigger: Fact[Literal["none", "last", "mark", "index", "oracle"]]
    trigger_at_once: Fact[Literal["none", "reject", "fire"]]  # a trigger that already holds on arrival
    trigger_margin: Fact[Literal["none", "at_trigger", "at_placing"]]  # when margin is checked and held
    trailing_min_e12: Fact[int | None]  # callback rates
    trailing_max_e12: Dated[int | None]
    trigger_slippage_e12: Fact[int | None]  # bound of a triggered market order from its trigger price
    post_only: Fact[Literal["reject", "expire", "cancel_after_ack", "slide"]]
    fok_unfilled: Fact[Literal["reject", "expire"]]
    reduce_only: Fact[Literal["reject", "shrink", "resize"]]
    close_position: Fact[bool]
    hedge_mode: Fact[bool]
    amend_new_id: Fact[bool]
    amend_keeps_priority: Fact[Literal["never", "size_down", "always"]]
    amend_to_filled: Fact[Literal["cancel", "reject", "fill"]]
    amend_crossing_post_only: Fact[Literal["cancel", "reject"]]
    amends_per_order: Fact[int | None]
    min_notional_e8: Fact[int | None]  # default; instruments have their own
    min_notional_exempt: Fact[Literal["none", "reduce_only", "whole_close"]]
    market_notional_price: Fact[PriceKind]
    price_band: Fact[Literal["none", "reject", "clamp"]]
    price_band_form: Dated[Literal["none", "multipliers", "index_premium", "live"]]
    price_band_price: Fact[PriceKind]
    price_band_x_e12: Fact[int | None]  # index_premium: see the card's source for the formula of its x, y and z
    price_band_y_e12: Fact[int | None]
    price_band_z_e12: Fact[int | None]
    price_band_window_ns: Fact[int]  # of the average premium
    market_form: Fact[Literal["bounded", "ioc_limit", "client_ioc"]]  # client_ioc: the venue has no market orders
    market_bound_e12: Fact[int | None]  # default; instruments have their own
    market_bound_price: Fact[Literal["none", "mark", "index", "oracle", "mid"]]
    market_remainder: Fact[Literal["expire"]]
    max_matches: Fact[int | None]  # makers that one order may meet before its remainder goes
    max_limit_value: Fact[tuple[tuple[int, int], ...]]  # rows (from this highest leverage on, notional at 1e-8)
    max_market_value: Fact[tuple[tuple[int, int], ...]]
    max_open_orders: Fact[int | None]
    open_orders_scope: Fact[Literal["none", "symbol", "account"]]
    open_orders_per_volume_e8: Fact[int | None]  # one more for each such traded volume ...
    open_orders_most: Fact[int | None]  # ... up to so many
    open_orders_by_equity: Fact[tuple[tuple[int, int], ...]]  # rows (from this equity at 1e-8 on, orders)
    max_stop_orders: Fact[int | None]
    stop_orders_scope: Fact[Literal["none", "symbol", "account"]]
    max_batch: Fact[int]  # 1: no batches
    max_batch_cancel: Fact[int]
    client_id_form: Fact[str]  # a regular expression; "": anything
    client_id_unique: Fact[Literal["none", "open", "always"]]
    trigger_protect_e12: Fact[int | None] = _NO_PROTECTION  # widest |last - mark| / mark of triggers that ask for it
    trigger_refused: Fact[Literal["reject", "expire"]] = _EXPIRES  # what the engine refuses when it fires
    amend_held: Fact[bool] = _AMENDABLE  # untriggered orders can be amended
    amend_must_rest: Fact[bool] = _MAY_TAKE  # amended orders are treated as post-only


@dataclass(frozen=True, slots=True)
class BatchingRules:
    """On-chain and speed-bump venues; all zero for a continuous matching engine."""

    block_interval_ns: Fact[int]
    class_order: Fact[tuple[str, ...]]  # of the requests in one block
    held_to_next_block: Fact[tuple[str, ...]]  # kinds of orders that match in the block after their own
    speed_bump_ns: Dated[int]  # added to orders that take
    speed_bump_exempt: Fact[tuple[str, ...]]  # base coins


@dataclass(frozen=True, slots=True)
class DeadManRules:
    """The venue's timer that cancels orders of a client that went silent."""

    kind: Fact[Literal["none", "countdown", "schedule", "disconnect"]]
    min_ns: Fact[int | None]
    max_ns: Fact[int | None]
    check_ns: Fact[int]  # how often the venue looks; 0: at once
    scope: Fact[Literal["none", "symbol", "account"]]
    quota_per_day: Fact[int | None]


@dataclass(frozen=True, slots=True)
class FeedRules:
    """What the venue's streams promise, public and private, and how final they are."""

    book: Fact[Literal["none", "snapshots", "diff_chain"]]
    book_ids: Fact[tuple[str, ...]]
    book_interval_ns: Fact[int]  # of the usual stream
    book_can_cross: Fact[bool]
    force_orders: Dated[Literal["none", "all", "largest_per_second", "latest_per_second"]]
    private_replay: Fact[Literal["none", "snapshot", "history"]]
    dedupe_key: Fact[tuple[str, ...]]
    ack: Fact[Literal["matched", "accepted", "committed", "checked"]]
    reverts: Fact[bool]  # fills may be voided later


@dataclass(frozen=True, slots=True)
class RateLimit:
    """So many units per window. ``unit`` says what is counted, ``scope`` against whom.

    ``orders`` are new ones, with amendments unless the same scope lists ``amends``; ``stateful_orders`` are those that
    the chain itself keeps. ``burst`` is the size of a leaky bucket that refills at ``units`` per window (0: the window
    itself is the limit), ``batch`` what a batch costs here whatever its size (None: as ``batch_counts`` says).
    """

    unit: Literal[
        "weight", "orders", "amends", "cancels", "orders_and_cancels", "stateful_orders", "batch_orders", "requests",
        "messages", "credits",
    ]  # fmt: skip
    scope: Literal["ip", "account", "instrument", "connection"]
    units: int
    window_ns: int
    burst: int = 0
    batch: int | None = None


@dataclass(frozen=True, slots=True)
class EarnedRequests:
    """Requests that an address earns: ``initial``, and one for each ``per_volume_e8`` traded; then one per ``slow_ns``.

    Cancels have a quota of their own: min(limit + ``cancel_extra``, ``cancel_times`` * limit).
    """

    initial: int
    per_volume_e8: int
    slow_ns: int
    cancel_extra: int
    cancel_times: int


@dataclass(frozen=True, slots=True)
class LimitRules:
    """Request limits and what exceeding them answers."""

    limits: Dated[tuple[RateLimit, ...]]
    windows: Fact[Literal["none", "fixed", "rolling", "leaky", "blocks"]]
    batch_counts: Fact[Literal["one", "each", "listed"]]  # of a batch against order limits; listed: as its own unit
    earned: Fact[EarnedRequests | None]
    exempt: Fact[tuple[str, ...]]  # requests that overload and throttling spare
    exceeded: Fact[str]


def group(kind: type[G], source: str, /, **values: Any) -> G:
    """A group of facts, most of which have one source: a value that is no ``Fact`` or ``Dated`` yet gets ``source``.

    Every field must be given (``TypeError``); ``RuleCard`` checks the words.
    """
    dated = {name for name, hint in get_type_hints(kind).items() if get_origin(hint) is Dated}
    made = {}
    for name, value in values.items():
        known = value if isinstance(value, Fact | Dated) or name == "tables" else Fact(value, source)
        if name in dated and isinstance(known, Fact):
            known = always(known.value, known.source, known.verified)
        made[name] = known
    return kind(**made)
