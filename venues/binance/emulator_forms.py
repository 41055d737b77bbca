"""Order requests of the emulated Binance: parameters in, an order and the engine's request out, or the venue's refusal.

Checked here is what the venue's front door checks: what must be there, words, numbers and the symbol's precision and
grids. Limits, bands, notional, margin and all that depends on the moment are the simulated venue's (``Rejected``).
"""

from __future__ import annotations

import re
from typing import Any, Final

from matching import codes
from matching.triggers import Trigger
from venues.binance.emulator_market import Market
from venues.binance.emulator_orders import MARKET_TYPES, STP_NAMES, Row
from venues.binance.emulator_site import Site
from venues.binance.emulator_wire import Params, Refusal, missing
from venues.instruments import MAX_COLUMN
from venues.orders import OrderRequest
from venues.wire import MS

CLIENT_ID: Final = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")
TIFS: Final = {"GTC": codes.GTC, "IOC": codes.IOC, "FOK": codes.FOK, "GTX": codes.GTX, "GTD": codes.GTD}
TRIGGERS: Final = {
    "STOP": codes.TRIGGER_STOP,
    "STOP_MARKET": codes.TRIGGER_STOP,
    "TAKE_PROFIT": codes.TRIGGER_TAKE_PROFIT,
    "TAKE_PROFIT_MARKET": codes.TRIGGER_TAKE_PROFIT,
    "TRAILING_STOP_MARKET": codes.TRIGGER_TRAILING,
}
WATCHED: Final = {"CONTRACT_PRICE": codes.WATCH_LAST, "MARK_PRICE": codes.WATCH_MARK}
LEG_NAMES: Final = {"BOTH": 0, "LONG": codes.FLAG_LONG_LEG, "SHORT": codes.FLAG_SHORT_LEG}
_MATCHES: Final = {
    "OPPONENT": (1, 1), "OPPONENT_5": (1, 5), "OPPONENT_10": (1, 10), "OPPONENT_20": (1, 20),
    "QUEUE": (0, 1), "QUEUE_5": (0, 5), "QUEUE_10": (0, 10), "QUEUE_20": (0, 20),
}  # fmt: skip
_PERCENT_E12: Final = 10**10


def ticks_of(market: Market, params: Params, name: str, below_zero: int = -4001) -> int:
    """A price in ticks."""
    one, decimals = market.instrument, market.printer.price_decimals
    units = params.scaled(name, decimals)
    if units <= 0:
        raise Refusal(below_zero)
    tick = int(one.tick_size.scaleb(decimals))
    ticks, rest = divmod(units, tick)
    if rest or not one.on_grid(ticks):
        raise Refusal(-4014)
    if ticks > MAX_COLUMN:
        raise Refusal(-4002)
    return ticks


def lots_of(market: Market, params: Params) -> int:
    """A quantity in lots."""
    one, decimals = market.instrument, market.printer.size_decimals
    units = params.scaled("quantity", decimals)
    if units <= 0:
        raise Refusal(-4003)
    lots, rest = divmod(units, int(one.lot_size.scaleb(decimals)))
    if rest:
        raise Refusal(-4023)
    if lots > MAX_COLUMN:
        raise Refusal(-4005)
    return lots


def side_of(params: Params) -> int:
    word = params.word("side")
    if word not in ("BUY", "SELL"):
        raise Refusal(-1117)
    return codes.BUY if word == "BUY" else codes.SELL


def matched_ticks(market: Market, side: int, word: str) -> int:
    """The price of a ``priceMatch``: so many levels deep in the opposite or in the own side."""
    found = _MATCHES.get(word)
    if found is None:
        raise Refusal(-5037)
    opposite, level = found
    levels = market.book.top(1 - side if opposite else side, level)
    if len(levels) < level:
        raise Refusal(-5041)
    return levels[-1][0]


class Forms:
    """Reads order requests of accounts. ``site`` knows the symbols."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def new(self, params: Params, account: int, *, algo: bool) -> Row:
        """An order (number 0, no ids yet) from the parameters of ``order``, or with ``algo`` of ``algoOrder``."""
        market = self._site.market(params)
        side, kind = side_of(params), params.word("type")
        self._check_kind(kind, params, algo)
        row = Row(
            account, market, 0, 0, self._client_id(params, "clientAlgoId" if algo else "newClientOrderId"), side, kind,
            kind, "GTC", 0, 0,
        )  # fmt: skip
        row.leg = self._leg(params, account)
        row.close_position = kind in TRIGGERS and params.flag("closePosition")
        row.reduce_only = self._reduces(params, row)
        row.stp = self._stp(params)
        self._terms(params, row)
        if kind in TRIGGERS:
            self._trigger(params, row, algo)
        response = params.word("newOrderRespType", "ACK")
        if response not in ("ACK", "RESULT"):
            raise Refusal(-1136)
        row.waits_whole = response == "RESULT" and (kind == "MARKET" or row.tif in ("IOC", "FOK"))
        return row

    def _check_kind(self, kind: str, params: Params, algo: bool) -> None:
        if algo:
            if params.word("algoType") != "CONDITIONAL":
                raise Refusal(-1130, "Data sent for parameter 'algoType' is not valid.")
            if kind not in TRIGGERS:
                raise Refusal(-1116)
        elif kind in TRIGGERS and not self._site.is_coin:
            raise Refusal(-4120)
        elif kind not in TRIGGERS and kind not in ("LIMIT", "MARKET"):
            raise Refusal(-1116)

    def _client_id(self, params: Params, name: str) -> str:
        found = params.text(name, "")
        if found and not CLIENT_ID.fullmatch(found):
            long = "Client order id length should be less than 36 chars" if len(found) > 36 else ""
            raise Refusal(-4015, long)
        return found

    def _leg(self, params: Params, account: int) -> int:
        word = params.word("positionSide", "BOTH")
        if word not in LEG_NAMES:
            raise Refusal(-4060)
        if (word == "BOTH") == self._site.engine.is_hedged(account):
            raise Refusal(-4061)
        return LEG_NAMES[word]

    def _reduces(self, params: Params, row: Row) -> bool:
        """In hedge mode the leg says it, and ``reduceOnly`` must not be sent; closing a position reduces anyhow."""
        wanted = params.flag("reduceOnly")
        if row.close_position and params.has("reduceOnly"):
            raise Refusal(-1106, "Parameter 'reduceonly' sent when not required.")
        if row.leg and wanted:
            raise Refusal(-1106, "Parameter 'reduceonly' sent when not required.")
        return wanted or row.close_position

    def _stp(self, params: Params) -> str:
        default = str(self._site.card.stp.default.value)
        word = params.word("selfTradePreventionMode", default)
        if word not in STP_NAMES:
            raise Refusal(-5039)
        return word

    def _terms(self, params: Params, row: Row) -> None:
        """Time in force, quantity and price."""
        market, limit = row.market, row.type in ("LIMIT", "STOP", "TAKE_PROFIT")
        match = params.word("priceMatch", "NONE")
        if limit:
            row.tif = params.word("timeInForce", None if row.type == "LIMIT" else "GTC")
            if row.tif not in self._site.card.orders.times_in_force.value or row.tif not in TIFS:
                raise Refusal(-1115)
        elif row.type == "MARKET" and params.has("timeInForce"):
            raise Refusal(-1106, "Parameter 'timeInForce' sent when not required.")
        if row.close_position:
            if params.has("quantity"):
                raise Refusal(-4137)
        else:
            row.lots = lots_of(market, params)
        if match != "NONE":
            if not limit:
                raise Refusal(-5038)
            if params.has("price"):
                raise Refusal(-1106, "Parameter 'price' sent when not required.")
            row.price_match = match
            row.ticks = matched_ticks(market, row.side, match)
        elif limit:
            row.ticks = ticks_of(market, params, "price")
        elif row.type == "MARKET" and params.has("price"):
            raise Refusal(-1106, "Parameter 'price' sent when not required.")
        if row.tif == "GTD":
            row.good_till_ms = params.integer("goodTillDate")
            row.good_till_ms -= row.good_till_ms % 1000
            if not 0 < row.good_till_ms < 253_402_300_799_000:
                raise Refusal(-5040)

    def _trigger(self, params: Params, row: Row, algo: bool) -> None:
        row.working_type = params.word("workingType", "CONTRACT_PRICE")
        if row.working_type not in WATCHED:
            raise Refusal(-4031)
        row.price_protect = params.flag("priceProtect")
        if row.type == "TRAILING_STOP_MARKET":
            percent = params.scaled("callbackRate", 12)
            row.callback_e12 = percent // 100
            if percent % 100 or row.callback_e12 <= 0 or row.callback_e12 >= 100 * _PERCENT_E12:
                raise Refusal(-4136)
            names = ("activatePrice", "activationPrice")
            name = next((name for name in names if params.has(name)), "")
            row.activation_ticks = ticks_of(row.market, params, name, -4135) if name else 0
            return
        names = ("triggerPrice", "stopPrice") if algo else ("stopPrice", "stopPrice")
        name = next((name for name in names if params.has(name)), "")
        if not name:
            raise missing(names[0])
        row.stop_ticks = ticks_of(row.market, params, name, -4006)


def request_of(row: Row, given_id: bool) -> OrderRequest:
    """What the engine is asked to do."""
    market_order = MARKET_TYPES.get(row.type, row.type) == "MARKET"
    trigger = None
    if row.type in TRIGGERS:
        level = row.activation_ticks if row.type == "TRAILING_STOP_MARKET" else row.stop_ticks
        trigger = Trigger(
            TRIGGERS[row.type], level, WATCHED[row.working_type], row.callback_e12, protect=row.price_protect
        )
    values: dict[str, Any] = {
        "account": row.account,
        "instrument": row.market.index,
        "order_no": row.number,
        "side": row.side,
        "lots": row.lots,
        "ticks": row.ticks,
        "tif": codes.GTC if market_order else TIFS[row.tif],
        "type": codes.MARKET if market_order else codes.LIMIT,
        "reduce_only": row.reduce_only and not row.close_position,
        "trigger": trigger,
        "expires_ns": row.good_till_ms * MS,
        "stp": STP_NAMES[row.stp],
        "leg": row.leg,
        "close_position": row.close_position,
        "client_id": row.client_id if given_id else None,
    }
    return OrderRequest(**values)
