"""What the parts of the emulated Binance share: the engine, the symbols, who asked what, and the answers on their way.

A ``Call`` is one request by REST or by the WS API; a ``Part`` is one element of a batch. Both are answered once, by
``finish`` or ``refuse``, at once or when the simulated venue has spoken; what it never answers ends as -1007, execution
unknown, after ``ANSWER_NS``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from venues.binance.emulator_access import Budget, Keys, ListenKeys
from venues.binance.emulator_market import Market
from venues.binance.emulator_streams import Followers
from venues.binance.emulator_wire import Params, Refusal, encoded
from venues.emulation import Action, Answer, Credentials, Push, VenueEngine
from venues.ports import Entropy

ANSWER_NS: Final = 10_000_000_000
JSON: Final = "application/json;charset=UTF-8"

PUBLIC: Final = 0  # what a call must bring: nothing,
KEYED: Final = 1  # a key,
SIGNED: Final = 2  # a signature


class Asker:
    """Who waits for an answer."""

    is_done = False

    def finish(self, result: Any) -> None:
        raise NotImplementedError

    def refuse(self, refusal: Refusal) -> None:
        raise NotImplementedError


class Call(Asker):
    """One request. ``number`` is REST's (0: it came over the websocket ``client`` with id ``ws_id``)."""

    def __init__(
        self,
        site: Site,
        values: Mapping[str, str],
        *,
        number: int = 0,
        client: int = 0,
        peer: str = "",
    ) -> None:
        self.site = site
        self.params = Params(values)
        self.number = number
        self.client = client
        self.ws_id: int | str | None = None
        self.peer = peer
        self.account = -1
        self.shows_limits = True

    def finish(self, result: Any) -> None:
        if not self.is_done:
            self.is_done = True
            self.site.answer(self, 200, result, None)

    def refuse(self, refusal: Refusal) -> None:
        if not self.is_done:
            self.is_done = True
            self.site.answer(self, refusal.status, None, refusal)


class Batch:
    """The elements of one call, answered together and in their order."""

    def __init__(self, call: Call, count: int) -> None:
        self.call = call
        self.results: list[Any] = [None] * count
        self.left = count

    def put(self, index: int, result: Any) -> None:
        self.results[index] = result
        self.left -= 1
        if not self.left:
            self.call.finish(self.results)


class Part(Asker):
    """One element of a batch."""

    def __init__(self, batch: Batch, index: int) -> None:
        self._batch = batch
        self._index = index

    def finish(self, result: Any) -> None:
        if not self.is_done:
            self.is_done = True
            self._batch.put(self._index, result)

    def refuse(self, refusal: Refusal) -> None:
        self.finish(refusal.body())


class Endpoint(NamedTuple):
    """``weight``: of the request, or a function of its parameters."""

    handler: Callable[[Call], None]
    security: int
    weight: int | Callable[[Params], int]


class Site:
    """See the module's text."""

    def __init__(self, engine: VenueEngine, credentials: Sequence[Credentials], entropy: Entropy) -> None:
        self.engine = engine
        self.card = engine.card
        self.entropy = entropy
        self.is_coin = engine.venue == "binance_coinm"
        self.api = "/dapi" if self.is_coin else "/fapi"
        self.actions: list[Action] = []
        self.followers = Followers(self.actions)
        self.markets = [Market(index, one) for index, one in enumerate(engine.instruments)]
        self.by_symbol = {market.symbol: market for market in self.markets}
        self.keys = Keys(credentials)
        self.budget = Budget(engine.card, engine.now_ns, engine.limited)
        self.listen_keys = ListenKeys(entropy)
        self.wall_ns = 0
        self._waiting: dict[int, tuple[int, Asker]] = {}
        self._serial = 0

    # -- symbols

    def market(self, params: Params) -> Market:
        """The symbol that a request must name."""
        return self.named(params.text("symbol"))

    def named(self, symbol: str) -> Market:
        found = self.by_symbol.get(symbol.upper())
        if found is None:
            raise Refusal(-1121)
        return found

    def chosen(self, params: Params) -> list[Market]:
        """The symbol a request names, or that of its pair, or all."""
        if params.has("symbol"):
            return [self.market(params)]
        if params.has("pair"):
            pair = params.word("pair")
            return [market for market in self.markets if market.pair == pair]
        return self.markets

    # -- answers

    def answer(self, call: Call, status: int, result: Any, refusal: Refusal | None) -> None:
        if call.number:
            body = encoded(refusal.body() if refusal is not None else result)
            account = call.account if call.account >= 0 else None
            headers = {"Content-Type": JSON, **self.budget.headers(call.peer, account, self.wall_ns)}
            if status in (418, 429):
                headers["Retry-After"] = str(self.budget.retry_after(call.peer, self.wall_ns))
            self.actions.append(Answer(call.number, status, headers, body))
            return
        reply: dict[str, Any] = {"id": call.ws_id, "status": status}
        if refusal is not None:
            reply["error"] = refusal.body()
            if status in (418, 429):
                retry_ms = self.wall_ns // 10**6 + 1000 * self.budget.retry_after(call.peer, self.wall_ns)
                reply["error"]["data"] = {"serverTime": self.wall_ns // 10**6, "retryAfter": retry_ms}
        else:
            reply["result"] = result
        if call.shows_limits:
            account = call.account if call.account >= 0 else None
            reply["rateLimits"] = self.budget.rate_limits(call.peer, account, self.wall_ns)
        self.actions.append(Push((call.client,), encoded(reply)))

    def wait(self, asker: Asker) -> None:
        """Remember who waits for the simulated venue."""
        self._serial += 1
        self._waiting[self._serial] = (self.wall_ns + ANSWER_NS, asker)

    def give_up(self, wall_ns: int) -> None:
        """Tell those who have waited too long that nothing is known."""
        for serial, (deadline_ns, asker) in list(self._waiting.items()):
            if not asker.is_done and deadline_ns > wall_ns:
                break
            del self._waiting[serial]
            if not asker.is_done:
                asker.refuse(Refusal(-1007))
