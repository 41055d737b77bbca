"""Short market scenes written by hand, played on the reference and on the kernel at once.

A scene is a feed and commands at whole milliseconds on one market (times start at 0, latency 0 unless given). ``play``
runs it on both engines, requires that they agree in everything, and tells what happened in words a trader reads:

    ACCEPTED 5@100 · FILLED 3@100 QUEUE · EXPIRED 2@100 IOC_REMAINDER · AMEND_REJECTED NO_CHANGE
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from matching import codes
from matching.codes import (
    BBO,
    BUY,
    DEPTH,
    FORCE,
    FUNDING,
    GAP,
    GAP_SEQUENCE,
    MARK,
    OFFBOOK,
    SELL,
    SNAPSHOT,
    TRADE,
)
from tests.matching.cases import (
    MS,
    START_NS,
    Case,
    Command,
    Driver,
    LatencySettings,
    MarketSettings,
    Message,
    Row,
    run,
)
from tests.matching.engines import kernel_engine, reference_engine

Levels = dict[int, int]  # ticks -> lots


def _names(prefix: str) -> dict[int, str]:
    return {value: name[len(prefix) :] for name, value in vars(codes).items() if name.startswith(prefix)}


EVENTS, REASONS, CAUSES = _names("EV_"), _names("R_"), _names("CAUSE_")


def words(row: tuple[int, ...]) -> str:
    """One log row (every column but the slot) as a line."""
    event, reason, ticks, lots, cause = row[5], row[6], row[8], row[9], row[14]
    parts = [EVENTS[event]]
    parts += [f"{lots}@{ticks}"] if lots or ticks else []
    parts += [REASONS[reason]] if reason else []
    parts += [CAUSES[cause]] if cause else []
    return " ".join(parts)


@dataclass
class Played:
    """What became of a scene, on both engines alike."""

    log: tuple[tuple[int, ...], ...]
    resting: dict[int, dict[int, tuple[int, ...]]]  # after each ms: lane * 1000 + order_no -> row of resting_orders
    accounts: tuple[tuple[int, ...], ...]

    def order(self, number: int, lane: int = 0) -> list[str]:
        rows = sorted(
            (row for row in self.log if row[0] == lane and row[3] == number), key=lambda row: (row[7], row[4])
        )
        return [words(row) for row in rows]

    def times_ms(self, number: int) -> list[tuple[float, float]]:
        """(venue time, delivery) of the order's events."""
        rows = [row for row in self.log if row[3] == number]
        return [((row[7] - START_NS) / MS, (row[13] - START_NS) / MS) for row in rows]

    def account(self, lane: int = 0) -> list[str]:
        return [words(row) for row in self.log if row[0] == lane and row[3] == 0]

    def column(self, name: str, number: int) -> list[int]:
        from matching.kernel import LOG_COLUMNS

        at = [column for column in LOG_COLUMNS if column != "slot"].index(name)
        return [row[at] for row in self.log if row[3] == number]

    def front(self, number: int, ms: int, lane: int = 0) -> float | None:
        """Lots ahead of a resting order after everything at ``ms``; None: its level is not displayed."""
        micro = self.resting[ms][lane * 1000 + number][6]
        return None if micro == 1 << 62 else micro / 1e6

    def rests(self, number: int, ms: int, lane: int = 0) -> bool:
        return lane * 1000 + number in self.resting[ms]

    @property
    def position(self) -> int:
        return self.accounts[0][1]


@dataclass
class Scene:
    """Builds a case. ``settings`` are those of `MarketSettings`."""

    settings: dict[str, Any] = field(default_factory=dict)
    lanes: int = 1
    entry_ms: int = 0
    response_ms: int = 0
    responses: LatencySettings | None = None  # instead of a constant one
    deposit_e8: int = 0
    messages: list[Message] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    numbers: dict[int, int] = field(default_factory=dict)

    def _message(self, ms: int, kind: int, rows: list[Row], ref: int | None, **more: Any) -> None:
        ts = START_NS + ms * MS
        number = len(self.messages) + 1 if ref is None else ref
        self.messages.append(Message(ts, ts, kind, number, tuple(rows), **more))

    def snapshot(self, ms: int, bids: Levels, asks: Levels, ref: int | None = None) -> None:
        rows = [(BUY, ticks, lots) for ticks, lots in bids.items()]
        self._message(ms, SNAPSHOT, rows + [(SELL, ticks, lots) for ticks, lots in asks.items()], ref)

    def depth(self, ms: int, bids: Levels | None = None, asks: Levels | None = None, ref: int | None = None) -> None:
        rows = [(BUY, ticks, lots) for ticks, lots in (bids or {}).items()]
        self._message(ms, DEPTH, rows + [(SELL, ticks, lots) for ticks, lots in (asks or {}).items()], ref)

    def quote(self, ms: int, bid: Levels, ask: Levels, ref: int | None = None) -> None:
        rows = [(BUY, ticks, lots) for ticks, lots in bid.items()]
        self._message(ms, BBO, rows + [(SELL, ticks, lots) for ticks, lots in ask.items()], ref)

    def sold(self, ms: int, *prints: tuple[int, int]) -> None:
        """Prints (ticks, lots) whose aggressor sold."""
        self._message(ms, TRADE, [(SELL, ticks, lots) for ticks, lots in prints], None)

    def bought(self, ms: int, *prints: tuple[int, int]) -> None:
        self._message(ms, TRADE, [(BUY, ticks, lots) for ticks, lots in prints], None)

    def other_prints(self, ms: int, *prints: tuple[int, int]) -> None:
        """The same print as an insurance fund's and as somebody's forced order."""
        self._message(ms, OFFBOOK, [(SELL, ticks, lots) for ticks, lots in prints], None)
        self._message(ms, FORCE, [(SELL, ticks, lots) for ticks, lots in prints], None)

    def gap(self, ms: int) -> None:
        self._message(ms, GAP, [], None, aux=(GAP_SEQUENCE, 0, 0, 0))

    def mark(self, ms: int, mark_e8: int, rate_e12: int = 0, boundary_ms: int = 0) -> None:
        boundary_ns = START_NS + boundary_ms * MS if boundary_ms else 0
        self._message(ms, MARK, [], None, aux=(mark_e8, mark_e8, rate_e12, boundary_ns))

    def funding(self, ms: int, rate_e12: int, mark_e8: int) -> None:
        self._message(ms, FUNDING, [], None, aux=(rate_e12, mark_e8, START_NS + ms * MS, 0))

    def _submit(self, ms: int, side: int, lots: int, ticks: int, lane: int, **more: Any) -> int:
        self.commands.append(Command(START_NS + ms * MS, lane, "submit", 0, side, ticks, lots, **more))
        self.numbers[lane] = self.numbers.get(lane, 0) + 1
        return self.numbers[lane]

    def buy(self, ms: int, lots: int, ticks: int = 0, lane: int = 0, **more: Any) -> int:
        """Send a buy order; returns its number. ``more``: tif, type, flags."""
        return self._submit(ms, BUY, lots, ticks, lane, **more)

    def sell(self, ms: int, lots: int, ticks: int = 0, lane: int = 0, **more: Any) -> int:
        return self._submit(ms, SELL, lots, ticks, lane, **more)

    def cancel(self, ms: int, rank: int = 0, lane: int = 0) -> None:
        """Cancel the lane's ``rank``-th order of those it knows to be open."""
        self.commands.append(Command(START_NS + ms * MS, lane, "cancel", rank=rank))

    def amend(self, ms: int, lots: int, ticks: int, lane: int = 0) -> None:
        """New total quantity and price of the lane's first open order."""
        self.commands.append(Command(START_NS + ms * MS, lane, "amend", ticks=ticks, lots=lots, rank=8))

    def case(self) -> Case:
        response = self.responses or LatencySettings(values_ns=(self.response_ms * MS,))
        latency = (LatencySettings(values_ns=(self.entry_ms * MS,)), response)
        last = max(message.ts_event for message in self.messages)
        until = max([last, *(command.ts for command in self.commands)]) + (self.entry_ms + self.response_ms) * MS
        closing = Message(until, until, FORCE, 0)  # lets everything under way arrive
        return Case(
            seed=0,
            lanes=self.lanes,
            markets=(MarketSettings(**self.settings),),
            latencies=(latency,),
            feeds=((*self.messages, closing),),
            commands=tuple(sorted(self.commands, key=lambda command: command.ts)),
            masks=((0,),) * self.lanes,
            checkpoint_ns=MS,
            deposit_e8=self.deposit_e8,
        )

    def play(self) -> Played:
        case = self.case()
        expected, found = run(case, reference_engine(case)), run(case, kernel_engine(case))
        assert [words(row) for row in found.log] == [words(row) for row in expected.log]
        assert found == expected
        assert run(replace(case, window_messages=1), kernel_engine(case)) == expected
        at_once = replace(case, checkpoint_ns=3600 * 1000 * MS)  # the kernel runs as far as it can in one go
        assert run(at_once, kernel_engine(at_once)) == run(at_once, reference_engine(at_once))
        return Played(expected.log, _resting_by_ms(case), expected.accounts)


def _resting_by_ms(case: Case) -> dict[int, dict[int, tuple[int, ...]]]:
    engine = kernel_engine(case)
    seen: dict[int, dict[int, tuple[int, ...]]] = {}

    def note() -> str:
        ms = (engine.now - START_NS) // MS
        seen[ms] = {row[0] * 1000 + row[1]: row for row in engine.resting_orders()}
        return ""

    engine.state_hash = note
    Driver(case, engine).play()
    return seen


def book(**settings: object) -> Scene:
    """Bids 99 x 5 and 98 x 5, asks 101 x 5 and 102 x 5."""
    scene = Scene(dict(settings))
    scene.snapshot(0, {99: 5, 98: 5}, {101: 5, 102: 5})
    return scene
