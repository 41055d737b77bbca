"""How Hyperliquid words the simulator's reasons: order statuses and error texts, no numbers.

``HL/err`` and ``HL/info`` are pages of hyperliquid.gitbook.io/hyperliquid-docs, ``nktkas`` is
github.com/nktkas/hyperliquid at db80d59.
"""

from __future__ import annotations

from typing import Final

from matching import codes
from venues.errors import CodeTable
from venues.rules import SIMULATOR_REASONS, ReasonTable, VenueReason

_STATUS: Final = "HL/info; nktkas"
_TEXT: Final = "HL/err"

# Every order status that is documented, in the order of its documentation.
STATUSES: Final = (
    "open", "filled", "canceled", "triggered", "rejected", "marginCanceled", "vaultWithdrawalCanceled",
    "openInterestCapCanceled", "selfTradeCanceled", "reduceOnlyCanceled", "siblingFilledCanceled", "delistedCanceled",
    "liquidatedCanceled", "outcomeSettledCanceled", "scheduledCancel", "internalCancel", "tickRejected",
    "minTradeNtlRejected", "perpMarginRejected", "reduceOnlyRejected", "badAloPxRejected", "iocCancelRejected",
    "badTriggerPxRejected", "marketOrderNoLiquidityRejected", "positionIncreaseAtOpenInterestCapRejected",
    "positionFlipAtOpenInterestCapRejected", "tooAggressiveAtOpenInterestCapRejected", "openInterestIncreaseRejected",
    "insufficientSpotBalanceRejected", "oracleRejected", "perpMaxPositionRejected", "tooManyOpenOrdersRejected",
)  # fmt: skip

ERROR_CODES: Final = CodeTable("hyperliquid", "HL/err: errors are texts, without numbers", ())


def _row(reason: int, word: str, text: str = "", source: str = _STATUS, verified: bool = True) -> VenueReason:
    return VenueReason(reason, None, text or word, source if not text else _TEXT, verified, word=word)


def _refused(reason: int, text: str) -> VenueReason:
    """A refusal of which the documents have neither status nor text."""
    return VenueReason(reason, None, text, "the venue's words are not documented", verified=False, word="rejected")


REASONS: Final = ReasonTable(
    (
        _row(codes.R_USER, "canceled"),
        _row(codes.R_FILLED, "filled"),
        _row(
            codes.R_POST_ONLY,
            "badAloPxRejected",
            "Post only order would have immediately matched.",  # the venue adds the best bid and ask
        ),
        _row(
            codes.R_IOC_REMAINDER,
            "iocCancelRejected",
            "Order could not immediately match against any resting orders.",
        ),
        _row(codes.R_REDUCE_ONLY, "reduceOnlyRejected", "Reduce only order would increase position."),
        _row(codes.R_STP, "selfTradeCanceled"),
        _row(codes.R_LIQUIDATION, "liquidatedCanceled"),
        _row(codes.R_MARGIN, "perpMarginRejected", "Insufficient margin to place order."),
        _row(codes.R_LEVERAGE, "perpMaxPositionRejected", verified=False),
        _row(codes.R_MIN_NOTIONAL, "minTradeNtlRejected", "Order must have minimum value of $10."),
        _row(codes.R_PRICE_BAND, "oracleRejected", "Order price too far from oracle"),
        _row(codes.R_UNKNOWN_ORDER, "", "Order was never placed, already canceled, or filled."),
        _row(codes.R_NO_LIQUIDITY, "marketOrderNoLiquidityRejected"),
        _row(codes.R_MARKET_REMAINDER, "canceled", verified=False, source="the rest of an IOC order"),
        _row(codes.R_MAX_ORDERS, "tooManyOpenOrdersRejected"),
        _row(codes.R_MAX_STOPS, "tooManyOpenOrdersRejected"),
        _row(codes.R_TRIGGER, "badTriggerPxRejected", "Invalid TP/SL price."),
        _row(codes.R_TICK_SIZE, "tickRejected", "Price must be divisible by tick size."),
        _row(codes.R_DEAD_MAN, "scheduledCancel"),
        _row(codes.R_MAX_POSITION, "perpMaxPositionRejected"),
        _row(codes.R_OPEN_INTEREST, "openInterestIncreaseRejected"),
        _row(codes.R_SIBLING, "siblingFilledCanceled"),
        _row(codes.R_HALTED, "delistedCanceled"),
        _row(codes.R_VENUE, "rejected"),
        _refused(codes.R_LOT_SIZE, "size outside the coin's decimals"),
        _refused(codes.R_PRICE_RANGE, "price is none"),
        _refused(codes.R_UNSUPPORTED, "no such kind of order or setting"),
        _refused(codes.R_POSITION_SIDE, "positions have no sides"),
        _refused(codes.R_CLIENT_ID, "cloid is not valid"),
        _refused(codes.R_DUPLICATE_ID, "cloid is used by an open order"),
        _refused(codes.R_RATE_LIMIT, "the address has used its requests up"),
        _refused(codes.R_MAX_VALUE, "value above the maximum at the coin's leverage"),
        _refused(codes.R_NO_CHANGE, "nothing is modified"),
        _refused(codes.R_EXPIRY, "scheduleCancel is less than 5 s ahead"),
        _refused(codes.R_OPEN_POSITION, "margin mode cannot change with a position"),
        _refused(codes.R_NO_POSITION, "no position to give margin to"),
        *SIMULATOR_REASONS,
    )
)
