"""The rule card of OKX v5 perpetual swaps, linear and inverse, with the source of every number (``SOURCES``).

Sizes are contracts. What ``okx.com/help`` says about liquidation was read through mirrors.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from venues.instruments import Instrument
from venues.okx.reasons import ERROR_CODES, REASONS
from venues.rules import (
    BPS_E12,
    E8,
    E12,
    HOUR_NS,
    SECOND_NS,
    START_NS,
    BatchingRules,
    ContractTiers,
    Dated,
    DeadManRules,
    Fact,
    FeedRules,
    FeeRules,
    FundingRules,
    LimitRules,
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
    ("OKX#", "https://www.okx.com/docs-v5/en/# (June to September 2026)"),
    ("HELP/", "https://www.okx.com/help/"),
    ("NT okx", "github.com/nautechsystems/nautilus_trader at a95c804, docs/integrations/okx.md"),
)

_FORMULA: Final = "HELP/okx-to-change-the-funding-rate-formula-for-perpetual-futures"
_CHANNEL: Final = "OKX#public-data-websocket-funding-rate-channel"
_MARK: Final = "okx.com/learn/mark-price-and-index-price-of-margined-contracts"
_TRADE: Final = "OKX#order-book-trading-trade"
_ALGO: Final = "OKX#order-book-trading-algo-trading"
_ORDERS: Final = "OKX#order-book-trading-trade-ws-order-channel"
_BOOKS: Final = "OKX#order-book-trading-market-data-ws-order-book-channel"
_TIERS: Final = "OKX#public-data-rest-api-get-position-tiers"
_TIERS_2023: Final = "HELP/okx-to-adjust-position-tiers-of-perpetual-swaps-2023-05-15"
_LIQUIDATION: Final = "HELP introduction to liquidation, through mirrors"
_ADL: Final = "HELP/iv-introduction-to-auto-deleveraging-adl; ukcamo.com/4352.html"
_LIMITS: Final = "OKX#overview-rate-limits"
_BAND: Final = "HELP/6974388462605"
_INSTRUMENTS: Final = "OKX#public-data-rest-api-get-instruments"
_CONTINUOUS: Final = "continuous matching"


def _tiers(rows: tuple[tuple[int, str, str, int], ...], step: int, tiers: int = 20) -> ContractTiers:
    """Rows (contracts, maintenance %, initial %, leverage), then ``step`` contracts and 0.5 % more in each tier."""
    caps = [cap * E8 for cap, _, _, _ in rows]
    rates = [int(Decimal(rate) * (E12 // 100)) for _, rate, _, _ in rows]
    initials = [int(Decimal(rate) * (E12 // 100)) for _, _, rate, _ in rows]
    leverages = [leverage * 100 for _, _, _, leverage in rows]
    for _ in range(tiers - len(rows)):
        caps.append(caps[-1] + step * E8)
        rates.append(rates[-1] + 50 * BPS_E12)
        initials.append(initials[-1] + 50 * BPS_E12)
        leverages.append(100 * E12 // initials[-1])
    return ContractTiers(tuple(caps), tuple(rates), tuple(initials), tuple(leverages))


ADA_TIERS_BEFORE: Final = _tiers(((500, "1", "1.3", 75), (1_000, "1.5", "2", 50), (6_000, "2", "5", 20)), 6_000)
ADA_TIERS: Final = _tiers(((1_500, "0.5", "1.33", 75), (3_000, "0.75", "2", 50), (6_000, "1", "2.5", 40)), 6_000)
_TABLES: Final[tuple[tuple[str, Dated[MarginTable]], ...]] = (
    (
        "ADA-USDT-SWAP",
        Dated(
            (
                (START_NS, Fact(ADA_TIERS_BEFORE, _TIERS_2023 + ", before")),
                (
                    date_ns("2023-05-19") + 8 * HOUR_NS,
                    Fact(ADA_TIERS, _TIERS_2023 + "; 20 tiers of its rule"),
                ),
                (
                    date_ns("2024-01-01"),
                    assumed(ADA_TIERS, _TIERS_2023 + "; tiers change often, these are of 2023"),
                ),
            )
        ),
    ),
)

OKX: Final = RuleCard(
    venue="okx",
    title="OKX perpetual swaps",
    size_unit=Fact("contracts", _INSTRUMENTS),
    settles_in=Fact("either", _INSTRUMENTS + ": quote for linear, base for inverse contracts"),
    time_resolution_ns=Fact(1_000_000, _ORDERS),
    timeless=Fact(("refusals",), "replies to refused requests carry no time of the engine", verified=False),
    money_decimals=assumed(8, "fees of the venue carry up to 12 decimals; the ledger keeps 8"),
    funding=group(
        FundingRules, _FORMULA,
        accrual="discrete", interval_ns=8 * HOUR_NS,
        interval_choices_ns=(HOUR_NS, 2 * HOUR_NS, 4 * HOUR_NS, 6 * HOUR_NS, 8 * HOUR_NS), interval_switch=None,
        settle_ns=None, premium="impact",
        premium_sample_ns=assumed(60 * SECOND_NS, "how often the premium is taken is not documented"),
        impact_form=assumed("fixed", _CHANNEL + " carries an impactValue; how it is made is not documented"),
        impact_notional_e8=assumed(20_000 * E8, _CHANNEL + " carries each instrument's own"),
        aggregation=Dated(
            (
                (START_NS, assumed("time_weighted_mean", "the formula before April 2025 is not recorded here")),
                (date_ns("2025-04-01"), Fact("time_weighted_mean", _FORMULA)),
            )
        ),
        weights=assumed("rising", _FORMULA + " says time-weighted; weights are not listed"),
        votes_least=0, vote_clamp_e12=None, interest_e12=BPS_E12, interest_scaling="per_interval",
        damp_e12=5 * BPS_E12, divide="none", cap_rule="fixed",
        cap_e12=always(None, _CHANNEL + ": each instrument's own; none is known here", verified=False),
        cap_period_ns=0, price="mark", payment_unit_e8=assumed(1, "the rounding of payments is not documented"),
        payment_rounding=assumed("half_even", "the rounding of payments is not documented"),
        settlement_drift_ns=Fact(60 * SECOND_NS, _FORMULA + ": settling takes up to a minute"),
        publish_lead_ns=0, side_asymmetry=False, borrow_fee=False,
        forecast=Fact("rolling", "okx.com/help/okx-to-optimize-funding-rate-calculation: the last N hours at any time"),
        forecast_step_ns=Fact(60 * SECOND_NS, "okx.com/help/okx-to-optimize-funding-rate-calculation"),
    ),
    mark=group(
        MarkRules, _MARK,
        components=("index_and_average_basis",), combiner="identity",
        basis_window_ns=always(60 * SECOND_NS, "the window of the average is not documented", verified=False),
        basis_sample_ns=assumed(SECOND_NS, "how often the basis is taken is not documented"),
        ema_tau_ns=0, fallback_ema_tau_ns=0, publish_ns=assumed(200_000_000, "of the mark-price channel, as seen"),
        cap_e12=None, index_weights=(), perp_weights=(), index_clamp_e12=None, index_stale_ns=None,
    ),
    fees=group(
        FeeRules, "okx.com/fees, level 1, through an index of 2026-10",
        maker_rate_e12=2 * BPS_E12, taker_rate_e12=5 * BPS_E12,
        tiers=Fact((), "OKX#trading-account-rest-api-get-fee-rates tells an account's own; others are not listed here"),
        volume_window_ns=0, discounts=(), rounding_e8=assumed(1, "the rounding of fees is not documented"),
        rounding=assumed("half_even", "the rounding of fees is not documented"),
    ),
    margin=group(
        MarginRules, _TIERS,
        enabled=True, tier_key="contracts",
        form=assumed("flat", "the whole position takes its tier's rate: follows from the margin ratio's formula"),
        initial_from="leverage", open_interest_scaled=False,
        open_order_form=assumed("larger_side", "how open orders net is not documented"),
        close_fee=Fact("taker_at_mark", _LIQUIDATION), default_leverage=assumed(10, "an account's own setting decides"),
        leverage_step_e12=assumed(E12 // 100, "the step is not documented"),
        leverage_change=assumed("by_tier", "refusals are not documented"),
        modes=Fact(("cross", "isolated"), _TRADE + ": tdMode; multi-currency and portfolio margin are not modelled"),
        default_mode=Fact("cross", _TRADE), mode_scope=Fact("order", _TRADE + ": tdMode of each order"),
        mode_change=Fact("free", _TRADE), collateral=assumed("settle_asset", "multi-currency margin is not modelled"),
        removal_floor_e12=0, liquidation_price=Fact("at_maintenance", _LIQUIDATION), tables=_TABLES,
    ),
    liquidation=group(
        LiquidationRules, _LIQUIDATION,
        procedure="tier_step_down", isolated_procedure="tier_step_down", trigger_price="mark", trigger_ratio_e12=E12,
        warning_ratio_e12=assumed(E12 // 3, "a warning at a margin ratio of 300 %"), cancels="all",
        first_fraction_e12=E12, first_fraction_above_e8=0, cooldown_ns=assumed(0, "the pace is not documented"),
        chunk_fraction_e12=E12, tiers_per_step=2, whole_up_to_tier=2, block_fraction_e12=0, block_least_e8=0,
        block_most_e8=0, block_loss_most_e8=0,
        order=assumed("ioc_to_bankruptcy", "the kind of order is not documented"),
        fillable_adjustment_e12=0, fillable_spread_e12=0, takeover_ratio_e12=0, takeover_price="bankruptcy",
        nets_legs=True, keeps_margin=True, fee_form="taker", fee_rate_e12=5 * BPS_E12, fee_to="none",
        surplus_to="insurance_fund", order_id_prefix="",
    ),
    loss=group(
        LossRules, _ADL,
        fund_scope=Fact("symbol_pool", _LIQUIDATION + ": one a family or currency"),
        fund_absorbs=assumed("all", "the fund's balance is no input: it takes all, nobody is deleveraged"),
        adl_trigger="fund_drawdown", adl_drawdown_e12=30 * E12 // 100,
        adl_rank=assumed("profit_times_leverage", "higher profit and leverage first; no formula is documented"),
        adl_price="mark", adl_fee=assumed("none", "not documented"), adl_cancels_orders=Fact(True, _ORDERS),
        adl_id_prefix="", socialise=False,
    ),
    stp=group(
        StpRules, _TRADE,
        modes=("cancel_maker", "cancel_taker", "cancel_both"), actions=("cancel_maker", "cancel_taker", "cancel_both"),
        default="cancel_maker", decided_by="taker", scope="group",
        not_for=Fact((), _TRADE + "; cancel_both with FOK is refused (54036)"), reset_by_amend=False,
    ),
    orders=group(
        OrderRules, _TRADE,
        grid=Fact("tick", _INSTRUMENTS),
        types=Fact(
            (
                "limit", "market", "stop_market", "stop_limit", "take_profit_market", "take_profit_limit",
                "trailing_stop",
            ),
            _ALGO,
        ),
        times_in_force=Fact(("GTC", "IOC", "FOK", "GTX"), _TRADE + ": limit, ioc, fok, post_only"),
        expiry="none", expiry_min_ns=None, expiry_max_ns=None, expiry_resolution_ns=1_000_000, expiry_blocks=0,
        day_end_ns=None, request_deadline=Fact(True, _TRADE + ": expTime"),
        triggers=Fact(("last", "index", "mark"), _ALGO), default_trigger=Fact("last", _ALGO),
        trigger_at_once=assumed("reject", "not documented"), trigger_margin=assumed("at_trigger", "not documented"),
        trailing_min_e12=None, trailing_max_e12=None, trigger_slippage_e12=None,
        post_only="cancel_after_ack", fok_unfilled="expire", reduce_only="reject",
        close_position=Fact(True, _ALGO + ": closeFraction"), hedge_mode=True, amend_new_id=False,
        amend_keeps_priority=assumed("size_down", "the effect on the queue is not documented"),
        amend_to_filled="fill", amend_crossing_post_only="reject", amends_per_order=None,
        min_notional_e8=None, min_notional_exempt="none", market_notional_price="none",
        price_band=Fact("reject", "OKX#error-code-rest-api-public, of 51137 and 51138"),
        price_band_form=Fact("index_premium", _BAND),
        price_band_price=Fact("index", _BAND + ": min(max(index, index(1+y) + premium), index(1+z)), and mirrored"),
        price_band_x_e12=assumed(E12 // 50, _BAND + ", an older page; first 10 minutes; 4 % on smaller contracts"),
        price_band_y_e12=assumed(E12 // 50, _BAND + ", an older page; 4 % on smaller contracts"),
        price_band_z_e12=assumed(E12 // 20, _BAND + ", an older page; 8 % on smaller contracts"),
        price_band_window_ns=Fact(300 * SECOND_NS, _BAND),
        market_form=Fact("ioc_limit", _TRADE + ": a limit order at the edge of the price limit"),
        market_bound_e12=None, market_bound_price="index", market_remainder="expire", max_matches=1000,
        max_limit_value=Fact(((1, 20_000_000 * E8),), _INSTRUMENTS + ", maxLmtAmt of BTC and ETH contracts"),
        max_market_value=(), max_open_orders=Fact(500, _TRADE + "; 4000 over all symbols"), open_orders_scope="symbol",
        open_orders_per_volume_e8=None, open_orders_most=None, open_orders_by_equity=(),
        max_stop_orders=Fact(100, _ALGO + ": take-profit and stop-loss; 500 triggers, 50 trailing"),
        stop_orders_scope="symbol", max_batch=20, max_batch_cancel=20,
        client_id_form=r"^[A-Za-z0-9]{1,32}$", client_id_unique="open",
    ),
    batching=group(
        BatchingRules, _CONTINUOUS,
        block_interval_ns=0, class_order=(), held_to_next_block=(), speed_bump_ns=0, speed_bump_exempt=(),
    ),
    dead_man=group(
        DeadManRules, _TRADE + ": cancel-all-after",
        kind="countdown", min_ns=10 * SECOND_NS, max_ns=120 * SECOND_NS, check_ns=0, scope="account",
        quota_per_day=None,
    ),
    feed=group(
        FeedRules, _BOOKS,
        book="diff_chain", book_ids=("prevSeqId", "seqId"), book_interval_ns=100_000_000, book_can_cross=False,
        force_orders=assumed("all", "OKX#public-data-websocket-liquidation-orders-channel: how complete is not stated"),
        private_replay=Fact("none", _ORDERS), dedupe_key=Fact(("instId", "tradeId"), _ORDERS),
        ack=Fact("accepted", _TRADE), reverts=False,
    ),
    limits=group(
        LimitRules, _LIMITS,
        limits=(
            RateLimit("orders", "instrument", 60, 2 * SECOND_NS),
            RateLimit("amends", "instrument", 60, 2 * SECOND_NS),
            RateLimit("cancels", "instrument", 60, 2 * SECOND_NS),
            RateLimit("batch_orders", "instrument", 300, 2 * SECOND_NS),
            RateLimit("orders", "account", 1000, 2 * SECOND_NS),
        ),
        windows=assumed("fixed", "not documented"), batch_counts=Fact("listed", _LIMITS + ": in a bucket of its own"),
        earned=None, exempt=(), exceeded="50011; 50061 for a sub-account's orders",
    ),
    reasons=REASONS,
    errors=ERROR_CODES,
    sources=SOURCES,
)  # fmt: skip
CARDS: Final = (OKX,)

# -- instruments

_SAMPLE: Final = "instruments as recorded by nautilus_trader at a95c804 (undated)"


def _swap(symbol: str, contract: str, tick: str, lot: str, max_market: str) -> Instrument:
    base, quote, _ = symbol.split("-")
    inverse = quote == "USD"
    settle = base if inverse else quote
    return Instrument(
        "okx",
        symbol,
        base,
        quote,
        settle,
        inverse,
        Decimal(tick),
        Decimal(lot),
        Decimal(contract),
        max_market_lots=int(Decimal(max_market) / Decimal(lot)),
        max_open_orders=500,
        source=_SAMPLE,
    )


KNOWN: Final = (
    _swap("BTC-USDT-SWAP", "0.01", "0.1", "0.01", "12000"),
    _swap("ETH-USDT-SWAP", "0.1", "0.01", "0.01", "20000"),
    _swap("BTC-USD-SWAP", "100", "0.1", "1", "30000"),
)
