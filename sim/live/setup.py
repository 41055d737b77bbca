"""What a session of paper or live is made of, found and checked before anything is opened.

``prepare`` reads the run file and refuses what cannot be: a missing half of the opt-in, keys that are not there, inputs
that neither the file nor the stream has. Nothing is connected and no folder is made before it has returned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from sim.backtest import Strategies, strategies_of
from sim.config import RunConfig, VenueConfig, load_config
from sim.config_live import ConnectConfig, LiveConfig, PaperConfig
from sim.config_record import RecordConfig
from sim.live import inputs
from sim.recording import plan as recording_plan
from sim.strategy import Strategy
from venues import card
from venues.errors import InputError
from venues.ports import Clock, Entropy, Files
from venues.sessions import MarketSession
from venues.trading_sessions import SESSIONS, TradingWanted, is_of_venue, read_keys
from venues.transport import Wire

FLAG: Final = "--yes-real-orders"
Mode = Literal["paper", "live"]


@dataclass(frozen=True, slots=True)
class Ports:
    """The outside world of a session. ``feed`` and ``orders`` may be one wire; both are closed at the end."""

    clock: Clock
    entropy: Entropy
    files: Files
    feed: Wire
    orders: Wire


@dataclass(slots=True)
class Setup:
    """A session that can begin. ``trading``: what each venue's trading session is made from, in live."""

    mode: Mode
    config: RunConfig
    base: Path
    out: Path
    strategies: list[Strategy]
    names: list[str]
    sessions: list[MarketSession]
    about: dict[str, Any]
    html: bool
    trading: dict[int, TradingWanted] = field(default_factory=dict)

    @property
    def record(self) -> RecordConfig:
        return self.config.record or RecordConfig()

    @property
    def paper(self) -> PaperConfig:
        return self.config.paper or PaperConfig()

    @property
    def live(self) -> LiveConfig:
        return self.config.live or LiveConfig()

    @property
    def busy_poll(self) -> bool:
        """Whether the event loop never sleeps."""
        return self.mode == "live" and self.live.busy_poll


def prepare(
    mode: Mode,
    source: str | Path | Mapping[str, Any] | RunConfig,
    clock: Clock,
    environment: Mapping[str, str],
    strategy: Strategies | None = None,
    *,
    overrides: Sequence[str] = (),
    seed: int | None = None,
    out: str | Path | None = None,
    html: bool | None = None,
    yes_real_orders: bool = False,
    shadow: bool = False,
) -> Setup:
    """The run file as a session; ``shadow`` as ``[live] shadow = true``. Raises ``InputError``."""
    overrides = [*overrides, *(["live.shadow=true"] if shadow else [])]
    config, base = load_config(source, overrides, seed=seed)
    if mode == "live":
        opt_in(config, yes_real_orders)
    inputs.check(config, mode)
    made = recording_plan(source, overrides)
    inputs.live_plan(config, base, made.sessions, clock.wall_ns())
    strategies, names = strategies_of(config, base, strategy)
    if mode == "live" and len(strategies) > 1:
        raise InputError(f"live runs one strategy, not {len(strategies)}", source="strategy")
    setup = Setup(
        mode, config, base, base / config.out if out is None else Path(out), strategies, names, made.sessions,
        made.about, config.report.html if html is None else html,
    )  # fmt: skip
    if mode == "live":
        setup.trading = {place: _trading(config, base, place, environment) for place in range(len(config.venue))}
    return setup


def opt_in(config: RunConfig, yes_real_orders: bool) -> None:
    """Both halves of the opt-in, or ``InputError`` naming both."""
    enabled = config.live is not None and config.live.enabled
    if enabled and yes_real_orders:
        return
    missing = [] if enabled else ["the run file does not say [live] enabled = true"]
    missing += [] if yes_real_orders else [f"the command line does not say {FLAG}"]
    raise InputError(
        f"sends real orders only if the run file says [live] enabled = true and the command line {FLAG}: "
        f"{' and '.join(missing)}", source="live",
    )  # fmt: skip


def _trading(config: RunConfig, base: Path, place: int, environment: Mapping[str, str]) -> TradingWanted:
    venue = config.venue[place]
    named = config.connect.get(venue.name, ConnectConfig())
    where = f"connect.{venue.name}"
    rule_card = card(venue.card or venue.name)
    if rule_card.venue not in SESSIONS:
        raise InputError(
            f"orders cannot be sent there; they can to {', '.join(SESSIONS)}", source=f"venue {venue.name}"
        )
    keys = read_keys(
        environment, base, key_env=named.key_env, secret_env=named.secret_env, keys=named.keys, where=where
    )
    from sim.assembly import instrument_of

    mine = {
        number: instrument_of(one, rule_card, None)
        for number, one in enumerate(config.instrument)
        if config.venue_of(one) == place
    }
    return TradingWanted(
        rule_card.venue, place, mine, "", keys, named.rest, named.ws, named.ws_api, named.ws_user, named.address,
        named.vault, _has_limits(venue, rule_card.venue, named), (config.live or LiveConfig()).max_wait,
    )  # fmt: skip


def _has_limits(venue: VenueConfig, name: str, named: ConnectConfig) -> bool:
    """Whether requests stay inside the venue's rate limits: always, but at a deployment that is not the venue's own and
    that the run file says to have none (``InputError`` where it says so of the venue itself)."""
    if venue.rate_limits != "none":
        return True
    given = [named.rest, named.ws, *filter(None, (named.ws_api, named.ws_user))]
    if all(given) and not any(is_of_venue(name, address) for address in given):
        return False
    raise InputError(
        f'"none" would send real orders without regard to the limits of {venue.name}, which bans for that: take it '
        f"out; for an emulator, or a deployment of your own, give its rest and ws in [connect.{venue.name}]",
        source=f"venue {venue.name}", field="rate_limits",
    )  # fmt: skip
