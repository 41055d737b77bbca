"""One account of the emulator as a strategy: commands of the wire go out through its context, callbacks become events.

Theory of operation. Every account is a lane of the run, so that it has its own orders, position and wallet, and its own
view of the book. What the lane is told is what the venue says to this account when the response latency is over; it is
handed on as events of ``venues/orders.py``. A request about an order that still has one under way waits until that is
answered (the venue works them off in order too); what is then left to ask of a closed order is refused as unknown.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final

from matching import codes
from sim.requests import STP_MODES
from sim.strategy import Fill, Funding, Liquidation, Order, OrderEvent, Setting, Strategy
from venues import orders
from venues.errors import InputError
from venues.orders import AmendRequest, CancelRequest, OrderRequest, SettingRequest

MAX_WAITING: Final = 64  # requests about one order that may wait for each other
FORCED_KEPT: Final = 256
LEGS: Final = {codes.FLAG_LONG_LEG: "long", codes.FLAG_SHORT_LEG: "short"}
STP_NAMES: Final = {mode: word for word, mode in STP_MODES.items()}

Event = Any
Emit = Callable[[Event], None]
_WITH_REASON: Final[dict[int, type[Any]]] = {codes.EV_CANCELED: orders.Canceled, codes.EV_EXPIRED: orders.Expired}
_REFUSALS: Final[dict[int, type[Any]]] = {
    codes.EV_REJECTED: orders.Rejected,
    codes.EV_CANCEL_REJECTED: orders.CancelRejected,
    codes.EV_AMEND_REJECTED: orders.AmendRejected,
}
_PLAIN: Final[dict[int, type[Any]]] = {
    codes.EV_ACCEPTED: orders.Accepted,
    codes.EV_HELD: orders.Held,
    codes.EV_TRIGGERED: orders.Triggered,
}


class WireAccount(Strategy):
    """See the module. ``on_order_event`` and ``on_account_event`` take what is to be said to the emulator."""

    def __init__(
        self,
        account: int,
        assets: list[str],
        shift_ns: int,
        on_order_event: Emit,
        on_account_event: Emit,
        answer_ns: int,
    ) -> None:
        """``assets[i]``: what instrument i settles in. ``answer_ns``: how long a request and its answer travel."""
        self.account = account
        self._assets = assets
        self._shift = shift_ns
        self._on_order_event, self._on_account_event, self._answer_ns = on_order_event, on_account_event, answer_ns
        self._core: Any = None
        self._orders: dict[int, Order] = {}  # that are not closed, by number
        self._waiting: dict[int, deque[AmendRequest | CancelRequest]] = {}
        self._asked: dict[tuple[int, int, int], deque[int]] = {}  # settings under way: their numbers
        self._forced: dict[int, OrderRequest] = {}
        self._names: Counter[str] = Counter()  # client ids of orders that are not closed

    def use(self, core: Any) -> None:
        """The core of the run, which says what position and wallet are after an event."""
        self._core = core

    # -- commands

    def submit(self, requests: list[OrderRequest]) -> None:
        """Send orders, several as one request. Raises ``InputError`` for one that no venue could take."""
        try:
            calls = [_arguments(request) for request in requests]
            made = self.ctx.submit_batch(calls) if len(calls) > 1 else [self.ctx.submit(**calls[0])]
        except (ValueError, IndexError) as error:
            raise InputError(str(error), source=f"order of account {self.account}") from None
        for request, order in zip(requests, made, strict=True):
            if order.number != request.order_no:
                raise InputError(
                    f"order {request.order_no} came in place of {order.number}: numbers count in the order of arrival",
                    source=f"account {self.account}",
                )
            self._orders[order.number] = order
            if request.client_id is not None:
                self._names[request.client_id] += 1

    def ask(self, requests: list[AmendRequest] | list[CancelRequest]) -> None:
        """Amend or cancel; several arrive together."""
        if len(requests) > 1:
            self._core.open_batch()
        try:
            for request in requests:
                self._ask(request)
        finally:
            if len(requests) > 1:
                self._core.close_batch()

    def _ask(self, request: AmendRequest | CancelRequest) -> None:
        order = self._orders.get(request.order_no)
        if order is None or order.is_closed:
            self._refuse_later(request)
        elif request.order_no in self._waiting or not self._sends(order, request):
            waiting = self._waiting.setdefault(request.order_no, deque(maxlen=MAX_WAITING))
            if len(waiting) == MAX_WAITING:
                self._refuse_later(request)
            else:
                waiting.append(request)

    def _sends(self, order: Order, request: AmendRequest | CancelRequest) -> bool:
        if isinstance(request, CancelRequest):
            return self.ctx.cancel(order)
        try:
            return self.ctx.amend(order, request.ticks, request.lots, request.trigger_ticks)
        except ValueError as error:
            raise InputError(str(error), source=f"order {request.order_no} of account {self.account}") from None

    def _refuse_later(self, request: AmendRequest | CancelRequest) -> None:
        """The venue no longer knows the order; it says so when it would have answered."""
        kind = codes.EV_CANCEL_REJECTED if isinstance(request, CancelRequest) else codes.EV_AMEND_REJECTED
        face, i = self.ctx.face, request.instrument
        assert face is not None
        code = face.code(i, kind, codes.R_UNKNOWN_ORDER, codes.BUY, 0, 0) or 0
        text = face.text(i, kind, codes.R_UNKNOWN_ORDER)

        def refuse() -> None:
            at = self._core.now + self._shift
            self._on_order_event(
                _REFUSALS[kind](
                    account=self.account, instrument=i, order_no=request.order_no, ts_event_ns=at, ts_recv_ns=at,
                    reason=codes.R_UNKNOWN_ORDER, code=code, text=text,
                )
            )  # fmt: skip

        self.ctx.at(self._core.now + self._answer_ns, refuse)

    def cancel_all(self, instrument: int) -> None:
        """Cancel all that is open in an instrument, as one request."""
        mine = [order for order in self.ctx.orders(instrument) if order.number > 0]
        self._core.open_batch()
        try:
            for order in mine:
                self.ctx.cancel(order)
        finally:
            self._core.close_batch()

    def change(self, request: SettingRequest) -> None:
        """Ask for a setting."""
        key = (request.instrument, request.setting, request.value)
        self._asked.setdefault(key, deque(maxlen=4096)).append(request.number)
        self._core.change_setting(self.account, request.instrument, request.setting, request.value)

    def forced(self, order_no: int) -> OrderRequest | None:
        """An order of the venue's own, of the latest ones."""
        return self._forced.get(order_no)

    # -- what comes back

    def on_order(self, order: Order, event: OrderEvent) -> None:
        if order.external and order.number not in self._forced:
            self._note_forced(order)
        if event.kind != codes.EV_FILLED:
            self._on_order_event(self._order_event(event))
            self._settle(order)

    def _order_event(self, event: OrderEvent) -> Event:
        kind = event.kind
        head: dict[str, Any] = {
            "account": self.account, "instrument": event.instrument, "order_no": event.order_number,
            "ts_event_ns": event.ts_event_ns + self._shift, "ts_recv_ns": event.ts_ns + self._shift,
        }  # fmt: skip
        if kind in _REFUSALS:
            return _REFUSALS[kind](**head, reason=event.reason, code=event.code or 0, text=event.text)
        if kind in _WITH_REASON:
            return _WITH_REASON[kind](**head, reason=event.reason)
        if kind == codes.EV_AMENDED:
            return orders.Amended(**head, ticks=event.ticks, lots=event.lots)
        return _PLAIN[kind](**head)

    def on_fill(self, order: Order, fill: Fill) -> None:
        self._on_order_event(
            orders.Filled(
                account=self.account, instrument=fill.instrument, order_no=fill.order_number,
                ts_event_ns=fill.ts_event_ns + self._shift, ts_recv_ns=fill.ts_ns + self._shift, ticks=fill.ticks,
                lots=fill.lots, leaves_lots=fill.leaves_lots, liquidity=fill.liquidity, fee_e8=fill.fee_e8,
                realized_e8=fill.realized_e8,
            )
        )  # fmt: skip
        self._stated(fill.instrument, fill.ts_event_ns, fill.ts_ns)
        self._settle(order)

    def _settle(self, order: Order) -> None:
        """Send what has waited for an answer about this order, and forget it once it is closed."""
        number = order.number
        waiting = self._waiting.get(number)
        while waiting and (order.is_closed or not order.pending):
            request = waiting.popleft()
            if order.is_closed or not self._sends(order, request):
                self._refuse_later(request)
        if waiting is not None and not waiting:
            del self._waiting[number]
        if order.is_closed and not order.pending:
            self._orders.pop(number, None)
            if order.client_id is not None:
                self._forget(order.instrument, order.client_id)

    def _forget(self, instrument: int, client_id: str) -> None:
        self._names[client_id] -= 1
        if self._names[client_id] <= 0:  # a refused twin of an open order leaves that one its id
            del self._names[client_id]
            assert self.ctx.face is not None
            self.ctx.face.forget_client(instrument, client_id)

    def _note_forced(self, order: Order) -> None:
        if len(self._forced) >= FORCED_KEPT:
            del self._forced[next(iter(self._forced))]
        self._forced[order.number] = OrderRequest(
            account=self.account, instrument=order.instrument, order_no=order.number, side=order.side, lots=order.lots,
            ticks=order.ticks, tif=order.tif, type=order.type, reduce_only=True, leg=order.leg,
        )  # fmt: skip

    def _stated(self, instrument: int, ts_event_ns: int, ts_ns: int) -> None:
        """What position and wallet are after the event just told."""
        head = {"account": self.account, "ts_event_ns": ts_event_ns + self._shift, "ts_recv_ns": ts_ns + self._shift}
        core = self._core
        lots, wallet = core.ev_position, core.ev_wallet_e8
        self._on_account_event(orders.PositionChanged(**head, instrument=instrument, position_lots=lots))
        self._on_account_event(orders.BalanceChanged(**head, asset=self._assets[instrument], wallet_e8=wallet))

    def on_funding(self, i: int, funding: Funding) -> None:
        at, ts = funding.boundary_ns + self._shift, funding.ts_ns + self._shift
        self._on_account_event(
            orders.FundingPaid(
                account=self.account, ts_event_ns=at, ts_recv_ns=ts, instrument=i, boundary_ns=at,
                position_lots=funding.position_lots, rate_e12=funding.rate_e12, mark_e8=funding.mark_e8,
                payment_e8=funding.payment_e8,
            )
        )  # fmt: skip
        wallet = self._core.ev_wallet_e8
        self._on_account_event(
            orders.BalanceChanged(
                account=self.account, ts_event_ns=at, ts_recv_ns=ts, asset=self._assets[i], wallet_e8=wallet
            )
        )

    def on_liquidation(self, i: int, event: Liquidation) -> None:
        head: dict[str, Any] = {
            "account": self.account, "ts_event_ns": event.ts_event_ns + self._shift,
            "ts_recv_ns": event.ts_ns + self._shift,
        }  # fmt: skip
        ledger, asset = self._core.ledger, 0
        if event.kind == codes.EV_MARGIN_WARNING:
            unit = ledger.unit_of(self.account, i)
            margin, maintenance = (
                (ledger.unit_equity_e8(self.account, unit), ledger.unit_maintenance_e8(self.account, unit))
                if unit >= 0
                else (ledger.equity_e8(self.account, asset), ledger.maintenance_e8(self.account, asset))
            )
            self._on_account_event(orders.MarginWarning(**head, margin_e8=margin, maintenance_e8=maintenance))
            return
        head |= {
            "instrument": i, "side": event.side, "ticks": event.ticks, "lots": event.lots,
            "realized_e8": event.realized_e8,
        }  # fmt: skip
        made = (
            orders.AutoDeleveraged(**head)
            if event.kind == codes.EV_ADL
            else orders.Liquidated(**head, fee_e8=event.fee_e8)
        )
        self._on_account_event(made)
        self._stated(i, event.ts_event_ns, event.ts_ns)

    def on_setting(self, i: int, setting: Setting) -> None:
        waiting = self._asked.get((i, setting.kind, setting.value))
        number = waiting.popleft() if waiting else 0
        if waiting is not None and not waiting:
            del self._asked[i, setting.kind, setting.value]
        head: dict[str, Any] = {
            "account": self.account, "ts_event_ns": setting.ts_event_ns + self._shift,
            "ts_recv_ns": setting.ts_ns + self._shift, "instrument": i, "number": number, "setting": setting.kind,
            "value": setting.value,
        }  # fmt: skip
        if setting.is_accepted:
            self._on_account_event(orders.SettingChanged(**head))
            return
        face, kind = self.ctx.face, codes.EV_SETTING_REJECTED
        assert face is not None
        code = face.code(i, kind, setting.reason, 0, setting.kind, 0) or 0
        text = face.text(i, kind, setting.reason, setting.kind)
        self._on_account_event(orders.SettingRejected(**head, reason=setting.reason, code=code, text=text))


def _arguments(request: OrderRequest) -> dict[str, Any]:
    """A request as arguments of ``Context.submit``; those of a plain order are the fewest, which is quick."""
    found: dict[str, Any] = {
        "i": request.instrument, "side": request.side, "ticks": request.ticks, "lots": request.lots,
        "tif": request.tif, "type": request.type, "reduce_only": request.reduce_only,
    }  # fmt: skip
    if request.trigger is not None:
        found["trigger"] = request.trigger
    if request.expires_ns:
        found["expires_ns"] = request.expires_ns
    if request.stp is not None:
        found["stp"] = STP_NAMES[request.stp]
    if request.leg:
        found["position_side"] = LEGS[request.leg]
    if request.close_position:
        found["close_position"] = True
    if request.client_id is not None:
        found["client_id"] = request.client_id
    return found
