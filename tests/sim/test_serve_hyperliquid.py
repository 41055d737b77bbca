"""The Hyperliquid emulator over the simulated venue itself: what becomes of orders there, told in the venue's words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sim.serve.accounts import load_accounts
from sim.serve.setup import Choice, prepare
from tests.venues.hyperliquid_client import limit, orders, statuses, stop
from venues.emulation import Answer, HttpRequest, Push
from venues.emulators import emulator
from venues.hyperliquid.auth import MAINNET, Wallet
from venues.ports import CountingEntropy

SECOND = 10**9
MS = 1_000_000
NOW = 1_790_000_000 * SECOND
PATIENCE_NS = 2 * SECOND


class Session:
    """An emulator over the simulated venue, stepped by a millisecond until somebody is answered."""

    def __init__(self) -> None:
        served = prepare(Choice("hyperliquid", "synth:calm", ("BTC",), seed=3), load_accounts(None), NOW)
        self.engine = served.engine
        self.account = served.accounts[0]
        credentials = [one for account in served.accounts for one in account.credentials]
        self.emulator = emulator(self.engine, credentials, CountingEntropy())
        self.engine.attach(self.emulator)
        self.engine.begin()
        self.wallet = Wallet(credentials[0].secret)
        self.address = credentials[0].address or self.wallet.address
        self.nonce = NOW // MS
        self.number = 0
        self.frames: list[Any] = []
        self.answers: dict[int, Any] = {}
        self.emulator.on_connect(1, HttpRequest("GET", "/ws", "", {}, b"", "127.0.0.1:1"), NOW)
        self.step(3 * SECOND)
        for kind in ("orderUpdates", "userFills", "userEvents"):
            wire = {"method": "subscribe", "subscription": {"type": kind, "user": self.address}}
            self.emulator.on_frame(1, json.dumps(wire).encode(), self.engine.now_ns)

    def step(self, duration_ns: int) -> None:
        self.engine.step(self.engine.feed_ns + duration_ns)
        self.emulator.on_tick(self.engine.now_ns)
        for action in self.emulator.take_actions():
            if isinstance(action, Answer):
                self.answers[action.number] = json.loads(action.body)
            elif isinstance(action, Push):
                self.frames.append(json.loads(action.payload))

    def ask(self, path: str, body: dict[str, Any]) -> Any:
        self.number += 1
        request = HttpRequest("POST", path, "", {}, json.dumps(body).encode(), "127.0.0.1:1")
        self.emulator.on_request(self.number, request, self.engine.now_ns)
        began = self.engine.feed_ns
        while self.number not in self.answers:
            assert self.engine.feed_ns < began + PATIENCE_NS, "no answer"
            self.step(MS)
        return self.answers.pop(self.number)

    def info(self, kind: str, **fields: Any) -> Any:
        return self.ask("/info", {"type": kind, **fields})

    def act(self, action: dict[str, Any]) -> Any:
        self.nonce += 1
        signature = self.wallet.sign_action(action, self.nonce, MAINNET).wire()
        return self.ask("/exchange", {"action": action, "nonce": self.nonce, "signature": signature})

    def place(self, *wires: dict[str, Any], grouping: str = "na") -> Any:
        return statuses(self.act(orders(*wires, grouping=grouping)))

    def state(self) -> Any:
        return self.info("clearinghouseState", user=self.address)

    def told(self, oid: int) -> list[str]:
        """What the stream of orders has said of one."""
        rows = [row for frame in self.frames if frame["channel"] == "orderUpdates" for row in frame["data"]]
        return [row["status"] for row in rows if row["order"]["oid"] == oid]

    def best(self) -> tuple[float, float]:
        book = self.info("l2Book", coin="BTC")["levels"]
        return float(book[0][0]["px"]), float(book[1][0]["px"])


@pytest.fixture
def session() -> Session:
    return Session()


def test_an_order_rests_is_modified_and_canceled(session: Session) -> None:
    bid, _ = session.best()
    (status,) = session.place(limit(f"{bid * 0.9:.0f}", "0.01", "Alo"))
    old = status["resting"]["oid"]
    change = {"oid": old, "order": limit(f"{bid * 0.91:.0f}", "0.02", "Alo")}
    (status,) = statuses(session.act({"type": "batchModify", "modifies": [change]}))
    new = status["resting"]["oid"]
    (row,) = session.info("openOrders", user=session.address)
    assert (row["oid"], row["sz"], row["origSz"]) == (new, "0.02", "0.02")
    assert session.told(old) == ["open", "canceled"] and session.told(new) == ["open"]
    assert statuses(session.act({"type": "cancel", "cancels": [{"a": 0, "o": new}]})) == ["success"]
    assert session.told(new) == ["open", "canceled"]
    assert session.info("openOrders", user=session.address) == []
    gone = session.act({"type": "modify", "oid": new, "order": limit(f"{bid * 0.91:.0f}", "0.02")})
    assert gone == {"status": "err", "response": "Cannot modify canceled or filled order"}


def test_a_modified_order_may_not_take(session: Session) -> None:
    bid, ask = session.best()
    (status,) = session.place(limit(f"{bid * 0.9:.0f}", "0.01", "Alo"))
    change = {"oid": status["resting"]["oid"], "order": limit(f"{ask * 1.01:.0f}", "0.01", "Alo")}
    (status,) = statuses(session.act({"type": "batchModify", "modifies": [change]}))
    assert "Post only order would have immediately matched, bbo was" in status["error"]
    (row,) = session.info("openOrders", user=session.address)  # the engine refuses the change, the order stays
    assert row["oid"] == change["oid"]
    assert session.info("orderStatus", user=session.address, oid=row["oid"])["order"]["status"] == "open"


def test_a_taken_position_adds_up(session: Session) -> None:
    _, ask = session.best()
    assert session.act({"type": "updateLeverage", "asset": 0, "isCross": True, "leverage": 10})["status"] == "ok"
    (status,) = session.place(limit(f"{ask * 1.05:.0f}", "0.5", "Ioc"))
    assert status["filled"]["totalSz"] == "0.5"
    fills = session.info("userFills", user=session.address)
    assert sum(float(row["sz"]) for row in fills) == pytest.approx(0.5)
    assert session.told(status["filled"]["oid"]) == ["open", "filled"]
    state = session.state()
    (held,) = (row["position"] for row in state["assetPositions"])
    assert held["szi"] == "0.5" and held["leverage"] == {"type": "cross", "value": 10}
    assert float(held["marginUsed"]) == pytest.approx(float(held["positionValue"]) / 10, abs=1e-5)
    assert float(held["entryPx"]) == pytest.approx(float(status["filled"]["avgPx"]), abs=0.06)
    summary = {name: float(text) for name, text in state["marginSummary"].items()}
    assert summary["accountValue"] == pytest.approx(summary["totalRawUsd"] + summary["totalNtlPos"], abs=1e-5)
    fees = sum(float(row["fee"]) for row in fills)
    own = float(held["unrealizedPnl"])
    assert summary["accountValue"] == pytest.approx(100_000 + own - fees, abs=1e-4)
    (status,) = session.place(limit(f"{ask * 0.95:.0f}", "2", "Ioc", buy=False, reduce=True))
    assert status["filled"]["totalSz"] == "0.5"
    assert session.state()["assetPositions"] == []
    last = session.info("userFills", user=session.address)[0]
    assert last["dir"] == "Close Long" and last["side"] == "A"


def test_refusals_of_the_engine(session: Session) -> None:
    bid, ask = session.best()
    wires = {
        "Insufficient margin to place order. asset=0": limit(f"{bid * 0.99:.0f}", "900"),
        "Order must have minimum value of $10. asset=0": limit(f"{bid * 0.99:.0f}", "0.0001"),
        "Price must be divisible by tick size. asset=0": limit(f"{bid * 0.99:.0f}.5", "0.01"),
        "Reduce only order would increase position. asset=0": limit(f"{bid * 0.99:.0f}", "0.01", reduce=True),
        "Order could not immediately match against any resting orders. asset=0": limit(
            f"{bid * 0.9:.0f}", "0.01", "Ioc"
        ),
        "Invalid TP/SL price. asset=0": stop(f"{ask:.0f}", "0.01", f"{ask * 1.1:.0f}", reduce=False),
    }  # fmt: skip
    for text, wire in wires.items():
        if "tick" in text:
            wire["p"] = "2345678.5"  # eight digits
        assert session.place(wire) == [{"error": text}], text
    (status,) = session.place(limit(f"{ask * 1.01:.0f}", "0.01", "Alo"))
    assert status["error"].startswith("Post only order would have immediately matched, bbo was ")


def test_children_live_when_their_parent_has_filled(session: Session) -> None:
    bid, ask = session.best()
    found = session.place(
        limit(f"{ask * 1.05:.0f}", "0.01", "Ioc"),
        stop(f"{ask * 1.2:.0f}", "0.01", f"{ask * 1.1:.0f}", "tp"),
        stop(f"{bid * 0.8:.0f}", "0.01", f"{bid * 0.9:.0f}"),
        grouping="normalTpsl",
    )
    assert "filled" in found[0] and found[1:] == ["waitingForTrigger", "waitingForTrigger"]
    session.step(SECOND)
    rows = session.info("frontendOpenOrders", user=session.address)
    assert sorted(row["orderType"] for row in rows) == ["Stop Market", "Take Profit Market"]
    cancels = [{"a": 0, "o": row["oid"]} for row in rows]
    assert statuses(session.act({"type": "cancel", "cancels": cancels})) == ["success", "success"]


def test_triggers_are_modified_and_fire(session: Session) -> None:
    bid, ask = session.best()
    session.place(limit(f"{ask * 1.05:.0f}", "0.01", "Ioc"))
    (status,) = session.place(stop(f"{bid * 0.8:.0f}", "0.01", f"{bid * 0.9:.0f}"))
    change = {"oid": status["resting"]["oid"], "order": stop(f"{bid * 0.8:.0f}", "0.005", f"{bid * 0.91:.0f}")}
    (status,) = statuses(session.act({"type": "batchModify", "modifies": [change]}))
    (row,) = session.info("frontendOpenOrders", user=session.address)
    assert row["oid"] == status["resting"]["oid"] != change["oid"]
    assert (row["triggerPx"], row["sz"]) == (f"{bid * 0.91:.0f}.0", "0.005")
    mark = float(session.info("metaAndAssetCtxs")[1][0]["markPx"])
    below, above = session.place(
        stop(f"{bid * 0.9:.0f}", "0.005", f"{mark - 1:.0f}"), stop(f"{bid * 0.9:.0f}", "0.005", f"{mark + 1:.0f}", "tp")
    )
    oids = [status["resting"]["oid"] for status in (below, above)]
    for _ in range(60):
        session.step(5 * SECOND)
        if any(len(session.told(oid)) > 1 for oid in oids):
            break
    assert ["open", "triggered", "open", "filled"] in [session.told(oid) for oid in oids]
    assert session.state()["assetPositions"][0]["position"]["szi"] == "0.005"


def test_margin_modes(session: Session) -> None:
    _, ask = session.best()
    assert session.act({"type": "updateLeverage", "asset": 0, "isCross": False, "leverage": 5})["status"] == "ok"
    session.place(limit(f"{ask * 1.05:.0f}", "0.1", "Ioc"))
    (held,) = (row["position"] for row in session.state()["assetPositions"])
    assert held["leverage"]["type"] == "isolated" and held["leverage"]["value"] == 5
    before = float(held["marginUsed"])
    assert (
        session.act({"type": "updateIsolatedMargin", "asset": 0, "isBuy": True, "ntli": 50_000_000})["status"] == "ok"
    )
    (held,) = (row["position"] for row in session.state()["assetPositions"])
    assert float(held["marginUsed"]) == pytest.approx(before + 50, abs=5)
    answer = session.act({"type": "updateLeverage", "asset": 0, "isCross": True, "leverage": 5})
    assert answer == {"status": "err", "response": "Cannot switch leverage type with open position."}
    assert session.act({"type": "updateLeverage", "asset": 0, "isCross": False, "leverage": 99})["status"] == "err"


def test_the_dead_mans_switch_fires(session: Session) -> None:
    bid, _ = session.best()
    (status,) = session.place(limit(f"{bid * 0.9:.0f}", "0.01"))
    now_ms = session.engine.now_ns // MS
    assert session.act({"type": "scheduleCancel", "time": now_ms + 1000})["status"] == "err"
    assert session.act({"type": "scheduleCancel", "time": now_ms + 6000})["status"] == "ok"
    session.step(8 * SECOND)
    assert session.told(status["resting"]["oid"]) == ["open", "scheduledCancel"]


def test_the_simulators_book_is_what_clients_are_shown(session: Session) -> None:
    session.emulator.on_frame(1, b'{"method":"subscribe","subscription":{"type":"l2Book","coin":"BTC"}}', NOW)
    session.step(5 * SECOND)
    books = [frame["data"] for frame in session.frames if frame["channel"] == "l2Book"]
    assert len(books) > 5
    state = session.engine.book(0, 20)
    writer = session.emulator._markets[0].writer  # type: ignore[attr-defined]
    assert [level["px"] for level in books[-1]["levels"][0]] == [writer.price(ticks) for ticks, _ in state.bids]
    assert all(len(side) <= 20 for book in books for side in book["levels"])
