"""Market data sessions against frames and replies that no venue documents: typed outcomes, never a defect."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.venues.session_drive import SYMBOLS, Drive
from venues.session_parts import (
    Fetch,
    Lost,
    Reconnect,
    Remark,
)


@pytest.mark.parametrize("venue", sorted(SYMBOLS))
@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"nonsense", b"\xff\xfe", b'{"stream":"\xff"}', b"[" * 100_000, b'{"data":' * 5_000, b"NaN", b"1e400"],
)
def test_hostile_frames_end_in_a_reconnect(venue: str, raw: bytes) -> None:
    drive = Drive(venue, SYMBOLS[venue])
    assert drive.frame(raw) is None
    assert [action.why for action in drive.got(Reconnect)] == ["malformed frame"]
    assert drive.got(Remark)[0].text.startswith("malformed frame: ")
    drive.frame(raw)
    assert len(drive.got(Reconnect)) == 1, "asked for once"


@pytest.mark.parametrize("venue", sorted(SYMBOLS))
def test_unknown_but_well_formed_frames_change_nothing(venue: str) -> None:
    drive = Drive(venue, SYMBOLS[venue])
    for content in ({}, {"new": [1, {"deep": None}]}, {"stream": "x@y", "topic": "x", "type": "x"}):
        assert drive.frame(content) is None
    assert drive.got(Reconnect) == drive.got(Lost) == []


_LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**40), 10**40), st.floats(), st.text(max_size=8),
    st.sampled_from(["btcusdt@depth@100ms", "depthUpdate", "BTCUSDT", "snapshot", "delta", "update", "books", "trades",
                     "orderbook.50.BTCUSDT", "BTC-USDT-SWAP", "l2Book", "BTC", "subscribed", "channel_data", "BTC-USD",
                     "v4_orderbook", "heartbeat", "test_request", "book.BTC-PERPETUAL.100ms", "change", "1700000000000",
                     "trades.BTC-PERPETUAL.100ms", "error", "notice", "64008"]),
)  # fmt: skip
_NAMES = (
    "stream data e E T s U u pu error code msg topic type ts cts success ret_msg arg channel instId action event "
    "seqId prevSeqId coin time message_id id message contents method params timestamp change_id prev_change_id "
    "trade_seq result"
)
_KEYS = st.sampled_from(_NAMES.split())
_DOCUMENTS = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=8), max_leaves=30
)


@pytest.mark.parametrize("venue", sorted(SYMBOLS))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(frames=st.lists(_DOCUMENTS | st.binary(max_size=40), min_size=1, max_size=6), body=_DOCUMENTS | st.binary())
def test_no_frame_and_no_reply_is_a_defect(venue: str, frames: list[Any], body: Any) -> None:
    """Fuzzed frames are understood, ignored or answered with a reconnect; what a session asks for stays bounded."""
    drive = Drive(venue, SYMBOLS[venue])
    for content in frames:
        channel = drive.frame(content)
        assert channel is None or 0 <= channel.event_ns < 1 << 63
        drive.wait(0.5)
        if drive.got(Fetch):
            drive.reply(200, body)
    assert len(drive.done) < 200
