"""Commands as Binance's parameters: decimal strings from ticks and lots, without floats.

A conditional order goes to the algo service (since 2025-12-09), everything else to the order endpoints. What the venue
has no word for is ``Unsupported``, which the session makes a refusal of.

Sources: developers.binance.com, derivatives, usds-margined-futures: trade (rest-api and websocket-api).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from matching import codes
from matching.triggers import Trigger
from venues.binance.auth import RECV_WINDOW_MS, Signer
from venues.instruments import Instrument
from venues.orders import AmendRequest, OrderRequest
from venues.trading_orders import Track

Parameters = dict[str, str]
TEXTS: Final = 1_024  # prices and sizes of an instrument whose texts are kept
CLIENT_ID: Final = re.compile(r"[A-Za-z0-9._:/-]{1,36}")
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


class PlainOrders:
    """Writes plain limit orders of one instrument for ``order.place``: what does not change is put together once.

    The parameters are those of ``new_order``, signed as ``Signer.signed_frame`` does (the tests compare them)."""

    def __init__(self, instrument: Instrument, key: str, signer: Signer) -> None:
        self._price, self._size = lru_cache(TEXTS)(instrument.price_str), lru_cache(TEXTS)(instrument.size_str)
        self._symbol = instrument.symbol
        self._sign = signer.beginning(f"apiKey={key}&newClientOrderId=".encode())
        self._json_head = f'"method":"order.place","params":{{"apiKey":"{key}","newClientOrderId":"'
        self._tails: dict[tuple[int, int], tuple[str, str]] = {}

    def frame(self, number: int, request: OrderRequest, client_id: str, stamp_ms: int) -> bytes:
        """The request with this number. ``client_id`` is letters, digits and ``._:/-``."""
        tails = self._tails.get((request.side, request.tif))
        text_tail, json_tail = tails or self._new_tails(request.side, request.tif)
        price, size = self._price(request.ticks), self._size(request.lots)
        text = f"{client_id}&price={price}&quantity={size}{text_tail}{stamp_ms}&type=LIMIT"
        return (
            f'{{"id":{number},{self._json_head}{client_id}","price":"{price}","quantity":"{size}"{json_tail}{stamp_ms},'
            f'"type":"LIMIT","signature":"{self._sign(text.encode())}"}}}}'
        ).encode()

    def _new_tails(self, side: int, tif: int) -> tuple[str, str]:
        pairs = {
            "recvWindow": f"{RECV_WINDOW_MS}",
            "side": SIDES[side],
            "symbol": self._symbol,
            "timeInForce": TIFS[tif],
        }
        text = "".join(f"&{name}={value}" for name, value in pairs.items()) + "&timestamp="
        json = f',"recvWindow":{RECV_WINDOW_MS}'
        json += "".join(f',"{name}":"{value}"' for name, value in pairs.items() if name != "recvWindow")
        found = self._tails[side, tif] = (text, json + ',"timestamp":')
        return found


def is_plain(request: OrderRequest) -> bool:
    """Whether ``PlainOrders`` can write it."""
    return (
        request.type == codes.LIMIT and request.trigger is None and request.stp is None
        and not (request.leg or request.reduce_only or request.expires_ns or request.close_position)
        and (request.client_id is None or CLIENT_ID.fullmatch(request.client_id) is not None)
    )  # fmt: skip


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
