"""Emulators: a venue's side of the wire as a plain object, requests and frames in, answers and pushes out. No I/O.

Theory of operation. An ``Emulator`` speaks one venue's REST and websocket protocol to any number of clients. Behind it
stands a ``VenueEngine``: the simulated venue, which matches, charges funding and liquidates. Commands go to the engine
and return at once; what comes of them arrives through ``on_order`` and ``on_account``, when the simulated response
latency is over, and only then the waiting HTTP request is answered (``Answer``) and the user streams are told, in the
venue's own order. Market data arrive through ``on_market`` as the neutral records of ``venues/market_data.py`` at the
instants at which a client receives them, and are encoded once for all who subscribed.

Two times. ``wall_ns`` is the clock of the machine: what clients sign and when keys expire. The engine's own time stamps
whatever the venue says of itself; with a shifted feed the two are nearly the same. ``accounts`` are the engine's, by
number; which key opens which account is the emulator's business (``Credentials``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, TypeAlias

import msgspec

from matching.brackets import Brackets
from venues.instruments import Instrument
from venues.market_data import Record
from venues.orders import (
    AccountEvent,
    AmendRequest,
    CancelAllRequest,
    CancelRequest,
    OrderEvent,
    OrderRequest,
    SettingChanged,
    SettingRejected,
    SettingRequest,
)
from venues.rules import RuleCard

# -- what the engine shows


class BookState(NamedTuple):
    """The book as clients have it now: best first, (ticks, lots). ``is_valid`` False: stale after a gap."""

    is_valid: bool
    last_id: int
    ts_event_ns: int
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]


class MarketState(NamedTuple):
    """Mark and index (0: not known), predicted rate and the boundary at which it is charged, the last print."""

    mark_e8: int
    index_e8: int
    rate_e12: int
    next_funding_ns: int
    last_ticks: int
    last_lots: int


class PositionState(NamedTuple):
    """One position (in hedge mode: one leg). Prices at 1e-8 of the quote, money at 1e-8; liquidation price 0: none."""

    lots: int
    entry_price_e8: int
    mark_e8: int
    unrealized_e8: int
    liquidation_price_e8: int
    leverage: int
    isolated: bool
    isolated_margin_e8: int
    initial_e8: int
    maintenance_e8: int
    notional_e8: int


class WalletState(NamedTuple):
    """One asset of an account, money at 1e-8. ``available_e8`` is what new positions may use."""

    wallet_e8: int
    unrealized_e8: int
    equity_e8: int
    initial_e8: int
    position_initial_e8: int
    order_initial_e8: int
    maintenance_e8: int
    available_e8: int


class VenueEngine(Protocol):
    """The simulated venue as an emulator sees it. ``order_no`` counts 1, 2, 3 ... within an account; the emulator
    numbers orders in the order in which it hands them over. Commands answer through the emulator's ``on_order`` and
    ``on_account``, never before they have returned. A fill, funding or a liquidation is followed by what the position
    and the wallet are then (``PositionChanged``, ``BalanceChanged``). Accounts do not meet each other in the book."""

    venue: str
    card: RuleCard
    instruments: Sequence[Instrument]
    accounts: int
    limited: bool  # whether the venue limits requests; False: it neither refuses nor counts them

    @property
    def now_ns(self) -> int: ...

    def submit(self, requests: Sequence[OrderRequest]) -> None: ...

    def amend(self, requests: Sequence[AmendRequest]) -> None: ...

    def cancel(self, requests: Sequence[CancelRequest]) -> None: ...

    def cancel_all(self, request: CancelAllRequest) -> None: ...

    def change(self, request: SettingRequest) -> None: ...

    def book(self, instrument: int, depth: int) -> BookState: ...

    def market(self, instrument: int) -> MarketState: ...

    def position(self, account: int, instrument: int, leg: int = 0) -> PositionState: ...

    def wallet(self, account: int, asset: str) -> WalletState: ...

    def assets(self) -> Sequence[str]: ...

    def brackets(self, instrument: int) -> Brackets | None: ...

    def forced(self, account: int, order_no: int) -> OrderRequest | None:
        """The order that the venue itself made to liquidate an account, by its number, which is below 0; its events
        come through ``on_order`` like any other's. None: there is none of that number, or it has long been closed."""
        ...

    def fee_rates_e12(self, account: int, instrument: int) -> tuple[int, int]:
        """Maker and taker."""
        ...

    def is_hedged(self, account: int) -> bool:
        """Whether the account holds a long and a short position beside each other (orders name their leg)."""
        ...


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """What opens an account. Binance: ``key`` and ``secret``; Hyperliquid: ``address`` of the account, ``secret`` the
    private key that signs (its own, or an agent's whose address is ``key``)."""

    account: int
    name: str
    key: str
    secret: str
    address: str = ""


# -- what clients send and get


class HttpRequest(NamedTuple):
    """As it came: ``path`` and ``query`` undecoded, header names in lower case, ``peer`` the client's address."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    peer: str


class Answer(msgspec.Struct, frozen=True):
    """The reply to the HTTP request of this number."""

    number: int
    status: int
    headers: Mapping[str, str]
    body: bytes


class Admit(msgspec.Struct, frozen=True):
    """Let a websocket client in; or (``status`` not 101) refuse the handshake with this status and text."""

    client: int
    status: int = 101
    text: str = ""


class Push(msgspec.Struct, frozen=True):
    """A text frame to these clients."""

    clients: tuple[int, ...]
    payload: bytes


class Beat(msgspec.Struct, frozen=True):
    """A websocket ping to these clients."""

    clients: tuple[int, ...]
    payload: bytes = b""


class Hangup(msgspec.Struct, frozen=True):
    """Close a client's websocket."""

    client: int
    code: int
    reason: str


Action: TypeAlias = Answer | Admit | Push | Beat | Hangup


class Emulator(Protocol):
    """See the module's text. Numbers of requests and clients are the server's; both are handed out once."""

    venue: str

    # clients

    def on_request(self, number: int, request: HttpRequest, wall_ns: int) -> None: ...

    def on_connect(self, client: int, request: HttpRequest, wall_ns: int) -> None: ...

    def on_frame(self, client: int, payload: bytes, wall_ns: int) -> None: ...

    def on_pong(self, client: int, payload: bytes, wall_ns: int) -> None: ...

    def on_disconnect(self, client: int, wall_ns: int) -> None: ...

    # the engine. Records as they come: a book that begins (or replaces another) is a ``DepthSnapshot`` with
    # ``in_stream``; what of a feed's ids was lost is missing in the ids of ``DepthDiff`` too, so that clients notice

    def on_market(self, instrument: int, record: Record, now_ns: int) -> None: ...

    def on_order(self, event: OrderEvent) -> None: ...

    def on_account(self, event: AccountEvent | SettingChanged | SettingRejected) -> None: ...

    # time (at least every 100 ms of wall time) and what has come of it all

    def on_tick(self, wall_ns: int) -> None: ...

    def take_actions(self) -> list[Action]: ...
