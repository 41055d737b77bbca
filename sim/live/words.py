"""A venue's own words in live: the codes and texts that it really sent, in place of those that its rule card lists."""

from __future__ import annotations

from typing import Any, Final

import numpy.typing as npt

from matching import codes
from sim.venue_face import Columns, VenueFace

TOLD_MAX: Final = 65_536
CURES: Final = {
    codes.R_MARGIN: "the account has too little margin: deposit, or order less",
    codes.R_LEVERAGE: "the leverage does not carry this position: lower it or the size",
    codes.R_LOT_SIZE: "the size is off the instrument's steps or limits (perpsim venue show)",
    codes.R_TICK_SIZE: "the price is off the instrument's grid (perpsim venue show)",
    codes.R_PRICE_BAND: "the price is too far from the mark",
    codes.R_MIN_NOTIONAL: "the order is worth too little: order more",
    codes.R_RATE_LIMIT: "too many requests: order less often, set [risk] max_orders_per_s, or let orders wait longer"
    " ([live] max_wait)",
    codes.R_DUPLICATE_ID: "the client id is taken: let the connector make ids",
    codes.R_POST_ONLY: "at this price it would have taken: quote farther from the touch, or without post-only",
    codes.R_FOK: "the book had too little at this price: order less, at another price, or IOC",
    codes.R_REDUCE_ONLY: "there is no position, or too little of it, for this to reduce (open orders count)",
    codes.R_TRIGGER: "the trigger is on the wrong side of the price: it would fire at once",
    codes.R_NO_LIQUIDITY: "nothing was there to trade with: order later, or with a limit price",
    codes.R_NO_BOOK: "no best prices are known: order later, or with a limit price",
    codes.R_MAX_ORDERS: "too many orders are open: cancel some, or set [risk] max_open_orders",
    codes.R_MAX_STOPS: "too many conditional orders are open: cancel some",
    codes.R_PRICE_RANGE: "the price is outside the instrument's limits (perpsim venue show)",
    codes.R_MARKET_BAND: "the book is too far from the mark for a market order: order with a limit price",
    codes.R_CLIENT_ID: "the venue takes no client id of this form: let the connector make ids",
    codes.R_SAME_SETTING: "it is set so already",
    codes.R_OPEN_ORDERS: "cancel the open orders first",
    codes.R_OPEN_POSITION: "close the position first",
    codes.R_MULTI_ASSETS: "leave multi-assets mode at the venue, or stay with cross margin",
    codes.R_HALTED: "the venue takes no orders, or only reducing ones, for now: look at its notices and the account",
    codes.R_IN_LIQUIDATION: "the account is being liquidated: wait until that is over",
    codes.R_MAX_AMENDS: "it was amended too often: cancel it and order anew",
    codes.R_NO_CHANGE: "it has this price and size already",
    codes.R_EXPIRY: "choose a later expiry",
    codes.R_UNSUPPORTED: "the venue does not take this kind of order or setting (docs/live.md)",
    codes.R_MAX_POSITION: "the position would be too large: order less",
    codes.R_OPEN_INTEREST: "the venue's cap of open interest is reached: only orders that reduce are taken",
    codes.R_MAX_VALUE: "the order is worth too much: order less",
    codes.R_POSITION_SIDE: "the account's position mode (one-way or hedge) does not fit the order's leg",
    codes.R_LATENCY: "the venue is overloaded and has not executed it: order again later",
    codes.R_NO_POSITION: "there is no position to give margin to",
    codes.R_SETTLING: "the instrument is being settled: trade another",
    codes.R_UNKNOWN_ORDER: "it is not open any more: its end arrives as an event of its own",
}


class Words(VenueFace):
    """What a venue said to single orders goes into the order log before what its card lists for the reason."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._told: dict[tuple[int, int, int], tuple[int, str]] = {}  # instrument, order number, event

    def tell(self, instrument: int, order_no: int, event: int, code: int, text: str) -> None:
        """What was said to a request about an order."""
        self._told[instrument, order_no, event] = (code, text)
        if len(self._told) > TOLD_MAX:
            del self._told[next(iter(self._told))]

    def columns(self, rows: Columns) -> dict[str, npt.NDArray[Any]]:
        """As ``VenueFace.columns``, with what was really said where something was."""
        found = super().columns(rows)
        if self._told:
            keys = zip(rows["market"].tolist(), rows["order_no"].tolist(), rows["event"].tolist(), strict=True)
            for at, key in enumerate(keys):
                told = self._told.pop(key, None)
                if told is not None:
                    found["venue_code"][at], found["venue_text"][at] = told
        return found


def left_over(one: dict[str, Any]) -> str:
    """What to look for at the venue, of an order that has no end when the run has."""
    what = f"{one['instrument']}: order {one['number']} ({one['side']} {one['size']} at {one['price']})"
    where = f"look for client id {one['client_id']} among the open orders"
    if one["unknown"]:
        return f"{what}: asked again, and still nobody knows whether it reached the venue: {where} and in the history"
    if not one["answered"]:
        return f"{what}: the session ended before the venue had answered, it may never have left: {where}"
    return f"{what}: the venue has not said that it is over: {where}, and cancel it there"


def cure(reason: int) -> str:
    """What a person can do about a refusal; "" where the venue's words are all that is known."""
    return CURES.get(reason, "")
