"""What the parts of Hyperliquid's trading session share: the account, what waits to leave, what has been asked.

Theory of operation. Two kinds of requests leave. ``Job``: an action, signed when it leaves, by ``post`` over the
websocket while that is open and else to /exchange. ``Ask``: a question to /info. Both wait in one ``Throttle`` for room
in the budgets: of an address 1200 weight a minute over REST and 2000 websocket messages a minute. What was earned with
the venue (one request a dollar traded and 10,000 to begin with) is counted too: when it is used up, commands leave once
in ten seconds, cancels as long as their own allowance lasts. Sources: hyperliquid.gitbook.io, "Rate limits".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from venues.errors import InputError
from venues.hyperliquid.auth import MAINNET, TESTNET, Nonces, Wallet, is_address
from venues.hyperliquid.private import PrivateCodec
from venues.hyperliquid.trading_orders import Ledger
from venues.session_parts import MS, SECOND, Remark, Send
from venues.trading import Action, Call, Event, Now
from venues.trading_parts import FOREVER, UPKEEP, Budget, ClientIds, Inquiries, Throttle, VenueClock, host
from venues.trading_sessions import TradingWanted

VENUE: Final = "hyperliquid"
CONNECTION: Final = "trade"
EXPIRES_MS: Final = 30_000  # an action that comes later than this is refused by the venue: it cannot act any more
SETTLE_NS: Final = EXPIRES_MS * MS + 15 * SECOND
MINUTE_NS: Final = 60 * SECOND
EXHAUSTED_NS: Final = 10 * SECOND
EXTRA_CANCELS: Final = 100_000
_JSON: Final[Mapping[str, str]] = {"Content-Type": "application/json"}


@dataclass(slots=True)
class Job:
    """An action: ``kind`` submit, cancel, foreign, amend, setting or noop, and what it is about. ``sent`` has the
    items that left, in the order of the answer's statuses."""

    kind: str
    items: list[Any]
    rank: int
    sent: list[Any] = field(default_factory=list)
    sent_ns: int = 0
    nonce: int = 0
    until_ns: int = FOREVER  # monotonic: does not leave any more from then on

    @property
    def count(self) -> int:
        return max(1, len(self.items))


@dataclass(slots=True)
class Ask:
    """A question: ``what`` names it, ``about`` is whose answer it is."""

    what: str
    body: dict[str, Any]
    weight: int = 20
    about: Any = None
    tries: int = 0
    sent_ns: int = 0


class Earned:
    """Requests that the address has earned and used; unknown until the venue has said it."""

    __slots__ = ("cap", "used")

    def __init__(self) -> None:
        self.cap: int | None = None
        self.used = 0

    def use(self, count: int, throttle: Throttle[Any], now_ns: int) -> None:
        """So many orders or cancels leave; holds what follows when they were the last."""
        self.used += count
        if self.cap is not None and self.used >= self.cap:
            cancels = self.used >= min(self.cap + EXTRA_CANCELS, 2 * self.cap)
            throttle.hold(now_ns + EXHAUSTED_NS, cancels=cancels)


class Account:
    """One account at the venue; see the module."""

    def __init__(self, wanted: TradingWanted) -> None:
        rest, ws = wanted.rest, wanted.ws_user or wanted.ws
        if rest and not ws:
            ws = rest.replace("http", "ws", 1)
        elif ws and not rest:
            rest = ws.removesuffix("/ws").replace("ws", "http", 1)
        self.rest = host(rest, "https://api.hyperliquid.xyz", VENUE)
        self.ws = host(ws, "wss://api.hyperliquid.xyz", VENUE).removesuffix("/ws") + "/ws"
        self.chain = TESTNET if "testnet" in (urlsplit(self.rest).hostname or "") else MAINNET
        for name, text in (("address", wanted.address), ("vault", wanted.vault)):
            if text and not is_address(text):
                raise InputError("wanted 0x and 40 hexadecimal digits", source=f"venue {VENUE}", field=name)
        self.wanted = wanted
        self.wallet = Wallet(wanted.keys.secret)
        self.vault = wanted.vault.lower() or None
        self.address = self.vault or wanted.address.lower() or self.wallet.address
        self.instruments = wanted.instruments
        self.codec = PrivateCodec(wanted.instruments)
        self.actions: list[Action] = []
        self.events: list[Event] = []
        self.ledger = Ledger(wanted.account, ClientIds(wanted.run), self.events, self.address)
        budgets = (
            Budget("weight", 1200, MINUTE_NS, 200),
            Budget("messages", 2000, MINUTE_NS, 200),
        )
        self.throttle: Throttle[Job | Ask] = Throttle(budgets, limited=wanted.limits)
        self.earned = Earned()
        self.nonces = Nonces()
        self.taken_nonce = 0  # the highest that the venue has taken
        self.clock = VenueClock()
        self.measure_ns = 0  # monotonic: when to ask for the venue's time; 0: nobody has found ours wrong
        self.inquiries = Inquiries(SETTLE_NS)
        self.assets: dict[int, int] = {}  # number of the asset by place in the run
        self.is_open = False  # the websocket
        self.is_told = False  # the streams are subscribed
        self.is_over = False  # stopped, or not ready for good: nothing more leaves
        self.posts: dict[int, Job] = {}
        self.calls: dict[int, Job | Ask] = {}
        self._number = 0

    def now_ms(self, now: Now) -> int:
        """The time of nonces: our own clock's, until the venue has found it wrong."""
        return self.clock.venue_ns(now) // MS

    def doubt_clock(self, now: Now) -> None:
        """A nonce or an expiry was out of the venue's time."""
        self.clock.doubt(now.mono_ns)
        self.measure_ns = now.mono_ns

    def next_number(self) -> int:
        self._number += 1
        return self._number

    def remark(self, text: str, symbol: str = "") -> None:
        self.actions.append(Remark(CONNECTION, symbol, text))

    def send(self, message: object) -> None:
        self.actions.append(Send(CONNECTION, msgspec.json.encode(message)))

    def call(self, item: Job | Ask, path: str, body: object, what: str, now: Now) -> None:
        number = self.next_number()
        item.sent_ns = now.mono_ns
        self.calls[number] = item
        self.actions.append(Call(number, "POST", self.rest + path, _JSON, msgspec.json.encode(body), what))

    # -- what waits

    def put(self, job: Job, *, back: bool = False) -> bool:
        """Queue an action; False: too much waits already."""
        costs = {"messages": 1} if self.is_open else {"weight": 1 + job.count // 40}
        put = self.throttle.put_back if back else self.throttle.put
        return put(job, job.rank, costs, job.until_ns)

    def ask(self, what: str, about: Any = None, weight: int = 20, tries: int = 0, **body: Any) -> None:
        """Queue a question to /info."""
        self.throttle.put(Ask(what, body, weight, about, tries), UPKEEP, {"weight": weight})

    def post(self, job: Job, action: dict[str, Any], now: Now) -> None:
        """Sign an action and let it leave. Raises ``LocalError`` when the clock has gone back by a day."""
        ms = self.now_ms(now)
        nonce, expires = self.nonces.take(ms), ms + EXPIRES_MS
        job.nonce = nonce
        signature = self.wallet.sign_action(action, nonce, self.chain, self.vault, expires)
        payload: dict[str, Any] = {"action": action, "nonce": nonce, "signature": signature.wire()}
        if self.vault:
            payload["vaultAddress"] = self.vault
        payload["expiresAfter"] = expires
        if self.wanted.limits and job.kind in ("submit", "cancel", "foreign", "amend"):
            self.earned.use(len(job.sent), self.throttle, now.mono_ns)
        if not self.is_open:
            self.call(job, "/exchange", payload, job.kind, now)
            return
        number = self.next_number()
        job.sent_ns = now.mono_ns
        self.posts[number] = job
        self.send({"method": "post", "id": number, "request": {"type": "action", "payload": payload}})

    def hold(self, wait_ns: int, now: Now) -> None:
        """The venue wants a pause; cancels may try again after a second."""
        self.throttle.hold(now.mono_ns + wait_ns, cancels=False)
        self.throttle.hold(now.mono_ns + min(wait_ns, SECOND), cancels=True)
