"""A Hypothesis machine: a venue that executes, loses, delays, repeats and disorders, and our view of its orders.

The venue model below knows nothing of the transition table: it keeps its own orders with plain attributes. Between it
and us lie three channels: requests (each executed now, later or never), replies (each delivered once, or lost), and
two topics of the private stream, orders and executions. A topic keeps its order but neither waits for the other, and
what was delivered may be delivered again.

Held after every step, for every order:

* exactly one state: not sent, UNKNOWN, open, or closed with one reason that never changes again;
* UNKNOWN was left only by something that the venue said;
* filled lots are the sum of the venue's executions that reached us, each once, and never exceed the order's lots.

And once everything under way has been delivered, and the UNKNOWN ones queried: our view equals the venue's, order by
order, and nothing is UNKNOWN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from matching import codes
from venues import lifecycle
from venues.lifecycle import OrderState

Message = tuple[int, dict[str, Any]]
ORDERS_MAX = 2  # more would only spread the same steps thinner: orders do not touch each other


@dataclass
class VenueOrder:
    """An order as the venue has it."""

    lots: int
    filled: dict[str, int] = field(default_factory=dict)
    reason: int | None = None  # why it closed
    held: bool = False

    @property
    def filled_lots(self) -> int:
        return sum(self.filled.values())

    @property
    def is_open(self) -> bool:
        return self.reason is None


@dataclass
class Ours:
    """An order of ours with its channels."""

    state: OrderState
    requests: list[tuple[str, int]] = field(default_factory=list)  # (kind, lots) on their way to the venue
    topics: dict[str, list[Message]] = field(default_factory=lambda: {"orders": [], "executions": []})
    replies: list[Message] = field(default_factory=list)
    delivered: list[Message] = field(default_factory=list)
    trades: dict[str, int] = field(default_factory=dict)  # executions that reached us
    reached_venue: bool = False
    submit_lost: bool = False
    first_reason: int | None = None


class LifecycleMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.ours: dict[int, Ours] = {}
        self.venue: dict[int, VenueOrder] = {}
        self.count = 0

    # -- helpers

    def _pick(self, data: st.DataObject, wanted: Callable[[int, Ours], bool]) -> int:
        return data.draw(st.sampled_from([n for n, order in self.ours.items() if wanted(n, order)]), label="order")

    def _any(self, wanted: Callable[[int, Ours], bool]) -> bool:
        return any(wanted(n, order) for n, order in self.ours.items())

    def _id(self) -> str:
        self.count += 1
        return str(self.count)

    def _say(self, number: int, topic: str, trigger: int, **arguments: Any) -> None:
        self.ours[number].topics[topic].append((trigger, arguments | {"event_id": self._id()}))

    def _hear(self, number: int, message: Message) -> None:
        """Apply a message of the venue's to our view."""
        order = self.ours[number]
        trigger, arguments = message
        order.state.apply(trigger, **arguments)
        trade_id = arguments.get("trade_id")
        if trigger == codes.EV_FILLED and trade_id is not None:
            order.trades[trade_id] = arguments["lots"]
        elif trigger == lifecycle.EV_FILL_VOIDED:
            order.trades.pop(arguments["trade_id"], None)

    def _do(self, number: int, trigger: int, **arguments: Any) -> None:
        """Something of ours, which must never resolve an unknown outcome."""
        state = self.ours[number].state
        was_unknown = state.row == lifecycle.UNKNOWN
        state.apply(trigger, **arguments)
        assert not was_unknown or state.row == lifecycle.UNKNOWN

    # -- what we do

    @rule(lots=st.integers(1, 6))
    @precondition(lambda self: len(self.ours) < ORDERS_MAX)
    def intend(self, lots: int) -> None:
        number = len(self.ours) + 1
        self.ours[number] = Ours(OrderState(number, lots))
        self._do(number, lifecycle.L_INTENDED)

    @rule(data=st.data(), fate=st.sampled_from(["sent", "sent", "sent", "discarded", "crash, sent", "crash, not sent"]))
    @precondition(lambda self: self._any(lambda n, o: o.state.row == lifecycle.INTENT))
    def send(self, data: st.DataObject, fate: str) -> None:
        number = self._pick(data, lambda n, o: o.state.row == lifecycle.INTENT)
        order = self.ours[number]
        if fate == "discarded":
            self._do(number, lifecycle.L_DISCARDED)
            return
        self._do(number, lifecycle.L_SENT if fate == "sent" else lifecycle.L_OUTCOME_LOST)
        if fate == "crash, not sent":
            order.submit_lost = True
        else:
            order.requests.append(("submit", order.state.lots))

    @rule(data=st.data())
    @precondition(lambda self: self._any(lambda n, o: o.state.row in (1, 2, 3, 4)))
    def lose_patience(self, data: st.DataObject) -> None:
        """Time passes without an answer: to the submission, or to a later request."""
        number = self._pick(data, lambda n, o: o.state.row in (1, 2, 3, 4))
        pending = self.ours[number].state.pending
        self._do(number, lifecycle.L_REQUEST_LOST if pending else lifecycle.L_OUTCOME_LOST)
        assert self.ours[number].state.pending == pending

    @rule(data=st.data())
    @precondition(lambda self: self._any(lambda n, o: o.state.row in (1, 2, 3, 4)))
    def cancel(self, data: st.DataObject) -> None:
        number = self._pick(data, lambda n, o: o.state.row in (1, 2, 3, 4))
        self._do(number, lifecycle.L_CANCEL_SENT)
        self.ours[number].requests.append(("cancel", 0))

    @rule(data=st.data(), lots=st.integers(1, 8))
    @precondition(lambda self: self._any(lambda n, o: o.state.row in (1, 3, 4)))
    def amend(self, data: st.DataObject, lots: int) -> None:
        number = self._pick(data, lambda n, o: o.state.row in (1, 3, 4))
        self._do(number, lifecycle.L_AMEND_SENT, lots=lots)
        self.ours[number].requests.append(("amend", lots))

    @rule()
    @precondition(lambda self: len(self.ours) == ORDERS_MAX and all(o.state.is_closed for o in self.ours.values()))
    def wait(self) -> None:
        """Nothing happens (so that there is always a rule left to run)."""

    # -- what the venue does

    @rule(data=st.data(), answer=st.sampled_from(["rest", "rest", "rest", "fill", "hold", "refuse", "lose"]))
    @precondition(lambda self: self._any(lambda n, o: bool(o.requests)))
    def execute(self, data: st.DataObject, answer: str) -> None:
        """The venue gets the oldest request of an order, or the network loses it."""
        number = self._pick(data, lambda n, o: bool(o.requests))
        kind, lots = self.ours[number].requests.pop(0)
        getattr(self, f"_execute_{kind}")(number, lots, answer)

    def _execute_submit(self, number: int, lots: int, answer: str) -> None:
        order = self.ours[number]
        if answer == "lose":
            order.submit_lost = True
        elif answer == "refuse":
            order.reached_venue = True
            self.venue[number] = VenueOrder(lots, reason=codes.R_MARGIN)
            order.replies.append((codes.EV_REJECTED, {"reason": codes.R_MARGIN}))
        else:
            order.reached_venue = True
            self.venue[number] = VenueOrder(lots, held=answer == "hold")
            kind = codes.EV_HELD if answer == "hold" else codes.EV_ACCEPTED
            order.replies.append((kind, {"venue_id": f"v{number}"}))
            self._say(number, "orders", kind, venue_id=f"v{number}")
            if answer == "fill":
                self._fill(number, lots)

    def _execute_cancel(self, number: int, lots: int, answer: str) -> None:
        order, known = self.ours[number], self.venue.get(number)
        if answer == "lose":
            return
        if known is None or not known.is_open:
            order.replies.append((codes.EV_CANCEL_REJECTED, {"reason": codes.R_UNKNOWN_ORDER}))
        elif answer == "refuse":
            order.replies.append((codes.EV_CANCEL_REJECTED, {"reason": codes.R_VENUE}))
        else:
            self._close(number, codes.EV_CANCELED, codes.R_USER)
            order.replies.append((codes.EV_CANCELED, {"reason": codes.R_USER}))

    def _execute_amend(self, number: int, lots: int, answer: str) -> None:
        order, known = self.ours[number], self.venue.get(number)
        if answer == "lose":
            return
        if known is None or not known.is_open or answer == "refuse":
            order.replies.append((codes.EV_AMEND_REJECTED, {"reason": codes.R_VENUE}))
        elif lots <= known.filled_lots:
            self._close(number, codes.EV_CANCELED, codes.R_USER)
        else:
            known.lots = lots
            self._say(number, "orders", codes.EV_AMENDED, lots=lots, venue_id=self._id())

    def _close(self, number: int, trigger: int, reason: int) -> None:
        self.venue[number].reason = reason
        self._say(number, "orders", trigger, reason=reason)

    def _fill(self, number: int, lots: int) -> None:
        order = self.venue[number]
        trade_id = self._id()
        order.filled[trade_id] = lots
        self._say(number, "executions", codes.EV_FILLED, lots=lots, trade_id=trade_id)
        if order.filled_lots == order.lots:
            order.reason = codes.R_FILLED

    def _resting(self, number: int) -> bool:
        order = self.venue.get(number)
        return order is not None and order.is_open

    @rule(data=st.data(), lots=st.integers(1, 6))
    @precondition(lambda self: self._any(lambda n, o: self._resting(n)))
    def trade(self, data: st.DataObject, lots: int) -> None:
        number = self._pick(data, lambda n, o: self._resting(n))
        order = self.venue[number]
        if order.held:
            order.held = False
            self._say(number, "orders", codes.EV_TRIGGERED)
        self._fill(number, min(lots, order.lots - order.filled_lots))

    @rule(data=st.data(), reason=st.sampled_from([codes.R_LIQUIDATION, codes.R_STP, codes.R_EXPIRED]))
    @precondition(lambda self: self._any(lambda n, o: self._resting(n)))
    def expire(self, data: st.DataObject, reason: int) -> None:
        self._close(self._pick(data, lambda n, o: self._resting(n)), codes.EV_EXPIRED, reason)

    def _voidable(self, number: int) -> bool:
        """A trade is busted after its order has closed, and after our view has caught up with its amendments."""
        order = self.venue.get(number)
        behind = any(trigger == codes.EV_AMENDED for trigger, _ in self.ours[number].topics["orders"])
        return order is not None and not order.is_open and bool(order.filled) and not behind

    @rule(data=st.data())
    @precondition(lambda self: self._any(lambda n, o: self._voidable(n)))
    def void(self, data: st.DataObject) -> None:
        number = self._pick(data, lambda n, o: self._voidable(n))
        trade_id = data.draw(st.sampled_from(sorted(self.venue[number].filled)))
        lots = self.venue[number].filled.pop(trade_id)
        self._say(number, "executions", lifecycle.EV_FILL_VOIDED, lots=lots, trade_id=trade_id)

    # -- the way back

    @rule(data=st.data(), topic=st.sampled_from(["orders", "executions"]), count=st.integers(1, 3))
    @precondition(lambda self: self._any(lambda n, o: any(o.topics.values())))
    def deliver(self, data: st.DataObject, topic: str, count: int) -> None:
        number = self._pick(data, lambda n, o: any(o.topics.values()))
        order = self.ours[number]
        queue = order.topics[topic] or next(q for q in order.topics.values() if q)
        for message in queue[:count]:
            self._hear(number, message)
            order.delivered.append(message)
        del queue[:count]

    @rule(data=st.data())
    @precondition(lambda self: self._any(lambda n, o: bool(o.delivered)))
    def deliver_again(self, data: st.DataObject) -> None:
        number = self._pick(data, lambda n, o: bool(o.delivered))
        order = self.ours[number]
        trigger, arguments = data.draw(st.sampled_from(order.delivered))
        if trigger in (codes.EV_ACCEPTED, codes.EV_TRIGGERED, codes.EV_CANCELED) and data.draw(st.booleans()):
            arguments = {name: value for name, value in arguments.items() if name != "event_id"}
        before = (order.state.row, order.state.filled_lots, order.state.lots, order.state.reason)
        assert order.state.apply(trigger, **arguments) & lifecycle.REPEAT
        assert before == (order.state.row, order.state.filled_lots, order.state.lots, order.state.reason)

    @rule(data=st.data(), lost=st.booleans())
    @precondition(lambda self: self._any(lambda n, o: bool(o.replies)))
    def reply(self, data: st.DataObject, lost: bool) -> None:
        number = self._pick(data, lambda n, o: bool(o.replies))
        message = self.ours[number].replies.pop(0)
        if lost:
            self._do(number, lifecycle.L_REQUEST_LOST)
        else:
            self._hear(number, message)

    @rule(data=st.data())
    @precondition(lambda self: self._any(lambda n, o: o.state.row == lifecycle.UNKNOWN))
    def query(self, data: st.DataObject) -> None:
        self._query(self._pick(data, lambda n, o: o.state.row == lifecycle.UNKNOWN))

    def _query(self, number: int) -> None:
        """Ask for an UNKNOWN order. While its submission may still arrive, the answer proves nothing."""
        order = self.ours[number]
        if order.submit_lost:
            self._hear(number, (lifecycle.EV_NOT_FOUND, {}))
        elif order.reached_venue:
            known = self.venue[number]
            if known.reason == codes.R_MARGIN:
                self._hear(number, (codes.EV_REJECTED, {"reason": codes.R_MARGIN}))
            else:
                self._hear(number, (codes.EV_ACCEPTED, {"venue_id": f"v{number}"}))

    # -- what must hold

    @initialize()
    def start(self) -> None:
        self.intend(3)

    @invariant()
    def filled_is_the_sum_of_what_reached_us(self) -> None:
        for order in self.ours.values():
            assert order.state.filled_lots == sum(order.trades.values())
            assert 0 <= order.state.filled_lots <= max(order.state.lots, order.state.requested_lots)

    @invariant()
    def a_reason_is_given_once(self) -> None:
        for order in self.ours.values():
            if not order.state.is_closed:
                assert order.state.reason == codes.R_NONE
                assert order.first_reason is None
            elif order.first_reason is None:
                order.first_reason = order.state.reason
            assert order.first_reason in (None, order.state.reason)

    @invariant()
    def our_words_are_the_tables(self) -> None:
        for order in self.ours.values():
            assert order.state.name
            assert order.state.leaves_lots >= 0

    def teardown(self) -> None:
        for number, order in self.ours.items():
            while order.requests:
                kind, lots = order.requests.pop(0)
                getattr(self, f"_execute_{kind}")(number, lots, "rest")
            while order.replies:
                self._hear(number, order.replies.pop(0))
            for queue in order.topics.values():
                while queue:
                    self._hear(number, queue.pop(0))
            if order.state.row == lifecycle.UNKNOWN:
                self._query(number)
            if order.state.row == lifecycle.SENT:  # the reply was lost, and the stream says nothing of refusals
                self._do(number, lifecycle.L_OUTCOME_LOST)
                self._query(number)
            for _ in range(0 if order.state.is_closed else order.state.amends_pending):  # lost; asked for, not made
                self._hear(number, (codes.EV_AMEND_REJECTED, {"reason": codes.R_VENUE}))
            self._compare(order, self.venue.get(number))

    def _compare(self, order: Ours, known: VenueOrder | None) -> None:
        state = order.state
        assert state.row != lifecycle.UNKNOWN
        if known is None:
            assert state.row in (lifecycle.INTENT, lifecycle.REFUSED_ROW, lifecycle.DISCARDED_ROW)
            assert state.filled_lots == 0
            return
        assert state.filled_lots == known.filled_lots
        assert state.is_closed == (not known.is_open)
        if known.is_open:
            assert state.lots == known.lots
        else:
            assert state.reason == known.reason


LifecycleMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestLifecycleMachine = LifecycleMachine.TestCase
