"""Who may act for whom: accounts, their agents and nonces, as Hyperliquid keeps them.

Theory of operation. A request names nobody: the signer is recovered (``auth``) and must be an account of the venue or
an agent of one. What the signature's chain is cannot be told beforehand (ccxt signs for mainnet, the venue's SDK for
testnet at any address that is not its own), so both are tried. Nonces count by signer. ``vaultAddress`` names another
account that the same signer may act for (a sub-account or vault). User-signed actions speak for the signer's own
account only: an agent's signature belongs to the agent's own, empty account.

Texts and the rules of agents (one unnamed and three named, a name's new address replaces the old one, address 0 removes
it, ``valid_until`` at most 180 days ahead and 90 by default): answers of the venue's testnet of 2026-09 as published,
and hyperliquid.gitbook.io, "Nonces and API wallets".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from venues.emulation import Credentials
from venues.errors import InputError
from venues.hyperliquid.auth import (
    MAINNET,
    NONCE_AHEAD_MS,
    TESTNET,
    USER_SIGNED,
    SeenNonces,
    Signature,
    Wallet,
    is_address,
    recover_action,
    recover_user_action,
)

NOBODY: Final = "0x" + "0" * 40
AGENTS_NAMED: Final = 3
_DAY_MS: Final = 86_400_000
_NEVER_MS: Final = 4_102_444_800_000  # the year 2100
_SIGNERS_MOST: Final = 100_000


class Refused(Exception):  # noqa: N818  (an answer, not a fault)
    """The venue refuses the whole request; the text is its own."""


class Unreadable(Exception):  # noqa: N818
    """The request does not have the form of any that the venue knows (HTTP 422)."""


class Agent:
    """A key that trades for an account. ``name`` "": the unnamed one."""

    __slots__ = ("account", "address", "name", "user", "valid_until_ms")

    def __init__(self, address: str, user: str, account: int, name: str, valid_until_ms: int) -> None:
        self.address, self.user, self.account, self.name = address, user, account, name
        self.valid_until_ms = valid_until_ms


class Signers:
    """Accounts by address, agents, builders' fees and nonces."""

    def __init__(self, credentials: Iterable[Credentials]) -> None:
        """Raises ``InputError`` naming the credentials whose key is none, or whose address belongs to two accounts."""
        self.accounts: dict[str, int] = {}
        self.addresses: dict[int, str] = {}
        self.agents: dict[str, Agent] = {}
        self._may: dict[str, set[str]] = {}
        self._seen: dict[str, SeenNonces] = {}
        self._used_agents: set[str] = set()
        self.builder_fees: dict[tuple[int, str], int] = {}
        for one in credentials:
            self._add(one)

    def _add(self, one: Credentials) -> None:
        signer = Wallet(one.secret).address
        address = (one.address or signer).lower()
        if not is_address(address):
            raise InputError("address is none: wanted 0x and 40 hexadecimal digits", source=f"account {one.name}")
        if self.accounts.setdefault(address, one.account) != one.account:
            raise InputError(f"{address} is another account's address too", source=f"account {one.name}")
        self.addresses.setdefault(one.account, address)
        self._may.setdefault(signer, set()).add(address)
        if signer != address and signer not in self.agents:
            self.agents[signer] = Agent(signer, address, one.account, one.name[:16], _NEVER_MS)

    # -- who acts

    def acting(self, request: Mapping[str, Any], now_ms: int) -> tuple[int, str, int]:
        """(account, address, nonce) of a signed request. Raises ``Refused`` or ``Unreadable``."""
        action, nonce = request.get("action"), request.get("nonce")
        if not isinstance(action, dict) or not isinstance(nonce, int) or isinstance(nonce, bool):
            raise Unreadable("action and nonce")
        try:
            signature = Signature.parse(request.get("signature"))
        except InputError as error:
            raise Unreadable(str(error)) from None
        expires = request.get("expiresAfter")
        if expires is not None and (not isinstance(expires, int) or isinstance(expires, bool)):
            raise Unreadable("expiresAfter")
        vault = self._vault(request.get("vaultAddress"))
        signer = self._signer(action, nonce, signature, vault, expires)
        agent = self.agents.get(signer)
        if agent is not None and agent.valid_until_ms <= now_ms:
            self._drop((agent,))
        user = self._user(action, signer, vault)
        self._take(signer, nonce, now_ms)
        if expires is not None and expires < now_ms:
            raise Refused("Action already expired")
        return self.accounts[user], user, nonce

    @staticmethod
    def _vault(value: object) -> str | None:
        if value is None:
            return None
        text = value if isinstance(value, str) else ""
        text = text if text.startswith("0x") else "0x" + text
        if not is_address(text):
            raise Unreadable("vaultAddress")
        return text.lower()

    def _signer(
        self, action: Mapping[str, Any], nonce: int, signature: Signature, vault: str | None, expires: int | None
    ) -> str:
        try:
            if action.get("type") in USER_SIGNED:
                own = action.get("time", action.get("nonce"))
                if own != nonce:
                    raise Unreadable("the nonce of the action is another")
                return recover_user_action(action, signature)
            first = recover_action(action, nonce, signature, MAINNET, vault, expires)
            if first in self._may:
                return first
            other = recover_action(action, nonce, signature, TESTNET, vault, expires)
            return other if other in self._may else first
        except InputError as error:
            if error.source == "signature":
                raise Refused("Unable to recover signer.") from None
            raise Unreadable(str(error)) from None

    def _user(self, action: Mapping[str, Any], signer: str, vault: str | None) -> str:
        """The address for which the signer acts."""
        if action.get("type") in USER_SIGNED:
            if signer not in self.accounts:
                raise Refused(f"Must deposit before performing actions. User: {signer}")
            return signer
        may = self._may.get(signer)
        if not may:
            raise Refused(f"User or API Wallet {signer} does not exist.")
        if vault is not None:
            if vault not in may:
                raise Refused(f"Vault not registered: {vault}")
            return vault
        if signer in self.accounts:
            return signer
        agent = self.agents.get(signer)
        return agent.user if agent is not None else min(may)

    def _take(self, signer: str, nonce: int, now_ms: int) -> None:
        seen = self._seen.get(signer)
        if seen is None:
            if len(self._seen) >= _SIGNERS_MOST:
                raise Refused("Invalid nonce: too many signers")
            seen = self._seen[signer] = SeenNonces()
        if seen.take(nonce, now_ms):
            return
        if nonce >= now_ms + NONCE_AHEAD_MS:
            raise Refused(f"Invalid nonce: nonce too high {nonce} > {now_ms + NONCE_AHEAD_MS}")
        if nonce in seen:
            raise Refused(f"Invalid nonce: duplicate nonce {nonce}")
        raise Refused(f"Invalid nonce: nonce too low {nonce} < {seen.least(now_ms)}")

    # -- agents and builders

    def approve_agent(self, action: Mapping[str, Any], user: str, now_ms: int) -> None:
        """Register, replace or remove an agent. Raises ``Refused``."""
        address, name = str(action.get("agentAddress")).lower(), action.get("agentName") or ""
        if not is_address(address) or not isinstance(name, str):
            raise Unreadable("agentAddress")
        name, _, until = name.partition(" valid_until ")
        valid_until = now_ms + 90 * _DAY_MS
        if until:
            if not until.isdigit() or not now_ms < int(until) <= now_ms + 180 * _DAY_MS:
                raise Refused("Agent valid_until already expired.")
            valid_until = int(until)
        old = [agent for agent in self.agents.values() if agent.user == user and agent.name == name]
        if address == NOBODY:
            self._drop(old)
            return
        if len(self._used_agents) >= _SIGNERS_MOST:
            raise Refused("User has too many agents")
        if address in self._used_agents or address in self.accounts or address in self.agents:
            raise Refused("Extra agent already used.")
        named = sum(1 for agent in self.agents.values() if agent.user == user and agent.name)
        if name and not old and named >= AGENTS_NAMED:
            raise Refused(f"Too many extra agents for cumulative volume traded. Current limit is {AGENTS_NAMED}")
        self._drop(old)
        self._used_agents.add(address)
        self.agents[address] = Agent(address, user, self.accounts[user], name, valid_until)
        self._may[address] = {user}

    def _drop(self, agents: Iterable[Agent]) -> None:
        for agent in agents:
            del self.agents[agent.address]
            self._may.pop(agent.address, None)
            self._seen.pop(agent.address, None)

    def extra_agents(self, user: str) -> list[dict[str, Any]]:
        """The named agents of an account."""
        return [
            {"name": agent.name, "address": agent.address, "validUntil": agent.valid_until_ms}
            for agent in self.agents.values()
            if agent.user == user and agent.name
        ]

    def approve_builder(self, action: Mapping[str, Any], account: int) -> None:
        """Note the highest fee that a builder may take. Raises ``Unreadable``."""
        builder, text = action.get("builder"), action.get("maxFeeRate")
        if not is_address(builder) or not isinstance(text, str):
            raise Unreadable("builder")
        self.builder_fees[account, str(builder).lower()] = tenths_of_bp(text)

    def role(self, address: str) -> dict[str, Any]:
        """``userRole``."""
        if address in self.accounts:
            return {"role": "user"}
        agent = self.agents.get(address)
        return {"role": "missing"} if agent is None else {"role": "agent", "data": {"user": agent.user}}


def tenths_of_bp(text: str) -> int:
    """A percentage such as ``0.01%`` in tenths of a basis point (10). Raises ``Unreadable``."""
    number, percent, rest = text.partition("%")
    whole, _, fraction = number.partition(".")
    if not percent or rest or not whole.isdigit() or (fraction and not fraction.isdigit()) or len(number) > 12:
        raise Unreadable("maxFeeRate")
    return int(whole) * 1000 + int((fraction + "000")[:3])
