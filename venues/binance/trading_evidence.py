"""What Binance says of orders: replies, its user stream and answers to questions, made into events once. No I/O.

``apply`` takes an order as a reply states it, ``on_order`` and ``on_algo`` what the stream says; ``ask`` sends the
questions that are due. ``venues/binance/trading_commands.py`` says what follows from the answers.
"""

from __future__ import annotations

from typing import Final

from matching import codes
from venues.binance import trading_encode as encode
from venues.binance.reasons import expiry_reason
from venues.binance.trading_desk import WEIGHT, Desk, Done, Lost, Refused, Request
from venues.binance.trading_wire import AlgoState, AlgoUpdate, OrderState, OrderUpdate, Refusal, TradeRow
from venues.orders import AutoDeleveraged, Liquidated
from venues.session_parts import MS, SECOND
from venues.trading import Now
from venues.trading_orders import ENDED, HELD, OPEN, REPLY, SENT, STREAM, End, Fill, Track
from venues.trading_parts import Inquiries, Seen

AMEND_SETTLE_NS: Final = 15 * SECOND  # the venue executes no request that is older than its receive window
FILLS_WAIT_NS: Final = SECOND  # the stream usually brings them
CHECK_NS: Final = 2 * SECOND
EARLY_ORDERS: Final = 256
EARLY_UPDATES: Final = 64
TRADES_MAX: Final = 1000
HISTORY_WEIGHT: Final = {"fapi": 5, "dapi": 20}
GONE: Final = frozenset((-2011, -2013))
_OPEN: Final = frozenset(("NEW", "PARTIALLY_FILLED", "FILLED", "NEW_INSURANCE"))
_FORCED: Final = ("autoclose-", "adl_autoclose", "settlement_autoclose-", "delivery_autoclose-")


class Evidence:
    """See the module's text. ``Commands`` is one that also sends them."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.orders = desk.orders
        self.instruments = desk.wanted.instruments
        self.inquiries = Inquiries()
        self.unheard: dict[int, int] = {}  # orders that a reply told of, and the stream has not: since when
        self.dead_man_ns: dict[int, int] = {}  # by instrument: the venue's time at which it cancels
        self.adopting = True  # until the account's state is known, orders of this run may be unknown to us
        self._lost_cancels: dict[int, int] = {}  # order to the number of its cancel
        self._lost_amends: dict[int, set[int]] = {}
        self.seen = Seen()
        self._early: dict[int, list[tuple[OrderUpdate, int]]] = {}  # what was said of orders not known yet

    def cancel_again(self, track: Track, number: int, now: Now) -> None:
        """Send the cancel of this number again."""
        raise NotImplementedError

    # -- an order as a reply states it

    def apply(self, track: Track, state: OrderState, now: Now, *, amended: bool = False) -> None:
        """The venue's statement of an order; ``amended``: it answers an amendment."""
        ts_ns = state.update_ms * MS
        ticks, lots, filled = self.desk.codec.numbers(self.instruments[track.instrument].symbol, state)
        stage = track.stage
        self._entered(track, str(state.order_id), ts_ns, now)
        if amended or self._was_amended(track, ticks, lots, ts_ns):
            self.orders.amended(track, ticks, lots, ts_ns, now.wall_ns, REPLY)
        if track.stage == OPEN and stage == SENT and not track.conditional:
            self.unheard.setdefault(track.order_no, now.mono_ns)
        if filled or track.told_lots:
            self.orders.told(track, filled)
        if state.status not in _OPEN:
            if state.status == "REJECTED":
                self.orders.reject(track, (codes.R_VENUE, 0, "REJECTED"), ts_ns, now.wall_ns)
            else:
                self._finish(track, state.status, 0, filled, ts_ns, now)
        self._after(track, now)

    def _was_amended(self, track: Track, ticks: int, lots: int, ts_ns: int) -> bool:
        """Whether the venue states another price or size than we know: an amendment was not heard of."""
        differs = ticks != track.ticks or lots != track.lots
        return differs and not track.market and track.lots > 0 and ts_ns > track.amended_ns

    def _entered(self, track: Track, venue_id: str, ts_ns: int, now: Now) -> None:
        if track.conditional:
            self.orders.trigger(track, venue_id, ts_ns, now.wall_ns)
        else:
            self.orders.accept(track, venue_id, ts_ns, now.wall_ns)

    def _finish(self, track: Track, status: str, expiry: int, filled: int, ts_ns: int, now: Now) -> None:
        if status == "CANCELED":
            reason = codes.R_USER
            armed_ns = self.dead_man_ns.get(track.instrument, 0)
            if armed_ns and not track.cancels and ts_ns >= armed_ns:
                reason = codes.R_DEAD_MAN
            end = End(True, reason, filled, ts_ns)
        else:
            kind = "MARKET" if track.market else "LIMIT"
            reason = expiry_reason(status, expiry, kind, encode.TIFS[track.tif])
            end = End(False, reason, filled, ts_ns)
        self.orders.finish(track, end, now.wall_ns)

    def _after(self, track: Track, now: Now) -> None:
        """What follows once something was said of an order."""
        if track.stage == ENDED:
            self.inquiries.close(track.order_no)
            self.unheard.pop(track.order_no, None)
            self._lost_cancels.pop(track.order_no, None)
            self._lost_amends.pop(track.order_no, None)
        elif track.order_no in self.orders.gaps:
            self.inquiries.open(track.order_no, "fills", now.mono_ns, FILLS_WAIT_NS)

    def apply_algo(self, track: Track, state: AlgoState, now: Now) -> None:
        """The venue's statement of a conditional order."""
        self._algo(track, state.status, str(state.order_id or ""), "", (state.update_ms or state.created_ms) * MS, now)

    def _algo(self, track: Track, status: str, order_id: str, why: str, ts_ns: int, now: Now) -> None:
        if order_id in ("0", ""):
            order_id = ""
        if status == "NEW":
            self.orders.hold(track, ts_ns, now.wall_ns)
        elif status == "CANCELED":
            self.orders.hold(track, ts_ns, now.wall_ns)
            self.orders.finish(track, End(True, codes.R_USER, 0, ts_ns), now.wall_ns)
        elif status == "EXPIRED":
            self.orders.hold(track, ts_ns, now.wall_ns)
            self.orders.finish(track, End(False, codes.R_EXPIRED, 0, ts_ns), now.wall_ns)
        elif status == "REJECTED":
            self.orders.reject(track, (_refusal_reason(why), 0, why or "REJECTED"), ts_ns, now.wall_ns)
        elif order_id:  # TRIGGERED or FINISHED
            self.orders.trigger(track, order_id, ts_ns, now.wall_ns)
            for update, event_ms in self._early.pop(int(order_id), []) if order_id.isdigit() else ():
                self._update(track, update, event_ms, now)
            if status == "FINISHED" and track.stage != ENDED:
                self.inquiries.open(track.order_no, "state", now.mono_ns, CHECK_NS)
        self._after(track, now)

    # -- the user stream

    def on_order(self, update: OrderUpdate, event_ms: int, now: Now) -> None:
        """ORDER_TRADE_UPDATE."""
        key = (
            update.order_id, update.execution, update.status, update.trade_ms, event_ms, update.trade_id,
            update.filled, update.price, update.quantity,
        )  # fmt: skip
        if update.symbol not in self.desk.codec.places or not self.seen.add(key):
            return
        track = self.orders.at_venue(str(update.order_id)) or self.orders.named(update.client_id)
        if track is not None:
            self._update(track, update, event_ms, now)
        elif update.client_id.startswith(_FORCED):
            self._forced(update, event_ms, now)
        else:
            self._foreign(update, event_ms)

    def _update(self, track: Track, update: OrderUpdate, event_ms: int, now: Now) -> None:
        codec, symbol, ts_ns = self.desk.codec, update.symbol, event_ms * MS
        self.unheard.pop(track.order_no, None)
        if update.execution in ("TRADE", "CALCULATED") and update.last_quantity.strip("0.") != "":
            self._entered_before(track, str(update.order_id), ts_ns, now)
            self.orders.fill(track, self._fill(update, ts_ns), now.wall_ns)
        elif update.execution == "AMENDMENT":
            self._entered(track, str(update.order_id), ts_ns, now)
            ticks, lots = codec.price(symbol, update.price, "o.p"), codec.size(symbol, update.quantity, "o.q")
            self.orders.amended(track, ticks, lots, ts_ns, now.wall_ns, STREAM)
        else:
            self._entered(track, str(update.order_id), ts_ns, now)
        if update.status not in _OPEN:
            filled = codec.size(symbol, update.filled, "o.z")
            ticks, lots = codec.price(symbol, update.price, "o.p"), codec.size(symbol, update.quantity, "o.q")
            if update.status != "FILLED" and self._was_amended(track, ticks, lots, ts_ns):
                self.orders.amended(track, ticks, lots, ts_ns, now.wall_ns, STREAM)
            self._finish(track, update.status, _number(update.expiry), filled, ts_ns, now)
        self._after(track, now)

    def _entered_before(self, track: Track, venue_id: str, ts_ns: int, now: Now) -> None:
        self.orders.name(track, venue_id)
        if track.stage == HELD or (track.conditional and track.stage == SENT):
            self.orders.trigger(track, venue_id, ts_ns, now.wall_ns)

    def _fill(self, update: OrderUpdate, ts_ns: int) -> Fill:
        codec, symbol = self.desk.codec, update.symbol
        fee_e8, other_e8, other = self._fees(
            symbol, codec.money(update.fee, "o.n") if update.fee else 0, update.fee_asset
        )
        return Fill(
            str(update.trade_id),
            codec.price(symbol, update.last_price, "o.L"),
            codec.size(symbol, update.last_quantity, "o.l"),
            codes.LIQ_MAKER if update.maker else codes.LIQ_TAKER,
            fee_e8,
            codec.money(update.realized, "o.rp"),
            ts_ns,
            codec.size(symbol, update.filled, "o.z"),
            codec.size(symbol, update.quantity, "o.q"),
            other_e8,
            other,
        )

    def _fees(self, symbol: str, fee_e8: int, asset: str | None) -> tuple[int, int, str | None]:
        """What is charged in the asset that the instrument settles in, and what in another one (BNB)."""
        settle = self.instruments[self.desk.codec.places[symbol]].settle
        return (0, fee_e8, asset) if fee_e8 and asset and asset != settle else (fee_e8, 0, None)

    def _forced(self, update: OrderUpdate, event_ms: int, now: Now) -> None:
        """An order that the venue made to take a position over."""
        if update.execution not in ("TRADE", "CALCULATED"):
            self.desk.remark("user", update.symbol, f"{update.client_id}: {update.execution} {update.status}")
            return
        fill = self._fill(update, event_ms * MS)
        place = self.desk.codec.places[update.symbol]
        side = self.desk.codec.buy_or_sell(update.side, "o.S")
        if update.client_id.startswith("autoclose-"):
            self.desk.events.append(
                Liquidated(
                    account=self.orders.account, instrument=place, ts_event_ns=fill.ts_event_ns,
                    ts_recv_ns=now.wall_ns, side=side, ticks=fill.ticks, lots=fill.lots,
                    realized_e8=fill.realized_e8, fee_e8=fill.fee_e8,
                )
            )  # fmt: skip
        elif update.client_id.startswith("adl_autoclose"):
            self.desk.events.append(
                AutoDeleveraged(
                    account=self.orders.account, instrument=place, ts_event_ns=fill.ts_event_ns,
                    ts_recv_ns=now.wall_ns, side=side, ticks=fill.ticks, lots=fill.lots,
                    realized_e8=fill.realized_e8,
                )
            )  # fmt: skip
        else:
            self.desk.remark("user", update.symbol, f"{update.client_id}: {fill.lots} lots settled by the venue")

    def _foreign(self, update: OrderUpdate, event_ms: int) -> None:
        """An order that is not known: placed by hand, or come of a trigger that was not told of yet."""
        waiting = self.adopting or any(track.conditional for track in self.orders.open())
        if waiting:
            if update.order_id not in self._early and len(self._early) >= EARLY_ORDERS:
                del self._early[next(iter(self._early))]
            kept = self._early.setdefault(update.order_id, [])
            if len(kept) < EARLY_UPDATES:
                kept.append((update, event_ms))
        elif update.execution in ("TRADE", "NEW"):
            what = "filled" if update.execution == "TRADE" else "placed"
            self.desk.remark("user", update.symbol, f"an order that is not this run's was {what}: {update.order_id}")

    def adopted(self, now: Now) -> None:
        """The account's state is known: what was said of orders before that finds them now."""
        self.adopting = False
        early, self._early = self._early, {}
        for updates in early.values():
            for update, event_ms in updates:
                track = self.orders.at_venue(str(update.order_id)) or self.orders.named(update.client_id)
                if track is not None:
                    self._update(track, update, event_ms, now)
                else:
                    self._foreign(update, event_ms)

    def on_algo(self, update: AlgoUpdate, now: Now) -> None:
        """ALGO_UPDATE."""
        order = update.order
        if not self.seen.add(("algo", order.algo_id, order.status, update.event_ms, order.order_id)):
            return
        track = self.orders.named(order.client_id)
        if track is not None:
            self.unheard.pop(track.order_no, None)
            order_id = str(order.order_id or "")
            self._algo(track, order.status, order_id, order.why, update.event_ms * MS, now)

    # -- questions

    def ask(self, now: Now) -> None:
        """Ask what is due to be asked."""
        for order_no in self.orders.gaps:
            self.inquiries.open(order_no, "fills", now.mono_ns, FILLS_WAIT_NS)
        for inquiry in self.inquiries.due(now.mono_ns):
            track = self.orders.get(inquiry.order_no)
            if track is None or track.stage == ENDED:
                self.inquiries.close(inquiry.order_no)
            elif inquiry.what == "fills":
                self._ask_fills(track, now)
            else:
                self._ask_state(track, now, inquiry.tries)

    def _ask_state(self, track: Track, now: Now, tries: int) -> None:
        """By the websocket API, when that has not helped by REST: it may not hang on what lost the order."""
        algo = track.conditional and not track.venue_id
        if algo:
            parameters = {"clientAlgoId": track.client_id}
        else:
            parameters = encode.order_id(self.instruments[track.instrument], track)
        request = Request(
            "algo order?" if algo else "order?", "GET", f"/{self.desk.api}/v1/{'algoOrder' if algo else 'order'}",
            parameters, self._algo_state if algo else self._order_state, self._no_state, self._state_lost,
            costs={WEIGHT: 1}, ws="" if algo or tries else "order.status", orders=(track.order_no,),
        )  # fmt: skip
        self.desk.put(request, now)

    def _order_state(self, request: Request, body: bytes, now: Now) -> None:
        state = self.desk.codec.order_state(body)
        track = self.orders[request.orders[0]]
        self.apply(track, state, now)
        if track.stage != ENDED and track.end is None:
            self._still_open(track, state, now)

    def _still_open(self, track: Track, state: OrderState, now: Now) -> None:
        """It is open: what does that say of a lost cancel, of a lost amendment?"""
        number = track.order_no
        lost_cancel = self._lost_cancels.pop(number, None)
        if lost_cancel is not None:
            self.cancel_again(track, lost_cancel, now)
        lost_amends = self._lost_amends.get(number, set())
        symbol = self.instruments[track.instrument].symbol
        ticks = self.desk.codec.price(symbol, state.price, "price")
        lots = self.desk.codec.size(symbol, state.quantity, "origQty")
        for amend in [one for one in track.amends if one.number in lost_amends and not one.heard]:
            if (amend.ticks, amend.lots) == (ticks, lots):
                self.orders.amended(track, ticks, lots, state.update_ms * MS, now.wall_ns, REPLY)
            elif self._has_settled(number, AMEND_SETTLE_NS, now):
                refusal = (codes.R_VENUE, 0, "asked: the order is unchanged")
                self.orders.amend_refused(track, amend.number, refusal, now.wall_ns)
            else:
                self.inquiries.again(number, "state", now.mono_ns)
                return
        self._lost_amends.pop(number, None)
        self.inquiries.close(number, "state")

    def _has_settled(self, order_no: int, settle_ns: int, now: Now) -> bool:
        return self.inquiries.age_ns(order_no, "state", now.mono_ns) >= settle_ns

    def _algo_state(self, request: Request, body: bytes, now: Now) -> None:
        state: AlgoState = self.desk.codec.read(AlgoState, body)
        track = self.orders[request.orders[0]]
        self.apply_algo(track, state, now)
        if track.stage == ENDED:
            return
        if track.venue_id:  # it has triggered: the order that came of it says more
            self.inquiries.again(track.order_no, "state", now.mono_ns)
            return
        lost_cancel = self._lost_cancels.pop(track.order_no, None)
        if lost_cancel is not None:
            self.cancel_again(track, lost_cancel, now)
        self.inquiries.close(track.order_no, "state")

    def _no_state(self, request: Request, refusal: Refusal, now: Now) -> None:
        order_no = request.orders[0]
        track = self.orders[order_no]
        settled = self.inquiries.has_settled(order_no, "state", now.mono_ns)
        if refusal.code in GONE and settled and track.stage != ENDED:
            if track.stage != SENT:
                self._ask_history(track, now)
                return
            self.orders.not_found(track, now.wall_ns)
            self._after(track, now)
            return
        if refusal.code not in GONE or settled:
            symbol = self.instruments[track.instrument].symbol
            self.desk.remark("order?", symbol, f"order {order_no}: {refusal.code} {refusal.msg}: asked again")
        self.inquiries.again(order_no, "state", now.mono_ns)

    def _state_lost(self, request: Request, why: str, now: Now) -> None:
        self.inquiries.again(request.orders[0], "state", now.mono_ns)

    def _ask_history(self, track: Track, now: Now) -> None:
        """It had the order and has it no more: does its history? Algo orders have none that could be asked by an id."""
        if not track.venue_id:
            self._vanished(track, now)
            return
        parameters = {
            "symbol": self.instruments[track.instrument].symbol, "orderId": track.venue_id, "limit": "1",
        }  # fmt: skip
        request = Request(
            "order history", "GET", f"/{self.desk.api}/v1/allOrders", parameters, self._history, self._no_history,
            self._state_lost, costs={WEIGHT: HISTORY_WEIGHT[self.desk.api]}, orders=(track.order_no,),
        )  # fmt: skip
        self.desk.put(request, now)

    def _history(self, request: Request, body: bytes, now: Now) -> None:
        track = self.orders[request.orders[0]]
        for state in self.desk.codec.read(list[OrderState], body):
            if str(state.order_id) == track.venue_id:
                self.apply(track, state, now)
                self.inquiries.again(track.order_no, "state", now.mono_ns)
                return
        self._ask_trades(track, self._last_fills, self._no_history, self._state_lost, now)

    def _no_history(self, request: Request, refusal: Refusal, now: Now) -> None:
        self.desk.remark(request.what, "", f"order {request.orders[0]}: {refusal.code} {refusal.msg}: asked again")
        self.inquiries.again(request.orders[0], "state", now.mono_ns)

    def _last_fills(self, request: Request, body: bytes, now: Now) -> None:
        track = self.orders[request.orders[0]]
        self._take_trades(track, body, now)
        if track.stage != ENDED:
            self._vanished(track, now)

    def _vanished(self, track: Track, now: Now) -> None:
        symbol = self.instruments[track.instrument].symbol
        why = "the venue has accepted it and knows it no more, nor does its history: it counts as over"
        self.desk.remark("order?", symbol, f"order {track.order_no} ({track.client_id}): {why}; look for it there")
        self.orders.vanish(track, now.wall_ns)
        self._after(track, now)

    def _ask_fills(self, track: Track, now: Now) -> None:
        if track.told_lots <= track.filled_lots or not track.venue_id:
            self.orders.gaps.pop(track.order_no, None)
            self.inquiries.close(track.order_no, "fills")
            return
        if _is_amending(track):  # trades do not say what the order's size is
            self.inquiries.open(track.order_no, "state", now.mono_ns, 0)
            self.inquiries.again(track.order_no, "fills", now.mono_ns)
            return
        self._ask_trades(track, self._fills, self._no_fills, self._fills_lost, now)

    def _ask_trades(self, track: Track, done: Done, refused: Refused, lost: Lost, now: Now) -> None:
        parameters = {
            "symbol": self.instruments[track.instrument].symbol,
            "orderId": track.venue_id,
            "limit": str(TRADES_MAX),
        }
        request = Request(
            "fills", "GET", f"/{self.desk.api}/v1/userTrades", parameters, done, refused, lost,
            costs={WEIGHT: 5}, orders=(track.order_no,),
        )  # fmt: skip
        self.desk.put(request, now)

    def _take_trades(self, track: Track, body: bytes, now: Now) -> None:
        rows: list[TradeRow] = self.desk.codec.read(list[TradeRow], body)
        self.on_trades([row for row in rows if str(row.order_id) == track.venue_id], now)

    def _fills(self, request: Request, body: bytes, now: Now) -> None:
        order_no = request.orders[0]
        track = self.orders[order_no]
        self._take_trades(track, body, now)
        if track.stage != ENDED and track.told_lots > track.filled_lots:
            self.inquiries.again(order_no, "fills", now.mono_ns)
        else:
            self.inquiries.close(order_no, "fills")

    def _no_fills(self, request: Request, refusal: Refusal, now: Now) -> None:
        self.desk.remark("fills", "", f"order {request.orders[0]}: {refusal.code} {refusal.msg}: asked again")
        self.inquiries.again(request.orders[0], "fills", now.mono_ns)

    def _fills_lost(self, request: Request, why: str, now: Now) -> None:
        self.inquiries.again(request.orders[0], "fills", now.mono_ns)

    def on_trades(self, rows: list[TradeRow], now: Now) -> None:
        """Rows of userTrades: all of the orders that they name, from a point on that we know."""
        codec = self.desk.codec
        for row in sorted(rows, key=lambda one: one.trade_id):
            track = self.orders.at_venue(str(row.order_id))
            if track is None or row.symbol not in codec.places:
                continue
            if _is_amending(track):
                self.inquiries.open(track.order_no, "state", now.mono_ns, 0)
                continue
            fee_e8, other_e8, other = self._fees(row.symbol, codec.money(row.fee, "commission"), row.fee_asset)
            fill = Fill(
                str(row.trade_id),
                codec.price(row.symbol, row.price, "price"),
                codec.size(row.symbol, row.quantity, "qty"),
                codes.LIQ_MAKER if row.maker else codes.LIQ_TAKER,
                fee_e8,
                codec.money(row.realized, "realizedPnl"),
                row.trade_ms * MS,
                other_fee_e8=other_e8,
                other_asset=other,
            )
            self._entered_before(track, "", fill.ts_event_ns, now)
            self.orders.fill(track, fill, now.wall_ns)
            self._after(track, now)


def _is_amending(track: Track) -> bool:
    """Whether its size may be another than we know. Not once the end is known: that names the size."""
    return track.end is None and any(amend.heard == 0 for amend in track.amends)


def _number(value: int | str) -> int:
    return value if isinstance(value, int) else int(value) if value.isascii() and value.isdigit() else 0


def _refusal_reason(why: str) -> int:
    """Why the engine refused an order that had triggered; the venue has words for it, no code."""
    text = why.lower()
    for word, reason in (
        ("margin", codes.R_MARGIN), ("reduce", codes.R_REDUCE_ONLY), ("immediately", codes.R_TRIGGER),
        ("notional", codes.R_MIN_NOTIONAL), ("position", codes.R_MAX_POSITION),
    ):  # fmt: skip
        if word in text:
            return reason
    return codes.R_VENUE
