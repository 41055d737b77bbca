"""Binance futures rule cards, USD-M and COIN-M, with the source of every number.

Sources are named in short (``SOURCES`` has the addresses). Numbers were read off captures of
those pages in 2026; a card is a record of what was documented, and live use reloads filters, brackets, fees and
funding caps.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Final

from matching.brackets import Brackets
from venues.binance.reasons import CODES_SOURCE as _CODES
from venues.binance.reasons import ERROR_CODES, REASONS
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
)

SOURCES: Final = (
    ("USDM/", "https://developers.binance.com/docs/derivatives/usds-margined-futures/"),
    ("COINM/", "https://developers.binance.com/docs/derivatives/coin-margined-futures/"),
    ("CHANGELOG", "https://developers.binance.com/docs/derivatives/change-log"),
    ("MERGE", "the CM-UM Integration Notice on developers.binance.com"),
    ("FAQ/", "https://www.binance.com/en/support/faq/detail/"),
)


# -- margin brackets


def _brackets(rows: tuple[tuple[int, int, str, int], ...]) -> Brackets:
    """Rows (cap, max leverage, maintenance rate in percent, cum), money in whole units; each floor is the last cap."""
    caps = tuple(cap * E8 for cap, _, _, _ in rows)
    return Brackets(
        floor_e8=(0, *caps[:-1]),
        cap_e8=caps,
        rate_e12=tuple(int(Decimal(percent) * (E12 // 100)) for _, _, percent, _ in rows),
        cum_e8=tuple(cum * E8 for _, _, _, cum in rows),
        max_leverage=tuple(leverage for _, leverage, _, _ in rows),
    )


BTCUSDT_BRACKETS: Final = _brackets(
    (
        (300_000, 150, "0.40", 0),
        (800_000, 100, "0.50", 300),
        (3_000_000, 75, "0.65", 1_500),
        (12_000_000, 50, "1.00", 12_000),
        (70_000_000, 25, "2.00", 132_000),
        (100_000_000, 20, "2.50", 482_000),
        (230_000_000, 10, "5.00", 2_982_000),
        (480_000_000, 5, "10", 14_482_000),
        (600_000_000, 4, "12.5", 26_482_000),
        (800_000_000, 3, "15", 41_482_000),
        (1_200_000_000, 2, "25", 121_482_000),
        (1_800_000_000, 1, "50", 421_482_000),
    )
)
ETHUSDT_BRACKETS: Final = _brackets(
    (
        (50_000, 125, "0.40", 0),
        (600_000, 100, "0.50", 50),
        (3_000_000, 75, "0.65", 950),
        (12_000_000, 50, "1.00", 11_450),
        (50_000_000, 25, "2.00", 131_450),
        (65_000_000, 20, "2.50", 381_450),
        (150_000_000, 10, "5.00", 2_006_450),
        (320_000_000, 5, "10", 9_506_450),
        (400_000_000, 4, "12.5", 17_506_450),
        (530_000_000, 3, "15", 27_506_450),
        (800_000_000, 2, "25", 80_506_450),
        (1_200_000_000, 1, "50", 280_506_450),
    )
)
BTCUSD_PERP_BRACKETS: Final = _brackets(((50, 125, "0.40", 0),))

_USDM_TABLES: Final[tuple[tuple[str, Dated[MarginTable]], ...]] = (
    (
        "BTCUSDT",
        Dated(((date_ns("2026-08-02"), Fact(BTCUSDT_BRACKETS, "public captures of leverageBracket, 2026-08-02")),)),
    ),
    (
        "ETHUSDT",
        Dated(((date_ns("2024-10-01"), assumed(ETHUSDT_BRACKETS, "public list of October 2024; UNVERIFIED since")),)),
    ),
)
_COINM_TABLES: Final[tuple[tuple[str, Dated[MarginTable]], ...]] = (
    (
        "BTCUSD_PERP",
        always(
            BTCUSD_PERP_BRACKETS,
            "COINM/account/rest-api/Notional-Bracket-for-Symbol: the sample's first bracket only; UNVERIFIED",
            verified=False,
        ),
    ),
)


# -- the cards

_FUNDING_FAQ: Final = "FAQ/360033525031"
_MARK_FAQ: Final = "FAQ/360033525071"
_LIQUIDATION_FAQ: Final = "FAQ/360033525271"
_ADL_FAQ: Final = "FAQ/360033525471"
_DEFINITION: Final = "USDM/common-definition"
_INFO: Final = "USDM/market-data/rest-api/Exchange-Information"
_MODIFY: Final = "USDM/trade/rest-api/Modify-Order"
_FEE_ROUNDING: Final = (
    "recorded fill of ETHBUSD, 2022-01-26: 7.4586 at 0.023 % charged 0.00171547; "
    "COINM/trade/rest-api/Account-Trade-List, sample: 100 USD / 8800 at 0.04 % charged 0.00000454"
)
_PLACE: Final = "USDM/trade/rest-api"
_CAPS: Final = "announcement 2025-09-16: 0.75 x maintenance rate at the highest leverage"
_COUNTDOWN: Final = "USDM/trade/rest-api/Auto-Cancel-All-Open-Orders"
_BOOK_SYNC: Final = "USDM/websocket-market-streams/How-to-manage-a-local-order-book-correctly"
_STP_FAQ: Final = "USDM/faq/stp-faq"
_CONTINUOUS: Final = "continuous matching"
_USDM_ONLY: Final = "that of USD-M BTCUSDT; COIN-M's was not found"


def _majors(rows: tuple[tuple[str, int], ...]) -> tuple[tuple[str, Dated[FundingTerms]], ...]:
    """Funding caps by symbol, given in units of 1e-6."""
    since = date_ns("2025-09-16")
    return tuple((symbol, Dated(((since, Fact(FundingTerms(cap_e12=cap * 10**6), _CAPS)),))) for symbol, cap in rows)


_FUNDING: Final = FundingRules(
    accrual=Fact("discrete", _FUNDING_FAQ),
    interval_ns=Fact(8 * HOUR_NS, _FUNDING_FAQ + "; some symbols 4 h or 1 h, see GET fundingInfo"),
    interval_choices_ns=Fact((HOUR_NS, 4 * HOUR_NS, 8 * HOUR_NS), _FUNDING_FAQ),
    interval_switch=Dated(
        (
            (START_NS, Fact(None, "CHANGELOG: the switch began on 2025-05-02 at 08:00 UTC")),
            (date_ns("2025-05-02") + 8 * HOUR_NS, Fact(IntervalSwitch(HOUR_NS), "announced for 2025-05-02 08:00 UTC")),
            (
                date_ns("2026-01-02") + 12 * HOUR_NS,
                Fact(IntervalSwitch(HOUR_NS, 4 * HOUR_NS, 16, 250 * 10**6), "announced for 2026-01-02 12:00 UTC"),
            ),
        )
    ),
    settle_ns=Fact(None, _FUNDING_FAQ),
    premium=Fact("impact", _FUNDING_FAQ),
    premium_sample_ns=Fact(5 * SECOND_NS, _FUNDING_FAQ),
    impact_form=Fact("over_initial_rate", _FUNDING_FAQ),
    impact_notional_e8=Fact(200 * E8, _FUNDING_FAQ + ": 200 USDT or USD / initial rate at the highest leverage"),
    aggregation=always("time_weighted_mean", _FUNDING_FAQ),
    weights=Fact("rising_equal_at_1h", _FUNDING_FAQ + "; equal weights on 1 h intervals"),
    votes_least=Fact(0, _FUNDING_FAQ),
    vote_clamp_e12=Fact(None, _FUNDING_FAQ),
    interest_e12=Fact(BPS_E12, _FUNDING_FAQ + "; 0 for ETHBTC"),
    interest_scaling=Fact("none", _FUNDING_FAQ),
    damp_e12=Fact(5 * BPS_E12, _FUNDING_FAQ),
    divide=Fact("by_interval_of_8h", _FUNDING_FAQ),
    cap_rule=Fact("fixed", "announcement 2025-09-16"),
    cap_e12=Dated(
        ((date_ns("2025-09-16"), Fact(200 * BPS_E12, "announcement 2025-09-16; majors have their own, see tables")),)
    ),
    cap_period_ns=Fact(0, "announcement 2025-09-16"),
    price=Fact("mark", _FUNDING_FAQ),
    payment_unit_e8=Fact(1, "USDM/account/rest-api/Get-Income-History: shown with 8 decimals"),
    payment_rounding=assumed("half_even", "the direction of rounding of funding payments is not documented"),
    settlement_drift_ns=Fact(15 * SECOND_NS, _FUNDING_FAQ),
    publish_lead_ns=Fact(0, _FUNDING_FAQ),
    side_asymmetry=Fact(False, _FUNDING_FAQ),
    borrow_fee=Fact(False, _FUNDING_FAQ),
    tables=(
        *_majors((("BTCUSDT", 3000), ("ETHUSDT", 3000), ("BNBUSDT", 3750), ("SOLUSDT", 3750), ("ADAUSDT", 3750))),
        *_majors((("XRPUSDT", 3750), ("LINKUSDT", 3750), ("AVAXUSDT", 3750), ("LTCUSDT", 3750), ("TRXUSDT", 3750))),
        *_majors((("DOGEUSDT", 4875),)),
        ("ETHBTC", always(FundingTerms(interest_e12=0), _FUNDING_FAQ)),
    ),
    rate_unit_e12=Fact(10_000, "USDM/websocket-market-streams/Mark-Price-Stream: rates have 8 decimals"),
    forecast=Fact("rolling", "a recorded stream of 2023-04-05 goes on over the boundary instead of starting anew"),
    forecast_step_ns=Fact(60 * SECOND_NS, "a recorded stream of 2023-04-05 changes the rate at whole minutes only"),
)

_MARK: Final = MarkRules(
    components=Fact(("index_and_last_funding", "index_and_average_basis", "last_price"), _MARK_FAQ),
    combiner=Fact("median", _MARK_FAQ),
    basis_window_ns=Dated(
        (
            (START_NS, Fact(300 * SECOND_NS, "recorded marks of 2023-04-05 fit 300 s, and neither 60 s nor 150 s")),
            (
                date_ns("2023-04-06"),
                assumed(60 * SECOND_NS, "announcement 2025-09-16 calls windows of 60 s and 150 s earlier, undated"),
            ),
            (date_ns("2025-09-18"), Fact(30 * SECOND_NS, "announcement 2025-09-16")),
        )
    ),
    basis_sample_ns=Fact(SECOND_NS, _MARK_FAQ),
    ema_tau_ns=Fact(0, _MARK_FAQ),
    fallback_ema_tau_ns=Fact(0, _MARK_FAQ),
    publish_ns=Fact(SECOND_NS, "USDM/websocket-market-streams/Mark-Price-Stream"),
    cap_e12=Fact(None, _MARK_FAQ),
    index_weights=Fact((), _MARK_FAQ + ": weights of the spot venues differ by symbol and are not listed"),
    perp_weights=Fact((), _MARK_FAQ),
    index_clamp_e12=Fact(300 * BPS_E12, _MARK_FAQ + "; 1 % for BNB, BTC, ETH, SOL, USDC, XRP"),
    index_stale_ns=Fact(300 * SECOND_NS, _MARK_FAQ),
)

_MARGIN: Final = MarginRules(
    enabled=Fact(True, _LIQUIDATION_FAQ),
    tier_key=Fact("notional", "FAQ/b3c689c1f50a44cabb3a84e663b81d93"),
    form=Fact("bracket_deduction", "FAQ/b3c689c1f50a44cabb3a84e663b81d93"),
    initial_from=Fact("leverage", _LIQUIDATION_FAQ),
    open_interest_scaled=Fact(False, _LIQUIDATION_FAQ),
    open_order_form=assumed("larger_side", "netting of open orders is not documented: max(|pos+bids|, |pos-asks|)"),
    close_fee=Fact("none", _LIQUIDATION_FAQ),
    default_leverage=assumed(20, "an account's own setting decides; 20 is what new accounts start with"),
    leverage_step_e12=Fact(E12, "USDM/trade/rest-api/Change-Initial-Leverage: whole numbers"),
    leverage_change=Fact("no_cut_isolated", _CODES + ", text of -4161"),
    modes=Fact(("cross", "isolated", "multi_assets"), "USDM/trade/rest-api/Change-Margin-Type"),
    default_mode=Fact("cross", "USDM/trade/rest-api/Change-Margin-Type"),
    mode_scope=Fact("symbol", "USDM/trade/rest-api/Change-Margin-Type"),
    mode_change=Fact("flat_no_orders", _CODES + ", texts of -4047 and -4048"),
    collateral=assumed(
        "index_haircut", "multi-assets: which of the index's rates values which balance is not documented"
    ),
    removal_floor_e12=Fact(0, "USDM/trade/rest-api/Modify-Isolated-Position-Margin"),
    liquidation_price=Fact("at_maintenance", "FAQ/b3c689c1f50a44cabb3a84e663b81d93"),
    tables=_USDM_TABLES,
    unchanged_refused=Fact(("mode",), _CODES + ", text of -4046"),
    isolated_leverage=assumed("keeps_margin", "whether a higher leverage frees isolated margin is not documented"),
    isolated_funding=Fact("isolated", "USDM/user-data-streams/Event-Balance-and-Position-Update: pushes the position"),
)

_LIQUIDATION: Final = LiquidationRules(
    procedure=Fact("ioc_then_fund", _LIQUIDATION_FAQ),
    isolated_procedure=Fact("ioc_then_fund", _LIQUIDATION_FAQ),
    trigger_price=Fact("mark", _LIQUIDATION_FAQ),
    trigger_ratio_e12=Fact(E12, _LIQUIDATION_FAQ),
    warning_ratio_e12=Fact(None, "USDM/user-data-streams/Event-Margin-Call: no threshold is stated"),
    cancels=Fact("all", _LIQUIDATION_FAQ),
    first_fraction_e12=Fact(E12, _LIQUIDATION_FAQ + ": one large reducing order"),
    first_fraction_above_e8=Fact(0, _LIQUIDATION_FAQ),
    cooldown_ns=Fact(0, _LIQUIDATION_FAQ),
    chunk_fraction_e12=Fact(E12, _LIQUIDATION_FAQ),
    tiers_per_step=Fact(0, _LIQUIDATION_FAQ),
    whole_up_to_tier=Fact(0, _LIQUIDATION_FAQ),
    block_fraction_e12=Fact(0, _LIQUIDATION_FAQ),
    block_least_e8=Fact(0, _LIQUIDATION_FAQ),
    block_most_e8=Fact(0, _LIQUIDATION_FAQ),
    block_loss_most_e8=Fact(0, _LIQUIDATION_FAQ),
    order=Fact("ioc_to_bankruptcy", _LIQUIDATION_FAQ),
    fillable_adjustment_e12=Fact(0, _LIQUIDATION_FAQ),
    fillable_spread_e12=Fact(0, _LIQUIDATION_FAQ),
    takeover_ratio_e12=Fact(0, _LIQUIDATION_FAQ),
    takeover_price=Fact("bankruptcy", _LIQUIDATION_FAQ),
    nets_legs=assumed(False, "what becomes of both legs in hedge mode is not stated"),
    keeps_margin=Fact(True, _LIQUIDATION_FAQ),
    fee_form=Fact("own_rate", _LIQUIDATION_FAQ),
    fee_rate_e12=always(125 * BPS_E12, _INFO + ", BTCUSDT, captured 2026-09-15"),
    fee_to=Fact("insurance_fund", _LIQUIDATION_FAQ),
    surplus_to=Fact("insurance_fund", _LIQUIDATION_FAQ),
    order_id_prefix=Fact("autoclose-", "USDM/user-data-streams/Event-Order-Update"),
)

_LOSS: Final = LossRules(
    fund_scope=Fact("venue", _LIQUIDATION_FAQ),
    fund_absorbs=assumed("all", "the fund's balance is no input: it takes over every remainder, nobody is deleveraged"),
    adl_trigger=Fact("fund_empty", _ADL_FAQ),
    adl_drawdown_e12=Fact(0, _ADL_FAQ),
    adl_rank=Fact("profit_times_margin_ratio", _ADL_FAQ + ": (max(0,upnl)/max(1,wallet)) * (mm/(wallet+upnl))"),
    adl_price=Fact("bankruptcy", _ADL_FAQ),
    adl_fee=Fact("none", _ADL_FAQ),
    adl_cancels_orders=Fact(True, _ADL_FAQ),
    adl_id_prefix=Fact("adl_autoclose", "USDM/user-data-streams/Event-Order-Update"),
    socialise=Fact(False, _ADL_FAQ),
)

_STP: Final = StpRules(
    modes=Fact(("EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"), _STP_FAQ),
    actions=Fact(("cancel_taker", "cancel_maker", "cancel_both"), _STP_FAQ),
    default=Fact("EXPIRE_MAKER", "github.com/binance/binance-connector-python, 2026-08-21"),
    decided_by=Fact("taker", _STP_FAQ),
    scope=Fact("group", _STP_FAQ),
    not_for=Fact(("FOK", "GTX"), _STP_FAQ),
    reset_by_amend=Fact(True, _STP_FAQ),
)

_ORDERS: Final = OrderRules(
    grid=Fact("tick", _DEFINITION),
    types=Fact(
        (
            "limit", "market", "stop_market", "stop_limit", "take_profit_market", "take_profit_limit", "trailing_stop",
        ),
        _DEFINITION + "; all but the first two through algoOrder since 2025-12-09 (CHANGELOG)",
    ),
    times_in_force=Fact(("GTC", "IOC", "FOK", "GTX", "GTD"), _DEFINITION),
    expiry=Fact("time", _DEFINITION),
    expiry_min_ns=Fact(600 * SECOND_NS, _DEFINITION),
    expiry_max_ns=Fact(None, _DEFINITION + ": up to 253402300799000 ms"),
    expiry_resolution_ns=Fact(SECOND_NS, _DEFINITION),
    expiry_blocks=Fact(0, _CONTINUOUS),
    day_end_ns=Fact(None, _DEFINITION),
    request_deadline=Fact(True, "USDM/general-info: the matching engine checks recvWindow again"),
    triggers=Fact(("last", "mark"), _DEFINITION + ": workingType"),
    default_trigger=Fact("last", _DEFINITION + ": CONTRACT_PRICE"),
    trigger_at_once=Fact("reject", _CODES + ", text of -2021"),
    trigger_margin=Fact("at_trigger", "CHANGELOG, 2025-12-09"),
    trailing_min_e12=Fact(10 * BPS_E12, "CHANGELOG"),
    trailing_max_e12=Dated(
        (
            (START_NS, Fact(1000 * BPS_E12, "CHANGELOG")),
            (date_ns("2026-10-23"), Fact(2000 * BPS_E12, "CHANGELOG")),
        )
    ),
    trigger_slippage_e12=Fact(None, _DEFINITION),
    post_only=Fact("reject", _CODES),
    fok_unfilled=Fact("reject", _CODES),
    reduce_only=assumed("reject", _CODES + " of -2022; whether a larger one is cut instead is not documented"),
    close_position=Fact(True, _PLACE),
    hedge_mode=Fact(True, "USDM/trade/rest-api/Change-Position-Mode"),
    amend_new_id=Fact(False, _MODIFY),
    amend_keeps_priority=Fact("never", _MODIFY + "; MERGE"),
    amend_to_filled=Fact("cancel", _MODIFY),
    amend_crossing_post_only=Fact("cancel", _MODIFY),
    amends_per_order=Fact(10_000, _MODIFY),
    min_notional_e8=Fact(None, _INFO + ": filter MIN_NOTIONAL of the symbol"),
    min_notional_exempt=Fact("reduce_only", _CODES + ", text of -4164"),
    market_notional_price=Fact("mark", _DEFINITION),
    price_band=Fact("reject", _CODES),
    price_band_form=always("multipliers", _DEFINITION + ": PERCENT_PRICE"),
    price_band_price=Fact("mark", _DEFINITION),
    price_band_x_e12=Fact(None, _DEFINITION),
    price_band_y_e12=Fact(None, _DEFINITION),
    price_band_z_e12=Fact(None, _DEFINITION),
    price_band_window_ns=Fact(0, _DEFINITION),
    market_form=Fact("bounded", _INFO + ": marketTakeBound"),
    market_bound_e12=Fact(None, _INFO + ": marketTakeBound of the symbol"),
    market_bound_price=Fact("mark", _INFO),
    market_remainder=Fact("expire", _INFO),
    max_matches=Fact(None, _DEFINITION),
    max_limit_value=Fact((), _DEFINITION),
    max_market_value=Fact((), _DEFINITION),
    max_open_orders=Fact(200, _INFO + ", BTCUSDT, captured 2026-09-15"),
    open_orders_scope=Fact("symbol", _INFO),
    open_orders_per_volume_e8=Fact(None, _INFO),
    open_orders_most=Fact(None, _INFO),
    open_orders_by_equity=Fact((), _INFO),
    max_stop_orders=Fact(200, "CHANGELOG, 2025-12-09"),
    stop_orders_scope=Fact("account", "CHANGELOG, 2025-12-09"),
    max_batch=Fact(5, "USDM/trade/rest-api/Place-Multiple-Orders"),
    max_batch_cancel=Fact(10, "USDM/trade/rest-api/Cancel-Multiple-Orders"),
    client_id_form=Fact(r"^[\.A-Z\:/a-z0-9_-]{1,36}$", _PLACE),
    client_id_unique=Fact("open", _PLACE),
    trigger_protect_e12=Fact(5 * E12 // 100, _INFO + ": triggerProtect, BTCUSDT, captured 2026-09-15"),
    trigger_refused=Fact("reject", "USDM/user-data-streams/Event-Algo-Order-Update"),
    amend_held=Fact(False, "CHANGELOG, 2025-12-09: an untriggered algo order cannot be modified"),
)  # fmt: skip

_FEED: Final = FeedRules(
    book=Fact("diff_chain", _BOOK_SYNC),
    book_ids=Fact(("U", "u", "pu"), _BOOK_SYNC),
    book_interval_ns=Fact(100_000_000, "USDM/websocket-market-streams/Diff-Book-Depth-Streams: the fastest documented"),
    book_can_cross=Fact(False, _BOOK_SYNC),
    force_orders=Dated(
        (
            (START_NS, Fact("latest_per_second", "CHANGELOG")),
            (date_ns("2026-04-14"), Fact("largest_per_second", "CHANGELOG")),
        )
    ),
    private_replay=Fact("none", "USDM/user-data-streams"),
    dedupe_key=Fact(("i", "t"), "USDM/user-data-streams/Event-Order-Update"),
    ack=Fact("accepted", _PLACE),
    reverts=Fact(False, "USDM/user-data-streams"),
)

_LIMITS: Final = LimitRules(
    limits=always(
        (
            RateLimit("weight", "ip", 2400, 60 * SECOND_NS),
            RateLimit("orders", "account", 1200, 60 * SECOND_NS, batch=1),
            RateLimit("orders", "account", 300, 10 * SECOND_NS, batch=5),
        ),
        "USDM/general-info; shared by USD-M and COIN-M since 2026-06-30 (MERGE)",
    ),
    windows=Fact("fixed", "observed by nautilus_trader: windows reset on the minute"),
    batch_counts=Fact("listed", "USDM/trade/rest-api/Place-Multiple-Orders: 5 on the 10 s counter, 1 on the 1 min one"),
    earned=Fact(None, "USDM/general-info"),
    exempt=Fact(("reduce_only", "close_position", "cancel"), "USDM/general-info, of -1008"),
    exceeded=Fact("429, then 418 (address banned, 2 minutes to 3 days)", "USDM/general-info"),
)

_FEES: Final = FeeRules(
    maker_rate_e12=always(2 * BPS_E12, "regular tier, babianfox.com/en/kb/binance-futures-fee (third party)"),
    taker_rate_e12=always(5 * BPS_E12, "regular tier, babianfox.com/en/kb/binance-futures-fee (third party)"),
    tiers=always((), "GET commissionRate tells an account's own; other tiers are not listed here"),
    volume_window_ns=Fact(0, "other tiers are not listed here"),
    discounts=Fact((("paid in BNB", E12 // 10),), "FAQ/360033544231"),
    rounding_e8=Fact(1, "FAQ/360033544231: shown with 8 decimals"),
    rounding=Fact("truncate", _FEE_ROUNDING),
)

USDM: Final = RuleCard(
    venue="binance_usdm",
    title="Binance USD-M futures",
    size_unit=Fact("base", _DEFINITION),
    settles_in=Fact("quote", _DEFINITION),
    time_resolution_ns=Fact(1_000_000, "USDM/user-data-streams/Event-Order-Update"),
    timeless=Fact(("refusals",), "error answers are {code, msg}"),
    money_decimals=Fact(8, "USDM/user-data-streams/Event-Order-Update"),
    funding=_FUNDING,
    mark=_MARK,
    fees=_FEES,
    margin=_MARGIN,
    liquidation=_LIQUIDATION,
    loss=_LOSS,
    stp=_STP,
    orders=_ORDERS,
    batching=BatchingRules(
        block_interval_ns=Fact(0, _CONTINUOUS),
        class_order=Fact((), _CONTINUOUS),
        held_to_next_block=Fact((), _CONTINUOUS),
        speed_bump_ns=always(0, _CONTINUOUS),
        speed_bump_exempt=Fact((), _CONTINUOUS),
    ),
    dead_man=DeadManRules(
        kind=Fact("countdown", _COUNTDOWN),
        min_ns=Fact(None, _COUNTDOWN),
        max_ns=Fact(None, _COUNTDOWN),
        check_ns=Fact(10_000_000, _COUNTDOWN + ": about every 10 ms"),
        scope=Fact("symbol", _COUNTDOWN),
        quota_per_day=Fact(None, _COUNTDOWN),
    ),
    feed=_FEED,
    limits=_LIMITS,
    reasons=REASONS,
    errors=ERROR_CODES,
    sources=SOURCES,
)

COINM: Final = replace(
    USDM,
    venue="binance_coinm",
    title="Binance COIN-M futures",
    size_unit=Fact("contracts", "COINM/common-definition"),
    settles_in=Fact("base", "COINM/common-definition"),
    funding=replace(
        _FUNDING, cap_e12=always(200 * BPS_E12, "that of USD-M; COIN-M's was not found", verified=False), tables=()
    ),
    fees=replace(
        _FEES,
        maker_rate_e12=always(2 * BPS_E12, "taken to equal USD-M; UNVERIFIED", verified=False),
        taker_rate_e12=always(5 * BPS_E12, "taken to equal USD-M; UNVERIFIED", verified=False),
        discounts=Fact((), "FAQ/360033544231: on USD-M only"),
    ),
    margin=replace(
        _MARGIN,
        modes=Fact(("cross", "isolated"), "COINM/trade/rest-api/Change-Margin-Type"),
        collateral=Fact("settle_asset", "COINM/common-definition"),
        tables=_COINM_TABLES,
    ),
    liquidation=replace(
        _LIQUIDATION,
        fee_rate_e12=always(
            100 * BPS_E12, "COINM/market-data/rest-api/Exchange-Information, the page's example", verified=False
        ),
    ),
    orders=replace(
        _ORDERS,
        times_in_force=Fact(("GTC", "IOC", "FOK", "GTX"), "COINM/common-definition: no GTD"),
        expiry=Fact("none", "COINM/common-definition: no GTD"),
        expiry_min_ns=Fact(None, "COINM/common-definition: no GTD"),
        max_open_orders=assumed(200, _USDM_ONLY),
        max_stop_orders=assumed(200, _USDM_ONLY),
        stop_orders_scope=assumed("account", _USDM_ONLY),
        trigger_protect_e12=assumed(5 * E12 // 100, _USDM_ONLY),
    ),
    limits=replace(
        _LIMITS,
        limits=Dated(
            (
                (START_NS, assumed(_LIMITS.limits.latest.value, "as since 2026-06-30; those before are not at hand")),
                (date_ns("2026-06-30"), _LIMITS.limits.latest),
            )
        ),
    ),
)


# -- instruments

_FILTERS: Final = "exchangeInfo captured 2026-09-15"

BTCUSDT: Final = Instrument(
    "binance_usdm",
    "BTCUSDT",
    "BTC",
    "USDT",
    "USDT",
    False,
    Decimal("0.1"),
    Decimal("0.001"),
    max_lots=1_000_000,
    max_market_lots=120_000,
    min_ticks=5_568,
    max_ticks=45_297_640,
    min_notional_e8=50 * E8,
    band_up_e12=105 * E12 // 100,
    band_down_e12=95 * E12 // 100,
    market_bound_e12=5 * E12 // 100,
    liquidation_fee_e12=125 * BPS_E12,
    max_open_orders=200,
    source=_FILTERS,
    as_of="2026-09-15",
)
ETHUSDT: Final = Instrument(
    "binance_usdm",
    "ETHUSDT",
    "ETH",
    "USDT",
    "USDT",
    False,
    Decimal("0.01"),
    Decimal("0.001"),
    max_lots=10_000_000,
    max_market_lots=2_000_000,
    min_notional_e8=20 * E8,
    band_up_e12=105 * E12 // 100,
    band_down_e12=95 * E12 // 100,
    market_bound_e12=5 * E12 // 100,
    liquidation_fee_e12=125 * BPS_E12,
    max_open_orders=200,
    source=_FILTERS + "; what it did not show taken from BTCUSDT and older captures",
    as_of="2026-09-15",
    unverified=(
        "tick_size", "lot_size", "min_notional_e8", "band_up_e12", "band_down_e12", "market_bound_e12",
        "liquidation_fee_e12", "max_open_orders",
    ),
)  # fmt: skip
BTCUSD_PERP: Final = Instrument(
    "binance_coinm",
    "BTCUSD_PERP",
    "BTC",
    "USD",
    "BTC",
    True,
    Decimal("0.1"),
    Decimal(1),
    Decimal(100),
    band_up_e12=105 * E12 // 100,
    band_down_e12=95 * E12 // 100,
    market_bound_e12=30 * E12 // 100,
    liquidation_fee_e12=100 * BPS_E12,
    max_open_orders=200,
    source="COINM/market-data/rest-api/Exchange-Information, the page's example",
    unverified=(
        "tick_size", "band_up_e12", "band_down_e12", "market_bound_e12", "liquidation_fee_e12", "max_open_orders",
    ),
)  # fmt: skip
KNOWN: Final = (BTCUSDT, ETHUSDT, BTCUSD_PERP)

CARDS: Final = (USDM, COINM)
