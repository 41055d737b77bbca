"""Commands to Hyperliquid as actions, and what their answers mean for each order."""

from __future__ import annotations

from typing import Any, Final

from matching import codes
from venues.errors import LocalError
from venues.hyperliquid import actions, reasons
from venues.hyperliquid.private_rows import Best, Outcome, Status
from venues.hyperliquid.trading_account import SETTLE_NS, Account, Job
from venues.hyperliquid.trading_orders import Refusal, refusal
from venues.orders import (
    AmendRejected,
    AmendRequest,
    CancelAllRequest,
    CancelRejected,
    CancelRequest,
    OrderRequest,
    Rejected,
    SettingChanged,
    SettingRejected,
    SettingRequest,
)
from venues.session_parts import MS, SECOND
from venues.trading import NotReady, Now, OutcomeLost
from venues.trading_orders import ENDED, HELD, Track
from venues.trading_parts import CANCEL, COMMAND, UPKEEP, too_late

HOLD_NS: Final = SECOND // 20
UNPRICED_MAX: Final = 1024
INFLIGHT_MAX: Final = 95  # the venue allows 100
_SETTINGS: Final = (codes.SETTING_LEVERAGE, codes.SETTING_MODE, codes.SETTING_MARGIN, codes.SETTING_DEAD_MAN)
CURE: Final = (
    "check that the key is that of the account, or of an agent (API wallet) that the account has approved and that has "
    "not expired; that address and vault in the run file are right; that the account has money on this chain"
)


class Desk:
    """Takes commands, lets them leave, and reads their answers; see the module."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.ledger = account.ledger
        self.requests: dict[int, OrderRequest] = {}  # of orders that have not ended
        self.best: dict[int, Best] = {}
        self.wants_best: dict[int, None] = {}  # instruments whose best prices are needed
        self.modes: dict[int, tuple[int, bool]] = {}  # leverage, and whether margin is isolated
        self._unpriced: list[Job] = []  # at most UNPRICED_MAX
        self._amends = 0
        self._by_amend: set[int] = set()  # numbers of cancels that were asked for as amendments
        self._unanswered: dict[int, bool] = {}  # orders with a lost cancel: whether it was asked for as an amendment
        self._lost_amends: dict[int, int] = {}  # numbers, and when their answers were given up
        self._held: list[tuple[int, str, Any, Status]] = []  # answers to at most INFLIGHT_MAX requests; ``_one``
        self._unsent: set[int] = set()  # orders that wait to leave
        self.proved = False  # the venue has taken a signature of ours, or said something else about it

    # -- commands

    def submit(self, requests: list[OrderRequest], now: Now) -> None:
        able = []
        for request in requests:
            why = actions.unsupported(request)
            if self.account.is_over:
                why = (codes.R_VENUE, "the session is over, or not ready to trade")
            if why is not None:
                self._refuse_unsent(request, why, now)
                continue
            self.ledger.add(request, self._cloid(request))
            self.requests[request.order_no] = request
            self._unsent.add(request.order_no)
            able.append(request)
        for at in range(0, len(able), actions.ORDERS_MAX):
            until_ns = now.mono_ns + self.account.wanted.max_wait_ns
            self._price(Job("submit", [*able[at : at + actions.ORDERS_MAX]], COMMAND, until_ns=until_ns), now)

    def _cloid(self, request: OrderRequest) -> str:
        return (request.client_id or self.ledger.ids.hex128(request.order_no)).lower()

    def _refuse_unsent(self, request: OrderRequest, why: tuple[int, str], now: Now) -> None:
        self.account.events.append(
            Rejected(
                account=request.account, instrument=request.instrument, order_no=request.order_no, ts_event_ns=0,
                ts_recv_ns=now.wall_ns, reason=why[0], text=f"not sent: {why[1]}",
            )
        )  # fmt: skip

    def _needs_price(self, request: OrderRequest) -> bool:
        """Whether it is a market order whose limit depends on a book that is not known yet."""
        if request.type != codes.MARKET or request.trigger is not None or request.ticks:
            return False
        best = self.best.get(request.instrument)
        return best is None or not (best.bid_ticks and best.ask_ticks)

    def _price(self, job: Job, now: Now) -> None:
        if self._waits_for_price(job, now):
            return
        self._queue(job, now)

    def _waits_for_price(self, job: Job, now: Now) -> bool:
        """Whether a market order of the job has nothing to be priced by; it leaves when there is, or not at all."""
        unknown = [request.instrument for request in job.items if self._needs_price(request)]
        if not unknown:
            return False
        self.wants_best |= dict.fromkeys(unknown)
        if len(self._unpriced) < UNPRICED_MAX:
            self._unpriced.append(job)
        else:
            self._refuse(job, job.items, _NO_PRICE, now)
        return True

    def priced(self, now: Now) -> None:
        """A best price has come, or time has passed: what waited for it leaves, or is given up."""
        waiting, self._unpriced = self._unpriced, []
        for job in waiting:
            if not any(self._needs_price(request) for request in job.items):
                self._queue(job, now)
            elif job.until_ns > now.mono_ns:
                self._unpriced.append(job)
            else:
                self._refuse(job, job.items, _NO_PRICE, now)

    def _queue(self, job: Job, now: Now) -> None:
        if self.account.is_over or not self.account.put(job):
            self._refuse(job, job.items, refusal("not sent: too many requests wait already"), now)

    def overdue(self, now: Now) -> None:
        """Refuse what could not leave while its moment lasted."""
        for job in self.account.throttle.overdue(now.mono_ns):
            if isinstance(job, Job):
                why = (codes.R_RATE_LIMIT, 0, too_late(self.account.wanted.max_wait_ns))
                self._refuse(job, job.items, why, now)

    def amend(self, requests: list[AmendRequest], now: Now) -> None:
        items: list[Any] = []
        for request in requests:
            track = self.ledger.get(request.order_no)
            if track is None or track.stage == ENDED or request.order_no not in self.requests:
                self._unknown(AmendRejected, request, now)
            elif request.lots <= track.filled_lots:  # nothing would be left: the venue has no such modification
                self._cancel([track], now, by_amend=True)
            else:
                self._amends += 1
                self.ledger.amending(track, self._amends, request)
                items.append((track, self._amends, request))
        for at in range(0, len(items), actions.ORDERS_MAX):
            until_ns = now.mono_ns + self.account.wanted.max_wait_ns
            self._queue(Job("amend", items[at : at + actions.ORDERS_MAX], COMMAND, until_ns=until_ns), now)

    def cancel(self, requests: list[CancelRequest], now: Now) -> None:
        tracks = []
        for request in requests:
            track = self.ledger.get(request.order_no)
            if track is None or track.stage == ENDED:
                self._unknown(CancelRejected, request, now)
            elif request.order_no in self._unsent:
                self._unsent.discard(request.order_no)
                self.ledger.withdraw(track, now.wall_ns)
            else:
                tracks.append(track)
        self._cancel(tracks, now)

    def _cancel(self, tracks: list[Track], now: Now, *, by_amend: bool = False) -> None:
        held = [track for track in tracks if track.conditional and track.stage <= HELD]
        resting = [track for track in tracks if not (track.conditional and track.stage <= HELD)]
        for group in (resting, held):
            for at in range(0, len(group), actions.CANCELS_MAX):
                items: list[Any] = []
                for track in group[at : at + actions.CANCELS_MAX]:
                    self._amends += 1
                    (self._by_amend if by_amend else track.cancels).add(self._amends)
                    items.append((track, self._amends))
                self._queue(Job("cancel", items, CANCEL), now)

    def cancel_all(self, request: CancelAllRequest, now: Now) -> None:
        """Every open order of the instrument: ours by cloid, those of others by oid."""
        mine = self.ledger.open(request.instrument)
        self.cancel([CancelRequest(account=request.account, instrument=one.instrument, order_no=one.order_no)
                     for one in mine], now)  # fmt: skip
        others: list[Any] = [one for one in self.ledger.foreign.values() if one.instrument == request.instrument]
        for at in range(0, len(others), actions.CANCELS_MAX):
            self._queue(Job("foreign", others[at : at + actions.CANCELS_MAX], CANCEL), now)

    def _unknown(
        self, kind: type[AmendRejected] | type[CancelRejected], request: AmendRequest | CancelRequest, now: Now
    ) -> None:
        self.account.events.append(
            kind(
                account=request.account, instrument=request.instrument, order_no=request.order_no, ts_event_ns=0,
                ts_recv_ns=now.wall_ns, reason=codes.R_UNKNOWN_ORDER, text="not sent: no such open order",
            )
        )  # fmt: skip

    def change(self, request: SettingRequest, now: Now) -> None:
        """A setting. Leverage and margin mode are one action: what is not changed must be known first."""
        if request.setting not in _SETTINGS or (request.setting == codes.SETTING_MARGIN and request.value % 100):
            text = "not sent: the venue has no such setting, or its money is finer than 1e-6"
            self.setting_refused(request, codes.R_UNSUPPORTED, text, now)
        elif request.setting in (codes.SETTING_LEVERAGE, codes.SETTING_MODE) and request.instrument not in self.modes:
            coin = self.account.instruments[request.instrument].symbol
            self.account.ask("active", request, type="activeAssetData", user=self.account.address, coin=coin)
        else:
            self._queue(Job("setting", [request], COMMAND), now)

    def prove(self, now: Now) -> None:
        """Find out whether the venue takes our signatures, by an action that does nothing."""
        self._queue(Job("noop", [], UPKEEP), now)

    # -- leaving

    def leave(self, job: Job, now: Now) -> None:
        """Let a job leave that has got its room; what has ended meanwhile stays."""
        if job.kind == "submit" and self._waits_for_price(job, now):
            return  # the connection that told the best prices has gone meanwhile
        action = self._action(job, now)
        if action is not None:
            try:
                self.account.post(job, action, now)
            except LocalError as error:
                self.account.doubt_clock(now)
                self.account.remark(str(error))
                self._refuse(job, job.sent, refusal(f"not sent: {error}"), now)

    def _action(self, job: Job, now: Now) -> dict[str, Any] | None:
        assets, kind = self.account.assets, job.kind
        if kind == "noop":
            return {"type": "noop"}
        if kind == "setting":
            job.sent = job.items
            return self._setting_action(job.items[0], now)
        if kind == "submit":
            job.sent = [request for request in job.items if self.ledger[request.order_no].stage != ENDED]
            self._unsent.difference_update(request.order_no for request in job.items)
            return actions.orders([self._wire(request) for request in job.sent]) if job.sent else None
        if kind == "cancel":
            job.sent = [item for item in job.items if item[0].stage != ENDED]
            for track, number in (item for item in job.items if item[0].stage == ENDED):
                self._cancel_refused(track, number, refusal(_OVER), now)
            rows = [(assets[track.instrument], track.client_id) for track, _ in job.sent]
            fast = not any(track.conditional for track, _ in job.sent)
            return actions.cancels_by_cloid(rows, fast) if rows else None
        if kind == "foreign":
            job.sent = [one for one in job.items if one.oid in self.ledger.foreign]
            found = [(assets[one.instrument], int(one.oid)) for one in job.sent]
            return actions.cancels(found) if found else None
        job.sent = []
        wires = []
        for track, number, request in job.items:
            lots = request.lots - track.filled_lots
            if track.stage == ENDED or lots <= 0:
                self.ledger.amend_refused(track, number, refusal(_OVER), now.wall_ns)
                continue
            job.sent.append((track, number, request, lots))
            wires.append((track.client_id, self._modified(track, request, lots)))
        return actions.modifies(wires) if wires else None

    def _wire(self, request: OrderRequest) -> dict[str, Any]:
        instrument = self.account.instruments[request.instrument]
        ticks = request.ticks
        if request.type == codes.MARKET and not ticks:
            if request.trigger is not None:
                twice, percent = 2 * request.trigger.ticks, actions.TRIGGERED_PERCENT
            else:
                best = self.best[request.instrument]
                twice, percent = best.bid_ticks + best.ask_ticks, actions.MARKET_PERCENT
            ticks = actions.market_ticks(instrument, request.side, twice, percent)
        asset = self.account.assets[request.instrument]
        return actions.order_wire(instrument, asset, request, self._cloid(request), ticks, request.lots)

    def _modified(self, track: Track, request: AmendRequest, lots: int) -> dict[str, Any]:
        placed, instrument = self.requests[track.order_no], self.account.instruments[track.instrument]
        asset = self.account.assets[track.instrument]
        return actions.order_wire(
            instrument, asset, placed, track.client_id, request.ticks, lots, request.trigger_ticks
        )

    def _setting_action(self, request: SettingRequest, now: Now) -> dict[str, Any]:
        asset, value = self.account.assets[request.instrument], request.value
        if request.setting == codes.SETTING_DEAD_MAN:
            return actions.schedule_cancel(self.account.now_ms(now) + value // MS if value else 0)
        if request.setting == codes.SETTING_MARGIN:
            return actions.isolated_margin(asset, value // 100)
        times, isolated = self.modes[request.instrument]
        if request.setting == codes.SETTING_LEVERAGE:
            return actions.leverage(asset, not isolated, value)
        return actions.leverage(asset, value != codes.MODE_ISOLATED, times)

    # -- answers

    def answered(self, job: Job, outcome: Outcome, now: Now) -> None:
        """The answer to an action that has left."""
        statuses = outcome.statuses
        if outcome.error:
            self.refused(job, outcome.error, 0, now)
            return
        self.proved = True
        self.account.taken_nonce = max(self.account.taken_nonce, job.nonce)
        if job.kind == "setting":
            bad = next((one.text for one in statuses if one.word == "error"), "")
            if bad:
                self.refused(job, bad, 0, now)
            else:
                self._setting_done(job.sent[0], now)
        elif job.kind not in ("noop", "foreign"):
            if len(statuses) == 1 and statuses[0].word == "error":
                statuses = statuses * len(job.sent)  # one error for the whole batch
            if len(statuses) != len(job.sent):
                self.lost(job, f"an answer with {len(statuses)} statuses for {len(job.sent)} orders", now)
                return
            for item, status in zip(job.sent, statuses, strict=True):
                self._one(job.kind, item, status, now)

    def _one(self, kind: str, item: Any, status: Status, now: Now) -> None:
        """One order's answer. It carries no time of the venue: what the stream is about to say too, with its time, is
        left to it for a moment. Refused cancels and amendments it never says."""
        is_error = status.word == "error"
        if is_error:
            self._note(status.text, now)
        if not self.account.is_told or (is_error and kind != "submit"):
            self._take(kind, item, status, now)
            return
        if kind == "submit" and status.oid:
            self.ledger.name(self.ledger[item.order_no], status.oid)  # its fills may come now
        self._held.append((now.mono_ns + HOLD_NS, kind, item, status))

    def release(self, now: Now, *, everything: bool = False) -> None:
        """Take the answers that the streams have not made superfluous in time."""
        while self._held and (everything or self._held[0][0] <= now.mono_ns):
            _, kind, item, status = self._held.pop(0)
            self._take(kind, item, status, now)

    def _take(self, kind: str, item: Any, status: Status, now: Now) -> None:
        if kind == "submit":
            self.ledger.submitted(self.ledger[item.order_no], status, now.wall_ns)
        elif kind == "cancel":
            self._unanswered.pop(item[0].order_no, None)
            if status.word == "error":
                self._cancel_refused(item[0], item[1], refusal(status.text), now)
            else:
                self._by_amend.discard(item[1])
                self.ledger.canceled(item[0], item[1], now.wall_ns)
        else:
            track, number, request, lots = item
            self.ledger.modify_answered(track, number, (request.ticks, lots), status, now.wall_ns)

    def refused(self, job: Job, text: str, code: int, now: Now) -> None:
        """The venue refused the whole action: nothing of it was done."""
        self._note(text, now)
        if reasons.is_limit_error(text) and job.kind in ("cancel", "foreign") and not self.account.is_over:
            self.account.put(job, back=True)
        elif job.kind == "noop":
            self.proved = True
            self.account.remark(f"noop was refused: {text}")
        else:
            self._refuse(job, job.sent, refusal(text, code), now)

    def _refuse(self, job: Job, items: list[Any], why: Refusal, now: Now) -> None:
        for item in items:
            if job.kind == "submit":
                self._unsent.discard(item.order_no)
                self.ledger.refused(self.ledger[item.order_no], why, now.wall_ns)
            elif job.kind == "cancel":
                self._cancel_refused(item[0], item[1], why, now)
            elif job.kind == "amend":
                self.ledger.amend_refused(item[0], item[1], why, now.wall_ns)
                self.ledger.unstash(item[0], now.wall_ns)
            elif job.kind == "setting":
                self.setting_refused(item, why[0], why[2], now, why[1])

    def _cancel_refused(self, track: Track, number: int, why: Refusal, now: Now) -> None:
        """The venue refused a cancel. That an order is unknown does not say that it never filled: it is asked for."""
        if number in self._by_amend:
            self._by_amend.discard(number)
            self.ledger.not_amended(track, why, now.wall_ns)
        self.ledger.cancel_refused(track, number, why, now.wall_ns)
        if track.stage != ENDED:
            self.ledger.doubts[track.order_no] = None

    def _note(self, text: str, now: Now) -> None:
        """What an error says about the session as a whole."""
        account = self.account
        if reasons.is_wallet_error(text) and not account.is_over:
            account.is_over = True
            account.events.append(NotReady(code=0, text=text, cure=CURE))
            for waiting in account.throttle.drain():
                if isinstance(waiting, Job):
                    self._refuse(waiting, waiting.items, refusal(f"not sent: {text}"), now)
        elif reasons.is_clock_error(text):
            account.doubt_clock(now)
            account.remark(f"{text}: measuring the venue's clock; set this machine's clock if it is wrong")
        elif reasons.is_limit_error(text):
            account.hold(10 * SECOND, now)
            account.remark(f"{text}: commands wait 10 s, cancels 1 s")

    def lost(self, job: Job, why: str, now: Now) -> None:
        """No answer, or one that says nothing: the venue must be asked."""
        account = self.account
        if job.kind == "noop":
            self.proved = True
            account.remark(f"noop: {why}")
        for item in job.sent:
            if job.kind == "foreign":
                continue
            if job.kind == "setting":
                self._setting_lost(job, item, why, now)
                continue
            order_no = item.order_no if job.kind == "submit" else item[0].order_no
            instrument = item.instrument if job.kind == "submit" else item[0].instrument
            if job.kind == "cancel":
                as_amend = item[1] in self._by_amend
                self._by_amend.discard(item[1])
                item[0].cancels.discard(item[1])
                self._unanswered[order_no] = self._unanswered.get(order_no, True) and as_amend
            account.events.append(OutcomeLost(instrument=instrument, order_no=order_no, what=job.kind, why=why))
            if job.kind == "amend":
                self._lost_amends[item[1]] = now.mono_ns
            account.inquiries.close(order_no, job.kind)  # its settle window begins now
            account.inquiries.open(order_no, job.kind, now.mono_ns)

    def _setting_lost(self, job: Job, request: SettingRequest, why: str, now: Now) -> None:
        """Asking for the same leverage, mode or dead-man time again does no harm; paying margin in twice would."""
        if request.setting == codes.SETTING_MARGIN:
            text = f"{why}: whether the margin was moved, the account's state must show"
            self.setting_refused(request, codes.R_VENUE, text, now)
        else:
            self.account.put(job)

    # -- what became of it

    def again(self, track: Track, now: Now) -> None:
        """A cancel got lost and the order is still open: once more."""
        self._cancel([track], now, by_amend=self._unanswered.pop(track.order_no, False))

    def amend_lost(self, track: Track, now: Now) -> bool:
        """Modifications without an answer that the venue does not show, and cannot do any more. Whether some of the
        order's are still too young to say so."""
        for amend in list(track.amends):
            lost_ns = self._lost_amends.get(amend.number)
            if lost_ns is not None and now.mono_ns - lost_ns >= SETTLE_NS:
                why = (codes.R_VENUE, 0, "no answer came, and the venue shows the order without it")
                self.ledger.amend_refused(track, amend.number, why, now.wall_ns)
                del self._lost_amends[amend.number]
        self.ledger.unstash(track, now.wall_ns)
        return any(amend.number in self._lost_amends for amend in track.amends)

    def _setting_done(self, request: SettingRequest, now: Now) -> None:
        times, isolated = self.modes.get(request.instrument, (1, False))
        if request.setting == codes.SETTING_LEVERAGE:
            self.modes[request.instrument] = (request.value, isolated)
        elif request.setting == codes.SETTING_MODE:
            self.modes[request.instrument] = (times, request.value == codes.MODE_ISOLATED)
        self.account.events.append(
            SettingChanged(
                account=request.account, ts_event_ns=0, ts_recv_ns=now.wall_ns, instrument=request.instrument,
                number=request.number, setting=request.setting, value=request.value,
            )
        )  # fmt: skip

    def setting_refused(self, request: SettingRequest, reason: int, text: str, now: Now, code: int = 0) -> None:
        self.account.events.append(
            SettingRejected(
                account=request.account, ts_event_ns=0, ts_recv_ns=now.wall_ns, instrument=request.instrument,
                number=request.number, setting=request.setting, value=request.value, reason=reason, code=code,
                text=text,
            )
        )  # fmt: skip

    def forget(self, now: Now) -> None:
        """Drop what belongs to orders that have ended."""
        over = [
            number for number in self.requests if (track := self.ledger.get(number)) is None or track.stage == ENDED
        ]
        for number in over:
            del self.requests[number]


_NO_PRICE: Final = (codes.R_NO_BOOK, 0, "not sent: no best bid and ask came to price a market order by")
_OVER: Final = "Order was never placed, already canceled, or filled."
