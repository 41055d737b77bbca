"""What Binance says of an account: user stream events, replies over REST and the websocket API, as typed messages.

Messages keep the venue's decimal strings; ``Numbers`` makes integers of them, exactly, without floats. Unknown fields
are ignored, a missing or malformed one is a ``PayloadError`` naming it; events of kinds not listed are ``None``.

Sources: developers.binance.com, derivatives, usds-margined-futures: user-data-streams, trade, account (rest-api and
websocket-api); the same of coin-margined-futures.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, TypeAlias

import msgspec

from matching.codes import BUY, FLAG_LONG_LEG, FLAG_SHORT_LEG, SELL
from venues.errors import InstrumentError
from venues.instruments import Instrument, money_e8_from_str, rate_e12_from_str
from venues.wire import UNDECODABLE, Ms, WireCodec

OrderId: TypeAlias = int | str
LEGS: Final = {"BOTH": 0, "LONG": FLAG_LONG_LEG, "SHORT": FLAG_SHORT_LEG}
_E8: Final = Decimal(10**8)


# -- user stream


class OrderUpdate(
    msgspec.Struct,
    frozen=True,
    gc=False,
    rename={
        "symbol": "s", "client_id": "c", "side": "S", "tif": "f", "quantity": "q", "price": "p", "execution": "x",
        "status": "X", "order_id": "i", "last_quantity": "l", "filled": "z", "last_price": "L", "fee_asset": "N",
        "fee": "n", "trade_ms": "T", "trade_id": "t", "maker": "m", "realized": "rp", "leg": "ps", "expiry": "er",
        "type": "o", "modify_id": "M",
    },
):  # fmt: skip
    symbol: str
    client_id: str
    side: str
    quantity: str
    price: str
    execution: str
    status: str
    order_id: int
    last_quantity: str
    filled: str
    last_price: str
    trade_ms: Ms
    trade_id: int
    maker: bool = False
    type: str = ""
    tif: str = ""
    fee_asset: str | None = None
    fee: str | None = None
    realized: str = "0"
    leg: str = "BOTH"
    expiry: OrderId = 0
    modify_id: OrderId = 0


class OrderTradeUpdate(msgspec.Struct, frozen=True, gc=False, tag_field="e", tag="ORDER_TRADE_UPDATE",
                       rename={"event_ms": "T", "order": "o"}):  # fmt: skip
    event_ms: Ms
    order: OrderUpdate


class BalanceRow(msgspec.Struct, frozen=True, gc=False, rename={"asset": "a", "wallet": "wb", "change": "bc"}):
    asset: str
    wallet: str
    change: str = "0"


class PositionRow(
    msgspec.Struct,
    frozen=True,
    gc=False,
    rename={"symbol": "s", "amount": "pa", "entry": "ep", "mode": "mt", "leg": "ps"},
):
    symbol: str
    amount: str
    entry: str
    mode: str = "cross"
    leg: str = "BOTH"


class AccountChange(
    msgspec.Struct, frozen=True, rename={"reason": "m", "balances": "B", "positions": "P", "symbol": "S"}
):
    reason: str
    balances: list[BalanceRow] = []
    positions: list[PositionRow] = []
    symbol: str = ""


class AccountUpdate(msgspec.Struct, frozen=True, tag_field="e", tag="ACCOUNT_UPDATE",
                    rename={"event_ms": "T", "account": "a"}):  # fmt: skip
    event_ms: Ms
    account: AccountChange


class MarginRow(
    msgspec.Struct,
    frozen=True,
    gc=False,
    rename={"symbol": "s", "unrealized": "up", "maintenance": "mm", "isolated": "iw", "mode": "mt"},
):
    symbol: str
    unrealized: str
    maintenance: str
    isolated: str = "0"
    mode: str = "CROSSED"


class MarginCall(msgspec.Struct, frozen=True, tag_field="e", tag="MARGIN_CALL",
                 rename={"push_ms": "E", "cross_wallet": "cw", "positions": "p"}):  # fmt: skip
    push_ms: Ms
    positions: list[MarginRow]
    cross_wallet: str = "0"


class LeverageChange(msgspec.Struct, frozen=True, gc=False, rename={"symbol": "s", "leverage": "l"}):
    symbol: str
    leverage: int


class ConfigUpdate(msgspec.Struct, frozen=True, tag_field="e", tag="ACCOUNT_CONFIG_UPDATE",
                   rename={"event_ms": "T", "leverage": "ac"}):  # fmt: skip
    event_ms: Ms
    leverage: LeverageChange | None = None


class AlgoOrder(
    msgspec.Struct,
    frozen=True,
    gc=False,
    rename={
        "client_id": "caid", "algo_id": "aid", "symbol": "s", "status": "X", "order_id": "ai", "why": "rm",
    },
):  # fmt: skip
    client_id: str
    algo_id: int
    symbol: str
    status: str
    order_id: OrderId | None = None
    why: str = ""


class AlgoUpdate(msgspec.Struct, frozen=True, tag_field="e", tag="ALGO_UPDATE",
                 rename={"event_ms": "T", "order": "o"}):  # fmt: skip
    event_ms: Ms
    order: AlgoOrder


class KeyExpired(msgspec.Struct, frozen=True, tag_field="e", tag="listenKeyExpired"):
    pass


class _Any(msgspec.Struct, gc=False, rename={"event": "e"}):
    event: str = ""
    stream: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")


UserEvent: TypeAlias = OrderTradeUpdate | AccountUpdate | MarginCall | ConfigUpdate | AlgoUpdate | KeyExpired
_KINDS: Final = frozenset(
    ("ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE", "MARGIN_CALL", "ACCOUNT_CONFIG_UPDATE", "ALGO_UPDATE", "listenKeyExpired")
)


# -- replies


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """``{"code": -2019, "msg": "Margin is insufficient."}``."""

    code: int
    msg: str = ""


class OrderState(
    msgspec.Struct, frozen=True, gc=False,
    rename={
        "order_id": "orderId", "client_id": "clientOrderId", "quantity": "origQty", "filled": "executedQty",
        "tif": "timeInForce", "update_ms": "updateTime", "reduce_only": "reduceOnly", "leg": "positionSide",
    },
):  # fmt: skip
    """An order in a reply: placed, amended, canceled, asked for, or one of the open ones."""

    order_id: int
    client_id: str
    symbol: str
    status: str
    price: str
    quantity: str
    filled: str
    update_ms: Ms
    side: str = "BUY"
    type: str = ""
    tif: str = ""
    reduce_only: bool = False
    leg: str = "BOTH"


class AlgoState(
    msgspec.Struct, frozen=True, gc=False,
    rename={
        "algo_id": "algoId", "client_id": "clientAlgoId", "status": "algoStatus", "order_id": "actualOrderId",
        "update_ms": "updateTime", "reduce_only": "reduceOnly", "leg": "positionSide", "created_ms": "createTime",
    },
):  # fmt: skip
    """A conditional order in a reply (that of its cancel has no more than its ids)."""

    algo_id: int
    client_id: str
    status: str = ""
    symbol: str = ""
    order_id: OrderId | None = None
    update_ms: Ms = 0
    created_ms: Ms = 0
    side: str = "BUY"
    quantity: str | None = None
    price: str | None = None
    reduce_only: bool = False
    leg: str = "BOTH"


class TradeRow(
    msgspec.Struct, frozen=True, gc=False,
    rename={
        "trade_id": "id", "order_id": "orderId", "quantity": "qty", "fee": "commission",
        "fee_asset": "commissionAsset", "realized": "realizedPnl", "trade_ms": "time",
    },
):  # fmt: skip
    """One row of userTrades."""

    trade_id: int
    order_id: int
    symbol: str
    price: str
    quantity: str
    fee: str
    realized: str
    trade_ms: Ms
    maker: bool
    fee_asset: str | None = None


class WalletRow(msgspec.Struct, frozen=True, gc=False, rename={"wallet": "walletBalance"}):
    asset: str
    wallet: str


class AccountAssets(msgspec.Struct, frozen=True):
    """What is needed of ``account``."""

    assets: list[WalletRow]


class PositionState(
    msgspec.Struct, frozen=True, gc=False,
    rename={
        "amount": "positionAmt", "entry": "entryPrice", "leg": "positionSide", "mode": "marginType",
        "isolated_wallet": "isolatedWallet",
    },
):  # fmt: skip
    """One row of positionRisk. ``leverage`` and ``marginType`` are told on COIN-M only."""

    symbol: str
    amount: str
    entry: str
    leg: str = "BOTH"
    leverage: OrderId = 0
    mode: str = ""
    isolated_wallet: str = "0"


class SymbolConfig(msgspec.Struct, frozen=True, gc=False, rename={"mode": "marginType"}):
    symbol: str
    mode: str
    leverage: int


class PositionMode(msgspec.Struct, frozen=True, gc=False, rename={"dual": "dualSidePosition"}):
    dual: bool


class IncomeRow(
    msgspec.Struct, frozen=True, gc=False, rename={"kind": "incomeType", "time_ms": "time", "number": "tranId"}
):
    """One row of income."""

    symbol: str
    kind: str
    income: str
    asset: str
    time_ms: Ms
    number: OrderId


class RateRow(
    msgspec.Struct, frozen=True, gc=False, rename={"rate": "fundingRate", "time_ms": "fundingTime", "mark": "markPrice"}
):
    """One row of fundingRate."""

    symbol: str
    rate: str
    time_ms: Ms
    mark: str = ""


class ServerTime(msgspec.Struct, frozen=True, gc=False, rename={"server_ms": "serverTime"}):
    server_ms: Ms


class ListenKey(msgspec.Struct, frozen=True, gc=False, rename={"key": "listenKey"}):
    key: str


class LeverageSet(msgspec.Struct, frozen=True, gc=False):
    leverage: int


class RateLimitRow(
    msgspec.Struct, frozen=True, gc=False,
    rename={"kind": "rateLimitType", "number": "intervalNum"},
):  # fmt: skip
    """What the websocket API says of one limit."""

    kind: str
    interval: str
    number: int
    count: int = 0


class ApiReply(msgspec.Struct, frozen=True, rename={"limits": "rateLimits"}):
    """A reply of the websocket API."""

    id: OrderId | None
    status: int
    result: msgspec.Raw = msgspec.Raw(b"")
    error: msgspec.Raw = msgspec.Raw(b"")
    limits: msgspec.Raw = msgspec.Raw(b"")  # of ``RateLimitRow``s


# -- decoding


class TradingCodec(WireCodec):
    """Decodes the private side of one of the two venues. Not thread-safe."""

    def __init__(self, instruments: Mapping[int, Instrument]) -> None:
        super().__init__(instruments.values())
        self.places = {instrument.symbol: place for place, instrument in instruments.items()}
        self._user = msgspec.json.Decoder(UserEvent)
        self._any = msgspec.json.Decoder(_Any)
        self._api = msgspec.json.Decoder(ApiReply)
        self._order = msgspec.json.Decoder(OrderState)
        self._others: dict[Any, msgspec.json.Decoder[Any]] = {}

    def user_event(self, raw: bytes) -> UserEvent | None:
        """A frame of the user stream; None: of a kind that says nothing we need. Raises ``PayloadError``."""
        try:
            event: UserEvent = self._user.decode(raw)
            return event
        except UNDECODABLE:
            found = self.typed(self._any, raw)
        if found.stream and bytes(found.data):
            return self.user_event(bytes(found.data))
        if found.event in _KINDS:
            self.typed(self._user, raw)  # says which field is wrong
        return None

    def api_reply(self, raw: bytes) -> ApiReply:
        """A frame of the websocket API."""
        try:
            reply: ApiReply = self._api.decode(raw)
        except UNDECODABLE:
            reply = self.typed(self._api, raw)  # says which field is wrong
        return reply

    def order_state(self, raw: bytes) -> OrderState:
        """An order in a reply."""
        try:
            state: OrderState = self._order.decode(raw)
        except UNDECODABLE:
            state = self.typed(self._order, raw)
        return state

    def numbers(self, symbol: str, state: OrderState) -> tuple[int, int, int]:
        """An order's price in ticks, its size and what of it is filled in lots."""
        grid = self._grids[symbol]
        try:
            return grid.ticks[state.price], grid.lots[state.quantity], grid.lots[state.filled]
        except InstrumentError:  # which of them?
            filled, lots = self.size(symbol, state.filled, "executedQty"), self.size(symbol, state.quantity, "origQty")
            return self.price(symbol, state.price, "price"), lots, filled

    def read(self, kind: Any, raw: bytes | msgspec.Raw) -> Any:
        """A message of this type, or a ``PayloadError``."""
        decoder = self._others.get(kind)
        if decoder is None:
            decoder = self._others[kind] = msgspec.json.Decoder(kind)
        return self.typed(decoder, bytes(raw))

    def refusal(self, raw: bytes | msgspec.Raw) -> Refusal | None:
        """The venue's code and words in a body; None: it has none."""
        try:
            return msgspec.json.decode(raw, type=Refusal)
        except UNDECODABLE:
            return None

    # -- numbers

    def size(self, symbol: str, text: str, field: str) -> int:
        """A size in lots."""
        return self.lots(self._grids[symbol], text, field)

    def signed_size(self, symbol: str, text: str, field: str) -> int:
        """A position in lots."""
        return -self.size(symbol, text[1:], field) if text.startswith("-") else self.size(symbol, text, field)

    def price(self, symbol: str, text: str, field: str) -> int:
        """A price in ticks; 0: none."""
        return self.ticks(self._grids[symbol], text, field)

    def money(self, text: str, field: str) -> int:
        """Money at 1e-8."""
        try:
            return money_e8_from_str(text)
        except InstrumentError as error:
            raise self.malformed(field, str(error)) from None

    def rate(self, text: str, field: str) -> int:
        """A rate at 1e-12."""
        try:
            return rate_e12_from_str(text)
        except InstrumentError as error:
            raise self.malformed(field, str(error)) from None

    def average(self, text: str, field: str) -> int:
        """An average price at 1e-8, rounded where the venue gives more decimals: nothing is computed from it."""
        try:
            value = Decimal(text) if len(text) <= 40 else Decimal("nan")
        except ArithmeticError:
            value = Decimal("nan")
        if not value.is_finite() or not 0 <= value < 10**10:
            raise self.malformed(field, f"{text[:40]!r} is no price")
        return int((value * _E8).to_integral_value())

    def buy_or_sell(self, text: str, field: str) -> int:
        return self.side(text, "BUY", "SELL", field, (BUY, SELL))

    def position_leg(self, text: str, field: str) -> int:
        """0, or the leg's flag in hedge mode."""
        if text not in LEGS:
            raise self.malformed(field, f"{text[:40]!r} is none of {', '.join(LEGS)}")
        return LEGS[text]
