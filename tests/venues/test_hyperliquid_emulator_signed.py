"""Hyperliquid's emulator: who may act, agents, nonces, and requests that have no known form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.venues.hyperliquid_client import (
    ADDRESS,
    AGENT_KEY,
    CLOID,
    KEY,
    OTHER,
    OTHER_KEY,
    STRANGER_KEY,
    Venue,
    limit,
    orders,
    resting,
    statuses,
)
from venues.hyperliquid.auth import MAINNET, TESTNET, Wallet
from venues.hyperliquid.emulator_limits import Limits

# -- who may act


@pytest.mark.parametrize("chain", [MAINNET, TESTNET])
@pytest.mark.parametrize("key", [KEY, AGENT_KEY])
def test_accounts_and_agents_sign_for_either_chain(chain: str, key: str) -> None:
    venue = Venue()
    number = venue.send(orders(limit("29999", "0.001")), key=key, chain=chain)
    (request,) = venue.engine.asked
    assert request.account == 0
    venue.emulator.on_order(venue.engine.accepted(request))
    assert venue.reply(number)["status"] == "ok"


def test_strangers_and_wrong_signatures_are_told_who_signed() -> None:
    venue = Venue()
    stranger = Wallet(STRANGER_KEY).address
    assert venue.post({"type": "noop"}, key=STRANGER_KEY, chain=MAINNET) == {
        "status": "err", "response": f"User or API Wallet {stranger} does not exist.",
    }  # fmt: skip
    request = venue.signed(orders(limit("29999", "0.001")))
    request["action"]["orders"][0]["s"] = "0.0010"  # a trailing zero: another hash, another signer
    answer = json.loads(venue.raw("/exchange", json.dumps(request).encode()).body)
    assert answer["status"] == "err" and answer["response"].startswith("User or API Wallet 0x")
    request = venue.signed({"type": "noop"})
    request["signature"]["r"] = "0x" + "ff" * 32
    answer = json.loads(venue.raw("/exchange", json.dumps(request).encode()).body)
    assert answer == {"status": "err", "response": "Unable to recover signer."}
    assert venue.engine.asked == []


def test_a_request_for_another_account_needs_its_signer() -> None:
    venue = Venue()
    answer = venue.post({"type": "noop"}, vault=OTHER)
    assert answer == {"status": "err", "response": f"Vault not registered: {OTHER}"}
    assert venue.post({"type": "noop"}, vault=ADDRESS, key=AGENT_KEY)["status"] == "ok"


def test_nonces() -> None:
    venue = Venue()
    now = venue.wall_ns // 1_000_000
    assert venue.post({"type": "noop"}, nonce=now)["status"] == "ok"
    assert venue.post({"type": "noop"}, nonce=now)["response"] == f"Invalid nonce: duplicate nonce {now}"
    assert venue.post({"type": "noop"}, nonce=now - 5)["status"] == "ok"
    for nonce, word in ((now - 2 * 86_400_000, "too low"), (now + 86_400_000, "too high"), (1, "too low")):
        assert venue.post({"type": "noop"}, nonce=nonce)["response"].startswith(f"Invalid nonce: nonce {word} {nonce}")
    for nonce in range(now + 1, now + 101):
        assert venue.post({"type": "noop"}, nonce=nonce)["status"] == "ok"
    assert venue.post({"type": "noop"}, nonce=now - 4)["response"].startswith("Invalid nonce: nonce too low")
    assert venue.post({"type": "noop"}, nonce=now - 4, key=AGENT_KEY)["status"] == "ok"  # each signer has its own


def test_a_request_that_came_too_late() -> None:
    venue = Venue()
    now = venue.wall_ns // 1_000_000
    assert venue.post({"type": "noop"}, expires=now + 1)["status"] == "ok"
    assert venue.post({"type": "noop"}, expires=now - 1) == {"status": "err", "response": "Action already expired"}


def approve(venue: Venue, address: str, name: str | None, key: str = KEY) -> Any:
    action: dict[str, Any] = {"type": "approveAgent", "agentAddress": address}
    if name is not None:
        action["agentName"] = name
    return json.loads(venue.raw("/exchange", json.dumps(venue.user_signed(action, key)).encode()).body)


def test_agents_come_and_go() -> None:
    venue = Venue()
    agent = Wallet(STRANGER_KEY).address
    assert approve(venue, agent, None)["status"] == "ok"
    assert venue.post({"type": "noop"}, key=STRANGER_KEY)["status"] == "ok"
    assert venue.info("userRole", user=agent) == {"role": "agent", "data": {"user": ADDRESS}}
    assert approve(venue, "0x" + "00" * 20, "")["status"] == "ok"
    assert venue.post({"type": "noop"}, key=STRANGER_KEY)["response"].endswith("does not exist.")
    assert approve(venue, agent, "again")["response"] == "Extra agent already used."
    until = venue.wall_ns // 1_000_000 + 60_000
    assert approve(venue, "0x" + "aa" * 20, f"bot valid_until {until}")["status"] == "ok"
    agents = venue.info("extraAgents", user=ADDRESS)
    assert {"name": "bot", "address": "0x" + "aa" * 20, "validUntil": until} in agents
    assert approve(venue, "0x" + "ab" * 20, "bot valid_until 5")["response"] == "Agent valid_until already expired."
    assert approve(venue, "0x" + "ac" * 20, "third")["status"] == "ok"
    assert approve(venue, "0x" + "ad" * 20, "fourth")["response"].startswith("Too many extra agents")


def test_an_agent_cannot_speak_for_the_account() -> None:
    venue = Venue()
    agent = Wallet(AGENT_KEY).address
    answer = approve(venue, "0x" + "aa" * 20, "x", AGENT_KEY)
    assert answer == {"status": "err", "response": f"Must deposit before performing actions. User: {agent}"}


def test_builders_are_approved_and_transfers_refused() -> None:
    venue = Venue()

    def sent(action: dict[str, Any], time: str = "nonce") -> Any:
        return json.loads(venue.raw("/exchange", json.dumps(venue.user_signed(action, time=time)).encode()).body)

    builder = "0x" + "Bb" * 20
    fee = {"type": "approveBuilderFee", "maxFeeRate": "0.01%", "builder": builder}
    assert sent(fee) == {"status": "ok", "response": {"type": "default"}}
    assert venue.info("maxBuilderFee", user=ADDRESS, builder=builder.lower()) == 10
    assert venue.post({"type": "setReferrer", "code": "CCXT1"}) == {"status": "ok", "response": {"type": "default"}}
    assert sent({"type": "usdSend", "destination": OTHER, "amount": "1"}, "time")["status"] == "err"
    assert sent({"type": "withdraw3", "destination": OTHER, "amount": "1"}, "time")["response"].startswith(
        "Insufficient"
    )
    assert sent({"type": "usdClassTransfer", "amount": "1", "toPerp": True})["status"] == "err"
    assert (
        venue.post({"type": "reserveRequestWeight", "weight": 5})["response"] == "reserveRequestWeight is not simulated"
    )
    assert venue.post({"type": "createSubAccount", "name": "a"})["response"].startswith("Cannot create sub-accounts")


# -- forms


@pytest.mark.parametrize(
    ("path", "body", "method", "status"),
    [
        ("/info", b"{", "POST", 400),
        ("/info", b"[]", "POST", 422),
        ("/info", b'{"type":"nothing"}', "POST", 422),
        ("/info", b'{"type":"clearinghouseState","user":"0x12"}', "POST", 422),
        ("/info", b'{"type":"meta","dex":"xyz"}', "POST", 422),
        ("/info", b'{"type":"candleSnapshot","req":{"coin":"BTC","interval":"7m","startTime":1}}', "POST", 422),
        ("/info", b'{"type":"candleSnapshot","req":{"coin":"BTC","interval":[],"startTime":1}}', "POST", 422),
        ("/exchange", b"{}", "POST", 422),
        ("/exchange", b'{"action":{"type":"bogus"},"nonce":1,"signature":{}}', "POST", 422),
        ("/exchange", b'{"action":{"type":"noop"},"nonce":1,"signature":{"r":"1"}}', "POST", 422),
        ("/exchange", b'{"action":{"type":"noop"},"nonce":true,"signature":{"r":"1"}}', "POST", 422),
        ("/elsewhere", b"", "GET", 404),
        ("/info", b"", "GET", 405),
        ("/info", b"", "OPTIONS", 200),
    ],
)
def test_what_is_not_understood(path: str, body: bytes, method: str, status: int) -> None:
    venue = Venue()
    answer = venue.raw(path, body, method)
    assert answer.status == status
    if status in (400, 422):  # the venue's SDK reads JSON without code and msg as a defect
        with pytest.raises(ValueError):
            json.loads(answer.body)


@pytest.mark.parametrize(
    "wire",
    [
        limit("29999", "0.001") | {"p": 29999},
        limit("29999", "0.001") | {"b": 1},
        limit("29999", "0.001") | {"a": "0"},
        limit("29999", "0.001", cloid="0x12"),
        limit("29999", "0.001", "Day"),
        limit("29999", "0.001") | {"t": {}},
        limit("29999", "0.001") | {"t": {"limit": {"tif": []}}},
        limit("29999", "0.001") | {"t": {"trigger": {"tpsl": {}, "triggerPx": "1", "isMarket": True}}},
        {"a": 0},
    ],
)
def test_an_order_of_another_form_is_unreadable(wire: dict[str, Any]) -> None:
    venue = Venue()
    request = json.dumps(venue.signed(orders(wire))).encode()
    assert venue.raw("/exchange", request).status == 422
    assert venue.engine.asked == []


@pytest.mark.parametrize(("grouping", "status"), [({"p": 5}, 200), ([], 422), ({}, 422), ("x", 422), (None, 422)])
def test_groupings(grouping: Any, status: int) -> None:
    venue = Venue()
    action = orders(limit("29999", "0")) | {"grouping": grouping}
    assert venue.raw("/exchange", json.dumps(venue.signed(action)).encode()).status == status


def test_an_empty_batch_is_refused() -> None:
    assert Venue().post(orders())["status"] == "err"


def test_the_weight_of_an_address() -> None:
    venue = Venue(Limits(weight=45))
    ask = b'{"type":"meta"}'
    assert [venue.raw("/info", ask).status for _ in range(3)] == [200, 200, 429]
    refused = venue.raw("/info", ask)
    assert refused.body == b"null"
    assert venue.raw("/info", ask, peer="10.0.0.9:1").status == 200
    assert venue.raw("/info", b'{"type":"allMids"}').status == 200
    venue.wait(60)
    assert venue.raw("/info", ask).status == 200
    venue = Venue(limited=False)
    assert {venue.raw("/info", ask).status for _ in range(100)} == {200}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_NAMES = st.sampled_from(["type", "user", "coin", "oid", "req", "action", "nonce", "signature", "orders", "startTime"])
_BODIES = st.dictionaries(_NAMES, _JSON | st.sampled_from(["order", "l2Book", "BTC", ADDRESS, "cancel"]), max_size=6)


@settings(max_examples=150, deadline=None)
@given(path=st.sampled_from(["/info", "/exchange"]), body=_BODIES)
def test_nothing_that_is_sent_breaks_it(path: str, body: dict[str, Any]) -> None:
    venue = Venue()
    answer = venue.raw(path, json.dumps(body).encode())
    assert answer.status in (200, 422, 429)


@settings(max_examples=100, deadline=None)
@given(
    wire=st.dictionaries(
        st.sampled_from(["a", "b", "p", "s", "r", "t", "c"]),
        st.sampled_from([0, 1, True, False, "1", "0.5", "x", {"limit": {"tif": "Gtc"}}, None, {"trigger": {}}]) | _JSON,
        max_size=7,
    ),
    kind=st.sampled_from(["order", "batchModify", "cancel"]),
)
def test_nothing_that_is_signed_breaks_it(wire: dict[str, Any], kind: str) -> None:
    venue = Venue()
    action = {"type": kind, {"order": "orders", "batchModify": "modifies", "cancel": "cancels"}[kind]: [wire]}
    action |= {"grouping": "na"}
    try:
        body = json.dumps(venue.signed(action)).encode()
    except Exception:  # numbers that cannot be packed
        return
    number = venue.http("/exchange", body)
    answer = venue.drain().get(number)
    assert answer is None or answer.status in (200, 422)


def test_one_account_does_not_see_anothers_orders() -> None:
    venue = Venue()
    resting(venue, limit("29999", "0.001", cloid=CLOID))
    assert venue.info("openOrders", user=OTHER) == []
    answer = venue.post({"type": "cancelByCloid", "cancels": [{"asset": 0, "cloid": CLOID}]}, key=OTHER_KEY)
    assert "error" in statuses(answer)[0]
