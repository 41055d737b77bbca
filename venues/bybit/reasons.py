"""Bybit's error codes, and how it words the simulator's reasons.

``Y/`` is bybit-exchange.github.io/docs/v5/. Requests are only acknowledged; what closes an order comes on the order
topic as ``cancelType`` or ``rejectReason``, which is ``word`` here.
"""

from __future__ import annotations

from typing import Final

from matching import codes
from venues.errors import CodeTable, Hint, code_table
from venues.rules import SIMULATOR_REASONS, ReasonTable, VenueReason

_CODES: Final = "Y/error"
_ENUM: Final = "Y/enum"

ERROR_CODES: Final[CodeTable] = code_table(
    "bybit",
    _CODES,
    (
        (403, Hint.RETRY, "too many requests from this address, or a region that is not served"),
        (429, Hint.RETRY, "system protection"),
        (10000, Hint.QUERY, "server timeout: execution status unknown"),
        (10001, Hint.HALT, "request parameter error"),
        (10002, Hint.RETRY, "request time outside the window"),
        (10003, Hint.HALT, "API key is invalid"),
        (10004, Hint.HALT, "signature error"),
        (10005, Hint.HALT, "permission denied"),
        (10006, Hint.RETRY, "too many visits: rate limit exceeded"),
        (10010, Hint.HALT, "address not bound to this key"),
        (10014, Hint.QUERY, "duplicate request"),
        (10016, Hint.QUERY, "server error: execution status unknown"),
        (10019, Hint.RETRY, "trading service is restarting: connect again"),
        (10024, Hint.HALT, "compliance rules"),
        (10027, Hint.HALT, "trading is banned"),
        (10029, Hint.HALT, "symbol is not on the whitelist"),
        (10403, Hint.RETRY, "more than 3000 websocket requests a second from this address"),
        (10404, Hint.HALT, "operation not known, or category not supported"),
        (10429, Hint.RETRY, "system protection on the trading websocket"),
        (20001, Hint.HALT, "already authenticated"),
        (20006, Hint.HALT, "request id is duplicated"),
        (30208, Hint.HALT, "buy price above the highest allowed"),
        (30209, Hint.HALT, "sell price below the lowest allowed"),
        (34040, Hint.HALT, "take-profit and stop-loss not changed"),
        (110001, Hint.QUERY, "order does not exist"),
        (110003, Hint.HALT, "order price out of the permitted range"),
        (110004, Hint.HALT, "wallet balance is insufficient"),
        (110006, Hint.HALT, "assets cannot cover the position's margin"),
        (110007, Hint.HALT, "available balance is insufficient"),
        (110008, Hint.QUERY, "order has been finished or canceled"),
        (110009, Hint.HALT, "number of stop orders exceeds the maximum"),
        (110010, Hint.QUERY, "order has been canceled"),
        (110011, Hint.HALT, "adjustment would trigger liquidation"),
        (110012, Hint.HALT, "available balance is insufficient"),
        (110013, Hint.HALT, "leverage cannot be set: risk limit"),
        (110017, Hint.HALT, "reduce-only rule not satisfied: quantity is cut to zero"),
        (110020, Hint.HALT, "more than 500 active orders"),
        (110021, Hint.HALT, "open interest exceeds its limit"),
        (110022, Hint.HALT, "position may only be reduced"),
        (110023, Hint.HALT, "position may only be reduced now"),
        (110024, Hint.HALT, "position mode cannot change with a position"),
        (110025, Hint.HALT, "position mode is not modified"),
        (110026, Hint.HALT, "margin mode is not modified"),
        (110028, Hint.HALT, "position mode cannot change with open orders"),
        (110040, Hint.HALT, "order would trigger liquidation"),
        (110043, Hint.HALT, "leverage is not modified"),
        (110044, Hint.HALT, "available margin is insufficient"),
        (110045, Hint.HALT, "wallet balance is insufficient"),
        (110046, Hint.HALT, "adjustment would trigger liquidation"),
        (110063, Hint.RETRY, "settlement in progress"),
        (110064, Hint.HALT, "modified quantity is not above the filled one"),
        (110066, Hint.HALT, "trading is not allowed now"),
        (110072, Hint.QUERY, "orderLinkId is duplicated"),
        (110074, Hint.HALT, "contract is not live"),
        (110079, Hint.RETRY, "order is being processed"),
        (110090, Hint.HALT, "position would exceed its limit"),
        (110092, Hint.HALT, "trigger price must be above the current price"),
        (110093, Hint.HALT, "trigger price must be below the current price"),
        (110094, Hint.HALT, "order value below the minimum"),
        (110103, Hint.HALT, "only post-only orders in this phase"),
        (110118, Hint.HALT, "no market price at present"),
        (110120, Hint.HALT, "buy price above the price limit"),
        (110121, Hint.HALT, "sell price below the price limit"),
        (110124, Hint.HALT, "cooling-off period"),
    ),
)


def _row(
    reason: int, code: int, text: str, verified: bool = True, low: int | None = None, asked: str = ""
) -> VenueReason:
    return VenueReason(reason, code, text, _CODES, verified, low, asked=(asked,) if asked else ())


def _word(reason: int, word: str, text: str, verified: bool = True) -> VenueReason:
    return VenueReason(reason, None, text, _ENUM, verified, word=word)


REASONS: Final = ReasonTable(
    (
        _word(codes.R_USER, "CancelByUser", "Cancelled"),
        _word(codes.R_FILLED, "EC_NoError", "Filled"),
        _word(codes.R_POST_ONLY, "EC_PostOnlyWillTakeLiquidity", "Cancelled: post-only order would take"),
        _word(codes.R_IOC_REMAINDER, "EC_NoImmediateQtyToFill", "Cancelled: remainder of an IOC order", verified=False),
        _word(codes.R_FOK, "EC_NoEnoughQtyToFill", "Cancelled: FOK order cannot be filled whole", verified=False),
        _word(codes.R_MARKET_REMAINDER, "EC_NoImmediateQtyToFill", "Cancelled: rest of a market order", verified=False),
        _row(codes.R_REDUCE_ONLY, 110017, "reduce-only rule not satisfied: quantity is cut to zero"),
        _word(codes.R_STP, "CancelBySmp", "Cancelled: self-match prevention"),
        _word(codes.R_LIQUIDATION, "CancelAllBeforeLiq", "Cancelled before liquidation"),
        _word(codes.R_ADL, "CancelAllBeforeAdl", "Cancelled before auto-deleveraging"),
        _row(codes.R_MARGIN, 110007, "available balance is insufficient"),
        _row(codes.R_LEVERAGE, 110013, "leverage cannot be set: risk limit"),
        _row(codes.R_MIN_NOTIONAL, 110094, "order value below the minimum"),
        _row(codes.R_PRICE_BAND, 30208, "price outside the highest buy or lowest sell price", low=30209),
        _row(codes.R_LOT_SIZE, 10001, "quantity outside the instrument's limits", verified=False),
        _row(codes.R_LOT_SIZE, 110064, "modified quantity is not above the filled one", False, asked="amend"),
        _row(codes.R_UNKNOWN_ORDER, 110001, "order does not exist"),
        _row(codes.R_NO_LIQUIDITY, 110118, "no market price at present", verified=False),
        _row(codes.R_MAX_ORDERS, 110020, "more than 500 active orders"),
        _row(codes.R_VENUE, 110066, "trading is not allowed now", verified=False),
        _row(codes.R_NO_CHANGE, 10001, "nothing is modified", verified=False),
        _row(codes.R_RATE_LIMIT, 10006, "too many visits: rate limit exceeded"),
        _row(codes.R_CLIENT_ID, 10001, "orderLinkId is not valid", verified=False),
        _row(codes.R_DUPLICATE_ID, 110072, "orderLinkId is duplicated"),
        _row(codes.R_TRIGGER, 110092, "trigger price on the wrong side of the current price", low=110093),
        _row(codes.R_MAX_STOPS, 110009, "number of stop orders exceeds the maximum"),
        _row(codes.R_POSITION_SIDE, 10001, "positionIdx does not match the position mode", verified=False),
        _row(codes.R_TICK_SIZE, 10001, "price is off the tick grid", verified=False),
        _row(codes.R_UNSUPPORTED, 10001, "request parameter error", verified=False),
        _row(codes.R_UNSUPPORTED, 110013, "leverage cannot be set: risk limit", False, asked="leverage"),
        _word(codes.R_DEAD_MAN, "CancelByDCP", "Cancelled: connection lost"),
        _row(codes.R_MAX_POSITION, 110090, "position would exceed its limit"),
        _row(codes.R_OPEN_ORDERS, 110028, "position mode cannot change with open orders", verified=False),
        _row(codes.R_OPEN_POSITION, 110024, "position mode cannot change with a position", verified=False),
        _row(codes.R_SAME_SETTING, 110043, "leverage is not modified"),
        _row(codes.R_SAME_SETTING, 110026, "margin mode is not modified", asked="margin mode"),
        _row(codes.R_OPEN_INTEREST, 110021, "open interest exceeds its limit"),
        _word(codes.R_SIBLING, "CancelByTpSlTsClear", "Cancelled: the position is closed"),
        _row(codes.R_SETTLING, 110063, "settlement in progress"),
        _row(codes.R_HALTED, 110066, "trading is not allowed now"),
        _row(codes.R_PRICE_RANGE, 110003, "order price out of the permitted range"),
        _row(codes.R_EXPIRY, 10001, "request parameter error: timeWindow", verified=False),
        _row(codes.R_NO_POSITION, 10001, "request parameter error: no position", verified=False),
        *SIMULATOR_REASONS,
    )
)
