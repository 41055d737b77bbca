"""Hyperliquid's signatures: what is hashed, who signs, who has signed; and the nonces that go with them.

Theory of operation. An action is a map whose keys stand in the venue's order. There are two ways of signing it.

Trading actions ("L1 actions") are signed as a phantom agent:

    connectionId = keccak256( msgpack(action) | nonce, 8 bytes | 00, or 01 and the 20 bytes of vaultAddress
                              | nothing, or 00 and expiresAfter, 8 bytes )
    signed       = EIP-712 Agent(string source, bytes32 connectionId), source "a" on mainnet and "b" on testnet,
                   in the domain Exchange, version 1, chain 1337, contract 0

Transfers and approvals ("user-signed actions", the table ``USER_SIGNED``) are signed as what they say: an EIP-712
message ``HyperliquidTransaction:<Name>`` of the action's own fields, in the domain HyperliquidSignTransaction, version
1, chain ``signatureChainId``, contract 0.

Either way the signer is not named but recovered. A hash that differs in one byte (a key in another place, a price with
a trailing zero) therefore names somebody who does not exist, which the venue reports as an unknown wallet.

Keys of an action must be in order when it is packed, so a map that came as JSON is packed as it came. The nonce is a
time in milliseconds: the venue keeps the hundred highest of each signer, takes one that it has not seen, that is above
the least of these and lies within (-2 days, +1 day) of its block's time (``Nonces``).

Sources: hyperliquid.gitbook.io, "Signing", "Nonces and API wallets"; github.com/hyperliquid-dex/hyperliquid-python-sdk
at 7ee976d, hyperliquid/utils/signing.py (field lists); staking transfers: github.com/nktkas/hyperliquid at db80d59.
Multi-signature users are not served.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec
from coincurve import PrivateKey, PublicKey
from Crypto.Hash import keccak as _keccak

from venues.errors import InputError, LocalError

MAINNET, TESTNET = "Mainnet", "Testnet"
SOURCES: Final = {MAINNET: "a", TESTNET: "b"}
NONCE_BEHIND_MS: Final = 2 * 86_400_000
NONCE_AHEAD_MS: Final = 86_400_000
NONCES_KEPT: Final = 100
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_KEY: Final = re.compile(r"(0x)?[0-9a-fA-F]{64}")
_WORD: Final = re.compile(r"0x[0-9a-fA-F]{1,64}")

Action = Mapping[str, Any]
Field = tuple[str, str]
_CHAIN: Final[Field] = ("hyperliquidChain", "string")
_NONCE: Final[Field] = ("nonce", "uint64")
_TIME: Final[Field] = ("time", "uint64")

# action type: (name, its fields in order)
USER_SIGNED: Final[Mapping[str, tuple[str, tuple[Field, ...]]]] = {
    "usdSend": ("UsdSend", (_CHAIN, ("destination", "string"), ("amount", "string"), _TIME)),
    "spotSend": (
        "SpotSend", (_CHAIN, ("destination", "string"), ("token", "string"), ("amount", "string"), _TIME),
    ),
    "withdraw3": ("Withdraw", (_CHAIN, ("destination", "string"), ("amount", "string"), _TIME)),
    "usdClassTransfer": ("UsdClassTransfer", (_CHAIN, ("amount", "string"), ("toPerp", "bool"), _NONCE)),
    "sendAsset": (
        "SendAsset",
        (
            _CHAIN, ("destination", "string"), ("sourceDex", "string"), ("destinationDex", "string"),
            ("token", "string"), ("amount", "string"), ("fromSubAccount", "string"), _NONCE,
        ),
    ),
    "approveAgent": ("ApproveAgent", (_CHAIN, ("agentAddress", "address"), ("agentName", "string"), _NONCE)),
    "approveBuilderFee": (
        "ApproveBuilderFee", (_CHAIN, ("maxFeeRate", "string"), ("builder", "address"), _NONCE),
    ),
    "userDexAbstraction": ("UserDexAbstraction", (_CHAIN, ("user", "address"), ("enabled", "bool"), _NONCE)),
    "userSetAbstraction": ("UserSetAbstraction", (_CHAIN, ("user", "address"), ("abstraction", "string"), _NONCE)),
    "tokenDelegate": (
        "TokenDelegate", (_CHAIN, ("validator", "address"), ("wei", "uint64"), ("isUndelegate", "bool"), _NONCE),
    ),
    "cDeposit": ("CDeposit", (_CHAIN, ("wei", "uint64"), _NONCE)),
    "cWithdraw": ("CWithdraw", (_CHAIN, ("wei", "uint64"), _NONCE)),
    "convertToMultiSigUser": ("ConvertToMultiSigUser", (_CHAIN, ("signers", "string"), _NONCE)),
}  # fmt: skip


def keccak256(data: bytes) -> bytes:
    """Keccak-256 as Ethereum has it (not SHA-3, whose padding differs)."""
    return _keccak.new(digest_bits=256, data=data).digest()


# -- signatures


class Signature(NamedTuple):
    """An ECDSA signature over secp256k1: ``r`` and ``s`` of 32 bytes, ``v`` 27 or 28."""

    r: bytes
    s: bytes
    v: int

    @classmethod
    def parse(cls, wire: object) -> Signature:
        """The ``signature`` of a request, r and s with or without leading zeros. Raises ``InputError``."""
        if not isinstance(wire, Mapping):
            raise InputError("wanted an object with r, s and v", source="signature")
        halves = []
        for name in ("r", "s"):
            text = wire.get(name)
            if not isinstance(text, str) or not _WORD.fullmatch(text):
                raise InputError("wanted 0x and up to 64 hexadecimal digits", source="signature", field=name)
            halves.append(int(text, 16).to_bytes(32, "big"))
        v = wire.get("v")
        if isinstance(v, bool) or v not in (0, 1, 27, 28):
            raise InputError("wanted 27 or 28", source="signature", field="v")
        return cls(halves[0], halves[1], v if v >= 27 else v + 27)

    def wire(self) -> dict[str, str | int]:
        """As a request carries it."""
        return {"r": "0x" + self.r.hex(), "s": "0x" + self.s.hex(), "v": self.v}


def address_of(public: PublicKey) -> str:
    """The address of a public key, in lower case."""
    return "0x" + keccak256(public.format(compressed=False)[1:])[12:].hex()


def is_address(text: object) -> bool:
    """Whether this is an address: 0x and 40 hexadecimal digits."""
    return isinstance(text, str) and _ADDRESS.fullmatch(text) is not None


def recover(digest: bytes, signature: Signature) -> str:
    """The address whose key has signed, in lower case. Raises ``InputError`` for what no key can have made."""
    packed = signature.r + signature.s + bytes((signature.v - 27,))
    try:
        return address_of(PublicKey.from_signature_and_message(packed, digest, hasher=None))
    except Exception:  # the library raises Exception itself
        raise InputError("it is no signature of any key", source="signature") from None


class Wallet:
    """A private key: an account's own, or an agent's. Never shows it."""

    __slots__ = ("_key", "address")

    def __init__(self, private_key: str) -> None:
        """``private_key``: 64 hexadecimal digits, with or without 0x. Raises ``InputError`` without quoting it."""
        if not _KEY.fullmatch(private_key):
            raise InputError("wanted 64 hexadecimal digits, with or without 0x before them", source="private key")
        try:
            self._key = PrivateKey(bytes.fromhex(private_key.removeprefix("0x")))
        except ValueError:
            raise InputError("0, or not below the order of secp256k1", source="private key") from None
        self.address = address_of(self._key.public_key)

    def __repr__(self) -> str:
        return f"<Wallet {self.address}>"

    def __reduce__(self) -> tuple[object, ...]:
        raise LocalError("a wallet is not copied or stored: give the other process a key of its own")

    def sign(self, digest: bytes) -> Signature:
        """A signature of 32 bytes, deterministic (RFC 6979), with the lower s."""
        packed = self._key.sign_recoverable(digest, hasher=None)
        return Signature(packed[:32], packed[32:64], 27 + packed[64])

    def sign_action(
        self, action: Action, nonce: int, chain: str, vault: str | None = None, expires_after_ms: int | None = None
    ) -> Signature:
        """A trading action's signature; ``nonce`` and ``expires_after_ms`` in ms, ``vault`` for whom it trades."""
        return self.sign(agent_digest(action_hash(action, nonce, vault, expires_after_ms), chain))

    def sign_user_action(self, action: Action) -> Signature:
        """A user-signed action's signature; ``action`` has its ``signatureChainId`` and ``hyperliquidChain``."""
        return self.sign(user_digest(action))


# -- trading actions


def action_hash(action: Action, nonce: int, vault: str | None = None, expires_after_ms: int | None = None) -> bytes:
    """The connection id of a trading action: 32 bytes. Raises ``InputError`` for a vault that is no address or a number
    that does not fit."""
    try:
        packed = msgspec.msgpack.encode(action) + nonce.to_bytes(8, "big")
        expires = b"" if expires_after_ms is None else b"\x00" + expires_after_ms.to_bytes(8, "big")
    except (OverflowError, TypeError, ValueError, UnicodeEncodeError, RecursionError) as error:
        raise InputError(f"cannot be packed: {error}", source="action") from None
    if vault is None:
        return keccak256(packed + b"\x00" + expires)
    return keccak256(packed + b"\x01" + _address_bytes(vault, "vaultAddress") + expires)


def agent_digest(connection_id: bytes, chain: str) -> bytes:
    """What is signed of a trading action on ``chain`` (MAINNET or TESTNET)."""
    return keccak256(_AGENT_PREFIXES[chain] + keccak256(_AGENT_HEADS[chain] + connection_id))


def recover_action(
    action: Action,
    nonce: int,
    signature: Signature,
    chain: str,
    vault: str | None = None,
    expires_after_ms: int | None = None,
) -> str:
    """Who has signed a trading action for this chain: an address, of somebody or of nobody."""
    return recover(agent_digest(action_hash(action, nonce, vault, expires_after_ms), chain), signature)


# -- user-signed actions


def user_digest(action: Action) -> bytes:
    """What is signed of a user-signed action. An ``agentName`` that is left out is signed as "".

    Raises ``InputError`` naming the field that is missing or of another type, or the action that is none of them."""
    kind = action.get("type")
    if not isinstance(kind, str) or kind not in USER_SIGNED:
        raise InputError(f"{str(kind)[:40]!r} is no user-signed action", source="action", field="type")
    name, fields = USER_SIGNED[kind]
    head = f"HyperliquidTransaction:{name}({','.join(f'{type_} {field}' for field, type_ in fields)})"
    parts = [keccak256(head.encode())]
    for field, type_ in fields:
        value = action.get(field)
        parts.append(_word("" if field == "agentName" and value is None else value, type_, field))
    chain = action.get("signatureChainId")
    if not isinstance(chain, str) or not _WORD.fullmatch(chain):
        raise InputError('wanted the chain\'s number, such as "0x66eee"', source="action", field="signatureChainId")
    prefix = b"\x19\x01" + _domain("HyperliquidSignTransaction", int(chain, 16))
    return keccak256(prefix + keccak256(b"".join(parts)))


def recover_user_action(action: Action, signature: Signature) -> str:
    """Who has signed a user-signed action: an address, of somebody or of nobody."""
    return recover(user_digest(action), signature)


def _word(value: object, type_: str, field: str) -> bytes:
    """A field's 32 bytes in an EIP-712 message."""
    if type_ == "string":
        if isinstance(value, str):
            return keccak256(value.encode("utf-8", "surrogatepass"))
    elif type_ == "address":
        return bytes(12) + _address_bytes(value, field)
    elif type_ == "bool":
        if isinstance(value, bool):
            return int(value).to_bytes(32, "big")
    elif isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 64:
        return value.to_bytes(32, "big")
    raise InputError(f"wanted a {type_}, not {str(value)[:40]!r}", source="action", field=field)


def _address_bytes(value: object, field: str) -> bytes:
    if not isinstance(value, str) or not is_address(value):
        raise InputError("wanted an address: 0x and 40 hexadecimal digits", source="action", field=field)
    return bytes.fromhex(value[2:])


def _domain(name: str, chain_id: int) -> bytes:
    head = keccak256(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
    words = (keccak256(name.encode()), keccak256(b"1"), chain_id.to_bytes(32, "big"), bytes(32))
    return keccak256(head + b"".join(words))


_AGENT_TYPE: Final = keccak256(b"Agent(string source,bytes32 connectionId)")
_AGENT_PREFIXES: Final = {chain: b"\x19\x01" + _domain("Exchange", 1337) for chain in SOURCES}
_AGENT_HEADS: Final = {chain: _AGENT_TYPE + keccak256(source.encode()) for chain, source in SOURCES.items()}


# -- nonces


class Nonces:
    """The nonces of one signer: the time in ms, and one more than the last where that is not above it.

    ``last`` is the highest one given out; who keeps it over a restart stays above it even if the clock went back."""

    __slots__ = ("last",)

    def __init__(self, last: int = 0) -> None:
        self.last = last

    def take(self, venue_ms: int) -> int:
        """The next nonce, at this time of the venue's clock. Raises ``LocalError`` when it would be out of the venue's
        window: more were taken than a day has milliseconds, or the clock is wrong."""
        nonce = max(venue_ms, self.last + 1)
        if nonce >= venue_ms + NONCE_AHEAD_MS:
            raise LocalError(f"nonce {nonce} would be a day ahead of the clock ({venue_ms} ms): correct the clock")
        self.last = nonce
        return nonce


class SeenNonces:
    """The venue's side: which nonces of one signer it takes."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: list[int] = []  # the highest, rising

    def __contains__(self, nonce: int) -> bool:
        return nonce in self._kept

    def least(self, block_ms: int) -> int:
        """The least nonce that could be taken now."""
        oldest = block_ms - NONCE_BEHIND_MS + 1
        return max(oldest, self._kept[0] + 1) if len(self._kept) >= NONCES_KEPT else oldest

    def take(self, nonce: int, block_ms: int) -> bool:
        """Whether the venue takes this nonce now; one that is taken is used up."""
        kept = self._kept
        if not block_ms - NONCE_BEHIND_MS < nonce < block_ms + NONCE_AHEAD_MS or nonce in kept:
            return False
        if len(kept) >= NONCES_KEPT:
            if nonce < kept[0]:
                return False
            del kept[0]
        kept.append(nonce)
        if len(kept) > 1 and kept[-2] > nonce:
            kept.sort()
        return True
