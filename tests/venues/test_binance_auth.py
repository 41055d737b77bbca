"""Binance's signatures: the documented vectors, other libraries' verdict on RSA and Ed25519, no secret shown."""

from __future__ import annotations

import base64
import hashlib
import hmac
from urllib.parse import parse_qsl, unquote

import msgspec
import pytest
from Crypto.Hash import SHA256
from Crypto.PublicKey import ECC, RSA
from Crypto.Signature import eddsa, pkcs1_15
from hypothesis import given
from hypothesis import strategies as st

from venues.binance.auth import Signer, query_string
from venues.errors import InputError

SECRET = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"  # of the venue's documents


@pytest.mark.parametrize(
    ("payload", "signature"),
    [
        (
            "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000"
            "&timestamp=1591702613943",
            "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9",
        ),
        (  # query and body, joined without a separator
            "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC"
            "quantity=1&price=9000&recvWindow=5000&timestamp=1591702613943",
            "30baaf0fab549bbeda7f5ef201898b34122da25fd23c646cac2c529aebe670a4",
        ),
    ],
)
def test_the_documented_vectors(payload: str, signature: str) -> None:
    signer = Signer(SECRET)
    assert signer.kind == "HMAC"
    assert [signer.sign(payload.encode()) for _ in range(2)] == [signature] * 2


def test_a_signed_query_of_the_documents() -> None:
    parameters = [
        ("symbol", "BTCUSDT"), ("side", "BUY"), ("type", "LIMIT"), ("quantity", "1"), ("price", "9000"),
        ("timeInForce", "GTC"), ("recvWindow", "5000"), ("timestamp", "1591702613943"),
    ]  # fmt: skip
    assert (
        Signer(SECRET)
        .signed_query(parameters)
        .endswith("&signature=3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9")
    )


def test_rsa_and_ed25519_verify() -> None:
    rsa, ed = RSA.generate(2048), ECC.generate(curve="Ed25519")
    signer = Signer(rsa.export_key(pkcs=8).decode())
    assert signer.kind == "RSA"
    query, _, signature = signer.signed_query([("symbol", "BTCUSDT"), ("x", "a+b")]).partition("&signature=")
    pkcs1_15.new(rsa.public_key()).verify(SHA256.new(query.encode()), base64.b64decode(unquote(signature)))
    signer = Signer(ed.export_key(format="PEM"))
    assert signer.kind == "Ed25519"
    frame = msgspec.json.decode(signer.signed_frame({"timestamp": 5, "apiKey": "k"}))
    verifier = eddsa.new(ed.public_key(), "rfc8032")
    verifier.verify(b"apiKey=k&timestamp=5", base64.b64decode(str(frame["signature"])))


def test_frames_are_signed_sorted() -> None:
    given = {"symbol": "BTCUSDT", "apiKey": "k", "timestamp": 5, "quantity": "0.001"}
    frame = msgspec.json.decode(Signer("s").signed_frame(given))
    wanted = hmac.new(b"s", b"apiKey=k&quantity=0.001&symbol=BTCUSDT&timestamp=5", hashlib.sha256).hexdigest()
    assert frame == {**given, "signature": wanted}


@given(
    st.dictionaries(
        st.sampled_from(("symbol", "newClientOrderId", "price", "type")),
        st.text(min_size=1, max_size=12) | st.from_regex(r"\A[A-Za-z0-9=&.\"-]{1,12}\Z"),
        min_size=1,
    ),
    st.integers(0, 10**13),
)
def test_frames_are_json_whatever_their_values(texts: dict[str, str], timestamp: int) -> None:
    parameters: dict[str, str | int] = {**texts, "timestamp": timestamp, "recvWindow": 5000}
    text = "&".join(f"{name}={value}" for name, value in sorted(parameters.items()))
    try:
        wanted = hmac.new(b"s" * 100, text.encode(), hashlib.sha256).hexdigest()
    except UnicodeEncodeError:
        return  # a lone surrogate
    assert msgspec.json.decode(Signer("s" * 100).signed_frame(parameters)) == {**parameters, "signature": wanted}


@given(st.lists(st.tuples(st.from_regex(r"\A[a-zA-Z]{1,9}\Z"), st.text(min_size=1, max_size=20)), max_size=6))
def test_queries_read_back(parameters: list[tuple[str, str]]) -> None:
    try:
        query = query_string(parameters)
    except UnicodeEncodeError:
        return  # a lone surrogate
    assert parse_qsl(query, keep_blank_values=True) == parameters
    assert query.isascii()


def test_what_is_no_key_is_refused_and_shown_nowhere() -> None:
    public = RSA.generate(2048).public_key().export_key().decode()
    other = ECC.generate(curve="P-256").export_key(format="PEM")
    broken = "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----"
    for secret in (public, other, broken):
        with pytest.raises(InputError) as caught:
            Signer(secret)
        assert "canary" not in str(caught.value)
    assert "canary" not in repr(Signer("canary"))
