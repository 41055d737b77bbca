"""Decoder of what Hyperliquid says of one account: bytes in, typed messages of exact integers out.

Theory of operation. A frame is ``{"channel": ..., "data": ...}``; the data are decoded by their channel with types that
ignore what they do not know and name what is missing (``PayloadError``). Answers to actions have one form, whether they
come in a ``post`` frame or as the body of /exchange:

    {"status":"ok","response":{"type":"order","data":{"statuses":[...]}}}    one status an order, or one for all
    {"status":"ok","response":{"type":"default"}}
    {"status":"err","response":"text"}

Money carries at most 8 decimals, rates at most 12, entry prices any number of which 8 are kept. Rows of coins that the
session does not trade are dropped. Sources: hyperliquid.gitbook.io, for-developers/api (websocket/subscriptions,
websocket/post-requests, info-endpoint, exchange-endpoint); payloads recorded by the venue's SDK.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from matching.codes import BUY, SELL
from venues.errors import InstrumentError, PayloadError
from venues.hyperliquid.codec import GREETING
from venues.hyperliquid.private_rows import (
    AccountRow,
    Best,
    FillRow,
    Fills,
    FundingRow,
    Fundings,
    Gone,
    Message,
    OrderRow,
    Outcome,
    PositionRow,
    Posted,
    Refused,
    Status,
    Subscribed,
    Updates,
)
from venues.instruments import Instrument, money_e8_from_str, rate_e12_from_str
from venues.wire import Grid, Id, Ms, WireCodec

VENUE: Final = "hyperliquid"
_SIDES: Final = {"B": BUY, "A": SELL}


class _Order(msgspec.Struct, gc=False, rename="camel"):
    coin: str
    side: str
    limit_px: str
    sz: str
    oid: Id
    timestamp: Ms
    orig_sz: str = ""
    cloid: str | None = None
    is_trigger: bool = False
    reduce_only: bool = False


class _Update(msgspec.Struct, gc=False, rename="camel"):
    order: _Order
    status: str
    status_timestamp: Ms


class _Liquidation(msgspec.Struct, gc=False, rename="camel"):
    liquidated_user: str = ""


class _Fill(msgspec.Struct, gc=False, rename="camel"):
    coin: str
    px: str
    sz: str
    side: str
    time: Ms
    oid: Id
    tid: Id | None = None  # rows from before 2023-06 have none
    fee: str = "0"
    crossed: bool = False
    start_position: str = "0"
    closed_pnl: str = "0"
    dir: str = ""
    cloid: str | None = None
    liquidation: _Liquidation | None = None


class _Funding(msgspec.Struct, gc=False, rename="camel"):
    time: Ms
    coin: str
    usdc: str
    szi: str
    funding_rate: str


class _Gone(msgspec.Struct, gc=False):
    coin: str
    oid: Id


class _UserFills(msgspec.Struct, gc=False, rename="camel"):
    fills: list[_Fill]
    is_snapshot: bool = False


class _UserFundings(msgspec.Struct, gc=False, rename="camel"):
    fundings: list[_Funding]
    is_snapshot: bool = False


class _UserEvents(msgspec.Struct, gc=False, rename="camel"):
    fills: list[_Fill] = []
    funding: _Funding | None = None
    non_user_cancel: list[_Gone] = []


class _Level(msgspec.Struct, gc=False):
    px: str


class _Best(msgspec.Struct, gc=False):
    coin: str
    bbo: tuple[_Level | None, _Level | None]


class _PostAnswer(msgspec.Struct, gc=False):
    type: str
    payload: msgspec.Raw


class _Post(msgspec.Struct, gc=False):
    id: int
    response: _PostAnswer


class _Subscription(msgspec.Struct, gc=False):
    type: str = ""


class _Subscribed(msgspec.Struct, gc=False):
    method: str = ""
    subscription: _Subscription | None = None


class _Frame(msgspec.Struct, gc=False):
    channel: str
    data: msgspec.Raw = msgspec.Raw(b"null")


class _Rest(msgspec.Struct, gc=False):
    oid: Id | None = None


class _Filled(msgspec.Struct, gc=False, rename="camel"):
    oid: Id
    total_sz: str


class _Status(msgspec.Struct, gc=False):
    resting: _Rest | None = None
    filled: _Filled | None = None
    error: str | None = None


class _Data(msgspec.Struct, gc=False):
    statuses: list[str | _Status] | None = None
    status: str | _Status | None = None


class _Response(msgspec.Struct, gc=False):
    type: str = ""
    data: _Data | None = None


class _Outcome(msgspec.Struct, gc=False):
    status: str
    response: str | _Response | None = None


class _Leverage(msgspec.Struct, gc=False):
    type: str
    value: int


class _Held(msgspec.Struct, gc=False, rename="camel"):
    coin: str
    szi: str
    leverage: _Leverage
    unrealized_pnl: str = "0"
    entry_px: str | None = None


class _Position(msgspec.Struct, gc=False):
    position: _Held


class _Summary(msgspec.Struct, gc=False, rename="camel"):
    account_value: str


class _Account(msgspec.Struct, gc=False, rename="camel"):
    asset_positions: list[_Position]
    time: Ms = 0
    margin_summary: _Summary | None = None
    cross_margin_summary: _Summary | None = None


class _Balance(msgspec.Struct, gc=False):
    coin: str
    total: str


class _Spot(msgspec.Struct, gc=False):
    balances: list[_Balance]


class _OrderStatus(msgspec.Struct, gc=False):
    status: str
    order: _Update | None = None


class _Limit(msgspec.Struct, gc=False, rename="camel"):
    n_requests_used: int
    n_requests_cap: int


class _Active(msgspec.Struct, gc=False):
    leverage: _Leverage


class _Asset(msgspec.Struct, gc=False):
    name: str


class _Meta(msgspec.Struct, gc=False):
    universe: list[_Asset]


class _Dex(msgspec.Struct, gc=False):
    name: str


def _trade_id(row: _Fill) -> str:
    """The execution's id within its order: the venue's, or where it gives none the position that it found."""
    return str(row.tid) if row.tid else f"{row.time}/{row.start_position}/{row.px}/{row.sz}"


def _oldest_first(rows: list[FillRow]) -> list[FillRow]:
    """Lists of past fills come newest first."""
    if len(rows) > 1 and rows[0].ts_event_ns > rows[-1].ts_event_ns:
        rows.reverse()
    return rows


class PrivateCodec(WireCodec):
    """Decodes one account's messages; instruments by their place in the run."""

    def __init__(self, instruments: Mapping[int, Instrument]) -> None:
        super().__init__(instruments.values())
        self._places = {instrument.symbol: place for place, instrument in instruments.items()}
        types: tuple[Any, ...] = (
            _Frame, list[_Update], _UserFills, _UserFundings, _UserEvents, _Best, _Post, _Subscribed, _Outcome,
            _Account, _Spot, list[_Order], _OrderStatus, list[_Fill], _Limit, _Active, _Meta, list[_Dex | None], str,
        )  # fmt: skip
        self._decoders: dict[Any, msgspec.json.Decoder[Any]] = {str(one): msgspec.json.Decoder(one) for one in types}

    def _read(self, raw: bytes | msgspec.Raw, as_type: Any, place: str = "") -> Any:
        try:
            return self.typed(self._decoders[str(as_type)], raw)
        except PayloadError as error:
            field = f"{place}.{error.field}" if place and error.field != "$" else place or error.field
            raise self.malformed(field.replace(".[", "["), error.why) from None

    # -- frames

    def decode(self, raw: bytes) -> list[Message]:
        """What a frame says, in its order; nothing for pongs, the greeting and channels of no use here."""
        if raw.startswith(GREETING[:9]):
            return []
        frame: _Frame = self._read(raw, _Frame)
        channel, data = frame.channel, frame.data
        if channel == "post":
            return [self._post(data)]
        if channel == "orderUpdates":
            updates: list[_Update] = self._read(data, list[_Update], "data")
            rows = (self._order(one.order, f"data[{at}].order", one) for at, one in enumerate(updates))
            return [Updates([row for row in rows if row is not None])]
        if channel == "userFills":
            fills: _UserFills = self._read(data, _UserFills, "data")
            return [Fills(_oldest_first(self.fills(fills.fills, "data.fills")), fills.is_snapshot)]
        if channel == "user":
            return self._events(self._read(data, _UserEvents, "data"))
        if channel == "userFundings":
            paid: _UserFundings = self._read(data, _UserFundings, "data")
            return [Fundings(self._fundings(paid.fundings, "data.fundings"), paid.is_snapshot)]
        if channel == "bbo":
            return self._best(self._read(data, _Best, "data"))
        if channel == "subscriptionResponse":
            found: _Subscribed = self._read(data, _Subscribed, "data")
            return [Subscribed(found.subscription.type if found.subscription else "")]
        if channel == "error":
            return [Refused(str(self._read(data, str, "data"))[:200])]
        return []

    def _post(self, data: msgspec.Raw) -> Posted:
        post: _Post = self._read(data, _Post, "data")
        if post.response.type == "error":
            return Posted(post.id, Outcome([], str(self._read(post.response.payload, str, "data.response.payload"))))
        return Posted(post.id, self.outcome(post.response.payload, "data.response.payload"))

    def outcome(self, raw: bytes | msgspec.Raw, place: str = "") -> Outcome:
        """The answer to an action."""
        answer: _Outcome = self._read(raw, _Outcome, place)
        response = answer.response
        if answer.status != "ok":
            return Outcome([], response if isinstance(response, str) and response else "refused without a reason")
        if not isinstance(response, _Response) or response.data is None:
            return Outcome([])
        data = response.data
        rows = data.statuses if data.statuses is not None else [] if data.status is None else [data.status]
        return Outcome([self._status(row) for row in rows])

    def _status(self, row: str | _Status) -> Status:
        if isinstance(row, str):
            return Status(row)
        if row.error is not None:
            return Status("error", text=row.error)
        if row.filled is not None:
            return Status("filled", str(row.filled.oid), row.filled.total_sz)
        if row.resting is not None:
            return Status("resting", "" if row.resting.oid is None else str(row.resting.oid))
        return Status("")

    def _order(self, order: _Order, field: str, update: _Update | None = None) -> OrderRow | None:
        grid = self._grids.get(order.coin)
        if grid is None:
            return None
        left = self.lots(grid, order.sz, f"{field}.sz")
        return OrderRow(
            self._places[order.coin], str(order.oid), (order.cloid or "").lower(), self._side(order.side, field),
            self.ticks(grid, order.limit_px, f"{field}.limitPx"),
            self.lots(grid, order.orig_sz, f"{field}.origSz") if order.orig_sz else left, left,
            "open" if update is None else update.status, order.timestamp * 1_000_000,
            (order.timestamp if update is None else update.status_timestamp) * 1_000_000, order.is_trigger,
            order.reduce_only,
        )  # fmt: skip

    def _side(self, text: str, field: str) -> int:
        found = _SIDES.get(text)
        return self.side(text, "B", "A", f"{field}.side", (BUY, SELL)) if found is None else found

    def fills(self, rows: Iterable[_Fill], field: str) -> list[FillRow]:
        found = []
        for at, row in enumerate(rows):
            grid = self._grids.get(row.coin)
            if grid is None:
                continue
            place = f"{field}[{at}]"
            side, lots = self._side(row.side, place), self.lots(grid, row.sz, f"{place}.sz")
            before = self._signed(grid, row.start_position, f"{place}.startPosition")
            found.append(
                FillRow(
                    self._places[row.coin], str(row.oid), (row.cloid or "").lower(), _trade_id(row), side,
                    self.ticks(grid, row.px, f"{place}.px"), lots, row.crossed, self._money(row.fee, f"{place}.fee"),
                    self._money(row.closed_pnl, f"{place}.closedPnl"), before + (lots if side == BUY else -lots),
                    row.time * 1_000_000, row.dir, row.liquidation.liquidated_user.lower() if row.liquidation else "",
                )
            )  # fmt: skip
        return found

    def _fundings(self, rows: Iterable[_Funding], field: str) -> list[FundingRow]:
        found = []
        for at, row in enumerate(rows):
            grid = self._grids.get(row.coin)
            if grid is not None:
                place = f"{field}[{at}]"
                found.append(
                    FundingRow(
                        self._places[row.coin], row.time * 1_000_000, self._money(row.usdc, f"{place}.usdc"),
                        self._signed(grid, row.szi, f"{place}.szi"), self._rate(row.funding_rate, place),
                    )
                )  # fmt: skip
        return found

    def _events(self, events: _UserEvents) -> list[Message]:
        found: list[Message] = []
        if events.fills:
            found.append(Fills(self.fills(events.fills, "data.fills"), False))
        if events.funding is not None:
            found.append(Fundings(self._fundings([events.funding], "data.funding"), False))
        if events.non_user_cancel:
            found.append(Gone([str(one.oid) for one in events.non_user_cancel if one.coin in self._grids]))
        return found

    def _best(self, best: _Best) -> list[Message]:
        grid = self._grids.get(best.coin)
        if grid is None:
            return []
        bid, ask = (self.ticks(grid, one.px, "data.bbo") if one is not None else 0 for one in best.bbo)
        return [Best(self._places[best.coin], bid, ask)]

    # -- numbers

    def _signed(self, grid: Grid, text: str, field: str) -> int:
        return -self.lots(grid, text[1:], field) if text.startswith("-") else self.lots(grid, text, field)

    def _money(self, text: str, field: str) -> int:
        try:
            return money_e8_from_str(text)
        except InstrumentError as error:
            raise self.malformed(field, str(error)) from None

    def _rate(self, text: str, place: str) -> int:
        try:
            return rate_e12_from_str(text)
        except InstrumentError as error:
            raise self.malformed(f"{place}.fundingRate", str(error)) from None

    # -- bodies of /info

    def account(self, raw: bytes) -> AccountRow:
        """clearinghouseState."""
        state: _Account = self._read(raw, _Account)
        summary = state.margin_summary or state.cross_margin_summary
        if summary is None:
            raise self.malformed("marginSummary", "missing")
        wallet_e8 = self._money(summary.account_value, "marginSummary.accountValue")
        positions, others = [], []
        for at, one in enumerate(state.asset_positions):
            held, field = one.position, f"assetPositions[{at}].position"
            wallet_e8 -= self._money(held.unrealized_pnl, f"{field}.unrealizedPnl")
            grid = self._grids.get(held.coin)
            if grid is None:
                others.append(held.coin[:40])
                continue
            whole, _, decimals = (held.entry_px or "0").partition(".")
            entry_e8 = self._money(f"{whole}.{decimals[:8] or '0'}", f"{field}.entryPx")
            lots = self._signed(grid, held.szi, f"{field}.szi")
            isolated = held.leverage.type == "isolated"
            positions.append(PositionRow(self._places[held.coin], lots, entry_e8, held.leverage.value, isolated))
        return AccountRow(state.time * 1_000_000, wallet_e8, positions, others)

    def spot_usdc_e8(self, raw: bytes) -> int:
        """spotClearinghouseState: the total of USDC."""
        spot: _Spot = self._read(raw, _Spot)
        return sum(self._money(one.total, "balances.total") for one in spot.balances if one.coin == "USDC")

    def open_orders(self, raw: bytes) -> list[OrderRow]:
        """frontendOpenOrders, oldest first; children that wait for a fill of their parent are no orders yet."""
        orders: list[_Order] = self._read(raw, list[_Order])
        rows = [self._order(one, f"[{at}]") for at, one in enumerate(orders)]
        return sorted((row for row in rows if row is not None), key=lambda row: (row.placed_ns, int(row.oid)))

    def order_status(self, raw: bytes) -> OrderRow | None:
        """orderStatus; None: the venue knows no such order. Raises ``PayloadError`` for an order of another coin."""
        found: _OrderStatus = self._read(raw, _OrderStatus)
        if found.status == "unknownOid":
            return None
        if found.order is None:
            raise self.malformed("order", f"missing with status {found.status[:40]!r}")
        row = self._order(found.order.order, "order.order", found.order)
        if row is None:
            raise self.malformed("order.order.coin", f"{found.order.order.coin[:40]!r} was not asked for")
        return row

    def user_fills(self, raw: bytes) -> tuple[list[FillRow], int]:
        """userFills or userFillsByTime, oldest first, and how many rows there were of all coins."""
        rows: list[_Fill] = self._read(raw, list[_Fill])
        return _oldest_first(self.fills(rows, "$")), len(rows)

    def requests(self, raw: bytes) -> tuple[int, int]:
        """userRateLimit: requests used, and how many there may be."""
        found: _Limit = self._read(raw, _Limit)
        return found.n_requests_used, found.n_requests_cap

    def leverage(self, raw: bytes) -> tuple[int, bool]:
        """activeAssetData: leverage, and whether margin is isolated."""
        found: _Active = self._read(raw, _Active)
        return found.leverage.value, found.leverage.type == "isolated"

    def assets(self, raw: bytes) -> list[str]:
        """meta: the coins of the universe in their order, which is their number."""
        meta: _Meta = self._read(raw, _Meta)
        return [one.name for one in meta.universe]

    def dexes(self, raw: bytes) -> list[str]:
        """perpDexs: names in the order of their numbers; the first, the venue's own, is ""."""
        return [one.name if one is not None else "" for one in self._read(raw, list[_Dex | None])]

    def word(self, raw: bytes) -> str:
        """A body that is one string, such as userAbstraction's; "" for null."""
        found = self.untyped(raw)
        return found if isinstance(found, str) else ""
