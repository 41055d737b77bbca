"""Binance futures rule cards, USD-M and COIN-M, with the source of every number.

Sources are named in short: ``USDM/x`` is developers.binance.com/docs/derivatives/usds-margined-futures/x, ``COINM/x``
the same under coin-margined-futures, ``CHANGELOG`` developers.binance.com/docs/derivatives/change-log, ``MERGE`` the
"CM-UM Integration Notice" there, ``FAQ/n`` www.binance.com/en/support/faq/detail/n. Numbers were read off captures of
those pages in 2026; a card is a record of what was documented, and live use reloads filters, brackets, fees and
funding caps.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from matching import codes
from matching.brackets import Brackets
from venues.errors import CodeTable, Hint, InstrumentError, code_table
from venues.instruments import Instrument, exact_decimal
from venues.rules import (
    E12,
    HOUR_NS,
    SECOND_NS,
    BatchingRules,
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
    MarkRules,
    OrderRules,
    RateLimit,
    ReasonTable,
    RuleCard,
    StpRules,
    VenueReason,
    always,
    assumed,
    date_ns,
)

E8: Final = 10**8
BPS_E12: Final = E12 // 10_000
_START: Final = -(1 << 63)
_CODES: Final = "USDM/error-code"


# -- error codes

ERROR_CODES: Final[CodeTable] = code_table(
    "binance",
    _CODES,
    (
        (-1000, Hint.QUERY, "unknown error while processing the request"),
        (-1001, Hint.RETRY, "disconnected: internal error, request not processed"),
        (-1003, Hint.RETRY, "too many requests; an address that goes on is banned"),
        (-1006, Hint.QUERY, "unexpected response: execution status unknown"),
        (-1007, Hint.QUERY, "timeout waiting for the backend: execution status unknown"),
        (-1008, Hint.RETRY, "overloaded or throttled: request not executed"),
        (-1013, Hint.HALT, "invalid message"),
        (-1015, Hint.RETRY, "too many new orders"),
        (-1016, Hint.RETRY, "service is shutting down"),
        (-1021, Hint.RETRY, "timestamp outside the receive window"),
        (-1022, Hint.HALT, "invalid signature"),
        (-1102, Hint.HALT, "mandatory parameter missing or malformed"),
        (-1106, Hint.HALT, "parameter sent when not required"),
        (-1109, Hint.HALT, "invalid account"),
        (-1111, Hint.HALT, "precision is over the maximum of this asset"),
        (-1116, Hint.HALT, "invalid order type"),
        (-1120, Hint.HALT, "invalid interval"),
        (-1121, Hint.HALT, "invalid symbol"),
        (-1125, Hint.RETRY, "this listen key does not exist"),
        (-1130, Hint.HALT, "invalid data sent for a parameter"),
        (-2010, Hint.HALT, "new order rejected"),
        (-2011, Hint.QUERY, "unknown order sent: it is not open"),
        (-2013, Hint.QUERY, "order does not exist"),
        (-2014, Hint.HALT, "API key format invalid"),
        (-2015, Hint.HALT, "invalid API key, address or permission"),
        (-2018, Hint.HALT, "balance not sufficient"),
        (-2019, Hint.HALT, "margin is insufficient"),
        (-2020, Hint.HALT, "unable to fill"),
        (-2021, Hint.HALT, "order would trigger immediately"),
        (-2022, Hint.HALT, "reduce-only order is rejected"),
        (-2023, Hint.HALT, "user is in liquidation"),
        (-2025, Hint.HALT, "reached the maximum of open orders"),
        (-2026, Hint.HALT, "this order type is not supported with reduce-only"),
        (-2027, Hint.HALT, "position above the limit at the present leverage"),
        (-2028, Hint.HALT, "leverage is too low for the margin"),
        (-4003, Hint.HALT, "quantity must be above zero"),
        (-4004, Hint.HALT, "quantity below the minimum"),
        (-4005, Hint.HALT, "quantity above the maximum"),
        (-4013, Hint.HALT, "price below the minimum"),
        (-4014, Hint.HALT, "price is not on the tick grid"),
        (-4015, Hint.HALT, "client order id is not valid"),
        (-4016, Hint.HALT, "price above the mark price's upper multiplier"),
        (-4023, Hint.HALT, "quantity is not on the step grid"),
        (-4024, Hint.HALT, "price below the mark price's lower multiplier"),
        (-4028, Hint.HALT, "leverage is not valid"),
        (-4045, Hint.HALT, "reached the maximum of stop orders"),
        (-4046, Hint.HALT, "no need to change the margin type"),
        (-4047, Hint.HALT, "margin type cannot change with open orders"),
        (-4048, Hint.HALT, "margin type cannot change with a position"),
        (-4059, Hint.HALT, "no need to change the position side"),
        (-4061, Hint.HALT, "position side does not match the account's setting"),
        (-4067, Hint.HALT, "position mode cannot change with open orders"),
        (-4068, Hint.HALT, "position mode cannot change with a position"),
        (-4087, Hint.HALT, "account may only reduce positions"),
        (-4116, Hint.QUERY, "client order id is duplicated"),
        (-4118, Hint.HALT, "reduce-only order failed its check"),
        (-4120, Hint.HALT, "order type belongs to the algo order endpoint"),
        (-4131, Hint.HALT, "counterparty's best price violates PERCENT_PRICE"),
        (-4140, Hint.HALT, "symbol is not open for new positions"),
        (-4161, Hint.HALT, "leverage of an isolated position cannot be reduced"),
        (-4164, Hint.HALT, "notional below the minimum, and not reduce-only"),
        (-4168, Hint.HALT, "isolated margin is impossible in multi-assets mode"),
        (-4192, Hint.HALT, "trading is forbidden by the cooling-off period"),
        (-4400, Hint.HALT, "quantitative rule violated: reduce-only for now"),
        (-4401, Hint.HALT, "large position: reduce-only for now"),
        (-5021, Hint.HALT, "FOK order cannot be filled whole and is rejected"),
        (-5022, Hint.HALT, "post-only order would take and is rejected"),
        (-5026, Hint.HALT, "too many modifications of this order"),
        (-5027, Hint.HALT, "no need to modify the order"),
        (-5028, Hint.RETRY, "timestamp outside the receive window at the matching engine"),
        (-5043, Hint.RETRY, "another modification of this order is pending"),
    ),
)

_ORDER_UPDATE: Final = "USDM/user-data-streams/Event-Order-Update"

REASONS: Final = ReasonTable(
    (
        VenueReason(codes.R_USER, None, "CANCELED", _ORDER_UPDATE),
        VenueReason(codes.R_FILLED, None, "FILLED", _ORDER_UPDATE),
        VenueReason(codes.R_POST_ONLY, -5022, "post-only order would take and is rejected", _CODES),
        VenueReason(codes.R_IOC_REMAINDER, None, "EXPIRED, er 2: remainder of an IOC order", _ORDER_UPDATE),
        VenueReason(codes.R_FOK, -5021, "FOK order cannot be filled whole and is rejected", _CODES),
        VenueReason(codes.R_MARKET_REMAINDER, None, "EXPIRED, er 9: remainder of a market order", _ORDER_UPDATE),
        VenueReason(codes.R_REDUCE_ONLY, -2022, "reduce-only order is rejected", _CODES),
        VenueReason(codes.R_STP, None, "EXPIRED_IN_MATCH, er 1: self-trade prevention", _ORDER_UPDATE),
        VenueReason(codes.R_LIQUIDATION, None, "EXPIRED, er 5: liquidation", _ORDER_UPDATE),
        VenueReason(codes.R_ADL, None, "CANCELED before auto-deleveraging", "FAQ/360033525471", verified=False),
        VenueReason(codes.R_MARGIN, -2019, "margin is insufficient", _CODES),
        VenueReason(codes.R_LEVERAGE, -2027, "position above the limit at the present leverage", _CODES),
        VenueReason(codes.R_MIN_NOTIONAL, -4164, "notional below the minimum, and not reduce-only", _CODES),
        VenueReason(codes.R_PRICE_BAND, -4016, "price outside the mark price's multipliers", _CODES, low_code=-4024),
        VenueReason(codes.R_LOT_SIZE, -4005, "quantity outside the filter's limits", _CODES, low_code=-4004),
        VenueReason(codes.R_UNKNOWN_ORDER, -2011, "unknown order sent: it is not open", _CODES),
        VenueReason(codes.R_NO_BOOK, None, "no valid recorded book: the simulator cannot know", "simulator"),
        VenueReason(codes.R_NO_LIQUIDITY, None, "EXPIRED: no liquidity", _CODES, verified=False),
        VenueReason(codes.R_MAX_ORDERS, -2025, "reached the maximum of open orders", _CODES),
        VenueReason(codes.R_EXPIRED, None, "EXPIRED", _ORDER_UPDATE),
        VenueReason(codes.R_VENUE, -2010, "new order rejected", _CODES),
        VenueReason(codes.R_NO_CHANGE, -5027, "no need to modify the order", _CODES),
        VenueReason(codes.R_LATENCY, -1008, "overloaded or throttled: request not executed", _CODES, verified=False),
    )
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

_USDM_TABLES: Final = (
    (
        "BTCUSDT",
        Dated(((date_ns("2026-08-02"), Fact(BTCUSDT_BRACKETS, "public captures of leverageBracket, 2026-08-02")),)),
    ),
    (
        "ETHUSDT",
        Dated(((date_ns("2024-10-01"), assumed(ETHUSDT_BRACKETS, "public list of October 2024; UNVERIFIED since")),)),
    ),
)
_COINM_TABLES: Final = (
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
_LIQUIDATION_FAQ: Final = "FAQ/360033525271"
_ADL_FAQ: Final = "FAQ/360033525471"
_DEFINITION: Final = "USDM/common-definition"
_MODIFY: Final = "USDM/trade/rest-api/Modify-Order"

_FUNDING: Final = FundingRules(
    accrual=Fact("discrete", _FUNDING_FAQ),
    interval_ns=Fact(8 * HOUR_NS, _FUNDING_FAQ + "; some symbols 4 h or 1 h, see GET fundingInfo"),
    premium_sample_ns=Fact(5 * SECOND_NS, _FUNDING_FAQ),
    aggregation=always("time_weighted_mean", _FUNDING_FAQ + "; equal weights on 1 h intervals"),
    interest_e12=Fact(BPS_E12, _FUNDING_FAQ + "; 0 for ETHBTC"),
    damp_e12=Fact(5 * BPS_E12, _FUNDING_FAQ),
    cap=Fact("majors 0.75 x maintenance rate at the highest leverage, others 2 %", "announcement 2025-09-16"),
    price=Fact("mark", _FUNDING_FAQ),
    settlement_drift_ns=Fact(15 * SECOND_NS, _FUNDING_FAQ),
    publish_lead_ns=Fact(0, _FUNDING_FAQ),
    side_asymmetry=Fact(False, _FUNDING_FAQ),
    borrow_fee=Fact(False, _FUNDING_FAQ),
)

_MARK: Final = MarkRules(
    components=Fact(("index_and_last_funding", "index_and_average_basis", "last_price"), "FAQ/360033525071"),
    combiner=Fact("median", "FAQ/360033525071"),
    basis_window_ns=Dated(
        (
            (_START, assumed(60 * SECOND_NS, "announcement 2025-09-16 calls 60 s and 150 s windows the earlier ones")),
            (date_ns("2025-09-18"), Fact(30 * SECOND_NS, "announcement 2025-09-16")),
        )
    ),
    cap_e12=Fact(None, "FAQ/360033525071"),
)

_MARGIN: Final = MarginRules(
    enabled=Fact(True, _LIQUIDATION_FAQ),
    tier_key=Fact("notional", "FAQ/b3c689c1f50a44cabb3a84e663b81d93"),
    form=Fact("bracket_deduction", "FAQ/b3c689c1f50a44cabb3a84e663b81d93"),
    initial_from=Fact("leverage", _LIQUIDATION_FAQ),
    open_order_form=assumed("larger_side", "netting of open orders is not documented: max(|pos+bids|, |pos-asks|)"),
    default_leverage=assumed(20, "an account's own setting decides; 20 is what new accounts start with"),
    tables=_USDM_TABLES,
)

_LIQUIDATION: Final = LiquidationRules(
    procedure=Fact("binance", _LIQUIDATION_FAQ),
    trigger_price=Fact("mark", _LIQUIDATION_FAQ),
    trigger_ratio_e12=Fact(E12, _LIQUIDATION_FAQ),
    first_fraction_e12=Fact(E12, _LIQUIDATION_FAQ + ": one large reducing order"),
    cooldown_ns=Fact(0, _LIQUIDATION_FAQ),
    order=Fact("ioc_to_bankruptcy", _LIQUIDATION_FAQ),
    takeover_price=Fact("bankruptcy", _LIQUIDATION_FAQ),
    fee_rate_e12=Fact(125 * BPS_E12, "USDM/market-data/rest-api/Exchange-Information, BTCUSDT, captured 2026-09-15"),
    fee_to=Fact("insurance_fund", _LIQUIDATION_FAQ),
    surplus_to=Fact("insurance_fund", _LIQUIDATION_FAQ),
)

_LOSS: Final = LossRules(
    fund_scope=Fact("venue", _LIQUIDATION_FAQ),
    fund_absorbs=assumed("all", "the fund's balance is no input: it takes over every remainder, nobody is deleveraged"),
    adl_rank=Fact("(max(0,upnl)/max(1,wallet)) * (maintenance/(wallet+upnl))", _ADL_FAQ),
    adl_price=Fact("bankruptcy", _ADL_FAQ),
    socialise=Fact(False, _ADL_FAQ),
)

_STP: Final = StpRules(
    modes=Fact(("EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"), "USDM/faq/stp-faq"),
    default=Fact("EXPIRE_MAKER", "github.com/binance/binance-connector-python, 2026-08-21"),
    decided_by=Fact("taker", "USDM/faq/stp-faq"),
    scope=Fact("group", "USDM/faq/stp-faq"),
)

_ORDERS: Final = OrderRules(
    times_in_force=Fact(("GTC", "IOC", "FOK", "GTX", "GTD"), _DEFINITION),
    post_only=Fact("reject", _CODES),
    fok_unfilled=Fact("reject", _CODES),
    reduce_only=Fact("reject", _CODES),
    amend_new_id=Fact(False, _MODIFY),
    amend_keeps_priority=Fact("never", _MODIFY + "; MERGE"),
    amend_to_filled=Fact("cancel", _MODIFY),
    amend_crossing_post_only=Fact("cancel", _MODIFY),
    amends_per_order=Fact(10_000, _MODIFY),
    min_notional_exempt_reduce_only=Fact(True, _CODES + ", text of -4164"),
    market_notional_price=Fact("mark", _DEFINITION),
    price_band=Fact("reject", _CODES),
    price_band_price=Fact("mark", _DEFINITION),
    market_remainder=Fact("expire", "USDM/market-data/rest-api/Exchange-Information"),
    max_open_orders=Fact(200, "USDM/market-data/rest-api/Exchange-Information, BTCUSDT, captured 2026-09-15"),
    client_id_form=Fact(r"^[\.A-Z\:/a-z0-9_-]{1,36}$", "USDM/trade/rest-api"),
)

_FEED: Final = FeedRules(
    book=Fact("diff_chain", "USDM/websocket-market-streams/How-to-manage-a-local-order-book-correctly"),
    book_ids=Fact(("U", "u", "pu"), "USDM/websocket-market-streams/How-to-manage-a-local-order-book-correctly"),
    book_can_cross=Fact(False, "USDM/websocket-market-streams/How-to-manage-a-local-order-book-correctly"),
    force_orders=Dated(
        (
            (_START, Fact("latest_per_second", "CHANGELOG")),
            (date_ns("2026-04-14"), Fact("largest_per_second", "CHANGELOG")),
        )
    ),
    private_replay=Fact("none", "USDM/user-data-streams"),
    dedupe_key=Fact(("i", "t"), _ORDER_UPDATE),
    ack=Fact("accepted", "USDM/trade/rest-api"),
    reverts=Fact(False, "USDM/user-data-streams"),
)

_LIMITS: Final = LimitRules(
    limits=always(
        (
            RateLimit("weight", "ip", 2400, 60 * SECOND_NS),
            RateLimit("orders", "account", 1200, 60 * SECOND_NS),
            RateLimit("orders", "account", 300, 10 * SECOND_NS),
        ),
        "USDM/general-info; shared by USD-M and COIN-M since 2026-06-30 (MERGE)",
    ),
    windows=Fact("fixed", "observed by nautilus_trader: windows reset on the minute"),
    exceeded=Fact("429, then 418 (address banned, 2 minutes to 3 days)", "USDM/general-info"),
)

USDM: Final = RuleCard(
    venue="binance_usdm",
    title="Binance USD-M futures",
    size_unit=Fact("base", _DEFINITION),
    settles_in=Fact("quote", _DEFINITION),
    time_resolution_ns=Fact(1_000_000, _ORDER_UPDATE),
    money_decimals=Fact(8, _ORDER_UPDATE),
    funding=_FUNDING,
    mark=_MARK,
    fees=FeeRules(
        maker_rate_e12=always(2 * BPS_E12, "regular tier, babianfox.com/en/kb/binance-futures-fee (third party)"),
        taker_rate_e12=always(5 * BPS_E12, "regular tier, babianfox.com/en/kb/binance-futures-fee (third party)"),
        rounding_e8=Fact(1, "FAQ/360033544231: shown with 8 decimals"),
        rounding=assumed("half_even", "the direction of fee rounding is not documented"),
    ),
    margin=_MARGIN,
    liquidation=_LIQUIDATION,
    loss=_LOSS,
    stp=_STP,
    orders=_ORDERS,
    batching=BatchingRules(
        block_interval_ns=Fact(0, "continuous matching"),
        class_order=Fact((), "continuous matching"),
        speed_bump_ns=Fact(0, "continuous matching"),
    ),
    dead_man=DeadManRules(
        kind=Fact("countdown", "USDM/trade/rest-api/Auto-Cancel-All-Open-Orders"),
        min_ns=Fact(None, "USDM/trade/rest-api/Auto-Cancel-All-Open-Orders"),
        max_ns=Fact(None, "USDM/trade/rest-api/Auto-Cancel-All-Open-Orders"),
        scope=Fact("symbol", "USDM/trade/rest-api/Auto-Cancel-All-Open-Orders"),
        quota_per_day=Fact(None, "USDM/trade/rest-api/Auto-Cancel-All-Open-Orders"),
    ),
    feed=_FEED,
    limits=_LIMITS,
    reasons=REASONS,
    errors=ERROR_CODES,
)

COINM: Final = replace(
    USDM,
    venue="binance_coinm",
    title="Binance COIN-M futures",
    size_unit=Fact("contracts", "COINM/common-definition"),
    settles_in=Fact("base", "COINM/common-definition"),
    fees=FeeRules(
        maker_rate_e12=always(2 * BPS_E12, "taken to equal USD-M; UNVERIFIED", verified=False),
        taker_rate_e12=always(5 * BPS_E12, "taken to equal USD-M; UNVERIFIED", verified=False),
        rounding_e8=Fact(1, "FAQ/360033544231: shown with 8 decimals"),
        rounding=assumed("half_even", "the direction of fee rounding is not documented"),
    ),
    margin=replace(_MARGIN, tables=_COINM_TABLES),
    liquidation=replace(
        _LIQUIDATION,
        fee_rate_e12=assumed(100 * BPS_E12, "COINM/market-data/rest-api/Exchange-Information, the page's example"),
    ),
    orders=replace(_ORDERS, times_in_force=Fact(("GTC", "IOC", "FOK", "GTX"), "COINM/common-definition: no GTD")),
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
    unverified=("tick_size", "min_notional_e8", "band_up_e12", "market_bound_e12", "liquidation_fee_e12"),
)
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
    unverified=("band_up_e12", "market_bound_e12", "liquidation_fee_e12", "max_open_orders"),
)
KNOWN: Final = (BTCUSDT, ETHUSDT, BTCUSD_PERP)

CARDS: Final = (USDM, COINM)


def instrument_from_exchange_info(entry: dict[str, Any], venue: str, as_of: str = "") -> Instrument:
    """One element of ``symbols`` of ``GET exchangeInfo`` as an instrument, exactly.

    ``venue`` is binance_usdm or binance_coinm (whose contracts are inverse and carry ``contractSize``). Raises
    ``InstrumentError`` naming the filter or field that is missing or unusable.
    """
    try:
        symbol = str(entry["symbol"])
        filters = {str(row["filterType"]): row for row in entry["filters"]}
        price, lot = filters["PRICE_FILTER"], filters["LOT_SIZE"]
        inverse = venue == COINM.venue
        size = entry["contractSize"] if inverse else 1
        bare = Instrument(
            venue,
            symbol,
            str(entry["baseAsset"]),
            str(entry["quoteAsset"]),
            str(entry["marginAsset"]),
            inverse,
            exact_decimal(price["tickSize"], f"{symbol}: tickSize"),
            exact_decimal(lot["stepSize"], f"{symbol}: stepSize"),
            exact_decimal(size, f"{symbol}: contractSize"),
        )
        found: dict[str, Any] = _filter_fields(bare, entry, filters)
        return replace(bare, **found, source="exchangeInfo", as_of=as_of)
    except KeyError as error:
        raise InstrumentError(f"exchangeInfo entry {entry.get('symbol')!r}: {error.args[0]} is missing") from None


def _filter_fields(bare: Instrument, entry: dict[str, Any], filters: dict[str, Any]) -> dict[str, int]:
    def scaled(row: Any, key: str, scale: int) -> int:
        return int(exact_decimal(row[key], f"{bare.symbol}: {key}") * scale)

    lot, price = filters["LOT_SIZE"], filters["PRICE_FILTER"]
    found = {
        "min_lots": max(1, bare.lots_from_str(lot["minQty"])),
        "max_lots": bare.lots_from_str(lot["maxQty"]),
        "min_ticks": bare.ticks_at_least(scaled(price, "minPrice", E8)),
        "max_ticks": bare.ticks_at_most(scaled(price, "maxPrice", E8)),
    }
    if "MARKET_LOT_SIZE" in filters:
        found["max_market_lots"] = bare.lots_from_str(filters["MARKET_LOT_SIZE"]["maxQty"])
    if "MIN_NOTIONAL" in filters:
        found["min_notional_e8"] = scaled(filters["MIN_NOTIONAL"], "notional", E8)
    if "PERCENT_PRICE" in filters:
        found["band_up_e12"] = scaled(filters["PERCENT_PRICE"], "multiplierUp", E12)
        found["band_down_e12"] = scaled(filters["PERCENT_PRICE"], "multiplierDown", E12)
    if "MAX_NUM_ORDERS" in filters:
        found["max_open_orders"] = int(filters["MAX_NUM_ORDERS"]["limit"])
    if "marketTakeBound" in entry:
        found["market_bound_e12"] = scaled(entry, "marketTakeBound", E12)
    if "liquidationFee" in entry:
        found["liquidation_fee_e12"] = scaled(entry, "liquidationFee", E12)
    return found
