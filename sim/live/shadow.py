"""The shadow of a live session: the simulator on the same feed and the same orders, predicted against actual.

Theory of operation. Beside the live run stands a second one as paper has it: the simulated venues of the run file,
the same delay, seed and latencies, beginning with the positions and wallets that the accounts have. Its one strategy
decides nothing. What the live run is given (``give``) and what has left it (``mirror``) waits in an inbox and is
worked off in that order, one step of the session at a time, when the event loop has nothing more urgent: a command is
on its way to the venue before the shadow hears of it. Each command is repeated at the instant at which the live
strategy gave it and under the same order number, so that latencies are drawn alike; the shadow's state depends on the
inbox alone, never on when it was worked off.

The two runs may part: an order that the simulator has already ended can no longer be canceled or amended there, which
is counted (``Counts``) like everything else that could not be repeated.

Whatever goes wrong here ends the shadow, is said once, and touches nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from matching.codes import BUY, FLAG_LONG_LEG, FLAG_SHORT_LEG
from recorders.live.windows import Message
from sim.assembly import Plan
from sim.live.account import take_over
from sim.live.gateway import AMEND, CANCEL, LANE, SUBMIT, Gateway, Leaving
from sim.live.inputs import settle
from sim.live.run import LiveRun
from sim.live.shadow_report import write_ended, write_report
from sim.requests import STP_MODES
from sim.strategy import Order, OrderEvent, Strategy
from venues.orders import AmendRequest, CancelRequest, OrderRequest
from venues.ports import Clock
from venues.trading import AccountState

FOLDER: Final = "shadow"
WAITING_MAX: Final = 1 << 15  # steps and commands that the shadow may be behind
PAIRS_MAX: Final = 1 << 14
LATENCIES: Final = 4_096
SIDES: Final = {FLAG_LONG_LEG: "long", FLAG_SHORT_LEG: "short"}
STP_WORDS: Final = {mode: word for word, mode in STP_MODES.items()}
Given = list[tuple[list[Message], list[Message]]]  # of each market: the client's, the venue's
Tell = Callable[[str, str], None]


class Step(NamedTuple):
    """What the live run was given before a step to ``stamp``."""

    stamp: int
    complete_ns: int
    given: Given
    is_end: bool


class Command(NamedTuple):
    """Requests that left as one, given at ``sent_ns``; ``orders`` are the live run's, of new orders."""

    sent_ns: int
    kind: int
    requests: list[Any]
    orders: list[Order | None]
    is_batch: bool


@dataclass(slots=True)
class Counts:
    """Of what left: repeated, and what could not be, because the order had ended here or was busy."""

    orders: int = 0
    cancels: int = 0
    amends: int = 0
    settings: int = 0
    ended_sooner: int = 0
    busy: int = 0


@dataclass(slots=True)
class Outcomes:
    """Orders that have ended on both sides."""

    ended: int = 0
    filled_both: int = 0
    filled_live_only: int = 0
    filled_shadow_only: int = 0
    lots_both: int = 0
    worse_ticks_lots: float = 0.0  # how much worse live executed than predicted, in ticks, times lots

    def add(self, live: Order, predicted: Order) -> None:
        """One order more."""
        self.ended += 1
        if live.filled_lots and predicted.filled_lots:
            self.filled_both += 1
            lots = min(live.filled_lots, predicted.filled_lots)
            apart = (live.average_ticks or 0.0) - (predicted.average_ticks or 0.0)
            self.lots_both += lots
            self.worse_ticks_lots += lots * (apart if live.side == BUY else -apart)
        elif live.filled_lots:
            self.filled_live_only += 1
        elif predicted.filled_lots:
            self.filled_shadow_only += 1


class Mirror(Strategy):
    """Decides nothing; knows the open orders by their numbers."""

    def __init__(self) -> None:
        self.open: dict[int, Order] = {}

    def on_order(self, order: Order, event: OrderEvent) -> None:
        """Closed orders are forgotten."""
        if order.is_closed:
            self.open.pop(order.number, None)


class Shadow:
    """One for a live session. ``tell(level, text)`` says something to a person, ``soon`` calls back when there is time
    (``call_soon`` of the event loop)."""

    def __init__(
        self, run: LiveRun, live: LiveRun, gateway: Gateway, tell: Tell, soon: Callable[[Callable[[], None]], object]
    ) -> None:
        self.run = run
        self.counts = Counts()
        self.outcomes = Outcomes()
        self.why = ""  # it has ended, and this is why
        self._live, self._gateway = live, gateway
        self._tell, self._soon = tell, soon
        (mirror,) = run.strategies
        assert isinstance(mirror, Mirror)
        self._mirror = mirror
        self._context = run.contexts[LANE]
        self._inbox: deque[Step | Command] = deque(maxlen=WAITING_MAX + 1)
        self._is_called = False
        self._has_begun = False
        self._numbered = 0
        self._pairs: dict[int, tuple[Order, Order]] = {}
        self._actual_ns: deque[int] = deque(maxlen=LATENCIES)
        self._predicted_ns: deque[int] = deque(maxlen=LATENCIES)

    # -- what the live run is given and what leaves it

    def give(self, stamp: int, complete_ns: int, given: Given, is_end: bool = False) -> None:
        """The live run is about to step to ``stamp`` with these messages; at the end, with all that is left."""
        self._put(Step(stamp, complete_ns, given, is_end))

    def mirror(self, leaving: list[Leaving]) -> None:
        """These commands have left."""
        if self.why:
            return
        try:
            for command in self._commands(leaving):
                self._put(command)
        except Exception as error:
            self._fail(error)

    def _commands(self, leaving: list[Leaving]) -> list[Command]:
        """Single commands and batches with the instants of their decision: that of a new order is known, another was
        made no later than the next new order, or now."""
        made: list[Command] = []
        sent_ns = self._live.core.now
        end = len(leaving)
        while end:
            kind, venue, batch, _ = leaving[end - 1]
            at = end - 1
            while batch and at and leaving[at - 1][:3] == (kind, venue, batch):
                at -= 1
            requests = [one[3] for one in leaving[at:end]]
            orders = [self._live_order(request.order_no) for request in requests] if kind == SUBMIT else []
            sent_ns = min([sent_ns, *(order.sent_ns for order in orders if order is not None)])
            made.append(Command(sent_ns, kind, requests, orders, bool(batch)))
            end = at
        return made[::-1]

    def _live_order(self, number: int) -> Order | None:
        known = self._gateway.orders.get(number)
        return None if known is None else self._live.contexts[LANE].order_in(known.slot)

    def _put(self, item: Step | Command) -> None:
        if self.why:
            return
        self._inbox.append(item)
        if len(self._inbox) > WAITING_MAX:
            self._end(f"it is {WAITING_MAX} steps behind: the machine does not keep up")
        elif not self._is_called:
            self._is_called = True
            self._soon(self._called)

    # -- working it off

    def _called(self) -> None:
        self._is_called = False
        if self.work() and not self._is_called:
            self._is_called = True
            self._soon(self._called)

    def work(self) -> bool:
        """One step, with the commands that left after it. Returns whether there is more."""
        if self.why or not self._inbox:
            return False
        try:
            self._step()
        except Exception as error:
            self._fail(error)
        return bool(self._inbox)

    def _step(self) -> None:
        core, stamp = self.run.core, self.run.core.now
        if isinstance(self._inbox[0], Step):
            step = self._inbox.popleft()
            assert isinstance(step, Step)
            stamp = step.stamp
            self._feed(step)
            if not self._has_begun:
                self._has_begun = True
                self.run.start()
        while self._inbox and isinstance(self._inbox[0], Command):
            command = self._inbox.popleft()
            assert isinstance(command, Command)
            self._context.at(max(command.sent_ns, core.now), partial(self._repeat, command))
        self.run.loop.step(stamp)

    def _feed(self, step: Step) -> None:
        core, sources = self.run.core, self.run.sources
        if step.is_end:
            core.end_live()
        for m, (client, events) in enumerate(step.given):
            sources[m].watch_messages(client)
            core.feed(m, client, events, step.complete_ns)

    # -- commands

    def _repeat(self, command: Command) -> None:
        core = self.run.core
        if command.is_batch:
            core.open_batch()
        try:
            for place, request in enumerate(command.requests):
                if command.kind == SUBMIT:
                    self._submit(request, command.orders[place])
                elif command.kind == CANCEL:
                    self._cancel(request)
                elif command.kind == AMEND:
                    self._amend(request)
                else:
                    core.change_setting(LANE, request.instrument, request.setting, request.value)
                    self.counts.settings += 1
        finally:
            if command.is_batch:
                core.close_batch()

    def _submit(self, request: OrderRequest, live: Order | None) -> None:
        context = self._context
        while self._numbered < request.order_no - 1:  # the live run's limits kept these from leaving
            context.defer(True)
            context.submit(request.instrument, request.side, 0, 1)
            context.defer(False)
            self._numbered += 1
        order = context.submit(
            request.instrument, request.side, request.ticks, request.lots, request.tif, request.type,
            request.reduce_only, trigger=request.trigger, expires_ns=request.expires_ns,
            stp=None if request.stp is None else STP_WORDS[request.stp], position_side=SIDES.get(request.leg),
            close_position=request.close_position, client_id=request.client_id,
        )  # fmt: skip
        self._numbered += 1
        self.counts.orders += 1
        self._mirror.open[order.number] = order
        if live is not None:
            self._pairs[order.number] = (live, order)
            if len(self._pairs) > PAIRS_MAX:
                self._count(next(iter(self._pairs)))

    def _cancel(self, request: CancelRequest) -> None:
        order = self._order(request.order_no)
        if order is not None and self._went(self._context.cancel(order)):
            self.counts.cancels += 1

    def _amend(self, request: AmendRequest) -> None:
        order = self._order(request.order_no)
        if order is not None and self._went(
            self._context.amend(order, request.ticks, request.lots, request.trigger_ticks)
        ):
            self.counts.amends += 1

    def _order(self, number: int) -> Order | None:
        order = self._mirror.open.get(number)
        if order is None or order.is_closed:
            self.counts.ended_sooner += 1
            return None
        return order

    def _went(self, is_sent: bool) -> bool:
        self.counts.busy += not is_sent
        return is_sent

    # -- the end

    def finish(self) -> None:
        """The live run has come to its end: work off what is left."""
        while self.work():
            pass
        if self.why:
            return
        try:
            self.run.loop.finish()
        except Exception as error:
            self._fail(error)

    def report(self, folder: Path) -> dict[str, Any]:
        """The live run's folder is written: write the shadow's into it and compare them. Returns what the summary says.
        ``shadow.json`` is there in any case."""
        self._tell = _nobody  # the log is closed
        counts = asdict(self.counts)
        if not self.why:
            try:
                settle(self.run.plan, self.run.core.now)
                self.run.close()
                self.run.finish(False)
                return write_report(folder, self.run.folder, counts, self._resolution_ns())
            except Exception as error:
                self.why = f"{type(error).__name__}: {error}"
        try:
            return write_ended(folder, counts, self.why)
        except OSError as error:
            return {"ended": f"{self.why}; {error}", "counts": counts}

    def _resolution_ns(self) -> int:
        """What times on the venues' private wires are cut to: two that are closer can show that far apart."""
        return max(venue.card.time_resolution_ns.value for venue in self.run.plan.venues)

    def abandon(self) -> None:
        """The live session has failed: there is nothing to compare with."""
        if not self.why:
            self._end("the live session failed")

    def _fail(self, error: Exception) -> None:
        self._end(f"{type(error).__name__}: {error}")

    def _end(self, why: str) -> None:
        self.why = why
        self._inbox.clear()
        self._pairs.clear()
        try:
            self.run.fail(RuntimeError(f"the shadow has ended: {why}"))
        except Exception as error:  # the disk, say: the live session has its own way of finding out
            self.why = f"{why}; its folder could not be finished: {type(error).__name__}"
        self._tell("warning", f"the shadow has ended: {self.why}"[:500])

    # -- figures while it runs

    def status(self) -> dict[str, Any]:
        """Figures so far, for the view and the status line."""
        found = {"ended": self.why or None, "behind": len(self._inbox), **asdict(self.counts)}
        if not self.why and self._has_begun:
            try:
                found |= self._figures()
            except Exception as error:
                self._fail(error)
        return found

    def _figures(self) -> dict[str, Any]:
        for number in [
            number
            for number, (live, predicted) in self._pairs.items()
            if live.is_closed and predicted.is_closed
        ]:  # fmt: skip
            self._count(number)
        outcomes = self.outcomes
        live_e8, predicted_e8 = self._live.gained_e8(), self.run.gained_e8()
        return {
            "compared": outcomes.ended,
            "filled_both": outcomes.filled_both,
            "filled_live_only": outcomes.filled_live_only,
            "filled_shadow_only": outcomes.filled_shadow_only,
            "worse_ticks": round(outcomes.worse_ticks_lots / outcomes.lots_both, 6) if outcomes.lots_both else None,
            "latency_actual_ms": _median_ms(self._actual_ns),
            "latency_predicted_ms": _median_ms(self._predicted_ns),
            "profit_difference_e8": {asset: gained - predicted_e8[asset] for asset, gained in live_e8.items()},
        }

    def _count(self, number: int) -> None:
        live, predicted = self._pairs.pop(number)
        self.outcomes.add(live, predicted)
        for order, found in ((live, self._actual_ns), (predicted, self._predicted_ns)):
            if order.acked_ns:
                found.append(order.acked_ns - order.sent_ns)


def _nobody(level: str, text: str) -> None:
    """Hears nothing."""


def _median_ms(values: deque[int]) -> float | None:
    found = sorted(values)
    return round(found[len(found) // 2] / 1e6, 3) if found else None


def shadow_of(
    live: LiveRun, plan: Plan, accounts: Mapping[int, AccountState], gateway: Gateway, clock: Clock, tell: Tell,
    soon: Callable[[Callable[[], None]], object],
) -> Shadow:  # fmt: skip
    """The shadow of a live run that is about to begin. ``plan``: the live run's once more, the shadow's own."""
    for m, market in enumerate(plan.markets):
        market.late = live.plan.markets[m].late
    plan.config = live.plan.config.model_copy(update={"risk": None, "state": None})  # live has asked its limits
    folder = live.folder / FOLDER
    folder.mkdir()
    run = LiveRun(plan, [Mirror()], [f"{live.names[0]} (shadow)"], folder, clock, accounts, simulated=True)
    run.about |= {key: live.about[key] for key in ("recording", "delay_ns", "offset_ns")} | {"mode": "shadow"}
    run.core.set_live()
    for place, state in accounts.items():
        take_over(run, place, state)
    shadow = Shadow(run, live, gateway, tell, soon)
    gateway.mirror = shadow.mirror
    return shadow
