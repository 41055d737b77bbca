"""The gateway: the one way of commands to a venue and of private events back. Risk, then journal, then connector.

Theory of operation. In live the kernel's markets are *external*: what strategies decide waits in the core's outbox,
and what the venue says is brought into the core, which keeps orders, positions and money from it, so that everything
above (contexts, order log, report) is that of a backtest. What the run's limits refuse (``sim/live/risk.py``) never
gets there. After every step of the run loop ``drain`` takes the outbox: each command is written to the journal and
synced, and then goes to its venue's session in the order in which it was decided; orders of one batch go together.
Backtest and paper have no outbox: the limits are the same, behind them is the simulated venue, and the order log is
the journal.

Events wait in an inbox while the loop is at work (a session may answer at once) and are brought in by ``bring_in``,
each written to the journal. The venue's own words (code and text of a refusal) go to the strategy with the
event, and to the order log (``Words``).

The account belongs to this run alone. What it says of itself (positions, wallets) is compared with what we count;
differences that stay and fills of orders that are not ours are logged, counted and shown, not repaired.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Protocol, get_args

import msgspec

from matching import codes
from matching.kernel import Core
from sim.live.journal import Journal
from sim.live.words import Words, cure
from sim.strategy import Context
from venues import lifecycle
from venues.instruments import Instrument
from venues.orders import (
    Accepted,
    Amended,
    AmendRejected,
    AmendRequest,
    AutoDeleveraged,
    BalanceChanged,
    Canceled,
    CancelRejected,
    CancelRequest,
    Expired,
    Filled,
    FillVoided,
    FundingPaid,
    Held,
    Liquidated,
    MarginWarning,
    NotFound,
    OrderEvent,
    OrderRequest,
    PositionChanged,
    Rejected,
    SettingChanged,
    SettingRejected,
    SettingRequest,
    Triggered,
)
from venues.ports import Clock
from venues.trading import AccountState, Event, NotReady, Now, OutcomeLost, TradingSession

SUBMIT, CANCEL, AMEND, ASK = 1, 2, 3, 4  # kinds of commands in the core's outbox
REFUSALS: Final = {SUBMIT: codes.EV_REJECTED, CANCEL: codes.EV_CANCEL_REJECTED, AMEND: codes.EV_AMEND_REJECTED}
LANE: Final = 0  # live runs one strategy, with one account at each venue
ENDED_MAX: Final = 4_096
INBOX_MAX: Final = 1 << 16
ROUND_TRIPS: Final = 4_096
LEGS: Final = codes.FLAG_LONG_LEG | codes.FLAG_SHORT_LEG
NO_STP: Final = -1  # the order names none
Leaving = tuple[int, int, int, Any]  # kind, venue, batch, request
MOVES: Final = 256
NEVER_STATED: Final = -1
APART_NS: Final = 3 * 10**9  # how long what a venue states may differ from what we count: the other half is on its way
ENDS: Final = (Rejected, Canceled, Expired, NotFound)
ORDER_EVENTS: Final = frozenset(get_args(OrderEvent))
ARRIVED: Final = frozenset((Accepted, Held, Triggered))  # events that say nothing but that the venue has the order


class Sender(Protocol):
    """A connector, as the gateway uses it."""

    @property
    def session(self) -> TradingSession: ...

    def flush(self, now: Now) -> None: ...


class Known(msgspec.Struct):
    """An order of ours at a venue: where the core keeps it, and which requests about it are under way."""

    instrument: int
    slot: int
    side: int
    filled: int = 0
    leg: int = 0
    sent_ns: int = 0  # monotonic, for the round trip
    is_acked: bool = False
    is_lost: bool = False  # nobody knows whether it reached the venue
    cancel: tuple[int, int] = (0, 0)  # request number, logical instant
    amend: tuple[int, int] = (0, 0)
    wanted: tuple[int, int] | None = None  # ticks and lots of the amendment under way


@dataclass(slots=True)
class Counts:
    """What the gateway has seen, for the view and the summary."""

    commands: int = 0
    events: int = 0
    lost: int = 0  # answers that never came
    foreign: int = 0  # events of orders that are not ours
    unbooked_e8: dict[str, int] = field(default_factory=dict)  # fees in assets that the ledger does not keep
    differences: dict[str, str] = field(default_factory=dict)  # what the venue states otherwise than we count


class Gateway:
    """One for a run. ``senders`` by venue place, ``venue_of`` the venue place of each instrument."""

    def __init__(
        self,
        core: Core,
        context: Context,
        instruments: Sequence[Instrument],
        venue_of: Sequence[int],
        senders: Mapping[int, Sender],
        journal: Journal,
        clock: Clock,
        words: Words,
        log: Callable[[str, str], None],
    ) -> None:
        self.counts = Counts()
        self.orders: dict[int, Known] = {}
        self.ended: dict[int, Known] = {}
        self.round_trips_ns: deque[int] = deque(maxlen=ROUND_TRIPS)
        self.own_ns: deque[int] = deque(maxlen=ROUND_TRIPS)  # decision to last byte written, journal left out
        self.not_ready: NotReady | None = None
        self.is_ending = False
        self.mirror: Callable[[list[Leaving]], None] | None = None  # told of what has left, after it has
        self.stated_wallets: dict[tuple[int, str], int] = {}
        self._core = core
        self._context = context
        self._instruments = list(instruments)
        self._venue_of = list(venue_of)
        self._senders = senders
        self._journal = journal
        self._clock = clock
        self._words = words
        self._log = log
        self._stated_lots: dict[tuple[int, int], tuple[int, int]] = {}  # by instrument and leg: lots, when (venue time)
        self._moves: deque[tuple[int, int, int, int]] = deque(maxlen=MOVES)  # fills: instrument, leg, when, signed lots
        self._apart_ns: dict[int, int] = {}  # instruments whose positions differ: since when, monotonic
        self._inbox: deque[tuple[int, Event]] = deque(maxlen=INBOX_MAX)

    # -- commands out

    def drain(self) -> None:
        """Send what was decided: to be called after every step of the loop."""
        found = self._core.take_outbox()
        if not found:
            return
        began_ns = self._clock.monotonic_ns()
        leaving: list[Leaving] = []
        for kind, _, market, slot, number, ticks, lots, request, batch in found:
            if self.is_ending and kind in (SUBMIT, AMEND):
                self._unsent(kind, market, slot, number, request, "the session is ending")
                continue
            if kind == SUBMIT:
                made = self._order(market, slot, number, began_ns)
            else:
                made = self._request(kind, market, slot, number, ticks, lots, request)
            if made is not None:
                leaving.append((kind, self._venue_of[market], batch, made))
        written_ns = self._clock.monotonic_ns()
        failure = self._write_down(leaving)
        disk_ns = self._clock.monotonic_ns() - written_ns
        if failure is not None:
            leaving = self._withhold(leaving, failure)
        self._dispatch(leaving)
        if leaving:
            self.own_ns.append(self._clock.monotonic_ns() - began_ns - disk_ns)
        self.counts.commands += len(leaving)
        if self.mirror is not None and leaving:
            self.mirror(leaving)
        if failure is not None:
            raise failure

    def _write_down(self, leaving: list[Leaving]) -> OSError | None:
        """Commands into the journal and onto the disk; what went wrong there, the first time."""
        wall_ns = self._clock.wall_ns()
        try:
            for _, _, _, made in leaving:
                self._journal.write(type(made).__name__, wall_ns, {"request": made})
            self._journal.sync()
        except OSError as error:
            return error
        return None

    def _withhold(self, leaving: list[Leaving], failure: OSError) -> list[Leaving]:
        """The journal has failed: of these commands, and from here on, only cancels leave."""
        self.is_ending = True
        why = f"the journal cannot be written: {failure}"
        for kind, _, _, made in leaving:
            known = self.orders.get(made.order_no) if kind in (SUBMIT, AMEND) else None
            if known is not None:
                self._unsent(kind, known.instrument, known.slot, made.order_no, known.amend[0], why)
                if kind == SUBMIT:
                    self._end(made.order_no)
        return [one for one in leaving if one[0] == CANCEL]

    def _dispatch(self, leaving: list[Leaving]) -> None:
        """To the sessions, in order; what belongs to one batch at once."""
        now = Now(self._clock.wall_ns(), self._clock.monotonic_ns())
        at = 0
        while at < len(leaving):
            kind, venue, batch, _ = leaving[at]
            end = at + 1
            while batch and end < len(leaving) and leaving[end][:3] == (kind, venue, batch):
                end += 1
            self._send(kind, venue, [one[3] for one in leaving[at:end]], now)
            at = end

    def _request(self, kind: int, market: int, slot: int, number: int, ticks: int, lots: int, request: int) -> Any:
        """A command of the outbox that is no new order as a request; None where its order has just ended."""
        account = self._venue_of[market]
        if kind == ASK:
            return SettingRequest(account=account, instrument=market, number=number, setting=ticks, value=lots)
        known = self.orders.get(number)
        if known is None:  # it has ended at this very instant, which the strategy is about to hear
            self._unsent(kind, market, slot, number, request, "the order has ended", codes.R_UNKNOWN_ORDER)
            return None
        if kind == CANCEL:
            known.cancel = (request, self._core.now)
            return CancelRequest(account=account, instrument=market, order_no=number)
        known.amend = (request, self._core.now)
        known.wanted = (ticks, lots)
        trigger = self._core.new_trigger(LANE, number, request)
        return AmendRequest(
            account=account, instrument=market, order_no=number, ticks=ticks, lots=lots, trigger_ticks=trigger
        )

    def _unsent(
        self, kind: int, market: int, slot: int, number: int, request: int, why: str, reason: int = codes.R_RISK
    ) -> None:
        event = REFUSALS[kind]
        self._context.words[number, event] = (None, f"not sent: {why}")
        self._core.bring(
            LANE, market, slot, number, event, reason, 0, request=request, sent=self._core.now
        )  # fmt: skip

    def _order(self, market: int, slot: int, number: int, now_ns: int) -> OrderRequest:
        terms = self._core.terms(slot)
        flags, stp = terms["flags"], terms["stp"]
        order = self._context.order_in(slot)
        self.orders[number] = Known(market, slot, terms["side"], leg=flags & LEGS, sent_ns=now_ns)
        return OrderRequest(
            account=self._venue_of[market],
            instrument=market,
            order_no=number,
            side=terms["side"],
            lots=terms["lots"],
            ticks=terms["ticks"],
            tif=terms["tif"],
            type=terms["type"],
            reduce_only=bool(flags & codes.FLAG_REDUCE_ONLY),
            trigger=terms["trigger"],
            expires_ns=terms["expires_ns"],
            stp=None if stp == NO_STP else stp,
            leg=flags & LEGS,
            close_position=bool(flags & codes.FLAG_CLOSE_POSITION),
            client_id=order.client_id if order is not None else None,
        )

    def _send(self, kind: int, venue: int, requests: list[Any], now: Now) -> None:
        sender = self._senders[venue]
        session = sender.session
        if kind == SUBMIT:
            session.submit(requests, now)
        elif kind == CANCEL:
            session.cancel(requests, now)
        elif kind == AMEND:
            session.amend(requests, now)
        else:
            for request in requests:
                session.change(request, now)
        sender.flush(now)

    def wind_down(self) -> int:
        """The end of a run: ask for the end of all orders that are open. From here on no order or amendment leaves, so
        that a strategy that goes on deciding cannot outlive its run. Returns how many orders are open."""
        self.is_ending = True
        self._context.cancel_all()
        self.drain()
        return len(self.orders)

    def ask_again(self) -> None:
        """The end of a run: ask once more for what is not known."""
        now = Now(self._clock.wall_ns(), self._clock.monotonic_ns())
        for sender in self._senders.values():
            sender.session.ask_again(now)
            sender.flush(now)

    @property
    def has_lost(self) -> bool:
        """Whether it is not known of some order whether it reached the venue."""
        return any(known.is_lost for known in self.orders.values())

    def left_over(self) -> list[dict[str, Any]]:
        """The orders that have no end: what to look for at the venue."""
        found = []
        for number, known in sorted(self.orders.items()):
            order, instrument = self._context.order_in(known.slot), self._instruments[known.instrument]
            found.append(
                {
                    "number": number,
                    "instrument": instrument.symbol,
                    "client_id": self._senders[self._venue_of[known.instrument]].session.client_id(number),
                    "side": "buy" if known.side == codes.BUY else "sell",
                    "price": instrument.price_str(order.ticks) if order is not None and order.ticks > 0 else "market",
                    "size": str(instrument.size_of(order.lots)) if order is not None else "?",
                    "unknown": known.is_lost,
                    "answered": known.is_acked,
                }
            )
        return found

    # -- events in

    def on_events(self, venue: int, events: Sequence[Event]) -> None:
        """What a session says; brought in by ``bring_in``, which must be called soon. Raises ``OSError`` when the
        journal fails; all events are kept then too."""
        wall_ns = self._clock.wall_ns()
        if len(self._inbox) + len(events) > INBOX_MAX:
            raise OverflowError(f"{INBOX_MAX} events of the venues wait: the run does not keep up")
        for event in events:
            self._inbox.append((venue, event))
        for event in events:
            self._journal.write(type(event).__name__, wall_ns, {"event": event})

    def put(self) -> None:
        """The strategy has heard what came: the journal takes it down."""
        self._journal.put()

    def sync(self) -> None:
        """Everything written to the journal so far is on the disk afterwards."""
        self._journal.sync()

    def close(self) -> None:
        """The run is over: nothing more is written."""
        self._journal.close()

    @property
    def has_events(self) -> bool:
        """Whether something waits to be brought in."""
        return bool(self._inbox)

    def bring_in(self) -> None:
        """Give the core what has come. The loop must be stepped afterwards."""
        inbox = self._inbox
        while inbox:
            venue, event = inbox.popleft()
            self.counts.events += 1
            if type(event) in ORDER_EVENTS:
                self._order_event(event)  # type: ignore[arg-type]  # isinstance with a union of twelve is slow
            else:
                self._other_event(venue, event)

    def _order_event(self, event: OrderEvent) -> None:
        number = event.order_no
        known = self.orders.get(number) or self.ended.get(number)
        if known is None or isinstance(event, FillVoided):
            self.counts.foreign += 1
            what = "was taken back" if isinstance(event, FillVoided) else "is of no order of this run"
            self._log("error", f"{self._instruments[event.instrument].symbol}: {type(event).__name__} {what}: {event}")
            return
        if known.is_lost:
            known.is_lost = isinstance(event, (CancelRejected, AmendRejected))
        if known.sent_ns and not known.is_acked:
            known.is_acked = True
            self.round_trips_ns.append(self._clock.monotonic_ns() - known.sent_ns)
        if type(event) in ARRIVED:
            self._core.bring(
                LANE, event.instrument, known.slot, number, event.kind, codes.R_NONE, event.ts_event_ns, side=known.side
            )
            return
        more: dict[str, int] = {"side": known.side}
        reason = int(getattr(event, "reason", codes.R_NONE))
        if isinstance(event, Filled):
            known.filled += event.lots
            if event.other_asset:
                self._unbooked(event.other_asset, event.other_fee_e8)
            more |= {"ticks": event.ticks, "lots": event.lots, "leaves": event.leaves_lots}
            more |= {"liquidity": event.liquidity, "fee": event.fee_e8}
            self._moved(event.instrument, known.leg, known.side, event.lots, event.ts_event_ns)
        elif isinstance(event, Amended):
            known.wanted = None
            more |= {"ticks": event.ticks, "lots": event.lots}
        elif isinstance(event, CancelRejected | AmendRejected):
            known.wanted = None if isinstance(event, AmendRejected) else known.wanted
            request, sent = known.cancel if isinstance(event, CancelRejected) else known.amend
            more |= {"request": request, "sent": sent}
        elif isinstance(event, Expired) and event.reason == codes.R_POST_ONLY and known.wanted is not None:
            more |= {"ticks": known.wanted[0], "lots": known.wanted[1] - known.filled}  # it would have taken as amended
        elif not isinstance(event, ENDS):
            raise TypeError(f"no such order event: {event!r}")
        if isinstance(event, Rejected | CancelRejected | AmendRejected) and (event.code or event.text):
            self._context.words[number, event.kind] = (event.code or None, event.text)
            self._words.tell(event.instrument, number, event.kind, event.code, event.text)
            self._log("warning", self._refusal(event))
        self._core.bring(LANE, event.instrument, known.slot, number, event.kind, reason, event.ts_event_ns, **more)
        if isinstance(event, ENDS) or (isinstance(event, Filled) and event.leaves_lots == 0):
            self._end(number)

    def _refusal(self, event: Rejected | CancelRejected | AmendRejected) -> str:
        what = {codes.EV_REJECTED: "order", codes.EV_CANCEL_REJECTED: "cancel of order"}.get(event.kind, "amendment of")
        return self._refused(event, f"{what} {event.order_no}")

    def _refused(self, event: Rejected | CancelRejected | AmendRejected | SettingRejected, what: str) -> str:
        session = self._senders[self._venue_of[event.instrument]].session
        said = f"{event.code or ''} {event.text}".strip()
        why = session.cure(event.code) or cure(event.reason)
        return f"{self._instruments[event.instrument].symbol}: {what} was refused: {said}{why and '; '}{why}"

    def _unbooked(self, asset: str, fee_e8: int) -> None:
        sums = self.counts.unbooked_e8
        if asset not in sums:
            text = f"fees are charged in {asset}: summed, but not booked: profits and wallets here are without them"
            self._log("warning", text)
        sums[asset] = sums.get(asset, 0) + fee_e8

    def unbooked(self) -> dict[str, str]:
        """What was charged in assets that the ledger does not keep."""
        return {asset: f"{Decimal(e8) / 10**8:f}" for asset, e8 in sorted(self.counts.unbooked_e8.items())}

    def _end(self, number: int) -> None:
        known = self.orders.pop(number, None)
        if known is not None:
            self.ended[number] = known
            if len(self.ended) > ENDED_MAX:
                del self.ended[next(iter(self.ended))]

    def _other_event(self, venue: int, event: Any) -> None:
        core = self._core
        if isinstance(event, FundingPaid):
            core.bring_funding(
                LANE, event.instrument, event.boundary_ns, event.position_lots, event.mark_e8, event.rate_e12,
                event.payment_e8, event.ts_event_ns,
            )  # fmt: skip
        elif isinstance(event, Liquidated | AutoDeleveraged):
            taken = isinstance(event, Liquidated)
            self._moved(event.instrument, 0, event.side, event.lots, event.ts_event_ns)
            core.bring_forced(
                LANE, event.instrument, event.kind, codes.R_LIQUIDATION if taken else codes.R_ADL, event.ts_event_ns,
                event.side, event.ticks, event.lots, getattr(event, "fee_e8", 0),
                codes.CAUSE_LIQUIDATION if taken else codes.CAUSE_ADL,
            )  # fmt: skip
        elif isinstance(event, MarginWarning):
            self._warn(venue, event)
        elif isinstance(event, SettingChanged | SettingRejected):
            reason = codes.R_NONE
            if isinstance(event, SettingRejected):
                reason = event.reason
                self._log("warning", self._refused(event, "a setting"))
            core.bring_setting(
                LANE, event.instrument, event.kind, reason, event.setting, event.value, event.ts_event_ns
            )  # fmt: skip
        elif isinstance(event, PositionChanged | BalanceChanged):
            self._stated(venue, event)
        elif isinstance(event, AccountState):
            self._compare(venue, event)
        elif isinstance(event, OutcomeLost):
            self.counts.lost += 1
            self._log(
                "warning",
                f"{self._instruments[event.instrument].symbol}: no answer to the {event.what} of order "
                f"{event.order_no} ({event.why}); the venue is asked",
            )
            known = self.orders.get(event.order_no)
            if known is not None:
                known.is_lost |= event.what == "submit" and not known.is_acked
                lost = lifecycle.L_OUTCOME_LOST if event.what == "submit" else lifecycle.L_REQUEST_LOST
                self._context.lose(known.slot, event.order_no, lost)
        elif isinstance(event, NotReady):
            self.not_ready = event
            self._log("error", f"{event.code} {event.text}: {event.cure}")

    def _warn(self, venue: int, event: MarginWarning) -> None:
        for market, place in enumerate(self._venue_of):
            lots = self._core.ledger.position(venue, market) if place == venue else 0
            if lots:
                side = codes.SELL if lots > 0 else codes.BUY
                self._core.bring_forced(
                    LANE, market, event.kind, codes.R_NONE, event.ts_event_ns, side,
                    self._core.mark_e8(market), abs(lots), 0, codes.CAUSE_LIQUIDATION,
                )  # fmt: skip

    # -- what the venue states of the account

    def _stated(self, venue: int, event: PositionChanged | BalanceChanged) -> None:
        if isinstance(event, BalanceChanged):
            self.stated_wallets[venue, event.asset] = event.wallet_e8
        else:
            at_ns = event.ts_event_ns or event.ts_recv_ns
            self._state(event.instrument, event.leg, event.position_lots, at_ns)

    def _compare(self, venue: int, state: AccountState) -> None:
        stated = {(m, 0): 0 for m, place in enumerate(self._venue_of) if place == venue}
        stated |= {key: 0 for key in self._stated_lots if self._venue_of[key[0]] == venue}
        stated |= {(position.instrument, position.leg): position.lots for position in state.positions}
        for (market, leg), lots in stated.items():
            self._state(market, leg, lots, state.ts_event_ns)
        for asset, wallet_e8 in state.wallets_e8.items():
            self.stated_wallets[venue, asset] = wallet_e8
        for order in state.orders:
            if order.order_no not in self.orders and order.order_no not in self.ended:
                self._log("error", f"{self._instruments[order.instrument].symbol}: an order that is not ours is open")

    def _state(self, market: int, leg: int, lots: int, ts_event_ns: int) -> None:
        """A statement as of then; fills that were told before it and are later count in it too."""
        if self._stated_lots.get((market, leg), (0, 0))[1] <= ts_event_ns:
            later = sum(move for m, of, at_ns, move in self._moves if (m, of) == (market, leg) and at_ns > ts_event_ns)
            self._stated_lots[market, leg] = lots + later, ts_event_ns

    def _moved(self, market: int, leg: int, side: int, lots: int, ts_event_ns: int) -> None:
        """A fill: it counts in a statement that is older, since not every venue states positions with each fill."""
        signed = lots if side == codes.BUY else -lots
        stated, at_ns = self._stated_lots.get((market, leg), (0, NEVER_STATED))
        if ts_event_ns:
            self._moves.append((market, leg, ts_event_ns, signed))
        if at_ns != NEVER_STATED and (not ts_event_ns or ts_event_ns > at_ns):
            self._stated_lots[market, leg] = stated + signed, at_ns

    def compare(self, mono_ns: int) -> None:
        """Positions as stated beside those counted: to be called now and then. A statement may come before its fill,
        so that only what stays apart is a difference; it is logged when it is found and when it is over."""
        stated: dict[int, int] = {}
        for (market, _), (lots, _) in self._stated_lots.items():
            stated[market] = stated.get(market, 0) + lots
        for market, lots in stated.items():
            counted, symbol = self._counted(market), self._instruments[market].symbol
            if counted == lots:
                self._apart_ns.pop(market, None)
                if self.counts.differences.pop(symbol, None) is not None:
                    self._log("info", f"{symbol}: the venue states the position that we count again, {lots} lots")
            elif mono_ns - self._apart_ns.setdefault(market, mono_ns) >= APART_NS:
                if symbol not in self.counts.differences:
                    self._log(
                        "error",
                        f"{symbol}: the venue states a position of {lots} lots, counted are {counted}: look what else "
                        "trades on this account, and begin anew with what it holds",
                    )
                self.counts.differences[symbol] = f"the venue states {lots} lots, counted are {counted}"

    def _counted(self, market: int) -> int:
        """Our position, of both legs in hedge mode."""
        ledger, place = self._core.ledger, self._venue_of[market]
        has_short = (market, codes.FLAG_SHORT_LEG) in self._stated_lots
        return ledger.position(place, market) + (
            ledger.position(place, market + len(self._instruments)) if has_short else 0
        )

    def lost_money(self, start_e8: Mapping[int, int], assets: Sequence[str]) -> tuple[Decimal, str]:
        """The greatest loss of equity since the start in any asset: how much, and of what. ``start_e8`` by asset."""
        worst, name = Decimal(0), ""
        for asset, before in start_e8.items():
            venues = set(self._venue_of)
            after = sum(self._core.ledger.equity_e8(venue, asset) for venue in venues)
            lost = Decimal(before - after) / 10**8
            if lost > worst:
                worst, name = lost, assets[asset]
        return worst, name
