"""From what the command line says of feed, accounts and latency to an engine that can start.

Theory of operation. ``Choice`` is what was asked for. ``prepare`` makes a run configuration of it (or takes a run
file's), resolves it as a backtest would, and decides how the feed's time becomes the clients':

- a synthetic session starts at the whole second before now and is not shifted, so that its funding boundaries are the
  venue's own hours (a preset that belongs to an hour of the day, as the one around a funding boundary, keeps its start
  and is shifted as a slice is);
- a recorded slice keeps its own time inside, and everything clients see is shifted so that its start is now, by whole
  milliseconds, which keeps the venues' resolution. Funding boundaries move with it: they come as long after the start
  as in the recording.

A feed that loops begins again at the next whole second after its last message.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from matching.feed import FeedSource
from recorders.lake import Lake
from sim.assembly import Plan, assemble
from sim.config import RunConfig, apply_override, check_config, load_config
from sim.serve.accounts import Account, AccountConfig, default_deposit, make_accounts
from sim.serve.engine import Nowhere, SimEngine
from sim.serve.looping import LoopedSource
from sim.synth.listed import Listed
from sim.synth.presets import preset, scenario
from sim.synth.scenario import DEFAULT_START_NS, Scenario
from sim.synth.windows import SyntheticSource, servable
from venues import card, known_instrument
from venues.emulators import served_venue
from venues.errors import InputError, InstrumentError

MS_NS: Final = 1_000_000
SECOND_NS: Final = 10**9
DEFAULT_LATENCY: Final = "2ms"
SYNTH_NS: Final = 24 * 3600 * SECOND_NS
SAMPLES: Final = {"bbo": "1h", "accounts": "1h"}  # nobody reads them


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be served. ``feed``: a lake's folder, ``lake:FOLDER`` or ``synth:PRESET``; "" is the run file's."""

    venue: str
    feed: str = ""
    symbols: tuple[str, ...] = ()
    from_ns: int | None = None
    until_ns: int | None = None
    run: Path | None = None
    overrides: tuple[str, ...] = ()
    latency: str = DEFAULT_LATENCY
    seed: int | None = None
    rate: Fraction = Fraction(1)  # of a synthetic session: times the calibrated activity
    duration_ns: int = SYNTH_NS  # of a synthetic session
    loops: bool = False
    own_time: bool = False  # clients see the feed's own time


@dataclass(slots=True)
class Served:
    """An engine that can start, its accounts, where its feed begins and ends in its own time, and when it begins by the
    wall clock: now, or up to a second ago."""

    engine: SimEngine
    accounts: list[Account]
    first_ns: int
    end_ns: int
    start_wall_ns: int
    about: dict[str, Any]


def prepare(
    choice: Choice,
    configs: Sequence[AccountConfig],
    wall_ns: int,
    base: Path | None = None,
    sink: Nowhere | None = None,
) -> Served:
    """Make the engine. ``wall_ns`` is when it will start. Raises ``InputError`` for whatever does not fit."""
    venue = served_venue(choice.venue)
    base = Path.cwd() if base is None else base
    kind, _, name = _feed(choice).partition(":")
    _check_unused(choice, kind)
    config, base = _config(choice, venue, base)
    made: dict[str | int, FeedSource] | None = None
    session: Scenario | None = None
    listed: list[Listed] = []
    if kind == "synth":
        listed, session = _session(choice, venue, name, wall_ns, config)
        made = {m: _source(one, session, config.seed) for m, one in enumerate(listed)}
    settled = _settled(config, venue, base, listed)
    accounts = make_accounts(configs, venue, settled, config.seed)
    held = {asset for account in accounts for asset, amount in account.terms.deposit_e8.items() if amount}
    deposit = {asset: default_deposit(asset) for asset in settled if asset in held} or {settled[0]: default_deposit("")}
    config = config.model_copy(update={"venue": [config.venue[0].model_copy(update={"deposit": deposit})]})
    plan = assemble(config, base, made)
    first_ns, end_ns = plan.first_ns, plan.last_ns
    sources: list[FeedSource] = [market.source for market in plan.markets]
    if choice.loops:
        _check_loop(plan)
        sources, end_ns = _looped(config, base, plan, listed, session), (1 << 62) - 1
    began_now = 0 <= wall_ns - first_ns < SECOND_NS
    shift_ns = 0 if choice.own_time or began_now else (wall_ns - first_ns) // MS_NS * MS_NS
    start_wall_ns = first_ns if began_now else wall_ns
    engine = SimEngine(
        plan, [account.terms for account in accounts], sources, shift_ns=shift_ns, sink=sink,
        aggregated=kind != "synth",
    )  # fmt: skip
    return Served(engine, accounts, first_ns, end_ns, start_wall_ns, _about(choice, plan, config, first_ns, shift_ns))


def _check_unused(choice: Choice, kind: str) -> None:
    """What is given has an effect, or is refused."""
    synthetic = kind == "synth"
    for given, name, why in (
        (synthetic and choice.from_ns is not None, "--from", "a synthetic session starts now"),
        (synthetic and choice.until_ns is not None, "--until", "a synthetic session has a --duration"),
        (not synthetic and choice.rate != 1, "--rate", "a recorded feed has its own"),
        (not synthetic and choice.duration_ns != SYNTH_NS, "--duration", "a recorded feed has --from and --until"),
        (choice.run is not None and choice.latency != DEFAULT_LATENCY, "--latency", "the run file has its own: --set"),
    ):
        if given:
            raise InputError(f"has no effect here: {why}", source=name)


def _feed(choice: Choice) -> str:
    if choice.feed.startswith(("synth:", "lake:")) or not choice.feed:
        return choice.feed
    return "synth:calm" if choice.feed == "synth" else f"lake:{choice.feed}"


def _about(choice: Choice, plan: Plan, config: RunConfig, first_ns: int, shift_ns: int) -> dict[str, Any]:
    venue = plan.venues[0]
    return {
        "feed": _feed(choice) or f"lake:{config.feed.lake}", "seed": config.seed, "feed_start_ns": first_ns,
        "shift_ns": shift_ns, "latency": {"entry": venue.entry_text, "response": venue.response_text},
        "margin": {market.name: market.margin for market in plan.markets},
        "mark": {market.name: market.mark for market in plan.markets},
        "funding": {market.name: market.funding for market in plan.markets},
    }  # fmt: skip


# -- the run configuration


def _config(choice: Choice, venue: str, base: Path) -> tuple[RunConfig, Path]:
    """Of a run file its part at this venue; without one, what the options say."""
    kind, _, name = _feed(choice).partition(":")
    if choice.run is not None:
        config, base = load_config(choice.run, choice.overrides, seed=choice.seed)
        return _part(config, choice, venue, name if kind == "lake" else None), base
    if not kind:
        raise InputError("is not given: a lake's folder, synth:PRESET, or --run with a run file", source="--feed")
    symbols = choice.symbols or _default_symbols(kind, name, venue, base)
    raw: dict[str, Any] = {
        "name": "serve", "seed": choice.seed or 0, "samples": dict(SAMPLES), "feed": {},
        "venue": [{"name": venue, "latency": choice.latency}],
        "instrument": [{"symbol": symbol} for symbol in symbols],
    }  # fmt: skip
    if kind == "synth":
        for one in raw["instrument"]:
            one |= {"mark": "recorded", "funding": "recorded"}
    else:
        raw["feed"] = {"lake": name} | _span(choice)
    for override in choice.overrides:
        apply_override(raw, override)
    return check_config(raw, "serve"), base


def _span(choice: Choice) -> dict[str, int]:
    span = {"from": choice.from_ns, "to": choice.until_ns}
    return {key: value for key, value in span.items() if value is not None}


def _part(config: RunConfig, choice: Choice, venue: str, lake: str | None) -> RunConfig:
    places = [place for place, one in enumerate(config.venue) if (one.card or one.name) == venue]
    if len(places) != 1:
        raise InputError(
            f"has {'several venues' if places else 'no venue'} of the rule card {venue}; one can be served at a time",
            source=str(choice.run), field="venue",
        )  # fmt: skip
    kept = [
        one for one in config.instrument
        if config.venue_of(one) == places[0] and (not choice.symbols or one.symbol in choice.symbols)
    ]  # fmt: skip
    if not kept:
        raise InputError(f"has none of {', '.join(choice.symbols)} at {venue}", source=str(choice.run))
    feed = config.feed.model_copy(
        update=({"lake": lake} if lake is not None else {})
        | {{"from": "from_"}.get(key, key): value for key, value in _span(choice).items()}
    )
    samples = config.samples.model_copy(update={"bbo": 3600 * SECOND_NS, "accounts": 3600 * SECOND_NS})
    return config.model_copy(
        update={
            "venue": [config.venue[places[0]]], "instrument": kept, "feed": feed, "samples": samples, "data": [],
            "lanes": [], "strategy": None, "record": None,
        }
    )  # fmt: skip


def _default_symbols(kind: str, name: str, venue: str, base: Path) -> list[str]:
    if kind == "synth":
        return [servable(venue)[0].market.symbol]
    found = sorted({feed.symbol for feed in Lake(base / name).feeds(venue, None)})
    if not found:
        raise InputError(f"holds nothing of {venue}", source=str(base / name))
    return found


def _settled(config: RunConfig, venue: str, base: Path, listed: Sequence[Listed]) -> list[str]:
    """What the instruments settle in, each once."""
    found = []
    for one in config.instrument:
        settle = one.settle
        folder = one.lake or config.feed.lake
        if settle is None and folder is not None and not listed:
            recorded = Lake(base / folder).instrument(one.feed_venue or venue, one.symbol, config.feed.from_)
            settle = recorded.settle if recorded is not None else None
        if settle is None:
            try:
                settle = known_instrument(card(venue).venue, one.symbol).settle
            except InstrumentError as error:
                raise InputError(str(error), source=f"instrument {one.symbol}") from None
        found.append(settle)
    return list(dict.fromkeys(found))


# -- feeds


def _session(choice: Choice, venue: str, name: str, wall_ns: int, config: RunConfig) -> tuple[list[Listed], Scenario]:
    markets = {one.market.symbol: one for one in servable(venue)}
    unknown = [one.symbol for one in config.instrument if one.symbol not in markets]
    if unknown:
        raise InputError(
            f"there are no synthetic markets {', '.join(unknown)} of {venue}; there are {', '.join(markets)}",
            source="--symbol",
        )
    named = preset(name or "calm")
    start_ns = named.start_ns if named.start_ns != DEFAULT_START_NS else wall_ns // SECOND_NS * SECOND_NS
    made = scenario(named.name, choice.duration_ns, start_ns)
    activity = int(made.activity_e3 * choice.rate)
    try:
        made = replace(made, activity_e3=activity)
    except ValueError as error:
        raise InputError(f"{error}", source="--rate") from None
    return [markets[one.symbol] for one in config.instrument], made


def _source(listed: Listed, session: Scenario, seed: int) -> SyntheticSource:
    instrument = known_instrument(listed.market.venue, listed.market.symbol)
    tick = Decimal(listed.market.tick_units).scaleb(-listed.market.price_decimals)
    return SyntheticSource(listed, session, seed, int(tick / instrument.tick_size))


def _check_loop(plan: Plan) -> None:
    for market in plan.markets:
        if market.mark_table is not None or market.index_table is not None or market.fundings:
            raise InputError(
                "has a table of marks or rates, which ends with the feed: it cannot loop",
                source=f"instrument {market.name}",
            )


def _looped(
    config: RunConfig, base: Path, plan: Plan, listed: Sequence[Listed], session: Scenario | None
) -> list[FeedSource]:
    last_ns = max(market.source.last_ns for market in plan.markets)
    span_ns = ((last_ns - plan.first_ns) // SECOND_NS + 2) * SECOND_NS
    found: list[FeedSource] = []
    for m, market in enumerate(plan.markets):
        ready: list[FeedSource] = [market.source]

        def reopen(m: int = m, ready: list[FeedSource] = ready) -> FeedSource:
            if ready:
                return ready.pop()
            if session is not None:
                return _source(listed[m], session, config.seed)
            return assemble(config, base).markets[m].source

        found.append(LoopedSource(reopen, plan.first_ns, span_ns))
    return found
