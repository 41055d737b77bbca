"""The order desk: from the venue's actions to the engine and from its events to answers and streams.

Theory of operation. An action becomes commands at once and a ``Waiting`` answer with a place for each order. Events of
the engine change orders; what they mean for clients is decided only when the instant is complete (``settle``), since an
order that takes is accepted, filled and closed by several events at one time, of which the venue makes one status:

    nothing filled, rests or is held     {"resting": ...}
    wholly filled, or partly and the rest gone     {"filled": ...}
    nothing filled and closed, or refused          {"error": ...}

An order that is filled in part and rests is answered as resting (not documented; its fills are on the streams). Updates
of orders come once for each status; partial fills of resting orders make none.

A modified order keeps its place in the engine (``amend``) and gets a new oid: the old placement is canceled. Where
more than price, size and trigger price changes, the old order is canceled and a new one sent when that has happened.
Children of ``normalTpsl`` wait here until their parent is filled; when one order of a pair is executed the other is
canceled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from matching import codes
from venues.emulation import VenueEngine
from venues.hyperliquid.emulator_accounts import Accounts
from venues.hyperliquid.emulator_market import Market
from venues.hyperliquid.emulator_numbers import ms
from venues.hyperliquid.emulator_orders import (
    GONE,
    NO_MODIFY,
    BadTerms,
    Order,
    Orders,
    Terms,
    closed_status,
    refusal_text,
)
from venues.orders import (
    Accepted,
    Amended,
    AmendRejected,
    AmendRequest,
    Canceled,
    CancelRejected,
    CancelRequest,
    Expired,
    Filled,
    Held,
    OrderEvent,
    OrderRequest,
    Rejected,
    Triggered,
)

Status = dict[str, Any] | str
MODIFY_FAILED: Final = "Error placing new order during modify: "
WAITING_FILL: Final = "waitingForFill"
WAITING_TRIGGER: Final = "waitingForTrigger"


class Waiting:
    """An answer that is not complete. ``to``: who gets it; ``kind``: the type of the response ("default": of one)."""

    __slots__ = ("account", "kind", "left", "reasons", "statuses", "to")

    def __init__(self, to: object, kind: str, places: int, account: int) -> None:
        self.to, self.kind, self.account = to, kind, account
        self.statuses: list[Status | None] = [None] * places
        self.reasons: list[int] = []
        self.left = places

    def put(self, place: int, status: Status, reason: int = codes.R_NONE) -> None:
        """One place is known."""
        if self.statuses[place] is None:
            self.statuses[place] = status
            self.left -= 1
            self.reasons.append(reason)


Waiter = tuple[Waiting, int]


class Desk:
    """See the module. ``told(account, updates, fills, others)`` passes on what the streams say of an instant."""

    def __init__(
        self,
        engine: VenueEngine,
        orders: Orders,
        accounts: Accounts,
        markets: list[Market],
        answer: Callable[[Waiting], None],
    ) -> None:
        self._engine, self.orders, self._accounts, self._markets = engine, orders, accounts, markets
        self._answer = answer
        self._touched: dict[int, Order] = {}
        self._amending: dict[int, tuple[Order, Order]] = {}  # by the new oid: (old placement, new one)
        self._after_cancel: dict[int, tuple[Order, Waiter]] = {}  # by the old oid: what replaces it
        self.fills: list[tuple[int, dict[str, Any]]] = []  # (account, row), since the last settle
        self.not_by_user: list[tuple[int, dict[str, Any]]] = []

    # -- orders

    def place(self, account: int, terms: list[Terms | BadTerms], grouping: str, waiting: Waiting) -> None:
        """Send the orders of one action as one batch."""
        now_ms = ms(self._engine.now_ns)
        requests: list[OrderRequest] = []
        made: list[Order] = []
        for place, one in enumerate(terms):
            if isinstance(one, BadTerms):
                waiting.put(place, {"error": one.text})
                continue
            order = self.orders.new(account, one, now_ms)
            order.waiters.append((waiting, place))
            made.append(order)
        parent = made[0] if made and grouping == "normalTpsl" and not made[0].terms.tpsl else None
        for order in made:
            if parent is not None and order is not parent:
                self._wait_for(parent, order)
                continue
            order.is_position_tpsl = grouping == "positionTpsl"
            requests.append(self._numbered(order))
        if grouping == "positionTpsl":
            for order in made:
                order.siblings = [other for other in made if other is not order]
        if requests:
            self._engine.submit(requests)
        self._finish(waiting)

    def _numbered(self, order: Order) -> OrderRequest:
        return order.terms.request(order.account, self.orders.number(order))

    def _wait_for(self, parent: Order, child: Order) -> None:
        child.parent = parent
        parent.children.append(child)
        child.siblings = [other for other in parent.children if other is not child]
        for other in child.siblings:
            other.siblings.append(child)

    # -- cancels

    def cancel(self, account: int, found: list[tuple[Order | None, int]], waiting: Waiting) -> None:
        """Cancel the orders of one action; None: there is no such order. The number is the asset asked for."""
        requests = []
        for place, (order, asset) in enumerate(found):
            if order is None or order.is_done or order.terms.instrument != asset:
                waiting.put(place, {"error": f"{GONE} asset={asset}"})
            elif order.parent is not None and not order.no:
                self._close_here(order, "canceled", "")
                waiting.put(place, "success")
            else:
                order.cancelers.append((waiting, place))
                requests.append(CancelRequest(account=account, instrument=asset, order_no=order.no))
        if requests:
            self._engine.cancel(requests)
        self._finish(waiting)

    def _close_here(self, order: Order, status: str, why: str) -> None:
        """Close an order that the engine has never seen."""
        order.why = why
        order.turn(status, ms(self._engine.now_ns))
        self.orders.close(order)
        self._touched[order.oid] = order

    # -- modifications

    def modify(self, account: int, changes: list[tuple[Order | None, Terms | BadTerms]], waiting: Waiting) -> None:
        """Change orders, one place of the answer for each."""
        amends: list[AmendRequest] = []
        for place, (old, terms) in enumerate(changes):
            if isinstance(terms, BadTerms):
                waiting.put(place, {"error": terms.text})
            elif old is None or old.is_done or not old.no or old.oid in self._after_cancel:
                waiting.put(place, {"error": NO_MODIFY})
            else:
                self._change(account, old, terms, (waiting, place), amends)
        if amends:
            self._engine.amend(amends)
        self._finish(waiting)

    def _change(self, account: int, old: Order, terms: Terms, waiter: Waiter, amends: list[AmendRequest]) -> None:
        new = self.orders.new(account, terms, ms(self._engine.now_ns))
        if not _amendable(old.terms, terms):
            self._after_cancel[old.oid] = (new, waiter)
            self._engine.cancel([CancelRequest(account=account, instrument=old.terms.instrument, order_no=old.no)])
            return
        new.no = old.no
        new.waiters.append(waiter)
        self._amending[new.oid] = (old, new)
        amends.append(
            AmendRequest(
                account=account,
                instrument=terms.instrument,
                order_no=old.no,
                ticks=0 if terms.tpsl and terms.is_market else terms.ticks,
                lots=old.base_lots + old.filled_lots + terms.lots,
                trigger_ticks=terms.trigger_ticks,
            )
        )

    # -- events of the engine

    def on_order(self, event: OrderEvent) -> None:
        """Take an event in; clients are told at ``settle``."""
        order = self.orders.of_engine(event.account, event.order_no) or self._forced(event)
        if order is None:
            return
        now_ms = ms(event.ts_event_ns or self._engine.now_ns)
        self._touched[order.oid] = order
        if isinstance(event, Accepted):
            self._accepted(order, event, now_ms)
        elif isinstance(event, Held):
            order.timestamp_ms = now_ms
            order.turn("open", now_ms)
        elif isinstance(event, Triggered):
            order.turn("triggered", now_ms)
        elif isinstance(event, Filled):
            self._filled(order, event, now_ms)
        elif isinstance(event, Rejected):
            self._closed(order, event.reason, event.text, True, now_ms)
        elif isinstance(event, Canceled | Expired):
            self._closed(order, event.reason, "", False, now_ms)
        elif isinstance(event, CancelRejected):
            self._cancel_refused(order, event)
        elif isinstance(event, Amended):
            self._amended(order, event, now_ms)
        elif isinstance(event, AmendRejected):
            self._amend_refused(order, event)

    def _forced(self, event: OrderEvent) -> Order | None:
        """An order that the venue made to liquidate the account."""
        if event.order_no >= 0:
            return None
        request = self._engine.forced(event.account, event.order_no)
        if request is None:
            return None
        ticks = request.ticks or getattr(event, "ticks", 0) or 1
        terms = Terms(event.instrument, request.side, ticks, request.lots, True, "Ioc", True, 0, "", None)
        return self.orders.new(event.account, terms, ms(event.ts_event_ns), event.order_no)

    def _accepted(self, order: Order, event: Accepted, now_ms: int) -> None:
        if event.order_no >= 0 and order.status and order.status != "triggered":
            return  # resized with its position
        if order.status != "triggered":
            order.timestamp_ms = now_ms
        order.turn("open", now_ms)

    def _filled(self, order: Order, event: Filled, now_ms: int) -> None:
        order.filled_lots += event.lots
        order.filled_value += event.ticks * event.lots
        self.fills.append((order.account, self._accounts.fill(order, event)))
        if event.leaves_lots == 0:
            order.turn("filled", now_ms)
            self._done(order)

    def _closed(self, order: Order, reason: int, text: str, was_refused: bool, now_ms: int) -> None:
        order.reason, order.was_refused = reason, was_refused
        order.why = refusal_text(reason, text, self._markets[order.terms.instrument].bbo())
        status = closed_status(reason, was_refused, order.filled_lots > 0)
        if order.cancel_as and reason == codes.R_USER:
            status = order.cancel_as
        if order.untold and order.untold[-1][0] == "open" and status.endswith("Rejected"):
            order.untold.pop()  # it never rested
        order.turn(status, now_ms)
        if reason == codes.R_USER:
            if order.cancelers:
                self._put(order.cancelers.popleft(), "success")
        elif not was_refused:
            self._told_cancel(order)
        self._done(order)
        pair = self._amending_of(order) if reason == codes.R_POST_ONLY else None
        if pair is not None:  # the new placement would have taken: the old one is gone all the same
            del self._amending[pair[1].oid]
            self.orders.discard(pair[1], order)
            text = f"{MODIFY_FAILED}{order.why} asset={order.terms.instrument}"
            self._put(pair[1].waiters.popleft(), {"error": text}, reason)
        replacement = self._after_cancel.pop(order.oid, None)
        if replacement is not None:
            new, waiter = replacement
            new.waiters.append(waiter)
            self._engine.submit([self._numbered(new)])

    def _told_cancel(self, order: Order) -> None:
        coin = self._markets[order.terms.instrument].coin
        if order.status not in ("canceled", "iocCancelRejected", "siblingFilledCanceled", "scheduledCancel"):
            self.not_by_user.append((order.account, {"coin": coin, "oid": order.oid}))

    def _done(self, order: Order) -> None:
        """An order is closed: its children and siblings follow."""
        self.orders.close(order)
        now_ms = ms(self._engine.now_ns)
        live = [child for child in order.children if not child.no and not child.is_done]
        if live and order.filled_lots and (order.status == "filled" or order.reason != codes.R_USER):
            for child in live:
                child.parent = None
            self._engine.submit([self._numbered(child) for child in live])
        elif live:
            for child in live:
                self._close_here(child, "canceled", order.why or "The order that it belongs to was canceled.")
        if order.status == "filled" and order.siblings:
            self._cancel_siblings(order, now_ms)

    def _cancel_siblings(self, order: Order, now_ms: int) -> None:
        for other in order.siblings:
            if other.is_done or not other.no:
                continue
            other.cancel_as = "siblingFilledCanceled"
            self._engine.cancel(
                [CancelRequest(account=other.account, instrument=other.terms.instrument, order_no=other.no)]
            )

    def _cancel_refused(self, order: Order, event: CancelRejected) -> None:
        error = {"error": f"{refusal_text(event.reason, event.text, '')} asset={order.terms.instrument}"}
        replacement = self._after_cancel.pop(order.oid, None)
        if replacement is not None:
            new, waiter = replacement
            self.orders.discard(new, order)
            self._put(waiter, {"error": NO_MODIFY})
        elif order.cancelers:
            self._put(order.cancelers.popleft(), error, event.reason)

    def _amending_of(self, order: Order) -> tuple[Order, Order] | None:
        """The oldest change of this placement that is on its way."""
        return next((pair for pair in self._amending.values() if pair[0] is order), None)

    def _amended(self, order: Order, event: Amended, now_ms: int) -> None:
        """The engine's order is as asked: the old placement is canceled, the new one takes its number."""
        pair = self._amending_of(order)
        if pair is None:
            return
        old, new = pair
        del self._amending[new.oid]
        old.turn("canceled", now_ms)
        new.base_lots = old.base_lots + old.filled_lots
        new.terms = new.terms._replace(lots=event.lots - new.base_lots)  # fills may have been faster
        new.cancelers.extend(old.cancelers)
        new.siblings, new.children, new.is_position_tpsl = old.siblings, old.children, old.is_position_tpsl
        self.orders.close(old)
        self.orders.rename(old, new)
        new.timestamp_ms = now_ms
        new.turn("open", now_ms)
        self._touched[new.oid] = new

    def _amend_refused(self, order: Order, event: AmendRejected) -> None:
        pair = self._amending_of(order)
        if pair is None:
            return
        new = pair[1]
        del self._amending[new.oid]
        self.orders.discard(new, order)
        text = refusal_text(event.reason, event.text, self._markets[order.terms.instrument].bbo())
        gone = event.reason == codes.R_UNKNOWN_ORDER or order.is_done
        status = {"error": NO_MODIFY if gone else f"{text} asset={order.terms.instrument}"}
        if new.waiters:
            self._put(new.waiters.popleft(), status, event.reason)

    # -- when an instant is complete

    def settle(self) -> list[tuple[int, list[dict[str, Any]]]]:
        """Answer what can be answered; order updates by account, in the order of what happened."""
        found: dict[int, list[dict[str, Any]]] = {}
        if not self._touched:
            return []
        while self._touched:  # answers may touch the orders' children
            touched, self._touched = self._touched, {}
            for order in touched.values():
                rows = found.setdefault(order.account, [])
                for status, now_ms, left in order.untold:
                    rows.append(self.orders.update(order, status, now_ms, left))
                    order.told = status
                order.untold.clear()
                self._answer_of(order)
        return [(account, rows) for account, rows in found.items() if rows]

    def _answer_of(self, order: Order) -> None:
        if not order.status or not order.waiters:
            return
        waiter = order.waiters.popleft()
        asset = order.terms.instrument
        if order.filled_lots and order.is_done:
            writer = self._markets[asset].writer
            status: dict[str, Any] = {
                "totalSz": writer.size(order.filled_lots),
                "avgPx": writer.mean_price(order.filled_value, order.filled_lots),
                "oid": order.oid,
            }
            self._put(waiter, {"filled": _with_cloid(status, order)})
        elif order.is_done:
            self._put(waiter, {"error": f"{order.why} asset={asset}"}, order.reason)
        elif order.is_position_tpsl:
            self._put(waiter, WAITING_TRIGGER)
        else:
            self._put(waiter, {"resting": _with_cloid({"oid": order.oid}, order)})
        for child in order.children:
            if child.waiters and not child.is_done:
                self._child_waits(child, order.status_ms)

    def _child_waits(self, child: Order, now_ms: int) -> None:
        """Tell of a child of an order that is known now."""
        waiter = child.waiters.popleft()
        if not child.no:
            child.turn("open", now_ms)
            self._touched[child.oid] = child
        self._put(waiter, WAITING_TRIGGER if child.no else WAITING_FILL)

    def _put(self, waiter: Waiter, status: Status, reason: int = codes.R_NONE) -> None:
        waiting, place = waiter
        waiting.put(place, status, reason)
        self._finish(waiting)

    def _finish(self, waiting: Waiting) -> None:
        if waiting.left == 0:
            waiting.left = -1
            self._answer(waiting)


def _with_cloid(status: dict[str, Any], order: Order) -> dict[str, Any]:
    if order.terms.cloid is not None:
        status["cloid"] = order.terms.cloid
    return status


def _amendable(old: Terms, new: Terms) -> bool:
    """Whether the engine can change the one into the other: only price, size and trigger price differ."""
    kept = ("instrument", "side", "reduce_only", "tif", "is_market", "tpsl")
    return all(getattr(old, name) == getattr(new, name) for name in kept)
