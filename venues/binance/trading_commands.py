"""Commands to Binance and what becomes of them: new orders, amendments, cancels, and questions about lost ones. No I/O.

Theory of operation. Where nothing is in its way, an order's bytes leave before anything is noted about it here. One
order leaves by ``order.place``, several by ``batchOrders``, five a request (cancels: ten); conditional ones by the algo
service, one a request. What the venue answers and what its stream says both end in ``apply``, ``Orders`` emitting each
fact once. An order whose fate is not known is asked about by its client id (``Inquiries``); the answer decides:

    it is open       a lost submission has arrived; a lost cancel is sent again; a lost amendment shows in the price
                     and size, or, after ``AMEND_SETTLE_NS``, has not been executed
    it has ended     fills that are missing are asked for first (userTrades), then the end is told
    -2013            asked again; ``NotFound`` once the settle window is over

A cancel that certainly was not executed (overload) is sent again until it is. A conditional order that has triggered is
an ordinary order with an id of its own, which ALGO_UPDATE or the algo query names; what its stream says before that is
kept (``EARLY_ORDERS`` of them).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from matching import codes
from venues.binance import trading_encode as encode
from venues.binance.reasons import reason_of
from venues.binance.trading_desk import ORDERS_1M, ORDERS_10S, UNKNOWN_CODES, WEIGHT, Desk, Request
from venues.binance.trading_evidence import CHECK_NS, GONE, Evidence
from venues.binance.trading_wire import AlgoState, OrderState, Refusal
from venues.errors import PayloadError
from venues.orders import AmendRejected, AmendRequest, CancelAllRequest, CancelRejected, CancelRequest, OrderRequest
from venues.session_parts import MS, SECOND
from venues.trading import Now, OutcomeLost
from venues.trading_orders import ENDED, SENT, Track
from venues.trading_parts import CANCEL, COMMAND

BATCH: Final = 5
BATCH_CANCEL: Final = 10
CANCEL_TRIES: Final = 20
_NOT_DONE: Final = frozenset((-1001, -1008, -1016, 503))
_ORDER_COST: Final = {ORDERS_10S: 1, ORDERS_1M: 1}
_BATCH_COST: Final = {WEIGHT: 5, ORDERS_10S: BATCH, ORDERS_1M: 1}


class Commands(Evidence):
    """See the module's text."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        key, signer = desk.wanted.keys.key, desk.signer
        self._writers = {
            place: encode.PlainOrders(instrument, key, signer) for place, instrument in self.instruments.items()
        }
        self._submits: dict[int, Request] = {}  # not answered yet, by order
        self._numbers = 0

    # -- new orders

    def submit(self, requests: Sequence[OrderRequest], now: Now) -> None:
        """Send new orders; see ``TradingSession``."""
        if len(requests) == 1 and self._submit_at_once(requests[0], now):
            return
        plain: list[tuple[int, dict[str, str]]] = []
        for request in requests:
            name = request.client_id or self.orders.ids.text(request.order_no)
            track = self.orders.add(request, name)
            instrument = self.instruments[request.instrument]
            try:
                if request.trigger is None:
                    plain.append((request.order_no, encode.new_order(instrument, request, name)))
                else:
                    found = encode.conditional_order(instrument, request, request.trigger, name)
                    self._submit_one(request.order_no, found, "algoOrder", now)
            except encode.Unsupported as why:
                self._refuse(track, Refusal(0, str(why)), codes.R_UNSUPPORTED, now)
        if len(plain) == 1:
            self._submit_one(*plain[0], "order", now)
            return
        for start in range(0, len(plain), BATCH):
            self._submit_batch(plain[start : start + BATCH], now)

    def _submit_at_once(self, request: OrderRequest, now: Now) -> bool:
        """A plain order that nothing is in the way of: first its bytes leave, then the books are kept."""
        desk = self.desk
        write = desk.way_out(COMMAND, _ORDER_COST, now) if encode.is_plain(request) else None
        if write is None:
            return False
        name = request.client_id or self.orders.ids.text(request.order_no)
        desk.number += 1
        writer = self._writers[request.instrument]
        write(writer.frame(desk.number, request, name, desk.clock.venue_ns(now) // MS))
        self.orders.add(request, name)
        parameters = encode.new_order(self.instruments[request.instrument], request, name)
        asked = self._submits[request.order_no] = self._submission(request.order_no, parameters, "order")
        desk.has_left(asked, now)
        return True

    def _submission(self, order_no: int, parameters: dict[str, str], path: str) -> Request:
        done = self._placed if path == "order" else self._algo_placed
        return Request(
            "order", "POST", f"/{self.desk.api}/v1/{path}", parameters, done, self._place_refused, self._place_lost,
            rank=COMMAND, costs=_ORDER_COST, ws=f"{path}.place", orders=(order_no,),
        )  # fmt: skip

    def _submit_one(self, order_no: int, parameters: dict[str, str], path: str, now: Now) -> None:
        request = self._submits[order_no] = self._submission(order_no, parameters, path)
        self.desk.put(request, now)

    def _submit_batch(self, rows: list[tuple[int, dict[str, str]]], now: Now) -> None:
        request = Request(
            "orders", "POST", f"/{self.desk.api}/v1/batchOrders", {}, self._batch_placed, self._place_refused,
            self._place_lost, rank=COMMAND, costs=_BATCH_COST, orders=tuple(number for number, _ in rows),
            batch=[found for _, found in rows],
        )  # fmt: skip
        for order_no in request.orders:
            self._submits[order_no] = request
        self.desk.put(request, now)

    def _placed(self, request: Request, body: bytes, now: Now) -> None:
        state, order_no = self.desk.codec.order_state(body), request.orders[0]
        self._submits.pop(order_no, None)
        self.apply(self.orders[order_no], state, now)

    def _algo_placed(self, request: Request, body: bytes, now: Now) -> None:
        state: AlgoState = self.desk.codec.read(AlgoState, body)
        self._submits.pop(request.orders[0], None)
        self.apply_algo(self.orders[request.orders[0]], state, now)

    def _elements(self, request: Request, body: bytes) -> list[msgspec.Raw | None]:
        """The elements of a batch's answer; None where there is none."""
        found: list[msgspec.Raw] = self.desk.codec.read(list[msgspec.Raw], body)
        return [*found, *([None] * (len(request.orders) - len(found)))][: len(request.orders)]

    def _batch_placed(self, request: Request, body: bytes, now: Now) -> None:
        for order_no, element in zip(request.orders, self._elements(request, body), strict=True):
            track = self.orders[order_no]
            self._submits.pop(order_no, None)
            refusal = None if element is None else self.desk.codec.refusal(element)
            if element is None or (refusal is not None and refusal.code in UNKNOWN_CODES):
                self._lose_submit(track, "no answer in a batch's reply", now)
            elif refusal is not None:
                self._refuse(track, refusal, reason_of(refusal.code), now)
            else:
                try:
                    self.apply(track, self.desk.codec.read(OrderState, element), now)
                except PayloadError as error:
                    self.desk.remark("orders", "", f"malformed answer: {error}")
                    self._lose_submit(track, "malformed answer", now)

    def _place_refused(self, request: Request, refusal: Refusal, now: Now) -> None:
        for order_no in request.orders:
            track = self.orders[order_no]
            self._submits.pop(order_no, None)
            if refusal.code == -4116 and (request.again or request.is_lost):
                self.inquiries.open(order_no, "state", now.mono_ns)  # the one before has arrived after all
            else:
                reason = codes.R_RATE_LIMIT if refusal.code == 0 else reason_of(refusal.code)
                self._refuse(track, refusal, reason, now)

    def _refuse(self, track: Track, refusal: Refusal, reason: int, now: Now) -> None:
        told = self.orders.reject(track, (reason, refusal.code, refusal.msg), 0, now.wall_ns)
        if told:
            self.inquiries.close(track.order_no)
            return
        symbol, said = self.instruments[track.instrument].symbol, f"{refusal.code} {refusal.msg}"
        self.desk.remark("order", symbol, f"order {track.order_no}: {said}: although it has the order: asking")
        if track.stage != ENDED:
            self.inquiries.open(track.order_no, "state", now.mono_ns)

    def _place_lost(self, request: Request, why: str, now: Now) -> None:
        for order_no in request.orders:
            self._submits.pop(order_no, None)
            self._lose_submit(self.orders[order_no], why, now)

    def _lose_submit(self, track: Track, why: str, now: Now) -> None:
        if track.stage == SENT:
            self._lost(track, "submit", why)
        if track.stage != ENDED:
            self.inquiries.open(track.order_no, "state", now.mono_ns)

    def _lost(self, track: Track, what: str, why: str) -> None:
        self.desk.events.append(
            OutcomeLost(instrument=track.instrument, order_no=track.order_no, what=what, why=why[:200])
        )

    # -- amendments

    def amend(self, requests: Sequence[AmendRequest], now: Now) -> None:
        """Send amendments; see ``TradingSession``."""
        rows: list[tuple[int, int, dict[str, str]]] = []
        for request in requests:
            track = self.orders.get(request.order_no)
            if track is None or track.stage == ENDED:
                self._amend_useless(request, codes.R_UNKNOWN_ORDER, "the order is not open", now)
            elif track.conditional and not track.venue_id:
                self._amend_useless(request, codes.R_UNSUPPORTED, "an untriggered order cannot be amended here", now)
            else:
                self._numbers += 1
                self.orders.amending(track, self._numbers, request)
                found = encode.amended_order(self.instruments[request.instrument], track, request)
                rows.append((request.order_no, self._numbers, found))
        for start in range(0, len(rows), BATCH):
            self._amend_some(rows[start : start + BATCH], now)

    def _amend_useless(self, request: AmendRequest, reason: int, text: str, now: Now) -> None:
        self.desk.events.append(
            AmendRejected(
                account=self.orders.account, instrument=request.instrument, order_no=request.order_no, ts_event_ns=0,
                ts_recv_ns=now.wall_ns, reason=reason, text=text,
            )
        )  # fmt: skip

    def _amend_some(self, rows: list[tuple[int, int, dict[str, str]]], now: Now) -> None:
        api, orders = f"/{self.desk.api}/v1", tuple(row[0] for row in rows)
        numbers = tuple(row[1] for row in rows)
        if len(rows) == 1:
            request = Request(
                "amend", "PUT", f"{api}/order", rows[0][2], self._amended, self._amend_refused, self._amend_lost,
                rank=COMMAND, costs=_ORDER_COST, ws="order.modify", orders=orders, numbers=numbers,
            )  # fmt: skip
        else:
            request = Request(
                "amends", "PUT", f"{api}/batchOrders", {}, self._amended, self._amend_refused, self._amend_lost,
                rank=COMMAND, costs=_BATCH_COST, orders=orders, numbers=numbers, batch=[row[2] for row in rows],
            )  # fmt: skip
        self.desk.put(request, now)

    def _amended(self, request: Request, body: bytes, now: Now) -> None:
        elements = [msgspec.Raw(body)] if request.batch is None else self._elements(request, body)
        for order_no, number, element in zip(request.orders, request.numbers, elements, strict=True):
            track = self.orders[order_no]
            refusal = None if element is None else self.desk.codec.refusal(element)
            if element is None or (refusal is not None and refusal.code in UNKNOWN_CODES):
                self._lose_amend(track, number, "no answer in a batch's reply", now)
            elif refusal is not None:
                self._refuse_amend(track, number, refusal, now)
            else:
                self.apply(track, self.desk.codec.read(OrderState, element), now, amended=True)

    def _amend_refused(self, request: Request, refusal: Refusal, now: Now) -> None:
        for order_no, number in zip(request.orders, request.numbers, strict=True):
            self._refuse_amend(self.orders[order_no], number, refusal, now)

    def _refuse_amend(self, track: Track, number: int, refusal: Refusal, now: Now) -> None:
        reason = reason_of(refusal.code) if refusal.code else codes.R_RATE_LIMIT
        self.orders.amend_refused(track, number, (reason, refusal.code, refusal.msg), now.wall_ns)
        if refusal.code in GONE and track.stage != ENDED:
            self.inquiries.open(track.order_no, "state", now.mono_ns)

    def _amend_lost(self, request: Request, why: str, now: Now) -> None:
        for order_no, number in zip(request.orders, request.numbers, strict=True):
            self._lose_amend(self.orders[order_no], number, why, now)

    def _lose_amend(self, track: Track, number: int, why: str, now: Now) -> None:
        if any(amend.number == number and amend.heard == 0 for amend in track.amends):
            self._lost(track, "amend", why)
            self._lost_amends.setdefault(track.order_no, set()).add(number)
            self.inquiries.open(track.order_no, "state", now.mono_ns)

    # -- cancels

    def cancel(self, requests: Sequence[CancelRequest], now: Now) -> None:
        """Send cancels; see ``TradingSession``."""
        plain: dict[int, list[Track]] = {}
        for request in requests:
            track = self.orders.get(request.order_no)
            if track is None or track.stage == ENDED:
                self.desk.events.append(
                    CancelRejected(
                        account=self.orders.account, instrument=request.instrument, order_no=request.order_no,
                        ts_event_ns=0, ts_recv_ns=now.wall_ns, reason=codes.R_UNKNOWN_ORDER,
                        text="the order is not open",
                    )
                )  # fmt: skip
            elif not self._withdrawn(track, now):
                self._numbers += 1
                track.cancels.add(self._numbers)
                if self._is_algo(track):
                    self._cancel_one(track, self._numbers, now)
                else:
                    plain.setdefault(request.instrument, []).append(track)
        for instrument, tracks in plain.items():
            if len(tracks) == 1:
                self._cancel_one(tracks[0], max(tracks[0].cancels), now)
            else:
                for start in range(0, len(tracks), BATCH_CANCEL):
                    self._cancel_some(instrument, tracks[start : start + BATCH_CANCEL], now)

    def _is_algo(self, track: Track) -> bool:
        return track.conditional and not track.venue_id

    def _withdrawn(self, track: Track, now: Now) -> bool:
        """Whether an order that still waited for room was taken back."""
        request = self._submits.get(track.order_no)
        if request is None or request.sent_ns:
            return False
        if request.batch is not None and len(request.orders) > 1:
            place = request.orders.index(track.order_no)
            del request.batch[place]
            request.orders = request.orders[:place] + request.orders[place + 1 :]
        elif not self.desk.take_back(request):
            return False
        del self._submits[track.order_no]
        self.orders.withdraw(track, now.wall_ns)
        return True

    def _cancel_one(self, track: Track, number: int, now: Now, tries: int = 0) -> None:
        if self._is_algo(track):
            path, parameters = "algoOrder", {"clientAlgoId": track.client_id}
        else:
            path, parameters = "order", encode.order_id(self.instruments[track.instrument], track)
        done = self._canceled if path == "order" else self._algo_canceled
        request = Request(
            "cancel", "DELETE", f"/{self.desk.api}/v1/{path}", parameters, done, self._cancel_refused,
            self._cancel_lost, rank=CANCEL, costs={WEIGHT: 1}, ws=f"{path}.cancel", orders=(track.order_no,),
            numbers=(number,), tries=tries,
        )  # fmt: skip
        self.desk.put(request, now)

    def _cancel_some(self, instrument: int, tracks: list[Track], now: Now) -> None:
        by_id = any(track.conditional for track in tracks)
        if by_id and not all(track.venue_id for track in tracks):
            for track in tracks:
                self._cancel_one(track, max(track.cancels), now)
            return
        names = [int(track.venue_id) if by_id else track.client_id for track in tracks]
        parameters = {
            "symbol": self.instruments[instrument].symbol,
            "orderIdList" if by_id else "origClientOrderIdList": msgspec.json.encode(names).decode(),
        }
        request = Request(
            "cancels", "DELETE", f"/{self.desk.api}/v1/batchOrders", parameters, self._batch_canceled,
            self._cancel_refused, self._cancel_lost, rank=CANCEL, costs={WEIGHT: 1},
            orders=tuple(track.order_no for track in tracks), numbers=tuple(max(track.cancels) for track in tracks),
        )  # fmt: skip
        self.desk.put(request, now)

    def _canceled(self, request: Request, body: bytes, now: Now) -> None:
        state = self.desk.codec.order_state(body)
        self.orders[request.orders[0]].cancels.discard(request.numbers[0])
        self.apply(self.orders[request.orders[0]], state, now)

    def _algo_canceled(self, request: Request, body: bytes, now: Now) -> None:
        """The answer has no more than ids: the stream tells the end, or is asked for it."""
        self.desk.codec.read(AlgoState, body)
        track = self.orders[request.orders[0]]
        track.cancels.discard(request.numbers[0])
        if track.stage != ENDED:
            self.inquiries.open(track.order_no, "state", now.mono_ns, CHECK_NS)

    def _batch_canceled(self, request: Request, body: bytes, now: Now) -> None:
        for order_no, number, element in zip(
            request.orders, request.numbers, self._elements(request, body), strict=True
        ):
            track = self.orders[order_no]
            refusal = None if element is None else self.desk.codec.refusal(element)
            if element is None or (refusal is not None and refusal.code in UNKNOWN_CODES):
                self._lose_cancel(track, number, "no answer in a batch's reply", now)
            elif refusal is not None:
                self._refuse_cancel(track, number, refusal, now)
            else:
                track.cancels.discard(number)
                self.apply(track, self.desk.codec.read(OrderState, element), now)

    def _cancel_refused(self, request: Request, refusal: Refusal, now: Now) -> None:
        for order_no, number in zip(request.orders, request.numbers, strict=True):
            track = self.orders[order_no]
            if refusal.code in _NOT_DONE and request.tries < CANCEL_TRIES and self.desk.halted is None:
                self._cancel_later(track, number, request.tries + 1, now)
            else:
                self._refuse_cancel(track, number, refusal, now)

    def cancel_again(self, track: Track, number: int, now: Now) -> None:
        """Send the cancel of this number again."""
        self._cancel_one(track, number, now)

    def _cancel_later(self, track: Track, number: int, tries: int, now: Now) -> None:
        def again(then: Now) -> None:
            if track.stage != ENDED:
                self._cancel_one(track, number, then, tries)

        self.desk.later(min(SECOND // 5 << min(tries, 5), 5 * SECOND), again, now)

    def _refuse_cancel(self, track: Track, number: int, refusal: Refusal, now: Now) -> None:
        reason = reason_of(refusal.code) if refusal.code else codes.R_RATE_LIMIT
        self.orders.cancel_refused(track, number, (reason, refusal.code, refusal.msg), now.wall_ns)
        self._lost_cancels.pop(track.order_no, None)
        if track.stage != ENDED:
            self.inquiries.open(track.order_no, "state", now.mono_ns)

    def _cancel_lost(self, request: Request, why: str, now: Now) -> None:
        for order_no, number in zip(request.orders, request.numbers, strict=True):
            self._lose_cancel(self.orders[order_no], number, why, now)

    def _lose_cancel(self, track: Track, number: int, why: str, now: Now) -> None:
        if track.stage != ENDED:
            self._lost(track, "cancel", why)
            self._lost_cancels[track.order_no] = number
            self.inquiries.open(track.order_no, "state", now.mono_ns)

    def cancel_all(self, request: CancelAllRequest, now: Now, tries: int = 0) -> None:
        """Cancel all open orders of an instrument; the stream tells of each, and is checked."""
        tracks = [track for track in self.orders.open(request.instrument) if not self._withdrawn(track, now)]
        paths = ["allOpenOrders", *(["algoOpenOrders"] if any(track.conditional for track in tracks) else [])]
        symbol = self.instruments[request.instrument].symbol

        def check(then: Now) -> None:
            for track in tracks:
                if track.stage != ENDED:
                    self.inquiries.open(track.order_no, "state", then.mono_ns)

        def done(asked: Request, body: bytes, then: Now) -> None:
            self.desk.later(CHECK_NS, check, then)

        def refused(asked: Request, refusal: Refusal, then: Now) -> None:
            lost(asked, f"{refusal.code} {refusal.msg}", then)

        def lost(asked: Request, why: str, then: Now) -> None:
            self.desk.remark("cancel all", symbol, f"{why}; sent again" if tries < CANCEL_TRIES else why)
            if tries < CANCEL_TRIES and self.desk.halted is None:
                self.desk.retry(tries, lambda later: self.cancel_all(request, later, tries + 1), then)

        for path in paths:
            found = Request(
                "cancel all", "DELETE", f"/{self.desk.api}/v1/{path}", {"symbol": symbol}, done, refused, lost,
                rank=CANCEL, costs={WEIGHT: 1},
            )  # fmt: skip
            self.desk.put(found, now)
