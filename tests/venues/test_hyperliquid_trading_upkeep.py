"""The Hyperliquid trading session's upkeep: limits, clock, settings, silence, what is not about own orders."""

from __future__ import annotations

import json
from typing import Any

import pytest

from matching import codes
from tests.venues.hyperliquid_scripted import ADDRESS, BTC, START_MS, Venue, Wired, text
from venues.hyperliquid import actions
from venues.orders import CancelAllRequest, SettingChanged, SettingRejected, SettingRequest
from venues.session_parts import Reply


@pytest.fixture
def w() -> Wired:
    return Wired().start()


def test_429_holds_commands_and_sends_cancels_again(w: Wired) -> None:
    w.submit(w.order(1))
    w.run()
    w.disconnect()
    w.cancel(1)
    w.session.on_reply(w.pending.pop()[1][0], Reply(429, {"retry-after": "5"}, b""), w.now)
    w.submit(w.order(2))
    w.collect()
    assert not w.pending
    for _ in range(4):
        w.tick(1000)
    assert not [one for one in w.pending if one[0] == "call" and one[1][1].endswith("/exchange")]
    assert w.kinds(2) == ["Rejected"]  # its moment is over
    w.settle(5)
    w.submit(w.order(3))
    w.settle(10)
    assert w.kinds(1) == ["Accepted", "Canceled"] and w.kinds(3) == ["Accepted"]


def test_an_exhausted_address_sends_once_in_ten_seconds_but_cancels() -> None:
    w = Wired(Venue(infos={"userRateLimit": {"cumVlm": "0", "nRequestsUsed": 9_999, "nRequestsCap": 10_000}})).start()
    w.submit(w.order(1))
    w.run()
    w.submit(w.order(2))
    w.cancel(1)
    w.run()
    assert w.kinds(1) == ["Accepted", "Canceled"] and w.kinds(2) == []
    w.settle(9)
    assert w.kinds(2) == ["Rejected"] and w.of(2)[0].reason == codes.R_RATE_LIMIT
    w.submit(w.order(3))
    w.settle(2)
    assert w.kinds(3) == ["Accepted"]


def test_the_budget_of_messages_keeps_room_for_cancels(w: Wired) -> None:
    for number in range(1, 1900):
        w.session.submit([w.order(number)], w.now)
    w.run()
    assert len(w.venue.orders) < 1801
    w.session.cancel_all(CancelAllRequest(account=0, instrument=0), w.now)
    w.run()
    assert not w.venue.open()


@pytest.mark.parametrize("days", [-3, 3])
def test_a_wrong_clock_is_measured_and_corrected(days: int) -> None:
    w = Wired()
    w.skew_ms = days * 86_400_000
    w.start()
    assert any("Invalid nonce" in remark for remark in w.remarks)  # the proof of the key has found it out
    w.settle(5)
    assert any("this machine's clock" in remark for remark in w.remarks)
    w.submit(w.order(1))
    w.run()
    assert w.kinds(1) == ["Accepted"]


def test_ten_seconds_off_do_no_harm_and_a_day_back_is_survived(w: Wired) -> None:
    for number, skew_ms in enumerate((-10_000, 10_000), 1):
        w.skew_ms = skew_ms
        w.submit(w.order(number))
        w.run()
        assert w.kinds(number) == ["Accepted"]
    w.skew_ms = -3 * 86_400_000
    w.submit(w.order(3))
    w.run()
    assert w.kinds(3) == ["Rejected"] and "clock" in w.of(3)[0].text
    w.settle(5)
    w.submit(w.order(4))
    w.run()
    assert w.kinds(4) == ["Accepted"]


def test_settings(w: Wired) -> None:
    w.venue.infos["activeAssetData"] = {"leverage": {"type": "cross", "value": 20}}
    asked = (
        (codes.SETTING_LEVERAGE, 5), (codes.SETTING_MODE, codes.MODE_ISOLATED), (codes.SETTING_MARGIN, 150_000_000),
        (codes.SETTING_DEAD_MAN, 10_000_000_000), (codes.SETTING_DEAD_MAN, 0),
    )  # fmt: skip
    asked_ms = 0
    for number, (setting, value) in enumerate(asked, 1):
        request = SettingRequest(account=0, instrument=0, number=number, setting=setting, value=value)
        w.session.change(request, w.now)
        asked_ms = w.venue.now_ms if value == 10_000_000_000 else asked_ms
        w.run()
    assert [event.number for event in w.events if isinstance(event, SettingChanged)] == [1, 2, 3, 4, 5]
    assert w.venue.actions[-5:] == [
        {"type": "updateLeverage", "asset": 1, "isCross": True, "leverage": 5},
        {"type": "updateLeverage", "asset": 1, "isCross": False, "leverage": 5},
        {"type": "updateIsolatedMargin", "asset": 1, "isBuy": True, "ntli": 1_500_000},
        {"type": "scheduleCancel", "time": asked_ms + 10_000},
        {"type": "scheduleCancel"},
    ]
    w.venue.refuse = lambda action: "Cannot switch leverage type with open position."
    w.session.change(SettingRequest(account=0, instrument=0, number=6, setting=codes.SETTING_MODE, value=0), w.now)
    w.run()
    assert isinstance(w.events[-1], SettingRejected) and "Cannot switch" in w.events[-1].text


def test_it_pings_and_leaves_a_silent_connection(w: Wired) -> None:
    w.tick(16_000)
    assert w.sent[-1] == {"method": "ping"}
    w.pending.clear()
    for _ in range(60):
        w.tick(1000)
        w.pending.clear()
    assert sum(one["method"] == "subscribe" for one in w.sent) > 4


def test_a_connection_that_is_silent_after_a_command_is_left_sooner(w: Wired) -> None:
    w.submit(w.order(1))
    w.collect()
    for _ in range(12):
        w.pending = [one for one in w.pending if one[0] == "call"]  # nothing travels by the websocket
        w.tick(1000)
    assert sum(one["method"] == "subscribe" for one in w.sent) > 4
    w.settle(60)
    assert w.kinds(1) == ["OutcomeLost", "NotFound"]


def test_funding_is_told_once_and_only_from_now_on(w: Wired) -> None:
    def paid(ms: int) -> dict[str, Any]:
        return {
            "time": ms,
            "coin": "BTC",
            "usdc": "-0.125",
            "szi": "0.01",
            "fundingRate": "0.0000125",
            "nSamples": None,
        }

    old, new = paid(START_MS - 5), paid(w.venue.now_ms + 5)
    for data in ({"isSnapshot": True, "user": ADDRESS, "fundings": [old]}, {"fundings": [new]}, {"fundings": [new]}):
        w.session.on_frame("trade", json.dumps({"channel": "userFundings", "data": data}).encode(), w.now)
    w.session.on_frame("trade", json.dumps({"channel": "user", "data": {"funding": new}}).encode(), w.now)
    w.collect()
    [event] = [one for one in w.events if type(one).__name__ == "FundingPaid"]
    assert (event.payment_e8, event.position_lots, event.rate_e12) == (-12_500_000, 1000, 12_500_000)


def test_liquidations_and_foreign_fills_move_the_position(w: Wired) -> None:
    row = {"coin": "BTC", "px": "60000", "sz": "0.01", "side": "A", "time": 9, "startPosition": "0.03", "oid": 7,
           "dir": "Close Long", "closedPnl": "-5.5", "crossed": True, "fee": "0.1", "tid": 3,
           "liquidation": {"liquidatedUser": ADDRESS, "markPx": "60001", "method": "market"}}  # fmt: skip
    frame = json.dumps({"channel": "userFills", "data": {"fills": [row]}}).encode()
    w.session.on_frame("trade", frame, w.now)
    w.session.on_frame("trade", frame, w.now)
    w.collect()
    liquidated, moved = w.events[-2:]
    assert (type(liquidated).__name__, liquidated.realized_e8, liquidated.lots) == ("Liquidated", -550_000_000, 1000)
    assert (type(moved).__name__, moved.position_lots) == ("PositionChanged", 2000)


@pytest.mark.parametrize(
    "frame",
    [
        b"", b"{", b"[]", b'{"channel":"orderUpdates"}', b'{"channel":"orderUpdates","data":[{"status":"open"}]}',
        b'{"channel":"userFills","data":{"fills":[{"coin":"BTC","px":"x"}]}}', b'{"channel":"post","data":{"id":1}}',
        b'{"channel":"post","data":{"id":"1","response":{"type":"action","payload":3}}}', b"\xff\xfe",
        b'{"channel":"user","data":{"fills":[{"coin":"BTC","px":"1e400","sz":"1","side":"B","time":1,"oid":1}]}}',
    ],
)  # fmt: skip
def test_malformed_frames_are_remarked_upon(w: Wired, frame: bytes) -> None:
    w.session.on_frame("trade", frame, w.now)
    w.collect()
    assert len(w.remarks) == 1 and "malformed" in w.remarks[0]
    w.submit(w.order(1))
    w.run()
    assert w.kinds(1) == ["Accepted"]


def test_unknown_channels_and_fields_change_nothing(w: Wired) -> None:
    for frame in (
        b"Websocket connection established.",
        b'{"channel":"webData3","data":{"x":1}}',
        b'{"channel":"pong"}',
    ):
        w.session.on_frame("trade", frame, w.now)
    w.collect()
    assert w.remarks == []


def test_asset_numbers_and_decimals() -> None:
    assert [actions.asset_number(0, 7), actions.asset_number(2, 7)] == [7, 120_007]
    assert [actions.shortest(one) for one in ("0.500", "10.0", "100", "0.00")] == ["0.5", "10", "100", "0"]
    assert actions.price_text(BTC, 600_005) == "60000.5" and actions.size_text(BTC, 100_000) == "1"
    assert text(123, 5) == "0.00123"
