"""Orders of the emulated Binance as clients see them: the table of each account, and an order's shapes on the wire.

An order is known by the engine's number, by the venue's id (``orderId``; of a conditional one ``algoId`` until its
trigger gives it an order of its own) and by the client's. Closed orders are kept, the last ``CLOSED_MOST`` of each
account. Sources: USDM, "Trade", "Query Order", "Event Order Update", "Event Algo Order Update"; ``avgPrice`` and
``cumQuote`` are left out of the replies to new, amended and canceled orders since 2026-06-30 (CM-UM notice).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

from matching import codes
from venues.binance.emulator_market import Market
from venues.binance.emulator_site import Asker
from venues.binance.emulator_wire import rate

CLOSED_MOST: Final = 20_000
AMENDMENTS_MOST: Final = 100
FIRST_ID: Final = 10_000_000_000
FIRST_ALGO_ID: Final = 2_000_000_000
OPEN: Final = ("NEW", "PARTIALLY_FILLED")
SIDES: Final = {codes.BUY: "BUY", codes.SELL: "SELL"}
LEGS: Final = {0: "BOTH", codes.FLAG_LONG_LEG: "LONG", codes.FLAG_SHORT_LEG: "SHORT"}
STP_NAMES: Final = {
    "NONE": codes.STP_NONE,
    "EXPIRE_TAKER": codes.STP_CANCEL_TAKER,
    "EXPIRE_MAKER": codes.STP_CANCEL_MAKER,
    "EXPIRE_BOTH": codes.STP_CANCEL_BOTH,
}
MARKET_TYPES: Final = {"STOP_MARKET": "MARKET", "TAKE_PROFIT_MARKET": "MARKET", "TRAILING_STOP_MARKET": "MARKET",
                       "STOP": "LIMIT", "TAKE_PROFIT": "LIMIT"}  # fmt: skip

# why the venue closed an order: "er" of ORDER_TRADE_UPDATE
EXPIRY_REASONS: Final = {
    codes.R_STP: "1", codes.R_IOC_REMAINDER: "2", codes.R_FOK: "2", codes.R_REDUCE_ONLY: "4", codes.R_LIQUIDATION: "5",
    codes.R_ADL: "5", codes.R_SIBLING: "6", codes.R_MARKET_REMAINDER: "9",
}  # fmt: skip


@dataclass(slots=True)
class Row:
    """One order. ``value`` is what its fills are worth (1e-8 of the settlement asset); times in milliseconds."""

    account: int
    market: Market
    number: int
    order_id: int
    client_id: str
    side: int
    type: str
    original_type: str
    tif: str
    ticks: int
    lots: int
    reduce_only: bool = False
    close_position: bool = False
    leg: int = 0
    stop_ticks: int = 0
    activation_ticks: int = 0
    callback_e12: int = 0
    working_type: str = "CONTRACT_PRICE"
    price_protect: bool = False
    price_match: str = "NONE"
    stp: str = "EXPIRE_MAKER"
    good_till_ms: int = 0
    created_ms: int = 0
    updated_ms: int = 0
    status: str = ""  # "": not taken yet
    filled: int = 0
    value: Fraction = Fraction(0)
    algo_id: int = 0  # above 0: a conditional order of the algo service
    algo_status: str = ""
    reject_text: str = ""
    triggered_ms: int = 0
    is_held: bool = False
    is_announced: bool = False
    waits_whole: bool = False  # newOrderRespType RESULT: the final state answers
    placing: Asker | None = None
    canceling: list[Asker] = field(default_factory=list)
    amending: list[Asker] = field(default_factory=list)
    amendments: deque[tuple[int, int, int, int, int, int]] = field(
        default_factory=lambda: deque(maxlen=AMENDMENTS_MOST)
    )  # (id, time, ticks before, after, lots before, after)
    amend_count: int = 0

    @property
    def is_open(self) -> bool:
        return self.is_held or self.status in OPEN

    @property
    def is_pending(self) -> bool:
        return not self.status and not self.algo_status

    def take_fill(self, ticks: int, lots: int) -> None:
        self.filled += lots
        self.value += self.market.instrument.value_e8(ticks, lots)


class Table:
    """The orders of one account."""

    def __init__(self) -> None:
        self.next_number = 1
        self.by_number: dict[int, Row] = {}
        self._by_id: dict[int, Row] = {}
        self._by_algo: dict[int, Row] = {}
        self._by_client: dict[str, Row] = {}
        self._closed: deque[Row] = deque(maxlen=CLOSED_MOST + 1)  # what falls out is forgotten

    def add(self, row: Row) -> None:
        self.by_number[row.number] = row
        self._by_client[row.client_id] = row
        self.index(row)

    def index(self, row: Row) -> None:
        """Find an order by the ids it has now."""
        if row.order_id:
            self._by_id[row.order_id] = row
        if row.algo_id:
            self._by_algo[row.algo_id] = row

    def closed(self, row: Row) -> None:
        self._closed.append(row)
        if len(self._closed) > CLOSED_MOST:
            self.forget(self._closed.popleft())

    def forget(self, row: Row) -> None:
        self.by_number.pop(row.number, None)
        self._by_id.pop(row.order_id, None)
        self._by_algo.pop(row.algo_id, None)
        if self._by_client.get(row.client_id) is row:
            del self._by_client[row.client_id]

    def of_id(self, order_id: int) -> Row | None:
        return self._by_id.get(order_id)

    def of_algo(self, algo_id: int) -> Row | None:
        return self._by_algo.get(algo_id)

    def of_client(self, client_id: str) -> Row | None:
        return self._by_client.get(client_id)

    def open(self, market: Market | None = None, *, algo: bool = False) -> Iterator[Row]:
        """Open orders, of the algo service or of the book, oldest first."""
        for row in list(self.by_number.values()):
            held_there = row.algo_id > 0 and row.is_held
            if row.is_open and held_there == algo and (market is None or row.market is market):
                yield row

    def rows(self, market: Market | None = None) -> Iterator[Row]:
        for row in self.by_number.values():
            if market is None or row.market is market:
                yield row


# -- shapes


def price_text(row: Row, ticks: int) -> str:
    return row.market.printer.price(ticks) if ticks else "0"


def order_reply(row: Row) -> dict[str, Any]:
    """The reply to a new, amended or canceled order."""
    size = row.market.printer.size
    found: dict[str, Any] = {"orderId": row.order_id, "symbol": row.market.symbol}
    if row.market.instrument.inverse:
        found["pair"] = row.market.pair
    found.update(
        status=row.status or "NEW",
        clientOrderId=row.client_id,
        price=price_text(row, row.ticks if row.type != "MARKET" else 0),
        origQty=size(row.lots),
        executedQty=size(row.filled),
        cumQty=size(row.filled),
        timeInForce=row.tif,
        type=row.type,
        reduceOnly=row.reduce_only,
        closePosition=row.close_position,
        side=SIDES[row.side],
        positionSide=LEGS[row.leg],
        stopPrice=price_text(row, row.stop_ticks),
        workingType=row.working_type,
        priceProtect=row.price_protect,
        origType=row.original_type,
        priceMatch=row.price_match,
        selfTradePreventionMode=row.stp,
        goodTillDate=row.good_till_ms,
        updateTime=row.updated_ms,
    )
    if row.callback_e12:
        found["activatePrice"] = price_text(row, row.activation_ticks)
        found["priceRate"] = rate(row.callback_e12 * 100, 1)
    if row.market.instrument.inverse:
        del found["goodTillDate"]
    return found


def order_query(row: Row) -> dict[str, Any]:
    """An order as queries show it."""
    printer, inverse = row.market.printer, row.market.instrument.inverse
    found = order_reply(row)
    del found["cumQty"]
    found["avgPrice"] = printer.average(row.value, row.filled, printer.price_decimals if inverse else 5)
    found["cumBase" if inverse else "cumQuote"] = printer.quote(row.value, 8 if inverse else 5)
    found["time"] = row.created_ms
    return found


def algo_reply(row: Row) -> dict[str, Any]:
    """The reply to a new conditional order."""
    found: dict[str, Any] = {
        "algoId": row.algo_id,
        "clientAlgoId": row.client_id,
        "algoType": "CONDITIONAL",
        "orderType": row.original_type,
        "symbol": row.market.symbol,
        "side": SIDES[row.side],
        "positionSide": LEGS[row.leg],
        "timeInForce": row.tif,
        "quantity": row.market.printer.size(row.lots),
        "algoStatus": row.algo_status or "NEW",
        "triggerPrice": price_text(row, row.stop_ticks),
        "price": price_text(row, row.ticks),
        "icebergQuantity": None,
        "selfTradePreventionMode": row.stp,
        "workingType": row.working_type,
        "priceMatch": row.price_match,
        "closePosition": row.close_position,
        "priceProtect": row.price_protect,
        "reduceOnly": row.reduce_only,
        "createTime": row.created_ms,
        "updateTime": row.updated_ms,
        "triggerTime": row.triggered_ms,
        "goodTillDate": row.good_till_ms,
    }
    if row.callback_e12:
        found["activatePrice"] = price_text(row, row.activation_ticks)
        found["callbackRate"] = rate(row.callback_e12 * 100, 1)
    return found


def algo_query(row: Row) -> dict[str, Any]:
    """A conditional order as queries show it; of its order in the book once it is there."""
    found = algo_reply(row)
    found.update(
        actualOrderId=str(row.order_id) if row.order_id else "",
        actualPrice=row.market.printer.average(row.value, row.filled),
        actualType=row.type if row.order_id else "",
        actualQty=row.market.printer.size(row.filled),
        tpTriggerPrice="0.000",
        tpPrice="0.000",
        slTriggerPrice="0.000",
        slPrice="0.000",
        tpOrderType="",
    )
    return found


def order_event(row: Row, kind: str, times: tuple[int, int], **fill: Any) -> dict[str, Any]:
    """ORDER_TRADE_UPDATE. ``times`` = (E, T) in ms; ``fill``: fields that are not as usual."""
    printer, inverse = row.market.printer, row.market.instrument.inverse
    order: dict[str, Any] = {
        "s": row.market.symbol,
        "c": row.client_id,
        "S": SIDES[row.side],
        "o": row.type,
        "f": row.tif,
        "q": printer.size(row.lots),
        "p": price_text(row, row.ticks if row.type != "MARKET" else 0),
        "ap": printer.average(row.value, row.filled) if row.filled else "0",
        "sp": price_text(row, row.stop_ticks),
        "x": kind,
        "X": row.status,
        "i": row.order_id,
        "l": "0",
        "z": printer.size(row.filled),
        "L": "0",
        "n": "0",
        "N": row.market.instrument.settle,
        "T": times[1],
        "t": 0,
        "b": "0",
        "a": "0",
        "m": False,
        "R": row.reduce_only,
        "wt": row.working_type,
        "ot": row.original_type,
        "ps": LEGS[row.leg],
        "cp": row.close_position,
        "rp": "0",
        "pP": row.price_protect,
        "si": 0,
        "ss": 0,
        "V": row.stp,
        "pm": row.price_match,
        "gtd": row.good_till_ms,
        "er": "0",
    }
    if row.algo_id:
        order["sp"] = "0"  # the conditional part is the algo service's
    if row.callback_e12:
        order["AP"] = price_text(row, row.activation_ticks)
        order["cr"] = rate(row.callback_e12 * 100, 1)
    if inverse:
        order["ma"] = row.market.instrument.settle
        del order["gtd"]
    order.update(fill)
    found = {"e": "ORDER_TRADE_UPDATE", "E": times[0], "T": times[1], "o": order}
    if inverse:
        found["i"] = ""
    return found


def lite_event(row: Row, times: tuple[int, int], fill: dict[str, Any]) -> dict[str, Any]:
    """TRADE_LITE, which comes before the full event."""
    return {
        "e": "TRADE_LITE",
        "E": times[0],
        "T": times[1],
        "s": row.market.symbol,
        "q": row.market.printer.size(row.lots),
        "p": price_text(row, row.ticks if row.type != "MARKET" else 0),
        "m": fill["m"],
        "c": row.client_id,
        "S": SIDES[row.side],
        "L": fill["L"],
        "l": fill["l"],
        "t": fill["t"],
        "i": row.order_id,
    }


def algo_event(row: Row, times: tuple[int, int]) -> dict[str, Any]:
    """ALGO_UPDATE."""
    printer = row.market.printer
    order: dict[str, Any] = {
        "caid": row.client_id,
        "aid": row.algo_id,
        "at": "CONDITIONAL",
        "o": row.original_type,
        "s": row.market.symbol,
        "S": SIDES[row.side],
        "ps": LEGS[row.leg],
        "f": row.tif,
        "q": printer.size(row.lots),
        "X": row.algo_status,
        "ai": str(row.order_id) if row.order_id else "",
    }
    if row.order_id:
        order.update(ap=printer.average(row.value, row.filled), aq=printer.size(row.filled), act=row.type)
    order.update(
        tp=price_text(row, row.stop_ticks),
        p=price_text(row, row.ticks),
        V=row.stp,
        wt=row.working_type,
        pm=row.price_match,
        cp=row.close_position,
        pP=row.price_protect,
        R=row.reduce_only,
        tt=row.triggered_ms,
        gtd=row.good_till_ms,
        rm=row.reject_text,
    )
    if row.callback_e12:
        order.update(ia=row.algo_status != "NEW", act=row.type, AP=price_text(row, row.activation_ticks))
        order["cr"] = rate(row.callback_e12 * 100, 1)
    return {"e": "ALGO_UPDATE", "E": times[0], "T": times[1], "o": order}


def amendment(row: Row, one: tuple[int, int, int, int, int, int], count: int) -> dict[str, Any]:
    """One entry of ``GET orderAmendment``."""
    number, time_ms, ticks_before, ticks_after, lots_before, lots_after = one
    printer = row.market.printer
    return {
        "amendmentId": number,
        "symbol": row.market.symbol,
        "pair": row.market.pair,
        "orderId": row.order_id,
        "clientOrderId": row.client_id,
        "time": time_ms,
        "amendment": {
            "price": {"before": printer.price(ticks_before), "after": printer.price(ticks_after)},
            "origQty": {"before": printer.size(lots_before), "after": printer.size(lots_after)},
            "count": count,
        },
    }
