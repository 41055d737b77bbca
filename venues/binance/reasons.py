"""Binance futures' error codes, and how it words the simulator's reasons. Sources as in ``venues.binance.rules``."""

from __future__ import annotations

from typing import Final

from matching import codes
from venues.errors import CodeTable, Hint, code_table
from venues.rules import ReasonTable, VenueReason

CODES_SOURCE: Final = "USDM/error-code"
_CODES: Final = CODES_SOURCE

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
        (-4002, Hint.HALT, "price above the maximum"),
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
        (-4188, Hint.RETRY, "timestamp outside the receive window at the matching engine (COIN-M)"),
        (-4192, Hint.HALT, "trading is forbidden by the cooling-off period"),
        (-4300, Hint.HALT, "leverage not yet allowed for this account"),
        (-4400, Hint.HALT, "quantitative rule violated: reduce-only for now"),
        (-4401, Hint.HALT, "large position: reduce-only for now"),
        (-5021, Hint.HALT, "FOK order cannot be filled whole and is rejected"),
        (-5022, Hint.HALT, "post-only order would take and is rejected"),
        (-5024, Hint.HALT, "the symbol's state allows no modification"),
        (-5025, Hint.HALT, "only limit orders can be modified"),
        (-5026, Hint.HALT, "too many modifications of this order"),
        (-5027, Hint.HALT, "no need to modify the order"),
        (-5028, Hint.RETRY, "timestamp outside the receive window at the matching engine"),
        (-5029, Hint.HALT, "the modified order would be below the minimum notional"),
        (-5037, Hint.HALT, "price match mode is not valid"),
        (-5038, Hint.HALT, "order type does not support price match"),
        (-5039, Hint.HALT, "self-trade prevention mode is not valid"),
        (-5040, Hint.HALT, "good-till date is less than 600 s away or too late"),
        (-5041, Hint.HALT, "no such price on the book for price match"),
        (-5043, Hint.RETRY, "another modification of this order is pending"),
    ),
)

_ORDER_UPDATE: Final = "USDM/user-data-streams/Event-Order-Update"
_COUNTDOWN: Final = "USDM/trade/rest-api/Auto-Cancel-All-Open-Orders"

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
        VenueReason(codes.R_MARGIN, -2028, "leverage is too low for the margin", _CODES, asked=("leverage",)),
        VenueReason(codes.R_LEVERAGE, -2027, "position above the limit at the present leverage", _CODES),
        VenueReason(codes.R_MIN_NOTIONAL, -4164, "notional below the minimum, and not reduce-only", _CODES),
        VenueReason(
            codes.R_MIN_NOTIONAL,
            -5029,
            "the modified order would be below the minimum notional",
            _CODES,
            asked=("amend",),
        ),
        VenueReason(codes.R_PRICE_BAND, -4016, "price outside the mark price's multipliers", _CODES, low_code=-4024),
        VenueReason(codes.R_LOT_SIZE, -4005, "quantity outside the filter's limits", _CODES, low_code=-4004),
        VenueReason(codes.R_UNKNOWN_ORDER, -2011, "unknown order sent: it is not open", _CODES),
        VenueReason(codes.R_UNKNOWN_ORDER, -2013, "order does not exist", _CODES, verified=False, asked=("amend",)),
        VenueReason(codes.R_NO_BOOK, None, "no valid recorded book: the simulator cannot know", "simulator"),
        VenueReason(codes.R_NO_LIQUIDITY, None, "EXPIRED: no liquidity", _CODES, verified=False),
        VenueReason(codes.R_MAX_ORDERS, -2025, "reached the maximum of open orders", _CODES),
        VenueReason(codes.R_EXPIRED, None, "EXPIRED", _ORDER_UPDATE),
        VenueReason(codes.R_VENUE, -2010, "new order rejected", _CODES),
        VenueReason(codes.R_NO_CHANGE, -5027, "no need to modify the order", _CODES),
        VenueReason(codes.R_LATENCY, -1008, "overloaded or throttled: request not executed", _CODES, verified=False),
        VenueReason(codes.R_RATE_LIMIT, -1015, "too many new orders", _CODES),
        VenueReason(codes.R_CLIENT_ID, -4015, "client order id is not valid", _CODES),
        VenueReason(codes.R_DUPLICATE_ID, -4116, "client order id is duplicated", _CODES),
        VenueReason(codes.R_TRIGGER, -2021, "order would trigger immediately", _CODES),
        VenueReason(codes.R_MAX_STOPS, -4045, "reached the maximum of stop orders", _CODES),
        VenueReason(codes.R_POSITION_SIDE, -4061, "position side does not match the account's setting", _CODES),
        VenueReason(codes.R_TICK_SIZE, -4014, "price is not on the tick grid", _CODES),
        VenueReason(codes.R_UNSUPPORTED, -1116, "invalid order type", _CODES),
        VenueReason(codes.R_UNSUPPORTED, -4028, "leverage is not valid", _CODES, asked=("leverage",)),
        VenueReason(
            codes.R_UNSUPPORTED,
            -1130,
            "invalid data sent for a parameter",
            _CODES,
            verified=False,
            asked=("margin mode", "margin", "countdown"),
        ),
        VenueReason(codes.R_DEAD_MAN, None, "CANCELED by the countdown", _COUNTDOWN),
        VenueReason(codes.R_MAX_POSITION, -2027, "position above the limit at the present leverage", _CODES),
        VenueReason(codes.R_OPEN_ORDERS, -4047, "margin type cannot change with open orders", _CODES),
        VenueReason(codes.R_OPEN_POSITION, -4048, "margin type cannot change with a position", _CODES),
        VenueReason(
            codes.R_OPEN_POSITION,
            -4161,
            "leverage of an isolated position cannot be reduced",
            _CODES,
            asked=("leverage",),
        ),
        VenueReason(codes.R_SAME_SETTING, -4046, "no need to change the margin type", _CODES),
        VenueReason(codes.R_MULTI_ASSETS, -4168, "isolated margin is impossible in multi-assets mode", _CODES),
        VenueReason(codes.R_IN_LIQUIDATION, -2023, "user is in liquidation", _CODES),
        VenueReason(codes.R_EXPIRY, -5040, "good-till date is less than 600 s away or too late", _CODES),
        VenueReason(codes.R_SIBLING, None, "EXPIRED, er 6: the other order's condition is not met", _ORDER_UPDATE),
        VenueReason(codes.R_HALTED, -4140, "symbol is not open for new positions", _CODES),
        VenueReason(codes.R_MAX_AMENDS, -5026, "too many modifications of this order", _CODES),
        VenueReason(codes.R_NO_POSITION, None, "no position to give margin to", "not documented", verified=False),
        VenueReason(codes.R_MARKET_BAND, -4131, "counterparty's best price violates PERCENT_PRICE", _CODES),
        VenueReason(codes.R_PRICE_RANGE, -4002, "price outside the filter's limits", _CODES, low_code=-4013),
    )
)


# What the wire can say beyond what the simulator does: code to reason. The same code may answer several kinds of
# requests; codes of ``REASONS`` mean what they mean there.
_WIRE: Final = {
    -1111: codes.R_TICK_SIZE,
    -1121: codes.R_UNSUPPORTED,
    -2018: codes.R_MARGIN,
    -2020: codes.R_NO_LIQUIDITY,
    -2026: codes.R_UNSUPPORTED,
    -4003: codes.R_LOT_SIZE,
    -4023: codes.R_LOT_SIZE,
    -4047: codes.R_OPEN_ORDERS,
    -4059: codes.R_SAME_SETTING,
    -4067: codes.R_OPEN_ORDERS,
    -4068: codes.R_OPEN_POSITION,
    -4087: codes.R_HALTED,
    -4118: codes.R_REDUCE_ONLY,
    -4120: codes.R_UNSUPPORTED,
    -4192: codes.R_HALTED,
    -4300: codes.R_LEVERAGE,
    -4400: codes.R_HALTED,
    -4401: codes.R_HALTED,
    -1003: codes.R_RATE_LIMIT,
    -5024: codes.R_HALTED,
    -5025: codes.R_UNSUPPORTED,
}


def _by_code() -> dict[int, int]:
    found = dict(_WIRE)
    for row in reversed(REASONS.rows):  # the first row of a code is its usual meaning
        for code in (row.code, row.low_code):
            if code is not None:
                found[code] = row.reason
    return found


_BY_CODE: Final = _by_code()


def reason_of(code: int) -> int:
    """The reason (``matching.codes`` R_*) of a refusal with this code; R_VENUE for one that is not known."""
    return codes.R_RATE_LIMIT if code in (429, 418) else _BY_CODE.get(code, codes.R_VENUE)


# -- the end of an order, as the wire words it

_EXPIRIES: Final = {
    1: codes.R_STP,
    2: codes.R_IOC_REMAINDER,
    3: codes.R_STP,
    4: codes.R_REDUCE_ONLY,
    5: codes.R_LIQUIDATION,
    6: codes.R_SIBLING,
    7: codes.R_HALTED,
    9: codes.R_MARKET_REMAINDER,
}


def expiry_reason(status: str, expiry: int, order_type: str, tif: str) -> int:
    """Why an order EXPIRED: by ``er`` of the stream; where that is not told (a reply), by what the order was."""
    if expiry in _EXPIRIES and not (tif == "FOK" and _EXPIRIES[expiry] == codes.R_IOC_REMAINDER):
        return _EXPIRIES[expiry]
    if status == "EXPIRED_IN_MATCH":
        return codes.R_STP
    if order_type == "MARKET":
        return codes.R_MARKET_REMAINDER
    if tif == "IOC":
        return codes.R_IOC_REMAINDER
    if tif == "FOK":
        return codes.R_FOK
    return (
        codes.R_POST_ONLY if tif == "GTX" else codes.R_EXPIRED
    )  # nothing else ends a post-only order without a reason


# -- what to do about it, in plain words

CURES: Final = {
    418: "the address is banned for a while: everything waits; send less, look for other programs on this address",
    429: "too many requests: waiting; look for other programs on this address",
    -1008: "the venue is overloaded and has not executed it: order again later",
    -1001: "the venue failed and has not executed it: order again",
    -1013: "the venue finds the request malformed: load its exchangeInfo again, and report it if it stays",
    -1016: "the venue is shutting down for maintenance: look at its notices",
    -1102: "the venue misses a parameter: report it as a defect of perpsim",
    -1106: "the venue takes no such parameter here: report it as a defect of perpsim",
    -1109: "the account is not one of futures, or closed: look at it at the venue",
    -1130: "the venue takes no such value: correct what was set",
    -2010: "the matching engine refused it: the venue's words are all that is known",
    -5039: "the venue takes no such self-trade prevention: order without it",
    -5043: "an amendment of this order is under way: wait for its answer",
    -1003: "too many requests: waiting; look for other programs on this address",
    -1015: "too many orders: send fewer, or ask the venue for more",
    -1021: "the clock's offset was measured again; if it stays, mend this machine's clock or its network",
    -1022: "the signature is wrong: the secret does not belong to this key",
    -1111: "the price or size has more decimals than the venue takes: load its exchangeInfo again",
    -1121: "the venue has no such symbol: correct it in the run file",
    -2014: "the API key has a wrong form: it was not copied whole",
    -2015: "the venue refuses the key: check that it is right, may trade futures, and that its address list has this"
    " machine",
    -2018: "the balance is too small: deposit, or trade less",
    -2019: "the margin is too small: deposit, trade less, or raise the leverage",
    -2027: "the position would be too large at this leverage: lower it, or trade less",
    -2028: "the leverage is too low for the margin: raise it",
    -4003: "the size must be above zero",
    -4004: "the size is too small: see min_lots of the instrument",
    -4005: "the size is too large: see max_lots of the instrument",
    -4014: "the price is off the grid: load the venue's exchangeInfo again (tick_size)",
    -4016: "the price is too far above the mark price",
    -4023: "the size is off the grid: load the venue's exchangeInfo again (lot_size)",
    -4024: "the price is too far below the mark price",
    -4061: "the account's position mode (one-way or hedge) does not fit the order's leg",
    -4164: "the order is too small: see min_notional of the instrument",
    -4188: "the clock's offset was measured again; if it stays, mend this machine's clock or its network",
    -4192: "the account is in a cooling-off period",
    -5028: "the clock's offset was measured again; if it stays, mend this machine's clock or its network",
}


def cure_of(code: int) -> str:
    """What to do about a refusal; "" where there is nothing to say beyond the venue's own words."""
    return CURES.get(code, "")
