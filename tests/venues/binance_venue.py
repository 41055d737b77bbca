"""A venue for tests of Binance trading sessions: what the wire says, scripted, with faults. Written from the venue's
documents, independently of the emulator. One symbol, no matching: tests say what fills."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from matching import codes
from venues.binance.auth import Signer
from venues.binance.trading import BinanceTrading
from venues.instruments import Instrument
from venues.orders import AmendRequest, CancelRequest, OrderRequest, SettingRequest
from venues.ports import CountingEntropy
from venues.session_parts import SECOND, Ping, Reconnect, Remark, Reply, Send
from venues.trading import Action, Call, Event, Now, Open
from venues.trading_sessions import Keys, TradingWanted

KEY, SECRET = "testkey", "testsecret"
START_NS = 1_790_000_000 * SECOND
BTC = Instrument("binance_usdm", "BTCUSDT", "BTC", "USDT", "USDT", False, Decimal("0.1"), Decimal("0.001"))
BTC_COIN = Instrument(
    "binance_coinm", "BTCUSD_PERP", "BTC", "USD", "BTC", True, Decimal("0.1"), Decimal(1), Decimal(100)
)
OPEN = ("NEW", "PARTIALLY_FILLED")


class Venue:
    """The account's side of the wire. ``stream`` holds user events not delivered yet."""

    def __init__(self, instrument: Instrument = BTC) -> None:
        self.instrument, self.symbol = instrument, instrument.symbol
        self.fee_asset = instrument.settle
        self.now_ms = START_NS // 1_000_000
        self.skew_ms = 0
        self.orders: dict[str, dict[str, Any]] = {}
        self.algos: dict[str, dict[str, Any]] = {}
        self.trades: list[dict[str, Any]] = []
        self.stream: deque[bytes] = deque(maxlen=100_000)
        self.refusals: dict[str, deque[tuple[int, Any]]] = {}  # by path or method: answers given instead
        self.position = 0
        self.income: list[dict[str, Any]] = []
        self.rates: list[dict[str, Any]] = []
        self.key = "listen1"
        self.dual = False
        self.leverage, self.mode = 20, "CROSSED"
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self._ids = 1000
        self._signer = Signer(SECRET)

    # -- requests

    def handle(self, call: Call) -> Reply:
        parts = urlsplit(call.url)
        body = call.body.decode()
        parameters = dict(parse_qsl(parts.query, keep_blank_values=True) + parse_qsl(body, keep_blank_values=True))
        self.asked.append((call.method, parts.path, parameters))
        name = f"{call.method} {parts.path.rpartition('/')[2]}"
        if "signature" in parameters:
            text, _, signature = (parts.query + body).rpartition("&signature=")
            if self._signer.sign(text.encode()) != signature:
                return self._reply(400, {"code": -1022, "msg": "Signature for this request is not valid."})
        found = self._checked(name, parameters, call.headers.get("X-MBX-APIKEY"))
        return self._reply(*found)

    def handle_frame(self, payload: bytes) -> bytes:
        frame = msgspec.json.decode(payload)
        parameters = {name: str(value) for name, value in frame["params"].items()}
        self.asked.append(("WS", frame["method"], parameters))
        signature = parameters.pop("signature", "")
        text = "&".join(f"{name}={parameters[name]}" for name in sorted(parameters))
        if self._signer.sign(text.encode()) != signature:
            status, found = 400, {"code": -1022, "msg": "Signature for this request is not valid."}
        else:
            names = {"order.place": "POST order", "order.cancel": "DELETE order", "order.modify": "PUT order",
                     "order.status": "GET order", "algoOrder.place": "POST algoOrder",
                     "algoOrder.cancel": "DELETE algoOrder"}  # fmt: skip
            status, found = self._checked(names[frame["method"]], parameters, parameters.get("apiKey"))
        reply: dict[str, Any] = {"id": frame["id"], "status": status}
        reply["result" if status == 200 else "error"] = found
        limits = [{"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300, "count": 1}]
        return msgspec.json.encode({**reply, "rateLimits": limits})

    def _reply(self, status: int, found: Any) -> Reply:
        body = found if isinstance(found, bytes) else msgspec.json.encode(found)
        return Reply(status, {"x-mbx-used-weight-1m": "7"}, body)

    def _checked(self, name: str, parameters: dict[str, str], key: str | None) -> tuple[int, Any]:
        for what in (name, "*"):
            if self.refusals.get(what):
                return self.refusals[what].popleft()
        if name in ("GET time", "GET fundingRate"):
            return self._do(name, parameters)
        if key != KEY:
            return 401, {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}
        if not name.endswith("listenKey"):
            stamp, now = int(parameters["timestamp"]), self.now_ms + self.skew_ms
            if stamp >= now + 1000 or now - stamp > int(parameters["recvWindow"]):
                return 400, {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}
        return self._do(name, parameters)

    def _do(self, name: str, parameters: dict[str, str]) -> tuple[int, Any]:
        method, _, what = name.partition(" ")
        return getattr(self, f"_{method}_{what}".lower())(parameters)  # type: ignore[no-any-return]

    def _get_time(self, parameters: dict[str, str]) -> tuple[int, Any]:
        return 200, {"serverTime": self.now_ms + self.skew_ms}

    def _post_listenkey(self, parameters: dict[str, str]) -> tuple[int, Any]:
        return 200, {"listenKey": self.key}

    def _put_listenkey(self, parameters: dict[str, str]) -> tuple[int, Any]:
        return 200, {"listenKey": self.key}

    def _delete_listenkey(self, parameters: dict[str, str]) -> tuple[int, Any]:
        return 200, {}

    def _get_dual(self, parameters: dict[str, str]) -> tuple[int, Any]:
        return 200, {"dualSidePosition": self.dual}

    def _get_account(self, parameters: dict[str, str]) -> tuple[int, Any]:
        return 200, {"assets": [{"asset": self.instrument.settle, "walletBalance": "1000.00000000", "new": 1}]}

    def _get_positionrisk(self, parameters: dict[str, str]) -> tuple[int, Any]:
        row = {
            "symbol": self.symbol, "positionAmt": f"{self.instrument.size_of(abs(self.position))}",
            "entryPrice": "50000.123456789", "positionSide": "BOTH", "leverage": "20", "marginType": "cross",
        }  # fmt: skip
        if self.position < 0:
            row["positionAmt"] = "-" + row["positionAmt"]
        return 200, [row] if self.position else []

    def _get_symbolconfig(self, parameters: dict[str, str]) -> tuple[int, Any]:
        row = {"symbol": self.symbol, "marginType": self.mode, "isAutoAddMargin": False, "leverage": self.leverage}
        return 200, [row]

    def _get_openorders(self, parameters: dict[str, str]) -> tuple[int, Any]:
        return 200, [self._shown(order) for order in self.orders.values() if order["status"] in OPEN]

    def _get_openalgoorders(self, parameters: dict[str, str]) -> tuple[int, Any]:
        return 200, [dict(algo) for algo in self.algos.values() if algo["algoStatus"] == "NEW"]

    def _get_usertrades(self, parameters: dict[str, str]) -> tuple[int, Any]:
        rows = self.trades
        if "orderId" in parameters:
            rows = [row for row in rows if row["orderId"] == int(parameters["orderId"])]
        if "fromId" in parameters:
            rows = [row for row in rows if row["id"] >= int(parameters["fromId"])]
        if "startTime" in parameters:
            rows = [row for row in rows if row["time"] >= int(parameters["startTime"])]
        return 200, rows[-int(parameters["limit"]) :]

    def _get_income(self, parameters: dict[str, str]) -> tuple[int, Any]:
        return 200, [row for row in self.income if row["time"] >= int(parameters["startTime"])]

    def _get_fundingrate(self, parameters: dict[str, str]) -> tuple[int, Any]:
        return 200, self.rates

    # -- orders

    def _shown(self, order: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in order.items() if name != "lots"} | {"unknownField": {"x": 1}}

    def _post_order(self, parameters: dict[str, str]) -> tuple[int, Any]:
        name = parameters["newClientOrderId"]
        if name in self.orders and self.orders[name]["status"] in OPEN:
            return 400, {"code": -4116, "msg": "ClientOrderId is duplicated."}
        self._ids += 1
        order = {
            "orderId": self._ids, "symbol": parameters["symbol"], "status": "NEW", "clientOrderId": name,
            "price": parameters.get("price", "0"), "origQty": parameters["quantity"], "executedQty": "0",
            "side": parameters["side"], "type": parameters["type"], "timeInForce": parameters.get("timeInForce", "GTC"),
            "reduceOnly": parameters.get("reduceOnly") == "true", "updateTime": self.now_ms,
            "positionSide": parameters.get("positionSide", "BOTH"),
        }  # fmt: skip
        self.orders[name] = order
        self.push(order, "NEW")
        return 200, self._shown(order)

    def _post_batchorders(self, parameters: dict[str, str]) -> tuple[int, Any]:
        return 200, [self._element("POST order", row) for row in msgspec.json.decode(parameters["batchOrders"])]

    def _put_batchorders(self, parameters: dict[str, str]) -> tuple[int, Any]:
        return 200, [self._element("PUT order", row) for row in msgspec.json.decode(parameters["batchOrders"])]

    def _delete_batchorders(self, parameters: dict[str, str]) -> tuple[int, Any]:
        names = msgspec.json.decode(parameters["origClientOrderIdList"])
        return 200, [self._element("DELETE order", {"origClientOrderId": name}) for name in names]

    def _element(self, name: str, parameters: dict[str, str]) -> Any:
        if self.refusals.get(f"element {name}"):
            return self.refusals[f"element {name}"].popleft()[1]
        return self._do(name, parameters)[1]

    def _named(self, parameters: dict[str, str]) -> dict[str, Any] | None:
        if "orderId" in parameters:
            return next((o for o in self.orders.values() if o["orderId"] == int(parameters["orderId"])), None)
        return self.orders.get(parameters["origClientOrderId"])

    def _get_order(self, parameters: dict[str, str]) -> tuple[int, Any]:
        order = self._named(parameters)
        if order is None:
            return 400, {"code": -2013, "msg": "Order does not exist."}
        return 200, self._shown(order)

    def _get_allorders(self, parameters: dict[str, str]) -> tuple[int, Any]:
        first = int(parameters["orderId"])
        rows = [self._shown(order) for order in self.orders.values() if order["orderId"] >= first]
        return 200, rows[: int(parameters["limit"])]

    def _delete_order(self, parameters: dict[str, str]) -> tuple[int, Any]:
        order = self._named(parameters)
        if order is None or order["status"] not in OPEN:
            return 400, {"code": -2011, "msg": "Unknown order sent."}
        self.end(order, "CANCELED")
        return 200, self._shown(order)

    def _delete_allopenorders(self, parameters: dict[str, str]) -> tuple[int, Any]:
        for order in self.orders.values():
            if order["status"] in OPEN:
                self.end(order, "CANCELED")
        return 200, {"code": 200, "msg": "The operation of cancel all open order is done."}

    def _put_order(self, parameters: dict[str, str]) -> tuple[int, Any]:
        order = self._named(parameters)
        if order is None or order["status"] not in OPEN:
            return 400, {"code": -2013, "msg": "Order does not exist."}
        if (order["price"], order["origQty"]) == (parameters["price"], parameters["quantity"]):
            return 400, {"code": -5027, "msg": "No need to modify the order."}
        if Decimal(parameters["quantity"]) <= Decimal(order["executedQty"]):
            self.end(order, "CANCELED")
            return 200, self._shown(order)
        order["price"], order["origQty"], order["updateTime"] = parameters["price"], parameters["quantity"], self.now_ms
        self.push(order, "AMENDMENT")
        return 200, self._shown(order)

    def fill(self, name: str, lots: int, price: str = "50000.0") -> None:
        """So many lots of an order are executed."""
        order = self.orders[name]
        self._ids += 1
        filled = Decimal(order["executedQty"]) + self.instrument.size_of(lots)
        order["executedQty"], order["updateTime"] = str(filled), self.now_ms
        order["status"] = "FILLED" if filled == Decimal(order["origQty"]) else "PARTIALLY_FILLED"
        size = self.instrument.size_str(lots)
        self.position += lots if order["side"] == "BUY" else -lots
        self.trades.append(
            {"id": self._ids, "orderId": order["orderId"], "symbol": self.symbol, "price": price, "qty": size,
             "commission": "0.01000000", "commissionAsset": self.fee_asset, "realizedPnl": "-0.5",
             "time": self.now_ms, "maker": True, "buyer": True, "side": order["side"], "positionSide": "BOTH"}
        )  # fmt: skip
        self.push(order, "TRADE", l=size, L=price, t=self._ids, n="0.01000000", N=self.fee_asset, rp="-0.5")

    def end(self, order: dict[str, Any], status: str, expiry: int = 0) -> None:
        """An order is over."""
        order["status"], order["updateTime"] = status, self.now_ms
        self.push(order, "CANCELED" if status == "CANCELED" else "EXPIRED", er=str(expiry))

    def push(self, order: dict[str, Any], execution: str, **more: Any) -> None:
        """An ORDER_TRADE_UPDATE with all that the venue's sample has."""
        found = {
            "s": order["symbol"], "c": order["clientOrderId"], "S": order["side"], "o": order["type"],
            "f": order["timeInForce"], "q": order["origQty"], "p": order["price"], "ap": "0", "sp": "0",
            "x": execution, "X": order["status"], "i": order["orderId"], "l": "0", "z": order["executedQty"],
            "L": "0", "T": self.now_ms, "t": 0, "b": "0", "a": "9.91", "m": True, "R": False,
            "wt": "CONTRACT_PRICE", "ot": order["type"], "ps": "BOTH", "cp": False, "rp": "0", "pP": False, "si": 0,
            "ss": 0, "V": "EXPIRE_MAKER", "pm": "NONE", "gtd": 0, "er": "0",
        }  # fmt: skip
        self.say({"e": "ORDER_TRADE_UPDATE", "E": self.now_ms, "T": self.now_ms, "o": found | more})

    def say(self, event: Any) -> None:
        """An event of the user stream."""
        self.stream.append(msgspec.json.encode(event))

    # -- conditional orders

    def _post_algoorder(self, parameters: dict[str, str]) -> tuple[int, Any]:
        self._ids += 1
        algo = {
            "algoId": self._ids, "clientAlgoId": parameters["clientAlgoId"], "algoType": "CONDITIONAL",
            "orderType": parameters["type"], "symbol": self.symbol, "side": parameters["side"],
            "positionSide": "BOTH", "quantity": parameters.get("quantity"), "algoStatus": "NEW", "actualOrderId": "",
            "price": parameters.get("price", "0"), "triggerPrice": parameters.get("triggerPrice"),
            "icebergQuantity": None, "reduceOnly": False, "createTime": self.now_ms, "updateTime": self.now_ms,
        }  # fmt: skip
        self.algos[parameters["clientAlgoId"]] = algo
        self.algo(algo, "NEW")
        return 200, algo

    def _get_algoorder(self, parameters: dict[str, str]) -> tuple[int, Any]:
        algo = self.algos.get(parameters["clientAlgoId"])
        return (200, algo) if algo is not None else (400, {"code": -2013, "msg": "Order does not exist."})

    def _delete_algoorder(self, parameters: dict[str, str]) -> tuple[int, Any]:
        algo = self.algos.get(parameters["clientAlgoId"])
        if algo is None or algo["algoStatus"] != "NEW":
            return 400, {"code": -2011, "msg": "Unknown order sent."}
        self.algo(algo, "CANCELED")
        return 200, {"algoId": algo["algoId"], "clientAlgoId": algo["clientAlgoId"], "code": "200", "msg": "success"}

    def _delete_algoopenorders(self, parameters: dict[str, str]) -> tuple[int, Any]:
        for algo in self.algos.values():
            if algo["algoStatus"] == "NEW":
                self.algo(algo, "CANCELED")
        return 200, {"code": 200, "msg": "The operation of cancel all open order is done."}

    def trigger(self, name: str) -> str:
        """A conditional order enters the book; the client id of the order that comes of it."""
        algo = self.algos[name]
        self.algo(algo, "TRIGGERING")
        self._ids += 1
        engine = {
            "orderId": self._ids, "symbol": self.symbol, "status": "NEW", "clientOrderId": f"algo{self._ids}",
            "price": algo["price"], "origQty": algo["quantity"], "executedQty": "0", "side": algo["side"],
            "type": "MARKET", "timeInForce": "GTC", "reduceOnly": False, "positionSide": "BOTH",
            "updateTime": self.now_ms,
        }  # fmt: skip
        self.orders[engine["clientOrderId"]] = engine
        self.push(engine, "NEW")
        algo["actualOrderId"] = str(self._ids)
        self.algo(algo, "TRIGGERED")
        return str(engine["clientOrderId"])

    def algo(self, algo: dict[str, Any], status: str, why: str = "") -> None:
        """An ALGO_UPDATE."""
        algo["algoStatus"], algo["updateTime"] = status, self.now_ms
        found = {
            "caid": algo["clientAlgoId"], "aid": algo["algoId"], "at": "CONDITIONAL", "o": algo["orderType"],
            "s": self.symbol, "S": algo["side"], "ps": "BOTH", "f": "GTC", "q": algo["quantity"] or "0", "X": status,
            "ai": algo["actualOrderId"], "tp": "1", "p": algo["price"], "V": "EXPIRE_MAKER", "wt": "CONTRACT_PRICE",
            "pm": "NONE", "cp": False, "pP": False, "R": False, "tt": 0, "gtd": 0, "rm": why, "ia": False,
        }  # fmt: skip
        self.say({"e": "ALGO_UPDATE", "T": self.now_ms, "E": self.now_ms, "o": found})

    # -- settings

    def _post_leverage(self, parameters: dict[str, str]) -> tuple[int, Any]:
        self.leverage = int(parameters["leverage"])
        self.say({"e": "ACCOUNT_CONFIG_UPDATE", "E": self.now_ms, "T": self.now_ms,
                  "ac": {"s": self.symbol, "l": self.leverage}})  # fmt: skip
        return 200, {"leverage": self.leverage, "maxNotionalValue": "1000000", "symbol": self.symbol}

    def _post_margintype(self, parameters: dict[str, str]) -> tuple[int, Any]:
        if self.mode == parameters["marginType"]:
            return 400, {"code": -4046, "msg": "No need to change margin type."}
        self.mode = parameters["marginType"]
        return 200, {"code": 200, "msg": "success"}

    def _post_positionmargin(self, parameters: dict[str, str]) -> tuple[int, Any]:
        return 200, {"amount": parameters["amount"], "code": 200, "msg": "Success.", "type": int(parameters["type"])}

    def _post_countdowncancelall(self, parameters: dict[str, str]) -> tuple[int, Any]:
        return 200, {"symbol": self.symbol, "countdownTime": parameters["countdownTime"]}


class Drive:
    """A session and its venue: carries actions and answers between them. ``hold`` keeps them for the test to deal
    with: answers in ``answers`` as (connection or call number, reply)."""

    def __init__(
        self, venue: Venue | None = None, *, key: str = KEY, secret: str = SECRET, ws: bool = True, direct: bool = True
    ) -> None:
        self.venue = venue or Venue()
        instrument = self.venue.instrument
        wanted = TradingWanted(
            instrument.venue, 0, {3: instrument}, "run1", Keys(key, secret), rest="http://127.0.0.1:1",
            ws="ws://127.0.0.1:2",
        )  # fmt: skip
        self.session = BinanceTrading(wanted, CountingEntropy())
        if direct:
            name = self.session.desk.api_name
            self.session.set_outlet(name, lambda frame: self._write(Send(name, frame)))
        self.mono_ns = 77 * SECOND
        self.ws = ws  # whether the websocket API can be reached
        self.hold = False
        self.urls: dict[str, str] = {}
        self.connected: set[str] = set()
        self.answers: list[tuple[str | int, Any]] = []
        self.events: list[Event] = []
        self.remarks: list[str] = []
        self.actions: list[Action] = []

    @property
    def now(self) -> Now:
        return Now(self.venue.now_ms * 1_000_000, self.mono_ns)

    def start(self) -> Drive:
        """Until the session is ready, or will not be."""
        self.session.start(self.now)
        self.run()
        return self

    def run(self) -> None:
        """Carry out what the session wants, until nothing is left; deliver the stream."""
        for _ in range(1000):
            actions = self.session.take_actions()
            self.actions += actions
            self.events += self.session.take_events()
            for action in actions:
                self._act(action)
            if not self.hold and self.answers:
                for answer in self.answers[:]:
                    self.answers.remove(answer)
                    self.deliver(answer)
                continue
            if not self.hold and self.venue.stream and self.user in self.connected:
                self.say_next()
                continue
            if not actions:
                return
        raise AssertionError("the session does not come to rest")

    def _write(self, action: Send) -> None:
        self.actions.append(action)
        self._act(action)

    def _act(self, action: Action) -> None:
        if isinstance(action, Call):
            self.answers.append((action.number, self.venue.handle(action)))
        elif isinstance(action, Send):
            assert action.connection in self.connected
            self.answers.append((action.connection, self.venue.handle_frame(action.payload)))
        elif isinstance(action, Open):
            self.urls[action.connection] = action.url
            if action.connection not in self.connected and (self.ws or not action.connection.endswith("/api")):
                self.open(action.connection)
        elif isinstance(action, Reconnect):
            self.close(action.connection)
            self.open(action.connection)
        elif isinstance(action, Remark):
            self.remarks.append(action.text)
        else:
            assert isinstance(action, Ping)

    @property
    def user(self) -> str:
        return f"{self.session.venue}/user"

    @property
    def api(self) -> str:
        return f"{self.session.venue}/api"

    def open(self, connection: str) -> None:
        self.connected.add(connection)
        self.session.on_open(connection, self.now)

    def close(self, connection: str, *, lose_stream: bool = False) -> None:
        """The connection is cut; answers under way on it are lost, and events if the test says so."""
        self.connected.discard(connection)
        self.answers = [one for one in self.answers if one[0] != connection]
        if lose_stream:
            self.venue.stream.clear()
        self.session.on_close(connection, self.now)

    def deliver(self, answer: tuple[str | int, Any]) -> None:
        who, what = answer
        if isinstance(who, int):
            self.session.on_reply(who, what, self.now)
        else:
            self.session.on_frame(who, what, self.now)

    def say_next(self) -> None:
        """Deliver the next event of the stream."""
        self.session.on_frame(self.user, self.venue.stream.popleft(), self.now)

    def pass_time(self, ns: int, step_ns: int = SECOND // 2) -> None:
        """Let time pass, carrying out what is wanted."""
        for _ in range(max(1, ns // step_ns)):
            self.mono_ns += step_ns
            self.venue.now_ms += step_ns // 1_000_000
            self.session.on_tick(self.now)
            self.run()

    def taken(self) -> list[Event]:
        """The events so far; they are then forgotten."""
        found = [*self.events, *self.session.take_events()]
        self.events.clear()
        return found


# -- commands, and what came of them


def order(number: int, **more: Any) -> OrderRequest:
    values: dict[str, Any] = {"account": 0, "instrument": 3, "order_no": number, "side": codes.BUY, "lots": 10}
    return OrderRequest(**(values | {"ticks": 500_000} | more))


def cancel(number: int) -> CancelRequest:
    return CancelRequest(account=0, instrument=3, order_no=number)


def amend(number: int, ticks: int, lots: int) -> AmendRequest:
    return AmendRequest(account=0, instrument=3, order_no=number, ticks=ticks, lots=lots)


def names(events: Iterable[Event]) -> list[str]:
    return [type(event).__name__ for event in events]


def placed(count: int = 1, **more: Any) -> Drive:
    """A ready session with open orders 1, 2 ..., their events taken."""
    drive = Drive(**more).start()
    for number in range(1, count + 1):
        drive.session.submit([order(number)], drive.now)
        drive.run()
    drive.taken()
    return drive


def setting(kind: int, value: int, number: int = 1) -> SettingRequest:
    return SettingRequest(account=0, instrument=3, number=number, setting=kind, value=value)
