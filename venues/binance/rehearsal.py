"""What a rehearsal of orders needs of Binance (``sim/live/rehearsal.py``): a session that has no venue, and the answers
that a venue would give it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from venues.binance.trading import BinanceTrading
from venues.ports import Clock, Entropy
from venues.trading_sessions import TradingWanted

_ENDLESS: Final = 1 << 40
_ORDER: Final = {
    "orderId": 10**9, "symbol": "", "status": "NEW", "price": "0", "side": "BUY", "origQty": "0", "executedQty": "0",
    "timeInForce": "GTC", "type": "LIMIT",
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
            if hasattr(budget, "limit"):
                budget.limit = _ENDLESS
        desk.api_open = True
        self.connection, self.url = desk.api_name, desk.api_url
        self._order: dict[str, Any] = {}

    def answer(self, asked: bytes) -> bytes:
        """The reply to an order (it is open) or to its cancel (it is canceled)."""
        found = msgspec.json.decode(asked)
        given = found["params"]
        if found["method"] == "order.place":
            self._order = _ORDER | {
                "symbol": given["symbol"], "price": given["price"], "origQty": given["quantity"],
                "clientOrderId": given["newClientOrderId"], "updateTime": given["timestamp"],
            }  # fmt: skip
        else:
            self._order["status"] = "CANCELED"
        return msgspec.json.encode({"id": found["id"], "status": 200, "result": self._order, "rateLimits": _LIMITS})
