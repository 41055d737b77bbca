"""What Hyperliquid says of orders, made into events: updates, fills and answers, in whatever order they come.

Theory of operation. An order keeps its cloid for life; its oid changes with each modification, which the venue makes as
a cancel and a new order: it says ``canceled`` of the old oid and ``open`` of the new one, and answers with the new one.
So a cancel of an order with a modification under way is held back until the answer or the new oid comes; statuses of
old oids change nothing but what was executed under them, and the size of the whole is what was executed under the old
ones and what the new one is of.

Answers and updates carry no fills, and fills no end: an end says how much was executed (``origSz - sz``), and waits for
that much (``venues/trading_orders.py``). Of an IOC order the venue calls the rest ``canceled``, or the whole
``iocCancelRejected``: either way it was accepted, and what could not be matched expired.

A fill whose oid is not known and which carries no cloid waits until the answer to an order under way names the oid, or
none is under way any more. What then belongs to nobody was not sent by us: the position has changed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from matching import codes
from venues.hyperliquid import reasons
from venues.hyperliquid.private_rows import FillRow, OrderRow, Status
from venues.orders import AmendRejected, AutoDeleveraged, Liquidated, PositionChanged
from venues.trading import Event
from venues.trading_orders import ENDED, HELD, SENT, Amend, End, Fill, Orders, Track
from venues.trading_parts import ClientIds, Seen

GROWN: Final = 4  # a mark of amendments: see ``Ledger._grow``
UNNAMED: Final = "?"  # stands for an oid that was never heard
STRAYS_MAX: Final = 1024
ADL: Final = "Auto-Deleveraging"  # direction of a fill; the word is assumed, its documents name none
FOREIGN_MAX: Final = 5000  # as many orders as an account can have
Refusal = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class Foreign:
    """An open order of the account that is not of this session."""

    instrument: int
    oid: str


def refusal(text: str, code: int = 0) -> Refusal:
    """Reason, code and text of an error text."""
    return reasons.reason_of_text(text), code, text


class Ledger(Orders):
    """The orders of one account and what comes of all that is heard; ``doubts`` are order numbers to be asked for."""

    def __init__(self, account: int, ids: ClientIds, events: list[Event], address: str) -> None:
        super().__init__(account, ids, events)
        self.address = address
        self.foreign: dict[str, Foreign] = {}
        self.doubts: dict[int, None] = {}
        self._stash: dict[int, OrderRow] = {}  # ends of orders with a modification under way
        self._stated: dict[int, dict[str, int]] = {}  # by order and oid: executed as updates say
        self._answers: dict[tuple[int, str], int] = {}  # which request each new oid was taken to answer
        self._sizes: dict[int, int] = {}  # of modified orders: the size of what stands there now
        self._final: dict[int, set[str]] = {}  # by order: oids of which all fills are known
        self._strays: deque[FillRow] = deque(maxlen=STRAYS_MAX)
        self._seen = Seen()

    def find(self, oid: str, cloid: str) -> Track | None:
        return (self.named(cloid) if cloid else None) or self.at_venue(oid)

    # -- updates

    def update(self, row: OrderRow, now_ns: int) -> None:
        """An order's status, of the stream or of a question."""
        track = self.find(row.oid, row.cloid)
        if track is None:
            self._stranger(row)
            return
        if self._is_older(track, row.oid):
            self.name_before(track, row.oid)
        is_current = track.venue_id in ("", row.oid)
        is_new = row.oid not in track.executed
        if row.status.lower().endswith("rejected") and is_new and track.venue_id:
            return  # what a modification would have become: its answer says so
        if is_new and track.venue_id:
            self._replaced(track, 0, row.ticks, row.lots, row.oid, row.placed_ns, now_ns)
        else:
            self.name(track, row.oid)
            if not is_current:
                self._state(track, row)
                if row.status not in ("open", "triggered"):
                    self._final.setdefault(track.order_no, set()).add(row.oid)
                self._grow(track, now_ns)
                self._drain(now_ns)
                return
        self._state(track, row)
        if row.status not in ("open", "triggered"):
            self._final.setdefault(track.order_no, set()).add(row.oid)
        if row.status == "open":
            self._is_open(track, row, now_ns)
        elif row.status == "triggered":
            self.trigger(track, row.oid, row.ts_event_ns, now_ns)
        elif row.status == "filled":
            self.accept(track, row.oid, row.placed_ns, now_ns)
            if track.stage != ENDED:
                self.doubts[track.order_no] = None
        elif track.amends and row.status == "canceled":
            self._stash[track.order_no] = row
        else:
            self._end(track, row, now_ns)
        self._drain(now_ns)

    def _stranger(self, row: OrderRow) -> None:
        if row.status in ("open", "triggered"):
            if len(self.foreign) < FOREIGN_MAX:
                self.foreign[row.oid] = Foreign(row.instrument, row.oid)
        else:
            self.foreign.pop(row.oid, None)

    def _state(self, track: Track, row: OrderRow) -> None:
        """What the update says was executed under its oid. Reduce-only orders shrink: of them it says nothing."""
        if not (track.reduce_only or row.reduce_only) and track.stage != ENDED:
            stated = self._stated.setdefault(track.order_no, {})
            stated[row.oid] = max(stated.get(row.oid, 0), row.lots - row.left_lots)
            if self._done(track) > track.filled_lots:
                self.doubts[track.order_no] = None

    def _done(self, track: Track, but: str = "") -> int:
        """Lots executed as far as is known, by fills or updates; ``but``: not those of this oid."""
        stated = self._stated.get(track.order_no, {})
        return sum(max(lots, stated.get(oid, 0)) for oid, lots in track.executed.items() if oid != but)

    def _is_open(self, track: Track, row: OrderRow, now_ns: int) -> None:
        if track.conditional and track.stage <= HELD:
            self.hold(track, row.placed_ns, now_ns)
            return
        self.accept(track, row.oid, row.placed_ns, now_ns)
        total = self._done(track, row.oid) + row.lots
        if track.reduce_only and track.stage != ENDED and track.filled_lots < total < track.lots and not track.amends:
            track.lots = total  # it has followed the position down
            self.amended(track, track.ticks, total, row.ts_event_ns, now_ns, 0)

    def _replaced(
        self, track: Track, number: int, ticks: int, lots: int, oid: str, ts_event_ns: int, now_ns: int
    ) -> None:
        self._stash.pop(track.order_no, None)
        total = self._done(track) + lots
        self._sizes[track.order_no] = lots
        if not track.venue_id:
            track.executed[UNNAMED] = 0
        self._answers[(track.order_no, oid)] = self.replaced(track, number, ticks, total, oid, ts_event_ns, now_ns)
        if len(self._answers) > STRAYS_MAX:
            del self._answers[next(iter(self._answers))]

    def _end(self, track: Track, row: OrderRow, now_ns: int) -> None:
        """It is over, by a status that says why."""
        status, reason = row.status, reasons.reason_of_status(row.status)
        executed = -1 if track.reduce_only or row.reduce_only else self._done(track)
        waits = track.conditional and track.stage <= HELD  # for its trigger: it is not in the book yet
        ioc = (track.market or track.tif == codes.IOC) and not waits
        canceled = status in ("canceled", "scheduledCancel")
        if ioc and status in ("canceled", "iocCancelRejected"):
            reason, canceled = codes.R_MARKET_REMAINDER if track.market else codes.R_IOC_REMAINDER, False
            if track.stage == SENT:
                self.accept(track, row.oid, row.placed_ns, now_ns)
        elif status.lower().endswith("rejected") and track.stage == SENT:
            self.reject(track, (reason, 0, status), row.ts_event_ns, now_ns)
            return
        elif track.stage == SENT and not track.conditional:
            self.accept(track, row.oid, row.placed_ns, now_ns)
        self.finish(track, End(canceled, reason, executed, row.ts_event_ns), now_ns)

    # -- fills

    def execution(self, row: FillRow, is_live: bool, now_ns: int) -> None:
        """An execution; ``is_live``: told as it happened, not in a list of past ones."""
        track = self.find(row.oid, row.cloid)
        if track is None:
            if not is_live or self.ids.order_no_of_hex(row.cloid):
                return  # of an order before our time, or of one long over
            if row.cloid or not self._can_name():
                self._foreign_fill(row, now_ns)
            else:
                self._strays.append(row)
            return
        self._own_fill(track, row, now_ns)

    def _own_fill(self, track: Track, row: FillRow, now_ns: int) -> None:
        if row.trade_id in track.trades:
            return
        if self._is_older(track, row.oid):
            self.name_before(track, row.oid)
        if track.venue_id and row.oid not in track.executed:  # the first word of what a modification has become
            self.doubts[track.order_no] = None
            asked = track.amends[0] if track.amends else None
            left = max(asked.lots - self._done(track), row.lots) if asked else row.lots
            self._replaced(track, 0, asked.ticks if asked else row.ticks, left, row.oid, row.ts_event_ns, now_ns)
        self.name(track, row.oid)
        if self._is_unsure(track) and track.filled_lots + row.lots >= track.lots and row.oid == track.venue_id:
            self._strays.append(row)  # the whole may be larger, by fills of an oid before
            self.gaps[track.order_no] = None
            return
        track.executed[row.oid] += row.lots
        self._grow(track, now_ns)
        liquidity = codes.LIQ_TAKER if row.is_taker else codes.LIQ_MAKER
        self.fill(
            track,
            Fill(row.trade_id, row.ticks, row.lots, liquidity, row.fee_e8, row.realized_e8, row.ts_event_ns),
            now_ns,
        )
        if track.stage == ENDED:
            self._stated.pop(track.order_no, None)
            self._sizes.pop(track.order_no, None)
            self._final.pop(track.order_no, None)

    def _is_older(self, track: Track, oid: str) -> bool:
        """Whether an oid that is new to us was the order's before the present one: oids rise."""
        return bool(track.venue_id) and oid not in track.executed and int(oid) < int(track.venue_id)

    def _is_unsure(self, track: Track) -> bool:
        """Whether fills of an earlier oid may not be known yet."""
        if track.order_no not in self._sizes or track.stage == ENDED:
            return False
        known = self._final.get(track.order_no, ())
        return any(oid not in known for oid in track.executed if oid != track.venue_id)

    def sure(self, track: Track, now_ns: int) -> None:
        """All fills up to now have been asked for and taken."""
        if track.stage != ENDED:
            track.executed.pop(UNNAMED, None)
            self._final.setdefault(track.order_no, set()).update(oid for oid in track.executed if oid != track.venue_id)
            if track.end is None:
                self.gaps.pop(track.order_no, None)
        self._drain(now_ns)

    def _grow(self, track: Track, now_ns: int) -> None:
        """More was executed under earlier oids than was known when the order was modified: the whole is larger."""
        size = self._sizes.get(track.order_no)
        if size is None or track.stage == ENDED:
            return
        total = self._done(track, track.venue_id) + size
        if total > track.lots:
            for amend in track.amends[:1]:
                amend.heard |= GROWN  # whoever counts answers takes this one for its
            self._amended(track, track.ticks, total, 0, now_ns)

    def _can_name(self) -> bool:
        """Whether an oid that is not known may yet turn out to be one of ours."""
        return any(track.stage == SENT or track.amends for track in self.open())

    def _drain(self, now_ns: int) -> None:
        for _ in range(len(self._strays)):
            row = self._strays.popleft()
            track = self.find(row.oid, row.cloid)
            if track is not None:
                self._own_fill(track, row, now_ns)
            elif self._can_name():
                self._strays.append(row)
            else:
                self._foreign_fill(row, now_ns)

    def tick(self, now_ns: int) -> None:
        if self._strays:
            self._drain(now_ns)

    def _foreign_fill(self, row: FillRow, now_ns: int) -> None:
        """Somebody else's order of the same account, or the venue's own."""
        if not self._seen.add((row.instrument, row.ts_event_ns, row.oid, row.trade_id)):
            return
        common = {"account": self.account, "ts_event_ns": row.ts_event_ns, "ts_recv_ns": now_ns}
        what = {"side": row.side, "ticks": row.ticks, "lots": row.lots, "realized_e8": row.realized_e8}
        if row.direction == ADL:
            self.events.append(AutoDeleveraged(instrument=row.instrument, **what, **common))
        elif row.liquidated and row.liquidated == self.address:
            self.events.append(Liquidated(instrument=row.instrument, fee_e8=row.fee_e8, **what, **common))
        self.events.append(PositionChanged(instrument=row.instrument, position_lots=row.position_lots, **common))

    # -- answers

    def submitted(self, track: Track, status: Status, now_ns: int) -> None:
        """The answer to a new order."""
        if status.word == "error":
            self.refused(track, refusal(status.text), now_ns)
        elif status.word == "filled":
            self.accept(track, status.oid, 0, now_ns)
            if track.stage != ENDED:
                self.doubts[track.order_no] = None
        elif track.conditional:
            self.name(track, status.oid)
            self.hold(track, 0, now_ns)
        else:
            self.accept(track, status.oid, 0, now_ns)
        self._drain(now_ns)

    def refused(self, track: Track, why: Refusal, now_ns: int) -> None:
        """The venue refused a new order. An IOC order that found nothing was accepted, and expired."""
        if why[0] == codes.R_IOC_REMAINDER and track.stage == SENT:
            reason = codes.R_MARKET_REMAINDER if track.market else codes.R_IOC_REMAINDER
            self.finish(track, End(False, reason, 0, 0), now_ns)
        elif not self.reject(track, why, 0, now_ns) and track.stage != ENDED:
            self.doubts[track.order_no] = None

    def canceled(self, track: Track, number: int, now_ns: int) -> None:
        """The venue has done a cancel."""
        track.cancels.discard(number)
        self._stash.pop(track.order_no, None)
        self.finish(track, End(True, codes.R_USER, self._done(track), 0), now_ns)

    def not_amended(self, track: Track, why: Refusal, now_ns: int) -> None:
        """An amendment that was made as a cancel is refused."""
        self._emit(AmendRejected, track, 0, now_ns, reason=why[0], code=why[1], text=why[2])

    def modify_answered(self, track: Track, number: int, sent: tuple[int, int], status: Status, now_ns: int) -> None:
        """The answer to a modification; ``sent`` are the ticks and lots of the new order."""
        if status.word == "error":
            self.amend_refused(track, number, refusal(status.text), now_ns)
            self.unstash(track, now_ns)
            return
        if status.oid and status.oid not in track.executed:
            self._replaced(track, number, sent[0], sent[1], status.oid, 0, now_ns)
        elif status.oid:  # heard of before: which request it was, only now
            taken = self._answers.get((track.order_no, status.oid), 0)
            for amend in track.amends:
                if amend.number == number:
                    track.amends.remove(amend)
                    if taken:
                        track.amends.append(Amend(taken, amend.ticks, amend.lots))
                    break
        else:
            self.doubts[track.order_no] = None
        self._drain(now_ns)

    def unstash(self, track: Track, now_ns: int) -> None:
        """No modification is under way any more: the cancel that was held back was one."""
        if not track.amends:
            row = self._stash.pop(track.order_no, None)
            if row is not None:
                self._end(track, row, now_ns)
