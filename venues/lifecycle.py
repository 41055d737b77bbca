"""The life of an order: one transition table, the same in backtest, paper and live.

Theory of operation. An order's state is ``status`` x ``filled`` x ``pending``:

    status    INTENT   decided and (live) written down, not yet sent
              SENT     handed to the transport, no answer yet
              UNKNOWN  sent, and the answer was lost (a timeout, a 5xx): it may or may not be at the venue
              HELD     accepted by the venue, waiting for its trigger price
              OPEN     in the book (or about to be: acknowledged)
              CLOSED   over, with a reason (``matching.codes`` R_*)
    filled    lots executed so far; never above the order's lots
    pending   requests of ours under way: PENDING_AMEND, PENDING_CANCEL

The familiar names (partially filled, pending cancel, rejected ...) are a view of these three (``view_name``).

Rules that the table keeps:

1. Everything that changes an order's state is a trigger in this file. Triggers are what the venue says (``EV_*`` of
   ``matching.codes``, and the further ones below), and what we do ourselves (``L_*``).
2. UNKNOWN is left only on the venue's evidence: an acknowledgement, a fill, a close, or ``EV_NOT_FOUND``, which means
   that the venue was asked after its settle window and knows no such order. No trigger of ours leads out of it, so no
   timer can.
3. The venue's messages may overtake each other. A fill before its acknowledgement opens the order; an acknowledgement,
   a trigger or a refusal of a cancel that arrives after the end changes nothing (LATE); the same message twice changes
   nothing (REPEAT). A trade id counts once, and so does an event id, where the venue's messages have any: without one,
   amendments must arrive in their order and once, which is their connector's business.
4. CLOSED still accepts fills, up to the order's lots, and voided fills: money moved, whatever we believed. They are
   flagged (LATE) so that the caller asks the venue. The reason stays what the venue said first; in particular FILLED is
   never overwritten.
5. What the table does not allow is a ``LifecycleDefect``: raised with the order unchanged, reported, never ignored.

CLOSED is one status but three rows of the table, since what may still follow differs: CLOSED_ROW (the order had been at
the venue), REFUSED_ROW (the venue said that it never was) and DISCARDED_ROW (it never left us). ABSENT_ROW is where
orders come from: INTENDED ones are ours, ADOPTED ones were found at the venue without our having sent them (EXTERNAL).

Compiled code uses the same table: ``FLAT[(row * 4 + pending) * TRIGGERS + trigger]`` is -1 for "not allowed", else
``next_row | effects << 4``; a row's status is ``min(row, CLOSED)``. ``docs/lifecycle.md`` is drawn from it too.
"""

from __future__ import annotations

import enum
from array import array
from dataclasses import dataclass
from typing import Final

from matching import codes
from matching.codes import (
    EV_ACCEPTED,
    EV_AMEND_REJECTED,
    EV_AMENDED,
    EV_CANCEL_REJECTED,
    EV_CANCELED,
    EV_EXPIRED,
    EV_FILLED,
    EV_HELD,
    EV_REJECTED,
    EV_TRIGGERED,
    R_FILLED,
    R_NONE,
)
from venues.errors import LifecycleDefect


class Status(enum.IntEnum):
    """Where an order is. The integers are shared with compiled code."""

    INTENT = 0
    SENT = 1
    UNKNOWN = 2
    HELD = 3
    OPEN = 4
    CLOSED = 5


INTENT, SENT, UNKNOWN, HELD, OPEN, CLOSED = range(6)
CLOSED_ROW: Final = 5
REFUSED_ROW: Final = 6
DISCARDED_ROW: Final = 7
ABSENT_ROW: Final = 8
ROWS: Final = 9
ROW_NAMES: Final = ("INTENT", "SENT", "UNKNOWN", "HELD", "OPEN", "CLOSED", "REFUSED", "DISCARDED", "ABSENT")

PENDING_AMEND: Final = 1
PENDING_CANCEL: Final = 2

# -- triggers: EV_ACCEPTED (1) to EV_HELD (10) of matching.codes, and these

EV_FILL_VOIDED: Final = 11  # a fill was taken back (on-chain reorganisation, busted trade)
EV_NOT_FOUND: Final = 12  # asked after the settle window: the venue knows no such order
EV_ADOPTED: Final = 13  # found open at the venue, not sent by us
EV_ADOPTED_HELD: Final = 14  # the same, untriggered
# what a fill, an amendment or its refusal becomes when it leaves nothing to execute
EV_FILLED_WHOLE: Final = 15
EV_AMENDED_WHOLE: Final = 16
EV_AMEND_REJECTED_WHOLE: Final = 17
L_INTENDED: Final = 24  # decided; live: durable in the journal
L_SENT: Final = 25  # handed to the transport
L_DISCARDED: Final = 26  # certainly never sent (risk refused it)
L_OUTCOME_LOST: Final = 27  # no answer to the submission, or intent found in the journal after a crash
L_CANCEL_SENT: Final = 28
L_AMEND_SENT: Final = 29
L_REQUEST_LOST: Final = 30  # no answer to a cancel or an amendment: it stays pending
TRIGGERS: Final = 32
EVENT_IDS: Final = 4096  # remembered of one order, to recognise messages that a venue sends again

# -- effects (bits): what applying a trigger means beside the next row

LATE: Final = 1  # arrived after the end; the caller should ask the venue
REPEAT: Final = 2  # said nothing new
SAME_REASON: Final = 4  # allowed only with the reason the order closed with
SET_AMEND: Final = 8
SET_CANCEL: Final = 16
ANSWER_AMEND: Final = 32
ANSWER_CANCEL: Final = 64
NEEDS_AMEND: Final = 128  # allowed only while an amendment is pending
NEEDS_CANCEL: Final = 256  # allowed only while a cancel is pending
EXTERNAL: Final = 512
EFFECT_NAMES: Final = {
    LATE: "late",
    REPEAT: "repeat",
    SAME_REASON: "if the reason is the same",
    SET_AMEND: "amend pending",
    SET_CANCEL: "cancel pending",
    ANSWER_AMEND: "amend answered",
    ANSWER_CANCEL: "cancel answered",
    NEEDS_AMEND: "if an amend is pending",
    NEEDS_CANCEL: "if a cancel is pending",
    EXTERNAL: "external",
}

EVENT_NAMES: Final = {
    EV_ACCEPTED: "Accepted",
    EV_REJECTED: "Rejected",
    EV_FILLED: "Filled",
    EV_CANCELED: "Canceled",
    EV_CANCEL_REJECTED: "CancelRejected",
    EV_AMENDED: "Amended",
    EV_AMEND_REJECTED: "AmendRejected",
    EV_EXPIRED: "Expired",
    EV_TRIGGERED: "Triggered",
    EV_HELD: "Held",
    codes.EV_FUNDING: "FundingPaid",
    codes.EV_MARGIN_WARNING: "MarginWarning",
    codes.EV_LIQUIDATED: "Liquidated",
    codes.EV_ADL: "AutoDeleveraged",
    codes.EV_SETTING: "SettingChanged",
    codes.EV_SETTING_REJECTED: "SettingRejected",
}
TRIGGER_NAMES: Final = {kind: name for kind, name in EVENT_NAMES.items() if kind <= EV_HELD} | {
    EV_FILL_VOIDED: "FillVoided",
    EV_NOT_FOUND: "NotFound",
    EV_ADOPTED: "Adopted",
    EV_ADOPTED_HELD: "AdoptedHeld",
    EV_FILLED_WHOLE: "FilledWhole",
    EV_AMENDED_WHOLE: "AmendedWhole",
    EV_AMEND_REJECTED_WHOLE: "AmendRejectedWhole",
    L_INTENDED: "intended",
    L_SENT: "sent",
    L_DISCARDED: "discarded",
    L_OUTCOME_LOST: "outcome lost",
    L_CANCEL_SENT: "cancel sent",
    L_AMEND_SENT: "amend sent",
    L_REQUEST_LOST: "request lost",
}
_WHOLE: Final = {
    EV_FILLED: EV_FILLED_WHOLE,
    EV_AMENDED: EV_AMENDED_WHOLE,
    EV_AMEND_REJECTED: EV_AMEND_REJECTED_WHOLE,
}

REASON_NAMES: Final = {
    getattr(codes, name): name.removeprefix("R_").lower().replace("_", " ")
    for name in dir(codes)
    if name.startswith("R_")
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the transition table: in any of ``rows``, ``trigger`` leads to ``next_row`` (None: stays)."""

    rows: tuple[int, ...]
    trigger: int
    next_row: int | None
    effects: int = 0


_AT_VENUE: Final = (SENT, UNKNOWN, HELD, OPEN)
_ENDED: Final = (CLOSED_ROW, REFUSED_ROW)

TABLE: Final = (
    # where orders come from
    Rule((ABSENT_ROW,), L_INTENDED, INTENT),
    Rule((ABSENT_ROW,), EV_ADOPTED, OPEN, EXTERNAL),
    Rule((ABSENT_ROW,), EV_ADOPTED_HELD, HELD, EXTERNAL),
    # submission
    Rule((INTENT,), L_SENT, SENT),
    Rule((INTENT,), L_DISCARDED, DISCARDED_ROW),
    Rule((INTENT, SENT), L_OUTCOME_LOST, UNKNOWN),
    Rule((UNKNOWN, HELD, OPEN, *_ENDED), L_OUTCOME_LOST, None, REPEAT),
    Rule((SENT, UNKNOWN, HELD), EV_ACCEPTED, OPEN),
    Rule((OPEN,), EV_ACCEPTED, None, REPEAT),
    Rule((CLOSED_ROW,), EV_ACCEPTED, None, LATE | REPEAT),
    Rule((SENT, UNKNOWN), EV_HELD, HELD),
    Rule((HELD, OPEN), EV_HELD, None, REPEAT),
    Rule((CLOSED_ROW,), EV_HELD, None, LATE | REPEAT),
    Rule((SENT, UNKNOWN), EV_REJECTED, REFUSED_ROW),
    Rule((HELD,), EV_REJECTED, CLOSED_ROW),  # refused by the engine when it triggered
    Rule((REFUSED_ROW,), EV_REJECTED, None, REPEAT | SAME_REASON),
    Rule((SENT, UNKNOWN), EV_NOT_FOUND, REFUSED_ROW),
    Rule(_ENDED, EV_NOT_FOUND, None, REPEAT),
    Rule((SENT, UNKNOWN, HELD), EV_TRIGGERED, OPEN),
    Rule((OPEN,), EV_TRIGGERED, None, REPEAT),
    Rule((CLOSED_ROW,), EV_TRIGGERED, None, LATE | REPEAT),
    # executions
    Rule(_AT_VENUE, EV_FILLED, OPEN),
    Rule(_AT_VENUE, EV_FILLED_WHOLE, CLOSED_ROW),
    Rule(_ENDED, EV_FILLED, CLOSED_ROW, LATE),
    Rule(_ENDED, EV_FILLED_WHOLE, CLOSED_ROW, LATE),
    Rule((OPEN,), EV_FILL_VOIDED, None),
    Rule((CLOSED_ROW,), EV_FILL_VOIDED, None, LATE),
    # the end
    Rule(_AT_VENUE, EV_CANCELED, CLOSED_ROW, ANSWER_CANCEL),
    Rule((CLOSED_ROW,), EV_CANCELED, None, REPEAT | SAME_REASON | ANSWER_CANCEL),
    Rule(_AT_VENUE, EV_EXPIRED, CLOSED_ROW),
    Rule((CLOSED_ROW,), EV_EXPIRED, None, REPEAT | SAME_REASON),
    # cancels and amendments of ours
    Rule(_AT_VENUE, L_CANCEL_SENT, None, SET_CANCEL),
    Rule((SENT, HELD, OPEN), L_AMEND_SENT, None, SET_AMEND),
    Rule((*_AT_VENUE, *_ENDED), L_REQUEST_LOST, None, REPEAT),
    Rule(_AT_VENUE, EV_CANCEL_REJECTED, None, NEEDS_CANCEL | ANSWER_CANCEL),
    Rule(_ENDED, EV_CANCEL_REJECTED, None, LATE | ANSWER_CANCEL),
    Rule((SENT, UNKNOWN, OPEN), EV_AMENDED, OPEN, ANSWER_AMEND),
    Rule((HELD,), EV_AMENDED, None, ANSWER_AMEND),
    Rule((OPEN,), EV_AMENDED_WHOLE, CLOSED_ROW, ANSWER_AMEND),
    Rule((CLOSED_ROW,), EV_AMENDED, None, NEEDS_AMEND | LATE | ANSWER_AMEND),
    Rule((CLOSED_ROW,), EV_AMENDED_WHOLE, None, NEEDS_AMEND | LATE | ANSWER_AMEND),
    Rule(_AT_VENUE, EV_AMEND_REJECTED, None, NEEDS_AMEND | ANSWER_AMEND),
    Rule((OPEN,), EV_AMEND_REJECTED_WHOLE, CLOSED_ROW, NEEDS_AMEND | ANSWER_AMEND),
    Rule(_ENDED, EV_AMEND_REJECTED, None, LATE | ANSWER_AMEND),
)


def _flatten(table: tuple[Rule, ...]) -> tuple[int, ...]:
    flat = [-1] * (ROWS * 4 * TRIGGERS)
    for rule in table:
        for row in rule.rows:
            for pending in range(4):
                if rule.effects & NEEDS_AMEND and not pending & PENDING_AMEND:
                    continue
                if rule.effects & NEEDS_CANCEL and not pending & PENDING_CANCEL:
                    continue
                index = (row * 4 + pending) * TRIGGERS + rule.trigger
                if flat[index] >= 0:
                    raise ValueError(f"two rules for {TRIGGER_NAMES[rule.trigger]} in {ROW_NAMES[row]}")
                flat[index] = (row if rule.next_row is None else rule.next_row) | rule.effects << 4
    return tuple(flat)


FLAT: Final = _flatten(TABLE)


def flat_table() -> array[int]:
    """``FLAT`` as an int16 array, for typed memoryviews of compiled code."""
    return array("h", FLAT)


def event_name(kind: int) -> str:
    """The name of an order or account event (``EV_*``) or of any trigger of the table."""
    return EVENT_NAMES.get(kind) or TRIGGER_NAMES.get(kind) or f"event {kind}"


def view_name(status: int, pending: int, reason: int, filled_lots: int, refused: bool = False) -> str:
    """The familiar name of a state: partially filled, pending cancel, expired and so on.

    ``refused`` says of a closed order that it never was at the venue (rejected, unknown to it, or never sent)."""
    if status != CLOSED:
        if pending & PENDING_CANCEL:
            return "pending cancel"
        if pending & PENDING_AMEND:
            return "pending amend"
        if status == OPEN:
            return "partially filled" if filled_lots else "open"
        return ("initialized", "submitted", "unknown", "untriggered")[status]
    if refused:
        return "rejected"
    if reason == R_FILLED:
        return "filled"
    return "canceled" if reason == codes.R_USER else "expired"


class OrderState:
    """The lifecycle of one order: ``apply`` folds a trigger in, or raises ``LifecycleDefect`` and changes nothing.

    ``lots`` is the size as the venue last confirmed it, ``filled_lots`` the executed part, ``reason`` why it closed
    (R_NONE until then). ``venue_ids`` are the ids the venue has given it, oldest first; some venues give a new one with
    each amendment. ``flags`` gathers EXTERNAL and LATE for reports.
    """

    __slots__ = (
        "_seen", "amends_pending", "cancels_pending", "filled_lots", "fills", "flags", "lots", "most_filled_lots",
        "number", "reason", "requested_lots", "row", "venue_ids", "voided",
    )  # fmt: skip

    def __init__(self, number: int | str, lots: int) -> None:
        if lots < 1:
            raise LifecycleDefect(number, "ABSENT", "intended", f"an order of {lots} lots")
        self.number = number
        self.lots = lots
        self.requested_lots = lots  # the largest size an amendment under way may give it
        self.filled_lots = 0
        self.most_filled_lots = 0  # before any fill was voided
        self.row = ABSENT_ROW
        self.reason = R_NONE
        self.flags = 0
        self.amends_pending = 0
        self.cancels_pending = 0
        self.venue_ids: list[str] = []
        self.fills: dict[str, int] = {}  # trade id to lots; at most one entry per lot executed
        self.voided: set[str] = set()  # of them, those taken back
        self._seen: dict[str, None] = {}  # ids of events applied, the latest EVENT_IDS of them

    @classmethod
    def adopted(
        cls, number: int | str, lots: int, venue_id: str, *, filled_lots: int = 0, held: bool = False
    ) -> OrderState:
        """An order found at the venue that we did not send."""
        order = cls(number, lots)
        order.apply(EV_ADOPTED_HELD if held else EV_ADOPTED, venue_id=venue_id)
        if not 0 <= filled_lots < lots:
            raise LifecycleDefect(number, "ABSENT", "Adopted", f"{filled_lots} of {lots} lots filled, yet open")
        order.filled_lots = order.most_filled_lots = filled_lots
        return order

    @property
    def status(self) -> Status:
        """Where the order is. An order that has not been intended or adopted yet has none (LifecycleDefect)."""
        if self.row == ABSENT_ROW:
            raise LifecycleDefect(self.number, "ABSENT", "status", "neither intended nor adopted yet")
        return Status(min(self.row, CLOSED))

    @property
    def pending(self) -> int:
        """Requests under way, as bits PENDING_AMEND and PENDING_CANCEL."""
        return (PENDING_AMEND if self.amends_pending else 0) | (PENDING_CANCEL if self.cancels_pending else 0)

    @property
    def is_closed(self) -> bool:
        return CLOSED_ROW <= self.row <= DISCARDED_ROW

    @property
    def leaves_lots(self) -> int:
        """The most lots that may still execute, an amendment under way included; 0 once closed."""
        return 0 if self.is_closed else max(self.lots, self.requested_lots) - self.filled_lots

    @property
    def name(self) -> str:
        """The familiar name of the state."""
        return view_name(self.status, self.pending, self.reason, self.filled_lots, self.row > CLOSED_ROW)

    def apply(
        self,
        trigger: int,
        *,
        lots: int = 0,
        reason: int = R_NONE,
        leaves_lots: int | None = None,
        trade_id: str | None = None,
        venue_id: str | None = None,
        event_id: str | None = None,
    ) -> int:
        """Fold one trigger in and return its effects (bits such as LATE and REPEAT).

        ``lots``: executed (Filled), taken back (FillVoided), new total (Amended, amend sent). ``reason``: why it closed
        or was refused. ``leaves_lots``: what the venue says is left after a fill, where it does. ``trade_id``: the
        execution, applied once. ``venue_id``: the order's id at the venue. ``event_id``: the message's own id, applied
        once. Raises ``LifecycleDefect``.
        """
        if event_id in self._seen or (trade_id is not None and self._is_known_trade(trigger, trade_id)):
            return REPEAT
        kind = self._variant(trigger, lots, leaves_lots)
        entry = FLAT[(self.row * 4 + self.pending) * TRIGGERS + kind] if 0 <= kind < TRIGGERS else -1
        if entry < 0:
            raise self._defect(trigger, "the table does not allow it")
        effects = entry >> 4
        if effects & SAME_REASON and reason != self.reason:
            was, now = REASON_NAMES.get(self.reason, self.reason), REASON_NAMES.get(reason, reason)
            raise self._defect(trigger, f"closed with reason {was!r} before, now {now!r}")
        self._check_lots(trigger, lots, trade_id, leaves_lots)
        self._count(trigger, effects, lots, trade_id)
        was_closed = self.is_closed
        self.row = entry & 15
        if self.is_closed and not was_closed:
            self.reason = R_FILLED if kind in _WHOLE.values() else reason
        self.flags |= effects & (LATE | EXTERNAL)
        if venue_id is not None and venue_id not in self.venue_ids:
            self.venue_ids.append(venue_id)
        if event_id is not None:
            if len(self._seen) >= EVENT_IDS:
                del self._seen[next(iter(self._seen))]
            self._seen[event_id] = None
        return effects

    def _is_known_trade(self, trigger: int, trade_id: str) -> bool:
        if trigger == EV_FILLED:
            return trade_id in self.fills and trade_id not in self.voided
        return trigger == EV_FILL_VOIDED and trade_id in self.voided

    def _variant(self, trigger: int, lots: int, leaves_lots: int | None) -> int:
        """The trigger, or its variant for an order that it leaves with nothing to execute."""
        if self.is_closed and trigger == EV_AMEND_REJECTED:
            return trigger
        if trigger == EV_FILLED:
            if leaves_lots is not None:
                whole = leaves_lots == 0
            else:
                whole = self.filled_lots + lots == max(self.lots, self.requested_lots)
        elif trigger == EV_AMENDED:
            whole = self.filled_lots == lots
        else:
            answered = trigger == EV_AMEND_REJECTED and self.amends_pending == 1
            whole = answered and self.most_filled_lots >= self.lots
        return _WHOLE[trigger] if whole else trigger

    def _check_lots(self, trigger: int, lots: int, trade_id: str | None, leaves_lots: int | None) -> None:
        if trigger == EV_FILLED:
            left = max(self.lots, self.requested_lots) - self.filled_lots
            if not 1 <= lots <= left:
                raise self._defect(trigger, f"{lots} lots, but only {left} were left")
            if leaves_lots is not None and leaves_lots > left - lots:
                raise self._defect(trigger, f"the venue leaves {leaves_lots} lots, we {left - lots}")
        elif trigger == EV_FILL_VOIDED:
            known = self.fills.get(trade_id) if trade_id is not None else None
            if lots < 1 or lots > self.filled_lots or (trade_id is not None and known != lots):
                raise self._defect(trigger, f"takes back {lots} lots of {self.filled_lots} filled, trade {trade_id}")
        elif (trigger in (EV_AMENDED, L_AMEND_SENT) and lots < 1) or (
            trigger == EV_AMENDED and lots < self.filled_lots
        ):
            raise self._defect(trigger, f"new size {lots} lots with {self.filled_lots} filled")

    def _count(self, trigger: int, effects: int, lots: int, trade_id: str | None) -> None:
        if trigger == EV_FILLED:
            self.filled_lots += lots
            self.most_filled_lots = max(self.most_filled_lots, self.filled_lots)
            if trade_id is not None:
                self.fills[trade_id] = lots
                self.voided.discard(trade_id)
        elif trigger == EV_FILL_VOIDED:
            self.filled_lots -= lots
            if trade_id is not None:
                self.voided.add(trade_id)
        elif trigger == EV_AMENDED and not effects & LATE:
            self.lots = lots
        if effects & SET_AMEND:
            self.amends_pending += 1
            self.requested_lots = max(self.requested_lots, lots)
        if effects & SET_CANCEL:
            self.cancels_pending += 1
        if effects & ANSWER_CANCEL:
            self.cancels_pending = max(0, self.cancels_pending - 1)
        if effects & ANSWER_AMEND:
            self.amends_pending = max(0, self.amends_pending - 1)
        if not self.amends_pending:
            self.requested_lots = self.lots

    def _defect(self, trigger: int, why: str) -> LifecycleDefect:
        state = f"{ROW_NAMES[self.row]} ({self.filled_lots}/{self.lots} filled, pending {self.pending})"
        return LifecycleDefect(self.number, state, event_name(trigger), why)

    def __repr__(self) -> str:
        name = "absent" if self.row == ABSENT_ROW else self.name
        return f"<OrderState {self.number} {name} {self.filled_lots}/{self.lots} lots>"
