"""The simulated venue as an emulator sees it: the run loop over a feed, one lane an account.

Theory of operation. ``SimEngine`` is a run like a backtest's, whose strategies are wire accounts. ``step`` brings it to
an instant of the feed's time: everything that is received by then goes to the emulator, in the loop's own order, and so
does every answer that is due. Commands are sent at the instant of the last step; the venue meets them an entry latency
later. The feed's own time is what the simulation runs in, so that tables, fees and funding are those of the feed's day;
``shift_ns`` makes it the time that clients see.

Accounts do not meet each other in the book, since own orders do not move a recorded market: each has the market to
itself. Nothing is kept of the past but open orders, so memory stays flat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec

from matching.brackets import Brackets
from matching.codes import FLAG_SHORT_LEG, MODE_CROSS, MODE_ISOLATED
from matching.feed import FeedSource
from matching.kernel import Core
from sim.assembly import Plan, build_core
from sim.feeds import WatchedSource
from sim.loop import Loop
from sim.serve.ahead import AheadSource
from sim.serve.records import Tap
from sim.serve.wire_account import WireAccount
from sim.strategy import Context, Gap, Trade
from sim.venue_face import VenueFace
from venues.emulation import BookState, Emulator, MarketState, PositionState, WalletState
from venues.errors import InputError
from venues.instruments import Instrument
from venues.orders import (
    AmendRequest,
    CancelAllRequest,
    CancelRequest,
    OrderRequest,
    SettingRequest,
)

SECOND_NS: Final = 10**9


@dataclass(frozen=True, slots=True)
class AccountTerms:
    """What an account starts with: money at 1e-8 by asset, leverages by symbol ("" is all others), isolated margin."""

    name: str
    deposit_e8: dict[str, int]
    leverage: dict[str, int] = field(default_factory=dict)
    isolated: bool = False


class Nowhere:
    """Where log and samples of the run go that nobody reads: away, so that memory stays flat."""

    def drain(self, core: Core, final: bool) -> None:
        """Take what the core has gathered."""
        self.log(core.drain_log(final))
        core.drain_samples()
        core.transfers.clear()

    def log(self, rows: dict[str, Any]) -> None:
        """Rows of the order log; a test keeps them."""

    def window(self, now_ns: int) -> None:
        """A window of the feed has been used up."""


class _NoTable:
    def add(self, columns: object) -> None:
        return


def _marked(plan: Plan, m: int, feed: FeedSource) -> FeedSource:
    """A feed whose recorded marks are replaced where the run has a table of them."""
    table = plan.markets[m].mark_table
    if table is None:
        return feed
    nowhere: Any = {name: _NoTable() for name in ("gaps", "feed_latency")}
    return WatchedSource(feed, m, nowhere, table)


class _Services:
    def index(self, name: str) -> int:
        raise KeyError(name)

    def history(self, i: int, span_ns: int, now_ns: int, kind: str, bar: int | str | None) -> Any:
        raise LookupError("an emulator has no history")

    def log(self, lane: int, now_ns: int, message: str, values: dict[str, object]) -> None:
        return


class FirstAccount(WireAccount):
    """The first lane, which also hears the feed."""

    engine: SimEngine

    def on_start(self) -> None:
        self.ctx.every(SECOND_NS, self.engine.each_second)

    def on_book(self, i: int) -> None:
        record = self.engine.taps[i].book_message()
        if record is not None:
            self.engine.publish(i, record)

    def on_trade(self, i: int, trade: Trade) -> None:
        tap = self.engine.taps[i]
        off_book = trade.is_off_book
        self.engine.publish(i, tap.trade(trade.side, trade.ticks, trade.lots, trade.id, trade.ts_event_ns, off_book))

    def on_force_order(self, i: int, trade: Trade) -> None:
        tap = self.engine.taps[i]
        self.engine.publish(i, tap.force_order(trade.side, trade.ticks, trade.lots, trade.ts_event_ns))

    def on_mark(self, i: int) -> None:
        record = self.engine.taps[i].mark_message()
        if record is not None:
            self.engine.publish(i, record)

    def on_gap(self, i: int, gap: Gap) -> None:
        self.engine.taps[i].gap()


class SimEngine:
    """A ``VenueEngine``. ``attach`` an emulator, then ``begin``, then ``step`` it forward; ``finish`` at the end.

    ``sources`` are the plan's feeds, or what stands for them. All times of the protocol are shifted by ``shift_ns``;
    ``step``, ``next_due_ns`` and ``feed_ns`` are in the feed's own time.
    """

    def __init__(
        self,
        plan: Plan,
        accounts: Sequence[AccountTerms],
        sources: Sequence[FeedSource] | None = None,
        *,
        shift_ns: int = 0,
        sink: Nowhere | None = None,
        aggregated: bool = False,
    ) -> None:
        if len(plan.venues) != 1 or not accounts:
            raise InputError("an emulator serves one venue, to at least one account", source="serve")
        self.plan, self.shift_ns = plan, shift_ns
        self.card = plan.venues[0].card
        self.venue = self.card.venue
        self.instruments: Sequence[Instrument] = [market.instrument for market in plan.markets]
        self.accounts = len(accounts)
        self.limited = plan.venues[0].config.rate_limits != "none"
        self.core = _core(plan, accounts)
        feeds = [market.source for market in plan.markets] if sources is None else list(sources)
        self._feeds = [AheadSource(_marked(plan, m, feed)) for m, feed in enumerate(feeds)]
        self.loop: Any = Loop(
            self.core, self._feeds, plan.first_ns, [], Nowhere() if sink is None else sink, _Services()
        )
        self.taps = [Tap(self.core, m, one, shift_ns, aggregated) for m, one in enumerate(self.instruments)]
        self._emulator: Emulator | None = None
        latency = plan.venues[0].config.latency
        legs = (latency.entry, latency.response) if latency is not None else ()
        self._answer_ns = sum(leg.constant or 0 for leg in legs)  # of other than constant latencies: at once
        self._lanes = self._add_lanes(accounts)

    def _add_lanes(self, accounts: Sequence[AccountTerms]) -> list[WireAccount]:
        plan, made = self.plan, []
        settled = [one.settle for one in self.instruments]
        wallet_of = [plan.assets.index(asset) for asset in settled]
        prefixes = [(self.card.liquidation.order_id_prefix.value, self.card.loss.adl_id_prefix.value)]
        for lane, terms in enumerate(accounts):
            kind = WireAccount if lane else FirstAccount
            strategy = kind(lane, settled, self.shift_ns, self._order_event, self._account_event, self._answer_ns)
            strategy.use(self.core)
            if isinstance(strategy, FirstAccount):
                strategy.engine = self
            deposits = [terms.deposit_e8.get(asset, 0) for asset in plan.assets]
            context = Context(self.core, lane, self.instruments, wallet_of, deposits, self.loop)
            context.face = VenueFace(
                [self.card] * len(plan.markets), self.instruments
            )  # client ids are an account's own
            context.forced_prefixes = prefixes * len(self.instruments)
            self.loop.add_lane(strategy, context)
            made.append(strategy)
        return made

    # -- time

    def attach(self, emulator: Emulator) -> None:
        """Whom events go to."""
        self._emulator = emulator

    def begin(self) -> None:
        """Start the run."""
        self.loop.begin()
        self.loop.step(self.feed_ns)  # what is known at the start, of every market

    def step(self, until_ns: int) -> None:
        """Bring everything up to an instant of the feed's time, which must not go back."""
        self.loop.step(until_ns)

    def finish(self) -> None:
        """End the run."""
        self.loop.finish()

    @property
    def feed_ns(self) -> int:
        """The instant reached, in the feed's time."""
        return max(int(self.core.now), self.plan.first_ns)

    @property
    def now_ns(self) -> int:
        """The instant reached, as clients see it."""
        return self.feed_ns + self.shift_ns

    def next_due_ns(self) -> int:
        """The instant of the feed's time at which something happens next, as far as that is known."""
        now_ns = self.feed_ns
        return min(int(self.loop.next_due_ns()), *(feed.next_receive_ns(now_ns) for feed in self._feeds))

    def each_second(self) -> None:
        """Publish the marks that the feed does not bring."""
        for m, tap in enumerate(self.taps):
            record = tap.computed_mark(self.feed_ns)
            if record is not None:
                self.publish(m, record)

    # -- to the emulator

    def publish(self, instrument: int, record: Any) -> None:
        """A record of market data, received now."""
        assert self._emulator is not None
        self._emulator.on_market(instrument, record, self.now_ns)

    def _order_event(self, event: Any) -> None:
        assert self._emulator is not None
        self._emulator.on_order(event)

    def _account_event(self, event: Any) -> None:
        assert self._emulator is not None
        self._emulator.on_account(event)

    # -- commands

    def submit(self, requests: Sequence[OrderRequest]) -> None:
        """New orders of one account, as one request."""
        if requests:
            shifted = [_unshifted(request, self.shift_ns) for request in requests]
            self._lanes[requests[0].account].submit(shifted)

    def amend(self, requests: Sequence[AmendRequest]) -> None:
        """Amendments of one account, as one request."""
        if requests:
            self._lanes[requests[0].account].ask(list(requests))

    def cancel(self, requests: Sequence[CancelRequest]) -> None:
        """Cancels of one account, as one request."""
        if requests:
            self._lanes[requests[0].account].ask(list(requests))

    def cancel_all(self, request: CancelAllRequest) -> None:
        """Cancel an account's open orders in an instrument."""
        self._lanes[request.account].cancel_all(request.instrument)

    def change(self, request: SettingRequest) -> None:
        """Change a setting."""
        self._lanes[request.account].change(request)

    # -- state

    def book(self, instrument: int, depth: int) -> BookState:
        """The book as clients have it."""
        return self.taps[instrument].book(depth)

    def market(self, instrument: int) -> MarketState:
        """What was last published of a market."""
        return self.taps[instrument].state()

    def position(self, account: int, instrument: int, leg: int = 0) -> PositionState:
        """A position as the venue has it; the short leg is a market of its own in the ledger."""
        ledger = self.core.ledger
        m = instrument + (len(self.instruments) if leg == FLAG_SHORT_LEG else 0)
        lots = ledger.position(account, m)
        margined = ledger.margin_on(m)
        leverage = ledger.leverage(account, m) if margined else 1
        notional = ledger.notional_e8(m, abs(lots)) if lots else 0
        isolated = ledger.mode(account, m) == MODE_ISOLATED
        return PositionState(
            lots,
            ledger.entry_price_e8(account, m) if lots else 0,
            ledger.mark_e8(m),
            ledger.unrealized_e8(account, m),
            max(0, ledger.liquidation_price_e8(account, m)) if lots and margined else 0,
            leverage,
            isolated,
            ledger.isolated_e8(account, m) if isolated else 0,
            -(-abs(notional) // leverage) if margined else 0,
            ledger.market_maintenance_e8(account, m) if margined else 0,
            notional,
        )

    def wallet(self, account: int, asset: str) -> WalletState:
        """One asset of an account. Raises ``KeyError`` for one that it cannot hold."""
        if asset not in self.plan.assets:
            raise KeyError(asset)
        ledger, a = self.core.ledger, self.plan.assets.index(asset)
        mine = [m for m, one in enumerate(self.instruments) if one.settle == asset]
        wallet, equity, initial = (
            ledger.wallet(account, a), ledger.equity_e8(account, a), ledger.initial_e8(account, a)
        )  # fmt: skip
        legs = [leg for m in mine for leg in self._legs(m)]
        held = sum(self.position(account, m, leg).initial_e8 for m, leg in legs)
        positions = sum(
            self.position(account, m, leg).initial_e8 for m, leg in legs if ledger.mode(account, m) == MODE_CROSS
        )
        available = [ledger.available_e8(account, m) for m in mine if ledger.margin_on(m)]
        return WalletState(
            wallet, equity - wallet, equity, initial + held - positions, held, max(0, initial - positions),
            ledger.maintenance_e8(account, a), max(0, max(available) if available else equity),
        )  # fmt: skip

    def _legs(self, m: int) -> list[tuple[int, int]]:
        return [(m, 0), (m, FLAG_SHORT_LEG)] if self.plan.venues[0].config.hedge else [(m, 0)]

    def assets(self) -> Sequence[str]:
        """What wallets there are."""
        return self.plan.assets

    def brackets(self, instrument: int) -> Brackets | None:
        """The margin table in force."""
        return self.plan.markets[instrument].brackets

    def fee_rates_e12(self, account: int, instrument: int) -> tuple[int, int]:
        """Maker and taker."""
        fees = self.plan.venues[0].fees
        return fees.maker_e12, fees.taker_e12

    def is_hedged(self, account: int) -> bool:
        """Whether orders name a leg: of all accounts of a run, or of none."""
        return self.plan.venues[0].forms.hedge

    def forced(self, account: int, order_no: int) -> OrderRequest | None:
        """An order that the venue made."""
        return self._lanes[account].forced(order_no)


def _core(plan: Plan, accounts: Sequence[AccountTerms]) -> Core:
    """The run's core, each account with its own money, leverage and margin mode."""
    venue = plan.venues[0]
    bare = replace(venue, config=venue.config.model_copy(update={"deposit": {}}))
    core = build_core(replace(plan, venues=[bare]), len(accounts))
    for account, terms in enumerate(accounts):
        for asset, amount_e8 in terms.deposit_e8.items():
            if asset not in plan.assets:
                raise InputError(
                    f"{asset} is held by none of the instruments; there are {', '.join(plan.assets)}",
                    source=f"account {terms.name}", field="deposit",
                )  # fmt: skip
            core.ledger.deposit(account, plan.assets.index(asset), amount_e8)
        _settings(core, plan, account, terms)
    return core


def _settings(core: Core, plan: Plan, account: int, terms: AccountTerms) -> None:
    symbols = [market.name for market in plan.markets]
    unknown = sorted(set(terms.leverage) - {*symbols, ""})
    if unknown:
        raise InputError(
            f"{', '.join(unknown)} is not served; there are {', '.join(symbols)}", source=f"account {terms.name}",
            field="leverage",
        )  # fmt: skip
    for m, market in enumerate(plan.markets):
        if market.brackets is None:
            continue
        leverage = terms.leverage.get(market.name, terms.leverage.get("", market.leverage))
        highest = market.brackets.max_leverage[0]
        if not 1 <= leverage <= highest:
            raise InputError(
                f"{leverage} of {market.name} is outside 1..{highest}", source=f"account {terms.name}", field="leverage"
            )
        for leg in (m, m + len(plan.markets)) if plan.venues[0].forms.hedge else (m,):
            core.ledger.set_leverage(account, leg, leverage)
        if terms.isolated:
            core.ledger.set_mode(account, m, MODE_ISOLATED)


def _unshifted(request: OrderRequest, shift_ns: int) -> OrderRequest:
    if not request.expires_ns or not shift_ns:
        return request
    return msgspec.structs.replace(request, expires_ns=max(1, request.expires_ns - shift_ns))
