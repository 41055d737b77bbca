"""What Hyperliquid lets one address of the network do: request weights, connections, subscriptions, messages.

Theory of operation. REST requests and websocket posts share 1200 units of weight in any 60 s. An action weighs 1 and
one more for each 40 of its batch, an info request 2, 20 or 60, and one more for each 20 rows that it returns
(candles: 60). A request that no longer fits is refused and costs nothing.

On the venue a network address may also hold ten connections. A server on loopback sees every client at one address, so
there each connection counts as an address of its own, unless ``Limits.by_address`` says otherwise; weights always count
by address. Source: hyperliquid.gitbook.io, "Rate limits and user limits"; the texts: github.com/nktkas/hyperliquid,
issue 78.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec

MINUTE_NS: Final = 60_000_000_000
IDLE_NS: Final = MINUTE_NS
LIGHT: Final = frozenset(
    ("l2Book", "allMids", "clearinghouseState", "orderStatus", "spotClearinghouseState", "exchangeStatus")
)
_HEAVY: Final = {"userRole": 60}
_ROWS: Final = frozenset(
    (
        "recentTrades", "historicalOrders", "userFills", "userFillsByTime", "fundingHistory", "userFunding",
        "userNonFundingLedgerUpdates", "userTwapSliceFills", "delegatorHistory", "delegatorRewards",
    )
)  # fmt: skip


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The venue's numbers. ``by_address``: connections count together by the client's network address."""

    weight: int = 1200
    connections: int = 10
    new_connections: int = 30
    subscriptions: int = 1000
    users: int = 10
    messages: int = 2000
    posts: int = 100
    by_address: bool = False


NO_LIMITS: Final = Limits(weight=1 << 40, messages=1 << 40, posts=1 << 40)  # connections and subscriptions remain


def info_weight(kind: str, rows: int) -> int:
    """What an info request weighs that returned this many rows."""
    if kind in LIGHT:
        return 2
    if kind == "candleSnapshot":
        return 20 + rows // 60
    return _HEAVY.get(kind, 20) + (rows // 20 if kind in _ROWS else 0)


def action_weight(batch: int) -> int:
    """What an action weighs that carries this many orders, cancels or changes."""
    return 1 + batch // 40


class Window:
    """Amounts spent in the last minute. At most ``most`` fit."""

    __slots__ = ("_sum", "_when", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self._sum = 0
        self._when: deque[tuple[int, int]] = deque(maxlen=2 * most + 2)  # each weighs 1 at least, so it never fills

    def used(self, now_ns: int) -> int:
        """What of the budget is spent now."""
        while self._when and self._when[0][0] <= now_ns - MINUTE_NS:
            self._sum -= self._when.popleft()[1]
        return self._sum

    def fits(self, amount: int, now_ns: int) -> bool:
        """Whether so much is left."""
        return self.used(now_ns) + amount <= self.most

    def spend(self, amount: int, now_ns: int) -> None:
        """Take it off the budget (beyond its end, when the answer turned out larger than was known)."""
        self._when.append((now_ns, amount))
        self._sum += amount


class Place:
    """What one network address (or one connection, see the module) has used."""

    __slots__ = ("clients", "messages", "opened", "posts", "subscriptions", "users")

    def __init__(self, limits: Limits) -> None:
        self.clients = 0
        self.subscriptions = 0
        self.posts = 0
        self.users: dict[str, int] = {}
        self.messages = Window(limits.messages)
        self.opened = Window(limits.new_connections)
