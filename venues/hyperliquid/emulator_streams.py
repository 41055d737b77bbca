"""Hyperliquid's websocket subscriptions: what can be subscribed to, by whom it is, and what is pushed when.

Theory of operation. A subscription is brought to the venue's own full form (``l2Book`` gets its nSigFigs, mantissa
and fast), which is echoed in the answer and, packed, is its identity: subscribing twice is an error of the channel
``error``, and unsubscribing may leave out what is the default. Everybody of one form shares one encoded frame.

What begins with a picture: books, best quotes, prints (the last 30), candles, contexts, mids, the account's state and
open orders, and the streams with ``isSnapshot`` (fills, fundings). Order updates and user events begin with nothing.

A record of the feed that is a frame of the venue (book, best quote, print, mark) becomes that frame at once, one for
one; what a feed does not have is made: books from diffs (half a second apart), best quotes from books. The account's
state is pushed when something of the account has happened and at most once a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from venues.emulation import Push
from venues.hyperliquid.auth import is_address
from venues.hyperliquid.emulator_accounts import Account, Accounts
from venues.hyperliquid.emulator_info import FILLS_MOST, Info, book_terms
from venues.hyperliquid.emulator_market import FAST_LEVELS, INTERVALS, LEVELS, RECENT_PRINTS, Market
from venues.hyperliquid.emulator_numbers import ms
from venues.hyperliquid.emulator_signers import Signers, Unreadable
from venues.market_data import BookTicker, DepthDiff, DepthSnapshot, MarkPrice, Single, Trade

SECOND_NS: Final = 1_000_000_000
BOOK_GAP_NS: Final = SECOND_NS // 2
_MIDS_GAP_NS: Final = SECOND_NS
_STATE_GAP_NS: Final = SECOND_NS
_STATE_PERIOD_NS: Final = 5 * SECOND_NS
_COIN_KINDS: Final = frozenset(("l2Book", "bbo", "trades", "candle", "activeAssetCtx", "activeAssetData"))
_STATES: Final = frozenset(
    (
        "clearinghouseState", "allDexsClearinghouseState", "openOrders", "spotState", "twapStates", "webData2",
        "webData3", "activeAssetData",
    )
)  # fmt: skip
_USER_KINDS: Final = _STATES | {
    "orderUpdates", "userEvents", "userFills", "userFundings", "userNonFundingLedgerUpdates", "notification",
    "userTwapSliceFills", "userTwapHistory", "userHistoricalOrders",
}  # fmt: skip
_PLAIN_KINDS: Final = frozenset(("allMids", "allDexsAssetCtxs", "assetCtxs"))
_ONLY_EMPTY: Final = {
    "userNonFundingLedgerUpdates": "nonFundingLedgerUpdates",
    "userTwapSliceFills": "twapSliceFills",
    "userTwapHistory": "history",
}
_encode = msgspec.json.Encoder().encode


class Topic:
    """One subscription and all who share it."""

    __slots__ = ("clients", "key", "kind", "last_ns", "market", "pending", "terms", "user")

    def __init__(self, key: bytes, terms: dict[str, Any], market: Market | None) -> None:
        self.key, self.terms, self.market = key, terms, market
        self.kind: str = terms["type"]
        self.user: str = terms.get("user", "")
        self.clients: dict[int, None] = {}
        self.last_ns = 0
        self.pending = False


class Streams:
    """Subscriptions of all clients. ``push(clients, frame)`` sends."""

    def __init__(
        self,
        markets: Sequence[Market],
        info: Info,
        accounts: Accounts,
        signers: Signers,
        push: Callable[[Push], None],
    ) -> None:
        self._markets, self._info, self._accounts, self._signers = markets, info, accounts, signers
        self._push = push
        self._topics: dict[bytes, Topic] = {}
        self._by_market: dict[tuple[str, int], list[Topic]] = {}
        self._by_user: dict[tuple[str, str], list[Topic]] = {}
        self._late: dict[bytes, Topic] = {}  # to be pushed when its time has come
        self._has_quotes = [False] * len(markets)
        self._began_ns = [0] * len(markets)
        self._best: list[tuple[Any, Any] | None] = [None] * len(markets)

    # -- subscriptions

    def topic(self, wire: object) -> tuple[bytes, dict[str, Any], Market | None]:
        """A subscription's identity, full form and coin. Raises ``Unreadable``."""
        if not isinstance(wire, dict):
            raise Unreadable("subscription")
        kind = _text(wire, "type")
        terms: dict[str, Any] = {"type": kind}
        market = None
        if kind in _USER_KINDS:
            if not is_address(wire.get("user")):
                raise Unreadable("user")
            terms["user"] = wire["user"].lower()
        elif kind not in _COIN_KINDS and kind not in _PLAIN_KINDS:
            raise Unreadable("type")
        if kind in _COIN_KINDS:
            market = self._info.by_coin.get(_text(wire, "coin"))
            if market is None:
                raise Unreadable("coin")
            terms["coin"] = market.coin
        self._extras(kind, wire, terms)
        return _encode(terms), terms, market

    @staticmethod
    def _extras(kind: str, wire: Mapping[str, Any], terms: dict[str, Any]) -> None:
        if kind == "l2Book":
            terms["nSigFigs"], terms["mantissa"] = book_terms(wire)
            fast = wire.get("fast")
            if fast not in (None, True, False):
                raise Unreadable("fast")
            terms["fast"] = bool(fast)
        elif kind == "candle":
            if _text(wire, "interval") not in INTERVALS:
                raise Unreadable("interval")
            terms["interval"] = wire["interval"]
        elif kind in ("allMids", "clearinghouseState", "openOrders", "twapStates"):
            if wire.get("dex"):
                raise Unreadable("dex")
            if kind != "allMids" or "dex" in wire:
                terms["dex"] = ""
        elif kind == "userFills":
            terms["aggregateByTime"] = bool(wire.get("aggregateByTime"))

    def find(self, key: bytes) -> Topic | None:
        """The topic of an identity."""
        return self._topics.get(key)

    def subscribe(self, client: int, key: bytes, terms: dict[str, Any], market: Market | None, now_ns: int) -> None:
        """Add a client that is not there yet, and show it how things are."""
        topic = self._topics.get(key)
        if topic is None:
            topic = self._topics[key] = Topic(key, terms, market)
            if market is not None:
                self._by_market.setdefault((topic.kind, market.index), []).append(topic)
            if topic.user:
                self._by_user.setdefault((topic.kind, topic.user), []).append(topic)
        topic.clients[client] = None
        for frame in self._picture(topic):
            self._push(Push((client,), frame))
        if topic.kind in _STATES or topic.kind in _PLAIN_KINDS:
            topic.last_ns = now_ns
            self._late[key] = topic

    def unsubscribe(self, client: int, key: bytes) -> None:
        """Take a client away."""
        topic = self._topics.get(key)
        if topic is None:
            return
        topic.clients.pop(client, None)
        if topic.clients:
            return
        del self._topics[key]
        self._late.pop(key, None)
        if topic.market is not None:
            self._by_market[topic.kind, topic.market.index].remove(topic)
        if topic.user:
            self._by_user[topic.kind, topic.user].remove(topic)

    # -- what a subscription begins with

    def _account(self, user: str) -> Account | None:
        number = self._signers.accounts.get(user)
        return None if number is None else self._accounts.all[number]

    def _picture(self, topic: Topic) -> list[bytes]:
        if topic.kind in _STATES or topic.kind in _PLAIN_KINDS:
            return [self._state(topic)]
        if topic.market is not None:
            return self._market_picture(topic, topic.market)
        return self._user_picture(topic)

    def _market_picture(self, topic: Topic, market: Market) -> list[bytes]:
        state = market.book(1)
        if topic.kind == "l2Book":
            return [self._book(topic, market)] if state.is_valid else []
        if topic.kind == "bbo":
            if not state.is_valid:
                return []
            rows = [market.levels(side)[0] if side else None for side in (state.bids, state.asks)]
            return [_frame("bbo", {"coin": market.coin, "time": ms(state.ts_event_ns), "bbo": rows})]
        if topic.kind == "trades":
            rows = [market.print_data(trade) for trade in list(market.prints)[-RECENT_PRINTS:]]
            return [_frame("trades", rows)] if rows else []
        if topic.kind == "candle":
            candle = market.latest_candle(topic.terms["interval"])
            return [] if candle is None else [_frame("candle", market.candle_data(candle, topic.terms["interval"]))]
        return [self._context(market)] if market.mark is not None else []

    def _user_picture(self, topic: Topic) -> list[bytes]:
        account, user = self._account(topic.user), topic.user
        if topic.kind == "userFills":
            rows = [] if account is None else list(account.fills)[-FILLS_MOST:]
            return [_frame("userFills", {"isSnapshot": True, "user": user, "fills": rows})]
        if topic.kind == "userFundings":
            fundings = [] if account is None else [_funding(row) for row in list(account.fundings)[-500:]]
            return [_frame("userFundings", {"isSnapshot": True, "user": user, "fundings": fundings})]
        if topic.kind == "userHistoricalOrders":
            history = self._info.answer({"type": "historicalOrders", "user": user})
            return [_frame(topic.kind, {"isSnapshot": True, "user": user, "orderHistory": history})]
        if topic.kind in _ONLY_EMPTY:
            return [_frame(topic.kind, {"isSnapshot": True, "user": user, _ONLY_EMPTY[topic.kind]: []})]
        return []

    def _state(self, topic: Topic) -> bytes:
        """A stream that repeats its whole state."""
        kind, user = topic.kind, topic.user
        if kind == "allMids":
            data: dict[str, Any] = {"mids": self._info.mids()}
            return _frame(kind, data | {"dex": ""} if "dex" in topic.terms else data)
        if kind in _PLAIN_KINDS:
            contexts = self._info.contexts()
            return _frame(kind, {"ctxs": [["", contexts]] if kind == "allDexsAssetCtxs" else contexts})
        account = self._account(user)
        if kind == "clearinghouseState":
            return _frame(kind, {"dex": "", "user": user, kind: self._accounts.clearinghouse(account)})
        if kind == "allDexsClearinghouseState":
            states = [["", self._accounts.clearinghouse(account)]]
            return _frame(kind, {"user": user, "clearinghouseStates": states})
        if kind == "openOrders":
            return _frame(kind, {"dex": "", "user": user, "orders": self._info.frontend_orders(account)})
        if kind == "spotState":
            return _frame(kind, {"user": user, "spotState": self._info.spot_state(account)})
        if kind == "twapStates":
            return _frame(kind, {"dex": "", "user": user, "states": []})
        if kind == "webData2":
            return _frame(kind, self._info.web_data(account, user))
        if kind == "activeAssetData" and topic.market is not None:
            return _frame(kind, self._accounts.asset_data(account, user, topic.market))
        about = {"agentAddress": None, "agentValidUntil": None, "cumLedger": "0.0", "isVault": False, "user": user}
        dexes = [{"totalVaultEquity": "0.0", "perpsAtOpenInterestCap": []}]
        return _frame(kind, {"userState": about | {"serverTime": self._info.now_ms()}, "perpDexStates": dexes})

    # -- from the feed

    def _of(self, kind: str, market: Market) -> Sequence[Topic]:
        return self._by_market.get((kind, market.index), ())

    def on_record(self, market: Market, record: Single, now_ns: int) -> None:
        """Push what a record of the feed says."""
        index = market.index
        self._began_ns[index] = self._began_ns[index] or now_ns
        if isinstance(record, DepthSnapshot):
            for topic in self._of("l2Book", market):
                self._snapshot(topic, market, record, now_ns)
            self._quotes_of_book(market, now_ns)
        elif isinstance(record, DepthDiff):
            for topic in self._of("l2Book", market):
                self._book_if_due(topic, market, now_ns)
            self._quotes_of_book(market, now_ns)
        elif isinstance(record, BookTicker):
            self._has_quotes[index] = True
            self._quote(market, record)
        elif isinstance(record, Trade):
            self.on_trades(market, [record])
        elif isinstance(record, MarkPrice):
            topics = self._of("activeAssetCtx", market)
            if topics:
                self._send(topics, self._context(market))

    def on_trades(self, market: Market, trades: Sequence[Trade]) -> None:
        """Push prints that came together as one frame, and the candles that they change."""
        topics = self._of("trades", market)
        if topics:
            self._send(topics, _frame("trades", [market.print_data(trade) for trade in trades]))
        for topic in self._of("candle", market):
            topic.pending = True
            self._late[topic.key] = topic

    def _snapshot(self, topic: Topic, market: Market, record: DepthSnapshot, now_ns: int) -> None:
        terms = topic.terms
        if terms["nSigFigs"] is not None or terms["fast"] or not record.in_stream:
            self._book_if_due(topic, market, now_ns)
            return
        sides = [
            market.levels(list(zip(record.bid_ticks[:LEVELS], record.bid_lots[:LEVELS], strict=True))),
            market.levels(list(zip(record.ask_ticks[:LEVELS], record.ask_lots[:LEVELS], strict=True))),
        ]
        data = {"coin": market.coin, "time": ms(record.ts_event_ns or now_ns), "levels": sides}
        self._send((topic,), _frame("l2Book", data))

    def _book(self, topic: Topic, market: Market) -> bytes:
        terms = topic.terms
        depth = FAST_LEVELS if terms["fast"] else LEVELS
        data = market.book_data(terms["nSigFigs"], terms["mantissa"], depth)
        return _frame("l2Book", data | {"fast": True} if terms["fast"] else data)

    def _book_if_due(self, topic: Topic, market: Market, now_ns: int) -> None:
        if now_ns - topic.last_ns >= BOOK_GAP_NS and market.book(1).is_valid:
            topic.last_ns = now_ns
            self._send((topic,), self._book(topic, market))

    def _quote(self, market: Market, record: BookTicker) -> None:
        topics = self._of("bbo", market)
        if not topics:
            return
        bid = market.levels([(record.bid_ticks, record.bid_lots)])[0] if record.bid_lots else None
        ask = market.levels([(record.ask_ticks, record.ask_lots)])[0] if record.ask_lots else None
        self._send(topics, _frame("bbo", {"coin": market.coin, "time": ms(record.ts_event_ns), "bbo": [bid, ask]}))

    def _quotes_of_book(self, market: Market, now_ns: int) -> None:
        """Best quotes of a feed that has none of its own: that has shown none for a second."""
        index = market.index
        topics = self._of("bbo", market)
        if self._has_quotes[index] or not topics or now_ns - self._began_ns[index] < SECOND_NS:
            return
        state = market.book(1)
        best = (state.bids[0] if state.bids else None, state.asks[0] if state.asks else None)
        if best == self._best[index] or not state.is_valid:
            return
        self._best[index] = best
        rows = [None if level is None else market.levels([level])[0] for level in best]
        self._send(topics, _frame("bbo", {"coin": market.coin, "time": ms(state.ts_event_ns), "bbo": rows}))

    def _context(self, market: Market) -> bytes:
        return _frame("activeAssetCtx", {"coin": market.coin, "ctx": market.context()})

    # -- from the account

    def on_account(
        self,
        user: str,
        updates: Sequence[dict[str, Any]] = (),
        fills: Sequence[dict[str, Any]] = (),
        others: Iterable[dict[str, Any]] = (),
        fundings: Sequence[dict[str, Any]] = (),
    ) -> None:
        """Tell an account's streams what has happened: order updates, fills, other user events, funding."""
        if updates:
            self._send(self._by_user.get(("orderUpdates", user), ()), _frame("orderUpdates", updates))
        events = self._by_user.get(("userEvents", user), ())
        if fills:
            self._send(events, _frame("user", {"fills": fills}))
            for topic in self._by_user.get(("userFills", user), ()):
                self._send((topic,), _frame("userFills", {"user": user, "fills": fills}))
            self._notify(user, fills)
        for funding in fundings:
            self._send(events, _frame("user", {"funding": funding}))
        if fundings:
            data = {"user": user, "fundings": fundings}
            self._send(self._by_user.get(("userFundings", user), ()), _frame("userFundings", data))
        for other in others:
            self._send(events, _frame("user", other))
        for kind in _STATES:
            for topic in self._by_user.get((kind, user), ()):
                topic.pending = True

    def _notify(self, user: str, fills: Sequence[dict[str, Any]]) -> None:
        topics = self._by_user.get(("notification", user), ())
        if not topics:
            return
        for row in fills:
            did = "Bought" if row["side"] == "B" else "Sold"
            text = f"{did} {row['sz'].removesuffix('.0')} {row['coin']} at ${row['px'].removesuffix('.0')}"
            self._send(topics, _frame("notification", {"notification": text}))

    # -- time

    def on_time(self, now_ns: int) -> None:
        """Push what was left for later: candles at once, states when their time has come."""
        for key, topic in list(self._late.items()):
            if topic.kind == "candle":
                topic.pending = False
                del self._late[key]
                for frame in self._picture(topic):
                    self._send((topic,), frame)
                continue
            gap_ns = now_ns - topic.last_ns
            least_ns = _MIDS_GAP_NS if topic.kind in _PLAIN_KINDS else _STATE_PERIOD_NS
            if gap_ns >= least_ns or (topic.pending and gap_ns >= _STATE_GAP_NS):
                topic.last_ns, topic.pending = now_ns, False
                self._send((topic,), self._state(topic))

    def _send(self, topics: Iterable[Topic], frame: bytes) -> None:
        clients = tuple(client for topic in topics for client in topic.clients)
        if clients:
            self._push(Push(clients, frame))


def _text(wire: Mapping[str, Any], name: str) -> str:
    value = wire.get(name)
    if not isinstance(value, str):
        raise Unreadable(name)
    return value


def _funding(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "hash"}


def _frame(channel: str, data: object) -> bytes:
    return _encode({"channel": channel, "data": data})
