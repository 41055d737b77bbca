"""Deribit's error codes, and how it words the simulator's reasons.

``DRB`` is https://docs.deribit.com, ``NT`` github.com/nautechsystems/nautilus_trader at a95c804 (deribit
common/consts.rs). An order that ends without an error says why in ``cancel_reason``, which is ``word`` here.
"""

from __future__ import annotations

from typing import Final

from matching import codes
from venues.errors import CodeTable, Hint, code_table
from venues.rules import SIMULATOR_REASONS, ReasonTable, VenueReason

_CODES: Final = "NT deribit common/consts.rs; DRB"
_STATES: Final = "DRB, order states and cancel reasons"

ERROR_CODES: Final[CodeTable] = code_table(
    "deribit",
    _CODES,
    (
        (10004, Hint.QUERY, "order not found"),
        (10009, Hint.HALT, "not enough funds"),
        (10020, Hint.HALT, "invalid or unsupported instrument"),
        (10028, Hint.RETRY, "too many requests"),
        (10040, Hint.RETRY, "try again"),
        (10041, Hint.RETRY, "settlement in progress"),
        (10047, Hint.RETRY, "matching engine's queue is full"),
        (10066, Hint.RETRY, "too many concurrent requests"),
        (11029, Hint.HALT, "invalid arguments"),
        (11050, Hint.HALT, "bad request"),
        (11051, Hint.RETRY, "system under maintenance"),
        (11054, Hint.HALT, "post-only order would take and is rejected"),
        (13004, Hint.HALT, "invalid credentials"),
        (13009, Hint.HALT, "unauthorised: wrong or expired token"),
        (13021, Hint.HALT, "forbidden"),
        (13028, Hint.RETRY, "temporarily unavailable"),
        (13888, Hint.QUERY, "request timed out: execution status unknown"),
    ),
)


def _row(reason: int, code: int, text: str, verified: bool = True) -> VenueReason:
    return VenueReason(reason, code, text, _CODES, verified)


def _word(reason: int, word: str, text: str, verified: bool = True) -> VenueReason:
    return VenueReason(reason, None, text, _STATES, verified, word=word)


REASONS: Final = ReasonTable(
    (
        _word(codes.R_USER, "user_request", "cancelled by the user"),
        _word(codes.R_FILLED, "filled", "filled"),
        _row(codes.R_POST_ONLY, 11054, "post-only order would take and is rejected"),
        _word(codes.R_IOC_REMAINDER, "cancelled", "rest of an immediate order", verified=False),
        _word(codes.R_FOK, "cancelled", "fill-or-kill order cannot be filled whole", verified=False),
        _word(codes.R_MARKET_REMAINDER, "cancelled", "rest of a market order", verified=False),
        _row(codes.R_REDUCE_ONLY, 11029, "invalid arguments: reduce_only", verified=False),
        _word(codes.R_STP, "rejected", "self-trade prevention", verified=False),
        _word(codes.R_LIQUIDATION, "autoliquidation", "cancelled by liquidation"),
        _row(codes.R_MARGIN, 10009, "not enough funds"),
        _row(codes.R_LEVERAGE, 10009, "not enough funds", verified=False),
        _row(codes.R_PRICE_BAND, 11029, "invalid arguments: price outside the band", verified=False),
        _row(codes.R_LOT_SIZE, 11029, "invalid arguments: amount", verified=False),
        _row(codes.R_UNKNOWN_ORDER, 10004, "order not found"),
        _row(codes.R_NO_LIQUIDITY, 10040, "try again", verified=False),
        _row(codes.R_RATE_LIMIT, 10028, "too many requests"),
        _row(codes.R_CLIENT_ID, 11029, "invalid arguments: label", verified=False),
        _row(codes.R_TRIGGER, 11029, "invalid arguments: trigger price", verified=False),
        _row(codes.R_TICK_SIZE, 11029, "invalid arguments: price", verified=False),
        _row(codes.R_UNSUPPORTED, 11029, "invalid arguments"),
        _word(codes.R_DEAD_MAN, "cancel_on_disconnect", "cancelled: connection lost"),
        _word(codes.R_IN_LIQUIDATION, "position_locked", "position is locked"),
        _word(codes.R_EXPIRED, "settlement", "cancelled at the end of the day", verified=False),
        _word(codes.R_SIBLING, "oco_other_closed", "cancelled: the other order is closed"),
        _row(codes.R_SETTLING, 10041, "settlement in progress"),
        _row(codes.R_HALTED, 11051, "system under maintenance"),
        _word(codes.R_VENUE, "risk_mitigation", "cancelled by risk control"),
        _row(codes.R_PRICE_RANGE, 11029, "invalid arguments: price", verified=False),
        _row(codes.R_NO_CHANGE, 11029, "invalid arguments: nothing is edited", verified=False),
        _row(codes.R_POSITION_SIDE, 11029, "invalid arguments: positions have no sides", verified=False),
        _row(codes.R_EXPIRY, 11029, "invalid arguments: good_til_day ends at 08:00 UTC", verified=False),
        _row(codes.R_NO_POSITION, 11029, "invalid arguments: no position", verified=False),
        *SIMULATOR_REASONS,
    )
)
