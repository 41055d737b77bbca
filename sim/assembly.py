"""From a run file to everything a run needs, each input found, named or refused before the first event.

``assemble`` resolves instruments, feeds, marks, funding, margin, fees and latencies into a ``Plan`` of plain data;
``build_core`` makes the ledger and the kernel of it. Where an input is neither recorded nor named it raises
``InputError`` with the instrument and the boundary; nothing is zero by default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from matching import codes
from matching.brackets import Brackets
from matching.feed import FeedSource
from matching.forms import OrderForms
from matching.kernel import Core, LatencyTable
from matching.ledger import Ledger
from recorders.files import fingerprint
from recorders.lake import Lake
from recorders.latency import load_steps
from recorders.live.recorded import RecordedFeed
from recorders.tables import load_brackets
from sim import effects, gates, margins, settings
from sim.config import InstrumentConfig, QueueConfig, RunConfig, VenueConfig
from sim.delay import DelayedSource
from sim.feeds import Announced, BoundedSource, RecordedMarks, feed_latency_series, plan_rows
from sim.fees import ROUNDING, ROUNDING_NAMES, Fees, build_fees
from sim.latency import build_leg
from sim.liquidations import Traded, install
from sim.loading import load_class, make
from sim.marks import resolve_funding, resolve_mark
from sim.pricing import Pricing, PricingPlan
from sim.rules import order_forms
from venues import card, card_names, known_instrument
from venues.errors import InputError, InstrumentError, RuleCardError
from venues.instruments import Instrument
from venues.rules import RuleCard

I64 = npt.NDArray[np.int64]
E8: Final = 10**8
QUEUE_MODELS: Final = {
    "risk_averse": codes.QUEUE_RISK_AVERSE,
    "power": codes.QUEUE_POWER,
    "power2": codes.QUEUE_POWER2,
    "power3": codes.QUEUE_POWER3,
    "log": codes.QUEUE_LOG,
    "log2": codes.QUEUE_LOG2,
}
EXCHANGES: Final = {"partial": codes.EXCHANGE_PARTIAL, "nopartial": codes.EXCHANGE_NOPARTIAL}


@dataclass(slots=True)
class MarketPlan:
    """One instrument of the run. Texts are for the banner; ``*_exact`` says whether the venue does it so too."""

    config: InstrumentConfig
    venue: int
    instrument: Instrument
    source: FeedSource
    paths: list[Path]
    announced: Announced | None = None  # what a feed's stream brings that cannot be looked up before the run
    late: Callable[[], int] | None = None  # how many frames of the feed came later than the delay
    mark: str = ""
    mark_exact: bool = True
    mark_mid: bool = False
    mark_table: tuple[I64, I64] | None = None
    index_table: tuple[I64, I64] | None = None
    has_index: bool = False  # of a table, or recorded
    pricing: PricingPlan | None = None  # what of mark and funding is computed
    funding: str = ""
    funding_exact: bool = True
    funding_recorded: bool = False
    fundings: list[tuple[int, int, int]] = field(default_factory=list)  # instant, rate_e12, mark_e8 or 0
    due: list[int] = field(default_factory=list)  # funding boundaries inside the run
    covered: int | None = None  # how many of them have a rate; None: as many as the feed turns out to name
    margin: str = ""
    margin_exact: bool = True
    brackets: Brackets | None = None
    margin_options: dict[str, Any] = field(default_factory=dict)  # of ``Ledger.configure_margin``
    open_interest_e8: int | None = None  # of the run file
    margin_mode: int = codes.MODE_CROSS
    leverage: int = 1
    liquidation_e12: int = 0
    queue: str = ""
    custom_queue: Any = None
    files: dict[str, str] = field(default_factory=dict)  # table file -> sha256
    assumptions: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.instrument.symbol


@dataclass(slots=True)
class VenuePlan:
    """One venue of the run, with the latency tables of both legs and what to call them."""

    config: VenueConfig
    card: RuleCard
    fees: Fees
    entry: LatencyTable
    response: LatencyTable
    entry_text: str
    response_text: str
    zero_latency: bool
    forms: OrderForms


@dataclass(slots=True)
class Plan:
    """Everything resolved. ``first_ns`` and ``last_ns`` bound the run's venue time."""

    config: RunConfig
    base: Path
    venues: list[VenuePlan]
    markets: list[MarketPlan]
    first_ns: int
    last_ns: int
    assets: list[str]
    delay_ns: int | None = None  # how far behind the feed the venues are simulated

    def asset_of(self, market: int) -> int:
        return self.assets.index(self.markets[market].instrument.settle)

    def name_of(self, market: int) -> str:
        """The instrument's symbol, with its venue where another venue of the run has the same symbol."""
        plan = self.markets[market]
        twins = [m for m in self.markets if m.instrument.symbol == plan.instrument.symbol]
        return plan.name if len(twins) == 1 else f"{self.venues[plan.venue].config.name}:{plan.name}"


def assemble(config: RunConfig, base: Path, feeds: Mapping[str | int, FeedSource] | None = None) -> Plan:
    """Resolve a run file. ``feeds`` gives instruments (by index, symbol or venue:symbol) feeds that are in no lake."""
    cards = [_card_of(venue) for venue in config.venue]
    recordings: dict[Path, RecordedFeed] = {}
    markets = [_market(config, place, cards, base, feeds or {}, recordings) for place in range(len(config.instrument))]
    first_ns = min(market.source.first_ns for market in markets)
    last_ns = max(market.source.last_ns for market in markets)
    if config.feed.from_ is not None:
        first_ns = max(first_ns, config.feed.from_)
    if config.feed.to is not None:
        last_ns = min(last_ns, config.feed.to)
    for market in markets:
        rule_card = cards[market.venue]
        effects.check_instrument(market.config, market.name)
        named = _recorded(market, first_ns, last_ns)
        market.has_index = market.config.index is not None or named is None or named.indexed > 0
        resolve_mark(market, rule_card, named, base, first_ns)
        _resolve_margin(market, config.venue[market.venue], rule_card, base, first_ns)
        resolve_funding(market, rule_card, named, base, first_ns, last_ns)
        if market.config.book == "l3":
            market.queue = "exact FIFO, newcomers that reach an own order execute with it"
        else:
            market.queue, market.custom_queue = _queue_model(market.config.queue, base, market.name)
    venues = [
        _venue(config, place, rule_card, base, markets, first_ns, last_ns) for place, rule_card in enumerate(cards)
    ]
    settled = [market.instrument.settle for market in markets]
    assets = list(dict.fromkeys([*settled, *(asset for venue in config.venue for asset in venue.collateral)]))
    delay_ns = next((feed.delay_ns for feed in recordings.values()), config.feed.delay)
    plan = Plan(config, base, venues, markets, first_ns, last_ns, assets, delay_ns)
    _check_deposits(plan)
    return plan


# -- venues


def _card_of(venue: VenueConfig) -> RuleCard:
    try:
        return card(venue.card or venue.name)
    except RuleCardError:
        raise InputError(
            f"there is no rule card {venue.card or venue.name!r}; known are {', '.join(card_names())}",
            source=f"venue {venue.name}", field="card",
        ) from None  # fmt: skip


def _venue(
    config: RunConfig, place: int, rule_card: RuleCard, base: Path, markets: Sequence[MarketPlan], first: int, last: int
) -> VenuePlan:
    venue = config.venue[place]
    where = f"venue {venue.name}"
    if venue.latency is None:
        raise InputError(
            'is not given: write latency = {entry = "10ms", response = "10ms"}, or latency = "none"', source=where,
            field="latency",
        )  # fmt: skip
    paths = next((market.paths for market in markets if market.venue == place and market.paths), [])

    def feed_latency() -> tuple[I64, I64]:
        if not paths:
            raise InputError("feed = true needs a feed from a lake", source=f"{where}: latency")
        return feed_latency_series(paths, first, last)

    load = partial(load_steps, paths, first, last) if paths else None
    entry, entry_text = build_leg(venue.latency.entry, base, feed_latency, f"{where}: latency.entry", load)
    response, response_text = build_leg(venue.latency.response, base, feed_latency, f"{where}: latency.response", load)
    return VenuePlan(
        venue, rule_card, build_fees(venue.fees, rule_card, first, base, f"{where}: fees"), entry, response, entry_text,
        response_text, "none" in (entry_text, response_text),
        order_forms(rule_card, first, venue.stp, venue.hedge, where),
    )  # fmt: skip


def _check_deposits(plan: Plan) -> None:
    for place, venue in enumerate(plan.venues):
        mine = [market for market in plan.markets if market.venue == place]
        settled = {market.instrument.settle for market in mine}
        effects.check_venue(
            venue.config, venue.card, [market.name for market in mine if market.brackets is not None],
            sorted(settled), [market.instrument.settle for market in plan.markets if market.venue != place],
        )  # fmt: skip
        settings.check_collateral(
            venue.config.multi_assets, venue.config.collateral, venue.card, venue.config.name, sorted(settled)
        )
        pooled = set(venue.config.collateral) if venue.config.multi_assets else set()
        for asset in venue.config.deposit:
            if asset not in settled | pooled:
                raise InputError(
                    f"{asset} is the settlement asset of none of its instruments ({', '.join(sorted(settled))})",
                    source=f"venue {venue.config.name}", field="deposit",
                )  # fmt: skip
        for market in mine:
            asset = market.instrument.settle
            funded = venue.config.deposit.get(asset) or (asset in pooled and any(venue.config.deposit.values()))
            if market.brackets is not None and not funded:
                raise InputError(
                    f"{market.name} checks margin in {asset}: give deposit = {{{asset} = ...}}, or margin = \"none\"",
                    source=f"venue {venue.config.name}", field="deposit",
                )  # fmt: skip


# -- instruments and feeds


def _market(
    config: RunConfig, place: int, cards: Sequence[RuleCard], base: Path, feeds: Mapping[str | int, FeedSource],
    recordings: dict[Path, RecordedFeed],
) -> MarketPlan:  # fmt: skip
    one = config.instrument[place]
    venue = config.venue_of(one)
    venue_name = config.venue[venue].name
    given = next((feeds[key] for key in (place, f"{venue_name}:{one.symbol}", one.symbol) if key in feeds), None)
    start, stop = config.feed.from_, config.feed.to
    if given is not None:
        source = given if start is None and stop is None else BoundedSource(given, start, stop)
        plan = MarketPlan(one, venue, instrument_of(one, cards[venue], None), source, [])
        plan.announced = getattr(given, "announced", None)
        return plan if plan.announced is not None else _delayed(plan, config)
    folder = one.lake or config.feed.lake
    if folder is None and config.feed.recording is not None:
        path = base / config.feed.recording
        if path not in recordings:
            recordings[path] = RecordedFeed(path, config.feed.delay)
        return _recorded_market(config, one, venue, cards[venue], recordings[path])
    if folder is None:
        raise InputError(
            "has no feed: give feed.lake or feed.recording, or lake of the instrument",
            source=f"instrument {one.symbol}",
        )
    lake = Lake(base / folder)
    lake_venue = _lake_venue(lake, one, cards[venue].venue)
    recorded = lake.instrument(lake_venue, one.symbol, start)
    instrument = instrument_of(one, cards[venue], recorded)
    feed = lake.feed(lake_venue, one.symbol)
    plan = MarketPlan(one, venue, instrument, lake.source(lake_venue, one.symbol, start, stop), list(feed.paths))
    taken = lake.assumptions(lake_venue, one.symbol, start, stop)
    plan.assumptions += [f"{one.symbol}: feed: {sentence}" for sentence in taken]
    return _delayed(plan, config)


def _delayed(plan: MarketPlan, config: RunConfig) -> MarketPlan:
    """The market with its feed as a venue sees it that is simulated behind, where the run file asks for that."""
    if config.feed.delay is not None:
        source = DelayedSource(plan.source, config.feed.delay)
        plan.source, plan.late = source, lambda: source.late
    return plan


def _recorded_market(
    config: RunConfig, one: InstrumentConfig, venue: int, rule_card: RuleCard, feed: RecordedFeed
) -> MarketPlan:
    """A market whose feed is a raw recording's."""
    known = feed.instrument(one.feed_venue or rule_card.venue, one.symbol)
    instrument = instrument_of(one, rule_card, known)
    source = feed.source(known or instrument)
    start, stop = config.feed.from_, config.feed.to
    bounded = source if start is None and stop is None else BoundedSource(source, start, stop)
    plan = MarketPlan(one, venue, instrument, bounded, [])
    has_marks = feed.has_stream("marks")
    plan.announced = Announced(marks=has_marks, index=has_marks, first_ns=source.first_ns)
    plan.late = lambda: source.late
    plan.files |= {str(path): fingerprint(path).sha256 for path in feed.paths}
    return plan


def _lake_venue(lake: Lake, one: InstrumentConfig, card_name: str) -> str:
    """The lake's name for the instrument's venue: named, the rule card's, or the only one that has the symbol."""
    if one.feed_venue is not None:
        return one.feed_venue
    found = [feed.venue for feed in lake.feeds(None, one.symbol)]
    if card_name in found or len(found) != 1:
        return card_name
    return found[0]


def instrument_of(one: InstrumentConfig, rule_card: RuleCard, recorded: Instrument | None) -> Instrument:
    """The contract: recorded with the feed, else documented, else described by the run file; then its overrides."""
    names = ("base", "quote", "settle", "inverse", "tick_size", "lot_size", "contract_size", "min_lots", "max_lots")
    given = {name: getattr(one, name) for name in names if getattr(one, name) is not None}
    where = f"instrument {one.symbol}"
    if recorded is None:
        try:
            known = known_instrument(rule_card.venue, one.symbol)
        except InstrumentError:
            known = None
        if known is None or {"tick_size", "lot_size"} <= set(given):
            return _described(one, rule_card, given, where)
        recorded = known
    for name in ("tick_size", "lot_size", "contract_size", "inverse"):
        if name in given and given[name] != getattr(recorded, name):
            raise InputError(
                f"is {given[name]} here and {getattr(recorded, name)} in the feed, whose prices and sizes count in it",
                source=where, field=name,
            )  # fmt: skip
    values = {f: getattr(recorded, f) for f in _INIT_FIELDS} | given | {"venue": rule_card.venue}
    try:
        return Instrument(**values)
    except InstrumentError as error:
        raise InputError(str(error), source=where) from None


_INIT_FIELDS: Final = tuple(f.name for f in Instrument.__dataclass_fields__.values() if f.init)


def _described(one: InstrumentConfig, rule_card: RuleCard, given: dict[str, Any], where: str) -> Instrument:
    try:
        return Instrument.from_fields({"venue": rule_card.venue, "symbol": one.symbol, **given})
    except InstrumentError as error:
        raise InputError(str(error), source=where) from None


# -- mark, funding, margin


def _recorded(market: MarketPlan, first_ns: int, last_ns: int) -> RecordedMarks | Announced | None:
    """What the lake has of marks in the run's span, with the last mark before it (a checkpoint carries it); of a live
    feed or its recording what it will bring."""
    if market.announced is not None:
        return market.announced
    return RecordedMarks(market.paths, first_ns, last_ns) if market.paths else None


def _resolve_margin(market: MarketPlan, venue: VenueConfig, rule_card: RuleCard, base: Path, first_ns: int) -> None:
    named = market.config.margin
    if named is None:
        named = "card" if rule_card.margin.enabled.value else "none"
        by_card = " (by the rule card)"
    else:
        by_card = ", switched off"
    if named == "none":
        market.margin, market.margin_exact = f"none{by_card}", by_card != ", switched off"
        settings.resolve_mode(market.config.margin_mode, rule_card, market.name, has_margin=False, pooled=False)
        if market.config.leverage is not None:
            raise InputError("has no effect without margin", source=f"instrument {market.name}", field="leverage")
        margins.open_interest_e8(market.config.open_interest, {}, market.name)
        return
    if named == "card":
        fact = rule_card.margin_table(market.name, first_ns)
        market.brackets = margins.ledger_table(fact.value, market.instrument)
        market.margin_options = margins.margin_words(rule_card, fact.value)
        market.margin, market.margin_exact = f"brackets of the rule card ({fact.source})", fact.verified
    else:
        table = load_brackets(base / named, market.name)
        market.brackets = table.table
        market.margin_options = margins.margin_words(rule_card, table.table)
        market.margin = f"brackets {Path(named).name}" + (
            f" of {table.file.as_of}" if table.file.as_of else ", undated"
        )
        market.files[table.file.path] = table.file.sha256
    market.open_interest_e8 = margins.open_interest_e8(market.config.open_interest, market.margin_options, market.name)
    if market.open_interest_e8 is not None:
        market.margin += f", open interest {market.config.open_interest:,f} (an input, constant)"
    highest = market.brackets.max_leverage[0]
    wanted = market.config.leverage or min(rule_card.margin.default_leverage.value, highest)
    if wanted > highest:
        raise InputError(
            f"{wanted} is above the brackets' {highest}", source=f"instrument {market.name}", field="leverage"
        )
    market.leverage = wanted
    market.margin_mode = settings.resolve_mode(
        market.config.margin_mode, rule_card, market.name, has_margin=True, pooled=venue.multi_assets
    )
    market.margin += f", leverage {wanted}x" + (", isolated" if market.margin_mode else "")
    if venue.multi_assets:
        market.margin += f", {settings.collateral_text(venue.collateral)}"
        market.margin_exact = False
    own = market.instrument.liquidation_fee_e12
    market.liquidation_e12 = rule_card.liquidation.fee_rate_e12.at(first_ns).value if own is None else own


def _queue_model(queue: QueueConfig, base: Path, name: str) -> tuple[str, Any]:
    if queue.model in QUEUE_MODELS:
        power = queue.model.startswith("power")
        return f"{queue.model} (n = {queue.n:g})" if power else queue.model, None
    where = f"instrument {name}: queue"
    if ":" not in queue.model:
        raise InputError(f"{queue.model!r} is not one of {', '.join(QUEUE_MODELS)} or module:Class", source=where)
    model = make(load_class(queue.model, base, where), queue.params, where)
    if not callable(getattr(model, "probability", None)):
        raise InputError(f"{queue.model} needs a method probability(front, back) -> float", source=where)
    return f"model {queue.model}", model


# -- the core


class MarketFees:
    """A venue's fee model as the kernel asks it: of one market, without the value."""

    def __init__(self, fees: Fees, market: int, ledger: Ledger) -> None:
        self._fees = fees
        self._market = market
        self._ledger = ledger

    def fee_e8(self, side: int, ticks: int, lots: int, liquidity: int, /) -> int:
        assert self._fees.model is not None
        value_e8 = self._ledger.value_e8(self._market, ticks, lots)
        return self._fees.model.fee_e8(self._market, side, ticks, lots, liquidity, value_e8)


def build_core(plan: Plan, lanes: int, *, external: bool = False) -> Core:
    """The ledger and the kernel of a run, accounts funded and latencies set. Account = lane * venues + venue.

    ``external``: real venues behind connectors match, check, charge and liquidate; here is only what they say of it.
    """
    venues = len(plan.venues)
    legs = [*plan.markets] * (2 if any(venue.forms.hedge for venue in plan.venues) else 1)  # short ones come second
    ledger = Ledger(lanes * venues, len(legs), len(plan.assets))
    for leg, market in enumerate(legs):
        m = leg % len(plan.markets)
        instrument, fees = market.instrument, plan.venues[market.venue].fees
        funding = plan.venues[market.venue].card.funding
        ledger.configure_market(
            leg, plan.asset_of(m), instrument.inverse, instrument.value_num, instrument.value_den, instrument.lot_num,
            instrument.lot_den, fees.maker_e12, fees.taker_e12, market.liquidation_e12, market.brackets,
            fee_rounding=fees.rounding, fee_unit=fees.unit_e8,
            funding_rounding=ROUNDING[funding.payment_rounding.value], funding_unit=funding.payment_unit_e8.value,
        )  # fmt: skip
        if market.brackets is not None:
            ledger.configure_margin(leg, **market.margin_options)
            if market.open_interest_e8 is not None:
                ledger.set_open_interest(leg, market.open_interest_e8)
            settings.configure_settings(ledger, leg, plan.venues[market.venue].card)
        if leg != m and plan.venues[market.venue].forms.hedge:
            ledger.set_legs(m, leg)
    for asset in {asset for venue in plan.venues for asset in venue.config.insurance}:
        total = sum(money_e8(venue.config.insurance.get(asset, Decimal(0)), asset) for venue in plan.venues)
        ledger.limit_insurance(plan.assets.index(asset), total)
    core = Core(len(plan.markets), lanes, ledger, plan.config.seed)
    for lane in range(lanes):
        core.configure_lane(lane, [lane * venues + venue for venue in range(venues)])
        for place, venue in enumerate(plan.venues):
            for asset, amount in venue.config.deposit.items():
                ledger.deposit(lane * venues + place, plan.assets.index(asset), money_e8(amount, asset))
        for leg, market in enumerate(legs):
            if market.brackets is not None:
                ledger.set_leverage(lane * venues + market.venue, leg, market.leverage)
        for m, market in enumerate(plan.markets):
            if market.brackets is not None:
                ledger.set_mode(lane * venues + market.venue, m, market.margin_mode)
        for place, venue in enumerate(plan.venues):
            if venue.config.multi_assets:
                ledger.pool_assets(lane * venues + place, *settings.rates_e8(venue.config.collateral, plan.assets))
    for m in range(len(plan.markets)):
        _configure_market(core, plan, m, external)
    for place, venue in enumerate(plan.venues):
        core.set_latency(place, venue.entry, venue.response)
    core.sample_every(plan.config.samples.bbo, plan.config.samples.accounts)
    if plan.delay_ns is not None:
        core.set_delay(plan.delay_ns)
    if external:
        return core
    traded = [Traded(m.venue, plan.venues[m.venue].config.name, m.instrument) for m in plan.markets]
    install(
        core, [venue.card for venue in plan.venues], [venue.config for venue in plan.venues], traded, plan.config.adl,
        plan.first_ns, plan.last_ns,
    )  # fmt: skip
    gates.install(
        core,
        [gates.VenueGate(v.card, v.config.rate_limits != "none", int(v.config.traded * E8)) for v in plan.venues],
        [gates.Checked(m.venue, m.instrument, m.brackets.max_leverage[0] if m.brackets else 1) for m in plan.markets],
        plan.first_ns,
    )
    return core


def _configure_market(core: Core, plan: Plan, m: int, external: bool) -> None:
    market = plan.markets[m]
    venue, one, instrument = plan.venues[market.venue], market.config, market.instrument
    orders = venue.card.orders
    tick = instrument.price_e8_of(1)
    custom = market.custom_queue is not None
    core.configure_market(
        m,
        venue=market.venue,
        queue_model=codes.QUEUE_CUSTOM if custom else QUEUE_MODELS[one.queue.model],
        queue_param=one.queue.n,
        custom_queue=market.custom_queue,
        exchange=EXCHANGES[one.exchange],
        l1_only=one.book == "l1",
        by_order=one.book == "l3",
        mark_source=codes.MARK_MID if market.mark_mid else codes.MARK_RECORDED,
        forms=venue.forms,
        fok_reject=orders.fok_unfilled.value == "reject",
        min_lots=instrument.min_lots,
        max_lots=instrument.max_lots if instrument.max_lots is not None else (1 << 31) - 1,
        window_ticks=one.window_ticks,
        margin=market.brackets is not None and not external,
        funding_from_marks=market.funding_recorded and not external,
        tick_e8=(tick.numerator, tick.denominator),
        fee_model=None if venue.fees.model is None else MarketFees(venue.fees, m, core.ledger),
    )
    if external:
        core.set_external(m)
        return
    core.set_plan(m, *plan_rows(market.mark_table, market.fundings, market.index_table))
    _configure_pricing(core, market, venue.card, m)


def _configure_pricing(core: Core, market: MarketPlan, rule_card: RuleCard, m: int) -> None:
    """How the market's mark and funding arise where that is not as recorded, at the mark and at the boundary."""
    at_index = rule_card.funding.price.value in ("index", "oracle") and market.has_index
    computed, drift = market.pricing, market.config.funding_drift
    if computed is None and not at_index and not drift:
        return
    core.configure_pricing(
        m,
        computed_mark=computed is not None and computed.mark is not None,
        computed_funding=computed is not None and computed.funding,
        charges_index=at_index,
        lazy=rule_card.funding.accrual.value == "lazy_index",
        drift=drift,
    )
    if computed is not None:
        computed.rates = [(ts - drift, rate) for ts, rate, _ in market.fundings]
        Pricing(core, m, market.instrument, computed)


def money_rules(plan: Plan, m: int) -> dict[str, Any]:
    """By what a market's fees and funding can be recomputed: rates at 1e-12 of value, roundings and their units."""
    market = plan.markets[m]
    fees, funding = plan.venues[market.venue].fees, plan.venues[market.venue].card.funding
    rates = {} if fees.model is not None else {"maker_rate_e12": fees.maker_e12, "taker_rate_e12": fees.taker_e12}
    return rates | {
        "liquidation_rate_e12": market.liquidation_e12,
        "fee_rounding": ROUNDING_NAMES[fees.rounding],
        "fee_unit_e8": fees.unit_e8,
        "funding_rounding": ROUNDING_NAMES[ROUNDING[funding.payment_rounding.value]],
        "funding_unit_e8": funding.payment_unit_e8.value,
        "funding_accrual": funding.accrual.value,
    }


def money_e8(amount: Decimal, asset: str) -> int:
    """An amount of money of the run file at 1e-8, exactly. Raises ``InputError``."""
    scaled = amount * E8
    if scaled != int(scaled) or not 0 <= scaled < 1 << 62:
        raise InputError(f"{amount} {asset} must not be negative and have at most 8 decimals", source="run file")
    return int(scaled)
