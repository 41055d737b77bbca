"""What paper and live need to know before their feed has brought anything, and what is checked as it comes.

A backtest reads its lake before the first event and refuses what is neither recorded nor named. A live feed has no
such past, so an input is one of three: named in the run file and known (brackets, fees, a funding table), announced by
the venue's stream (marks, index, funding rates), or refused. What was announced must come: a mark before the run
begins, and a rate before each funding boundary, or the run ends with the instrument and the boundary.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sim.assembly import MarketPlan, Plan, assemble
from sim.config import FeedConfig, RunConfig
from sim.config_record import RecordConfig
from sim.feeds import Announced, LiveSource, WatchedSource
from sim.marks import interval_of
from venues.errors import InputError
from venues.schedule import boundaries
from venues.sessions import MarketSession, Session

HORIZON_NS: Final = 366 * 86_400 * 10**9  # no session lasts longer
NEVER_NS: Final = (1 << 63) - 1


def check(config: RunConfig, mode: str) -> None:
    """Refuse what cannot be in this mode. Raises ``InputError``."""
    record = config.record or RecordConfig()
    for one in config.instrument:
        where = f"instrument {one.symbol}"
        if one.book == "l3":
            raise InputError("no venue's live stream names every order", source=where, field="book")
        need = {"trades", "quotes" if one.book == "l1" else "depth"} - set(record.streams)
        if need:
            raise InputError(f"{mode} needs {', '.join(sorted(need))}", source="record", field="streams")
        for field, value in (("mark", one.mark), ("index", one.index)):
            if value is not None and value not in ("recorded", "computed", "mid"):
                raise InputError(
                    f"{value} is a table, and tables of prices end where the run begins: leave it out (the venue's "
                    'stream has marks) or name "mid"', source=where, field=field,
                )  # fmt: skip
    if config.data:
        raise InputError(f"tables of signals are for backtests, not for {mode}", source="run file", field="data")
    if config.adl:
        raise InputError(f"injected deleveraging is for backtests, not for {mode}", source="run file", field="adl")
    if mode == "live" and len(config.lanes) > 1:
        raise InputError(
            f"live runs one strategy with one account at each venue, not {len(config.lanes)}", source="run file",
            field="lanes",
        )  # fmt: skip
    if mode == "live" and config.compute is not None:
        raise InputError("in live, computing takes the time it takes", source="run file", field="compute")


def live_plan(
    config: RunConfig, base: Path, sessions: Sequence[MarketSession], first_ns: int, delay_ns: int = 0
) -> Plan:
    """The run from ``first_ns`` on. Raises ``InputError`` for what is neither known, named nor in the stream."""
    streams = set((config.record or RecordConfig()).streams)
    offers = {session.venue: set(getattr(session, "offers", Session.offers)) & streams for session in sessions}
    feeds: dict[str | int, LiveSource] = {}
    from venues import card

    for place, one in enumerate(config.instrument):
        venue = config.venue[config.venue_of(one)]
        has_marks = "marks" in offers.get(card(venue.card or venue.name).venue, ())
        announced = Announced(marks=has_marks, index=has_marks, first_ns=first_ns)
        feeds[place] = LiveSource(first_ns, first_ns + HORIZON_NS, announced)
    without_span = config.model_copy(update={"feed": FeedConfig()})
    plan = assemble(without_span, base, feeds)
    plan.config, plan.delay_ns = config, delay_ns
    return plan


def settle(plan: Plan, last_ns: int) -> None:
    """The run is over: nothing of its plan lies behind its end."""
    plan.last_ns = last_ns
    for market in plan.markets:
        market.due = [boundary for boundary in market.due if boundary <= last_ns]
        if market.covered:
            market.covered = len(market.due)


class Boundaries:
    """Watches that each funding boundary of a market whose rates are in the stream was named by it in time."""

    def __init__(self, plan: Plan, sources: Sequence[WatchedSource]) -> None:
        self._sources = list(sources)
        self._markets = [(m, market, self._due(plan, market)) for m, market in enumerate(plan.markets)]
        self._plan = plan
        self.next_ns = min((due[0] for _, _, due in self._markets if due), default=NEVER_NS)

    def _due(self, plan: Plan, market: MarketPlan) -> list[int]:
        if not market.funding_recorded:
            return []
        interval = interval_of(market, plan.venues[market.venue].card, plan.first_ns)
        return boundaries(interval, plan.first_ns, plan.last_ns)

    def check(self, now_ns: int) -> None:
        """Called when ``next_ns`` has passed. Raises ``InputError`` naming the instrument and the boundary."""
        from recorders.tables import iso_time

        for m, _, due in self._markets:
            while due and due[0] < now_ns:
                boundary = due.pop(0)
                if boundary not in self._sources[m].boundaries:
                    raise InputError(
                        f"the stream has named no funding for the boundary {iso_time(boundary)} ({boundary} ns): name "
                        'a table (funding = FILE), funding_interval where it differs, or funding = "none"',
                        source=f"instrument {self._plan.name_of(m)}", field="funding",
                    )  # fmt: skip
        self.next_ns = min((due[0] for _, _, due in self._markets if due), default=NEVER_NS)


def check_marks(plan: Plan, marks_e8: Sequence[int]) -> None:
    """At the begin: a mark that the stream was to bring must be there. Raises ``InputError``."""
    for m, market in enumerate(plan.markets):
        needs = market.mark == "of the stream" and (market.brackets is not None or market.funding_recorded)
        if needs and not marks_e8[m]:
            raise InputError(
                'no mark price came during the warm-up: make it longer ([paper] warm_up), or name mark = "mid"',
                source=f"instrument {plan.name_of(m)}", field="mark",
            )  # fmt: skip
