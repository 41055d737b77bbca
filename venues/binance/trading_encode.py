"""Commands as Binance's parameters: decimal strings from ticks and lots, without floats.

A conditional order goes to the algo service (since 2025-12-09), everything else to the order endpoints. What the venue
has no word for is ``Unsupported``, which the session makes a refusal of.

Sources: developers.binance.com, derivatives, usds-margined-futures: trade (rest-api and websocket-api).
"""

from __future__ import annotations

from typing import Final

from matching import codes
from matching.triggers import Trigger
from venues.instruments import Instrument
from venues.orders import AmendRequest, OrderRequest
from venues.trading_orders import Track

Parameters = dict[str, str]
SIDES: Final = {codes.BUY: "BUY", codes.SELL: "SELL"}
TIFS: Final = {codes.GTC: "GTC", codes.IOC: "IOC", codes.FOK: "FOK", codes.GTX: "GTX", codes.GTD: "GTD"}
LEG_NAMES: Final = {codes.FLAG_LONG_LEG: "LONG", codes.FLAG_SHORT_LEG: "SHORT"}
STP_NAMES: Final = {
    codes.STP_NONE: "NONE",
    codes.STP_CANCEL_TAKER: "EXPIRE_TAKER",
    codes.STP_CANCEL_MAKER: "EXPIRE_MAKER",
    codes.STP_CANCEL_BOTH: "EXPIRE_BOTH",
}
_WATCHES: Final = {codes.WATCH_LAST: "CONTRACT_PRICE", codes.WATCH_MARK: "MARK_PRICE"}
_CONDITIONAL: Final = {
    (codes.TRIGGER_STOP, codes.LIMIT): "STOP",
    (codes.TRIGGER_STOP, codes.MARKET): "STOP_MARKET",
    (codes.TRIGGER_TAKE_PROFIT, codes.LIMIT): "TAKE_PROFIT",
    (codes.TRIGGER_TAKE_PROFIT, codes.MARKET): "TAKE_PROFIT_MARKET",
    (codes.TRIGGER_TRAILING, codes.MARKET): "TRAILING_STOP_MARKET",
}


class Unsupported(ValueError):  # noqa: N818  # what it is, not that it went wrong
    """The venue has no such order."""


def new_order(instrument: Instrument, request: OrderRequest, client_id: str) -> Parameters:
    """A plain order, for ``order.place`` and ``POST order``."""
    found = {"symbol": instrument.symbol, "side": SIDES[request.side], "newClientOrderId": client_id}
    if request.type == codes.MARKET:
        found["type"] = "MARKET"
    else:
        found["type"] = "LIMIT"
        found["timeInForce"] = TIFS[request.tif]
        found["price"] = instrument.price_str(request.ticks)
        if request.expires_ns:
            found["goodTillDate"] = str(request.expires_ns // 1_000_000)
    if request.close_position:
        raise Unsupported("close_position belongs to conditional orders")
    found["quantity"] = instrument.size_str(request.lots)
    _flags(found, request)
    return found


def conditional_order(instrument: Instrument, request: OrderRequest, trigger: Trigger, client_id: str) -> Parameters:
    """An order with a trigger, for ``algoOrder.place`` and ``POST algoOrder``."""
    kind = _CONDITIONAL.get((trigger.kind, request.type))
    if kind is None:
        raise Unsupported("trailing stops are market orders only")
    if trigger.offset_ticks:
        raise Unsupported("trailing stops have a callback rate here, no offset")
    found = {
        "algoType": "CONDITIONAL",
        "symbol": instrument.symbol,
        "side": SIDES[request.side],
        "type": kind,
        "clientAlgoId": client_id,
    }
    if trigger.kind == codes.TRIGGER_TRAILING:
        found["callbackRate"] = percent(trigger.callback_e12)
        if trigger.ticks:
            found["activatePrice"] = instrument.price_str(trigger.ticks)
    else:
        found["triggerPrice"] = instrument.price_str(trigger.ticks)
    if trigger.watch:
        if trigger.watch not in _WATCHES:
            raise Unsupported("triggers watch the last trade or the mark price here")
        found["workingType"] = _WATCHES[trigger.watch]
    if trigger.protect:
        found["priceProtect"] = "TRUE"
    if request.type == codes.LIMIT:
        found["timeInForce"] = TIFS[request.tif]
        found["price"] = instrument.price_str(request.ticks)
        if request.expires_ns:
            found["goodTillDate"] = str(request.expires_ns // 1_000_000)
    if request.close_position:
        found["closePosition"] = "true"
    else:
        found["quantity"] = instrument.size_str(request.lots)
    _flags(found, request)
    return found


def _flags(found: Parameters, request: OrderRequest) -> None:
    if request.leg:
        found["positionSide"] = LEG_NAMES[request.leg]
    if request.reduce_only:
        found["reduceOnly"] = "true"
    if request.stp is not None:
        if request.stp not in STP_NAMES:
            raise Unsupported("no such self-trade prevention here")
        found["selfTradePreventionMode"] = STP_NAMES[request.stp]


def amended_order(instrument: Instrument, track: Track, request: AmendRequest) -> Parameters:
    """For ``order.modify`` and ``PUT order``; the size is the new total."""
    return {
        **order_id(instrument, track),
        "side": SIDES[track.side],
        "quantity": instrument.size_str(request.lots),
        "price": instrument.price_str(request.ticks),
    }


def order_id(instrument: Instrument, track: Track) -> Parameters:
    """Which order: by our id. One that came of a trigger has its own id at the venue."""
    if track.conditional and track.venue_id:
        return {"symbol": instrument.symbol, "orderId": track.venue_id}
    return {"symbol": instrument.symbol, "origClientOrderId": track.client_id}


def percent(rate_e12: int) -> str:
    """A rate as per cent: 0.01 is "1"."""
    whole, part = divmod(rate_e12, 10**10)
    return f"{whole}.{part:010d}".rstrip("0").rstrip(".")


def money(amount_e8: int) -> str:
    """Money (not negative) as the venue writes it."""
    whole, part = divmod(amount_e8, 10**8)
    return f"{whole}.{part:08d}"
