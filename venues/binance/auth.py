"""How Binance wants requests signed: HMAC-SHA256, RSA and Ed25519, and what exactly is signed.

The signed text is the parameters as ``name=value`` joined by ``&``: over REST the query string immediately followed by
the body, as they are sent (``signature`` itself comes last); over the websocket API all parameters sorted by name.
HMAC signatures are hexadecimal (RFC 2104; what depends on the key alone is hashed once, by Python's own SHA-256, since
OpenSSL's takes twice as long where it has not just run). RSA (PKCS#1 v1.5 with SHA-256) and Ed25519 signatures are
base64, percent-encoded in a query; their private keys are PEM (PKCS#8) texts. An Ed25519 key may log a websocket
session on, which then needs no further signatures.

The venue takes a request when ``timestamp < its time + 1000 ms`` and ``its time - timestamp <= recvWindow``.

Sources: developers.binance.com, derivatives, usds-margined-futures: "General Info", "Websocket API General Info".
Ed25519 over REST is not documented for futures: assumed to be as over the websocket API.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final
from urllib.parse import quote

import msgspec
from Crypto.Hash import SHA256
from Crypto.PublicKey import ECC, RSA
from Crypto.Signature import eddsa, pkcs1_15

from venues.errors import InputError

HMAC, RSA_KEY, ED25519 = "HMAC", "RSA", "Ed25519"
RECV_WINDOW_MS: Final = 5000
NUMBERS: Final = ("recvWindow", "timestamp")  # numbers in JSON; all else is text
BLOCK: Final = 64  # bytes of a block of SHA-256
BARE: Final = re.compile(r"[A-Za-z0-9_.:=&/-]*")  # nothing of it is escaped in JSON
_PLAIN: Final = "-_.~"  # what a query may carry as it is, beside letters and digits


def _plain_sha256() -> Callable[[bytes], hashlib._Hash]:
    for name in ("_sha2", "_sha256"):  # of Python 3.12 and later, and of those before
        with contextlib.suppress(ImportError, AttributeError):
            found: Callable[[bytes], hashlib._Hash] = importlib.import_module(name).sha256
            return found
    return hashlib.sha256


_sha256: Final = _plain_sha256()


class Signer:
    """Signs with one account's secret. ``kind``: HMAC, RSA or Ed25519, told by the secret's form. Shows nothing of it.

    Raises ``InputError`` for a PEM text that holds no such key."""

    __slots__ = ("_ed25519", "_inner", "_outer", "_rsa", "kind")

    def __init__(self, secret: str) -> None:
        self._inner = self._outer = None
        self._rsa: pkcs1_15.PKCS115_SigScheme | None = None
        self._ed25519: eddsa.EdDSASigScheme | None = None
        if "-----BEGIN" not in secret:
            self.kind = HMAC
            key = secret.encode() if len(secret.encode()) <= BLOCK else hashlib.sha256(secret.encode()).digest()
            key = key.ljust(BLOCK, b"\0")
            self._inner = _sha256(bytes(byte ^ 0x36 for byte in key))
            self._outer = _sha256(bytes(byte ^ 0x5C for byte in key))
            return
        try:
            pem = ECC.import_key(secret)
            if pem.curve != "Ed25519" or not pem.has_private():
                raise InputError("is a PEM key, but neither an RSA nor an Ed25519 private key", source="secret")
            self.kind, self._ed25519 = ED25519, eddsa.new(pem, "rfc8032")
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            self.kind, self._rsa = RSA_KEY, pkcs1_15.new(_rsa_key(secret))

    def sign(self, payload: bytes) -> str:
        """The signature of a text, as the venue spells it (base64 not yet percent-encoded)."""
        if self._inner is not None and self._outer is not None:
            inner, outer = self._inner.copy(), self._outer.copy()
            inner.update(payload)
            outer.update(inner.digest())
            return outer.hexdigest()
        if self._rsa is not None:
            return base64.b64encode(self._rsa.sign(SHA256.new(payload))).decode()
        assert self._ed25519 is not None
        return base64.b64encode(self._ed25519.sign(payload)).decode()

    def beginning(self, head: bytes) -> Callable[[bytes], str]:
        """What signs texts that all begin with ``head``, given their rests: the same as ``sign``, hashed once."""
        if self._inner is None or self._outer is None:
            return lambda rest: self.sign(head + rest)
        begun = self._inner.copy()
        begun.update(head)
        begin, end = begun.copy, self._outer.copy

        def signature(rest: bytes) -> str:
            inner, outer = begin(), end()
            inner.update(rest)
            outer.update(inner.digest())
            return outer.hexdigest()

        return signature

    def signed_query(self, parameters: Iterable[tuple[str, str]]) -> str:
        """The parameters as a query string, with its signature last."""
        query = query_string(parameters)
        return f"{query}&signature={quote(self.sign(query.encode()), safe=_PLAIN)}"

    def signed_frame(self, parameters: Mapping[str, str | int]) -> str:
        """The parameters of a websocket request with their signature, as a JSON object. Where no value needs a JSON
        encoder it is made of the signed text, since an order waits for it."""
        text = "&".join([f"{name}={parameters[name]}" for name in sorted(parameters)])
        signature = self.sign(text.encode())
        count = len(parameters)
        if text.count("=") != count or text.count("&") != count - 1 or not BARE.fullmatch(text):
            return msgspec.json.encode({**parameters, "signature": signature}).decode()
        pairs = '"' + text.replace("=", '":"').replace("&", '","') + '"'
        for name in NUMBERS:
            if name in parameters:
                pairs = pairs.replace(f'"{name}":"{parameters[name]}"', f'"{name}":{parameters[name]}')
        return f'{{{pairs},"signature":"{signature}"}}'

    def __repr__(self) -> str:
        return f"<Signer {self.kind}>"


def query_string(parameters: Iterable[tuple[str, str]]) -> str:
    """``name=value`` joined by ``&``, percent-encoded (UTF-8) before it is signed."""
    return "&".join([f"{name}={value if value.isalnum() and value.isascii() else quote(value, safe=_PLAIN)}"
                     for name, value in parameters])  # fmt: skip


def _rsa_key(secret: str) -> RSA.RsaKey:
    try:
        key = RSA.import_key(secret)
    except ValueError:
        raise InputError("is a PEM text, but no private key that can be read", source="secret") from None
    if not key.has_private():
        raise InputError("is a public key: the private one signs", source="secret")
    return key
