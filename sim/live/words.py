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
    codes.R_RATE_LIMIT: "too many requests: order less often, or lower [risk] max_orders_per_s",
    codes.R_DUPLICATE_ID: "the client id is taken: let the connector make ids",
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
    return f"{what}: the venue has not said that it is over: {where}, and cancel it there"


def cure(reason: int) -> str:
    """What a person can do about a refusal, to be put behind it."""
    found = CURES.get(reason)
    return "" if found is None else f"; {found}"
