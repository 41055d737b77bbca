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


# -- the other way round: what the venue's words mean

STATUS_REASONS: Final = {
    "filled": codes.R_FILLED,
    "canceled": codes.R_USER,
    "marginCanceled": codes.R_MARGIN,
    "vaultWithdrawalCanceled": codes.R_VENUE,
    "openInterestCapCanceled": codes.R_OPEN_INTEREST,
    "selfTradeCanceled": codes.R_STP,
    "reduceOnlyCanceled": codes.R_REDUCE_ONLY,
    "siblingFilledCanceled": codes.R_SIBLING,
    "delistedCanceled": codes.R_HALTED,
    "liquidatedCanceled": codes.R_LIQUIDATION,
    "outcomeSettledCanceled": codes.R_SETTLING,
    "scheduledCancel": codes.R_DEAD_MAN,
    "internalCancel": codes.R_VENUE,
    "rejected": codes.R_VENUE,
    "tickRejected": codes.R_TICK_SIZE,
    "minTradeNtlRejected": codes.R_MIN_NOTIONAL,
    "perpMarginRejected": codes.R_MARGIN,
    "reduceOnlyRejected": codes.R_REDUCE_ONLY,
    "badAloPxRejected": codes.R_POST_ONLY,
    "iocCancelRejected": codes.R_IOC_REMAINDER,
    "badTriggerPxRejected": codes.R_TRIGGER,
    "marketOrderNoLiquidityRejected": codes.R_NO_LIQUIDITY,
    "positionIncreaseAtOpenInterestCapRejected": codes.R_OPEN_INTEREST,
    "positionFlipAtOpenInterestCapRejected": codes.R_OPEN_INTEREST,
    "tooAggressiveAtOpenInterestCapRejected": codes.R_OPEN_INTEREST,
    "openInterestIncreaseRejected": codes.R_OPEN_INTEREST,
    "insufficientSpotBalanceRejected": codes.R_MARGIN,
    "oracleRejected": codes.R_PRICE_BAND,
    "perpMaxPositionRejected": codes.R_MAX_POSITION,
    "tooManyOpenOrdersRejected": codes.R_MAX_ORDERS,
}

# A part of the text, in lower case, and its reason. Documented texts come first; the others were seen in answers that
# users of the venue have published (github.com: ccxt/ccxt, issues of hyperliquid-dex/hyperliquid-python-sdk).
_TEXTS: Final = (
    ("divisible by tick size", codes.R_TICK_SIZE),
    ("minimum value of", codes.R_MIN_NOTIONAL),
    ("insufficient margin", codes.R_MARGIN),
    ("reduce only order would increase position", codes.R_REDUCE_ONLY),
    ("post only order would have immediately matched", codes.R_POST_ONLY),
    ("could not immediately match", codes.R_IOC_REMAINDER),
    ("invalid tp/sl price", codes.R_TRIGGER),
    ("no liquidity available for market order", codes.R_NO_LIQUIDITY),
    ("price too far from oracle", codes.R_PRICE_BAND),
    ("away from the reference price", codes.R_PRICE_BAND),
    ("never placed, already canceled, or filled", codes.R_UNKNOWN_ORDER),
    ("cannot modify canceled or filled order", codes.R_UNKNOWN_ORDER),
    ("too many cumulative requests", codes.R_RATE_LIMIT),
    ("too many requests", codes.R_RATE_LIMIT),
    ("invalid price", codes.R_TICK_SIZE),
    ("zero size", codes.R_LOT_SIZE),
    ("invalid size", codes.R_LOT_SIZE),
    ("open interest", codes.R_OPEN_INTEREST),
    ("too many open orders", codes.R_MAX_ORDERS),
    ("maximum position", codes.R_MAX_POSITION),
    ("only post-only orders allowed", codes.R_HALTED),
    ("trading is halted", codes.R_HALTED),
)
_WALLET: Final = ("api wallet", "must deposit before performing actions", "unable to recover signer")
_CLOCK: Final = ("nonce too low", "nonce too high", "nonce value is lower", "already expired", "invalid nonce")
_LIMITS: Final = ("too many cumulative requests", "too many requests")


def reason_of_status(status: str) -> int:
    """The reason of an order status; of one that is not documented R_VENUE."""
    return STATUS_REASONS.get(status, codes.R_VENUE)


def reason_of_text(text: str) -> int:
    """The reason of an error text; R_VENUE where it is none that is known."""
    found = text.lower()
    for part, reason in _TEXTS:
        if part in found:
            return reason
    for row in REASONS.rows:
        if row.text and found.startswith(row.text.lower().rstrip(".")):
            return row.reason
    return codes.R_VENUE


def is_wallet_error(text: str) -> bool:
    """Whether the venue knows nobody who could have signed this."""
    return any(part in text.lower() for part in _WALLET)


def is_clock_error(text: str) -> bool:
    """Whether the venue finds the nonce or the expiry outside its time."""
    return any(part in text.lower() for part in _CLOCK)


def is_limit_error(text: str) -> bool:
    """Whether the address, or this machine, has asked too often."""
    return any(part in text.lower() for part in _LIMITS)
