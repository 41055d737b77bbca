"""The rule card of Hyperliquid perpetuals, with the source of every number (short forms: ``SOURCES``).

What ``TW`` and ``nktkas`` say was measured by an independent client, not stated by the venue.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from venues.hyperliquid.metadata import leverage_brackets
from venues.hyperliquid.reasons import ERROR_CODES, REASONS
from venues.instruments import Instrument
from venues.rules import (
    BPS_E12,
    E8,
    E12,
    HOUR_NS,
    SECOND_NS,
    BatchingRules,
    Dated,
    DeadManRules,
    EarnedRequests,
    Fact,
    FeedRules,
    FeeRules,
    FeeTier,
    FundingRules,
    FundingTerms,
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
    group,
)

SOURCES: Final = (
    ("HL/", "https://hyperliquid.gitbook.io/hyperliquid-docs/ (text of 2026)"),
    ("TW n", "github.com/MarcosACH/tickwright at 2ab091e, docs/adr: measured"),
    ("nktkas", "github.com/nktkas/hyperliquid at db80d59: measured"),
    ("SDK", "github.com/hyperliquid-dex/hyperliquid-python-sdk at 7ee976d"),
)

_FUND: Final = "HL/trading/funding"
_INDEX: Final = "HL/trading/robust-price-indices; HL/hypercore/oracle"
_FEES: Final = "HL/trading/fees"
_MARGINING: Final = "HL/trading/margining; HL/trading/margin-tiers"
_LIQUIDATIONS: Final = "HL/trading/liquidations"
_ADL: Final = "HL/trading/auto-deleveraging"
_BOOK: Final = "HL/hypercore/order-book"
_EXCHANGE: Final = "HL/for-developers/api/exchange-endpoint"
_SUBSCRIPTIONS: Final = "HL/for-developers/api/websocket/subscriptions"
_RATE: Final = "HL/for-developers/api/rate-limits-and-user-limits"
_TICK: Final = "HL/for-developers/api/tick-and-lot-size"
_TYPES: Final = "HL/trading/order-types"
_SPECS: Final = "HL/trading/contract-specifications"
_STP: Final = "HL/trading/self-trade-prevention"

_MILLION: Final = 1_000_000

# Rows (lower bound in USD, highest leverage). The last two groups are those that the page lists together.
_LARGE: Final = ("AAVE", "ADA", "AVAX", "BCH", "DOGE", "ENA", "HYPE", "LINK", "LTC", "SUI", "kPEPE")
_SMALL: Final = ("ARB", "BNB", "DOT", "TON", "TRX")
_TIERS: Final[tuple[tuple[str, tuple[tuple[int, int], ...]], ...]] = (
    ("BTC", ((0, 40), (150 * _MILLION, 20))),
    ("ETH", ((0, 25), (100 * _MILLION, 15))),
    ("SOL", ((0, 20), (70 * _MILLION, 10))),
    ("XRP", ((0, 20), (40 * _MILLION, 10))),
    *((coin, ((0, 10), (20 * _MILLION, 5))) for coin in _LARGE),
    *((coin, ((0, 10), (3 * _MILLION, 5))) for coin in _SMALL),
)
_TABLES: Final[tuple[tuple[str, Dated[MarginTable]], ...]] = tuple(
    (coin, always(leverage_brackets(rows), "HL/trading/margin-tiers")) for coin, rows in _TIERS
)
_DEEP: Final = always(FundingTerms(impact_notional_e8=20_000 * E8), _FUND)


def _tier(volume_millions: int, maker_bps_e1: int, taker_bps_e1: int) -> FeeTier:
    """A tier with rates in tenths of a basis point."""
    return FeeTier(volume_millions * _MILLION * E8, maker_bps_e1 * BPS_E12 // 10, taker_bps_e1 * BPS_E12 // 10)


HYPERLIQUID: Final = RuleCard(
    venue="hyperliquid",
    title="Hyperliquid perpetuals",
    size_unit=Fact("base", _TICK),
    settles_in=Fact("quote", _SPECS + ": USDC, against an oracle in USDT without conversion"),
    time_resolution_ns=Fact(1_000_000, _SUBSCRIPTIONS + ": block time in ms"),
    timeless=Fact(("refusals", "acknowledgements"), "exchange endpoint: the statuses in a reply carry no time"),
    money_decimals=Fact(6, "TW 0036: amounts carry 6 decimals"),
    funding=group(
        FundingRules, _FUND,
        accrual="discrete", interval_ns=HOUR_NS, interval_choices_ns=(HOUR_NS,), interval_switch=None, settle_ns=None,
        premium="impact", premium_sample_ns=5 * SECOND_NS, impact_form="fixed", impact_notional_e8=6_000 * E8,
        aggregation="mean", weights="equal", votes_least=0, vote_clamp_e12=None,
        interest_e12=BPS_E12, interest_scaling="none", damp_e12=5 * BPS_E12, divide="by_interval_of_8h",
        cap_rule="fixed", cap_e12=400 * BPS_E12, cap_period_ns=HOUR_NS, price="oracle", payment_unit_e8=100,
        payment_rounding=assumed("truncate", "recorded payments have 6 decimals; cut as fees are (TW 0036)"),
        settlement_drift_ns=0, publish_lead_ns=0, side_asymmetry=False, borrow_fee=False,
        tables=(("BTC", _DEEP), ("ETH", _DEEP)),
        rate_unit_e12=Fact(100, "rates of recorded asset contexts have 10 decimals"),
    ),
    mark=group(
        MarkRules, _INDEX,
        components=("index_and_ema_basis", "book_median", "perp_median"), combiner="median",
        basis_window_ns=0, basis_sample_ns=0, ema_tau_ns=150 * SECOND_NS, fallback_ema_tau_ns=30 * SECOND_NS,
        publish_ns=3 * SECOND_NS, cap_e12=None,
        index_weights=(
            ("Binance", 3), ("OKX", 2), ("Bybit", 2), ("Kraken", 1), ("Kucoin", 1), ("Gate", 1), ("MEXC", 1),
            ("Hyperliquid", 1),
        ),
        perp_weights=(("Binance", 3), ("OKX", 2), ("Bybit", 2), ("Gate", 1), ("MEXC", 1)),
        index_clamp_e12=None, index_stale_ns=None,
    ),
    fees=group(
        FeeRules, _FEES,
        maker_rate_e12=15 * BPS_E12 // 10, taker_rate_e12=45 * BPS_E12 // 10,
        tiers=Fact(
            (
                _tier(0, 15, 45), _tier(5, 12, 40), _tier(25, 8, 35), _tier(100, 4, 30), _tier(500, 0, 28),
                _tier(2_000, 0, 26), _tier(7_000, 0, 24),
            ),
            _FEES + "; rebates of 0.1 to 0.3 bp by share of maker volume come on top",
        ),
        volume_window_ns=14 * 24 * HOUR_NS, discounts=(("staking, at most", 40 * E12 // 100),),
        rounding_e8=Fact(100, "TW 0036"), rounding=Fact("truncate", "TW 0036"),
    ),
    margin=group(
        MarginRules, _MARGINING,
        enabled=True, tier_key="notional", form="bracket_deduction", initial_from="leverage",
        open_interest_scaled=False,
        open_order_form=assumed("larger_side", "how resting orders of both sides net is not documented"),
        close_fee="none", default_leverage=assumed(20, "an account's own setting decides"),
        leverage_step_e12=E12, leverage_change=assumed("free", "refusals other than for margin are not documented"),
        modes=("cross", "isolated"), default_mode="cross", mode_scope="symbol",
        mode_change=assumed("flat", "whether a position's mode can change is not documented"),
        collateral="settle_asset", removal_floor_e12=E12 // 10,
        liquidation_price=Fact("at_maintenance", _LIQUIDATIONS + "; matches the venue's own isolated ones (TW 0040)"),
        tables=_TABLES,
    ),
    liquidation=group(
        LiquidationRules, _LIQUIDATIONS,
        procedure="book_then_vault", isolated_procedure="book_then_vault", trigger_price="mark", trigger_ratio_e12=E12,
        warning_ratio_e12=None, cancels=assumed("all", "a status liquidatedCanceled exists; when is not stated"),
        first_fraction_e12=E12 // 5, first_fraction_above_e8=100_000 * E8, cooldown_ns=30 * SECOND_NS,
        chunk_fraction_e12=E12, tiers_per_step=0, whole_up_to_tier=0, block_fraction_e12=0, block_least_e8=0,
        block_most_e8=0, block_loss_most_e8=0, order="market", fillable_adjustment_e12=0, fillable_spread_e12=0,
        takeover_ratio_e12=2 * E12 // 3,
        takeover_price=assumed("mark", "the vault takes position and margin together: no price is stated"),
        nets_legs=False, keeps_margin=True, fee_form="none", fee_rate_e12=0, fee_to="none", surplus_to="account",
        order_id_prefix="",
    ),
    loss=group(
        LossRules, _ADL,
        fund_scope=Fact("venue", _LIQUIDATIONS + ": the liquidator vault (HLP)"), fund_absorbs="none",
        adl_trigger="negative_equity", adl_drawdown_e12=0,
        adl_rank=Fact("mark_over_entry_times_leverage", _ADL + ": (mark/entry) * (notional/account value)"),
        adl_price="prior_mark", adl_fee=assumed("none", "fees of deleveraging are not documented"),
        adl_cancels_orders=assumed(False, "not documented"), adl_id_prefix="", socialise=False,
    ),
    stp=group(
        StpRules, _STP,
        modes=("cancel_maker",), actions=("cancel_maker",), default="cancel_maker", decided_by="none",
        scope="account", not_for=(), reset_by_amend=False,
    ),
    orders=group(
        OrderRules, _EXCHANGE,
        grid=Fact("significant_digits", _TICK + ": 5, and at most 6 - szDecimals decimals; whole numbers always"),
        types=Fact(
            ("limit", "market", "stop_market", "stop_limit", "take_profit_market", "take_profit_limit"),
            _TYPES + "; market is what clients make of an IOC limit order",
        ),
        times_in_force=Fact(("GTC", "IOC", "GTX"), _EXCHANGE + ": Gtc, Ioc, Alo"),
        expiry="none", expiry_min_ns=None, expiry_max_ns=None, expiry_resolution_ns=1_000_000, expiry_blocks=0,
        day_end_ns=None, request_deadline=Fact(True, _EXCHANGE + ": expiresAfter"),
        triggers=Fact(("mark",), _TYPES), default_trigger=Fact("mark", _TYPES),
        trigger_at_once=Fact("reject", "HL/for-developers/api/error-responses: Invalid TP/SL price"),
        trigger_margin=assumed("at_trigger", "not documented"),
        trailing_min_e12=None, trailing_max_e12=None, trigger_slippage_e12=Fact(E12 // 10, _TYPES),
        post_only="reject", fok_unfilled=Fact("reject", _EXCHANGE + ": there is no FOK"),
        reduce_only=Fact("resize", "TW: cut to the position, and resting ones shrink with it"),
        close_position=False, hedge_mode=Fact(False, "HL/for-developers/api/info-endpoint: positions are oneWay"),
        amend_new_id=True, amend_keeps_priority=Fact("never", _EXCHANGE + ": a modify is a cancel and a new order"),
        amend_to_filled=assumed("cancel", "a size below the filled one is not documented"),
        amend_crossing_post_only="cancel", amends_per_order=None,
        min_notional_e8=Fact(10 * E8, "HL/for-developers/api/error-responses: 10 USD"),
        min_notional_exempt=Fact("whole_close", "TW: measured; a smaller part of a position is refused"),
        market_notional_price="none",
        price_band=Fact("reject", "HL/for-developers/api/error-responses: Order price too far from oracle"),
        price_band_form="multipliers", price_band_price="oracle",
        price_band_x_e12=assumed(95 * E12 // 100, "the distance from the oracle is not in the documents at hand"),
        price_band_y_e12=None, price_band_z_e12=None, price_band_window_ns=0,
        market_form=Fact("client_ioc", "SDK: IOC at mid * (1 +- 5 %)"), market_bound_e12=Fact(E12 // 20, "SDK"),
        market_bound_price=Fact("mid", "SDK"), market_remainder="expire", max_matches=None,
        max_limit_value=Fact(
            ((25, 300 * _MILLION * E8), (20, 50 * _MILLION * E8), (10, 20 * _MILLION * E8), (1, 5 * _MILLION * E8)),
            _SPECS + ": ten times the market order's",
        ),
        max_market_value=Fact(
            ((25, 30 * _MILLION * E8), (20, 5 * _MILLION * E8), (10, 2 * _MILLION * E8), (1, 500_000 * E8)), _SPECS
        ),
        max_open_orders=Fact(1000, _RATE), open_orders_scope=Fact("account", _RATE),
        open_orders_per_volume_e8=Fact(5 * _MILLION * E8, _RATE), open_orders_most=Fact(5000, _RATE),
        open_orders_by_equity=(),
        max_stop_orders=Fact(1000, _RATE + ": none, nor reduce-only ones, with so many orders open"),
        stop_orders_scope=Fact("account", _RATE),
        max_batch=assumed(200, "no limit is documented; that of cancels is taken"),
        max_batch_cancel=Fact(200, "TW: measured"),
        client_id_form=Fact(r"^0x[0-9a-fA-F]{32}$", _EXCHANGE),
        client_id_unique=assumed("open", "not documented"),
        amend_must_rest=Fact(True, _EXCHANGE + ": a modified order is ALO, or a GTC that does not cross"),
    ),
    batching=group(
        BatchingRules, _BOOK,
        block_interval_ns=assumed(70_000_000, "HL/trading/order-book: 70 ms is usually one block; it varies"),
        class_order=("post_only", "cancel", "taker"), held_to_next_block=(), speed_bump_ns=0, speed_bump_exempt=(),
    ),
    dead_man=group(
        DeadManRules, _EXCHANGE + ": scheduleCancel",
        kind="schedule", min_ns=5 * SECOND_NS, max_ns=None, check_ns=0, scope="account", quota_per_day=10,
    ),
    feed=group(
        FeedRules, _SUBSCRIPTIONS,
        book="snapshots", book_ids=(), book_interval_ns=SECOND_NS // 2, book_can_cross=False, force_orders="none",
        private_replay="snapshot", dedupe_key=("tid",), ack="committed",
        reverts=Fact(False, "HyperBFT: committed blocks are final"),
    ),
    limits=group(
        LimitRules, _RATE,
        limits=(RateLimit("weight", "ip", 1200, 60 * SECOND_NS),),
        windows=assumed("rolling", "not documented"),
        batch_counts=Fact("each", _RATE + ": of an address; of an IP 1 + n // 40"),
        earned=EarnedRequests(10_000, E8, 10 * SECOND_NS, 100_000, 2),
        exempt=(), exceeded="an exhausted address is served one request in 10 s",
    ),
    reasons=REASONS,
    errors=ERROR_CODES,
    sources=SOURCES,
)  # fmt: skip


# -- instruments


def _coin(coin: str, size_decimals: int) -> Instrument:
    return Instrument(
        "hyperliquid",
        coin,
        coin,
        "USD",
        "USDC",
        False,
        Decimal(1).scaleb(size_decimals - 6),
        Decimal(1).scaleb(-size_decimals),
        min_notional_e8=10 * E8,
        significant_digits=5,
        source="szDecimals of meta as recorded by nautilus_trader and in the SDK's tests",
    )


KNOWN: Final = (_coin("BTC", 5), _coin("ETH", 4), _coin("SOL", 2), _coin("AVAX", 2), _coin("ARB", 1))
CARDS: Final = (HYPERLIQUID,)
