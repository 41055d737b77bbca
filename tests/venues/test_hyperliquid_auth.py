"""Hyperliquid's signatures against the venue's own vectors, and against eth-account on random input."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tools.typed_data_oracle import Oracle, Signed
from venues.errors import InputError, LocalError
from venues.hyperliquid import auth
from venues.hyperliquid.auth import MAINNET, TESTNET, Nonces, SeenNonces, Signature, Wallet

KEY = "0x0123456789012345678901234567890123456789012345678901234567890123"
WALLET = Wallet(KEY)
VAULT = "0x1719884eb866cb12b2287399b15f7db5e7d775ea"


def _order(asset: int, price: str, size: str, kind: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"a": asset, "b": True, "p": price, "s": size, "r": False, "t": kind, **more}


def _orders(*orders: dict[str, Any]) -> dict[str, Any]:
    return {"type": "order", "orders": list(orders), "grouping": "na"}


GTC = {"limit": {"tif": "Gtc"}}
HUNDRED = _orders(_order(1, "100", "100", GTC))
NAMED = _orders(_order(1, "100", "100", GTC, c="0x00000000000000000000000000000001"))
STOP = _orders(_order(1, "100", "100", {"trigger": {"isMarket": True, "triggerPx": "103", "tpsl": "sl"}}))
DUMMY = {"type": "dummy", "num": 100_000_000_000}
SUB = {"type": "createSubAccount", "name": "example"}
MOVE = {"type": "subAccountTransfer", "subAccountUser": "0x1d9470d4b963f552e6f671a81619d395877bf409",
        "isDeposit": True, "usd": 10}  # fmt: skip
ALO = {"a": 0, "b": False, "p": "60000", "s": "0.001", "r": False, "t": {"limit": {"tif": "Alo"}},
       "c": "0x0000000000000000000000000000002a"}  # fmt: skip

# (action, vault, chain, r, s, v) at nonce 0: the SDK's own tests
VECTORS: list[tuple[dict[str, Any], str | None, str, str, str, int]] = [
    (DUMMY, None, MAINNET, "53749d5b30552aeb2fca34b530185976545bb22d0b3ce6f62e31be961a59298",
     "755c40ba9bf05223521753995abb2f73ab3229be8ec921f350cb447e384d8ed8", 27),
    (DUMMY, None, TESTNET, "542af61ef1f429707e3c76c5293c80d01f74ef853e34b76efffcb57e574f9510",
     "17b8b32f086e8cdede991f1e2c529f5dd5297cbe8128500e00cbaf766204a613", 28),
    (DUMMY, VAULT, MAINNET, "3c548db75e479f8012acf3000ca3a6b05606bc2ec0c29c50c515066a326239",
     "4d402be7396ce74fbba3795769cda45aec00dc3125a984f2a9f23177b190da2c", 28),
    (DUMMY, VAULT, TESTNET, "e281d2fb5c6e25ca01601f878e4d69c965bb598b88fac58e475dd1f5e56c362b",
     "7ddad27e9a238d045c035bc606349d075d5c5cd00a6cd1da23ab5c39d4ef0f60", 27),
    (HUNDRED, None, MAINNET, "d65369825a9df5d80099e513cce430311d7d26ddf477f5b3a33d2806b100d78e",
     "2b54116ff64054968aa237c20ca9ff68000f977c93289157748a3162b6ea940e", 28),
    (HUNDRED, None, TESTNET, "82b2ba28e76b3d761093aaded1b1cdad4960b3af30212b343fb2e6cdfa4e3d54",
     "6b53878fc99d26047f4d7e8c90eb98955a109f44209163f52d8dc4278cbbd9f5", 27),
    (NAMED, None, MAINNET, "41ae18e8239a56cacbc5dad94d45d0b747e5da11ad564077fcac71277a946e3",
     "3c61f667e747404fe7eea8f90ab0e76cc12ce60270438b2058324681a00116da", 27),
    (NAMED, None, TESTNET, "eba0664bed2676fc4e5a743bf89e5c7501aa6d870bdb9446e122c9466c5cd16d",
     "7f3e74825c9114bc59086f1eebea2928c190fdfbfde144827cb02b85bbe90988", 28),
    (STOP, None, MAINNET, "98343f2b5ae8e26bb2587daad3863bc70d8792b09af1841b6fdd530a2065a3f9",
     "6b5bb6bb0633b710aa22b721dd9dee6d083646a5f8e581a20b545be6c1feb405", 27),
    (STOP, None, TESTNET, "971c554d917c44e0e1b6cc45d8f9404f32172a9d3b3566262347d0302896a2e4",
     "206257b104788f80450f8e786c329daa589aa0b32ba96948201ae556d5637eac", 28),
    (SUB, None, MAINNET, "51096fe3239421d16b671e192f574ae24ae14329099b6db28e479b86cdd6caa7",
     "b71f7d293af92d3772572afb8b102d167a7cef7473388286bc01f52a5c5b423", 27),
    (SUB, None, TESTNET, "a699e3ed5c2b89628c746d3298b5dc1cca604694c2c855da8bb8250ec8014a5b",
     "53f1b8153a301c72ecc655b1c315d64e1dcea3ee58921fd7507e35818fcc1584", 28),
    (MOVE, None, MAINNET, "43592d7c6c7d816ece2e206f174be61249d651944932b13343f4d13f306ae602",
     "71a926cb5c9a7c01c3359ec4c4c34c16ff8107d610994d4de0e6430e5cc0f4c9", 28),
    (MOVE, None, TESTNET, "e26574013395ad55ee2f4e0575310f003c5bb3351b5425482e2969fa51543927",
     "efb08999196366871f919fd0e138b3a7f30ee33e678df7cfaf203e25f0a4278", 28),
    ({"type": "scheduleCancel"}, None, MAINNET, "6cdfb286702f5917e76cd9b3b8bf678fcc49aec194c02a73e6d4f16891195df9",
     "6557ac307fa05d25b8d61f21fb8a938e703b3d9bf575f6717ba21ec61261b2a0", 27),
    ({"type": "scheduleCancel"}, None, TESTNET, "c75bb195c3f6a4e06b7d395acc20bbb224f6d23ccff7c6a26d327304e6efaeed",
     "342f8ede109a29f2c0723bd5efb9e9100e3bbb493f8fb5164ee3d385908233df", 28),
    ({"type": "scheduleCancel", "time": 123456789}, None, MAINNET,
     "609cb20c737945d070716dcc696ba030e9976fcf5edad87afa7d877493109d55",
     "16c685d63b5c7a04512d73f183b3d7a00da5406ff1f8aad33f8ae2163bab758b", 28),
    ({"type": "scheduleCancel", "time": 123456789}, None, TESTNET,
     "4e4f2dbd4107c69783e251b7e1057d9f2b9d11cee213441ccfa2be63516dc5bc",
     "706c656b23428c8ba356d68db207e11139ede1670481a9e01ae2dfcdb0e1a678", 27),
]  # fmt: skip


def _expected(r: str, s: str, v: int) -> Signature:
    return Signature.parse({"r": "0x" + r, "s": "0x" + s, "v": v})


@pytest.mark.parametrize(("action", "vault", "chain", "r", "s", "v"), VECTORS)
def test_vectors_of_the_sdk(action: dict[str, Any], vault: str | None, chain: str, r: str, s: str, v: int) -> None:
    signature = WALLET.sign_action(action, 0, chain, vault)
    assert signature == _expected(r, s, v)
    assert auth.recover_action(action, 0, signature, chain, vault) == WALLET.address


def test_hashes_of_the_fact_sheet() -> None:
    ioc = _orders(_order(4, "1670.1", "0.0147", {"limit": {"tif": "Ioc"}}))
    hashed = auth.action_hash(ioc, 1677777606040).hex()
    assert hashed == "0fcbeda5ae3c4950a548021552a4fea2226858c4453571bf3f24ba017eac2908"
    assert msgspec.msgpack.encode(HUNDRED).hex() == (
        "83a474797065a56f72646572a66f72646572739186a16101a162c3a170a3313030a173a3313030a172c2a17481a56c696d697481a374"
        "6966a3477463a867726f7570696e67a26e61"
    )
    assert auth.action_hash(HUNDRED, 0).hex() == "884f2c32bb6dbdd65f6033e32fb28c0cb6f5b345db0f6471fd3366d85c9252c1"
    cancel = {"type": "cancel", "cancels": [{"a": 1, "o": 123456789}]}
    packed = "82a474797065a663616e63656ca763616e63656c739182a16101a16fce075bcd15"
    assert msgspec.msgpack.encode(cancel).hex() == packed
    hashed = auth.action_hash(cancel, 1700000000000).hex()
    assert hashed == "9375cdf74004a5fdeb2f4e21e14d7ba2c1db0329fe61515982945f157d3f0069"


def test_expires_after_is_part_of_the_hash() -> None:
    action, nonce, until = _orders(ALO), 1700000000000, 1700000005000
    hashed = auth.action_hash(action, nonce, None, until).hex()
    assert hashed == "cdf912c978993f679c3493845dd1b8a6c2074204b9c9fcb4bec61656439d9142"
    assert WALLET.sign_action(action, nonce, MAINNET, None, until) == _expected(
        "8071f43895b517e3c6b9bae6fa2a0d3007eb6c7f583659530fceb8b3b8b0559f",
        "7137492b154048e4d9be5e8aef81fd3c04448779753c1a04a4be5eabbb5c6971",
        28,
    )


@pytest.mark.parametrize(
    ("kind", "r", "s", "v"),
    [
        ("usdSend", "637b37dd731507cdd24f46532ca8ba6eec616952c56218baeff04144e4a77073",
         "11a6a24900e6e314136d2592e2f8d502cd89b7c15b198e1bee043c9589f9fad7", 27),
        ("withdraw3", "8363524c799e90ce9bc41022f7c39b4e9bdba786e5f9c72b20e43e1462c37cf9",
         "58b1411a775938b83e29182e8ef74975f9054c8e97ebf5ec2dc8d51bfc893881", 28),
    ],
)  # fmt: skip
def test_user_signed_vectors_of_the_sdk(kind: str, r: str, s: str, v: int) -> None:
    action = {
        "type": kind, "signatureChainId": "0x66eee", "hyperliquidChain": "Testnet",
        "destination": "0x5e9ee1089755c3435139848e47e6635505d5a13a", "amount": "1", "time": 1687816341423,
    }  # fmt: skip
    signature = WALLET.sign_user_action(action)
    assert signature == _expected(r, s, v)
    assert auth.recover_user_action(action, signature) == WALLET.address


def test_address_and_keccak() -> None:
    assert WALLET.address == "0x14791697260e4c9a71f18484c9f997b308e59325"
    # the Keccak team's test vectors of Keccak[c=512], the empty message and "abc"
    assert auth.keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert auth.keccak256(b"abc").hex() == "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"


# -- eth-account as oracle

KEYS = st.integers(1, 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364140).map(lambda k: f"{k:064x}")
ADDRESSES = st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())
NUMBERS = st.integers(0, (1 << 64) - 1)
VALUES = {"string": st.text(max_size=40), "uint64": NUMBERS, "bool": st.booleans(), "address": ADDRESSES}
DOMAIN = [
    {"name": "name", "type": "string"}, {"name": "version", "type": "string"},
    {"name": "chainId", "type": "uint256"}, {"name": "verifyingContract", "type": "address"},
]  # fmt: skip


ORACLE = Oracle()


@pytest.fixture(scope="module", autouse=True)
def _the_oracle_ends() -> Iterator[None]:
    yield
    ORACLE.close()


def _oracle(
    key: str, name: str, chain: int, primary: str, types: list[dict[str, str]], message: dict[str, Any]
) -> Signed:
    domain = {"name": name, "version": "1", "chainId": chain, "verifyingContract": "0x" + "00" * 20}
    full = {"types": {"EIP712Domain": DOMAIN, primary: types}, "primaryType": primary, "domain": domain}
    return ORACLE.sign(key, {**full, "message": message})


@settings(max_examples=30, deadline=None)
@given(KEYS, st.binary(min_size=32, max_size=32), st.sampled_from((MAINNET, TESTNET)))
def test_phantom_agents_are_signed_as_eth_account_does(key: str, connection_id: bytes, chain: str) -> None:
    wallet = Wallet(key)
    signature = wallet.sign(auth.agent_digest(connection_id, chain))
    types = [{"name": "source", "type": "string"}, {"name": "connectionId", "type": "bytes32"}]
    message = {"source": "a" if chain == MAINNET else "b", "connectionId": "0x" + connection_id.hex()}
    found = _oracle(key, "Exchange", 1337, "Agent", types, message)
    assert (int.from_bytes(signature.r, "big"), int.from_bytes(signature.s, "big"), signature.v) == (
        found.r,
        found.s,
        found.v,
    )
    assert wallet.address == found.address.lower()
    assert auth.recover(auth.agent_digest(connection_id, chain), signature) == wallet.address


@settings(max_examples=40, deadline=None)
@given(KEYS, st.sampled_from(sorted(auth.USER_SIGNED)), st.integers(1, 1 << 32), st.data())
def test_user_signed_actions_are_signed_as_eth_account_does(key: str, kind: str, chain: int, data: Any) -> None:
    name, fields = auth.USER_SIGNED[kind]
    message = {field: data.draw(VALUES[type_]) for field, type_ in fields}
    action = {"type": kind, "signatureChainId": hex(chain), **message}
    types = [{"name": field, "type": type_} for field, type_ in fields]
    primary = f"HyperliquidTransaction:{name}"
    found = _oracle(key, "HyperliquidSignTransaction", chain, primary, types, message)
    wallet = Wallet(key)
    signature = wallet.sign_user_action(action)
    assert signature == _expected(f"{found.r:x}", f"{found.s:x}", found.v)
    assert auth.recover_user_action(action, signature) == wallet.address


@settings(max_examples=40, deadline=None)
@given(KEYS, NUMBERS, st.one_of(st.none(), ADDRESSES), st.one_of(st.none(), NUMBERS), st.integers(0, 3))
def test_whatever_is_changed_names_another_signer(
    key: str, nonce: int, vault: str | None, until: int | None, place: int
) -> None:
    wallet = Wallet(key)
    signature = wallet.sign_action(HUNDRED, nonce, MAINNET, vault, until)
    assert auth.recover_action(HUNDRED, nonce, signature, MAINNET, vault, until) == wallet.address
    other: list[Any] = [_orders(_order(1, "100.0", "100", GTC)), HUNDRED, HUNDRED, HUNDRED]
    chain = TESTNET if place == 1 else MAINNET
    changed = nonce ^ 1 if place == 2 else nonce
    elsewhere = "0x" + "11" * 20 if place == 3 else vault
    if elsewhere == vault and place == 3:
        return
    assert auth.recover_action(other[place], changed, signature, chain, elsewhere, until) != wallet.address


# -- form


def test_the_order_of_keys_counts() -> None:
    turned = {"orders": HUNDRED["orders"], "type": "order", "grouping": "na"}
    assert auth.action_hash(turned, 0) != auth.action_hash(HUNDRED, 0)


def test_an_agent_without_a_name_signs_an_empty_one() -> None:
    action = {"type": "approveAgent", "hyperliquidChain": "Mainnet", "signatureChainId": "0x66eee",
              "agentAddress": VAULT, "agentName": "", "nonce": 5}  # fmt: skip
    unnamed = {key: value for key, value in action.items() if key != "agentName"}
    assert auth.user_digest(unnamed) == auth.user_digest(action)


@pytest.mark.parametrize("key", ["", "0x", "0x12", "g" * 64, "0" * 64, "f" * 64, "0x" + "0" * 63 + "1 "])
def test_wrong_private_keys_are_refused_unquoted(key: str) -> None:
    with pytest.raises(InputError) as caught:
        Wallet(key)
    assert len(key) < 5 or key not in str(caught.value)


def test_a_wallet_shows_and_stores_nothing() -> None:
    assert "0123456789" not in repr(WALLET) + str(WALLET)
    with pytest.raises(LocalError):
        pickle.dumps(WALLET)


@pytest.mark.parametrize(
    "wire",
    [
        None, {}, {"r": "0x1", "s": "0x1"}, {"r": 1, "s": "0x1", "v": 27}, {"r": "0x1", "s": "0x1", "v": 29},
        {"r": "0x" + "1" * 65, "s": "0x1", "v": 27}, {"r": "0x1", "s": "", "v": 27},
        {"r": "0x1", "s": "0x1", "v": True},
    ],
)  # fmt: skip
def test_malformed_signatures_are_refused(wire: object) -> None:
    with pytest.raises(InputError):
        Signature.parse(wire)


def test_a_signature_of_nobody_is_refused() -> None:
    with pytest.raises(InputError):
        auth.recover(bytes(32), Signature.parse({"r": "0x0", "s": "0x0", "v": 27}))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"type": "order"}, "type"), ({"destination": None}, "destination"), ({"time": "1"}, "time"),
        ({"time": -1}, "time"), ({"signatureChainId": 1}, "signatureChainId"), ({"amount": 1}, "amount"),
    ],
)  # fmt: skip
def test_malformed_user_actions_name_the_field(change: dict[str, Any], field: str) -> None:
    action = {"type": "usdSend", "signatureChainId": "0x66eee", "hyperliquidChain": "Testnet", "destination": VAULT,
              "amount": "1", "time": 1, **change}  # fmt: skip
    with pytest.raises(InputError) as caught:
        auth.user_digest(action)
    assert caught.value.field == field


def test_actions_that_cannot_be_packed_are_refused() -> None:
    for action, nonce, vault in (({"type": 1 << 70}, 0, None), (HUNDRED, -1, None), (HUNDRED, 0, "0x12")):
        with pytest.raises(InputError):
            auth.action_hash(action, nonce, vault)


# -- nonces


def test_nonces_rise_within_a_millisecond_and_when_the_clock_goes_back() -> None:
    nonces = Nonces()
    assert [nonces.take(1_000) for _ in range(1000)] == list(range(1_000, 2_000))
    assert nonces.take(5_000) == 5_000
    assert nonces.take(0) == 5_001
    assert Nonces(last=7_000).take(5_000) == 7_001
    with pytest.raises(LocalError, match="day ahead"):
        Nonces(last=auth.NONCE_AHEAD_MS + 10).take(10)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 300), max_size=250))
def test_the_venue_takes_a_nonce_once_and_above_the_hundred_highest(offsets: list[int]) -> None:
    now, seen, taken = 10**12, SeenNonces(), set[int]()
    for offset in offsets:
        nonce = now + offset
        highest = sorted(taken)[-auth.NONCES_KEPT :]
        legal = nonce not in highest and (len(highest) < auth.NONCES_KEPT or nonce > highest[0])
        assert seen.take(nonce, now) is legal
        if legal:
            taken.add(nonce)


def test_the_venues_window_of_nonces() -> None:
    seen, now = SeenNonces(), 10**12
    assert not seen.take(now - auth.NONCE_BEHIND_MS, now)
    assert not seen.take(now + auth.NONCE_AHEAD_MS, now)
    assert seen.take(now - auth.NONCE_BEHIND_MS + 1, now)
    assert seen.take(now + auth.NONCE_AHEAD_MS - 1, now)
