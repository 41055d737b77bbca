"""The rule cards of Bybit V5 perpetuals, linear and inverse, with the source of every number.

Short forms of sources: ``SOURCES``. Numbers were read in 2026; live use reloads instruments and risk limits.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Final

from matching.brackets import Brackets
from venues.bybit.reasons import ERROR_CODES, REASONS
from venues.instruments import Instrument
from venues.rules import (
    BPS_E12,
    E8,
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
    IntervalSwitch,
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
    ("Y/", "https://bybit-exchange.github.io/docs/v5/ (repository of 2026-07-24)"),
    ("YH/", "https://www.bybit.com/en/help-center/article/"),
    ("PRN", "prnewswire 302598201, October 2025"),
    ("BLT", "Bybit's announcement bltf9ebdcebe3089641, May 2026"),
)

_FUNDING: Final = "YH/Introduction-to-Funding-Rate"
_PAYMENT: Final = "YH/Funding-fee-calculation"
_MARK: Final = "YH/Mark-Price-Calculation-Perpetual-Expiry-Contracts"
_UTA: Final = "YH/UTA-Trading-Rules"
_CROSS: Final = "YH/000001876 (in part)"
_MMR: Final = "YH/Maintenance-Margin-USDT-Contract"
_ADL: Final = "Y/market/adl-alert"
_CREATE: Final = "Y/order/create-order"
_AMEND: Final = "Y/order/amend-order"
_ENUM: Final = "Y/enum"
_SMP: Final = "Y/smp"
_ERRORS: Final = "Y/error"
_RATE: Final = "Y/rate-limit/rate-limit"
_STREAMS: Final = "Y/websocket/public, Y/websocket/private"
_DCP: Final = "Y/order/dcp"
_INSTRUMENT: Final = "Y/market/instrument"
_CONTINUOUS: Final = "continuous matching"

# -- risk limits: (cap, maintenance %, initial %, highest leverage, deduction), money in whole units

Row = tuple[str, str, str, str, int | str]

BTCUSDT_ROWS: Final[tuple[Row, ...]] = (
    ("300000", "0.33", "0.66", "150", 0),
    ("2000000", "0.5", "1", "100", 510),
    ("2600000", "0.56", "1.11", "90", 1710),
    ("3200000", "0.63", "1.25", "80", 3530),
    ("3800000", "0.67", "1.33", "75", 4810),
    ("4400000", "0.71", "1.43", "70", 6330),
    ("5000000", "0.77", "1.54", "65", 8970),
    ("5600000", "0.91", "1.82", "55", 15970),
    ("8500000", "1", "2", "50", 21010),
    ("10000000", "1.3", "2.22", "45", 46510),
    ("14000000", "1.5", "2.5", "40", 66510),
    ("20000000", "1.6", "2.86", "35", 80510),
    ("28000000", "2", "3.33", "30", 160510),
    ("38000000", "2.5", "4", "25", 300510),
    ("50000000", "2.9", "5", "20", 452510),
    ("55000000", "3", "5.26", "19", 502510),
    ("60000000", "3.5", "5.56", "18", 777510),
    ("65000000", "3.6", "5.88", "17", 837510),
    ("70000000", "3.8", "6.25", "16", 967510),
    ("75000000", "4", "6.67", "15", 1107510),
    ("80000000", "4.5", "7.14", "14", 1482510),
    ("85000000", "5", "7.69", "13", 1882510),
    ("90000000", "5.5", "8.33", "12", 2307510),
    ("95000000", "6", "9.09", "11", 2757510),
    ("100000000", "6.5", "10", "10", 3232510),
    ("105000000", "7", "11.11", "9", 3732510),
    ("110000000", "8.5", "12.5", "8", 5307510),
    ("115000000", "9.5", "14.29", "7", 6407510),
    ("120000000", "10", "16.67", "6", 6982510),
    ("150000000", "12", "20", "5", 9382510),
    ("200000000", "14", "25", "4", 12382510),
    ("250000000", "18", "33.33", "3", 20382510),
    ("400000000", "30", "50", "2", 50382510),
    ("600000000", "42", "69.93", "1.43", 98382510),
    ("800000000", "50", "78.13", "1.28", 146382510),
    ("1200000000", "60", "100", "1", 226382510),
)
BTCUSD_ROWS: Final[tuple[Row, ...]] = (
    ("150", "0.5", "1", "100", "0"),
    ("300", "1", "1.5", "66.67", "0.75"),
)


def _brackets(rows: tuple[Row, ...]) -> Brackets:
    """Rows as brackets. Leverages are cut to whole times (the venue has 66.67x and 1.43x)."""
    caps = tuple(int(Decimal(row[0]) * E8) for row in rows)
    return Brackets(
        (0, *caps[:-1]),
        caps,
        tuple(int(Decimal(row[1]) * (E12 // 100)) for row in rows),
        tuple(int(Decimal(row[4]) * E8) for row in rows),
        tuple(int(Decimal(row[3])) for row in rows),
    )


BTCUSDT_BRACKETS: Final = _brackets(BTCUSDT_ROWS)
BTCUSD_BRACKETS: Final = _brackets(BTCUSD_ROWS)
_LINEAR_TABLES: Final[tuple[tuple[str, Dated[MarginTable]], ...]] = (
    (
        "BTCUSDT",
        Dated(
            (
                (
                    date_ns("2026-08-05"),
                    Fact(
                        BTCUSDT_BRACKETS,
                        "Y/market/risk-limit: rows 1 to 3 as of 2026-09-25, the others of 2026-08-05, moved on",
                    ),
                ),
            )
        ),
    ),
)
_INVERSE_TABLES: Final[tuple[tuple[str, Dated[MarginTable]], ...]] = (
    (
        "BTCUSD",
        always(BTCUSD_BRACKETS, "Y/market/risk-limit: two rows; those above 300 BTC are not known", verified=False),
    ),
)

# -- the cards

LINEAR: Final = RuleCard(
    venue="bybit_linear",
    title="Bybit linear perpetuals",
    size_unit=Fact("base", _CREATE),
    settles_in=Fact("quote", _INSTRUMENT),
    time_resolution_ns=Fact(1_000_000, _STREAMS),
    timeless=Fact(("refusals",), "replies to refused requests carry no time of the engine", verified=False),
    money_decimals=assumed(8, "the decimals of the ledger are not documented"),
    funding=group(
        FundingRules, _FUNDING,
        accrual="discrete", interval_ns=8 * HOUR_NS,
        interval_choices_ns=(HOUR_NS, 2 * HOUR_NS, 4 * HOUR_NS, 8 * HOUR_NS),
        interval_switch=Dated(
            (
                (START_NS, Fact(None, "PRN: the switch began on 2025-10-30")),
                (
                    date_ns("2025-10-30"),
                    Fact(
                        IntervalSwitch(
                            HOUR_NS,
                            excluded=(
                                "BTCUSDT", "BTCUSDC", "BTCUSD", "ETHUSDT", "ETHUSDC", "ETHUSD", "ETHBTCUSDT",
                                "ETHWUSDT",
                            ),
                        ),
                        "PRN; back at the venue's discretion",
                    ),
                ),
            )
        ),
        settle_ns=None, premium="impact", premium_sample_ns=60 * SECOND_NS, impact_form="over_initial_rate",
        impact_notional_e8=Fact(200 * E8, _FUNDING + " as read by a third party: 200 USDT / initial rate"),
        aggregation="time_weighted_mean", weights="rising", votes_least=0, vote_clamp_e12=None,
        interest_e12=BPS_E12, interest_scaling="per_interval", damp_e12=5 * BPS_E12, divide="none",
        cap_rule="fixed",
        cap_e12=always(3750 * 10**6, "BTCUSDT's; others have their own in instruments-info", verified=False),
        cap_period_ns=0, price=Fact("mark", _PAYMENT), payment_unit_e8=Fact(1, _PAYMENT),
        payment_rounding=assumed("half_even", "the rounding of funding payments is not documented"),
        settlement_drift_ns=assumed(0, "the tolerance of settlement is not documented"),
        publish_lead_ns=0, side_asymmetry=False, borrow_fee=False,
        tables=(("BTCUSDT", always(FundingTerms(cap_e12=3750 * 10**6), _INSTRUMENT + ", the page's sample")),),
    ),
    mark=group(
        MarkRules, _MARK,
        components=("index_and_funding_of_8h", "index_and_average_basis", "last_price"), combiner="median",
        basis_window_ns=Dated(
            (
                (START_NS, assumed(300 * SECOND_NS, _MARK + ", October 2024; when it changed is not known")),
                (date_ns("2026-01-01"), Fact(150 * SECOND_NS, _MARK + ", 2026")),
            )
        ),
        basis_sample_ns=SECOND_NS, ema_tau_ns=0, fallback_ema_tau_ns=0,
        publish_ns=Fact(100_000_000, "Y/websocket/public/ticker"), cap_e12=None, index_weights=(), perp_weights=(),
        index_clamp_e12=None, index_stale_ns=None,
    ),
    fees=group(
        FeeRules, "bybit.nl help, Perpetual & Futures Contract: Fees Explained, 2024-10-16; regions differ",
        maker_rate_e12=2 * BPS_E12, taker_rate_e12=55 * BPS_E12 // 10,
        tiers=Fact((), "Y/account/fee-rate tells an account's own; other tiers are not listed here"),
        volume_window_ns=0, discounts=(), rounding_e8=assumed(1, "the rounding of fees is not documented"),
        rounding=assumed("half_even", "the rounding of fees is not documented"),
    ),
    margin=group(
        MarginRules, _MMR,
        enabled=True, tier_key="notional", form="bracket_deduction", initial_from="leverage",
        open_interest_scaled=False, open_order_form=assumed("larger_side", "how open orders net is not documented"),
        close_fee="taker_at_bankruptcy", default_leverage=assumed(10, "an account's own setting decides"),
        leverage_step_e12=Fact(E12 // 100, _INSTRUMENT), leverage_change=Fact("by_tier", _ERRORS + ", of 110013"),
        modes=Fact(("cross", "isolated"), "Y/account/set-margin-mode; portfolio margin is not modelled"),
        default_mode=Fact("cross", "Y/account/set-margin-mode"),
        mode_scope=Fact("account", "Y/account/set-margin-mode"),
        mode_change=assumed("flat_no_orders", "what blocks a change of mode is not documented"),
        collateral=assumed("settle_asset", "the unified account's pool of coins with haircuts is not modelled"),
        removal_floor_e12=0, liquidation_price=Fact("entry_margin", _UTA), tables=_LINEAR_TABLES,
        unchanged_refused=Fact(("mode", "leverage"), _ERRORS + ", of 110026 and 110043"),
        isolated_leverage=assumed("moves_margin", "110044 refuses a change that the margin does not cover"),
        isolated_funding=Fact("available", "YH/Funding-fee-calculation"),
    ),
    liquidation=group(
        LiquidationRules, _UTA,
        procedure=Fact("ladder_then_takeover", _CROSS), isolated_procedure="tier_step_down", trigger_price="mark",
        trigger_ratio_e12=E12, warning_ratio_e12=None, cancels=Fact("all", _CROSS + "; isolated: the symbol's"),
        first_fraction_e12=assumed(E12 // 5, "the steps of the ladder are not documented"),
        first_fraction_above_e8=0, cooldown_ns=assumed(0, "the pace of the ladder is not documented: at once"),
        chunk_fraction_e12=assumed(E12 // 5, "the steps of the ladder are not documented"),
        tiers_per_step=1, whole_up_to_tier=1, block_fraction_e12=0, block_least_e8=0, block_most_e8=0,
        block_loss_most_e8=0, order=Fact("ioc_to_bankruptcy", _UTA + "; FOK in an older text"),
        fillable_adjustment_e12=0, fillable_spread_e12=0, takeover_ratio_e12=0, takeover_price="bankruptcy",
        nets_legs=assumed(False, "what becomes of both legs in hedge mode is not stated"),
        keeps_margin=True, fee_form="taker",
        fee_rate_e12=always(55 * BPS_E12 // 10, "the taker's; a rate of its own is not documented", verified=False),
        fee_to="none", surplus_to="insurance_fund", order_id_prefix="",
    ),
    loss=group(
        LossRules, _ADL,
        fund_scope="symbol_pool",
        fund_absorbs=assumed("all", "the pool's balance is no input: it takes all, nobody is deleveraged"),
        adl_trigger="fund_drawdown", adl_drawdown_e12=30 * E12 // 100,
        adl_rank=assumed("profit_times_leverage", "higher leveraged return first; no formula is documented"),
        adl_price="bankruptcy", adl_fee=assumed("maker", "an older text; nothing newer is known"),
        adl_cancels_orders=True, adl_id_prefix="", socialise=False,
    ),
    stp=group(
        StpRules, _SMP,
        modes=("CancelTaker", "CancelMaker", "CancelBoth"), actions=("cancel_taker", "cancel_maker", "cancel_both"),
        default="none", decided_by="taker", scope="group", not_for=(), reset_by_amend=False,
    ),
    orders=group(
        OrderRules, _CREATE,
        grid="tick",
        types=(
            "limit", "market", "stop_market", "stop_limit", "take_profit_market", "take_profit_limit", "trailing_stop",
        ),
        times_in_force=Fact(("GTC", "IOC", "FOK", "GTX"), _ENUM + ": PostOnly is GTX here"),
        expiry="none", expiry_min_ns=None, expiry_max_ns=None, expiry_resolution_ns=1_000_000, expiry_blocks=0,
        day_end_ns=None, request_deadline=Fact(True, "Y/guide: recvWindow"),
        triggers=("last", "index", "mark"), default_trigger="last",
        trigger_at_once=Fact("reject", _ERRORS + ", of 110092 and 110093"), trigger_margin="at_trigger",
        trailing_min_e12=None, trailing_max_e12=None, trigger_slippage_e12=None,
        post_only="cancel_after_ack", fok_unfilled="expire",
        reduce_only=assumed("shrink", _ERRORS + " of 110017 says cut to zero; no more is documented"),
        close_position=True, hedge_mode=Fact(True, "Y/position/position-mode"),
        amend_new_id=Fact(False, _AMEND),
        amend_keeps_priority=assumed("size_down", "the effect on the queue is not documented"),
        amend_to_filled=Fact("reject", _ERRORS + ", of 110064"),
        amend_crossing_post_only=assumed("cancel", "documented for spot only, as a rejection"), amends_per_order=None,
        min_notional_e8=Fact(5 * E8, _INSTRUMENT + ", the page's sample"),
        min_notional_exempt=assumed("reduce_only", "exemptions are not documented"),
        market_notional_price=assumed("mark", "not documented"),
        price_band=Fact("clamp", "Y/account/set-price-limit; the default"),
        price_band_form=Dated(
            (
                (START_NS, assumed("index_premium", "the formula before May 2026 is not at hand")),
                (date_ns("2026-05-01"), Fact("index_premium", "BLT")),
            )
        ),
        price_band_price=Fact("mark", "BLT: min(mark(1+y), max(index, mark(1+x) + premium)), and mirrored"),
        price_band_x_e12=Fact(E12 // 100, _INSTRUMENT + ", BTCUSDT in the page's sample"),
        price_band_y_e12=Fact(E12 // 50, _INSTRUMENT + ", BTCUSDT in the page's sample"),
        price_band_z_e12=None, price_band_window_ns=Fact(30 * SECOND_NS, "BLT"),
        market_form="ioc_limit", market_bound_e12=assumed(E12 // 20, "the default bound of a symbol is not documented"),
        market_bound_price="mark", market_remainder="expire", max_matches=None, max_limit_value=(), max_market_value=(),
        max_open_orders=500, open_orders_scope="symbol", open_orders_per_volume_e8=None, open_orders_most=None,
        open_orders_by_equity=(), max_stop_orders=10, stop_orders_scope="symbol",
        max_batch=Fact(20, "Y/order/batch-place"), max_batch_cancel=Fact(20, "Y/order/batch-cancel"),
        client_id_form=r"^.{1,36}$",
        client_id_unique=assumed("always", "110072 refuses an id that is known; for how long is not documented"),
    ),
    batching=group(
        BatchingRules, _CONTINUOUS,
        block_interval_ns=0, class_order=(), held_to_next_block=(), speed_bump_ns=0, speed_bump_exempt=(),
    ),
    dead_man=group(
        DeadManRules, _DCP + ": a connection lost, for accounts that have it",
        kind="disconnect", min_ns=3 * SECOND_NS, max_ns=300 * SECOND_NS, check_ns=0, scope="account",
        quota_per_day=None,
    ),
    feed=group(
        FeedRules, _STREAMS,
        book="diff_chain", book_ids=("u", "seq"), book_interval_ns=20_000_000, book_can_cross=False,
        force_orders=Fact("all", "Y/websocket/public/all-liquidation: every 500 ms, at the bankruptcy price"),
        private_replay="none", dedupe_key=("execId",), ack=Fact("accepted", _CREATE), reverts=False,
    ),
    limits=group(
        LimitRules, _RATE,
        limits=(
            RateLimit("requests", "ip", 600, 5 * SECOND_NS),
            RateLimit("orders", "account", 10, SECOND_NS),
            RateLimit("amends", "account", 10, SECOND_NS),
            RateLimit("cancels", "account", 10, SECOND_NS),
            RateLimit("batch_orders", "account", 10, SECOND_NS),
        ),
        windows="rolling", batch_counts=Fact("listed", _RATE + ": one unit an order, in a bucket of its own"),
        earned=None, exempt=(), exceeded="10006; 403 and ten minutes for an address",
    ),
    reasons=REASONS,
    errors=ERROR_CODES,
    sources=SOURCES,
)  # fmt: skip

INVERSE: Final = replace(
    LINEAR,
    venue="bybit_inverse",
    title="Bybit inverse perpetuals",
    size_unit=Fact("quote", _CREATE + ": USD, contracts of 1 USD"),
    settles_in=Fact("base", _INSTRUMENT),
    funding=replace(
        LINEAR.funding,
        impact_notional_e8=assumed(200 * E8, "of linear contracts, in USD; that of inverse ones is not documented"),
        cap_e12=always(50 * BPS_E12, "BTCUSD's; others have their own in instruments-info", verified=False),
        tables=(("BTCUSD", always(FundingTerms(cap_e12=50 * BPS_E12), "instruments-info captured 2026-09-26")),),
    ),
    margin=replace(LINEAR.margin, tables=_INVERSE_TABLES),
    orders=replace(
        LINEAR.orders,
        hedge_mode=Fact(False, "Y/position/position-mode names USDT perpetuals and inverse futures"),
        min_notional_e8=Fact(None, _INSTRUMENT),
        price_band_x_e12=assumed(E12 // 100, "BTCUSDT's; BTCUSD's was not seen"),
        price_band_y_e12=assumed(E12 // 50, "BTCUSDT's; BTCUSD's was not seen"),
    ),
)
CARDS: Final = (LINEAR, INVERSE)

# -- instruments

BTCUSDT: Final = Instrument(
    "bybit_linear",
    "BTCUSDT",
    "BTC",
    "USDT",
    "USDT",
    False,
    Decimal("0.1"),
    Decimal("0.001"),
    max_lots=1_190_000,
    max_market_lots=500_000,
    min_notional_e8=5 * E8,
    band_x_e12=E12 // 100,
    band_y_e12=E12 // 50,
    max_open_orders=500,
    source=_INSTRUMENT + ", the page's sample; largest sizes are revised twice a month",
    as_of="2026-07-24",
)
BTCUSD: Final = Instrument(
    "bybit_inverse",
    "BTCUSD",
    "BTC",
    "USD",
    "BTC",
    True,
    Decimal("0.1"),
    Decimal(1),
    Decimal(1),
    max_lots=25_000_000,
    max_market_lots=5_000_000,
    max_open_orders=500,
    source="instruments-info captured 2026-09-26",
    as_of="2026-09-26",
)
KNOWN: Final = (BTCUSDT, BTCUSD)
