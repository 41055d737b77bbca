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
    always,
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
    money_decimals=Fact(8, SOURCE),
    funding=FundingRules(
        accrual=Fact("none", SOURCE),
        interval_ns=Fact(8 * HOUR_NS, SOURCE),
        premium_sample_ns=Fact(0, SOURCE),
        aggregation=always("none", SOURCE),
        interest_e12=Fact(0, SOURCE),
        damp_e12=Fact(0, SOURCE),
        cap=Fact("none", SOURCE),
        price=Fact("none", SOURCE),
        settlement_drift_ns=Fact(0, SOURCE),
        publish_lead_ns=Fact(0, SOURCE),
        side_asymmetry=Fact(False, SOURCE),
        borrow_fee=Fact(False, SOURCE),
    ),
    mark=MarkRules(
        components=Fact((), SOURCE),
        combiner=Fact("none", SOURCE),
        basis_window_ns=always(0, SOURCE),
        cap_e12=Fact(None, SOURCE),
    ),
    fees=FeeRules(
        maker_rate_e12=always(0, SOURCE),
        taker_rate_e12=always(0, SOURCE),
        rounding_e8=Fact(1, SOURCE),
        rounding=Fact("half_even", SOURCE),
    ),
    margin=MarginRules(
        enabled=Fact(False, SOURCE),
        tier_key=Fact("none", SOURCE),
        form=Fact("none", SOURCE),
        initial_from=Fact("none", SOURCE),
        open_order_form=Fact("none", SOURCE),
        default_leverage=Fact(1, SOURCE),
    ),
    liquidation=LiquidationRules(
        procedure=Fact("none", SOURCE),
        trigger_price=Fact("none", SOURCE),
        trigger_ratio_e12=Fact(0, SOURCE),
        first_fraction_e12=Fact(0, SOURCE),
        cooldown_ns=Fact(0, SOURCE),
        order=Fact("none", SOURCE),
        takeover_price=Fact("none", SOURCE),
        fee_rate_e12=Fact(0, SOURCE),
        fee_to=Fact("none", SOURCE),
        surplus_to=Fact("none", SOURCE),
    ),
    loss=LossRules(
        fund_scope=Fact("none", SOURCE),
        fund_absorbs=Fact("none", SOURCE),
        adl_rank=Fact("none", SOURCE),
        adl_price=Fact("none", SOURCE),
        socialise=Fact(False, SOURCE),
    ),
    stp=StpRules(
        modes=Fact((), SOURCE),
        default=Fact("none", SOURCE),
        decided_by=Fact("none", SOURCE),
        scope=Fact("none", SOURCE),
    ),
    orders=OrderRules(
        times_in_force=Fact(("GTC", "IOC", "FOK", "GTX"), SOURCE),
        post_only=Fact("expire", SOURCE),
        fok_unfilled=Fact("expire", SOURCE),
        reduce_only=Fact("shrink", SOURCE),
        amend_new_id=Fact(False, SOURCE),
        amend_keeps_priority=Fact("never", SOURCE),
        amend_to_filled=Fact("cancel", SOURCE),
        amend_crossing_post_only=Fact("cancel", SOURCE),
        amends_per_order=Fact(None, SOURCE),
        min_notional_exempt_reduce_only=Fact(True, SOURCE),
        market_notional_price=Fact("none", SOURCE),
        price_band=Fact("none", SOURCE),
        price_band_price=Fact("none", SOURCE),
        market_remainder=Fact("expire", SOURCE),
        max_open_orders=Fact(None, SOURCE),
        client_id_form=Fact("", SOURCE),
    ),
    batching=BatchingRules(
        block_interval_ns=Fact(0, SOURCE), class_order=Fact((), SOURCE), speed_bump_ns=Fact(0, SOURCE)
    ),
    dead_man=DeadManRules(
        kind=Fact("none", SOURCE),
        min_ns=Fact(None, SOURCE),
        max_ns=Fact(None, SOURCE),
        scope=Fact("none", SOURCE),
        quota_per_day=Fact(None, SOURCE),
    ),
    feed=FeedRules(
        book=Fact("none", SOURCE),
        book_ids=Fact((), SOURCE),
        book_can_cross=Fact(False, SOURCE),
        force_orders=always("none", SOURCE),
        private_replay=Fact("none", SOURCE),
        dedupe_key=Fact((), SOURCE),
        ack=Fact("matched", SOURCE),
        reverts=Fact(False, SOURCE),
    ),
    limits=LimitRules(limits=always((), SOURCE), windows=Fact("none", SOURCE), exceeded=Fact("none", SOURCE)),
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
            )
        )
    ),
    errors=CodeTable("neutral", SOURCE, ()),
)
