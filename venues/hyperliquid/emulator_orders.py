"""Orders as Hyperliquid knows them: their terms on the wire, what has become of them, and the texts of refusals.

Theory of operation. The engine knows an order by its number within the account and keeps it over an amendment; the
venue gives every placement an ``oid``, a modified order a new one. ``Order`` is one placement. ``Orders`` finds them
by oid, by client id (the latest of that id) and by the engine's number, and remembers the last 2000 closed ones of an
account, as ``historicalOrders`` does.

What is not representable (more decimals than prices or sizes have, no such asset) is refused here; everything that the
engine can be asked is its decision. Texts end in ``asset=N`` as live answers do, unlike the venue's documentation.
Sources: hyperliquid.gitbook.io, "Error responses"; live answers quoted in the issues of ccxt and of the venue's SDK.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from matching import codes
from matching.triggers import Trigger
from venues.errors import InstrumentError
from venues.hyperliquid.emulator_numbers import Writer
from venues.hyperliquid.emulator_signers import Unreadable
from venues.hyperliquid.reasons import REASONS
from venues.orders import OrderRequest

CLOSED_KEPT: Final = 2000
FIRST_OID: Final = 100_000_000_000
_CLOID: Final = re.compile(r"0x[0-9a-fA-F]{32}")
_TIFS: Final = {"Gtc": codes.GTC, "Ioc": codes.IOC, "Alo": codes.GTX, "FrontendMarket": codes.IOC}
_KINDS: Final = {"sl": codes.TRIGGER_STOP, "tp": codes.TRIGGER_TAKE_PROFIT}
GONE: Final = "Order was never placed, already canceled, or filled."
NO_MODIFY: Final = "Cannot modify canceled or filled order"

# reason of the engine: what the venue says of the order, beside the status of ``REASONS``
_TEXTS: Final = {
    codes.R_TICK_SIZE: "Price must be divisible by tick size.",
    codes.R_MIN_NOTIONAL: "Order must have minimum value of $10.",
    codes.R_MARGIN: "Insufficient margin to place order.",
    codes.R_REDUCE_ONLY: "Reduce only order would increase position.",
    codes.R_IOC_REMAINDER: "Order could not immediately match against any resting orders.",
    codes.R_MARKET_REMAINDER: "Order could not immediately match against any resting orders.",
    codes.R_TRIGGER: "Invalid TP/SL price.",
    codes.R_NO_LIQUIDITY: "No liquidity available for market order.",
    codes.R_NO_BOOK: "No liquidity available for market order.",
    codes.R_PRICE_BAND: "Order price too far from oracle",
    codes.R_PRICE_RANGE: "Order has invalid price.",
    codes.R_LOT_SIZE: "Order has invalid size.",
    codes.R_LEVERAGE: "Order would cause position to exceed margin tier limit at current leverage",
    codes.R_MAX_POSITION: "Order would cause position to exceed margin tier limit at current leverage",
    codes.R_OPEN_INTEREST: "Order would increase open interest too quickly",
    codes.R_UNKNOWN_ORDER: GONE,
}
_STATUSES: Final = {row.reason: row.word for row in REASONS.rows}
_CANCELED: Final = {
    codes.R_REDUCE_ONLY: "reduceOnlyCanceled",
    codes.R_MARGIN: "marginCanceled",
    codes.R_POST_ONLY: "canceled",
    codes.R_IOC_REMAINDER: "canceled",
    codes.R_MARKET_REMAINDER: "canceled",
}


def refusal_text(reason: int, engine_text: str, bbo: str) -> str:
    """What the venue says of an order that the engine refused or closed for this reason."""
    if reason == codes.R_POST_ONLY:
        return f"Post only order would have immediately matched, bbo was {bbo}."
    return _TEXTS.get(reason) or engine_text or "Order rejected."


def closed_status(reason: int, was_refused: bool, has_filled: bool) -> str:
    """The order status for an order that the engine refused, canceled or expired."""
    if reason in (codes.R_IOC_REMAINDER, codes.R_MARKET_REMAINDER) and not has_filled:
        return "iocCancelRejected"
    if not was_refused and reason in _CANCELED:
        return _CANCELED[reason]
    return _STATUSES.get(reason) or ("rejected" if was_refused else "canceled")


class Terms(NamedTuple):
    """An order as a client sends it, read but not yet judged."""

    instrument: int
    side: int
    ticks: int
    lots: int
    reduce_only: bool
    tif: str | None
    is_market: bool
    trigger_ticks: int
    tpsl: str
    cloid: str | None

    def request(self, account: int, order_no: int) -> OrderRequest:
        """What the engine is asked."""
        trigger = None
        if self.tpsl:
            trigger = Trigger(_KINDS[self.tpsl], self.trigger_ticks, codes.WATCH_MARK)
        market = self.is_market and trigger is not None
        return OrderRequest(
            account=account,
            instrument=self.instrument,
            order_no=order_no,
            side=self.side,
            lots=self.lots,
            ticks=0 if market else self.ticks,
            tif=_TIFS[self.tif] if self.tif is not None and not market else codes.GTC,
            type=codes.MARKET if market else codes.LIMIT,
            reduce_only=self.reduce_only,
            trigger=trigger,
            client_id=self.cloid,
        )


class BadTerms(Exception):  # noqa: N818
    """One order of a batch that the venue refuses before it is matched: its text and status."""

    def __init__(self, text: str, status: str = "rejected") -> None:
        super().__init__(text)
        self.text, self.status = text, status


def read_cloid(value: object) -> str | None:
    """A client id, in lower case. Raises ``Unreadable``."""
    if value is None:
        return None
    if not isinstance(value, str) or not _CLOID.fullmatch(value):
        raise Unreadable("cloid")
    return value.lower()


def read_terms(wire: object, writers: Sequence[Writer]) -> Terms:
    """One order of an action. Raises ``Unreadable`` for what has no order's form, ``BadTerms`` for what the venue
    refuses by itself."""
    if not isinstance(wire, dict):
        raise Unreadable("order")
    asset, buys, reduces = wire.get("a"), wire.get("b"), wire.get("r")
    price, size, kind = wire.get("p"), wire.get("s"), wire.get("t")
    if not isinstance(asset, int) or isinstance(asset, bool) or not isinstance(buys, bool):
        raise Unreadable("order")
    if not isinstance(reduces, bool) or not isinstance(price, str) or not isinstance(size, str):
        raise Unreadable("order")
    tif, is_market, trigger_text, tpsl = _read_kind(kind)
    cloid = read_cloid(wire.get("c"))
    if not 0 <= asset < len(writers):
        raise BadTerms(f"Invalid asset: asset={asset}")
    trigger_ticks = _ticks(writers[asset], trigger_text, asset) if tpsl else 0
    return Terms(
        asset,
        codes.BUY if buys else codes.SELL,
        _ticks(writers[asset], price, asset),
        _lots(writers[asset], size, asset),
        reduces,
        tif,
        is_market,
        trigger_ticks,
        tpsl,
        cloid,
    )


def _read_kind(kind: object) -> tuple[str | None, bool, str, str]:
    """(tif, is_market, trigger price, tp or sl or nothing)."""
    if not isinstance(kind, dict) or len(kind) != 1:
        raise Unreadable("order type")
    limit, trigger = kind.get("limit"), kind.get("trigger")
    if isinstance(limit, dict):
        tif = limit.get("tif")
        if isinstance(tif, str) and tif in _TIFS:
            return tif, tif == "FrontendMarket", "", ""
    if isinstance(trigger, dict):
        price, is_market, tpsl = trigger.get("triggerPx"), trigger.get("isMarket"), trigger.get("tpsl")
        if isinstance(price, str) and isinstance(is_market, bool) and isinstance(tpsl, str) and tpsl in _KINDS:
            return None, is_market, price, tpsl
    raise Unreadable("order type")


def _ticks(writer: Writer, text: str, asset: int) -> int:
    try:
        ticks = writer.instrument.ticks_from_str(text)
    except InstrumentError as error:
        if "grid" in str(error) and "plain decimal" not in str(error):
            raise BadTerms(f"Price must be divisible by tick size. asset={asset}", "tickRejected") from None
        raise BadTerms(f"Order has invalid price. asset={asset}", "tickRejected") from None
    if ticks == 0:
        raise BadTerms(f"Order has invalid price. asset={asset}", "tickRejected")
    return ticks


def _lots(writer: Writer, text: str, asset: int) -> int:
    try:
        return writer.instrument.lots_from_str(text)
    except InstrumentError:
        raise BadTerms(f"Order has invalid size. asset={asset}") from None


class Order:
    """One placement. ``lots`` is its original size, ``base_lots`` what earlier placements of the same engine order had
    filled. ``status`` "": the engine has not answered yet."""

    __slots__ = (
        "account",
        "base_lots",
        "cancel_as",
        "cancelers",
        "children",
        "filled_lots",
        "filled_value",
        "is_done",
        "is_position_tpsl",
        "no",
        "oid",
        "parent",
        "reason",
        "siblings",
        "status",
        "status_ms",
        "terms",
        "ticks",
        "timestamp_ms",
        "told",
        "untold",
        "waiters",
        "was_refused",
        "why",
    )  # fmt: skip

    def __init__(self, oid: int, account: int, no: int, terms: Terms, now_ms: int) -> None:
        self.oid, self.account, self.no, self.terms = oid, account, no, terms
        self.ticks = terms.ticks
        self.base_lots = self.filled_lots = 0
        self.filled_value = 0  # sum of ticks x lots
        self.timestamp_ms = self.status_ms = now_ms
        self.status = self.told = ""
        self.untold: list[tuple[str, int, int]] = []  # (status, time in ms, lots left)
        self.is_done = self.was_refused = self.is_position_tpsl = False
        self.reason, self.why = codes.R_NONE, ""
        self.cancel_as = ""
        self.waiters: deque[Any] = deque(maxlen=1)
        self.cancelers: deque[Any] = deque(maxlen=10_000)
        self.parent: Order | None = None
        self.children: list[Order] = []
        self.siblings: list[Order] = []

    @property
    def left_lots(self) -> int:
        """What is not executed yet."""
        return self.terms.lots - self.filled_lots

    def turn(self, status: str, now_ms: int) -> None:
        """Take a new status, to be told on the user's streams."""
        self.status, self.status_ms = status, now_ms
        self.untold.append((status, now_ms, self.left_lots))


class Orders:
    """All orders that anybody can still ask for."""

    def __init__(self, writers: Sequence[Writer], first_oid: int = FIRST_OID) -> None:
        self.writers = writers
        self.by_oid: dict[int, Order] = {}
        self._by_cloid: dict[tuple[int, str], Order] = {}
        self._by_no: dict[tuple[int, int], Order] = {}
        self._open: dict[int, dict[int, Order]] = {}
        self._closed: dict[int, deque[Order]] = {}
        self._numbers: dict[int, int] = {}
        self._last_oid = first_oid

    def new(self, account: int, terms: Terms, now_ms: int, no: int | None = None) -> Order:
        """A new placement; ``no`` None: of an order that the engine has not seen (or, with ``number``, will)."""
        order = Order(self.next_oid(), account, 0 if no is None else no, terms, now_ms)
        self.by_oid[order.oid] = order
        self._open.setdefault(account, {})[order.oid] = order
        if terms.cloid is not None:
            self._by_cloid[account, terms.cloid] = order
        if no is not None:
            self._by_no[account, no] = order
        return order

    def next_oid(self) -> int:
        """An oid that nobody has had."""
        self._last_oid += 1
        return self._last_oid

    def number(self, order: Order) -> int:
        """Give an order the next number of its account."""
        no = self._numbers[order.account] = self._numbers.get(order.account, 0) + 1
        order.no = no
        self._by_no[order.account, no] = order
        return no

    def of_engine(self, account: int, no: int) -> Order | None:
        """The latest placement of an engine's order."""
        return self._by_no.get((account, no))

    def find(self, account: int, key: object) -> Order | None:
        """By oid or client id (any case), of this account."""
        if isinstance(key, str):
            return self._by_cloid.get((account, key.lower()))
        order = self.by_oid.get(key) if isinstance(key, int) else None
        return order if order is not None and order.account == account else None

    def open(self, account: int) -> Iterator[Order]:
        """Those that rest, are held, or wait for their parent; latest first."""
        return (order for order in reversed(self._open.get(account, {}).values()) if order.status)

    def history(self, account: int) -> list[Order]:
        """Open and closed ones, at most 2000, latest first."""
        found = [*self.open(account), *self._closed.get(account, ())]
        return sorted(found, key=lambda order: (order.status_ms, order.oid), reverse=True)[:CLOSED_KEPT]

    def close(self, order: Order) -> None:
        """The order is done; what falls out of memory is forgotten."""
        if order.is_done:
            return
        order.is_done = True
        self._open.get(order.account, {}).pop(order.oid, None)
        closed = self._closed.setdefault(order.account, deque(maxlen=CLOSED_KEPT))
        if len(closed) == CLOSED_KEPT:
            self._forget(closed[-1])
        closed.appendleft(order)

    def rename(self, old: Order, new: Order) -> None:
        """The engine's order goes on as another placement."""
        new.no = old.no
        self._by_no[old.account, old.no] = new

    def discard(self, order: Order, old: Order) -> None:
        """A placement that never came about, since ``old`` was not modified."""
        order.is_done = True
        self._open.get(order.account, {}).pop(order.oid, None)
        self._forget(order)
        if old.terms.cloid is not None and old.oid in self.by_oid:
            self._by_cloid.setdefault((old.account, old.terms.cloid), old)

    def _forget(self, order: Order) -> None:
        self.by_oid.pop(order.oid, None)
        cloid = order.terms.cloid
        if cloid is not None and self._by_cloid.get((order.account, cloid)) is order:
            del self._by_cloid[order.account, cloid]
        if self._by_no.get((order.account, order.no)) is order:
            del self._by_no[order.account, order.no]

    # -- as the wire has them

    def brief(self, order: Order) -> dict[str, Any]:
        """As ``openOrders``."""
        writer = self.writers[order.terms.instrument]
        found = {
            "coin": writer.instrument.symbol,
            "side": "B" if order.terms.side == codes.BUY else "A",
            "limitPx": writer.price(order.ticks),
            "sz": writer.size(order.left_lots),
            "oid": order.oid,
            "timestamp": order.timestamp_ms,
            "origSz": writer.size(order.terms.lots),
        }
        if order.terms.reduce_only:
            found["reduceOnly"] = True
        if order.terms.cloid is not None:
            found["cloid"] = order.terms.cloid
        return found

    def update(self, order: Order, status: str, now_ms: int, left_lots: int) -> dict[str, Any]:
        """As ``orderUpdates``."""
        writer = self.writers[order.terms.instrument]
        found = {
            "coin": writer.instrument.symbol,
            "side": "B" if order.terms.side == codes.BUY else "A",
            "limitPx": writer.price(order.ticks),
            "sz": writer.size(left_lots),
            "oid": order.oid,
            "timestamp": order.timestamp_ms,
            "origSz": writer.size(order.terms.lots),
        }
        if order.terms.cloid is not None:
            found["cloid"] = order.terms.cloid
        return {"order": found, "status": status, "statusTimestamp": now_ms}

    def full(self, order: Order) -> dict[str, Any]:
        """As ``frontendOpenOrders`` and, within its status, ``orderStatus`` and ``historicalOrders``."""
        writer, terms = self.writers[order.terms.instrument], order.terms
        return {
            "coin": writer.instrument.symbol,
            "side": "B" if terms.side == codes.BUY else "A",
            "limitPx": writer.price(order.ticks),
            "sz": writer.size(order.left_lots),
            "oid": order.oid,
            "timestamp": order.timestamp_ms,
            "triggerCondition": self._condition(order, writer),
            "isTrigger": bool(terms.tpsl),
            "triggerPx": writer.price(terms.trigger_ticks) if terms.tpsl else "0.0",
            "children": [self.full(child) for child in order.children],
            "isPositionTpsl": order.is_position_tpsl,
            "reduceOnly": terms.reduce_only,
            "orderType": order_type(terms),
            "origSz": writer.size(terms.lots),
            "tif": terms.tif if not terms.tpsl else None if terms.is_market else "Gtc",
            "cloid": terms.cloid,
        }

    @staticmethod
    def _condition(order: Order, writer: Writer) -> str:
        terms = order.terms
        if not terms.tpsl:
            return "N/A"
        if "triggered" in (order.status, order.told):
            return "Triggered"
        above = (terms.side == codes.BUY) == (terms.tpsl == "sl")
        return f"Price {'above' if above else 'below'} {writer.price(terms.trigger_ticks).removesuffix('.0')}"

    def with_status(self, order: Order) -> dict[str, Any]:
        """The order with what has become of it."""
        return {"order": self.full(order), "status": order.status or "open", "statusTimestamp": order.status_ms}


def order_type(terms: Terms) -> str:
    """The venue's name for the kind of order."""
    if terms.tpsl:
        return f"{'Stop' if terms.tpsl == 'sl' else 'Take Profit'} {'Market' if terms.is_market else 'Limit'}"
    return "Market" if terms.is_market else "Limit"
