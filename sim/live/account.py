"""An account at a real venue, from its connection to the moment at which the run takes over what it holds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from sim.live.gateway import LANE, Gateway
from sim.live.journal import Journal
from sim.live.run import LiveRun
from venues.connector import Connector
from venues.errors import InputError, VenueError
from venues.orders import FundingPaid
from venues.ports import Clock
from venues.trading import AccountState, Event, NotReady, Now

EARLY_MAX: Final = 10_000
NOTED: Final = frozenset((AccountState, FundingPaid, NotReady))


class Owner(Protocol):
    """The session that an account belongs to."""

    def on_events(self, place: int, events: list[Event], now: Now) -> None: ...

    def say(self, level: str, text: str) -> None: ...

    def fail(self, error: BaseException) -> None: ...


class Account:
    """The listener of one connector. Until the run begins it keeps the latest state of the account, and the funding
    payments that came after it (``early``), which are in no wallet of that state."""

    connector: Connector

    def __init__(self, place: int, owner: Owner) -> None:
        self.place = place
        self.state: AccountState | None = None
        self.not_ready: NotReady | None = None
        self.early: deque[FundingPaid] = deque(maxlen=EARLY_MAX)
        self.is_taken = False  # the run has begun
        self.heard = ""  # the last remark or failed connection, for who waits in vain
        self._owner = owner

    @property
    def is_known(self) -> bool:
        """Whether the venue has said what the account holds, and takes commands."""
        return self.state is not None and self.connector.session.is_ready

    def check_ready(self) -> None:
        """Raise ``VenueError`` when the session has said that it cannot trade."""
        if self.not_ready is not None:
            found = self.not_ready
            raise VenueError(f"{found.code} {found.text}: {found.cure}", venue=self.connector.session.venue)

    def on_events(self, events: list[Event], now: Now) -> None:
        """Events of the session."""
        for event in events:
            if type(event) in NOTED:
                self._note(event)
        if self.is_taken:
            self._owner.on_events(self.place, events, now)

    def _note(self, event: Event) -> None:
        if isinstance(event, AccountState):
            self.state = event
            self.early.clear()
        elif isinstance(event, FundingPaid) and not self.is_taken:
            self.early.append(event)
        elif isinstance(event, NotReady):
            self.not_ready = event

    def on_remark(self, venue: str, text: str) -> None:
        """Something the session wants written down."""
        self.heard = text
        self._owner.say("info", f"{venue}: {text}")

    def on_connection(self, venue: str, connection: str, is_open: bool, why: str) -> None:
        """A connection is up or down."""
        self.heard = self.heard if is_open else f"{connection}: {why}"
        self._owner.say("info" if is_open else "warning", f"{venue} {connection}: {'open' if is_open else why}")

    def on_defect(self, error: BaseException) -> None:
        """The connector has ended by an error of ours."""
        self._owner.fail(error)


def check_empty(run_name: str, name: str, state: AccountState) -> None:
    """An account with open orders is refused: nobody here could tell what they are for. Raises ``InputError``."""
    if state.orders:
        listed = ", ".join(f"{order.client_id or order.venue_id}" for order in state.orders[:5])
        more = f" and {len(state.orders) - 5} more" if len(state.orders) > 5 else ""
        raise InputError(
            f"has {len(state.orders)} open orders in the instruments of {run_name} ({listed}{more}): cancel them "
            "first, since a run counts every order of its account from the first",
            source=f"venue {name}",
        )


def take_over(run: LiveRun, place: int, state: AccountState) -> None:
    """Give a run the positions and leverages of its account at one venue; the wallets are its deposits already."""
    ledger, context = run.core.ledger, run.contexts[LANE]
    for position in state.positions:
        market = run.plan.markets[position.instrument]
        short = position.leg and position.lots < 0 and run.plan.venues[place].forms.hedge
        leg = position.instrument + (len(run.plan.markets) if short else 0)
        if market.brackets is not None and position.leverage:
            ledger.set_leverage(place, leg, position.leverage)
        if position.lots:
            ledger.take_over(place, leg, position.lots, position.entry_price_e8)
            context.begin_with(position.instrument, position.lots, "short" if short else None)


def external_run(
    run: LiveRun, accounts: Mapping[int, Account], journal: Journal, clock: Clock, say: Callable[[str, str], None]
) -> Gateway:
    """Give a run what its accounts hold, and make its gateway."""
    for place, account in accounts.items():
        state = account.state
        assert state is not None
        check_empty(run.plan.config.name, run.plan.venues[place].config.name, state)
        take_over(run, place, state)
        journal.write("AccountState", clock.wall_ns(), {"venue": place, "positions": len(state.positions)})
        account.is_taken = True
    journal.sync()
    venue_of = [market.venue for market in run.plan.markets]
    gateway = Gateway(
        run.core, run.contexts[LANE], [market.instrument for market in run.plan.markets], venue_of,
        {place: account.connector for place, account in accounts.items()}, journal, clock, run.words, say,
    )  # fmt: skip
    for place, account in accounts.items():
        gateway.on_events(place, account.early)
    return gateway
