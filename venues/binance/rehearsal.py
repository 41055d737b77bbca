"""What a rehearsal of orders needs of Binance (``sim/live/rehearsal.py``): a session that has no venue, and the answers
that a venue would give it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from venues.binance.trading import BinanceTrading
from venues.ports import Clock, Entropy
from venues.trading_parts import Budget, Seen
from venues.trading_sessions import TradingWanted

_ENDLESS: Final = 1 << 40
_KEPT: Final = 64  # orders and events that the session remembers
_FIRST_ID: Final = 10**10  # of the venue's ids of orders
_ORDER: Final = {
    "symbol": "", "status": "NEW", "price": "0", "side": "BUY", "origQty": "0", "executedQty": "0",
    "timeInForce": "GTC", "type": "LIMIT",
}  # fmt: skip
_UPDATE: Final = {
    "S": "BUY", "o": "LIMIT", "f": "GTC", "x": "NEW", "X": "NEW", "l": "0", "z": "0", "L": "0", "N": None,
    "n": None, "t": 0, "m": False, "rp": "0", "ps": "BOTH",
}  # fmt: skip
_LIMITS: Final = [{"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300, "count": 1}]


class Stage:
    """A session that is ready for orders, and what the venue says to them."""

    def __init__(self, wanted: TradingWanted, clock: Clock, entropy: Entropy) -> None:
        self.session = BinanceTrading(wanted, entropy)
        desk = self.session.desk
        while not desk.clock.is_known:
            desk.clock.trip(clock.monotonic_ns(), clock.monotonic_ns(), clock.wall_ns())
        for budget in desk.throttle.budgets.values():
            if isinstance(budget, Budget):
                budget.limit = _ENDLESS
        desk.api_open = True
        self.session.commands.seen, desk.orders.ended_max = Seen(_KEPT), _KEPT
        self.connections = {desk.api_name: desk.api_url, desk.user_name: desk.user_base}
        self._order: dict[str, Any] = {}
        self._update: dict[str, Any] = {}
        self._count = 0  # of events, each at a time of its own

    def answers(self, asked: bytes) -> list[tuple[str, bytes]]:
        """The reply to an order (it is open) or to its cancel (it is canceled), and the event of the user stream."""
        found = msgspec.json.decode(asked)
        given = found["params"]
        if found["method"] == "order.place":
            name, price, size = given["newClientOrderId"], given["price"], given["quantity"]
            self._order = _ORDER | {
                "symbol": given["symbol"], "price": price, "origQty": size, "clientOrderId": name,
                "updateTime": given["timestamp"], "orderId": _FIRST_ID + self._count,
            }  # fmt: skip
            self._update = _UPDATE | {"s": given["symbol"], "c": name, "p": price, "q": size, "T": given["timestamp"]}
            self._update["i"] = self._order["orderId"]
        else:
            self._order["status"] = self._update["x"] = self._update["X"] = "CANCELED"
        reply = {"id": found["id"], "status": 200, "result": self._order, "rateLimits": _LIMITS}
        return [(self.session.desk.api_name, msgspec.json.encode(reply)), self._event()]

    def fill(self) -> tuple[str, bytes]:
        """The event of an execution of the whole order."""
        self._update |= {"x": "TRADE", "X": "FILLED", "l": self._update["q"], "z": self._update["q"], "t": self._count}
        self._update |= {"L": self._update["p"], "N": self._settle(), "n": "0.01", "m": True}
        return self._event()

    def _event(self) -> tuple[str, bytes]:
        self._count += 1
        event = {"e": "ORDER_TRADE_UPDATE", "T": self._update["T"] + self._count, "o": self._update}
        return self.session.desk.user_name, msgspec.json.encode(event)

    def _settle(self) -> str:
        return next(iter(self.session.desk.wanted.instruments.values())).settle
