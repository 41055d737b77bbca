"""Trading sessions: a venue's private side as a plain object, commands and bytes in, requests and events out. No I/O.

Theory of operation. A ``TradingSession`` is one account at one venue. The gateway gives it commands (the requests of
``venues/orders.py``); it is told what the wire brings (``on_open on_frame on_close on_reply on_tick``) and leaves what
it wants done (``take_actions``) and what the venue has said (``take_events``) in two lists. Every call carries ``Now``:
the wall clock for what is signed and stamped, the monotonic clock for its timers. Prices and sizes become the venue's
decimal strings here and nowhere else, from ticks and lots, without floats.

What it must keep, whatever the wire does:

1. Every command has an outcome: an event of its order, or it stays UNKNOWN until the venue has been asked. A reply that
   never came, a 5xx and a closed connection are ``OutcomeLost``, never a rejection; the session then asks the venue
   (by client order id) until it knows, and says ``NotFound`` only on the venue's own word after its settle window.
2. Client order ids are made from the run and the order number, so that sending again is recognised and an order that
   is found at the venue can be matched with ours.
3. The same fact reaches the gateway once: an acknowledgement by reply and by stream is one ``Accepted``, a fill counts
   by its trade id. User events may come twice, late, or before the reply to the order.
4. Requests stay inside the venue's budgets (rate limits of its rule card and of its headers), with room reserved for
   cancels; what does not fit waits its turn, oldest first, cancels before all else.
5. Signatures carry the venue's time: the clock's offset is measured, and measured again when the venue says that a
   timestamp is wrong.
6. After every (re)connection of the user stream the state is asked for and reported (``AccountState``), since events
   may have been missed while it was away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias, runtime_checkable

import msgspec

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
from venues.session_parts import Ping, Reconnect, Remark, Reply, Send


class Now(msgspec.Struct, frozen=True, gc=False):
    """An instant by both clocks."""

    wall_ns: int
    mono_ns: int


# -- what a trading session asks for


class Call(msgspec.Struct, frozen=True):
    """Make a REST request as it stands; the answer goes to ``on_reply`` with the number. ``what`` names it in logs."""

    number: int
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    what: str


class Open(msgspec.Struct, frozen=True):
    """Keep a websocket open under this name, at this URL (another URL than before: from the next connection on)."""

    connection: str
    url: str


Action: TypeAlias = Call | Open | Send | Ping | Reconnect | Remark


# -- what it reports beside the events of venues/orders.py


class OutcomeLost(msgspec.Struct, frozen=True, kw_only=True):
    """No answer to a request: ``what`` is submit, cancel or amend. The order's state is the venue's to say."""

    instrument: int
    order_no: int
    what: str
    why: str


class PositionAt(msgspec.Struct, frozen=True, kw_only=True):
    """A position as the venue states it; ``leg`` FLAG_LONG_LEG or FLAG_SHORT_LEG in hedge mode, else 0."""

    instrument: int
    lots: int
    entry_price_e8: int
    leverage: int
    isolated: bool
    leg: int = 0


class OrderAt(msgspec.Struct, frozen=True, kw_only=True):
    """An open order as the venue states it; ``order_no`` 0: not one of this run's."""

    instrument: int
    order_no: int
    venue_id: str
    client_id: str
    side: int
    ticks: int
    lots: int
    filled_lots: int
    is_held: bool
    reduce_only: bool = False


class AccountState(msgspec.Struct, frozen=True, kw_only=True):
    """All that the venue holds of the account, as of ``ts_event_ns``; ``is_first``: what the session begins with."""

    ts_event_ns: int
    wallets_e8: dict[str, int]
    positions: tuple[PositionAt, ...]
    orders: tuple[OrderAt, ...]
    is_first: bool


class NotReady(msgspec.Struct, frozen=True, kw_only=True):
    """The session cannot trade and will not by itself: a wrong key, no permission. ``code`` and ``text`` are the
    venue's, ``cure`` says what to do. Nothing more is sent."""

    code: int
    text: str
    cure: str


Event: TypeAlias = OrderEvent | AccountEvent | SettingChanged | SettingRejected | OutcomeLost | AccountState | NotReady


class TradingSession(Protocol):
    """See the module's text. ``is_ready``: the account's state is known and commands can go out."""

    venue: str
    is_ready: bool

    def start(self, now: Now) -> None: ...

    def stop(self, now: Now) -> None: ...

    # commands; orders of one batch are sent as few requests as the venue allows

    def submit(self, requests: list[OrderRequest], now: Now) -> None: ...

    def amend(self, requests: list[AmendRequest], now: Now) -> None: ...

    def cancel(self, requests: list[CancelRequest], now: Now) -> None: ...

    def cancel_all(self, request: CancelAllRequest, now: Now) -> None: ...

    def change(self, request: SettingRequest, now: Now) -> None: ...

    # the end of a run: ask at once for all outcomes that are not known; by what id to look for an order

    def ask_again(self, now: Now) -> None: ...

    def client_id(self, order_no: int) -> str: ...

    # what to do about a refusal with this code of the venue; "" where its words say it all

    def cure(self, code: int) -> str: ...

    # what the wire brings

    def on_open(self, connection: str, now: Now) -> None: ...

    def on_frame(self, connection: str, payload: bytes, now: Now) -> None: ...

    def on_close(self, connection: str, now: Now) -> None: ...

    def on_reply(self, number: int, reply: Reply, now: Now) -> None: ...

    def on_tick(self, now: Now) -> None: ...

    # what has come of it

    def take_actions(self) -> list[Action]: ...

    def take_events(self) -> list[Event]: ...


@runtime_checkable
class Direct(Protocol):
    """A session that is quicker where it is driven by a connector.

    ``set_outlet``: what writes a frame to a connection at once, so that an order's bytes leave before the session has
    noted anything about it; said once of each connection that the session opens. ``hear`` and ``attend`` are the halves
    of ``on_frame``: what a frame says is told to the gateway before the session attends to what follows from it
    (questions that are due, requests that waited)."""

    def set_outlet(self, connection: str, outlet: Callable[[bytes], None]) -> None: ...

    def hear(self, connection: str, payload: bytes, now: Now) -> None: ...

    def attend(self, now: Now) -> None: ...
