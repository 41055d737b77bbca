"""Hyperliquid trading session: one account over one websocket, REST where it must be.

Theory of operation. The websocket ``trade`` carries the streams (orderUpdates, userFills, userEvents, userFundings, and
the best prices of contracts in which a market order was sent) and the actions, as ``post`` requests; while it is away
actions go to /exchange. What is asked goes to /info. When all streams are acknowledged the state is asked for
(``trading_questions``), and with the first one a ``noop`` is signed, so that a wrong key is known before any order:
then the session is ready. Actions carry ``expiresAfter``, half a minute ahead; one whose answer does not come is lost
(``OutcomeLost``), and half a minute after it could act the venue's "unknown" counts.

    trading_account     what waits to leave, budgets, signing
    trading_jobs        commands to actions, answers to events
    trading_questions   state, lost outcomes, missed fills
    trading_orders      statuses, fills and oids of orders
    private, actions    the wire, in and out

Answers say nothing of the venue's time, the streams do: an answer to which they have added nothing in 50 ms is taken
by itself. A JSON ping goes out every 15 s; 40 s without any frame, or 15 s without the acknowledgements, and the
connection is made anew. Times of nonces are our own clock's until the venue finds one wrong; then its own, as measured.
"""

from __future__ import annotations

from typing import Final

from matching import codes
from venues.errors import VenueError
from venues.hyperliquid.private_rows import (
    Best,
    Fills,
    FundingRow,
    Fundings,
    Gone,
    Message,
    Posted,
    Refused,
    Subscribed,
    Updates,
)
from venues.hyperliquid.trading_account import CONNECTION, VENUE, Account, Ask, Job
from venues.hyperliquid.trading_jobs import INFLIGHT_MAX, Desk
from venues.hyperliquid.trading_questions import Questions
from venues.orders import (
    AmendRequest,
    CancelAllRequest,
    CancelRequest,
    FundingPaid,
    OrderRequest,
    Rejected,
    SettingRequest,
)
from venues.ports import Entropy
from venues.session_parts import SECOND, Reconnect, Reply, retry_after_ns
from venues.trading import Action, Event, Now, Open
from venues.trading_parts import Seen
from venues.trading_sessions import TradingWanted

PING_NS: Final = 15 * SECOND
SILENT_NS: Final = 40 * SECOND
ACK_NS: Final = 15 * SECOND
ANSWER_NS: Final = 10 * SECOND
STREAMS: Final = ("orderUpdates", "userFills", "userEvents", "userFundings")
WAITING_MAX: Final = 4096


class HyperliquidTrading:
    """See the module and ``venues/trading.py``."""

    def __init__(self, wanted: TradingWanted, entropy: Entropy) -> None:
        self.venue = VENUE
        self.is_ready = False
        self.account = Account(wanted)
        self.desk = Desk(self.account)
        self.questions = Questions(self.account, self.desk)
        self._unacked: set[str] = set()
        self._subscribed: set[int] = set()  # instruments whose best prices are
        self._opened_ns = self._frame_ns = self._ping_ns = 0
        self._closing = False
        self._is_proving = False
        self._early: list[OrderRequest] = []  # orders from before the contracts' numbers are known
        self._paid = Seen()

    def __repr__(self) -> str:
        return f"<HyperliquidTrading {self.account.address}>"

    def start(self, now: Now) -> None:
        self.account.actions.append(Open(CONNECTION, self.account.ws))

    def stop(self, now: Now) -> None:
        self.account.is_over = True
        self.is_ready = False

    # -- commands

    def submit(self, requests: list[OrderRequest], now: Now) -> None:
        known = [one for one in requests if one.instrument in self.account.assets or not self.account.assets]
        if len(known) < len(requests):
            for one in requests:
                if one.instrument not in self.account.assets:
                    self._refuse(one, "the venue lists no such contract", now)
        if self.account.assets or self.account.is_over:
            self.desk.submit(known, now)
        else:
            room = WAITING_MAX - len(self._early)
            self._early += known[:room]
            for one in known[room:]:
                self._refuse(one, "too many orders wait for the session to be ready", now)
        self._pump(now)

    def _refuse(self, one: OrderRequest, why: str, now: Now) -> None:
        self.account.events.append(
            Rejected(
                account=one.account, instrument=one.instrument, order_no=one.order_no, ts_event_ns=0,
                ts_recv_ns=now.wall_ns, reason=codes.R_UNSUPPORTED, text=f"not sent: {why}",
            )
        )  # fmt: skip

    def amend(self, requests: list[AmendRequest], now: Now) -> None:
        self.desk.amend(requests, now)
        self._pump(now)

    def cancel(self, requests: list[CancelRequest], now: Now) -> None:
        numbers = {one.order_no for one in requests}
        for one in self._early:
            if one.order_no in numbers:
                self._refuse(one, "canceled before the session was ready", now)
        early = {one.order_no for one in self._early}
        self._early = [one for one in self._early if one.order_no not in numbers]
        self.desk.cancel([one for one in requests if one.order_no not in early], now)
        self._pump(now)

    def cancel_all(self, request: CancelAllRequest, now: Now) -> None:
        for one in self._early:
            if one.instrument == request.instrument:
                self._refuse(one, "canceled before the session was ready", now)
        self._early = [one for one in self._early if one.instrument != request.instrument]
        self.desk.cancel_all(request, now)
        self._pump(now)

    def change(self, request: SettingRequest, now: Now) -> None:
        self.desk.change(request, now)
        self._pump(now)

    def ask_again(self, now: Now) -> None:
        self.account.inquiries.hurry(now.mono_ns)
        self._pump(now)

    def client_id(self, order_no: int) -> str:
        return self.account.ledger.client_id(order_no)

    def cure(self, code: int) -> str:
        return ""  # the venue has texts, no codes

    # -- the websocket

    def on_open(self, connection: str, now: Now) -> None:
        account = self.account
        account.is_open, self._closing = True, False
        self._opened_ns = self._frame_ns = self._ping_ns = now.mono_ns
        self._unacked = set(STREAMS)
        self._subscribed.clear()
        for kind in STREAMS:
            account.send({"method": "subscribe", "subscription": {"type": kind, "user": account.address}})
        self._subscribe_best()
        self._pump(now)

    def _subscribe_best(self) -> None:
        if self.account.is_open:
            for place in self.desk.wants_best:
                if place not in self._subscribed:
                    self._subscribed.add(place)
                    coin = self.account.instruments[place].symbol
                    self.account.send({"method": "subscribe", "subscription": {"type": "bbo", "coin": coin}})

    def on_close(self, connection: str, now: Now) -> None:
        account = self.account
        account.is_open = account.is_told = self.is_ready = False
        self.desk.release(now, everything=True)
        self.questions.interrupted(now)
        self.desk.best.clear()
        lost, account.posts = account.posts, {}
        for job in lost.values():
            self.desk.lost(job, "the connection was lost before the answer came", now)
        self._pump(now)

    def on_frame(self, connection: str, payload: bytes, now: Now) -> None:
        self._frame_ns = now.mono_ns
        try:
            messages = self.account.codec.decode(payload)
        except VenueError as error:
            self.account.remark(str(error))
            return
        for message in messages:
            self._heard(message, now)
        self._pump(now)

    def _heard(self, message: Message, now: Now) -> None:
        ledger = self.account.ledger
        match message:
            case Posted(number, outcome):
                job = self.account.posts.pop(number, None)
                if job is not None:
                    self.desk.answered(job, outcome, now)
            case Updates(rows):
                for row in rows:
                    ledger.update(row, now.wall_ns)
            case Fills(rows, is_snapshot):
                for fill in rows:
                    ledger.execution(fill, not is_snapshot, now.wall_ns)
            case Fundings(payments, _):
                for payment in payments:
                    self._funding(payment, now)
            case Best(place, _, _):
                self.desk.best[place] = message
                self.desk.priced(now)
            case Subscribed(kind):
                self._acknowledged(kind, now)
            case Gone(oids):
                for oid in oids:
                    track = ledger.at_venue(oid)
                    if track is not None:
                        ledger.doubts[track.order_no] = None
            case Refused(text):
                self.account.remark(f"the venue says: {text}")

    def _acknowledged(self, kind: str, now: Now) -> None:
        if kind in self._unacked:
            self._unacked.discard(kind)
            if not self._unacked:
                self.account.is_told = True
                self.questions.begin(now)

    def _funding(self, row: FundingRow, now: Now) -> None:
        """Streams and their snapshots say it several times; what was paid before the session began is not its own."""
        since_ns = self.questions.since_ns
        if since_ns and row.ts_event_ns > since_ns and self._paid.add((row.instrument, row.ts_event_ns)):
            self.account.events.append(
                FundingPaid(
                    account=self.account.wanted.account, ts_event_ns=row.ts_event_ns, ts_recv_ns=now.wall_ns,
                    instrument=row.instrument, boundary_ns=row.ts_event_ns, position_lots=row.position_lots,
                    rate_e12=row.rate_e12, mark_e8=0, payment_e8=row.payment_e8,
                )
            )  # fmt: skip

    # -- REST

    def on_reply(self, number: int, reply: Reply, now: Now) -> None:
        item = self.account.calls.pop(number, None)
        if isinstance(item, Ask):
            self.questions.replied(item, reply, now)
        elif isinstance(item, Job):
            self._job_replied(item, reply, now)
        self._pump(now)

    def _job_replied(self, job: Job, reply: Reply, now: Now) -> None:
        text = reply.body[:200].decode("utf-8", "replace").strip()
        if reply.status == 0 or reply.status >= 500:
            self.desk.lost(job, reply.error or f"HTTP {reply.status}", now)
        elif reply.status == 429:
            wait_ns = retry_after_ns(reply.headers)
            self.account.throttle.hold(now.mono_ns + wait_ns, cancels=True)
            self.account.remark(f"{job.kind}: 429: nothing is sent for {wait_ns // SECOND} s")
            self.desk.refused(job, f"too many requests: {text}", 429, now)
        elif reply.status != 200:
            self.desk.refused(job, text or f"HTTP {reply.status}", reply.status, now)
        else:
            try:
                outcome = self.account.codec.outcome(reply.body)
            except VenueError as error:
                self.desk.lost(job, str(error), now)
                return
            self.desk.answered(job, outcome, now)

    # -- time

    def on_tick(self, now: Now) -> None:
        account = self.account
        deaf = False
        for number, job in list(account.posts.items()):
            if now.mono_ns - job.sent_ns > ANSWER_NS:
                deaf |= self._frame_ns < job.sent_ns  # neither the answer nor anything else
                del account.posts[number]
                self.desk.lost(job, f"no answer in {ANSWER_NS // SECOND} s", now)
        if account.is_open and not self._closing:
            silent = deaf or now.mono_ns - self._frame_ns > SILENT_NS
            if silent or (self._unacked and now.mono_ns - self._opened_ns > ACK_NS):
                self._closing = True
                quiet_s = (now.mono_ns - self._frame_ns) // SECOND
                why = (
                    f"nothing has come for {quiet_s} s"
                    if silent
                    else f"no answer to {', '.join(sorted(self._unacked))}"
                )
                account.actions.append(Reconnect(CONNECTION, why))
            elif now.mono_ns - self._ping_ns >= PING_NS:
                self._ping_ns = now.mono_ns
                account.send({"method": "ping"})
        self.desk.release(now)
        account.ledger.tick(now.wall_ns)
        self.desk.priced(now)
        self.desk.forget(now)
        self._pump(now)

    def _pump(self, now: Now) -> None:
        """Let leave what has room, and see whether the session is ready."""
        account = self.account
        if account.is_over:
            self.is_ready = False
            return
        self.questions.look(now)
        self._subscribe_best()
        if account.assets and self._early:
            early, self._early = self._early, []
            self.desk.submit(early, now)
        if self.questions.is_synced and not self._is_proving:
            self._is_proving = True
            self.desk.prove(now)
        self.desk.overdue(now)
        while len(account.posts) < INFLIGHT_MAX:
            item = account.throttle.take(now.mono_ns)
            if item is None:
                break
            if isinstance(item, Ask):
                account.call(item, "/info", item.body, item.what, now)
            else:
                self.desk.leave(item, now)
        self.is_ready = account.is_open and self.questions.is_synced and self.desk.proved

    # -- what has come of it

    def take_actions(self) -> list[Action]:
        found = self.account.actions
        self.account.actions = []
        return found

    def take_events(self) -> list[Event]:
        found = list(self.account.events)
        self.account.events.clear()  # the ledger writes into this very list
        return found
