"""Hyperliquid's trading actions: orders and requests as the maps that are signed and sent, keys in the venue's order.

Prices and sizes become decimal strings here, from ticks and lots, without floats and without trailing zeros (the venue
hashes the shortest form). A price off the grid of five digits is sent as it is: the refusal is the venue's.

The venue has no market orders: a market order is an IOC limit order 5 % beyond the middle of the book, as its SDK makes
them, and a triggered one has its limit 10 % beyond the trigger price, which is the most that the venue lets it slip.
Sources: hyperliquid.gitbook.io, "Exchange endpoint", "Asset ids", "Tick and lot size", "Order types".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from matching import codes
from matching.triggers import Trigger
from venues.instruments import Instrument
from venues.orders import OrderRequest

ORDERS_MAX: Final = 200  # of one action (rule card: max_batch)
CANCELS_MAX: Final = 200
MARKET_PERCENT: Final = 5
TRIGGERED_PERCENT: Final = 10
DEX_ASSETS: Final = 10_000
DEX_BASE: Final = 100_000
_CLOID: Final = re.compile(r"0x[0-9a-fA-F]{32}")
_TIFS: Final = {codes.GTC: "Gtc", codes.IOC: "Ioc", codes.GTX: "Alo"}
_TPSL: Final = {codes.TRIGGER_STOP: "sl", codes.TRIGGER_TAKE_PROFIT: "tp"}


def asset_number(dex: int, index: int) -> int:
    """A perpetual's number from its dex's number (0: the venue's own) and its place in that one's universe."""
    return DEX_BASE + dex * DEX_ASSETS + index if dex else index


def shortest(text: str) -> str:
    """A plain decimal without trailing zeros."""
    return text.rstrip("0").rstrip(".") if "." in text else text


def price_text(instrument: Instrument, ticks: int) -> str:
    return shortest(instrument.price_str(ticks))


def size_text(instrument: Instrument, lots: int) -> str:
    return shortest(instrument.size_str(lots))


def unsupported(request: OrderRequest) -> tuple[int, str] | None:
    """Why the venue has no such order: a reason and what to do; None: it has."""
    if request.leg:
        return codes.R_POSITION_SIDE, "positions have no sides here: send it without a leg"
    if request.tif not in _TIFS or request.expires_ns:
        return codes.R_UNSUPPORTED, "orders here are GTC, IOC or post-only (GTX)"
    if request.close_position:
        return codes.R_UNSUPPORTED, "there is no close_position: send a reduce-only order of the position's size"
    if request.stp not in (None, codes.STP_CANCEL_MAKER):
        return codes.R_UNSUPPORTED, "self-trade prevention always cancels the resting order"
    if request.client_id is not None and not _CLOID.fullmatch(request.client_id):
        return codes.R_CLIENT_ID, "a cloid is 0x and 32 hexadecimal digits"
    trigger = request.trigger
    if trigger is not None and (trigger.kind not in _TPSL or trigger.watch not in (0, codes.WATCH_MARK)):
        return codes.R_UNSUPPORTED, "triggers are stops and take-profits on the mark price"
    return None


def market_ticks(instrument: Instrument, side: int, twice_ticks: int, percent: int) -> int:
    """The limit of an order that must execute: so many percent beyond a price, which is given twice as high."""
    if side == codes.BUY:
        return instrument.grid_at_most(twice_ticks * (100 + percent) // 200)
    return instrument.grid_at_least(-(-twice_ticks * (100 - percent) // 200))


def order_wire(
    instrument: Instrument, asset: int, request: OrderRequest, cloid: str, ticks: int, lots: int, trigger_ticks: int = 0
) -> dict[str, Any]:
    """An order of an ``order`` or ``batchModify`` action; ``ticks`` and ``lots`` as they shall stand in the book,
    ``trigger_ticks`` in place of the request's own (0)."""
    kind: dict[str, Any]
    trigger: Trigger | None = request.trigger
    if trigger is None:
        kind = {"limit": {"tif": "Ioc" if request.type == codes.MARKET else _TIFS[request.tif]}}
    else:
        kind = {
            "trigger": {
                "isMarket": request.type == codes.MARKET,
                "triggerPx": price_text(instrument, trigger_ticks or trigger.ticks),
                "tpsl": _TPSL[trigger.kind],
            }
        }
    return {
        "a": asset,
        "b": request.side == codes.BUY,
        "p": price_text(instrument, ticks),
        "s": size_text(instrument, lots),
        "r": request.reduce_only,
        "t": kind,
        "c": cloid,
    }


def orders(wires: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "order", "orders": list(wires), "grouping": "na"}


def modifies(wires: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """``wires``: cloids and what their orders become."""
    return {"type": "batchModify", "modifies": [{"oid": cloid, "order": wire} for cloid, wire in wires]}


def cancels_by_cloid(rows: Sequence[tuple[int, str]], fast: bool) -> dict[str, Any]:
    """``rows``: asset and cloid. ``fast``: as the venue asks for, but refuses for orders that wait for a trigger."""
    action: dict[str, Any] = {
        "type": "cancelByCloid",
        "cancels": [{"asset": asset, "cloid": cloid} for asset, cloid in rows],
    }
    return action | {"f": True} if fast else action


def cancels(rows: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """``rows``: asset and oid."""
    return {"type": "cancel", "cancels": [{"a": asset, "o": oid} for asset, oid in rows]}


def leverage(asset: int, is_cross: bool, times: int) -> dict[str, Any]:
    return {"type": "updateLeverage", "asset": asset, "isCross": is_cross, "leverage": times}


def isolated_margin(asset: int, amount_e6: int) -> dict[str, Any]:
    """Money at 1e-6 into (negative: out of) an isolated position."""
    return {"type": "updateIsolatedMargin", "asset": asset, "isBuy": True, "ntli": amount_e6}


def schedule_cancel(time_ms: int) -> dict[str, Any]:
    """Cancel all orders at that time; 0: clear it."""
    return {"type": "scheduleCancel", "time": time_ms} if time_ms else {"type": "scheduleCancel"}
