"""Which trading session serves which venue, and what it is made from.

``Keys`` never show themselves: their text form has no secret in it, and nothing of them belongs into a file.
"""

from __future__ import annotations

import importlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

from venues.errors import InputError
from venues.instruments import Instrument
from venues.ports import Clock, Entropy
from venues.session_parts import SECOND
from venues.trading import TradingSession


@dataclass(frozen=True, slots=True)
class Keys:
    """What opens an account. Binance: ``key`` and ``secret``; Hyperliquid: ``secret`` is the private key that signs."""

    key: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class TradingWanted:
    """An account to trade with. ``instruments`` by their place in the run; ``run`` is a tag of at most 12 letters and
    digits that the run's client order ids are made of.

    ``rest ws ws_api ws_user`` replace the venue's own hosts (``https://host:port``, ``wss://host:port``; empty: the
    venue's own, of ``ws_api`` and ``ws_user`` where ``ws`` is given: that one). ``address``: of the account that an
    agent's key signs for; ``vault``: of the vault that is traded for. ``limits`` False: what answers there (an
    emulator) has no rate limits, and none are kept. ``max_wait_ns``: what an order or amendment may wait for them."""

    venue: str
    account: int
    instruments: Mapping[int, Instrument]
    run: str
    keys: Keys
    rest: str = ""
    ws: str = ""
    ws_api: str = ""
    ws_user: str = ""
    address: str = ""
    vault: str = ""
    limits: bool = True
    max_wait_ns: int = 2 * SECOND


# venue: the module and class of its session, made of (TradingWanted, Entropy)
SESSIONS: Final = {
    "binance_usdm": ("venues.binance.trading", "BinanceTrading"),
    "binance_coinm": ("venues.binance.trading", "BinanceTrading"),
    "hyperliquid": ("venues.hyperliquid.trading", "HyperliquidTrading"),
}

# venue: the module of its ``Stage``, for rehearsals of orders
STAGES: Final = {"binance_usdm": "venues.binance.rehearsal", "binance_coinm": "venues.binance.rehearsal"}

# venue: the domains of its own hosts, testnets among them
DOMAINS: Final = {
    "binance_usdm": ("binance.com", "binancefuture.com"),
    "binance_coinm": ("binance.com", "binancefuture.com"),
    "hyperliquid": ("hyperliquid.xyz", "hyperliquid-testnet.xyz"),
}


def is_of_venue(venue: str, address: str) -> bool:
    """Whether an address is one of the venue's own hosts."""
    host = (urlsplit(address).hostname or "").rstrip(".")
    return any(host == domain or host.endswith(f".{domain}") for domain in DOMAINS[venue])


def trading_session(wanted: TradingWanted, entropy: Entropy) -> TradingSession:
    """The session of the venue. Raises ``InputError`` for a venue that cannot be traded at."""
    if wanted.venue not in SESSIONS:
        raise InputError(
            f"orders cannot be sent there; they can to {', '.join(SESSIONS)}", source=f"venue {wanted.venue}"
        )
    module, name = SESSIONS[wanted.venue]
    made: TradingSession = getattr(importlib.import_module(module), name)(wanted, entropy)
    return made


class Stage(Protocol):
    """A session that is ready for orders without a venue, with its ``connections`` and their URLs. ``answers``: what a
    venue would say, and where, to an order or its cancel; ``fill``: that the order is executed."""

    session: TradingSession
    connections: dict[str, str]

    def answers(self, asked: bytes) -> list[tuple[str, bytes]]: ...

    def fill(self) -> tuple[str, bytes]: ...


def stage(wanted: TradingWanted, clock: Clock, entropy: Entropy) -> Stage:
    """The venue's; it must be one of ``STAGES``."""
    found: Stage = importlib.import_module(STAGES[wanted.venue]).Stage(wanted, clock, entropy)
    return found


def read_keys(
    environment: Mapping[str, str], base: Path, *, key_env: str, secret_env: str, keys: str, where: str
) -> Keys:
    """The keys that a run file names: of the environment, or of a TOML file that only its owner can read.

    Raises ``InputError`` naming ``where`` and the variable or file, never their content."""
    if keys:
        return _read_file(base / keys, where)
    if not secret_env:
        raise InputError(
            "names no keys: give key_env and secret_env (names of environment variables), or keys = FILE", source=where
        )
    for name in (key_env, secret_env):
        if name and not environment.get(name):
            raise InputError(f"the environment variable {name} is not set", source=where)
    return Keys(environment[key_env].strip() if key_env else "", environment[secret_env].strip())


def _read_file(path: Path, where: str) -> Keys:
    try:
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            raise InputError(
                f"others can read {path} (mode {mode:o}): chmod 600 it, and think of the keys as known", source=where
            )
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", source=where) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise InputError(f'{path} is not valid TOML; wanted are key = "..." and secret = "..."', source=where) from None
    unknown = sorted(set(content) - {"key", "secret"})
    if unknown:
        raise InputError(f"{path} has unknown keys: {', '.join(unknown)}; wanted are key and secret", source=where)
    found = [content.get(name, "") for name in ("key", "secret")]
    if not all(isinstance(value, str) for value in found) or not found[1]:
        raise InputError(f'{path} needs secret = "...", and key = "..." where the venue has one', source=where)
    return Keys(found[0].strip(), found[1].strip())
