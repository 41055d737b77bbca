"""OKX's error codes, and how it words the simulator's reasons.

``OKX#`` is https://www.okx.com/docs-v5/en/#. A request is only acknowledged; what closes an order comes on the orders
channel as ``cancelSource``, whose number is in ``word`` here.
"""

from __future__ import annotations

from typing import Final

from matching import codes
from venues.errors import CodeTable, Hint, code_table
from venues.rules import SIMULATOR_REASONS, ReasonTable, VenueReason

_CODES: Final = "OKX#error-code-rest-api-public"
_ORDERS: Final = "OKX#order-book-trading-trade-ws-order-channel"

ERROR_CODES: Final[CodeTable] = code_table(
    "okx",
    _CODES,
    (
        (4001, Hint.HALT, "websocket closed: login failed"),
        (4004, Hint.RETRY, "websocket closed: no data in 30 s"),
        (4005, Hint.RETRY, "websocket closed: buffer is full"),
        (4008, Hint.HALT, "websocket closed: too many channels"),
        (4009, Hint.HALT, "websocket closed: too many connections"),
        (50001, Hint.RETRY, "service temporarily unavailable"),
        (50004, Hint.QUERY, "endpoint timeout: execution status unknown"),
        (50011, Hint.RETRY, "requests too frequent"),
        (50013, Hint.RETRY, "systems are busy"),
        (50017, Hint.RETRY, "position frozen by auto-deleveraging"),
        (50018, Hint.RETRY, "currency frozen by auto-deleveraging"),
        (50019, Hint.RETRY, "account frozen by auto-deleveraging"),
        (50020, Hint.RETRY, "position frozen by liquidation"),
        (50021, Hint.RETRY, "currency frozen by liquidation"),
        (50022, Hint.RETRY, "account frozen by liquidation"),
        (50026, Hint.RETRY, "system error"),
        (50036, Hint.HALT, "expTime is earlier than the present"),
        (50037, Hint.HALT, "the order expired by expTime"),
        (50061, Hint.RETRY, "order rate of the sub-account exceeded"),
        (50102, Hint.RETRY, "timestamp more than 30 s from the server's"),
        (50113, Hint.HALT, "invalid signature"),
        (51000, Hint.HALT, "parameter error"),
        (51008, Hint.HALT, "insufficient margin"),
        (51016, Hint.QUERY, "client order id is duplicated"),
        (51020, Hint.HALT, "order amount below the minimum"),
        (51023, Hint.HALT, "position does not exist"),
        (51025, Hint.HALT, "too many orders"),
        (51030, Hint.RETRY, "funding fee is being settled"),
        (51054, Hint.QUERY, "request timed out: execution status unknown"),
        (51071, Hint.HALT, "too many tags with a cancel-all-after timer"),
        (51101, Hint.HALT, "size above the maximum of a limit order"),
        (51102, Hint.HALT, "too many pending orders"),
        (51121, Hint.HALT, "size is no multiple of the lot"),
        (51137, Hint.HALT, "buy price above the price limit"),
        (51138, Hint.HALT, "sell price below the price limit"),
        (51149, Hint.QUERY, "order timed out: execution status unknown"),
        (51169, Hint.HALT, "reduce-only order without a position to reduce"),
        (51170, Hint.HALT, "reduce-only order of the wrong side or above the position"),
        (51174, Hint.HALT, "pending orders at the limit of the symbol"),
        (51201, Hint.HALT, "value above the maximum of a market order"),
        (51202, Hint.HALT, "size above the maximum of a market order"),
        (51400, Hint.QUERY, "cancel failed: order is filled, canceled or unknown"),
        (51410, Hint.QUERY, "cancel failed: order is being canceled"),
        (51503, Hint.QUERY, "amend failed: order is filled or canceled"),
        (51511, Hint.HALT, "amend failed: post-only condition not met"),
        (51513, Hint.RETRY, "too many amendments of this order in progress"),
        (51603, Hint.QUERY, "order does not exist"),
        (54012, Hint.HALT, "book too thin: only cancels and post-only orders"),
        (54031, Hint.HALT, "open interest limit reached"),
        (54036, Hint.HALT, "cancel_both cannot go with FOK"),
        (60005, Hint.HALT, "invalid API key"),
        (60006, Hint.RETRY, "timestamp expired"),
        (60007, Hint.HALT, "invalid signature"),
        (60009, Hint.HALT, "login failed"),
        (60024, Hint.HALT, "wrong passphrase"),
        (64003, Hint.HALT, "channel needs a higher fee tier"),
        (64004, Hint.HALT, "two book channels that exclude each other"),
        (64008, Hint.RETRY, "connection will close for an upgrade"),
    ),
)


def _row(
    reason: int, code: int, text: str, verified: bool = True, low: int | None = None, asked: str = ""
) -> VenueReason:
    return VenueReason(reason, code, text, _CODES, verified, low, asked=(asked,) if asked else ())


def _source(reason: int, number: int, text: str, verified: bool = True) -> VenueReason:
    return VenueReason(reason, None, text, _ORDERS, verified, word=f"cancelSource {number}")


REASONS: Final = ReasonTable(
    (
        _source(codes.R_USER, 1, "canceled by the user"),
        VenueReason(codes.R_FILLED, None, "filled", _ORDERS, word="filled"),
        _source(codes.R_POST_ONLY, 31, "canceled: post-only order would take"),
        _source(codes.R_IOC_REMAINDER, 14, "canceled: remainder of an IOC order"),
        _source(codes.R_FOK, 13, "canceled: FOK order cannot be filled whole"),
        _source(codes.R_MARKET_REMAINDER, 33, "canceled: remainder after the most matches", verified=False),
        _row(codes.R_REDUCE_ONLY, 51170, "reduce-only order of the wrong side or above the position", low=51169),
        _source(codes.R_STP, 32, "canceled: self-trade prevention"),
        _source(codes.R_LIQUIDATION, 3, "canceled: risk control", verified=False),
        _source(codes.R_ADL, 6, "canceled: auto-deleveraging"),
        _row(codes.R_POST_ONLY, 51511, "amend failed: post-only condition not met", asked="amend"),
        _row(codes.R_MARGIN, 51008, "insufficient margin"),
        _row(codes.R_LEVERAGE, 51008, "insufficient margin at the tier's leverage", verified=False),
        _row(codes.R_PRICE_BAND, 51137, "price outside the price limit", low=51138),
        _row(codes.R_LOT_SIZE, 51101, "size outside the instrument's limits", low=51020),
        _row(codes.R_UNKNOWN_ORDER, 51400, "cancel failed: order is filled, canceled or unknown"),
        _row(codes.R_UNKNOWN_ORDER, 51503, "amend failed: order is filled or canceled", asked="amend"),
        _row(codes.R_NO_LIQUIDITY, 54012, "book too thin: only cancels and post-only orders", verified=False),
        _row(codes.R_MAX_ORDERS, 51174, "pending orders at the limit of the symbol"),
        _row(codes.R_RATE_LIMIT, 50011, "requests too frequent"),
        _row(codes.R_CLIENT_ID, 51000, "parameter error: clOrdId"),
        _row(codes.R_DUPLICATE_ID, 51016, "client order id is duplicated"),
        _row(codes.R_TRIGGER, 51000, "parameter error: trigger price", verified=False),
        _row(codes.R_MAX_STOPS, 51025, "too many orders"),
        _row(codes.R_POSITION_SIDE, 51000, "parameter error: posSide", verified=False),
        _row(codes.R_TICK_SIZE, 51000, "parameter error: px", verified=False),
        _row(codes.R_UNSUPPORTED, 51000, "parameter error: ordType"),
        _source(codes.R_DEAD_MAN, 20, "canceled by cancel-all-after"),
        _row(codes.R_MAX_VALUE, 51101, "size above the maximum of a limit order", verified=False),
        _row(codes.R_MIN_NOTIONAL, 51020, "order amount below the minimum", verified=False),
        _row(codes.R_NO_CHANGE, 51000, "parameter error: newSz, newPx", verified=False),
        _row(codes.R_PRICE_RANGE, 51000, "parameter error: px", verified=False),
        _row(codes.R_EXPIRY, 51000, "parameter error: timeOut", verified=False),
        _row(codes.R_NO_POSITION, 51023, "position does not exist"),
        _row(codes.R_IN_LIQUIDATION, 50020, "position frozen by liquidation"),
        _row(codes.R_OPEN_INTEREST, 54031, "open interest limit reached"),
        _row(codes.R_EXPIRED, 50037, "the order expired by expTime"),
        _row(codes.R_SETTLING, 51030, "funding fee is being settled"),
        _row(codes.R_HALTED, 50001, "service temporarily unavailable"),
        _source(codes.R_VENUE, 0, "canceled by the system"),
        *SIMULATOR_REASONS,
    )
)
