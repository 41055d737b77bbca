"""Whatever is lost, late, twice or out of order on the wire: the gateway's view is legal at every step and ends as the
venue's. Requests may execute or not before their answers vanish; the stream may be shuffled, repeated or cut."""

from __future__ import annotations

from collections import deque
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from matching import codes
from tests.venues.binance_venue import OPEN, Drive, amend, cancel, order
from venues.lifecycle import L_AMEND_SENT, L_CANCEL_SENT, L_INTENDED, L_OUTCOME_LOST, L_REQUEST_LOST, L_SENT, OrderState
from venues.orders import CancelAllRequest, Filled, fold
from venues.session_parts import SECOND, Reply
from venues.trading import AccountState, NotReady, OutcomeLost

UNKNOWN = (503, b"Unknown error, please check your request or try again later.")
OVERLOADED = (503, {"code": -1008, "msg": "Request throttled by system-level protection."})
MARGIN = (400, {"code": -2019, "msg": "Margin is insufficient."})


class Wire(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.drive = Drive(ws=True).start()
        self.drive.hold = True
        self.states: dict[int, OrderState] = {}
        self.trades: set[tuple[int, str | None]] = set()
        self.collect()

    def collect(self) -> None:
        """Carry out what the session wants and fold what it says; the lifecycle's table refuses what is not legal."""
        self.drive.venue.now_ms += 1
        self.drive.mono_ns += 1_000_000
        self.drive.run()
        for event in self.drive.taken():
            assert not isinstance(event, NotReady)
            if isinstance(event, OutcomeLost):
                trigger = L_OUTCOME_LOST if event.what == "submit" else L_REQUEST_LOST
                self.states[event.order_no].apply(trigger)
            elif not isinstance(event, AccountState):
                if isinstance(event, Filled):
                    assert (event.order_no, event.trade_id) not in self.trades
                    self.trades.add((event.order_no, event.trade_id))
                fold(self.states[event.order_no], event)  # type: ignore[arg-type, union-attr]

    def live(self) -> list[int]:
        return [number for number, state in self.states.items() if not state.is_closed]

    # -- commands

    @rule(count=st.integers(1, 6), tif=st.sampled_from((codes.GTC, codes.IOC)))
    @precondition(lambda self: len(self.states) < 12)
    def place(self, count: int, tif: int) -> None:
        requests = []
        for _ in range(count):
            number = len(self.states) + 1
            state = self.states[number] = OrderState(number, 10)
            state.apply(L_INTENDED)
            state.apply(L_SENT)
            requests.append(order(number, tif=tif))
        self.drive.session.submit(requests, self.drive.now)
        self.collect()

    @rule(data=st.data(), ticks=st.integers(499_990, 499_999), lots=st.integers(1, 20))
    @precondition(lambda self: self.live())
    def change(self, data: st.DataObject, ticks: int, lots: int) -> None:
        number = data.draw(st.sampled_from(self.live()))
        state = self.states[number]
        if state.row in (1, 4):  # SENT or OPEN, as a gateway would
            state.apply(L_AMEND_SENT, lots=lots)
            self.drive.session.amend([amend(number, ticks, lots)], self.drive.now)
            self.collect()

    @rule(data=st.data())
    @precondition(lambda self: self.live())
    def take_off(self, data: st.DataObject) -> None:
        numbers = data.draw(st.lists(st.sampled_from(self.live()), min_size=1, max_size=3, unique=True))
        for number in numbers:
            self.states[number].apply(L_CANCEL_SENT)
        self.drive.session.cancel([cancel(number) for number in numbers], self.drive.now)
        self.collect()

    @rule()
    def take_all_off(self) -> None:
        self.drive.session.cancel_all(CancelAllRequest(account=0, instrument=3), self.drive.now)
        self.collect()

    # -- the venue

    def resting(self) -> list[dict[str, Any]]:
        return [found for found in self.drive.venue.orders.values() if found["status"] in OPEN]

    @rule(data=st.data(), lots=st.integers(1, 20))
    @precondition(lambda self: self.resting())
    def fill(self, data: st.DataObject, lots: int) -> None:
        found = data.draw(st.sampled_from(self.resting()))
        left = round((float(found["origQty"]) - float(found["executedQty"])) * 1000)
        self.drive.venue.fill(found["clientOrderId"], min(lots, left))
        self.drive.venue.now_ms += 1

    @rule(data=st.data(), status=st.sampled_from(("CANCELED", "EXPIRED", "EXPIRED_IN_MATCH")))
    @precondition(lambda self: self.resting())
    def end(self, data: st.DataObject, status: str) -> None:
        self.drive.venue.end(data.draw(st.sampled_from(self.resting())), status, {"EXPIRED_IN_MATCH": 1}.get(status, 0))
        self.drive.venue.now_ms += 1

    @rule(answer=st.sampled_from((UNKNOWN, OVERLOADED, MARGIN)), times=st.integers(1, 2),
          what=st.sampled_from(("POST order", "POST batchOrders", "DELETE order", "PUT order", "DELETE batchOrders",
                                "GET order", "GET openOrders", "GET userTrades", "DELETE allOpenOrders")))  # fmt: skip
    def fail(self, answer: tuple[int, Any], times: int, what: str) -> None:
        if answer is not MARGIN or what.startswith("POST"):
            self.drive.venue.refusals.setdefault(what, deque(maxlen=8)).extend([answer] * times)

    # -- the wire

    @rule(data=st.data())
    @precondition(lambda self: self.drive.answers)
    def deliver(self, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(self.drive.answers) - 1))
        self.drive.deliver(self.drive.answers.pop(place))
        self.collect()

    @rule(data=st.data())
    @precondition(lambda self: self.drive.answers)
    def lose(self, data: st.DataObject) -> None:
        who, _ = self.drive.answers.pop(data.draw(st.integers(0, len(self.drive.answers) - 1)))
        if isinstance(who, int):
            self.drive.session.on_reply(who, Reply(0, {}, b"", "connection reset"), self.drive.now)
        self.collect()

    @rule(data=st.data(), again=st.booleans())
    @precondition(lambda self: self.drive.venue.stream)
    def say(self, data: st.DataObject, again: bool) -> None:
        stream = self.drive.venue.stream
        place = data.draw(st.integers(0, min(4, len(stream) - 1)))
        frame = stream[place]
        if not again:
            del stream[place]
        self.drive.session.on_frame(self.drive.user, frame, self.drive.now)
        self.collect()

    @rule()
    @precondition(lambda self: self.drive.user in self.drive.connected)
    def cut_stream(self) -> None:
        self.drive.close(self.drive.user, lose_stream=True)
        self.collect()
        self.drive.open(self.drive.user)
        self.collect()

    @rule()
    def cut_api(self) -> None:
        if self.drive.api in self.drive.connected:
            self.drive.close(self.drive.api)
        else:
            self.drive.open(self.drive.api)
        self.collect()

    @rule(seconds=st.integers(1, 8))
    def wait(self, seconds: int) -> None:
        self.drive.pass_time(seconds * SECOND, SECOND)
        self.collect()

    @invariant()
    def nothing_executes_beyond_its_size(self) -> None:
        for state in self.states.values():
            assert state.filled_lots <= max(state.lots, state.requested_lots)

    # -- the end

    def teardown(self) -> None:
        """The wire heals; in three minutes both sides say the same."""
        self.drive.hold = False
        self.drive.venue.refusals.clear()
        for _ in range(100):
            self.drive.pass_time(2 * SECOND, SECOND)
            self.collect()
        instrument = self.drive.venue.instrument
        for number, state in self.states.items():
            found = self.drive.venue.orders.get(f"run1-{number}")
            if found is None:
                assert state.is_closed and state.filled_lots == 0, (number, state)
                continue
            assert state.filled_lots == instrument.lots_from_str(found["executedQty"]), (number, state, found)
            wanted = {"CANCELED": codes.R_USER, "FILLED": codes.R_FILLED, "EXPIRED_IN_MATCH": codes.R_STP}
            if found["status"] in OPEN:
                assert (state.row, state.pending) == (4, 0), (number, state, found)
                assert state.lots == instrument.lots_from_str(found["origQty"]), (number, state, found)
            else:
                assert state.is_closed, (number, state, found)
                assert state.reason == wanted.get(found["status"], state.reason), (number, state, found)
        assert len(self.trades) == len(self.drive.venue.trades)


TestWire = Wire.TestCase
TestWire.settings = settings(max_examples=60, stateful_step_count=30, deadline=None, derandomize=True)
