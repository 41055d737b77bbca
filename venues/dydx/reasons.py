"""dYdX v4's error codes, and how it words the simulator's reasons.

``DYC`` is github.com/dydxprotocol/v4-chain, folder protocol. A code comes with the check of a transaction by one node
(``CheckTx``); later ends of an order come from the indexer, whose status is ``word`` here.
"""

from __future__ import annotations

from typing import Final

from matching import codes
from venues.errors import CodeTable, Hint, code_table
from venues.rules import SIMULATOR_REASONS, ReasonTable, VenueReason

_CODES: Final = "DYC x/clob/types/errors.go"
_STATUS: Final = "DYD indexer-client"

ERROR_CODES: Final[CodeTable] = code_table(
    "dydx",
    _CODES,
    (
        (2, Hint.QUERY, "order is not in the node's book"),
        (3, Hint.HALT, "invalid side"),
        (4, Hint.HALT, "invalid quantums"),
        (5, Hint.HALT, "invalid good-til block"),
        (6, Hint.HALT, "invalid subticks"),
        (7, Hint.HALT, "order was canceled already"),
        (8, Hint.HALT, "no such order book"),
        (9, Hint.HALT, "a cancel with this or a later good-til block exists"),
        (10, Hint.HALT, "good-til block has passed"),
        (11, Hint.HALT, "good-til block is beyond the short-term window"),
        (12, Hint.HALT, "order message is invalid"),
        (17, Hint.HALT, "too many open orders on this side of the book"),
        (19, Hint.QUERY, "transaction is in the mempool already"),
        (20, Hint.HALT, "replacement needs a later good-til block"),
        (24, Hint.QUERY, "order is filled"),
        (29, Hint.HALT, "invalid cancel of a stateful order"),
        (30, Hint.QUERY, "the same order has been processed already"),
        (32, Hint.RETRY, "account sequence mismatch"),
        (34, Hint.HALT, "order conflicts with the market's status"),
        (42, Hint.HALT, "unexpected time in force"),
        (43, Hint.HALT, "order has remaining size"),
        (45, Hint.HALT, "time in force is not valid for this order"),
        (46, Hint.HALT, "time in force is not valid for this order"),
        (47, Hint.HALT, "time in force is not valid for this order"),
        (48, Hint.HALT, "fill-or-kill is no longer supported"),
        (104, Hint.HALT, "authenticator refused the transaction"),
        (1013, Hint.HALT, "insurance fund cannot cover the liquidation's loss"),
        (2000, Hint.HALT, "fill-or-kill order cannot be filled whole"),
        (2001, Hint.HALT, "reduce-only order would increase the position"),
        (2002, Hint.HALT, "reduce-only order would change the position's side"),
        (2003, Hint.HALT, "post-only order would cross"),
        (2004, Hint.HALT, "immediate order is filled, its rest is canceled"),
        (2005, Hint.HALT, "order would break the rules of isolated subaccounts"),
        (3000, Hint.HALT, "invalid order flags"),
        (3001, Hint.HALT, "invalid good-til time"),
        (3002, Hint.HALT, "stateful orders cannot be immediate"),
        (3003, Hint.HALT, "good-til time has passed"),
        (3004, Hint.HALT, "good-til time is too far ahead"),
        (3005, Hint.HALT, "a stateful order of this id has priority"),
        (3006, Hint.QUERY, "stateful order does not exist"),
        (3007, Hint.HALT, "stateful order is not collateralised"),
        (3008, Hint.HALT, "stateful order was canceled before"),
        (3009, Hint.HALT, "stateful order was removed before"),
        (3010, Hint.QUERY, "stateful order to cancel was removed already"),
        (5001, Hint.RETRY, "block rate limit exceeded"),
        (6000, Hint.HALT, "invalid condition type"),
        (6001, Hint.HALT, "invalid trigger subticks"),
        (6002, Hint.HALT, "conditional order has not triggered"),
        (9003, Hint.HALT, "reduce-only is disabled"),
        (10001, Hint.HALT, "too many stateful orders for the subaccount's equity"),
    ),
)


def _row(reason: int, code: int, text: str, verified: bool = True, low: int | None = None) -> VenueReason:
    return VenueReason(reason, code, text, _CODES, verified, low)


def _word(reason: int, word: str, text: str, verified: bool = True) -> VenueReason:
    return VenueReason(reason, None, text, _STATUS, verified, word=word)


REASONS: Final = ReasonTable(
    (
        _word(codes.R_USER, "CANCELED", "canceled by the user"),
        _word(codes.R_FILLED, "FILLED", "filled"),
        _row(codes.R_POST_ONLY, 2003, "post-only order would cross"),
        _word(codes.R_IOC_REMAINDER, "BEST_EFFORT_CANCELED", "rest of an immediate order"),
        _row(codes.R_FOK, 2000, "fill-or-kill order cannot be filled whole"),
        _word(codes.R_MARKET_REMAINDER, "BEST_EFFORT_CANCELED", "rest of an immediate order"),
        _row(codes.R_REDUCE_ONLY, 2001, "reduce-only order would increase the position or change its side", low=2002),
        _word(codes.R_STP, "BEST_EFFORT_CANCELED", "removed: would trade with itself"),
        _word(codes.R_LIQUIDATION, "BEST_EFFORT_CANCELED", "removed: subaccount is not collateralised", verified=False),
        _word(codes.R_MARGIN, "BEST_EFFORT_CANCELED", "removed: subaccount is not collateralised", verified=False),
        _word(codes.R_LEVERAGE, "BEST_EFFORT_CANCELED", "removed: subaccount is not collateralised", verified=False),
        _row(codes.R_LOT_SIZE, 4, "invalid quantums"),
        _row(codes.R_UNKNOWN_ORDER, 2, "order is not in the node's book"),
        _row(codes.R_MAX_ORDERS, 10001, "too many stateful orders for the subaccount's equity"),
        _row(codes.R_MAX_STOPS, 10001, "too many stateful orders for the subaccount's equity"),
        _row(codes.R_EXPIRED, 10, "good-til block has passed"),
        _row(codes.R_EXPIRY, 11, "good-til block is beyond the short-term window", low=10),
        _row(codes.R_NO_CHANGE, 20, "replacement needs a later good-til block", verified=False),
        _row(codes.R_RATE_LIMIT, 5001, "block rate limit exceeded"),
        _row(codes.R_DUPLICATE_ID, 20, "replacement needs a later good-til block"),
        _row(codes.R_CLIENT_ID, 12, "order message is invalid", verified=False),
        _row(codes.R_TRIGGER, 6001, "invalid trigger subticks"),
        _row(codes.R_TICK_SIZE, 6, "invalid subticks"),
        _row(codes.R_UNSUPPORTED, 42, "unexpected time in force"),
        _row(codes.R_HALTED, 34, "order conflicts with the market's status"),
        _row(codes.R_VENUE, 12, "order message is invalid", verified=False),
        _word(codes.R_NO_LIQUIDITY, "BEST_EFFORT_CANCELED", "rest of an immediate order", verified=False),
        _row(codes.R_PRICE_RANGE, 6, "invalid subticks"),
        _row(codes.R_POSITION_SIDE, 12, "order message is invalid: positions have no sides", verified=False),
        _row(codes.R_NO_POSITION, 12, "order message is invalid: no position", verified=False),
        *SIMULATOR_REASONS,
    )
)
