"""The accounts of an emulator: their money, leverage and keys, from a TOML file or by default.

    [[account]]
    name = "maker"
    deposit = { USDT = 100000 }        # without it: 100,000 of a dollar, 10 of a coin
    leverage = 20                      # or { BTCUSDT = 20, ETHUSDT = 10 }
    margin_mode = "isolated"           # default: cross
    key = "..."                        # Binance: API key and secret
    secret = "..."
    private_key = "0x..."              # Hyperliquid: what the account signs with
    agent_key = "0x..."                # and the private key of its agent wallet

Keys that are not given follow from the seed, so that the same seed always has the same accounts: they open nothing but
this emulator.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from sim.assembly import money_e8
from sim.config_parts import Money
from sim.serve.engine import AccountTerms
from sim.toml import checked, read_toml
from venues.emulation import Credentials
from venues.errors import InputError

DOLLARS: Final = frozenset({"USDT", "USDC", "FDUSD", "BUSD", "USD"})
DEFAULT_NAMES: Final = ("main", "second")
_KEY: Final = r"^(0x)?[0-9a-fA-F]{64}$"


class AccountConfig(BaseModel):
    """One entry of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=40)
    deposit: dict[str, Money] | None = None
    leverage: int | dict[str, int] = Field(default_factory=dict)
    margin_mode: Literal["cross", "isolated"] = "cross"
    key: str = Field("", repr=False)
    secret: str = Field("", repr=False)
    private_key: str = Field("", pattern=f"^$|{_KEY}", repr=False)
    agent_key: str = Field("", pattern=f"^$|{_KEY}", repr=False)


class AccountsFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    account: list[AccountConfig] = Field(min_length=1, max_length=256)


@dataclass(frozen=True, slots=True)
class Account:
    """An account with what opens it, and how it is shown on the first line of ``perpsim serve``."""

    terms: AccountTerms
    credentials: tuple[Credentials, ...]
    shown: dict[str, Any]


def load_accounts(path: str | Path | None) -> list[AccountConfig]:
    """The accounts of a file; without one: two by default. Raises ``InputError`` naming file and key."""
    if path is None:
        return [AccountConfig(name=name) for name in DEFAULT_NAMES]
    return check_accounts(read_toml(Path(path)), str(path))


def check_accounts(raw: Mapping[str, Any], name: str) -> list[AccountConfig]:
    """Plain data as accounts. Raises ``InputError``; what it says never holds a key."""
    found = checked(AccountsFile, raw, name).account
    names = [one.name for one in found]
    twice = sorted({one for one in names if names.count(one) > 1})
    if twice:
        raise InputError(f"several accounts are named {', '.join(twice)}", source=name, field="account")
    return found


def default_deposit(asset: str) -> Decimal:
    """What an account starts with in an asset."""
    return Decimal(100_000) if asset in DOLLARS else Decimal(10)


def make_accounts(configs: Sequence[AccountConfig], venue: str, assets: Sequence[str], seed: int) -> list[Account]:
    """Terms and credentials of every account at a venue. Raises ``InputError`` for an amount that is none."""
    made = [_make(config, place, venue, assets, seed) for place, config in enumerate(configs)]
    keys = [one.key or one.address for account in made for one in account.credentials]
    if len(set(keys)) < len(keys):
        raise InputError("two accounts have the same key", source="accounts", field="account")
    return made


def _make(config: AccountConfig, place: int, venue: str, assets: Sequence[str], seed: int) -> Account:
    deposit = {asset: default_deposit(asset) for asset in assets} if config.deposit is None else config.deposit
    leverage = config.leverage if isinstance(config.leverage, dict) else {"": config.leverage}
    terms = AccountTerms(
        config.name, {asset: money_e8(amount, asset) for asset, amount in deposit.items()}, leverage,
        config.margin_mode == "isolated",
    )  # fmt: skip
    shown: dict[str, Any] = {"name": config.name, "deposit": {name: str(value) for name, value in deposit.items()}}
    if venue == "hyperliquid":
        if config.key or config.secret:
            raise InputError("key and secret are Binance's: give private_key", source=f"account {config.name}")
        credentials = _wallets(config, place, seed)
        own, agent = credentials
        shown |= {
            "address": own.address, "private_key": own.secret, "agent": agent.key, "agent_private_key": agent.secret,
        }  # fmt: skip
        return Account(terms, credentials, shown)
    if config.private_key or config.agent_key:
        raise InputError("private keys are Hyperliquid's: give key and secret", source=f"account {config.name}")
    if bool(config.key) != bool(config.secret):
        raise InputError("needs both key and secret, or neither", source=f"account {config.name}")
    key = config.key or _derived(seed, venue, config.name, "key")
    secret = config.secret or _derived(seed, venue, config.name, "secret")
    shown |= {"key": key, "secret": secret}
    return Account(terms, (Credentials(account=place, name=config.name, key=key, secret=secret),), shown)


def _wallets(config: AccountConfig, place: int, seed: int) -> tuple[Credentials, Credentials]:
    from venues.hyperliquid.auth import Wallet

    own = _hex(config.private_key or _derived(seed, "hyperliquid", config.name, "private key"))
    agent = _hex(config.agent_key or _derived(seed, "hyperliquid", config.name, "agent"))
    address = Wallet(own).address
    return (
        Credentials(account=place, name=config.name, key="", secret=own, address=address),
        Credentials(account=place, name=config.name, key=Wallet(agent).address, secret=agent, address=address),
    )


def _hex(key: str) -> str:
    return "0x" + key.removeprefix("0x").lower()


def _derived(seed: int, venue: str, name: str, what: str) -> str:
    return hashlib.sha256(f"perpsim emulator/{seed}/{venue}/{name}/{what}".encode()).hexdigest()
