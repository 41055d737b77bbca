"""A scripted Hyperliquid for the trading session's tests: a small honest venue whose messages a test may lose, repeat
or reorder. It writes the wire by hand, with none of the session's encoders."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from matching import codes
from venues.hyperliquid import auth
from venues.hyperliquid.rules import KNOWN
from venues.hyperliquid.trading import HyperliquidTrading
from venues.lifecycle import L_AMEND_SENT, L_CANCEL_SENT, L_INTENDED, L_OUTCOME_LOST, L_REQUEST_LOST, L_SENT, OrderState
from venues.orders import AmendRequest, CancelRequest, OrderRequest, fold
from venues.ports import CountingEntropy
from venues.session_parts import Reconnect, Remark, Reply, Send
from venues.trading import AccountState, Call, NotReady, Now, Open, OutcomeLost
from venues.trading_sessions import Keys, TradingWanted

KEY = "0x0123456789012345678901234567890123456789012345678901234567890123"
ADDRESS = "0x14791697260e4c9a71f18484c9f997b308e59325"
BTC, ETH = KNOWN[0], KNOWN[1]
START_MS = 1_700_000_000_000
NEVER = "Order was never placed, already canceled, or filled."


def text(number: int, decimals: int) -> str:
    whole, part = divmod(number, 10**decimals)
    return f"{whole}.{part:0{decimals}d}"


def number(given: str, decimals: int) -> int:
    whole, _, part = given.partition(".")
    return int(whole + part.ljust(decimals, "0"))


@dataclass
class Order:
    """One oid; numbers in ticks (BTC: 0.1) and lots (0.00001)."""

    oid: int
    cloid: str
    side: str
    ticks: int
    lots: int
    left: int
    placed_ms: int
    tif: str = "Gtc"
    trigger: str = ""
    reduce_only: bool = False
    status: str = "open"
    changed_ms: int = 0

    def row(self) -> dict[str, Any]:
        return {
            "coin": "BTC", "side": self.side, "limitPx": text(self.ticks, 1), "sz": text(self.left, 5),
            "oid": self.oid, "timestamp": self.placed_ms, "origSz": text(self.lots, 5), "cloid": self.cloid,
        }  # fmt: skip

    def update(self) -> dict[str, Any]:
        return {"order": self.row(), "status": self.status, "statusTimestamp": self.changed_ms}


@dataclass
class Venue:
    """One contract, one account. ``script`` may refuse an action (a text) or an order; ``fills`` says how much of an
    IOC order is matched."""

    now_ms: int = START_MS
    orders: dict[int, Order] = field(default_factory=dict)
    fills: list[dict[str, Any]] = field(default_factory=list)
    actions: list[dict[str, Any]] = field(default_factory=list)
    pushes: list[dict[str, Any]] = field(default_factory=list)
    signers: set[str] = field(default_factory=lambda: {ADDRESS})
    refuse: Callable[[dict[str, Any]], str | None] = lambda action: None
    refuse_order: Callable[[dict[str, Any]], str | None] = lambda order: None
    match: Callable[[Order], int] = lambda order: 0
    nonces: auth.SeenNonces = field(default_factory=auth.SeenNonces)
    position: int = 0
    next_oid: int = 100
    infos: dict[str, Any] = field(default_factory=dict)

    def open(self) -> list[Order]:
        return [order for order in self.orders.values() if order.status == "open"]

    def by_cloid(self, cloid: str) -> Order | None:
        found = [order for order in self.orders.values() if order.cloid == cloid]
        return found[-1] if found else None

    def _push(self, channel: str, data: Any) -> None:
        self.pushes.append({"channel": channel, "data": data})

    def _say(self, order: Order, status: str = "") -> None:
        order.status, order.changed_ms = status or order.status, self.now_ms
        self._push("orderUpdates", [order.update()])

    # -- actions

    def exchange(self, payload: dict[str, Any]) -> dict[str, Any]:
        """The answer to an action, which is executed."""
        action, nonce = payload["action"], payload["nonce"]
        signer = auth.recover_action(
            action, nonce, auth.Signature.parse(payload["signature"]), auth.MAINNET, payload.get("vaultAddress"),
            payload.get("expiresAfter"),
        )  # fmt: skip
        if signer not in self.signers:
            return {"status": "err", "response": f"User or API Wallet {signer} does not exist."}
        if not self.nonces.take(nonce, self.now_ms):
            return {"status": "err", "response": f"Invalid nonce: nonce too low {nonce} < {self.now_ms}"}
        if payload["expiresAfter"] < self.now_ms:
            return {"status": "err", "response": "action already expired"}
        refused = self.refuse(action)
        if refused:
            return {"status": "err", "response": refused}
        self.actions.append(action)
        kind = action["type"]
        if kind == "order":
            return self._answer("order", [self._place(one) for one in action["orders"]])
        if kind == "cancelByCloid":
            return self._answer("cancel", [self._cancel(self.by_cloid(one["cloid"])) for one in action["cancels"]])
        if kind == "cancel":
            return self._answer("cancel", [self._cancel(self.orders.get(one["o"])) for one in action["cancels"]])
        if kind == "batchModify":
            return self._answer("order", [self._modify(one) for one in action["modifies"]])
        return {"status": "ok", "response": {"type": "default"}}

    def _answer(self, kind: str, statuses: list[Any]) -> dict[str, Any]:
        return {"status": "ok", "response": {"type": kind, "data": {"statuses": statuses}}}

    def _place(self, wire: dict[str, Any]) -> Any:
        refused = self.refuse_order(wire)
        if refused:
            return {"error": refused}
        kind = wire["t"]
        self.next_oid += 1
        lots = number(wire["s"], 5)
        order = Order(
            self.next_oid, wire["c"], "B" if wire["b"] else "A", number(wire["p"], 1), lots, lots, self.now_ms,
            kind.get("limit", {}).get("tif", ""), kind.get("trigger", {}).get("tpsl", ""), wire["r"],
        )  # fmt: skip
        self.orders[order.oid] = order
        if order.tif == "Ioc":
            return self._match_ioc(order)
        self._say(order)
        return {"resting": {"oid": order.oid, "cloid": order.cloid}}

    def _match_ioc(self, order: Order) -> Any:
        matched = self.match(order)
        if not matched:
            self._say(order, "iocCancelRejected")
            return {"error": f"Order could not immediately match against any resting orders. asset={0}"}
        self.fill(order, matched, crossed=True)
        if order.left:
            self._say(order, "canceled")
        return {"filled": {"totalSz": text(matched, 5), "avgPx": text(order.ticks, 1), "oid": order.oid}}

    def _cancel(self, order: Order | None) -> Any:
        if order is None or order.status != "open":
            return {"error": NEVER}
        self._say(order, "canceled")
        return "success"

    def _modify(self, wire: dict[str, Any]) -> Any:
        old = self.by_cloid(wire["oid"])
        if old is None or old.status != "open":
            return {"error": "Cannot modify canceled or filled order"}
        if self.refuse_order(wire["order"]):
            return {"error": self.refuse_order(wire["order"])}
        self._say(old, "canceled")
        return self._place(wire["order"])

    # -- what happens by itself

    def fill(self, order: Order, lots: int, *, crossed: bool = False) -> None:
        order.left -= lots
        before = self.position
        self.position += lots if order.side == "B" else -lots
        row = {
            "coin": "BTC", "px": text(order.ticks, 1), "sz": text(lots, 5), "side": order.side, "time": self.now_ms,
            "startPosition": ("-" if before < 0 else "") + text(abs(before), 5), "dir": "Open Long", "closedPnl": "0.0",
            "hash": "0x00", "oid": order.oid, "crossed": crossed, "fee": "0.001", "tid": 7_000_000 + len(self.fills),
            "feeToken": "USDC", "cloid": order.cloid,
        }  # fmt: skip
        self.fills.append(row)
        self._push("userFills", {"user": ADDRESS, "fills": [row]})
        self._push("user", {"fills": [row]})
        if order.left == 0:
            self._say(order, "filled")

    def close(self, order: Order, status: str) -> None:
        self._say(order, status)

    # -- questions

    def info(self, body: dict[str, Any]) -> Any:
        kind = body["type"]
        if kind in self.infos:
            return self.infos[kind]
        if kind == "meta":
            return {"universe": [{"name": "ATOM", "szDecimals": 2, "maxLeverage": 5}, {"name": "BTC", "szDecimals": 5}]}
        if kind == "clearinghouseState":
            return {"assetPositions": self._positions(), "marginSummary": {"accountValue": "1000.5"},
                    "time": self.now_ms}  # fmt: skip
        if kind == "frontendOpenOrders":
            return [order.row() | {"isTrigger": bool(order.trigger), "reduceOnly": order.reduce_only, "tif": order.tif}
                    for order in self.open()]  # fmt: skip
        if kind == "spotClearinghouseState":
            return {"balances": [{"coin": "USDC", "token": 0, "total": "12.5", "hold": "0.0"}]}
        if kind == "userRateLimit":
            return {"cumVlm": "0.0", "nRequestsUsed": 0, "nRequestsCap": 10_000}
        if kind == "userFillsByTime":
            return [row for row in self.fills if row["time"] >= body["startTime"]]
        if kind == "orderStatus":
            order = self.by_cloid(body["oid"])
            if order is None:
                return {"status": "unknownOid"}
            return {"status": "order", "order": order.update()}
        return "default"

    def _positions(self) -> list[Any]:
        if not self.position:
            return []
        szi = ("-" if self.position < 0 else "") + text(abs(self.position), 5)
        return [{"type": "oneWay", "position": {"coin": "BTC", "szi": szi, "entryPx": "60000.1",
                 "leverage": {"type": "cross", "value": 20}, "unrealizedPnl": "0.5"}}]  # fmt: skip


def wanted(**changes: Any) -> TradingWanted:
    fields: dict[str, Any] = {
        "venue": "hyperliquid", "account": 0, "instruments": {0: BTC}, "run": "run7", "keys": Keys("", KEY),
        "rest": "http://127.0.0.1:1", "ws": "ws://127.0.0.1:1",
    }  # fmt: skip
    return TradingWanted(**fields | changes)


class Wired:
    """A session wired to the venue. What travels waits in ``pending`` (in order) until ``deliver``; ``run`` delivers
    everything. The gateway's side is played too: every order's events are folded into its lifecycle."""

    def __init__(self, venue: Venue | None = None, **changes: Any) -> None:
        self.venue = venue or Venue()
        self.session = HyperliquidTrading(wanted(**changes), CountingEntropy())
        self.mono_ns = 1_000_000_000
        self.pending: list[tuple[str, Any]] = []
        self.is_open = False
        self.opens = 0
        self.events: list[Any] = []
        self.remarks: list[str] = []
        self.calls: list[tuple[str, Any]] = []
        self.sent: list[Any] = []
        self.states: dict[int, OrderState] = {}
        self.skew_ms = 0

    @property
    def now(self) -> Now:
        return Now((self.venue.now_ms + self.skew_ms) * 1_000_000, self.mono_ns)

    def start(self) -> Wired:
        self.session.start(self.now)
        self.run()
        assert self.session.is_ready, self.remarks
        return self

    # -- the wire

    def collect(self) -> None:
        """Take what the session wants and has said."""
        while taken := self.session.take_actions():
            for action in taken:
                self._do(action)
        for event in self.session.take_events():
            self._told(event)

    def _do(self, action: Any) -> None:
        if isinstance(action, Open):
            self.opens += 1
            self.connect()
        elif isinstance(action, Send):
            self._sent(json.loads(action.payload))
        elif isinstance(action, Call):
            self._called(action)
        elif isinstance(action, Reconnect):
            self.disconnect()
            self.connect()
        elif isinstance(action, Remark):
            self.remarks.append(action.text)

    def connect(self) -> None:
        self.is_open = True
        self.session.on_open("trade", self.now)

    def disconnect(self) -> None:
        """The websocket is gone, and what travelled on it."""
        if self.is_open:
            self.is_open = False
            self.pending = [one for one in self.pending if one[0] in ("call", "reply")]
            self.session.on_close("trade", self.now)

    def _sent(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        method = message["method"]
        if not self.is_open:
            return
        if method == "subscribe":
            kind = message["subscription"]["type"]
            self.pending.append(("frame", {"channel": "subscriptionResponse", "data": message}))
            if kind == "userFills":
                data = {"user": ADDRESS, "isSnapshot": True, "fills": list(reversed(self.venue.fills))}
                self.pending.append(("frame", {"channel": "userFills", "data": data}))
            elif kind == "bbo":
                bbo = [{"px": "60000.0", "sz": "1.0", "n": 1}, {"px": "60001.0", "sz": "1.0", "n": 1}]
                data = {"coin": "BTC", "time": self.venue.now_ms, "bbo": bbo}
                self.pending.append(("frame", {"channel": "bbo", "data": data}))
        elif method == "ping":
            self.pending.append(("frame", {"channel": "pong"}))
        else:
            self.pending.append(("action", message))

    def _called(self, call: Call) -> None:
        body = json.loads(call.body)
        self.calls.append((call.what, body))
        self.pending.append(("call", (call.number, call.url, body)))

    def pushed(self) -> None:
        """What the venue has pushed travels."""
        pushes, self.venue.pushes = self.venue.pushes, []
        if self.is_open:
            self.pending += [("frame", push) for push in pushes]

    def arrive(self, at: int, *, lose_answer: bool = False) -> None:
        """A message reaches its other end."""
        kind, what = self.pending.pop(at)
        if kind == "action":
            answer = self.venue.exchange(what["request"]["payload"])
            self.pushed()
            if not lose_answer and self.is_open:
                response = {"type": "action", "payload": answer}
                self.pending.append(("frame", {"channel": "post", "data": {"id": what["id"], "response": response}}))
        elif kind == "call":
            number_, url, body = what
            reply = self.venue.info(body) if url.endswith("/info") else self.venue.exchange(body)
            self.pushed()
            found = Reply(0, {}, b"", "timeout") if lose_answer else Reply(200, {}, json.dumps(reply).encode())
            self.pending.append(("reply", (number_, found)))
        elif kind == "frame":
            self.session.on_frame("trade", json.dumps(what, separators=(",", ":")).encode(), self.now)
        else:
            self.session.on_reply(what[0], what[1], self.now)
        self.collect()

    def run(self) -> None:
        """Deliver all that travels, oldest first, and let the session take the answers that no stream repeats."""
        self.deliver()
        self.tick(100)
        self.deliver()

    def deliver(self) -> None:
        self.collect()
        self.pushed()
        for _ in range(10_000):
            if not self.pending:
                return
            self.arrive(0)
            self.pushed()
        raise AssertionError("it never ends")

    def tick(self, ms: int = 100) -> None:
        self.venue.now_ms += ms
        self.mono_ns += ms * 1_000_000
        self.session.on_tick(self.now)
        self.collect()

    def settle(self, seconds: int = 180) -> None:
        """Deliver everything while time goes on."""
        for _ in range(seconds):
            self.tick(1000)
            self.run()

    # -- the gateway's side

    def _told(self, event: Any) -> None:
        self.events.append(event)
        if isinstance(event, OutcomeLost):
            kind = L_OUTCOME_LOST if event.what == "submit" else L_REQUEST_LOST
            self.states[event.order_no].apply(kind)
        elif hasattr(event, "order_no") and event.order_no in self.states:
            fold(self.states[event.order_no], event)

    def submit(self, *requests: OrderRequest) -> None:
        for request in requests:
            state = self.states[request.order_no] = OrderState(request.order_no, request.lots)
            state.apply(L_INTENDED)
            state.apply(L_SENT)
        self.session.submit(list(requests), self.now)
        self.collect()

    def order(self, order_no: int, **changes: Any) -> OrderRequest:
        fields: dict[str, Any] = {"side": codes.BUY, "lots": 1000, "ticks": 600_000}
        return OrderRequest(account=0, instrument=0, order_no=order_no, **fields | changes)

    def cancel(self, *numbers: int) -> None:
        for one in numbers:
            if not self.states[one].is_closed:
                self.states[one].apply(L_CANCEL_SENT)
        self.session.cancel([CancelRequest(account=0, instrument=0, order_no=one) for one in numbers], self.now)
        self.collect()

    def amend(self, order_no: int, ticks: int, lots: int) -> None:
        self.states[order_no].apply(L_AMEND_SENT, lots=lots)
        request = AmendRequest(account=0, instrument=0, order_no=order_no, ticks=ticks, lots=lots)
        self.session.amend([request], self.now)
        self.collect()

    def of(self, order_no: int) -> list[Any]:
        return [event for event in self.events if getattr(event, "order_no", 0) == order_no]

    def kinds(self, order_no: int) -> list[str]:
        return [type(event).__name__ for event in self.of(order_no)]

    def account_states(self) -> list[AccountState]:
        return [event for event in self.events if isinstance(event, AccountState)]

    def not_ready(self) -> list[NotReady]:
        return [event for event in self.events if isinstance(event, NotReady)]
