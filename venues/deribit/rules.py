"""The rule card of Deribit perpetuals, with the source of every number (short forms: ``SOURCES``).

In August 2026 Deribit changed its margin model, its fees and its matching engine; what the new numbers are was not
found, so from then on the old ones stand here as assumptions.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from venues.deribit.reasons import ERROR_CODES, REASONS
from venues.instruments import Instrument
from venues.rules import (
    BPS_E12,
    E12,
    HOUR_NS,
    SECOND_NS,
    START_NS,
    BatchingRules,
    Dated,
    DeadManRules,
    Fact,
    FeedRules,
    FeeRules,
    FundingRules,
    FundingTerms,
    LimitRules,
    LinearTier,
    LiquidationRules,
    LossRules,
    MarginRules,
    MarginTable,
    MarkRules,
    OrderRules,
    RateLimit,
    RuleCard,
    StpRules,
    always,
    assumed,
    date_ns,
    group,
)

SOURCES: Final = (
    ("DRB", "https://docs.deribit.com (OpenAPI 2.1.1, github.com/api-evangelist/deribit at 36544f9)"),
    ("DRBs/", "https://support.deribit.com/hc/en-us/articles/"),
    ("LEGACY", "https://legacy.deribit.com/pages/docs/futures"),
    ("STARBASE", "https://docs.deribit.com/starbase"),
    ("NT deribit", "github.com/nautechsystems/nautilus_trader at a95c804"),
)

_AUGUST_NS: Final = date_ns("2026-08-01")
_FUNDING: Final = "DRBs/31424939178397"
_MARGIN: Final = "DRBs/25944811317149, DRBs/25944826427293, DRBs/25944738177565"
_LIQUIDATION: Final = "DRBs/25944769313309"
_ORDERS: Final = "DRB private/buy"
_NEW: Final = "the numbers in force since August 2026 were not found: those before"
_UNKNOWN: Final = "not documented"


def _margin(initial_bps: int, maintenance_bps: int, slope_e12: int, source: str) -> Dated[MarginTable]:
    tier = LinearTier(initial_bps * BPS_E12, slope_e12, maintenance_bps * BPS_E12, slope_e12)
    return Dated(((START_NS, Fact(tier, source)), (_AUGUST_NS, assumed(tier, _NEW))))


_TABLES: Final[tuple[tuple[str, Dated[MarginTable]], ...]] = (
    ("BTC-PERPETUAL", _margin(200, 100, 50_000_000, "DRBs/25944826427293")),
    ("ETH-PERPETUAL", _margin(200, 100, 4_000_000, "DRBs/25944826427293")),
    ("SOL_USDC-PERPETUAL", _margin(400, 200, 5_000_000, "DRBs/25944738177565")),
)

DERIBIT: Final = RuleCard(
    venue="deribit",
    title="Deribit perpetuals",
    size_unit=Fact("quote", _ORDERS + ": USD for inverse contracts, base coin for linear ones"),
    settles_in=Fact("either", _ORDERS + ": base coin for inverse, USDC for linear contracts"),
    time_resolution_ns=Fact(1_000_000, "DRB"),
    timeless=Fact(("refusals",), "replies to refused requests carry no time of the engine", verified=False),
    money_decimals=assumed(8, _UNKNOWN),
    funding=group(
        FundingRules, _FUNDING,
        accrual="continuous", interval_ns=8 * HOUR_NS, interval_choices_ns=(8 * HOUR_NS,), interval_switch=None,
        settle_ns=8 * HOUR_NS, premium="mark", premium_sample_ns=0, impact_form="none", impact_notional_e8=0,
        aggregation="instantaneous", weights="none", votes_least=0, vote_clamp_e12=None, interest_e12=0,
        interest_scaling="none",
        damp_e12=Fact(25 * BPS_E12 // 10, _FUNDING + ": premium within 0.025 % is no rate, and taken off above it"),
        divide="none", cap_rule="fixed",
        cap_e12=always(50 * BPS_E12, "LEGACY: BTC's; others were not found", verified=False),
        cap_period_ns=8 * HOUR_NS,
        price=assumed("mark", "whether payments are computed at index or mark is not documented"), payment_unit_e8=1,
        payment_rounding=assumed("half_even", "the rounding of payments is not documented"), settlement_drift_ns=0,
        publish_lead_ns=0, side_asymmetry=False, borrow_fee=False,
        tables=(("BTC-PERPETUAL", always(FundingTerms(cap_e12=50 * BPS_E12), "LEGACY")),),
    ),
    mark=group(
        MarkRules, "LEGACY",
        components=("index_and_ema_fair",), combiner="ema", basis_window_ns=0,
        basis_sample_ns=assumed(SECOND_NS, _UNKNOWN), ema_tau_ns=30 * SECOND_NS, fallback_ema_tau_ns=0,
        publish_ns=assumed(SECOND_NS, _UNKNOWN),
        cap_e12=assumed(None, "there is a band around the index; its width was not found"), index_weights=(),
        perp_weights=(), index_clamp_e12=None, index_stale_ns=None,
    ),
    fees=group(
        FeeRules, "NT deribit, get_instruments",
        maker_rate_e12=Dated(((START_NS, Fact(0, "DRB get_instruments")), (_AUGUST_NS, assumed(0, _NEW)))),
        taker_rate_e12=Dated(
            ((START_NS, Fact(5 * BPS_E12, "DRB get_instruments")), (_AUGUST_NS, assumed(5 * BPS_E12, _NEW)))
        ),
        tiers=(), volume_window_ns=0, discounts=(), rounding_e8=assumed(1, "the rounding of fees is not documented"),
        rounding=assumed("half_even", "the rounding of fees is not documented"),
    ),
    margin=group(
        MarginRules, _MARGIN,
        enabled=True, tier_key="size", form="linear", initial_from="tier", open_interest_scaled=False,
        open_order_form=assumed("larger_side", "how open orders of both sides count is not documented"),
        close_fee="none", default_leverage=assumed(50, "no setting of an account: 1 / the initial rate"),
        leverage_step_e12=E12, leverage_change="by_tier",
        modes=Fact(("cross",), _MARGIN + ": S:SM; the others (X:SM, portfolio margin) are not modelled"),
        default_mode="cross", mode_scope="account", mode_change="none", collateral="settle_asset",
        removal_floor_e12=0, liquidation_price=assumed("at_maintenance", _UNKNOWN), tables=_TABLES,
    ),
    liquidation=group(
        LiquidationRules, _LIQUIDATION,
        procedure="chunks", isolated_procedure="chunks", trigger_price="mark", trigger_ratio_e12=E12,
        warning_ratio_e12=None, cancels="all",
        first_fraction_e12=assumed(E12 // 10, "small chunks; how small is not documented"), first_fraction_above_e8=0,
        cooldown_ns=Fact(SECOND_NS, _LIQUIDATION + ": about one round a second"),
        chunk_fraction_e12=assumed(E12 // 10, "small chunks; how small is not documented"), tiers_per_step=0,
        whole_up_to_tier=0, block_fraction_e12=0, block_least_e8=0, block_most_e8=0, block_loss_most_e8=0,
        order="market", fillable_adjustment_e12=0, fillable_spread_e12=0, takeover_ratio_e12=0, takeover_price="none",
        nets_legs=False, keeps_margin=False, fee_form="own_rate",
        fee_rate_e12=Dated(
            (
                (START_NS, Fact(75 * BPS_E12, _LIQUIDATION + ", BTC; ETH 0.9 %")),
                (_AUGUST_NS, Fact(100 * BPS_E12, "fee schedule of 2026-08-01: 1 % on all products")),
            )
        ),
        fee_to="insurance_fund", surplus_to="account", order_id_prefix="",
    ),
    loss=group(
        LossRules, _LIQUIDATION,
        fund_scope=assumed("settle_asset", "one fund a currency; not in the documents at hand"),
        fund_absorbs="until_empty", adl_trigger="none", adl_drawdown_e12=0, adl_rank="none", adl_price="none",
        adl_fee="none", adl_cancels_orders=False, adl_id_prefix="", socialise=True,
    ),
    stp=group(
        StpRules, "DRB private/set_self_trading_config",
        modes=("reject_taker", "cancel_maker"), actions=("reject_taker", "cancel_maker"),
        default=assumed("reject_taker", "which mode an account starts with is not documented"),
        decided_by="account", scope=Fact("group", "DRB: extended_to_subaccounts"), not_for=(), reset_by_amend=False,
    ),
    orders=group(
        OrderRules, _ORDERS,
        grid=Fact("tick_steps", "DRB get_instruments: tick_size_steps"),
        types=(
            "limit", "market", "stop_market", "stop_limit", "take_profit_market", "take_profit_limit", "trailing_stop",
        ),
        times_in_force=Fact(("GTC", "IOC", "FOK", "GTX", "GTD"), _ORDERS + ": good_til_day is GTD, post_only GTX here"),
        expiry="day", expiry_min_ns=None, expiry_max_ns=None, expiry_resolution_ns=1_000_000, expiry_blocks=0,
        day_end_ns=8 * HOUR_NS, request_deadline=Fact(True, _ORDERS + ": valid_until"),
        triggers=("last", "mark", "index"), default_trigger=assumed("last", "a trigger must be named"),
        trigger_at_once=assumed("fire", _UNKNOWN), trigger_margin=assumed("at_trigger", _UNKNOWN),
        trailing_min_e12=None, trailing_max_e12=None, trigger_slippage_e12=None,
        post_only=Fact("slide", _ORDERS + "; with reject_post_only an error 11054"),
        fok_unfilled=assumed("expire", _UNKNOWN), reduce_only=assumed("shrink", _UNKNOWN), close_position=False,
        hedge_mode=False, amend_new_id=Fact(False, "DRB private/edit"),
        amend_keeps_priority=Fact("size_down", "NT deribit: at the same price and no more size"),
        amend_to_filled=assumed("cancel", _UNKNOWN),
        amend_crossing_post_only=Fact("cancel", "DRB: cancel_reason edit_post_only_reject"), amends_per_order=None,
        min_notional_e8=None, min_notional_exempt="none", market_notional_price="none",
        price_band=assumed("reject", "DRB ticker: min_price and max_price; what an order beyond them gets is not said"),
        price_band_form=Fact("live", "DRB ticker: min_price, max_price"), price_band_price=assumed("mark", _UNKNOWN),
        price_band_x_e12=assumed(15 * E12 // 1000, "used where no live band is recorded; the rule was not found"),
        price_band_y_e12=None, price_band_z_e12=None, price_band_window_ns=0,
        market_form=assumed("ioc_limit", "bounded by the live price band"), market_bound_e12=None,
        market_bound_price="none", market_remainder="expire", max_matches=None, max_limit_value=(),
        max_market_value=(), max_open_orders=None, open_orders_scope="none", open_orders_per_volume_e8=None,
        open_orders_most=None, open_orders_by_equity=(), max_stop_orders=None, stop_orders_scope="none", max_batch=1,
        max_batch_cancel=1, client_id_form=Fact(r"^.{0,64}$", _ORDERS + ": label"),
        client_id_unique=Fact("none", "DRB: labels are not unique"),
    ),
    batching=group(
        BatchingRules, "STARBASE",
        block_interval_ns=0, class_order=(), held_to_next_block=(),
        speed_bump_ns=Dated(
            (
                (START_NS, Fact(0, "before Starbase")),
                (_AUGUST_NS, assumed(5_000_000, "STARBASE: 1 to 10 ms for orders that take; the middle is taken")),
            )
        ),
        speed_bump_exempt=("BTC", "ETH", "SOL", "XRP", "HYPE"),
    ),
    dead_man=group(
        DeadManRules, "DRB private/enable_cancel_on_disconnect",
        kind="disconnect", min_ns=None, max_ns=None, check_ns=0, scope="account", quota_per_day=None,
    ),
    feed=group(
        FeedRules, "DRB subscriptions",
        book="diff_chain", book_ids=("prev_change_id", "change_id"), book_interval_ns=100_000_000,
        book_can_cross=False, force_orders=Fact("all", "DRB trades: field liquidation"), private_replay="none",
        dedupe_key=("trade_id",), ack=Fact("matched", "DRB private/buy: the reply has the trades"), reverts=False,
    ),
    limits=group(
        LimitRules, "DRB rate limits",
        limits=(
            RateLimit("orders_and_cancels", "account", 5, SECOND_NS, burst=20),
            RateLimit("credits", "account", 10_000, SECOND_NS, burst=50_000),
            RateLimit("messages", "connection", 200, SECOND_NS, burst=300),
        ),
        windows="leaky", batch_counts="each", earned=None, exempt=(), exceeded="10028, and the session is closed",
    ),
    reasons=REASONS,
    errors=ERROR_CODES,
    sources=SOURCES,
)  # fmt: skip
CARDS: Final = (DERIBIT,)

# -- instruments

BTC_PERPETUAL: Final = Instrument(
    "deribit",
    "BTC-PERPETUAL",
    "BTC",
    "USD",
    "BTC",
    True,
    Decimal("0.5"),
    Decimal(10),
    source="get_instruments as recorded by nautilus_trader at a95c804",
    as_of="2025-12-09",
)
KNOWN: Final = (BTC_PERPETUAL,)
