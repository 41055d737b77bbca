"""The rule card of dYdX v4, with the source of every number (short forms: ``SOURCES``).

The chain's own parameters are set by its governance: live use reads them. What differs between the protocol's
documents and its code is taken from the code.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from venues.dydx.reasons import ERROR_CODES, REASONS
from venues.instruments import Instrument
from venues.rules import (
    BPS_E12,
    DAY_NS,
    E8,
    E12,
    HOUR_NS,
    SECOND_NS,
    BatchingRules,
    Dated,
    DeadManRules,
    Fact,
    FeedRules,
    FeeRules,
    FeeTier,
    FundingRules,
    LimitRules,
    LiquidationRules,
    LossRules,
    MarginRules,
    MarginTable,
    MarkRules,
    OpenInterestTier,
    OrderRules,
    RateLimit,
    RuleCard,
    StpRules,
    assumed,
    date_ns,
    group,
)

SOURCES: Final = (
    ("DYD", "github.com/dydxprotocol/v4-documentation at 3e475b7, docs/pages"),
    ("DYC", "github.com/dydxprotocol/v4-chain at 84d4664, folder protocol"),
    ("NT dydx", "github.com/nautechsystems/nautilus_trader at a95c804, its recorded payloads"),
)

_FUNDING: Final = "DYD concepts/trading/funding; DYC x/perpetuals"
_INDEX: Final = "DYC x/perpetuals/funding/funding.go, lib/lib.go"
_ORACLE: Final = "DYD concepts/trading/oracle"
_MARGIN: Final = "DYD concepts/trading/margin"
_LIQUIDATION: Final = "DYD concepts/trading/liquidations; DYC x/clob/keeper/liquidations.go"
_LOSS: Final = "DYD concepts/trading/contract-loss-mechanism"
_ORDERS: Final = "DYD concepts/trading/orders; DYC x/clob"
_WINDOW: Final = "DYC x/clob/types/constants.go since v9.5 (documents still say 20)"
_EQUITY: Final = "DYD limits/equity-tier-limits"
_FEES: Final = "DYD concepts/trading/rewards/index"
_MATCH: Final = "DYC x/clob/keeper/process_single_match.go"
_INDEXER: Final = "DYD indexer-client"
_MARKETS: Final = "NT dydx, perpetualMarkets of 2025-12-08"
_BLOCK_NS: Final = 630_000_000

_PERCENT: Final = E12 // 100
_MILLION_E8: Final = 1_000_000 * E8

# (initial rate in percent, maintenance as percent of it, open interest caps in millions of USDC; 0, 0: none)
LIQUIDITY_TIERS: Final = tuple(
    (name, OpenInterestTier(initial * _PERCENT, initial * share * E12 // 10_000, lower_e8, upper_e8))
    for name, initial, share, lower_e8, upper_e8 in (
        ("Large-Cap", 2, 60, 0, 0),
        ("Small-Cap", 10, 50, 20 * _MILLION_E8, 50 * _MILLION_E8),
        ("Mid-Cap", 5, 60, 40 * _MILLION_E8, 100 * _MILLION_E8),
        ("Long-Tail", 20, 50, 5 * _MILLION_E8, 10 * _MILLION_E8),
        ("Safety", 100, 20, 2 * _MILLION_E8, 5 * _MILLION_E8),
        ("Isolated", 5, 60, _MILLION_E8 // 2, _MILLION_E8),
        ("FX", 1, 50, 0, 0),
    )
)


def _market(initial_e4: int, maintenance_e4: int, lower_millions: int, upper_millions: int) -> Dated[MarginTable]:
    """A market's tier with rates in units of 1e-4, as of the recording."""
    tier = OpenInterestTier(
        initial_e4 * BPS_E12, maintenance_e4 * BPS_E12, lower_millions * _MILLION_E8, upper_millions * _MILLION_E8
    )
    return Dated(((date_ns("2025-12-08"), Fact(tier, _MARKETS)),))


_TABLES: Final[tuple[tuple[str, Dated[MarginTable]], ...]] = (
    ("BTC-USD", _market(200, 120, 0, 0)),
    ("ETH-USD", _market(200, 120, 0, 0)),
    ("SOL-USD", _market(500, 300, 40, 100)),
)


def _tier(volume_millions: int, taker_bps_e1: int, maker_bps_e1: int) -> FeeTier:
    """A tier with rates in tenths of a basis point."""
    return FeeTier(volume_millions * _MILLION_E8, maker_bps_e1 * BPS_E12 // 10, taker_bps_e1 * BPS_E12 // 10)


DYDX: Final = RuleCard(
    venue="dydx",
    title="dYdX v4 perpetuals",
    size_unit=Fact("base", _ORDERS),
    settles_in=Fact("quote", _MARGIN + ": USDC"),
    time_resolution_ns=Fact(1_000_000, _INDEXER),
    timeless=Fact(("refusals",), "replies to refused requests carry no time of the engine", verified=False),
    money_decimals=Fact(6, "DYD concepts/trading/quantums: quote quantums of 1e-6 USDC"),
    funding=group(
        FundingRules, _FUNDING,
        accrual="lazy_index", interval_ns=HOUR_NS, interval_choices_ns=(HOUR_NS,), interval_switch=None,
        settle_ns=None, premium="impact",
        premium_sample_ns=assumed(_BLOCK_NS, "each proposer votes, once a block; block times vary"),
        impact_form="over_initial_rate",
        impact_notional_e8=500 * E8, aggregation="median_of_votes", weights="equal", votes_least=15,
        vote_clamp_e12=60 * E12, interest_e12=Fact(0, _FUNDING + "; 1 bp per 8 h on isolated markets"),
        interest_scaling="none", damp_e12=0, divide="by_interval_of_8h", cap_rule="margin_gap", cap_e12=6 * E12,
        cap_period_ns=8 * HOUR_NS, price="oracle", payment_unit_e8=Fact(100, _INDEX),
        payment_rounding=Fact("floor", "DYC x/subaccounts/keeper: settlements are divided toward minus infinity"),
        settlement_drift_ns=0, publish_lead_ns=0, side_asymmetry=False, borrow_fee=False, form="sum",
        sample_unit_e12=Fact(10**6, "DYC x/perpetuals: premiums are whole parts per million"),
        sample_rounding=assumed("truncate", "the direction in which a vote is rounded was not read"),
        rate_unit_e12=Fact(125_000, "whole parts per million of 8 hours, an eighth of that an hour"),
    ),
    mark=group(
        MarkRules, _ORACLE,
        components=("index",), combiner="identity", basis_window_ns=0, basis_sample_ns=0, ema_tau_ns=0,
        fallback_ema_tau_ns=0, publish_ns=assumed(_BLOCK_NS, "one price a block"), cap_e12=None, index_weights=(),
        perp_weights=(), index_clamp_e12=None, index_stale_ns=None,
    ),
    fees=group(
        FeeRules, _FEES,
        maker_rate_e12=BPS_E12, taker_rate_e12=5 * BPS_E12,
        tiers=(
            _tier(0, 50, 10), _tier(1, 45, 10), _tier(5, 40, 5), _tier(25, 35, 0), _tier(50, 30, 0),
            _tier(100, 25, -7), _tier(200, 25, -11),
        ),
        volume_window_ns=30 * DAY_NS, discounts=(("staking, at most", E12 // 2),),
        rounding_e8=Fact(100, _MATCH), rounding=Fact("ceil", _MATCH + ": rebates shrink toward zero"),
    ),
    margin=group(
        MarginRules, _MARGIN,
        enabled=True, tier_key="open_interest", form="flat", initial_from="tier", open_interest_scaled=True,
        open_order_form=assumed("larger_side", "how open orders of both sides count is not documented"),
        close_fee="none", default_leverage=assumed(50, "no setting of an account: 1 / the market's initial rate"),
        leverage_step_e12=E12, leverage_change="by_tier",
        modes=Fact(("cross", "isolated"), "DYD concepts/trading/isolated-positions: subaccounts of their own"),
        default_mode="cross", mode_scope=Fact("account", "DYD concepts/trading/isolated-positions"),
        mode_change="free", collateral="settle_asset", removal_floor_e12=0,
        liquidation_price=Fact("at_maintenance", _MARGIN), tables=_TABLES,
    ),
    liquidation=group(
        LiquidationRules, _LIQUIDATION,
        procedure="fillable_price", isolated_procedure="fillable_price", trigger_price="oracle", trigger_ratio_e12=E12,
        warning_ratio_e12=None, cancels=assumed("none", "what becomes of open orders is not documented"),
        first_fraction_e12=E12, first_fraction_above_e8=0, cooldown_ns=assumed(_BLOCK_NS, "one attempt a block"),
        chunk_fraction_e12=E12, tiers_per_step=0, whole_up_to_tier=0,
        block_fraction_e12=E12 // 10, block_least_e8=1_000 * E8, block_most_e8=100_000 * E8,
        block_loss_most_e8=_MILLION_E8, order="ioc_at_fillable_price", fillable_adjustment_e12=E12,
        fillable_spread_e12=3 * E12 // 2, takeover_ratio_e12=0, takeover_price=Fact("bankruptcy", _LOSS),
        nets_legs=False, keeps_margin=False, fee_form="excess_up_to", fee_rate_e12=15 * BPS_E12 * 10,
        fee_to="insurance_fund", surplus_to="account", order_id_prefix="",
    ),
    loss=group(
        LossRules, _LOSS,
        fund_scope=Fact("venue", _LOSS + "; isolated markets have funds of their own"), fund_absorbs="until_empty",
        adl_trigger="negative_equity", adl_drawdown_e12=0, adl_rank="pseudo_random", adl_price="bankruptcy",
        adl_fee="none", adl_cancels_orders=assumed(False, "what becomes of open orders is not documented"),
        adl_id_prefix="", socialise=False,
    ),
    stp=group(
        StpRules, _ORDERS,
        modes=("cancel_maker",), actions=("cancel_maker",), default="cancel_maker", decided_by="none",
        scope="account", not_for=(), reset_by_amend=False,
    ),
    orders=group(
        OrderRules, _ORDERS,
        grid=Fact("tick", "DYD concepts/trading/quantums: subticksPerTick"),
        types=Fact(
            ("limit", "market", "stop_market", "stop_limit", "take_profit_market", "take_profit_limit"),
            _ORDERS + "; market is what clients make of an IOC limit order",
        ),
        times_in_force=Fact(
            ("GTC", "IOC", "GTX", "GTD"), _ORDERS + "; GTC is what clients make of the longest good-til time"
        ),
        expiry="block", expiry_min_ns=None, expiry_max_ns=Fact(95 * DAY_NS, _ORDERS + ": stateful orders"),
        expiry_resolution_ns=SECOND_NS, expiry_blocks=Fact(40, _WINDOW), day_end_ns=None, request_deadline=False,
        triggers=Fact(("oracle",), "DYC x/clob/keeper/untriggered_conditional_orders.go; trades near it count too"),
        default_trigger="oracle", trigger_at_once=assumed("fire", "not documented"),
        trigger_margin=assumed("at_trigger", "not documented"),
        trailing_min_e12=None, trailing_max_e12=None, trigger_slippage_e12=None,
        post_only="expire", fok_unfilled="reject", reduce_only="resize", close_position=False, hedge_mode=False,
        amend_new_id=Fact(False, "DYC x/clob/memclob/memclob.go: a replacement of the same id"),
        amend_keeps_priority=Fact("never", "DYC x/clob/memclob/memclob.go"),
        amend_to_filled=assumed("cancel", "not documented"),
        amend_crossing_post_only=Fact("cancel", "DYC x/clob/memclob/memclob.go: the old one is gone before"),
        amends_per_order=None, min_notional_e8=None, min_notional_exempt="none", market_notional_price="none",
        price_band="none", price_band_form="none", price_band_price="none", price_band_x_e12=None,
        price_band_y_e12=None, price_band_z_e12=None, price_band_window_ns=0,
        market_form=Fact("client_ioc", "NT dydx: IOC at oracle * (1 +- 5 %)"),
        market_bound_e12=Fact(E12 // 20, "NT dydx"), market_bound_price=Fact("oracle", "NT dydx"),
        market_remainder="expire", max_matches=None, max_limit_value=(), max_market_value=(), max_open_orders=None,
        open_orders_scope=Fact("account", _EQUITY), open_orders_per_volume_e8=None, open_orders_most=None,
        open_orders_by_equity=Fact(
            ((0, 0), (20 * E8, 10), (100 * E8, 20), (1_000 * E8, 40), (10_000 * E8, 100), (100_000 * E8, 200)),
            _EQUITY + ": stateful orders",
        ),
        max_stop_orders=None, stop_orders_scope="account", max_batch=1,
        max_batch_cancel=Fact(100, _ORDERS + ": short-term orders only"),
        client_id_form=Fact(r"^[0-9]{1,10}$", _ORDERS + ": 32 bits"),
        client_id_unique=Fact("none", _ORDERS + ": the same id replaces"),
    ),
    batching=group(
        BatchingRules, _ORDERS,
        block_interval_ns=assumed(_BLOCK_NS, "from recorded fills; documents say 1 s, nautilus_trader 0.5 s"),
        class_order=(), held_to_next_block=("stateful", "conditional"), speed_bump_ns=0, speed_bump_exempt=(),
    ),
    dead_man=group(
        DeadManRules, _ORDERS + ": none, short-term orders end by themselves",
        kind="none", min_ns=None, max_ns=None, check_ns=0, scope="none", quota_per_day=None,
    ),
    feed=group(
        FeedRules, _INDEXER,
        book="diff_chain", book_ids=("message_id",), book_interval_ns=250_000_000, book_can_cross=True,
        force_orders=Fact("all", _INDEXER + ": trades of type LIQUIDATED and DELEVERAGED"), private_replay="snapshot",
        dedupe_key=("id",), ack=Fact("checked", _ORDERS + ": by one node"),
        reverts=Fact(True, "DYD nodes/full-node-streaming: matches before their block can vanish"),
    ),
    limits=group(
        LimitRules, "DYD limits",
        limits=(
            RateLimit("orders_and_cancels", "account", 4000, 5 * _BLOCK_NS),
            RateLimit("stateful_orders", "account", 2, _BLOCK_NS),
            RateLimit("stateful_orders", "account", 20, 100 * _BLOCK_NS),
            RateLimit("requests", "ip", 100, 10 * SECOND_NS),
        ),
        windows=Fact("blocks", "DYD limits: short-term orders 4000 in 5 blocks; stateful 2 in 1, 20 in 100"),
        batch_counts="each", earned=None, exempt=(), exceeded="5001",
    ),
    reasons=REASONS,
    errors=ERROR_CODES,
    sources=SOURCES,
)  # fmt: skip
CARDS: Final = (DYDX,)

# -- instruments


def _perpetual(ticker: str, tick: str, step: str) -> Instrument:
    base, _ = ticker.split("-")
    return Instrument(
        "dydx",
        ticker,
        base,
        "USD",
        "USDC",
        False,
        Decimal(tick),
        Decimal(step),
        source=_MARKETS,
        as_of="2025-12-08",
    )


KNOWN: Final = (
    _perpetual("BTC-USD", "1", "0.0001"),
    _perpetual("ETH-USD", "0.1", "0.001"),
    _perpetual("SOL-USD", "0.01", "0.1"),
)
