"""The neutral rule card: a bare matching engine.

It charges no fee of its own (the run file states fees), pays no funding, checks no margin, knows no self-trade
prevention, price band, minimum notional or rate limit. It serves comparisons with engines that model none of these,
so that a difference in results is a difference in matching. Its facts are choices, not claims about a venue, hence
all verified.
"""

from __future__ import annotations

from typing import Final

from matching import codes
from venues.errors import CodeTable
from venues.rules import (
    E12,
    HOUR_NS,
    BatchingRules,
    DeadManRules,
    Fact,
    FeedRules,
    FeeRules,
    FundingRules,
    LimitRules,
    LiquidationRules,
    LossRules,
    MarginRules,
    MarkRules,
    OrderRules,
    ReasonTable,
    RuleCard,
    StpRules,
    VenueReason,
    group,
)

SOURCE: Final = "by definition of the neutral card"


def _reason(reason: int, text: str) -> VenueReason:
    return VenueReason(reason, None, text, SOURCE)


NEUTRAL: Final = RuleCard(
    venue="neutral",
    title="Neutral matching engine",
    size_unit=Fact("base", SOURCE),
    settles_in=Fact("quote", SOURCE),
    time_resolution_ns=Fact(1, SOURCE),
    timeless=Fact(("refusals",), SOURCE),
    money_decimals=Fact(8, SOURCE),
    funding=group(
        FundingRules, SOURCE,
        accrual="none", interval_ns=8 * HOUR_NS, interval_choices_ns=(), interval_switch=None, settle_ns=None,
        premium="none", premium_sample_ns=0, impact_form="none", impact_notional_e8=0, aggregation="none",
        weights="none", votes_least=0, vote_clamp_e12=None, interest_e12=0, interest_scaling="none", damp_e12=0,
        divide="none", cap_rule="none", cap_e12=None, cap_period_ns=0, price="none", payment_unit_e8=1,
        payment_rounding="half_even", settlement_drift_ns=0, publish_lead_ns=0, side_asymmetry=False, borrow_fee=False,
        form="none", sample_unit_e12=0, sample_rounding="half_even", rate_unit_e12=1, rate_rounding="half_even",
        forecast="interval", forecast_step_ns=0,
    ),
    mark=group(
        MarkRules, SOURCE,
        components=(), combiner="none", basis_window_ns=0, basis_sample_ns=0, ema_tau_ns=0, fallback_ema_tau_ns=0,
        publish_ns=0, cap_e12=None, index_weights=(), perp_weights=(), index_clamp_e12=None, index_stale_ns=None,
    ),
    fees=group(
        FeeRules, SOURCE,
        maker_rate_e12=0, taker_rate_e12=0, tiers=(), volume_window_ns=0, discounts=(), rounding_e8=1,
        rounding="half_even",
    ),
    margin=group(
        MarginRules, SOURCE,
        enabled=False, tier_key="none", form="none", initial_from="none", open_interest_scaled=False,
        open_order_form="none", close_fee="none", default_leverage=1, leverage_step_e12=E12, leverage_change="free",
        modes=("cross",), default_mode="cross", mode_scope="none", mode_change="none", collateral="settle_asset",
        removal_floor_e12=0, liquidation_price="none", unchanged_refused=(), isolated_leverage="keeps_margin",
        isolated_funding="isolated",
    ),
    liquidation=group(
        LiquidationRules, SOURCE,
        procedure="none", isolated_procedure="none", trigger_price="none", trigger_ratio_e12=0, warning_ratio_e12=None,
        cancels="none", first_fraction_e12=0, first_fraction_above_e8=0, cooldown_ns=0, chunk_fraction_e12=0,
        tiers_per_step=0, whole_up_to_tier=0, block_fraction_e12=0, block_least_e8=0, block_most_e8=0,
        block_loss_most_e8=0, order="none", fillable_adjustment_e12=0, fillable_spread_e12=0, takeover_ratio_e12=0,
        takeover_price="none", nets_legs=False, keeps_margin=False, fee_form="none", fee_rate_e12=0, fee_to="none",
        surplus_to="none",
        order_id_prefix="",
    ),
    loss=group(
        LossRules, SOURCE,
        fund_scope="none", fund_absorbs="none", adl_trigger="none", adl_drawdown_e12=0, adl_rank="none",
        adl_price="none", adl_fee="none", adl_cancels_orders=False, adl_id_prefix="", socialise=False,
    ),
    stp=group(
        StpRules, SOURCE,
        modes=(), actions=(), default="none", decided_by="none", scope="none", not_for=(), reset_by_amend=False,
    ),
    orders=group(
        OrderRules, SOURCE,
        grid="tick",
        types=(
            "limit", "market", "stop_market", "stop_limit", "take_profit_market", "take_profit_limit", "trailing_stop",
        ),
        times_in_force=("GTC", "IOC", "FOK", "GTX", "GTD"), expiry="time", expiry_min_ns=None, expiry_max_ns=None,
        expiry_resolution_ns=1, expiry_blocks=0, day_end_ns=None, request_deadline=False,
        triggers=("last", "mark", "index"), default_trigger="last", trigger_at_once="fire", trigger_margin="none",
        trailing_min_e12=None, trailing_max_e12=None, trigger_slippage_e12=None, post_only="expire",
        fok_unfilled="expire", reduce_only="shrink", close_position=True, hedge_mode=False, amend_new_id=False,
        amend_keeps_priority="never", amend_to_filled="cancel", amend_crossing_post_only="cancel",
        amends_per_order=None, min_notional_e8=None, min_notional_exempt="reduce_only", market_notional_price="none",
        price_band="none", price_band_form="none", price_band_price="none", price_band_x_e12=None,
        price_band_y_e12=None, price_band_z_e12=None, price_band_window_ns=0, market_form="bounded",
        market_bound_e12=None, market_bound_price="none", market_remainder="expire", max_matches=None,
        max_limit_value=(), max_market_value=(), max_open_orders=None, open_orders_scope="none",
        open_orders_per_volume_e8=None, open_orders_most=None, open_orders_by_equity=(), max_stop_orders=None,
        stop_orders_scope="none", max_batch=1, max_batch_cancel=1, client_id_form="", client_id_unique="none",
        trigger_protect_e12=None, trigger_refused="expire", amend_held=True, amend_must_rest=False,
    ),
    batching=group(
        BatchingRules, SOURCE,
        block_interval_ns=0, class_order=(), held_to_next_block=(), speed_bump_ns=0, speed_bump_exempt=(),
    ),
    dead_man=group(
        DeadManRules, SOURCE, kind="none", min_ns=None, max_ns=None, check_ns=0, scope="none", quota_per_day=None
    ),
    feed=group(
        FeedRules, SOURCE,
        book="none", book_ids=(), book_interval_ns=0, book_can_cross=False, force_orders="none",
        private_replay="none", dedupe_key=(), ack="matched", reverts=False,
    ),
    limits=group(
        LimitRules, SOURCE,
        limits=(), windows="none", batch_counts="one", earned=None, exempt=(), exceeded="none",
    ),
    reasons=ReasonTable(
        tuple(
            _reason(reason, text)
            for reason, text in (
                (codes.R_USER, "canceled"),
                (codes.R_FILLED, "filled"),
                (codes.R_POST_ONLY, "post-only order would take"),
                (codes.R_IOC_REMAINDER, "remainder of an IOC order"),
                (codes.R_FOK, "FOK order cannot fill whole"),
                (codes.R_MARKET_REMAINDER, "remainder of a market order"),
                (codes.R_REDUCE_ONLY, "nothing left to reduce"),
                (codes.R_LOT_SIZE, "size outside the instrument's limits"),
                (codes.R_UNKNOWN_ORDER, "order is not open"),
                (codes.R_NO_BOOK, "no valid book"),
                (codes.R_NO_LIQUIDITY, "no liquidity"),
                (codes.R_EXPIRED, "expired"),
                (codes.R_VENUE, "closed by the venue"),
                (codes.R_NO_CHANGE, "nothing to amend"),
                (codes.R_LATENCY, "recorded as rejected"),
                (codes.R_TRIGGER, "trigger price is not a price"),
                (codes.R_TICK_SIZE, "price is off the grid"),
                (codes.R_UNSUPPORTED, "no such order here"),
                (codes.R_EXPIRY, "good-till time is not after now"),
                (codes.R_SIBLING, "the other order was executed"),
            )
        )
    ),
    errors=CodeTable("neutral", SOURCE, ()),
)  # fmt: skip
