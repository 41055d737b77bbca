"""The Hyperliquid trading session under whatever the wire does: in the end every order is known as the venue knows it.

The rules submit, amend and cancel, let the venue execute and cancel, and deliver messages in any order between channels
(each channel keeps its own), twice, late or never, over connections that break. Every event is folded into its order's
lifecycle, which refuses what contradicts. When the wire is whole again, orders and fills must agree with the venue's.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from matching import codes
from tests.venues.hyperliquid_scripted import Order, Wired
from venues import lifecycle

ENDS = ("canceled", "marginCanceled", "selfTradeCanceled", "liquidatedCanceled", "scheduledCancel")
TIFS = (codes.GTC, codes.GTC, codes.IOC, codes.GTX)
ANY = st.integers(0, 1 << 16)


class TradingMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.w = Wired().start()
        self.orders = 0
        self.matched = 0
        self.w.venue.match = lambda order: min(order.left, self.matched)

    # -- the gateway

    @rule(tif=st.sampled_from(TIFS), lots=st.integers(1, 9), count=st.integers(1, 3), matched=st.integers(0, 9))
    def submit(self, tif: int, lots: int, count: int, matched: int) -> None:
        self.matched = matched * 100
        batch = [self.w.order(self.orders + n, tif=tif, lots=lots * 100) for n in range(1, count + 1)]
        self.orders += count
        self.w.submit(*batch)

    @precondition(lambda self: self.orders)
    @rule(which=ANY)
    def cancel(self, which: int) -> None:
        self.w.cancel(1 + which % self.orders)

    @precondition(lambda self: self.orders)
    @rule(which=ANY, ticks=st.integers(590_000, 599_000), lots=st.integers(1, 12))
    def amend(self, which: int, ticks: int, lots: int) -> None:
        number = 1 + which % self.orders
        if self.w.states[number].status in (lifecycle.SENT, lifecycle.OPEN):
            self.w.amend(number, ticks, lots * 100)

    # -- the venue

    @rule(which=ANY, lots=st.integers(1, 9))
    def fill(self, which: int, lots: int) -> None:
        order = self._an_open_one(which)
        if order is not None:
            self.w.venue.fill(order, min(order.left, lots * 100))
            self.w.pushed()

    @rule(which=ANY, status=st.sampled_from(ENDS))
    def end(self, which: int, status: str) -> None:
        order = self._an_open_one(which)
        if order is not None:
            self.w.venue.close(order, status)
            self.w.pushed()

    def _an_open_one(self, which: int) -> Order | None:
        found = self.w.venue.open()
        return found[which % len(found)] if found else None

    # -- the wire

    def _heads(self) -> list[int]:
        """The first of each channel, and all that travels by REST."""
        heads: dict[Any, int] = {}
        for at, (kind, what) in enumerate(self.w.pending):
            heads.setdefault(what["channel"] if kind == "frame" else at if kind != "action" else "action", at)
        return list(heads.values())

    @rule(which=ANY, lose_answer=st.booleans())
    def deliver(self, which: int, lose_answer: bool) -> None:
        heads = self._heads()
        if heads:
            self.w.arrive(heads[which % len(heads)], lose_answer=lose_answer)

    @rule()
    def deliver_all(self) -> None:
        self.w.run()

    @rule(which=ANY)
    def lose(self, which: int) -> None:
        if self.w.pending:
            at = which % len(self.w.pending)
            if self.w.pending[at][0] == "action":
                del self.w.pending[at]

    @rule(which=ANY)
    def repeat(self, which: int) -> None:
        frames = [one for one in self.w.pending if one[0] == "frame"]
        if frames:
            self.w.pending.append(frames[which % len(frames)])

    @rule()
    def disconnect(self) -> None:
        self.w.disconnect()
        self.w.collect()

    @precondition(lambda self: not self.w.is_open)
    @rule()
    def connect(self) -> None:
        self.w.connect()
        self.w.collect()

    @rule(ms=st.sampled_from((100, 1000, 5000, 20_000, 61_000)))
    def time(self, ms: int) -> None:
        self.w.tick(ms)

    # -- the end

    def teardown(self) -> None:
        if not hasattr(self, "w"):
            return
        w = self.w
        if not w.is_open:
            w.connect()
        w.settle(260)
        assert w.session.is_ready, w.remarks
        for number, state in w.states.items():
            self._agrees(number, state)
        assert not w.session.account.inquiries, w.remarks
        told = [event.trade_id for event in w.events if type(event).__name__ == "Filled"]
        assert len(told) == len(set(told)) == len(w.venue.fills)

    def _agrees(self, number: int, state: lifecycle.OrderState) -> None:
        track = self.w.session.account.ledger.get(number)
        cloid = track.client_id if track else self.w.session.account.ledger.ids.hex128(number)
        mine = [order for order in self.w.venue.orders.values() if order.cloid == cloid]
        executed = sum(order.lots - order.left for order in mine)
        seen = f"order {number}: {state!r}, at the venue {mine}, told {self.w.of(number)}"
        assert state.filled_lots == executed, seen
        assert state.is_closed == (not any(order.status == "open" for order in mine)), seen
        if not state.is_closed:
            assert state.status == lifecycle.OPEN, seen
            assert state.lots == executed + mine[-1].left, seen


TestTrading = TradingMachine.TestCase
TestTrading.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
