"""Orders at the emulated Binance: new, amended, canceled and asked for, and what the engine says of them.

Theory of operation. A request becomes the engine's command and waits; the engine's event answers it and is told to the
user stream, in the venue's order: NEW, then for each fill TRADE_LITE, ORDER_TRADE_UPDATE and ACCOUNT_UPDATE, then what
ended it. The stream is told before the reply leaves. A conditional order lives at the algo service (ALGO_UPDATE) until
its trigger gives it an order of its own; COIN-M takes them on ``/order`` as well. Orders that the venue makes itself to
liquidate appear with the client ids ``autoclose-...`` and ``adl_autoclose``.

Sources: USDM and COINM, "Trade", "User Data Streams"; A4 of the fact sheet for the state machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from matching import codes
from venues.binance.emulator_access import letters
from venues.binance.emulator_forms import Forms, lots_of, request_of, side_of, ticks_of
from venues.binance.emulator_ledger import Ledger
from venues.binance.emulator_market import Market
from venues.binance.emulator_orders import (
    EXPIRY_REASONS,
    FIRST_ALGO_ID,
    FIRST_ID,
    MARKET_TYPES,
    Row,
    Table,
    algo_event,
    algo_reply,
    lite_event,
    order_event,
    order_reply,
)
from venues.binance.emulator_public import minimum_notional
from venues.binance.emulator_site import Asker, Batch, Call, Part, Site
from venues.binance.emulator_wire import Params, Refusal, money, ms, refused
from venues.orders import (
    Accepted,
    Amended,
    AmendRejected,
    AmendRequest,
    AutoDeleveraged,
    CancelAllRequest,
    Canceled,
    CancelRejected,
    CancelRequest,
    Expired,
    Filled,
    Held,
    Liquidated,
    OrderEvent,
    Rejected,
    Triggered,
)

BATCH_MOST: Final = 5
BATCH_CANCEL_MOST: Final = 10
ALL_DONE: Final = {"code": 200, "msg": "The operation of cancel all open order is done."}


class _All(Asker):
    """Waits for the ends of several orders, then answers once."""

    def __init__(self, asker: Asker, count: int, result: Any) -> None:
        self._asker = asker
        self._left = count
        self._result = result

    def one_ended(self) -> None:
        self._left -= 1
        if self._left <= 0:
            self.is_done = True
            self._asker.finish(self._result)

    def finish(self, result: Any) -> None:
        self.one_ended()

    def refuse(self, refusal: Refusal) -> None:
        self.one_ended()


class Trading:
    """See the module's text. ``tell`` sends an event to an account's user streams."""

    def __init__(self, site: Site, ledger: Ledger, tell: Callable[[int, dict[str, Any]], None]) -> None:
        self._site = site
        self._ledger = ledger
        self._tell = tell
        self._forms = Forms(site)
        self.tables = [Table() for _ in range(site.engine.accounts)]
        self._next_id = FIRST_ID
        self._next_algo_id = FIRST_ALGO_ID
        self._next_amendment = 1
        self._handlers: dict[type, Callable[[Row, Any], None]] = {
            Accepted: self._accepted,
            Held: self._held,
            Triggered: self._triggered,
            Rejected: self._rejected,
            Filled: self._filled,
            Canceled: self._canceled,
            Expired: self._expired,
            CancelRejected: self._cancel_rejected,
            Amended: self._amended,
            AmendRejected: self._amend_rejected,
        }

    # -- new orders

    def place(self, call: Call) -> None:
        self._site.budget.count_orders(call.account, self._site.wall_ns)
        self._place([self._prepared(call.params, call, algo=False)])

    def place_algo(self, call: Call) -> None:
        self._site.budget.count_orders(call.account, self._site.wall_ns)
        self._place([self._prepared(call.params, call, algo=True)])

    def try_out(self, call: Call) -> None:
        """``order/test``: read and checked, not placed."""
        row = self._forms.new(call.params, call.account, algo=False)
        row.client_id = row.client_id or letters(self._site.entropy, 22)
        call.finish(order_reply(row))

    def place_batch(self, call: Call) -> None:
        asked = call.params.objects("batchOrders")
        if not 1 <= len(asked) <= BATCH_MOST:
            raise Refusal(-4082)
        self._site.budget.count_orders(call.account, self._site.wall_ns, batch=True)
        batch, rows = Batch(call, len(asked)), []
        for index, values in enumerate(asked):
            part = Part(batch, index)
            try:
                rows.append(self._prepared(Params(values), part, account=call.account, algo=False))
            except Refusal as refusal:
                part.refuse(refusal)
        self._place(rows)

    def _prepared(self, params: Params, asker: Asker, *, algo: bool, account: int = -1) -> tuple[Row, bool]:
        """An order with its ids, in the table; and whether the client has named it."""
        account = asker.account if isinstance(asker, Call) else account
        table = self.tables[account]
        row = self._forms.new(params, account, algo=algo)
        given = row.client_id != ""
        known = table.of_client(row.client_id) if given else None
        if known is not None and (known.is_open or known.is_pending):
            raise Refusal(-4116)
        row.client_id = row.client_id or letters(self._site.entropy, 22)
        row.number = table.next_number
        table.next_number += 1
        row.created_ms = row.updated_ms = ms(self._site.engine.now_ns)
        if algo:
            row.algo_id = self._next_algo_id
            self._next_algo_id += 1
        else:
            self._name(row)
        table.add(row)
        row.placing = asker
        self._site.wait(asker)
        return row, given

    def _name(self, row: Row) -> None:
        row.order_id = self._next_id
        self._next_id += 1

    def _place(self, rows: Sequence[tuple[Row, bool]]) -> None:
        if rows:
            self._site.engine.submit([request_of(row, given) for row, given in rows])

    # -- finding orders

    def found(self, params: Params, account: int, code: int = -2013) -> Row:
        """The order that a request names by ``orderId`` or ``origClientOrderId``."""
        table = self.tables[account]
        market = self._site.market(params)
        row: Row | None = None
        if params.has("orderId"):
            row = table.of_id(params.integer("orderId"))
        elif params.has("origClientOrderId"):
            row = table.of_client(params.text("origClientOrderId"))
        else:
            text = "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"
            raise Refusal(-1102, text)
        if row is None or row.market is not market or (row.algo_id and not row.order_id):
            raise Refusal(code)
        return row

    def found_algo(self, params: Params, account: int, code: int = -2013) -> Row:
        table = self.tables[account]
        row: Row | None = None
        if params.has("algoId"):
            row = table.of_algo(params.integer("algoId"))
        elif params.has("clientAlgoId"):
            row = table.of_client(params.text("clientAlgoId"))
        else:
            raise Refusal(-1102, "Param 'algoId' or 'clientAlgoId' must be sent, but both were empty/null!")
        if row is None or not row.algo_id:
            raise Refusal(code)
        return row

    # -- cancels

    def cancel(self, call: Call) -> None:
        row = self.found(call.params, call.account, -2011)
        self._cancel([(row, call)])

    def cancel_algo(self, call: Call) -> None:
        row = self.found_algo(call.params, call.account, -2011)
        if not (row.is_held or row.is_pending):
            raise Refusal(-2011)
        self._cancel([(row, call)])

    def cancel_batch(self, call: Call) -> None:
        market, table = self._site.market(call.params), self.tables[call.account]
        lists = Params(
            {name.lower(): value for name, value in call.params.values.items()}
        )  # as some clients write them
        if lists.has("orderidlist"):
            numbers = lists.scalars("orderidlist")
            rows = [table.of_id(int(text)) if text.isdigit() else None for text in numbers]
        else:
            rows = [table.of_client(name) for name in lists.scalars("origclientorderidlist")]
        if not 1 <= len(rows) <= BATCH_CANCEL_MOST:
            raise Refusal(-4032, "Exceed maximum cancel order size.")
        batch, known = Batch(call, len(rows)), []
        for index, row in enumerate(rows):
            part = Part(batch, index)
            if row is None or row.market is not market or not (row.is_open or row.is_pending):
                part.refuse(Refusal(-2011))
            else:
                known.append((row, part))
        if known:
            self._cancel(known)

    def _cancel(self, rows: Sequence[tuple[Row, Asker]]) -> None:
        for row, asker in rows:
            if not (row.is_open or row.is_pending):
                raise Refusal(-2011)
            row.canceling.append(asker)
            self._site.wait(asker)
        self._site.engine.cancel([CancelRequest(account=row.account, instrument=row.market.index, order_no=row.number)
                                  for row, _ in rows])  # fmt: skip

    def cancel_all(self, call: Call) -> None:
        """Every order in the book of a symbol; conditional orders of the algo service stay."""
        market, table = self._site.market(call.params), self.tables[call.account]
        rows = list(table.open(market))
        stays = any(table.open(market, algo=True))
        if rows:
            self._await_all(call, rows)
        if stays and rows:
            self._engine_cancel(rows)
        elif not stays:
            self._site.engine.cancel_all(CancelAllRequest(account=call.account, instrument=market.index))
        if not rows:
            call.finish(ALL_DONE)

    def cancel_all_algo(self, call: Call) -> None:
        rows = list(self.tables[call.account].open(self._site.market(call.params), algo=True))
        if not rows:
            call.finish(ALL_DONE)
            return
        self._await_all(call, rows)
        self._engine_cancel(rows)

    def _await_all(self, call: Call, rows: Sequence[Row]) -> None:
        waiting = _All(call, len(rows), ALL_DONE)
        self._site.wait(call)
        for row in rows:
            row.canceling.append(waiting)

    def _engine_cancel(self, rows: Sequence[Row]) -> None:
        self._site.engine.cancel([CancelRequest(account=row.account, instrument=row.market.index, order_no=row.number)
                                  for row in rows])  # fmt: skip

    # -- amendments

    def amend(self, call: Call) -> None:
        self._site.budget.count_orders(call.account, self._site.wall_ns)
        self._site.engine.amend([self._amendment(call.params, call.account, call)])

    def amend_batch(self, call: Call) -> None:
        asked = call.params.objects("batchOrders")
        if not 1 <= len(asked) <= BATCH_MOST:
            raise Refusal(-4082)
        self._site.budget.count_orders(call.account, self._site.wall_ns, batch=True)
        batch, requests = Batch(call, len(asked)), []
        for index, values in enumerate(asked):
            part = Part(batch, index)
            try:
                requests.append(self._amendment(Params(values), call.account, part))
            except Refusal as refusal:
                part.refuse(refusal)
        if requests:
            self._site.engine.amend(requests)

    def _amendment(self, params: Params, account: int, asker: Asker) -> AmendRequest:
        row = self.found(params, account)
        if row.type != "LIMIT":
            raise Refusal(-5025)
        if side_of(params) != row.side:
            raise Refusal(-1130, "Data sent for parameter 'side' is not valid.")
        lots, ticks = lots_of(row.market, params), ticks_of(row.market, params, "price")
        if not row.is_open:
            raise Refusal(-2013)
        row.amending.append(asker)
        self._site.wait(asker)
        return AmendRequest(account=account, instrument=row.market.index, order_no=row.number, ticks=ticks, lots=lots)

    # -- what the engine says

    def on_order(self, event: OrderEvent) -> None:
        self._ledger.flush(event.account)
        row = self.tables[event.account].by_number.get(event.order_no)
        if row is None and event.order_no < 0:
            row = self._forced(event)
        handler = self._handlers.get(type(event))
        if row is None or handler is None:
            return
        row.updated_ms = ms(event.ts_event_ns)
        handler(row, event)

    def _times(self, event: Any) -> tuple[int, int]:
        time_ms = ms(event.ts_event_ns)
        return max(ms(self._site.engine.now_ns), time_ms), time_ms

    def _announce(self, row: Row, times: tuple[int, int]) -> None:
        row.status, row.is_announced = "NEW", True
        self._tell(row.account, order_event(row, "NEW", times))

    def _answer_placing(self, row: Row) -> None:
        asker, row.placing = row.placing, None
        if asker is not None:
            asker.finish(algo_reply(row) if row.algo_id else order_reply(row))

    def _accepted(self, row: Row, event: Accepted) -> None:
        if not row.is_announced:
            self._announce(row, self._times(event))
        if not row.waits_whole:
            self._answer_placing(row)

    def _held(self, row: Row, event: Held) -> None:
        row.is_held = True
        if row.algo_id:
            self._tell_algo(row, "NEW", event)
        else:
            row.status = "NEW"
            self._tell(row.account, order_event(row, "NEW", self._times(event)))
        self._answer_placing(row)

    def _tell_algo(self, row: Row, status: str, event: Any) -> None:
        row.algo_status = status
        self._tell(row.account, algo_event(row, self._times(event)))

    def _triggered(self, row: Row, event: Triggered) -> None:
        times = self._times(event)
        row.is_held = False
        row.triggered_ms = times[1]
        if row.close_position:
            row.lots = abs(self._ledger.told[row.account].holding(row.market.index, row.leg).lots)
        if row.algo_id:
            self._tell_algo(row, "TRIGGERING", event)
            self._name(row)
            self.tables[row.account].index(row)
            row.type = MARKET_TYPES[row.original_type]
            self._tell_algo(row, "TRIGGERED", event)
        else:  # the conditional order ends, the one that it stands for begins, under the same id
            row.status = "EXPIRED"
            self._tell(row.account, order_event(row, "EXPIRED", times, er="8"))
            row.type = MARKET_TYPES[row.original_type]
        self._announce(row, times)

    def _rejected(self, row: Row, event: Rejected) -> None:
        minimum = minimum_notional(row.market.instrument)
        refusal = refused(event.reason, event.code, event.text, "order", minimum)
        if row.is_held:  # its trigger was met and the book refused it
            row.is_held = False
            row.reject_text = refusal.text
            if row.algo_id:
                self._tell_algo(row, "REJECTED", event)
            else:
                row.status = "EXPIRED"
                self._tell(row.account, order_event(row, "EXPIRED", self._times(event), er="8"))
            self._end(row)
            return
        asker, row.placing = row.placing, None
        row.status = "REJECTED"
        self._refuse_waiting(row)
        self.tables[row.account].forget(row)
        if asker is not None:
            asker.refuse(refusal)

    def _filled(self, row: Row, event: Filled) -> None:
        times = self._times(event)
        if not row.is_announced:
            self._announce(row, times)
        row.take_fill(event.ticks, event.lots)
        if row.close_position and row.filled + event.leaves_lots > row.lots:
            row.lots = row.filled + event.leaves_lots
        is_whole = row.filled >= row.lots
        if row.status in ("NEW", "PARTIALLY_FILLED") or is_whole:
            row.status = "FILLED" if is_whole else "PARTIALLY_FILLED"
        fill = self._ledger.take_fill(row, event)
        self._tell(row.account, lite_event(row, times, fill))
        self._tell(row.account, order_event(row, "TRADE", times, **fill))
        if is_whole:
            self._closed(row, event)

    def _canceled(self, row: Row, event: Canceled) -> None:
        if row.is_held and row.algo_id:
            row.is_held = False
            self._tell_algo(row, "CANCELED", event)
            self._end(row)
            return
        row.is_held = False
        row.status = "CANCELED"
        self._tell(row.account, order_event(row, "CANCELED", self._times(event)))
        self._closed(row, event)

    def _expired(self, row: Row, event: Expired) -> None:
        if row.is_held and row.algo_id:
            row.is_held = False
            self._tell_algo(row, "EXPIRED", event)
            self._end(row)
            return
        times = self._times(event)
        if not row.is_announced and not row.is_held:
            self._announce(row, times)
        row.is_held = False
        row.status = "EXPIRED_IN_MATCH" if event.reason == codes.R_STP else "EXPIRED"
        expiry = EXPIRY_REASONS.get(event.reason, "0")
        self._tell(row.account, order_event(row, "EXPIRED", times, er=expiry))
        self._closed(row, event)

    def _closed(self, row: Row, event: Any) -> None:
        if row.algo_id:
            self._tell_algo(row, "FINISHED", event)
        self._end(row, getattr(event, "reason", codes.R_NONE))

    def _end(self, row: Row, reason: int = codes.R_NONE) -> None:
        """An order is over: answer who waits for that. An amendment to what has executed, or one that would take from a
        post-only order, is what ended it."""
        self._answer_placing(row)
        by_amending = not row.canceling and reason in (codes.R_USER, codes.R_POST_ONLY)
        if row.status != "FILLED":
            waiting, row.canceling = row.canceling, []
            for asker in waiting:
                asker.finish(self._cancel_reply(row))
        else:  # a cancel on its way is refused when it arrives; who waits for the end of all has it
            for asker in [one for one in row.canceling if isinstance(one, _All)]:
                row.canceling.remove(asker)
                asker.one_ended()
        if row.status != "FILLED" and by_amending and row.amending:  # others under way are refused when they arrive
            row.amending.pop(0).finish(order_reply(row))
        self.tables[row.account].closed(row)

    def _cancel_reply(self, row: Row) -> dict[str, Any]:
        if row.algo_id and not row.order_id:
            return {"algoId": row.algo_id, "clientAlgoId": row.client_id, "code": "200", "msg": "success"}
        return order_reply(row)

    def _refuse_waiting(self, row: Row) -> None:
        canceling, row.canceling = row.canceling, []
        amending, row.amending = row.amending, []
        for asker in canceling:
            asker.refuse(Refusal(-2011))
        for asker in amending:
            asker.refuse(Refusal(-2013))

    def _cancel_rejected(self, row: Row, event: CancelRejected) -> None:
        if row.canceling:
            row.canceling.pop(0).refuse(refused(event.reason, event.code, event.text, "cancel"))

    def _amended(self, row: Row, event: Amended) -> None:
        one = (self._next_amendment, ms(event.ts_event_ns), row.ticks, event.ticks, row.lots, event.lots)
        self._next_amendment += 1
        row.amendments.append(one)
        row.amend_count += 1
        row.ticks, row.lots = event.ticks, event.lots
        if self._site.card.stp.reset_by_amend.value:
            row.stp = "NONE"
        self._tell(row.account, order_event(row, "AMENDMENT", self._times(event), M=str(one[0])))
        if row.amending:
            row.amending.pop(0).finish(order_reply(row))
        if row.filled and row.lots <= row.filled and row.is_open:
            row.status = "FILLED"
            self._closed(row, event)

    def _amend_rejected(self, row: Row, event: AmendRejected) -> None:
        if row.amending:
            row.amending.pop(0).refuse(refused(event.reason, event.code, event.text, "amend"))

    # -- the venue's own orders

    def _forced(self, event: OrderEvent) -> Row | None:
        """The row of an order that the venue makes to liquidate an account."""
        request = self._site.engine.forced(event.account, event.order_no)
        if request is None:
            return None
        prefix = self._site.card.liquidation.order_id_prefix.value
        return self._made(event.account, self._site.markets[event.instrument], request.leg, request.side,
                          (request.ticks, request.lots), f"{prefix}{ms(event.ts_event_ns)}{-event.order_no:06d}",
                          event.order_no)  # fmt: skip

    def _made(
        self, account: int, market: Market, leg: int, side: int, terms: tuple[int, int], client_id: str, number: int
    ) -> Row:
        row = Row(
            account,
            market,
            number,
            0,
            client_id,
            side,
            "LIQUIDATION",
            "LIQUIDATION",
            "IOC",
            terms[0],
            terms[1],
            leg=leg,
        )
        row.created_ms = ms(self._site.engine.now_ns)
        row.stp = "NONE"
        self._name(row)
        self.tables[account].add(row)
        return row

    def on_takeover(self, event: Liquidated | AutoDeleveraged) -> None:
        """A position was taken over, or reduced against a bankrupt account's, without the book."""
        self._ledger.flush(event.account)
        market, account = self._site.markets[event.instrument], event.account
        leg = 0
        if self._site.engine.is_hedged(account):
            leg = codes.FLAG_SHORT_LEG if event.side == codes.BUY else codes.FLAG_LONG_LEG
        card, number = self._site.card, -(10**12) - self._next_id
        if isinstance(event, Liquidated):
            client_id = f"{card.liquidation.order_id_prefix.value}{ms(event.ts_event_ns)}"
            gain = (event.realized_e8, event.fee_e8)
        else:
            client_id, gain = str(card.loss.adl_id_prefix.value), (event.realized_e8, 0)
        row = self._made(account, market, leg, event.side, (event.ticks, event.lots), client_id, number)
        times = self._times(event)
        self._announce(row, times)
        row.take_fill(max(event.ticks, 1), event.lots)
        row.status = "FILLED"
        self._ledger.take_over(account, market, leg, event.side, event.ticks, event.lots, gain, event.ts_event_ns)
        size, price = market.printer.size(event.lots), market.printer.price(event.ticks)
        fields = {"l": size, "L": price, "rp": money(gain[0]), "n": money(gain[1])}
        self._tell(account, order_event(row, "CALCULATED", times, **fields))
        self._end(row)
